"""The qualitative analyst in words, and what it would have said without its strongest document.

What others wrote is quoted in the table of events only, at most 20 words of it, as plain ASCII without markup. Summaries of
days quote nothing: each of their numbers is one of their row.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from glassbox_bt.modules._qualitative_rule import DRIVER_WORDS
from glassbox_bt.types import Action, BoolArray, FloatArray, IntArray, StrArray

__all__ = ["QUOTED_WORDS", "DroppedEvents", "day_words", "event_words", "quoted"]

QUOTED_WORDS = 20
LONGEST_WORD = 40  # characters; a longer one is no word
ACTIONS = tuple(action.name for action in Action)
_TAG = re.compile(r"<[^>]*>|&[#\w]{1,12};|https?://\S+")
_STRANGE = re.compile(r"[^A-Za-z0-9 .,;:!?'%$()/+-]+")
_CODE_WORDS = {
    "None": "none",
    "nan": "NAN",
    "NaN": "NAN",
    "null": "NULL",
    "inf": "INF",
}  # readers would take them for faults


@dataclass(frozen=True, slots=True, eq=False)
class DroppedEvents:
    """What some days would have been without their strongest document, (n_rows,) each.

    Parameters
    ----------
    day, ticker
        Session and name.
    doc_id : StrArray
        The document with the largest share: decayed weight times the size of its own score.
    own_score : FloatArray
        What it says by itself; without it the day should move the other way.
    score, score_without, risk, risk_without : FloatArray
        Before and after; the neutral 0 and 0.5 of spec 25.2 where it was the only document.
    feasible : BoolArray
        Whether a day with text is left.
    """

    day: IntArray
    ticker: StrArray
    doc_id: StrArray
    own_score: FloatArray
    score: FloatArray
    score_without: FloatArray
    risk: FloatArray
    risk_without: FloatArray
    feasible: BoolArray

    @property
    def as_expected(self) -> BoolArray:
        """Where the score moves against the sign of the document that is gone."""
        moved: BoolArray = self.own_score * (self.score_without - self.score) < 0.0
        return moved


def quoted(text: str, most: int = QUOTED_WORDS) -> str:
    """The first words of a text that others wrote, at most ``most``: plain ASCII, no markup, links or control characters.

    "..." follows where words were left out; empty where nothing readable is left.
    """
    head = text[: 200 * most]  # a text may be megabytes long
    plain = unicodedata.normalize("NFKD", _TAG.sub(" ", head)).encode("ascii", "ignore").decode("ascii")
    words = [_CODE_WORDS.get(word, word)[:LONGEST_WORD] for word in _STRANGE.sub(" ", plain).split()]
    cut = len(words) > most or (len(text) > len(head) and bool(words))
    return " ".join(words[:most]) + ("..." if cut else "")


def day_words(row: Mapping[str, float], *, learned: bool) -> str:
    """One answer in words."""
    action = ACTIONS[int(row["qualitative_recommendation"])]
    driver = DRIVER_WORDS[int(row["dominant_qualitative_driver"])]
    sure = "chance that the sign is right" if learned else "confidence"
    by = "" if learned else " by the closed formula"
    veto = " The risk alone forbids a purchase." if row["risk_veto"] == 1.0 else ""
    return (
        f"{action} on a text score of {row['qualitative_score']:+.2f}{by} and a text risk of "
        f"{row['qualitative_risk_score']:.2f}; {sure} {row['qualitative_confidence']:.2f}. Documents that count: "
        f"{row['event_count']:.0f}, of which {row['sentiment_event_count']:.0f} have a tone and "
        f"{row['news_event_count']:.0f} are news. The main driver is {driver}. Tone adds "
        f"{row['sentiment_contribution']:+.3f} and news {row['news_contribution']:+.3f}.{veto}"
    )


def event_words(row: Mapping[str, float], body: str) -> str:
    """One document in words, with its first words; ``row`` has the predictions, the driver and the two directions."""
    action = ACTIONS[int(row["qualitative_recommendation"])]
    driver = DRIVER_WORDS[int(row["dominant_qualitative_driver"])]
    said = quoted(body)
    words = f' It says: "{said}"' if said else " It has no readable words."
    return (
        f"By itself {action} with a score of {row['qualitative_score']:+.2f} and a risk of "
        f"{row['qualitative_risk_score']:.2f}; the main driver is {driver}.{words}"
    )
