"""Where the numbers come from: digests, versions, times, and how to make them again."""

from __future__ import annotations

from glassbox_bt.reporting.derived import NOT_A_STAGE, derived
from glassbox_bt.reporting.record import RunRecord
from glassbox_bt.reporting.report import (
    Block,
    Claim,
    Code,
    Column,
    Item,
    Listing,
    Paragraph,
    Piece,
    Row,
    Section,
    Table,
    prose,
)
from glassbox_bt.reporting.sections.phrases import (
    NOT_RECORDED,
    chunk_name,
    named_values,
    quoted,
)

__all__ = ["provenance"]

MANIFEST = "manifest.json#"


def provenance(record: RunRecord) -> Section:
    """How to reproduce, then digests, then times."""
    how = Paragraph(
        prose(
            "The run folder holds the whole plan in ", Code("manifest.json"), " under ", Code("plan"),
            ". Running the plan ", quoted(record, f"{MANIFEST}/name"), " again with ",
            Code("glassbox run PLAN --out DIR"), " on the same versions gives the same decisions and, with ",
            Code("glassbox report DIR"), ", this page byte for byte. Hover a number to see where it was read.",
        )
    )  # fmt: skip
    return Section(
        "provenance",
        prose("Provenance and how to reproduce"),
        (how, Listing(tuple(_digests(record)), "facts"), *_timings(record)),
    )


def _digests(record: RunRecord) -> list[Item]:
    code = record.manifest.get("code_digest")
    return [
        Item(prose(Code(record.claim(derived("identity")))), prose("Run digest")),
        Item(prose(_digest(record, "plan_digest")), prose("Plan digest")),
        Item(prose(_digest(record, "data_fingerprint")), prose("Fingerprint of the data")),
        *(
            named_values(record, "/code_digest", prose("Code, "), key_style="text")
            if isinstance(code, dict)
            else [Item(prose(_digest(record, "code_digest")), prose("Code digest"))]
        ),
        Item(prose(quoted(record, f"{MANIFEST}/created_at")), prose("Started")),
        Item(prose(quoted(record, f"{MANIFEST}/test_label_reads", "integer")), prose("Reads of the test labels")),
        Item(prose(quoted(record, f"{MANIFEST}/peak_memory_mb", "number_0"), " MB"), prose("Peak memory")),
        *named_values(record, "/seeds", prose("Seed, ")),
        *named_values(record, "/versions", prose("Version, ")),
    ]


def _digest(record: RunRecord, name: str) -> Piece:
    source = f"{MANIFEST}/{name}"
    return Code(record.claim(source)) if record.has(source) else NOT_RECORDED


def _timings(record: RunRecord) -> tuple[Block, ...]:
    """Seconds by stage and chunk; stages that run after this page are left out."""
    timings = record.manifest.get("timings", [])
    places = {row["stage"]: place for place, row in enumerate(timings) if row["stage"] not in NOT_A_STAGE}
    if not places:
        return (Paragraph(prose("No times were recorded."), "note"),)
    columns = (
        Column(prose("Stage"), numeric=False),
        *(Column(chunk_name(record, chunk)) for chunk in record.chunks),
        Column(prose("All"), hint="seconds; a stage of the whole run belongs to no chunk"),
    )
    rows = [
        Row(
            (
                prose(record.claim(f"{MANIFEST}/timings/{place}/stage", "words")),
                *(prose(_seconds(record, stage=stage, chunk=chunk)) for chunk in record.chunks),
                prose(_seconds(record, stage=stage)),
            )
        )
        for stage, place in places.items()
    ]
    return (Table("timings", prose("Seconds by stage and chunk"), columns, tuple(rows)), _reused(record))


def _reused(record: RunRecord) -> Paragraph:
    n_cached = record.claim(derived("n_cached"), "integer")
    words = (
        prose("Stages read from artefacts of an earlier run: ", n_cached, "; their seconds are those of reading.")
        if n_cached.value
        else prose("No stage was read from an earlier run.")
    )
    return Paragraph(prose(words, " A stage of the whole run includes what it calls, the modules among it."), "note")


def _seconds(record: RunRecord, **where: str | int) -> Claim:
    return record.claim(derived("seconds", **where), "number_1")
