"""``decisions.parquet`` and ``approved.parquet``: what Fusion and the barrier decided, and what the approver let through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd

from glassbox_bt.decision.approver import STATUS, Approval, approval_reasons
from glassbox_bt.decision.barrier import BarrierResult, reasons
from glassbox_bt.decision.trace import trace_texts
from glassbox_bt.market.store import MarketStore
from glassbox_bt.modules._attribution import RISK_WORDS, RISKS
from glassbox_bt.types import Action, AnyArray, BoolArray, IntArray, StrArray

__all__ = ["approved_table", "decisions_table"]

NEUTRAL_TEXT = "No text event matched this name and day; the qualitative branch stayed neutral and had no weight."

# Columns taken over from the modules' own tables, in the order of spec §25.1.
FROM_FUSION = (
    "learned_recommendation",
    "learned_sell_prob",
    "learned_hold_prob",
    "learned_buy_prob",
    "learned_fusion_signal",
    "learned_fusion_risk_score",
    "learned_fusion_confidence",
    "learned_position_multiplier",
    "learned_quantitative_weight",
    "learned_qualitative_weight",
    "branch_weight_dominance",
)
FROM_QUANTITATIVE = (
    "quantitative_recommendation",
    "risk_adjusted_quantitative_signal",
    "quantitative_risk_score",
    "quantitative_confidence",
    "quantitative_action_strength",
)
ATTENTION = (
    "attention_pooled_risk_score",
    "top_attention_risk_driver",
    "risk_attention_volatility",
    "risk_attention_drawdown",
    "risk_attention_var_cvar",
    "risk_attention_contagion",
    "risk_attention_liquidity",
    "risk_attention_regime",
)
SUMMARIES = {"fusion": "fusion_learned_summary", "quantitative": "quantitative_xai_summary"}
FROM_SIZING = ("recommended_capital_fraction", "recommended_capital_pct")
RISKS_SHOWN = ("drawdown_risk_score", "contagion_risk_score", "combined_risk_score")
BRANCHES = ("text_available", "branch_signal_disagreement", "branch_signal_agreement", "confidence_product")
WORDS_OF = dict(zip(RISKS, RISK_WORDS, strict=True))
EVIDENCE = "decisions.parquet|modules/fusion|modules/quantitative|modules/position_sizing"  # in the run folder
NEUTRAL: Mapping[str, Any] = {  # spec §25.2
    "qualitative_recommendation": "HOLD",
    "qualitative_score": 0.0,
    "qualitative_risk_score": 0.5,
    "qualitative_confidence": 0.0,
    "event_count": 0,
    "sentiment_event_count": 0,
    "news_event_count": 0,
    "dominant_qualitative_driver": "no_text_event",
}

FUSED = (  # spec 25.1, in its order; chunk and split lead the table
    *("date", "ticker", "final_recommendation", "final_fusion_signal", "final_fusion_risk_score", "final_fusion_confidence"),
    *("final_position_fraction", "final_position_pct", *FROM_FUSION, "rule_changed_action", "user_rule_cap_fraction"),
    *("pre_rule_learned_position_fraction", "rule_barrier_reasons", *FROM_QUANTITATIVE, *FROM_SIZING, *ATTENTION),
    *(*NEUTRAL, *BRANCHES, "regime_label", "regime_confidence", "liquidity_score", "tradable", *RISKS_SHOWN),
    *("quantitative_xai_summary", "qualitative_xai_summary", "fusion_xai_summary"),
    *("final_effective_signal", "binding_rule_id"),
)


class _Fitter(Protocol):
    """The part of `ChunkFitter` that is needed here."""

    @property
    def store(self) -> MarketStore: ...

    @property
    def silent(self) -> tuple[str, ...]: ...

    def table(self, module: str, split: str) -> pd.DataFrame: ...


class _Scene(Protocol):
    """The part of `Scene` that is needed here."""

    @property
    def days(self) -> IntArray: ...

    @property
    def tickers(self) -> tuple[str, ...]: ...

    @property
    def member(self) -> BoolArray: ...


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows of a table among (n_sessions, n_assets)."""

    day: IntArray
    asset: IntArray

    def of(self, values: AnyArray) -> AnyArray:
        return values[self.day, self.asset]


def decisions_table(fitter: _Fitter, split: str, scene: _Scene, results: Sequence[BarrierResult]) -> pd.DataFrame:
    """One row per member and day: the columns of ``fused_decisions_*`` in the order of spec 25.1, then what the house adds.

    ``fusion_xai_summary`` tells the decision with its rules; ``fusion_learned_summary`` is what the learned layer said.
    Text columns are neutral (spec 25.2) while text is silent and in rows without text; columns of any other silent module
    are empty.
    """
    rows = _Rows(*np.nonzero(scene.member))
    base = pd.DataFrame(
        {
            "date": fitter.store.dates[scene.days][rows.day],
            "ticker": np.array(scene.tickers, dtype=object)[rows.asset],
            **_barrier_columns(rows, results),
        }
    )
    for module, columns in _taken_over().items():
        if module in fitter.silent:
            told_by = [SUMMARIES[module]] if module in SUMMARIES else []
            base = base.assign(**dict.fromkeys(columns, np.nan), **dict.fromkeys(told_by, None))
            continue
        table = fitter.table(module, split)
        there = [name for name in columns if name in table.columns]
        part = table[["date", "ticker", *there]]
        if module in SUMMARIES:
            part = part.assign(**{SUMMARIES[module]: table["xai_summary"]})
        base = base.merge(part, on=["date", "ticker"], how="left", validate="1:1")
    drivers = _drivers(rows, base["top_attention_risk_driver"], scene.member.shape)
    told = [trace_texts(result, drivers=words) for result, words in zip(results, drivers, strict=True)]
    base = _with_text(base, fitter, split).assign(fusion_xai_summary=rows.of(np.stack(told)))
    return base[[*FUSED, *(name for name in base.columns if name not in FUSED)]]


def _with_text(base: pd.DataFrame, fitter: _Fitter, split: str) -> pd.DataFrame:
    """The qualitative analyst's view of each row, neutral where it has none."""
    neutral = {**NEUTRAL, "qualitative_xai_summary": NEUTRAL_TEXT}
    if "qualitative" in fitter.silent:
        return base.assign(**neutral)
    table = fitter.table("qualitative", split)
    said = table.loc[table["known"], ["date", "ticker", *NEUTRAL, "xai_summary"]]
    said = said.rename(columns={"xai_summary": "qualitative_xai_summary"})
    joined = base.merge(said, on=["date", "ticker"], how="left", validate="1:1")
    for name, value in neutral.items():
        values = joined[name].astype(object).where(joined[name].notna(), value)
        joined[name] = values.astype(type(value)) if not isinstance(value, str) else values
    return joined


def approved_table(
    store: MarketStore,
    scene: _Scene,
    results: Sequence[BarrierResult],
    approvals: Sequence[Approval],
    decisions: pd.DataFrame,
    *,
    assumed: tuple[str, ...] = (),
) -> pd.DataFrame:
    """One row per day and name that is a member or held, columns of ``approved_orders_*`` (spec §22).

    ``assumed`` are the families that the plan assumes; every trace names them (R15).
    """
    held = np.stack([approval.current_fraction for approval in approvals])
    rows = _Rows(*np.nonzero(scene.member | (held > 0.0)))
    texts = np.stack([approval_reasons(approval) for approval in approvals])
    told = [trace_texts(result, approval, assumed=assumed) for result, approval in zip(results, approvals, strict=True)]
    table = pd.DataFrame(
        {
            "date": store.dates[scene.days][rows.day],
            "ticker": np.array(scene.tickers, dtype=object)[rows.asset],
            "approved": np.array(STATUS, dtype=object)[rows.of(_stack(approvals, "status"))],
            "approved_action": _actions(rows.of(_stack(approvals, "approved_action"))),
            **{
                name: rows.of(_stack(approvals, name))
                for name in (
                    "approved_fraction",
                    "requested_fraction",
                    "current_fraction",
                    "order_fraction",
                    "scaling_factor",
                )
            },
            "approval_reasons": rows.of(texts),
            "rule_barrier_trace": rows.of(np.stack(told)),
            "evidence_links": EVIDENCE,
        }
    )
    names = {
        "learned_fusion_confidence": "final_confidence",
        "quantitative_xai_summary": "quantitative_summary",
        "qualitative_xai_summary": "qualitative_summary",
        "top_attention_risk_driver": "top_risk_drivers",
    }
    evidence = decisions[["date", "ticker", *names]].rename(columns=names)
    return table.merge(evidence, on=["date", "ticker"], how="left", validate="1:1")


def _barrier_columns(rows: _Rows, results: Sequence[BarrierResult]) -> dict[str, Any]:
    final = rows.of(_stack(results, "final_position_fraction"))
    return {
        "final_recommendation": _actions(rows.of(_stack(results, "final_recommendation"))),
        "final_fusion_signal": rows.of(np.stack([r.inputs.learned_fusion_signal for r in results])),
        "final_fusion_risk_score": rows.of(np.stack([r.inputs.learned_fusion_risk_score for r in results])),
        "final_fusion_confidence": rows.of(np.stack([r.inputs.learned_fusion_confidence for r in results])),
        "final_position_fraction": final,
        "final_position_pct": 100.0 * final,
        "final_effective_signal": rows.of(_stack(results, "final_effective_signal")),
        "target_weight": rows.of(_stack(results, "target_weight")),
        "held_weight": rows.of(np.stack([r.inputs.held_weight for r in results])),
        "rule_changed_action": rows.of(_stack(results, "rule_changed_action")).astype(np.int8),
        "exit_blocked": rows.of(_stack(results, "exit_blocked")).astype(np.int8),
        "user_rule_cap_fraction": rows.of(_stack(results, "user_rule_cap_fraction")),
        "pre_rule_learned_position_fraction": rows.of(_stack(results, "pre_rule_learned_position_fraction")),
        "rule_barrier_reasons": rows.of(np.stack([reasons(r) for r in results])),
        "binding_rule_id": rows.of(np.stack([r.binding_rule_id for r in results])),
    }


def _drivers(rows: _Rows, names: Any, shape: tuple[int, ...]) -> AnyArray:
    """Leading risk of each row in words, laid out on (n_sessions, n_assets); None where not known."""
    grid = np.full(shape, None, dtype=object)
    grid[rows.day, rows.asset] = [WORDS_OF.get(name) for name in names]
    return grid


def _taken_over() -> dict[str, tuple[str, ...]]:
    return {
        "fusion": (*FROM_FUSION, *BRANCHES),
        "quantitative": (*FROM_QUANTITATIVE, *ATTENTION),
        "position_sizing": (*FROM_SIZING, *RISKS_SHOWN, "regime_label"),
        "regime": ("regime_confidence",),
        "liquidity": ("liquidity_score", "tradable"),
    }


def _stack(items: Sequence[Any], name: str) -> AnyArray:
    return np.stack([getattr(item, name) for item in items])


def _actions(codes: AnyArray) -> StrArray:
    words: StrArray = np.array([action.name for action in Action], dtype=object)[codes.astype(np.int64)]
    return words
