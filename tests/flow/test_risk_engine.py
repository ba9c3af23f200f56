"""One tiny run with the whole risk engine on: every module answers, sizing hears all six risks, and no audit contradicts."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from glassbox_bt.audits import AuditSettings, run_audits
from glassbox_bt.audits.base import AUDITS
from glassbox_bt.cli.job import JobSettings, main_job
from glassbox_bt.plan import read_plan
from tests.flow.command import Shell
from tests.flow.risky import LEARNED_RISKS, risky_run

FAMILIES = ("volatility", "drawdown", "var_cvar", "contagion", "liquidity", "regime")
LOOKAHEAD = "lookahead"


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return risky_run(tmp_path_factory.getbasetemp())[0]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return risky_run(tmp_path_factory.getbasetemp())[1]


def table_of(run: Path, module: str) -> pd.DataFrame:
    return pd.read_parquet(run / "modules" / module / "chunk1_test.parquet")


@pytest.mark.parametrize("module", ["garch", *LEARNED_RISKS])
def test_every_module_of_the_risk_engine_answers_in_test(run: Path, module: str) -> None:
    table = table_of(run, module)
    assert table["known"].mean() > 0.95
    assert table.loc[table["known"], "xai_summary"].str.split().str.len().between(8, 60).all()


@pytest.mark.parametrize("module", LEARNED_RISKS)
def test_a_learned_module_keeps_its_fit_its_history_and_its_rejected_variant(run: Path, module: str) -> None:
    folder = run / "models" / module / "chunk1"
    names = {path.name for path in folder.iterdir()}
    assert {"frozen.json", "frozen.safetensors", "training_history.csv", "training_summary.json", "selection.json"} <= names
    chosen = json.loads((folder / "selection.json").read_text())
    assert json.dumps(chosen).count("anchor") > 0


def test_sizing_sees_six_risks(run: Path) -> None:
    table = table_of(run, "position_sizing")
    for family in FAMILIES:
        assert (table[f"{family}_risk_available"] == 1.0).mean() > 0.95, family
        assert table[f"{family}_risk_score"].nunique() > 5, family
    assert set(table["regime_label"]) - {"unknown"}


def test_decisions_name_the_regime_and_answer_to_the_risks(run: Path) -> None:
    decisions = pd.read_parquet(run / "decisions.parquet").query("split == 'test'")
    assert decisions["regime_confidence"].notna().mean() > 0.95
    assert decisions["contagion_risk_score"].notna().mean() > 0.95
    attention = decisions[[f"risk_attention_{family}" for family in FAMILIES]].mean()
    assert (attention > 0.0).all()


def test_no_audit_finds_a_contradiction(run: Path) -> None:
    names = tuple(name for name in AUDITS if name != LOOKAHEAD)
    settings = AuditSettings(n_rows=60, n_draws=2)
    results = run_audits(run, settings, lambda _what, _share: None, names, workers=1)
    assert [one for result in results for one in result.findings if one.hard] == []
    assert {result.name for result in results} == set(names)


@pytest.mark.slow
def test_no_module_of_the_risk_engine_looks_ahead(run: Path) -> None:
    (result,) = run_audits(run, AuditSettings(n_days=1, refit=True), lambda _what, _share: None, (LOOKAHEAD,), workers=1)
    assert result.findings == ()
    assert set(LEARNED_RISKS) <= {one.module for one in result.asked}


def test_a_second_run_only_reads(plan: Path, run: Path) -> None:
    def stamps() -> dict[str, tuple[int, int]]:
        kept = (path for path in run.rglob("*") if path.is_file() and "audits" not in path.parts)
        return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in kept}

    before = stamps()
    main_job(read_plan(plan), JobSettings(out=run, workers=1, tearsheets=False), lambda _what, _share: None)
    assert stamps() == before


def test_one_day_can_be_decided_and_explained(plan: Path, run: Path, shell: Shell) -> None:
    decisions = pd.read_parquet(run / "decisions.parquet").query(
        "split == 'test' and learned_fusion_signal == learned_fusion_signal"
    )
    row = decisions.iloc[len(decisions) // 2]
    day = f"{row['date']:%Y-%m-%d}"
    decided = shell("decide", plan, "--date", day, "--out", run)
    assert decided.code == 0, decided.err
    assert any(row["ticker"] in line and row["final_recommendation"] in line for line in decided.out.splitlines())
    explained = shell("explain", run, row["ticker"], day)
    assert explained.code == 0, explained.err
    for module in LEARNED_RISKS:
        assert f"L1 {module}: " in explained.out
    assert f"L4 {row['final_recommendation']}: " in explained.out
