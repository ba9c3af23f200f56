"""Rank correlation by day: against scipy, on planted signals, and the size of its test where labels overlap."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from glassbox_bt.evaluation.dayblocks import MIN_BLOCK, day_mean, day_ratio, detectable
from glassbox_bt.evaluation.forecasts import daily_rank_ic, daily_rank_ics
from glassbox_bt.evaluation.signals import RankIC, rank_ics, signal_claims, signal_rows
from glassbox_bt.types import FloatArray

N_NAMES = 12


def overlapping(rng: np.random.Generator, n_days: int, horizon: int, persistence: float, edge: float) -> FloatArray:
    """Daily rank correlations between a persistent signal and the sum of the next ``horizon`` returns; (n_days,).

    Returns have a common factor; ``edge`` of each name's own return follows its signal.
    """
    n = n_days + horizon
    shocks = rng.standard_normal((n, N_NAMES))
    signal = np.zeros((n, N_NAMES))
    signal[0] = shocks[0]
    for t in range(1, n):
        signal[t] = persistence * signal[t - 1] + math.sqrt(1.0 - persistence**2) * shocks[t]
    own = rng.standard_normal((n, N_NAMES)) + edge * signal
    total = np.concatenate([np.zeros((1, N_NAMES)), np.cumsum(own + rng.standard_normal((n, 1)), axis=0)])
    forward = total[horizon:][:n_days] - total[:-horizon][:n_days]
    days = np.repeat(np.arange(n_days), N_NAMES)
    return daily_rank_ics(days, signal[:n_days].ravel(), forward.ravel())[1]


def test_correlations_are_those_of_scipy() -> None:
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"date": rng.integers(0, 40, 600), "x": rng.integers(0, 5, 600), "y": rng.standard_normal(600)})
    days, values = daily_rank_ics(table["date"].to_numpy(), table["x"].to_numpy(float), table["y"].to_numpy())
    assert list(days) == sorted(set(table["date"]))
    for day, value in zip(days, values, strict=True):
        rows = table[table["date"] == day]
        assert value == pytest.approx(stats.spearmanr(rows["x"], rows["y"]).statistic, abs=1e-12)
    assert daily_rank_ic(table, "x", "y") == pytest.approx(values.mean())


def test_a_day_without_five_names_or_without_differences_has_none() -> None:
    days = np.repeat([1, 2, 3], [4, 5, 5])
    forecast = np.concatenate([np.arange(4.0), np.ones(5), np.arange(5.0)])
    values = daily_rank_ics(days, forecast, np.concatenate([np.arange(4.0), np.arange(5.0), np.arange(5.0)]))[1]
    assert np.isnan(values[:2]).all()
    assert values[2] == 1.0
    assert math.isnan(daily_rank_ic(pd.DataFrame({"date": [1], "x": [1.0], "y": [1.0]}), "x", "y"))
    assert math.isnan(daily_rank_ic(pd.DataFrame({"date": [], "x": [], "y": []}, dtype=float), "x", "y"))


@pytest.mark.parametrize("persistence", [0.9, 0.99])
@pytest.mark.parametrize("lengths", [(100,), (230,), (230, 230, 230)])
def test_the_test_has_its_size_where_labels_overlap(lengths: tuple[int, ...], persistence: float) -> None:
    rng = np.random.default_rng(len(lengths))
    n = 150
    found = [day_mean([overlapping(rng, k, 20, persistence, 0.0) for k in lengths], 20, 0.95) for _ in range(n)]
    rejected = sum(one.p_value < 0.05 for one in found)
    assert rejected <= 18  # 5 % of 150 is 7.5, four deviations
    assert all((one.low <= 0.0 <= one.high) == (one.p_value >= 0.05) for one in found)


def test_days_taken_for_independent_would_reject_far_too_often() -> None:
    """What the blocks are for: the same data, with a standard error over days."""
    rng = np.random.default_rng(2)
    rejected = 0
    for _ in range(100):
        values = overlapping(rng, 230, 20, 0.99, 0.0)
        rejected += abs(values.mean()) > 1.96 * values.std(ddof=1) / math.sqrt(len(values))
    assert rejected > 40


def test_percentiles_of_resampled_blocks_would_reject_too_often() -> None:
    """Why the interval is not a plain block bootstrap: eleven blocks, which share labels with their neighbours."""
    rng = np.random.default_rng(2)
    rejected = {"percentiles": 0, "blocks": 0}
    for _ in range(200):
        values = overlapping(rng, 230, 20, 0.99, 0.0)
        at = (rng.integers(230, size=(300, 12, 1)) + np.arange(20)).reshape(300, -1)[:, :230] % 230
        low, high = np.quantile(values[at].mean(axis=1), [0.025, 0.975])
        rejected["percentiles"] += not low <= 0.0 <= high
        rejected["blocks"] += day_mean([values], 20, 0.95).p_value < 0.05
    assert rejected["percentiles"] >= 24  # 12 %
    assert rejected["blocks"] <= 22  # 5 % is 10, four deviations


def test_the_error_is_that_of_white_noise_where_nothing_overlaps() -> None:
    parts = [np.random.default_rng(i).standard_normal(4000) for i in range(3)]
    found = day_mean(parts, 1, 0.95)
    assert found.standard_error == pytest.approx(1.0 / math.sqrt(12_000.0), rel=0.1)
    assert found.block == MIN_BLOCK
    assert found.degrees == 3 * 200 - 1
    assert found.estimate == pytest.approx(np.concatenate(parts).mean())


def test_a_ratio_weighs_days_by_their_rows() -> None:
    rng = np.random.default_rng(3)
    counts = rng.integers(1, 9, 400).astype(float)
    found = day_ratio([(2.0 * counts + rng.standard_normal(400), counts)], 10, 0.95)
    assert found.estimate == pytest.approx(2.0, abs=0.1)
    assert found.low < 2.0 < found.high
    assert found.standard_error < 0.05


@pytest.mark.parametrize("n_days", [0, 1, 45])
def test_too_few_blocks_give_no_interval(n_days: int) -> None:
    found = day_mean([np.linspace(0.0, 1.0, n_days)], 20, 0.95)
    assert math.isnan(found.low)
    assert math.isnan(found.p_value)
    assert math.isnan(detectable(found, 0.95))
    assert math.isnan(found.estimate) == (n_days == 0)


def test_an_effect_of_the_smallest_detectable_size_shows_in_four_of_five_samples() -> None:
    rng = np.random.default_rng(4)
    size = float(np.mean([detectable(day_mean([rng.standard_normal(700)], 1, 0.95), 0.95) for _ in range(50)]))
    shown = sum(day_mean([size + rng.standard_normal(700)], 1, 0.95).p_value < 0.05 for _ in range(400))
    assert 0.72 <= shown / 400 <= 0.88


def test_a_family_asks_for_more() -> None:
    found = day_mean([np.random.default_rng(5).standard_normal(700)], 1, 0.95)
    assert detectable(found, 0.95, claims=5) > 1.15 * detectable(found, 0.95)


def written(run: Path, edge: float, n_days: int = 230) -> dict[int, pd.DataFrame]:
    """Module tables of technical and fusion and decisions for two chunks; outcomes follow the trend score by ``edge``."""
    rng = np.random.default_rng(6)
    outcomes = {}
    decisions = []
    for chunk in (1, 2):
        days = np.repeat(pd.bdate_range(f"20{chunk}0-01-04", periods=n_days).to_numpy(), N_NAMES)
        names = np.tile([f"N{i}" for i in range(N_NAMES)], n_days)
        score, other = rng.standard_normal((2, len(days)))
        keys = {"date": days, "ticker": names}
        technical = pd.DataFrame({**keys, "trend_score": score, "momentum_score": other, "known": True})
        technical.loc[::7, ["trend_score", "known"]] = [99.0, False]  # what is not known must not count
        fusion = pd.DataFrame({**keys, "learned_fusion_signal": -score, "known": True})
        for module, table in (("technical", technical), ("fusion", fusion)):
            (run / "modules" / module).mkdir(parents=True, exist_ok=True)
            table.to_parquet(run / "modules" / module / f"chunk{chunk}_test.parquet", index=False)
        for split in ("val", "test"):
            effective = np.where(split == "test", score, -score)
            decisions.append(pd.DataFrame({"chunk": chunk, "split": split, **keys, "final_effective_signal": effective}))
        forward = edge * score + rng.standard_normal(len(days))
        outcomes[chunk] = pd.DataFrame(
            {**keys, "forward_log_return_20d": forward, "forward_log_return_5d": rng.standard_normal(len(days))}
        )
        outcomes[chunk].loc[outcomes[chunk]["date"] > days[-20 * N_NAMES], "forward_log_return_20d"] = np.nan
    pd.concat(decisions, ignore_index=True).to_parquet(run / "decisions.parquet", index=False)
    return outcomes


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[RankIC]:
    run = tmp_path_factory.mktemp("signals")
    return rank_ics(run, written(run, edge=0.5), 0.95)


def test_a_planted_signal_is_found_with_its_sign(found: list[RankIC]) -> None:
    rows = {(row["signal"], row["horizon"], row["chunk"]): row for row in signal_rows(found)}
    assert len(rows) == 4 * 2 * 3  # the run has no quantitative and no qualitative answers
    pooled = rows["trend_score", 20, 0]
    assert 0.35 < pooled["rank_ic"] < 0.5
    assert pooled["low"] > 0.3
    assert rows["learned_fusion_signal", 20, 0]["high"] < -0.3
    assert rows["final_effective_signal", 20, 0]["rank_ic"] > 0.35  # test rows, not those of validation
    assert pooled["n_days"] == rows["trend_score", 20, 1]["n_days"] + rows["trend_score", 20, 2]["n_days"]
    assert rows["trend_score", 5, 0]["n_days"] == 460


def test_claims_are_about_the_horizon_that_a_signal_was_made_for(found: list[RankIC]) -> None:
    claims = {row["subject"]: row for row in signal_claims(found, 0.95)}
    assert list(claims) == [
        *("technical.trend_score", "technical.momentum_score", "fusion.learned_fusion_signal"),
        "decisions.final_effective_signal",
    ]
    assert claims["technical.trend_score"]["verdict"] == "supported"
    assert claims["fusion.learned_fusion_signal"]["verdict"] == "refuted"
    momentum = next(one for one in found if one.name == "technical.momentum_score" and one.is_claim)
    assert momentum.horizon == 5
    assert claims["technical.momentum_score"]["p_value"] == momentum.found.p_value
    assert claims["technical.momentum_score"]["smallest_detectable"] > detectable(momentum.found, 0.95)


def test_a_chunk_without_answers_leaves_the_signal_out(tmp_path: Path) -> None:
    outcomes = written(tmp_path, edge=0.0)
    (tmp_path / "modules" / "technical" / "chunk2_test.parquet").unlink()
    assert {one.signal.module for one in rank_ics(tmp_path, outcomes, 0.95)} == {"fusion", "decisions"}
