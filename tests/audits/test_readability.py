"""A wrong number, a wrong word, a raw name or a text nobody can read is found; one planted fault per question."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from glassbox_bt.audits.base import contents
from tests.audits.planted import Planted, found

STORY = "fusion_xai_summary"
FEW = ("fusion", "quantitative")


def shares(result: Any, module: str, text: str = "xai_summary", split: str = "test") -> dict[str, float]:
    one = next(
        row for row in contents(result)["shares"] if (row["module"], row["text"], row["split"]) == (module, text, split)
    )
    return {name: one[name] for name in ("length", "content", "numbers", "plain", "reading ease")}


def rewritten(column: str, change: Callable[[str], str], rows: Callable[[pd.DataFrame], Any] | None = None) -> Any:
    """Rewrites the texts of a column; those of the first ten test rows unless told otherwise."""

    def plant(table: pd.DataFrame) -> pd.DataFrame:
        test = (table["split"] == "test").to_numpy() if "split" in table.columns else np.ones(len(table), dtype=bool)
        chosen = np.cumsum(test) <= 10 if rows is None else np.asarray(rows(table), dtype=bool)
        chosen = chosen & test
        assert chosen.any(), "the fault was planted nowhere"
        after = table[column].map(change)
        assert (after[chosen] != table[column][chosen]).any(), "the fault changed nothing"
        return table.assign(**{column: table[column].where(~chosen, after)})

    return plant


def test_stories_of_a_clean_run_read_well_and_tell_the_truth(run: Path, ask: Any) -> None:
    result = ask("readability", run)
    assert {one.module for one in result.findings if one.hard} == set()
    for text, module in ((STORY, "decisions"), ("rule_barrier_trace", "approved"), ("xai_summary", "fusion")):
        assert min(shares(result, module, text).values()) > 0.95
        assert shares(result, module, text)["numbers"] == 1.0


NUMBERS: dict[str, Callable[[str], str]] = {
    "a size of another row": lambda text: text.replace("held ", "held 9"),
    "a signal with another sign": lambda text: text.replace("signal -", "signal ").replace("signal 0", "signal -0"),
    "a number that no phrase accounts for": lambda text: f"{text} Target 42.",
    "a number too precise to agree": lambda text: text.replace(" percent; held", "3 percent; held"),
}


@pytest.mark.parametrize("fault", NUMBERS)
def test_a_number_that_the_row_does_not_bear_out_is_named(planted: Planted, ask: Any, fault: str) -> None:
    planted.change("decisions", rewritten(STORY, NUMBERS[fault], lambda t: t["held_weight"] >= 0.0))
    result = ask("readability", planted.run, *FEW)
    assert ("numbers agree with the row", "decisions", STORY) in found(result)
    assert result.status == "FAIL"
    assert shares(result, "decisions", STORY)["numbers"] < 1.0
    metric = next(one for one in result.metrics if one.metric == f"numbers of {STORY}" and one.split == "test")
    assert metric.verdict == "FAIL"


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("technical", "timing 0", "timing 1"),
        ("technical", "of its attention", "5% of its attention"),
        ("volatility", "over 10 sessions", "over 11 sessions"),
        ("position_sizing", "combined risk score 0", "combined risk score 1"),
        ("quantitative", "risk by 0.", "risk by 1."),
        ("fusion", "allowed size: 0", "allowed size: 7"),
        ("temporal_encoder", "off by ", "off by 8"),
        ("var", "one in a hundred -", "one in a hundred -7"),
        ("cvar", "tail holds ", "tail holds 3"),
        ("liquidity", "Liquidity score 0", "Liquidity score 2"),
    ],
)
def test_a_wrong_number_in_a_modules_summary_is_named(planted: Planted, ask: Any, module: str, old: str, new: str) -> None:
    table = f"modules/{module}/chunk1_test"
    before = shares(ask("readability", planted.run, module, *FEW), module)["numbers"]
    planted.change(table, rewritten("xai_summary", lambda text: text.replace(old, new), lambda t: t["known"]))
    result = ask("readability", planted.run, module, *FEW)
    assert ("numbers agree with the row", module, "xai_summary") in found(result)
    assert shares(result, module)["numbers"] < max(before, 0.5)


WORDS: dict[str, tuple[Callable[[str], str], Callable[[pd.DataFrame], Any]]] = {
    "another action": (lambda text: "Sell" + text[3:], lambda t: t["final_recommendation"] == "BUY"),
    "another learned action": (
        lambda text: text.replace("learning said buy", "learning said sell"),
        lambda t: (t["learned_recommendation"] == "BUY") & (t["rule_changed_action"] == 1),
    ),
    "another driver": (
        lambda text: text.replace("Leading risk: volatility", "Leading risk: tail loss"),
        lambda t: t["top_attention_risk_driver"] == "volatility",
    ),
}


@pytest.mark.parametrize("fault", WORDS)
def test_a_word_that_contradicts_its_row_is_named(planted: Planted, ask: Any, fault: str) -> None:
    change, rows = WORDS[fault]
    result = ask("readability", planted.change("decisions", rewritten(STORY, change, rows)), *FEW)
    assert ("words agree with the row", "decisions", STORY) in found(result)


def test_a_driver_by_removal_that_is_another_is_named(planted: Planted, ask: Any) -> None:
    change = rewritten("xai_summary", lambda text: text.replace("driver is volatility", "driver is market regime"))
    planted.change("modules/fusion/chunk1_test", change)
    assert ("words agree with the row", "fusion", "xai_summary") in found(ask("readability", planted.run, *FEW))


QUESTIONS: dict[str, tuple[str, Callable[[str], str]]] = {
    "too short": ("length", lambda _text: "Buy: risk is low."),
    "too long": ("length", lambda text: text + " and so on" * 20),
    "no driver and no rule": ("content", lambda text: text.partition(" Rules:")[0]),
    "a rule that did not fire": ("content", lambda text: text.replace("Rules: ", "Rules: low moon, ")),
    "no action and no score": (
        "content",
        lambda _text: "Nothing in particular can be told about this name on this day at all.",
    ),
    "a raw column name": ("plain", lambda text: text.replace("signal", "learned_fusion_signal")),
    "a missing value": ("plain", lambda text: f"{text} Sector None."),
    "not a number": ("plain", lambda text: f"{text} Beta nan."),
    "letters beyond ASCII": ("plain", lambda text: text.replace("risk", "risk \N{GREEK SMALL LETTER SIGMA}")),
    "an empty text": ("plain", lambda _text: ""),
    "words nobody reads": (
        "reading ease",
        lambda _text: (
            "Buy: idiosyncratic heteroskedasticity considerations necessitate recapitalisation, notwithstanding "
            "unquantifiable microstructural discontinuities."
        ),
    ),
}


@pytest.mark.parametrize("fault", QUESTIONS)
def test_each_question_can_be_failed(planted: Planted, ask: Any, fault: str) -> None:
    question, change = QUESTIONS[fault]
    planted.change("decisions", rewritten(STORY, change, lambda t: t["rule_barrier_reasons"] != "no_rule_override"))
    result = ask("readability", planted.run, *FEW)
    assert shares(result, "decisions", STORY)[question] < 0.5
    assert shares(result, "decisions", STORY, "val")[question] > 0.95


def test_unreadable_texts_are_a_note_unless_they_are_wrong(planted: Planted, ask: Any) -> None:
    change = rewritten(
        STORY, lambda text: f"{text} sector_code None".replace("Leading risk", "Riskage"), lambda t: t["chunk"] == 1
    )
    result = ask("readability", planted.change("decisions", change), *FEW)
    finding = next(one for one in result.findings if (one.module, one.check) == ("decisions", "readability"))
    assert finding.verdict == "note"
    assert "plain 0.0%" in finding.detail


def test_a_rule_that_bound_the_size_must_be_named_as_such(planted: Planted, ask: Any) -> None:
    rows = lambda t: t[STORY].str.contains("binds the size", regex=False)  # noqa: E731
    planted.change("decisions", rewritten(STORY, lambda text: text.replace(" (binds the size)", ""), rows))
    assert shares(ask("readability", planted.run, *FEW), "decisions", STORY)["content"] < 1.0


def test_a_copied_summary_is_the_modules_letter_for_letter(planted: Planted, ask: Any) -> None:
    planted.change("decisions", rewritten("quantitative_xai_summary", lambda text: text.replace("0.", "0,")))
    assert ("copied from the module", "decisions", "quantitative_xai_summary") in found(
        ask("readability", planted.run, *FEW)
    )


def test_a_row_without_an_answer_says_so(planted: Planted, ask: Any) -> None:
    def silenced(text: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
        def change(table: pd.DataFrame) -> pd.DataFrame:
            row = table.index == 4
            return table.assign(known=table["known"] & ~row, xai_summary=table["xai_summary"].where(~row, text))

        return change

    table = "modules/technical/chunk1_test"
    planted.change(table, silenced("No answer and no driver to name: its window of past sessions is not complete yet."))
    assert shares(ask("readability", planted.run, "technical"), "technical")["content"] == 1.0
    planted.change(table, silenced("There is nothing at all to be told about this name on this day."))
    assert shares(ask("readability", planted.run, "technical"), "technical")["content"] < 1.0


def test_numbers_of_a_module_without_phrases_must_be_somewhere_in_the_row(planted: Planted, ask: Any) -> None:
    def told(manifest: dict[str, Any]) -> None:
        record = next(one for one in manifest["artefacts"]["modules"] if one["module"] == "var")
        manifest["artefacts"]["modules"].append({**record, "module": "weather"})

    for split in ("train", "val", "test"):
        keys = pd.read_parquet(planted.run / "modules" / "var" / f"chunk1_{split}.parquet")[
            ["ticker", "date", "known", "reason"]
        ]
        path = planted.run / "modules" / "weather" / f"chunk1_{split}.parquet"
        path.parent.mkdir(exist_ok=True)
        text = "The risk of rain is 25%, and most of it comes from the west this time of the year."
        keys.assign(rain=0.25, xai_summary=text).to_parquet(path, index=False)
    planted.json("manifest.json", told)
    assert shares(ask("readability", planted.run, "weather"), "weather") == dict.fromkeys(
        ("length", "content", "numbers", "plain", "reading ease"), 1.0
    )
    planted.set("modules/weather/chunk1_test", "rain", 0.35, rows=lambda table: table["rain"] > 0.0)
    assert shares(ask("readability", planted.run, "weather"), "weather")["numbers"] == 0.0


@pytest.mark.parametrize("name", ["decisions.csv", "decisions.parquet"])
def test_a_bare_table_is_read_as_far_as_its_columns_go(bare: Any, ask: Any, name: str) -> None:
    result = ask("readability", bare(name=name))
    assert result.findings == ()
    assert any("risk_delta" in one.detail for one in result.checks if one.passed is None)
    broken = bare(rewritten(STORY, lambda text: text.replace("signal ", "signal 8")), name)
    assert ("numbers agree with the row", "decisions", STORY) in found(ask("readability", broken))


def test_a_bare_table_without_the_weight_in_hand_is_not_asked_for_it(bare: Any, ask: Any) -> None:
    result = ask("readability", bare(lambda table: table.drop(columns="held_weight")))
    assert result.findings == ()
    assert "`held_weight` is not in this table" in {one.detail for one in result.checks if one.passed is None}


def test_a_table_without_rows_has_no_figures(planted: Planted, ask: Any) -> None:
    module = "modules/quantitative/chunk1_test"
    planted.change(module, lambda table: table.iloc[:0])
    planted.change("decisions", lambda table: table[(table["chunk"] != 1) | (table["split"] != "test")])
    result = ask("readability", planted.run)
    told = {(one.module, one.chunk, one.split) for one in result.metrics}
    assert ("quantitative", 1, "test") not in told
    assert ("quantitative", 1, "val") in told
    assert any("there is no text" in one.detail for one in result.checks if one.module == "quantitative")


def test_a_name_that_left_the_universe_has_no_decision_to_be_held_to(planted: Planted, ask: Any) -> None:
    """It is sold all the same; its story tells of a barrier whose row nobody keeps. With a decision it is read as ever."""
    approved = pd.read_parquet(planted.run / "portfolio" / "approved.parquet")
    held = approved[(approved["split"] == "test") & (approved["current_fraction"] > 0.0)].iloc[0]
    planted.change("portfolio/approved", rewritten("rule_barrier_trace", lambda text: f"{text} Target 42.", same_row(held)))
    told = {(one.module, one.check) for one in ask("readability", planted.run, *FEW).findings if one.hard}
    assert ("approved", "numbers agree with the row") in told
    planted.change("decisions", lambda table: table[~same_row(held)(table)])
    told = {(one.module, one.check) for one in ask("readability", planted.run, *FEW).findings if one.hard}
    assert not {one for one in told if one[0] == "approved"}


def same_row(one: pd.Series) -> Callable[[pd.DataFrame], Any]:
    return lambda table: ((table["date"] == one["date"]) & (table["ticker"] == one["ticker"])).to_numpy()
