"""Share of names with text on each day, and how long documents waited for a decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from glassbox_bt.errors import ContractError
from glassbox_bt.reporting.figures_ink import Ink
from glassbox_bt.reporting.figures_lines import label_days, percent_of, places_of
from glassbox_bt.types import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Bars", "Coverage", "draw_bars", "draw_coverage"]

TEXT = 9.0  # points


@dataclass(frozen=True, slots=True)
class Coverage:
    """One value per session, each a share of the members of the universe, in [0, 1].

    Parameters
    ----------
    days : tuple[str, ...]
        Sessions, ascending.
    with_text : FloatArray
        Names on which the text branch had an answer, (n_days,).
    with_document : FloatArray
        Names of which a document of that session speaks, (n_days,).

    Raises
    ------
    ContractError
        If there is no day, or lengths differ.
    """

    days: tuple[str, ...]
    with_text: FloatArray
    with_document: FloatArray
    width: float = 3.8
    height: float = 2.5

    def __post_init__(self) -> None:
        sizes = {len(self.with_text), len(self.with_document)}
        if not self.days or sizes != {len(self.days)}:
            raise ContractError(f"Coverage of {len(self.days)} days got {sorted(sizes)} values. Give one per day.")

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in inches."""
        return self.width, self.height


@dataclass(frozen=True, slots=True)
class Bars:
    """Counts of some classes, as shares of their sum.

    Parameters
    ----------
    labels : tuple[str, ...]
        Of the classes, in order.
    counts : FloatArray
        Not negative, (n_classes,).
    axis : str
        What the classes are.

    Raises
    ------
    ContractError
        If lengths differ, or there is nothing to count.
    """

    labels: tuple[str, ...]
    counts: FloatArray
    axis: str
    width: float = 4.4
    height: float = 2.6

    def __post_init__(self) -> None:
        if len(self.counts) != len(self.labels) or not np.sum(self.counts) > 0.0:
            raise ContractError(
                f"Bars of {len(self.labels)} labels got {len(self.counts)} counts of sum {np.sum(self.counts):g}. Give one "
                "count per label, and leave the drawing out where all are 0."
            )

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in inches."""
        return self.width, self.height


def draw_coverage(figure: Figure, picture: Coverage, ink: Ink) -> None:
    """Draw on an empty figure of the size of ``picture``."""
    axes = figure.subplots()
    figure.subplots_adjust(left=0.145, right=0.955, top=0.86, bottom=0.13)
    days = places_of(picture.days)
    axes.fill_between(days, picture.with_text, 0.0, color=ink("--stack"), alpha=0.16, linewidth=0)
    axes.plot(days, picture.with_text, color=ink("--stack"), linewidth=1.8, label="with text")
    axes.plot(
        days,
        picture.with_document,
        color=ink("--rival-1"),
        linewidth=1.0,
        linestyle=(0, (3, 1.2)),
        label="with a new document",
    )
    axes.set_ylim(0.0, 1.0)
    _tidy(axes, ink)
    axes.set_yticks([0.0, 0.5, 1.0])
    axes.margins(x=0.01)
    label_days(axes)
    figure.legend(
        loc="upper left", ncols=2, frameon=False, fontsize=TEXT, labelcolor=ink("--ink"), handlelength=2.2,
        handletextpad=0.4, columnspacing=1.0, borderpad=0.0, borderaxespad=0.2,
    )  # fmt: skip


def draw_bars(figure: Figure, picture: Bars, ink: Ink) -> None:
    """Draw on an empty figure of the size of ``picture``."""
    axes = figure.subplots()
    figure.subplots_adjust(left=0.12, right=0.985, top=0.95, bottom=0.21)
    places = np.arange(len(picture.labels))
    axes.bar(places, picture.counts / picture.counts.sum(), width=0.8, color=ink("--stack"), linewidth=0)
    axes.set_xticks(places, picture.labels)
    _tidy(axes, ink)
    axes.set_xlabel(picture.axis, fontsize=TEXT, color=ink("--ink"))


def _tidy(axes: Axes, ink: Ink) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(ink("--rule"))
    axes.tick_params(colors=ink("--ink"), length=0, labelsize=TEXT)
    axes.tick_params(axis="x", pad=5)
    axes.grid(axis="y", color=ink("--rule"), linewidth=0.6)
    axes.set_axisbelow(True)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_formatter(FuncFormatter(percent_of))
