"""``glassbox verify``: recomputes what a finished run printed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from glassbox_bt.reporting.faults import Check, Fault

__all__ = ["verify"]

MOST_FAULTS = 40  # printed one by one; a run of which more is wrong is wrong as a whole


def verify(run: Annotated[Path, typer.Argument(help="A run folder that `glassbox run` has finished.")]) -> None:
    """Recompute a run: equity from orders and prices, measures from equity, every digit from its source.

    Exit code 1 if anything differs, with the file, the place, what is printed and what it must be. Nothing is written.

    Example: [bold]glassbox verify runs/quickstart[/bold]
    """
    from rich.console import Console

    from glassbox_bt.cli.progress import bars
    from glassbox_bt.cli.run_choice import finished
    from glassbox_bt.cli.terminal import shown
    from glassbox_bt.reporting.verify import verify as verified

    manifest = finished(run.resolve())
    with bars(f"Verify: {manifest.content['name']}") as progress:
        found = verified(manifest.run, progress)
    console = Console(highlight=False, soft_wrap=True)
    console.print(_table(found.checks))
    for check in found.checks:
        if check.remark:
            console.print(shown(f"{check.question}: {check.remark}."))
    for fault in found.faults[:MOST_FAULTS]:
        console.print(shown(_line(fault)))
    if found.faults:
        n_faults, more = len(found.faults), len(found.faults) - MOST_FAULTS
        typer.echo(f"Faults: {n_faults}" + (f", of which {more} are not printed." if more > 0 else "."))
        if all(fault.file.startswith("report/") for fault in found.faults):
            typer.echo("Only reports differ. If the program has changed since, write them again with `glassbox report`.")
        raise typer.Exit(1)


def _table(checks: tuple[Check, ...]) -> Table:
    from rich.table import Table

    table = Table(title="What was recomputed", title_justify="left")
    table.add_column("check")
    table.add_column("compared", justify="right")
    table.add_column("faults", justify="right")
    for check in checks:
        wrong = f"[bold red]{len(check.faults)}[/bold red]" if check.faults else "[green]none[/green]"
        table.add_row(check.question, f"{check.n_compared:,} {check.unit}".replace(",", " "), wrong)
    return table


def _line(fault: Fault) -> str:
    place = f"{fault.file}, {fault.place}" if fault.place else fault.file
    source = f" (source {fault.source})" if fault.source else ""
    return f"FAULT {place}{source}: printed {fault.printed!r}, recomputed {fault.recomputed!r}"
