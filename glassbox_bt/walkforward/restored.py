"""A finished walk, taken up again from its run folder: recorded answers and final fits, nothing fitted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from glassbox_bt.decision.stack import order
from glassbox_bt.market.store import MarketStore
from glassbox_bt.plan import Plan
from glassbox_bt.runs.artefacts import ArtefactStore
from glassbox_bt.walkforward.answers import load_part
from glassbox_bt.walkforward.fitting import REJECTED, UNPRINTED, ChunkFitter

__all__ = ["restored_walk", "restored_walks"]


def restored_walks(run: Path, manifest: Mapping[str, Any], plan: Plan, store: MarketStore) -> Iterator[ChunkFitter]:
    """One fitter per chunk of ``plan``; see `restored_walk`."""
    for number in range(1, len(plan.chunks) + 1):
        yield restored_walk(run, manifest, plan, store, number)


def restored_walk(run: Path, manifest: Mapping[str, Any], plan: Plan, store: MarketStore, number: int) -> ChunkFitter:
    """The fitter of one chunk, with the answers, columns and final fits that the run recorded.

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
    number : int
        Of the chunk, from 1.
    """
    fitter = ChunkFitter.of(plan, number, store, ArtefactStore(run / "artefacts"), manifest["device"])
    mine = {record["module"]: record for record in manifest["artefacts"]["modules"] if record["chunk"] == number}
    for name in order(fitter.stack, fitter.silent):
        record, root = mine[name], fitter.artefacts.root
        places = [(part["split"], root / "answers" / part["digest"]) for part in record["parts"]]
        frozen, before = (root.joinpath(*Path(record[which]).parts[-2:]) for which in ("frozen", "before"))
        fitter.restore(name, frozen, before, [load_part(place) for split, place in places if split != REJECTED])
        for split, place in places:
            if split not in UNPRINTED:
                fitter.tables.setdefault((name, split), []).append(place / "table.parquet")
    return fitter
