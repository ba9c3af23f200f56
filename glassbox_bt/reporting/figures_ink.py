"""What every drawing shares: how a strategy looks, and which colour stands for which variable of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from glassbox_bt.errors import ContractError

__all__ = ["LOOKS", "PRINT", "Ink", "Look", "look_of"]


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

# The page's colours on paper, where no style sheet reaches.
PRINT: Mapping[str, str] = MappingProxyType(
    {
        "--ink": "#1d2328",
        "--quiet": "#5b646b",
        "--rule": "#d3d7d3",
        "--panel": "#f0f1ee",
        "--page": "#ffffff",
        "--stack": "#0067a5",
        "--rival-1": "#c04a00",
        "--rival-2": "#8a6d00",
        "--rival-3": "#00795a",
        "--rival-4": "#b0508a",
        "--rival-5": "#6a4fa3",
        "--rival-6": "#7a4a1e",
    }
)


def look_of(strategy: str, others: Sequence[str] = ()) -> Look:
    """The look of ``strategy``; one that LOOKS does not list takes the next free one, by its place in ``others``."""
    if strategy in LOOKS:
        return LOOKS[strategy]
    if strategy not in others:
        raise ContractError(f"`{strategy}` has no look. List it in `others`.")
    return OTHER_LOOKS[list(others).index(strategy) % len(OTHER_LOOKS)]


@dataclass(frozen=True, slots=True)
class Ink:
    """The colour of a CSS variable: that of the palette or, without one, a stand-in until the drawing is written.

    Parameters
    ----------
    palette : Mapping[str, str], optional
        Colour by variable, for print.
    used : dict[str, str]
        Stand-in by variable, in the order of asking; empty where there is a palette.
    """

    palette: Mapping[str, str] | None = None
    used: dict[str, str] = field(default_factory=dict)

    def __call__(self, variable: str) -> str:
        if self.palette is not None:
            return self.palette[variable]
        if variable not in self.used:
            self.used[variable] = f"#fe{len(self.used):02x}01"
        return self.used[variable]
