"""Validation decides which variant answers test and how it is calibrated; what train chose answers validation itself."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, cast

import numpy as np
import pytest

from glassbox_bt.audits.base import AuditSettings
from glassbox_bt.audits.lookahead import audit_lookahead
from glassbox_bt.audits.subject import Subject
from glassbox_bt.errors import TrainingError
from glassbox_bt.market.view import Span, TrainView
from glassbox_bt.modules.base import Candidate, FitContext, FittedModule, Module, ModuleState, answers_of, reasons, rounded
from glassbox_bt.plan import SelectionPlan
from glassbox_bt.runs.artefacts import ArtefactStore
from glassbox_bt.types import Answers, FloatArray, Kind, Read, Reason, StrArray
from glassbox_bt.walkforward.answers import load_part
from glassbox_bt.walkforward.fitting import DECIDED, REJECTED, ChunkFitter
from glassbox_bt.walkforward.record import record_module
from tests.audits.walks import LABEL, Reader, subject

BIASES = {"anchored": 0.5, "anchor": 0.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chooser:
    """Says a constant: with the variant that train names first it is off by a half, with its anchor by nothing."""

    variant: str = "anchored"
    said: float = float("nan")
    shift: float = 0.0
    blind: tuple[str, ...] = ()
    name: ClassVar[str] = "chooser"
    kind: ClassVar[Kind] = "asset"
    outputs: ClassVar[tuple[str, ...]] = ("forecast",)
    self_supervised: ClassVar[bool] = False
    learns_from: ClassVar[tuple[str, ...]] = (LABEL,)
    reads: ClassVar[tuple[Read, ...]] = (Read("reader.mean"),)

    def fit(self, train: TrainView, ctx: FitContext) -> tuple[Candidate, ...]:  # noqa: ARG002
        mean = float(np.nanmean(train.label(LABEL)))
        wanted = ("anchor",) if self.variant == "anchor" else ("anchored", "anchor")
        return tuple(Candidate(one, replace(self, variant=one, said=mean + BIASES[one])) for one in wanted)

    def select(self, candidates: tuple[Candidate, ...], validation: TrainView | None) -> Candidate:
        assert validation is None  # the walk asks for losses instead
        return candidates[0]

    def validation_loss(self, fitted: FittedModule, view: TrainView) -> float:
        if cast(Chooser, fitted).variant in self.blind:
            return float("nan")
        return float(np.nanmean((cast(Chooser, fitted).said - view.label(LABEL)) ** 2))

    def with_outcomes(self, answers: Answers, labels: Mapping[str, FloatArray]) -> Chooser:
        return replace(self, shift=float(np.nanmean(labels[LABEL] - answers.outputs["forecast"])))

    def predict_many(self, span: Span) -> Answers:
        forecast = np.full(span.member.shape, self.said + self.shift)
        codes = reasons((~span.member, Reason.NOT_A_MEMBER))
        return answers_of(self.name, span, {"forecast": rounded(forecast)}, codes)

    def explain(self, span: Span, answers: Answers) -> StrArray:  # noqa: ARG002
        return np.full(answers.known.shape, "always the same", dtype=object)

    def state(self) -> ModuleState:
        return ModuleState({"numbers": np.array([self.said, self.shift])}, {"variant": self.variant})

    def restore(self, state: ModuleState) -> FittedModule:
        said, shift = (float(one) for one in state.arrays["numbers"])
        return replace(self, variant=str(state.facts["variant"]), said=said, shift=shift)


def walked(folder: Path, rule: SelectionPlan, module: Chooser | None = None) -> Subject:
    """A walked chunk under this rule."""

    class Ruled(ChunkFitter):
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, **{"selection": rule, **kwargs})  # type: ignore[arg-type]

    return subject(folder, stack=(Reader(), module or Chooser()), fitter=Ruled)


def said_on(one: Subject, part: str) -> float:
    fitter = one.walks[0].fitter
    values = fitter.answers["chooser"].on(fitter.days.splits[part]).outputs["forecast"]
    (only,) = np.unique(values[np.isfinite(values)])
    return float(only)


def labels_of(one: Subject, part: str) -> FloatArray:
    fitter = one.walks[0].fitter
    days = fitter.days.splits[part]
    return fitter.store.train_view(days, (), (LABEL,), fitter.assets).label(LABEL)


def selection_of(one: Subject) -> dict[str, object]:
    fits = {fit["fold"]: fit["digest"] for fit in one.walks[0].fits["chooser"]}
    folder = one.walks[0].fitter.artefacts.root / "decided" / fits[DECIDED]
    told: dict[str, object] = json.loads((folder / "selection.json").read_text(encoding="utf-8"))
    return told


def test_the_variant_that_validation_prefers_answers_test_and_test_alone(tmp_path: Path) -> None:
    one = walked(tmp_path, SelectionPlan(calibration="out_of_fold"))
    fitter = one.walks[0].fitter
    assert said_on(one, "val") - said_on(one, "test") == pytest.approx(0.5, abs=0.02)
    told = selection_of(one)
    assert told["variant"] == "anchor"
    losses = cast(dict[str, float], told["losses"])
    assert losses["anchored"] > losses["anchor"]
    through = fitter.answers["chooser"].fitted_through
    days = fitter.answers["chooser"].days
    assert set(through[days >= fitter.days.test[0]]) == {fitter.days.val[-1]}
    assert set(through[np.isin(days, fitter.days.val)]) == {fitter.days.train[-1]}
    assert [fit["fold"] for fit in one.walks[0].fits["chooser"]][-2:] == [5, DECIDED]


def test_what_validation_rejected_is_answered_apart(tmp_path: Path) -> None:
    one = walked(tmp_path, SelectionPlan(calibration="out_of_fold"))
    fitter = one.walks[0].fitter
    again = ChunkFitter(fitter.store, fitter.stack, fitter.days, ArtefactStore(tmp_path / "artefacts"), seed=5)
    again.selection = fitter.selection
    record = {name: again.take(name, lambda _share: None) for name in fitter.stack}["chooser"]
    (rejected,) = [load_part(Path(part["path"])) for part in record.parts if part["split"] == REJECTED]
    assert np.array_equal(rejected.answers.days, fitter.days.test)
    assert rejected.fitted_through == fitter.days.train[-1]
    assert np.nanmean(rejected.answers.outputs["forecast"]) == pytest.approx(said_on(one, "val"), abs=1e-6)
    record_module(tmp_path, record)
    assert (tmp_path / "modules" / "chooser" / "chunk1_rejected.parquet").is_file()


def test_probabilities_are_put_right_on_validation_for_test_only(tmp_path: Path) -> None:
    one = walked(tmp_path, SelectionPlan(variant="fixed"))
    assert said_on(one, "test") == pytest.approx(float(np.nanmean(labels_of(one, "val"))), abs=1e-3)
    assert said_on(one, "val") == pytest.approx(0.5, abs=0.02)
    assert selection_of(one) == {"variant": "anchored", "losses": {}, "calibrated_rows": 65 * 6}


def test_a_plan_may_leave_validation_nothing_to_decide(tmp_path: Path) -> None:
    one = walked(tmp_path, SelectionPlan(variant="fixed", calibration="out_of_fold"))
    fitter = one.walks[0].fitter
    assert fitter.before == {}
    assert DECIDED not in {fit["fold"] for fit in one.walks[0].fits["chooser"]}
    assert set(fitter.answers["chooser"].fitted_through[-40:]) == {fitter.days.train[-1]}


def test_a_variant_that_the_plan_names_is_not_overruled(tmp_path: Path) -> None:
    one = walked(tmp_path, SelectionPlan(calibration="out_of_fold"), Chooser(variant="anchor"))
    assert one.walks[0].fitter.before == {}


def test_a_variant_without_a_loss_is_refused_beside_one_that_has_it(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no validation loss for anchored, but one for the others"):
        walked(tmp_path, SelectionPlan(), Chooser(blind=("anchored",)))


def test_without_any_loss_what_train_chose_stands(tmp_path: Path) -> None:
    one = walked(tmp_path, SelectionPlan(calibration="out_of_fold"), Chooser(blind=("anchored", "anchor")))
    assert selection_of(one) == {"variant": "anchored", "losses": {"anchor": None, "anchored": None}, "calibrated_rows": 0}
    assert said_on(one, "val") == said_on(one, "test")


def test_what_only_one_variant_says_is_there_on_its_own_days(tmp_path: Path) -> None:
    class Talker(Chooser):
        """Pays attention with a network only."""

        def predict_many(self, span: Span) -> Answers:
            plain = super().predict_many(span)
            if self.variant == "anchor":
                return plain
            attention = np.where(plain.known[..., None], 0.5, np.nan) * np.ones(2)
            return dataclasses.replace(plain, outputs={**plain.outputs, "attention": attention})

    one = walked(tmp_path, SelectionPlan(calibration="out_of_fold"), Talker())
    fitter = one.walks[0].fitter
    for part, there in (("val", True), ("test", False)):
        assert ("attention" in fitter.answers["chooser"].on(fitter.days.splits[part]).outputs) is there, part


def test_the_walk_is_taken_up_again_with_both_fits(tmp_path: Path) -> None:
    one = walked(tmp_path, SelectionPlan())
    fitter = one.walks[0].fitter
    again = ChunkFitter(fitter.store, fitter.stack, fitter.days, ArtefactStore(tmp_path / "artefacts"), seed=5)
    record = {name: again.take(name, lambda _share: None) for name in fitter.stack}["chooser"]
    assert all(fit["cached"] for fit in record.fits)
    third = dataclasses.replace(again, fitted={}, before={}, answers={}, columns={})
    parts = [load_part(Path(part["path"])) for part in record.parts if part["split"] != REJECTED]
    third.restore("chooser", Path(record.frozen), Path(record.before), parts)
    for day, bias in ((int(fitter.days.val[3]), 0.5), (int(fitter.days.test[3]), 0.0)):
        fitted, through = third.answering("chooser", day)
        assert cast(Chooser, fitted).said == cast(Chooser, fitter.answering("chooser", day)[0]).said
        assert cast(Chooser, fitted).said == pytest.approx(bias, abs=0.02)
        assert through < day


class Peeking(ChunkFitter):
    """Hands validation the outcomes of its last days, which come to pass on test days."""

    def validation_view(self, module: Module) -> TrainView:
        view = super().validation_view(module)
        days = np.arange(self.days.val[0], min(int(self.days.test[9]), self.store.n_sessions))
        later = self.store.train_view(days, (), module.learns_from, self.assets).labels
        return dataclasses.replace(view, labels={name: values[: len(view.days)] for name, values in later.items()})


def test_the_audit_sees_what_validation_was_handed(tmp_path: Path) -> None:
    settings = AuditSettings(n_days=2)
    honest = audit_lookahead(subject(tmp_path / "a", stack=(Reader(), Chooser())), settings)
    assert honest.findings == ()
    assert "inputs of a choice" in {check.check for check in honest.checks}
    peeking = audit_lookahead(subject(tmp_path / "b", stack=(Reader(), Chooser()), fitter=Peeking), settings)
    assert {(one.check, one.column) for one in peeking.findings} == {("inputs of a choice", f"label {LABEL}")}
