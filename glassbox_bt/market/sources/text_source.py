"""A table of somebody else's text: where it lies, what its columns mean, and how one of its rows is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

import pandas as pd

from glassbox_bt.errors import MarketDataError
from glassbox_bt.types import BoolArray, IntArray

__all__ = ["KEPT", "UNSTATED", "TextTableSource", "check_encoding", "refuse_first", "strings"]

KEPT = ("form_type", "cik", "section", "n_copies", "accepted_at", "has_time")
"""Further columns of `news`, read under their own names where they are there."""

UNSTATED: Final = object()
"""Stands for ``has_time`` in rows of JSON that do not have it; no value of a file is this one."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_SHOWN = 60  # characters of a value in a message


@dataclass(frozen=True, slots=True)
class TextTableSource:
    """A table of text and what its columns mean.

    Parameters
    ----------
    path : Path
        ``.csv``, ``.jsonl`` or ``.parquet``.
    text, time : str
        Columns of the text and of its time of publication.
    ticker : str or None
        Column of the name it speaks of; empty cells are about the market. None: all of it is.
    source, doc_id : str
        Columns that are used where they are there.
    zone : str or None
        Time zone of times that carry none.
    time_format : str or None
        Format of times as `datetime.strptime` reads it; by default ISO 8601. One without a clock is of days as they are
        written, whatever zone stands beside them.
    encoding : str, default="utf-8"
        Of CSV and JSONL.
    """

    path: Path
    text: str = "text"
    time: str = "published_at"
    ticker: str | None = "ticker"
    source: str = "source"
    doc_id: str = "doc_id"
    zone: str | None = None
    time_format: str | None = None
    encoding: str = "utf-8"

    @property
    def needed(self) -> tuple[str, ...]:
        """Columns that must be there."""
        return tuple(column for column in (self.text, self.time, self.ticker) if column is not None)

    @property
    def used(self) -> frozenset[str]:
        """Columns that are read where they are there."""
        return frozenset({*self.needed, self.source, self.doc_id, *KEPT})

    def place(self, row: int) -> str:
        """A row as a person finds it in the file."""
        return f"{'row' if self.path.suffix == '.parquet' else 'line'} {row}"

    def refuse(self, row: int, problem: str) -> NoReturn:
        """Say what is wrong where."""
        raise MarketDataError(f"{self.path} {self.place(row)}: {problem}")


def check_encoding(name: str) -> None:
    """Refuse an encoding that Python does not read text by."""
    try:
        "a\n".encode(name)
        b"a\n".decode(name, errors="replace")
    except (LookupError, ValueError) as error:
        raise MarketDataError(f"Unknown encoding `{name}`. Write for example utf-8 or cp1252.") from error


def refuse_first(
    source: TextTableSource, column: str, values: pd.Series, wrong: BoolArray, rows: IntArray, problem: str
) -> None:
    """Refuse the first of the rows that are ``wrong``, if there is one, with its value."""
    if wrong.any():
        at = int(wrong.argmax())
        value = strings(values.iloc[[at]]).iloc[0][:_SHOWN]
        source.refuse(int(rows[at]), f"`{column}` {value!r} {problem}.")


def strings(values: pd.Series) -> pd.Series:
    """Values as Python's strings that can be encoded; empty where they are missing.

    Lone surrogates, which JSON can spell and UTF-8 cannot, become U+FFFD.
    """
    words = map(str, values.astype(object).where(values.notna(), ""))
    whole = [word if word.isascii() else _SURROGATE.sub("\ufffd", word) for word in words]
    return pd.Series(whole, index=values.index, dtype=object)
