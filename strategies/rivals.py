"""Rivals: what a sober investor would have held on the same days, at the same costs and fills.

Each is a frozen value with a ``name``, a ``question`` and ``reads``; ``targets(span)`` are weights decided at the close of
each day of the span, (n_sessions, n_assets), NaN = no order. Row *i* uses nothing after day *i*. Rivals aim at being fully
invested; the kernel scales their buys to the cash there is, costs included. README.md shows how to write another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from glassbox_bt.errors import PlanError
from glassbox_bt.types import BoolArray, FloatArray, Read

if TYPE_CHECKING:
    from glassbox_bt.walkforward.rivals import RivalSpan

__all__ = ["BuyAndHold", "Cash", "InverseVolatility", "Momentum", "MonthlyEqualWeight"]


@dataclass(frozen=True, slots=True)
class Cash:
    """Nothing, ever."""

    name: ClassVar[str] = "cash"
    question: ClassVar[str] = "What if one had done nothing?"
    reads: ClassVar[tuple[Read, ...]] = ()

    def targets(self, span: RivalSpan) -> FloatArray:
        return np.full(span.member.shape, np.nan)


@dataclass(frozen=True, slots=True)
class BuyAndHold:
    """The members of the first day in equal weights, bought once; a name that leaves the universe is kept to its end."""

    name: ClassVar[str] = "buy_and_hold"
    question: ClassVar[str] = "What if one had bought everything on the first day and looked away?"
    reads: ClassVar[tuple[Read, ...]] = ()

    def targets(self, span: RivalSpan) -> FloatArray:
        targets = np.full(span.member.shape, np.nan)
        targets[0] = np.where(span.member[0], _equal(span.member[0]), np.nan)
        return targets


@dataclass(frozen=True, slots=True)
class MonthlyEqualWeight:
    """The members of the day in equal weights, restored on the first session of each month."""

    name: ClassVar[str] = "monthly_1n"
    question: ClassVar[str] = "Does anything beat holding everything alike?"
    reads: ClassVar[tuple[Read, ...]] = ()

    def targets(self, span: RivalSpan) -> FloatArray:
        return _monthly(span, lambda day: _equal(span.member[day]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Momentum:
    """Equal weights in the members that rose most over a year without its last month; monthly.

    A return over a gap in the prices is unknown and left out of the sum.

    Parameters
    ----------
    sessions, skip : int, default=252, 21
        The year and the month that does not count (Jegadeesh and Titman 1993, "12-1").
    min_observed : int, default=200
        Known daily returns that a name needs among the ``sessions - skip``; with fewer it is not ranked.
    best : float, default=1/3
        Fraction of the ranked names that is held, in (0, 1]; at least one name.
    """

    sessions: int = 252
    skip: int = 21
    min_observed: int = 200
    best: float = 1.0 / 3.0
    name: ClassVar[str] = "momentum_12_1"
    question: ClassVar[str] = "Do last year's winners go on winning?"

    def __post_init__(self) -> None:
        if not (0 <= self.skip < self.sessions and 0 < self.min_observed <= self.sessions - self.skip):
            raise PlanError(
                f"Momentum needs 0 <= skip < sessions and 0 < min_observed <= sessions - skip, got {self.skip}, "
                f"{self.sessions} and {self.min_observed}."
            )
        if not 0.0 < self.best <= 1.0:
            raise PlanError(f"`best` must lie in (0, 1], got {self.best}.")

    @property
    def reads(self) -> tuple[Read, ...]:
        return (Read("log_return_1d", self.sessions),)

    def targets(self, span: RivalSpan) -> FloatArray:
        return _monthly(span, lambda day: _equal(self._winners(span, day)))

    def _winners(self, span: RivalSpan, day: int) -> BoolArray:
        returns = _window(span, "log_return_1d", day, self.sessions)[: self.sessions - self.skip]
        ranked = span.member[day] & (np.isfinite(returns).sum(axis=0) >= self.min_observed)
        rise = np.where(ranked, np.nansum(returns, axis=0), -np.inf)
        n_held = max(1, int(self.best * ranked.sum())) if ranked.any() else 0
        winners = np.zeros(len(ranked), dtype=bool)
        winners[np.argsort(-rise, kind="stable")[:n_held]] = True
        return winners


@dataclass(frozen=True, slots=True, kw_only=True)
class InverseVolatility:
    """Every member in proportion to one over its volatility; monthly.

    Parameters
    ----------
    sessions : int, default=63
        Window of the standard deviation (a quarter).
    min_observed : int, default=42
        Known daily returns that a name needs in it; with fewer, or without any movement, it is not held.
    """

    sessions: int = 63
    min_observed: int = 42
    name: ClassVar[str] = "inverse_volatility"
    question: ClassVar[str] = "Is it enough to hold less of what moves more?"

    def __post_init__(self) -> None:
        if not 2 <= self.min_observed <= self.sessions:
            raise PlanError(f"`min_observed` must lie in [2, {self.sessions}], got {self.min_observed}.")

    @property
    def reads(self) -> tuple[Read, ...]:
        return (Read("log_return_1d", self.sessions),)

    def targets(self, span: RivalSpan) -> FloatArray:
        return _monthly(span, lambda day: self._calm(span, day))

    def _calm(self, span: RivalSpan, day: int) -> FloatArray:
        returns = _window(span, "log_return_1d", day, self.sessions)
        enough = np.isfinite(returns).sum(axis=0) >= self.min_observed
        volatility = np.zeros(len(enough))
        volatility[enough] = np.nanstd(returns[:, enough], axis=0, ddof=1)
        held = span.member[day] & (volatility > 0.0)
        inverse = np.divide(1.0, volatility, out=np.zeros_like(volatility), where=held)
        return inverse / inverse.sum() if held.any() else inverse


def _monthly(span: RivalSpan, weigh: Callable[[int], FloatArray]) -> FloatArray:
    """Weights of the first day and of the first session of each month; no order on other days."""
    targets = np.full(span.member.shape, np.nan)
    for day in np.flatnonzero(span.month_start | (np.arange(len(targets)) == 0)):
        targets[day] = weigh(int(day))
    return targets


def _equal(chosen: BoolArray) -> FloatArray:
    """One over the number of chosen names; all zero where none is."""
    return chosen / max(1, int(chosen.sum()))


def _window(span: RivalSpan, column: str, day: int, sessions: int) -> FloatArray:
    """The last ``sessions`` rows up to the day, (sessions, n_assets)."""
    last = span.lookback + day + 1
    rows: FloatArray = span.panel(column)[last - sessions : last]
    return rows
