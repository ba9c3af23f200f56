"""Which names move together: snapshots of rolling correlation, named by the end of their window.

A snapshot is dated by its last session, ``as_of``, and was known at that session's close (D-GRA-01).
Its nodes are the members of that day; beta, capitalisation proxy and sector are as of that day too
(D-GRA-02, D-GRA-03). Density is taken before the strongest-neighbour cut and over all pairs, and
negative edges are kept apart (D-GRA-04). Row *t* of no column after ``as_of`` is read.

Correlations are computed pair by pair, so that an edge does not depend on who else is in the market.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numba import njit

from glassbox_bt.errors import ContractError
from glassbox_bt.types import AnyArray, BoolArray, FloatArray, IntArray, StrArray

__all__ = [
    "RELATIONS",
    "Edges",
    "GraphRule",
    "Snapshot",
    "correlations",
    "edge_table",
    "node_table",
    "sectors_as_of",
    "snapshot_days",
    "snapshots",
    "strongest",
]

RELATIONS = (
    "correlation_30d",
    "sector_similarity",
    "etf_overlap_jaccard",
    "index_co_membership",
    "market_cap_ratio",
    "volume_correlation",
    "beta_similarity",
    "partial_correlation_30d",
)
"""Components of an edge's relation vector; fund holdings and index lists are no market columns, so
``etf_overlap_jaccard`` and ``index_co_membership`` are NaN."""

UNKNOWN_SECTOR = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphRule:
    """How a snapshot is made.

    Parameters
    ----------
    window : int, default=30
        Sessions of returns behind a correlation.
    stride : int, default=20
        Sessions between snapshots, counted from the first session of the market.
    min_observed : int, default=20
        Sessions on which both names of a pair must be observed.
    min_correlation : float, default=0.1
        An edge needs more than this, a negative edge less than its negative.
    max_neighbours : int, default=50
        Strongest edges that each node selects; an edge stays if either end selects it.
    long_window : int, default=252
        Sessions behind beta and the capitalisation proxy; 70 % of them must be observed.
    relations : bool, default=False
        Whether to compute the vector of `RELATIONS` for each edge.
    """

    window: int = 30
    stride: int = 20
    min_observed: int = 20
    min_correlation: float = 0.1
    max_neighbours: int = 50
    long_window: int = 252
    relations: bool = False

    def __post_init__(self) -> None:
        if not 2 <= self.min_observed <= self.window:
            raise ContractError(f"`min_observed` must lie in [2, window = {self.window}], got {self.min_observed}.")
        if not 0.0 <= self.min_correlation < 1.0:
            raise ContractError(f"`min_correlation` must lie in [0, 1), got {self.min_correlation}.")
        for setting in ("stride", "max_neighbours"):
            if getattr(self, setting) < 1:
                raise ContractError(f"`{setting}` must be at least 1, got {getattr(self, setting)}.")
        if self.long_window < self.window:
            raise ContractError(f"`long_window` must be at least window = {self.window}, got {self.long_window}.")


@dataclass(frozen=True, slots=True)
class Edges:
    """Undirected edges, each stored once with ``source < target`` (asset positions)."""

    source: IntArray  # (n_edges,)
    target: IntArray
    correlation: FloatArray  # in [-1, 1]
    n_obs: IntArray  # sessions on which both ends were observed
    relations: FloatArray | None = None  # (n_edges, 8), by `RELATIONS`


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The graph of one session, as known at its close.

    Parameters
    ----------
    as_of, window_start : int
        Last and first session of the window.
    nodes : IntArray
        Asset positions of the day's members, ascending, (n_nodes,).
    edges, negative : Edges
        Positive edges and, apart from them, negative ones.
    density : float
        Share of the pairs with enough observations whose correlation passes the threshold, before
        the cut to the strongest neighbours; NaN without such a pair.
    mean_abs_correlation : float
        Mean over the same pairs; NaN without one.
    beta, cap_proxy, benchmark_correlation : FloatArray
        By node: slope on the benchmark and median money traded over the long window, correlation
        with the benchmark over the window; NaN where too little was observed.
    n_obs : IntArray
        Observed returns of each node within the window.
    sector : StrArray
        ``unknown`` where no dated record says.
    """

    as_of: int
    window_start: int
    nodes: IntArray
    edges: Edges
    negative: Edges
    density: float
    mean_abs_correlation: float
    beta: FloatArray
    cap_proxy: FloatArray
    benchmark_correlation: FloatArray
    n_obs: IntArray
    sector: StrArray

    @property
    def degree(self) -> IntArray:
        """Positive edges of each node after the cut, (n_nodes,)."""
        ends = np.concatenate([self.edges.source, self.edges.target])
        return np.bincount(np.searchsorted(self.nodes, ends), minlength=len(self.nodes))


def snapshot_days(n_sessions: int, rule: GraphRule) -> IntArray:
    """Every ``stride``-th session that has a full window behind it, counted from session 0."""
    return np.arange(rule.window - 1, n_sessions, rule.stride, dtype=np.int64)


def snapshots(
    columns: Mapping[str, AnyArray],
    days: IntArray,
    rule: GraphRule | None = None,
    sectors: StrArray | None = None,
) -> Iterator[Snapshot]:
    """The graph as of each of ``days``.

    Parameters
    ----------
    columns : Mapping[str, AnyArray]
        ``log_return_1d, dollar_volume, member`` (n_sessions, n_assets) and
        ``benchmark_log_return_1d`` (n_sessions,).
    days : IntArray
        Session numbers, each with a full window behind it; see `snapshot_days`.
    sectors : StrArray or None
        Sector of each asset on each of ``days``, (n_days, n_assets); see `sectors_as_of`.
    """
    rule = rule or GraphRule()
    for row, day in enumerate(days):
        if not rule.window - 1 <= day < len(columns["member"]):
            raise ContractError(
                f"A snapshot of session {day} needs {rule.window} sessions up to it; the market "
                f"has sessions 0 to {len(columns['member']) - 1}."
            )
        nodes = np.flatnonzero(np.asarray(columns["member"][day], dtype=bool)).astype(np.int64)
        sector = np.full(len(nodes), UNKNOWN_SECTOR, dtype=object) if sectors is None else sectors[row, nodes]
        yield _snapshot(columns, int(day), nodes, sector, rule)


def sectors_as_of(records: pd.DataFrame, tickers: tuple[str, ...], decided_at: AnyArray) -> StrArray:
    """Sector of each ticker at each decision time, (n_days, n_assets); ``unknown`` before a record.

    ``records`` holds ``ticker, sector, known_at`` (UTC). An undated classification is refused: it
    would say in 2001 what was known in 2024 (D-GRA-03, R7).
    """
    dated = "known_at" in records.columns and not bool(records["known_at"].isna().any())
    if not dated:
        raise ContractError(
            "`sectors` has rows without `known_at`. An undated sector may serve constraints and "
            "tables, never graphs: date it or leave it out."
        )
    out = np.full((len(decided_at), len(tickers)), UNKNOWN_SECTOR, dtype=object)
    place = {ticker: at for at, ticker in enumerate(tickers)}
    known = records[records["ticker"].isin(tickers)].sort_values("known_at", kind="stable")
    dates = known["known_at"].to_numpy(dtype="datetime64[ns]")
    for ticker, sector, known_at in zip(known["ticker"], known["sector"], dates, strict=True):
        out[decided_at >= known_at, place[ticker]] = sector
    return out


def edge_table(snapshot: Snapshot, tickers: tuple[str, ...], dates: AnyArray, *, negative: bool = False) -> pd.DataFrame:
    """Edges with names: ``as_of, window_start, window_end, source, target, correlation, n_obs``."""
    edges = snapshot.negative if negative else snapshot.edges
    names = np.array(tickers, dtype=object)
    table = pd.DataFrame(
        {
            "as_of": dates[snapshot.as_of],
            "window_start": dates[snapshot.window_start],
            "window_end": dates[snapshot.as_of],
            "source": names[edges.source],
            "target": names[edges.target],
            "correlation": edges.correlation,
            "n_obs": edges.n_obs,
        }
    )
    if edges.relations is None:
        return table
    return table.join(pd.DataFrame(edges.relations, columns=list(RELATIONS)))


def node_table(snapshot: Snapshot, tickers: tuple[str, ...], dates: AnyArray) -> pd.DataFrame:
    """Nodes with names: sector, beta, capitalisation proxy, observations, degree."""
    return pd.DataFrame(
        {
            "as_of": dates[snapshot.as_of],
            "ticker": np.array(tickers, dtype=object)[snapshot.nodes],
            "sector": snapshot.sector,
            "beta_252d": snapshot.beta,
            "cap_proxy": snapshot.cap_proxy,
            "benchmark_correlation": snapshot.benchmark_correlation,
            "n_obs": snapshot.n_obs,
            "degree": snapshot.degree,
        }
    )


@dataclass(frozen=True, slots=True)
class _Nodes:
    """What is known of each node at the end of the window."""

    returns: FloatArray  # (n_nodes, window)
    money: FloatArray  # (n_nodes, window)
    beta: FloatArray
    cap_proxy: FloatArray
    benchmark_correlation: FloatArray
    sector: StrArray


def _snapshot(columns: Mapping[str, AnyArray], day: int, nodes: IntArray, sector: StrArray, rule: GraphRule) -> Snapshot:
    known = _nodes(columns, day, nodes, sector, rule)
    correlation, n_obs = correlations(known.returns, known.returns, rule.min_observed)
    pairs = np.isfinite(correlation) & ~np.eye(len(nodes), dtype=bool)
    n_pairs = int(pairs.sum())

    def edges(strength: FloatArray) -> Edges:
        passes = pairs & (strength > rule.min_correlation)
        source, target = strongest(strength, passes, rule.max_neighbours)
        values = correlation[source, target]
        vector = _relations(known, source, target, values, rule) if rule.relations else None
        return Edges(nodes[source], nodes[target], values, n_obs[source, target], vector)

    strong = pairs & (correlation > rule.min_correlation)
    return Snapshot(
        as_of=day,
        window_start=day - rule.window + 1,
        nodes=nodes,
        edges=edges(correlation),
        negative=edges(-correlation),
        density=float(strong.sum() / n_pairs) if n_pairs else np.nan,
        mean_abs_correlation=float(np.abs(correlation[pairs]).mean()) if n_pairs else np.nan,
        beta=known.beta,
        cap_proxy=known.cap_proxy,
        benchmark_correlation=known.benchmark_correlation,
        n_obs=np.isfinite(known.returns).sum(axis=1).astype(np.int64),
        sector=sector,
    )


def _nodes(columns: Mapping[str, AnyArray], day: int, nodes: IntArray, sector: StrArray, rule: GraphRule) -> _Nodes:
    rows = slice(max(day - rule.long_window + 1, 0), day + 1)
    returns = np.ascontiguousarray(columns["log_return_1d"][rows, nodes].T)
    money = np.ascontiguousarray(columns["dollar_volume"][rows, nodes].T)
    benchmark = np.array(columns["benchmark_log_return_1d"][rows], dtype=np.float64)
    minimum = -(-rule.long_window * 7 // 10)
    recent = np.ascontiguousarray(returns[:, -rule.window :])
    market, _ = correlations(recent, benchmark[None, -rule.window :].copy(), rule.min_observed)
    return _Nodes(
        returns=recent,
        money=np.ascontiguousarray(money[:, -rule.window :]),
        beta=_betas(returns, benchmark, minimum),
        cap_proxy=_medians(money, minimum),
        benchmark_correlation=market[:, 0],
        sector=sector,
    )


def strongest(strength: FloatArray, passes: BoolArray, most: int) -> tuple[IntArray, IntArray]:
    """Edges among the ``most`` strongest of either end; ties go to the earlier node."""
    order = np.argsort(np.where(passes, -strength, np.inf), axis=1, kind="stable")[:, :most]
    chosen = np.zeros_like(passes)
    np.put_along_axis(chosen, order, np.take_along_axis(passes, order, axis=1), axis=1)
    source, target = np.nonzero(np.triu(chosen | chosen.T, k=1))
    return source, target


def _relations(known: _Nodes, source: IntArray, target: IntArray, correlation: FloatArray, rule: GraphRule) -> FloatArray:
    """The vector of `RELATIONS` for each edge, (n_edges, 8); NaN where it cannot be computed."""
    out = np.full((len(source), len(RELATIONS)), np.nan)
    left_cap, right_cap = known.cap_proxy[source], known.cap_proxy[target]
    with np.errstate(divide="ignore", invalid="ignore"):  # no volume: a ratio or log is missing
        cap_ratio = np.minimum(left_cap, right_cap) / np.maximum(left_cap, right_cap)
        log_money = np.log(known.money)
    log_money[~np.isfinite(log_money)] = np.nan
    volume, _ = correlations(log_money, log_money, rule.min_observed)
    left, right = known.benchmark_correlation[source], known.benchmark_correlation[target]
    left_over = np.sqrt((1.0 - left**2) * (1.0 - right**2))
    out[:, 0] = correlation
    out[:, 1] = _sector_similarity(known, rule.min_observed)[source, target]
    out[:, 4] = cap_ratio
    out[:, 5] = volume[source, target]
    out[:, 6] = 1.0 / (1.0 + np.abs(known.beta[source] - known.beta[target]))
    np.divide(correlation - left * right, left_over, out=out[:, 7], where=left_over > 0.0)
    return out


def _sector_similarity(known: _Nodes, minimum: int) -> FloatArray:
    """(correlation of the sectors' mean returns + 1) / 2 by pair of nodes; NaN without a sector."""
    names = sorted(set(known.sector) - {UNKNOWN_SECTOR})
    means = np.full((len(names), known.returns.shape[1]), np.nan)
    member = np.full(len(known.sector), -1)
    for number, name in enumerate(names):
        member[known.sector == name] = number
        rows = known.returns[known.sector == name]
        n_seen = np.isfinite(rows).sum(axis=0)
        np.divide(np.nansum(rows, axis=0), n_seen, out=means[number], where=n_seen > 0)
    between, _ = correlations(means, means, minimum)
    padded = np.full((len(names) + 1, len(names) + 1), np.nan)  # row -1: no sector
    padded[:-1, :-1] = (between + 1.0) / 2.0
    by_pair: FloatArray = padded[np.ix_(member, member)]
    return by_pair


@njit(cache=True)
def correlations(left: FloatArray, right: FloatArray, minimum: int) -> tuple[FloatArray, IntArray]:
    """Pearson correlation of each row of ``left`` with each of ``right`` where both are finite."""
    out = np.full((left.shape[0], right.shape[0]), np.nan)
    n_obs = np.zeros(out.shape, dtype=np.int64)
    for i in range(left.shape[0]):
        for j in range(right.shape[0]):
            count, both, left_squares, right_squares = _moments(left[i], right[j])
            n_obs[i, j] = count
            scale = np.sqrt(left_squares * right_squares)
            if count >= minimum and scale > 0.0:
                out[i, j] = min(1.0, max(-1.0, both / scale))
    return out, n_obs


@njit(cache=True)
def _moments(left: FloatArray, right: FloatArray) -> tuple[int, float, float, float]:
    """Pairs seen, and the sums of their products and squares about the means of the pairs."""
    count, left_sum, right_sum = 0, 0.0, 0.0
    for at in range(left.size):
        if np.isfinite(left[at] + right[at]):
            count += 1
            left_sum += left[at]
            right_sum += right[at]
    both, left_squares, right_squares = 0.0, 0.0, 0.0
    for at in range(left.size):
        if np.isfinite(left[at] + right[at]):
            x, y = left[at] - left_sum / count, right[at] - right_sum / count
            both += x * y
            left_squares += x * x
            right_squares += y * y
    return count, both, left_squares, right_squares


@njit(cache=True)
def _betas(returns: FloatArray, benchmark: FloatArray, minimum: int) -> FloatArray:
    out = np.full(returns.shape[0], np.nan)
    for node in range(returns.shape[0]):
        count, both, _, squares = _moments(returns[node], benchmark)
        if count >= minimum and squares > 0.0:
            out[node] = both / squares
    return out


def _medians(money: FloatArray, minimum: int) -> FloatArray:
    out = np.full(len(money), np.nan)
    enough = np.isfinite(money).sum(axis=1) >= minimum
    if enough.any():
        out[enough] = np.nanmedian(money[enough], axis=1)
    return out
