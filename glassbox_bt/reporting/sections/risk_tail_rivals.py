"""Value at risk and expected shortfall together against a volatility times a fixed tail."""

from __future__ import annotations

from dataclasses import replace

from glassbox_bt.reporting.figures import Forest, Span
from glassbox_bt.reporting.record import METRICS, POOLED, Entry, RunRecord
from glassbox_bt.reporting.report import Block, Column, Figure, Figures, Paragraph, Prose, Row, RowGroup, Table, prose
from glassbox_bt.reporting.sections.estimates import (
    SIGNS,
    absent,
    how_to_read,
    interval,
    level,
    p_values,
    span,
    value_with_interval,
    verdict_cell,
)
from glassbox_bt.reporting.sections.phrases import chunk_name
from glassbox_bt.reporting.sections.risk_names import TAIL_CONTESTS, counted_verdicts

__all__ = ["tail_rival_blocks", "tail_rivals_by_chunk"]

GAIN, SIZE = "difference_3", "number_3"


def tail_rival_blocks(record: RunRecord) -> list[Block]:
    """In words, drawn and in a table, over all test days."""
    entries = record.entries(TAIL_CONTESTS, chunk=POOLED)
    if not entries:
        return [absent("comparison of tails with a rival")]
    words = prose(
        "Against rivals, value at risk and expected shortfall are judged as a pair, by a loss that the true pair makes "
        "smallest (Fissler and Ziegel). Rivals are a weighted volatility times the tail of a fixed distribution. Claims "
        "that the stated pair is better: ", counted_verdicts(record, TAIL_CONTESTS), ".",
    )  # fmt: skip
    return [Paragraph(words), _figure(record, entries), _table(record, entries)]


def _levels(entries: tuple[Entry, ...]) -> list[tuple[Entry, ...]]:
    """Rows of one level together."""
    levels = sorted({int(one.get("level")) for one in entries})
    return [tuple(one for one in entries if one.get("level") == wanted) for wanted in levels]


def _head(record: RunRecord, rows: tuple[Entry, ...]) -> Prose:
    return prose("At ", record.claim(rows[0].source("level"), "integer"), " %")


def _figure(record: RunRecord, entries: tuple[Entry, ...]) -> Figures:
    spans = tuple(_span(record, one) for rows in _levels(entries) for one in rows)
    said = [
        prose(
            "at ", record.claim(one.source("level"), "integer"), " % against ", record.claim(one.source("rival")), " ",
            value_with_interval(record, one, "estimate", GAIN), ", ", record.claim(one.source("verdict")),
        )
        for one in entries
    ]  # fmt: skip
    band = float(entries[0].get("smallest_effect"))
    forest = Forest(spans, "difference in loss", band=band, sides=("rival better", "stated pair better"))
    source = f"{METRICS}#/{TAIL_CONTESTS}"
    drawn = Figure(
        "risk-tails-joint-loss", prose("Joint loss, rival’s less the stated pair’s"), how_to_read(said), forest, (source,)
    )
    title = prose("Tails against their rivals, test days of all chunks, with ", level(record), "s")
    return Figures("risk-tails-forest", title, (drawn,))


def _span(record: RunRecord, entry: Entry) -> Span:
    found = (one for one in _chunks(record, entry) if one is not None and one.get("estimate") is not None)
    points = tuple(float(one.get("estimate")) for one in found)
    return replace(span(str(entry.get("rival")), entry, "estimate", points=points), group=f"At {entry.get('level')} %")


def _chunks(record: RunRecord, entry: Entry) -> list[Entry | None]:
    keys = {key: entry.get(key) for key in ("level", "rival")}
    by_chunk = {one.get("chunk"): one for one in record.entries(TAIL_CONTESTS, **keys)}
    return [by_chunk.get(chunk) for chunk in record.chunks]


def _table(record: RunRecord, entries: tuple[Entry, ...]) -> Table:
    columns = (
        Column(prose("Rival"), numeric=False),
        Column(prose("Verdict"), numeric=False, hint="on the claim that the stated pair is better"),
        Column(prose("Stated pair"), hint="mean joint loss; smaller is better"),
        Column(prose("Rival’s")),
        Column(prose("Gain"), hint="rival's loss less that of the stated pair; positive = better"),
        Column(level(record), hint="of the gain, by blocks of days"),
        Column(prose("p (adjusted)"), hint="two-sided; in brackets by Holm over levels and rivals"),
        Column(prose("p (Diebold-Mariano)"), hint="two-sided, not adjusted"),
        Column(prose("Could have shown"), hint="smallest true gain that this sample would have found"),
    )
    groups = tuple(RowGroup(tuple(_row(record, one) for one in rows), _head(record, rows)) for rows in _levels(entries))
    caption = prose("Value at risk with expected shortfall against rivals, test days of all chunks")
    return Table("risk-tails-rivals", caption, columns, groups)


def _row(record: RunRecord, entry: Entry) -> Row:
    return Row(
        (
            prose(record.claim(entry.source("rival"))),
            verdict_cell(record, entry),
            prose(record.claim(entry.source("answer_score"), "number_4")),
            prose(record.claim(entry.source("rival_score"), "number_4")),
            prose(record.claim(entry.source("estimate"), GAIN)),
            interval(record, entry, SIZE),
            p_values(record, entry),
            prose(record.claim(entry.source("dm_p"), "p_value")),
            prose(record.claim(entry.source("smallest_detectable"), SIZE)),
        )
    )


def tail_rivals_by_chunk(record: RunRecord) -> list[Block]:
    """Gain over each rival, chunk by chunk; nothing where the run has no such rows."""
    entries = record.entries(TAIL_CONTESTS, chunk=POOLED)
    if not entries:
        return []
    hint = "gain with its interval, and p before any correction; the mark is the verdict of the chunk"
    columns = (
        Column(prose("Rival"), numeric=False),
        *(Column(chunk_name(record, chunk), hint=hint) for chunk in record.chunks),
    )
    groups = tuple(
        RowGroup(tuple(_chunk_row(record, one) for one in rows), _head(record, rows)) for rows in _levels(entries)
    )
    return [Table("risk-tails-rivals-chunks", prose("Gain over each rival by chunk"), columns, groups)]


def _chunk_row(record: RunRecord, entry: Entry) -> Row:
    cells = (prose("not recorded") if one is None else _in_chunk(record, one) for one in _chunks(record, entry))
    return Row((prose(record.claim(entry.source("rival"))), *cells))


def _in_chunk(record: RunRecord, entry: Entry) -> Prose:
    sign = SIGNS.get(str(entry.get("verdict")), "")
    p_value = record.claim(entry.source("p_value"), "p_value")
    return prose(sign, value_with_interval(record, entry, "estimate", GAIN), *((", p ", p_value) if p_value.known else ()))
