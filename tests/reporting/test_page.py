"""The page: complete, self-contained, accessible in form, and the same bytes each time."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest

from glassbox_bt.reporting import build_report, render_report
from glassbox_bt.reporting.figures import to_svg
from glassbox_bt.reporting.html import html_page
from glassbox_bt.reporting.record import RunRecord
from glassbox_bt.reporting.report import Figures, claims_in
from tests.reporting.fake_run import STRATEGIES, FakeRun, write_fake_run
from tests.reporting.trees import everything

VOID = {"meta", "link", "path", "br", "img", "input", "use"}


class Page(HTMLParser):
    """Elements in order, and the text that a reader sees; unbalanced markup fails."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.words.append((">".join(self.open), data))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def text(report: Path) -> str:
    return report.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def seen(page: Page) -> str:
    return re.sub(r"[ \n]+", " ", "".join(words for _, words in page.words))


def test_a_second_rendering_has_the_same_bytes(fake_run: Path, tmp_path: Path, text: str) -> None:
    import matplotlib as mpl

    with mpl.rc_context({"font.size": 31, "axes.facecolor": "red"}):  # whatever drew before
        again = render_report(shutil.copytree(fake_run, tmp_path / "elsewhere"))
    assert again.read_text(encoding="utf-8") == text


def test_what_the_end_of_a_run_adds_to_the_manifest_changes_no_byte(own_run: Path, text: str) -> None:
    manifest = json.loads((own_run / "manifest.json").read_text(encoding="utf-8"))
    manifest |= {"status": "running", "files": {"metrics.json": "0"}, "finished_at": "2030-01-01T00:00:00+00:00"}
    (own_run / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert render_report(own_run).read_text(encoding="utf-8") == text


def test_nothing_is_fetched_and_nothing_runs(page: Page, text: str) -> None:
    assert not page.all("script")
    assert not page.all("link")
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "url(" not in text.replace("url(#", "")
    targets = [attributes.get("href") or "" for attributes in page.all("a")]
    assert all(target.startswith("#") or re.fullmatch(r"tearsheet_\w+\.html", target) for target in targets)


def test_every_visible_digit_is_a_claim_a_literal_or_on_an_axis(page: Page) -> None:
    for where, words in page.words:
        if re.search(r"\d", words):
            place = where.split(">")
            assert {"data", "svg", "style", "title"} & set(place) or place[-1] == "span", (where, words)


def test_every_claim_is_what_its_source_holds(fake_run: Path) -> None:
    report = build_report(RunRecord(fake_run))
    fresh = RunRecord(fake_run)
    claims = list(claims_in(report))
    assert len(claims) > 500
    for claim in claims:
        value = fresh.resolve(claim.source)
        assert value == claim.value or (value is None and not claim.known), claim.source


def test_claims_on_the_page_carry_value_and_source(page: Page, fake_run: Path) -> None:
    record = RunRecord(fake_run)
    claims = page.all("data")
    assert len(claims) > 500
    for attributes in claims[::7]:
        source = attributes["title"]
        assert source is not None
        value = record.resolve(source)
        assert attributes["value"] == ("" if value is None else str(value))


def test_landmarks_headings_and_names(page: Page) -> None:
    for landmark in ("header", "nav", "main", "footer", "h1"):
        assert len(page.all(landmark)) == 1
    assert page.elements[0] == ("html", {"lang": "en-GB"})
    identifiers = [a["id"] for _, a in page.elements if a.get("id")]
    assert [name for name, n in Counter(identifiers).items() if n > 1] == []
    for _, attributes in page.elements:
        for name in (attributes.get("aria-labelledby") or "").split():
            assert name in identifiers
    anchors = [a["href"] for a in page.all("a") if (a.get("href") or "").startswith("#")]
    assert all((anchor or "")[1:] in identifiers for anchor in anchors)


def test_tables_have_captions_scopes_and_a_box_that_scrolls(page: Page) -> None:
    tables = page.all("table")
    assert len(tables) == len(page.all("caption")) > 10
    assert all(attributes.get("scope") in ("col", "row", "rowgroup") for attributes in page.all("th"))
    boxes = [a for a in page.all("div") if a.get("class") == "scroll"]
    assert len(boxes) == len(tables)
    assert all(a["role"] == "region" and a["tabindex"] == "0" for a in boxes)


def test_figures_have_titles_and_words(page: Page) -> None:
    drawings = [a for a in page.all("svg") if a.get("role") == "img"]
    assert len(drawings) == len(page.all("figure")) > 6
    assert all(len((a["aria-labelledby"] or "").split()) == 2 for a in drawings)
    assert len(page.all("desc")) == len(drawings)


def test_every_strategy_is_drawn_and_tabled_in_every_chunk(fake_run: Path) -> None:
    report = build_report(RunRecord(fake_run))
    performance = next(section for section in report.sections if section.key == "performance")
    figures = next(block for block in performance.blocks if isinstance(block, Figures))
    assert len(figures.figures) == 3
    for figure in figures.figures:
        for panel in figure.picture.panels:
            assert {line.name for line in panel.lines} == set(STRATEGIES)


def test_the_first_screen_states_the_conditions(text: str, page: Page) -> None:
    first = seen(page).split("What ran, on what data")[0]
    for words in (
        "Reduced sizes",
        "Fills at the next close",
        "Assumed liquidity: half spread bps 5, score 0.8 and tradable 1",
        "4 modules silent",
        "Reads of the test labels: 1",
    ):
        assert words in first
    assert "of 8 claims, supported: 1, refuted: 1" in seen(page)
    assert "significant" not in text


def test_conditions_that_do_not_hold_are_not_printed(tmp_path: Path) -> None:
    how = FakeRun(sessions=70, n_chunks=1, has_opens=True, has_volume=True, reduced=False, has_assumptions=False)
    words = seen(Page(render_report(write_fake_run(tmp_path / "run", how)).read_text(encoding="utf-8")))
    for absent in ("Reduced sizes", "next close", "Assum", "Degenerate: "):
        assert absent not in words
    assert "next session’s open" in words


def test_a_degenerate_stack_has_its_banner(tmp_path: Path) -> None:
    run = write_fake_run(tmp_path / "run", FakeRun(sessions=70, n_chunks=1, degenerate=True))
    words = seen(Page(render_report(run).read_text(encoding="utf-8")))
    assert "Degenerate: in Chunk 1 the stack says BUY in only 0.40\u202f% of its decisions" in words
    assert "test periods in which the stack almost never says BUY: 1" in words


def test_validation_stands_apart_and_muted(text: str) -> None:
    part = text[text.index('<section id="validation"') : text.index('<section id="quality"')]
    rows = re.findall(r'<tr class="(\w+)">', part)
    assert len(rows) == 3 * len(STRATEGIES)
    assert set(rows) == {"muted"}


def test_words_from_the_run_are_escaped(own_run: Path) -> None:
    manifest = json.loads((own_run / "manifest.json").read_text(encoding="utf-8"))
    manifest["title"] = '<script>alert("1")</script>'
    manifest["market"]["card"] = ["<b>bold & <i>brave</i>"]
    (own_run / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    page = Page(render_report(own_run).read_text(encoding="utf-8"))
    assert not page.all("script")
    assert not page.all("b")
    assert "<b>bold & <i>brave</i>" in seen(page)


def test_what_was_not_recorded_is_said(own_run: Path) -> None:
    manifest = json.loads((own_run / "manifest.json").read_text(encoding="utf-8"))
    for key in ("peak_memory_mb", "timings", "question", "warnings", "versions"):
        del manifest[key]
    del manifest["market"]["licence"]
    (own_run / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    words = seen(Page(render_report(own_run).read_text(encoding="utf-8")))
    assert words.count("not recorded") >= 3
    assert "No times were recorded" in words


def test_a_strategy_nobody_knows_is_drawn_and_named(own_run: Path) -> None:
    import pandas as pd

    metrics = (own_run / "metrics.json").read_text(encoding="utf-8").replace('"monthly_1n"', '"my_own_rival"')
    (own_run / "metrics.json").write_text(metrics, encoding="utf-8")
    equity = pd.read_parquet(own_run / "portfolio" / "equity.parquet")
    equity["strategy"] = equity["strategy"].replace("monthly_1n", "my_own_rival")
    equity.to_parquet(own_run / "portfolio" / "equity.parquet")
    assert "my own rival" in seen(Page(render_report(own_run).read_text(encoding="utf-8")))


def test_progress_is_told_and_ends_at_one(own_run: Path) -> None:
    told: list[float] = []
    render_report(own_run, progress=lambda _, share: told.append(share))
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_drawings_differ_by_key_only_in_their_names(fake_run: Path) -> None:
    report = build_report(RunRecord(fake_run))
    figure = next(b for s in report.sections for b in s.blocks if isinstance(b, Figures)).figures[0]
    assert to_svg(figure.picture, "a") == to_svg(figure.picture, "a")
    assert to_svg(figure.picture, "a") != to_svg(figure.picture, "b")
    assert html_page(report) == html_page(report)


def test_groups_notes_marks_and_the_best_of_a_column_are_drawn() -> None:
    text = html_page(everything())
    table = text[text.index('<table id="tests">') : text.index("</table>")]
    assert table.count("<tbody>") == 2
    assert re.findall(r'<th scope="rowgroup" colspan="3">(.*?)</th>', table)[1] == "Rivals"
    assert re.search(r'<strong class="best"><data [^>]*>0.72</data></strong><sup class="mark">\*</sup>', table)
    notes = text[text.index('<div class="notes">') :]
    assert notes.startswith('<div class="notes">\n<p><sup class="mark">*</sup> adjusted p under')
    assert '<a href="#tests">table of tests</a>' in text
    Page(text)
