"""The chapter on the text branch: what it adds, how much text there was, and at most three examples."""

from __future__ import annotations

from glassbox_bt.reporting.chapter_setting import table_of
from glassbox_bt.reporting.record import EXAMPLES, RunRecord
from glassbox_bt.reporting.report import Block, Item, Listing, Paragraph, Section, prose
from glassbox_bt.reporting.sections.qualitative import KEY, TITLE, knowledge_words, text_summary
from glassbox_bt.reporting.sections.qualitative import qualitative as page_of
from glassbox_bt.reporting.sections.text_controls import findings
from glassbox_bt.reporting.sections.text_examples import example_items, first_by_class, method_words, reading_words
from glassbox_bt.reporting.sections.text_names import absence_of_text

__all__ = ["qualitative"]

TABLES = ("text-controls-table", "text-parts", "text-lags-table", "text-contests", "text-weights-table")


def qualitative(record: RunRecord) -> Section:
    """The page's section without drawings, months, names and all but one example of each class."""
    why = absence_of_text(record)
    if why is not None:
        return Section(KEY, prose(TITLE), (Paragraph(why),))
    page = page_of(record)
    blocks: list[Block] = [Paragraph(text_summary(record))]
    told = knowledge_words(record)
    blocks += [] if told is None else [told]
    blocks.append(Listing(tuple(Item(one) for one in findings(record))))
    blocks += [table for key in TABLES for table in table_of(page, key)]
    parts: tuple[Section, ...] = ()
    if record.entries_of(EXAMPLES, "/examples"):
        shown = Listing(tuple(example_items(record, first_by_class(record))))
        examples = Section(
            "text-examples", prose("Examples"), (Paragraph(prose(method_words(record), " ", reading_words(record))), shown)
        )
        parts = (examples,)
    return Section(KEY, prose(TITLE), tuple(blocks), parts)
