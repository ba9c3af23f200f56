"""What explanations share: reasons in words, drivers in words, one text per row, integrated gradients, counterfactuals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from glassbox_bt.types import Answers, AnyArray, BoolArray, FloatArray, IntArray, Reason, StrArray

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "REASON_WORDS",
    "RISKS",
    "RISK_WORDS",
    "TEXT_DRIVERS",
    "Counterfactual",
    "Gradients",
    "first_largest",
    "integrated_gradients",
    "normalised",
    "per_row",
]

# Order fixed by spec 0.1; ties between drivers go to the first.
RISKS = ("volatility", "drawdown", "var_cvar", "contagion", "liquidity", "regime")
RISK_WORDS = (
    "volatility",
    "drawdown",
    "tail loss",
    "contagion",
    "liquidity",
    "market regime",
)
# Order fixed by D-FUS-07; the last stands where there is no text.
TEXT_DRIVERS = (
    "sentiment",
    "news_impact",
    "risk_relevance",
    "volatility_spike",
    "drawdown_risk",
    "news_uncertainty",
    "no_text_event",
)

REASON_WORDS = {
    Reason.SILENT: "this module is silent in this run",
    Reason.WARM_UP: "its window of past sessions is not complete yet",
    Reason.TOO_FEW_OBSERVATIONS: "its window has too many missing bars",
    Reason.INPUT_MISSING: "a market input it needs is missing today",
    Reason.UPSTREAM_UNKNOWN: "a module that it reads does not know today",
    Reason.NOT_A_MEMBER: "the name is outside the universe of the day",
    Reason.NO_FIT_YET: "no model had been fitted before this day",
    Reason.NOT_CONVERGED: "the estimate did not converge",
    Reason.NO_TEXT: "no document of the last days speaks of this name",
}


def per_row(answers: Answers, write: Callable[..., str]) -> StrArray:
    """One text per answer: ``write(day, asset)`` where known, ``write(row)`` for documents; else the reason in words."""
    texts = np.empty(answers.known.shape, dtype=object)
    for reason, words in REASON_WORDS.items():
        texts[answers.reason == reason] = f"No answer and no driver to name: {words}."
    for place in zip(*np.nonzero(answers.known), strict=True):
        texts[place] = write(*map(int, place))
    return texts


def first_largest(values: AnyArray, available: BoolArray) -> IntArray:
    """Index of the largest available value in each row, the first of equals; (n_rows, k) -> (n_rows,).

    Rows without any available value get 0; callers abstain there.
    """
    return np.asarray(np.argmax(np.where(available, values, -np.inf), axis=-1), dtype=np.int64)


def normalised(sizes: AnyArray, available: BoolArray) -> FloatArray:
    """Shares of non-negative ``sizes`` over the available slots, adding up to 1; even shares where all are 0.

    (n_rows, k) -> (n_rows, k); exactly 0 where a slot is not available, and in rows without any.
    """
    kept = np.where(available, sizes, 0.0)
    total = kept.sum(axis=-1, keepdims=True)
    even = np.where(available, 1.0, 0.0)
    kept = np.where(total > 0.0, kept, even)
    total = kept.sum(axis=-1, keepdims=True)
    shares: FloatArray = np.divide(kept, total, out=np.zeros(kept.shape), where=total > 0.0)
    return shares


@dataclass(frozen=True, slots=True)
class Gradients:
    """Integrated gradients of some rows.

    Parameters
    ----------
    shares : FloatArray
        What each input adds to the answer, of the shape of the inputs, (n_rows, ...).
    change : FloatArray
        Answer at the inputs less answer at the baseline, (n_rows,).
    """

    shares: FloatArray
    change: FloatArray

    @property
    def gap(self) -> FloatArray:
        """Sum of the shares less the change they explain, (n_rows,); 0 for an exact integral (completeness)."""
        return np.asarray(self.shares.reshape(len(self.change), -1).sum(axis=1) - self.change, dtype=np.float64)


def integrated_gradients(
    score: Callable[[Tensor], Tensor], inputs: AnyArray, baseline: AnyArray, *, steps: int = 32, block: int = 64
) -> Gradients:
    """Integrated gradients along the straight line from a baseline (Sundararajan, Taly and Yan 2017).

    Parameters
    ----------
    score : Callable[[Tensor], Tensor]
        A network in evaluation mode, or a function of one: (n_rows, ...) -> (n_rows,), each row from its own inputs.
    inputs, baseline : AnyArray
        (n_rows, ...), and the same or one row for all. Integrals are taken by the midpoint rule.
    steps : int
        Points of the integral.
    block : int
        Rows at a time, the last ones padded with zeros, so that no share depends on the rows around it (R13).
    """
    import torch

    from glassbox_bt.modules._blocks import deterministic

    pad = ((0, -len(inputs) % block), *((0, 0),) * (inputs.ndim - 1))
    ends, starts = (np.pad(one, pad).astype(np.float32) for one in (inputs, np.broadcast_to(baseline, inputs.shape)))
    shares, change = np.zeros(ends.shape), np.zeros(len(ends))
    with deterministic("cpu"):
        for first in range(0, len(ends), block):
            rows = slice(first, first + block)
            start, end = torch.from_numpy(starts[rows]), torch.from_numpy(ends[rows])
            total = torch.zeros_like(end)
            for step in range(steps):
                at = (start + (step + 0.5) / steps * (end - start)).requires_grad_()
                (slope,) = torch.autograd.grad(score(at).sum(), at)
                total += slope
            shares[rows] = ((end - start) * total / steps).numpy()
            with torch.no_grad():
                change[rows] = (score(end) - score(start)).numpy()
    return Gradients(shares[: len(inputs)], change[: len(inputs)])


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """What would have been answered, had an input been another.

    Parameters
    ----------
    name : str
        Of the change, in words.
    expected : int
        Sign of the change in the answer that the market's logic asks for, +1 or -1.
    before, after : FloatArray
        The answer as it was and as it would have been, of one shape; NaN where the module does not know.
    """

    name: str
    expected: int
    before: FloatArray
    after: FloatArray

    def as_expected(self, at_least: float = 1e-4) -> BoolArray:
        """Where the answer moves the expected way by more than ``at_least`` (spec 25.5, M4)."""
        return np.asarray(self.expected * (self.after - self.before) > at_least)
