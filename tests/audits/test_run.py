"""The audit of a finished run of the whole stack, and the command around it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glassbox_bt.audits import base
from glassbox_bt.audits.base import AuditResult, AuditSettings, Check, Progress
from glassbox_bt.audits.case import Case
from glassbox_bt.audits.lookahead import audit_run
from glassbox_bt.audits.perturb import Cut, Perturber
from glassbox_bt.audits.recorded import input_checks
from glassbox_bt.audits.replays import decision_checks
from glassbox_bt.audits.subject import subject_of
from glassbox_bt.audits.twins import Twin
from glassbox_bt.decision.barrier import BarrierInputs
from glassbox_bt.errors import RunFolderError
from glassbox_bt.plan import load_stack, plan_from
from glassbox_bt.types import Action, Answers
from glassbox_bt.walkforward import replay
from glassbox_bt.walkforward.record import record_chunk
from tests.audits.planted import Planted
from tests.flow.command import Shell
from tests.flow.tiny import tiny_table

STACK = set(load_stack(plan_from(tiny_table())))


def test_the_whole_stack_does_not_look_ahead(planted: Planted, shell: Shell) -> None:
    run = planted.run
    said = shell("audit", run, "--only", "lookahead", "--days", 2)
    assert said.code == 0, said.out
    path = run / "audits" / "lookahead.json"
    assert said.out.splitlines()[-1] == str(path)
    found = json.loads(path.read_text())
    assert found["findings"] == []
    assert {check["module"] for check in found["checks"]} >= {*STACK, "glassbox", "momentum_12_1", "market", "portfolio"}
    questions = {check["check"] for check in found["checks"]}
    assert {"replayed decisions", "replayed fills", "clock of fills", "one day as many", "inputs of a fit"} <= questions
    assert len(found["cuts"]) == 4
    summary = json.loads((run / "audits" / "summary.json").read_text())
    assert summary["lookahead"] == {name: value for name, value in found.items() if name != "checks"}


def test_a_policy_that_knows_tomorrows_answer_is_named(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def tomorrow(inputs: BarrierInputs, _answers: Mapping[str, Answers]) -> BarrierInputs:
        size, one = inputs.learned_position_multiplier, np.ones(inputs.learned_fusion_signal.shape)
        return dataclasses.replace(
            inputs,
            learned_recommendation=one * Action.BUY,  # so that the size matters on every day
            learned_fusion_signal=one,
            learned_fusion_confidence=one,
            learned_fusion_risk_score=0.0 * one,
            quantitative_risk_score=0.0 * one,
            learned_position_multiplier=np.concatenate([size[1:], size[:1]]),
        )

    monkeypatch.setattr(replay, "POLICIES", {"glassbox": tomorrow})
    subject = subject_of(run)
    walk = subject.walks[0]
    assert subject.plan is not None
    tables = record_chunk(walk.fitter, [], list(replay.replay_chunk(subject.plan, walk.fitter))).tables
    fooled = dataclasses.replace(subject, decisions=tables["decisions"], orders=tables["portfolio/orders"])
    store, day = subject.store, int(walk.fitter.days.test[-20])
    cut = Cut(store.dates[day], store.decided_at[day])
    twin = Twin(store, subject.build(Perturber.of(subject.raw).poisoned(cut, 1)), day, "poisoned")
    wrong = {(one.check, one.column) for one in decision_checks(fooled, walk, twin) if not one.passed}
    assert ("replayed decisions", "final_position_fraction") in wrong


@pytest.mark.slow
def test_fits_of_the_whole_stack_do_not_change_without_a_future(run: Path) -> None:
    result = audit_run(Case(run), AuditSettings(n_days=1, refit=True), lambda _what, _share: None)
    assert result.findings == ()
    assert {check.module for check in result.checks if check.check == "fitted again"} == STACK


def failing(case: Case, settings: AuditSettings, progress: Progress) -> AuditResult:  # noqa: ARG001
    """An audit that finds something."""
    good = Check("inputs of a fit", "fusion", "close", 1, "2019-05-02", True)
    bad = Check("inputs of a fit", "technical", "rsi_14", 1, "2019-05-02", False, "3 of 9 values")
    return AuditResult("lookahead", (good, bad), {"n_days": settings.n_days})


def test_a_finding_ends_the_command_with_1_and_names_module_and_column(
    planted: Planted, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "_load", lambda _path: failing)
    said = shell("audit", planted.run, "--only", "lookahead")
    assert said.code == 1
    told = " ".join(said.out.split())
    assert "module technical, column rsi_14, chunk 1, cut 2019-05-02 3 of 9 values" in told
    summary = json.loads((planted.run / "audits" / "summary.json").read_text())
    assert summary["lookahead"]["passed"] is False
    assert summary["lookahead"]["findings"][0]["column"] == "rsi_14"


def test_a_folder_without_a_run_is_refused(tmp_path: Path, shell: Shell) -> None:
    said = shell("audit", tmp_path, "--only", "lookahead")
    assert said.code == 2
    assert "holds no run" in said.complaint
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_audit_is_refused(tmp_path: Path, shell: Shell) -> None:
    said = shell("audit", tmp_path, "--only", "horoscope")
    assert said.code == 2
    assert "no audit `horoscope`" in said.complaint


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"status": "running"}, "is `running`, not complete"),
        ({"data_fingerprint": "0" * 40}, "has changed since the run"),
        ({"code_digest": {"strategies.full_stack": "0" * 64}}, "`strategies.full_stack` has changed since the run"),
    ],
)
def test_a_run_that_cannot_be_rebuilt_is_refused(planted: Planted, changes: dict[str, Any], complaint: str) -> None:
    run = planted.json("manifest.json", lambda told: told.update(changes))
    with pytest.raises(RunFolderError, match=complaint):
        subject_of(run)


def test_a_run_that_is_not_complete_is_its_own_jobs_to_ask(planted: Planted) -> None:
    run = planted.json("manifest.json", lambda told: told.update(status="running"))
    assert subject_of(run, unfinished=True).plan is not None
    with pytest.raises(RunFolderError, match="is `failed`, not complete"):
        subject_of(planted.json("manifest.json", lambda told: told.update(status="failed")), unfinished=True)


def test_a_market_that_is_gone_is_said_to_be_gone(planted: Planted) -> None:
    run = planted.json("manifest.json", lambda told: told["plan"]["market"].update(source="no_such_folder"))
    with pytest.raises(RunFolderError, match="cannot be read any more"):
        subject_of(run)


def test_a_fit_that_was_handed_something_else_is_named(planted: Planted) -> None:
    """The record of a fit's inputs is compared with what the store holds."""
    copy = planted.own("artefacts")
    told = json.loads((copy / "manifest.json").read_text())
    record = next(one for one in told["artefacts"]["modules"] if one["module"] == "temporal_encoder")
    key = copy / "artefacts" / "fits" / record["fits"][0]["digest"] / "key.json"
    content = json.loads(key.read_text())
    content["inputs"]["rsi_14"] = "0" * 64
    key.write_text(json.dumps(content))
    wrong = [check for check in input_checks(subject_of(copy).walks[0]) if not check.passed]
    assert [(one.check, one.module, one.column) for one in wrong] == [("recorded inputs", "temporal_encoder", "rsi_14")]
