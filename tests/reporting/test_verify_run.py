"""A real tiny run, changed here and there with the digests of its files recorded again: every change is found."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from glassbox_bt.cli.app import app
from glassbox_bt.cli.job import JobSettings, main_job
from glassbox_bt.errors import RunFolderError
from glassbox_bt.plan import plan_from
from glassbox_bt.reporting.faults import Fault
from glassbox_bt.reporting.record import RunRecord
from glassbox_bt.reporting.verify import verify
from glassbox_bt.reporting.verify_books import recomputed
from glassbox_bt.reporting.verify_metrics import audits_check, files_check, manifest_check, measures_checks, variants_check
from glassbox_bt.runs.manifest import Manifest, file_digest
from tests.flow.tiny import tiny_table

EQUITY, ORDERS, WEIGHTS = (f"portfolio/{name}.parquet" for name in ("equity", "orders", "weights"))
PAGE = "report/index.html"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with two rivals and what its plan takes out."""
    place = tmp_path_factory.mktemp("verified") / "run"
    plan = plan_from(tiny_table(ablations={"sets": ["rules"]}, statistics={"n_boot": 200}))
    main_job(plan, JobSettings(out=place, workers=1, tearsheets=False, audits=False), lambda _what, _share: None)
    return place


@pytest.fixture
def changed_run(run: Path, tmp_path: Path) -> Path:
    """A copy to change; artefacts, which nobody changes, are shared."""
    copy = shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("artefacts", "models"))
    for name in ("artefacts", "models"):
        (copy / name).symlink_to(run / name)
    return copy


def recorded_again(run: Path) -> Path:
    """As a forger would leave it: the manifest lists the bytes that are there now."""
    manifest = Manifest.open(run)
    assert manifest is not None
    manifest.update(files={name: file_digest(run / name) for name in manifest.content["files"]})
    return run


def with_table(run: Path, name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Path:
    change(pd.read_parquet(run / name)).to_parquet(run / name, index=False)
    return recorded_again(run)


def with_json(run: Path, name: str, change: Callable[[Any], None]) -> Path:
    content = json.loads((run / name).read_text(encoding="utf-8"))
    change(content)
    (run / name).write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return recorded_again(run)


def test_an_untouched_run_has_no_fault(run: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
    found = verify(run)
    assert found.faults == ()
    assert all(check.n_compared > 0 for check in found.checks if "main.tex" not in check.question)
    compared = {check.question: check.n_compared for check in found.checks}
    assert compared["report/index.html: every letter"] > 3000
    assert compared["measures, intervals, tests and verdicts from the tables"] > 500
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()} == before


def book_faults(run: Path) -> tuple[Fault, ...]:
    return tuple(fault for check in recomputed(RunRecord(run)).checks for fault in check.faults)


def cell(strategy: str, split: str, column: str, by: float) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """One value of one day changed."""

    def change(table: pd.DataFrame) -> pd.DataFrame:
        rows = table[(table["strategy"] == strategy) & (table["split"] == split)]
        at = rows.index[len(rows) // 2]
        table.loc[at, column] += by
        return table

    return change


@pytest.mark.parametrize("column", ["equity", "cash", "exposure", "traded", "costs", "return"])
@pytest.mark.parametrize(("strategy", "split"), [("glassbox", "test"), ("glassbox", "val"), ("benchmark", "test")])
def test_a_changed_value_of_the_equity_is_found(changed_run: Path, strategy: str, split: str, column: str) -> None:
    with_table(changed_run, EQUITY, cell(strategy, split, column, 1e-9 if column in ("return", "exposure") else 0.01))
    (fault,) = book_faults(changed_run)
    assert fault.file == EQUITY
    assert f"split {split}, strategy {strategy}, date 20" in fault.place
    assert fault.place.endswith(f"column {column}")


@pytest.mark.parametrize("strategy", ["buy_and_hold", "momentum_12_1", "sizing_only"])
def test_every_strategy_is_recomputed(changed_run: Path, strategy: str) -> None:
    with_table(changed_run, EQUITY, cell(strategy, "test", "equity", 0.01))
    assert [fault.file for fault in book_faults(changed_run)] == [EQUITY]


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.iloc[:-1],
        lambda table: pd.concat([table, table.iloc[-1:]]),
        lambda table: table[table["strategy"] != "glassbox"],
        lambda table: table.drop(columns="costs"),
        lambda table: table.assign(date=table["date"] + pd.Timedelta(days=7)),
    ],
    ids=["a day less", "a day twice", "a strategy less", "a column less", "other days"],
)
def test_rows_and_columns_that_came_or_went_are_found(
    changed_run: Path, change: Callable[[pd.DataFrame], pd.DataFrame]
) -> None:
    with_table(changed_run, EQUITY, change)
    assert book_faults(changed_run)


@pytest.mark.parametrize("column", ["price", "commission", "spread", "filled_shares", "side", "ticker", "filled_on", "code"])
def test_a_changed_order_is_found(changed_run: Path, column: str) -> None:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        at = table.index[(table["strategy"] == "glassbox") & (table["filled_shares"] > 0.0)][3]
        others = {"side": {"buy": "sell", "sell": "buy"}, "code": {"filled": "delisted"}}
        if column in others:
            table.loc[at, column] = others[column].get(str(table.loc[at, column]), "filled")
        elif column == "ticker":
            names = sorted(set(table["ticker"]) - {table.loc[at, "ticker"]})
            table.loc[at, column] = names[0]
        elif column == "filled_on":
            table.loc[at, column] = table.loc[at, column] + pd.Timedelta(days=1)
        else:
            table.loc[at, column] = table.loc[at, column] * 1.0001
        return table

    with_table(changed_run, ORDERS, change)
    assert book_faults(changed_run)


def test_a_price_that_is_not_that_of_its_bar_is_named(changed_run: Path) -> None:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        at = table.index[(table["strategy"] == "glassbox") & (table["filled_shares"] > 0.0)][0]
        table.loc[at, "price"] = np.nextafter(table.loc[at, "price"], np.inf)
        return table

    with_table(changed_run, ORDERS, change)
    (fault,) = [one for one in book_faults(changed_run) if one.file == ORDERS]
    assert fault.place.endswith("column price")
    assert float(fault.printed) > float(fault.recomputed)


def test_a_changed_weight_is_found(changed_run: Path) -> None:
    with_table(changed_run, WEIGHTS, cell("glassbox", "test", "weight", 1e-7))
    (fault,) = book_faults(changed_run)
    assert fault.file == WEIGHTS


def paths_of(document: Any, place: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every place of a number, word or flag in a JSON document."""
    if isinstance(document, dict):
        return [path for key, value in document.items() for path in paths_of(value, (*place, key))]
    if isinstance(document, list):
        return [path for at, value in enumerate(document) for path in paths_of(value, (*place, at))]
    return [place]


def test_a_changed_value_of_the_metrics_is_found_wherever_it_stands(changed_run: Path) -> None:
    """One value of every list and mapping of ``metrics.json``, all changed at once: each is named."""
    wanted: list[str] = []

    def change(content: Any) -> None:
        chosen: dict[tuple[str, str], tuple[str | int, ...]] = {}
        for path in paths_of(content):
            chosen.setdefault((str(path[0]), str(path[-1])), path)
        for path in chosen.values():
            holder = content
            for step in path[:-1]:
                holder = holder[step]
            value = holder[path[-1]]
            if isinstance(value, bool) or value is None:
                holder[path[-1]] = 0.5 if value is None else not value
            elif isinstance(value, int | float):
                holder[path[-1]] = value + 1 if isinstance(value, int) else value * (1.0 + 1e-9) + 1e-9
            else:
                holder[path[-1]] = value + "x"
            wanted.append("/" + "/".join(map(str, path)))

    with_json(changed_run, "metrics.json", change)
    checks, _, _ = measures_checks(RunRecord(changed_run))
    assert {fault.place for fault in checks[0].faults} == set(wanted)
    assert len(wanted) > 60
    assert all(fault.source == f"metrics.json#{fault.place}" for fault in checks[0].faults)


def test_a_changed_result_or_equity_of_an_ablation_is_found(changed_run: Path) -> None:
    results, equity = "ablations/results.parquet", "ablations/equity.parquet"
    if not (changed_run / results).exists():
        pytest.fail("the tiny run has no ablations")

    def change(column: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
        def made(table: pd.DataFrame) -> pd.DataFrame:
            at = table.index[table[column].notna()][0]
            table.loc[at, column] = table.loc[at, column] + 0.001
            return table

        return made

    with_table(changed_run, results, change("difference"))
    checks, _, _ = measures_checks(RunRecord(changed_run))
    assert [fault.file for check in checks for fault in check.faults] == [results]
    for column in ("equity", "cash", "return", "exposure"):
        shutil.copy(changed_run / equity, changed_run / "kept")
        with_table(changed_run, equity, change(column))
        assert [fault for check in variants_check(RunRecord(changed_run)) for fault in check.faults], column
        shutil.move(changed_run / "kept", changed_run / equity)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["plan"]["costs"].update(commission_bps=2.0),
        lambda content: content["market"].update(n_sessions=1),
        lambda content: content["chunks"][0].update(test=["2019-05-02", "2019-08-30"]),
        lambda content: content.update(test_label_reads=0),
        lambda content: content.update(title="Another title"),
        lambda content: content.update(reduced=False),
        lambda content: content.update(silent_modules=[]),
    ],
    ids=["costs", "sessions", "chunk", "readings", "title", "reduced", "silent"],
)
def test_a_manifest_that_does_not_agree_with_its_plan_and_store_is_found(
    changed_run: Path, change: Callable[[Any], None]
) -> None:
    assert manifest_check(RunRecord(changed_run)).faults == ()
    with_json(changed_run, "manifest.json", change)
    assert manifest_check(RunRecord(changed_run)).faults


def test_decisions_that_are_not_those_that_were_scored_are_found(changed_run: Path) -> None:
    with_table(changed_run, "decisions.parquet", lambda table: table.assign(final_position_pct=1.0))
    assert [fault.file for fault in manifest_check(RunRecord(changed_run)).faults] == ["decisions.parquet"]


def test_a_file_whose_digest_was_not_recorded_again_is_found(changed_run: Path) -> None:
    assert files_check(RunRecord(changed_run)).faults == ()
    with (changed_run / EQUITY).open("ab") as handle:
        handle.write(b"0")
    (changed_run / "evaluation" / "outcomes.parquet").unlink()
    faults = {fault.file: fault.printed for fault in files_check(RunRecord(changed_run)).faults}
    assert set(faults) == {EQUITY, "evaluation/outcomes.parquet"}
    assert faults["evaluation/outcomes.parquet"] == "no file"


def test_a_summary_of_audits_that_says_something_else_is_found(changed_run: Path) -> None:
    folder = changed_run / "audits"
    folder.mkdir()
    whole = {"audit": "bounds", "n_checks": 3, "n_findings": 0, "status": "pass", "passed": True, "checks": [1, 2, 3]}
    (folder / "bounds.json").write_text(json.dumps(whole), encoding="utf-8")
    said = {key: value for key, value in whole.items() if key != "checks"}
    for summary, places in (
        ({"bounds": said}, []),
        ({"bounds": said | {"n_checks": 4}}, ["/bounds/n_checks"]),
        ({"bound": said}, ["/bound"]),
    ):
        (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
        (check,) = audits_check(RunRecord(changed_run))
        assert [fault.place for fault in check.faults] == places


def test_changed_metrics_with_a_report_that_agrees_with_them_are_found_in_all_of_them(changed_run: Path) -> None:
    """A forger who renders the reports again from changed metrics is found in the metrics and in every text."""
    from glassbox_bt.reporting import render_chapter, render_report

    def change(content: Any) -> None:
        row = next(one for one in content["pooled"] if one["strategy"] == "glassbox")
        row["annual_return"] = 0.4321

    with_json(changed_run, "metrics.json", change)
    render_report(changed_run)
    render_chapter(changed_run)
    recorded_again(changed_run)
    found = verify(changed_run).faults
    files = {fault.file for fault in found}
    assert {"metrics.json", PAGE, "report/chapter/chapter.md", "report/chapter/chapter.tex"} <= files
    named = [fault for fault in found if fault.file == "report/chapter/chapter.md"]
    assert any(re.search(r"^metrics\.json#/pooled/\d+/annual_return$", fault.source) for fault in named)
    assert all("43.2" in fault.printed for fault in named if fault.source.endswith("annual_return"))


def test_a_drawing_of_the_chapter_that_was_changed_or_removed_is_found(changed_run: Path) -> None:
    figures = sorted((changed_run / "report" / "chapter" / "figures").glob("*.pdf"))
    figures[0].write_bytes(figures[0].read_bytes() + b"%")
    figures[1].unlink()
    (changed_run / "report" / "chapter" / "chapter.md").unlink()
    manifest = Manifest.open(changed_run)
    assert manifest is not None
    manifest.update(
        files={name: file_digest(changed_run / name) for name in manifest.content["files"] if (changed_run / name).exists()}
    )
    faults = {Path(fault.file).name: fault.printed for fault in verify(changed_run).faults}
    assert faults[figures[0].name] == "another drawing"
    assert faults[figures[1].name] == "no file"
    assert faults["chapter.md"].startswith("not readable")


def called(run: Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["verify", str(run)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_the_command_prints_a_table_and_exits_with_zero_also_where_the_run_was_moved(run: Path, tmp_path: Path) -> None:
    code, output = called(shutil.copytree(run, tmp_path / "moved"))
    assert code == 0
    assert "equity from orders and prices" in output
    assert "FAULT" not in output


def test_the_command_names_file_place_source_and_both_values_and_exits_with_one(changed_run: Path) -> None:
    page = changed_run / PAGE
    text = page.read_text(encoding="utf-8")
    found = re.search(r'title="(metrics\.json#/pooled/\d+/sharpe)">([^<]*\d)</data>', text)
    assert found is not None
    printed = found.group(2)
    other = printed[:-1] + str((int(printed[-1]) + 1) % 10)
    page.write_text(text[: found.start(2)] + other + text[found.end(2) :], encoding="utf-8")
    code, output = called(recorded_again(changed_run))
    assert code == 1
    line = text[: found.start()].count("\n") + 1
    assert f"FAULT {PAGE}, line {line}" in output
    assert f"(source {found.group(1)}): printed '{other}', recomputed '{printed}'" in output
    assert "Faults: 1." in output
    assert "write them again with `glassbox report`" in output


@pytest.mark.parametrize("fault", ["no run", "not complete", "no store"])
def test_what_cannot_be_verified_is_refused(changed_run: Path, tmp_path: Path, fault: str) -> None:
    if fault == "no run":
        with pytest.raises(RunFolderError, match="holds no run"):
            called(tmp_path)
    elif fault == "not complete":
        with_json(changed_run, "manifest.json", lambda content: content.update(status="running"))
        with pytest.raises(RunFolderError, match="running, not complete"):
            called(changed_run)
    else:
        (changed_run / "artefacts").unlink()
        with pytest.raises(RunFolderError, match="has no store of its prices"):
            called(changed_run)
