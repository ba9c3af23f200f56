"""Documents that a table gives twice, found while it is read in batches; of each row only hashes are kept (24 bytes).

As in a market (`glassbox_bt.market.text`): a document of a name is one text and one time, or one text for each of its
sections, all of one time. Rows without an identifier are their own documents. What is the same in all is a copy, and none of
this module's business.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from glassbox_bt.market.text_cleaning import cleaned, visible
from glassbox_bt.types import AnyArray, IntArray

__all__ = ["Doubles"]

_LABEL = 200  # characters of a section that a market tells apart
_ROW = np.dtype([("document", "u8"), ("section", "u4"), ("body", "u4"), ("time", "u4"), ("row", "u4")])


class Doubles:
    """Rows of news seen so far."""

    def __init__(self) -> None:
        self._seen: list[AnyArray] = []

    def add(self, news: pd.DataFrame, rows: IntArray) -> None:
        """Remember a batch and the rows of the file that it stands in."""
        named = np.array([visible(one).strip() != "" for one in news["doc_id"]], dtype=bool)
        table = news[named]
        seen = np.zeros(len(table), dtype=_ROW)
        issuer = table["cik"].str.strip().str.removesuffix(".0").str.lstrip("0")
        seen["document"] = _hashes(pd.DataFrame({"ticker": table["ticker"], "cik": issuer, "doc_id": table["doc_id"]}))
        sections = [label[:_LABEL] for label in cleaned(table["section"].tolist(), links=True)]
        seen["section"] = _hashes(pd.DataFrame({"section": np.array(sections, dtype=object)})) >> np.uint64(32)
        seen["body"] = _hashes(table[["text"]]) >> np.uint64(32)
        stamp = table["accepted_at"].fillna(table["published_at"])
        day = ~table["has_time"] & table["accepted_at"].isna()
        seen["time"] = _hashes(pd.DataFrame({"stamp": stamp, "day": day})) >> np.uint64(32)
        seen["row"] = rows[named]
        self._seen.append(seen)

    def first(self) -> tuple[int, int, str] | None:
        """The first row of the file that gives a document again, the row that gave it before, and what differs."""
        seen = np.concatenate(self._seen) if self._seen else np.zeros(0, dtype=_ROW)
        found = [self._against(seen, ["document"], "time"), self._against(seen, ["document", "section"], "body")]
        others = [
            (later, before, what) for pair, what in zip(found, ("time", "text"), strict=True) for later, before in pair
        ]
        return min(others, default=None)

    @staticmethod
    def _against(seen: AnyArray, key: list[str], told: str) -> list[tuple[int, int]]:
        """The first row of another ``told`` than the first row of its key, and that one; or none."""
        order = np.lexsort([seen["row"], *(seen[one] for one in reversed(key))])
        starts = np.ones(len(order), dtype=bool)
        starts[1:] = np.any([seen[one][order[1:]] != seen[one][order[:-1]] for one in key], axis=0)
        first = order[np.flatnonzero(starts)[np.cumsum(starts) - 1]]
        differs = np.flatnonzero(seen[told][order] != seen[told][first])
        if not len(differs):
            return []
        at = differs[np.argmin(seen["row"][order[differs]])]
        return [(int(seen["row"][order[at]]), int(seen["row"][first[at]]))]


def _hashes(table: pd.DataFrame) -> AnyArray:
    hashes: AnyArray = pd.util.hash_pandas_object(table, index=False).to_numpy()
    return hashes
