"""``glassbox audit``: asks a finished run, or a bare table of decisions, whether the glass is clear."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glassbox_bt.cli.terminal import shown

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from glassbox_bt.audits import AuditResult, AuditSettings, Check

__all__ = ["audit"]

SHOWN = 8  # findings of one audit on the terminal; its file holds all
STYLES = {"pass": "green", "FAIL": "bold red", "note": "yellow", "not applicable": "dim"}


def audit(
    place: Annotated[
        Path,
        typer.Argument(metavar="RUN|DECISIONS", help="A finished run folder, or a table of decisions (CSV, Parquet)."),
    ],
    only: Annotated[list[str] | None, typer.Option(help="An audit by name; repeat it for several. All by default.")] = None,
    days: Annotated[int, typer.Option(min=1, help="Look-ahead: test days at which the market is cut.")] = 5,
    refit: Annotated[
        bool, typer.Option("--refit", help="Look-ahead: fit the first chunk again, on a market without a future.")
    ] = False,
    full: Annotated[bool, typer.Option("--full", help="Look-ahead: fit every chunk again.")] = False,
    out: Annotated[
        bool, typer.Option("--out", help="Of a bare table: write DECISIONS.audit.json beside it (a run has audits/).")
    ] = False,
) -> None:
    """Audit the explanations and the point-in-time promise; exit code 1 if something contradicts itself.

    A bare table is asked what its columns can answer, without models; the rest is "not applicable".

    Example: [bold]glassbox audit runs/quickstart --only rule_trace --only lookahead[/bold]
    """
    from rich.console import Console

    from glassbox_bt.audits import AuditSettings
    from glassbox_bt.audits.base import audits_named
    from glassbox_bt.errors import RunFolderError

    names = tuple(only or ())
    audits_named(names)  # an unknown name is refused before anything is read
    settings = AuditSettings(n_days=days, refit=refit, full=full)
    results, written = _of_run(place, names, settings) if place.is_dir() else _of_table(place, names, settings, write=out)
    _print(Console(highlight=False), results, str(place))
    if written is not None:
        typer.echo(str(written))
    if any(result.status == "FAIL" for result in results):
        raise typer.Exit(1)
    refused = [result for result in results if result.refused]
    if refused:
        raise RunFolderError(f"Not asked: {', '.join(one.name for one in refused)}. {refused[0].reason}")


def _of_run(run: Path, names: tuple[str, ...], settings: AuditSettings) -> tuple[Sequence[AuditResult], Path]:
    """The audits of a run folder, and the file to look at: that of the one audit, or the summary of several."""
    from glassbox_bt.cli.job import audit_run
    from glassbox_bt.cli.progress import bars
    from glassbox_bt.cli.run_choice import finished

    manifest = finished(run.resolve())
    with bars(f"Audit of {run}") as progress:
        results = audit_run(manifest, names, settings, progress)
    name = results[0].name if len(results) == 1 else "summary"
    return results, manifest.run / "audits" / f"{name}.json"


def _of_table(
    table: Path, names: tuple[str, ...], settings: AuditSettings, *, write: bool
) -> tuple[Sequence[AuditResult], Path | None]:
    from glassbox_bt.audits import audit_table
    from glassbox_bt.audits.running import write_table_audit
    from glassbox_bt.cli.progress import bars

    with bars(f"Audit of {table}") as progress:
        results = audit_table(table, settings, progress, names)
    return results, write_table_audit(table, results) if write else None


def _print(console: Console, results: Sequence[AuditResult], title: str) -> None:
    console.print(_table(results, title))
    for result in results:
        _print_findings(console, result)


def _table(results: Sequence[AuditResult], title: str) -> Table:
    """One line per audit."""
    from rich.table import Table

    table = Table(title=shown(title, "table.title"), title_justify="left")
    for heading in ("audit", "what it asks", "checks", "findings", "status"):
        table.add_column(heading, justify="right" if heading in ("checks", "findings") else "left")
    for one in results:
        counts = (str(len(one.asked)), str(len(one.findings)))
        table.add_row(one.name, one.question, *counts, shown(_status(one), STYLES[one.status]))
    return table


def _status(result: AuditResult) -> str:
    """The status; of an audit that a bare table cannot answer, what it needs."""
    if result.status == "not applicable" and result.reason and not result.refused:
        return f"{result.status}: {result.reason.partition(',')[0]}"
    return result.status


def _print_findings(console: Console, result: AuditResult) -> None:
    """Hard findings first; then what was not asked, once for each reason."""
    from rich.text import Text

    findings = sorted(result.findings, key=lambda one: not one.hard)
    for finding in findings[:SHOWN]:
        verdict = shown(finding.verdict, STYLES[finding.verdict])
        console.print(Text.assemble(verdict, f" {result.name}: ", _place(finding)), soft_wrap=True)
        console.print(shown(f"  {finding.detail}"), soft_wrap=True)
    if len(findings) > SHOWN:
        console.print(f"  and {len(findings) - SHOWN} more findings of {result.name}")
    whys = [result.reason] if result.reason else [one.detail for one in result.checks if one.passed is None]
    for why in dict.fromkeys(whys):
        console.print(f"[dim]not asked[/dim] {result.name}: ", end="")
        console.print(shown(why), soft_wrap=True)


def _place(finding: Check) -> Text:
    """Where a finding lies."""
    from rich.text import Text

    place = Text.assemble(
        shown(f"{finding.check}: module "), shown(finding.module, "bold"), ", column ", shown(finding.column, "bold")
    )
    if finding.chunk is not None:
        place.append(shown(f", chunk {finding.chunk} {finding.split}".rstrip()))
    if finding.cut:
        place.append(shown(f", cut {finding.cut}"))
    return place
