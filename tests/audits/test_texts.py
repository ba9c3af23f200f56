"""Texts come apart into wordings and numbers, and a printed number is compared at its printed precision."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from glassbox_bt.audits.phrases import PHRASES, slots_of
from glassbox_bt.audits.texts import taken_apart


def apart(text: str) -> tuple[str, list[float]]:
    sentence = next(taken_apart(pd.Series([text])))
    return sentence.skeleton, sentence.numbers.values[0].tolist()


@pytest.mark.parametrize(
    ("text", "skeleton", "numbers"),
    [
        ("risk 0.25, up 3.1%.", "risk #, up #%.", [0.25, 3.1]),
        ("signal -0.40 and +1", "signal # and #", [-0.4, 1.0]),
        ("needs 12,724,068 a day", "needs # a day", [12_724_068.0]),
        ("the 21-session range, 5e-05", "the #-session range, #", [21.0, 5e-5]),
        ("sells 1M in S003", "sells 1M in S003", []),  # part of a word is no number
        ("a risk-adjusted - plain - text", "a risk-adjusted - plain - text", []),
        ("", "", []),
    ],
)
def test_numbers_are_taken_out(text: str, skeleton: str, numbers: list[float]) -> None:
    assert apart(text) == (skeleton, numbers)


def test_a_hash_of_the_text_is_no_number() -> None:
    skeleton, numbers = apart("rule # 5")
    assert skeleton.count("#") == len(numbers) == 1


def test_rows_with_one_wording_share_a_sentence() -> None:
    found = list(taken_apart(pd.Series(["risk 0.25", "gain 1", "risk -3", None])))
    assert [(one.skeleton, one.rows.tolist()) for one in found] == [("risk #", [0, 2]), ("gain #", [1]), ("", [3])]


@pytest.mark.parametrize(
    ("text", "truth", "agrees"),
    [
        ("0.25", 0.2549, True),
        ("0.25", 0.2551, False),
        ("0.3", 0.25, True),  # a tie, however it was rounded
        ("3", 3.4999, True),
        ("3", 3.51, False),
        ("5e-05", 0.000054, True),
        ("5e-05", 0.000056, False),
        ("12,724,068", 12_724_068.4, True),
        ("0.25", np.nan, False),
    ],
)
def test_a_number_agrees_at_its_printed_precision(text: str, truth: float, agrees: bool) -> None:
    sentence = next(taken_apart(pd.Series([text])))
    assert bool(sentence.numbers.says(0, np.array([truth]))[0]) is agrees


def test_slots_know_their_source_and_unit() -> None:
    text = "Volatility forecast #% a year over # sessions and #% over #, after #% realised in # sessions: calm. "
    slots = slots_of("volatility", f"{text}Persistence #, estimated # sessions ago.")
    assert [one.source for one in slots] == [
        *("vol_10d", "=10", "vol_30d", "=30", "recent_vol", "=21", "persistence", "refit_age"),
    ]
    assert [one.scale for one in slots] == [100.0, 1.0, 100.0, 1.0, 100.0, 1.0, 1.0, 1.0]
    assert slots_of("volatility", "Volatility is # today.")[0].source == ""


@pytest.mark.parametrize("kind", PHRASES)
def test_every_phrase_holds_one_number_and_a_source(kind: str) -> None:
    for phrase, source in PHRASES[kind]:
        assert phrase.count("{}") == 1
        assert source
