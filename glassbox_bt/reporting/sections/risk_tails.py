"""Value at risk and expected shortfall against what came: verdicts, exceedances over the test years, tests by name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from glassbox_bt.reporting.derived import derived
from glassbox_bt.reporting.figures import Exceedances, Tail
from glassbox_bt.reporting.record import METRICS, POOLED, Entry, RunRecord
from glassbox_bt.reporting.report import (
    Block,
    Column,
    Figure,
    Figures,
    Paragraph,
    Prose,
    Row,
    RowGroup,
    Section,
    Table,
    prose,
)
from glassbox_bt.reporting.sections.estimates import SIGNS, absent, interval, level, verdict_cell
from glassbox_bt.reporting.sections.phrases import chunk_name, listed, period
from glassbox_bt.reporting.sections.risk_names import (
    CVAR,
    EXCEEDANCES,
    TAIL_TESTS,
    TAIL_VERDICTS,
    TAILS,
    VAR,
    absence,
    counted_verdicts,
    not_there,
)
from glassbox_bt.reporting.sections.risk_tail_rivals import tail_rival_blocks, tail_rivals_by_chunk

__all__ = ["exceedance_figures", "tail_sections", "tail_tests_table", "tail_verdicts_table"]

TITLE = prose("Value at risk and expected shortfall")
MOST_NAMES = 20  # flagged ones that are printed
SHARES = ("rate",)  # figures in per cent


def tail_sections(record: RunRecord) -> tuple[Section, ...]:
    """Verdicts over all names, the drawn exceedances and the tests by name; folded, chunks and flagged names."""
    missing = [words for words in (absence(record, name) for name in (VAR, CVAR)) if words is not None]
    if missing:
        return (Section("risk-tails", TITLE, tuple(not_there(words) for words in missing)),)
    if not record.entries(TAIL_VERDICTS, chunk=POOLED):
        return (Section("risk-tails", TITLE, (absent("backtest of value at risk and expected shortfall"),)),)
    blocks: list[Block] = [Paragraph(_summary(record)), *exceedance_figures(record), tail_verdicts_table(record)]
    blocks += [Paragraph(_flagged_words(record)), tail_tests_table(record), *tail_rival_blocks(record)]
    parts = [Section("risk-tails", TITLE, tuple(blocks))]
    if record.entries(TAILS, chunk=POOLED):
        parts.append(Section("risk-tails-names", prose("Tails by name and chunk"), tuple(_details(record)), folded=True))
    return tuple(parts)


def _percent(record: RunRecord, entry: Entry) -> Prose:
    """``95 %``."""
    return prose(record.claim(entry.source("level"), "integer"), " %")


def _summary(record: RunRecord) -> Prose:
    said = [
        prose(
            record.claim(one.source("estimate"), "percent_2"), " of returns fell beyond the value at risk of ",
            _percent(record, one), ", stated ", record.claim(one.source("stated"), "percent_2"), " (",
            record.claim(one.source("verdict")), ")",
        )
        for one in record.entries(TAIL_VERDICTS, chunk=POOLED, figure="rate")
    ]  # fmt: skip
    return prose(
        "Over the test days of all chunks, ", listed(said), ". That what is stated holds, give or take what would matter: ",
        counted_verdicts(record, TAIL_VERDICTS), ".",
    )  # fmt: skip


def exceedance_figures(record: RunRecord) -> list[Block]:
    """Exceedances counted up against what was stated, one drawing per chunk."""
    drawn = tuple(_figure(record, chunk) for chunk in record.chunks if record.entries(EXCEEDANCES, chunk=chunk))
    if not drawn:
        return [absent("exceedances by day")]
    return [Figures("risk-exceedances-plots", prose("Losses beyond the stated value at risk, test days"), drawn)]


def _levels(record: RunRecord) -> list[int]:
    return sorted({int(one.get("level")) for one in record.entries(TAIL_VERDICTS, chunk=POOLED)})


def _figure(record: RunRecord, chunk: int) -> Figure:
    rows = record.entries(EXCEEDANCES, chunk=chunk)
    names = np.array([float(one.get("n_names")) for one in rows])
    levels = _levels(record)
    tails = tuple(
        Tail(one, np.array([float(row.get(f"hits_{one}")) for row in rows]), names * (1.0 - one / 100.0)) for one in levels
    )
    days = tuple(str(one.get("date")) for one in rows)
    return Figure(
        f"risk-exceedances-chunk{chunk}",
        prose(chunk_name(record, chunk), ", ", period(record, chunk)),
        _figure_in_words(record, chunk, levels),
        Exceedances(days, tails, names),
        (f"{METRICS}#/{EXCEEDANCES}",),
    )


def _figure_in_words(record: RunRecord, chunk: int, levels: Sequence[int]) -> Prose:
    said = []
    for place, one in enumerate(levels):
        verdict = record.entries(TAIL_VERDICTS, chunk=chunk, level=one, figure="rate")
        name = _percent(record, verdict[0]) if verdict else prose("the next level")
        hits = record.claim(derived("total", of=EXCEEDANCES, chunk=chunk, sum=f"hits_{one}"), "integer")
        stated = record.claim(derived("n_stated", chunk=chunk, level=one), "number_1")
        said.append(
            prose("" if place else "Counted over all names and days: ", hits, " losses beyond ", name, ", stated ", stated)
        )
    worst = {
        what: record.claim(derived("worst_day", chunk=chunk, level=levels[0], what=what), style)
        for what, style in (("date", "date"), (f"hits_{levels[0]}", "integer"), ("n_names", "integer"))
    }
    return prose(
        listed(said), ". The day with most of them is ", worst["date"], ": ", worst[f"hits_{levels[0]}"], " of ",
        worst["n_names"], " names. A curve steeper than the dotted one means more losses than stated; a step means many "
        "names on one day.",
    )  # fmt: skip


def tail_verdicts_table(record: RunRecord) -> Table:
    """What was stated and what was found, over all names and test days."""
    columns = (
        Column(prose("Figure"), numeric=False),
        Column(prose("Verdict"), numeric=False, hint="on the claim that it is as stated"),
        Column(prose("Stated")),
        Column(prose("Found")),
        Column(level(record), hint="by blocks of days over all names"),
        Column(prose("p (adjusted)"), hint="in brackets by Holm over all figures"),
        Column(prose("Would matter"), hint="smallest departure that would matter"),
        Column(prose("Could have shown"), hint="smallest true departure that this sample would have found"),
    )
    groups = []
    for one in _levels(record):
        rows = record.entries(TAIL_VERDICTS, chunk=POOLED, level=one)
        groups.append(RowGroup(tuple(_verdict_row(record, row) for row in rows), prose("At ", _percent(record, rows[0]))))
    caption = prose("Tails as stated and as found, all names, test days of all chunks")
    notes = (
        prose(
            SIGNS["supported"], "supported: the whole interval lies within what would not matter of what was stated. ",
            SIGNS["refuted"], "refuted: p, adjusted, is under ", record.claim(derived("error_rate"), "plain"), ". ",
            SIGNS["underpowered"], "underpowered: neither. Of correlation and depth only the harmful side is tested; depth "
            "is negative where losses were larger than said.",
        ),
    )  # fmt: skip
    return Table("risk-tails-verdicts", caption, columns, tuple(groups), notes)


def _verdict_row(record: RunRecord, entry: Entry) -> Row:
    style = "percent_2" if entry.get("figure") in SHARES else "number_3"
    adjusted = record.claim(entry.source("p_holm"), "p_value")
    p_value = record.claim(entry.source("p_value"), "p_value")
    return Row(
        (
            prose(record.claim(entry.source("figure"), "tail")),
            verdict_cell(record, entry),
            prose(record.claim(entry.source("stated"), style)),
            prose(record.claim(entry.source("estimate"), style)),
            interval(record, entry, style),
            prose(p_value, " (", adjusted, ")") if p_value.known else prose(p_value),
            prose(record.claim(entry.source("smallest_effect"), style)),
            prose(record.claim(entry.source("smallest_detectable"), style)),
        )
    )


def _flagged_words(record: RunRecord) -> Prose:
    tests = record.entries(TAIL_TESTS, chunk=POOLED)
    if not tests:
        return prose("No test by name was recorded.")
    n_names = record.claim(tests[0].source("n_names"), "integer")
    flagged = record.claim(derived("n_flagged_names"), "integer")
    return prose(
        "By name, with p-values of finite samples (exact or by seeded draws): of ", n_names, " names ", flagged, " stay "
        "flagged in some test at some level after the correction for false discoveries over the names of a test (",
        record.claim(derived("error_rate"), "percent_0"), " of those flagged may be flagged by chance). Names that fall on "
        "the same days are hardly more than one: the verdicts above count days instead.",
    )  # fmt: skip


def tail_tests_table(record: RunRecord) -> Table:
    """How many names were tested, how many failed, and how many would by chance."""
    columns = (
        Column(prose("Test"), numeric=False),
        Column(prose("Names tested")),
        Column(prose("p under ", record.claim(derived("error_rate"), "plain"))),
        Column(prose("By chance"), hint="names with so small a p if all that is stated were true"),
        Column(prose("Flagged"), hint="after Benjamini and Hochberg's correction for false discoveries"),
        Column(prose("Under any dependence"), hint="after Benjamini and Yekutieli's correction"),
    )
    names = (("n_tested", "integer"), ("n_below", "integer"), ("n_by_chance", "number_1"), ("n_flagged", "integer"),
             ("n_flagged_any", "integer"))  # fmt: skip
    groups = []
    for one in _levels(record):
        rows = record.entries(TAIL_TESTS, chunk=POOLED, level=one)
        made = [
            Row(
                (
                    prose(record.claim(row.source("test"), "tail")),
                    *(prose(record.claim(row.source(name), style)) for name, style in names),
                )
            )
            for row in rows
        ]
        if made:
            groups.append(RowGroup(tuple(made), prose("At ", _percent(record, rows[0]))))
    return Table("risk-tails-tests", prose("Tests by name, test days of all chunks"), columns, tuple(groups))


def _details(record: RunRecord) -> list[Block]:
    blocks: list[Block] = [_tests_by_chunk(record), *tail_rivals_by_chunk(record)]
    flagged = [one for one in record.entries(TAILS, chunk=POOLED) if one.get("flagged")]
    if not flagged:
        return [*blocks, Paragraph(prose("No name is flagged over all test days."))]
    flagged.sort(key=lambda one: (-len(str(one.get("flagged")).split()), str(one.get("ticker")), int(one.get("level"))))
    rest = prose(" The first of them; all stand in the run folder.") if len(flagged) > MOST_NAMES else prose("")
    columns = (
        Column(prose("Name"), numeric=False),
        Column(prose("Level")),
        Column(prose("Days")),
        Column(prose("Losses beyond it")),
        Column(prose("Share")),
        Column(prose("Flagged by"), numeric=False),
    )
    rows = tuple(_name_row(record, one) for one in flagged[:MOST_NAMES])
    caption = prose("Flagged names, test days of all chunks.", rest)
    return [*blocks, Table("risk-tails-flagged", caption, columns, rows)]


def _name_row(record: RunRecord, entry: Entry) -> Row:
    return Row(
        (
            prose(record.claim(entry.source("ticker"))),
            _percent(record, entry),
            prose(record.claim(entry.source("n_days"), "integer")),
            prose(record.claim(entry.source("n_hits"), "integer")),
            prose(record.claim(entry.source("rate"), "percent_2")),
            prose(record.claim(entry.source("flagged"), "tails")),
        )
    )


def _tests_by_chunk(record: RunRecord) -> Table:
    """Flagged of tested names, chunk by chunk."""
    hint = "flagged after the correction for false discoveries, of names tested"
    columns = (
        Column(prose("Test"), numeric=False),
        *(Column(chunk_name(record, chunk), hint=hint) for chunk in record.chunks),
    )
    groups = []
    for one in _levels(record):
        rows = []
        for pooled in record.entries(TAIL_TESTS, chunk=POOLED, level=one):
            test = str(pooled.get("test"))
            parts = [record.entries(TAIL_TESTS, chunk=chunk, level=one, test=test) for chunk in record.chunks]
            cells = (_of_tested(record, part[0]) if part else prose("not recorded") for part in parts)
            rows.append(Row((prose(record.claim(pooled.source("test"), "tail")), *cells)))
        if rows:
            head = record.entries(TAIL_TESTS, chunk=POOLED, level=one)[0]
            groups.append(RowGroup(tuple(rows), prose("At ", _percent(record, head))))
    return Table("risk-tails-chunks", prose("Flagged names by chunk"), columns, tuple(groups))


def _of_tested(record: RunRecord, entry: Entry) -> Prose:
    flagged, tested = (record.claim(entry.source(name), "integer") for name in ("n_flagged", "n_tested"))
    return prose(flagged, " of ", tested)
