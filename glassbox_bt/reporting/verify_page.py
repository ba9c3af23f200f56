"""The page on disk, taken apart by the standard library's parser, against one rendered anew.

1. Every element, attribute and text must be that of the new page, in the same order; a text is compared letter by letter.
2. Every ``<data>`` element must print what its own ``title`` resolves to, now, in the run folder.
3. Every other digit must stand in a listed literal, in a drawing (whose texts 1 compares with a new drawing) or in the
   title of the page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser

from glassbox_bt.errors import ContractError, RunFolderError
from glassbox_bt.reporting.faults import Fault
from glassbox_bt.reporting.record import RunRecord
from glassbox_bt.reporting.report import LITERALS, Claim
from glassbox_bt.reporting.styles import STYLES
from glassbox_bt.reporting.verify_text import changed

__all__ = ["Page", "compared_pages", "parsed", "unsourced"]

VOID = frozenset({"meta", "link", "br", "img", "input", "hr", "wbr"})
SHAPE = frozenset({"path", "use", "rect", "circle", "clippath", "defs", "g"})  # of a drawing, without a word in them
LONG, BEFORE = 80, 30  # letters of a text that a fault prints, and those before the difference
DRAWN = "a drawing as it is drawn from the run's tables"


@dataclass(frozen=True, slots=True)
class Event:
    """A start, an end or a text, with where it stands."""

    kind: str  # "start", "end" or "text"
    name: str  # of the element
    content: str  # attributes of a start, or the text
    line: int
    within: tuple[str, ...]  # open elements, outermost first
    source: str  # of the claim around it, or empty
    style: str  # of the claim around it
    anchor: str  # nearest identifier before it

    @property
    def same_as(self) -> tuple[str, str, str]:
        """What must agree with the new page."""
        return self.kind, self.name, self.content


@dataclass(frozen=True, slots=True)
class Page:
    """A page taken apart."""

    file: str
    text: str
    events: tuple[Event, ...]

    @property
    def n_digits(self) -> int:
        """Digits that a reader sees."""
        seen = (one.content for one in self.events if one.kind == "text" and "style" not in one.within)
        return sum(character.isdigit() for text in seen for character in text)


def parsed(file: str, text: str) -> Page:
    """Take a page apart."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    return Page(file, text, tuple(reader.events))


def compared_pages(must: Page, said: Page) -> Iterator[Fault]:
    """Every place at which the page on disk is not the new one; none where it is the same."""
    if must.text == said.text:
        return
    ours, theirs = [one.same_as for one in must.events], [one.same_as for one in said.events]
    for wanted, got in changed(ours, theirs):
        for at in range(max(len(wanted), len(got))):
            left = must.events[wanted[at]] if at < len(wanted) else None
            right = said.events[got[at]] if at < len(got) else None
            yield _difference(must.file, left, right)
    if ours == theirs:
        yield Fault(must.file, "", "bytes that mean the same", "the bytes of the page rendered anew")


def unsourced(page: Page, record: RunRecord, known: dict[tuple[str, str], str]) -> Iterator[Fault]:
    """Claims that do not resolve to what is printed, and digits that no claim, literal or drawing prints.

    ``known`` remembers what a source and a style print, for whoever looks at several pages of one run.
    """
    for one in page.events:
        if one.kind != "text" or "style" in one.within:
            continue
        if one.source:
            key = (one.source, one.style)
            if key not in known:
                known[key] = _resolved(record, *key)
            if known[key] != one.content:
                printed, must = _parted(one.content, known[key])
                yield Fault(page.file, _where(one), printed, must, one.source)
        elif re.search(r"\d", one.content) and not _may_have_digits(one):
            yield Fault(page.file, _where(one), one.content.strip()[:80], "a claim or a listed literal")


def _resolved(record: RunRecord, source: str, style: str) -> str:
    """What a claim prints, read from its source again."""
    if style not in STYLES:
        return f"a claim with a known style, not `{style}`"
    try:
        return Claim(record.resolve(source), source, style).text
    except (RunFolderError, ContractError, ValueError) as wrong:
        return f"nothing: {wrong}"


def _may_have_digits(one: Event) -> bool:
    if "svg" in one.within:
        return True
    return one.within[-1:] == ("title",) or (one.within[-1:] == ("span",) and one.content in LITERALS)


def _difference(file: str, must: Event | None, said: Event | None) -> Fault:
    shown = said or must
    assert shown is not None
    if must is not None and said is not None and must.kind == said.kind == "start" and must.name == said.name:
        if must.name in SHAPE:
            return Fault(file, _where(said), f"another {said.name}", DRAWN)
        return Fault(file, _where(said), *_parted(said.content, must.content), must.source or said.source)
    if must is not None and said is not None and must.kind == said.kind == "text":
        return Fault(file, _where(said), *_parted(said.content, must.content), must.source)
    printed, wanted = (_words(one) if one else "nothing" for one in (said, must))
    return Fault(file, _where(shown), printed, wanted, must.source if must else "")


def _parted(said: str, must: str) -> tuple[str, str]:
    """Two texts that differ, long ones from shortly before the first difference."""
    first = next((at for at, (one, other) in enumerate(zip(said, must, strict=False)) if one != other), 0)
    start = max(0, first - BEFORE) if max(len(said), len(must)) > LONG else 0
    return said[start : start + LONG].strip() or "nothing", must[start : start + LONG].strip() or "nothing"


def _words(one: Event) -> str:
    return one.content.strip()[:80] if one.kind == "text" else f"<{'/' if one.kind == 'end' else ''}{one.name}>"


def _where(one: Event) -> str:
    return f"line {one.line}, #{one.anchor}" if one.anchor else f"line {one.line}"


class _Reader(HTMLParser):
    """Events in order; the claim around a text is the ``<data>`` element it stands in."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.events: list[Event] = []
        self._open: list[str] = []
        self._source = self._style = self._anchor = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._anchor = given.get("id") or self._anchor
        if tag == "data":
            self._source, self._style = given.get("title") or "?", given.get("data-as") or "?"
        self._add("start", tag, " ".join(f'{name}="{value or ""}"' for name, value in attrs))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._add("start", tag, " ".join(f'{name}="{value or ""}"' for name, value in attrs))

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            while self._open.pop() != tag:
                pass
        if tag == "data":
            self._source = self._style = ""
        self._add("end", tag, "")

    def handle_data(self, data: str) -> None:
        self._add("text", "", data)

    def handle_comment(self, data: str) -> None:
        self._add("start", "comment", data)

    def handle_decl(self, decl: str) -> None:
        self._add("start", "declaration", decl)

    def _add(self, kind: str, name: str, content: str) -> None:
        line = self.getpos()[0]
        self.events.append(Event(kind, name, content, line, tuple(self._open), self._source, self._style, self._anchor))
