from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glassbox_bt.decision.barrier import BarrierInputs, Rules, evaluate, inputs_from, reasons, registry
from glassbox_bt.decision.rules import RULE_INDEX, RULES
from glassbox_bt.errors import ContractError, PlanError
from glassbox_bt.modules.base import rounded
from glassbox_bt.types import Action, Signal
from tests.decision.cases import FAMILIES, INPUTS, case

RULE_SETS = st.builds(
    Rules,
    exposure_mode=st.sampled_from(["conservative", "moderate", "aggressive"]),
    horizon_mode=st.sampled_from(["short", "long"]),
    allow_buy_in_crisis=st.booleans(),
    allow_sell_signal=st.booleans(),
)


def decided(inputs: BarrierInputs, rules: Rules | None = None) -> tuple[Action, float, set[str]]:
    result = evaluate(inputs, rules or Rules())
    return (
        Action(int(result.final_recommendation[0])),
        float(result.final_position_fraction[0]),
        set(reasons(result)[0].split("|")),
    )


def reference(inputs: BarrierInputs, i: int, rules: Rules) -> tuple[Action, float, float]:
    """Action, permitted size and cap of one row, written straight from the table with ifs."""
    x = {f.name: getattr(inputs, f.name)[i].item() for f in dataclasses.fields(inputs)}
    learned = Action(int(x["learned_recommendation"])) if x["fusion_known"] else Action.HOLD
    sized = x["position_sizing_known"]
    position = x["recommended_capital_fraction"] * x["learned_position_multiplier"]
    position = 0.0 if math.isnan(position) else position
    profile = {"conservative": 0.05, "moderate": 0.10, "aggressive": 0.15}[rules.exposure_mode]
    cap = min(x["max_single_stock_exposure"], profile) if sized else profile
    veto = frozen = False
    if x["regime_is_crisis"] == 1 or x["prob_crisis"] >= 0.5:
        cap = min(cap, 0.05 if rules.horizon_mode == "short" else 0.03)
        veto |= not rules.allow_buy_in_crisis
    if x["drawdown_risk_score"] >= 0.8:
        cap, veto = min(cap, 0.03), True
    if x["contagion_risk_score"] >= 0.9:
        cap, veto = min(cap, 0.02), True
    if x["learned_fusion_risk_score"] >= 0.85 or x["quantitative_risk_score"] >= 0.85:
        cap, veto = min(cap, 0.03), True
    if x["liquidity_score"] < 0.3 or x["tradable"] < 0.5:
        cap, frozen = 0.0, True
    if not all(x[f"{f}_known"] for f in ("volatility", "drawdown", "contagion", "regime")):
        cap *= 0.5
    wanted = max(x["held_weight"], position)
    if sized and wanted > x["recommended_capital_fraction"]:
        cap = min(cap, x["recommended_capital_fraction"])
    if not all(x[f"{f}_known"] for f in ("liquidity", "tail", "quantitative", "fusion", "position_sizing")):
        cap, veto = min(cap, x["held_weight"]), True
    weak = x["learned_fusion_signal"] < 0.18 or x["learned_fusion_confidence"] < 0.35 or min(position, cap) <= 1e-4
    veto |= weak
    bearish = x["learned_fusion_signal"] < -0.25
    severe = x["learned_fusion_risk_score"] >= 0.92 and x["learned_fusion_signal"] < 0
    action = learned
    if frozen:
        action = Action.HOLD
    elif rules.allow_sell_signal and (bearish or severe):
        action = Action.SELL
    elif veto and learned is Action.BUY:
        action = Action.HOLD
    size = {Action.SELL: 0.0, Action.HOLD: min(x["held_weight"], cap), Action.BUY: min(wanted, cap)}[action]
    return action, size, cap


@settings(max_examples=400, deadline=None)
@given(INPUTS, RULE_SETS)
def test_every_row_equals_the_table_read_by_hand(inputs: BarrierInputs, rules: Rules) -> None:
    result = evaluate(inputs, rules)
    for i in range(len(inputs.held_weight)):
        action, size, cap = reference(inputs, i, rules)
        assert (result.final_recommendation[i], result.final_position_fraction[i]) == (action, size)
        assert result.user_rule_cap_fraction[i] == cap


def test_a_good_buy_passes_untouched() -> None:
    result = evaluate(case(), Rules())
    assert decided(case()) == (Action.BUY, 0.08, {"no_rule_override"})
    assert result.binding_rule_id[0] == "none"
    assert result.final_effective_signal[0] == 0.6


ABOVE, BELOW = math.inf, -math.inf
BOUNDARIES = [  # input, threshold, direction in which the rule fires, inclusive, code
    ("prob_crisis", 0.50, ABOVE, True, "crisis_cap_0.05"),
    ("drawdown_risk_score", 0.80, ABOVE, True, "high_drawdown_cap"),
    ("contagion_risk_score", 0.90, ABOVE, True, "high_contagion_cap_or_veto"),
    ("learned_fusion_risk_score", 0.85, ABOVE, True, "high_quantitative_risk_cap_or_veto"),
    ("quantitative_risk_score", 0.85, ABOVE, True, "high_quantitative_risk_cap_or_veto"),
    ("liquidity_score", 0.30, BELOW, False, "low_liquidity_block"),
    ("tradable", 0.5, BELOW, False, "not_tradable"),
    ("learned_fusion_signal", 0.18, BELOW, False, "weak_buy_downgrade"),
    ("learned_fusion_confidence", 0.35, BELOW, False, "weak_buy_downgrade"),
    ("recommended_capital_fraction", 0.0001, BELOW, True, "weak_buy_downgrade"),
    ("learned_fusion_signal", -0.25, BELOW, False, "sell_signal"),
]


@pytest.mark.parametrize(("name", "threshold", "fires", "inclusive", "code"), BOUNDARIES)
def test_each_boundary_exactly_and_one_ulp_to_either_side(
    name: str, threshold: float, fires: float, inclusive: bool, code: str
) -> None:
    stored = float(rounded(np.float32(threshold)))  # as a float32 column is read
    assert stored == threshold
    beyond, short = np.nextafter(stored, fires), np.nextafter(stored, -fires)
    said = {value: code in decided(case(**{name: float(value)}))[2] for value in (short, stored, beyond)}
    assert said == {short: False, stored: inclusive, beyond: True}


@pytest.mark.parametrize("signal", [np.nextafter(0.0, -1.0), 0.0])
@pytest.mark.parametrize("risk", [np.nextafter(0.92, 0.0), 0.92])
def test_severe_risk_sells_only_with_a_negative_signal(signal: float, risk: float) -> None:
    _, _, said = decided(case(learned_fusion_signal=float(signal), learned_fusion_risk_score=float(risk)))
    assert ("severe_risk_sell" in said) == (signal < 0 and risk >= 0.92)


@pytest.mark.parametrize(
    ("changes", "rules", "expected"),
    [
        ({"prob_crisis": 0.5}, Rules(), (Action.BUY, 0.05, "crisis_cap_0.05")),
        ({"regime_is_crisis": 1.0}, Rules(horizon_mode="long"), (Action.BUY, 0.03, "crisis_cap_0.03")),
        ({"prob_crisis": 0.5}, Rules(allow_buy_in_crisis=False), (Action.HOLD, 0.0, "crisis_cap_0.05")),
        ({"drawdown_risk_score": 0.8, "held_weight": 0.05}, Rules(), (Action.HOLD, 0.03, "high_drawdown_cap")),
        ({"contagion_risk_score": 0.9, "held_weight": 0.05}, Rules(), (Action.HOLD, 0.02, "high_contagion_cap_or_veto")),
        ({}, Rules(exposure_mode="conservative"), (Action.BUY, 0.05, "profile_cap")),
        ({"held_weight": 0.09}, Rules(), (Action.BUY, 0.08, "sizing_upper_bound")),
        ({"learned_fusion_signal": -0.5, "held_weight": 0.05}, Rules(), (Action.SELL, 0.0, "sell_signal")),
        ({"learned_recommendation": 0.0, "held_weight": 0.05}, Rules(), (Action.SELL, 0.0, "sell_to_zero")),
        ({"learned_recommendation": 1.0, "held_weight": 0.05}, Rules(), (Action.HOLD, 0.05, "hold_keeps_weight")),
        (
            {"learned_position_multiplier": 0.5, "held_weight": 0.05},
            Rules(),
            (Action.BUY, 0.05, "buy_keeps_weight"),
        ),
        ({"learned_position_multiplier": 0.5}, Rules(), (Action.BUY, 0.04, "learned_scale_down")),
    ],
)
def test_each_rule_does_what_the_table_says(
    changes: dict[str, float], rules: Rules, expected: tuple[Action, float, str]
) -> None:
    action, size, said = decided(case(**changes), rules)
    assert (action, size) == expected[:2]
    assert expected[2] in said


@pytest.mark.parametrize("family", FAMILIES)
def test_a_silent_family_never_leaves_a_row_as_it_was(family: str) -> None:
    """D-FUS-05: missing is not 0.5 and not tradable."""
    action, size, said = decided(case((family,)))
    if family in ("volatility", "drawdown", "contagion", "regime"):
        assert (action, size) == (Action.BUY, 0.05)
        assert {"data_missing_cap", "position_reduced_by_rule_barrier"} <= said
    else:
        assert (action, size) == (Action.HOLD, 0.0)
        assert "data_missing_block" in said
        held_action, held_size, _ = decided(case((family,), held_weight=0.04))
        assert (held_action, held_size) == (Action.HOLD, 0.04)


def test_two_silent_supporting_families_halve_the_cap_once() -> None:
    assert decided(case(("drawdown", "contagion", "regime")))[1] == 0.05
    assert decided(case(("drawdown", "regime"), recommended_capital_fraction=0.04, held_weight=0.03))[1] == 0.04


def test_a_frozen_name_holds_even_against_a_bearish_signal_and_says_so() -> None:
    """Spec 25.3: what cannot be sold is HOLD with nothing permitted; the order aims at the weight in hand."""
    result = evaluate(case(liquidity_score=0.1, learned_fusion_signal=-0.9, held_weight=0.06), Rules())
    assert result.final_recommendation[0] == Action.HOLD
    assert result.final_position_fraction[0] == 0.0
    assert result.target_weight[0] == 0.06
    assert result.exit_blocked[0]
    assert "exit_blocked" in reasons(result)[0]
    assert not evaluate(case(tradable=0.0), Rules()).exit_blocked[0]


def test_hold_without_a_holding_holds_nothing() -> None:
    """D-FUS-04."""
    assert decided(case(learned_recommendation=1.0))[1] == 0.0


def test_hold_is_never_upgraded_to_buy() -> None:
    """D-FUS-02: every condition of the upgrade is met."""
    assert decided(case(learned_recommendation=1.0))[0] is Action.HOLD


def test_the_multiplier_is_applied_once() -> None:
    """D-FUS-01: a recommendation of 10 % at full conviction is bought at 10 %."""
    assert decided(case(recommended_capital_fraction=0.10))[1] == 0.10


def test_a_veto_silences_the_effective_signal_but_keeps_the_learned_one() -> None:
    """D-FUS-08."""
    result = evaluate(case(drawdown_risk_score=0.9), Rules())
    assert result.final_effective_signal[0] == 0.0
    assert result.inputs.learned_fusion_signal[0] == 0.6


@pytest.mark.parametrize("rule", sorted({r.id for r in RULES} - {"RB-13", "RB-16", "RB-17"}))
def test_a_disabled_rule_never_fires(rule: str) -> None:
    everything_wrong = case(
        ("volatility", "tail"),
        prob_crisis=0.9,
        drawdown_risk_score=0.9,
        contagion_risk_score=0.95,
        learned_fusion_risk_score=0.95,
        liquidity_score=0.1,
        tradable=0.0,
        learned_fusion_signal=-0.9,
        held_weight=0.14,
    )
    fired = evaluate(everything_wrong, Rules(disabled=(rule,))).fired
    mine = np.array([r.id == rule for r in RULES])
    assert not fired[mine].any()
    assert evaluate(everything_wrong, Rules()).fired[mine].all()


@pytest.mark.parametrize(
    "settings",
    [
        {"exposure_mode": "bold"},
        {"horizon_mode": "endless"},
        {"crisis_prob": 1.5},
        {"sell_signal": 0.3},
        {"disabled": ("RB-10",)},
        {"disabled": ("RB-13",)},
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(PlanError):
        Rules(**settings)


def test_inputs_that_do_not_fit_are_refused() -> None:
    good = case()
    with pytest.raises(ContractError, match="held_weight"):
        case(held_weight=-0.01)
    with pytest.raises(ContractError, match="not finite where `liquidity`"):
        case(liquidity_score=math.nan)
    with pytest.raises(ContractError, match="float32"):
        dataclasses.replace(good, prob_crisis=np.float32([0.5]))
    with pytest.raises(ContractError, match="expected float64"):
        dataclasses.replace(good, tradable=np.ones(2))


def test_one_day_equals_many_days_and_names_may_come_in_any_order() -> None:
    rows = [case(), case(drawdown_risk_score=0.9), case(("liquidity",)), case(learned_fusion_signal=-0.5)]
    columns = {f.name: np.array([getattr(r, f.name)[0] for r in rows]) for f in dataclasses.fields(rows[0])}
    flat = evaluate(BarrierInputs(**columns), Rules())
    square = evaluate(BarrierInputs(**{k: v.reshape(2, 2) for k, v in columns.items()}), Rules())
    turned = evaluate(BarrierInputs(**{k: v[::-1] for k, v in columns.items()}), Rules())
    np.testing.assert_array_equal(square.final_position_fraction.ravel(), flat.final_position_fraction)
    np.testing.assert_array_equal(reasons(square).ravel(), reasons(flat))
    np.testing.assert_array_equal(reasons(turned)[::-1], reasons(flat))


def test_every_code_has_one_sentence() -> None:
    for rules in (Rules(), Rules(horizon_mode="long")):
        known = registry(rules)
        assert all(sentence.endswith(".") and "_" not in sentence for sentence in known.values())
        assert len(known) == len(RULES) + 5
    assert "crisis_cap_0.03" in registry(Rules(horizon_mode="long"))


def test_inputs_from_modules_answers() -> None:
    known = np.array([True, False])

    def said(module: str, kind: Any = "asset", **values: float) -> Signal:
        shape = (2,) if kind == "asset" else ()
        mask = known if kind == "asset" else np.array(True)
        outputs = {name: np.where(mask, np.full(shape, value), np.nan) for name, value in values.items()}
        return Signal(module, np.datetime64("2020-01-02"), outputs, mask, np.zeros(shape, np.int8), kind)

    answers = {
        "fusion": said(
            "fusion",
            learned_recommendation=2,
            learned_fusion_signal=0.5,
            learned_fusion_risk_score=0.2,
            learned_fusion_confidence=0.6,
            learned_position_multiplier=0.75,
        ),
        "position_sizing": said(
            "position_sizing",
            recommended_capital_fraction=0.08,
            max_single_stock_exposure=0.1,
            contagion_risk_score=0.0,
        ),
        "quantitative": said("quantitative", quantitative_risk_score=0.2),
        "liquidity": said("liquidity", liquidity_score=0.7, tradable=1.0),
        "var": said("var", var_95=-0.02),
        "cvar": said("cvar", cvar_95=-0.03),
        "regime": said("regime", "market", prob_crisis=0.7, regime_label_id=2.0),
    }
    inputs = inputs_from(answers, np.zeros(2), tradable=np.ones(2))
    assert inputs.tail_known.tolist() == [True, False]
    assert inputs.regime_known.tolist() == [True, True]
    assert inputs.regime_is_crisis.tolist() == [1.0, 1.0]
    assert not inputs.drawdown_known.any()
    result = evaluate(inputs, Rules())
    assert result.final_recommendation.tolist() == [Action.BUY, Action.HOLD]
    assert result.final_position_fraction.tolist() == [0.025, 0.0]  # crisis cap, halved
    halted = inputs_from(answers, np.zeros(2), tradable=np.zeros(2))
    assert evaluate(halted, Rules()).fired[RULE_INDEX["not_tradable"], 0]
