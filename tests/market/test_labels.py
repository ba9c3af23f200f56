from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glassbox_bt.market.labels import LABELS, build_labels
from glassbox_bt.market.store import Label
from glassbox_bt.types import AnyArray, FloatArray
from tests.builders import base_columns, tiny_store

SESSIONS = np.arange("2010-01-01", "2011-12-31", dtype="datetime64[D]").astype("datetime64[ns]")


def one_name(close: FloatArray, open_: FloatArray | None = None, **columns: AnyArray) -> dict[str, AnyArray]:
    price = np.asarray(close, dtype=np.float64)[:, None]
    opens = price if open_ is None else np.asarray(open_, dtype=np.float64)[:, None]
    return {
        "open": opens,
        "high": np.fmax(opens, price),
        "low": np.fmin(opens, price),
        "close": price,
        "tradable": np.isfinite(price).astype(np.float64),
        **columns,
    }


def labels_of(columns: Mapping[str, AnyArray], *, has_opens: bool = True) -> dict[str, Label]:
    return build_labels(columns, SESSIONS[: len(columns["close"])], has_opens=has_opens)


def values_of(columns: Mapping[str, AnyArray], *, has_opens: bool = True) -> dict[str, FloatArray]:
    labels = labels_of(columns, has_opens=has_opens)
    return {name: label.values[:, 0] for name, label in labels.items()}


def delisted_on(row: int, price: float, n_sessions: int) -> FloatArray:
    delist = np.full((n_sessions, 1), np.nan)
    delist[row] = price
    return delist


@pytest.mark.parametrize(("has_opens", "delay"), [(True, 0), (False, 1)])
def test_known_at_is_the_close_of_the_last_bar_read(has_opens: bool, delay: int) -> None:
    labels = labels_of(one_name(np.linspace(10, 20, 60)), has_opens=has_opens)
    assert set(labels) == set(LABELS)
    for name, (_, horizon) in LABELS.items():
        after = horizon + delay
        np.testing.assert_array_equal(labels[name].known_at[:-after], SESSIONS[after:60])
        assert np.isnat(labels[name].known_at[-after:]).all()
        assert np.isnan(labels[name].values[-after:]).all()
        assert np.isfinite(labels[name].values[:-after]).all()


def test_a_return_starts_at_the_next_open_or_without_opens_at_the_next_close() -> None:
    close, opens = np.arange(100.0, 140.0), np.arange(100.0, 140.0) - 0.25
    filled = values_of(one_name(close, opens))["forward_log_return_5d"]
    assert filled[3] == pytest.approx(np.log(close[8] / opens[4]))
    closed = values_of(one_name(close), has_opens=False)["forward_log_return_5d"]
    assert closed[3] == pytest.approx(np.log(close[9] / close[4]))


@pytest.mark.parametrize("has_opens", [True, False])
def test_the_bar_of_the_decision_is_no_part_of_its_outcome(has_opens: bool) -> None:
    columns = base_columns(n_sessions=80, n_assets=1)
    moved = dict(columns)
    for name in ("open", "high", "low", "close"):
        moved[name] = columns[name].copy()
        moved[name][30] *= 3.0
    before = values_of(columns, has_opens=has_opens)
    after = values_of(moved, has_opens=has_opens)
    for name in LABELS:
        assert before[name][30] == after[name][30]
        assert before[name][29] != after[name][29]


@pytest.mark.parametrize("has_opens", [True, False])
def test_a_label_reads_nothing_after_it_is_known(has_opens: bool) -> None:
    columns = base_columns(n_sessions=90, n_assets=3, seed=4)
    whole = labels_of(columns, has_opens=has_opens)
    for n_rows in range(1, 91):
        prefix = {name: values[:n_rows] for name, values in columns.items()}
        cut = labels_of(prefix, has_opens=has_opens)
        for name, label in whole.items():
            known = label.known_at[:n_rows] <= SESSIONS[n_rows - 1]
            np.testing.assert_array_equal(cut[name].values[known], label.values[:n_rows][known])
            assert np.isnan(cut[name].values[~known]).all()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), has_opens=st.booleans())
def test_outcomes_equal_their_definition(seed: int, has_opens: bool) -> None:
    columns = base_columns(n_sessions=70, n_assets=1, seed=seed)
    close, high, low = (columns[name][:, 0] for name in ("close", "high", "low"))
    values = values_of(columns, has_opens=has_opens)
    day, start = 20, 21 if has_opens else 22
    entry = columns["open" if has_opens else "close"][21, 0]
    for horizon in (10, 30):
        path = np.append(entry, close[start : start + horizon])
        drawdown = 1.0 - path / np.maximum.accumulate(path)
        assert values[f"forward_drawdown_{horizon}d"][day] == pytest.approx(drawdown.max())
        returns = np.diff(np.log(close[21 : start + horizon]))
        expected = returns.std() * np.sqrt(252)
        assert values[f"forward_vol_{horizon}d"][day] == pytest.approx(expected)
    favourable = max(entry, high[start : start + 5].max()) / entry - 1.0
    adverse = 1.0 - min(entry, low[start : start + 5].min()) / entry
    assert values["forward_excursion_5d"][day] == pytest.approx(favourable - adverse, abs=1e-12)


def test_a_constant_market_has_no_outcome_to_speak_of() -> None:
    values = values_of(one_name(np.full(60, 40.1)))
    for name in ("forward_log_return_20d", "forward_drawdown_30d", "forward_excursion_5d"):
        assert values[name][10] == 0.0
    assert values["forward_vol_10d"][10] == 0.01  # the floor of the spec


def test_d_tec_04_over_a_tenth_unobserved_is_missing() -> None:
    close = np.linspace(100.0, 120.0, 60)
    close[15] = np.nan
    one_hole = values_of(one_name(close))
    close[17] = np.nan
    two_holes = values_of(one_name(close))
    assert np.isfinite(one_hole["forward_drawdown_10d"][10])
    assert np.isnan(two_holes["forward_drawdown_10d"][10])  # two of ten
    assert np.isfinite(two_holes["forward_log_return_20d"][10])  # two of twenty
    assert np.isnan(one_hole["forward_log_return_5d"][10])  # one of five
    assert np.isnan(two_holes["forward_excursion_5d"][12])


def test_d_mkt_02_a_filled_bar_is_neither_entry_nor_exit() -> None:
    close = np.linspace(100.0, 120.0, 60)
    close[30] = np.nan
    values = values_of(one_name(close))
    for name in LABELS:
        assert np.isnan(values[name][29]), f"{name}: entry on a session without a bar"
    assert np.isnan(values["forward_log_return_20d"][10])  # would end on row 30
    assert np.isfinite(values["forward_log_return_20d"][11])


def test_an_entry_needs_trading() -> None:
    close = np.linspace(100.0, 120.0, 60)
    tradable = np.ones((60, 1))
    tradable[20] = 0.0
    values = values_of(one_name(close, tradable=tradable))
    assert np.isnan(values["forward_log_return_5d"][19])
    assert np.isfinite(values["forward_log_return_5d"][20])


def test_a_name_booked_out_keeps_its_loss() -> None:
    close = np.full(60, 100.0)
    close[20:] = np.nan  # last bar on row 19, booked out on row 25 at 70
    values = values_of(one_name(close, delist_price=delisted_on(25, 70.0, 60)))
    assert values["forward_log_return_20d"][10] == pytest.approx(np.log(0.7))
    assert values["forward_drawdown_30d"][10] == pytest.approx(0.3)
    assert np.isnan(values["forward_vol_20d"][10])
    assert np.isnan(values["forward_log_return_20d"][19])  # no entry any more
    assert np.isnan(values["forward_log_return_5d"][17])  # booked out after its path has ended


def test_a_total_loss_is_not_dropped() -> None:
    close = np.full(60, 100.0)
    close[20:] = np.nan
    values = values_of(one_name(close, delist_price=delisted_on(21, 0.0, 60)))
    assert values["forward_log_return_5d"][17] == pytest.approx(np.log(0.01))
    assert values["forward_excursion_5d"][17] == pytest.approx(-1.0)
    assert values["forward_drawdown_10d"][17] == 0.8


def test_d_lab_01_a_train_view_holds_no_label_that_ends_after_its_cut() -> None:
    store = tiny_store(n_sessions=120)
    days = np.arange(40, 90)
    view = store.train_view(days, (), tuple(LABELS), np.arange(store.n_assets))
    for name, (_, horizon) in LABELS.items():
        label = view.label(name)
        assert np.isnan(label[len(days) - horizon :]).all()
        assert np.isfinite(label[len(days) - horizon - 1, 0])
