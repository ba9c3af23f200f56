"""What ran, on which data, under which clock and costs."""

from __future__ import annotations

from glassbox_bt.reporting.record import RunRecord
from glassbox_bt.reporting.report import (
    Column,
    Item,
    Listing,
    Prose,
    Row,
    Section,
    Table,
    prose,
)
from glassbox_bt.reporting.sections.phrases import chunk_name, chunk_source, listed, period, quoted

__all__ = ["setting"]

MARKET = "manifest.json#/market"
COSTS = "manifest.json#/plan/costs"
BASES = {
    "raw": "raw, as traded",
    "split_adjusted": "adjusted for splits",
    "total_return": "adjusted for splits and dividends",
}


def setting(record: RunRecord) -> Section:
    """The market card, the protocol and the chunks."""
    return Section(
        "setting",
        prose("What ran, on what data"),
        (Listing(tuple(_facts(record)), "facts"), _chunks(record)),
        (
            Section(
                "card",
                prose("What these data cannot show"),
                (
                    Listing(
                        tuple(
                            Item(prose(record.claim(f"{MARKET}/card/{place}")))
                            for place in range(len(record.manifest["market"].get("card", [])))
                        )
                    ),
                ),
            ),
        ),
    )


def _facts(record: RunRecord) -> list[Item]:
    return [
        Item(_span(record), prose("Market")),
        Item(prose(quoted(record, f"{MARKET}/benchmark")), prose("Benchmark")),
        Item(prose(quoted(record, f"{MARKET}/universe/rule")), prose("Universe")),
        Item(prose(_price_basis(record), "; returns: ", quoted(record, f"{MARKET}/returns")), prose("Prices")),
        Item(_fills(record), prose("Fills")),
        Item(_costs(record), prose("Costs")),
        Item(prose(quoted(record, f"{MARKET}/licence")), prose("Licence of the data")),
    ]  # fmt: skip


def _span(record: RunRecord) -> Prose:
    name, first, last = (quoted(record, f"{MARKET}/{key}") for key in ("name", "first_session", "last_session"))
    n_names, n_sessions = (quoted(record, f"{MARKET}/{key}", "integer") for key in ("n_names", "n_sessions"))
    return prose(name, ": ", n_names, " names, ", first, " to ", last, " (", n_sessions, " sessions)")


def _price_basis(record: RunRecord) -> Prose:
    basis = str(record.manifest["market"].get("price_basis"))
    words = BASES.get(basis)
    return prose(words) if words else prose(quoted(record, f"{MARKET}/price_basis", "words"))


def _fills(record: RunRecord) -> Prose:
    opens = record.manifest["market"].get("has_opens", True)
    when = "next session’s open" if opens else "next session’s close (this market has no opens)"
    volume = (
        "orders are limited to a share of traded volume"
        if record.manifest["market"].get("has_volume", False)
        else "without volume there is no limit by liquidity and no market impact"
    )
    return prose(f"decided at the close, filled at the {when}; {volume}. Long only, fractional shares.")


def _costs(record: RunRecord) -> Prose:
    if not record.has(f"{COSTS}/commission_bps"):
        return prose("not recorded")
    parts = [
        prose("commission ", record.claim(f"{COSTS}/commission_bps", "number_1"), " bp"),
        prose("half-spread ", record.claim(f"{COSTS}/half_spread_bps", "number_1"), " bp"),
        prose("impact coefficient ", record.claim(f"{COSTS}/impact", "number")),
    ]
    return prose(
        listed(parts),
        ", all of traded value; starting capital ",
        record.claim(f"{COSTS}/capital", "integer"),
        " in each period, idle cash earns nothing",
    )


def _chunks(record: RunRecord) -> Table:
    columns = (
        Column(prose("Chunk"), numeric=False),
        Column(prose("Train"), numeric=False),
        Column(prose("Validation (spent)"), numeric=False),
        Column(prose("Test"), numeric=False),
        Column(prose("Names, mean"), hint="names in the universe, mean over the days of the chunk"),
    )
    rows = tuple(
        Row(
            (
                chunk_name(record, chunk),
                period(record, chunk, "train"),
                period(record, chunk, "validation"),
                period(record, chunk, "test"),
                prose(quoted(record, chunk_source(record, chunk, "n_members_mean"), "number_1")),
            )
        )
        for chunk in record.chunks
    )
    caption = prose("Chronological chunks: fitted on train, selected on validation, reported on test")
    return Table("chunks", caption, columns, rows)
