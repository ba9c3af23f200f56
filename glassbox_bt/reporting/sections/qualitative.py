"""The qualitative branch: who read what, how much of it, how late, whether it helped, and what it looked at."""

from __future__ import annotations

from glassbox_bt.reporting.derived import derived
from glassbox_bt.reporting.derived_text import CLEAN, CONTAMINATED, UNKNOWN, cutoff_source
from glassbox_bt.reporting.record import POOLED, RunRecord
from glassbox_bt.reporting.report import (
    Block,
    Code,
    Column,
    Item,
    Listing,
    Paragraph,
    Piece,
    Prose,
    Row,
    Section,
    Table,
    prose,
)
from glassbox_bt.reporting.sections.phrases import NOT_RECORDED, chunk_name, listed, named_values, quoted
from glassbox_bt.reporting.sections.text_choice import choice_section, weights_section
from glassbox_bt.reporting.sections.text_controls import controls_section
from glassbox_bt.reporting.sections.text_coverage import coverage_sections
from glassbox_bt.reporting.sections.text_examples import examples_sections
from glassbox_bt.reporting.sections.text_names import FACTS, PARTS, absence_of_text, fit_of_encoder
from glassbox_bt.reporting.sections.text_readers import readers_section

__all__ = ["KEY", "TITLE", "engine_table", "knowledge_words", "qualitative", "text_summary"]

KEY = "qualitative"
TITLE = "Qualitative branch: text"
COUNTED = (  # facts of the market's text, in the order of reading
    ("n_given", "Rows given"),
    ("n_documents", "Documents kept"),
    ("n_texts", "Distinct texts"),
    ("mapped", "Rows about a name, kept"),
    ("market_wide", "Rows about the market as a whole, kept"),
    ("unmapped", "About no known name, left out"),
    ("ambiguous", "About a name that cannot be told, left out"),
    ("outside_universe", "About names outside the universe, left out"),
    ("before_first_session", "Before the first session, left out"),
    ("after_last_session", "After the last session, left out"),
    ("empty", "Empty after cleaning, left out"),
    ("folded_copies", "Copies folded into one"),
)


def qualitative(record: RunRecord) -> Section:
    """One plain sentence where no text was read."""
    why = absence_of_text(record)
    if why is not None:
        return Section(KEY, prose(TITLE), (Paragraph(why, "note"),))
    blocks: list[Block] = [Paragraph(text_summary(record))]
    told = knowledge_words(record)
    if told is not None:
        blocks.append(told)
    facts = Section("text-facts", prose("What text there is"), (_facts(record),), folded=True)
    sections = (
        controls_section(record),
        *coverage_sections(record),
        choice_section(record),
        readers_section(record),
        weights_section(record),
        *examples_sections(record),
        facts,
    )
    return Section(KEY, prose(TITLE), (*blocks, engine_table(record)), sections)


def text_summary(record: RunRecord) -> Prose:
    """Which engine read how much, and how much of test it covers."""
    documents, names = (quoted(record, f"{FACTS}/{name}", "integer") for name in ("n_documents", "n_names"))
    first, last = (quoted(record, f"{FACTS}/{end}_published", "date") for end in ("first", "last"))
    said = prose(
        "The engine ", _engine(record), " read ", documents, " documents about ", names, " names, published from ", first,
        " to ", last, ".",
    )  # fmt: skip
    for part in record.entries(PARTS, chunk=POOLED):
        share = record.claim(part.source("share_with_text"), "percent")
        n_cells = record.claim(part.source("n_name_days"), "integer")
        fresh = record.claim(part.source("share_with_document"), "percent")
        said = prose(
            said, " Of the ", n_cells, " name-days of test ", share, " have text that still counts, and ", fresh,
            " a document of their own session. On all others the branch is neutral and the decision is the other branch’s.",
        )  # fmt: skip
    return said


def _engine(record: RunRecord) -> Piece:
    places = (fit_of_encoder(record, chunk, "engine") for chunk in record.chunks)
    place = next((found for found in places if found is not None), None)
    return NOT_RECORDED if place is None else record.claim(place)


def knowledge_words(record: RunRecord) -> Paragraph | None:
    """Whether the engine may have read what the test days could not know; None where it cannot have."""
    found = {chunk: record.claim(derived("text_knowledge", chunk=chunk), "words") for chunk in record.chunks}
    if all(claim.value == CLEAN for claim in found.values()):
        return None
    said: list[Prose] = []
    dirty = [chunk for chunk, claim in found.items() if claim.value == CONTAMINATED]
    if dirty:
        source = cutoff_source(record, dirty[0])
        assert source is not None  # without a cut-off nothing is known to be contaminated
        said.append(
            prose(
                "Warning, ", found[dirty[0]], ": in ", listed([chunk_name(record, chunk) for chunk in dirty]),
                " the engine may have learned from text written up to ", record.claim(source, "date"),
                ", which is after the first test day. It may know how things went on, so what it says of those days is weak "
                "evidence that text foretells anything.",
            )
        )  # fmt: skip
    unknown = [chunk for chunk, claim in found.items() if claim.value == UNKNOWN]
    silent_ones = [chunk for chunk in unknown if cutoff_source(record, chunk) is None]
    open_ones = [chunk for chunk in unknown if chunk not in silent_ones]
    if open_ones:
        names = listed([chunk_name(record, chunk) for chunk in open_ones])
        said.append(prose("Up to when the engine of ", names, " learned is unknown: it may know what came after the test."))
    if silent_ones:
        said.append(prose("In ", listed([chunk_name(record, chunk) for chunk in silent_ones]), " no engine read any text."))
    return Paragraph(prose(*(prose(" " if place else "", one) for place, one in enumerate(said))), "warning")


def engine_table(record: RunRecord) -> Table:
    """The engine of each chunk, with what its fit says of itself."""
    columns = (
        Column(prose("Chunk"), numeric=False),
        Column(prose("Engine"), numeric=False),
        Column(prose("Digest"), numeric=False, hint="over weights, tokeniser and code; equal digests make equal vectors"),
        Column(prose("Learned up to"), numeric=False, hint="last day whose text the engine may have learned from"),
        Column(prose("Test days"), numeric=False, hint="whether the engine may know what came on them"),
        Column(prose("Components"), hint="numbers that are kept of a vector, found on train text only"),
        Column(prose("Variance kept"), hint="share of the variance of train vectors"),
        Column(prose("Train texts"), hint="distinct"),
    )
    rows = tuple(_engine_row(record, chunk) for chunk in record.chunks)
    note = prose(
        "What is kept of a vector was found once per chunk on all its train texts, without any outcome: on train the "
        "vectors are in sample, on validation and test they are not. Vectors of different fits are never mixed."
    )
    return Table("text-engine", prose("What read the text"), columns, rows, (note,))


def _engine_row(record: RunRecord, chunk: int) -> Row:
    def told(name: str, style: str = "text") -> Prose:
        source = fit_of_encoder(record, chunk, name)
        if source is None:
            return prose(NOT_RECORDED)
        claim = record.claim(source, style)
        return prose(Code(claim) if style == "digest" else claim)

    return Row(
        (
            chunk_name(record, chunk),
            told("engine"),
            told("digest", "digest"),
            told("knowledge_cutoff", "date"),
            prose(record.claim(derived("text_knowledge", chunk=chunk), "words")),
            told("components", "integer"),
            told("explained_variance", "percent"),
            told("n_train_texts", "integer"),
        )
    )


def _facts(record: RunRecord) -> Listing:
    items = [
        Item(prose(record.claim(f"{FACTS}/{name}", "integer")), prose(words))
        for name, words in COUNTED
        if record.has(f"{FACTS}/{name}")
    ]
    if record.has(f"{FACTS}/without_time_share"):
        share = record.claim(f"{FACTS}/without_time_share", "percent")
        words = "Without a time of day, so counted as after the close"
        items.append(Item(prose(share, " of documents"), prose(words)))
    items += named_values(record, "/market/text/by_source", prose("Source "), "text")
    return Listing(tuple(items), "facts")
