r"""Renders the tree as a chapter of a thesis: ``\input`` it, or compile the wrapper that lies beside it.

The chapter has no preamble; it needs ``array``, ``booktabs``, ``graphicx`` and ``xcolor``. Its text is ASCII and asks for
no font encoding. Tables stand in the chapter and, each alone, in ``tables/``; figures are taken from ``figures/``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from glassbox_bt.reporting.figures import Picture
from glassbox_bt.reporting.latex_tables import FIT, latex_table
from glassbox_bt.reporting.latex_text import escaped, text_of
from glassbox_bt.reporting.markdown import Shown, as_printed
from glassbox_bt.reporting.report import Block, Figure, Figures, Item, Listing, Paragraph, Report, Section, Table

__all__ = ["WRAPPER", "latex_chapter", "latex_tables", "tables_in"]

HEAD = rf"""% A results chapter, written by `glassbox report' from a finished run; write it again rather than edit it.
% Needs the packages array, booktabs, graphicx and xcolor; with placeins, floats stay in their section.
% Where it does not lie beside your main file, say where:
% \newcommand{{\glassboxpath}}{{path/to/chapter}} before \input{{path/to/chapter/chapter}}.
\providecommand{{\glassboxpath}}{{.}}
\providecommand{{\FloatBarrier}}{{}}
{FIT}
"""
WRAPPER = r"""% Compiles the chapter on its own: pdflatex main, twice.
\documentclass[11pt,a4paper,oneside]{report}
\usepackage[utf8]{inputenc}
\IfFileExists{lmodern.sty}{\usepackage[T1]{fontenc}\usepackage{lmodern}}{\renewcommand{\labelitemi}{$\bullet$}}
\usepackage[british]{babel}
\usepackage[margin=25mm]{geometry}
\usepackage{array}
\usepackage{booktabs}
\usepackage{graphicx}
\usepackage{xcolor}
\usepackage[font=small,labelfont=bf]{caption}
\usepackage{placeins}
\usepackage[hidelinks]{hyperref}
\renewcommand{\topfraction}{0.9}
\renewcommand{\bottomfraction}{0.8}
\renewcommand{\textfraction}{0.07}
\renewcommand{\floatpagefraction}{0.8}
\begin{document}
\input{chapter}
\end{document}
"""
HEADINGS = ("section", "subsection", "subsubsection", "paragraph")
HALF = 0.65  # of a line: a wider drawing becomes too small to read beside another
PAGE = 8.9  # inches of drawings that one page holds beside the caption
HEAD_ROOM = 0.4  # inches of the title above a drawing
NAMES = 0.2  # inches of two names of lines
LINE = 6.3  # inches of a full line: a drawing is not set larger than it was made


def latex_chapter(report: Report, shown: Shown = as_printed) -> str:
    """The report as one chapter; ``shown`` may mark claims and literals, the rest of the text is the same."""
    parts = [
        HEAD,
        r"\begingroup\emergencystretch=3em",
        f"\\chapter{{{text_of(report.title, shown)}}}\n\\label{{chap:results}}",
        f"\\textit{{{text_of(report.question, shown)}}}",
    ]
    if report.labels:
        parts.append(_environment("itemize", [f"\\item {text_of(label, shown)}" for label in report.labels]))
    before = 0
    for section in report.sections:
        parts += [r"\FloatBarrier"] if before > 1 else []  # one float may drift into the next section, several may not
        parts.extend(_section(section, 0, shown))
        before = _n_floats(section)
    return "\n\n".join((*parts, r"\endgroup")) + "\n"


def latex_tables(report: Report, shown: Shown = as_printed) -> Mapping[str, str]:
    """Each table of the report as a file of its own, by its name without suffix."""
    return {table.key: f"{FIT}\n{latex_table(table, shown)}\n" for table in tables_in(report.sections)}


def tables_in(sections: tuple[Section, ...]) -> Iterator[Table]:
    """Every table, in the order of printing."""
    for section in sections:
        yield from (block for block in section.blocks if isinstance(block, Table))
        yield from tables_in(section.sections)


def _n_floats(section: Section) -> int:
    own = sum(isinstance(block, Table | Figure | Figures) for block in section.blocks)
    return own + sum(map(_n_floats, section.sections))


def _section(section: Section, depth: int, shown: Shown) -> Iterator[str]:
    heading = HEADINGS[min(depth, len(HEADINGS) - 1)]
    yield f"\\{heading}{{{text_of(section.title, shown)}}}\n\\label{{sec:{section.key}}}"
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
            return latex_table(block, shown)
        case Figure():
            return _figure(block, shown)
        case Figures():
            return _figures(block, shown)


def _paragraph(paragraph: Paragraph, shown: Shown) -> str:
    text = text_of(paragraph.text, shown)
    return _environment("quote", [f"\\small {text}"]) if paragraph.role in ("note", "warning") else text


def _listing(listing: Listing, shown: Shown) -> str:
    if not listing.items:
        return ""
    if listing.style == "facts":
        items = [f"\\item[{text_of(item.head, shown)}] {text_of(item.body, shown)}" for item in listing.items]
        return _environment("description", [r"\setlength{\itemsep}{0pt}", *items])
    items = [f"\\item {_item(item, shown)}" for item in listing.items]
    return _environment("enumerate" if listing.style == "ordered" else "itemize", items)


def _item(item: Item, shown: Shown) -> str:
    head = text_of(item.head, shown)
    return f"\\textbf{{{head}}}{text_of(item.body, shown)}" if head else f"{{}}{text_of(item.body, shown)}"


def _environment(name: str, lines: list[str]) -> str:
    return "\n".join((f"\\begin{{{name}}}", *lines, f"\\end{{{name}}}"))


def _figure(figure: Figure, shown: Shown) -> str:
    lines = [
        r"\centering",
        _image(figure, _share(figure), shown),
        f"\\caption{{{text_of(figure.title, shown)}}}",
        f"\\label{{fig:{figure.key}}}",
    ]
    return _environment("figure", lines).replace(r"\begin{figure}", r"\begin{figure}[!htbp]", 1)


def _figures(figures: Figures, shown: Shown) -> str:
    """Two drawings beside each other where two find room; each names its own lines, so the page's legend is not needed.

    More than fit on a page go into several floats of the same number.
    """
    widest = max((_share(figure) for figure in figures.figures), default=1.0)
    share, per_row = (0.485, 2) if widest <= HALF else (widest, 1)
    rows = [figures.figures[at : at + per_row] for at in range(0, len(figures.figures), per_row)]
    floats, used = list[list[tuple[Figure, ...]]]([[]]), 0.0
    for row in rows:
        needed = max(share * LINE * _height(figure) + HEAD_ROOM for figure in row)
        if floats[-1] and used + needed > PAGE:
            floats.append([])
            used = 0.0
        floats[-1].append(row)
        used += needed
    return "\n\n".join(_float(figures, part, place, share, shown) for place, part in enumerate(floats))


def _float(figures: Figures, rows: list[tuple[Figure, ...]], place: int, share: float, shown: Shown) -> str:
    lines = [r"\begin{figure}[!htbp]", r"\centering"]
    for row in rows:
        for at, figure in enumerate(row, start=1):
            lines += [
                f"\\begin{{minipage}}[t]{{{share:.3f}\\linewidth}}\\centering\\small",
                f"{text_of(figure.title, shown)}\\\\[2pt]",
                _image(figure, 1.0, shown),
                r"\end{minipage}" + (r"\par\medskip" if at == len(row) else r"\hfill"),
            ]
    caption = text_of(figures.title, shown)
    if place:
        lines += [r"\addtocounter{figure}{-1}", f"\\caption[]{{{caption} (continued)}}"]
    else:
        lines += [f"\\caption{{{caption}}}", f"\\label{{fig:{figures.key}}}"]
    return "\n".join((*lines, r"\end{figure}"))


def _height(figure: Figure) -> float:
    """Of its width; curves have the names of their lines below when printed."""
    width, height = figure.picture.size
    if isinstance(figure.picture, Picture):
        names = {line.name for panel in figure.picture.panels for line in panel.lines}
        height += NAMES * ((len(names) + 1) // 2)
    return height / width


def _share(figure: Figure) -> float:
    """Of the width of a line, what a drawing needs so that its letters keep their size."""
    return min(1.0, figure.picture.size[0] / LINE)


def _image(figure: Figure, share: float, shown: Shown) -> str:
    options = f"width={share:.2f}\\linewidth,alt={{{text_of(figure.alternative, shown)}}}"
    return f"\\includegraphics[{options}]{{\\glassboxpath/figures/{escaped(figure.key)}.pdf}}"
