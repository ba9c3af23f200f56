"""Does a signal rank names as their returns will? Rank correlation by day, its mean, and how far chance reaches.

The measure is the mean over test days of Spearman's correlation across the names of a day (`forecasts.daily_rank_ics`),
between a signal and the log return from the entry over the label's horizon. The interval is that of `dayblocks`: labels
overlap.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from glassbox_bt.evaluation.answers import DECISIONS, said
from glassbox_bt.evaluation.books import POOLED
from glassbox_bt.evaluation.dayblocks import DayMean, day_mean
from glassbox_bt.evaluation.forecasts import daily_rank_ics
from glassbox_bt.evaluation.verdicts import SMALLEST_RANK_IC, claims_of_means
from glassbox_bt.types import FloatArray

__all__ = ["OUTCOMES", "SIGNALS", "DirectionalSignal", "RankIC", "rank_ics", "signal_claims", "signal_rows"]

OUTCOMES: Mapping[str, int] = {"forward_log_return_20d": 20, "forward_log_return_5d": 5}  # name to horizon, sessions


@dataclass(frozen=True, slots=True)
class DirectionalSignal:
    """A column that claims to point where a return goes; larger = higher.

    ``horizon`` is that of the outcome it was made for: the claim is about that one, other horizons describe.
    """

    module: str
    column: str
    horizon: int


SIGNALS: tuple[DirectionalSignal, ...] = (
    DirectionalSignal("technical", "trend_score", 20),
    DirectionalSignal("technical", "momentum_score", 5),
    DirectionalSignal("qualitative", "qualitative_score", 20),
    DirectionalSignal("quantitative", "risk_adjusted_quantitative_signal", 20),
    DirectionalSignal("fusion", "learned_fusion_signal", 20),
    DirectionalSignal(DECISIONS, "final_effective_signal", 20),
)


@dataclass(frozen=True, slots=True)
class RankIC:
    """The rank correlation of one signal with one outcome over one span; chunk 0 = all test years."""

    signal: DirectionalSignal
    outcome: str
    chunk: int
    found: DayMean

    @property
    def horizon(self) -> int:
        """Sessions that the outcome looks ahead."""
        return OUTCOMES[self.outcome]

    @property
    def is_claim(self) -> bool:
        """Whether a verdict is given on it."""
        return self.chunk == POOLED and self.horizon == self.signal.horizon

    @property
    def name(self) -> str:
        """Module and column."""
        return f"{self.signal.module}.{self.signal.column}"


def rank_ics(run: Path, outcomes: Mapping[int, pd.DataFrame], level: float) -> list[RankIC]:
    """Every signal that the run recorded against every outcome, pooled and by chunk.

    Parameters
    ----------
    run : Path
        A walked run.
    outcomes : Mapping[int, pd.DataFrame]
        Test outcomes by chunk, columns date, ticker and the labels.
    level : float
        Of the intervals.
    """
    found = []
    for signal in SIGNALS:
        read = {chunk: said(run, signal.module, [signal.column], chunk) for chunk in outcomes}
        answers = {chunk: table for chunk, table in read.items() if table is not None}
        if len(answers) < len(outcomes):
            continue
        for outcome, horizon in OUTCOMES.items():
            daily = {chunk: _daily(answers[chunk], signal.column, rows, outcome) for chunk, rows in outcomes.items()}
            for span, parts in _spans(daily):
                found.append(RankIC(signal, outcome, span, day_mean(parts, horizon, level)))
    return found


def signal_rows(found: Sequence[RankIC]) -> list[dict[str, Any]]:
    """The signals as ``metrics.json`` holds them."""
    return [
        {
            "module": one.signal.module,
            "signal": one.signal.column,
            "outcome": one.outcome,
            "horizon": one.horizon,
            "chunk": one.chunk,
            "rank_ic": one.found.estimate,
            "low": one.found.low,
            "high": one.found.high,
            "p_value": one.found.p_value,
            "n_days": one.found.n_days,
            "block": one.found.block,
        }
        for one in found
    ]


def signal_claims(found: Sequence[RankIC], level: float) -> list[dict[str, Any]]:
    """A verdict on "its rank correlation with the return it was made for is above 0" for each signal, pooled."""
    claims = {one.name: one.found for one in found if one.is_claim}
    settings = {"level": level, "smallest_effect": SMALLEST_RANK_IC}
    return claims_of_means("signal", "signals", "rank_ic", claims, settings)


def _daily(said_rows: pd.DataFrame, column: str, outcomes: pd.DataFrame, outcome: str) -> FloatArray:
    """Rank correlations of the days on which there is one."""
    joined = said_rows.merge(outcomes[["date", "ticker", outcome]], on=["date", "ticker"], validate="1:1").dropna()
    _, values = daily_rank_ics(joined["date"].to_numpy(), joined[column].to_numpy(), joined[outcome].to_numpy())
    return values[np.isfinite(values)]


def _spans(daily: Mapping[int, FloatArray]) -> Iterator[tuple[int, list[FloatArray]]]:
    yield POOLED, list(daily.values())
    for chunk, values in daily.items():
        yield chunk, [values]
