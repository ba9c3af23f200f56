"""The qualitative analyst in words: plain, short, true to its row, and careful with what others wrote."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glassbox_bt.modules._attribution import TEXT_DRIVERS
from glassbox_bt.modules._qualitative_events import FEATURES
from glassbox_bt.modules._qualitative_explain import QUOTED_WORDS, quoted
from tests.modules.analysts.qualitative_cases import CONTEXT, LATER, SMALL, Case, Doc, case_of, fitted, span_of, train_of

NASTY = (
    "<script>alert('x')</script>\x00\x1b[31m Caf\N{LATIN SMALL LETTER E WITH ACUTE} "
    "\N{RIGHT-TO-LEFT OVERRIDE}profit_warning &lt;b&gt; "
    "https://evil.example/?q=1 None nan " + "word " * 40
)


@pytest.fixture(scope="module")
def case() -> Case:
    return case_of(1.0)


def test_every_row_is_explained_in_plain_words(case: Case) -> None:
    for variant in ("anchored", "rule"):
        one = fitted(SMALL.fit(train_of(case, SMALL), CONTEXT), variant)
        span = span_of(case)
        answers = one.predict_many(span)
        texts = one.explain(span, answers)
        assert texts.shape == answers.known.shape
        for text in set(texts.ravel()):
            assert text.isascii(), text
            assert 8 <= len(text.split()) <= 60, text
            assert not re.search(r"\b(nan|None)\b|[a-z]_[a-z]", text), text
        day, asset = (int(one[0]) for one in np.nonzero(answers.known))
        told, out = texts[day, asset], answers.outputs
        assert f"score of {out['qualitative_score'][day, asset]:+.2f}" in told
        assert f"Documents that count: {out['event_count'][day, asset]:.0f}" in told
        assert f"Tone adds {out['sentiment_contribution'][day, asset]:+.3f}" in told
        assert ("closed formula" in told) == (variant == "rule")


def test_a_veto_of_risk_is_told() -> None:
    docs = [Doc(session, session % 8, risk=0.1) for session in range(31, 450)]
    case = case_of(0.0, docs=[*docs, Doc(460, 0, risk=1.0, sure=0.34, sentiment=0.9)])
    one = fitted(SMALL.fit(train_of(case, SMALL), CONTEXT), "rule")
    answers = one.predict_many(span_of(case))
    assert answers.outputs["risk_veto"][460 - LATER[0], 0] == 1.0
    assert one.explain(span_of(case), answers)[460 - LATER[0], 0].endswith("The risk alone forbids a purchase.")


def test_a_quotation_is_short_plain_and_without_markup() -> None:
    said = quoted(NASTY)
    assert len(said.split()) <= QUOTED_WORDS
    assert said.startswith("alert('x') 31m Cafe profit warning b none NAN word")
    assert said.endswith("...")
    assert quoted("Two words") == "Two words"
    assert quoted("") == quoted("\x00 <br/> \N{ZERO WIDTH SPACE}") == ""


@given(st.text(max_size=400))
@settings(max_examples=200, deadline=None)
def test_whatever_was_written_a_quotation_is_safe(text: str) -> None:
    said = quoted(text)
    assert said.isascii()
    assert said.isprintable()
    assert len(said.split()) <= QUOTED_WORDS
    assert not set(said) & set('<>&"`_\\{}[]')
    assert not re.search(r"\b(nan|None|null|inf)\b", said) or re.search(r"\b(nan|None|null|inf)\b", text)


def test_a_text_of_megabytes_is_quoted_from_its_beginning() -> None:
    assert quoted("loss " * 2_000_000) == " ".join(["loss"] * QUOTED_WORDS) + "..."
    assert all(len(word) <= 43 for word in quoted("x" * 100_000).split())


def test_the_table_of_events_has_the_columns_of_the_spec(case: Case) -> None:
    one, span = fitted(SMALL.fit(train_of(case, SMALL), CONTEXT), "anchored"), span_of(case)
    answers = one.predict_many(span)
    table = one.events_table(span, answers)
    directions = ["sentiment_direction_score", "news_direction_score"]
    said = ["qualitative_score", "qualitative_risk_score", "qualitative_confidence", "qualitative_recommendation"]
    wanted = [*("date", "ticker", "doc_id", "source"), *FEATURES, *directions, *said, "dominant_qualitative_driver"]
    assert list(table.columns) == [*wanted, "xai_summary"]
    assert not table.duplicated(["date", "ticker", "doc_id"]).any()
    inside = [doc for doc in table["date"].unique() if not span.dates[0] <= doc <= span.dates[-1]]
    assert not inside  # documents of the look-back belong to other days
    assert set(table["dominant_qualitative_driver"]) <= set(TEXT_DRIVERS[:-1])
    assert table["qualitative_score"].between(-1.0, 1.0).all()
    assert table["sentiment_score"].isna().any() and table["news_importance"].isna().any()
    only = table.groupby(["date", "ticker"]).size()
    assert int(only.sum()) == len(table) > 100
    for text in table["xai_summary"]:
        assert text.isascii()
        assert 8 <= len(text.split()) <= 60, text


def test_a_fresh_single_document_is_judged_by_day_as_by_itself(case: Case) -> None:
    """The learned heads see an event as a day on which it is the only and a fresh one."""
    one, days = fitted(SMALL.fit(train_of(case, SMALL), CONTEXT), "anchored"), LATER
    lone = case_of(1.0, docs=[Doc(int(days[5]), 1, sentiment=0.7, impact=0.2, chunks=2)])
    span = span_of(lone)
    answers = one.predict_many(span)
    (row,) = one.events_table(span, answers).to_dict("records")
    for name in ("qualitative_score", "qualitative_risk_score", "qualitative_confidence"):
        assert row[name] == answers.outputs[name][5, 1]
    assert answers.outputs["max_event_risk_score"][5, 1] == row["qualitative_risk_score"]


def test_an_empty_table_of_events_has_the_same_columns(case: Case) -> None:
    one = fitted(SMALL.fit(train_of(case, SMALL), CONTEXT), "anchored")
    span = span_of(case_of(0.0, docs=[]))
    empty, full = (
        one.events_table(span, one.predict_many(span)),
        one.events_table(span_of(case), one.predict_many(span_of(case))),
    )
    assert len(empty) == 0
    assert list(empty.columns) == list(full.columns)
    assert (empty.dtypes == full.dtypes).all()


def test_documents_behind_an_answer_are_listed() -> None:
    docs = [*(Doc(session, session % 8) for session in range(31, 450)), Doc(454, 1), Doc(456, 1), Doc(456, 2), Doc(459, 1)]
    case = case_of(0.0, docs=docs)
    one, span = fitted(SMALL.fit(train_of(case, SMALL), CONTEXT), "rule"), span_of(case)
    assert one.events_of(span, 459 - int(LATER[0]), 1) == ("d419", "d420", "d422")
    assert one.events_of(span, 460 - int(LATER[0]), 1) == ("d420", "d422")  # six sessions
    assert one.events_of(span, 470 - int(LATER[0]), 1) == ()
    assert span.block("text.doc_id")[span.text.asset == 2].tolist() == ["d421"]


def test_without_its_strongest_document_a_day_moves_the_other_way(case: Case) -> None:
    one, span = fitted(SMALL.fit(train_of(case, SMALL), CONTEXT), "anchored"), span_of(case)
    answers = one.predict_many(span)
    dropped = one.drop_strongest_event(span, answers, np.random.default_rng(1), n_rows=300)
    assert len(dropped.day) == 300
    assert dropped.as_expected[dropped.feasible].mean() > 0.75
    lone = ~dropped.feasible
    assert lone.any()
    assert (dropped.score_without[lone] == 0.0).all()  # the neutral state
    assert (dropped.risk_without[lone] == 0.5).all()
    place = np.searchsorted(span.days, dropped.day), np.searchsorted(np.array(span.tickers), dropped.ticker.astype(str))
    np.testing.assert_array_equal(answers.outputs["qualitative_score"][place], dropped.score)
    np.testing.assert_array_equal(answers.outputs["event_count"][place] > 1.0, dropped.feasible)
    behind = [one.events_of(span, int(d), int(a)) for d, a in zip(*place, strict=True)]
    assert all(doc in docs for doc, docs in zip(dropped.doc_id, behind, strict=True))


def test_dropping_a_document_is_what_not_having_it_would_be() -> None:
    """The counterfactual equals the answer in a market in which the document was never written."""
    docs = [Doc(460, 0, sentiment=0.9), Doc(461, 0, sentiment=-0.1, impact=0.1)]
    base = case_of(1.0)
    one = fitted(SMALL.fit(train_of(base, SMALL), CONTEXT), "rule")
    with_both, without = case_of(0.0, docs=docs), case_of(0.0, docs=docs[1:])
    days = np.array([461], dtype=np.int64)
    span = span_of(with_both, SMALL, days)
    (dropped,) = [one.drop_strongest_event(span, one.predict_many(span), np.random.default_rng(0))]
    expected = one.predict_many(span_of(without, SMALL, days)).outputs["qualitative_score"][0, 0]
    assert dropped.doc_id.tolist() == ["d0"]
    assert dropped.score_without[0] == expected
    assert dataclasses.fields(dropped)[0].name == "day"
