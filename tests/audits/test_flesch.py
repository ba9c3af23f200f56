"""Reading ease against published values, and syllables against a list counted by hand."""

from __future__ import annotations

import pytest

from glassbox_bt.audits.flesch import ease_of, syllables

COUNTED = {
    1: "the risk trend rules held high fused tail loss branch strength days times names share are one use trades tree said "
    "moved",
    2: "signal learning percent missing data session forecast former value bullish index network agrees leading sizing "
    "table attends today market crisis drawdown regime severe rises losses changes watches candle added question people",
    3: "position variance confidence recommends permitted supporting attention realised estimated expected averaged equity "
    "momentum relative encoder restored median contagion adjusted moderate decided idea",
    4: "liquidity elevated indicators quantitative qualitative ordinary unusual situation",
    5: "volatility probability",
}


def test_syllables_are_right_in_nine_cases_of_ten() -> None:
    words = [(word, n) for n, text in COUNTED.items() for word in text.split()]
    wrong = [word for word, n in words if syllables(word) != n]
    off_by_more = [word for word, n in words if abs(syllables(word) - n) > 1]
    assert len(wrong) / len(words) < 0.1, wrong
    assert off_by_more == []


def test_the_cat_has_its_published_score() -> None:
    ease = ease_of("The cat sat on the mat.")
    assert ease is not None
    assert ease.ease == pytest.approx(116.145)
    assert ease.grade == pytest.approx(-1.45)


def test_longer_sentences_and_longer_words_read_worse() -> None:
    plain = ease_of("We buy it. The risk is low. It may fall.")
    long_sentence = ease_of("We buy it the risk is low it may fall")
    long_words = ease_of("Diversification necessitates consideration. Idiosyncratic volatility dominates.")
    assert plain is not None
    assert long_sentence is not None
    assert long_words is not None
    assert plain.ease > long_sentence.ease > long_words.ease
    assert long_words.grade > 14.0
    assert long_words.ease < 30.0


def test_numbers_do_not_count_and_a_point_within_one_ends_no_sentence() -> None:
    assert ease_of("Risk is 0.25 now.") == ease_of("Risk is now.")
    assert ease_of("0.25") is None
