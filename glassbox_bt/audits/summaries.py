"""The texts that a run wrote, each table with everything that its sentences speak of.

A module's summary speaks of its own row; some numbers are made of the row's values (where attention is largest, a tail mean
without its worst day, what a part adds to a forecast), and these are made here again. Decisions' stories speak of the
barrier's row, those of approved orders of both. Words that a document's own text is quoted with are looked at by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from glassbox_bt.audits.case import EVENTS, Case, Group, Part, keys_of, known_in, on_keys, words_in
from glassbox_bt.audits.phrases import PHRASES
from glassbox_bt.audits.text_summaries import about_text, without_quotes
from glassbox_bt.decision.rules import RULES, Effect, codes
from glassbox_bt.types import BoolArray

__all__ = ["COPIES", "Summaries", "summaries_of"]

LIQUIDITY_SHARES = {"dv_share": ("dv_score", 0.4), "vr_share": ("vr_score", 0.3), "to_share": ("to_score", 0.3)}  # spec 15
EFFECT = "log_effect_"
EFFECTS = {f"{EFFECT}{group}" for group in ("garch", "recent", "embedding")}
INFLUENCERS = ("top_influencer_1", "top_influencer_2", "top_influencer_3")
NEEDED = ("current_fraction", "final_recommendation", "approval_reasons", "rule_barrier_trace")
COPIES = (("quantitative_xai_summary", "quantitative"), ("fusion_learned_summary", "fusion"))  # of a module's summary


@dataclass(frozen=True, slots=True)
class Summaries:
    """One column of texts with its table; ``kind`` names its phrases, "any" where there are none.

    ``rules`` holds for each row the words of the rules that fired and of those that bound the size; None where the text
    does not speak of rules. ``wording`` are the texts with the names that their rows name written ``name``, where they
    speak of names.
    """

    module: str
    chunk: int | None
    split: str
    text: str
    kind: str
    table: pd.DataFrame
    known: BoolArray
    rules: pd.DataFrame | None = None
    wording: pd.Series | None = None

    @property
    def told(self) -> pd.Series:
        """The texts, with a word in place of what is as different from row to row as a number is."""
        return self.table[self.text] if self.wording is None else self.wording


def summaries_of(case: Case) -> Iterator[Summaries]:
    """Every text of the case: modules in the order of their reads, then decisions, then approved orders."""
    for part in case.parts():
        if "xai_summary" in part.columns:
            table = _with_derived(case, part)
            known = known_in(table) if "known" in table.columns else np.ones(len(table), dtype=bool)
            kind = part.module if part.module in PHRASES else "any"
            wording = _without_names(table) if kind == "contagion" else None
            if part.of_text:
                table, wording = about_text(case, part, table)
            yield Summaries(part.module, part.chunk, part.split, "xai_summary", kind, table, known, wording=wording)
    for part in case.events():
        table = part.read()
        known, wording = np.ones(len(table), dtype=bool), without_quotes(table["xai_summary"])
        yield Summaries(EVENTS, part.chunk, part.split, "xai_summary", EVENTS, table, known, wording=wording)
    for group in case.groups():
        yield from _of_decisions(case, group)
    for group in case.groups(case.approved) if case.whole else ():
        yield _of_approved(case, group)


def _with_derived(case: Case, part: Part) -> pd.DataFrame:
    """A module's table and what its sentences make of it."""
    table = part.read()
    derived: dict[str, Any] = {}
    if "attention" in part.vectors():
        weights = part.vector("attention")
        safe = np.where(np.isfinite(weights), weights, -1.0)
        derived["attention_top"] = weights.max(axis=1, initial=-1.0)
        derived["attention_ago"] = (weights.shape[1] - 1 - safe.argmax(axis=1)).astype(np.float64)
    if {"tail_worst", "cvar_95", "tail_count_95"} <= set(table.columns):
        n = table["tail_count_95"]
        rest = (table["cvar_95"] * n - table["tail_worst"]) / (n - 1.0).where(n > 1.0)
        derived["cvar_95_without_worst"] = rest
    if {"not_worse_sessions", "ranked_sessions"} <= set(table.columns):
        ranked = table["ranked_sessions"]
        derived["not_worse_share"] = table["not_worse_sessions"] / ranked.where(ranked > 0.0)
    if set(table.columns) >= EFFECTS:
        derived |= _effects(table)
    for name, (column, weight) in LIQUIDITY_SHARES.items():
        if column in table.columns:
            derived[name] = weight * table[column]
    quantitative = case.part("quantitative", part.chunk, part.split) if part.module == "fusion" else None
    if quantitative is not None:
        name = "top_delta_risk_driver"
        derived[name] = case.aligned(quantitative, keys_of(table), [name])[name]
    return table.assign(**derived)


def _effects(table: pd.DataFrame) -> dict[str, Any]:
    """What each part adds to a forecast, as a share of it, and the part that adds or takes most."""
    groups = sorted(name.removeprefix(EFFECT) for name in EFFECTS)
    groups.sort(key=[name.removeprefix(EFFECT) for name in table.columns].index)  # the first of equals is named
    logs = table[[EFFECT + group for group in groups]].to_numpy(dtype=np.float64)
    top = np.array(groups, dtype=object)[np.nan_to_num(np.abs(logs)).argmax(axis=1)]
    return {f"effect_{group}": np.expm1(logs[:, at]) for at, group in enumerate(groups)} | {"top_effect": top}


def _without_names(table: pd.DataFrame) -> pd.Series:
    """Texts in which the three strongest influencers of their row, and no others, are written ``name``."""
    names = [words_in(table[name]) for name in INFLUENCERS if name in table.columns]

    def reworded(text: str, *said: str) -> str:
        for one in said:
            for before in (": ", ", "):
                text = text.replace(f"{before}{one} ", f"{before}name ", 1) if one else text
        return text

    texts = words_in(table["xai_summary"])
    return pd.Series([reworded(*row) for row in zip(texts, *names, strict=True)], index=table.index, dtype=object)


def _of_decisions(case: Case, group: Group) -> Iterator[Summaries]:
    """The stories of the decisions; copies of modules' texts only where the module's own table is not there."""
    rows, nobody = group.rows, np.zeros(len(group.rows), dtype=bool)
    known = rows["learned_fusion_signal"].notna().to_numpy() if "learned_fusion_signal" in rows.columns else nobody
    spoken = rows["event_count"].gt(0).to_numpy() if "event_count" in rows.columns else nobody
    for text, kind in (("fusion_xai_summary", "decisions"), ("qualitative_xai_summary", "qualitative"), *COPIES):
        if text not in rows.columns or case.part(kind, group.chunk, group.split) is not None or rows[text].isna().all():
            continue
        rules = _rules_of(case, rows) if kind == "decisions" else None
        table = rows if rules is None else rows.assign(more_rules=_more(rules))
        own = spoken if kind == "qualitative" else known
        yield Summaries("decisions", group.chunk, group.split, text, kind, table, own, rules)


def _of_approved(case: Case, group: Group) -> Summaries:
    """The stories of approved orders, with the decisions that they are about.

    A name that left the universe is sold without a decision of its day: nothing is recorded that its story could be held to.
    """
    decided = case.decided(group.chunk, group.split)
    new = [name for name in decided.columns if name not in group.rows.columns]
    about = on_keys(decided, group.keys(), new)
    table = pd.concat([group.rows, about], axis=1)
    table = table.reindex(columns=[*table.columns, *(name for name in NEEDED if name not in table.columns)])
    table = table.assign(held_weight=table["current_fraction"])
    table = table[table["final_recommendation"].notna()].reset_index(drop=True)
    member = np.ones(len(table), dtype=bool)
    rules = _rules_of(case, table)
    approvals = words_in(table["approval_reasons"]).str.count(r"\|")  # a story names one
    table = table.assign(more_rules=_more(rules), more_codes=approvals)
    return Summaries("approved", group.chunk, group.split, "rule_barrier_trace", "decisions", table, member, rules)


def _rules_of(case: Case, rows: pd.DataFrame) -> pd.DataFrame | None:
    """Words of the rules that fired in each row, and of those that bound its size; what an action means is no rule."""
    if not {"rule_barrier_reasons", "binding_rule_id"} <= set(rows.columns):
        return None
    table = zip(codes(case.rules), RULES, strict=True)
    spoken = {code: rule.short for code, rule in table if rule.effect is not Effect.SIZE}
    by_id: dict[str, tuple[str, ...]] = {}
    for rule in RULES:
        if rule.effect is not Effect.SIZE:
            by_id[rule.id] = (*by_id.get(rule.id, ()), rule.short)
    reasons = words_in(rows["rule_barrier_reasons"])
    told = {text: tuple(spoken[code] for code in text.split("|") if code in spoken) for text in reasons.unique()}
    fired = reasons.map(told)
    binding = words_in(rows["binding_rule_id"]).map(lambda name: by_id.get(name, ()))
    return pd.DataFrame({"fired": fired, "binding": binding})


def _more(rules: pd.DataFrame | None) -> Any:
    """How many rules a story does not name: it names two."""
    return np.nan if rules is None else rules["fired"].map(len).astype(np.int64) - 2
