"""Decisions that rules do not explain, or that stored inputs do not lead to, are found; one planted fault per sub-check."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from glassbox_bt.audits.barrier_replay import emitted, said_action, trace_of
from glassbox_bt.decision.barrier import BarrierInputs, evaluate, reasons
from glassbox_bt.decision.rules import RULES, SUMMARY, Rules
from glassbox_bt.decision.trace import ledger
from glassbox_bt.types import Action
from tests.audits.planted import Planted, found

EPS = 1e-9
Change = Callable[[pd.DataFrame], pd.DataFrame]


def test_a_clean_run_replays(run: Path, ask: Any) -> None:
    result = ask("rule_trace", run)
    assert result.findings == ()
    assert result.status == "pass"
    asked = {one.check for one in result.asked}
    assert asked == {
        *(
            "codes",
            "(a) size",
            "(b) action",
            "(c) soundness",
            "(d) replay",
            "(e) no upgrade",
            "(f) upper bound",
            "(g) no rule",
        ),
    }


def first(table: pd.DataFrame, rows: Any) -> Any:
    """The first test row that a condition picks, as a mask."""
    chosen = np.flatnonzero(np.asarray(rows, dtype=bool) & (table["split"] == "test").to_numpy())
    assert len(chosen), "the fault was planted nowhere"
    return np.arange(len(table)) == chosen[0]


def put(column: str, value: Any, rows: Callable[[pd.DataFrame], Any]) -> Change:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        chosen = first(table, rows(table))
        values = table[column].astype(object) if isinstance(value, str) else table[column].copy()
        values[chosen] = value
        return table.assign(**{column: values})

    return change


def reduced(table: pd.DataFrame) -> Any:
    return table["final_position_fraction"] < table["recommended_capital_fraction"] - EPS


def without(code: str, rows: Callable[[pd.DataFrame], Any]) -> Change:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        codes = table["rule_barrier_reasons"]
        chosen = first(table, rows(table) & codes.str.contains(code, regex=False))
        left = codes.map(lambda text: "|".join(one for one in text.split("|") if one != code))
        return table.assign(rule_barrier_reasons=codes.where(~chosen, left))

    return change


def more(code: str) -> Change:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        codes = table["rule_barrier_reasons"]
        chosen = first(table, ~codes.str.contains(code, regex=False))
        return table.assign(rule_barrier_reasons=codes.where(~chosen, codes + f"|{code}"))

    return change


def upgraded(table: pd.DataFrame) -> pd.DataFrame:
    """As upstream's fault D-FUS-02, by which rules turn HOLD into BUY when the numbers look good."""
    chosen = first(table, table["learned_recommendation"] != "BUY")
    return table.assign(final_recommendation=table["final_recommendation"].astype(object).where(~chosen, "BUY"))


FAULTS: dict[str, tuple[Change, tuple[str, str]]] = {
    "a reduced size without a code": (
        put("rule_barrier_reasons", "no_rule_override", reduced),
        ("(a) size", "final_position_fraction"),
    ),
    "a changed action without its flag": (
        put("rule_changed_action", 0, lambda t: t["rule_changed_action"] == 1),
        ("(b) action", "rule_changed_action"),
    ),
    "a flag without a changed action": (
        put("rule_changed_action", 1, lambda t: t["rule_changed_action"] == 0),
        ("(b) action", "rule_changed_action"),
    ),
    "a changed action without its code": (
        without("action_changed_by_rule_barrier", lambda t: t["rule_changed_action"] == 1),
        ("(b) action", "rule_barrier_reasons"),
    ),
    "codes that lead to another action": (more("sell_signal"), ("(b) action", "final_recommendation")),
    "a code that does not follow": (more("low_liquidity_block"), ("(c) soundness", "low_liquidity_block")),
    "a summary code that does not follow": (more("exit_blocked"), ("(c) soundness", "exit_blocked")),
    "another action than the inputs give": (
        put("final_recommendation", "HOLD", lambda t: t["final_recommendation"] == "BUY"),
        ("(d) replay", "final_recommendation"),
    ),
    "a size off by a millionth": (
        put("final_position_fraction", 0.030001, lambda t: t["final_position_fraction"] > 0.02),
        ("(d) replay", "final_position_fraction"),
    ),
    "a weight in hand that was another": (
        put(
            "held_weight",
            0.2,
            lambda t: (
                (t["final_recommendation"] == "BUY") & (t["final_position_fraction"] < t["user_rule_cap_fraction"] - 0.001)
            ),
        ),
        ("(d) replay", "final_position_fraction"),
    ),
    "another cap": (
        put("user_rule_cap_fraction", 0.0123, lambda t: t["user_rule_cap_fraction"] > 0.02),
        ("(d) replay", "user_rule_cap_fraction"),
    ),
    "another binding rule": (put("binding_rule_id", "RB-04", lambda t: t["chunk"] == 1), ("(d) replay", "binding_rule_id")),
    "an upgrade": (upgraded, ("(e) no upgrade", "final_recommendation")),
    "a SELL that was softened": (
        put(
            "final_recommendation",
            "HOLD",
            lambda t: (t["learned_recommendation"] == "SELL") & (t["final_recommendation"] == "SELL"),
        ),
        ("(e) no upgrade", "learned_recommendation"),
    ),
    "a blocked exit that is none": (
        put("exit_blocked", 1, lambda t: t["exit_blocked"] == 0),
        ("(e) no upgrade", "exit_blocked"),
    ),
    "no known action": (
        put("final_recommendation", "SHORT", lambda t: t["chunk"] == 1),
        ("(e) no upgrade", "final_recommendation"),
    ),
    "a size above the recommendation": (
        put("recommended_capital_fraction", 0.001, lambda t: t["final_position_fraction"] > 0.02),
        ("(f) upper bound", "recommended_capital_fraction"),
    ),
    "a size above the cap": (
        put("user_rule_cap_fraction", 0.001, lambda t: t["final_position_fraction"] > 0.02),
        ("(f) upper bound", "user_rule_cap_fraction"),
    ),
    "a size above the largest exposure": (
        put("final_position_fraction", 0.9, lambda t: t["chunk"] == 1),
        ("(f) upper bound", "max_single_stock_exposure"),
    ),
    "no rule beside rules": (more("no_rule_override"), ("(g) no rule", "rule_barrier_reasons")),
    "neither a rule nor none": (
        put("rule_barrier_reasons", "", lambda t: t["chunk"] == 1),
        ("(g) no rule", "rule_barrier_reasons"),
    ),
    "a code that no rule has": (more("gut_feeling"), ("codes", "rule_barrier_reasons")),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_named(planted: Planted, ask: Any, fault: str) -> None:
    change, (check, column) = FAULTS[fault]
    result = ask("rule_trace", planted.change("decisions", change))
    assert (check, "decisions", column) in found(result)
    assert result.status == "FAIL"


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("modules/fusion/chunk1_test", "learned_fusion_signal", 0.179999),
        ("modules/position_sizing/chunk1_test", "recommended_capital_fraction", 0.0456),
        ("modules/liquidity/chunk1_test", "liquidity_score", 0.29),
    ],
)
def test_another_input_than_was_decided_on_is_found(
    planted: Planted, ask: Any, table: str, column: str, value: float
) -> None:
    planted.set(table, column, value, rows=lambda content: content["known"])
    assert "(d) replay" in {one.check for one in ask("rule_trace", planted.run).findings}


def test_answers_that_cannot_be_put_to_the_barrier_are_found(planted: Planted, ask: Any) -> None:
    planted.set("modules/fusion/chunk1_test", "learned_fusion_signal", np.nan)
    assert ("(d) replay", "decisions", "inputs") in found(ask("rule_trace", planted.run))


def test_a_table_without_its_codes_is_not_traced(planted: Planted, ask: Any) -> None:
    planted.change("decisions", lambda table: table.drop(columns="rule_barrier_reasons"))
    assert ("columns", "decisions", "rule_barrier_reasons") in found(ask("rule_trace", planted.run))


def test_decisions_that_rest_on_something_else_are_not_asked(planted: Planted, ask: Any) -> None:
    planted.json("manifest.json", lambda told: told["plan"].update(policy="sizing_only"))
    for name in ("rule_trace", "completeness"):
        result = ask(name, planted.run)
        assert result.status == "not applicable"
        assert "sizing_only" in result.reason


def rows(n: int, seed: int) -> BarrierInputs:
    """Inputs at and around every threshold, families silent now and then, weights in hand."""
    rng = np.random.default_rng(seed)
    known = {f"{name}_known": rng.random(n) < 0.85 for name in ("fusion", "quantitative", "position_sizing", "liquidity")}
    known |= {f"{name}_known": rng.random(n) < 0.85 for name in ("tail", "volatility", "drawdown", "contagion", "regime")}

    def drawn(values: tuple[float, ...], family: str) -> Any:
        return np.where(known[f"{family}_known"], rng.choice(values, n), np.nan)

    return BarrierInputs(
        learned_recommendation=drawn((0.0, 1.0, 2.0), "fusion"),
        learned_fusion_signal=drawn((-0.6, -0.25, -0.250001, 0.0, 0.18, 0.179999, 0.9), "fusion"),
        learned_fusion_risk_score=drawn((0.1, 0.85, 0.849999, 0.92, 0.99), "fusion"),
        learned_fusion_confidence=drawn((0.2, 0.35, 0.349999, 0.8), "fusion"),
        learned_position_multiplier=drawn((0.0, 0.3, 0.7, 1.0), "fusion"),
        recommended_capital_fraction=drawn((0.0, 0.02, 0.05, 0.1), "position_sizing"),
        max_single_stock_exposure=drawn((0.1,), "position_sizing"),
        quantitative_risk_score=drawn((0.2, 0.86), "quantitative"),
        liquidity_score=drawn((0.2, 0.3, 0.9), "liquidity"),
        tradable=drawn((0.0, 1.0, 1.0, 1.0), "liquidity"),
        drawdown_risk_score=drawn((0.2, 0.8, 0.9), "drawdown"),
        contagion_risk_score=np.where(known["position_sizing_known"], rng.choice((0.1, 0.95), n), np.nan),
        prob_crisis=drawn((0.1, 0.5, 0.9), "regime"),
        regime_is_crisis=drawn((0.0, 0.0, 1.0), "regime"),
        held_weight=rng.choice((0.0, 0.0, 0.03, 0.08, 0.2), n),
        **known,
    )


@pytest.mark.parametrize("rules", [Rules(), Rules(allow_buy_in_crisis=False), Rules(disabled=("RB-04", "RB-09"))], ids=str)
def test_the_trace_of_many_rows_is_the_ledger_of_each(rules: Rules) -> None:
    result = evaluate(rows(400, 3), rules)
    trace, told = trace_of(result), emitted(pd.Series(reasons(result)), rules)
    np.testing.assert_array_equal(told.fired, result.fired)
    for bit, code in enumerate(SUMMARY):
        np.testing.assert_array_equal(told.said(code), (result.summary >> bit & 1).astype(bool))
    np.testing.assert_array_equal(said_action(result.learned_action, told, rules), result.final_recommendation)
    for row in range(400):
        for i, entry in enumerate(ledger(result, row)):
            assert entry.rule_id == RULES[i].id
            assert (entry.cap_before, entry.cap_after) == (trace.cap_before[i, row], trace.cap_after[i, row])
            assert (entry.size_before, entry.size_after) == (trace.size_before[i, row], trace.size_after[i, row])
            assert (entry.action_before, entry.action_after) == (
                Action(int(trace.action_before[i, row])),
                Action(int(trace.action_after[i, row])),
            )


def test_a_clean_bare_table_passes_and_says_what_it_was_not_asked(bare: Any, ask: Any) -> None:
    result = ask("rule_trace", bare())
    assert result.findings == ()
    assert result.facts["thresholds"] == "of the specification, because a bare table names none"
    unasked = {(one.check, one.column) for one in result.checks if one.passed is None}
    assert ("(d) replay", "all") in unasked
    assert ("(c) soundness", "data_missing_cap") in unasked
    assert ("(f) upper bound: largest exposure", "max_single_stock_exposure") in unasked


BARE = [
    "a reduced size without a code",
    "a changed action without its flag",
    "codes that lead to another action",
    "an upgrade",
    "a size above the recommendation",
    "a size above the cap",
    "no rule beside rules",
    "a code that no rule has",
]


@pytest.mark.parametrize("fault", BARE)
def test_a_planted_fault_in_a_bare_table_is_named(bare: Any, ask: Any, fault: str) -> None:
    change, (check, column) = FAULTS[fault]
    assert (check, "decisions", column) in found(ask("rule_trace", bare(change)))


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("drawdown_risk_score", 0.8, ("(c) soundness: code missing", "high_drawdown_cap")),
        ("contagion_risk_score", 0.9, ("(c) soundness: code missing", "high_contagion_cap_or_veto")),
        ("quantitative_risk_score", 0.999, ("(c) soundness: code missing", "high_quantitative_risk_cap_or_veto")),
        ("liquidity_score", 0.299, ("(c) soundness: code missing", "low_liquidity_block")),
        ("tradable", 0.0, ("(c) soundness: code missing", "not_tradable")),
        ("regime_label", "crisis", ("(c) soundness: code missing", "crisis_cap_0.05")),
    ],
)
def test_a_bare_table_whose_numbers_ask_for_a_rule_must_carry_it(
    bare: Any, ask: Any, column: str, value: Any, expected: tuple[str, str]
) -> None:
    calm = lambda t: (t[column] != value) & (t["learned_fusion_risk_score"] < 0.85) & (t["liquidity_score"] >= 0.3)  # noqa: E731
    result = ask("rule_trace", bare(put(column, value, calm)))
    assert expected in {(one.check, one.column) for one in result.findings}


@pytest.mark.parametrize(
    "code", ["high_drawdown_cap", "sell_signal", "severe_risk_sell", "weak_buy_downgrade", "low_liquidity_block"]
)
def test_a_bare_table_may_carry_no_rule_that_its_numbers_do_not_ask_for(bare: Any, ask: Any, code: str) -> None:
    assert ("(c) soundness", "decisions", code) in found(ask("rule_trace", bare(more(code))))


def test_a_table_in_upstreams_columns_alone_is_asked_less(bare: Any, ask: Any) -> None:
    result = ask("rule_trace", bare(lambda table: table.drop(columns=["held_weight", "exit_blocked", "target_weight"])))
    assert result.findings == ()
    unasked = {(one.check, one.column) for one in result.checks if one.passed is None}
    assert {("(e) no upgrade: exit blocked", "exit_blocked"), ("(c) soundness", "sizing_upper_bound")} <= unasked
