"""Tails of rolling windows: order statistics and tail means, asset by asset, in one pass.

The kernel keeps each window sorted while it slides. A quantile is a function of two order
statistics and a tail mean is summed from the smallest value up, so an answer depends on what is in
its window alone: one day and many days agree bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from glassbox_bt.types import FloatArray, IntArray

__all__ = ["Tails", "rolling_tails"]


@dataclass(frozen=True, slots=True)
class Tails:
    """Lower tails of a window of returns that ends on each of several days.

    Parameters
    ----------
    quantile : FloatArray
        (n_shares, n_days, n_assets); linear interpolation, equal to ``np.quantile``.
    mean : FloatArray
        Mean of the values at or below the quantile, same shape.
    count : IntArray
        How many those are, same shape; 0 where the quantile is missing.
    lowest : FloatArray
        Smallest value of the window, (n_days, n_assets).
    n_observed : IntArray
        Finite values in the window, (n_days, n_assets).
    age : IntArray
        Sessions from the oldest finite value in the window to the day, both included; 0 if none.
    """

    quantile: FloatArray
    mean: FloatArray
    count: IntArray
    lowest: FloatArray
    n_observed: IntArray
    age: IntArray


def rolling_tails(values: FloatArray, at: IntArray, sessions: int, minimum: int, shares: tuple[float, ...]) -> Tails:
    """Tails of the ``sessions`` rows that end on each row of ``at``.

    Parameters
    ----------
    values : FloatArray
        (n_rows, n_assets); not finite = unobserved, never counted.
    at : IntArray
        Ascending rows, none before ``sessions - 1``.
    sessions, minimum : int
        Length of the window and how many of its values must be finite.
    shares : tuple[float, ...]
        Probability mass of each tail, e.g. ``(0.05, 0.01)``.
    """
    by_asset = np.ascontiguousarray(values.T)
    quantile, mean, count, lowest, n_observed, age = _tails(by_asset, at, sessions, minimum, np.array(shares))
    return Tails(
        quantile=quantile.transpose(0, 2, 1),
        mean=mean.transpose(0, 2, 1),
        count=count.transpose(0, 2, 1),
        lowest=lowest.T,
        n_observed=n_observed.T,
        age=age.T,
    )


@njit(cache=True)
def _tails(
    values: FloatArray, at: IntArray, sessions: int, minimum: int, shares: FloatArray
) -> tuple[FloatArray, FloatArray, IntArray, FloatArray, IntArray, IntArray]:
    n_assets, n_days, n_shares = values.shape[0], at.size, shares.size
    quantile = np.full((n_shares, n_assets, n_days), np.nan)
    mean = np.full((n_shares, n_assets, n_days), np.nan)
    count = np.zeros((n_shares, n_assets, n_days), dtype=np.int64)
    lowest = np.full((n_assets, n_days), np.nan)
    n_observed = np.zeros((n_assets, n_days), dtype=np.int64)
    age = np.zeros((n_assets, n_days), dtype=np.int64)
    window = np.empty(sessions)
    for asset in range(n_assets):
        row = values[asset]
        size, start, stop = 0, 0, 0  # the window holds the finite values of rows start .. stop - 1
        oldest = 0
        for day in range(n_days):
            first, after = at[day] - sessions + 1, at[day] + 1
            if first >= stop:
                size, start, stop = 0, first, first
            while start < first and stop < after:
                size = _exchanged(window, size, row[start], row[stop])
                start, stop = start + 1, stop + 1
            while start < first:
                size = _without(window, size, row[start])
                start += 1
            while stop < after:
                size = _with(window, size, row[stop])
                stop += 1
            oldest = max(oldest, first)
            while oldest < after and not np.isfinite(row[oldest]):
                oldest += 1
            n_observed[asset, day], age[asset, day] = size, after - oldest
            if size < minimum:
                continue
            lowest[asset, day] = window[0]
            for share in range(n_shares):
                edge = _quantile(window[:size], shares[share])
                below, total = _below(window[:size], edge)
                quantile[share, asset, day] = edge
                mean[share, asset, day] = total / below
                count[share, asset, day] = below
    return quantile, mean, count, lowest, n_observed, age


@njit(cache=True)
def _place(window: FloatArray, size: int, value: float) -> int:
    """First position whose entry is not below ``value``."""
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        if window[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True)
def _exchanged(window: FloatArray, size: int, leaves: float, enters: float) -> int:
    """Both at once: only what lies between the two values moves."""
    if not (np.isfinite(leaves) and np.isfinite(enters)):
        return _with(window, _without(window, size, leaves), enters)
    at = _place(window, size, leaves)
    while at + 1 < size and window[at + 1] < enters:
        window[at] = window[at + 1]
        at += 1
    while at > 0 and window[at - 1] > enters:
        window[at] = window[at - 1]
        at -= 1
    window[at] = enters
    return size


@njit(cache=True)
def _with(window: FloatArray, size: int, value: float) -> int:
    if not np.isfinite(value):
        return size
    place = _place(window, size, value)
    for at in range(size, place, -1):
        window[at] = window[at - 1]
    window[place] = value
    return size + 1


@njit(cache=True)
def _without(window: FloatArray, size: int, value: float) -> int:
    if not np.isfinite(value):
        return size
    for at in range(_place(window, size, value), size - 1):
        window[at] = window[at + 1]
    return size - 1


@njit(cache=True)
def _quantile(ordered: FloatArray, share: float) -> float:
    """Linear interpolation, rounded as ``np.quantile`` rounds it: from the nearer neighbour."""
    place = (ordered.size - 1) * share
    left = int(np.floor(place))
    right = min(left + 1, ordered.size - 1)
    part, step = place - left, ordered[right] - ordered[left]
    if part >= 0.5:
        return float(ordered[right] - step * (1.0 - part))
    return float(ordered[left] + step * part)


@njit(cache=True)
def _below(ordered: FloatArray, edge: float) -> tuple[int, float]:
    """How many values lie at or below the edge, and their sum."""
    count, total = 0, 0.0
    while count < ordered.size and ordered[count] <= edge:
        total += ordered[count]
        count += 1
    return count, total
