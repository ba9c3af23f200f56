"""Readers of text beside their anchors, on answers whose worth is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from glassbox_bt.evaluation.text_contests import OUTCOME, text_contest_rows

NAMES = tuple("ABCDEFGHIJ")


def test_a_reader_that_knows_beats_an_anchor_that_does_not_and_one_that_stayed_is_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    days = pd.bdate_range("2015-01-05", periods=150).to_numpy()
    table = pd.DataFrame([(day, name) for day in days for name in NAMES], columns=["date", "ticker"])
    came = rng.normal(size=len(table))
    outcomes = {1: table.assign(**{OUTCOME: came})}
    for module, columns in (
        (
            "sentiment",
            {"predicted_sentiment_score_raw": came, "predicted_sentiment_anchor_raw": rng.normal(size=len(table))},
        ),
        ("news", dict.fromkeys(("predicted_news_event_impact_raw", "predicted_news_impact_anchor_raw"), came)),
    ):
        answers = table.assign(**columns, doc_id="a", known=True)
        if module == "sentiment":  # two documents of each name and day
            answers = pd.concat([answers, answers.assign(doc_id="b")], ignore_index=True)
        place = tmp_path / "modules" / module
        place.mkdir(parents=True)
        answers.to_parquet(place / "chunk1_test.parquet")
    rows = {(row["module"], row["chunk"]): row for row in text_contest_rows(tmp_path, outcomes, 0.95)}
    assert set(rows) == {("sentiment", 0), ("sentiment", 1), ("news", 0), ("news", 1)}
    learned = rows["sentiment", 0]
    assert learned["answer_ic"] > 0.99
    assert abs(learned["rival_ic"]) < 0.1
    assert learned["low"] > 0.8
    assert learned["n_days"] == 150
    assert learned["same"] is False
    assert rows["news", 1]["same"] is True
    assert rows["news", 1]["difference"] == 0.0


def test_d_lab_02_a_long_document_is_one_voice_however_many_chunks_it_has(tmp_path: Path) -> None:
    """A short document knows what comes; a long one of forty chunks says half the opposite."""
    rng = np.random.default_rng(4)
    days = pd.bdate_range("2015-01-05", periods=60).to_numpy()
    table = pd.DataFrame([(day, name) for day in days for name in NAMES], columns=["date", "ticker"])
    came = rng.normal(size=len(table))
    short = table.assign(doc_id="short", predicted_sentiment_score_raw=came, predicted_sentiment_anchor_raw=came)
    long = short.assign(doc_id="long", predicted_sentiment_score_raw=-0.5 * came)
    place = tmp_path / "modules" / "sentiment"
    place.mkdir(parents=True)
    pd.concat([short, *[long] * 40]).assign(known=True).to_parquet(place / "chunk1_test.parquet")
    told = text_contest_rows(tmp_path, {1: table.assign(**{OUTCOME: came})}, 0.95)
    assert told[0]["answer_ic"] == pytest.approx(1.0)


@pytest.mark.parametrize("ruled", [(), (1,), (1, 2)])
def test_where_the_formula_answered_there_is_no_anchor_and_no_contest_with_it(
    tmp_path: Path, ruled: tuple[int, ...]
) -> None:
    """Its numbers stand in the column of the anchor, yet "the same answers" would be false of an anchor it never had."""
    rng = np.random.default_rng(5)
    days = pd.bdate_range("2015-01-05", periods=60).to_numpy()
    table = pd.DataFrame([(day, name) for day in days for name in NAMES], columns=["date", "ticker"])
    place = tmp_path / "modules" / "qualitative"
    place.mkdir(parents=True)
    for chunk in (1, 2):
        learned, formula = (rng.normal(size=len(table)) for _ in range(2))
        said = formula if chunk in ruled else learned
        columns = dict.fromkeys(("score", "score_raw", "score_anchor_raw"), said) | {"rule_score": formula}
        answers = table.assign(**{f"qualitative_{name}": values for name, values in columns.items()}, known=True)
        answers.to_parquet(place / f"chunk{chunk}_test.parquet")
    outcomes = {chunk: table.assign(**{OUTCOME: rng.normal(size=len(table))}) for chunk in (1, 2)}
    rows = {(row["rival"], row["chunk"]): row for row in text_contest_rows(tmp_path, outcomes, 0.95)}
    for chunk in (1, 2):
        anchored = rows["its anchor", chunk]
        assert (anchored["formula"], anchored["same"]) == (chunk in ruled, chunk not in ruled)
        assert np.isnan(anchored["answer_ic"]) == (chunk in ruled)
        assert (rows["the closed formula", chunk]["formula"], rows["the closed formula", chunk]["same"]) == (
            False,
            chunk in ruled,
        )
    pooled = rows["its anchor", 0]
    assert pooled["n_days"] == 60 * (2 - len(ruled))
    assert (pooled["formula"], pooled["same"]) == (len(ruled) == 2, len(ruled) < 2)


def test_without_answers_there_are_no_rows(tmp_path: Path) -> None:
    assert text_contest_rows(tmp_path, {1: pd.DataFrame({"date": [], "ticker": [], OUTCOME: []})}, 0.95) == []


def test_too_few_names_for_a_rank_are_not_called_the_same(tmp_path: Path) -> None:
    days = pd.bdate_range("2015-01-05", periods=30).to_numpy()
    table = pd.DataFrame([(day, name) for day in days for name in "AB"], columns=["date", "ticker"])
    columns = dict.fromkeys(("predicted_sentiment_score_raw", "predicted_sentiment_anchor_raw"), 0.5)
    place = tmp_path / "modules" / "sentiment"
    place.mkdir(parents=True)
    table.assign(**columns, doc_id="a", known=True).to_parquet(place / "chunk1_test.parquet")
    rows = text_contest_rows(tmp_path, {1: table.assign(**{OUTCOME: 0.1})}, 0.95)
    assert [(row["n_days"], row["same"]) for row in rows] == [(0, False), (0, False)]
    assert np.isnan(rows[0]["difference"])
