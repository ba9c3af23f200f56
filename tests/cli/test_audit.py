"""``glassbox audit`` as a user calls it: what it prints, what it writes, how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from glassbox_bt.audits.base import AUDITS
from glassbox_bt.cli import job
from tests.flow.command import Shell

CHEAP = ("--only", "bounds", "--only", "rule_trace", "--only", "entropy")


@pytest.fixture
def audited(own_run: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of one's own; its reports are not written anew, which is no matter of audits."""
    monkeypatch.setattr(job, "_reported", lambda _manifest, _progress: ())
    return own_run


@pytest.fixture
def table(run: Path, tmp_path: Path) -> Path:
    rows = pd.read_parquet(run / "decisions.parquet")
    path = tmp_path / "decisions.csv"
    rows[rows["split"] == "test"].to_csv(path, index=False, date_format="%Y-%m-%d")
    return path


def plain(text: str) -> str:
    return " ".join(text.split())


def test_a_run_is_audited_in_one_table(audited: Path, shell: Shell) -> None:
    said = shell("audit", audited, *CHEAP)
    assert said.code == 0, said.err
    for heading in ("audit", "what it asks", "checks", "findings", "status"):
        assert heading in said.out
    for name in ("bounds", "rule_trace", "entropy"):
        assert f"│ {name} " in said.out
    assert "note entropy" in plain(said.out)
    path = audited / "audits" / "summary.json"
    assert said.out.splitlines()[-1] == str(path)
    assert set(json.loads(path.read_text())) == {"bounds", "rule_trace", "entropy"}


def test_a_single_audit_points_at_its_own_file(audited: Path, shell: Shell) -> None:
    assert shell("audit", audited, "--only", "bounds").out.splitlines()[-1] == str(audited / "audits" / "bounds.json")


def test_a_hard_finding_ends_with_1_and_names_module_column_and_row(audited: Path, shell: Shell) -> None:
    path = audited / "modules" / "var" / "chunk1_test.parquet"
    rows = pd.read_parquet(path)
    rows.loc[4, "var_95"] = 0.5
    rows.to_parquet(path, index=False)
    said = shell("audit", audited, "--only", "bounds")
    assert said.code == 1
    told = plain(said.out)
    assert "FAIL bounds: range: module var, column var_95, chunk 1 test" in told
    assert f"1 of {len(rows)} rows, first {rows['ticker'][4]} {rows['date'][4]:%Y-%m-%d}: 0.5 outside" in told


def test_a_bare_table_is_audited_without_models(table: Path, shell: Shell) -> None:
    said = shell("audit", table)
    assert said.code == 0, said.out
    assert plain(said.out).count("not applicable:") >= 5
    assert "not asked rule_trace: which families were known" in plain(said.out)
    assert not table.with_name("decisions.audit.json").exists()


def test_a_bare_table_is_written_about_when_asked(table: Path, shell: Shell) -> None:
    said = shell("audit", table, "--out", *CHEAP)
    path = table.with_name("decisions.audit.json")
    assert said.out.splitlines()[-1] == str(path)
    before = path.read_bytes()
    assert set(json.loads(before)) == {"bounds", "rule_trace", "entropy"}
    shell("audit", table, "--out", *CHEAP)
    assert path.read_bytes() == before


def test_an_upgrade_in_a_bare_table_ends_with_1(table: Path, shell: Shell) -> None:
    rows = pd.read_csv(table)
    rows.loc[rows["learned_recommendation"] != "BUY", "final_recommendation"] = "BUY"
    rows.to_csv(table, index=False)
    said = shell("audit", table, "--only", "rule_trace")
    assert said.code == 1
    assert "(e) no upgrade" in said.out


def test_other_code_is_said_last_and_ends_with_2(audited: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    few = {name: AUDITS[name] for name in ("bounds", "stability", "lookahead")}
    monkeypatch.setattr("glassbox_bt.audits.base.AUDITS", few)
    monkeypatch.setattr("glassbox_bt.audits.running.AUDITS", few)
    path = audited / "manifest.json"
    content = json.loads(path.read_text())
    content["code_digest"]["strategies.full_stack"] = "0" * 64
    path.write_text(json.dumps(content))
    said = shell("audit", audited)
    assert said.code == 2
    assert "Not asked: stability, lookahead" in said.complaint
    assert "has changed since the run" in said.complaint
    assert "│ bounds " in said.out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("nowhere.csv",), "There is no nowhere.csv"),
        (("README.md",), "cannot be read as a table"),
        (("tests",), "holds no run"),
    ],
)
def test_bad_input_is_one_clear_line(shell: Shell, arguments: tuple[str, ...], complaint: str) -> None:
    said = shell("audit", *arguments)
    assert said.code == 2
    assert complaint in said.complaint


def test_an_unknown_audit_is_refused_before_anything_is_read(tmp_path: Path, shell: Shell) -> None:
    said = shell("audit", tmp_path / "nothing", "--only", "horoscope")
    assert said.code == 2
    assert "There is no audit `horoscope`. There are: schema, finite," in said.complaint


def test_a_run_that_is_not_finished_is_refused(audited: Path, shell: Shell) -> None:
    path = audited / "manifest.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "status": "running"}))
    said = shell("audit", audited, "--only", "bounds")
    assert said.code == 2
    assert "not complete" in said.complaint


def test_help_shows_an_example(shell: Shell) -> None:
    said = shell("audit", "--help")
    assert said.code == 0
    assert "glassbox audit runs/quickstart --only rule_trace" in plain(said.out)
