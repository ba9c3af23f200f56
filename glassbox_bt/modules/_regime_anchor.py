"""The simple rivals inside the regime module, each a distribution over the four regimes of the next 20 sessions.

* `StateTable`: how often each regime came after a state of train days. By today's rule label it is *persistence* (a Markov
  step of 20 sessions, which also is the rule itself as a forecast, D-REG-07); by the level of the fear index the *VIX rule*.
* `Blend`: the same for two states of which only a probability is known (*Markov switching*).
* `RegimeLogit`: the anchor. A multinomial logit of the market's state on top of persistence, whose penalty pulls it back to
  persistence rather than to nothing.

Days whose outcomes overlap tell little more than one: 20 sessions count as one observation wherever counts are weighed
against prior belief.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import optimize

from glassbox_bt.market.regime_labels import AHEAD, REGIMES
from glassbox_bt.types import AnyArray, BoolArray, FloatArray

__all__ = ["IMPOSSIBLE", "Blend", "RegimeLogit", "StateTable", "base_rates", "normalised_logs", "vix_states"]

N = len(REGIMES)
IMPOSSIBLE = -30.0  # log of the chance of a regime that the rule of this market cannot name; written as 0
PRIOR = 1.0  # observations that prior belief is worth


@dataclass(frozen=True, slots=True, eq=False)
class StateTable:
    """Chances of each regime after each state, (n_states, 4); rows add up to 1."""

    rates: FloatArray

    @classmethod
    def fit(cls, states: FloatArray, outcomes: FloatArray, n_states: int, base: FloatArray) -> StateTable:
        """Frequencies of train, drawn towards ``base`` by one observation; rows without a state or outcome are left out."""
        counts = np.zeros((n_states, N))
        known = np.isfinite(states) & np.isfinite(outcomes)
        np.add.at(counts, (states[known].astype(np.int64), outcomes[known].astype(np.int64)), 1.0 / AHEAD)
        counts += PRIOR * base
        return cls(counts / counts.sum(axis=1, keepdims=True))

    def predict(self, states: FloatArray, base: FloatArray) -> FloatArray:
        """(n_days, 4); ``base`` where the state is unknown."""
        known = np.isfinite(states)
        return np.where(known[:, None], self.rates[np.where(known, states, 0.0).astype(np.int64)], base)


@dataclass(frozen=True, slots=True, eq=False)
class Blend:
    """Chances of each regime in a quiet and in a wild market, (2, 4), mixed by the probability of the latter."""

    rates: FloatArray

    @classmethod
    def fit(cls, wild: FloatArray, outcomes: FloatArray, base: FloatArray, rounds: int = 50) -> Blend:
        """Most likely rates, by expectation-maximisation."""
        known = np.isfinite(wild) & np.isfinite(outcomes)
        share = np.stack([1.0 - wild[known], wild[known]], axis=1)  # (n, 2)
        outcome = outcomes[known].astype(np.int64)
        tilted = base * np.array([[2.0, 1.0, 0.5, 1.0], [0.5, 1.0, 2.0, 1.0]])  # the wild state starts worse
        rates = tilted / tilted.sum(axis=1, keepdims=True)
        for _ in range(rounds):
            weight = share * rates[:, outcome].T
            weight /= np.maximum(weight.sum(axis=1, keepdims=True), 1e-12)
            counts = np.stack([np.bincount(outcome, weight[:, one], minlength=N) for one in (0, 1)]) / AHEAD
            counts += PRIOR * base
            rates = counts / counts.sum(axis=1, keepdims=True)
        return cls(rates)

    def predict(self, wild: FloatArray, base: FloatArray) -> FloatArray:
        """(n_days, 4); ``base`` where nothing is known."""
        mixed = (1.0 - wild)[:, None] * self.rates[0] + wild[:, None] * self.rates[1]
        return np.where(np.isfinite(wild)[:, None], mixed, base)


@dataclass(frozen=True, slots=True, eq=False)
class RegimeLogit:
    """``softmax(log persistence + intercept + inputs · coefficients)``.

    Parameters
    ----------
    coefficients : FloatArray
        (k, 4), per standardised input.
    intercept : FloatArray
        (4,).
    """

    coefficients: FloatArray
    intercept: FloatArray

    @classmethod
    def fit(cls, inputs: FloatArray, start: FloatArray, outcomes: FloatArray, penalty: float) -> RegimeLogit:
        """Minimises the mean log loss + ``penalty`` · (sum of squared weights) over rows with a known outcome.

        Parameters
        ----------
        inputs, start : FloatArray
            Standardised, (n, k); logs of the chances to start from, (n, 4).
        outcomes : FloatArray
            Codes, NaN = unknown, (n,).
        """
        known = np.isfinite(outcomes)
        x = np.column_stack([np.ones(int(known.sum())), inputs[known]])
        offset, wanted = start[known], np.eye(N)[outcomes[known].astype(np.int64)]

        def cost(flat: FloatArray) -> tuple[float, FloatArray]:
            weights = flat.reshape(-1, N)
            logs = normalised_logs(offset + x @ weights)
            slope = x.T @ (np.exp(logs) - wanted) / len(x) + 2.0 * penalty * weights
            return float(-(wanted * logs).sum() / len(x) + penalty * (weights**2).sum()), slope.ravel()

        start_at = np.zeros((x.shape[1], N))
        found = optimize.minimize(cost, start_at.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 500}).x
        weights = np.asarray(found, dtype=np.float64).reshape(-1, N)
        return cls(weights[1:], weights[0])

    def logs(self, inputs: FloatArray, start: FloatArray) -> FloatArray:
        """Logs of the four chances, (n, 4), summed column by column."""
        total = start + self.intercept
        for column, weights in enumerate(self.coefficients):
            total = total + inputs[:, column, None] * weights
        return normalised_logs(total)

    def shares(self, inputs: FloatArray) -> FloatArray:
        """What each input adds to the log-odds, (n, k, 4)."""
        return np.asarray(inputs[:, :, None] * self.coefficients, dtype=np.float64)

    def arrays(self, prefix: str) -> dict[str, AnyArray]:
        """For `ModuleState.arrays`."""
        return {f"{prefix}.coefficients": self.coefficients, f"{prefix}.intercept": self.intercept}

    @classmethod
    def restore(cls, arrays: Mapping[str, AnyArray], prefix: str) -> RegimeLogit:
        """What `arrays` wrote."""
        return cls(arrays[f"{prefix}.coefficients"], arrays[f"{prefix}.intercept"])


def base_rates(outcomes: FloatArray, possible: BoolArray) -> FloatArray:
    """Share of each regime among known outcomes, with half an observation of each possible one; 0 for the others."""
    known = outcomes[np.isfinite(outcomes)].astype(np.int64)
    counts = np.bincount(known, minlength=N) / AHEAD + 0.5
    counts = np.where(possible, counts, 0.0)
    return np.asarray(counts / counts.sum(), dtype=np.float64)


def normalised_logs(logs: FloatArray) -> FloatArray:
    """Logs shifted so that their exponentials add up to 1 along the last axis."""
    top = logs.max(axis=-1, keepdims=True)
    return np.asarray(logs - top - np.log(np.exp(logs - top).sum(axis=-1, keepdims=True)), dtype=np.float64)


def vix_states(vix: FloatArray) -> FloatArray:
    """The fixed rule: 0 up to 25, 1 over 25, 2 over 35; NaN where the index is unknown."""
    return np.where(np.isfinite(vix), (vix > 25.0) * 1.0 + (vix > 35.0) * 1.0, np.nan)
