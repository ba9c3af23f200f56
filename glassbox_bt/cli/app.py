"""The commands, thin: each reads its arguments, calls one function of the house and prints what a person wants to see."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from glassbox_bt.cli.ablate import ablate
from glassbox_bt.cli.audit import audit
from glassbox_bt.cli.data import data
from glassbox_bt.cli.inspect import decide, explain, report, status
from glassbox_bt.cli.module import module, spread
from glassbox_bt.cli.terminal import plain
from glassbox_bt.cli.verify import verify
from glassbox_bt.errors import GlassboxError, InputError

__all__ = ["app", "run_app"]

INTERRUPTED = 130
FULL_OR_FORBIDDEN = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)

app = typer.Typer(
    name="glassbox",
    help="Walk-forward backtests of explainable trading models. Look-ahead cannot be written; every number has a source.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

app.command()(audit)

Out = Annotated[Path | None, typer.Option(help="Run folder; default runs/<plan name>.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Forget the run folder and start again.")]
Audits = Annotated[bool, typer.Option("--audits/--no-audits", help="Whether to audit the run before its report.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes; default the number of cores.")]


def run_app() -> None:
    """Call the command and turn the project's errors into exit codes."""
    try:
        app(args=spread(sys.argv[1:]))
    except InputError as wrong:
        _fail(wrong, 2)
    except GlassboxError as wrong:
        _fail(wrong, 1)
    except OSError as wrong:
        if wrong.errno not in FULL_OR_FORBIDDEN:
            raise
        _fail(f"{wrong.strerror}: {wrong.filename or 'while writing'}. Free space or choose another place.", 2)
    except SystemExit as end:
        if end.code == INTERRUPTED:  # typer has turned a KeyboardInterrupt into it
            _fail("Interrupted. Run the same command again to resume.", INTERRUPTED)
        raise


def _fail(message: object, code: int) -> NoReturn:
    sys.stderr.write(f"glassbox: {' '.join(plain(message).split())}\n")
    raise SystemExit(code) from None


@app.command()
def quickstart(
    market: Annotated[str | None, typer.Option(help="sp500 (real, embedded) or synthetic.")] = None,
    out: Out = None,
    device: Device = "cpu",
    workers: Workers = None,
    fresh: Fresh = False,
    audits: Audits = True,
) -> None:
    """Run the main job on an embedded market.

    Example: [bold]glassbox quickstart --out runs/quickstart[/bold]
    """
    from glassbox_bt.cli.market_choice import shipped_plan

    _main_job(shipped_plan("quickstart", market), out, device, {"workers": workers, "fresh": fresh, "audits": audits})


@app.command()
def run(
    plan: Annotated[Path, typer.Argument(help="A plan.toml, or the folder that holds it.")],
    market: Annotated[str | None, typer.Option(help="Another market: sp500, synthetic or a market folder.")] = None,
    out: Out = None,
    device: Device = "cpu",
    workers: Workers = None,
    fresh: Fresh = False,
    audits: Audits = True,
) -> None:
    """Run the main job of a plan; a run that was interrupted goes on where it stopped.

    Example: [bold]glassbox run experiments/quickstart/plan.toml[/bold]
    """
    from glassbox_bt.cli.market_choice import with_market
    from glassbox_bt.plan import read_plan

    chosen = with_market(read_plan(plan), market)
    _main_job(chosen, out, device, {"workers": workers, "fresh": fresh, "audits": audits})


def _main_job(plan: object, out: Path | None, device: str, how: dict[str, Any]) -> None:
    from glassbox_bt.cli.job import JobSettings, main_job
    from glassbox_bt.cli.progress import bars
    from glassbox_bt.modules.device import chosen_device
    from glassbox_bt.plan import Plan

    assert isinstance(plan, Plan)
    target = out if out is not None else Path("runs") / plan.name
    settings = JobSettings(out=target, device=chosen_device(device), **how)
    with bars(plan.title) as progress:
        report = main_job(plan, settings, progress)
    typer.echo(str(report))


for command in (ablate, report, verify, status, explain, decide, module):
    app.command()(command)
app.add_typer(data, name="data")
