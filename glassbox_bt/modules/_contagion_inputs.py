"""What the contagion module reads, laid out by day and name: windows, tail losses, a name's own history.

Names stand in the order of their tickers, whatever order they came in, so that sums over names are the same for every view
of a day (R16). All look-back is declared: a number of day *t* rests on the rows of its own windows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numba import njit
from numpy.typing import NDArray

from glassbox_bt.errors import PlanError
from glassbox_bt.market.graph import GraphRule
from glassbox_bt.market.tail_labels import HORIZONS
from glassbox_bt.market.tails import HISTORY, stress_depth, tail_bar
from glassbox_bt.market.view import Span
from glassbox_bt.modules.base import reasons
from glassbox_bt.types import AnyArray, BoolArray, Float32Array, FloatArray, IntArray, Read, Reason

__all__ = ["CHANNELS", "DEPTH", "OWN_WORDS", "Look", "Panel"]

RETURNS, MARKET = "log_return_1d", "benchmark_log_return_1d"
YEAR, MONTH, WEEK = 252, 21, 5
MIN_HISTORY = 100  # returns among the last 504: fewer make no bar for a tail loss
CHANNELS, DEPTH = 3, 2  # of a window: scaled return, whether observed (D-STM-08), depth of a tail loss
MOST_DEVIATIONS = 8.0  # a scaled return beyond it says no more
LOUDER = 3.0  # tail losses are rare and one or two bars deep; so they vary about as much as scaled returns do
OWN_WORDS = (
    "its volatility",
    "its volatility against the year",
    "its volatility of five sessions",
    "its fall from the peak of the year",
    "its tail losses of the last week",
    "its tail losses of the last month",
    "its tail losses of the last three months",
    "the volatility of the market against the year",
    "the volatility of the market over five sessions",
    "the return of the market over a month",
    "its return over a month",
    *(f"how far off an extreme loss over {horizon} sessions is" for horizon in HORIZONS),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How far and at what the module looks.

    Parameters
    ----------
    window : int
        Sessions of returns that the network sees, two thirds of them observed.
    memory : int
        Sessions over which links between tail losses are counted.
    min_names : int
        Names that must be usable on a day; fewer make no graph (R7).
    """

    window: int
    memory: int
    min_names: int

    def __post_init__(self) -> None:
        if self.window < 10 or self.memory < YEAR or self.min_names < 2:
            raise PlanError(
                f"`window` must be at least 10, `memory` {YEAR} and `min_names` 2, got {self.window}, {self.memory} and "
                f"{self.min_names}."
            )

    @property
    def rule(self) -> GraphRule:
        """The snapshots that the graph is taken from: window and stride of spec 5."""
        return GraphRule()

    @property
    def reads(self) -> tuple[Read, ...]:
        """A tail loss anywhere in the memory needs the 504 sessions before it; a snapshot is up to a stride old."""
        return Read(RETURNS, self.memory + HISTORY + self.rule.stride), Read(MARKET, YEAR)


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """The days of a span with names in the order of their tickers.

    Parameters
    ----------
    order : IntArray
        Position in the span of each name here, (n_assets,).
    days, at : IntArray
        Session number and row of each day, (n_days,).
    returns, depth : FloatArray
        Log returns and depths of tail losses by row, (n_rows, n_assets).
    member, usable : BoolArray
        (n_days, n_assets); usable names are members with enough returns on a day with enough such names.
    codes : NDArray[np.int8]
        Why a name is not usable.
    scale : FloatArray
        Deviation of a name's daily returns over the last year; where that is too short or 0, the median of the day's usable
        names (R16); (n_days, n_assets).
    own : FloatArray
        Own history in the order of `OWN_WORDS`, (n_days, n_assets, 14), NaN where too little was observed.
    """

    look: Look
    order: IntArray
    days: IntArray
    at: IntArray
    returns: FloatArray
    depth: FloatArray
    member: BoolArray
    usable: BoolArray
    codes: NDArray[np.int8]
    scale: FloatArray
    own: FloatArray

    @classmethod
    def of(cls, span: Span, look: Look) -> Panel:
        """Everything that a span holds."""
        order = np.argsort(np.array(span.tickers, dtype=object), kind="stable").astype(np.int64)
        returns = np.ascontiguousarray(span.block(RETURNS)[:, order], dtype=np.float64)
        at, member = span.at(RETURNS), span.member[:, order]
        codes = _codes(returns, at, span.days, member, look)
        depth = stress_depth(returns)
        by_asset = np.ascontiguousarray(returns.T)
        year = _deviations(by_asset, at, YEAR, MIN_HISTORY)
        return cls(
            look=look,
            order=order,
            days=span.days,
            at=at,
            returns=returns,
            depth=depth,
            member=member,
            usable=codes == Reason.KNOWN,
            codes=codes,
            scale=_filled(year, codes == Reason.KNOWN),
            own=_own(by_asset, depth, at, year, _market(span)),
        )

    def __len__(self) -> int:
        return int(self.days.shape[0])

    def picked(self, days: IntArray) -> Panel:
        """The same names on some of the days."""
        by_day = ("days", "at", "member", "usable", "codes", "scale", "own")
        return replace(self, **{name: getattr(self, name)[days] for name in by_day})

    def restored(self, values: AnyArray) -> AnyArray:
        """Values (n_days, n_assets, ...) in the order of the span."""
        out = np.empty_like(values)
        out[:, self.order] = values
        return out

    def snapshot_of(self, day: int) -> int:
        """Session of the latest snapshot that was known on that day, counted as `graph.snapshot_days` counts."""
        rule = self.look.rule
        first = rule.window - 1
        return int(self.days[day]) - (int(self.days[day]) - first) % rule.stride

    def windows(self, days: IntArray) -> Float32Array:
        """What the network sees of all names on some days, oldest session first: (n_days, n_assets, window, 3)."""
        rows = self.at[days][:, None] + np.arange(1 - self.look.window, 1)
        returns, depth = (values[rows].transpose(0, 2, 1) for values in (self.returns, self.depth))
        out = np.zeros((*returns.shape, CHANNELS), dtype=np.float32)
        with np.errstate(divide="ignore", invalid="ignore"):  # an unusable name has no scale; it is masked
            scaled = np.clip(returns / self.scale[days][..., None], -MOST_DEVIATIONS, MOST_DEVIATIONS)
        out[..., 0] = np.nan_to_num(scaled)
        out[..., 1] = np.isfinite(returns)
        out[..., DEPTH] = LOUDER * np.nan_to_num(depth)
        return out


def _codes(returns: FloatArray, at: IntArray, days: IntArray, member: BoolArray, look: Look) -> NDArray[np.int8]:
    seen = np.isfinite(returns)
    recent = _counted(seen, at, look.window) * 3 >= 2 * look.window
    enough = _counted(seen, at, HISTORY) >= MIN_HISTORY
    first = np.where(seen.any(axis=0), seen.argmax(axis=0), len(seen))
    young = at[:, None] - first < MIN_HISTORY
    usable = member & recent & enough & (days >= look.rule.window - 1)[:, None]
    lonely = np.broadcast_to((usable.sum(axis=1) < look.min_names)[:, None], member.shape)
    return reasons(
        (~member, Reason.NOT_A_MEMBER),
        (~usable & young, Reason.WARM_UP),
        (~usable, Reason.TOO_FEW_OBSERVATIONS),
        (lonely, Reason.INPUT_MISSING),
    )


def _counted(seen: BoolArray, at: IntArray, sessions: int) -> IntArray:
    """True cells among the rows of a window, (n_days, n_assets)."""
    before = np.concatenate([np.zeros((1, seen.shape[1]), dtype=np.int64), seen.cumsum(axis=0)])
    counted: IntArray = before[at + 1] - before[at + 1 - sessions]
    return counted


def _filled(deviation: FloatArray, usable: BoolArray) -> FloatArray:
    """Deviations, the median of the day's usable names in place of a missing or zero one."""
    given = usable & (deviation > 0.0)
    out = np.where(deviation > 0.0, deviation, np.nan)
    for day in np.flatnonzero((usable & ~given).any(axis=1) & given.any(axis=1)):
        out[day, ~given[day]] = np.median(deviation[day, given[day]])
    return out


def _market(span: Span) -> FloatArray:
    """Log volatility of the benchmark, month over year and week over month, and its return over a month; (n_days, 3).

    Nothing here has a level: a train part sees few levels of the market's volatility, and a logit that leans on them says
    nonsense at the next one.
    """
    returns, at = np.asarray(span.block(MARKET), dtype=np.float64)[None], span.at(MARKET)
    week, month, year = (_deviations(returns, at, one, one * 7 // 10)[:, 0] for one in (WEEK, MONTH, YEAR))
    with np.errstate(divide="ignore", invalid="ignore"):  # a market that does not move has no volatility
        columns = [np.log(month / year), np.log(week / month), _sums(returns, at, MONTH)[:, 0] / (year * np.sqrt(MONTH))]
    return np.stack(columns, axis=-1)


def _own(by_asset: FloatArray, depth: FloatArray, at: IntArray, year: FloatArray, market: FloatArray) -> FloatArray:
    """In the order of `OWN_WORDS`."""
    week, month = (_deviations(by_asset, at, sessions, sessions * 7 // 10) for sessions in (WEEK, MONTH))
    fell = depth > 0.0
    with np.errstate(divide="ignore", invalid="ignore"):  # no move at all: its log is no number, hence missing
        columns = [
            np.log(month),
            np.log(month / year),
            np.log(week / month),
            _falls(by_asset, at, YEAR),
            *(_counted(fell, at, sessions).astype(np.float64) for sessions in (WEEK, MONTH, 3 * MONTH)),
            *(np.broadcast_to(one[:, None], month.shape) for one in market.T),
            _sums(by_asset, at, MONTH) / (year * np.sqrt(MONTH)),
            *(_far(by_asset, at, horizon) / (month * np.sqrt(horizon)) for horizon in HORIZONS),
        ]
    own = np.stack(columns, axis=-1)
    return np.where(np.isfinite(own), own, np.nan)


def _far(by_asset: FloatArray, at: IntArray, horizon: int) -> FloatArray:
    """Size of the loss over ``horizon`` sessions that its own past makes extreme, as a log return; positive = a loss."""
    start = max(int(at[0]) - HISTORY + 1, 0)
    rows = np.arange(start, int(at[-1]) + 1)
    past = _sums(by_asset, rows, horizon)
    return -tail_bar(past)[at - start]


@njit(cache=True)
def _sums(by_asset: FloatArray, at: IntArray, sessions: int) -> FloatArray:
    """Sum of the last sessions, NaN where over a tenth of them is unobserved, (n_days, n_assets)."""
    out = np.full((at.size, by_asset.shape[0]), np.nan)
    for asset in range(by_asset.shape[0]):
        for day in range(at.size):
            if at[day] + 1 < sessions:
                continue
            total, missing = 0.0, 0
            for value in by_asset[asset, at[day] + 1 - sessions : at[day] + 1]:
                if np.isfinite(value):
                    total += value
                else:
                    missing += 1
            if 10 * missing <= sessions:
                out[day, asset] = total
    return out


@njit(cache=True)
def _deviations(by_asset: FloatArray, at: IntArray, sessions: int, minimum: int) -> FloatArray:
    """Sample deviation of the observed returns of a window, (n_days, n_assets)."""
    out = np.full((at.size, by_asset.shape[0]), np.nan)
    for asset in range(by_asset.shape[0]):
        for day in range(at.size):
            count, total, squares = 0, 0.0, 0.0
            window = by_asset[asset, max(at[day] + 1 - sessions, 0) : at[day] + 1]
            for value in window:
                if np.isfinite(value):
                    count += 1
                    total += value
            if count < max(minimum, 2):
                continue
            for value in window:
                if np.isfinite(value):
                    squares += (value - total / count) ** 2
            out[day, asset] = np.sqrt(squares / (count - 1))
    return out


@njit(cache=True)
def _falls(by_asset: FloatArray, at: IntArray, sessions: int) -> FloatArray:
    """Log fall from the highest close of a window, at least 0; an unobserved return counts as none."""
    out = np.zeros((at.size, by_asset.shape[0]))
    for asset in range(by_asset.shape[0]):
        for day in range(at.size):
            moved = 0.0
            for back in range(min(sessions, at[day] + 1)):
                value = by_asset[asset, at[day] - back]
                if np.isfinite(value):
                    moved += value
                    out[day, asset] = max(out[day, asset], -moved)
    return out
