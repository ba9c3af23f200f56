"""The tables of a run in the folders, names and column order of the upstream project (spec §25.1), as CSV.

Each table has an allow-list of columns. A column that no module of the run answered is left out; nothing is made up for it.
Where upstream has another name for a column, the layout says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path

import pandas as pd

from glassbox_bt.errors import RunFolderError
from glassbox_bt.runs.artefacts import write_whole

__all__ = ["FIN_GLASSBOX", "Layout", "write_fin_glassbox"]

KEY = ["ticker", "date"]
SPLITS = ("train", "val", "test")
RISKS = ("volatility", "drawdown", "var_cvar", "contagion", "liquidity", "regime")
SIX_SCORES = tuple(f"{risk}_risk_score" for risk in RISKS)
CAPITAL = ("recommended_capital_fraction", "recommended_capital_pct")
TAIL = ("var_95", "var_99", "cvar_95", "cvar_99", "tail_ratio_95", "tail_ratio_99")
PROBS = ("prob_calm", "prob_volatile", "prob_crisis", "prob_rotation")
DRAWDOWNS = ("expected_drawdown_10d", "expected_drawdown_30d", "drawdown_risk_10d", "drawdown_risk_30d")
CONTAGION = ("contagion_5d", "contagion_20d", "contagion_60d")
ATTENTION = ("top_attention_risk_driver", *(f"risk_attention_{risk}" for risk in RISKS))
SOURCE = ("chunk_id", "doc_id", "ticker", "accepted_at", "effective_date", "form_type", "source_name")
OF_SOURCE = {"published_at": "accepted_at", "date": "effective_date", "source": "source_name"}


@dataclass(frozen=True, slots=True)
class Layout:
    """One table: where it goes, which modules it is joined from (the first decides rows and summary), its columns.

    ``renamed`` gives the house's name of a column to upstream's. ``by_date``: one row a day, for a module whose answer is
    that of all names of the day. ``of_text``: rows of text, which have a key of their own. ``known_only``: a row where
    there is an answer, as upstream has none for a name and day without text.
    """

    folder: str
    stem: str
    modules: tuple[str, ...]
    columns: tuple[str, ...]
    renamed: Mapping[str, str] = field(default_factory=dict)
    by_date: bool = False
    of_text: bool = False
    known_only: bool = False

    @property
    def key(self) -> list[str]:
        """What tells rows apart, in the order by which they are sorted."""
        if self.of_text:
            return ["effective_date", "chunk_id", "ticker"]
        return ["date"] if self.by_date else ["date", "ticker"]


FIN_GLASSBOX: tuple[Layout, ...] = (
    Layout(
        "TechnicalAnalyst",
        "predictions",
        ("technical",),
        (*KEY, "trend_score", "momentum_score", "move_intensity", "timing_confidence", "xai_summary"),
    ),
    Layout(
        "Volatility",
        "predictions",
        ("volatility",),
        (
            *(*KEY, "vol_10d", "vol_30d", "regime_id", "regime_label", "regime_probs_low", "regime_probs_medium"),
            *("regime_probs_high", "confidence", "garch_vol", "recent_vol", "xai_summary"),
        ),
    ),
    Layout(
        "Drawdown",
        "predictions",
        ("drawdown",),
        (
            *(*KEY, "expected_drawdown_10d", "drawdown_risk_10d", "recovery_days_10d", "confidence_10d"),
            *("expected_drawdown_30d", "drawdown_risk_30d", "recovery_days_30d", "confidence_30d"),
            *("drawdown_risk_score", "xai_summary"),
        ),
    ),
    Layout(
        "VarCvar",
        "var_cvar",
        ("var", "cvar"),
        (*KEY, *TAIL, "tail_count_95", "tail_count_99", "window_size", "xai_summary"),
    ),
    Layout(
        "Liquidity",
        "liquidity",
        ("liquidity",),
        (
            *(*KEY, "liquidity_score", "slippage_estimate_pct", "slippage_estimate_frac", "days_to_liquidate_1M"),
            *("tradable", "dv_score", "vr_score", "to_score", "xai_summary"),
        ),
    ),
    Layout(
        "StemGNN",
        "contagion_scores",
        ("contagion",),
        (
            *(*KEY, *CONTAGION, *(f"top_influencer_{rank}" for rank in range(1, 11))),
            *(*(f"influence_{rank}" for rank in range(1, 11)), "neighbour_stress", "xai_summary"),
        ),
    ),
    Layout(
        "MTGNNRegime",
        "predictions",
        ("regime",),
        (
            *("date", "pred_regime_id", "pred_regime_label", "confidence", "transition_probability", *PROBS),
            *("graph_density", "avg_degree_norm", "std_degree_norm", "mean_edge_weight", "max_edge_weight"),
            *("graph_entropy", "learned_graph_stress", "macro_stress_score", "label_graph_stress_score", "xai_summary"),
        ),
        {
            "regime_label_id": "pred_regime_id",
            "regime_label": "pred_regime_label",
            "regime_confidence": "confidence",
            "rule_graph_stress_score": "label_graph_stress_score",  # a rule's number of the day, and no outcome
        },
        by_date=True,
    ),
    Layout(
        "SentimentAnalyst",
        "sentiment_predictions",
        ("sentiment",),
        (
            *(*SOURCE, "predicted_sentiment_score", "predicted_sentiment_class_index", "predicted_sentiment_class"),
            *("predicted_sentiment_confidence", "predicted_sentiment_uncertainty", "predicted_sentiment_magnitude"),
            "xai_summary",
        ),
        OF_SOURCE,
        of_text=True,
    ),
    Layout(
        "NewsAnalyst",
        "news_predictions",
        ("news",),
        (
            *(*SOURCE, "n_chunks_original", "predicted_news_event_impact", "predicted_news_importance"),
            *("predicted_risk_relevance", "predicted_volatility_spike", "predicted_drawdown_risk"),
            *("predicted_news_uncertainty", "attention_mean", "attention_max_head"),
            *(*(f"attention_head_{head}" for head in range(1, 5)), "xai_summary"),
        ),
        {**OF_SOURCE, "n_chunks": "n_chunks_original"},
        of_text=True,
    ),
    Layout(
        "QualitativeAnalyst",
        "qualitative_daily",
        ("qualitative",),
        (
            *(*KEY, "chunk", "split", "event_count", "sentiment_event_count", "news_event_count", "chunk_count"),
            *("qualitative_score", "qualitative_risk_score", "qualitative_confidence", "qualitative_recommendation"),
            *("max_event_risk_score", "mean_event_risk_score", "mean_sentiment_score", "mean_news_impact_score"),
            *("mean_news_importance", "dominant_qualitative_driver", "xai_summary"),
        ),
        known_only=True,
    ),
    Layout(
        "PositionSizing",
        "position_sizing",
        ("position_sizing", "technical", "volatility", "drawdown", "var", "cvar", "contagion", "liquidity", "regime"),
        (
            *(*KEY, "chunk", "split", "exposure_mode", "horizon_mode", *SIX_SCORES, "technical_confidence"),
            *("technical_multiplier", "combined_risk_score", "size_bucket", "risk_bucket_fraction"),
            *("max_single_stock_exposure", "pre_cap_position_fraction_of_max", "pre_cap_capital_fraction"),
            *("position_fraction_of_max", *CAPITAL, "risk_budget_used", "regime_label", "regime_confidence", *PROBS),
            *(f"{risk}_hard_cap" for risk in ("regime", "volatility", "drawdown", "var_cvar", "contagion", "liquidity")),
            *("binding_hard_cap", "binding_cap_source", "hard_cap_applied", "trend_score", "momentum_score"),
            *("timing_confidence", "vol_10d", "vol_30d", *DRAWDOWNS, *TAIL, *CONTAGION, "liquidity_score"),
            *("slippage_estimate_pct", "days_to_liquidate_1M", "tradable", "size_reduction_reasons", "xai_summary"),
        ),
    ),
    Layout(
        "QuantitativeAnalyst",
        "quantitative_analysis",
        ("quantitative", "position_sizing", "technical", "regime"),
        (
            *(*KEY, "chunk", "split", "quantitative_recommendation", "risk_adjusted_quantitative_signal"),
            *("technical_direction_score", "quantitative_risk_score", "quantitative_risk_state"),
            *("quantitative_confidence", "quantitative_action_strength", "attention_pooled_risk_score", *ATTENTION),
            *(*CAPITAL, "position_fraction_of_max", "max_single_stock_exposure", "trend_score", "momentum_score"),
            *("timing_confidence", "technical_confidence", *SIX_SCORES, "combined_risk_score", "binding_cap_source"),
            *("hard_cap_applied", "size_bucket", "regime_label", "regime_confidence", "xai_summary"),
        ),
    ),
)
DECISIONS = Layout(
    "FusionEngine",
    "fused_decisions",
    (),
    (
        *(*KEY, "final_recommendation", "final_fusion_signal", "final_fusion_risk_score", "final_fusion_confidence"),
        *("final_position_fraction", "final_position_pct", "learned_recommendation", "learned_sell_prob"),
        *("learned_hold_prob", "learned_buy_prob", "learned_fusion_signal", "learned_fusion_risk_score"),
        *("learned_fusion_confidence", "learned_position_multiplier", "learned_quantitative_weight"),
        *("learned_qualitative_weight", "branch_weight_dominance", "rule_changed_action", "user_rule_cap_fraction"),
        *("pre_rule_learned_position_fraction", "rule_barrier_reasons", "quantitative_recommendation"),
        *("risk_adjusted_quantitative_signal", "quantitative_risk_score", "quantitative_confidence"),
        *("quantitative_action_strength", *CAPITAL, "attention_pooled_risk_score", *ATTENTION),
        *("qualitative_recommendation", "qualitative_score", "qualitative_risk_score", "qualitative_confidence"),
        *("event_count", "sentiment_event_count", "news_event_count", "dominant_qualitative_driver", "text_available"),
        *("branch_signal_disagreement", "branch_signal_agreement", "confidence_product", "regime_label"),
        *("regime_confidence", "liquidity_score", "tradable", "drawdown_risk_score", "contagion_risk_score"),
        *("combined_risk_score", "quantitative_xai_summary", "qualitative_xai_summary", "fusion_xai_summary"),
        *("chunk", "split", "final_effective_signal", "binding_rule_id"),
    ),
)
APPROVED = Layout(
    "FinalTradeApprover",
    "approved_orders",
    (),
    (
        *(*KEY, "approved", "approved_action", "approved_fraction", "requested_fraction", "current_fraction"),
        *("order_fraction", "approval_reasons", "final_confidence", "quantitative_summary", "qualitative_summary"),
        *("top_risk_drivers", "rule_barrier_trace", "evidence_links"),
    ),
)


def write_fin_glassbox(run: Path) -> tuple[Path, ...]:
    """Write ``outputs/results/<folder>/<stem>_chunk<n>_<split>.csv`` below the run folder; the paths written.

    Raises
    ------
    RunFolderError
        If the run folder cannot be written to, or a table that has one answer a day holds several.
    """
    root, written = run / "outputs" / "results", list[Path]()
    for layout in FIN_GLASSBOX:
        for place in sorted((run / "modules" / layout.modules[0]).glob("chunk*_*.parquet")):
            chunk, _, split = place.stem.removeprefix("chunk").partition("_")
            if split not in SPLITS:
                continue
            table = _joined(run, layout, place.name).rename(columns=layout.renamed).assign(chunk=int(chunk), split=split)
            if layout.by_date:
                table = _by_date(table, layout, place)
            if layout.known_only:
                table = table[table["known"]]
            written.append(_write(root, layout, table, place.stem))
    for layout, name in ((DECISIONS, "decisions"), (APPROVED, "portfolio/approved")):
        for stem, table in _parts(pd.read_parquet(run / f"{name}.parquet")):
            written.append(_write(root, layout, table, stem))
    return tuple(written)


def _joined(run: Path, layout: Layout, name: str) -> pd.DataFrame:
    tables = [pd.read_parquet(path) for one in layout.modules if (path := run / "modules" / one / name).exists()]
    table = reduce(_with_new_columns, tables)
    if "slippage_estimate_frac" in table.columns:
        table = table.assign(slippage_estimate_pct=table["slippage_estimate_frac"])  # upstream's name for the same fraction
    return table


def _with_new_columns(table: pd.DataFrame, more: pd.DataFrame) -> pd.DataFrame:
    new = [column for column in more.columns if column not in table.columns]
    return table.merge(more[[*KEY, *new]], on=KEY, how="left", validate="1:1")


def _by_date(table: pd.DataFrame, layout: Layout, place: Path) -> pd.DataFrame:
    """One row a day: that of the names with an answer, or, where no name has one, why not."""
    known = table[table["known"]]
    said = known[[name for name in layout.columns if name in known.columns]].drop_duplicates()
    twice = said["date"][said["date"].duplicated()]
    if len(twice):
        raise RunFolderError(
            f"{place} should hold one answer a day, but has several on {twice.iloc[0]:%Y-%m-%d}. Run its plan again."
        )
    return pd.concat([known, table]).drop_duplicates("date")


def _parts(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for (chunk, split), rows in table.groupby(["chunk", "split"], sort=True):
        yield f"chunk{chunk}_{split}", rows


def _write(root: Path, layout: Layout, table: pd.DataFrame, stem: str) -> Path:
    shown = table[[column for column in layout.columns if column in table.columns]].sort_values(layout.key)
    path = root / layout.folder / f"{layout.stem}_{stem}.csv"
    return write_whole(path, lambda draft: shown.to_csv(draft, index=False, date_format="%Y-%m-%d", lineterminator="\n"))
