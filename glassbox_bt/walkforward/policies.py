"""What a decision rests on: a policy turns the barrier's inputs and the modules' answers into the inputs that are acted on.

``learned`` is the stack. Of the others, `RIVALS` trade beside it in every run; the rest are there for ablations of fusion
(spec §21.1). Every policy meets the same rules, limits, days and costs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from glassbox_bt.decision.barrier import BarrierInputs
from glassbox_bt.errors import PlanError
from glassbox_bt.modules._formulas import recommendation
from glassbox_bt.types import Action, Answers, AnyArray, FloatArray

__all__ = ["POLICIES", "RIVALS", "Policy"]

Policy = Callable[[BarrierInputs, Mapping[str, Answers]], BarrierInputs]

QUANTITATIVE = (
    "risk_adjusted_quantitative_signal",
    "quantitative_risk_score",
    "quantitative_confidence",
)
TEXT = ("qualitative_score", "qualitative_risk_score", "qualitative_confidence")
NO_TEXT = (0.0, 0.5, 0.0)  # of score, risk and confidence where no text is known (spec 25.2)


def learned(inputs: BarrierInputs, _answers: Mapping[str, Answers]) -> BarrierInputs:
    """What fusion learned."""
    return inputs


def formula_only(inputs: BarrierInputs, answers: Mapping[str, Answers]) -> BarrierInputs:
    """Upstream's formulas in place of what was learned."""
    said = answers["fusion"].outputs
    return replace(
        inputs,
        learned_recommendation=_plain(said["fusion_rule_recommendation"]),
        learned_fusion_signal=_plain(said["fusion_rule_signal"]),
        learned_fusion_risk_score=_plain(said["fusion_rule_risk_score"]),
        learned_fusion_confidence=_plain(said["fusion_rule_confidence"]),
        learned_position_multiplier=_plain(said["fusion_rule_multiplier"]),
        quantitative_risk_score=_plain(answers["quantitative"].outputs["quantitative_rule_risk_score"]),
    )


def sizing_only(inputs: BarrierInputs, _answers: Mapping[str, Answers]) -> BarrierInputs:
    """Always BUY, at the size that position sizing recommends; risk families still cap."""
    known = inputs.position_sizing_known
    one = np.where(known, 1.0, np.nan)
    return replace(
        inputs,
        learned_recommendation=np.where(known, float(Action.BUY), np.nan),
        learned_fusion_signal=one,
        learned_fusion_risk_score=one * 0.0,
        learned_fusion_confidence=one,
        learned_position_multiplier=one,
        quantitative_risk_score=one * 0.0,
        fusion_known=known,
        quantitative_known=known,
    )


def quantitative_only(inputs: BarrierInputs, answers: Mapping[str, Answers]) -> BarrierInputs:
    """The quantitative branch as it stands: its signal, risk, confidence and action, at the whole recommended size."""
    said = answers["quantitative"].outputs
    return _unweighed(inputs, [_plain(said[name]) for name in QUANTITATIVE], _plain(said["quantitative_recommendation"]))


def qualitative_only(inputs: BarrierInputs, answers: Mapping[str, Answers]) -> BarrierInputs:
    """The text branch as it stands, neutral where there is no text, at the whole recommended size.

    Raises
    ------
    PlanError
        The qualitative analyst does not answer in this plan.
    """
    if "qualitative" not in answers:
        raise PlanError("`policy` is qualitative_only, but the qualitative analyst is silent in this plan. Choose another.")
    said = answers["qualitative"].outputs
    text = [np.where(np.isnan(said[name]), none, said[name]) for name, none in zip(TEXT, NO_TEXT, strict=True)]
    action = said["qualitative_recommendation"]
    return _unweighed(inputs, text, np.where(np.isnan(action), float(Action.HOLD), action))


def equal_weight(inputs: BarrierInputs, answers: Mapping[str, Answers]) -> BarrierInputs:
    """The mean of the branches that know, with the quantitative analyst's thresholds for the action.

    Without text that is the quantitative branch alone.
    """
    branches = [[_plain(answers["quantitative"].outputs[name]) for name in QUANTITATIVE]]
    if "qualitative" in answers:
        branches.append([_plain(answers["qualitative"].outputs[name]) for name in TEXT])
    known = [np.isfinite(branch[0]) for branch in branches]
    count = np.maximum(np.sum(known, axis=0), 1)
    mixed = [
        np.sum([np.where(there, branch[k], 0.0) for branch, there in zip(branches, known, strict=True)], axis=0) / count
        for k in range(len(QUANTITATIVE))
    ]
    action = recommendation(mixed[0], mixed[1], mixed[2], inputs.recommended_capital_fraction)
    return _unweighed(inputs, mixed, action)


def _unweighed(inputs: BarrierInputs, scores: list[FloatArray], action: FloatArray) -> BarrierInputs:
    """Signal, risk, confidence and action of a branch where learned fusion would stand.

    It is known where the quantitative analyst and position sizing know, which is what fusion needs as well.
    """
    known = inputs.quantitative_known & inputs.position_sizing_known
    signal, risk, confidence, act = (np.where(known, values, np.nan) for values in (*scores, action))
    return replace(
        inputs,
        learned_recommendation=act,
        learned_fusion_signal=signal,
        learned_fusion_risk_score=risk,
        learned_fusion_confidence=confidence,
        learned_position_multiplier=np.where(known, 1.0, np.nan),
        fusion_known=known,
    )


def _plain(values: AnyArray) -> FloatArray:
    return np.ascontiguousarray(values, dtype=np.float64)


RIVALS: Mapping[str, Policy] = {"glassbox": learned, "formula_only": formula_only, "sizing_only": sizing_only}
"""By strategy: the stack and its two signal-free rivals."""

POLICIES: Mapping[str, Policy] = {
    "learned": learned,
    "formula_only": formula_only,
    "sizing_only": sizing_only,
    "quantitative_only": quantitative_only,
    "qualitative_only": qualitative_only,
    "equal_weight": equal_weight,
}
"""By the name that a plan gives them."""
