"""Does every number lie where its kind may lie, and do shares add up? Audit A2.

1. Output names say their unit, so they say their range: `ranges.RANGES`. A column without a declared range is listed.
2. Identities: probabilities and branch weights add up to 1, a percentage is 100 times its fraction, expected shortfall is
   no milder than value at risk, a longer drawdown no smaller than a shorter.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from glassbox_bt.audits.base import AuditResult, AuditSettings, Check, Progress, not_asked
from glassbox_bt.audits.case import KEY, Case, Part, keys_of
from glassbox_bt.audits.ranges import ABOVE, BELOW, range_of
from glassbox_bt.audits.rows import Where
from glassbox_bt.types import AnyArray

__all__ = ["QUESTION", "audit_bounds"]

QUESTION = "Does every number lie in its legal range, and do shares add up?"
SHARES, PERCENT = 1e-4, 1e-3
SUMS = {
    "action probabilities": ("learned_sell_prob", "learned_hold_prob", "learned_buy_prob"),
    "branch weights": ("learned_quantitative_weight", "learned_qualitative_weight"),
    "regime probabilities": ("prob_calm", "prob_volatile", "prob_crisis", "prob_rotation"),
    "volatility regime probabilities": ("regime_probs_low", "regime_probs_medium", "regime_probs_high"),
}
OF = {"final_position_pct": "final_position_fraction", "recommended_capital_pct": "recommended_capital_fraction"}
ORDERED = (  # smaller or equal, larger
    ("cvar_95", "var_95"),
    ("cvar_99", "var_99"),
    ("cvar_99", "cvar_95"),
    ("var_99", "var_95"),
    ("expected_drawdown_10d", "expected_drawdown_30d"),
)


def audit_bounds(case: Case, settings: AuditSettings, progress: Progress) -> AuditResult:  # noqa: ARG001
    """Ranges and identities of decisions, approved orders and every module's table."""
    checks: list[Check] = []
    undeclared: set[str] = set()
    tables = [("decisions", case.decisions), *([("approved", case.approved)] if case.whole else [])]
    for name, table in tables:
        for group in case.groups(table):
            where = Where(name, group.chunk, group.split, group.rows)
            checks += [*_ranges(where, group.rows, undeclared), *_identities(where, group.rows)]
    parts = list(case.parts())
    for i, part in enumerate(parts):
        progress("bounds", i / len(parts))
        table = part.read()
        where = Where(part.module, part.chunk, part.split, table)
        vectors = {name: part.vector(name) for name in part.vectors() if range_of(name) not in (None, (-np.inf, np.inf))}
        checks += [*_ranges(where, table, undeclared), *_vector_ranges(where, vectors)]
        checks += [*_identities(where, table), *_tail(case, part, where)]
    if not case.whole:
        checks.append(not_asked("range", "modules", "all", "modules' tables are in the run folder"))
    return AuditResult("bounds", tuple(checks), {"undeclared": sorted(undeclared)}, QUESTION)


def _ranges(where: Where, table: pd.DataFrame, undeclared: set[str]) -> Iterator[Check]:
    for name in table.columns:
        if name in (*KEY, "chunk", "known") or not pd.api.types.is_numeric_dtype(table[name]):
            continue
        legal = range_of(str(name))
        if legal is None:
            undeclared.add(f"{where.module}.{name}")
        else:
            yield _range(where, str(name), table[name].to_numpy(dtype=np.float64), legal)


def _range(where: Where, name: str, values: AnyArray, legal: tuple[float, float]) -> Check:
    low, high = legal
    wrong = np.asarray((values < low - BELOW) | (values > high + ABOVE))
    return where.check("range", name, wrong, lambda i: f"{values[i]:g} outside [{low:g}, {high:g}]")


def _vector_ranges(where: Where, vectors: dict[str, AnyArray]) -> Iterator[Check]:
    for name, values in vectors.items():
        low, high = range_of(name) or (-np.inf, np.inf)
        outside = np.asarray(((values < low - BELOW) | (values > high + ABOVE)).any(axis=1))
        yield where.check("range", name, outside)


def _identities(where: Where, table: pd.DataFrame) -> Iterator[Check]:
    for what, names in SUMS.items():
        if all(name in table.columns for name in names):
            total = table[list(names)].to_numpy(dtype=np.float64).sum(axis=1)
            wrong = np.isfinite(total) & (np.abs(total - 1.0) > SHARES)
            yield where.check(what, "+".join(names), wrong, lambda i, total=total: f"they add up to {total[i]:g}")  # type: ignore[misc]
    for percent, fraction in OF.items():
        if percent in table.columns and fraction in table.columns:
            off = (table[percent] - 100.0 * table[fraction]).abs().to_numpy(dtype=np.float64)
            yield where.check("percent", percent, off > PERCENT)
    yield from _orders(where, table)


def _orders(where: Where, table: pd.DataFrame) -> Iterator[Check]:
    for lower, upper in ORDERED:
        if lower in table.columns and upper in table.columns:
            wrong = (table[lower] > table[upper] + BELOW).to_numpy(dtype=bool)
            yield where.check("order", f"{lower}, {upper}", wrong)


def _tail(case: Case, part: Part, where: Where) -> Iterator[Check]:
    """Expected shortfall against value at risk, which are two modules."""
    var = case.part("var", part.chunk, part.split) if part.module == "cvar" else None
    if var is None:
        return
    names = ["cvar_95", "cvar_99"]
    both = pd.concat([where.rows[names], case.aligned(var, keys_of(where.rows), ["var_95", "var_99"])], axis=1)
    for lower, upper in ORDERED[:2]:
        wrong = (both[lower] > both[upper] + BELOW).to_numpy(dtype=bool)
        yield where.check("order", f"{lower}, {upper}", wrong)
