"""Probabilistic and deflated Sharpe ratio: the papers' worked examples, known truths, and their size in simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from glassbox_bt.errors import ContractError
from glassbox_bt.evaluation.sharpe import (
    Moments,
    deflated_sharpe,
    expected_maximum,
    min_track_record,
    moments,
    n_trials,
    probabilistic_sharpe,
    sharpe_tests,
)
from tests.evaluation.samples import books_of, noise, parts_of, variant

# Bailey and López de Prado (2012): 24 monthly returns, Sharpe ratio 0.458 a month, skewness −2.448, kurtosis 10.164.
FUND = Moments(24, 0.458, -2.448, 10.164)
# Bailey and López de Prado (2014): 1,250 daily returns, 2.5 a year of 250 sessions, skewness −3, kurtosis 10; variance of
# the trials' annual ratios 1/2.
WINNER = Moments(1250, 2.5 / math.sqrt(250.0), -3.0, 10.0)
TRIAL_VARIANCE = 0.5 / 250.0


def test_probabilistic_ratio_of_the_paper() -> None:
    assert probabilistic_sharpe(Moments(24, 0.458)) == pytest.approx(0.982, abs=5e-4)
    assert probabilistic_sharpe(FUND) == pytest.approx(0.913, abs=5e-4)


def test_excess_kurtosis_would_give_another_number() -> None:
    wrong = Moments(24, 0.458, -2.448, 10.164 - 3.0)
    assert abs(probabilistic_sharpe(wrong) - 0.913) > 0.003


@pytest.mark.parametrize(("periods", "years"), [(250, 2.73), (52, 2.83), (12, 3.24)])
def test_track_record_of_the_paper(periods: int, years: float) -> None:
    """A normal track record at 2 a year, against 1 a year, with 95 % confidence."""
    observed = Moments(100, 2.0 / math.sqrt(periods))
    sessions = min_track_record(observed, 0.95, 1.0 / math.sqrt(periods))
    assert sessions / periods == pytest.approx(years, abs=5e-3)


def test_track_record_is_where_the_probability_reaches_the_level() -> None:
    n = min_track_record(FUND, 0.95)
    assert probabilistic_sharpe(Moments(math.ceil(n), FUND.sharpe, FUND.skewness, FUND.kurtosis)) >= 0.95
    assert probabilistic_sharpe(Moments(math.floor(n), FUND.sharpe, FUND.skewness, FUND.kurtosis)) < 0.95


def test_no_track_record_proves_a_loss_to_be_a_gain() -> None:
    assert math.isnan(min_track_record(Moments(500, -0.01), 0.95))


@pytest.mark.parametrize(("trials", "deflated"), [(100, 0.9004), (46, 0.9505)])
def test_deflated_ratio_of_the_paper(trials: int, deflated: float) -> None:
    assert deflated_sharpe(WINNER, TRIAL_VARIANCE, trials) == pytest.approx(deflated, abs=5e-5)


def test_expected_maximum_of_the_paper() -> None:
    assert expected_maximum(TRIAL_VARIANCE, 100) == pytest.approx(0.1132, abs=5e-5)


@pytest.mark.parametrize("trials", [5, 20, 200])
def test_expected_maximum_in_simulation(trials: int) -> None:
    best = np.random.default_rng(trials).standard_normal((4000, trials)).max(axis=1)
    assert expected_maximum(1.0, trials) == pytest.approx(best.mean(), abs=0.06)


def test_one_trial_is_not_deflated() -> None:
    assert deflated_sharpe(WINNER, TRIAL_VARIANCE, 1) == probabilistic_sharpe(WINNER)
    with pytest.raises(ContractError, match="at least one trial"):
        expected_maximum(1.0, 0)


def test_moments_are_those_of_the_distribution() -> None:
    found = moments(0.001 + 0.01 * np.random.default_rng(1).exponential(size=200_000))
    assert found.sharpe == pytest.approx(1.1, rel=0.02)
    assert found.skewness == pytest.approx(2.0, rel=0.05)
    assert found.kurtosis == pytest.approx(9.0, rel=0.1)  # 9, not the excess of 6


def test_returns_that_do_not_vary_have_no_ratio() -> None:
    found = moments(np.zeros(50))
    assert math.isnan(found.sharpe)
    assert math.isnan(probabilistic_sharpe(found))


@pytest.mark.parametrize("kind", ["normal", "skewed"])
def test_probability_is_above_95_percent_in_5_percent_of_samples_without_skill(kind: str) -> None:
    rng = np.random.default_rng(3)
    draws = rng.standard_normal((1500, 252)) if kind == "normal" else 1.0 - rng.exponential(size=(1500, 252))
    above = sum(probabilistic_sharpe(moments(row)) > 0.95 for row in draws)
    assert 41 <= above <= 109  # 5 % of 1,500, four deviations either way


def test_the_best_of_many_without_skill_rarely_passes_the_deflated_ratio() -> None:
    rng = np.random.default_rng(4)
    passed = {"probabilistic": 0, "deflated": 0}
    for _ in range(80):
        tried = [moments(row) for row in rng.standard_normal((20, 252))]
        best = max(tried, key=lambda one: one.sharpe)
        variance = float(np.var([one.sharpe for one in tried], ddof=1))
        passed["probabilistic"] += probabilistic_sharpe(best) > 0.95
        passed["deflated"] += deflated_sharpe(best, variance, 20) > 0.95
    assert passed["probabilistic"] > 36
    assert passed["deflated"] <= 6


def test_trials_are_configurations_times_readings() -> None:
    rng = np.random.default_rng(5)
    names = ("glassbox", "sizing_only", "formula_only", "monthly_1n")
    ablated = {"without_a": parts_of(noise(rng)), "without_b": parts_of(noise(rng))}
    variants = [variant("without_a"), variant("without_b"), variant("without_c", effect="none")]
    books = books_of({name: parts_of(noise(rng)) for name in names}, ablated, variants)
    assert n_trials(books, 1) == 5  # the stack, its two versions, two ablations; neither the rival nor what changed nothing
    assert n_trials(books, 3) == 15
    assert n_trials(books, 0) == 5


def test_rows_deflate_the_stack_and_leave_rivals_alone() -> None:
    rng = np.random.default_rng(6)
    strategies = {name: parts_of(noise(rng, mean=5e-4), noise(rng)) for name in ("glassbox", "sizing_only", "monthly_1n")}
    strategies["cash"] = parts_of(np.zeros(250), np.zeros(250))
    rows = {(row["strategy"], row["chunk"]): row for row in sharpe_tests(books_of(strategies), 12)}
    assert set(rows) == {(name, span) for name in strategies for span in (0, 1, 2)}
    assert rows["monthly_1n", 0]["dsr"] == rows["monthly_1n", 0]["psr"]
    assert rows["monthly_1n", 0]["n_trials"] == 1
    stack, other = rows["glassbox", 1], rows["sizing_only", 1]
    assert stack["n_trials"] == other["n_trials"] == 12
    assert stack["dsr"] < stack["psr"]
    returns = strategies["glassbox"][1]["return"].to_numpy()
    assert stack["sharpe"] == pytest.approx(returns.mean() / returns.std(ddof=1) * math.sqrt(252.0))
    ratios = [moments(strategies[name][1]["return"].to_numpy()).sharpe for name in ("glassbox", "sizing_only")]
    bar = expected_maximum(float(np.var(ratios, ddof=1)), 12)
    assert stack["dsr"] == pytest.approx(probabilistic_sharpe(moments(returns), bar))
    assert math.isnan(rows["cash", 0]["psr"])


def test_a_lone_configuration_is_measured_against_the_spread_of_luck() -> None:
    returns = noise(np.random.default_rng(7), mean=1e-3)
    row = sharpe_tests(books_of({"glassbox": parts_of(returns)}), 4)[0]
    bar = expected_maximum(1.0 / 249.0, 4)
    assert row["dsr"] == pytest.approx(stats.norm.cdf(stats.norm.ppf(row["psr"]) * (1.0 - bar / moments(returns).sharpe)))
