"""Text that reaches names without text is found, whichever way it takes; a clean run shows that it takes none."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glassbox_bt.audits import absent_text
from glassbox_bt.audits.absent_text import held_in, walk_checks
from glassbox_bt.audits.case import Case
from glassbox_bt.audits.subject import Walk
from glassbox_bt.modules import _fusion_model
from glassbox_bt.modules._anchor import Standardiser
from glassbox_bt.modules._fusion_features import anchor_inputs, features
from glassbox_bt.types import AnyArray, FloatArray, Read

HELD = "rows without text that are held or bought"
LOUD = "weights of text moved, all residuals speaking"


@pytest.fixture(scope="module")
def case(texty: Path) -> Case:
    return Case(texty)


def failed(case: Case, walk: Walk) -> set[tuple[str, str]]:
    checks = walk_checks(case.plan, walk, held_in(case, walk), seed=1)[0]
    return {(one.check, one.column) for one in checks if one.passed is False}


def n_held(case: Case) -> int:
    """Recorded decisions of test that have no text, and a weight in hand or asked for."""
    rows = case.decided(1, "test")
    mute = rows[rows["text_available"] == 0.0]
    return int(((mute["held_weight"] > 0.0) | (mute["target_weight"] > 0.0)).sum())


def with_fusion(walk: Walk, **changes: Any) -> Walk:
    """The walk with other answers of fusion on the test rows without text."""
    given = walk.fitter.answers["fusion"]
    outputs = {name: np.array(values) for name, values in given.outputs.items()}
    mute = outputs["text_available"] == 0.0
    for name, value in changes.items():
        outputs[name][mute] = value
    changed = dataclasses.replace(given, outputs=outputs)
    answers = {**walk.fitter.answers, "fusion": changed}
    return dataclasses.replace(walk, fitter=dataclasses.replace(walk.fitter, answers=answers))


def test_a_clean_run_is_untouched_to_the_last_bit(texty: Path, ask: Any) -> None:
    result = ask("absent_text", texty)
    assert result.status == "pass"
    assert result.facts["rows"] > 100
    assert {one.check for one in result.asked} >= {"text silenced", "weights of text moved", LOUD}
    assert {one.check for one in result.asked} >= {"text and its encoder silenced", HELD}
    held = [one for one in result.metrics if one.metric == HELD]
    assert [(one.value, one.verdict) for one in held] == [(float(n_held(Case(texty))), "pass")]
    assert {one.value for one in result.metrics if one.metric != HELD} == {0.0}


def test_a_row_that_hears_of_silence_is_named(case: Case) -> None:
    walk = with_fusion(case.subject.walks[0], learned_position_multiplier=0.123, learned_fusion_risk_score=0.97)
    wrong = failed(case, walk)
    assert {("text silenced", "learned_position_multiplier"), ("text silenced", "learned_fusion_risk_score")} <= wrong
    assert any(column == "final_position_fraction" for _, column in wrong)


@dataclasses.dataclass(frozen=True)
class Listens:
    """A module's reads, and those of what the encoder says."""

    reads: tuple[Read, ...] = (Read("text_encoder.embedding", 21),)


@pytest.mark.parametrize(
    ("listens", "size", "verdict", "words"),
    [
        (
            True,
            1e-4,
            "note",
            "0 of {n} rows change their final action or size, fusion's numbers by at most 0.0001: all of it ",
        ),
        (True, 0.0, "pass", ""),
        (False, 1e-4, "FAIL", "no module but the branch reads the encoder"),
    ],
)
def test_what_comes_from_the_encoder_past_the_branch_is_told(
    case: Case, monkeypatch: pytest.MonkeyPatch, listens: bool, size: float, verdict: str, words: str
) -> None:
    walk = case.subject.walks[0]
    if listens:
        stack = {**walk.fitter.stack, "technical": Listens()}
        walk = dataclasses.replace(walk, fitter=dataclasses.replace(walk.fitter, stack=stack))  # type: ignore[arg-type]
    given = absent_text.silenced

    def moved(plan: Any, fitter: Any, names: tuple[str, ...] = absent_text.BRANCH) -> Any:
        quiet = given(plan, fitter, names)
        if "text_encoder" not in names:
            return quiet
        assert {quiet.stand_ins[name] for name in ("text_encoder", *absent_text.BRANCH)} == {"silent"}
        said = quiet.answers["fusion"]
        outputs = {**said.outputs, "learned_fusion_risk_prob": said.outputs["learned_fusion_risk_prob"] + size}
        return dataclasses.replace(quiet, answers={**quiet.answers, "fusion": dataclasses.replace(said, outputs=outputs)})

    monkeypatch.setattr(absent_text, "silenced", moved)
    checks, metrics, n_rows = walk_checks(case.plan, walk, held_in(case, walk), seed=1)
    (told,) = [one for one in checks if one.check == "text and its encoder silenced"]
    assert told.verdict == verdict
    assert words.format(n=n_rows) in told.detail
    assert ("technical, which hears the text of the whole market" in told.detail) == (verdict == "note")
    of_encoder = {one.metric: one for one in metrics if "its encoder" in one.metric}
    assert {one.verdict for one in of_encoder.values()} == {verdict}
    assert sorted(one.value or 0.0 for one in of_encoder.values()) == pytest.approx([0.0, size], rel=1e-4)


def test_a_run_that_holds_no_name_without_text_says_that_nothing_was_put_to_the_test(case: Case) -> None:
    walk = with_fusion(case.subject.walks[0], learned_position_multiplier=0.0, learned_recommendation=0.0)
    checks, metrics, n_rows = walk_checks(case.plan, walk, np.zeros_like(held_in(case, walk)), seed=1)
    (told,) = [one for one in checks if one.check == HELD]
    assert (told.verdict, told.hard) == ("note", False)
    assert f"0 of {n_rows} rows without text are held or bought" in told.detail
    assert [one.value for one in metrics if one.metric == HELD] == [0.0]


def test_text_inputs_that_are_not_taken_out_are_named(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def leaking(rows: Mapping[str, FloatArray], scaler: Standardiser) -> AnyArray:
        return scaler.pairs(features(rows))  # "no text event" and HOLD speak, although nothing was said

    monkeypatch.setattr(_fusion_model, "network_inputs", leaking)
    wrong = failed(case, case.subject.walks[0])
    assert (LOUD, "learned_fusion_signal") in wrong
    assert ("text silenced", "learned_fusion_signal") not in wrong


def test_anchors_that_take_neutral_text_for_text_are_named(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def neutral(rows: Mapping[str, FloatArray]) -> FloatArray:
        inputs = anchor_inputs(rows)
        inputs[:, 3], inputs[:, 4] = rows["text_score"], rows["text_risk"]  # 0 and 0.5 where there is none
        return inputs

    monkeypatch.setattr(_fusion_model, "anchor_inputs", neutral)
    assert ("weights of text moved", "learned_fusion_risk_prob") in failed(case, case.subject.walks[0])


def test_a_weight_of_text_without_text_is_named(case: Case) -> None:
    walk = with_fusion(case.subject.walks[0], learned_qualitative_weight=0.06)
    assert failed(case, walk) == {("weight of text where there is none", "learned_qualitative_weight")}


def test_a_formula_that_takes_unknown_for_risky_is_named(case: Case) -> None:
    walk = with_fusion(case.subject.walks[0], fusion_rule_risk_score=0.999)
    assert failed(case, walk) == {("risk not above the quantitative risk", "fusion_rule_risk_score")}


def test_it_does_not_apply_without_text(run: Path, bare: Any, ask: Any) -> None:
    for place, words in ((run, "no branch of text"), (bare(), "needs a run folder")):
        result = ask("absent_text", place)
        assert result.status == "not applicable"
        assert words in result.reason
