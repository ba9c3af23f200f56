"""Days as rows of the regime network: gathered when needed, and asked in fixed blocks (R13)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from glassbox_bt.modules._anchor import Standardiser
from glassbox_bt.modules._blocks import Batch, predict_rows
from glassbox_bt.modules._regime_inputs import Panel
from glassbox_bt.modules._regime_network import answered, measured
from glassbox_bt.types import AnyArray, Float32Array, FloatArray, IntArray

__all__ = ["DayGraphs", "RegimeRows", "Said", "ask"]

DAYS = 8  # asked at once; with names padded to a multiple of 8 that is blocks of 64


@dataclass(frozen=True, slots=True, eq=False)
class DayGraphs:
    """The snapshot's correlations behind each day of a panel.

    Parameters
    ----------
    tables : tuple of Float32Array
        Each (n_assets, n_assets).
    of_day : IntArray
        Which one a day uses, (n_days,); -1 on days without an answer.
    """

    tables: tuple[Float32Array, ...]
    of_day: IntArray

    @classmethod
    def of(cls, panel: Panel) -> DayGraphs:
        """All that the panel's days need."""
        of_day = np.full(len(panel), -1, dtype=np.int64)
        tables: list[Float32Array] = []
        for run, table in panel.snapshots(np.flatnonzero(panel.answerable)):
            of_day[run] = len(tables)
            tables.append(table)
        return cls(tuple(tables), of_day)


@dataclass(frozen=True, slots=True, eq=False)
class RegimeRows:
    """Some days of a panel as a `RowSource`.

    Parameters
    ----------
    picked : IntArray
        Positions of the days, (n_rows,).
    scaler : Standardiser
        Of the embeddings; None where nobody looks at them.
    state : FloatArray
        Market inputs of every day of the panel, (n_days, k).
    n_names : int
        Names that every day is padded to.
    extras : Mapping[str, FloatArray]
        More arrays by day of the panel.
    """

    panel: Panel
    graphs: DayGraphs
    picked: IntArray
    scaler: Standardiser | None
    state: FloatArray
    n_names: int
    extras: Mapping[str, FloatArray]

    def __len__(self) -> int:
        return int(self.picked.shape[0])

    def take(self, rows: IntArray, rng: np.random.Generator) -> Mapping[str, AnyArray]:  # noqa: ARG002
        """``names, pairs, valid, state`` and the extras; the names of a day come first, in the order of their tickers."""
        days, n = self.picked[rows], self.n_names
        out: dict[str, AnyArray] = {
            "names": np.zeros((len(rows), n, self.panel.embedding.shape[-1]), dtype=np.float32),
            "pairs": np.zeros((len(rows), n, n), dtype=np.float32),
            "valid": np.zeros((len(rows), n), dtype=bool),
            "state": self.state[days].astype(np.float32),
        }
        for row, day in enumerate(days):
            nodes = np.flatnonzero(self.panel.node[day])
            if self.scaler is not None:
                out["names"][row, : len(nodes)] = self.scaler.scaled(self.panel.embedding[day, nodes])
            out["pairs"][row, : len(nodes), : len(nodes)] = self.graphs.tables[self.graphs.of_day[day]][np.ix_(nodes, nodes)]
            out["valid"][row, : len(nodes)] = True
        return out | {name: values[days].astype(np.float32) for name, values in self.extras.items()}


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """What the network said of each day of a panel; NaN on days that were not asked.

    ``regime`` (n_days, 4), ``change`` (n_days,), ``properties`` (n_days, 7).
    """

    regime: FloatArray
    change: FloatArray
    properties: FloatArray


def ask(network: nn.Module | None, panel: Panel, graphs: DayGraphs, scaler: Standardiser | None, state: FloatArray) -> Said:
    """The network's answers, each day in a block whose size depends on its own names only.

    Without a network there are no residuals, and the properties are those of the measured graph.
    """
    regime, change, said = np.full((len(panel), 4), np.nan), np.full(len(panel), np.nan), np.full((len(panel), 7), np.nan)
    for picked, n_names in _alike(panel, graphs):
        rows = RegimeRows(panel, graphs, picked, scaler, state, n_names, {})

        if network is None:
            (said[picked],) = predict_rows(measured, rows, block=DAYS)
            continue
        answer: Callable[[Batch], tuple[Tensor, ...]] = lambda batch: answered(network, batch)[:3]  # noqa: E731
        found = predict_rows(answer, rows, block=DAYS)
        regime[picked], change[picked], said[picked] = found[0], found[1][:, 0], found[2]
    return Said(regime, change, said)


def _alike(panel: Panel, graphs: DayGraphs) -> Iterator[tuple[IntArray, int]]:
    """Days with as many names, padded to a multiple of 8."""
    padded = -(-panel.node.sum(axis=1) // DAYS) * DAYS
    for n_names in np.unique(padded[graphs.of_day >= 0]):
        yield np.flatnonzero((graphs.of_day >= 0) & (padded == n_names)), int(n_names)
