"""Whether the learned part of each module beats its simple anchor (ridge, logit, base rate, simple volatility)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from glassbox_bt.reporting.derived import derived
from glassbox_bt.reporting.record import TEST, Entry, RunRecord
from glassbox_bt.reporting.report import (
    Column,
    Paragraph,
    Prose,
    Row,
    RowRole,
    Section,
    Table,
    prose,
)
from glassbox_bt.reporting.sections.phrases import chunk_name

__all__ = ["learned"]

BOTH = "anchor and network together; in brackets the anchor alone"
TITLE = prose("Learned part against its anchor")


def learned(record: RunRecord) -> Section:
    """Comparisons on test rows; folded, those on validation rows, which were spent on selection."""
    rows = record.entries("learned")
    if not rows:
        words = prose("The run recorded no comparison of a learned part with its anchor.")
        return Section("learned", TITLE, (Paragraph(words, "note"),))
    test = [one for one in rows if _split(one) == TEST]
    spent = [one for one in rows if _split(one) != TEST]
    caption = prose("Learned part and, in brackets, its anchor alone, on the same test rows")
    blocks = (_summary(record), _table(record, "learned-test", caption, test, "plain")) if test else ()
    parts: tuple[Section, ...] = ()
    if spent:
        caption = prose("The same on validation rows")
        table = _table(record, "learned-validation", caption, spent, "muted")
        parts = (Section("learned-spent", prose("On validation rows, spent on selection"), (table,), folded=True),)
    return Section("learned", TITLE, blocks, parts)


def _split(row: Entry) -> str:
    return str(row.content.get("split", TEST))


def _summary(record: RunRecord) -> Paragraph:
    return Paragraph(
        prose(
            "Better than its anchor in ", record.claim(derived("n_learned_better"), "integer"), " of ",
            record.claim(derived("n_learned"), "integer"), " comparisons on test.",
        )
    )  # fmt: skip


def _table(record: RunRecord, key: str, caption: Prose, entries: Sequence[Entry], role: RowRole) -> Table:
    """One row per module and measure, one column per chunk."""
    columns = (
        Column(prose("Module"), numeric=False),
        Column(prose("Measure"), numeric=False),
        *(Column(chunk_name(record, chunk), hint=BOTH) for chunk in record.chunks),
        Column(prose("Rows"), hint="rows with a known outcome, in the first chunk"),
    )
    found: dict[tuple[str, str], dict[int, Entry]] = {}
    for one in entries:
        found.setdefault((str(one.get("module")), str(one.get("measure"))), {})[int(one.get("chunk"))] = one
    rows = tuple(_row(record, by_chunk, role) for by_chunk in found.values())
    return Table(key, caption, columns, rows)


def _row(record: RunRecord, by_chunk: Mapping[int, Entry], role: RowRole) -> Row:
    first = by_chunk[min(by_chunk)]
    return Row(
        (
            prose(record.claim(first.source("module"), "words")),
            prose(record.claim(first.source("measure"), "words")),
            *(_cell(record, by_chunk.get(chunk)) for chunk in record.chunks),
            prose(record.claim(first.source("n_rows"), "integer")),
        ),
        role,
    )


def _cell(record: RunRecord, one: Entry | None) -> Prose:
    """Both values, and which is better; a learned part that stayed at its anchor is said to be equal."""
    if one is None:
        return prose("not recorded")
    both, anchor = (record.claim(one.source(name), "number_4") for name in ("learned", "anchor"))
    return prose(both, " (", anchor, ") ", _word(one.content))


def _word(row: Mapping[str, Any]) -> str:
    if row["learned"] is None or row["anchor"] is None:
        return ""
    if row["learned"] == row["anchor"]:
        return "equal"
    return "better" if row["better"] else "worse"
