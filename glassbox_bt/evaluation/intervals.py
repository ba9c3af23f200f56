"""How far a sample of test days pins a measure down: block-bootstrap intervals and paired differences.

A *sample* is a sequence of chunk parts (test years). Each part is a table of daily rows in the order of the days, with the
columns ``return``, ``exposure``, ``traded``, ``costs`` and ``equity`` of ``portfolio/equity.parquet``. One part gives the
figures of one chunk, several parts the figures pooled over chunks. What an interval covers is the value that the measure
would have over very many days of the same market; for drawdown and Calmar, which depend on the length of the sample, their
median over many samples of this length.

One method for every measure:

1. Days are resampled in blocks, all columns together, after a volatility is taken off and put back.      `_resampling`
2. Each resampled path has the measure's value and its standard error from sums of influences over blocks (Götze & Künsch
   1996), and so has the sample.                                                                            `_measures`
3. What all paths give together is the truth of the world that they come from (`_worlds`). Their distances from it, in
   standard errors, are the distances that the sample may have from the truth of its own: a studentised, equal-tailed
   interval (Davison & Hinkley 1997, section 5.2; Ledoit & Wolf 2008 for Sharpe ratios of dependent returns).  `_spread`

Measures of size (volatility, CVaR, turnover, costs, drawdown) are taken by their logarithm, annual return by log growth.
Two measures depart from step 3. Distances of annual return are not divided: calm samples understate the error of a mean.
Maximum drawdown and Calmar depend on the order of the days and have no standard error: theirs is the range of the paths
(Efron's percentiles), which covers their median more often than it says. The differences between two strategies are taken
in their own unit; where fewer than an eighth of the blocks make the difference, its distances are not divided either.

Coverage on simulated markets is measured by ``python -m tests.coverage.study``; its table is in ``reports/coverage``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd

from glassbox_bt.errors import ContractError
from glassbox_bt.evaluation._measures import INPUTS
from glassbox_bt.evaluation._resampling import MIN_BLOCK, Days
from glassbox_bt.evaluation._spread import PLAIN, POWER, scale_of
from glassbox_bt.evaluation._worlds import world_of
from glassbox_bt.plan import StatisticsPlan
from glassbox_bt.portfolio.metrics import max_drawdown, summarise
from glassbox_bt.types import FloatArray

__all__ = ["COLUMNS", "MEASURES", "POWER", "Interval", "Paired", "estimates", "interval", "intervals", "paired"]

COLUMNS = ("return", "exposure", "traded", "costs", "equity")
MEASURES = (
    "annual_return",
    "volatility",
    "sharpe",
    "sortino",
    "max_drawdown",
    "calmar",
    "cvar_95",
    "turnover",
    "cost_share",
    "exposure",
    "hit_rate",
)


LIMITS = {"exposure": (0.0, math.inf), "hit_rate": (0.0, 1.0)}  # ends beyond them would say nothing


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with the interval that covers the true value in ``level`` of all samples.

    Parameters
    ----------
    estimate : float
        As `glassbox_bt.portfolio.metrics` defines it, in its unit; NaN where it is not defined.
    low, high : float
        Ends of the interval, unit of ``estimate``; NaN where ``withheld`` says why.
    standard_error : float
        Of ``estimate``, same unit, >= 0; NaN where ``withheld`` says why.
    block : int
        Sessions per resampled block.
    withheld : str or None
        Why there is no interval, in words; None where there is one.
    """

    estimate: float
    low: float
    high: float
    standard_error: float
    block: int
    withheld: str | None


@dataclass(frozen=True, slots=True)
class Paired:
    """The difference of one measure between two strategies on the same days; positive = the first has more of it.

    Parameters
    ----------
    difference : float
        Measure of the first minus measure of the second.
    low, high, standard_error : float
        As in `Interval`, of the difference.
    p_value : float
        Two-sided, of "the true difference is 0"; below ``1 - level`` exactly where the interval leaves out 0. 1 for two
        strategies with the same rows, NaN where ``withheld`` says why.
    smallest_detectable : float
        The true difference, > 0, that this sample would have told from 0 with probability `POWER` at the plan's level.
    block : int
        Sessions per resampled block.
    n_sessions : int
        Days compared, over all parts.
    withheld : str or None
        Why there is no interval, in words; None where there is one.
    """

    difference: float
    low: float
    high: float
    standard_error: float
    p_value: float
    smallest_detectable: float
    block: int
    n_sessions: int
    withheld: str | None


def estimates(parts: Sequence[pd.DataFrame]) -> Mapping[str, float]:
    """The measures of a sample, in the order of `MEASURES`; NaN where one is not defined.

    On one part they equal `glassbox_bt.portfolio.metrics.summarise`. Pooled over several parts: all days count alike, as if
    the parts were one span (annual return is geometric over all days, volatility and the ratios use one mean, CVaR the worst
    5 % of all days, turnover and costs the sums over all days by the mean equity of all days), but wealth starts anew with
    each part: the pooled drawdown is the deepest of the parts, and Calmar divides by it.

    Raises
    ------
    ContractError
        No part, a part of fewer than two sessions, a column missing, or a value that is not finite.
    """
    return _estimates(_rows(parts))


def interval(parts: Sequence[pd.DataFrame], measure: str, settings: StatisticsPlan, key: str) -> Interval:
    """The interval of one measure; the same numbers as ``intervals(parts, settings, key)[measure]``.

    Parameters
    ----------
    parts : Sequence[pd.DataFrame]
        The sample, see the module.
    measure : str
        One of `MEASURES`.
    settings : StatisticsPlan
        Level and number of bootstrap samples.
    key : str
        Names the stream of random numbers. Put the plan's seed and the strategy's name into it: equal keys give equal
        draws, and no strategy's draws depend on which others are there.

    Raises
    ------
    ContractError
        An unknown measure, or a sample that `estimates` refuses.
    """
    rows = _rows(parts)
    return _interval(_days(rows), _estimates(rows)[_known(measure)], measure, settings, key)


def intervals(parts: Sequence[pd.DataFrame], settings: StatisticsPlan, key: str) -> Mapping[str, Interval]:
    """Intervals of all `MEASURES` from the same resampled days; arguments and errors as in `interval`."""
    rows = _rows(parts)
    days, found = _days(rows), _estimates(rows)
    return MappingProxyType({name: _interval(days, found[name], name, settings, key) for name in MEASURES})


def paired(
    parts: Sequence[pd.DataFrame],
    others: Sequence[pd.DataFrame],
    measure: str,
    settings: StatisticsPlan,
    key: str,
) -> Paired:
    """The difference ``parts - others`` of one measure, both sides resampled on the same days.

    Parameters
    ----------
    parts, others : Sequence[pd.DataFrame]
        Two samples of the same days: equally many parts of equal lengths, and equal ``date`` columns where both have one.
    measure, settings, key
        As in `interval`; put both names into the key.

    Raises
    ------
    ContractError
        An unknown measure, a sample that `estimates` refuses, or samples of different days.
    """
    rows, other_rows = _rows(parts), _rows(others)
    _same_days(parts, others)
    difference = _estimates(rows)[_known(measure)] - _estimates(other_rows)[measure]
    ours, theirs = _days(rows), _days(other_rows)
    n, nothing = sum(ours.lengths), math.nan
    if all(np.array_equal(ours.column(name), theirs.column(name)) for name in INPUTS[measure]):
        return Paired(0.0, 0.0, 0.0, 0.0, 1.0, nothing, MIN_BLOCK, n, None)
    world = world_of((ours, theirs), measure, settings.n_boot, key)
    found = world.spread(difference, measure, PLAIN)
    if isinstance(found, str):
        return Paired(difference, nothing, nothing, nothing, nothing, nothing, world.block, n, found)
    low, high = found.interval(settings.level)
    error, p_value, detectable = found.standard_error(), found.p_value(), found.detectable(settings.level)
    return Paired(difference, low, high, error, p_value, detectable, world.block, n, None)


def _interval(days: Days, estimate: float, measure: str, settings: StatisticsPlan, key: str) -> Interval:
    world = world_of((days,), measure, settings.n_boot, key)
    found = world.spread(estimate, measure, scale_of(measure))
    if isinstance(found, str):
        return Interval(estimate, math.nan, math.nan, math.nan, world.block, found)
    least, most = LIMITS.get(measure, (-math.inf, math.inf))
    low, high = found.interval(settings.level)
    return Interval(estimate, max(low, least), min(high, most), found.standard_error(), world.block, None)


def _known(measure: str) -> str:
    if measure not in MEASURES:
        raise ContractError(f"`measure` must be one of {', '.join(MEASURES)}, got `{measure}`.")
    return measure


def _estimates(rows: list[FloatArray]) -> Mapping[str, float]:
    named = dict(zip(COLUMNS, np.concatenate(rows).T, strict=True))
    pooled = dict(summarise(returns=named.pop("return"), **named))
    pooled["max_drawdown"] = min(max_drawdown(part[:, 0]) for part in rows)
    depth = -pooled["max_drawdown"]
    pooled["calmar"] = pooled["annual_return"] / depth if depth > 0.0 else math.nan
    return MappingProxyType({name: float(pooled[name]) for name in MEASURES})


def _days(rows: list[FloatArray]) -> Days:
    whole = np.concatenate(rows)
    return Days(np.column_stack([whole, np.ones(len(whole))]).tobytes(), tuple(len(one) for one in rows))


def _same_days(parts: Sequence[pd.DataFrame], others: Sequence[pd.DataFrame]) -> None:
    if [len(one) for one in parts] != [len(one) for one in others]:
        raise ContractError("Two strategies can be compared on the same days only. Give both the same parts.")
    for one, other in zip(parts, others, strict=True):
        dated = "date" in one.columns and "date" in other.columns
        if dated and not np.array_equal(one["date"].to_numpy(), other["date"].to_numpy()):
            raise ContractError("Two strategies can be compared on the same days only, but their dates differ.")


def _rows(parts: Sequence[pd.DataFrame]) -> list[FloatArray]:
    if not parts:
        raise ContractError("A sample needs at least one part, got none.")
    found = []
    for number, part in enumerate(parts):
        absent = [name for name in COLUMNS if name not in part.columns]
        if absent:
            raise ContractError(f"Part {number} of the sample lacks the columns `{'`, `'.join(absent)}`.")
        values = np.column_stack([part[name].to_numpy(dtype=np.float64) for name in COLUMNS])
        if len(values) < 2 or not np.isfinite(values).all():
            raise ContractError(f"Part {number} of the sample needs two or more finite rows, got {len(values)} rows.")
        if not values[:, 0].min() > -1.0:
            raise ContractError(f"Part {number} of the sample has a return of {values[:, 0].min()}; returns lie above -1.")
        found.append(values)
    return found
