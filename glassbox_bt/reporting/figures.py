"""Drawings: a `Picture` says what to draw, `to_svg` draws it with matplotlib, the same bytes each time.

A picture is data, so that the same one can be drawn for a page (SVG) and later for print. Colours of the SVG are CSS
variables of the page, so that it follows light and dark; text stays text, in the page's own font.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from glassbox_bt.errors import ContractError
from glassbox_bt.types import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["LOOKS", "Line", "Look", "Panel", "Picture", "look_of", "to_svg"]


@dataclass(frozen=True, slots=True)
class Look:
    """How one strategy is drawn wherever it appears: a CSS variable, a dash pattern and a width in points."""

    variable: str
    dash: tuple[float, ...] = ()
    width: float = 1.2


# Hues of Okabe and Ito, darkened or lightened in the style sheet until they reach 3:1 against the page; dashes
# tell apart what a reader without colours could confuse. The stack is the only thick line.
LOOKS: Mapping[str, Look] = {
    "glassbox": Look("--stack", width=2.6),
    "buy_and_hold": Look("--rival-1"),
    "monthly_1n": Look("--rival-2", (4, 1.5)),
    "momentum_12_1": Look("--rival-3"),
    "inverse_volatility": Look("--rival-4", (4, 1.5)),
    "sizing_only": Look("--rival-5", (6, 1.5, 1, 1.5)),
    "formula_only": Look("--rival-6", (1.5, 1.2)),
    "benchmark": Look("--ink", (4, 1.5)),
    "cash": Look("--quiet", (1, 1.5)),
}
OTHER_LOOKS = tuple(Look(f"--rival-{hue}", dash) for dash in ((1, 1.5, 4, 1.5), (8, 2), (1, 3)) for hue in range(1, 7))


def look_of(strategy: str, others: Sequence[str] = ()) -> Look:
    """The look of ``strategy``; one that LOOKS does not list takes the next free one, by its place in ``others``."""
    if strategy in LOOKS:
        return LOOKS[strategy]
    if strategy not in others:
        raise ContractError(f"`{strategy}` has no look. List it in `others`.")
    return OTHER_LOOKS[list(others).index(strategy) % len(OTHER_LOOKS)]


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


def to_svg(picture: Picture, key: str) -> str:
    """The picture as an ``<svg>`` element without size in pixels; the same picture gives the same bytes.

    Parameters
    ----------
    picture : Picture
        What to draw.
    key : str
        Unique on the page; salts the identifiers inside the drawing.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    settings: Any = {
        "svg.hashsalt": f"glassbox-{key}",
        "svg.fonttype": "none",
        "font.family": "DejaVu Sans",  # ships with matplotlib: measured the same everywhere
        "font.size": 10,
        "axes.linewidth": 0.8,
        "path.simplify": True,
        "path.simplify_threshold": 0.2,
    }
    with mpl.rc_context():
        mpl.rcdefaults()  # whoever drew before (quantstats, seaborn) left its own
        mpl.rcParams.update(settings)
        figure = Figure(figsize=(picture.width, picture.height))
        FigureCanvasSVG(figure)
        heights = [panel.height for panel in picture.panels]
        grid = figure.subplots(len(heights), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights})
        days = np.array(picture.days, dtype="datetime64[D]")
        colours: dict[str, str] = {}
        for axes, panel in zip(grid[:, 0], picture.panels, strict=True):
            _draw(axes, panel, days, colours)
        _label_days(grid[-1, 0])
        margin = 0.28 / picture.height
        figure.subplots_adjust(left=0.155, right=0.985, top=1.0 - margin, bottom=margin, hspace=0.2)
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _tidy(text.getvalue(), colours, key)


def _draw(axes: Axes, panel: Panel, days: Any, colours: dict[str, str]) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    ink, rule = _stand_in("--ink", colours), _stand_in("--rule", colours)
    for order, line in enumerate(panel.lines):
        colour = _stand_in(line.look.variable, colours)
        dashes: Any = (0, line.look.dash) if line.look.dash else "-"
        thick = line.look.width > 2.0
        axes.plot(
            days, line.values, color=colour, linestyle=dashes, linewidth=line.look.width,
            zorder=5 if thick else 2 + order / 100,
        )  # fmt: skip
        if panel.filled and thick:
            axes.fill_between(days, line.values, 0.0, color=colour, alpha=0.18, linewidth=0)
    axes.set_title(panel.label, loc="left", fontsize=10, color=ink, pad=4)
    axes.grid(axis="y", color=rule, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(rule)
    axes.tick_params(colors=ink, length=0, labelsize=9)
    axes.margins(x=0.01)
    axes.yaxis.set_major_locator(MaxNLocator(4 if panel.height >= 1.0 else 3))
    if panel.unit == "percent":
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %".replace("-", "\N{MINUS SIGN}")))


def _label_days(axes: Axes) -> None:
    from matplotlib.dates import AutoDateLocator, DateFormatter

    axes.xaxis.set_major_locator(AutoDateLocator(minticks=3, maxticks=5))
    axes.xaxis.set_major_formatter(DateFormatter("%Y-%m"))


def _stand_in(variable: str, colours: dict[str, str]) -> str:
    """A colour that stands for a CSS variable until the drawing is written."""
    if variable not in colours:
        colours[variable] = f"#fe{len(colours):02x}01"
    return colours[variable]


def _tidy(svg: str, colours: Mapping[str, str], key: str) -> str:
    """Only the ``<svg>`` element, coloured by variables, sized by the page."""
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    for variable, colour in colours.items():
        svg = svg.replace(colour, f"var({variable})")
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>\s*", "", svg, count=1, flags=re.DOTALL)
    svg = svg.replace(' xmlns:xlink="http://www.w3.org/1999/xlink"', "").replace("xlink:href", "href")
    svg = re.sub(r' id="[\w.]+_\d+"', "", svg)  # the same in every drawing; nothing refers to them
    svg = re.sub(r" font-family: [^;\"]*;", "", svg)
    svg = re.sub(r' transform="rotate\(-?0 [^"]*"', "", svg)
    opening = f'<svg role="img" aria-labelledby="{key}-title {key}-desc"'
    return re.sub(r"\s*\n\s*", " ", svg.replace("<svg", opening, 1)).replace("> <", "><")
