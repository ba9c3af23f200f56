"""A missing number is found unless a reason excuses it; an infinite one always."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.audits.planted import Planted, found

OWNERS = ("fusion", "position_sizing", "quantitative", "liquidity")  # of the decisions' columns


def test_a_clean_run_is_finite(run: Path, ask: Any) -> None:
    result = ask("finite", run)
    assert result.findings == ()
    assert {one.module for one in result.checks} >= {"decisions", "approved", "equity", "technical", "fusion", "var"}


@pytest.mark.parametrize(
    ("table", "column", "value", "module"),
    [
        ("decisions", "final_position_fraction", np.nan, "decisions"),
        ("decisions", "user_rule_cap_fraction", np.inf, "decisions"),
        ("decisions", "learned_fusion_signal", np.nan, "decisions"),  # fusion knows this row
        ("decisions", "quantitative_risk_score", -np.inf, "decisions"),
        ("decisions", "binding_rule_id", None, "decisions"),
        ("decisions", "quantitative_xai_summary", None, "decisions"),
        ("modules/var/chunk1_test", "var_95", np.nan, "var"),
        ("modules/fusion/chunk1_val", "learned_buy_prob", np.inf, "fusion"),
        ("modules/position_sizing/chunk1_train", "size_bucket", None, "position_sizing"),
        ("portfolio/approved", "approved_fraction", np.nan, "approved"),
        ("portfolio/approved", "final_confidence", np.nan, "approved"),
        ("portfolio/equity", "return", np.inf, "equity"),
    ],
)
def test_a_hole_is_named(planted: Planted, ask: Any, table: str, column: str, value: Any, module: str) -> None:
    assert ("finite", module, column) in found(ask("finite", planted.set(table, column, value, rows=300), module, *OWNERS))


def test_a_hole_in_a_vector_is_named(planted: Planted, ask: Any) -> None:
    def holed(table: pd.DataFrame) -> pd.DataFrame:
        vectors = list(table["attention"])
        vectors[7] = np.where(np.arange(len(vectors[7])) == 3, np.nan, vectors[7])
        return table.assign(attention=vectors)

    result = ask("finite", planted.change("modules/technical/chunk1_test", holed), "technical", *OWNERS)
    assert found(result) == {("finite", "technical", "attention")}


def abstaining(table: pd.DataFrame) -> pd.DataFrame:
    """Row 11 does not know, and says why."""
    numbers = [name for name in table.columns if pd.api.types.is_float_dtype(table[name])]
    words = [name for name in table.columns if name not in (*numbers, "ticker", "date", "known", "reason", "xai_summary")]
    row = table.index == 11
    table.loc[row, numbers] = np.nan
    for name in words:
        table[name] = table[name].astype(object).where(~row, None)
    return table.assign(
        known=np.where(row, False, table["known"]).astype(bool), reason=table["reason"].where(~row, "upstream_unknown")
    )


def test_a_row_that_does_not_know_is_excused_by_its_reason(planted: Planted, ask: Any) -> None:
    assert ask("finite", planted.change("modules/var/chunk1_test", abstaining), "var", *OWNERS).findings == ()
    planted.set("modules/var/chunk1_test", "reason", "known", rows=11)
    assert found(ask("finite", planted.run, "var", *OWNERS)) == {("reason", "var", "reason")}


def test_a_row_that_does_not_know_says_nothing(planted: Planted, ask: Any) -> None:
    planted.change("modules/var/chunk1_test", abstaining)
    result = ask("finite", planted.set("modules/var/chunk1_test", "var_95", -0.02, rows=11), "var", *OWNERS)
    assert found(result) == {("silent where not known", "var", "var_95")}


def test_a_table_without_reasons_excuses_nothing(planted: Planted, ask: Any) -> None:
    planted.change("modules/var/chunk1_test", lambda table: table.drop(columns="reason"))
    assert ("reason", "var", "known") in found(ask("finite", planted.run, "var", *OWNERS))


FUSION = ["learned_fusion_signal", "learned_fusion_risk_score", "final_fusion_signal"]


def test_a_decision_without_a_learned_answer_is_excused_by_the_module_that_does_not_know(planted: Planted, ask: Any) -> None:
    def silenced(table: pd.DataFrame) -> pd.DataFrame:
        first = (table["split"] == "test") & (table.groupby("split").cumcount() == 11)
        table.loc[first, FUSION] = np.nan
        return table

    planted.change("decisions", silenced)
    assert ("finite", "decisions", "learned_fusion_signal") in found(ask("finite", planted.run, "var", *OWNERS))
    planted.change("modules/fusion/chunk1_test", abstaining)
    assert not [one for one in ask("finite", planted.run, "var", *OWNERS).findings if one.module == "decisions"]


@pytest.mark.parametrize(
    ("code", "excused"), [("data_missing_block|weak_buy_downgrade", True), ("data_missing_cap", False), ("", False)]
)
def test_a_bare_table_must_carry_the_code_of_missing_data(bare: Any, ask: Any, code: str, excused: bool) -> None:
    def holed(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[2, "learned_fusion_signal"] = np.nan
        table["rule_barrier_reasons"] = table["rule_barrier_reasons"].where(table.index != 2, code)
        return table

    named = ("finite", "decisions", "learned_fusion_signal") in found(ask("finite", bare(holed, "decisions.parquet")))
    assert named is not excused


def test_a_clean_bare_table_is_finite(bare: Any, ask: Any) -> None:
    assert ask("finite", bare()).findings == ()
