"""What a session's bars say about each name: ten encoder features, four liquidity features, ADV.

Every feature is a function of the session columns, ``(columns) -> (n_sessions, n_assets)``, and
row *t* uses rows up to *t* only. Windows are summed afresh at every row, never updated, so a value
depends on nothing outside its window, bit for bit; only RSI and MACD are recursions, and they start
at a name's first bar or at the first bar after a long gap.

What an observed bar is: a finite ``close``. An unobserved bar is never filled, never counted.

* *Windows* are counted in sessions. A window must lie within the life of a name (its first bar is
  not younger than the window) and at least 70 % of its bars must be observed, so that one halt does
  not silence a name. A feature is missing on a session without a bar; ``adv_21d`` alone looks back
  over trading only and stays known through a halt.
* *Returns over a gap*: a bar after at most five unobserved sessions carries the whole move since
  the last bar, so that summed returns equal the profit of holding. After a longer gap, when the
  portfolio has booked the name out, the first bar has no return.
* *Absent inputs*: what needs volume, high or low is missing everywhere in a market without them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numba import njit

from glassbox_bt.errors import ContractError
from glassbox_bt.types import AnyArray, FloatArray

__all__ = ["ENCODER_FEATURES", "FEATURES", "Feature", "build_features"]

Feature = Callable[[Mapping[str, AnyArray]], FloatArray]

ENCODER_FEATURES = (
    "log_return_1d",
    "vol_5d",
    "vol_21d",
    "rsi_14",
    "macd_hist",
    "bb_pos",
    "volume_ratio",
    "hl_ratio",
    "price_pos",
    "spy_corr_63d",
)

_SESSIONS_A_YEAR = 252
_MAX_GAP = 5  # unobserved sessions that a mark is carried over (D-MKT-02)
_MEAN, _SD, _MIN, _MAX, _MEDIAN = range(5)


def build_features(columns: Mapping[str, AnyArray]) -> dict[str, FloatArray]:
    """Every feature of `FEATURES`, computed from the session columns alone.

    Parameters
    ----------
    columns : Mapping[str, AnyArray]
        ``open, high, low, close, volume, raw_close, raw_volume`` of shape (n_sessions, n_assets)
        and ``benchmark_log_return_1d`` of shape (n_sessions,); NaN = unobserved.

    Returns
    -------
    dict[str, FloatArray]
        Name to (n_sessions, n_assets), NaN where missing.
    """
    return {name: feature(columns) for name, feature in FEATURES.items()}


def log_return_1d(columns: Mapping[str, AnyArray]) -> FloatArray:
    """Log return since the last bar, at most six sessions ago; a fraction, positive = gain."""
    close = _column(columns, "close")
    return _quotient(close, _previous(close), np.log)


def simple_return_1d(columns: Mapping[str, AnyArray]) -> FloatArray:
    """Simple return since the last bar, at most six sessions ago; greater than -1."""
    close = _column(columns, "close")
    return _quotient(close, _previous(close)) - 1.0


def vol_5d(columns: Mapping[str, AnyArray]) -> FloatArray:
    """Sample deviation of five sessions' log returns, annualised."""
    return _volatility(columns, 5)


def vol_21d(columns: Mapping[str, AnyArray]) -> FloatArray:
    """Sample deviation of 21 sessions' log returns, annualised."""
    return _volatility(columns, 21)


def rsi_14(columns: Mapping[str, AnyArray]) -> FloatArray:
    """Wilder's relative strength index over 14 changes, in [0, 100].

    100 when there were gains only and 50 when there were neither gains nor losses (D-FEA-03).
    """
    return _turned(_wilder(_turned(_column(columns, "close")), 14, _MAX_GAP))


def macd_hist(columns: Mapping[str, AnyArray]) -> FloatArray:
    """MACD(12, 26) less its nine-bar signal line, as a fraction of the close (D-FEA-01)."""
    return _turned(_macd(_turned(_column(columns, "close")), _MAX_GAP))


def bb_pos(columns: Mapping[str, AnyArray]) -> FloatArray:
    """Place of the close between the Bollinger bands (20 sessions, two deviations); 0 = lower.

    Missing while the price does not move, because the bands then have no width.
    """
    close = _column(columns, "close")
    mean, sd = _rolling(close, 20, _MEAN), _rolling(close, 20, _SD)
    return _quotient(close - (mean - 2.0 * sd), 4.0 * sd)


def price_pos(columns: Mapping[str, AnyArray]) -> FloatArray:
    """Place of the close within the range of 21 closes, in [0, 1]; missing without a range."""
    close = _column(columns, "close")
    low, high = _rolling(close, 21, _MIN), _rolling(close, 21, _MAX)
    return _quotient(close - low, high - low)


def hl_ratio(columns: Mapping[str, AnyArray]) -> FloatArray:
    """Range of the session's bar as a fraction of its close."""
    high, low = _column(columns, "high"), _column(columns, "low")
    return _quotient(high - low, _column(columns, "close"))


def volume_ratio(columns: Mapping[str, AnyArray]) -> FloatArray:
    """Volume over its mean of 21 sessions, today included."""
    volume = _traded(columns)
    return _quotient(volume, _rolling(volume, 21, _MEAN))


def volume_zscore(columns: Mapping[str, AnyArray]) -> FloatArray:
    """Volume less its mean of 21 sessions, in sample deviations."""
    volume = _traded(columns)
    return _quotient(volume - _rolling(volume, 21, _MEAN), _rolling(volume, 21, _SD))


def turnover_proxy(columns: Mapping[str, AnyArray]) -> FloatArray:
    """Volume over its mean of 252 sessions, today included."""
    volume = _traded(columns)
    return _quotient(volume, _rolling(volume, 252, _MEAN))


def dollar_volume(columns: Mapping[str, AnyArray]) -> FloatArray:
    """Money traded: raw close × raw volume of the day, free of later adjustments (D-FEA-02)."""
    value: FloatArray = _column(columns, "raw_close") * _column(columns, "raw_volume")
    return value


def adv_21d(columns: Mapping[str, AnyArray]) -> FloatArray:
    """Median money traded of 21 sessions, at least 15 of them observed; known through a halt."""
    return _rolling(dollar_volume(columns), 21, _MEDIAN, through_gaps=True)


def spy_corr_63d(columns: Mapping[str, AnyArray]) -> FloatArray:
    """Pearson correlation with the benchmark's log return over 63 sessions, in [-1, 1].

    Paired by session: a missing benchmark day is missing (D-FEA-04), and a return that spans a gap
    is left out, because the benchmark's covers one session.
    """
    close = _column(columns, "close")
    one_session = _quotient(close[1:], close[:-1], np.log)
    returns = np.concatenate([np.full((1, close.shape[1]), np.nan), one_session])[: len(close)]
    benchmark = _column(columns, "benchmark_log_return_1d")
    return _turned(_correlation(_turned(returns), benchmark, 63, _minimum(63)))


FEATURES: Mapping[str, Feature] = {
    "log_return_1d": log_return_1d,
    "vol_5d": vol_5d,
    "vol_21d": vol_21d,
    "rsi_14": rsi_14,
    "macd_hist": macd_hist,
    "bb_pos": bb_pos,
    "volume_ratio": volume_ratio,
    "hl_ratio": hl_ratio,
    "price_pos": price_pos,
    "spy_corr_63d": spy_corr_63d,
    "dollar_volume": dollar_volume,
    "volume_zscore": volume_zscore,
    "turnover_proxy": turnover_proxy,
    "simple_return_1d": simple_return_1d,
    "adv_21d": adv_21d,
}


def _volatility(columns: Mapping[str, AnyArray], sessions: int) -> FloatArray:
    returns = log_return_1d(columns)
    annual: FloatArray = _rolling(returns, sessions, _SD) * np.sqrt(_SESSIONS_A_YEAR)
    return annual


def _column(columns: Mapping[str, AnyArray], name: str) -> FloatArray:
    if name not in columns:
        raise ContractError(
            f"A feature needs the column `{name}`; there are: {', '.join(sorted(columns))}. "
            "Give it as NaN where the market does not have it."
        )
    return np.asarray(columns[name], dtype=np.float64)


def _traded(columns: Mapping[str, AnyArray]) -> FloatArray:
    """Volume of observed bars."""
    volume, close = _column(columns, "volume"), _column(columns, "close")
    return np.where(np.isfinite(close), volume, np.nan)


def _quotient(above: FloatArray, below: FloatArray, then: Callable[[FloatArray], FloatArray] | None = None) -> FloatArray:
    """``then(above / below)``, NaN where the denominator is zero or missing."""
    usable = (below != 0.0) & np.isfinite(below)
    ratio = np.divide(above, below, out=np.full(above.shape, np.nan), where=usable)
    return ratio if then is None else then(ratio)


def _previous(close: FloatArray) -> FloatArray:
    """The last observed close before each session, NaN if over `_MAX_GAP` sessions lie between."""
    previous = np.full(close.shape, np.nan)
    for back in range(1, min(_MAX_GAP + 2, len(close))):
        open_cells = np.isnan(previous[back:])
        np.copyto(previous[back:], close[:-back], where=open_cells)
    return previous


def _minimum(sessions: int) -> int:
    """Bars that must be observed in a window: 70 %, rounded up (15 of 21, 45 of 63)."""
    return -(-sessions * 7 // 10)


def _rolling(values: FloatArray, sessions: int, statistic: int, *, through_gaps: bool = False) -> FloatArray:
    minimum = _minimum(sessions)
    return _turned(_window(_turned(values), sessions, minimum, statistic, through_gaps))


def _turned(panel: FloatArray) -> FloatArray:
    """Transposed and contiguous: a window then lies in one stretch of memory. Its own inverse."""
    return np.ascontiguousarray(panel.T)


@njit(cache=True)
def _window(values: FloatArray, sessions: int, minimum: int, statistic: int, through_gaps: bool) -> FloatArray:
    n_assets, n_sessions = values.shape
    out = np.full((n_assets, n_sessions), np.nan)
    seen = np.empty(sessions)
    for asset in range(n_assets):
        row = values[asset]
        first, n_seen = n_sessions, 0
        for day in range(n_sessions):
            start = day - sessions + 1
            observed = np.isfinite(row[day])
            n_seen += observed
            if start > 0:
                n_seen -= np.isfinite(row[start - 1])
            if observed and first == n_sessions:
                first = day
            if start < first or n_seen < minimum or not (observed or through_gaps):
                continue
            _collect(row[start : day + 1], seen, n_seen)
            out[asset, day] = _statistic(seen[:n_seen], statistic)
    return out


@njit(cache=True)
def _collect(window: FloatArray, seen: FloatArray, n_seen: int) -> None:
    """The observed values of the window, in order, at the front of ``seen``."""
    if n_seen == window.size:
        seen[:] = window
        return
    count = 0
    for value in window:
        if np.isfinite(value):
            seen[count] = value
            count += 1


@njit(cache=True)
def _statistic(seen: FloatArray, statistic: int) -> float:
    """Mean and deviation are taken about the first value: a constant has deviation 0, exactly."""
    if statistic == _MIN:
        return float(seen.min())
    if statistic == _MAX:
        return float(seen.max())
    if statistic == _MEDIAN:
        return _median(seen)
    shift = 0.0
    for value in seen:
        shift += value - seen[0]
    mean = seen[0] + shift / seen.size
    if statistic == _MEAN:
        return float(mean)
    squares = 0.0
    for value in seen:
        squares += (value - mean) ** 2
    return float(np.sqrt(squares / (seen.size - 1)))


@njit(cache=True)
def _median(seen: FloatArray) -> float:
    """Sorts in place by insertion: fastest for a month of values."""
    for at in range(1, seen.size):
        value, place = seen[at], at
        while place > 0 and seen[place - 1] > value:
            seen[place] = seen[place - 1]
            place -= 1
        seen[place] = value
    middle = seen.size // 2
    if seen.size % 2:
        return float(seen[middle])
    return float((seen[middle - 1] + seen[middle]) / 2.0)


@njit(cache=True)
def _correlation(returns: FloatArray, benchmark: FloatArray, sessions: int, minimum: int) -> FloatArray:
    n_assets, n_sessions = returns.shape
    out = np.full((n_assets, n_sessions), np.nan)
    for asset in range(n_assets):
        row = returns[asset]
        first = n_sessions
        for day in range(n_sessions):
            if np.isfinite(row[day]) and first == n_sessions:
                first = day
            if day - sessions + 1 < first or not np.isfinite(row[day] + benchmark[day]):
                continue
            start = day - sessions + 1
            out[asset, day] = _pearson(row[start : day + 1], benchmark[start : day + 1], minimum)
    return out


@njit(cache=True)
def _pearson(left: FloatArray, right: FloatArray, minimum: int) -> float:
    """Two passes over the pairs that are both finite; NaN below the minimum or without spread."""
    count, left_sum, right_sum = 0, 0.0, 0.0
    for at in range(left.size):
        if np.isfinite(left[at] + right[at]):
            count += 1
            left_sum += left[at]
            right_sum += right[at]
    if count < minimum:
        return np.nan
    left_mean, right_mean = left_sum / count, right_sum / count
    both, left_squares, right_squares = 0.0, 0.0, 0.0
    for at in range(left.size):
        if np.isfinite(left[at] + right[at]):
            x, y = left[at] - left_mean, right[at] - right_mean
            both += x * y
            left_squares += x * x
            right_squares += y * y
    scale = np.sqrt(left_squares * right_squares)
    if scale == 0.0:
        return np.nan
    return float(min(1.0, max(-1.0, both / scale)))


@njit(cache=True)
def _wilder(close: FloatArray, changes: int, max_gap: int) -> FloatArray:
    n_assets, n_sessions = close.shape
    out = np.full((n_assets, n_sessions), np.nan)
    for asset in range(n_assets):
        last, count, gain, loss = -1, 0, 0.0, 0.0
        for day in range(n_sessions):
            price = close[asset, day]
            if not np.isfinite(price):
                continue
            if last < 0 or day - last - 1 > max_gap:
                count = 0
            else:
                change = price - close[asset, last]
                weight = 1.0 if count == 0 else 1.0 / changes
                gain += weight * (max(change, 0.0) - gain)
                loss += weight * (max(-change, 0.0) - loss)
                count += 1
            last = day
            if count >= changes:
                moved = gain + loss
                out[asset, day] = 50.0 if moved == 0.0 else 100.0 * gain / moved
    return out


@njit(cache=True)
def _macd(close: FloatArray, max_gap: int) -> FloatArray:
    n_assets, n_sessions = close.shape
    out = np.full((n_assets, n_sessions), np.nan)
    for asset in range(n_assets):
        last, count, fast, slow, signal = -1, 0, 0.0, 0.0, 0.0
        for day in range(n_sessions):
            price = close[asset, day]
            if not np.isfinite(price):
                continue
            if last < 0 or day - last - 1 > max_gap:
                count, fast, slow, signal = 0, price, price, 0.0
            fast += 2.0 / 13.0 * (price - fast)
            slow += 2.0 / 27.0 * (price - slow)
            signal += 2.0 / 10.0 * (fast - slow - signal)
            count += 1
            last = day
            if count >= 26 + 9 - 1:
                out[asset, day] = (fast - slow - signal) / price
    return out
