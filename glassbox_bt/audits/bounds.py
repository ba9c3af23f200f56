"""Does every number lie where its kind may lie, and do shares add up? Audit A2.

1. Output names say their unit, so they say their range: `ranges.RANGES`. A column without a declared range is listed.
2. Identities: probabilities (the rivals' too) and branch weights add up to 1, influences to no more; a percentage is 100
   times its fraction, expected shortfall no milder than value at risk, a longer drawdown or a higher quantile of it no
   smaller.
3. The label that a row names is the one with the largest probability. A chunk's confidence is that probability, its
   uncertainty one less it, its class the place of the label less one.
Chances of an extreme loss need not grow with the horizon: each horizon has a bar of its own.
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
REGIMES = ("calm", "volatile", "crisis", "rotation")
SENTIMENT = ("sentiment_prob_negative", "sentiment_prob_neutral", "sentiment_prob_positive")
SHARES, PERCENT = 1e-4, 1e-3
AGREES, CLEAR = 0.9, 0.3  # of chunks with a clear score, those whose class has its sign (spec 8)
SUMS = {
    "action probabilities": ("learned_sell_prob", "learned_hold_prob", "learned_buy_prob"),
    "branch weights": ("learned_quantitative_weight", "learned_qualitative_weight"),
    **{
        f"regime probabilities{ending}": tuple(f"prob_{name}{ending}" for name in REGIMES)
        for ending in ("", "_raw", "_base_rate", "_persistence", "_vix_rule", "_markov_switching", "_anchor", "_anchor_raw")
    },
    "volatility regime probabilities": ("regime_probs_low", "regime_probs_medium", "regime_probs_high"),
    "shares of the volatility forecast": ("share_garch", "share_recent", "share_embedding"),
    "sentiment probabilities": SENTIMENT,
}
AT_MOST_ONE = {"influences": tuple(f"influence_{rank}" for rank in range(1, 11))}
LIKELIEST = (  # probabilities by the word of `regime_label`
    {name: f"prob_{name}" for name in REGIMES},
    {name: f"regime_probs_{name}" for name in ("low", "medium", "high")},
)
OF = {"final_position_pct": "final_position_fraction", "recommended_capital_pct": "recommended_capital_fraction"}
DEPTHS = ("expected_drawdown", "drawdown_q50", "drawdown_q90")
ORDERED = (  # smaller or equal, larger
    ("cvar_95", "var_95"),
    ("cvar_99", "var_99"),
    ("cvar_99", "cvar_95"),
    ("var_99", "var_95"),
    *((f"{what}_10d{end}", f"{what}_30d{end}") for what in DEPTHS for end in ("", "_anchor")),
    *(
        (f"drawdown_q50_{days}d{end}", f"drawdown_q90_{days}d{end}")
        for days in (10, 30)
        for end in ("", "_anchor", "_bucket")
    ),
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
        checks += [*_identities(where, table), *_tail(case, part, where), *_sentiment(where, table)]
    for part in case.events():
        table = part.read()
        checks += _ranges(Where(part.module, part.chunk, part.split, table), table, undeclared)
    if not case.whole:
        checks.append(not_asked("range", "modules", "all", "modules' tables are in the run folder"))
    return AuditResult("bounds", tuple(checks), {"undeclared": sorted(undeclared)}, QUESTION)


def _ranges(where: Where, table: pd.DataFrame, undeclared: set[str]) -> Iterator[Check]:
    for name in table.columns:
        if name in (*KEY, "chunk", "known", "published_at") or not pd.api.types.is_numeric_dtype(table[name]):
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
    for what, names in AT_MOST_ONE.items():
        if set(names) <= set(table.columns):
            total = table[list(names)].to_numpy(dtype=np.float64).sum(axis=1)
            yield where.check(what, names[0], total > 1.0 + SHARES, lambda i, total=total: f"they add up to {total[i]:g}")  # type: ignore[misc]
    yield from _orders(where, table)
    yield from _labels(where, table)


def _labels(where: Where, table: pd.DataFrame) -> Iterator[Check]:
    """The named label is the likeliest; of equals any may be named."""
    for names in LIKELIEST:
        if "regime_label" in table.columns and set(names.values()) <= set(table.columns):
            yield _likeliest(where, table["regime_label"], names, table[list(names.values())].to_numpy(dtype=np.float64))


def _likeliest(where: Where, label: pd.Series, names: dict[str, str], chances: AnyArray) -> Check:
    place = label.map({word: at for at, word in enumerate(names)}).to_numpy(dtype=np.float64)
    told, known = np.isfinite(place), np.isfinite(chances).all(axis=1)
    own = chances[np.arange(len(label)), np.where(told, place, 0.0).astype(np.int64)]
    wrong = known & (~told | (own < chances.max(axis=1)))
    return where.check("label is the likeliest", "regime_label", wrong, lambda i: f"{label.iloc[i]} is named")


def _orders(where: Where, table: pd.DataFrame) -> Iterator[Check]:
    for lower, upper in ORDERED:
        if lower in table.columns and upper in table.columns:
            wrong = (table[lower] > table[upper] + BELOW).to_numpy(dtype=bool)
            yield where.check("order", f"{lower}, {upper}", wrong)


def _sentiment(where: Where, table: pd.DataFrame) -> Iterator[Check]:
    """What a chunk's class, confidence and uncertainty say of its three chances, and whether class and score agree."""
    lead = "predicted_sentiment_"
    names = [f"{lead}{name}" for name in ("score", "class_index", "class", "confidence", "uncertainty")]
    if not {*SENTIMENT, *names} <= set(table.columns):
        return
    score, index, kind, sure, unsure = table[names].to_numpy(dtype=np.float64).T
    chances = table[list(SENTIMENT)].to_numpy(dtype=np.float64)
    known = np.isfinite(chances).all(axis=1)
    place = np.where(np.isin(index, [0, 1, 2]), index, 0).astype(np.int64)
    best = chances.max(axis=1)
    wrong = known & ((place != index) | (chances[np.arange(len(place)), place] < best))
    yield where.check("label is the likeliest", names[1], wrong, lambda i: f"class {index[i]:g} is named")
    yield where.check("confidence", names[3], known & (np.abs(sure - best) > SHARES))
    yield where.check("uncertainty", names[4], known & (np.abs(1.0 - sure - unsure) > SHARES))
    yield where.check("class", names[2], known & (kind != index - 1.0))
    clear = known & (np.abs(score) > CLEAR)
    if clear.any():
        share = float((np.sign(score[clear]) == kind[clear]).mean())
        said = f"of {int(clear.sum())} chunks with a clear score {share:.1%} have a class of its sign, asked 90 %"
        yield where.fault("sign of score and class", names[0], "" if share >= AGREES else said, hard=False)


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
