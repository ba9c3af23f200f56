"""Entropy of attention against its closed form, and the two ways in which it says nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from glassbox_bt.audits.attention_weights import Attention
from glassbox_bt.audits.base import contents
from glassbox_bt.audits.entropy import entropies
from glassbox_bt.types import BoolArray, FloatArray
from tests.audits.planted import Planted

RISKS = ("volatility", "drawdown", "var_cvar", "contagion", "liquidity", "regime")
TABLE = "modules/quantitative/chunk1_test"


def attention(weights: FloatArray, available: BoolArray | None) -> Attention:
    rows = pd.DataFrame({"date": pd.Timestamp("2020-01-02"), "ticker": [f"S{i}" for i in range(len(weights))]})
    return Attention("quantitative", 1, "test", rows, weights, available, RISKS, len(RISKS))


def test_entropy_has_its_closed_form() -> None:
    weights = np.array(
        [[0.25, 0.25, 0.25, 0.25, 0.0, 0.0], [1.0, 0, 0, 0, 0, 0], [0.5, 0.5, 0, 0, 0, 0], [0.9, 0.1, 0, 0, 0, 0]]
    )
    there = np.array([[1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]], dtype=bool)
    normalised, effective = entropies(attention(weights, there))
    mixed = -(0.9 * np.log(0.9) + 0.1 * np.log(0.1))
    np.testing.assert_allclose(normalised, [1.0, 0.0, 0.5, mixed / np.log(6)], atol=1e-12)
    np.testing.assert_allclose(effective, [4.0, 1.0, 2.0, np.exp(mixed)], atol=1e-12)


def test_a_single_slot_has_no_normalised_entropy() -> None:
    normalised, effective = entropies(attention(np.array([[1.0, 0, 0, 0, 0, 0]]), np.array([[True] + [False] * 5])))
    assert np.isnan(normalised[0])
    assert effective[0] == 1.0


def spread(table: pd.DataFrame, leading: tuple[float, float, float]) -> pd.DataFrame:
    names = [f"risk_attention_{risk}" for risk in ("volatility", "var_cvar", "liquidity")]
    return table.assign(**dict(zip(names, leading, strict=True)))


@pytest.mark.parametrize(
    ("shares", "verdict", "status"),
    [
        ((0.6, 0.3, 0.1), "pass", None),
        ((0.999, 0.0005, 0.0005), "collapsed", "note"),
        ((1 / 3, 1 / 3, 1 / 3), "uninformative", "note"),
    ],
)
def test_attention_that_says_nothing_is_a_note(
    planted: Planted, ask: Any, shares: tuple[float, float, float], verdict: str, status: str | None
) -> None:
    planted.change(TABLE, lambda table: spread(table, shares))
    result = ask("entropy", planted.run, "quantitative", "position_sizing")
    of = [one for one in result.metrics if (one.module, one.split) == ("quantitative", "test")]
    assert of[0].verdict == verdict
    finding = [one for one in result.findings if (one.module, one.split) == ("quantitative", "test")]
    assert bool(finding) is (status == "note")
    assert not any(one.hard for one in result.findings)  # nothing here is a contradiction
    assert result.hard is False


def test_groups_are_in_the_details(run: Path, ask: Any) -> None:
    groups = contents(ask("entropy", run))["groups"]
    assert {one["group"] for one in groups} >= {"low risk", "middle risk", "high risk"}
    assert all(0.0 <= one["p05"] <= one["mean"] <= one["p95"] <= 1.0 for one in groups)


def test_a_bare_table_without_attention_is_not_asked(bare: Any, ask: Any) -> None:
    assert ask("entropy", bare()).asked
    assert ask("entropy", bare(lambda table: table.drop(columns="risk_attention_regime"))).status == "not applicable"
