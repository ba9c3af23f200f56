from __future__ import annotations

import numpy as np
import pytest

from glassbox_bt.errors import PlanError
from glassbox_bt.modules.stand_ins import Assumed, Frozen, Shuffled, Silent
from glassbox_bt.types import Answers, AnyArray, BoolArray, IntArray, Reason
from tests.builders import tiny_store


def test_a_silent_module_says_so_and_nothing_else() -> None:
    store = tiny_store(60, 4)
    span = store.span(np.arange(40, 60), (), np.arange(4))
    answers = Silent("news", ("news_importance",)).predict_many(span)
    assert answers.module == "news"
    assert not answers.known.any()
    assert np.all(answers.reason == Reason.SILENT)
    assert np.isnan(answers.outputs["news_importance"]).all()


def test_an_assumption_holds_for_members_only() -> None:
    store = tiny_store(60, 4)
    days = np.arange(5, 15)  # the last name joins at session 12
    answers = Assumed("liquidity", {"liquidity_score": 0.8, "tradable": 1.0}).predict_many(
        store.span(days, (), np.arange(4))
    )
    np.testing.assert_array_equal(answers.known, store.member[days])
    assert np.all(answers.outputs["liquidity_score"][answers.known] == 0.8)
    assert np.all(answers.reason[~answers.known] == Reason.NOT_A_MEMBER)


@pytest.mark.parametrize("values", [{}, {"liquidity_score": float("nan")}])
def test_an_assumption_states_something_finite(values: dict[str, float]) -> None:
    with pytest.raises(PlanError, match="liquidity"):
        Assumed("liquidity", values)


def test_stand_ins_are_values() -> None:
    assert Silent("news") == Silent("news")
    assert Silent("news") != Silent("sentiment")
    assert Silent("news", ("a",)).outputs == ("a",)
    assert Silent("sentiment").name == "sentiment"


N_DAYS, N_NAMES = 60, 4
RUNS = {"train": np.arange(0, 40), "validation": np.arange(40, 50), "test": np.arange(50, 60)}
BLOCKS = (np.arange(0, 20), np.arange(20, 40))


def said(known: BoolArray | None = None) -> Answers:
    """A number and a vector per row that tell their day and name; unknown on some rows."""
    day, name = np.indices((N_DAYS, N_NAMES))
    number = 100.0 * day + name
    vector: AnyArray = np.stack([number, -number], axis=-1).astype(np.float32)
    there = (day + name) % 5 != 0 if known is None else known
    outputs: dict[str, AnyArray] = {"number": np.where(there, number, np.nan)}
    outputs["vector"] = np.where(there[..., None], vector, np.float32(np.nan))
    reason = np.where(there, Reason.KNOWN, Reason.INPUT_MISSING).astype(np.int8)
    return Answers("news", np.arange(N_DAYS), outputs, there, reason)


def known_numbers(answers: Answers, rows: IntArray) -> AnyArray:
    return np.sort(answers.outputs["number"][rows][answers.known[rows]])


def test_silence_keeps_the_shapes_of_what_was_said() -> None:
    silent = Silent("news").of(said())
    assert not silent.known.any()
    assert np.all(silent.reason == Reason.SILENT)
    for name, values in said().outputs.items():
        assert silent.outputs[name].shape == values.shape
        assert np.isnan(silent.outputs[name]).all()


def test_shuffling_keeps_what_is_said_in_each_run_and_where_it_is_known() -> None:
    before, after = said(), Shuffled("news", 7, 1).of(said(), RUNS)
    np.testing.assert_array_equal(after.known, before.known)
    np.testing.assert_array_equal(after.reason, before.reason)
    for rows in RUNS.values():
        np.testing.assert_array_equal(known_numbers(after, rows), known_numbers(before, rows))
        kept = after.outputs["number"][rows] == before.outputs["number"][rows]
        assert kept[before.known[rows]].mean() < 0.2


def test_shuffled_rows_stay_whole() -> None:
    after = Shuffled("news", 7, 1).of(said(), RUNS)
    number, vector = after.outputs["number"][after.known], after.outputs["vector"][after.known]
    np.testing.assert_array_equal(vector[:, 0], number)
    np.testing.assert_array_equal(vector[:, 1], -number)


def test_a_draw_is_keyed_by_module_seed_and_chunk() -> None:
    def drawn(module: str, seed: int, chunk: int) -> AnyArray:
        return Shuffled(module, seed, chunk).of(said(), RUNS).outputs["number"]

    np.testing.assert_array_equal(drawn("news", 7, 1), drawn("news", 7, 1))
    for other in (("sentiment", 7, 1), ("news", 8, 1), ("news", 7, 2)):
        assert not np.array_equal(drawn("news", 7, 1), drawn(*other), equal_nan=True)


def test_days_of_no_run_are_not_shuffled() -> None:
    after = Shuffled("news", 7, 1).of(said(), {"test": RUNS["test"]})
    np.testing.assert_array_equal(after.outputs["number"][:50], said().outputs["number"][:50])


def test_a_frozen_module_keeps_its_last_known_answer_on_train() -> None:
    member = np.ones((N_DAYS, N_NAMES), dtype=bool)
    frozen = Frozen("news").of(said(), member, BLOCKS, RUNS["train"])
    for name in range(N_NAMES):
        last = max(day for day in range(40) if (day + name) % 5 != 0)
        assert np.all(frozen.outputs["number"][40:, name] == 100.0 * last + name)
        assert np.all(frozen.outputs["vector"][40:, name, 1] == -(100.0 * last + name))
    assert frozen.known[40:].all()


def test_on_train_a_block_keeps_its_first_known_answer_from_its_day_on() -> None:
    member = np.ones((N_DAYS, N_NAMES), dtype=bool)
    frozen = Frozen("news").of(said(), member, BLOCKS, RUNS["train"])
    for rows in BLOCKS:
        for name in range(N_NAMES):
            first = min(day for day in rows if (day + name) % 5 != 0)
            assert np.all(frozen.outputs["number"][first : rows[-1] + 1, name] == 100.0 * first + name)
            assert not frozen.known[rows[0] : first, name].any()


def test_what_is_frozen_knows_no_later_day() -> None:
    """Whatever is said from a day on, the frozen answers before it stay as they are."""
    member = np.ones((N_DAYS, N_NAMES), dtype=bool)
    whole = Frozen("news").of(said(), member, BLOCKS, RUNS["train"])
    for cut in (5, 25, 39, 45):
        known = said().known.copy()
        known[cut:] = False
        part = Frozen("news").of(said(known), member, BLOCKS, RUNS["train"])
        np.testing.assert_array_equal(part.outputs["number"][:cut], whole.outputs["number"][:cut])


def test_a_frozen_name_without_an_answer_or_a_place_in_the_universe_abstains() -> None:
    known, member = said().known.copy(), np.ones((N_DAYS, N_NAMES), dtype=bool)
    known[:40, 1] = False
    member[45:, 2:] = False
    known[45:, 2] = False
    known[45:, 3] = True  # answered although not a member, as encoders do
    frozen = Frozen("news").of(said(known), member, BLOCKS, RUNS["train"])
    assert not frozen.known[:, 1].any()
    assert np.all(frozen.reason[:, 1] == Reason.NO_FIT_YET)
    assert np.all(frozen.reason[45:, 2] == Reason.NOT_A_MEMBER)
    assert np.isnan(frozen.outputs["number"][45:, 2]).all()
    assert frozen.known[45:, 3].all()
