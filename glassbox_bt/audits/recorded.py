"""Checks of the record itself: the clock of fills and answers, and answers that must not depend on other days."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from glassbox_bt.audits.base import Check
from glassbox_bt.audits.subject import Subject, Walk, fit_folder
from glassbox_bt.audits.twins import day_span, difference
from glassbox_bt.market.store import MarketStore
from glassbox_bt.market.view import Span
from glassbox_bt.portfolio.book import FillCode
from glassbox_bt.types import AnyArray, FloatArray, IntArray
from glassbox_bt.walkforward.fitting import DECIDED, digests
from glassbox_bt.walkforward.text_answers import TextAnswers

__all__ = ["answer_checks", "clock_checks", "fill_checks", "input_checks"]

BOOKED_OUT = (FillCode.DELISTED.label, FillCode.ASSUMED_DELISTING.label)


def fill_checks(subject: Subject) -> Iterator[Check]:
    """Every fill comes after its decision, at the next session, at that bar's price; a booking-out at its own price."""
    if subject.orders is None:
        return
    store = subject.store
    for strategy, orders in subject.orders.groupby("strategy", sort=True):
        decided, filled = (_sessions(store, orders[name]) for name in ("decided_on", "filled_on"))
        gone = orders["code"].isin(BOOKED_OUT).to_numpy()
        next_bar = store.opens_at if store.facts["has_opens"] and strategy != "benchmark" else store.decided_at
        late = gone | ((next_bar[filled] > store.decided_at[decided]) & (filled == decided + 1))
        price = _fill_price(store, str(strategy), orders, filled, gone)
        right = (orders["filled_shares"].to_numpy() == 0.0) | (orders["price"].to_numpy() == price)
        for column, good in (("filled_at", late), ("price", right)):
            detail = _wrong_fills(orders, column, good, price)
            yield Check("clock of fills", str(strategy), column, None, "", bool(good.all()), detail)


def clock_checks(walk: Walk) -> Iterator[Check]:
    """Every answer comes from a fit that ended before its day; encoders may answer their own train days (R3)."""
    for name, given in walk.fitter.answers.items():
        days = given.session if isinstance(given, TextAnswers) else given.days
        late = given.fitted_through >= days
        if given.in_sample:
            late &= days > walk.fitter.days.train[-1]
        detail = f"the answer for {walk.fitter.store.dates[days[late][0]]} knows its own day" if late.any() else ""
        yield Check("fitted before answering", name, "fitted_through", walk.number, "", not late.any(), detail)


def input_checks(walk: Walk) -> Iterator[Check]:
    """What the run says each fit was handed is what the store holds for its days, and nothing else."""
    fitter = walk.fitter
    for name, fits in walk.fits.items():
        made = {fit["fold"]: fit["digest"] for fit in fits}
        views = {
            fold.number: fitter.train_view(fitter.stack[name], fold.train)
            for fold in fitter.schedule(name)
            if len(fold.train) and fold.number in made
        }
        if DECIDED in made:
            views[DECIDED] = fitter.validation_view(fitter.stack[name])
        for number, view in views.items():
            key, inputs = _key(walk, made[number]), digests(view)
            cut = str(view.dates[-1])
            for column in sorted({*inputs, *key["inputs"]}):
                same = inputs.get(column) == key["inputs"].get(column)
                detail = "" if same else f"fold {number} was handed other values than the store holds"
                yield Check("recorded inputs", name, column, walk.number, cut, same, detail)


def answer_checks(walk: Walk, days: IntArray, rng: np.random.Generator) -> Iterator[Check]:
    """Each day of ``days`` answered alone, and a handful of days answered together, against the record (R12).

    A module that uses its other days, such as an average over the split (D-STM-01), answers differently.
    """
    fitter = walk.fitter
    later = np.concatenate([fitter.days.val, fitter.days.test])
    handful = np.sort(rng.choice(later, size=min(5, len(later)), replace=False))
    val_end = int(fitter.days.val[-1])
    for name, module in fitter.stack.items():
        if name in fitter.stand_ins:  # a control, exempt by name (R28)
            continue
        for day in days:
            span = day_span(fitter, name, int(day))
            yield from _answers_alike(walk, name, np.array([day]), span, "alone")
        for some in (handful[handful <= val_end], handful[handful > val_end]):  # other fits may answer them
            if len(some):
                span = fitter.span(module, some, int(some[-1]))
                yield from _answers_alike(walk, name, some, span, "among other days")


def _key(walk: Walk, digest: str) -> Mapping[str, Any]:
    """What decided a fit; a frozen one names the fit it was frozen from."""
    key: dict[str, Any] = json.loads((fit_folder(walk.fitter, digest) / "key.json").read_text(encoding="utf-8"))
    return key if "inputs" in key else _key(walk, key["fit"])


def _answers_alike(walk: Walk, name: str, days: IntArray, span: Span, how: str) -> Iterator[Check]:
    fitter = walk.fitter
    fitted, _ = fitter.answering(name, int(days[0]))
    again = fitted.predict_many(span)
    tickers, cut = list(span.tickers), str(fitter.store.dates[days[-1]])
    places = np.searchsorted(fitter.store.tickers, tickers)
    made = fitter.answers[name].on(days, places)
    pairs: dict[str, tuple[AnyArray, AnyArray]] = {"known": (made.known, again.known)}
    if made.rows is not None and again.rows is not None:  # one row for each chunk of a document and name
        days, tickers = made.days, []
        pairs["rows"] = (made.rows, again.rows)
    pairs |= {output: (values, again.outputs[output]) for output, values in made.outputs.items()}
    for output, (one, two) in pairs.items():
        fault = difference(np.asarray(one), np.asarray(two), fitter.store.dates[days], tickers)
        detail = f"answered {how}, {fault}" if fault else ""
        yield Check("one day as many", name, output, walk.number, cut, not fault, detail)


def _sessions(store: MarketStore, dates: pd.Series) -> IntArray:
    return np.searchsorted(store.dates, dates.to_numpy().astype("datetime64[D]")).astype(np.int64)


def _fill_price(store: MarketStore, strategy: str, orders: pd.DataFrame, filled: IntArray, gone: AnyArray) -> FloatArray:
    """Price of the bar at which each order must have been filled."""
    if strategy == "benchmark":
        mark: FloatArray = np.asarray(store.columns["benchmark_mark"])[filled]
        return mark
    assets = np.searchsorted(store.tickers, orders["ticker"].to_numpy().astype(str))
    bar = store.columns["open" if store.facts["has_opens"] else "close"]
    return np.where(gone, store.columns["delist_price"][filled, assets], bar[filled, assets])


def _wrong_fills(orders: pd.DataFrame, column: str, good: AnyArray, price: FloatArray) -> str:
    if good.all():
        return ""
    row = int(np.flatnonzero(~good)[0])
    first = orders.iloc[row]
    told = (
        f"decided on {str(first['decided_on'])[:10]} and filled on {str(first['filled_on'])[:10]}"
        if column == "filled_at"
        else f"filled on {str(first['filled_on'])[:10]} at {first['price']}, the bar says {price[row]}"
    )
    return f"{int((~good).sum())} of {len(good)} orders, first {first['ticker']}: {told}"
