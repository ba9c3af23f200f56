"""Dated text from tables of other people."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
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


def written(folder: Path, suffix: str, rows: list[dict[str, Any]] | pd.DataFrame = ROWS) -> Path:
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
        ("05/11/2019 17:30 EST", None, "%d/%m/%Y %H:%M %Z", "2019-11-05 22:30"),
    ],
)
def test_times_are_placed_by_the_stated_zone(tmp_path: Path, stamp: str, zone: str, form: str, utc: str) -> None:
    path = written(tmp_path, "csv", [{"published_at": stamp, "ticker": "A", "text": "words"}])
    table, _ = read(path, zone=zone, time_format=form)
    assert f"{table['published_at'].iloc[0]:%Y-%m-%d %H:%M}" == utc
    assert table["has_time"].all()


@pytest.mark.parametrize("zone", [None, "America/New_York"])
@pytest.mark.parametrize(
    "stamp",
    [
        "2019-11-05 17:45:00+01",
        "2019-11-05 17:45+0100",
        "2019-11-05T17:45:00.5+01:00",
        "2019-11-05 17:45:00 +01",
        "2019-11-05 17:45:00 +01:00",
        "2019-11-05T17+01",
        "20191105T1745+01",
        "2019/11/5 17:45+01",
        "2019-11-05 16:45Z",
        "2019-11-05 16:45 Z",
        "2019-11-05 11:45-05",
    ],
)
def test_a_time_with_its_zone_is_that_moment_whatever_zone_is_stated(tmp_path: Path, stamp: str, zone: str | None) -> None:
    table, _ = read(written(tmp_path, "csv", [{"published_at": stamp, "ticker": "A", "text": "words"}]), zone=zone)
    hour = "16:00" if "T17+" in stamp else "16:45"
    assert (f"{table['published_at'].iloc[0]:%Y-%m-%d %H:%M}", table["has_time"].tolist()) == (f"2019-11-05 {hour}", [True])


def test_rows_with_a_zone_without_one_and_of_days_stand_side_by_side(tmp_path: Path) -> None:
    stamps = ["2019-11-05 17:45:00+01", "2019-11-05 17:45:00", "20191105", "2019-11-05 17:45:00Z", "2019-11-05"]
    path = written(tmp_path, "csv", [{"published_at": stamp, "ticker": "A", "text": "words"} for stamp in stamps])
    with pytest.raises(MarketDataError, match=r"line 3: .*'2019-11-05 17:45:00' has no time zone"):
        read(path)
    table, _ = read(path, zone="America/New_York")
    assert [f"{moment:%H:%M}" for moment in table["published_at"]] == ["16:45", "22:45", "00:00", "17:45", "00:00"]
    assert table["has_time"].tolist() == [True, True, False, True, False]


@pytest.mark.parametrize("zone", [None, "America/New_York", "Asia/Tokyo"])
@pytest.mark.parametrize(
    ("suffix", "day"), [("csv", "20150302"), ("jsonl", 20150302), ("parquet", 20150302), ("csv", "2015-03-02")]
)
def test_a_day_is_a_day_with_and_without_hyphens(tmp_path: Path, zone: str | None, suffix: str, day: object) -> None:
    rows = [{"published_at": day, "ticker": "A", "text": "words"}]
    table, facts = read(written(tmp_path, suffix, rows), zone=zone)
    assert table["published_at"].astype(str).tolist() == ["2015-03-02 00:00:00+00:00"]
    assert (table["has_time"].tolist(), facts["without_time"]) == ([False], 1)


@pytest.mark.parametrize(
    "stamp",
    [
        *("2015", "2015-03", "201503", "2015-3-2", "2015/03/02", "2015.03.02", "20150230", "today", "now"),
        *("2015-03-02 17", "2015-03-02 1745", "2015-03-02 17-05", "2015-03-02T", "17:45"),
        *("2015-03-02 17:45+1", "2015-03-02 17:45+01:0", "2015-03-02 17:45+123", "2015-03-02 17:45z", "2015-03-02+01:00"),
    ],
)
def test_what_is_neither_a_day_nor_a_time_is_refused_with_value_and_row(tmp_path: Path, stamp: str) -> None:
    rows = [{"published_at": one, "ticker": "A", "text": "words"} for one in ("2015-03-02 17:45", stamp)]
    with pytest.raises(
        MarketDataError, match=f"line 3: `published_at` {re.escape(repr(stamp))} is no time, and no day; write"
    ):
        read(written(tmp_path, "csv", rows), zone="America/New_York")


@pytest.mark.parametrize(
    ("form", "stamps"),
    [
        ("%d.%m.%Y", ["02.03.2015", "02.03.2015"]),
        ("%Y-%m-%d %z", ["2015-03-02 +0500", "2015-03-02 -0500"]),
        ("%Y-%m-%d%z", ["2015-03-02Z", "2015-03-02+14:00"]),
        ("%Y-%m-%d %Z", ["2015-03-02 UTC", "2015-03-02 EST"]),
        ("%Y-%m-%d %%H", ["2015-03-02 %H", "2015-03-02 %H"]),
    ],
)
def test_a_format_without_a_clock_gives_the_day_as_written(tmp_path: Path, form: str, stamps: list[str]) -> None:
    path = written(tmp_path, "csv", [{"published_at": stamp, "ticker": "A", "text": "words"} for stamp in stamps])
    for zone in (None, "America/New_York"):
        table, _ = read(path, time_format=form, zone=zone)
        assert [f"{day:%Y-%m-%d %H:%M}" for day in table["published_at"]] == ["2015-03-02 00:00"] * 2
        assert not table["has_time"].any()


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


WORDS = {"ticker": "A", "text": "words"}


def dated(*stamps: Any, **columns: Any) -> list[dict[str, Any]]:
    return [{"published_at": one, **WORDS, **columns} for one in stamps]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("zone", [None, "America/New_York"])
@pytest.mark.parametrize("of", [None, "UTC", "America/New_York", "Asia/Tokyo"])
@pytest.mark.parametrize("n_rows", [1, 30])
def test_days_as_pandas_stores_them_are_days(tmp_path: Path, suffix: str, zone: str, of: str, n_rows: int) -> None:
    days = pd.date_range("2001-11-06", periods=n_rows).tz_localize(of)
    path = tmp_path / f"t.{suffix}"
    table = pd.DataFrame({"published_at": days, **WORDS})
    table.to_parquet(path) if suffix == "parquet" else table.to_csv(path, index=False, date_format="%Y-%m-%d %H:%M:%S%z")
    table, facts = read(path, zone=zone)
    assert [f"{day:%Y-%m-%d %H:%M}" for day in table["published_at"]] == [f"{day:%Y-%m-%d} 00:00" for day in days]
    assert not table["has_time"].any()
    assert facts["all times are midnight: taken as days"] == facts["without_time"] == n_rows
    assert "exactly_midnight" not in facts


@pytest.mark.parametrize(
    ("form", "stamps"),
    [
        (None, ["2001-11-06T00:00:00.000Z", "2001-11-07T00:00:00+05:00", "2001-11-08 00:00", "20011109T0000"]),
        ("%d/%m/%Y %H:%M", [f"0{day}/11/2001 00:00" for day in (6, 7, 8, 9)]),
        (
            "%d/%m/%Y %H:%M %z",
            [f"0{day}/11/2001 00:00 {zone}" for day, zone in ((6, "Z"), (7, "-0500"), (8, "+0530"), (9, "Z"))],
        ),
    ],
)
def test_midnights_are_those_that_are_written(tmp_path: Path, form: str | None, stamps: list[str]) -> None:
    table, facts = read(written(tmp_path, "jsonl", dated(*stamps)), time_format=form, zone="America/New_York")
    assert [f"{day:%d %H:%M}" for day in table["published_at"]] == [f"0{day} 00:00" for day in (6, 7, 8, 9)]
    assert facts["all times are midnight: taken as days"] == 4


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_where_only_some_times_are_midnight_they_are_moments_and_counted(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_tables, "BATCH", 2)
    stamps = [*["2001-11-06 00:00:00-05:00"] * 4, "2001-11-06 00:00:01-05:00"]
    table, facts = read(written(tmp_path, suffix, dated(*stamps)))
    assert table["has_time"].all()
    assert [f"{moment:%H:%M:%S}" for moment in table["published_at"]] == [*["05:00:00"] * 4, "05:00:01"]
    assert facts["exactly_midnight"] == 4
    assert "all times are midnight: taken as days" not in facts


def test_plain_days_say_nothing_about_clocks(tmp_path: Path) -> None:
    table, facts = read(written(tmp_path, "csv", dated("2001-11-06", "2001-11-07 00:00", "2001-11-08")))
    assert not table["has_time"].any()
    assert facts["all times are midnight: taken as days"] == 1


def test_the_refusal_of_a_naive_time_names_both_remedies(tmp_path: Path) -> None:
    with pytest.raises(MarketDataError, match=r"--time-zone America/New_York; or, if it is only a day, write 2019-11-05"):
        read(written(tmp_path, "csv", dated("2001-11-06 00:00:00", "2001-11-06 10:00:00")))


def test_has_time_says_what_a_midnight_is(tmp_path: Path) -> None:
    rows = [row | {"has_time": flag} for row, flag in zip(dated(*["2001-11-06 00:00Z"] * 2), (True, "0"), strict=True)]
    table, facts = read(written(tmp_path, "jsonl", rows))
    assert table["has_time"].tolist() == [True, False]
    assert facts["without_time"] == 1
    late = dated("2001-11-06 23:30-05:00", has_time=False) + dated("2001-11-06 23:30", has_time="FALSE")
    table, _ = read(written(tmp_path, "csv", late))
    assert table["published_at"].astype(str).tolist() == ["2001-11-07 00:00:00+00:00", "2001-11-06 00:00:00+00:00"]
    path = tmp_path / "some.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in (*rows, *dated("2001-11-07T00:00Z"))), encoding="utf-8")
    assert read(path)[0]["has_time"].tolist() == [True, False, False]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_acceptance_is_carried(tmp_path: Path, suffix: str) -> None:
    rows = dated("2001-11-01", accepted_at=pd.Timestamp("2001-11-06 17:00", tz="America/New_York"))
    table, _ = read(written(tmp_path, suffix, [*rows, *dated("2001-11-02", accepted_at=None)]))
    assert table["accepted_at"].isna().tolist() == [False, True]
    assert str(table["accepted_at"].iloc[0]) == "2001-11-06 22:00:00+00:00"


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("accepted_at", "2001-11-06", r"line 2: `accepted_at` '2001-11-06' is no moment; write"),
        ("accepted_at", "soon", r"line 2: `accepted_at` 'soon' is no moment"),
        ("accepted_at", "2001-11-06 17:00", r"line 2: `accepted_at` '2001-11-06 17:00' has no time zone"),
        ("accepted_at", "1250-01-01 17:00Z", r"line 2: `accepted_at` .* is not between 1900 and 2200"),
        ("accepted_at", "2001-11-06 00:00Z", r"every `accepted_at` is exactly midnight, so they are days.*--time-column"),
        ("has_time", "perhaps", r"line 2: `has_time` 'perhaps' is neither True nor False"),
        ("has_time", "", r"line 2: `has_time` '' is neither True nor False"),
        *(
            ("n_copies", value, rf"line 2: `n_copies` '{re.escape(str(value))}' is no count; write a whole number")
            for value in ("inf", "-inf", "many", -3, "1e30", 2.5, "True")
        ),
    ],
)
def test_columns_of_news_are_refused_by_row_and_value(tmp_path: Path, column: str, value: object, says: str) -> None:
    with pytest.raises(MarketDataError, match=says):
        read(written(tmp_path, "csv", dated("2001-11-06", **{column: value})))


def test_stored_numbers_of_copies_are_refused_too_and_none_is_one(tmp_path: Path) -> None:
    for value in (float("inf"), 1e30, -3.0):
        with pytest.raises(MarketDataError, match=r"row 1: `n_copies` .* is no count"):
            read(written(tmp_path, "parquet", dated("2001-11-06", n_copies=value)))
    with pytest.raises(MarketDataError, match=r"line 1: `n_copies` \"{'a': 1}\" is no count"):
        read(written(tmp_path, "jsonl", dated("2001-11-06", n_copies={"a": 1})))
    rows = [row | {"n_copies": n} for row, n in zip(dated(*["2001-11-06"] * 3), (None, 0, 3), strict=True)]
    for suffix in ("csv", "jsonl", "parquet"):
        assert read(written(tmp_path, suffix, rows))[0]["n_copies"].tolist() == [1, 1, 3]


def test_every_column_that_is_left_behind_is_named(tmp_path: Path) -> None:
    rows = dated("2001-11-06", lang="en", **{"\x1b[2Jx": 1}) + dated("2001-11-06", url="u", section="s")
    for suffix in ("csv", "parquet"):
        facts = read(written(tmp_path, suffix, rows))[1]
        left = {name: count for name, count in facts.items() if name.startswith("column left out")}
        assert left == dict.fromkeys((f"column left out: {name}" for name in ("lang", "[2Jx", "url")), 2)
    path = tmp_path / "some.jsonl"
    others = dated("2001-11-06", **{f"k{at}": 1 for at in range(500)})
    path.write_text("".join(json.dumps(row) + "\n" for row in (*rows, *others)), encoding="utf-8")
    facts = read(path)[1]
    assert (facts["column left out: lang"], facts["column left out: url"]) == (1, 1)
    assert sum(name.startswith("column left out") for name in facts) == 101
    assert facts["column left out: others"] == 500 - 97
    assert read(path, ticker=None)[1]["column left out: ticker"] == 3


@pytest.mark.parametrize("stored", [pd.NaT, pd.Timestamp("2001-11-06 10:00", tz="UTC")])
def test_a_missing_stored_time_is_refused(tmp_path: Path, stored: pd.Timestamp) -> None:
    stamps = pd.to_datetime(pd.Series([stored, pd.NaT]), utc=True)
    for column in (stamps, stamps.dt.tz_localize(None)):
        path = tmp_path / "t.parquet"
        pd.DataFrame({"published_at": column, **WORDS}).to_parquet(path)
        with pytest.raises(MarketDataError, match=r"row [12]: `published_at` '' is no time, and no day"):
            read(path, zone="UTC")


@pytest.mark.parametrize("of", [None, "UTC", "Asia/Tokyo", "America/New_York"])
@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("number", [2**63 - 1, -(2**63) + 1])
def test_stored_times_that_pandas_cannot_turn_are_refused(tmp_path: Path, of: str | None, unit: str, number: int) -> None:
    stamps = pa.array([number], pa.int64()).cast(pa.timestamp(unit, of))
    pq.write_table(pa.table({"published_at": stamps, "ticker": ["A"], "text": ["x"]}), tmp_path / "t.parquet")
    with pytest.raises(MarketDataError, match=r"row 1: `published_at` .* is not between 1900 and 2200"):
        read(tmp_path / "t.parquet", zone="America/New_York")


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_one_document_twice_is_refused_and_names_both_rows(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_tables, "BATCH", 2)
    copy = {"published_at": "2001-11-06", "ticker": "A", "text": "same", "doc_id": "d", "section": "a", "cik": "1"}
    fine = [
        copy,
        copy,
        copy | {"section": "b", "text": "x"},
        copy | {"ticker": "B", "text": "y"},
        copy | {"cik": "2", "text": "z"},
    ]
    fine += [copy | {"doc_id": "", "text": text} for text in ("one", "other")]
    assert len(read(written(tmp_path, suffix, fine))[0]) == len(fine)
    at = {"csv": "line 9: .* in line 2", "jsonl": "line 8: .* in line 1", "parquet": "row 8: .* in row 1"}[suffix]
    for change, what in (({"text": "other"}, "text"), ({"published_at": "2001-11-07", "section": "c"}, "time")):
        with pytest.raises(MarketDataError, match=f"{at} already, with another {what}. Give each its own doc_id, or none"):
            read(written(tmp_path, suffix, [*fine, copy | change]))


@pytest.mark.parametrize(
    ("suffix", "content"),
    [("csv", "published_at,ticker,text\n"), ("csv", "published_at,ticker,text"), ("jsonl", ""), ("jsonl", "\n")],
)
def test_a_table_without_rows_is_refused(tmp_path: Path, suffix: str, content: str) -> None:
    (tmp_path / f"t.{suffix}").write_text(content, encoding="utf-8")
    with pytest.raises(MarketDataError, match="has no rows"):
        read(tmp_path / f"t.{suffix}")


def test_a_stored_table_without_rows_or_words_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MarketDataError, match="has no rows"):
        read(written(tmp_path, "parquet", pd.DataFrame(dated("x"))[:0]))
    with pytest.raises(MarketDataError, match="has no rows with text: 2 are empty"):
        read(written(tmp_path, "csv", dated("2001-11-06", "2001-11-07", text="<br>")))


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


@pytest.mark.parametrize("column", ["text", "ticker", "source", "doc_id", "form_type", "cik"])
def test_lone_surrogates_are_replaced_and_counted_and_whole_ones_stay(tmp_path: Path, column: str) -> None:
    path = tmp_path / "t.jsonl"
    rows = [
        ROWS[0] | {"doc_id": str(at), column: told} for at, told in enumerate(("\ud800x", "\ude00\ud83d", "\ud83d\ude00 é"))
    ]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    facts, folder = Counter[str](), tmp_path / "out"
    folder.mkdir()
    write_text(text_batches(TextTableSource(path), facts), folder, facts, lambda _what, _share: None)
    assert pd.read_parquet(folder / "news.parquet")[column].tolist() == ["\ufffdx", "\ufffd\ufffd", "\U0001f600 é"]
    assert facts["with_replacement_characters"] == 2


def test_a_lone_surrogate_for_a_time_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps(ROWS[0] | {"published_at": "\ud800"}) + "\n", encoding="utf-8")
    with pytest.raises(MarketDataError, match=r"line 1: .* is no time"):
        read(path)


def test_nuls_quotes_and_lone_carriage_returns_are_survived(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b'published_at,ticker,text\n2019-11-05 15:00Z,A,a\x00b\rc\n2019-11-05 15:00Z,A,"say ""x"",\nhere"\n')
    assert read(path)[0]["text"].tolist() == ["ab c", 'say "x", here']


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"zone": "Mars/Olympus"}, "Unknown time zone `Mars/Olympus`"),
        ({"encoding": "klingon"}, "Unknown encoding `klingon`"),
        *(
            ({"encoding": name}, f"Unknown encoding `{name}`")
            for name in ("undefined", "idna", "rot13", "hex", "a\x00b", "")
        ),
        ({"encoding": "utf-16"}, "Files in `utf-16` are not read"),
        ({"time_format": "%Y-%m"}, "`--time-format` '%Y-%m' names no day"),
        ({"time_format": "%d/%m %H:%M"}, "names no day"),
        ({"time_format": "mixed"}, "names no day"),
        ({"time_format": "%Y-%m-%d %Q"}, "'Q' is a bad directive"),
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
