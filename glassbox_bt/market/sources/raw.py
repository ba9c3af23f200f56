"""A market as its source gives it, before anything is derived from it.

`build_store` is a pure function of a `RawMarket` and its settings. So a look-ahead audit can poison, truncate or re-date
these tables after a cut and build again: whatever still differs before the cut has looked ahead.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal

import numpy as np
import pandas as pd

__all__ = ["TABLES", "MarketMeta", "PriceBasis", "RawMarket", "fingerprint"]

PriceBasis = Literal["raw", "split_adjusted", "total_return"]

TABLES = ("prices", "news", "macro", "sectors", "membership", "listings", "ticker_map")


@dataclass(frozen=True, slots=True)
class MarketMeta:
    """What must be said about a market besides its tables.

    Parameters
    ----------
    name : str
        Short name, printed in every report.
    price_basis : {"raw", "split_adjusted", "total_return"}
        What ``close`` is (R6). Rules on price level apply to ``raw`` only.
    calendar : str, default="XNYS"
        Calendar of exchange_calendars.
    benchmark : str or None
        A ticker of ``prices`` (then taken out of the universe), ``"macro.SERIES"``, or None for the equal-weight universe.
    known_at : Mapping[str, str]
        When a table's rows were public: table name, or ``"macro.SERIES"``, to a rule. Rules: ``"close"`` (official close
        of the row's date), ``"+2 sessions"``, ``"+7 days"``, ``"16:15 America/New_York"``, ``"column"`` (a column
        ``known_at``).
    card : tuple[str, ...]
        Sentences that state the gaps of the data; printed in the report.
    """

    name: str
    price_basis: PriceBasis
    calendar: str = "XNYS"
    currency: str = "USD"
    benchmark: str | None = None
    licence: str = "not stated"
    known_at: Mapping[str, str] = field(default_factory=dict)
    card: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class RawMarket:
    """Tables of one market, tidy.

    Parameters
    ----------
    prices : DataFrame
        ``date, ticker, close`` and, where known, ``open, high, low, adj_close, volume``; one row per bar that was observed.
    news : DataFrame or None
        ``published_at`` (UTC, or only a day), ``ticker`` (empty = market-wide), ``text``, and optionally ``source, doc_id,
        accepted_at, cik, form_type, section, n_copies, has_time`` (docs/how-to/text.md).
    macro : DataFrame or None
        ``date, series, value`` and optionally ``known_at`` (UTC).
    sectors : DataFrame or None
        ``ticker, sector`` and optionally ``known_at`` (UTC). Undated, it serves constraints and tables, never graphs (R7).
    membership : DataFrame or None
        ``ticker, start_date, end_date``: member on day d if ``start_date <= d`` and (no ``end_date`` or ``end_date > d``).
    listings : DataFrame or None
        ``ticker, last_day, delist_return`` and optionally ``known_at`` (R9).
    ticker_map : DataFrame or None
        ``ticker, price_ticker`` and optionally ``cik, start_date, end_date``: names, and issuers of text, to names in
        ``prices``.
    truth : object or None
        Causal record of a synthetic market; never read by a backtest.
    """

    meta: MarketMeta
    prices: pd.DataFrame
    news: pd.DataFrame | None = None
    macro: pd.DataFrame | None = None
    sectors: pd.DataFrame | None = None
    membership: pd.DataFrame | None = None
    listings: pd.DataFrame | None = None
    ticker_map: pd.DataFrame | None = None
    truth: object | None = None

    def tables(self) -> dict[str, pd.DataFrame]:
        """The tables that are there, by name."""
        found = {name: getattr(self, name) for name in TABLES}
        return {name: table for name, table in found.items() if table is not None}


def fingerprint(raw: RawMarket) -> str:
    """Hexadecimal digest of everything a backtest can read from ``raw`` (so without ``truth``).

    Row order, column names and values count; the storage type does not (a float32 column equals its float64 copy).
    """
    digest = hashlib.blake2b(digest_size=20)
    digest.update(json.dumps(asdict(raw.meta), sort_keys=True).encode())
    for name, table in raw.tables().items():
        digest.update(f"|{name}:{len(table)}".encode())
        for column in sorted(table.columns):
            digest.update(f"|{column}:".encode())
            _digest_column(digest, table[column])
    return digest.hexdigest()


def _digest_column(digest: hashlib.blake2b, values: pd.Series) -> None:
    if pd.api.types.is_datetime64_any_dtype(values):
        zoned = getattr(values.dt, "tz", None) is not None
        plain = values.dt.tz_convert("UTC").dt.tz_localize(None) if zoned else values
        digest.update(plain.to_numpy().astype("datetime64[ns]").tobytes())
    elif pd.api.types.is_numeric_dtype(values):
        digest.update(np.ascontiguousarray(values.to_numpy(dtype=np.float64, na_value=np.nan)).tobytes())
    else:
        codes, uniques = pd.factorize(values)
        digest.update(codes.astype(np.int64).tobytes())
        digest.update("\x1f".join(map(str, uniques)).encode())
