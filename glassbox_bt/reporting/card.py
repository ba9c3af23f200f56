"""One decision of a finished run, retraced: five questions, answered from what the run recorded (spec §23).

The barrier is evaluated again on the recorded answers, and must come to the recorded decision; otherwise the record is not
the run's, and no card is made. Levels: L0 provenance, L1 drivers, L2 rules, L3 nearest change, L4 the decision as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from glassbox_bt.decision.barrier import BarrierResult, Rules, evaluate, inputs_from
from glassbox_bt.decision.trace import Flip, LedgerEntry, ledger, nearest_flip, trace_texts
from glassbox_bt.errors import ContractError, InputError
from glassbox_bt.types import Action, Reason, Signal

__all__ = ["DecisionCard", "decision_card"]

ATTENTION = "risk_attention_"
WORDS = {"final_recommendation": Action, "learned_recommendation": Action}


@dataclass(frozen=True, slots=True)
class DecisionCard:
    """Five questions and their answers; ``ledger`` and ``flip`` are levels L2 and L3 in full."""

    title: str
    questions: tuple[tuple[str, tuple[str, ...]], ...]
    ledger: tuple[LedgerEntry, ...]
    flip: Flip | None


def decision_card(run: Path, manifest: Mapping[str, Any], rules: Rules, ticker: str, date: str) -> DecisionCard:
    """The card of one name and day.

    Raises
    ------
    InputError
        If the run took no decision for this name on this day.
    ContractError
        If the recorded answers do not lead to the recorded decision.
    """
    decision = _decision(run, ticker, date)
    stem = f"chunk{decision['chunk']}_{decision['split']}"
    rows = _module_rows(run, stem, ticker, date)
    result = _retraced(decision, rows, rules)
    approved = _first(run / "portfolio" / "approved.parquet", ticker, date, decision)
    flip, entries = nearest_flip(result, 0), ledger(result, 0)
    questions = (
        ("What was decided?", _what(decision, approved)),
        ("Why?", _why(decision, rows, result)),
        ("Which risks mattered?", _risks(rows, decision)),
        ("Did a rule override?", _override(decision, entries, flip)),
        ("Can it be audited?", _audit(run, manifest, decision, rows)),
    )
    return DecisionCard(f"{ticker} on {date}, chunk {decision['chunk']}, {decision['split']}", questions, entries, flip)


def _decision(run: Path, ticker: str, date: str) -> dict[str, Any]:
    try:
        day = pd.Timestamp(date)
    except ValueError as wrong:
        raise InputError(f"{date!r} is no date. Write YYYY-MM-DD.") from wrong
    path = run / "decisions.parquet"
    found = pd.read_parquet(path, filters=[("ticker", "==", ticker), ("date", "==", day)])
    if found.empty:
        named = pd.read_parquet(path, columns=["ticker", "date"], filters=[("ticker", "==", ticker)])
        if named.empty:
            raise InputError(f"This run took no decision about `{ticker}`: no such name, or never a member of the universe.")
        first, last = named["date"].min(), named["date"].max()
        raise InputError(
            f"This run took no decision about `{ticker}` on {date}. It decided about it on {len(named)} days from "
            f"{first:%Y-%m-%d} to {last:%Y-%m-%d}, in validation and test."
        )
    return _row(found.sort_values("split"))  # "test" before "val" where chunks share a day


def _module_rows(run: Path, stem: str, ticker: str, date: str) -> dict[str, dict[str, Any]]:
    rows = {}
    for path in sorted((run / "modules").glob(f"*/{stem}.parquet")):
        found = pd.read_parquet(path, filters=[("ticker", "==", ticker), ("date", "==", pd.Timestamp(date))])
        if len(found):
            rows[path.parent.name] = _row(found)
    return rows


def _first(path: Path, ticker: str, date: str, decision: Mapping[str, Any]) -> dict[str, Any]:
    same = [("chunk", "==", decision["chunk"]), ("split", "==", decision["split"])]
    found = pd.read_parquet(path, filters=[("ticker", "==", ticker), ("date", "==", pd.Timestamp(date)), *same])
    return _row(found)


def _row(table: pd.DataFrame) -> dict[str, Any]:
    return {str(name): value for name, value in table.iloc[0].items()}


def _retraced(decision: Mapping[str, Any], rows: Mapping[str, Mapping[str, Any]], rules: Rules) -> BarrierResult:
    """The barrier on the recorded answers; whether the market could be traded shows in the recorded reasons."""
    signals = {name: _signal(name, row) for name, row in rows.items()}
    frozen = "not_tradable" in str(decision["rule_barrier_reasons"])
    held, tradable = np.array([float(decision["held_weight"])]), np.array([0.0 if frozen else 1.0])
    result = evaluate(inputs_from(signals, held, tradable), rules)
    action, size = Action(int(result.final_recommendation[0])).name, float(result.final_position_fraction[0])
    if action != decision["final_recommendation"] or size != decision["final_position_fraction"]:
        raise ContractError(
            f"The recorded answers lead to {action} {size}, but {decision['final_recommendation']} "
            f"{decision['final_position_fraction']} is recorded. The tables of this run were changed; run its plan again."
        )
    return result


def _signal(module: str, row: Mapping[str, Any]) -> Signal:
    numbers = {name: np.array([float(value)]) for name, value in row.items() if isinstance(value, float | int | np.number)}
    for name, words in WORDS.items():
        if isinstance(row.get(name), str):
            numbers[name] = np.array([float(words[row[name]])])
    known = np.array([bool(row["known"])])
    reason = np.array([Reason[str(row["reason"]).upper()]], dtype=np.int8)
    return Signal(module, np.datetime64(row["date"]), numbers, known, reason)


def _what(decision: Mapping[str, Any], approved: Mapping[str, Any]) -> tuple[str, ...]:
    why = str(approved["approval_reasons"]).replace("_", " ").replace("|", ", ")
    return (
        f"L4 {decision['final_recommendation']}: {_percent(decision['final_position_fraction'])} of equity permitted, "
        f"{_percent(decision['held_weight'])} held.",
        f"Approved: {_percent(approved['approved_fraction'])}" + (f" ({why})." if why else "."),
    )


def _why(decision: Mapping[str, Any], rows: Mapping[str, Mapping[str, Any]], result: BarrierResult) -> tuple[str, ...]:
    branches = ""
    if np.isfinite(decision["learned_quantitative_weight"]):
        branches = (
            f"L4 Branches: quantitative {decision['learned_quantitative_weight']:.2f}, "
            f"qualitative {decision['learned_qualitative_weight']:.2f}."
        )
    said = [f"L1 {name}: {rows[name]['xai_summary']}" for name in ("fusion", "quantitative", "technical") if name in rows]
    return tuple(line for line in (f"L4 {trace_texts(result)[0]}", branches, *said) if line)


def _risks(rows: Mapping[str, Mapping[str, Any]], decision: Mapping[str, Any]) -> tuple[str, ...]:
    weights = {name.removeprefix(ATTENTION): decision[name] for name in decision if name.startswith(ATTENTION)}
    ranked = sorted(((value, name) for name, value in weights.items() if np.isfinite(value)), reverse=True)
    shares = ", ".join(f"{name} {value:.2f}" for value, name in ranked) or "none, the quantitative analyst does not know"
    families = ("position_sizing", "volatility", "var", "cvar", "drawdown", "contagion", "liquidity", "regime")
    said = (f"L1 {name}: {rows[name]['xai_summary']}" for name in families if name in rows)
    return (f"L1 Attention to risks: {shares}.", *said)


def _override(decision: Mapping[str, Any], entries: tuple[LedgerEntry, ...], flip: Flip | None) -> tuple[str, ...]:
    changed = "Yes, a rule changed the action" if decision["rule_changed_action"] else "No, the learned action stands"
    fired = [
        f"L2 {one.rule_id} {one.code}: {_number(one.value)} against {_number(one.threshold)}; "
        f"cap {_percent(one.cap_before)} to {_percent(one.cap_after)}."
        for one in entries
        if one.fired
    ]
    nearest = "L3 No change of a single score leads to another action."
    if flip is not None:
        nearest = f"L3 {flip.action.name} if {flip.input} were {flip.changed_to:.6g} instead of {flip.value:.6g}."
    return (f"{changed}; the binding rule is {decision['binding_rule_id']}.", *fired, nearest)


def _audit(
    run: Path, manifest: Mapping[str, Any], decision: Mapping[str, Any], rows: Mapping[str, Mapping[str, Any]]
) -> tuple[str, ...]:
    stem = f"chunk{decision['chunk']}_{decision['split']}"
    files: Mapping[str, str] = manifest.get("files", {})
    names = ["decisions.parquet", *(f"modules/{name}/{stem}.parquet" for name in rows)]
    fits = {one["module"]: one["fits"][-1] for one in manifest["artefacts"]["modules"] if one["chunk"] == decision["chunk"]}
    return (
        f"L0 Plan {manifest['plan_digest'][:12]}, data {manifest['data_fingerprint'][:12]}, run {run.name}.",
        *(f"L0 {name} sha256 {files.get(name, 'not recorded')[:12]}" for name in names),
        f"L0 Fits: {json.dumps({name: fit['digest'][:12] for name, fit in fits.items()})}",
    )


def _percent(fraction: float) -> str:
    return f"{100.0 * fraction:.2f} %"


def _number(value: float) -> str:
    return "unknown" if np.isnan(value) else f"{value:.4g}"
