"""What fusion sees: the 93 features of spec §21.1 in their order, NaN where a source does not know.

Text that is absent and text that is silent look the same: every text feature is unknown, the categories are HOLD and
"no text event" (spec 25.2). So taking the text branch away changes nothing on days without text.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.special import ndtr

from glassbox_bt.market.view import Span
from glassbox_bt.modules._anchor import Standardiser
from glassbox_bt.modules._attribution import RISKS, TEXT_DRIVERS
from glassbox_bt.modules._formulas import branch_prior
from glassbox_bt.modules._reading import today
from glassbox_bt.types import Action, BoolArray, FloatArray

__all__ = [
    "COLUMNS",
    "FEATURES",
    "IS_TEXT",
    "TEXT_DRIVERS",
    "Row",
    "anchor_inputs",
    "branches",
    "features",
    "network_inputs",
    "prior",
    "read_rows",
]

Row = Mapping[str, FloatArray]  # named row vectors, each (n_rows,)

REGIMES = ("calm", "volatile", "crisis", "rotation", "unknown")

BRANCH = (
    "quantitative.risk_adjusted_quantitative_signal",
    "quantitative.technical_direction_score",
    "quantitative.quantitative_risk_score",
    "quantitative.quantitative_confidence",
    "quantitative.quantitative_action_strength",
    "position_sizing.recommended_capital_fraction",
    "recommended_capital_pct",
    "position_sizing.position_fraction_of_max",
    "position_sizing.max_single_stock_exposure",
    "quantitative.attention_pooled_risk_score",
)
ATTENTION = tuple(f"quantitative.risk_attention_{risk}" for risk in RISKS)
TECHNICAL = (
    "technical.trend_score",
    "technical.momentum_score",
    "technical.timing_confidence",
    "position_sizing.technical_confidence",
)
SCORES = (
    *(f"position_sizing.{risk}_risk_score" for risk in RISKS),
    "position_sizing.combined_risk_score",
)
RISK_ENGINE = (
    "regime.regime_confidence",
    "liquidity.liquidity_score",
    "liquidity.tradable",
    "contagion.contagion_5d",
    "contagion.contagion_20d",
    "contagion.contagion_60d",
    "drawdown.expected_drawdown_10d",
    "drawdown.expected_drawdown_30d",
    "drawdown.drawdown_risk_10d",
    "drawdown.drawdown_risk_30d",
    "volatility.vol_10d",
    "volatility.vol_30d",
    "var.var_95",
    "var.var_99",
    "cvar.cvar_95",
    "cvar.cvar_99",
    "regime.prob_calm",
    "regime.prob_volatile",
    "regime.prob_crisis",
    "regime.prob_rotation",
)
COUNTS = tuple(f"qualitative.{kind}" for kind in ("event_count", "sentiment_event_count", "news_event_count"))
LOG_COUNTS = tuple(f"log1p {count}" for count in COUNTS)
TEXT = (
    "qualitative.qualitative_score",
    "qualitative.qualitative_risk_score",
    "qualitative.qualitative_confidence",
    "qualitative.max_event_risk_score",
    "qualitative.mean_event_risk_score",
    "qualitative.mean_sentiment_score",
    "qualitative.mean_news_impact_score",
    "qualitative.mean_news_importance",
)
INTERACTION = (
    "text_available",
    "branch_signal_disagreement",
    "branch_signal_agreement",
    "confidence_product",
    "high_risk_flag",
    "crisis_regime_flag",
    "low_liquidity_flag",
)
CATEGORIES = {
    "quantitative.quantitative_recommendation": ("SELL", "HOLD", "BUY"),
    "qualitative.qualitative_recommendation": ("SELL", "HOLD", "BUY"),
    "quantitative.top_attention_risk_driver": (*RISKS, "unknown"),
    "qualitative.dominant_qualitative_driver": TEXT_DRIVERS,
    "regime.regime_label_id": REGIMES,
}
NUMERIC = (*BRANCH, *ATTENTION, *TECHNICAL, *SCORES, *RISK_ENGINE, *COUNTS, *LOG_COUNTS, *TEXT, *INTERACTION)
FEATURES = NUMERIC + tuple(f"{name}={value}" for name, values in CATEGORIES.items() for value in values)
OF_TEXT = (*COUNTS, *LOG_COUNTS, *TEXT, *INTERACTION[:4])  # features that say nothing where there is no text
IS_TEXT: BoolArray = np.array([name in OF_TEXT or name.startswith("qualitative.") for name in FEATURES])

# Everything that fusion reads: sources of features, then what anchors and formulas need besides.
COLUMNS = (
    *(name for name in NUMERIC if "." in name and not name.startswith("log1p")),
    *CATEGORIES,
    *(f"position_sizing.{risk}_risk_available" for risk in RISKS),
    "quantitative.risk_adjusted_quantitative_signal_standing",
    "quantitative.quantitative_risk_prob",
    "quantitative.top_delta_risk_driver",
    "quantitative.quantitative_rule_signal",
    "quantitative.quantitative_rule_risk_score",
    "quantitative.quantitative_rule_confidence",
    "quantitative.known",
    "position_sizing.known",
    "technical.known",
)


def read_rows(span: Span, known: BoolArray) -> dict[str, FloatArray]:
    """Today's values of `COLUMNS` for the rows of ``known``, with text in its neutral state where there is none.

    Adds ``quantitative_branch``, the quantitative signal as fusion weighs it: its standing within its own fit, put on
    [-1, 1] by the normal distribution. (Its rank will not do: train days are ranked on each fold's own scale, later days on
    the frozen one.) Adds ``text_available``, the neutral ``text_score``, ``text_risk``, ``text_confidence`` and
    ``event_count``, and the interactions of the two branches.
    """
    rows = {column: today(span, column)[known] for column in COLUMNS}
    for risk in RISKS:
        available = rows[f"position_sizing.{risk}_risk_available"] == 1.0
        score = f"position_sizing.{risk}_risk_score"
        rows[score] = np.where(available, rows[score], np.nan)
    count, confidence = rows["qualitative.event_count"], rows["qualitative.qualitative_confidence"]
    text = (count > 0.0) & (confidence > 0.0)
    for name in (*COUNTS, *TEXT):
        rows[name] = np.where(text, rows[name], np.nan)
    rows["text_available"] = text.astype(np.float64)
    rows["event_count"] = np.where(text, count, 0.0)
    rows["text_score"] = np.where(text, rows["qualitative.qualitative_score"], 0.0)
    rows["text_risk"] = np.where(text, rows["qualitative.qualitative_risk_score"], 0.5)
    rows["text_confidence"] = np.where(text, confidence, 0.0)
    standing = rows["quantitative.risk_adjusted_quantitative_signal_standing"]
    rows["quantitative_branch"] = 2.0 * ndtr(standing) - 1.0
    rows |= _neutral_categories(rows, text)
    return rows | _interactions(rows)


def features(rows: Row) -> FloatArray:
    """The feature matrix (n_rows, 93), NaN where a value is not known."""
    derived = {
        "quantitative.risk_adjusted_quantitative_signal": rows["quantitative_branch"],
        "recommended_capital_pct": 100.0 * rows["position_sizing.recommended_capital_fraction"],
        **{log: np.log1p(rows[count]) for log, count in zip(LOG_COUNTS, COUNTS, strict=True)},
    }
    numeric = [derived[name] if name in derived else rows[name] for name in NUMERIC]
    one_hot = [(rows[name] == code).astype(np.float64) for name, values in CATEGORIES.items() for code in range(len(values))]
    return np.stack([*numeric, *one_hot], axis=1)


def network_inputs(rows: Row, scaler: Standardiser) -> FloatArray:
    """Scaled features and their flags, (n_rows, 186); on rows without text every input that speaks of text is 0.

    So no weight of a text input, whatever it is, reaches an answer where there is no text (spec 25.2).
    """
    pairs = scaler.pairs(features(rows))
    silent = rows["text_available"] != 1.0
    pairs[np.ix_(silent, np.tile(IS_TEXT, 2))] = 0.0
    return pairs


def prior(rows: Row) -> FloatArray:
    """Weights of the branches before anything is learned, (n_rows, 2)."""
    confidence = rows["quantitative.quantitative_confidence"]
    text = rows["text_confidence"], rows["event_count"], rows["text_available"]
    return branch_prior(confidence, *text)


def branches(rows: Row) -> FloatArray:
    """Signals of the two branches, (n_rows, 2); text is 0 where there is none."""
    return np.stack([rows["quantitative_branch"], rows["text_score"]], axis=1)


def anchor_inputs(rows: Row) -> FloatArray:
    """Few and telling, (n_rows, 5): the mixed branches, two log-odds of the quantitative branch, text score and risk."""
    mixed = (prior(rows) * branches(rows)).sum(axis=1)
    signal = rows["quantitative.risk_adjusted_quantitative_signal"]
    confidence = rows["quantitative.quantitative_confidence"]
    up = np.where(signal >= 0.0, confidence, 1.0 - confidence)
    text = rows["text_available"] == 1.0
    columns = (
        mixed,
        _log_odds(rows["quantitative.quantitative_risk_prob"]),
        _log_odds(up),
        np.where(text, rows["text_score"], np.nan),
        np.where(text, rows["text_risk"], np.nan),
    )
    return np.stack(columns, axis=1)


def _neutral_categories(rows: Row, text: BoolArray) -> dict[str, FloatArray]:
    """Category codes with the last word of each list, or HOLD and "no text event", where there is none."""
    action, driver = "qualitative.qualitative_recommendation", "qualitative.dominant_qualitative_driver"
    out = {
        action: np.where(text, rows[action], float(Action.HOLD)),
        driver: np.where(text, rows[driver], float(len(TEXT_DRIVERS) - 1)),
    }
    for name in ("quantitative.top_attention_risk_driver", "regime.regime_label_id"):
        codes = rows[name]
        out[name] = np.where(np.isfinite(codes), codes, float(len(CATEGORIES[name]) - 1))
    return out


def _interactions(rows: Row) -> dict[str, FloatArray]:
    apart = np.abs(rows["quantitative_branch"] - rows["text_score"])
    confident = rows["quantitative.quantitative_confidence"] * rows["text_confidence"]
    crisis = rows["regime.regime_label_id"] == float(REGIMES.index("crisis"))
    crisis |= rows["regime.prob_crisis"] >= 0.5
    liquidity = rows["liquidity.liquidity_score"]
    return {
        "branch_signal_disagreement": apart,
        "branch_signal_agreement": 1.0 - np.minimum(1.0, apart),
        "confidence_product": confident,
        "high_risk_flag": (rows["quantitative.quantitative_risk_score"] >= 0.85) * 1.0,
        "crisis_regime_flag": np.where(np.isfinite(rows["regime.prob_crisis"]), crisis, np.nan),
        "low_liquidity_flag": np.where(np.isfinite(liquidity), liquidity < 0.30, np.nan),
    }


def _log_odds(prob: FloatArray) -> FloatArray:
    kept = np.clip(prob, 1e-6, 1.0 - 1e-6)
    return np.asarray(np.log(kept / (1.0 - kept)), dtype=np.float64)
