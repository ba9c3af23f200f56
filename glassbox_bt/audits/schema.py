"""Has every table the columns, rows and keys that it promises? Spec 25.1, audit A5.

1. Columns: an allow-list with types; the specification's come in its order. No column is named like a label.
2. A table with the old ``top_risk_driver`` and without ``top_attention_risk_driver`` is of another schema: fatal.
3. Keys: one row per name and day, sorted; exactly the members of the universe where that is known. Of a module that
   answers documents: one row per chunk and name, in the order of the market's own table of text, and exactly its rows.
4. The pooled risk is what attention makes of the six risk scores, within 1e-3 (A5).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pandas as pd

from glassbox_bt.audits.base import AuditResult, AuditSettings, Check, Progress
from glassbox_bt.audits.case import KEY, SPLITS, Case, Group, Part, keys_of
from glassbox_bt.audits.rows import Where
from glassbox_bt.audits.schemas import (
    A5,
    APPROVED,
    DECISIONS,
    EVENT_COLUMNS,
    LABELLED,
    MODULES,
    NOT_LABELS,
    TOGETHER,
    TableSchema,
    faults,
)
from glassbox_bt.audits.text_rows import owed, row_keys
from glassbox_bt.modules._attribution import RISKS
from glassbox_bt.types import IntArray

__all__ = ["QUESTION", "audit_schema"]

QUESTION = "Has every table the columns, keys and rows that it promises?"
MARKS = ("chunk", "split", "strategy")  # which part of the run a row belongs to
HOUSE = ("target_weight", "held_weight", "exit_blocked", "fusion_learned_summary")  # beyond the specification
OLD = "top_risk_driver"
POOLED = 1e-3


def audit_schema(case: Case, settings: AuditSettings, progress: Progress) -> AuditResult:  # noqa: ARG001
    """Columns, keys and rows of decisions, approved orders and every module's table."""
    needs = (*KEY, "chunk", "split", *(HOUSE if case.whole else ()))
    checks = list(_columns(Where("decisions", None, "", case.decisions), DECISIONS, needs))
    checks += _order(case.decisions)
    for group in case.groups():
        checks += _keys(case, group)
        checks += _pooled(case, group)
    if case.whole:
        checks += _columns(Where("approved", None, "", case.approved), APPROVED, needs=(*KEY, *MARKS))
        for group in case.groups(case.approved):
            checks += _unique(Where("approved", group.chunk, group.split, group.rows))
        parts = list(case.parts())
        for i, part in enumerate(parts):
            progress("schema", i / len(parts))
            checks += _text_checks(case, part) if part.of_text else _module_checks(case, part)
        for part in case.events():
            checks += _event_checks(part)
    return AuditResult("schema", tuple(checks), {"tables": 1 + (1 + len(parts) if case.whole else 0)}, QUESTION)


def _columns(where: Where, schema: TableSchema, needs: tuple[str, ...] = ()) -> Iterator[Check]:
    """One check for each column of the schema, of those besides that this table ``needs``, and each strange one."""
    table = where.rows
    own = table[[column for column in table.columns if column not in needs or column in schema.names]]
    yield from _named(where)
    wrong = dict(faults(own, schema)) | {column: "is missing" for column in needs if column not in table.columns}
    for column in dict.fromkeys((*needs, *schema.names, *wrong)):
        fault = wrong.get(column, "")
        yield where.fault("columns", column, f"`{column}` {fault}" if fault else "")


def _named(where: Where) -> Iterator[Check]:
    """No column is named like a label, and none is of the older schema."""
    columns = list(where.rows.columns)
    labels = [name for name in columns if re.match(LABELLED, name) and name not in NOT_LABELS]
    yield where.fault("no labels", "all", f"`{labels[0]}` is named like a label" if labels else "")
    old = OLD in columns and A5[0] not in columns
    yield where.fault("older schema", OLD, f"`{OLD}` stands without `{A5[0]}`: a table of the older schema" if old else "")


def _order(table: pd.DataFrame) -> Iterator[Check]:
    there = [name for name in table.columns if name in DECISIONS.names]
    wanted = [name for name in DECISIONS.names if name in table.columns]
    first = next((name for name, at in zip(there, wanted, strict=True) if name != at), "")
    fault = f"`{first}` stands where `{wanted[there.index(first)]}` should" if first else ""
    yield Where("decisions", None, "", table).fault("order of columns", first or "all", fault)


def _keys(case: Case, group: Group) -> Iterator[Check]:
    """Unique, sorted, and complete where the universe is known."""
    where = Where("decisions", group.chunk, group.split, group.rows)
    yield from _unique(where)
    if not case.whole or group.chunk is None:
        yield where.unasked("complete", "ticker", "which names were members of the universe is in the run folder")
        return
    yield _complete(case, where, case.chunks[group.chunk].splits[group.split])


def _unique(where: Where) -> Iterator[Check]:
    keys = keys_of(where.rows)
    yield where.check("unique key", "ticker", keys.duplicated())
    order = np.lexsort((keys.codes[1], keys.codes[0])) if len(keys) else np.zeros(0, dtype=np.int64)
    yield where.check("sorted by day and name", "date", order != np.arange(len(order)))


def _complete(case: Case, where: Where, days: IntArray) -> Check:
    """One row for each member of each day, and no other."""
    store = case.store
    day, asset = np.nonzero(store.member[days])
    dates = pd.DatetimeIndex(store.dates[days][day].astype("datetime64[ns]"))
    wanted = pd.MultiIndex.from_arrays([dates, np.array(store.tickers, dtype=object)[asset]], names=KEY)
    got, said = keys_of(where.rows), []
    for what, extra in (("members have no row", wanted.difference(got)), ("rows are no members", got.difference(wanted))):
        if len(extra):
            said.append(f"{len(extra)} {what}, first {extra[0][1]} {extra[0][0]:%Y-%m-%d}")
    return where.fault("complete", "ticker", "; ".join(said))


def _module_checks(case: Case, part: Part) -> Iterator[Check]:
    table = part.read()
    # Vectors are looked at elsewhere; here it matters that they are there.
    where = Where(part.module, part.chunk, part.split, table.assign(**dict.fromkeys(part.vectors(), 0.0)))
    schema = MODULES.get(part.module)
    if schema is not None:
        yield from _columns(where, schema)
        yield from _together(where)
    else:  # a module that the specification does not know promises this much
        lacking = [name for name in (*KEY, "known", "reason", "xai_summary") if name not in table.columns]
        yield where.fault("columns", "all", f"`{lacking[0]}` is missing" if lacking else "")
        yield from _named(where)
    yield from _unique(where)
    days = case.chunks[part.chunk].splits[part.split]
    if part.split == SPLITS[0]:  # learned modules answer whole blocks of train, the first ones not at all (R4)
        days = days[np.isin(case.store.dates[days], table["date"].to_numpy().astype("datetime64[D]"))]
    yield _complete(case, where, days)


def _text_checks(case: Case, part: Part) -> Iterator[Check]:
    """A module that answers documents: columns, keys, and the rows of the market's text (D-NEWS-01)."""
    table = part.read()
    where = Where(part.module, part.chunk, part.split, table)
    yield from _columns(where, MODULES[part.module])
    keys, due = row_keys(table), owed(case, part, table)
    wanted = row_keys(due.frame)
    yield where.check("unique key", "chunk_id", keys.duplicated())
    place = wanted.get_indexer(keys)
    yield where.check("in the order of the text", "date", np.diff(place[place >= 0], prepend=-1) <= 0)
    lost, strange = due.frame[due.must & ~wanted.isin(keys)], table[place < 0]
    said = [
        f"{len(rows)} {what}, first {Where('', None, '', rows).name(0)}"
        for what, rows in (("chunks of the market have no row", lost), ("rows are no chunk of the market", strange))
        if len(rows)
    ]
    yield where.fault("complete", "chunk_id", "; ".join(said))


def _event_checks(part: Part) -> Iterator[Check]:
    where = Where(part.module, part.chunk, part.split, part.read())
    yield from _columns(where, EVENT_COLUMNS)
    keys = where.rows[part.key]
    yield where.check("unique key", "doc_id", keys.duplicated().to_numpy())
    dates = where.rows["date"].to_numpy()
    yield where.check("sorted by day", "date", np.append(False, dates[1:] < dates[:-1])[: len(dates)])


def _together(where: Where) -> Iterator[Check]:
    """Columns that only one variant of a module has are all there, or none of them."""
    for names in TOGETHER.get(where.module, ()):
        there = [name for name in names if name in where.rows.columns]
        lacking = [name for name in names if name not in where.rows.columns]
        torn = f"`{lacking[0]}` is missing, and `{there[0]}` is there" if there and lacking else ""
        yield where.fault("columns of a variant", lacking[0] if torn else names[0], torn)


def _pooled(case: Case, group: Group) -> Iterator[Check]:
    """``attention_pooled_risk_score`` = sum of attention times risk."""
    what, column = "pooled risk", A5[-1]
    where = Where("decisions", group.chunk, group.split, group.rows)
    lacking = [name for name in A5 if name not in group.rows.columns]
    if lacking:
        yield where.unasked(what, column, f"the table lacks `{lacking[0]}`")
        return
    names = [f"{risk}_risk_score" for risk in RISKS]
    part = case.part("position_sizing", group.chunk, group.split)
    scores = group.rows if part is None else case.aligned(part, case.answered(group), names)
    if any(name not in scores.columns for name in names):
        yield where.unasked(what, column, "the six risk scores are in position sizing's table, in the run folder")
        return
    shares = group.rows[[f"risk_attention_{risk}" for risk in RISKS]].to_numpy(dtype=np.float64)
    pooled = np.nansum(shares * scores[names].to_numpy(dtype=np.float64), axis=1)
    written = group.rows[column].to_numpy(dtype=np.float64)
    wrong = np.isfinite(written) & (np.abs(written - pooled) > POOLED)
    yield where.check(what, column, wrong, lambda i: f"{written[i]:g} written, {pooled[i]:g} by attention")
