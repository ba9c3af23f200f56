"""The pieces that text is made of: plain words, claims, listed literals, code, links, emphasis and marks.

A number enters a text only as a `Claim`, which carries the place in the run folder that it was read from; a digit that
is not read from a run (the 252 of an annualisation) is a `Literal` and must be listed in `LITERALS`. Plain text with a
digit in it is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar
from typing import Literal as OneOf

from glassbox_bt.errors import ContractError
from glassbox_bt.reporting.styles import STYLES, Value

__all__ = [
    "LITERALS",
    "MARKS",
    "NOT_KNOWN",
    "Best",
    "Claim",
    "Code",
    "Link",
    "Literal",
    "Mark",
    "Piece",
    "Prose",
    "Ref",
    "Weighed",
    "claims_in",
    "plain_text",
    "prose",
]

NOT_KNOWN = "–"  # a value that the run recorded as unknown

LITERALS: Mapping[str, str] = {
    "0": "the risk-free rate and the idle rate of this report",
    "1": "wealth at the start of a curve",
    "1/N": "name of a rule: every one of N names gets the same weight",
    "12-1": "name of a rule: momentum over twelve months without the last one",
    "2": "label of a number of strategies or chunks that is spelled in words elsewhere",
    "95": "level of the tail loss",
    "100": "percent",
    "252": "sessions in a year, for annualisation",
    "sha256": "name of a digest",
}


@dataclass(frozen=True, slots=True)
class Claim:
    """One value that a run recorded, with the place it was read from.

    Parameters
    ----------
    value : float | int | bool | str | None
        The value as recorded; None or NaN is printed as unknown.
    source : str
        Place in the run folder, see `RunRecord.resolve`.
    style : str
        How it is printed, a key of `STYLES`.

    Raises
    ------
    ContractError
        If there is no source, or the style is not known.
    """

    value: Value
    source: str
    style: str = "text"
    kind: ClassVar[str] = "claim"

    def __post_init__(self) -> None:
        if not self.source.strip():
            raise ContractError(
                f"The value {self.value!r} has no source. Make the claim with `RunRecord.claim`, "
                "which reads the value from its place in the run folder."
            )
        if self.style not in STYLES:
            raise ContractError(f"`{self.style}` is no style of a claim. Known styles: {', '.join(sorted(STYLES))}.")

    @property
    def known(self) -> bool:
        """Whether the run recorded a value here."""
        return self.value is not None and not (isinstance(self.value, float) and math.isnan(self.value))

    @property
    def text(self) -> str:
        """The value as printed."""
        return STYLES[self.style](self.value) if self.known else NOT_KNOWN


@dataclass(frozen=True, slots=True)
class Literal:
    """A text with digits that belongs to the report, not to a run; it must be listed in `LITERALS`."""

    text: str
    kind: ClassVar[str] = "literal"

    def __post_init__(self) -> None:
        if self.text not in LITERALS:
            raise ContractError(
                f"`{self.text}` is not a listed literal. Print it as a Claim, or list it in LITERALS with its reason."
            )


@dataclass(frozen=True, slots=True)
class Code:
    """Something to type or to look up: a command, a file, a digest."""

    content: str | Claim
    kind: ClassVar[str] = "code"

    def __post_init__(self) -> None:
        if isinstance(self.content, str):
            _refuse_digits(self.content)

    @property
    def text(self) -> str:
        """What is shown."""
        return self.content if isinstance(self.content, str) else self.content.text


@dataclass(frozen=True, slots=True)
class Link:
    """A link to another file of the report folder, relative to it."""

    content: str | Claim
    target: str
    kind: ClassVar[str] = "link"

    @property
    def text(self) -> str:
        """What is shown."""
        return self.content if isinstance(self.content, str) else self.content.text


@dataclass(frozen=True, slots=True)
class Weighed:
    """A word of a quoted text that moved a score, with its share: told by a sign and a number, not by colour alone.

    ``level`` is 1 or 2 where the word raised the score, -1 or -2 where it lowered it; 2 is strong.
    """

    content: Claim
    share: Claim
    level: int
    kind: ClassVar[str] = "weighed"

    def __post_init__(self) -> None:
        if self.level not in (-2, -1, 1, 2):
            raise ContractError(f"The level of a weighed word is -2, -1, 1 or 2, got {self.level}. Print it as a Claim.")

    @property
    def text(self) -> str:
        """What is shown."""
        return f"{self.content.text} ({self.share.text})"


MARKS: tuple[str, ...] = ("*", "**", "†", "‡")


@dataclass(frozen=True, slots=True)
class Best:
    """The best value of its column, printed bold."""

    content: Claim
    kind: ClassVar[str] = "best"

    @property
    def text(self) -> str:
        """What is shown."""
        return self.content.text


@dataclass(frozen=True, slots=True)
class Mark:
    """A raised sign behind a value; a note under the table says what it means."""

    sign: str
    kind: ClassVar[str] = "mark"

    def __post_init__(self) -> None:
        if self.sign not in MARKS:
            raise ContractError(f"`{self.sign}` is no mark of a table. Marks: {', '.join(MARKS)}.")

    @property
    def text(self) -> str:
        """What is shown."""
        return self.sign


@dataclass(frozen=True, slots=True)
class Ref:
    """A pointer to a table or figure of the same report: ``words`` on a screen, its number in print."""

    to: OneOf["table", "figure"]
    key: str
    words: str
    kind: ClassVar[str] = "ref"

    def __post_init__(self) -> None:
        _refuse_digits(self.words)

    @property
    def text(self) -> str:
        """What is shown on a screen."""
        return self.words


Piece = str | Claim | Literal | Code | Link | Best | Mark | Ref | Weighed
Prose = tuple[Piece, ...]


def prose(*parts: Piece | Prose) -> Prose:
    """Pieces of text in a row; tuples among ``parts`` are flattened.

    Raises
    ------
    ContractError
        If a plain string holds a digit: it must be a Claim or a listed Literal.
    """
    flat: list[Piece] = []
    for part in parts:
        flat.extend(part if isinstance(part, tuple) else (part,))
    for piece in flat:
        if isinstance(piece, str):
            _refuse_digits(piece)
    return tuple(flat)


def plain_text(text: Prose) -> str:
    """The prose as one string, as a reader without markup would see it."""
    return "".join(piece if isinstance(piece, str) else piece.text for piece in text)


def claims_in(node: object) -> Iterator[Claim]:
    """Every claim below ``node``, in the order of printing."""
    if isinstance(node, Claim):
        yield node
    elif isinstance(node, tuple):
        for part in node:
            yield from claims_in(part)
    elif hasattr(node, "__dataclass_fields__"):
        for name in node.__dataclass_fields__:
            yield from claims_in(getattr(node, name))


def _refuse_digits(text: str) -> None:
    if re.search(r"\d", text):
        raise ContractError(
            f"The text {text!r} holds a digit without a source. Print the number as a Claim, or a fixed one as a Literal."
        )
