"""Exchange sessions: dates, opens and closes in UTC, early closes honoured.

The decision clock is the official close of a session (spec 0.2); the fill clock is the next session's open (or close).
Both ends of the calendar are always given, never "today", so that a market has the same sessions whenever it is read (R10).
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from glassbox_bt.errors import MarketDataError
from glassbox_bt.types import AnyArray, IntArray

__all__ = ["Sessions", "check_calendar", "first_session_after", "sessions", "time_zone"]

_PAD = np.timedelta64(15, "D")  # exchange_calendars refuses spans without a session, so it is asked for a little more


class Sessions(NamedTuple):
    """Sessions in order, each (n_sessions,)."""

    dates: AnyArray  # datetime64[D]
    opens_at: AnyArray  # datetime64[ns], UTC
    closes_at: AnyArray  # datetime64[ns], UTC


def check_calendar(name: str) -> None:
    """Refuse a calendar name that exchange_calendars does not know.

    Raises
    ------
    MarketDataError
        With the names of the most used calendars.
    """
    from exchange_calendars import get_calendar_names

    if name not in get_calendar_names():
        raise MarketDataError(
            f"Unknown calendar `{name}`. Use a name of exchange_calendars, for example XNYS (New York), XLON, XETR, XTKS or "
            "24/7."
        )


def sessions(name: str, first: np.datetime64 | str, last: np.datetime64 | str) -> Sessions:
    """Sessions of exchange ``name`` with ``first <= date <= last``.

    Parameters
    ----------
    name : str
        Calendar of exchange_calendars, for example ``"XNYS"``.
    first, last : date
        Both ends are included.

    Raises
    ------
    MarketDataError
        If the calendar is unknown, does not reach that far, or there is no session between.
    """
    low, high = (np.datetime64(day).astype("datetime64[D]") for day in (first, last))
    check_calendar(name)
    padded = _schedule(name, str(low - _PAD), str(high + _PAD))
    inside = (padded.dates >= low) & (padded.dates <= high)
    if not inside.any():
        raise MarketDataError(f"Calendar `{name}` has no session from {low} to {high}. Check the dates.")
    return Sessions(*(values[inside] for values in padded))


def time_zone(name: str) -> str:
    """Time zone of an exchange, for example ``"America/New_York"``."""
    check_calendar(name)
    return str(_exchange(name, "2000-01-01", "2001-01-01").tz)


def first_session_after(moments: AnyArray, cutoffs: AnyArray) -> IntArray:
    """The first session whose decision may use what was public at each moment: ``moment <= cutoff``.

    Parameters
    ----------
    moments : datetime64[ns] array
        UTC times of publication.
    cutoffs : datetime64[ns] array
        Ascending decision times (``decided_at``), (n_sessions,).

    Returns
    -------
    IntArray
        Session numbers; ``n_sessions`` where the data end before (and for NaT: known never).
    """
    place = np.searchsorted(cutoffs, moments, side="left").astype(np.int64)
    place[np.isnat(moments)] = len(cutoffs)
    return place


@lru_cache(maxsize=16)
def _schedule(name: str, first: str, last: str) -> Sessions:
    calendar = _exchange(name, first, last)
    dates = calendar.sessions.to_numpy().astype("datetime64[D]")
    opens, closes = (_utc(calendar.schedule[column]) for column in ("open", "close"))
    for values in (dates, opens, closes):
        values.flags.writeable = False
    return Sessions(dates, opens, closes)


@lru_cache(maxsize=16)
def _exchange(name: str, first: str, last: str) -> Any:
    from exchange_calendars import get_calendar
    from exchange_calendars.errors import CalendarError

    try:
        with warnings.catch_warnings():
            # exchange_calendars 4.13 reads zoned times in a way that pandas 4 will change.
            warnings.filterwarnings("ignore", "Series.values returning", DeprecationWarning)
            return get_calendar(name, start=first, end=last)
    except (CalendarError, ValueError) as error:
        raise MarketDataError(f"Calendar `{name}` does not cover {first} to {last}: {error}") from error


def _utc(column: pd.Series[Any]) -> AnyArray:
    moments = pd.DatetimeIndex(column).tz_convert("UTC").tz_localize(None)
    return moments.to_numpy().astype("datetime64[ns]")
