"""A market store on disk: one ``.npy`` per column, memory-mapped when opened, so that every worker shares the same pages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from glassbox_bt.market.store import Label, MarketStore
from glassbox_bt.types import AnyArray

__all__ = ["open_store", "save_store"]


def save_store(store: MarketStore, folder: Path) -> None:
    """Write ``store`` into ``folder``, which must exist."""
    arrays: dict[str, AnyArray] = {
        "dates": store.dates,
        "opens_at": store.opens_at,
        "decided_at": store.decided_at,
        **{f"column.{name}": values for name, values in store.columns.items()},
        **{f"label.{name}": label.values for name, label in store.labels.items()},
        **{f"known_at.{name}": label.known_at for name, label in store.labels.items()},
    }
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values, allow_pickle=False)
    for name, frame in store.records.items():
        frame.to_parquet(folder / f"record.{name}.parquet")
    text = json.dumps({"tickers": store.tickers, "facts": store.facts}, default=str, allow_nan=False)
    (folder / "store.json").write_text(text, encoding="utf-8")


def open_store(folder: Path) -> MarketStore:
    """The store that `save_store` wrote; its arrays are read-only and memory-mapped."""
    head = json.loads((folder / "store.json").read_text(encoding="utf-8"))
    columns = _arrays(folder, "column.")
    values, known_at = _arrays(folder, "label."), _arrays(folder, "known_at.")
    records = {
        path.name[len("record.") : -len(".parquet")]: pd.read_parquet(path) for path in folder.glob("record.*.parquet")
    }
    return MarketStore(
        dates=np.load(folder / "dates.npy"),
        opens_at=np.load(folder / "opens_at.npy"),
        decided_at=np.load(folder / "decided_at.npy"),
        tickers=tuple(head["tickers"]),
        columns=columns,
        labels={name: Label(values[name], np.asarray(known_at[name])) for name in values},
        records=records,
        facts=head["facts"],
    )


def _arrays(folder: Path, prefix: str) -> Mapping[str, AnyArray]:
    return {p.name[len(prefix) : -len(".npy")]: np.load(p, mmap_mode="r") for p in sorted(folder.glob(f"{prefix}*.npy"))}
