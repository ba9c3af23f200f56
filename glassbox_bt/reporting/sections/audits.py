"""Whether the explanations hold: every audit with its status, what it found and what it measured."""

from __future__ import annotations

from collections.abc import Sequence

from glassbox_bt.reporting.derived import derived
from glassbox_bt.reporting.record import AUDITS, TEST, Entry, RunRecord
from glassbox_bt.reporting.report import (
    Block,
    Code,
    Column,
    Item,
    Listing,
    Paragraph,
    Prose,
    Row,
    RowGroup,
    Section,
    Table,
    prose,
)
from glassbox_bt.reporting.sections.estimates import absent
from glassbox_bt.reporting.sections.phrases import chunk_name, listed

__all__ = ["audits"]

FAILED = "FAIL"
STATES = ("pass", FAILED, "note", "not applicable")
MOST_FINDINGS = 3  # of one audit that are printed; the rest stands in its file
SPACE = "\N{NO-BREAK SPACE}"
SIGNS = {"pass": f"\N{CHECK MARK}{SPACE}", FAILED: f"\N{BALLOT X}{SPACE}", "note": f"\N{BULLET}{SPACE}"}

Audit = tuple[Prose, Entry]  # name and headline


def audits(record: RunRecord) -> Section:
    """The verdict in words, one row per audit, what failed; folded, what was noted and what was measured."""
    title = prose("Audits")
    found = _audits(record)
    if not found:
        return Section("audits", title, (absent("audits"),))
    failed = [one for one in found if one[1].get("status") == FAILED]
    noted = [one for one in found if one[1].get("status") != FAILED]
    notes = [block for one in noted for block in (*_findings(record, one), *_not_asked(record, one))]
    blocks = [_summary(record), _table(record, found), *(block for one in failed for block in _findings(record, one))]
    parts = [Section("audit-notes", prose("Notes, and what could not be asked"), tuple(notes), folded=True)] if notes else []
    metrics = _metrics(record, found)
    if metrics:
        parts.append(Section("audit-metrics", prose("What the audits measured, on test"), (metrics,), folded=True))
    return Section("audits", title, tuple(blocks), tuple(parts))


def _audits(record: RunRecord) -> list[Audit]:
    if not record.holds(AUDITS):
        return []
    found = []
    for place, name in enumerate(sorted(record.document(AUDITS))):
        words = prose(record.claim(derived("audit", place=place), "words"))
        found.append((words, Entry(f"{AUDITS}#/{name}", record.document(AUDITS)[name])))
    return found


def _rows(record: RunRecord, audit: Audit, name: str) -> tuple[Entry, ...]:
    """One of the lists of an audit's headline."""
    return record.entries_of(AUDITS, f"{audit[1].place.partition('#')[2]}/{name}")


def _summary(record: RunRecord) -> Paragraph:
    n_failed = record.claim(derived("n_audits", status=FAILED), "integer")
    counts = [(state, record.claim(derived("n_audits", status=state), "integer")) for state in STATES]
    said = listed([prose(state, ": ", count) for state, count in counts if count.value or state in ("pass", FAILED)])
    text = prose(
        "Audits ask whether the explanations are true to what was computed. Of ",
        record.claim(derived("n_audits"), "integer"), ", ", said, "; findings in all: ",
        record.claim(derived("n_findings"), "integer"), ".",
    )  # fmt: skip
    return Paragraph(text, "warning" if n_failed.value else "plain")


def _table(record: RunRecord, found: Sequence[Audit]) -> Table:
    columns = (
        Column(prose("Audit"), numeric=False),
        Column(prose("Question"), numeric=False),
        Column(prose("Status"), numeric=False, hint="a hard audit that fails stops the command with an error"),
        Column(prose("Hard"), numeric=False, hint="whether a finding is a fault"),
        Column(prose("Checks")),
        Column(prose("Findings")),
    )
    rows = tuple(
        Row(
            (
                name,
                _cell(record, entry, "question", "text"),
                prose(SIGNS.get(str(entry.get("status")), ""), *_cell(record, entry, "status", "text")),
                _cell(record, entry, "hard", "yes_no"),
                _cell(record, entry, "n_checks", "integer"),
                _cell(record, entry, "n_findings", "integer"),
            )
        )
        for name, entry in found
    )
    return Table("audits-table", prose("Every audit of this run"), columns, rows)


def _cell(record: RunRecord, entry: Entry, name: str, style: str) -> Prose:
    return prose(record.claim(entry.source(name), style) if name in entry.content else "not recorded")


def _findings(record: RunRecord, audit: Audit) -> list[Block]:
    """The first findings of one audit, faults before notes, test before other splits."""
    recorded = sorted(_rows(record, audit, "findings"), key=lambda one: (not one.get("hard"), one.get("split") != TEST))
    if not recorded:
        return []
    name, entry = audit
    n_findings = record.claim(entry.source("n_findings"), "integer")
    rest = (" The first of them; all stand in ", Code("audits"), ".") if len(recorded) > MOST_FINDINGS else ()
    head = Paragraph(prose("Findings of ", *name, ": ", n_findings, ".", *rest))
    return [head, Listing(tuple(_finding(record, one) for one in recorded[:MOST_FINDINGS]))]


def _finding(record: RunRecord, finding: Entry) -> Item:
    """Where it lies and what was found."""
    where: list[Prose] = [prose(record.claim(finding.source("module"), "words"))]
    if finding.get("column"):
        where.append(prose(", ", record.claim(finding.source("column"), "words")))
    if finding.get("chunk") is not None:
        where.append(prose(", chunk ", record.claim(finding.source("chunk"), "integer")))
    for key, style in (("split", "text"), ("cut", "date")):
        if finding.get(key):
            where.append(prose(", ", record.claim(finding.source(key), style)))
    said = [prose(record.claim(finding.source(key))) for key in ("check", "detail") if finding.get(key)]
    return Item(prose(*(prose(": " if place else "", part) for place, part in enumerate(said))), prose(*where, ": "))


def _not_asked(record: RunRecord, audit: Audit) -> list[Block]:
    """Why an audit looked at nothing, or not at everything."""
    name, entry = audit
    if entry.get("reason"):
        return [Paragraph(prose("Reason of ", *name, ": ", record.claim(entry.source("reason"))))]
    skipped = entry.get("not_asked") or ()
    if not skipped:
        return []
    shown = [record.claim(entry.source(f"not_asked/{place}")) for place in range(min(len(skipped), MOST_FINDINGS))]
    rest = prose("; and so on, see ", Code("audits")) if len(skipped) > MOST_FINDINGS else ()
    return [Paragraph(prose("Not asked by ", *name, ": ", listed(shown), *rest, "."))]


def _metrics(record: RunRecord, found: Sequence[Audit]) -> Table | None:
    """One row per metric and module, one column per chunk; values of other splits stand in the audits' files."""
    groups = []
    for audit in found:
        by_row: dict[tuple[str, str], dict[object, Entry]] = {}
        for one in _rows(record, audit, "metrics"):
            if one.get("split") in (TEST, None, ""):
                by_row.setdefault((str(one.get("metric")), str(one.get("module"))), {})[one.get("chunk")] = one
        if by_row:
            groups.append(RowGroup(tuple(_metric(record, chunks) for chunks in by_row.values()), audit[0]))
    if not groups:
        return None
    columns = (
        Column(prose("Metric"), numeric=False),
        Column(prose("Module"), numeric=False),
        *(Column(chunk_name(record, chunk), hint="on the test days") for chunk in record.chunks),
        Column(prose("All"), hint="where the metric is not of one chunk"),
        Column(prose("Asked for"), numeric=False),
    )
    return Table("audit-metrics-table", prose("Metrics of the audits on test"), columns, tuple(groups))


def _metric(record: RunRecord, chunks: dict[object, Entry]) -> Row:
    first = next(iter(chunks.values()))
    return Row(
        (
            _cell(record, first, "metric", "words"),
            _cell(record, first, "module", "words"),
            *(_measured(record, chunks.get(chunk)) for chunk in (*record.chunks, None)),
            prose(record.claim(first.source("threshold"))) if first.get("threshold") else prose(""),
        )
    )


def _measured(record: RunRecord, one: Entry | None) -> Prose:
    """A value and, where something was asked of it, what became of that."""
    if one is None:
        return prose("")
    value = record.claim(one.source("value"), "number_3")
    if not one.get("threshold"):
        return prose(value)
    return prose(value, " ", record.claim(one.source("verdict")))
