"""What a book earned, risked and cost; each number is a plain formula on its recorded days.

Returns are simple, per session, the first against the starting capital. A year has 252 sessions, the risk-free rate is 0. A
number that is not defined (a ratio to zero risk, a hit rate of a book that never moved) is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from glassbox_bt.errors import ContractError
from glassbox_bt.types import FloatArray

__all__ = [
    "annual_return",
    "annual_volatility",
    "cvar_95",
    "hit_rate",
    "max_drawdown",
    "sharpe",
    "sortino",
    "summarise",
]

SESSIONS_PER_YEAR = 252.0


def summarise(
    *, equity: FloatArray, returns: FloatArray, exposure: FloatArray, traded: FloatArray, costs: FloatArray
) -> Mapping[str, float]:
    """The metrics of one strategy over one span of sessions; the arguments are those of `Book`, each (n_sessions,).

    Returns
    -------
    Mapping[str, float]
        Read-only, in the order of a table:

        - ``annual_return``: geometric, fraction per year
        - ``volatility``: standard deviation of returns, fraction per year
        - ``sharpe``, ``sortino``: see the functions
        - ``max_drawdown``: fraction of the running peak, <= 0
        - ``calmar``: ``annual_return`` / −``max_drawdown``
        - ``cvar_95``: mean of the worst 5 % of returns, fraction per session, negative = loss
        - ``turnover``: one-way, half of all bought and sold value ÷ mean equity, per year
        - ``cost_share``: commission, spread and impact ÷ mean equity, fraction per year
        - ``exposure``: mean invested fraction of equity
        - ``hit_rate``: share of sessions with a gain, among those that moved equity

    Raises
    ------
    ContractError
        Fewer than two sessions, or arrays of different lengths.
    """
    if len({len(values) for values in (equity, returns, exposure, traded, costs)}) != 1:
        raise ContractError("`equity`, `returns`, `exposure`, `traded` and `costs` must describe the same sessions.")
    yearly, drawdown = annual_return(returns), max_drawdown(returns)
    equity_years = float(equity.sum()) / SESSIONS_PER_YEAR
    return MappingProxyType(
        {
            "annual_return": yearly,
            "volatility": annual_volatility(returns),
            "sharpe": sharpe(returns),
            "sortino": sortino(returns),
            "max_drawdown": drawdown,
            "calmar": _ratio(yearly, -drawdown),
            "cvar_95": cvar_95(returns),
            "turnover": 0.5 * float(traded.sum()) / equity_years,
            "cost_share": float(costs.sum()) / equity_years,
            "exposure": float(exposure.mean()),
            "hit_rate": hit_rate(returns),
        }
    )


def annual_return(returns: FloatArray) -> float:
    """Geometric mean growth: Π(1 + r) to the power 252 / n, minus 1."""
    _require(returns, 1)
    return float(np.prod(1.0 + returns) ** (SESSIONS_PER_YEAR / len(returns)) - 1.0)


def annual_volatility(returns: FloatArray) -> float:
    """Standard deviation (n − 1) × √252."""
    _require(returns, 2)
    return float(np.std(returns, ddof=1)) * math.sqrt(SESSIONS_PER_YEAR)


def sharpe(returns: FloatArray) -> float:
    """Mean ÷ standard deviation (n − 1) × √252."""
    _require(returns, 2)
    return _ratio(float(returns.mean()), float(np.std(returns, ddof=1))) * math.sqrt(SESSIONS_PER_YEAR)


def sortino(returns: FloatArray) -> float:
    """Mean ÷ √(mean of min(r, 0)²) × √252; all sessions count in the mean square."""
    _require(returns, 1)
    downside = math.sqrt(float(np.mean(np.minimum(returns, 0.0) ** 2)))
    return _ratio(float(returns.mean()), downside) * math.sqrt(SESSIONS_PER_YEAR)


def max_drawdown(returns: FloatArray) -> float:
    """Deepest fall below the running peak, a fraction of it, <= 0; the starting capital is the first peak."""
    _require(returns, 1)
    wealth = np.concatenate([[1.0], np.cumprod(1.0 + returns)])
    return float(np.min(wealth / np.maximum.accumulate(wealth) - 1.0))


def cvar_95(returns: FloatArray) -> float:
    """Mean of the returns at or below their 5 % quantile (historical, linear interpolation); negative = loss."""
    _require(returns, 1)
    return float(returns[returns <= np.quantile(returns, 0.05)].mean())


def hit_rate(returns: FloatArray) -> float:
    """Share of sessions with a gain, among those with a gain or a loss."""
    _require(returns, 1)
    return _ratio(float(np.count_nonzero(returns > 0.0)), float(np.count_nonzero(returns)))


def _ratio(above: float, below: float) -> float:
    return above / below if below > 0.0 else math.nan


def _require(returns: FloatArray, least: int) -> None:
    if returns.ndim != 1 or len(returns) < least:
        raise ContractError(f"Needs at least {least} returns of one strategy, got shape {returns.shape}.")
