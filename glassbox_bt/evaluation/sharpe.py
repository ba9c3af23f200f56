"""Is a Sharpe ratio more than luck? Probabilistic and deflated Sharpe ratio, and the track record that would settle it.

All ratios here are per session, not annualised: the formulas hold at the frequency of the returns. Kurtosis is that of the
fourth moment itself, 3 for a normal variable; software that feeds excess kurtosis into these formulas is wrong. The formulas
assume returns that do not depend on the past; block-bootstrap intervals beside them do not.

* Bailey and López de Prado, "The Sharpe ratio efficient frontier", Journal of Risk 15(2), 2012.
* Bailey and López de Prado, "The deflated Sharpe ratio", Journal of Portfolio Management 40(5), 2014.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from glassbox_bt.errors import ContractError
from glassbox_bt.evaluation.books import CONFIGURATIONS, Books
from glassbox_bt.types import FloatArray

__all__ = [
    "Moments",
    "deflated_sharpe",
    "expected_maximum",
    "min_track_record",
    "moments",
    "n_trials",
    "probabilistic_sharpe",
    "sharpe_tests",
]


@dataclass(frozen=True, slots=True)
class Moments:
    """What the formulas need of a series of returns.

    Parameters
    ----------
    n_sessions : int
        Number of returns.
    sharpe : float
        Mean by standard deviation (n − 1), per session; NaN where returns do not vary.
    skewness : float
        Third standardised moment.
    kurtosis : float
        Fourth standardised moment, 3 for a normal variable, at least 1.
    """

    n_sessions: int
    sharpe: float
    skewness: float = 0.0
    kurtosis: float = 3.0

    @property
    def spread(self) -> float:
        """√(n − 1) times the standard error of the Sharpe ratio."""
        squared = 1.0 - self.skewness * self.sharpe + 0.25 * (self.kurtosis - 1.0) * self.sharpe**2
        return math.sqrt(squared) if squared > 0.0 else math.nan


def moments(returns: FloatArray) -> Moments:
    """Moments of a series of simple returns per session, (n_sessions,)."""
    deviation = float(np.std(returns, ddof=1))
    if not deviation > 0.0:
        return Moments(len(returns), math.nan, math.nan, math.nan)
    ratio = float(np.mean(returns)) / deviation
    return Moments(len(returns), ratio, float(stats.skew(returns)), float(stats.kurtosis(returns, fisher=False)))


def probabilistic_sharpe(of: Moments, benchmark: float = 0.0) -> float:
    """Probability that the true Sharpe ratio exceeds ``benchmark``, both per session; NaN where it is not defined."""
    return float(stats.norm.cdf((of.sharpe - benchmark) * math.sqrt(of.n_sessions - 1) / of.spread))


def expected_maximum(variance: float, trials: int) -> float:
    """Expected largest Sharpe ratio among ``trials`` of independent strategies without skill; 0 for one trial.

    Parameters
    ----------
    variance : float
        Of the Sharpe ratios across trials, per session, squared.
    trials : int
        How many were tried, at least 1.
    """
    if trials < 1 or variance < 0.0:
        raise ContractError(f"Needs at least one trial and a variance >= 0, got {trials} and {variance}.")
    if trials == 1:
        return 0.0
    upper, outer = stats.norm.ppf(1.0 - 1.0 / trials), stats.norm.ppf(1.0 - 1.0 / (trials * math.e))
    return math.sqrt(variance) * float((1.0 - np.euler_gamma) * upper + np.euler_gamma * outer)


def deflated_sharpe(of: Moments, variance: float, trials: int) -> float:
    """Probability that the true Sharpe ratio exceeds what the best of ``trials`` without skill is expected to show."""
    return probabilistic_sharpe(of, expected_maximum(variance, trials))


def min_track_record(of: Moments, level: float, benchmark: float = 0.0) -> float:
    """Sessions after which the probability that the true ratio exceeds ``benchmark`` reaches ``level``, moments unchanged.

    NaN where the observed ratio does not exceed the benchmark: no length would do.
    """
    if not of.sharpe > benchmark:
        return math.nan
    return 1.0 + (of.spread * float(stats.norm.ppf(level)) / (of.sharpe - benchmark)) ** 2


def n_trials(books: Books, readings: int) -> int:
    """Configurations of the stack that were run on these test days, times the readings of their labels (R26).

    The stack, its versions without what it learned (`CONFIGURATIONS`) and every ablation that changed something. A reading
    before this one means that the same set was tried before, with other numbers.
    """
    return len(books.configurations) * max(1, readings)


def sharpe_tests(books: Books, trials: int) -> list[dict[str, Any]]:
    """One row per strategy and span; only configurations of the stack are deflated, a textbook rival is one trial.

    The variance across trials is that of the recorded configurations; where fewer than two have a Sharpe ratio, it is that
    of the Sharpe ratio of a strategy without skill, 1 / (n − 1).
    """
    rows = []
    for span in books.spans:
        variance = _variance(books, span)
        for name in books.strategies:
            found = moments(books.returns(name, span))
            tried = trials if name in CONFIGURATIONS else 1
            rows.append(
                {
                    "strategy": name,
                    "chunk": span,
                    "sharpe": found.sharpe * math.sqrt(252.0),
                    "psr": probabilistic_sharpe(found),
                    "dsr": deflated_sharpe(found, variance, tried),
                    "n_trials": tried,
                    "min_track_record": min_track_record(found, books.settings.level),
                }
            )
    return rows


def _variance(books: Books, span: int) -> float:
    ratios = np.array([moments(books.returns(name, span)).sharpe for name in books.configurations])
    known = ratios[np.isfinite(ratios)]
    if len(known) < 2:
        return 1.0 / (len(books.returns(books.configurations[0], span)) - 1)
    return float(np.var(known, ddof=1))
