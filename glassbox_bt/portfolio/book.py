"""The nouns of the portfolio: the bars it trades on, what was filled, and the book that results."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from glassbox_bt.errors import ContractError
from glassbox_bt.types import AnyArray, BoolArray, FloatArray, IntArray

__all__ = ["Bars", "Book", "FillCode", "Fills"]


class FillCode(IntEnum):
    """What became of an order, or why shares left without one; the last limit that bound names it."""

    FILLED = 0
    PARTIAL_CASH = 1  # a buy, scaled with all others of its session to the cash there was
    PARTIAL_PARTICIPATION = 2  # cut to the participation cap; the rest of the order died
    UNFILLED_NOT_TRADABLE = 3  # no trading at the fill session; the order died
    DELISTED = 4  # booked out at a known delisting price
    ASSUMED_DELISTING = 5  # booked out at an assumed price after the quotes stopped (ruling R9)

    @property
    def label(self) -> str:
        """The name as tables show it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """Prices and volumes the portfolio trades on, in total-return units (price × adj_close / close of the bar).

    Every array is (n_sessions, n_assets), float64 unless said otherwise; NaN is missing.

    Parameters
    ----------
    open : FloatArray
        Price of a fill. A market without opens passes its closes and ``fill_at="close"``: the fill is then at the next
        session's close.
    close : FloatArray
        Close of observed bars.
    mark : FloatArray
        Price of valuation: the last observed close.
    tradable : BoolArray
        Real bars with trading, at which an order can be filled.
    delist_price : FloatArray
        Money per unit where a held name is booked out, otherwise NaN; 0 is a total loss.
    sigma : FloatArray
        Daily volatility known at the decision of the row; NaN where unknown: no impact is charged, and that is counted.
    adv_units : FloatArray
        21-session median volume in units, known at the decision; NaN without volume data: no cap, no impact.
    delist_code : NDArray[np.int8], optional
        1 where ``delist_price`` is known, 2 where it is assumed, 0 elsewhere; without it every delisting is a known one.
    half_spread_bps : FloatArray, optional
        Half-spread known at the decision, basis points; NaN, or no array, means that of `Costs`.
    fill_at : {"open", "close"}, default="open"
        Which price ``open`` holds; the kernel treats both alike.

    Raises
    ------
    ContractError
        Shapes or types differ, or prices contradict one another.
    """

    open: FloatArray
    close: FloatArray
    mark: FloatArray
    tradable: BoolArray
    delist_price: FloatArray
    sigma: FloatArray
    adv_units: FloatArray
    delist_code: NDArray[np.int8] | None = None
    half_spread_bps: FloatArray | None = None
    fill_at: Literal["open", "close"] = "open"

    def __post_init__(self) -> None:
        self._check_shapes()
        for name in ("open", "close", "mark"):
            _refuse(getattr(self, name) <= 0.0, name, "is not positive; a price is, or it is NaN")
        for name in ("delist_price", "sigma", "adv_units"):
            _refuse(getattr(self, name) < 0.0, name, "is negative")
        _refuse(self.tradable & np.isnan(self.open), "tradable", "is set where there is no price to fill at")
        _refuse(np.isfinite(self.close) & (self.mark != self.close), "mark", "is not the close of an observed bar")
        if self.half_spread_bps is not None:
            _refuse(self.half_spread_bps < 0.0, "half_spread_bps", "is negative")
        if self.delist_code is not None:
            booked_out = np.isfinite(self.delist_price)
            _refuse(booked_out != (self.delist_code > 0), "delist_code", "is set without a `delist_price`, or the reverse")

    @property
    def n_sessions(self) -> int:
        return int(self.open.shape[0])

    @property
    def n_assets(self) -> int:
        return int(self.open.shape[1])

    def _check_shapes(self) -> None:
        if self.open.ndim != 2 or self.open.shape[0] == 0:
            raise ContractError(f"`open` must be (n_sessions, n_assets) with at least one session, got {self.open.shape}.")
        wanted = {"tradable": np.bool_, "delist_code": np.int8}
        for name in self.__slots__:
            values = getattr(self, name)
            if not isinstance(values, np.ndarray):
                continue
            if values.shape != self.open.shape or values.dtype != wanted.get(name, np.float64):
                raise ContractError(
                    f"`{name}` of the bars has shape {values.shape} and type {values.dtype}; expected {self.open.shape} "
                    f"and {np.dtype(wanted.get(name, np.float64))}."
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fills:
    """Every order that reached its session, and every delisting, in the order in which they were booked.

    Arrays are (n_fills,). An order that died is here with ``filled_shares`` 0 and a NaN price.
    """

    filled_session: NDArray[np.int32]  # the session at which it was filled, booked out, or died
    asset: NDArray[np.int32]
    side: NDArray[np.int8]  # +1 buy, -1 sell or delisting
    code: NDArray[np.int8]  # FillCode
    ordered_shares: FloatArray  # >= 0, total-return units
    filled_shares: FloatArray  # >= 0
    price: FloatArray  # money per unit
    commission: FloatArray  # money
    spread: FloatArray  # money
    impact: FloatArray  # money

    def __len__(self) -> int:
        return int(self.asset.shape[0])

    @property
    def decided_session(self) -> IntArray:
        """Session whose close decided the order: the one before; for a delisting, its own."""
        return self.filled_session.astype(np.int64) - ~self.is_delisting

    @property
    def is_delisting(self) -> BoolArray:
        return self.code >= FillCode.DELISTED

    @property
    def signed_shares(self) -> FloatArray:
        """Change of the holding, units."""
        return self.side * self.filled_shares

    @property
    def value(self) -> FloatArray:
        """Traded value, money, >= 0; 0 for an order that died."""
        return np.where(self.filled_shares > 0.0, self.filled_shares * self.price, 0.0)

    @property
    def costs(self) -> FloatArray:
        """Commission, spread and impact together, money."""
        return self.commission + self.spread + self.impact


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """What one strategy owned on each session, after the session's fills and at its close.

    ``equity``, ``cash``, ``costs``, ``traded`` and ``interest`` are money, (n_sessions,); ``shares`` are units,
    (n_sessions, n_assets). ``traded`` is the value bought plus the value sold, without delistings.
    """

    capital: float
    equity: FloatArray
    cash: FloatArray
    shares: FloatArray
    costs: FloatArray
    traded: FloatArray
    interest: FloatArray
    fills: Fills
    n_without_impact: int  # filled orders without impact, because volatility or volume was unknown
    n_unpriced: int  # targets above zero that made no order, because the name had no mark

    @property
    def returns(self) -> FloatArray:
        """Simple return per session, the first against the capital, (n_sessions,); NaN once all is lost."""
        before = np.concatenate([[self.capital], self.equity[:-1]])
        return _ratio(self.equity, before) - 1.0

    @property
    def exposure(self) -> FloatArray:
        """Invested fraction of equity, (n_sessions,); NaN once all is lost."""
        return _ratio(self.equity - self.cash, self.equity)


def _ratio(above: FloatArray, below: FloatArray) -> FloatArray:
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0.0)


def _refuse(wrong: AnyArray, name: str, fault: str) -> None:
    if bool(wrong.any()):
        session, asset = (int(i) for i in np.argwhere(wrong)[0])
        raise ContractError(f"`{name}` of the bars {fault}: session {session}, asset {asset}. Mend the caller's arrays.")
