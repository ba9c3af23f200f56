"""How much does this name lose on a bad day? The empirical quantile of its own past returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import njit

from glassbox_bt.errors import ContractError
from glassbox_bt.market.view import Span
from glassbox_bt.modules._rolling import rolling_tails
from glassbox_bt.modules.base import RuleModule, answers_of, reasons
from glassbox_bt.types import Answers, AnyArray, FloatArray, IntArray, Kind, Read, Reason, StrArray

__all__ = ["HistoricalVar"]

_SHARES = (0.05, 0.01)  # of the days in each tail: VaR at 95 % and at 99 %
_RANKED = 20  # past values that a severity percentile needs


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoricalVar(RuleModule):
    """Daily log return undercut on 5 % and on 1 % of the observed days of the window.

    ``var_95`` and ``var_99`` are return quantiles (negative = loss; ``var_99 <= var_95``) with
    linear interpolation, ``window_size`` the number of observed returns. The window expands until
    it is full. Unobserved sessions are not counted and nothing is learned. ``ranked_sessions`` is
    the number of past sessions with a VaR of their own, ``not_worse_sessions`` how many of them had
    one no worse than today's, in loss magnitude (D-VAR-01): what the explanation ranks today by.

    Parameters
    ----------
    sessions : int, default=504
        Length of the window, in sessions (two years).
    min_observed : int, default=100
        Observed returns it must hold; otherwise the module does not know.
    ranked_sessions : int, default=252
        Past sessions with whose VaR today's is compared.
    """

    sessions: int = 504
    min_observed: int = 100
    ranked_sessions: int = 252
    name: ClassVar[str] = "var"
    kind: ClassVar[Kind] = "asset"
    outputs: ClassVar[tuple[str, ...]] = ("var_95", "var_99", "window_size", "ranked_sessions", "not_worse_sessions")

    def __post_init__(self) -> None:
        if not 2 <= self.min_observed <= self.sessions:
            raise ContractError(f"`min_observed` must lie in [2, sessions = {self.sessions}], got {self.min_observed}.")
        if self.ranked_sessions < 0:
            raise ContractError(f"`ranked_sessions` cannot be under 0, got {self.ranked_sessions}.")

    @property
    def reads(self) -> tuple[Read, ...]:
        return (Read("log_return_1d", self.sessions + self.ranked_sessions),)

    def predict_many(self, span: Span) -> Answers:
        returns, at = span.block("log_return_1d"), span.at("log_return_1d")
        tails = rolling_tails(returns, at, self.sessions, self.min_observed, _SHARES)
        too_few = tails.n_observed < self.min_observed
        codes = reasons(
            (~span.member, Reason.NOT_A_MEMBER),
            (tails.age < self.min_observed, Reason.WARM_UP),
            (too_few, Reason.TOO_FEW_OBSERVATIONS),
        )
        outputs = {
            "var_95": tails.quantile[0],
            "var_99": tails.quantile[1],
            "window_size": tails.n_observed.astype(np.float64),
            **self._severity(span),
        }
        return answers_of(self.name, span, outputs, codes)

    def explain(self, span: Span, answers: Answers) -> StrArray:  # noqa: ARG002
        """Order statistics in words, and how today's VaR ranks in the name's own past."""
        out = np.empty(answers.known.shape, dtype=object)
        for cell in np.ndindex(out.shape):
            if answers.known[cell]:
                out[cell] = _told(*(float(answers.outputs[name][cell]) for name in self.outputs))
            else:
                out[cell] = _UNKNOWN[Reason(int(answers.reason[cell]))]
        return out

    def _severity(self, span: Span) -> dict[str, AnyArray]:
        """Past sessions with a VaR, and those of them with one no worse than today's, each (n_days, n_assets).

        In loss magnitude, so that all of them is the worst state (D-VAR-01), over sessions before
        each day only (D-VAR-02).
        """
        returns, at = span.block("log_return_1d"), span.at("log_return_1d")
        rows = np.arange(self.sessions - 1, len(returns))
        past = rolling_tails(returns, rows, self.sessions, self.min_observed, _SHARES[:1])
        ranked, not_worse = _counted(-past.quantile[0], at - self.sessions + 1, self.ranked_sessions)
        return {"ranked_sessions": ranked, "not_worse_sessions": not_worse}


@njit(cache=True)
def _counted(loss: FloatArray, at: IntArray, sessions: int) -> tuple[FloatArray, FloatArray]:
    ranked = np.zeros((at.size, loss.shape[1]))
    not_worse = np.zeros((at.size, loss.shape[1]))
    for day in range(at.size):
        for asset in range(loss.shape[1]):
            for row in range(at[day] - sessions, at[day]):
                if np.isfinite(loss[row, asset]):
                    ranked[day, asset] += 1
                    not_worse[day, asset] += loss[row, asset] <= loss[at[day], asset]
    return ranked, not_worse


def _told(var_95: float, var_99: float, size: float, ranked_sessions: float, not_worse: float) -> str:
    level = "severe" if var_95 < -0.05 else "elevated" if var_95 < -0.03 else "ordinary"
    ranked = (
        "too little history to rank it"
        if ranked_sessions < _RANKED
        else f"at least as bad as on {not_worse / ranked_sessions:.0%} of its ranked past sessions"
    )
    return (
        f"Value at risk of {size:.0f} observed days: one day in twenty returned {var_95:.2%} or less, "
        f"one in a hundred {var_99:.2%} or less; tail loss is {level}, {ranked}."
    )


_UNKNOWN = {
    Reason.NOT_A_MEMBER: "Value at risk unknown: the name is not in the universe today.",
    Reason.WARM_UP: "Value at risk unknown: the return history of this name is still too young.",
    Reason.TOO_FEW_OBSERVATIONS: ("Value at risk unknown: the window holds too few observed returns because of gaps."),
}
