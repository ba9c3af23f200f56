"""Calibration of the readers on the page: what was recorded is printed, what was not asked says why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from glassbox_bt.reporting.record import RunRecord
from glassbox_bt.reporting.report import Paragraph, Table, claims_in, plain_text
from glassbox_bt.reporting.sections.qualitative import qualitative
from glassbox_bt.reporting.sections.text_readers import readers_section
from tests.reporting.fake_run import FakeRun
from tests.reporting.fake_text import write_text_run

HOW = FakeRun(sessions=70, n_chunks=2, has_audits=False, has_risk=False)
SCORES = {"n_documents": 12, "accuracy": 0.5, "own_accuracy": 0.4, "ece": 0.111, "log_loss": 1.222, "why": ""}
PARTS = {"brier": 0.201, "reliability": 0.011, "resolution": 0.021, "uncertainty": 0.211, "within": 0.0, "why": ""}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_text_run(tmp_path_factory.mktemp("readers") / "run", HOW)


def recorded(run: Path, readers: dict[str, Any]) -> RunRecord:
    path = run / "metrics.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, "text_readers": readers}), encoding="utf-8")
    return RunRecord(run)


def test_each_judge_stands_under_its_chunk_and_split_with_what_was_recorded(run: Path) -> None:
    silent = {"ece": None, "log_loss": None}
    sentiment = [
        {"chunk": chunk, "split": split, "who": who, **SCORES, **(silent if who in ("engine", "word list") else {})}
        for chunk in (1, 2)
        for split in ("val", "test")
        for who in ("sentiment", "constant", "engine", "word list")
    ]
    news = [
        {"chunk": 1, "split": "test", "head": head, "year": year, "n_documents": 9, **PARTS}
        for head in ("importance", "relevance", "spike", "drawdown")
        for year in (2018, 2019)
    ]
    record = recorded(run, {"sentiment": sentiment, "news": news})
    section = readers_section(record)
    (table,) = section.blocks
    assert isinstance(table, Table)
    heads = [plain_text(group.head) for group in table.rows if hasattr(group, "head")]
    assert heads == ["Chunk 1, validation", "Chunk 1, test", "Chunk 2, validation", "Chunk 2, test"]
    assert len(table.flat_rows) == 16
    assert {claim.value for claim in claims_in(table.flat_rows[1].cells)} == {12, 0.5, 0.4, 1.222, 0.111}
    assert {claim.value for claim in claims_in(table.flat_rows[3].cells)} == {12, 0.5, 0.4}
    (below,) = section.sections[0].blocks
    assert isinstance(below, Table)
    assert {claim.value for claim in claims_in(below.flat_rows[0].cells)} == {2018, 9, 0.201, 0.011, 0.021, 0.211}
    assert "text-readers" in [one.key for one in qualitative(record).sections]


def test_what_was_not_asked_says_why_and_what_was_not_recorded_is_said(run: Path) -> None:
    why = "the fit learned from no document"
    nothing = dict.fromkeys(("accuracy", "own_accuracy", "ece", "log_loss", "brier", "year")) | {
        "n_documents": 0,
        "why": why,
    }
    rows = {"sentiment": {"who": "sentiment"}, "news": {"head": "spike"}}
    record = recorded(run, {key: [{"chunk": 1, "split": "test", **one, **nothing}] for key, one in rows.items()})
    section = readers_section(record)
    for one, words in ((section, "not asked: "), (section.sections[0], "Volatility spikes, not asked: ")):
        (table,) = one.blocks
        assert isinstance(table, Table)
        assert plain_text(table.flat_rows[0].cells[0]) == words + why
    bare = readers_section(recorded(run, {}))
    assert all(isinstance(one, Paragraph) for one in (*bare.blocks, *bare.sections[0].blocks))
