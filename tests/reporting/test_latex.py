"""LaTeX: escaped, in ASCII, with tables in the manner of booktabs that fit the line; compiled where there is a TeX."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from glassbox_bt.reporting import build_chapter, render_chapter
from glassbox_bt.reporting.latex import WRAPPER, latex_chapter, latex_tables, tables_in
from glassbox_bt.reporting.latex_tables import TEXT_WIDTH, latex_table
from glassbox_bt.reporting.latex_text import escaped, text_of, text_width
from glassbox_bt.reporting.markdown import as_printed
from glassbox_bt.reporting.record import RunRecord
from glassbox_bt.reporting.report import Claim, Code, Column, Literal, Row, RowGroup, Table, prose
from tests.reporting.fake_run import FakeRun, write_fake_run
from tests.reporting.trees import claim, everything, figure, report_of, table_of_groups, words

PDFLATEX = shutil.which("pdflatex")


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("50 % of A&B_1 #2 {x} $y", r"50 \% of A\&B\_1 \#2 \{x\} \$y"),
        ("a\\b~c^d", r"a\textbackslash{}b\~{}c\^{}d"),
        ("<0.001 | >2", r"$<$0.001 $|$ $>$2"),
        ("\N{MINUS SIGN}12.3\u202f%", r"$-$12.3\,\%"),
        ("“it’s” – a × b", r"``it's'' -- a $\times$ b"),
        ("Žižek, naïve, Łódź, ß", r"\v{Z}i\v{z}ek, na\"{i}ve, \L{}\'{o}d\'{z}, \ss{}"),
        ("σ ≤ √ε, Γ", r"$\sigma$ $\le$ $\surd$$\epsilon$, $\Gamma$"),
        ("株 ✓", r"[U+682A] $\surd$"),
        ("line\nbreak", "line break"),
    ],
)
def test_signs(text: str, latex: str) -> None:
    assert escaped(text) == latex


@given(st.text(max_size=60))
@example("\\input{/etc/passwd}")
@example("^^41")
def test_whatever_a_run_recorded_becomes_ascii_without_a_command_of_its_own(text: str) -> None:
    made = escaped(text)
    assert made.isascii()
    assert made.count("{") - made.count(r"\{") == made.count("}") - made.count(r"\}")
    assert made.count("$") - made.count(r"\$") == 2 * ((made.count("$") - made.count(r"\$")) // 2)
    assert "%" not in made.replace(r"\%", "")
    assert "^^" not in made
    commands = set(re.findall(r"\\([A-Za-z]+)", made))
    assert not commands & {"input", "include", "write", "def", "csname"}


def test_code_can_be_cut_and_keeps_its_two_dashes() -> None:
    assert text_of(prose(Code("glassbox run --out DIR")), as_printed) == r"\texttt{glassbox run -{}-out DIR}"
    digest = text_of(prose(Code(claim("0123456789abcdef"))), as_printed)
    assert digest == r"\texttt{01234567\allowbreak{}89abcdef}"


def test_a_table_is_set_in_booktabs_with_groups_best_and_marks() -> None:
    lines = latex_table(table_of_groups(), as_printed).split("\n")
    body = lines[lines.index(r"\toprule") : lines.index(r"\bottomrule") + 1]
    assert body == [
        r"\toprule",
        r"Strategy & Sharpe ratio & p, adjusted \\",
        r"\midrule",
        r"\multicolumn{3}{@{}l}{\textit{Chunk 1}} \\",
        r"\addlinespace[2pt]",
        r"Stack & \textbf{\boldmath{}0.72}\rlap{$^{*}$} & 0.003 \\",
        r"\midrule",
        r"\multicolumn{3}{@{}l}{\textit{Rivals}} \\",
        r"\addlinespace[2pt]",
        r"A \& B\_1$|$x & $-$0.50 & -- \\",
        r"\textcolor{black!55}{Spent} & \textcolor{black!55}{9.00} &  \\",
        r"\bottomrule",
    ]
    assert r"\caption{Ratios at 252 sessions}" in lines
    assert r"\label{tab:tests}" in lines
    assert any(
        line.endswith(r"{\footnotesize\raggedright $^{*}$ adjusted p under 0.05\par Bold: the best.}") for line in lines
    )


def test_a_first_cell_is_not_read_as_an_option_of_the_row_before() -> None:
    columns = (Column(prose("Interval"), numeric=False),)
    table = Table("key", prose("Caption"), columns, (Row((words("[1, 2]"),)), Row((words("*"),))))
    text = latex_table(table, as_printed)
    assert "\n{}[1, 2] \\\\" in text
    assert "\n{}* \\\\" in text


def long_table(n_groups: int, n_rows: int) -> Table:
    group = RowGroup(tuple(Row((words(f"name {at}"), prose(claim(1.0, "number")))) for at in range(n_rows)), prose("Group"))
    return Table(
        "long", prose("Caption"), (Column(prose("Name"), numeric=False), Column(prose("Value"))), (group,) * n_groups
    )


@pytest.mark.parametrize(
    ("n_groups", "n_rows", "sizes"), [(4, 12, (36, 12)), (1, 100, (40, 40, 20)), (3, 5, (15,)), (2, 22, (38, 6))]
)
def test_a_long_table_is_cut_between_groups_if_it_can_be(n_groups: int, n_rows: int, sizes: tuple[int, ...]) -> None:
    text = latex_table(long_table(n_groups, n_rows), as_printed)
    floats = text.split(r"\begin{table}")[1:]
    assert tuple(one.count("name ") for one in floats) == sizes
    assert all(r"\multicolumn{2}{@{}l}{\textit{Group}}" in one for one in floats)
    assert text.count(r"\label{tab:long}") == 1
    assert text.count("(continued)") == text.count(r"\addtocounter{table}{-1}") == len(sizes) - 1


def wide_table(n_columns: int, said: str) -> Table:
    columns = (Column(prose("Name"), numeric=False), *(Column(prose("Quite a long head")) for _ in range(n_columns)))
    row = Row((words(said), *(prose(claim(-1234.5, "number")) for _ in range(n_columns))))
    return Table("wide", prose("Caption"), columns, (row,))


@pytest.mark.parametrize(
    ("n_columns", "said", "size", "wraps"),
    [
        (2, "short", "small", False),
        (8, "short", "footnotesize", False),
        (3, "a sentence of a good many words that says what a rule did " * 2, "small", True),
        (3, "a sentence of a good many words that says what a rule did " * 4, "scriptsize", True),
        (10, "short", "scriptsize", False),
    ],
)
def test_type_gets_smaller_and_sentences_wrap(n_columns: int, said: str, size: str, wraps: bool) -> None:
    text = latex_table(wide_table(n_columns, said), as_printed)
    assert f"\\{size}\\setlength" in text
    assert (r">{\raggedright\arraybackslash}p{" in text) == wraps


def test_widths_are_guessed_from_the_letters() -> None:
    assert text_width("0000000000") == pytest.approx(5.0)
    assert text_width("ill") < text_width("WWW") / 2
    assert text_width(prose(claim(1.0, "number"))) == text_width("1.00")


def test_everything_is_printed() -> None:
    text = latex_chapter(everything())
    assert re.findall(r"\\(chapter|section|subsection)\{([^}]*)\}", text) == [
        ("chapter", r"20 names, 2000\_2022"),
        ("section", "Text"),
        ("section", "Numbers"),
        ("subsection", "Drawn"),
    ]
    labels = set(re.findall(r"\\label\{([^}]*)\}", text))
    assert set(re.findall(r"\\ref\{([^}]*)\}", text)) <= labels
    assert {"tab:tests", "fig:growth", "fig:single", "chap:results"} <= labels
    assert text.count(r"\includegraphics[width=1.00\linewidth,alt={It ends at 1.20.}]{\glassboxpath/figures/") == 2
    assert r"\includegraphics[width=0.60\linewidth,alt={It ends at 1.20.}]{\glassboxpath/figures/single.pdf}" in text
    assert r"\item[Costs] one" in text
    assert r"\item \textbf{Head: }body" in text
    assert "\\begin{quote}\n\\small A note." in text
    assert r"\documentclass" not in text
    assert text.isascii()


def test_a_tall_row_of_drawings_goes_on_a_page_of_its_own() -> None:
    from glassbox_bt.reporting.report import Figures

    many = Figures("many", prose("Many"), tuple(figure(f"one{letter}") for letter in "abcdefg"))
    text = latex_chapter(report_of(many))
    assert text.count(r"\begin{figure}") == 2
    assert text.count(r"\addtocounter{figure}{-1}") == text.count("Many (continued)") == 1
    assert text.count(r"\label{fig:many}") == 1


def test_a_table_alone_is_what_stands_in_the_chapter() -> None:
    chapter, tables = latex_chapter(everything()), latex_tables(everything())
    assert list(tables) == ["tests"]
    start = tables["tests"].index(r"\begin{table}")
    assert tables["tests"][start:].strip() in chapter
    assert r"\providecommand{\glassboxfit}" in tables["tests"]


def test_marking_claims_changes_no_letter() -> None:
    seen: list[str] = []

    def shown(piece: Claim | Literal, text: str) -> str:
        seen.append(piece.text)
        return f"\ue000{text}\ue001"

    marked = latex_chapter(everything(), shown)
    assert re.sub("[\ue000\ue001]", "", marked) == latex_chapter(everything())
    assert {"12.3\u202f%", "252", "0.72"} <= set(seen)


def test_tables_of_the_chapter_fit_the_line_by_the_estimate(fake_run: Path) -> None:
    """None is so wide that even the smallest type is scaled down."""
    from glassbox_bt.reporting.latex_tables import GAP, _layout

    tables = list(tables_in(build_chapter(RunRecord(fake_run)).sections))
    assert len(tables) > 12
    for table in tables:
        layout = _layout(table)
        assert sum(layout.widths) + GAP[layout.size] * (len(table.columns) - 1) <= TEXT_WIDTH + 0.01, table.key


@pytest.mark.slow
@pytest.mark.parametrize("whole", [True, False])
def test_the_chapter_compiles_without_a_word_of_complaint(tmp_path: Path, whole: bool) -> None:
    """Also where the run has neither statistics nor ablations nor audits; overfull lines of more than a point fail."""
    if PDFLATEX is None:
        pytest.skip("no pdflatex: install texlive-latex-recommended and texlive-latex-extra")
    how = FakeRun(sessions=90, has_statistics=whole, has_ablations=whole, has_audits=whole)
    run = write_fake_run(tmp_path / "run", how)
    render_chapter(run)
    log = compiled(run / "report" / "chapter")
    wrong = [line for line in log.splitlines() if re.search(r"^!|Warning|undefined|multiply", line)]
    assert wrong == []
    assert [points for points in re.findall(r"Overfull \\hbox \(([0-9.]+)pt", log) if float(points) > 1.0] == []


@pytest.mark.slow
def test_a_thesis_with_narrow_text_scales_tables_down(tmp_path: Path) -> None:
    if PDFLATEX is None:
        pytest.skip("no pdflatex: install texlive-latex-recommended and texlive-latex-extra")
    render_chapter(write_fake_run(tmp_path / "run", FakeRun(sessions=90)))
    shutil.copytree(tmp_path / "run" / "report" / "chapter", tmp_path / "thesis" / "results")
    thesis = WRAPPER.replace("margin=25mm", "textwidth=120mm").replace(
        r"\input{chapter}", r"\newcommand{\glassboxpath}{results}\input{results/chapter}"
    )
    (tmp_path / "thesis" / "main.tex").write_text(thesis, encoding="utf-8")
    log = compiled(tmp_path / "thesis")
    tables = re.findall(r"Overfull \\hbox \(([0-9.]+)pt too wide\) in (?:alignment|paragraph at lines)", log)
    assert "LaTeX Error" not in log
    assert [points for points in tables if float(points) > 15.0] == []


def compiled(folder: Path) -> str:
    """The log of the third run of pdflatex, which must succeed."""
    assert PDFLATEX is not None
    for _ in range(3):
        command = [PDFLATEX, "-interaction=nonstopmode", "-halt-on-error", "main.tex"]
        done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:]
    assert (folder / "main.pdf").stat().st_size > 100_000
    return (folder / "main.log").read_text(encoding="latin-1").replace("\n(", " (")
