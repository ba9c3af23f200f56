"""Writes the report of a finished run: ``report/index.html`` and the tear-sheets beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from glassbox_bt.reporting.html import html_page
from glassbox_bt.reporting.record import RunRecord
from glassbox_bt.reporting.report import Report, prose
from glassbox_bt.reporting.sections import ALL
from glassbox_bt.reporting.sections.phrases import quoted
from glassbox_bt.reporting.sections.verdict import labels
from glassbox_bt.reporting.tearsheets import write_tearsheets
from glassbox_bt.runs.artefacts import write_whole

__all__ = ["PAGE", "build_report", "render_report", "write_tearsheets"]

PAGE = Path("report") / "index.html"
Progress = Callable[[str, float], None]


def render_report(run: Path, *, progress: Progress | None = None) -> Path:
    """Write ``report/index.html`` of the run folder ``run`` and return its path.

    The page appears whole or not at all, and the same run folder gives the same bytes.

    Raises
    ------
    RunFolderError
        If the run is not finished, lacks something the report prints, or cannot be written to.
    """
    report = build_report(RunRecord(run), progress=progress)
    page = html_page(report)
    path = write_whole(run / PAGE, lambda draft: draft.write_text(page, encoding="utf-8"))
    _tell(progress, 1.0)
    return path


def build_report(record: RunRecord, *, progress: Progress | None = None) -> Report:
    """The tree of the report, before any format."""
    sections = []
    for place, build in enumerate(ALL):
        _tell(progress, 0.8 * place / len(ALL))
        sections.append(build(record))
    manifest = "manifest.json#"
    return Report(
        title=prose(quoted(record, f"{manifest}/title")),
        question=prose(quoted(record, f"{manifest}/question")),
        made=prose("glassbox run ", quoted(record, f"{manifest}/name"), ", ", quoted(record, f"{manifest}/created_at")),
        labels=labels(record),
        sections=tuple(sections),
    )


def _tell(progress: Progress | None, share: float) -> None:
    if progress is not None:
        progress("report", share)
