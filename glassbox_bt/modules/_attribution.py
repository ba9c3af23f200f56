"""What explanations share: reasons in words, drivers in words, one text per row."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from glassbox_bt.types import Answers, AnyArray, BoolArray, FloatArray, IntArray, Reason, StrArray

__all__ = [
    "REASON_WORDS",
    "RISKS",
    "RISK_WORDS",
    "first_largest",
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

REASON_WORDS = {
    Reason.SILENT: "this module is silent in this run",
    Reason.WARM_UP: "its window of past sessions is not complete yet",
    Reason.TOO_FEW_OBSERVATIONS: "its window has too many missing bars",
    Reason.INPUT_MISSING: "a market input it needs is missing today",
    Reason.UPSTREAM_UNKNOWN: "a module that it reads does not know today",
    Reason.NOT_A_MEMBER: "the name is outside the universe of the day",
    Reason.NO_FIT_YET: "no model had been fitted before this day",
    Reason.NOT_CONVERGED: "the estimate did not converge",
}


def per_row(answers: Answers, write: Callable[[int, int], str]) -> StrArray:
    """One text per (day, asset): ``write(day, asset)`` where known, the reason in words where not."""
    texts = np.empty(answers.known.shape, dtype=object)
    for reason, words in REASON_WORDS.items():
        texts[answers.reason == reason] = f"No answer and no driver to name: {words}."
    for day, asset in zip(*np.nonzero(answers.known), strict=True):
        texts[day, asset] = write(int(day), int(asset))
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
