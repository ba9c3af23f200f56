"""Rare events and what came after them (spec 26.1): a memory that only holds outcomes that are already known.

An event of severity 0.80 or more is archived with what its price did in the 60 calendar days before and after. The row's
``known_at`` is the end of those days, so whoever asks at a date learns nothing that came later (`nearest_events`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from glassbox_bt.errors import ContractError
from glassbox_bt.market.events import EVENT_TYPES, IMPACTS
from glassbox_bt.types import AnyArray, BoolArray, FloatArray, IntArray

__all__ = ["OUTCOMES", "WINDOW_DAYS", "nearest_events", "rare_events"]

WINDOW_DAYS = 60  # calendar days before and after

OUTCOMES = (
    "pre_log_return_60d",  # up to the last close before the event was known
    "reaction_log_return",  # from that close to the first at which it was known
    "post_log_return_60d",  # from that first close to the end of the window
    "reachable_log_return_60d",  # from the next open, the first price that could be traded (R2)
    "max_drawdown_60d",  # deepest fall below the highest close since before the event, in [-1, 0]
    "recovery_days",  # calendar days from the event to the first close back at the one before it; 0 if it never fell below
    "is_recovered",  # False: not within the window, and `recovery_days` is NaN
    "volatility_ratio",  # standard deviation of daily log returns after, over that before
    "is_booked_out",  # it stopped trading within the window
)
"""What happened to the price. Returns are total log returns; NaN where prices are missing."""

_LEAST = 10  # returns for a standard deviation
_LENGTH = np.timedelta64(WINDOW_DAYS, "D").astype("timedelta64[ns]")
_ALIKE = ("event_severity", *IMPACTS, "sentiment_score")


def rare_events(events: pd.DataFrame, columns: Mapping[str, AnyArray], cutoffs: AnyArray) -> pd.DataFrame:
    """The archive, in order of knowledge of the events.

    Parameters
    ----------
    events : DataFrame
        From `glassbox_bt.market.event_features.event_records`.
    columns : Mapping
        Session columns of the store: ``mark, open, delist_price, delisted``.
    cutoffs : datetime64[ns] array
        Closes of the sessions, UTC, (n_sessions,).

    Returns
    -------
    DataFrame
        ``document, session, asset, ticker, doc_id, event_known_at``, what was said of the event, `OUTCOMES`, ``known_at``:
        60 days after the event. Where the data end before, ``known_at`` is NaT and the outcomes are NaN: not known yet.
    """
    here = events["is_rare_event"].to_numpy(dtype=bool) & (events["asset"] >= 0).to_numpy(dtype=bool)
    rows = events[here & (events["session"] < len(cutoffs)).to_numpy(dtype=bool)].reset_index(drop=True)
    told = ["document", "session", "asset", "ticker", "doc_id", "known_at", "event_type", "event_subtype", *_ALIKE]
    known = rows["known_at"].to_numpy().astype("datetime64[ns]")
    done = known + _LENGTH <= cutoffs[-1]
    gone = np.asarray(columns["delisted"])[np.maximum(rows["session"] - 1, 0), rows["asset"]] > 0.0  # nothing comes after
    outcomes = _outcomes(rows, columns, cutoffs, known)
    values = {name: np.where(done & ~gone, outcome, np.nan) for name, outcome in outcomes.items()}
    readable = np.where(done, known + _LENGTH, np.datetime64("NaT", "ns"))
    return rows[told].rename(columns={"known_at": "event_known_at"}).assign(**values, known_at=readable)


def nearest_events(
    archive: pd.DataFrame, like: Mapping[Any, object], as_of: np.datetime64, n_events: int = 5
) -> pd.DataFrame:
    """The archived events most like one, among those whose outcome was known at a date.

    Parameters
    ----------
    archive : DataFrame
        From `rare_events`.
    like : Mapping
        A row of events: ``event_type, event_severity``, the four impacts and ``sentiment_score``.
    as_of : datetime64
        UTC moment of asking; rows with a later ``known_at`` do not exist yet.
    n_events : int, default=5
        At most so many.

    Returns
    -------
    DataFrame
        Rows of the archive with ``distance`` (Euclidean over the numbers, plus 1 where the type differs), nearest first, the
        newer first among equals.
    """
    if n_events < 1:
        raise ContractError(f"`n_events` must be at least 1, got {n_events}.")
    if np.isnat(as_of):
        raise ContractError("`as_of` is no date. Say at which moment the archive is asked.")
    if like["event_type"] not in EVENT_TYPES:
        raise ContractError(f"Unknown event type `{like['event_type']}`. There are: {', '.join(EVENT_TYPES)}.")
    known = archive[(archive["known_at"] <= as_of).to_numpy(dtype=bool)]  # NaT compares False
    wanted = np.array([like[name] for name in _ALIKE], dtype=np.float64)
    gap = np.sqrt(((known[list(_ALIKE)].to_numpy(dtype=np.float64) - wanted) ** 2).sum(axis=1))
    found = known.assign(distance=np.round(gap + (known["event_type"] != like["event_type"]).to_numpy(), 9))
    return found.sort_values(["distance", "event_known_at"], ascending=[True, False], kind="stable").head(n_events)


def _outcomes(
    rows: pd.DataFrame, columns: Mapping[str, AnyArray], cutoffs: AnyArray, known: AnyArray
) -> dict[str, FloatArray]:
    session, asset = (rows[name].to_numpy().astype(np.int64) for name in ("session", "asset"))
    price, gone = _prices(columns)
    first = np.searchsorted(cutoffs, known - _LENGTH, side="right")
    last = np.searchsorted(cutoffs, known + _LENGTH, side="right") - 1
    before, after = _paths(price, asset, first, session - 1), _paths(price, asset, session - 1, last)
    inside = session - 1 >= 0
    start = np.where(inside, price[np.maximum(session - 1, 0), asset], np.nan)
    end, seen = price[np.maximum(last, 0), asset], price[np.minimum(session, len(price) - 1), asset]
    opens = np.where(session + 1 <= last, columns["open"][np.minimum(session + 1, len(price) - 1), asset], np.nan)
    back = _recovery(after, start, cutoffs, session - 1, known)
    return {
        "pre_log_return_60d": np.where(known - _LENGTH < cutoffs[0], np.nan, np.log(start / _first(before))),
        "reaction_log_return": np.log(seen / start),
        "post_log_return_60d": np.log(end / seen),
        "reachable_log_return_60d": np.log(end / opens),
        "max_drawdown_60d": _drawdown(after, start),
        "recovery_days": back,
        "is_recovered": np.where(np.isnan(start), np.nan, np.isfinite(back)),
        "volatility_ratio": _deviation(after) / _deviation(before),
        "is_booked_out": np.where(np.isnan(start), np.nan, gone[np.maximum(last, 0), asset]),
    }


def _prices(columns: Mapping[str, AnyArray]) -> tuple[FloatArray, FloatArray]:
    """Last known price of each session, that of the booking out once a name is gone; and whether it is gone."""
    gone = np.asarray(columns["delisted"], dtype=np.float64)
    out = np.array(columns["mark"], dtype=np.float64)
    paid = np.asarray(columns["delist_price"], dtype=np.float64)
    np.copyto(out, paid, where=np.isfinite(paid))
    filled = pd.DataFrame(out).ffill().to_numpy()
    np.copyto(out, filled, where=gone > 0.0)
    return out, gone


def _paths(price: FloatArray, asset: IntArray, first: IntArray, last: IntArray) -> FloatArray:
    """Prices of each event's name from ``first`` to ``last``, NaN beyond, (n_events, longest)."""
    longest = int((last - first).max(initial=0)) + 1
    at = first[:, None] + np.arange(max(longest, 1))
    inside = (at <= last[:, None]) & (at >= 0) & (at < len(price))
    path: FloatArray = np.where(inside, price[np.clip(at, 0, len(price) - 1), asset[:, None]], np.nan)
    return path


def _first(path: FloatArray) -> FloatArray:
    """First finite price of each path."""
    found: BoolArray = np.isfinite(path)
    value: FloatArray = np.where(found.any(axis=1), path[np.arange(len(path)), np.argmax(found, axis=1)], np.nan)
    return value


def _drawdown(path: FloatArray, start: FloatArray) -> FloatArray:
    peak = np.fmax.accumulate(path, axis=1)
    fall = np.fmin.reduce(path / peak - 1.0, axis=1, initial=0.0)
    return np.where(np.isnan(start), np.nan, fall)


def _recovery(path: FloatArray, start: FloatArray, cutoffs: AnyArray, first: IntArray, known: AnyArray) -> FloatArray:
    below = path < start[:, None]
    fell = np.logical_or.accumulate(below, axis=1)
    back = fell & (path >= start[:, None])
    place = np.minimum(first + np.argmax(back, axis=1), len(cutoffs) - 1)
    days = (cutoffs[place] - known) / np.timedelta64(1, "D")
    recovered = np.where(back.any(axis=1), days, np.nan)
    return np.where(np.isnan(start), np.nan, np.where(below.any(axis=1), recovered, 0.0))


def _deviation(path: FloatArray) -> FloatArray:
    """Standard deviation of daily log returns, NaN with fewer than ten of them."""
    moves = np.diff(np.log(path), axis=1)
    there = np.isfinite(moves)
    n = there.sum(axis=1)
    mean = np.divide(np.where(there, moves, 0.0).sum(axis=1), n, out=np.zeros(len(n)), where=n > 0)
    squares = np.where(there, (moves - mean[:, None]) ** 2, 0.0).sum(axis=1)
    enough = n >= _LEAST
    variance = np.divide(squares, n - 1, out=np.full(len(n), np.nan), where=enough)
    return np.where(variance > 0.0, np.sqrt(variance), np.nan)
