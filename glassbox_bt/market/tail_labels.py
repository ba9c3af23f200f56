"""Extreme losses as outcomes: whether one came, and whether it came after a neighbour's (spec 16, D-STM-03).

``tail_event_*`` is 1 if the log return from the fill price over 5, 20 or 60 sessions (`labels.forward_returns`, R2) lies
under the bar that the name's own past returns of that length set (`tails.tail_bar`). They are returns of the same kind,
fill to close, and only those whose last bar was closed at the decision; overlapping ones all count, as in the source.

``tail_contagion_*`` is 1 if that event came and a neighbour in the graph as of the decision had a one-day tail loss within
the five sessions up to it. Whether a neighbour is stressed is public at the decision, so the chance of this outcome is the
chance of the event where one is, and 0 where none is: it needs no model of its own, it is where lift is measured.

What cannot be judged is missing, never 0: too short a history, no outcome yet, no graph, no neighbour whose state is known
(D-STM-04).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from glassbox_bt.market.features import log_return_1d
from glassbox_bt.market.labels import forward_returns, known_later
from glassbox_bt.market.store import Label
from glassbox_bt.market.tails import neighbour_stressed, tail_bar
from glassbox_bt.types import AnyArray, FloatArray

__all__ = ["CONTAGION_LABELS", "HORIZONS", "TAIL_LABELS", "build_tail_labels"]

HORIZONS = (5, 20, 60)
TAIL_LABELS = tuple(f"tail_event_{horizon}d" for horizon in HORIZONS)
CONTAGION_LABELS = tuple(f"tail_contagion_{horizon}d" for horizon in HORIZONS)


def build_tail_labels(columns: Mapping[str, AnyArray], decided_at: AnyArray, *, has_opens: bool) -> dict[str, Label]:
    """Outcomes 0 and 1 of every decision day, NaN where missing, by `TAIL_LABELS` and `CONTAGION_LABELS`.

    Parameters
    ----------
    columns : Mapping[str, AnyArray]
        As for `labels.build_labels`, and ``member`` (n_sessions, n_assets).
    decided_at : AnyArray
        Decision time of each session, UTC.
    """
    member = np.asarray(columns["member"], dtype=bool)
    stressed = neighbour_stressed(log_return_1d(columns), member)
    labels: dict[str, Label] = {}
    for horizon, name, passed in zip(HORIZONS, TAIL_LABELS, CONTAGION_LABELS, strict=True):
        forward, sessions = forward_returns(columns, horizon, has_opens=has_opens)
        known_at = known_later(decided_at, sessions)
        event = _events(forward, sessions)
        labels[name] = Label(event, known_at)
        labels[passed] = Label(event * stressed, known_at)
    return labels


def _events(forward: FloatArray, sessions: int) -> FloatArray:
    """Whether each return lies under the bar of those that were known ``sessions`` before it was."""
    past = np.full(forward.shape, np.nan)
    past[sessions:] = forward[:-sessions]  # row t: the return that became known at t
    bar = tail_bar(past)
    return np.where(np.isfinite(forward) & np.isfinite(bar), (forward < bar).astype(np.float64), np.nan)
