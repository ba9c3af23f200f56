"""Sources resolve to what the run folder holds, and to nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from glassbox_bt.errors import ContractError, RunFolderError
from glassbox_bt.reporting import render_report
from glassbox_bt.reporting.derived import derived
from glassbox_bt.reporting.record import AUDITS, RESULTS, VARIANTS, RunRecord, table_source

EQUITY = "portfolio/equity.parquet"


@pytest.fixture
def record(fake_run: Path) -> RunRecord:
    return RunRecord(fake_run)


def test_json_pointers(record: RunRecord) -> None:
    assert record.resolve("manifest.json#/market/name") == "sp500"
    assert record.resolve("manifest.json#/chunks/1/chunk") == 2
    row = record.metrics["strategies"][3]
    assert record.resolve("metrics.json#/strategies/3/sharpe") == row["sharpe"]


def test_pointers_into_the_documents_of_optional_stages(record: RunRecord, fake_run: Path) -> None:
    variants = json.loads((fake_run / VARIANTS).read_text(encoding="utf-8"))
    assert record.resolve(f"{VARIANTS}#/2/name") == variants[2]["name"]
    assert record.resolve(f"{VARIANTS}#/2/changed/orders") == variants[2]["changed"]["orders"]
    audits = json.loads((fake_run / AUDITS).read_text(encoding="utf-8"))
    assert record.resolve(f"{AUDITS}#/stability/metrics/0/value") == audits["stability"]["metrics"][0]["value"]
    assert record.resolve(f"{AUDITS}#/stability/metrics/1/value") is None


def test_entries_are_found_by_equality_and_know_their_source(record: RunRecord) -> None:
    pooled = record.entries("comparisons", chunk=0)
    assert len(pooled) == 8
    for one in pooled:
        assert record.resolve(one.source("difference")) == one.content["difference"]
        assert record.resolve(one.source("name")) == one.get("name")
    assert record.entries("comparisons", chunk=0, name="nobody") == ()
    assert record.entries("planets") == ()
    (variant,) = record.entries_of(VARIANTS, target="RB-05")
    assert record.resolve(variant.source("question")) == variant.get("question")
    assert variant.get("planet") is None


def test_a_line_of_a_table_is_the_only_row_that_answers(record: RunRecord, fake_run: Path) -> None:
    table = pd.read_parquet(fake_run / RESULTS)
    wanted = table[(table["variant"] == "silent_technical") & (table["chunk"] == 0) & (table["measure"] == "sharpe")].iloc[0]
    line = record.line(RESULTS, variant="silent_technical", chunk=0, measure="sharpe")
    assert line is not None
    assert line.get("difference") == wanted["difference"]
    assert record.resolve(line.source("difference")) == wanted["difference"]
    other = record.line(RESULTS, variant="silent_technical", chunk=0, measure="exposure")
    assert other is not None
    assert other.get("p_holm") is None  # NaN in the file
    assert record.resolve(other.source("p_holm")) is None
    assert record.line(RESULTS, variant="nobody") is None
    with pytest.raises(RunFolderError, match="one was expected"):
        record.line(RESULTS, variant="silent_technical")


def test_what_an_optional_stage_did_not_write_is_absent_not_an_error(own_run: Path) -> None:
    for name in (VARIANTS, RESULTS, AUDITS):
        (own_run / name).unlink()
    record = RunRecord(own_run)
    assert not record.holds(RESULTS)
    assert record.entries_of(VARIANTS) == ()
    assert record.line(RESULTS, variant="silent_technical", chunk=0, measure="sharpe") is None
    assert record.resolve(derived("n_audits")) == 0
    assert record.resolve(derived("n_variants")) == 0
    with pytest.raises(RunFolderError, match=Path(AUDITS).name):
        record.resolve(f"{AUDITS}#/stability/passed")


def test_aggregates_of_tables(record: RunRecord, fake_run: Path) -> None:
    table = pd.read_parquet(fake_run / EQUITY)
    rows = table[(table["chunk"] == 2) & (table["split"] == "test") & (table["strategy"] == "glassbox")]
    where: dict[str, str | int] = {"chunk": 2, "split": "test", "strategy": "glassbox"}
    assert record.resolve(table_source(EQUITY, "count()", **where)) == len(rows)
    assert record.resolve(table_source(EQUITY, "last(equity)", **where)) == rows["equity"].iloc[-1]
    assert record.resolve(table_source(EQUITY, "mean(exposure)", **where)) == rows["exposure"].mean()
    assert record.resolve(table_source(EQUITY, "nunique(strategy)", chunk=2)) == 9


@pytest.mark.parametrize(
    ("source", "error", "words"),
    [
        ("manifest.json#/market/planet", RunFolderError, "has nothing at"),
        ("metrics.json#/strategies/99999/sharpe", RunFolderError, "has nothing at"),
        ("secrets.json#/a", ContractError, "no document"),
        (f"{VARIANTS}#/99/name", RunFolderError, "has nothing at"),
        (f"{RESULTS}?chunk=0#only(difference)", RunFolderError, "one was expected"),
        ("manifest.json", ContractError, "has no `#`"),
        ("manifest.json#/market", ContractError, "not one value"),
        (f"{EQUITY}?chunk=77#last(equity)", RunFolderError, "No row"),
        (f"{EQUITY}?chunk=1#only(equity)", RunFolderError, "one was expected"),
        (f"{EQUITY}?chunk=1#median(equity)", ContractError, "no known aggregate"),
        (f"{EQUITY}?planet=1#last(equity)", ContractError, "no column `planet`"),
        (f"{EQUITY}?chunk=1#last(planet)", ContractError, "no column `planet`"),
        ("derived#planet", ContractError, "no derived number"),
    ],
)
def test_a_wrong_source_is_refused(record: RunRecord, source: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        record.resolve(source)


def test_the_stack_comes_first(record: RunRecord) -> None:
    assert record.strategies[0] == "glassbox"
    assert record.chunks == (1, 2, 3)
    assert all(rows[0].strategy == "glassbox" for rows in map(record.rows, record.chunks))


def test_derived_numbers_against_their_definition(record: RunRecord) -> None:
    sharpe = {(row.chunk, row.strategy): row.content["sharpe"] for row in record.rows(selection=False)}
    ahead = sum(sharpe[chunk, "glassbox"] > sharpe[chunk, "buy_and_hold"] for chunk in record.chunks)
    assert record.resolve(derived("chunks_ahead", measure="sharpe", rival="buy_and_hold")) == ahead
    for chunk in record.chunks:
        known = sorted((v for (c, _), v in sharpe.items() if c == chunk and v is not None), reverse=True)
        assert record.resolve(derived("n_ranked", chunk=chunk, measure="sharpe")) == len(known)
        place = 1 + known.index(sharpe[chunk, "glassbox"])
        assert record.resolve(derived("rank", chunk=chunk, measure="sharpe")) == place
        row = record.row("glassbox", chunk)
        assert row is not None
        deepest = record.resolve(derived("deepest_drawdown", chunk=chunk, strategy="glassbox"))
        assert deepest == pytest.approx(row.content["max_drawdown"], rel=1e-12)


def test_counts_of_verdicts_variants_and_audits(record: RunRecord) -> None:
    verdicts = [(one["kind"], one["verdict"]) for one in record.metrics["verdicts"]]
    for kind in ("rival", "ablation", "signal", "calibration"):
        assert record.resolve(derived("n_verdicts", kind=kind)) == sum(k == kind for k, _ in verdicts) > 0
        for word in ("supported", "refuted", "underpowered", "not tested"):
            assert record.resolve(derived("n_verdicts", kind=kind, verdict=word)) == verdicts.count((kind, word))
    assert record.resolve(derived("n_variants")) == 10
    assert record.resolve(derived("n_variants", effect="none")) == 1
    assert [record.resolve(derived("n_audits", status=s)) for s in ("pass", "FAIL", "note")] == [3, 0, 1]
    assert record.resolve(derived("n_findings")) == 2
    assert record.resolve(derived("error_rate")) == 0.05
    assert [record.resolve(derived("audit", place=place)) for place in (0, 4)] == ["attention", "text"]


def test_spent_rows_never_enter_a_derived_number(fake_run: Path, own_run: Path) -> None:
    """Changing every validation row, and every learned comparison on validation, changes nothing that counts (R5)."""
    metrics = json.loads((own_run / "metrics.json").read_text(encoding="utf-8"))
    for row in metrics["strategies"]:
        if row["selection"]:
            row["sharpe"] = 99.0
    for row in metrics["learned"]:
        if row["split"] == "val":
            row["better"] = not row["better"]
    (own_run / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    sources = [derived(name) for name in ("n_learned", "n_learned_better", "n_degenerate")]
    sources += [derived("chunks_ahead", measure="sharpe")]
    sources += [derived("rank", chunk=chunk, measure="sharpe") for chunk in (1, 2, 3)]
    one, other = RunRecord(fake_run), RunRecord(own_run)
    assert [one.resolve(source) for source in sources] == [other.resolve(source) for source in sources]


@pytest.mark.parametrize("name", ["manifest.json", "metrics.json", "decisions.parquet", EQUITY])
def test_an_unfinished_run_is_refused_by_the_missing_file(own_run: Path, name: str) -> None:
    (own_run / name).unlink()
    with pytest.raises(RunFolderError, match=Path(name).name):
        render_report(own_run)
    assert not (own_run / "report" / "index.html").exists()


def test_broken_files_are_refused(own_run: Path) -> None:
    (own_run / EQUITY).write_bytes(b"no parquet")
    with pytest.raises(RunFolderError, match="cannot be read"):
        RunRecord(own_run).table(EQUITY)
    pd.DataFrame({"chunk": [1]}).to_parquet(own_run / EQUITY)
    with pytest.raises(RunFolderError, match="lacks `split`"):
        RunRecord(own_run).table(EQUITY)
    (own_run / "manifest.json").write_text("{", encoding="utf-8")
    with pytest.raises(RunFolderError, match="cannot be read"):
        RunRecord(own_run)
