"""Comparisons of two markets with the same past: what is computed for a day up to the cut must be the same in both.

1. The market itself: calendar, universe, session columns, labels known by the cut, dated records, bars of fills.
2. Everything handed to each fit whose knowledge ends by the cut.
3. Everything handed to each prediction on the cut's own day.
4. Target weights of the rivals up to the cut.
5. Decisions and fills of the daily loop up to the cut.

Answers of modules are taken from the record on both sides: if every fit and every prediction is handed equal inputs, and
fits are deterministic, then answers are equal by induction over the layers (R25).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from glassbox_bt.audits.base import Check
from glassbox_bt.audits.subject import Walk, on_store
from glassbox_bt.market.store import MarketStore
from glassbox_bt.market.view import Span, TrainView
from glassbox_bt.types import AnyArray, IntArray
from glassbox_bt.walkforward.bars import bars_of
from glassbox_bt.walkforward.fitting import ChunkFitter
from glassbox_bt.walkforward.rivals import Strategy, rival_span

__all__ = ["Twin", "difference", "fit_checks", "market_checks", "prediction_checks", "rival_checks"]

ROUNDING = 1e-12  # relative; a sum over more names may round differently


@dataclass(frozen=True, slots=True, eq=False)
class Twin:
    """The store that was walked, another with the same past, and the session at which they part."""

    clean: MarketStore
    other: MarketStore
    day: int
    how: str  # "poisoned" or "truncated"

    @property
    def date(self) -> str:
        return str(self.clean.dates[self.day])

    @property
    def moment(self) -> np.datetime64:
        value: np.datetime64 = self.clean.decided_at[self.day]
        return value

    def check(self, what: str, module: str, column: str, chunk: int | None, fault: str) -> Check:
        """A check that failed if ``fault`` says something."""
        return Check(
            what, module, column, chunk, self.date, not fault, f"{self.how} after the cut: {fault}" if fault else ""
        )


def market_checks(twin: Twin) -> Iterator[Check]:
    """Columns, labels and records of the store up to the cut, for the names that were members by then."""
    clean, other, day = twin.clean, twin.other, twin.day
    for name in ("dates", "opens_at", "decided_at"):
        fault = difference(getattr(clean, name)[: day + 1], getattr(other, name)[: day + 1])
        yield twin.check("market", "market", name, None, fault)
    if other.n_sessions <= day:
        return
    yield twin.check("market", "market", "member", None, _membership(twin))
    mine, theirs = _common(clean, other, _members(clean, day))
    for name, values in clean.columns.items():
        if name != "member":
            yield twin.check(
                "market", "market", name, None, _column_fault(twin, values, other.columns.get(name), mine, theirs)
            )
    for name in clean.labels:
        sides = [_known_label(store, name, twin, at) for store, at in ((clean, mine), (other, theirs))]
        fault = difference(sides[0], sides[1], clean.dates, [clean.tickers[i] for i in mine])
        yield twin.check("known labels", "market", name, None, fault)
    for name in clean.records:
        yield twin.check("market", "market", f"record {name}", None, _record_fault(twin, name))
    opens = [bool(store.facts.get("has_opens")) for store in (clean, other)]
    yield twin.check("market", "market", "has_opens", None, difference(np.array(opens[:1]), np.array(opens[1:])))


def fit_checks(walk: Walk, twin: Twin) -> Iterator[Check]:
    """What each fit is handed, for every fit of the chunk whose knowledge ends by the cut."""
    fitter, other = walk.fitter, on_store(walk.fitter, twin.other)
    for name, module in fitter.stack.items():
        for fold in fitter.schedule(name):
            if not len(fold.train) or int(fold.train[-1]) > twin.day:
                continue
            views = [one.train_view(module, fold.train) for one in (fitter, other)]
            yield from _span_checks("inputs of a fit", name, walk.number, twin, views)
        if name in fitter.before and int(fitter.days.val[-1]) <= twin.day:
            views = [one.validation_view(module) for one in (fitter, other)]
            yield from _span_checks("inputs of a choice", name, walk.number, twin, views)


def prediction_checks(walk: Walk, twin: Twin) -> Iterator[Check]:
    """What each module is handed to answer the cut's own day, and the bars that orders were filled at up to then."""
    fitter, other = walk.fitter, on_store(walk.fitter, twin.other)
    for name in fitter.stack:
        spans = [day_span(one, name, twin.day) for one in (fitter, other)]
        yield from _span_checks("inputs of a prediction", name, walk.number, twin, spans)
    yield from _bar_checks(fitter, twin)


def rival_checks(walk: Walk, twin: Twin, strategies: Sequence[Strategy]) -> Iterator[Check]:
    """Targets up to the cut: of the whole split as it was replayed, and of a split that ends at the cut, in both stores."""
    days = next((part for part in walk.fitter.days.splits.values() if twin.day in part), None)
    if days is None or twin.day not in np.concatenate([walk.fitter.days.val, walk.fitter.days.test]):
        return
    short = days[days <= twin.day]
    members = walk.fitter.store.assets_until(walk.fitter.days.first, twin.day)
    mine, theirs = _common(twin.clean, twin.other, members)
    place = np.searchsorted(walk.fitter.assets, mine)
    for strategy in strategies:
        whole = strategy.targets(rival_span(twin.clean, days, walk.fitter.assets, strategy.reads))[: len(short), place]
        dates, tickers = twin.clean.dates[short], [twin.clean.tickers[i] for i in mine]
        for store, assets, than in (
            (twin.clean, mine, "a split that ends at the cut"),
            (twin.other, theirs, "another future"),
        ):
            targets = strategy.targets(rival_span(store, short, assets, strategy.reads))
            fault = difference(whole, targets, dates, tickers, ROUNDING)
            yield twin.check(
                "targets", strategy.name, "target_weight", walk.number, f"with {than}, {fault}" if fault else ""
            )


def day_span(fitter: ChunkFitter, name: str, day: int) -> Span:
    """What a module is handed to answer one day: names that were members by then, nothing later."""
    return fitter.span(fitter.stack[name], np.array([day], dtype=np.int64), day)


def difference(
    clean: AnyArray, other: AnyArray, dates: AnyArray | None = None, tickers: Sequence[str] = (), rounding: float = 0.0
) -> str:
    """Where two arrays differ, in words; empty if nowhere. NaN equals NaN.

    ``dates`` name the rows, ``tickers`` the second axis; with ``rounding``, values within that relative distance are equal.
    """
    clean, other = np.atleast_1d(clean), np.atleast_1d(other)
    if clean.shape != other.shape:
        return f"its shape {clean.shape} became {other.shape}"
    same = (clean == other) | ((clean != clean) & (other != other))  # noqa: PLR0124 - only NaN differs from itself
    if rounding:
        same |= np.isclose(clean, other, rtol=rounding, atol=0.0, equal_nan=True)
    wrong = np.argwhere(~same)
    if not len(wrong):
        return ""
    first = tuple(int(i) for i in wrong[0])
    place = [str(dates[first[0]])] if dates is not None else [f"row {first[0]}"]
    place += [tickers[first[1]]] if len(first) > 1 and tickers else []
    return f"{len(wrong)} of {same.size} values, first {' '.join(place)}: {clean[first]} became {other[first]}"


def _span_checks(what: str, module: str, chunk: int, twin: Twin, spans: Sequence[Span]) -> Iterator[Check]:
    clean, other = spans
    strange = sorted(set(clean.tickers) ^ set(other.tickers))
    common = [ticker for ticker in clean.tickers if ticker in set(other.tickers)]
    mine, theirs = ([one.tickers.index(ticker) for ticker in common] for one in spans)
    fault = difference(clean.member[:, mine], other.member[:, theirs], clean.dates, common)
    yield twin.check(what, module, "member", chunk, f"names {', '.join(strange)} came or went" if strange else fault)
    yield twin.check(what, module, "days", chunk, difference(clean.days, other.days))
    pairs = {name: (block, other.blocks[name]) for name, block in clean.blocks.items()}
    if isinstance(clean, TrainView) and isinstance(other, TrainView):
        pairs |= {f"label {name}": (values, other.labels[name]) for name, values in clean.labels.items()}
    for name, fault in _text_faults(clean, other, set(common)):
        pairs.pop(name, None)
        yield twin.check(what, module, name, chunk, fault)
    for name, (one, two) in pairs.items():
        rows = twin.clean.dates[max(int(clean.days[-1]) + 1 - len(one), 0) : int(clean.days[-1]) + 1]
        padded = np.concatenate([np.repeat(rows[:1], len(one) - len(rows)), rows])
        if one.ndim > 1:
            one, two = one[:, mine], two[:, theirs]  # noqa: PLW2901
        yield twin.check(what, module, name, chunk, difference(one, two, padded, common))


def _text_faults(clean: Span, other: Span, common: set[str]) -> Iterator[tuple[str, str]]:
    """Where the text that two spans hold about common names differs, by column."""
    if clean.documents is None or other.documents is None:
        return
    kept, about = [], []
    for span, text in ((clean, clean.documents), (other, other.documents)):
        names = np.array([*span.tickers, ""], dtype=object)[text.asset]  # -1, the market, is the last
        here = np.array([one in common or not one for one in names], dtype=bool)
        kept.append(np.flatnonzero(here))
        about.append((text.session[here], names[here]))
    fault = next((fault for one, two in zip(*about, strict=True) if (fault := difference(one, two))), "")
    yield "text", fault
    for name in sorted(clean.of_text):
        one, two = (_comparable(span.blocks[name][rows]) for span, rows in zip((clean, other), kept, strict=True))
        yield name, "" if fault else difference(one, two)


def _comparable(values: AnyArray) -> AnyArray:
    return values.astype(np.int64) if values.dtype.kind in "mM" else values


def _bar_checks(fitter: ChunkFitter, twin: Twin) -> Iterator[Check]:
    days = np.arange(int(fitter.days.val[0]), twin.day + 1, dtype=np.int64)
    if not len(days):
        return
    mine, theirs = _common(twin.clean, twin.other, fitter.store.assets_until(fitter.days.first, twin.day))
    clean, other = bars_of(twin.clean, days, mine), bars_of(twin.other, days, theirs)
    for field in dataclasses.fields(clean):
        one, two = (np.asarray(getattr(bars, field.name)) for bars in (clean, other))
        if one.dtype != np.object_:
            yield twin.check(
                "bars", "portfolio", field.name, fitter.days.number, difference(one, two, twin.clean.dates[days])
            )


def _members(store: MarketStore, day: int) -> IntArray:
    return store.assets_until(0, day)


def _membership(twin: Twin) -> str:
    """The universe up to the cut, for every name of either store; a name that is not on an axis is no member."""
    names = sorted(set(twin.clean.tickers) | set(twin.other.tickers))
    panels = []
    for store in (twin.clean, twin.other):
        panel = np.zeros((twin.day + 1, len(names)), dtype=bool)
        panel[:, [names.index(ticker) for ticker in store.tickers]] = store.member[: twin.day + 1]
        panels.append(panel)
    return difference(panels[0], panels[1], twin.clean.dates, names)


def _common(clean: MarketStore, other: MarketStore, assets: IntArray) -> tuple[IntArray, IntArray]:
    """Those of ``assets`` that both stores have: their places in each."""
    place = {ticker: at for at, ticker in enumerate(other.tickers)}
    mine = [int(asset) for asset in assets if clean.tickers[asset] in place]
    theirs = [place[clean.tickers[asset]] for asset in mine]
    return np.array(mine, dtype=np.int64), np.array(theirs, dtype=np.int64)


def _column_fault(twin: Twin, clean: AnyArray, other: AnyArray | None, mine: IntArray, theirs: IntArray) -> str:
    if other is None:
        return "it is not there"
    one, two = clean[: twin.day + 1], other[: twin.day + 1]
    if one.ndim > 1:
        one, two = one[:, mine], two[:, theirs]
    return difference(np.asarray(one), np.asarray(two), twin.clean.dates, [twin.clean.tickers[i] for i in mine])


def _known_label(store: MarketStore, name: str, twin: Twin, assets: IntArray) -> AnyArray:
    label = store.labels[name]
    values = np.asarray(label.on(np.arange(twin.day + 1), assets), dtype=np.float64)
    values[~(label.known_at[: twin.day + 1] <= twin.moment)] = np.nan
    return values


def _record_fault(twin: Twin, name: str) -> str:
    """Rows known by the cut; a record that is not there has none."""
    clean = twin.clean.records[name]
    clean, other = (_known_rows(table, twin.moment) for table in (clean, twin.other.records.get(name, clean.iloc[:0])))
    if {"ticker", "asset", "document"} <= set(clean.columns):  # text: neither places nor names of a later axis are past
        names = {"", *(twin.clean.tickers[at] for at in _members(twin.clean, twin.day))}
        clean, other = (
            table[table["ticker"].isin(names)].drop(columns=["asset", "document"]).reset_index(drop=True)
            for table in (clean, other)
        )
    if len(clean) != len(other):
        return f"{len(clean)} rows known by the cut became {len(other)}"
    for column in clean.columns:
        fault = difference(_plain(clean[column]), _plain(other[column]))
        if fault:
            return f"{column}: {fault}"
    return ""


def _known_rows(table: pd.DataFrame, moment: np.datetime64) -> pd.DataFrame:
    """Rows about days up to the cut that were known by then; next month's universe is known before its month."""
    if "date" in table.columns:
        table = table[table["date"].to_numpy() <= moment]
    return table[table["known_at"].to_numpy() <= moment].reset_index(drop=True)


def _plain(column: pd.Series[Any]) -> AnyArray:
    return _comparable(column.to_numpy())
