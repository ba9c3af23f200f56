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
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glassbox_bt.plan import Plan
from glassbox_bt.runs.manifest import Manifest

__all__ = ["JobSettings", "main_job"]

Progress = Callable[[str, float], None]


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
    """Run ``plan`` into ``settings.out`` and return the path of its report."""
    from glassbox_bt import backtest

    run = settings.out.resolve()
    report = run / "report" / "index.html"
    progress("reading the market", 0.0)
    market = backtest.read_market(plan)
    identity = backtest.identity_of(plan, market, settings.device)
    former = Manifest.open(run)
    if former is not None and settings.fresh:
        shutil.rmtree(run)
        former = None
    if former is not None and former.is_complete(identity):
        return report
    manifest = Manifest.start(run, identity, backtest.facts_of(plan, market))
    timings: list[dict[str, Any]] = []
    try:
        with _timed(timings, "walk forward"):
            records = backtest.walk_forward(plan, market, run, settings.device, settings.n_workers, progress)
        manifest.update(**records)
        with _timed(timings, "evaluate"):
            from glassbox_bt.evaluation import evaluate

            evaluate(run)
        timings = [*records["timings"], *timings]
        manifest.content = (Manifest.open(run) or manifest).content
        manifest.update(timings=timings, peak_memory_mb=_peak_memory_mb())
        from glassbox_bt.reporting import render_report, write_tearsheets

        if settings.tearsheets:
            with _timed(timings, "tear-sheets"):
                write_tearsheets(run, workers=settings.n_workers, progress=progress)
        manifest.update(timings=timings)
        render_report(run)
        manifest.complete(_outputs(run))
    except BaseException as error:
        manifest.fail(error)
        raise
    return report


@contextmanager
def _timed(timings: list[dict[str, Any]], stage: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    timings.append({"stage": stage, "chunk": None, "seconds": round(time.perf_counter() - started, 2), "cached": False})


def _outputs(run: Path) -> list[Path]:
    """Files whose bytes the plan decides; tear-sheets are excluded (their library stamps them)."""
    named = [*run.glob("*.parquet"), *run.glob("*.json"), *run.glob("portfolio/*.parquet"), *run.glob("modules/*/*.parquet")]
    return [*(path for path in named if path.name != "manifest.json"), run / "report" / "index.html"]


def _peak_memory_mb() -> float:
    """Largest resident set of this process or any worker, MiB."""
    scale = 1024.0 if sys.platform != "darwin" else 1024.0**2
    return round(
        max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / scale, 1
    )
