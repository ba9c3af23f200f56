"""Tables of the run folder: one row per member of the universe and day, names and signs of spec §25.1."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from glassbox_bt.errors import ContractError
from glassbox_bt.market.view import Span
from glassbox_bt.modules.names import names_of
from glassbox_bt.runs.artefacts import write_whole
from glassbox_bt.types import Answers, AnyArray, Reason, StrArray

__all__ = ["answers_table", "join_tables", "write_table"]

ALIASES = {"slippage_estimate_frac": "slippage_estimate_pct"}  # upstream's name for the same fraction (D-LIQ-04)
FORBIDDEN = re.compile(r"^(target|true|future|forward|label)_")


def answers_table(module: Any, span: Span, answers: Answers, texts: StrArray) -> pd.DataFrame:
    """One module's answers for the members of each day, coded outputs in words, ``xai_summary`` per row."""
    day, asset = np.nonzero(span.member)
    vocabulary: Mapping[str, Sequence[str]] = getattr(module, "vocabulary", {})
    named: Sequence[str] = getattr(module, "name_outputs", ())
    table: dict[str, Any] = {"ticker": np.array(span.tickers, dtype=object)[asset], "date": span.dates[day]}
    for name, values in answers.outputs.items():
        if FORBIDDEN.match(name):
            raise ContractError(f"`{answers.module}` output `{name}` is named like a label. Rename it.")
        rows = values[day, asset]
        if name in named:
            table[name] = names_of(rows, span.tickers)
        else:
            table[name] = _in_words(rows, vocabulary[name]) if name in vocabulary else _flat(rows)
        if name in ALIASES:
            table[ALIASES[name]] = table[name]
    if hasattr(module, "reduction_reasons"):
        table["size_reduction_reasons"] = module.reduction_reasons(answers)[day, asset]
    table["known"] = answers.known[day, asset]
    table["reason"] = np.array([r.name.lower() for r in Reason], dtype=object)[answers.reason[day, asset]]
    table["xai_summary"] = texts[day, asset]
    return pd.DataFrame(table)


def join_tables(paths: Sequence[Path], target: Path) -> None:
    """The rows of several tables, in order, as one file."""
    write_table(target, pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True))


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Parquet, whole or not at all."""
    write_whole(path, lambda draft: table.to_parquet(draft, index=False, compression="zstd"))


def _flat(rows: AnyArray) -> Any:
    return rows if rows.ndim == 1 else list(rows)


def _in_words(codes: AnyArray, words: Sequence[str]) -> Any:
    known = np.isfinite(codes)
    out = np.full(codes.shape, None, dtype=object)
    out[known] = np.array(words, dtype=object)[codes[known].astype(np.int64)]
    return out
