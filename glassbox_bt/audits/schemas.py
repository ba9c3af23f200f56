"""Columns of every table that a run writes: those of spec §25.1, then what the house adds; an allow-list (D-FUS-09).

A name with ``?`` may be absent: the module abstains from it in some settings, or its source is silent. Types are ``f``
number, ``s`` text, ``b`` flag (0, 1 or boolean), ``i`` whole number, ``v`` one vector per row. What only one variant of a
module has comes whole or not at all: `TOGETHER`. A module that answers documents repeats what the market says of each row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from glassbox_bt.modules._attribution import RISKS

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "A5",
    "APPROVED",
    "DECISIONS",
    "EVENT_COLUMNS",
    "LABELLED",
    "MODULES",
    "NOT_LABELS",
    "TOGETHER",
    "TableSchema",
    "faults",
]

LABELLED = r"^(target|true|future|forward|label|excess)_"  # `excess_`: D-LAB-04
NOT_LABELS = ("target_weight",)  # the weight that an order aims at; no outcome
A5 = (
    "top_attention_risk_driver",
    *(f"risk_attention_{risk}" for risk in RISKS),
    "attention_pooled_risk_score",
)
SCORES = " ".join(f"{risk}_risk_score:f" for risk in RISKS)
ATTENTION = " ".join(f"risk_attention_{risk}:f" for risk in RISKS)


@dataclass(frozen=True, slots=True)
class TableSchema:
    """The columns of one table in their order: name, type, and whether it may be absent."""

    columns: tuple[tuple[str, str, bool], ...]
    ordered: bool = False  # whether columns must come in this order

    @classmethod
    def of(cls, *words: str, ordered: bool = False) -> TableSchema:
        """From words such as ``vol_10d:f`` and ``dv_score?:f``."""
        parts = [word.partition(":") for text in words for word in text.split()]
        return cls(tuple((name.rstrip("?"), kind, name.endswith("?")) for name, _, kind in parts), ordered)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _, _ in self.columns)


def _module(text: str) -> TableSchema:
    """The table of a module: its outputs, then whether it knows, why not, and the summary."""
    return TableSchema.of("ticker:s date:d", text, "known:b reason:s xai_summary:s")


def _of_text(text: str) -> TableSchema:
    """The table of a module that answers documents: where each row comes from, then as for any module."""
    row = "doc_id:s chunk_id:s chunk_index:i n_chunks:i word_count:i source:s form_type:s published_at:d has_time:b"
    return _module(f"{row} {text}")


def _chances(ending: str) -> str:
    """The four chances of a regime."""
    return " ".join(f"prob_{name}{ending}:f" for name in ("calm", "volatile", "crisis", "rotation"))


def _quantiles(ending: str) -> str:
    """Expected drawdown, its median and upper decile, and the risk, over both horizons."""
    kinds = ("expected_drawdown", "drawdown_q50", "drawdown_q90", "drawdown_risk")
    return " ".join(f"{kind}_{days}d{ending}:f" for days in (10, 30) for kind in kinds)


_GARCH = "vol_10d:f vol_30d:f garch_vol:f recent_vol:f ewma_vol:f"
_LEARNED_VOLATILITY = (  # what a GARCH forecast under the same name does not have
    *("regime_id", "regime_label", "regime_probs_low", "regime_probs_medium", "regime_probs_high", "confidence"),
    *("garch_vol_30d", "har_vol_10d", "har_vol_30d", "vol_10d_anchor", "vol_30d_anchor"),
    *(f"{what}_{group}" for what in ("log_effect", "share") for group in ("garch", "recent", "embedding")),
)
_SENTIMENT = (*("score", "score_raw", "anchor_raw", "class_index", "class", "confidence", "uncertainty", "magnitude"),)
_RISKS = ("predicted_risk_relevance", "predicted_volatility_spike", "predicted_drawdown_risk")  # of a document
_ENGINE = "engine?:s engine_digest?:s knowledge_cutoff?:s knowledge?:s"  # that read the text; none where a fit abstains
_DAILY = "event_count:i sentiment_event_count:i news_event_count:i chunk_count:i"
_INFLUENCERS = tuple(f"top_influencer_{rank}" for rank in range(1, 11))
_INFLUENCES = tuple(f"influence_{rank}" for rank in range(1, 11))
TOGETHER: Mapping[str, tuple[tuple[str, ...], ...]] = MappingProxyType(
    {
        "volatility": (_LEARNED_VOLATILITY, ("persistence", "refit_age")),
        "contagion": ((*_INFLUENCERS, *_INFLUENCES, "neighbour_stress"),),  # the anchor alone looks at no neighbour
    }
)
MODULES: Mapping[str, TableSchema] = MappingProxyType(
    {
        # A fit that abstains has no mood.
        "text_encoder": _of_text(f"polarity?:f has_polarity?:f {_ENGINE}"),
        "sentiment": _of_text(
            " ".join(f"predicted_sentiment_{name}:f" for name in _SENTIMENT)
            + " sentiment_prob_negative:f sentiment_prob_neutral:f sentiment_prob_positive:f "
            + " ".join(f"sentiment_effect_{name}:f" for name in ("wording", "polarity", "facts", "network"))
            + f" {_ENGINE}"
        ),
        "news": _of_text(
            " ".join(f"{name}:f" for name in ("predicted_news_event_impact", "predicted_news_importance", *_RISKS))
            + " predicted_news_uncertainty:f news_unimportance:f predicted_news_event_impact_raw:f "
            + " ".join(f"{name}_raw:f" for name in _RISKS)
            + " predicted_news_impact_anchor_raw:f "
            + " ".join(f"news_effect_{name}:f" for name in ("wording", "polarity", "facts", "network"))
            + " news_chunk_count:i news_word_count:i network_speaks:f attention_mean:f attention_max_head:f "
            f"attention_head_1:f attention_head_2:f attention_head_3:f attention_head_4:f {_ENGINE}"
        ),
        "qualitative": _module(
            f"{_DAILY} qualitative_score:f qualitative_score_raw:f qualitative_score_standing:f "
            "qualitative_score_anchor_raw:f qualitative_risk_score:f qualitative_risk_score_raw:f "
            "qualitative_risk_score_anchor_raw:f qualitative_confidence:f qualitative_recommendation:s risk_veto:f "
            "max_event_risk_score:f mean_event_risk_score:f mean_sentiment_score:f mean_news_impact_score:f "
            "mean_news_importance:f dominant_qualitative_driver:s "
            + " ".join(f"{part}_contribution:f" for part in ("sentiment", "news", "amount", "base", "network"))
            + " qualitative_rule_score:f qualitative_rule_risk_score:f qualitative_rule_confidence:f "
            f"qualitative_rule_recommendation:s {_ENGINE}"
        ),
        "temporal_encoder": _module("embedding:v attention:v reconstruction_error:f"),
        "technical": _module(
            "trend_score:f momentum_score:f move_intensity:f timing_confidence:f "
            "trend_raw:f trend_anchor_raw:f momentum_raw:f timing_raw:f timing_rule_score:f trend_reliability:f attention?:v"
        ),
        "garch": _module(f"{_GARCH} persistence:f refit_age:f"),
        "volatility": _module(
            f"{_GARCH} persistence?:f refit_age?:f "
            + " ".join(f"{name}?:{'s' if name == 'regime_label' else 'f'}" for name in _LEARNED_VOLATILITY)
        ),
        "drawdown": _module(
            f"{_quantiles('')} recovery_days_10d:f confidence_10d:f recovery_days_30d:f confidence_30d:f "
            f"drawdown_risk_score:f drawdown_risk_rank:f {_quantiles('_anchor')} {_quantiles('_bucket')} "
            "log_effect_garch:f log_effect_recent:f log_effect_embedding:f network_speaks:f attention?:v"
        ),
        "var": _module("var_95:f var_99:f window_size:f ranked_sessions?:f not_worse_sessions?:f"),
        "cvar": _module("cvar_95:f cvar_99:f tail_ratio_95:f tail_ratio_99:f tail_count_95:f tail_count_99:f tail_worst?:f"),
        "liquidity": _module(
            "liquidity_score:f slippage_estimate_pct:f slippage_estimate_frac:f days_to_liquidate_1M:f tradable:f "
            "dv_score?:f vr_score?:f to_score?:f dollar_volume_needed?:f"
        ),
        "contagion": _module(
            "contagion_risk_score:f contagion_risk_raw:f "
            + " ".join(f"{name}_{days}d:f" for name in ("contagion", "own_history", "base_rate") for days in (5, 20, 60))
            + " "
            + " ".join(f"{name}_{days}d_raw:f" for name in ("contagion", "own_history") for days in (5, 20, 60))
            + " "
            + " ".join([*(f"{name}?:s" for name in _INFLUENCERS), *(f"{name}?:f" for name in _INFLUENCES)])
            + " neighbour_stress?:f"
        ),
        "regime": _module(
            f"regime_label_id:f regime_label:s regime_confidence:f transition_probability:f {_chances('')} "
            "graph_density:f avg_degree_norm:f std_degree_norm:f mean_edge_weight:f max_edge_weight:f graph_entropy:f "
            "learned_graph_stress:f macro_stress_score:f rule_graph_stress_score:f nowcast_regime:s missing_clauses:f "
            f"{_chances('_raw')} transition_probability_raw:f "
            + " ".join(_chances(f"_{one}") for one in ("base_rate", "persistence", "vix_rule", "markov_switching", "anchor"))
            + f" {_chances('_anchor_raw')} transition_probability_anchor:f transition_probability_anchor_raw:f "
            "transition_probability_base_rate:f wild_state_probability:f market_vol_21d:f market_return_21d:f "
            "market_drawdown_63d:f graph_density_30d:f graph_mean_abs_correlation_30d:f"
        ),
        "position_sizing": _module(
            f"exposure_mode:s horizon_mode:s {SCORES} "
            + " ".join(f"{risk}_risk_available:f" for risk in RISKS)
            + " technical_available:f technical_confidence:f technical_multiplier:f combined_risk_score:f size_bucket:s "
            "risk_bucket_fraction:f max_single_stock_exposure:f pre_cap_position_fraction_of_max:f "
            "pre_cap_capital_fraction:f position_fraction_of_max:f recommended_capital_fraction:f "
            "recommended_capital_pct:f risk_budget_used:f "
            + " ".join(f"{risk}_hard_cap:f" for risk in RISKS)
            + " binding_hard_cap:f binding_cap_source:s hard_cap_applied:f regime_label:s size_reduction_reasons:s"
        ),
        "quantitative": _module(
            "risk_adjusted_quantitative_signal:f risk_adjusted_quantitative_signal_raw:f "
            "risk_adjusted_quantitative_signal_standing:f risk_adjusted_quantitative_signal_anchor_raw:f "
            "technical_direction_score:f quantitative_risk_score:f quantitative_risk_prob:f quantitative_risk_prob_anchor:f "
            "quantitative_risk_state:s quantitative_confidence:f quantitative_action_strength:f "
            f"quantitative_recommendation:s attention_pooled_risk_score:f {ATTENTION} "
            + " ".join(f"risk_delta_{risk}:f" for risk in RISKS)
            + " top_attention_risk_driver:s top_delta_risk_driver:s quantitative_rule_signal:f "
            "quantitative_rule_risk_score:f quantitative_rule_confidence:f quantitative_rule_recommendation:s"
        ),
        "fusion": _module(
            "learned_recommendation:s learned_sell_prob:f learned_hold_prob:f learned_buy_prob:f learned_fusion_signal:f "
            "learned_fusion_signal_raw:f learned_fusion_signal_standing:f learned_fusion_signal_anchor_raw:f "
            "learned_fusion_risk_score:f learned_fusion_risk_prob:f learned_fusion_risk_prob_anchor:f "
            "learned_fusion_confidence:f learned_position_multiplier:f learned_quantitative_weight:f "
            "learned_qualitative_weight:f branch_weight_dominance:f quantitative_contribution:f "
            "qualitative_contribution:f other_contribution:f text_available:f branch_signal_disagreement:f "
            "branch_signal_agreement:f confidence_product:f fusion_rule_signal:f fusion_rule_risk_score:f "
            "fusion_rule_confidence:f fusion_rule_recommendation:s fusion_rule_multiplier:f"
        ),
    }
)
DECISIONS = TableSchema.of(
    "final_recommendation:s final_fusion_signal:f final_fusion_risk_score:f final_fusion_confidence:f "
    "final_position_fraction:f final_position_pct:f learned_recommendation:s learned_sell_prob:f learned_hold_prob:f "
    "learned_buy_prob:f learned_fusion_signal:f learned_fusion_risk_score:f learned_fusion_confidence:f "
    "learned_position_multiplier:f learned_quantitative_weight:f learned_qualitative_weight:f branch_weight_dominance:f "
    "rule_changed_action:b user_rule_cap_fraction:f pre_rule_learned_position_fraction:f rule_barrier_reasons:s "
    "quantitative_recommendation:s risk_adjusted_quantitative_signal:f quantitative_risk_score:f "
    "quantitative_confidence:f quantitative_action_strength:f recommended_capital_fraction:f recommended_capital_pct:f "
    f"attention_pooled_risk_score:f top_attention_risk_driver:s {ATTENTION} qualitative_recommendation:s "
    "qualitative_score:f qualitative_risk_score:f qualitative_confidence:f event_count:i sentiment_event_count:i "
    "news_event_count:i dominant_qualitative_driver:s text_available:f branch_signal_disagreement:f "
    "branch_signal_agreement:f confidence_product:f regime_label:s regime_confidence:f liquidity_score:f tradable:f "
    "drawdown_risk_score:f contagion_risk_score:f combined_risk_score:f quantitative_xai_summary:s "
    "qualitative_xai_summary:s fusion_xai_summary:s",
    "final_effective_signal:f binding_rule_id:s rule_ledger_ref?:s target_weight?:f held_weight?:f exit_blocked?:b "
    "fusion_learned_summary?:s",
    ordered=True,
)
EVENT_COLUMNS = TableSchema.of(  # beside the qualitative analyst's own table: its documents, each judged by itself
    "ticker:s date:d doc_id:s source:s sentiment_score:f sentiment_confidence:f sentiment_uncertainty:f "
    "sentiment_magnitude:f sentiment_event_present:b news_event_impact:f news_importance:f risk_relevance:f "
    "volatility_spike:f drawdown_risk:f news_uncertainty:f news_event_present:b has_both_sources:b "
    "sentiment_direction_score:f news_direction_score:f qualitative_score:f qualitative_risk_score:f "
    f"qualitative_confidence:f qualitative_recommendation:s dominant_qualitative_driver:s xai_summary:s {_ENGINE}"
)
APPROVED = TableSchema.of(
    "approved:s approved_action:s approved_fraction:f requested_fraction:f current_fraction:f order_fraction:f "
    "scaling_factor?:f approval_reasons:s rule_barrier_trace:s evidence_links:s final_confidence:f quantitative_summary:s "
    "qualitative_summary:s top_risk_drivers:s"
)


def faults(table: pd.DataFrame, schema: TableSchema) -> list[tuple[str, str]]:
    """What is wrong with the columns of a table, keys and marks aside: (column, what), in order of the columns."""
    from pandera.errors import SchemaErrors

    try:
        _checker(schema).validate(table, lazy=True)
    except SchemaErrors as error:
        return sorted({_told(row) for row in error.failure_cases.to_dict("records")})
    return []


def _told(failure: Mapping[str, Any]) -> tuple[str, str]:
    check, case = str(failure["check"]), str(failure["failure_case"])
    if check == "column_in_schema":
        return case, "is not a column of this table"
    if check == "column_in_dataframe":
        return case, "is missing"
    return str(failure["column"]), f"does not {check}"


@cache
def _checker(schema: TableSchema) -> Any:
    import pandera.pandas as pa

    columns = {
        name: pa.Column(
            None, checks=pa.Check(_holds(kind), name=f"hold {_WORDS[kind]}"), required=not optional, nullable=True
        )
        for name, kind, optional in schema.columns
        if kind != "v"
    }
    columns |= {name: pa.Column(None, required=not optional) for name, kind, optional in schema.columns if kind == "v"}
    return pa.DataFrameSchema(columns, strict=True)


_WORDS = {"f": "numbers", "i": "whole numbers", "b": "flags", "s": "text", "d": "days"}


def _holds(kind: str) -> Callable[[pd.Series], bool]:
    """Whether a column is of a kind; one without any value is of every kind."""
    from pandas.api import types

    def check(values: pd.Series) -> bool:
        seen = values.dropna()
        if seen.empty:
            return True
        if kind == "s":
            return bool(types.is_string_dtype(seen.infer_objects()))
        if kind == "d":
            return bool(types.is_datetime64_any_dtype(values))
        if not types.is_numeric_dtype(values):
            return False
        if kind == "b":
            return bool(seen.isin([0, 1]).all())
        return kind == "f" or bool((seen == seen.round()).all())

    return check
