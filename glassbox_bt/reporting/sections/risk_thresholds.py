"""Fixed thresholds of the rules beside where they lie among the train answers, and how often they fire."""

from __future__ import annotations

from glassbox_bt.reporting.record import Entry, RunRecord
from glassbox_bt.reporting.report import Block, Column, Paragraph, Prose, Row, Section, Table, prose
from glassbox_bt.reporting.sections.estimates import absent
from glassbox_bt.reporting.sections.phrases import chunk_name
from glassbox_bt.reporting.sections.risk_names import THRESHOLDS

__all__ = ["threshold_section"]

KEYS = ("rule", "module", "score")
SHARES = ("train_quantile", "train_share", "test_share")


def threshold_section(record: RunRecord) -> Section:
    """One row per rule and score, one column per chunk."""
    title = prose("Thresholds: fixed numbers and train quantiles")
    entries = record.entries(THRESHOLDS)
    if not entries:
        return Section("risk-thresholds", title, (absent("thresholds of its rules"),))
    words = (
        "A rule fires where a score passes a fixed number of the plan. What that number means depends on the scores: beside "
        "it stands the share of train answers below it, and how often the rule fires by this score on train and on test. "
        "Nothing was moved after looking."
    )
    blocks: list[Block] = [Paragraph(prose(words)), _table(record, entries)]
    return Section("risk-thresholds", title, tuple(blocks))


def _table(record: RunRecord, entries: tuple[Entry, ...]) -> Table:
    hint = "share of train answers below it; in brackets how often it fires on train, then on test"
    columns = (
        Column(prose("Rule"), numeric=False),
        Column(prose("Score"), numeric=False),
        Column(prose("Fires"), hint="where the score passes this fixed number of the plan"),
        *(Column(chunk_name(record, chunk), hint=hint) for chunk in record.chunks),
    )
    found: dict[tuple[str, ...], dict[int, Entry]] = {}
    for one in entries:
        found.setdefault(tuple(str(one.get(key)) for key in KEYS), {})[int(one.get("chunk"))] = one
    rows = tuple(_row(record, by_chunk) for by_chunk in found.values())
    notes = (
        prose("By chunk: share of train answers below the number (share on which it fires on train, on test)."),
        prose("PS cap: position sizing allows at most this fraction of equity where the score of that risk is so high."),
        prose("A dash: the score has no known answer there. Scores on a rank scale have a quantile near their number."),
    )
    return Table("risk-thresholds-table", prose("Fixed thresholds and their train quantiles"), columns, rows, notes)


def _row(record: RunRecord, by_chunk: dict[int, Entry]) -> Row:
    first = by_chunk[min(by_chunk)]
    return Row(
        (
            prose(record.claim(first.source("rule"), "rule")),
            prose(record.claim(first.source("score"), "words")),
            prose(record.claim(first.source("fires")), " ", record.claim(first.source("threshold"), "number")),
            *(_cell(record, by_chunk.get(chunk)) for chunk in record.chunks),
        )
    )


def _cell(record: RunRecord, entry: Entry | None) -> Prose:
    if entry is None:
        return prose("not recorded")
    quantile, train, test = (record.claim(entry.source(name), "percent") for name in SHARES)
    if not quantile.known and not test.known:
        return prose(quantile)
    return prose(quantile, " (", train, ", ", test, ")")
