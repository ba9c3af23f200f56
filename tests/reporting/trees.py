"""Small trees for the tests of renderers: one of everything."""

from __future__ import annotations

import numpy as np

from glassbox_bt.reporting.figures import Line, Panel, Picture, look_of
from glassbox_bt.reporting.report import (
    Best,
    Block,
    Claim,
    Code,
    Column,
    Figure,
    Figures,
    Item,
    Link,
    Listing,
    Literal,
    Mark,
    Paragraph,
    Prose,
    Ref,
    Report,
    Row,
    RowGroup,
    Section,
    Table,
    prose,
)

__all__ = ["claim", "everything", "figure", "report_of", "table_of_groups", "words"]


def claim(value: float | str | None, style: str = "text", source: str = "metrics.json#/a") -> Claim:
    return Claim(value, source, style)


def words(text: str) -> Prose:
    """Any text, as a claim: the run may have recorded it."""
    return prose(claim(text))


def report_of(*blocks: Block) -> Report:
    return Report(prose("Title"), prose("Question?"), prose("made"), (), (Section("part", prose("Part"), blocks),))


def figure(key: str = "growth-chunk1") -> Figure:
    line = Line("glassbox", look_of("glassbox"), np.array([1.0, 1.1, 1.2]))
    picture = Picture(("2020-01-01", "2020-01-02", "2020-01-03"), (Panel("Growth", (line,)),))
    return Figure(
        key, prose("Chunk ", claim(1, "integer")), prose("It ends at ", claim(1.2, "number"), "."), picture, ("a",)
    )


def table_of_groups() -> Table:
    columns = (Column(prose("Strategy"), numeric=False), Column(prose("Sharpe ratio")), Column(prose("p, adjusted")))
    own = Row((prose("Stack"), prose(Best(claim(0.72, "number")), Mark("*")), prose(claim(0.003, "p_value"))), "stack")
    rival = Row((words("A & B_1|x"), prose(claim(-0.5, "number")), prose(claim(None, "p_value"))))
    old = Row((prose("Spent"), prose(claim(9.0, "number")), prose("")), "muted")
    return Table(
        "tests",
        prose("Ratios at ", Literal("252"), " sessions"),
        columns,
        (RowGroup((own,), prose("Chunk ", claim(1, "integer"))), RowGroup((rival, old), prose("Rivals"))),
        (prose(Mark("*"), " adjusted p under ", claim(0.05, "plain")), prose("Bold: the best.")),
    )


def everything() -> Report:
    """Every kind of block and of piece, once."""
    digest = Code(claim("35366e2b5ead5d5fd7ae2066fe5b9ad808aa080a", source="manifest.json#/data_fingerprint"))
    pieces = Paragraph(
        prose(
            "The stack’s return was ", claim(0.1234, "percent"), " (", Ref("table", "tests", "table of tests"), ", ",
            Ref("figure", "growth", "figure"), "), ", Code("glassbox run --out DIR"), ", ", digest, ", ",
            Link("tear-sheet", "tearsheet_glassbox.html"), ".",
        )
    )  # fmt: skip
    facts = Listing((Item(prose("one"), prose("Costs")), Item(prose(claim(2, "integer")), prose("Names"))), "facts")
    plain = Listing((Item(prose("body"), prose("Head: ")), Item(prose("only a body"))))
    ordered = Listing((Item(prose("first")), Item(prose("second"))), "ordered")
    note = Paragraph(prose("A note."), "note")
    figures = Figures("growth", prose("Growth of ", Literal("1")), (figure("growth-chunk1"), figure("growth-chunk2")))
    sections = (
        Section("text", prose("Text"), (pieces, note, facts, plain, ordered)),
        Section(
            "numbers",
            prose("Numbers"),
            (table_of_groups(),),
            (Section("drawn", prose("Drawn"), (figures, figure("single"))),),
        ),
    )
    labels = (prose("Reduced sizes"), prose("Reads: ", claim(1, "integer")))
    return Report(words("20 names, 2000_2022"), prose("Does it pay?"), prose("made"), labels, sections)
