"""Dated text of somebody else's table (CSV, JSONL, Parquet), read in batches; nothing in it is trusted.

Texts are cleaned (`glassbox_bt.market.text_cleaning`), and what is empty then is counted. Bytes that are not of the stated
encoding become U+FFFD and are counted. A time without a zone is refused unless the zone is stated; a day without a time
stays a day. Where the clock was put back and a time came twice, the later one is meant: a text is never dated too early.

Everything else that is wrong is refused, with the file and the row.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd

from glassbox_bt.errors import MarketDataError
from glassbox_bt.market.text_cleaning import MAX_CHARACTERS, cleaned
from glassbox_bt.types import AnyArray, BoolArray, IntArray

__all__ = ["TextTableSource", "text_batches"]

BATCH = 20_000  # rows
_MAX_LINE = 4 * MAX_CHARACTERS  # bytes
_KEPT = ("form_type", "cik", "n_copies")  # further columns of `news`, under their own names
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_ZONED = re.compile(r".*\d(?:Z|[+-]\d\d:?\d\d)")
_CLOCKS = ("%H", "%I", "%X", "%c", "%s", "%T", "%R")  # what makes a format one of times, not of days
_YEARS = (1900, 2200)

_Batch = tuple[pd.DataFrame, IntArray, float]  # columns as they stand, rows or lines of the file from 1, share read


@dataclass(frozen=True, slots=True)
class TextTableSource:
    """A table of text and what its columns mean.

    Parameters
    ----------
    path : Path
        ``.csv``, ``.jsonl`` or ``.parquet``.
    text, time : str
        Columns of the text and of its time of publication.
    ticker : str or None
        Column of the name it speaks of; empty cells are about the market. None: all of it is.
    source, doc_id : str
        Columns that are used where they are there.
    zone : str or None
        Time zone of times that carry none.
    time_format : str or None
        Format of times as `datetime.strptime` reads it; by default ISO 8601.
    encoding : str, default="utf-8"
        Of CSV and JSONL.
    """

    path: Path
    text: str = "text"
    time: str = "published_at"
    ticker: str | None = "ticker"
    source: str = "source"
    doc_id: str = "doc_id"
    zone: str | None = None
    time_format: str | None = None
    encoding: str = "utf-8"

    @property
    def needed(self) -> tuple[str, ...]:
        """Columns that must be there."""
        return tuple(column for column in (self.text, self.time, self.ticker) if column is not None)

    def refuse(self, row: int, problem: str) -> NoReturn:
        """Say what is wrong where."""
        raise MarketDataError(f"{self.path} {'row' if self.path.suffix == '.parquet' else 'line'} {row}: {problem}")


def text_batches(source: TextTableSource, facts: Counter[str]) -> Iterator[tuple[pd.DataFrame, float]]:
    """Batches of news and the share of the file that they end at; counts go to ``facts``.

    Raises
    ------
    MarketDataError
        For a file that cannot be read, a missing column, a time that cannot be placed, or a text beyond the size limit.
    """
    readers = {".csv": _csv_rows, ".jsonl": _json_rows, ".ndjson": _json_rows, ".parquet": _parquet_rows}
    if source.path.suffix not in readers:
        raise MarketDataError(f"{source.path}: dated text is read from .csv, .jsonl and .parquet.")
    if not source.path.is_file():
        raise MarketDataError(f"{source.path} is no file.")
    _check(source)
    try:
        for table, rows, share in readers[source.path.suffix](source):
            yield _news(source, table, rows, facts), share
    except (OSError, csv.Error) as error:
        raise MarketDataError(f"{source.path} cannot be read: {error}") from error


def _check(source: TextTableSource) -> None:
    if source.zone is not None:
        try:
            ZoneInfo(source.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise MarketDataError(f"Unknown time zone `{source.zone}`. Write for example America/New_York.") from error
    try:
        lines = "\n".encode(source.encoding.removesuffix("-sig")) == b"\n"
    except LookupError as error:
        raise MarketDataError(f"Unknown encoding `{source.encoding}`. Write for example utf-8 or cp1252.") from error
    if not lines:
        raise MarketDataError(f"Files in `{source.encoding}` are not read. Convert {source.path} to utf-8.")


def _wanted(source: TextTableSource, there: list[str]) -> list[str]:
    """The columns to read, in the order of the file."""
    for column in source.needed:
        if column not in there:
            raise MarketDataError(
                f"{source.path} has no column `{column}` (it has: {', '.join(there) or 'none'}). Name the right one with "
                "--text-column, --time-column or --ticker-column; --market-wide if it names no tickers."
            )
    used = {*source.needed, source.source, source.doc_id, *_KEPT}
    twice = sorted(column for column in used if there.count(column) > 1)
    if twice:
        raise MarketDataError(f"{source.path} has the column `{twice[0]}` twice. Rename one.")
    return [column for column in there if column in used]


def _csv_rows(source: TextTableSource) -> Iterator[_Batch]:
    size = max(source.path.stat().st_size, 1)
    with source.path.open("rb") as raw, _wide_cells():
        # A lone carriage return is a blank of some text; the csv module would take it for an end of line.
        lines = (line.replace("\r\n", "\n").replace("\r", " ") for line in _lines(source, raw))
        reader = csv.reader(lines, strict=True)
        header = _next(source, reader) or []
        columns = _wanted(source, header)
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
                yield pd.DataFrame(rows, columns=columns, dtype=object), np.array(numbers), raw.tell() / size
                rows, numbers = [], []
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


def _json_rows(source: TextTableSource) -> Iterator[_Batch]:
    size = max(source.path.stat().st_size, 1)
    columns: list[str] = []
    rows: list[list[object]] = []
    numbers: list[int] = []
    with source.path.open("rb") as raw:
        for number, words in enumerate(_lines(source, raw), start=1):
            record = _record(source, number, words)
            if record is None:
                continue
            columns = columns or list(dict.fromkeys([*_wanted(source, list(record)), source.source, source.doc_id, *_KEPT]))
            missing = [column for column in source.needed if column not in record]
            if missing:
                source.refuse(number, f"it has no `{missing[0]}`.")
            rows.append([record.get(column, "") for column in columns])
            numbers.append(number)
            if len(rows) == BATCH:
                yield pd.DataFrame(rows, columns=columns, dtype=object), np.array(numbers), raw.tell() / size
                rows, numbers = [], []
    yield pd.DataFrame(rows, columns=columns or source.needed, dtype=object), np.array(numbers, dtype=np.int64), 1.0


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


def _parquet_rows(source: TextTableSource) -> Iterator[_Batch]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(source.path) as file:
            columns, total, done = _wanted(source, list(file.schema_arrow.names)), max(file.metadata.num_rows, 1), 0
            for batch in file.iter_batches(batch_size=BATCH, columns=columns):
                rows = np.arange(done + 1, done + 1 + batch.num_rows, dtype=np.int64)
                done += batch.num_rows
                yield batch.to_pandas(), rows, done / total
    except pa.ArrowException as error:
        raise MarketDataError(f"{source.path} cannot be read: {str(error).splitlines()[0]}") from error


def _news(source: TextTableSource, table: pd.DataFrame, rows: IntArray, facts: Counter[str]) -> pd.DataFrame:
    """One batch as a table of news, without what is empty."""
    published, has_time = _times(source, table[source.time], rows)
    told = _words(source, table, source.text, rows)
    long = told.str.len().to_numpy(dtype=np.int64) > MAX_CHARACTERS
    if long.any():
        source.refuse(int(rows[long][0]), f"its text is longer than {MAX_CHARACTERS:,} characters.")
    columns = {
        "published_at": pd.DatetimeIndex(published).tz_localize("UTC"),
        "has_time": has_time,
        "ticker": _words(source, table, source.ticker, rows).str.strip().to_numpy(),
        "text": np.array(cleaned(told.tolist()), dtype=object),
        "source": _words(source, table, source.source, rows).to_numpy(),
        "doc_id": _words(source, table, source.doc_id, rows).to_numpy(),
        "form_type": _words(source, table, "form_type", rows).to_numpy(),
        "cik": _words(source, table, "cik", rows).to_numpy(),
        "n_copies": _copies(table),
    }
    news = pd.DataFrame(columns)
    kept = news[news["text"] != ""]
    facts["rows"] += len(news)
    facts["empty"] += len(news) - len(kept)
    facts["without_time"] += int((~kept["has_time"]).sum())
    facts["without_ticker"] += int((kept["ticker"] == "").sum())
    facts["with_replacement_characters"] += int(told.str.contains("\ufffd", regex=False).sum())
    return kept


def _words(source: TextTableSource, table: pd.DataFrame, column: str | None, rows: IntArray) -> pd.Series:
    """A column as text; empty where it is missing."""
    if column is None or column not in table.columns:
        return pd.Series("", index=table.index, dtype=object)
    values = table[column].astype(object)
    bad = values.map(lambda value: isinstance(value, bytes | dict | list | tuple | np.ndarray)).to_numpy(dtype=bool)
    if bad.any():
        source.refuse(int(rows[bad][0]), f"`{column}` is no text.")
    words: pd.Series = values.where(values.notna(), "").astype(str).astype(object)
    return words


def _copies(table: pd.DataFrame) -> IntArray:
    if "n_copies" not in table.columns:
        return np.ones(len(table), dtype=np.int64)
    given = pd.to_numeric(table["n_copies"], errors="coerce").fillna(1.0).clip(lower=1.0)
    return given.to_numpy(dtype=np.int64)


def _times(source: TextTableSource, values: pd.Series, rows: IntArray) -> tuple[AnyArray, BoolArray]:
    """UTC moments, datetime64[ns], and where they are more than a day."""
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        return _bounded(source, values.dt.tz_convert("UTC").dt.tz_localize(None), rows), np.ones(len(values), dtype=bool)
    if pd.api.types.is_datetime64_any_dtype(values):
        _need_zone(source, values.astype(str), np.ones(len(values), dtype=bool), rows)
        return _bounded(source, _zoned(source, values), rows), np.ones(len(values), dtype=bool)
    words = values.astype(object).where(values.notna(), "").astype(str).str.strip()
    if source.time_format is not None:
        return _by_format(source, words, rows, source.time_format)
    days = words.str.fullmatch(_DAY).to_numpy(dtype=bool)
    zoned = words.str.fullmatch(_ZONED).to_numpy(dtype=bool)
    parsed = pd.to_datetime(words, utc=True, format="ISO8601", errors="coerce").dt.tz_localize(None)
    _refuse_times(source, words, parsed.isna().to_numpy(), rows, "is no time; write 2015-03-02T17:30:00-05:00")
    naive = ~days & ~zoned
    if naive.any():
        _need_zone(source, words, naive, rows)
        parsed = parsed.where(~naive, _zoned(source, parsed))
    return _bounded(source, parsed, rows), ~days


def _by_format(source: TextTableSource, words: pd.Series, rows: IntArray, form: str) -> tuple[AnyArray, BoolArray]:
    zoned, timed = "%z" in form, any(part in form for part in _CLOCKS)
    parsed = pd.to_datetime(words, format=form, errors="coerce", utc=zoned)
    _refuse_times(source, words, parsed.isna().to_numpy(), rows, f"does not read as {form}")
    if zoned:
        parsed = parsed.dt.tz_localize(None)
    elif timed:
        _need_zone(source, words, np.ones(len(words), dtype=bool), rows)
        parsed = _zoned(source, parsed)
    return _bounded(source, parsed, rows), np.full(len(words), timed)


def _zoned(source: TextTableSource, naive: pd.Series) -> pd.Series:
    """UTC of wall-clock times; a time that came twice is the later one, one that never was the first after it."""
    if source.zone is None:
        return naive
    later = np.zeros(len(naive), dtype=bool)
    local: pd.Series = naive.dt.tz_localize(source.zone, ambiguous=later, nonexistent="shift_forward")
    moments: pd.Series = local.dt.tz_convert("UTC").dt.tz_localize(None)
    return moments


def _need_zone(source: TextTableSource, words: pd.Series, naive: BoolArray, rows: IntArray) -> None:
    if source.zone is None:
        _refuse_times(source, words, naive, rows, "has no time zone; state it, for example --time-zone America/New_York")


def _bounded(source: TextTableSource, stamps: pd.Series, rows: IntArray) -> AnyArray:
    year = stamps.dt.year.to_numpy()
    outside = ~((year >= _YEARS[0]) & (year <= _YEARS[1]))
    _refuse_times(source, stamps.astype(str), outside, rows, f"is not between {_YEARS[0]} and {_YEARS[1]}")
    moments: AnyArray = stamps.to_numpy().astype("datetime64[ns]")
    return moments


def _refuse_times(source: TextTableSource, words: pd.Series, wrong: BoolArray, rows: IntArray, problem: str) -> None:
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        source.refuse(int(rows[at]), f"`{source.time}` {words.iloc[at][:60]!r} {problem}.")
