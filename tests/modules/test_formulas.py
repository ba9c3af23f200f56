from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from glassbox_bt.modules._formulas import (
    branch_prior,
    fusion_rule,
    quantitative_rule,
    recommendation,
    risk_state,
    technical_direction,
)
from glassbox_bt.types import Action

unit = st.floats(0.0, 1.0)
signed = st.floats(-1.0, 1.0)


def quant_row(**changed: float) -> dict[str, np.ndarray]:
    row = {
        "trend_score": 0.8,
        "momentum_score": 0.4,
        "timing_confidence": 0.6,
        "combined_risk_score": 0.3,
        "position_fraction_of_max": 0.5,
        "technical_confidence": 0.5,
        "recommended_capital_fraction": 0.05,
        "regime_confidence": 0.7,
    }
    return {name: np.array([value]) for name, value in (row | changed).items()}


def test_the_quantitative_formula_by_hand() -> None:
    out = {name: float(values[0]) for name, values in quantitative_rule(quant_row()).items()}
    direction = 0.40 * 0.6 + 0.35 * 0.4 + 0.25 * 0.2
    assert math.isclose(out["technical_direction_score"], direction)
    assert math.isclose(out["quantitative_rule_signal"], direction * (0.30 + 0.70 * 0.7) * (0.5 + 0.25))
    assert out["quantitative_rule_risk_score"] == 0.3
    confidence = 0.40 * 0.5 + 0.20 * 0.7 + 0.25 * 0.5 + 0.15 * 0.7
    assert math.isclose(out["quantitative_rule_confidence"], confidence)
    assert out["quantitative_rule_recommendation"] == Action.BUY


def test_an_unknown_regime_shares_its_weight_and_is_not_one_half() -> None:
    out = quantitative_rule(quant_row(regime_confidence=math.nan))
    confidence = (0.40 * 0.5 + 0.20 * 0.7 + 0.25 * 0.5) / 0.85
    assert math.isclose(float(out["quantitative_rule_confidence"][0]), confidence)


def test_nothing_may_be_held_without_a_size() -> None:
    out = quantitative_rule(quant_row(position_fraction_of_max=0.0))
    assert float(out["quantitative_rule_signal"][0]) == 0.0


def test_d_qnt_02_a_likely_crash_is_bearish_and_neutral_is_zero() -> None:
    assert technical_direction(np.float64(0.5), np.float64(0.0), np.float64(0.5)) == 0.0
    crash = technical_direction(np.float64(0.5), np.float64(-0.9), np.float64(0.5))
    assert crash < 0.0


def test_thresholds_are_exact() -> None:
    up = np.nextafter

    def action(signal: float, risk: float, confidence: float, size: float) -> float:
        return float(recommendation(*(np.array([x]) for x in (signal, risk, confidence, size)))[0])

    assert action(0.18, 0.1, 0.9, 0.1) == Action.HOLD
    assert action(up(0.18, 1.0), 0.1, 0.9, 0.1) == Action.BUY
    assert action(0.5, 0.75, 0.9, 0.1) == Action.HOLD
    assert action(0.5, up(0.75, 0.0), 0.9, 0.1) == Action.BUY
    assert action(0.5, 0.1, 0.35, 0.1) == Action.BUY
    assert action(0.5, 0.1, up(0.35, 0.0), 0.1) == Action.HOLD
    assert action(0.5, 0.1, 0.9, 1e-4) == Action.HOLD
    assert action(-0.25, 0.1, 0.9, 0.1) == Action.HOLD
    assert action(up(-0.25, -1.0), 0.1, 0.9, 0.1) == Action.SELL
    assert action(0.5, 0.90, 0.9, 0.1) == Action.HOLD
    assert action(0.5, up(0.90, 1.0), 0.9, 0.1) == Action.SELL


def test_risk_states_start_at_their_edges() -> None:
    risks = np.array([0.0, 0.2999, 0.30, 0.50, 0.75, 0.90, 1.0])
    assert risk_state(risks).tolist() == [0, 0, 1, 2, 3, 4, 4]


def fused(**values: float) -> dict[str, float]:
    row = {
        "q_signal": 0.5,
        "q_risk": 0.4,
        "q_confidence": 0.8,
        "t_signal": 0.0,
        "t_risk": 0.5,
        "t_confidence": 0.0,
        "event_count": 0.0,
        "text_available": 0.0,
        "recommended_capital_fraction": 0.05,
    } | values
    out = fusion_rule({name: np.array([value]) for name, value in row.items()})
    return {name: float(one[0]) for name, one in out.items()}


@given(q=signed, r=unit, c=unit, t=signed, tr=unit, tc=unit, n=st.integers(0, 400))
def test_the_fusion_formula_against_its_own_words(  # noqa: PLR0917
    q: float, r: float, c: float, t: float, tr: float, tc: float, n: int
) -> None:
    there = float(n > 0 and tc > 0)
    out = fused(
        q_signal=q, q_risk=r, q_confidence=c, t_signal=t * there, t_risk=tr if there else 0.5,
        t_confidence=tc * there, event_count=n * there, text_available=there,
    )  # fmt: skip
    tc, n, tr = tc * there, int(n * there), tr if there else 0.5
    quant, text = 0.7 * (0.5 + 0.5 * c), 0.3 * tc * min(1.0, math.log(1 + n) / math.log(251))
    raw = (quant * q + text * t * there) / (quant + text)
    risk = 0.75 * r + 0.25 * (tc * tr + (1 - tc) * r)
    signal = raw
    if raw > 0:
        signal *= 1 - 0.5 * min(1.0, max(0.0, (risk - 0.5) / 0.5))
        signal *= 0.25 if risk >= 0.92 else 1.0
    assert math.isclose(out["fusion_rule_signal"], signal, abs_tol=1e-12)
    assert math.isclose(out["fusion_rule_risk_score"], risk, abs_tol=1e-12)
    confidence = 0.65 * c + 0.25 * tc + 0.10 * c * tc
    assert math.isclose(out["fusion_rule_confidence"], confidence, abs_tol=1e-12)
    assert math.isclose(out["fusion_rule_multiplier"], 0.5 * (signal + 1) * (1 - risk), abs_tol=1e-9)


def test_unknown_text_never_raises_the_fused_risk() -> None:
    for risk in (0.0, 0.2, 0.7, 1.0):
        assert math.isclose(fused(q_risk=risk)["fusion_rule_risk_score"], risk)


def test_fusion_sells_on_severe_risk_only_where_it_is_bearish() -> None:
    assert fused(q_signal=-0.01, q_risk=0.92)["fusion_rule_recommendation"] == Action.SELL
    assert fused(q_signal=0.9, q_risk=0.95)["fusion_rule_recommendation"] == Action.HOLD
    assert fused(q_signal=-0.26, q_risk=0.1)["fusion_rule_recommendation"] == Action.SELL
    assert fused(q_signal=0.9)["fusion_rule_recommendation"] == Action.BUY


@given(q=unit, t=unit, n=st.integers(0, 10_000))
def test_branch_weights_add_up_and_are_exact_without_text(q: float, t: float, n: int) -> None:
    there = float(n > 0 and t > 0.0)
    weights = branch_prior(np.array(q), np.array(t), np.array(float(n)), np.array(there))
    assert math.isclose(float(weights.sum()), 1.0)
    if not there:
        assert weights.tolist() == [1.0, 0.0]
