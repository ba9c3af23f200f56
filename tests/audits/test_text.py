"""Text that is used too early, lost, counted wrongly or not left out is found and named; a clean run is clean."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from glassbox_bt.audits.case import Case
from glassbox_bt.audits.text_clock import earliest_sessions
from glassbox_bt.audits.text_market import presence
from tests.audits.planted import Planted, found

SENTIMENT, NEWS, ENCODER = (f"modules/{name}/chunk1_test" for name in ("sentiment", "news", "text_encoder"))
DAYS, EVENTS = "modules/qualitative/chunk1_test", "modules/qualitative/chunk1_test_events"

DRIVER, SUMMARY = "dominant_qualitative_driver", "qualitative_xai_summary"

Change = Callable[[pd.DataFrame], pd.DataFrame]


def hard(result: Any) -> list[Any]:
    return [one for one in result.findings if one.hard]


def test_a_clean_run_times_and_counts_its_text(texty: Path, ask: Any) -> None:
    result = ask("text", texty)
    assert hard(result) == []
    asked = {one.check for one in result.asked}
    assert {"used too early", "used in its first session", "answered whatever came of it", "counted again"} <= asked
    assert {"every document", "neutral without text", "copied from the analyst", "one answer for a document"} <= asked


def test_the_tables_of_a_clean_run_are_those_of_its_documents(texty: Path) -> None:
    case = Case(texty)
    table = pd.read_parquet(texty / f"{NEWS}.parquet")
    assert table.duplicated(["date", "ticker"]).any()
    assert (table["n_chunks"] > 1).any()
    assert (table["ticker"] == "").any()
    assert (~table["has_time"]).any()
    assert [one.path.name for one in case.events(("test",))] == ["chunk1_test_events.parquet"]


def test_a_run_without_text_is_neutral_throughout(run: Path, ask: Any) -> None:
    result = ask("text", run)
    assert result.findings == ()
    assert "no module of this run reads text" in {one.detail for one in result.checks if one.passed is None}


def test_a_document_after_the_close_is_not_used_that_day(planted_text: Planted, ask: Any) -> None:
    """D-TXT-01: half past five in New York belongs to the next session; half past three does not."""
    store = Case(planted_text.run).store
    late, soon = np.timedelta64(90, "m"), np.timedelta64(-30, "m")

    def moved(by: np.timedelta64) -> Change:
        def change(table: pd.DataFrame) -> pd.DataFrame:
            close = store.decided_at[np.searchsorted(store.dates, table["date"].iloc[5].to_datetime64().astype("M8[D]"))]
            published = table["published_at"].copy()
            published.iloc[5] = pd.Timestamp(close + by)
            return table.assign(published_at=published, has_time=True)

        return change

    early = found(ask("text", planted_text.change(SENTIMENT, moved(late)), "sentiment", "text_encoder"))
    assert ("used too early", "sentiment", "date") in early
    again = found(ask("text", planted_text.change(SENTIMENT, moved(soon)), "sentiment", "text_encoder"))
    assert ("used too early", "sentiment", "date") not in again


def test_a_day_without_a_time_counts_as_after_its_close(texty: Path) -> None:
    case = Case(texty)
    session = 700
    noon = np.array([case.store.decided_at[session] - np.timedelta64(4, "h")])
    assert earliest_sessions(case, noon, np.array([True])).tolist() == [session]
    assert earliest_sessions(case, noon, np.array([False])).tolist() == [session + 1]


def test_a_document_that_waits_is_lost(planted_text: Planted, ask: Any) -> None:
    def waits(table: pd.DataFrame) -> pd.DataFrame:
        dates = table["date"].copy()
        dates.iloc[3] = table["date"].max()
        return table.assign(date=dates)

    result = ask("text", planted_text.change(ENCODER, waits), "text_encoder")
    assert ("used in its first session", "text_encoder", "date") in found(result)


def test_d_news_01_answers_that_hang_on_an_outcome_are_named(planted_text: Planted, ask: Any) -> None:
    def as_if_unlabelled(table: pd.DataFrame) -> pd.DataFrame:
        late = (table["date"] >= table["date"].sort_values().unique()[-10]).to_numpy()
        values = table.select_dtypes("float").columns
        table.loc[late, values] = np.nan
        reason = table["reason"].mask(late, "upstream_unknown")
        return table.assign(known=table["known"] & ~late, reason=reason)

    result = ask("text", planted_text.change(NEWS, as_if_unlabelled), "news", "text_encoder")
    assert {one.check for one in hard(result) if one.module == "news"} == {"answered whatever came of it"}


@pytest.mark.parametrize(
    ("table", "column", "value", "expected"),
    [
        (NEWS, "predicted_news_importance", 0.987, ("one answer for a document", "news", "predicted_news_importance")),
        (DAYS, "event_count", 99.0, ("counted again", "qualitative", "event_count")),
        (DAYS, "chunk_count", 99.0, ("counted again", "qualitative", "chunk_count")),
        (DAYS, "news_event_count", 50.0, ("counts fit together", "qualitative", "event_count")),
        (DAYS, "qualitative_confidence", 0.0, ("confidence without a source", "qualitative", "qualitative_confidence")),
        (EVENTS, "sentiment_score", 0.123, ("as its sources said", "qualitative_events", "sentiment_score")),
        (EVENTS, "news_importance", 0.987, ("as its sources said", "qualitative_events", "news_importance")),
        (EVENTS, "doc_id", "nobody", ("a document of that day", "qualitative_events", "doc_id")),
        ("decisions", "qualitative_risk_score", 0.6, ("neutral without text", "decisions", "qualitative_risk_score")),
        ("decisions", DRIVER, "x", ("neutral without text", "decisions", DRIVER)),
        ("decisions", "text_available", 1.0, ("text available", "decisions", "text_available")),
        ("decisions", SUMMARY, "x", ("one sentence without text", "decisions", SUMMARY)),
    ],
)  # fmt: skip
def test_a_planted_fault_is_named(
    planted_text: Planted, ask: Any, table: str, column: str, value: Any, expected: tuple[str, str, str]
) -> None:
    def rows(content: pd.DataFrame) -> Any:
        if table == "decisions":
            mine = (content["split"] == "test") & (content["event_count"] == 0) & content["text_available"].notna()
        elif table == EVENTS:
            mine = content["sentiment_event_present"] == 1.0
        elif table == NEWS:
            mine = content["known"] & (content["n_chunks"] > 1)
        else:
            mine = content["known"]
        return mine & (mine.cumsum() == mine.sum())  # the last of them

    assert expected in found(ask("text", planted_text.set(table, column, value, rows)))


def test_a_middling_answer_without_a_document_is_named(planted_text: Planted, ask: Any) -> None:
    def invented(table: pd.DataFrame) -> pd.DataFrame:
        row = table.index[(table["reason"] == "no_text").to_numpy()][-1]
        for name, value in {"event_count": 0.0, "qualitative_risk_score": 0.5, "known": True, "reason": "known"}.items():
            table.loc[row, name] = value
        return table

    result = ask("text", planted_text.change(DAYS, invented), "qualitative", "sentiment", "news")
    assert ("known only with a document", "qualitative", "event_count") in found(result)


def test_a_lost_document_is_named(planted_text: Planted, ask: Any) -> None:
    result = ask("text", planted_text.change(EVENTS, lambda table: table.drop(index=4)), "qualitative", "sentiment", "news")
    assert ("every document", "qualitative_events", "doc_id") in found(result)


def test_decisions_that_say_other_than_the_analyst_are_named(planted_text: Planted, ask: Any) -> None:
    def other(table: pd.DataFrame) -> Any:
        return (table["event_count"] > 0) & (table["split"] == "test")

    result = ask("text", planted_text.set("decisions", "qualitative_score", 0.777, other))
    assert ("copied from the analyst", "decisions", "qualitative_score") in found(result)


def test_presence_that_pays_is_noted_and_presence_that_does_not_is_not(texty: Path) -> None:
    case, rng = Case(texty), np.random.default_rng(4)
    days = dataclasses.replace(case.chunks[1], test=np.arange(500, 900))
    label = case.store.labels["forward_excess_log_return_10d"]
    told = np.zeros((case.store.n_sessions, case.store.n_assets + 1))
    frame = case.store.text.frame
    told[frame["session"], frame["asset"]] = 1.0
    for effect in (0.0, 0.05):
        values = 0.01 * rng.standard_normal(label.values.shape) + effect * told[:, :-1]
        store = dataclasses.replace(
            case.store,
            labels={**case.store.labels, "forward_excess_log_return_10d": dataclasses.replace(label, values=values)},
        )
        planted = Case(texty)
        planted.__dict__.update(store=store, chunks={1: days})
        checks, metrics = presence(planted)
        assert [one.passed for one in checks] == [effect == 0.0]
        assert [one.hard for one in checks] == [False]
        assert metrics[0].value == pytest.approx(effect, abs=0.01)


def test_a_bare_table_is_asked_what_it_can_answer(bare: Any, ask: Any) -> None:
    assert ask("text", bare()).status == "pass"

    def loud(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(qualitative_score=0.3)

    assert ("neutral without text", "decisions", "qualitative_score") in found(ask("text", bare(loud)))
    assert ask("text", bare(lambda table: table.drop(columns="event_count"))).status == "not applicable"
