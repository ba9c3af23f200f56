"""Drawings of the risk engine: they show what they are given, refuse what makes no sense, and are the same each time."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.dates import date2num
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch

from glassbox_bt.errors import ContractError
from glassbox_bt.reporting.figures import (
    Bin,
    Drawing,
    Edge,
    Exceedances,
    Network,
    Node,
    Reliability,
    Tail,
    Timeline,
    to_file,
    to_svg,
)
from glassbox_bt.reporting.figures_exceedance import draw_exceedances
from glassbox_bt.reporting.figures_ink import PRINT, Ink
from glassbox_bt.reporting.figures_network import draw_network
from glassbox_bt.reporting.figures_regime import SHADES, draw_timeline, runs
from glassbox_bt.reporting.figures_reliability import draw_reliability

DAYS = tuple(str(day) for day in np.arange("2020-01-06", "2020-01-26", dtype="datetime64[D]"))
SAID = (None, *("calm",) * 5, *("crisis",) * 4, *("calm",) * 6, *("rotation",) * 4)
GROWTH = np.linspace(1.0, 0.9, len(DAYS))
TIMELINE = Timeline(DAYS, "Benchmark", GROWTH, SAID, np.linspace(0.1, 0.8, len(DAYS)), ("volatile",) * len(DAYS), 0.5)
HITS = np.array([0.0, 3.0, 8.0, *(0.0,) * 17])
NAMES = np.full(len(DAYS), 10.0)
EXCEEDANCES = Exceedances(DAYS, (Tail(95, HITS, 0.05 * NAMES), Tail(99, HITS // 3, 0.01 * NAMES)), NAMES)
NODES = tuple(Node(name, chance) for name, chance in (("AAPL", 0.0), ("BAC", 0.1), ("GE", 0.2), ("XOM", 0.05)))
NETWORK = Network(NODES, (Edge(0, 1, 0.2), Edge(2, 1, 0.4), Edge(3, 0, 0.1)), 0.2, 0.4)
RELIABILITY = Reliability((Bin(0.03, 0.02, 40), Bin(0.1, 0.12, 90)), 0.06, (Bin(0.05, 0.02, 40), Bin(0.19, 0.12, 90)))
DRAWINGS: dict[str, Drawing] = {
    "timeline": TIMELINE,
    "exceedances": EXCEEDANCES,
    "network": NETWORK,
    "reliability": RELIABILITY,
}


def drawn(picture: Any, draw: Callable[[Figure, Any, Ink], None]) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=picture.size)
    draw(figure, picture, Ink(PRINT))
    return figure, list(figure.axes)


def curves(axes: Axes) -> list[list[float]]:
    return [[float(y) for y in np.asarray(line.get_ydata(), dtype=float)] for line in axes.lines]


def test_runs_of_equal_names_have_their_ends_and_gaps_have_none() -> None:
    assert list(runs(SAID)) == [("calm", 1, 5), ("crisis", 6, 9), ("calm", 10, 15), ("rotation", 16, 19)]
    assert list(runs((None, None))) == []
    assert list(runs(("calm",))) == [("calm", 0, 0)]


def test_bands_reach_from_the_first_day_of_a_run_to_the_first_of_the_next() -> None:
    _, (upper, strip, lower) = drawn(TIMELINE, draw_timeline)
    bands = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in upper.patches]  # type: ignore[attr-defined]
    wanted = [(1, 6), (6, 10), (10, 16), (16, 20)]
    start = float(date2num(np.datetime64(DAYS[0])))
    assert [(first - start, last - start) for first, last in bands] == wanted
    assert len(strip.patches) == 1
    assert list(GROWTH) in curves(upper)
    assert list(TIMELINE.chance) in curves(lower)
    assert [0.5, 0.5] in curves(lower)
    assert lower.get_ylim() == (0.0, 1.0)


def test_regimes_differ_in_strength_and_those_that_occur_are_named() -> None:
    assert len({opacity for _, opacity in SHADES.values()}) == len({colour for colour, _ in SHADES.values()}) == len(SHADES)
    figure, _ = drawn(TIMELINE, draw_timeline)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["calm", "rotation", "volatile", "crisis"]
    without = Timeline(DAYS, "Benchmark", GROWTH, (None,) * len(DAYS), np.full(len(DAYS), np.nan))
    figure, axes = drawn(without, draw_timeline)
    assert (len(axes), figure.legends) == (2, [])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"growth": GROWTH[1:]}, "got [19, 20] values"),
        ({"said": ("panic", *SAID[1:])}, "`panic` is no regime"),
        ({"days": DAYS[:1]}, "A timeline of 1 days"),
    ],
)
def test_a_timeline_has_one_value_a_day_and_known_regimes(change: dict[str, Any], words: str) -> None:
    facts: dict[str, Any] = {"days": DAYS, "line": "a", "growth": GROWTH, "said": SAID, "chance": GROWTH}
    with pytest.raises(ContractError, match=re.escape(words)):
        Timeline(**facts | change)


def test_exceedances_are_counted_up_beside_what_was_stated_and_shown_by_day() -> None:
    _, (upper, lower) = drawn(EXCEEDANCES, draw_exceedances)
    shown = curves(upper)
    for tail in EXCEEDANCES.tails:
        assert list(np.cumsum(tail.hits)) in shown
        assert list(np.cumsum(tail.stated)) in shown
    segments = lower.collections[0].get_segments()  # type: ignore[attr-defined]
    assert [float(segment[1][1]) for segment in segments] == [0.3, 0.8]
    assert len({str(line.get_linestyle()) for line in upper.lines}) > 1  # told apart without colour


@pytest.mark.parametrize(
    ("days", "tails", "names"),
    [((), (), NAMES[:0]), (DAYS, (), NAMES), (DAYS, EXCEEDANCES.tails, NAMES[1:])],
)
def test_exceedances_without_days_or_levels_are_refused(days: tuple[str, ...], tails: tuple[Tail, ...], names: Any) -> None:
    with pytest.raises(ContractError, match="one or two levels"):
        Exceedances(days, tails, names)


def test_names_stand_on_a_circle_and_arrows_lead_from_influencers() -> None:
    _, (axes, key) = drawn(NETWORK, draw_network)
    discs = [patch for patch in axes.patches if isinstance(patch, Circle)]
    centres = sorted({(round(one.center[0], 9), round(one.center[1], 9)) for one in discs})
    assert centres == sorted((round(x, 9), round(y, 9)) for x, y in (NETWORK.place(n) for n in range(4)))
    assert NETWORK.place(0) == pytest.approx((0.0, 1.0))
    assert [text.get_text() for text in axes.texts] == ["AAPL", "BAC", "GE", "XOM"]
    arrows = [patch for patch in axes.patches if isinstance(patch, FancyArrowPatch)]
    widths = [one.get_linewidth() for one in arrows]
    assert widths == sorted(widths)  # the heaviest on top
    assert len(set(widths)) == 3
    assert [text.get_text() for text in key.texts] == ["0 %", "10 %", "20 %", "chance"]


def test_discs_grow_and_darken_with_the_chance() -> None:
    _, (axes, _) = drawn(NETWORK, draw_network)
    shown = {}
    for number, node in enumerate(NODES):
        mine = [one for one in axes.patches if isinstance(one, Circle) and np.allclose(one.center, NETWORK.place(number))]
        shown[node.chance] = (mine[0].radius, next(one.get_alpha() for one in mine if one.get_alpha() is not None))
    ordered = [shown[chance] for chance in sorted(shown)]
    assert ordered == sorted(ordered)
    assert len(set(ordered)) == len(ordered)


@pytest.mark.parametrize(
    ("nodes", "edges", "words"),
    [
        (NODES[:1], (), "needs two names"),
        (NODES, (Edge(0, 4, 0.1),), "leads from 0 to 4"),
        (NODES, (Edge(1, 1, 0.1),), "leads from 1 to 1"),
        ((Node("a", 1.2), NODES[1]), (), "got 1.2"),
    ],
)
def test_a_network_of_one_name_or_with_loose_ends_is_refused(
    nodes: tuple[Node, ...], edges: tuple[Edge, ...], words: str
) -> None:
    with pytest.raises(ContractError, match=re.escape(words)):
        Network(nodes, edges, 1.0, 1.0)


@pytest.mark.parametrize("name", ["GE{}", "BRK-{}", "LONGER{}"])
def test_thirty_names_stay_within_the_drawing(name: str) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    nodes = tuple(Node(name.format(number), 0.01 * number) for number in range(30))
    figure, (axes, _) = drawn(Network(nodes, (), 0.3, 1.0), draw_network)
    renderer = FigureCanvasAgg(figure).get_renderer()
    width, height = figure.get_size_inches() * figure.dpi
    for text in axes.texts:
        box = text.get_window_extent(renderer)
        assert (box.x0 >= 0.0, box.x1 <= width, box.y0 >= 0.0, box.y1 <= height) == (True,) * 4, text.get_text()


def test_what_was_said_before_calibration_is_hollow_and_small_chances_get_a_small_axis() -> None:
    _, (upper, _) = drawn(RELIABILITY, draw_reliability)
    lines = {tuple(np.asarray(line.get_xdata(), dtype=float)): line for line in upper.lines}
    raw = lines[0.05, 0.19]
    assert raw.get_markerfacecolor() == PRINT["--page"]
    assert raw.get_color() != lines[0.03, 0.1].get_color()
    assert upper.get_xlim() == upper.get_ylim() == (0.0, 0.2)


@pytest.mark.parametrize("name", DRAWINGS)
def test_svg_is_well_formed_coloured_by_the_page_and_the_same_twice(name: str) -> None:
    svg = to_svg(DRAWINGS[name], name)
    root = ElementTree.fromstring(svg)
    assert root.get("aria-labelledby") == f"{name}-title {name}-desc"
    assert "var(--ink)" in svg
    assert not re.search(r"#fe[0-9a-f]{2}01", svg)
    assert not re.search(r"#(?!fe)[0-9a-f]{6}", svg.replace("#ffffff", "").replace("#000000", "")), "a colour of its own"
    assert to_svg(DRAWINGS[name], name) == svg


def test_files_have_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, pandas; pandas.plotting.register_matplotlib_converters(); "  # as quantstats does
        "from tests.reporting.test_risk_figures import DRAWINGS; "
        "from glassbox_bt.reporting.figures import to_file, to_svg; "
        "folder = pathlib.Path(sys.argv[1]); "
        "[to_file(one, folder / f'{name}.pdf') for name, one in DRAWINGS.items()]; "
        "[(folder / f'{name}.svg').write_text(to_svg(one, name)) for name, one in DRAWINGS.items()]"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "5"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, env=environment, cwd=Path.cwd())
    for name, picture in DRAWINGS.items():
        assert (tmp_path / f"{name}.svg").read_text(encoding="utf-8") == to_svg(picture, name)
        here = to_file(picture, tmp_path / f"here-{name}.pdf")
        assert here.read_bytes() == (tmp_path / f"{name}.pdf").read_bytes()
