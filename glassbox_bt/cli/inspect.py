"""Looking at a run: `status`, `report`, `explain`, and `decide`, which makes one day's decisions again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from glassbox_bt.cli.terminal import shown

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console
    from rich.table import Table

    from glassbox_bt.market.store import MarketStore
    from glassbox_bt.plan import Plan
    from glassbox_bt.reporting.card import DecisionCard
    from glassbox_bt.runs.manifest import Manifest

__all__ = ["decide", "explain", "report", "status"]

Run = Annotated[Path, typer.Argument(help="A run folder.")]
LAYOUTS = ("page", "fin-glassbox")
EXPECTED = ("decisions.parquet", "portfolio/equity.parquet", "metrics.json", "report/index.html")


def status(run: Run) -> None:
    """Say how far a run came: its stages, their seconds, and what is missing.

    Example: [bold]glassbox status runs/quickstart[/bold]
    """
    from glassbox_bt.cli.run_choice import manifest_of

    content, console = manifest_of(run).content, _console()
    console.print(shown(f"{content['name']}: {_state(run, content)}"))
    console.print(shown(f"plan {content['plan_digest'][:12]}, data {content['data_fingerprint'][:12]}, {content['device']}"))
    console.print(shown(f"begun {content['created_at']}, ended {content.get('finished_at', 'not yet')}"))
    if content.get("timings"):
        console.print(_timings(content["timings"]))
    missing = [name for name in content.get("files", EXPECTED) if not (run / name).exists()]
    console.print(shown(f"missing: {', '.join(missing)}") if missing else "nothing is missing")


def report(
    run: Run,
    layout: Annotated[str, typer.Option(help="page, or fin-glassbox: a tree of CSV tables as well.")] = "page",
) -> None:
    """Write the report again from the run folder; with a layout, also its tables as CSV.

    Example: [bold]glassbox report runs/quickstart --layout fin-glassbox[/bold]
    """
    from glassbox_bt.cli.job import report_run
    from glassbox_bt.cli.progress import bars
    from glassbox_bt.cli.run_choice import finished
    from glassbox_bt.errors import PlanError
    from glassbox_bt.reporting.layouts import write_fin_glassbox

    if layout not in LAYOUTS:
        raise PlanError(f"Unknown layout `{layout}`. There are: {', '.join(LAYOUTS)}.")
    manifest = finished(run.resolve())
    written = write_fin_glassbox(manifest.run) if layout == "fin-glassbox" else ()
    with bars("Report") as progress:
        page, *_ = report_run(manifest, progress)
    for path in (*written, page.parent / "chapter", page):
        typer.echo(str(path))


def explain(
    run: Run,
    ticker: Annotated[str, typer.Argument(help="A name of the market.")],
    date: Annotated[str, typer.Argument(help="A day of validation or test, YYYY-MM-DD.")],
) -> None:
    """Retrace one decision: what, why, which risks, which rules, and how to audit it.

    Example: [bold]glassbox explain runs/quickstart AAPL 2016-03-01[/bold]
    """
    from glassbox_bt.cli.run_choice import finished, plan_of
    from glassbox_bt.reporting.card import decision_card

    manifest = finished(run)
    _print_card(decision_card(run, manifest.content, plan_of(manifest).rules, ticker, date))


def decide(
    plan: Annotated[Path, typer.Argument(help="A plan.toml whose run is finished.")],
    date: Annotated[str, typer.Option(help="The session to decide at its close, YYYY-MM-DD.")],
    out: Annotated[Path | None, typer.Option(help="Run folder; default runs/<plan name>.")] = None,
    market: Annotated[str | None, typer.Option(help="The market the run was made with, if not the plan's.")] = None,
) -> None:
    """Decide one session with the frozen models of a finished run; nothing is fitted and nothing written.

    Example: [bold]glassbox decide experiments/quickstart/plan.toml --date 2022-06-01[/bold]
    """
    from glassbox_bt.cli.market_choice import with_market
    from glassbox_bt.cli.run_choice import finished
    from glassbox_bt.plan import read_plan
    from glassbox_bt.runs.manifest import Manifest
    from glassbox_bt.walkforward.oneday import chunk_of, decide_day

    chosen = with_market(read_plan(plan), market)
    manifest = finished(out if out is not None else Path("runs") / chosen.name)
    Manifest.claim(manifest.run, chosen.digest)
    store = _store(chosen, manifest)
    chunk, split, day = chunk_of(chosen, store, date)
    held = _held(manifest.run, chunk, split, date)
    decided = decide_day(chosen, store, manifest.run, chunk, day, held)
    console = _console()
    console.print(_decisions(decided.table, f"{date}, fits of chunk {chunk}, {len(held)} names held"))
    console.print("Sizes are what rules permit for each name; the approver then fits them into the whole portfolio.")


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True)


def _state(run: Path, content: Mapping[str, Any]) -> str:
    from glassbox_bt.runs.lock import is_being_written

    if content["status"] == "failed":
        return f"failed ({content['error']}). Run the same command again to resume."
    if content["status"] == "running" and not is_being_written(run):
        return "not finished. Run the same command again to resume."
    return str(content["status"])


def _timings(timings: Sequence[Mapping[str, Any]]) -> Table:
    from rich.table import Table

    table = Table("stage", "chunk", "seconds", "from the cache")
    for row in timings:
        chunk = "" if row["chunk"] is None else str(row["chunk"])
        table.add_row(shown(row["stage"]), chunk, f"{row['seconds']:.2f}", "yes" if row["cached"] else "")
    return table


def _print_card(card: DecisionCard) -> None:
    console = _console()
    console.print(shown(card.title, "bold"))
    for question, lines in card.questions:
        console.print(f"\n{question}", style="bold")
        for line in lines:
            console.print(shown(f"  {line}"))


def _store(plan: Plan, manifest: Manifest) -> MarketStore:
    """The run's own store; one built anew where the market has changed since, for example grown by a day."""
    from glassbox_bt import backtest
    from glassbox_bt.market.ingest import build_store

    market = backtest.read_market(plan)
    if market.fingerprint == manifest.content["data_fingerprint"]:
        return backtest.open_run_store(manifest.run, manifest.content)
    return build_store(market.raw, plan.market.universe, delist_return=plan.market.delist_return)


def _held(run: Path, chunk: int, split: str, date: str) -> dict[str, float]:
    """Weights in the run's book at that close; empty after its last day."""
    import pandas as pd

    rows = [
        ("chunk", "==", chunk),
        ("split", "==", split),
        ("strategy", "==", "glassbox"),
        ("date", "==", pd.Timestamp(date)),
    ]
    table = pd.read_parquet(run / "portfolio" / "weights.parquet", filters=rows)
    return dict(zip(table["ticker"], table["weight"], strict=True))


def _decisions(decided: pd.DataFrame, title: str) -> Table:
    from rich.table import Table

    table = Table("ticker", "decision", "learned", "signal", "held %", "permitted %", "binding rule", title=title)
    for _, row in decided.iterrows():
        table.add_row(
            shown(row["ticker"]),
            shown(row["final_recommendation"]),
            shown(row["learned_recommendation"]),
            f"{row['final_fusion_signal']:.3f}",
            f"{100.0 * row['held_weight']:.2f}",
            f"{row['final_position_pct']:.2f}",
            shown(row["binding_rule_id"]),
        )
    return table
