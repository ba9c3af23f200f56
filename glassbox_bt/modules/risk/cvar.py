"""How bad are the days beyond value at risk? The mean of the tail, and how fat it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from glassbox_bt.errors import ContractError
from glassbox_bt.market.view import Span
from glassbox_bt.modules._rolling import Tails, rolling_tails
from glassbox_bt.modules.base import RuleModule, answers_of, reasons
from glassbox_bt.types import Answers, BoolArray, Kind, Read, Reason, StrArray

__all__ = ["HistoricalCvar"]

_SHARES = (0.05, 0.01)
_NO_LOSS = 1e-9  # |VaR| below which a ratio to it means nothing (spec 14)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoricalCvar(RuleModule):
    """Mean daily log return of the observed days at or below the historical VaR.

    ``cvar_95`` and ``cvar_99`` are negative for a loss and never above the VaR of their level;
    ``tail_ratio_*`` is ``abs(cvar / var)``, ``tail_count_*`` the number of days in the tail,
    ``tail_worst`` the lowest return of the window. A name
    whose VaR is zero (a price that hardly ever moves) has no tail ratio: the module then does not
    know, too few losses. Same window as `HistoricalVar`; nothing is learned.

    Parameters
    ----------
    sessions : int, default=504
        Length of the window, in sessions (two years); it expands until it is full.
    min_observed : int, default=100
        Observed returns it must hold; otherwise the module does not know.
    """

    sessions: int = 504
    min_observed: int = 100
    name: ClassVar[str] = "cvar"
    kind: ClassVar[Kind] = "asset"
    outputs: ClassVar[tuple[str, ...]] = (
        "cvar_95",
        "cvar_99",
        "tail_ratio_95",
        "tail_ratio_99",
        "tail_count_95",
        "tail_count_99",
        "tail_worst",
    )

    def __post_init__(self) -> None:
        if not 2 <= self.min_observed <= self.sessions:
            raise ContractError(f"`min_observed` must lie in [2, sessions = {self.sessions}], got {self.min_observed}.")

    @property
    def reads(self) -> tuple[Read, ...]:
        return (Read("log_return_1d", self.sessions),)

    def predict_many(self, span: Span) -> Answers:
        tails = self._tails(span)
        no_loss: BoolArray = np.any(np.abs(tails.quantile) < _NO_LOSS, axis=0)
        codes = reasons(
            (~span.member, Reason.NOT_A_MEMBER),
            (tails.age < self.min_observed, Reason.WARM_UP),
            (tails.n_observed < self.min_observed, Reason.TOO_FEW_OBSERVATIONS),
            (no_loss, Reason.TOO_FEW_OBSERVATIONS),
        )
        ratio = np.full(tails.mean.shape, np.nan)
        np.divide(tails.mean, tails.quantile, out=ratio, where=(codes == Reason.KNOWN)[None])
        outputs = {
            "cvar_95": tails.mean[0],
            "cvar_99": tails.mean[1],
            "tail_ratio_95": np.abs(ratio[0]),
            "tail_ratio_99": np.abs(ratio[1]),
            "tail_count_95": tails.count[0].astype(np.float64),
            "tail_count_99": tails.count[1].astype(np.float64),
            "tail_worst": tails.lowest,
        }
        return answers_of(self.name, span, outputs, codes)

    def explain(self, span: Span, answers: Answers) -> StrArray:  # noqa: ARG002
        """Tail means, ratio and count in words, and what the worst single day contributes."""
        out = np.empty(answers.known.shape, dtype=object)
        for cell in np.ndindex(out.shape):
            if answers.known[cell]:
                numbers = [float(answers.outputs[name][cell]) for name in self.outputs]
                out[cell] = _told(numbers)
            else:
                out[cell] = _UNKNOWN[Reason(int(answers.reason[cell]))]
        return out

    def _tails(self, span: Span) -> Tails:
        returns, at = span.block("log_return_1d"), span.at("log_return_1d")
        return rolling_tails(returns, at, self.sessions, self.min_observed, _SHARES)


def _told(numbers: list[float]) -> str:
    cvar_95, cvar_99, ratio_95, _, count_95, count_99, lowest = numbers
    shape = "a fat tail" if ratio_95 > 1.5 else "no fat tail"
    thin = ", a thin sample" if count_99 < 5 else ""
    without = ""
    if count_95 > 1:
        rest = (cvar_95 * count_95 - lowest) / (count_95 - 1)
        without = f" Without its worst day ({lowest:.2%}) the former would be {rest:.2%}."
    return (
        f"Expected shortfall: the 5% tail holds {count_95:.0f} observed days that averaged "
        f"{cvar_95:.2%}, the 1% tail {count_99:.0f} that averaged {cvar_99:.2%}{thin}; the former "
        f"is {ratio_95:.2f} times value at risk, {shape}.{without}"
    )


_UNKNOWN = {
    Reason.NOT_A_MEMBER: "Expected shortfall unknown: the name is not in the universe today.",
    Reason.WARM_UP: "Expected shortfall unknown: the return history of this name is too young.",
    Reason.TOO_FEW_OBSERVATIONS: ("Expected shortfall unknown: the window holds too few observed returns or losses."),
}
