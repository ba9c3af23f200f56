"""One picture of a run for a page outside the report: growth and drawdown of every strategy on the test years."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from glassbox_bt.reporting.figures_ink import PRINT, look_of
from glassbox_bt.reporting.record import RunRecord
from glassbox_bt.reporting.sections.performance import curves
from glassbox_bt.runs.artefacts import write_whole
from glassbox_bt.types import FloatArray

__all__ = ["write_overview"]


def write_overview(run: Path) -> Path:
    """Write ``report/growth.svg``; the same run folder gives the same bytes."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    record = RunRecord(run)
    settings: Any = {"svg.hashsalt": "glassbox", "svg.fonttype": "path", "font.family": "DejaVu Sans", "font.size": 9}
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(settings)
        figure = Figure(figsize=(4.0 * len(record.chunks), 4.2), facecolor="white")
        FigureCanvasSVG(figure)
        grid = figure.subplots(2, len(record.chunks), sharex="col", squeeze=False, gridspec_kw={"height_ratios": [1.0, 0.6]})
        for column, chunk in enumerate(record.chunks):
            _draw_chunk(grid[:, column], record, chunk)
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="lower center", ncols=5, frameon=False, fontsize=9)
        figure.subplots_adjust(left=0.05, right=0.99, top=0.93, bottom=0.2, hspace=0.22, wspace=0.16)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return write_whole(run / "report" / "growth.svg", lambda draft: draft.write_text(text.getvalue(), encoding="utf-8"))


def _draw_chunk(axes: Any, record: RunRecord, chunk: int) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    days, equity = curves(record, chunk, "equity")
    dates = np.array(days, dtype="datetime64[D]")
    for name, values in equity.items():
        look = look_of(name, record.strategies)
        style: dict[str, Any] = {"color": PRINT[look.variable], "linewidth": look.width, "label": name.replace("_", " ")}
        dashes: Any = (0, look.dash) if look.dash else "-"
        growth = values / values[0]
        axes[0].plot(dates, growth, linestyle=dashes, zorder=5 if look.width > 2.0 else 2, **style)
        axes[1].plot(dates, 100.0 * _fall(growth), linestyle=dashes, zorder=5 if look.width > 2.0 else 2, **style)
    axes[0].set_title(f"Chunk {chunk}: growth of 1 on test", loc="left", fontsize=10)
    axes[1].set_title("Drawdown, percent", loc="left", fontsize=9)
    for one in axes:
        one.spines[["top", "right", "left"]].set_visible(False)
        one.grid(axis="y", color="#d9dce1", linewidth=0.6)
        one.tick_params(length=0)
        one.margins(x=0.01)
    locator = AutoDateLocator(maxticks=5)
    axes[1].xaxis.set_major_locator(locator)
    axes[1].xaxis.set_major_formatter(ConciseDateFormatter(locator))


def _fall(growth: FloatArray) -> FloatArray:
    fall: FloatArray = growth / np.fmax.accumulate(np.fmax(growth, 1.0)) - 1.0
    return fall
