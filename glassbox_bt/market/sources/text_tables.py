"""Dated text of somebody else's table (CSV, JSONL, Parquet), read in batches; nothing in it is trusted.

Texts are cleaned (`glassbox_bt.market.text_cleaning`), and what is empty then is counted. Bytes that are not of the stated
encoding and lone surrogates become U+FFFD; rows with any are counted. The columns of `news` are read, each other one is
named among the counts. What its times mean is said in `text_times`.

Everything else that is wrong is refused, with the file and the row.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import closing, contextmanager
from typing import Any, BinaryIO
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd

from glassbox_bt.errors import MarketDataError
from glassbox_bt.market.sources.text_doubles import Doubles
from glassbox_bt.market.sources.text_source import KEPT, UNSTATED, TextTableSource, check_encoding, refuse_first, strings
from glassbox_bt.market.sources.text_times import Times, check_format, only_midnights, times_of
from glassbox_bt.market.text_cleaning import MAX_CHARACTERS, cleaned, visible
from glassbox_bt.types import IntArray

__all__ = ["TextTableSource", "text_batches"]

BATCH = 20_000  # rows
_MAX_LINE = 4 * MAX_CHARACTERS  # bytes
_MAX_COPIES = 10**9
_MAX_NAMED, _LONGEST_NAME = 100, 100  # columns that are left out and named; each row of JSON may have others
_NO_NUMBER = ("", "NaN", "nan", "NA")  # as a market reads a CSV

_Batch = tuple[pd.DataFrame, IntArray, float]  # columns as they stand, rows or lines of the file from 1, share read
_Batches = Generator[_Batch, None, None]
# The columns that are wanted, and where those that are left out are counted, in rows.
_Reader = Callable[[TextTableSource, Collection[str], Counter[str]], _Batches]


def text_batches(source: TextTableSource, facts: Counter[str]) -> Iterator[tuple[pd.DataFrame, float]]:
    """Batches of news and the share of the file that they end at; counts go to ``facts``.

    A file whose clocks are all midnight is read twice, first for its times alone.

    Raises
    ------
    MarketDataError
        For a file that cannot be read or holds no text, a missing column, a time that cannot be placed, a text beyond the
        size limit, or a document that is given twice.
    """
    readers = {".csv": _csv_rows, ".jsonl": _json_rows, ".ndjson": _json_rows, ".parquet": _parquet_rows}
    if source.path.suffix not in readers:
        raise MarketDataError(f"{source.path}: dated text is read from .csv, .jsonl and .parquet.")
    if not source.path.is_file():
        raise MarketDataError(f"{source.path} is no file.")
    _check(source)
    try:
        yield from _batches(source, readers[source.path.suffix], facts)
    except (OSError, csv.Error) as error:
        raise MarketDataError(f"{source.path} cannot be read: {error}") from error


def _check(source: TextTableSource) -> None:
    if source.zone is not None:
        try:
            ZoneInfo(source.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise MarketDataError(f"Unknown time zone `{source.zone}`. Write for example America/New_York.") from error
    check_encoding(source.encoding)
    if "\n".encode(source.encoding.removesuffix("-sig")) != b"\n":
        raise MarketDataError(f"Files in `{source.encoding}` are not read. Convert {source.path} to utf-8.")
    if source.time_format is not None:
        check_format(source.time_format)


def _batches(source: TextTableSource, read: _Reader, facts: Counter[str]) -> Iterator[tuple[pd.DataFrame, float]]:
    with closing(read(source, {source.time, "has_time"}, Counter())) as first:
        days = only_midnights(source, (table for table, _, _ in first))
    doubles, left, accepted = Doubles(), Counter[str](), Counter[str]()
    for table, rows, share in read(source, source.used, left):
        times = times_of(source, table, rows, midnights_are_days=days)
        news = _news(source, table, rows, times, facts)
        kept = (news["text"] != "").to_numpy(dtype=bool)
        facts["rows"] += len(news)
        facts["empty"] += int((~kept).sum())
        facts["without_time"] += int((~times.has_time & kept).sum())
        facts["without_ticker"] += int(((news["ticker"] == "") & kept).sum())
        told = "all times are midnight: taken as days" if days else "exactly_midnight"
        facts[told] += int((times.midnight & (days | times.has_time) & kept).sum())
        accepted.update(given=int((~np.isnat(times.accepted)).sum()), midnight=int(times.accepted_midnight.sum()))
        news = news[kept]
        doubles.add(news, rows[kept])
        yield news, share
    facts.update({f"column left out: {name}": count for name, count in left.items()})
    _check_whole(source, facts, accepted)
    _refuse_double(source, read, doubles)


def _check_whole(source: TextTableSource, facts: Counter[str], accepted: Counter[str]) -> None:
    """What is wrong of a table as a whole."""
    if not facts["rows"]:
        raise MarketDataError(f"{source.path} has no rows. Give a table of at least one text.")
    if facts["rows"] == facts["empty"]:
        raise MarketDataError(
            f"{source.path} has no rows with text: {facts['rows']:,} are empty. Name the column of words with --text-column."
        )
    if accepted["given"] and accepted["given"] == accepted["midnight"]:
        raise MarketDataError(
            f"{source.path}: every `accepted_at` is exactly midnight, so they are days, and would count from their first "
            "minute. Give moments, or say that these days are the time with --time-column accepted_at."
        )


def _refuse_double(source: TextTableSource, read: _Reader, doubles: Doubles) -> None:
    """Refuse a document that is given twice; the file is read again for its name."""
    found = doubles.first()
    if found is None:
        return
    later, before, what = found
    for table, rows, _ in read(source, {source.doc_id}, Counter()):
        at = np.flatnonzero(rows == later)
        if len(at):
            name = strings(table[source.doc_id].iloc[at]).iloc[0][:60]
            source.refuse(
                later,
                f"document {name!r} stands in {source.place(before)} already, with another {what}. "
                "Give each its own doc_id, or none.",
            )


def _wanted(source: TextTableSource, there: list[str]) -> list[str]:
    """The columns to read, in the order of the file."""
    for column in source.needed:
        if column not in there:
            raise MarketDataError(
                f"{source.path} has no column `{column}` (it has: {', '.join(there) or 'none'}). Name the right one with "
                "--text-column, --time-column or --ticker-column; --market-wide if it names no tickers."
            )
    twice = sorted(column for column in source.used if there.count(column) > 1)
    if twice:
        raise MarketDataError(f"{source.path} has the column `{twice[0]}` twice. Rename one.")
    return [column for column in there if column in source.used]


def _leave(left: Counter[str], names: Collection[str], n_rows: int) -> None:
    """Count columns that are not read, by names that can be printed."""
    for name in names:
        plain = visible(name[:_LONGEST_NAME])
        left[plain if plain in left or len(left) < _MAX_NAMED else "others"] += n_rows


def _csv_rows(source: TextTableSource, wanted: Collection[str], left: Counter[str]) -> _Batches:
    size = max(source.path.stat().st_size, 1)
    with source.path.open("rb") as raw, _wide_cells():
        # A lone carriage return is a blank of some text; the csv module would take it for an end of line.
        lines = (line.replace("\r\n", "\n").replace("\r", " ") for line in _lines(source, raw))
        reader = csv.reader(lines, strict=True)
        header = _next(source, reader) or []
        columns = [column for column in _wanted(source, header) if column in wanted]
        others = [column for column in header if column not in source.used]
        place = [header.index(column) for column in columns]
        rows: list[list[str]] = []
        numbers: list[int] = []
        while (row := _next(source, reader)) is not None:
            if not row:
                continue
            if len(row) != len(header):
                source.refuse(reader.line_num, f"it has {len(row)} cells, the header has {len(header)}.")
            rows.append([row[at] for at in place])
            numbers.append(reader.line_num)
            if len(rows) == BATCH:
                _leave(left, others, len(rows))
                yield pd.DataFrame(rows, columns=columns, dtype=object), np.array(numbers), raw.tell() / size
                rows, numbers = [], []
        _leave(left, others, len(rows))
        yield pd.DataFrame(rows, columns=columns, dtype=object), np.array(numbers, dtype=np.int64), 1.0


def _lines(source: TextTableSource, raw: BinaryIO) -> Iterator[str]:
    """Lines of a file, of bounded length, without a byte order mark."""
    for number, line in enumerate(iter(lambda: raw.readline(_MAX_LINE), b""), start=1):
        if len(line) == _MAX_LINE:
            source.refuse(number, f"it is longer than {_MAX_LINE:,} bytes.")
        words = line.decode(source.encoding, errors="replace")
        yield words.lstrip("\ufeff") if number == 1 else words


def _next(source: TextTableSource, reader: Any) -> list[str] | None:
    try:
        row: list[str] | None = next(reader, None)
    except csv.Error as error:
        source.refuse(reader.line_num, f"{error}. Quote cells; one may hold {MAX_CHARACTERS:,} characters.")
    return row


@contextmanager
def _wide_cells() -> Iterator[None]:
    """The csv module's limit for a cell, for all its readers, while this one reads."""
    before = csv.field_size_limit(MAX_CHARACTERS)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _json_rows(source: TextTableSource, wanted: Collection[str], left: Counter[str]) -> _Batches:
    size = max(source.path.stat().st_size, 1)
    columns = [column for column in dict.fromkeys([*source.needed, source.source, source.doc_id, *KEPT]) if column in wanted]
    rows: list[list[object]] = []
    numbers: list[int] = []
    begun = False
    with source.path.open("rb") as raw:
        for number, words in enumerate(_lines(source, raw), start=1):
            record = _record(source, number, words)
            if record is None:
                continue
            if not begun:
                _wanted(source, list(record))
                begun = True
            missing = [column for column in source.needed if column not in record]
            if missing:
                source.refuse(number, f"it has no `{missing[0]}`.")
            rows.append([record.get(column, UNSTATED if column == "has_time" else "") for column in columns])
            numbers.append(number)
            _leave(left, record.keys() - source.used, 1)
            if len(rows) == BATCH:
                yield pd.DataFrame(rows, columns=columns, dtype=object), np.array(numbers), raw.tell() / size
                rows, numbers = [], []
    yield pd.DataFrame(rows, columns=columns, dtype=object), np.array(numbers, dtype=np.int64), 1.0


def _record(source: TextTableSource, number: int, words: str) -> dict[str, object] | None:
    if not words.strip():
        return None
    try:
        record = json.loads(words)
    except (ValueError, RecursionError) as error:
        source.refuse(number, f"it is no JSON ({error}).")
    if not isinstance(record, dict):
        source.refuse(number, "it is no JSON object with columns.")
    wrong = [key for key, value in record.items() if key in source.needed and isinstance(value, dict | list)]
    if wrong:
        source.refuse(number, f"`{wrong[0]}` is no single value.")
    return record


def _parquet_rows(source: TextTableSource, wanted: Collection[str], left: Counter[str]) -> _Batches:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(source.path) as file:
            there, total, done = list(file.schema_arrow.names), max(file.metadata.num_rows, 1), 0
            columns = [column for column in _wanted(source, there) if column in wanted]
            for batch in file.iter_batches(batch_size=BATCH, columns=columns):
                rows = np.arange(done + 1, done + 1 + batch.num_rows, dtype=np.int64)
                done += batch.num_rows
                _leave(left, [name for name in there if name not in source.used], batch.num_rows)
                yield batch.to_pandas(), rows, done / total
    except pa.ArrowException as error:
        raise MarketDataError(f"{source.path} cannot be read: {str(error).splitlines()[0]}") from error


def _news(source: TextTableSource, table: pd.DataFrame, rows: IntArray, times: Times, facts: Counter[str]) -> pd.DataFrame:
    """One batch as a table of news; what is empty has no text."""
    named = {"ticker": source.ticker, "text": source.text, "source": source.source, "doc_id": source.doc_id}
    named |= {"form_type": "form_type", "cik": "cik", "section": "section"}
    words = {name: _words(source, table, column, rows) for name, column in named.items()}
    told = words["text"]
    long = told.str.len().to_numpy(dtype=np.int64) > MAX_CHARACTERS
    if long.any():
        source.refuse(int(rows[long][0]), f"its text is longer than {MAX_CHARACTERS:,} characters.")
    replaced = np.array([column.str.contains("\ufffd", regex=False) for column in words.values()], dtype=bool)
    facts["with_replacement_characters"] += int(replaced.any(axis=0).sum())
    columns = {
        "published_at": pd.DatetimeIndex(times.published).tz_localize("UTC"),
        "accepted_at": pd.DatetimeIndex(times.accepted).tz_localize("UTC"),
        "has_time": times.has_time,
        **{name: column.to_numpy() for name, column in words.items()},
        "ticker": words["ticker"].str.strip().to_numpy(),
        "text": np.array(cleaned(told.tolist()), dtype=object),
        "n_copies": _copies(source, table, rows),
    }
    return pd.DataFrame(columns)


def _words(source: TextTableSource, table: pd.DataFrame, column: str | None, rows: IntArray) -> pd.Series:
    """A column as text; empty where it is missing."""
    if column is None or column not in table.columns:
        return pd.Series("", index=table.index, dtype=object)
    values = table[column].astype(object)
    bad = values.map(lambda value: isinstance(value, bytes | dict | list | tuple | np.ndarray)).to_numpy(dtype=bool)
    if bad.any():
        source.refuse(int(rows[bad][0]), f"`{column}` is no text.")
    return strings(values)


def _copies(source: TextTableSource, table: pd.DataFrame, rows: IntArray) -> IntArray:
    """Identical texts that a row stands for; one where nothing is stated, or 0, as in a market."""
    if "n_copies" not in table.columns:
        return np.ones(len(table), dtype=np.int64)
    given = strings(table["n_copies"]).str.strip()
    missing = given.isin(_NO_NUMBER)
    number = pd.to_numeric(given.where(~missing, "1"), errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    wrong = ~((number >= 0) & (number <= _MAX_COPIES) & (number == np.floor(number)))
    refuse_first(source, "n_copies", given, wrong, rows, f"is no count; write a whole number up to {_MAX_COPIES:,}")
    copies: IntArray = np.maximum(number, 1.0).astype(np.int64)
    return copies
