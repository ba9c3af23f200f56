"""Rows for the barrier: one by hand, and many from Hypothesis that crowd around every threshold."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from glassbox_bt.decision.barrier import BarrierInputs
from glassbox_bt.types import Action

FAMILIES = (
    "fusion",
    "quantitative",
    "position_sizing",
    "liquidity",
    "tail",
    "volatility",
    "drawdown",
    "contagion",
    "regime",
)
FAMILY_OF = {
    "learned_recommendation": "fusion",
    "learned_fusion_signal": "fusion",
    "learned_fusion_risk_score": "fusion",
    "learned_fusion_confidence": "fusion",
    "learned_position_multiplier": "fusion",
    "recommended_capital_fraction": "position_sizing",
    "max_single_stock_exposure": "position_sizing",
    "quantitative_risk_score": "quantitative",
    "liquidity_score": "liquidity",
    "tradable": "liquidity",
    "drawdown_risk_score": "drawdown",
    "contagion_risk_score": "contagion",
    "prob_crisis": "regime",
    "regime_is_crisis": "regime",
}
GOOD: dict[str, float] = {
    "learned_recommendation": float(Action.BUY),
    "learned_fusion_signal": 0.6,
    "learned_fusion_risk_score": 0.3,
    "learned_fusion_confidence": 0.7,
    "learned_position_multiplier": 1.0,
    "recommended_capital_fraction": 0.08,
    "max_single_stock_exposure": 0.10,
    "quantitative_risk_score": 0.3,
    "liquidity_score": 0.8,
    "tradable": 1.0,
    "drawdown_risk_score": 0.2,
    "contagion_risk_score": 0.2,
    "prob_crisis": 0.1,
    "regime_is_crisis": 0.0,
    "held_weight": 0.0,
}


def case(silent: tuple[str, ...] = (), **changes: float) -> BarrierInputs:
    """One row that passes untouched, with these changes and silent families."""
    return inputs_of([(silent, GOOD | changes)])


def inputs_of(rows: list[tuple[tuple[str, ...], dict[str, float]]]) -> BarrierInputs:
    """Rows as arrays; a silent family's numbers become NaN."""
    arrays: dict[str, Any] = {
        name: np.array([np.nan if FAMILY_OF.get(name) in silent else values[name] for silent, values in rows])
        for name in GOOD
    }
    arrays |= {f"{family}_known": np.array([family not in silent for silent, _ in rows]) for family in FAMILIES}
    return BarrierInputs(**arrays)


def near(*thresholds: float, low: float = 0.0, high: float = 1.0) -> st.SearchStrategy[float]:
    """Numbers on the 1e-6 grid, often exactly at a threshold or one ulp beside it."""
    edges = [np.nextafter(t, low) for t in thresholds] + [np.nextafter(t, high) for t in thresholds]
    grid = st.integers(round(low * 1e6), round(high * 1e6)).map(lambda i: i / 1e6)
    return st.one_of(st.sampled_from([float(e) for e in (*thresholds, *edges, low, high)]), grid)


VALUES: dict[str, st.SearchStrategy[float]] = {
    "learned_recommendation": st.sampled_from([float(action) for action in Action]),
    "learned_fusion_signal": near(0.18, -0.25, 0.0, low=-1.0),
    "learned_fusion_risk_score": near(0.85, 0.92),
    "learned_fusion_confidence": near(0.35),
    "learned_position_multiplier": near(0.5),
    "recommended_capital_fraction": near(0.0001, 0.02, 0.03, 0.05, high=0.10),
    "max_single_stock_exposure": st.just(0.10),
    "quantitative_risk_score": near(0.85),
    "liquidity_score": near(0.30),
    "tradable": st.sampled_from([0.0, 1.0, 1.0, 1.0]),
    "drawdown_risk_score": near(0.80),
    "contagion_risk_score": near(0.90),
    "prob_crisis": near(0.50),
    "regime_is_crisis": st.sampled_from([0.0, 0.0, 0.0, 1.0]),
    "held_weight": st.one_of(st.just(0.0), near(0.02, 0.03, 0.05, high=0.15)),
}
ROWS = st.tuples(
    st.one_of(st.just(()), st.lists(st.sampled_from(FAMILIES), max_size=3, unique=True).map(tuple)),
    st.fixed_dictionaries(VALUES),
)
INPUTS = st.lists(ROWS, min_size=1, max_size=8).map(inputs_of)
