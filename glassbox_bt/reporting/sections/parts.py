"""Names of what ablations take out of the stack, as sentences and drawings print them."""

from __future__ import annotations

from collections.abc import Mapping

from glassbox_bt.reporting.record import VARIANTS, Entry, RunRecord
from glassbox_bt.reporting.report import Prose, plain_text, prose

__all__ = ["part_label", "part_of", "variant_of"]

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
