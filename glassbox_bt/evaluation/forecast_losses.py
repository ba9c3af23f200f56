"""Losses of risk forecasts, and two tests of whether one forecast has less of it than another.

* Diebold and Mariano, "Comparing predictive accuracy", Journal of Business & Economic Statistics 13(3), 1995: the mean of
  daily loss differences by its error, with autocovariances up to the horizon less one; corrected for small samples as by
  Harvey, Leybourne and Newbold, International Journal of Forecasting 13(2), 1997.
* Blocks of days (`dayblocks`), which need no model of the dependence. Verdicts come from these: with labels as long as a
  quarter of the sample the first test rejects too often, its correction notwithstanding (tests/evaluation).

Average precision is no mean over days: its error is that of the jackknife over the same blocks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from glassbox_bt.evaluation.dayblocks import MIN_BLOCK, MIN_BLOCKS, DayMean
from glassbox_bt.types import AnyArray, FloatArray, IntArray

__all__ = [
    "Ranked",
    "average_precision",
    "brier",
    "diebold_mariano",
    "jackknife",
    "log_loss",
    "multiclass_log_loss",
    "pinball",
    "qlike",
    "squared",
]

LEAST = 1e-6  # no probability counts as nearer to 0 or 1: outputs are rounded to this grid
Loss = Callable[[FloatArray, FloatArray], FloatArray]  # of forecasts (k, n_rows) and outcomes (n_rows,) to (n_rows,)


def qlike(forecast: FloatArray, outcome: FloatArray) -> FloatArray:
    """y²/f² − ln(y²/f²) − 1 of a volatility forecast; 0 is perfect, and scale does not matter."""
    ratio = (outcome / forecast[0]) ** 2
    return np.asarray(ratio - np.log(ratio) - 1.0)


def squared(forecast: FloatArray, outcome: FloatArray) -> FloatArray:
    """Squared error."""
    return np.asarray((outcome - forecast[0]) ** 2)


def pinball(forecast: FloatArray, outcome: FloatArray) -> FloatArray:
    """Mean pinball loss of the median and the upper decile, rows 0 and 1 of ``forecast``."""
    parts = [
        np.maximum(q * (outcome - one), (q - 1.0) * (outcome - one)) for q, one in zip((0.5, 0.9), forecast, strict=True)
    ]
    return np.asarray((parts[0] + parts[1]) / 2.0)


def brier(forecast: FloatArray, outcome: FloatArray) -> FloatArray:
    """Squared error of a probability of an event that happened (1) or not (0)."""
    return squared(forecast, outcome)


def log_loss(forecast: FloatArray, outcome: FloatArray) -> FloatArray:
    """Minus the log of the probability that was given to what happened, of an event (1) or not (0)."""
    given = np.clip(forecast[0], LEAST, 1.0 - LEAST)
    return np.asarray(-np.where(outcome > 0.5, np.log(given), np.log(1.0 - given)))


def multiclass_log_loss(forecast: FloatArray, outcome: FloatArray) -> FloatArray:
    """Minus the log of the probability of the class that came; ``forecast`` holds one row per class."""
    given = forecast[outcome.astype(np.int64), np.arange(len(outcome))]
    return np.asarray(-np.log(np.clip(given, LEAST, 1.0)))


def average_precision(score: FloatArray, event: FloatArray) -> float:
    """Area under precision over recall in steps, ties at once; NaN without both kinds of event.

    That of a constant is the share of events.
    """
    n_events = float(event.sum())
    if not 0.0 < n_events < len(event):
        return math.nan
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)  # of each group of ties
    found = np.cumsum(event[order])[last]
    gained = np.diff(found, prepend=0.0)
    return float(np.sum(gained * found / (last + 1.0)) / n_events)


def diebold_mariano(parts: Sequence[FloatArray], horizon: int) -> tuple[float, float]:
    """Statistic and two-sided p-value of "the mean of these daily differences is 0".

    NaN where the days are fewer than twenty or than twice the horizon, or do not vary. Autocovariances never cross the gap
    between two parts. Where their plain sum is not positive, Bartlett's weights make it so.

    Parameters
    ----------
    parts : Sequence[FloatArray]
        Daily differences, one series per test year.
    horizon : int
        Sessions that a forecast looks ahead; differences further apart are taken as unrelated.
    """
    n = sum(len(part) for part in parts)
    if n < max(20, 2 * horizon):
        return math.nan, math.nan
    mean = float(np.concatenate(parts).mean())
    centred = [part - mean for part in parts]
    covariances = np.array([sum(float(one[lag:] @ one[: len(one) - lag]) for one in centred) / n for lag in range(horizon)])
    variance = float(covariances[0] + 2.0 * covariances[1:].sum())
    if not variance > 1e-3 * covariances[0]:
        variance = float(covariances[0] + 2.0 * (1.0 - np.arange(1, horizon) / horizon) @ covariances[1:])
    if not variance > 0.0:
        return math.nan, math.nan
    small = (n + 1.0 - 2.0 * horizon + horizon * (horizon - 1.0) / n) / n
    statistic = mean / math.sqrt(variance / n) * math.sqrt(small)
    return statistic, 2.0 * float(stats.t.sf(abs(statistic), n - 1))


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """Two scores of the same rows of one test year; ``day`` numbers its days from 0; all (n_rows,)."""

    day: IntArray
    first: FloatArray
    second: FloatArray
    event: FloatArray

    def gain(self, kept: AnyArray) -> float:
        """Average precision of the first less that of the second over some rows."""
        first, second = (average_precision(one[kept], self.event[kept]) for one in (self.first, self.second))
        return first - second

    def blocks(self, block: int) -> list[AnyArray]:
        """Which rows lie in each of its consecutive blocks of at least so many days."""
        days = np.arange(int(self.day.max()) + 1)
        parts = np.array_split(days, max(1, len(days) // block))
        return [(self.day >= part[0]) & (self.day <= part[-1]) for part in parts]


def jackknife(parts: Sequence[Ranked], horizon: int, level: float) -> DayMean:
    """Gain in average precision, the mean over the test years weighted by their events, with its interval over blocks.

    Each block of days is left out once. Widened as in `dayblocks`: for labels that reach into the next block, and by
    Student's t for few blocks.
    """
    block = max(MIN_BLOCK, horizon)
    everything = [np.ones(len(part.day), dtype=bool) for part in parts]
    weights = np.array([float(part.event.sum()) for part in parts])
    gains = np.array([part.gain(kept) for part, kept in zip(parts, everything, strict=True)])
    told = np.isfinite(gains)
    n_days = sum(len(np.unique(part.day)) for part in parts)
    if not told.any():
        return DayMean(math.nan, math.nan, math.nan, math.nan, math.nan, 0, n_days, block)
    weights = np.where(told, weights, 0.0) / weights[told].sum()
    estimate = float(np.sum(weights[told] * gains[told]))
    without = [
        estimate + float(weights[at]) * (parts[at].gain(~left_out) - float(gains[at]))
        for at in np.flatnonzero(told).tolist()
        for left_out in parts[at].blocks(block)
    ]
    k = len(without)
    spread = np.array(without) - np.mean(without)
    shown = 1.0 - horizon / (3.0 * block)
    error = math.sqrt((k - 1) / k * float(np.sum(spread**2)) / shown) if np.isfinite(spread).all() else math.nan
    if k < MIN_BLOCKS or not error > 0.0:
        return DayMean(estimate, math.nan, math.nan, math.nan, math.nan, k - 1, n_days, block)
    reach = float(stats.t.ppf(0.5 + level / 2.0, k - 1)) * error
    p_value = 2.0 * float(stats.t.sf(abs(estimate) / error, k - 1))
    return DayMean(estimate, estimate - reach, estimate + reach, error, p_value, k - 1, n_days, block)
