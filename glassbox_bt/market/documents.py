"""The store's table of text, and the cut that a span gets of it.

``records["text"]`` has one row for each chunk of a document and each name that it speaks of, in order of knowledge, so that
rows of the past keep their places whatever is published later. A module reads its columns as ``text.body`` and so on.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from glassbox_bt.errors import ContractError, LookAheadError
from glassbox_bt.market.view import Documents
from glassbox_bt.types import AnyArray, IntArray

__all__ = ["COLUMNS", "MARKET_WIDE", "PREFIX", "TextColumn", "TextTable", "columns_of_text", "empty_text"]

PREFIX = "text."
MARKET_WIDE = -1  # in `asset`: the text speaks of no single name

COLUMNS: Mapping[str, str] = {
    "session": "int64",  # first session whose decision may use it
    "asset": "int64",  # position on the store's axis, or MARKET_WIDE
    "document": "int64",  # number of the document and name, from 0; its chunks share it
    "chunk_index": "int64",  # from 0
    "n_chunks": "int64",
    "word_count": "int64",  # of the chunk
    "n_copies": "int64",  # identical texts that were folded into this one
    "has_time": "bool",  # False: only the day is known, so it counts as published after the close
    "published_at": "datetime64[ns]",  # UTC
    "known_at": "datetime64[ns]",  # UTC
    "ticker": "object",  # as on the store's axis; empty = market-wide
    "doc_id": "object",
    "chunk_id": "object",
    "source": "object",
    "form_type": "object",  # of a filing; empty elsewhere
    "body": "object",  # plain text of the chunk
}
"""Column of the table of text to its type."""


@dataclass(frozen=True, slots=True)
class TextColumn:
    """One output of a module that answers documents.

    ``fitted_through[i]`` is the last session of knowledge of the fit that answered row *i*; it must lie before the row's
    session (R3), except for a self-supervised encoder on its own train days (``in_sample``).
    """

    rows: IntArray  # (n_rows,) ascending places in the table of text
    session: IntArray  # (n_rows,)
    values: AnyArray  # (n_rows[, k])
    fitted_through: IntArray  # (n_rows,)
    in_sample: bool = False

    def __post_init__(self) -> None:
        late = self.fitted_through >= self.session
        if not self.in_sample and bool(late.any()):
            raise LookAheadError(
                f"An answer to text of session {int(self.session[late][0])} comes from a fit that knows session "
                f"{int(self.fitted_through[late][0])}. Answer it out of fold."
            )

    def at(self, rows: IntArray) -> AnyArray:
        """The values of some rows of the table; NaN where the module gave none."""
        out = np.full((len(rows), *self.values.shape[1:]), np.nan, dtype=self.values.dtype)
        if len(self.rows):
            place = np.searchsorted(self.rows, rows).clip(max=len(self.rows) - 1)
            found = self.rows[place] == rows
            out[found] = self.values[place[found]]
        return out


@dataclass(frozen=True)
class TextTable:
    """``records["text"]``, cut for spans."""

    frame: pd.DataFrame

    def __post_init__(self) -> None:
        missing = [name for name in COLUMNS if name not in self.frame.columns]
        if missing:
            raise ContractError(f"The table of text has no column `{missing[0]}`.")
        if np.any(np.diff(self.session) < 0):
            raise ContractError("The table of text must be in order of sessions.")

    @cached_property
    def session(self) -> IntArray:
        return self.frame["session"].to_numpy()

    def cut(self, first: int, last: int, assets: IntArray) -> Documents:
        """Rows of the sessions ``first..last`` about the market or one of ``assets`` (positions in the store)."""
        low, high = np.searchsorted(self.session, [first, last + 1])
        rows = np.arange(low, high, dtype=np.int64)
        asset = self.frame["asset"].to_numpy()[low:high]
        order = np.argsort(assets)
        place = np.searchsorted(assets, asset, sorter=order).clip(max=max(len(assets) - 1, 0))
        here = np.zeros(len(asset), dtype=bool) if not len(assets) else assets[order[place]] == asset
        keep = here | (asset == MARKET_WIDE)
        axis = np.where(here, order[place] if len(assets) else 0, MARKET_WIDE)[keep]
        document = pd.factorize(self.frame["document"].to_numpy()[low:high][keep])[0]
        found = Documents(rows[keep], self.session[low:high][keep], axis.astype(np.int64), document.astype(np.int64))
        for values in (found.rows, found.session, found.asset, found.document):
            values.flags.writeable = False
        return found

    def column(self, name: str, rows: IntArray) -> AnyArray:
        """A copy of one column (``text.body``) for some rows."""
        short = name.removeprefix(PREFIX)
        if short not in COLUMNS or short in ("session", "asset", "document"):
            raise ContractError(f"There is no column `{name}` of text. There are: {', '.join(sorted(COLUMNS))}.")
        values: AnyArray = np.array(self.frame[short].iloc[rows], dtype=COLUMNS[short])
        return values


def empty_text() -> pd.DataFrame:
    """The table of text of a market without any."""
    return pd.DataFrame({name: np.zeros(0, dtype=kind) for name, kind in COLUMNS.items()})


def columns_of_text(names: Collection[str], answered: Mapping[str, object]) -> frozenset[str]:
    """Those of ``names`` that hold one entry for each row of text: text itself, and answers to documents."""
    return frozenset(name for name in names if name.startswith(PREFIX) or isinstance(answered.get(name), TextColumn))
