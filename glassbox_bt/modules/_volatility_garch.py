"""GARCH(1,1), GJR and EGARCH of one name: maximum likelihood by `arch`, and the filter that follows the estimate.

With the shock ``e = r - mean`` of a session, its standardised value ``z = e / sigma``, and percent returns:

* ``garch``: ``v' = omega + alpha e² + beta v``;
* ``gjr``: ``v' = omega + (alpha + gamma [e < 0]) e² + beta v`` (Glosten, Jagannathan and Runkle 1993);
* ``egarch``: ``ln v' = omega + alpha (|z| - sqrt(2/pi)) + gamma z + beta ln v`` (Nelson 1991).

A model is the vector (mean, omega, alpha, gamma, beta); gamma is 0 for ``garch``.

The forecast for *h* sessions is the root of the mean of the expected variances of the coming *h*. For the first two forms
these follow a linear recursion. For ``egarch`` they are exact too where shocks are normal, which is the law that the
likelihood assumes: ``ln v`` is linear in past ``g(z) = alpha (|z| - sqrt(2/pi)) + gamma z``, the shocks are independent, so

``E v[h] = exp(beta^(h-1) ln v[1] + omega (1 + .. + beta^(h-2))) · prod_{j < h-1} E exp(beta^j g(z))``,

and the last expectation has a closed form (`_log_moment`). Neither simulation nor quadrature is needed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from arch.univariate import EGARCH, GARCH, ConstantMean
from numba import njit

from glassbox_bt.types import FloatArray, IntArray

__all__ = ["FORMS", "PERCENT", "Form", "estimate", "follow", "persistence"]

Form = Literal["garch", "egarch", "gjr"]
FORMS: tuple[Form, ...] = ("garch", "egarch", "gjr")
PERCENT = 100.0  # the likelihood is well scaled in percent
MAX_PERSISTENCE = 0.999  # a half-life of 693 sessions: a window of 1,000 cannot tell a longer one
# A second start: alpha, gamma, beta. Omega makes the long-run variance that of the sample.
RESTART: Mapping[str, tuple[float, float, float]] = {
    "garch": (0.05, 0.0, 0.90),
    "gjr": (0.02, 0.06, 0.90),
    "egarch": (0.10, -0.05, 0.95),
}
ROOT_2_PI = math.sqrt(2.0 / math.pi)  # the mean of |z|
LOG_BOUND = math.log(1e4)  # a filtered EGARCH variance stays within this factor of where it began, as arch bounds it


class _Stationary(GARCH):
    """GARCH or GJR whose persistence is bounded away from one."""

    def constraints(self) -> tuple[FloatArray, FloatArray]:
        """Of the optimiser, ``a · parameters >= b``; the last row holds minus the persistence."""
        a, b = super().constraints()
        return a, np.append(b[:-1], -MAX_PERSISTENCE)


class _StationaryLog(EGARCH):
    """EGARCH whose beta is bounded away from one, and whose alpha is not negative.

    With a negative one a large shock lowers the variance, so the next shock is larger still, and the filter collapses.
    """

    def bounds(self, resids: Any) -> list[tuple[float, float]]:
        """Of omega, alpha, gamma, beta."""
        omega, _, *rest = super().bounds(resids)
        return [omega, (0.0, np.inf), *rest]

    def constraints(self) -> tuple[FloatArray, FloatArray]:
        """Of the optimiser; the one row holds ``-beta``."""
        a, _ = super().constraints()
        return a, np.array([-MAX_PERSISTENCE])


def estimate(returns: FloatArray, form: Form) -> FloatArray | None:
    """Mean, omega, alpha, gamma, beta of percent returns, (5,); None where no optimum was found.

    Parameters
    ----------
    returns : FloatArray
        Observed percent returns, oldest first, (n,).
    form : {"garch", "egarch", "gjr"}
        What is estimated, by normal (quasi-)maximum likelihood.
    """
    variance = float(returns.var())
    if not variance > 0.0:
        return None
    process = _StationaryLog(p=1, o=1, q=1) if form == "egarch" else _Stationary(p=1, o=int(form == "gjr"), q=1)
    model = ConstantMean(returns, volatility=process, rescale=False)
    for starting in (None, _restart(returns, variance, form)):
        fit = model.fit(disp="off", show_warning=False, starting_values=starting)
        found = np.asarray(fit.params, dtype=np.float64)
        if form == "garch":
            found = np.insert(found, 3, 0.0)
        # Halfway to one: the optimiser meets its bounds only within its tolerance.
        stationary = persistence(found, form) < 0.5 * (1.0 + MAX_PERSISTENCE)
        positive = form == "egarch" or found[1] > 0.0
        if fit.convergence_flag == 0 and stationary and positive and bool(np.isfinite(found).all()):
            return found
    return None


def persistence(model: FloatArray, form: Form) -> float:
    """Share of a variance (of its logarithm for ``egarch``) that is left after one session, under 1."""
    _, _, alpha, gamma, beta = (float(one) for one in model)
    return beta if form == "egarch" else alpha + 0.5 * gamma + beta


def follow(returns: FloatArray, model: FloatArray, form: Form, decay: float, horizons: IntArray) -> FloatArray:
    """After each row: the forecast of every horizon and the EWMA, annualised fractions, (n_horizons + 1, n_rows).

    An unobserved row (NaN) is skipped: nothing was learned, so the forecast stays. Starts, as the estimate does, from an
    exponentially weighted mean of the first squares.

    Parameters
    ----------
    returns : FloatArray
        Percent returns, oldest first, (n_rows,).
    model : FloatArray
        Mean, omega, alpha, gamma, beta.
    decay : float
        Of the exponentially weighted variance.
    horizons : IntArray
        Sessions ahead.
    """
    if form == "egarch":
        constants, powers = _log_path(model, int(horizons.max()))
        variances = _filter_log(returns, model, constants, powers, horizons)
    else:
        variances = _filter_linear(returns, model, horizons)
    weighted = _weighted(returns, decay)
    return np.sqrt(252.0 * np.concatenate([variances, weighted[None]])) / PERCENT


def _restart(returns: FloatArray, variance: float, form: Form) -> FloatArray:
    alpha, gamma, beta = RESTART[form]
    if form == "egarch":
        return np.array([returns.mean(), (1.0 - beta) * math.log(variance), alpha, gamma, beta])
    omega = variance * (1.0 - alpha - 0.5 * gamma - beta)
    return np.array([returns.mean(), omega, alpha, *((gamma,) if form == "gjr" else ()), beta])


def _log_path(model: FloatArray, longest: int) -> tuple[FloatArray, FloatArray]:
    """For each session ahead the constant and the power of beta in ``ln E v[h] = constant + power · ln v[1]``."""
    _, omega, alpha, gamma, beta = (float(one) for one in model)
    constants, powers = np.zeros(longest), np.ones(longest)
    for ahead in range(1, longest):
        powers[ahead] = powers[ahead - 1] * beta
        step = powers[ahead - 1]
        constants[ahead] = constants[ahead - 1] + omega * step + _log_moment(step * alpha, step * gamma)
    return constants, powers


def _log_moment(alpha: float, gamma: float) -> float:
    """``ln E exp(alpha (|z| - sqrt(2/pi)) + gamma z)`` of a standard normal z."""
    up, down = gamma + alpha, alpha - gamma
    total = math.exp(0.5 * up * up) * _normal(up) + math.exp(0.5 * down * down) * _normal(down)
    return math.log(total) - alpha * ROOT_2_PI


def _normal(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


@njit(cache=True)
def _filter_linear(returns: FloatArray, model: FloatArray, horizons: IntArray) -> FloatArray:
    """Mean expected variance of the coming sessions after each row, (n_horizons, n_rows), percent squared."""
    mean, omega, alpha, gamma, beta = model
    kept = alpha + 0.5 * gamma + beta
    variance = omega + kept * _backcast(returns, mean)  # of the first observed row, before it is seen
    out = np.full((horizons.size, returns.size), np.nan)
    for row in range(returns.size):
        if np.isfinite(returns[row]):
            shock = returns[row] - mean
            weight = alpha + gamma if shock < 0.0 else alpha
            variance = omega + weight * shock * shock + beta * variance
        for number in range(horizons.size):
            ahead, total = variance, 0.0
            for _ in range(horizons[number]):
                total += ahead
                ahead = omega + kept * ahead
            out[number, row] = total / horizons[number]
    return out


@njit(cache=True)
def _filter_log(
    returns: FloatArray, model: FloatArray, constants: FloatArray, powers: FloatArray, horizons: IntArray
) -> FloatArray:
    """As `_filter_linear` for ``egarch``; see `_log_path`."""
    mean, omega, alpha, gamma, beta = model
    start = np.log(_backcast(returns, mean))
    lowest, highest = start - LOG_BOUND, start + LOG_BOUND
    log_variance = omega + beta * start
    out = np.full((horizons.size, returns.size), np.nan)
    for row in range(returns.size):
        if np.isfinite(returns[row]):
            z = (returns[row] - mean) / np.exp(0.5 * log_variance)
            log_variance = omega + alpha * (abs(z) - ROOT_2_PI) + gamma * z + beta * log_variance
            log_variance = min(max(log_variance, lowest), highest)
        for number in range(horizons.size):
            total = 0.0
            for ahead in range(horizons[number]):
                total += np.exp(constants[ahead] + powers[ahead] * log_variance)
            out[number, row] = total / horizons[number]
    return out


@njit(cache=True)
def _weighted(returns: FloatArray, decay: float) -> FloatArray:
    """Exponentially weighted mean of the squares up to each row, (n_rows,)."""
    value = _backcast(returns, 0.0)
    out = np.empty(returns.size)
    for row in range(returns.size):
        if np.isfinite(returns[row]):
            value = decay * value + (1.0 - decay) * returns[row] * returns[row]
        out[row] = value
    return out


@njit(cache=True)
def _backcast(returns: FloatArray, mean: float) -> float:
    """Mean of the first 75 observed squares with weights falling by 0.94 a session (as in arch)."""
    total, weights, weight = 0.0, 0.0, 1.0
    seen = 0
    for row in range(returns.size):
        if np.isfinite(returns[row]) and seen < 75:
            total += weight * (returns[row] - mean) ** 2
            weights += weight
            weight *= 0.94
            seen += 1
    return total / weights
