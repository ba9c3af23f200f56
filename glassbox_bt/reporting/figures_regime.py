"""The market's curve over bands of the regime said to come; the regime of the day and the chance of crisis below."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from glassbox_bt.errors import ContractError
from glassbox_bt.reporting.figures_ink import Ink
from glassbox_bt.reporting.figures_lines import label_days, percent_of, places_of
from glassbox_bt.types import AnyArray, FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["SHADES", "Timeline", "draw_timeline", "runs"]

# Colour and opacity of each regime: the worse the darker, so that they are told apart without colour too.
SHADES: Mapping[str, tuple[str, float]] = MappingProxyType(
    {
        "calm": ("--rival-3", 0.14),
        "rotation": ("--rival-5", 0.26),
        "volatile": ("--rival-2", 0.34),
        "crisis": ("--rival-1", 0.55),
    }
)
TEXT = 9.0  # points


@dataclass(frozen=True, slots=True)
class Timeline:
    """One value per session throughout.

    Parameters
    ----------
    days : tuple[str, ...]
        Sessions, ascending, at least two.
    line : str
        What the curve is.
    growth : FloatArray
        The curve, 1 before the first session; NaN leaves a gap.
    said : tuple[str or None, ...]
        Regime that was said to come, None where nothing was said: no band.
    today : tuple[str or None, ...]
        Regime that the rule names today; a strip of its own, left out where empty.
    chance : FloatArray
        Stated chance of crisis, in [0, 1]; NaN leaves a gap.
    limit : float or None
        Chance from which a rule of the plan fires; a line.

    Raises
    ------
    ContractError
        If lengths differ, or a regime is not one of `SHADES`.
    """

    days: tuple[str, ...]
    line: str
    growth: FloatArray
    said: tuple[str | None, ...]
    chance: FloatArray
    today: tuple[str | None, ...] = ()
    limit: float | None = None
    width: float = 3.8
    height: float = 3.9

    def __post_init__(self) -> None:
        sizes = {len(self.growth), len(self.said), len(self.chance), len(self.today or self.days)}
        if len(self.days) < 2 or sizes != {len(self.days)}:
            raise ContractError(
                f"A timeline of {len(self.days)} days got {sorted(sizes)} values. Give one per day, two at least."
            )
        strange = {one for one in (*self.said, *self.today) if one is not None} - set(SHADES)
        if strange:
            raise ContractError(f"`{min(strange)}` is no regime. Regimes: {', '.join(SHADES)}.")

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in inches."""
        return self.width, self.height

    @property
    def shown(self) -> tuple[str, ...]:
        """Regimes that occur, in the order of `SHADES`."""
        return tuple(name for name in SHADES if name in (*self.said, *self.today))


def runs(names: Sequence[str | None]) -> Iterator[tuple[str, int, int]]:
    """Name, first and last place of each run of equal names; gaps have none."""
    first = 0
    for place, name in enumerate(names):
        if place + 1 == len(names) or names[place + 1] != name:
            if name is not None:
                yield name, first, place
            first = place + 1


def draw_timeline(figure: Figure, picture: Timeline, ink: Ink) -> None:
    """Draw on an empty figure of the size of ``picture``."""
    ratios = (1.0, 0.09, 0.42) if picture.today else (1.0, 0.42)
    panels = figure.subplots(len(ratios), 1, sharex=True, gridspec_kw={"height_ratios": ratios})
    figure.subplots_adjust(left=0.145, right=0.925, top=0.885, bottom=0.085, hspace=0.45)
    days = places_of(picture.days)
    upper, lower = panels[0], panels[-1]
    _shade(upper, days, picture.said, ink, 1.0)
    upper.plot(days, picture.growth, color=ink("--ink"), linewidth=1.5, zorder=4)
    if picture.today:
        _shade(panels[1], days, picture.today, ink, 1.8)
        panels[1].set_yticks([])
    lower.fill_between(days, picture.chance, 0.0, color=ink("--rival-1"), alpha=0.3, linewidth=0)
    lower.plot(days, picture.chance, color=ink("--rival-1"), linewidth=1.2, zorder=4)
    if picture.limit is not None:
        lower.axhline(picture.limit, color=ink("--ink"), linewidth=0.9, linestyle=(0, (4, 2)), zorder=3)
    lower.set_ylim(0.0, 1.0)
    heads = (f"{picture.line} and the regime said to come", "Regime of the day, by the rule", "Chance of crisis")
    for axes, head in zip(panels, heads if picture.today else (heads[0], heads[2]), strict=True):
        _tidy(axes, head, ink)
    _ticks(upper, lower)
    _legend(figure, picture, ink)


def _shade(axes: Axes, days: AnyArray, names: Sequence[str | None], ink: Ink, strength: float) -> None:
    """A band from the first day of each run to the first of the next."""
    for name, first, last in runs(names):
        variable, opacity = SHADES[name]
        end = days[last + 1] if last + 1 < len(days) else days[last] + 1
        axes.axvspan(
            days[first],
            end,
            facecolor=ink(variable),
            edgecolor="none",
            linewidth=0,
            alpha=min(1.0, strength * opacity),
            zorder=1,
        )


def _tidy(axes: Axes, head: str, ink: Ink) -> None:
    axes.set_title(head, loc="left", fontsize=TEXT, color=ink("--ink"), pad=3)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(ink("--rule"))
    axes.tick_params(colors=ink("--ink"), length=0, labelsize=TEXT)
    axes.tick_params(axis="x", pad=6)
    axes.margins(x=0.0)


def _ticks(upper: Axes, lower: Axes) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

    upper.yaxis.set_major_locator(MaxNLocator(4))
    lower.yaxis.set_major_locator(FixedLocator([0.0, 0.5, 1.0]))
    lower.yaxis.set_major_formatter(FuncFormatter(percent_of))
    label_days(lower)


def _legend(figure: Figure, picture: Timeline, ink: Ink) -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(facecolor=ink(SHADES[name][0]), edgecolor="none", alpha=min(1.0, 1.4 * SHADES[name][1]), label=name)
        for name in picture.shown
    ]
    if handles:
        figure.legend(
            handles=handles, loc="upper left", ncols=4, frameon=False, fontsize=TEXT, labelcolor=ink("--ink"),
            handlelength=1.3, handletextpad=0.4, columnspacing=1.1, borderpad=0.0, borderaxespad=0.2,
        )  # fmt: skip
