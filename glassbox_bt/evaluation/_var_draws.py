"""Monte-Carlo p-values of finite samples, and how many false discoveries a list of them may hold."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from glassbox_bt.types import BoolArray, FloatArray, IntArray

__all__ = ["arrangements", "draws_for", "false_discovery", "monte_carlo_p", "patterns", "stream"]

N_DRAWS = 4999  # the smallest p-value is 1 / 5000: under 0.05 / 20, corrected for dependence, for twenty names
LEAST_DRAWS = 999
CELLS = 4_000_000  # days times draws held at once
SAME = 1e-9  # statistics closer than this are ties


def stream(key: str) -> np.random.Generator:
    """A generator for one purpose; depends on its name, never on the order of calls."""
    return np.random.default_rng(int.from_bytes(hashlib.blake2b(key.encode(), digest_size=16).digest()))


def draws_for(n_days: int) -> int:
    """How many samples of so many days are drawn."""
    return int(np.clip(CELLS // max(n_days, 1), LEAST_DRAWS, N_DRAWS))


def monte_carlo_p(observed: FloatArray, drawn: FloatArray, rng: np.random.Generator) -> FloatArray:
    """p-values of large values: exact in a finite sample where the draws follow the null.

    Ties are broken at random (Dufour, "Monte Carlo tests with nuisance parameters", Journal of Econometrics 133, 2006):
    every draw and the observation get a uniform number beside the statistic, and pairs are compared in that order. Without
    it the p-value of a discrete statistic would be too large, and its test too timid.

    Parameters
    ----------
    observed : FloatArray
        (n_series,); NaN gives NaN.
    drawn : FloatArray
        (n_draws, n_series), or (n_draws, 1) where the series share one null.
    rng : np.random.Generator
        For the ties alone.
    """
    n = len(drawn)
    above = np.sum(drawn > observed + SAME, axis=0)
    ties = np.sum(np.abs(drawn - observed) <= SAME, axis=0)
    ahead = rng.binomial(ties, 1.0 - rng.random(len(observed)))  # ties whose uniform number is no smaller than one's own
    return np.where(np.isfinite(observed), (above + ahead + 1.0) / (n + 1.0), np.nan)


def arrangements(n: int, hits: int, draws: int, rng: np.random.Generator) -> IntArray:
    """Places of ``hits`` among ``n`` days, each set of places equally probable: (draws, hits), ascending.

    Floyd's algorithm, all draws at once: the *i*-th place is uniform on the first n − hits + i, and the last of these
    where it is taken.
    """
    places = np.full((draws, hits), -1, dtype=np.int64)
    for i in range(hits):
        last = n - hits + i
        drawn = rng.integers(0, last + 1, size=draws)
        taken = (places[:, :i] == drawn[:, None]).any(axis=1)
        places[:, i] = np.where(taken, last, drawn)
    return np.sort(places, axis=1)


def patterns(there: BoolArray) -> Iterator[tuple[BoolArray, IntArray]]:
    """Different columns of (n_days, n_names) and the names that share them, in the order of their first names."""
    groups: dict[bytes, list[int]] = {}
    for name in range(there.shape[1]):
        groups.setdefault(there[:, name].tobytes(), []).append(name)
    for names in groups.values():
        yield there[:, names[0]], np.array(names, dtype=np.int64)


def false_discovery(p_values: FloatArray, *, any_dependence: bool = False) -> FloatArray:
    """Smallest share of false discoveries at which each p-value would be among the discoveries; NaN stays NaN.

    Benjamini and Hochberg, "Controlling the false discovery rate", Journal of the Royal Statistical Society B 57, 1995:
    valid for tests that depend positively on one another. With ``any_dependence`` multiplied by 1 + 1/2 + … + 1/m
    (Benjamini & Yekutieli, Annals of Statistics 29, 2001), which needs no such thing and has less power.
    """
    q = np.full(len(p_values), np.nan)
    known = np.flatnonzero(np.isfinite(p_values))
    m = len(known)
    if m == 0:
        return q
    order = known[np.argsort(p_values[known], kind="stable")]
    factor = float(np.sum(1.0 / np.arange(1, m + 1))) if any_dependence else 1.0
    scaled = p_values[order] * m * factor / np.arange(1, m + 1)
    q[order] = np.minimum(1.0, np.minimum.accumulate(scaled[::-1])[::-1])
    return q
