"""Explanations of the sentiment analyst: words for each chunk, gradients and counterfactuals for samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from glassbox_bt.modules._attribution import Counterfactual
from glassbox_bt.modules._sentiment_model import EFFECTS, SentimentModel
from glassbox_bt.types import AnyArray, Float32Array, FloatArray, IntArray

__all__ = ["Gradients", "gradients", "pushed", "without_facts", "words_of"]

CLASS_WORDS = ("negative", "neutral", "positive")
EFFECT_WORDS = ("its wording", "how the language engine itself reads it", "its length, age and form", "the network")


@dataclass(frozen=True, slots=True, eq=False)
class Gradients:
    """Gradient times input of the score before its tanh.

    Parameters
    ----------
    rows : IntArray
        Handles of the explained rows of text, (n_rows,).
    shares : FloatArray
        By scaled input, (n_rows, k); for the anchor it adds up exactly, for the network to first order.
    columns : Mapping[str, slice]
        Which inputs are wording, the engine's polarity, other facts.
    """

    rows: IntArray
    shares: FloatArray
    columns: Mapping[str, slice]

    @classmethod
    def nothing(cls) -> Gradients:
        """No row explained."""
        return cls(np.zeros(0, dtype=np.int64), np.zeros((0, 0)), {})


def gradients(model: SentimentModel, x: Float32Array, rows: IntArray) -> Gradients:
    """Gradient times input of some rows; see `Gradients`."""
    import torch

    shares = model.anchors[0].contributions(x) * float(model.on_anchors)
    if model.weights and model.speaks[0]:
        network = model.network()
        at = torch.from_numpy(np.ascontiguousarray(x)).requires_grad_()
        (slope,) = torch.autograd.grad(network(at)[:, 0].sum(), at)
        shares = shares + (slope * at).detach().double().numpy()
    return Gradients(rows, np.asarray(shares, dtype=np.float64), model.columns())


def pushed(model: SentimentModel, x: Float32Array) -> tuple[Counterfactual, ...]:
    """The raw score had the engine read the text as wholly positive or negative; nothing where it has no such notion.

    What is expected is that the score follows the engine. Where a market answers good words with a fall, it does not: then
    the share of rows that move as expected says so.
    """
    mean, deviation = model.facts.mean[0], model.facts.deviation[0]
    if not np.isfinite(mean):
        return ()
    before, found = model.heads(x).score, []
    for words, value in (("wholly positive", 1.0), ("wholly negative", -1.0)):
        other = x.copy()
        other[:, model.wording.width] = np.float32(np.clip((value - mean) / deviation, -8.0, 8.0))
        name = f"the engine reads the text as {words}"
        found.append(Counterfactual(name, int(value), before, model.heads(other).score))
    return tuple(found)


def without_facts(model: SentimentModel, x: Float32Array) -> tuple[FloatArray, FloatArray]:
    """The raw score as it is, and with length, place, age and form at their train means."""
    bare = x.copy()
    bare[:, model.columns()["facts"]] = 0.0
    return model.heads(x).score, model.heads(bare).score


def words_of(known: Mapping[str, AnyArray], words: AnyArray, *, taught: bool) -> list[str]:
    """One summary for each known row."""
    effects = np.stack([known[f"sentiment_effect_{name}"] for name in EFFECTS], axis=1)
    top = np.argmax(np.abs(effects), axis=1)
    columns = [
        known[f"predicted_sentiment_{name}"] for name in ("score", "score_raw", "class_index", "confidence", "magnitude")
    ]
    pushes = effects[np.arange(len(top)), top]
    pieces = zip(*(one.tolist() for one in (*columns, top, pushes, words)), strict=True)
    source = "labelled sentences" if taught else "past price reactions"
    return [
        f"Sentiment {score:+.2f} of 1 among texts of train (raw {raw:+.3f}), {CLASS_WORDS[int(index)]} with chance "
        f"{chance:.2f}, expected size {size:.2f}; learned from {source}. Most of it comes from {EFFECT_WORDS[driver]} "
        f"({push:+.3f}); the text has {int(length)} words."
        for score, raw, index, chance, size, driver, push, length in pieces
    ]
