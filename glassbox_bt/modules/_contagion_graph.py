"""The graph of a day before the network weighs it: who may influence whom, and what is known of each pair.

A `Structure` belongs to one snapshot (`graph.GraphRule`: named by the end of its window, D-GRA-01) and one set of members;
all days in between share it. A name may be influenced by those it moves with most, whatever the sign (D-GRA-04), and by
those whose tail losses it follows most, half and half. How many is a share of the names, so that it means the same in a
small and a large market.

Up to `Shape.dense_up_to` names a pair has a cell of an N × N table; above, a name has a list of neighbours, and no table of
all pairs is ever held. Both give the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from glassbox_bt.errors import PlanError
from glassbox_bt.market.graph import correlations
from glassbox_bt.market.tail_links import TailCases, tail_cases, tail_links
from glassbox_bt.modules._contagion_inputs import Panel
from glassbox_bt.types import BoolArray, Float32Array, FloatArray, IntArray

__all__ = ["PAIR_WORDS", "Shape", "Structure", "structures"]

PAIR_WORDS = ("moves together", "follows it into tail losses", "leads it into tail losses", "falls in the same session")
ROWS = 256  # receivers looked at together where there is no table of all pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How many neighbours a name has and how they are laid out.

    Parameters
    ----------
    share : float
        Of the names, in (0, 1].
    fewest : int
        Neighbours at least, as far as there are names.
    dense_up_to : int
        Names up to which pairs lie in a table.
    """

    share: float
    fewest: int
    dense_up_to: int

    def __post_init__(self) -> None:
        if not (0.0 < self.share <= 1.0 and self.fewest >= 1 and self.dense_up_to >= 0):
            raise PlanError(
                "`neighbour_share` must lie in (0, 1], `fewest_neighbours` be at least 1 and `dense_up_to` not negative, "
                f"got {self.share}, {self.fewest} and {self.dense_up_to}."
            )

    def neighbours(self, n_names: int) -> int:
        """Neighbours of a name among ``n_names``, at most all others."""
        return min(n_names - 1, max(self.fewest, int(np.ceil(self.share * n_names))))


@dataclass(frozen=True, slots=True, eq=False)
class Structure:
    """Pairs of one snapshot.

    Parameters
    ----------
    nodes : IntArray
        Positions of the members in the panel, (n,).
    pairs : Float32Array
        By `PAIR_WORDS`: correlation over 30 sessions, and the three `tail_links` with the row's name as the receiver;
        (n, n, 4), or (n, k, 4) beside ``near``.
    allowed : BoolArray
        Whether the column's name, or the neighbour, may influence the row's name, (n, n) or (n, k).
    near : IntArray or None
        Positions among ``nodes`` of each name's neighbours, ascending, (n, k); None where pairs lie in a table.
    """

    nodes: IntArray
    pairs: Float32Array
    allowed: BoolArray
    near: IntArray | None


def structures(panel: Panel, shape: Shape) -> Iterator[tuple[Structure, IntArray]]:
    """Each structure that the panel's days need, and the days (positions in the panel) that it serves."""
    days = np.flatnonzero(panel.usable.any(axis=1))
    keys = [(panel.snapshot_of(int(day)), panel.member[day].tobytes()) for day in days]
    for key in dict.fromkeys(keys):
        served = np.array([day for day, one in zip(days, keys, strict=True) if one == key], dtype=np.int64)
        row = int(panel.at[served[0]]) - int(panel.days[served[0]]) + key[0]
        yield _structure(panel, row, np.flatnonzero(panel.member[served[0]]).astype(np.int64), shape), served


def _structure(panel: Panel, last: int, nodes: IntArray, shape: Shape) -> Structure:
    """As known at the close of row ``last``."""
    rule, look = panel.look.rule, panel.look
    window = np.ascontiguousarray(panel.returns[last - rule.window + 1 : last + 1, nodes].T)
    cases = tail_cases(panel.depth[last - look.memory + 1 : last + 1, nodes])
    most = shape.neighbours(len(nodes))
    if len(nodes) <= shape.dense_up_to:
        rows = np.arange(len(nodes), dtype=np.int64)
        pairs = _pairs(window, cases, rows, rule.min_observed)
        return Structure(nodes, pairs, _allowed(pairs, rows, most), None)
    parts = []
    for start in range(0, len(nodes), ROWS):
        rows = np.arange(start, min(start + ROWS, len(nodes)), dtype=np.int64)
        pairs = _pairs(window, cases, rows, rule.min_observed)
        near = np.nonzero(_allowed(pairs, rows, most))[1].reshape(len(rows), most).astype(np.int64)
        parts.append((np.take_along_axis(pairs, near[..., None], axis=1), near))
    pairs, near = (np.concatenate(one) for one in zip(*parts, strict=True))
    return Structure(nodes, pairs, np.ones(near.shape, dtype=bool), near)


def _pairs(window: FloatArray, cases: TailCases, rows: IntArray, minimum: int) -> Float32Array:
    """What is known of some receivers and every name, (len(rows), n, 4); an unknown correlation counts as 0."""
    correlation, _ = correlations(window[rows], window, minimum)
    links = tail_links(cases, rows)
    pairs = np.stack([np.nan_to_num(correlation), links.leads, links.follows, links.together], axis=-1)
    return pairs.astype(np.float32)


def _allowed(pairs: Float32Array, rows: IntArray, most: int) -> BoolArray:
    """The ``most`` neighbours of each receiver; ties go to the earlier name, (len(rows), n)."""
    place = np.arange(len(rows))
    allowed = np.zeros(pairs.shape[:2], dtype=bool)
    strength = np.abs(pairs[..., 0])  # a name that moves the other way is as close
    strength[place, rows] = -np.inf
    closest = np.argsort(-strength, axis=1, kind="stable")[:, : (most + 1) // 2]
    np.put_along_axis(allowed, closest, values=True, axis=1)
    leads = np.where(allowed, -np.inf, pairs[..., 1])
    leads[place, rows] = -np.inf
    leaders = np.argsort(-leads, axis=1, kind="stable")[:, : most // 2]
    np.put_along_axis(allowed, leaders, values=True, axis=1)
    return allowed
