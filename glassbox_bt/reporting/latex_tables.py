r"""A table of the tree as a LaTeX float in the manner of booktabs, sized to fit the width of the text.

1. The width of every cell is estimated from its letters.                                          `_Layout`
2. The largest type is taken in which the table fits: as it is down to the size of footnotes, else with its
   text columns wrapped, else smaller. Numbers are never wrapped.                                   `_layout`
3. A table longer than a page is cut into floats of the same number, between groups if it can be.   `_parts`

The estimate may be wrong by a few per cent, and a thesis may have narrower text: ``\glassboxfit`` then scales the table
down to the line.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from glassbox_bt.reporting.latex_text import sign_of, text_of, text_width
from glassbox_bt.reporting.markdown import Shown
from glassbox_bt.reporting.report import Column, Mark, Prose, Row, RowGroup, Table, plain_text

__all__ = ["FIT", "latex_table"]

FIT = r"""\ifdefined\glassboxwidth\else\newdimen\glassboxwidth\fi
\providecommand{\glassboxfit}[1]{\sbox0{#1}\global\glassboxwidth=\wd0
  \ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\global\glassboxwidth=\linewidth\else\usebox0\fi
  \ifdim\glassboxwidth<0.6\linewidth\global\glassboxwidth=0.6\linewidth\fi}"""
TEXT_WIDTH = 440.0  # points; the wrapper has 455, a millimetre is left for the error of the estimate
SIZES = (("small", 10.0), ("footnotesize", 9.0), ("scriptsize", 8.0))
GAP = {"small": 11.0, "footnotesize": 9.0, "scriptsize": 7.0}  # points between two columns
WIDEST = 3  # lines that a wrapped cell may take before a smaller size is tried
LONGEST = {"small": 42, "footnotesize": 48, "scriptsize": 54}  # lines of one float
SPARE = 0.4  # of a float, that is not left empty for the sake of a group
GROUP_LINES = 1.6  # lines that a head of a group and its rule take
BOLD = 1.16
SENTENCE = 13.0  # em; names are shorter


@dataclass(frozen=True, slots=True)
class _Layout:
    """How a table is set: type size, width of each column in points, and which of them wrap."""

    size: str
    points: float
    widths: tuple[float, ...]
    wrapped: tuple[bool, ...]

    def lines(self, row: Row) -> int:
        """Lines that a row takes."""
        needed = [1]
        for cell, width, wraps in zip(row.cells, self.widths, self.wrapped, strict=True):
            if wraps:
                needed.append(_n_lines(plain_text(cell), width / self.points))
        return max(needed)


def latex_table(table: Table, shown: Shown) -> str:
    """The table as one float, or as several of the same number."""
    layout = _layout(table)
    parts = _parts(table, layout)
    floats = [_float(table, groups, layout, place, shown) for place, groups in enumerate(parts)]
    return "\n\n".join(floats)


def _float(table: Table, groups: tuple[RowGroup, ...], layout: _Layout, place: int, shown: Shown) -> str:
    is_first = place == 0
    caption = text_of(table.caption, shown)
    lines = [
        r"\begin{table}[!htbp]",
        r"\centering",
        *([] if is_first else [r"\addtocounter{table}{-1}"]),
        f"\\caption{{{caption}}}" if is_first else f"\\caption[]{{{caption} (continued)}}",
        *([f"\\label{{tab:{table.key}}}"] if is_first else []),
        f"\\{layout.size}\\setlength{{\\tabcolsep}}{{{GAP[layout.size] / 2:g}pt}}%",
        r"\glassboxfit{%",
        f"\\begin{{tabular}}{{@{{}}{''.join(_column(table, layout))}@{{}}}}",
        r"\toprule",
        " & ".join(
            _head(column, width, layout.points, shown) for column, width in zip(table.columns, layout.widths, strict=True)
        )
        + r" \\",
        *_body(groups, len(table.columns), shown),
        r"\bottomrule",
        r"\end{tabular}}",
        *_notes(table, shown),
        r"\end{table}",
    ]
    return "\n".join(lines)


def _body(groups: tuple[RowGroup, ...], n_columns: int, shown: Shown) -> Iterator[str]:
    for group in groups:
        yield r"\midrule"
        if group.head:
            yield f"\\multicolumn{{{n_columns}}}{{@{{}}l}}{{\\textit{{{text_of(group.head, shown)}}}}} \\\\"
            yield r"\addlinespace[2pt]"
        for row in group.rows:
            yield " & ".join(_cell(cell, row, shown) for cell in row.cells) + r" \\"


def _cell(cell: Prose, row: Row, shown: Shown) -> str:
    text = text_of(cell, shown)
    if text.startswith(("[", "*")):
        text = "{}" + text  # after the end of a row these would be read as its options
    return f"\\textcolor{{black!55}}{{{text}}}" if row.role == "muted" and text else text


def _notes(table: Table, shown: Shown) -> Iterator[str]:
    if not table.notes:
        return
    yield r"\par\vspace{3pt}"
    notes = r"\par ".join(_note(note, shown) for note in table.notes)
    yield f"\\parbox{{\\glassboxwidth}}{{\\footnotesize\\raggedright {notes}}}"


def _note(note: Prose, shown: Shown) -> str:
    first = note[0] if note else ""
    return sign_of(first) + text_of(note[1:], shown) if isinstance(first, Mark) else text_of(note, shown)


def _column(table: Table, layout: _Layout) -> Iterator[str]:
    for column, width, wraps in zip(table.columns, layout.widths, layout.wrapped, strict=True):
        if wraps:
            yield f">{{\\raggedright\\arraybackslash}}p{{{width / layout.points:.2f}em}}"
        else:
            yield "r" if column.numeric else "l"


def _head(column: Column, width: float, points: float, shown: Shown) -> str:
    """The head, on several lines where it is wider than what stands below it."""
    place = "r" if column.numeric else "l"
    lines = _broken(column.head, width / points)
    if len(lines) == 1:
        return text_of(column.head, shown)
    rows = r"\\".join(text_of(line, shown) for line in lines)
    return f"\\begin{{tabular}}[b]{{@{{}}{place}@{{}}}}{rows}\\end{{tabular}}"


def _broken(head: Prose, width: float) -> list[Prose]:
    """The head cut at spaces of its plain words into lines of at most ``width`` em, where its words allow it."""
    words: list[Prose] = [()]
    for piece in head:
        if not isinstance(piece, str):
            words[-1] = (*words[-1], piece)
            continue
        first, *rest = piece.split(" ")
        words[-1] = (*words[-1], first)
        words += [(word,) for word in rest]
    lines: list[Prose] = []
    for word in words:
        longer = (*lines[-1], " ", *word) if lines else word
        if lines and text_width(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _layout(table: Table) -> _Layout:
    """The first of the ways to set the table in which it fits; the last one is taken in any case."""
    ways = [_unwrapped(table, size, lines) for size in SIZES[:-1] for lines in (1, 2, 0)]
    small, worst = _unwrapped(table, SIZES[-1]), _wrapped(table, SIZES[-1])
    wrapped = [_wrapped(table, size) for size in SIZES[:-1]]
    ways += [*wrapped, small, worst] if _has_sentences(table) else [small, *wrapped, worst]
    for way in ways:
        room = TEXT_WIDTH - GAP[way.size] * (len(table.columns) - 1)
        if sum(way.widths) <= room + 0.01 and max(map(way.lines, table.flat_rows), default=1) <= WIDEST:
            return way
    return ways[-1]


def _has_sentences(table: Table) -> bool:
    """Whether a column holds more than names, so that it is made to be wrapped."""
    texts = [place for place, column in enumerate(table.columns) if not column.numeric]
    return any(_natural(table, place) > SENTENCE for place in texts)


def _unwrapped(table: Table, size: tuple[str, float], head_lines: int = 0) -> _Layout:
    widths = tuple(size[1] * _natural(table, place, head_lines) for place in range(len(table.columns)))
    return _Layout(*size, widths, (False,) * len(widths))


def _wrapped(table: Table, size: tuple[str, float]) -> _Layout:
    """With text columns that share what the numbers leave, none wider than it needs to be."""
    natural = _unwrapped(table, size).widths
    texts = [place for place, column in enumerate(table.columns) if not column.numeric]
    left = TEXT_WIDTH - GAP[size[0]] * (len(natural) - 1) - sum(w for p, w in enumerate(natural) if p not in texts)
    widths, waiting = list(natural), texts
    while waiting:
        share = left / len(waiting)
        narrow = [place for place in waiting if natural[place] <= share]
        if not narrow:
            for place in waiting:
                widths[place] = max(share, size[1] * _longest_word(table, place))
            break
        left -= sum(natural[place] for place in narrow)
        waiting = [place for place in waiting if place not in narrow]
    return _Layout(*size, tuple(widths), tuple(now < was for now, was in zip(widths, natural, strict=True)))


def _natural(table: Table, place: int, head_lines: int = 0) -> float:
    """Width in em without wrapping, with the head on one line, on two, or on as many as it has words."""
    cells = [_cell_width(row.cells[place]) for row in table.flat_rows]
    words = plain_text(table.columns[place].head).split()
    if head_lines == 1:
        head = text_width(" ".join(words))
    elif head_lines == 2 and len(words) > 1:
        splits = ((" ".join(words[:at]), " ".join(words[at:])) for at in range(1, len(words)))
        head = min(max(map(text_width, halves)) for halves in splits)
    else:
        head = max(map(text_width, words), default=0.0)
    return max([head, *cells])


def _cell_width(cell: Prose) -> float:
    """Width in em, the marks left out: they hang over the gap."""
    parts = [piece for piece in cell if not isinstance(piece, Mark)]
    is_bold = any(not isinstance(piece, str) and piece.kind == "best" for piece in parts)
    return text_width(tuple(parts)) * (BOLD if is_bold else 1.0)


def _longest_word(table: Table, place: int) -> float:
    texts = [plain_text(table.columns[place].head), *(plain_text(row.cells[place]) for row in table.flat_rows)]
    return max((text_width(word) for text in texts for word in text.split()), default=1.0)


def _n_lines(text: str, width: float) -> int:
    """Lines that words take in ``width`` em."""
    lines, used = 1, 0.0
    for word in text.split(" "):
        needed = text_width(word)
        if used and used + 0.33 + needed > width:
            lines, used = lines + 1, 0.0
        used += needed + (0.33 if used else 0.0)
    return lines


def _parts(table: Table, layout: _Layout) -> list[tuple[RowGroup, ...]]:
    """Groups of rows, float by float; a group is cut only to fill a float that would be left half empty."""
    parts: list[list[RowGroup]] = [[]]
    room = longest = float(LONGEST[layout.size])
    for group in table.groups:
        rest = group
        while _length(rest, layout) > room:
            if room > SPARE * longest or not parts[-1]:
                fits = _that_fit(rest, layout, room)
                parts[-1].append(RowGroup(rest.rows[:fits], group.head))
                rest = RowGroup(rest.rows[fits:], group.head)
            parts.append([])
            room = longest
        if rest.rows:
            parts[-1].append(rest)
            room -= _length(rest, layout)
    return [tuple(part) for part in parts if part]


def _length(group: RowGroup, layout: _Layout) -> float:
    """Lines that a group takes."""
    return GROUP_LINES + sum(map(layout.lines, group.rows))


def _that_fit(group: RowGroup, layout: _Layout, room: float) -> int:
    """Rows of a group that fit into so many lines, at least one."""
    used, n_rows = GROUP_LINES, 0
    for row in group.rows:
        used += layout.lines(row)
        if used > room:
            break
        n_rows += 1
    return max(n_rows, 1)
