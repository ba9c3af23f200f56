"""When a loss is extreme for the name that suffers it, and who suffered one just before.

The bar is as low as the lower of two numbers from a name's own past: the 5th percentile of the last 504 returns, and two
deviations below the mean of the last 60. A return under the bar is a tail loss. Rows are sessions, unobserved is NaN and
never counted; a value rests on the rows of its own windows alone, bit for bit.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numba import njit

from glassbox_bt.market.graph import GraphRule, correlations, strongest
from glassbox_bt.types import AnyArray, BoolArray, FloatArray, IntArray

__all__ = ["HISTORY", "LATELY", "close_neighbours", "lately_stressed", "neighbour_stressed", "stress_depth", "tail_bar"]

HISTORY, MIN_HISTORY = 504, 100  # sessions behind the percentile, and returns among them at least
RECENT, MIN_RECENT = 60, 42  # sessions behind mean and deviation
SHARE, DEVIATIONS = 0.05, 2.0
LATELY, MIN_LATELY = 5, 3  # sessions in which a neighbour's stress counts, and how many must be known
DEEPEST = 4.0  # bars; a deeper loss says no more
CLOSE_SHARE, CLOSEST = 0.02, 3  # strongest neighbours a name selects: a share of the names (50 of 2,500), three at least


def tail_bar(returns: FloatArray) -> FloatArray:
    """Log return below which the next one would be a tail loss, (n_rows, n_assets); row *t* uses rows up to *t*.

    NaN with fewer than 100 returns among the last 504 rows or 42 among the last 60.
    """
    percentile = pd.DataFrame(returns).rolling(HISTORY, min_periods=MIN_HISTORY).quantile(SHARE).to_numpy()
    bar: FloatArray = np.minimum(percentile, _below_mean(np.ascontiguousarray(returns.T)).T)
    return bar


def stress_depth(returns: FloatArray) -> FloatArray:
    """How many times its bar of the session before a name lost; 0 without a tail loss, at most 4, NaN where unknown.

    Parameters
    ----------
    returns : FloatArray
        Log returns of one session, (n_rows, n_assets).
    """
    bar = np.full(returns.shape, np.nan)
    bar[1:] = tail_bar(returns)[:-1]
    fell = (returns < bar) & (bar < 0.0)
    depth = np.divide(returns, bar, out=np.zeros(returns.shape), where=fell)
    return np.where(np.isfinite(returns) & np.isfinite(bar), np.minimum(depth, DEEPEST), np.nan)


def lately_stressed(depth: FloatArray) -> FloatArray:
    """Whether a name had a tail loss in the last five rows: 1, 0, or NaN with fewer than three of them known."""
    hit, known = np.zeros(depth.shape, dtype=bool), np.zeros(depth.shape, dtype=np.int64)
    for back in range(min(LATELY, len(depth))):
        rows = depth[: len(depth) - back]
        hit[back:] |= rows > 0.0
        known[back:] += np.isfinite(rows)
    return np.where(hit, 1.0, np.where(known >= MIN_LATELY, 0.0, np.nan))


def neighbour_stressed(returns: FloatArray, member: BoolArray, rule: GraphRule | None = None) -> FloatArray:
    """Whether a neighbour had a tail loss lately, by the latest graph as of each row: 1, 0 or NaN, (n_rows, n_assets).

    Neighbours are `close_neighbours` at the last snapshot; a name with none has no stressed one. NaN before the first
    snapshot, for names that were no members then, and where of no neighbour the state is known.
    """
    rule = rule or GraphRule()
    lately, out = lately_stressed(stress_depth(returns)), np.full(returns.shape, np.nan)
    for day in range(rule.window - 1, len(returns), rule.stride):
        near = close_neighbours(returns[day - rule.window + 1 : day + 1], member[day], rule)
        rows = slice(day, day + rule.stride)
        state = lately[rows]
        stressed = (np.nan_to_num(state) @ near.T) > 0.0
        known = (np.isfinite(state) @ near.T.astype(np.int64)) > 0
        said = np.where(stressed, 1.0, np.where(known | ~near.any(axis=1), 0.0, np.nan))
        out[rows] = np.where(member[day], said, np.nan)
    return out


def close_neighbours(window: FloatArray, member: BoolArray, rule: GraphRule) -> BoolArray:
    """Who is a close neighbour of whom, symmetric (n_assets, n_assets): strong positive correlation over the window.

    ``window`` is (rule.window, n_assets). Among members each name selects 2 % of them, three at least; an edge stays if
    either end selects it.
    """
    nodes: IntArray = np.flatnonzero(member).astype(np.int64)
    correlation, _ = correlations(*(np.ascontiguousarray(window[:, nodes].T),) * 2, rule.min_observed)
    passes = (correlation > rule.min_correlation) & ~np.eye(len(nodes), dtype=bool)
    most = min(rule.max_neighbours, max(CLOSEST, int(np.ceil(CLOSE_SHARE * len(nodes)))))
    source, target = strongest(correlation, passes, most)
    near: BoolArray = np.zeros((len(member), len(member)), dtype=bool)
    near[nodes[source], nodes[target]] = True
    near[nodes[target], nodes[source]] = True
    return near


@njit(cache=True)
def _below_mean(returns: FloatArray) -> AnyArray:
    """Mean less two sample deviations of the last 60 columns; summed afresh at each."""
    out = np.full(returns.shape, np.nan)
    for asset in range(returns.shape[0]):
        for last in range(returns.shape[1]):
            window = returns[asset, max(last - RECENT + 1, 0) : last + 1]
            count, total, squares = 0, 0.0, 0.0
            for value in window:
                if np.isfinite(value):
                    count += 1
                    total += value
            if count < MIN_RECENT:
                continue
            for value in window:
                if np.isfinite(value):
                    squares += (value - total / count) ** 2
            out[asset, last] = total / count - DEVIATIONS * np.sqrt(squares / (count - 1))
    return out
