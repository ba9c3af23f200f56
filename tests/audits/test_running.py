"""What is written, what is refused, and that a second call writes the same bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from glassbox_bt.audits import AuditSettings, audit_table, run_audits
from glassbox_bt.audits.base import AUDITS, AuditResult, Check, Metric, headline
from glassbox_bt.audits.case import Case
from glassbox_bt.audits.running import REBUILDING
from glassbox_bt.errors import InputError, PlanError, RunFolderError
from tests.audits.planted import Planted

SMALL = AuditSettings(n_days=1, n_rows=20, n_draws=2)
CHEAP = ("bounds", "rule_trace", "completeness", "entropy", "top_driver")
KEYS = {"audit", "question", "hard", "status", "passed", "reason", "n_checks", "n_findings", "findings", "not_asked"}


WITHOUT_TEXT = ("stability", "lookahead")  # what rebuilds the walk of a run without text


def quiet(_what: str, _share: float) -> None:
    """No progress is shown."""


def written(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((run / "audits").iterdir())}


def test_a_second_call_in_two_processes_writes_the_same_bytes(planted: Planted) -> None:
    """Of all audits; a clean run contradicts itself nowhere."""
    results = run_audits(planted.run, SMALL, quiet)
    before = written(planted.run)
    assert set(before) == {"summary.json", *(f"{name}.json" for name in AUDITS)}
    assert run_audits(planted.run, SMALL, quiet, workers=2) == results
    assert written(planted.run) == before
    failed = {(one.name, finding.module) for one in results for finding in one.findings if finding.hard}
    assert failed == set()


def test_the_summary_keeps_to_its_schema(planted: Planted) -> None:
    results = run_audits(planted.run, SMALL, quiet, CHEAP)
    summary = json.loads((planted.run / "audits" / "summary.json").read_text())
    assert list(summary) == [name for name in AUDITS if name in CHEAP] == [one.name for one in results]
    for name, line in summary.items():
        assert set(line) >= {*KEYS, "metrics"}
        assert line["audit"] == name
        assert line["question"].endswith("?")
        assert line["status"] in ("pass", "FAIL", "note", "not applicable")
        assert line["passed"] is (line["status"] == "pass")
        assert len(line["findings"]) <= 20
        whole = json.loads((planted.run / "audits" / f"{name}.json").read_text())
        assert {key: whole[key] for key in KEYS - {"findings"}} == {key: line[key] for key in KEYS - {"findings"}}
        assert line["n_checks"] == sum(check["passed"] is not None for check in whole["checks"])
        assert line["n_findings"] == sum(check["passed"] is False for check in whole["checks"]) == len(whole["findings"])
    metric = summary["completeness"]["metrics"][0]
    assert set(metric) == {"metric", "module", "chunk", "split", "value", "threshold", "verdict"}


def test_an_audit_that_is_asked_again_leaves_the_others_as_they_were(planted: Planted) -> None:
    run_audits(planted.run, SMALL, quiet, ("bounds", "rule_trace"))
    before = json.loads((planted.run / "audits" / "summary.json").read_text())
    planted.set("decisions", "held_weight", 1.5)
    run_audits(planted.run, SMALL, quiet, ("bounds",))
    after = json.loads((planted.run / "audits" / "summary.json").read_text())
    assert before["bounds"]["status"] == "pass"
    assert after["bounds"]["status"] == "FAIL"
    assert after["rule_trace"] == before["rule_trace"]


def test_the_job_of_a_run_may_ask_before_it_is_complete_and_nobody_else(planted: Planted) -> None:
    planted.json("manifest.json", lambda told: told.update(status="running"))
    assert [one.name for one in run_audits(planted.run, SMALL, quiet, ("stability",))] == ["stability"]
    with pytest.raises(RunFolderError, match="is `running`, not complete"):
        _ = Case(planted.run).subject
    planted.json("manifest.json", lambda told: told.update(status="failed"))
    with pytest.raises(RunFolderError, match="is `failed`"):
        run_audits(planted.run, SMALL, quiet, ("bounds",))


def of_other_code(planted: Planted) -> Path:
    return planted.json("manifest.json", lambda told: told["code_digest"].update({"strategies.full_stack": "0" * 64}))


def test_tables_are_audited_whatever_code_made_them(planted: Planted) -> None:
    results = run_audits(of_other_code(planted), SMALL, quiet, CHEAP)
    assert all(one.asked or one.status == "not applicable" for one in results)


@pytest.mark.parametrize("name", WITHOUT_TEXT)
def test_what_rebuilds_the_walk_is_refused_for_other_code(planted: Planted, name: str) -> None:
    with pytest.raises(RunFolderError, match=r"`strategies\.full_stack` has changed since the run"):
        run_audits(of_other_code(planted), SMALL, quiet, (name,))


def test_without_names_what_cannot_be_asked_is_left_out_and_said(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glassbox_bt.audits.base.AUDITS", {name: AUDITS[name] for name in ("bounds", *WITHOUT_TEXT)})
    monkeypatch.setattr("glassbox_bt.audits.running.AUDITS", {name: AUDITS[name] for name in ("bounds", *WITHOUT_TEXT)})
    results = run_audits(of_other_code(planted), SMALL, quiet)
    assert [(one.name, one.refused, one.status) for one in results] == [
        ("bounds", False, "pass"),
        ("stability", True, "not applicable"),
        ("lookahead", True, "not applicable"),
    ]
    assert results[2].question.endswith("?")
    assert list(json.loads((planted.run / "audits" / "summary.json").read_text())) == ["bounds"]


def test_a_plan_that_is_an_ablation_is_not_asked_to_look_ahead(planted: Planted) -> None:
    planted.json("manifest.json", lambda told: told["plan"].update(stand_ins={"var": "shuffled"}))
    (result,) = run_audits(planted.run, SMALL, quiet, ("lookahead",))
    assert result.status == "not applicable"
    assert "shuffles" in result.reason
    assert "var" in result.reason


def test_its_own_job_is_not_excused(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glassbox_bt.audits.base.AUDITS", {"stability": AUDITS["stability"]})
    planted.json("manifest.json", lambda told: told.update(status="running"))
    with pytest.raises(RunFolderError, match="has changed since the run"):
        run_audits(of_other_code(planted), SMALL, quiet)


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="holds no run"):
        run_audits(tmp_path, SMALL, quiet)


@pytest.mark.parametrize("lost", ["decisions.parquet", "portfolio/approved.parquet", "modules/var/chunk1_test.parquet"])
def test_a_table_that_is_gone_is_said_to_be_gone(planted: Planted, lost: str) -> None:
    (planted.run / lost).unlink()
    with pytest.raises(RunFolderError, match="is missing or broken"):
        run_audits(planted.run, SMALL, quiet, ("bounds",))


def test_a_table_without_its_key_is_refused(planted: Planted) -> None:
    planted.change("modules/var/chunk1_test", lambda table: table.drop(columns="ticker"))
    with pytest.raises(RunFolderError, match="lacks `ticker`"):
        run_audits(planted.run, SMALL, quiet, ("coverage",))


TABLE_AUDITS = tuple(name for name in AUDITS if name not in (*REBUILDING, "coverage", "provenance", "readability"))


DECISIONS, APPROVED, FUSION, SIZING = (
    "decisions",
    "portfolio/approved",
    "modules/fusion/chunk1_test",
    "modules/position_sizing/chunk1_test",
)


@pytest.mark.parametrize(
    "lost",
    [
        {DECISIONS: ("split", "learned_fusion_signal"), FUSION: ("known",)},
        {DECISIONS: ("held_weight", "rule_barrier_reasons"), APPROVED: ("approval_reasons",), FUSION: ("reason",)},
        {DECISIONS: ("regime_label", "risk_attention_regime"), FUSION: ("xai_summary",), SIZING: ("combined_risk_score",)},
        {
            DECISIONS: ("final_recommendation",),
            APPROVED: ("current_fraction",),
            FUSION: ("learned_fusion_signal",),
            SIZING: ("volatility_risk_available",),
        },
    ],
    ids=lambda lost: " ".join(name for names in lost.values() for name in names),
)
def test_no_audit_stumbles_over_missing_columns(planted: Planted, ask: Any, lost: dict[str, tuple[str, ...]]) -> None:
    """The schema names them; the others answer as far as they can."""
    for table, columns in lost.items():
        planted.change(table, lambda content, columns=columns: content.drop(columns=list(columns)))
    few = ("fusion", "quantitative", "position_sizing")
    for name in (*TABLE_AUDITS, "readability"):
        assert isinstance(ask(name, planted.run, *few), AuditResult)
    findings = ask("schema", planted.run, *few).findings
    for table, columns in lost.items():
        module = table.split("/")[1] if table.startswith("modules/") else table.rpartition("/")[2]
        assert {one.column for one in findings if one.module == module} >= set(columns)


@pytest.mark.parametrize(
    "columns",
    [("known", "word_count"), ("reason", "chunk_index"), ("published_at", "xai_summary"), ("has_time", "n_chunks")],
    ids=" ".join,
)
def test_no_audit_stumbles_over_missing_columns_of_text(planted_text: Planted, ask: Any, columns: tuple[str, ...]) -> None:
    of_text = ("text_encoder", "sentiment", "news")
    for module in of_text:
        planted_text.change(f"modules/{module}/chunk1_test", lambda content: content.drop(columns=list(columns)))
    for name in (*TABLE_AUDITS, "coverage", "provenance", "readability"):
        assert isinstance(ask(name, planted_text.run, *of_text, "qualitative"), AuditResult)
    findings = ask("schema", planted_text.run, *of_text, "qualitative").findings
    for module in of_text:
        assert {one.column for one in findings if one.module == module} >= set(columns)


@pytest.mark.parametrize(
    "columns",
    [
        ("chunk", "rule_barrier_reasons", "held_weight"),
        ("split", "learned_recommendation", "binding_rule_id"),
        ("chunk", "split", "rule_changed_action", "exit_blocked"),
        ("final_position_fraction", "top_attention_risk_driver", "event_count"),
        ("risk_attention_volatility", "learned_fusion_signal", "regime_label"),
        ("fusion_xai_summary", "user_rule_cap_fraction", "attention_pooled_risk_score"),
        ("quantitative_xai_summary", "recommended_capital_fraction", "pre_rule_learned_position_fraction"),
    ],
    ids=" ".join,
)
def test_no_audit_stumbles_over_a_bare_table_without_columns(bare: Any, columns: tuple[str, ...]) -> None:
    table = bare(lambda content: content.drop(columns=list(columns)), "decisions.parquet")
    results = {one.name: one for one in audit_table(table, SMALL, quiet)}
    assert set(results) == set(AUDITS)
    named = {one.column for one in results["schema"].findings}
    assert set(columns) - {"held_weight", "exit_blocked"} <= named  # which only the house adds


def test_a_bare_table_writes_nothing(bare: Any, tmp_path: Path) -> None:
    table = bare()
    before = sorted(tmp_path.iterdir())
    results = audit_table(table, SMALL, quiet)
    assert [one.name for one in results] == list(AUDITS)
    needy = {one.name for one in results if one.status == "not applicable"}
    assert needy == {"coverage", "provenance", "completeness", "top_driver", *REBUILDING}
    assert all(one.reason.startswith("needs a run folder") for one in results if one.name in needy)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "cannot be read as a table"),
        ("a,b\n1,2\n", "is no table of decisions: it lacks `date`, `ticker`, `final_recommendation`"),
        ("date,ticker,final_recommendation\n", "it has no rows"),
        ("date,ticker,final_recommendation\nsoon,AAPL,BUY\n", "`date` of .* holds something that is no day"),
    ],
)
def test_what_is_no_table_of_decisions_is_refused(tmp_path: Path, content: str, complaint: str) -> None:
    path = tmp_path / "some.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=complaint):
        audit_table(path, SMALL, quiet)


def test_bytes_that_are_no_parquet_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "some.parquet"
    path.write_bytes(b"PAR0")
    with pytest.raises(InputError, match="cannot be read as a table"):
        audit_table(path, SMALL, quiet)


def test_names_that_look_like_nothing_are_names(bare: Any) -> None:
    """NA is a ticker, and so is TRUE; only an empty cell is missing."""
    table = bare(lambda content: content.assign(ticker=content["ticker"].replace({"S000": "NA", "S001": "TRUE"})))
    tickers = set(Case(None, table).decisions["ticker"])
    assert {"NA", "TRUE"} <= tickers
    assert Case(None, table).decisions["ticker"].notna().all()


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(PlanError, match="at least one test day"):
        AuditSettings(n_days=0)
    with pytest.raises(PlanError, match="need rows, draws and a size above 0"):
        AuditSettings(sigma=0.0)


def check(passed: bool | None, *, hard: bool = True) -> Check:
    return Check("a question", "module", "column", 1, "", passed, "", "test", hard)


@pytest.mark.parametrize(
    ("checks", "status"),
    [
        ((), "not applicable"),
        ((check(None),), "not applicable"),
        ((check(True), check(None)), "pass"),
        ((check(True), check(False, hard=False)), "note"),
        ((check(False, hard=False), check(False)), "FAIL"),
    ],
)
def test_what_was_not_asked_never_passes(checks: tuple[Check, ...], status: str) -> None:
    result = AuditResult("audit", checks, metrics=(Metric("m", "module", None, "test", None, None, "reported"),))
    assert result.status == status
    assert result.passed is (status == "pass")
    line = headline(result)
    assert line["n_checks"] == sum(one.passed is not None for one in checks)
    assert json.dumps(line, allow_nan=False)


def test_what_was_not_asked_of_one_chunk_names_it() -> None:
    """A reason that holds in one chunk reads as one of the whole run otherwise; one without a chunk is."""
    unasked = [Check("a question", "news", "all", chunk, "", None, why) for chunk, why in ((3, "no text"), (1, "no text"))]
    unasked += [
        Check("a question", "news", "all", 2, "", None, "no fit"),
        Check("weights", "news", "all", None, "", None, "-"),
    ]
    unasked += [Check("a question", "fusion", "all", 3, "", None, "no text"), check(True)]
    assert headline(AuditResult("audit", tuple(unasked)))["not_asked"] == [
        "in chunks 1 and 3, a question: no text",
        "in chunk 2, a question: no fit",
        "weights: -",
    ]
