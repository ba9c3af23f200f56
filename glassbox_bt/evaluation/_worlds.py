"""A sample beside the many paths that its days could have made: what `intervals` asks of either."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from glassbox_bt.evaluation._measures import (
    CODES,
    HOLDINGS,
    INPUTS,
    block_sums,
    columns_for,
    deepest_falls,
    gaps_of_draws,
    influence,
    values_of_draws,
)
from glassbox_bt.evaluation._resampling import Days, Paths, block_for, holdings_paths, return_paths, standardised
from glassbox_bt.evaluation._spread import Draws, Scale, Spread, spread_of
from glassbox_bt.portfolio.metrics import SESSIONS_PER_YEAR
from glassbox_bt.types import FloatArray, IntArray

__all__ = ["World", "world_of"]

UNDIVIDED = ("annual_return",)  # calm samples understate the error of a mean; in a difference of two that cancels
ERROR_BLOCK = 20  # sessions, a month: the shortest block whose sums give a standard error
CONCENTRATED = 1 / 8  # of the blocks; normal values that do not depend on each other weigh as a third of them


def world_of(sides: tuple[Days, ...], measure: str, n_boot: int, key: str) -> World:
    """The world of one strategy, or of two on the same days, that serves a measure."""
    return _world(sides, measure in HOLDINGS, n_boot, key)


@dataclass(frozen=True, slots=True)
class World:
    """One strategy or two: the days of the sample, and resampled paths.

    Parameters
    ----------
    sides : tuple[Days, ...]
        The sample.
    block : int
        Sessions per block.
    paths : Sequence[Paths]
        Of each side, on the same resampled days.
    """

    sides: tuple[Days, ...]
    block: int
    paths: Sequence[Paths]

    @property
    def lengths(self) -> IntArray:
        """Sessions of each part."""
        return np.array(self.sides[0].lengths)

    def spread(self, estimate: float, measure: str, scale: Scale) -> Spread | str:
        """How far a measure of one side, or its difference between two, strays from the truth; or why that is not known."""
        if measure not in CODES:
            ordered: FloatArray = np.subtract.reduce([_ordered(paths, measure, self.lengths) for paths in self.paths])
            return spread_of(Draws(estimate, ordered, self._n_blocks, None), scale)
        count, n_blocks = self._weighty_blocks(measure)
        few = count < CONCENTRATED * n_blocks
        if few and measure in HOLDINGS and len(self.sides) == 1:
            return f"its variation is in {count:.1f} of {n_blocks} blocks of days"
        whole = [{name: paths[name].reshape(1, -1) for name in INPUTS[measure]} for paths in self.paths]
        values, errors = self._values(measure, self.paths, self.lengths)
        truth = float(self._values(measure, whole, np.array([len(values) * self.lengths.sum()]))[0][0])
        as_they_are = few if len(self.sides) == 2 else measure in UNDIVIDED
        if as_they_are:
            return spread_of(Draws(estimate, values, self._n_blocks, truth), scale)
        sample = [{name: side.column(name)[np.newaxis] for name in INPUTS[measure]} for side in self.sides]
        error = float(self._values(measure, sample, self.lengths)[1][0])
        return spread_of(Draws(estimate, values, self._n_blocks, truth, error, errors), scale)

    @property
    def _error_block(self) -> int:
        return max(self.block, min(ERROR_BLOCK, int(self.lengths.min()) // 3))

    @property
    def _n_blocks(self) -> float:
        return float(self.lengths.sum()) / self.block

    def _values(self, measure: str, paths: Sequence[Paths], lengths: IntArray) -> tuple[FloatArray, FloatArray]:
        """The measure of one side, or its difference between two, and the standard error, on each path."""
        columns = [column for one in paths for column in columns_for(measure, one)]
        if len(columns) == 2:
            return values_of_draws(CODES[measure], columns[0], columns[1], lengths, self._error_block)
        return gaps_of_draws(CODES[measure], (columns[0], columns[1], columns[2], columns[3]), lengths, self._error_block)

    def _weighty_blocks(self, measure: str) -> tuple[float, int]:
        """How many blocks of equal weight would vary as much as the blocks of the sample, and how many blocks there are."""
        psi = np.subtract.reduce([_influence(side, measure) for side in self.sides])
        squares = block_sums(psi, self.lengths, self._error_block) ** 2
        total = float(squares.sum())
        return (total**2 / float((squares**2).sum()) if total > 0.0 else math.inf), len(squares)


@lru_cache(maxsize=2)  # all measures of one sample, of what it earned and of what it held
def _world(sides: tuple[Days, ...], holdings: bool, n_boot: int, key: str) -> World:
    if holdings:
        held = tuple(side.held() for side in sides)
        block = block_for([_influence(side, name) for side in held for name in HOLDINGS], held[0].lengths)
        return World(held, block, holdings_paths(held, block, n_boot, f"{key}/holdings"))
    block = block_for([standardised(side) for side in sides], sides[0].lengths)
    return World(sides, block, return_paths(sides, block, n_boot, f"{key}/returns"))


def _influence(days: Days, measure: str) -> FloatArray:
    first, second = INPUTS[measure]
    return influence(CODES[measure], days.column(first), days.column(second))


def _ordered(paths: Paths, measure: str, lengths: IntArray) -> FloatArray:
    """Maximum drawdown or Calmar of each path."""
    deepest: FloatArray = deepest_falls(paths["return"], lengths)
    if measure == "max_drawdown":
        return deepest
    growth: FloatArray = np.expm1(SESSIONS_PER_YEAR * paths["log_return"].mean(axis=1))
    ratio: FloatArray = np.divide(growth, -deepest, out=np.full(len(deepest), np.nan), where=deepest < 0.0)
    return ratio
