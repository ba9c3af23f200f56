"""What the readers of single documents share: their inputs, groups of chunks, outcomes, and samples for explanations.

The calendar year is no input: the years of validation and test lie outside those of train by construction (D-SENT-01). How
old a text is when it may first be used says what a year cannot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from glassbox_bt.market.view import Span
from glassbox_bt.modules._anchor import MAX_SCALED, RankScale
from glassbox_bt.modules._attribution import REASON_WORDS
from glassbox_bt.modules._training import holdout_split
from glassbox_bt.modules.base import reasons
from glassbox_bt.types import Answers, AnyArray, BoolArray, Float32Array, FloatArray, IntArray, Reason, StrArray

__all__ = [
    "AGE",
    "EMBEDDING",
    "ENGINE",
    "FORM",
    "PLACE",
    "WORDS",
    "Forms",
    "Split",
    "Wording",
    "age_in_days",
    "engine_polarity",
    "even_share",
    "explained_rows",
    "stratified_sample",
    "unknown",
]

EMBEDDING = "text_encoder.embedding"
ENGINE = ("text_encoder.polarity", "text_encoder.has_polarity")
PLACE, WORDS, FORM, AGE = "text.chunk_index", "text.word_count", "text.form_type", "text.published_at"
MOST_FORMS, FEWEST_OF_FORM = 12, 20  # kinds of document with an input of their own, and rows of train that one needs
PARTS, DECILES = 4, 10  # strata of a sample: quarters of the sessions, deciles of the score


def unknown(span: Span) -> NDArray[np.int8]:
    """Reason codes by row of text, (n_rows,): known where the encoder gave a vector, whatever came of it (D-NEWS-01)."""
    values = span.block(EMBEDDING)
    there: BoolArray = np.zeros(len(values), dtype=bool)  # a silent encoder gives a column of nothing
    if values.ndim == 2:
        there |= np.isfinite(values).all(axis=1)
    return reasons((~there, Reason.UPSTREAM_UNKNOWN))


def engine_polarity(span: Span) -> FloatArray:
    """How positive the engine itself reads each row, in [-1, 1]; NaN where it has no notion of it."""
    value, has = (np.asarray(span.block(name), dtype=np.float64) for name in ENGINE)
    return np.where(has == 1.0, value, np.nan)


def age_in_days(span: Span) -> FloatArray:
    """Days from publication to the decision that may first use the text, (n_rows,), at least 0.

    NaN for rows of the look-back, whose decision is none of the span's.
    """
    place = np.searchsorted(span.days, span.text.session).clip(max=len(span) - 1)
    waited = span.as_of[place] - span.block(AGE)
    days = np.maximum(waited / np.timedelta64(1, "D"), 0.0)
    return np.where(span.days[place] == span.text.session, days, np.nan)


@dataclass(frozen=True, slots=True, eq=False)
class Wording:
    """Scale of the embeddings: their train mean, and one deviation for all components.

    A deviation for each would make the components that hardly vary as loud as those that texts differ in.
    """

    centre: Float32Array  # (width,)
    spread: float

    @classmethod
    def fit(cls, embedding: AnyArray) -> Wording:
        """Of complete rows, (n_rows, width)."""
        values = np.asarray(embedding, dtype=np.float64)
        spread = float(np.sqrt(values.var(axis=0).mean()))
        return cls(values.mean(axis=0).astype(np.float32), spread if spread > 1e-9 else 1.0)

    @property
    def width(self) -> int:
        return int(self.centre.shape[0])

    def scaled(self, embedding: AnyArray) -> Float32Array:
        """(n_rows, width), limited to ±8; 0 is the train mean."""
        out = (np.asarray(embedding, dtype=np.float32) - self.centre) / np.float32(self.spread)
        return np.clip(out, -MAX_SCALED, MAX_SCALED, out=out)

    def arrays(self, prefix: str) -> dict[str, AnyArray]:
        """For `ModuleState.arrays`."""
        return {f"{prefix}.centre": self.centre, f"{prefix}.spread": np.array([self.spread])}

    @classmethod
    def restore(cls, arrays: Mapping[str, AnyArray], prefix: str) -> Wording:
        """What `arrays` wrote."""
        return cls(arrays[f"{prefix}.centre"], float(arrays[f"{prefix}.spread"][0]))


@dataclass(frozen=True, slots=True)
class Forms:
    """Kinds of document (10-K, 8-K; empty for tweets and headlines) that train knows; all others are one bucket."""

    names: tuple[str, ...]

    @classmethod
    def fit(cls, forms: AnyArray) -> Forms:
        """The most frequent kinds, in alphabetical order."""
        counts = pd.Series(forms, dtype=object).value_counts()
        often = counts[counts >= FEWEST_OF_FORM].index[:MOST_FORMS]
        return cls(tuple(sorted(str(one) for one in often)))

    def one_hot(self, forms: AnyArray) -> FloatArray:
        """(n_rows, kinds + 1); the last column is the bucket of unknown kinds."""
        place = pd.Index(self.names, dtype=object).get_indexer(pd.Index(np.asarray(forms, dtype=object)))
        out = np.zeros((len(forms), len(self.names) + 1))
        out[np.arange(len(forms)), place] = 1.0  # -1, not found, is the last column
        return out


def even_share(document: IntArray) -> FloatArray:
    """One over the number of rows of the same document: a document weighs 1, however long it is (D-LAB-02)."""
    _, place, count = np.unique(document, return_inverse=True, return_counts=True)
    return np.asarray(1.0 / count[place], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Split:
    """Rows of text with a known outcome: those to fit on, and a purged hold-out at the end of train (D-LAB-01)."""

    fitting: BoolArray  # (n_rows,)
    held_out: BoolArray

    @classmethod
    def of(cls, usable: BoolArray, session: IntArray, share: float, horizon: int) -> Split:
        """Shares are of the sessions that have a usable row."""
        seen = np.unique(session[usable])
        if not len(seen):
            return cls(usable, usable)
        early, late = holdout_split(seen, share, horizon)
        return cls(usable & np.isin(session, seen[early]), usable & np.isin(session, seen[late]))

    def too_few(self, document: IntArray, fewest: int, share: float) -> str:
        """Why there is too little to learn from; empty where there is enough.

        Fitting needs ``fewest`` documents, the hold-out its share of that number.
        """
        counts = [len(np.unique(document[rows])) for rows in (self.fitting, self.held_out)]
        wanted = (fewest, max(10, round(share * fewest)))
        if counts[0] >= wanted[0] and counts[1] >= wanted[1]:
            return ""
        return (
            f"{counts[0]} documents with a known outcome to learn from and {counts[1]} to stop on; it needs "
            f"{wanted[0]} and {wanted[1]}"
        )


def stratified_sample(session: IntArray, score: FloatArray, n_rows: int, rng: np.random.Generator) -> IntArray:
    """Places of a sample, ascending, drawn evenly from quarters of the sessions and deciles of the score (D-XAI-01)."""
    if len(session) == 0 or n_rows == 0:
        return np.zeros(0, dtype=np.int64)
    part = np.searchsorted(np.quantile(session, np.arange(1, PARTS) / PARTS), session, side="left")
    decile = (DECILES * RankScale.of(score).rank(score)).astype(np.int64).clip(max=DECILES - 1)
    shuffled = rng.permutation(len(session))
    stratum = pd.Series((part * DECILES + decile)[shuffled])
    turn = stratum.groupby(stratum).cumcount().to_numpy()  # the how-manieth of its stratum
    picked = np.lexsort((rng.permutation(len(session)), turn))[:n_rows]
    return np.sort(shuffled[picked]).astype(np.int64)


def explained_rows(answers: Answers, texts: Sequence[str]) -> StrArray:
    """One text per answered row; ``texts`` are those of the known rows in order, the others get their reason in words."""
    out = np.empty(answers.known.shape, dtype=object)
    for reason, words in REASON_WORDS.items():
        out[answers.reason == reason] = f"No answer and no driver to name: {words}."
    out[answers.known] = texts
    return out
