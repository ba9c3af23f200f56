from __future__ import annotations

import math
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest

from glassbox_bt.errors import ContractError
from glassbox_bt.portfolio.metrics import (
    annual_return,
    annual_volatility,
    cvar_95,
    hit_rate,
    max_drawdown,
    sharpe,
    sortino,
    summarise,
)
from glassbox_bt.portfolio.simulate import Book, Costs, simulate
from tests.portfolio.markets import plain_bars

KEYS = [
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
]


def test_agree_with_quantstats() -> None:
    import quantstats.stats as qs

    returns = np.random.default_rng(3).normal(0.0004, 0.01, 600)
    returns[0] = -0.03  # a loss on the first day is a drawdown from the capital
    series = pd.Series(returns, index=pd.bdate_range("2010-01-04", periods=600))
    assert sharpe(returns) == pytest.approx(qs.sharpe(series, periods=252))
    assert sortino(returns) == pytest.approx(qs.sortino(series, periods=252))
    assert annual_volatility(returns) == pytest.approx(qs.volatility(series, periods=252))
    assert max_drawdown(returns) == pytest.approx(qs.max_drawdown(series))
    assert annual_return(returns) == pytest.approx(qs.cagr(series, periods=252))
    assert hit_rate(returns) == pytest.approx(qs.win_rate(series))


def test_plain_numbers() -> None:
    returns = np.array([0.1, -0.5, 0.0, 1.0])
    assert max_drawdown(returns) == pytest.approx(-0.5)
    assert annual_return(returns) == pytest.approx(1.1**63 - 1)
    assert hit_rate(returns) == pytest.approx(2 / 3)
    assert max_drawdown(np.array([0.1, 0.1])) == 0.0


def test_cvar_is_the_mean_of_the_worst_twentieth() -> None:
    returns = np.arange(1, 101) / 1e3 - 0.05
    assert cvar_95(returns) == pytest.approx(returns[:5].mean())


def test_turnover_and_costs_per_year() -> None:
    bars = plain_bars(np.full((252, 1), 100.0))
    free = Costs(commission_bps=10.0, half_spread_bps=0.0, impact=0.0, capital=1000.0)
    targets = np.full((252, 1), np.nan)
    targets[10], targets[20] = 0.5, 0.0  # bought and sold once: half of the book goes round once
    numbers = summarise_book(simulate(bars, targets, free))
    assert numbers["turnover"] == pytest.approx(0.5, rel=1e-3)
    assert numbers["cost_share"] == pytest.approx(1e-3, rel=1e-3)
    assert numbers["exposure"] == pytest.approx(0.5 * 10 / 252, rel=1e-3)


def test_cash_has_no_ratios() -> None:
    bars = plain_bars(np.full((10, 1), 100.0))
    numbers = summarise_book(simulate(bars, np.zeros((10, 1)), Costs()))
    assert list(numbers) == KEYS
    assert isinstance(numbers, MappingProxyType)
    undefined = {"sharpe", "sortino", "calmar", "hit_rate"}
    assert {name for name, value in numbers.items() if math.isnan(value)} == undefined
    assert all(numbers[name] == 0.0 for name in set(KEYS) - undefined)


def test_refuses_what_it_cannot_measure() -> None:
    one = np.array([0.1])
    with pytest.raises(ContractError, match="at least 2 returns"):
        summarise(equity=one, returns=one, exposure=one, traded=one, costs=one)
    with pytest.raises(ContractError, match="same sessions"):
        summarise(equity=one, returns=np.zeros(2), exposure=one, traded=one, costs=one)


def summarise_book(book: Book) -> MappingProxyType[str, float]:
    numbers = summarise(
        equity=book.equity, returns=book.returns, exposure=book.exposure, traded=book.traded, costs=book.costs
    )
    assert isinstance(numbers, MappingProxyType)
    return numbers
