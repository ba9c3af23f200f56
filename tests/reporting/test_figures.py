"""Drawings show what they are given, refuse what makes no sense, and are the same bytes each time."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from glassbox_bt.errors import ContractError
from glassbox_bt.reporting.figures import (
    Bin,
    Drawing,
    Forest,
    Line,
    Panel,
    Picture,
    Reliability,
    Span,
    look_of,
    to_file,
    to_svg,
)
from glassbox_bt.reporting.figures_forest import draw_forest
from glassbox_bt.reporting.figures_ink import PRINT, Ink
from glassbox_bt.reporting.figures_reliability import draw_reliability

SPANS = (
    Span("technical", 0.1, -0.4, 0.6, "underpowered", "modules", (0.0, 0.3)),
    Span("volatility", 0.9, 0.5, 1.3, "supported", "modules"),
    Span("RB-05 high fused or quantitative risk, a label that needs two lines", -0.6, -0.9, -0.3, "refuted", "rules"),
    Span("drawdown, withheld", -0.2, group="rules"),
    Span("RB-02 crisis cap", None, group="rules", note="no effect on inputs"),
)
FOREST = Forest(SPANS, "difference in Sharpe ratio", band=0.5, sides=("better without", "better with"))
BINS = (Bin(0.1, 0.05, 40), Bin(0.4, 0.55, 400), Bin(0.8, 0.7, 90))
RELIABILITY = Reliability(BINS, 0.42)
DAYS = tuple(str(day) for day in np.arange("2020-01-01", "2020-03-01", dtype="datetime64[D]"))
LINES = tuple(Line(name, look_of(name), np.linspace(1.0, 1.1 + k, len(DAYS))) for k, name in enumerate(("glassbox", "cash")))
PICTURE = Picture(DAYS, (Panel("Growth", LINES), Panel("Drawdown", LINES, "percent", 0.7, filled=True)))
DRAWINGS: dict[str, Drawing] = {"forest": FOREST, "reliability": RELIABILITY, "lines": PICTURE}


def drawn_forest(forest: Forest = FOREST) -> Axes:
    figure = Figure(figsize=forest.size)
    draw_forest(figure, forest, Ink(PRINT))
    return figure.axes[0]


def lines_at(axes: Axes, place: float) -> list[list[float]]:
    """Horizontal positions of everything drawn at one height, the faint rule across the axis left out."""
    found = []
    for line in axes.lines:
        x, y = (np.asarray(values, dtype=float) for values in line.get_data())
        if np.all(np.isclose(y, place)) and list(x) != [0.0, 1.0]:
            found.append([float(value) for value in x])
    return found


def places(forest: Forest) -> dict[str, float]:
    """Height of each row by the first words of its label, inches from the top."""
    found, below = {}, 0.0
    for row in forest.rows:
        found[row.span.label if row.span else row.label] = below + 0.5 * row.height
        below += row.height
    return found


@pytest.mark.parametrize("span", [span for span in SPANS if span.estimate is not None], ids=lambda span: span.label)
def test_a_row_shows_its_estimate_its_interval_and_its_chunks(span: Span) -> None:
    drawn = lines_at(drawn_forest(), places(FOREST)[span.label])
    assert [span.estimate] in drawn
    assert ([span.low, span.high] in drawn) == (span.low is not None)
    assert (list(span.points) in drawn) == bool(span.points)


def test_every_row_is_named_and_a_row_without_an_estimate_says_why() -> None:
    axes = drawn_forest()
    words = [text.get_text().replace("\n", " ") for text in axes.texts]
    for span in SPANS:
        assert span.label in words
    assert "no effect on inputs" in words
    assert words.count("modules") == words.count("rules") == 1
    assert lines_at(axes, places(FOREST)["RB-02 crisis cap"]) == []


def test_no_label_reaches_into_the_axis() -> None:
    axes = drawn_forest()
    figure = axes.figure
    assert isinstance(figure, Figure)
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    renderer = FigureCanvasAgg(figure).get_renderer()
    left = axes.get_window_extent(renderer).x0
    labels = [text for text in axes.texts if text.get_text().replace("\n", " ") in {span.label for span in SPANS}]
    assert len(labels) == len(SPANS)
    assert all(text.get_window_extent(renderer).x1 <= left for text in labels)
    assert any("\n" in text.get_text() for text in labels)


def test_the_axis_holds_every_value_zero_and_the_band() -> None:
    low, high = drawn_forest().get_xlim()
    assert low < -0.9
    assert high > 1.3
    narrow = Forest((Span("a", 0.01, 0.0, 0.02),), "difference", band=0.5)
    low, high = drawn_forest(narrow).get_xlim()
    assert low < -0.5 < 0.5 < high


def test_conclusions_differ_in_shape_not_only_in_colour() -> None:
    markers = {}
    for name, span in (("underpowered", SPANS[0]), ("supported", SPANS[1]), ("refuted", SPANS[2])):
        axes = drawn_forest()
        place = places(FOREST)[span.label]
        mark = next(line for line in axes.lines if [float(v) for v in np.atleast_1d(line.get_xdata())] == [span.estimate])
        assert np.allclose(np.asarray(mark.get_ydata(), dtype=float), place)
        markers[name] = (mark.get_marker(), mark.get_markerfacecolor() == mark.get_color())
    assert len(set(markers.values())) == 3


def test_a_forest_without_rows_or_with_an_interval_backwards_is_refused() -> None:
    with pytest.raises(ContractError, match="at least one row"):
        Forest((), "difference")
    with pytest.raises(ContractError, match=r"`a` runs backwards: 1\.0 to 0\.5"):
        Forest((Span("a", 0.7, 1.0, 0.5),), "difference")


def test_a_reliability_plot_shows_bins_diagonal_and_rows() -> None:
    figure = Figure(figsize=RELIABILITY.size)
    draw_reliability(figure, RELIABILITY, Ink(PRINT))
    upper, lower = figure.axes
    drawn = [[list(np.asarray(v, dtype=float)) for v in line.get_data()] for line in upper.lines]
    assert [[0.1, 0.4, 0.8], [0.05, 0.55, 0.7]] in drawn
    ends = list(upper.get_xlim())
    assert ends == list(upper.get_ylim())
    assert [ends, ends] in drawn
    sizes = [float(line.get_markersize()) for line in upper.lines if line.get_marker() == "o"]
    assert sizes[1] > sizes[2] > sizes[0]
    assert [bar.get_height() for bar in lower.patches] == [40.0, 400.0, 90.0]


@pytest.mark.parametrize(
    ("bins", "base", "words"),
    [((), 0.5, "at least one bin"), ((Bin(0.5, 1.2, 3),), 0.5, "got 1.2"), ((Bin(0.5, 0.5, 3),), -0.1, "got -0.1")],
)
def test_a_reliability_plot_takes_probabilities_only(bins: tuple[Bin, ...], base: float, words: str) -> None:
    with pytest.raises(ContractError, match=re.escape(words)):
        Reliability(bins, base)


@pytest.mark.parametrize("name", DRAWINGS)
def test_svg_is_well_formed_coloured_by_the_page_and_the_same_twice(name: str) -> None:
    svg = to_svg(DRAWINGS[name], name)
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == f"{name}-title {name}-desc"
    assert "var(--ink)" in svg
    assert not re.search(r"#fe[0-9a-f]{2}01", svg)
    assert to_svg(DRAWINGS[name], name) == svg
    assert to_svg(DRAWINGS[name], "other") != svg


@pytest.mark.parametrize("suffix", ["pdf", "png"])
@pytest.mark.parametrize("name", DRAWINGS)
def test_files_for_print_say_nothing_of_the_day(name: str, suffix: str, tmp_path: Path) -> None:
    content = to_file(DRAWINGS[name], tmp_path / f"{name}.{suffix}").read_bytes()
    assert content.startswith(b"%PDF" if suffix == "pdf" else b"\x89PNG")
    for word in (b"CreationDate", b"Producer", b"Software", b"/Creator", b"tIME"):
        assert word not in content
    assert list(tmp_path.iterdir()) == [tmp_path / f"{name}.{suffix}"]


def test_files_for_print_have_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from tests.reporting.test_figures import DRAWINGS; "
        "from glassbox_bt.reporting.figures import to_file; "
        "folder = pathlib.Path(sys.argv[1]); "
        "[to_file(one, folder / f'{name}.{end}') for name, one in DRAWINGS.items() for end in ('pdf', 'png')]"
    )
    folders = [tmp_path / seed for seed in ("1", "2")]
    for folder in folders:
        environment = {**os.environ, "PYTHONHASHSEED": folder.name}
        subprocess.run([sys.executable, "-c", code, str(folder)], check=True, env=environment, cwd=Path.cwd())
    names = sorted(path.name for path in folders[0].iterdir())
    assert len(names) == 2 * len(DRAWINGS)
    for name in names:
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes(), name


def test_print_names_its_lines_and_another_suffix_is_refused(tmp_path: Path) -> None:
    from glassbox_bt.reporting.figures_lines import draw_lines

    for palette, n_legends in ((PRINT, 1), (None, 0)):
        figure = Figure(figsize=PICTURE.size)
        draw_lines(figure, PICTURE, Ink(palette))
        assert len(figure.legends) == n_legends
    with pytest.raises(ContractError, match=r"ends in `\.gif`"):
        to_file(PICTURE, tmp_path / "a.gif")
