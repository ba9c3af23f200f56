"""The closed formulas of the synthesis layers, kept as baselines beside what is learned (D-SYN-01).

They are what a learned layer has to beat. Two things differ from their origin, both on purpose: momentum is signed
(D-QNT-02), and a score that is not known is left out and its weight shared by the others instead of counting as 0.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from glassbox_bt.types import Action, AnyArray, FloatArray

__all__ = [
    "RISK_STATES",
    "Thresholds",
    "branch_prior",
    "fusion_rule",
    "quantitative_rule",
    "recommendation",
    "risk_state",
    "technical_direction",
]

RISK_STATES = ("low", "moderate", "elevated", "high", "severe")
RISK_STATE_EDGES = (0.30, 0.50, 0.75, 0.90)  # each the first score of the next state


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """When a signal is a recommendation (spec §20; §21.1 for `fusion_rule`).

    ``buy_signal`` must be exceeded, ``buy_risk`` stayed below, ``min_confidence`` reached and ``min_size`` (fraction of
    equity) exceeded for BUY. SELL below ``sell_signal``, or above ``sell_risk``.
    """

    buy_signal: float = 0.18
    buy_risk: float = 0.75
    min_confidence: float = 0.35
    min_size: float = 1e-4
    sell_signal: float = -0.25
    sell_risk: float = 0.90


FUSION = Thresholds(buy_risk=0.85, sell_risk=np.inf)  # risk alone never sells here
SEVERE_RISK = 0.92  # fusion: bearish at this risk is SELL, bullish loses three quarters of its signal


def technical_direction(trend: AnyArray, momentum: AnyArray, timing: AnyArray) -> FloatArray:
    """Direction in [-1, 1], positive = bullish; momentum is signed already (D-QNT-02)."""
    return np.asarray(0.40 * (2.0 * trend - 1.0) + 0.35 * momentum + 0.25 * (2.0 * timing - 1.0))


def recommendation(
    signal: AnyArray,
    risk: AnyArray,
    confidence: AnyArray,
    size: AnyArray,
    thresholds: Thresholds | None = None,
) -> FloatArray:
    """`Action` codes as floats; SELL wins over BUY, HOLD is the rest. ``size`` is a fraction of equity."""
    t = thresholds or Thresholds()
    buy = (signal > t.buy_signal) & (risk < t.buy_risk)
    buy &= (confidence >= t.min_confidence) & (size > t.min_size)
    sell = (signal < t.sell_signal) | (risk > t.sell_risk)
    return np.where(sell, Action.SELL, np.where(buy, Action.BUY, Action.HOLD)).astype(np.float64)


def risk_state(risk: AnyArray) -> FloatArray:
    """Codes of `RISK_STATES` for scores in [0, 1]."""
    return np.searchsorted(np.array(RISK_STATE_EDGES), risk, side="right").astype(np.float64)


def quantitative_rule(row: Mapping[str, AnyArray]) -> dict[str, FloatArray]:
    """Signal, risk and confidence of the closed formula of spec §20.

    ``row`` holds ``trend_score, momentum_score, timing_confidence, combined_risk_score, position_fraction_of_max,
    technical_confidence, recommended_capital_fraction`` and ``regime_confidence`` (NaN = not known: its weight in the
    confidence is shared by the rest). Any common shape.
    """
    direction = technical_direction(row["trend_score"], row["momentum_score"], row["timing_confidence"])
    risk, held = row["combined_risk_score"], row["position_fraction_of_max"]
    gate = np.where(held <= 1e-4, 0.0, 0.5 + 0.5 * held)
    signal = np.clip(direction * (0.30 + 0.70 * (1.0 - risk)) * gate, -1.0, 1.0)
    weighed = 0.40 * row["technical_confidence"] + 0.20 * (1.0 - risk) + 0.25 * held
    regime = row["regime_confidence"]
    confidence = np.where(np.isfinite(regime), weighed + 0.15 * np.nan_to_num(regime), weighed / 0.85)
    return {
        "technical_direction_score": direction,
        "quantitative_rule_signal": signal,
        "quantitative_rule_risk_score": np.asarray(risk, dtype=np.float64),
        "quantitative_rule_confidence": confidence,
        "quantitative_rule_recommendation": recommendation(signal, risk, confidence, row["recommended_capital_fraction"]),
    }


def branch_prior(
    q_confidence: AnyArray, t_confidence: AnyArray, event_count: AnyArray, text_available: AnyArray
) -> FloatArray:
    """Weights of the quantitative and the text branch, (..., 2), adding up to 1; exactly (1, 0) without text.

    0.70 × (0.5 + 0.5 × confidence) against 0.30 × confidence × ln(1 + n) / ln 251, for n text events.
    """
    events = np.clip(np.log1p(event_count) / np.log(251.0), 0.0, 1.0)
    quant = 0.70 * (0.5 + 0.5 * q_confidence)
    text = 0.30 * t_confidence * events * text_available
    return np.stack([quant / (quant + text), text / (quant + text)], axis=-1)


def fusion_rule(row: Mapping[str, AnyArray]) -> dict[str, FloatArray]:
    """Signal, risk, confidence, action and multiplier of the closed formula of spec §21.1.

    ``row`` holds ``q_signal, q_risk, q_confidence`` (the quantitative branch), ``t_signal, t_risk, t_confidence,
    event_count, text_available`` (text, neutral where absent) and ``recommended_capital_fraction``. The multiplier is
    of the recommended size, not a fraction of equity (D-FUS-01).
    """
    q_conf, t_conf = row["q_confidence"], row["t_confidence"]
    weights = branch_prior(q_conf, t_conf, row["event_count"], row["text_available"])
    raw = weights[..., 0] * row["q_signal"] + weights[..., 1] * row["t_signal"]
    mixed = t_conf * row["t_risk"] + (1.0 - t_conf) * row["q_risk"]
    risk = 0.75 * row["q_risk"] + 0.25 * mixed
    damped = raw * (1.0 - 0.5 * np.clip((risk - 0.5) / 0.5, 0.0, 1.0))
    damped = np.where(risk >= SEVERE_RISK, 0.25 * damped, damped)
    signal = np.where(raw > 0.0, damped, raw)
    confidence = 0.65 * q_conf + 0.25 * t_conf + 0.10 * q_conf * t_conf
    action = recommendation(signal, risk, confidence, row["recommended_capital_fraction"], FUSION)
    action = np.where((risk >= SEVERE_RISK) & (signal < 0.0), Action.SELL, action)
    return {
        "fusion_rule_signal": signal,
        "fusion_rule_risk_score": risk,
        "fusion_rule_confidence": confidence,
        "fusion_rule_recommendation": action.astype(np.float64),
        "fusion_rule_multiplier": np.clip(0.5 * (signal + 1.0) * (1.0 - risk), 0.0, 1.0),
    }
