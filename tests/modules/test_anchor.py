from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from glassbox_bt.errors import TrainingError
from glassbox_bt.modules._anchor import (
    LinearAnchor,
    RankScale,
    Standardiser,
    fit_logit,
    fit_ridge,
    information_coefficient,
)

SCORES = arrays(np.float64, st.integers(1, 40), elements=st.integers(-5, 5).map(float))


def test_ridge_is_the_closed_form_at_any_sample_size() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 3))
    y = x @ np.array([1.0, -2.0, 0.0]) + 0.1 * rng.normal(size=500) + 4.0
    centred, wanted = x - x.mean(axis=0), y - y.mean()
    exact = np.linalg.solve(centred.T @ centred / 500 + 0.1 * np.eye(3), centred.T @ wanted / 500)
    for times in (1, 4):
        model = fit_ridge(np.tile(x, (times, 1)), np.tile(y, times), penalty=0.1)
        np.testing.assert_allclose(model.coefficients, exact, rtol=1e-9)
        np.testing.assert_allclose(model.intercept, y.mean() - x.mean(axis=0) @ exact, rtol=1e-9)


def test_rows_without_an_outcome_do_not_count() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(60, 2)), rng.normal(size=60)
    holes = np.concatenate([y, np.full(20, np.nan)])
    model = fit_ridge(np.concatenate([x, 9.0 * np.ones((20, 2))]), holes)
    np.testing.assert_array_equal(model.coefficients, fit_ridge(x, y).coefficients)
    with pytest.raises(TrainingError, match="at least 2 rows"):
        fit_ridge(x, np.full(60, np.nan))


def test_logit_is_calibrated_in_the_large_and_finds_the_direction() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(4000, 2))
    event = (rng.random(4000) < 1.0 / (1.0 + np.exp(1.0 - x[:, 0]))).astype(np.float64)
    model = fit_logit(x, event, penalty=1e-4)
    assert model.predict(x).mean() == pytest.approx(event.mean(), abs=1e-4)
    assert model.coefficients[0] == pytest.approx(1.0, abs=0.15)
    assert abs(model.coefficients[1]) < 0.1


@pytest.mark.parametrize("event", [0.0, 1.0])
def test_logit_on_one_class_is_a_base_rate_short_of_certainty(event: float) -> None:
    model = fit_logit(np.ones((9, 2)), np.full(9, event))
    probability = model.predict(np.zeros((1, 2)))[0]
    assert probability == pytest.approx(0.95 if event else 0.05)


def test_contributions_and_intercept_add_up() -> None:
    model = LinearAnchor(np.array([0.5, -1.0]), 0.25)
    x = np.array([[2.0, 3.0], [0.0, 1.0]])
    np.testing.assert_allclose(model.contributions(x).sum(axis=1) + 0.25, model.predict(x))


@given(st.integers(1, 30), st.integers(0, 10_000))
def test_an_anchors_answer_does_not_depend_on_other_rows(n_rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    model = LinearAnchor(rng.normal(size=7), 0.1, "logistic")
    x = rng.normal(size=(n_rows, 7))
    whole = model.predict(x)
    alone = np.array([model.predict(x[row : row + 1])[0] for row in range(n_rows)])
    np.testing.assert_array_equal(whole, alone)


@given(SCORES, SCORES)
def test_rank_scale_is_monotone_within_bounds_and_splits_ties(reference: np.ndarray, asked: np.ndarray) -> None:
    scale = RankScale.of(reference)
    ranks = scale.rank(np.sort(asked))
    assert np.all(np.diff(ranks) >= 0.0)
    assert ranks.min() >= 0.0
    assert ranks.max() <= 1.0
    below = [(np.sum(reference < x) + 0.5 * np.sum(reference == x)) / reference.size for x in asked]
    np.testing.assert_allclose(scale.rank(asked), below)
    assert scale.rank(reference).mean() == pytest.approx(0.5)
    np.testing.assert_allclose(scale.signal(asked), 2.0 * scale.rank(asked) - 1.0)


def test_rank_scale_keeps_the_unknown_unknown_and_refuses_nothing_to_rank() -> None:
    scale = RankScale.of(np.array([3.0, np.nan, 1.0]))
    np.testing.assert_array_equal(scale.reference, [1.0, 3.0])
    assert np.isnan(scale.rank(np.array([np.nan]))[0])
    with pytest.raises(TrainingError, match="at least one finite score"):
        RankScale.of(np.array([np.nan]))


def test_a_long_reference_is_thinned_without_moving_ranks() -> None:
    sample = np.random.default_rng(0).normal(size=50_000)
    scale = RankScale.of(sample)
    assert scale.reference.size == 20_000
    assert scale.reference[0] == sample.min()
    asked = np.linspace(-2, 2, 9)
    exact = [(sample < x).mean() for x in asked]
    np.testing.assert_allclose(scale.rank(asked), exact, atol=1e-4)


def test_missing_is_flagged_and_never_the_mean_in_disguise() -> None:
    train = np.array([[1.0, 5.0, np.nan], [3.0, 5.0, np.nan], [np.nan, 5.0, np.nan]])
    scaler = Standardiser.fit(train)
    pairs = scaler.pairs(np.array([[2.0, 5.0, 1.0], [np.nan, 5.0, 1.0], [4.0, 6.0, 1.0]]))
    np.testing.assert_array_equal(pairs[0], [0, 0, 0, 1, 0, 0])  # the mean, and known
    np.testing.assert_array_equal(pairs[1], [0, 0, 0, 0, 0, 0])  # missing
    np.testing.assert_array_equal(pairs[2], [2, 0, 0, 1, 0, 0])  # never varied: never known
    assert scaler.scaled(np.array([[1e9, 0.0, 0.0]]))[0, 0] == 8.0


def test_states_survive_the_round_trip() -> None:
    rng = np.random.default_rng(3)
    scaler = Standardiser.fit(rng.normal(size=(20, 3)))
    model = fit_ridge(rng.normal(size=(20, 3)), rng.normal(size=20))
    scale = RankScale.of(rng.normal(size=20))
    stored = {**scaler.arrays("s"), **model.arrays("m"), **scale.arrays("f")}
    x = rng.normal(size=(5, 3))
    np.testing.assert_array_equal(Standardiser.restore(stored, "s").pairs(x), scaler.pairs(x))
    np.testing.assert_array_equal(LinearAnchor.restore(stored, "m").predict(x), model.predict(x))
    np.testing.assert_array_equal(RankScale.restore(stored, "f").rank(x), scale.rank(x))


def test_information_coefficient_is_spearmans() -> None:
    rng = np.random.default_rng(4)
    a = rng.integers(0, 6, 200).astype(float)
    b = a + rng.normal(size=200)
    from scipy.stats import spearmanr

    assert information_coefficient(a, b) == pytest.approx(spearmanr(a, b).statistic)
    assert information_coefficient(a, np.ones(200)) == 0.0
    assert information_coefficient(a[:5], b[:5]) == 0.0
