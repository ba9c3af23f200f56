"""Ledgers with a gap, and codes that do not follow, lower the two shares and are named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.audits.planted import Planted, found
from tests.audits.test_rule_trace import more, put, reduced, without


def shares(result: Any) -> dict[str, float]:
    return {f"{one.metric}, {one.split}": one.value for one in result.metrics}


def test_a_clean_run_is_complete_and_precise(run: Path, ask: Any) -> None:
    result = ask("completeness", run)
    assert result.status == "pass"
    assert set(shares(result).values()) == {1.0}
    assert result.facts["overruled"] > 100


@pytest.mark.parametrize(
    "change",
    [
        without("sell_to_zero", lambda t: t["held_weight"] > 0.0),  # the rule that moved the size
        put("learned_recommendation", "SELL", lambda t: t["final_recommendation"] == "BUY"),  # the start
        put("final_position_fraction", 0.0, lambda t: reduced(t) & (t["final_position_fraction"] > 0.0)),  # the end
        put("pre_rule_learned_position_fraction", 0.0999, reduced),
        put(
            "rule_barrier_reasons", "hunch", lambda t: t["rule_changed_action"] == 1
        ),  # a code that the registry does not know
    ],
    ids=["a rule is not recorded", "it starts elsewhere", "it ends elsewhere", "another learned size", "an unknown code"],
)
def test_a_gap_is_named(planted: Planted, ask: Any, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    result = ask("completeness", planted.change("decisions", change))
    assert ("rule-trace completeness", "decisions", "rule_barrier_reasons") in found(result)
    assert shares(result)["rule-trace completeness, test"] < 1.0
    assert shares(result)["rule-trace completeness, val"] == 1.0
    assert result.status == "FAIL"


@pytest.mark.parametrize("code", ["low_liquidity_block", "exit_blocked", "hunch"])
def test_a_code_that_does_not_follow_is_named(planted: Planted, ask: Any, code: str) -> None:
    result = ask("completeness", planted.change("decisions", more(code)))
    assert ("rule-trace precision", "decisions", "rule_barrier_reasons") in found(result)
    assert shares(result)["rule-trace precision, test"] < 1.0


def test_answers_without_a_ledger_are_a_finding(planted: Planted, ask: Any) -> None:
    planted.set("modules/fusion/chunk1_test", "learned_fusion_signal", float("nan"))
    assert ("rule-trace completeness", "decisions", "inputs") in found(ask("completeness", planted.run))


def test_a_bare_table_has_no_ledger(bare: Any, ask: Any) -> None:
    result = ask("completeness", bare())
    assert result.status == "not applicable"
    assert result.reason.startswith("needs a run folder")
