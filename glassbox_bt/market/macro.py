"""The macro state of each session: what the regime model and the crisis rules read (spec 3).

1. `side_tables.macro_columns` joins each series as of every decision: by its release, carried forward for at most ten
   sessions, never backward (D-MAC-03, D-MAC-05). `refuse_early_rules` refuses a market that lets a series be known before
   it is published (`RELEASES`, D-MAC-01), and `FORBIDDEN` series never become a column (D-MAC-02).
2. `macro_features` derives spreads, trailing z-scores and changes from those columns. What a market lacks is missing on all
   sessions; the columns are always there, so that a module can declare them.
3. `covered` says which columns a fit may use: those known on 80 % of its own train days (D-MAC-04).

A row uses rows up to itself only, and missing stays missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numba import njit

from glassbox_bt.errors import MarketDataError
from glassbox_bt.market.calendar import first_session_after
from glassbox_bt.market.side_tables import FORBIDDEN, KnownAt
from glassbox_bt.types import AnyArray, BoolArray, FloatArray

__all__ = ["FORBIDDEN", "MACRO_FEATURES", "MIN_COVERAGE", "RELEASES", "covered", "macro_features", "refuse_early_rules"]

MIN_COVERAGE = 0.8  # of the train days on which a column must be known (spec 3)
_CHANGE = 20  # sessions
_MIN_SHARE = 0.7  # of a trailing window that must be known

_NEXT_SESSION = (  # published on the next business day, or the same day after the close (VIX: 16:15)
    *("DGS1MO", "DGS3MO", "DGS6MO", "DGS1", "DGS2", "DGS3", "DGS5", "DGS7", "DGS10", "DGS20", "DGS30"),
    *("DTB3", "DTB6", "DTB1YR", "T10Y2Y", "T10Y3M", "T10YFF", "T1YFF", "T3MFF", "T5YFF", "T6MFF", "T10YIE"),
    *("AAA10Y", "AAAFF", "BAA10Y", "BAAFF", "DAAA", "DBAA", "DFF", "DPRIME", "TEDRATE", "CPFF"),
    *("DCPF1M", "DCPF2M", "DCPF3M", "DCPN2M", "DCPN30", "DCPN3M", "IUDSOIA", "ECBDFR", "ECBMLFR", "ECBMRRFR"),
    *("VIXCLS", "VXDCLS", "VIX_OPEN", "VIX_HIGH", "VIX_LOW", "VIX_CLOSE", "USEPUINDXD", "WLEMUINDXD", "INFECTDISEMVTRACKD"),
    *("NASDAQCOM", "NASDAQ100", "MORTGAGE30US"),
)
_NEXT_WEEK = (  # H.10 currencies and EIA energy prices come out once a week, jobless claims on the Thursday after
    *("DTWEXBGS", "DEXUSEU", "DEXJPUS", "DEXUSUK", "DEXCAUS", "DEXCHUS", "DEXMXUS", "DEXKOUS", "DEXINUS"),
    *("DCOILWTICO", "DCOILBRENTEU", "DDFUELLA", "DGASNYH", "DGASUSGULF", "DHOILNYH", "DPROPANEMBTX", "DHHNGSP"),
)
RELEASES: Mapping[str, str] = {
    **dict.fromkeys(_NEXT_SESSION, "+1 sessions"),
    **dict.fromkeys(_NEXT_WEEK, "+7 days"),
    "ICSA": "+5 days",
}
"""Series to the earliest rule under which it can have been known; a market may be later, never earlier."""

_ALIASES: Mapping[str, tuple[str, ...]] = {  # the first that a market has
    "vix": ("VIXCLS", "VIX_CLOSE"),
    "ted": ("TEDRATE",),
    "epu": ("USEPUINDXD",),
    "oil": ("DCOILWTICO", "DCOILBRENTEU"),
}
_LEVELS = ("DFF", "DGS10", "DGS2", "DGS3MO", "BAA10Y", "AAA10Y")
_INDICES = {"nasdaq": ("NASDAQCOM", "NASDAQ100"), "nikkei": ("NIKKEI225",), "spx": ("SPX_CLOSE", "SP500", "INDEX_CLOSE")}

MACRO_FEATURES: tuple[str, ...] = (
    "macro.yield_spread_10y2y",
    "macro.yield_spread_10y3m",
    "macro.rate_spread_2y_fed",
    "macro.credit_spread_baa_aaa",
    "macro.credit_spread",
    "macro.vix_level",
    *(f"macro.vix_z_{sessions}d" for sessions in (20, 60, 252)),
    "macro.ted_z_60d",
    "macro.dollar_chg_20d",
    "macro.yen_chg_20d",
    "macro.oil_chg_20d",
    "macro.epu_chg_20d",
    *(f"macro.{index}_ret_20d" for index in _INDICES),
    "macro.regime_yield_inverted",
    "macro.regime_high_vix",
    "macro.regime_extreme_vix",
    *(f"macro.level_{series}" for series in _LEVELS),
)


def macro_features(columns: Mapping[str, AnyArray]) -> dict[str, FloatArray]:
    """Every column of `MACRO_FEATURES`, (n_sessions,), NaN where a series is absent or was not known.

    * ``yield_spread_*``, ``rate_spread_2y_fed``, ``credit_spread_baa_aaa``: differences in percentage points; the published
      spread where a market lacks one of the two yields. ``credit_spread`` is Baa less Aaa, or Baa less Treasury in a market
      without Aaa; one of the two for all sessions.
    * ``*_z_*``: value less the mean of the trailing window over its deviation, today included; 70 % must be known.
    * ``*_chg_20d, *_ret_20d``: per cent over 20 sessions. ``dollar_chg_20d`` is positive when the dollar gained (D-MAC-06):
      the broad index, or dollars per euro the other way up. ``yen_chg_20d`` is that of yen per dollar.
    * ``regime_yield_inverted, regime_high_vix, regime_extreme_vix``: 1 or 0; 10-year yield below the 2-year one (the
      3-month one without it), VIX over 25 and 35.

    Parameters
    ----------
    columns : Mapping[str, AnyArray]
        ``macro.<SERIES>`` as of each decision, and any 1-D column to tell the number of sessions, e.g. ``month_start``.
    """
    given = _Given(columns)
    vix = given.first(*_ALIASES["vix"])
    out = {
        **_spreads(given),
        "vix_level": vix,
        **{f"vix_z_{sessions}d": _trailing_z(vix, sessions) for sessions in (20, 60, 252)},
        "ted_z_60d": _trailing_z(given.first(*_ALIASES["ted"]), 60),
        "dollar_chg_20d": _change(given.first("DTWEXBGS") if given.has("DTWEXBGS") else _inverse(given.first("DEXUSEU"))),
        "yen_chg_20d": _change(given.first("DEXJPUS")),
        "oil_chg_20d": _change(given.first(*_ALIASES["oil"])),
        "epu_chg_20d": _change(given.first(*_ALIASES["epu"])),
        **{f"{index}_ret_20d": _change(given.first(*names)) for index, names in _INDICES.items()},
        "regime_high_vix": _flag(vix, vix > 25.0),
        "regime_extreme_vix": _flag(vix, vix > 35.0),
        **{f"level_{name}": given.first(name) for name in _LEVELS},
    }
    return {name: out[name.removeprefix("macro.")] for name in MACRO_FEATURES}


@dataclass(frozen=True, slots=True)
class _Given:
    """The series that a market has, as of each decision."""

    columns: Mapping[str, AnyArray]

    def first(self, *names: str) -> FloatArray:
        """The first of these series that there is; missing on every session where there is none."""
        found = next((self.columns[f"macro.{name}"] for name in names if self.has(name)), None)
        n_sessions = next(len(values) for values in self.columns.values())
        return np.full(n_sessions, np.nan) if found is None else np.asarray(found, dtype=np.float64)

    def has(self, *names: str) -> bool:
        """Whether all of these series are there."""
        return all(f"macro.{name}" in self.columns for name in names)


def _spreads(given: _Given) -> dict[str, FloatArray]:
    levels = {name: given.first(name) for name in _LEVELS}
    ten_two = levels["DGS10"] - levels["DGS2"] if given.has("DGS10", "DGS2") else given.first("T10Y2Y")
    ten_three = levels["DGS10"] - levels["DGS3MO"] if given.has("DGS10", "DGS3MO") else given.first("T10Y3M")
    curve = ten_two if given.has("DGS10", "DGS2") or given.has("T10Y2Y") else ten_three
    baa_aaa = levels["BAA10Y"] - levels["AAA10Y"]
    return {
        "yield_spread_10y2y": ten_two,
        "yield_spread_10y3m": ten_three,
        "rate_spread_2y_fed": levels["DGS2"] - levels["DFF"],
        "credit_spread_baa_aaa": baa_aaa,
        "credit_spread": baa_aaa if given.has("AAA10Y") else levels["BAA10Y"],
        "regime_yield_inverted": _flag(curve, curve < 0.0),
    }


def covered(values: AnyArray, minimum: float = MIN_COVERAGE) -> BoolArray:
    """Which columns of the train days (n_days, k) are known often enough to be used, (k,); later years have no say."""
    known = np.isfinite(values)
    enough: BoolArray = known.sum(axis=0) >= minimum * max(len(values), 1)
    return enough & known.any(axis=0)


def refuse_early_rules(macro: pd.DataFrame, known_at: KnownAt) -> None:
    """Refuse a market whose rules let a series be used before it is published (D-MAC-01).

    Rows with release times of their own (rule ``column``) are taken at their word.

    Raises
    ------
    MarketDataError
        Naming the series, its rule and the earliest one.
    """
    closes = known_at.clock.closes_at
    for series, earliest in _published(macro["series"].unique()):
        rule = known_at.rule("macro", series, "column" if "known_at" in macro.columns else None)
        if rule is None or rule == "column":
            continue
        days = np.unique(macro.loc[macro["series"] == series, "date"].to_numpy())
        days = days[days >= known_at.clock.dates[0]]  # before the calendar there is no session to compare by
        given, least = (first_session_after(known_at.apply(days, one), closes) for one in (rule, earliest))
        if (given < least).any():
            day = np.datetime_as_string(days[given < least][0], unit="D")
            raise MarketDataError(
                f"`macro.{series}` of {day} would be used before it was published (rule `{rule}`). Its release allows "
                f'`{earliest}` at the earliest: write [known_at.macro] {series} = "{earliest}", or give a column `known_at`.'
            )


def _published(series: Iterable[str]) -> list[tuple[str, str]]:
    return [(str(name), RELEASES[str(name)]) for name in series if str(name) in RELEASES]


def _inverse(values: FloatArray) -> FloatArray:
    out = np.full(values.shape, np.nan)
    np.divide(1.0, values, out=out, where=values > 0.0)
    return out


def _change(values: FloatArray) -> FloatArray:
    """Per cent over 20 sessions; NaN where either end is missing or the start is not positive."""
    out = np.full(values.shape, np.nan)
    start = values[:-_CHANGE]
    np.divide(values[_CHANGE:], start, out=out[_CHANGE:], where=start > 0.0)
    return np.asarray(100.0 * (out - 1.0), dtype=np.float64)


def _flag(values: FloatArray, holds: BoolArray) -> FloatArray:
    return np.where(np.isfinite(values), holds.astype(np.float64), np.nan)


@njit(cache=True)
def _trailing_z(values: FloatArray, sessions: int) -> FloatArray:
    """Summed afresh for each row, so that a value depends on nothing outside its window."""
    out = np.full(values.size, np.nan)
    for day in range(sessions - 1, values.size):
        if not np.isfinite(values[day]):
            continue
        count, total, squares = 0, 0.0, 0.0
        for at in range(day - sessions + 1, day + 1):
            if np.isfinite(values[at]):
                count += 1
                total += values[at]
        if count < _MIN_SHARE * sessions:
            continue
        for at in range(day - sessions + 1, day + 1):
            if np.isfinite(values[at]):
                squares += (values[at] - total / count) ** 2
        deviation = np.sqrt(squares / (count - 1))
        if deviation > 0.0:
            out[day] = (values[day] - total / count) / deviation
    return out
