"""The results chapter of a finished run, in Markdown and LaTeX, from one tree of sections.

``report/chapter/`` holds ``chapter.md``, ``chapter.tex``, a wrapper ``main.tex`` that compiles it alone, each table in
``tables/`` and each figure in ``figures/`` as PDF and PNG. Nothing in it depends on when or how fast the run was made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from glassbox_bt.reporting.chapter_closing import limitations, reproducibility
from glassbox_bt.reporting.chapter_modules import ablations, audits, forecasts
from glassbox_bt.reporting.chapter_results import results
from glassbox_bt.reporting.chapter_risk import risk_engine
from glassbox_bt.reporting.chapter_setting import data, protocol, summary
from glassbox_bt.reporting.chapter_text import qualitative
from glassbox_bt.reporting.figures import Forest, to_file
from glassbox_bt.reporting.latex import WRAPPER, latex_chapter, latex_tables
from glassbox_bt.reporting.markdown import markdown_chapter
from glassbox_bt.reporting.record import RunRecord
from glassbox_bt.reporting.report import Block, Figure, Figures, Report, Section, prose
from glassbox_bt.reporting.sections.phrases import quoted
from glassbox_bt.runs.artefacts import copy_whole, writing

__all__ = ["CHAPTER", "SECTIONS", "build_chapter", "figures_in", "render_chapter", "write_figures"]

CHAPTER = Path("report") / "chapter"
SECTIONS = (
    *(summary, protocol, data, results, forecasts, qualitative, risk_engine),
    *(ablations, audits, limitations, reproducibility),
)
FOREST_WIDTH = 5.6  # inches
SUFFIXES = (".pdf", ".png")


def render_chapter(run: Path) -> tuple[Path, ...]:
    """Write ``report/chapter`` of the run folder ``run`` and return the paths of its files.

    The folder appears whole or not at all and replaces a former one; the same run folder gives the same bytes.

    Raises
    ------
    RunFolderError
        If the run is not finished, lacks something the chapter prints, or cannot be written to.
    """
    chapter, place = build_chapter(RunRecord(run)), run / CHAPTER
    with TemporaryDirectory() as draft, writing(place):
        written = write_chapter(chapter, Path(draft))
        place.parent.mkdir(parents=True, exist_ok=True)
        copy_whole(Path(draft), place)
    return tuple(place / name for name in written)


def build_chapter(record: RunRecord) -> Report:
    """The tree of the chapter, before any format."""
    manifest = "manifest.json#"
    return Report(
        title=prose(quoted(record, f"{manifest}/title")),
        question=prose(quoted(record, f"{manifest}/question")),
        made=prose("glassbox run ", quoted(record, f"{manifest}/name")),
        labels=(),
        sections=tuple(_for_print(build(record)) for build in SECTIONS),
    )


def _for_print(section: Section) -> Section:
    """Estimates with long names get the width of a page."""
    blocks = tuple(_widened(block) for block in section.blocks)
    return replace(section, blocks=blocks, sections=tuple(_for_print(part) for part in section.sections))


def _widened(block: Block) -> Block:
    if isinstance(block, Figures):
        return replace(block, figures=tuple(_wide(one) for one in block.figures))
    return _wide(block) if isinstance(block, Figure) else block


def _wide(figure: Figure) -> Figure:
    if not isinstance(figure.picture, Forest):
        return figure
    return replace(figure, picture=replace(figure.picture, width=FOREST_WIDTH))


def write_chapter(chapter: Report, folder: Path) -> tuple[str, ...]:
    """Write every file of the chapter into ``folder`` and return their names, sorted."""
    texts = {"chapter.md": markdown_chapter(chapter), "chapter.tex": latex_chapter(chapter), "main.tex": WRAPPER}
    texts |= {f"tables/{key}.tex": text for key, text in latex_tables(chapter).items()}
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tuple(sorted([*texts, *write_figures(chapter, folder)]))


def write_figures(chapter: Report, folder: Path) -> tuple[str, ...]:
    """Draw every figure of the chapter below ``folder``, for LaTeX and for Markdown; the names of the files."""
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    names = []
    for figure in figures_in(chapter.sections):
        for suffix in SUFFIXES:
            names.append(f"figures/{figure.key}{suffix}")
            to_file(figure.picture, folder / names[-1])
    return tuple(names)


def figures_in(sections: tuple[Section, ...]) -> Iterator[Figure]:
    """Every figure, in the order of printing."""
    for section in sections:
        for block in section.blocks:
            if isinstance(block, Figure):
                yield block
            elif isinstance(block, Figures):
                yield from block.figures
        yield from figures_in(section.sections)
