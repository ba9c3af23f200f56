"""Bars as panels, (n_sessions, n_assets): pivot, total-return units, the ledger of what was observed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from glassbox_bt.errors import MarketDataError
from glassbox_bt.market.calendar import Sessions
from glassbox_bt.market.sources.raw import RawMarket
from glassbox_bt.types import AnyArray, BoolArray, FloatArray, IntArray

__all__ = ["FILL_LIMIT", "Panels", "build_panels", "carried", "sessions_since_bar"]

FILL_LIMIT = 5  # sessions a close is carried forward (D-MKT-02); after that a name is booked out (R9)


@dataclass(frozen=True, slots=True, eq=False)
class Panels:
    """``units``: open, high, low, close, volume in total-return units. A bar is observed where its close is."""

    tickers: tuple[str, ...]
    units: Mapping[str, FloatArray]
    raw_close: FloatArray
    raw_volume: FloatArray
    mark: FloatArray  # close carried forward at most FILL_LIMIT sessions
    is_observed: BoolArray
    tradable: BoolArray  # observed, with a fill price, and with volume above 0 where the market has volume
    has_opens: bool
    has_volume: bool
    empty_sessions: list[str]
    benchmark_close: FloatArray | None  # (n_sessions,), total-return units, when the benchmark is a ticker

    def of(self, assets: IntArray) -> Panels:
        """The same panels for some names only."""
        return replace(
            self,
            tickers=tuple(self.tickers[at] for at in assets),
            units={name: values[:, assets] for name, values in self.units.items()},
            raw_close=self.raw_close[:, assets],
            raw_volume=self.raw_volume[:, assets],
            mark=self.mark[:, assets],
            is_observed=self.is_observed[:, assets],
            tradable=self.tradable[:, assets],
        )

    @property
    def raw_mark(self) -> FloatArray:
        """Close as quoted, carried forward at most `FILL_LIMIT` sessions."""
        return carried(self.raw_close)


def build_panels(market: RawMarket, clock: Sessions) -> Panels:
    """Pivot the bars of ``market`` onto the sessions of ``clock``; the benchmark's ticker is kept apart.

    Raises
    ------
    MarketDataError
        If a bar is not on a session of the exchange (D-MKT-05), or the benchmark has no prices.
    """
    prices = market.prices
    rows = _session_rows(market, clock)
    names = np.unique(prices["ticker"].to_numpy().astype(str))
    columns = np.searchsorted(names, prices["ticker"].to_numpy().astype(str))
    benchmark = _benchmark_place(market, names)
    keep = np.flatnonzero(np.arange(len(names)) != benchmark)
    if len(keep) == 0:
        raise MarketDataError("The market holds no name besides its benchmark. Add prices of what may be bought.")
    shape = (len(clock.dates), len(names))

    def pivot(column: str) -> FloatArray:
        panel = np.full(shape, np.nan)
        if column in prices.columns:
            panel[rows, columns] = prices[column].to_numpy()
        return panel

    raw = {name: pivot(name) for name in ("open", "high", "low", "close", "volume")}
    factor = _factor(market, raw["close"], pivot)
    observed = np.isfinite(raw["close"])
    units = {name: np.where(observed, raw[name] * factor, np.nan) for name in ("open", "high", "low", "close")}
    units["volume"] = np.where(observed, raw["volume"] / factor, np.nan)
    has_opens, has_volume = (bool(np.isfinite(units[name][:, keep]).any()) for name in ("open", "volume"))
    return Panels(
        tickers=tuple(str(name) for name in names[keep]),
        units={name: values[:, keep] for name, values in units.items()},
        raw_close=raw["close"][:, keep],
        raw_volume=np.where(observed, raw["volume"], np.nan)[:, keep],
        mark=carried(units["close"][:, keep]),
        is_observed=observed[:, keep],
        tradable=_tradable(observed, units, has_opens, has_volume)[:, keep],
        has_opens=has_opens,
        has_volume=has_volume,
        empty_sessions=[str(day) for day in clock.dates[~observed.any(axis=1)]],
        benchmark_close=None if benchmark < 0 else units["close"][:, benchmark],
    )


def carried(values: FloatArray, limit: int = FILL_LIMIT) -> FloatArray:
    """The last finite value of at most ``limit`` rows ago; row *t* uses rows up to *t* only."""
    out = values.copy()
    for back in range(1, min(limit, len(values) - 1) + 1):
        np.copyto(out[back:], values[:-back], where=np.isnan(out[back:]))
    return out


def sessions_since_bar(is_observed: BoolArray) -> IntArray:
    """Sessions since the last bar, 0 on a bar; -1 before the first. Shape of the argument."""
    number = np.arange(len(is_observed))[:, None]
    last = np.maximum.accumulate(np.where(is_observed, number, -1), axis=0)
    since: IntArray = np.where(last >= 0, number - last, -1)
    return since


def _session_rows(market: RawMarket, clock: Sessions) -> IntArray:
    days = market.prices["date"].to_numpy().astype("datetime64[D]")
    rows = np.searchsorted(clock.dates, days).clip(max=len(clock.dates) - 1)
    strange = clock.dates[rows] != days
    if strange.any():
        shown = sorted({str(day) for day in days[strange]})
        raise MarketDataError(
            f"{len(shown)} dates in `prices` are no sessions of {market.meta.calendar}: {', '.join(shown[:5])}"
            f"{', ...' if len(shown) > 5 else ''} (first row: {int(np.flatnonzero(strange)[0])}). "
            "Correct the dates or set `calendar`."
        )
    return rows.astype(np.int64)


def _tradable(observed: BoolArray, units: Mapping[str, FloatArray], has_opens: bool, has_volume: bool) -> BoolArray:
    tradable = observed.copy()
    if has_opens:
        tradable &= np.isfinite(units["open"])
    if has_volume:
        tradable &= units["volume"] > 0
    return tradable


def _benchmark_place(market: RawMarket, names: AnyArray) -> int:
    """Position of the benchmark's ticker, -1 if the benchmark is a macro series or absent."""
    benchmark = market.meta.benchmark
    if benchmark is None or benchmark.startswith("macro."):
        return -1
    if benchmark not in names:
        raise MarketDataError(f"The benchmark `{benchmark}` has no prices. Add them or name another benchmark.")
    return int(np.searchsorted(names, benchmark))


def _factor(market: RawMarket, close: FloatArray, pivot: Callable[[str], FloatArray]) -> FloatArray:
    """Total-return units per unit of price on each bar; 1 where the source gives no ``adj_close``."""
    if market.meta.price_basis == "total_return" or "adj_close" not in market.prices.columns:
        return np.ones_like(close)
    factor: FloatArray = pivot("adj_close") / close
    unknown = np.isfinite(close) & ~np.isfinite(factor)
    if unknown.any():
        day, name = np.argwhere(unknown)[0]
        raise MarketDataError(
            f"{int(unknown.sum())} bars have a close but no adj_close (first: session {day}, name {name}). "
            "Fill the column or leave it out."
        )
    return factor
