"""Regime chances put right against outcomes that their fit did not learn from.

The logs of the chances are stretched and each regime is shifted to where outcomes and prior belief balance. Believed is that
they are right as they are, give or take a tenth: they were learned by log loss without weights, and a hold-out or a year of
validation holds a spell or two of each regime, so what it says of their frequency does not last. With a doubt of 0.3 the
next year was told worse than without any calibration as often as better, by up to 0.1 nats. Outcomes over 20 sessions
overlap, so 20 sessions weigh as one observation. What was put right on validation acts on test only (R5).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import optimize

from glassbox_bt.market.regime_labels import AHEAD, REGIMES
from glassbox_bt.modules._regime_anchor import IMPOSSIBLE, normalised_logs
from glassbox_bt.types import AnyArray, FloatArray

__all__ = ["RegimeMap", "fit_map", "logs_of"]

N = len(REGIMES)
DOUBT = 0.1  # prior deviation of stretch and shifts
LEAST = 1e-4  # chances nearer to 0 count as this, unless the regime cannot be named at all


@dataclass(frozen=True, slots=True, eq=False)
class RegimeMap:
    """``softmax(stretch · log chance + shift)``; (1,) and (4,)."""

    stretch: FloatArray
    shift: FloatArray

    @classmethod
    def identity(cls) -> RegimeMap:
        """Changes nothing."""
        return cls(np.ones(1), np.zeros(N))

    def apply(self, chances: FloatArray) -> FloatArray:
        """Chances (n_days, 4) put right; what cannot be stays 0, NaN stays NaN."""
        logs = logs_of(chances)
        moved = np.where(logs != IMPOSSIBLE, self.stretch[0] * logs + self.shift, IMPOSSIBLE)
        return np.where(logs != IMPOSSIBLE, np.exp(normalised_logs(moved)), 0.0)

    def arrays(self, prefix: str) -> dict[str, AnyArray]:
        """For `ModuleState.arrays`."""
        return {f"{prefix}.stretch": self.stretch, f"{prefix}.shift": self.shift}

    @classmethod
    def restore(cls, arrays: Mapping[str, AnyArray], prefix: str) -> RegimeMap:
        """What `arrays` wrote."""
        return cls(arrays[f"{prefix}.stretch"], arrays[f"{prefix}.shift"])


def logs_of(chances: FloatArray) -> FloatArray:
    """Logs of chances kept off 0; `IMPOSSIBLE` where a chance is exactly 0."""
    return np.where(chances == 0.0, IMPOSSIBLE, np.log(np.clip(chances, LEAST, 1.0)))


def fit_map(chances: FloatArray, outcomes: FloatArray) -> RegimeMap:
    """The most likely map a posteriori of known rows; the identity without any.

    Parameters
    ----------
    chances, outcomes : FloatArray
        (n_days, 4), and codes (n_days,), NaN = unknown.
    """
    known = np.isfinite(outcomes) & np.isfinite(chances).all(axis=1)
    logs, code = logs_of(chances[known]), outcomes[known].astype(np.int64)
    possible = (logs > IMPOSSIBLE).any(axis=0) if len(logs) else np.zeros(N, dtype=bool)
    reached = np.isin(code, np.flatnonzero(possible))
    logs, wanted = logs[reached], np.eye(N)[code[reached]]
    if not len(logs):
        return RegimeMap.identity()
    worth = max(len(logs) / AHEAD, 1.0)

    def cost(found: FloatArray) -> tuple[float, FloatArray]:
        said = normalised_logs(np.where(logs > IMPOSSIBLE, (1.0 + found[0]) * logs + found[1:], IMPOSSIBLE))
        error = (np.exp(said) - wanted) / len(logs)
        slope = np.append((error * np.where(logs > IMPOSSIBLE, logs, 0.0)).sum(), error.sum(axis=0))
        prior = found / DOUBT
        return float(-worth * (wanted * said).sum() / len(logs) + prior @ prior / 2.0), worth * slope + prior / DOUBT

    found = np.asarray(optimize.minimize(cost, np.zeros(1 + N), jac=True, method="L-BFGS-B").x, dtype=np.float64)
    return RegimeMap(np.array([max(1.0 + found[0], 0.0)]), np.where(possible, found[1:], 0.0))
