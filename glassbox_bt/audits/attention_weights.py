"""The attention that a run recorded: of whom, over which slots, and which of them were there to be attended to.

Three kinds: the quantitative analyst's over six risks, in named columns; that of the sequence modules over sessions, one
vector per row; and that of the news analyst over the chunks of a document, one chunk per row. Beside them stand the ten
strongest influences of a graph, which are no attention over fixed slots.

A session was there where the answers that the module attends to were known on it; for a module that attends to market
columns, where any of them was.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from glassbox_bt.audits.case import Case, Group, Part, keys_of, known_in
from glassbox_bt.modules._attribution import RISKS
from glassbox_bt.types import BoolArray, FloatArray, IntArray
from glassbox_bt.walkforward.answers import ModuleAnswers, load_part

__all__ = [
    "CHUNK_COLUMNS",
    "DOCUMENT",
    "HEADS",
    "INFLUENCES",
    "RISK_COLUMNS",
    "STEPS",
    "WINDOWED",
    "Attention",
    "chunk_attention",
    "declared_inputs",
    "known_of",
    "recorded_attention",
    "recorded_influences",
    "risk_attention",
    "time_attention",
]

RISK_COLUMNS = tuple(f"risk_attention_{risk}" for risk in RISKS)
HEADS = tuple(f"attention_head_{head}" for head in range(1, 5))
CHUNK_COLUMNS = ("attention_mean", "attention_max_head", *HEADS)
DOCUMENT = ["date", "ticker", "doc_id"]
INFLUENCES = tuple(f"influence_{rank}" for rank in range(1, 11))
STEPS = 30  # sessions that a sequence module looks back on (A3), unless its settings say otherwise
WINDOWED = ("technical", "temporal_encoder", "drawdown")


@dataclass(frozen=True, slots=True)
class Attention:
    """Attention of one module in one chunk and split, rows that it knows only.

    Parameters
    ----------
    rows : DataFrame
        Day and name of each row.
    weights : FloatArray
        (n_rows, k), in fixed order of the slots; sessions oldest first.
    available : BoolArray or None
        Which slots were there, same shape; None where the record cannot tell.
    names : tuple[str, ...]
        Of the slots: the six risks, or ``29 sessions ago`` … ``today``.
    declared : int
        How many slots there must be.
    drivers : Series or None
        The slot that the table names as the first, in words.
    """

    module: str
    chunk: int | None
    split: str
    rows: pd.DataFrame
    weights: FloatArray
    available: BoolArray | None
    names: tuple[str, ...]
    declared: int
    drivers: pd.Series | None = None

    @property
    def top(self) -> IntArray:
        """Place of the largest weight of each row, the first of equals."""
        return np.asarray(np.argmax(np.nan_to_num(self.weights, nan=-np.inf), axis=1), dtype=np.int64)


def recorded_attention(case: Case, splits: tuple[str, ...]) -> Iterator[Attention]:
    """Every attention of these splits; of a bare table that over risks."""
    if not case.whole:
        for group in case.groups():
            if set(RISK_COLUMNS) <= set(group.rows.columns):
                yield _of_group(group)
        return
    for part in case.parts(splits):
        if set(RISK_COLUMNS) <= set(part.columns):
            yield risk_attention(case, part)
        if {*CHUNK_COLUMNS, "chunk_index"} <= set(part.columns):
            yield chunk_attention(part)
        if part.module in WINDOWED and "attention" in part.vectors():
            yield time_attention(case, part)


def recorded_influences(case: Case, splits: tuple[str, ...]) -> Iterator[Attention]:
    """The ten strongest influences on each row as shares of their sum; a row that nobody influences has no slot."""
    for part in case.parts(splits):
        if set(INFLUENCES) <= set(part.columns):
            table = part.read(["date", "ticker", "known", *INFLUENCES])
            table = table[known_in(table)].reset_index(drop=True)
            weights = table[list(INFLUENCES)].to_numpy(dtype=np.float64)
            total = weights.sum(axis=1, keepdims=True)
            shares = np.divide(weights, total, out=np.zeros(weights.shape), where=total > 0.0)
            rows, there = table[["date", "ticker"]], weights > 0.0
            yield Attention(part.module, part.chunk, part.split, rows, shares, there, INFLUENCES, len(INFLUENCES))


def risk_attention(case: Case, part: Part) -> Attention:
    """Attention over the six risks, with the availability that position sizing recorded."""
    names = ["known", "top_attention_risk_driver", *RISK_COLUMNS]
    table = part.read(["date", "ticker", *names])
    table = table[known_in(table)].reset_index(drop=True)
    sizing, available = case.part("position_sizing", part.chunk, part.split), None
    if sizing is not None:
        flags = case.aligned(sizing, keys_of(table), [f"{risk}_risk_available" for risk in RISKS])
        available = flags.to_numpy(dtype=np.float64) == 1.0
    return _over_risks("quantitative", part.chunk, part.split, table, available)


def time_attention(case: Case, part: Part) -> Attention:
    """Attention over sessions, with the sessions on which there was something to attend to."""
    table = part.read(["date", "ticker", "known"])
    known = known_in(table)
    rows = table[known].reset_index(drop=True)
    weights = part.vector("attention")[known]
    k = weights.shape[1]
    declared = int(str(case.plan.modules.get(part.module, {}).get("sessions", STEPS)))
    names = tuple("today" if ago == 0 else f"{ago} sessions ago" for ago in range(k - 1, -1, -1))
    available = _windows(case, part.module, part.chunk, rows, k)
    return Attention(part.module, part.chunk, part.split, rows, weights, available, names, declared)


def chunk_attention(part: Part) -> Attention:
    """Mean attention of the heads over the chunks of each document of several, one row per document and name."""
    table = part.read([*part.key, "chunk_index", "known", CHUNK_COLUMNS[0]])
    table = table[known_in(table) & table.duplicated(DOCUMENT, keep=False).to_numpy()].reset_index(drop=True)
    document = table.groupby(DOCUMENT, sort=False).ngroup().to_numpy()
    first = ~table.duplicated(DOCUMENT).to_numpy()
    k = int(table["chunk_index"].max()) + 1 if len(table) else 1
    weights, there = np.zeros((int(first.sum()), k)), np.zeros((int(first.sum()), k), dtype=bool)
    place = table["chunk_index"].to_numpy(dtype=np.int64)
    weights[document, place], there[document, place] = table[CHUNK_COLUMNS[0]].to_numpy(dtype=np.float64), True
    rows, names = table.loc[first, DOCUMENT].reset_index(drop=True), tuple(f"chunk {at + 1}" for at in range(k))
    return Attention(part.module, part.chunk, part.split, rows, weights, there, names, k)


def _of_group(group: Group) -> Attention:
    known = group.rows[list(RISK_COLUMNS)].notna().any(axis=1)
    rows = group.rows[known].reset_index(drop=True)
    return _over_risks("quantitative", group.chunk, group.split, rows, None)


def _over_risks(module: str, chunk: int | None, split: str, table: pd.DataFrame, available: BoolArray | None) -> Attention:
    weights = table[list(RISK_COLUMNS)].to_numpy(dtype=np.float64)
    drivers = table.get("top_attention_risk_driver")
    return Attention(module, chunk, split, table[["date", "ticker"]], weights, available, RISKS, len(RISKS), drivers)


def _windows(case: Case, module: str, chunk: int, rows: pd.DataFrame, k: int) -> BoolArray | None:
    """Where there was something to attend to, for the k sessions up to each row, (n_rows, k)."""
    days, assets = case.sessions(rows["date"]), case.assets(rows["ticker"])
    back = days[:, None] - np.arange(k - 1, -1, -1)  # (n_rows, k)
    inputs = declared_inputs(case, module, chunk)
    source = next((one.partition(".")[0] for one in inputs if one.endswith(".embedding")), None)
    if source is None:
        columns = [np.asarray(case.store.columns[one]) for one in inputs if one in case.store.columns]
        seen = np.any([np.isfinite(one) for one in columns if one.ndim == 2], axis=0)
        return np.asarray(seen[np.clip(back, 0, None), assets[:, None]] & (back >= 0))
    given = known_of(case, source, chunk)
    if given is None:
        return None
    at, column = back - given.days[0], np.searchsorted(given.assets, assets)
    return np.asarray(given.known[np.clip(at, 0, None), column[:, None]] & (at >= 0))


def known_of(case: Case, module: str, chunk: int) -> ModuleAnswers | None:
    """All answers of a module in a chunk as its artefacts hold them, days before each split among them."""
    record: Mapping[str, Any] | None = next(
        (one for one in case.manifest["artefacts"]["modules"] if one["module"] == module and one["chunk"] == chunk), None
    )
    if record is None:
        return None
    root = case.folder / "artefacts" / "answers"
    parts = [load_part(root / part["digest"]) for part in record["parts"]]
    first = min(int(part.answers.days[0]) for part in parts)
    days = np.arange(first, case.chunks[chunk].last + 1, dtype=np.int64)
    assets = case.store.assets_until(case.chunks[chunk].first, case.chunks[chunk].last)
    return ModuleAnswers.assemble(module, days, assets, parts, in_sample=False)


def declared_inputs(case: Case, module: str, chunk: int) -> tuple[str, ...]:
    """Names of the columns that a module was handed, as its artefact of the last split recorded them."""
    for one in case.manifest["artefacts"]["modules"]:
        if one["module"] == module and one["chunk"] == chunk:
            key = case.folder / "artefacts" / "answers" / one["parts"][-1]["digest"] / "key.json"
            names: Mapping[str, str] = json.loads(key.read_text(encoding="utf-8"))["inputs"]
            return tuple(name for name in names if name not in ("days", "tickers", "member"))
    return ()
