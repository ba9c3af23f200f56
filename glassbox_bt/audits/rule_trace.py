"""Do the rules explain every decision, and do recorded inputs lead to it? Audit A4.

(a) *size*: a size below the recommendation carries a code whose rule lowered the cap, or that of the learned multiplier.
(b) *action*: learned and final action differ exactly where the row says so, and where its codes lead to another action.
(c) *soundness*: every code follows from the stored inputs and the thresholds.
(d) *replay*: the barrier on the stored inputs gives the recorded action exactly and the size within 1e-9.
(e) *no upgrade*: BUY only where BUY was learned; a learned SELL becomes HOLD only in a name that cannot be traded.
(f) *upper bound*: no size above the recommendation, the cap of the rules and the largest single exposure.
(g) *no rule*: "no rule" is said exactly where none fired. (What holding and buying mean for a name in hand are no rules.)

With a run folder all inputs are at hand. A bare table is asked what its own columns can answer, with the thresholds of the
specification; the rest is listed as not asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from glassbox_bt.audits.bare_rules import derivable
from glassbox_bt.audits.barrier_replay import Emitted, actions_of, emitted, replayed, said_action, trace_of
from glassbox_bt.audits.base import AuditResult, AuditSettings, Check, Progress, not_asked
from glassbox_bt.audits.case import Case, Group, words_in
from glassbox_bt.audits.rows import Where
from glassbox_bt.decision.barrier import EPSILON, BarrierResult, Rules, reasons
from glassbox_bt.decision.rules import RULE_INDEX, RULES, SUMMARY, codes
from glassbox_bt.errors import ContractError
from glassbox_bt.types import Action, AnyArray, BoolArray, FloatArray

__all__ = ["QUESTION", "audit_rule_trace"]

QUESTION = "Do rules explain every decision, and do the stored inputs lead to it?"
NEEDED = ("final_recommendation", "learned_recommendation", "rule_barrier_reasons", "rule_changed_action")
NUMBERS = ("final_position_fraction", "recommended_capital_fraction", "user_rule_cap_fraction")
COMPARED = (  # what is replayed besides action and size, and must be there bit for bit or within 1e-9
    *("user_rule_cap_fraction", "pre_rule_learned_position_fraction", "target_weight", "final_effective_signal"),
    *("rule_changed_action", "exit_blocked"),
)
NAMES = np.array([one.name for one in Action], dtype=object)


@dataclass(frozen=True, slots=True)
class _Rows:
    """One chunk and split: where it stands, the codes it carries, its two actions, and the barrier on its inputs."""

    where: Where
    told: Emitted
    learned: AnyArray
    final: AnyArray
    again: BarrierResult | None

    @property
    def table(self) -> pd.DataFrame:
        return self.where.rows

    def number(self, column: str) -> FloatArray:
        """A column, NaN where it is empty or not there."""
        if column not in self.table.columns:
            return np.full(len(self.table), np.nan)
        return self.table[column].to_numpy(dtype=np.float64)

    def codes_of(self, row: int) -> str:
        """The codes of one row, as recorded."""
        return str(self.table["rule_barrier_reasons"].iloc[row])


def audit_rule_trace(case: Case, settings: AuditSettings, progress: Progress) -> AuditResult:  # noqa: ARG001
    """Every decision of validation and test, or of a bare table."""
    checks: list[Check] = []
    groups = list(case.groups())
    if case.whole and case.plan.policy != "learned":
        why = f"the plan's decisions rest on `{case.plan.policy}` instead of learned fusion"
        return AuditResult("rule_trace", (not_asked("rules", "decisions", "all", why),), {}, QUESTION, reason=why)
    for i, group in enumerate(groups):
        progress("rules", i / len(groups))
        checks += _group_checks(case, group)
    thresholds = "of the plan" if case.whole else "of the specification, because a bare table names none"
    return AuditResult("rule_trace", tuple(checks), {"thresholds": thresholds, "rows": len(case.decisions)}, QUESTION)


def _group_checks(case: Case, group: Group) -> Iterator[Check]:
    where = Where("decisions", group.chunk, group.split, group.rows)
    lacking = [name for name in (*NEEDED, *NUMBERS) if name not in group.rows.columns]
    if lacking:
        yield where.fault("columns", lacking[0], f"`{lacking[0]}` is missing, so rules cannot be traced")
        return
    again, fault = _barrier(case, group)
    told = emitted(group.rows["rule_barrier_reasons"], case.rules)
    learned, final = (actions_of(group.rows[name]) for name in ("learned_recommendation", "final_recommendation"))
    rows = _Rows(where, told, learned, final, again)
    yield from _registered(rows)
    yield from _size(rows)
    yield from _action(rows, case.rules)
    yield from _upgrade(rows)
    yield from _bound(case, group, rows)
    yield from _no_rule(rows)
    if again is not None:
        yield from _soundness(rows, again)
        yield from _replay(rows, again)
    elif fault:
        yield where.fault("(d) replay", "inputs", fault)
    else:
        yield from _bare(rows, case.rules)


def _barrier(case: Case, group: Group) -> tuple[BarrierResult | None, str]:
    """The replay, or why the record cannot be replayed; neither for a bare table."""
    if not case.whole or group.chunk is None:
        return None, ""
    try:
        return replayed(case, group), ""
    except ContractError as broken:
        return None, f"the recorded answers cannot be put to the barrier: {broken}"


def _registered(rows: _Rows) -> Iterator[Check]:
    strange = rows.told.strange
    say = lambda i: f"`{strange[i]}` is no code of the barrier"  # noqa: E731
    yield rows.where.check("codes", "rule_barrier_reasons", strange != "", say)


def _size(rows: _Rows) -> Iterator[Check]:
    """(a) A smaller size has a code with an effect."""
    final, recommended = rows.number(NUMBERS[0]), rows.number(NUMBERS[1])
    smaller = final < recommended - EPSILON
    if rows.again is not None:
        lowering = rows.told.fired & trace_of(rows.again).lowered
    else:  # without inputs, which rule lowered the cap is not known; that one with a cap is named is
        lowering = rows.told.fired & np.array([rule.caps for rule in RULES])[:, None]
    scaled = rows.told.said("learned_scale_down") & (rows.number("learned_position_multiplier") < 1.0)
    wrong = smaller & ~(lowering.any(axis=0) | scaled)
    told = lambda i: f"{final[i]:g} of {recommended[i]:g} with codes {rows.codes_of(i)}"  # noqa: E731
    yield rows.where.check("(a) size", NUMBERS[0], wrong, told)


def _action(rows: _Rows, rules: Rules) -> Iterator[Check]:
    """(b) Learned and final action, the flag and the codes agree."""
    changed = rows.learned != rows.final
    flag = rows.number("rule_changed_action") == 1.0
    told = lambda i: f"{rows.table['learned_recommendation'].iloc[i]} became {_word(rows.final[i])}, {rows.codes_of(i)}"  # noqa: E731
    yield rows.where.check("(b) action", "rule_changed_action", changed != flag, told)
    said = rows.told.said("action_changed_by_rule_barrier")
    yield rows.where.check("(b) action", "rule_barrier_reasons", changed != said, told)
    led = said_action(rows.learned, rows.told, rules)
    yield rows.where.check("(b) action", "final_recommendation", led != rows.final, told)
    if rows.again is not None:
        trace = trace_of(rows.again)
        moved = (trace.action_after != trace.action_before).any(axis=0)
        yield rows.where.check("(b) action", "ledger", moved != changed, told)


def _upgrade(rows: _Rows) -> Iterator[Check]:
    """(e) Nothing leads to BUY, and a learned SELL is kept unless the name is frozen."""
    told = lambda i: f"{_word(rows.learned[i])} became {_word(rows.final[i])}, {rows.codes_of(i)}"  # noqa: E731
    upgraded = (rows.final == Action.BUY) & (rows.learned != Action.BUY)
    yield rows.where.check("(e) no upgrade", "final_recommendation", upgraded | (rows.final < 0), told)
    frozen = rows.told.fired[[RULE_INDEX["low_liquidity_block"], RULE_INDEX["not_tradable"]]].any(axis=0)
    softened = (rows.learned == Action.SELL) & (rows.final != Action.SELL)
    yield rows.where.check("(e) no upgrade", "learned_recommendation", softened & ~frozen, told)
    if "exit_blocked" in rows.table.columns and "held_weight" in rows.table.columns:
        blocked, held = rows.number("exit_blocked") == 1.0, rows.number("held_weight") > 0.0
        yield rows.where.check("(e) no upgrade", "exit_blocked", blocked != (frozen & held), told)
    else:
        yield rows.where.unasked("(e) no upgrade: exit blocked", "exit_blocked", "the table has no `held_weight`")


def _bound(case: Case, group: Group, rows: _Rows) -> Iterator[Check]:
    """(f) No size above what sizing, rules and the largest exposure allow."""
    final, bounds = rows.number(NUMBERS[0]), {NUMBERS[2]: rows.number(NUMBERS[2])}
    if "RB-08" not in case.rules.disabled:
        bounds[NUMBERS[1]] = rows.number(NUMBERS[1])
    part = case.part("position_sizing", group.chunk, group.split)
    name = "max_single_stock_exposure"
    if part is not None and "RB-01" not in case.rules.disabled:
        bounds[name] = case.aligned(part, case.answered(group), [name])[name].to_numpy(dtype=np.float64)
    elif name in rows.table.columns:
        bounds[name] = rows.number(name)
    elif not case.whole:
        yield rows.where.unasked(
            "(f) upper bound: largest exposure", name, f"`{name}` is in position sizing's table, in the run folder"
        )
    for column, bound in bounds.items():
        wrong = final > bound + EPSILON  # unknown bounds compare False
        yield rows.where.check("(f) upper bound", column, wrong, _above(final, bound))


def _no_rule(rows: _Rows) -> Iterator[Check]:
    """(g) "No rule" where none fired."""
    wrong = rows.told.said("no_rule_override") == rows.told.any_rule
    yield rows.where.check("(g) no rule", "rule_barrier_reasons", wrong, rows.codes_of)


def _soundness(rows: _Rows, again: BarrierResult) -> Iterator[Check]:
    """(c) Every code that a row carries is one that the stored inputs lead to; one check for each code."""
    bits = np.stack([(again.summary >> bit & 1).astype(bool) for bit in range(len(SUMMARY))])
    pairs = zip((*codes(again.rules), *SUMMARY), (*rows.told.fired, *rows.told.summary), (*again.fired, *bits), strict=True)
    for code, said, follows in pairs:
        yield rows.where.check("(c) soundness", code, said & ~follows, lambda i: f"it does not follow; {rows.codes_of(i)}")


def _replay(rows: _Rows, again: BarrierResult) -> Iterator[Check]:
    """(d) The barrier comes to the recorded decision."""
    what, where = "(d) replay", rows.where
    action = again.final_recommendation
    yield where.check(
        what, "final_recommendation", action != rows.final, lambda i: f"{_word(action[i])} by the stored inputs"
    )
    size, final = again.final_position_fraction, rows.number(NUMBERS[0])
    yield where.check(what, NUMBERS[0], ~_near(size, final), lambda i: f"{final[i]:g}, by the stored inputs {size[i]:g}")
    for column in COMPARED:
        if column in rows.table.columns:
            mine = np.asarray(getattr(again, column), dtype=np.float64)
            yield where.check(what, column, ~_near(mine, rows.number(column)), _by_inputs(mine))
    texts: Mapping[str, AnyArray] = {"rule_barrier_reasons": reasons(again), "binding_rule_id": again.binding_rule_id}
    for column, mine in texts.items():
        if column in rows.table.columns:
            wrong = words_in(rows.table[column]).to_numpy(dtype=object) != mine
            yield where.check(what, column, wrong, _by_inputs(mine))


def _bare(rows: _Rows, rules: Rules) -> Iterator[Check]:
    """(c) for the codes whose inputs are columns of the table; what cannot be asked is said."""
    for one in derivable(rows.table, rules, rows.learned, rows.final):
        code = codes(rules)[one.rule]
        if one.lacks:
            yield rows.where.unasked("(c) soundness", code, f"`{code}` rests on {one.lacks}, which this table does not have")
            continue
        fired = rows.told.fired[one.rule]
        if one.must_not is not None:
            follows = lambda i: f"it does not follow; {rows.codes_of(i)}"  # noqa: E731
            yield rows.where.check("(c) soundness", code, fired & one.must_not, follows)
        if one.must is not None:
            lacking = lambda i: f"it should stand; {rows.codes_of(i)}"  # noqa: E731
            yield rows.where.check("(c) soundness: code missing", code, one.must & ~fired, lacking)
    yield rows.where.unasked(
        "(d) replay", "all", "which families were known, and the largest exposure, are in the run folder"
    )


def _by_inputs(mine: AnyArray) -> Callable[[int], str]:
    return lambda i: f"{mine[i]} by the stored inputs"


def _above(final: FloatArray, bound: FloatArray) -> Callable[[int], str]:
    return lambda i: f"{final[i]:g} above {bound[i]:g}"


def _near(one: FloatArray, two: FloatArray) -> BoolArray:
    """Equal within 1e-9; NaN equals NaN."""
    both: BoolArray = (np.abs(one - two) <= EPSILON) | (np.isnan(one) & np.isnan(two))
    return both


def _word(code: AnyArray) -> str:
    return str(NAMES[int(code)]) if 0 <= int(code) < len(NAMES) else "no action"
