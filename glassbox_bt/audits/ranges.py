"""Legal ranges by the name of a column: output names say their unit, so they say their range (spec 0.1)."""

from __future__ import annotations

import re
from functools import cache

import numpy as np

__all__ = ["ABOVE", "BELOW", "RANGES", "range_of"]

BELOW, ABOVE = 1e-9, 1e-5  # how far outside still counts as inside: rounding

THIRD = 1.0 / 3.0

# The first pattern that fits decides.
RANGES: tuple[tuple[str, float, float], ...] = (
    (r"^(predicted_)?sentiment_confidence$", THIRD, 1.0),  # the largest of three chances
    (r"^(predicted_)?sentiment_uncertainty$", 0.0, 1.0 - THIRD),
    (r"^order_fraction$|_impact(_score)?$|^risk_delta_", -1.0, 1.0),
    (r"^(prob|contagion|own_history|transition_probability)_.*raw$", 0.0, 1.0),  # chances before calibration
    (r"_raw$|_standing$|_contribution$|^log_effect_", -np.inf, np.inf),  # forecasts before they are put on a scale
    (r"(^|_)prob(_|$)|(^|_)probs_|(^|_)confidence(_|$)|_risk_score$|_available$|(_|^)weight$", 0.0, 1.0),
    (r"^(trend_score|timing_rule_score|move_intensity|trend_reliability|(dv|vr|to)_score)$", 0.0, 1.0),
    (r"^(liquidity_score|tradable|branch_signal_agreement|branch_weight_dominance|exposure)$", 0.0, 1.0),
    (r"^(rule_changed_action|exit_blocked|hard_cap_applied)$", 0.0, 1.0),
    (r"^risk_attention_|_multiplier$|_fraction(_of_max)?$|_hard_cap$|^max_single_stock_exposure$|^attention$", 0.0, 1.0),
    (r"^(contagion|own_history|base_rate)_\d+d$|^influence_\d+$|^network_speaks$|^share_|_rank$", 0.0, 1.0),
    (r"^drawdown_risk_\d+d(_anchor|_bucket)?$|^scaling_factor$|^(fusion|quantitative)_rule_.*score$", 0.0, 1.0),
    (r"_signal$|^(momentum_score|technical_direction_score|qualitative_score|mean_sentiment_score)$", -1.0, 1.0),
    (r"_strength$|^risk_budget_used$|^confidence_product$", 0.0, 1.0),
    (r"^branch_signal_disagreement$", 0.0, 2.0),
    (r"_pct$", 0.0, 100.0),
    (r"^(expected_drawdown|drawdown_q[59]0)_\d+d(_anchor|_bucket)?$", 0.0, 0.8),
    (r"^c?var_\d+$", -np.inf, 0.0),
    (r"(^|_)vol(_\d+d)?(_anchor)?$", 0.0, 5.0),
    (
        r"^days_to_|^slippage_|_count(_\d+)?$|^tail_ratio_|^window_size$|_age$|_error$|_sessions$|_needed$",
        0.0,
        np.inf,
    ),
    (r"^persistence$", 0.0, 1.0),
    (r"(^|_)probability(_|$)|^graph_|_degree_norm$|_stress(_score)?$|^market_drawdown_", 0.0, 1.0),
    (r"^recovery_days_10d$", 0.0, 10.0),
    (r"^recovery_days_30d$", 0.0, 30.0),
    (r"^regime_label_id$", 0.0, 3.0),
    (r"^regime_id$", 0.0, 2.0),  # thirds of volatility
    (r"^missing_clauses$", 0.0, 8.0),
    (r"^market_return_", -np.inf, np.inf),
    (r"^(equity|costs|traded)$", 0.0, np.inf),
    (r"^(predicted_)?sentiment_score$|^(sentiment|news)_direction_score$|^qualitative_rule_score$", -1.0, 1.0),
    (r"^predicted_sentiment_class$|^polarity$", -1.0, 1.0),
    (r"^predicted_sentiment_class_index$", 0.0, 2.0),
    (r"^(predicted_)?(sentiment_magnitude|(news_)?(importance|uncertainty|unimportance)|risk_relevance)$", 0.0, 1.0),
    (r"^(predicted_)?(volatility_spike|drawdown_risk)$|^mean_news_importance$", 0.0, 1.0),
    (r"^attention_(mean|max_head|head_\d+)$|^(has_(polarity|time|both_sources)|risk_veto)$|_event_present$", 0.0, 1.0),
    (r"^chunk_index$", 0.0, np.inf),
    (r"^n_chunks$", 1.0, np.inf),
    (r"^(sentiment|news)_effect_", -np.inf, np.inf),
    (r"^cash$|^return$|^tail_worst$|^embedding$", -np.inf, np.inf),
)


@cache
def range_of(column: str) -> tuple[float, float] | None:
    """Smallest and largest legal value of a column; None where none is declared."""
    for pattern, low, high in RANGES:
        if re.search(pattern, column):
            return low, high
    return None
