"""What a user would hold: the full stack and its rivals."""

from __future__ import annotations

from strategies.rivals import BuyAndHold, Cash, InverseVolatility, Momentum, MonthlyEqualWeight

__all__ = ["BuyAndHold", "Cash", "InverseVolatility", "Momentum", "MonthlyEqualWeight"]
