"""``glassbox audit``: asks a finished run whether the glass is clear."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from glassbox_bt.audits.base import AuditResult

__all__ = ["audit"]


def audit(
    run: Annotated[Path, typer.Argument(help="A run folder that `glassbox run` has finished.")],
    only: Annotated[list[str] | None, typer.Option(help="Audits by name, for example lookahead; all by default.")] = None,
    days: Annotated[int, typer.Option(min=1, help="Test days at which the market is cut.")] = 5,
    refit: Annotated[
        bool, typer.Option("--refit", help="Also fit the first chunk again, on a market without a future.")
    ] = False,
    full: Annotated[bool, typer.Option("--full", help="Also fit every chunk again.")] = False,
) -> None:
    """Audit a run; exit code 1 if anything is found, with the module and the column that differ.

    Example: [bold]glassbox audit runs/quickstart --only lookahead[/bold]
    """
    from rich.console import Console

    from glassbox_bt.audits.base import AuditSettings, audits_named, record
    from glassbox_bt.cli.progress import bars

    chosen = audits_named(tuple(only or ()))
    settings = AuditSettings(n_days=days, refit=refit, full=full)
    console, clear = Console(), True
    for name, ask in chosen.items():
        with bars(f"Audit: {name}") as progress:
            result = ask(run.resolve(), settings, progress)
        path = record(run.resolve(), result)
        console.print(_table(result))
        for finding in result.findings:
            console.print(
                f"[bold red]FAIL[/bold red] {finding.check}: module [bold]{finding.module}[/bold], "
                f"column [bold]{finding.column}[/bold], cut {finding.cut or 'none'}: {finding.detail}",
                highlight=False,
            )
        clear = clear and result.passed
        typer.echo(str(path))
    if not clear:
        raise typer.Exit(1)


def _table(result: AuditResult) -> Table:
    """One line per question and module; the file beside the run lists every column and cut."""
    from rich.table import Table

    table = Table(title=f"{result.name}: {len(result.checks)} checks, {len(result.findings)} findings", title_justify="left")
    for heading in ("check", "module", "columns", "cuts", "verdict"):
        table.add_column(heading, justify="right" if heading in ("columns", "cuts") else "left")
    for check, module in dict.fromkeys((one.check, one.module) for one in result.checks):
        mine = [one for one in result.checks if (one.check, one.module) == (check, module)]
        wrong = sorted({one.column for one in mine if not one.passed})
        verdict = f"[bold red]FAIL: {', '.join(wrong)}[/bold red]" if wrong else "[green]pass[/green]"
        table.add_row(check, module, str(len({one.column for one in mine})), str(len({one.cut for one in mine})), verdict)
    return table
