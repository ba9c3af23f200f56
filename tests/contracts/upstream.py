"""Answers of the modules below, made up in their valid ranges, for contracts and unit tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from glassbox_bt.market.documents import PREFIX
from glassbox_bt.market.store import AnswerColumn, MarketStore
from glassbox_bt.types import AnyArray, BoolArray, Read
from tests.contracts.text import TEXT_MODULES, text_answer

__all__ = ["SILENT", "WIDTH", "upstream"]

WIDTH = 8  # of the made-up embedding

SILENT = ("text_encoder", "sentiment", "news", "qualitative", "drawdown", "contagion", "regime")
RANGES = {  # where it is not [0, 1]
    "technical.momentum_score": (-1.0, 1.0),
    "garch.vol_10d": (0.05, 0.9),
    "garch.vol_30d": (0.05, 0.9),
    "garch.ewma_vol": (0.05, 0.9),
    "garch.recent_vol": (0.05, 0.9),
    "volatility.vol_10d": (0.05, 0.9),
    "volatility.vol_30d": (0.05, 0.9),
    "volatility.garch_vol": (0.05, 0.9),
    "volatility.recent_vol": (0.05, 0.9),
    "var.var_95": (-0.05, -0.01),
    "var.var_99": (-0.09, -0.05),
    "cvar.cvar_95": (-0.07, -0.03),
    "cvar.cvar_99": (-0.12, -0.07),
    "cvar.tail_ratio_95": (1.0, 2.0),
    "cvar.tail_ratio_99": (1.0, 2.0),
    "liquidity.slippage_estimate_frac": (0.0, 0.01),
    "liquidity.days_to_liquidate_1M": (0.0, 5.0),
    "position_sizing.recommended_capital_fraction": (0.0, 0.10),
    "position_sizing.max_single_stock_exposure": (0.10, 0.10),
    "quantitative.risk_adjusted_quantitative_signal": (-1.0, 1.0),
    "quantitative.risk_adjusted_quantitative_signal_raw": (-0.2, 0.2),
    "quantitative.quantitative_rule_signal": (-1.0, 1.0),
    "quantitative.technical_direction_score": (-1.0, 1.0),
    "qualitative.qualitative_score": (-1.0, 1.0),
}
CODES = {
    "quantitative.quantitative_recommendation": 3,
    "quantitative.top_attention_risk_driver": 6,
    "quantitative.top_delta_risk_driver": 6,
    "qualitative.qualitative_recommendation": 3,
    "qualitative.dominant_qualitative_driver": 7,
    "qualitative.event_count": 4,
    "qualitative.sentiment_event_count": 4,
    "qualitative.news_event_count": 4,
    "regime.regime_label_id": 4,
    "liquidity.tradable": 2,
    "position_sizing.hard_cap_applied": 2,
}


def upstream(
    store: MarketStore,
    reads: Iterable[Read],
    *,
    seed: int = 0,
    silent: tuple[str, ...] = SILENT,
    warm_up: int = 20,
) -> dict[str, Any]:
    """An answer for every read that the store itself cannot serve; to rows of text for modules that answer documents.

    A module knows nothing in its first ``warm_up`` sessions and misses one answer in fifty afterwards; silent modules
    never know. Values follow slowly moving noise, so that neighbouring days resemble each other.
    """
    days = np.arange(store.n_sessions, dtype=np.int64)
    assets = np.arange(store.n_assets, dtype=np.int64)
    columns: dict[str, Any] = {}
    for column in {one.column for one in reads if one.column not in store.columns and not one.column.startswith(PREFIX)}:
        module, _, output = column.partition(".")
        if module in TEXT_MODULES:
            columns[column] = text_answer(store, column, seed=seed, silent=module in silent)
            continue
        known = _known(store, module, seed, warm_up) & (module not in silent)
        values = known.astype(np.float64)
        if output != "known":
            values = _values(store, column, seed)
            values[~known] = np.nan
        columns[column] = AnswerColumn(days, assets, values, np.full(len(days), -1))
    return columns


def _known(store: MarketStore, module: str, seed: int, warm_up: int) -> BoolArray:
    known = _rng(module, seed).random(store.member.shape) > 0.02
    known[:warm_up] = False
    return known if module == "temporal_encoder" else known & store.member


def _values(store: MarketStore, column: str, seed: int) -> AnyArray:
    shape, rng = store.member.shape, _rng(column, seed)
    if column == "temporal_encoder.embedding":
        return rng.standard_normal((*shape, WIDTH)).astype(np.float32)
    if column in CODES:
        return rng.integers(0, CODES[column], shape).astype(np.float64)
    slow = np.cumsum(rng.standard_normal(shape), axis=0) * 0.15 + rng.standard_normal(shape)
    share = 0.5 * (1.0 + np.tanh(slow))
    if column.endswith("_risk_available"):
        return np.where(np.arange(shape[1]) % 3 == 0, share > 0.2, True).astype(np.float64)
    low, high = RANGES.get(column, (0.0, 1.0))
    return np.round(low + (high - low) * share, 6)


def _rng(key: str, seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, *key.encode()])
