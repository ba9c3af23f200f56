"""Explanations of the news analyst: words for each chunk; gradients and a document without its top chunk for samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from glassbox_bt.modules._news_documents import Grouped
from glassbox_bt.modules._news_model import EFFECTS, Inputs, NewsModel
from glassbox_bt.types import AnyArray, FloatArray, IntArray

__all__ = ["ChunkGradients", "WithoutTopChunk", "chunk_gradients", "picked", "without_top_chunk", "words_of"]

EFFECT_WORDS = ("its wording", "how the language engine reads it", "its length, age and form", "the network")
TOWARDS_ZERO = 0.70  # share of sampled documents whose impact must shrink without their top chunk (spec §9)


@dataclass(frozen=True, slots=True, eq=False)
class WithoutTopChunk:
    """Documents of several chunks, without the one that most attention goes to; all else stays.

    Parameters
    ----------
    rows : IntArray
        Handle of the dropped chunk, (n_documents,).
    before, after : FloatArray
        What the document adds to the impact before its tanh (its constant left out), (n_documents,).
    """

    rows: IntArray
    before: FloatArray
    after: FloatArray

    @property
    def share_towards_zero(self) -> float:
        """Share of documents whose impact shrinks; NaN without any."""
        return float(np.mean(np.abs(self.after) < np.abs(self.before))) if len(self.rows) else float("nan")

    @property
    def is_unfaithful(self) -> bool:
        """Whether attention points at chunks that do not carry the answer: fewer than 70 % shrink."""
        return bool(len(self.rows)) and self.share_towards_zero < TOWARDS_ZERO


@dataclass(frozen=True, slots=True, eq=False)
class ChunkGradients:
    """Gradient times input of the impact before its tanh, by chunk.

    Parameters
    ----------
    rows : IntArray
        Handles of the chunks, (n_chunks,).
    shares : FloatArray
        What each chunk's vector adds, (n_chunks,): exact for the anchor, to first order for the network.
    facts : FloatArray
        What the document's facts add, on each of its chunks, (n_chunks,).
    """

    rows: IntArray
    shares: FloatArray
    facts: FloatArray


def picked(inputs: Inputs, documents: IntArray) -> Inputs:
    """Some of the documents, in that order."""
    grouped = inputs.grouped
    chunks = _chunks(grouped.start[documents], grouped.count[documents])
    count = grouped.count[documents]
    owner = np.repeat(np.arange(len(documents)), count)
    rows = grouped.rows[grouped.used[chunks]]
    start = np.cumsum(count) - count
    only = Grouped(rows, owner, np.arange(len(rows)), start, count, grouped.first[documents])
    return Inputs(only, inputs.tokens[chunks], inputs.facts[documents])


def without_top_chunk(model: NewsModel, inputs: Inputs, handles: IntArray) -> WithoutTopChunk:
    """Each of the documents (`picked` ones, all of several chunks) without the chunk of most attention.

    ``handles`` are those of all rows of text.
    """
    grouped = inputs.grouped
    attention = model.read(inputs)[1].mean(axis=1)
    owner = np.repeat(np.arange(len(grouped)), grouped.count)
    order = np.lexsort((np.arange(len(owner)), -attention, owner))
    top = order[grouped.start]  # the first of each document in that order: most attention, then the earliest
    kept = np.ones(len(owner), dtype=bool)
    kept[top] = False
    count = grouped.count - 1
    less = replace(
        grouped,
        rows=grouped.rows[kept],
        owner=owner[kept],
        used=np.arange(int(kept.sum())),
        start=np.cumsum(count) - count,
        count=count,
    )
    after = Inputs(less, inputs.tokens[kept], inputs.facts)
    return WithoutTopChunk(handles[grouped.rows[top]], _added(model, inputs), _added(model, after))


def chunk_gradients(model: NewsModel, inputs: Inputs, handles: IntArray) -> ChunkGradients:
    """Of documents of any length; ``handles`` by row of text."""
    import torch

    grouped = inputs.grouped
    anchor, width = model.anchors[0], model.wording.width
    weight = anchor.coefficients * float(model.on_anchors)
    owner = np.repeat(np.arange(len(grouped)), grouped.count)
    shares = (inputs.tokens.astype(np.float64) @ weight[:width]) / grouped.count[owner]
    facts = inputs.facts.astype(np.float64) @ weight[width:]
    if model.weights and model.speaks[0]:
        batch = inputs.rows().take(np.arange(len(grouped)), np.random.default_rng(0))
        tokens, mask, known = (torch.from_numpy(np.ascontiguousarray(batch[name])) for name in ("tokens", "mask", "facts"))
        tokens.requires_grad_()
        known.requires_grad_()
        said = model.network()(tokens, mask, known)[0][:, 0].sum()
        by_token, by_fact = torch.autograd.grad(said, (tokens, known))
        shares = shares + (by_token * tokens).sum(dim=-1).detach().double().numpy()[batch["mask"] > 0.0]
        facts = facts + (by_fact * known).sum(dim=-1).detach().double().numpy()
    return ChunkGradients(handles[grouped.rows[grouped.used]], np.asarray(shares), np.asarray(facts)[owner])


def words_of(known: Mapping[str, AnyArray]) -> list[str]:
    """One summary for each known row."""
    effects = np.stack([known[f"news_effect_{name}"] for name in EFFECTS], axis=1)
    top = np.argmax(np.abs(effects), axis=1)
    names = (
        *("predicted_news_event_impact", "predicted_news_event_impact_raw", "predicted_news_importance"),
        *("predicted_volatility_spike_raw", "predicted_drawdown_risk_raw", "predicted_news_uncertainty"),
        *("attention_mean", "news_chunk_count"),
    )
    columns = [known[name] for name in names]
    pushes = effects[np.arange(len(top)), top]
    pieces = zip(*(one.tolist() for one in (*columns, top, pushes)), strict=True)
    return [
        f"News impact {impact:+.2f} of 1 among texts of train (raw {raw:+.3f}), importance {importance:.2f}; chance of a "
        f"volatility spike {spike:.2f}, of a drawdown {drawdown:.2f}; uncertainty {doubt:.2f}. Most of the impact comes "
        f"from {EFFECT_WORDS[driver]} ({push:+.3f}). Attention to this chunk {share:.2f}, of {int(n_chunks)}."
        for impact, raw, importance, spike, drawdown, doubt, share, n_chunks, driver, push in pieces
    ]


def _added(model: NewsModel, inputs: Inputs) -> FloatArray:
    flat = inputs.flat()
    z = model.offsets(flat)[:, 0] + model.read(inputs)[0][:, 0]
    return np.asarray(z - model.anchors[0].intercept, dtype=np.float64)


def _chunks(start: IntArray, count: IntArray) -> IntArray:
    """Places start .. start + count - 1 of each, one after the other."""
    first = np.cumsum(count) - count
    return np.asarray(np.arange(int(count.sum())) - np.repeat(first - start, count), dtype=np.int64)
