"""Names of the text branch's lists and modules, why it has nothing to show, and small pieces its parts share."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from glassbox_bt.reporting.record import Entry, RunRecord
from glassbox_bt.reporting.report import Prose, prose
from glassbox_bt.reporting.sections.estimates import bound

__all__ = [
    "CONTESTS",
    "CONTROLS",
    "FACTS",
    "MODULES",
    "PARTS",
    "absence_of_text",
    "chance",
    "difference_with_interval",
    "fit_of_encoder",
]

# Lists of `metrics.json`.
CONTROLS = "text_controls"
CONTESTS = "text_contests"
COVERAGE = "text_coverage"
PARTS = f"{COVERAGE}/parts"

FACTS = "manifest.json#/market/text"
MODULES: Mapping[str, str] = MappingProxyType({"sentiment": "Sentiment", "news": "News", "qualitative": "Qualitative"})


def absence_of_text(record: RunRecord) -> Prose | None:
    """Why there is no text branch to report on, in one sentence; None where there is one."""
    facts = record.manifest["market"].get("text") or {}
    if not facts.get("n_documents"):
        return prose("The market of this run has no text, so there is no qualitative branch to report on.")
    if "qualitative" in record.manifest.get("silent_modules", []):
        n_documents = record.claim(f"{FACTS}/n_documents", "integer")
        words = " documents, but the plan of this run keeps the qualitative branch silent: there is nothing to report of it."
        return prose("The market has ", n_documents, words)
    return None


def fit_of_encoder(record: RunRecord, chunk: int, name: str) -> str | None:
    """Source of what the text encoder of a chunk wrote of itself, None where it wrote nothing of that name."""
    source = f"models/text_encoder/chunk{chunk}/frozen.json#/provenance/{name}"
    return source if record.has(source) else None


def difference_with_interval(record: RunRecord, entry: Entry, name: str, style: str) -> Prose:
    """``value [low, high]`` where the ends are recorded as ``<name>_low`` and ``<name>_high``."""
    ends = Entry(entry.place, {"low": entry.get(f"{name}_low"), "high": entry.get(f"{name}_high")}, entry.is_row)
    if ends.get("low") is None or ends.get("high") is None:
        return prose(record.claim(entry.source(name), style))
    bare = style.replace("difference", "number")
    low, high = (bound(record, entry, f"{name}_{end}", bare) for end in ("low", "high"))
    return prose(record.claim(entry.source(name), style), " [", low, ", ", high, "]")


def chance(low: float | None, high: float | None) -> str:
    """Where an interval lies: ``above``, ``below``, ``around`` zero, or ``unknown``."""
    if low is None or high is None:
        return "unknown"
    return "above" if low > 0.0 else "below" if high < 0.0 else "around"
