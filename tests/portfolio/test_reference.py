"""The kernel against the exact reference (ruling R21)."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import numpy as np
import pytest

from glassbox_bt.portfolio.simulate import Account, Book, Costs, FillCode, simulate
from tests.portfolio.markets import Case, plain_bars, random_case
from tests.portfolio.reference import ExactBook, exact_book

AGREES = Decimal("1e-9")


def test_random_markets_agree_with_the_exact_reference() -> None:
    codes: Counter[int] = Counter()
    for seed in range(500):
        case = random_case(seed)
        book = simulate(case.bars, case.targets, case.costs)
        assert_same(book, exact_book(case))
        codes.update(book.fills.code.tolist())
    assert all(codes[code] > 50 for code in FillCode), codes


def test_cash_tie_between_wanted_and_had() -> None:
    prices = np.full((4, 2), 100.0)
    case = Case(plain_bars(prices), np.array([[0.5, 0.5], [0.0, 1.0], [1.0, 0.0], [0.0, 0.0]]), FREE)
    book = simulate(case.bars, case.targets, case.costs)
    np.testing.assert_array_equal(book.equity, 1e6)
    np.testing.assert_array_equal(book.shares[1:], [[5e3, 5e3], [0.0, 1e4], [1e4, 0.0]])
    assert set(book.fills.code.tolist()) == {FillCode.FILLED}


@pytest.mark.parametrize(("target", "n_fills"), [(0.0025, 1), (np.nextafter(0.0025, 0), 0)])
def test_smallest_trade_is_exact(target: float, n_fills: int) -> None:
    bars = plain_bars(np.full((2, 1), 3.7))
    assert len(simulate(bars, np.full((2, 1), target), Costs()).fills) == n_fills


@pytest.mark.parametrize("seed", range(25))
def test_day_by_day_equals_all_at_once_bit_for_bit(seed: int) -> None:
    case = random_case(seed)
    book = simulate(case.bars, case.targets, case.costs)
    account = Account(case.bars, case.costs)
    for t in range(case.bars.n_sessions - 1):
        assert account.equity() == book.equity[t]
        account.decide(case.targets[t])
        account.advance()
    assert_identical(account.book(), book)


FREE = Costs(commission_bps=0.0, half_spread_bps=0.0, impact=0.0)


def assert_same(book: Book, exact: ExactBook) -> None:
    for t, equity in enumerate(exact.equity):
        money = AGREES * max(equity, Decimal("1e-3"))  # a book may lose everything
        assert abs(Decimal(float(book.equity[t])) - equity) <= money
        assert abs(Decimal(float(book.cash[t])) - exact.cash[t]) <= money
        for j, shares in enumerate(exact.shares[t]):
            assert abs(Decimal(float(book.shares[t, j])) - shares) <= AGREES * max(shares, Decimal("1e-9"))
    mine, theirs = book.fills, exact.lines
    assert [FillCode(code).label for code in mine.code.tolist()] == [line.code for line in theirs]
    assert list(zip(mine.filled_session.tolist(), mine.asset.tolist(), mine.side.tolist(), strict=True)) == [
        (line.session, line.asset, line.side) for line in theirs
    ]
    for name in ("ordered", "filled"):
        expected = [float(getattr(line, name)) for line in theirs]
        np.testing.assert_allclose(getattr(mine, f"{name}_shares"), expected, rtol=1e-8)
    for name in ("commission", "spread", "impact"):
        np.testing.assert_allclose(getattr(mine, name), [float(getattr(line, name)) for line in theirs], rtol=1e-8)


def assert_identical(one: Book, other: Book) -> None:
    for name in ("equity", "cash", "shares", "costs", "traded", "interest"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for name in one.fills.__slots__:
        np.testing.assert_array_equal(getattr(one.fills, name), getattr(other.fills, name))
    assert (one.capital, one.n_without_impact, one.n_unpriced) == (other.capital, other.n_without_impact, other.n_unpriced)
