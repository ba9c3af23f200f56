"""The books of a run, recomputed from its orders and the prices of its store; nothing of the simulation is called.

1. Every order's price is that of its bar, its costs are those of the plan, its day the session after it was decided.
2. Holdings are the running sum of the orders; cash is the capital, the interest on it, and what the orders paid.
3. Equity is cash plus holdings at their marks; the rest of the table and the weights follow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from glassbox_bt.backtest import open_run_store
from glassbox_bt.errors import RunFolderError
from glassbox_bt.plan import Plan, plan_from
from glassbox_bt.portfolio.book import Bars, FillCode
from glassbox_bt.reporting.faults import Check, Fault, differences
from glassbox_bt.reporting.record import STACK, RunRecord
from glassbox_bt.types import AnyArray, BoolArray, FloatArray, IntArray
from glassbox_bt.walkforward.bars import bars_of
from glassbox_bt.walkforward.chunks import chunk_days

__all__ = ["EQUITY", "Recomputed", "recomputed", "store_of"]

TOLERANCE = 1e-9  # relative; sums in another order stay below 1e-12
MONEY, FRACTION = 1e-3, 1e-3  # of the capital, of equity: rounding is that of sums as large, not of what is left of them
EQUITY, ORDERS, WEIGHTS = (f"portfolio/{name}.parquet" for name in ("equity", "orders", "weights"))
BENCHMARK = "benchmark"
SPLITS = ("val", "test")
BOOK = ["chunk", "split", "strategy"]
DELISTED = (FillCode.DELISTED.label, FillCode.ASSUMED_DELISTING.label)
CODES = {code.label for code in FillCode}


@dataclass(frozen=True, slots=True)
class Recomputed:
    """What orders and prices give, and where the run's tables differ from it."""

    equity: pd.DataFrame
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class _Span:
    """One part of one chunk: its days, and what everybody but the benchmark trades."""

    chunk: int
    split: str
    dates: AnyArray  # (n_sessions,)
    tickers: tuple[str, ...]
    bars: Bars


def recomputed(record: RunRecord) -> Recomputed:
    """Check orders, equity and weights of a run."""
    plan = plan_from(record.manifest["plan"])
    orders, equity, weights = (_read(record.run, name) for name in (ORDERS, EQUITY, WEIGHTS))
    faults: dict[str, list[Fault]] = {ORDERS: [], EQUITY: [], WEIGHTS: []}
    made: dict[str, list[pd.DataFrame]] = {EQUITY: [], WEIGHTS: []}
    strategies = list(dict.fromkeys(equity["strategy"]))
    for name in sorted({STACK, BENCHMARK, *orders["strategy"]} - set(strategies)):
        faults[EQUITY].append(Fault(EQUITY, f"strategy {name}", "no row", "a row for each of its days"))
    for span, owners in _spans(record, plan, strategies):
        here = (orders["chunk"] == span.chunk) & (orders["split"] == span.split) & orders["strategy"].isin(owners)
        mine = orders[here]
        faults[ORDERS].extend(_order_faults(mine, span, plan))
        for name in owners:
            days, held = _book(mine[mine["strategy"] == name], span, plan)
            made[EQUITY].append(_marked(days, span, name))
            made[WEIGHTS].append(_marked(held, span, name))
    tables = {name: pd.concat(parts, ignore_index=True) for name, parts in made.items()}
    money = dict.fromkeys(("equity", "cash", "traded", "costs"), MONEY * plan.costs.capital)
    floors = {**money, "return": FRACTION, "exposure": FRACTION}
    faults[EQUITY] += differences(EQUITY, equity, tables[EQUITY], [*BOOK, "date"], TOLERANCE, floors)
    faults[WEIGHTS] += differences(WEIGHTS, weights, tables[WEIGHTS], [*BOOK, "date", "ticker"], TOLERANCE)
    return Recomputed(
        tables[EQUITY],
        (
            Check("orders: prices of their bars, costs of the plan", len(orders), "orders", tuple(faults[ORDERS])),
            Check("equity from orders and prices", len(equity), "days", tuple(faults[EQUITY])),
            Check("weights from orders and prices", len(weights), "holdings", tuple(faults[WEIGHTS])),
        ),
    )


def store_of(record: RunRecord) -> Any:
    """The `MarketStore` that a run was made on; this room may look into it, and imports nothing of it."""
    try:
        return open_run_store(record.run, record.manifest)
    except (FileNotFoundError, KeyError) as missing:
        raise RunFolderError(
            f"{record.run} has no store of its prices below artefacts/market, so its equity cannot be recomputed. "
            "Run its plan again."
        ) from missing


def _spans(record: RunRecord, plan: Plan, strategies: list[str]) -> Iterator[tuple[_Span, list[str]]]:
    """Each part of each chunk twice: as all but the benchmark trade it, and as the benchmark does."""
    store = store_of(record)
    everybody = np.arange(store.n_assets, dtype=np.int64)
    for number, chunk in enumerate(plan.chunks, start=1):
        splits = chunk_days(store, chunk, number).splits
        for split in SPLITS:
            days = splits[split]
            span = _Span(number, split, store.dates[days], store.tickers, bars_of(store, days, everybody))
            yield span, [name for name in strategies if name != BENCHMARK]
            mark = np.asarray(store.columns["benchmark_mark"][days], dtype=np.float64)[:, None]
            yield _Span(number, split, span.dates, (str(store.facts["benchmark"]),), _one_price(mark)), [BENCHMARK]


def _one_price(mark: FloatArray) -> Bars:
    """Bars of something that is bought and valued at one price a day, without a limit by volume."""
    nothing = np.full_like(mark, np.nan)
    return Bars(
        open=mark, close=mark, mark=mark, tradable=np.isfinite(mark), delist_price=nothing, sigma=nothing,
        adv_units=nothing, fill_at="close",
    )  # fmt: skip


def _order_faults(orders: pd.DataFrame, span: _Span, plan: Plan) -> Iterator[Fault]:
    """Orders whose day, name or code does not exist, or whose price or costs are not those of their bar."""
    day, asset = _days(orders["filled_on"], span), _assets(orders, span)
    gone = orders["code"].isin(DELISTED).to_numpy()
    strange = {
        "filled_on": day < 0,
        "ticker": asset < 0,
        "decided_on": _days(orders["decided_on"], span) != day - ~gone,
        "side": ~orders["side"].isin(("buy", "sell")).to_numpy(),
        "code": ~orders["code"].isin(CODES).to_numpy(),
    }
    for column, wrong in strange.items():
        for at in np.flatnonzero(wrong).tolist():
            yield Fault(ORDERS, _order(orders, at), f"{column} {orders[column].iloc[at]}", "one that this market has")
    there = (day >= 0) & (asset >= 0)
    if not there.all():
        return
    for column, must in _must(orders, (day, asset), gone, span, plan).items():
        said = orders[column].to_numpy(dtype=np.float64)
        scale = np.zeros_like(said) if column == "price" else np.maximum(np.abs(must), 1e-6)  # a price is copied
        wrong = ~(np.abs(said - must) <= TOLERANCE * scale) & ~(np.isnan(said) & np.isnan(must))
        for at in np.flatnonzero(wrong).tolist():
            yield Fault(ORDERS, f"{_order(orders, at)}, column {column}", repr(float(said[at])), repr(float(must[at])))


def _must(
    orders: pd.DataFrame, cell: tuple[IntArray, IntArray], gone: BoolArray, span: _Span, plan: Plan
) -> dict[str, FloatArray]:
    """Price and costs of each order, by its bar and the plan; costs are money."""
    costs, bars, filled = plan.costs, span.bars, orders["filled_shares"].to_numpy(dtype=np.float64)
    before = (np.maximum(cell[0] - 1, 0), cell[1])
    price = np.where(gone, bars.delist_price[cell], bars.open[cell])
    price = np.where(filled > 0.0, price, np.nan)
    paying = np.where((filled > 0.0) & ~gone, filled * np.nan_to_num(price), 0.0)
    adv, sigma = bars.adv_units[before], bars.sigma[before]
    known = np.isfinite(adv) & np.isfinite(sigma)
    share = np.divide(filled, adv, out=np.zeros_like(filled), where=known)
    return {
        "price": price,
        "commission": paying * (costs.commission_bps / 1e4),
        "spread": paying * (costs.half_spread_bps / 1e4),
        "impact": paying * np.where(known, costs.impact * sigma * np.sqrt(share), 0.0),
    }


def _book(orders: pd.DataFrame, span: _Span, plan: Plan) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Days and holdings of one strategy, from its orders alone."""
    day, asset = _days(orders["filled_on"], span), _assets(orders, span)
    there = (day >= 0) & (asset >= 0) & (orders["filled_shares"].to_numpy() > 0.0)
    orders, day, asset = orders[there], day[there], asset[there]
    filled = orders["filled_shares"].to_numpy(dtype=np.float64)
    signed = np.where(orders["side"] == "buy", filled, -filled)
    value = filled * orders["price"].to_numpy(dtype=np.float64)
    paid = orders[["commission", "spread", "impact"]].to_numpy(dtype=np.float64).sum(axis=1)
    gone = orders["code"].isin(DELISTED).to_numpy()
    n_days = len(span.dates)
    flow = _per_day(-np.sign(signed) * value - paid, day, n_days)
    held = _holdings(signed, day, asset, (n_days, len(span.tickers)))
    worth = np.where(held > 0.0, held * span.bars.mark, 0.0)
    cash = _cash(flow, plan)
    equity = cash + worth.sum(axis=1)
    before = np.concatenate([[plan.costs.capital], equity[:-1]])
    days = pd.DataFrame(
        {
            "date": pd.DatetimeIndex(span.dates),
            "equity": equity,
            "cash": cash,
            "exposure": _ratio(equity - cash, equity),
            "traded": _per_day(np.where(gone, 0.0, value), day, n_days),
            "costs": _per_day(paid, day, n_days),
            "return": _ratio(equity, before) - 1.0,
        }
    )
    at, name = np.nonzero(held)
    tickers = np.array(span.tickers, dtype=object)[name]
    weight = worth[at, name] / equity[at]
    return days, pd.DataFrame({"date": pd.DatetimeIndex(span.dates)[at], "ticker": tickers, "weight": weight})


def _holdings(signed: FloatArray, day: IntArray, asset: IntArray, shape: tuple[int, int]) -> FloatArray:
    """Units after each day; what a sale of all leaves by rounding is nothing."""
    change, moved = np.zeros(shape), np.zeros(shape)
    np.add.at(change, (day, asset), signed)
    np.add.at(moved, (day, asset), np.abs(signed))
    held = np.cumsum(change, axis=0)
    return np.where(np.abs(held) <= 1e-10 * np.cumsum(moved, axis=0), 0.0, held)


def _cash(flow: FloatArray, plan: Plan) -> FloatArray:
    """Money after each day: interest is paid on what lay there overnight."""
    rate = plan.costs.cash_interest / 252.0
    cash, now = np.empty_like(flow), plan.costs.capital
    for at, change in enumerate(flow):
        now += (max(now, 0.0) * rate if at else 0.0) + change
        cash[at] = now
    return cash


def _per_day(values: FloatArray, day: IntArray, n_days: int) -> FloatArray:
    return np.bincount(day, weights=values, minlength=n_days).astype(np.float64)


def _ratio(above: FloatArray, below: FloatArray) -> FloatArray:
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0.0)


def _days(dates: pd.Series, span: _Span) -> IntArray:
    """Place of each date among the days of the span, -1 for one that is none of them."""
    return pd.DatetimeIndex(span.dates).get_indexer(pd.DatetimeIndex(dates)).astype(np.int64)


def _assets(orders: pd.DataFrame, span: _Span) -> IntArray:
    return pd.Index(span.tickers).get_indexer(pd.Index(orders["ticker"])).astype(np.int64)


def _marked(table: pd.DataFrame, span: _Span, strategy: str) -> pd.DataFrame:
    return table.assign(chunk=span.chunk, split=span.split, strategy=strategy)


def _order(orders: pd.DataFrame, at: int) -> str:
    row = orders.iloc[at]
    return (
        f"chunk {row['chunk']}, split {row['split']}, strategy {row['strategy']}, ticker {row['ticker']}, "
        f"filled_on {row['filled_on']:%Y-%m-%d}"
    )


def _read(run: Path, name: str) -> pd.DataFrame:
    try:
        return pd.read_parquet(run / name)
    except (OSError, ValueError) as broken:
        raise RunFolderError(f"{run / name} cannot be read: {broken}. Run the plan again.") from broken
