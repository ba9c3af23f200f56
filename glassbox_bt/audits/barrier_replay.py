"""The barrier, evaluated again on what a run recorded, for all rows of one chunk and split at once.

`replayed` gathers the inputs from the modules' tables, the market's own tradability from the store and the weight in hand
from the decisions. `trace_of` lays out what each rule did to cap, size and action, as `decision.trace.ledger` does for one
row. `emitted` reads the codes that a table carries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from glassbox_bt.audits.case import Case, Group, known_in, words_in
from glassbox_bt.decision.barrier import VALUES_OF, BarrierResult, Rules, evaluate, inputs_from
from glassbox_bt.decision.rules import N_RULES, RULE_INDEX, RULES, SUMMARY, Effect, codes
from glassbox_bt.errors import ContractError
from glassbox_bt.types import Action, AnyArray, BoolArray, FloatArray, Reason, Signal
from glassbox_bt.walkforward.bars import bars_of

__all__ = ["ACTIONS", "Emitted", "Trace", "actions_of", "emitted", "replayed", "said_action", "trace_of"]

ACTIONS: Mapping[str, float] = {one.name: float(one) for one in Action}
REGIMES = {name: float(code) for code, name in enumerate(("calm", "volatile", "crisis", "rotation"))}
READ_BY_BARRIER: Mapping[str, tuple[str, ...]] = {
    "fusion": VALUES_OF["fusion"],
    "position_sizing": (*VALUES_OF["position_sizing"], "contagion_risk_score"),
    "quantitative": VALUES_OF["quantitative"],
    "liquidity": VALUES_OF["liquidity"],
    "drawdown": VALUES_OF["drawdown"],
    "regime": ("prob_crisis", "regime_label_id"),
    **dict.fromkeys(("var", "cvar", "volatility", "contagion"), ()),
}


@dataclass(frozen=True, slots=True)
class Emitted:
    """The codes that a table carries, by row.

    ``fired`` is (n_rules, n_rows) in table order, ``summary`` (n_summary, n_rows) in the order of `rules.SUMMARY`,
    ``strange`` the first code of each row that the barrier cannot emit, empty where there is none.
    """

    fired: BoolArray
    summary: BoolArray
    strange: AnyArray

    def said(self, code: str) -> BoolArray:
        """Where a summary code stands."""
        row: BoolArray = self.summary[list(SUMMARY).index(code)]
        return row

    @property
    def any_rule(self) -> BoolArray:
        """Where a rule fired; what holding and buying mean for a name in hand are no rules."""
        notes = {RULE_INDEX["hold_keeps_weight"], RULE_INDEX["buy_keeps_weight"]}
        return np.asarray(self.fired[[i for i in range(N_RULES) if i not in notes]].any(axis=0))


@dataclass(frozen=True, slots=True)
class Trace:
    """What each rule did, (n_rules, n_rows) each, in table order; each entry starts where the one before ended."""

    cap_before: FloatArray
    cap_after: FloatArray
    size_before: FloatArray
    size_after: FloatArray
    action_before: AnyArray
    action_after: AnyArray

    @property
    def lowered(self) -> BoolArray:
        """Where a rule lowered the cap."""
        return np.asarray(self.cap_after < self.cap_before)

    @property
    def moved(self) -> BoolArray:
        """Where a rule changed size or action."""
        return np.asarray((self.size_after != self.size_before) | (self.action_after != self.action_before))


def replayed(case: Case, group: Group) -> BarrierResult:
    """The barrier on the recorded answers of these rows; rules and their thresholds are the plan's.

    Raises
    ------
    ContractError
        If what was recorded cannot be an input of the barrier: a value missing though its module claims to know, a weight
        in hand that is no number, or decisions that do not rest on learned fusion.
    """
    keys = case.answered(group)
    signals: dict[str, Signal] = {}
    for module, wanted in READ_BY_BARRIER.items():
        part = case.part(module, group.chunk, group.split)
        if part is None:
            continue
        table = case.aligned(part, keys, [*wanted, "known"])
        outputs = {name: _numbers(table[name]) for name in wanted if name in table.columns}
        known = known_in(table)
        reason = np.where(known, Reason.KNOWN, Reason.SILENT).astype(np.int8)
        signals[module] = Signal(module, np.datetime64("NaT"), outputs, known, reason)
    if case.plan.policy != "learned":
        raise ContractError(f"The decisions rest on `{case.plan.policy}` instead of learned fusion.")
    return evaluate(inputs_from(signals, group.numbers("held_weight"), _tradable(case, group)), case.rules)


def trace_of(result: BarrierResult) -> Trace:
    """The ledger of every row; the first entry starts at the learned position and action."""
    n = len(result.learned_action)
    cap, size = (
        np.ones(n),
        np.where(
            np.isnan(result.pre_rule_learned_position_fraction),
            result.inputs.held_weight,
            result.pre_rule_learned_position_fraction,
        ),
    )
    action, decisive = result.learned_action, _decisive(result)
    rows: dict[str, list[AnyArray]] = {name: [] for name in Trace.__dataclass_fields__}
    for i, rule in enumerate(RULES):
        cap_after = result.cap_after[i]
        size_after = np.minimum(size, cap_after)
        if rule.effect is Effect.SIZE:
            size_after = np.where(result.fired[i], result.final_position_fraction, size_after)
        action_after = np.where(decisive == i, result.final_recommendation, action)
        for name, values in zip(rows, (cap, cap_after, size, size_after, action, action_after), strict=True):
            rows[name].append(values)
        cap, size, action = cap_after, size_after, action_after
    return Trace(**{name: np.stack(values) for name, values in rows.items()})


def emitted(reasons: pd.Series, rules: Rules) -> Emitted:
    """The codes in ``rule_barrier_reasons``; a crisis code counts whatever cap it names."""
    texts = words_in(reasons)
    patterns, place = np.unique(texts.to_numpy(dtype=object).astype(str), return_inverse=True)
    names = {code: i for i, code in enumerate((*codes(rules), *SUMMARY))}
    bits = np.zeros((N_RULES + len(SUMMARY), len(patterns)), dtype=bool)
    strange = np.full(len(patterns), "", dtype=object)
    for at, text in enumerate(patterns):
        for code in str(text).split("|") if text else ():
            known = names.get(code, RULE_INDEX["crisis_cap"] if code.startswith("crisis_cap_") else -1)
            if known >= 0:
                bits[known, at] = True
            elif not strange[at]:
                strange[at] = code
    return Emitted(bits[:N_RULES, place], bits[N_RULES:, place], strange[place])


def actions_of(words: pd.Series) -> AnyArray:
    """Codes of recommendations in words, int8; HOLD where there is none, as in the barrier; -1 for an unknown word."""
    codes_ = words.map(ACTIONS)
    codes_ = codes_.where(codes_.notna(), -1.0)
    return np.where(words.isna(), float(Action.HOLD), codes_.astype(np.float64)).astype(np.int8)


def said_action(learned: AnyArray, told: Emitted, rules: Rules) -> AnyArray:
    """The action that the codes alone lead to (R19): frozen, else sold, else vetoed, else learned."""
    by_effect = {effect: _any(told.fired, [i for i, rule in enumerate(RULES) if rule.effect == effect]) for effect in Effect}
    veto = by_effect[Effect.VETO]
    if not rules.allow_buy_in_crisis:
        veto = veto | told.fired[RULE_INDEX["crisis_cap"]]
    action = np.where(veto, np.minimum(learned, Action.HOLD), learned)
    action = np.where(by_effect[Effect.SELL], Action.SELL, action)
    return np.where(by_effect[Effect.FREEZE], Action.HOLD, action).astype(np.int8)


def _any(fired: BoolArray, rows: Sequence[int]) -> BoolArray:
    return np.asarray(fired[list(rows)].any(axis=0))


def _decisive(result: BarrierResult) -> AnyArray:
    """Index of the rule that changed each row's action, -1 where none did."""
    chosen = np.full(len(result.learned_action), RULE_INDEX["crisis_cap"], dtype=np.int64)
    for effect in (Effect.VETO, Effect.SELL, Effect.FREEZE):  # the strongest last
        for i in reversed([i for i, rule in enumerate(RULES) if rule.effect is effect]):
            chosen = np.where(result.fired[i], i, chosen)
    return np.where(result.rule_changed_action, chosen, -1)


def _numbers(values: pd.Series) -> FloatArray:
    if pd.api.types.is_numeric_dtype(values):
        return values.to_numpy(dtype=np.float64)
    coded = values.map(REGIMES if values.name == "regime_label_id" else ACTIONS)
    return np.asarray(coded.to_numpy(dtype=np.float64), dtype=np.float64)


def _tradable(case: Case, group: Group) -> FloatArray:
    """1 where the market itself could be traded on that day, as the daily loop saw it."""
    days, assets = case.sessions(group.rows["date"]), case.assets(group.rows["ticker"])
    if group.chunk is None:
        raise ContractError("Decisions without a chunk cannot be replayed.")
    split = case.chunks[group.chunk].splits[group.split]
    bars = bars_of(case.store, split, np.arange(case.store.n_assets, dtype=np.int64))
    row = np.clip(np.searchsorted(split, days), 0, len(split) - 1)
    return np.asarray(bars.tradable[row, assets], dtype=np.float64)
