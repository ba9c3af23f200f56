"""What it took to get there: exposure, turnover and costs on the test days."""

from __future__ import annotations

from glassbox_bt.reporting.derived import EQUITY
from glassbox_bt.reporting.figures import Line, Panel, Picture, look_of
from glassbox_bt.reporting.record import STACK, TEST, RunRecord, Where, table_source
from glassbox_bt.reporting.report import Figure, Figures, Section, prose
from glassbox_bt.reporting.sections.measures import POOLED_TRADING, TRADING, meanings, measures_table, pooled_rows
from glassbox_bt.reporting.sections.performance import curves, legend
from glassbox_bt.reporting.sections.phrases import chunk_name, period

__all__ = ["trading"]


def trading(record: RunRecord) -> Section:
    """Exposure over time, a table over all chunks, and one per chunk, folded."""
    figures = Figures(
        "exposure",
        prose("Share of equity that is invested, on the test days"),
        tuple(_exposure(record, chunk) for chunk in record.chunks),
        legend(record),
    )
    tables = [
        measures_table(
            record,
            f"trading-chunk{chunk}",
            prose(chunk_name(record, chunk), ", test ", period(record, chunk), ": exposure, turnover and costs"),
            record.rows(chunk, selection=False),
            TRADING,
        )
        for chunk in record.chunks
    ]
    pooled = pooled_rows(record)
    title = prose("Exposure, turnover and costs")
    columns = Section("trading-columns", prose("What the columns mean"), (meanings(TRADING),), folded=True)
    if not pooled:
        return Section("trading", title, (figures, *tables), (columns,))
    caption = prose("All chunks: exposure, turnover and costs over the test days")
    chunks = Section("trading-chunks", prose("Chunk by chunk"), tuple(tables), folded=True)
    table = measures_table(record, "trading-pooled", caption, pooled, POOLED_TRADING)
    return Section("trading", title, (figures, table), (chunks, columns))


def _exposure(record: RunRecord, chunk: int) -> Figure:
    days, exposure = curves(record, chunk, "exposure")
    lines = tuple(Line(name, look_of(name, record.strategies), values) for name, values in exposure.items())
    stack: Where = {"chunk": chunk, "split": TEST, "strategy": STACK}
    extremes = [
        record.claim(table_source(EQUITY, f"{which}(exposure)", **stack), "percent") for which in ("mean", "min", "max")
    ]
    words = prose(
        "The stack is invested to ", extremes[0], " on average, between ", extremes[1], " and ", extremes[2], ".",
    )  # fmt: skip
    return Figure(
        f"exposure-chunk{chunk}",
        prose(chunk_name(record, chunk), ", ", period(record, chunk)),
        words,
        Picture(days, (Panel("Exposure", lines, "percent"),), height=2.2),
        (f"{EQUITY}?chunk={chunk}&split={TEST}",),
    )
