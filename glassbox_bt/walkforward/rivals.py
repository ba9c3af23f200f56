"""Rivals on the same days, names, fills and costs: a strategy sees point-in-time panels and returns target weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from glassbox_bt.errors import ContractError, LookAheadError
from glassbox_bt.market.store import MarketStore
from glassbox_bt.plan import Plan
from glassbox_bt.portfolio.book import Bars
from glassbox_bt.portfolio.simulate import simulate
from glassbox_bt.types import AnyArray, BoolArray, FloatArray, IntArray, Read
from glassbox_bt.walkforward.bars import bars_of
from glassbox_bt.walkforward.fitting import ChunkFitter
from glassbox_bt.walkforward.record import REPLAYED, Replay, booked

__all__ = ["RivalSpan", "Strategy", "replay_rivals", "rival_span"]


class Strategy(Protocol):
    """What a user writes: a name, a question, the columns it reads, and target weights."""

    @property
    def name(self) -> str: ...

    @property
    def reads(self) -> tuple[Read, ...]: ...

    def targets(self, span: RivalSpan) -> FloatArray:
        """Target weights decided at each session's close, (n_sessions, n_assets); NaN gives no order."""
        ...


@dataclass(frozen=True, slots=True)
class RivalSpan:
    """The days of a split with the declared columns behind them.

    ``panel(column)`` is (lookback + n_sessions, n_assets): its last ``n_sessions`` rows are the span's days. A target of
    day *i*
    may use rows up to ``lookback + i``; the look-ahead audit checks it.
    """

    days: IntArray
    tickers: tuple[str, ...]
    member: BoolArray  # (n_sessions, n_assets)
    month_start: BoolArray  # (n_sessions,)
    lookback: int
    panels: Mapping[str, AnyArray]

    @property
    def n_sessions(self) -> int:
        return len(self.days)

    @property
    def n_assets(self) -> int:
        return len(self.tickers)

    def panel(self, column: str) -> AnyArray:
        """One declared column, oldest row first; read-only."""
        if column not in self.panels:
            raise LookAheadError(
                f"`{column}` was not declared in `reads` (declared: {', '.join(self.panels) or 'nothing'})."
            )
        return self.panels[column]


def replay_rivals(plan: Plan, fitter: ChunkFitter, strategies: Sequence[Strategy]) -> Iterator[Replay]:
    """Every rival and the benchmark, on validation and on test."""
    for split in REPLAYED:
        days = fitter.days.splits[split]
        bars = bars_of(fitter.store, days, fitter.assets)
        for strategy in strategies:
            span = rival_span(fitter.store, days, fitter.assets, strategy.reads)
            targets = strategy.targets(span)
            if targets.shape != bars.open.shape:
                raise ContractError(f"`{strategy.name}` gave targets of shape {targets.shape}, expected {bars.open.shape}.")
            book = simulate(bars, targets, plan.costs)
            replay = Replay(
                strategy=strategy.name, split=split, days=days, tickers=span.tickers, bars=bars, book=book, tables={}
            )
            yield booked(replay, fitter.store)
        yield _benchmark(plan, fitter.store, days, split)


def rival_span(store: MarketStore, days: IntArray, assets: IntArray, reads: Sequence[Read]) -> RivalSpan:
    """What a rival sees of a split; read-only copies that end with it."""
    lookback = max((read.sessions for read in reads), default=1) - 1
    seen = store.span(days, [Read(read.column, lookback + 1) for read in reads], assets)
    return RivalSpan(
        days=days,
        tickers=seen.tickers,
        member=seen.member,
        month_start=np.asarray(store.columns["month_start"][days]) > 0.0,
        lookback=lookback,
        panels=seen.blocks,
    )


def _benchmark(plan: Plan, store: MarketStore, days: IntArray, split: str) -> Replay:
    """The benchmark bought once at its next close, at the same costs, and held."""
    mark = np.asarray(store.columns["benchmark_mark"][days], dtype=np.float64)[:, None]
    nothing = np.full_like(mark, np.nan)
    bars = Bars(
        open=mark,
        close=mark,
        mark=mark,
        tradable=np.isfinite(mark),
        delist_price=nothing,
        sigma=nothing,
        adv_units=nothing,
        fill_at="close",
    )
    targets = nothing.copy()
    targets[0] = 1.0
    book = simulate(bars, targets, plan.costs)
    name = str(store.facts["benchmark"])
    replay = Replay(strategy="benchmark", split=split, days=days, tickers=(name,), bars=bars, book=book, tables={})
    return booked(replay, store)
