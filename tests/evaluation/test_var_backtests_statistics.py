"""The statistics of the backtests: textbook figures, exact distributions, and what a Monte-Carlo p-value must be."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from glassbox_bt.evaluation._var_coverage import (
    LAGS,
    conditional_ratio,
    dynamic_quantile,
    independence,
    independence_ratio,
    kupiec_p,
    kupiec_ratio,
    transitions,
)
from glassbox_bt.evaluation._var_draws import arrangements, false_discovery, monte_carlo_p, patterns
from glassbox_bt.evaluation._var_shortfall import StatedTail
from glassbox_bt.types import FloatArray
from tests.evaluation.tails import panel_of, stated


def within(count: int, n: int, rate: float) -> bool:
    """Whether a count of true nulls is one that chance gives in all but two of ten thousand."""
    low, high = stats.binom.ppf([1e-4, 1.0 - 1e-4], n, rate)
    return bool(low <= count <= high)


def test_textbook_figures() -> None:
    """Jorion, Value at Risk (3rd ed., sections 6.2.2 and 6.2.4): 20 exceedances in 252 days, six of them after another."""
    assert kupiec_ratio(np.array([252]), np.array([20]), 0.05)[0] == pytest.approx(3.91, abs=5e-3)
    pairs = tuple(np.array([one]) for one in (218, 14, 14, 6))
    assert independence_ratio(pairs)[0] == pytest.approx(9.53, abs=5e-3)


def test_ratios_by_hand() -> None:
    by_hand = 2.0 * (3 * math.log(0.3 / 0.05) + 7 * math.log(0.7 / 0.95))
    assert kupiec_ratio(np.array([10]), np.array([3]), 0.05)[0] == pytest.approx(by_hand)
    assert kupiec_ratio(np.array([100]), np.array([5]), 0.05)[0] == 0.0
    assert kupiec_ratio(np.array([100]), np.array([0]), 0.05)[0] == pytest.approx(-200.0 * math.log(0.95))
    pairs = tuple(np.array([one]) for one in (4, 2, 1, 3))
    apart = 4 * math.log(4 / 6) + 2 * math.log(2 / 6) + math.log(1 / 4) + 3 * math.log(3 / 4)
    together = 5 * math.log(0.5) + 5 * math.log(0.5)
    assert independence_ratio(pairs)[0] == pytest.approx(2.0 * (apart - together))
    stated_rate = 5 * math.log(0.9) + 5 * math.log(0.1)
    assert conditional_ratio(pairs, 0.1)[0] == pytest.approx(2.0 * (apart - stated_rate))


def test_transitions_stay_within_a_year() -> None:
    returns = np.array([[-1.0], [-1.0], [0.0], [-1.0], [-1.0], [0.0]])
    panel = panel_of(returns, stated(np.full((6, 1), 0.1), None))
    panel.starts[4] = True
    counted = [int(one[0]) for one in transitions(panel.hits(95), panel.after(panel.usable(95), 1))]
    assert counted == [0, 1, 2, 1]  # the pair of days 3 and 4 reaches across the border


@pytest.mark.parametrize(("n", "rate"), [(30, 0.05), (250, 0.01), (250, 0.05)])
def test_the_p_value_of_kupiec_is_exact(n: int, rate: float) -> None:
    counts = np.arange(n + 1)
    p_values = kupiec_p(np.full(n + 1, n), counts, rate)
    ratios = kupiec_ratio(np.full(n + 1, n), counts, rate)
    chances = stats.binom.pmf(counts, n, rate)
    for hits in (0, 1, 5, n // 4):
        assert p_values[hits] == pytest.approx(sum(chances[k] for k in counts if ratios[k] >= ratios[hits] - 1e-9))
    for alpha in (0.01, 0.05, 0.2):
        assert float(chances[p_values <= alpha].sum()) <= alpha
    assert p_values.max() == pytest.approx(1.0)


def test_random_arrangements_are_equally_probable() -> None:
    places = arrangements(6, 3, 20_000, np.random.default_rng(1))
    assert (np.diff(places, axis=1) > 0).all()
    sets, counts = np.unique(places, axis=0, return_counts=True)
    assert len(sets) == math.comb(6, 3)
    assert all(within(int(count), 20_000, 1.0 / 20.0) for count in counts)


def test_independence_has_the_exact_distribution_of_all_arrangements() -> None:
    """Nine days with three exceedances: every arrangement is enumerated."""
    n, hits = 9, 3
    every = []
    for places in itertools.combinations(range(n), hits):
        path = np.zeros((n, 1), dtype=bool)
        path[list(places)] = True
        pairs = np.ones((n, 1), dtype=bool)
        pairs[0] = False
        every.append((path, float(independence_ratio(transitions(path, pairs))[0])))
    ratios = np.array([ratio for _, ratio in every])
    tail = stated(np.full((n, 1), 0.1), None)
    for path, ratio in every[:: len(every) // 6]:
        found = [float(independence(panel_of(np.where(path, -1.0, 0.0), tail), 95, 1999, f"k{i}")[0]) for i in range(40)]
        least, most = np.mean(ratios > ratio + 1e-9), np.mean(ratios >= ratio - 1e-9)
        assert np.mean(found) == pytest.approx((least + most) / 2.0, abs=4.0 * (most - least) / math.sqrt(12 * 40) + 0.01)


def test_ties_are_broken_so_that_the_level_is_met() -> None:
    """A statistic with three values: without random ties the test would reject in 0 or in 10 % of samples, never in 5 %."""
    rng = np.random.default_rng(2)
    chances = [0.7, 0.2, 0.1]
    n = 4000
    observed = rng.choice(3, n, p=chances).astype(float)
    p_values = np.array(
        [monte_carlo_p(observed[[i]], rng.choice(3, (99, 1), p=chances).astype(float), rng)[0] for i in range(n)]
    )
    for alpha in (0.01, 0.05, 0.1, 0.5):
        assert within(int((p_values <= alpha + 1e-12).sum()), n, alpha)
    assert math.isnan(monte_carlo_p(np.array([math.nan]), np.zeros((9, 1)), rng)[0])


def projection(hits: FloatArray, days: FloatArray, values: FloatArray, rate: float) -> float:
    """The dynamic quantile statistic by least squares."""
    y = hits[days] - rate
    x = np.column_stack([np.ones(len(days)), *(hits[days - lag] for lag in range(1, LAGS + 1)), values])
    fitted = x @ np.linalg.lstsq(x, y, rcond=None)[0]
    return float(fitted @ fitted / (rate * (1.0 - rate)))


@pytest.mark.parametrize("n_hits", [0, 1, 3, 20])
def test_the_dynamic_quantile_is_a_projection(n_hits: int) -> None:
    rng = np.random.default_rng(n_hits)
    hits = np.zeros(120, dtype=bool)
    hits[rng.choice(120, n_hits, replace=False)] = True
    days = np.arange(LAGS, 120)
    values = -0.02 - 0.01 * rng.random((len(days), 3))
    values[:, 2] = -0.03  # does not move
    found = dynamic_quantile(hits[None], days, values, 0.05)[0]
    for name in range(3):
        assert found[name] == pytest.approx(projection(hits.astype(float), days, values[:, name], 0.05), rel=1e-6, abs=1e-9)


def test_many_paths_are_each_what_they_are_alone() -> None:
    rng = np.random.default_rng(3)
    paths, days = rng.random((600, 80)) < 0.05, np.arange(LAGS, 80)
    values = rng.random((len(days), 2))
    together = dynamic_quantile(paths, days, values, 0.05)
    for at in (0, 255, 256, 599):
        np.testing.assert_allclose(together[[at]], dynamic_quantile(paths[[at]], days, values, 0.05), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(("any_dependence", "method"), [(False, "bh"), (True, "by")])
def test_false_discovery_rates(any_dependence: bool, method: str) -> None:
    p_values = np.random.default_rng(4).random(31) ** 2
    wanted = stats.false_discovery_control(p_values, method=method)
    with_gaps = np.insert(p_values, 5, np.nan)
    found = false_discovery(with_gaps, any_dependence=any_dependence)
    assert math.isnan(found[5])
    np.testing.assert_allclose(np.delete(found, 5), wanted)
    assert np.isnan(false_discovery(np.full(3, np.nan))).all()


def test_names_with_the_same_days_share_a_pattern() -> None:
    there = np.ones((5, 4), dtype=bool)
    there[2, 1] = False
    assert [names.tolist() for _, names in patterns(there)] == [[0, 2, 3], [1]]


@pytest.mark.parametrize("degrees", [None, 4.0])
def test_the_tail_that_is_drawn_has_the_stated_numbers(degrees: float | None) -> None:
    one = {name: values[0] for name, values in stated(np.array([[0.02]]), degrees).items()}
    tail = StatedTail(one["var_95"], one["var_99"], one["cvar_95"], one["cvar_99"])
    chance = (np.arange(2_000_000) + 0.5) / 2_000_000 * 0.05
    depth = tail.depth(chance, 95)
    assert depth.mean() == pytest.approx(1.0, abs=2e-3)
    assert tail.depth(np.array([0.05]), 95)[0] == pytest.approx(one["var_95"][0] / one["cvar_95"][0], rel=1e-6)
    assert (np.diff(depth) <= 0.0).all()  # the less probable, the deeper
    outer = chance[chance < 0.01]
    assert tail.depth(outer, 99).mean() == pytest.approx(1.0, abs=5e-3)
    assert tail.depth(np.array([0.01 - 1e-12]), 99)[0] == pytest.approx(one["var_99"][0] / one["cvar_99"][0], rel=1e-6)
