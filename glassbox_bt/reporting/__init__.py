"""Reports whose every number has a source."""

from __future__ import annotations

from glassbox_bt.reporting.chapter import build_chapter, render_chapter
from glassbox_bt.reporting.overview import write_overview
from glassbox_bt.reporting.render import build_report, render_report, write_tearsheets

__all__ = ["build_chapter", "build_report", "render_chapter", "render_report", "write_overview", "write_tearsheets"]
