"""From the errors of a measure on resampled paths to an interval, a p-value and the smallest effect that would show."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from glassbox_bt.types import FloatArray

__all__ = ["PLAIN", "POWER", "Draws", "Scale", "Spread", "scale_of", "spread_of"]

POWER = 0.8  # of the test at which a smallest detectable effect is stated
ROUNDING = 1e-12  # a relative error below this is that of the arithmetic
UNDEFINED = 0.01  # largest share of paths on which a measure may be undefined


@dataclass(frozen=True, slots=True)
class Scale:
    """The increasing scale on which the errors of a measure are taken; its functions take and give arrays."""

    there: Callable[[FloatArray], FloatArray]
    back: Callable[[FloatArray], FloatArray]
    slope: Callable[[FloatArray], FloatArray]  # of ``there``
    empty: str  # why a value has no place on the scale


@dataclass(frozen=True, slots=True)
class Draws:
    """A measure on the sample and on the resampled paths, in its own unit.

    Parameters
    ----------
    estimate : float
        Of the sample.
    values : FloatArray
        Of the paths, (n_boot,).
    n_blocks : float
        Sessions of the sample by sessions of a block.
    truth : float or None
        Of the world that the paths come from. None for the range of the paths themselves (Efron's percentiles).
    error, errors : float and FloatArray, or None
        Standard errors of sample and paths. None where distances are taken as they are.
    """

    estimate: float
    values: FloatArray
    n_blocks: float
    truth: float | None
    error: float | None = None
    errors: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class Spread:
    """How far a measure strays from the truth.

    Parameters
    ----------
    scale : Scale
        All other numbers are on it.
    estimate, error : float
        Of the sample; the error is 1 where distances are not divided.
    distances : FloatArray
        (value - truth) / error of each path, or estimate - value for percentiles, ascending.
    deviation : float
        Standard deviation of the values of the paths.
    """

    scale: Scale
    estimate: float
    error: float
    distances: FloatArray
    deviation: float

    def interval(self, level: float) -> tuple[float, float]:
        """Equal-tailed, in the unit of the measure: the values from which the sample is not too far away."""
        ends = self.estimate - self.error * np.array([self._distance(0.5 + side * level / 2.0) for side in (1.0, -1.0)])
        low, high = self.scale.back(ends)
        return float(low), float(high)

    def standard_error(self) -> float:
        """In the unit of the measure."""
        return self.deviation / float(self.scale.slope(self.scale.back(np.array([self.estimate])))[0])

    def p_value(self) -> float:
        """Two-sided, of "the truth is 0", on a scale that is the measure's own unit; at least 2 / (paths + 1).

        Twice the share at which `interval` would just leave out 0.
        """
        place, least = self.estimate / self.error, 1.0 / (len(self.distances) + 1)
        below, up_to = (int(np.searchsorted(self.distances, place, side)) for side in ("left", "right"))
        return min(1.0, 2.0 * min(1.0 - self._share(place, below), max(least, self._share(place, up_to))))

    def detectable(self, level: float) -> float:
        """The true value, > 0, for which the interval would leave out 0 with probability `POWER`."""
        return self.error * (self._distance(0.5 + level / 2.0) - self._distance(1.0 - POWER))

    def _share(self, place: float, rank: int) -> float:
        """The share whose `_distance` is ``place``, which lies between the distances at ``rank`` and the next."""
        n = len(self.distances)
        if not 0 < rank < n:
            return rank / (n + 1)
        lower, upper = self.distances[rank - 1], self.distances[rank]
        return (rank + float((place - lower) / (upper - lower))) / (n + 1)

    def _distance(self, share: float) -> float:
        """Quantile at rank share × (paths + 1), with which the interval of n paths is exact where the error is a pivot."""
        return float(np.quantile(self.distances, share, method="weibull"))


def spread_of(draws: Draws, scale: Scale) -> Spread | str:
    """The spread of a measure, or why there is none, in words."""
    if not math.isfinite(draws.estimate):
        return "the measure is not defined on these days"
    with np.errstate(divide="ignore", invalid="ignore"):
        estimate = float(scale.there(np.array([draws.estimate]))[0])
        values = scale.there(draws.values)
        error, errors = _errors(draws, scale)
    if not math.isfinite(estimate):
        return scale.empty
    if not error > ROUNDING * abs(draws.estimate):
        return "the measure does not vary over these days, or they are too few"
    usable = np.isfinite(values) & np.isfinite(errors) & (errors > 0.0)
    undefined = len(usable) - int(usable.sum())
    if undefined > UNDEFINED * len(usable):
        return f"the measure is not defined on {undefined} of {len(usable)} resampled paths"
    values, errors = values[usable], errors[usable]
    # As a variance from n values divides by n - 1: whole blocks are what is drawn.
    stretch = math.sqrt(draws.n_blocks / (draws.n_blocks - 1.0))
    if draws.truth is None:
        distances = estimate - values
    else:
        distances = stretch * (values - scale.there(np.array([draws.truth]))) / errors
    if not np.ptp(distances) > 0.0:
        return "the measure does not vary over resampled days"
    return Spread(scale, estimate, error, np.sort(distances), stretch * float(np.std(values, ddof=1)))


def _errors(draws: Draws, scale: Scale) -> tuple[float, FloatArray]:
    """Standard errors of sample and paths on the scale; ones where distances are not divided."""
    if draws.error is None or draws.errors is None:
        return 1.0, np.ones(len(draws.values))
    return draws.error * float(scale.slope(np.array([draws.estimate]))[0]), scale.slope(draws.values) * draws.errors


def _same(x: FloatArray) -> FloatArray:
    return x


PLAIN = Scale(_same, _same, np.ones_like, "the measure is not defined on these days")


def _log(empty: str) -> Scale:
    return Scale(np.log, np.exp, lambda x: 1.0 / x, empty)


def _log_of_loss(empty: str) -> Scale:
    return Scale(lambda x: -np.log(-x), lambda y: -np.exp(-y), lambda x: -1.0 / x, empty)


_SCALES = {
    "annual_return": Scale(np.log1p, np.expm1, lambda x: 1.0 / (1.0 + x), "everything was lost"),
    "volatility": _log("returns do not vary"),
    "max_drawdown": _log_of_loss("wealth never fell"),
    "cvar_95": _log_of_loss("the worst 5 % of days bring no loss"),
    "turnover": _log("nothing was traded"),
    "cost_share": _log("no costs were paid"),
}


def scale_of(measure: str) -> Scale:
    """The scale of a measure; differences between two strategies are taken on the plain one."""
    return _SCALES.get(measure, PLAIN)
