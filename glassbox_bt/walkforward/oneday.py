"""The decisions of one date by frozen fits: daily inference, and the proof that a stored decision can be made again.

Modules answer in their order, each on views of one day: the day of the decision, and before it the days that modules above
look back on. The barrier is told what is held. Nothing is fitted, and nothing but the run's frozen fits is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from glassbox_bt.decision.barrier import BarrierResult, evaluate
from glassbox_bt.decision.stack import order
from glassbox_bt.errors import PlanError, RunFolderError
from glassbox_bt.market.store import Column, MarketStore
from glassbox_bt.modules.base import FittedModule, Module
from glassbox_bt.plan import Plan, load_stack
from glassbox_bt.types import Answers, IntArray
from glassbox_bt.walkforward.answers import Part
from glassbox_bt.walkforward.chunks import ChunkDays, chunk_days
from glassbox_bt.walkforward.decisions import decisions_table
from glassbox_bt.walkforward.fitting import load_fitted
from glassbox_bt.walkforward.replay import POLICIES, on_day, scene_of
from glassbox_bt.walkforward.tables import answers_table
from glassbox_bt.walkforward.text_answers import laid_out, silent

__all__ = ["DayDecided", "chunk_of", "decide_day"]


@dataclass(frozen=True, slots=True)
class DayDecided:
    """What was decided on one date: the table of `decisions.parquet` without chunk and split, and the barrier's result."""

    table: pd.DataFrame
    result: BarrierResult
    tickers: tuple[str, ...]


@dataclass(slots=True)
class _Stack:
    """The modules at work on one date; answers and tables grow as modules are taken in turn."""

    store: MarketStore
    modules: Mapping[str, Module]
    silent: tuple[str, ...]
    days: ChunkDays
    assets: IntArray
    columns: dict[str, Column] = field(default_factory=dict)
    answers: dict[str, Answers] = field(default_factory=dict)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)

    def table(self, module: str, _split: str) -> pd.DataFrame:
        """The module's table of the date."""
        return self.tables[module]

    def take(self, name: str, fitted: FittedModule, day: int) -> None:
        """Answer ``day`` and the days before it that others look back on, one at a time."""
        module = self.modules[name]
        days = np.arange(max(day - _reach(self.modules, name), 0), day + 1, dtype=np.int64)
        for read in module.reads:
            if read.column.partition(".")[0] in self.silent:
                since = np.arange(self.days.first, day + 1, dtype=np.int64)
                self.columns[read.column] = silent(read.column, since, self.assets)
        parts = []
        for one in days:
            span = self.store.span(np.array([one]), module.reads, self.assets, self.columns)
            parts.append(Part(fitted.predict_many(span), self.assets, self._through(module), span.days))
        said = parts[-1].answers
        self.tables[name] = answers_table(module, span, said, fitted.explain(span, said), self.store)
        self.answers[name] = said
        self.columns.update(laid_out(module, days, self.store, self.assets, parts).columns())

    def _through(self, module: Module) -> int:
        return int(self.days.train[-1]) if module.learns_from or module.self_supervised else -1


def decide_day(plan: Plan, store: MarketStore, run: Path, chunk: int, day: int, held: Mapping[str, float]) -> DayDecided:
    """Decide session ``day`` with the fits that answered validation and test of ``chunk``.

    Parameters
    ----------
    held : Mapping[str, float]
        Weights at the close of the day, fractions of equity, by ticker; whoever is not named is not held.

    Raises
    ------
    PlanError
        If the plan is an ablation that a single day cannot show.
    RunFolderError
        If the run lacks a frozen fit.
    """
    if plan.stand_ins or plan.blank or plan.lag or plan.policy != "learned" or plan.text != "as_it_came":
        raise PlanError(
            "The plan has `stand_ins`, `blank`, `lag`, `text` or `policy`: it is an ablation, and no day is decided by one. "
            "Remove them, or read the run's decisions."
        )
    days = chunk_days(store, plan.chunks[chunk - 1], chunk)
    modules = load_stack(plan)
    stack = _Stack(store, modules, plan.silent, days, store.assets_until(days.first, day))
    for name in order(modules, plan.silent):
        stack.take(name, _frozen(modules[name], run / "models" / name / f"chunk{chunk}"), day)
    scene = scene_of(store, np.array([day]), stack.assets, stack.answers)
    scene = replace(scene, inputs=POLICIES["glassbox"](scene.inputs, stack.answers))
    weights = np.array([held.get(ticker, 0.0) for ticker in scene.tickers])
    result = evaluate(on_day(scene.inputs, 0, weights), plan.rules)
    return DayDecided(decisions_table(stack, "", scene, [result]), result, scene.tickers)


def chunk_of(plan: Plan, store: MarketStore, date: str) -> tuple[int, str, int]:
    """Chunk, split and session of ``date``; a date after the last chunk's test is decided by that chunk, split ``after``.

    Raises
    ------
    PlanError
        If ``date`` is no session of the market, or lies in no chunk's validation or test.
    """
    found = store.sessions_between(date, date)
    if len(found) == 0:
        raise PlanError(f"{date} is no session of this market, which runs from {store.dates[0]} to {store.dates[-1]}.")
    day = int(found[0])
    chunks = [chunk_days(store, chunk, number) for number, chunk in enumerate(plan.chunks, start=1)]
    for split in ("test", "val"):
        for days in chunks:
            if day in days.splits[split]:
                return days.number, split, day
    latest = max(chunks, key=lambda days: days.last)
    if day > latest.last:
        return latest.number, "after", day
    raise PlanError(f"{date} lies in no chunk's validation or test. Train days are decided by no frozen fit.")


def _frozen(module: Module, folder: Path) -> FittedModule:
    if not (folder / "frozen.json").exists():
        raise RunFolderError(f"{folder} holds no frozen fit. Run the plan to its end first.")
    return load_fitted(module, folder)


def _reach(modules: Mapping[str, Module], name: str) -> int:
    """Sessions before the day on which this module must answer, because others look back on it, directly or in turn."""
    looks = [
        _reach(modules, reader) + read.sessions - 1
        for reader, module in modules.items()
        for read in module.reads
        if read.column.partition(".")[0] == name
    ]
    return max(looks, default=0)
