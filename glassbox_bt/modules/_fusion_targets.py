"""What only fusion learns from: terciles of the net return, and the share of the allowed size that paid best (R14)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glassbox_bt.modules._fusion_features import Row
from glassbox_bt.modules._outcomes import Outcomes, sigma_over_horizon
from glassbox_bt.types import BoolArray, FloatArray

__all__ = ["GRID", "TrainRows", "Utility"]

GRID = np.array([0.0, 0.25, 0.5, 0.75, 1.0])  # multipliers among which the realised utility chooses


@dataclass(frozen=True, slots=True, kw_only=True)
class Utility:
    """What a position is judged by: ``u(m) = m w r - risk_aversion/2 (m w)² σ² - m w cost`` (R14)."""

    risk_aversion: float
    cost: float  # round trip, fraction of traded value

    def best_multiplier(self, size: FloatArray, simple_return: FloatArray, sigma: FloatArray) -> FloatArray:
        """The grid value with the largest realised utility, the smallest of equals; NaN where the size is 0."""
        held = GRID[:, None] * size
        gain = held * (simple_return - self.cost) - 0.5 * self.risk_aversion * held**2 * sigma**2
        return np.where(size > 0.0, GRID[np.argmax(gain, axis=0)], np.nan)


@dataclass(frozen=True, slots=True)
class TrainRows:
    """Rows with a known outcome, and what they teach the two heads that only fusion has.

    ``action`` are train terciles of the net return (0, 1, 2), parted at the two ``edges``, which are stated
    before costs; ``multiplier`` is NaN where nothing may be held.
    """

    rows: Row
    outcomes: Outcomes
    action: FloatArray
    multiplier: FloatArray
    edges: FloatArray

    @classmethod
    def of(cls, rows: Row, outcomes: Outcomes, labels: tuple[FloatArray, ...], utility: Utility) -> TrainRows:
        """``labels`` are the values of `LABELS` for all rows that `Outcomes.of` was given."""
        usable = outcomes.usable
        kept = {name: values[usable] for name, values in rows.items()}
        simple, sigma = np.expm1(labels[0][usable]), sigma_over_horizon(labels[1][usable])
        edges = np.quantile(simple[outcomes.fitting] - utility.cost, [1 / 3, 2 / 3])
        action = np.searchsorted(edges, simple - utility.cost, side="left").astype(np.float64)
        size = kept["position_sizing.recommended_capital_fraction"]
        return cls(kept, outcomes, action, utility.best_multiplier(size, simple, sigma), edges + utility.cost)

    def part(self, mask: BoolArray) -> Row:
        """The rows of a mask."""
        return {name: values[mask] for name, values in self.rows.items()}
