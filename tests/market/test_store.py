from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from glassbox_bt.errors import ContractError, LookAheadError
from glassbox_bt.market.store import AnswerColumn, MarketStore
from glassbox_bt.types import AnyArray, FloatArray, IntArray, Read
from tests.builders import tiny_store

STORE = tiny_store(n_sessions=60, n_assets=5)
EVERYONE: IntArray = np.arange(5)


def answers(days: IntArray, assets: IntArray, values: AnyArray | None = None, **changes: object) -> AnswerColumn:
    given = {
        "days": days,
        "assets": assets,
        "values": np.arange(float(days.size * assets.size)).reshape(days.size, assets.size) if values is None else values,
        "fitted_through": np.full(days.shape, int(days[0]) - 1),
    }
    return AnswerColumn(**(given | changes))  # type: ignore[arg-type]


def test_a_view_owns_copies() -> None:
    """Neither writing to the store afterwards nor dropping it can reach a view."""
    close = STORE.columns["close"].copy()
    store = dataclasses.replace(STORE, columns={**STORE.columns, "close": close})
    reads = (Read("close", 5), Read("macro.VIX_CLOSE", 5))
    span = store.span(np.array([30, 31]), reads, EVERYONE)
    for name in ("close", "macro.VIX_CLOSE"):
        assert not np.shares_memory(span.block(name), store.columns[name])
    before = span.block("close").copy()
    close[:] = 0.0
    np.testing.assert_array_equal(span.block("close"), before)


def test_a_train_view_owns_its_labels() -> None:
    view = STORE.train_view(np.arange(10, 30), (), ("forward_log_return_5d",), EVERYONE)
    label = view.label("forward_log_return_5d")
    assert not np.shares_memory(label, STORE.labels["forward_log_return_5d"].values)
    with pytest.raises(ValueError, match="read-only"):
        label[0] = 0.0


def test_a_train_view_refuses_undeclared_labels_and_knows_its_cut() -> None:
    view = STORE.train_view(np.arange(10, 30), (), ("forward_log_return_5d",), EVERYONE)
    assert view.cut == STORE.decided_at[29]
    assert view.fitted_through == 29
    with pytest.raises(LookAheadError, match="`forward_vol_10d` was not declared"):
        view.label("forward_vol_10d")


def test_labels_after_the_cut_are_unseen() -> None:
    days = np.arange(10, 30)
    label = STORE.train_view(days, (), ("forward_log_return_5d",), EVERYONE).label("forward_log_return_5d")
    truth = STORE.labels["forward_log_return_5d"].values[days]
    np.testing.assert_array_equal(label[:15], truth[:15])  # the fifth session after is 29 at most
    assert np.isnan(label[15:]).all()
    assert np.isfinite(truth[15:, 0]).all()


def test_names_that_do_not_exist_are_named() -> None:
    with pytest.raises(ContractError, match="no column `clsoe`"):
        STORE.span(np.array([3]), (Read("clsoe"),), EVERYONE)
    with pytest.raises(ContractError, match="no label `forward`"):
        STORE.train_view(np.array([3]), (), ("forward",), EVERYONE)


@pytest.mark.parametrize("days", [[], [5, 5], [6, 5]])
def test_days_must_ascend(days: list[int]) -> None:
    with pytest.raises(ContractError, match="ascending"):
        STORE.span(np.array(days, dtype=np.int64), (Read("close"),), EVERYONE)


def test_a_column_of_another_shape_is_refused() -> None:
    with pytest.raises(ContractError, match=r"`close` has shape \(60, 4\)"):
        dataclasses.replace(STORE, columns={**STORE.columns, "close": STORE.columns["close"][:, :4]})


def test_the_longest_declaration_of_a_column_wins() -> None:
    span = STORE.span(np.array([30]), (Read("close", 3), Read("close", 8), Read("close")), EVERYONE)
    assert span.reads["close"] == 8
    assert span.windows("close").shape == (1, 8, 5)


def test_the_asset_axis_of_a_view_depends_on_nothing_after_it() -> None:
    """Asset 4 becomes a member on session 12 of 60."""
    np.testing.assert_array_equal(STORE.assets_until(0, 11), [0, 1, 2, 3])
    np.testing.assert_array_equal(STORE.assets_until(0, 12), EVERYONE)
    span = STORE.span(np.array([11]), (Read("close"),), STORE.assets_until(0, 11))
    assert span.tickers == STORE.tickers[:4]


def test_sessions_between_are_inclusive() -> None:
    first, last = str(STORE.dates[7]), str(STORE.dates[9])
    np.testing.assert_array_equal(STORE.sessions_between(first, last), [7, 8, 9])


def test_an_answer_must_come_from_a_fit_that_ended_before_it() -> None:
    days = np.arange(20, 25)
    with pytest.raises(LookAheadError, match="session 22 comes from a fit that knows session 22"):
        answers(days, EVERYONE, fitted_through=np.array([19, 19, 22, 22, 23]))
    in_sample = answers(days, EVERYONE, fitted_through=np.full(5, 24), in_sample=True)
    assert in_sample.in_sample


def test_answers_are_read_by_session_and_asset_and_are_missing_elsewhere() -> None:
    column = answers(np.arange(20, 24), np.array([1, 3]))
    span = STORE.span(np.array([22, 26]), (Read("technical.trend_score", 4),), EVERYONE, {"technical.trend_score": column})
    block = span.block("technical.trend_score")  # sessions 19 .. 26
    expected: FloatArray = np.full((8, 5), np.nan)
    expected[1:5, [1, 3]] = column.values
    np.testing.assert_array_equal(block, expected)


def test_answers_of_no_asset_or_of_later_days_are_missing() -> None:
    read = Read("technical.trend_score", 3)
    for column in (answers(np.arange(40, 45), EVERYONE), answers(np.arange(5, 9), EVERYONE[:0])):
        span = STORE.span(np.array([8]), (read,), EVERYONE, {read.column: column})
        assert np.isnan(span.block(read.column)).all()


def test_vectors_keep_their_last_axis_and_dtype() -> None:
    days = np.arange(20, 24)
    values = np.ones((4, 5, 3), dtype=np.float32)
    column = answers(days, EVERYONE, values)
    read = Read("temporal_encoder.embedding", 2)
    span = STORE.span(np.array([20]), (read,), EVERYONE, {read.column: column})
    block = span.block(read.column)
    assert block.shape == (2, 5, 3)
    assert block.dtype == np.float32
    assert np.isnan(block[0]).all()
    assert (block[1] == 1.0).all()


def test_poisoned_answers_after_the_day_are_unseen() -> None:
    days = np.arange(10, 40)
    clean, poisoned = answers(days, EVERYONE), answers(days, EVERYONE)
    poisoned.values[16:] = 1e9  # sessions 26 on
    read = Read("technical.trend_score", 6)
    blocks = [
        STORE.span(np.array([20, 25]), (read,), EVERYONE, {read.column: column}).block(read.column)
        for column in (clean, poisoned)
    ]
    np.testing.assert_array_equal(blocks[0], blocks[1])


def test_flags_are_read_as_numbers() -> None:
    span = STORE.span(np.array([20]), (Read("member"),), EVERYONE)
    assert span.block("member").dtype == np.float64


def test_a_store_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        STORE.dates = STORE.dates[:3]  # type: ignore[misc]
    assert isinstance(STORE, MarketStore)
