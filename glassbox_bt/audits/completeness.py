"""Does the ledger carry every overruled decision from what was learned to what was decided, without a gap? Metric M3.

1. Overruled rows: the action changed, or the size ended below what sizing and learning proposed, or at nothing although
   something was recommended.
2. Such a row is explained if its ledger starts at the recorded learned action and position, ends at the recorded final ones,
   each entry begins where the one before ended, and every entry that moves something carries a code that the row records
   and the registry knows. Completeness is the share of explained rows.
3. Precision is the share of recorded codes that follow from the stored inputs.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from glassbox_bt.audits.barrier_replay import Emitted, actions_of, emitted, replayed, trace_of
from glassbox_bt.audits.base import AuditResult, AuditSettings, Check, Metric, Progress, not_asked
from glassbox_bt.audits.case import NO_RUN, Case, Group
from glassbox_bt.audits.rows import Where
from glassbox_bt.decision.barrier import EPSILON, BarrierResult
from glassbox_bt.decision.rules import SUMMARY
from glassbox_bt.errors import ContractError
from glassbox_bt.types import AnyArray, BoolArray

__all__ = ["QUESTION", "audit_completeness"]

QUESTION = "Does the ledger lead from the learned to the final decision without a gap?"
NAMES = ("rule-trace completeness", "rule-trace precision")


def audit_completeness(case: Case, settings: AuditSettings, progress: Progress) -> AuditResult:  # noqa: ARG001
    """Both shares for each chunk and split; anything under 1 is a finding."""
    checks: list[Check] = []
    metrics: list[Metric] = []
    if not case.whole or case.plan.policy != "learned":
        why = f"{NO_RUN}, which holds the inputs that a ledger is made of"
        if case.whole:
            why = f"the plan's decisions rest on `{case.plan.policy}` instead of learned fusion"
        unasked = tuple(not_asked(name, "decisions", "rule_barrier_reasons", why) for name in NAMES)
        return AuditResult("completeness", unasked, {}, QUESTION, reason=why)
    overruled = 0
    for group in case.groups():
        progress("completeness", len(checks) / (2 * max(len(case.chunks) * 2, 1)))
        where = Where("decisions", group.chunk, group.split, group.rows)
        try:
            again = replayed(case, group)
        except ContractError as broken:
            checks += [where.fault(name, "inputs", f"there is no ledger: {broken}") for name in NAMES]
            continue
        told = emitted(group.words("rule_barrier_reasons"), case.rules)
        rows, gaps = _overruled(group), _gaps(group, again, told)
        overruled += int(rows.sum())
        follows = np.concatenate([again.fired, _summary(again)])
        carried = np.concatenate([told.fired, told.summary])
        strange = int((told.strange != "").sum())
        n_carried = int(carried.sum()) + strange
        checks.append(where.check(NAMES[0], "rule_barrier_reasons", rows & gaps, _codes_of(group)))
        wrong = (carried & ~follows).any(axis=0) | (told.strange != "")
        checks.append(where.check(NAMES[1], "rule_barrier_reasons", wrong, _codes_of(group)))
        shares = (_share(rows & ~gaps, rows), _ratio(int((carried & follows).sum()), n_carried))
        metrics += [_metric(name, group, share) for name, share in zip(NAMES, shares, strict=True)]
    return AuditResult("completeness", tuple(checks), {"overruled": overruled}, QUESTION, tuple(metrics))


def _codes_of(group: Group) -> Callable[[int], str]:
    return lambda i: str(group.words("rule_barrier_reasons").iloc[i])


def _overruled(group: Group) -> BoolArray:
    """Rows whose decision is not simply what was learned."""
    final, recommended = group.numbers("final_position_fraction"), group.numbers("recommended_capital_fraction")
    learned = group.numbers("pre_rule_learned_position_fraction")
    changed = actions_of(group.words("learned_recommendation")) != actions_of(group.words("final_recommendation"))
    smaller = np.asarray((final < np.fmin(recommended, learned) - EPSILON) | ((final == 0.0) & (recommended > 0.0)))
    return np.asarray(changed | smaller)


def _gaps(group: Group, again: BarrierResult, told: Emitted) -> BoolArray:
    """Rows whose ledger does not start or end at what is recorded, breaks off, or moves without a recorded code."""
    trace = trace_of(again)
    held, learned = group.numbers("held_weight"), group.numbers("pre_rule_learned_position_fraction")
    start = np.where(np.isnan(learned), held, learned)
    gaps: BoolArray = ~_near(trace.size_before[0], start) | ~_near(
        trace.size_after[-1], group.numbers("final_position_fraction")
    )
    gaps |= trace.action_before[0] != actions_of(group.words("learned_recommendation"))
    gaps |= trace.action_after[-1] != actions_of(group.words("final_recommendation"))
    for before, after in ((trace.size_before, trace.size_after), (trace.cap_before, trace.cap_after)):
        gaps |= (before[1:] != after[:-1]).any(axis=0)
    gaps |= (trace.action_before[1:] != trace.action_after[:-1]).any(axis=0)
    gaps |= (trace.moved & ~told.fired).any(axis=0) | (told.strange != "")
    return gaps


def _summary(again: BarrierResult) -> BoolArray:
    return np.stack([(again.summary >> bit & 1).astype(bool) for bit in range(len(SUMMARY))])


def _metric(name: str, group: Group, value: float) -> Metric:
    return Metric(name, "decisions", group.chunk, group.split, round(value, 6), "= 1", "pass" if value == 1.0 else "FAIL")


def _share(good: BoolArray, of: BoolArray) -> float:
    return _ratio(int(good.sum()), int(of.sum()))


def _ratio(part: int, whole: int) -> float:
    """1 where there is nothing to explain."""
    return part / whole if whole else 1.0


def _near(one: AnyArray, two: AnyArray) -> BoolArray:
    near: BoolArray = np.abs(one - two) <= EPSILON
    return near
