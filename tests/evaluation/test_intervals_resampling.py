"""Resampled days: blocks are arch's and stay within their part, measures are those of the metrics, storms last."""

from __future__ import annotations

import math

import numpy as np
import pytest
from arch.bootstrap import CircularBlockBootstrap, optimal_block_length

from glassbox_bt.evaluation import _resampling as resampling
from glassbox_bt.evaluation._measures import CODES, INPUTS, columns_for, deepest_falls, influence, values_of_draws
from glassbox_bt.evaluation._resampling import Days, block_for, block_starts, holdings_paths, return_paths, standardised
from glassbox_bt.evaluation.intervals import estimates
from glassbox_bt.types import FloatArray
from tests.coverage.markets import garch
from tests.evaluation.test_intervals import book, with_returns


def days(*parts: FloatArray) -> Days:
    """Returns of each part; the other columns number the days."""
    whole = np.concatenate(parts)
    number = np.arange(len(whole), dtype=np.float64)
    columns = [whole, number, number, number, np.full(len(whole), 1e6), np.ones(len(whole))]
    return Days(np.column_stack(columns).tobytes(), tuple(len(part) for part in parts))


def noise(seed: int, n: int = 252) -> FloatArray:
    returns: FloatArray = 0.01 * np.random.default_rng(seed).standard_normal(n)
    return returns


def test_blocks_are_those_of_arch() -> None:
    ours = block_starts(252, 13, 6, np.random.default_rng(3))
    arch = CircularBlockBootstrap(20, np.arange(252), seed=np.random.default_rng(3))
    for starts, _ in zip(ours, arch.bootstrap(6), strict=True):
        laid = resampling._laid_out(starts[np.newaxis], np.array([252]), np.array([252]), 20)[0]
        np.testing.assert_array_equal(laid, arch.index)


def test_no_block_crosses_a_part() -> None:
    lengths, block = np.array([100, 60, 83]), 20
    at = resampling._positions(lengths, block, 50, 63, np.random.default_rng(1))
    part = np.repeat(np.arange(3), lengths)
    first = np.cumsum(lengths) - lengths
    assert at.shape == (50, 63 + 243)
    place = 0
    for length in (63, *lengths):
        for begin in range(place, place + length, block):
            drawn = at[:, begin : min(begin + block, place + length)]
            own = part[drawn[:, :1]]
            assert (part[drawn] == own).all()
            steps = (drawn - first[own]) % lengths[own]
            np.testing.assert_array_equal(steps, (steps[:, :1] + np.arange(drawn.shape[1])) % lengths[own])
        place += length
    assert len(np.unique(at)) == 243  # every day of every part is drawn sooner or later


def test_all_columns_come_from_the_same_days() -> None:
    (one, other) = holdings_paths([days(noise(1), noise(2)), days(noise(3), noise(4))], 20, 10, "a")
    np.testing.assert_array_equal(one["exposure"], one["traded"])
    np.testing.assert_array_equal(one["exposure"], other["costs"])


def test_the_longest_wish_is_the_block_within_a_third_of_a_part() -> None:
    slow = np.cumsum(noise(1, 504))
    wish = math.ceil(float(optimal_block_length(slow)["circular"].iloc[0]))
    assert block_for([noise(2, 504), slow], (504,)) == wish > 10
    assert block_for([slow], (126, 378)) == min(wish, 42)
    assert block_for([noise(2, 504)], (252, 252)) == 10
    assert block_for([np.ones(504)], (252, 252)) == 10
    assert block_for([np.ones(12)], (12,)) == 4


@pytest.mark.parametrize("measure", CODES)
def test_compiled_measures_are_the_metrics(measure: str) -> None:
    parts = [book(1), book(2)]
    columns = {name: np.concatenate([part[name] for part in parts])[np.newaxis] for name in parts[0].columns}
    columns |= {"log_return": np.log1p(columns["return"]), "ones": np.ones((1, 504))}
    values, errors = values_of_draws(CODES[measure], *columns_for(measure, columns), np.array([252, 252]), 20)
    assert values[0] == pytest.approx(estimates(parts)[measure], rel=1e-10)
    assert errors[0] > 0.0


@pytest.mark.parametrize("measure", [name for name in CODES if name != "cvar_95"])
def test_the_influence_of_a_day_is_its_derivative(measure: str) -> None:
    """A day that counts once more among a hundred copies of the sample moves the measure by its influence by the days."""
    rows = book(1, 60)
    columns = {name: rows[name].to_numpy() for name in rows.columns}
    columns |= {"log_return": np.log1p(columns["return"]), "ones": np.ones(60)}
    first, second = (columns[name] for name in INPUTS[measure])
    psi = influence(CODES[measure], first, second)
    assert np.mean(psi) == pytest.approx(0.0, abs=1e-12)

    def value(x: FloatArray, y: FloatArray) -> float:
        return float(values_of_draws(CODES[measure], x[np.newaxis], y[np.newaxis], np.array([len(x)]), 20)[0][0])

    many_x, many_y = np.tile(first, 100), np.tile(second, 100)
    before = value(many_x, many_y)
    for day in (3, 17, 41):
        moved = value(np.append(many_x, first[day]), np.append(many_y, second[day])) - before
        assert moved * 6001.0 == pytest.approx(psi[day], rel=0.02, abs=2e-3 * np.abs(psi).max())


def test_the_influences_of_the_tail_add_up_to_its_error() -> None:
    """The standard error of CVaR agrees with how CVaR varies over samples of independent days."""
    rng = np.random.default_rng(1)
    drawn = 0.01 * rng.standard_normal((2000, 500))
    values, errors = values_of_draws(CODES["cvar_95"], *columns_for("cvar_95", {"return": drawn}), np.array([500]), 20)
    assert float(np.mean(errors)) == pytest.approx(float(np.std(values)), rel=0.1)


def test_the_deepest_fall_starts_anew_with_each_part() -> None:
    falls = np.array([[0.1, -0.5, 0.2, -0.5, -0.2, 0.1]])
    assert deepest_falls(falls, np.array([6]))[0] == pytest.approx(0.5 * 1.2 * 0.5 * 0.8 - 1.0)
    assert deepest_falls(falls, np.array([2, 4]))[0] == pytest.approx(0.5 * 0.8 - 1.0)
    assert deepest_falls(np.full((1, 4), 0.01), np.array([4]))[0] == 0.0


def test_the_world_of_the_paths_has_the_mean_and_volatility_of_the_sample() -> None:
    logs = np.log1p(noise(1, 504))
    (drawn,) = return_paths([days(np.expm1(logs[:252]), np.expm1(logs[252:]))], 20, 2000, "a")
    assert drawn["log_return"].shape == (2000, 504)
    assert float(drawn["log_return"].std()) == pytest.approx(float(logs.std()), rel=0.02)
    assert float(drawn["log_return"].mean()) == pytest.approx(float(logs.mean()), abs=2e-5)
    np.testing.assert_allclose(drawn["return"], np.expm1(drawn["log_return"]))


def test_storms_last_on_the_paths_as_long_as_in_the_market() -> None:
    """Squares a month apart go together in clustered markets; blocks of 20 alone would not show it."""

    def memory(returns: FloatArray) -> float:
        squares = np.log(returns**2 + 1e-8)
        return float(np.corrcoef(squares[..., :-25].ravel(), squares[..., 25:].ravel())[0, 1])

    market = garch(np.random.default_rng(2), 1, 756)[0]
    (stormy,) = return_paths([days(*np.split(market, 3))], 20, 200, "a")
    (calm,) = return_paths([days(*np.split(noise(1, 756), 3))], 20, 200, "a")
    assert memory(stormy["return"]) > 0.03
    assert abs(memory(calm["return"])) < 0.01


def test_constant_and_clustered_volatility_are_told_apart() -> None:
    market = garch(np.random.default_rng(2), 1, 756)[0]

    def constant(returns: FloatArray) -> float:
        return float(resampling._weights(returns**2 / np.mean(returns**2), np.array([252, 252, 252]))[0])

    assert constant(noise(1, 756)) > 0.8
    assert constant(market) < 0.01
    left = standardised(days(*np.split(market, 3)))
    assert constant(left) > constant(market)


def test_days_without_a_return_stay_without() -> None:
    returns = noise(1)
    returns[::3] = 0.0
    (drawn,) = return_paths([days(returns)], 20, 50, "a")
    assert 0.2 < float(np.mean(drawn["return"] == 0.0)) < 0.45
    (still,) = return_paths([days(np.zeros(100))], 20, 50, "a")
    assert not still["return"].any()


def test_returns_that_never_vary_stay_as_they_are() -> None:
    (drawn,) = return_paths([days(np.full(100, 0.001))], 20, 50, "a")
    np.testing.assert_allclose(drawn["return"], 0.001)
    assert not standardised(days(np.full(100, 0.001))).any()


def test_two_strategies_share_storms() -> None:
    """A strategy at half the size of the other is so on every path."""
    logs = np.log1p(garch(np.random.default_rng(2), 1, 252)[0])
    one, half = return_paths([days(np.expm1(logs)), days(np.expm1(0.5 * logs))], 20, 50, "a")
    np.testing.assert_allclose(half["log_return"], 0.5 * one["log_return"], rtol=1e-9, atol=1e-15)


def test_the_opening_is_spread_over_the_other_days() -> None:
    whole = days(noise(1, 50), noise(2, 60))
    held = whole.held()
    assert held.lengths == (48, 58)
    for name in ("exposure", "costs", "ones"):
        assert held.column(name).sum() == pytest.approx(whole.column(name).sum())
    assert days(noise(1, 4)).held().lengths == (4,)


def test_a_growing_book_has_the_influences_of_its_growth() -> None:
    rows = with_returns(noise(1))
    psi = influence(CODES["annual_return"], np.log1p(rows["return"].to_numpy()), np.ones(252))
    growth = 1.0 + estimates([rows])["annual_return"]
    expected = 252.0 * growth * (np.log1p(rows["return"]) - np.log1p(rows["return"]).mean())
    np.testing.assert_allclose(psi, expected, rtol=1e-9)
