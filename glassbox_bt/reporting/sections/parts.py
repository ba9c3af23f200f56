"""Names of what ablations take out of the stack, as sentences and drawings print them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from glassbox_bt.reporting.record import STACK, VARIANTS, Entry, RunRecord
from glassbox_bt.reporting.report import Prose, plain_text, prose
from glassbox_bt.reporting.sections.phrases import chunk_name, listed

__all__ = ["SAME_BOOK", "has_same_book", "held_nothing", "part_label", "part_of", "same_books_note", "variant_of"]

SAME_BOOK = "no order changed"

# Edit of a variant: words before and after its target, and the style of the target. Of the other edits (costs, lag, seed,
# profile, policy) only the name of the variant tells one from the next.
EDITS: Mapping[str, tuple[str, str, str]] = {
    "silent": ("without ", "", "words"),
    "rule": ("without ", "", "rule"),
    "blank": ("without ", "", "words"),
    "shuffled": ("", " shuffled", "words"),
    "frozen": ("", " frozen", "words"),
    "baseline": ("", " at its baseline", "words"),
}


def variant_of(record: RunRecord, name: str) -> Entry | None:
    """The variant of this name, None where the run does not describe it."""
    return next(iter(record.entries_of(VARIANTS, name=name)), None)


def part_of(record: RunRecord, variant: Entry) -> Prose:
    """What the variant did, for example ``without technical``."""
    if variant.get("edit") not in EDITS:
        return prose(record.claim(variant.source("name"), "words"))
    before, after, style = EDITS[str(variant.get("edit"))]
    return prose(before, record.claim(variant.source("target"), style), after)


def part_label(record: RunRecord, variant: Entry) -> str:
    """The same for a drawing."""
    return plain_text(part_of(record, variant))


def has_same_book(variant: Entry) -> bool:
    """Whether something changed downstream, but no order of the test days, so that both books are the same."""
    return bool(variant.get("effect") != "none" and variant.content["changed"].get("orders") == 0)


def same_books_note(record: RunRecord, variants: Sequence[Entry]) -> tuple[Prose, ...]:
    """A note on those of the variants that have the stack's own book; none where there is none."""
    same = [one for one in variants if has_same_book(one)]
    if not same:
        return ()
    words = ": no order changed, so both books are the same; nothing was compared, and nothing is tested."
    return (prose("The stack ", listed([part_of(record, one) for one in same]), words, held_nothing(record)),)


def held_nothing(record: RunRecord) -> Prose:
    """On which chunks' test days the stack was in cash throughout; nothing where there is no such chunk."""
    rows = [(chunk, record.row(STACK, chunk)) for chunk in record.chunks]
    idle = [chunk_name(record, chunk) for chunk, row in rows if row is not None and row.content.get("exposure") == 0.0]
    return prose(" The stack held nothing on any test day of ", listed(idle), ".") if idle else ()
