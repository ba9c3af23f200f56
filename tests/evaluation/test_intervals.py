"""Intervals of one strategy: figures are those of the metrics, draws are named, and what is not known is withheld."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from glassbox_bt.errors import ContractError
from glassbox_bt.evaluation.intervals import MEASURES, Interval, estimates, interval, intervals
from glassbox_bt.plan import StatisticsPlan
from glassbox_bt.portfolio.metrics import summarise
from glassbox_bt.types import FloatArray

QUICK = StatisticsPlan(n_boot=199)


def book(seed: int, n: int = 252, drift: float = 0.0005) -> pd.DataFrame:
    """A year of a book that starts in cash, is half invested and trades now and then."""
    rng = np.random.default_rng(seed)
    returns = drift + 0.01 * rng.standard_normal(n)
    returns[0] = 0.0
    equity = 1e6 * np.cumprod(1.0 + returns)
    exposure = np.clip(0.5 + 0.1 * rng.standard_normal(n), 0.0, 1.0)
    traded = equity * rng.random(n) * (rng.random(n) < 0.4)
    exposure[0] = traded[0] = 0.0
    columns = {"return": returns, "exposure": exposure, "traded": traded, "costs": 6e-4 * traded, "equity": equity}
    return pd.DataFrame(columns)


def with_returns(returns: FloatArray) -> pd.DataFrame:
    return book(0, len(returns)).assign(**{"return": returns, "equity": 1e6 * np.cumprod(1.0 + returns)})


def summary(rows: pd.DataFrame) -> dict[str, float]:
    columns = {name: rows[name].to_numpy() for name in ("exposure", "traded", "costs", "equity")}
    return dict(summarise(returns=rows["return"].to_numpy(), **columns))


@pytest.mark.parametrize("seed", range(3))
def test_estimates_of_one_part_are_the_metrics(seed: int) -> None:
    rows = book(seed)
    assert dict(estimates([rows])) == summary(rows)
    assert list(estimates([rows])) == list(MEASURES)


def test_pooled_estimates_join_the_days_but_not_the_wealth() -> None:
    parts = [book(seed) for seed in range(3)]
    pooled, joined = estimates(parts), summary(pd.concat(parts))
    deepest = min(summary(part)["max_drawdown"] for part in parts)
    for name in MEASURES:
        if name not in ("max_drawdown", "calmar"):
            assert pooled[name] == pytest.approx(joined[name])
    assert pooled["max_drawdown"] == deepest
    assert pooled["calmar"] == pytest.approx(joined["annual_return"] / -deepest)


def test_every_measure_has_an_interval_around_its_estimate() -> None:
    parts = [book(seed) for seed in range(3)]
    found, known = intervals(parts, QUICK, "a"), estimates(parts)
    for name, one in found.items():
        assert one.withheld is None, name
        assert one.estimate == known[name]
        assert one.low < one.estimate < one.high, name
        assert one.standard_error > 0.0
        assert one.block >= 10


def test_one_measure_alone_has_the_same_interval() -> None:
    parts = [book(4), book(5)]
    together = intervals(parts, QUICK, "a")
    for name in ("calmar", "sharpe", "exposure"):
        assert interval(parts, name, QUICK, "a") == together[name]


def test_equal_names_draw_equal_numbers_whoever_else_is_there() -> None:
    parts = [book(1)]
    alone = interval(parts, "sharpe", QUICK, "7/stack")
    interval([book(2)], "sharpe", QUICK, "7/rival")
    interval([book(3)], "sharpe", QUICK, "7/other")
    assert interval(parts, "sharpe", QUICK, "7/stack") == alone
    assert interval(parts, "sharpe", QUICK, "8/stack") != alone


def test_a_higher_level_is_wider() -> None:
    parts = [book(1)]
    ends = [interval(parts, "sharpe", StatisticsPlan(n_boot=399, level=level), "a") for level in (0.8, 0.9, 0.95)]
    assert ends[0].low > ends[1].low > ends[2].low
    assert ends[0].high < ends[1].high < ends[2].high


def test_measures_of_risk_follow_the_scale_of_returns() -> None:
    returns = book(1)["return"].to_numpy()
    whole, tenth = (intervals([with_returns(factor * returns)], QUICK, "a") for factor in (0.1, 0.01))
    for name, compounding in (("volatility", 0.01), ("cvar_95", 0.01), ("max_drawdown", 0.05)):
        one, other = whole[name], tenth[name]
        assert other.low / one.low == pytest.approx(0.1, rel=compounding)
        assert other.high / one.high == pytest.approx(0.1, rel=compounding)
    assert tenth["sharpe"].high == pytest.approx(whole["sharpe"].high, abs=0.02)
    assert tenth["hit_rate"] == whole["hit_rate"]


def test_measures_of_holdings_follow_their_scale_exactly() -> None:
    rows = book(1)
    one = intervals([rows], QUICK, "a")
    other = intervals([rows.assign(exposure=0.5 * rows["exposure"], costs=2.0 * rows["costs"])], QUICK, "a")
    assert (other["exposure"].low, other["exposure"].high) == pytest.approx(
        (one["exposure"].low / 2, one["exposure"].high / 2)
    )
    assert (other["cost_share"].low, other["cost_share"].high) == pytest.approx(
        (2 * one["cost_share"].low, 2 * one["cost_share"].high)
    )
    assert other["turnover"] == one["turnover"]


def test_a_shift_of_all_returns_shifts_the_growth_alone() -> None:
    returns = book(1)["return"].to_numpy()
    returns = np.where(returns == 0.0, 1e-4, returns)
    one, other = (
        intervals([with_returns(np.expm1(np.log1p(returns) + shift))], QUICK, "a") for shift in (0.0, 0.02 / 252.0)
    )
    for end in ("low", "high"):
        before, after = (math.log1p(getattr(found["annual_return"], end)) for found in (one, other))
        assert after - before == pytest.approx(0.02, abs=1e-9)
    assert other["volatility"].low == pytest.approx(one["volatility"].low, rel=1e-3)


def test_the_opening_purchase_is_no_surprise() -> None:
    """A book that buys once, at the second session of each part, has a turnover that hardly varies."""
    parts = [book(seed).assign(exposure=1.0, traded=0.0, costs=0.0) for seed in range(3)]
    for part in parts:
        part.loc[0, "exposure"] = 0.0
        part.loc[1, ["traded", "costs"]] = (1e6, 600.0)
    found = intervals(parts, QUICK, "a")
    assert 0.4 < found["turnover"].low < found["turnover"].estimate < found["turnover"].high < 0.6
    assert found["exposure"].withheld == "the measure does not vary over these days, or they are too few"


def withheld(parts: list[pd.DataFrame]) -> dict[str, str]:
    found: dict[str, Interval] = dict(intervals(parts, QUICK, "a"))
    for one in found.values():
        ends = (one.low, one.high, one.standard_error)
        assert all(math.isnan(end) for end in ends) if one.withheld else all(math.isfinite(end) for end in ends)
    return {name: one.withheld for name, one in found.items() if one.withheld}


def test_cash_has_no_intervals_and_says_why() -> None:
    cash = book(1).assign(**{"return": 0.0, "exposure": 0.0, "traded": 0.0, "costs": 0.0, "equity": 1e6})
    reasons = withheld([cash, cash])
    assert set(reasons) == set(MEASURES)
    assert reasons["sharpe"] == reasons["hit_rate"] == "the measure is not defined on these days"
    assert reasons["volatility"] == "returns do not vary"
    assert reasons["turnover"] == "nothing was traded"
    assert reasons["max_drawdown"] == "wealth never fell"
    assert math.isnan(interval([cash], "sharpe", QUICK, "a").estimate)
    assert interval([cash], "volatility", QUICK, "a").estimate == 0.0


def test_a_book_that_never_loses_has_no_depth() -> None:
    reasons = withheld([with_returns(np.abs(book(1)["return"].to_numpy()) + 1e-5)])
    assert reasons["max_drawdown"] == "wealth never fell"
    assert reasons["cvar_95"] == "the worst 5 % of days bring no loss"
    assert {"sortino", "calmar"} <= set(reasons)
    assert "volatility" not in reasons


def test_one_burst_of_trading_does_not_tell_how_much_is_traded() -> None:
    rows = book(1).assign(traded=0.0, costs=0.0)
    rows.loc[100:104, "traded"] = 2e5
    assert withheld([rows, book(2).assign(traded=0.0)])["turnover"].startswith("its variation is in 1.")


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([], "at least one part"),
        ([book(1).drop(columns="costs")], "lacks the columns `costs`"),
        ([book(1).head(1)], "two or more finite rows"),
        ([book(1).assign(traded=np.nan)], "two or more finite rows"),
        ([with_returns(np.array([0.1, -1.0, 0.1]))], "returns lie above -1"),
    ],
)
def test_what_is_no_sample_is_refused(parts: list[pd.DataFrame], words: str) -> None:
    with pytest.raises(ContractError, match=words):
        intervals(parts, QUICK, "a")


def test_an_unknown_measure_is_refused() -> None:
    with pytest.raises(ContractError, match="got `alpha`"):
        interval([book(1)], "alpha", QUICK, "a")


def test_a_few_sessions_are_enough_for_an_answer() -> None:
    found = intervals([book(1, n=4)], QUICK, "a")
    assert all((one.withheld is None) == math.isfinite(one.low) for one in found.values())
