"""Every strategy against the same contract, then each against what it says it does."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glassbox_bt.errors import PlanError
from glassbox_bt.portfolio.simulate import Costs, simulate
from glassbox_bt.types import FloatArray
from glassbox_bt.walkforward.rivals import RivalSpan
from strategies import BuyAndHold, Cash, InverseVolatility, Momentum, MonthlyEqualWeight
from tests.portfolio.markets import plain_bars


def from_readme() -> list[Any]:
    """Instances of the classes that the README shows."""
    text = (Path(__file__).parents[2] / "strategies" / "README.md").read_text(encoding="utf-8")
    shown: list[Any] = []
    for code in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        names: dict[str, Any] = {"__name__": "readme"}
        exec(compile(code, "strategies/README.md", "exec"), names)
        shown += [value() for value in names.values() if getattr(value, "__module__", "") == "readme"]
    return shown


STRATEGIES = [
    Cash(),
    BuyAndHold(),
    MonthlyEqualWeight(),
    Momentum(),
    Momentum(sessions=40, skip=5, min_observed=20, best=1.0),
    InverseVolatility(),
    *from_readme(),
]
IDS = [f"{strategy.name}-{i}" for i, strategy in enumerate(STRATEGIES)]


def test_readme_shows_two_strategies() -> None:
    assert [strategy.name for strategy in from_readme()] == ["my_cash", "my_momentum"]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=IDS)
def test_weights_are_allowed_and_tradable(strategy: Any) -> None:
    span = make_span(strategy)
    targets = strategy.targets(span)
    assert targets.shape == span.member.shape
    assert targets.dtype == np.float64
    held = np.where(np.isnan(targets), 0.0, targets)
    assert np.all(held >= 0.0)
    assert np.all(held.sum(axis=1) <= 1.0 + 1e-12)
    assert np.all(held[~span.member] == 0.0)
    assert len(strategy.question.split()) >= 4
    prices = 20.0 * np.exp(np.cumsum(np.random.default_rng(1).normal(0, 0.01, targets.shape), axis=0))
    book = simulate(plain_bars(prices), targets, Costs())
    assert (book.shares[-1].sum() > 0.0) == ("cash" not in strategy.name)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=IDS)
def test_the_future_changes_no_row(strategy: Any) -> None:
    span = make_span(strategy)
    targets = strategy.targets(span)
    for n_sessions in (1, 30, 63):
        np.testing.assert_array_equal(strategy.targets(cut(span, n_sessions)), targets[:n_sessions])


@pytest.mark.parametrize("strategy", STRATEGIES, ids=IDS)
def test_order_of_names_does_not_matter(strategy: Any) -> None:
    span = make_span(strategy)
    order = np.random.default_rng(5).permutation(span.n_assets)
    shuffled = replace(
        span,
        tickers=tuple(span.tickers[i] for i in order),
        member=span.member[:, order],
        panels={name: values[:, order] for name, values in span.panels.items()},
    )
    np.testing.assert_allclose(strategy.targets(shuffled), strategy.targets(span)[:, order], rtol=1e-12)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=IDS)
def test_inputs_are_left_alone(strategy: Any) -> None:
    span = make_span(strategy)
    for values in (span.member, span.month_start, *span.panels.values()):
        values.flags.writeable = False
    np.testing.assert_array_equal(strategy.targets(span), strategy.targets(span))


def test_equal_weights_follow_the_universe_monthly() -> None:
    member = np.array([[True, True, False], [True, True, False], [True, False, True], [True, False, True]])
    span = plain_span(member, month_start=[False, False, True, False])
    nan = np.full(3, np.nan)
    np.testing.assert_array_equal(MonthlyEqualWeight().targets(span), [[0.5, 0.5, 0.0], nan, [0.5, 0.0, 0.5], nan])
    np.testing.assert_array_equal(BuyAndHold().targets(span), [[0.5, 0.5, np.nan], nan, nan, nan])


def test_nobody_to_hold_means_cash() -> None:
    span = plain_span(np.zeros((3, 2), dtype=bool), month_start=[True, False, False])
    assert np.nansum(MonthlyEqualWeight().targets(span)) == 0.0
    assert np.isnan(BuyAndHold().targets(span)).all()
    for strategy in (Momentum(), InverseVolatility()):
        assert np.nansum(strategy.targets(make_span(strategy, member_share=0.0))) == 0.0


def test_momentum_holds_the_third_that_rose_most_and_skips_the_last_month() -> None:
    strategy = Momentum()
    returns = np.tile(np.array([3.0, 2.0, 1.0, 0.0, -1.0, -2.0]) / 1e3, (252, 1))
    returns[-21:, 5] = 0.5  # a rise in the month that does not count
    returns[:40, 0] = np.nan  # too few returns to be ranked
    span = plain_span(np.ones((1, 6), dtype=bool), month_start=[True], panels={"log_return_1d": returns})
    np.testing.assert_array_equal(strategy.targets(span), [[0.0, 1.0, 0.0, 0.0, 0.0, 0.0]])
    halted_once = returns.copy()
    halted_once[:, 0] = 3e-3
    halted_once[7, 0] = np.nan
    span = plain_span(span.member, month_start=[True], panels={"log_return_1d": halted_once})
    np.testing.assert_array_equal(strategy.targets(span), [[0.5, 0.5, 0.0, 0.0, 0.0, 0.0]])


def test_inverse_volatility_is_inverse() -> None:
    rng = np.random.default_rng(0)
    returns = rng.normal(0, 1, (63, 1)) * np.array([0.01, 0.02, 0.04, 0.0])
    span = plain_span(np.ones((1, 4), dtype=bool), month_start=[True], panels={"log_return_1d": returns})
    np.testing.assert_allclose(InverseVolatility().targets(span), [[4 / 7, 2 / 7, 1 / 7, 0.0]])


@pytest.mark.parametrize("settings", [{"skip": 252}, {"min_observed": 232}, {"best": 0.0}])
def test_momentum_refuses_settings_without_sense(settings: dict[str, Any]) -> None:
    with pytest.raises(PlanError, match=str(next(iter(settings)))):
        Momentum(**settings)


def test_inverse_volatility_refuses_settings_without_sense() -> None:
    with pytest.raises(PlanError, match="min_observed"):
        InverseVolatility(min_observed=64)


def make_span(strategy: Any, n_sessions: int = 90, member_share: float = 0.8) -> RivalSpan:
    """Random returns with gaps, a changing universe, months of 21 sessions."""
    rng = np.random.default_rng(11)
    n_assets = 9
    lookback = max((read.sessions for read in strategy.reads), default=1) - 1
    shape = (lookback + n_sessions, n_assets)
    panels = {read.column: np.abs(rng.normal(0, 0.3, shape)) for read in strategy.reads}
    if "log_return_1d" in panels:
        panels["log_return_1d"] = rng.normal(0, 0.02, shape)
        panels["log_return_1d"][:, :4][rng.random((shape[0], 4)) < 0.02] = np.nan
    member = np.repeat(rng.random((5, n_assets)) < member_share, 21, axis=0)[:n_sessions]
    return plain_span(member, month_start=np.arange(n_sessions) % 21 == 0, panels=panels)


def plain_span(member: Any, month_start: Any, panels: dict[str, FloatArray] | None = None) -> RivalSpan:
    n_sessions, n_assets = member.shape
    lookback = max((len(values) for values in (panels or {}).values()), default=n_sessions) - n_sessions
    return RivalSpan(
        days=np.arange(500, 500 + n_sessions),
        tickers=tuple(f"N{i}" for i in range(n_assets)),
        member=member,
        month_start=np.array(month_start),
        lookback=lookback,
        panels=panels or {},
    )


def cut(span: RivalSpan, n_sessions: int) -> RivalSpan:
    """The span as it was known at the close of day ``n_sessions - 1``."""
    return replace(
        span,
        days=span.days[:n_sessions],
        member=span.member[:n_sessions],
        month_start=span.month_start[:n_sessions],
        panels={name: values[: span.lookback + n_sessions] for name, values in span.panels.items()},
    )
