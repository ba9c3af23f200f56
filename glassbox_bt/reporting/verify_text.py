"""The visible text of a report on disk against that of one rendered anew from what the run recorded.

Claims and literals are rendered between invisible marks, so that it is known of every letter which claim printed it. What
is between no marks is plain text, in which the tree refuses digits, or markup. The file on disk has no marks: it is read
as it is, line by line, and compared with the rendering.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field

from glassbox_bt.reporting.faults import Fault
from glassbox_bt.reporting.report import Claim, Literal

__all__ = ["Expected", "Marker", "changed", "compared", "expected_text"]

OPEN, CLOSE, END = "\ue000", "\ue001", "\ue002"  # of the private use area: index between the first two, text before the last
MARKED = re.compile(f"{OPEN}(\\d+){CLOSE}(.*?){END}", re.DOTALL)
TOKEN = re.compile(r"\s+|[^\s]+")
LITERAL = "literal"


@dataclass(slots=True)
class Marker:
    """Puts marks around claims and literals and remembers them."""

    sources: list[str] = field(default_factory=list)

    def __call__(self, piece: Claim | Literal, text: str) -> str:
        self.sources.append(piece.source if isinstance(piece, Claim) else LITERAL)
        return f"{OPEN}{len(self.sources) - 1}{CLOSE}{text}{END}"


@dataclass(frozen=True, slots=True)
class Span:
    """Where in a line a claim stands."""

    first: int
    last: int  # exclusive
    source: str


@dataclass(frozen=True, slots=True)
class Expected:
    """A file as it must be: its lines, and the claims in each."""

    file: str
    lines: tuple[str, ...]
    spans: tuple[tuple[Span, ...], ...]

    @property
    def text(self) -> str:
        """The whole file."""
        return "\n".join(self.lines)

    @property
    def n_digits(self) -> int:
        """Digits that a claim or literal prints."""
        pairs = zip(self.lines, self.spans, strict=True)
        return sum(character.isdigit() for line, spans in pairs for one in spans for character in line[one.first : one.last])

    def source_at(self, line: int, first: int, last: int) -> str:
        """Source of the claim that stands in this part of a line; empty where plain text does."""
        for span in self.spans[line]:
            if span.first < max(last, first + 1) and first < span.last:
                return span.source
        return ""

    def unsourced(self, markup: re.Pattern[str]) -> Iterator[Fault]:
        """Digits that neither a claim nor a literal prints and that are not part of ``markup``."""
        for number, (line, spans) in enumerate(zip(self.lines, self.spans, strict=True)):
            bare = list(line)
            for span in spans:
                bare[span.first : span.last] = "x" * (span.last - span.first)
            rest = markup.sub("", "".join(bare))
            if found := re.search(r"\S*\d\S*", rest):
                yield Fault(self.file, f"line {number + 1}", found.group(), "a claim or a listed literal")


def expected_text(file: str, marked: str, marker: Marker) -> Expected:
    """The file as it was rendered with ``marker``."""
    lines, spans = [], []
    for line in marked.split("\n"):
        plain, found = _unmarked(line, marker.sources)
        lines.append(plain)
        spans.append(found)
    return Expected(file, tuple(lines), tuple(spans))


def compared(expected: Expected, text: str) -> Iterator[Fault]:
    """Every place at which ``text`` is not what was expected; none where it is the same."""
    if text == expected.text:
        return
    said, must = text.split("\n"), expected.lines
    for ours, theirs in changed(must, said):
        for at in range(max(len(ours), len(theirs))):
            if at < len(ours) and at < len(theirs):
                yield from _in_line(expected, ours[at], theirs[at], said[theirs[at]])
            elif at < len(ours):
                yield Fault(expected.file, f"line {ours[at] + 1}", "nothing", must[ours[at]][:80])
            else:
                yield Fault(expected.file, f"line {theirs[at] + 1}", said[theirs[at]][:80], "nothing")


def _in_line(expected: Expected, number: int, place: int, said: str) -> Iterator[Fault]:
    """The words of one line that differ, with the claim that stands there."""
    must = expected.lines[number]
    ours, theirs = TOKEN.findall(must), TOKEN.findall(said)
    starts = [0]
    for token in ours:
        starts.append(starts[-1] + len(token))
    for our_range, their_range in changed(ours, theirs):
        first = starts[our_range.start]
        wanted, got = "".join(ours[at] for at in our_range), "".join(theirs[at] for at in their_range)
        begin = first + _shared(wanted, got)
        source = expected.source_at(number, begin, begin + 1)
        yield Fault(expected.file, f"line {place + 1}", got.strip() or "nothing", wanted.strip() or "nothing", source)


def _shared(one: str, other: str) -> int:
    """Letters at the start that are the same."""
    for at, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return at
    return min(len(one), len(other))


def changed(must: Sequence[Hashable], said: Sequence[Hashable]) -> Iterator[tuple[range, range]]:
    """Ranges of two sequences that differ, as places in each; what is the same at both ends is passed over quickly."""
    first = 0
    while first < min(len(must), len(said)) and must[first] == said[first]:
        first += 1
    last = 0
    while last < min(len(must), len(said)) - first and must[-1 - last] == said[-1 - last]:
        last += 1
    ours, theirs = must[first : len(must) - last], said[first : len(said) - last]
    if len(ours) == len(theirs) and sum(a != b for a, b in zip(ours, theirs, strict=True)) <= max(2, len(ours) // 2):
        for at, (one, other) in enumerate(zip(ours, theirs, strict=True), start=first):
            if one != other:
                yield range(at, at + 1), range(at, at + 1)
        return
    matcher = difflib.SequenceMatcher(None, ours, theirs, autojunk=False)
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind != "equal":
            yield range(first + a, first + b), range(first + c, first + d)


def _unmarked(line: str, sources: Sequence[str]) -> tuple[str, tuple[Span, ...]]:
    plain, spans, before = "", [], 0
    for found in MARKED.finditer(line):
        plain += line[before : found.start()]
        spans.append(Span(len(plain), len(plain) + len(found.group(2)), sources[int(found.group(1))]))
        plain += found.group(2)
        before = found.end()
    return plain + line[before:], tuple(spans)
