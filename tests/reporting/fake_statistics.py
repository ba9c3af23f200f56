"""Statistics, ablations and audits of a fake run: plausible numbers from seeded noise, some of every kind."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

LEVEL, SMALLEST_EFFECT, N_TRIALS = 0.95, 0.5, 41
MEASURES = ("sharpe", "annual_return", "volatility", "max_drawdown", "turnover", "exposure")
WITHHELD = "the deepest fall of one path says too little about that of another"
VARIANTS = (
    ("modules", "silent", "technical", "What does the technical analyst add?"),
    ("modules", "silent", "volatility", "What does the volatility model add?"),
    ("modules", "silent", "var", "What does the value at risk add?"),
    ("modules", "silent", "position_sizing", "What does position sizing add?"),
    ("modules", "silent", "quantitative", "What does the quantitative analyst add?"),
    ("modules", "silent", "fusion", "What does fusion add?"),
    ("rules", "rule", "RB-02", "What does the crisis cap add?"),
    ("rules", "rule", "RB-05", "What does the cap at high quantitative risk add?"),
    ("rules", "rule", "RB-09", "What does the downgrade of weak buys add?"),
    ("execution", "lag", "decisions", "Does the result survive decisions that are one session late?"),
)
WITHOUT_EFFECT = "RB-02"
SIGNALS = (
    ("technical", "trend_score"),
    ("quantitative", "risk_adjusted_quantitative_signal"),
    ("fusion", "learned_fusion_signal"),
)
OUTCOMES = (("forward_log_return_20d", 20), ("forward_log_return_5d", 5))
CONFIDENCES = (
    ("quantitative", "quantitative_risk_prob", "the close falls five per cent or more below its peak within ten sessions"),
    ("fusion", "learned_fusion_risk_prob", "the close falls five per cent or more below its peak within ten sessions"),
    ("fusion", "learned_buy_prob", "the return over twenty sessions falls into the highest tercile of train"),
)

Row = dict[str, Any]


def statistics(rng: np.random.Generator, strategies: Sequence[Row], n_chunks: int) -> dict[str, Any]:
    """The keys of ``metrics.json`` beside ``strategies`` and ``learned``."""
    test = [row for row in strategies if row["split"] == "test"]
    names = list(dict.fromkeys(row["strategy"] for row in test))
    chunks = range(n_chunks + 1)
    pooled = [_pooled(name, [row for row in test if row["strategy"] == name]) for name in names]
    by_chunk = {(row["strategy"], row["chunk"]): row for row in test} | {(row["strategy"], 0): row for row in pooled}
    rivals = [name for name in names if name != "glassbox"]
    comparisons = [_comparison(rng, name, chunk, by_chunk) for name in rivals for chunk in chunks]
    made = {
        "settings": _settings(),
        "pooled": pooled,
        "intervals": [row for name in names for chunk in chunks for row in _intervals(rng, name, chunk, by_chunk)],
        "comparisons": comparisons,
        "families": _families(rivals),
        "sharpe_tests": [_sharpe_test(rng, name, chunk, by_chunk) for name in names for chunk in chunks],
        "signals": [_signal(rng, signal, outcome, chunk) for signal in SIGNALS for outcome in OUTCOMES for chunk in chunks],
        "calibration": [_calibration(rng, *one, chunk) for one in CONFIDENCES for chunk in chunks],
    }
    made["verdicts"] = [
        *(_of_comparison(row) for row in comparisons if row["chunk"] == 0),
        *(_of_signal(row) for row in made["signals"] if row["chunk"] == 0 and row["horizon"] == 20),  # type: ignore[attr-defined]
        *(_of_calibration(row) for row in made["calibration"] if row["chunk"] == 0),  # type: ignore[attr-defined]
    ]
    return made


def learned(rng: np.random.Generator, n_chunks: int, sessions: int) -> list[Row]:
    """Learned parts beside their anchors, on validation and test."""
    measures = (
        ("technical", "trend log loss"),
        ("volatility", "QLIKE"),
        ("quantitative", "rank correlation"),
        ("fusion", "action log loss"),
    )
    rows = []
    for chunk, split in itertools.product(range(1, n_chunks + 1), ("test", "val")):
        for module, measure in measures:
            anchor, value = rng.uniform(0.5, 0.7, 2).round(6)
            better = bool(value > anchor) if measure == "rank correlation" else bool(value < anchor)
            rows.append(
                {
                    "module": module,
                    "chunk": chunk,
                    "split": split,
                    "measure": measure,
                    "learned": float(value),
                    "anchor": float(anchor),
                    "n_rows": 12 * sessions,
                    "better": better,
                }
            )
    return rows


def variants(rng: np.random.Generator) -> list[Row]:
    """The content of ``ablations/variants.json``."""
    rows = []
    for group, edit, target, question in VARIANTS:
        changed = target != WITHOUT_EFFECT
        counts = [int(value) if changed else 0 for value in rng.integers(40, 9000, 4)]
        rows.append(
            {
                "name": f"{edit}_{target}".lower().replace("-", "_"),
                "set": group,
                "edit": edit,
                "target": target,
                "question": question,
                "depth": "inference",
                "plan_digest": f"{rng.integers(1 << 60):064x}",
                "effect": "changed" if changed else "none",
                "notes": ["chunk 1: nothing is bought on any test day."] if target == "quantitative" else [],
                "changed": dict(zip(("answers", "inputs", "decisions", "orders"), counts, strict=True)),
            }
        )
    return rows


def results(rng: np.random.Generator, made: Sequence[Row], n_chunks: int) -> pd.DataFrame:
    """The rows of ``ablations/results.parquet``; a variant without effect has none."""
    rows = [
        _result(rng, variant, chunk, measure)
        for variant in made
        if variant["effect"] == "changed"
        for chunk in range(n_chunks + 1)
        for measure in MEASURES
    ]
    return pd.DataFrame(rows)


def ablation_verdicts(table: pd.DataFrame, made: Sequence[Row]) -> list[Row]:
    """Verdicts on the pooled primary measure, for ``metrics.json``; those on variants without effect say so."""
    tested = table[(table["chunk"] == 0) & (table["measure"] == "sharpe")].set_index("variant").to_dict("index")
    numbers = ("low", "high", "p_value", "p_holm", "smallest_detectable")
    unchanged = {"difference": 0.0, "verdict": "no effect on inputs"} | dict.fromkeys(numbers)
    rows = []
    for one in made:
        found = tested.get(one["name"], unchanged)
        rows.append(
            {
                "claim": f"ablation/{one['name']}",
                "kind": "ablation",
                "subject": one["name"],
                "family": one["set"],
                "measure": "sharpe",
                "estimate": found["difference"],
                "smallest_effect": SMALLEST_EFFECT,
                **{key: found[key] for key in (*numbers, "verdict")},
            }
        )
    return rows


def audits() -> dict[str, Any]:
    """The content of ``audits/summary.json``: one that passes, one with findings, one that does not apply."""
    entropy = [
        {"metric": "attention entropy, mean", "module": "quantitative", "chunk": chunk, "split": "test", "value": value,
         "threshold": "flag below 0.10 on half the rows", "verdict": "pass"}
        for chunk, value in ((1, 0.83), (2, 0.79), (3, 0.88))
    ]  # fmt: skip
    stability = [
        {"metric": "top-driver stability", "module": "quantitative", "chunk": 1, "split": "test", "value": 0.71,
         "threshold": "at least 0.80", "verdict": "FAIL"},
        {"metric": "top-driver stability", "module": "quantitative", "chunk": 2, "split": "test", "value": None,
         "threshold": "at least 0.80", "verdict": "insufficient"},
    ]  # fmt: skip
    findings = [
        {"check": "eligible pairs keep their driver", "module": "quantitative", "column": "top_attention_risk_driver",
         "chunk": 1, "cut": "", "passed": False, "detail": f"driver of {name} changes after 2006-03-0{day}"}
        for day, name in ((1, "AAPL"), (2, "KO"))
    ]  # fmt: skip
    return {
        "attention": _audit("attention", "Do attention weights sum to one over what was known?", 36, metrics=entropy),
        "lookahead": _audit("lookahead", "Can anything after a cut change what was answered before it?", 120),
        "rule_trace": _audit("rule_trace", "Does the trace account for every changed size and action?", 21),
        "stability": _audit(
            "stability", "Does the leading driver stay when nothing else changed?", 6,
            hard=False, status="note", findings=findings, metrics=stability,
        ),
        "text": _audit("text", "Does the decision stand when the text branch is taken out?", 0, status="not applicable"),
    }  # fmt: skip


def _audit(name: str, question: str, n_checks: int, **facts: Any) -> Row:
    row = {
        "audit": name,
        "question": question,
        "hard": True,
        "status": "pass",
        "n_checks": n_checks,
        "findings": [],
        "metrics": [],
        **facts,
    }
    return row | {"passed": row["status"] == "pass", "n_findings": len(row["findings"])}


def _settings() -> Row:
    return {
        "level": LEVEL,
        "n_boot": 2000,
        "primary": "sharpe",
        "smallest_effect": SMALLEST_EFFECT,
        "power": 0.8,
        "risk_free": 0.0,
        "sessions_per_year": 252,
        "bootstrap": "stationary bootstrap of whole days, blocks of automatic length, percentile intervals",
        "n_trials": N_TRIALS,
    }


def _pooled(name: str, rows: Sequence[Row]) -> Row:
    measures = ("annual_return", "volatility", "sharpe", "sortino", "max_drawdown", "calmar", "cvar_95", "turnover")
    means: Row = {}
    for key in (*measures, "cost_share", "exposure", "hit_rate"):
        known = [row[key] for row in rows if row[key] is not None]
        means[key] = float(np.mean(known)) if known else None
    return {"strategy": name, "n_sessions": 90 * len(rows), "n_chunks": len(rows), **means}


def _intervals(rng: np.random.Generator, name: str, chunk: int, by_chunk: Mapping[tuple[str, int], Row]) -> list[Row]:
    rows = []
    narrower = 1.7 if chunk == 0 else 1.0
    for measure, typical in (
        ("annual_return", 0.12), ("volatility", 0.015), ("sharpe", 1.0), ("max_drawdown", 0.05), ("cvar_95", 0.003),
    ):  # fmt: skip
        estimate = by_chunk[name, chunk][measure]
        error = 0.0 if name == "cash" else typical * rng.uniform(0.8, 1.2) / narrower
        withheld = WITHHELD if measure == "max_drawdown" else "the measure does not vary" if name == "cash" else None
        known = estimate is not None and withheld is None and name != "cash"
        rows.append(
            {
                "strategy": name,
                "chunk": chunk,
                "measure": measure,
                "estimate": estimate,
                "low": estimate - 2.0 * error if known else None,
                "high": estimate + 2.0 * error if known else None,
                "standard_error": error if known else None,
                "block": 4.7,
                "withheld": withheld,
            }
        )
    return rows


def _comparison(rng: np.random.Generator, name: str, chunk: int, by_chunk: Mapping[tuple[str, int], Row]) -> Row:
    stack, rival = by_chunk["glassbox", chunk]["sharpe"], by_chunk[name, chunk]["sharpe"]
    row: Row = {"family": "rivals", "name": name, "chunk": chunk, "measure": "sharpe", "stack": stack, "rival": rival}
    if rival is None:
        nothing = dict.fromkeys(("difference", "low", "high", "p_value", "p_holm", "smallest_detectable"))
        return row | nothing | {"verdict": "not tested", "n_sessions": 270}
    verdict = {"sizing_only": "supported", "momentum_12_1": "refuted"}.get(name, "underpowered")
    difference = {"supported": 1.1, "refuted": -0.6}.get(verdict, stack - rival) if chunk == 0 else stack - rival
    spread = (0.45 if verdict != "underpowered" else 0.9) * (1.0 if chunk == 0 else 1.7)
    return row | _tested(rng, float(difference), spread, verdict, chunk) | {"n_sessions": 270 if chunk == 0 else 90}


def _tested(rng: np.random.Generator, difference: float, spread: float, verdict: str, chunk: int) -> Row:
    p_value = 0.0004 if verdict == "supported" else float(rng.uniform(0.2, 0.9))
    return {
        "difference": difference,
        "low": difference - 2.0 * spread,
        "high": difference + 2.0 * spread,
        "p_value": p_value,
        "p_holm": min(1.0, 8.0 * p_value) if chunk == 0 else None,
        "smallest_detectable": 2.8 * spread,
        "verdict": verdict if chunk == 0 else "not tested",
    }


def _result(rng: np.random.Generator, variant: Row, chunk: int, measure: str) -> Row:
    scale = {"sharpe": 0.3, "annual_return": 0.03, "turnover": 0.6}.get(measure, 0.02)
    base = 4.0 * scale
    difference, spread = float(rng.normal(0.0, scale)), scale * (0.6 if chunk == 0 else 1.1)
    verdict = {"volatility": "supported", "RB-09": "refuted"}.get(variant["target"], "underpowered")
    if verdict == "supported":
        difference = 3.0 * scale
    elif verdict == "refuted":
        difference, spread = -0.05 * scale, 0.3 * scale
    tested = _tested(rng, difference, spread, verdict, chunk)
    if measure != "sharpe":
        tested |= {"p_holm": None, "verdict": "not tested"}
    row = {"variant": variant["name"], "chunk": chunk, "measure": measure, "base": base, "ablated": base - difference}
    known = {key: np.nan if value is None else value for key, value in tested.items()}
    return row | {key: variant[key] for key in ("set", "edit", "target", "depth", "effect")} | known | {"n_sessions": 270}


def _families(rivals: Sequence[str]) -> list[Row]:
    spa = {"test": "spa", "p_lower": 0.21, "p_consistent": 0.34, "p_upper": 0.52, "included": None, "excluded": None}
    mcs = {"test": "mcs", "p_lower": None, "p_consistent": None, "p_upper": None,
           "included": ["glassbox", *rivals[4:]], "excluded": list(rivals[1:4])}  # fmt: skip
    shared = {"family": "rivals", "measure": "sharpe", "chunk": 0, "n": len(rivals), "left_out": list(rivals[:1])}
    return [shared | spa, shared | mcs]


def _sharpe_test(rng: np.random.Generator, name: str, chunk: int, by_chunk: Mapping[tuple[str, int], Row]) -> Row:
    sharpe = by_chunk[name, chunk]["sharpe"]
    known = sharpe is not None
    psr = float(rng.uniform(0.3, 0.9))
    return {
        "strategy": name,
        "chunk": chunk,
        "sharpe": sharpe,
        "psr": psr if known else None,
        "dsr": 0.3 * psr if known else None,
        "n_trials": N_TRIALS if name == "glassbox" else 1,
        "min_track_record": int(rng.integers(400, 4000)) if known and sharpe > 0 else None,
    }


def _signal(rng: np.random.Generator, signal: tuple[str, str], outcome: tuple[str, int], chunk: int) -> Row:
    error = 0.012 if chunk == 0 else 0.02
    rank_ic = float(rng.normal(0.0, 0.01))
    return {
        "module": signal[0],
        "signal": signal[1],
        "outcome": outcome[0],
        "horizon": outcome[1],
        "chunk": chunk,
        "rank_ic": rank_ic,
        "low": rank_ic - 2.0 * error,
        "high": rank_ic + 2.0 * error,
        "p_value": float(rng.uniform(0.1, 0.9)),
        "n_days": 270 if chunk == 0 else 90,
        "block": 14.2,
    }


def _calibration(rng: np.random.Generator, module: str, confidence: str, event: str, chunk: int) -> Row:
    stated = np.linspace(0.15, 0.65, 8) + rng.normal(0.0, 0.01, 8)
    rates = np.clip(stated + rng.normal(0.02, 0.05, 8), 0.0, 1.0)
    counts = rng.integers(60, 700, 8)
    bins = [
        {"mean_confidence": float(x), "rate": float(y), "n": int(n)} for x, y, n in zip(stated, rates, counts, strict=True)
    ]
    ece = float(np.average(np.abs(stated - rates), weights=counts))
    return {
        "module": module, "confidence": confidence, "event": event, "scale": "probability", "chunk": chunk,
        "n_rows": int(counts.sum()), "n_days": 270,
        "brier": 0.19, "base_brier": 0.2, "ece": ece, "ece_low": 0.6 * ece, "ece_high": 1.9 * ece, "bins": bins,
    }  # fmt: skip


def _of_comparison(row: Row) -> Row:
    keys = ("low", "high", "p_value", "p_holm", "smallest_detectable", "verdict", "measure", "family")
    shared = {key: row[key] for key in keys}
    name = row["name"]
    return {"claim": f"rival/{name}", "kind": "rival", "subject": name, "estimate": row["difference"],
            "smallest_effect": SMALLEST_EFFECT, **shared}  # fmt: skip


def _of_signal(row: Row) -> Row:
    subject = f"{row['module']}.{row['signal']}"
    return {
        "claim": f"signal/{subject}", "kind": "signal", "subject": subject, "family": "signals", "measure": "rank_ic",
        "estimate": row["rank_ic"], "low": row["low"], "high": row["high"], "p_value": row["p_value"],
        "p_holm": min(1.0, 3.0 * row["p_value"]), "smallest_detectable": 0.034, "smallest_effect": 0.02,
        "verdict": "underpowered",
    }  # fmt: skip


def _of_calibration(row: Row) -> Row:
    skill = 1.0 - row["brier"] / row["base_brier"]
    subject = f"{row['module']}.{row['confidence']}"
    return {
        "claim": f"calibration/{subject}", "kind": "calibration", "subject": subject, "family": "calibration",
        "measure": "brier_skill", "estimate": skill, "low": skill - 0.03, "high": skill + 0.03, "p_value": 0.01,
        "p_holm": 0.02, "smallest_detectable": 0.04, "smallest_effect": 0.01, "verdict": "supported",
    }  # fmt: skip
