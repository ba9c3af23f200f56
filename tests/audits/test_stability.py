"""An explanation that changes with a hair's breadth of its inputs is noted; a module that answers otherwise, found."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from glassbox_bt.audits.base import AuditResult, AuditSettings
from glassbox_bt.audits.case import Case
from glassbox_bt.audits.probes import drawn_rows, moved, probes
from glassbox_bt.audits.stability import audit_stability
from glassbox_bt.decision.rules import Rules
from glassbox_bt.market.view import Span
from glassbox_bt.modules._attribution import RISKS
from glassbox_bt.types import Answers, AnyArray
from tests.audits.planted import found

SETTINGS = AuditSettings(n_rows=60, n_draws=4)
ATTENTION = tuple(f"risk_attention_{risk}" for risk in RISKS)
Change = Callable[[Mapping[str, AnyArray], int], Mapping[str, AnyArray]]


@dataclasses.dataclass(frozen=True)
class Altered:
    """A fitted module whose answers are altered: ``change(outputs, n)`` is told how many rows are the unmoved ones."""

    module: Any
    change: Change
    draws: int
    name: ClassVar[str] = "quantitative"

    def predict_many(self, span: Span) -> Answers:
        said = self.module.predict_many(span)
        outputs = {name: np.array(values) for name, values in said.outputs.items()}
        return dataclasses.replace(said, outputs=self.change(outputs, span.n_assets // (self.draws + 1)))


@pytest.fixture(scope="module")
def case(run: Path) -> Case:
    one = Case(run)
    _ = one.subject  # rebuilt once for all tests
    return one


@pytest.fixture
def asked(case: Case) -> Any:
    """Asks for stability of the quantitative analyst alone, with its answers altered."""
    fitter = case.subject.walks[0].fitter
    fitted, stack = dict(fitter.fitted), dict(fitter.stack)

    def ask(change: Change | None = None, settings: AuditSettings = SETTINGS) -> AuditResult:
        fitter.stack.clear()
        fitter.stack["quantitative"] = stack["quantitative"]
        if change is not None:
            fitter.fitted["quantitative"] = Altered(fitted["quantitative"], change, settings.n_draws)
        try:
            return audit_stability(case, settings, lambda _what, _share: None)
        finally:
            fitter.fitted["quantitative"] = fitted["quantitative"]
            fitter.stack.clear()
            fitter.stack.update(stack)

    return ask


def figures(result: AuditResult) -> dict[str, tuple[float | None, str]]:
    return {one.metric: (one.value, one.verdict) for one in result.metrics}


def test_every_learned_module_of_a_clean_run_answers_as_recorded(case: Case) -> None:
    result = audit_stability(case, SETTINGS, lambda _what, _share: None)
    assert [one for one in result.findings if one.hard] == []
    recorded = [one for one in result.asked if one.check == "answers as recorded"]
    assert {one.module for one in recorded} == {"temporal_encoder", "technical", "volatility", "quantitative", "fusion"}
    rates = {(one.module, one.metric): one.value for one in result.metrics}
    for (_, metric), value in rates.items():
        if "rate" in metric:
            assert value is not None
            assert 0.0 <= value <= 1.0
        if "cosine" in metric:
            assert value is not None
            assert -1.0 <= value <= 1.0 + 1e-9


def test_an_explanation_that_stays_passes(asked: Any) -> None:
    told = figures(asked())
    assert told["driver flip rate"][1] == "pass"
    assert told["explanation cosine"][1] == "pass"
    assert told["action flip rate"][1] == "pass"
    assert told["Lipschitz constant, 95th percentile"][0] >= told["Lipschitz constant, 50th percentile"][0] > 0.0


def rolled(outputs: Mapping[str, AnyArray], n: int) -> Mapping[str, AnyArray]:
    """Attention of every moved row goes to the next risk."""
    moved_on = {name: outputs[ATTENTION[i - 1]][:, n:] for i, name in enumerate(ATTENTION)}
    return outputs | {name: np.concatenate([outputs[name][:, :n], moved_on[name]], axis=1) for name in ATTENTION}


def other_action(outputs: Mapping[str, AnyArray], n: int) -> Mapping[str, AnyArray]:
    action = outputs["quantitative_recommendation"].copy()
    action[:, n:] = (action[:, n:] + 1.0) % 3.0
    return outputs | {"quantitative_recommendation": action}


def test_an_explanation_that_jumps_is_noted(asked: Any) -> None:
    result = asked(rolled)
    told = figures(result)
    assert told["driver flip rate"] == (1.0, "note")
    assert told["explanation cosine"][1] == "note"
    assert told["action flip rate"] == (0.0, "pass")
    assert {one.verdict for one in result.findings} == {"note"}
    assert result.status == "note"


def test_an_action_that_flips_is_noted(asked: Any) -> None:
    told = figures(asked(other_action))
    assert told["action flip rate"] == (1.0, "note")
    assert told["driver flip rate"][1] == "pass"


def test_a_module_that_answers_otherwise_than_recorded_is_a_failure(asked: Any) -> None:
    def shifted(outputs: Mapping[str, AnyArray], _n: int) -> Mapping[str, AnyArray]:
        return outputs | {"quantitative_risk_score": outputs["quantitative_risk_score"] + 1e-6}

    result = asked(shifted)
    assert ("answers as recorded", "quantitative", "quantitative_risk_score") in found(result)
    assert result.status == "FAIL"


def test_few_rows_are_not_judged(asked: Any) -> None:
    result = asked(rolled, AuditSettings(n_rows=100_000, n_draws=2))
    assert figures(result)["driver flip rate"][1] in ("note", "insufficient")
    n_rows = figures(result)["rows perturbed"][0]
    assert (figures(result)["driver flip rate"][1] == "insufficient") == (n_rows < 500)


def test_draws_move_inputs_a_little_and_keep_flags_and_ranges(case: Case) -> None:
    walk = case.subject.walks[0]
    probe, seen = probes(Rules())["quantitative"], list[Span]()

    def watching(outputs: Mapping[str, AnyArray], _n: int) -> Mapping[str, AnyArray]:
        return outputs

    fitted = walk.fitter.fitted["quantitative"]

    class Watched(Altered):
        def predict_many(self, span: Span) -> Answers:
            seen.append(span)
            return super().predict_many(span)

    walk.fitter.fitted["quantitative"] = Watched(fitted, watching, SETTINGS.n_draws)
    try:
        rng = np.random.default_rng(1)
        rows = drawn_rows(walk, "quantitative", probe, SETTINGS.n_rows, rng)
        _, draws, steps = moved(walk, "quantitative", rows, SETTINGS, rng)
    finally:
        walk.fitter.fitted["quantitative"] = fitted
    assert len(draws) == len(steps) == SETTINGS.n_draws
    n = len(rows.days)
    for name, block in seen[0].blocks.items():
        first, rest = block[:, :n], block[:, n:].reshape(len(block), SETTINGS.n_draws, n)
        if name.endswith((".known", "_available")):
            np.testing.assert_array_equal(rest, np.repeat(first[:, None], SETTINGS.n_draws, axis=1))
        if name.endswith("_score"):
            assert np.nanmin(block) >= -1.0
            assert np.nanmax(block) <= 1.0
    size = np.concatenate(steps)
    assert size.min() > 0.0
    assert size.max() < SETTINGS.sigma * 10 * np.sqrt(len(seen[0].blocks))


def test_rows_near_a_threshold_are_not_drawn(case: Case) -> None:
    walk, probe = case.subject.walks[0], probes(Rules())["quantitative"]
    rows = drawn_rows(walk, "quantitative", probe, 10_000, np.random.default_rng(2))
    given = walk.fitter.answers["quantitative"]
    day, asset = rows.days - given.days[0], np.searchsorted(given.assets, rows.assets)
    signal = given.outputs["risk_adjusted_quantitative_signal"][day, asset]
    assert np.abs(signal - 0.18).min() > 0.02
    assert np.abs(signal + 0.25).min() > 0.02
    assert np.isin(rows.days, walk.fitter.days.test).all()


def test_the_same_seed_draws_the_same_rows(asked: Any) -> None:
    assert asked() == asked()
