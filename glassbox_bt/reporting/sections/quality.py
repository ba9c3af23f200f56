"""Quality of the data, and what became of the orders."""

from __future__ import annotations

from glassbox_bt.reporting.record import STACK, TEST, RunRecord, table_source
from glassbox_bt.reporting.report import Block, Column, Item, Listing, Row, Section, Table, prose
from glassbox_bt.reporting.sections.phrases import chunk_name, named_values, quoted

__all__ = ["quality"]

MARKET = "manifest.json#/market"
ORDERS = "portfolio/orders.parquet"


def quality(record: RunRecord) -> Section:
    """Filled cells, flags of the market checks, warnings of the run, and fill codes."""
    filled = prose(
        quoted(record, f"{MARKET}/n_filled_cells", "integer"),
        " (",
        quoted(record, f"{MARKET}/filled_share", "percent_4"),
        " of all name-days); carried forward a few sessions at most, never traded, never a label",
    )
    facts = [
        Item(prose(quoted(record, f"{MARKET}/survivorship")), prose("Survivorship")),
        Item(filled, prose("Filled cells")),
        *named_values(record, "/market/booked_out", prose("Booked out, ")),
        *named_values(record, "/market/universe", prose("Universe, ")),
        *named_values(record, "/market/flags"),
    ]
    blocks: list[Block] = [Listing(tuple(facts), "facts")]
    warnings = record.manifest.get("warnings", [])
    if warnings:
        items = (Item(prose(record.claim(f"manifest.json#/warnings/{i}"))) for i in range(len(warnings)))
        blocks.append(Listing(tuple(items), "notices"))
    blocks.append(_orders(record))
    return Section("quality", prose("Quality of the data and fate of the orders"), tuple(blocks))


def _orders(record: RunRecord) -> Table:
    orders = record.part(f"{ORDERS}?split={TEST}&strategy={STACK}")
    codes = sorted(orders["code"].astype(str).unique())
    columns = (
        Column(prose("Code"), numeric=False),
        *(Column(chunk_name(record, chunk)) for chunk in record.chunks),
    )
    rows = []
    for code in codes:
        first = table_source(ORDERS, "first(code)", split=TEST, strategy=STACK, code=code)
        counts = (
            record.claim(table_source(ORDERS, "count()", chunk=chunk, split=TEST, strategy=STACK, code=code), "integer")
            for chunk in record.chunks
        )
        rows.append(Row((prose(record.claim(first, "words")), *(prose(count) for count in counts))))
    return Table("fills", prose("Orders of the stack on the test days, by what became of them"), columns, tuple(rows))
