"""What modules and decisions said on test days, beside what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

__all__ = ["DECISIONS", "outcomes_of", "said"]

DECISIONS = "decisions"  # in the place of a module's name
KEYS = ("date", "ticker")


def outcomes_of(run: Path, split: str = "test") -> Mapping[int, pd.DataFrame]:
    """Outcomes of a split by chunk, in ascending order: date, ticker and the labels."""
    table = pd.read_parquet(run / "evaluation" / "outcomes.parquet")
    test = table[table["split"] == split]
    return {int(chunk): test[test["chunk"] == chunk] for chunk in np.unique(test["chunk"].to_numpy())}


def said(run: Path, module: str, columns: Sequence[str], chunk: int, split: str = "test") -> pd.DataFrame | None:
    """Rows of a chunk's split on which the module knew: date, ticker and these columns; None where one is not there."""
    path = run / f"{module}.parquet" if module == DECISIONS else run / "modules" / module / f"chunk{chunk}_{split}.parquet"
    if not path.exists() or not set(columns) <= set(pq.read_schema(path).names):
        return None
    marks = ["chunk", "split"] if module == DECISIONS else ["known"]
    table = pd.read_parquet(path, columns=[*KEYS, *columns, *marks])
    wanted = (table["chunk"] == chunk) & (table["split"] == split) if module == DECISIONS else table["known"]
    return table.loc[wanted, [*KEYS, *columns]]
