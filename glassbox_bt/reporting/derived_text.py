"""Numbers and words of the text branch that no file holds as such, computed by name from what the run recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from glassbox_bt.errors import RunFolderError
from glassbox_bt.reporting.record import EXAMPLES, POOLED, RunRecord
from glassbox_bt.reporting.styles import Value

__all__ = ["CLEAN", "CONTAMINATED", "OF_TEXT", "UNKNOWN", "cutoff_source"]

Arguments = Mapping[str, str]
CLEAN, CONTAMINATED, UNKNOWN = "clean", "knowledge_contaminated", "unknown"
ENGINED = ("text_encoder", "sentiment")  # sentiment, where labelled sentences taught it
NO_TEXT = "none"  # the knowledge cut-off of an engine that learned from no text


def cutoff_source(record: RunRecord, chunk: int) -> str | None:
    """Where the latest knowledge cut-off of a chunk's engines stands (unknown is the latest): in a fit; None if nowhere."""
    places = (f"models/{module}/chunk{chunk}/frozen.json#/provenance/knowledge_cutoff" for module in ENGINED)
    known = {place: str(record.resolve(place)) for place in places if record.has(place)}
    order = {UNKNOWN: "9999", NO_TEXT: ""}
    return max(known, key=lambda place: order.get(known[place], known[place]), default=None)


def _knowledge(record: RunRecord, of: Arguments) -> Value:
    """Whether the engine may have learned from text written on a chunk's test days or later."""
    source = cutoff_source(record, int(of["chunk"]))
    cutoff = None if source is None else record.resolve(source)
    if cutoff is None or cutoff == UNKNOWN:
        return UNKNOWN
    if cutoff == NO_TEXT:
        return CLEAN
    days = [one["test"] for one in record.manifest.get("chunks", []) if str(one["chunk"]) == of["chunk"]]
    if not days:
        raise RunFolderError(f"{record.run} does not describe chunk {of['chunk']}. Run the plan again.")
    return CONTAMINATED if str(cutoff) >= str(days[0][0]) else CLEAN


def _part(record: RunRecord, of: Arguments) -> Value:
    """The how-manieth part of its document an example is, from 1."""
    return 1 + int(record.document(EXAMPLES)["examples"][int(of["of"])]["chunk_index"])


def _share_within(record: RunRecord, of: Arguments) -> Value:
    """Share of test documents that a decision could use within so many hours, by the bins that end there."""
    rows = record.entries("text_coverage/lag_bins")
    total = sum(int(one.content["n"]) for one in rows)
    early = [one for one in rows if one.get("high") is not None and float(one.content["high"]) <= float(of["hours"])]
    return sum(int(one.content["n"]) for one in early) / total if total else None


def _without_weight(record: RunRecord, _: Arguments) -> Value:
    """Name-days of test that fusion gave no weight of the branch: those of the coverage less those of the weights."""
    n_cells, n_weighed = (
        sum(int(one.content[name]) for one in record.entries(f"text_coverage/{rows}", chunk=POOLED))
        for rows, name in (("parts", "n_name_days"), ("weights", "n_rows"))
    )
    return n_cells - n_weighed


OF_TEXT: Mapping[str, Callable[[RunRecord, Arguments], Value]] = {
    "text_knowledge": _knowledge,
    "text_part": _part,
    "text_share_within": _share_within,
    "text_without_weight": _without_weight,
}
