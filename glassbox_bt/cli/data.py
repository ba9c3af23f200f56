"""Market folders in: `data check` and `data import`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["data"]

data = typer.Typer(help="Check a market, or make a market folder of a price table.", no_args_is_help=True)


@data.command()
def check(
    market: Annotated[str, typer.Argument(help="A market folder, sp500, or synthetic with its settings.")],
    min_observed: Annotated[int, typer.Option(min=1, help="Bars that a name needs to enter the universe.")] = 252,
    window: Annotated[int, typer.Option(min=1, help="Sessions within which it needs them.")] = 504,
) -> None:
    """Read a market as a run would, and say what it holds and what it lacks.

    Example: [bold]glassbox data check data/tiny[/bold]
    """
    from rich.console import Console

    from glassbox_bt.market.ingest import build_store
    from glassbox_bt.market.sources import from_name
    from glassbox_bt.market.universe import UniverseRule

    store = build_store(from_name(market), UniverseRule(min_observed=min_observed, window=window))
    Console(highlight=False).print(_facts(store.facts))


@data.command("import")
def import_table(
    source: Annotated[
        Path, typer.Argument(help="A CSV or Parquet table: date, ticker, close and, if known, the rest of a bar.")
    ],
    out: Annotated[Path, typer.Option(help="The market folder to make; must not exist.")],
    name: Annotated[str, typer.Option(help="Short name, printed in every report.")],
    price_basis: Annotated[str, typer.Option(help="What close is: raw, split_adjusted or total_return.")],
    calendar: Annotated[str, typer.Option(help="A calendar of exchange_calendars, for example XNYS.")],
    benchmark: Annotated[str, typer.Option(help="A ticker of the table, or equal-weight.")],
    currency: Annotated[str, typer.Option(help="Of all prices.")] = "not stated",
    licence: Annotated[str, typer.Option(help="Of the data.")] = "not stated",
) -> None:
    """Make a market folder of one table of prices; nothing is repaired, and what a run would refuse is refused.

    Example: [bold]glassbox data import prices.csv --out markets/mine --name mine --price-basis split_adjusted
    --calendar XNYS --benchmark SPY[/bold]
    """
    from typing import cast

    from glassbox_bt.market.ingest import build_store
    from glassbox_bt.market.sources.folder import read_table, write_folder
    from glassbox_bt.market.sources.raw import MarketMeta, PriceBasis, RawMarket
    from glassbox_bt.market.universe import UniverseRule
    from glassbox_bt.runs.artefacts import new_folder

    meta = MarketMeta(
        name=name,
        price_basis=cast("PriceBasis", price_basis),
        calendar=calendar,
        currency=currency,
        benchmark=None if benchmark == "equal-weight" else benchmark,
        licence=licence,
        card=(f"Imported from {source.name}; what its source lacks is not stated.",),
    )
    raw = RawMarket(meta=meta, prices=read_table("prices", source))
    build_store(raw, UniverseRule(min_observed=1, window=1))  # refuses what a run would refuse
    typer.echo(str(new_folder(out, lambda draft: write_folder(raw, draft))))


def _facts(facts: Mapping[str, Any]) -> Table:
    from rich.table import Table

    table = Table("what", "is", title=str(facts["name"]), show_lines=False)
    for key, value in facts.items():
        if key not in ("name", "flags", "card"):
            table.add_row(key.replace("_", " "), _words(value))
    table.add_section()
    for key, value in facts["flags"].items():
        table.add_row(key.replace("_", " "), _words(value))
    table.add_section()
    for line in facts["card"]:
        table.add_row("card", line)
    return table


def _words(value: object) -> str:
    """A fact on one line; long lists are counted."""
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {_words(one)}" for key, one in value.items()) or "none"
    if isinstance(value, list | tuple):
        shown = ", ".join(str(one) for one in value[:5])
        return f"{shown} and {len(value) - 5} more" if len(value) > 5 else shown or "none"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)
