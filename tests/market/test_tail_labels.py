from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from glassbox_bt.market.graph import GraphRule
from glassbox_bt.market.store import Label
from glassbox_bt.market.tail_labels import CONTAGION_LABELS, HORIZONS, TAIL_LABELS, build_tail_labels
from glassbox_bt.market.tails import (
    close_neighbours,
    lately_stressed,
    neighbour_stressed,
    stress_depth,
    tail_bar,
)
from glassbox_bt.types import AnyArray, BoolArray, FloatArray
from tests.builders import base_columns, tiny_store

N_SESSIONS = 260
CLOCK = np.arange("2010-01-01", "2012-12-31", dtype="datetime64[D]").astype("datetime64[ns]")


def labels_of(columns: Mapping[str, AnyArray], *, has_opens: bool = True) -> dict[str, Label]:
    return build_tail_labels(columns, CLOCK[: len(columns["close"])], has_opens=has_opens)


def prefix_of(columns: Mapping[str, AnyArray], n_rows: int) -> dict[str, AnyArray]:
    return {name: values[:n_rows] for name, values in columns.items()}


def forward(columns: Mapping[str, AnyArray], horizon: int, day: int) -> FloatArray:
    """Log return from the open after ``day``, straight from the definition."""
    moved: FloatArray = np.log(columns["close"][day + horizon] / columns["open"][day + 1])
    return moved


@pytest.mark.parametrize("has_opens", [True, False])
def test_prefix_invariance_at_every_row(has_opens: bool) -> None:
    """What was known at a session's close is what the market up to that session gives."""
    columns = base_columns(N_SESSIONS, 3, seed=4)
    whole = labels_of(columns, has_opens=has_opens)
    for n_rows in range(2, N_SESSIONS + 1):
        cut = labels_of(prefix_of(columns, n_rows), has_opens=has_opens)
        for name, label in whole.items():
            known = label.known_at[:n_rows] <= CLOCK[n_rows - 1]
            np.testing.assert_array_equal(cut[name].values[known], label.values[:n_rows][known], err_msg=name)
            assert np.isnan(cut[name].values[~known]).all()


def test_the_labels_and_when_they_are_known() -> None:
    store = tiny_store(400, 6, seed=3)
    for name, passed, horizon in zip(TAIL_LABELS, CONTAGION_LABELS, HORIZONS, strict=True):
        label = store.labels[name]
        np.testing.assert_array_equal(label.known_at[:-horizon], store.decided_at[horizon:])
        assert np.isnat(label.known_at[-horizon:]).all()
        np.testing.assert_array_equal(store.labels[passed].known_at, label.known_at)
        seen = label.values[np.isfinite(label.values)]
        assert set(np.unique(seen)) <= {0.0, 1.0}
        assert 0.0 < seen.mean() < 0.3


@pytest.mark.parametrize("horizon", HORIZONS)
def test_an_event_is_both_conditions_of_its_own_past(horizon: int) -> None:
    columns = base_columns(700, 1, seed=9)
    label = labels_of(columns)[f"tail_event_{horizon}d"].values[:, 0]
    for day in range(540, 630):
        past = np.array([forward(columns, horizon, start)[0] for start in range(day - horizon - 503, day - horizon + 1)])
        came = forward(columns, horizon, day)[0]
        rare = came < np.quantile(past, 0.05)
        far = came - past[-60:].mean() < -2.0 * past[-60:].std(ddof=1)
        assert label[day] == float(rare and far), day


def test_d_stm_04_too_short_a_history_is_missing_and_never_a_negative() -> None:
    columns = base_columns(N_SESSIONS, 2, seed=1)
    for horizon in HORIZONS:
        label = labels_of(columns)[f"tail_event_{horizon}d"].values[:, 0]
        first = horizon + 99  # the hundredth return of that length is known
        assert np.isnan(label[:first]).all()
        assert np.isfinite(label[first : N_SESSIONS - horizon]).all()
    zero_filled = np.nan_to_num(labels_of(columns)["tail_event_5d"].values)  # the fault
    assert missing_history_is_missing(labels_of(columns)["tail_event_5d"].values)
    assert not missing_history_is_missing(zero_filled)


def missing_history_is_missing(label: FloatArray) -> bool:
    return bool(np.isnan(label[:104]).all())


def test_a_halt_within_the_path_leaves_no_negative() -> None:
    columns = base_columns(N_SESSIONS, 4, seed=1)
    label = labels_of(columns)["tail_event_5d"].values
    middle = N_SESSIONS // 2
    assert np.isnan(label[middle - 3, 3])  # halted for eight sessions from the middle on
    assert np.isfinite(label[middle - 3, 0])


def test_d_stm_03_contagion_needs_a_neighbour_in_distress() -> None:
    store = tiny_store(500, 6, seed=5)
    returns, member = np.asarray(store.columns["log_return_1d"]), store.member
    stressed = neighbour_stressed(returns, member)
    for name, passed in zip(TAIL_LABELS, CONTAGION_LABELS, strict=True):
        own, label = store.labels[name].values, store.labels[passed].values
        known = np.isfinite(own) & np.isfinite(stressed)
        np.testing.assert_array_equal(np.isfinite(label), known)
        np.testing.assert_array_equal(label[known], (own * stressed)[known])
    own, label = store.labels["tail_event_5d"].values, store.labels["tail_contagion_5d"].values
    assert speaks_of_transmission(own, label, stressed)
    assert not speaks_of_transmission(own, own, stressed)  # the fault: the name's own event under the other name


def speaks_of_transmission(own: FloatArray, label: FloatArray, stressed: FloatArray) -> bool:
    alone = (own == 1.0) & (stressed == 0.0)
    return bool(alone.any()) and not bool((label[alone] == 1.0).any())


CLOSE = GraphRule(min_correlation=0.6)


def graph_market(n_sessions: int = 600) -> tuple[FloatArray, BoolArray]:
    """Four names in two pairs that move together, and one alone; names 0 and 1 belong together."""
    rng = np.random.default_rng(2)
    pairs = 0.01 * rng.standard_normal((n_sessions, 3))
    returns = pairs[:, [0, 0, 1, 1, 2]] + 0.002 * rng.standard_normal((n_sessions, 5))
    return returns, np.ones(returns.shape, dtype=bool)


def test_only_a_neighbour_counts_and_only_for_five_sessions() -> None:
    returns, member = graph_market()
    day = 29 + 20 * 27 + 3  # shortly after a snapshot
    calm, hit = returns.copy(), returns.copy()
    calm[day - 10 : day + 15] = 0.0005
    hit[day - 10 : day + 15] = 0.0005
    hit[day, 0] = -0.2
    before, after = neighbour_stressed(calm, member, CLOSE), neighbour_stressed(hit, member, CLOSE)
    assert (before[day : day + 6, :4] == 0.0).all()
    assert (after[day : day + 5, 1] == 1.0).all()
    assert after[day + 5, 1] == 0.0
    assert (after[day : day + 6, 2:4] == 0.0).all()  # the other pair has nothing to do with it
    assert after[day - 1, 1] == 0.0


def test_the_graph_of_the_label_is_named_by_its_windows_end_d_gra_01() -> None:
    """The neighbours of a day come from a window that ended; nonsense after it changes nothing."""
    returns, member = graph_market()
    poisoned = returns.copy()
    poisoned[551:] = np.random.default_rng(0).standard_normal(poisoned[551:].shape)
    np.testing.assert_array_equal(neighbour_stressed(returns, member)[:551], neighbour_stressed(poisoned, member)[:551])


def test_without_a_graph_or_a_known_neighbour_nothing_is_known() -> None:
    returns, member = graph_market()
    member[:, 4] = False
    state = neighbour_stressed(returns, member, CLOSE)
    assert np.isnan(state[:29]).all()  # no snapshot yet
    assert np.isnan(state[:, 4]).all()  # no member
    returns[560:, 1] = np.nan  # the only neighbour of name 0 stops trading; the last snapshot still has it
    assert np.isnan(neighbour_stressed(returns, member, CLOSE)[565:569, 0]).all()


def test_neighbours_are_a_share_of_the_names_and_three_at_least() -> None:
    rng = np.random.default_rng(1)
    rule = GraphRule()
    for n_names, most in ((12, 3), (200, 4)):
        window = 0.01 * (rng.standard_normal((30, 1)) + rng.standard_normal((30, n_names)))
        near = close_neighbours(window, np.ones(n_names, dtype=bool), rule)
        np.testing.assert_array_equal(near, near.T)
        assert not near.diagonal().any()
        assert near.sum() <= 2 * most * n_names
        assert near.sum(axis=1).min() >= most


def test_the_depth_of_a_loss_is_in_bars_of_the_session_before() -> None:
    rng = np.random.default_rng(0)
    returns = 0.01 * rng.standard_normal((300, 1))
    returns[250] = -0.08
    returns[260] = -2.0
    bar, depth = tail_bar(returns), stress_depth(returns)
    assert depth[250, 0] == pytest.approx(-0.08 / bar[249, 0])
    assert depth[260, 0] == 4.0
    assert np.isnan(depth[:100]).all()
    gain = returns.copy()
    gain[250] = 0.08
    assert stress_depth(gain)[250, 0] == 0.0


def test_lately_needs_three_known_sessions_unless_a_loss_is_seen() -> None:
    depth = np.array([0.0, np.nan, np.nan, np.nan, 0.0, 0.0, np.nan, 1.5, np.nan, np.nan, np.nan, np.nan, np.nan])[:, None]
    said = lately_stressed(depth)[:, 0]
    assert np.isnan(said[4])  # two of five known
    assert np.isnan(said[5])
    assert said[7] == said[11] == 1.0
    assert np.isnan(said[12])


def test_a_constant_market_has_no_tail() -> None:
    columns = base_columns(N_SESSIONS, 3, seed=0)
    flat = {
        name: np.full(values.shape, 40.0) for name, values in columns.items() if name in ("open", "high", "low", "close")
    }
    quiet = {**columns, **flat, "tradable": np.ones((N_SESSIONS, 3))}
    for name, label in labels_of(quiet).items():
        seen = label.values[np.isfinite(label.values)]
        assert (seen == 0.0).all(), name
    assert np.isfinite(labels_of(quiet)["tail_event_5d"].values).any()
