"""The measures of a strategy: what each is called, how it is printed and what it means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from glassbox_bt.reporting.record import STACK, MetricRow, RunRecord
from glassbox_bt.reporting.report import (
    Column,
    Item,
    Listing,
    Literal,
    Prose,
    Row,
    RowRole,
    Table,
    plain_text,
    prose,
)
from glassbox_bt.reporting.sections.phrases import measured, strategy_name

__all__ = ["RETURNS", "TRADING", "Measure", "meanings", "measures_table"]


@dataclass(frozen=True, slots=True)
class Measure:
    """A column of ``metrics.json`` in words."""

    key: str
    head: Prose
    style: str
    meaning: Prose


RETURNS = (
    Measure("annual_return", prose("Return"), "percent",
            prose("compound return a year after costs, at ", Literal("252"), " sessions a year")),
    Measure("volatility", prose("Volatility"), "percent", prose("standard deviation of daily returns, annualised")),
    Measure("sharpe", prose("Sharpe"), "number",
            prose("mean over standard deviation of daily returns, annualised, risk-free rate ", Literal("0"))),
    Measure("sortino", prose("Sortino"), "number", prose("as Sharpe, over the root mean square of losses")),
    Measure("max_drawdown", prose("Max. drawdown"), "percent", prose("deepest fall from a peak; negative = loss")),
    Measure("calmar", prose("Calmar"), "number", prose("return over the size of the deepest fall")),
    Measure("cvar_95", prose("CVaR ", Literal("95")), "percent_2",
            prose("mean daily return beyond the ", Literal("95"), " percent tail; negative = loss")),
    Measure("hit_rate", prose("Hit rate"), "percent", prose("share of days with a gain, among days with a gain or a loss")),
)  # fmt: skip
TRADING = (
    Measure("exposure", prose("Exposure"), "percent", prose("mean share of equity that is invested")),
    Measure("turnover", prose("Turnover"), "number", prose("half of all bought and sold value over mean equity, a year")),
    Measure("cost_share", prose("Costs"), "percent_2", prose("commission, spread and impact over mean equity, a year")),
    Measure("n_trades", prose("Fills"), "integer", prose("orders filled in whole or in part")),
    Measure("unfilled", prose("Unfilled"), "integer", prose("orders that did not fill")),
)  # fmt: skip


def measures_table(
    record: RunRecord, key: str, caption: Prose, rows: Sequence[MetricRow], measures: Sequence[Measure]
) -> Table:
    """One row per strategy; measures that no row has are left out."""
    shown = [one for one in measures if any(one.key in row.content for row in rows)]
    columns = (
        Column(prose("Strategy"), numeric=False),
        *(Column(one.head, hint=plain_text(one.meaning)) for one in shown),
    )
    body = tuple(
        Row(
            (
                prose(strategy_name(row)),
                *(measured(record, row, one.key, one.style) for one in shown),
            ),
            _role(row),
        )
        for row in rows
    )
    return Table(key, caption, columns, body)


def meanings(measures: Sequence[Measure]) -> Listing:
    """What each measure means, as a list of facts."""
    return Listing(tuple(Item(one.meaning, one.head) for one in measures), "facts")


def _role(row: MetricRow) -> RowRole:
    if row.is_selection:
        return "muted"
    return "stack" if row.strategy == STACK else "plain"
