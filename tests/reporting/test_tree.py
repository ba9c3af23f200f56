"""The tree refuses numbers without a source."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glassbox_bt.errors import ContractError
from glassbox_bt.reporting.figures import Line, Panel, Picture, look_of
from glassbox_bt.reporting.report import (
    LITERALS,
    Best,
    Claim,
    Code,
    Column,
    Figure,
    Figures,
    Literal,
    Mark,
    Paragraph,
    Ref,
    Row,
    RowGroup,
    RowRole,
    Section,
    Table,
    claims_in,
    plain_text,
    prose,
    with_best,
)
from glassbox_bt.reporting.styles import STYLES

SOURCE = "metrics.json#/strategies/0/sharpe"


def picture(n_values: int = 3) -> Picture:
    line = Line("glassbox", look_of("glassbox"), np.zeros(n_values))
    return Picture(("2020-01-01", "2020-01-02", "2020-01-03"), (Panel("Growth", (line,)),))


@pytest.mark.parametrize("source", ["", "  "])
def test_a_claim_without_a_source_is_refused(source: str) -> None:
    with pytest.raises(ContractError, match="has no source"):
        Claim(1.0, source)


def test_an_unknown_style_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ContractError, match="percent"):
        Claim(1.0, SOURCE, "furlongs")


@pytest.mark.parametrize("text", ["Sharpe 0.5", "chunk 1", "٣ names"])
def test_plain_text_with_a_digit_is_refused_everywhere(text: str) -> None:
    for make in (
        lambda: prose(text),
        lambda: Paragraph((text,)),
        lambda: Row(((text,),)),
        lambda: Column((text,)),
        lambda: Section("key", (text,), ()),
        lambda: Code(text),
        lambda: Table("key", (text,), (), ()),
        lambda: Figure("key", (text,), ("words",), picture(), (SOURCE,)),
        lambda: Figure("key", ("words",), (text,), picture(), (SOURCE,)),
    ):
        with pytest.raises(ContractError, match="holds a digit"):
            make()


def test_a_literal_must_be_listed() -> None:
    assert all(Literal(text).text == text for text in LITERALS)
    with pytest.raises(ContractError, match="not a listed literal"):
        Literal("0.73")


def test_a_row_has_a_cell_for_every_column() -> None:
    with pytest.raises(ContractError, match="2 cells for 1 columns"):
        Table("key", prose("Caption"), (Column(prose("Head")),), (Row((prose("a"), prose("b"))),))


def test_a_figure_names_its_source_and_a_line_has_a_value_per_day() -> None:
    with pytest.raises(ContractError, match="names no source"):
        Figure("key", prose("Title"), prose("Words"), picture(), ())
    with pytest.raises(ContractError, match=r"shape \(4,\) for 3 days"):
        picture(4)


def test_an_unknown_strategy_has_a_look_of_its_own() -> None:
    names = ["glassbox", "mine", "yours"]
    assert look_of("mine", names) != look_of("yours", names)
    with pytest.raises(ContractError, match="has no look"):
        look_of("mine")


@pytest.mark.parametrize("value", [None, math.nan])
def test_an_unknown_value_prints_as_unknown_whatever_its_style(value: float | None) -> None:
    for style in STYLES:
        claim = Claim(value, SOURCE, style)
        assert not claim.known
        assert claim.text == "–"


@pytest.mark.parametrize(
    ("value", "style", "text"),
    [
        (0.1234, "percent", "12.3\u202f%"),
        (-0.05, "percent", "\N{MINUS SIGN}5.0\u202f%"),
        (-0.0, "number", "0.00"),
        (1234567, "integer", "1\u202f234\u202f567"),
        (True, "yes_no", "yes"),
        ("momentum_12_1", "strategy", "12-1 momentum"),
        ("my_rival", "strategy", "my rival"),
        ("a|b", "codes", "a, b"),
        (0.5, "plain", "0.5"),
    ],
)
def test_styles(value: float | str, style: str, text: str) -> None:
    assert Claim(value, SOURCE, style).text == text


@pytest.mark.parametrize(("value", "style"), [("text", "number"), (0.5, "integer")])
def test_a_style_that_does_not_fit_is_refused(value: float | str, style: str) -> None:
    with pytest.raises(ContractError, match="Print it with style"):
        _ = Claim(value, SOURCE, style).text


@given(st.floats(-1e6, 1e6))
def test_a_printed_number_is_the_value_to_the_printed_precision(value: float) -> None:
    text = Claim(value, SOURCE, "number").text
    read = float(text.replace("\N{MINUS SIGN}", "-").replace("\u202f", ""))
    assert abs(read - value) <= 0.005 + 1e-9 * abs(value)


def test_claims_are_found_in_the_order_of_printing() -> None:
    first, second, third = (Claim(value, SOURCE, "integer") for value in (1, 2, 3))
    table = Table("t", prose("T ", first), (Column(prose("Head")),), (Row((prose(second),)),))
    section = Section("key", prose("Title"), (table, Paragraph(prose("and ", third))))
    assert list(claims_in(section)) == [first, second, third]
    assert plain_text(prose("n = ", first)) == "n = 1"


def claim(value: float | None) -> Claim:
    return Claim(value, SOURCE, "number")


def rows_of(*values: float | None, role: RowRole = "plain") -> tuple[Row, ...]:
    return tuple(Row((prose("name"), prose(claim(value))), role) for value in values)


TWO = (Column(prose("Name"), numeric=False), Column(prose("Value")))


def test_neighbouring_rows_without_a_group_share_one_without_a_head() -> None:
    first, second, third, fourth = rows_of(1.0, 2.0, 3.0, 4.0)
    group = RowGroup((third,), prose("Head"))
    table = Table("key", prose("Caption"), TWO, (first, second, group, fourth))
    assert table.groups == (RowGroup((first, second)), group, RowGroup((fourth,)))
    assert table.flat_rows == (first, second, third, fourth)
    assert Table("key", prose("Caption"), TWO, ()).groups == ()


def test_a_row_of_a_group_has_a_cell_for_every_column_too() -> None:
    with pytest.raises(ContractError, match="1 cells for 2 columns"):
        Table("key", prose("Caption"), TWO, (RowGroup((Row((prose("a"),)),)),))


def test_a_mark_needs_a_note_that_begins_with_it() -> None:
    row = Row((prose("name"), prose(claim(1.0), Mark("*"))))
    note = prose(Mark("*"), " is explained")
    assert Table("key", prose("Caption"), TWO, (row,), (note,)).notes == (note,)
    for notes in ((), (prose(Mark("†"), " is another mark"),), (prose("a star ", Mark("*"), " inside"),)):
        with pytest.raises(ContractError, match=r"bears the mark `\*`"):
            Table("key", prose("Caption"), TWO, (row,), notes)
    with pytest.raises(ContractError, match="no mark of a table"):
        Mark("!")


@pytest.mark.parametrize("text", ["Table 3", "٣"])
def test_digits_are_refused_in_heads_of_groups_notes_and_references(text: str) -> None:
    for make in (
        lambda: RowGroup((), (text,)),
        lambda: Table("key", prose("Caption"), TWO, (), ((text,),)),
        lambda: Ref("table", "key", text),
        lambda: Figures("key", (text,), ()),
    ):
        with pytest.raises(ContractError, match="holds a digit"):
            make()


def bold_in(rows: Sequence[Row]) -> list[bool]:
    return [any(isinstance(piece, Best) for piece in row.cells[1]) for row in rows]


@pytest.mark.parametrize(
    ("values", "smallest", "bold"),
    [
        ((1.0, 3.0, 2.0), False, [False, True, False]),
        ((1.0, 3.0, 2.0), True, [True, False, False]),
        ((3.0, 3.0, 2.0), False, [True, True, False]),
        ((None, 3.0, 2.0), False, [False, True, False]),
        ((math.nan, 3.0, 2.0), True, [False, False, True]),
        ((None, 3.0, None), False, [False, False, False]),
    ],
)
def test_the_best_of_a_column_is_bold(values: tuple[float | None, ...], smallest: bool, bold: list[bool]) -> None:
    rows = with_best(rows_of(*values), 1, smallest=smallest)
    assert bold_in(rows) == bold
    assert [plain_text(row.cells[1]) for row in rows] == [plain_text(row.cells[1]) for row in rows_of(*values)]


def test_grey_rows_and_words_do_not_compete() -> None:
    words = Row((prose("name"), prose("not recorded")))
    rows = with_best((*rows_of(9.0, role="muted"), words, *rows_of(1.0, 2.0)), 1)
    assert bold_in(rows) == [False, False, False, True]


def test_a_bold_value_is_still_a_claim() -> None:
    (first, _) = with_best(rows_of(2.0, 1.0), 1)
    assert list(claims_in(first)) == [claim(2.0)]
