"""Whether the learned part of each module beats its simple anchor (ridge, logit, base rate, GARCH)."""

from __future__ import annotations

from glassbox_bt.reporting.record import METRICS, RunRecord
from glassbox_bt.reporting.report import Block, Column, Paragraph, Row, Section, Table, prose

__all__ = ["learned"]


def learned(record: RunRecord) -> Section:
    """One row per module, chunk and measure."""
    rows = record.metrics.get("learned", [])
    blocks: tuple[Block, ...] = (_table(record, len(rows)),) if rows else (_nothing(),)
    return Section("learned", prose("Learned part against its anchor"), blocks)


def _nothing() -> Paragraph:
    return Paragraph(prose("The run recorded no comparison of a learned part with its anchor."), "note")


def _table(record: RunRecord, n_rows: int) -> Table:
    columns = (
        Column(prose("Module"), numeric=False),
        Column(prose("Chunk")),
        Column(prose("Measure"), numeric=False),
        Column(prose("Learned"), hint="anchor plus network"),
        Column(prose("Anchor"), hint="the simple model alone"),
        Column(prose("Rows"), hint="test rows with a known outcome"),
        Column(prose("Learned is better"), numeric=False),
    )
    rows = []
    for place in range(n_rows):
        source = f"{METRICS}#/learned/{place}"
        rows.append(
            Row(
                (
                    prose(record.claim(f"{source}/module", "words")),
                    prose(record.claim(f"{source}/chunk", "integer")),
                    prose(record.claim(f"{source}/measure", "words")),
                    prose(record.claim(f"{source}/learned", "number_4")),
                    prose(record.claim(f"{source}/anchor", "number_4")),
                    prose(record.claim(f"{source}/n_rows", "integer")),
                    prose(record.claim(f"{source}/better", "yes_no")),
                )
            )
        )
    return Table("learned-table", prose("Learned part and anchor on the same test rows"), columns, tuple(rows))
