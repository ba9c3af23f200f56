"""The tree that every report is rendered from: sections, paragraphs, lists, tables and figures.

The tree knows nothing of HTML, Markdown or LaTeX; each of the three renderers prints the same one. What a text may hold
is told in `pieces`, whose names can be had from here as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar
from typing import Literal as OneOf

from glassbox_bt.errors import ContractError
from glassbox_bt.reporting.figures import Drawing, Look
from glassbox_bt.reporting.pieces import (
    LITERALS,
    MARKS,
    Best,
    Claim,
    Code,
    Link,
    Literal,
    Mark,
    Piece,
    Prose,
    Ref,
    Weighed,
    claims_in,
    plain_text,
    prose,
)

__all__ = [
    "LITERALS",
    "MARKS",
    "Best",
    "Block",
    "Claim",
    "Code",
    "Column",
    "Figure",
    "Figures",
    "Item",
    "Link",
    "Listing",
    "Literal",
    "Mark",
    "Paragraph",
    "Piece",
    "Prose",
    "Ref",
    "Report",
    "Row",
    "RowGroup",
    "RowRole",
    "Section",
    "Table",
    "Weighed",
    "claims_in",
    "plain_text",
    "prose",
    "with_best",
]

RowRole = OneOf["plain", "stack", "muted"]


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Running text; ``role`` says how loud it is."""

    text: Prose
    role: OneOf["plain", "lead", "note", "warning"] = "plain"
    kind: ClassVar[str] = "paragraph"

    def __post_init__(self) -> None:
        prose(*self.text)


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of a list: an optional head and a body."""

    body: Prose
    head: Prose = ()

    def __post_init__(self) -> None:
        prose(*self.head, *self.body)


@dataclass(frozen=True, slots=True)
class Listing:
    """A list of items: ``ordered`` where the rank matters, ``facts`` are name and value, ``examples`` are quotations."""

    items: tuple[Item, ...]
    style: OneOf["plain", "ordered", "facts", "notices", "examples"] = "plain"
    kind: ClassVar[str] = "listing"


@dataclass(frozen=True, slots=True)
class Column:
    """Head of a column; ``hint`` says in words what the quantity is, its unit and its sign."""

    head: Prose
    numeric: bool = True
    hint: str = ""

    def __post_init__(self) -> None:
        prose(*self.head)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table; the first cell is its head."""

    cells: tuple[Prose, ...]
    role: RowRole = "plain"

    def __post_init__(self) -> None:
        for cell in self.cells:
            prose(*cell)


@dataclass(frozen=True, slots=True)
class RowGroup:
    """Rows under a common head, set off from those above; rows without a head stand in a group of their own."""

    rows: tuple[Row, ...]
    head: Prose = ()

    def __post_init__(self) -> None:
        prose(*self.head)


@dataclass(frozen=True, slots=True)
class Table:
    """A table; every row has one cell per column.

    Parameters
    ----------
    key : str
        Anchor, unique in the report.
    caption : Prose
        What the table shows.
    columns : tuple[Column, ...]
        Heads from left to right.
    rows : tuple[Row | RowGroup, ...]
        Rows and groups of rows, in the order of printing.
    notes : tuple[Prose, ...]
        Printed under the table; a note that begins with a `Mark` says what the mark means.

    Raises
    ------
    ContractError
        If a row has another number of cells than there are columns, or a mark stands in a cell and no note explains it.
    """

    key: str
    caption: Prose
    columns: tuple[Column, ...]
    rows: tuple[Row | RowGroup, ...]
    notes: tuple[Prose, ...] = ()
    kind: ClassVar[str] = "table"

    def __post_init__(self) -> None:
        prose(*self.caption)
        for note in self.notes:
            prose(*note)
        explained = {note[0] for note in self.notes if note and isinstance(note[0], Mark)}
        for row in self.flat_rows:
            if len(row.cells) != len(self.columns):
                raise ContractError(
                    f"A row of table `{self.key}` has {len(row.cells)} cells for {len(self.columns)} columns. "
                    "Give every column a cell."
                )
            used = {piece for cell in row.cells for piece in cell if isinstance(piece, Mark)}
            if used - explained:
                raise ContractError(
                    f"Table `{self.key}` bears the mark `{min(one.sign for one in used - explained)}`, and no note under it "
                    "begins with that mark. Add the note."
                )

    @property
    def groups(self) -> tuple[RowGroup, ...]:
        """The rows in groups; neighbours that stand in none share one without a head."""
        groups: list[RowGroup] = []
        loose: list[Row] = []
        for row in self.rows:
            if isinstance(row, Row):
                loose.append(row)
                continue
            if loose:
                groups.append(RowGroup(tuple(loose)))
                loose = []
            groups.append(row)
        return (*groups, RowGroup(tuple(loose))) if loose else tuple(groups)

    @property
    def flat_rows(self) -> tuple[Row, ...]:
        """Every row, whatever its group."""
        return tuple(one for row in self.rows for one in ((row,) if isinstance(row, Row) else row.rows))


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing with its title, its text alternative and the files its data come from."""

    key: str
    title: Prose
    alternative: Prose
    picture: Drawing
    sources: tuple[str, ...]
    kind: ClassVar[str] = "figure"

    def __post_init__(self) -> None:
        prose(*self.title, *self.alternative)
        if not self.sources:
            raise ContractError(f"Figure `{self.key}` names no source. Name the files it was drawn from.")


@dataclass(frozen=True, slots=True)
class Figures:
    """Small multiples under one legend."""

    key: str
    title: Prose
    figures: tuple[Figure, ...]
    legend: tuple[tuple[Look, Claim], ...] = ()
    kind: ClassVar[str] = "figures"

    def __post_init__(self) -> None:
        prose(*self.title)


Block = Paragraph | Listing | Table | Figure | Figures


@dataclass(frozen=True, slots=True)
class Section:
    """A titled part of the report; ``key`` is its anchor, ``folded`` ones open on demand where the format can fold."""

    key: str
    title: Prose
    blocks: tuple[Block, ...]
    sections: tuple[Section, ...] = ()
    folded: bool = False

    def __post_init__(self) -> None:
        prose(*self.title)


@dataclass(frozen=True, slots=True)
class Report:
    """A whole report: what was asked, and the sections that answer."""

    title: Prose
    question: Prose
    made: Prose
    labels: tuple[Prose, ...]
    sections: tuple[Section, ...]


def with_best(rows: Sequence[Row], column: int, *, smallest: bool = False) -> tuple[Row, ...]:
    """The rows with the best value of a column printed bold: the largest, or the smallest.

    The value of a cell is that of its first claim. Cells without one and rows in grey do not compete; where fewer than two
    compete nothing is bold, and of equal values all are.
    """
    values = [_value(row, column) for row in rows]
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return tuple(rows)
    best = min(known) if smallest else max(known)
    return tuple(_bold(row, column) if value == best else row for row, value in zip(rows, values, strict=True))


def _value(row: Row, column: int) -> float | None:
    claim = next((piece for piece in row.cells[column] if isinstance(piece, Claim)), None)
    if row.role == "muted" or claim is None or not claim.known or isinstance(claim.value, str):
        return None
    return None if claim.value is None else float(claim.value)


def _bold(row: Row, column: int) -> Row:
    cell = row.cells[column]
    place = next(place for place, piece in enumerate(cell) if isinstance(piece, Claim))
    first = cell[place]
    assert isinstance(first, Claim)
    made = (*cell[:place], Best(first), *cell[place + 1 :])
    return replace(row, cells=(*row.cells[:column], made, *row.cells[column + 1 :]))
