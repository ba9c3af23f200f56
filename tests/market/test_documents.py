"""The cut of text that a span gets: declared, by its sessions and names, and nothing later."""

from __future__ import annotations

import numpy as np
import pytest

from glassbox_bt.errors import ContractError, LookAheadError
from glassbox_bt.market.documents import MARKET_WIDE, TextColumn
from glassbox_bt.market.store import MarketStore
from glassbox_bt.types import IntArray, Read
from tests.builders import tiny_store
from tests.texts import text_table, with_documents

DOCUMENTS = [(100, 0, "early"), (105, 2, "two"), (105, MARKET_WIDE, "everyone"), (106, 1, "one"), (110, 2, "late")]
BODY = Read("text.body")


@pytest.fixture(scope="module")
def store() -> MarketStore:
    bare = tiny_store(200, 4, seed=1)
    return with_documents(bare, text_table(bare, DOCUMENTS))


def bodies(store: MarketStore, days: list[int], sessions: int, assets: IntArray) -> list[str]:
    span = store.span(np.array(days), (Read("text.body", sessions),), assets)
    return list(span.block("text.body"))


def test_a_span_holds_the_text_of_its_days_names_and_look_back(store: MarketStore) -> None:
    everyone = np.arange(4)
    assert bodies(store, [105], 1, everyone) == ["two", "everyone"]
    assert bodies(store, [105], 6, everyone) == ["early", "two", "everyone"]
    assert bodies(store, [105], 1, np.array([0, 1])) == ["everyone"]
    assert bodies(store, [104, 105, 106], 1, everyone) == ["two", "everyone", "one"]
    assert bodies(store, [107], 1, everyone) == []
    assert bodies(store, [105], 1, np.zeros(0, dtype=np.int64)) == ["everyone"]


def test_rows_name_their_asset_on_the_axis_of_the_span_whatever_its_order(store: MarketStore) -> None:
    span = store.span(np.array([105, 106]), (BODY,), np.array([2, 0, 1]))
    assert span.text.asset.tolist() == [0, MARKET_WIDE, 2]
    assert span.text.document.tolist() == [0, 1, 2]
    assert span.text.rows.tolist() == [1, 2, 3]


def test_asked_rows_are_those_of_the_days_alone(store: MarketStore) -> None:
    span = store.span(np.array([105, 110]), (Read("text.body", 6),), np.arange(4))
    assert span.block("text.body")[span.asked].tolist() == ["two", "everyone", "late"]
    assert len(span.text) == 5


def test_what_is_not_declared_is_not_there(store: MarketStore) -> None:
    span = store.span(np.array([105]), (Read("close"),), np.arange(4))
    with pytest.raises(LookAheadError, match="No column of text"):
        _ = span.text
    with pytest.raises(LookAheadError, match="was not declared"):
        store.span(np.array([105]), (BODY,), np.arange(4)).block("text.source")
    for column in ("text.nothing", "text.session"):
        with pytest.raises(ContractError, match="There is no column"):
            store.span(np.array([105]), (Read(column),), np.arange(4))


def test_blocks_are_copies_that_nobody_writes(store: MarketStore) -> None:
    span = store.span(np.array([105]), (BODY,), np.arange(4))
    with pytest.raises(ValueError, match="read-only"):
        span.block("text.body")[0] = "other"
    assert not np.shares_memory(span.block("text.body"), store.text.frame["body"].to_numpy())


def test_answers_to_documents_stand_at_their_rows(store: MarketStore) -> None:
    answers = TextColumn(np.array([1, 3]), np.array([105, 106]), np.array([0.5, -0.5]), np.array([50, 50]))
    read = Read("sentiment.predicted_sentiment_score")
    span = store.span(np.array([105, 106]), (read,), np.arange(4), {read.column: answers})
    np.testing.assert_array_equal(span.block(read.column), [0.5, np.nan, -0.5])


def test_an_answer_of_a_fit_that_knows_the_day_is_refused() -> None:
    with pytest.raises(LookAheadError, match="comes from a fit that knows session 105"):
        TextColumn(np.array([1]), np.array([105]), np.array([0.5]), np.array([105]))
    TextColumn(np.array([1]), np.array([105]), np.array([0.5]), np.array([300]), in_sample=True)


def test_outcomes_of_text_are_those_of_decisions_of_its_session(store: MarketStore) -> None:
    days = np.arange(101, 109)
    train = store.train_view(days, (Read("text.body", 3),), ("forward_log_return_5d",), np.arange(4))
    label = train.text_label("forward_log_return_5d")
    bodies_ = train.block("text.body").tolist()
    known = store.labels["forward_log_return_5d"]
    assert np.isnan(label[bodies_.index("early")])  # before the training window
    assert np.isnan(label[bodies_.index("everyone")])  # of no name
    later = store.train_view(np.arange(101, 150), (BODY,), ("forward_log_return_5d",), np.arange(4))
    where = later.block("text.body").tolist().index("two")
    assert later.text_label("forward_log_return_5d")[where] == known.values[105, 2]
    assert np.isnan(label[bodies_.index("two")])  # purged: its path ends after the cut


def test_a_market_without_text_has_an_empty_table() -> None:
    bare = tiny_store(200, 4, seed=1)
    span = bare.span(np.array([105]), (Read("text.body", 30),), np.arange(4))
    assert len(span.text) == 0
    assert span.block("text.body").shape == (0,)
