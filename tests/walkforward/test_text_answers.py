"""Answers to documents laid out by row, and text that is edited on purpose."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from glassbox_bt.errors import ContractError, PlanError
from glassbox_bt.market.documents import MARKET_WIDE
from glassbox_bt.market.store import MarketStore
from glassbox_bt.modules.stand_ins import Shuffled
from glassbox_bt.types import Answers, IntArray, Read, Reason
from glassbox_bt.walkforward.answers import Part, load_part, save_part
from glassbox_bt.walkforward.fits import digests
from glassbox_bt.walkforward.text_answers import TextAnswers
from glassbox_bt.walkforward.text_edits import with_text
from tests.builders import tiny_store
from tests.texts import text_table, with_documents

DAYS, NAMES = np.arange(100, 140), np.arange(6)


@pytest.fixture(scope="module")
def store() -> MarketStore:
    bare, rng = tiny_store(200, 6, seed=1), np.random.default_rng(3)
    documents = [(int(day), int(rng.integers(-1, 6)), f"text {i}") for i, day in enumerate(rng.integers(90, 160, 200))]
    return with_documents(bare, text_table(bare, documents))


def part(store: MarketStore, days: IntArray, through: int, assets: IntArray = NAMES) -> Part:
    """Every row says its own number; market-wide text is not known."""
    span = store.span(days, (Read("text.body"),), assets)
    known = span.text.asset != MARKET_WIDE
    said = np.where(known, span.text.rows, np.nan)
    reason = np.where(known, Reason.KNOWN, Reason.INPUT_MISSING).astype(np.int8)
    answers = Answers("sentiment", span.text.session, {"score": said}, known, reason, "document", span.text.rows)
    return Part(answers, assets, through, days)


def test_parts_are_laid_out_by_row_and_nothing_is_filled_in(store: MarketStore) -> None:
    parts = [part(store, DAYS[10:20], 105), part(store, DAYS[25:], 120)]
    laid = TextAnswers.assemble("sentiment", DAYS, store, NAMES, parts, in_sample=False)
    answered = np.isin(laid.session, np.r_[DAYS[10:20], DAYS[25:]])
    assert np.all(laid.reason[~answered] == Reason.NO_FIT_YET)
    np.testing.assert_array_equal(laid.outputs["score"][laid.known], laid.rows[laid.known])
    assert np.all(laid.known[answered] == (laid.asset[answered] != MARKET_WIDE))
    assert set(laid.fitted_through[answered]) == {105, 120}
    column = laid.columns()["sentiment.score"]
    np.testing.assert_array_equal(column.at(laid.rows), laid.outputs["score"])


def test_answers_of_some_days_and_names(store: MarketStore) -> None:
    laid = TextAnswers.assemble("sentiment", DAYS, store, NAMES, [part(store, DAYS, 50)], in_sample=False)
    some = laid.on(DAYS[3:5], np.array([1, 2]))
    assert some.rows is not None
    assert np.isin(some.days, DAYS[3:5]).all()
    names = store.text.frame["asset"].to_numpy()[some.rows]
    assert np.isin(names, [1, 2, MARKET_WIDE]).all()
    assert len(some.rows) == np.isin(laid.asset[np.isin(laid.session, DAYS[3:5])], [1, 2, MARKET_WIDE]).sum()


def test_text_outside_the_chunk_is_refused(store: MarketStore) -> None:
    with pytest.raises(ContractError, match="outside the chunk"):
        TextAnswers.assemble("sentiment", DAYS[:5], store, NAMES, [part(store, DAYS, 50)], in_sample=False)


def test_a_part_comes_back_from_its_folder_even_without_a_row(store: MarketStore, tmp_path: Path) -> None:
    for number, days in enumerate((DAYS, np.array([20, 21]))):
        folder = tmp_path / str(number)
        folder.mkdir()
        saved = part(store, days, 7)
        save_part(folder, saved)
        back = load_part(folder)
        np.testing.assert_array_equal(back.days, days)
        assert back.answers.kind == "document"
        np.testing.assert_array_equal(back.answers.rows, saved.answers.rows)
        np.testing.assert_array_equal(back.answers.outputs["score"], saved.answers.outputs["score"])


def test_answers_shuffle_within_their_run_and_keep_what_is_said(store: MarketStore) -> None:
    laid = TextAnswers.assemble("sentiment", DAYS, store, NAMES, [part(store, DAYS, 50)], in_sample=False)
    answers = laid.on(DAYS)
    runs = {"one": np.flatnonzero(answers.days < 120), "two": np.flatnonzero(answers.days >= 120)}
    shuffled = Shuffled("sentiment", 7, 1).of(answers, runs)
    for rows in runs.values():
        before, after = answers.outputs["score"][rows], shuffled.outputs["score"][rows]
        np.testing.assert_array_equal(np.sort(before), np.sort(after))
        assert np.any(before[answers.known[rows]] != after[answers.known[rows]])
    np.testing.assert_array_equal(np.isnan(shuffled.outputs["score"]), ~answers.known)


def test_what_a_module_is_handed_has_a_digest_that_knows_text_names_and_days(store: MarketStore) -> None:
    reads = (Read("text.body"),)
    before = digests(store.span(DAYS, reads, NAMES))
    assert before == digests(store.span(DAYS, reads, NAMES))
    frame = store.text.frame
    row = int(np.flatnonzero((frame["session"] == 110) & (frame["asset"] >= 0))[0])
    for change in ({"body": "other"}, {"asset": (int(frame["asset"].iloc[row]) + 1) % 6}):
        edited = frame.copy()
        for name, value in change.items():
            edited.loc[row, name] = value
        assert digests(with_documents(store, edited).span(DAYS, reads, NAMES)) != before
    moved = with_documents(store, frame.iloc[1:].reset_index(drop=True))  # handles differ, content of these days does not
    assert digests(moved.span(DAYS, reads, NAMES)) == before


def test_moved_text_keeps_its_day_and_goes_to_another_member(store: MarketStore) -> None:
    moved, before = with_text(store, "moved", seed=7).text.frame, store.text.frame
    np.testing.assert_array_equal(moved["session"], before["session"])
    np.testing.assert_array_equal(moved["asset"] == MARKET_WIDE, before["asset"] == MARKET_WIDE)
    named = before["asset"].to_numpy() != MARKET_WIDE
    assert np.mean(moved["asset"][named] != before["asset"][named]) > 0.5
    assert moved["ticker"].tolist() == [(*store.tickers, "")[at] for at in moved["asset"]]
    for session in np.unique(before["session"]):
        here = (before["session"] == session).to_numpy() & named
        pairs = set(zip(before["asset"][here], moved["asset"][here], strict=True))
        assert len(pairs) == len({one for one, _ in pairs}) == len({two for _, two in pairs})  # a name's text stays together
        member = store.member[session]
        assert all(member[two] if member[one] else one == two for one, two in pairs)
    again = with_text(store, "moved", seed=7).text.frame["asset"]
    np.testing.assert_array_equal(moved["asset"], again)


def test_delayed_text_is_one_session_late_and_the_last_is_gone(store: MarketStore) -> None:
    late, before = with_text(store, "delayed", seed=7).text.frame, store.text.frame
    np.testing.assert_array_equal(late["session"], before["session"][: len(late)] + 1)
    end = store.n_sessions - 1
    edge = with_documents(store, text_table(store, [(end - 1, 0, "a"), (end, 1, "b")]))
    assert with_text(edge, "delayed", seed=7).text.frame["body"].tolist() == ["a"]


def test_text_that_came_as_it_came_is_the_same_store(store: MarketStore) -> None:
    assert with_text(store, "as_it_came", seed=7) is store
    bare = tiny_store(200, 6, seed=1)
    assert with_text(bare, "moved", seed=7) is bare


def test_answers_about_documents_cannot_be_frozen(store: MarketStore) -> None:
    from glassbox_bt.walkforward.chunks import ChunkDays
    from glassbox_bt.walkforward.stood_in import stood_in

    laid = TextAnswers.assemble("sentiment", DAYS, store, NAMES, [part(store, DAYS, 50)], in_sample=False)
    days = ChunkDays(1, DAYS[:20], DAYS[20:30], DAYS[30:])
    with pytest.raises(PlanError, match="cannot be frozen"):
        stood_in("frozen", laid, days, store, 7)
    silent = stood_in("silent", laid, days, store, 7)
    assert not silent.known.any()
    assert np.isnan(silent.outputs["score"]).all()
