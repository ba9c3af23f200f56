"""Checks over the rows of one table: how many are wrong, and the first of them in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from glassbox_bt.audits.base import Check, not_asked
from glassbox_bt.types import AnyArray, BoolArray

__all__ = ["Where"]


@dataclass(frozen=True, slots=True)
class Where:
    """A table that is audited: of whom, of which chunk and split, and its rows' days and names."""

    module: str
    chunk: int | None
    split: str
    rows: pd.DataFrame

    def check(
        self, what: str, column: str, wrong: AnyArray, told: Callable[[int], str] | None = None, *, hard: bool = True
    ) -> Check:
        """A check that failed where ``wrong`` is true; ``told`` says what one row holds."""
        bad: BoolArray = np.asarray(wrong, dtype=bool)
        detail = ""
        if bad.any():
            first = int(np.flatnonzero(bad)[0])
            said = f": {told(first)}" if told is not None else ""
            detail = f"{int(bad.sum())} of {len(bad)} rows, first {self.name(first)}{said}"
        return Check(what, self.module, column, self.chunk, "", not bad.any(), detail, self.split, hard)

    def fault(self, what: str, column: str, fault: str, *, hard: bool = True) -> Check:
        """A check that failed if ``fault`` says something."""
        return Check(what, self.module, column, self.chunk, "", not fault, fault, self.split, hard)

    def unasked(self, what: str, column: str, why: str) -> Check:
        """A check that this table cannot answer."""
        return not_asked(what, self.module, column, why, self.chunk)

    def name(self, row: int) -> str:
        """Name and day of one row, and its document where it has one."""
        one = self.rows.iloc[row]
        name = f"{one['ticker'] or 'the market'} {str(one['date'])[:10]}"
        document = next((one[key] for key in ("chunk_id", "doc_id") if key in self.rows.columns), "")
        return f"{name} {document}" if document else name
