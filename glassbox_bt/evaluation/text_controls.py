"""What the text branch adds: its score as it is, on text of other names, on text read a session late, and a word list's.

For each of these the daily rank correlation of the qualitative score with what came, on the days that have one; and the
difference to the branch as it is, day by day, on the days that both have. Intervals are those of `dayblocks`. What each does
to the portfolio stands with the other ablations (set ``text``), under the same names.

The word list is the mean sentiment of news about a name over seven days by fixed patterns of words (`market.events`), on the
rows that the branch knows. It learned nothing, so it cannot know what a language model may have read since (D-FIN-01).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from glassbox_bt.evaluation.answers import said
from glassbox_bt.evaluation.books import POOLED
from glassbox_bt.evaluation.dayblocks import day_mean
from glassbox_bt.evaluation.forecasts import daily_rank_ics

__all__ = ["AS_IT_IS", "TEXT_OUTCOMES", "WORD_LIST", "text_control_rows", "word_list_scores"]

AS_IT_IS = "as it came"
WORD_LIST = "word list"
WORDS = "event.news_sentiment_mean_7d"
SCORE = "qualitative_score"
TEXT_OUTCOMES: Mapping[str, int] = {  # name to horizon in sessions; the first is what the score was made for
    "forward_excess_log_return_10d": 10,
    "forward_log_return_5d": 5,
    "forward_log_return_20d": 20,
}


def text_control_rows(
    run: Path, outcomes: Mapping[int, pd.DataFrame], level: float, word_list: Callable[[], pd.DataFrame | None]
) -> list[dict[str, Any]]:
    """Rows by text (as it came, the variant that edits it, or the word list), outcome and chunk (0 = pooled).

    ``word_list`` reads the scores of the word list; without the text branch it is not called, and there is no row.
    """
    scores = _scores(run, outcomes)
    if scores is None:
        return []
    words = word_list()
    if words is not None:
        scores[WORD_LIST] = {
            chunk: table[["date", "ticker"]].merge(words, on=["date", "ticker"]) for chunk, table in scores[AS_IT_IS].items()
        }
    rows = []
    for outcome, horizon in TEXT_OUTCOMES.items():
        daily = {
            text: {chunk: _daily(table, outcomes[chunk], outcome) for chunk, table in by_chunk.items()}
            for text, by_chunk in scores.items()
        }
        for text, series in daily.items():
            for chunk, parts in _spans(series):
                found = day_mean([np.asarray(part, dtype=np.float64) for part in parts], horizon, level)
                row = {"text": text, "outcome": outcome, "horizon": horizon, "chunk": chunk}
                row |= {"rank_ic": found.estimate, "low": found.low, "high": found.high, "p_value": found.p_value}
                row |= {"n_days": found.n_days, "block": found.block}
                rows.append(row | _lost(daily[AS_IT_IS], series, chunk, horizon, level))
    return rows


def word_list_scores(run: Path, manifest: Mapping[str, Any]) -> pd.DataFrame | None:
    """Mean sentiment of the news of each name and day by the word patterns: date, ticker and score; None without text."""
    from glassbox_bt.backtest import open_run_store

    store = open_run_store(run, manifest)
    if WORDS not in store.columns:
        return None
    table = pd.DataFrame(np.asarray(store.columns[WORDS], dtype=np.float64), index=store.dates, columns=list(store.tickers))
    long = table.rename_axis("date").reset_index().melt("date", var_name="ticker", value_name=SCORE)
    return long.astype({"date": "datetime64[ns]"})


def _scores(run: Path, outcomes: Mapping[int, pd.DataFrame]) -> dict[str, dict[int, pd.DataFrame]] | None:
    """Score by text and chunk: date, ticker and the score, rows that the branch knows."""
    told = {chunk: said(run, "qualitative", [SCORE], chunk) for chunk in outcomes}
    there = {chunk: table for chunk, table in told.items() if table is not None}
    if len(there) < len(outcomes):
        return None
    scores, edited = {AS_IT_IS: there}, run / "ablations" / "text_scores.parquet"
    if edited.exists():
        table = pd.read_parquet(edited)
        for variant in sorted(set(table["variant"])):
            mine = table[table["variant"] == variant]
            scores[str(variant)] = {chunk: mine[mine["chunk"] == chunk] for chunk in outcomes}
    return scores


def _daily(table: pd.DataFrame, came: pd.DataFrame, outcome: str) -> pd.Series[float]:
    """Rank correlation of each day that has one, by date."""
    joined = table[["date", "ticker", SCORE]].merge(came[["date", "ticker", outcome]], on=["date", "ticker"], validate="1:1")
    joined = joined.dropna()
    days, values = daily_rank_ics(joined["date"].to_numpy(), joined[SCORE].to_numpy(), joined[outcome].to_numpy())
    return pd.Series(values, index=days).dropna()


def _spans(series: Mapping[int, pd.Series[float]]) -> Iterator[tuple[int, list[pd.Series[float]]]]:
    yield POOLED, list(series.values())
    for chunk, values in series.items():
        yield chunk, [values]


def _lost(
    base: Mapping[int, pd.Series[float]], series: Mapping[int, pd.Series[float]], chunk: int, horizon: int, level: float
) -> dict[str, float]:
    """Rank correlation as it is less that of the edited text, on days that have both; NaN for the branch as it is."""
    if series is base:
        return dict.fromkeys(("difference", "difference_low", "difference_high", "difference_p_value"), np.nan)
    pairs = {number: pd.concat([base[number], values], axis=1, join="inner") for number, values in series.items()}
    chosen = list(pairs.values()) if chunk == POOLED else [pairs[chunk]]
    differences = [np.asarray(pair.iloc[:, 0] - pair.iloc[:, 1], dtype=np.float64) for pair in chosen]
    found = day_mean(differences, horizon, level)
    return {
        "difference": found.estimate,
        "difference_low": found.low,
        "difference_high": found.high,
        "difference_p_value": found.p_value,
    }
