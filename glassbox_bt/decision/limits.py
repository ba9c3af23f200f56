"""Limits of the whole portfolio, their codes, and the state that loss limits remember from day to day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from enum import IntFlag
from types import MappingProxyType

import numpy as np

from glassbox_bt.errors import ContractError, PlanError

__all__ = ["CODES", "KILL_SWITCHES", "ApprovalCode", "Limits", "PortfolioState"]

WEEK = 5  # sessions


class ApprovalCode(IntFlag):
    """Why an approved weight differs from the requested one; bits, in the order they are applied."""

    LEFT_UNIVERSE = 1 << 0
    EXIT_BLOCKED = 1 << 1
    MARKET_HALT = 1 << 2
    EARNINGS_BLACKOUT = 1 << 3
    KILL_SWITCH_DAILY = 1 << 4
    KILL_SWITCH_WEEKLY = 1 << 5
    KILL_SWITCH_MONTHLY = 1 << 6
    KILL_SWITCH_DRAWDOWN = 1 << 7
    KILL_SWITCH_LOSING_TRADES = 1 << 8
    LIQUIDITY_PARTICIPATION = 1 << 9
    NAME_COUNT_CAP = 1 << 10
    CLUSTER_CAP = 1 << 11
    SECTOR_CAP = 1 << 12
    PORTFOLIO_GROSS_CAP = 1 << 13
    CASH_BUFFER = 1 << 14
    TURNOVER_CAP = 1 << 15

    @property
    def text(self) -> str:
        """The code as it is written in tables."""
        return str(self.name).lower()


NO_SWITCH = ApprovalCode(0)
KILL_SWITCHES = tuple(code for code in ApprovalCode if code.text.startswith("kill_switch"))
CODES: Mapping[str, str] = MappingProxyType(
    {
        "left_universe": "The name is no longer in the universe, so it is sold.",
        "exit_blocked": "The name is held but cannot be traded today, so its weight stays.",
        "market_halt": "The market fell too far today or the name is halted, so nothing is bought.",
        "earnings_blackout": "Earnings are due, so nothing is bought.",
        "kill_switch_daily": "The day's loss reached its limit, so nothing is bought until the month ends.",
        "kill_switch_weekly": "The week's loss reached its limit, so nothing is bought until the month ends.",
        "kill_switch_monthly": "The month's loss reached its limit, so nothing is bought until the month ends.",
        "kill_switch_drawdown": "The fall from the peak reached its limit, so nothing is bought until the month ends.",
        "kill_switch_losing_trades": "Too many trades in a row lost, so nothing is bought until the month ends.",
        "liquidity_participation": "The order is limited to a share of the usual volume.",
        "name_count_cap": "The portfolio holds as many names as it may.",
        "cluster_cap": "Names that move together are limited.",
        "sector_cap": "The sector is limited.",
        "portfolio_gross_cap": "The sum of all positions is limited.",
        "cash_buffer": "A part of equity stays in cash.",
        "turnover_cap": "The day's purchases are limited.",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the portfolio as a whole may hold and lose (spec §22, D-POS-06); fractions of equity.

    Parameters
    ----------
    gross : float, default=1.0
        Sum of all weights.
    cash : float, default=0.05
        Part of equity that stays in cash.
    sector : float, default=0.30
        Sum of weights in one sector; names without a known sector are not limited by it.
    cluster, cluster_correlation : float, default=0.40 and 0.7
        Sum of weights among names linked by pairwise correlations above the second number.
    names : int, default=50
        Number of positions.
    turnover : float, default=0.50
        Sum of one day's purchases; sales are exempt, because they only remove risk.
    participation : float, default=0.10
        Share of a name's 21-session median dollar volume that one day's purchase may take.
    daily_loss, weekly_loss, monthly_loss, drawdown : float
        Losses (inclusive) that stop new purchases until the next month starts.
    losing_trades : int, default=5
        So many losing round trips in a row do the same.
    market_halt : float, default=0.07
        A fall of the benchmark within one day (inclusive) that stops purchases on that day.
    """

    gross: float = 1.0
    cash: float = 0.05
    sector: float = 0.30
    cluster: float = 0.40
    cluster_correlation: float = 0.7
    names: int = 50
    turnover: float = 0.50
    participation: float = 0.10
    daily_loss: float = 0.03
    weekly_loss: float = 0.05
    monthly_loss: float = 0.10
    drawdown: float = 0.15
    losing_trades: int = 5
    market_halt: float = 0.07

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in ("names", "losing_trades"):
                if value < 1:
                    raise PlanError(f"`{field.name}` must be at least 1, got {value}.")
            elif not 0.0 <= value <= 1.0:
                raise PlanError(f"`{field.name}` must lie in [0, 1], got {value}.")

    @property
    def invested(self) -> float:
        """Largest sum of weights that leaves the cash buffer, exact in float64."""
        most = 1.0 - self.cash
        return most if 1.0 - most >= self.cash else float(np.nextafter(most, 0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class PortfolioState:
    """What loss limits remember; a new value each session, from `start` on.

    After a switch has fired, purchases stay blocked until the first session of the next month. Then all references (peak,
    week, streak) start afresh from the equity before that session; otherwise an old loss would block for ever.
    """

    equity: float
    recent: tuple[float, ...]  # closing equities, oldest first, at most a week and today
    month_equity: float  # at the close before the month
    peak: float
    losing_streak: int = 0
    blocked: ApprovalCode = NO_SWITCH
    benchmark_return: float = float("nan")  # simple return of the day; NaN = not known

    @classmethod
    def start(cls, capital: float) -> PortfolioState:
        """Before the first session, all in cash."""
        return cls(equity=capital, recent=(capital,), month_equity=capital, peak=capital)

    def after(
        self,
        equity: float,
        limits: Limits,
        *,
        month_start: bool,
        benchmark_return: float = float("nan"),
        closed_trades: Sequence[float] = (),
    ) -> PortfolioState:
        """The state at the close of the next session.

        Parameters
        ----------
        equity : float
            At this close, in money; positive.
        month_start : bool
            True on the first session of a calendar month.
        closed_trades : Sequence[float]
            Profit of the round trips that ended on this session, in order, in money.

        Raises
        ------
        ContractError
            If equity is not a positive number.
        """
        if not equity > 0.0:
            raise ContractError(
                f"Equity must be positive, got {equity}. A long-only portfolio cannot lose more than it has."
            )
        before = self._new_month() if month_start else self
        recent = (*before.recent, equity)[-WEEK - 1 :]
        peak, streak, longest = max(before.peak, equity), before.losing_streak, 0
        for profit in closed_trades:
            streak = streak + 1 if profit < 0 else 0
            longest = max(longest, streak)
        fired = {
            ApprovalCode.KILL_SWITCH_DAILY: equity / recent[-2] - 1.0 <= -limits.daily_loss,
            ApprovalCode.KILL_SWITCH_WEEKLY: equity / recent[0] - 1.0 <= -limits.weekly_loss,
            ApprovalCode.KILL_SWITCH_MONTHLY: equity / before.month_equity - 1.0 <= -limits.monthly_loss,
            ApprovalCode.KILL_SWITCH_DRAWDOWN: equity / peak - 1.0 <= -limits.drawdown,
            ApprovalCode.KILL_SWITCH_LOSING_TRADES: longest >= limits.losing_trades,
        }
        blocked = before.blocked
        for code, fires in fired.items():
            blocked = blocked | code if fires else blocked
        return PortfolioState(
            equity=equity,
            recent=recent,
            month_equity=before.month_equity,
            peak=peak,
            losing_streak=streak,
            blocked=blocked,
            benchmark_return=benchmark_return,
        )

    def _new_month(self) -> PortfolioState:
        month = replace(self, month_equity=self.equity)
        if not self.blocked:
            return month
        return replace(month, recent=(self.equity,), peak=self.equity, losing_streak=0, blocked=NO_SWITCH)
