"""When the rows of somebody else's table were published: moments, or days.

1. A time with its zone is that moment. One without is refused unless the zone is stated. Where the clock was put back and a
   time came twice, the later one is meant: a text is never dated too early.
2. A day without a clock stays a day, the one that is written. What names neither (``2015-03``) is refused, though pandas
   reads it.
3. pandas and spreadsheets store days as midnights. Where every clock of a table is exactly midnight, as it is written, they
   are days; where only some are, they are moments, and counted.
4. ``has_time`` says of a row which it is, so that 3 does not ask. False: the day of its UTC date.
5. ``accepted_at`` is a moment or empty, as a market reads it. Where every one is midnight it is refused: it would go before
   ``published_at``, a day early.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from glassbox_bt.errors import MarketDataError
from glassbox_bt.market.sources.text_source import UNSTATED, TextTableSource, refuse_first, strings
from glassbox_bt.types import AnyArray, BoolArray, IntArray

__all__ = ["Times", "check_format", "only_midnights", "times_of"]

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8}")
_TIME = re.compile(
    r"[0-9./-]+(?P<clock>(?:T[0-9]+(?::[0-9]+)*| [0-9]+(?::[0-9]+)+)(?:\.[0-9]*)?)"  # a clock has a colon or a T before it
    r"(?P<zone> *(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?))?"
)
_CLOCKS, _ZONES, _DAYS, _YEAR = map(frozenset, ("HIXc", "zZ", "djxcUWV", "YyGxc"))  # directives of formats
_YEARS = (1900, 2200)
_FLAGS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}  # as a market reads them


@dataclass(frozen=True, slots=True)
class Times:
    """When each row of a batch was public, (n_rows,)."""

    published: AnyArray  # UTC, datetime64[ns]; midnight of the day where only that is known
    has_time: BoolArray
    accepted: AnyArray  # UTC, datetime64[ns]; NaT = not stated
    midnight: BoolArray  # the clock of `published`, as written, is midnight, and no `has_time` says what that means
    accepted_midnight: BoolArray  # the same of `accepted`


@dataclass(frozen=True, slots=True)
class _Read:
    """One column of times as they are written, (n_rows,)."""

    moment: pd.Series  # UTC where it has a zone, else the wall clock; NaT where it is none
    wall: pd.Series  # the clock as it is written, at least where that is midnight or there is no zone
    timed: BoolArray  # it has a clock
    zoned: BoolArray

    @property
    def midnight(self) -> BoolArray:
        here: BoolArray = self.timed & (self.wall == self.wall.dt.normalize()).to_numpy(dtype=bool)
        return here


def check_format(form: str) -> None:
    """Refuse a ``--time-format`` that names no day."""
    named = _directives(form)
    if not (named & _DAYS and named & _YEAR):
        raise MarketDataError(f"`--time-format` {form!r} names no day. Write for example %d/%m/%Y %H:%M.")


def only_midnights(source: TextTableSource, tables: Iterable[pd.DataFrame]) -> bool:
    """Whether there are clocks, of rows without ``has_time``, and each is midnight; reads until one is not."""
    some = False
    for table in tables:
        asked = _unstated(table)
        read = (
            _by_iso(table[source.time]) if source.time_format is None else _by_format(table[source.time], source.time_format)
        )
        clocks = asked & read.timed & read.moment.notna().to_numpy()
        if (clocks & ~read.midnight).any():
            return False
        some |= bool(clocks.any())
    return some


def times_of(source: TextTableSource, table: pd.DataFrame, rows: IntArray, *, midnights_are_days: bool) -> Times:
    """The times of one batch.

    Raises
    ------
    MarketDataError
        For the first row whose time cannot be placed.
    """
    values, form = table[source.time], source.time_format
    read = _by_iso(values) if form is None else _by_format(values, form)
    remedy = "write 2015-03-02T17:30:00-05:00 or 2015-03-02, or state --time-format"
    wrong = f"is no time, and no day; {remedy}" if form is None else f"does not read as {form}"
    refuse_first(source, source.time, values, read.moment.isna().to_numpy(), rows, wrong)
    midnight = read.midnight & _unstated(table)
    days = midnight & midnights_are_days
    has_time = read.timed & ~days & _flags(source, table, rows)
    _check_years(source, source.time, read.moment, rows)
    moment = _placed(source, source.time, read, values, (has_time, rows)).where(~days, read.wall)
    published: AnyArray = moment.to_numpy().astype("datetime64[ns]")
    published[~has_time] = published[~has_time].astype("datetime64[D]")
    accepted, accepted_midnight = _accepted(source, table, rows)
    return Times(published, has_time, accepted, midnight, accepted_midnight & _unstated(table))


def _accepted(source: TextTableSource, table: pd.DataFrame, rows: IntArray) -> tuple[AnyArray, BoolArray]:
    """When a regulator accepted each row, and where that is midnight."""
    name = "accepted_at"
    if name not in table.columns or name == source.time:
        return np.full(len(table), "NaT", dtype="datetime64[ns]"), np.zeros(len(table), dtype=bool)
    values = table[name]
    read, given = _by_iso(values), (strings(values).str.strip() != "").to_numpy(dtype=bool)
    wrong = given & (~read.timed | read.moment.isna().to_numpy())
    refuse_first(source, name, values, wrong, rows, "is no moment; write 2020-01-31T16:30:00-05:00, or leave the cell empty")
    _check_years(source, name, read.moment[given], rows[given])
    moment = _placed(source, name, read, values, (given, rows))
    return moment.to_numpy().astype("datetime64[ns]"), read.midnight


def _unstated(table: pd.DataFrame) -> BoolArray:
    """Rows of which no ``has_time`` says whether they are days."""
    if "has_time" not in table.columns:
        return np.ones(len(table), dtype=bool)
    return np.array([value is UNSTATED for value in table["has_time"]], dtype=bool)


def _flags(source: TextTableSource, table: pd.DataFrame, rows: IntArray) -> BoolArray:
    """``has_time`` where it is stated, else True."""
    unstated = _unstated(table)
    if unstated.all():
        return unstated
    flags = strings(table["has_time"]).str.lower().map(_FLAGS)
    wrong = ~unstated & flags.isna().to_numpy()
    refuse_first(source, "has_time", table["has_time"], wrong, rows, "is neither True nor False")
    stated: BoolArray = (flags == True).to_numpy(dtype=bool)  # noqa: E712 - of objects, some of them missing
    return unstated | stated


def _by_iso(values: pd.Series) -> _Read:
    every, none = np.ones(len(values), dtype=bool), np.zeros(len(values), dtype=bool)
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        moment = values.dt.tz_convert("UTC").dt.tz_localize(None)
        return _Read(moment, values.where(_sane(moment)).dt.tz_localize(None), every, every)
    if pd.api.types.is_datetime64_any_dtype(values):
        return _Read(values, values.where(_sane(values)), every, none)
    words = strings(values).str.strip()
    days = np.array([_DAY.fullmatch(word) is not None for word in words], dtype=bool)
    times = [_TIME.fullmatch(word) for word in words]
    moment = pd.to_datetime(words, utc=True, format="ISO8601", errors="coerce").dt.tz_localize(None)
    moment = moment.where(days | np.array([time is not None for time in times], dtype=bool))
    zoned = np.array([time is not None and time["zone"] is not None for time in times], dtype=bool)
    turned = zoned & np.array([time is not None and not re.search("[1-9]", time["clock"]) for time in times], dtype=bool)
    bare = pd.Series(
        [time[0][: time.start("zone")] if time and at else None for time, at in zip(times, turned, strict=True)]
    )
    written = pd.to_datetime(bare.set_axis(values.index), format="ISO8601", errors="coerce").astype(moment.dtype)
    return _Read(moment, moment.where(~zoned).where(~turned, written), ~days, zoned)


def _by_format(values: pd.Series, form: str) -> _Read:
    words = strings(values).str.strip()
    zoned, timed = (bool(_directives(form) & kind) for kind in (_ZONES, _CLOCKS))
    try:
        moment = pd.to_datetime(words, format=form, errors="coerce", utc=zoned)
    except ValueError as error:
        raise MarketDataError(f"`--time-format` {form!r}: {error}. Write for example %d/%m/%Y %H:%M.") from error
    every = np.ones(len(values), dtype=bool)
    if not zoned:
        return _Read(moment, moment, every & timed, ~every)
    moment = moment.dt.tz_localize(None)
    # Midnight of another zone is another hour in UTC, a quarter of an hour at least; a day is the one that is written.
    asked = moment.notna() & ((moment == moment.dt.floor("15min")) | (not timed))
    written = {word: pd.to_datetime(word, format=form).tz_localize(None) for word in words[asked].unique()}
    wall = words.where(asked).map(written).astype(moment.dtype)
    return _Read(moment if timed else wall, wall, every & timed, every)


def _directives(form: str) -> frozenset[str]:
    return frozenset(re.findall("%(.)", form))


def _placed(
    source: TextTableSource, column: str, read: _Read, values: pd.Series, wanted: tuple[BoolArray, IntArray]
) -> pd.Series:
    """UTC of what has a clock; a time that came twice is the later one, one that never was the first after it."""
    clocks, rows = wanted
    naive = clocks & ~read.zoned & read.moment.notna().to_numpy()
    if not naive.any():
        return read.moment
    if source.zone is None:
        day = "; or, if it is only a day, write 2019-11-05" if column == source.time else ""
        remedy = f"state it, for example --time-zone America/New_York{day}"
        refuse_first(source, column, values, naive, rows, f"has no time zone; {remedy}")
    later = np.zeros(len(values), dtype=bool)
    local: pd.Series = read.moment.dt.tz_localize(source.zone, ambiguous=later, nonexistent="shift_forward")
    moments: pd.Series = read.moment.where(~naive, local.dt.tz_convert("UTC").dt.tz_localize(None))
    return moments


def _check_years(source: TextTableSource, column: str, stamps: pd.Series, rows: IntArray) -> None:
    refuse_first(source, column, stamps, ~_sane(stamps), rows, f"is not between {_YEARS[0]} and {_YEARS[1]}")


def _sane(stamps: pd.Series) -> BoolArray:
    """Neither missing nor of a year that some arithmetic of pandas would overflow in."""
    sane: BoolArray = stamps.dt.year.between(*_YEARS).to_numpy(dtype=bool)
    return sane
