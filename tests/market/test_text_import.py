"""Dated text from tables of other people."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from glassbox_bt.errors import MarketDataError
from glassbox_bt.market.sources import text_tables
from glassbox_bt.market.sources.text_folder import write_text
from glassbox_bt.market.sources.text_tables import TextTableSource, text_batches

ROWS = [
    {"published_at": "2019-11-05T17:30:00-05:00", "ticker": "A", "text": "Up <b>5</b> %", "doc_id": "d1"},
    {"published_at": "2019-11-05", "ticker": "", "text": "AT&T; said", "doc_id": "d2"},
    {"published_at": "2019-11-06 09:00Z", "ticker": " B ", "text": "<br>", "doc_id": "d3"},
]


def written(folder: Path, suffix: str, rows: list[dict[str, Any]] = ROWS) -> Path:
    path, table = folder / f"t.{suffix}", pd.DataFrame(rows)
    if suffix == "csv":
        table.to_csv(path, index=False)
    elif suffix == "parquet":
        table.to_parquet(path)
    else:
        table.to_json(path, orient="records", lines=True)
    return path


def read(path: Path, **columns: Any) -> tuple[pd.DataFrame, Counter[str]]:
    facts = Counter[str]()
    tables = [table for table, _ in text_batches(TextTableSource(path, **columns), facts)]
    return pd.concat(tables, ignore_index=True), facts


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_every_kind_of_file_gives_the_same_text(tmp_path: Path, suffix: str) -> None:
    table, facts = read(written(tmp_path, suffix))
    assert table["text"].tolist() == ["Up 5 %", "AT&T said"]
    assert table["ticker"].tolist() == ["A", ""]
    assert table["has_time"].tolist() == [True, False]
    assert table["published_at"].astype(str).tolist() == ["2019-11-05 22:30:00+00:00", "2019-11-05 00:00:00+00:00"]
    assert (facts["rows"], facts["empty"], facts["without_time"], facts["without_ticker"]) == (3, 1, 1, 1)


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_batches_are_of_bounded_size_and_lose_nothing(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_tables, "BATCH", 7)
    rows = [{"published_at": "2019-11-05 15:00Z", "ticker": "A", "text": f"number {i}"} for i in range(40)]
    batches = list(text_batches(TextTableSource(written(tmp_path, suffix, rows)), Counter[str]()))
    assert max(len(table) for table, _ in batches) == 7
    assert [text for table, _ in batches for text in table["text"]] == [row["text"] for row in rows]
    shares = [share for _, share in batches]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_columns_may_have_other_names(tmp_path: Path) -> None:
    rows = [{"when": "2019-11-05 15:00Z", "symbol": "A", "body": "words", "wire": "w", "id": "x", "text": "not this"}]
    table, _ = read(written(tmp_path, "csv", rows), text="body", time="when", ticker="symbol", source="wire", doc_id="id")
    assert table[["ticker", "text", "source", "doc_id"]].iloc[0].tolist() == ["A", "words", "w", "x"]


def test_text_without_names_is_market_wide_only_if_that_is_said(tmp_path: Path) -> None:
    path = written(tmp_path, "csv", [{"published_at": "2019-11-05 15:00Z", "text": "words"}])
    with pytest.raises(MarketDataError, match="no column `ticker`"):
        read(path)
    assert read(path, ticker=None)[0]["ticker"].tolist() == [""]


@pytest.mark.parametrize(
    ("stamp", "zone", "form", "utc"),
    [
        ("2019-11-05 17:30", "America/New_York", None, "2019-11-05 22:30"),
        ("2019-07-05 17:30", "America/New_York", None, "2019-07-05 21:30"),
        ("2019-11-03 01:30", "America/New_York", None, "2019-11-03 06:30"),  # came twice: the later one
        ("2020-03-08 02:30", "America/New_York", None, "2020-03-08 07:00"),  # never was: the first after it
        ("2019-11-05T17:30:00Z", "America/New_York", None, "2019-11-05 17:30"),  # a stated zone wins
        ("05/11/2019 17:30", "Europe/London", "%d/%m/%Y %H:%M", "2019-11-05 17:30"),
        ("05/11/2019 17:30 +0100", None, "%d/%m/%Y %H:%M %z", "2019-11-05 16:30"),
    ],
)
def test_times_are_placed_by_the_stated_zone(tmp_path: Path, stamp: str, zone: str, form: str, utc: str) -> None:
    path = written(tmp_path, "csv", [{"published_at": stamp, "ticker": "A", "text": "words"}])
    table, _ = read(path, zone=zone, time_format=form)
    assert f"{table['published_at'].iloc[0]:%Y-%m-%d %H:%M}" == utc
    assert table["has_time"].all()


def test_a_format_without_a_clock_gives_days(tmp_path: Path) -> None:
    path = written(tmp_path, "csv", [{"published_at": "05.11.2019", "ticker": "A", "text": "words"}])
    table, _ = read(path, time_format="%d.%m.%Y")
    assert (f"{table['published_at'].iloc[0]:%Y-%m-%d}", bool(table["has_time"].iloc[0])) == ("2019-11-05", False)


def test_stored_times_need_a_zone_too_and_stored_days_are_days(tmp_path: Path) -> None:
    naive = [{"published_at": pd.Timestamp("2019-11-05 17:30"), "ticker": "A", "text": "words"}]
    with pytest.raises(MarketDataError, match=r"row 1: `published_at` '2019-11-05 17:30:00' has no time zone"):
        read(written(tmp_path, "parquet", naive))
    table, _ = read(written(tmp_path, "parquet", naive), zone="America/New_York")
    assert str(table["published_at"].iloc[0]) == "2019-11-05 22:30:00+00:00"
    days = [{"published_at": pd.Timestamp("2019-11-05").date(), "ticker": "A", "text": "words"}]
    assert not read(written(tmp_path, "parquet", days))[0]["has_time"].any()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"published_at,ticker,text\n2019-11-05 15:00Z,A,x\n2019-11-05 15:00,A,x\n", "line 3: .*has no time zone"),
        (b"published_at,ticker,text\nyesterday,A,x\n", "line 2: `published_at` 'yesterday' is no time"),
        (b"published_at,ticker,text\n,A,x\n", "line 2: `published_at` '' is no time"),
        (b"published_at,ticker,text\n1250-01-01 10:00Z,A,x\n", "line 2: .*(is no time|is not between 1900)"),
        (b"published_at,ticker,text\n2019-11-05 15:00Z,A\n", "line 2: it has 2 cells, the header has 3"),
        (b'published_at,ticker,text\n2019-11-05 15:00Z,A,"never closed\n', "line 2: unexpected end of data"),
        (b"published_at,ticker,words\n", "has no column `text` .*--text-column"),
        (b"published_at,ticker,text,text\n", "has the column `text` twice"),
        (b"", "has no column `text`"),
    ],
)
def test_a_wrong_csv_is_refused_with_its_line(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(MarketDataError, match=says):
        read(path)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{'text': 1}", "line 2: it is no JSON"),
        ("[1, 2]", "line 2: it is no JSON object"),
        ("[" * 100_000, "line 2: it is no JSON"),
        (json.dumps({"published_at": "2019-11-05 15:00Z", "text": "x"}), "line 2: it has no `ticker`"),
        (json.dumps({"published_at": "2019-11-05 15:00Z", "text": {"a": 1}, "ticker": "A"}), "line 2: `text` is no single"),
        (json.dumps({"published_at": None, "text": "x", "ticker": "A"}), "line 2: `published_at` '' is no time"),
    ],
)
def test_a_wrong_line_of_json_is_refused_with_its_number(tmp_path: Path, line: str, says: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps(ROWS[0]) + "\n" + line + "\n", encoding="utf-8")
    with pytest.raises(MarketDataError, match=says):
        read(path)


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_text_beyond_the_limit_is_refused_with_its_row(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_tables, "MAX_CHARACTERS", 100)
    long = ROWS[0] | {"text": "x" * 101}
    with pytest.raises(MarketDataError, match=r"(line 3|line 2|row 2): .*(limit|longer)"):
        read(written(tmp_path, suffix, [ROWS[0], long]))


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_line_without_an_end_is_not_read_to_its_end(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_tables, "_MAX_LINE", 1000)
    path = tmp_path / f"t.{suffix}"
    path.write_bytes(b"x" * 100_000)
    with pytest.raises(MarketDataError, match="line 1: it is longer than 1,000 bytes"):
        read(path)


def test_bytes_of_another_encoding_are_counted_or_read_as_stated(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"\xef\xbb\xbfpublished_at,ticker,text\r\n2019-11-05 15:00Z,A,caf\xe9 \x80 5\r\n")
    table, facts = read(path)
    assert (table["text"].tolist(), facts["with_replacement_characters"]) == (["caf\ufffd \ufffd 5"], 1)
    path.write_bytes(b"published_at,ticker,text\r\n2019-11-05 15:00Z,A,caf\xe9 \x80 5\r\n")
    table, facts = read(path, encoding="cp1252")
    assert (table["text"].tolist(), facts["with_replacement_characters"]) == (["café € 5"], 0)


def test_nuls_quotes_and_lone_carriage_returns_are_survived(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b'published_at,ticker,text\n2019-11-05 15:00Z,A,a\x00b\rc\n2019-11-05 15:00Z,A,"say ""x"",\nhere"\n')
    assert read(path)[0]["text"].tolist() == ["ab c", 'say "x", here']


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"zone": "Mars/Olympus"}, "Unknown time zone `Mars/Olympus`"),
        ({"encoding": "klingon"}, "Unknown encoding `klingon`"),
        ({"encoding": "utf-16"}, "Files in `utf-16` are not read"),
    ],
)
def test_settings_that_mean_nothing_are_refused(tmp_path: Path, columns: dict[str, str], says: str) -> None:
    with pytest.raises(MarketDataError, match=says):
        read(written(tmp_path, "csv"), **columns)


@pytest.mark.parametrize(("name", "says"), [("t.xlsx", "is read from .csv"), ("t.csv", "is no file")])
def test_files_that_are_not_there_or_of_another_kind_are_refused(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(MarketDataError, match=says):
        read(tmp_path / name)


def test_a_parquet_file_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1 not at all")
    with pytest.raises(MarketDataError, match="cannot be read"):
        read(path)


def test_what_is_written_is_the_same_each_time(tmp_path: Path) -> None:
    contents, told = [], list[float]()
    for name in ("one", "two"):
        facts, folder = Counter[str](), tmp_path / name
        folder.mkdir()
        batches = text_batches(TextTableSource(written(tmp_path, "csv")), facts)
        write_text(batches, folder, facts, lambda _, share: told.append(share))
        contents.append([(folder / file).read_bytes() for file in ("news.parquet", "import.json")])
    assert told == [1.0, 1.0]
    assert contents[0] == contents[1]
    assert json.loads(contents[0][1])["rows"] == 3
