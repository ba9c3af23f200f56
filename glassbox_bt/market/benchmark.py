"""The benchmark: one ticker of the prices, one macro series, or the equal-weight universe (R7)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from glassbox_bt.errors import MarketDataError
from glassbox_bt.market.calendar import Sessions
from glassbox_bt.market.panels import Panels, carried
from glassbox_bt.market.side_tables import KnownAt, with_known_at
from glassbox_bt.market.sources.raw import RawMarket
from glassbox_bt.types import AnyArray, FloatArray

__all__ = ["benchmark_columns"]


def benchmark_columns(
    market: RawMarket, clock: Sessions, panels: Panels, columns: Mapping[str, AnyArray], known_at: KnownAt
) -> dict[str, AnyArray]:
    """``benchmark_mark`` (level, carried at most 5 sessions) and ``benchmark_log_return_1d``, each (n_sessions,).

    A session without a benchmark close has no return, nor has the one after it (D-FEA-04).
    """
    if panels.benchmark_close is not None:
        level = panels.benchmark_close
    elif market.meta.benchmark is not None:
        level = _macro_level(market, market.meta.benchmark.removeprefix("macro."), clock, known_at)
    else:
        level = _equal_weight(columns)
    returns = np.full(len(level), np.nan)
    returns[1:] = np.log(level[1:] / level[:-1])
    return {"benchmark_mark": carried(level[:, None])[:, 0], "benchmark_log_return_1d": returns}


def _macro_level(market: RawMarket, series: str, clock: Sessions, known_at: KnownAt) -> FloatArray:
    """Values joined by their own date; refused if they were not known at that day's close."""
    rows = None if market.macro is None else market.macro[market.macro["series"] == series]
    if rows is None or len(rows) == 0:
        raise MarketDataError(f"The benchmark `macro.{series}` is not in the macro table. Add it or name another benchmark.")
    rows = with_known_at(rows, "macro", "date", known_at)
    days = rows["date"].to_numpy().astype("datetime64[D]")
    place = np.searchsorted(clock.dates, days).clip(max=len(clock.dates) - 1)
    here = clock.dates[place] == days
    if (rows["known_at"].to_numpy()[here] > clock.closes_at[place[here]]).any():
        raise MarketDataError(
            f"The benchmark `macro.{series}` is known only after the close of its day. "
            f'Use a series that is known at the close ([known_at.macro] {series} = "close").'
        )
    level = np.full(len(clock.dates), np.nan)
    level[place[here]] = rows["value"].to_numpy()[here]
    if (level <= 0).any():
        raise MarketDataError(f"The benchmark `macro.{series}` is not positive everywhere. Use an index level.")
    return level


def _equal_weight(columns: Mapping[str, AnyArray]) -> FloatArray:
    """Level of the universe held in equal weights, rebalanced daily; 100 on the session before its first return.

    Names booked out count with their delisting price on that day.
    """
    mark, delist = columns["mark"], columns["delist_price"]
    now, before = np.where(np.isfinite(delist), delist, mark)[1:], mark[:-1]
    held = columns["member"][1:] | (np.isfinite(delist[1:]) & columns["member"][:-1])
    change = np.where(held, now / before - 1.0, np.nan)
    known = np.isfinite(change)
    n_names = known.sum(axis=1)
    mean = np.where(known, change, 0.0).sum(axis=1) / np.maximum(n_names, 1)
    level = np.full(len(mark), np.nan)
    if n_names.any():
        start = int(np.flatnonzero(n_names)[0])
        level[start] = 100.0
        level[start + 1 :] = 100.0 * np.cumprod(1.0 + mean[start:])
    return level
