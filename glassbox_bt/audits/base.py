"""What an audit is: a question to a run, answered check by check, so that a failure names where it lies.

An audit is a function of a case (a run folder, or a bare table of decisions), ``(case, settings, progress) -> AuditResult``,
in its own file, named in `AUDITS`. `record` writes ``audits/<name>.json`` and the audit's line in ``audits/summary.json``,
each whole.

A check is *hard* where a failure means that the record contradicts itself or its rules, and *soft* where it says something
about a learned module that a reader should know. What a table cannot answer is a check that was not asked; it never passes.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from glassbox_bt.errors import PlanError, RunFolderError
from glassbox_bt.runs.artefacts import write_whole

if TYPE_CHECKING:
    from glassbox_bt.audits.case import Case

__all__ = [
    "AUDITS",
    "SHOWN",
    "Audit",
    "AuditResult",
    "AuditSettings",
    "Check",
    "Metric",
    "Progress",
    "audits_named",
    "contents",
    "headline",
    "not_asked",
    "record",
]

Progress = Callable[[str, float], None]
Status = Literal["pass", "FAIL", "note", "not applicable"]
SHOWN = 20  # findings in the summary; the audit's own file holds all


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    check: str  # what was asked, for example "inputs of a fit"
    module: str  # of whom: a module, a strategy, a table, or "market"
    column: str  # which of its columns
    chunk: int | None
    cut: str  # the last session that may matter, as a date; empty where there is none
    passed: bool | None  # None where it could not be asked
    detail: str = ""  # what was found, where it failed; what is lacking, where it was not asked
    split: str = ""
    hard: bool = True

    @property
    def verdict(self) -> Status:
        """``pass``, ``FAIL``, ``note`` for a soft failure, ``not applicable`` where it was not asked."""
        if self.passed is None:
            return "not applicable"
        return "pass" if self.passed else "FAIL" if self.hard else "note"


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure of an explanation, with the bound it is held against."""

    metric: str
    module: str
    chunk: int | None  # None: of all chunks together
    split: str
    value: float | None  # None where it is not defined
    threshold: str | None  # in words; None where the figure is only reported
    verdict: str  # pass, note, FAIL, reported, or a word of its own such as insufficient


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
    n_rows, n_draws : int
        Rows of each learned module and chunk whose inputs are perturbed, and how often each.
    sigma : float, default=0.01
        Size of a perturbation, in train standard deviations of each input; above 0.
    """

    n_days: int = 5
    refit: bool = False
    full: bool = False
    n_rows: int = 500
    n_draws: int = 20
    sigma: float = 0.01

    def __post_init__(self) -> None:
        if self.n_days < 1:
            raise PlanError(f"An audit needs at least one test day, got {self.n_days}.")
        if min(self.n_rows, self.n_draws) < 1 or not self.sigma > 0.0:
            raise PlanError(
                f"Perturbations need rows, draws and a size above 0, got {self.n_rows}, {self.n_draws} and {self.sigma}."
            )


@dataclass(frozen=True, slots=True)
class AuditResult:
    """Everything that one audit looked at.

    Parameters
    ----------
    facts : Mapping[str, Any]
        How it looked, JSON-serialisable; part of the summary.
    question : str
        What it asks, in words.
    hard : bool
        False where nothing that it finds is a contradiction.
    details : Mapping[str, Any]
        Tables for the audit's own file only.
    reason : str
        Why nothing was asked, where nothing was.
    refused : bool
        Whether that reason lies in the run folder: asked for by name, it is an error.
    """

    name: str
    checks: tuple[Check, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    question: str = ""
    metrics: tuple[Metric, ...] = ()
    hard: bool = True
    details: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    refused: bool = False

    @property
    def findings(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.passed is not None and not check.passed)

    @property
    def asked(self) -> tuple[Check, ...]:
        """The checks that could be asked."""
        return tuple(check for check in self.checks if check.passed is not None)

    @property
    def status(self) -> Status:
        """``FAIL`` with a hard finding, ``note`` with soft ones only, ``not applicable`` where nothing could be asked."""
        if any(finding.hard for finding in self.findings):
            return "FAIL"
        if self.findings:
            return "note"
        return "pass" if self.asked else "not applicable"

    @property
    def passed(self) -> bool:
        return self.status == "pass"


Audit = Callable[["Case", AuditSettings, Progress], AuditResult]

AUDITS: Mapping[str, str] = {
    "schema": "glassbox_bt.audits.schema:audit_schema",
    "finite": "glassbox_bt.audits.finite:audit_finite",
    "bounds": "glassbox_bt.audits.bounds:audit_bounds",
    "coverage": "glassbox_bt.audits.coverage:audit_coverage",
    "provenance": "glassbox_bt.audits.provenance:audit_provenance",
    "rule_trace": "glassbox_bt.audits.rule_trace:audit_rule_trace",
    "completeness": "glassbox_bt.audits.completeness:audit_completeness",
    "attention": "glassbox_bt.audits.attention:audit_attention",
    "entropy": "glassbox_bt.audits.entropy:audit_entropy",
    "top_driver": "glassbox_bt.audits.top_driver:audit_top_driver",
    "readability": "glassbox_bt.audits.readability:audit_readability",
    "text": "glassbox_bt.audits.text:audit_text",
    "absent_text": "glassbox_bt.audits.absent_text:audit_absent_text",
    "text_explanations": "glassbox_bt.audits.text_explanations:audit_text_explanations",
    "stability": "glassbox_bt.audits.stability:audit_stability",
    "lookahead": "glassbox_bt.audits.lookahead:audit_run",
}
"""Name to dotted path; an audit is imported when it is asked for."""


def audits_named(names: tuple[str, ...]) -> dict[str, Audit]:
    """The audits of these names, all of them if none is given."""
    unknown = sorted(set(names) - set(AUDITS))
    if unknown:
        raise PlanError(f"There is no audit `{unknown[0]}`. There are: {', '.join(AUDITS)}.")
    return {name: _load(AUDITS[name]) for name in AUDITS if not names or name in names}


def not_asked(check: str, module: str, column: str, why: str, chunk: int | None = None) -> Check:
    """A check that this case cannot answer."""
    return Check(check, module, column, chunk, "", None, why)


def record(run: Path, results: Iterable[AuditResult]) -> Path:
    """Write each result into the run folder, and their lines into the summary; the summary's path."""
    summary = run / "audits" / "summary.json"
    lines = _read(summary)
    for result in results:
        _write(run / "audits" / f"{result.name}.json", contents(result))
        lines[result.name] = headline(result)
    _write(summary, {name: lines[name] for name in (*AUDITS, *lines) if name in lines})
    return summary


def headline(result: AuditResult) -> dict[str, Any]:
    """The audit's line in the summary."""
    return {
        "audit": result.name,
        "question": result.question,
        "hard": result.hard,
        "status": result.status,
        "passed": result.passed,
        "reason": result.reason,
        "n_checks": len(result.asked),
        "n_findings": len(result.findings),
        "findings": [asdict(finding) for finding in result.findings[:SHOWN]],
        "not_asked": _unasked(result.checks),
        "metrics": [asdict(metric) for metric in result.metrics],
        **result.facts,
    }


def _unasked(checks: Iterable[Check]) -> list[str]:
    """Each question that was not asked, with the reason and the chunks that this is said of, in words."""
    chunks: dict[str, set[int]] = {}
    for one in checks:
        if one.passed is None:
            chunks.setdefault(f"{one.check}: {one.detail}", set()).update(() if one.chunk is None else (one.chunk,))
    return [f"in {_chunks(sorted(where))}, {said}" if where else said for said, where in chunks.items()]


def _chunks(numbers: Sequence[int]) -> str:
    """``chunk 1``, or ``chunks 1, 2 and 3``."""
    if len(numbers) == 1:
        return f"chunk {numbers[0]}"
    return f"chunks {', '.join(str(one) for one in numbers[:-1])} and {numbers[-1]}"


def contents(result: AuditResult) -> dict[str, Any]:
    """What the audit's own file holds: its line, every check and the details."""
    checks = [{**asdict(check), "verdict": check.verdict} for check in result.checks]
    findings = [asdict(finding) for finding in result.findings]
    return {**headline(result), "findings": findings, "checks": checks, **result.details}


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as broken:
        raise RunFolderError(f"{path} cannot be read: {broken}. Remove it and audit again.") from broken
    return content


def _write(path: Path, content: Mapping[str, Any]) -> None:
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    write_whole(path, lambda draft: draft.write_text(text, encoding="utf-8"))


def _load(path: str) -> Audit:
    module, _, attribute = path.partition(":")
    audit: Audit = getattr(importlib.import_module(module), attribute)
    return audit
