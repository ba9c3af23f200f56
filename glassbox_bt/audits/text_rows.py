"""Which rows of text a module had to answer, by the market's own table of text.

A module that answers documents owes an answer, or a reason, to every chunk about the market as a whole or about a name that
was a member of the universe by the row's session. Text about names that come into the universe later in the chunk may be
answered; nothing else may. Whether an outcome is known plays no part (D-NEWS-01).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from glassbox_bt.audits.case import SPLITS, Case, Part
from glassbox_bt.market.documents import MARKET_WIDE
from glassbox_bt.market.store import MarketStore
from glassbox_bt.types import BoolArray, IntArray
from glassbox_bt.walkforward.text_answers import TEXT_MODULES
from glassbox_bt.walkforward.text_edits import with_text

__all__ = ["COPIED", "Owed", "answered_sessions", "has_text", "owed", "row_keys", "text_of", "text_store"]

ROW = ("date", "ticker", "doc_id", "chunk_id")
COPIED = (  # columns of the market's table that a module's table repeats
    *("chunk_index", "n_chunks", "word_count", "source", "form_type", "published_at", "has_time"),
)
IN_SAMPLE = ("text_encoder",)  # fitted once on all of train, so it answers all of it (R3)


@dataclass(frozen=True, slots=True, eq=False)
class Owed:
    """Rows of the market's table of text in some sessions.

    Parameters
    ----------
    frame : DataFrame
        Those that may be answered, with their ``date``, in the order of the market.
    must : BoolArray
        Which of them have to be, (n_rows,).
    """

    frame: pd.DataFrame
    must: BoolArray


def has_text(case: Case) -> bool:
    """Whether the run has a branch of text: a module that answers documents, or the qualitative analyst."""
    return case.whole and any(name in case.modules for name in (*TEXT_MODULES, "qualitative"))


def text_store(case: Case) -> MarketStore:
    """The market as the run's modules saw it: a plan may move or delay text (R28)."""
    return with_text(case.store, case.plan.text, case.plan.seed)


def text_of(store: MarketStore, sessions: IntArray) -> pd.DataFrame:
    """The table of text of some sessions, with the ``date`` of each row."""
    frame = store.text.frame
    mine = frame[np.isin(frame["session"].to_numpy(), sessions)]
    return mine.assign(date=store.dates[mine["session"].to_numpy()].astype("datetime64[ns]")).reset_index(drop=True)


def owed(case: Case, part: Part, table: pd.DataFrame) -> Owed:
    """The rows that a module's table of one chunk and split may hold, and those it must."""
    store, days = text_store(case), case.chunks[part.chunk]
    frame = text_of(store, answered_sessions(case, part, table))
    member = store.member[days.first : days.last + 1]
    joined = np.where(member.any(axis=0), days.first + member.argmax(axis=0), store.n_sessions)  # first session in, by name
    asset = frame["asset"].to_numpy()
    wide = asset == MARKET_WIDE
    since = np.where(wide, -1, joined[np.where(wide, 0, asset)])
    may = since <= days.last
    return Owed(frame[may].reset_index(drop=True), (since <= frame["session"].to_numpy())[may])


def answered_sessions(case: Case, part: Part, table: pd.DataFrame) -> IntArray:
    """Sessions of the split; of train those of the blocks from the first that the module answers (R4)."""
    days = case.chunks[part.chunk]
    sessions = days.splits[part.split]
    if part.split != SPLITS[0] or part.module in IN_SAMPLE:
        return sessions
    if not len(table):
        return sessions[:0]
    first = int(case.sessions(table["date"]).min())
    start = max((int(block[0]) for block in days.blocks if int(block[0]) <= first), default=first)
    return sessions[(sessions >= start) & ~np.isin(sessions, case.skipped(part.module, part.chunk))]


def row_keys(table: pd.DataFrame) -> pd.MultiIndex:
    """Day, name, document and chunk of each row."""
    dates = pd.DatetimeIndex(table["date"].to_numpy().astype("datetime64[ns]"))
    return pd.MultiIndex.from_arrays([dates, *(table[name].astype(object) for name in ROW[1:])], names=ROW)
