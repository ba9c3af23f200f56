"""Numbers of the report that no file holds as such: each is computed here, by name, from what the run recorded.

A claim on one of them has the source ``derived?argument=value#name``.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from glassbox_bt.errors import RunFolderError
from glassbox_bt.reporting.derived_risk import OF_RISK
from glassbox_bt.reporting.derived_text import OF_TEXT
from glassbox_bt.reporting.record import AUDITS, METRICS, STACK, TEST, VARIANTS, MetricRow, RunRecord, table_source
from glassbox_bt.reporting.styles import Value

__all__ = ["CAPITAL", "DERIVED", "EQUITY", "NOT_A_STAGE", "best_rival", "derived", "is_known", "starting_capital"]

Arguments = Mapping[str, str]
IDENTITY = ("plan_digest", "data_fingerprint", "code_digest", "libraries", "device")  # of `Manifest.start`
CAPITAL = "manifest.json#/plan/costs/capital"
EQUITY = "portfolio/equity.parquet"
NOT_A_STAGE = ("report",)  # its time is known only after the page was written


def derived(name: str, **arguments: str | int) -> str:
    """The source of a derived number."""
    return f"derived?{urlencode(arguments, quote_via=quote)}#{name}" if arguments else f"derived#{name}"


def is_known(row: MetricRow, measure: str) -> bool:
    """Whether the run recorded a finite value of ``measure``."""
    value = row.content.get(measure)
    return isinstance(value, int | float) and math.isfinite(value)


def best_rival(record: RunRecord, chunk: int, measure: str) -> MetricRow | None:
    """The rival with the largest ``measure`` on test, the first of equals; None if none has a known value."""
    rows = [row for row in record.rows(chunk, selection=False) if row.strategy != STACK and is_known(row, measure)]
    return max(rows, key=lambda row: float(row.content[measure]), default=None)


def starting_capital(record: RunRecord) -> float:
    """Money at the start of every test period."""
    return _number(record.resolve(CAPITAL))


def _n_chunks(record: RunRecord, _: Arguments) -> Value:
    return len(record.chunks)


def _n_rivals(record: RunRecord, _: Arguments) -> Value:
    return sum(name != STACK for name in record.strategies)


def _chunks_ahead(record: RunRecord, of: Arguments) -> Value:
    """In how many chunks the stack's measure is above that of ``rival``, or of every rival if none is named."""
    ahead = 0
    for chunk in record.chunks:
        stack = record.row(STACK, chunk)
        named = of.get("rival")
        rival = record.row(named, chunk) if named else best_rival(record, chunk, of["measure"])
        if stack is None or rival is None:
            continue
        if is_known(stack, of["measure"]) and is_known(rival, of["measure"]):
            ahead += bool(stack.content[of["measure"]] > rival.content[of["measure"]])
    return ahead


def _rank(record: RunRecord, of: Arguments) -> Value:
    """Place of the stack among the strategies of a chunk, 1 = largest ``measure``; None where it is unknown."""
    rows = [row for row in record.rows(int(of["chunk"]), selection=False) if is_known(row, of["measure"])]
    values = {row.strategy: float(row.content[of["measure"]]) for row in rows}
    if STACK not in values:
        return None
    return 1 + sum(value > values[STACK] for value in values.values())


def _n_ranked(record: RunRecord, of: Arguments) -> Value:
    rows = record.rows(int(of["chunk"]), selection=False)
    return sum(is_known(row, of["measure"]) for row in rows)


def _n_learned(record: RunRecord, _: Arguments) -> Value:
    return len(_learned_on_test(record))


def _n_learned_better(record: RunRecord, _: Arguments) -> Value:
    return sum(bool(row["better"]) for row in _learned_on_test(record))


def _learned_on_test(record: RunRecord) -> list[Mapping[str, Any]]:
    return [row for row in record.metrics.get("learned", []) if row.get("split", TEST) == TEST]


def _n_degenerate(record: RunRecord, _: Arguments) -> Value:
    rows = record.rows(selection=False)
    return sum(row.strategy == STACK and bool(row.content.get("degenerate", False)) for row in rows)


def _n_verdicts(record: RunRecord, of: Arguments) -> Value:
    """Claims with this verdict, all if none is named; of a kind, a family or one subject."""
    return len(record.entries("verdicts", **of))


def _n_variants(record: RunRecord, of: Arguments) -> Value:
    """Ablations that were run, of a set or with a certain effect if named."""
    return len(record.entries_of(VARIANTS, **of))


def _n_audits(record: RunRecord, of: Arguments) -> Value:
    """Audits that were made, with a certain status if named."""
    audits = record.document(AUDITS).values() if record.holds(AUDITS) else ()
    return sum(bool(of.get("status", one.get("status")) == one.get("status")) for one in audits)


def _n_findings(record: RunRecord, _: Arguments) -> Value:
    audits = record.document(AUDITS).values() if record.holds(AUDITS) else ()
    return sum(int(one["n_findings"]) for one in audits)


def _error_rate(record: RunRecord, _: Arguments) -> Value:
    """One minus the level of the intervals: what a p-value is held against."""
    return round(1.0 - _number(record.resolve(f"{METRICS}#/settings/level")), 12)


def _audit(record: RunRecord, of: Arguments) -> Value:
    """Name of an audit, by its place among the sorted names."""
    return str(sorted(record.document(AUDITS))[int(of["place"])])


def _seconds(record: RunRecord, of: Arguments) -> Value:
    """Sum of the recorded seconds, of one stage or chunk if named; None if nothing was recorded."""
    rows = [
        row["seconds"]
        for row in record.manifest.get("timings", [])
        if row["stage"] not in NOT_A_STAGE
        and of.get("stage", row["stage"]) == row["stage"]
        and of.get("chunk", str(row.get("chunk"))) == str(row.get("chunk"))
    ]
    return float(sum(rows)) if rows else None


def _n_cached(record: RunRecord, _: Arguments) -> Value:
    return sum(bool(row.get("cached", False)) for row in record.manifest.get("timings", []))


def _final_wealth(record: RunRecord, of: Arguments) -> Value:
    """Equity at the end of test over the capital at its start."""
    last = record.resolve(table_source(EQUITY, "last(equity)", **_book(of)))
    return _number(last) / starting_capital(record)


def _deepest_drawdown(record: RunRecord, of: Arguments) -> Value:
    """Smallest equity over its running peak, minus one; negative = loss, the start of test counts as a peak."""
    equity = record.part(f"{EQUITY}?{urlencode(_book(of), quote_via=quote)}")["equity"]
    peak = equity.cummax().clip(lower=starting_capital(record))
    return float((equity / peak - 1.0).min())


def _book(of: Arguments) -> dict[str, str]:
    return {"chunk": of["chunk"], "split": TEST, "strategy": of["strategy"]}


def _number(value: Value) -> float:
    if value is None or isinstance(value, str):
        raise RunFolderError(f"A number was expected in the run folder, got {value!r}. Run the plan again.")
    return float(value)


def _key(record: RunRecord, of: Arguments) -> Value:
    """One of the sorted keys of a mapping in the manifest: names are recorded too."""
    return str(sorted(record.entry(of["of"]))[int(of["place"])])


def _count(record: RunRecord, of: Arguments) -> Value:
    """Number of entries of a list or mapping in the manifest."""
    return len(record.entry(of["of"]))


def _identity(record: RunRecord, _: Arguments) -> Value:
    """sha256 of what decides the numbers of the run, as the manifest states it."""
    parts: dict[str, Any] = {key: record.manifest[key] for key in IDENTITY if key in record.manifest}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


DERIVED: Mapping[str, Callable[[RunRecord, Arguments], Value]] = {
    "n_chunks": _n_chunks,
    "n_rivals": _n_rivals,
    "chunks_ahead": _chunks_ahead,
    "rank": _rank,
    "n_ranked": _n_ranked,
    "n_learned": _n_learned,
    "n_learned_better": _n_learned_better,
    "n_degenerate": _n_degenerate,
    "n_verdicts": _n_verdicts,
    "n_variants": _n_variants,
    "n_audits": _n_audits,
    "n_findings": _n_findings,
    "error_rate": _error_rate,
    "audit": _audit,
    "seconds": _seconds,
    "n_cached": _n_cached,
    "final_wealth": _final_wealth,
    "deepest_drawdown": _deepest_drawdown,
    "key": _key,
    "count": _count,
    "identity": _identity,
    **OF_RISK,
    **OF_TEXT,
}
