"""When side tables were public, and their join as of each decision (R1).

Rules: ``close`` (official close of the row's date, or of the next session), ``+n sessions`` (official close of the n-th
session after the date), ``+n days`` (end of the n-th calendar day after, on the exchange's clock), ``HH:MM Zone`` (that
wall-clock time of the date), ``column`` (the table's own column ``known_at``). Text has its own clock (`market.text`).
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from glassbox_bt.errors import MarketDataError
from glassbox_bt.market.calendar import Sessions, first_session_after, time_zone
from glassbox_bt.market.sources.raw import MarketMeta, RawMarket
from glassbox_bt.types import AnyArray, FloatArray

__all__ = ["FORBIDDEN", "MAX_STALE_SESSIONS", "KnownAt", "macro_columns", "with_known_at"]

MAX_STALE_SESSIONS = 10  # a macro value older than this is missing (spec 0.2.4), counted from the session that first knew it

FORBIDDEN = ("USREC", "USRECM", "USRECP", "USRECD", "USRECDM", "USRECDP")
"""Recessions are dated by a committee many months later (D-MAC-02): in ``records`` for overlays, never a column."""

_NEVER = np.datetime64("NaT", "ns")


class KnownAt:
    """Turns dates into UTC times of knowledge by a market's rules."""

    def __init__(self, clock: Sessions, meta: MarketMeta) -> None:
        """``clock`` reaches back before the first bar, so that older values get their true times."""
        self.clock, self._meta = clock, meta

    @property
    def zone(self) -> str:
        """The exchange's clock, for example ``"America/New_York"``."""
        return time_zone(self._meta.calendar)

    def rule(self, table: str, series: str | None = None, default: str | None = None) -> str | None:
        """The rule of a table, or of one macro series."""
        rules = self._meta.known_at
        if series is not None and f"macro.{series}" in rules:
            return rules[f"macro.{series}"]
        return rules.get(table, default)

    def apply(self, days: AnyArray, rule: str) -> AnyArray:
        """UTC times (datetime64[ns]) for dates; NaT where the calendar of the data ends before, or starts after."""
        days = days.astype("datetime64[D]")
        if rule == "close":
            return self._closes(days, 0)
        if match := re.fullmatch(r"\+(\d+) sessions?", rule):
            return self._closes(days, int(match[1]))
        if match := re.fullmatch(r"\+(\d+) days?", rule):
            ends = (days + int(match[1]) + 1).astype("datetime64[ns]")
            return _utc(ends, self.zone, rule)
        if match := re.fullmatch(r"(\d\d):(\d\d) (\S+)", rule):
            minutes = np.timedelta64(int(match[1]) * 60 + int(match[2]), "m")
            return _utc(days.astype("datetime64[ns]") + minutes, match[3], rule)
        raise MarketDataError(
            f"Unknown known_at rule `{rule}`. Write close, +1 sessions, +7 days, 16:15 America/New_York or column."
        )

    def _closes(self, days: AnyArray, n_sessions: int) -> AnyArray:
        dates, closes = self.clock.dates, self.clock.closes_at
        if n_sessions == 0:
            place = np.searchsorted(dates, days, side="left")
        else:
            place = np.searchsorted(dates, days, side="right") + n_sessions - 1
        inside = (place < len(dates)) & (days >= dates[0])
        known_at = np.full(len(days), _NEVER)
        known_at[inside] = closes[place[inside]]
        return known_at


def with_known_at(table: pd.DataFrame, name: str, day: str, known_at: KnownAt, default: str | None = None) -> pd.DataFrame:
    """The table with a UTC column ``known_at`` (NaT = not known within the data), by its rule or its own column.

    Raises
    ------
    MarketDataError
        If there is neither a rule nor a column: a value of which nobody knows when it was known is refused (spec 0.2.2).
    """
    out = table.copy()
    column = out["known_at"].to_numpy() if "known_at" in out.columns else None
    stamps = np.full(len(out), _NEVER)
    groups = out.groupby("series", sort=False).indices if name == "macro" else {None: np.arange(len(out))}
    for series, rows in groups.items():
        rule = known_at.rule(name, None if series is None else str(series), "column" if column is not None else default)
        what = name if series is None else f"macro.{series}"
        if rule is None or (rule == "column" and column is None):
            raise MarketDataError(
                f"Nothing says when `{what}` was known. "
                "Add a column `known_at` (UTC), or a rule under [known_at] in market.toml."
            )
        days = out[day].to_numpy()[rows]
        stamps[rows] = column[rows] if rule == "column" and column is not None else known_at.apply(days, rule)
    return out.assign(known_at=stamps)


def macro_columns(market: RawMarket, clock: Sessions, known_at: KnownAt) -> dict[str, AnyArray]:
    """``macro.<SERIES>`` (n_sessions,): the latest value known at each decision, NaN after 10 sessions without a newer."""
    if market.macro is None:
        return {}
    rows = with_known_at(market.macro, "macro", "date", known_at)
    repeated = rows.duplicated(["series", "date", "known_at"]).to_numpy()
    if repeated.any():
        first = rows[repeated].iloc[0]
        raise MarketDataError(f"`macro` gives {first['series']} of {first['date']:%Y-%m-%d} twice. Keep one value.")
    closes = known_at.clock.closes_at
    n_before = len(closes) - len(clock.dates)
    return {
        f"macro.{series}": _as_of(group, closes)[n_before:]
        for series, group in rows.groupby("series", sort=True)
        if series not in FORBIDDEN
    }


def _as_of(rows: pd.DataFrame, cutoffs: AnyArray) -> FloatArray:
    """Value at each of ``cutoffs``, which reach back before the first bar, so that an old value has its true age."""
    rows = rows[rows["known_at"].notna()].sort_values(["known_at", "date"], kind="stable")
    days, known = rows["date"].to_numpy(), rows["known_at"].to_numpy()
    newest = days >= np.maximum.accumulate(days)  # a late revision of an old day does not replace a newer day
    values, known = rows["value"].to_numpy()[newest], known[newest]
    joined = np.full(len(cutoffs), np.nan)
    place = np.searchsorted(known, cutoffs, side="right") - 1
    first_use = first_session_after(known, cutoffs)
    here = np.flatnonzero(place >= 0)
    age = here - first_use[place[here]]
    fresh = age <= MAX_STALE_SESSIONS
    joined[here[fresh]] = values[place[here[fresh]]]
    return joined


def _utc(wall_clock: AnyArray, zone: str, rule: str) -> AnyArray:
    try:
        stamps = pd.DatetimeIndex(wall_clock).tz_localize(zone, ambiguous=False, nonexistent="shift_forward")
    except (KeyError, ValueError) as error:
        raise MarketDataError(
            f"known_at rule `{rule}`: unknown time zone `{zone}`. Write for example America/New_York."
        ) from error
    return stamps.tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[ns]")
