"""A few test documents with the words that moved their score; everything in them is untrusted and printed as claims."""

from __future__ import annotations

from collections.abc import Sequence

from glassbox_bt.reporting.derived import derived
from glassbox_bt.reporting.record import AUDITS, EXAMPLES, TEST, Entry, RunRecord
from glassbox_bt.reporting.report import (
    Block,
    Claim,
    Item,
    Listing,
    Paragraph,
    Prose,
    Section,
    Weighed,
    prose,
)
from glassbox_bt.reporting.sections.estimates import absent
from glassbox_bt.reporting.sections.phrases import chunk_name, listed
from glassbox_bt.reporting.sections.text_names import fit_of_encoder

__all__ = ["example_items", "examples_sections", "first_by_class", "method_words", "reading_words"]

TITLE = "Examples with the words that moved the score"
CLASSES = ("negative", "neutral", "positive")
OPEN, CLOSE, CUT = "\N{LEFT DOUBLE QUOTATION MARK}", "\N{RIGHT DOUBLE QUOTATION MARK}", "\N{HORIZONTAL ELLIPSIS}"


def examples_sections(record: RunRecord) -> tuple[Section, ...]:
    """The first example of each chunk and class; the others folded."""
    entries = record.entries_of(EXAMPLES, "/examples")
    if not entries:
        return (Section("text-examples", prose(TITLE), (absent("examples of its texts"),)),)
    shown = [one for chunk in record.chunks for one in first_by_class(record, chunk)]
    rest = [one for one in entries if one not in shown]
    blocks: tuple[Block, ...] = (
        Paragraph(method_words(record)),
        Paragraph(reading_words(record), "note"),
        _listing(record, shown),
    )
    parts = [Section("text-examples", prose(TITLE), blocks)]
    if rest:
        parts.append(Section("text-examples-more", prose("More examples"), (_listing(record, rest),), folded=True))
    return tuple(parts)


def first_by_class(record: RunRecord, chunk: int | None = None) -> list[Entry]:
    """The first example of each class, of one chunk or of all."""
    entries = [one for one in record.entries_of(EXAMPLES, "/examples") if chunk is None or one.get("chunk") == chunk]
    return [
        next(one for one in entries if one.get("class") == name)
        for name in CLASSES
        if any(one.get("class") == name for one in entries)
    ]


def method_words(record: RunRecord) -> Prose:
    """How words were weighed, how exactly, and what it is not."""
    methods = {str(one.get("method")) for one in record.entries_of(EXAMPLES, "/fits") if one.get("method")}
    how = {
        "integrated_gradients": "integrated gradients from the text with all words masked to the text",
        "lexicon": "the hits of the word lists, which are exact",
        "occlusion": "leaving out one word at a time; such weights need not add up",
    }
    used = " and ".join(how[name] for name in sorted(methods) if name in how) or "a method that was not recorded"
    errors = [one for one in record.entries_of(EXAMPLES, "/fits") if one.get("largest_completeness_error") is not None]
    worst = max(errors, key=lambda one: float(one.content["largest_completeness_error"]), default=None)
    exact = prose("") if worst is None else prose(
        " The weights of a text add up to what they explain but for at most ",
        record.claim(worst.source("largest_completeness_error"), "percent_2"),
        " of their absolute sum (completeness error).",
    )  # fmt: skip
    return prose(
        "At most ", record.claim(f"{EXAMPLES}#/most", "integer"), " test documents, drawn by the plan’s seed evenly "
        "from chunks, classes and halves of the confidence; none was chosen by eye. Words were weighed by ", used,
        ", along the slope of the raw sentiment score at that text.", exact,
    )  # fmt: skip


def reading_words(record: RunRecord) -> Prose:
    """What a mark means, and what it does not."""
    return prose(
        "A marked word raised the score (plus, solid line) or lowered it (minus, dashed line); the number is its share of "
        "all absolute weight of the text, of which at most ", record.claim(f"{EXAMPLES}#/most_words", "integer"),
        " words in a row are quoted. Weights explain the model near this text: not the engine’s own mood, not what the news "
        "analyst made of it, and not the price. The score is the rank of the raw one: its zero is the median text of train, "
        "so its sign may differ from that of the raw score, which the words moved. The class is the likeliest of three "
        "outcomes, whatever the sign of either.", *_agreement(record),
    )  # fmt: skip


def _agreement(record: RunRecord) -> tuple[Prose, ...]:
    """How often class and sign agree on test, by chunk, where an audit found that they often do not."""
    found = record.entries_of(AUDITS, "/bounds/findings", check="sign of score and class", split=TEST)
    said = [
        prose("in ", chunk_name(record, int(one.content["chunk"])), " ", record.claim(one.source("detail"))) for one in found
    ]
    return (prose(" Audited on test: ", listed(said), "."),) if said else ()


def _listing(record: RunRecord, entries: Sequence[Entry]) -> Listing:
    return Listing(tuple(example_items(record, entries)), "examples")


def example_items(record: RunRecord, entries: Sequence[Entry]) -> list[Item]:
    """Head, quotation and provenance of each example."""
    return [Item(prose(_quotation(record, one), ". ", _provenance(record, one)), _head(record, one)) for one in entries]


def _head(record: RunRecord, one: Entry) -> Prose:
    ticker = record.claim(one.source("ticker"))
    about: Prose = prose(ticker) if one.get("ticker") else prose("The market as a whole")
    return prose(
        about, ", ", record.claim(one.source("session"), "date"), ": ", record.claim(one.source("class")), ", score ",
        record.claim(one.source("score"), "difference"), " (raw ", record.claim(one.source("score_raw"), "difference_3"),
        "), chance of its class ",
        record.claim(one.source("confidence"), "percent_0"), ". ",
    )  # fmt: skip


def _quotation(record: RunRecord, one: Entry) -> Prose:
    words = record.entries_of(EXAMPLES, one.place.partition("#")[2] + "/words")
    parts: list[Prose] = []
    for place, word in enumerate(words):
        content = Claim(word.get("word"), word.source("word"))
        level = int(word.get("level") or 0)
        shown = (
            prose(Weighed(content, record.claim(word.source("share"), "difference_percent_0"), level))
            if level
            else prose(content)
        )
        parts.append(prose(" " if place else "", shown))
    before, after = "" if one.get("begins") else f"{CUT} ", "" if one.get("ends") else f" {CUT}"
    return prose(OPEN, before, *parts, after, CLOSE)


def _provenance(record: RunRecord, one: Entry) -> Prose:
    zone = " UTC" if one.get("has_time") else ", day only"
    source = prose(record.claim(one.source("source"))) if one.get("source") else prose("source not stated")
    engine = fit_of_encoder(record, int(one.content["chunk"]), "engine")
    read = prose("") if engine is None else prose(", read by ", record.claim(engine))
    return prose(
        "Document ", record.claim(one.source("doc_id")), ", ", source, ", published ",
        record.claim(one.source("published_at")), zone, ", first used by the decision of ",
        record.claim(one.source("session"), "date"), " (", chunk_name(record, int(one.content["chunk"])), ")", read, "; ",
        record.claim(one.source("n_words"), "integer"), " words, part ",
        record.claim(derived("text_part", of=one.place.rsplit("/", 1)[1]), "integer"), " of ",
        record.claim(one.source("n_chunks"), "integer"), ".",
    )  # fmt: skip
