"""Is every number a number, and is there a reason wherever one is missing? Audit A1.

1. A module's table: finite in rows that it knows; nothing, and a reason, in rows that it does not.
2. Decisions: what the barrier writes is always finite. What comes from a module may be missing where that module is silent
   or does not know; a bare table must carry the code of missing data there instead.
3. Approved orders and equity are always finite, but for the confidence of a row without a learned answer.
An infinite value is never excused.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from glassbox_bt.audits.base import AuditResult, AuditSettings, Check, Progress
from glassbox_bt.audits.case import Case, Group, Part, known_in, words_in
from glassbox_bt.audits.rows import Where
from glassbox_bt.audits.text_rows import COPIED
from glassbox_bt.decision.barrier import SUPPORTING
from glassbox_bt.types import AnyArray, BoolArray

__all__ = ["OWNER", "QUESTION", "audit_finite"]

QUESTION = "Is every number finite, and every missing one excused by a reason?"
MARKS = ("chunk", "split", "strategy", "date", "ticker")
STAMPS = ("engine", "engine_digest", "knowledge_cutoff", "knowledge")
_FUSION = (
    *("learned_recommendation", "learned_sell_prob", "learned_hold_prob", "learned_buy_prob", "learned_fusion_signal"),
    *("learned_fusion_risk_score", "learned_fusion_confidence", "learned_position_multiplier"),
    *("learned_quantitative_weight", "learned_qualitative_weight", "branch_weight_dominance", "text_available"),
    *("branch_signal_disagreement", "branch_signal_agreement", "confidence_product", "final_fusion_signal"),
    *("final_fusion_risk_score", "final_fusion_confidence", "final_effective_signal", "fusion_learned_summary"),
)
_SIZING = ("recommended_capital_fraction", "recommended_capital_pct", "regime_label")
_SCORES = ("drawdown_risk_score", "contagion_risk_score", "combined_risk_score")
_QUANTITATIVE = (
    *("quantitative_recommendation", "risk_adjusted_quantitative_signal", "quantitative_risk_score"),
    *("quantitative_confidence", "quantitative_action_strength", "attention_pooled_risk_score"),
    *("top_attention_risk_driver", "risk_attention_volatility", "risk_attention_drawdown", "risk_attention_var_cvar"),
    *("risk_attention_contagion", "risk_attention_liquidity", "risk_attention_regime", "quantitative_xai_summary"),
)
SOURCES = {  # of a document's features: what each says, and only where it is present
    "sentiment": (
        *("sentiment_score", "sentiment_confidence", "sentiment_uncertainty", "sentiment_magnitude"),
        "sentiment_direction_score",
    ),
    "news": (
        *("news_event_impact", "news_importance", "risk_relevance", "volatility_spike", "drawdown_risk"),
        *("news_uncertainty", "news_direction_score"),
    ),
}
OWNER = (  # whose answer a column of the decisions is
    dict.fromkeys(_FUSION, "fusion")
    | dict.fromkeys((*_SIZING, *_SCORES), "position_sizing")
    | dict.fromkeys(_QUANTITATIVE, "quantitative")
    | dict.fromkeys(("liquidity_score", "tradable"), "liquidity")
    | {"regime_confidence": "regime", "pre_rule_learned_position_fraction": "fusion+position_sizing"}
)


def audit_finite(case: Case, settings: AuditSettings, progress: Progress) -> AuditResult:  # noqa: ARG001
    """Every number of decisions, modules' tables, approved orders and equity."""
    checks: list[Check] = []
    for group in case.groups():
        checks += _decisions(case, group)
    if case.whole:
        for name, table in (("approved", case.approved), ("equity", case.equity.assign(ticker=case.equity["strategy"]))):
            for group in case.groups(table):
                checks += _portfolio(name, case, group)
        parts = list(case.parts())
        for i, part in enumerate(parts):
            progress("finite", i / len(parts))
            checks += _module(part)
        for part in case.events():
            checks += _events(part)
    return AuditResult("finite", tuple(checks), {}, QUESTION)


def _module(part: Part) -> Iterator[Check]:
    table = part.read()
    where = Where(part.module, part.chunk, part.split, table)
    if not {"known", "reason"} <= set(table.columns):
        yield where.fault("reason", "known", "there is no `known` and no `reason`, so nothing can be excused")
        return
    known = known_in(table)
    unreasoned = ~known & words_in(table["reason"]).isin(["known", ""]).to_numpy()
    yield where.check("reason", "reason", unreasoned | (known & (table["reason"] != "known").to_numpy()))
    vectors = part.vectors()
    for name in part.columns:
        if name in (*part.key, "known", "reason", "xai_summary"):
            continue
        if part.of_text and name in COPIED:  # of the document, known or not
            yield where.check("finite", name, table[name].isna().to_numpy())
            continue
        if name in vectors:
            yield from _against_known(where, name, part.vector(name), known)
        elif pd.api.types.is_numeric_dtype(table[name]):
            yield from _against_known(where, name, table[name].to_numpy(dtype=np.float64), known)
        else:
            yield where.check("finite", name, known & table[name].isna().to_numpy())
            if name in STAMPS:  # which engine ran, also where it made nothing known
                continue
            yield where.check("silent where not known", name, ~known & (words_in(table[name]) != "").to_numpy())


def _events(part: Part) -> Iterator[Check]:
    """Every number of a document is finite, but for what a source would have said that said nothing."""
    table = part.read()
    where = Where(part.module, part.chunk, part.split, table)
    excused = {source: table.get(f"{source}_event_present", pd.Series(np.nan, table.index)).eq(0.0) for source in SOURCES}
    for name, values in table.items():
        owner = next((source for source, names in SOURCES.items() if name in names), "")
        excuse = excused[owner].to_numpy(dtype=bool) if owner else np.zeros(len(table), dtype=bool)
        if name not in part.key:
            yield from _cells(where, str(name), values, excuse)


def _against_known(where: Where, name: str, values: AnyArray, known: BoolArray) -> Iterator[Check]:
    finite = np.isfinite(values) if values.ndim == 1 else np.isfinite(values).all(axis=1)
    nothing = np.isnan(values) if values.ndim == 1 else np.isnan(values).all(axis=1)
    yield where.check("finite", name, known & ~finite)
    yield where.check("silent where not known", name, ~known & ~nothing)


def _decisions(case: Case, group: Group) -> Iterator[Check]:
    where = Where("decisions", group.chunk, group.split, group.rows)
    excuses: dict[str, BoolArray] = {}
    for name in group.rows.columns:
        values = group.rows[name]
        if name in MARKS:
            continue
        owner = OWNER.get(str(name))
        if owner is not None and owner not in excuses:
            excuses[owner] = _excused(case, group, owner)
        excused = np.zeros(len(values), dtype=bool) if owner is None else excuses[owner]
        yield from _cells(where, str(name), values, excused)


def _cells(where: Where, name: str, values: pd.Series, excused: BoolArray) -> Iterator[Check]:
    missing = values.isna().to_numpy()
    if pd.api.types.is_numeric_dtype(values):
        numbers = values.to_numpy(dtype=np.float64)
        yield where.check("finite", name, np.isinf(numbers) | (missing & ~excused), lambda i: f"{numbers[i]}")
    else:
        yield where.check("finite", name, missing & ~excused)


def _excused(case: Case, group: Group, owner: str) -> BoolArray:
    """Rows in which one of the modules that a column comes from is silent or does not know."""
    if not case.whole:
        if "rule_barrier_reasons" not in group.rows.columns:
            return np.zeros(len(group.rows), dtype=bool)
        code = "data_missing_cap" if owner in SUPPORTING else "data_missing_block"
        said = words_in(group.rows["rule_barrier_reasons"]).str.split("|")
        return said.map(lambda codes: code in codes).to_numpy(dtype=bool)
    excused = np.zeros(len(group.rows), dtype=bool)
    for module in owner.split("+"):
        part = case.part(module, group.chunk, group.split)
        if part is None:
            excused |= module in case.plan.silent
            continue
        told = case.aligned(part, case.answered(group), ["known", "reason"])
        excused |= told["known"].eq(False).to_numpy(dtype=bool) & told["reason"].notna().to_numpy()
        excused |= bool(case.plan.lag) & told["known"].isna().to_numpy()  # the first days have nothing to rest on
    return excused


def _portfolio(name: str, case: Case, group: Group) -> Iterator[Check]:
    where = Where(name, group.chunk, group.split, group.rows)
    for column in group.rows.columns:
        values = group.rows[column]
        if column in MARKS or not pd.api.types.is_numeric_dtype(values):
            continue
        excused = np.zeros(len(values), dtype=bool)
        if column == "final_confidence":  # a name that left the universe, or one without a learned answer
            fusion = case.part("fusion", group.chunk, group.split)
            told = None if fusion is None else case.aligned(fusion, case.answered(group), ["known"])
            excused = np.ones(len(values), dtype=bool) if told is None else ~known_in(told)
        yield from _cells(where, str(column), values, excused)
