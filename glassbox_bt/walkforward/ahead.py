"""What is made before the chunks are walked: vectors of text, and answers of rules where cores would else be idle.

Text is read once, whatever the number of chunks, runs and ablations: all documents that a module of the plan will be asked
about are shared out among the processes, and go to the text engine's cache.

A chunk is one process. With more processes than chunks, the pages of rules such as GARCH, whose estimates are the longest
job without a network, are shared out among all of them. Each is an artefact under the key that the walk asks for, so the
walk reads it, and no number depends on who made it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from glassbox_bt.market.archive import open_store
from glassbox_bt.market.store import MarketStore
from glassbox_bt.modules.base import Module
from glassbox_bt.plan import Plan, load_stack
from glassbox_bt.runs.artefacts import ArtefactStore
from glassbox_bt.runs.engine import Progress
from glassbox_bt.types import IntArray
from glassbox_bt.walkforward.chunks import chunk_days
from glassbox_bt.walkforward.fitting import ChunkFitter, pages

__all__ = ["PageJob", "answer_ahead", "pages_ahead", "read_text_ahead"]


@dataclass(frozen=True, slots=True)
class PageJob:
    """A page of one rule in one chunk; small enough to hand to another process."""

    plan: Plan
    number: int  # of the chunk, from 1
    store: Path
    artefacts: Path
    device: str
    module: str
    split: str
    first: int  # session


def read_text_ahead(plan: Plan, store: MarketStore, workers: int, progress: Progress) -> None:
    """Fill the caches of the engines that the plan's encoder reads with, from the text of the plan's sessions.

    Raises
    ------
    InputError
        If this machine does not have the engine; nothing has been fitted then.
    """
    encoder = load_stack(plan).get("text_encoder")
    engines: Sequence[str] = getattr(encoder, "engines", ())
    if "text_encoder" in plan.silent or not len(store.text.frame):
        return
    days = [chunk_days(store, chunk, number) for number, chunk in enumerate(plan.chunks, start=1)]
    first, last = min(one.first for one in days), max(one.last for one in days)
    low, high = np.searchsorted(store.text.session, [first, last + 1])
    texts = store.text.frame["body"].to_numpy()[low:high].tolist()
    if not engines or len(set(texts)) < getattr(encoder, "min_texts", 0):  # it will abstain, whoever could read
        return
    from glassbox_bt.modules._text_ahead import encode_all

    for engine in engines:
        encode_all(engine, texts, workers=workers, progress=progress)


def pages_ahead(plan: Plan, store: MarketStore, place: Path, artefacts: ArtefactStore, device: str) -> Iterator[PageJob]:
    """Every page that can be answered before anything else is."""
    for number in range(1, len(plan.chunks) + 1):
        fitter = ChunkFitter.of(plan, number, store, artefacts, device)
        for name, module in fitter.stack.items():
            if name in fitter.silent or name in fitter.stand_ins or not _reads_market_alone(module, store):
                continue
            for split, page in _pages(fitter, name):
                yield PageJob(plan, number, place, artefacts.root, device, name, split, int(page[0]))


def answer_ahead(job: PageJob, progress: Progress) -> None:
    """Make the artefacts of one page."""
    fitter = ChunkFitter.of(job.plan, job.number, open_store(job.store), ArtefactStore(job.artefacts), job.device)
    progress(f"chunk {job.number} {job.module} ahead", 0.0)
    page = next(days for split, days in _pages(fitter, job.module) if split == job.split and int(days[0]) == job.first)
    fitter.answer_page(job.module, job.split, page)


def _reads_market_alone(module: Module, store: MarketStore) -> bool:
    rule = not module.learns_from and not module.self_supervised
    return rule and all(read.column in store.columns for read in module.reads)


def _pages(fitter: ChunkFitter, name: str) -> Iterator[tuple[str, IntArray]]:
    for fold in fitter.schedule(name):
        for split, days in fold.runs:
            for page in pages(np.asarray(days)):
                yield split, page
