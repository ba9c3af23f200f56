"""Small regime modules, markets and scores for their tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from glassbox_bt.market.ingest import build_store
from glassbox_bt.market.sources.synthetic import SyntheticMarket
from glassbox_bt.market.store import AnswerColumn, MarketStore
from glassbox_bt.market.view import Span, TrainView
from glassbox_bt.modules._regime_fitted import CHANCES, per_day
from glassbox_bt.modules._regime_model import log_losses
from glassbox_bt.modules.base import Candidate, FitContext
from glassbox_bt.modules.risk.regime import FittedRegime, MtgnnRegime
from glassbox_bt.types import Answers, FloatArray, IntArray
from tests.builders import tiny_store
from tests.contracts.upstream import upstream

__all__ = [
    "CONTEXT",
    "LATER",
    "SMALL",
    "TRAIN",
    "answered",
    "below",
    "candidates",
    "fitted",
    "gains",
    "interval",
    "regime_market",
    "span_of",
    "tiny",
    "train_of",
]

SMALL: dict[str, Any] = {
    **{"min_names": 3, "min_points": 60, "node": 8, "graph": 4, "classifier": 8, "fewest_neighbours": 2, "dropout": 0.1},
    **{"epochs": 2, "batch_size": 32, "learning_rate": 1e-2, "patience": 6},
}
CONTEXT = FitContext(seed=7, module="regime", chunk=1, fold=0)
TRAIN = np.arange(130, 470, dtype=np.int64)
LATER = np.arange(472, 540, dtype=np.int64)


@cache
def tiny(n_assets: int = 8) -> MarketStore:
    return tiny_store(540, n_assets, seed=2)


def below(store: MarketStore, module: MtgnnRegime) -> Mapping[str, AnswerColumn]:
    """Made-up embeddings."""
    return upstream(store, module.reads, seed=3)


def train_of(store: MarketStore, module: MtgnnRegime, days: IntArray = TRAIN) -> TrainView:
    return store.train_view(days, module.reads, module.learns_from, np.arange(store.n_assets), below(store, module))


def span_of(store: MarketStore, module: MtgnnRegime, days: IntArray = LATER) -> Span:
    return store.span(days, module.reads, np.arange(store.n_assets), below(store, module))


@cache
def candidates(**settings: Any) -> tuple[Candidate, ...]:
    module = MtgnnRegime(**{**SMALL, **settings})
    return module.fit(train_of(tiny(), module), CONTEXT)


def fitted(variant: str = "anchored", **settings: Any) -> FittedRegime:
    asked = {**settings, "variant": variant} if variant == "network" else settings
    found = next(one.fitted for one in candidates(**asked) if one.variant == variant)
    assert isinstance(found, FittedRegime)
    return replace(found, speaks=(1.0, 1.0)) if variant == "anchored" else found


def answered(one: FittedRegime, days: IntArray = LATER, store: MarketStore | None = None) -> Answers:
    return one.predict_many(span_of(store or tiny(), MtgnnRegime(**SMALL), days))


@cache
def regime_market(n_regimes: int, seed: int) -> MarketStore:
    """A synthetic market of 16 names with or without planted regimes."""
    market = SyntheticMarket(
        **{"seed": seed, "n_names": 16, "first": "1999-01-04", "last": "2011-12-30", "n_regimes": n_regimes},
        **{"text": False, "delistings": 0, "noise_only": n_regimes == 1},
    )
    return build_store(market.raw())


def gains(one: FittedRegime, answers: Answers, labels: Mapping[str, FloatArray], rival: str) -> FloatArray:
    """By day with a known outcome: log loss of a rival less that of the module."""
    wanted = np.where(answers.known.any(axis=1), one.outcomes(labels), np.nan)
    ours, theirs = (
        log_losses(np.stack([per_day(answers, f"{name}{ending}") for name in CHANCES], axis=-1), wanted)
        for ending in ("", f"_{rival}")
    )
    gain = theirs - ours
    return gain[np.isfinite(gain)]


def interval(gain: FloatArray, block: int = 60, draws: int = 400) -> tuple[float, float]:
    """95 % of means over blocks of days drawn anew; regimes last months, so blocks do too."""
    rng, found = np.random.default_rng(0), []
    for _ in range(draws):
        starts = rng.integers(0, len(gain), -(-len(gain) // block))
        found.append(gain[((starts[:, None] + np.arange(block)).ravel() % len(gain))[: len(gain)]].mean())
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)
