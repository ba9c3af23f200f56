"""What summaries about text speak of besides their own row, and the parts of them that others wrote.

The encoder names its engine and the last day of that engine's knowledge, as its frozen fit records. Summaries of documents
quote a few of their words; these are taken out before numbers and prose are looked at, and looked at by themselves.
"""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pandas as pd

from glassbox_bt.audits.case import Case, Part, words_in
from glassbox_bt.types import BoolArray

__all__ = ["MOST_QUOTED", "about_text", "overquoted", "without_quotes"]

MOST_QUOTED = 20  # words of a document
EFFECTS = ("wording", "polarity", "facts", "network")
CLASSES = {0.0: "negative", 1.0: "neutral", 2.0: "positive"}
_QUOTE = re.compile(r'"([^"]*)"')
_ENGINE = re.compile(r"^The text engine .+?, (?=of unknown|trained on|which learned)")
_PLAIN = re.compile(r"[A-Za-z0-9 .,;:!?'%$()/+-]*")


def about_text(case: Case, part: Part, table: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series | None]:
    """The table of a module that answers documents with what its sentences make of it, and their wording."""
    if part.module == "text_encoder":
        told = words_in(table["xai_summary"]).str.replace(_ENGINE, "The text engine name, ", regex=True)
        place = table["chunk_index"] + 1.0 if "chunk_index" in table.columns else np.nan
        return table.assign(chunk_place=place, **_provenance(case, part.chunk)), told
    derived: dict[str, Any] = {}
    names = [f"{part.module}_effect_{effect}" for effect in EFFECTS]
    if set(names) <= set(table.columns):
        sizes = np.nan_to_num(np.abs(table[names].to_numpy(dtype=np.float64)))
        derived["top_effect"] = np.array(EFFECTS, dtype=object)[sizes.argmax(axis=1)]
    if "predicted_sentiment_class_index" in table.columns:
        derived["class_word"] = table["predicted_sentiment_class_index"].map(CLASSES)
    return table.assign(**derived), None


def without_quotes(texts: pd.Series) -> pd.Series:
    """The texts with ``words`` in the place of what they quote."""
    return words_in(texts).str.replace(_QUOTE, '"words"', regex=True)


def overquoted(texts: pd.Series) -> BoolArray:
    """Texts that quote more than `MOST_QUOTED` words, leave a quote open, or quote other than plain characters."""

    def fault(text: str) -> bool:
        quotes = _QUOTE.findall(text)
        long = any(len(quote.split()) > MOST_QUOTED for quote in quotes)
        return long or text.count('"') % 2 == 1 or any(_PLAIN.fullmatch(quote) is None for quote in quotes)

    return words_in(texts).map(fault).to_numpy(dtype=bool)


def _provenance(case: Case, chunk: int) -> dict[str, float]:
    """How many numbers the chunk's encoder gives, and the day its engine's knowledge ends, by year, month and day."""
    path = case.folder / "models" / "text_encoder" / f"chunk{chunk}" / "frozen.json"
    facts = json.loads(path.read_text(encoding="utf-8")).get("provenance", {}) if path.is_file() else {}
    day = re.fullmatch(r"(\d{4})-(\d\d)-(\d\d)", str(facts.get("knowledge_cutoff", "")))
    parts = [float(one) for one in day.groups()] if day is not None else [np.nan] * 3
    told = dict(zip(("cutoff_year", "cutoff_month", "cutoff_day"), parts, strict=True))
    return {**told, "components": float(facts.get("components", np.nan))}
