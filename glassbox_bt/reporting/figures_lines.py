"""Curves over the days of a period, panels above each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from glassbox_bt.errors import ContractError
from glassbox_bt.reporting.figures_ink import Ink, Look
from glassbox_bt.reporting.styles import STYLES
from glassbox_bt.types import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Line", "Panel", "Picture", "draw_lines", "label_days", "percent_of", "places_of"]

LEGEND_ROW = 0.19  # inches of paper per row of names
PER_ROW = 2  # names side by side


@dataclass(frozen=True, slots=True)
class Line:
    """One curve: its look and one value per day; NaN leaves a gap."""

    name: str
    look: Look
    values: FloatArray


@dataclass(frozen=True, slots=True)
class Panel:
    """Curves on one vertical axis; ``unit`` is ``percent`` for fractions or ``plain``."""

    label: str
    lines: tuple[Line, ...]
    unit: str = "plain"
    height: float = 1.0
    filled: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """Panels above each other that share their days.

    Raises
    ------
    ContractError
        If a line has another number of values than there are days.
    """

    days: tuple[str, ...]
    panels: tuple[Panel, ...]
    width: float = 3.8
    height: float = 4.0

    def __post_init__(self) -> None:
        for panel in self.panels:
            for line in panel.lines:
                if line.values.shape != (len(self.days),):
                    raise ContractError(
                        f"Line `{line.name}` has shape {line.values.shape} for {len(self.days)} days. "
                        "Give one value per day."
                    )

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in inches, without a legend."""
        return self.width, self.height


def draw_lines(figure: Figure, picture: Picture, ink: Ink) -> None:
    """Draw on an empty figure; on paper the names of the lines stand below, on the page beside the drawing."""
    n_below = 0
    if ink.palette is not None:
        n_below = -(-len({line.name for panel in picture.panels for line in panel.lines}) // PER_ROW)
        figure.set_size_inches(picture.width, picture.height + LEGEND_ROW * n_below)
    height = picture.height + LEGEND_ROW * n_below
    heights = [panel.height for panel in picture.panels]
    grid = figure.subplots(len(heights), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights})
    days = places_of(picture.days)
    for axes, panel in zip(grid[:, 0], picture.panels, strict=True):
        _draw(axes, panel, days, ink)
    label_days(grid[-1, 0])
    margin = 0.28 / height
    below = LEGEND_ROW * n_below / height
    figure.subplots_adjust(left=0.155, right=0.985, top=1.0 - margin, bottom=margin + below, hspace=0.2)
    if n_below:
        handles, names = grid[0, 0].get_legend_handles_labels()
        figure.legend(
            handles, names, loc="lower center", ncols=PER_ROW, frameon=False, fontsize=9, labelcolor=ink("--ink"),
            handlelength=3.0, borderaxespad=0.0, borderpad=0.0, labelspacing=0.25,
        )  # fmt: skip


def percent_of(value: float, _: object = None) -> str:
    """An axis label of a fraction, in percent."""
    shown = round(100.0 * value, 6) + 0.0  # no minus zero, and no rest of a sum that should be zero
    return f"{shown:.3g} %".replace("-", "\N{MINUS SIGN}")


def _draw(axes: Axes, panel: Panel, days: Any, ink: Ink) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    for order, line in enumerate(panel.lines):
        dashes: Any = (0, line.look.dash) if line.look.dash else "-"
        thick = line.look.width > 2.0
        axes.plot(
            days, line.values, color=ink(line.look.variable), linestyle=dashes, linewidth=line.look.width,
            zorder=5 if thick else 2 + order / 100, label=STYLES["strategy"](line.name),
        )  # fmt: skip
        if panel.filled and thick:
            axes.fill_between(days, line.values, 0.0, color=ink(line.look.variable), alpha=0.18, linewidth=0)
    axes.set_title(panel.label, loc="left", fontsize=10, color=ink("--ink"), pad=4)
    axes.grid(axis="y", color=ink("--rule"), linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(ink("--rule"))
    axes.tick_params(colors=ink("--ink"), length=0, labelsize=9)
    axes.margins(x=0.01)
    axes.yaxis.set_major_locator(MaxNLocator(4 if panel.height >= 1.0 else 3))
    if panel.unit == "percent":
        axes.yaxis.set_major_formatter(FuncFormatter(percent_of))


def places_of(days: Sequence[str]) -> FloatArray:
    """Where days stand on an axis: numbers, since other libraries teach matplotlib their own way with dates."""
    from matplotlib.dates import date2num

    return np.asarray(date2num(np.array(days, dtype="datetime64[D]")), dtype=np.float64)


def label_days(axes: Axes) -> None:
    """Years and months below the days of an axis."""
    from matplotlib.dates import AutoDateLocator, DateFormatter

    axes.xaxis.set_major_locator(AutoDateLocator(minticks=3, maxticks=5))
    axes.xaxis.set_major_formatter(DateFormatter("%Y-%m"))
