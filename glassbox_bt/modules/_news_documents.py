"""Documents out of the rows of a table of text: which chunks belong together, and what a network is handed of them.

A document here is a document about one name; its chunks have one session. Of a long one at most 64 chunks are read, evenly
spaced from its first to its last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from glassbox_bt.market.view import Span
from glassbox_bt.modules._text_inputs import FORM, PLACE, WORDS, Forms, age_in_days, engine_polarity
from glassbox_bt.types import AnyArray, BoolArray, Float32Array, FloatArray, IntArray

__all__ = ["DocumentRows", "Grouped", "raw_facts"]


@dataclass(frozen=True, slots=True, eq=False)
class Grouped:
    """Chunks by document.

    Parameters
    ----------
    rows : IntArray
        Rows of text of all chunks, document after document, in their order within it, (n_chunks,).
    owner : IntArray
        Which document each of them belongs to, from 0, (n_chunks,).
    used : IntArray
        Places in ``rows`` of the chunks that are read, (n_used,).
    start, count : IntArray
        First place in ``used`` and number of read chunks of each document, (n_documents,).
    first : IntArray
        First row of text of each document, (n_documents,).
    """

    rows: IntArray
    owner: IntArray
    used: IntArray
    start: IntArray
    count: IntArray
    first: IntArray

    @classmethod
    def of(cls, span: Span, rows: BoolArray, most_chunks: int) -> Grouped:
        """Documents among the True rows of text."""
        picked = np.flatnonzero(rows)
        document = span.text.document[picked]
        order = np.lexsort((np.asarray(span.block(PLACE))[picked], document))
        sorted_rows, document = picked[order], document[order]
        _, begin, owner, total = np.unique(document, return_index=True, return_inverse=True, return_counts=True)
        rank = np.arange(len(document)) - begin[owner]
        kept = _evenly(rank, total[owner], most_chunks)
        count = np.bincount(owner[kept], minlength=len(total)).astype(np.int64)
        start = np.cumsum(count) - count
        first = sorted_rows[begin] if len(begin) else np.zeros(0, dtype=np.int64)
        return cls(sorted_rows, owner.astype(np.int64), np.flatnonzero(kept), start, count, first)

    def __len__(self) -> int:
        return len(self.count)

    @property
    def total(self) -> IntArray:
        """Chunks of each document, read or not."""
        return np.bincount(self.owner, minlength=len(self)).astype(np.int64)

    def summed(self, values: AnyArray) -> FloatArray:
        """Sum over all chunks of each document of what is given for each of ``rows``; 0 for NaN."""
        return np.asarray(np.bincount(self.owner, weights=np.nan_to_num(values), minlength=len(self)), dtype=np.float64)

    def mean_token(self, tokens: Float32Array) -> Float32Array:
        """Mean of the read chunks' vectors, (n_documents, width), summed in their order."""
        if not len(self):
            return np.zeros((0, tokens.shape[1]), dtype=np.float32)
        total = np.add.reduceat(tokens.astype(np.float64), self.start, axis=0)
        return np.asarray(total / self.count[:, None], dtype=np.float32)

    def by_chunk(self, values: AnyArray) -> AnyArray:
        """A document's value for each of its chunks, in the order of ``rows``."""
        out: AnyArray = values[self.owner]
        return out


def raw_facts(span: Span, grouped: Grouped, forms: Forms) -> FloatArray:
    """What is known of documents besides their words, (n_documents, 5 + kinds + 1), before scaling.

    The engine's mean polarity; logs of the number of chunks, all words, words of a chunk, and age in days; the kind.
    """
    total = grouped.total
    polarity = engine_polarity(span)[grouped.rows]
    said = grouped.summed(np.isfinite(polarity))
    words = grouped.summed(np.asarray(span.block(WORDS), dtype=np.float64)[grouped.rows])
    mean = np.divide(grouped.summed(polarity), said, out=np.full(len(grouped), np.nan), where=said > 0.0)
    age = age_in_days(span)[grouped.first]
    plain = [mean, *(np.log1p(one) for one in (total, words, words / np.maximum(total, 1), age))]
    return np.concatenate([np.stack(plain, axis=1), forms.one_hot(span.block(FORM)[grouped.first])], axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class DocumentRows:
    """Documents for a network, gathered when they are needed (`RowSource`).

    Parameters
    ----------
    tokens : Float32Array
        Scaled vectors of the read chunks, (n_used, width).
    start, count : IntArray
        As in `Grouped`, (n_documents,).
    extras : Mapping[str, AnyArray]
        More arrays by document (facts, targets, offsets).
    length : int
        Chunks that every document is padded to; 0 pads to the longest of a batch.
    """

    tokens: Float32Array
    start: IntArray
    count: IntArray
    extras: Mapping[str, AnyArray] = field(default_factory=dict)
    length: int = 0

    def __len__(self) -> int:
        return len(self.count)

    def take(
        self,
        rows: IntArray,
        rng: np.random.Generator,  # noqa: ARG002
    ) -> Mapping[str, AnyArray]:
        """``tokens`` (len(rows), length, width), ``mask`` 1 where there is a chunk, and the extras."""
        count = self.count[rows]
        length = self.length or int(count.max(initial=1))
        step = np.arange(length)
        there = step < count[:, None]  # (len(rows), length)
        place = np.where(there, self.start[rows, None] + step, 0)
        tokens = self.tokens[place] if len(self.tokens) else np.zeros((len(rows), length, self.tokens.shape[1]), np.float32)
        tokens[~there] = 0.0
        given = {name: values[rows] for name, values in self.extras.items()}
        return {"tokens": tokens, "mask": there.astype(np.float32), **given}

    def bucket(self, shortest: int, longest: int) -> tuple[IntArray, DocumentRows]:
        """Documents of so many chunks, all padded to the longest; which documents those are comes first."""
        mine = np.flatnonzero((self.count >= shortest) & (self.count <= longest))
        extras = {name: values[mine] for name, values in self.extras.items()}
        return mine, DocumentRows(self.tokens, self.start[mine], self.count[mine], extras, longest)


def _evenly(rank: IntArray, total: IntArray, most: int) -> BoolArray:
    """Whether the chunk of that rank is one of ``most`` evenly spaced ones, the first and the last among them."""
    if most == 1:
        first: BoolArray = rank == 0
        return first
    step = (total - 1) / (most - 1)
    near = np.floor(rank / np.maximum(step, 1e-9))
    picked = np.zeros(len(rank), dtype=bool)
    for turn in (near, near + 1):
        picked |= (np.round(turn * step) == rank) & (turn <= most - 1)
    kept: BoolArray = picked | (total <= most)
    return kept
