"""Small contagion modules and markets for their tests."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from glassbox_bt.market.ingest import build_store
from glassbox_bt.market.sources.synthetic import SyntheticMarket
from glassbox_bt.market.sources.synthetic_record import SyntheticTruth
from glassbox_bt.market.store import MarketStore
from glassbox_bt.market.view import Span, TrainView
from glassbox_bt.modules._contagion_graph import Shape
from glassbox_bt.modules._contagion_inputs import Look, Panel
from glassbox_bt.modules._contagion_rows import Graphs
from glassbox_bt.modules.base import Candidate, FitContext
from glassbox_bt.modules.risk.contagion import FittedContagion, StemGnnContagion
from glassbox_bt.types import Answers, BoolArray, IntArray
from tests.builders import tiny_store

__all__ = [
    "CONTEXT",
    "LATER",
    "SMALL",
    "TRAIN",
    "answered",
    "candidates",
    "fitted",
    "graph_of",
    "linked",
    "planted",
    "shape",
    "span_of",
    "tiny",
    "train_of",
]

SMALL: dict[str, Any] = {
    **{"memory": 252, "min_names": 3, "fewest_neighbours": 20, "hidden": 4, "terms": 3, "multi": 1, "blocks": 2},
    **{"dropout": 0.1, "shuffles": 9, "epochs": 2, "batch_size": 32, "learning_rate": 1e-2, "patience": 6},
}
CONTEXT = FitContext(seed=7, module="contagion", chunk=1, fold=0)
TRAIN = np.arange(150, 470, dtype=np.int64)
LATER = np.arange(472, 540, dtype=np.int64)


@cache
def tiny(n_assets: int = 8) -> MarketStore:
    return tiny_store(540, n_assets, seed=2)


def train_of(store: MarketStore, module: StemGnnContagion, days: IntArray = TRAIN) -> TrainView:
    return store.train_view(days, module.reads, module.learns_from, np.arange(store.n_assets))


def span_of(store: MarketStore, module: StemGnnContagion, days: IntArray = LATER) -> Span:
    return store.span(days, module.reads, np.arange(store.n_assets))


@cache
def candidates(**settings: Any) -> tuple[Candidate, ...]:
    module = StemGnnContagion(**{**SMALL, **settings})
    return module.fit(train_of(tiny(), module), CONTEXT)


def fitted(variant: str = "anchored", **settings: Any) -> FittedContagion:
    asked = {**settings, "variant": variant} if variant == "network" else settings
    found = next(one.fitted for one in candidates(**asked) if one.variant == variant)
    assert isinstance(found, FittedContagion)
    return found


def answered(one: FittedContagion, days: IntArray = LATER, store: MarketStore | None = None) -> Answers:
    return one.predict_many(span_of(store or tiny(), StemGnnContagion(**SMALL), days))


def shape(share: float = 0.02, fewest: int = 20, dense_up_to: int = 128) -> Shape:
    return Shape(share=share, fewest=fewest, dense_up_to=dense_up_to)


def graph_of(store: MarketStore, layout: Shape, days: IntArray = LATER, memory: int = 252) -> tuple[Panel, Graphs]:
    look = Look(window=30, memory=memory, min_names=3)
    panel = Panel.of(store.span(days, look.reads, np.arange(store.n_assets)), look)
    return panel, Graphs.of(panel, layout)


@cache
def planted(
    n_names: int, contagion: float, seed: int, last: str, shocks: float = 0.003
) -> tuple[MarketStore, SyntheticTruth]:
    """A synthetic market with tail shocks that are, or are not, passed on."""
    settings: dict[str, Any] = {
        **{"seed": seed, "n_names": n_names, "first": "1998-01-02", "last": last, "text": False, "delistings": 0},
        **{"halts": 4, "splits": 2, "tail_shocks": shocks, "contagion": contagion},
    }
    market = SyntheticMarket(**settings)
    raw = market.raw()
    assert isinstance(raw.truth, SyntheticTruth)
    return build_store(raw), raw.truth


def linked(truth: SyntheticTruth, tickers: tuple[str, ...]) -> BoolArray:
    """Planted edges, (n_receivers, n_sources)."""
    edges: BoolArray = np.zeros((len(tickers), len(tickers)), dtype=bool)
    for source, target in zip(truth.edges["source"], truth.edges["target"], strict=True):
        edges[tickers.index(target), tickers.index(source)] = True
    return edges
