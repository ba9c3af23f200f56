"""How well do classifiers of sentences agree with people's labels? Folds, scores and intervals for cross-validated answers.

1. Sentences that say nearly the same are one group: same words but for the figures, same first 60 letters, or half of
   their words and word pairs in common.                                                                  `near_duplicates`
2. Folds hold whole groups and, as far as these allow, equally many of each label.                             `fold_numbers`
3. Accuracy and macro-F1 come from one table of counts, label by answer, summed over the groups.        `Counts`, `MEASURES`
4. Intervals draw whole groups with replacement; two classifiers are compared on the same draws, so what makes a sentence
   hard for both cancels out (percentiles; Efron & Tibshirani 1993, chapter 13).                  `estimates`, `differences`
5. Stated probabilities: bins of equally many sentences by the largest probability, mean of it against the rate of
   right answers; beside the calibration error that which a perfectly calibrated classifier shows by chance.   `calibration`

The intervals take the fitted classifiers as they are: they say how far another draw of sentences of this kind would move
the figures, not how far another draw of training sentences would.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.model_selection import StratifiedGroupKFold

from glassbox_bt.errors import InputError
from glassbox_bt.evaluation._resampling import stream
from glassbox_bt.evaluation.calibration import bin_edges
from glassbox_bt.types import AnyArray, BoolArray, FloatArray, IntArray

__all__ = [
    "CLASSES",
    "MEASURES",
    "Calibrated",
    "Counts",
    "Estimate",
    "accuracy",
    "by_class",
    "calibration",
    "differences",
    "draws",
    "estimates",
    "fold_numbers",
    "macro_f1",
    "near_duplicates",
    "sentences_of",
]

CLASSES = ("negative", "neutral", "positive")  # class numbers 0, 1, 2
SIMILAR = 0.5  # share of words and word pairs in common from which two sentences are one group
PREFIX = 60  # letters
COLUMNS = {"text": "str", "label": "str", "all_agree": "bool"}


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure of the sample and the ends of its interval; NaN where it is not defined."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Counts:
    """Sentences by group, label and answer.

    Parameters
    ----------
    cells : FloatArray
        (n_groups, n_classes, n_classes): group, label, answer.
    """

    cells: FloatArray

    @classmethod
    def of(cls, labels: IntArray, answers: IntArray, groups: IntArray, n_groups: int | None = None) -> Counts:
        """Counts of the sentences given; class numbers and group numbers from 0, all (n_sentences,)."""
        k, n = len(CLASSES), int(groups.max()) + 1 if n_groups is None else n_groups
        flat = np.bincount((groups * k + labels) * k + answers, minlength=n * k * k)
        return cls(flat.reshape(n, k, k).astype(np.float64))

    @property
    def total(self) -> FloatArray:
        """All groups together: (n_classes, n_classes), label by answer."""
        return np.asarray(self.cells.sum(axis=0), dtype=np.float64)

    def drawn(self, times: AnyArray) -> FloatArray:
        """Tables of resamples, (n_boot, n_classes, n_classes)."""
        k = len(CLASSES)
        return np.asarray((times @ self.cells.reshape(len(self.cells), -1)).reshape(-1, k, k), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Calibrated:
    """How far stated probabilities come true.

    Parameters
    ----------
    error : float
        Expected calibration error: mean distance of stated probability and rate of right answers over the bins, weighted
        by sentences, in [0, 1].
    by_chance : float
        What ``error`` stays below in 95 % of samples of a perfectly calibrated classifier with these probabilities.
    mean_confidence : float
        Mean of the largest probability.
    bins : pd.DataFrame
        ``confidence`` (mean), ``rate`` (of right answers) and ``n`` by bin, rising.
    """

    error: float
    by_chance: float
    mean_confidence: float
    bins: pd.DataFrame


def sentences_of(table: pd.DataFrame, source: str) -> pd.DataFrame:
    """The table with ``text``, ``label`` and ``all_agree``, checked; rows in the order of the file.

    Raises
    ------
    InputError
        A column is missing, a label is unknown, a text is empty or occurs twice.
    """
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise InputError(f"{source} lacks the columns {missing}. A file of labelled sentences has {list(COLUMNS)}.")
    kept = table[list(COLUMNS)].reset_index(drop=True)
    unknown = sorted(set(kept["label"].astype(str)) - set(CLASSES))
    if unknown:
        raise InputError(f"{source} has the labels {unknown}; known are {list(CLASSES)}. Rename or drop them.")
    blank = kept["text"].isna() | (kept["text"].astype(str).str.strip() == "")
    if blank.any() or kept["text"].duplicated().any():
        raise InputError(
            f"{source} has {int(blank.sum())} empty and {int(kept['text'].duplicated().sum())} repeated texts. Drop them: "
            "a text that occurs twice would be learned from and scored."
        )
    return kept


def near_duplicates(texts: Sequence[str], similar: float = SIMILAR) -> IntArray:
    """Group of each sentence, numbered from 0 in order of appearance, (n_sentences,).

    Two sentences are in one group if they are equal but for figures, case and punctuation; if they share their first 60
    letters; if the Jaccard similarity of their words and word pairs (figures masked) is at least ``similar``; or if a
    chain of such pairs joins them. All pairs are compared, exactly: right for some ten thousand sentences.
    """
    lower = pd.Series(list(texts), dtype="str").str.lower()
    masked = lower.str.replace(r"\d+(?:[.,]\d+)*", "0", regex=True).str.replace(r"[^\w]+", " ", regex=True).str.strip()
    letters = lower.str.replace(r"[\W\d_]+", "", regex=True)
    prefix = letters.str[:PREFIX].where(letters.str.len() >= PREFIX, "#" + masked)
    links = [_same(masked), _same(prefix), _alike(masked, similar)]
    rows, columns = (np.concatenate(ends) for ends in zip(*links, strict=True))
    n = len(masked)
    graph = sparse.coo_matrix((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(n, n))
    _, found = sparse.csgraph.connected_components(graph, directed=False)
    return np.asarray(pd.factorize(found)[0], dtype=np.int64)


def fold_numbers(labels: IntArray, groups: IntArray, n_folds: int, key: str) -> IntArray:
    """Fold of each sentence, 0 to ``n_folds`` − 1; groups stay whole, the draw hangs on ``key`` alone."""
    n_groups = len(np.unique(groups))
    if n_groups < n_folds:
        raise InputError(f"{n_groups} groups of sentences cannot make {n_folds} folds. Ask for fewer folds.")
    seed = int(stream(key).integers(2**31))
    split = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed).split(np.zeros(len(labels)), labels, groups)
    numbers = np.full(len(labels), -1, dtype=np.int64)
    for number, (_, held) in enumerate(split):
        numbers[held] = number
    return numbers


def accuracy(tables: FloatArray) -> FloatArray:
    """Share of sentences whose answer is the label; (..., n_classes, n_classes) -> (...)."""
    return np.asarray(np.trace(tables, axis1=-2, axis2=-1) / tables.sum(axis=(-2, -1)), dtype=np.float64)


def macro_f1(tables: FloatArray) -> FloatArray:
    """Unweighted mean of the F1 of the classes, as in `accuracy`; without a class that is neither label nor answer."""
    return np.asarray(np.nanmean(_f1(tables), axis=-1), dtype=np.float64)


MEASURES: Mapping[str, Callable[[FloatArray], FloatArray]] = {"accuracy": accuracy, "macro_f1": macro_f1}


def by_class(counts: Counts) -> pd.DataFrame:
    """Precision, recall, F1 and number of labels of each class; NaN where nothing was to be divided by."""
    table = counts.total
    right = np.diagonal(table)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision, recall = right / table.sum(axis=0), right / table.sum(axis=1)
    return pd.DataFrame(
        {"class": CLASSES, "precision": precision, "recall": recall, "f1": _f1(table), "n": table.sum(axis=1).astype(int)}
    )


def draws(n_groups: int, n_boot: int, key: str) -> AnyArray:
    """How often each group is in each resample, (n_boot, n_groups) float32; hangs on ``key`` alone."""
    return stream(key).multinomial(n_groups, np.full(n_groups, 1.0 / n_groups), size=n_boot).astype(np.float32)


def estimates(counts: Counts, times: AnyArray, level: float) -> dict[str, Estimate]:
    """Each of `MEASURES` with its interval."""
    drawn = counts.drawn(times)
    return {name: _within(float(of(counts.total)), of(drawn), level) for name, of in MEASURES.items()}


def differences(one: Counts, other: Counts, times: AnyArray, level: float) -> dict[str, Estimate]:
    """Each of `MEASURES` of ``one`` less that of ``other``, both on the same sentences and the same draws."""
    if not np.array_equal(one.cells.sum(axis=2), other.cells.sum(axis=2)):
        raise InputError("Two classifiers can be compared only on the same sentences; their counts of labels differ.")
    mine, yours = one.drawn(times), other.drawn(times)
    return {
        name: _within(float(of(one.total) - of(other.total)), of(mine) - of(yours), level) for name, of in MEASURES.items()
    }


def calibration(probabilities: FloatArray, labels: IntArray, key: str, n_boot: int = 1000) -> Calibrated:
    """Calibration of the largest probability; ``probabilities`` is (n_sentences, n_classes), ``labels`` class numbers.

    Raises
    ------
    InputError
        Rows do not add up to 1.
    """
    off = float(np.abs(probabilities.sum(axis=1) - 1.0).max())
    if not off < 1e-6:
        raise InputError(f"Probabilities of the classes must add up to 1, they are off by {off:g}.")
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    at = np.searchsorted(bin_edges(confidence), confidence, side="right")
    n = np.bincount(at)
    stated = np.bincount(at, weights=confidence)
    lucky = stream(key).random((n_boot, len(confidence))) < confidence  # right as often as stated
    sums = lucky @ np.eye(len(n))[at]  # (n_boot, n_bins)
    chance = np.abs(sums - stated).sum(axis=1) / len(labels)
    bins = pd.DataFrame({"confidence": stated / n, "rate": np.bincount(at, weights=right) / n, "n": n})
    error = float((n * (bins["confidence"] - bins["rate"]).abs()).sum() / len(labels))
    return Calibrated(error, float(np.quantile(chance, 0.95)), float(confidence.mean()), bins)


def _f1(tables: FloatArray) -> FloatArray:
    right = np.diagonal(tables, axis1=-2, axis2=-1)
    either = tables.sum(axis=-1) + tables.sum(axis=-2)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(2.0 * right / either, dtype=np.float64)


def _within(value: float, drawn: FloatArray, level: float) -> Estimate:
    if not math.isfinite(value):
        return Estimate(math.nan, math.nan, math.nan)
    low, high = np.quantile(drawn, [0.5 - level / 2.0, 0.5 + level / 2.0])
    return Estimate(value, float(low), float(high))


def _same(keys: pd.Series) -> tuple[IntArray, IntArray]:
    """Links of each sentence to the first with the same key."""
    codes = pd.factorize(keys)[0]
    _, first = np.unique(codes, return_index=True)
    return np.arange(len(codes)), first[codes].astype(np.int64)


def _alike(masked: pd.Series, similar: float) -> tuple[IntArray, IntArray]:
    """Pairs whose words and word pairs have a Jaccard similarity of at least ``similar``; without words there is none."""
    words = CountVectorizer(binary=True, ngram_range=(1, 2), token_pattern=r"\S+", lowercase=False)
    if not (masked != "").any():
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    found = words.fit_transform(masked).astype(np.int32)
    shared = sparse.triu(found @ found.T, k=1).tocoo()
    size = np.asarray(found.sum(axis=1)).ravel()
    close: BoolArray = shared.data >= similar * (size[shared.row] + size[shared.col] - shared.data)
    return shared.row[close].astype(np.int64), shared.col[close].astype(np.int64)
