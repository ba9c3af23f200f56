"""The chapter on what was earned: pooled, against rivals, chunk by chunk, and what trading took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from glassbox_bt.reporting.chapter_setting import counted, table_of
from glassbox_bt.reporting.derived import best_rival, derived, is_known
from glassbox_bt.reporting.record import POOLED, STACK, Entry, MetricRow, RunRecord
from glassbox_bt.reporting.report import (
    Column,
    Figure,
    Figures,
    Listing,
    Mark,
    Paragraph,
    Prose,
    Ref,
    Row,
    RowGroup,
    Section,
    Table,
    prose,
    with_best,
)
from glassbox_bt.reporting.sections.comparisons import comparisons
from glassbox_bt.reporting.sections.decisions import decisions
from glassbox_bt.reporting.sections.estimates import (
    difference_style,
    interval,
    level,
    measure_style,
    primary,
)
from glassbox_bt.reporting.sections.measures import RETURNS, TRADING, Measure
from glassbox_bt.reporting.sections.performance import performance
from glassbox_bt.reporting.sections.phrases import chunk_name, measured, period, strategy_name
from glassbox_bt.reporting.sections.quality import quality
from glassbox_bt.reporting.sections.statistics import statistics

__all__ = ["differs", "mark_note", "results"]

PRINTED = {"percent": "bare_percent", "percent_2": "bare_percent_2"}
SMALLEST_IS_BEST: Mapping[str, bool] = MappingProxyType({one.key: one.key == "volatility" for one in RETURNS})
BOLD_NOTE = prose("Bold: the best of its column among strategies that bear risk, those with a Sharpe ratio.")
# Tables of measures with their intervals: key, what they are about, and the measures.
INTERVALS = (
    ("pooled-intervals", "return and risk", ("annual_return", "volatility", "sharpe", "sortino")),
    ("pooled-intervals-losses", "losses", ("max_drawdown", "calmar", "cvar_95", "hit_rate")),
)


def results(record: RunRecord) -> Section:
    """Pooled results with intervals and tests, then each chunk, then exposure, costs and decisions."""
    return Section(
        "results",
        prose("Results on the test days"),
        (),
        (_pooled(record), _rivals(record), _chunks(record), _trading(record)),
    )


def _in_print(measures: Sequence[Measure]) -> tuple[Measure, ...]:
    """The measures with the percent sign in the head of their column."""
    return tuple(
        replace(one, head=prose(one.head, ", %"), style=PRINTED[one.style]) if one.style in PRINTED else one
        for one in measures
    )


def _pooled(record: RunRecord) -> Section:
    title = prose("All chunks together")
    entries = record.entries("pooled")
    if not entries:
        words = prose("This run recorded no results pooled over its chunks; each chunk stands for itself below.")
        return Section("results-pooled", title, (Paragraph(words),))
    shown = [one for one in _in_print(RETURNS) if any(one.key in entry.content for entry in entries)]
    rows = [_pooled_row(record, entry, shown) for entry in entries]
    risky = [entry.get("sharpe") is not None for entry in entries]
    bold = _bold(rows, shown, risky)
    table = Table("pooled", prose("Test days of all chunks, after costs"), _columns(shown), _stack_first(bold), (BOLD_NOTE,))
    intro = Paragraph(
        prose(
            Ref("table", "pooled", "The table below"), " puts the test days of all chunks into one sequence.",
            *_pinned(record), " ",
            *_standing(record, entries),
        )
    )  # fmt: skip
    return Section("results-pooled", title, (intro, table, *_intervals(record, entries)))


def _pinned(record: RunRecord) -> Prose:
    if not record.entries("intervals", chunk=POOLED):
        return prose(" This run recorded no intervals.")
    return prose(
        " ", Ref("table", INTERVALS[0][0], "The tables after it"), " and its neighbour say how far they pin it down."
    )


def _standing(record: RunRecord, entries: Sequence[Entry]) -> Prose:
    """Where the stack stands by Sharpe ratio, in words."""
    known = [entry for entry in entries if entry.get("sharpe") is not None]
    best = max(known, key=lambda entry: float(entry.get("sharpe")), default=None)
    if best is None or not any(entry.get("strategy") == STACK for entry in known):
        return prose("The stack has no Sharpe ratio here: it bore no risk.")
    value = record.claim(best.source("sharpe"), "number")
    if best.get("strategy") == STACK:
        return prose("The highest Sharpe ratio is the stack’s, ", value, ".")
    return prose("The highest Sharpe ratio is that of ", record.claim(best.source("strategy"), "strategy"), ", ", value, ".")


def _pooled_row(record: RunRecord, entry: Entry, shown: Sequence[Measure]) -> Row:
    name = prose(record.claim(entry.source("strategy"), "strategy"))
    cells = (_value(record, entry, one) for one in shown)
    return Row((name, *cells), "stack" if entry.get("strategy") == STACK else "plain")


def _value(record: RunRecord, entry: Entry, one: Measure) -> Prose:
    return prose(record.claim(entry.source(one.key), one.style)) if one.key in entry.content else prose("not recorded")


def _columns(shown: Sequence[Measure]) -> tuple[Column, ...]:
    return (Column(prose("Strategy"), numeric=False), *(Column(one.head) for one in shown))


def _bold(rows: Sequence[Row], shown: Sequence[Measure], competes: Sequence[bool]) -> tuple[Row, ...]:
    """The best of each column in bold, among the rows that compete."""
    places = [place for place, yes in enumerate(competes) if yes]
    best: tuple[Row, ...] = tuple(rows[place] for place in places)
    for column, one in enumerate(shown, start=1):
        if one.key in SMALLEST_IS_BEST:
            best = with_best(best, column, smallest=SMALLEST_IS_BEST[one.key])
    made = dict(zip(places, best, strict=True))
    return tuple(made.get(place, row) for place, row in enumerate(rows))


def _stack_first(rows: Sequence[Row]) -> tuple[Row | RowGroup, ...]:
    """The stack above a rule, its rivals below."""
    own = tuple(row for row in rows if row.role == "stack")
    others = tuple(row for row in rows if row.role != "stack")
    return tuple(RowGroup(part) for part in (own, others) if part)


def _intervals(record: RunRecord, entries: Sequence[Entry]) -> tuple[Table, ...]:
    """Each measure with its interval; a measure without any is left out and the reason noted."""
    found = {(str(one.get("strategy")), str(one.get("measure"))): one for one in record.entries("intervals", chunk=POOLED)}
    tables = []
    for key, about, measures in INTERVALS:
        mine = [one for one in _in_print(RETURNS) if one.key in measures]
        shown = [one for one in mine if _has_any(found, one.key)]
        if shown:
            caption = prose(f"Test days of all chunks: {about}, with ", level(record), "s")
            notes = _withheld(record, found, [one for one in mine if one not in shown])
            tables.append(_interval_table(record, entries, found, (key, caption, notes), shown))
    return tuple(tables)


def _interval_table(
    record: RunRecord,
    entries: Sequence[Entry],
    found: Mapping[tuple[str, str], Entry],
    frame: tuple[str, Prose, tuple[Prose, ...]],
    shown: Sequence[Measure],
) -> Table:
    rows = []
    for entry in entries:
        name = str(entry.get("strategy"))
        cells = [cell for one in shown for cell in _with_interval(record, found.get((name, one.key)), one)]
        head = prose(record.claim(entry.source("strategy"), "strategy"))
        rows.append(Row((head, *cells), "stack" if name == STACK else "plain"))
    columns = [column for one in shown for column in (Column(one.head), Column(level(record)))]
    key, caption, notes = frame
    heads = (Column(prose("Strategy"), numeric=False), *columns)
    return Table(key, caption, heads, _stack_first(rows), notes)


def _has_any(found: Mapping[tuple[str, str], Entry], measure: str) -> bool:
    return any(key == measure and entry.get("low") is not None for (_, key), entry in found.items())


def _with_interval(record: RunRecord, entry: Entry | None, one: Measure) -> tuple[Prose, Prose]:
    """Two cells: the value, and its interval."""
    if entry is None:
        return prose("not recorded"), prose("")
    return prose(record.claim(entry.source("estimate"), one.style)), interval(record, entry, one.style)


def _withheld(record: RunRecord, found: Mapping[tuple[str, str], Entry], left_out: Sequence[Measure]) -> tuple[Prose, ...]:
    """Why a measure has no interval, in the run's own words."""
    notes = []
    for one in left_out:
        entry = found.get((STACK, one.key))
        if entry is not None and entry.get("withheld"):
            notes.append(prose("No interval is given for: ", one.head, " (", record.claim(entry.source("withheld")), ")."))
    return tuple(notes)


def _rivals(record: RunRecord) -> Section:
    title = prose("Against the rivals")
    measure = primary(record)
    entries = record.entries("comparisons", family="rivals", chunk=POOLED, measure=measure)
    if not entries:
        words = prose("This run recorded no tests of the stack against its rivals.")
        return Section("results-rivals", title, (Paragraph(words),))
    name = record.claim("metrics.json#/settings/primary", "measure")
    columns = (
        Column(prose("Rival"), numeric=False),
        Column(prose("Its value")),
        Column(prose("Difference")),
        Column(level(record)),
        Column(prose("p")),
        Column(prose("p, adjusted")),
        Column(prose("Could have shown")),
        Column(prose("Verdict"), numeric=False),
    )
    rows = tuple(_rival_row(record, entry, measure) for entry in entries)
    intro = Paragraph(
        prose(
            Ref("table", "rivals", "The table below"), " gives the stack’s ", name, " less that of each rival, on the same "
            "days. Claims that the stack does better: ", counted(record, kind="rival"), ".",
        )
    )  # fmt: skip
    caption = prose("The stack’s ", name, " less that of each rival, test days of all chunks")
    table = Table("rivals", caption, columns, rows, (mark_note(record), _detectable(record)))
    page = comparisons(record)
    drawn = tuple(block for block in page.blocks if isinstance(block, Figure | Figures))
    together = tuple(block for block in page.blocks if isinstance(block, Listing))
    luck = table_of(statistics(record), "sharpe-tests")
    return Section("results-rivals", title, (intro, table, *drawn, *together, *luck))


def _rival_row(record: RunRecord, entry: Entry, measure: str) -> Row:
    return Row(
        (
            prose(record.claim(entry.source("name"), "strategy")),
            prose(record.claim(entry.source("rival"), measure_style(measure))),
            differs(record, entry, measure),
            interval(record, entry, measure_style(measure)),
            prose(record.claim(entry.source("p_value"), "p_value")),
            prose(record.claim(entry.source("p_holm"), "p_value")),
            prose(record.claim(entry.source("smallest_detectable"), measure_style(measure))),
            prose(record.claim(entry.source("verdict"))),
        )
    )


def differs(record: RunRecord, entry: Entry, measure: str, name: str = "difference") -> Prose:
    """A difference, marked where its adjusted p-value is under the level of the tests."""
    value = record.claim(entry.source(name), difference_style(measure))
    adjusted = entry.get("p_holm")
    limit = record.resolve(derived("error_rate"))
    is_marked = isinstance(adjusted, float) and isinstance(limit, float) and adjusted < limit
    return prose(value, Mark("*")) if is_marked else prose(value)


def mark_note(record: RunRecord) -> Prose:
    """What the mark of `differs` means."""
    return prose(Mark("*"), " The p-value, adjusted by Holm, is under ", record.claim(derived("error_rate"), "plain"), ".")


def _detectable(record: RunRecord) -> Prose:
    power = record.claim("metrics.json#/settings/power", "percent_0")
    return prose(
        "Could have shown: the smallest true difference that such a sample finds with a probability of ", power, "."
    )


def _chunks(record: RunRecord) -> Section:
    """One table with a group per chunk, a sentence each, and the curves."""
    page = performance(record)
    figures = tuple(block for block in page.blocks if isinstance(block, Figures))
    said = Paragraph(_spaced([_in_chunk(record, chunk) for chunk in record.chunks]))
    table = _by_chunk(record, "chunks-returns", prose("Each chunk’s test days, after costs"), RETURNS, (BOLD_NOTE,))
    return Section("results-chunks", prose("Chunk by chunk"), (said, table, *figures))


def _in_chunk(record: RunRecord, chunk: int) -> Prose:
    stack, best = record.row(STACK, chunk), best_rival(record, chunk, "sharpe")
    if stack is None or best is None or not is_known(stack, "sharpe"):
        return prose("In ", chunk_name(record, chunk), " the stack’s Sharpe ratio cannot be ranked.")
    return prose(
        "In ", chunk_name(record, chunk), " the stack ranks ",
        record.claim(derived("rank", chunk=chunk, measure="sharpe"), "integer"), " of ",
        record.claim(derived("n_ranked", chunk=chunk, measure="sharpe"), "integer"), " by Sharpe ratio, ",
        record.claim(stack.source("sharpe"), "number"), "; the highest among the rivals is that of ", strategy_name(best),
        ", ", record.claim(best.source("sharpe"), "number"), ".",
    )  # fmt: skip


def _by_chunk(
    record: RunRecord, key: str, caption: Prose, measures: Sequence[Measure], notes: tuple[Prose, ...] = ()
) -> Table:
    rows = record.rows(selection=False)
    shown = [one for one in _in_print(measures) if any(one.key in row.content for row in rows)]
    groups = []
    for chunk in record.chunks:
        mine = record.rows(chunk, selection=False)
        made = [_metric_row(record, row, shown) for row in mine]
        bold = _bold(made, shown, [is_known(row, "sharpe") for row in mine])
        groups.append(RowGroup(bold, prose(chunk_name(record, chunk), ", ", period(record, chunk))))
    return Table(key, caption, _columns(shown), tuple(groups), notes)


def _metric_row(record: RunRecord, row: MetricRow, shown: Sequence[Measure]) -> Row:
    cells = (measured(record, row, one.key, one.style) for one in shown)
    return Row((prose(strategy_name(row)), *cells), "stack" if row.strategy == STACK else "plain")


def _trading(record: RunRecord) -> Section:
    """Exposure, turnover, costs; actions; what became of the orders."""
    caption = prose("Exposure, turnover and costs on each chunk’s test days")
    meanings = tuple(prose(one.head, ": ", one.meaning, ".") for one in TRADING[:3])
    table = _by_chunk(record, "chunks-trading", caption, TRADING, meanings)
    fills = table_of(quality(record), "fills")
    said = Paragraph(
        prose(
            *_spaced([_traded(record, chunk) for chunk in record.chunks]), " ",
            Ref("table", "actions", "The table of actions"), " says how often the stack bought, held and sold, ",
            Ref("table", "chunks-trading", "the table of trading"), " what that took beside its rivals, and ",
            Ref("table", "fills", "the table of orders"), " what became of its orders.",
        )
    )  # fmt: skip
    return Section("results-trading", prose("Trading"), (said, *decisions(record).blocks, table, *fills))


def _traded(record: RunRecord, chunk: int) -> Prose:
    stack = record.row(STACK, chunk)
    if stack is None:
        return prose("In ", chunk_name(record, chunk), " the trading of the stack was not recorded.")
    exposure, turnover, costs = (measured(record, stack, one.key, one.style) for one in TRADING[:3])
    return prose(
        "In ", chunk_name(record, chunk), " the stack was invested to ", exposure, " of equity on average, turned it over ",
        turnover, " times a year and paid ", costs, " of it a year in costs.",
    )  # fmt: skip


def _spaced(sentences: Sequence[Prose]) -> Prose:
    return prose(*(prose(" " if place else "", one) for place, one in enumerate(sentences)))
