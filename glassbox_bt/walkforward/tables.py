"""Tables of the run folder: one row per member of the universe and day, names and signs of spec §25.1."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from glassbox_bt.errors import ContractError
from glassbox_bt.market.store import MarketStore
from glassbox_bt.market.view import Span
from glassbox_bt.modules.base import FittedModule, Module
from glassbox_bt.modules.names import names_of
from glassbox_bt.runs.artefacts import write_whole
from glassbox_bt.types import Answers, AnyArray, Reason, StrArray

__all__ = ["EXTRA_TABLES", "FED_BY", "answers_table", "engine_behind", "join_tables", "tables_of", "write_table"]

EXTRA_TABLES = ("events",)  # beside a module's own: `<name>_table(span, answers)` of its fit
PROVENANCE = (
    "doc_id",
    "chunk_id",
    "chunk_index",
    "n_chunks",
    "word_count",
    "source",
    "form_type",
    "published_at",
    "has_time",
)

FED_BY = {  # whose engines read the text that reached a module's rows; sentiment has one where labelled sentences taught it
    "sentiment": ("text_encoder",),
    "news": ("text_encoder",),
    "qualitative": ("text_encoder", "sentiment"),
}
LATEST = {"unknown": "9999", "none": ""}  # knowledge cut-offs that are no day, in the order of days

ALIASES = {"slippage_estimate_frac": "slippage_estimate_pct"}  # upstream's name for the same fraction (D-LIQ-04)
FORBIDDEN = re.compile(r"^(target|true|future|forward|label|excess)_")


def engine_behind(module: str, provenance: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The engine that read the text behind a module's rows, its digest and knowledge cut-off; nothing where none did.

    Parameters
    ----------
    provenance : Mapping[str, Mapping[str, Any]]
        By module, what its fit names; empty where that has no engine of its own. A module whose own is empty names those of
        the modules that fed it. Two are named with `` | `` between, and the later knowledge counts (unknown is the latest).
    """
    own = provenance.get(module, {})
    fed = [own] if own else [provenance.get(name, {}) for name in FED_BY.get(module, ())]
    told = {str(one["digest"]): one for one in fed if one}
    if not told:
        return {}
    cutoffs = [str(one["knowledge_cutoff"]) for one in told.values()]
    return {
        "engine": " | ".join(str(one["engine"]) for one in told.values()),
        "engine_digest": " | ".join(told),
        "knowledge_cutoff": max(cutoffs, key=lambda cutoff: LATEST.get(cutoff, cutoff)),
    }


def tables_of(
    module: Module, fitted: FittedModule, span: Span, answers: Answers, store: MarketStore, engine: Mapping[str, str]
) -> dict[str, pd.DataFrame]:
    """``table``, the module's answers, and whatever its fit tells beside them, ``table.<name>``; ``engine`` in every row."""
    tables = {"table": answers_table(module, span, answers, fitted.explain(span, answers), store)}
    for name in EXTRA_TABLES:
        tell = getattr(fitted, f"{name}_table", None)
        if tell is not None:
            tables[f"table.{name}"] = tell(span, answers)
    return {name: _stamped(table, engine) if engine else table for name, table in tables.items()}


def answers_table(module: Any, span: Span, answers: Answers, texts: StrArray, store: MarketStore) -> pd.DataFrame:
    """One module's answers, coded outputs in words, ``xai_summary`` per row.

    One row for each member and day; of a module that answers documents, one for each chunk and name.
    """
    if answers.rows is not None:
        return _text_table(module, answers, texts, store)
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


def _text_table(module: Any, answers: Answers, texts: StrArray, store: MarketStore) -> pd.DataFrame:
    """Vectors (embeddings) stay with the answers; ``date`` is the session whose decision may first use the text."""
    frame = store.text.frame.iloc[np.asarray(answers.rows)]
    table: dict[str, Any] = {"ticker": frame["ticker"].to_numpy(), "date": store.dates[answers.days]}
    table |= {name: frame[name].to_numpy() for name in PROVENANCE}
    vocabulary: Mapping[str, Sequence[str]] = getattr(module, "vocabulary", {})
    for name, values in answers.outputs.items():
        if FORBIDDEN.match(name):
            raise ContractError(f"`{answers.module}` output `{name}` is named like a label. Rename it.")
        if values.ndim == 1:
            table[name] = _in_words(values, vocabulary[name]) if name in vocabulary else values
    table["known"] = answers.known
    table["reason"] = np.array([r.name.lower() for r in Reason], dtype=object)[answers.reason]
    table["xai_summary"] = texts
    return pd.DataFrame(table)


def _stamped(table: pd.DataFrame, engine: Mapping[str, str]) -> pd.DataFrame:
    """Names the engine in every row, and whether it may know what came after the row's day (D-FIN-01)."""
    cutoff = engine["knowledge_cutoff"]
    if cutoff in LATEST:
        stamp: Any = "clean" if cutoff == "none" else "unknown"
    else:
        later = table["date"].to_numpy().astype("datetime64[D]") <= np.datetime64(cutoff, "D")
        stamp = np.where(later, "knowledge_contaminated", "clean")
    return table.assign(**engine, knowledge=stamp)


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
