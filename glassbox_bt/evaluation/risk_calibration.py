"""Whether the probabilities of the risk modules come true, before and after they were put right.

Each probability is scored as `calibration` scores confidences, with the log loss beside: raw, as the model gives it, and put
right on outcomes of train or of validation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from glassbox_bt.evaluation._risk_rivals import DROPS, REGIME, arrays_of, regime_rule
from glassbox_bt.evaluation.answers import said
from glassbox_bt.evaluation.books import POOLED
from glassbox_bt.evaluation.calibration import Calibration, Confidence, Facts, Told, calibration_of
from glassbox_bt.evaluation.forecast_losses import log_loss
from glassbox_bt.market.regime_labels import REGIME_LABELS, REGIMES, changed_within
from glassbox_bt.plan import StatisticsPlan
from glassbox_bt.types import BoolArray, FloatArray

__all__ = ["RISK_PROBABILITIES", "RiskCalibration", "RiskProbability", "risk_calibration_rows", "risk_calibrations"]

RAW, PUT_RIGHT, AS_GIVEN = "raw", "calibrated", "as given"
Happened = Callable[[pd.DataFrame, Facts], BoolArray]


@dataclass(frozen=True, slots=True)
class RiskProbability:
    """A probability and how it stands to calibration: ``raw``, ``calibrated``, or ``as given`` where there is no map."""

    of: Confidence
    stage: str


def _drop(h: int, drop: float) -> Happened:
    def happened(rows: pd.DataFrame, _: Facts) -> BoolArray:
        return np.asarray(rows[f"forward_drawdown_{h}d"] >= drop)

    return happened


def _event(column: str) -> Happened:
    def happened(rows: pd.DataFrame, _: Facts) -> BoolArray:
        return np.asarray(rows[column] > 0.5)

    return happened


def _third(number: int) -> Happened:
    def happened(rows: pd.DataFrame, facts: Facts) -> BoolArray:
        logs = np.log(rows["forward_vol_30d"].to_numpy(dtype=np.float64))
        return np.asarray(np.searchsorted(facts["thirds"], logs, side="right") == number)

    return happened


def _exact(rows: pd.DataFrame, facts: Facts) -> BoolArray:
    error = np.abs(np.log(rows["forward_vol_10d"].to_numpy(dtype=np.float64) / rows["vol_10d"].to_numpy(dtype=np.float64)))
    return np.asarray(error < facts["typical"][0])


def _regime(number: int) -> Happened:
    def happened(rows: pd.DataFrame, _: Facts) -> BoolArray:
        return np.asarray(rows["named"] == number)

    return happened


def _changed(rows: pd.DataFrame, _: Facts) -> BoolArray:
    return np.asarray(rows["changed"] > 0.5)


def _contagion() -> list[RiskProbability]:
    return [
        RiskProbability(
            Confidence(
                module="contagion",
                column=f"{name}_{h}d{ending}",
                event=f"the return over {h} sessions falls under the bar that the name's own past sets for extreme losses",
                outcomes=(f"tail_event_{h}d",),
                happened=_event(f"tail_event_{h}d"),
                horizon=h,
            ),
            stage,
        )
        for name in ("contagion", "own_history")
        for h in (5, 20, 60)
        for ending, stage in (("_raw", RAW), ("", PUT_RIGHT))
    ]


def _drawdown() -> list[RiskProbability]:
    return [
        RiskProbability(
            Confidence(
                module="drawdown",
                column=f"drawdown_risk_{h}d{ending}",
                event=f"the close falls {drop:.0%} or more below its running peak within {h} sessions",
                outcomes=(f"forward_drawdown_{h}d",),
                happened=_drop(h, drop),
                horizon=h,
            ),
            AS_GIVEN,
        )
        for h, drop in DROPS.items()
        for ending in ("", "_anchor", "_bucket")
    ]


def _volatility() -> list[RiskProbability]:
    thirds = [
        Confidence(
            module="volatility",
            column=f"regime_probs_{name}",
            event=f"the volatility over 30 sessions lies in the {words} third of the train years",
            outcomes=("forward_vol_30d",),
            happened=_third(number),
            horizon=30,
            facts=("thirds",),
        )
        for number, (name, words) in enumerate((("low", "lowest"), ("medium", "middle"), ("high", "highest")))
    ]
    confidence = Confidence(
        module="volatility",
        column="confidence",
        event="the forecast over 10 sessions is off by less than half of the train forecasts were",
        outcomes=("forward_vol_10d",),
        happened=_exact,
        horizon=10,
        also=("vol_10d",),
        facts=("typical",),
    )
    return [RiskProbability(one, AS_GIVEN) for one in (*thirds, confidence)]


def _regimes() -> list[RiskProbability]:
    events = [
        (f"prob_{name}", f"the rule names the coming 20 sessions {name}", _regime(k)) for k, name in enumerate(REGIMES)
    ]
    change = "the rule names another regime than today's on any of the coming 20 sessions"
    return [
        RiskProbability(
            Confidence(
                module=REGIME,
                column=f"{column}{ending}",
                event=event,
                outcomes=REGIME_LABELS,
                happened=happened,
                horizon=20,
                also=("nowcast_regime",),
            ),
            stage,
        )
        for column, event, happened in (*events, ("transition_probability", change, _changed))
        for ending, stage in (("_raw", RAW), ("", PUT_RIGHT))
    ]


RISK_PROBABILITIES: tuple[RiskProbability, ...] = (*_contagion(), *_drawdown(), *_volatility(), *_regimes())


@dataclass(frozen=True, slots=True)
class RiskCalibration:
    """What `calibration` found, and the log loss with that of the best constant."""

    of: RiskProbability
    found: Calibration
    log_loss: float
    base_log_loss: float
    rate: float


def risk_calibrations(
    run: Path, outcomes: Mapping[int, pd.DataFrame], settings: StatisticsPlan, seed: int
) -> list[RiskCalibration]:
    """Every risk probability that the run recorded, over the test years that have it, together and each."""
    found = []
    for one in RISK_PROBABILITIES:
        told = {chunk: _told(run, one.of, chunk, table) for chunk, table in outcomes.items()}
        known = {chunk: part for chunk, part in told.items() if part is not None}
        if not known:
            continue
        for span, parts in ((POOLED, list(known.values())), *((chunk, [part]) for chunk, part in known.items())):
            event = np.concatenate([part.event for part in parts])
            given = np.concatenate([part.confidence for part in parts])
            rate = float(event.mean())
            constant = np.full((1, len(event)), rate)
            found.append(
                RiskCalibration(
                    one,
                    calibration_of(one.of, span, parts, settings, seed),
                    float(log_loss(given[None], event).mean()),
                    float(log_loss(constant, event).mean()),
                    rate,
                )
            )
    return found


def risk_calibration_rows(found: Sequence[RiskCalibration]) -> list[dict[str, Any]]:
    """The probabilities as ``metrics.json`` holds them; ``bins`` as in ``calibration``."""
    return [
        {
            "module": one.of.of.module,
            "probability": one.of.of.column,
            "stage": one.of.stage,
            "event": one.of.of.event,
            "horizon": one.of.of.horizon,
            "chunk": one.found.chunk,
            "n_rows": one.found.n_rows,
            "n_days": one.found.n_days,
            "rate": one.rate,
            "brier": one.found.brier,
            "base_brier": one.found.base_brier,
            "log_loss": one.log_loss,
            "base_log_loss": one.base_log_loss,
            "ece": one.found.ece,
            "ece_low": one.found.ece_low,
            "ece_high": one.found.ece_high,
            "bins": [{"mean_confidence": mean, "rate": rate, "n": n} for mean, rate, n in one.found.bins],
        }
        for one in found
    ]


def _told(run: Path, of: Confidence, chunk: int, outcomes: pd.DataFrame) -> Told | None:
    """Rows of one test year whose event is decided; None where column, facts or rows are missing."""
    facts = arrays_of(run, of.module, chunk) if of.facts else {}
    answers = said(run, of.module, [of.column, *of.also], chunk)
    if answers is None or not set(of.facts) <= set(facts) or not set(of.outcomes) <= set(outcomes.columns):
        return None
    if of.module == REGIME:
        rows = _by_day(run, of, chunk, (answers, outcomes))
    else:
        rows = answers.merge(outcomes[["date", "ticker", *of.outcomes]], on=["date", "ticker"], validate="1:1").dropna()
        rows = rows.sort_values(["date", "ticker"], kind="stable")
    if rows.empty:
        return None
    _, day = np.unique(rows["date"].to_numpy(), return_inverse=True)
    event = of.happened(rows, facts).astype(np.float64)
    return Told(day.astype(np.int64), rows[of.column].to_numpy(dtype=np.float64), event)


def _by_day(run: Path, of: Confidence, chunk: int, tables: tuple[pd.DataFrame, pd.DataFrame]) -> pd.DataFrame:
    """One row per day with an answer and its outcome: the regime that the rule ``named``, or whether it ``changed``.

    A clause that this market lacks has no outcome, and needs none. Whether the rule changes its mind is read from what it
    said of the later days, all of which must be known.
    """
    answers, outcomes = (one.drop_duplicates("date").sort_values("date", kind="stable") for one in tables)
    rule = regime_rule(run, chunk)
    if rule is None:
        return answers.iloc[:0]
    rows = outcomes[["date", *of.outcomes]].merge(answers.drop(columns="ticker"), on="date", how="left", validate="1:1")
    named = rule.codes(rows[list(of.outcomes)].to_numpy(dtype=np.float64), strict=True)
    codes = {name: float(code) for code, name in enumerate(REGIMES)}
    today: FloatArray = np.asarray(rows["nowcast_regime"].map(codes), dtype=np.float64)
    changed = changed_within(today, np.arange(len(rows), dtype=np.int64))
    known = np.isfinite(changed if of.happened is _changed else named)
    return rows.assign(named=named, changed=changed)[known].dropna(subset=[of.column])
