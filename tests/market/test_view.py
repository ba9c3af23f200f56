from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glassbox_bt.errors import LookAheadError
from glassbox_bt.market.store import MarketStore
from glassbox_bt.market.view import MarketView, Span
from glassbox_bt.types import AnyArray, IntArray, Read
from tests.builders import tiny_store

STORE = tiny_store(n_sessions=60, n_assets=4)
EVERYONE: IntArray = np.arange(4)
READS = (Read("close", 10), Read("volume"), Read("macro.VIX_CLOSE", 5), Read("member", 3))


def span_of(days: list[int], store: MarketStore = STORE) -> Span:
    return store.span(np.array(days), READS, EVERYONE)


def test_an_undeclared_column_is_refused_by_name() -> None:
    with pytest.raises(LookAheadError, match=r"`open` was not declared.*close.*Add a Read"):
        span_of([20]).block("open")


@pytest.mark.parametrize("sessions", [0, 11])
def test_a_window_longer_than_declared_is_refused(sessions: int) -> None:
    with pytest.raises(LookAheadError, match="10 were declared"):
        span_of([20]).windows("close", sessions)


def test_blocks_and_windows_cannot_be_written() -> None:
    span = span_of([20, 21])
    for array in (span.block("close"), span.windows("close"), span.member):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0.0


def test_windows_end_on_their_day() -> None:
    close = STORE.columns["close"]
    for days in ([20, 21, 22, 23], [20, 23, 31]):  # contiguous, and with holes
        span = span_of(days)
        windows = span.windows("close")
        assert windows.shape == (len(days), 10, 4)
        for row, day in enumerate(days):
            np.testing.assert_array_equal(windows[row], close[day - 9 : day + 1])
            np.testing.assert_array_equal(span.windows("close", 4)[row], close[day - 3 : day + 1])
        np.testing.assert_array_equal(span.today("close"), close[days])
        np.testing.assert_array_equal(span.today("volume"), STORE.columns["volume"][days])


def test_a_market_wide_series_has_no_asset_axis() -> None:
    span = span_of([20, 21])
    assert span.windows("macro.VIX_CLOSE").shape == (2, 5)
    np.testing.assert_array_equal(span.today("macro.VIX_CLOSE"), STORE.columns["macro.VIX_CLOSE"][[20, 21]])


def test_a_span_holds_nothing_after_its_last_day() -> None:
    span = span_of([20, 25])
    for name, block in span.blocks.items():
        assert len(block) == 25 - 20 + span.reads[name], name


def test_rows_before_the_first_session_are_missing() -> None:
    window = span_of([3]).windows("close")[0]
    assert np.isnan(window[:6]).all()
    np.testing.assert_array_equal(window[6:], STORE.columns["close"][:4])


@settings(max_examples=25, deadline=None)
@given(days=st.sets(st.integers(0, 59), min_size=1, max_size=12).map(sorted))
def test_many_days_say_what_one_day_says(days: list[int]) -> None:
    span = span_of(days)
    for row, day in enumerate(days):
        view = STORE.view(day, READS, EVERYONE)
        assert view.day == day
        assert view.as_of == span.as_of[row]
        assert view.tickers == STORE.tickers
        np.testing.assert_array_equal(view.window("close", 10), span.windows("close")[row])
        np.testing.assert_array_equal(view.member, span.member[row])


@pytest.mark.parametrize("poison", [np.nan, 1e9, 1e-9])
def test_future_poison_is_unseen(poison: float) -> None:
    def after(day: int, values: AnyArray) -> AnyArray:
        out = np.asarray(values, dtype=np.float64).copy()
        out[day + 1 :] = poison
        return out

    names = ("close", "volume", "macro.VIX_CLOSE")
    changed: dict[str, Any] = {name: after(30, STORE.columns[name]) for name in names}
    poisoned = tiny_store(60, 4, **changed)
    for days in ([30], [12, 29, 30]):
        clean, other = span_of(days), span_of(days, poisoned)
        for name in clean.blocks:
            np.testing.assert_array_equal(clean.block(name), other.block(name), err_msg=name)


def test_a_view_is_one_day() -> None:
    with pytest.raises(LookAheadError, match="one day, got 2"):
        MarketView(span_of([20, 21]))
