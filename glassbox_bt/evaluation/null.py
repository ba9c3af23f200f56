"""Does a book earn more than its own exposure would have earned in 1/N? The question of the noise controls.

Estimand: the mean over sessions of ``r_t - (e_{t-1} / f_{t-1}) s_t``, where ``r`` and ``e`` are the book's simple return
and its exposure at the close, ``s`` and ``f`` those of a 1/N book on the same days, names, costs and fills. The second term
is what the same money would have earned spread evenly, so that neither a rising market nor a careful size counts as skill.

Test: one-sided t-test of "the mean is not positive". Where the expected simple return of every name is zero at opens and
closes, both returns are martingale differences and the factor is known before them: the terms are uncorrelated over time,
and no correction for autocorrelation is needed. Their variance may change from day to day; the test of a mean allows it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from glassbox_bt.errors import ContractError
from glassbox_bt.types import FloatArray

__all__ = ["LEVEL", "NullTest", "exposure_matched", "matched_excess", "one_sided_test"]

LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class NullTest:
    """A one-sided test of a mean; ``t`` and ``p_value`` are NaN where nothing ever moved."""

    n_sessions: int
    mean: float  # per session, fraction of equity
    t: float
    p_value: float

    @property
    def rejects(self) -> bool:
        """Whether the mean is positive at `LEVEL`; a book that never traded does not reject."""
        return self.p_value < LEVEL


def exposure_matched(
    returns: FloatArray, exposure: FloatArray, reference_returns: FloatArray, reference_exposure: FloatArray
) -> FloatArray:
    """Returns beyond those of the reference at the book's exposure, (n_sessions - 1,): the first session matches nothing.

    Parameters
    ----------
    returns, reference_returns : FloatArray
        Simple, per session, (n_sessions,).
    exposure, reference_exposure : FloatArray
        Invested fraction of equity at each close, (n_sessions,).

    Raises
    ------
    ContractError
        The arrays differ in length, or the reference holds nothing while the book does.
    """
    if len({len(values) for values in (returns, exposure, reference_returns, reference_exposure)}) != 1:
        raise ContractError("Book and reference must describe the same sessions.")
    held, reference_held = exposure[:-1], reference_exposure[:-1]
    alone = (held > 0.0) & ~(reference_held > 0.0)
    if alone.any():
        raise ContractError(
            f"The reference holds nothing on {int(alone.sum())} sessions on which the book is invested. Use one that "
            "stays invested."
        )
    scale = np.divide(held, reference_held, out=np.zeros_like(held), where=held > 0.0)
    excess: FloatArray = returns[1:] - scale * reference_returns[1:]
    return excess


def one_sided_test(excess: FloatArray) -> NullTest:
    """t-test of a mean that is positive.

    Raises
    ------
    ContractError
        Fewer than two sessions, or a value that is not finite.
    """
    if len(excess) < 2 or not np.isfinite(excess).all():
        raise ContractError(f"A test of a mean needs at least two finite values, got {len(excess)} values.")
    n, mean, spread = len(excess), float(np.mean(excess)), float(np.std(excess, ddof=1))
    if not spread > 0.0:
        return NullTest(n, mean, float("nan"), float("nan"))
    t = mean / (spread / np.sqrt(n))
    return NullTest(n, mean, float(t), float(stats.t.sf(t, n - 1)))


def matched_excess(equity: pd.DataFrame, strategy: str = "glassbox", reference: str = "monthly_1n") -> FloatArray:
    """The terms of the estimand over the test sessions of all chunks, from the recorded table ``portfolio/equity``.

    Raises
    ------
    ContractError
        Either of the two is not in the table.
    """
    test = equity[equity["split"] == "test"]
    missing = {strategy, reference} - set(test["strategy"])
    if missing:
        raise ContractError(
            f"No test equity of `{'`, `'.join(sorted(missing))}` was recorded. Add it to the plan's strategies."
        )
    parts = []
    for _, days in test.groupby("chunk", sort=True):
        book, other = (
            days[days["strategy"] == name].sort_values("date")[["return", "exposure"]].to_numpy(dtype=np.float64)
            for name in (strategy, reference)
        )
        parts.append(exposure_matched(book[:, 0], book[:, 1], other[:, 0], other[:, 1]))
    return np.concatenate(parts)
