"""How much will a name move? GARCH(1,1) by maximum likelihood, refitted on calendar month ends.

1. On the last session of every ``refit_months``-th month the model is estimated on the observed
   returns of the trailing window (`_estimate`); it is used from the next session on.
2. From the start of that window the variance is filtered day by day to the day asked (`_filter`).
   An unobserved session is skipped: nothing was learned, so the forecast stays.
3. The forecast for *h* sessions is the root of the mean variance of the coming *h*, annualised.

Everything follows from the window of the day: one day and many days give the same numbers. No
starting value is carried from one refit to the next.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from arch import arch_model
from numba import njit

from glassbox_bt.errors import PlanError
from glassbox_bt.market.view import Span, TrainView
from glassbox_bt.modules._attribution import per_row
from glassbox_bt.modules.base import (
    Candidate,
    FitContext,
    ModuleState,
    answers_of,
    reasons,
    rounded,
)
from glassbox_bt.types import Answers, AnyArray, FloatArray, IntArray, Kind, Read, Reason, StrArray

__all__ = ["GarchVolatility"]

LONGEST_MONTH = 25  # sessions; no calendar has more in a month
PERCENT = 100.0  # the likelihood is well scaled in percent
RESTART = (0.05, 0.05, 0.90)  # omega as a share of the variance, alpha, beta
HORIZONS = (10, 30)
LARGEST = 5.0  # annualised; beyond lies a broken fit (spec 0.1)
_STATE = ("vol_10d", "vol_30d", "ewma_vol")


@dataclass(frozen=True, slots=True, kw_only=True)
class GarchVolatility:
    """Forecasts of annualised volatility, with what they are compared with.

    ``vol_10d`` and ``vol_30d`` are annualised fractions in (0, 5]; ``garch_vol`` is the ten-session
    forecast under the name that downstream tables use; ``recent_vol`` the realised volatility of 21
    sessions; ``ewma_vol`` the exponentially weighted one; ``persistence`` alpha + beta, under 1;
    ``refit_age`` the sessions since the estimate.

    Parameters
    ----------
    window : int
        Sessions of returns that an estimate sees.
    min_observed : int
        Observed returns among them, at least.
    refit_months : int
        Months between estimates; they follow the calendar (3: the ends of its quarters).
    ewma_decay : float
        Of the exponentially weighted variance, in (0, 1).

    Notes
    -----
    An estimate that does not converge or is not stationary is tried once more from other starting
    values; after that the name has `Reason.NOT_CONVERGED` until the next refit.
    """

    window: int = 1000
    min_observed: int = 252
    refit_months: int = 1
    ewma_decay: float = 0.94

    name: ClassVar[str] = "volatility"
    kind: ClassVar[Kind] = "asset"
    self_supervised: ClassVar[bool] = False
    outputs: ClassVar[tuple[str, ...]] = (
        "vol_10d",
        "vol_30d",
        "garch_vol",
        "recent_vol",
        "ewma_vol",
        "persistence",
        "refit_age",
    )

    def __post_init__(self) -> None:
        if not 30 <= self.min_observed <= self.window:
            raise PlanError(f"`min_observed` must lie between 30 and `window`, got {self.min_observed} and {self.window}.")
        if not 1 <= self.refit_months <= 12:
            raise PlanError(f"`refit_months` must lie in 1..12, got {self.refit_months}.")
        if not 0.0 < self.ewma_decay < 1.0:
            raise PlanError(f"`ewma_decay` must lie in (0, 1), got {self.ewma_decay}.")

    @property
    def reads(self) -> tuple[Read, ...]:
        longest = self.window + LONGEST_MONTH * self.refit_months
        return (Read("log_return_1d", longest), Read("month_start", longest), Read("vol_21d"))

    @property
    def learns_from(self) -> tuple[str, ...]:
        return ()

    def fit(self, train: TrainView, ctx: FitContext) -> tuple[Candidate, ...]:  # noqa: ARG002
        """Nothing to learn ahead of time: every estimate belongs to the window of its day."""
        return (Candidate("rule", self),)

    def select(
        self,
        candidates: tuple[Candidate, ...],
        validation: TrainView | None,  # noqa: ARG002
    ) -> Candidate:
        """There is one candidate."""
        return candidates[0]

    def state(self) -> ModuleState:
        return ModuleState()

    def restore(self, state: ModuleState) -> GarchVolatility:  # noqa: ARG002
        return self

    def predict_many(self, span: Span) -> Answers:
        """Estimates are made only for names and refits that some day of the span needs."""
        first = _month_starts(span, self.refit_months)  # block row, -1 where there is none
        returns = PERCENT * span.block("log_return_1d")
        observed = np.isfinite(returns)
        shape = span.member.shape
        found = {name: np.full(shape, np.nan) for name in (*_STATE, "persistence")}
        codes = reasons((~span.member, Reason.NOT_A_MEMBER))
        for start in np.unique(first):
            days = np.flatnonzero(first == start)
            window = slice(max(int(start) - self.window, 0), max(int(start), 0))
            enough = observed[window].sum(axis=0) >= self.min_observed
            codes[days] = np.where((codes[days] == Reason.KNOWN) & ~enough, _why(observed, window), codes[days])
            for asset in np.flatnonzero((codes[days] == Reason.KNOWN).any(axis=0)):
                last = int(span.at("log_return_1d")[days[-1]]) + 1
                said = self._follow(returns[window.start : last, asset], window.stop - window.start)
                if said is None:
                    codes[days, asset] = np.where(
                        codes[days, asset] == Reason.KNOWN, Reason.NOT_CONVERGED, codes[days, asset]
                    )
                    continue
                rows = span.at("log_return_1d")[days] - window.start
                for name, values in said.items():
                    found[name][days, asset] = values[rows]
        recent = span.today("vol_21d")
        codes = np.where((codes == Reason.KNOWN) & ~np.isfinite(recent), Reason.TOO_FEW_OBSERVATIONS, codes).astype(np.int8)
        return answers_of(self.name, span, self._outputs(found, recent, span, first), codes)

    def _outputs(
        self, found: Mapping[str, FloatArray], recent: FloatArray, span: Span, first: IntArray
    ) -> dict[str, AnyArray]:
        age = (span.at("log_return_1d") - first + 1).astype(np.float64)
        outputs = {
            "vol_10d": found["vol_10d"],
            "vol_30d": found["vol_30d"],
            "garch_vol": found["vol_10d"],
            "recent_vol": recent,
            "ewma_vol": found["ewma_vol"],
            "persistence": found["persistence"],
            "refit_age": np.broadcast_to(age[:, None], recent.shape),
        }
        return {name: rounded(values) for name, values in outputs.items()}

    def _follow(self, returns: FloatArray, n_window: int) -> dict[str, FloatArray] | None:
        """Estimate on the first ``n_window`` rows, filter through all; None without a usable fit."""
        seen = returns[:n_window]
        model = _estimate(seen[np.isfinite(seen)])
        if model is None:
            return None
        filtered = _filter(returns, model, self.ewma_decay, np.array(HORIZONS))
        said = dict(zip(_STATE, filtered, strict=True))
        forecasts = filtered[:2, n_window:]
        if not bool(((forecasts > 0.0) & (forecasts <= LARGEST)).all()):
            return None
        said["persistence"] = np.full(len(returns), model[2] + model[3])
        return said

    def explain(self, span: Span, answers: Answers) -> StrArray:  # noqa: ARG002
        """The forecast against what was realised, and how long shocks last."""
        outputs = answers.outputs

        def write(day: int, asset: int) -> str:
            return _told(*(float(outputs[name][day, asset]) for name in self.outputs))

        return per_row(answers, write)


def _told(*row: float) -> str:
    vol_10d, vol_30d, _, recent, _, persistence, age = row
    change = vol_10d / recent - 1.0
    if abs(change) < 0.05:
        driver = "recent realised volatility carries the forecast"
    elif change > 0.0:
        driver = "the pull of the long-run level or a fresh shock lifts it above the recent past"
    else:
        driver = "the fading of recent shocks brings it below the recent past"
    return (
        f"Volatility forecast {vol_10d:.1%} a year over 10 sessions and {vol_30d:.1%} over 30, "
        f"after {recent:.1%} realised in 21 sessions: {driver}. Persistence {persistence:.3f}, "
        f"estimated {age:.0f} sessions ago."
    )


def _month_starts(span: Span, months: int) -> IntArray:
    """Block row of the first session that the estimate in force was used, -1 where none is seen.

    It is the first session of a month whose number is a multiple of ``months``; the estimate ends
    on the session before.
    """
    flags = np.flatnonzero(span.block("month_start") == 1.0)
    at = span.at("month_start")
    number = span.dates.astype("datetime64[M]").astype(np.int64)
    wanted = np.searchsorted(flags, at, side="right") - 1 - number % months
    if flags.size == 0:
        return np.full(at.shape, -1, dtype=np.int64)
    return np.where(wanted >= 0, flags[wanted.clip(min=0)], -1).astype(np.int64)


def _why(observed: AnyArray, window: slice) -> AnyArray:
    """Too young a name, or too many gaps: (n_assets,) reason codes."""
    seen = observed[window]
    if len(seen) == 0:
        return np.full(observed.shape[1], Reason.WARM_UP, dtype=np.int8)
    first = np.where(seen.any(axis=0), seen.argmax(axis=0), len(seen))
    dense = seen.sum(axis=0) >= 0.9 * (len(seen) - first)
    return np.where(dense, Reason.WARM_UP, Reason.TOO_FEW_OBSERVATIONS).astype(np.int8)


def _estimate(returns: FloatArray) -> FloatArray | None:
    """Mean, omega, alpha, beta of percent returns; None where no stationary optimum was found."""
    variance = float(returns.var())
    if not variance > 0.0:
        return None
    restart = np.array([returns.mean(), RESTART[0] * variance, RESTART[1], RESTART[2]])
    model = arch_model(returns, mean="Constant", vol="GARCH", p=1, q=1, rescale=False)
    for starting in (None, restart):
        with warnings.catch_warnings():
            # SLSQP steps back inside its bounds by itself; whether it converged is checked below.
            warnings.filterwarnings("ignore", "Values in x were outside bounds", RuntimeWarning)
            fit = model.fit(disp="off", show_warning=False, starting_values=starting)
        found = np.asarray(fit.params, dtype=np.float64)
        stationary = found[2] + found[3] < 1.0 and found[1] > 0.0
        if fit.convergence_flag == 0 and stationary and bool(np.isfinite(found).all()):
            return found
    return None


@njit(cache=True)
def _filter(returns: FloatArray, model: FloatArray, decay: float, horizons: IntArray) -> FloatArray:
    """After each row: forecasts of both horizons and the EWMA, annualised fractions, (3, n_rows).

    Starts, as the estimate does, from an exponentially weighted mean of the first squares.
    """
    mean, omega, alpha, beta = model
    variance = _backcast(returns, mean)
    variance = omega + (alpha + beta) * variance  # of the first observed row, before it is seen
    weighted = _backcast(returns, 0.0)
    out = np.full((3, returns.size), np.nan)
    for row in range(returns.size):
        if np.isfinite(returns[row]):
            shock = returns[row] - mean
            variance = omega + alpha * shock * shock + beta * variance
            weighted = decay * weighted + (1.0 - decay) * returns[row] * returns[row]
        for number in range(horizons.size):
            ahead, total = variance, 0.0
            for _ in range(horizons[number]):
                total += ahead
                ahead = omega + (alpha + beta) * ahead
            out[number, row] = np.sqrt(252.0 * total / horizons[number]) / PERCENT
        out[2, row] = np.sqrt(252.0 * weighted) / PERCENT
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
