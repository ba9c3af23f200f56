"""Numbers outside their range and shares that do not add up are found and named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from glassbox_bt.audits.ranges import range_of
from tests.audits.planted import Planted, found

PROBABILITIES = "learned_sell_prob+learned_hold_prob+learned_buy_prob"
WEIGHTS = "learned_quantitative_weight+learned_qualitative_weight"


def test_a_clean_run_keeps_its_bounds(run: Path, ask: Any) -> None:
    result = ask("bounds", run)
    assert result.findings == ()
    assert result.facts["undeclared"] == []  # every number of the house has a declared range


@pytest.mark.parametrize(
    ("table", "column", "value", "module"),
    [
        ("decisions", "learned_fusion_signal", -1.01, "decisions"),
        ("decisions", "held_weight", -0.001, "decisions"),
        ("decisions", "final_position_fraction", 1.2, "decisions"),
        ("portfolio/approved", "order_fraction", -1.5, "approved"),
        ("modules/var/chunk1_test", "var_95", 0.01, "var"),
        ("modules/volatility/chunk1_val", "vol_10d", 5.5, "volatility"),
        ("modules/technical/chunk1_train", "trend_score", 1.001, "technical"),
        ("modules/quantitative/chunk1_test", "risk_delta_regime", -1.5, "quantitative"),
        ("modules/liquidity/chunk1_test", "days_to_liquidate_1M", -0.5, "liquidity"),
        ("modules/position_sizing/chunk1_test", "volatility_risk_score", 1.1, "position_sizing"),
    ],
)
def test_a_number_outside_its_range_is_named(
    planted: Planted, ask: Any, table: str, column: str, value: float, module: str
) -> None:
    assert ("range", module, column) in found(ask("bounds", planted.set(table, column, value), module, "var"))


def test_a_weight_outside_its_range_is_named(planted: Planted, ask: Any) -> None:
    def heavy(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(attention=[np.asarray(one) + (i == 3) for i, one in enumerate(table["attention"])])

    assert ("range", "technical", "attention") in found(
        ask("bounds", planted.change("modules/technical/chunk1_test", heavy))
    )


@pytest.mark.parametrize(
    ("table", "column", "value", "expected"),
    [
        ("decisions", "learned_hold_prob", 0.9, ("action probabilities", PROBABILITIES)),
        ("decisions", "learned_qualitative_weight", 0.4, ("branch weights", WEIGHTS)),
        ("decisions", "final_position_pct", 50.0, ("percent", "final_position_pct")),
        ("modules/position_sizing/chunk1_test", "recommended_capital_pct", 99.0, ("percent", "recommended_capital_pct")),
        ("modules/cvar/chunk1_test", "cvar_95", -1e-6, ("order", "cvar_95, var_95")),
        ("modules/var/chunk1_test", "var_99", -1e-6, ("order", "var_99, var_95")),
    ],
)
def test_what_does_not_add_up_is_named(
    planted: Planted, ask: Any, table: str, column: str, value: float, expected: tuple[str, str]
) -> None:
    result = ask("bounds", planted.set(table, column, value), "position_sizing", "var", "cvar")
    assert expected in {(one.check, one.column) for one in result.findings}


def test_rounding_is_forgiven_and_more_is_not() -> None:
    low, high = range_of("liquidity_score") or (np.nan, np.nan)
    assert (low, high) == (0.0, 1.0)
    assert range_of("no_such_thing") is None
    assert range_of("order_fraction") == (-1.0, 1.0)
    assert range_of("recommended_capital_fraction") == (0.0, 1.0)
    assert range_of("learned_fusion_signal") == (-1.0, 1.0)
    assert range_of("learned_fusion_signal_raw") == (-np.inf, np.inf)


def test_a_column_without_a_declared_range_is_listed(planted: Planted, ask: Any) -> None:
    planted.change("modules/var/chunk1_test", lambda table: table.assign(gumption=1.0))
    assert ask("bounds", planted.run, "var").facts["undeclared"] == ["var.gumption"]


def test_a_bare_table_is_asked_for_its_own_columns(bare: Any, ask: Any) -> None:
    assert ask("bounds", bare()).findings == ()
    broken = bare(lambda table: table.assign(learned_buy_prob=0.99))
    assert "action probabilities" in {one.check for one in ask("bounds", broken).findings}
