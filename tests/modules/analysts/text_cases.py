"""A tiny market with text whose made-up vectors may say, in one component, which way prices go."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from glassbox_bt.market.documents import TextColumn
from glassbox_bt.market.store import MarketStore
from glassbox_bt.market.view import Span, TrainView
from glassbox_bt.modules.base import Candidate, FitContext, Module
from glassbox_bt.types import Answers, FloatArray, IntArray
from tests.builders import tiny_store
from tests.contracts.text import text_answer, with_text

__all__ = [
    "LATER",
    "TRAIN",
    "below",
    "context",
    "document_ic",
    "fitted",
    "larger_outcomes",
    "market",
    "outcomes_of",
    "span_of",
    "train_view_of",
]

TRAIN = np.arange(90, 420, dtype=np.int64)
LATER = np.arange(425, 585, dtype=np.int64)
EXCESS = "forward_excess_log_return_10d"
LABELS = (EXCESS, "forward_vol_30d", "forward_drawdown_30d")


@cache
def market(strength: float = 0.0, seed: int = 0) -> MarketStore:
    """600 sessions of 12 names; with a strength, the excess return follows the mean sign of the day's texts on the name."""
    store = with_text(tiny_store(600, 12, seed=2), 3600, seed=seed + 1, most_chunks=4)
    frame = store.text.frame
    shape = store.member.shape
    total, count = np.zeros(shape), np.zeros(shape)
    about = (frame["asset"] >= 0).to_numpy()
    place = (frame["session"].to_numpy()[about], frame["asset"].to_numpy()[about])
    np.add.at(total, place, signs(store, seed)[about])
    np.add.at(count, place, 1.0)
    mean = np.divide(total, count, out=np.zeros(shape), where=count > 0.0)
    noise = np.random.default_rng([seed, 3]).standard_normal(shape)
    labels = dict(store.labels)
    for name, scale, floor in ((EXCESS, 0.05, -np.inf), ("forward_vol_30d", 0.1, 0.05), ("forward_drawdown_30d", 0.04, 0.0)):
        way = 1.0 if name == EXCESS else -1.0  # bad words, rough times
        values = scale * (way * strength * mean + noise) + (0.2 if name == "forward_vol_30d" else 0.0)
        known = np.isfinite(store.labels[name].values)
        labels[name] = dataclasses.replace(store.labels[name], values=np.where(known, np.maximum(values, floor), np.nan))
    return dataclasses.replace(store, labels=labels)


def larger_outcomes(store: MarketStore, first: int) -> MarketStore:
    """The store with ten times what came of decisions on session ``first`` and later ones."""
    labels = dict(store.labels)
    for name in LABELS:
        values = labels[name].values.copy()
        values[first:] *= 10.0
        labels[name] = dataclasses.replace(labels[name], values=values)
    return dataclasses.replace(store, labels=labels)


def signs(store: MarketStore, seed: int) -> FloatArray:
    """What the chunks of each document say, -1 or 1, by row of text."""
    document = store.text.frame["document"].to_numpy()
    drawn = np.random.default_rng([seed, 4]).choice([-1.0, 1.0], int(document.max()) + 1)
    return np.asarray(drawn[document], dtype=np.float64)


def below(store: MarketStore, seed: int = 0) -> dict[str, TextColumn]:
    """What the encoder says: noise, and in the first component the sign with as much noise."""
    names = ("text_encoder.embedding", "text_encoder.polarity", "text_encoder.has_polarity")
    answers = {name: text_answer(store, name, seed=seed) for name in names}
    vectors = np.array(answers[names[0]].values)
    vectors[:, 0] = signs(store, seed) + 0.5 * vectors[:, 0]
    return {**answers, names[0]: dataclasses.replace(answers[names[0]], values=vectors)}


def train_view_of(store: MarketStore, module: Module, answers: Mapping[str, Any], days: IntArray = TRAIN) -> TrainView:
    """What a fit on ``days`` is handed."""
    return store.train_view(days, module.reads, module.learns_from, store.assets_until(0, int(days[-1])), answers)


def span_of(store: MarketStore, module: Module, answers: Mapping[str, Any], days: IntArray = LATER) -> Span:
    """What a prediction on ``days`` is handed."""
    return store.span(days, module.reads, store.assets_until(0, store.n_sessions - 1), answers)


def context(module: Module, **changes: Any) -> FitContext:
    """A context for fits."""
    return dataclasses.replace(FitContext(seed=7, module=module.name, chunk=1, fold=0), **changes)


def fitted(module: Module, store: MarketStore, answers: Mapping[str, Any] | None = None) -> tuple[Candidate, ...]:
    """The candidates of a fit on train."""
    return module.fit(train_view_of(store, module, below(store) if answers is None else answers), context(module))


def outcomes_of(store: MarketStore, answers: Answers) -> FloatArray:
    """What came of each answered row, NaN where not known."""
    frame = store.text.frame.iloc[answers.rows]
    asset = frame["asset"].to_numpy()
    came = store.labels[EXCESS].values[answers.days, np.maximum(asset, 0)]
    return np.where(asset >= 0, came, np.nan)


def document_ic(store: MarketStore, answers: Answers, output: str) -> tuple[float, float, float]:
    """Rank correlation of documents' mean scores with their outcomes, and its 95 % interval over blocks of 20 sessions."""
    from scipy.stats import rankdata, t

    document = store.text.frame["document"].to_numpy()[answers.rows]
    score, came = answers.outputs[output], outcomes_of(store, answers)
    rows = np.isfinite(score) & np.isfinite(came)
    _, first, place = np.unique(document[rows], return_index=True, return_inverse=True)
    mean = np.bincount(place, weights=score[rows]) / np.bincount(place)
    ranks = [rankdata(one) / len(one) - 0.5 for one in (mean, came[rows][first])]
    ranks = [(one - one.mean()) / one.std() for one in ranks]
    block = (answers.days[rows][first] - LATER[0]) // 20
    blocks = np.array([np.mean((ranks[0] * ranks[1])[block == one]) for one in np.unique(block)])
    half = float(t.ppf(0.975, len(blocks) - 1) * blocks.std(ddof=1) / np.sqrt(len(blocks)))
    return float(blocks.mean()), float(blocks.mean()) - half, float(blocks.mean()) + half
