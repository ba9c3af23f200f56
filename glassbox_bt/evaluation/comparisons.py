"""Paired differences between the stack and everything it is compared with: every rival, and itself with a part taken out.

Both sides are resampled on the same test days, chunk by chunk and pooled. Only the pooled difference of the primary
measure is a claim with a verdict; it is corrected by Holm within its family: the rivals, or the ablations of one set at
one depth. The rest describes.

An ablation whose book is the stack's own compared nothing: it is *not tested*, however often its decisions differ. It was
asked all the same, so Holm counts it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from glassbox_bt.evaluation.books import POOLED, STACK, Books, Variant
from glassbox_bt.evaluation.families import family_tests, holm
from glassbox_bt.evaluation.intervals import COLUMNS, Paired, paired
from glassbox_bt.evaluation.verdicts import NO_EFFECT, NOT_TESTED, claim, verdict_of
from glassbox_bt.plan import StatisticsPlan, least_samples

__all__ = [
    "ABLATION_COLUMNS",
    "RIVALS",
    "Difference",
    "ablation_claims",
    "ablation_differences",
    "ablation_table",
    "family_rows",
    "rival_claims",
    "rival_differences",
    "rival_rows",
]

RIVALS = "rivals"
MEASURES = ("sharpe", "annual_return")  # differences with an interval
DESCRIBED = ("volatility", "max_drawdown", "turnover", "exposure")  # of ablations: differences without one
ABLATION_COLUMNS = (
    *("variant", "set", "edit", "target", "depth", "effect", "chunk", "measure", "base", "ablated", "difference"),
    *("low", "high", "p_value", "p_holm", "smallest_detectable", "verdict", "n_sessions"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One measure of the stack less that of another book on the same test days; numbers as in `intervals.Paired`.

    Parameters
    ----------
    family, name : str
        Which comparisons it belongs to, and with whom.
    chunk : int
        0 = all test years.
    stack, other : float
        The two values.
    p_holm : float
        NaN where the difference is not a claim.
    verdict : str
        See `verdicts`.
    """

    family: str
    name: str
    chunk: int
    measure: str
    stack: float
    other: float
    difference: float
    low: float
    high: float
    p_value: float
    p_holm: float
    smallest_detectable: float
    verdict: str
    n_sessions: int


def rival_differences(books: Books) -> list[Difference]:
    """The stack against every rival."""
    return _family(books, RIVALS, books.rivals)


def ablation_differences(books: Books) -> list[Difference]:
    """The stack against itself with a part taken out, family by family."""
    families: dict[str, list[str]] = {}
    for one in books.variants:
        if one.changed:
            families.setdefault(one.family, []).append(one.name)
    return [_open_if_same(one, books) for family, names in families.items() for one in _family(books, family, names)]


def rival_rows(differences: Sequence[Difference]) -> list[dict[str, Any]]:
    """The comparisons as ``metrics.json`` holds them."""
    return [
        {
            "family": one.family,
            "name": one.name,
            "chunk": one.chunk,
            "measure": one.measure,
            "stack": one.stack,
            "rival": one.other,
            **_numbers(one),
            "verdict": one.verdict,
            "n_sessions": one.n_sessions,
        }
        for one in differences
    ]


def rival_claims(differences: Sequence[Difference], books: Books) -> list[dict[str, Any]]:
    """A verdict on "the stack has more of the primary measure" for each rival."""
    return [_claim("rival", one, books) for one in differences if _is_claim(one, books)]


def ablation_claims(differences: Sequence[Difference], books: Books) -> list[dict[str, Any]]:
    """A verdict on "the part adds to the primary measure" for each variant; one that changed nothing says so."""
    tested = {one.name: _claim("ablation", one, books) for one in differences if _is_claim(one, books)}
    return [tested[one.name] if one.changed else _unchanged_claim(one, books) for one in books.variants]


def ablation_table(differences: Sequence[Difference], books: Books) -> pd.DataFrame:
    """One row per variant, span and measure, in the order of the variants."""
    tested = {(one.name, one.chunk, one.measure): one for one in differences}
    rows = [
        row for variant in books.variants for span in books.spans for row in _ablation_rows(books, variant, span, tested)
    ]
    return pd.DataFrame(rows, columns=list(ABLATION_COLUMNS))


def family_rows(books: Books) -> list[dict[str, Any]]:
    """SPA and MCS over the rivals and over each family of ablations, pooled."""
    members: dict[str, list[str]] = {RIVALS: list(books.rivals)}
    for one in books.variants:
        if one.changed:
            members.setdefault(one.family, []).append(one.name)
    found: list[dict[str, Any]] = []
    for family, names in members.items():
        returns = {name: books.returns(name, POOLED) for name in (STACK, *names)}
        found += family_tests(family, STACK, returns, books.settings, books.seed)
    return found


def _places(books: Books, names: Sequence[str]) -> list[tuple[str, int, str]]:
    return [(name, span, measure) for name in names for span in books.spans for measure in MEASURES]


def _family(books: Books, family: str, names: Sequence[str]) -> list[Difference]:
    """The differences from these books, with as many bootstrap samples as Holm's correction of so many claims needs."""
    first = _first_level(books.settings, max(len(names), 1))
    books = replace(books, settings=replace(books.settings, n_boot=max(books.settings.n_boot, least_samples(first))))
    return _judged([_differ(books, family, *place) for place in _places(books, names)], books)


def _first_level(settings: StatisticsPlan, claims: int) -> float:
    """The level at which Holm's correction of so many claims begins."""
    return 1.0 - (1.0 - settings.level) / claims


def _differ(books: Books, family: str, name: str, span: int, measure: str) -> Difference:
    found = _paired(books, name, span, measure, books.settings)
    return Difference(
        family=family,
        name=name,
        chunk=span,
        measure=measure,
        stack=books.measures[STACK, span][measure],
        other=books.measures[name, span][measure],
        difference=found.difference,
        low=found.low,
        high=found.high,
        p_value=found.p_value,
        p_holm=math.nan,
        smallest_detectable=found.smallest_detectable,
        verdict=NOT_TESTED,
        n_sessions=found.n_sessions,
    )


def _open_if_same(one: Difference, books: Books) -> Difference:
    """The difference; no interval, test or verdict where the two books are the same row by row."""
    pairs = zip(books.parts(STACK, one.chunk), books.parts(one.name, one.chunk), strict=True)
    if not all(np.array_equal(stack[name], other[name]) for stack, other in pairs for name in COLUMNS):
        return one
    nan = math.nan
    return replace(one, low=nan, high=nan, p_value=nan, p_holm=nan, smallest_detectable=nan, verdict=NOT_TESTED)


def _judged(family: Sequence[Difference], books: Books) -> list[Difference]:
    """The differences of one family with their correction and verdicts."""
    level, smallest = books.settings.level, books.settings.smallest_effect
    claims = [one for one in family if _is_claim(one, books)]
    adjusted = dict(zip((one.name for one in claims), holm([one.p_value for one in claims]), strict=True))
    tested = sum(math.isfinite(p_value) for p_value in adjusted.values())
    judged = []
    for one in family:
        if not _is_claim(one, books):
            judged.append(one)
            continue
        p_holm = adjusted[one.name]
        words = verdict_of(one.difference, one.high, p_holm, level=level, smallest_effect=smallest)
        detectable = _detectable(one, books, tested)
        judged.append(replace(one, p_holm=p_holm, smallest_detectable=detectable, verdict=words))
    return judged


def _detectable(one: Difference, books: Books, claims: int) -> float:
    """The smallest detectable difference at the level at which Holm's correction of so many claims begins."""
    if not math.isfinite(one.p_value):
        return math.nan
    stricter = replace(books.settings, level=_first_level(books.settings, claims))
    return _paired(books, one.name, one.chunk, one.measure, stricter).smallest_detectable


def _paired(books: Books, name: str, span: int, measure: str, settings: StatisticsPlan) -> Paired:
    return paired(books.parts(STACK, span), books.parts(name, span), measure, settings, f"{books.seed}/{STACK}/{name}")


def _is_claim(one: Difference, books: Books) -> bool:
    return one.chunk == POOLED and one.measure == books.settings.primary


def _claim(kind: str, one: Difference, books: Books) -> dict[str, Any]:
    numbers = {**_numbers(one), "estimate": one.difference, "verdict": one.verdict}
    return claim(kind, one.name, one.family, one.measure, {**numbers, "smallest_effect": books.settings.smallest_effect})


def _unchanged_claim(variant: Variant, books: Books) -> dict[str, Any]:
    nothing = dict.fromkeys(("low", "high", "p_value", "p_holm", "smallest_detectable"), math.nan)
    numbers = {**nothing, "estimate": 0.0, "smallest_effect": books.settings.smallest_effect, "verdict": NO_EFFECT}
    return claim("ablation", variant.name, variant.family, books.settings.primary, numbers)


def _numbers(one: Difference) -> dict[str, float]:
    names = ("difference", "low", "high", "p_value", "p_holm", "smallest_detectable")
    return {name: getattr(one, name) for name in names}


def _ablation_rows(
    books: Books, variant: Variant, span: int, tested: Mapping[tuple[str, int, str], Difference]
) -> list[dict[str, Any]]:
    base = books.measures[STACK, span]
    ablated = books.measures[variant.name, span] if variant.changed else base
    rows = []
    for measure in (*MEASURES, *DESCRIBED):
        one = tested.get((variant.name, span, measure))
        described = dict.fromkeys(("low", "high", "p_value", "p_holm", "smallest_detectable"), math.nan)
        described["difference"] = base[measure] - ablated[measure]
        numbers = _numbers(one) if one else described
        rows.append(
            {
                "variant": variant.name,
                "set": variant.set,
                "edit": variant.edit,
                "target": variant.target,
                "depth": variant.depth,
                "effect": variant.effect,
                "chunk": span,
                "measure": measure,
                "base": base[measure],
                "ablated": ablated[measure],
                **numbers,
                "verdict": one.verdict if one else NOT_TESTED if variant.changed else NO_EFFECT,
                "n_sessions": sum(len(part) for part in books.parts(STACK, span)),
            }
        )
    return rows
