"""A chunk in sessions: its three parts, and the five folds of its train years (R4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from glassbox_bt.errors import PlanError
from glassbox_bt.market.store import MarketStore
from glassbox_bt.plan import Chunk
from glassbox_bt.types import IntArray

__all__ = ["N_BLOCKS", "ChunkDays", "chunk_days"]

N_BLOCKS = 5
MIN_SESSIONS = 60  # R10: a shorter part of a chunk is an error


@dataclass(frozen=True, slots=True)
class ChunkDays:
    """Session numbers of one chunk; ``number`` counts from 1."""

    number: int
    train: IntArray
    val: IntArray
    test: IntArray

    @property
    def splits(self) -> Mapping[str, IntArray]:
        """The three parts by name."""
        return {"train": self.train, "val": self.val, "test": self.test}

    @property
    def blocks(self) -> tuple[IntArray, ...]:
        """Five equal session blocks of the train years, the same for every layer."""
        return tuple(np.array_split(self.train, N_BLOCKS))

    @property
    def first(self) -> int:
        return int(self.train[0])

    @property
    def last(self) -> int:
        return int(self.test[-1])


def chunk_days(store: MarketStore, chunk: Chunk, number: int) -> ChunkDays:
    """The sessions of ``chunk``; a part with fewer than 60 is refused."""
    parts: dict[str, IntArray] = {}
    for name, field in (("train", chunk.train), ("val", chunk.validation), ("test", chunk.test)):
        days = store.sessions_between(*field)
        if len(days) < MIN_SESSIONS:
            raise PlanError(
                f"Chunk {number}: {name} {field[0]} to {field[1]} has {len(days)} sessions in this market, which runs from "
                f"{store.dates[0]} to {store.dates[-1]}. At least {MIN_SESSIONS} are needed; move the dates."
            )
        parts[name] = days
    return ChunkDays(number, parts["train"], parts["val"], parts["test"])
