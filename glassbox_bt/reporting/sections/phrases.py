"""Phrases that several sections print: names of chunks, periods, values that may not have been recorded."""

from __future__ import annotations

from collections.abc import Sequence

from glassbox_bt.errors import RunFolderError
from glassbox_bt.reporting.derived import derived
from glassbox_bt.reporting.record import Entry, MetricRow, RunRecord
from glassbox_bt.reporting.report import Claim, Item, Piece, Prose, prose

__all__ = [
    "BUY_AND_HOLD",
    "NOT_RECORDED",
    "chunk_name",
    "chunk_source",
    "listed",
    "measured",
    "named_values",
    "period",
    "quoted",
    "strategy_name",
]

BUY_AND_HOLD = "buy_and_hold"
NOT_RECORDED = "not recorded"
LONG = 8  # entries of a list that are printed one by one


def chunk_source(record: RunRecord, chunk: int, rest: str) -> str:
    """Source of a value of one chunk in the manifest."""
    for place, entry in enumerate(record.manifest.get("chunks", [])):
        if entry.get("chunk") == chunk:
            return f"manifest.json#/chunks/{place}/{rest}"
    raise RunFolderError(
        f"{record.run / 'manifest.json'} does not describe chunk {chunk}, which metrics.json has. Run the plan again."
    )


def chunk_name(record: RunRecord, chunk: int) -> Prose:
    """``Chunk 2``."""
    return prose("Chunk ", record.claim(chunk_source(record, chunk, "chunk"), "integer"))


def period(record: RunRecord, chunk: int, part: str = "test") -> Prose:
    """``2006-01-03 to 2006-12-29``: first and last day of a part of a chunk."""
    first, last = (record.claim(chunk_source(record, chunk, f"{part}/{end}"), "date") for end in (0, 1))
    return prose(first, " to ", last)


def strategy_name(row: MetricRow | Entry) -> Claim:
    """The strategy's name as a reader knows it."""
    return Claim(str(row.content["strategy"]), row.source("strategy"), "strategy")


def quoted(record: RunRecord, source: str, style: str = "text") -> Piece:
    """The value at a JSON source, or the words ``not recorded``."""
    return record.claim(source, style) if record.has(source) else NOT_RECORDED


def measured(record: RunRecord, row: MetricRow | Entry, name: str, style: str) -> Prose:
    """A cell with one measure of a row, or a dash where the run has no such measure for it."""
    if name not in row.content:
        return prose(NOT_RECORDED)
    return prose(record.claim(row.source(name), style))


def listed(parts: Sequence[Prose | Piece]) -> Prose:
    """``a, b and c``."""
    joined: list[Piece | Prose] = []
    for place, part in enumerate(parts):
        if place:
            joined.append(" and " if place == len(parts) - 1 else ", ")
        joined.append(part)
    return prose(*joined)


def named_values(record: RunRecord, pointer: str, before: Prose = (), key_style: str = "words") -> list[Item]:
    """One item per value of a mapping in the manifest, by key; nested mappings are written out."""
    if not record.has(f"manifest.json#{pointer}"):
        return []
    items: list[Item] = []
    for place, (key, value) in enumerate(sorted(record.entry(pointer).items())):
        here = f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"
        head = prose(before, record.claim(derived("key", of=pointer, place=place), key_style))
        if isinstance(value, dict) and value:
            items += named_values(record, here, prose(head, ", "), key_style)
        else:
            items.append(Item(_shown(record, here, value), head))
    return items


def _shown(record: RunRecord, pointer: str, value: object) -> Prose:
    """A value as recorded; of a long list only its length."""
    if value is None:
        return prose("none")
    if not isinstance(value, dict | list):
        return prose(record.claim(f"manifest.json#{pointer}", "plain"))
    if not value:
        return prose("none")
    if len(value) > LONG:
        return prose(record.claim(derived("count", of=pointer), "integer"), " entries")
    return listed([record.claim(f"manifest.json#{pointer}/{place}", "plain") for place in range(len(value))])
