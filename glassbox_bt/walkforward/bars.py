"""The bars that a split is traded on, cut out of the store."""

from __future__ import annotations

import numpy as np

from glassbox_bt.market.store import MarketStore
from glassbox_bt.portfolio.book import Bars
from glassbox_bt.types import AnyArray, FloatArray, IntArray

__all__ = ["bars_of"]


def bars_of(store: MarketStore, days: IntArray, assets: IntArray) -> Bars:
    """Bars of ``assets`` on ``days``; fills at the next open, or at the next close where the market has no opens (R20).

    Volatility and volume of a row are those known at its close, which is when orders are decided.
    """
    at = np.ix_(days, assets)

    def column(name: str) -> FloatArray:
        return np.ascontiguousarray(store.columns[name][at], dtype=np.float64)

    has_opens = bool(store.facts["has_opens"])
    close = column("close")
    price = column("open") if has_opens else close
    tradable = (column("tradable") > 0.0) & np.isfinite(price)
    code: AnyArray = column("delist_code").astype(np.int8)
    return Bars(
        open=price,
        close=close,
        mark=column("mark"),
        tradable=tradable,
        delist_price=column("delist_price"),
        sigma=column("vol_21d") / np.sqrt(252.0),
        adv_units=column("adv_21d") / column("mark"),
        delist_code=code,
        fill_at="open" if has_opens else "close",
    )
