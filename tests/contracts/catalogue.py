"""All modules, in settings small enough for tests."""

from __future__ import annotations

from glassbox_bt.modules.analysts.quantitative import QuantitativeAnalyst
from glassbox_bt.modules.analysts.technical import TechnicalAnalyst
from glassbox_bt.modules.base import Module
from glassbox_bt.modules.encoders.temporal import TemporalEncoder
from glassbox_bt.modules.fusion import LearnedFusion
from glassbox_bt.modules.risk.cvar import HistoricalCvar
from glassbox_bt.modules.risk.liquidity import Liquidity
from glassbox_bt.modules.risk.position_sizing import PositionSizing
from glassbox_bt.modules.risk.var import HistoricalVar
from glassbox_bt.modules.risk.volatility import GarchVolatility
from glassbox_bt.modules.stand_ins import Assumed, Silent

__all__ = ["MODULES"]

MODULES: tuple[Module, ...] = (
    TemporalEncoder(width=8, layers=1, heads=2, feed_forward=16, epochs=2, learning_rate=1e-3),
    TemporalEncoder(width=8, layers=1, heads=2, feed_forward=16, epochs=1, variant="untrained"),
    TechnicalAnalyst(cell="gru", hidden=4, attention=4, epochs=2, batch_size=128),
    TechnicalAnalyst(variant="anchor"),
    TechnicalAnalyst(variant="network", hidden=4, attention=4, epochs=2, batch_size=128),
    GarchVolatility(window=260, min_observed=200, refit_months=2),
    HistoricalVar(),
    HistoricalCvar(),
    Liquidity(),
    PositionSizing(),
    QuantitativeAnalyst(hidden=8, attention=8, epochs=3, batch_size=128),
    QuantitativeAnalyst(variant="anchor"),
    QuantitativeAnalyst(variant="network", hidden=8, attention=8, epochs=3, batch_size=128),
    QuantitativeAnalyst(variant="rule"),
    LearnedFusion(hidden=8, epochs=3, batch_size=128),
    LearnedFusion(variant="anchor"),
    LearnedFusion(variant="network", hidden=8, epochs=3, batch_size=128),
    LearnedFusion(variant="rule"),
    Silent("news", ("predicted_news_importance",)),
    Assumed("drawdown", {"drawdown_risk_score": 0.3}),
)
