"""Recomputes what a finished run printed, and names every place that says something else (R27).

1. The files have the bytes that the manifest lists.                                            verify_metrics.py
2. Orders have the prices of their bars; equity and weights follow from orders and prices.      verify_books.py
3. Measures, intervals, tests, verdicts and ablations follow from the tables.                   verify_metrics.py
4. The manifest agrees with its plan and its store, the audits' summary with the audits,
   and examples of texts with the market.
5. Page and chapter are rendered anew from the values of 2 and 3, and every letter on disk is
   compared with that.                                                                          verify_text.py
6. Each claim of the page is read again from its own source, and no digit stands outside a
   claim, a listed literal or a drawing.                                                        verify_page.py

Taken as recorded are the answers of the modules, the decisions (whose digest is that of the scored ones), the orders, the
outcomes, how much each ablation changed, what each audit found, and the weights of words in examples. Nothing is written.
1 alone would not do: whoever changes a file can record its new digest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from glassbox_bt.errors import RunFolderError
from glassbox_bt.reporting.chapter import CHAPTER, build_chapter, write_figures
from glassbox_bt.reporting.faults import Check, Fault
from glassbox_bt.reporting.html import html_page
from glassbox_bt.reporting.latex import WRAPPER, latex_chapter, latex_tables
from glassbox_bt.reporting.markdown import markdown_chapter
from glassbox_bt.reporting.record import METRICS, RESULTS, RunRecord
from glassbox_bt.reporting.render import PAGE, build_report
from glassbox_bt.reporting.report import Report
from glassbox_bt.reporting.verify_books import EQUITY, recomputed
from glassbox_bt.reporting.verify_metrics import (
    audits_check,
    examples_check,
    files_check,
    manifest_check,
    measures_checks,
    variants_check,
)
from glassbox_bt.reporting.verify_page import Page, compared_pages, parsed, unsourced
from glassbox_bt.reporting.verify_text import Expected, Marker, compared, expected_text

__all__ = ["Verification", "expected_texts", "page_faults", "text_faults", "verify"]

Progress = Callable[[str, float], None]
# What a digit may stand in without being printed: names of files and anchors, sizes and commands of the layout.
MARKDOWN = re.compile(r'\]\([^)\s]*\)|<a id="[^"]*"></a>|^1\. ')
LATEX = re.compile(
    r"^%.*|\\(?:label|ref)\{[^}]*\}|\{\\glassboxpath/[^}]*\}|[0-9.]+\\linewidth|\{[0-9.]+(?:pt|em)\}|\[[0-9.]+pt\]"
    r"|\\multicolumn\{\d+\}|\\addtocounter\{(?:table|figure)\}\{-1\}|black!55|emergencystretch=3em|\[1\]|#1|\\(?:sbox|wd|usebox)0"
)


@dataclass(frozen=True, slots=True)
class Verification:
    """Everything that was checked."""

    checks: tuple[Check, ...]

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What was found, in the order of checking."""
        return tuple(fault for check in self.checks for fault in check.faults)


def verify(run: Path, progress: Progress = lambda _what, _share: None) -> Verification:
    """Check a finished run folder.

    Raises
    ------
    RunFolderError
        If the run is not complete, or lacks what it would have to be recomputed from.
    """
    record = RunRecord(run)
    if record.manifest.get("status") != "complete":
        raise RunFolderError(f"{run} is {record.manifest.get('status')}, not complete. Run its plan again to resume it.")
    progress("files", 0.0)
    checks = [files_check(record), manifest_check(record)]
    progress("equity from orders and prices", 0.05)
    books = recomputed(record)
    checks += books.checks
    progress("measures from the tables", 0.15)
    measures, metrics, ablations = measures_checks(record)
    checks += [*measures, *variants_check(record), *audits_check(record), *examples_check(record)]
    progress("page and chapter", 0.6)
    checks += _texts(_as_recomputed(record, checks, books.equity, metrics, ablations))
    progress("page and chapter", 1.0)
    return Verification(tuple(checks))


def _as_recomputed(
    record: RunRecord, checks: list[Check], equity: pd.DataFrame, metrics: dict[str, Any], ablations: pd.DataFrame | None
) -> RunRecord:
    """The record with what was recomputed in place of what was wrong.

    Where recorded and recomputed agree, which they do up to rounding, the recorded value stays: it is the one that was
    printed.
    """
    wrong = {fault.file for check in checks for fault in check.faults}
    documents = {METRICS: metrics} if METRICS in wrong else {}
    made = {EQUITY: equity} | ({} if ablations is None else {RESULTS: ablations})
    return record.instead(documents, {name: table for name, table in made.items() if name in wrong})


def _texts(record: RunRecord) -> Iterator[Check]:
    """The page, the texts of the chapter, and its drawings."""
    chapter = build_chapter(record)
    page = parsed(str(PAGE), html_page(build_report(record)))
    yield _text_check(record, page.file, page.n_digits, lambda text: page_faults(page, record, text))
    for expected in expected_texts(chapter):
        yield _text_check(record, expected.file, expected.n_digits, partial(text_faults, expected))
    yield _drawings(record, chapter)


def _text_check(record: RunRecord, file: str, n_digits: int, faults_of: Callable[[str], Iterator[Fault]]) -> Check:
    """Every fault of one file once; a file that cannot be read is one."""
    try:
        faults = tuple(dict.fromkeys(faults_of((record.run / file).read_bytes().decode("utf-8"))))
    except (OSError, UnicodeDecodeError) as broken:
        faults = (Fault(file, "the whole file", f"not readable: {broken}", "text"),)
    return Check(f"{file}: every letter", n_digits, "digits", faults)


def expected_texts(chapter: Report) -> Iterator[Expected]:
    """Every text file of the chapter as it must be."""
    marker = Marker()
    texts = {"chapter.md": markdown_chapter(chapter, marker), "chapter.tex": latex_chapter(chapter, marker)}
    texts |= {"main.tex": WRAPPER, **{f"tables/{key}.tex": text for key, text in latex_tables(chapter, marker).items()}}
    for name, text in texts.items():
        yield expected_text(str(CHAPTER / name), text, marker)


def page_faults(
    page: Page, record: RunRecord, text: str, known: dict[tuple[str, str], str] | None = None
) -> Iterator[Fault]:
    """Faults of a page on disk, whose text is ``text``; ``known`` as in `unsourced`."""
    said = parsed(page.file, text)
    yield from compared_pages(page, said)
    yield from unsourced(said, record, {} if known is None else known)


def text_faults(expected: Expected, text: str) -> Iterator[Fault]:
    """Faults of a text of the chapter on disk; the wrapper prints nothing of the run."""
    yield from compared(expected, text)
    if not expected.file.endswith("main.tex"):
        yield from expected.unsourced(MARKDOWN if expected.file.endswith(".md") else LATEX)


def _drawings(record: RunRecord, chapter: Report) -> Check:
    """Each drawing of the chapter, drawn anew."""
    faults = []
    with TemporaryDirectory() as folder:
        names = write_figures(chapter, Path(folder))
        for name in names:
            path = record.run / CHAPTER / name
            if not path.is_file() or path.read_bytes() != (Path(folder) / name).read_bytes():
                found = "another drawing" if path.is_file() else "no file"
                faults.append(Fault(str(CHAPTER / name), "the whole file", found, "as it is drawn from the run's tables"))
    return Check("figures of the chapter", len(names), "files", tuple(faults))
