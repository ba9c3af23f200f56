"""The main job: walk forward, take parts out, evaluate, audit, report. One function, used by `run` and `quickstart`.

1. Read what identifies the run: plan, data, code.  A finished run with that identity and intact files is only read.
2. Walk forward (`backtest.walk_forward`): decisions, trades, equity.
3. Ablate (`evaluation.ablation`): the sets that the plan names, one part out at a time.
4. Evaluate (`evaluation.evaluate`): metrics, intervals, comparisons, verdicts.
5. Audit (`audits.run_audits`): point in time, rules, explanations.
6. Report (`reporting`): tear-sheets, the page, the chapter.

`ablate_run`, `audit_run` and `report_run` do one of the last four on a finished run and bring what follows up to date.
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

from glassbox_bt.cli.run_choice import plan_of
from glassbox_bt.errors import InputError, RunFolderError
from glassbox_bt.plan import Plan
from glassbox_bt.runs.artefacts import remove_drafts
from glassbox_bt.runs.lock import sole_writer
from glassbox_bt.runs.manifest import Manifest

if TYPE_CHECKING:
    from glassbox_bt.audits import AuditResult, AuditSettings
    from glassbox_bt.backtest import Market
    from glassbox_bt.plan import AblationPlan

__all__ = ["JobSettings", "ablate_run", "audit_run", "main_job", "report_run"]

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
    audits: bool = True

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


def ablate_run(manifest: Manifest, asked: AblationPlan, workers: int, progress: Progress) -> None:
    """Run these ablations beside a finished run, evaluate it again and write its report again."""
    from glassbox_bt.evaluation import evaluate

    plan = plan_of(manifest)
    with sole_writer(manifest.run):
        _ablate(manifest, plan, asked, workers, progress)
        progress("evaluating", 0.0)
        evaluate(manifest.run)
        progress("evaluating", 1.0)
        _reported(_again(manifest), progress)


def audit_run(
    manifest: Manifest, names: tuple[str, ...], settings: AuditSettings, progress: Progress
) -> tuple[AuditResult, ...]:
    """Audit a finished run, and write its report again with what was found."""
    from glassbox_bt.audits import run_audits

    with sole_writer(manifest.run):
        results = run_audits(manifest.run, settings, progress, names, workers=2)
        _reported(manifest, progress)
    return results


def report_run(manifest: Manifest, progress: Progress) -> tuple[Path, ...]:
    """Write the page and the chapter of a finished run again."""
    with sole_writer(manifest.run):
        return _reported(manifest, progress)


def _run_stages(plan: Plan, market: Market, manifest: Manifest, settings: JobSettings, progress: Progress) -> Path:
    from glassbox_bt import backtest
    from glassbox_bt.audits import AuditSettings, run_audits
    from glassbox_bt.evaluation import evaluate
    from glassbox_bt.evaluation.text_examples import write_text_examples
    from glassbox_bt.reporting import write_overview, write_tearsheets

    run, timings = manifest.run, list[dict[str, Any]]()
    with _timed(timings, "walk forward"):
        records = backtest.walk_forward(plan, market, run, settings.device, settings.n_workers, progress)
    manifest.update(**records)
    with _timed(timings, "ablations"):  # without a set: what a former walk left is dropped
        _ablate(manifest, plan, plan.ablations, settings.n_workers, progress)
    with _timed(timings, "evaluate"):
        progress("evaluating", 0.0)
        evaluate(run)
        write_text_examples(run, manifest.content, plan, progress)
    manifest = _again(manifest)
    if settings.audits:
        with _timed(timings, "audits"):
            run_audits(run, AuditSettings(), progress, workers=settings.n_workers)
    if settings.tearsheets:
        with _timed(timings, "tear-sheets"):
            write_tearsheets(run, workers=settings.n_workers, progress=progress)
    manifest.update(timings=[*records["timings"], *timings], peak_memory_mb=_peak_memory_mb())
    _rendered(run, progress)
    write_overview(run)
    manifest.complete(_outputs(run))
    return run / REPORT


def _ablate(manifest: Manifest, plan: Plan, asked: AblationPlan, workers: int, progress: Progress) -> None:
    from glassbox_bt.evaluation.ablation import run_ablations

    manifest.update(ablations=run_ablations(manifest.run, plan, asked, workers, progress))


def _reported(manifest: Manifest, progress: Progress) -> tuple[Path, ...]:
    """The reports of a finished run, and the digests of all its files."""
    written = _rendered(manifest.run, progress)
    manifest.record_files(_outputs(manifest.run))
    return written


def _rendered(run: Path, progress: Progress) -> tuple[Path, ...]:
    from glassbox_bt.reporting import render_chapter, render_report

    page = render_report(run, progress=progress)
    progress("chapter", 0.0)
    chapter = render_chapter(run)
    progress("chapter", 1.0)
    return (page, *chapter)


def _again(manifest: Manifest) -> Manifest:
    """The manifest as it is on disk: the evaluator counts its openings of test outcomes there."""
    return Manifest.open(manifest.run) or manifest


def _leave(manifest: Manifest, error: BaseException, *, is_new: bool) -> None:
    """Record why the run ended; input that was refused before anything was fitted leaves nothing behind."""
    refused = isinstance(error, InputError) and not isinstance(error, RunFolderError)
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
    patterns = (
        *("*.parquet", "*.json", "portfolio/*.parquet", "modules/*/*.parquet", "evaluation/*.parquet"),
        *("models/*/*/frozen.*", "models/*/*/selection.json"),
        *("ablations/*.parquet", "ablations/*.json", "audits/*.json", "xai/*.json", "report/chapter/**/*"),
    )
    named = [path for pattern in patterns for path in run.glob(pattern) if path.is_file() and not path.name.startswith(".")]
    return [*(path for path in named if path.name != "manifest.json"), run / REPORT]


def _peak_memory_mb() -> float:
    """Largest resident set of this process or any worker, MiB."""
    scale = 1024.0 if sys.platform != "darwin" else 1024.0**2
    return round(
        max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / scale, 1
    )
