"""What an audit is: a question to a run, answered check by check, so that a failure names where it lies.

An audit is a function of a run folder, ``(run, settings, progress) -> AuditResult``, in its own file, named in `AUDITS`.
`record` writes ``audits/<name>.json`` and the audit's line in ``audits/summary.json``, each whole.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from glassbox_bt.errors import PlanError, RunFolderError
from glassbox_bt.runs.artefacts import write_whole

__all__ = ["AUDITS", "Audit", "AuditResult", "AuditSettings", "Check", "Progress", "audits_named", "record"]

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    check: str  # what was asked, for example "inputs of a fit"
    module: str  # of whom: a module, a strategy, or "market"
    column: str  # which of its columns
    chunk: int | None
    cut: str  # the last session that may matter, as a date; empty where there is none
    passed: bool
    detail: str = ""  # what was found, where it failed

    @property
    def verdict(self) -> str:
        """``pass`` or ``FAIL``."""
        return "pass" if self.passed else "FAIL"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSettings:
    """How much to audit.

    Parameters
    ----------
    n_days : int, default=5
        Test days at which the market is cut, spread over the chunks; at least 1.
    refit : bool, default=False
        Whether to fit the modules of one chunk again on a market without a future, and compare the fits bit for bit.
    full : bool, default=False
        The same for every chunk.
    """

    n_days: int = 5
    refit: bool = False
    full: bool = False

    def __post_init__(self) -> None:
        if self.n_days < 1:
            raise PlanError(f"An audit needs at least one test day, got {self.n_days}.")


@dataclass(frozen=True, slots=True)
class AuditResult:
    """Everything that one audit looked at, and ``facts`` about how it looked (JSON-serialisable)."""

    name: str
    checks: tuple[Check, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def findings(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if not check.passed)

    @property
    def passed(self) -> bool:
        return not self.findings


Audit = Callable[[Path, AuditSettings, Progress], AuditResult]

AUDITS: Mapping[str, str] = {"lookahead": "glassbox_bt.audits.lookahead:audit_run"}
"""Name to dotted path; an audit is imported when it is asked for."""


def audits_named(names: tuple[str, ...]) -> dict[str, Audit]:
    """The audits of these names, all of them if none is given."""
    unknown = sorted(set(names) - set(AUDITS))
    if unknown:
        raise PlanError(f"There is no audit `{unknown[0]}`. There are: {', '.join(AUDITS)}.")
    return {name: _load(AUDITS[name]) for name in AUDITS if not names or name in names}


def record(run: Path, result: AuditResult) -> Path:
    """Write the result into the run folder and return the path of its file."""
    path = run / "audits" / f"{result.name}.json"
    _write(path, {**_headline(result), "checks": [{**asdict(check), "verdict": check.verdict} for check in result.checks]})
    summary = run / "audits" / "summary.json"
    _write(summary, {**_read(summary), result.name: _headline(result)})
    return path


def _headline(result: AuditResult) -> dict[str, Any]:
    return {
        "audit": result.name,
        "passed": result.passed,
        "n_checks": len(result.checks),
        "n_findings": len(result.findings),
        "findings": [asdict(finding) for finding in result.findings],
        **result.facts,
    }


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as broken:
        raise RunFolderError(f"{path} cannot be read: {broken}. Remove it and audit again.") from broken
    return content


def _write(path: Path, content: Mapping[str, Any]) -> None:
    text = json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n"
    write_whole(path, lambda draft: draft.write_text(text, encoding="utf-8"))


def _load(path: str) -> Audit:
    module, _, attribute = path.partition(":")
    audit: Audit = getattr(importlib.import_module(module), attribute)
    return audit
