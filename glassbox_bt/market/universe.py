"""Who may be bought on a day, decided without hindsight (D-MKT-01).

Membership is set on the first session of each month from what was known at the close before it, and holds for the month.
A name that is booked out leaves at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from glassbox_bt.errors import MarketDataError
from glassbox_bt.types import AnyArray, BoolArray, FloatArray, IntArray

__all__ = ["PRICE_FLOOR", "TURNOVER_WINDOW", "Universe", "UniverseRule", "build_universe"]

PRICE_FLOOR = 1.0  # lowest close of a member, in the currency of the market; raw prices only (R6)
TURNOVER_WINDOW = 63  # sessions of the median dollar volume that ranks names


@dataclass(frozen=True, slots=True, kw_only=True)
class UniverseRule:
    """Rule of membership.

    Parameters
    ----------
    size : int or None, default=None
        Keep the names with the largest trailing 63-session median dollar volume; None keeps all. Without volume there is no
        ranking (R7).
    min_observed : int, default=252
        Bars that a name must have in the last ``window`` sessions.
    window : int, default=504
        Length of that window, in sessions.
    use_membership : bool, default=True
        Respect the market's dated membership table, if it has one.
    """

    size: int | None = None
    min_observed: int = 252
    window: int = 504
    use_membership: bool = True

    def __post_init__(self) -> None:
        if self.size is not None and self.size < 1:
            raise MarketDataError(f"`size` of the universe must be at least 1 or None, got {self.size}.")
        if not 1 <= self.min_observed <= self.window:
            raise MarketDataError(
                f"`min_observed` must lie in 1..window, got {self.min_observed} with a window of {self.window}."
            )


@dataclass(frozen=True, slots=True, eq=False)
class Universe:
    """``member`` (n_sessions, n_assets); ``table``: one row per month and name seen by then, with rank and reason."""

    member: BoolArray
    table: pd.DataFrame


@dataclass(frozen=True, slots=True, eq=False)
class Trading:
    """What the rule looks at, each (n_sessions, n_assets)."""

    is_observed: BoolArray
    is_delisted: BoolArray
    dollar_volume: FloatArray | None
    raw_mark: FloatArray | None  # close carried forward at most 5 sessions, raw prices only
    in_index: BoolArray | None  # dated membership table


def build_universe(
    dates: AnyArray, decided_at: AnyArray, tickers: tuple[str, ...], trading: Trading, rule: UniverseRule
) -> Universe:
    """Apply the rule month by month.

    Row *t* of ``member`` uses only rows before *t* of everything, but for ``is_delisted``, whose row *t* is known at the
    decision of *t*.
    """
    months = dates.astype("datetime64[M]")
    starts = np.flatnonzero(np.r_[True, months[1:] != months[:-1]]).astype(np.int64)
    member = np.zeros(trading.is_observed.shape, dtype=bool)
    tables: list[pd.DataFrame] = []
    seen_until = np.cumsum(trading.is_observed, axis=0, dtype=np.int64)
    for start, end in zip(starts, np.r_[starts[1:], len(dates)], strict=True):
        if start == 0:
            continue  # nothing was known before the first session
        chosen, rank, reason, names = _choose(int(start) - 1, seen_until, trading, rule)
        gone = np.maximum.accumulate(trading.is_delisted[start:end], axis=0)  # back with the next month at the earliest
        member[start:end, names[chosen]] = ~gone[:, names[chosen]]
        tables.append(_month_table(dates[start], decided_at[start - 1], tickers, names, (chosen, rank, reason)))
    return Universe(member, pd.concat(tables, ignore_index=True) if tables else _no_months())


def _choose(
    last: int, seen_until: IntArray, trading: Trading, rule: UniverseRule
) -> tuple[BoolArray, FloatArray, AnyArray, IntArray]:
    """Choice, rank and reason for every name seen up to session ``last``, and the positions of those names."""
    names = np.flatnonzero(seen_until[last] > 0).astype(np.int64)
    before = seen_until[last - rule.window, names] if last >= rule.window else 0
    n_observed = seen_until[last, names] - before
    reason = np.full(len(names), "member", dtype=object)
    rank = np.full(len(names), np.nan)
    turnover = _turnover(last, names, trading)
    if rule.size is not None and turnover is not None:
        reason[~np.isfinite(turnover)] = "no_dollar_volume"
    if trading.raw_mark is not None:
        reason[~(trading.raw_mark[last, names] >= PRICE_FLOOR)] = "price_below_floor"
    reason[n_observed < rule.min_observed] = "too_few_bars"
    if trading.in_index is not None and rule.use_membership:
        reason[~trading.in_index[last, names]] = "not_in_index"
    reason[trading.is_delisted[last, names]] = "delisted"
    if turnover is not None:
        able = np.flatnonzero((reason == "member") & np.isfinite(turnover))
        order = able[np.argsort(-turnover[able], kind="stable")]  # ties: alphabetical
        rank[order] = np.arange(1, len(order) + 1)
        if rule.size is not None:
            reason[order[rule.size :]] = "ranked_out"
    return reason == "member", rank, reason, names


def _turnover(last: int, names: IntArray, trading: Trading) -> FloatArray | None:
    """Median dollar volume of the last 63 sessions; NaN where fewer than half of them are observed."""
    if trading.dollar_volume is None:
        return None
    window = trading.dollar_volume[max(last - TURNOVER_WINDOW + 1, 0) : last + 1, names]
    enough = np.isfinite(window).sum(axis=0) * 2 >= TURNOVER_WINDOW
    median = np.full(len(names), np.nan)
    median[enough] = np.nanmedian(window[:, enough], axis=0)
    return median


def _month_table(
    first_day: np.datetime64,
    known_at: np.datetime64,
    tickers: tuple[str, ...],
    names: IntArray,
    choice: tuple[BoolArray, FloatArray, AnyArray],
) -> pd.DataFrame:
    chosen, rank, reason = choice
    return pd.DataFrame(
        {
            "date": np.full(len(names), first_day).astype("datetime64[ns]"),
            "known_at": np.full(len(names), known_at),
            "ticker": np.array(tickers, dtype=object)[names],
            "member": chosen,
            "rank": rank,
            "reason": reason,
        }
    )


def _no_months() -> pd.DataFrame:
    stamp = np.empty(0, dtype="datetime64[ns]")
    return pd.DataFrame(
        {"date": stamp, "known_at": stamp, "ticker": [], "member": np.empty(0, dtype=bool), "rank": [], "reason": []}
    )
