"""The faults of spec §28, D-POS-01 to 05, planted and found; the module is the corrected twin.

D-POS-06, a book without a portfolio limit, lies with the approver: the last test here plants it there.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from glassbox_bt.decision.approver import Limits, PortfolioState, Requests, approve
from glassbox_bt.decision.rules import Rules
from glassbox_bt.evaluation.risk_thresholds import threshold_rows
from glassbox_bt.modules.risk.position_sizing import PositionSizing
from glassbox_bt.types import Action, FloatArray
from tests.modules.risk.test_position_sizing import span_of

Row = Mapping[str, float]
Sizing = Callable[[Row, tuple[str, ...]], dict[str, float]]  # changes to a calm name and silent modules -> its answer
SOURCES = PositionSizing.vocabulary["binding_cap_source"]
STORM: dict[str, float] = {
    "volatility.vol_10d": 0.6,
    "volatility.vol_30d": 0.6,
    "volatility.regime_probs_high": 1.0,
    "cvar.cvar_95": -0.08,
    "cvar.cvar_99": -0.12,
    "cvar.tail_ratio_95": 2.0,
    "cvar.tail_ratio_99": 2.0,
    "regime.prob_calm": 0.0,
    "regime.prob_crisis": 1.0,
    "regime.macro_stress_score": 1.0,
    "regime.learned_graph_stress": 1.0,
    "regime.regime_label_id": 2.0,
}


def of_the_module(changes: Row, silent: tuple[str, ...] = ()) -> dict[str, float]:
    answers = PositionSizing().predict_many(span_of([dict(changes)], silent))
    return {name: float(values[0, 0]) for name, values in answers.outputs.items()}


# D-POS-01: what is missing counts as a middling risk, and as tradable


def guessing(changes: Row, silent: tuple[str, ...] = ()) -> dict[str, float]:
    """Silent families become 0.5 and a silent liquidity tradable, as in the source."""
    guesses = {
        "drawdown.drawdown_risk_score": 0.5,
        **{f"contagion.contagion_{days}d": 0.5 for days in (5, 20, 60)},
        "liquidity.liquidity_score": 0.5,
        "liquidity.tradable": 1.0,
    }
    filled = {name: value for name, value in guesses.items() if name.partition(".")[0] in silent}
    kept = tuple(name for name in silent if not any(one.startswith(f"{name}.") for one in filled))
    return of_the_module({**changes, **filled}, kept)


def takes_silence_for_an_answer(sizing: Sizing) -> bool:
    """Whether a name in a storm gets a *milder* score by losing the families that would tell."""
    return any(
        sizing(STORM, (family,))["combined_risk_score"] < of_the_module(STORM, (family,))["combined_risk_score"]
        for family in ("drawdown", "contagion", "liquidity")
    )


def says_what_it_lacks(sizing: Sizing) -> bool:
    return all(sizing({}, (family,))[f"{family}_risk_available"] == 0.0 for family in ("drawdown", "contagion", "liquidity"))


def test_d_pos_01_a_missing_family_that_counts_as_middling_is_found() -> None:
    assert takes_silence_for_an_answer(guessing)
    assert not says_what_it_lacks(guessing)
    assert not takes_silence_for_an_answer(of_the_module)
    assert says_what_it_lacks(of_the_module)


def test_d_pos_01_without_liquidity_and_tail_nothing_is_sized() -> None:
    def answered(silent: tuple[str, ...]) -> bool:
        return bool(PositionSizing().predict_many(span_of([{}], silent)).known[0, 0])

    assert answered(("liquidity",))
    assert answered(("cvar",))
    assert not answered(("liquidity", "cvar"))


# D-POS-02: direction taken for confidence


def confidence_of_the_source(trend: float, momentum: float, timing: float) -> float:
    return 0.35 * trend + 0.35 * momentum + 0.30 * timing


def knows_direction(confidence: Callable[[float], float]) -> bool:
    """Whether a sure fall is less sure than an equally sure rise."""
    return confidence(0.9) != pytest.approx(confidence(0.1))


def test_d_pos_02_a_confidence_that_rises_with_the_trend_is_found() -> None:
    def corrected(trend: float) -> float:
        return of_the_module({"technical.trend_score": trend})["technical_confidence"]

    assert knows_direction(lambda trend: confidence_of_the_source(trend, 0.5, 0.5))
    assert not knows_direction(corrected)
    assert not knows_direction(lambda trend: of_the_module({"technical.trend_score": trend})["recommended_capital_fraction"])


# D-POS-03: the first of equal caps is named, though none binds


def first_of_equals(changes: Row) -> str:
    """The source's: the arg-min over the caps in its own order, whatever it is worth."""
    row = of_the_module(changes)
    order = ("regime", "volatility", "drawdown", "var_cvar", "contagion", "liquidity")
    return f"{min(order, key=lambda family: row[f'{family}_hard_cap'])}"


def named(changes: Row) -> str:
    return SOURCES[int(of_the_module(changes)["binding_cap_source"])]


def misnames(source: Callable[[Row], str]) -> bool:
    """Whether a cap is named that does not bind, or one of two that do is left out."""
    tied = {"drawdown.drawdown_risk_score": 0.8, "regime.regime_label_id": 2.0}
    return source({}) != "none" or set(source(tied).split("+")) != {"drawdown", "regime"}


def test_d_pos_03_a_cap_that_does_not_bind_is_not_named() -> None:
    assert first_of_equals({}) == "regime"
    assert misnames(first_of_equals)
    assert not misnames(named)


# D-POS-04: a multiplier above 1 that a clip takes back


def multiplier_of_the_source(confidence: float) -> float:
    return 0.75 + 0.35 * confidence


def is_clipped_away(multiplier: Callable[[float], float]) -> bool:
    """Whether two confidences of different multipliers ask for the same size in the full bucket."""
    high, higher = multiplier(0.9), multiplier(1.0)
    return high != higher and min(high, 1.0) == min(higher, 1.0)


def test_d_pos_04_a_multiplier_without_effect_is_found() -> None:
    def corrected(confidence: float) -> float:
        row = of_the_module({"technical.trend_score": 1.0, "technical.trend_reliability": confidence})
        assert row["pre_cap_position_fraction_of_max"] == row["risk_bucket_fraction"] * row["technical_multiplier"]
        return row["technical_multiplier"]

    assert is_clipped_away(multiplier_of_the_source)
    assert not is_clipped_away(corrected)


# D-POS-05: scores that were not put right meet fixed thresholds, and nobody says what these mean


def told_of(tmp_path: Path, score: FloatArray) -> dict[str, Any]:
    """Where the contagion cap of position sizing lies among the train answers of a run."""
    folder = tmp_path / "modules" / "position_sizing"
    folder.mkdir(parents=True)
    for split in ("train", "test"):
        table = pd.DataFrame(
            {
                "date": pd.Timestamp("2020-01-02"),
                "ticker": [f"N{i}" for i in range(len(score))],
                "known": True,
                "contagion_risk_score": score,
                "contagion_risk_available": 1.0,
            }
        )
        table.to_parquet(folder / f"chunk1_{split}.parquet", index=False)
    rules = dataclasses.asdict(Rules())
    rows = threshold_rows(tmp_path, {"plan": {"rules": rules, "modules": {}}}, [1])
    json.dumps(rows)
    return next(row for row in rows if row["score"] == "contagion_risk_score" and row["threshold"] == 0.85)


def is_mute_or_deafening(row: Mapping[str, Any]) -> bool:
    """Whether a fixed threshold hardly ever fires on train, or on a tenth of it and more: it means nothing there."""
    return not 0.0 < row["train_share"] < 0.10


def test_d_pos_05_a_fixed_threshold_stands_beside_its_train_quantile(tmp_path: Path) -> None:
    n = 2000
    rank = (np.arange(n) + 0.5) / n
    inflated = told_of(tmp_path / "inflated", np.clip(0.6 + 0.4 * rank, 0.0, 1.0))  # positive weights of 50
    right = told_of(tmp_path / "right", np.where(rank > 0.95, 0.9, 0.05))
    assert is_mute_or_deafening(inflated)
    assert inflated["train_quantile"] == pytest.approx(0.625, abs=1e-3)
    assert is_mute_or_deafening(told_of(tmp_path / "mute", 0.1 * rank))
    assert not is_mute_or_deafening(right)
    assert right["train_quantile"] == pytest.approx(0.95, abs=1e-3)


# D-POS-06: each name by itself, and nobody adds them up


def per_name(requested: FloatArray) -> FloatArray:
    """The source's: what sizing asks for, name by name."""
    return np.minimum(requested, 0.10)


def approved(requested: FloatArray) -> FloatArray:
    n = len(requested)
    asked = Requests(
        requested=requested,
        held=np.zeros(n),
        action=np.full(n, Action.BUY),
        priority=np.ones(n),
        tradable=np.ones(n, dtype=bool),
        left_universe=np.zeros(n, dtype=bool),
        exit_blocked=np.zeros(n, dtype=bool),
        dollar_volume=np.full(n, 1e12),
    )
    state = dataclasses.replace(PortfolioState.start(1_000_000.0), benchmark_return=0.0)
    return np.asarray(approve(asked, state, Limits(turnover=1.0)).approved_fraction)


def is_beyond_equity(sizes: Callable[[FloatArray], FloatArray]) -> bool:
    """2,500 names at a tenth of equity each would be 250 times equity."""
    return math.fsum(sizes(np.full(2500, 0.10))) > 1.0


def test_d_pos_06_two_hundred_and_fifty_times_equity_is_found() -> None:
    assert math.fsum(per_name(np.full(2500, 0.10))) == pytest.approx(250.0)
    assert is_beyond_equity(per_name)
    assert not is_beyond_equity(approved)
