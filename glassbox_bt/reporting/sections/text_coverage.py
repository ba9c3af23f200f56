"""How much of the test days has text, of which names, and how long a document waited for a decision."""

from __future__ import annotations

import numpy as np

from glassbox_bt.reporting.derived import derived
from glassbox_bt.reporting.figures import Bars, Coverage
from glassbox_bt.reporting.record import METRICS, POOLED, TEST, Entry, RunRecord
from glassbox_bt.reporting.report import (
    Block,
    Column,
    Figure,
    Figures,
    Paragraph,
    Prose,
    Row,
    RowGroup,
    Section,
    Table,
    prose,
)
from glassbox_bt.reporting.sections.estimates import absent
from glassbox_bt.reporting.sections.phrases import chunk_name
from glassbox_bt.reporting.sections.text_names import PARTS

__all__ = ["coverage_sections", "lag_table", "parts_table"]

DAYS, MONTHS, TICKERS = (f"text_coverage/{name}" for name in ("days", "months", "tickers"))
LAGS, BINS = "text_coverage/lags", "text_coverage/lag_bins"
PLACES = {"most": "Most documents", "fewest": "Fewest documents"}
MOMENTS = (
    ("before_open", "before the open"),
    ("in_session", "in the session"),
    ("after_close", "after the close"),
    ("no_session", "no session that day"),
    ("day_only", "day only"),
)


def coverage_sections(record: RunRecord) -> tuple[Section, ...]:
    """Coverage and lags; months folded."""
    if not record.entries(PARTS):
        return (Section("text-coverage", prose("Coverage"), (absent("coverage of its text"),)),)
    by_day: tuple[Block, ...] = (_figures(record), parts_table(record), tickers_table(record))
    months = Section("text-months", prose("Coverage month by month"), (_months(record),), folded=True)
    lags: list[Block] = [Paragraph(_waited(record)), lag_table(record)]
    if any(one.content["n"] for one in record.entries(BINS)):
        lags.append(_bars(record))
    return (
        Section("text-coverage", prose("Coverage by day and by name"), by_day),
        months,
        Section("text-lags", prose("From publication to the first decision"), tuple(lags)),
    )


def _figures(record: RunRecord) -> Figures:
    drawn = tuple(_figure(record, chunk) for chunk in record.chunks if record.entries(DAYS, chunk=chunk, split=TEST))
    return Figures("text-days", prose("Share of names with text, test days"), drawn)


def _figure(record: RunRecord, chunk: int) -> Figure:
    rows = record.entries(DAYS, chunk=chunk, split=TEST)
    text, fresh = (
        np.array([one.content[name] for one in rows], dtype=np.float64)
        for name in ("share_with_text", "share_with_document")
    )
    picture = Coverage(tuple(str(one.content["date"]) for one in rows), text, fresh)
    least, most = rows[int(text.argmin())], rows[int(text.argmax())]
    words = prose(
        "Of the names of a day between ", record.claim(least.source("share_with_text"), "percent"), " (",
        record.claim(least.source("date"), "date"), ") and ", record.claim(most.source("share_with_text"), "percent"), " (",
        record.claim(most.source("date"), "date"), ") have text that still counts; the dashed line is the share with a "
        "document of that session.",
    )  # fmt: skip
    key = f"text-days-chunk{chunk}"
    return Figure(key, chunk_name(record, chunk), words, picture, (f"{METRICS}#/{DAYS}",))


def parts_table(record: RunRecord) -> Table:
    """One row per chunk and split; validation is grey."""
    columns = (
        Column(prose("Days of"), numeric=False),
        Column(prose("Name-days"), hint="members of the universe times days"),
        Column(prose("With text"), hint="name-days on which a document of this session or the five before still counts"),
        Column(prose("With a document"), hint="name-days with a document of their own session"),
        Column(prose("Documents, per name"), hint="counted once for each name that they speak of"),
        Column(prose("Market-wide"), hint="documents about no single name"),
        Column(prose("Names with any"), hint="names with at least one document, of all names"),
        Column(prose("Median, most"), hint="documents of a name-day that has one"),
    )
    pooled, rows = record.entries(PARTS, chunk=POOLED), []
    for one in (*pooled, *(row for row in record.entries(PARTS) if row.get("chunk") != POOLED)):
        rows.append(_part_row(record, one))
    notes = (
        prose("Rows of validation are grey: they only describe, and no verdict uses them."),
        prose("A document counts once for each name that it speaks of; where waits are told, it counts once in all."),
    )
    return Table("text-parts", prose("Text on the days of validation and test"), columns, tuple(rows), notes)


def _part_row(record: RunRecord, one: Entry) -> Row:
    is_test = one.get("split") == TEST
    split = "test" if is_test else "validation"
    head = (
        prose("All chunks, test")
        if one.get("chunk") == POOLED
        else prose(chunk_name(record, one.content["chunk"]), f", {split}")
    )

    def told(name: str, style: str) -> Prose:
        return prose(record.claim(one.source(name), style))

    return Row(
        (
            head,
            told("n_name_days", "integer"),
            told("share_with_text", "percent"),
            told("share_with_document", "percent"),
            told("n_documents", "integer"),
            told("n_market_wide", "integer"),
            prose(told("n_names_with_document", "integer"), " of ", told("n_names", "integer")),
            prose(told("median_documents", "plain"), ", ", told("max_documents", "integer")),
        ),
        "plain" if is_test else "muted",
    )


def tickers_table(record: RunRecord) -> Table:
    """Names with the most and the fewest documents over all test days."""
    columns = (
        Column(prose("Name"), numeric=False),
        Column(prose("Documents, per name")),
        Column(prose("Days with a document"), hint="test days on which the name is a member"),
        Column(prose("Of its days")),
    )
    groups = []
    for place, words in PLACES.items():
        rows = record.entries(TICKERS, place=place)
        if rows:
            head = prose(words if record.entries(TICKERS, place="fewest") else "All names")
            groups.append(RowGroup(tuple(_ticker_row(record, one) for one in rows), head))
    caption = prose("Text by name, test days of all chunks")
    return Table(
        "text-tickers",
        caption,
        columns,
        tuple(groups),
        (prose("Of names with as many documents the first in the alphabet comes first."),),
    )


def _ticker_row(record: RunRecord, one: Entry) -> Row:
    days = prose(
        record.claim(one.source("n_days_with_document"), "integer"), " of ", record.claim(one.source("n_days"), "integer")
    )
    return Row(
        (
            prose(record.claim(one.source("ticker"))),
            prose(record.claim(one.source("n_documents"), "integer")),
            days,
            prose(record.claim(one.source("share_with_document"), "percent")),
        )
    )


def _months(record: RunRecord) -> Table:
    columns = (
        Column(prose("Month"), numeric=False),
        Column(prose("Name-days")),
        Column(prose("With text")),
        Column(prose("With a document")),
        Column(prose("Documents, per name")),
    )
    groups = []
    for chunk in record.chunks:
        for split, words in (("val", "validation"), (TEST, "test")):
            rows = record.entries(MONTHS, chunk=chunk, split=split)
            if rows:
                head = prose(chunk_name(record, chunk), f", {words}")
                groups.append(RowGroup(tuple(_month_row(record, one) for one in rows), head))
    return Table("text-months-table", prose("Text by month"), columns, tuple(groups))


def _month_row(record: RunRecord, one: Entry) -> Row:
    shown = (
        ("month", "date"),
        ("n_name_days", "integer"),
        ("share_with_text", "percent"),
        ("share_with_document", "percent"),
        ("n_documents", "integer"),
    )
    cells = tuple(prose(record.claim(one.source(name), style)) for name, style in shown)
    return Row(cells, "plain" if one.get("split") == TEST else "muted")


def _waited(record: RunRecord) -> Prose:
    """How long the documents of all test days waited, in a sentence."""
    pooled = record.entries(LAGS, chunk=POOLED)[0]
    if not pooled.get("n_documents"):
        return prose("No document was published for a test day.")
    median, late, longest = (record.claim(pooled.source(name), "number_1") for name in ("p50", "p95", "max"))
    day = derived("text_share_within", hours=24)
    return prose(
        "A document may be used by the first decision, at the official close, that comes after it; what is published after "
        "a close waits for the next session, and what has only a day counts as published after that day’s close. Half of "
        "the ",
        record.claim(pooled.source("n_documents"), "integer"), " documents of test, each counted once, waited ", median,
        " hours or less, all but the latest twentieth at most ", late,
        " hours, the longest ", longest, "; ", record.claim(day, "percent"), " less than a day.",
    )  # fmt: skip


def lag_table(record: RunRecord) -> Table:
    """Hours between publication and the decision that may first use it, and when documents were published."""
    columns = (
        Column(prose("Test days of"), numeric=False),
        Column(prose("Documents, each once")),
        Column(prose("Median wait"), hint="hours from publication to the official close of the first decision"),
        Column(prose("Middle half"), hint="hours; quartiles"),
        Column(prose("Longest"), hint="hours"),
        *(Column(prose(words.capitalize()), hint="share of documents, by the exchange’s clock") for _, words in MOMENTS),
    )
    rows = tuple(_lag_row(record, one) for one in record.entries(LAGS))
    caption = prose("Hours from publication to the first decision, and when documents were published")
    return Table("text-lags-table", caption, columns, rows)


def _lag_row(record: RunRecord, one: Entry) -> Row:
    head = prose("All chunks") if one.get("chunk") == POOLED else chunk_name(record, one.content["chunk"])
    low, high = (record.claim(one.source(name), "number_1") for name in ("p25", "p75"))
    return Row(
        (
            head,
            prose(record.claim(one.source("n_documents"), "integer")),
            prose(record.claim(one.source("p50"), "number_1")),
            prose(low, " to ", high) if low.known else prose(low),
            prose(record.claim(one.source("max"), "number_1")),
            *(prose(record.claim(one.source(name), "percent")) for name, _ in MOMENTS),
        )
    )


def _bars(record: RunRecord) -> Figure:
    rows = record.entries(BINS)
    labels = tuple(_label(one) for one in rows)
    picture = Bars(
        labels,
        np.array([one.content["n"] for one in rows], dtype=np.float64),
        "hours from publication to the decision, lower end of each class",
    )
    fullest = max(rows, key=lambda one: int(one.content["n"]))
    words = prose(
        "Share of test documents by how many hours they waited. The fullest class begins at ",
        record.claim(fullest.source("low"), "plain"), " hours and holds ", record.claim(fullest.source("n"), "integer"),
        " documents.",
    )  # fmt: skip
    return Figure(
        "text-lags-bars",
        prose("How long documents waited, test days of all chunks"),
        words,
        picture,
        (f"{METRICS}#/{BINS}",),
    )


def _label(one: Entry) -> str:
    """Lower end of a class; the last one is open."""
    return f"{one.content['low']:g}" + ("+" if one.content["high"] is None else "")
