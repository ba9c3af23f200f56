"""Market folders in: `data check` and `data import`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from glassbox_bt.cli.terminal import say, shown
from glassbox_bt.errors import MarketDataError

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

__all__ = ["data"]

Batches = Iterator[tuple["pd.DataFrame", float]]

OF_PRICES = ("name", "price_basis", "calendar", "benchmark", "currency", "licence")
OF_TEXT = (
    "text_column", "time_column", "ticker_column", "source_column", "id_column", "market_wide", "time_zone", "time_format",
    "encoding",
)  # fmt: skip
OPTIONS: Mapping[str, tuple[str, ...]] = {"prices": OF_PRICES, "text": OF_TEXT, "filings": ("encoding", "form")}
PATIENCE = 2.0  # seconds without a progress bar

data = typer.Typer(
    help="Check a market, or make a folder of a table of prices, of text or of filings.", no_args_is_help=True
)


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
    context: typer.Context,
    source: Annotated[
        Path,
        typer.Argument(
            help="Bars: a CSV or Parquet table of date, ticker, close and, if known, the rest. "
            "Text: a CSV, JSONL or Parquet table. Filings: a folder of EDGAR's full submissions (.txt)."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The folder to make; must not exist.")],
    what: Annotated[str, typer.Option(help="What SOURCE holds: prices, text or filings.")] = "prices",
    name: Annotated[str | None, typer.Option(help="Prices: short name, printed in every report.")] = None,
    price_basis: Annotated[
        str | None, typer.Option(help="Prices: what close is: raw, split_adjusted or total_return.")
    ] = None,
    calendar: Annotated[str | None, typer.Option(help="Prices: a calendar of exchange_calendars, for example XNYS.")] = None,
    benchmark: Annotated[str | None, typer.Option(help="Prices: a ticker of the table, or equal-weight.")] = None,
    currency: Annotated[str, typer.Option(help="Prices: of all of them.")] = "not stated",
    licence: Annotated[str, typer.Option(help="Prices: of the data.")] = "not stated",
    text_column: Annotated[str, typer.Option(help="Text: the column of the words.")] = "text",
    time_column: Annotated[str, typer.Option(help="Text: the column of the time, or day, of publication.")] = "published_at",
    ticker_column: Annotated[
        str, typer.Option(help="Text: the column of the name; empty cells are market-wide.")
    ] = "ticker",
    source_column: Annotated[str, typer.Option(help="Text: the column of the source, if there is one.")] = "source",
    id_column: Annotated[str, typer.Option(help="Text: the column of the document, if there is one.")] = "doc_id",
    market_wide: Annotated[
        bool, typer.Option("--market-wide", help="Text: no column of names; all is market-wide.")
    ] = False,
    time_zone: Annotated[
        str | None, typer.Option(help="Text: zone of times without one, for example America/New_York.")
    ] = None,
    time_format: Annotated[str | None, typer.Option(help="Text: such as %d/%m/%Y %H:%M; default ISO 8601.")] = None,
    encoding: Annotated[str, typer.Option(help="Text, filings: of the bytes.")] = "utf-8",
    form: Annotated[list[str] | None, typer.Option(help="Filings: a form to read; may be repeated.")] = None,
) -> None:
    r"""Make a market folder of a table of prices, or a folder of text that a market's \[files] points at.

    Nothing is repaired, and what a run would refuse is refused.

    Examples: [bold]glassbox data import prices.csv --out markets/mine --name mine --price-basis split_adjusted
    --calendar XNYS --benchmark SPY[/bold]

    [bold]glassbox data import tweets.jsonl --what text --out texts/tweets --text-column body --time-zone UTC[/bold]

    [bold]glassbox data import edgar/2014 --what filings --out texts/filings --form 8-K --form 10-Q[/bold]
    """
    _refuse_idle(what, _given(context))
    if what == "prices":
        stated = {"--name": name, "--price-basis": price_basis, "--calendar": calendar, "--benchmark": benchmark}
        _import_prices(source, out, _all_stated(stated), currency, licence)
    elif what == "text":
        from glassbox_bt.market.sources.text_tables import TextTableSource, text_batches

        table = TextTableSource(
            path=source,
            text=text_column,
            time=time_column,
            ticker=None if market_wide else ticker_column,
            source=source_column,
            doc_id=id_column,
            zone=time_zone,
            time_format=time_format,
            encoding=encoding,
        )
        _import_text(source, out, lambda facts: text_batches(table, facts))
    else:
        from glassbox_bt.market.sources.edgar import FORMS, filing_batches

        forms = tuple(one.upper() for one in form) if form else FORMS
        _import_text(source, out, lambda facts: filing_batches(source, forms, encoding, facts))


def _given(context: typer.Context) -> list[str]:
    """Names of the options that the user wrote."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return [name for name, where in sources.items() if where is not None and where.name == "COMMANDLINE"]


def _refuse_idle(what: str, given: Collection[str]) -> None:
    """An option that would be ignored is a mistake."""
    if what not in OPTIONS:
        raise MarketDataError(f"`--what` must be prices, text or filings, got `{what}`.")
    for name in given:
        at_home = [kind for kind, names in OPTIONS.items() if name in names]
        if at_home and what not in at_home:
            raise MarketDataError(
                f"`{_option(name)}` is for {' and '.join(at_home)}; it says nothing about --what {what}. Leave it out."
            )
    if "market_wide" in given and "ticker_column" in given:
        raise MarketDataError(
            "`--market-wide` says that no column names tickers, `--ticker-column` names one. Leave one out."
        )


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _all_stated(stated: Mapping[str, str | None]) -> dict[str, str]:
    """What has no honest default must be stated."""
    missing = [option for option, value in stated.items() if value is None]
    if missing:
        raise MarketDataError(f"A table of prices needs {', '.join(missing)}: it does not say so itself.")
    return {option: str(value) for option, value in stated.items()}


def _import_prices(source: Path, out: Path, stated: Mapping[str, str], currency: str, licence: str) -> None:
    from typing import cast

    from glassbox_bt.market.ingest import build_store
    from glassbox_bt.market.sources.folder import read_table, write_folder
    from glassbox_bt.market.sources.raw import MarketMeta, PriceBasis, RawMarket
    from glassbox_bt.market.universe import UniverseRule
    from glassbox_bt.runs.artefacts import new_folder

    benchmark = stated["--benchmark"]
    meta = MarketMeta(
        name=stated["--name"],
        price_basis=cast("PriceBasis", stated["--price-basis"]),
        calendar=stated["--calendar"],
        currency=currency,
        benchmark=None if benchmark == "equal-weight" else benchmark,
        licence=licence,
        card=(f"Imported from {source.name}; what its source lacks is not stated.",),
    )
    raw = RawMarket(meta=meta, prices=read_table("prices", source))
    build_store(raw, UniverseRule(min_observed=1, window=1))  # refuses what a run would refuse
    typer.echo(str(new_folder(out, lambda draft: write_folder(raw, draft))))


def _import_text(source: Path, out: Path, batches: Callable[[Counter[str]], Batches]) -> None:
    """A folder of text, whole or not at all; says what was read and what was left out."""
    from glassbox_bt.market.sources.text_folder import write_text
    from glassbox_bt.runs.artefacts import new_folder

    if not source.exists():
        raise MarketDataError(f"{source} does not exist.")
    facts = Counter[str]()
    with _patient_bars(f"Importing {source}") as progress:
        made = new_folder(out, lambda draft: write_text(batches(facts), draft, facts, progress))
    typer.echo(str(made))
    say("; ".join(f"{_told(what)}: {count:,}" for what, count in sorted(facts.items())))


def _told(what: str) -> str:
    """A count in words; what comes after a colon is somebody's own name."""
    ours, colon, theirs = what.partition(": ")
    return f"{ours.replace('_', ' ')}{colon}{theirs}"


@contextmanager
def _patient_bars(title: str) -> Iterator[Callable[[str, float], None]]:
    """Progress that is shown only once a job has taken two seconds."""
    from glassbox_bt.cli.progress import bars

    begun, shown = time.monotonic(), list[Callable[[str, float], None]]()
    with ExitStack() as stack:

        def tell(what: str, share: float) -> None:
            if not shown and time.monotonic() - begun > PATIENCE:
                shown.append(stack.enter_context(bars(title)))
            if shown:
                shown[0](what, share)

        yield tell


def _facts(facts: Mapping[str, Any]) -> Table:
    from rich.table import Table

    table = Table("what", "is", title=shown(facts["name"], "table.title"), show_lines=False)
    for key, value in facts.items():
        if key not in ("name", "flags", "card"):
            table.add_row(key.replace("_", " "), shown(_words(value)))
    table.add_section()
    for key, value in facts["flags"].items():
        table.add_row(shown(key.replace("_", " ")), shown(_words(value)))
    table.add_section()
    for line in facts["card"]:
        table.add_row("card", shown(line))
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
