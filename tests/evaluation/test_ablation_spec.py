"""Ablations as values: what they do to a plan, what they ask, and which of them a plan can be asked."""

from __future__ import annotations

import dataclasses
from typing import get_args

import pytest

from glassbox_bt.errors import PlanError
from glassbox_bt.evaluation.ablation import AblationSpec, ablation_specs, absent_parts
from glassbox_bt.evaluation.ablation_spec import EDITS
from glassbox_bt.plan import ABLATION_SETS, PolicyName, load_stack, plan_from
from glassbox_bt.walkforward.policies import POLICIES
from tests.flow.tiny import tiny_table

PLAN = plan_from(tiny_table())
SPECS = [
    AblationSpec(name="a", set="modules", edit="silent", target="var", question="?", parts=("var",)),
    AblationSpec(name="b", set="controls", edit="shuffled", target="var", question="?", parts=("var",)),
    AblationSpec(name="c", set="controls", edit="frozen", target="var", question="?", parts=("var", "cvar")),
    AblationSpec(
        name="d",
        set="controls",
        edit="baseline",
        target="technical",
        question="?",
        depth="retrained",
        parts=("technical",),
        value="anchor",
    ),
    AblationSpec(name="e", set="rules", edit="rule", target="RB-05", question="?", parts=("RB-05",)),
    AblationSpec(name="f", set="modalities", edit="blank", target="rsi", question="?", parts=("rsi_14",)),
    AblationSpec(name="g", set="execution", edit="seed", target="seed", question="?", depth="retrained", value=8),
    AblationSpec(name="h", set="execution", edit="cost", target="costs", question="?", value=2.0),
    AblationSpec(name="i", set="execution", edit="lag", target="decisions", question="?", value=3),
    AblationSpec(
        name="j",
        set="execution",
        edit="profile",
        target="aggressive",
        question="?",
        parts=("position_sizing",),
        value="aggressive",
    ),
    AblationSpec(name="k", set="fusion", edit="policy", target="fusion", question="?", value="formula_only"),
    AblationSpec(name="l", set="text", edit="text", target="text", question="?", value="moved"),
]


def test_there_is_a_spec_of_every_edit() -> None:
    assert [spec.edit for spec in SPECS] == list(EDITS)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.edit)
def test_a_spec_is_a_pure_function(spec: AblationSpec) -> None:
    before, digest = PLAN.as_dict(), PLAN.digest
    edited = spec.apply(PLAN)
    assert PLAN.as_dict() == before
    assert edited.digest != digest
    assert spec.apply(PLAN) == edited
    assert hash(spec) == hash(dataclasses.replace(spec))


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.edit)
def test_an_edit_touches_only_its_own_part(spec: AblationSpec) -> None:
    one, two = PLAN.as_dict(), spec.apply(PLAN).as_dict()
    touched = {name for name in one if one[name] != two[name]}
    assert (
        touched
        == {
            "silent": {"stand_ins"},
            "shuffled": {"stand_ins"},
            "frozen": {"stand_ins"},
            "baseline": {"modules"},
            "rule": {"rules"},
            "blank": {"blank"},
            "seed": {"seed"},
            "cost": {"costs"},
            "lag": {"lag"},
            "profile": {"rules", "modules"},
            "policy": {"policy"},
            "text": {"text"},
        }[spec.edit]
    )


def test_what_the_edits_say() -> None:
    by_edit = {spec.edit: spec.apply(PLAN) for spec in SPECS}
    assert by_edit["frozen"].stand_ins == {"var": "frozen", "cvar": "frozen"}
    assert by_edit["baseline"].modules["technical"] == {**PLAN.modules["technical"], "variant": "anchor"}
    assert by_edit["rule"].rules.disabled == ("RB-05",)
    assert by_edit["cost"].costs.half_spread_bps == 2.0 * PLAN.costs.half_spread_bps
    assert by_edit["cost"].costs.min_trade == PLAN.costs.min_trade
    assert load_stack(by_edit["profile"])["position_sizing"].exposure_mode == "aggressive"  # type: ignore[attr-defined]
    assert by_edit["profile"].rules.profile_cap == 0.15


@pytest.mark.parametrize("edit", ["baseline", "seed"])
def test_what_needs_other_fits_is_refused_at_inference(edit: str) -> None:
    spec = next(one for one in SPECS if one.edit == edit)
    with pytest.raises(PlanError, match="depth retrained"):
        dataclasses.replace(spec, depth="inference")


@pytest.mark.parametrize(
    "wrong",
    [
        {"edit": "doubled"},
        {"set": "colours"},
        {"depth": "deep"},
        {"edit": "silent", "parts": ()},
    ],
)
def test_what_does_not_exist_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(PlanError):
        dataclasses.replace(SPECS[0], **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("depth", ["inference", "retrained"])
def test_every_spec_of_every_set_gives_a_plan_that_loads(depth: str) -> None:
    specs = ablation_specs(PLAN, ABLATION_SETS, depth)
    assert len({spec.name for spec in specs}) == len(specs)
    for spec in specs:
        edited = spec.apply(PLAN)
        assert edited.digest != PLAN.digest, spec.name
        assert load_stack(edited).keys() == load_stack(PLAN).keys()
        assert spec.question.endswith("?")
        assert "_" not in spec.question, spec.question
        assert spec.depth == depth


def test_modules_and_rules_are_taken_out_one_at_a_time() -> None:
    modules = ablation_specs(PLAN, ("modules",), "inference")
    assert [spec.parts for spec in modules] == [(name,) for name in load_stack(PLAN)]
    rules = ablation_specs(PLAN, ("rules",), "inference")
    numbers = (1, 2, 3, 4, 5, 6, 7, 8, 15, 9, 11, 12)
    assert [spec.target for spec in rules] == [f"RB-{number:02}" for number in numbers]
    off = plan_from(tiny_table(rules={"disabled": ["RB-05"]}))
    assert "RB-05" not in [spec.target for spec in ablation_specs(off, ("rules",), "inference")]
    assert [one.target for one in absent_parts(off, ("rules",), "inference")] == ["RB-05"]


def test_what_a_plan_has_not_is_said_in_words() -> None:
    absent = {one.target: one.why for one in absent_parts(PLAN, ("modalities", "fusion", "execution"), "inference")}
    assert set(absent) == {"text", "graph", "macro", "qualitative only", "equal weight", "seed"}
    assert "silent in this plan" in absent["text"]
    assert {one.target for one in absent_parts(PLAN, ("modules",), "inference")} == set(PLAN.silent)
    assert not {"text", "graph", "macro"} & {one.target for one in ablation_specs(PLAN, ("modalities",), "inference")}


def test_baselines_are_listed_where_they_can_be_fitted() -> None:
    retrained = {one.target: one.value for one in ablation_specs(PLAN, ("controls",), "retrained") if one.edit == "baseline"}
    assert retrained == {
        "temporal_encoder": "untrained",
        "technical": "anchor",
        "quantitative": "anchor",
        "fusion": "anchor",
    }
    at_inference = [one.target for one in absent_parts(PLAN, ("controls",), "inference")]
    assert at_inference == [f"baseline of {name}" for name in retrained]


def test_the_family_of_the_price_path_goes_as_a_whole() -> None:
    spec = next(one for one in ablation_specs(PLAN, ("modalities",), "inference") if one.target == "price path")
    assert spec.apply(PLAN).stand_ins == {"temporal_encoder": "silent", "technical": "silent"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"policy": "oracle"}, "policy"),
        ({"stand_ins": {"news": "silent"}}, "does not answer"),
        ({"ablations": {"sets": ["colours"]}}, "colours"),
    ],
)
def test_a_plan_says_what_it_cannot_use(change: dict[str, object], words: str) -> None:
    with pytest.raises(PlanError, match=words):
        load_stack(plan_from(tiny_table(**change)))


def test_policies_of_a_plan_are_those_that_there_are() -> None:
    assert list(get_args(PolicyName)) == list(POLICIES)
