"""Whether the chances that sentiment and news state come true, on validation and on test."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from glassbox_bt.reporting.record import Entry, RunRecord
from glassbox_bt.reporting.report import Block, Column, Prose, Row, RowGroup, Section, Table, prose
from glassbox_bt.reporting.sections.estimates import absent
from glassbox_bt.reporting.sections.phrases import chunk_name

__all__ = ["news_table", "readers_section", "sentiment_table"]

SENTIMENT, NEWS = "text_readers/sentiment", "text_readers/news"
SPLITS = {"val": ", validation", "test": ", test"}
WHO = {
    "sentiment": "Sentiment",
    "constant": "A third for each class, as train was cut",
    "engine": "The engine as it is, untuned",
    "word list": "A list of words",
}
HEADS = {
    "importance": "Size of the reaction",
    "relevance": "Relevance to risk",
    "spike": "Volatility spikes",
    "drawdown": "Deep drawdown",
}
EMPTY: Prose = ()


def readers_section(record: RunRecord) -> Section:
    """Sentiment beside its rivals; the parts of news' Brier score below it."""
    said, told = record.entries(SENTIMENT), record.entries(NEWS)
    blocks: list[Block] = [sentiment_table(record, said)] if said else [absent("calibration of the sentiment analyst")]
    below = Section(
        "text-readers-news",
        prose("Brier score of news and its parts, by year"),
        (news_table(record, told) if told else absent("calibration of the news analyst"),),
        folded=True,
    )
    return Section("text-readers", prose("Whether the chances that the readers state come true"), tuple(blocks), (below,))


def sentiment_table(record: RunRecord, rows: Sequence[Entry]) -> Table:
    """One row for each that judges documents, by chunk and split."""
    columns = (
        Column(prose("Who"), numeric=False),
        Column(prose("Documents"), hint="about a member, with a known outcome, that it can judge"),
        Column(prose("Accuracy"), hint="share of documents whose class it names"),
        Column(prose("Sentiment’s"), hint="accuracy of sentiment on the same documents"),
        Column(prose("Log loss"), hint="of the chance of the class that came; smaller is better"),
        Column(prose("Calibration error"), hint="of the chance of its own class, ten bins of equally many documents"),
    )
    note = prose(
        "The class is the third of train that the return over the benchmark in ten sessions falls into. Chances are "
        "averaged over the chunks of a document. Thirds and list of words learned nothing from text. Chance alone makes "
        "the calibration error positive. On validation the variant may have been chosen: that is no test."
    )
    return Table(
        "text-readers-sentiment", prose("Chances of sentiment beside simpler judges"), columns,
        _by_part(record, rows, _sentiment_cells), (note,),
    )  # fmt: skip


def news_table(record: RunRecord, rows: Sequence[Entry]) -> Table:
    """One row for each chance and year, by chunk and split."""
    columns = (
        Column(prose("Chance"), numeric=False),
        Column(prose("Year"), numeric=False, hint="of the decision"),
        Column(prose("Documents"), hint="about a member, with a known outcome"),
        Column(prose("Brier score"), hint="mean squared error of the chance; smaller is better"),
        Column(prose("Reliability"), hint="squared gap of chance and rate within bins; 0 is reliable"),
        Column(prose("Resolution"), hint="squared gap of the bins’ rates to the rate of all; larger is better"),
        Column(prose("Uncertainty"), hint="variance of the outcome: the score of the best constant"),
    )
    note = prose(
        "The score is reliability less resolution plus uncertainty, and what varies within the ten bins of equally many "
        "documents. A year’s uncertainty is known only afterwards."
    )
    return Table(
        "text-readers-news-table", prose("Brier score of the chances that news states"), columns,
        _by_part(record, rows, _news_cells), (note,),
    )  # fmt: skip


def _by_part(
    record: RunRecord, rows: Sequence[Entry], cells: Callable[[RunRecord, Entry], tuple[Prose, ...]]
) -> tuple[RowGroup, ...]:
    parts = dict.fromkeys((int(one.content["chunk"]), str(one.content["split"])) for one in rows)
    return tuple(
        RowGroup(
            tuple(Row(cells(record, one)) for one in rows if (one.content["chunk"], one.content["split"]) == (chunk, split)),
            prose(chunk_name(record, chunk), SPLITS[split]),
        )
        for chunk, split in parts
    )


def _sentiment_cells(record: RunRecord, one: Entry) -> tuple[Prose, ...]:
    n_documents = prose(record.claim(one.source("n_documents"), "integer"))
    if one.content["why"]:
        return (prose("not asked: ", record.claim(one.source("why"))), n_documents, EMPTY, EMPTY, EMPTY, EMPTY)
    is_own, states = one.content["who"] == "sentiment", one.content["log_loss"] is not None
    return (
        prose(WHO[str(one.content["who"])]),
        n_documents,
        prose(record.claim(one.source("accuracy"), "percent")),
        EMPTY if is_own else prose(record.claim(one.source("own_accuracy"), "percent")),
        *(prose(record.claim(one.source(name), "number_3")) if states else EMPTY for name in ("log_loss", "ece")),
    )


def _news_cells(record: RunRecord, one: Entry) -> tuple[Prose, ...]:
    head, n_documents = HEADS[str(one.content["head"])], prose(record.claim(one.source("n_documents"), "integer"))
    if one.content["why"]:
        return (prose(head, ", not asked: ", record.claim(one.source("why"))), EMPTY, n_documents, *[EMPTY] * 4)
    parts = ("brier", "reliability", "resolution", "uncertainty")
    return (
        prose(head),
        prose(record.claim(one.source("year"))),
        n_documents,
        *(prose(record.claim(one.source(name), "number_3")) for name in parts),
    )
