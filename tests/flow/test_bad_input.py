"""Bad input ends with exit code 2, one clear line, and nothing under its final name."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from glassbox_bt.backtest import read_market
from glassbox_bt.errors import InputError
from glassbox_bt.market.ingest import build_store
from glassbox_bt.plan import read_plan
from glassbox_bt.runs.lock import sole_writer
from glassbox_bt.walkforward.ahead import read_text_ahead
from tests.flow.command import ROOT, Outcome, Shell, glassbox
from tests.flow.texty import TEXT, texty_plan
from tests.flow.tiny import CHUNKS, tiny_plan

BAR = 300  # a row that is spoilt


def put(column: str, value: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def spoil(table: pd.DataFrame) -> pd.DataFrame:
        table = table.astype({column: object})
        table.loc[BAR, column] = value
        return table

    return spoil


SPOILT: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "missing close": (lambda t: t.drop(columns="close"), "no column `close`"),
    "duplicate": (lambda t: t.loc[[*range(BAR), BAR - 1, *range(BAR, len(t))]], "stands twice"),
    "unsorted": (lambda t: t.iloc[::-1], "goes back in time"),
    "mixed zones": (put("date", "2002-03-15T00:00:00+01:00"), "is no date"),
    "negative": (put("close", -3.0), "close is -3.0"),
    "zero": (put("open", 0.0), "open is 0.0"),
    "infinite": (put("close", "inf"), "close is inf"),
    "text": (put("close", "n.a."), "'n.a.' is not a number"),
    "empty": (lambda t: t.iloc[:0], "empty"),
}
OUTSIDE = [
    {"train": ["1990-01-01", "1991-12-31"], "validation": ["1992-01-01", "1992-06-30"], "test": ["1992-07-01", "1992-12-31"]}
]
PLANS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": ({"sede": 3}, "Unknown key `sede` in the plan. Did you mean `seed`?"),
    "unknown setting": ({"modules": {"fusion": {"epoch": 3}}}, "Unknown key `epoch` in modules.fusion"),
    "wrong type": ({"seed": "seven"}, "`seed` in the plan"),
    "overlapping chunks": ({"chunks": [*CHUNKS, *CHUNKS]}, "Chunks overlap"),
    "overlapping parts": ({"chunks": [{**CHUNKS[0], "test": CHUNKS[0]["validation"]}]}, "parts overlap"),
    "chunk outside the data": ({"chunks": OUTSIDE}, "Chunk 1: train 1990-01-01 to 1991-12-31 has 0 sessions"),
    "no such strategy": ({"strategies": ["strategies:Cosh"]}, "cannot be loaded"),
    "no such market": ({"market": {"source": "sp499"}}, "no market `sp499`"),
}


def market_folder(folder: Path, spoil: Callable[[pd.DataFrame], pd.DataFrame]) -> Path:
    shutil.copytree(ROOT / "data" / "tiny", folder)
    table = spoil(pd.read_csv(folder / "prices.csv"))
    table.to_csv(folder / "prices.csv", index=False)
    return folder


def refused(outcome: Outcome, says: str) -> None:
    assert outcome.code == 2, outcome.err
    assert says in outcome.complaint
    assert outcome.out == ""


@pytest.mark.parametrize(("spoil", "says"), SPOILT.values(), ids=SPOILT.keys())
def test_a_bad_market_is_refused(tmp_path: Path, shell: Shell, spoil: Callable[[Any], Any], says: str) -> None:
    folder = market_folder(tmp_path / "market", spoil)
    plan = tiny_plan(tmp_path, market={"source": str(folder)})
    refused(shell("run", plan, "--out", tmp_path / "run"), says)
    assert not (tmp_path / "run").exists()


def test_dates_of_two_time_zones_are_refused(tmp_path: Path, shell: Shell) -> None:
    folder = market_folder(tmp_path / "market", lambda table: table)
    table = pd.read_csv(folder / "prices.csv", parse_dates=["date"])
    zones = ["UTC", "America/New_York"]
    table["date"] = [day.tz_localize(zones[row % 2]) for row, day in enumerate(table["date"])]
    text = table.assign(date=table["date"].astype(str))
    (folder / "prices.csv").unlink()
    text.to_parquet(folder / "prices.parquet")
    refused(shell("run", tiny_plan(tmp_path, market={"source": str(folder)}), "--out", tmp_path / "run"), "is no date")


@pytest.mark.parametrize("content", [b"", b"PAR1 this is no table", b"\x00" * 4096])
@pytest.mark.parametrize("name", ["prices.parquet", "prices.csv"])
def test_an_unreadable_table_is_refused(tmp_path: Path, shell: Shell, name: str, content: bytes) -> None:
    folder = market_folder(tmp_path / "market", lambda table: table)
    (folder / "prices.csv").unlink()
    (folder / name).write_bytes(content)
    plan = tiny_plan(tmp_path, market={"source": str(folder)})
    refused(shell("run", plan, "--out", tmp_path / "run"), "prices")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("changes", "says"), PLANS.values(), ids=PLANS.keys())
def test_a_bad_plan_is_refused(tmp_path: Path, shell: Shell, changes: dict[str, Any], says: str) -> None:
    refused(shell("run", tiny_plan(tmp_path, **changes), "--out", tmp_path / "run"), says)
    assert not (tmp_path / "run").exists()


ENGINES = {  # what the plan asks for, and what is said
    "absent": ("nobody/nothing", "Fetch it with `hf download nobody/nothing`"),
    "misspelt": ("LEXICON", "There is no text engine `LEXICON`. Did you mean `lexicon`?"),
}


@pytest.mark.parametrize(("engine", "says"), ENGINES.values(), ids=ENGINES.keys())
def test_a_text_engine_that_is_not_here_is_refused_and_leaves_the_folder_free(
    tmp_path: Path, shell: Shell, engine: str, says: str
) -> None:
    plan = texty_plan(tmp_path, modules={**TEXT["modules"], "text_encoder": {"engine": engine, "components": 8}})
    refused(shell("run", plan, "--out", tmp_path / "run", "--workers", 1), says)
    assert not list((tmp_path / "run").iterdir()) if (tmp_path / "run").exists() else True


@pytest.mark.parametrize(
    ("encoder", "reads"),
    [({"variant": "untrained"}, False), ({"min_texts": 10**6}, False), ({}, True)],
    ids=["the control", "too little text", "a model"],
)
def test_a_model_is_asked_for_only_where_it_will_read(tmp_path: Path, encoder: dict[str, Any], reads: bool) -> None:
    settings = {"engine": "nobody/nothing", "components": 8, **encoder}
    plan = read_plan(texty_plan(tmp_path, modules={**TEXT["modules"], "text_encoder": settings}))
    store = build_store(read_market(plan).raw, plan.market.universe)
    with pytest.raises(InputError, match="hf download") if reads else nullcontext():
        read_text_ahead(plan, store, 1, lambda _what, _share: None)


def test_an_unreadable_plan_is_refused(tmp_path: Path, shell: Shell) -> None:
    refused(shell("run", tmp_path / "none.toml"), "There is no plan")
    (tmp_path / "plan.toml").write_bytes(b"\xff\xfe\x00")
    refused(shell("run", tmp_path), "is not valid TOML")
    refused(shell("run", tmp_path / "plan.toml" / "plan.toml"), "cannot be read")


@pytest.mark.parametrize("place", ["plan.toml", "plan.toml/below", "/proc/glassbox/run"])
def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path, shell: Shell, place: str) -> None:
    plan = tiny_plan(tmp_path)
    before = plan.read_bytes()
    refused(shell("run", plan, "--out", tmp_path / place), "choose another --out")
    assert plan.read_bytes() == before


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, shell: Shell) -> None:
    plan, other = tiny_plan(tmp_path), tmp_path / "letters"
    other.mkdir()
    (other / "letter.txt").write_text("Dear reader")
    refused(shell("run", plan, "--out", other), "is not empty and holds no run")
    refused(shell("run", plan, "--out", other, "--fresh"), "is not empty and holds no run")
    assert [path.name for path in other.iterdir()] == ["letter.txt"]


def test_a_folder_of_another_run_is_left_alone(tmp_path: Path, shell: Shell) -> None:
    run = tmp_path / "run"
    run.mkdir()
    text = '{"name": "other", "plan_digest": "0123456789abcdef", "status": "complete"}'
    (run / "manifest.json").write_text(text)
    refused(shell("run", tiny_plan(tmp_path), "--out", run), "holds another run: plan `other`, digest 0123456789ab")
    (run / "manifest.json").write_text("{")
    refused(shell("run", tiny_plan(tmp_path), "--out", run), "manifest.json cannot be read")
    assert [path.name for path in run.iterdir()] == ["manifest.json"]


def test_a_fresh_start_that_is_refused_leaves_the_old_run(tmp_path: Path, shell: Shell) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "manifest.json").write_text('{"name": "other", "plan_digest": "0123", "status": "complete"}')
    (run / "decisions.parquet").write_bytes(b"kept")
    plan = tiny_plan(tmp_path, market={"source": "none"})
    refused(shell("run", plan, "--out", run, "--fresh"), "There is no market")
    assert {path.name for path in run.iterdir()} == {"manifest.json", "decisions.parquet"}


def test_a_folder_in_use_is_refused(tmp_path: Path, shell: Shell) -> None:
    run = tmp_path / "run"
    with sole_writer(run):
        refused(shell("run", tiny_plan(tmp_path), "--out", run), "Another process is writing")
        assert run.exists()
    assert not run.exists()


@pytest.mark.parametrize("kib", [1, 40, 200])
def test_a_full_disk_leaves_no_half_file(tmp_path: Path, kib: int) -> None:
    """1 KiB: not even a manifest; 40: no store of the market; 200: no answers or no tables."""

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (kib * 1024, kib * 1024))

    run = tmp_path / "run"
    outcome = glassbox("run", tiny_plan(tmp_path), "--out", run, "--workers", 1, before=fill)
    refused(outcome, "Cannot write")
    assert "Free space" in outcome.complaint
    assert all(path.stat().st_size < kib * 1024 for path in run.rglob("*") if path.is_file())
    assert not list(run.rglob(".*"))
    assert not (run / "decisions.parquet").exists()
    for table in run.rglob("*.parquet"):
        pd.read_parquet(table)


def test_a_market_that_cannot_be_read_is_refused_in_a_process_of_its_own(tmp_path: Path) -> None:
    folder = market_folder(tmp_path / "market", put("close", -3.0))
    outcome = glassbox("run", tiny_plan(tmp_path, market={"source": str(folder)}), "--out", tmp_path / "run")
    refused(outcome, "close is -3.0")
    assert {path.name for path in tmp_path.iterdir()} == {"market", "plan.toml"}
