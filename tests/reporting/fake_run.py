"""A small, plausible run folder made from seeded noise, with the files that a finished run has.

``python -m tests.reporting.fake_run DIR`` writes one to look at. The numbers mean nothing.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.reporting import fake_risk
from tests.reporting import fake_statistics as fake

CAPITAL = 1_000_000.0
RIVALS = (
    "cash",
    "buy_and_hold",
    "monthly_1n",
    "momentum_12_1",
    "inverse_volatility",
    "sizing_only",
    "formula_only",
    "benchmark",
)
STRATEGIES = ("glassbox", *RIVALS)
TICKERS = ("AAPL", "AMD", "BAC", "BBY", "CVX", "GE", "HD", "JNJ", "JPM", "KO", "LLY", "MRK")
YEARS = ((2000, 2004, 2005, 2006), (2007, 2014, 2015, 2016), (2017, 2020, 2021, 2022))
RULES = ("high_quantitative_risk_cap_or_veto", "weak_buy_downgrade", "data_missing_cap")
SILENT = ("text_encoder", "sentiment", "news", "qualitative")


@dataclass(frozen=True)
class FakeRun:
    """What may differ between fake runs."""

    sessions: int = 252
    seed: int = 11
    n_chunks: int = 3
    has_opens: bool = False
    has_volume: bool = False
    reduced: bool = True
    degenerate: bool = False
    has_assumptions: bool = True
    has_statistics: bool = True
    has_ablations: bool = True
    has_audits: bool = True
    has_risk: bool = True


def write_fake_run(folder: Path, how: FakeRun | None = None) -> Path:
    """Write a run folder into ``folder`` and return it."""
    how = how or FakeRun()
    rng = np.random.default_rng(how.seed)
    (folder / "portfolio").mkdir(parents=True)
    books = [_book(rng, how, chunk, split) for chunk in range(1, how.n_chunks + 1) for split in ("val", "test")]
    for name in ("equity", "weights", "orders", "approved"):
        table = pd.concat([book[name] for book in books], ignore_index=True)
        table.to_parquet(folder / "portfolio" / f"{name}.parquet", index=False)
    decisions = pd.concat([book["decisions"] for book in books], ignore_index=True)
    decisions.to_parquet(folder / "decisions.parquet", index=False)
    metrics = {
        "strategies": [row for book in books for row in book["metrics"]],
        "learned": fake.learned(rng, how.n_chunks, how.sessions),
    }
    drawn = np.random.default_rng(how.seed + 1)
    if how.has_statistics:
        metrics |= fake.statistics(drawn, metrics["strategies"], how.n_chunks)
    if how.has_ablations:
        _write_ablations(folder, drawn, how, metrics)
    if how.has_risk:
        days = {chunk: _days(how, chunk, "test") for chunk in range(1, how.n_chunks + 1)}
        risk = fake_risk.write_risk(folder, np.random.default_rng(how.seed + 2), days, TICKERS)
        metrics |= risk if how.has_statistics else {}
    if how.has_audits:
        (folder / "audits").mkdir()
        _write_json(folder / "audits" / "summary.json", fake.audits())
    _write_json(folder / "metrics.json", metrics)
    _write_json(folder / "manifest.json", _manifest(how, decisions))
    return folder


def _write_ablations(folder: Path, rng: np.random.Generator, how: FakeRun, metrics: dict[str, Any]) -> None:
    (folder / "ablations").mkdir()
    variants = fake.variants(rng)
    _write_json(folder / "ablations" / "variants.json", variants)
    if how.has_statistics:
        table = fake.results(rng, variants, how.n_chunks)
        table.to_parquet(folder / "ablations" / "results.parquet", index=False)
        metrics["verdicts"] += fake.ablation_verdicts(table, variants)


def _book(rng: np.random.Generator, how: FakeRun, chunk: int, split: str) -> dict[str, Any]:
    days = _days(how, chunk, split)
    returns = _asset_returns(rng, len(days))
    equity, weights, rows = [], [], []
    for strategy in STRATEGIES:
        weight = _weights(rng, strategy, len(days))
        frame = _equity(days, weight, returns, strategy)
        equity.append(frame.assign(chunk=chunk, split=split, strategy=strategy))
        day, name = np.nonzero(weight)
        weights.append(
            pd.DataFrame({"date": days[day], "ticker": np.array(TICKERS)[name], "weight": weight[day, name]}).assign(
                chunk=chunk, split=split, strategy=strategy
            )
        )
        rows.append(_metric_row(frame, strategy, chunk, split, how))
    stack = weights[0]
    decisions = _decisions(rng, days, stack).assign(chunk=chunk, split=split)
    return {
        "equity": pd.concat(equity, ignore_index=True),
        "weights": pd.concat(weights, ignore_index=True),
        "orders": _orders(stack, days).assign(chunk=chunk, split=split, strategy="glassbox"),
        "approved": _approved(decisions),
        "decisions": decisions,
        "metrics": rows,
    }


def _days(how: FakeRun, chunk: int, split: str) -> np.ndarray[Any, np.dtype[np.datetime64]]:
    year = YEARS[chunk - 1][2 if split == "val" else 3]
    return pd.bdate_range(f"{year}-01-03", periods=how.sessions).to_numpy(dtype="datetime64[us]")


def _asset_returns(rng: np.random.Generator, n_days: int) -> np.ndarray[Any, Any]:
    market = rng.normal(0.0003, 0.009, (n_days, 1))
    return np.asarray(market + rng.normal(0.0001, 0.012, (n_days, len(TICKERS))))


def _weights(rng: np.random.Generator, strategy: str, n_days: int) -> np.ndarray[Any, Any]:
    n = len(TICKERS)
    if strategy == "cash":
        return np.zeros((n_days, n))
    if strategy in ("glassbox", "sizing_only", "formula_only"):
        steps = rng.choice([0.0, 0.02, 0.04, 0.06, 0.08, 0.1], size=(n_days // 10 + 1, n))
        held = np.repeat(steps, 10, axis=0)[:n_days] * rng.uniform(0.9, 1.0, (n_days, n))
        return np.asarray(held / np.maximum(1.0, held.sum(axis=1, keepdims=True)))
    if strategy == "benchmark":
        weight = np.zeros((n_days, n))
        weight[1:, 0] = 1.0
        return weight
    weight = np.full((n_days, n), 0.999 / n) * rng.uniform(0.8, 1.0, (1, n))
    weight[0] = 0.0
    return weight


def _equity(
    days: np.ndarray[Any, Any], weight: np.ndarray[Any, Any], returns: np.ndarray[Any, Any], strategy: str
) -> pd.DataFrame:
    gross = (weight * returns).sum(axis=1)
    traded_share = np.abs(np.diff(weight, axis=0, prepend=0.0)).sum(axis=1)
    costs_share = 0.0006 * traded_share
    equity = CAPITAL * np.cumprod(1.0 + (0.0 if strategy == "cash" else gross - costs_share))
    equity = np.broadcast_to(equity, (len(days),)).copy()
    exposure = weight.sum(axis=1)
    return pd.DataFrame(
        {
            "date": days,
            "equity": equity,
            "cash": equity * (1.0 - exposure),
            "exposure": exposure,
            "traded": traded_share * equity,
            "costs": costs_share * equity,
        }
    )


def _metric_row(frame: pd.DataFrame, strategy: str, chunk: int, split: str, how: FakeRun) -> dict[str, Any]:
    equity = frame["equity"].to_numpy()
    daily = equity / np.concatenate([[CAPITAL], equity[:-1]]) - 1.0
    wealth = np.concatenate([[CAPITAL], equity])
    volatility = float(daily.std(ddof=1) * np.sqrt(252))
    annual = float((equity[-1] / CAPITAL) ** (252 / len(equity)) - 1.0)
    drawdown = float((wealth / np.maximum.accumulate(wealth) - 1.0).min())
    risky = strategy != "cash"
    row: dict[str, Any] = {
        "strategy": strategy,
        "chunk": chunk,
        "split": split,
        "selection": int(split != "test"),
        "annual_return": annual,
        "volatility": volatility,
        "sharpe": float(daily.mean() * 252 / volatility) if risky else None,
        "sortino": float(daily.mean() * 252 / (daily[daily < 0].std() * 16)) if risky else None,
        "max_drawdown": drawdown,
        "calmar": annual / -drawdown if risky else None,
        "cvar_95": float(np.sort(daily)[: max(1, len(daily) // 20)].mean()),
        "turnover": float((frame["traded"] / frame["equity"]).sum() / 2 * 252 / len(frame)),
        "cost_share": float(frame["costs"].sum() / CAPITAL),
        "exposure": float(frame["exposure"].mean()),
        "n_trades": int((frame["traded"] > 0).sum()),
        "hit_rate": float((daily > 0).mean()) if risky else None,
        "unfilled": 3 if risky else 0,
    }
    if strategy == "glassbox":
        buy = 0.004 if how.degenerate else 0.21
        row |= {"buy_rate": buy, "hold_rate": 0.97 - buy, "sell_rate": 0.03}
        row["degenerate"] = how.degenerate
    return row


def _decisions(rng: np.random.Generator, days: np.ndarray[Any, Any], stack: pd.DataFrame) -> pd.DataFrame:
    grid = pd.MultiIndex.from_product([days, TICKERS], names=["date", "ticker"])
    table = stack.set_index(["date", "ticker"])["weight"].reindex(grid).fillna(0.0).reset_index()
    n = len(table)
    recommended = np.maximum(table["weight"], rng.choice([0.05, 0.075, 0.1], n))
    cap = np.maximum(table["weight"], rng.choice([0.03, 0.05, 0.1], n))
    code = rng.integers(0, len(RULES), n)
    capped = cap < recommended
    action = np.where(table["weight"] > 0.03, "BUY", np.where(rng.random(n) < 0.05, "SELL", "HOLD"))
    table["final_recommendation"] = action
    table["learned_recommendation"] = np.where(rng.random(n) < 0.1, "BUY", action)
    table["final_position_fraction"] = table["weight"]
    table["learned_position_multiplier"] = np.round(table["weight"] / recommended, 6)
    table["pre_rule_learned_position_fraction"] = np.minimum(recommended, table["weight"] * 1.1)
    table["recommended_capital_fraction"] = recommended
    table["user_rule_cap_fraction"] = cap
    table["learned_fusion_signal"] = rng.uniform(-1, 1, n)
    table["learned_fusion_risk_score"] = rng.uniform(0, 1, n)
    table["learned_fusion_confidence"] = rng.uniform(0.3, 0.7, n)
    table["rule_changed_action"] = (table["learned_recommendation"] != action).astype(int)
    table["binding_rule_id"] = np.where(capped, np.char.add("RB-", np.char.zfill((code + 3).astype(str), 2)), "none")
    table["rule_barrier_reasons"] = np.where(
        capped, np.array(RULES)[code] + "|position_reduced_by_rule_barrier", "no_rule_override"
    )
    table["fusion_xai_summary"] = [
        f"{act} {ticker}: the quantitative branch leaned on volatility as its main risk; sizing recommended "
        f"{100 * size:.1f} percent of equity and {'a rule cut it to' if cut else 'no rule cut it below'} "
        f"{100 * limit:.1f} percent."
        for act, ticker, size, limit, cut in zip(action, table["ticker"], recommended, cap, capped, strict=True)
    ]
    return table.drop(columns="weight")


def _orders(stack: pd.DataFrame, days: np.ndarray[Any, Any]) -> pd.DataFrame:
    wide = stack.pivot(index="date", columns="ticker", values="weight").reindex(days).fillna(0.0)
    change = wide.diff().fillna(wide)
    change = change.where(change.abs() > 0.0025, 0.0)
    rows = change.reset_index().melt("date", value_name="change").sort_values(["date", "ticker"])
    rows = rows[(rows["change"] != 0.0) & (rows["date"] > days[0])]
    value = rows["change"].abs() * CAPITAL
    place = np.searchsorted(days, rows["date"].to_numpy())
    return pd.DataFrame(
        {
            "decided_on": days[place - 1],
            "filled_on": rows["date"],
            "ticker": rows["ticker"],
            "side": np.where(rows["change"] > 0, "buy", "sell"),
            "ordered_shares": value / 50.0,
            "filled_shares": value / 50.0,
            "price": 50.0,
            "commission": value * 1e-4,
            "spread": value * 5e-4,
            "impact": 0.0,
            "code": "filled",
        }
    ).reset_index(drop=True)


def _approved(decisions: pd.DataFrame) -> pd.DataFrame:
    wanted = decisions[decisions["final_position_fraction"] > 0.0]
    return pd.DataFrame(
        {
            "chunk": wanted["chunk"],
            "split": wanted["split"],
            "date": wanted["date"],
            "ticker": wanted["ticker"],
            "approved": "1",
            "approved_action": wanted["final_recommendation"],
            "approved_fraction": wanted["final_position_fraction"],
            "requested_fraction": wanted["final_position_fraction"],
            "approval_reasons": np.where(wanted["final_position_fraction"] > 0.09, "turnover_cap", ""),
            "rule_barrier_trace": wanted["rule_barrier_reasons"],
        }
    )


def _manifest(how: FakeRun, decisions: pd.DataFrame) -> dict[str, Any]:
    plan = {
        "name": "quickstart",
        "seed": 7,
        "costs": {"commission_bps": 1.0, "half_spread_bps": 5.0, "impact": 0.1, "min_trade": 0.0025, "capital": CAPITAL},
        "rules": {"crisis_prob": 0.5},
        "selection": {"variant": "validation", "calibration": "validation"},
    }
    assumptions: Mapping[str, Any] = (
        {"liquidity": {"score": 0.8, "tradable": 1.0, "half_spread_bps": 5.0}} if how.has_assumptions else {}
    )
    return {
        "name": "quickstart",
        "title": "Quickstart: twenty large US stocks",
        "question": "Does the stack earn more per unit of risk than holding the 20 names in equal weights?",
        "status": "complete",
        "plan": plan,
        "plan_digest": hashlib.sha256(json.dumps(plan).encode()).hexdigest(),
        "code_digest": {"strategies.full_stack": hashlib.sha256(b"code").hexdigest()},
        "data_fingerprint": "35366e2b5ead5d5fd7ae2066fe5b9ad808aa080a",
        "device": "cpu",
        "libraries": {"numpy": "2.4.6"},
        "market": _market(how),
        "chunks": _chunks(how, decisions),
        "silent_modules": list(SILENT),
        "assumptions": assumptions,
        "reduced": how.reduced,
        "versions": {"python": "3.11.9", "numpy": "2.4.6", "torch": "2.13.0", "pandas": "3.1.1"},
        "seeds": {"plan": 7},
        "timings": [
            {"stage": stage, "chunk": chunk, "seconds": seconds, "cached": False}
            for chunk in range(1, how.n_chunks + 1)
            for stage, seconds in (("temporal_encoder", 21.4), ("technical", 9.2), ("fusion", 1.1), ("backtest", 3.8))
        ]
        + [{"stage": "walk forward", "chunk": None, "seconds": 106.5, "cached": False}],
        "peak_memory_mb": 1432.0,
        "created_at": "2026-01-02T03:04:05+00:00",
        "artefacts": {"fusion/chunk1": "ab" * 32},
        "test_label_reads": 1,
        "warnings": ["RRC: 13 % of daily returns are exactly zero."],
    }


def _market(how: FakeRun) -> dict[str, Any]:
    return {
        "name": "sp500",
        "card": [
            "Twenty S&P 500 companies that still existed in 2022: survivors only.",
            "Adjusted closes without opens, highs, lows and volume; no text and no sectors.",
            "Closes are rounded to 3 decimals in early years.",
        ],
        "price_basis": "total_return",
        "returns": "total return",
        "has_opens": how.has_opens,
        "has_volume": how.has_volume,
        "benchmark": "SP500",
        "first_session": "1996-01-02",
        "last_session": "2022-12-28",
        "survivorship": "No name of 20 stops trading within the data: survivors only.",
        "booked_out": {"listings": 0, "assumed": 0},
        "universe": {"rule": "252 bars in the last 504 sessions, set monthly", "size": None, "membership_table": False},
        "n_names": 20,
        "n_sessions": 6797,
        "n_filled_cells": 14,
        "filled_share": 14 / (20 * 6797),
        "licence": "BSD-3-Clause (skfolio)",
        "flags": {"bars": 142716, "names_without_prices": {}, "sessions_without_any_bar": []},
    }


def _chunks(how: FakeRun, decisions: pd.DataFrame) -> list[dict[str, Any]]:
    chunks = []
    for number, (first, last, val, _) in enumerate(YEARS[: how.n_chunks], start=1):
        days = decisions[(decisions["chunk"] == number) & (decisions["split"] == "test")]["date"]
        chunks.append(
            {
                "chunk": number,
                "train": [f"{first}-01-03", f"{last}-12-31"],
                "validation": [f"{val}-01-03", f"{val}-12-30"],
                "test": [f"{days.min():%Y-%m-%d}", f"{days.max():%Y-%m-%d}"],
                "n_members_mean": 11.7,
            }
        )
    return chunks


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1, sort_keys=True, allow_nan=False), encoding="utf-8")


if __name__ == "__main__":
    write_fake_run(Path(sys.argv[1]))
