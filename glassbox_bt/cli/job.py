"""The main job: walk forward, evaluate, report. One function, used by `run` and `quickstart`.

1. Read what identifies the run: plan, data, code.  A finished run with that identity and intact files is only read.
2. Walk forward (`backtest.walk_forward`): decisions, trades, equity.
3. Evaluate (`evaluation.evaluate`): metrics, and whether each learned part beats its anchor.
4. Report (`reporting`): one page, and a tear-sheet per strategy and chunk.
"""

from __future__ import annotations

import os
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glassbox_bt.errors import MarketDataError, PlanError, RunFolderError
from glassbox_bt.plan import Plan
from glassbox_bt.runs.artefacts import remove_drafts
from glassbox_bt.runs.lock import sole_writer
from glassbox_bt.runs.manifest import Manifest

if TYPE_CHECKING:
    from glassbox_bt.backtest import Market

__all__ = ["JobSettings", "main_job"]

Progress = Callable[[str, float], None]
REPORT = Path("report") / "index.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSettings:
    """How to run, as opposed to what: none of these changes a number."""

    out: Path
    device: str = "cpu"
    workers: int | None = None  # None: one per core, at most 8
    fresh: bool = False
    tearsheets: bool = True

    @property
    def n_workers(self) -> int:
        """Processes to use."""
        return self.workers if self.workers is not None else min(os.cpu_count() or 1, 8)


def main_job(plan: Plan, settings: JobSettings, progress: Progress) -> Path:
    """Run ``plan`` into ``settings.out`` and return the path of its report.

    Raises
    ------
    InputError
        If plan, market or run folder cannot be used; a new folder is then left as it was found.
    """
    from glassbox_bt import backtest

    run = settings.out.resolve()
    with sole_writer(run):
        former = _former(run, plan, settings.fresh)
        remove_drafts(run)
        progress("reading the market", 0.0)
        market = backtest.read_market(plan)
        identity = backtest.identity_of(plan, market, settings.device)
        if former is not None and former.is_complete(identity):
            return run / REPORT
        if settings.fresh:
            _empty(run)  # not before the new market could be read
        manifest = Manifest.start(run, identity, backtest.facts_of(plan, market, run), former)
        try:
            return _run_stages(plan, market, manifest, settings, progress)
        except BaseException as error:
            _leave(manifest, error, is_new=former is None)
            raise


def _former(run: Path, plan: Plan, fresh: bool) -> Manifest | None:
    """The manifest to go on from; with ``fresh`` only what it counted."""
    former = Manifest.open(run) if fresh else None
    if former is None:
        return Manifest.claim(run, plan.digest)
    return former.counts_only() if former.content.get("plan_digest") == plan.digest else None


def _run_stages(plan: Plan, market: Market, manifest: Manifest, settings: JobSettings, progress: Progress) -> Path:
    from glassbox_bt import backtest
    from glassbox_bt.evaluation import evaluate
    from glassbox_bt.reporting import render_report, write_overview, write_tearsheets

    run, timings = manifest.run, list[dict[str, Any]]()
    with _timed(timings, "walk forward"):
        records = backtest.walk_forward(plan, market, run, settings.device, settings.n_workers, progress)
    manifest.update(**records)
    with _timed(timings, "evaluate"):
        evaluate(run)
    timings = [*records["timings"], *timings]
    manifest.content = (Manifest.open(run) or manifest).content
    manifest.update(timings=timings, peak_memory_mb=_peak_memory_mb())
    if settings.tearsheets:
        with _timed(timings, "tear-sheets"):
            write_tearsheets(run, workers=settings.n_workers, progress=progress)
    manifest.update(timings=timings)
    render_report(run)
    write_overview(run)
    manifest.complete(_outputs(run))
    return run / REPORT


def _leave(manifest: Manifest, error: BaseException, *, is_new: bool) -> None:
    """Record why the run ended; input that was refused before anything was fitted leaves nothing behind."""
    refused = isinstance(error, PlanError | MarketDataError)
    if refused and is_new and not (manifest.run / "artefacts" / "fits").exists():
        _empty(manifest.run)
        return
    with suppress(RunFolderError):  # a full disk; the error that is on its way says so
        manifest.fail(error)


def _empty(run: Path) -> None:
    for path in run.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


@contextmanager
def _timed(timings: list[dict[str, Any]], stage: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    timings.append({"stage": stage, "chunk": None, "seconds": round(time.perf_counter() - started, 2), "cached": False})


def _outputs(run: Path) -> list[Path]:
    """Files whose bytes the plan decides; tear-sheets are excluded (their library stamps them)."""
    named = [*run.glob("*.parquet"), *run.glob("*.json"), *run.glob("portfolio/*.parquet"), *run.glob("modules/*/*.parquet")]
    return [*(path for path in named if path.name != "manifest.json"), run / REPORT]


def _peak_memory_mb() -> float:
    """Largest resident set of this process or any worker, MiB."""
    scale = 1024.0 if sys.platform != "darwin" else 1024.0**2
    return round(
        max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / scale, 1
    )
