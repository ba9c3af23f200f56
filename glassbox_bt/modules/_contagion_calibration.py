"""Probabilities put right against outcomes that their fit did not learn from (D-STM-06).

Platt: the log-odds are stretched and shifted to where outcomes and prior belief balance. Believed is that they are right as
they are, give or take half a log-odd: years differ in how many extreme losses they hold, and a short sample tells little
more than that. Outcomes over *h* sessions overlap and names fall together, so *h* sessions of a market count as four
outcomes, however many names it has. Isotonic: the best rising step function, joined by straight lines; for long samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import optimize
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import average_precision_score

from glassbox_bt.modules._anchor import LinearAnchor
from glassbox_bt.types import AnyArray, FloatArray

__all__ = ["Calibration", "CalibrationKind", "average_precision", "fit_calibration", "log_odds"]

CalibrationKind = Literal["platt", "isotonic", "none"]
DOUBT = 0.5  # prior deviation of shift (log-odds) and stretch
INDEPENDENT = 4.0  # outcomes that all names of a market together are worth over one horizon
LEAST = 1e-4  # no probability is written nearer to 0 or 1; log-odds stay finite


@dataclass(frozen=True, slots=True)
class Calibration:
    """A rising map of probabilities.

    Parameters
    ----------
    kind : {"platt", "isotonic", "none"}
        How it was fitted.
    given, meant : FloatArray
        Knots of the map on log-odds (`platt`: two, through which the line goes) or on probabilities (`isotonic`).
    """

    kind: CalibrationKind
    given: FloatArray
    meant: FloatArray

    def apply(self, probability: AnyArray) -> FloatArray:
        """Calibrated probabilities within [0.0001, 0.9999], NaN where given NaN."""
        if self.kind == "isotonic":
            put = np.interp(probability, self.given, self.meant)
        elif self.kind == "platt":
            slope = (self.meant[1] - self.meant[0]) / (self.given[1] - self.given[0])
            put = LinearAnchor(np.array([slope]), float(self.meant[0] - slope * self.given[0]), "logistic").predict(
                log_odds(probability)[..., None]
            )
        else:
            put = np.asarray(probability, dtype=np.float64)
        return np.where(np.isfinite(probability), np.clip(put, LEAST, 1.0 - LEAST), np.nan)

    def arrays(self, prefix: str) -> dict[str, AnyArray]:
        """For `ModuleState.arrays`; the kind is a setting of the module."""
        return {f"{prefix}.given": self.given, f"{prefix}.meant": self.meant}

    @classmethod
    def restore(cls, arrays: Mapping[str, AnyArray], prefix: str, kind: CalibrationKind) -> Calibration:
        """What `arrays` wrote."""
        return cls(kind, arrays[f"{prefix}.given"], arrays[f"{prefix}.meant"])


def log_odds(probability: AnyArray) -> FloatArray:
    """Of probabilities kept off 0 and 1."""
    kept = np.clip(np.asarray(probability, dtype=np.float64), LEAST, 1.0 - LEAST)
    odds: FloatArray = np.log(kept / (1.0 - kept))
    return odds


def fit_calibration(probability: FloatArray, event: FloatArray, horizon: int, kind: CalibrationKind) -> Calibration:
    """A map for one horizon; the identity where no outcome is known or none differs.

    Parameters
    ----------
    probability, event : FloatArray
        By day and name, (n_days, n_assets); events 0 or 1, NaN = unknown.
    horizon : int
        Sessions that an outcome takes.
    """
    both = np.isfinite(probability) & np.isfinite(event)
    outcome, given = event[both] > 0.5, probability[both]
    if kind == "none" or outcome.all() or not outcome.any():
        return Calibration(kind, np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    if kind == "isotonic":
        steps = IsotonicRegression(y_min=LEAST, y_max=1.0 - LEAST).fit(given, outcome)
        return Calibration(kind, np.asarray(steps.X_thresholds_, float), np.asarray(steps.y_thresholds_, float))
    spans = max(float(both.any(axis=1).sum()) / horizon, 1.0)
    worth = spans * min(INDEPENDENT, len(given) / max(int(both.any(axis=1).sum()), 1))
    shift, stretch = _platt(log_odds(given), outcome.astype(np.float64), worth)
    return Calibration(kind, np.array([0.0, 1.0]), np.array([shift, shift + stretch]))


def _platt(odds: FloatArray, event: FloatArray, worth: float) -> tuple[float, float]:
    """Most likely shift and stretch a posteriori; the rows together weigh as ``worth`` independent outcomes.

    Shift is at the mean log-odds, where the two hardly disturb each other.
    """
    middle = float(odds.mean())
    inputs = np.stack([np.ones_like(odds), odds - middle])
    start = np.array([middle, 1.0])

    def cost(found: FloatArray) -> tuple[float, FloatArray]:
        said, moved = found @ inputs, (found - start) / DOUBT
        loss = np.logaddexp(0.0, said) - event * said
        slope = inputs @ (1.0 / (1.0 + np.exp(-said)) - event) / len(event)
        return float(worth * loss.mean() + (moved @ moved) / 2.0), worth * slope + moved / DOUBT

    found = optimize.minimize(cost, start, jac=True, method="BFGS", options={"gtol": 1e-6}).x
    stretch = max(float(found[1]), 0.0)  # a map that falls would turn the order of the scores around
    return float(found[0]) - stretch * middle, stretch


def average_precision(probability: AnyArray, event: AnyArray) -> float:
    """Area under precision over recall of the rows where both are known; NaN without both kinds of event."""
    both = np.isfinite(probability) & np.isfinite(event)
    outcome = event[both] > 0.5
    if outcome.all() or not outcome.any():
        return float("nan")
    return float(average_precision_score(outcome, probability[both]))
