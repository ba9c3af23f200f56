"""The audits of tables hold for modules that answer documents, whose rows are chunks: each fault is planted once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from glassbox_bt.audits.base import AuditSettings
from glassbox_bt.audits.case import Case
from glassbox_bt.audits.module_tables import table_faults
from glassbox_bt.audits.probes import NOT_BY_ROWS
from glassbox_bt.audits.ranges import range_of
from glassbox_bt.audits.schemas import MODULES
from glassbox_bt.modules.analysts.news import NewsAnalyst
from glassbox_bt.modules.analysts.qualitative import QualitativeAnalyst
from glassbox_bt.modules.analysts.sentiment import SentimentAnalyst
from glassbox_bt.modules.encoders.text import TextEncoder
from tests.audits.planted import Planted, found

SENTIMENT, NEWS, ENCODER = (f"modules/{name}/chunk1_test" for name in ("sentiment", "news", "text_encoder"))
DAYS, EVENTS = "modules/qualitative/chunk1_test", "modules/qualitative/chunk1_test_events"
TONE = "predicted_sentiment"
TABLES = ("schema", "finite", "bounds", "coverage", "provenance", "attention", "readability")


@pytest.mark.parametrize("audit", TABLES)
def test_a_clean_run_passes(texty: Path, ask: Any, audit: str) -> None:
    result = ask(audit, texty)
    assert [one for one in result.findings if one.hard] == []
    modules = {one.module for one in result.asked}
    assert modules >= ({"news"} if audit == "attention" else {"text_encoder", "sentiment", "news", "qualitative"})
    if audit == "bounds":
        assert result.facts["undeclared"] == []


@pytest.mark.parametrize("table", [SENTIMENT, NEWS, ENCODER, "modules/sentiment/chunk1_train"])
def test_a_chunk_without_a_row_is_named(planted_text: Planted, ask: Any, table: str) -> None:
    module = table.split("/")[1]
    run = planted_text.change(table, lambda rows: rows.drop(index=30))
    assert ("complete", module, "chunk_id") in found(ask("schema", run, module))
    assert ("rows", module, "ticker") in found(ask("coverage", run, module))
    assert ("table", module, "rows") in found(ask("provenance", run, module))


def test_d_news_01_rows_that_end_before_the_test_year_does_are_named(planted_text: Planted, ask: Any) -> None:
    def purged(table: pd.DataFrame) -> pd.DataFrame:
        return table[table["date"] < table["date"].sort_values().unique()[-10]]

    result = ask("coverage", planted_text.change(NEWS, purged), "news")
    assert ("rows of the last 60 sessions", "news", "ticker") in found(result)


def test_one_row_for_each_chunk_and_no_other(planted_text: Planted, ask: Any) -> None:
    twice = planted_text.change(SENTIMENT, lambda rows: pd.concat([rows, rows.tail(1)], ignore_index=True))
    assert ("unique key", "sentiment", "chunk_id") in found(ask("schema", twice, "sentiment"))
    strange = planted_text.set(SENTIMENT, "doc_id", "nobody")
    assert ("complete", "sentiment", "chunk_id") in found(ask("schema", strange, "sentiment"))
    turned = planted_text.change(ENCODER, lambda rows: rows.iloc[::-1].reset_index(drop=True))
    assert ("in the order of the text", "text_encoder", "date") in found(ask("schema", turned, "text_encoder"))


def test_d_lab_04_a_label_in_a_table_of_text_is_named(planted_text: Planted, ask: Any) -> None:
    for name in ("target_score", "excess_log_return_10d"):
        result = ask("schema", planted_text.change(NEWS, lambda rows, name=name: rows.assign(**{name: 0.1})), "news")
        assert {("no labels", "news", "all"), ("columns", "news", name)} <= found(result)
    result = ask("schema", planted_text.change(EVENTS, lambda rows: rows.assign(future_return=0.1)), "qualitative")
    assert ("no labels", "qualitative_events", "all") in found(result)


@pytest.mark.parametrize(
    ("table", "column", "value", "expected"),
    [
        (SENTIMENT, f"{TONE}_score", 1.01, ("range", "sentiment", f"{TONE}_score")),
        (SENTIMENT, f"{TONE}_confidence", 0.3, ("range", "sentiment", f"{TONE}_confidence")),
        (SENTIMENT, f"{TONE}_confidence", 0.99, ("confidence", "sentiment", f"{TONE}_confidence")),
        (SENTIMENT, f"{TONE}_uncertainty", 0.01, ("uncertainty", "sentiment", f"{TONE}_uncertainty")),
        (SENTIMENT, f"{TONE}_class", 5.0, ("class", "sentiment", f"{TONE}_class")),
        (SENTIMENT, "sentiment_prob_neutral", 0.9, ("sentiment probabilities", "sentiment",
            "sentiment_prob_negative+sentiment_prob_neutral+sentiment_prob_positive")),
        (NEWS, "predicted_news_event_impact", -1.2, ("range", "news", "predicted_news_event_impact")),
        (NEWS, "predicted_news_uncertainty", 1.2, ("range", "news", "predicted_news_uncertainty")),
        (ENCODER, "polarity", 1.5, ("range", "text_encoder", "polarity")),
        (DAYS, "qualitative_rule_score", 1.5, ("range", "qualitative", "qualitative_rule_score")),
        (EVENTS, "sentiment_confidence", 0.2, ("range", "qualitative_events", "sentiment_confidence")),
    ],
)  # fmt: skip
def test_a_number_outside_its_bounds_is_named(
    planted_text: Planted, ask: Any, table: str, column: str, value: float, expected: tuple[str, str, str]
) -> None:
    assert expected in found(ask("bounds", planted_text.set(table, column, value, _last_known), expected[1], "qualitative"))


def test_a_class_that_is_not_the_likeliest_is_named(planted_text: Planted, ask: Any) -> None:
    def other(table: pd.DataFrame) -> pd.DataFrame:
        index = (table["predicted_sentiment_class_index"] + 1.0) % 3.0
        return table.assign(predicted_sentiment_class_index=index, predicted_sentiment_class=index - 1.0)

    result = ask("bounds", planted_text.change(SENTIMENT, other), "sentiment")
    assert ("label is the likeliest", "sentiment", "predicted_sentiment_class_index") in found(result)


@pytest.mark.parametrize(
    "module", [TextEncoder(), SentimentAnalyst(), NewsAnalyst(), QualitativeAnalyst()], ids=lambda m: m.name
)
def test_every_output_of_the_branch_is_in_the_schema_and_has_a_range(module: Any) -> None:
    words = getattr(module, "vocabulary", {})
    for output in (one for one in module.outputs if one != "embedding"):  # vectors stay with the answers
        assert output in MODULES[module.name].names
        assert output in words or range_of(output) is not None


def test_what_rebuilds_the_walk_says_why_it_does_not_move_text(texty: Path, ask: Any) -> None:
    result = ask("stability", texty, settings=AuditSettings(n_rows=60, n_draws=3))
    assert [one for one in result.findings if one.hard] == []
    whys = {one.module: one.detail for one in result.checks if one.passed is None and one.module in NOT_BY_ROWS}
    assert whys == {name: NOT_BY_ROWS[name] for name in ("text_encoder", "sentiment", "news", "qualitative")}


def test_text_does_not_look_ahead(texty: Path, ask: Any) -> None:
    result = ask("lookahead", texty, settings=AuditSettings(n_days=1))
    assert result.findings == ()
    asked = {(one.check, one.module) for one in result.asked}
    for module in ("text_encoder", "sentiment", "news", "qualitative"):
        assert {
            ("fitted before answering", module),
            ("one day as many", module),
            ("inputs of a prediction", module),
        } <= asked


def test_ranges_of_text_are_those_of_the_specification() -> None:
    assert range_of("predicted_sentiment_confidence") == (pytest.approx(1.0 / 3.0), 1.0)
    assert range_of("predicted_news_event_impact") == (-1.0, 1.0)
    assert range_of("word_count") == (0.0, np.inf)
    assert range_of("qualitative_rule_risk_score") == (0.0, 1.0)


def test_what_is_missing_is_named_and_what_no_source_said_is_not(planted_text: Planted, ask: Any) -> None:
    assert ("finite", "news", "attention_mean") in found(
        ask("finite", planted_text.set(NEWS, "attention_mean", np.nan, _last_known), "news")
    )
    silent = planted_text.change(EVENTS, _without_tone)
    assert found(ask("finite", silent, "qualitative")) == set()
    lost = planted_text.set(EVENTS, "news_importance", np.nan)
    assert found(ask("finite", lost, "qualitative")) == {("finite", "qualitative_events", "news_importance")}


def test_another_source_than_the_markets_is_named(planted_text: Planted, ask: Any) -> None:
    result = ask("provenance", planted_text.set(SENTIMENT, "word_count", 7_777), "sentiment")
    assert {("source", "sentiment", "word_count"), ("table", "sentiment", "rows")} <= found(result)
    result = ask("provenance", planted_text.set(EVENTS, "qualitative_score", 0.5), "qualitative")
    assert ("table", "qualitative", "events") in found(result)
    planted_text.run.joinpath(f"{EVENTS}.parquet").unlink()
    assert ("table", "qualitative", "events") in found(ask("provenance", planted_text.run, "qualitative"))


def test_attention_over_chunks_adds_up_and_is_made_of_its_heads(planted_text: Planted, ask: Any) -> None:
    result = ask("attention", planted_text.set(NEWS, "attention_head_2", 0.2, _last_long), "news")
    assert {("sum", "news", "attention_head_2"), ("made of the heads", "news", "attention_mean")} <= found(result)
    result = ask("attention", planted_text.set(NEWS, "attention_mean", 0.9, _last_long), "news")
    assert ("sum", "news", "attention") in found(result)


def test_numbers_words_and_quotes_of_summaries_are_checked(planted_text: Planted, ask: Any) -> None:
    for table, old, new in (
        (SENTIMENT, "expected size 0.", "expected size 9."),
        (NEWS, "importance 0.", "importance 7."),
        (DAYS, "text risk of 0.", "text risk of 3."),
        (EVENTS, "with a score of ", "with a score of 5"),
    ):
        module = "qualitative_events" if table == EVENTS else table.split("/")[1]
        run = planted_text.change(table, _said(old, new))
        assert ("numbers agree with the row", module, "xai_summary") in found(ask("readability", run, table.split("/")[1]))
    run = planted_text.change(SENTIMENT, _said("Most of it comes from its wording", "Most of it comes from the network"))
    assert ("words agree with the row", "sentiment", "xai_summary") in found(ask("readability", run, "sentiment"))


def test_a_summary_that_quotes_too_much_or_markup_is_named(planted_text: Planted, ask: Any) -> None:
    for quote in (" ".join(["word"] * 21), "see <script>"):
        run = planted_text.change(EVENTS, _said('It says: "', f'It says: "{quote} '))
        assert ("quotes", "qualitative_events", "xai_summary") in found(ask("readability", run, "qualitative"))


def test_modules_that_answer_documents_keep_their_promises(texty: Path) -> None:
    case = Case(texty)
    days = case.chunks[1].test
    for name in ("text_encoder", "sentiment", "news"):
        table = pd.read_parquet(texty / "modules" / name / "chunk1_test.parquet")
        assert list(table_faults(table, case.store, days)) == []
        twice = pd.concat([table, table.tail(1)], ignore_index=True)
        assert any("stand twice" in fault for fault in table_faults(twice, case.store, days))
        strange = table.assign(doc_id=table["doc_id"].mask(table.index == 2, "nobody"))
        assert any("no chunk of the market" in fault for fault in table_faults(strange, case.store, days))


def test_weights_of_words_that_do_not_add_up_are_noted(planted_text: Planted, ask: Any) -> None:
    folder = planted_text.run / "xai"
    folder.mkdir(exist_ok=True)
    for error, status in ((0.004, "pass"), (0.2, "note")):
        one = {"ticker": "S001", "session": "2019-05-02", "completeness_error": error}
        (folder / "text_examples.json").write_text(json.dumps({"examples": [one, {**one, "completeness_error": None}]}))
        result = ask("text_explanations", planted_text.run)
        assert {one.verdict for one in result.asked if one.check == "weights of words add up"} == {status}


def _last_known(table: pd.DataFrame) -> Any:
    known = table["known"] if "known" in table.columns else table["qualitative_score"].notna()
    return known & (known.cumsum() == known.sum())


def _last_long(table: pd.DataFrame) -> Any:
    long = table["known"] & (table["n_chunks"] > 1)
    return long & (long.cumsum() == long.sum())


def _without_tone(table: pd.DataFrame) -> pd.DataFrame:
    names = ["sentiment_score", "sentiment_confidence", "sentiment_uncertainty", "sentiment_magnitude"]
    table.loc[2, [*names, "sentiment_direction_score"]] = np.nan
    table.loc[2, "sentiment_event_present"] = 0.0
    return table


def _said(old: str, new: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        rows = table["xai_summary"].str.contains(old, regex=False)
        assert rows.any(), "the fault was planted nowhere"
        return table.assign(xai_summary=table["xai_summary"].str.replace(old, new, regex=False))

    return change
