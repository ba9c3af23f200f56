"""Labelled sentences: what is grouped, dealt, counted and bounded is what the docstrings say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support

from glassbox_bt.errors import InputError
from glassbox_bt.evaluation.labelled_sentences import (
    CLASSES,
    Counts,
    accuracy,
    by_class,
    calibration,
    differences,
    draws,
    estimates,
    fold_numbers,
    macro_f1,
    near_duplicates,
    sentences_of,
)
from glassbox_bt.types import FloatArray, IntArray

SALES = "Net sales of the group rose to EUR {} mn from EUR {} mn in the corresponding quarter of the previous year ."


def drawn(n: int, seed: int, right: float = 0.7) -> tuple[IntArray, IntArray]:
    """Labels and answers of which a share is right."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, size=n, p=[0.15, 0.55, 0.3])
    return labels, np.where(rng.random(n) < right, labels, rng.integers(3, size=n))


def each_alone(n: int) -> IntArray:
    return np.arange(n)


# Groups


def test_sentences_that_differ_only_in_figures_case_and_punctuation_are_one_group() -> None:
    texts = ["Profit was EUR 3.5 mn .", "the board met in May", "profit was eur 12,000.25 mn", "Profit was EUR mn"]
    groups = near_duplicates(texts, similar=1.0)
    assert groups[0] == groups[2]
    assert len(set(groups)) == 3


def test_a_shared_beginning_of_sixty_letters_is_enough_and_fifty_are_not() -> None:
    begun = "the company said on monday that it had agreed to sell its unit of forest machines"
    ends = ("to a buyer in norway", "after years of losses and three failed attempts at a turn")
    long, short = ([f"{part} {end}" for end in ends] for part in (begun, begun[:50]))
    assert len(set(near_duplicates(long, similar=1.0))) == 1
    assert len(set(near_duplicates(short, similar=1.0))) == 2


def test_half_of_the_words_and_pairs_in_common_is_enough() -> None:
    one = "a b c d e f g h"  # 8 words and 7 pairs
    near = "z a b c d e f y"  # shares 6 words and 5 pairs of 15 + 15 − 11 = 19
    far = "z y x w a b c v"  # shares 3 words and 2 pairs of 25
    assert near_duplicates([one, near, far], similar=0.5).tolist() == [0, 0, 1]
    assert near_duplicates([one, near, far], similar=11 / 19 + 0.01).tolist() == [0, 1, 2]


def test_a_chain_of_near_duplicates_is_one_group() -> None:
    links = ["a b c d e f", "b c d e f g", "c d e f g h", "d e f g h i"]
    assert len(set(near_duplicates(links))) == 1
    assert len(set(near_duplicates([links[0], links[3]]))) == 2


def test_groups_are_numbered_in_order_and_need_no_words() -> None:
    assert near_duplicates(["?!", "profit fell", "...", "12"]).tolist() == [0, 1, 0, 2]
    assert near_duplicates(["?!", "--"]).tolist() == [0, 0]


# Folds


def test_folds_keep_groups_whole_and_labels_even() -> None:
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(400), rng.integers(1, 4, size=400))
    labels = np.repeat(rng.choice(3, size=400, p=[0.2, 0.5, 0.3]), np.bincount(groups))
    folds = fold_numbers(labels, groups, 5, "one")
    assert all(len(set(folds[groups == group])) == 1 for group in range(400))
    shares = np.array([np.bincount(labels[folds == number], minlength=3) / np.sum(folds == number) for number in range(5)])
    assert np.ptp(shares, axis=0).max() < 0.02
    assert np.ptp(np.bincount(folds)) <= 0.1 * len(folds) / 5


def test_a_draw_of_folds_hangs_on_its_key() -> None:
    labels, _ = drawn(200, 1)
    one, again, other = (fold_numbers(labels, each_alone(200), 5, key) for key in ("a", "a", "b"))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_twins_would_be_split_if_they_were_not_grouped() -> None:
    texts = [SALES.format(number, number + 1) for number in range(0, 80, 2)] + [
        f"word {chr(97 + number // 26)}{chr(97 + number % 26)}" for number in range(160)
    ]
    labels = np.r_[np.full(40, 2), np.tile([0, 1], 80)]
    grouped = fold_numbers(labels, near_duplicates(texts), 5, "k")
    alone = fold_numbers(labels, each_alone(200), 5, "k")
    assert len(set(grouped[:40])) == 1
    assert len(set(alone[:40])) == 5


def test_too_few_groups_are_refused() -> None:
    with pytest.raises(InputError, match="2 groups"):
        fold_numbers(np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1]), 5, "k")


# Scores


def test_scores_are_those_of_scikit_learn() -> None:
    labels, answers = drawn(500, 2)
    counts = Counts.of(labels, answers, np.arange(500) % 90)
    assert float(accuracy(counts.total)) == pytest.approx(accuracy_score(labels, answers))
    assert float(macro_f1(counts.total)) == pytest.approx(f1_score(labels, answers, average="macro"))
    expected = precision_recall_fscore_support(labels, answers)
    found = by_class(counts)
    for name, values in zip(("precision", "recall", "f1", "n"), expected, strict=True):
        np.testing.assert_allclose(found[name], values)
    assert list(found["class"]) == list(CLASSES)


def test_a_class_that_is_neither_label_nor_answer_does_not_lower_the_mean() -> None:
    counts = Counts.of(np.array([0, 1, 1]), np.array([0, 1, 1]), each_alone(3))
    assert float(macro_f1(counts.total)) == 1.0
    assert np.isnan(by_class(counts)["precision"][CLASSES.index("positive")])


def test_a_resample_that_takes_every_group_once_is_the_sample() -> None:
    labels, answers = drawn(60, 5)
    counts = Counts.of(labels, answers, np.arange(60) // 2)
    np.testing.assert_array_equal(counts.drawn(np.ones((1, 30), dtype=np.float32))[0], counts.total)


def test_draws_take_as_many_groups_as_there_are_and_hang_on_their_key() -> None:
    one, again, other = draws(50, 20, "a"), draws(50, 20, "a"), draws(50, 20, "b")
    np.testing.assert_array_equal(one.sum(axis=1), 50)
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def clustered(rng: np.random.Generator) -> tuple[IntArray, IntArray, IntArray]:
    """80 groups of 1 or 12 sentences, each with one label and answered alike: right in 70 %, so the true accuracy is 0.7."""
    sizes = rng.choice([1, 12], size=80, p=[0.7, 0.3])
    groups = np.repeat(np.arange(80), sizes)
    labels = rng.integers(3, size=80)
    answers = np.where(rng.random(80) < 0.7, labels, (labels + 1) % 3)
    return labels[groups], answers[groups], groups


def test_intervals_over_groups_cover_and_those_over_sentences_do_not() -> None:
    covered = {"groups": 0, "sentences": 0}
    for number in range(200):
        labels, answers, groups = clustered(np.random.default_rng([7, number]))
        for name, unit in (("groups", groups), ("sentences", each_alone(len(groups)))):
            counts = Counts.of(labels, answers, unit)
            found = estimates(counts, draws(len(counts.cells), 400, f"{number}"), 0.95)["accuracy"]
            covered[name] += found.low <= 0.7 <= found.high
    assert 0.90 <= covered["groups"] / 200 <= 0.98
    assert covered["sentences"] / 200 < 0.80


def test_intervals_of_both_measures_hold_their_estimate() -> None:
    labels, answers = drawn(400, 9)
    counts = Counts.of(labels, answers, each_alone(400))
    for found in estimates(counts, draws(400, 500, "k"), 0.95).values():
        assert found.low < found.value < found.high
        assert found.high - found.low < 0.15


def test_a_classifier_does_not_differ_from_itself() -> None:
    labels, answers = drawn(300, 4)
    counts = Counts.of(labels, answers, each_alone(300))
    for found in differences(counts, counts, draws(300, 200, "k"), 0.95).values():
        assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)


def test_pairing_takes_out_what_both_find_hard() -> None:
    labels, answers = drawn(600, 6)
    better = answers.copy()
    mended = np.flatnonzero(answers != labels)[:20]
    better[mended] = labels[mended]
    one, other = (Counts.of(labels, said, each_alone(600)) for said in (better, answers))
    times = draws(600, 1000, "k")
    gap = differences(one, other, times, 0.95)["accuracy"]
    alone = estimates(other, times, 0.95)["accuracy"]
    assert gap.value == pytest.approx(20 / 600)
    assert gap.low > 0.0
    assert gap.high - gap.low < 0.5 * (alone.high - alone.low)


def test_classifiers_of_other_sentences_cannot_be_compared() -> None:
    labels, answers = drawn(30, 1)
    others = (labels + 1) % 3
    one, other = (Counts.of(of, answers, each_alone(30)) for of in (labels, others))
    with pytest.raises(InputError, match="same sentences"):
        differences(one, other, draws(30, 10, "k"), 0.95)


# Calibration


def stated(n: int, seed: int, shown: float) -> tuple[FloatArray, IntArray]:
    """Probabilities, and labels drawn from them after they were flattened to ``shown`` of their distance from 1/3."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet([1.0, 1.0, 1.0], size=n)
    true = 1.0 / 3.0 + shown * (probabilities - 1.0 / 3.0)
    labels = (rng.random(n)[:, None] > np.cumsum(true, axis=1)[:, :2]).sum(axis=1)
    return probabilities, labels


def test_a_calibrated_classifier_stays_within_chance_and_an_overconfident_one_does_not() -> None:
    within = 0
    for seed in range(60):
        honest = calibration(*stated(800, seed, 1.0), key="k", n_boot=300)
        within += honest.error <= honest.by_chance
    assert 52 <= within <= 60
    proud = calibration(*stated(800, 1, 0.5), key="k", n_boot=300)
    assert proud.error > 2.0 * proud.by_chance
    gap = proud.mean_confidence - (1.0 / 3.0 + 0.5 * (proud.mean_confidence - 1.0 / 3.0))
    assert proud.error == pytest.approx(gap, abs=0.04)


def test_bins_hold_equally_many_and_all_sentences() -> None:
    found = calibration(*stated(1000, 3, 1.0), key="k", n_boot=100)
    assert len(found.bins) == 10
    assert found.bins["n"].sum() == 1000
    assert found.bins["n"].between(95, 105).all()
    assert (np.diff(found.bins["confidence"]) > 0.0).all()


def test_one_probability_for_all_is_one_bin() -> None:
    labels = np.array([1] * 60 + [0] * 40)
    found = calibration(np.tile([0.3, 0.6, 0.1], (100, 1)), labels, key="k", n_boot=100)
    assert len(found.bins) == 1
    assert found.error == pytest.approx(0.0, abs=1e-12)


def test_probabilities_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(InputError, match="add up to 1"):
        calibration(np.array([[0.5, 0.6, 0.1]]), np.array([0]), key="k")


# The file


def table(**changes: object) -> pd.DataFrame:
    columns = {"text": ["sales rose", "sales fell"], "label": ["positive", "negative"], "all_agree": [True, False]}
    return pd.DataFrame({**columns, **changes})


def test_a_good_file_is_taken_as_it_is() -> None:
    kept = sentences_of(table(source=["a", "b"]), "file")
    assert list(kept.columns) == ["text", "label", "all_agree"]
    assert list(kept["text"]) == ["sales rose", "sales fell"]


@pytest.mark.parametrize(
    ("given", "match"),
    [
        (table().drop(columns="label"), "lacks the columns"),
        (table(label=["positive", "bullish"]), "bullish"),
        (table(text=["sales rose", "  "]), "1 empty"),
        (table(text=["sales rose", "sales rose"]), "1 repeated"),
    ],
)
def test_a_bad_file_is_refused(given: pd.DataFrame, match: str) -> None:
    with pytest.raises(InputError, match=match):
        sentences_of(given, "file")
