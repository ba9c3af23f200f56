"""What a book earned, risked and cost; each number is a plain formula on returns or fills.

Returns are simple, per session, the first against the starting capital. A year has 252 sessions, the risk-free rate is 0. A
number that is not defined (a ratio to zero risk, a hit rate without an exit) is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from glassbox_bt.errors import ContractError
from glassbox_bt.portfolio.book import Book, Fills
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


def summarise(book: Book) -> Mapping[str, float]:
    """The metrics of one book.

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
        - ``cost_share``: commission, spread and impact ÷ mean equity, per year
        - ``exposure``: mean invested fraction of equity
        - ``n_trades``: orders filled, wholly or in part; delistings do not count
        - ``hit_rate``: share of exits with a profit, see `hit_rate`
    """
    returns, fills = book.returns, book.fills
    per_year = SESSIONS_PER_YEAR / len(returns) / float(book.equity.mean())
    yearly, drawdown = annual_return(returns), max_drawdown(returns)
    return MappingProxyType(
        {
            "annual_return": yearly,
            "volatility": annual_volatility(returns),
            "sharpe": sharpe(returns),
            "sortino": sortino(returns),
            "max_drawdown": drawdown,
            "calmar": _ratio(yearly, -drawdown),
            "cvar_95": cvar_95(returns),
            "turnover": 0.5 * float(book.traded.sum()) * per_year,
            "cost_share": float(book.costs.sum()) * per_year,
            "exposure": float(book.exposure.mean()),
            "n_trades": float(np.count_nonzero((fills.filled_shares > 0.0) & ~fills.is_delisting)),
            "hit_rate": hit_rate(fills),
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


def hit_rate(fills: Fills) -> float:
    """Share of exits (sells and delistings) that earned a profit after all costs, against the average cost of the holding."""
    units: dict[int, float] = {}
    paid: dict[int, float] = {}
    hits: list[bool] = []
    value, costs = fills.value.tolist(), fills.costs.tolist()
    for row in np.flatnonzero(fills.filled_shares > 0.0).tolist():
        asset, filled = int(fills.asset[row]), float(fills.filled_shares[row])
        held, cost = units.get(asset, 0.0), paid.get(asset, 0.0)
        if fills.side[row] > 0:
            units[asset], paid[asset] = held + filled, cost + value[row] + costs[row]
            continue
        share = filled / held
        hits.append(value[row] - costs[row] > share * cost)
        units[asset], paid[asset] = held - filled, cost - share * cost
    return sum(hits) / len(hits) if hits else math.nan


def _ratio(above: float, below: float) -> float:
    return above / below if below > 0.0 else math.nan


def _require(returns: FloatArray, least: int) -> None:
    if returns.ndim != 1 or len(returns) < least:
        raise ContractError(f"Needs at least {least} returns of one strategy, got shape {returns.shape}.")
