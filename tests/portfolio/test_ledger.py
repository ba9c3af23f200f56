from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from glassbox_bt.errors import AccountingError
from glassbox_bt.portfolio import ledger
from glassbox_bt.portfolio.simulate import Book, Costs, FillCode, simulate
from tests.portfolio.markets import Case, plain_bars, random_case


def test_vectorbt_books_the_same() -> None:
    seen: set[int] = set()
    for seed in range(50):
        case = random_case(seed)
        book = simulate(case.bars, case.targets, case.costs)
        ledger.prove(book, case.bars)
        assert ledger.compare(book, ledger.book_in_vectorbt(book, case.bars)) < 1e-12
        seen.update(book.fills.code.tolist())
    assert seen == set(FillCode)


def test_interest_is_booked() -> None:
    bars = plain_bars(np.full((253, 1), 10.0))
    book = simulate(bars, np.zeros((253, 1)), Costs(cash_interest=0.05, capital=100.0))
    ledger.prove(book, bars)
    assert ledger.compare(book, ledger.book_in_vectorbt(book, bars)) < 1e-12
    assert book.equity[-1] == pytest.approx(100.0 * (1 + 0.05 / 252) ** 252)


@pytest.mark.parametrize("column", ["equity", "cash", "shares", "costs", "traded"])
def test_a_changed_book_is_found(column: str) -> None:
    case, book = _case()
    values = getattr(book, column).copy()
    values[-1] += 1e-6 * book.equity[-1]
    with pytest.raises(AccountingError):
        ledger.prove(replace(book, **{column: values}), case.bars)


@pytest.mark.parametrize("column", ["price", "filled_shares", "commission"])
def test_a_changed_fill_is_found(column: str) -> None:
    case, book = _case()
    values = getattr(book.fills, column) * 1.00001
    changed = replace(book, fills=replace(book.fills, **{column: values}))
    with pytest.raises(AccountingError):
        ledger.prove(changed, case.bars)


def test_a_fill_at_the_price_of_another_bar_is_found() -> None:
    case, book = _case()
    shifted = replace(case.bars, open=np.roll(case.bars.open, 1, axis=0), tradable=np.zeros_like(case.bars.tradable))
    with pytest.raises(AccountingError, match="price of a fill"):
        ledger.prove(book, shifted)


def test_a_difference_from_vectorbt_is_found() -> None:
    case, book = _case()
    booking = ledger.book_in_vectorbt(book, case.bars)
    with pytest.raises(AccountingError, match="vectorbt"):
        ledger.compare(book, replace(booking, equity=booking.equity * (1 + 1e-8)))


def test_trades_and_drawdowns() -> None:
    prices = np.array([[10.0], [10.0], [12.0], [9.0], [15.0], [15.0]])
    bars = plain_bars(prices)
    targets = np.array([[1.0], [np.nan], [np.nan], [0.0], [np.nan], [np.nan]])
    free = Costs(commission_bps=0.0, half_spread_bps=0.0, capital=100.0)
    booking = ledger.book_in_vectorbt(simulate(bars, targets, free), bars)
    trade = booking.trades.iloc[0]
    assert (trade["asset"], trade["entry_session"], trade["exit_session"], trade["shares"]) == (0, 1, 4, 10.0)
    assert (trade["entry_price"], trade["exit_price"], trade["profit"], trade["is_open"]) == (10.0, 15.0, 50.0, False)
    drawdown = booking.drawdowns.iloc[0]
    assert (drawdown["peak_session"], drawdown["valley_session"], drawdown["end_session"]) == (2, 3, 4)
    assert drawdown["drawdown_frac"] == pytest.approx(-0.25)
    assert not drawdown["is_open"]


def _case() -> tuple[Case, Book]:
    case = random_case(2)
    book = simulate(case.bars, case.targets, replace(case.costs, commission_bps=5.0))
    assert book.shares[-1].sum() > 0.0
    return case, book
