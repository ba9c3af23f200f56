"""Scores of learned outputs beside the anchors they were built on (R32).

Each learned output is scored beside the simple anchor it was built on, against outcomes that only the evaluator opens.
Every opening of test outcomes is counted in the manifest (R26).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from glassbox_bt.types import AnyArray, FloatArray

__all__ = ["CONTESTS", "Contest", "brier", "daily_rank_ic", "daily_rank_ics", "learned_against_anchor"]

DOWNSIDE = 0.05  # a drawdown of 5 % within ten sessions is the event that the risk heads forecast
MIN_NAMES = 5  # fewer names give no rank correlation for a day


@dataclass(frozen=True, slots=True)
class Contest:
    """One learned output against its anchor on one outcome."""

    module: str
    learned: str
    anchor: str
    outcome: str
    measure: str  # name of the score, printed
    score: Callable[[pd.DataFrame, str, str], float]
    higher_is_better: bool


def daily_rank_ic(table: pd.DataFrame, forecast: str, outcome: str) -> float:
    """Mean over days of the Spearman correlation across names; NaN if no day has five names that differ."""
    _, values = daily_rank_ics(table["date"].to_numpy(), table[forecast].to_numpy(), table[outcome].to_numpy())
    known = values[np.isfinite(values)]
    return float(np.mean(known)) if len(known) else float("nan")


def daily_rank_ics(days: AnyArray, forecast: FloatArray, outcome: FloatArray) -> tuple[AnyArray, FloatArray]:
    """Spearman's correlation across the names of each day, ties at their mean rank.

    Parameters
    ----------
    days : AnyArray
        Day of each row, in any order, (n_rows,).
    forecast, outcome : FloatArray
        Finite, (n_rows,).

    Returns
    -------
    tuple[AnyArray, FloatArray]
        The days in ascending order and the correlation on each, in [-1, 1]; NaN on days with fewer than `MIN_NAMES` names or
        on which either of the two is the same for all.
    """
    found, at = np.unique(days, return_inverse=True)
    if not len(found):
        return found, np.zeros(0)
    names = np.bincount(at)
    middle = 0.5 * (names + 1.0)[at]
    x, y = (pd.Series(values).groupby(at).rank().to_numpy() - middle for values in (forecast, outcome))
    both, own, other = (np.bincount(at, weights=product) for product in (x * y, x * x, y * y))
    usable = (names >= MIN_NAMES) & (own > 0.0) & (other > 0.0)
    scale = np.sqrt(np.where(usable, own * other, 1.0))
    return found, np.where(usable, both / scale, np.nan)


def brier(table: pd.DataFrame, forecast: str, outcome: str) -> float:
    """Mean squared error of a probability of the downside event; lower is better."""
    event: FloatArray = (table[outcome].to_numpy() >= DOWNSIDE).astype(np.float64)
    return float(np.mean((table[forecast].to_numpy() - event) ** 2))


def event_brier(table: pd.DataFrame, forecast: str, outcome: str) -> float:
    """Mean squared error of a probability of an event, 1 where it happened; lower is better."""
    return float(np.mean((table[forecast].to_numpy() - table[outcome].to_numpy()) ** 2))


def qlike(table: pd.DataFrame, forecast: str, outcome: str) -> float:
    """QLIKE of an annualised volatility forecast, ln(f²) + y²/f², mean over rows; lower is better."""
    ratio: FloatArray = (table[outcome].to_numpy() / table[forecast].to_numpy()) ** 2
    return float(np.mean(ratio - np.log(np.maximum(ratio, 1e-12)) - 1.0))


CONTESTS: tuple[Contest, ...] = (
    Contest("technical", "trend_raw", "trend_anchor_raw", "forward_log_return_20d", "rank IC", daily_rank_ic, True),
    Contest(
        "quantitative",
        "risk_adjusted_quantitative_signal_raw",
        "risk_adjusted_quantitative_signal_anchor_raw",
        "forward_log_return_20d",
        "rank IC",
        daily_rank_ic,
        True,
    ),
    Contest(
        "quantitative",
        "quantitative_risk_prob",
        "quantitative_risk_prob_anchor",
        "forward_drawdown_10d",
        "Brier, 5 % drawdown in 10 sessions",
        brier,
        False,
    ),
    Contest(
        "fusion",
        "learned_fusion_signal_raw",
        "learned_fusion_signal_anchor_raw",
        "forward_log_return_20d",
        "rank IC",
        daily_rank_ic,
        True,
    ),
    Contest(
        "fusion",
        "learned_fusion_risk_prob",
        "learned_fusion_risk_prob_anchor",
        "forward_drawdown_10d",
        "Brier, 5 % drawdown in 10 sessions",
        brier,
        False,
    ),
    Contest("volatility", "garch_vol", "ewma_vol", "forward_vol_10d", "QLIKE, GARCH against EWMA", qlike, False),
    Contest("volatility", "vol_10d", "vol_10d_anchor", "forward_vol_10d", "QLIKE over 10 sessions", qlike, False),
    Contest(
        "drawdown",
        "drawdown_risk_10d",
        "drawdown_risk_10d_anchor",
        "forward_drawdown_10d",
        "Brier, 5 % drawdown in 10 sessions",
        brier,
        False,
    ),
    Contest(
        "contagion",
        "contagion_20d",
        "own_history_20d",
        "tail_event_20d",
        "Brier, extreme loss in 20 sessions",
        event_brier,
        False,
    ),
)


def learned_against_anchor(run: Path, chunk: int, split: str, outcomes: pd.DataFrame) -> list[dict[str, Any]]:
    """One row per contest whose module answered in this run."""
    rows: list[dict[str, Any]] = []
    for contest in CONTESTS:
        path = run / "modules" / contest.module / f"chunk{chunk}_{split}.parquet"
        if not path.exists():
            continue
        answers = pd.read_parquet(path, columns=None)
        if not {contest.learned, contest.anchor} <= set(answers.columns):
            continue
        if contest.outcome not in outcomes.columns:
            continue
        answers = answers.loc[answers["known"], ["date", "ticker", contest.learned, contest.anchor]]
        joined = answers.merge(outcomes[["date", "ticker", contest.outcome]], on=["date", "ticker"], validate="1:1").dropna()
        if joined.empty:
            continue
        learned = contest.score(joined, contest.learned, contest.outcome)
        anchor = contest.score(joined, contest.anchor, contest.outcome)
        better = learned > anchor if contest.higher_is_better else learned < anchor
        rows.append(
            {
                "module": contest.module,
                "chunk": chunk,
                "split": split,
                "measure": contest.measure,
                "learned": _or_none(learned),
                "anchor": _or_none(anchor),
                "n_rows": len(joined),
                "better": bool(better),
            }
        )
    return rows


def _or_none(value: float) -> float | None:
    return value if np.isfinite(value) else None
