"""Do losses beyond value at risk come as often as said, and independently? Kupiec, Christoffersen, Engle and Manganelli.

* Kupiec, "Techniques for verifying the accuracy of risk measurement models", Journal of Derivatives 3(2), 1995. The
  p-value is exact: the probability of all counts whose likelihood ratio is at least as large.
* Christoffersen, "Evaluating interval forecasts", International Economic Review 39(4), 1998. Independence is judged given
  the number of exceedances, by random arrangements of as many: whatever the true rate, the level holds. The joint test
  draws exceedances at the stated rate.
* Engle and Manganelli, "CAViaR", Journal of Business & Economic Statistics 22(4), 2004: exceedances less their rate on a
  constant, four lags and the value at risk itself. Draws take the path of the value at risk as given.

The χ² of these papers is their distribution in long samples; a test year at 99 % holds two or three exceedances.
"""

from __future__ import annotations

import numpy as np
from scipy import stats
from scipy.special import xlogy

from glassbox_bt.evaluation._var_draws import SAME, arrangements, monte_carlo_p, patterns, stream
from glassbox_bt.evaluation._var_panels import TailPanel, rate_of
from glassbox_bt.types import AnyArray, BoolArray, FloatArray, IntArray

__all__ = [
    "LAGS",
    "conditional_ratio",
    "dynamic_quantile",
    "dynamics",
    "independence",
    "independence_ratio",
    "kupiec_p",
    "kupiec_ratio",
    "transitions",
]

LAGS = 4  # sessions, as in Engle and Manganelli
AT_ONCE = 256  # draws whose regressors are held at a time
Counts = tuple[
    AnyArray, AnyArray, AnyArray, AnyArray
]  # pairs of days: none after none, one after none, none after one, both


def kupiec_ratio(n: AnyArray, hits: AnyArray, rate: float) -> FloatArray:
    """Likelihood ratio of "the probability of an exceedance is ``rate``"; 0 where the share is just that."""
    said = xlogy(hits, rate) + xlogy(n - hits, 1.0 - rate)
    return np.asarray(np.maximum(2.0 * (_likelihood(hits, n) - said), 0.0), dtype=np.float64)


def kupiec_p(n: AnyArray, hits: AnyArray, rate: float) -> FloatArray:
    """Probability of a ratio at least as large under independent exceedances at ``rate``: exact, two-sided."""
    out = np.full(len(n), np.nan)
    for size in np.unique(n):
        counts = np.arange(int(size) + 1)
        ratios = kupiec_ratio(np.full(len(counts), size), counts, rate)
        probabilities = stats.binom.pmf(counts, int(size), rate)
        for at in np.flatnonzero(n == size):
            out[at] = min(1.0, float(probabilities[ratios >= ratios[int(hits[at])] - SAME].sum()))
    return out


def transitions(hits: BoolArray, pairs: BoolArray) -> Counts:
    """Counts of the pairs of neighbouring days, by name; ``pairs`` marks the later day of each; both (n_days, n_names)."""
    before = np.zeros_like(hits)
    before[1:] = hits[:-1]
    both, only_later, only_earlier = (
        (pairs & one & other).sum(axis=0) for one, other in ((hits, before), (hits, ~before), (~hits, before))
    )
    return pairs.sum(axis=0) - both - only_later - only_earlier, only_later, only_earlier, both


def independence_ratio(counts: Counts) -> FloatArray:
    """Likelihood ratio of "an exceedance is as probable after an exceedance as after none"."""
    none, later, earlier, both = counts
    apart = _likelihood(later, none + later) + _likelihood(both, earlier + both)
    together = _likelihood(later + both, none + later + earlier + both)
    return np.maximum(2.0 * (apart - together), 0.0)


def conditional_ratio(counts: Counts, rate: float) -> FloatArray:
    """Likelihood ratio of "exceedances are independent and have probability ``rate``", given the first day."""
    none, later, earlier, both = counts
    return independence_ratio(counts) + kupiec_ratio(none + later + earlier + both, later + both, rate)


def independence(panel: TailPanel, level: int, draws: int, key: str) -> FloatArray:
    """p-values of `independence_ratio`, by name; NaN with fewer than two exceedances, which have no order."""
    there, hits = panel.usable(level), panel.hits(level)
    pairs = panel.after(there, 1)
    observed = independence_ratio(transitions(hits, pairs))
    p_values = np.full(len(observed), np.nan)
    for mask, names in patterns(there):
        days = np.flatnonzero(mask)
        neighbours = pairs[days, names[0]]  # whether the usable day before is the session before
        for count in np.unique(hits[:, names].sum(axis=0)):
            if count < 2 or count > len(days) - 2:
                continue
            alike = names[hits[:, names].sum(axis=0) == count]
            rng = stream(f"{key}/independence/{level}/{len(days)}/{count}")
            places = arrangements(len(days), int(count), draws, rng)
            drawn = independence_ratio(_arranged(places, neighbours))[:, None]
            for name in alike:
                ties = stream(f"{key}/independence/{level}/{panel.tickers[name]}")
                p_values[name] = monte_carlo_p(observed[[name]], drawn, ties)[0]
    return p_values


def dynamics(panel: TailPanel, level: int, chance: FloatArray, key: str) -> tuple[FloatArray, ...]:
    """Statistics and p-values of the joint Christoffersen test and of the dynamic quantile test, each by name.

    ``chance`` are uniform numbers, (n_draws, n_days), shared by all names: below 1 − level a drawn day is an exceedance.
    """
    rate = rate_of(level)
    there, hits = panel.usable(level), panel.hits(level)
    pairs, spans = panel.after(there, 1), panel.after(there, LAGS)
    drawn_hits = chance < rate
    joint = conditional_ratio(transitions(hits, pairs), rate)
    quantile, joint_p, quantile_p = (np.full(len(joint), np.nan) for _ in range(3))
    for _, names in patterns(there):
        first = names[0]
        later = np.flatnonzero(pairs[:, first])
        drawn = conditional_ratio(_drawn_pairs(drawn_hits, later), rate)[:, None]
        for name in names:
            ties = stream(f"{key}/conditional/{level}/{panel.tickers[name]}")
            joint_p[name] = monte_carlo_p(joint[[name]], drawn, ties)[0]
        days = np.flatnonzero(spans[:, first])
        if len(days) <= LAGS + 2:
            continue
        values = panel.var(level)[days][:, names]
        drawn = dynamic_quantile(drawn_hits, days, values, rate)
        for at, name in enumerate(names):
            own = dynamic_quantile(hits[:, name][None], days, values[:, [at]], rate)[0]
            ties = stream(f"{key}/dynamic/{level}/{panel.tickers[name]}")
            quantile[name], quantile_p[name] = own[0], monte_carlo_p(own, drawn[:, [at]], ties)[0]
    return joint, joint_p, quantile, quantile_p


def dynamic_quantile(hits: BoolArray, days: IntArray, values: FloatArray, rate: float) -> FloatArray:
    """The statistic of Engle and Manganelli for several paths of exceedances beside several values at risk.

    The lags and the constant are the same for all names, so their part is projected once; what a name's value at risk adds
    is one more direction. Columns that say nothing new (no exceedance at all) add nothing.

    Parameters
    ----------
    hits : BoolArray
        (n_paths, n_days).
    days : IntArray
        Days that have `LAGS` sessions before them, (k,).
    values : FloatArray
        Value at risk on those days, (k, n_names).
    rate : float
        Stated probability of an exceedance.

    Returns
    -------
    FloatArray
        (n_paths, n_names).
    """
    spread = values.std(axis=0)
    scaled = (values - values.mean(axis=0)) / np.where(spread > 0.0, spread, 1.0)
    found = [_explained(hits[at : at + AT_ONCE], days, scaled, rate) for at in range(0, len(hits), AT_ONCE)]
    return np.concatenate(found) / (rate * (1.0 - rate))


def _explained(hits: BoolArray, days: IntArray, scaled: FloatArray, rate: float) -> FloatArray:
    """Squared length of the excess of exceedances within the space of its regressors, (n_paths, n_names)."""
    excess = hits[:, days] - rate
    lagged = np.ones((len(hits), 1 + LAGS, len(days)))
    for lag in range(1, LAGS + 1):
        lagged[:, lag] = hits[:, days - lag]
    inverse = np.linalg.pinv(lagged @ lagged.swapaxes(1, 2), rcond=1e-10, hermitian=True)
    with_excess = (lagged @ excess[:, :, None])[..., 0]
    with_value = lagged @ scaled  # (n_paths, 1 + LAGS, n_names)
    weights = np.einsum("nij,nj->ni", inverse, with_excess)
    left = np.sum(scaled**2, axis=0) - np.einsum("nia,nia->na", with_value, inverse @ with_value)
    more = excess @ scaled - np.einsum("ni,nia->na", weights, with_value)
    usable = left > 1e-8 * len(days)  # a value at risk that does not move says what the constant says
    added = np.where(usable, more**2 / np.where(usable, left, 1.0), 0.0)
    return np.asarray(np.einsum("ni,ni->n", weights, with_excess)[:, None] + added, dtype=np.float64)


def _likelihood(hits: AnyArray, n: AnyArray) -> FloatArray:
    """Largest log-likelihood of so many among so many; 0 of none."""
    share = hits / np.maximum(n, 1)
    return np.asarray(xlogy(hits, share) + xlogy(n - hits, 1.0 - share), dtype=np.float64)


def _drawn_pairs(hits: BoolArray, later: IntArray) -> Counts:
    now, before = hits[:, later], hits[:, later - 1]
    both, ones, befores = (now & before).sum(axis=1), now.sum(axis=1), before.sum(axis=1)
    return len(later) - ones - befores + both, ones - both, befores - both, both


def _arranged(places: IntArray, neighbours: BoolArray) -> Counts:
    """Transitions of exceedances at ``places`` among days of which ``neighbours`` follow upon the one before."""
    n_pairs = int(neighbours.sum())
    follows = np.append(neighbours, False)
    ones = neighbours[places].sum(axis=1)  # pairs whose later day is an exceedance
    befores = follows[places + 1].sum(axis=1)
    both = ((np.diff(places, axis=1) == 1) & neighbours[places[:, 1:]]).sum(axis=1)
    return n_pairs - ones - befores + both, ones - both, befores - both, both
