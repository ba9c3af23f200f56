"""The chapter: whole, traceable, the same bytes each time, and plain about what a run does not have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from glassbox_bt.errors import RunFolderError
from glassbox_bt.reporting import build_chapter, render_chapter
from glassbox_bt.reporting.chapter import figures_in
from glassbox_bt.reporting.latex import tables_in
from glassbox_bt.reporting.record import RunRecord
from glassbox_bt.reporting.report import (
    Best,
    Claim,
    Figure,
    Figures,
    Literal,
    Mark,
    Paragraph,
    Piece,
    Ref,
    Report,
    Row,
    Section,
    Table,
    claims_in,
    plain_text,
)
from tests.reporting.fake_run import FakeRun, write_fake_run

LACKING = FakeRun(sessions=70, n_chunks=2, has_statistics=False, has_ablations=False, has_audits=False, has_risk=False)


@pytest.fixture(scope="module")
def written(fake_run: Path) -> tuple[Path, ...]:
    return render_chapter(fake_run)


@pytest.fixture(scope="module")
def chapter(fake_run: Path) -> Report:
    return build_chapter(RunRecord(fake_run))


@pytest.fixture(scope="module")
def lacking(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The chapter of a run without statistics, ablations and audits."""
    return build_chapter(RunRecord(write_fake_run(tmp_path_factory.mktemp("lacking") / "run", LACKING)))


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def sections_of(sections: tuple[Section, ...]) -> Iterator[Section]:
    for section in sections:
        yield section
        yield from sections_of(section.sections)


def pieces_in(node: object) -> Iterator[Piece]:
    if isinstance(node, Claim | Literal | Ref | Mark | Best | str):
        yield node
    elif isinstance(node, tuple):
        for part in node:
            yield from pieces_in(part)
    elif hasattr(node, "__dataclass_fields__") and not isinstance(node, Path):
        for name in node.__dataclass_fields__:
            if name not in ("picture", "key", "sources"):
                yield from pieces_in(getattr(node, name))


def said_in(section: Section) -> str:
    """Its paragraphs, as text."""
    return " ".join(plain_text(block.text) for block in section.blocks if isinstance(block, Paragraph))


def table(report: Report, key: str) -> Table:
    return next(one for one in tables_in(report.sections) if one.key == key)


def test_every_file_is_there_and_no_other(fake_run: Path, written: tuple[Path, ...], chapter: Report) -> None:
    folder = fake_run / "report" / "chapter"
    wanted = {"chapter.md", "chapter.tex", "main.tex"}
    wanted |= {f"tables/{one.key}.tex" for one in tables_in(chapter.sections)}
    wanted |= {f"figures/{one.key}{suffix}" for one in figures_in(chapter.sections) for suffix in (".pdf", ".png")}
    assert set(bytes_of(folder)) == wanted
    assert set(written) == {folder / name for name in wanted}
    assert len(wanted) > 30


def test_it_has_the_sections_of_a_results_chapter(chapter: Report) -> None:
    assert [plain_text(section.title) for section in chapter.sections] == [
        "In short",
        "Protocol",
        "Data",
        "Results on the test days",
        "Signals and confidences",
        "Qualitative branch: text",
        "Risk engine",
        "Ablations",
        "Explanation audits",
        "Limitations",
        "Reproducibility",
    ]


def test_nothing_depends_on_when_and_how_fast_the_run_was_made(own_run: Path, chapter: Report) -> None:
    manifest = json.loads((own_run / "manifest.json").read_text(encoding="utf-8"))
    manifest |= {"created_at": "2031-01-01", "finished_at": "2031-01-02", "peak_memory_mb": 1.0, "timings": []}
    (own_run / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert list(claims_in(build_chapter(RunRecord(own_run)))) == list(claims_in(chapter))


def test_a_former_chapter_survives_a_failure_and_is_replaced_whole_by_the_same_bytes(
    fake_run: Path, written: tuple[Path, ...], own_run: Path
) -> None:
    import matplotlib as mpl

    folder = own_run / "report" / "chapter"
    folder.mkdir(parents=True)
    (folder / "old.txt").write_text("old", encoding="utf-8")
    equity = own_run / "portfolio" / "equity.parquet"
    kept = equity.read_bytes()
    equity.unlink()
    with pytest.raises(RunFolderError, match=r"equity\.parquet"):
        render_chapter(own_run)
    assert list(bytes_of(folder)) == ["old.txt"]
    equity.write_bytes(kept)
    with mpl.rc_context({"font.size": 31, "axes.facecolor": "red"}):  # whatever drew before
        render_chapter(own_run)
    assert written
    assert bytes_of(folder) == bytes_of(fake_run / "report" / "chapter")
    assert [path.name for path in (own_run / "report").iterdir()] == ["chapter"]


def test_every_claim_is_what_its_source_holds(fake_run: Path, chapter: Report) -> None:
    fresh = RunRecord(fake_run)
    claims = list(claims_in(chapter))
    assert len(claims) > 1000
    for claim in claims:
        value = fresh.resolve(claim.source)
        assert value == claim.value or (value is None and not claim.known), claim.source


@pytest.mark.parametrize("which", ["chapter", "lacking"])
def test_references_lead_to_a_table_or_figure_and_keys_are_unique(which: str, request: pytest.FixtureRequest) -> None:
    report = request.getfixturevalue(which)
    blocks = [block for section in sections_of(report.sections) for block in section.blocks]
    keys = {("table", one.key) for one in blocks if isinstance(one, Table)}
    keys |= {("figure", one.key) for one in blocks if isinstance(one, Figure | Figures)}
    asked = {(piece.to, piece.key) for piece in pieces_in(report.sections) if isinstance(piece, Ref)}
    assert asked <= keys
    named = [one.key for one in blocks if isinstance(one, Table | Figure | Figures)]
    named += [one.key for one in figures_in(report.sections)]
    assert len(set(named)) >= len(named) - sum(isinstance(one, Figure) for one in blocks)


def test_tables_and_figures_are_linked_with_words_in_both_formats(fake_run: Path, written: tuple[Path, ...]) -> None:
    assert written
    folder = fake_run / "report" / "chapter"
    text = (folder / "chapter.md").read_text(encoding="utf-8")
    images = re.findall(r"!\[([^\n]*)\]\((figures/[^)]*)\)", text)
    assert {name for _, name in images} == {f"figures/{path.name}" for path in (folder / "figures").glob("*.png")}
    assert all(len(words) > 40 for words, _ in images)
    latex = (folder / "chapter.tex").read_text(encoding="utf-8")
    drawn = re.findall(r"\\includegraphics\[width=[0-9.]+\\linewidth,alt=\{(.*)\}\]\{\\glassboxpath/(figures/.*)\}", latex)
    assert {name for _, name in drawn} == {f"figures/{path.name}" for path in (folder / "figures").glob("*.pdf")}
    assert all(len(words) > 40 for words, _ in drawn)
    assert all(path.read_bytes()[:5] == b"%PDF-" for path in (folder / "figures").glob("*.pdf"))


def values_of(rows: list[Row], column: int) -> list[tuple[float, bool]]:
    """Known values of a column, and whether each is bold."""
    found = []
    for row in rows:
        for piece in row.cells[column]:
            claim = piece.content if isinstance(piece, Best) else piece
            if isinstance(claim, Claim) and claim.known:
                found.append((float(str(claim.value)), isinstance(piece, Best)))
    return found


@pytest.mark.parametrize("key", ["pooled", "chunks-returns"])
def test_the_best_of_each_column_is_bold_among_those_that_bear_risk(chapter: Report, key: str) -> None:
    shown = table(chapter, key)
    heads = [plain_text(column.head) for column in shown.columns]
    groups = [list(group.rows) for group in shown.groups] if key == "chunks-returns" else [list(shown.flat_rows)]
    assert len(groups) == (3 if key == "chunks-returns" else 1)
    for rows in groups:
        risky = [row for row in rows if values_of([row], heads.index("Sharpe"))]
        assert len(risky) == len(rows) - 1  # cash has no Sharpe ratio
        for place, head in enumerate(heads[1:], start=1):
            values = values_of(risky, place)
            best = (min if head.startswith("Volatility") else max)(value for value, _ in values)
            assert [bold for _, bold in values] == [value == best for value, _ in values], head
        assert not any(
            bold for row in rows if row not in risky for place in range(1, len(heads)) for _, bold in values_of([row], place)
        )


@pytest.mark.parametrize("key", ["rivals", "ablations"])
def test_a_difference_is_marked_exactly_where_its_adjusted_p_value_is_small(chapter: Report, key: str) -> None:
    shown = table(chapter, key)
    heads = [plain_text(column.head) for column in shown.columns]
    difference, adjusted = heads.index("Difference"), heads.index("p, adjusted")
    marked = []
    for row in shown.flat_rows:
        values = values_of([row], adjusted)
        is_marked = Mark("*") in row.cells[difference]
        assert is_marked == bool(values and values[0][0] < 0.05)
        marked.append(is_marked)
    assert True in marked
    assert False in marked
    assert any(note[0] == Mark("*") for note in shown.notes)


def test_the_stack_stands_above_its_rivals(chapter: Report) -> None:
    own, rivals = table(chapter, "pooled").groups
    assert [row.role for row in own.rows] == ["stack"]
    assert len(rivals.rows) == 8


def test_intervals_that_are_withheld_are_said_to_be(chapter: Report) -> None:
    notes = [plain_text(note) for one in tables_in(chapter.sections) for note in one.notes]
    assert any(note.startswith("No interval is given for: Max. drawdown") for note in notes)
    limits = next(section for section in chapter.sections if section.key == "limitations")
    assert "Withheld: " in [plain_text(item.head) for block in limits.blocks for item in block.items]  # type: ignore[union-attr]


def test_a_variant_without_effect_is_printed_as_such(chapter: Report) -> None:
    verdicts = [plain_text(row.cells[-1]) for row in table(chapter, "ablations").flat_rows]
    assert "no effect on inputs" in verdicts
    assert "changed nothing downstream" in said_in(next(one for one in chapter.sections if one.key == "ablations"))


def test_no_supported_claim_is_said_in_a_sentence(own_run: Path) -> None:
    metrics = json.loads((own_run / "metrics.json").read_text(encoding="utf-8"))
    for row in metrics["verdicts"]:
        row["verdict"] = "underpowered"
    (own_run / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    summary = build_chapter(RunRecord(own_run)).sections[0]
    assert "No claim is supported. That is the result of this run" in said_in(summary)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("summary", "This run recorded no intervals and no tests."),
        ("protocol", "This run recorded no settings of statistics"),
        ("results-pooled", "This run recorded no results pooled over its chunks"),
        ("results-rivals", "This run recorded no tests of the stack against its rivals."),
        ("ablations", "No ablation was run: this chapter says nothing about what any single part of the stack adds."),
        ("audits", "No audit was run: whether the explanations are true to what was computed is open."),
    ],
)
def test_what_a_run_lacks_is_said_in_a_sentence(lacking: Report, chapter: Report, key: str, words: str) -> None:
    assert words in said_in(next(one for one in sections_of(lacking.sections) if one.key == key))
    assert words not in said_in(next(one for one in sections_of(chapter.sections) if one.key == key))


def test_what_a_run_lacks_stands_among_its_limitations(lacking: Report) -> None:
    limits = next(section for section in lacking.sections if section.key == "limitations")
    items = {plain_text(item.head): plain_text(item.body) for block in limits.blocks for item in block.items}  # type: ignore[union-attr]
    assert (
        items["Left out: "] == "the run made none of these: intervals and tests, ablations and audits of the explanations."
    )


def test_prose_follows_the_numbers(own_run: Path) -> None:
    """The best of all is named; when another is best, the sentence names that one."""
    metrics = json.loads((own_run / "metrics.json").read_text(encoding="utf-8"))
    for row in metrics["pooled"]:
        row["sharpe"] = 9.87 if row["strategy"] == "momentum_12_1" else row["sharpe"]
    (own_run / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    pooled = next(one for one in sections_of(build_chapter(RunRecord(own_run)).sections) if one.key == "results-pooled")
    assert "The highest Sharpe ratio is that of 12-1 momentum, 9.87." in said_in(pooled)


def test_validation_enters_nothing(own_run: Path, chapter: Report) -> None:
    """Changing every spent row of the measures changes no claim of the chapter (R5)."""
    metrics = json.loads((own_run / "metrics.json").read_text(encoding="utf-8"))
    for row in metrics["strategies"]:
        if row["selection"]:
            row |= {key: 77.0 for key, value in row.items() if isinstance(value, float)}
    (own_run / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    equity = pd.read_parquet(own_run / "portfolio" / "equity.parquet")
    equity.loc[equity["split"] == "val", "equity"] = 77.0
    equity.to_parquet(own_run / "portfolio" / "equity.parquet", index=False)
    assert list(claims_in(build_chapter(RunRecord(own_run)))) == list(claims_in(chapter))
