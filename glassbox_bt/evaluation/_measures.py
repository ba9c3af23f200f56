"""A measure on a path of days and its standard error: the compiled steps of `intervals`.

A measure takes one or two columns of a path (`INPUTS`). The influence of a day is the derivative of the measure in the
weight of that day (Hampel 1974): to first order the error of a measure is the mean of its influences. Maximum drawdown and
Calmar depend on the order of the days and have none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numba import njit

from glassbox_bt.types import FloatArray, IntArray

__all__ = [
    "CODES",
    "HOLDINGS",
    "INPUTS",
    "block_sums",
    "columns_for",
    "deepest_falls",
    "gaps_of_draws",
    "influence",
    "values_of_draws",
]

ANNUAL_RETURN, VOLATILITY, SHARPE, SORTINO, CVAR, TURNOVER, COST_SHARE, EXPOSURE, HIT_RATE = range(9)
CODES = {
    "annual_return": ANNUAL_RETURN,
    "volatility": VOLATILITY,
    "sharpe": SHARPE,
    "sortino": SORTINO,
    "cvar_95": CVAR,
    "turnover": TURNOVER,
    "cost_share": COST_SHARE,
    "exposure": EXPOSURE,
    "hit_rate": HIT_RATE,
}
INPUTS = {  # the columns that a measure takes; those with one column ignore the second
    **dict.fromkeys(("volatility", "sharpe", "sortino", "cvar_95", "hit_rate", "max_drawdown"), ("return", "return")),
    "annual_return": ("log_return", "log_return"),
    "calmar": ("log_return", "return"),
    "turnover": ("traded", "equity"),
    "cost_share": ("costs", "equity"),
    "exposure": ("exposure", "ones"),
}
HOLDINGS = ("turnover", "cost_share", "exposure")  # measures of what was held and traded, not of returns
YEAR = 252.0


def columns_for(measure: str, path: Mapping[str, FloatArray]) -> tuple[FloatArray, FloatArray]:
    """The two columns of `INPUTS`, (n_paths, n_sessions) each.

    The second column of CVaR is the 5 % quantile of each path, (n_paths, 1): NumPy finds it faster than a compiled loop.
    """
    first, second = (path[name] for name in INPUTS[measure])
    if measure == "cvar_95":
        second = np.quantile(first, 0.05, axis=1, keepdims=True)
    return first, second


def influence(code: int, x: FloatArray, y: FloatArray) -> FloatArray:
    """The influence of each day of one path, in the unit of the measure, mean 0, (n_sessions,)."""
    psi = np.zeros(len(x))
    _value(code, x, y, psi)
    return psi


@njit(cache=True)
def values_of_draws(code: int, x: FloatArray, y: FloatArray, lengths: IntArray, block: int) -> tuple[FloatArray, FloatArray]:
    """Value and standard error of a measure on each of many paths, (n_boot,) each, from its columns as in `columns_for`."""
    n_boot, n = x.shape
    values, errors, psi = np.empty(n_boot), np.empty(n_boot), np.empty(n)
    for draw in range(n_boot):
        values[draw] = _value(code, x[draw], y[draw], psi)
        errors[draw] = _error(psi, lengths, block)
    return values, errors


@njit(cache=True)
def gaps_of_draws(
    code: int, sides: tuple[FloatArray, FloatArray, FloatArray, FloatArray], lengths: IntArray, block: int
) -> tuple[FloatArray, FloatArray]:
    """The difference of a measure between two strategies on each of many paths, and its standard error, (n_boot,) each.

    ``sides`` holds the two columns of the first and of the second strategy, on the same days.
    """
    x, y, other_x, other_y = sides
    n_boot, n = x.shape
    values, errors, psi, other = np.empty(n_boot), np.empty(n_boot), np.empty(n), np.empty(n)
    for draw in range(n_boot):
        values[draw] = _value(code, x[draw], y[draw], psi) - _value(code, other_x[draw], other_y[draw], other)
        errors[draw] = _error(psi - other, lengths, block)
    return values, errors


@njit(cache=True)
def deepest_falls(returns: FloatArray, lengths: IntArray) -> FloatArray:
    """Deepest fall below the running peak on each of many paths, wealth starting anew with each part, (n_boot,), <= 0."""
    deepest = np.zeros(len(returns))
    for draw in range(len(returns)):
        at = 0
        for length in lengths:
            wealth, peak = 1.0, 1.0
            for t in range(at, at + length):
                wealth *= 1.0 + returns[draw, t]
                peak = max(peak, wealth)
                deepest[draw] = min(deepest[draw], wealth / peak - 1.0)
            at += length
    return deepest


@njit(cache=True)
def block_sums(psi: FloatArray, lengths: IntArray, block: int) -> FloatArray:
    """Sums of influences over consecutive blocks of at least ``block`` sessions that do not cross parts."""
    sums, piece, at = np.zeros(np.maximum(1, lengths // block).sum()), 0, 0
    for length in lengths:
        count = max(1, length // block)
        for one in range(count):
            for t in range(at + length * one // count, at + length * (one + 1) // count):
                sums[piece] += psi[t]
            piece += 1
        at += length
    return sums


@njit(cache=True)
def _error(psi: FloatArray, lengths: IntArray, block: int) -> float:
    """Standard error of a mean of influences; NaN from fewer than two blocks."""
    sums = block_sums(psi, lengths, block)
    if len(sums) < 2:
        return math.nan
    return math.sqrt((sums**2).sum() * len(sums) / (len(sums) - 1)) / len(psi)


@njit(cache=True)
def _value(code: int, x: FloatArray, y: FloatArray, psi: FloatArray) -> float:  # noqa: PLR0911 - one per measure
    """The measure; fills ``psi`` with the influences."""
    if code == ANNUAL_RETURN:
        return _growth(x, psi)
    if code == CVAR:
        return _tail_mean(x, y[0], psi)
    if code == SORTINO:
        return _sortino(x, psi)
    if code == HIT_RATE:
        return _hit_rate(x, psi)
    if code == TURNOVER:
        return _ratio(x, y, psi, 0.5 * YEAR)
    if code == COST_SHARE:
        return _ratio(x, y, psi, YEAR)
    if code == EXPOSURE:
        return _ratio(x, y, psi, 1.0)
    return _spread(x, psi, code == SHARPE)


@njit(cache=True)
def _growth(logs: FloatArray, psi: FloatArray) -> float:
    mean = logs.mean()
    growth = math.exp(YEAR * mean)
    for t in range(len(logs)):
        psi[t] = growth * YEAR * (logs[t] - mean)
    return growth - 1.0


@njit(cache=True)
def _spread(returns: FloatArray, psi: FloatArray, sharpe: bool) -> float:
    """Volatility, or Sharpe; with u = (r - mean) / sd their influences are sd (u² - 1) / 2 and u - Sharpe (u² - 1) / 2."""
    n, mean, squares = len(returns), returns.mean(), 0.0
    for t in range(n):
        squares += (returns[t] - mean) ** 2
    if not squares > 0.0:
        psi[:] = 0.0
        return math.nan if sharpe else 0.0
    root, sd = math.sqrt(squares / n), math.sqrt(squares / (n - 1))
    ratio = mean / sd
    for t in range(n):
        u = (returns[t] - mean) / root
        half = 0.5 * (u * u - 1.0)
        psi[t] = math.sqrt(YEAR) * (u - ratio * half if sharpe else sd * half)
    return math.sqrt(YEAR) * (ratio if sharpe else sd)


@njit(cache=True)
def _sortino(returns: FloatArray, psi: FloatArray) -> float:
    n, mean, squares = len(returns), returns.mean(), 0.0
    for t in range(n):
        squares += min(returns[t], 0.0) ** 2
    if not squares > 0.0:
        psi[:] = 0.0
        return math.nan
    down = math.sqrt(squares / n)
    for t in range(n):
        surplus = 0.5 * (min(returns[t], 0.0) ** 2 / down**2 - 1.0)
        psi[t] = math.sqrt(YEAR) * (returns[t] - mean - mean * surplus) / down
    return float(math.sqrt(YEAR) * mean / down)


@njit(cache=True)
def _tail_mean(returns: FloatArray, quantile: float, psi: FloatArray) -> float:
    """Mean of the returns at or below their 5 % quantile; its influence is the shortfall below the quantile by the share."""
    n, total, count = len(returns), 0.0, 0
    for t in range(n):
        if returns[t] <= quantile:
            total += returns[t]
            count += 1
    short = total - count * quantile
    for t in range(n):
        psi[t] = (min(returns[t] - quantile, 0.0) * n - short) / count
    return float(total / count)


@njit(cache=True)
def _hit_rate(returns: FloatArray, psi: FloatArray) -> float:
    gains, moves = (returns > 0.0).sum(), (returns != 0.0).sum()
    if not moves:
        psi[:] = 0.0
        return math.nan
    share = gains / moves
    for t in range(len(returns)):
        psi[t] = ((returns[t] > 0.0) - share * (returns[t] != 0.0)) * len(returns) / moves
    return float(share)


@njit(cache=True)
def _ratio(above: FloatArray, below: FloatArray, psi: FloatArray, factor: float) -> float:
    mean = below.mean()
    ratio = above.mean() / mean
    for t in range(len(above)):
        psi[t] = factor * (above[t] - ratio * below[t]) / mean
    return float(factor * ratio)
