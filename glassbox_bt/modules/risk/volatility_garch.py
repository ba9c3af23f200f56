"""How much will a name move? A GARCH model by maximum likelihood, refitted on calendar month ends.

1. On the last session of every ``refit_months``-th month the model is estimated on the observed
   returns of the trailing window (`_volatility_garch.estimate`); it is used from the next session on.
2. From the start of that window the variance is filtered day by day to the day asked (`follow`).
   An unobserved session is skipped: nothing was learned, so the forecast stays.
3. The forecast for *h* sessions is the root of the mean variance of the coming *h*, annualised.

Everything follows from the window of the day: one day and many days give the same numbers. No
starting value is carried from one refit to the next. It is a rule: it learns from no label, so its
answers are computed once per chunk, whatever folds the learned modules above it are fitted on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from glassbox_bt.errors import PlanError
from glassbox_bt.market.view import Span
from glassbox_bt.modules._attribution import per_row
from glassbox_bt.modules._volatility_garch import FORMS, PERCENT, Form, estimate, follow, persistence
from glassbox_bt.modules.base import RuleModule, answers_of, reasons, rounded
from glassbox_bt.types import Answers, AnyArray, BoolArray, FloatArray, IntArray, Kind, Read, Reason, StrArray

__all__ = ["Garch", "GarchVolatility"]

LONGEST_MONTH = 25  # sessions; no calendar has more in a month
HORIZONS = np.array([10, 30])
RECENT, MIN_RECENT = 21, 15  # sessions of realised volatility, and returns among them at least
LARGEST = 5.0  # annualised; beyond lies a broken fit (spec 0.1)
_STATE = ("vol_10d", "vol_30d", "ewma_vol")


@dataclass(frozen=True, slots=True, kw_only=True)
class Garch(RuleModule):
    """Forecasts of annualised volatility, with what they are compared with; the base of the learned module `volatility`.

    ``vol_10d`` and ``vol_30d`` are annualised fractions in (0, 5]; ``garch_vol`` is the ten-session
    forecast under the name that downstream tables use; ``recent_vol`` the realised volatility of 21
    sessions; ``ewma_vol`` the exponentially weighted one; ``persistence`` the share of a shock to the
    variance that is left after a session, under 1; ``refit_age`` the sessions since the estimate.

    Parameters
    ----------
    form : {"garch", "egarch", "gjr"}
        GARCH(1,1), or a form in which losses may move the variance more than gains.
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
    Persistence is estimated under the bound 0.999, which binds for 6 % of large US stocks at a cost
    of mostly under one unit of log-likelihood; unbounded, those estimates are not stationary. An
    estimate that does not converge is tried once more from other starting values; after that the
    name has `Reason.NOT_CONVERGED` until the next refit. Forecasts beyond 500 % a year count as such.
    """

    form: Form = "garch"
    window: int = 1000
    min_observed: int = 252
    refit_months: int = 1
    ewma_decay: float = 0.94

    name: ClassVar[str] = "garch"
    kind: ClassVar[Kind] = "asset"
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
        if self.form not in FORMS:
            raise PlanError(f"`form` is one of {', '.join(FORMS)}, got {self.form!r}.")
        if not 30 <= self.min_observed <= self.window:
            raise PlanError(f"`min_observed` must lie between 30 and `window`, got {self.min_observed} and {self.window}.")
        if not 1 <= self.refit_months <= 12:
            raise PlanError(f"`refit_months` must lie in 1..12, got {self.refit_months}.")
        if not 0.0 < self.ewma_decay < 1.0:
            raise PlanError(f"`ewma_decay` must lie in (0, 1), got {self.ewma_decay}.")

    @property
    def reads(self) -> tuple[Read, ...]:
        longest = self.window + LONGEST_MONTH * self.refit_months
        return (Read("log_return_1d", longest), Read("month_start", longest))

    def predict_many(self, span: Span) -> Answers:
        """Estimates are made only for names and refits that some day of the span needs."""
        first = _month_starts(span, self.refit_months)  # block row, -1 where there is none
        observed = np.isfinite(span.block("log_return_1d"))
        found = {name: np.full(span.member.shape, np.nan) for name in (*_STATE, "persistence")}
        codes = reasons((~span.member, Reason.NOT_A_MEMBER))
        for start in np.unique(first):
            days = np.flatnonzero(first == start)
            window = slice(max(int(start) - self.window, 0), max(int(start), 0))
            enough = observed[window].sum(axis=0) >= self.min_observed
            _mark(codes, days, ~enough, _why(observed, window))
            for asset in np.flatnonzero((codes[days] == Reason.KNOWN).any(axis=0)):
                said = self._follow(span, days, window, int(asset))
                for name, values in said.items():
                    found[name][days, asset] = values
        recent = _realised(span)
        known = codes == Reason.KNOWN
        codes[known & ~np.isfinite(recent)] = Reason.TOO_FEW_OBSERVATIONS
        usable = (found["vol_10d"] <= LARGEST) & (found["vol_30d"] <= LARGEST)  # NaN: no estimate
        codes[(codes == Reason.KNOWN) & ~usable] = Reason.NOT_CONVERGED
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

    def _follow(self, span: Span, days: IntArray, window: slice, asset: int) -> dict[str, FloatArray]:
        """Estimate on the window, filter to each of ``days``; empty where there is no estimate."""
        at = span.at("log_return_1d")[days]
        rows = slice(window.start, int(at[-1]) + 1)
        returns = PERCENT * np.ascontiguousarray(span.block("log_return_1d")[rows, asset])
        seen = returns[: window.stop - window.start]
        model = estimate(seen[np.isfinite(seen)], self.form)
        if model is None:
            return {}
        filtered = follow(returns, model, self.form, self.ewma_decay, HORIZONS)
        said = dict(zip(_STATE, filtered[:, at - window.start], strict=True))
        return {**said, "persistence": np.full(len(days), persistence(model, self.form))}

    def explain(self, span: Span, answers: Answers) -> StrArray:  # noqa: ARG002
        """The forecast against what was realised, and how long shocks last."""
        outputs = answers.outputs

        def write(day: int, asset: int) -> str:
            return _told(*(float(outputs[name][day, asset]) for name in self.outputs))

        return per_row(answers, write)


@dataclass(frozen=True, slots=True, kw_only=True)
class GarchVolatility(Garch):
    """The same forecasts under the name that sizing and fusion read: for a stack without the learned module."""

    name: ClassVar[str] = "volatility"


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


def _realised(span: Span) -> FloatArray:
    """Annualised sample deviation of the last 21 sessions' observed returns, (n_days, n_assets)."""
    windows = span.windows("log_return_1d", RECENT)  # (n_days, 21, n_assets)
    seen = np.isfinite(windows)
    count = seen.sum(axis=1)
    total, squares = np.zeros(count.shape), np.zeros(count.shape)
    enough = count >= MIN_RECENT
    for step in range(RECENT):  # in this order for one day and for many
        total = total + np.where(seen[:, step], windows[:, step], 0.0)
    mean = total / np.maximum(count, 1)
    for step in range(RECENT):
        squares = squares + np.where(seen[:, step], (windows[:, step] - mean) ** 2, 0.0)
    return np.where(enough, np.sqrt(252.0 * squares / np.maximum(count - 1, 1)), np.nan)


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


def _mark(codes: NDArray[np.int8], days: IntArray, assets: BoolArray, why: AnyArray) -> None:
    """Give those assets their reason on those days, unless they already have one."""
    block = codes[days]
    codes[days] = np.where((block == Reason.KNOWN) & assets, why, block)


def _why(observed: AnyArray, window: slice) -> AnyArray:
    """Too young a name, or too many gaps: (n_assets,) reason codes."""
    seen = observed[window]
    if len(seen) == 0:
        return np.full(observed.shape[1], Reason.WARM_UP, dtype=np.int8)
    first = np.where(seen.any(axis=0), seen.argmax(axis=0), len(seen))
    dense = seen.sum(axis=0) >= 0.9 * (len(seen) - first)
    return np.where(dense, Reason.WARM_UP, Reason.TOO_FEW_OBSERVATIONS).astype(np.int8)
