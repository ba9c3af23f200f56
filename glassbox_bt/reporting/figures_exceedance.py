"""Losses beyond the stated value at risk: counted up against what was stated, and day by day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from glassbox_bt.errors import ContractError
from glassbox_bt.reporting.figures_ink import Ink
from glassbox_bt.reporting.figures_lines import label_days, percent_of, places_of
from glassbox_bt.types import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Exceedances", "Tail", "draw_exceedances"]

TEXT = 9.0  # points
LOOKS: tuple[tuple[str, Any], ...] = (("--stack", "-"), ("--rival-1", (0, (5, 1.5))))  # of the levels, in their order


@dataclass(frozen=True, slots=True)
class Tail:
    """One level: losses beyond it per day, over all names, and how many were stated; each (n_days,)."""

    level: int  # per cent
    hits: FloatArray
    stated: FloatArray


@dataclass(frozen=True, slots=True)
class Exceedances:
    """Counts of one period.

    Parameters
    ----------
    days : tuple[str, ...]
        Days on which the value at risk was stated.
    tails : tuple[Tail, ...]
        One or two levels; the first is the one that is drawn day by day.
    names : FloatArray
        Names with a statement and an outcome, (n_days,).

    Raises
    ------
    ContractError
        If there is no day or no level, or lengths differ.
    """

    days: tuple[str, ...]
    tails: tuple[Tail, ...]
    names: FloatArray
    width: float = 3.8
    height: float = 3.6

    def __post_init__(self) -> None:
        sizes = {len(self.names), *(len(one) for tail in self.tails for one in (tail.hits, tail.stated))}
        if not self.days or not 1 <= len(self.tails) <= len(LOOKS) or sizes != {len(self.days)}:
            raise ContractError(
                f"Exceedances of {len(self.days)} days and {len(self.tails)} levels got {sorted(sizes)} values. Give one "
                "per day, and one or two levels."
            )

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in inches."""
        return self.width, self.height


def draw_exceedances(figure: Figure, picture: Exceedances, ink: Ink) -> None:
    """Draw on an empty figure of the size of ``picture``."""
    upper, lower = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": (1.0, 0.5)})
    figure.subplots_adjust(left=0.145, right=0.925, top=0.875, bottom=0.095, hspace=0.3)
    days = places_of(picture.days)
    for tail, (variable, dash) in zip(picture.tails, LOOKS, strict=False):
        upper.plot(
            days, np.cumsum(tail.hits), color=ink(variable), linestyle=dash, linewidth=1.8, label=f"beyond {tail.level} %"
        )
        upper.plot(days, np.cumsum(tail.stated), color=ink("--quiet"), linestyle=(0, (1, 1.5)), linewidth=1.1, zorder=1)
    first = picture.tails[0]
    share = np.divide(first.hits, picture.names, out=np.zeros(len(days)), where=picture.names > 0.0)
    lower.vlines(days[share > 0.0], 0.0, share[share > 0.0], color=ink(LOOKS[0][0]), linewidth=0.9)
    lower.set_ylim(0.0, max(0.1, 1.05 * float(share.max())))
    _tidy(upper, "Losses beyond it, all names, counted up", ink)
    _tidy(lower, f"Share of names beyond {first.level} %, by day", ink)
    _ticks(upper, lower)
    _legend(figure, upper, ink)


def _tidy(axes: Axes, head: str, ink: Ink) -> None:
    axes.set_title(head, loc="left", fontsize=TEXT, color=ink("--ink"), pad=3)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(ink("--rule"))
    axes.tick_params(colors=ink("--ink"), length=0, labelsize=TEXT)
    axes.tick_params(axis="x", pad=6)
    axes.grid(axis="y", color=ink("--rule"), linewidth=0.6)
    axes.set_axisbelow(True)
    axes.margins(x=0.01)


def _ticks(upper: Axes, lower: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    upper.set_ylim(bottom=0.0)
    upper.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    lower.yaxis.set_major_locator(MaxNLocator(3))
    lower.yaxis.set_major_formatter(FuncFormatter(percent_of))
    label_days(lower)


def _legend(figure: Figure, axes: Axes, ink: Ink) -> None:
    from matplotlib.lines import Line2D

    handles, _ = axes.get_legend_handles_labels()
    stated = Line2D([], [], color=ink("--quiet"), linestyle=(0, (1, 1.5)), linewidth=1.1, label="as stated")
    figure.legend(
        handles=[*handles, stated], loc="upper left", ncols=3, frameon=False, fontsize=TEXT, labelcolor=ink("--ink"),
        handlelength=1.9, handletextpad=0.4, columnspacing=1.0, borderpad=0.0, borderaxespad=0.2,
    )  # fmt: skip
