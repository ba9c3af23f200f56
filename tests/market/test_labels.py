from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
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
        "benchmark_mark": np.full(len(price), 100.0),
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


@pytest.mark.parametrize(("has_opens", "first", "last"), [(True, 3, 13), (False, 4, 14)])
def test_an_excess_return_is_less_that_of_the_benchmark_up_to_the_same_close(has_opens: bool, first: int, last: int) -> None:
    close, level = np.arange(100.0, 140.0), np.arange(50.0, 90.0) ** 2
    values = values_of(one_name(close, benchmark_mark=level), has_opens=has_opens)["forward_excess_log_return_10d"]
    assert values[3] == pytest.approx(np.log(close[last] / close[4]) - np.log(level[last] / level[first]))
    level[last] = np.nan
    assert np.isnan(
        values_of(one_name(close, benchmark_mark=level), has_opens=has_opens)["forward_excess_log_return_10d"][3]
    )


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
        if "recovery" not in name:  # a peak that is not reached again is none the nearer for being higher
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
        peaks = np.maximum.accumulate(path)
        trough = int((1.0 - path / peaks).argmax())
        back = np.flatnonzero(path[trough:] >= peaks[trough])
        shallow = drawdown.max() < 0.005
        sessions = 0.0 if shallow else float(back[0]) if len(back) else float(horizon)
        assert values[f"forward_recovery_days_{horizon}d"][day] == sessions
    favourable = max(entry, high[start : start + 5].max()) / entry - 1.0
    adverse = 1.0 - min(entry, low[start : start + 5].min()) / entry
    assert values["forward_excursion_5d"][day] == pytest.approx(favourable - adverse, abs=1e-12)


def test_recovery_counts_sessions_from_the_trough_to_the_former_peak() -> None:
    close = np.full(60, 100.0)
    close[20:26] = [110.0, 104.0, 99.0, 105.0, 109.9, 110.0]  # peak on row 20, trough on 22, back on 25
    values = values_of(one_name(close))
    assert values["forward_recovery_days_10d"][18] == 3.0
    assert values["forward_recovery_days_10d"][14] == 10.0  # its path ends on row 24, a session too early
    assert values["forward_recovery_days_30d"][14] == 3.0
    dip = np.full(60, 100.0)
    dip[20] = 99.6
    assert values_of(one_name(dip))["forward_recovery_days_10d"][15] == 0.0  # 0.4 % is nothing to recover from
    gone = np.full(60, 100.0)
    gone[20:] = np.nan
    booked = values_of(one_name(gone, delist_price=delisted_on(21, 40.0, 60)))
    assert booked["forward_recovery_days_30d"][15] == 30.0


def stacked_and_filled(close: FloatArray) -> FloatArray:
    """The fault of D-DRW-02: gaps filled along the stacked table, then backwards, before it is parted by name."""
    long = pd.Series(close.T.ravel()).ffill().bfill()
    return np.asarray(long, dtype=np.float64).reshape(close.T.shape).T


def leaks_across_names(label: Callable[[FloatArray], FloatArray], close: FloatArray) -> bool:
    """Whether the outcomes of one name change with the prices of another."""
    moved = close.copy()
    moved[:, 0] *= np.linspace(1.0, 3.0, len(close))
    return not np.array_equal(label(close)[:, 1:], label(moved)[:, 1:], equal_nan=True)


def sees_later_prices(label: Callable[[FloatArray], FloatArray], close: FloatArray, until: int) -> bool:
    """Whether outcomes that end before session ``until`` change when the prices after it do."""
    cut = close.copy()
    cut[until:] = np.nan
    return not np.array_equal(label(close)[: until - 31], label(cut)[: until - 31], equal_nan=True)


def test_d_drw_02_no_price_flows_into_the_next_name_nor_back_in_time() -> None:
    close = base_columns(n_sessions=90, n_assets=3, seed=4)["close"].copy()
    close[:12, 1] = np.nan  # listed late
    close[-3:, 0] = np.nan

    def honest(prices: FloatArray) -> FloatArray:
        columns = dict.fromkeys(("open", "high", "low", "close"), prices)
        level = np.full(len(prices), 100.0)
        built = labels_of({**columns, "tradable": np.isfinite(prices).astype(np.float64), "benchmark_mark": level})
        return built["forward_drawdown_30d"].values

    def faulty(prices: FloatArray) -> FloatArray:
        return honest(stacked_and_filled(prices))

    assert leaks_across_names(faulty, close)
    assert not leaks_across_names(honest, close)
    halted = close.copy()
    halted[38:42, 2] = np.nan
    halted[:40, 1] = np.nan  # not listed before session 40, and the filled table has it from the start
    assert sees_later_prices(lambda prices: honest(pd.DataFrame(prices).bfill().to_numpy()), halted, 40)
    assert not sees_later_prices(honest, halted, 40)


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
