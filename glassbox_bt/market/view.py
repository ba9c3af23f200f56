"""What a module may see: windows of declared columns, cut at the decision, in its own copies.

Three locks keep the future out. A view *owns copies* cut at its last day, so there is nothing later to find. It answers only
*declared reads*. And modules cannot import the store (an import contract), so there is no other door.

`MarketView` is one day, `Span` many days in one go (for speed), `TrainView` the days of a fit with their known labels. All
three hold the same thing, so a module writes one kernel: ``predict_many(span)``; its one-day answer is a span of one day.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from glassbox_bt.errors import LookAheadError
from glassbox_bt.types import AnyArray, BoolArray, FloatArray, IntArray

__all__ = ["Documents", "MarketView", "Span", "TrainView"]


@dataclass(frozen=True, slots=True)
class Documents:
    """The rows of text within a span, oldest first: one for each chunk of a document and each name that it speaks of.

    Parameters
    ----------
    rows : IntArray
        Place of each in the store's table of text, ascending, (n_rows,). A handle to answer by, never an input.
    session : IntArray
        First session whose decision may use it (spec 0.2.5), (n_rows,), not descending.
    asset : IntArray
        Place of the name in ``span.tickers``, (n_rows,); -1 for text about the market as a whole.
    document : IntArray
        Number of the document and name that the chunk belongs to, from 0 in order of appearance, (n_rows,).
    """

    rows: IntArray
    session: IntArray
    asset: IntArray
    document: IntArray

    def __len__(self) -> int:
        return int(self.rows.shape[0])


@dataclass(frozen=True, slots=True)
class Span:
    """Declared windows that end on each of several days.

    Parameters
    ----------
    days : IntArray
        Session numbers in the market's calendar, ascending, shape (n_days,).
    dates : NDArray[datetime64[D]]
        Their dates.
    tickers : tuple[str, ...]
        Names of the asset axis; only names that were members of the universe on or before the last day.
    member : BoolArray
        Universe of each day, (n_days, n_assets).
    reads : Mapping[str, int]
        Declared columns and the length of their windows.
    blocks : Mapping[str, AnyArray]
        Column name to a read-only owned block of rows ``days[0] - sessions + 1 .. days[-1]``; rows before the first session
        are NaN. Asset columns (rows, n_assets) or (rows, n_assets, k); market columns (rows,). Columns of text
        (``text.body``, or an answer to documents) hold one entry for each of ``documents``.
    documents : Documents or None
        Text of the sessions within the longest window of text that was declared; None where none was.
    """

    days: IntArray
    dates: AnyArray
    as_of: AnyArray  # (n_days,) UTC decision times, datetime64[ns]
    tickers: tuple[str, ...]
    member: BoolArray
    reads: Mapping[str, int]
    blocks: Mapping[str, AnyArray]
    documents: Documents | None = None
    of_text: frozenset[str] = frozenset()  # the blocks that hold one entry for each row of text

    def __len__(self) -> int:
        return int(self.days.shape[0])

    @property
    def text(self) -> Documents:
        """Rows of text; every block of a column of text holds one entry for each."""
        if self.documents is None:
            raise LookAheadError("No column of text was declared in `reads`. Add for example a Read of `text.body`.")
        return self.documents

    @property
    def asked(self) -> BoolArray:
        """Rows of text that belong to the days themselves, not to the look-back before or between them, (n_rows,)."""
        mine: BoolArray = np.isin(self.text.session, self.days)
        return mine

    @property
    def n_assets(self) -> int:
        return len(self.tickers)

    def block(self, column: str) -> AnyArray:
        """All rows of one declared column, oldest first; read-only."""
        if column not in self.blocks:
            declared = ", ".join(sorted(self.blocks)) or "nothing"
            raise LookAheadError(f"`{column}` was not declared in `reads` (declared: {declared}). Add a Read for it.")
        return self.blocks[column]

    def at(self, column: str) -> IntArray:
        """Row of each day within ``block(column)``, shape (n_days,)."""
        rows: IntArray = self.days - self.days[0] + self.reads[column] - 1
        return rows

    def today(self, column: str) -> AnyArray:
        """The column's value on each day, (n_days, n_assets) or (n_days,)."""
        values: AnyArray = self.block(column)[self.at(column)]
        return values

    def windows(self, column: str, sessions: int | None = None) -> AnyArray:
        """Windows ending on each day, oldest first: (n_days, sessions, n_assets[, k]) or (n_days, sessions); read-only.

        No copy is made where the days are contiguous.
        """
        block, declared = self.block(column), self.reads[column]
        length = declared if sessions is None else sessions
        if not 1 <= length <= declared:
            raise LookAheadError(f"`{column}`: a window of {length} sessions was asked for, {declared} were declared.")
        rolled = np.moveaxis(sliding_window_view(block, length, axis=0), -1, 1)
        first = self.at(column) - length + 1
        if len(self) == int(first[-1] - first[0]) + 1:
            return rolled[int(first[0]) : int(first[-1]) + 1]
        return rolled[first]


@dataclass(frozen=True, slots=True)
class MarketView:
    """One day as it was known at its decision; a `Span` of one day with shorter words."""

    span: Span

    def __post_init__(self) -> None:
        if len(self.span) != 1:
            raise LookAheadError(f"A MarketView holds one day, got {len(self.span)}.")

    @property
    def day(self) -> int:
        return int(self.span.days[0])

    @property
    def as_of(self) -> np.datetime64:
        """Decision time, UTC."""
        value: np.datetime64 = self.span.as_of[0]
        return value

    @property
    def tickers(self) -> tuple[str, ...]:
        return self.span.tickers

    @property
    def member(self) -> BoolArray:
        today: BoolArray = self.span.member[0]
        return today

    def window(self, column: str, sessions: int) -> AnyArray:
        """The last ``sessions`` rows up to today, (sessions, n_assets[, k]) or (sessions,)."""
        window: AnyArray = self.span.windows(column, sessions)[0].copy()
        return window


@dataclass(frozen=True, slots=True)
class TrainView(Span):
    """The days a fit may learn from, with the labels that were known at its cut.

    ``labels[name]`` is (n_days, n_assets), NaN where the outcome is missing, was not known at ``cut``, or belongs to a day
    before the training window. Inputs may look back before the window; labels never do.
    """

    cut: np.datetime64 = field(default_factory=lambda: np.datetime64("NaT"))  # UTC; the fit knows nothing after it
    labels: Mapping[str, FloatArray] = field(default_factory=dict)

    @property
    def fitted_through(self) -> int:
        """Last session of knowledge in a fit on this view (R3)."""
        return int(self.days[-1])

    def label(self, name: str) -> FloatArray:
        """Outcomes of one declared label, (n_days, n_assets)."""
        if name not in self.labels:
            declared = ", ".join(sorted(self.labels)) or "nothing"
            raise LookAheadError(f"Label `{name}` was not declared in `learns_from` (declared: {declared}).")
        return self.labels[name]

    def text_label(self, name: str) -> FloatArray:
        """The outcome of each row of text, (n_rows,): that of a decision on its session about its name.

        The position is entered at the next open, a price that whoever read the text could reach (D-LAB-03). NaN where the
        outcome is not known, for text about the whole market and for rows before the training window.
        """
        values, text = self.label(name), self.text
        place = np.searchsorted(self.days, text.session).clip(max=len(self) - 1)
        found = (self.days[place] == text.session) & (text.asset >= 0)
        return np.where(found, values[place, text.asset], np.nan)
