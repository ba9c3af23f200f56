"""Every measure of every strategy with its interval, over all test days and chunk by chunk."""

from __future__ import annotations

from collections.abc import Sequence

from glassbox_bt.reporting.record import POOLED, STACK, Entry, RunRecord
from glassbox_bt.reporting.report import Column, Prose, Row, RowGroup, Section, Table, prose
from glassbox_bt.reporting.sections.estimates import level, measure_style, value_with_interval
from glassbox_bt.reporting.sections.phrases import chunk_name, listed

__all__ = ["every_interval"]

HINT = "estimate and, in brackets, its interval"


def every_interval(record: RunRecord) -> Section:
    """One group of rows per measure, one row per strategy; folded. Why an interval is missing stands below."""
    entries = record.entries("intervals")
    columns = (
        Column(prose("Strategy"), numeric=False),
        Column(prose("All chunks"), hint=HINT),
        *(Column(chunk_name(record, chunk), hint=HINT) for chunk in record.chunks),
    )
    found = {(str(one.get("measure")), str(one.get("strategy")), one.get("chunk")): one for one in entries}
    measures = dict.fromkeys(measure for measure, _, _ in found)
    groups = tuple(_group(record, measure, found) for measure in measures)
    caption = prose("Every measure on the test days, with its ", level(record))
    table = Table("intervals-table", caption, columns, groups, _withheld(record, entries))
    return Section("intervals", prose("Every measure with its interval, all chunks and one by one"), (table,), folded=True)


def _group(record: RunRecord, measure: str, found: dict[tuple[str, str, int], Entry]) -> RowGroup:
    rows, head = [], None
    for strategy in record.strategies:
        entries = [found.get((measure, strategy, chunk)) for chunk in (POOLED, *record.chunks)]
        first = next((one for one in entries if one is not None), None)
        if first is None:
            continue
        head = head or first
        cells = (
            prose("not recorded") if one is None else value_with_interval(record, one, "estimate", measure_style(measure))
            for one in entries
        )
        name = prose(record.claim(first.source("strategy"), "strategy"))
        rows.append(Row((name, *cells), "stack" if strategy == STACK else "plain"))
    return RowGroup(tuple(rows), prose(record.claim(head.source("measure"), "measure")) if head else ())


def _withheld(record: RunRecord, entries: Sequence[Entry]) -> tuple[Prose, ...]:
    """Why there is no interval: by measure where it lacks for every strategy, by strategy otherwise."""
    lacking = [one for one in entries if one.get("withheld")]
    notes = []
    for reason in dict.fromkeys(str(one.get("withheld")) for one in lacking):
        here = [one for one in lacking if one.get("withheld") == reason]
        names = {one.get("strategy") for one in here}
        everybody = names == {one.get("strategy") for one in entries}
        key, style = ("measure", "measure") if everybody else ("strategy", "strategy")
        firsts = {str(one.get(key)): one for one in reversed(here)}
        said = [record.claim(firsts[name].source(key), style) for name in dict.fromkeys(str(one.get(key)) for one in here)]
        notes.append(prose("No interval for ", listed(said), ": ", record.claim(here[0].source("withheld")), "."))
    return tuple(notes)
