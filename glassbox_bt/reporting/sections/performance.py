"""Equity, drawdown and measures of the stack and every rival on the test days of each chunk."""

from __future__ import annotations

import numpy as np

from glassbox_bt.reporting.derived import EQUITY, derived, starting_capital
from glassbox_bt.reporting.figures import Line, Look, Panel, Picture, look_of
from glassbox_bt.reporting.record import TEST, RunRecord
from glassbox_bt.reporting.report import (
    Claim,
    Column,
    Figure,
    Figures,
    Link,
    Literal,
    Piece,
    Prose,
    Row,
    Section,
    Table,
    prose,
)
from glassbox_bt.reporting.sections.measures import RETURNS, meanings, measures_table
from glassbox_bt.reporting.sections.phrases import chunk_name, listed, period, strategy_name
from glassbox_bt.types import FloatArray

__all__ = ["curves", "legend", "performance"]


def performance(record: RunRecord) -> Section:
    """Small multiples of equity and drawdown, then one table per chunk."""
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
    figures = Figures(
        "growth",
        prose("Growth of ", Literal("1"), " and drawdown on the test days, after costs"),
        tuple(_growth(record, chunk) for chunk in record.chunks),
        legend(record),
    )
    return Section(
        "performance",
        prose("Results on test"),
        (figures, *tables, meanings(RETURNS)),
        (Section("tearsheets", prose("Tear-sheets"), (_sheets(record),)),),
    )


def legend(record: RunRecord) -> tuple[tuple[Look, Claim], ...]:
    """The look of every strategy beside its name."""
    return tuple((look_of(name, record.strategies), _first_name(record, name)) for name in record.strategies)


def curves(record: RunRecord, chunk: int, column: str) -> tuple[tuple[str, ...], dict[str, FloatArray]]:
    """Days of a chunk's test and one curve per strategy; NaN where a strategy has no such day."""
    rows = record.part(f"{EQUITY}?chunk={chunk}&split={TEST}")
    wide = rows.pivot(index="date", columns="strategy", values=column).sort_index()
    names = [name for name in record.strategies if name in wide.columns]
    return tuple(wide.index), {name: wide[name].to_numpy(dtype=np.float64) for name in names}


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
