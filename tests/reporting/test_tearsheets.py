"""Tear-sheets: one page per strategy and chunk, of the returns that the run recorded."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from glassbox_bt.reporting import render_report, write_tearsheets
from glassbox_bt.reporting.record import RunRecord
from glassbox_bt.reporting.tearsheets import daily_returns
from tests.reporting.fake_run import FakeRun, write_fake_run

KEPT = ("glassbox", "cash", "benchmark")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three strategies in one chunk: three pages are enough to test."""
    import json

    run = write_fake_run(tmp_path_factory.mktemp("sheets") / "run", FakeRun(sessions=70, n_chunks=1))
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    metrics["strategies"] = [row for row in metrics["strategies"] if row["strategy"] in KEPT]
    (run / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    return run


@pytest.fixture(scope="module")
def told(run: Path) -> list[tuple[str, float]]:
    told: list[tuple[str, float]] = []
    write_tearsheets(run, progress=lambda what, share: told.append((what, share)))
    return told


def test_every_strategy_and_chunk_has_a_page_and_nothing_else_is_left(run: Path, told: list[tuple[str, float]]) -> None:
    assert told[-1][1] == 1.0
    names = {path.name for path in (run / "report").iterdir()} - {"index.html"}
    pages = {f"tearsheet_{name}{part}.html" for name in KEPT for part in ("", "_chunk1")}
    assert names == pages


@pytest.mark.usefixtures("told")
def test_a_page_draws_offline_and_fetches_nothing(run: Path) -> None:
    page = (run / "report" / "tearsheet_glassbox_chunk1.html").read_text(encoding="utf-8")
    assert page.count("<svg") > 8
    assert "Stack (glassbox), chunk 1, test" in page
    assert "Benchmark" in page
    assert "shortcut icon" not in page
    assert "<script src" not in page


@pytest.mark.usefixtures("told")
def test_constant_equity_gives_a_page_that_says_so(run: Path) -> None:
    page = (run / "report" / "tearsheet_cash_chunk1.html").read_text(encoding="utf-8")
    assert "never changed" in page
    assert "<svg" not in page


@pytest.mark.usefixtures("told")
def test_the_report_links_pages_that_exist(run: Path, tmp_path: Path) -> None:
    page = render_report(run).read_text(encoding="utf-8")
    assert 'href="tearsheet_glassbox_chunk1.html"' in page
    bare = shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("report"))
    page = render_report(bare).read_text(encoding="utf-8")
    assert "tearsheet_glassbox" not in page
    assert "not drawn" in page


def test_returns_start_from_the_capital_and_compound_to_the_recorded_equity(run: Path) -> None:
    record = RunRecord(run)
    returns = daily_returns(record, "glassbox", 1)
    table = pd.read_parquet(run / "portfolio" / "equity.parquet")
    rows = table[(table["strategy"] == "glassbox") & (table["split"] == "test")]
    assert len(returns) == len(rows)
    np.testing.assert_allclose(1e6 * np.cumprod(1.0 + returns), rows["equity"], rtol=1e-12)
