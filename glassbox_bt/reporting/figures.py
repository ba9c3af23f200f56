"""Drawings: a value says what to draw, `to_svg` and `to_file` draw it with matplotlib, the same bytes each time.

A picture is data, so that the same one can be drawn for the page (SVG) and for print (PDF, PNG). Colours of the SVG are
CSS variables of the page, so that it follows light and dark; text stays text, in the page's own font. Print has the
colours of the light page on white.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glassbox_bt.errors import ContractError
from glassbox_bt.reporting.figures_exceedance import Exceedances, Tail, draw_exceedances
from glassbox_bt.reporting.figures_forest import Forest, Mark, Span, draw_forest
from glassbox_bt.reporting.figures_ink import LOOKS, PRINT, Ink, Look, look_of
from glassbox_bt.reporting.figures_lines import Line, Panel, Picture, draw_lines
from glassbox_bt.reporting.figures_network import Edge, Network, Node, draw_network
from glassbox_bt.reporting.figures_regime import Timeline, draw_timeline
from glassbox_bt.reporting.figures_reliability import Bin, Reliability, draw_reliability
from glassbox_bt.reporting.figures_text import Bars, Coverage, draw_bars, draw_coverage
from glassbox_bt.runs.artefacts import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "LOOKS",
    "Bars",
    "Bin",
    "Coverage",
    "Drawing",
    "Edge",
    "Exceedances",
    "Forest",
    "Line",
    "Look",
    "Mark",
    "Network",
    "Node",
    "Panel",
    "Picture",
    "Reliability",
    "Span",
    "Tail",
    "Timeline",
    "look_of",
    "to_file",
    "to_svg",
]

Drawing = Picture | Forest | Reliability | Timeline | Exceedances | Network | Coverage | Bars

SETTINGS: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # ships with matplotlib: measured the same everywhere
    "font.size": 10,
    "axes.linewidth": 0.8,
    "path.simplify": True,
    "path.simplify_threshold": 0.2,
}
# What each format would otherwise say about the day and the program that made it.
ANONYMOUS: Mapping[str, Mapping[str, None]] = {
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}
DOTS_PER_INCH = 220  # of a PNG


def to_svg(picture: Drawing, key: str) -> str:
    """The picture as an ``<svg>`` element without size in pixels; the same picture gives the same bytes.

    Parameters
    ----------
    picture : Drawing
        What to draw.
    key : str
        Unique on the page; salts the identifiers inside the drawing.
    """
    ink, text = Ink(), io.StringIO()
    with _drawn(picture, ink, {"svg.hashsalt": f"glassbox-{key}", "svg.fonttype": "none"}) as figure:
        figure.savefig(text, format="svg", transparent=True, metadata=dict(ANONYMOUS["svg"]))
    return _tidy(text.getvalue(), ink.used, key)


def to_file(picture: Drawing, path: Path) -> Path:
    """Write the picture for print as PDF or PNG, by the suffix of ``path``; the same picture gives the same bytes.

    Parameters
    ----------
    picture : Drawing
        What to draw; it is self-contained, with the names of its lines below.
    path : Path
        Ends in ``.pdf`` or ``.png``.

    Raises
    ------
    ContractError
        If the suffix is another one.
    """
    suffix = path.suffix.removeprefix(".")
    if suffix not in ("pdf", "png"):
        raise ContractError(f"{path.name} ends in `{path.suffix}`. Name a file that ends in `.pdf` or `.png`.")

    def write(draft: Path) -> None:
        with _drawn(picture, Ink(PRINT), {"pdf.fonttype": 42}) as figure:  # outlines that printers accept
            figure.savefig(draft, format=suffix, dpi=DOTS_PER_INCH, facecolor="white", metadata=dict(ANONYMOUS[suffix]))

    return write_whole(path, write)


@contextmanager
def _drawn(picture: Drawing, ink: Ink, settings: dict[str, Any]) -> Iterator[Figure]:
    """The picture on a figure, under settings that hold until it is saved."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context():
        mpl.rcdefaults()  # whoever drew before (quantstats, seaborn) left its own
        chosen: Any = {**SETTINGS, **settings}
        mpl.rcParams.update(chosen)
        figure = Figure(figsize=picture.size)
        match picture:
            case Picture():
                draw_lines(figure, picture, ink)
            case Forest():
                draw_forest(figure, picture, ink)
            case Reliability():
                draw_reliability(figure, picture, ink)
            case Timeline():
                draw_timeline(figure, picture, ink)
            case Exceedances():
                draw_exceedances(figure, picture, ink)
            case Network():
                draw_network(figure, picture, ink)
            case Coverage():
                draw_coverage(figure, picture, ink)
            case Bars():
                draw_bars(figure, picture, ink)
        yield figure


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
