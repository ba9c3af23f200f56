"""Readers of text beside what they were built on: rank correlations of learned scores, anchors and the closed formula.

Answers to chunks are averaged over the chunks of a document, and these over the documents of a name and session, so that all
are scored alike: by day, across
names, with the intervals of `dayblocks`. Test days only.

Where the closed formula answered in a learned reader's place there is no anchor behind the answer: such a chunk is marked
``formula``, has no contest with the anchor, and is left out of the pooled one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from glassbox_bt.evaluation.answers import said
from glassbox_bt.evaluation.books import POOLED
from glassbox_bt.evaluation.dayblocks import day_mean
from glassbox_bt.evaluation.forecasts import daily_rank_ics

__all__ = ["RIVALS", "TextRival", "text_contest_rows"]

OUTCOME, HORIZON = "forward_excess_log_return_10d", 10
KEYS = ["date", "ticker"]
OF_CHUNKS = ("sentiment", "news")  # a row for each chunk of a document


@dataclass(frozen=True, slots=True)
class TextRival:
    """A module's answer against something simpler that it also recorded.

    Parameters
    ----------
    formula : str
        The column that equals the answer where the closed formula answered in its place; empty where none can.
    """

    module: str
    answer: str
    rival: str
    words: str
    formula: str = ""


RIVALS: tuple[TextRival, ...] = (
    TextRival("sentiment", "predicted_sentiment_score_raw", "predicted_sentiment_anchor_raw", "its anchor"),
    TextRival("news", "predicted_news_event_impact_raw", "predicted_news_impact_anchor_raw", "its anchor"),
    TextRival(
        "qualitative", "qualitative_score_raw", "qualitative_score_anchor_raw", "its anchor", "qualitative_rule_score"
    ),
    TextRival("qualitative", "qualitative_score", "qualitative_rule_score", "the closed formula"),
)


def text_contest_rows(run: Path, outcomes: Mapping[int, pd.DataFrame], level: float) -> list[dict[str, Any]]:
    """Rows by module, rival and chunk (0 = pooled): both rank correlations and their difference; none without answers."""
    rows = []
    for one in RIVALS:
        parts = {chunk: _daily(run, one, chunk, came) for chunk, came in outcomes.items()}
        there = {chunk: part for chunk, part in parts.items() if part is not None}
        if not there:
            continue
        ruled = {chunk for chunk in there if _by_formula(run, one, chunk)}
        asked = {chunk: part for chunk, part in there.items() if chunk not in ruled}
        for chunk, days in ((POOLED, list(asked.values())), *((chunk, [part]) for chunk, part in there.items())):
            is_formula = chunk in ruled or not asked
            numbers = _contest([] if is_formula else days, level)
            rows.append({"module": one.module, "rival": one.words, "chunk": chunk, **numbers, "formula": is_formula})
    return rows


def _by_formula(run: Path, one: TextRival, chunk: int) -> bool:
    """Whether the closed formula gave every answer of a chunk."""
    given = said(run, one.module, [one.answer, one.formula], chunk) if one.formula else None
    return given is not None and len(given) > 0 and bool((given[one.answer] == given[one.formula]).all())


def _daily(run: Path, one: TextRival, chunk: int, came: pd.DataFrame) -> pd.DataFrame | None:
    """Rank correlations of answer and rival on each day that has both; None where the module has no such columns."""
    names = [one.answer, one.rival]
    document = ["doc_id"] if one.module in OF_CHUNKS else []
    mean = said(run, one.module, [*document, *names], chunk)
    if mean is None or OUTCOME not in came.columns:
        return None
    if document:  # whose chunks are one voice, however many (D-LAB-02)
        mean = mean.groupby([*KEYS, *document], sort=True)[names].mean().reset_index()
        mean = mean.groupby(KEYS, sort=True)[names].mean().reset_index()
    joined = mean.merge(came[[*KEYS, OUTCOME]], on=KEYS, validate="1:1").dropna()
    days, outcome = joined["date"].to_numpy(), joined[OUTCOME].to_numpy()
    found = {}
    for which, column in (("answer", one.answer), ("rival", one.rival)):
        dates, found[which] = daily_rank_ics(days, joined[column].to_numpy(), outcome)
    return pd.DataFrame(found, index=dates).dropna()


def _contest(parts: list[pd.DataFrame], level: float) -> dict[str, Any]:
    means = {
        name: day_mean([np.asarray(part[name], dtype=np.float64) for part in parts], HORIZON, level)
        for name in ("answer", "rival")
    }
    gain = day_mean([np.asarray(part["answer"] - part["rival"], dtype=np.float64) for part in parts], HORIZON, level)
    same = gain.n_days > 0 and all(bool((part["answer"] == part["rival"]).all()) for part in parts)
    return {
        "answer_ic": means["answer"].estimate,
        "rival_ic": means["rival"].estimate,
        "difference": gain.estimate,
        "low": gain.low,
        "high": gain.high,
        "p_value": gain.p_value,
        "n_days": gain.n_days,
        "block": gain.block,
        "same": same,
    }
