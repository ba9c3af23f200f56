"""The risk engine on the page: what was recorded is printed and drawn, what is absent is said."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from glassbox_bt.reporting import build_chapter, build_report
from glassbox_bt.reporting.derived_risk import answers_file, contagion_days
from glassbox_bt.reporting.figures import Exceedances, Forest, Network, Reliability, Timeline
from glassbox_bt.reporting.record import RunRecord
from glassbox_bt.reporting.report import Report, Section, Table, claims_in, plain_text
from glassbox_bt.reporting.sections.risk_engine import risk_engine
from tests.reporting.fake_risk import CONTESTS, LEVELS, MISSING, SAME, TESTS
from tests.reporting.fake_run import FakeRun, write_fake_run
from tests.reporting.test_sections import blocks, figures, words

LEARNED = ("volatility", "drawdown", "contagion", "regime")


@pytest.fixture(scope="module")
def record(fake_run: Path) -> RunRecord:
    return RunRecord(fake_run)


@pytest.fixture(scope="module")
def section(record: RunRecord) -> Section:
    return risk_engine(record)


@pytest.fixture
def changed(fake_run: Path, tmp_path: Path) -> Callable[[Callable[[Path, Any], None]], Section]:
    """The section of a copy of the run, of which folder and ``metrics.json`` were changed."""

    def make(change: Callable[[Path, Any], None]) -> Section:
        run = shutil.copytree(fake_run, tmp_path / "run", ignore=shutil.ignore_patterns("report"))
        metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
        change(run, metrics)
        (run / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
        return risk_engine(RunRecord(run))

    return make


def part(section: Section, key: str) -> Section:
    return next(one for one in section.sections if one.key == key)


def table(section: Section, key: str) -> Table:
    return next(one for one in blocks(section) if isinstance(one, Table) and one.key == key)


def drawn(section: Section, kind: type) -> list[Any]:
    return [one.picture for one in figures(section) if isinstance(one.picture, kind)]


def rows_of(record: RunRecord, name: str, **where: str | int) -> list[Any]:
    return [one.content for one in record.entries(name, **where)]


def test_it_stands_behind_the_learned_parts_on_the_page_and_before_the_ablations_in_the_chapter(record: RunRecord) -> None:
    keys = [one.key for one in build_report(record).sections]
    assert keys[keys.index("learned") + 1] == "risk"
    keys = [one.key for one in build_chapter(record).sections]
    assert keys[keys.index("risk") + 1] == "ablations"


@pytest.mark.parametrize("module", LEARNED)
def test_every_contest_has_its_row_with_score_gain_interval_and_verdict(
    section: Section, record: RunRecord, module: str
) -> None:
    pooled = rows_of(record, "risk_contests", module=module, chunk=0)
    shown = table(section, f"risk-{module}-contests")
    assert len(shown.flat_rows) == len(pooled) == sum(one[0] == module for one in CONTESTS)
    printed = [plain_text(row.cells[1]).split("\N{NO-BREAK SPACE}")[-1] for row in shown.flat_rows]
    assert sorted(printed) == sorted(one["verdict"] for one in pooled)
    cells = [claim.value for row in shown.flat_rows for claim in claims_in(row.cells)]
    for one in pooled:
        assert {one["answer_score"], one["rival_score"], one["estimate"], one["rival"]} <= set(cells)


@pytest.mark.parametrize("module", LEARNED)
def test_the_forests_show_every_contest_with_its_chunks(section: Section, record: RunRecord, module: str) -> None:
    pooled = rows_of(record, "risk_contests", module=module, chunk=0)
    spans = [span for forest in drawn(part(section, f"risk-{module}"), Forest) for span in forest.spans]
    assert {(span.estimate, span.low, span.high) for span in spans} == {
        (one["estimate"], one["low"], one["high"]) for one in pooled
    }
    assert all(len(span.points) == 3 for span in spans)
    assert all(forest.band == 0.01 for forest in drawn(part(section, f"risk-{module}"), Forest))


def test_what_was_not_tested_says_why(section: Section) -> None:
    assert f"Not tested: {SAME}." in words(part(section, "risk-drawdown"))
    assert SAME not in words(part(section, "risk-volatility"))


def test_chunks_and_selection_are_folded_away(section: Section) -> None:
    for module in LEARNED:
        for ending in ("chunks", "selection"):
            assert part(section, f"risk-{module}-{ending}").folded
            assert table(section, f"risk-{module}-{ending}-table").flat_rows


def test_a_winner_on_validation_that_lost_on_test_is_named(section: Section) -> None:
    said = words(part(section, "risk-volatility"))
    assert (
        "Chunk 2: in use: anchored; the winner on validation lost on test in QLIKE, 10 sessions (smaller on test: anchor) "
        "and QLIKE, 30 sessions (smaller on test: anchor). In all else that has a winner, the same was better on both."
        in said
    )
    assert "Chunk 1: in use: anchored; what was better on validation was better on test too." in said
    assert "Chunk 3: in use: anchor; no winner to compare" in words(part(section, "risk-drawdown"))


def test_rows_of_validation_are_grey_and_only_shown_as_spent(section: Section) -> None:
    shown = table(section, "risk-volatility-selection-table")
    assert {(plain_text(row.cells[1]), row.role) for row in shown.flat_rows} == {("validation", "muted"), ("test", "plain")}


def test_each_probability_of_a_module_is_drawn_beside_what_it_was_before_calibration(
    section: Section, record: RunRecord
) -> None:
    pooled = rows_of(record, "risk_calibration", chunk=0)
    own = [one for one in pooled if "own_history" not in one["probability"] and one["stage"] != "raw"]
    own = [one for one in own if not one["probability"].endswith(("_anchor", "_bucket"))]
    raw = {one["probability"]: one for one in pooled if one["stage"] == "raw"}
    shown = drawn(section, Reliability)
    by_bins = {tuple((b.stated, b.observed, b.n_rows) for b in one.bins): one for one in shown}
    assert len(shown) == len(own) == 3 + 2 + 3 + 4
    for one in own:
        picture = by_bins[tuple((b["mean_confidence"], b["rate"], b["n"]) for b in one["bins"])]
        before = raw.get(f"{one['probability']}_raw")
        wanted = [] if before is None else [(b["mean_confidence"], b["rate"]) for b in before["bins"]]
        assert [(b.stated, b.observed) for b in picture.raw] == wanted


def test_every_probability_has_brier_score_and_log_loss_in_the_table(section: Section, record: RunRecord) -> None:
    for module in LEARNED:
        pooled = rows_of(record, "risk_calibration", module=module, chunk=0)
        shown = table(section, f"risk-{module}-probabilities")
        assert len(shown.flat_rows) == len(pooled)
        values = {claim.value for row in shown.flat_rows for claim in claims_in(row.cells)}
        assert {one[name] for one in pooled for name in ("brier", "log_loss", "base_brier", "ece")} <= values


def test_the_exceedances_of_each_chunk_are_drawn_against_what_was_stated(section: Section, record: RunRecord) -> None:
    shown = drawn(section, Exceedances)
    assert len(shown) == 3
    for chunk, picture in enumerate(shown, start=1):
        rows = rows_of(record, "risk_exceedances", chunk=chunk)
        assert picture.days == tuple(one["date"] for one in rows)
        for level, tail in zip(LEVELS, picture.tails, strict=True):
            assert list(tail.hits) == [one[f"hits_{level}"] for one in rows]
            np.testing.assert_allclose(tail.stated, [(1.0 - level / 100.0) * one["n_names"] for one in rows])
    hits = sum(one["hits_95"] for one in rows_of(record, "risk_exceedances", chunk=1))
    alternative = plain_text(next(one for one in figures(section) if one.key == "risk-exceedances-chunk1").alternative)
    assert f"Counted over all names and days: {hits} losses beyond 95 %" in alternative


def test_tests_by_name_are_counted_and_flagged_names_listed(section: Section, record: RunRecord) -> None:
    pooled = rows_of(record, "risk_backtest_tests", chunk=0)
    shown = table(section, "risk-tails-tests")
    assert len(shown.flat_rows) == len(LEVELS) * len(TESTS)
    flagged = [int(next(iter(claims_in(row.cells[4]))).value or 0) for row in shown.flat_rows]
    assert flagged == [one["n_flagged"] for one in pooled]
    assert "of 12 names 1 stay flagged" in words(part(section, "risk-tails"))
    names = table(section, "risk-tails-flagged")
    assert [[plain_text(cell) for cell in row.cells][:2] for row in names.flat_rows] == [["BAC", "99 %"]]
    assert plain_text(names.flat_rows[0].cells[-1]) == "Kupiec, depth and frequency"


def test_the_pair_of_tails_is_held_against_its_rivals(section: Section, record: RunRecord) -> None:
    pooled = rows_of(record, "risk_tail_contests", chunk=0)
    rows = table(section, "risk-tails-rivals").flat_rows
    assert [plain_text(row.cells[0]) for row in rows] == [one["rival"] for one in pooled]
    assert [plain_text(row.cells[1]).split("\N{NO-BREAK SPACE}")[-1] for row in rows] == [one["verdict"] for one in pooled]
    (forest,) = drawn(part(section, "risk-tails"), Forest)
    assert [(s.estimate, s.low, s.high) for s in forest.spans] == [
        (one["estimate"], one["low"], one["high"]) for one in pooled
    ]
    assert "are better than a rival: supported 1 and underpowered 3, of 4." in words(section)
    assert part(section, "risk-tails-names").blocks[1] == table(section, "risk-tails-rivals-chunks")


def test_the_timeline_shows_said_and_named_regimes_day_by_day(section: Section, record: RunRecord) -> None:
    shown = drawn(section, Timeline)
    assert len(shown) == 3
    for chunk, picture in enumerate(shown, start=1):
        rows = record.table(answers_file("regime", chunk)).drop_duplicates("date")
        assert picture.days == tuple(rows["date"])
        assert picture.said == tuple(rows["regime_label"])
        assert picture.today == tuple(rows["nowcast_regime"])
        np.testing.assert_array_equal(picture.chance, rows["prob_crisis"])
        assert (picture.line, picture.limit) == ("Benchmark", 0.5)
    counts = [plain_text(cell) for cell in table(section, "risk-regime-days").flat_rows[0].cells[1:5]]
    assert sum(map(int, counts)) == len(shown[0].days)


def test_clauses_that_the_market_could_not_serve_are_listed_by_chunk(section: Section) -> None:
    said = words(part(section, "risk-regime"))
    assert f"Chunk 1 and Chunk 3: dropped: {MISSING[0]}." in said
    assert f"Chunk 2: dropped: {'; '.join(MISSING)}." in said


def test_the_two_days_of_the_network_are_those_of_the_rule(section: Section, record: RunRecord) -> None:
    tables = [record.table(answers_file("contagion", chunk)) for chunk in (1, 2, 3)]
    means = pd.concat([one.groupby("date")["contagion_20d"].mean() for one in tables])
    shown = {one.key: one for one in figures(section) if isinstance(one.picture, Network)}
    assert plain_text(shown["risk-network-stressed"].title) == f"Stressed: {means.idxmax()}"
    assert plain_text(shown["risk-network-calm"].title) == f"Calm: {means.idxmin()}"
    stressed, calm = (shown[f"risk-network-{which}"].picture for which in ("stressed", "calm"))
    assert isinstance(stressed, Network) and isinstance(calm, Network)
    assert [node.name for node in stressed.nodes] == [node.name for node in calm.nodes]  # the same places
    assert (stressed.largest, stressed.heaviest) == (calm.largest, calm.heaviest)
    rows = pd.concat(tables)
    rows = rows[rows["date"] == means.idxmax()].set_index("ticker")
    for node in stressed.nodes:
        assert node.chance == rows.loc[node.name, "contagion_20d"]
    names = [node.name for node in stressed.nodes]
    for edge in stressed.edges:
        ranks = {rows.loc[names[edge.target], f"top_influencer_{rank}"]: rank for rank in (1, 2, 3)}
        assert edge.weight == rows.loc[names[edge.target], f"influence_{ranks[names[edge.source]]}"]
    assert len(stressed.edges) == 3 * len(names)
    assert len(contagion_days(record)) == len(means)


def test_whether_neighbours_mattered_is_said_by_chunk(section: Section, changed: Callable[..., Section]) -> None:
    said = words(part(section, "risk-contagion"))
    assert "by shuffling them: p 0.350 in Chunk 1, 0.350 in Chunk 2 and 0.350 in Chunk 3." in said
    made = changed(lambda run, _: [path.unlink() for path in run.glob("models/contagion/*/frozen.safetensors")])
    assert "by shuffling them" not in words(part(made, "risk-contagion"))


def test_thresholds_stand_beside_their_train_quantiles(section: Section, record: RunRecord) -> None:
    shown = table(section, "risk-thresholds-table")
    rows = rows_of(record, "risk_thresholds", chunk=1)
    assert len(shown.flat_rows) == len(rows)
    first = [plain_text(cell) for cell in shown.flat_rows[0].cells]
    assert first[:3] == ["RB-02 crisis cap", "prob crisis", "at or above 0.50"]
    assert f"{100 * rows[0]['train_quantile']:.1f}" in first[3]
    assert plain_text(shown.flat_rows[-1].cells[-1]) == "–"


def test_who_answered_and_why_not(section: Section) -> None:
    rows = {
        plain_text(row.cells[0]): [plain_text(cell) for cell in row.cells[1:]]
        for row in table(section, "risk-answers").flat_rows
    }
    assert rows["Volatility"][0].endswith("% anchored")
    assert rows["Volatility"][-1].startswith("Chunk 1 warm up (120 rows)")
    assert rows["Drawdown"] == ["100.0\u202f% anchor"] * 3 + [""]


def test_a_silent_module_is_one_sentence_and_no_figure(changed: Callable[..., Section]) -> None:
    def silence(run: Path, metrics: Any) -> None:
        for name in ("modules", "models"):
            shutil.rmtree(run / name / "regime")
        for key in ("risk_contests", "risk_selection", "risk_calibration"):
            metrics[key] = [one for one in metrics[key] if one["module"] != "regime"]
        manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
        manifest["silent_modules"].append("regime")
        (run / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")

    made = changed(silence)
    one = part(made, "risk-regime")
    assert words(one) == "Regime\nThe plan of this run keeps the module regime silent: there is nothing to show of it."
    assert not drawn(made, Timeline)
    assert "silent in this plan" in words(made)


def test_a_module_that_abstained_throughout_says_why(changed: Callable[..., Section]) -> None:
    def abstain(run: Path, metrics: Any) -> None:
        del metrics
        for path in (run / "modules" / "contagion").glob("*.parquet"):
            rows = pd.read_parquet(path)
            rows = rows[["ticker", "date", "xai_summary"]].assign(known=False, reason="input_missing", contagion_20d=np.nan)
            rows.to_parquet(path, index=False)

    made = changed(abstain)
    one = part(made, "risk-contagion")
    said = words(one)
    assert "Contagion abstained on every test day. Reasons: Chunk 1: input missing (1\u202f080 rows)" in said
    assert not figures(one)


def test_contagion_without_its_network_has_no_picture_but_its_contests(changed: Callable[..., Section]) -> None:
    def without(run: Path, metrics: Any) -> None:
        del metrics
        for path in (run / "modules" / "contagion").glob("*.parquet"):
            rows = pd.read_parquet(path)
            names = [one for one in rows.columns if one.startswith(("top_influencer", "influence"))]
            rows.drop(columns=[*names, "neighbour_stress"]).to_parquet(path, index=False)

    made = changed(without)
    assert "There is no network to draw" in words(part(made, "risk-contagion"))
    assert not drawn(made, Network)
    assert drawn(part(made, "risk-contagion"), Forest)


def test_a_chunk_without_a_regime_is_said_and_the_others_are_drawn(changed: Callable[..., Section]) -> None:
    def shorten(run: Path, metrics: Any) -> None:
        del metrics
        path = run / "modules" / "regime" / "chunk2_test.parquet"
        rows = pd.read_parquet(path).assign(known=False, reason="too_few_observations")
        rows.assign(regime_label=None, nowcast_regime=None, prob_crisis=np.nan).to_parquet(path, index=False)
        (run / "models" / "regime" / "chunk2" / "frozen.json").unlink()

    made = changed(shorten)
    assert "In Chunk 2 the module said no regime: too few observations (1\u202f080 rows)." in words(
        part(made, "risk-regime")
    )
    assert len(drawn(made, Timeline)) == 2


def test_days_without_an_answer_leave_a_gap(changed: Callable[..., Section]) -> None:
    def hide(run: Path, metrics: Any) -> None:
        del metrics
        path = run / "modules" / "regime" / "chunk1_test.parquet"
        rows = pd.read_parquet(path)
        early = rows["date"] < sorted(rows["date"].unique())[7]
        rows.loc[early, "known"] = False
        rows.loc[early, "reason"] = "warm_up"
        rows.loc[early, ["regime_label", "nowcast_regime"]] = None
        rows.loc[early, "prob_crisis"] = np.nan
        rows.to_parquet(path, index=False)

    picture = drawn(changed(hide), Timeline)[0]
    assert picture.said[:8].count(None) == 7
    assert np.isnan(picture.chance[:7]).all() and np.isfinite(picture.chance[7:]).all()


@pytest.mark.parametrize("has_answers", [True, False])
def test_a_run_without_tests_says_so_and_draws_no_empty_plot(tmp_path: Path, has_answers: bool) -> None:
    how = FakeRun(sessions=70, n_chunks=1, has_statistics=False, has_ablations=False, has_audits=False, has_risk=has_answers)
    made = risk_engine(RunRecord(write_fake_run(tmp_path / "run", how)))
    said = words(made)
    assert "This run recorded no tests of its risk forecasts." in said
    assert not drawn(made, Forest) + drawn(made, Exceedances) + drawn(made, Reliability)
    assert len(drawn(made, Timeline)) == int(has_answers)
    wanted = "comparison of volatility with its rivals" if has_answers else "answers of the module volatility"
    assert f"This run recorded no {wanted}." in said
    assert "thresholds of its rules" in said


def test_every_claim_is_what_its_source_holds(section: Section, fake_run: Path) -> None:
    fresh = RunRecord(fake_run)
    claims = list(claims_in(section))
    assert len(claims) > 2000
    for claim in claims:
        value = fresh.resolve(claim.source)
        assert value == claim.value or (value is None and not claim.known), claim.source


def test_every_figure_has_words_with_numbers_and_a_source(section: Section) -> None:
    for one in figures(section):
        assert len(plain_text(one.alternative)) > 80, one.key
        assert list(claims_in(one.alternative)), one.key
        assert all(source.startswith(("metrics.json#/", "modules/", "portfolio/")) for source in one.sources)


def test_the_chapter_prints_what_the_page_does_not_fold(record: RunRecord, section: Section) -> None:
    chapter: Report = build_chapter(record)
    mine = next(one for one in chapter.sections if one.key == "risk")
    assert [one.key for one in mine.sections] == [
        one.key for one in section.sections if not one.folded and one.key != "risk-thresholds"
    ]
    assert {type(one.picture) for one in figures(mine)} == {Forest, Reliability, Exceedances, Network, Timeline}
    keys = [one.key for one in blocks(mine) if isinstance(one, Table)]
    assert len(set(keys)) == len(keys)
