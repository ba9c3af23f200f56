"""Whether a module's recorded tables keep the promises of its layer (`module NAME validate`).

Checked are: one row per member and day, keyed and sorted; finite where known, silent with a reason where not; legal ranges;
an ``xai_summary`` in every row; no column named like a label; and no answer from a fit that knew its day (R3). A module that
answers documents has one row per chunk of the market's text and name instead; the audit says whether all are there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from glassbox_bt.audits.ranges import ABOVE, BELOW, range_of
from glassbox_bt.audits.text_rows import COPIED, row_keys
from glassbox_bt.market.documents import MARKET_WIDE
from glassbox_bt.market.store import MarketStore
from glassbox_bt.types import AnyArray, IntArray
from glassbox_bt.walkforward.tables import FORBIDDEN

__all__ = ["answered", "table_faults", "through_faults"]

OF_TEXT = ("doc_id", "chunk_id", *COPIED)
NOT_OUTPUTS = ("ticker", "date", "known", "reason", "xai_summary")


def answered(table: pd.DataFrame, store: MarketStore, days: IntArray) -> IntArray:
    """The train days that a learned module answered: whole blocks, the first ones missing for want of a fit (R4)."""
    return days[np.isin(store.dates[days], table["date"].to_numpy().astype("datetime64[D]"))]


def table_faults(table: pd.DataFrame, store: MarketStore, days: IntArray) -> Iterator[str]:
    """What is wrong with a module's table of the sessions ``days``, one sentence each."""
    for column in table.columns:
        if FORBIDDEN.match(str(column)):
            yield f"column `{column}` is named like a label"
    of_text = set(OF_TEXT) <= set(table.columns)
    yield from _text_faults(table, store, days) if of_text else _key_faults(table, store, days)
    empty = ~(table["xai_summary"].fillna("").astype(str).str.len() > 0)
    if empty.any():
        yield f"{int(empty.sum())} rows have no xai_summary"
    if ((table["reason"] == "known") != table["known"]).any():
        yield "`known` and `reason` disagree"
    known = table["known"].to_numpy(dtype=bool)
    for column in table.columns:
        if column not in NOT_OUTPUTS and not (of_text and column in OF_TEXT):
            yield from _value_faults(str(column), table[column], known)


def through_faults(
    run: Path, record: Mapping[str, Any], store: MarketStore, in_sample: tuple[str, ...] = ()
) -> Iterator[str]:
    """Answers of one module in one chunk, by the manifest, that come from a fit which knew their day.

    ``in_sample`` names the splits on which a self-supervised encoder may (R3).
    """
    for part in (one for one in record["parts"] if one["split"] not in in_sample):
        place = run / "artefacts" / "answers" / part["digest"]
        head = json.loads((place / "part.json").read_text(encoding="utf-8"))
        days: AnyArray = np.load(place / "days.npy")
        late = days[days <= int(head["fitted_through"])]
        if len(late):
            date, through = store.dates[late[0]], store.dates[head["fitted_through"]]
            yield f"{len(late)} days of {part['split']} from {date} on are answered by a fit that knows {through}"


def _key_faults(table: pd.DataFrame, store: MarketStore, days: IntArray) -> Iterator[str]:
    day, asset = np.nonzero(store.member[days])
    expected = pd.MultiIndex.from_arrays([store.dates[days][day].astype("datetime64[ns]"), np.array(store.tickers)[asset]])
    got = pd.MultiIndex.from_arrays([table["date"].to_numpy().astype("datetime64[ns]"), table["ticker"].astype(str)])
    if got.has_duplicates:
        yield f"{int(got.duplicated().sum())} rows stand twice for one (ticker, date)"
    if not got.is_monotonic_increasing:
        yield "rows are not sorted by date and ticker"
    for what, extra in (
        ("members have no row", expected.difference(got)),
        ("rows are no members", got.difference(expected)),
    ):
        if len(extra):
            yield f"{len(extra)} {what}, first {extra[0][1]} on {extra[0][0]:%Y-%m-%d}"


def _text_faults(table: pd.DataFrame, store: MarketStore, days: IntArray) -> Iterator[str]:
    """One row for each chunk and name, of text that the market has; every chunk about the market itself is there."""
    frame = store.text.frame
    frame = frame[np.isin(frame["session"].to_numpy(), days)]
    frame = frame.assign(date=store.dates[frame["session"].to_numpy()].astype("datetime64[ns]"))
    got, expected = row_keys(table), row_keys(frame)
    wide = expected[(frame["asset"] == MARKET_WIDE).to_numpy()]
    if got.has_duplicates:
        yield f"{int(got.duplicated().sum())} rows stand twice for one chunk and name"
    if not table["date"].is_monotonic_increasing:
        yield "rows are not sorted by date"
    for what, extra in (
        ("rows are no chunk of the market", got.difference(expected)),
        ("chunks about the market have no row", wide.difference(got)),
    ):
        if len(extra):
            yield f"{len(extra)} {what}, first {extra[0][3]} on {extra[0][0]:%Y-%m-%d}"


def _value_faults(column: str, values: pd.Series, known: AnyArray) -> Iterator[str]:
    if not pd.api.types.is_numeric_dtype(values):
        if values[known].isna().any():
            yield f"`{column}` is missing in {int(values[known].isna().sum())} known rows"
        return
    numbers = values.to_numpy(dtype=np.float64)
    for what, wrong in (
        ("not finite in known rows", known & ~np.isfinite(numbers)),
        ("given in unknown rows", ~known & ~np.isnan(numbers)),
    ):
        if wrong.any():
            yield f"`{column}` is {what}: {int(wrong.sum())}"
    low, high = range_of(column) or (-np.inf, np.inf)
    outside = known & ((numbers < low - BELOW) | (numbers > high + ABOVE))
    if outside.any():
        yield f"`{column}` leaves [{low:g}, {high:g}] in {int(outside.sum())} rows, first {numbers[outside][0]:g}"
