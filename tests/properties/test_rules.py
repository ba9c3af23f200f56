"""What must hold for every row that rules touch: audits A4 (a)-(g), A6 and metric M3."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glassbox_bt.decision.barrier import BarrierInputs, BarrierResult, Rules, evaluate, reasons, registry
from glassbox_bt.decision.rules import RULES, Effect
from glassbox_bt.decision.trace import LedgerEntry, ledger
from glassbox_bt.types import Action
from tests.decision.cases import INPUTS

EPS = 1e-9
NOTES = ("hold_keeps_weight", "buy_keeps_weight")
many = settings(max_examples=60, deadline=None)


def rows(inputs: BarrierInputs) -> list[tuple[BarrierResult, int, set[str], tuple[LedgerEntry, ...]]]:
    result = evaluate(inputs, Rules())
    texts = reasons(result)
    return [(result, i, set(texts[i].split("|")) - {""}, ledger(result, i)) for i in range(len(texts))]


@many
@given(INPUTS)
def test_a4a_a_smaller_size_has_a_code_that_lowered_it(inputs: BarrierInputs) -> None:
    for result, i, said, entries in rows(inputs):
        if result.final_position_fraction[i] >= inputs.recommended_capital_fraction[i] - EPS:
            continue
        if np.isnan(inputs.recommended_capital_fraction[i]):
            continue
        lowered = any(e.fired and e.code in said and e.cap_after < e.cap_before for e in entries)
        scaled = "learned_scale_down" in said and inputs.learned_position_multiplier[i] < 1.0
        assert lowered or scaled


@many
@given(INPUTS)
def test_a4b_a_changed_action_is_flagged_and_has_one_entry(inputs: BarrierInputs) -> None:
    for result, i, said, entries in rows(inputs):
        changed = result.learned_action[i] != result.final_recommendation[i]
        assert changed == bool(result.rule_changed_action[i]) == ("action_changed_by_rule_barrier" in said)
        assert sum(e.action_after is not e.action_before for e in entries) == int(changed)


@many
@given(INPUTS)
def test_a4c_each_code_is_registered_and_follows_from_its_value_and_threshold(inputs: BarrierInputs) -> None:
    at_least = {"crisis_cap_0.05", "high_drawdown_cap", "high_contagion_cap_or_veto", "high_quantitative_risk_cap_or_veto"}
    below = {"low_liquidity_block", "not_tradable", "sell_signal"}
    above = {"profile_cap", "sizing_upper_bound", "data_missing_cap", "data_missing_block", "buy_keeps_weight"}
    for _, _, said, entries in rows(inputs):
        assert said <= set(registry(Rules()))
        for entry in entries:
            if entry.code in at_least:
                assert entry.fired == (entry.value >= entry.threshold)
            elif entry.code in below:
                assert entry.fired == (entry.value < entry.threshold)
            elif entry.code in above:
                assert not entry.fired or np.isnan(entry.threshold) or entry.value > entry.threshold


@many
@given(INPUTS)
def test_a4d_replay_from_stored_values_gives_the_same_decision(inputs: BarrierInputs) -> None:
    stored = {f.name: getattr(inputs, f.name).copy() for f in dataclasses.fields(inputs)}
    once, again = evaluate(inputs, Rules()), evaluate(BarrierInputs(**stored), Rules())
    np.testing.assert_array_equal(once.final_recommendation, again.final_recommendation)
    np.testing.assert_array_equal(once.final_position_fraction, again.final_position_fraction)
    np.testing.assert_array_equal(reasons(once), reasons(again))


@many
@given(INPUTS)
def test_a4e_nothing_leads_to_buy_and_only_frozen_names_escape_a_sale(inputs: BarrierInputs) -> None:
    for result, i, said, _ in rows(inputs):
        learned, final = result.learned_action[i], result.final_recommendation[i]
        if final == Action.BUY:
            assert learned == Action.BUY
        if learned == Action.SELL and final != Action.SELL:
            assert final == Action.HOLD
            assert said & {"low_liquidity_block", "not_tradable"}
            assert result.exit_blocked[i] == (inputs.held_weight[i] > 0)


@many
@given(INPUTS)
def test_a4f_no_size_exceeds_any_bound(inputs: BarrierInputs) -> None:
    result = evaluate(inputs, Rules())
    bounds = (
        result.user_rule_cap_fraction,
        np.nan_to_num(inputs.recommended_capital_fraction, nan=np.inf),
        np.nan_to_num(inputs.max_single_stock_exposure, nan=np.inf),
    )
    for bound in bounds:
        assert (result.final_position_fraction <= bound).all()


@many
@given(INPUTS)
def test_a4g_no_rule_override_means_that_no_rule_fired(inputs: BarrierInputs) -> None:
    for _, _, said, entries in rows(inputs):
        fired = [e for e in entries if e.fired and e.code not in NOTES]
        assert ("no_rule_override" in said) == (not fired)


@many
@given(INPUTS)
def test_m3_the_ledger_carries_every_value_without_a_gap(inputs: BarrierInputs) -> None:
    for result, i, _, entries in rows(inputs):
        for one, two in itertools.pairwise(entries):
            assert (one.cap_after, one.size_after, one.action_after) == (two.cap_before, two.size_before, two.action_before)
        assert entries[0].action_before == result.learned_action[i]
        assert entries[-1].action_after == result.final_recommendation[i]
        assert entries[-1].size_after == result.final_position_fraction[i]
        if not np.isnan(result.pre_rule_learned_position_fraction[i]):
            assert entries[0].size_before == result.pre_rule_learned_position_fraction[i]
        for entry in entries:
            assert entry.fired or (entry.size_after == entry.size_before and entry.action_after is entry.action_before)


WARNINGS = {r.code for r in RULES if r.effect is not Effect.SIZE} - {"profile_cap", "sizing_upper_bound"} | {
    "crisis_cap_0.05"
}
RISKS = (
    "learned_fusion_risk_score",
    "quantitative_risk_score",
    "drawdown_risk_score",
    "contagion_risk_score",
    "prob_crisis",
    "regime_is_crisis",
)


@pytest.mark.parametrize("risk", RISKS)
@many
@given(inputs=INPUTS, lower=st.floats(0.0, 1.0))
def test_a6_lower_risk_never_lowers_a_size_nor_adds_a_warning(risk: str, inputs: BarrierInputs, lower: float) -> None:
    better = dataclasses.replace(inputs, **{risk: np.minimum(getattr(inputs, risk), lower)})
    before, after = evaluate(inputs, Rules()), evaluate(better, Rules())
    kept = (before.final_recommendation != Action.SELL) | (after.final_recommendation == Action.SELL)
    assert (after.user_rule_cap_fraction >= before.user_rule_cap_fraction).all()
    assert (after.final_position_fraction >= before.final_position_fraction)[kept].all()
    for old, new in zip(reasons(before), reasons(after), strict=True):
        assert set(new.split("|")) & WARNINGS <= set(old.split("|"))


@many
@given(inputs=INPUTS, higher=st.floats(0.0, 1.0))
def test_a6_more_liquidity_never_blocks(inputs: BarrierInputs, higher: float) -> None:
    better = dataclasses.replace(inputs, liquidity_score=np.maximum(inputs.liquidity_score, higher))
    before, after = evaluate(inputs, Rules()), evaluate(better, Rules())
    for old, new in zip(reasons(before), reasons(after), strict=True):
        assert "low_liquidity_block" not in new or "low_liquidity_block" in old


@many
@given(INPUTS, st.permutations([rule for rule in sorted({r.id for r in RULES}) if rule not in ("RB-13", "RB-16", "RB-17")]))
def test_a_rule_more_never_adds_size(inputs: BarrierInputs, ids: list[str]) -> None:
    """Switch rules on one after another, in any order: the cap only falls."""
    caps = [evaluate(inputs, Rules(disabled=tuple(ids[n:]))).user_rule_cap_fraction for n in range(len(ids) + 1)]
    for fewer, more in itertools.pairwise(caps):
        assert (more <= fewer).all()
