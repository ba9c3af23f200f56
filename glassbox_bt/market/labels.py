"""What came of a decision: outcomes by decision day, each with the time at which it was known.

A decision on session *t* is filled at the open of *t* + 1, or at its close in a market without
opens. The entry must be an observed bar with trading. From there the path is *H* sessions long:

* with opens: entry ``open[t+1]``, then the bars of *t* + 1 .. *t* + H;
* without: entry ``close[t+1]``, then the bars of *t* + 2 .. *t* + 1 + H.

It is known at the close of its last bar.

``close[t]`` is never an entry and a filled bar never an outcome: a label is missing where over 10 %
of its path is unobserved (D-TEC-04), or where a return would end on an unobserved bar. A name that
is booked out within the path ends there at its ``delist_price``, so that losers keep their outcome.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numba import njit

from glassbox_bt.market.store import Label
from glassbox_bt.types import AnyArray, BoolArray, FloatArray, IntArray

__all__ = ["LABELS", "build_labels", "forward_returns", "known_later", "next_log_return_1d"]

_RETURN, _VOL, _DRAWDOWN, _EXCURSION, _RECOVERY, _EXCESS = range(6)
_SHALLOW = 0.005  # a smaller drawdown is nothing to recover from (spec §12)

LABELS: Mapping[str, tuple[int, int]] = {
    "forward_log_return_5d": (_RETURN, 5),
    "forward_log_return_20d": (_RETURN, 20),
    "forward_vol_10d": (_VOL, 10),
    "forward_vol_20d": (_VOL, 20),
    "forward_vol_30d": (_VOL, 30),
    "forward_drawdown_10d": (_DRAWDOWN, 10),
    "forward_drawdown_30d": (_DRAWDOWN, 30),
    "forward_recovery_days_10d": (_RECOVERY, 10),
    "forward_recovery_days_30d": (_RECOVERY, 30),
    "forward_excursion_5d": (_EXCURSION, 5),
    "forward_excess_log_return_10d": (_EXCESS, 10),
}
"""Name to (kind of outcome, length of the path in sessions)."""


def build_labels(columns: Mapping[str, AnyArray], decided_at: AnyArray, *, has_opens: bool) -> dict[str, Label]:
    """Outcomes of every decision day.

    * ``forward_log_return_*``: log return from entry to the last close of the path; a loss of over
      99 % counts as 99 %, because a total one has no logarithm and must not drop out.
    * ``forward_vol_*``: population deviation of the close-to-close log returns within the path,
      annualised and clipped to [0.01, 5]. The part-day from an open to its close is left out: it
      would understate a day. Missing where the name was booked out before 90 % of the path.
    * ``forward_drawdown_*``: largest fall of the closes from their running peak, which starts at
      the entry; a positive fraction, clipped to 0.8.
    * ``forward_recovery_days_*``: sessions from the trough of that fall back to its peak; the length of the path where the
      peak is not reached again within it, 0 where the fall is under 0.5 %. The first trough counts where two are alike.
    * ``forward_excursion_*``: highest high plus lowest low of the path over entry, less 2: how far
      it went for the position less how far against it. Closes where a bar has no high or low.
    * ``forward_excess_log_return_*``: less `_benchmark_return`; a name that is booked out is cash from there on.

    Parameters
    ----------
    columns : Mapping[str, AnyArray]
        ``open, high, low, close, tradable`` of shape (n_sessions, n_assets); ``delist_price``
        (NaN except on the session a name is booked out) where the market has delistings; ``benchmark_mark`` (n_sessions,).
    decided_at : AnyArray
        Decision time of each session, UTC, (n_sessions,).
    has_opens : bool
        Whether positions are entered at opens.

    Returns
    -------
    dict[str, Label]
        By the names of `LABELS`.
    """
    entry, bars = _entry(columns, has_opens), _bars(columns)
    delay = 1 if has_opens else 2
    labels: dict[str, Label] = {}
    for name, (kind, horizon) in LABELS.items():
        values = np.ascontiguousarray(_outcomes(entry, bars, horizon, delay, _RETURN if kind == _EXCESS else kind).T)
        if kind == _EXCESS:
            values -= _benchmark_return(columns["benchmark_mark"], horizon, delay)[:, None]
        labels[name] = Label(values, known_later(decided_at, horizon + delay - 1))
    return labels


def forward_returns(columns: Mapping[str, AnyArray], horizon: int, *, has_opens: bool) -> tuple[FloatArray, int]:
    """Log returns over ``horizon`` sessions from each decision, as in `build_labels`, and when they are known.

    Returns
    -------
    tuple
        Returns (n_sessions, n_assets), and the number of sessions after the decision at whose close they are known.
    """
    delay = 1 if has_opens else 2
    outcomes = _outcomes(_entry(columns, has_opens), _bars(columns), horizon, delay, _RETURN)
    return np.ascontiguousarray(outcomes.T), horizon + delay - 1


def next_log_return_1d(columns: Mapping[str, AnyArray], days: IntArray) -> FloatArray:
    """Log return from the close of each of ``days`` to that of the session after it, (n_days, n_assets); no label.

    It is the return of a holder, and the one that a value at risk of day *t* is a quantile of: `features.log_return_1d` one
    session later, over the gap where the name had no bar on the day. A name that is booked out loses what it is booked out
    at, at most 99 %. NaN where the next session has no bar, and on the last of ``days``: what comes after is not theirs.

    Parameters
    ----------
    columns : Mapping[str, AnyArray]
        ``log_return_1d, mark``, (n_sessions, n_assets); ``delist_price`` where the market has delistings.
    days : IntArray
        Consecutive sessions, ascending.
    """
    out = np.full((len(days), columns["mark"].shape[1]), np.nan)
    now, later = days[:-1], days[1:]
    realised = np.array(columns["log_return_1d"][later], dtype=np.float64)
    if "delist_price" in columns:
        price, mark = columns["delist_price"][later], columns["mark"][now]
        gone = np.isfinite(price) & np.isfinite(mark)
        realised[gone] = np.log(np.maximum(price[gone] / mark[gone], 0.01))
    out[:-1] = realised
    return out


def _benchmark_return(level: AnyArray, horizon: int, delay: int) -> FloatArray:
    """Log return of the benchmark up to the last close of each decision's path, (n_sessions,); NaN where it has no level.

    It is the market's own, or its equal-weight universe: the store's fact ``benchmark``. It has closes only. So where
    positions are entered at an open it counts from the close before, and its move over that night is in every name's label.
    """
    out = np.full(len(level), np.nan)
    first, last = delay - 1, horizon + delay - 1  # sessions after the decision
    if last < len(level):
        out[:-last] = np.log(level[last:] / level[first : len(level) - horizon])
    return out


def _entry(columns: Mapping[str, AnyArray], has_opens: bool) -> FloatArray:
    """Price at which a decision of each session is filled, (n_assets, n_sessions)."""
    price = np.asarray(columns["open" if has_opens else "close"], dtype=np.float64)
    fillable: BoolArray = np.isfinite(columns["close"]) & (np.asarray(columns["tradable"]) > 0)
    entry = np.full(price.shape, np.nan)
    entry[:-1] = np.where(fillable[1:], price[1:], np.nan)
    return np.ascontiguousarray(entry.T)


def _bars(
    columns: Mapping[str, AnyArray],
) -> tuple[FloatArray, FloatArray, FloatArray, BoolArray]:
    """Close, high, low with the delisting price as a last bar, and where that is; by asset."""
    close = np.asarray(columns["close"], dtype=np.float64)
    delist = np.asarray(columns.get("delist_price", np.full(close.shape, np.nan)))
    booked_out = np.isfinite(delist)

    def bar(values: AnyArray) -> FloatArray:
        observed = np.where(np.isfinite(values), values, close)
        return np.ascontiguousarray(np.where(booked_out, delist, observed).T, dtype=np.float64)

    return bar(close), bar(columns["high"]), bar(columns["low"]), np.ascontiguousarray(booked_out.T)


def known_later(decided_at: AnyArray, sessions: int) -> AnyArray:
    """The decision time ``sessions`` sessions after each one; NaT where the data end before."""
    known_at = np.full(decided_at.shape, np.datetime64("NaT"), dtype=decided_at.dtype)
    if sessions < len(decided_at):
        known_at[:-sessions] = decided_at[sessions:]
    return known_at


@njit(cache=True)
def _outcomes(
    entry: FloatArray,
    bars: tuple[FloatArray, FloatArray, FloatArray, BoolArray],
    horizon: int,
    delay: int,
    kind: int,
) -> FloatArray:
    close, high, low, booked_out = bars
    n_assets, n_sessions = close.shape
    out = np.full((n_assets, n_sessions), np.nan)
    for asset in range(n_assets):
        for day in range(n_sessions - horizon - delay + 1):
            price = entry[asset, day]
            first, after = day + delay, day + delay + horizon
            if not np.isfinite(price):
                continue
            n_bars = _length(close[asset, first:after], booked_out[asset, first:after])
            if n_bars == 0:
                continue
            stop = first + n_bars
            if kind == _RETURN:
                out[asset, day] = _log_return(price, close[asset, stop - 1])
            elif kind == _DRAWDOWN:
                out[asset, day] = _drawdown(price, close[asset, first:stop])
            elif kind == _RECOVERY:
                out[asset, day] = _recovery(price, close[asset, first:stop], horizon)
            elif kind == _EXCURSION:
                out[asset, day] = _excursion(price, high[asset, first:stop], low[asset, first:stop])
            elif not booked_out[asset, stop - 1]:
                out[asset, day] = _volatility(close[asset, day + 1 : stop])
    return out


@njit(cache=True)
def _length(close: FloatArray, booked_out: BoolArray) -> int:
    """Sessions of the path up to its end or the booking-out; 0 if over 10 % are unobserved.

    The sessions between a name's last bar and its booking-out are no holes: it was gone.
    """
    holes, since_bar = 0, 0
    for at in range(close.size):
        if booked_out[at]:
            return at + 1 if 10 * holes <= close.size else 0
        if np.isfinite(close[at]):
            holes += since_bar
            since_bar = 0
        else:
            since_bar += 1
    return close.size if 10 * (holes + since_bar) <= close.size else 0


@njit(cache=True)
def _log_return(entry: float, last: float) -> float:
    if np.isnan(last):
        return np.nan
    return float(np.log(max(last / entry, 0.01)))


@njit(cache=True)
def _volatility(close: FloatArray) -> float:
    count, total, squares = 0, 0.0, 0.0
    returns = np.empty(close.size)
    last = np.nan
    for price in close:
        if np.isfinite(price):
            if np.isfinite(last):
                returns[count] = np.log(price / last)
                total += returns[count]
                count += 1
            last = price
    for at in range(count):
        squares += (returns[at] - total / count) ** 2
    return float(min(5.0, max(0.01, np.sqrt(squares / count * 252.0))))


@njit(cache=True)
def _drawdown(entry: float, close: FloatArray) -> float:
    peak, deepest = entry, 0.0
    for price in close:
        if np.isfinite(price):
            peak = max(peak, price)
            deepest = max(deepest, 1.0 - price / peak)
    return float(min(0.8, deepest))


@njit(cache=True)
def _recovery(entry: float, close: FloatArray, horizon: int) -> float:
    peak, deepest, trough, before = entry, 0.0, -1, entry
    for at in range(close.size):
        if np.isfinite(close[at]):
            peak = max(peak, close[at])
            if 1.0 - close[at] / peak > deepest:
                deepest, trough, before = 1.0 - close[at] / peak, at, peak
    if deepest < _SHALLOW:
        return 0.0
    for at in range(trough + 1, close.size):
        if close[at] >= before:  # NaN compares False
            return float(at - trough)
    return float(horizon)


@njit(cache=True)
def _excursion(entry: float, high: FloatArray, low: FloatArray) -> float:
    best, worst = entry, entry
    for at in range(high.size):
        if np.isfinite(high[at]):
            best, worst = max(best, high[at]), min(worst, low[at])
    return float((best + worst) / entry - 2.0)
