"""A finished walk, taken up again from its run folder: recorded answers and final fits, nothing fitted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from glassbox_bt.decision.stack import order
from glassbox_bt.market.store import MarketStore
from glassbox_bt.plan import Plan, load_stack
from glassbox_bt.runs.artefacts import ArtefactStore
from glassbox_bt.walkforward.answers import ModuleAnswers, load_part, silent_column
from glassbox_bt.walkforward.chunks import chunk_days
from glassbox_bt.walkforward.fitting import ChunkFitter, load_fitted

__all__ = ["restored_walks"]


def restored_walks(run: Path, manifest: Mapping[str, Any], plan: Plan, store: MarketStore) -> Iterator[ChunkFitter]:
    """One fitter per chunk of ``plan``, with the answers, columns and final fits that the run recorded.

    Parameters
    ----------
    run : Path
        A run folder whose walk was recorded.
    manifest : Mapping[str, Any]
        Its manifest.
    plan : Plan
        The plan that was walked.
    store : MarketStore
        The store that it was walked on.
    """
    stack, records = load_stack(plan), manifest["artefacts"]["modules"]
    for number, chunk in enumerate(plan.chunks, start=1):
        fitter = ChunkFitter(
            store=store,
            stack=stack,
            days=chunk_days(store, chunk, number),
            artefacts=ArtefactStore(run / "artefacts"),
            seed=plan.seed,
            silent=plan.silent,
            device=manifest["device"],
        )
        mine = {record["module"]: record for record in records if record["chunk"] == number}
        for name in order(stack, plan.silent):
            _restore(fitter, name, mine[name])
        yield fitter


def _restore(fitter: ChunkFitter, name: str, record: Mapping[str, Any]) -> None:
    """Offer the recorded answers of one module, as `ChunkFitter.take` did when they were made."""
    module, days = fitter.stack[name], fitter.days
    for read in module.reads:
        owner, _, output = read.column.partition(".")
        if owner in fitter.silent and read.column not in fitter.columns:
            here = np.arange(days.first, days.last + 1, dtype=np.int64)
            fitter.columns[read.column] = silent_column(output, here, fitter.assets)
    root = fitter.artefacts.root
    places = [(part["split"], root / "answers" / part["digest"]) for part in record["parts"]]
    parts = [load_part(place) for _, place in places]
    first = min(int(part.answers.days[0]) for part in parts)
    known_days = np.arange(first, days.last + 1, dtype=np.int64)
    given = ModuleAnswers.assemble(name, known_days, fitter.assets, parts, in_sample=module.self_supervised)
    fitter.answers[name] = given
    fitter.columns.update(given.columns())
    frozen = Path(record["frozen"])
    fitter.fitted[name] = load_fitted(module, root / frozen.parent.name / frozen.name)
    for split, place in places:
        if split != "lead":
            fitter.tables.setdefault((name, split), []).append(place / "table.parquet")
