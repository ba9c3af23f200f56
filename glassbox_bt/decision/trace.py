"""One decision retraced: the ledger of all rules, the nearest change that would flip it, and the story in words.

`ledger` lists every rule in table order with the value it saw, its threshold and what it did to cap, size and action. Each
entry starts where the one before ended: the first from the learned position and the learned action, the last at the final
ones. `nearest_flip` asks the barrier itself which smallest change of a single input leads to another action. `trace_texts`
tells each decision in 8 to 60 words.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from glassbox_bt.decision.approver import Approval
from glassbox_bt.decision.barrier import CRITICAL, SUPPORTING, BarrierInputs, BarrierResult, Rules, evaluate
from glassbox_bt.decision.limits import ApprovalCode
from glassbox_bt.decision.rules import N_RULES, RULE_INDEX, RULES, Effect, codes
from glassbox_bt.errors import ContractError
from glassbox_bt.types import Action, StrArray

__all__ = ["Flip", "LedgerEntry", "ledger", "nearest_flip", "trace_texts"]

Row = int | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """What one rule saw and did in one row; ``value`` is NaN where the input is not known."""

    rule_id: str
    code: str
    words: str
    fired: bool
    value: float
    threshold: float
    cap_before: float
    cap_after: float
    size_before: float
    size_after: float
    action_before: Action
    action_after: Action


@dataclass(frozen=True, slots=True)
class Flip:
    """The smallest change of one input that changes the final action."""

    input: str
    value: float
    changed_to: float
    action: Action


def ledger(result: BarrierResult, row: Row) -> tuple[LedgerEntry, ...]:
    """Every rule of one row, fired or not, in table order.

    Parameters
    ----------
    result : BarrierResult
        Of one day or many.
    row : int or tuple[int, ...]
        Position of the name, or of day and name.
    """
    seen = _seen(result, row)
    learned, final = Action(int(result.learned_action[row])), Action(int(result.final_recommendation[row]))
    decisive = _decisive(result, row)
    size = float(result.pre_rule_learned_position_fraction[row])
    size = float(result.inputs.held_weight[row]) if math.isnan(size) else size
    cap, action, entries = 1.0, learned, []
    for i, (rule, code) in enumerate(zip(RULES, codes(result.rules), strict=True)):
        fired, cap_after = bool(result.fired[i][row]), float(result.cap_after[i][row])
        size_after = min(size, cap_after)
        if fired and rule.effect is Effect.SIZE:
            size_after = float(result.final_position_fraction[row])
        after = final if i == decisive else action
        value, threshold = seen[rule.code]
        entries.append(
            LedgerEntry(rule.id, code, rule.words, fired, value, threshold, cap, cap_after, size, size_after, action, after)
        )
        cap, size, action = cap_after, size_after, after
    return tuple(entries)


def nearest_flip(result: BarrierResult, row: Row) -> Flip | None:
    """The single score whose smallest change, within its legal range, changes the final action; None if no single one can.

    Changes are measured in the inputs' own units, all of them scores of width 1 or 2, and tried at every threshold of the
    rules and one step of the 1e-6 grid to either side.
    """
    one = _one_row(result.inputs, row)
    trials = [
        (name, value)
        for name, thresholds in _thresholds(result.rules).items()
        if np.isfinite(getattr(one, name)[0])
        for threshold in thresholds
        for value in (round(threshold - 1e-6, 6), threshold, round(threshold + 1e-6, 6))
        if (-1.0 if name == "learned_fusion_signal" else 0.0) <= value <= 1.0
    ]
    if not trials:
        return None
    moved = {name: np.repeat(getattr(one, name), len(trials)) for name in one.__dataclass_fields__}
    for i, (name, value) in enumerate(trials):
        moved[name][i] = value
    action = evaluate(BarrierInputs(**moved), result.rules).final_recommendation
    flips = [
        Flip(name, float(getattr(one, name)[0]), value, Action(int(after)))
        for (name, value), after in zip(trials, action, strict=True)
        if after != result.final_recommendation[row]
    ]
    return min(flips, key=lambda flip: abs(flip.changed_to - flip.value), default=None)


def trace_texts(
    result: BarrierResult,
    approval: Approval | None = None,
    drivers: StrArray | None = None,
    assumed: tuple[str, ...] = (),
) -> StrArray:
    """The story of every row: action, learned opinion, path of the size, rules that spoke, what was approved.

    Parameters
    ----------
    result : BarrierResult
        Of one day or many.
    approval : Approval, optional
        Of the same single day.
    drivers : StrArray, optional
        Leading risk of each row in words, None where not known; same shape.
    assumed : tuple[str, ...]
        Families that the plan assumes instead of measuring, in words; named in every story.

    Raises
    ------
    ContractError
        If an approval or drivers of another shape are given.
    """
    shape = result.final_recommendation.shape
    if approval is not None and approval.approved_fraction.shape != shape:
        raise ContractError(
            f"The approval covers {approval.approved_fraction.shape}, the barrier {shape}. Pass the same day."
        )
    if drivers is not None and drivers.shape != shape:
        raise ContractError(f"`drivers` has shape {drivers.shape}, expected {shape}.")
    texts = np.empty(shape, dtype=object)
    for row in np.ndindex(*shape):
        sentences = [_opinion(result, row), _path(result, row), *_rules_in_words(result, row)]
        if drivers is not None and drivers[row] is not None:
            sentences.append(f"Leading risk: {drivers[row]}.")
        if approval is not None:
            sentences.append(_approved(approval, row[0]))
        if assumed:
            sentences.append(f"Assumed, not measured: {', '.join(assumed)}.")
        texts[row] = " ".join(sentences)
    return texts


def _opinion(result: BarrierResult, row: tuple[int, ...]) -> str:
    action = Action(int(result.final_recommendation[row])).name.capitalize()
    inputs = result.inputs
    if not inputs.fusion_known[row]:
        return f"{action}, because the learned layers know nothing about this name today."
    learned = Action(int(result.learned_action[row])).name.lower()
    said = "agrees" if not result.rule_changed_action[row] else f"said {learned}"
    return (
        f"{action}: learning {said} with signal {inputs.learned_fusion_signal[row]:.2f}, "
        f"risk {inputs.learned_fusion_risk_score[row]:.2f} and confidence {inputs.learned_fusion_confidence[row]:.2f}."
    )


def _path(result: BarrierResult, row: tuple[int, ...]) -> str:
    final = _percent(result.final_position_fraction[row])
    held = _percent(result.inputs.held_weight[row])
    pre = result.pre_rule_learned_position_fraction[row]
    if math.isnan(pre):
        return f"Held {held}, permitted {final}."
    recommended = _percent(result.inputs.recommended_capital_fraction[row])
    return f"Sizing recommends {recommended}, learning {_percent(pre)}; held {held}, permitted {final}."


def _rules_in_words(result: BarrierResult, row: tuple[int, ...]) -> list[str]:
    """The rule that changed the action and the one that bound the size first, then how many more spoke."""
    spoke = [i for i, rule in enumerate(RULES) if result.fired[i][row] and rule.effect is not Effect.SIZE]
    binding = int(result.binding_rule[row])
    spoke.sort(key=lambda i: (i != _decisive(result, row), i != binding))
    said = [f"{RULES[i].short} (binds the size)" if i == binding else RULES[i].short for i in spoke]
    sentences = [f"Rules: {_listed(said, 2)}." if said else "No rule spoke."]
    if result.exit_blocked[row]:
        sentences.append("It cannot be sold today.")
    return sentences


def _approved(approval: Approval, name: int) -> str:
    why = [code.text.replace("_", " ") for code in ApprovalCode if int(approval.codes[name]) & code]
    text = f"Approved: {_percent(approval.approved_fraction[name])}"
    return f"{text} ({_listed(why, 1)})." if why else f"{text}."


def _listed(words: list[str], at_most: int) -> str:
    more = len(words) - at_most
    return ", ".join(words[:at_most]) + (f" and {more} more" if more > 0 else "")


def _percent(fraction: float) -> str:
    return f"{100.0 * fraction:.1f} percent"


def _decisive(result: BarrierResult, row: Row) -> int:
    """Index of the rule that changed the action, -1 where none did; the first in table order of the strongest kind."""
    if not result.rule_changed_action[row]:
        return -1
    fired = [i for i in range(N_RULES) if result.fired[i][row]]
    for effect in (Effect.FREEZE, Effect.SELL, Effect.VETO):
        kind = [i for i in fired if RULES[i].effect is effect]
        if kind:
            return kind[0]
    return RULE_INDEX["crisis_cap"]  # a veto only where buying in a crisis is not allowed


def _seen(result: BarrierResult, row: Row) -> dict[str, tuple[float, float]]:
    """Value and threshold of each rule."""
    rules, one = result.rules, {f.name: float(getattr(result.inputs, f.name)[row]) for f in fields(result.inputs)}
    held, recommended = one["held_weight"], one["recommended_capital_fraction"]
    pre = float(result.pre_rule_learned_position_fraction[row])
    wanted = held if math.isnan(pre) else max(held, pre)
    crisis = 1.0 if one["regime_is_crisis"] == 1.0 else one["prob_crisis"]
    silent = {
        kind: float(sum(not one[f"{family}_known"] for family in families))
        for kind, families in (("supporting", SUPPORTING), ("critical", CRITICAL))
    }
    return {
        "profile_cap": (float(np.fmax(held, recommended)), float(result.cap_after[0][row])),
        "crisis_cap": (crisis, rules.crisis_prob),
        "high_drawdown_cap": (one["drawdown_risk_score"], rules.drawdown_risk),
        "high_contagion_cap_or_veto": (one["contagion_risk_score"], rules.contagion_risk),
        "high_quantitative_risk_cap_or_veto": (
            float(np.fmax(one["learned_fusion_risk_score"], one["quantitative_risk_score"])),
            rules.quantitative_risk,
        ),
        "low_liquidity_block": (one["liquidity_score"], rules.liquidity_floor),
        "not_tradable": (one["tradable"], 0.5),
        "sizing_upper_bound": (wanted, recommended),
        "data_missing_cap": (silent["supporting"], 0.0),
        "data_missing_block": (silent["critical"], 0.0),
        "weak_buy_downgrade": _weakest(one, rules, min(pre, float(result.user_rule_cap_fraction[row]))),
        "sell_signal": (one["learned_fusion_signal"], rules.sell_signal),
        "severe_risk_sell": (one["learned_fusion_risk_score"], rules.severe_risk),
        "sell_to_zero": (held, 0.0),
        "hold_keeps_weight": (held, recommended),
        "buy_keeps_weight": (held, pre),
    }


def _weakest(one: dict[str, float], rules: Rules, size: float) -> tuple[float, float]:
    """The first of signal, confidence and size that is too weak; the signal where none is."""
    signal, confidence = one["learned_fusion_signal"], one["learned_fusion_confidence"]
    if signal >= rules.min_signal and confidence < rules.min_confidence:
        return confidence, rules.min_confidence
    if signal >= rules.min_signal and size <= rules.min_size:
        return size, rules.min_size
    return signal, rules.min_signal


def _thresholds(rules: Rules) -> dict[str, tuple[float, ...]]:
    return {
        "learned_fusion_signal": (rules.min_signal, rules.sell_signal, 0.0),
        "learned_fusion_confidence": (rules.min_confidence,),
        "learned_fusion_risk_score": (rules.quantitative_risk, rules.severe_risk),
        "quantitative_risk_score": (rules.quantitative_risk,),
        "liquidity_score": (rules.liquidity_floor,),
        "drawdown_risk_score": (rules.drawdown_risk,),
        "contagion_risk_score": (rules.contagion_risk,),
        "tradable": (0.0, 1.0),
    }


def _one_row(inputs: BarrierInputs, row: Row) -> BarrierInputs:
    chosen: dict[str, Any] = {f.name: np.atleast_1d(getattr(inputs, f.name)[row]) for f in fields(inputs)}
    return BarrierInputs(**chosen)
