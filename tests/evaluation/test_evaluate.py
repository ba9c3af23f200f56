"""The evaluation of a tiny real run, end to end: its shape, its bytes, and what it does not read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import pytest

from glassbox_bt.backtest import facts_of, identity_of, read_market, walk_forward
from glassbox_bt.errors import ContractError, RunFolderError
from glassbox_bt.evaluation import evaluate
from glassbox_bt.evaluation.books import read_books
from glassbox_bt.evaluation.comparisons import ABLATION_COLUMNS
from glassbox_bt.evaluation.intervals import MEASURES
from glassbox_bt.evaluation.performance import strategy_metrics
from glassbox_bt.evaluation.statistics import plain
from glassbox_bt.plan import plan_from
from glassbox_bt.runs.manifest import Manifest, file_digest
from tests.evaluation.samples import variant, write_ablations
from tests.flow.tiny import TWO_CHUNKS, tiny_table

RIVALS = ("Cash", "BuyAndHold", "MonthlyEqualWeight")
STRATEGIES = ("glassbox", "formula_only", "sizing_only", "cash", "buy_and_hold", "monthly_1n", "benchmark")
NEW = ("settings", "pooled", "intervals", "comparisons", "families", "sharpe_tests", "signals", "calibration", "verdicts")
TEXT = ("text_controls", "text_coverage", "text_contests", "text_readers")  # empty here: the tiny plan keeps text silent
TAIL_TESTS = ("coverage", "independence", "conditional", "dynamic", "severity", "tail_loss")
COLUMNS = {
    "pooled": "strategy n_sessions n_chunks " + " ".join(MEASURES),
    "intervals": "strategy chunk measure estimate low high standard_error block withheld",
    "comparisons": "family name chunk measure stack rival difference low high p_value p_holm smallest_detectable verdict "
    "n_sessions",
    "families": "family measure test chunk p_lower p_consistent p_upper included excluded left_out block n",
    "sharpe_tests": "strategy chunk sharpe psr dsr n_trials min_track_record",
    "signals": "module signal outcome horizon chunk rank_ic low high p_value n_days block",
    "calibration": "module confidence event scale chunk n_rows n_days brier base_brier ece ece_low ece_high bins",
    "verdicts": "claim kind subject family measure estimate low high p_value p_holm smallest_detectable "
    "smallest_effect verdict",
    "risk_backtests": "chunk ticker level n_days n_hits rate flagged withheld "
    + " ".join(f"{test}_{what}" for test in TAIL_TESTS for what in ("statistic", "p", "q")),
    "risk_backtest_tests": "chunk level test n_names n_tested n_below n_by_chance n_flagged n_flagged_any",
    "risk_backtest_verdicts": "chunk level figure stated estimate low high p_value p_holm smallest_effect "
    "smallest_detectable n_days n_rows block verdict",
    "risk_tail_contests": "chunk level rival answer_score rival_score estimate low high p_value p_holm dm_statistic dm_p "
    "smallest_effect smallest_detectable verdict n_days n_rows block",
    "risk_exceedances": "chunk date n_names hits_95 hits_99",
    "risk_contests": "module measure horizon rival chunk answer_score rival_score estimate low high standard_error p_value "
    "p_holm dm_statistic dm_p smallest_effect smallest_detectable verdict n_days n_rows block withheld",
    "risk_selection": "module measure horizon chunk split selection variant loss anchor_loss n_rows winner "
    "validation_winner_lost",
    "risk_calibration": "module probability stage event horizon chunk n_rows n_days rate brier base_brier log_loss "
    "base_log_loss ece ece_low ece_high bins",
    "risk_thresholds": "rule module score fires threshold chunk train_quantile train_share test_share n_train_rows "
    "n_test_rows",
}
ROWS = {key: set(columns.split()) for key, columns in COLUMNS.items()}
SETTINGS = "level n_boot primary smallest_effect power risk_free sessions_per_year bootstrap n_trials test_label_reads"
VERDICTS = {"supported", "refuted", "underpowered", "not tested", "no effect on inputs"}


def walked(folder: Path) -> Path:
    """A tiny run of two chunks up to where it is evaluated."""
    plan = plan_from(
        tiny_table(chunks=TWO_CHUNKS, strategies=[f"strategies:{name}" for name in RIVALS], statistics={"n_boot": 100})
    )
    market = read_market(plan)
    manifest = Manifest.start(folder, identity_of(plan, market, "cpu"), facts_of(plan, market, folder))
    manifest.update(**walk_forward(plan, market, folder, "cpu", 1, lambda _what, _share: None))
    return folder


def ablate(run: Path) -> None:
    """Three variants of made-up books on the stack's days, one of which changed nothing."""
    stack = read_books(run, json.loads((run / "manifest.json").read_text())).strategies["glassbox"]
    kept = ["date", "equity", "cash", "exposure", "traded", "costs", "return"]
    worse = {chunk: days[kept].assign(**{"return": days["return"] - 2e-3}) for chunk, days in stack.items()}
    same = {chunk: days[kept] for chunk, days in stack.items()}
    variants = [variant("without_a"), variant("without_b"), variant("without_c", effect="none")]
    write_ablations(run, variants, {"without_a": worse, "without_b": same})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = walked(tmp_path_factory.mktemp("evaluated") / "run")
    ablate(folder)
    evaluate(folder)
    return folder


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    skipped = shutil.ignore_patterns("artefacts")
    return Path(shutil.copytree(run, tmp_path / "copy", ignore=skipped))


@pytest.fixture(scope="module")
def metrics(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = read(run)
    return found


def read(run: Path) -> Any:
    def refuse(constant: str) -> NoReturn:
        raise AssertionError(f"metrics.json holds {constant}")

    return json.loads((run / "metrics.json").read_text(encoding="utf-8"), parse_constant=refuse)


def test_every_key_is_there(metrics: dict[str, Any]) -> None:
    assert set(metrics) == {"strategies", "learned", *NEW, *ROWS, *TEXT}
    assert not any(metrics[key] for key in TEXT)
    assert set(SETTINGS.split()) <= set(metrics["settings"])
    for key, columns in ROWS.items():
        assert metrics[key], key
        assert all(set(row) == columns for row in metrics[key]), key


def test_values_have_their_types(metrics: dict[str, Any]) -> None:
    words = {"strategy", "measure", "family", "name", "module", "signal", "outcome", "verdict", "event", "claim", "kind"}
    for key in ROWS:
        for row in metrics[key]:
            for column, value in row.items():
                if column in words:
                    assert isinstance(value, str), (key, column)
                elif column == "n_by_chance":
                    assert isinstance(value, float), (key, column)
                elif column.startswith(("n_", "chunk", "block", "horizon")) or column == "n":
                    assert isinstance(value, int), (key, column)
                elif column in ("low", "high", "p_value", "p_holm", "estimate", "psr", "dsr", "brier"):
                    assert value is None or isinstance(value, float), (key, column)
    probabilities = [row[name] for row in metrics["sharpe_tests"] for name in ("psr", "dsr") if row[name] is not None]
    assert all(0.0 <= value <= 1.0 for value in probabilities)
    assert {row["verdict"] for key in ("comparisons", "verdicts") for row in metrics[key]} <= VERDICTS


def test_what_was_written_before_is_unchanged(run: Path, metrics: dict[str, Any]) -> None:
    assert metrics["strategies"] == plain(strategy_metrics(run))
    assert {row["module"] for row in metrics["learned"]} >= {"technical", "fusion", "volatility"}
    assert {row["split"] for row in metrics["learned"]} == {"val", "test"}


def test_every_strategy_and_span_has_its_rows(metrics: dict[str, Any]) -> None:
    assert [row["strategy"] for row in metrics["pooled"]] == [row["strategy"] for row in metrics["sharpe_tests"]][:7]
    assert {row["strategy"] for row in metrics["pooled"]} == set(STRATEGIES)
    assert {(row["strategy"], row["chunk"], row["measure"]) for row in metrics["intervals"]} == {
        (name, span, measure) for name in STRATEGIES for span in (0, 1, 2) for measure in MEASURES
    }
    rivals = set(STRATEGIES) - {"glassbox"}
    assert {(row["name"], row["chunk"], row["measure"]) for row in metrics["comparisons"]} == {
        (name, span, measure) for name in rivals for span in (0, 1, 2) for measure in ("sharpe", "annual_return")
    }


def test_the_chunk_s_estimates_are_the_recorded_metrics(metrics: dict[str, Any]) -> None:
    recorded = {(row["strategy"], row["chunk"]): row for row in metrics["strategies"] if row["split"] == "test"}
    for row in metrics["intervals"]:
        if row["chunk"]:
            wanted = recorded[row["strategy"], row["chunk"]][row["measure"]]
            assert row["estimate"] == (pytest.approx(wanted) if wanted is not None else None)


def test_an_interval_is_there_or_says_why_not(metrics: dict[str, Any]) -> None:
    for row in metrics["intervals"]:
        assert (row["low"] is None) == (row["high"] is None) == bool(row["withheld"])
        if row["low"] is not None:
            assert row["low"] <= row["high"]


def test_signals_and_confidences_of_this_stack(metrics: dict[str, Any]) -> None:
    assert {row["signal"] for row in metrics["signals"]} == {
        *("trend_score", "momentum_score", "risk_adjusted_quantitative_signal", "learned_fusion_signal"),
        "final_effective_signal",
    }
    assert {row["confidence"] for row in metrics["calibration"]} == {
        *("timing_confidence", "quantitative_confidence", "quantitative_risk_prob", "learned_fusion_confidence"),
        *("learned_sell_prob", "learned_hold_prob", "learned_buy_prob", "learned_fusion_risk_prob"),
    }
    for row in metrics["calibration"]:
        assert sum(one["n"] for one in row["bins"]) == row["n_rows"]


def test_one_verdict_per_claim(metrics: dict[str, Any]) -> None:
    claims = [row["claim"] for row in metrics["verdicts"]]
    assert len(set(claims)) == len(claims)
    kinds = pd.Series([row["kind"] for row in metrics["verdicts"]]).value_counts()
    assert dict(kinds) == {"rival": 6, "ablation": 3, "signal": 5, "calibration": 7}
    verdicts = {row["claim"]: row["verdict"] for row in metrics["verdicts"]}
    assert verdicts["rival/cash"] == "not tested"
    assert verdicts["ablation/without_a"] == "supported"
    assert verdicts["ablation/without_b"] == "not tested"  # the same book
    assert verdicts["ablation/without_c"] == "no effect on inputs"


def test_trials_are_counted(metrics: dict[str, Any]) -> None:
    assert metrics["settings"]["n_configurations"] == 5
    assert metrics["settings"]["n_trials"] == 5
    tried = {row["strategy"]: row["n_trials"] for row in metrics["sharpe_tests"]}
    assert tried["glassbox"] == 5
    assert tried["monthly_1n"] == 1


def test_table_of_ablations(run: Path) -> None:
    table = pd.read_parquet(run / "ablations" / "results.parquet")
    assert tuple(table.columns) == ABLATION_COLUMNS
    assert list(dict.fromkeys(table["variant"])) == ["without_a", "without_b", "without_c"]
    assert set(table["verdict"]) <= VERDICTS


def test_the_same_bytes_twice_and_elsewhere(run: Path, copy: Path) -> None:
    names = ("metrics.json", "ablations/results.parquet")
    before = [file_digest(run / name) for name in names]
    (copy / "metrics.json").unlink()
    evaluate(copy)
    assert [file_digest(copy / name) for name in names] == before
    manifest = Manifest.open(copy)
    assert manifest is not None
    assert manifest.content["test_label_reads"] == 1


def test_validation_rows_move_nothing(copy: Path, metrics: dict[str, Any]) -> None:
    rng = np.random.default_rng(1)
    tables = [copy / "portfolio" / "equity.parquet", copy / "evaluation" / "outcomes.parquet", copy / "decisions.parquet"]
    for path in tables:
        table = pd.read_parquet(path)
        validation = (table["split"] == "val").to_numpy()
        for name in table.columns[table.dtypes == np.float64]:
            table.loc[validation, name] = rng.uniform(0.1, 0.9, int(validation.sum()))
        table.to_parquet(path, index=False)
    for path in copy.glob("modules/*/chunk*_val.parquet"):
        shutil.copy(path.with_name(path.name.replace("_val", "_train")), path)
    manifest = Manifest.open(copy)
    assert manifest is not None
    manifest.update(decisions_scored=[file_digest(copy / "decisions.parquet")])  # or it would count as another reading
    evaluate(copy)
    after = read(copy)
    assert after["strategies"] != metrics["strategies"]
    for key in {*NEW, *ROWS} - {"risk_selection"}:  # whose rows of validation are marked as such
        assert after[key] == metrics[key], key
    tested = ([row for row in rows["risk_selection"] if row["split"] == "test"] for rows in (after, metrics))
    scores = [[(row["module"], row["chunk"], row["loss"], row["anchor_loss"]) for row in rows] for rows in tested]
    assert scores[0] == scores[1]


def test_ablations_that_are_gone_leave_no_results(copy: Path) -> None:
    for name in ("variants.json", "equity.parquet"):
        (copy / "ablations" / name).unlink()
    evaluate(copy)
    assert not (copy / "ablations" / "results.parquet").exists()
    assert {row["kind"] for row in read(copy)["verdicts"]} == {"rival", "signal", "calibration"}
    assert read(copy)["settings"]["n_trials"] == 3


def test_another_reading_of_the_test_labels_doubles_the_trials(copy: Path) -> None:
    manifest = Manifest.open(copy)
    assert manifest is not None
    manifest.update(decisions_scored=["earlier"], test_label_reads=1)
    evaluate(copy)
    assert read(copy)["settings"]["test_label_reads"] == 2
    assert read(copy)["settings"]["n_trials"] == 10


def test_ablations_of_other_days_are_refused_before_anything_is_written(copy: Path) -> None:
    path = copy / "ablations" / "equity.parquet"
    equity = pd.read_parquet(path)
    equity["date"] = equity["date"] + pd.Timedelta(days=1)
    equity.to_parquet(path, index=False)
    before = file_digest(copy / "metrics.json")
    with pytest.raises(ContractError, match="different test days"):
        evaluate(copy)
    assert file_digest(copy / "metrics.json") == before


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="holds no run"):
        evaluate(tmp_path)
