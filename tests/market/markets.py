"""Small hand-made raw markets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from glassbox_bt.market.calendar import sessions
from glassbox_bt.market.sources.raw import MarketMeta, RawMarket
from glassbox_bt.types import AnyArray

__all__ = ["DATES", "EAGER", "drop", "market", "prices"]

DATES: AnyArray = sessions("XNYS", "2019-10-01", "2020-03-31").dates  # 126 sessions, two early closes
EAGER: dict[str, Any] = {"min_observed": 10, "window": 20}  # members as early as these short markets allow


def prices(tickers: str = "ABC", seed: int = 0, dates: AnyArray = DATES) -> pd.DataFrame:
    """Consistent bars of one-letter names, ordered by ticker and date."""
    rng = np.random.default_rng(seed)
    tables = []
    for ticker in tickers:
        close = 50.0 * np.exp(np.cumsum(0.01 * rng.standard_normal(len(dates))))
        open_ = close * np.exp(0.003 * rng.standard_normal(len(dates)))
        bars = {
            "date": dates.astype("datetime64[ns]"),
            "ticker": ticker,
            "open": open_,
            "high": np.maximum(open_, close) * 1.004,
            "low": np.minimum(open_, close) * 0.996,
            "close": close,
            "adj_close": close * 0.5,
            "volume": np.round(1e5 * np.exp(0.2 * rng.standard_normal(len(dates)))),
        }
        tables.append(pd.DataFrame(bars))
    return pd.concat(tables, ignore_index=True)


def market(table: pd.DataFrame | None = None, meta: dict[str, Any] | None = None, **tables: Any) -> RawMarket:
    """A raw market of ``table`` (by default three names) and further tables."""
    settings: dict[str, Any] = {"name": "hand-made", "price_basis": "split_adjusted"} | (meta or {})
    return RawMarket(MarketMeta(**settings), prices() if table is None else table, **tables)


def drop(table: pd.DataFrame, ticker: str, first: int, last: int | None = None) -> pd.DataFrame:
    """Without the bars of one name on sessions ``first..last`` (to the end by default)."""
    until = DATES[-1] if last is None else DATES[last]
    gone = (table["ticker"] == ticker) & (table["date"] >= DATES[first]) & (table["date"] <= until)
    return table[~gone].reset_index(drop=True)
