"""Dated headlines of a synthetic market: what was announced, when, and what it does to the price."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from glassbox_bt.market.calendar import Sessions, first_session_after
from glassbox_bt.market.sources.synthetic_record import Draws
from glassbox_bt.market.sources.synthetic_wordings import MARKET_NOTES, STORIES, Story, worded
from glassbox_bt.types import FloatArray

__all__ = ["DRIFT_SESSIONS", "TextEffects", "draw_text", "text_effects"]

DRIFT_SESSIONS = 5  # sessions over which news is digested after it became public

GAP_SIZE = 1.0  # first reaction, in daily standard deviations of the name

_COLUMNS = ("doc_id", "ticker", "published_at", "event_type", "event", "sign", "wording", "text")
_SIGNS = (1, -1, 1, -1, 1, -1, -1, 1, 0)  # equally likely: as many good as bad headlines, one in nine without a sign

_EVENTS_A_YEAR = 8.0
# Hours of New York time and their shares: before the open, during trading, after the close, at a weekend.
_HOURS = {"before": (6.0, 9.25), "during": (9.75, 15.75), "after": (16.1, 20.0), "weekend": (8.0, 20.0)}
_SHARES = (0.15, 0.15, 0.60, 0.10)


@dataclass(frozen=True, slots=True, eq=False)
class TextEffects:
    """Log returns in units of a name's conditional daily deviation, each (n_sessions, n_names)."""

    gap: FloatArray  # at the open of the first session after publication
    drift: FloatArray  # within each of the following `DRIFT_SESSIONS` sessions, the first included


def draw_text(draws: Draws, clock: Sessions, names: pd.DataFrame, text_edge: float) -> pd.DataFrame:
    """One row per headline, in order of publication.

    ``doc_id, ticker, published_at`` (UTC), ``event_type`` (of spec 26.1), ``event, sign``, ``wording`` (its number among
    those of its story, to hold some out), ``text`` and its planted effect. The words come from a stream of their own, so
    other words leave times, signs and prices as they are.
    """
    years = (clock.dates[-1] - clock.dates[0]).astype(int) / 365.25
    stories = {sign: [story for story in STORIES if story.sign == sign] for sign in set(_SIGNS)}
    rows: list[dict[str, object]] = []
    for ticker, company in zip(names["ticker"], names["company"], strict=True):
        rng, words = draws.rng("text", ticker), draws.rng("wording", ticker)
        for number in range(int(rng.poisson(_EVENTS_A_YEAR * years))):
            fitting = stories[_SIGNS[int(rng.integers(len(_SIGNS)))]]
            story = fitting[int(words.integers(len(fitting)))]
            told = worded(story, f"{company} ({ticker})", words)
            rows.append(_headline(f"{ticker}-{number:04d}", ticker, _moment(rng, clock), (story, *told)))
    rng, words = draws.rng("text", "market"), draws.rng("wording", "market")
    for number in range(int(rng.poisson(_EVENTS_A_YEAR * years))):
        story = MARKET_NOTES[int(rng.integers(len(MARKET_NOTES)))]
        rows.append(_headline(f"MARKET-{number:04d}", "", _moment(rng, clock), (story, *worded(story, "", words))))
    table = pd.DataFrame(rows, columns=list(_COLUMNS))
    table["published_at"] = pd.DatetimeIndex(table["published_at"]).as_unit("ns")
    table = table.sort_values(["published_at", "doc_id"], kind="stable").reset_index(drop=True)
    first = first_session_after(table["published_at"].dt.tz_localize(None).to_numpy(), clock.opens_at)
    table["first_session"] = first
    table["gap_effect"] = GAP_SIZE * table["sign"] * (text_edge > 0)
    table["drift_effect"] = text_edge * table["sign"]
    table["drift_sessions"] = DRIFT_SESSIONS
    return table


def text_effects(table: pd.DataFrame, tickers: list[str], n_sessions: int) -> TextEffects:
    """Sum of the planted effects of all headlines."""
    gap, drift = np.zeros((n_sessions, len(tickers))), np.zeros((n_sessions, len(tickers)))
    place = pd.Index(tickers).get_indexer(pd.Index(table["ticker"]))
    first = table["first_session"].to_numpy()
    for later in range(DRIFT_SESSIONS):
        here = (place >= 0) & (first + later < n_sessions)
        if later == 0:
            np.add.at(gap, (first[here], place[here]), table["gap_effect"].to_numpy()[here])
        np.add.at(drift, (first[here] + later, place[here]), table["drift_effect"].to_numpy()[here])
    return TextEffects(gap, drift)


def _headline(doc_id: str, ticker: str, moment: pd.Timestamp, told: tuple[Story, str, int]) -> dict[str, object]:
    story, text, wording = told
    values = (doc_id, ticker, moment, story.event_type, story.event, story.sign, wording, text)
    return dict(zip(_COLUMNS, values, strict=True))


def _moment(rng: np.random.Generator, clock: Sessions) -> pd.Timestamp:
    """A time of publication, UTC; sessions close early on some days, the news does not care."""
    day = pd.Timestamp(clock.dates[int(rng.integers(len(clock.dates) - 1))])
    slot = str(rng.choice(list(_HOURS), p=_SHARES))
    if slot == "weekend":
        day += pd.Timedelta(days=5 - day.weekday() + int(rng.integers(2)))
    hour = float(rng.uniform(*_HOURS[slot]))
    wall_clock = day + pd.Timedelta(minutes=int(hour * 60))
    return wall_clock.tz_localize("America/New_York").tz_convert("UTC")
