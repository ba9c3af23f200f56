"""What a trade costs and how large it may be; every fraction is of traded value unless said otherwise."""

from __future__ import annotations

import math
from dataclasses import dataclass

from glassbox_bt.errors import PlanError

__all__ = ["Costs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Terms of execution (ruling R20); costs are paid from cash, on top of the traded value.

    Parameters
    ----------
    commission_bps : float, default=1.0
        Commission, basis points of traded value.
    half_spread_bps : float, default=5.0
        Half the quoted spread, basis points of traded value; `Bars.half_spread_bps` overrides it per name and day.
    impact : float, default=0.1
        k in the square-root impact k · σ · √(Q / ADV), a fraction of traded value; σ is daily.
    participation : float, default=0.10
        Largest order as a fraction of the 21-session median volume, in (0, 1].
    min_trade : float, default=0.0025
        Smallest change of weight that is worth an order; leaving a position for good is always allowed.
    capital : float, default=1_000_000.0
        Cash at the start of each run, in the market's currency.
    cash_interest : float, default=0.0
        Yearly rate on cash held overnight, paid per session (rate / 252); 0 is off.

    Raises
    ------
    PlanError
        A setting lies outside its range.
    """

    commission_bps: float = 1.0
    half_spread_bps: float = 5.0
    impact: float = 0.1
    participation: float = 0.10
    min_trade: float = 0.0025
    capital: float = 1_000_000.0
    cash_interest: float = 0.0

    def __post_init__(self) -> None:
        for name in ("commission_bps", "half_spread_bps"):
            _require(name, getattr(self, name), 0.0 <= getattr(self, name) < 10_000.0, "in [0, 10000)")
        _require("impact", self.impact, 0.0 <= self.impact < math.inf, "finite and not negative")
        _require("participation", self.participation, 0.0 < self.participation <= 1.0, "in (0, 1]")
        _require("min_trade", self.min_trade, 0.0 <= self.min_trade < 1.0, "in [0, 1)")
        _require("capital", self.capital, 0.0 < self.capital < math.inf, "positive and finite")
        _require("cash_interest", self.cash_interest, 0.0 <= self.cash_interest < 1.0, "in [0, 1)")


def _require(name: str, value: float, holds: bool, rule: str) -> None:
    if not holds:
        raise PlanError(f"`{name}` of the costs must be {rule}, got {value}. Change it in the plan's [costs].")
