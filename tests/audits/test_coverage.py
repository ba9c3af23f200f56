"""Names and days without an answer are found, at the end of a test year too, and told by name and month."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from glassbox_bt.audits.base import contents
from glassbox_bt.audits.case import Case
from tests.audits.planted import Planted, found


def test_a_clean_run_covers_every_member_and_day(run: Path, ask: Any) -> None:
    result = ask("coverage", run)
    assert result.findings == ()
    assert contents(result)["missing"] == []
    assert all(metric.value == 1.0 for metric in result.metrics if metric.module == "position_sizing")


@pytest.mark.parametrize("table", ["decisions", "modules/fusion/chunk1_val", "modules/volatility/chunk1_train"])
def test_a_missing_row_is_named(planted: Planted, ask: Any, table: str) -> None:
    module = table.split("/")[1] if "/" in table else table
    result = ask("coverage", planted.change(table, lambda rows: rows.drop(index=30)), module)
    assert ("rows", module, "ticker") in found(result)
    lost = contents(result)["missing"]
    assert len(lost) == 1
    assert lost[0]["rows"] == 1
    assert json.dumps(lost)


def test_answers_that_end_before_the_test_year_does_are_named(planted: Planted, ask: Any) -> None:
    def shortened(table: pd.DataFrame) -> pd.DataFrame:
        return table[table["date"] < table["date"].sort_values().unique()[-20]]  # as if labels were purged from answers

    result = ask("coverage", planted.change("modules/technical/chunk1_test", shortened), "technical")
    assert ("rows of the last 60 sessions", "technical", "ticker") in found(result)


def test_a_block_that_the_run_could_not_fit_for_is_declared_and_any_other_is_not(planted: Planted, ask: Any) -> None:
    case = Case(planted.run)
    block = case.store.dates[case.chunks[1].blocks[2]]  # the third of five
    planted.change(
        "modules/technical/chunk1_train",
        lambda rows: rows[~np.isin(rows["date"].to_numpy().astype("datetime64[D]"), block)],
    )
    assert found(ask("coverage", planted.run, "technical")) == {("rows", "technical", "ticker")}
    planted.json(
        "manifest.json",
        lambda told: told["warnings"].append("chunk 1, technical: train block 3 is not answered: too few rows"),
    )
    assert ask("coverage", planted.run, "technical").findings == ()


def test_a_bare_table_cannot_tell(bare: Any, ask: Any) -> None:
    result = ask("coverage", bare())
    assert result.status == "not applicable"
    assert not result.passed
