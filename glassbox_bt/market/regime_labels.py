"""Market regimes as weak labels: what is measured of each session, which rule names it, and what came over the next month.

*Measures* are columns of the store, one number per session, each from rows up to that session only: volatility, return and
drawdown of the benchmark, and of the latest graph snapshot (dated by the end of its window, D-GRA-01; carried for at most 40
sessions, so that a new year starts with the last one of the old, D-REG-09) its density before any cut, its mean absolute
correlation, and how far co-movement keeps to sectors. Credit spread and curve come from `macro`.

*The rule* (`RegimeRule`) is spec 17's, with percentiles of the train days alone. A clause whose series is absent, or known
on fewer than 80 % of them, is dropped and listed in ``missing``: nothing is filled in for it.

*Outcomes* (`build_regime_labels`) are the same measures over the sessions *t* + 1 .. *t* + 20, known at the close of the
last. They hold no percentile, so that one outcome serves every fit; ``RegimeRule.codes`` names it. They are states of the
market rather than profits, so they start at the close of *t* and not at a fill (R2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numba import njit

from glassbox_bt.market.features import log_return_1d
from glassbox_bt.market.graph import UNKNOWN_SECTOR, GraphRule, sectors_as_of, snapshot_days
from glassbox_bt.market.labels import known_later
from glassbox_bt.market.macro import MIN_COVERAGE
from glassbox_bt.market.store import Label
from glassbox_bt.types import AnyArray, BoolArray, FloatArray, IntArray, StrArray

__all__ = [
    "AHEAD",
    "CLAUSES",
    "GRAPH_STALE_SESSIONS",
    "MEASURES",
    "REGIMES",
    "REGIME_LABELS",
    "RegimeRule",
    "build_regime_labels",
    "changed_within",
    "market_measures",
]

REGIMES = ("calm", "volatile", "crisis", "rotation")  # spec 0.1; the code is the place
CALM, VOLATILE, CRISIS, ROTATION = range(4)
AHEAD = 20  # sessions of the forward target
GRAPH_STALE_SESSIONS = 40  # spec 0.2.4
MONTH, QUARTER = 21, 63
_MIN_SHARE = 0.7  # of a window that must be observed

MEASURES = (
    "market_vol_21d",
    "market_return_21d",
    "market_drawdown_63d",
    "macro.credit_spread",
    "macro.regime_yield_inverted",
    "graph_density_30d",
    "graph_mean_abs_correlation_30d",
    "graph_sector_concentration_30d",
)
"""Columns behind the rule, in its order."""
VOL, RETURN, DRAWDOWN, CREDIT, INVERTED, DENSITY, CORRELATION, CONCENTRATION = range(8)

CLAUSES: Mapping[str, tuple[int, ...]] = {
    "crisis and volatile: volatility of the market": (VOL,),
    "crisis and volatile: credit spread": (CREDIT,),
    "crisis: inverted curve with a falling market": (INVERTED, RETURN),
    "volatile: inverted curve": (INVERTED,),
    "crisis and volatile: drawdown of the market": (DRAWDOWN,),
    "crisis: density with correlation": (DENSITY, CORRELATION),
    "volatile: density": (DENSITY,),
    "rotation: concentration in sectors": (CONCENTRATION, DENSITY, CORRELATION),
}
"""The rule's clauses in words, and the measures that each needs."""

REGIME_LABELS = tuple(f"forward_{name.removeprefix('macro.')}" for name in MEASURES)


def market_measures(
    columns: Mapping[str, AnyArray], tickers: tuple[str, ...], decided_at: AnyArray, sectors: pd.DataFrame | None = None
) -> dict[str, FloatArray]:
    """The measures that `macro` does not hold, (n_sessions,) each, NaN where too little was observed.

    * ``market_vol_5d, _21d, _252d``: annualised sample deviation of the benchmark's log returns; 70 % must be observed.
    * ``market_return_21d``: sum of its log returns. ``market_drawdown_63d``: fall from the highest level of the window, a
      positive fraction.
    * ``graph_density_30d``: share of pairs whose 30-session correlation exceeds 0.1, before any cut to the strongest
      neighbours (D-GRA-04); ``graph_mean_abs_correlation_30d`` the mean over the same pairs.
    * ``graph_sector_concentration_30d``: share of the weight of positive edges that lies within sectors; NaN without dated
      sectors (R7, D-REG-03).

    Parameters
    ----------
    columns : Mapping[str, AnyArray]
        ``close, member`` (n_sessions, n_assets), ``benchmark_log_return_1d, benchmark_mark`` (n_sessions,).
    sectors : DataFrame or None
        Records ``ticker, sector, known_at``; an undated table is not used.
    """
    returns = np.ascontiguousarray(columns["benchmark_log_return_1d"], dtype=np.float64)
    level = np.ascontiguousarray(columns["benchmark_mark"], dtype=np.float64)
    out = {f"market_vol_{sessions}d": _volatility(returns, sessions) for sessions in (5, MONTH, 252)}
    out |= {"market_return_21d": _sums(returns, MONTH), "market_drawdown_63d": _drawdown(level, QUARTER)}
    return out | _graph_measures(columns, tickers, decided_at, sectors)


def build_regime_labels(columns: Mapping[str, AnyArray], decided_at: AnyArray) -> dict[str, Label]:
    """Outcomes by `REGIME_LABELS`, (n_sessions,) each, known 20 sessions later.

    Volatility and return are those of the sessions *t* + 1 .. *t* + 20 alone; drawdown, credit, curve and graph are what was
    known at the close of *t* + 20.

    Parameters
    ----------
    columns : Mapping[str, AnyArray]
        `MEASURES` and ``benchmark_log_return_1d``.
    """
    returns = np.ascontiguousarray(columns["benchmark_log_return_1d"], dtype=np.float64)
    then = {name: np.asarray(columns[name], dtype=np.float64) for name in MEASURES}
    then |= {"market_vol_21d": _volatility(returns, AHEAD), "market_return_21d": _sums(returns, AHEAD)}
    known_at = known_later(decided_at, AHEAD)
    labels = {}
    for name, label in zip(MEASURES, REGIME_LABELS, strict=True):
        values = np.full(len(returns), np.nan)
        values[:-AHEAD] = then[name][AHEAD:]
        labels[label] = Label(values, known_at)
    return labels


@dataclass(frozen=True, slots=True, eq=False)
class RegimeRule:
    """The weak labels' rule with the percentiles of one train part.

    Parameters
    ----------
    p50, p75, p90 : FloatArray
        By the order of `MEASURES`, (8,).
    used : BoolArray
        Which measures were known on at least 80 % of the train days, (8,).
    """

    p50: FloatArray
    p75: FloatArray
    p90: FloatArray
    used: BoolArray

    @classmethod
    def fit(cls, measures: FloatArray) -> RegimeRule:
        """Percentiles of the train days (n_days, 8), whose missing values count for nothing."""
        used = np.isfinite(measures).sum(axis=0) >= MIN_COVERAGE * max(len(measures), 1)
        points = np.full((3, len(MEASURES)), np.nan)
        for column in np.flatnonzero(used & np.isfinite(measures).any(axis=0)):
            seen = measures[:, column]
            points[:, column] = np.quantile(seen[np.isfinite(seen)], (0.50, 0.75, 0.90))
        return cls(points[0], points[1], points[2], used & np.isfinite(points[0]))

    @property
    def missing(self) -> tuple[str, ...]:
        """Clauses that this market cannot serve, in words (R7); empty if it serves all."""
        return tuple(words for words, needs in CLAUSES.items() if not self.used[list(needs)].all())

    def silent_clauses(self, measures: FloatArray) -> FloatArray:
        """How many of `CLAUSES` do not speak on each row (n_days, 8): dropped, or their series is missing that day."""
        there = np.isfinite(measures) & self.used
        total = np.zeros(len(measures))
        for needs in CLAUSES.values():
            total += ~there[:, list(needs)].all(axis=1)
        return total

    @property
    def possible(self) -> BoolArray:
        """Which of `REGIMES` the remaining clauses can name, (4,)."""
        rotation = bool(self.used[[CONCENTRATION, DENSITY, CORRELATION]].all())
        return np.array([True, True, True, rotation])

    def codes(self, measures: FloatArray, *, strict: bool = False) -> FloatArray:
        """Regime of each row, (n_days,), NaN where it cannot be told.

        Parameters
        ----------
        measures : FloatArray
            (n_days, 8).
        strict : bool
            Whether one missing measure among those in use makes the row unknown (outcomes, which must not depend on who
            was missing); otherwise its clauses do not speak and the volatility alone must be known (today's state).
        """
        given = np.where(self.used, measures, np.nan)
        with np.errstate(invalid="ignore"):  # a missing measure passes no threshold
            over = {name: given >= points for name, points in (("p50", self.p50), ("p75", self.p75), ("p90", self.p90))}
            inverted, falls = given[:, INVERTED] > 0.5, given[:, RETURN] < -0.03
            deep, shallow = given[:, DRAWDOWN] > 0.08, given[:, DRAWDOWN] > 0.04
            loose = given[:, CORRELATION] <= self.p75[CORRELATION]
        crisis = over["p90"][:, VOL] | over["p90"][:, CREDIT] | (inverted & falls) | deep
        crisis |= over["p90"][:, DENSITY] & over["p75"][:, CORRELATION]
        volatile = over["p75"][:, VOL] | over["p75"][:, CREDIT] | inverted | over["p75"][:, DENSITY] | shallow
        rotation = over["p75"][:, CONCENTRATION] & over["p50"][:, DENSITY] & loose
        codes = np.select([crisis, volatile, rotation], [CRISIS, VOLATILE, ROTATION], CALM).astype(np.float64)
        known = np.isfinite(given[:, self.used]).all(axis=1) if strict else np.isfinite(given[:, VOL])
        return np.where(known & self.used[VOL], codes, np.nan)

    def macro_stress(self, measures: FloatArray) -> FloatArray:
        """0.45 credit / p90 + 0.45 volatility / p90 + 0.10 inverted over the parts that are there, in [0, 1]; (n_days,)."""
        parts = ((CREDIT, 0.45, self.p90), (VOL, 0.45, self.p90), (INVERTED, 0.10, np.ones(len(MEASURES))))
        return self._stress(measures, parts)

    def graph_stress(self, measures: FloatArray) -> FloatArray:
        """0.5 density / p90 + 0.5 mean absolute correlation / p75 over the parts that are there, in [0, 1]; (n_days,)."""
        return self._stress(measures, ((DENSITY, 0.5, self.p90), (CORRELATION, 0.5, self.p75)))

    def _stress(self, measures: FloatArray, parts: tuple[tuple[int, float, FloatArray], ...]) -> FloatArray:
        total, weight = np.zeros(len(measures)), np.zeros(len(measures))
        for column, share, scale in parts:
            known = np.isfinite(measures[:, column]) & self.used[column] & (scale[column] > 0.0)
            total += share * np.divide(measures[:, column], scale[column], out=np.zeros(len(measures)), where=known)
            weight += share * known
        stress = np.divide(total, weight, out=np.full(len(measures), np.nan), where=weight > 0.0)
        return np.asarray(np.clip(stress, 0.0, 1.0), dtype=np.float64)

    def arrays(self, prefix: str) -> dict[str, AnyArray]:
        """For `ModuleState.arrays`."""
        return {f"{prefix}.{name}": getattr(self, name) for name in ("p50", "p75", "p90", "used")}

    @classmethod
    def restore(cls, arrays: Mapping[str, AnyArray], prefix: str) -> RegimeRule:
        """What `arrays` wrote."""
        return cls(*(arrays[f"{prefix}.{name}"] for name in ("p50", "p75", "p90", "used")))


def changed_within(codes: FloatArray, days: IntArray, ahead: int = AHEAD) -> FloatArray:
    """1 where another regime is named on any of the next ``ahead`` sessions, else 0; NaN unless all of them are known."""
    changed = np.full(len(codes), np.nan)
    for row in range(len(codes) - ahead):
        later = codes[row : row + ahead + 1]
        if days[row + ahead] == days[row] + ahead and np.isfinite(later).all():
            changed[row] = float((later != codes[row]).any())
    return changed


def _graph_measures(
    columns: Mapping[str, AnyArray], tickers: tuple[str, ...], decided_at: AnyArray, sectors: pd.DataFrame | None
) -> dict[str, FloatArray]:
    rule = GraphRule()
    n_sessions = len(columns["member"])
    days = snapshot_days(n_sessions, rule)
    dated = sectors is not None and "known_at" in sectors.columns and not bool(sectors["known_at"].isna().any())
    sector = sectors_as_of(sectors, tickers, decided_at[days]) if dated and sectors is not None else None
    moves, found = log_return_1d(columns), np.full((len(days), 3), np.nan)
    for row, day in enumerate(days):
        nodes = np.flatnonzero(np.asarray(columns["member"][day], dtype=bool))
        window = np.ascontiguousarray(moves[day - rule.window + 1 : day + 1, nodes].T)
        group = np.full(len(nodes), -1, dtype=np.int64) if sector is None else _groups(sector[row, nodes])
        found[row] = _pair_statistics(window, group, rule.min_observed, rule.min_correlation)
    names = ("graph_density_30d", "graph_mean_abs_correlation_30d", "graph_sector_concentration_30d")
    return {name: _carried(found[:, k], days, n_sessions) for k, name in enumerate(names)}


def _groups(sector: StrArray) -> IntArray:
    """Sectors as numbers, -1 where unknown."""
    known = sorted(set(sector) - {UNKNOWN_SECTOR})
    place = {name: number for number, name in enumerate(known)}
    return np.array([place.get(name, -1) for name in sector], dtype=np.int64)


def _carried(values: FloatArray, days: IntArray, n_sessions: int) -> FloatArray:
    """The latest snapshot's value on each session, for at most 40 sessions; NaN before the first."""
    out = np.full(n_sessions, np.nan)
    for value, day in zip(values, days, strict=True):
        out[day : day + GRAPH_STALE_SESSIONS + 1] = value  # the next snapshot writes over it
    return out


@njit(cache=True)
def _pair_statistics(returns: FloatArray, group: IntArray, minimum: int, least: float) -> tuple[float, float, float]:
    """Density, mean absolute correlation and share of positive weight within groups, over pairs seen often enough."""
    n_pairs, n_strong, absolute, weight, within, placed = 0, 0, 0.0, 0.0, 0.0, False
    n_nodes, n_rows = returns.shape
    for i in range(n_nodes):
        for j in range(i + 1, n_nodes):
            count, x_sum, y_sum = 0, 0.0, 0.0
            for at in range(n_rows):
                if np.isfinite(returns[i, at] + returns[j, at]):
                    count += 1
                    x_sum += returns[i, at]
                    y_sum += returns[j, at]
            if count < minimum:
                continue
            both, x_squares, y_squares = 0.0, 0.0, 0.0
            for at in range(n_rows):
                if np.isfinite(returns[i, at] + returns[j, at]):
                    x, y = returns[i, at] - x_sum / count, returns[j, at] - y_sum / count
                    both += x * y
                    x_squares += x * x
                    y_squares += y * y
            scale = np.sqrt(x_squares * y_squares)
            if not scale > 0.0:
                continue
            correlation = both / scale
            n_pairs += 1
            absolute += abs(correlation)
            if correlation > least:
                n_strong += 1
                if group[i] >= 0 and group[j] >= 0:
                    placed = True
                    weight += correlation
                    if group[i] == group[j]:
                        within += correlation
    if n_pairs == 0:
        return np.nan, np.nan, np.nan
    return n_strong / n_pairs, absolute / n_pairs, within / weight if placed else np.nan


@njit(cache=True)
def _volatility(returns: FloatArray, sessions: int) -> FloatArray:
    """Annualised sample deviation of each trailing window."""
    out = np.full(returns.size, np.nan)
    for day in range(sessions - 1, returns.size):
        count, total, squares = 0, 0.0, 0.0
        for value in returns[day - sessions + 1 : day + 1]:
            if np.isfinite(value):
                count += 1
                total += value
        if count < max(_MIN_SHARE * sessions, 3.0):
            continue
        for value in returns[day - sessions + 1 : day + 1]:
            if np.isfinite(value):
                squares += (value - total / count) ** 2
        out[day] = np.sqrt(252.0 * squares / (count - 1))
    return out


@njit(cache=True)
def _sums(returns: FloatArray, sessions: int) -> FloatArray:
    out = np.full(returns.size, np.nan)
    for day in range(sessions - 1, returns.size):
        count, total = 0, 0.0
        for value in returns[day - sessions + 1 : day + 1]:
            if np.isfinite(value):
                count += 1
                total += value
        if count >= _MIN_SHARE * sessions:
            out[day] = total
    return out


@njit(cache=True)
def _drawdown(level: FloatArray, sessions: int) -> FloatArray:
    """Fall of today's level from the highest of the window, which the market may be younger than."""
    out = np.full(level.size, np.nan)
    for day in range(level.size):
        peak, seen = 0.0, 0
        for value in level[max(day - sessions + 1, 0) : day + 1]:
            if np.isfinite(value):
                peak = max(peak, value)
                seen += 1
        if np.isfinite(level[day]) and seen >= MONTH:
            out[day] = 1.0 - level[day] / peak
    return out
