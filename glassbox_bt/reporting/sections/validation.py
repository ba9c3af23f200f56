"""Validation rows: spent on selection, shown apart, used by no verdict, rank or pooled figure."""

from __future__ import annotations

from glassbox_bt.reporting.record import RunRecord
from glassbox_bt.reporting.report import Paragraph, Section, prose
from glassbox_bt.reporting.sections.measures import POOLED_TRADING, RETURNS, measures_table
from glassbox_bt.reporting.sections.phrases import chunk_name, period

__all__ = ["validation"]


def validation(record: RunRecord) -> Section:
    """One muted table per chunk, folded."""
    intro = Paragraph(
        prose(
            "These days chose variants and stopped training, so results on them flatter the stack. They are printed "
            "to show what selection saw, and enter nothing above."
        ),
        "note",
    )
    tables = []
    for chunk in record.chunks:
        rows = record.rows(chunk, selection=True)
        if rows:
            caption = prose(chunk_name(record, chunk), ", validation (spent) ", period(record, chunk, "validation"))
            measures = (*RETURNS, *POOLED_TRADING)  # what was traded, not order by order
            tables.append(measures_table(record, f"validation-chunk{chunk}", caption, rows, measures))
    shown = Section("validation-chunks", prose("What selection saw, chunk by chunk"), tuple(tables), folded=True)
    return Section("validation", prose("Validation, spent"), (intro,), (shown,))
