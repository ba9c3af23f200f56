"""``glassbox ablate``: takes parts out of the stack, one at a time, and says what each was worth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from glassbox_bt.plan import Plan
    from glassbox_bt.runs.manifest import Manifest

__all__ = ["ablate"]


def ablate(
    place: Annotated[Path, typer.Argument(metavar="RUN|PLAN", help="A run folder, or a plan.toml.")],
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", help="modules, rules, modalities, fusion, execution or controls; repeat it for several."),
    ] = None,
    depth: Annotated[
        str, typer.Option(help="inference: the trained stack without the part; retrained: fitted again without it.")
    ] = "inference",
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; default the number of cores.")] = None,
) -> None:
    """Take parts out of a run, one at a time, on the same days, fills and costs; evaluate and report it again.

    Example: [bold]glassbox ablate runs/quickstart --set modules --depth inference[/bold]
    """
    from glassbox_bt.cli.job import JobSettings, ablate_run
    from glassbox_bt.cli.progress import bars
    from glassbox_bt.cli.run_choice import run_or_plan
    from glassbox_bt.plan import AblationPlan, settings_from

    run, plan = run_or_plan(place)
    asked = settings_from(
        AblationPlan, {"sets": sets or list(plan.ablations.sets or ("modules",)), "depth": depth}, "ablate"
    )
    settings = JobSettings(out=run, workers=workers)
    with bars(f"Ablations: {plan.title}") as progress:
        manifest = _finished_run(run, plan, settings, progress)
        ablate_run(manifest, asked, settings.n_workers, progress)
    _print(run)
    typer.echo(str(run / "ablations" / "results.parquet"))


def _finished_run(run: Path, plan: Plan, settings: Any, progress: Any) -> Manifest:
    """The run of the plan, made or brought to its end first if need be."""
    from glassbox_bt.cli.job import main_job
    from glassbox_bt.cli.run_choice import finished
    from glassbox_bt.runs.manifest import Manifest

    manifest = Manifest.open(run.resolve()) if run.exists() else None
    if manifest is None or manifest.content.get("status") != "complete":
        main_job(plan, settings, progress)
    return finished(run.resolve())


def _print(run: Path) -> None:
    """Pooled differences of the primary measure, one line per variant."""
    import json

    import pandas as pd
    from rich.console import Console

    variants = json.loads((run / "ablations" / "variants.json").read_text(encoding="utf-8"))
    primary = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["settings"]["primary"]
    results = pd.read_parquet(run / "ablations" / "results.parquet")
    pooled = results[(results["chunk"] == 0) & (results["measure"] == primary)].set_index("variant")
    Console(highlight=False).print(_table(variants, pooled, primary))


def _table(variants: list[dict[str, Any]], pooled: pd.DataFrame, primary: str) -> Table:
    from rich.table import Table

    from glassbox_bt.cli.terminal import shown

    table = Table(title=f"{primary} with the part less without it, test years pooled", title_justify="left")
    for heading in ("set", "depth", "without", "difference", "interval", "adjusted p", "verdict"):
        table.add_column(heading, justify="right" if heading in ("difference", "interval", "adjusted p") else "left")
    for variant in variants:
        cells = ("", "", "")
        verdict = "no effect on inputs"
        if variant["name"] in pooled.index:
            row = pooled.loc[variant["name"]]
            cells = (_number(row["difference"]), f"{_number(row['low'])} to {_number(row['high'])}", _number(row["p_holm"]))
            verdict = str(row["verdict"])
        table.add_row(variant["set"], variant["depth"], shown(variant["target"]), *cells, shown(verdict))
    return table


def _number(value: float) -> str:
    return "–" if value != value else f"{value:+.2f}"  # noqa: PLR0124 - only NaN differs from itself
