"""One epoch and one pass of answers of each learned risk module, at the sizes of the shipped markets.

Networks have the reduced sizes of quickstart. An epoch is a fit of two epochs less a fit of one: anchors and inputs cancel.
Bytes are those of the tensors that it makes, forwards and backwards; the ceiling is a copy in memory by the same thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from time import process_time
from typing import Any, cast

import numpy as np
import pytest
import torch

from glassbox_bt.market.store import AnswerColumn, MarketStore
from glassbox_bt.modules.base import FitContext, Module
from glassbox_bt.plan import load_stack, read_plan
from tests.benchmarks.made import Made, ceiling
from tests.builders import tiny_store
from tests.contracts.upstream import upstream

PLAN = Path(__file__).resolve().parents[2] / "experiments" / "quickstart" / "plan.toml"
LEARNED = ("volatility", "drawdown", "contagion", "regime")
TRAIN = np.arange(300, 800, dtype=np.int64)
LATER = np.arange(800, 863, dtype=np.int64)  # a quarter


@cache
def market(n_names: int) -> MarketStore:
    return tiny_store(n_sessions=900, n_assets=n_names, seed=1)


def moved(module: Module, store: MarketStore, below: Mapping[str, AnswerColumn], epochs: int) -> tuple[float, int]:
    """CPU seconds of a fit, and the bytes that another one makes."""
    assets = store.assets_until(0, store.n_sessions - 1)
    train = store.train_view(TRAIN, module.reads, module.learns_from, assets, below)
    one = cast(Module, replace(cast(Any, module), epochs=epochs, patience=epochs))
    context = FitContext(7, module.name, 1, 5)
    started = process_time()
    one.fit(train, context)
    seconds = process_time() - started
    with Made() as made:
        one.fit(train, context)
    return seconds, made.n_bytes


@pytest.mark.parametrize("n_names", [20, 88, 500])
@pytest.mark.parametrize("name", LEARNED)
def test_an_epoch_and_a_pass(name: str, n_names: int) -> None:
    torch.set_num_threads(1)
    module, store = load_stack(read_plan(PLAN))[name], market(n_names)
    below = upstream(store, module.reads, seed=5, silent=())
    moved(module, market(20), upstream(market(20), module.reads, seed=5, silent=()), 1)  # compile
    once, twice = (moved(module, store, below, epochs) for epochs in (1, 2))
    epoch, n_bytes = twice[0] - once[0], twice[1] - once[1]

    assets = store.assets_until(0, store.n_sessions - 1)
    train = store.train_view(TRAIN, module.reads, module.learns_from, assets, below)
    fitted = module.select(module.fit(train, FitContext(7, name, 1, 5)), None).fitted
    span = store.span(LATER, module.reads, assets, below)
    started = process_time()
    answers = fitted.predict_many(span)
    passed = process_time() - started
    assert answers.known.any()
    share = float(getattr(module, "rows_share", 1.0))
    rows, answered = int(share * len(TRAIN) * n_names), int(answers.known.sum())
    print(
        f"\n{name}, {n_names} names, one thread, CPU time"
        f"\nan epoch of {rows:,} name-days     {epoch:8.2f} s  {n_bytes / 1e6:10,.0f} MB made"
        f"  {n_bytes / epoch / ceiling():6.1%} of the ceiling"
        f"\na pass over {answered:,} name-days   {passed:8.2f} s  {answered / passed:10,.0f} name-days/s"
    )
