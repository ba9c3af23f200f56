"""Measures and ablations of a run, computed again from its tables by the evaluator, against what the run says they are.

What cannot be computed again from tables is checked for what ties it to them: the equity of ablations, of which no orders
are kept, must agree with its own returns and exposure; the manifest must agree with the plan and the store.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from glassbox_bt.evaluation import measured
from glassbox_bt.evaluation.text_examples import examples_again
from glassbox_bt.plan import Plan, plan_from
from glassbox_bt.reporting.faults import Check, Fault, differences, shown
from glassbox_bt.reporting.record import AUDITS, EXAMPLES, METRICS, RESULTS, RunRecord
from glassbox_bt.reporting.verify_books import store_of
from glassbox_bt.runs.manifest import file_digest
from glassbox_bt.types import IntArray
from glassbox_bt.walkforward.chunks import chunk_days

__all__ = ["audits_check", "examples_check", "files_check", "manifest_check", "measures_checks", "variants_check"]

TOLERANCE = 1e-12
BOOKED = 1e-9
ABLATED = "ablations/equity.parquet"
MANIFEST = "manifest.json"
DECISIONS = "decisions.parquet"
ONE_LINE = 120


def files_check(record: RunRecord) -> Check:
    """Every file that the manifest lists has the bytes it lists."""
    files: Mapping[str, str] = record.manifest.get("files", {})
    faults = []
    for name, digest in sorted(files.items()):
        path = record.run / name
        found = file_digest(path) if path.is_file() else "no file"
        if found != digest:
            faults.append(Fault(name, "the whole file", found[:12], digest[:12], f"{MANIFEST}#/files"))
    return Check("files: bytes as the manifest lists them", len(files), "files", tuple(faults))


def measures_checks(record: RunRecord) -> tuple[tuple[Check, ...], dict[str, Any], pd.DataFrame | None]:
    """``metrics.json`` and the results of ablations against what the evaluator makes of the tables, and what it makes."""
    metrics, ablations = measured(record.run, record.manifest)
    metrics = json.loads(json.dumps(metrics))  # as it would be read from the file
    recorded = json.loads((record.run / METRICS).read_text(encoding="utf-8"))
    faults = tuple(_differing(recorded, metrics, ""))
    checks = [Check("measures, intervals, tests and verdicts from the tables", _n_values(metrics), "values", faults)]
    if ablations is not None:
        keys = ["variant", "chunk", "measure"]
        wrong = tuple(differences(RESULTS, pd.read_parquet(record.run / RESULTS), ablations, keys, TOLERANCE))
        checks.append(Check("ablations: differences from their equity", len(ablations), "rows", wrong))
    return tuple(checks), metrics, ablations


def variants_check(record: RunRecord) -> tuple[Check, ...]:
    """Equity, returns and exposure of each ablation agree with one another; there are no orders to recompute them from."""
    if not record.holds(ABLATED):
        return ()
    table = pd.read_parquet(record.run / ABLATED)
    keys = ["chunk", "split", "variant"]
    capital = plan_from(record.manifest["plan"]).costs.capital
    table = table.sort_values([*keys, "date"], kind="stable")
    before = table.groupby(keys)["equity"].shift(fill_value=capital)
    made = table.assign(
        **{"return": table["equity"] / before - 1.0, "exposure": (table["equity"] - table["cash"]) / table["equity"]}
    )
    columns = [*keys, "date", "return", "exposure"]
    faults = tuple(differences(ABLATED, table, made[columns], [*keys, "date"], BOOKED))
    remark = "no orders are kept of an ablation: its equity is checked against its returns, cash and exposure only"
    return (Check("ablations: equity, returns and exposure agree", len(table), "days", faults, remark),)


def audits_check(record: RunRecord) -> tuple[Check, ...]:
    """The summary of the audits says what each audit's own file says."""
    if not record.holds(AUDITS):
        return ()
    faults, n_values = [], 0
    for name, said in sorted(record.document(AUDITS).items()):
        path = record.run / "audits" / f"{name}.json"
        if not path.is_file():
            faults.append(Fault(AUDITS, f"/{name}", "an audit", f"no file audits/{name}.json"))
            continue
        must = json.loads(path.read_text(encoding="utf-8"))
        shared = {key: must[key] for key in said if key in must and key not in ("checks", "findings")}
        n_values += _n_values(shared)
        faults += _differing({key: said[key] for key in shared}, shared, f"/{name}", AUDITS)
    remark = "an audit is not run again here: `glassbox audit` does that"
    return (Check("audits: summary as their own files have it", n_values, "values", tuple(faults), remark),)


def examples_check(record: RunRecord) -> tuple[Check, ...]:
    """The quoted texts are those that the seed draws from the market, with its words and the scores of the answers."""
    if not record.holds(EXAMPLES):
        return ()
    said = record.document(EXAMPLES)
    must = json.loads(json.dumps(examples_again(record.run, record.manifest, said)))
    remark = "weights of words are taken as recorded: they would need the text engine"
    faults = tuple(_differing(said, must, "", EXAMPLES))
    return (Check("examples: texts, scores and provenance from the market", _n_values(must), "values", faults, remark),)


def manifest_check(record: RunRecord) -> Check:
    """What the manifest says of plan and market, against the plan it holds and the store the run was made on."""
    content = record.manifest
    plan, store = plan_from(content["plan"]), store_of(record)
    market = {"n_sessions": store.n_sessions, "n_names": store.n_assets, **store.facts}
    must: dict[str, Any] = {
        "plan_digest": hashlib.sha256(json.dumps(content["plan"], sort_keys=True).encode()).hexdigest(),  # `Plan.digest`
        "name": plan.name,
        "title": plan.title,
        "question": plan.question,
        "reduced": plan.reduced,
        "silent_modules": sorted(plan.silent),
        "assumptions": plan.as_dict()["assumptions"],
        "seeds": {"plan": plan.seed},
        "test_label_reads": len(content.get("decisions_scored", [])),
        "market": json.loads(json.dumps(market, default=str)),
        "chunks": _chunks(plan, store),
    }
    faults = _differing({key: content.get(key) for key in must}, must, "", MANIFEST)
    question = "manifest: plan, chunks and market as plan and store have them"
    return Check(question, _n_values(must), "values", (*faults, *_scored(record)))


def _chunks(plan: Plan, store: Any) -> list[dict[str, Any]]:
    """Days of each part of each chunk, and how many names could be held on them on average."""

    def ends(days: IntArray) -> list[str]:
        return [str(store.dates[days[0]]), str(store.dates[days[-1]])]

    def members(days: IntArray) -> float:
        return round(float(store.member[days].sum(axis=1).mean()), 2)

    chunks = []
    for number, chunk in enumerate(plan.chunks, start=1):
        days = chunk_days(store, chunk, number)
        parts = {"train": ends(days.train), "validation": ends(days.val), "test": ends(days.test)}
        counts = {"n_members_mean": members(days.test), "n_members_mean_train": members(days.train)}
        chunks.append({"chunk": number, **parts, **counts})
    return chunks


def _scored(record: RunRecord) -> Iterator[Fault]:
    """The decisions are among those whose outcomes were opened."""
    scored: list[str] = record.manifest.get("decisions_scored", [])
    found = file_digest(record.run / DECISIONS)
    if found not in scored:
        must = scored[-1][:12] if scored else "decisions that were scored"
        yield Fault(DECISIONS, "the whole file", found[:12], must, f"{MANIFEST}#/decisions_scored")


def _differing(said: Any, must: Any, place: str, file: str = METRICS) -> Iterator[Fault]:
    """Values of two JSON documents that differ, numbers by more than rounding."""
    if isinstance(must, dict) and isinstance(said, dict):
        for key in sorted({*must, *said}):
            if key not in said or key not in must:
                here, there = ("a value" if key in one else "nothing" for one in (said, must))
                yield Fault(file, f"{place}/{key}", here, there, f"{file}#{place}/{key}")
                continue
            yield from _differing(said[key], must[key], f"{place}/{key}", file)
    elif isinstance(must, list) and isinstance(said, list):
        if len(must) != len(said):
            yield Fault(file, place, f"{len(said)} entries", f"{len(must)} entries", f"{file}#{place}")
        for at, (one, other) in enumerate(zip(said, must, strict=False)):
            yield from _differing(one, other, f"{place}/{at}", file)
    elif not _same(said, must):
        yield Fault(file, place, shown(said)[:ONE_LINE], shown(must)[:ONE_LINE], f"{file}#{place}")


def _same(said: Any, must: Any) -> bool:
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in (said, must))
    if not numbers:
        return type(said) is type(must) and bool(said == must)
    return math.isclose(said, must, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def _n_values(document: Any) -> int:
    if isinstance(document, dict):
        return sum(map(_n_values, document.values()))
    if isinstance(document, list):
        return sum(map(_n_values, document))
    return 1
