"""The ten largest positions of each chunk, and the rules that shaped them."""

from __future__ import annotations

from dataclasses import dataclass

from glassbox_bt.reporting.record import STACK, TEST, RunRecord, Where, table_source
from glassbox_bt.reporting.report import (
    Claim,
    Column,
    Item,
    Listing,
    Paragraph,
    Prose,
    Row,
    Section,
    Table,
    plain_text,
    prose,
)
from glassbox_bt.reporting.sections.phrases import NOT_RECORDED, chunk_name, period

__all__ = ["Position", "largest", "positions"]

N_LARGEST = 10
WEIGHTS = "portfolio/weights.parquet"
ORDERS = "portfolio/orders.parquet"
APPROVED = "portfolio/approved.parquet"
DECISIONS = "decisions.parquet"
SIZES = (
    ("recommended_capital_fraction", "Sizing", "largest size that position sizing recommended"),
    ("pre_rule_learned_position_fraction", "Learned", "that size times the learned multiplier"),
    ("user_rule_cap_fraction", "Rule cap", "smallest cap of the rules that fired"),
    ("final_position_fraction", "Decided", "size after the rules"),
)


@dataclass(frozen=True, slots=True)
class Position:
    """A name on the day on which the stack held most of it, and the decision that its last order came from."""

    chunk: int
    ticker: str
    day: str
    decided_on: str | None

    @property
    def held(self) -> str:
        """Source of the weight."""
        where: Where = {"chunk": self.chunk, "split": TEST, "strategy": STACK}
        return table_source(WEIGHTS, "only(weight)", **where, date=self.day, ticker=self.ticker)

    def source(self, table: str, column: str) -> str:
        """Source of a value of the decision."""
        where: Where = {"chunk": self.chunk, "split": TEST}
        return table_source(table, f"only({column})", **where, date=str(self.decided_on), ticker=self.ticker)


def positions(record: RunRecord) -> Section:
    """Per chunk the sizes step by step, and the trace in words, folded."""
    intro = Paragraph(
        prose(
            "Each name appears once, on the test day on which the stack held most of it. Sizes are fractions of "
            "equity; no step may raise the size of the step before. The decision is that of the last order filled "
            "by that day; prices move the weight afterwards."
        )
    )
    return Section(
        "positions",
        prose("Largest positions and their rule trace"),
        (intro,),
        tuple(part for chunk in record.chunks for part in _in_chunk(record, chunk)),
    )


def largest(record: RunRecord, chunk: int) -> tuple[Position, ...]:
    """Up to ten positions, the largest first; ties by ticker."""
    held = record.part(f"{WEIGHTS}?chunk={chunk}&split={TEST}&strategy={STACK}")
    held = held.sort_values(["weight", "ticker", "date"], ascending=[False, True, True], kind="stable")
    top = held.drop_duplicates("ticker").head(N_LARGEST)
    orders = record.part(f"{ORDERS}?chunk={chunk}&split={TEST}&strategy={STACK}")
    filled = orders[orders["filled_shares"] > 0.0]
    found = []
    for ticker, day in zip(top["ticker"], top["date"], strict=True):
        before = filled[(filled["ticker"] == ticker) & (filled["filled_on"] <= day)]
        decided_on = None if before.empty else str(before["decided_on"].max())
        found.append(Position(chunk, str(ticker), str(day), decided_on))
    return tuple(found)


def _in_chunk(record: RunRecord, chunk: int) -> tuple[Section, ...]:
    title = prose(chunk_name(record, chunk), ", test ", period(record, chunk))
    key = f"positions-chunk{chunk}"
    top = largest(record, chunk)
    if not top:
        return (Section(key, title, (Paragraph(prose("The stack held nothing in this period."), "warning"),)),)
    shown = [size for size in SIZES if size[0] in record.table(DECISIONS).columns]
    columns = (
        Column(prose("Name"), numeric=False),
        Column(prose("Day"), numeric=False),
        Column(prose("Weight"), hint="fraction of equity at the close of the day"),
        Column(prose("Decided on"), numeric=False, hint="close at which the last order was decided"),
        *(Column(prose(head), hint=hint) for _, head, hint in shown),
        Column(prose("Approved"), hint="size that the approver let through"),
        Column(prose("Binding rule"), numeric=False, hint="rule with the smallest cap"),
    )
    rows = tuple(_row(record, position, tuple(name for name, _, _ in shown)) for position in top)
    table = Table(key + "-table", prose("Size step by step, ", title), columns, rows)
    traces = Listing(tuple(_trace(record, position) for position in top), "ordered")
    words = Section(key + "-trace", prose("The same in words, ", chunk_name(record, chunk)), (traces,), folded=True)
    return (Section(key, title, (table,)), words)


def _row(record: RunRecord, position: Position, sizes: tuple[str, ...]) -> Row:
    weight = record.claim(position.held, "percent_2")
    return Row(
        (
            prose(_ticker(record, position)),
            prose(_day(record, position)),
            prose(weight),
            _decided(record, position, DECISIONS, "date", "date"),
            *(_decided(record, position, DECISIONS, name, "percent_2") for name in sizes),
            _decided(record, position, APPROVED, "approved_fraction", "percent_2"),
            _decided(record, position, DECISIONS, "binding_rule_id", "rule"),
        )
    )


def _trace(record: RunRecord, position: Position) -> Item:
    head = prose(_ticker(record, position), ": ")
    body = prose(
        "learned ", _decided(record, position, DECISIONS, "learned_recommendation", "text"),
        ", decided ", _decided(record, position, DECISIONS, "final_recommendation", "text"),
        ". Rules: ", _decided(record, position, DECISIONS, "rule_barrier_reasons", "codes"), ". ",
        _decided(record, position, DECISIONS, "fusion_xai_summary", "text"),
    )  # fmt: skip
    return Item(prose(body, *_approver(record, position)), head)


def _approver(record: RunRecord, position: Position) -> Prose:
    """Why the approver let through less than was asked; nothing where it did not."""
    if "approval_reasons" not in record.table(APPROVED).columns:
        return ()
    why = _decided(record, position, APPROVED, "approval_reasons", "codes")
    return prose(" Approver: ", why, ".") if plain_text(why) not in ("", NOT_RECORDED) else ()


def _ticker(record: RunRecord, position: Position) -> Claim:
    return record.claim(position.held.replace("only(weight)", "only(ticker)"))


def _day(record: RunRecord, position: Position) -> Claim:
    return record.claim(position.held.replace("only(weight)", "only(date)"), "date")


def _decided(record: RunRecord, position: Position, table: str, column: str, style: str) -> Prose:
    """A value of the decision, or ``not recorded`` where the table has no such row."""
    source = position.source(table, column)
    if record.part(source.partition("#")[0]).empty:
        return prose(NOT_RECORDED)
    return prose(record.claim(source, style))
