"""The market-labelled model of the sentiment analyst: scales, anchors and a residual network.

The score is ``tanh(z)`` with ``z`` a plain sum (what the wording adds, what the engine's own polarity adds, what is known of
the document besides, what the network adds), so that a score can be taken apart exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge

from glassbox_bt.market.view import Span, TrainView
from glassbox_bt.modules._anchor import LinearAnchor, Standardiser, sigmoid
from glassbox_bt.modules._outcomes import has_earned_its_place
from glassbox_bt.modules._sentiment_network import (
    CLASSES,
    N_COLUMNS,
    SentimentNetwork,
    SentimentSizes,
    WholeRows,
    by_document,
    loss,
)
from glassbox_bt.modules._sentiment_targets import SentimentTargets
from glassbox_bt.modules._text_inputs import (
    EMBEDDING,
    FORM,
    PLACE,
    WORDS,
    Forms,
    Wording,
    age_in_days,
    engine_polarity,
)
from glassbox_bt.modules._training import ArrayRows, Schedule, Training, network_from, predict_in_blocks, train_network
from glassbox_bt.modules.base import FitContext
from glassbox_bt.types import AnyArray, BoolArray, Float32Array, FloatArray, IntArray

if TYPE_CHECKING:
    from torch import nn

__all__ = ["EFFECTS", "Heads", "SentimentModel", "TrainRows", "class_logits", "softmax", "train"]

EFFECTS = ("wording", "polarity", "facts", "network")  # what adds up to the score before its tanh, less a constant
HEADS = {"polarity": slice(0, 1), "class": slice(1, 1 + CLASSES), "magnitude": slice(1 + CLASSES, N_COLUMNS)}
SURE = 0.98  # no anchor claims a magnitude nearer to 0 or 1 than this leaves


@dataclass(frozen=True, slots=True)
class Heads:
    """Answers to rows."""

    score: FloatArray  # (n_rows,) in (-1, 1)
    anchor_score: FloatArray  # (n_rows,)
    chances: FloatArray  # (n_rows, 3): negative, neutral, positive
    magnitude: FloatArray  # (n_rows,) in (0, 1)
    effects: FloatArray  # (n_rows, 4), by EFFECTS


@dataclass(frozen=True, slots=True)
class TrainRows:
    """Chunks with a known outcome."""

    x: Float32Array  # (n_rows, k), scaled
    excess: FloatArray  # log return over the benchmark, 10 sessions
    session: IntArray
    document: IntArray
    weight: FloatArray  # share of the document
    fitting: BoolArray
    held_out: BoolArray


@dataclass(frozen=True, slots=True, eq=False)
class SentimentModel:
    """Scales, thresholds, anchors and weights.

    Parameters
    ----------
    wording : Wording
        Scale of the embeddings.
    facts : Standardiser
        Of the engine's polarity, logs of the chunk's length, place and age, and the kinds of document.
    forms : Forms
        Kinds of document that train knows.
    targets : SentimentTargets
    anchors : tuple[LinearAnchor, ...]
        Of the polarity (before its tanh), the three classes' logits and the magnitude.
    sizes, weights, speaks, on_anchors
        The network, its weights (empty for anchors alone), 1 where a head's residual earned its place on the hold-out (5,),
        and whether it starts from the anchors or from base rates only.
    """

    wording: Wording
    facts: Standardiser
    forms: Forms
    targets: SentimentTargets
    anchors: tuple[LinearAnchor, ...]
    sizes: SentimentSizes
    weights: Mapping[str, AnyArray]
    speaks: FloatArray
    on_anchors: bool

    def inputs(self, span: Span, rows: BoolArray) -> Float32Array:
        """Scaled inputs of some rows of text, (n_rows, k): wording, the engine's polarity, facts."""
        return inputs_of((self.wording, self.facts, self.forms), span, rows)

    def columns(self) -> dict[str, slice]:
        """Which inputs belong to which effect."""
        width = self.wording.width
        return {"wording": slice(0, width), "polarity": slice(width, width + 1), "facts": slice(width + 1, None)}

    def offsets(self, x: Float32Array) -> FloatArray:
        """What the residuals are added to, (n_rows, 5): anchors, or their constants alone."""
        if not self.on_anchors:
            return np.tile([one.intercept for one in self.anchors], (len(x), 1))
        z = np.stack([one.linear(x) for one in self.anchors], axis=1)
        z[:, -1] = _log_odds(z[:, -1])
        return z

    def network(self) -> nn.Module:
        """The network that answers."""
        return network_from(SentimentNetwork(self.sizes), self.weights)

    def residuals(self, x: Float32Array) -> FloatArray:
        """(n_rows, 5), 0 where a head does not speak."""
        if not self.weights or not len(x):
            return np.zeros((len(x), N_COLUMNS))
        (said,) = predict_in_blocks(self.network(), x)
        return np.asarray(self.speaks * said.astype(np.float64), dtype=np.float64)

    def heads(self, x: Float32Array) -> Heads:
        """Answers to rows of inputs."""
        offset, residual = self.offsets(x), self.residuals(x)
        z = offset + residual
        shares = self.anchors[0].contributions(x) * float(self.on_anchors)
        parts = [shares[:, columns].sum(axis=1) for columns in self.columns().values()]
        return Heads(
            np.tanh(z[:, 0]),
            np.tanh(self.anchors[0].linear(x)),
            softmax(z[:, 1 : 1 + CLASSES]),
            sigmoid(z[:, -1]),
            np.stack([*parts, residual[:, 0]], axis=1),
        )

    def arrays(self) -> dict[str, AnyArray]:
        """For `ModuleState.arrays`."""
        out = self.wording.arrays("wording") | self.facts.arrays("facts") | self.targets.arrays()
        for number, anchor in enumerate(self.anchors):
            out |= anchor.arrays(f"anchor.{number}")
        return out | {f"weight/{name}": one for name, one in self.weights.items()} | {"speaks": self.speaks}

    @classmethod
    def restore(
        cls, arrays: Mapping[str, AnyArray], forms: Forms, sizes: SentimentSizes, *, on_anchors: bool
    ) -> SentimentModel:
        """What `arrays` wrote."""
        return cls(
            Wording.restore(arrays, "wording"),
            Standardiser.restore(arrays, "facts"),
            forms,
            SentimentTargets.restore(arrays),
            tuple(LinearAnchor.restore(arrays, f"anchor.{number}") for number in range(N_COLUMNS)),
            replace(sizes, n_inputs=len(arrays["anchor.0.coefficients"])),
            {name.removeprefix("weight/"): one for name, one in arrays.items() if name.startswith("weight/")},
            arrays["speaks"],
            on_anchors,
        )

    @classmethod
    def of_anchors(
        cls, view: TrainView, rows: BoolArray, targets: SentimentTargets, sizes: SentimentSizes
    ) -> SentimentModel:
        """Scales of the fitting rows; anchors are set by `with_anchors`."""
        wording, forms = Wording.fit(view.block(EMBEDDING)[rows]), Forms.fit(view.block(FORM)[rows])
        facts = Standardiser.fit(raw_facts(view, rows, forms))
        width = wording.width + len(facts.mean)
        sizes = replace(sizes, n_inputs=width)
        return cls(wording, facts, forms, targets, (), sizes, {}, np.zeros(N_COLUMNS), True)

    def with_anchors(self, rows: TrainRows, penalties: tuple[float, float]) -> SentimentModel:
        """(ridge, logit) penalties per row; a document weighs 1."""
        fit, known = rows.fitting, self.targets
        x, weight, excess = rows.x[fit].astype(np.float64), rows.weight[fit], rows.excess[fit]
        polarity = _ridge(x, known.score(excess), weight, penalties[0])
        magnitude = _ridge(x, known.magnitude(excess), weight, penalties[0])
        classes = class_logits(x, known.classes(excess), weight, penalties[1])
        return replace(self, anchors=(polarity, *classes, magnitude))

    def on_base_rates(self) -> SentimentModel:
        """What a network alone starts from: the anchors' constants, the magnitude's as log-odds."""
        last = self.anchors[-1]
        magnitude = replace(last, intercept=float(_log_odds(np.array([last.intercept]))[0]))
        return replace(self, anchors=(*self.anchors[:-1], magnitude), on_anchors=False)


def raw_facts(span: Span, rows: BoolArray, forms: Forms) -> FloatArray:
    """What is known of some rows besides their words, (n_rows, 4 + kinds + 1), before scaling."""
    logs = [np.log1p(np.asarray(span.block(name)[rows], dtype=np.float64)) for name in (WORDS, PLACE)]
    plain = np.stack([engine_polarity(span)[rows], *logs, np.log1p(age_in_days(span)[rows])], axis=1)
    return np.concatenate([plain, forms.one_hot(span.block(FORM)[rows])], axis=1)


def inputs_of(scales: tuple[Wording, Standardiser, Forms], span: Span, rows: BoolArray) -> Float32Array:
    """Scaled inputs of some rows; see `SentimentModel.inputs`."""
    wording, facts, forms = scales
    besides = facts.scaled(raw_facts(span, rows, forms)).astype(np.float32)
    return np.concatenate([wording.scaled(span.block(EMBEDDING)[rows]), besides], axis=1)


def train(model: SentimentModel, rows: TrainRows, schedule: Schedule, ctx: FitContext) -> tuple[SentimentModel, Training]:
    """Train the residuals; on anchors, each that has not earned its place on the hold-out is left out again (R32)."""
    training = train_network(
        lambda: SentimentNetwork(model.sizes), loss, _source(model, rows), _whole(model, rows), schedule, ctx
    )
    learned = replace(model, weights=training.best, speaks=np.ones(N_COLUMNS))
    if model.on_anchors:
        learned = replace(learned, speaks=_earned(learned, rows))
    return learned, training


def _source(model: SentimentModel, rows: TrainRows) -> ArrayRows:
    fit, known = rows.fitting, model.targets
    x, excess = rows.x[fit], rows.excess[fit]
    return ArrayRows(
        {
            "x": x,
            "offset": model.offsets(x).astype(np.float32),
            "target": known.score(excess).astype(np.float32),
            "class": known.classes(excess),
            "magnitude": known.magnitude(excess).astype(np.float32),
            "weight": rows.weight[fit].astype(np.float32),
        }
    )


def _whole(model: SentimentModel, rows: TrainRows) -> WholeRows:
    held = rows.held_out
    x, excess = rows.x[held], rows.excess[held]
    return WholeRows(
        {
            "x": x,
            "offset": model.offsets(x).astype(np.float32),
            "excess": excess,
            "class": model.targets.classes(excess),
            "document": rows.document[held],
            "weight": rows.weight[held],
        }
    )


def _earned(model: SentimentModel, rows: TrainRows) -> FloatArray:
    """1 in the columns of the heads that beat their anchors on the hold-out, else 0, (5,)."""
    held = rows.held_out
    x, excess = rows.x[held], rows.excess[held]
    document, weight, days = rows.document[held], rows.weight[held], rows.session[held]
    spoken, anchored = model.heads(x), replace(model, speaks=np.zeros(N_COLUMNS)).heads(x)
    speaks = np.zeros(N_COLUMNS)
    for name, columns in HEADS.items():
        pair = []
        for heads in (spoken, anchored):
            if name == "polarity":  # minus each document's part of the rank correlation
                first, score = by_document(heads.score, document, weight)
                pair.append(-_centred_rank(score) * _centred_rank(excess[first]))
            else:
                first, one = by_document(_row_loss(model, heads, excess, name), document, weight)
                pair.append(one)
        speaks[columns] = float(has_earned_its_place(days[first], pair[0], pair[1]))
    return speaks


def _row_loss(model: SentimentModel, heads: Heads, excess: FloatArray, head: str) -> FloatArray:
    if head == "class":
        chance = heads.chances[np.arange(len(excess)), model.targets.classes(excess)]
        return np.asarray(-np.log(np.maximum(chance, 1e-12)), dtype=np.float64)
    wanted = model.targets.magnitude(excess)
    return np.asarray(-(wanted * np.log(heads.magnitude) + (1.0 - wanted) * np.log1p(-heads.magnitude)))


def _centred_rank(values: FloatArray) -> FloatArray:
    from scipy.stats import rankdata

    return np.asarray(rankdata(values) / len(values) - 0.5, dtype=np.float64)


def _ridge(x: FloatArray, y: FloatArray, weight: FloatArray, penalty: float) -> LinearAnchor:
    model = Ridge(alpha=penalty * float(weight.sum()), solver="cholesky").fit(x, y, sample_weight=weight)
    return LinearAnchor(np.asarray(model.coef_, dtype=np.float64), float(model.intercept_))


def class_logits(x: FloatArray, wanted: IntArray, weight: FloatArray, penalty: float) -> tuple[LinearAnchor, ...]:
    """One linear predictor for each class; base rates alone where a class is missing from train (Jeffreys)."""
    count = np.bincount(wanted, weights=weight, minlength=CLASSES)
    if (count == 0.0).any():
        rates = np.log((count + 0.5) / (count.sum() + 0.5 * CLASSES))
        return tuple(LinearAnchor(np.zeros(x.shape[1]), float(rate)) for rate in rates)
    model = LogisticRegression(C=1.0 / (2.0 * penalty * float(weight.sum())), max_iter=1000, tol=1e-6)
    model.fit(x, wanted, sample_weight=weight)
    pairs = zip(model.coef_, model.intercept_, strict=True)
    return tuple(LinearAnchor(np.asarray(one, dtype=np.float64), float(base)) for one, base in pairs)


def softmax(logits: FloatArray) -> FloatArray:
    """Probabilities by row, (n_rows, k)."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float64)


def _log_odds(share: FloatArray) -> FloatArray:
    kept = np.clip(share, 1.0 - SURE, SURE)
    return np.asarray(np.log(kept / (1.0 - kept)), dtype=np.float64)
