"""Small books for the tests of the statistics: daily rows from given returns, and files of a run made from them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from glassbox_bt.evaluation.books import Books, Parts, Variant
from glassbox_bt.plan import StatisticsPlan
from glassbox_bt.types import FloatArray

QUICK = StatisticsPlan(n_boot=200)
CAPITAL = 1e6


def days_of(returns: FloatArray, first: str = "2020-01-01") -> pd.DataFrame:
    """Rows of one part: equity from the returns, half invested, a little traded."""
    equity = CAPITAL * np.cumprod(1.0 + returns)
    n = len(returns)
    return pd.DataFrame(
        {
            "date": pd.bdate_range(first, periods=n),
            "equity": equity,
            "cash": 0.5 * equity,
            "exposure": np.full(n, 0.5),
            "traded": 0.01 * equity,
            "costs": 1e-5 * equity,
            "return": returns,
        }
    )


def parts_of(*returns: FloatArray) -> Parts:
    """Chunks 1, 2, … with a year each."""
    return {i: days_of(one, f"{2000 + i}-01-01") for i, one in enumerate(returns, start=1)}


def books_of(
    strategies: Mapping[str, Parts],
    ablated: Mapping[str, Parts] | None = None,
    variants: Sequence[Variant] = (),
    settings: StatisticsPlan = QUICK,
) -> Books:
    """Books as `read_books` would read them."""
    return Books.of(settings, 7, strategies, ablated, tuple(variants))


def variant(name: str, **changes: Any) -> Variant:
    """A module taken out at inference depth, unless said otherwise."""
    fields = {"set": "modules", "edit": "silent", "target": name, "depth": "inference", "effect": "changed", **changes}
    return Variant(name=name, **fields)


def write_ablations(run: Path, variants: Sequence[Variant], parts: Mapping[str, Parts]) -> None:
    """``ablations/variants.json`` and ``ablations/equity.parquet`` in their recorded shape."""
    (run / "ablations").mkdir(exist_ok=True)
    rows = [
        pd.DataFrame({"chunk": chunk, "split": "test", "variant": name}, index=days.index).join(days)
        for name, chunks in parts.items()
        for chunk, days in chunks.items()
    ]
    pd.concat(rows, ignore_index=True).to_parquet(run / "ablations" / "equity.parquet", index=False)
    listed = [
        {
            **{field: getattr(one, field) for field in ("name", "set", "edit", "target", "depth", "effect")},
            "question": f"What does {one.target} add?",
            "plan_digest": "0" * 64,
            "changed": dict.fromkeys(("answers", "inputs", "decisions", "orders"), int(one.changed)),
        }
        for one in variants
    ]
    (run / "ablations" / "variants.json").write_text(json.dumps(listed), encoding="utf-8")


def noise(rng: np.random.Generator, n: int = 250, mean: float = 0.0, deviation: float = 0.01) -> FloatArray:
    """Independent normal returns."""
    return mean + deviation * rng.standard_normal(n)
