"""Confidences and their events: analytic truths, the fits' own targets, and intervals that cover."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from glassbox_bt.evaluation.calibration import (
    CONFIDENCES,
    Calibration,
    Confidence,
    Told,
    bin_edges,
    calibration_claims,
    calibration_of,
    calibration_rows,
    calibrations,
)
from glassbox_bt.modules._fusion_targets import TrainRows, Utility
from glassbox_bt.modules._outcomes import Outcomes
from glassbox_bt.plan import StatisticsPlan
from tests.evaluation.samples import QUICK

BY_NAME = {f"{one.module}.{one.column}": one for one in CONFIDENCES}
SIDE = BY_NAME["fusion.learned_fusion_confidence"]
FALL = BY_NAME["fusion.learned_fusion_risk_prob"]


def told(rng: np.random.Generator, n_days: int, shift: float = 0.0, spread: float = 0.6) -> Told:
    """Twenty names; a forecast that knows the chance of an event that overlaps over 20 days, then shifts it."""
    n, h = 20, 20
    own = math.sqrt(0.7) * rng.standard_normal((n_days + h, n)) + math.sqrt(0.3) * rng.standard_normal((n_days + h, 1))
    total = np.concatenate([np.zeros((1, n)), np.cumsum(own, axis=0)])
    outcome = (total[h:][:n_days] - total[:-h][:n_days]) / math.sqrt(h)
    score = np.repeat(rng.standard_normal((n_days // 20 + 1, n)), 20, axis=0)[:n_days]
    chance = stats.norm.cdf(spread * score)
    event = outcome < stats.norm.ppf(chance)
    return Told(np.repeat(np.arange(n_days), n), (chance + shift).clip(0.0, 1.0).ravel(), event.ravel().astype(float))


def of(parts: list[Told], confidence: Confidence = SIDE, settings: StatisticsPlan = QUICK) -> Calibration:
    return calibration_of(confidence, 0, parts, settings, 7)


def test_scores_by_hand() -> None:
    sample = Told(np.array([0, 0, 1, 1]), np.array([0.2, 0.6, 0.2, 0.6]), np.array([0.0, 1.0, 1.0, 1.0]))
    found = of([sample])
    assert found.brier == pytest.approx((0.04 + 0.16 + 0.64 + 0.16) / 4.0)
    assert found.base_brier == pytest.approx(0.75 * 0.25)
    assert found.skill.estimate == pytest.approx(1.0 - found.brier / found.base_brier)
    assert found.bins == ((0.2, 0.5, 2), (0.6, 1.0, 2))
    assert found.ece == pytest.approx(0.5 * 0.3 + 0.5 * 0.4)
    assert math.isnan(found.ece_low)  # two days are no sample
    assert (found.n_rows, found.n_days) == (4, 2)


def test_bins_hold_equally_many_rows_and_equal_confidences_stay_together() -> None:
    rng = np.random.default_rng(1)
    plain = rng.random(1000)
    sizes = np.bincount(np.searchsorted(bin_edges(plain), plain, side="right"))
    assert len(sizes) == 10
    assert sizes.min() >= 99
    tied = np.where(rng.random(1000) < 0.5, 0.5, plain)
    at = np.searchsorted(bin_edges(tied), tied, side="right")
    assert len(set(at[tied == 0.5])) == 1
    assert np.bincount(at).min() > 0
    assert len(bin_edges(np.full(50, 0.3))) == 0


def test_a_forecast_of_the_base_rate_has_no_skill_and_no_error() -> None:
    event = (np.random.default_rng(2).random(4000) < 0.3).astype(float)
    found = of([Told(np.repeat(np.arange(200), 20), np.full(4000, event.mean()), event)])
    assert found.brier == pytest.approx(found.base_brier)
    assert found.skill.estimate == pytest.approx(0.0, abs=1e-12)
    assert found.ece == pytest.approx(0.0, abs=1e-12)
    assert len(found.bins) == 1


def test_an_event_that_always_happens_leaves_nothing_to_tell() -> None:
    found = of([Told(np.repeat(np.arange(200), 5), np.full(1000, 0.9), np.ones(1000))])
    assert found.base_brier == 0.0
    assert math.isnan(found.skill.estimate)
    assert calibration_claims([found], 0.95)[0]["verdict"] == "not tested"


@pytest.mark.parametrize("shift", [0.0, 0.15])
@pytest.mark.parametrize("lengths", [(100,), (230, 230, 230)])
def test_the_interval_of_the_calibration_error_covers(lengths: tuple[int, ...], shift: float) -> None:
    rng = np.random.default_rng(3)
    n = 120
    found = [of([told(rng, k, shift) for k in lengths]) for _ in range(n)]
    true = shift * 0.99  # some forecasts stop at 1
    assert sum(one.ece_low <= true <= one.ece_high for one in found) >= 0.95 * n - 4.0 * math.sqrt(n * 0.05 * 0.95)
    if shift == 0.0:
        assert np.mean([one.ece for one in found]) > 0.02  # chance alone
    assert all(one.ece_low <= one.ece <= one.ece_high for one in found)


def test_a_gross_miscalibration_is_told_from_chance() -> None:
    rng = np.random.default_rng(4)
    gross, none = ([of([told(rng, 230, shift) for _ in range(3)]).ece_low for _ in range(20)] for shift in (0.25, 0.0))
    assert min(gross) > 0.05
    assert sum(low > 0.0 for low in none) <= 4


def test_verdicts_tell_knowledge_from_chatter() -> None:
    rng = np.random.default_rng(5)
    knows = [told(rng, 230, spread=1.0) for _ in range(3)]
    chatters = [replace(one, confidence=rng.random(len(one.day))) for one in knows]
    found = [of(knows), calibration_of(FALL, 0, chatters, QUICK, 7)]
    claims = {row["subject"]: row for row in calibration_claims(found, 0.95)}
    assert claims["fusion.learned_fusion_confidence"]["verdict"] == "supported"
    assert claims["fusion.learned_fusion_risk_prob"]["verdict"] == "refuted"
    assert claims["fusion.learned_fusion_risk_prob"]["estimate"] < 0.0


def test_a_rank_is_described_and_not_judged() -> None:
    rank = BY_NAME["technical.timing_confidence"]
    found = [calibration_of(rank, 0, [told(np.random.default_rng(6), 100)], QUICK, 7)]
    assert calibration_claims(found, 0.95) == []
    assert calibration_rows(found)[0]["scale"] == "rank"


@pytest.fixture(scope="module")
def outcomes() -> pd.DataFrame:
    rng = np.random.default_rng(7)
    n = 3000
    return pd.DataFrame(
        {
            "forward_log_return_20d": 0.06 * rng.standard_normal(n),
            "forward_vol_20d": rng.uniform(0.1, 0.4, n),
            "forward_drawdown_10d": rng.uniform(0.0, 0.1, n),
            "forward_excursion_5d": 0.03 * rng.standard_normal(n),
            "learned_fusion_signal": rng.uniform(-1.0, 1.0, n),
        }
    )


def test_events_are_the_targets_that_the_heads_were_fitted_to(outcomes: pd.DataFrame) -> None:
    labels = tuple(
        outcomes[name].to_numpy() for name in ("forward_log_return_20d", "forward_vol_20d", "forward_drawdown_10d")
    )
    days = np.repeat(np.arange(300), 10)
    known = Outcomes.of(days, labels, event_drawdown=0.05, holdout=0.15, module="fusion")
    rows = {"position_sizing.recommended_capital_fraction": np.full(len(days), 0.05)}
    train = TrainRows.of(rows, known, labels, Utility(risk_aversion=5.0, cost=0.0012))
    facts = {"typical_adjusted_return": known.typical, "action_edges": [float(edge) for edge in train.edges]}
    for number, name in enumerate(("learned_sell_prob", "learned_hold_prob", "learned_buy_prob")):
        happened = BY_NAME[f"fusion.{name}"].happened(outcomes, facts)
        np.testing.assert_array_equal(happened, train.action == number)
        assert 0.2 < happened.mean() < 0.5
    bullish = outcomes["learned_fusion_signal"].to_numpy() >= 0.0
    np.testing.assert_array_equal(SIDE.happened(outcomes, facts), (known.side == 1.0) == bullish)
    np.testing.assert_array_equal(FALL.happened(outcomes, facts), known.event == 1.0)


def test_events_say_what_they_are_in_words() -> None:
    for one in CONFIDENCES:
        assert len(one.event.split()) >= 8
        assert not any(letter.isdigit() for letter in one.event)


def written(run: Path, *, facts: bool) -> dict[int, pd.DataFrame]:
    """Answers of fusion for one chunk, with the facts of its fit or without."""
    rng = np.random.default_rng(8)
    n_days, n = 100, 8
    keys = {
        "date": np.repeat(pd.bdate_range("2010-01-04", periods=n_days).to_numpy(), n),
        "ticker": np.tile(range(n), n_days),
    }
    size = n_days * n
    names = ("learned_fusion_confidence", "learned_sell_prob", "learned_hold_prob", "learned_buy_prob")
    answers = {name: rng.random(size) for name in (*names, "learned_fusion_risk_prob", "learned_fusion_signal")}
    (run / "modules" / "fusion").mkdir(parents=True)
    table = pd.DataFrame({**keys, **answers, "known": rng.random(size) < 0.9})
    table.to_parquet(run / "modules" / "fusion" / "chunk1_test.parquet", index=False)
    summary = {"typical_adjusted_return": 0.1, "action_edges": [-0.02, 0.03]} if facts else {"best_epoch": 3}
    (run / "models" / "fusion" / "chunk1").mkdir(parents=True)
    (run / "models" / "fusion" / "chunk1" / "training_summary.json").write_text(json.dumps(summary), encoding="utf-8")
    labels = ("forward_log_return_20d", "forward_drawdown_10d")
    values = {name: np.abs(0.05 * rng.standard_normal(size)) for name in labels}
    return {1: pd.DataFrame({**keys, **values, "forward_vol_20d": 0.2})}


def test_what_the_fit_did_not_record_is_left_out(tmp_path: Path) -> None:
    with_facts, without = tmp_path / "with", tmp_path / "without"
    found = calibrations(with_facts, written(with_facts, facts=True), QUICK, 7)
    assert {(one.of.column, one.chunk) for one in found} == {
        (one.column, span) for one in CONFIDENCES if one.module == "fusion" for span in (0, 1)
    }
    found = calibrations(without, written(without, facts=False), QUICK, 7)
    assert {one.of.column for one in found} == {"learned_fusion_risk_prob"}


def test_rows_are_those_on_which_the_module_knew(tmp_path: Path) -> None:
    outcomes = written(tmp_path, facts=True)
    known = pd.read_parquet(tmp_path / "modules" / "fusion" / "chunk1_test.parquet")["known"].sum()
    found = calibrations(tmp_path, outcomes, QUICK, 7)
    assert {one.n_rows for one in found} == {known}
    assert all(sum(n for _, _, n in one.bins) == known for one in found)
