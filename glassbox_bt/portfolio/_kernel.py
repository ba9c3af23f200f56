"""The compiled steps of `simulate` and `Account`, and the arrays they work on.

One session, in this order:

1. Interest on the cash held overnight (off by default)                                       `fill`
2. Holdings with a delisting price are booked out at it, without cost                         `_book_out`
3. Yesterday's sells are filled at today's open; costs are paid from the proceeds             `_sell`
4. Yesterday's buys are filled with what cash there is, all scaled by one factor              `_buy`
5. The book is marked: equity = cash + Σ shares × mark                                        `_mark`
6. Today's targets become orders: Δweight × equity / mark units, fixed now, filled tomorrow   `decide`

An order that cannot be filled at its session dies and is recorded as such; whoever decides, decides
again. The factor of step 4 is cash / Σ value × (1 + cost rate), with the rates of the unscaled
orders. Impact grows with size, so the scaled orders cost no more than that and cash never falls
below zero.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from glassbox_bt.portfolio.book import FillCode
from glassbox_bt.types import BoolArray, FloatArray, IntArray

__all__ = ["Days", "Hand", "Log", "Tape", "Terms", "World", "decide", "fill", "most_records", "run"]

FILLED = int(FillCode.FILLED)
PARTIAL_CASH = int(FillCode.PARTIAL_CASH)
PARTIAL_PARTICIPATION = int(FillCode.PARTIAL_PARTICIPATION)
UNFILLED_NOT_TRADABLE = int(FillCode.UNFILLED_NOT_TRADABLE)
DELISTED = int(FillCode.DELISTED)
ASSUMED_DELISTING = int(FillCode.ASSUMED_DELISTING)


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
    """The columns of `Fills`, with room; the first ``n`` rows count."""

    n: IntArray  # (1,)
    filled_session: NDArray[np.int32]
    asset: NDArray[np.int32]
    side: NDArray[np.int8]
    code: NDArray[np.int8]
    ordered_shares: FloatArray
    filled_shares: FloatArray
    price: FloatArray
    commission: FloatArray
    spread: FloatArray
    impact: FloatArray


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
    _sell(t, w)
    _buy(t, w)
    w.hand.n_orders[0] = 0
    _mark(t, w)


@njit(cache=True)
def _book_out(t: int, w: World) -> None:
    shares = w.hand.shares
    for j in range(shares.shape[0]):
        price = w.tape.delist_price[t, j]
        if shares[j] == 0.0 or math.isnan(price):
            continue
        assumed = w.tape.delist_code.size > 0 and w.tape.delist_code[t, j] == 2
        row = _write(t, j, ASSUMED_DELISTING if assumed else DELISTED, -shares[j], w)
        w.log.filled_shares[row] = shares[j]
        w.log.price[row] = price
        w.hand.cash[0] += shares[j] * price
        shares[j] = 0.0


@njit(cache=True)
def _sell(t: int, w: World) -> None:
    hand = w.hand
    for k in range(hand.n_orders[0]):
        j, ordered = hand.order_asset[k], hand.order_units[k]
        if ordered > 0.0:
            continue
        if not _can_fill(t, j, w):
            _write(t, j, UNFILLED_NOT_TRADABLE, ordered, w)
            continue
        allowed = _allowed(t, j, -ordered, w)
        code = FILLED if allowed == -ordered else PARTIAL_PARTICIPATION
        _execute(t, j, -min(allowed, hand.shares[j]), _write(t, j, code, ordered, w), w)


@njit(cache=True)
def _buy(t: int, w: World) -> None:
    hand = w.hand
    wanted = 0.0
    for k in range(hand.n_orders[0]):
        j, ordered = hand.order_asset[k], hand.order_units[k]
        if ordered > 0.0 and _can_fill(t, j, w):
            allowed = _allowed(t, j, ordered, w)
            rate = w.terms.commission + _half_spread(t, j, w) + _impact(t, j, allowed, w)
            wanted += allowed * w.tape.price[t, j] * (1.0 + rate)
    scale = 1.0 if wanted <= hand.cash[0] else max(hand.cash[0], 0.0) / wanted
    for k in range(hand.n_orders[0]):
        j, ordered = hand.order_asset[k], hand.order_units[k]
        if ordered <= 0.0:
            continue
        if not _can_fill(t, j, w):
            _write(t, j, UNFILLED_NOT_TRADABLE, ordered, w)
            continue
        allowed = _allowed(t, j, ordered, w)
        code = FILLED if allowed == ordered else PARTIAL_PARTICIPATION
        if scale < 1.0:
            code = PARTIAL_CASH
        _execute(t, j, allowed * scale, _write(t, j, code, ordered, w), w)


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
def _can_fill(t: int, j: int, w: World) -> bool:
    """A name that is booked out today no longer trades."""
    return bool(w.tape.tradable[t, j]) and math.isnan(w.tape.delist_price[t, j])


@njit(cache=True)
def _allowed(t: int, j: int, units: float, w: World) -> float:
    """Units under the participation cap, from the volume known at the decision; no volume, no cap."""
    adv = w.tape.adv_units[t - 1, j]
    return units if math.isnan(adv) else min(units, w.terms.participation * adv)


@njit(cache=True)
def _half_spread(t: int, j: int, w: World) -> float:
    """Fraction of traded value, known at the decision."""
    if w.tape.half_spread.size > 0 and not math.isnan(w.tape.half_spread[t - 1, j]):
        return float(w.tape.half_spread[t - 1, j] / 1e4)
    return w.terms.half_spread


@njit(cache=True)
def _impact(t: int, j: int, units: float, w: World) -> float:
    """Fraction of traded value, from what was known at the decision; 0 where volatility or volume is unknown."""
    sigma, adv = w.tape.sigma[t - 1, j], w.tape.adv_units[t - 1, j]
    if units == 0.0 or math.isnan(sigma) or math.isnan(adv):
        return 0.0
    return float(w.terms.impact * sigma * math.sqrt(units / adv))


@njit(cache=True)
def _execute(t: int, j: int, units: float, row: int, w: World) -> None:
    """Move shares and money of one order; ``units`` negative = sell."""
    if units == 0.0:
        return
    price = w.tape.price[t, j]
    value = abs(units) * price
    commission = value * w.terms.commission
    spread = value * _half_spread(t, j, w)
    impact = value * _impact(t, j, abs(units), w)
    cost = commission + spread + impact
    w.hand.shares[j] += units
    w.hand.cash[0] -= units * price + cost
    w.hand.n_without_impact[0] += math.isnan(w.tape.sigma[t - 1, j]) or math.isnan(w.tape.adv_units[t - 1, j])
    w.days.traded[t] += value
    w.days.costs[t] += cost
    w.log.filled_shares[row] = abs(units)
    w.log.price[row] = price
    w.log.commission[row] = commission
    w.log.spread[row] = spread
    w.log.impact[row] = impact


@njit(cache=True)
def _write(t: int, j: int, code: int, ordered: float, w: World) -> int:
    """A new row of the log, with nothing filled yet."""
    log = w.log
    row = int(log.n[0])
    log.n[0] = row + 1
    log.filled_session[row] = t
    log.asset[row] = j
    log.side[row] = 1 if ordered > 0.0 else -1
    log.code[row] = code
    log.ordered_shares[row] = abs(ordered)
    log.filled_shares[row] = 0.0
    log.price[row] = math.nan
    log.commission[row] = 0.0
    log.spread[row] = 0.0
    log.impact[row] = 0.0
    return row


@njit(cache=True)
def most_records(targets: FloatArray, delist_price: FloatArray) -> int:
    """Upper bound of the rows of the log: every target an order, every delisting a holding."""
    n = 0
    for t in range(targets.shape[0]):
        for j in range(targets.shape[1]):
            n += not math.isnan(targets[t, j])
            n += not math.isnan(delist_price[t, j])
    return n
