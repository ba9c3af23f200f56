"""Estimates with their intervals, one row each, on one axis: a forest plot."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from glassbox_bt.errors import ContractError
from glassbox_bt.reporting.figures_ink import Ink
from glassbox_bt.reporting.figures_lines import percent_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Forest", "Mark", "Span", "draw_forest"]

Mark = Literal["plain", "stack", "supported", "refuted", "underpowered"]

PITCH = 0.19  # inches per row
LEADING = 0.145  # inches per further line of a label
TEXT = 9.0  # points
LEAST_PLOT = 0.5  # share of the width that the axis keeps; longer labels are broken into lines
GAP = 8.0  # points between label and axis
RIGHT = 0.955  # share of the width at which the axis ends, so that the last number fits
PER_TICK = 0.42  # inches of axis that a number takes


@dataclass(frozen=True, slots=True)
class Span:
    """One row: an estimate between the ends of its interval.

    Parameters
    ----------
    label : str
        Name of the row.
    estimate, low, high : float | None
        In the unit of the axis; without ends only the estimate is drawn, without an estimate only ``note`` is printed.
    mark : Mark
        What was concluded; decides shape and colour.
    group : str
        Head above the first of consecutive rows that share it; empty for none.
    points : tuple[float, ...]
        Further estimates in the same row, drawn faintly (one per chunk).
    note : str
        Printed in place of an estimate that does not exist.
    """

    label: str
    estimate: float | None
    low: float | None = None
    high: float | None = None
    mark: Mark = "plain"
    group: str = ""
    points: tuple[float, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Placed:
    """A row as it is drawn: its label in lines; without a span it is a head."""

    label: str
    span: Span | None = None

    @property
    def height(self) -> float:
        """Inches from this row to the next."""
        return PITCH + LEADING * self.label.count("\n")


@dataclass(frozen=True, slots=True)
class Forest:
    """Rows on one axis, in the order given.

    Parameters
    ----------
    spans : tuple[Span, ...]
        The rows, at least one.
    axis : str
        What the axis measures.
    unit : {"plain", "percent"}
        ``percent`` for fractions.
    zero : float | None
        Where nothing differs; a line, None for none.
    band : float | None
        Half-width of a shaded band around ``zero``: differences in it would not matter.
    sides : tuple[str, str] | None
        What it means to lie left and right of ``zero``.

    Raises
    ------
    ContractError
        If there is no row, or an interval ends before it starts.
    """

    spans: tuple[Span, ...]
    axis: str
    unit: Literal["plain", "percent"] = "plain"
    zero: float | None = 0.0
    band: float | None = None
    sides: tuple[str, str] | None = None
    width: float = 3.8

    def __post_init__(self) -> None:
        if not self.spans:
            raise ContractError("A forest plot needs at least one row. Say in words that there is none.")
        for span in self.spans:
            if span.low is not None and span.high is not None and span.low > span.high:
                raise ContractError(f"The interval of `{span.label}` runs backwards: {span.low} to {span.high}.")

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in inches."""
        return self.width, sum(row.height for row in self.rows) + self.above + self.below

    @property
    def rows(self) -> tuple[Placed, ...]:
        """Rows and heads from top to bottom, with their labels in lines."""
        room = 72.0 * self.width * (1.0 - LEAST_PLOT) - GAP
        found: list[Placed] = []
        group = ""
        for span in self.spans:
            if span.group and span.group != group:
                found.append(Placed(span.group))
            group = span.group
            found.append(Placed("\n".join(_broken(span.label, room)), span))
        return tuple(found)

    @property
    def marks(self) -> tuple[Mark, ...]:
        """Conclusions that the rows show, those that need a legend."""
        shown = {span.mark for span in self.spans if span.estimate is not None}
        return tuple(mark for mark in SHAPES if mark in shown and mark not in ("plain", "stack"))

    @property
    def above(self) -> float:
        """Inches above the rows."""
        return 0.24 if self.marks else 0.06

    @property
    def below(self) -> float:
        """Inches below the rows: ticks, sides and the name of the axis."""
        return 0.42 + (0.17 if self.sides else 0.0)


# Marker, colour and whether it is filled: told apart without colour too.
SHAPES: Mapping[Mark, tuple[str, str, bool]] = MappingProxyType(
    {
        "supported": ("o", "--stack", True),
        "refuted": ("D", "--rival-1", True),
        "underpowered": ("o", "--quiet", False),
        "stack": ("o", "--stack", True),
        "plain": ("o", "--ink", True),
    }
)


def draw_forest(figure: Figure, forest: Forest, ink: Ink) -> None:
    """Draw on an empty figure of the size of ``forest``; the vertical axis is in inches from the top."""
    width, height = forest.size
    rows = forest.rows
    deep = sum(row.height for row in rows)
    left = _label_share(rows, width)
    axes = figure.add_axes((left, forest.below / height, RIGHT - left, deep / height))
    axes.set_ylim(deep, 0.0)
    axes.set_xlim(*_limits(forest))
    _ground(axes, forest, (RIGHT - left) * width, ink)
    to_labels = -left / (RIGHT - left)  # left edge of the drawing, in shares of the axis
    below = 0.0
    for row in rows:
        place = below + 0.5 * row.height
        below += row.height
        where: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center", "fontsize": TEXT}
        if row.span is None:
            axes.text(to_labels, place, row.label, color=ink("--quiet"), fontweight="bold", **where)
            continue
        weight = "bold" if row.span.mark == "stack" else "normal"
        axes.text(to_labels, place, row.label, color=ink("--ink"), fontweight=weight, linespacing=1.05, **where)
        axes.axhline(place, color=ink("--rule"), linewidth=0.4, zorder=1)
        if row.span.estimate is None:
            box = {"facecolor": ink("--page"), "edgecolor": "none", "pad": 1.0}
            axes.text(0.5, place, row.span.note, color=ink("--quiet"), ha="center", bbox=box, zorder=4, **where)
        else:
            _draw_span(axes, place, row.span.estimate, row.span, ink)
    _legend(axes, forest, ink)


def _draw_span(axes: Axes, place: float, estimate: float, span: Span, ink: Ink) -> None:
    marker, variable, filled = SHAPES[span.mark]
    colour = ink(variable)
    if span.points:
        axes.plot(
            span.points, [place] * len(span.points), "|", color=ink("--quiet"), markersize=6, markeredgewidth=0.9, zorder=3
        )
    if span.low is not None and span.high is not None:
        axes.plot([span.low, span.high], [place, place], color=colour, linewidth=1.6, solid_capstyle="butt", zorder=4)
    face = colour if filled else ink("--page")
    axes.plot([estimate], [place], marker, color=colour, markerfacecolor=face, markersize=5, zorder=5)


def _ground(axes: Axes, forest: Forest, width: float, ink: Ink) -> None:
    """Zero line, band, ticks and the words below an axis of ``width`` inches."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(ink("--rule"))
    axes.tick_params(colors=ink("--ink"), length=2.5, color=ink("--rule"), labelsize=TEXT, pad=2)
    axes.set_yticks([])
    axes.xaxis.set_major_locator(MaxNLocator(max(2, min(5, int(width / PER_TICK) - 1))))
    if forest.unit == "percent":
        axes.xaxis.set_major_formatter(FuncFormatter(percent_of))
    if forest.zero is not None:
        if forest.band is not None:
            axes.axvspan(forest.zero - forest.band, forest.zero + forest.band, color=ink("--panel"), linewidth=0, zorder=0)
        axes.axvline(forest.zero, color=ink("--ink"), linewidth=0.9, zorder=2)
    words: dict[str, Any] = {"color": ink("--ink"), "fontsize": TEXT, "textcoords": "offset points", "va": "top"}
    down = -15.5
    if forest.sides is not None:
        left, right = forest.sides
        both = (
            f"\N{LEFTWARDS ARROW} {left}\N{NO-BREAK SPACE}\N{NO-BREAK SPACE}\N{NO-BREAK SPACE}{right} \N{RIGHTWARDS ARROW}"
        )
        axes.annotate(both, (1.0, 0.0), (0, down), "axes fraction", ha="right", **words)
        down -= 12.0
    axes.annotate(forest.axis, (1.0, 0.0), (0, down), "axes fraction", ha="right", **{**words, "color": ink("--quiet")})


def _legend(axes: Axes, forest: Forest, ink: Ink) -> None:
    """Which mark means what, above the rows; nothing where no mark concludes."""
    from matplotlib.lines import Line2D

    handles = []
    for mark in forest.marks:
        marker, variable, filled = SHAPES[mark]
        face = ink(variable) if filled else ink("--page")
        handles.append(
            Line2D([], [], marker=marker, color=ink(variable), markerfacecolor=face, markersize=5, linestyle="", label=mark)
        )
    if handles:
        axes.figure.legend(
            handles=handles, loc="upper left", ncols=3, frameon=False, fontsize=TEXT, labelcolor=ink("--ink"),
            handletextpad=0.1, columnspacing=1.0, borderpad=0.0, borderaxespad=0.0, handlelength=1.4,
        )  # fmt: skip


def _limits(forest: Forest) -> tuple[float, float]:
    """Ends of the axis: everything that is drawn, and a margin."""
    values = [
        value
        for span in forest.spans
        for value in (span.estimate, span.low, span.high, *span.points)
        if value is not None and math.isfinite(value)
    ]
    if forest.zero is not None:
        band = forest.band or 0.0
        values += [forest.zero - band, forest.zero + band]
    low, high = (min(values), max(values)) if values else (0.0, 0.0)
    margin = 0.04 * (high - low) or 0.5
    return low - margin, high + margin


def _label_share(rows: tuple[Placed, ...], width: float) -> float:
    """Share of the width that the labels take; heads may reach over the axis."""
    lines = [line for row in rows if row.span is not None for line in row.label.split("\n")]
    widest = max((_width_of(line) for line in lines if line), default=0.0)
    return min((widest + GAP) / (72.0 * width), 1.0 - LEAST_PLOT)


def _broken(label: str, room: float) -> list[str]:
    """The label in lines of at most ``room`` points, broken between words."""
    lines = [""]
    for word in label.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and _width_of(longer) > room:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


@lru_cache(maxsize=1024)
def _width_of(text: str) -> float:
    """Width in points, in the font that ships with matplotlib."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    return float(TextPath((0, 0), text, size=TEXT, prop=FontProperties(family="DejaVu Sans")).get_extents().width)
