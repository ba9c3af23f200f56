"""The compiled steps of `simulate` and `Account`, and the arrays they work on.

One session, in this order:

1. Interest on the cash held overnight (off by default)                                       `fill`
2. Holdings with a delisting price are booked out at it, without cost                         `_book_out`
3. Yesterday's sells are filled at today's open; costs are paid from the proceeds             `_trade`
4. Yesterday's buys are filled with what cash there is, all scaled by one factor              `_wanted`, `_trade`
5. The book is marked: equity = cash + Σ shares × mark                                        `_mark`
6. Today's targets become orders: Δweight × equity / mark units, fixed now, filled tomorrow   `decide`

An order that cannot be filled at its session dies and is recorded as such; whoever decides, decides
again. The factor of step 4 is cash / Σ value × (1 + cost rate), with the rates of the unscaled
orders. Impact grows with size, so the scaled orders cost no more than that and cash never falls
below zero.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from glassbox_bt.portfolio.book import FillCode
from glassbox_bt.types import AnyArray, BoolArray, FloatArray, IntArray

__all__ = ["Days", "Hand", "Log", "Tape", "Terms", "World", "decide", "fill", "most_records", "run"]

FILLED = int(FillCode.FILLED)
PARTIAL_CASH = int(FillCode.PARTIAL_CASH)
PARTIAL_PARTICIPATION = int(FillCode.PARTIAL_PARTICIPATION)
UNFILLED_NOT_TRADABLE = int(FillCode.UNFILLED_NOT_TRADABLE)
DELISTED = int(FillCode.DELISTED)
ASSUMED_DELISTING = int(FillCode.ASSUMED_DELISTING)


DUST = 1e-9  # cash for less than this fraction of the buys is a rounding error, and buys nothing

ROW = np.dtype(
    [
        ("filled_session", np.int32),
        ("asset", np.int32),
        ("side", np.int8),
        ("code", np.int8),
        ("ordered_shares", np.float64),
        ("filled_shares", np.float64),
        ("price", np.float64),
        ("commission", np.float64),
        ("spread", np.float64),
        ("impact", np.float64),
    ],
    align=True,
)


class Tape(NamedTuple):
    """`Bars` as the compiled code reads them: contiguous, read-only; the two optional arrays empty where not given."""

    price: FloatArray
    mark: FloatArray
    tradable: BoolArray
    delist_price: FloatArray
    sigma: FloatArray
    adv_units: FloatArray
    delist_code: NDArray[np.int8]
    half_spread: FloatArray  # basis points


class Terms(NamedTuple):
    commission: float  # this and the next: fractions of traded value
    half_spread: float
    impact: float
    participation: float
    min_trade: float
    interest: float  # per session


class Hand(NamedTuple):
    """What is owned and ordered now; arrays of one element are the numbers that change."""

    cash: FloatArray  # (1,)
    shares: FloatArray  # (n_assets,)
    order_asset: IntArray  # (n_assets,), the first n_orders count
    order_units: FloatArray  # (n_assets,), negative = sell
    n_orders: IntArray  # (1,)
    n_without_impact: IntArray  # (1,)
    n_unpriced: IntArray  # (1,)


class Log(NamedTuple):
    """The rows of `Fills`, with room; the first ``n`` count."""

    n: IntArray  # (1,)
    rows: AnyArray  # of dtype ROW


class Days(NamedTuple):
    equity: FloatArray
    cash: FloatArray
    shares: FloatArray
    costs: FloatArray
    traded: FloatArray
    interest: FloatArray


class World(NamedTuple):
    tape: Tape
    terms: Terms
    hand: Hand
    log: Log
    days: Days


@njit(cache=True)
def run(targets: FloatArray, w: World) -> int:
    """Every session in turn; the last session reached, which is not the end where a mark is missing."""
    last = int(targets.shape[0]) - 1
    for t in range(last + 1):
        fill(t, w)
        if math.isnan(w.days.equity[t]):
            return t
        if t < last:
            decide(t, targets[t], w)
    return last


@njit(cache=True)
def fill(t: int, w: World) -> None:
    """Steps 1 to 5; uses the orders of session t - 1 and nothing of the tape after t."""
    if t > 0:
        interest = max(w.hand.cash[0], 0.0) * w.terms.interest
        w.hand.cash[0] += interest
        w.days.interest[t] = interest
    _book_out(t, w)
    _trade(t, -1.0, 1.0, w)
    wanted, cash = _wanted(t, w), max(w.hand.cash[0], 0.0)  # cash may lie a rounding error below zero
    scale = 1.0 if wanted <= cash else cash / wanted
    _trade(t, 1.0, scale if scale > DUST else 0.0, w)
    w.hand.n_orders[0] = 0
    _mark(t, w)


@njit(cache=True)
def _book_out(t: int, w: World) -> None:
    shares, prices, codes = w.hand.shares, w.tape.delist_price[t], w.tape.delist_code
    for j in range(shares.shape[0]):
        if shares[j] == 0.0 or math.isnan(prices[j]):
            continue
        row = w.log.rows[w.log.n[0]]
        w.log.n[0] += 1
        _write(row, t, j, -shares[j])
        row.code = ASSUMED_DELISTING if codes.size > 0 and codes[t, j] == 2 else DELISTED
        row.filled_shares = shares[j]
        row.price = prices[j]
        w.hand.cash[0] += shares[j] * prices[j]
        shares[j] = 0.0


@njit(cache=True)
def _wanted(t: int, w: World) -> float:
    """Money that all buys would take at most, costs included."""
    price, tradable, gone = w.tape.price[t], w.tape.tradable[t], w.tape.delist_price[t]
    sigma, adv, half_spread = w.tape.sigma[t - 1], w.tape.adv_units[t - 1], w.tape.half_spread
    asset, units, terms = w.hand.order_asset, w.hand.order_units, w.terms
    wanted = 0.0
    for k in range(w.hand.n_orders[0]):
        j = asset[k]
        if units[k] <= 0.0 or not tradable[j] or not math.isnan(gone[j]):
            continue
        allowed = _allowed(units[k], adv[j], terms.participation)
        spread = _half_spread(half_spread[t - 1, j] if half_spread.size > 0 else math.nan, terms.half_spread)
        rate = terms.commission + spread + _impact(allowed, sigma[j], adv[j], terms.impact)
        wanted += allowed * price[j] * (1.0 + rate)
    return wanted


@njit(cache=True)
def _trade(t: int, side: float, scale: float, w: World) -> None:
    """Fill the orders of one side (+1 buy, -1 sell), each times ``scale``."""
    price, tradable, gone = w.tape.price[t], w.tape.tradable[t], w.tape.delist_price[t]
    sigma, adv, half_spread = w.tape.sigma[t - 1], w.tape.adv_units[t - 1], w.tape.half_spread
    asset, units, shares, terms = w.hand.order_asset, w.hand.order_units, w.hand.shares, w.terms
    cash, traded, costs, n, unknown = w.hand.cash[0], 0.0, 0.0, w.log.n[0], 0
    rows = w.log.rows
    for k in range(w.hand.n_orders[0]):
        j, ordered = asset[k], side * units[k]
        if ordered <= 0.0:
            continue
        row = rows[n]
        n += 1
        _write(row, t, j, units[k])
        if not tradable[j] or not math.isnan(gone[j]):
            row.code = UNFILLED_NOT_TRADABLE
            continue
        allowed = _allowed(ordered, adv[j], terms.participation)
        filled = allowed * scale if side > 0.0 else min(allowed, shares[j])
        if scale < 1.0:
            row.code = PARTIAL_CASH
        elif allowed < ordered:
            row.code = PARTIAL_PARTICIPATION
        if filled == 0.0:
            continue
        value = filled * price[j]
        spread = _half_spread(half_spread[t - 1, j] if half_spread.size > 0 else math.nan, terms.half_spread)
        row.filled_shares = filled
        row.price = price[j]
        row.commission = value * terms.commission
        row.spread = value * spread
        row.impact = value * _impact(filled, sigma[j], adv[j], terms.impact)
        cost = row.commission + row.spread + row.impact
        shares[j] += side * filled
        cash -= side * value + cost
        traded += value
        costs += cost
        unknown += math.isnan(sigma[j]) or math.isnan(adv[j])
    w.hand.cash[0] = cash
    w.log.n[0] = n
    w.days.traded[t] += traded
    w.days.costs[t] += costs
    w.hand.n_without_impact[0] += unknown


@njit(cache=True)
def _mark(t: int, w: World) -> None:
    value = w.hand.cash[0]
    for j in range(w.hand.shares.shape[0]):
        held = w.hand.shares[j]
        w.days.shares[t, j] = held
        if held != 0.0:
            value += held * w.tape.mark[t, j]
    w.days.cash[t] = w.hand.cash[0]
    w.days.equity[t] = value


@njit(cache=True)
def decide(t: int, targets: FloatArray, w: World) -> None:
    """Step 6; uses nothing of the tape after t. Selling down to zero is exempt from the smallest trade."""
    hand, equity = w.hand, w.days.equity[t]
    n = 0
    for j in range(targets.shape[0]):
        target, held, mark = targets[j], hand.shares[j], w.tape.mark[t, j]
        if math.isnan(target) or (target == 0.0 and held == 0.0) or equity <= 0.0:
            continue
        if math.isnan(mark):
            hand.n_unpriced[0] += 1
            continue
        gap = target - held * mark / equity
        units = -held if target == 0.0 else gap * equity / mark
        if units != 0.0 and (target == 0.0 or abs(gap) >= w.terms.min_trade):
            hand.order_asset[n] = j
            hand.order_units[n] = units
            n += 1
    hand.n_orders[0] = n


@njit(cache=True)
def _allowed(units: float, adv: float, participation: float) -> float:
    """Units under the participation cap; without volume data there is no cap."""
    return units if math.isnan(adv) else min(units, participation * adv)


@njit(cache=True)
def _half_spread(own_bps: float, otherwise: float) -> float:
    """Fraction of traded value."""
    return otherwise if math.isnan(own_bps) else own_bps / 1e4


@njit(cache=True)
def _impact(units: float, sigma: float, adv: float, factor: float) -> float:
    """Fraction of traded value; 0 where volatility or volume is unknown."""
    if units == 0.0 or math.isnan(sigma) or math.isnan(adv):
        return 0.0
    return factor * sigma * math.sqrt(units / adv)


@njit(cache=True)
def _write(row: Any, t: int, j: int, ordered: float) -> None:
    """Begin a row of the log, with nothing filled yet."""
    row.filled_session = t
    row.asset = j
    row.side = 1 if ordered > 0.0 else -1
    row.code = FILLED
    row.ordered_shares = abs(ordered)
    row.filled_shares = 0.0
    row.price = math.nan
    row.commission = 0.0
    row.spread = 0.0
    row.impact = 0.0


@njit(cache=True)
def most_records(targets: FloatArray, delist_price: FloatArray) -> int:
    """Upper bound of the rows of the log: every target an order, every delisting a holding."""
    n = 0
    for t in range(targets.shape[0]):
        for j in range(targets.shape[1]):
            n += not math.isnan(targets[t, j])
            n += not math.isnan(delist_price[t, j])
    return n
