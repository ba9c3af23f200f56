"""A folder with one table of dated text, ``news.parquet``, that a market's ``[files]`` points at; written in batches."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

__all__ = ["COLUMNS", "write_text"]

COLUMNS: Mapping[str, str] = {
    "published_at": "moment",
    "accepted_at": "moment",
    "has_time": "flag",
    "ticker": "text",
    "cik": "text",
    "text": "text",
    "section": "text",
    "source": "text",
    "form_type": "text",
    "doc_id": "text",
    "n_copies": "count",
}
"""Column of the table that is written to its kind; a batch may leave out what its source does not have."""


def write_text(
    batches: Iterable[tuple[pd.DataFrame, float]],
    folder: Path,
    facts: Mapping[str, object],
    progress: Callable[[str, float], None],
) -> None:
    """Write batches of text and the share of the source that they end at; ``facts`` are counted while they are read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"moment": pa.timestamp("ns", tz="UTC"), "flag": pa.bool_(), "text": pa.string(), "count": pa.int64()}
    schema = pa.schema([(name, kinds[kind]) for name, kind in COLUMNS.items()])
    with pq.ParquetWriter(folder / "news.parquet", schema) as writer:
        for table, share in batches:
            if len(table):
                writer.write_table(pa.Table.from_pandas(_whole(table), schema=schema, preserve_index=False))
            progress("importing", share)
    text = json.dumps(dict(facts), indent=2, sort_keys=True, ensure_ascii=False)
    (folder / "import.json").write_text(text + "\n", encoding="utf-8")


def _whole(table: pd.DataFrame) -> pd.DataFrame:
    empty: Mapping[str, Any] = {"moment": pd.NaT, "flag": True, "text": "", "count": 1}
    whole = table.copy()
    for name, kind in COLUMNS.items():
        if name not in whole.columns:
            whole[name] = empty[kind]
        if kind == "moment":
            whole[name] = pd.to_datetime(whole[name], utc=True).dt.as_unit("ns")
    return whole[list(COLUMNS)]
