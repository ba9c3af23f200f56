"""Markets that agree up to a cut and know nothing of each other after it.

A `Perturber` takes the raw tables, as the source gave them, and changes every row that was not yet known at the cut. Rows
that were known stay as they are, byte for byte. What is computed for a day up to the cut must not change (R25).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from glassbox_bt.market.calendar import sessions
from glassbox_bt.market.checks import check_market
from glassbox_bt.market.side_tables import KnownAt, with_known_at
from glassbox_bt.market.sources.raw import RawMarket
from glassbox_bt.market.text import text_known_at
from glassbox_bt.types import AnyArray, BoolArray

__all__ = ["Cut", "Perturber"]

_BARS = ("open", "high", "low", "close")
_LOOK_BACK = np.timedelta64(120, "D")
_LOST_ROWS = 0.1  # of the bars after a cut
_LOST_NAMES = 0.2  # of the names: no bar at all after a cut
_LONG = 0.2  # of the texts after a cut
_TOLD = ("ticker", "cik", "form_type", "source")  # of a text, besides its words and times
_LATEST = np.timedelta64(9, "D")  # by how much a later text or value is re-dated at most


@dataclasses.dataclass(frozen=True, slots=True)
class Cut:
    """A decision: the date of its session and its official close, UTC. What was public by then is known."""

    day: np.datetime64
    moment: np.datetime64


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Perturber:
    """A market's raw tables, and for each row of them the UTC time from which it was public."""

    raw: RawMarket
    known_at: Mapping[str, AnyArray]  # by table, datetime64[ns]; NaT = never within the data

    @classmethod
    def of(cls, raw: RawMarket) -> Perturber:
        """Date every row once, by the market's own rules; a text never before it was published."""
        checked = check_market(raw).raw
        days = _days(checked.prices["date"])
        rules = KnownAt(sessions(raw.meta.calendar, days.min() - _LOOK_BACK, days.max()), raw.meta)
        known: dict[str, AnyArray] = {}
        if checked.news is not None:
            known["news"] = text_known_at(checked.news, rules)[1]
        for name, day, default in (("macro", "date", None), ("listings", "last_day", "+1 sessions")):
            table = getattr(checked, name)
            if table is not None:
                known[name] = with_known_at(table, name, day, rules, default=default)["known_at"].to_numpy()
        if checked.sectors is not None and "known_at" in checked.sectors.columns:
            known["sectors"] = checked.sectors["known_at"].to_numpy()
        return cls(raw, known)

    def poisoned(self, cut: Cut, seed: int) -> RawMarket:
        """The market with another future: other prices, volumes, values, texts, dates and spells after the cut.

        Bars stay bars: within a session, open, high, low and close move together. One bar in ten and one name in five are
        lost, and so is every listing, sector and spell that became known after the cut.
        """
        raw, later = self.raw, self._later(cut)
        rng = np.random.default_rng([seed, int(cut.day.astype(np.int64))])
        changed = {name: table[~later[name]] for name, table in raw.tables().items() if name in ("listings", "sectors")}
        changed["prices"] = _other_prices(raw.prices, later["prices"], rng)
        if raw.macro is not None:
            changed["macro"] = _other_macro(raw.macro, later["macro"], rng)
        if raw.news is not None:
            changed["news"] = _other_news(raw.news, self.known_at["news"], later["news"], rng)
        if raw.membership is not None:
            changed["membership"] = _other_spells(raw.membership, cut, np.timedelta64(int(rng.integers(5, 60)), "D"))
        return _with(raw, changed)

    def truncated(self, cut: Cut) -> RawMarket:
        """The market as it was on record at the cut: nothing that became known later.

        Where no bar was observed on the cut's own session, the next session that has bars stays, so that the calendar
        reaches the cut.
        """
        raw, later = self.raw, self._later(cut)
        days = _days(raw.prices["date"])
        if not (days == cut.day).any() and (days > cut.day).any():
            later["prices"] &= days != days[days > cut.day].min()
        changed = {name: table[~later[name]] for name, table in raw.tables().items() if name in later}
        if raw.macro is not None:
            changed["macro"] = _without(raw.macro, later["macro"])
        if raw.membership is not None:
            changed["membership"] = _other_spells(raw.membership, cut, None)
        return _with(raw, changed)

    def _later(self, cut: Cut) -> dict[str, BoolArray]:
        """Rows that were not known at the cut, by table; undated sectors and ticker maps are known always (R7)."""
        later = {"prices": _days(self.raw.prices["date"]) > cut.day}
        later |= {name: ~(known <= cut.moment) for name, known in self.known_at.items()}
        if self.raw.sectors is not None and "sectors" not in later:
            later["sectors"] = np.zeros(len(self.raw.sectors), dtype=bool)
        return later


def _other_prices(prices: pd.DataFrame, later: BoolArray, rng: np.random.Generator) -> pd.DataFrame:
    out, n = prices.copy(), int(later.sum())
    factor = np.exp(rng.uniform(np.log(0.2), np.log(5.0), n))
    for column in (name for name in (*_BARS, "adj_close") if name in out.columns):
        values = out[column].to_numpy(dtype=np.float64).copy()
        values[later] *= factor
        out[column] = values
    if "adj_close" in out.columns:  # as if later splits and dividends were others
        values = out["adj_close"].to_numpy(dtype=np.float64).copy()
        values[later] *= np.exp(rng.uniform(-0.7, 0.7, n))
        out["adj_close"] = values
    if "volume" in out.columns:
        values = out["volume"].to_numpy(dtype=np.float64).copy()
        values[later] = np.round(values[later] * rng.uniform(0.1, 10.0, n))
        out["volume"] = values
    return out[~_lost(out, later, rng)]


def _lost(prices: pd.DataFrame, later: BoolArray, rng: np.random.Generator) -> BoolArray:
    """Bars to take out; the last session of the data keeps some, so that the calendar stays as long."""
    names = np.unique(prices["ticker"].to_numpy().astype(str))
    dead = set(rng.choice(names, size=int(np.ceil(_LOST_NAMES * len(names))), replace=False).tolist())
    days = _days(prices["date"])
    lost = prices["ticker"].isin(dead).to_numpy() | (rng.random(len(prices)) < _LOST_ROWS)
    at_end: BoolArray = days == days.max()
    if not (at_end & ~lost).any():
        lost &= ~at_end
    return later & lost


def _other_macro(macro: pd.DataFrame, later: BoolArray, rng: np.random.Generator) -> pd.DataFrame:
    out = macro.copy()
    values = out["value"].to_numpy(dtype=np.float64).copy()
    values[later] *= np.exp(rng.uniform(np.log(0.2), np.log(5.0), int(later.sum())))
    out["value"] = values
    if "known_at" in out.columns:
        out["known_at"] = _re_dated(out["known_at"], later, rng)
    return _without(out, later & (rng.random(len(out)) < _LOST_ROWS))


def _without(macro: pd.DataFrame, gone: BoolArray) -> pd.DataFrame:
    """Without these rows; a series that would lose its last one keeps its first, without a value."""
    left = macro[~gone]
    lost = ~macro["series"].isin(left["series"]) & ~macro["series"].duplicated()
    return pd.concat([left, macro[lost].assign(value=np.nan)])


def _other_news(news: pd.DataFrame, known_at: AnyArray, later: BoolArray, rng: np.random.Generator) -> pd.DataFrame:
    """Other words, names, forms, sources, copies and times; one document in ten is gone.

    Some are long, so that they become several rows of the table of text where there was one.
    """
    out, n = news.copy(), int(later.sum())
    words = "Something else entirely was published here"
    long = (rng.random(n) < _LONG).astype(int) * 80
    other: dict[str, AnyArray | list[Any]] = {
        "text": [f"{words}: {i}. " + f"{words}. " * more for i, more in enumerate(long.tolist())]
    }
    for column in (name for name in _TOLD if name in out.columns):
        other[column] = rng.permutation(out[column].to_numpy(dtype=object)[later])
    if "doc_id" in out.columns:
        other["doc_id"] = [f"other-{i}" for i in range(n)]
    if "n_copies" in out.columns:
        other["n_copies"] = list(rng.integers(1, 20, n))
    for column, values in other.items():
        told = out[column].to_numpy(dtype=object).copy()
        told[later] = values
        out[column] = told if column != "n_copies" else told.astype(np.float64)
    for column in (name for name in ("published_at", "accepted_at") if name in out.columns):
        out[column] = _re_published(out[column], known_at, later, rng)
    return out[~(later & (rng.random(len(out)) < _LOST_ROWS))]


def _re_published(stamps: pd.Series, known_at: AnyArray, later: BoolArray, rng: np.random.Generator) -> pd.Series:
    """Later moments for later texts.

    Where they are stored as text some may be days; what became known at the end of one becomes a moment after that, and what
    stays is left as it stands.
    """
    if pd.api.types.is_datetime64_any_dtype(stamps):
        return _re_dated(stamps, later, rng)
    told = stamps.to_numpy(dtype=object).copy()
    given = (stamps.notna() & (stamps != "")).to_numpy()
    read = pd.to_datetime(stamps.where(given, None), utc=True, format="ISO8601").dt.tz_localize(None).to_numpy()
    moved = _re_dated(pd.Series(np.where(known_at > read, known_at, read)), later, rng)  # NaT compares False
    told[later] = [one.isoformat() if there else "" for one, there in zip(moved[later], given[later], strict=True)]
    return pd.Series(told, index=stamps.index, dtype=object)


def _other_spells(membership: pd.DataFrame, cut: Cut, delay: np.timedelta64 | None) -> pd.DataFrame:
    """Spells that start after the cut are gone; ends after it are later by ``delay``, or unknown."""
    out = membership[_days(membership["start_date"]) <= cut.day].copy()
    if "end_date" in out.columns:
        ends = pd.to_datetime(out["end_date"]).to_numpy().astype("datetime64[ns]").copy()
        open_end = ends.astype("datetime64[D]") > cut.day  # NaT compares False
        ends[open_end] = np.datetime64("NaT") if delay is None else ends[open_end] + delay
        out["end_date"] = ends
    return out


def _re_dated(stamps: pd.Series, later: BoolArray, rng: np.random.Generator) -> pd.Series:
    shift = np.where(later, rng.integers(1, _LATEST.astype(int) * 24, len(stamps)), 0)
    shifted: pd.Series = pd.to_datetime(stamps, utc=True) + pd.to_timedelta(shift, unit="h")
    return shifted


def _days(column: pd.Series) -> AnyArray:
    return pd.to_datetime(column).to_numpy().astype("datetime64[D]")


def _with(raw: RawMarket, changed: dict[str, pd.DataFrame]) -> RawMarket:
    """A table without a row left stays, empty: that the market has such a table does not depend on the future."""
    kept = {name: table.reset_index(drop=True) for name, table in changed.items()}
    return dataclasses.replace(raw, **kept, truth=None)  # type: ignore[arg-type]
