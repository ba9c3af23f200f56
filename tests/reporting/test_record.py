"""Sources resolve to what the run folder holds, and to nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from glassbox_bt.errors import ContractError, RunFolderError
from glassbox_bt.reporting import render_report
from glassbox_bt.reporting.derived import derived
from glassbox_bt.reporting.record import RunRecord, table_source

EQUITY = "portfolio/equity.parquet"


@pytest.fixture
def record(fake_run: Path) -> RunRecord:
    return RunRecord(fake_run)


def test_json_pointers(record: RunRecord) -> None:
    assert record.resolve("manifest.json#/market/name") == "sp500"
    assert record.resolve("manifest.json#/chunks/1/chunk") == 2
    row = record.metrics["strategies"][3]
    assert record.resolve("metrics.json#/strategies/3/sharpe") == row["sharpe"]


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
