"""The measures of a strategy: what each is called, how it is printed and what it means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from glassbox_bt.reporting.record import POOLED, STACK, Entry, MetricRow, RunRecord
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
    with_best,
)
from glassbox_bt.reporting.sections.estimates import value_with_interval
from glassbox_bt.reporting.sections.phrases import measured, strategy_name

__all__ = ["POOLED_TRADING", "RETURNS", "TRADING", "Measure", "interval_of", "meanings", "measures_table", "pooled_rows"]


@dataclass(frozen=True, slots=True)
class Measure:
    """A column of ``metrics.json`` in words; ``is_prize`` where more of it is what every strategy is after.

    A prize is printed with its interval, and its best value bold.
    """

    key: str
    head: Prose
    style: str
    meaning: Prose
    is_prize: bool = False


RETURNS = (
    Measure("annual_return", prose("Return"), "percent",
            prose("compound return a year after costs, at ", Literal("252"), " sessions a year"), is_prize=True),
    Measure("volatility", prose("Volatility"), "percent", prose("standard deviation of daily returns, annualised")),
    Measure("sharpe", prose("Sharpe"), "number",
            prose("mean over standard deviation of daily returns, annualised, risk-free rate ", Literal("0")),
            is_prize=True),
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
POOLED_TRADING = TRADING[:3]  # what has a value over several chunks


def measures_table(
    record: RunRecord, key: str, caption: Prose, rows: Sequence[MetricRow | Entry], measures: Sequence[Measure]
) -> Table:
    """One row per strategy, prizes with their intervals; measures that no row has are left out."""
    shown = [one for one in measures if any(one.key in row.content for row in rows)]
    columns = (
        Column(prose("Strategy"), numeric=False),
        *(Column(one.head, hint=plain_text(one.meaning)) for one in shown),
    )
    body = tuple(Row((prose(strategy_name(row)), *(_cell(record, row, one) for one in shown)), _role(row)) for row in rows)
    for place, one in enumerate(shown, start=1):
        if one.is_prize:
            body = with_best(body, place)
    return Table(key, caption, columns, body)


def pooled_rows(record: RunRecord) -> tuple[Entry, ...]:
    """Measures over the test days of all chunks, the stack's first; none where the run has no such rows."""
    return tuple(sorted(record.entries("pooled"), key=lambda row: row.content["strategy"] != STACK))


def interval_of(record: RunRecord, row: MetricRow | Entry, measure: str) -> Entry | None:
    """The recorded interval of one measure of a row, None where there is none; validation rows have none."""
    if _is_selection(row):
        return None
    where: dict[str, str | int] = {"strategy": str(row.content["strategy"]), "measure": measure}
    found = record.entries("intervals", chunk=int(row.content.get("chunk", POOLED)), **where)
    return found[0] if found else None


def meanings(measures: Sequence[Measure]) -> Listing:
    """What each measure means, as a list of facts."""
    return Listing(tuple(Item(one.meaning, one.head) for one in measures), "facts")


def _cell(record: RunRecord, row: MetricRow | Entry, measure: Measure) -> Prose:
    found = interval_of(record, row, measure.key) if measure.is_prize else None
    if found is None or measure.key not in row.content:
        return measured(record, row, measure.key, measure.style)
    entry = row if isinstance(row, Entry) else Entry(row.source("").rstrip("/"), row.content)
    return value_with_interval(record, entry, measure.key, measure.style, found)


def _is_selection(row: MetricRow | Entry) -> bool:
    return isinstance(row, MetricRow) and row.is_selection


def _role(row: MetricRow | Entry) -> RowRole:
    if _is_selection(row):
        return "muted"
    return "stack" if row.content["strategy"] == STACK else "plain"
