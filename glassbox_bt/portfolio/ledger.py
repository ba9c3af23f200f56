"""Two proofs that a book is right: the accounting identities, and vectorbt booking the same fills.

`prove` recomputes cash, holdings and equity of every session from the fills alone. `book_in_vectorbt` hands the fills to an
engine that shares no code with ours; `compare` demands the same value and the same cash on every session. vectorbt also
supplies the table of trades and of drawdowns. It proves bookkeeping, not sizing: caps, scaling and impact are proved by the
exact reference in the tests (ruling R21).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from glassbox_bt.errors import AccountingError
from glassbox_bt.portfolio.book import Bars, Book, Fills
from glassbox_bt.types import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Booking", "book_in_vectorbt", "compare", "prove"]

TOLERANCE = 1e-9  # relative; float64 bookkeeping in another order of summation stays below 1e-12

TRADE_COLUMNS = {
    "col": "asset",
    "entry_idx": "entry_session",
    "exit_idx": "exit_session",
    "size": "shares",
    "entry_price": "entry_price",
    "exit_price": "exit_price",
    "entry_fees": "entry_cost",
    "exit_fees": "exit_cost",
    "pnl": "profit",
    "return": "return_frac",
}
DRAWDOWN_COLUMNS = {
    "peak_idx": "peak_session",
    "valley_idx": "valley_session",
    "end_idx": "end_session",
    "peak_val": "peak_equity",
    "valley_val": "valley_equity",
}


@dataclass(frozen=True, slots=True)
class Booking:
    """What vectorbt made of the fills of a book.

    Parameters
    ----------
    equity, cash : FloatArray
        Money at the close of each session, (n_sessions,).
    trades : pandas.DataFrame
        One row per exit, and one per holding still open at the end: ``asset, entry_session, exit_session, shares,
        entry_price, exit_price, entry_cost, exit_cost, profit, return_frac, is_open``. Entry price and cost are averages
        over the buys.
    drawdowns : pandas.DataFrame
        ``peak_session, valley_session, end_session, peak_equity, valley_equity, drawdown_frac, is_open``; the end is the
        session of recovery, or the last one; ``drawdown_frac`` is negative.
    """

    equity: FloatArray
    cash: FloatArray
    trades: pd.DataFrame
    drawdowns: pd.DataFrame


def prove(book: Book, bars: Bars) -> None:
    """Recompute the book from its fills, and look each fill's price up in its bar.

    Raises
    ------
    AccountingError
        On some session cash + Σ shares × mark is not equity, the change of cash or of a holding is not what the fills
        say, or cash or a holding is negative, beyond 1e-9 of equity and the value that moved; or a price is not that of
        the bar that filled.
    """
    _prove_prices(book.fills, bars)
    fills, session = book.fills, book.fills.filled_session
    value = _per_session(fills.value, session, bars)
    traded = _per_session(np.where(fills.is_delisting, 0.0, fills.value), session, bars)
    costs = _per_session(fills.costs, session, bars)
    flow = book.interest - _per_session(fills.side * fills.value, session, bars) - costs
    before = np.concatenate([[book.capital], book.cash[:-1]])
    held = np.where(book.shares > 0.0, book.shares * bars.mark, 0.0).sum(axis=1)
    money = np.maximum(book.equity, 0.0) + value + TOLERANCE * book.capital
    _agree("equity, and cash + holdings", book.equity, book.cash + held, money)
    _agree("cash, and cash before + what the fills paid", book.cash, before + flow, money)
    _agree("costs, and those of the fills", book.costs, costs, money)
    _agree("value traded, and that of the fills", book.traded, traded, money)
    shares, moved = _holdings(book)
    _agree("shares, and shares before + fills", book.shares, shares, moved)
    _agree("cash, and cash not below zero", book.cash, np.maximum(book.cash, 0.0), money)
    _agree("shares, and shares not below zero", book.shares, np.maximum(book.shares, 0.0), moved)


def book_in_vectorbt(book: Book, bars: Bars) -> Booking:
    """Let vectorbt book the fills: amounts at given prices, costs as fixed fees, sells before buys.

    A delisting is a sale at the delisting price; one at zero is handed over at the smallest positive price. vectorbt knows
    no interest on cash: it starts with all the interest to come, which is taken off again where it was not yet earned.

    Raises
    ------
    AccountingError
        vectorbt refused or cut an order.
    """
    import pandas as pd
    import vectorbt as vbt

    ahead = book.interest.sum() - np.cumsum(book.interest)
    filled = book.fills.filled_shares > 0.0
    portfolio = vbt.Portfolio.from_orders(
        close=pd.DataFrame(_last_marks(bars.mark)),
        **_orders(book.fills, filled, bars),
        size_type="amount",
        direction="longonly",
        allow_partial=True,
        init_cash=book.capital + float(book.interest.sum()),
        cash_sharing=True,
        group_by=True,
        freq="1D",
    )
    _all_filled(portfolio, book.fills, filled)
    equity = portfolio.value().to_numpy(dtype=np.float64) - ahead
    return Booking(
        equity=equity,
        cash=portfolio.cash().to_numpy(dtype=np.float64) - ahead,
        trades=_table(portfolio.trades.values, TRADE_COLUMNS),
        drawdowns=_drawdowns(vbt.Drawdowns.from_ts(pd.Series(equity), freq="1D")),
    )


def compare(book: Book, booking: Booking) -> float:
    """Largest difference between the two, as a fraction of that session's equity.

    Raises
    ------
    AccountingError
        It is above 1e-9, in equity or in cash.
    """
    scale = np.maximum(book.equity, TOLERANCE * book.capital)
    return max(
        _agree("equity, and vectorbt's value", book.equity, booking.equity, scale),
        _agree("cash, and vectorbt's cash", book.cash, booking.cash, scale),
    )


def _agree(what: str, mine: FloatArray, theirs: FloatArray, scale: FloatArray) -> float:
    """Largest difference relative to ``scale``; a NaN on either side does not agree."""
    difference = np.abs(mine - theirs)
    wrong = ~(difference <= TOLERANCE * scale)
    if bool(wrong.any()):
        where = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise AccountingError(
            f"Two that must be equal differ at index {where}: {what}: {mine[where]} and {theirs[where]}. This is a fault of "
            "the program; please report it with the run's manifest."
        )
    return float(np.divide(difference, scale, out=np.zeros_like(difference), where=scale > 0.0).max(initial=0.0))


def _prove_prices(fills: Fills, bars: Bars) -> None:
    filled = fills.filled_shares > 0.0
    cell = (fills.filled_session[filled], fills.asset[filled])
    price = np.where(fills.is_delisting[filled], bars.delist_price[cell], bars.open[cell])
    _agree("price of a fill, and that of its bar", fills.price[filled], price, np.zeros_like(price))


def _per_session(values: FloatArray, session: NDArray[np.int32], bars: Bars) -> FloatArray:
    """Sum over the fills of each session, (n_sessions,)."""
    return np.bincount(session, weights=values, minlength=bars.n_sessions).astype(np.float64)


def _holdings(book: Book) -> tuple[FloatArray, FloatArray]:
    """Units by the holding before and the fills of the session, and the units that this adds up, (n_sessions, n_assets)."""
    before = np.concatenate([np.zeros((1, book.shares.shape[1])), book.shares[:-1]])
    change, moved = np.zeros_like(before), np.zeros_like(before)
    cell = (book.fills.filled_session, book.fills.asset)
    np.add.at(change, cell, book.fills.signed_shares)
    np.add.at(moved, cell, book.fills.filled_shares)
    return before + change, before + moved


def _orders(fills: Fills, filled: BoolArray, bars: Bars) -> dict[str, Any]:
    """Sizes, prices, fees and the sequence of calls, each (n_sessions, n_assets)."""
    cell = (fills.filled_session[filled], fills.asset[filled])
    size, price, fees = (np.full(bars.open.shape, fill) for fill in (np.nan, np.nan, 0.0))
    size[cell] = fills.signed_shares[filled]
    price[cell] = np.maximum(fills.price[filled], np.finfo(np.float64).tiny)
    fees[cell] = fills.costs[filled]
    sells_first: IntArray = np.argsort(~(size < 0.0), axis=1, kind="stable").astype(np.int64)
    return {"size": size, "price": price, "fixed_fees": fees, "call_seq": sells_first}


def _last_marks(mark: FloatArray) -> FloatArray:
    """Marks carried forward for good: vectorbt's value is NaN with a NaN price, even where nothing is held.

    Before its first mark a name is valued at 1.0; it cannot be held then.
    """
    rows = np.where(np.isnan(mark), 0, np.arange(mark.shape[0])[:, None])
    carried = np.take_along_axis(mark, np.maximum.accumulate(rows, axis=0), axis=0)
    return np.where(np.isnan(carried), 1.0, carried)


def _all_filled(portfolio: Any, fills: Fills, filled: BoolArray) -> None:
    """Every order of ours is an order of theirs, of the same size."""
    theirs = portfolio.orders.values
    order = np.lexsort((fills.asset[filled], fills.filled_session[filled]))
    mine = fills.filled_shares[filled][order]
    sizes = theirs["size"][np.lexsort((theirs["col"], theirs["idx"]))]
    if len(sizes) != len(mine):
        raise AccountingError(f"vectorbt filled {len(sizes)} of {len(mine)} orders; it must fill all.")
    _agree("shares filled, and those vectorbt filled", mine, sizes, mine)


def _drawdowns(drawdowns: Any) -> pd.DataFrame:
    table = _table(drawdowns.values, DRAWDOWN_COLUMNS)
    table.insert(5, "drawdown_frac", table["valley_equity"] / table["peak_equity"] - 1.0)
    return table


def _table(records: Any, columns: dict[str, str]) -> pd.DataFrame:
    """The named columns of vectorbt's records; a status of 0 is open."""
    import pandas as pd

    table = pd.DataFrame({ours: records[theirs] for theirs, ours in columns.items()})
    table["is_open"] = records["status"] == 0
    return table
