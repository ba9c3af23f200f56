"""Market folders: ``market.toml`` and tables as Parquet or CSV, read strictly.

::

    name = "my_market"
    calendar = "XNYS"                       # a calendar of exchange_calendars
    currency = "USD"
    price_basis = "split_adjusted"          # raw | split_adjusted | total_return
    benchmark = "SPY"                       # a ticker, "macro.SERIES", or left out: equal weight
    licence = "..."
    card = ["What these data lack, one sentence each."]
    start = "2000-01-03"                    # optional: keep bars from .. to
    end = "2019-12-31"

    [files]                                 # optional; paths from this folder
    prices = "../shared_prices/prices.parquet"

    [known_at]
    news = "column"                         # published_at as it stands
    listings = "+1 sessions"

    [known_at.macro]
    default = "+1 sessions"
    DTWEXBGS = "+7 days"
    SPX_CLOSE = "close"

Tables are found under their own names (``prices.parquet`` or ``prices.csv``, ``news``, ``macro``, ``sectors``,
``membership``, ``listings``, ``ticker_map``) unless ``[files]`` points elsewhere. Only ``prices`` with ``date, ticker,
close`` is compulsory.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import cast

import pandas as pd

from glassbox_bt.errors import MarketDataError
from glassbox_bt.market.schemas import COLUMNS
from glassbox_bt.market.sources.raw import TABLES, MarketMeta, PriceBasis, RawMarket

__all__ = ["load_folder", "read_table", "write_folder"]

_KEYS = (
    "name", "calendar", "currency", "price_basis", "benchmark", "licence", "card", "start", "end", "files", "known_at",
)  # fmt: skip
_CLOCKED = ("prices", "news", "macro", "listings")
_UNREAD = (".jsonl", ".ndjson", ".json", ".tsv", ".xlsx", ".feather", ".gz", ".zip")  # tables, but of another form


def load_folder(folder: Path | str) -> RawMarket:
    """Read a market folder; values are checked when the store is built.

    Raises
    ------
    MarketDataError
        For a missing or unreadable file and for anything unknown in ``market.toml``.
    """
    folder = Path(folder)
    toml = _read_toml(folder / "market.toml")
    _refuse_unknown(toml, _KEYS, "market.toml")
    meta = _meta(toml)
    tables = {}
    for name, path in _paths(folder, _table(toml, "files")).items():
        tables[name] = read_table(name, path)
    if "prices" not in tables:
        raise MarketDataError(
            f"{folder} has no prices.parquet or prices.csv. Add one, or name it under [files] in market.toml."
        )
    tables["prices"] = _between(tables["prices"], _text(toml, "start"), _text(toml, "end"))
    return RawMarket(meta=meta, **tables)


def write_folder(raw: RawMarket, folder: Path | str, suffix: str = "parquet") -> None:
    """Write a market as a folder that `load_folder` reads back; ``suffix`` is ``parquet`` or ``csv``."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "market.toml").write_text(_toml(raw.meta), encoding="utf-8")
    for name, table in raw.tables().items():
        if suffix == "parquet":
            table.to_parquet(folder / f"{name}.parquet", index=False)
        else:
            table.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")


def _read_toml(path: Path) -> Mapping[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MarketDataError(
            f"{path} is missing. A market folder needs it; docs/how-to/bring-your-own-market.md shows one."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise MarketDataError(f"{path} cannot be read: {error}") from error


def _meta(toml: Mapping[str, object]) -> MarketMeta:
    for key in ("name", "price_basis"):
        if _text(toml, key) is None:
            raise MarketDataError(
                f"market.toml has no `{key}`. `name` and `price_basis` (raw, split_adjusted or total_return) are compulsory."
            )
    card = toml.get("card", [])
    if not isinstance(card, list) or not all(isinstance(line, str) for line in card):
        raise MarketDataError("`card` in market.toml must be a list of sentences.")
    return MarketMeta(
        name=str(toml["name"]),
        price_basis=cast("PriceBasis", toml["price_basis"]),
        calendar=_text(toml, "calendar") or "XNYS",
        currency=_text(toml, "currency") or "USD",
        benchmark=_text(toml, "benchmark"),
        licence=_text(toml, "licence") or "not stated",
        known_at=_known_at(_table(toml, "known_at")),
        card=tuple(card),
    )


def _known_at(rules: Mapping[str, object]) -> dict[str, str]:
    """Rules by table, those of macro series as ``macro.SERIES``."""
    _refuse_unknown(rules, _CLOCKED, "[known_at]")
    flat: dict[str, str] = {}
    for table, rule in rules.items():
        if isinstance(rule, str):
            flat[table] = rule
        elif table == "macro" and isinstance(rule, dict) and all(isinstance(value, str) for value in rule.values()):
            flat |= {"macro" if series == "default" else f"macro.{series}": value for series, value in rule.items()}
        else:
            raise MarketDataError(f'`known_at.{table}` must be a rule like "+1 sessions", got {rule!r}.')
    return flat


def _paths(folder: Path, files: Mapping[str, object]) -> dict[str, Path]:
    _refuse_unknown(files, TABLES, "[files]")
    found: dict[str, Path] = {}
    for name in TABLES:
        if name in files:
            path = folder / str(files[name])
            if not path.is_file():
                raise MarketDataError(f"`files.{name}` of market.toml points at {path}, which is no file.")
            found[name] = path
            continue
        here = [folder / f"{name}.{suffix}" for suffix in ("parquet", "csv") if (folder / f"{name}.{suffix}").is_file()]
        if len(here) > 1:
            raise MarketDataError(
                f"{folder} has both {here[0].name} and {here[1].name}. Remove one, or choose under [files]."
            )
        if here:
            found[name] = here[0]
        else:
            _refuse_unread(folder, name)
    return found


def _refuse_unread(folder: Path, name: str) -> None:
    """A table in a form that is not read would be missed without a word."""
    for path in sorted(folder.glob(f"{name}.*")):
        if path.is_file() and path.suffix in _UNREAD:
            remedy = f"Import it: glassbox data import {path} --what text" if name == "news" else "Convert it"
            raise MarketDataError(f"{path} is not read: a market folder holds .parquet or .csv. {remedy}, or move it away.")


def read_table(name: str, path: Path) -> pd.DataFrame:
    """The table ``name`` of a market as a Parquet or CSV file holds it; unreadable files are refused."""
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        if path.suffix == ".csv":
            return _read_csv(name, path)
    except UnicodeDecodeError as error:
        raise MarketDataError(f"{path} is not UTF-8{_first_bad_line(path)}. Save it as UTF-8.") from error
    except (OSError, ValueError, pd.errors.ParserError) as error:  # pyarrow's errors are ValueErrors and OSErrors
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise MarketDataError(f"{path} cannot be read: {reason}") from error
    raise MarketDataError(f"{path}: only .parquet and .csv files are read.")


def _first_bad_line(path: Path) -> str:
    """Pandas tells the place within a cell only."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                return f": line {number} has the byte 0x{line[error.start]:02x}"
    return ""


def _read_csv(name: str, path: Path) -> pd.DataFrame:
    """Names and text are never taken for missing values: ``NA`` can be a ticker."""
    header = pd.read_csv(path, nrows=0).columns
    kinds = {column: kind for column, (kind, _) in COLUMNS[name].items()}
    words = [column for column in header if kinds.get(column) in ("name", "text")]
    numbers = [column for column in header if kinds.get(column) in ("price", "amount", "count", "number")]
    return pd.read_csv(
        path,
        keep_default_na=False,
        na_values={column: ["", "NaN", "nan", "NA"] for column in numbers},
        dtype=dict.fromkeys(words, "object"),
        low_memory=False,
    )


def _between(prices: pd.DataFrame, start: str | None, end: str | None) -> pd.DataFrame:
    if (start is None and end is None) or "date" not in prices.columns:
        return prices
    days = prices["date"]
    if days.dtype.kind != "M" or isinstance(days.dtype, pd.DatetimeTZDtype):
        days = pd.to_datetime(days.astype(str).str.slice(0, 10), errors="coerce")  # odd dates are refused later
    keep = days.isna()
    inside = pd.Series(True, index=days.index)
    if start is not None:
        inside &= days >= _day("start", start)
    if end is not None:
        inside &= days <= _day("end", end)
    return prices[keep | inside].reset_index(drop=True)


def _day(key: str, value: str) -> pd.Timestamp:
    try:
        return pd.to_datetime(value, format="%Y-%m-%d")
    except ValueError as error:
        raise MarketDataError(f"`{key}` in market.toml must be a date like 2000-01-31, got `{value}`.") from error


def _text(toml: Mapping[str, object], key: str) -> str | None:
    value = toml.get(key)
    if value is not None and not isinstance(value, str):
        raise MarketDataError(f"`{key}` in market.toml must be text in quotes, got {value!r}.")
    return value


def _table(toml: Mapping[str, object], key: str) -> Mapping[str, object]:
    value = toml.get(key, {})
    if not isinstance(value, dict):
        raise MarketDataError(f"`{key}` in market.toml must be a table [{key}], got {value!r}.")
    return value


def _refuse_unknown(given: Mapping[str, object], allowed: Iterable[str], where: str) -> None:
    for key in given:
        if key not in allowed:
            raise MarketDataError(f"Unknown key `{key}` in {where}. Allowed: {', '.join(allowed)}.")


def _toml(meta: MarketMeta) -> str:
    lines = [
        f"{key} = {json.dumps(value, ensure_ascii=False)}"
        for key in ("name", "calendar", "currency", "price_basis", "benchmark", "licence")
        if (value := getattr(meta, key)) is not None
    ]
    lines += ["card = [", *(f"    {json.dumps(line, ensure_ascii=False)}," for line in meta.card), "]"]
    plain = {key: rule for key, rule in meta.known_at.items() if not key.startswith("macro")}
    macro = {
        key.removeprefix("macro.") if "." in key else "default": rule
        for key, rule in meta.known_at.items()
        if key.startswith("macro")
    }
    for title, rules in (("known_at", plain), ("known_at.macro", macro)):
        if rules:
            lines += ["", f"[{title}]", *(f"{json.dumps(key)} = {json.dumps(rule)}" for key, rule in rules.items())]
    return "\n".join(lines) + "\n"
