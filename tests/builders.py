"""Tiny markets for tests: every column of a store from a seeded random walk with a few gaps."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from glassbox_bt.market.features import build_features
from glassbox_bt.market.labels import build_labels
from glassbox_bt.market.macro import macro_features
from glassbox_bt.market.regime_labels import build_regime_labels, market_measures
from glassbox_bt.market.store import MarketStore
from glassbox_bt.market.tail_labels import build_tail_labels
from glassbox_bt.types import AnyArray, BoolArray, FloatArray

__all__ = ["base_columns", "store_of", "tiny_store"]


def tiny_store(n_sessions: int = 400, n_assets: int = 6, seed: int = 0, **columns: AnyArray) -> MarketStore:
    """A market with all columns, features and labels.

    Asset 1 misses single sessions, asset 2 is halted for three and asset 3 for eight (a long gap);
    with four names or more the last one is listed at a tenth of the history and becomes a member
    at a fifth. A keyword replaces a column: a base column (``close=...``, ``open=all-NaN`` for a
    market that fills at closes) before features and labels are built, any other name after.
    """
    base = base_columns(n_sessions, n_assets, seed)
    base |= {name: values for name, values in columns.items() if name in base}
    store = store_of(base)
    later = {name: values for name, values in columns.items() if name not in base}
    return MarketStore(
        dates=store.dates,
        opens_at=store.opens_at,
        decided_at=store.decided_at,
        tickers=store.tickers,
        columns=dict(store.columns) | later,
        labels=store.labels,
        facts=store.facts,
    )


def store_of(base: Mapping[str, AnyArray]) -> MarketStore:
    """A store of these base columns with their features and labels; weekdays from 2010 on."""
    n_sessions, n_assets = base["close"].shape
    dates = _weekdays(n_sessions)
    midnight = dates.astype("datetime64[ns]")
    decided_at = midnight + np.timedelta64(21, "h")
    has_opens = bool(np.isfinite(base["open"]).any())
    tickers = tuple(f"N{i:02d}" for i in range(n_assets))
    columns = dict(base) | build_features(base)
    columns |= macro_features(columns) | market_measures(columns, tickers, decided_at)
    return MarketStore(
        dates=dates,
        opens_at=midnight + np.timedelta64(14 * 60 + 30, "m"),
        decided_at=decided_at,
        tickers=tickers,
        columns=columns,
        labels=build_labels(base, decided_at, has_opens=has_opens)
        | build_regime_labels(columns, decided_at)
        | build_tail_labels(base, decided_at, has_opens=has_opens),
        facts={"name": "tiny", "has_opens": has_opens, "benchmark": "equal weight"},
    )


def base_columns(n_sessions: int = 400, n_assets: int = 6, seed: int = 0) -> dict[str, AnyArray]:
    """Session columns before any feature; see `tiny_store`."""
    rng = np.random.default_rng(seed)
    observed = _observed(n_sessions, n_assets)
    common = 0.008 * rng.standard_normal(n_sessions)
    moves = common[:, None] + 0.012 * rng.standard_normal((n_sessions, n_assets))
    close = 40.0 * np.exp(np.cumsum(moves, axis=0))
    open_ = close * np.exp(0.004 * rng.standard_normal(close.shape))
    span = np.exp(0.006 * np.abs(rng.standard_normal((2, *close.shape))))
    volume = np.round(1e5 * np.exp(0.4 * rng.standard_normal(close.shape)))
    bars = {
        "open": open_,
        "high": np.maximum(open_, close) * span[0],
        "low": np.minimum(open_, close) / span[1],
        "close": close,
        "volume": volume,
        "raw_close": close,
        "raw_volume": volume,
    }
    seen = {name: np.where(observed, values, np.nan) for name, values in bars.items()}
    vix = 20.0 * np.exp(np.cumsum(0.05 * rng.standard_normal(n_sessions)))
    return {**seen, **_ledger(observed, seen["close"]), **_market_wide(common, vix)}


def _weekdays(n_sessions: int) -> AnyArray:
    return pd.bdate_range("2010-01-04", periods=n_sessions).to_numpy().astype("datetime64[D]")


def _observed(n_sessions: int, n_assets: int) -> BoolArray:
    observed = np.ones((n_sessions, n_assets), dtype=bool)
    middle = n_sessions // 2
    if n_assets > 1:
        observed[middle::45, 1] = False
    if n_assets > 2:
        observed[middle : middle + 3, 2] = False
    if n_assets > 3:
        observed[middle : middle + 8, 3] = False
        observed[: n_sessions // 10, -1] = False
    return observed


def _ledger(observed: BoolArray, close: FloatArray) -> dict[str, AnyArray]:
    mark = close.copy()
    for back in range(1, 6):
        np.copyto(mark[back:], close[:-back], where=np.isnan(mark[back:]))
    member = observed.any(axis=0) & np.ones(observed.shape, dtype=bool)
    if observed.shape[1] > 3:
        member[: len(observed) // 5, -1] = False
    return {
        "mark": mark,
        "is_observed": observed.astype(np.float64),
        "tradable": observed.astype(np.float64),
        "member": member,
        "delist_price": np.full(close.shape, np.nan),
        "delist_code": np.zeros(close.shape),
        "delisted": np.zeros(close.shape),
    }


def _market_wide(benchmark: FloatArray, vix: FloatArray) -> dict[str, AnyArray]:
    dates = _weekdays(len(benchmark))
    months = dates.astype("datetime64[M]")
    returns = benchmark.copy()
    returns[0] = np.nan
    return {
        "benchmark_log_return_1d": returns,
        "benchmark_mark": 100.0 * np.exp(np.cumsum(benchmark)),
        "month_start": np.append(True, months[1:] != months[:-1]).astype(np.float64),
        "macro.VIX_CLOSE": vix,
    }
