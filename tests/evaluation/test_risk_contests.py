"""Contests of risk forecasts: losses by hand, the two tests where nothing is to find, and files of a run end to end."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score, log_loss, mean_pinball_loss

from glassbox_bt.evaluation import forecast_losses as losses
from glassbox_bt.evaluation._risk_rivals import RISK_CONTESTS
from glassbox_bt.evaluation.dayblocks import day_mean
from glassbox_bt.evaluation.forecast_losses import Ranked, average_precision, diebold_mariano, jackknife
from glassbox_bt.evaluation.risk_calibration import RISK_PROBABILITIES, risk_calibration_rows, risk_calibrations
from glassbox_bt.evaluation.risk_contests import contest_rows, risk_contests, selection_rows
from glassbox_bt.evaluation.risk_thresholds import threshold_rows
from glassbox_bt.evaluation.statistics import plain
from glassbox_bt.market.regime_labels import REGIME_LABELS, REGIMES
from glassbox_bt.types import FloatArray
from tests.evaluation.samples import QUICK

N_DAYS, N_NAMES, LEVEL = 240, 12, 0.95


def test_losses_are_the_textbook_ones() -> None:
    rng = np.random.default_rng(1)
    forecast, outcome = rng.uniform(0.1, 0.9, 50), rng.uniform(0.1, 0.9, 50)
    event = (rng.random(50) < 0.4).astype(float)
    both = np.stack([forecast, forecast + 0.1])
    wanted = (mean_pinball_loss(outcome, both[0], alpha=0.5) + mean_pinball_loss(outcome, both[1], alpha=0.9)) / 2.0
    assert losses.pinball(both, outcome).mean() == pytest.approx(wanted)
    assert losses.log_loss(forecast[None], event).mean() == pytest.approx(log_loss(event, forecast))
    assert losses.brier(forecast[None], event).mean() == pytest.approx(np.mean((forecast - event) ** 2))
    assert losses.qlike(outcome[None], outcome) == pytest.approx(np.zeros(50))
    assert losses.qlike(np.array([[0.2]]), np.array([0.4]))[0] == pytest.approx(4.0 - math.log(4.0) - 1.0)
    four = rng.dirichlet(np.ones(4), 50)
    named = rng.integers(0, 4, 50)
    wanted = log_loss(named, four, labels=[0, 1, 2, 3])
    assert losses.multiclass_log_loss(four.T, named.astype(float)).mean() == pytest.approx(wanted)
    assert np.isfinite(losses.log_loss(np.array([[0.0, 1.0]]), np.array([1.0, 0.0]))).all()


def test_average_precision_is_sklearn_s_and_that_of_a_constant_the_rate() -> None:
    rng = np.random.default_rng(2)
    event = (rng.random(400) < 0.1).astype(float)
    for score in (rng.random(400), np.round(rng.random(400), 1), event + rng.random(400)):
        assert average_precision(score, event) == pytest.approx(average_precision_score(event, score))
    assert average_precision(np.full(400, 0.3), event) == pytest.approx(event.mean())
    assert math.isnan(average_precision(rng.random(5), np.zeros(5)))


def test_diebold_mariano_at_one_session_is_student_s_t() -> None:
    values = np.random.default_rng(3).normal(0.1, 1.0, 60)
    statistic, p_value = diebold_mariano([values], 1)
    wanted = stats.ttest_1samp(values, 0.0)
    assert statistic == pytest.approx(wanted.statistic)
    assert p_value == pytest.approx(wanted.pvalue)


def test_diebold_mariano_by_hand() -> None:
    values = np.random.default_rng(4).normal(0.0, 1.0, 50)
    d = values - values.mean()
    variance = (d @ d + 2.0 * d[1:] @ d[:-1]) / 50
    small = (50 + 1 - 4 + 2 / 50) / 50
    assert diebold_mariano([values], 2)[0] == pytest.approx(values.mean() / math.sqrt(variance / 50) * math.sqrt(small))
    apart = diebold_mariano([values[:25], values[25:]], 2)[0]
    without = (d @ d + 2.0 * (d[1:] @ d[:-1] - d[25] * d[24])) / 50  # no product across the border
    assert apart == pytest.approx(values.mean() / math.sqrt(without / 50) * math.sqrt(small))
    assert math.isnan(diebold_mariano([values], 26)[0])
    assert math.isnan(diebold_mariano([np.zeros(50)], 2)[0])


@pytest.mark.parametrize("horizon", [1, 10, 60])
def test_blocks_keep_their_level_where_diebold_and_mariano_do_not(horizon: int) -> None:
    """Differences of overlapping labels: moving sums of independent days, three years of them."""
    rng = np.random.default_rng(5)
    n, n_days = 400, 240 - horizon
    kernel = np.ones(horizon)
    rejected = {"blocks": 0, "diebold": 0}
    for _ in range(n):
        parts = [np.convolve(rng.standard_normal(n_days + horizon - 1), kernel, "valid") for _ in range(3)]
        rejected["blocks"] += day_mean(parts, horizon, LEVEL).p_value < 0.05
        rejected["diebold"] += diebold_mariano(parts, horizon)[1] < 0.05
    assert rejected["blocks"] <= stats.binom.ppf(0.999, n, 0.06)
    if horizon == 60:
        assert rejected["diebold"] > rejected["blocks"]


def ranked(rng: np.random.Generator, skill: float) -> Ranked:
    """Events with a chance that the first score knows to a degree; the second is as good without skill."""
    day = np.repeat(np.arange(N_DAYS), N_NAMES)
    chance = rng.uniform(0.0, 0.2, len(day))
    event = (rng.random(len(day)) < chance).astype(float)
    first, second = (chance * one + rng.uniform(0.0, 0.2, len(day)) for one in (skill, 0.0))
    return Ranked(day, first, second, event)


def test_the_jackknife_of_average_precision() -> None:
    rng = np.random.default_rng(6)
    none = [jackknife([ranked(rng, 0.0) for _ in range(3)], 5, LEVEL) for _ in range(60)]
    assert sum(one.p_value < 0.05 for one in none) <= stats.binom.ppf(0.999, 60, 0.05)
    skilled = jackknife([ranked(rng, 2.0) for _ in range(3)], 5, LEVEL)
    assert skilled.low > 0.0
    assert skilled.degrees == 3 * (N_DAYS // 20) - 1
    assert math.isnan(jackknife([ranked(rng, 1.0)], 120, LEVEL).p_value)  # two blocks


def table(rng: np.random.Generator, columns: Mapping[str, FloatArray]) -> pd.DataFrame:
    day = np.repeat(pd.bdate_range("2010-01-04", periods=N_DAYS).to_numpy(), N_NAMES)
    names = np.tile([f"N{number:02d}" for number in range(N_NAMES)], N_DAYS)
    made = pd.DataFrame({"date": day, "ticker": names, **columns, "known": rng.random(len(day)) < 0.95})
    return made.sample(frac=1.0, random_state=1)


def written(run: Path, splits: tuple[str, ...] = ("test",), seed: int = 7) -> dict[str, dict[int, pd.DataFrame]]:
    """Two chunks of a volatility, a drawdown and a contagion module that know more than their rivals; outcomes by split.

    The drawdown's answers are its anchor's; on validation the volatility module is better than its anchor, on test worse.
    """
    rng = np.random.default_rng(seed)
    size = N_DAYS * N_NAMES
    outcomes: dict[str, dict[int, pd.DataFrame]] = {split: {} for split in splits}
    for split in splits:
        for chunk in (1, 2):
            vol = {h: np.exp(rng.normal(-1.5, 0.4, size)) for h in (10, 30)}
            spread = 0.15 if split == "val" else 0.25
            volatility = {f"vol_{h}d": one * np.exp(rng.normal(0.0, spread, size)) for h, one in vol.items()}
            volatility |= {f"vol_{h}d_anchor": one * np.exp(rng.normal(0.0, 0.2, size)) for h, one in vol.items()}
            volatility |= {name: vol[10] * np.exp(rng.normal(0.0, 0.6, size)) for name in ("garch_vol", "ewma_vol")}
            drawdown, fall = {}, {h: rng.uniform(0.0, 0.12, size) for h in (10, 30)}
            for h in (10, 30):
                for name in (f"drawdown_q50_{h}d", f"drawdown_q90_{h}d", f"drawdown_risk_{h}d"):
                    drawdown[name] = drawdown[f"{name}_anchor"] = rng.uniform(0.0, 0.12, size)
            chance = rng.uniform(0.0, 0.3, size)
            contagion = {f"contagion_{h}d": chance for h in (5, 20, 60)}
            contagion |= {f"contagion_{h}d_raw": np.minimum(3.0 * chance, 1.0) for h in (5, 20, 60)}
            contagion |= {f"own_history_{h}d": np.full(size, 0.15) + 0.1 * rng.random(size) for h in (5, 20, 60)}
            contagion |= {f"base_rate_{h}d": np.full(size, 0.15) for h in (5, 20, 60)}
            for module, columns in (("volatility", volatility), ("drawdown", drawdown), ("contagion", contagion)):
                (run / "modules" / module).mkdir(parents=True, exist_ok=True)
                table(rng, columns).to_parquet(run / "modules" / module / f"chunk{chunk}_{split}.parquet", index=False)
            labels = {f"forward_vol_{h}d": one for h, one in vol.items()}
            labels |= {f"forward_drawdown_{h}d": one for h, one in fall.items()}
            labels |= {f"tail_event_{h}d": (rng.random(size) < chance).astype(float) for h in (5, 20, 60)}
            labels["tail_event_60d"][:50] = np.nan
            outcomes[split][chunk] = table(rng, labels).drop(columns="known")
    return outcomes


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[int, pd.DataFrame]]]:
    folder = tmp_path_factory.mktemp("contests")
    return folder, written(folder, ("test", "val"))


@pytest.fixture(scope="module")
def found(run: tuple[Path, dict[str, dict[int, pd.DataFrame]]]) -> list[dict[str, Any]]:
    folder, outcomes = run
    made: list[dict[str, Any]] = plain(contest_rows(risk_contests(folder, outcomes["test"], LEVEL)))
    json.dumps(made, allow_nan=False)
    return made


def one(rows: list[dict[str, Any]], **wanted: Any) -> dict[str, Any]:
    (row,) = (row for row in rows if all(row[key] == value for key, value in wanted.items()))
    return row


def test_a_forecast_that_knows_more_is_supported(found: list[dict[str, Any]]) -> None:
    for measure in ("QLIKE", "RMSE"):
        row = one(found, module="volatility", measure=measure, horizon=10, rival="GARCH", chunk=0)
        assert row["verdict"] == "supported"
        assert row["low"] > 0.0
        assert row["dm_p"] < 0.01
        assert row["answer_score"] < row["rival_score"]
    for measure in ("average_precision", "Brier", "log loss"):
        for rival in ("anchor", "base rate"):
            row = one(found, module="contagion", measure=measure, horizon=5, rival=rival, chunk=0)
            assert row["verdict"] == "supported", (measure, rival)
            assert (row["answer_score"] > row["rival_score"]) == (measure == "average_precision")
    assert one(found, module="volatility", measure="QLIKE", horizon=10, rival="anchor", chunk=0)["verdict"] == "refuted"


def test_what_was_not_written_is_not_compared(found: list[dict[str, Any]]) -> None:
    rivals = {(row["module"], row["horizon"], row["rival"]) for row in found}
    assert ("volatility", 10, "HAR-RV") not in rivals
    assert ("drawdown", 10, "volatility bucket") not in rivals
    assert not any(row["module"] == "regime" for row in found)


def test_an_answer_that_is_its_anchor_s_is_not_tested(found: list[dict[str, Any]]) -> None:
    for row in found:
        if row["module"] == "drawdown":
            assert row["verdict"] == "not tested"
            assert row["withheld"] == "the answer is the anchor's own: the network adds nothing"
            assert row["p_value"] is row["dm_p"] is row["p_holm"] is None
            assert row["estimate"] == 0.0


def test_rows_and_scores_are_those_of_the_known_days(
    run: tuple[Path, dict[str, dict[int, pd.DataFrame]]], found: list[dict[str, Any]]
) -> None:
    folder, outcomes = run
    said = pd.read_parquet(folder / "modules" / "contagion" / "chunk1_test.parquet")
    rows = said[said["known"]].merge(outcomes["test"][1], on=["date", "ticker"]).dropna(subset=["tail_event_60d"])
    row = one(found, module="contagion", measure="Brier", horizon=60, rival="base rate", chunk=1)
    assert row["n_rows"] == len(rows)
    squares = (rows["contagion_60d"] - rows["tail_event_60d"]) ** 2
    assert row["answer_score"] == pytest.approx(squares.groupby(rows["date"]).mean().mean())
    row = one(found, module="contagion", measure="average_precision", horizon=60, rival="base rate", chunk=1)
    assert row["rival_score"] == pytest.approx(rows["tail_event_60d"].mean())


def test_holm_corrects_within_a_module_s_measure_and_span(found: list[dict[str, Any]]) -> None:
    family = [row for row in found if row["module"] == "contagion" and row["measure"] == "Brier" and row["chunk"] == 1]
    smallest = min(row["p_value"] for row in family)
    assert min(row["p_holm"] for row in family) == pytest.approx(min(1.0, len(family) * smallest))
    assert len(family) == 6


def test_chance_wins_no_verdict(tmp_path: Path) -> None:
    """Twelve runs whose answers and rivals are equally good."""
    supported = 0
    for seed in range(12):
        rng, folder = np.random.default_rng(seed), tmp_path / str(seed)
        (folder / "modules" / "volatility").mkdir(parents=True)
        size = N_DAYS * N_NAMES
        vol = np.exp(rng.normal(-1.5, 0.4, size))
        columns = {name: vol * np.exp(rng.normal(0.0, 0.3, size)) for name in ("vol_10d", "garch_vol", "ewma_vol")}
        table(rng, columns).to_parquet(folder / "modules" / "volatility" / "chunk1_test.parquet", index=False)
        rows = contest_rows(risk_contests(folder, {1: table(rng, {"forward_vol_10d": vol})}, LEVEL))
        supported += any(row["verdict"] == "supported" for row in rows if row["measure"] == "QLIKE" and row["chunk"] == 0)
    assert supported <= stats.binom.ppf(0.999, 12, 0.025)


def test_who_won_validation_and_lost_test(run: tuple[Path, dict[str, dict[int, pd.DataFrame]]]) -> None:
    folder, outcomes = run
    place = folder / "models" / "volatility" / "chunk1"
    place.mkdir(parents=True)
    told = {"variant": "anchored", "losses": {"anchored": 0.3, "anchor": 0.4}, "calibrated_rows": 0}
    (place / "selection.json").write_text(json.dumps(told), encoding="utf-8")
    (place / "training_summary.json").write_text(json.dumps({"variant": "anchored"}), encoding="utf-8")
    rows = selection_rows(folder, outcomes)
    before, after = (
        one(rows, module="volatility", measure="QLIKE", horizon=10, chunk=1, split=split) for split in ("val", "test")
    )
    assert (before["winner"], after["winner"], after["validation_winner_lost"]) == ("network", "anchor", True)
    assert before["variant"] == after["variant"] == "anchored"
    chosen = one(rows, module="volatility", measure="selection", chunk=1)
    assert (chosen["loss"], chosen["anchor_loss"], chosen["winner"], chosen["selection"]) == (0.3, 0.4, "network", 1)
    assert {row["selection"] for row in rows if row["split"] == "val"} == {1}
    assert {row["selection"] for row in rows if row["split"] == "test"} == {0}
    same = one(rows, module="drawdown", measure="pinball", horizon=10, chunk=2, split="test")
    assert (same["winner"], same["validation_winner_lost"], same["variant"]) == ("equal", None, None)


def test_the_network_that_validation_rejected_is_scored_on_test_all_the_same(tmp_path: Path) -> None:
    outcomes = written(tmp_path, ("test", "val"))
    place, told = tmp_path / "models" / "volatility" / "chunk1", tmp_path / "modules" / "volatility" / "chunk1_test.parquet"
    place.mkdir(parents=True)
    losses = {"anchored": 0.5, "anchor": 0.4}
    (place / "selection.json").write_text(json.dumps({"variant": "anchor", "losses": losses}), encoding="utf-8")
    (place / "training_summary.json").write_text(json.dumps({"variant": "anchored"}), encoding="utf-8")
    network = pd.read_parquet(told)
    network.to_parquet(told.with_name("chunk1_rejected.parquet"), index=False)
    network.assign(vol_10d=network["vol_10d_anchor"]).to_parquet(told, index=False)
    (after,) = [
        row
        for row in selection_rows(tmp_path, outcomes)
        if (row["module"], row["measure"], row["horizon"], row["chunk"], row["split"])
        == ("volatility", "QLIKE", 10, 1, "test")
    ]
    assert after["variant"] == "anchor"
    assert after["loss"] != after["anchor_loss"]
    assert after["winner"] in ("network", "anchor")


def test_validation_moves_no_contest(tmp_path: Path, found: list[dict[str, Any]]) -> None:
    outcomes = written(tmp_path, ("test", "val"))
    for path in sorted((tmp_path / "modules").rglob("*_val.parquet")):
        path.unlink()
    assert plain(contest_rows(risk_contests(tmp_path, outcomes["test"], LEVEL))) == found


def test_regimes_are_named_by_the_rule_of_the_fit(tmp_path: Path) -> None:
    """One answer a day in the rows of all names; the outcome is named with the train percentiles that the fit recorded."""
    from safetensors.numpy import save_file

    rng = np.random.default_rng(8)
    points = {"p50": 0.1, "p75": 0.2, "p90": 0.3}
    used = np.zeros(len(REGIME_LABELS), dtype=bool)
    used[0] = True  # the volatility of the market alone
    arrays = {f"rule.{name}": np.full(len(REGIME_LABELS), value) for name, value in points.items()}
    (tmp_path / "models" / "regime" / "chunk1").mkdir(parents=True)
    save_file({**arrays, "rule.used": used}, str(tmp_path / "models" / "regime" / "chunk1" / "frozen.safetensors"))
    vol = rng.choice([0.05, 0.25, 0.5], N_DAYS)
    state = np.select([vol > 0.3, vol > 0.2], [2, 1], 0)  # crisis, volatile, calm
    chances = np.full((N_DAYS, 4), 0.1)
    chances[np.arange(N_DAYS), state] = 0.7
    columns = {f"prob_{name}": chances[:, place] for place, name in enumerate(REGIMES)}
    columns |= {f"prob_{name}_raw": np.full(N_DAYS, 0.25) for name in REGIMES}
    columns |= {f"prob_{name}_{rival}": np.full(N_DAYS, 0.25) for rival in ("persistence", "vix_rule") for name in REGIMES}
    columns |= {"transition_probability": np.full(N_DAYS, 0.5), "transition_probability_raw": np.full(N_DAYS, 0.9)}
    (tmp_path / "modules" / "regime").mkdir(parents=True)
    by_name = {name: np.repeat(values, N_NAMES) for name, values in columns.items()}
    said = table(rng, by_name)
    today = np.where(np.arange(N_DAYS) < 100, "calm", "crisis")
    said["nowcast_regime"] = said["date"].map(dict(zip(np.sort(said["date"].unique()), today, strict=True)))
    said.to_parquet(tmp_path / "modules" / "regime" / "chunk1_test.parquet", index=False)
    labels = {name: np.full(N_DAYS * N_NAMES, np.nan) for name in REGIME_LABELS}
    labels[REGIME_LABELS[0]] = np.repeat(vol, N_NAMES)
    outcomes = {1: table(rng, labels).drop(columns="known")}
    rows = contest_rows(risk_contests(tmp_path, outcomes, LEVEL))
    assert {row["rival"] for row in rows} == {"persistence", "VIX rule"}
    row = one(rows, rival="persistence", chunk=0)
    assert row["answer_score"] == pytest.approx(-math.log(0.7))
    assert row["rival_score"] == pytest.approx(-math.log(0.25))
    assert (row["n_rows"], row["n_days"]) == (N_DAYS, N_DAYS)
    told = risk_calibration_rows(risk_calibrations(tmp_path, outcomes, QUICK, 7))
    crisis = {row["stage"]: row for row in told if row["probability"].startswith("prob_crisis") and row["chunk"] == 0}
    assert crisis["raw"]["rate"] == pytest.approx(float((state == 2).mean()))
    assert crisis["calibrated"]["brier"] < crisis["raw"]["brier"]
    change = one(told, probability="transition_probability", chunk=1)
    assert change["n_rows"] == N_DAYS - 20
    assert change["rate"] == pytest.approx(20 / (N_DAYS - 20))  # days 80 to 99


def test_probabilities_before_and_after_they_were_put_right(run: tuple[Path, dict[str, dict[int, pd.DataFrame]]]) -> None:
    folder, outcomes = run
    rows = plain(risk_calibration_rows(risk_calibrations(folder, outcomes["test"], QUICK, 7)))
    json.dumps(rows, allow_nan=False)
    raw, right = (
        one(rows, probability=f"contagion_20d{ending}", chunk=0, stage=stage)
        for ending, stage in (("_raw", "raw"), ("", "calibrated"))
    )
    assert right["brier"] < raw["brier"]
    assert right["log_loss"] < raw["log_loss"]
    assert right["ece"] < 0.05 < raw["ece"]
    assert right["base_log_loss"] == raw["base_log_loss"] > right["log_loss"]
    for row in rows:
        assert sum(part["n"] for part in row["bins"]) == row["n_rows"]
        assert row["base_brier"] == pytest.approx(row["rate"] * (1.0 - row["rate"]))
    assert {row["module"] for row in rows} == {"contagion", "drawdown"}
    assert {row["chunk"] for row in rows} == {0, 1, 2}


def test_thresholds_stand_beside_their_train_quantiles(tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    (tmp_path / "modules" / "drawdown").mkdir(parents=True)
    (tmp_path / "modules" / "position_sizing").mkdir(parents=True)
    for split, top in (("train", 1.0), ("test", 0.5)):
        score = top * (np.arange(N_DAYS * N_NAMES) + 0.5) / (N_DAYS * N_NAMES)
        made = table(rng, {"drawdown_risk_score": score}).assign(known=True)
        made.to_parquet(tmp_path / "modules" / "drawdown" / f"chunk1_{split}.parquet", index=False)
        sizes = {"drawdown_risk_score": np.where(score > 0.5, score, 0.0), "drawdown_risk_available": (score > 0.5) * 1.0}
        made = table(rng, sizes).assign(known=True)
        made.to_parquet(tmp_path / "modules" / "position_sizing" / f"chunk1_{split}.parquet", index=False)
    manifest = {"plan": {"rules": _rules(drawdown_risk=0.8), "modules": {}}}
    rows = plain(threshold_rows(tmp_path, manifest, [1]))
    row = one(rows, rule="RB-03")
    assert (row["train_quantile"], row["train_share"], row["test_share"]) == pytest.approx((0.8, 0.2, 0.0), abs=1e-3)
    sizing = one(rows, score="drawdown_risk_score", threshold=0.75)
    assert sizing["train_share"] == pytest.approx(0.5, abs=1e-3)  # of the available half
    assert sizing["test_share"] is None  # none was available
    assert sizing["n_test_rows"] == 0


def _rules(**changed: float) -> dict[str, Any]:
    import dataclasses

    from glassbox_bt.decision.rules import Rules

    return {**dataclasses.asdict(Rules()), **changed}


def test_columns_are_those_that_the_modules_write() -> None:
    from glassbox_bt.modules.risk.contagion import StemGnnContagion
    from glassbox_bt.modules.risk.drawdown import Drawdown
    from glassbox_bt.modules.risk.regime import MtgnnRegime
    from glassbox_bt.modules.risk.volatility import Volatility

    written_by = {one.name: set(one.outputs) for one in (Volatility, Drawdown, StemGnnContagion, MtgnnRegime)}
    for contest in RISK_CONTESTS:
        assert {*contest.answer, *contest.against} <= written_by[contest.module], contest
    for told in RISK_PROBABILITIES:
        assert {told.of.column, *told.of.also} <= written_by[told.of.module], told
