"""What no market and no strategy may bring about, and the rules of execution one by one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glassbox_bt.errors import ContractError, PlanError
from glassbox_bt.portfolio.simulate import Account, Bars, Costs, FillCode, simulate
from glassbox_bt.types import FloatArray
from tests.portfolio.markets import plain_bars, random_case

FREE = Costs(commission_bps=0.0, half_spread_bps=0.0, impact=0.0, capital=1000.0)
SEEDS = st.integers(min_value=0, max_value=2**32 - 1)


@given(SEEDS)
@settings(max_examples=100, deadline=None)
def test_no_debt_and_no_short_position(seed: int) -> None:
    case = random_case(seed)
    book = simulate(case.bars, case.targets, case.costs)
    assert np.all(book.cash >= -1e-9 * np.maximum(book.equity, 1e-6 * book.capital))  # a book may lose everything
    assert np.all(book.shares >= 0.0)
    assert np.all(book.fills.filled_shares <= book.fills.ordered_shares)


@given(SEEDS, st.floats(min_value=0.01, max_value=1e5))
@settings(max_examples=50, deadline=None)
def test_constant_prices_without_costs_make_no_money(seed: int, price: float) -> None:
    targets = np.random.default_rng(seed).dirichlet(np.ones(4), size=20)
    book = simulate(plain_bars(np.full((20, 4), price)), targets, FREE)
    np.testing.assert_allclose(book.equity, FREE.capital, rtol=1e-12)


@given(SEEDS)
@settings(max_examples=50, deadline=None)
def test_order_of_assets_does_not_matter(seed: int) -> None:
    case = random_case(seed)
    order = np.random.default_rng(seed).permutation(case.bars.n_assets)
    one = simulate(case.bars, case.targets, case.costs)
    other = simulate(columns(case.bars, order), case.targets[:, order], case.costs)
    np.testing.assert_allclose(other.equity, one.equity, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(other.shares, one.shares[:, order], rtol=1e-9, atol=1e-9)


@given(SEEDS)
@settings(max_examples=50, deadline=None)
def test_the_future_changes_nothing(seed: int) -> None:
    case = random_case(seed)
    cut = case.bars.n_sessions // 2
    book = simulate(case.bars, case.targets, case.costs)
    early = simulate(rows(case.bars, cut), case.targets[:cut], case.costs)
    np.testing.assert_array_equal(early.equity, book.equity[:cut])
    np.testing.assert_array_equal(early.shares, book.shares[:cut])


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_costs_never_help(seed: int) -> None:
    prices = 50.0 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.02, (15, 1)), axis=0))
    targets = np.full((15, 1), np.nan)
    targets[2], targets[9] = 0.8, 0.0
    cheap, dear = (simulate(plain_bars(prices), targets, replace(FREE, commission_bps=bps)) for bps in (1.0, 20.0))
    assert np.all(dear.equity <= cheap.equity)


def test_decided_at_the_close_filled_at_the_next_open() -> None:
    close = np.array([[100.0], [110.0], [120.0]])
    bars = replace(plain_bars(close), open=np.array([[95.0], [105.0], [115.0]]))
    book = simulate(bars, np.array([[0.5], [np.nan], [0.0]]), FREE)
    np.testing.assert_array_equal(book.shares[:, 0], [0.0, 5.0, 5.0])  # 0.5 × 1000 / close 100, the last target unfilled
    np.testing.assert_array_equal(book.cash, [1000.0, 475.0, 475.0])  # paid at the open of 105
    np.testing.assert_array_equal(book.equity, [1000.0, 1025.0, 1075.0])
    assert (book.fills.decided_session.tolist(), book.fills.filled_session.tolist()) == ([0], [1])
    np.testing.assert_allclose(book.returns, [0.0, 0.025, 1075 / 1025 - 1])
    np.testing.assert_allclose(book.exposure, [0.0, 550 / 1025, 600 / 1075])


def test_costs_of_one_order() -> None:
    bars = plain_bars(np.full((2, 1), 100.0))
    bars = replace(bars, sigma=np.full((2, 1), 0.02), adv_units=np.full((2, 1), 10_000.0))
    fills = simulate(bars, np.full((2, 1), 0.1), Costs(capital=1e6)).fills  # 1,000 units worth 100,000
    assert fills.commission[0] == pytest.approx(10.0)
    assert fills.spread[0] == pytest.approx(50.0)
    assert fills.impact[0] == pytest.approx(100_000 * 0.1 * 0.02 * np.sqrt(0.1))
    own = replace(bars, half_spread_bps=np.full((2, 1), 20.0))
    assert simulate(own, np.full((2, 1), 0.1), Costs(capital=1e6)).fills.spread[0] == pytest.approx(200.0)


def test_buys_never_spend_more_than_there_is() -> None:
    bars = replace(plain_bars(np.full((3, 3), 100.0)), sigma=np.full((3, 3), 0.05), adv_units=np.full((3, 3), 1e5))
    book = simulate(bars, np.full((3, 3), 1 / 3), Costs())
    assert set(book.fills.code.tolist()) == {FillCode.PARTIAL_CASH}
    assert 0.0 <= book.cash[1] < 1e-3 * book.equity[1]
    assert len(set(book.fills.filled_shares.tolist())) == 1  # all scaled alike


def test_sells_pay_for_the_buys_of_the_same_session() -> None:
    targets = np.array([[0.0, 1.0], [1.0, 0.0], [np.nan, np.nan]])
    book = simulate(plain_bars(np.full((3, 2), 10.0)), targets, FREE)
    np.testing.assert_array_equal(book.shares[1:], [[0.0, 100.0], [100.0, 0.0]])
    assert book.fills.side.tolist() == [1, -1, 1]


def test_participation_cuts_an_order_and_the_rest_dies() -> None:
    bars = replace(plain_bars(np.full((3, 1), 10.0)), adv_units=np.full((3, 1), 200.0))
    book = simulate(bars, np.array([[1.0], [np.nan], [np.nan]]), replace(FREE, participation=0.1))
    assert book.shares[:, 0].tolist() == [0.0, 20.0, 20.0]
    assert book.fills.ordered_shares.tolist() == [100.0]
    assert book.fills.code.tolist() == [FillCode.PARTIAL_PARTICIPATION]


def test_an_order_in_a_halt_dies_and_is_recorded() -> None:
    bars = plain_bars(np.full((3, 1), 10.0))
    halted = replace(bars, tradable=np.array([[True], [False], [True]]))
    book = simulate(halted, np.array([[1.0], [np.nan], [np.nan]]), FREE)
    assert book.shares.sum() == 0.0
    assert book.fills.code.tolist() == [FillCode.UNFILLED_NOT_TRADABLE]
    assert np.isnan(book.fills.price[0])
    assert book.fills.value.tolist() == [0.0]


@pytest.mark.parametrize("code", [1, 2])
def test_a_delisting_pays_its_price_and_kills_the_order(code: int) -> None:
    gone = np.full((4, 1), np.nan)
    gone[2] = 7.0
    codes = np.where(np.isnan(gone), 0, code).astype(np.int8)
    bars = replace(plain_bars(np.full((4, 1), 10.0)), delist_price=gone, delist_code=codes)
    book = simulate(bars, np.array([[1.0], [0.2], [np.nan], [np.nan]]), FREE)
    assert book.equity.tolist() == [1000.0, 1000.0, 700.0, 700.0]
    assert book.cash[-1] == 700.0
    delisted = FillCode.DELISTED if code == 1 else FillCode.ASSUMED_DELISTING
    assert book.fills.code.tolist() == [FillCode.FILLED, delisted, FillCode.UNFILLED_NOT_TRADABLE]
    assert book.fills.decided_session.tolist() == [0, 2, 1]
    assert book.traded.tolist() == [0.0, 1000.0, 0.0, 0.0]


def test_closing_out_is_exempt_from_the_smallest_trade_and_leaves_nothing() -> None:
    prices = np.array([[10.0], [10.0], [0.013], [0.013]])
    book = simulate(plain_bars(prices), np.array([[0.3], [np.nan], [0.0], [np.nan]]), FREE)
    assert book.shares[2, 0] * 0.013 / book.equity[2] < FREE.min_trade
    assert book.shares[3, 0] == 0.0


def test_a_total_loss_ends_the_story() -> None:
    gone = np.array([[np.nan], [np.nan], [0.0], [np.nan], [np.nan]])
    bars = replace(plain_bars(np.full((5, 1), 10.0)), delist_price=gone)
    book = simulate(bars, np.ones((5, 1)), FREE)
    assert book.equity.tolist() == [1000.0, 1000.0, 0.0, 0.0, 0.0]
    assert np.isnan(book.returns[3:]).all()
    assert book.fills.code.tolist() == [FillCode.FILLED, FillCode.DELISTED]  # and no order after that


def test_unknown_inputs_are_counted() -> None:
    bars = plain_bars(np.full((3, 2), 10.0))
    mark = bars.mark.copy()
    mark[0, 1] = np.nan
    bars = replace(bars, mark=mark, close=mark, open=mark, tradable=np.isfinite(mark))
    book = simulate(bars, np.array([[0.5, 0.5], [np.nan, np.nan], [np.nan, np.nan]]), FREE)
    assert (book.n_without_impact, book.n_unpriced) == (1, 1)
    assert book.fills.asset.tolist() == [0]


def test_a_holding_without_a_mark_is_refused() -> None:
    mark = np.array([[10.0], [10.0], [np.nan]])
    bars = replace(plain_bars(np.full((3, 1), 10.0)), mark=mark, close=mark, open=mark, tradable=np.isfinite(mark))
    with pytest.raises(ContractError, match="Asset 0 is held at session 2 without a mark"):
        simulate(bars, np.ones((3, 1)), FREE)
    account = Account(bars, FREE)
    account.decide(np.ones(1))
    account.advance()
    with pytest.raises(ContractError, match="without a mark"):
        account.advance()


@pytest.mark.parametrize("weight", [-0.1, np.inf])
def test_impossible_targets_are_refused(weight: float) -> None:
    bars = plain_bars(np.full((3, 2), 10.0))
    targets = np.zeros((3, 2))
    targets[1, 1] = weight
    with pytest.raises(ContractError, match=r"at \(1, 1\)"):
        simulate(bars, targets, FREE)
    with pytest.raises(ContractError, match="shape"):
        simulate(bars, np.zeros((2, 2)), FREE)


def test_account_keeps_the_order_of_its_day() -> None:
    account = Account(plain_bars(np.full((2, 1), 10.0)), FREE)
    with pytest.raises(ContractError, match="to the last"):
        account.book()
    account.decide(np.full(1, 0.5))
    with pytest.raises(ContractError, match="decided already"):
        account.decide(np.full(1, 0.5))
    account.advance()
    assert account.held_weights().tolist() == [0.5]
    assert len(account.fills()) == 1
    with pytest.raises(ContractError, match="last one"):
        account.advance()
    assert account.book().equity.tolist() == [1000.0, 1000.0]


def test_account_log_grows() -> None:
    prices = 10.0 * np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.1, (40, 2)), axis=0))
    targets = np.random.default_rng(1).dirichlet(np.ones(2), size=40)
    account = Account(plain_bars(prices), FREE)
    for t in range(39):
        account.decide(targets[t])
        account.advance()
    expected = simulate(plain_bars(prices), targets, FREE).fills
    np.testing.assert_array_equal(account.fills().filled_shares, expected.filled_shares)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"open": np.zeros((2, 2))}, "`open` of the bars is not positive"),
        ({"sigma": np.full((2, 2), -1.0)}, "`sigma` of the bars is negative"),
        ({"open": np.full((2, 2), np.nan)}, "no price to fill at"),
        ({"mark": np.full((2, 2), 11.0)}, "is not the close"),
        ({"tradable": np.ones((2, 2))}, "`tradable` of the bars has shape"),
        ({"adv_units": np.ones((2, 3))}, "`adv_units` of the bars has shape"),
        ({"delist_code": np.ones((2, 2), dtype=np.int8)}, "without a `delist_price`"),
        ({"half_spread_bps": np.full((2, 2), -1.0)}, "`half_spread_bps` of the bars is negative"),
    ],
)
def test_bars_that_contradict_themselves_are_refused(changes: dict[str, FloatArray], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        replace(plain_bars(np.full((2, 2), 10.0)), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {"commission_bps": -1.0},
        {"half_spread_bps": 1e4},
        {"impact": float("nan")},
        {"participation": 0.0},
        {"min_trade": 1.0},
        {"capital": 0.0},
        {"cash_interest": 1.0},
    ],
)
def test_costs_out_of_range_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(PlanError, match=next(iter(changes))):
        Costs(**changes)


def columns(bars: Bars, order: np.ndarray) -> Bars:
    return replace(bars, **{name: values[:, order] for name, values in _arrays(bars).items()})


def rows(bars: Bars, n_sessions: int) -> Bars:
    return replace(bars, **{name: values[:n_sessions] for name, values in _arrays(bars).items()})


def _arrays(bars: Bars) -> dict[str, Any]:
    return {name: getattr(bars, name) for name in bars.__slots__ if isinstance(getattr(bars, name), np.ndarray)}
