"""Equity, drawdown and measures of the stack and every rival on the test days, pooled and chunk by chunk."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from glassbox_bt.errors import RunFolderError
from glassbox_bt.reporting.derived import EQUITY, best_rival, derived, is_known, starting_capital
from glassbox_bt.reporting.figures import Forest, Line, Look, Panel, Picture, look_of
from glassbox_bt.reporting.record import METRICS, STACK, TEST, Entry, RunRecord
from glassbox_bt.reporting.report import (
    Block,
    Claim,
    Column,
    Figure,
    Figures,
    Item,
    Link,
    Listing,
    Literal,
    Paragraph,
    Piece,
    Prose,
    Row,
    Section,
    Table,
    prose,
)
from glassbox_bt.reporting.sections.estimates import level, measure_style, span, value_with_interval
from glassbox_bt.reporting.sections.intervals import every_interval
from glassbox_bt.reporting.sections.measures import RETURNS, interval_of, meanings, measures_table, pooled_rows
from glassbox_bt.reporting.sections.phrases import chunk_name, listed, period, quoted, strategy_name
from glassbox_bt.types import FloatArray

__all__ = ["curves", "legend", "performance"]

DRAWN = ("sharpe", "annual_return", "volatility")  # with their intervals


def performance(record: RunRecord) -> Section:
    """Growth and drawdown, estimates with intervals over all chunks, then chunk by chunk, folded."""
    growth = Figures(
        "growth",
        prose("Growth of ", Literal("1"), " and drawdown on the test days, after costs"),
        tuple(_growth(record, chunk) for chunk in record.chunks),
        legend(record),
    )
    tables = [
        measures_table(
            record,
            f"returns-chunk{chunk}",
            prose(chunk_name(record, chunk), ", test ", period(record, chunk), ", after costs"),
            record.rows(chunk, selection=False),
            RETURNS,
        )
        for chunk in record.chunks
    ]
    sentences = Listing(tuple(_in_chunk(record, chunk) for chunk in record.chunks))
    pooled = pooled_rows(record)
    parts = [
        Section("columns", prose("What the columns mean"), (meanings(RETURNS),), folded=True),
        Section("tearsheets", prose("Tear-sheets"), (_sheets(record),), folded=True),
    ]
    if record.entries("intervals"):
        parts.insert(0, every_interval(record))
    if not pooled:
        words = prose("This run recorded no results over the test days of all chunks, and no intervals.")
        blocks: tuple[Block, ...] = (growth, sentences, Paragraph(words, "note"), *tables)
        return Section("performance", prose("Results on test"), blocks, tuple(parts))
    parts.insert(0, Section("returns-chunks", prose("Chunk by chunk"), (sentences, *tables), folded=True))
    return Section("performance", prose("Results on test"), (growth, *_pooled(record, pooled)), tuple(parts))


def legend(record: RunRecord) -> tuple[tuple[Look, Claim], ...]:
    """The look of every strategy beside its name."""
    return tuple((look_of(name, record.strategies), _first_name(record, name)) for name in record.strategies)


def curves(record: RunRecord, chunk: int, column: str) -> tuple[tuple[str, ...], dict[str, FloatArray]]:
    """Days of a chunk's test and one curve per strategy; NaN where a strategy has no such day."""
    rows = record.part(f"{EQUITY}?chunk={chunk}&split={TEST}")
    wide = rows.pivot(index="date", columns="strategy", values=column).sort_index()
    names = [name for name in record.strategies if name in wide.columns]
    return tuple(wide.index), {name: wide[name].to_numpy(dtype=np.float64) for name in names}


def _pooled(record: RunRecord, pooled: tuple[Entry, ...]) -> list[Block]:
    """Estimates with their intervals: drawn for three measures, printed for all."""
    drawn = [measure for measure in DRAWN if any(interval_of(record, row, measure) for row in pooled)]
    figures = tuple(_estimates(record, pooled, measure) for measure in drawn)
    n_chunks = record.claim(derived("n_chunks"), "integer")
    head = prose("Estimates with their ", level(record), "s, test days of all chunks, after costs") if figures else ()
    caption = prose(
        "Test days of all ", n_chunks, " chunks, after costs; in brackets the ", level(record), ", bold the largest"
    )
    table = replace(measures_table(record, "returns-pooled", caption, pooled, RETURNS), notes=(_conventions(record),))
    return [*([Figures("estimates", head, figures)] if figures else []), table]


def _conventions(record: RunRecord) -> Prose:
    settings = f"{METRICS}#/settings"
    return prose(
        "Annualised at ", quoted(record, f"{settings}/sessions_per_year", "integer"), " sessions, risk-free rate ",
        quoted(record, f"{settings}/risk_free", "percent_0"), "; intervals by block bootstrap of the test days, ",
        quoted(record, f"{settings}/n_boot", "integer"), " samples.",
    )  # fmt: skip


def _estimates(record: RunRecord, pooled: tuple[Entry, ...], measure: str) -> Figure:
    found = [(row, interval_of(record, row, measure)) for row in pooled]
    known = [(row, one) for row, one in found if one is not None]
    style = measure_style(measure)
    spans = []
    for row, one in known:
        name = str(row.content["strategy"])
        chunks = (record.row(name, chunk) for chunk in record.chunks)
        points = tuple(float(r.content[measure]) for r in chunks if r is not None and is_known(r, measure))
        made = span(strategy_name(row).text, one, "estimate", points=points, stack=name == STACK)
        spans.append(made)
    words = record.claim(known[0][1].source("measure"), "measure")
    said = [prose(strategy_name(row), " ", value_with_interval(record, one, "estimate", style)) for row, one in known]
    forest = Forest(tuple(spans), words.text, "percent" if style.startswith("percent") else "plain")
    return Figure(
        f"estimates-{measure.replace('_', '-')}",
        prose(words),
        prose("Dots are estimates over the test days of all chunks, bars their intervals, ticks the single chunks. ",
              listed(said), "."),
        forest,
        (f"{METRICS}#/intervals", f"{METRICS}#/strategies"),
    )  # fmt: skip


def _in_chunk(record: RunRecord, chunk: int) -> Item:
    """The stack in one chunk, in a sentence."""
    stack = record.row(STACK, chunk)
    if stack is None:
        raise RunFolderError(
            f"{record.run / 'metrics.json'} has no test row of `{STACK}` in chunk {chunk}. Run the plan again."
        )
    head = prose(chunk_name(record, chunk), ", test ", period(record, chunk), ": ")
    sentence = prose(
        "the stack returned ", record.claim(stack.source("annual_return"), "percent"),
        " a year with a Sharpe ratio of ", record.claim(stack.source("sharpe"), "number"),
        "; its deepest drawdown was ", record.claim(stack.source("max_drawdown"), "percent"),
        " and its mean exposure ", record.claim(stack.source("exposure"), "percent"),
    )  # fmt: skip
    best = best_rival(record, chunk, "sharpe")
    if best is None or not is_known(stack, "sharpe"):
        return Item(prose(sentence, ". Its Sharpe ratio cannot be ranked here."), head)
    rank = prose(
        ". It ranks ", record.claim(derived("rank", chunk=chunk, measure="sharpe"), "integer"),
        " of ", record.claim(derived("n_ranked", chunk=chunk, measure="sharpe"), "integer"),
        " by Sharpe ratio; the highest among rivals is ", strategy_name(best),
        " with ", record.claim(best.source("sharpe"), "number"), ".",
    )  # fmt: skip
    return Item(prose(sentence, rank), head)


def _sheets(record: RunRecord) -> Table:
    """Links to the tear-sheets, by strategy and chunk."""
    heads = (prose("Strategy"), *(chunk_name(record, chunk) for chunk in record.chunks))
    columns = tuple(Column(head, numeric=False) for head in heads)
    rows = []
    for name in record.strategies:
        links = [prose(_sheet_link(record, _first_name(record, name), f"tearsheet_{name}.html"))]
        for chunk in record.chunks:
            links.append(prose(_sheet_link(record, "tear-sheet", f"tearsheet_{name}_chunk{chunk}.html")))
        rows.append(Row(tuple(links)))
    return Table("sheets", prose("Pages drawn by quantstats from the returns on the test days"), columns, tuple(rows))


def _sheet_link(record: RunRecord, content: str | Claim, target: str) -> Piece:
    """A link where the page was drawn; the tear-sheets are written before this page."""
    if (record.run / "report" / target).exists():
        return Link(content, target)
    return content if isinstance(content, Claim) else "not drawn"


def _growth(record: RunRecord, chunk: int) -> Figure:
    days, equity = curves(record, chunk, "equity")
    capital = starting_capital(record)
    wealth = {name: values / capital for name, values in equity.items()}
    others = record.strategies
    panels = (
        Panel(
            "Growth of 1",
            tuple(Line(name, look_of(name, others), values) for name, values in wealth.items()),
        ),
        Panel(
            "Drawdown",
            tuple(Line(name, look_of(name, others), _drawdown(values)) for name, values in wealth.items()),
            "percent",
            height=0.7,
            filled=True,
        ),
    )
    return Figure(
        f"growth-chunk{chunk}",
        prose(chunk_name(record, chunk), ", ", period(record, chunk)),
        _in_words(record, chunk, tuple(wealth)),
        Picture(days, panels),
        (f"{EQUITY}?chunk={chunk}&split={TEST}",),
    )


def _drawdown(wealth: FloatArray) -> FloatArray:
    peak = np.fmax.accumulate(np.fmax(wealth, 1.0))
    drawdown: FloatArray = wealth / peak - 1.0
    return drawdown


def _in_words(record: RunRecord, chunk: int, names: tuple[str, ...]) -> Prose:
    ends = [
        prose(
            _first_name(record, name), " at ",
            record.claim(derived("final_wealth", chunk=chunk, strategy=name), "number"),
            " (deepest fall ",
            record.claim(derived("deepest_drawdown", chunk=chunk, strategy=name), "percent"), ")",
        )
        for name in names
    ]  # fmt: skip
    return prose("One unit of money at the start of the test days ends as: ", listed(ends), ".")


def _first_name(record: RunRecord, name: str) -> Claim:
    """The name of a strategy, from the first row that has it."""
    return strategy_name(next(row for row in record.rows() if row.strategy == name))
