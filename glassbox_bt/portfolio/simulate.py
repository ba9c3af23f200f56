"""The simulation of one strategy: from target weights to a book. Its steps are told in `_kernel`.

`simulate` runs a whole matrix of targets in one compiled loop. `Account` goes day by day, for whoever needs the held
weights to decide. Both call the same compiled steps, so they agree bit for bit.
"""

from __future__ import annotations

import math

import numpy as np

from glassbox_bt.errors import ContractError
from glassbox_bt.portfolio._kernel import ROW, Days, Hand, Log, Tape, Terms, World, decide, fill, most_records, run
from glassbox_bt.portfolio.book import Bars, Book, FillCode, Fills
from glassbox_bt.portfolio.costs import Costs
from glassbox_bt.types import AnyArray, FloatArray

__all__ = ["Account", "Bars", "Book", "Costs", "FillCode", "Fills", "simulate"]


def simulate(bars: Bars, targets: FloatArray, costs: Costs) -> Book:
    """The book of a strategy whose targets do not depend on what it holds.

    Parameters
    ----------
    bars : Bars
        The market, (n_sessions, n_assets).
    targets : FloatArray
        Target weights, fractions of equity at the close of each session, same shape; >= 0. NaN gives no order for that name
        that day. The last session's targets are not filled.
    costs : Costs
        Terms of execution; the run starts with ``costs.capital`` in cash and ends marked, not sold.

    Raises
    ------
    ContractError
        Targets of another shape, negative or infinite; a holding that lost its mark without being booked out.
    """
    _check_targets(targets, bars.open.shape)
    steps = _frozen(targets)
    world = _world(bars, costs, most_records(steps, _frozen(bars.delist_price)))
    reached = run(steps, world)
    _check_marks(world, reached)
    return _book(world, costs)


class Account:
    """One strategy's money, day by day: ``held_weights`` → ``decide`` → ``advance``, until the last session.

    Starts at session 0 with ``costs.capital`` in cash.
    """

    def __init__(self, bars: Bars, costs: Costs) -> None:
        self._costs = costs
        self._world = _world(bars, costs, n_records=4 * bars.n_assets)
        self._decided = False
        self.session = 0
        fill(0, self._world)

    def equity(self) -> float:
        """Cash plus holdings at the mark of the current session, money."""
        return float(self._world.days.equity[self.session])

    def held_weights(self) -> FloatArray:
        """Holdings at the mark of the current session, fractions of equity, (n_assets,); 0 where nothing is held."""
        shares = self._world.hand.shares
        weights = np.zeros_like(shares)
        held = shares > 0.0
        weights[held] = shares[held] * self._world.tape.mark[self.session, held] / self.equity()
        return weights

    def decide(self, target_weights: FloatArray) -> None:
        """Fix the orders of this session's close; NaN gives no order for a name.

        Raises
        ------
        ContractError
            This session has decided already, or the weights have another shape, are negative or infinite.
        """
        if self._decided:
            raise ContractError(f"Session {self.session} has decided already. Call `advance` first.")
        _check_targets(target_weights, self._world.hand.shares.shape)
        decide(self.session, _frozen(target_weights), self._world)
        self._decided = True

    def advance(self) -> None:
        """Move to the next session, fill there what was decided, and mark.

        Raises
        ------
        ContractError
            There is no next session, or a holding lost its mark without being booked out.
        """
        if self.session + 1 >= self._world.days.equity.shape[0]:
            raise ContractError(f"Session {self.session} is the last one. Take the `book`.")
        self._world = _with_room(self._world)
        self.session += 1
        self._decided = False
        fill(self.session, self._world)
        _check_marks(self._world, self.session)

    def fills(self) -> Fills:
        """What was filled so far."""
        return _fills(self._world.log)

    def book(self) -> Book:
        """The finished book.

        Raises
        ------
        ContractError
            Sessions are left.
        """
        n_sessions = self._world.days.equity.shape[0]
        if self.session + 1 != n_sessions:
            raise ContractError(f"The account stands at session {self.session} of {n_sessions}. Advance it to the last.")
        return _book(self._world, self._costs)


def _world(bars: Bars, costs: Costs, n_records: int) -> World:
    n_sessions, n_assets = bars.n_sessions, bars.n_assets
    hand = Hand(
        cash=np.array([costs.capital]),
        shares=np.zeros(n_assets),
        order_asset=np.zeros(n_assets, dtype=np.int64),
        order_units=np.zeros(n_assets),
        n_orders=np.zeros(1, dtype=np.int64),
        n_without_impact=np.zeros(1, dtype=np.int64),
        n_unpriced=np.zeros(1, dtype=np.int64),
    )
    terms = Terms(
        commission=costs.commission_bps / 1e4,
        half_spread=costs.half_spread_bps / 1e4,
        impact=costs.impact,
        participation=costs.participation,
        min_trade=costs.min_trade,
        interest=costs.cash_interest / 252.0,
    )
    days = Days(
        equity=np.zeros(n_sessions),
        cash=np.zeros(n_sessions),
        shares=np.empty((n_sessions, n_assets)),
        costs=np.zeros(n_sessions),
        traded=np.zeros(n_sessions),
        interest=np.zeros(n_sessions),
    )
    return World(_tape(bars), terms, hand, _log(n_records), days)


def _tape(bars: Bars) -> Tape:
    code = np.empty((0, 0), dtype=np.int8) if bars.delist_code is None else bars.delist_code
    spread = np.empty((0, 0)) if bars.half_spread_bps is None else bars.half_spread_bps
    return Tape(
        price=_frozen(bars.open),
        mark=_frozen(bars.mark),
        tradable=_frozen(bars.tradable),
        delist_price=_frozen(bars.delist_price),
        sigma=_frozen(bars.sigma),
        adv_units=_frozen(bars.adv_units),
        delist_code=_frozen(code),
        half_spread=_frozen(spread),
    )


def _log(n: int) -> Log:
    """Rows are only reserved: the operating system hands out the memory when a row is written."""
    return Log(n=np.zeros(1, dtype=np.int64), rows=np.empty(n, dtype=ROW))


def _with_room(world: World) -> World:
    """A world whose log holds at least one more session: an order and a delisting per name."""
    written, n_assets = int(world.log.n[0]), world.hand.shares.shape[0]
    if written + 2 * n_assets <= world.log.rows.shape[0]:
        return world
    larger = _log(2 * world.log.rows.shape[0])
    larger.n[0] = written
    larger.rows[:written] = world.log.rows[:written]
    return world._replace(log=larger)


def _frozen(array: AnyArray) -> AnyArray:
    """A contiguous, read-only view: one compiled version serves every caller's arrays."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


def _fills(log: Log) -> Fills:
    rows = log.rows[: int(log.n[0])]
    return Fills(**{name: rows[name] for name in ROW.names or ()})


def _book(world: World, costs: Costs) -> Book:
    return Book(
        capital=costs.capital,
        **world.days._asdict(),
        fills=_fills(world.log),
        n_without_impact=int(world.hand.n_without_impact[0]),
        n_unpriced=int(world.hand.n_unpriced[0]),
    )


def _check_targets(targets: FloatArray, shape: tuple[int, ...]) -> None:
    if targets.shape != shape or targets.dtype != np.float64:
        raise ContractError(f"Targets must be float64 of shape {shape}, got {targets.dtype} of {targets.shape}.")
    wrong = (targets < 0.0) | np.isinf(targets)
    if bool(wrong.any()):
        where = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise ContractError(
            f"The target weight at {where} is {targets[where]}. Weights are finite and not negative (no short positions); "
            "NaN gives no order."
        )


def _check_marks(world: World, session: int) -> None:
    if math.isnan(world.days.equity[session]):
        unmarked = (world.hand.shares > 0.0) & np.isnan(world.tape.mark[session])
        raise ContractError(
            f"Asset {int(np.flatnonzero(unmarked)[0])} is held at session {session} without a mark. Carry its last close "
            "forward, or book it out with a `delist_price`."
        )
