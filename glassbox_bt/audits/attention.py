"""Are attention weights shares of the slots that were there, and is the named driver the largest? Audit A3.

For each row: the weights add up to 1 within 1e-4, none is negative, none goes to a slot that was not there, there are as
many slots as declared, and the named driver is the arg-max, the first of equals in fixed order. The driver by removal is
checked in the same way against the sizes of the changes. Over the chunks of a document each head adds up to 1, and what is
recorded besides is their mean and their largest.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from glassbox_bt.audits.attention_weights import (
    CHUNK_COLUMNS,
    DOCUMENT,
    HEADS,
    RISK_COLUMNS,
    Attention,
    recorded_attention,
)
from glassbox_bt.audits.base import AuditResult, AuditSettings, Check, Progress, not_asked
from glassbox_bt.audits.case import SPLITS, Case, Part, keys_of, known_in
from glassbox_bt.audits.rows import Where
from glassbox_bt.modules._attribution import RISKS, first_largest
from glassbox_bt.types import BoolArray

__all__ = ["QUESTION", "audit_attention"]

QUESTION = "Do attention weights add up, skip what was not there, and name their largest?"
SUM, BELOW = 1e-4, 1e-9


def audit_attention(case: Case, settings: AuditSettings, progress: Progress) -> AuditResult:  # noqa: ARG001
    """The attention over risks and over sessions, of every split."""
    checks: list[Check] = []
    for attention in recorded_attention(case, SPLITS):
        progress("attention", 0.0)
        checks += _checks(attention)
    for part in case.parts():
        if {f"risk_delta_{risk}" for risk in RISKS} <= set(part.columns):
            checks += _removal(case, part)
        if set(CHUNK_COLUMNS) <= set(part.columns):
            checks += _heads(part)
    if not case.whole:
        lacking = [name for name in RISK_COLUMNS if name not in case.decisions.columns]
        if lacking:
            checks.append(not_asked("sum", "quantitative", lacking[0], f"the table lacks `{lacking[0]}`"))
        checks.append(
            not_asked("attention over sessions", "technical", "attention", "modules' tables are in the run folder")
        )
    return AuditResult("attention", tuple(checks), {}, QUESTION)


def _checks(one: Attention) -> Iterator[Check]:
    where, weights = Where(one.module, one.chunk, one.split, one.rows), one.weights
    column = RISK_COLUMNS[0].removesuffix("_volatility") if one.names == RISKS else "attention"
    k = weights.shape[1]
    yield where.fault("slots", column, "" if k == one.declared else f"{k} slots, {one.declared} are declared")
    total = weights.sum(axis=1)
    off = ~(np.abs(total - 1.0) <= SUM)  # NaN is off, too
    yield where.check("sum", column, off, lambda i: f"the weights add up to {total[i]:g}")
    smallest = weights.min(axis=1, initial=np.inf)
    yield where.check("not negative", column, smallest < -BELOW, lambda i: f"a weight of {smallest[i]:g}")
    if one.available is None:
        yield where.unasked("nothing on what is not there", column, "which slots were there is not in this record")
    else:
        lost = np.where(one.available, 0.0, weights)
        wrong = (lost != 0.0).any(axis=1)
        yield where.check("nothing on what is not there", column, wrong, lambda i: f"{_where_lost(one, lost[i] != 0.0)}")
    if one.drivers is not None:
        yield _driver(where, one)


def _where_lost(one: Attention, slots: BoolArray) -> str:
    return f"weight on {one.names[int(np.flatnonzero(slots)[0])]}, which was not there"


def _driver(where: Where, one: Attention) -> Check:
    available = np.ones(one.weights.shape, dtype=bool) if one.available is None else one.available
    largest = np.array(one.names, dtype=object)[first_largest(one.weights, available)]
    named = one.drivers.to_numpy(dtype=object) if one.drivers is not None else largest
    told = lambda i: f"{named[i]} is named, {largest[i]} is the largest"  # noqa: E731
    return where.check("driver is the largest", "top_attention_risk_driver", named != largest, told)


def _heads(part: Part) -> Iterator[Check]:
    """Each head over the chunks of a document, and the two columns that are made of them."""
    table = part.read([*part.key, "known", *CHUNK_COLUMNS])
    table = table[known_in(table)].reset_index(drop=True)
    where = Where(part.module, part.chunk, part.split, table)
    for head in HEADS:
        total = table.groupby(DOCUMENT, sort=False)[head].transform("sum").to_numpy()
        yield where.check("sum", head, ~(np.abs(total - 1.0) <= SUM), lambda i, total=total: f"they add up to {total[i]:g}")  # type: ignore[misc]
        yield where.check("not negative", head, table[head].to_numpy() < -BELOW)
    heads = table[list(HEADS)].to_numpy(dtype=np.float64)
    for column, made in zip(CHUNK_COLUMNS, (heads.mean(axis=1), heads.max(axis=1, initial=-np.inf)), strict=False):
        yield where.check("made of the heads", column, ~(np.abs(table[column].to_numpy() - made) <= SUM))


def _removal(case: Case, part: Part) -> Iterator[Check]:
    """The driver by removal is the slot whose removal moves the risk most."""
    columns = [f"risk_delta_{risk}" for risk in RISKS]
    table = part.read(["date", "ticker", "known", "top_delta_risk_driver", *columns])
    table = table[known_in(table)].reset_index(drop=True)
    sizing = case.part("position_sizing", part.chunk, part.split)
    where, sizes = Where(part.module, part.chunk, part.split, table), np.abs(table[columns].to_numpy(dtype=np.float64))
    if sizing is None:
        yield where.unasked("driver by removal", "top_delta_risk_driver", "which risks were there is not in this record")
        return
    flags = case.aligned(sizing, keys_of(table), [f"{risk}_risk_available" for risk in RISKS])
    largest = np.array(RISKS, dtype=object)[first_largest(sizes, flags.to_numpy(dtype=np.float64) == 1.0)]
    named = table["top_delta_risk_driver"].to_numpy(dtype=object)
    told = lambda i: f"{named[i]} is named, {largest[i]} moves the risk most"  # noqa: E731
    yield where.check("driver by removal", "top_delta_risk_driver", named != largest, told)
