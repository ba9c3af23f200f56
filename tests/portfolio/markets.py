"""Random markets with everything that can go wrong: gaps, halts, delistings, caps, unknown inputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glassbox_bt.portfolio.book import Bars
from glassbox_bt.portfolio.costs import Costs
from glassbox_bt.types import BoolArray, FloatArray


@dataclass(frozen=True)
class Case:
    bars: Bars
    targets: FloatArray
    costs: Costs


def plain_bars(prices: FloatArray) -> Bars:
    """A market without gaps, volume or volatility: opens equal closes."""
    unknown = np.full_like(prices, np.nan)
    return Bars(
        open=prices,
        close=prices,
        mark=prices,
        tradable=np.ones(prices.shape, dtype=bool),
        delist_price=unknown,
        sigma=unknown,
        adv_units=unknown,
    )


def random_case(seed: int) -> Case:
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(8, 36)), int(rng.integers(1, 8)))
    close = rng.uniform(1, 300, shape[1]) * np.exp(np.cumsum(rng.normal(0, 0.04, shape), axis=0))
    observed = rng.random(shape) > 0.08
    delist_price, delist_code = _delistings(close, observed, rng)
    close[~observed] = np.nan
    opened = close * np.exp(rng.normal(0, 0.02, shape))
    capital = float(rng.choice([1e3, 1e6]))
    bars = Bars(
        open=opened,
        close=close,
        mark=_carried_forward(close),
        tradable=observed & (rng.random(shape) > 0.08),
        delist_price=delist_price,
        sigma=_with_gaps(rng.uniform(0.005, 0.05, shape), rng),
        adv_units=_with_gaps(capital / 100 * np.exp(rng.normal(0, 2, shape)), rng),
        delist_code=delist_code,
        half_spread_bps=_with_gaps(rng.uniform(1, 50, shape), rng) if seed % 2 else None,
    )
    return Case(bars, _targets(shape, rng), _costs(capital, rng))


def _costs(capital: float, rng: np.random.Generator) -> Costs:
    return Costs(
        commission_bps=float(rng.choice([0.0, 1.0, 30.0])),
        half_spread_bps=float(rng.choice([0.0, 5.0, 80.0])),
        impact=float(rng.choice([0.0, 0.1, 1.0])),
        participation=float(rng.choice([0.02, 0.1, 1.0])),
        min_trade=float(rng.choice([0.0, 0.0025, 0.05])),
        capital=capital,
        cash_interest=float(rng.choice([0.0, 0.0, 0.03])),
    )


def _targets(shape: tuple[int, int], rng: np.random.Generator) -> FloatArray:
    """Weights that often sum to more than one; some names out, some without an order."""
    weights = rng.dirichlet(np.ones(shape[1]), size=shape[0]) * rng.uniform(0.2, 1.6, (shape[0], 1))
    weights[rng.random(shape) < 0.2] = 0.0
    weights[rng.random(shape) < 0.3] = np.nan
    return weights


def _delistings(close: FloatArray, observed: BoolArray, rng: np.random.Generator) -> tuple[FloatArray, np.ndarray]:
    price, code = np.full(close.shape, np.nan), np.zeros(close.shape, dtype=np.int8)
    for asset in np.flatnonzero(rng.random(close.shape[1]) < 0.3):
        day = int(rng.integers(2, close.shape[0]))
        price[day, asset] = close[day - 1, asset] * rng.choice([0.0, 0.7, 1.0])
        code[day, asset] = rng.integers(1, 3)
        observed[day + int(rng.integers(0, 2)) :, asset] = False  # some still quote on their last day
    return price, code


def _carried_forward(close: FloatArray) -> FloatArray:
    mark = close.copy()
    for t in range(1, len(mark)):
        mark[t] = np.where(np.isnan(mark[t]), mark[t - 1], mark[t])
    return mark


def _with_gaps(values: FloatArray, rng: np.random.Generator) -> FloatArray:
    values[rng.random(values.shape) < 0.1] = np.nan
    return values
