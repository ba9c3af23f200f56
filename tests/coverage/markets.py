"""Markets whose truth is known: daily simple returns of one portfolio, and of a second one on the same days.

The parameters were fixed before the method was tuned, from fits to two daily series: the equal-weight portfolio of the
quickstart's 20 US stocks, 1990 to 2022 (whole, since 2000, and 2010 to 2019), and the S&P 500 index, 1999 to 2018.

======  =====================================================================================================
iid     Student's t with 5 degrees of freedom. Fits without clustering give 2.7 to 3.4, part of which is clustering.
ar      The same, with first autocorrelation 0.2. The two series have -0.04 to -0.11; positive is the harder sign, and
        what portfolios of smaller stocks and of trends have.
garch   GARCH(1,1), a = 0.08, b = 0.90, Student's t with 7 degrees. Fits: a = 0.09 to 0.14, a + b = 0.973 to 0.9995, 6.2
        to 7.6 degrees; with a + b above 0.985 or so returns have no fourth moment and volatility no standard error.
regime  Two states, calm (0.75 % a day, mean 0.09 %, lasting 100 sessions) and turbulent (2.0 %, -0.05 %, 33 sessions),
        normal within. Fits: 0.55 to 0.79 % and 1.3 to 2.1 %, 0.07 to 0.12 % and -0.01 to -0.07 %, 32 to 102 and 18 to 46.
sv      Log volatility is itself an AR(1) with coefficient 0.98 and normal shocks, so large that the log of the variance
        has a standard deviation of 0.75. Held out: the method was not tried on it before the reported run.
======  =====================================================================================================

All but `regime` have mean 0.05 % and standard deviation 1.2 % a day: 12.6 % and 19 % a year.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from glassbox_bt.types import FloatArray

__all__ = ["MARKETS", "second"]

MEAN, DEVIATION = 0.0005, 0.012
FORGOTTEN = 1000  # sessions before the first


def _unit_t(rng: np.random.Generator, degrees: float, size: tuple[int, ...]) -> FloatArray:
    return rng.standard_t(degrees, size) * np.sqrt((degrees - 2.0) / degrees)


def iid(rng: np.random.Generator, n_paths: int, n: int) -> FloatArray:
    """(n_paths, n), as for every market here."""
    return MEAN + DEVIATION * _unit_t(rng, 5.0, (n_paths, n))


def autoregressive(rng: np.random.Generator, n_paths: int, n: int) -> FloatArray:
    shocks = _unit_t(rng, 5.0, (FORGOTTEN + n, n_paths))
    path, state = np.empty(shocks.shape), np.zeros(n_paths)
    for t, shock in enumerate(shocks):
        state = 0.2 * state + np.sqrt(1.0 - 0.2**2) * shock
        path[t] = state
    return MEAN + DEVIATION * path[FORGOTTEN:].T


def garch(rng: np.random.Generator, n_paths: int, n: int) -> FloatArray:
    shocks = _unit_t(rng, 7.0, (FORGOTTEN + n, n_paths))
    path, variance = np.empty(shocks.shape), np.ones(n_paths)
    for t, shock in enumerate(shocks):
        path[t] = np.sqrt(variance) * shock
        variance = 0.02 + 0.08 * path[t] ** 2 + 0.90 * variance
    return MEAN + DEVIATION * path[FORGOTTEN:].T


def regime(rng: np.random.Generator, n_paths: int, n: int) -> FloatArray:
    stay, mean, deviation = np.array([0.99, 0.97]), np.array([0.0009, -0.0005]), np.array([0.0075, 0.02])
    moves, shocks = rng.random((n, n_paths)), rng.standard_normal((n, n_paths))
    path, state = np.empty(shocks.shape), (rng.random(n_paths) < 0.25).astype(np.int64)
    for t, move in enumerate(moves):
        state = np.where(move < stay[state], state, 1 - state)
        path[t] = mean[state] + deviation[state] * shocks[t]
    return path.T


def stochastic_volatility(rng: np.random.Generator, n_paths: int, n: int) -> FloatArray:
    shocks, moves = rng.standard_normal((n, n_paths)), rng.standard_normal((n, n_paths))
    path, spread = np.empty(shocks.shape), 0.75
    log_variance = spread * rng.standard_normal(n_paths)
    for t, move in enumerate(moves):
        path[t] = np.exp(0.5 * log_variance - 0.25 * spread**2) * shocks[t]  # mean square 1
        log_variance = 0.98 * log_variance + spread * np.sqrt(1.0 - 0.98**2) * move
    return MEAN + DEVIATION * path.T


MARKETS: Mapping[str, Callable[[np.random.Generator, int, int], FloatArray]] = {
    "iid": iid,
    "ar": autoregressive,
    "garch": garch,
    "regime": regime,
    "sv": stochastic_volatility,
}


def second(rng: np.random.Generator, returns: FloatArray) -> FloatArray:
    """A second strategy on the same days: half of the first and a part of its own, correlation about 0.7."""
    return 0.0002 + 0.5 * returns + 0.006 * _unit_t(rng, 5.0, returns.shape)
