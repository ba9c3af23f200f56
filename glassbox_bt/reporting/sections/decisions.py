"""How often the stack says BUY, HOLD and SELL, and how often a rule changed what it had learned."""

from __future__ import annotations

from glassbox_bt.reporting.record import STACK, TEST, RunRecord, Where, table_source
from glassbox_bt.reporting.report import Column, Paragraph, Row, Section, Table, prose
from glassbox_bt.reporting.sections.phrases import chunk_name, measured

__all__ = ["decisions"]

DECISIONS = "decisions.parquet"


def decisions(record: RunRecord) -> Section:
    """Action rates per chunk, with a banner where the stack is degenerate."""
    columns = (
        Column(prose("Chunk"), numeric=False),
        Column(prose("BUY"), hint="share of rows (name and day) with this action"),
        Column(prose("HOLD"), hint="share of rows (name and day) with this action"),
        Column(prose("SELL"), hint="share of rows (name and day) with this action"),
        Column(prose("Rows"), hint="names times days"),
        Column(prose("Names"), hint="different names that were decided on"),
        Column(prose("Degenerate"), numeric=False, hint="the stack says BUY too rarely for its results to mean much"),
    )
    rows = tuple(_row(record, chunk) for chunk in record.chunks)
    table = Table("actions", prose("Actions of the stack on the test days"), columns, rows)
    return Section("decisions", prose("Decisions"), (*_banner(record), table))


def _row(record: RunRecord, chunk: int) -> Row:
    row = record.row(STACK, chunk)
    if row is None:
        return Row((chunk_name(record, chunk), *(prose("not recorded") for _ in range(6))))
    where: Where = {"chunk": chunk, "split": TEST}
    return Row(
        (
            chunk_name(record, chunk),
            *(measured(record, row, f"{action}_rate", "percent") for action in ("buy", "hold", "sell")),
            prose(record.claim(table_source(DECISIONS, "count()", **where), "integer")),
            prose(record.claim(table_source(DECISIONS, "nunique(ticker)", **where), "integer")),
            measured(record, row, "degenerate", "yes_no"),
        )
    )


def _banner(record: RunRecord) -> tuple[Paragraph, ...]:
    banners = []
    for chunk in record.chunks:
        row = record.row(STACK, chunk)
        if row is not None and row.content.get("degenerate"):
            text = prose(
                "Degenerate: in ",
                chunk_name(record, chunk),
                " the stack says BUY in only ",
                measured(record, row, "buy_rate", "percent_2"),
                " of its decisions. Read its results there as those of holding cash.",
            )
            banners.append(Paragraph(text, "warning"))
    return tuple(banners)
