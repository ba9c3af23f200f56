"""Who follows whom into a tail loss: directed links between names, counted over years and as of a session.

For a source *j* and a receiver *i*, every tail loss of *j* is looked at: did *i* have one in the five sessions after it? The
link is the log of how much more often than usual that was. It is pulled towards 0 as if two more losses had come and been
expected, so that a coincidence makes no link. A case counts for its depth (`tails.stress_depth`) over the number of names
that fell in its session: when everybody falls, nobody is seen to lead.

Only rows up to the last are read, and a case counts when its five sessions have passed. A link depends on the two names, and
on the others only through how many of them fell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from glassbox_bt.market.tails import LATELY
from glassbox_bt.types import BoolArray, FloatArray, IntArray

__all__ = ["TailCases", "TailLinks", "tail_cases", "tail_links"]

CAUTION = 2.0  # losses added to those that came and to those that were to be expected (shrinkage of a Poisson rate)
MIN_KNOWN = 3  # of the five sessions after a case, for the receiver


@dataclass(frozen=True, slots=True, eq=False)
class TailLinks:
    """Logs of how much more often than usual a tail loss came, (n_receivers, n_names); 0 = as often, or no cases.

    ``leads[i, j]``: to *i* within five sessions after one of *j*. ``follows[i, j]``: to *j* after one of *i*.
    ``together[i, j]``: to *i* in the same session as one of *j*.
    """

    leads: FloatArray
    follows: FloatArray
    together: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class TailCases:
    """What is counted, rows are sessions; see `tail_cases`."""

    weight: FloatArray  # (n_rows, n_names), of each name's tail loss as a case; mostly 0
    after: tuple[FloatArray, FloatArray]  # whether one came in the five sessions after, and whether that is known
    at_once: tuple[FloatArray, FloatArray]  # the same of the session itself


def tail_cases(depth: FloatArray) -> TailCases:
    """Cases and outcomes of all names.

    Parameters
    ----------
    depth : FloatArray
        `tails.stress_depth` of the sessions to count over, (n_rows, n_names).
    """
    fell: BoolArray = depth > 0.0
    known: BoolArray = np.isfinite(depth)
    n_fell = np.maximum(fell.sum(axis=1, keepdims=True), 1)
    came, n_known = np.zeros(depth.shape, dtype=bool), np.zeros(depth.shape, dtype=np.int64)
    for ahead in range(1, LATELY + 1):
        came[:-ahead] |= fell[ahead:]
        n_known[:-ahead] += known[ahead:]
    judged = n_known >= MIN_KNOWN
    judged[-LATELY:] = False  # their five sessions have not passed
    return TailCases(
        weight=np.where(fell, np.nan_to_num(depth), 0.0) / n_fell,
        after=((came & judged).astype(np.float64), judged.astype(np.float64)),
        at_once=(fell.astype(np.float64), known.astype(np.float64)),
    )


def tail_links(cases: TailCases, receivers: IntArray) -> TailLinks:
    """Links of some receivers with all names; the numbers are the same whichever receivers are asked together."""
    mine = sparse.csr_array(cases.weight[:, receivers].T)
    everyone = sparse.csr_array(cases.weight.T)
    return TailLinks(
        leads=_lift(everyone, cases.after, receivers),
        follows=_lift(mine, cases.after, None).T,
        together=_lift(everyone, cases.at_once, receivers),
    )


def _lift(weight: sparse.csr_array, outcome: tuple[FloatArray, FloatArray], receivers: IntArray | None) -> FloatArray:
    """(n_receivers, n_sources): log of the weighted share of cases after which it came, over its usual share."""
    came, known = outcome if receivers is None else (outcome[0][:, receivers], outcome[1][:, receivers])
    usual = (came.sum(axis=0) + 0.5) / (known.sum(axis=0) + 1.0)
    hits, cases = weight @ came, weight @ known  # (n_sources, n_receivers)
    lift: FloatArray = np.log((hits + CAUTION) / (cases * usual + CAUTION)).T
    return lift
