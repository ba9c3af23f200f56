"""What the sentiment analyst learns: the reaction of the price to a document (spec §4), on thresholds of train."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from glassbox_bt.types import AnyArray, FloatArray, IntArray

__all__ = ["HORIZON", "LABEL", "SentimentTargets"]

LABEL = "forward_excess_log_return_10d"
HORIZON = 10  # sessions


@dataclass(frozen=True, slots=True)
class SentimentTargets:
    """Thresholds fitted on the purged fitting rows alone (D-LAB-01), one document one outcome (D-LAB-02).

    Parameters
    ----------
    low, high : float
        Quantiles 0.33 and 0.67 of the excess log return over 10 sessions.
    scale : float
        Quantile 0.95 of its size.
    first, last : int
        Sessions of the first and the last document they were fitted on.
    n_documents : int
        How many those were.
    """

    low: float
    high: float
    scale: float
    first: int
    last: int
    n_documents: int

    @classmethod
    def fit(cls, excess: FloatArray, document: IntArray, session: IntArray) -> SentimentTargets:
        """From known outcomes by chunk."""
        one = np.unique(document, return_index=True)[1]
        low, high = np.quantile(excess[one], [0.33, 0.67])
        scale = float(np.quantile(np.abs(excess[one]), 0.95))
        return cls(float(low), float(high), max(scale, 1e-6), int(session.min()), int(session.max()), len(one))

    def score(self, excess: FloatArray) -> FloatArray:
        """``tanh(excess / scale)`` in (-1, 1)."""
        return np.asarray(np.tanh(excess / self.scale), dtype=np.float64)

    def classes(self, excess: FloatArray) -> IntArray:
        """0 at or below the lower threshold, 2 at or above the upper one, else 1."""
        return np.where(excess <= self.low, 0, np.where(excess >= self.high, 2, 1)).astype(np.int64)

    def magnitude(self, excess: FloatArray) -> FloatArray:
        """Size of the score's target, in [0, 1)."""
        return np.abs(self.score(excess))

    def arrays(self) -> dict[str, AnyArray]:
        """For `ModuleState.arrays`."""
        where = np.array([self.first, self.last, self.n_documents], dtype=np.int64)
        return {"targets.thresholds": np.array([self.low, self.high, self.scale]), "targets.fitted_on": where}

    @classmethod
    def restore(cls, arrays: Mapping[str, AnyArray]) -> SentimentTargets:
        """What `arrays` wrote."""
        low, high, scale = arrays["targets.thresholds"].tolist()
        first, last, n_documents = arrays["targets.fitted_on"].tolist()
        return cls(low, high, scale, first, last, n_documents)
