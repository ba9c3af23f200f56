"""The classifiers of the study: what each learns on the sentences of the training folds and answers on the scored fold.

Every setting was fixed before the first fold was scored. What is still to be chosen (how strongly a logit is held back,
after which epoch training stops) is chosen inside the training folds, by the constants here and in `_text_finetune`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from glassbox_bt.errors import InputError
from glassbox_bt.evaluation.labelled_sentences import CLASSES, fold_numbers
from glassbox_bt.modules._text_finetune import Encoder, FineTuning, Labelled, fine_tune, logit_head
from glassbox_bt.modules.base import FitContext
from glassbox_bt.types import AnyArray, FloatArray, IntArray, StrArray

__all__ = ["HELD_PARTS", "SEED", "Answered", "Engine", "Engines", "Fold", "Method", "methods"]

SEED = 20261126
HELD_PARTS = 7  # one of them, about 14 % of the training sentences, decides when fine-tuning stops
NEGATIVE, NEUTRAL, POSITIVE = range(len(CLASSES))


class Engine(Protocol):
    """What the study asks of a text engine."""

    @property
    def name(self) -> str: ...

    @property
    def digest(self) -> str: ...

    def encode(self, texts: Sequence[str]) -> AnyArray: ...

    def polarity(self, texts: Sequence[str]) -> FloatArray | None: ...


@dataclass(frozen=True, slots=True)
class Engines:
    """The readers: a lexicon, a sentence encoder, and a control that was never shown any text."""

    lexicon: Engine
    sentence: Engine
    untrained: Engine


@dataclass(frozen=True, slots=True)
class Fold:
    """One fold: ``scored`` marks its sentences, all others are learned from; all (n_sentences,)."""

    number: int
    texts: StrArray
    labels: IntArray
    groups: IntArray
    scored: AnyArray

    def context(self, method: str) -> FitContext:
        """Streams named after the method and the fold."""
        return FitContext(SEED, f"sentiment_labels/{method}", 0, self.number)


@dataclass(frozen=True, slots=True)
class Answered:
    """Probabilities of the classes for the scored sentences, (n_scored, n_classes), and what was chosen on the way."""

    probabilities: FloatArray
    facts: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Method:
    """One row of the table.

    Parameters
    ----------
    name : str
        In the tables.
    engine, digest : str
        What reads the text; ``none`` and empty where nothing does.
    told : str
        What it is, in words.
    answer : Callable
        Learns on a fold and answers it.
    probabilistic : bool
        False for a rule: its answers are 0 and 1 and no calibration is given.
    """

    name: str
    engine: str
    digest: str
    told: str
    answer: Callable[[Fold], Answered]
    probabilistic: bool = True


def methods(engines: Engines, encoder: Callable[[], Encoder], tuning: FineTuning) -> list[Method]:
    """All methods, simplest first; ``encoder`` loads the model of ``engines.sentence`` for training."""
    lexicon, sentence, untrained = engines.lexicon, engines.sentence, engines.untrained
    return [
        Method("majority", "none", "", "the most frequent class of the training folds, for every sentence", _majority),
        Method("words + logit", "none", "", "weighted word counts (tf-idf) of the training folds and a logit", _words),
        Method(
            "untrained + logit",
            untrained.name,
            untrained.digest,
            "a logit on a random projection of hashed word counts: what an encoder gives that was never trained",
            lambda fold: _head(untrained, fold, "untrained + logit"),
        ),
        Method(
            "lexicon rule",
            lexicon.name,
            lexicon.digest,
            "more positive than negative words, or fewer, or as many; nothing is learned",
            lambda fold: _rule(lexicon, fold),
            probabilistic=False,
        ),
        Method(
            "lexicon + logit",
            lexicon.name,
            lexicon.digest,
            "a logit on the lexicon's word counts",
            lambda fold: _head(lexicon, fold, "lexicon + logit"),
        ),
        Method(
            "frozen + logit",
            sentence.name,
            sentence.digest,
            "a logit on the vectors of the encoder as it is",
            lambda fold: _head(sentence, fold, "frozen + logit"),
        ),
        Method(
            "fine-tuned",
            sentence.name,
            sentence.digest,
            "encoder and head trained end to end, starting from the frozen encoder and its logit",
            lambda fold: _fine_tuned(encoder(), tuning, fold),
        ),
    ]


def _majority(fold: Fold) -> Answered:
    shares = np.bincount(fold.labels[~fold.scored], minlength=len(CLASSES)) / np.sum(~fold.scored)
    return Answered(np.tile(shares, (int(fold.scored.sum()), 1)))


def _words(fold: Fold) -> Answered:
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    learned = words.fit_transform(fold.texts[~fold.scored])
    ctx = fold.context("words + logit")
    head = logit_head(learned, fold.labels[~fold.scored], fold.groups[~fold.scored], ctx, by_deviation=False)
    return Answered(head.probabilities(words.transform(fold.texts[fold.scored]).toarray()), {"strength": head.strength})


def _rule(lexicon: Engine, fold: Fold) -> Answered:
    polarity = lexicon.polarity([str(one) for one in fold.texts[fold.scored]])
    if polarity is None:
        raise InputError(f"The engine `{lexicon.name}` has no notion of polarity. Name a lexicon.")
    answers = np.where(polarity > 0.0, POSITIVE, np.where(polarity < 0.0, NEGATIVE, NEUTRAL))
    return Answered(np.eye(len(CLASSES))[answers])


def _head(engine: Engine, fold: Fold, method: str) -> Answered:
    every, learned = engine.encode([str(one) for one in fold.texts]), ~fold.scored
    head = logit_head(every[learned], fold.labels[learned], fold.groups[learned], fold.context(method))
    return Answered(head.probabilities(every[fold.scored]), {"strength": head.strength})


def _fine_tuned(encoder: Encoder, settings: FineTuning, fold: Fold) -> Answered:
    ctx, learned = fold.context("fine-tuned"), ~fold.scored
    texts = [str(one) for one in fold.texts[learned]]
    labels, groups = fold.labels[learned], fold.groups[learned]
    held = fold_numbers(labels, groups, HELD_PARTS, f"{SEED}/hold-out/{fold.number}") == 0
    tuned = fine_tune(encoder, Labelled(texts, labels, groups, held), settings, ctx)
    facts = {
        "strength": float(tuned.summary["strength"]),  # type: ignore[arg-type]
        "best_epoch": float(tuned.summary["best_epoch"]),  # type: ignore[arg-type]
        "n_cut": float(tuned.summary["n_cut"]),  # type: ignore[arg-type]
    }
    facts |= {f"holdout_loss_{round(row['epoch'])}": row["holdout_loss"] for row in tuned.history}
    return Answered(tuned.probabilities([str(one) for one in fold.texts[fold.scored]]), facts)
