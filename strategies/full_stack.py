"""The whole stack of modules, lowest layer first, with the specification's sizes.

A plan names this function as ``stack = "strategies.full_stack:stack"`` and changes single settings under ``[modules.NAME]``.
A plan whose market has no text names `TEXT` as ``silent`` (R15).
"""

from __future__ import annotations

from glassbox_bt.modules.base import Module

__all__ = ["TEXT", "stack"]

TEXT = (
    "text_encoder",
    "sentiment",
    "news",
    "qualitative",
)


def stack() -> dict[str, Module]:
    """Modules by name; importing them loads torch, so it happens here."""
    from glassbox_bt.modules.analysts.news import NewsAnalyst
    from glassbox_bt.modules.analysts.qualitative import QualitativeAnalyst
    from glassbox_bt.modules.analysts.quantitative import QuantitativeAnalyst
    from glassbox_bt.modules.analysts.sentiment import SentimentAnalyst
    from glassbox_bt.modules.analysts.technical import TechnicalAnalyst
    from glassbox_bt.modules.encoders.temporal import TemporalEncoder
    from glassbox_bt.modules.encoders.text import TextEncoder
    from glassbox_bt.modules.fusion import LearnedFusion
    from glassbox_bt.modules.risk.contagion import StemGnnContagion
    from glassbox_bt.modules.risk.cvar import HistoricalCvar
    from glassbox_bt.modules.risk.drawdown import Drawdown
    from glassbox_bt.modules.risk.liquidity import Liquidity
    from glassbox_bt.modules.risk.position_sizing import PositionSizing
    from glassbox_bt.modules.risk.regime import MtgnnRegime
    from glassbox_bt.modules.risk.var import HistoricalVar
    from glassbox_bt.modules.risk.volatility import Volatility
    from glassbox_bt.modules.risk.volatility_garch import Garch

    modules: tuple[Module, ...] = (
        TemporalEncoder(),
        TextEncoder(),
        TechnicalAnalyst(),
        SentimentAnalyst(),
        NewsAnalyst(),
        QualitativeAnalyst(),
        Garch(),
        Volatility(),
        Drawdown(),
        HistoricalVar(),
        HistoricalCvar(),
        StemGnnContagion(),
        Liquidity(),
        MtgnnRegime(),
        PositionSizing(),
        QuantitativeAnalyst(),
        LearnedFusion(),
    )
    return {module.name: module for module in modules}
