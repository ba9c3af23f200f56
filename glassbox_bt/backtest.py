"""READ FIRST. The whole story on one page.

1. A market is read and stored bitemporally: what was public, when.                      market/ingest.py, market/store.py
2. A plan cuts it into chronological chunks: train, validation and test years.           plan.py, walkforward/chunks.py
3. In each chunk every module is fitted on train, out of fold, and answers every day
   from point-in-time windows.                                                           walkforward/fitting.py
4. Day by day, fusion's answers pass the rule barrier and the approver, which are told
   what is held, and become orders filled at the next session.                           walkforward/replay.py
5. Rivals trade the same days at the same costs and fills.                               walkforward/rivals.py
6. Everything is recorded; outcomes go to the evaluator, sealed.                         walkforward/record.py

Each step is a content-addressed artefact (runs/artefacts.py): a run that died goes on where it stopped, a second one is
a read.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glassbox_bt.market.archive import open_store, save_store
from glassbox_bt.market.ingest import build_store
from glassbox_bt.market.sources import from_name
from glassbox_bt.market.sources.raw import RawMarket, fingerprint
from glassbox_bt.market.store import MarketStore
from glassbox_bt.plan import Plan, load_stack, load_strategies
from glassbox_bt.runs.artefacts import ArtefactStore, Made, code_digest, library_versions
from glassbox_bt.runs.engine import Progress, run_tasks
from glassbox_bt.walkforward.ahead import answer_ahead, pages_ahead, read_text_ahead
from glassbox_bt.walkforward.chunks import chunk_days
from glassbox_bt.walkforward.fitting import ChunkFitter
from glassbox_bt.walkforward.record import ChunkRecord, record_chunk, record_run
from glassbox_bt.walkforward.replay import replay_chunk
from glassbox_bt.walkforward.rivals import replay_rivals

__all__ = [
    "ChunkJob",
    "Market",
    "facts_of",
    "identity_of",
    "open_run_store",
    "read_market",
    "stored",
    "walk_chunk",
    "walk_forward",
]


@dataclass(frozen=True, slots=True)
class Market:
    """Raw tables and the digest of their content."""

    raw: RawMarket
    fingerprint: str


@dataclass(frozen=True, slots=True)
class ChunkJob:
    """One chunk to walk; small enough to hand to another process."""

    plan: Plan
    number: int  # from 1
    store: Path
    artefacts: Path
    device: str


def walk_forward(plan: Plan, market: Market, run: Path, device: str, workers: int, progress: Progress) -> dict[str, Any]:
    """Walk every chunk, write the run folder and return what its manifest says about the walk."""
    load_stack(plan)  # like the chunks below: what cannot be used is refused before anything is fitted
    load_strategies(plan)
    artefacts = ArtefactStore(run / "artefacts")
    progress("ingesting the market", 0.0)
    made = stored(plan, market, artefacts)
    store = open_store(made.path)
    for number, chunk in enumerate(plan.chunks, start=1):
        chunk_days(store, chunk, number)  # refuse a chunk outside the data before anything is fitted
    read_text_ahead(plan, store, workers, progress)
    jobs = [ChunkJob(plan, n, made.path, artefacts.root, device) for n in range(1, len(plan.chunks) + 1)]
    if workers > len(jobs):  # cores would be idle
        run_tasks(
            answer_ahead, list(pages_ahead(plan, store, made.path, artefacts, device)), workers=workers, progress=progress
        )
    records = run_tasks(walk_chunk, jobs, workers=workers, progress=progress)
    progress("writing the run folder", 0.0)
    return record_run(run, store, made.digest, records)


def walk_chunk(job: ChunkJob, progress: Progress) -> ChunkRecord:
    """Fit, answer, decide, fill and record one chunk."""
    plan, store = job.plan, open_store(job.store)
    fitter = ChunkFitter.of(plan, job.number, store, ArtefactStore(job.artefacts), job.device)
    fits = fitter.run(progress)
    progress(f"chunk {job.number} replay", 1.0)
    replays = [*replay_chunk(plan, fitter), *replay_rivals(plan, fitter, load_strategies(plan))]
    return record_chunk(fitter, fits, replays)


def read_market(plan: Plan) -> Market:
    """The raw tables that the plan names."""
    raw = from_name(plan.market_source)
    return Market(raw, fingerprint(raw))


def stored(plan: Plan, market: Market, artefacts: ArtefactStore) -> Made:
    """The bitemporal store of ``market`` on disk."""
    rule, delist_return = plan.market.universe, plan.market.delist_return
    key = {
        "data": market.fingerprint,
        "universe": dataclasses.asdict(rule),
        "delist_return": delist_return,
        "code": code_digest("glassbox_bt.market.ingest"),
        "libraries": library_versions(),
    }
    build = lambda folder: save_store(build_store(market.raw, rule, delist_return=delist_return), folder)  # noqa: E731
    return artefacts.get_or_make("market", key, build)


def identity_of(plan: Plan, market: Market, device: str) -> dict[str, Any]:
    """What decides the numbers of a run: plan, data, code, libraries, kind of device."""
    modules = {"glassbox_bt.cli.job", plan.stack.partition(":")[0], *(p.partition(":")[0] for p in plan.strategies)}
    return {
        "plan_digest": plan.digest,
        "data_fingerprint": market.fingerprint,
        "code_digest": {name: code_digest(name) for name in sorted(modules)},
        "libraries": library_versions(),
        "device": device,
    }


def facts_of(plan: Plan, market: Market, run: Path) -> Mapping[str, Any]:
    """What a manifest says before the walk begins."""
    return {
        "name": plan.name,
        "title": plan.title,
        "question": plan.question,
        "plan": plan.as_dict(),
        "plan_folder": os.path.relpath(plan.folder, run),  # where a relative market folder starts, seen from the run
        "silent_modules": sorted(plan.silent),
        "assumptions": plan.as_dict()["assumptions"],
        "reduced": plan.reduced,
        "seeds": {"plan": plan.seed},
        "market": {"name": market.raw.meta.name},
        "warnings": [],
        "test_label_reads": 0,
    }


def open_run_store(run: Path, manifest: Mapping[str, Any]) -> MarketStore:
    """The store that a finished run was walked on."""
    return open_store(run / "artefacts" / "market" / manifest["artefacts"]["market"])
