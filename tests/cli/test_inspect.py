"""status, report, explain, decide: they read what a run recorded, and make a decision again to the bit."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from glassbox_bt.backtest import open_run_store
from glassbox_bt.plan import read_plan
from glassbox_bt.reporting.layouts import DECISIONS
from glassbox_bt.runs.lock import sole_writer
from glassbox_bt.walkforward.oneday import chunk_of, decide_day
from tests.flow.command import Shell

QUESTIONS = ("What was decided?", "Why?", "Which risks mattered?", "Did a rule override?", "Can it be audited?")


def edit(run: Path, **changes: object) -> None:
    content = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps({**content, **changes}))


def decisions_of(run: Path) -> pd.DataFrame:
    return pd.read_parquet(run / "decisions.parquet")


def test_status_of_a_finished_run(run: Path, shell: Shell) -> None:
    said = shell("status", run)
    assert said.code == 0
    assert said.out.startswith("tiny: complete\n")
    assert "nothing is missing" in said.out
    assert "volatility" in said.out
    assert "walk forward" in said.out


def test_status_tells_how_a_run_ended(own_run: Path, shell: Shell) -> None:
    (own_run / "metrics.json").unlink()
    edit(own_run, status="running")
    said = shell("status", own_run).out
    assert "not finished. Run the same command again to resume." in said
    assert "missing: metrics.json" in said
    with sole_writer(own_run):
        assert "tiny: running\n" in shell("status", own_run).out
    edit(own_run, status="failed", error="WorkerError: killed")
    assert "failed (WorkerError: killed)" in shell("status", own_run).out


@pytest.mark.parametrize("command", [["status"], ["report"], ["explain"], ["module", "var", "validate"]])
def test_a_folder_without_a_run_is_refused(tmp_path: Path, shell: Shell, command: list[str]) -> None:
    more = ["S000", "2019-06-03"] if command == ["explain"] else []
    said = shell(*command, tmp_path, *more)
    assert said.code == 2
    assert str(tmp_path) in said.complaint


def test_report_gives_the_same_bytes(own_run: Path, shell: Shell) -> None:
    page = own_run / "report" / "index.html"
    before = page.read_bytes()
    page.unlink()
    said = shell("report", own_run)
    assert said.code == 0
    assert said.out.splitlines()[-2:] == [str(page.parent / "chapter"), str(page)]
    assert page.read_bytes() == before


def test_report_writes_the_upstream_tree(own_run: Path, shell: Shell) -> None:
    said = shell("report", own_run, "--layout", "fin-glassbox")
    assert said.code == 0
    root = own_run / "outputs" / "results"
    assert {str(path) for path in root.rglob("*.csv")} == set(said.out.splitlines()[:-2])
    table = pd.read_csv(root / "FusionEngine" / "fused_decisions_chunk1_test.csv", parse_dates=["date"])
    decisions = decisions_of(own_run).query("split == 'test'").sort_values(["date", "ticker"])
    assert list(table.columns) == [name for name in DECISIONS.columns if name in decisions.columns]
    pd.testing.assert_frame_equal(
        table[["ticker", "final_recommendation", "final_position_fraction", "learned_fusion_signal"]],
        decisions[["ticker", "final_recommendation", "final_position_fraction", "learned_fusion_signal"]].reset_index(
            drop=True
        ),
        check_exact=True,
        check_dtype=False,
    )
    tail = pd.read_csv(root / "VarCvar" / "var_cvar_chunk1_val.csv")
    assert {"var_95", "cvar_99", "tail_ratio_95", "xai_summary"} <= set(tail.columns)
    assert shell("report", own_run, "--layout", "latex").code == 2


@pytest.mark.parametrize("action", ["BUY", "HOLD", "SELL"])
def test_explain_answers_five_questions_on_five_levels(run: Path, shell: Shell, action: str) -> None:
    rows = decisions_of(run).query("final_recommendation == @action and held_weight >= 0")
    for _, row in rows.iloc[[0, len(rows) // 2]].iterrows():
        said = shell("explain", run, row["ticker"], f"{row['date']:%Y-%m-%d}")
        assert said.code == 0, said.err
        assert [line for line in said.out.splitlines() if line in QUESTIONS] == list(QUESTIONS)
        assert all(f"  L{level} " in said.out for level in range(5))
        assert f"L4 {action}: " in said.out
        for code in filter(None, row["rule_barrier_reasons"].split("|")[:1]):
            assert code in said.out


def test_explain_names_what_there_is_when_there_is_no_decision(run: Path, shell: Shell) -> None:
    for asked, says in (
        (("S000", "2018-01-02"), "took no decision about `S000` on 2018-01-02. It decided about it on"),
        (("XYZ", "2019-06-03"), "no decision about `XYZ`"),
        (("S000", "soon"), "'soon' is no date"),
    ):
        said = shell("explain", run, *asked)
        assert said.code == 2
        assert says in said.complaint
        assert said.out == ""


def test_explain_refuses_a_record_that_does_not_retrace(own_run: Path, shell: Shell) -> None:
    table = decisions_of(own_run)
    row = int(table.index[table["final_recommendation"] == "HOLD"][0])
    table.loc[row, "final_recommendation"] = "BUY"
    table.to_parquet(own_run / "decisions.parquet")
    said = shell("explain", own_run, table.loc[row, "ticker"], f"{table.loc[row, 'date']:%Y-%m-%d}")
    assert said.code == 1
    assert "lead to HOLD" in said.complaint


@pytest.mark.parametrize(("split", "place"), [("val", 0), ("val", 40), ("test", 0), ("test", -1)])
def test_a_day_decided_again_equals_the_stored_one(plan: Path, run: Path, split: str, place: int) -> None:
    """R13: the one-day path from frozen fits gives every column of the stored decision, exactly."""
    stored = decisions_of(run).query("split == @split")
    day = stored["date"].unique()[place]
    expected = stored[stored["date"] == day].drop(columns=["chunk", "split"]).reset_index(drop=True)
    weights = pd.read_parquet(run / "portfolio" / "weights.parquet").query("split == @split and strategy == 'glassbox'")
    book = weights[weights["date"] == day]
    store = open_run_store(run, json.loads((run / "manifest.json").read_text()))
    chunk, found, session = chunk_of(read_plan(plan), store, f"{day:%Y-%m-%d}")
    assert (chunk, found) == (1, split)
    held = dict(zip(book["ticker"], book["weight"], strict=True))
    decided = decide_day(read_plan(plan), store, run, chunk, session, held)
    pd.testing.assert_frame_equal(decided.table, expected, check_exact=True, check_dtype=False)


def test_decide_prints_a_day_and_writes_nothing(plan: Path, run: Path, shell: Shell) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    stored = decisions_of(run)[lambda table: table["date"] == pd.Timestamp("2019-06-03")]
    said = shell("decide", plan, "--date", "2019-06-03", "--out", run)
    assert said.code == 0, said.err
    assert "2019-06-03, fits of chunk 1" in said.out
    lines = {line.split("│")[1].strip(): line for line in said.out.splitlines() if line.startswith("│")}
    assert set(lines) == set(stored["ticker"])
    assert all(row["final_recommendation"] in lines[row["ticker"]] for _, row in stored.iterrows())
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_decide_goes_on_after_the_last_test_day(plan: Path, run: Path, shell: Shell) -> None:
    said = shell("decide", plan, "--date", "2019-09-03", "--out", run)
    assert said.code == 0, said.err
    assert "2019-09-03, fits of chunk 1, 0 names held" in said.out


@pytest.mark.parametrize(("date", "says"), [("2019-06-02", "is no session"), ("2018-06-01", "lies in no chunk")])
def test_decide_refuses_other_days(plan: Path, run: Path, shell: Shell, date: str, says: str) -> None:
    said = shell("decide", plan, "--date", date, "--out", run)
    assert said.code == 2
    assert says in said.complaint
