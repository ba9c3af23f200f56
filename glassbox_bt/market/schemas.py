"""Schemas of the tables of a market: columns, types and ranges (pandera), with messages a user can act on."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from glassbox_bt.errors import MarketDataError

if TYPE_CHECKING:
    import pandera.pandas as pa

__all__ = ["COLUMNS", "PRICE_COLUMNS", "validated"]

_MAX_COUNT = 10**9
_YEARS = (1700, 2200)  # datetime64[ns] ends soon after
_MIDNIGHT = r"[T ]00:00(?::00(?:\.0*)?)? *(?:Z|[+-][0-9:]+)$"  # as it is written, in whatever zone
PRICE_COLUMNS = ("open", "high", "low", "close", "adj_close")

# table -> column -> (kind, compulsory). Kinds: day, moment (UTC), moment or day, name, text, flag (True or False),
# price (> 0), amount (>= 0), count (0 to 10^9), number.
COLUMNS: Mapping[str, Mapping[str, tuple[str, bool]]] = {
    "prices": {
        "date": ("day", True),
        "ticker": ("name", True),
        "open": ("price", False),
        "high": ("price", False),
        "low": ("price", False),
        "close": ("price", True),
        "adj_close": ("price", False),
        "volume": ("amount", False),
    },
    "news": {
        "published_at": ("moment or day", True),
        "ticker": ("text", True),  # empty = market-wide
        "text": ("text", True),
        "source": ("text", False),
        "doc_id": ("text", False),
        "n_copies": ("count", False),  # identical texts that the source folded into this one
        "section": ("text", False),  # a document may come in several, a row each
        "form_type": ("text", False),  # of a filing
        "cik": ("text", False),  # issuer of a filing
        "accepted_at": ("moment", False),  # when the regulator accepted it; goes before `published_at`
        "has_time": ("flag", False),  # False: `published_at` is a day, at midnight
    },
    "macro": {
        "date": ("day", True),
        "series": ("name", True),
        "value": ("number", True),
        "known_at": ("moment", False),
    },
    "sectors": {"ticker": ("name", True), "sector": ("text", True), "known_at": ("moment", False)},
    "membership": {"ticker": ("name", True), "start_date": ("day", True), "end_date": ("open day", False)},
    "listings": {
        "ticker": ("name", True),
        "last_day": ("day", True),
        "delist_return": ("number", True),
        "known_at": ("moment", False),
    },
    "ticker_map": {
        "ticker": ("text", True),  # empty where only the issuer is known
        "price_ticker": ("name", True),
        "start_date": ("open day", False),
        "end_date": ("open day", False),
        "cik": ("text", False),
    },
}


def validated(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """The table with its known columns only, in plain types: days and moments as datetime64[ns] (UTC), numbers as float64.

    News always carry ``has_time``; where it is False, ``published_at`` is midnight of the day.

    Raises
    ------
    MarketDataError
        For a missing column, a value that is not of the column's kind, or one out of range.
    """
    spec = COLUMNS[name]
    missing = [column for column, (_, needed) in spec.items() if needed and column not in table.columns]
    if missing:
        raise MarketDataError(
            f"`{name}` has no column `{missing[0]}` (it has: {', '.join(map(str, table.columns)) or 'none'}). "
            f"Rename or add it; compulsory are {', '.join(c for c, (_, needed) in spec.items() if needed)}."
        )
    plain = pd.DataFrame(
        {c: _plain(name, c, kind, table[c]) for c, (kind, _) in spec.items() if c in table.columns}
    ).reset_index(drop=True)
    if name == "news":
        _refuse_midnights(table)
        plain = plain.assign(has_time=_has_time(table, plain))
    _check_ranges(name, plain)
    return plain


def _plain(table: str, column: str, kind: str, values: pd.Series) -> pd.Series:
    if kind in ("day", "open day"):
        return _days(table, column, values)
    if kind == "moment":
        return _moments(table, column, values)
    if kind == "moment or day":
        return _moments(table, column, _midnights(values))
    if kind == "flag":
        return _flags(table, column, values)
    if kind in ("name", "text"):
        return values.fillna("").astype(str).astype(object)
    return _numbers(table, column, values)


def _days(table: str, column: str, values: pd.Series) -> pd.Series:
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        raise MarketDataError(
            f"`{table}.{column}` carries the time zone {values.dtype.tz}. "
            "Give plain exchange dates (2020-01-31) without a zone."
        )
    if not pd.api.types.is_datetime64_any_dtype(values):
        values = _parsed_days(table, column, values)
    return _nanoseconds(table, column, values)


def _parsed_days(table: str, column: str, values: pd.Series) -> pd.Series:
    text = values.astype(object).where(values.notna() & (values.astype(str) != ""), None)
    parsed = pd.to_datetime(text.astype(str).where(text.notna(), None), format="%Y-%m-%d", errors="coerce")
    _refuse_first(
        table,
        column,
        values,
        (parsed.isna() & text.notna()).to_numpy(),
        "is no date; write 2020-01-31, without a time or zone",
    )
    return parsed


def _moments(table: str, column: str, values: pd.Series) -> pd.Series:
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        return _nanoseconds(table, column, values.dt.tz_convert("UTC").dt.tz_localize(None))
    if pd.api.types.is_datetime64_any_dtype(values):
        raise MarketDataError(f"`{table}.{column}` has no time zone. Give UTC, for example 2020-01-31 21:30:00+00:00.")
    text = values.astype(str)
    zoned = text.str.fullmatch(r".*(Z|[+-]\d{2}:?\d{2})") | values.isna() | (text == "")
    _refuse_first(table, column, values, (~zoned).to_numpy(), "has no time zone; write 2020-01-31 21:30:00+00:00")
    parsed = pd.to_datetime(text.where(text != ""), utc=True, format="ISO8601", errors="coerce")
    given = values.notna() & (text != "")
    _refuse_first(table, column, values, (parsed.isna() & given).to_numpy(), "is no time; write 2020-01-31 21:30:00+00:00")
    return _nanoseconds(table, column, parsed.dt.tz_localize(None))


def _nanoseconds(table: str, column: str, stamps: pd.Series) -> pd.Series:
    outside = stamps.notna() & ~stamps.dt.year.between(*_YEARS)
    remedy = "; leave an open end empty" if column == "end_date" else "; correct it or remove the row"
    problem = f"is not between the years {_YEARS[0]} and {_YEARS[1]}{remedy}"
    _refuse_first(table, column, stamps.astype(str), outside.to_numpy(), problem)
    return stamps.astype("datetime64[ns]")


def _midnights(values: pd.Series) -> pd.Series:
    """Plain days as their midnight, so that they read like moments."""
    days = _plain_days(values)
    return values.where(~days, values.astype(str) + "T00:00:00Z") if days.any() else values


def _plain_days(values: pd.Series) -> pd.Series:
    if pd.api.types.is_datetime64_any_dtype(values):  # a moment, even at midnight
        return pd.Series(False, index=values.index)
    return values.astype(str).str.fullmatch(r"\d{4}-\d\d-\d\d")


def _has_time(news: pd.DataFrame, plain: pd.DataFrame) -> pd.Series:
    timed: pd.Series = ~_plain_days(news["published_at"]).reset_index(drop=True)
    return timed & plain["has_time"] if "has_time" in plain.columns else timed


def _refuse_midnights(news: pd.DataFrame) -> None:
    """Moments that are midnight in every row are days that a program stored as moments: they would count a close early."""
    if "has_time" in news.columns:
        return
    for column in ("published_at", "accepted_at"):
        values = news[column] if column in news.columns else pd.Series(dtype=object)
        values = values[values.notna() & (values.astype(str) != "")]
        if isinstance(values.dtype, pd.DatetimeTZDtype):
            midnight = values.dt.tz_localize(None) == values.dt.tz_localize(None).dt.normalize()
        else:
            midnight = values.astype(str).str.contains(_MIDNIGHT)
        if len(values) > 1 and midnight.all():  # one text may well be of midnight
            raise MarketDataError(
                f"`news.{column}` is midnight in all {len(values)} rows, for example {values.iloc[0]}, so these are days, "
                "and would count from their first moment. Write 2019-11-05, or add a column `has_time` that says which are."
            )


def _flags(table: str, column: str, values: pd.Series) -> pd.Series:
    known = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
    flags = values.astype(str).str.lower().map(known)
    _refuse_first(table, column, values, flags.isna().to_numpy(), "is neither True nor False")
    return flags.astype(bool)


def _numbers(table: str, column: str, values: pd.Series) -> pd.Series:
    if pd.api.types.is_bool_dtype(values) or not pd.api.types.is_numeric_dtype(values):
        number = pd.to_numeric(values.where(values.astype(str) != "", None), errors="coerce")
        text = number.isna() & values.notna() & (values.astype(str) != "")
        _refuse_first(table, column, values, text.to_numpy(), "is not a number")
        if not len(values) or not number.notna().any() or pd.api.types.is_bool_dtype(values):
            raise MarketDataError(f"`{table}.{column}` holds no numbers (type {values.dtype}).")
        raise MarketDataError(
            f"`{table}.{column}` is stored as text (first value {values.iloc[0]!r}). Store numbers as numbers."
        )
    return values.astype(np.float64)


def _refuse_first(table: str, column: str, values: pd.Series, wrong: np.ndarray, problem: str) -> None:
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise MarketDataError(f"`{table}` row {row}: {column} {values.iloc[row]!r} {problem}.")


def _check_ranges(name: str, table: pd.DataFrame) -> None:
    from pandera.errors import SchemaErrors

    try:
        _schema(name).validate(table, lazy=True)
    except SchemaErrors as error:
        first = error.failure_cases.iloc[0]
        row = "" if pd.isna(first["index"]) else f" row {int(first['index'])}{_whose(table, int(first['index']))}"
        if first["check"] == "not_nullable":
            problem = "is empty; fill it in or remove the row"
        else:
            problem = f"is {first['failure_case']}, but must be {first['check']}"
        raise MarketDataError(f"`{name}`{row}: {first['column']} {problem}.") from error


def _whose(table: pd.DataFrame, row: int) -> str:
    parts = [str(table[c].iloc[row]).removesuffix(" 00:00:00") for c in ("ticker", "series", "date") if c in table.columns]
    return f" ({', '.join(parts)})" if parts else ""


@cache
def _schema(name: str) -> pa.DataFrameSchema:
    import pandera.pandas as pa

    finite = pa.Check(lambda values: ~np.isinf(values), error="finite")
    nonnegative = pa.Check(lambda values: values >= 0, error="0 or more")
    checks = {
        "day": ([], False),
        "open day": ([], True),
        "moment": ([], name in ("listings", "macro", "news")),
        "moment or day": ([], False),
        "flag": ([], False),
        "name": ([pa.Check(lambda values: values != "", error="a name, not empty")], False),
        "text": ([], False),
        "number": ([finite], True),
        "price": ([pa.Check(lambda values: values > 0, error="greater than 0"), finite], True),
        "count": ([nonnegative, pa.Check(lambda values: values <= _MAX_COUNT, error=f"{_MAX_COUNT:,} at most")], True),
        "amount": ([nonnegative, finite], True),
    }
    columns = {
        column: pa.Column(checks=checks[kind][0], nullable=checks[kind][1], required=needed)
        for column, (kind, needed) in COLUMNS[name].items()
    }
    return pa.DataFrameSchema(columns, strict=True)
