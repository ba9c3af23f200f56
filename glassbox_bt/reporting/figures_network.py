"""Who influences whom on one day: names on a circle, in the order given, an arrow from each influencer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from glassbox_bt.errors import ContractError
from glassbox_bt.reporting.figures_ink import Ink
from glassbox_bt.reporting.figures_lines import percent_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Edge", "Network", "Node", "draw_network"]

TEXT = 9.0  # points
LETTER = 0.098  # inches of a capital, for the names around the circle
LABEL = 1.12  # where a name starts, of the radius
ROOM = 1.42  # half of the drawing, of the radius, at least
SMALLEST, LARGEST = 0.035, 0.085  # radius of a node, of the circle's
FAINTEST = 0.08  # opacity of a chance of nothing
THINNEST, THICKEST = 0.3, 1.7  # points of an arrow
BEND = 0.3  # how far an arrow keeps from the centre, of the way there
KEY = (0.0, 0.5, 1.0)  # chances in the key, of the largest


@dataclass(frozen=True, slots=True)
class Node:
    """A name and its stated chance, in [0, 1]."""

    name: str
    chance: float


@dataclass(frozen=True, slots=True)
class Edge:
    """The influence of one name on another, by their places among the nodes; ``weight`` in (0, 1]."""

    source: int
    target: int
    weight: float


@dataclass(frozen=True, slots=True)
class Network:
    """Names on a circle; places are the same wherever the order of names is.

    Parameters
    ----------
    nodes : tuple[Node, ...]
        Clockwise from the top, at least two.
    edges : tuple[Edge, ...]
        Arrows; thickness grows with weight.
    largest, heaviest : float
        Chance that is drawn darkest, weight that is drawn thickest: those of all pictures that are to be compared.

    Raises
    ------
    ContractError
        If there are fewer than two names, an arrow leads to a name that is not there, or a chance lies outside [0, 1].
    """

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    largest: float
    heaviest: float
    width: float = 3.8
    height: float = 4.15

    def __post_init__(self) -> None:
        if len(self.nodes) < 2:
            raise ContractError(f"A network needs two names, got {len(self.nodes)}. Say in words that there is none.")
        if any(not 0.0 <= node.chance <= 1.0 for node in self.nodes):
            raise ContractError(f"Chances lie in [0, 1], got {max(node.chance for node in self.nodes)}.")
        places = range(len(self.nodes))
        for edge in self.edges:
            if edge.source not in places or edge.target not in places or edge.source == edge.target:
                raise ContractError(f"An arrow leads from {edge.source} to {edge.target} among {len(places)} names.")

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in inches."""
        return self.width, self.height

    @property
    def room(self) -> float:
        """Half of the drawing in radii, so that the longest name fits."""
        longest = LETTER * max(len(node.name) for node in self.nodes)
        return max(ROOM, LABEL * self.width / max(self.width - 2.0 * longest, 0.3 * self.width))

    def place(self, node: int) -> tuple[float, float]:
        """Where a node stands on the circle of radius 1."""
        angle = _angle(node, len(self.nodes))
        return math.cos(angle), math.sin(angle)


def draw_network(figure: Figure, picture: Network, ink: Ink) -> None:
    """Draw on an empty figure of the size of ``picture``."""
    below = (picture.height - picture.width) / picture.height
    axes = figure.add_axes((0.0, below, 1.0, 1.0 - below))
    axes.set_axis_off()
    axes.set_xlim(-picture.room, picture.room)
    axes.set_ylim(-picture.room, picture.room)
    for edge in sorted(picture.edges, key=lambda one: (one.weight, one.source, one.target)):
        _arrow(axes, picture, edge, ink)
    for number, node in enumerate(picture.nodes):
        _disc(axes, picture.place(number), _share(node.chance, picture.largest), ink)
        _name(axes, _angle(number, len(picture.nodes)), node.name, ink)
    _key(figure, picture, below, ink)


def _angle(node: int, of: int) -> float:
    return math.pi / 2.0 - 2.0 * math.pi * node / of


def _share(value: float, largest: float) -> float:
    return min(1.0, value / largest) if largest > 0.0 else 0.0


def _radius(share: float) -> float:
    return SMALLEST + (LARGEST - SMALLEST) * share


def _disc(axes: Axes, at: tuple[float, float], share: float, ink: Ink, scale: float = 1.0) -> None:
    """A disc of the page's colour under one that is darker the larger the chance."""
    from matplotlib.patches import Circle

    radius = scale * _radius(share)
    axes.add_patch(Circle(at, radius, facecolor=ink("--page"), edgecolor="none", zorder=4))
    opacity = FAINTEST + (1.0 - FAINTEST) * share
    axes.add_patch(Circle(at, radius, facecolor=ink("--rival-1"), edgecolor="none", alpha=opacity, zorder=5))
    axes.add_patch(Circle(at, radius, fill=False, edgecolor=ink("--ink"), linewidth=0.8, zorder=6))


def _name(axes: Axes, angle: float, name: str, ink: Ink) -> None:
    """Along the radius, upright on either side."""
    at = LABEL * math.cos(angle), LABEL * math.sin(angle)
    right = math.cos(angle) > -1e-9
    turned = math.degrees(angle) + (0.0 if right else 180.0)
    axes.text(
        *at, name, rotation=round(turned, 3) % 360.0, rotation_mode="anchor", ha="left" if right else "right", va="center",
        fontsize=TEXT, color=ink("--ink"), zorder=7,
    )  # fmt: skip


def _arrow(axes: Axes, picture: Network, edge: Edge, ink: Ink) -> None:
    """A bow towards the centre, from disc to disc."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    start, end = picture.place(edge.source), picture.place(edge.target)
    middle = tuple(BEND * (one + other) / 2.0 for one, other in zip(start, end, strict=True))
    first, last = (_towards(at, middle, 1.15 * LARGEST) for at in (start, end))
    share = _share(edge.weight, picture.heaviest)
    any_path: Any = Path([first, middle, last], [Path.MOVETO, Path.CURVE3, Path.CURVE3])
    axes.add_patch(
        FancyArrowPatch(
            path=any_path, arrowstyle="-|>", mutation_scale=3.5 + 3.0 * share, color=ink("--stack"), fill=True,
            linewidth=THINNEST + (THICKEST - THINNEST) * share, alpha=0.15 + 0.5 * share, joinstyle="round", zorder=2,
        )
    )  # fmt: skip


def _towards(at: tuple[float, ...], to: tuple[float, ...], by: float) -> tuple[float, float]:
    x, y = to[0] - at[0], to[1] - at[1]
    length = math.hypot(x, y) or 1.0
    return at[0] + by * x / length, at[1] + by * y / length


def _key(figure: Figure, picture: Network, below: float, ink: Ink) -> None:
    """What the discs mean, below the circle."""
    axes = figure.add_axes((0.0, 0.0, 1.0, below))
    axes.set_axis_off()
    axes.set_xlim(-picture.room, picture.room)
    high = picture.room * below / (1.0 - below)
    axes.set_ylim(-high, high)
    for place, share in enumerate(KEY):
        left = (-1.05 + 0.66 * place) * picture.room / ROOM
        _disc(axes, (left, 0.0), share, ink)
        axes.text(
            left + 0.13,
            0.0,
            percent_of(round(share * picture.largest, 3)),
            ha="left",
            va="center",
            fontsize=TEXT,
            color=ink("--ink"),
        )
    axes.text(0.86 * picture.room / ROOM, 0.0, "chance", ha="left", va="center", fontsize=TEXT, color=ink("--quiet"))
