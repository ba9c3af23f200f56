"""Shares and chances of the news analyst, put right on documents that their fit did not learn from, and how good they are.

A shift and a stretch of the log-odds, fitted where outcomes and prior belief balance: they are right as they are, give or
take half a log-odd. Outcomes over 30 sessions overlap and names fall together, so 30 sessions of documents weigh as four.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize

from glassbox_bt.modules._anchor import sigmoid
from glassbox_bt.modules._news_targets import HORIZON
from glassbox_bt.types import AnyArray, FloatArray, IntArray

__all__ = ["Reliability", "entropy", "fit_map", "log_odds", "mapped", "reliability"]

DOUBT = 0.5  # prior deviation of shift and stretch
INDEPENDENT = 4.0  # documents that all those of one horizon are worth
LEAST = 1e-4
BINS = 10  # of equal mass


def log_odds(share: AnyArray) -> FloatArray:
    """Of shares kept off 0 and 1."""
    kept = np.clip(np.asarray(share, dtype=np.float64), LEAST, 1.0 - LEAST)
    return np.asarray(np.log(kept / (1.0 - kept)), dtype=np.float64)


def fit_map(odds: FloatArray, share: FloatArray, session: IntArray) -> FloatArray:
    """Shift and stretch, (2,), such that ``sigmoid(shift + stretch * odds)`` is right; (0, 1) where nothing is known.

    ``share`` may lie between 0 and 1 (D-NEWS-04: cross-entropy on a continuous target is kept, and put right here).
    """
    known = np.isfinite(odds) & np.isfinite(share)
    given, wanted = odds[known], share[known]
    if len(given) < 2:
        return np.array([0.0, 1.0])
    middle = float(given.mean())
    inputs, start = np.stack([np.ones_like(given), given - middle]), np.array([middle, 1.0])
    spans = max(len(np.unique(session[known])) / HORIZON, 1.0)
    worth = spans * min(INDEPENDENT, len(given) / spans)

    def cost(found: FloatArray) -> tuple[float, FloatArray]:
        said, moved = found @ inputs, (found - start) / DOUBT
        value = np.logaddexp(0.0, said) - wanted * said
        slope = inputs @ (sigmoid(said) - wanted) / len(wanted)
        return float(worth * value.mean() + (moved @ moved) / 2.0), worth * slope + moved / DOUBT

    found = optimize.minimize(cost, start, jac=True, method="BFGS", options={"gtol": 1e-6}).x
    stretch = max(float(found[1]), 0.0)  # a map that falls would turn the order of the scores around
    return np.array([float(found[0]) - stretch * middle, stretch])


def mapped(odds: FloatArray, how: FloatArray) -> FloatArray:
    """Shares of log-odds by a `fit_map`."""
    return sigmoid(how[0] + how[1] * odds)


def entropy(chances: FloatArray) -> FloatArray:
    """Mean entropy of some chances over that of a coin, (n, k) -> (n,) in [0, 1]; 1 = nothing is known (D-NEWS-02)."""
    kept = np.clip(chances, 1e-12, 1.0 - 1e-12)
    each = -(kept * np.log(kept) + (1.0 - kept) * np.log1p(-kept)) / np.log(2.0)
    return np.asarray(each.sum(axis=1) / chances.shape[1], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Reliability:
    """Brier score of shares and its parts over 10 bins of equal mass: ``score = off - told + spread + rest``.

    Parameters
    ----------
    score : float
        Mean squared error.
    off : float
        Squared gap of mean forecast and mean outcome within bins; 0 is reliable.
    told : float
        Squared gap of the bins' mean outcomes to that of all; larger is better.
    spread : float
        Variance of the outcome: the error of a constant.
    """

    score: float
    off: float
    told: float
    spread: float
    n_documents: int

    @property
    def rest(self) -> float:
        """What forecasts and outcomes vary together within bins."""
        return self.score - self.off + self.told - self.spread


def reliability(share: FloatArray, outcome: FloatArray, year: IntArray) -> dict[str, Reliability]:
    """By calendar year of the decision, where the outcome is known (D-NEWS-04)."""
    found = {}
    known = np.isfinite(share) & np.isfinite(outcome)
    for one in np.unique(year[known]):
        mine = known & (year == one)
        said, came = share[mine], outcome[mine]
        order, off, told = np.argsort(said, kind="stable"), 0.0, 0.0
        for part in np.array_split(order, min(BINS, len(order))):
            weight = len(part) / len(order)
            off += weight * float(said[part].mean() - came[part].mean()) ** 2
            told += weight * float(came[part].mean() - came.mean()) ** 2
        found[str(one)] = Reliability(float(np.mean((said - came) ** 2)), off, told, float(came.var()), len(said))
    return found
