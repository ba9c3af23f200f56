"""The only object that holds the future: a bitemporal, columnar market.

Two kinds of content:

* *session columns*, (n_sessions, n_assets[, k]) or (n_sessions,): row *t* is what was known at the decision of session *t*
  (its official close). Whatever becomes known later (macro releases, text) is joined as-of when the store is built.
* *labels*, (n_sessions, n_assets) with ``known_at`` per row: the outcome of a decision on *t*, known only after its horizon.
* *records* (text, macro, listings): data frames with a UTC ``known_at`` column each.

Views are cut here and nowhere else: `span`, `view`, `train_view`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from glassbox_bt.errors import ContractError, LookAheadError
from glassbox_bt.market.documents import TextColumn, TextTable, columns_of_text, empty_text
from glassbox_bt.market.view import Documents, MarketView, Span, TrainView
from glassbox_bt.types import AnyArray, BoolArray, FloatArray, IntArray, Read

__all__ = ["AnswerColumn", "Column", "Label", "MarketStore"]


@dataclass(frozen=True, slots=True)
class Label:
    """Outcomes by decision day: ``values`` (n_sessions, n_assets); ``known_at`` (n_sessions,) UTC, NaT = never here.

    An outcome of the market as a whole has ``values`` (n_sessions,) and is the same for every name.
    """

    values: FloatArray
    known_at: AnyArray

    def on(self, days: IntArray, assets: IntArray) -> FloatArray:
        """A copy of the outcomes of some days and names, (n_days, n_assets), known or not."""
        if self.values.ndim == 1:
            return np.repeat(np.array(self.values[days])[:, None], len(assets), axis=1)
        return np.array(self.values[np.ix_(days, assets)])


@dataclass(frozen=True, slots=True)
class AnswerColumn:
    """One output of a module over some days and assets of the store.

    ``fitted_through[i]`` is the last session of knowledge of the fit that answered ``days[i]``; it must lie before it (R3).
    ``in_sample`` marks the one exception: a self-supervised encoder on its own train days.
    """

    days: IntArray  # (n_days,) contiguous session numbers
    assets: IntArray  # (n_assets,) ascending positions in the store
    values: AnyArray  # (n_days, n_assets[, k])
    fitted_through: IntArray  # (n_days,)
    in_sample: bool = False

    def __post_init__(self) -> None:
        late = self.fitted_through >= self.days
        if not self.in_sample and bool(late.any()):
            day = int(self.days[late][0])
            raise LookAheadError(
                f"An answer for session {day} comes from a fit that knows session {int(self.fitted_through[late][0])}. "
                "Answer it out of fold."
            )


Column = AnswerColumn | TextColumn
"""An output of a module, as the modules above read it."""


@dataclass(frozen=True, slots=True)
class MarketStore:
    """A market with its clock.

    Parameters
    ----------
    dates : NDArray[datetime64[D]]
        Sessions, ascending, (n_sessions,).
    opens_at, decided_at : NDArray[datetime64[ns]]
        UTC times of the official open and close of each session; the close is the cutoff of decisions (spec 0.2).
    tickers : tuple[str, ...]
        Asset axis, sorted.
    columns : Mapping[str, AnyArray]
        Session columns as above; always among them ``open, high, low, close, volume`` (total-return units, NaN =
        unobserved), ``raw_close, raw_volume``, ``mark`` (close carried forward at most 5 sessions), ``is_observed``,
        ``tradable``, ``member``.
    facts : Mapping[str, object]
        What the report says about the data: name, licence, price basis, benchmark, gaps, notes. JSON-serialisable.
    """

    dates: AnyArray
    opens_at: AnyArray
    decided_at: AnyArray
    tickers: tuple[str, ...]
    columns: Mapping[str, AnyArray]
    labels: Mapping[str, Label]
    records: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    facts: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n_sessions, n_assets = self.n_sessions, self.n_assets
        for name, values in self.columns.items():
            if values.shape[0] != n_sessions or (values.ndim > 1 and values.shape[1] != n_assets):
                raise ContractError(f"Column `{name}` has shape {values.shape}, expected ({n_sessions}, {n_assets}).")

    @property
    def n_sessions(self) -> int:
        return int(self.dates.shape[0])

    @property
    def n_assets(self) -> int:
        return len(self.tickers)

    @property
    def member(self) -> BoolArray:
        """Universe, (n_sessions, n_assets)."""
        return np.asarray(self.columns["member"], dtype=bool)

    @property
    def text(self) -> TextTable:
        """Everything that was written, by whenever; empty where the market has no text."""
        return TextTable(self.records["text"] if "text" in self.records else empty_text())

    def sessions_between(self, first: str, last: str) -> IntArray:
        """Session numbers with ``first <= date <= last``."""
        low, high = np.datetime64(first, "D"), np.datetime64(last, "D")
        return np.flatnonzero((self.dates >= low) & (self.dates <= high)).astype(np.int64)

    def assets_until(self, first: int, last: int) -> IntArray:
        """Names that were members at some session in ``first..last``, ascending positions.

        Depends on nothing after ``last``, so it may shape what a view of ``last`` holds.
        """
        return np.flatnonzero(self.member[first : last + 1].any(axis=0)).astype(np.int64)

    def span(
        self,
        days: IntArray,
        reads: Sequence[Read],
        assets: IntArray,
        answers: Mapping[str, Column] | None = None,
    ) -> Span:
        """Windows of ``reads`` ending on each of ``days`` (ascending), for ``assets``."""
        if len(days) == 0 or np.any(np.diff(days) <= 0):
            raise ContractError("`days` must be ascending session numbers, at least one.")
        lengths: dict[str, int] = {}
        for read in reads:
            lengths[read.column] = max(read.sessions, lengths.get(read.column, 0))
        first, last = int(days[0]), int(days[-1])
        given = answers or {}
        member = self.member[np.ix_(days, assets)]
        member.flags.writeable = False
        of_text = columns_of_text(lengths, given)
        window = max((lengths[name] for name in of_text), default=0)
        text = self.text.cut(first - window + 1, last, assets) if window else None
        return Span(
            days=days,
            dates=self.dates[days],
            as_of=self.decided_at[days],
            tickers=tuple(self.tickers[i] for i in assets),
            member=member,
            reads=lengths,
            blocks={
                name: self._text_block(name, text, given)
                if text is not None and name in of_text
                else self._block(name, first - n + 1, last, assets, given)
                for name, n in lengths.items()
            },
            documents=text,
            of_text=of_text,
        )

    def view(
        self, day: int, reads: Sequence[Read], assets: IntArray, answers: Mapping[str, Column] | None = None
    ) -> MarketView:
        """One day; see `span`."""
        return MarketView(self.span(np.array([day], dtype=np.int64), reads, assets, answers))

    def train_view(
        self,
        days: IntArray,
        reads: Sequence[Read],
        learns_from: Sequence[str],
        assets: IntArray,
        answers: Mapping[str, Column] | None = None,
    ) -> TrainView:
        """Inputs and known labels of a fit whose knowledge ends at the close of ``days[-1]``."""
        span = self.span(days, reads, assets, answers)
        cut = self.decided_at[int(days[-1])]
        return TrainView(
            days=span.days,
            dates=span.dates,
            as_of=span.as_of,
            tickers=span.tickers,
            member=span.member,
            reads=span.reads,
            blocks=span.blocks,
            documents=span.documents,
            of_text=span.of_text,
            cut=cut,
            labels={name: self._known_label(name, days, assets, cut) for name in learns_from},
        )

    def _known_label(self, name: str, days: IntArray, assets: IntArray, cut: np.datetime64) -> FloatArray:
        if name not in self.labels:
            raise ContractError(f"There is no label `{name}`; there are: {', '.join(sorted(self.labels))}.")
        label = self.labels[name]
        values = label.on(days, assets)
        known = label.known_at[days] <= cut  # NaT compares False
        values[~known] = np.nan
        values.flags.writeable = False
        return values

    def _text_block(self, name: str, text: Documents, answers: Mapping[str, Column]) -> AnyArray:
        column = answers.get(name)
        block = column.at(text.rows) if isinstance(column, TextColumn) else self.text.column(name, text.rows)
        block.flags.writeable = False
        return block

    def _block(self, name: str, first: int, last: int, assets: IntArray, answers: Mapping[str, Column]) -> AnyArray:
        column = answers.get(name)
        if isinstance(column, AnswerColumn):
            block = _answer_block(column, first, last, assets)
        elif name in self.columns:
            block = _column_block(self.columns[name], first, last, assets)
        else:
            no_text = name.startswith("event.") and not any(one.startswith("event.") for one in self.columns)
            raise ContractError(
                f"There is no column `{name}`: neither a market column nor an answer given so far. "
                + ("The market has no text, so it has no columns of events. " if no_text else "")
                + f"Market columns: {', '.join(sorted(self.columns))}."
            )
        block.flags.writeable = False
        return block


def _column_block(values: AnyArray, first: int, last: int, assets: IntArray) -> AnyArray:
    rows = values[max(first, 0) : last + 1]
    block = rows.copy() if rows.ndim == 1 else rows[:, assets]
    if block.dtype == np.bool_:
        block = block.astype(np.float64)
    return _padded(block, max(-first, 0))


def _answer_block(column: AnswerColumn, first: int, last: int, assets: IntArray) -> AnyArray:
    """NaN where the module gave no answer for that day or asset."""
    block = np.full((last - first + 1, len(assets), *column.values.shape[2:]), np.nan, dtype=column.values.dtype)
    low, high = max(first, int(column.days[0])), min(last, int(column.days[-1]))
    if low > high or len(column.assets) == 0:
        return block
    place = np.searchsorted(column.assets, assets).clip(max=len(column.assets) - 1)
    here = column.assets[place] == assets
    rows = column.values[low - int(column.days[0]) : high - int(column.days[0]) + 1]
    block[low - first : high - first + 1, here] = rows[:, place[here]]
    return block


def _padded(block: AnyArray, n_rows: int) -> AnyArray:
    if n_rows == 0:
        return np.ascontiguousarray(block)
    return np.concatenate([np.full((n_rows, *block.shape[1:]), np.nan, dtype=block.dtype), block])
