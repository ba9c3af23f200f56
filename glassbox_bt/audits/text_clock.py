"""When may a document be used first? The clock of spec 0.2.5, from its moment of publication and the calendar alone.

1. Cutoffs of the store are the exchange's official closes, early ones included.
2. A document may be used from the first session whose close is not before its publication. One of which only the day is
   known counts as published after the close of that day, so it waits for the first session of a later date.
3. A row that is used earlier is a look-ahead; one that is used later than its moment of knowledge asks for was lost
   (D-TXT-01, D-QUA-03). A market may delay its text further, and a plan may do so on purpose (R28): then only 2 is asked.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from glassbox_bt.audits.base import Check, not_asked
from glassbox_bt.audits.case import Case, Part
from glassbox_bt.audits.rows import Where
from glassbox_bt.audits.text_rows import row_keys, text_store
from glassbox_bt.market.calendar import sessions, time_zone
from glassbox_bt.types import AnyArray, BoolArray, IntArray

__all__ = ["clock_checks", "cutoff_check", "earliest_sessions"]

USED, LOST = "used too early", "used in its first session"


def cutoff_check(case: Case) -> Check:
    """The decision times of the store against the calendar of its exchange."""
    store = case.store
    closes = sessions(_calendar(case), store.dates[0], store.dates[-1]).closes_at
    wrong = closes != store.decided_at if len(closes) == store.n_sessions else np.ones(store.n_sessions, dtype=bool)
    where = Where("market", None, "", pd.DataFrame({"date": store.dates, "ticker": "the market"}))
    return where.check("cutoff is the official close", "decided_at", wrong, lambda i: f"{store.decided_at[i]} UTC")


def clock_checks(case: Case, part: Part) -> Iterator[Check]:
    """Every row of a table about documents, by its date and the moment of publication that it states."""
    table = part.read([*part.key, "published_at", "has_time"])
    where = Where(part.module, part.chunk, part.split, table)
    published, timed = _moments(table["published_at"]), table["has_time"].eq(True).to_numpy(dtype=bool)
    used, first = case.sessions(table["date"]), earliest_sessions(case, published, timed)
    told = lambda i: f"published {np.datetime_as_string(published[i], unit='m')} UTC"  # noqa: E731
    yield where.check(USED, "date", used < first, told)
    if case.plan.text != "as_it_came":
        yield not_asked(LOST, part.module, "date", "the plan moves or delays its text on purpose (R28)", part.chunk)
        return
    yield where.check(LOST, "date", used != np.maximum(first, _known_sessions(case, table)), told)


def earliest_sessions(case: Case, published: AnyArray, timed: BoolArray) -> IntArray:
    """The first session that may use what was published at each moment (UTC), or on its day where it has no time."""
    closes = case.store.decided_at
    first = np.searchsorted(closes, published, side="left").astype(np.int64)
    moments = pd.DatetimeIndex(published).tz_localize("UTC").tz_convert(time_zone(_calendar(case)))
    days = moments.tz_localize(None).to_numpy().astype("datetime64[D]")
    next_date = np.searchsorted(case.store.dates, days, side="right").astype(np.int64)
    return np.where(timed, first, np.maximum(first, next_date))


def _known_sessions(case: Case, table: pd.DataFrame) -> IntArray:
    """The first session whose close is not before the market says that each row's text was known; 0 for a strange row."""
    store = text_store(case)
    frame = store.text.frame
    keys = row_keys(frame.assign(date=store.dates[frame["session"].to_numpy()]))
    unique = ~keys.duplicated()
    place = keys[unique].get_indexer(row_keys(table))
    known = frame["known_at"].to_numpy()[unique]
    found = np.searchsorted(store.decided_at, known[np.where(place >= 0, place, 0)], side="left").astype(np.int64)
    return np.where(place >= 0, found, 0)


def _moments(values: pd.Series) -> AnyArray:
    return values.to_numpy().astype("datetime64[ns]")


def _calendar(case: Case) -> str:
    return str(case.store.facts["calendar"])
