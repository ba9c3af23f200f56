"""The model of the news analyst: scales, thresholds, anchors, a residual network and maps of its shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from glassbox_bt.market.view import Span
from glassbox_bt.modules._anchor import LinearAnchor, Standardiser, fit_logit, fit_ridge
from glassbox_bt.modules._news_calibration import fit_map, log_odds, mapped
from glassbox_bt.modules._news_documents import DocumentRows, Grouped, raw_facts
from glassbox_bt.modules._news_network import N_ATTENTION, NewsNetwork, NewsSizes, head_losses, loss
from glassbox_bt.modules._news_targets import HEADS, HORIZON, NewsTargets
from glassbox_bt.modules._outcomes import has_earned_its_place
from glassbox_bt.modules._text_inputs import EMBEDDING, FORM, Forms, Wording
from glassbox_bt.modules._training import Schedule, Training, network_from, predict_rows, train_network
from glassbox_bt.modules.base import FitContext
from glassbox_bt.types import AnyArray, BoolArray, Float32Array, FloatArray, IntArray

if TYPE_CHECKING:
    from torch import nn

__all__ = ["EFFECTS", "N_HEADS", "Heads", "Inputs", "NewsModel", "TrainDocuments", "train"]

N_HEADS = len(HEADS)
EFFECTS = ("wording", "polarity", "facts", "network")  # what adds up to the impact before its tanh, less a constant


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """Scaled inputs of documents."""

    grouped: Grouped
    tokens: Float32Array  # (n_used, width)
    facts: Float32Array  # (n_documents, k)

    def flat(self) -> Float32Array:
        """What the anchors read: the mean of the chunks' vectors, then the facts, (n_documents, width + k)."""
        return np.concatenate([self.grouped.mean_token(self.tokens), self.facts], axis=1)

    def rows(self, extras: Mapping[str, AnyArray] | None = None) -> DocumentRows:
        """For the network."""
        given = {"facts": self.facts, **(extras or {})}
        return DocumentRows(self.tokens, self.grouped.start, self.grouped.count, given)


@dataclass(frozen=True, slots=True)
class TrainDocuments:
    """Documents of train: inputs, targets by head, and which to fit and to stop on, (n_documents, ...)."""

    inputs: Inputs
    target: FloatArray  # (n_documents, 5)
    excess: FloatArray
    session: IntArray
    fitting: BoolArray
    held_out: BoolArray


@dataclass(frozen=True, slots=True)
class Heads:
    """Answers to documents."""

    impact: FloatArray  # (n_documents,) in (-1, 1)
    anchor_impact: FloatArray
    chances: FloatArray  # (n_documents, 4) by HEADS[1:], put right
    effects: FloatArray  # (n_documents, 4) by EFFECTS
    attention: FloatArray  # (n_used, 4), adds up to 1 over a document


@dataclass(frozen=True, slots=True, eq=False)
class NewsModel:
    """Scales, thresholds, anchors, weights, maps.

    Parameters
    ----------
    wording, facts, forms
        Scales of vectors and facts, and the kinds of document that train knows.
    targets : NewsTargets
    anchors : tuple[LinearAnchor, ...]
        By ``HEADS``: the impact before its tanh, the two shares themselves, the two events' logits.
    sizes, weights, speaks, on_anchors
        The network, its weights (empty for anchors alone), 1 where a head's residual earned its place (5,), and whether it
        starts from the anchors or from base rates only.
    maps : FloatArray
        Shift and stretch of the log-odds of the last four heads, (4, 2).
    """

    wording: Wording
    facts: Standardiser
    forms: Forms
    targets: NewsTargets
    anchors: tuple[LinearAnchor, ...]
    sizes: NewsSizes
    weights: Mapping[str, AnyArray]
    speaks: FloatArray
    maps: FloatArray
    on_anchors: bool

    @classmethod
    def of_scales(
        cls, span: Span, grouped: Grouped, fitting: BoolArray, targets: NewsTargets, sizes: NewsSizes
    ) -> NewsModel:
        """Scales of the fitting documents; anchors are set by `with_anchors`."""
        rows = grouped.rows[fitting[grouped.owner]]
        wording, forms = Wording.fit(span.block(EMBEDDING)[rows]), Forms.fit(span.block(FORM)[grouped.first[fitting]])
        facts = Standardiser.fit(raw_facts(span, grouped, forms)[fitting])
        sizes = replace(sizes, n_token=wording.width, n_facts=len(facts.mean))
        return cls(wording, facts, forms, targets, (), sizes, {}, np.zeros(N_HEADS), _as_they_are(), True)

    def inputs(self, span: Span, grouped: Grouped) -> Inputs:
        """Scaled inputs of documents."""
        tokens = self.wording.scaled(span.block(EMBEDDING)[grouped.rows[grouped.used]])
        return Inputs(grouped, tokens, self.facts.scaled(raw_facts(span, grouped, self.forms)).astype(np.float32))

    def with_anchors(self, train: TrainDocuments, penalties: tuple[float, float]) -> NewsModel:
        """(ridge, logit) penalties per row; a document weighs 1 (D-LAB-02)."""
        fit = train.fitting
        x, y = train.inputs.flat()[fit].astype(np.float64), train.target[fit]
        shares = [fit_ridge(x, y[:, head], penalty=penalties[0]) for head in range(3)]
        events = [fit_logit(x, y[:, head], penalty=penalties[1]) for head in (3, 4)]
        return replace(self, anchors=(*shares, *events))

    def on_base_rates(self) -> NewsModel:
        """What a network alone starts from."""
        return replace(self, on_anchors=False)

    def offsets(self, flat: Float32Array) -> FloatArray:
        """What the residuals are added to, (n_documents, 5): anchors, or their constants; the impact's before its tanh."""
        if self.on_anchors:
            z = np.stack([one.linear(flat) for one in self.anchors], axis=1)
        else:
            z = np.tile([one.intercept for one in self.anchors], (len(flat), 1))
        z[:, 1:3] = log_odds(z[:, 1:3])
        return z

    def network(self) -> nn.Module:
        """The network that answers."""
        return network_from(NewsNetwork(self.sizes), self.weights)

    def read(self, inputs: Inputs) -> tuple[FloatArray, FloatArray]:
        """Residuals (n_documents, 5), 0 where a head does not speak, and attention (n_used, 4).

        Documents are read in groups of like length, each padded to one of seven lengths, so that no answer depends on the
        documents around it (R13). Without a network that speaks, the attention is what the anchors do: even.
        """
        grouped = inputs.grouped
        residual = np.zeros((len(grouped), N_HEADS))
        attention = np.repeat(1.0 / np.maximum(grouped.count, 1), grouped.count)[:, None].repeat(N_ATTENTION, axis=1)
        if not self.weights or not self.speaks.any() or not len(grouped):
            return residual, attention
        network, rows, shortest = self.network(), inputs.rows(), 1
        while shortest <= int(grouped.count.max()):
            longest = 1 if shortest == 1 else 2 * (shortest - 1)
            mine, bucket = rows.bucket(shortest, longest)
            if len(mine):
                said, weights = predict_rows(lambda batch: network(batch["tokens"], batch["mask"], batch["facts"]), bucket)
                residual[mine] = self.speaks * said.astype(np.float64)
                there = np.arange(longest) < grouped.count[mine][:, None]
                place = (grouped.start[mine][:, None] + np.arange(longest))[there]
                attention[place] = weights[there]
            shortest = longest + 1
        return residual, attention

    def heads(self, inputs: Inputs) -> Heads:
        """Answers to documents."""
        flat = inputs.flat()
        residual, attention = self.read(inputs)
        z = self.offsets(flat) + residual
        chances = np.stack([mapped(z[:, 1 + k], how) for k, how in enumerate(self.maps)], axis=1)
        shares = self.anchors[0].contributions(flat) * float(self.on_anchors)
        parts = [shares[:, columns].sum(axis=1) for columns in self.columns().values()]
        effects = np.stack([*parts, residual[:, 0]], axis=1)
        return Heads(np.tanh(z[:, 0]), np.tanh(self.anchors[0].linear(flat)), chances, effects, attention)

    def columns(self) -> dict[str, slice]:
        """Which columns of `Inputs.flat` belong to which effect."""
        width = self.wording.width
        return {"wording": slice(0, width), "polarity": slice(width, width + 1), "facts": slice(width + 1, None)}

    def calibrated(self, train: TrainDocuments) -> NewsModel:
        """The model with its shares and chances put right on the hold-out."""
        held = train.held_out
        z = (self.offsets(train.inputs.flat()) + self.read(train.inputs)[0])[held]
        maps = [fit_map(z[:, head], train.target[held, head], train.session[held]) for head in range(1, N_HEADS)]
        return replace(self, maps=np.stack(maps))

    def chances_held_out(self, train: TrainDocuments) -> FloatArray:
        """Chances on the hold-out, (n_held, heads - 1), each half put right on the other: no outcome judges its own map."""
        held = train.held_out
        session, target = train.session[held], train.target[held]
        z = (self.offsets(train.inputs.flat()) + self.read(train.inputs)[0])[held]
        middle = float(np.median(session))
        chances = np.zeros((len(z), N_HEADS - 1))
        for mine, other in (
            (session <= middle, session > middle + HORIZON),
            (session > middle, session <= middle - HORIZON),
        ):
            for head in range(1, N_HEADS):
                how = fit_map(z[other, head], target[other, head], session[other])
                chances[mine, head - 1] = mapped(z[mine, head], how)
        return chances

    def arrays(self) -> dict[str, AnyArray]:
        """For `ModuleState.arrays`."""
        out = self.wording.arrays("wording") | self.facts.arrays("facts") | self.targets.arrays()
        for name, anchor in zip(HEADS, self.anchors, strict=True):
            out |= anchor.arrays(f"anchor.{name}")
        out |= {f"weight/{name}": one for name, one in self.weights.items()}
        return out | {"speaks": self.speaks, "maps": self.maps}

    @classmethod
    def restore(cls, arrays: Mapping[str, AnyArray], forms: Forms, sizes: NewsSizes, *, on_anchors: bool) -> NewsModel:
        """What `arrays` wrote."""
        wording, facts = Wording.restore(arrays, "wording"), Standardiser.restore(arrays, "facts")
        anchors = (LinearAnchor.restore(arrays, f"anchor.{name}") for name in HEADS[:3])
        events = (LinearAnchor.restore(arrays, f"anchor.{name}", "logistic") for name in HEADS[3:])
        weights = {name.removeprefix("weight/"): one for name, one in arrays.items() if name.startswith("weight/")}
        sizes = replace(sizes, n_token=wording.width, n_facts=len(facts.mean))
        targets, speaks = NewsTargets.restore(arrays), arrays["speaks"]
        return cls(
            *(wording, facts, forms, targets, (*anchors, *events), sizes, weights, speaks, arrays["maps"], on_anchors)
        )


def train(model: NewsModel, documents: TrainDocuments, schedule: Schedule, ctx: FitContext) -> tuple[NewsModel, Training]:
    """Train the residuals; on anchors, each that has not earned its place on the hold-out is left out again (R32)."""
    parts = [_source(model, documents, rows) for rows in (documents.fitting, documents.held_out)]
    training = train_network(lambda: NewsNetwork(model.sizes), loss, parts[0], parts[1], schedule, ctx)
    learned = replace(model, weights=training.best, speaks=np.ones(N_HEADS))
    if model.on_anchors:
        learned = replace(learned, speaks=_earned(learned, documents))
    return learned, training


def _source(model: NewsModel, documents: TrainDocuments, rows: BoolArray) -> DocumentRows:
    offset = model.offsets(documents.inputs.flat()).astype(np.float32)
    whole = documents.inputs.rows({"offset": offset, "target": documents.target.astype(np.float32)})
    extras = {name: values[rows] for name, values in whole.extras.items()}
    return DocumentRows(whole.tokens, whole.start[rows], whole.count[rows], extras)


def _earned(model: NewsModel, documents: TrainDocuments) -> FloatArray:
    """1 for the heads that beat their anchors on the hold-out, else 0, (5,); the impact by its rank correlation."""
    held = documents.held_out
    offset, target = model.offsets(documents.inputs.flat())[held], documents.target[held]
    z = offset + model.read(documents.inputs)[0][held]
    wanted = torch.from_numpy(target)
    spoken, anchored = (head_losses(torch.from_numpy(one), wanted).numpy() for one in (z, offset))
    outcome = _centred_rank(documents.excess[held])
    spoken[:, 0], anchored[:, 0] = (-_centred_rank(one[:, 0]) * outcome for one in (z, offset))
    speaks = np.zeros(N_HEADS)
    for head in range(N_HEADS):
        known = np.isfinite(spoken[:, head])
        days = documents.session[held][known]
        if known.any():
            speaks[head] = float(has_earned_its_place(days, spoken[known, head], anchored[known, head]))
    return speaks


def _centred_rank(values: FloatArray) -> FloatArray:
    from scipy.stats import rankdata

    return np.asarray(rankdata(values) / len(values) - 0.5, dtype=np.float64)


def _as_they_are() -> FloatArray:
    return np.tile([0.0, 1.0], (N_HEADS - 1, 1))
