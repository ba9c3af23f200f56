"""The stack against its rivals: paired differences with intervals and adjusted p-values, and tests over all at once."""

from __future__ import annotations

from glassbox_bt.reporting.figures import Forest, Span
from glassbox_bt.reporting.record import METRICS, POOLED, Entry, RunRecord
from glassbox_bt.reporting.report import (
    Block,
    Claim,
    Column,
    Figure,
    Figures,
    Item,
    Listing,
    Paragraph,
    Prose,
    Row,
    Section,
    Table,
    prose,
)
from glassbox_bt.reporting.sections.estimates import (
    absent,
    difference_style,
    how_to_read,
    interval,
    level,
    measure_style,
    p_values,
    primary,
    span,
    tested_how,
    value_with_interval,
    verdict_cell,
)
from glassbox_bt.reporting.sections.phrases import chunk_name, listed

__all__ = ["comparisons"]

RIVALS = "rivals"
INTRO = Paragraph(
    prose(
        "Stack less rival, day by day on the same days, then resampled in blocks of days. Intervals stand for one "
        "comparison each; the adjusted p-values allow for there being several."
    )
)


def comparisons(record: RunRecord) -> Section:
    """Forest plots of the differences, the table behind the first, and what all rivals together say."""
    title = prose("Against the rivals")
    measure = primary(record)
    pooled = _pooled(record, measure)
    if not pooled:
        return Section("comparisons", title, (absent("paired comparisons with its rivals"),))
    others = dict.fromkeys(str(one.get("measure")) for one in record.entries("comparisons", family=RIVALS, chunk=POOLED))
    drawn = (measure, *(other for other in others if other != measure))
    figures = Figures(
        "comparisons-plots",
        prose("Stack less rival, test days of all chunks, with ", level(record), "s"),
        tuple(_figure(record, one, _pooled(record, one)) for one in drawn),
    )
    blocks: list[Block] = [INTRO, figures, _table(record, pooled)]
    together = [*_superior(record), *_confidence_set(record)]
    if together:
        blocks.append(Listing(tuple(together), "facts"))
    return Section("comparisons", title, tuple(blocks))


def _pooled(record: RunRecord, measure: str) -> tuple[Entry, ...]:
    return record.entries("comparisons", family=RIVALS, chunk=POOLED, measure=measure)


def _figure(record: RunRecord, measure: str, pooled: tuple[Entry, ...]) -> Figure:
    is_primary = measure == primary(record)
    band = record.metrics.get("settings", {}).get("smallest_effect") if is_primary else None
    words = record.claim(pooled[0].source("measure"), "measure")
    forest = Forest(
        tuple(_span(record, one) for one in pooled),
        f"difference in {words.text}",
        "percent" if measure_style(measure).startswith("percent") else "plain",
        band=None if band is None else float(band),
        sides=("rival better", "stack better"),
    )
    return Figure(
        f"comparisons-{measure.replace('_', '-')}",
        prose(words, "" if is_primary else ", described only"),
        _in_words(record, pooled),
        forest,
        (f"{METRICS}#/comparisons",),
    )


def _span(record: RunRecord, entry: Entry) -> Span:
    chunks = _chunks(record, entry)
    points = tuple(float(one.get("difference")) for one in chunks if one is not None and one.get("difference") is not None)
    return span(_name(record, entry).text, entry, "difference", points=points)


def _chunks(record: RunRecord, entry: Entry) -> list[Entry | None]:
    """The same comparison chunk by chunk."""
    found = record.entries("comparisons", family=RIVALS, name=str(entry.get("name")), measure=str(entry.get("measure")))
    by_chunk = {one.get("chunk"): one for one in found}
    return [by_chunk.get(chunk) for chunk in record.chunks]


def _name(record: RunRecord, entry: Entry) -> Claim:
    return record.claim(entry.source("name"), "strategy")


def _in_words(record: RunRecord, pooled: tuple[Entry, ...]) -> Prose:
    style = difference_style(str(pooled[0].get("measure")))
    said = [
        prose(
            _name(record, one), " ", value_with_interval(record, one, "difference", style), ", ",
            record.claim(one.source("verdict")),
        )
        for one in pooled
    ]  # fmt: skip
    return how_to_read(said)


def _table(record: RunRecord, pooled: tuple[Entry, ...]) -> Table:
    measure = record.claim(pooled[0].source("measure"), "measure")
    columns = (
        Column(prose("Rival"), numeric=False),
        Column(prose("Verdict"), numeric=False, hint="on the claim that the stack is better"),
        Column(prose("Difference"), hint="stack less rival; positive = the stack is better"),
        Column(level(record), hint="of the difference, by paired block bootstrap"),
        Column(prose("p (adjusted)"), hint="two-sided; in brackets adjusted for the number of rivals (Holm)"),
        Column(prose("Could have shown"), hint="smallest true difference that this sample would have found"),
        *(Column(chunk_name(record, chunk), hint="difference on the test days of the chunk") for chunk in record.chunks),
    )
    rows = tuple(_row(record, one) for one in pooled)
    caption = prose(measure, ", stack less rival, test days of all chunks")
    notes = (tested_how(record), prose("A rival that bears no risk has no Sharpe ratio and is not tested."))
    return Table("comparisons-table", caption, columns, rows, notes)


def _row(record: RunRecord, entry: Entry) -> Row:
    measure = primary(record)
    style, size = difference_style(measure), measure_style(measure)
    chunks = (
        prose("not recorded") if one is None else prose(record.claim(one.source("difference"), style))
        for one in _chunks(record, entry)
    )
    return Row(
        (
            prose(_name(record, entry)),
            verdict_cell(record, entry),
            prose(record.claim(entry.source("difference"), style)),
            interval(record, entry, size),
            p_values(record, entry),
            prose(record.claim(entry.source("smallest_detectable"), size)),
            *chunks,
        )
    )


def _superior(record: RunRecord) -> list[Item]:
    """Superior predictive ability: whether the best rival's lead could be chance."""
    return [
        Item(
            prose(
                "that none of ", record.claim(one.source("n"), "integer"), " rivals is truly better than the stack: p ",
                record.claim(one.source("p_consistent"), "p_value"),
                " (between ", record.claim(one.source("p_lower"), "p_value"),
                " and ", record.claim(one.source("p_upper"), "p_value"), "); a small p would say that one is",
            ),
            prose("Superior predictive ability"),
        )
        for one in record.entries("families", family=RIVALS, test="spa", chunk=POOLED)
    ]  # fmt: skip


def _confidence_set(record: RunRecord) -> list[Item]:
    """Model confidence set: which strategies this sample cannot tell from the best."""
    items = []
    for one in record.entries("families", family=RIVALS, test="mcs", chunk=POOLED):
        inside = [record.claim(one.source(f"included/{i}"), "strategy") for i in range(len(one.get("included") or ()))]
        outside = [record.claim(one.source(f"excluded/{i}"), "strategy") for i in range(len(one.get("excluded") or ()))]
        words = prose(
            "may be the best on these days: ", listed(inside) if inside else "none",
            "; told to be worse: ", listed(outside) if outside else "none",
        )  # fmt: skip
        items.append(Item(words, prose("Model confidence set")))
    return items
