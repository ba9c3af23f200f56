"""Days as rows of the network: gathered when needed, padded to one number of names, and asked in fixed blocks (R13)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from glassbox_bt.modules._blocks import BLOCK, Batch, predict_rows
from glassbox_bt.modules._contagion_graph import PAIR_WORDS, Shape, Structure, structures
from glassbox_bt.modules._contagion_inputs import CHANNELS, Panel
from glassbox_bt.types import AnyArray, Float32Array, FloatArray, IntArray

__all__ = ["DayRows", "Graphs", "ask_days"]

DAYS = 8  # asked at once where pairs lie in a table; with names padded to a multiple of 8 that is blocks of 64


@dataclass(frozen=True, slots=True, eq=False)
class Graphs:
    """The structures of a panel's days.

    Parameters
    ----------
    found : tuple of Structure
        In the order of the days.
    of_day : IntArray
        Which one a day uses, (n_days,); -1 on days without a usable name.
    """

    found: tuple[Structure, ...]
    of_day: IntArray

    @classmethod
    def of(cls, panel: Panel, shape: Shape) -> Graphs:
        """All that the panel's days need."""
        of_day = np.full(len(panel), -1, dtype=np.int64)
        found: list[Structure] = []
        for structure, served in structures(panel, shape):
            of_day[served] = len(found)
            found.append(structure)
        return cls(tuple(found), of_day)

    def picked(self, days: IntArray) -> Graphs:
        """Those of some of the days."""
        return Graphs(self.found, self.of_day[days])

    def runs(self) -> Iterator[tuple[Structure, IntArray]]:
        """Each structure with the days that use it."""
        for number, structure in enumerate(self.found):
            served = np.flatnonzero(self.of_day == number)
            if len(served):
                yield structure, served


@dataclass(frozen=True, slots=True, eq=False)
class DayRows:
    """Days of a panel as a `RowSource`: windows, pairs and whatever else is given by day and name.

    Parameters
    ----------
    picked : IntArray
        Positions of the days in the panel, (n_rows,).
    n_names : int
        Names that every day is padded to.
    extras : Mapping[str, FloatArray]
        More arrays by day and name of the panel, (n_days, n_assets, ...); padded with NaN.
    """

    panel: Panel
    graphs: Graphs
    picked: IntArray
    n_names: int
    extras: Mapping[str, FloatArray]

    @classmethod
    def of(cls, panel: Panel, graphs: Graphs, picked: IntArray, extras: Mapping[str, FloatArray]) -> DayRows:
        """Padded to the day with most names."""
        used = {int(number) for number in graphs.of_day[picked]}
        widest = max((len(graphs.found[number].nodes) for number in used), default=0)
        return cls(panel, graphs, picked, widest, extras)

    def __len__(self) -> int:
        return int(self.picked.shape[0])

    def take(self, rows: IntArray, rng: np.random.Generator) -> Mapping[str, AnyArray]:  # noqa: ARG002
        """``window, pairs, allowed`` (and ``near``), names and neighbours padded; unusable names influence nobody."""
        days = self.picked[rows]
        built = [self.graphs.found[number] for number in self.graphs.of_day[days]]
        listed = any(one.near is not None for one in built)
        width = max(one.near.shape[1] for one in built if one.near is not None) if listed else self.n_names
        shape = (len(rows), self.n_names, width)
        out: dict[str, AnyArray] = {
            "window": np.zeros((len(rows), self.n_names, self.panel.look.window, CHANNELS), dtype=np.float32),
            "pairs": np.zeros((*shape, len(PAIR_WORDS)), dtype=np.float32),
            "allowed": np.zeros(shape, dtype=bool),
        }
        if listed:
            out["near"] = np.zeros(shape, dtype=np.int64)
        for name, values in self.extras.items():
            out[name] = np.full((len(rows), self.n_names, *values.shape[2:]), np.nan, dtype=np.float32)
        windows = self.panel.windows(days)
        for row, (day, structure) in enumerate(zip(days, built, strict=True)):
            usable = self.panel.usable[day, structure.nodes]
            out["window"][row, : len(usable)] = windows[row, structure.nodes] * usable[:, None, None]
            self._fill(out, row, int(day), structure)
        return out

    def _fill(self, out: dict[str, AnyArray], row: int, day: int, structure: Structure) -> None:
        nodes, n = structure.nodes, len(structure.nodes)
        usable = self.panel.usable[day, nodes]
        m = structure.allowed.shape[1]
        out["pairs"][row, :n, :m] = structure.pairs
        source = usable[None, :] if structure.near is None else usable[structure.near]
        out["allowed"][row, :n, :m] = structure.allowed & source & usable[:, None]
        if structure.near is not None:
            out["near"][row, :n, :m] = structure.near
        for name, values in self.extras.items():
            out[name][row, :n] = np.where(usable.reshape(-1, *(1,) * (values.ndim - 2)), values[day, nodes], np.nan)


def ask_days(
    ask: Callable[[Batch], tuple[Tensor, Tensor]], panel: Panel, graphs: Graphs
) -> Iterator[tuple[IntArray, Structure, Float32Array, Float32Array]]:
    """Answers (n_days, n, horizons) and weights (n_days, n, m) of each run of days that share a structure.

    A day is asked in a block whose size depends on its own names only, so its answer depends on nothing else.
    """
    for structure, picked in graphs.runs():
        n, m = structure.allowed.shape
        listed = structure.near is not None
        padded = -(-n // BLOCK) * BLOCK if listed else -(-n // DAYS) * DAYS
        rows = DayRows(panel, graphs, picked, padded, {})
        said, weights = predict_rows(ask, rows, block=1 if listed else DAYS)
        yield picked, structure, said[:, :n], weights[:, :n, :m]
