"""A tiny market with made-up GARCH forecasts and embeddings, whose outcomes follow what the test says, for risk modules."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np

from glassbox_bt.market.store import AnswerColumn, Label, MarketStore
from glassbox_bt.market.view import Span, TrainView
from glassbox_bt.modules.base import FitContext, Module
from glassbox_bt.types import AnyArray, FloatArray, IntArray, Read
from tests.builders import tiny_store
from tests.contracts.upstream import upstream

__all__ = ["ALL", "LATER", "TRAIN", "WIDTH", "context", "given_below", "market", "relabelled", "span_of", "train_view_of"]

TRAIN = np.arange(90, 400, dtype=np.int64)
LATER = np.arange(405, 480, dtype=np.int64)
ALL = np.arange(90, 480, dtype=np.int64)
WIDTH = 8


def market() -> MarketStore:
    """480 sessions of 6 names."""
    return tiny_store(480, 6, seed=2)


def given_below(store: MarketStore, reads: Iterable[Read], seed: int = 3) -> dict[str, AnswerColumn]:
    """Answers of the modules below, known from session 40 on."""
    return upstream(store, reads, seed=seed, warm_up=40)


def relabelled(store: MarketStore, values: Mapping[str, FloatArray]) -> MarketStore:
    """The store with other outcomes, (n_sessions, n_assets), missing where the real ones are; their clock stays."""
    labels = {
        name: dataclasses.replace(store.labels[name], values=np.where(np.isfinite(store.labels[name].values), one, np.nan))
        for name, one in values.items()
    }
    return dataclasses.replace(store, labels={**store.labels, **labels})


def train_view_of(
    store: MarketStore, module: Module, below: Mapping[str, AnswerColumn], days: IntArray = TRAIN
) -> TrainView:
    """What a fit on ``days`` is handed."""
    return store.train_view(days, module.reads, module.learns_from, store.assets_until(0, int(days[-1])), below)


def span_of(store: MarketStore, module: Module, below: Mapping[str, AnswerColumn], days: IntArray = ALL) -> Span:
    """What a prediction on ``days`` is handed."""
    return store.span(days, module.reads, store.assets_until(0, store.n_sessions - 1), below)


def context(module: Module, **changes: object) -> FitContext:
    """A context for fits."""
    return dataclasses.replace(FitContext(seed=7, module=module.name, chunk=1, fold=0), **changes)  # type: ignore[arg-type]


def embedding_of(below: Mapping[str, AnswerColumn]) -> AnyArray:
    """(n_sessions, n_assets, WIDTH), 0 where unknown."""
    return np.nan_to_num(below["temporal_encoder.embedding"].values)


def as_label(label: Label, values: FloatArray) -> Label:
    """Other values on the same clock."""
    return dataclasses.replace(label, values=values)
