"""The classifier on labelled sentences: starts as its anchor, learns, resumes, and answers each sentence by itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from glassbox_bt.errors import InputError, PlanError, TrainingError
from glassbox_bt.modules._text_engine import HASHED, text_engine
from glassbox_bt.modules._text_finetune import (
    STRENGTHS,
    Encoder,
    FineTuned,
    FineTuning,
    Labelled,
    fine_tune,
    logit_head,
    pooled_vectors,
)
from glassbox_bt.modules.base import FitContext
from glassbox_bt.runs.artefacts import digest_array
from glassbox_bt.types import FloatArray, IntArray
from tests.text_models import WORDS, sentences, tiny_bert

CTX = FitContext(1, "test", 0, 0)
QUICK = FineTuning(epochs=2, batch_size=16, learning_rate=3e-3, max_tokens=64)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return Encoder.of(text_engine(str(tiny_bert(tmp_path_factory.mktemp("tiny")))))


def order_of_words(n: int, seed: int) -> tuple[list[str], IntArray]:
    """Sentences that say "rose after fell" (1) or "fell after rose" (0) among other words: the same words, another order."""
    rng = np.random.default_rng(seed)
    others = [word for word in WORDS if word not in ("rose", "fell", "after")]
    labels = rng.integers(2, size=n)
    texts = []
    for label in labels:
        told = "rose after fell" if label else "fell after rose"
        words = list(rng.choice(others, size=4))
        texts.append(" ".join([*words[:2], told, *words[2:]]))
    return texts, labels.astype(np.int64)


def labelled(n: int = 160, seed: int = 0) -> Labelled:
    texts, labels = order_of_words(n, seed)
    return Labelled(texts, labels, np.arange(n), np.arange(n) % 5 == 0)


def digests(tuned: FineTuned) -> list[str]:
    return [digest_array(one.numpy()) for one in tuned.network.state_dict().values()]


def test_before_training_it_is_the_frozen_encoder_with_its_logit(encoder: Encoder) -> None:
    given = labelled()
    still = fine_tune(encoder, given, replace(QUICK, epochs=1, learning_rate=1e-12, weight_decay=0.0), CTX)
    learned = ~given.held
    texts = [text for text, is_learned in zip(given.texts, learned, strict=True) if is_learned]
    head = logit_head(pooled_vectors(encoder, texts, 64), given.labels[learned], given.groups[learned], CTX)
    anchor = head.probabilities(pooled_vectors(encoder, given.texts, 64))
    np.testing.assert_allclose(still.probabilities(given.texts), anchor, atol=1e-5)
    right = anchor[given.held, given.labels[given.held]]
    assert still.history[0]["holdout_loss"] == pytest.approx(-np.log(right).mean(), abs=1e-4)


def test_training_beats_the_frozen_encoder_where_it_is_blind(encoder: Encoder) -> None:
    given = labelled(400)
    tuned = fine_tune(encoder, given, replace(QUICK, epochs=6, patience=6), CTX)
    losses = [row["holdout_loss"] for row in tuned.history]
    assert min(losses) < 0.7 * losses[0]
    assert losses[int(str(tuned.summary["best_epoch"]))] == min(losses)
    texts, labels = order_of_words(100, seed=9)
    assert np.mean(tuned.probabilities(texts).argmax(axis=1) == labels) >= 0.85


def test_the_encoder_that_it_started_from_is_unchanged(encoder: Encoder) -> None:
    before = [digest_array(one.numpy()) for one in encoder.model.state_dict().values()]
    fine_tune(encoder, labelled(60), replace(QUICK, epochs=1), CTX)
    assert [digest_array(one.numpy()) for one in encoder.model.state_dict().values()] == before


def test_a_training_that_harms_is_not_taken(encoder: Encoder) -> None:
    wild = fine_tune(encoder, labelled(60), replace(QUICK, epochs=2, learning_rate=1.0), CTX)
    assert wild.summary["best_epoch"] == 0
    assert wild.history[1]["holdout_loss"] > wild.history[0]["holdout_loss"]


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(encoder: Encoder) -> None:
    one, again, other = (fine_tune(encoder, labelled(60), QUICK, ctx) for ctx in (CTX, CTX, replace(CTX, seed=2)))
    assert digests(one) == digests(again)
    assert one.history == again.history
    assert one.history != other.history


def test_a_killed_fit_resumes_to_the_same_bytes(encoder: Encoder, tmp_path: Path) -> None:
    class KilledError(Exception): ...

    def kill(_share: float) -> None:
        raise KilledError

    whole = fine_tune(encoder, labelled(60), QUICK, CTX)
    folder = replace(CTX, checkpoints=tmp_path)
    with pytest.raises(KilledError):
        fine_tune(encoder, labelled(60), QUICK, replace(folder, progress=kill))
    assert (tmp_path / "latest.safetensors").exists()
    resumed = fine_tune(encoder, labelled(60), QUICK, folder)
    np.testing.assert_equal(resumed.history, whole.history)
    assert digests(resumed) == digests(whole)


def test_a_sentence_is_answered_alike_whatever_is_beside_it(encoder: Encoder) -> None:
    tuned = fine_tune(encoder, labelled(60), replace(QUICK, epochs=1), CTX)
    texts = sentences(90, seed=4)
    together = tuned.probabilities(texts)
    backwards = tuned.probabilities(texts[::-1])[::-1]
    alone = np.concatenate([tuned.probabilities([text]) for text in texts[:12]])
    np.testing.assert_array_equal(together, backwards)
    np.testing.assert_array_equal(together[:12], alone)
    np.testing.assert_allclose(together.sum(axis=1), 1.0, atol=1e-12)
    assert len(np.unique(together[:, 0])) > 80


def test_sentences_that_are_cut_are_counted(encoder: Encoder) -> None:
    given = labelled(60)
    texts = [*given.texts[:-2], " ".join(["profit"] * 40), " ".join(["loss"] * 20)]
    tuned = fine_tune(encoder, replace(given, texts=texts), replace(QUICK, epochs=1, max_tokens=32), CTX)
    assert tuned.summary["n_cut"] == 1


# The head


def told_apart(n: int, seed: int) -> tuple[FloatArray, IntArray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=n)
    vectors = rng.normal(size=(n, 6))
    vectors[np.arange(n), labels] += 2.0
    return vectors, labels.astype(np.int64)


def test_the_logit_tells_classes_apart_and_its_penalty_is_one_of_those_tried() -> None:
    vectors, labels = told_apart(600, 1)
    head = logit_head(vectors[:400], labels[:400], np.arange(400), CTX)
    assert head.strength in STRENGTHS
    assert np.mean(head.probabilities(vectors[400:]).argmax(axis=1) == labels[400:]) > 0.75


def test_vectors_without_meaning_are_held_back() -> None:
    rng = np.random.default_rng(2)
    noise, labels = rng.normal(size=(200, 40)), rng.integers(3, size=200)
    head = logit_head(noise, labels, np.arange(200), CTX)
    assert head.strength <= 1e-2
    assert head.probabilities(noise).max() < 0.6


def test_a_dead_column_gets_no_weight() -> None:
    vectors, labels = told_apart(300, 3)
    dead = 1e-12 * np.random.default_rng(4).normal(size=(300, 1))
    head = logit_head(np.hstack([vectors, dead]), labels, np.arange(300), CTX)
    bare = logit_head(vectors, labels, np.arange(300), CTX)
    np.testing.assert_array_equal(head.weight[:, -1], 0.0)
    np.testing.assert_allclose(head.weight[:, :-1], bare.weight, atol=1e-4)


def test_units_of_the_columns_do_not_matter() -> None:
    vectors, labels = told_apart(300, 5)
    scaled = vectors * np.array([1.0, 10.0, 0.1, 1.0, 5.0, 0.2])
    one, other = (logit_head(given, labels, np.arange(300), CTX).probabilities(given) for given in (vectors, scaled))
    np.testing.assert_allclose(one, other, atol=1e-3)


def test_two_classes_are_enough_and_one_is_not() -> None:
    vectors, labels = told_apart(200, 6)
    head = logit_head(vectors, np.minimum(labels, 1), np.arange(200), CTX)
    assert head.weight.shape == (2, 6)
    with pytest.raises(TrainingError, match="two classes"):
        logit_head(vectors, np.zeros(200, dtype=np.int64), np.arange(200), CTX)


# What is refused


def test_an_engine_without_weights_cannot_be_trained() -> None:
    with pytest.raises(InputError, match="no weights to train"):
        Encoder.of(text_engine(HASHED))


def test_an_odd_length_is_refused() -> None:
    with pytest.raises(PlanError, match="max_tokens"):
        FineTuning(max_tokens=100)
