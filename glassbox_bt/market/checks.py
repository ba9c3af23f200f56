"""What a market must be: what is refused, what is only counted.

Refused (`MarketDataError`; nothing is repaired): missing columns, an empty market, duplicate or unsorted bars, dates with a
time zone or a time of day, dates that are no sessions of the exchange, prices that are text, infinite, zero or negative,
``high < low``, text without a time zone, macro values without a rule that says when they were known, side tables that match
no name.

Counted (`Checked.flags`) and left as they are: bars without a close, opens or closes outside the bar's range, missing
volume, zero volume, extra columns, names of side tables without prices.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from glassbox_bt.errors import MarketDataError
from glassbox_bt.market.calendar import check_calendar
from glassbox_bt.market.schemas import COLUMNS, PRICE_COLUMNS, validated
from glassbox_bt.market.sources.raw import RawMarket
from glassbox_bt.market.text import exchange_days
from glassbox_bt.market.text_names import Match, matched
from glassbox_bt.types import BoolArray

__all__ = ["BAR_TOLERANCE", "Checked", "check_market"]

BAR_TOLERANCE = 1e-4  # relative; vendors round opens and closes of one bar differently
BASES = ("raw", "split_adjusted", "total_return")

_DAY_OF = {"membership": "start_date", "listings": "last_day", "sectors": None}


@dataclass(frozen=True, slots=True, eq=False)
class Checked:
    """A market fit to build on: plain types, known columns only; ``flags`` are counts and lists for the report."""

    raw: RawMarket
    flags: dict[str, object]


def check_market(raw: RawMarket, *, complete: bool = True) -> Checked:
    """Check everything that can be checked without a calendar of sessions.

    Without ``complete`` it is a market as it once was on record: a side table may name nobody who has prices yet.

    Raises
    ------
    MarketDataError
        With the table, the first offending row, its value and the remedy.
    """
    _check_meta(raw)
    flags: dict[str, object] = {}
    tables: dict[str, pd.DataFrame] = {}
    ignored: dict[str, list[str]] = {}
    for name, table in raw.tables().items():
        known = COLUMNS[name]
        extra = sorted(str(column) for column in table.columns if column not in known)
        if extra:
            ignored[name] = extra
        tables[name] = validated(name, table)
    flags["ignored_columns"] = ignored
    prices = tables["prices"]
    _check_bars(prices)
    flags.update(_bar_flags(prices))
    if "ticker_map" in tables:
        tables = {name: _renamed(name, table, tables["ticker_map"]) for name, table in tables.items()}
    flags["names_without_prices"] = _text_names(tables, raw.meta.calendar, complete) | _side_names(tables, complete)
    return Checked(replace(raw, **tables), flags)  # type: ignore[arg-type]


def _check_meta(raw: RawMarket) -> None:
    meta = raw.meta
    check_calendar(meta.calendar)
    if meta.price_basis not in BASES:
        raise MarketDataError(f"`price_basis` must be one of {', '.join(BASES)}, got `{meta.price_basis}`.")
    if meta.known_at.get("prices", "close") != "close":
        raise MarketDataError(
            f"`known_at.prices` must be `close`, got `{meta.known_at['prices']}`: a bar is known at its own close. "
            "Re-date the bars."
        )
    if len(raw.prices) == 0:
        raise MarketDataError("The market is empty: `prices` has no rows. Check the file and its `start` and `end`.")


def _check_bars(prices: pd.DataFrame) -> None:
    dates = prices["date"].to_numpy()
    midnight = dates.astype("datetime64[D]")
    _refuse(prices, midnight != dates, "date", "has a time of day; a daily bar has a plain date")
    codes = pd.factorize(prices["ticker"])[0]
    order = np.argsort(codes, kind="stable")  # rows of one name stay in file order
    same = np.diff(codes[order]) == 0
    step = np.diff(midnight[order].astype(np.int64))
    back, twice = np.zeros(len(prices), dtype=bool), np.zeros(len(prices), dtype=bool)
    back[order[1:]] = same & (step < 0)
    twice[order[1:]] = same & (step == 0)
    key = midnight.astype(np.int64) * (int(codes.max()) + 1) + codes
    if not twice.any() and back.any():  # duplicates hide in unsorted tables: name them first
        twice = pd.Series(key).duplicated().to_numpy()
    _refuse(prices, twice, "date", "stands twice for this ticker; keep one bar for each (date, ticker)")
    _refuse(prices, back, "date", "goes back in time; sort the bars of each ticker by date")
    if {"high", "low"} <= set(prices.columns):
        _refuse(prices, (prices["high"] < prices["low"]).to_numpy(), "high", "is below `low`; correct or remove the bar")


def _bar_flags(prices: pd.DataFrame) -> dict[str, object]:
    close = prices["close"].to_numpy()
    flags: dict[str, object] = {"bars": len(prices), "bars_without_close": int(np.isnan(close).sum())}
    for column in (name for name in PRICE_COLUMNS if name in prices.columns and name != "close"):
        missing = int((prices[column].isna() & ~np.isnan(close)).sum())
        if missing:
            flags[f"bars_without_{column}"] = missing
    if {"high", "low"} <= set(prices.columns):
        inner = [name for name in ("open", "close") if name in prices.columns]
        top = prices[inner].max(axis=1) > prices["high"] * (1 + BAR_TOLERANCE)
        bottom = prices[inner].min(axis=1) < prices["low"] * (1 - BAR_TOLERANCE)
        flags["bars_outside_their_range"] = int((top | bottom).sum())
    if "volume" in prices.columns:
        flags["bars_with_zero_volume"] = int((prices["volume"] == 0).sum())
    return flags


def _renamed(name: str, table: pd.DataFrame, mapping: pd.DataFrame) -> pd.DataFrame:
    """Side tables speak of names as in ``prices``.

    A dated row of the map holds from its ``start_date`` until before its ``end_date``; for sectors, which have no date,
    every row holds.
    """
    if name not in _DAY_OF:
        return table
    renamed = table["ticker"].to_numpy().copy()
    rows_of = {str(ticker): np.asarray(rows) for ticker, rows in table.groupby("ticker", sort=False).indices.items()}
    day = None if _DAY_OF[name] is None else table[_DAY_OF[name]].to_numpy()
    for row in mapping.to_dict("records"):
        rows = rows_of.get(row["ticker"], np.empty(0, dtype=np.int64))
        if day is not None and not pd.isna(row.get("start_date", pd.NaT)):
            rows = rows[day[rows] >= np.datetime64(row["start_date"])]
        if day is not None and not pd.isna(row.get("end_date", pd.NaT)):
            rows = rows[day[rows] < np.datetime64(row["end_date"])]
        renamed[rows] = row["price_ticker"]
    return table.assign(ticker=renamed)


def _text_names(tables: dict[str, pd.DataFrame], calendar: str, complete: bool) -> dict[str, object]:
    """Says in ``tables["news"]`` whom each text is about; returns the names and issuers that have no prices (R8)."""
    if "news" not in tables:
        return {}
    news = tables["news"]
    stated = news["ticker"].where(news["ticker"] != "", news["cik"] if "cik" in news.columns else "")
    priced = frozenset(tables["prices"]["ticker"].unique())
    tables["news"] = matched(news, exchange_days(news, calendar), tables.get("ticker_map"), priced)
    match = tables["news"]["match"]
    named = match != Match.MARKET_WIDE
    missing = sorted(stated[match == Match.UNMAPPED].unique())
    if complete and named.any() and not (match == Match.NAME).any():
        raise MarketDataError(_none_priced("news", missing or sorted(stated[named].unique())))
    return {"news": {"count": len(missing), "first": missing[:5]}} if missing else {}


def _side_names(tables: dict[str, pd.DataFrame], complete: bool) -> dict[str, object]:
    """Names of each side table that have no prices: how many, and the first few (R8)."""
    priced = set(tables["prices"]["ticker"].unique())
    found: dict[str, object] = {}
    for table in ("membership", "sectors", "listings"):
        if table not in tables:
            continue
        names = {str(ticker) for ticker in tables[table]["ticker"].unique()} - {""}
        missing = sorted(names - priced)
        if complete and names and len(missing) == len(names):
            raise MarketDataError(_none_priced(table, missing))
        if missing:
            found[table] = {"count": len(missing), "first": missing[:5]}
    return found


def _none_priced(table: str, names: list[str]) -> str:
    return (
        f"No ticker of `{table}` has prices (for example {', '.join(names[:3])}). "
        "Use the same names as in `prices`, or add a ticker_map.csv (ticker, price_ticker)."
    )


def _refuse(prices: pd.DataFrame, wrong: BoolArray, column: str, problem: str) -> None:
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        ticker, day, value = prices["ticker"].iloc[row], prices["date"].iloc[row], prices[column].iloc[row]
        more = f" ({int(wrong.sum())} such rows)" if wrong.sum() > 1 else ""
        shown = f"{value:%Y-%m-%d %H:%M}".removesuffix(" 00:00") if column == "date" else f"{value}"
        raise MarketDataError(f"`prices` row {row} ({ticker}, {day:%Y-%m-%d}): {column} {shown} {problem}{more}.")
