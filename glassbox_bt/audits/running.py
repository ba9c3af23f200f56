"""Asks the audits of a run folder or of a bare table, and writes down what they found.

`run_audits` is called by the job of a run before it calls itself complete, and by ``glassbox audit`` afterwards. Audits that
rebuild the walk are asked in a task of their own, so that two processes share the work.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from glassbox_bt.audits.base import AUDITS, Audit, AuditResult, AuditSettings, Progress, audits_named, contents, record
from glassbox_bt.errors import RunFolderError
from glassbox_bt.runs.artefacts import write_whole
from glassbox_bt.runs.engine import run_tasks

if TYPE_CHECKING:
    # Audits are imported by name. Named here as well, they are part of the code's digest: a run that was audited by other
    # code is not the same run.
    from glassbox_bt.audits import (  # noqa: F401  # noqa: F401
        absent_text,
        attention,
        bounds,
        completeness,
        coverage,
        entropy,
        finite,
        lookahead,
        provenance,
        readability,
        rule_trace,
        schema,
        stability,
        text,
        text_explanations,
        top_driver,
    )
    from glassbox_bt.audits.case import Case

__all__ = ["REBUILDING", "audit_table", "run_audits", "write_table_audit"]

REBUILDING = ("absent_text", "text_explanations", "stability", "lookahead")  # they need the run's own code


@dataclass(frozen=True, slots=True)
class _Task:
    """Audits that share one case."""

    run: Path
    names: tuple[str, ...]
    settings: AuditSettings
    may_refuse: bool


def run_audits(
    run: Path, settings: AuditSettings, progress: Progress, names: tuple[str, ...] = (), workers: int = 1
) -> tuple[AuditResult, ...]:
    """Audit a run folder, record what was found in its ``audits/``, and return it in the order of `AUDITS`.

    Parameters
    ----------
    run : Path
        A run that is complete, or whose own job asks: everything but its end is recorded.
    names : tuple[str, ...]
        Audits by name, all if empty.
    workers : int, default=1
        Processes; more than two are of no use.

    Raises
    ------
    RunFolderError
        If there is no such run, a table of it is missing, or an audit that was asked for by name cannot be asked because
        the program or the market has changed. Without names such an audit is left out, and its result says so.
    """
    from glassbox_bt.audits.case import Case

    chosen = tuple(audits_named(names))
    status = Case(run, unfinished=True).manifest.get("status")
    if status not in ("running", "complete"):
        raise RunFolderError(f"The run in {run} is `{status}`. Finish it with `glassbox run`, then audit it.")
    parts = [tuple(one for one in chosen if (one in REBUILDING) == rebuilds) for rebuilds in (True, False)]
    may_refuse = not names and status == "complete"
    tasks = [_Task(run, part, settings, may_refuse) for part in parts if part]
    found = {one.name: one for results in run_tasks(_asked, tasks, workers=workers, progress=progress) for one in results}
    results = tuple(found[name] for name in AUDITS if name in found)
    record(run, [one for one in results if not one.refused])
    return results


def audit_table(
    table: Path, settings: AuditSettings, progress: Progress, names: tuple[str, ...] = ()
) -> tuple[AuditResult, ...]:
    """Audit a bare table of decisions; nothing is written.

    Raises
    ------
    InputError
        If it cannot be read, or is no table of decisions.
    """
    from glassbox_bt.audits.case import Case

    case = Case(None, table)
    _ = case.decisions  # a file that cannot be used is refused before anything is asked
    return tuple(ask(case, settings, progress) for ask in audits_named(names).values())


def write_table_audit(table: Path, results: Sequence[AuditResult]) -> Path:
    """Write what was found in a bare table beside it, as ``<stem>.audit.json``."""
    text = json.dumps({one.name: contents(one) for one in results}, indent=1, allow_nan=False) + "\n"
    return write_whole(table.with_name(f"{table.stem}.audit.json"), lambda draft: draft.write_text(text, encoding="utf-8"))


def _asked(task: _Task, progress: Progress) -> tuple[AuditResult, ...]:
    from glassbox_bt.audits.case import Case

    case = Case(task.run, unfinished=True)
    results = []
    for i, (name, ask) in enumerate(audits_named(task.names).items()):
        progress(f"audit: {name}", i / len(task.names))
        results.append(_result(name, ask, case, task, progress))
    progress("audits", 1.0)
    return tuple(results)


def _result(name: str, ask: Audit, case: Case, task: _Task, progress: Progress) -> AuditResult:
    try:
        return ask(case, task.settings, progress)
    except RunFolderError as why:
        if name not in REBUILDING or not task.may_refuse:
            raise
        question = str(getattr(importlib.import_module(ask.__module__), "QUESTION", ""))
        return AuditResult(name, (), question=question, reason=str(why), refused=True)
