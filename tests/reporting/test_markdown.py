"""Markdown, read back with the parser of another project: what the tree says is what a reader sees."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from glassbox_bt.reporting.markdown import markdown_chapter
from glassbox_bt.reporting.report import Block, Claim, Code, Column, Item, Listing, Literal, Paragraph, Row, Table, prose
from tests.reporting.trees import claim, everything, figure, report_of, table_of_groups, words

READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
ANY_LINE = st.text(st.characters(blacklist_categories=("Cs", "Cc", "Zl", "Zp", "Zs", "Co")), min_size=1, max_size=40)


def tokens_of(*blocks: Block) -> list[Token]:
    return READER.parse(markdown_chapter(report_of(*blocks)))


def visible(token: Token) -> str:
    """The text of an inline token, without markup."""
    kept = ("text", "code_inline", "text_special")
    return "".join(child.content for child in token.children or () if child.type in kept)


def cells(tokens: list[Token]) -> Iterator[list[str]]:
    """Rows of the tables, head first."""
    row: list[str] = []
    for before, token in itertools.pairwise(tokens):
        if before.type == "tr_open":
            row = []
        if before.type in ("th_open", "td_open"):
            row.append(visible(token))
        if token.type == "tr_close":
            yield row


@given(ANY_LINE)
@example("1. not a list")
@example("- not a list")
@example("# no heading")
@example("*a* _b_ `c` [d](e) <f> ~~g~~ | h & i $j$ \\k")
@example("&amp; &#35;")
def test_whatever_a_run_recorded_is_read_as_text(text: str) -> None:
    (paragraph,) = [token for token in tokens_of(Paragraph(words(text))) if token.type == "inline"][3:]
    assert visible(paragraph) == text


@given(ANY_LINE)
@example("a|b")
@example("a\\|b")
def test_whatever_stands_in_a_cell_is_read_as_text(text: str) -> None:
    columns = (Column(words(text), numeric=False), Column(prose("Value")))
    table = Table("key", prose("Caption"), columns, (Row((words(text), prose(claim(1.0, "number")))),))
    assert list(cells(tokens_of(table))) == [[text, "Value"], [text, "1.00"]]


def test_a_table_has_its_groups_marks_and_notes() -> None:
    tokens = tokens_of(table_of_groups())
    assert list(cells(tokens)) == [
        ["Strategy", "Sharpe ratio", "p, adjusted"],
        ["Chunk 1", "", ""],
        ["Stack", "0.72*", "0.003"],
        ["Rivals", "", ""],
        ["A & B_1|x", "\N{MINUS SIGN}0.50", "–"],
        ["Spent", "9.00", ""],
    ]
    text = markdown_chapter(report_of(table_of_groups()))
    assert "| **Stack** | **0.72**<sup>\\*</sup> | 0.003 |" in text
    assert "| _Rivals_ |  |  |" in text
    assert "| :--- | ---: | ---: |" in text
    assert '<a id="tests"></a>**Ratios at 252 sessions**' in text
    assert "<sub><sup>\\*</sup> adjusted p under 0.05</sub>\n\n<sub>Bold: the best.</sub>" in text


def test_figures_are_images_with_their_words_and_a_caption() -> None:
    images = [child for token in tokens_of(figure()) for child in token.children or () if child.type == "image"]
    assert [(image.attrs["src"], image.content) for image in images] == [("figures/growth-chunk1.png", "It ends at 1.20.")]
    assert "_Chunk 1_" in markdown_chapter(report_of(figure()))


def test_everything_is_printed_and_links_lead_somewhere() -> None:
    text = markdown_chapter(everything())
    tokens = READER.parse(text)
    headings = [(token.tag, visible(tokens[at + 1])) for at, token in enumerate(tokens) if token.type == "heading_open"]
    assert headings == [("h1", "20 names, 2000_2022"), ("h2", "Text"), ("h2", "Numbers"), ("h3", "Drawn")]
    targets = re.findall(r"\]\(#([^)]*)\)", text)
    assert targets == ["tests", "growth"]
    assert all(f'<a id="{target}"></a>' in text for target in targets)
    assert "[tear-sheet](../tearsheet_glassbox.html)" in text
    assert "`glassbox run --out DIR`" in text
    assert "> A note." in text
    assert "- **Costs:** one\n- **Names:** 2" in text
    assert "- **Head:** body\n- only a body" in text
    assert "1. first\n1. second" in text


@pytest.mark.parametrize("content", ["a`b", "``", "`x`", "plain"])
def test_code_keeps_its_signs(content: str) -> None:
    tokens = tokens_of(Paragraph(prose(Code(claim(content)))))
    codes = [child.content for token in tokens for child in token.children or () if child.type == "code_inline"]
    assert codes == [content]


def test_lists_have_one_item_each() -> None:
    items = tuple(Item(words(f"item {number}")) for number in range(3))
    tokens = tokens_of(Listing(items))
    assert sum(token.type == "list_item_open" for token in tokens) == 3


def test_marking_claims_changes_no_letter() -> None:
    seen: list[str] = []

    def shown(piece: Claim | Literal, text: str) -> str:
        seen.append(piece.text)
        return f"\ue000{text}\ue001"

    marked = markdown_chapter(everything(), shown)
    assert re.sub("[\ue000\ue001]", "", marked) == markdown_chapter(everything())
    assert {"12.3\u202f%", "252", "0.72"} <= set(seen)
