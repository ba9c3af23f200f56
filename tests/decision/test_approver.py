from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glassbox_bt.decision.approver import STATUS, Approval, Requests, approval_reasons, approve, signal_to_risk
from glassbox_bt.decision.limits import CODES, ApprovalCode, Limits, PortfolioState
from glassbox_bt.errors import ContractError, PlanError
from glassbox_bt.types import Action

CAPITAL = 1_000_000.0
CALM = replace(PortfolioState.start(CAPITAL), benchmark_return=0.0)


def asking(requested: list[float], held: list[float] | None = None, **changes: Any) -> Requests:
    """Requests without any obstacle."""
    n = len(requested)
    weights, current = np.array(requested), np.zeros(n) if held is None else np.array(held)
    values: dict[str, Any] = {
        "requested": weights,
        "held": current,
        "action": np.where(weights > current, Action.BUY, np.where(weights == 0, Action.SELL, Action.HOLD)),
        "priority": np.ones(n),
        "tradable": np.ones(n, dtype=bool),
        "left_universe": np.zeros(n, dtype=bool),
        "exit_blocked": np.zeros(n, dtype=bool),
        "dollar_volume": np.full(n, 1e9),
    }
    return Requests(**values | changes)


def texts(approval: Approval) -> list[str]:
    return [str(text) for text in approval_reasons(approval)]


@st.composite
def days(draw: st.DrawFn) -> tuple[Requests, PortfolioState, Limits]:
    n = draw(st.integers(1, 14))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    held = np.where(rng.random(n) < 0.6, rng.random(n) * draw(st.sampled_from([0.03, 0.1, 0.3])), 0.0)
    held *= min(1.0, 1.2 / max(held.sum(), 1e-9))  # drift may have carried the sum beyond every limit
    action = rng.integers(0, 3, n)
    wanted = np.maximum(held, rng.random(n) * draw(st.sampled_from([0.02, 0.1, 0.4])))
    requested = np.select([action == 2, action == 1], [wanted, held * rng.choice([1.0, 0.5], n)], 0.0)
    blocked = (rng.random(n) < 0.15) & (held > 0)
    correlation = np.corrcoef(rng.standard_normal((n, 4)) + rng.standard_normal((1, 4))) if n > 1 else np.ones((1, 1))
    requests = Requests(
        requested=np.where(blocked, held, requested),
        held=held,
        action=np.where(blocked, 1, action),
        priority=signal_to_risk(rng.random(n), rng.random(n)),
        tradable=rng.random(n) > 0.1,
        left_universe=rng.random(n) < 0.1,
        exit_blocked=blocked,
        dollar_volume=np.where(rng.random(n) < 0.3, np.nan, rng.random(n) * 1e6),
        sector=draw(st.sampled_from([None, rng.integers(-1, 3, n)])),
        correlation=draw(st.sampled_from([None, correlation])),
        earnings_near=draw(st.sampled_from([None, rng.random(n) < 0.1])),
    )
    limits = draw(st.sampled_from([Limits(), Limits(names=3, turnover=0.1), Limits(cash=0.3, sector=0.1, cluster=0.15)]))
    state = replace(
        CALM,
        benchmark_return=draw(st.sampled_from([0.0, -0.07, math.nan])),
        blocked=draw(st.sampled_from([ApprovalCode(0), ApprovalCode.KILL_SWITCH_DAILY])),
    )
    return requests, state, limits


@settings(max_examples=300, deadline=None)
@given(days())
def test_it_only_lowers_and_names_every_difference(day: tuple[Requests, PortfolioState, Limits]) -> None:
    requests, state, limits = day
    approval = approve(requests, state, limits)
    assert (approval.approved_fraction <= requests.requested).all()
    assert (approval.approved_fraction >= 0.0).all()
    differs = approval.approved_fraction != requests.requested
    assert (approval.codes[differs] != 0).all()
    assert ((approval.scaling_factor >= 0) & (approval.scaling_factor <= 1)).all()
    np.testing.assert_array_equal(approval.order_fraction, approval.approved_fraction - requests.held)


@settings(max_examples=300, deadline=None)
@given(days())
def test_approving_the_approved_changes_nothing(day: tuple[Requests, PortfolioState, Limits]) -> None:
    requests, state, limits = day
    once = approve(requests, state, limits)
    again = approve(replace(requests, requested=once.approved_fraction), state, limits)
    np.testing.assert_array_equal(again.approved_fraction, once.approved_fraction)


@settings(max_examples=300, deadline=None)
@given(days())
def test_totals_hold_exactly_apart_from_what_cannot_be_sold(day: tuple[Requests, PortfolioState, Limits]) -> None:
    requests, state, limits = day
    weights = approve(requests, state, limits).approved_fraction
    stuck = requests.exit_blocked & ~requests.left_universe

    def holds(names: Any, limit: float) -> bool:
        return math.fsum(weights[names]) <= max(limit, math.fsum(weights[names & stuck]))

    everything = np.ones(weights.shape, dtype=bool)
    assert holds(everything, limits.gross)
    assert not stuck.any() or holds(everything, limits.invested)
    assert stuck.any() or 1.0 - math.fsum(weights) >= limits.cash
    if requests.sector is not None:
        assert all(holds(requests.sector == sector, limits.sector) for sector in range(3))
    assert int((weights > 0).sum()) <= max(limits.names, int(stuck.sum()))
    assert math.fsum(np.maximum(weights - requests.held, 0.0)) <= limits.turnover
    bought = weights > requests.held
    room = limits.participation * requests.dollar_volume / state.equity
    assert not (bought & (weights - requests.held > room)).any()
    if state.blocked or state.benchmark_return <= -0.07:
        assert not bought.any()


@settings(max_examples=100, deadline=None)
@given(days())
def test_no_linked_pair_exceeds_the_cluster_limit(day: tuple[Requests, PortfolioState, Limits]) -> None:
    requests, state, limits = day
    if requests.correlation is None:
        return
    weights = approve(requests, state, limits).approved_fraction
    stuck = np.where(requests.exit_blocked & ~requests.left_universe, weights, 0.0)
    for i, j in np.argwhere(requests.correlation > limits.cluster_correlation):
        if i < j and weights[i] > 0 and weights[j] > 0:
            assert weights[i] + weights[j] <= max(limits.cluster, stuck[i] + stuck[j]) + 1e-15


def test_what_fits_passes_untouched() -> None:
    approval = approve(asking([0.05, 0.10, 0.0], [0.02, 0.10, 0.03]), CALM, Limits())
    np.testing.assert_array_equal(approval.approved_fraction, [0.05, 0.10, 0.0])
    assert texts(approval) == ["", "", ""]
    assert [STATUS[s] for s in approval.status] == ["1", "1", "1"]


def test_d_pos_06_many_large_requests_stay_within_equity() -> None:
    """Fifty names at 10 % each would be five times equity."""
    approval = approve(asking([0.10] * 60), CALM, Limits(turnover=1.0))
    assert math.fsum(approval.approved_fraction) <= 0.95
    assert math.fsum(approval.approved_fraction) == pytest.approx(0.95, abs=1e-12)
    assert int((approval.approved_fraction > 0).sum()) == 50
    assert texts(approval)[0] == "portfolio_gross_cap|cash_buffer"
    assert texts(approval)[-1] == "name_count_cap"
    assert approval.scaling_factor[0] == pytest.approx(0.95 / 5)


def test_stronger_cases_keep_more_of_a_short_room() -> None:
    approval = approve(asking([0.4, 0.4, 0.4], priority=np.array([4.0, 1.0, 1.0])), CALM, Limits(turnover=0.6))
    np.testing.assert_allclose(approval.approved_fraction, [0.4, 0.1, 0.1])
    equal = approve(asking([0.4, 0.2], priority=np.array([2.0, 2.0])), CALM, Limits(turnover=0.3))
    np.testing.assert_allclose(equal.approved_fraction, [0.2, 0.1])
    assert texts(equal) == ["turnover_cap", "turnover_cap"]


def test_what_is_in_hand_comes_before_purchases() -> None:
    approval = approve(asking([0.5, 0.4, 0.4], [0.5, 0.4, 0.0]), CALM, Limits())
    np.testing.assert_allclose(approval.approved_fraction, [0.5, 0.4, 0.05])
    assert texts(approval) == ["", "", "portfolio_gross_cap|cash_buffer"]


def test_holdings_beyond_a_limit_are_trimmed_pro_rata() -> None:
    approval = approve(asking([0.2, 0.2], [0.2, 0.2], sector=np.array([0, 0])), CALM, Limits())
    np.testing.assert_allclose(approval.approved_fraction, [0.15, 0.15])
    assert texts(approval) == ["sector_cap", "sector_cap"]


def test_unknown_sectors_are_no_sector() -> None:
    free = approve(asking([0.2, 0.2], sector=np.array([-1, -1])), CALM, Limits())
    np.testing.assert_array_equal(free.approved_fraction, [0.2, 0.2])


def test_a_chain_of_correlations_is_one_cluster() -> None:
    chain = np.array([[1.0, 0.8, 0.1], [0.8, 1.0, 0.8], [0.1, 0.8, 1.0]])
    approval = approve(asking([0.2, 0.2, 0.2], correlation=chain), CALM, Limits(turnover=1.0))
    assert math.fsum(approval.approved_fraction) <= 0.40
    assert texts(approval) == ["cluster_cap"] * 3
    apart = approve(asking([0.2, 0.2, 0.2], correlation=np.full((3, 3), np.nan)), CALM, Limits(turnover=1.0))
    assert texts(apart) == [""] * 3


def test_a_purchase_takes_a_share_of_the_volume_and_a_sale_does_not_wait() -> None:
    approval = approve(asking([0.10, 0.0], [0.04, 0.5], dollar_volume=np.array([2e5, 2e5])), CALM, Limits())
    np.testing.assert_allclose(approval.approved_fraction, [0.06, 0.0])
    assert [STATUS[s] for s in approval.status] == ["partial", "1"]
    assert texts(approval) == ["liquidity_participation", ""]


def test_a_name_that_left_is_sold_whatever_was_asked() -> None:
    approval = approve(asking([0.05], [0.05], left_universe=np.array([True]), exit_blocked=np.array([True])), CALM, Limits())
    assert approval.approved_fraction[0] == 0.0
    assert approval.approved_action[0] == Action.SELL
    assert texts(approval) == ["left_universe"]


def test_what_cannot_be_sold_keeps_its_weight_and_its_room() -> None:
    approval = approve(asking([0.97, 0.05], [0.97, 0.0], exit_blocked=np.array([True, False])), CALM, Limits())
    np.testing.assert_array_equal(approval.approved_fraction, [0.97, 0.0])
    assert texts(approval)[0] == "exit_blocked"
    assert STATUS[approval.status[1]] == "0"
    assert approval.approved_action[1] == Action.HOLD


@pytest.mark.parametrize(
    ("change", "state", "code"),
    [
        ({"tradable": np.array([False])}, CALM, "market_halt"),
        ({}, replace(CALM, benchmark_return=-0.07), "market_halt"),
        ({"earnings_near": np.array([True])}, CALM, "earnings_blackout"),
        ({}, replace(CALM, blocked=ApprovalCode.KILL_SWITCH_WEEKLY), "kill_switch_weekly"),
    ],
)
def test_a_stop_keeps_what_is_in_hand(change: dict[str, Any], state: PortfolioState, code: str) -> None:
    approval = approve(asking([0.08], [0.03], **change), state, Limits())
    assert (approval.approved_fraction[0], texts(approval)) == (0.03, [code])
    sale = approve(asking([0.0], [0.03], **change), state, Limits())
    assert sale.approved_fraction[0] == 0.0


def test_limits_that_cannot_be_checked_are_said() -> None:
    said = approve(asking([0.1], dollar_volume=np.array([np.nan])), PortfolioState.start(CAPITAL), Limits()).skipped
    assert len(said) == 5
    assert all("skipped" in sentence for sentence in said)


def path(*moves: float, month_starts: tuple[int, ...] = (), **more: Any) -> PortfolioState:
    """The state after these daily returns; the session numbers in ``month_starts`` open a month."""
    state, equity = PortfolioState.start(CAPITAL), CAPITAL
    for i, move in enumerate(moves):
        equity *= 1.0 + move
        state = state.after(equity, Limits(), month_start=i in month_starts, **more)
    return state


@pytest.mark.parametrize(
    ("moves", "switches"),
    [
        ((-0.0299,), ApprovalCode(0)),
        ((-0.0301,), ApprovalCode.KILL_SWITCH_DAILY),
        ((-0.011,) * 5, ApprovalCode.KILL_SWITCH_WEEKLY),
        ((-0.004, 0.0, 0.0, 0.0, 0.0, 0.0) * 9, ApprovalCode(0)),
        ((-0.01, -0.005) * 9, ApprovalCode.KILL_SWITCH_MONTHLY),
        ((-0.005,) * 33, ApprovalCode.KILL_SWITCH_MONTHLY | ApprovalCode.KILL_SWITCH_DRAWDOWN),
    ],
)
def test_losses_block_purchases(moves: tuple[float, ...], switches: ApprovalCode) -> None:
    assert path(*moves).blocked == switches


def test_a_drawdown_over_months_is_measured_from_the_peak() -> None:
    assert path(*(-0.005,) * 33, month_starts=(15, 30)).blocked == ApprovalCode.KILL_SWITCH_DRAWDOWN


def test_switches_stay_until_the_month_starts_and_old_losses_are_forgotten() -> None:
    assert path(-0.2, 0.3, 0.0).blocked
    assert not path(-0.2, 0.3, 0.0, month_starts=(2,)).blocked
    assert not path(-0.2, 0.0, -0.01, month_starts=(2,)).blocked  # 20 % below the old peak
    assert path(-0.2, 0.0, -0.04, month_starts=(2,)).blocked == ApprovalCode.KILL_SWITCH_DAILY


def test_five_losing_trades_in_a_row_block() -> None:
    state = PortfolioState.start(CAPITAL)
    four = state.after(CAPITAL, Limits(), month_start=False, closed_trades=[-1.0, -2.0, -1.0, -1.0])
    assert not four.blocked
    assert four.after(CAPITAL, Limits(), month_start=False, closed_trades=[3.0, -1.0]).losing_streak == 1
    assert four.after(CAPITAL, Limits(), month_start=False, closed_trades=[-1.0, 5.0]).blocked == (
        ApprovalCode.KILL_SWITCH_LOSING_TRADES
    )


def test_the_cash_buffer_is_exact_in_float64() -> None:
    for cash in (0.05, 0.1, 0.15, 0.3, 0.35, 0.7):
        assert 1.0 - Limits(cash=cash).invested >= cash


@pytest.mark.parametrize("settings", [{"gross": 1.5}, {"names": 0}, {"cash": -0.1}, {"losing_trades": 0}])
def test_limits_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(PlanError):
        Limits(**settings)


def test_requests_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ContractError, match="finite"):
        asking([math.nan])
    with pytest.raises(ContractError, match="priority"):
        asking([0.1], priority=np.array([math.nan]))
    with pytest.raises(ContractError, match="shape"):
        asking([0.1], tradable=np.ones(2, dtype=bool))
    with pytest.raises(ContractError, match="positive"):
        CALM.after(0.0, Limits(), month_start=False)


def test_every_code_has_one_sentence() -> None:
    assert set(CODES) == {code.text for code in ApprovalCode}
