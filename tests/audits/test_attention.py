"""Weights that do not add up, go where nothing was, or belie the named driver are found."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.audits.planted import Planted, found

TABLE = "modules/quantitative/chunk1_test"
QUANTITATIVE = ("quantitative", "position_sizing")


def test_a_clean_run_attends_properly(run: Path, ask: Any) -> None:
    result = ask("attention", run)
    assert result.findings == ()
    assert {one.check for one in result.checks} == {
        *("slots", "sum", "not negative", "nothing on what is not there", "driver is the largest", "driver by removal"),
    }
    assert {one.module for one in result.asked} == {"quantitative", "technical", "temporal_encoder"}


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"risk_attention_volatility": 0.9}, "sum"),
        (
            {"risk_attention_volatility": 1.1, "risk_attention_liquidity": -0.1, "risk_attention_var_cvar": 0.0},
            "not negative",
        ),
        (
            {
                "risk_attention_volatility": 0.5,
                "risk_attention_liquidity": 0.0,
                "risk_attention_var_cvar": 0.4,
                "risk_attention_contagion": 0.1,
            },
            "nothing on what is not there",
        ),
        ({"top_attention_risk_driver": "regime"}, "driver is the largest"),
        ({"top_delta_risk_driver": "regime"}, "driver by removal"),
    ],
)
def test_a_fault_in_attention_over_risks_is_named(planted: Planted, ask: Any, changes: dict[str, Any], check: str) -> None:
    for column, value in changes.items():
        planted.set(TABLE, column, value)
    assert check in {one.check for one in ask("attention", planted.run, *QUANTITATIVE).findings}


def test_the_first_of_equals_is_the_driver(planted: Planted, ask: Any) -> None:
    for column, value in {
        "risk_attention_volatility": 0.4,
        "risk_attention_var_cvar": 0.4,
        "risk_attention_liquidity": 0.2,
        "top_attention_risk_driver": "volatility",
    }.items():
        planted.set(TABLE, column, value)
    assert "driver is the largest" not in {one.check for one in ask("attention", planted.run, *QUANTITATIVE).findings}
    planted.set(TABLE, "top_attention_risk_driver", "var_cvar")
    assert "driver is the largest" in {one.check for one in ask("attention", planted.run, *QUANTITATIVE).findings}


def with_weights(change: Callable[[Any], Any]) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def changed(table: pd.DataFrame) -> pd.DataFrame:
        vectors = [np.asarray(one, dtype=np.float64) for one in table["attention"]]
        return table.assign(attention=[change(one) if i == 5 else one for i, one in enumerate(vectors)])

    return changed


@pytest.mark.parametrize("module", ["technical", "temporal_encoder"])
@pytest.mark.parametrize(
    ("change", "check"),
    [
        (lambda weights: weights * 1.01, "sum"),
        (lambda weights: np.concatenate([[-0.1, 0.2], weights[2:] * 0.9 / weights[2:].sum()]), "not negative"),
    ],
    ids=["sum", "not negative"],
)
def test_a_fault_in_attention_over_sessions_is_named(
    planted: Planted, ask: Any, module: str, change: Callable[[Any], Any], check: str
) -> None:
    planted.change(f"modules/{module}/chunk1_test", with_weights(change))
    assert (check, module, "attention") in found(ask("attention", planted.run))


def test_another_number_of_sessions_than_declared_is_named(planted: Planted, ask: Any) -> None:
    def shorter(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(attention=[np.asarray(one)[1:] / np.asarray(one)[1:].sum() for one in table["attention"]])

    planted.change("modules/technical/chunk1_test", shorter)
    assert ("slots", "technical", "attention") in found(ask("attention", planted.run))
    planted.json("manifest.json", lambda told: told["plan"]["modules"]["technical"].update(sessions=29))
    assert ("slots", "technical", "attention") not in {
        (one.check, one.module, one.column) for one in ask("attention", planted.run).findings if one.split == "test"
    }


def test_weight_on_a_session_without_data_is_named(planted: Planted, ask: Any) -> None:
    store = next((planted.own("artefacts") / "artefacts" / "market").iterdir())
    halted = np.load(store / "dates.npy") == np.datetime64("2019-07-01")
    assert halted.sum() == 1
    for name in INPUTS:
        path = store / f"column.{name}.npy"
        values = np.array(np.load(path))
        values[halted] = np.nan
        np.save(path, values)
    result = ask("attention", planted.run)
    assert found(result) == {("nothing on what is not there", "temporal_encoder", "attention")}
    assert "sessions ago, which was not there" in result.findings[0].detail or "today" in result.findings[0].detail


def test_weight_on_a_session_without_an_embedding_is_named(planted: Planted, ask: Any) -> None:
    manifest = json.loads((planted.own("artefacts") / "manifest.json").read_text())
    record = next(one for one in manifest["artefacts"]["modules"] if one["module"] == "temporal_encoder")
    digest = next(part["digest"] for part in record["parts"] if part["split"] == "test")
    for name, value in (("known", False), ("reason", 4)):
        path = planted.run / "artefacts" / "answers" / digest / f"{name}.npy"
        values = np.array(np.load(path))
        values[20] = value
        np.save(path, values)
    assert found(ask("attention", planted.run)) == {("nothing on what is not there", "technical", "attention")}


INPUTS = (
    *("log_return_1d", "vol_5d", "vol_21d", "rsi_14", "macd_hist", "bb_pos", "volume_ratio", "hl_ratio", "price_pos"),
    "spy_corr_63d",
)


def test_a_bare_table_is_asked_for_attention_over_risks(bare: Any, ask: Any) -> None:
    result = ask("attention", bare())
    assert result.findings == ()
    unasked = {one.check for one in result.checks if one.passed is None}
    assert unasked == {"nothing on what is not there", "attention over sessions"}
    broken = bare(lambda table: table.assign(risk_attention_volatility=0.7))
    assert "sum" in {one.check for one in ask("attention", broken).findings}
    lacking = ask("attention", bare(lambda table: table.drop(columns="risk_attention_regime")))
    assert lacking.status == "not applicable"
