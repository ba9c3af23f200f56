"""The sections on statistics, ablations and audits: everything recorded is printed, and what is absent is said."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from glassbox_bt.reporting import build_report
from glassbox_bt.reporting.figures import Forest, Reliability
from glassbox_bt.reporting.record import RunRecord
from glassbox_bt.reporting.report import (
    Figure,
    Figures,
    Listing,
    Paragraph,
    Report,
    Section,
    Table,
    claims_in,
    plain_text,
)
from glassbox_bt.reporting.sections.estimates import interval, value_with_interval
from tests.reporting.fake_run import FakeRun, write_fake_run
from tests.reporting.fake_statistics import VARIANTS, WITHHELD, WITHOUT_EFFECT


@pytest.fixture(scope="module")
def page(fake_run: Path) -> Report:
    return build_report(RunRecord(fake_run))


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The report of a run that recorded neither statistics nor ablations nor audits."""
    how = FakeRun(sessions=70, n_chunks=1, has_statistics=False, has_ablations=False, has_audits=False, has_risk=False)
    return build_report(RunRecord(write_fake_run(tmp_path_factory.mktemp("bare") / "run", how)))


def section(report: Report, key: str) -> Section:
    return next(one for one in report.sections if one.key == key)


def blocks(one: Section) -> Iterator[Any]:
    yield from one.blocks
    for part in one.sections:
        yield from blocks(part)


def table(report: Report, key: str) -> Table:
    return next(b for s in report.sections for b in blocks(s) if isinstance(b, Table) and b.key == key)


def figures(one: Section) -> list[Figure]:
    found = []
    for block in blocks(one):
        found += block.figures if isinstance(block, Figures) else [block] if isinstance(block, Figure) else []
    return found


def words(one: Section) -> str:
    """All text of a section."""
    said = [plain_text(one.title)]
    for block in one.blocks:
        match block:
            case Paragraph():
                said.append(plain_text(block.text))
            case Listing():
                said += [plain_text(item.head) + plain_text(item.body) for item in block.items]
            case Table():
                said.append(plain_text(block.caption))
                said += [plain_text(group.head) for group in block.groups]
                said += [" | ".join(plain_text(cell) for cell in row.cells) for row in block.flat_rows]
                said += [plain_text(note) for note in block.notes]
    return "\n".join([*said, *(words(part) for part in one.sections)])


def rewritten(run: Path, to: Path, change: Any) -> RunRecord:
    """A copy of the run whose ``metrics.json`` was changed."""
    copy = shutil.copytree(run, to, ignore=shutil.ignore_patterns("report"))
    metrics = json.loads((copy / "metrics.json").read_text(encoding="utf-8"))
    change(metrics)
    (copy / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    return RunRecord(copy)


def test_verdicts_come_first_then_what_ran(page: Report) -> None:
    keys = [one.key for one in page.sections]
    assert keys[:6] == ["verdict", "setting", "performance", "comparisons", "ablations", "audits"]
    assert keys[6:10] == ["statistics", "signals", "trading", "decisions"]


def test_every_claim_has_one_row_with_its_verdict(page: Report, fake_run: Path) -> None:
    verdicts = json.loads((fake_run / "metrics.json").read_text(encoding="utf-8"))["verdicts"]
    first, parts = table(page, "verdicts-table"), table(page, "verdicts-parts-table")
    printed = [plain_text(row.cells[1]) for row in (*first.flat_rows, *parts.flat_rows)]
    assert len(parts.flat_rows) == sum(one["kind"] == "ablation" for one in verdicts) == len(VARIANTS)
    assert sorted(text.split("\N{NO-BREAK SPACE}")[-1] for text in printed) == sorted(one["verdict"] for one in verdicts)
    assert {"supported", "refuted", "underpowered"} <= {text.split("\N{NO-BREAK SPACE}")[-1] for text in printed}


def test_the_stacks_own_sizing_is_the_first_claim(page: Report) -> None:
    row = table(page, "verdicts-table").flat_rows[0]
    assert plain_text(row.cells[0]) == "Sizing only"
    assert plain_text(row.cells[2]) == "+1.10"
    assert plain_text(row.cells[3]) == "[0.20, 2.00]"
    lead = page.sections[0].blocks[0]
    assert isinstance(lead, Paragraph)
    assert "differs by +1.10 [0.20, 2.00]: supported" in plain_text(lead.text)


def test_the_lead_counts_what_the_table_says(fake_run: Path, tmp_path: Path) -> None:
    def refute(metrics: dict[str, Any]) -> None:
        for one in metrics["verdicts"]:
            if one["kind"] == "rival":
                one["verdict"] = "refuted"

    record = rewritten(fake_run, tmp_path / "run", refute)
    lead = section(build_report(record), "verdict").blocks[0]
    assert isinstance(lead, Paragraph)
    assert "of 8 claims, supported: 0 and refuted: 8." in plain_text(lead.text)


def test_a_run_without_statistics_says_so_and_claims_nothing(bare: Report) -> None:
    said = words(section(bare, "verdict"))
    assert "This run recorded no intervals and no tests" in said
    assert "descriptions, not evidence" in said
    for word in ("supported", "refuted", "underpowered"):
        assert word not in said


@pytest.mark.parametrize(
    ("key", "what"),
    [
        ("comparisons", "paired comparisons with its rivals"),
        ("statistics", "intervals or tests"),
        ("signals", "rank correlation of a signal"),
        ("signals", "calibration of a stated probability"),
        ("ablations", "ablations"),
        ("audits", "audits"),
    ],
)
def test_what_is_absent_is_said_in_one_sentence(bare: Report, key: str, what: str) -> None:
    one = section(bare, key)
    assert f"This run recorded no {what}." in words(one)
    assert not figures(one)
    assert not [block for block in blocks(one) if isinstance(block, Table)]


def test_ablations_without_statistics_are_listed_without_numbers(tmp_path: Path) -> None:
    run = write_fake_run(tmp_path / "run", FakeRun(sessions=70, n_chunks=1, has_statistics=False))
    one = section(build_report(RunRecord(run)), "ablations")
    assert "This run recorded no results of its ablations." in words(one)
    assert not figures(one)
    (changes,) = (block for block in blocks(one) if isinstance(block, Table))
    assert len(changes.flat_rows) == len(VARIANTS)


def test_the_forest_shows_every_ablation_with_its_interval(page: Report, fake_run: Path) -> None:
    results = pd.read_parquet(fake_run / "ablations" / "results.parquet")
    pooled = results[(results["chunk"] == 0) & (results["measure"] == "sharpe")]
    drawn = [f.picture for f in figures(section(page, "ablations")) if f.key.endswith("sharpe")]
    spans = [span for forest in drawn if isinstance(forest, Forest) for span in forest.spans]
    assert len(spans) == len(VARIANTS)
    known = {(span.estimate, span.low, span.high, span.mark) for span in spans if span.estimate is not None}
    assert known == set(pooled[["difference", "low", "high", "verdict"]].itertuples(index=False, name=None))
    assert [span.note for span in spans if span.estimate is None] == ["no effect on inputs"]
    assert all(forest.band == 0.5 for forest in drawn if isinstance(forest, Forest))
    chunks = results[(results["chunk"] > 0) & (results["measure"] == "sharpe")]["difference"]
    assert sorted(point for span in spans for point in span.points) == sorted(chunks)


def test_an_ablation_without_effect_is_printed_as_such(page: Report) -> None:
    row = next(row for row in table(page, "ablations-table").flat_rows if WITHOUT_EFFECT in plain_text(row.cells[0]))
    cells = [plain_text(cell) for cell in row.cells]
    assert cells[1] == "no effect on inputs"
    assert cells[2:6] == ["", "", "", ""]
    assert cells[6:] == ["0"]
    assert "Without any effect on what follows: 1." in words(section(page, "ablations"))


def test_remarks_on_a_variant_stand_below_the_table(page: Report) -> None:
    notes = [plain_text(note) for note in table(page, "ablations-table").notes]
    assert "without quantitative: chunk 1: nothing is bought on any test day." in notes


def test_a_second_measure_is_drawn_where_the_first_is_not_defined(fake_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(fake_run, tmp_path / "run", ignore=shutil.ignore_patterns("report"))
    results = pd.read_parquet(run / "ablations" / "results.parquet")
    silent = (results["target"] == "technical") & (results["measure"] == "sharpe")
    numbers = ["difference", "low", "high", "p_value", "p_holm", "smallest_detectable"]
    results.loc[silent, numbers] = float("nan")
    results.to_parquet(run / "ablations" / "results.parquet")
    drawn = figures(section(build_report(RunRecord(run)), "ablations"))
    assert [f.key for f in drawn if f.key.endswith("annual-return")] == ["ablations-modules-inference-annual-return"]
    first = next(f.picture for f in drawn if f.key == "ablations-modules-inference-sharpe")
    assert isinstance(first, Forest)
    assert first.spans[0].note == "not defined"


def test_the_forest_of_rivals_shows_every_comparison(page: Report, fake_run: Path) -> None:
    rows = json.loads((fake_run / "metrics.json").read_text(encoding="utf-8"))["comparisons"]
    pooled = {(row["difference"], row["low"], row["high"]) for row in rows if row["chunk"] == 0}
    (figure,) = figures(section(page, "comparisons"))
    assert isinstance(figure.picture, Forest)
    assert {(span.estimate, span.low, span.high) for span in figure.picture.spans} == pooled
    assert len(table(page, "comparisons-table").flat_rows) == len(figure.picture.spans) == 8


def test_what_all_rivals_say_together_is_printed(page: Report) -> None:
    said = words(section(page, "comparisons"))
    assert "that none of 8 rivals is truly better than the stack: p 0.340 (between 0.210 and 0.520)" in said
    assert "may be the best on these days: Stack (glassbox), Inverse volatility" in said


def test_conventions_stand_beside_the_tables(page: Report) -> None:
    for key in ("returns-pooled", "comparisons-table", "ablations-table"):
        notes = " ".join(plain_text(note) for note in table(page, key).notes)
        assert "Annualised at 252 sessions, risk-free rate 0\u202f%" in notes
        assert "bootstrap" in notes
    said = words(section(page, "statistics"))
    assert "above what the best of 41 trials without skill would show" in said
    assert len(table(page, "sharpe-tests").flat_rows) == 9


def test_every_measure_has_its_interval_or_the_reason(page: Report, fake_run: Path) -> None:
    recorded = json.loads((fake_run / "metrics.json").read_text(encoding="utf-8"))["intervals"]
    known = [one for one in recorded if one["low"] is not None]
    found = table(page, "intervals-table")
    cells = [plain_text(cell) for row in found.flat_rows for cell in row.cells[1:]]
    assert len(cells) == len(recorded)
    assert sum("[" in cell for cell in cells) == len(known) < len(recorded)
    notes = [plain_text(note) for note in found.notes]
    assert f"No interval for maximum drawdown: {WITHHELD}." in notes
    assert "No interval for Cash: the measure does not vary." in notes


def test_validation_rows_have_no_interval_even_where_their_values_are_those_of_test(page: Report) -> None:
    cells = [plain_text(c) for row in table(page, "validation-chunk1").flat_rows for c in row.cells]
    assert not [cell for cell in cells if "[" in cell]


def test_each_confidence_has_its_reliability_plot(page: Report, fake_run: Path) -> None:
    metrics = json.loads((fake_run / "metrics.json").read_text(encoding="utf-8"))
    pooled = [one for one in metrics["calibration"] if one["chunk"] == 0]
    drawn = [f.picture for f in figures(section(page, "signals")) if isinstance(f.picture, Reliability)]
    assert len(drawn) == len(pooled) == 3
    for picture, one in zip(drawn, pooled, strict=True):
        assert [(b.stated, b.observed, b.n_rows) for b in picture.bins] == [
            (b["mean_confidence"], b["rate"], b["n"]) for b in one["bins"]
        ]
        weighted = sum(b["rate"] * b["n"] for b in one["bins"]) / one["n_rows"]
        assert picture.base_rate == pytest.approx(weighted)


def test_each_horizon_has_its_plot_of_rank_correlations(page: Report, fake_run: Path) -> None:
    metrics = json.loads((fake_run / "metrics.json").read_text(encoding="utf-8"))
    pooled = {(one["rank_ic"], one["low"], one["high"]) for one in metrics["signals"] if one["chunk"] == 0}
    forests = [f.picture for f in figures(section(page, "signals")) if isinstance(f.picture, Forest)]
    assert len(forests) == 2
    assert {(s.estimate, s.low, s.high) for forest in forests for s in forest.spans} == pooled


def test_audits_are_printed_with_status_findings_and_metrics(page: Report) -> None:
    one = section(page, "audits")
    said = words(one)
    assert "Of 5, pass: 3, FAIL: 0, note: 1 and not applicable: 1; findings in all: 2." in said
    assert [plain_text(row.cells[0]) for row in table(page, "audits-table").flat_rows] == [
        "attention", "lookahead", "rule trace", "stability", "text",
    ]  # fmt: skip
    assert "driver of KO changes after 2006-03-02" in said
    metrics = table(page, "audit-metrics-table")
    assert [plain_text(group.head) for group in metrics.groups] == ["attention", "stability"]
    rows = [[plain_text(cell) for cell in row.cells] for row in metrics.flat_rows]
    assert rows[0][2:5] == ["0.830 pass", "0.790 pass", "0.880 pass"]
    assert rows[1][2:] == ["0.710 FAIL", "– insufficient", "", "", "at least 0.80"]
    assert len(rows) == 2


def test_a_failed_audit_is_a_warning(fake_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(fake_run, tmp_path / "run", ignore=shutil.ignore_patterns("report"))
    path = run / "audits" / "summary.json"
    summary = json.loads(path.read_text(encoding="utf-8"))
    summary["stability"] |= {"status": "FAIL", "passed": False}
    path.write_text(json.dumps(summary), encoding="utf-8")
    one = section(build_report(RunRecord(run)), "audits")
    first = one.blocks[0]
    assert isinstance(first, Paragraph)
    assert first.role == "warning"
    assert "FAIL: 1" in plain_text(first.text)
    in_sight = words(Section("a", (), one.blocks))
    assert "Findings of stability: 2." in in_sight  # not folded
    assert "driver of AAPL changes after 2006-03-01" in in_sight


def test_findings_beyond_the_first_are_counted_and_reasons_are_given(fake_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(fake_run, tmp_path / "run", ignore=shutil.ignore_patterns("report"))
    path = run / "audits" / "summary.json"
    summary = json.loads(path.read_text(encoding="utf-8"))
    first = summary["stability"]["findings"][0]
    hard = {**first, "hard": True, "split": "test", "detail": "a fault"}
    summary["stability"] |= {"n_findings": 44, "findings": [{**first, "detail": f"note {n}"} for n in range(9)] + [hard]}
    summary["text"] |= {"reason": "no text in this market"}
    summary["attention"] |= {"not_asked": ["module news: silent"]}
    path.write_text(json.dumps(summary), encoding="utf-8")
    said = words(section(build_report(RunRecord(run)), "audits"))
    assert "Findings of stability: 44. The first of them; all stand in audits." in said
    assert said.index("a fault") < said.index("note 0") < said.index("note 1")  # faults first
    assert "note 2" not in said
    assert "Reason of text: no text in this market" in said
    assert "Not asked by attention: module news: silent." in said


def test_every_claim_of_a_bare_run_is_what_its_source_holds(bare: Report) -> None:
    claims = list(claims_in(bare))
    assert len(claims) > 200
    assert all(claim.source.strip() for claim in claims)


def test_learned_parts_stand_beside_their_anchors(page: Report, fake_run: Path) -> None:
    rows = json.loads((fake_run / "metrics.json").read_text(encoding="utf-8"))["learned"]
    found = table(page, "learned-test")
    assert len(found.flat_rows) == 4
    cells = [plain_text(cell) for row in found.flat_rows for cell in row.cells[2:5]]
    better = sum(row["better"] for row in rows if row["split"] == "test")
    assert sum(cell.endswith("better") for cell in cells) == better
    assert sum(cell.endswith("worse") for cell in cells) == 12 - better


def test_an_end_of_an_interval_that_diverged_is_no_bound(fake_run: Path) -> None:
    """Not a number of thirty digits, whichever side it lies on and whatever the style."""
    metrics = json.loads((fake_run / "metrics.json").read_text(encoding="utf-8"))
    for ends, said in (({"low": 0.29, "high": 2e31}, "[0.29, no bound]"), ({"low": -2e31, "high": 0.5}, "[no bound, 0.50]")):
        metrics["intervals"][0].update(estimate=0.3, **ends)
        record = RunRecord(fake_run).instead({"metrics.json": metrics}, {})
        found = record.entries("intervals")[0]
        assert plain_text(value_with_interval(record, found, "estimate", "number")) == f"0.30 {said}"
        assert plain_text(interval(record, found, "number")) == said
