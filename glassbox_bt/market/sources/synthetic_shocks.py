"""Tail shocks of a synthetic market and the directed edges along which they are passed on.

A shock takes `SHOCK_SIZE` conditional deviations off a name within one session, after its open. It begins by itself with
probability ``own`` per session; along each edge it is passed on with probability ``passed_on``, into one of the next
`SHOCK_SESSIONS` sessions. What the average name loses by shocks is added to its drift, so that they move the tail of
returns and not their mean; what a name loses *after a neighbour's shock* is therefore foreseeable, and planted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from glassbox_bt.market.sources.synthetic_record import Draws
from glassbox_bt.types import AnyArray, BoolArray, FloatArray, IntArray

__all__ = ["LINKS", "SHOCK_SESSIONS", "SHOCK_SIZE", "Shocks", "draw_shocks"]

LINKS = 2  # edges that leave each name
SHOCK_SESSIONS = 5  # a shock arrives 1 to 5 sessions after the one that caused it
SHOCK_SIZE = 8.0  # conditional deviations of a session
OWN, PASSED = "own", "passed"


@dataclass(frozen=True, slots=True, eq=False)
class Shocks:
    """What was drawn.

    Parameters
    ----------
    edges : DataFrame
        ``source, target, passed_on``: the chance that a shock of the source reaches the target.
    record : DataFrame
        ``date, ticker, origin`` (``own`` or ``passed``), ``source`` (who passed it on, else empty) and ``size`` (conditional
        deviations, positive = a loss).
    moves : FloatArray
        Log returns within the session in conditional deviations, (n_sessions, n_names): shocks and what offsets them.
    """

    edges: pd.DataFrame
    record: pd.DataFrame
    moves: FloatArray


def draw_shocks(draws: Draws, dates: AnyArray, tickers: list[str], own: float, passed_on: float) -> Shocks:
    """Edges and shocks; a name has at most one shock per session, and the first cause counts.

    Parameters
    ----------
    own : float
        Chance per session and name of a shock without a cause; 0 = no shocks at all.
    passed_on : float
        Chance per edge that a shock is passed on, under 1 / `LINKS`.
    """
    source, target = _edges(draws, tickers) if passed_on > 0.0 else (np.zeros(0, dtype=np.int64),) * 2
    shocked, cause = _simulate(draws, (len(dates), tickers), (source, target), own, passed_on)
    day, name = np.nonzero(shocked)
    passed, names = cause[day, name] >= 0, np.array([*tickers, ""], dtype=object)  # -1, no cause, is the empty name
    record = {
        "date": dates[day].astype("datetime64[ns]"),
        "ticker": names[name],
        "origin": np.where(passed, PASSED, OWN),
        "source": names[cause[day, name]],
        "size": SHOCK_SIZE,
    }
    return Shocks(
        edges=pd.DataFrame({"source": names[source], "target": names[target], "passed_on": passed_on}),
        record=pd.DataFrame(record),
        moves=SHOCK_SIZE * (_rates(len(tickers), source, target, own, passed_on) - shocked),
    )


def _edges(draws: Draws, tickers: list[str]) -> tuple[IntArray, IntArray]:
    """Every name passes its shocks on to `LINKS` others, drawn from a stream of its own."""
    n_links = min(LINKS, len(tickers) - 1)
    targets = []
    for at, ticker in enumerate(tickers):
        lot = draws.rng("links", ticker).random(len(tickers))
        lot[at] = np.inf
        targets.append(np.sort(np.argsort(lot, kind="stable")[:n_links]))
    return np.repeat(np.arange(len(tickers)), n_links), np.concatenate(targets).astype(np.int64)


def _simulate(
    draws: Draws,
    shape: tuple[int, list[str]],
    edges: tuple[IntArray, IntArray],
    own: float,
    passed_on: float,
) -> tuple[BoolArray, IntArray]:
    """Where a shock falls, and the name that passed it on (-1 = none), each (n_sessions, n_names)."""
    n_sessions, tickers = shape
    shocked = np.stack([draws.rng("shocks", one).random(n_sessions) < own for one in tickers], axis=1)
    cause = np.full(shocked.shape, -1, dtype=np.int64)
    lots, delays = [], []
    for source, target in zip(*edges, strict=True):
        rng = draws.rng("passed on", tickers[source], tickers[target])
        lots.append(rng.random(n_sessions) < passed_on)
        delays.append(rng.integers(1, SHOCK_SESSIONS + 1, n_sessions))
    for day in range(n_sessions):
        for edge, (source, target) in enumerate(zip(*edges, strict=True)):
            if not (shocked[day, source] and lots[edge][day]):
                continue
            later = day + int(delays[edge][day])
            if later < n_sessions and not shocked[later, target]:
                shocked[later, target], cause[later, target] = True, source
    return shocked, cause


def _rates(n_names: int, source: IntArray, target: IntArray, own: float, passed_on: float) -> FloatArray:
    """Expected shocks per session of each name: its own and those of the names that pass theirs on to it."""
    arrives = np.zeros((n_names, n_names))
    arrives[target, source] = passed_on
    rates: FloatArray = np.linalg.solve(np.eye(n_names) - arrives, np.full(n_names, own))
    return rates
