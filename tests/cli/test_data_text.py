"""data import of text and filings: from somebody's file to a market that a run can read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from glassbox_bt.cli import data
from glassbox_bt.market.ingest import build_store
from glassbox_bt.market.sources.folder import load_folder
from glassbox_bt.market.universe import UniverseRule
from tests.flow.command import ROOT, Shell
from tests.market.filings import submission, ten_k

TINY = ROOT / "data" / "tiny"
TEXT = ("data", "import", "--what", "text")


def tweets(folder: Path, suffix: str = "csv") -> Path:
    names = pd.read_csv(TINY / "prices.csv")["ticker"].unique()
    table = pd.DataFrame(
        {
            "when": ["2002-03-04 15:00", "2002-03-04 17:30", "2002-03-05"],
            "symbol": [names[0], names[1], ""],
            "body": ["<b>Up</b>", "Down &amp; out", "The market rests"],
        }
    )
    path = folder / f"tweets.{suffix}"
    if suffix == "csv":
        table.to_csv(path, index=False)
    else:
        table.to_json(path, orient="records", lines=True)
    return path


COLUMNS = ("--text-column", "body", "--time-column", "when", "--ticker-column", "symbol", "--time-zone", "America/New_York")


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_imported_text_is_read_with_its_market(tmp_path: Path, shell: Shell, suffix: str) -> None:
    said = shell(*TEXT, tweets(tmp_path, suffix), "--out", tmp_path / "texts", *COLUMNS)
    assert said.code == 0, said.err
    assert "rows: 3; " in said.out
    assert "without time: 1" in said.out
    market = shutil.copytree(TINY, tmp_path / "market")
    toml = (market / "market.toml").read_text(encoding="utf-8")
    assert "[files]" not in toml
    (market / "market.toml").write_text(toml + '\n[files]\nnews = "../texts/news.parquet"\n', encoding="utf-8")
    said = shell("data", "check", market)
    assert said.code == 0, said.err
    told = " ".join("".join(char if char.isprintable() and char not in "│┃" else " " for char in said.out).split())
    for fact in ("n_documents: 3", "market_wide: 1", "mapped: 2", "unmapped: 0"):
        assert fact in told, told


def test_imported_filings_are_text(tmp_path: Path, shell: Shell) -> None:
    folder = tmp_path / "edgar" / "2015"
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text(submission(), encoding="utf-8")
    (folder / "b.txt").write_text(submission()[:400], encoding="utf-8")
    said = shell("data", "import", tmp_path / "edgar", "--what", "filings", "--out", tmp_path / "filings", "--form", "8-k")
    assert said.code == 0, said.err
    assert "filings: 1" in said.out
    assert "skipped: " in said.out
    table = pd.read_parquet(tmp_path / "filings" / "news.parquet")
    assert table[["cik", "form_type", "text"]].iloc[0].tolist() == ["1", "8-K", "The company announced a new tool."]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("--time-zone", "Mars"), "Unknown time zone"),
        (("--text-column", "words"), "no column `words`"),
        (("--what", "rumours"), "`--what` must be prices, text or filings"),
        (("--what", "filings"), "`--text-column` is for text; it says nothing about --what filings. Leave it out."),
        (("--form", "8-K"), "`--form` is for filings; it says nothing about --what text"),
        (("--what", "prices"), "`--text-column` is for text; it says nothing about --what prices"),
        (("--name", "mine"), "`--name` is for prices; it says nothing about --what text"),
        (("--market-wide",), "`--market-wide` says that no column names tickers, `--ticker-column` names one"),
        (("--encoding", "undefined"), "Unknown encoding `undefined`"),
    ],
)
def test_a_bad_import_is_one_line_and_leaves_nothing(
    tmp_path: Path, shell: Shell, change: tuple[str, ...], says: str
) -> None:
    said = shell(*TEXT, tweets(tmp_path), "--out", tmp_path / "texts", *COLUMNS, *change)
    assert said.code == 2
    assert says in said.complaint
    assert [path.name for path in tmp_path.iterdir()] == ["tweets.csv"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ((), "holds no .txt submissions"),
        (("--encoding", "undefined"), "Unknown encoding `undefined`"),
        (("--time-zone", "UTC"), "`--time-zone` is for text"),
    ],
)
def test_a_bad_import_of_filings_is_one_line_too(tmp_path: Path, shell: Shell, change: tuple[str, ...], says: str) -> None:
    said = shell("data", "import", tmp_path, "--what", "filings", "--out", tmp_path / "texts", *change)
    assert said.code == 2
    assert says in said.complaint
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", [("data", "--help"), ("data", "import", "--help")])
def test_the_help_shows_what_stands_in_brackets(shell: Shell, command: tuple[str, ...]) -> None:
    told = " ".join(shell(*command).out.replace("│", " ").split())
    assert "a folder of text that a market's [files] points at" in told


def test_what_is_left_behind_and_taken_as_days_is_said(tmp_path: Path, shell: Shell) -> None:
    path = tmp_path / "t.parquet"
    days = pd.to_datetime(["2001-11-06", "2001-11-07"])
    pd.DataFrame({"published_at": days, "ticker": "A", "text": ["x", "y"], "my_score": 1, "[red]\x1b[2J": 2}).to_parquet(
        path
    )
    said = shell(*TEXT, path, "--out", tmp_path / "texts")
    assert said.code == 0, said.err
    for words in (
        "all times are midnight: taken as days: 2",
        "column left out: my_score: 2",
        "column left out: [red][2J: 2",
    ):
        assert words in said.out
    facts = json.loads((tmp_path / "texts" / "import.json").read_text(encoding="utf-8"))
    assert facts["all times are midnight: taken as days"] == 2
    assert {name for name in facts if name.startswith("column left out: ")} == {
        "column left out: my_score",
        "column left out: [red][2J",
    }


def known(market: Path) -> list[tuple[str, str, str]]:
    """Published, known and first read: days and moments of UTC, in the order of knowledge."""
    store = build_store(load_folder(market), UniverseRule(min_observed=1, window=1), features={})
    frame = store.text.frame
    days = [str(store.dates[session]) for session in store.text.session]
    return list(zip(frame["doc_id"], frame["has_time"].map(str), days, strict=True))


def test_an_import_is_known_when_the_same_table_in_a_market_is(tmp_path: Path, shell: Shell) -> None:
    market = shutil.copytree(TINY, tmp_path / "market", ignore=shutil.ignore_patterns("news.*"))
    name = pd.read_csv(TINY / "prices.csv")["ticker"].iloc[0]
    rows = [
        ("accepted", "2001-11-01 15:00Z", "2001-11-06 22:00Z", True, "a"),
        ("day", "2001-11-06 00:00Z", None, False, ""),
        ("moment", "2001-11-06 00:00Z", None, True, ""),
        ("parts", "2001-11-08 15:00Z", None, True, "one"),
        ("parts", "2001-11-08 15:00Z", None, True, "two"),
    ]
    table = pd.DataFrame(rows, columns=["doc_id", "published_at", "accepted_at", "has_time", "section"])
    stamps = {one: pd.to_datetime(table[one], utc=True) for one in ("published_at", "accepted_at")}
    table = table.assign(**stamps, ticker=name, text=[f"words {at}" for at in range(len(table))])
    table.to_parquet(market / "news.parquet", index=False)
    straight = known(market)
    assert ("accepted", "True", "2001-11-07") in straight
    assert ("day", "False", "2001-11-07") in straight
    assert ("moment", "True", "2001-11-06") in straight
    source = market / "news.parquet"
    for again in ("once", "twice"):
        said = shell(*TEXT, source, "--out", tmp_path / again)
        assert said.code == 0, said.err
        source = tmp_path / again / "news.parquet"
        shutil.copy(source, market / "news.parquet")
        assert known(market) == straight
        assert pd.read_parquet(source)["section"].tolist() == table["section"].tolist()
    assert source.read_bytes() == (tmp_path / "once" / "news.parquet").read_bytes()


def test_imported_filings_may_be_imported_again(tmp_path: Path, shell: Shell) -> None:
    (tmp_path / "edgar").mkdir()
    (tmp_path / "edgar" / "a.txt").write_text(ten_k(), encoding="utf-8")
    assert shell("data", "import", tmp_path / "edgar", "--what", "filings", "--out", tmp_path / "one").code == 0
    said = shell(*TEXT, tmp_path / "one" / "news.parquet", "--out", tmp_path / "two")
    assert said.code == 0, said.err
    assert "column left out" not in said.out
    one, two = (pd.read_parquet(tmp_path / folder / "news.parquet") for folder in ("one", "two"))
    pd.testing.assert_frame_equal(one, two)
    assert two["section"].nunique() == len(two) > 1


def test_a_row_without_a_zone_is_named_with_its_file(tmp_path: Path, shell: Shell) -> None:
    path = tweets(tmp_path)
    said = shell(*TEXT, path, "--out", tmp_path / "texts", *COLUMNS[:-2])
    assert said.code == 2
    assert f"{path} line 2: `when` '2002-03-04 15:00' has no time zone" in said.complaint


def test_an_import_replaces_nothing_and_reads_what_is_there(tmp_path: Path, shell: Shell) -> None:
    path = tweets(tmp_path)
    (tmp_path / "texts").mkdir()
    said = shell(*TEXT, path, "--out", tmp_path / "texts", *COLUMNS)
    assert (said.code, list((tmp_path / "texts").iterdir())) == (2, [])
    assert "exists already" in said.complaint
    said = shell(*TEXT, tmp_path / "nothing.csv", "--out", tmp_path / "other", *COLUMNS)
    assert said.code == 2
    assert "does not exist" in said.complaint


def test_progress_is_shown_only_where_it_takes_a_while(
    tmp_path: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tweets(tmp_path)
    assert "Importing" not in shell(*TEXT, path, "--out", tmp_path / "one", *COLUMNS).err
    monkeypatch.setattr(data, "PATIENCE", -1.0)
    assert "Importing" in shell(*TEXT, path, "--out", tmp_path / "two", *COLUMNS).err
