from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

from glassbox_bt.errors import ContractError
from glassbox_bt.market.graph import (
    RELATIONS,
    Edges,
    GraphRule,
    Snapshot,
    edge_table,
    node_table,
    sectors_as_of,
    snapshot_days,
    snapshots,
)
from glassbox_bt.types import AnyArray, FloatArray, StrArray
from tests.builders import tiny_store

STORE = tiny_store(n_sessions=320, n_assets=7, seed=8)
RULE = GraphRule(relations=True, max_neighbours=2)


def market(returns: FloatArray, **columns: AnyArray) -> dict[str, AnyArray]:
    return {
        "log_return_1d": returns,
        "dollar_volume": np.full(returns.shape, 1e6),
        "member": np.ones(returns.shape, dtype=bool),
        "benchmark_log_return_1d": returns.mean(axis=1),
        **columns,
    }


def only(columns: Mapping[str, AnyArray], day: int, rule: GraphRule | None = None) -> Snapshot:
    return next(snapshots(columns, np.array([day]), rule))


def flat(snapshot: Snapshot) -> list[AnyArray]:
    def of(edges: Edges) -> list[AnyArray]:
        vector = np.zeros(0) if edges.relations is None else edges.relations
        return [edges.source, edges.target, edges.correlation, edges.n_obs, vector]

    summary = np.array([snapshot.density, snapshot.mean_abs_correlation])
    nodes = [snapshot.nodes, snapshot.beta, snapshot.cap_proxy, snapshot.benchmark_correlation]
    return [*of(snapshot.edges), *of(snapshot.negative), *nodes, snapshot.n_obs, summary]


def test_prefix_invariance_at_every_row() -> None:
    days = np.arange(29, 320)
    whole = list(snapshots(STORE.columns, days, RULE))
    for day, full in zip(days, whole, strict=True):
        prefix = {name: values[: day + 1] for name, values in STORE.columns.items()}
        for left, right in zip(flat(only(prefix, int(day), RULE)), flat(full), strict=True):
            np.testing.assert_array_equal(left, right)


def test_d_gra_01_a_snapshot_is_named_by_its_windows_end() -> None:
    days = snapshot_days(320, GraphRule())
    assert days[0] == 29
    assert set(np.diff(days)) == {20}
    snapshot = only(STORE.columns, 49)
    assert (snapshot.window_start, snapshot.as_of) == (20, 49)
    table = edge_table(snapshot, STORE.tickers, STORE.dates)
    assert (table["as_of"] == STORE.dates[49]).all()
    assert (table["window_end"] == table["as_of"]).all()
    assert (table["window_start"] == STORE.dates[20]).all()


def test_d_gra_01_a_graph_reacts_on_its_last_day_not_before() -> None:
    returns = STORE.columns["log_return_1d"].copy()
    returns[49] *= 4.0
    moved = {**STORE.columns, "log_return_1d": returns}
    for day, changed in ((48, False), (49, True)):
        before, after = only(STORE.columns, day), only(moved, day)
        assert (before.mean_abs_correlation != after.mean_abs_correlation) == changed


def test_d_gra_02_beta_and_cap_proxy_are_as_of_the_day() -> None:
    rng = np.random.default_rng(0)
    benchmark = 0.01 * rng.standard_normal(600)
    slope = np.where(np.arange(600) < 300, 0.5, 2.0)
    money = np.where(np.arange(600) < 300, 1e6, 9e6)[:, None]
    columns = market(
        (slope * benchmark)[:, None],
        benchmark_log_return_1d=benchmark,
        dollar_volume=money,
    )
    early, late = only(columns, 290), only(columns, 599)
    assert early.beta[0] == pytest.approx(0.5)
    assert late.beta[0] == pytest.approx(2.0)
    assert (early.cap_proxy[0], late.cap_proxy[0]) == (1e6, 9e6)


def test_d_gra_03_sectors_need_a_date_and_are_unknown_before_it() -> None:
    decided_at = STORE.decided_at[[10, 20, 30]]
    records = pd.DataFrame(
        {
            "ticker": ["N00", "N00", "N01", "elsewhere"],
            "sector": ["Energy", "Utilities", "Energy", "Energy"],
            "known_at": STORE.decided_at[[15, 30, 0, 0]],
        }
    )
    sectors = sectors_as_of(records, STORE.tickers, decided_at)
    assert sectors[:, 0].tolist() == ["unknown", "Energy", "Utilities"]
    assert set(sectors[:, 2]) == {"unknown"}
    for undated in (records.drop(columns="known_at"), records.assign(known_at=np.datetime64("NaT"))):
        with pytest.raises(ContractError, match="without `known_at`"):
            sectors_as_of(undated, STORE.tickers, decided_at)


def test_d_gra_04_density_is_taken_before_the_cut_and_negatives_are_kept() -> None:
    rng = np.random.default_rng(1)
    factor = rng.standard_normal(60)
    signs = np.array([1, 1, 1, 1, 1, 1, -1, -1])
    returns = 0.01 * (factor[:, None] * signs + 0.1 * rng.standard_normal((60, 8)))
    snapshot = only(market(returns), 59, GraphRule(max_neighbours=1))
    assert snapshot.density == pytest.approx((15 + 1) / 28)  # pairs of like sign
    assert snapshot.mean_abs_correlation > 0.9
    assert len(snapshot.edges.source) < 16
    assert snapshot.degree.min() >= 1
    assert (snapshot.edges.correlation > 0.1).all()
    assert (snapshot.negative.correlation < -0.1).all()
    assert len(snapshot.negative.source) > 0


def test_an_edge_stays_if_either_end_selects_it_and_is_stored_once() -> None:
    snapshot = only(STORE.columns, 300, RULE)
    pairs = set(zip(snapshot.edges.source.tolist(), snapshot.edges.target.tolist(), strict=True))
    assert len(pairs) == len(snapshot.edges.source)
    assert all(source < target for source, target in pairs)
    matrix = np.corrcoef(STORE.columns["log_return_1d"][271:301, [0, 4, 5, 6]].T)
    place = [0, 4, 5, 6]  # the names without a gap
    for edge in range(len(snapshot.edges.source)):
        ends = snapshot.edges.source[edge], snapshot.edges.target[edge]
        if set(ends) <= set(place):
            expected = matrix[place.index(ends[0]), place.index(ends[1])]
            assert snapshot.edges.correlation[edge] == pytest.approx(expected)


def test_a_pair_needs_twenty_common_observations() -> None:
    rng = np.random.default_rng(2)
    returns = 0.01 * (rng.standard_normal((40, 1)) + 0.1 * rng.standard_normal((40, 3)))
    returns[10:21, 2] = np.nan  # 19 of the last 30 observed
    snapshot = only(market(returns), 39)
    ends = [snapshot.edges.source.tolist(), snapshot.edges.target.tolist()]
    assert ends == [[0], [1]]
    assert snapshot.n_obs.tolist() == [30, 30, 19]
    assert snapshot.density == 1.0  # of the one pair that can be judged


def test_an_edge_does_not_depend_on_who_else_is_in_the_market() -> None:
    rule = GraphRule(max_neighbours=50)
    fewer = {name: values[:, 2:6] if values.ndim > 1 else values for name, values in STORE.columns.items()}
    some, all_ = only(fewer, 300, rule).edges, only(STORE.columns, 300, rule).edges
    inside = (all_.source >= 2) & (all_.target < 6)
    np.testing.assert_array_equal(some.source + 2, all_.source[inside])
    np.testing.assert_array_equal(some.correlation, all_.correlation[inside])


def test_nodes_are_the_members_of_the_day() -> None:
    assert 6 not in only(STORE.columns, 60).nodes
    assert 6 in only(STORE.columns, 64).nodes


def test_relations_are_computed_where_the_market_has_them() -> None:
    sectors: StrArray = np.full((1, 7), "unknown", dtype=object)
    sectors[0, :4] = ["Energy", "Energy", "Utilities", "Utilities"]
    rule = GraphRule(relations=True)
    snapshot = next(snapshots(STORE.columns, np.array([300]), rule, sectors))
    table = edge_table(snapshot, STORE.tickers, STORE.dates)
    relations = table[list(RELATIONS)]
    assert relations[["etf_overlap_jaccard", "index_co_membership"]].isna().all(axis=None)
    np.testing.assert_array_equal(relations["correlation_30d"], table["correlation"])
    assert relations["market_cap_ratio"].between(0.0, 1.0).all()
    assert relations["beta_similarity"].between(0.0, 1.0).all()
    assert relations["partial_correlation_30d"].abs().le(1.0).all()
    same = (table["source"] == "N00") & (table["target"] == "N01")
    assert relations.loc[same, "sector_similarity"].tolist() == [pytest.approx(1.0)]
    unknown = table["target"].isin(["N04", "N05", "N06"])
    assert relations.loc[unknown, "sector_similarity"].isna().all()
    assert only(STORE.columns, 300).edges.relations is None


def test_tables_carry_the_declared_columns() -> None:
    snapshot = only(STORE.columns, 300)
    columns = ["as_of", "window_start", "window_end", "source", "target", "correlation", "n_obs"]
    for negative in (False, True):
        table = edge_table(snapshot, STORE.tickers, STORE.dates, negative=negative)
        assert list(table.columns) == columns
    nodes = node_table(snapshot, STORE.tickers, STORE.dates)
    assert nodes["ticker"].tolist() == list(STORE.tickers)
    assert nodes["degree"].sum() == 2 * len(snapshot.edges.source)


def test_an_empty_universe_has_an_empty_graph() -> None:
    columns = market(np.zeros((40, 3)), member=np.zeros((40, 3), dtype=bool))
    snapshot = only(columns, 39, GraphRule(relations=True))
    assert len(snapshot.edges.source) == len(snapshot.nodes) == 0
    assert np.isnan(snapshot.density)


@pytest.mark.parametrize(
    "settings",
    [
        {"min_observed": 31},
        {"min_correlation": 1.0},
        {"stride": 0},
        {"max_neighbours": 0},
        {"long_window": 29},
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    (name,) = settings
    with pytest.raises(ContractError, match=f"`{name}`"):
        GraphRule(**settings)


def test_a_day_without_a_full_window_is_refused() -> None:
    with pytest.raises(ContractError, match="session 28 needs 30 sessions"):
        only(STORE.columns, 28)
