"""Tables keep their columns, keys and rows; every way to break that promise is found and named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.audits.planted import Planted, found

VECTOR = "attention"
Change = Callable[[pd.DataFrame], pd.DataFrame]


def test_a_clean_run_keeps_every_schema(run: Path, ask: Any) -> None:
    result = ask("schema", run)
    assert result.findings == ()
    assert result.status == "pass"
    assert {one.check for one in result.checks} == {
        *("columns", "no labels", "older schema", "order of columns", "unique key", "sorted by day and name", "complete"),
        *("pooled risk", "columns of a variant"),
    }


def swapped(table: pd.DataFrame) -> pd.DataFrame:
    names = list(table.columns)
    i, j = names.index("learned_buy_prob"), names.index("quantitative_confidence")
    names[i], names[j] = names[j], names[i]
    return table[names]


def stranger(table: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([table, table.iloc[[0]].assign(ticker="ZZZZ")]).sort_values(["chunk", "split", "date", "ticker"])


DECISIONS: dict[str, tuple[Change, tuple[str, str]]] = {
    "a column is missing": (lambda t: t.drop(columns="learned_buy_prob"), ("columns", "learned_buy_prob")),
    "a column is not in the list": (lambda t: t.assign(rsi_14=1.0), ("columns", "rsi_14")),
    "a number is text": (lambda t: t.assign(final_position_fraction="much"), ("columns", "final_position_fraction")),
    "text is a number": (lambda t: t.assign(binding_rule_id=4.0), ("columns", "binding_rule_id")),
    "a count is no whole number": (lambda t: t.assign(event_count=0.5), ("columns", "event_count")),
    "a flag is neither 0 nor 1": (lambda t: t.assign(rule_changed_action=2), ("columns", "rule_changed_action")),
    "a mark is missing": (lambda t: t.drop(columns="split"), ("columns", "split")),
    "a label came along": (lambda t: t.assign(target_return_5d=0.1), ("no labels", "all")),
    "columns changed places": (swapped, ("order of columns", "quantitative_confidence")),
    "the older schema": (
        lambda t: t.rename(columns={"top_attention_risk_driver": "top_risk_driver"}),
        ("older schema", "top_risk_driver"),
    ),
    "a row stands twice": (lambda t: pd.concat([t.iloc[:1], t]), ("unique key", "ticker")),
    "rows changed places": (lambda t: t.iloc[[1, 0, *range(2, len(t))]], ("sorted by day and name", "date")),
    "a member has no row": (lambda t: t.drop(index=5), ("complete", "ticker")),
    "a row is of no member": (stranger, ("complete", "ticker")),
    "pooled risk is not attention times risk": (
        lambda t: t.assign(attention_pooled_risk_score=t["attention_pooled_risk_score"] + 0.002),
        ("pooled risk", "attention_pooled_risk_score"),
    ),
}


@pytest.mark.parametrize("fault", DECISIONS)
def test_a_broken_table_of_decisions_is_named(planted: Planted, ask: Any, fault: str) -> None:
    change, (check, column) = DECISIONS[fault]
    result = ask("schema", planted.change("decisions", change), "position_sizing")
    assert (check, "decisions", column) in found(result)
    assert result.status == "FAIL"


@pytest.mark.parametrize(
    ("table", "change", "expected"),
    [
        ("modules/var/chunk1_test", lambda t: t.drop(columns="var_99"), ("columns", "var", "var_99")),
        ("modules/var/chunk1_test", lambda t: t.assign(close=1.0), ("columns", "var", "close")),
        ("modules/var/chunk1_test", lambda t: t.assign(label_return=1.0), ("no labels", "var", "all")),
        ("modules/var/chunk1_test", lambda t: t.drop(index=9), ("complete", "var", "ticker")),
        ("modules/var/chunk1_train", lambda t: t.drop(index=9), ("complete", "var", "ticker")),
        ("modules/technical/chunk1_train", lambda t: t.drop(index=9), ("complete", "technical", "ticker")),
        ("modules/var/chunk1_test", lambda t: t.drop(columns="xai_summary"), ("columns", "var", "xai_summary")),
        (
            "modules/temporal_encoder/chunk1_val",
            lambda t: t.drop(columns="attention"),
            ("columns", "temporal_encoder", VECTOR),
        ),
        ("portfolio/approved", lambda t: t.drop(columns="evidence_links"), ("columns", "approved", "evidence_links")),
        ("portfolio/approved", lambda t: pd.concat([t.iloc[:1], t]), ("unique key", "approved", "ticker")),
    ],
)
def test_a_broken_table_of_a_module_is_named(
    planted: Planted, ask: Any, table: str, change: Change, expected: tuple[str, str, str]
) -> None:
    assert expected in found(ask("schema", planted.change(table, change), expected[1]))


def test_a_module_that_the_specification_does_not_know_promises_its_keys_and_reasons(planted: Planted, ask: Any) -> None:
    def told(manifest: dict[str, Any]) -> None:
        record = next(one for one in manifest["artefacts"]["modules"] if one["module"] == "var")
        manifest["artefacts"]["modules"].append({**record, "module": "weather"})

    for split in ("train", "val", "test"):
        table = pd.read_parquet(planted.run / "modules" / "var" / f"chunk1_{split}.parquet")
        path = planted.run / "modules" / "weather" / f"chunk1_{split}.parquet"
        path.parent.mkdir(exist_ok=True)
        table.assign(rain=1.0).to_parquet(path, index=False)
    assert ask("schema", planted.json("manifest.json", told), "weather", "position_sizing").findings == ()
    planted.change("modules/weather/chunk1_test", lambda t: t.drop(columns="reason"))
    assert ("columns", "weather", "all") in found(ask("schema", planted.run, "weather"))


@pytest.mark.parametrize("name", ["decisions.csv", "decisions.parquet"])
def test_a_bare_table_is_asked_what_it_can_answer(bare: Any, ask: Any, name: str) -> None:
    result = ask("schema", bare(name=name))
    assert result.findings == ()
    unasked = {one.check for one in result.checks if one.passed is None}
    assert unasked == {"complete", "pooled risk"}


def test_a_bare_table_with_the_six_scores_is_asked_for_its_pooled_risk(bare: Any, ask: Any) -> None:
    def scored(table: pd.DataFrame) -> pd.DataFrame:
        shares = table[[name for name in table.columns if name.startswith("risk_attention_")]]
        scores = {name.replace("risk_attention_", "") + "_risk_score": 0.25 for name in shares.columns}
        whole = table.drop(columns=["drawdown_risk_score", "contagion_risk_score"]).assign(**scores)
        return whole.assign(attention_pooled_risk_score=np.where(table.index == 4, 0.9, 0.25))

    assert ("pooled risk", "decisions", "attention_pooled_risk_score") in found(ask("schema", bare(scored)))
