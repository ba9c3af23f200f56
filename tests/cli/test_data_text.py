"""data import of text and filings: from somebody's file to a market that a run can read."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from glassbox_bt.cli import data
from tests.flow.command import ROOT, Shell
from tests.market.filings import submission

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
        (("--what", "filings"), "holds no .txt submissions"),
    ],
)
def test_a_bad_import_is_one_line_and_leaves_nothing(
    tmp_path: Path, shell: Shell, change: tuple[str, str], says: str
) -> None:
    said = shell(*TEXT, tweets(tmp_path), "--out", tmp_path / "texts", *COLUMNS, *change)
    assert said.code == 2
    assert says in said.complaint
    assert [path.name for path in tmp_path.iterdir()] == ["tweets.csv"]


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
