"""Simple models that a learned head must beat, their inputs' scaling, and the scale of scores.

A learned head here is ``anchor + residual`` (R32): the anchor is one of the linear models below on
standardised inputs, the residual a network that starts at zero. `RankScale` puts raw scores on the
scale of their own frozen distribution (R14). All arithmetic in `predict` goes column by column, so
an answer does not depend on the rows around it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.linear_model import Ridge as SklearnRidge

from glassbox_bt.errors import TrainingError
from glassbox_bt.types import AnyArray, BoolArray, FloatArray

__all__ = [
    "LinearAnchor",
    "RankScale",
    "Standardiser",
    "fit_logit",
    "fit_ridge",
    "information_coefficient",
    "sigmoid",
]

MAX_REFERENCE = 20_000  # order statistics kept by a RankScale; a longer sample is thinned evenly
MAX_SCALED = 8.0  # deviations; beyond it lies a data error rather than information


@dataclass(frozen=True, slots=True)
class Standardiser:
    """Train means and deviations of input columns; turns values into (value, known) pairs (R7).

    Parameters
    ----------
    mean, deviation : FloatArray
        (k,); NaN where the train rows held no finite value or no variation: such a column is never
        known.
    """

    mean: FloatArray
    deviation: FloatArray

    @classmethod
    def fit(cls, values: AnyArray) -> Standardiser:
        """Statistics of the finite values of each column; ``values`` is (n_rows, k)."""
        finite = np.isfinite(values)
        count = finite.sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(finite, values, 0.0).sum(axis=0, dtype=np.float64) / count
            spread = np.where(finite, values - mean, 0.0)
            deviation = np.sqrt((spread**2).sum(axis=0, dtype=np.float64) / count)
        flat = ~(deviation > 1e-12)
        return cls(np.where(flat, np.nan, mean), np.where(flat, np.nan, deviation))

    def known(self, values: AnyArray) -> BoolArray:
        """Where a value is finite and its column was seen in train; shape of ``values``."""
        return np.isfinite(values) & np.isfinite(self.mean)

    def scaled(self, values: AnyArray) -> FloatArray:
        """Standardised values, limited to ±8 deviations, 0 where not known."""
        known = self.known(values)
        out = np.zeros(values.shape, dtype=np.float64)
        np.divide(values - self.mean, self.deviation, out=out, where=known)
        out[~known] = 0.0
        return np.clip(out, -MAX_SCALED, MAX_SCALED)

    def pairs(self, values: AnyArray) -> FloatArray:
        """Scaled values and their flags side by side: (..., k) -> (..., 2k)."""
        return np.concatenate([self.scaled(values), self.known(values).astype(np.float64)], axis=-1)

    def arrays(self, prefix: str) -> dict[str, AnyArray]:
        """For `ModuleState.arrays`."""
        return {f"{prefix}.mean": self.mean, f"{prefix}.deviation": self.deviation}

    @classmethod
    def restore(cls, arrays: Mapping[str, AnyArray], prefix: str) -> Standardiser:
        """What `arrays` wrote."""
        return cls(arrays[f"{prefix}.mean"], arrays[f"{prefix}.deviation"])


@dataclass(frozen=True, slots=True)
class LinearAnchor:
    """``link(intercept + inputs · coefficients)``.

    Parameters
    ----------
    coefficients : FloatArray
        (k,), per standardised input.
    intercept : float
        The train mean of the target, or its log-odds.
    link : {"identity", "logistic"}
        ``logistic`` makes the answer a probability.
    """

    coefficients: FloatArray
    intercept: float
    link: Literal["identity", "logistic"] = "identity"

    def linear(self, inputs: AnyArray) -> FloatArray:
        """The linear predictor (log-odds under the logistic link), (n_rows, k) -> (n_rows,)."""
        out = np.full(inputs.shape[:-1], self.intercept, dtype=np.float64)
        for column, weight in enumerate(self.coefficients):
            out += weight * inputs[..., column]
        return out

    def predict(self, inputs: AnyArray) -> FloatArray:
        """The answer on the target's scale."""
        linear = self.linear(inputs)
        return linear if self.link == "identity" else 1.0 / (1.0 + np.exp(-linear))

    def contributions(self, inputs: AnyArray) -> FloatArray:
        """Each input's share of the linear predictor, (n_rows, k); the intercept is the rest."""
        return np.asarray(inputs * self.coefficients, dtype=np.float64)

    def arrays(self, prefix: str) -> dict[str, AnyArray]:
        """For `ModuleState.arrays`; the link is a matter of the module's code."""
        return {
            f"{prefix}.coefficients": self.coefficients,
            f"{prefix}.intercept": np.array([self.intercept], dtype=np.float64),
        }

    @classmethod
    def restore(
        cls,
        arrays: Mapping[str, AnyArray],
        prefix: str,
        link: Literal["identity", "logistic"] = "identity",
    ) -> LinearAnchor:
        """What `arrays` wrote."""
        return cls(arrays[f"{prefix}.coefficients"], float(arrays[f"{prefix}.intercept"][0]), link)


def fit_ridge(inputs: AnyArray, target: AnyArray, *, penalty: float = 0.1) -> LinearAnchor:
    """Ridge regression; ``penalty`` is per row, so that it means the same at every sample size.

    Minimises ``mean((y - b - Xw)²) + penalty · |w|²`` over rows with a finite target. ``inputs``
    are standardised and complete (`Standardiser.scaled`).
    """
    rows = _usable(inputs, target)
    model = SklearnRidge(alpha=penalty * int(rows.sum()), solver="cholesky")
    model.fit(inputs[rows], target[rows])
    return LinearAnchor(np.asarray(model.coef_, dtype=np.float64), float(model.intercept_))


def fit_logit(inputs: AnyArray, event: AnyArray, *, penalty: float = 0.01) -> LinearAnchor:
    """Logistic regression on events 0 and 1 (NaN = unknown), L2 penalty per row.

    Where the train rows hold one class only there is nothing to separate: the answer is the base
    rate with half an event added to either side (Jeffreys), the coefficients are zero.
    """
    rows = _usable(inputs, event)
    happened = event[rows] > 0.5
    n_rows, n_events = int(rows.sum()), int(happened.sum())
    if n_events in (0, n_rows):
        base = np.log((n_events + 0.5) / (n_rows - n_events + 0.5))
        return LinearAnchor(np.zeros(inputs.shape[-1]), float(base), "logistic")
    model = LogisticRegression(C=1.0 / (2.0 * penalty * n_rows), max_iter=1000, tol=1e-8)
    model.fit(inputs[rows], happened)
    return LinearAnchor(np.asarray(model.coef_[0], dtype=np.float64), float(model.intercept_[0]), "logistic")


def _usable(inputs: AnyArray, target: AnyArray) -> BoolArray:
    rows: BoolArray = np.isfinite(target) & np.isfinite(inputs).all(axis=-1)
    if rows.sum() < 2:
        raise TrainingError(
            f"An anchor needs at least 2 rows with a known outcome and inputs, got "
            f"{int(rows.sum())}. Give the chunk a longer train part."
        )
    return rows


@dataclass(frozen=True, slots=True)
class RankScale:
    """A frozen empirical distribution (R14).

    ``F(x)`` is the share of the reference below ``x``, ties counted half.

    Parameters
    ----------
    reference : FloatArray
        Sorted finite scores, at least one.
    """

    reference: FloatArray

    @classmethod
    def of(cls, scores: AnyArray) -> RankScale:
        """The distribution of all finite ``scores``."""
        ordered = np.sort(np.asarray(scores, dtype=np.float64)[np.isfinite(scores)])
        if ordered.size == 0:
            raise TrainingError("A rank scale needs at least one finite score, got none. Lengthen the train part.")
        if ordered.size > MAX_REFERENCE:
            ordered = ordered[np.linspace(0, ordered.size - 1, MAX_REFERENCE).round().astype(np.int64)]
        return cls(ordered)

    def rank(self, scores: AnyArray) -> FloatArray:
        """F in [0, 1], NaN where the score is NaN; use as is for risks."""
        below = np.searchsorted(self.reference, scores, side="left")
        upto = np.searchsorted(self.reference, scores, side="right")
        share = (below + upto) / (2.0 * self.reference.size)
        return np.where(np.isfinite(scores), share, np.nan)

    def signal(self, scores: AnyArray) -> FloatArray:
        """``2F - 1`` in [-1, 1]; positive = above the median of the reference."""
        return 2.0 * self.rank(scores) - 1.0

    def arrays(self, prefix: str) -> dict[str, AnyArray]:
        """For `ModuleState.arrays`."""
        return {f"{prefix}.reference": self.reference}

    @classmethod
    def restore(cls, arrays: Mapping[str, AnyArray], prefix: str) -> RankScale:
        """What `arrays` wrote."""
        return cls(arrays[f"{prefix}.reference"])


def sigmoid(logits: FloatArray) -> FloatArray:
    """Logistic function that does not overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logits)), dtype=np.float64)


def information_coefficient(score: AnyArray, outcome: AnyArray) -> float:
    """Spearman correlation of the rows where both are finite.

    0.0 where fewer than 10 such rows remain or either does not vary.
    """
    both = np.isfinite(score) & np.isfinite(outcome)
    if both.sum() < 10:
        return 0.0
    ranks = [RankScale.of(one[both]).rank(one[both]) - 0.5 for one in (score, outcome)]
    scale = float(np.sqrt((ranks[0] ** 2).sum() * (ranks[1] ** 2).sum()))
    return 0.0 if scale <= 1e-12 else float((ranks[0] * ranks[1]).sum() / scale)
