"""What the risk engine of a fake run recorded: rows of ``metrics.json``, answers of its modules and facts of their fits."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import save_file

Row = dict[str, Any]
Days = Mapping[int, np.ndarray[Any, Any]]
LEVELS = (95, 99)
TAIL_RIVALS = ("EWMA normal", "EWMA Student-t")
TESTS = ("coverage", "independence", "conditional", "dynamic", "severity", "tail_loss")
FIGURES = (("rate", None), ("clustering", 0.0), ("severity", 0.0), ("tail_loss", 0.0))
REGIMES = ("calm", "volatile", "crisis", "rotation")
MISSING = ["crisis and volatile: credit spread", "rotation: concentration in sectors"]
RANKING = "average_precision"
DRAWDOWN_RIVALS = ("volatility bucket", "anchor")
CONTESTS = (
    *(("volatility", m, h, r) for m in ("QLIKE", "RMSE") for h in (10, 30) for r in ("GARCH", "EWMA", "HAR-RV", "anchor")),
    *(("drawdown", m, h, r) for h in (10, 30) for r in DRAWDOWN_RIVALS for m in ("pinball", "Brier")),
    *(("contagion", m, h, r) for m in (RANKING, "Brier") for h in (5, 20, 60) for r in ("anchor", "base rate")),
    *(("regime", "forward log loss", 20, r) for r in ("persistence", "VIX rule", "Markov switching", "anchor")),
)  # fmt: skip
SAME = "the answer is the anchor's own: the network adds nothing"
EXTREME = "the return over {} sessions falls under the bar that the name's own past sets for extreme losses"
VARIANTS = {"volatility": "anchored", "drawdown": "anchor", "contagion": "anchored", "regime": "network"}


def write_risk(folder: Path, rng: np.random.Generator, days: Days, tickers: Sequence[str]) -> Row:
    """Write answers and facts of fits; the keys of ``metrics.json``."""
    for chunk, dates in days.items():
        for module, columns in _answers(rng, len(dates), len(tickers), tickers).items():
            _write_module(folder, module, chunk, _table(dates, tickers, columns))
    chunks = range(len(days) + 1)
    return {
        "risk_contests": [_contest(rng, of, chunk) for of in CONTESTS for chunk in chunks],
        "risk_selection": [row for chunk in days for row in _selection(rng, chunk)],
        "risk_calibration": [row for one in _probabilities() for chunk in chunks for row in _calibrated(rng, one, chunk)],
        "risk_backtests": [_backtest(rng, *key) for key in itertools.product(chunks, tickers, LEVELS)],
        "risk_backtest_tests": [
            _tail_test(rng, *key, len(tickers)) for key in itertools.product(chunks, LEVELS, TESTS)
        ],
        "risk_backtest_verdicts": [
            _tail_verdict(rng, *key) for key in itertools.product(chunks, LEVELS, FIGURES)
        ],
        "risk_tail_contests": [_tail_contest(rng, *key) for key in itertools.product(chunks, LEVELS, TAIL_RIVALS)],
        "risk_exceedances": [row for chunk, dates in days.items() for row in _exceedances(rng, chunk, dates, len(tickers))],
        "risk_thresholds": [row for chunk in days for row in _thresholds(rng, chunk)],
    }  # fmt: skip


def _contest(rng: np.random.Generator, of: tuple[str, str, int, str], chunk: int) -> Row:
    module, measure, horizon, rival = of
    row: Row = {"module": module, "measure": measure, "horizon": horizon, "rival": rival, "chunk": chunk}
    score = float(rng.uniform(0.05, 0.3))
    if module == "drawdown" and rival == "anchor":
        nothing = dict.fromkeys(
            ("low", "high", "standard_error", "p_value", "p_holm", "dm_statistic", "dm_p", "smallest_detectable")
        )
        row |= {"answer_score": score, "rival_score": score, "estimate": 0.0, **nothing, "verdict": "not tested"}
        return row | {"n_days": 250, "n_rows": 3000, "block": 20, "smallest_effect": 0.01, "withheld": SAME}
    verdict = {"EWMA": "supported", "VIX rule": "refuted", "persistence": "supported"}.get(rival, "underpowered")
    gain = {"supported": 0.12, "refuted": -0.08}.get(verdict, float(rng.normal(0.01, 0.02)))
    spread = {"supported": 0.03, "refuted": 0.04}.get(verdict, 0.04) * (1.0 if chunk == 0 else 1.7)
    p_value = 0.0004 if verdict == "supported" else float(rng.uniform(0.1, 0.9))
    ranked = measure == RANKING
    return row | {
        "answer_score": score,
        "rival_score": score - gain if ranked else score / (1.0 - gain),
        "estimate": gain,
        "low": gain - 2.0 * spread,
        "high": gain + 2.0 * spread,
        "standard_error": spread,
        "p_value": p_value,
        "p_holm": min(1.0, 4.0 * p_value),
        "dm_statistic": None if ranked else 1.3,
        "dm_p": None if ranked else 0.19,
        "smallest_effect": 0.01,
        "smallest_detectable": 2.8 * spread,
        "verdict": verdict,
        "n_days": 250,
        "n_rows": 3000,
        "block": 20,
        "withheld": None,
    }


def _selection(rng: np.random.Generator, chunk: int) -> list[Row]:
    """In the second chunk volatility's winner on validation loses on test; drawdown stays at its anchor."""
    rows = []
    wanted = {one[:3] for one in CONTESTS if one[3] == "anchor" and one[1] != RANKING}
    for module, measure, horizon in sorted(wanted):
        anchor = float(rng.uniform(0.1, 0.3))
        same, turns = module == "drawdown", module == "volatility" and chunk == 2 and measure == "QLIKE"
        for split in ("val", "test"):
            better = split == "val" or not turns
            loss = anchor if same else anchor * (0.95 if better else 1.04)
            winner = "equal" if same else "network" if better else "anchor"
            lost = None if split == "val" or same else turns
            rows.append(_selection_row((module, measure, horizon, chunk, split), loss, anchor, winner, lost))
    rows.append(_selection_row(("regime", "selection", 0, chunk, "val"), 0.7, 0.72, "network", None))
    return rows


def _selection_row(place: tuple[str, str, int, int, str], loss: float, anchor: float, winner: str, lost: bool | None) -> Row:
    keys = ("module", "measure", "horizon", "chunk", "split")
    return dict(zip(keys, place, strict=True)) | {
        "selection": int(place[-1] == "val"), "variant": VARIANTS[place[0]], "loss": loss, "anchor_loss": anchor,
        "n_rows": 3000, "winner": winner, "validation_winner_lost": lost,
    }  # fmt: skip


def _probabilities() -> list[tuple[str, str, str, int, bool, float]]:
    """Module, column, event, horizon, whether it is calibrated, and how likely it is."""
    return [
        *(("contagion", f"{who}_{h}d", EXTREME.format(h), h, True, 0.05) for h in (5, 20, 60)
          for who in ("contagion", "own_history")),
        *(("drawdown", f"drawdown_risk_{h}d{end}", f"the close falls {drop} or more below its peak", h, False, 0.2)
          for h, drop in ((10, "5%"), (30, "8%")) for end in ("", "_anchor", "_bucket")),
        *(("volatility", f"regime_probs_{name}", f"the volatility lies in the {name} third", 30, False, 0.33)
          for name in ("low", "medium", "high")),
        *(("regime", f"prob_{name}", f"the rule names the coming 20 sessions {name}", 20, True, 0.25) for name in REGIMES),
    ]  # fmt: skip


def _calibrated(rng: np.random.Generator, of: tuple[str, str, str, int, bool, float], chunk: int) -> list[Row]:
    module, column, event, horizon, is_calibrated, rate = of
    stages = (("raw", 1.6), ("calibrated", 1.0)) if is_calibrated else (("as given", 1.1),)
    rows = []
    for stage, factor in stages:
        stated = np.clip(rate * np.linspace(0.4, 2.2, 8) * factor, 0.0, 1.0)
        happened = np.clip(stated / factor + rng.normal(0.0, 0.05 * rate, 8), 0.0, 1.0)
        counts = rng.integers(60, 700, 8)
        bins = [
            {"mean_confidence": float(x), "rate": float(y), "n": int(n)}
            for x, y, n in zip(stated, happened, counts, strict=True)
        ]
        observed = float(np.average(happened, weights=counts))
        ece = float(np.average(np.abs(stated - happened), weights=counts))
        base = observed * (1.0 - observed)
        rows.append(
            {
                "module": module, "probability": f"{column}_raw" if stage == "raw" else column, "stage": stage,
                "event": event, "horizon": horizon, "chunk": chunk, "n_rows": int(counts.sum()), "n_days": 250,
                "rate": observed, "brier": 0.97 * base, "base_brier": base, "log_loss": 0.4, "base_log_loss": 0.41,
                "ece": ece, "ece_low": 0.6 * ece, "ece_high": 1.9 * ece, "bins": bins,
            }
        )  # fmt: skip
    return rows


def _backtest(rng: np.random.Generator, chunk: int, ticker: str, level: int) -> Row:
    hits = int(rng.binomial(250, 1.0 - level / 100.0))
    row: Row = {"chunk": chunk, "ticker": ticker, "level": level, "n_days": 250, "n_hits": hits, "rate": hits / 250}
    for test in TESTS:
        row |= {f"{test}_statistic": 1.2, f"{test}_p": 0.3, f"{test}_q": 0.6}
    flagged = "coverage tail_loss" if ticker == "BAC" and level == 99 else ""
    return row | {"flagged": flagged, "withheld": None}


def _tail_test(rng: np.random.Generator, chunk: int, level: int, test: str, n_names: int) -> Row:
    flagged = int(level == 99 and test in ("coverage", "tail_loss"))
    return {
        "chunk": chunk, "level": level, "test": test, "n_names": n_names, "n_tested": n_names,
        "n_below": flagged + int(rng.integers(0, 2)), "n_by_chance": 0.05 * n_names, "n_flagged": flagged,
        "n_flagged_any": 0,
    }  # fmt: skip


def _tail_verdict(rng: np.random.Generator, chunk: int, level: int, figure: tuple[str, float | None]) -> Row:
    name, nominal = figure
    stated = round(1.0 - level / 100.0, 2) if nominal is None else nominal
    found = stated * float(rng.uniform(0.9, 1.3)) if nominal is None else float(rng.normal(0.0, 0.05))
    spread = 0.2 * stated if nominal is None else 0.06
    verdict = "refuted" if name == "tail_loss" and level == 99 else "supported" if name == "rate" else "underpowered"
    return {
        "chunk": chunk, "level": level, "figure": name, "stated": stated, "estimate": found, "low": found - spread,
        "high": found + spread, "p_value": 0.2, "p_holm": 0.7, "smallest_effect": 0.5 * stated or 0.1,
        "smallest_detectable": 2.0 * spread, "n_days": 250, "n_rows": 3000, "block": 20, "verdict": verdict,
    }  # fmt: skip


def _tail_contest(rng: np.random.Generator, chunk: int, level: int, rival: str) -> Row:
    verdict = "supported" if (level, rival) == (99, "EWMA normal") else "underpowered"
    gain, spread = (0.09, 0.02) if verdict == "supported" else (float(rng.normal(0.0, 0.01)), 0.02)
    return {
        "chunk": chunk, "level": level, "rival": rival, "answer_score": -3.1, "rival_score": -3.1 + gain,
        "estimate": gain, "low": gain - 2.0 * spread, "high": gain + 2.0 * spread, "p_value": 0.01, "p_holm": 0.04,
        "dm_statistic": 1.1, "dm_p": 0.2, "smallest_effect": 0.01, "smallest_detectable": 2.8 * spread, "n_days": 250,
        "n_rows": 3000, "block": 20, "verdict": verdict,
    }  # fmt: skip


def _exceedances(rng: np.random.Generator, chunk: int, dates: np.ndarray[Any, Any], n_names: int) -> list[Row]:
    shocks = rng.random(len(dates)) < 0.02
    rate = np.where(shocks, 0.6, 0.045)
    return [
        {"chunk": chunk, "date": str(np.datetime_as_string(day, unit="D")), "n_names": n_names,
         "hits_95": int(rng.binomial(n_names, one)), "hits_99": int(rng.binomial(n_names, 0.2 * one))}
        for day, one in zip(dates, rate, strict=True)
    ]  # fmt: skip


def _thresholds(rng: np.random.Generator, chunk: int) -> list[Row]:
    rows: list[Row] = []
    for rule, module, score, fires, value in (
        ("RB-02", "regime", "prob_crisis", "at or above", 0.5),
        ("RB-03", "drawdown", "drawdown_risk_score", "at or above", 0.8),
        ("RB-04", "contagion", "contagion_risk_score", "at or above", 0.9),
        ("RB-09", "fusion", "learned_fusion_confidence", "below", 0.35),
        ("PS cap 0.05", "position_sizing", "volatility_risk_score", "at or above", 0.75),
        ("PS cap 0.02", "position_sizing", "liquidity_risk_score", "at or above", 0.85),
    ):
        known = score != "liquidity_risk_score"
        quantile = float(rng.uniform(0.7, 0.98))
        rows.append(
            {
                "rule": rule, "module": module, "score": score, "fires": fires, "threshold": value, "chunk": chunk,
                "train_quantile": quantile if known else None, "train_share": 1.0 - quantile if known else None,
                "test_share": float(rng.uniform(0.0, 0.3)) if known else None, "n_train_rows": 9000, "n_test_rows": 3000,
            }
        )  # fmt: skip
    return rows


def _answers(
    rng: np.random.Generator, n_days: int, n_names: int, tickers: Sequence[str]
) -> dict[str, dict[str, np.ndarray[Any, Any]]]:
    """Columns by module, (n_days, n_names); the first ten days of volatility are not known."""
    wave = 0.5 + 0.5 * np.sin(np.linspace(0.0, 7.0, n_days))
    crisis = np.clip(wave**3 + rng.normal(0.0, 0.03, n_days), 0.0, 1.0)[:, None]
    label = np.array(REGIMES, dtype=object)[np.digitize(crisis[:, 0], (0.15, 0.35, 0.6)) % 4]
    today = np.roll(label, 5)
    every = np.ones((1, n_names))
    chance = np.clip(0.03 + 0.1 * crisis + rng.normal(0.0, 0.01, (n_days, n_names)), 0.001, 0.9)
    shape = (n_days, n_names)
    contagion: dict[str, np.ndarray[Any, Any]] = {
        "contagion_20d": chance,
        "own_history_20d": np.full(shape, 0.04),
        "neighbour_stress": rng.uniform(0.0, 0.3, shape),
    }
    names = np.array(tickers, dtype=object)
    for rank in range(1, 11):
        contagion[f"top_influencer_{rank}"] = names[
            (np.arange(n_names) + 1 + (rank * (n_names - 1)) // 11) % n_names
        ] + np.full(shape, "", dtype=object)
        contagion[f"influence_{rank}"] = rng.uniform(0.05, 0.2, shape) / rank
    return {
        "volatility": {"vol_10d": rng.uniform(0.1, 0.4, shape), "known": np.arange(n_days)[:, None] * every >= 10},
        "drawdown": {"drawdown_risk_score": rng.uniform(0.0, 1.0, shape)},
        "contagion": contagion,
        "regime": {
            "prob_crisis": crisis * every,
            "regime_label": np.repeat(label[:, None], n_names, axis=1),
            "nowcast_regime": np.repeat(today[:, None], n_names, axis=1),
        },
        "var": {"var_95": np.full(shape, -0.02)},
        "cvar": {"cvar_95": np.full(shape, -0.03)},
    }


def _table(dates: np.ndarray[Any, Any], tickers: Sequence[str], columns: Mapping[str, np.ndarray[Any, Any]]) -> pd.DataFrame:
    known = columns.get("known", np.ones((len(dates), len(tickers)), dtype=bool)).ravel()
    table = pd.DataFrame({"ticker": np.tile(np.array(tickers, dtype=object), len(dates))})
    table["date"] = np.repeat(dates, len(tickers))
    for name, values in columns.items():
        if name != "known":
            table[name] = values.ravel()
            table.loc[~known, name] = None if values.dtype == object else np.nan
    table["known"] = known
    table["reason"] = np.where(known, "known", "warm_up")
    return table.assign(xai_summary="")


def _write_module(folder: Path, module: str, chunk: int, table: pd.DataFrame) -> None:
    place, fit = folder / "modules" / module, folder / "models" / module / f"chunk{chunk}"
    place.mkdir(parents=True, exist_ok=True)
    fit.mkdir(parents=True)
    table.to_parquet(place / f"chunk{chunk}_test.parquet", index=False)
    if module not in VARIANTS:
        return
    frozen = {"variant": VARIANTS[module]} | ({"missing_clauses": MISSING[: 2 - chunk % 2]} if module == "regime" else {})
    if module == "contagion":
        save_file({"structure_p": np.array([0.35]), "speaks": np.ones(3)}, str(fit / "frozen.safetensors"))
    facts = {"frozen": frozen, "selection": {"variant": VARIANTS[module], "losses": {}}}
    for name, content in facts.items():
        (fit / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
