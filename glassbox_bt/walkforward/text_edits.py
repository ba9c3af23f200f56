"""Text that was tampered with on purpose: what the branch says of a name when it reads about another, or reads it late.

``moved``: on each day a random order of the day's members is drawn, and all text about a name goes to the one in its place.
Days keep their documents, names their number of days with text in the long run, and prices theirs; only who is spoken of is
wrong. Text about the whole market stays. ``delayed``: every document becomes usable one session later than it was.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from glassbox_bt.market.documents import MARKET_WIDE
from glassbox_bt.market.store import MarketStore
from glassbox_bt.modules.base import FitContext
from glassbox_bt.plan import TextEdit
from glassbox_bt.types import IntArray

__all__ = ["with_text"]

LATE = 1  # sessions


def with_text(store: MarketStore, edit: TextEdit, seed: int) -> MarketStore:
    """The store with its text edited; the same object where nothing is edited or there is no text."""
    if edit == "as_it_came" or not len(store.text.frame):
        return store
    frame = store.text.frame
    if edit == "moved":
        asset = _moved(store, frame["session"].to_numpy(), frame["asset"].to_numpy(), seed)
        names = np.array([*store.tickers, ""], dtype=object)[asset]
        edited = frame.assign(asset=asset, ticker=names)
    else:
        late = frame["session"].to_numpy() + LATE
        edited = frame.assign(session=late)[late < store.n_sessions]
    return dataclasses.replace(store, records={**store.records, "text": edited})


def _moved(store: MarketStore, session: IntArray, asset: IntArray, seed: int) -> IntArray:
    """Another member of the day for each name that is one; names outside the universe keep their text."""
    out, rng = asset.copy(), FitContext(seed, "text", chunk=0, fold=0).rng("moved")
    starts = np.flatnonzero(np.append(True, session[1:] != session[:-1]))
    for first, last in zip(starts, np.append(starts[1:], len(session)), strict=True):
        members = np.flatnonzero(store.member[session[first]])
        target = np.arange(store.n_assets + 1)  # the last is no name: the whole market
        target[members] = rng.permutation(members)
        target[-1] = MARKET_WIDE
        out[first:last] = target[asset[first:last]]
    return out
