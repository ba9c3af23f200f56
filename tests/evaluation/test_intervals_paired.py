"""Paired differences: nothing from nothing, one answer from interval and p-value, and an effect that does show."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glassbox_bt.errors import ContractError
from glassbox_bt.evaluation._spread import PLAIN, POWER, Draws, Spread, spread_of
from glassbox_bt.evaluation.intervals import MEASURES, estimates, paired
from glassbox_bt.plan import StatisticsPlan
from glassbox_bt.types import FloatArray
from tests.evaluation.test_intervals import QUICK, book, with_returns


@pytest.mark.parametrize("measure", MEASURES)
def test_a_strategy_does_not_differ_from_itself(measure: str) -> None:
    parts = [book(1), book(2)]
    one = paired(parts, parts, measure, QUICK, "a")
    assert (one.difference, one.low, one.high, one.standard_error, one.p_value) == (0.0, 0.0, 0.0, 0.0, 1.0)
    assert math.isnan(one.smallest_detectable)
    assert one.n_sessions == 504
    assert one.withheld is None


def test_equal_returns_at_other_costs_do_not_differ_in_sharpe() -> None:
    one = paired([book(1)], [book(1).assign(costs=1.0)], "sharpe", QUICK, "a")
    assert (one.difference, one.p_value) == (0.0, 1.0)


@pytest.mark.parametrize("measure", MEASURES)
def test_the_other_way_round_everything_turns(measure: str) -> None:
    ours, theirs = [book(1), book(2)], [book(3), book(4)]
    one, other = paired(ours, theirs, measure, QUICK, "a"), paired(theirs, ours, measure, QUICK, "a")
    assert one.difference == estimates(ours)[measure] - estimates(theirs)[measure] == -other.difference
    assert (one.low, one.high, one.p_value) == pytest.approx((-other.high, -other.low, other.p_value))
    assert one.standard_error == pytest.approx(other.standard_error)
    assert one.low < one.difference < one.high


def test_what_both_share_cancels() -> None:
    """Strategies of one market differ less surely known than two of different markets: the pairing is what helps."""
    rng = np.random.default_rng(5)
    market, own, rest = (0.01 * rng.standard_normal(252) for _ in range(3))
    near = paired([with_returns(market)], [with_returns(market + 0.1 * own)], "sharpe", QUICK, "a")
    far = paired([with_returns(market)], [with_returns(rest)], "sharpe", QUICK, "a")
    assert near.high - near.low < 0.2 * (far.high - far.low)
    assert near.smallest_detectable < 0.2 * far.smallest_detectable


def test_a_difference_of_a_few_days_is_not_significant() -> None:
    rows = book(1)
    returns = rows["return"].to_numpy(copy=True)
    returns[50:53] += 0.01
    for measure in ("sharpe", "annual_return", "volatility"):
        one = paired([with_returns(returns)], [rows], measure, QUICK, "a")
        assert one.withheld is None
        assert one.low < 0.0 < one.high
        assert one.p_value > 0.05


def test_a_difference_on_most_days_is() -> None:
    rng = np.random.default_rng(1)
    rows = book(1)
    one = paired([with_returns(rows["return"] + 0.0005 * rng.random(252))], [rows], "sharpe", QUICK, "a")
    assert one.low > 0.0
    assert one.p_value == pytest.approx(2.0 / 200.0)


def test_without_a_sharpe_there_is_no_difference_in_sharpe() -> None:
    one = paired([book(1)], [with_returns(np.zeros(252))], "sharpe", QUICK, "a")
    assert one.withheld == "the measure is not defined on these days"
    assert all(math.isnan(value) for value in (one.low, one.high, one.p_value, one.standard_error, one.smallest_detectable))
    assert math.isfinite(paired([book(1)], [with_returns(np.zeros(252))], "volatility", QUICK, "a").low)


def test_other_days_are_refused() -> None:
    with pytest.raises(ContractError, match="same parts"):
        paired([book(1)], [book(1).head(200)], "sharpe", QUICK, "a")
    dated = [book(1).assign(date=pd.bdate_range(first, periods=252)) for first in ("2020-01-01", "2021-01-01")]
    with pytest.raises(ContractError, match="dates differ"):
        paired(dated[:1], dated[1:], "sharpe", QUICK, "a")


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    drift=st.floats(-0.002, 0.002),
    level=st.sampled_from([0.6, 0.8, 0.9, 0.95]),
    measure=st.sampled_from(MEASURES),
)
def test_the_interval_leaves_out_zero_where_the_p_value_is_small(
    seed: int, drift: float, level: float, measure: str
) -> None:
    asked = StatisticsPlan(level=level, n_boot=199)
    one = paired([book(seed, 80, drift)], [book(seed + 1, 80)], measure, asked, "a")
    if one.withheld is None:
        assert (one.low > 0.0 or one.high < 0.0) == (one.p_value < 1.0 - level)
        assert 2.0 / 200.0 <= one.p_value <= 1.0


@settings(deadline=None, max_examples=300)
@given(
    distances=st.lists(st.integers(-4, 4), min_size=99, max_size=140).filter(lambda drawn: len(set(drawn)) > 1),
    estimate=st.integers(-9, 9),
    level=st.sampled_from([0.501, 0.6, 0.8, 0.9, 0.95]),
)
def test_ties_between_draws_do_not_part_interval_and_p_value(distances: list[int], estimate: int, level: float) -> None:
    spread = Spread(PLAIN, estimate / 2.0, 1.0, np.sort(np.array(distances, dtype=np.float64)), 1.0)
    low, high = spread.interval(level)
    rounding = 1e-12  # of the level; quantiles between two draws are rounded
    assert (low > 0.0 or high < 0.0) <= (spread.p_value() < 1.0 - level + rounding)
    assert (low > 0.0 or high < 0.0) >= (spread.p_value() < 1.0 - level - rounding)


def test_normal_errors_give_the_textbook_interval() -> None:
    draws = np.random.default_rng(1).standard_normal(200_000)
    found = spread_of(Draws(3.0, 2.0 * draws, 1e9, 0.0, 2.0, np.full(len(draws), 2.0)), PLAIN)
    assert isinstance(found, Spread)
    assert found.interval(0.95) == pytest.approx((3.0 - 1.96 * 2.0, 3.0 + 1.96 * 2.0), abs=0.05)
    assert found.p_value() == pytest.approx(0.1336, abs=0.005)
    assert found.detectable(0.95) == pytest.approx((1.96 + 0.8416) * 2.0, abs=0.05)
    assert found.standard_error() == pytest.approx(2.0, rel=0.01)


def test_without_errors_distances_are_taken_as_they_are_and_percentiles_without_truth() -> None:
    values = np.arange(1.0, 1000.0)
    basic, range_of_paths = (spread_of(Draws(600.0, values, 1e9, truth), PLAIN) for truth in (500.0, None))
    assert isinstance(basic, Spread)
    assert isinstance(range_of_paths, Spread)
    assert basic.interval(0.9) == pytest.approx((600.0 - 450.0, 600.0 + 450.0))
    assert range_of_paths.interval(0.9) == pytest.approx((50.0, 950.0))
    assert range_of_paths.p_value() == pytest.approx(2.0 / 1000.0)


def test_the_smallest_detectable_effect_is_detected_as_often_as_it_says() -> None:
    """Two strategies of independent normal returns: the mean that the samples call detectable, planted, is mostly found."""
    rng, n = np.random.default_rng(11), 250
    asked = StatisticsPlan(n_boot=199)

    def pair(edge: float) -> tuple[list[pd.DataFrame], list[pd.DataFrame]]:
        return [with_returns(0.01 * rng.standard_normal(n) + edge)], [with_returns(0.01 * rng.standard_normal(n))]

    claimed = float(np.mean([paired(*pair(0.0), "sharpe", asked, str(i)).smallest_detectable for i in range(40)]))
    edge = 0.01 * claimed / math.sqrt(252.0)
    found = [paired(*pair(edge), "sharpe", asked, str(i)) for i in range(150)]
    power = np.mean([one.p_value < 0.05 and one.difference > 0.0 for one in found])
    assert POWER - 0.1 < power < POWER + 0.1


def test_there_is_nothing_to_find_in_noise() -> None:
    rng = np.random.default_rng(12)

    def noise() -> list[pd.DataFrame]:
        returns: FloatArray = 0.01 * rng.standard_normal(250)
        return [with_returns(returns)]

    asked = StatisticsPlan(level=0.8, n_boot=199)
    rejected = np.mean([paired(noise(), noise(), "sharpe", asked, str(i)).p_value < 0.2 for i in range(150)])
    assert 0.1 < rejected < 0.3
