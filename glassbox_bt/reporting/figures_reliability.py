"""How often something happened when it was said to be so likely: a reliability plot."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glassbox_bt.errors import ContractError
from glassbox_bt.reporting.figures_ink import Ink
from glassbox_bt.reporting.figures_lines import percent_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Bin", "Reliability", "draw_reliability"]

STEP = 0.1  # the axis starts and ends on a multiple
LEAST_SPAN = 3  # steps
SMALL = 0.2  # probabilities that all lie below get an axis of half the step
LARGEST_DOT = 9.0  # points, of the fullest bin


@dataclass(frozen=True, slots=True)
class Bin:
    """Rows whose stated probability was alike: its mean, how often the event came, and how many rows."""

    stated: float
    observed: float
    n_rows: int


@dataclass(frozen=True, slots=True)
class Reliability:
    """Stated probability against observed rate, with the diagonal; below, how many rows each bin holds.

    Parameters
    ----------
    bins : tuple[Bin, ...]
        From the least to the most likely, at least one.
    base_rate : float
        How often the event came over all rows: what one would say without knowing anything else.
    raw : tuple[Bin, ...]
        The same rows before calibration, drawn hollow; empty for none.

    Raises
    ------
    ContractError
        If there is no bin, or a probability lies outside [0, 1].
    """

    bins: tuple[Bin, ...]
    base_rate: float
    raw: tuple[Bin, ...] = ()
    width: float = 2.6
    height: float = 2.7

    def __post_init__(self) -> None:
        if not self.bins:
            raise ContractError("A reliability plot needs at least one bin. Say in words that there is none.")
        for value in self.values:
            if not 0.0 <= value <= 1.0:
                raise ContractError(f"A reliability plot takes probabilities in [0, 1], got {value}.")

    @property
    def values(self) -> tuple[float, ...]:
        """Everything that is drawn on the two axes."""
        return (self.base_rate, *(end for one in (*self.bins, *self.raw) for end in (one.stated, one.observed)))

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in inches."""
        return self.width, self.height


def draw_reliability(figure: Figure, picture: Reliability, ink: Ink) -> None:
    """Draw on an empty figure of the size of ``picture``."""
    upper, lower = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": (1.0, 0.16)})
    figure.subplots_adjust(left=0.25, right=0.965, top=0.98, bottom=0.155, hspace=0.1)
    ends = _limits(picture)
    upper.plot(ends, ends, color=ink("--ink"), linewidth=0.9, linestyle=(0, (4, 2)), zorder=2)
    upper.axhline(picture.base_rate, color=ink("--quiet"), linewidth=0.9, linestyle=(0, (1, 1.5)), zorder=2)
    if picture.raw:
        _raw(upper, picture.raw, ink)
    stated, observed = [one.stated for one in picture.bins], [one.observed for one in picture.bins]
    upper.plot(stated, observed, color=ink("--stack"), linewidth=1.4, zorder=3)
    fullest = max(one.n_rows for one in picture.bins)
    for one in picture.bins:
        size = max(2.5, LARGEST_DOT * math.sqrt(one.n_rows / fullest))
        upper.plot(
            [one.stated],
            [one.observed],
            "o",
            color=ink("--stack"),
            markersize=size,
            markeredgewidth=0,
            zorder=4,
            clip_on=False,
        )
    upper.set_xlim(*ends)
    upper.set_ylim(*ends)
    upper.set_ylabel("observed", color=ink("--quiet"), fontsize=9, labelpad=2)
    _name_base_rate(upper, picture, ends, ink)
    _bars(lower, picture, ends, ink)
    for axes in (upper, lower):
        _tidy(axes, ink)


def _raw(axes: Axes, bins: tuple[Bin, ...], ink: Ink) -> None:
    """Hollow and dashed, under what was put right."""
    axes.plot(
        [one.stated for one in bins], [one.observed for one in bins], "o", color=ink("--rival-1"), linewidth=1.1,
        linestyle=(0, (3, 1.5)), markersize=4, markerfacecolor=ink("--page"), markeredgewidth=1.0, zorder=3, clip_on=False,
    )  # fmt: skip


def _name_base_rate(axes: Axes, picture: Reliability, ends: tuple[float, float], ink: Ink) -> None:
    """At the end of its line that lies further from the bins."""
    first, last = picture.bins[0], picture.bins[-1]
    at_right = abs(last.observed - picture.base_rate) >= abs(first.observed - picture.base_rate)
    where = (ends[1], "right", "base rate ") if at_right else (ends[0], "left", " base rate")
    axes.text(where[0], picture.base_rate, where[2], color=ink("--quiet"), fontsize=9, ha=where[1], va="bottom")


def _bars(axes: Axes, picture: Reliability, ends: tuple[float, float], ink: Ink) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    width = 0.02 * (ends[1] - ends[0])
    axes.bar(
        [one.stated for one in picture.bins], [one.n_rows for one in picture.bins], width, color=ink("--stack"), linewidth=0
    )
    axes.set_yticks([])
    axes.set_ylabel("rows", color=ink("--quiet"), fontsize=9, labelpad=2)
    axes.xaxis.set_major_locator(MaxNLocator(4, prune="upper"))
    axes.xaxis.set_major_formatter(FuncFormatter(percent_of))
    axes.set_xlabel("stated probability", color=ink("--quiet"), fontsize=9, labelpad=2)


def _tidy(axes: Axes, ink: Ink) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(ink("--rule"))
    axes.tick_params(colors=ink("--ink"), length=0, labelsize=9)
    if axes.get_yticks().size:
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_formatter(FuncFormatter(percent_of))
        axes.grid(axis="y", color=ink("--rule"), linewidth=0.6)
        axes.set_axisbelow(True)


def _limits(picture: Reliability) -> tuple[float, float]:
    """The same ends for both axes, on multiples of a step, so that the diagonal is one."""
    step = STEP if max(picture.values) > SMALL else STEP / 2.0
    low, high = (end(one(picture.values) / step) * step for end, one in ((math.floor, min), (math.ceil, max)))
    if high - low < LEAST_SPAN * step:
        low = max(0.0, min(low, 1.0 - LEAST_SPAN * step))
        high = low + LEAST_SPAN * step
    return low, high
