"""All modules, in settings small enough for tests."""

from __future__ import annotations

from typing import Any

from glassbox_bt.modules.analysts.news import NewsAnalyst
from glassbox_bt.modules.analysts.qualitative import QualitativeAnalyst
from glassbox_bt.modules.analysts.quantitative import QuantitativeAnalyst
from glassbox_bt.modules.analysts.sentiment import SentimentAnalyst
from glassbox_bt.modules.analysts.technical import TechnicalAnalyst
from glassbox_bt.modules.base import Module
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
from glassbox_bt.modules.risk.volatility_garch import Garch, GarchVolatility
from glassbox_bt.modules.stand_ins import Assumed, Silent

__all__ = ["MODULES"]

CONTAGION: dict[str, Any] = {
    **{"memory": 252, "min_names": 3, "fewest_neighbours": 4, "hidden": 4, "terms": 3, "multi": 1, "blocks": 1},
    **{"dropout": 0.1, "shuffles": 9, "epochs": 2, "batch_size": 32, "learning_rate": 1e-2, "rows_share": 0.5},
}
REGIME: dict[str, Any] = {
    **{"min_names": 3, "min_points": 60, "node": 8, "graph": 4, "classifier": 8, "fewest_neighbours": 2},
    **{"epochs": 2, "batch_size": 32, "learning_rate": 1e-2},
}

SENTIMENT: dict[str, Any] = {"hidden": 8, "representation": 8, "min_documents": 50, "learning_rate": 1e-2, "batch_size": 128}
NEWS: dict[str, Any] = {
    **{"width": 8, "hidden": 8, "narrow": 4, "representation": 8, "most_chunks": 3, "min_documents": 50},
    **{"batch_size": 64, "learning_rate": 1e-2},
}

MODULES: tuple[Module, ...] = (
    TemporalEncoder(width=8, layers=1, heads=2, feed_forward=16, epochs=2, learning_rate=1e-3),
    TemporalEncoder(width=8, layers=1, heads=2, feed_forward=16, epochs=1, variant="untrained"),
    TechnicalAnalyst(cell="gru", hidden=4, attention=4, epochs=2, batch_size=128),
    TechnicalAnalyst(variant="anchor"),
    TechnicalAnalyst(variant="network", hidden=4, attention=4, epochs=2, batch_size=128),
    GarchVolatility(window=260, min_observed=200, refit_months=2),
    Garch(window=260, min_observed=200, refit_months=3),
    Garch(form="egarch", window=260, min_observed=200, refit_months=6),
    Garch(form="gjr", window=260, min_observed=200, refit_months=6),
    TextEncoder(engine="hashed-words", components=6),
    TextEncoder(variant="untrained", components=4),
    SentimentAnalyst(**SENTIMENT, epochs=3),
    SentimentAnalyst(**SENTIMENT, variant="anchor"),
    SentimentAnalyst(**SENTIMENT, variant="network", epochs=3),
    NewsAnalyst(**NEWS, epochs=3),
    NewsAnalyst(**NEWS, variant="anchor"),
    NewsAnalyst(**NEWS, variant="network", epochs=3),
    QualitativeAnalyst(hidden=8, epochs=3, batch_size=128),
    QualitativeAnalyst(variant="anchor"),
    QualitativeAnalyst(variant="network", hidden=8, epochs=3, batch_size=128),
    QualitativeAnalyst(variant="rule"),
    Drawdown(cell="gru", hidden=4, attention=4, epochs=2, batch_size=128),
    Drawdown(variant="anchor"),
    Drawdown(variant="network", hidden=4, attention=4, epochs=2, batch_size=128),
    Volatility(hidden=8, epochs=2, batch_size=128),
    Volatility(variant="anchor"),
    Volatility(variant="network", hidden=8, epochs=2, batch_size=128),
    StemGnnContagion(**CONTAGION),
    StemGnnContagion(**CONTAGION, variant="anchor"),
    StemGnnContagion(**CONTAGION, variant="network", dense_up_to=0),
    MtgnnRegime(**REGIME),
    MtgnnRegime(**REGIME, variant="anchor"),
    MtgnnRegime(**REGIME, variant="network"),
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
