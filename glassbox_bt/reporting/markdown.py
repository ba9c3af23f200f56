"""Renders the tree as GitHub-flavoured Markdown: pipe tables, figures as linked images with their text alternative.

What was read from the run is escaped, so that no word of it becomes markup. Tables and figures carry an anchor and no
number: in this format nobody counts them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from glassbox_bt.reporting.report import (
    Best,
    Block,
    Claim,
    Code,
    Figure,
    Figures,
    Item,
    Link,
    Listing,
    Literal,
    Mark,
    Paragraph,
    Piece,
    Prose,
    Ref,
    Report,
    Row,
    Section,
    Table,
    Weighed,
)

__all__ = ["Shown", "as_printed", "markdown_chapter"]

Shown = Callable[[Claim | Literal, str], str]  # a claim or literal, and its text in the format, to what is written
SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$&])")
LIST_LIKE = re.compile(r"^(\d+)([.)])(?=\s|$)|^([-+])(?=\s|$)")
BESIDE = "../"  # links of the tree are relative to the report folder, the chapter lies one below


def as_printed(_: Claim | Literal, text: str) -> str:
    """The text itself."""
    return text


def markdown_chapter(report: Report, shown: Shown = as_printed) -> str:
    """The report as one Markdown file; ``shown`` may mark claims and literals, the rest of the text is the same."""
    labels = "\n".join(f"- {_text(label, shown)}" for label in report.labels)
    parts = [f"# {_text(report.title, shown)}", f"_{_text(report.question, shown)}_", labels]
    for section in report.sections:
        parts.extend(_section(section, 2, shown))
    return "\n\n".join(part for part in parts if part) + "\n"


def _section(section: Section, depth: int, shown: Shown) -> Iterator[str]:
    yield f"{'#' * depth} {_text(section.title, shown)}"
    for block in section.blocks:
        yield _block(block, shown)
    for part in section.sections:
        yield from _section(part, depth + 1, shown)


def _block(block: Block, shown: Shown) -> str:
    match block:
        case Paragraph():
            return _paragraph(block, shown)
        case Listing():
            return _listing(block, shown)
        case Table():
            return _table(block, shown)
        case Figure():
            return _figure(block, shown)
        case Figures():
            title = f"{_anchor(block.key)}**{_text(block.title, shown)}**"
            return "\n\n".join((title, *(_figure(one, shown) for one in block.figures)))


def _paragraph(paragraph: Paragraph, shown: Shown) -> str:
    text = LIST_LIKE.sub(_not_a_list, _text(paragraph.text, shown))
    return f"> {text}" if paragraph.role in ("note", "warning") else text


def _not_a_list(found: re.Match[str]) -> str:
    number, dot, sign = found.groups()
    return f"{number}\\{dot}" if number else f"\\{sign}"


def _listing(listing: Listing, shown: Shown) -> str:
    sign = "1." if listing.style == "ordered" else "-"
    return "\n".join(f"{sign} {_item(item, listing.style, shown)}" for item in listing.items)


def _item(item: Item, style: str, shown: Shown) -> str:
    body = _text(item.body, shown)
    if not item.head:
        return body
    head = _text(item.head, shown)
    bare, space = head.rstrip(), head[len(head.rstrip()) :]
    return f"**{bare}:** {body}" if style == "facts" else f"**{bare}**{space}{body}"


def _table(table: Table, shown: Shown) -> str:
    lines = [
        f"{_anchor(table.key)}**{_text(table.caption, shown)}**",
        "",
        _line(_text(column.head, shown) for column in table.columns),
        _line("---:" if column.numeric else ":---" for column in table.columns),
    ]
    for group in table.groups:
        if group.head:
            lines.append(_line([f"_{_text(group.head, shown)}_", *("" for _ in table.columns[1:])]))
        lines.extend(_line(_cells(row, shown)) for row in group.rows)
    for note in table.notes:
        lines += ["", f"<sub>{_text(note, shown)}</sub>"]
    return "\n".join(lines)


def _cells(row: Row, shown: Shown) -> Iterator[str]:
    """The stack's own row stands out by its name; its values are bold only where they are the best."""
    for place, cell in enumerate(row.cells):
        text = _text(cell, shown)
        yield f"**{text}**" if place == 0 and row.role == "stack" and text else text


def _line(cells: Iterator[str] | list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _figure(figure: Figure, shown: Shown) -> str:
    alternative, title = _text(figure.alternative, shown), _text(figure.title, shown)
    return f"{_anchor(figure.key)}![{alternative}](figures/{figure.key}.png)\n\n_{title}_"


def _anchor(key: str) -> str:
    return f'<a id="{key}"></a>'


def _text(text: Prose, shown: Shown) -> str:
    return "".join(_piece(piece, shown) for piece in text)


def _piece(piece: Piece, shown: Shown) -> str:
    match piece:
        case str():
            text = _escaped(piece)
        case Claim() | Literal():
            text = shown(piece, _escaped(piece.text))
        case Code():
            text = _code(piece, shown)
        case Link():
            content = _escaped(piece.content) if isinstance(piece.content, str) else _piece(piece.content, shown)
            text = f"[{content}]({BESIDE}{piece.target})"
        case Ref():
            text = f"[{_escaped(piece.words)}](#{piece.key})"
        case Best():
            text = f"**{_piece(piece.content, shown)}**"
        case Weighed():
            text = f"**{_piece(piece.content, shown)}** ({_piece(piece.share, shown)})"
        case Mark():
            text = f"<sup>{_escaped(piece.sign)}</sup>"
    return text


def _escaped(text: str) -> str:
    return SPECIAL.sub(r"\\\1", " ".join(text.split("\n")))


def _code(code: Code, shown: Shown) -> str:
    """A code span; inside it nothing is escaped but the bar, which would end a cell."""
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", code.text)), default=0))
    text = code.text.replace("\n", " ").replace("|", "\\|")
    inner = shown(code.content, text) if isinstance(code.content, Claim) else text
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{inner}{pad}{fence}"
