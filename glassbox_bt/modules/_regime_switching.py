"""Two-state Markov switching (Hamilton 1989): a rival of the regime module, on the benchmark's daily returns alone.

Each state has a mean and a deviation; the chain stays with fixed probabilities. The four parameters of the states and two of
the chain are fitted by expectation-maximisation on train returns. A filtered probability uses the year of returns up to
its day, started from the chain's long-run shares; later returns are never smoothed in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numba import njit

from glassbox_bt.types import AnyArray, FloatArray

__all__ = ["Switching", "fit_switching"]

ROUNDS = 100
LEAST_DEVIATION = 1e-5
STAYS = (0.5, 0.9995)  # range of the chance to stay


@dataclass(frozen=True, slots=True, eq=False)
class Switching:
    """A fitted chain; the second state is the wilder one.

    Parameters
    ----------
    mean, deviation, stay : FloatArray
        Daily, and the chance of staying from one session to the next; (2,) each.
    """

    mean: FloatArray
    deviation: FloatArray
    stay: FloatArray

    def filtered(self, windows: FloatArray) -> FloatArray:
        """Probability of the wild state at the end of each window of returns (n_days, sessions), NaN = not observed."""
        return np.asarray(_filtered(np.ascontiguousarray(windows), self.mean, self.deviation, self.stay))

    def ahead(self, wild: FloatArray, sessions: int) -> FloatArray:
        """Expected share of the next ``sessions`` in the wild state, given today's probability; (n_days,)."""
        leave, enter = 1.0 - self.stay[1], 1.0 - self.stay[0]
        settled = enter / (enter + leave)
        fade = 1.0 - enter - leave
        mean_fade = sum(fade**step for step in range(1, sessions + 1)) / sessions
        return np.asarray(settled + (wild - settled) * mean_fade, dtype=np.float64)

    def arrays(self, prefix: str) -> dict[str, AnyArray]:
        """For `ModuleState.arrays`."""
        return {f"{prefix}.{name}": getattr(self, name) for name in ("mean", "deviation", "stay")}

    @classmethod
    def restore(cls, arrays: Mapping[str, AnyArray], prefix: str) -> Switching:
        """What `arrays` wrote."""
        return cls(*(arrays[f"{prefix}.{name}"] for name in ("mean", "deviation", "stay")))


def fit_switching(returns: FloatArray) -> Switching:
    """Parameters of the train returns (n_sessions,), oldest first; unobserved sessions are left out.

    Where the returns do not vary, both states are the same and nothing is told apart.
    """
    seen = np.ascontiguousarray(returns[np.isfinite(returns)])
    deviation = max(float(seen.std()), LEAST_DEVIATION) if len(seen) else 1.0
    mean, scale = np.full(2, float(seen.mean()) if len(seen) else 0.0), deviation * np.array([0.7, 1.6])
    stay = np.array([0.98, 0.95])
    if len(seen) < 20 or deviation <= LEAST_DEVIATION:
        return Switching(mean, np.full(2, deviation), stay)
    for _ in range(ROUNDS):
        mean, scale, stay = _improved(seen, mean, scale, stay)
    order = np.argsort(scale, kind="stable")
    return Switching(mean[order], scale[order], stay[order])


@njit(cache=True)
def _density(value: float, mean: float, deviation: float) -> float:
    z = (value - mean) / deviation
    return float(np.exp(-0.5 * min(z * z, 1000.0)) / deviation) + 1e-300


@njit(cache=True)
def _settled(stay: FloatArray) -> float:
    """Long-run share of the second state."""
    return float((1.0 - stay[0]) / (2.0 - stay[0] - stay[1]))


@njit(cache=True)
def _filtered(windows: FloatArray, mean: FloatArray, deviation: FloatArray, stay: FloatArray) -> FloatArray:
    out = np.full(windows.shape[0], np.nan)
    for day in range(windows.shape[0]):
        wild, seen = _settled(stay), 0
        for value in windows[day]:
            wild = wild * stay[1] + (1.0 - wild) * (1.0 - stay[0])
            if np.isfinite(value):
                seen += 1
                loud = wild * _density(value, mean[1], deviation[1])
                still = (1.0 - wild) * _density(value, mean[0], deviation[0])
                wild = loud / (loud + still)
        if seen > 0:
            out[day] = wild
    return out


@njit(cache=True)
def _improved(
    returns: FloatArray, mean: FloatArray, deviation: FloatArray, stay: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """One round of Baum and Welch."""
    n = returns.size
    chain = np.array([[stay[0], 1.0 - stay[0]], [1.0 - stay[1], stay[1]]])
    likely, forward, backward = np.empty((n, 2)), np.empty((n, 2)), np.ones((n, 2))
    size = np.empty(n)
    before = np.array([1.0 - _settled(stay), _settled(stay)])
    for day in range(n):
        for state in range(2):
            likely[day, state] = _density(returns[day], mean[state], deviation[state])
            forward[day, state] = before[state] * likely[day, state]
        size[day] = forward[day, 0] + forward[day, 1]
        forward[day] /= size[day]
        for state in range(2):
            before[state] = forward[day, 0] * chain[0, state] + forward[day, 1] * chain[1, state]
    moved, left = np.zeros((2, 2)), np.zeros(2)
    for day in range(n - 2, -1, -1):
        for state in range(2):
            total = 0.0
            for other in range(2):
                step = chain[state, other] * likely[day + 1, other] * backward[day + 1, other] / size[day + 1]
                moved[state, other] += forward[day, state] * step
                left[state] += forward[day, state] * step
                total += step
            backward[day, state] = total
    new_mean, new_deviation, new_stay = mean.copy(), deviation.copy(), stay.copy()
    for state in range(2):
        weight, total, squares = 1e-12, 0.0, 0.0
        for day in range(n):
            share = forward[day, state] * backward[day, state]
            weight += share
            total += share * returns[day]
        new_mean[state] = total / weight
        for day in range(n):
            squares += forward[day, state] * backward[day, state] * (returns[day] - new_mean[state]) ** 2
        new_deviation[state] = max(np.sqrt(squares / weight), LEAST_DEVIATION)
        new_stay[state] = min(max(moved[state, state] / max(left[state], 1e-12), STAYS[0]), STAYS[1])
    return new_mean, new_deviation, new_stay
