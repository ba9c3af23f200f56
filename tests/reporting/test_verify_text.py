"""Every digit that a reader sees is guarded: flipped in page, Markdown or LaTeX it is found, with the claim behind it."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import pytest

from glassbox_bt.reporting import build_chapter, build_report
from glassbox_bt.reporting.faults import Fault
from glassbox_bt.reporting.html import html_page
from glassbox_bt.reporting.latex import latex_chapter
from glassbox_bt.reporting.markdown import markdown_chapter
from glassbox_bt.reporting.record import RunRecord
from glassbox_bt.reporting.verify import expected_texts, page_faults, text_faults
from glassbox_bt.reporting.verify_page import parsed
from glassbox_bt.reporting.verify_text import Marker, changed, compared, expected_text
from tests.reporting.trees import everything

FORMATS = ("index.html", "chapter.md", "chapter.tex")
FEW, MANY = 60, 1000  # flips over the three formats, in the default tests and in the slow ones


@dataclass(frozen=True)
class Guarded:
    """A text as it is on disk, what finds its faults, and where its visible digits stand."""

    text: str
    faults: Callable[[str], list[Fault]]
    digits: tuple[int, ...]


class VisibleDigits(HTMLParser):
    """Places of the digits in texts between tags, by the offset in the page; the style sheet is not visible."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=False)  # every text as it stands in the file
        self._starts = [0]
        for line in text.split("\n"):
            self._starts.append(self._starts[-1] + len(line) + 1)
        self._open: list[str] = []
        self.places: list[int] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            line, column = self.getpos()
            start = self._starts[line - 1] + column
            self.places += [start + at for at, character in enumerate(data) if character in "0123456789"]


@pytest.fixture(scope="module")
def guarded(fake_run: Path) -> dict[str, Guarded]:
    """The three texts of a run, rendered once to be changed and once to be compared with."""
    record = RunRecord(fake_run)
    page = parsed("report/index.html", html_page(build_report(record)))
    expected = {one.file: one for one in expected_texts(build_chapter(record))}
    texts = {"index.html": html_page(build_report(RunRecord(fake_run)))}
    chapter = build_chapter(RunRecord(fake_run))
    texts |= {"chapter.md": markdown_chapter(chapter), "chapter.tex": latex_chapter(chapter)}
    known: dict[tuple[str, str], str] = {}
    found = {"index.html": Guarded(texts["index.html"], lambda text: list(page_faults(page, record, text, known)), ())}
    for name in FORMATS[1:]:
        one = expected[f"report/chapter/{name}"]
        found[name] = Guarded(texts[name], lambda text, one=one: list(text_faults(one, text)), ())  # type: ignore[misc]
    places = {"index.html": tuple(VisibleDigits(texts["index.html"]).places)}
    places["chapter.md"] = tuple(_outside(texts["chapter.md"], r'\]\([^)\s]*\)|<a id="[^"]*"></a>'))
    places["chapter.tex"] = tuple(_outside(texts["chapter.tex"], r"(?m)^%.*"))  # sizes and keys of the layout as well
    return {name: Guarded(one.text, one.faults, places[name]) for name, one in found.items()}


def _outside(text: str, hidden: str) -> Iterator[int]:
    """Digits that are not part of what a reader does not see."""
    spans = [match.span() for match in re.finditer(hidden, text)]
    covered = {at for first, last in spans for at in range(first, last)}
    return (at for at, character in enumerate(text) if character in "0123456789" and at not in covered)


@pytest.mark.parametrize("name", FORMATS)
def test_an_untouched_text_has_no_fault(guarded: dict[str, Guarded], name: str) -> None:
    assert guarded[name].faults(guarded[name].text) == []
    assert len(guarded[name].digits) > 3000


def flipped(one: Guarded, rng: random.Random) -> tuple[str, int]:
    """The text with one visible digit replaced by another one."""
    at = rng.choice(one.digits)
    other = rng.choice([digit for digit in "0123456789" if digit != one.text[at]])
    return one.text[:at] + other + one.text[at + 1 :], at


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("n", [FEW // 3, pytest.param(MANY // 3 + 1, marks=pytest.mark.slow)])
def test_every_flipped_digit_is_found(guarded: dict[str, Guarded], name: str, n: int) -> None:
    one, rng = guarded[name], random.Random(f"{name}/{n}")
    for _ in range(n):
        text, at = flipped(one, rng)
        faults = one.faults(text)
        assert faults, one.text[at - 60 : at + 20]
        line = one.text[:at].count("\n") + 1
        assert any(re.match(rf"line {line}\b", fault.place) for fault in faults), (line, faults)
        assert all(fault.printed != fault.recomputed for fault in faults)


@pytest.mark.parametrize("name", FORMATS)
def test_the_claim_that_printed_a_digit_is_named(guarded: dict[str, Guarded], fake_run: Path, name: str) -> None:
    record = RunRecord(fake_run)
    row = next(one for one in record.entries("pooled") if one.get("strategy") == "glassbox")
    source = row.source("sharpe")
    printed = f"{row.get('sharpe'):.2f}"
    one = guarded[name]
    at = one.text.index(f"Sharpe ratio of {printed}") if name != "index.html" else one.text.index(f'title="{source}">')
    at = one.text.index(printed, at)
    other = printed[:-1] + str((int(printed[-1]) + 1) % 10)
    (fault,) = set(one.faults(one.text[:at] + other + one.text[at + len(printed) :]))
    assert fault.source == source
    assert printed in fault.recomputed
    assert other in fault.printed


@pytest.mark.parametrize(
    ("find", "replace"),
    [
        ('title="metrics.json#/', 'title="metrics.json#/9'),
        ('data-as="percent"', 'data-as="percent_2"'),
        ('aria-label="not known"', 'aria-label="well known"'),
        ("<td", "<th"),
        ('<path d="M', '<path d="M 9'),
        ("</main>", "<p>7</p></main>"),
        ("--page: #fdfdfb", "--page: #fdfdfc"),
        ('class="stack"', 'class="muted"'),
        ("</h1>", "</h1 >"),
    ],
)
def test_other_changes_of_the_page_are_found(guarded: dict[str, Guarded], find: str, replace: str) -> None:
    one = guarded["index.html"]
    assert find in one.text
    assert one.faults(one.text.replace(find, replace, 1))


def test_a_page_whose_claims_were_all_changed_together_is_found(guarded: dict[str, Guarded]) -> None:
    """Value, printed text and source of a claim, moved to another row: each agrees with the others, none with the run."""
    one = guarded["index.html"]
    row = r'<data data-as="number" value="([^"]*)" title="metrics\.json#/pooled/(\d+)/sharpe">([^<]*)</data>'
    first, second = list(re.finditer(row, one.text))[:2]
    assert first.group(0) != second.group(0)
    assert one.faults(one.text.replace(first.group(0), second.group(0), 1))


@pytest.mark.parametrize(
    ("find", "replace"),
    [("supported", "refuted"), ("\n\n", "\n"), (" days", " hours"), ("Stack", "Rival")],
)
@pytest.mark.parametrize("name", FORMATS[1:])
def test_other_changes_of_the_chapter_are_found(guarded: dict[str, Guarded], name: str, find: str, replace: str) -> None:
    one = guarded[name]
    assert find in one.text
    assert one.faults(one.text.replace(find, replace, 1))


def test_lines_that_came_or_went_are_told_apart(guarded: dict[str, Guarded]) -> None:
    one = guarded["chapter.md"]
    lines = one.text.split("\n")
    (gone,) = one.faults("\n".join(lines[:40] + lines[41:]))
    assert (gone.printed, gone.recomputed) == ("nothing", lines[40][:80])
    (more,) = one.faults("\n".join([*lines[:40], "One more line.", *lines[40:]]))
    assert (more.printed, more.recomputed) == ("One more line.", "nothing")


def test_a_digit_without_a_source_in_what_is_rendered_is_a_fault_too() -> None:
    """Should a renderer ever print a digit of its own, the file agrees with the rendering and is refused all the same."""
    from glassbox_bt.reporting.verify import LATEX, MARKDOWN

    for render, markup in ((markdown_chapter, MARKDOWN), (latex_chapter, LATEX)):
        marker = Marker()
        text = render(everything(), marker)
        assert list(expected_text("file", text, marker).unsourced(markup)) == []
        odd = expected_text("file", text.replace("Does it pay?", "Does it pay 7 times?"), marker)
        assert [(fault.printed, fault.recomputed) for fault in odd.unsourced(markup)] == [
            ("7", "a claim or a listed literal")
        ]


def test_two_changes_in_one_line_are_two_faults() -> None:
    marker = Marker()
    expected = expected_text("file", markdown_chapter(everything(), marker), marker)
    text = expected.text.replace(
        "| **Stack** | **0.72**<sup>\\*</sup> | 0.003 |", "| **Stack** | **0.77**<sup>\\*</sup> | 0.004 |"
    )
    first, second = compared(expected, text)
    assert ("0.72" in first.recomputed, "0.77" in first.printed) == (True, True)
    assert (second.recomputed, second.printed, second.source) == ("0.003", "0.004", "metrics.json#/a")


@pytest.mark.parametrize(
    ("must", "said", "ranges"),
    [
        ("abc", "abc", []),
        ("abc", "axc", [((1, 2), (1, 2))]),
        ("abc", "ac", [((1, 2), (1, 1))]),
        ("ac", "abc", [((1, 1), (1, 2))]),
        ("", "ab", [((0, 0), (0, 2))]),
        ("abab", "abxab", [((2, 2), (2, 3))]),
    ],
)
def test_ranges_that_differ(must: str, said: str, ranges: list[tuple[tuple[int, int], tuple[int, int]]]) -> None:
    found = [((a.start, a.stop), (b.start, b.stop)) for a, b in changed(must, said)]
    assert found == ranges
