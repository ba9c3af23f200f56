"""A tiny market's text, and made-up answers to it, for contracts and unit tests."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd

from glassbox_bt.market.documents import COLUMNS, MARKET_WIDE, TextColumn
from glassbox_bt.market.store import MarketStore
from glassbox_bt.types import AnyArray, FloatArray, IntArray

__all__ = ["TEXT_MODULES", "TEXT_WIDTH", "cut_after", "documents", "poisoned_text", "text_answer", "unwritten", "with_text"]

TEXT_MODULES = ("text_encoder", "sentiment", "news")
TEXT_WIDTH = 6  # of the made-up embedding
WORDS = (
    "profit",
    "loss",
    "guidance",
    "lawsuit",
    "record",
    "weak",
    "demand",
    "merger",
    "strike",
    "dividend",
    "plant",
    "chief",
)
FORMS = ("", "8-K", "10-Q")
RANGES = {"polarity": (-1.0, 1.0), "predicted_sentiment_score": (-1.0, 1.0), "predicted_news_event_impact": (-1.0, 1.0)}


def with_text(
    store: MarketStore, n_documents: int = 900, *, seed: int = 0, most_chunks: int = 5, first: int = 20
) -> MarketStore:
    """The store with documents about one or two names, some about the whole market, some of several chunks."""
    return dataclasses.replace(
        store,
        records={**store.records, "text": documents(store, n_documents, seed=seed, most_chunks=most_chunks, first=first)},
    )


def documents(store: MarketStore, n_documents: int, *, seed: int = 0, most_chunks: int = 5, first: int = 20) -> pd.DataFrame:
    """A table of text from session ``first`` on; one document in two has one chunk, one in ten no name, one in ten two."""
    rng = np.random.default_rng([seed, 17])
    sessions = np.sort(rng.integers(first, store.n_sessions, n_documents))
    rows: list[dict[str, object]] = []
    number = 0
    for place, session in enumerate(sessions.tolist()):
        chunks = 1 if rng.random() < 0.5 else int(rng.integers(1, most_chunks + 1))
        bodies = [" ".join(rng.choice(WORDS, int(rng.integers(4, 30)))) for _ in range(chunks)]
        published = store.decided_at[session] - np.timedelta64(int(rng.integers(1, 60 * 40)), "m")
        members = np.flatnonzero(store.member[session])
        n_names = int(rng.choice([0, 1, 1, 1, 1, 1, 1, 1, 1, 2])) if len(members) > 1 else 0
        names = rng.choice(members, n_names, replace=False).tolist() if n_names else [MARKET_WIDE]
        form = str(rng.choice(FORMS))
        for asset in names:
            for index, body in enumerate(bodies):
                rows.append(
                    {
                        "session": session,
                        "asset": asset,
                        "document": number,
                        "chunk_index": index,
                        "n_chunks": chunks,
                        "word_count": len(body.split()),
                        "n_copies": 1,
                        "has_time": True,
                        "published_at": published,
                        "known_at": published,
                        "ticker": "" if asset == MARKET_WIDE else store.tickers[asset],
                        "doc_id": f"d{place}",
                        "chunk_id": f"d{place}#{index}",
                        "source": "made up",
                        "form_type": form,
                        "body": body,
                    }
                )
            number += 1
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(dict(COLUMNS))


def text_answer(
    store: MarketStore, column: str, *, seed: int = 0, silent: bool = False, missing: float = 0.02
) -> TextColumn:
    """A made-up answer to every row of text but one in fifty; chunks of a document are known or not each for itself.

    The news analyst's answers are those of the document: the same on all of its chunks.
    """
    module, _, output = column.partition(".")
    text = store.text
    rows = np.arange(len(text.frame), dtype=np.int64)
    if silent:
        nothing = np.zeros(0, dtype=np.int64)
        return TextColumn(nothing, nothing, np.zeros(0), nothing)
    known = _rng(f"{module}.known", seed).random(len(rows)) >= missing
    values: AnyArray = known.astype(np.float64)
    if output == "has_polarity":
        values[~known] = np.nan
    elif output != "known":
        values = _values(column, text.frame["document"].to_numpy(), len(rows), seed)
        values[~known] = np.nan
    return TextColumn(rows, text.session, values, np.full(len(rows), -1))


def _values(column: str, document: IntArray, n_rows: int, seed: int) -> AnyArray:
    module, _, output = column.partition(".")
    rng = _rng(column, seed)
    if output == "embedding":
        return rng.standard_normal((n_rows, TEXT_WIDTH)).astype(np.float32)
    if output == "predicted_sentiment_class_index":
        return rng.integers(0, 3, n_rows).astype(np.float64)
    share: FloatArray = rng.random(n_rows)
    if module == "news":
        share = share[np.unique(document, return_index=True)[1]][document]
    low, high = RANGES.get(output, (0.0, 1.0))
    return np.round(low + (high - low) * share, 6)


def cut_after(store: MarketStore, last: int, *, body: str) -> MarketStore:
    """The store with other texts after a session: fewer, longer, about other names."""
    frame = store.text.frame
    past, later = frame[frame["session"] <= last], frame[frame["session"] > last].iloc[::3].copy()
    later["body"], later["word_count"], later["form_type"] = body, len(body.split()), "10-K"
    later["asset"] = (later["asset"].to_numpy() + 1) % store.n_assets
    later["ticker"] = np.array(store.tickers, dtype=object)[later["asset"]]
    whole = pd.concat([past, later], ignore_index=True).astype(dict(COLUMNS))
    return dataclasses.replace(store, records={**store.records, "text": whole})


def unwritten(store: MarketStore, asset: int) -> MarketStore:
    """The store in which every text about one name is empty."""
    frame = store.text.frame.copy()
    frame.loc[frame["asset"] == asset, "body"] = ""
    return dataclasses.replace(store, records={**store.records, "text": frame})


def poisoned_text(column: TextColumn, store: MarketStore, last: int) -> TextColumn:
    """The answer on the rows of another table of text (`cut_after`): the same up to a session, nonsense after it."""
    n_rows = len(store.text.frame)
    values = np.full((n_rows, *column.values.shape[1:]), 1e6, dtype=column.values.dtype)
    past = column.session <= last
    values[: int(past.sum())] = column.values[past]
    rows = np.arange(n_rows, dtype=np.int64)
    return TextColumn(rows, store.text.session, values, np.full(n_rows, -1))


def _rng(key: str, seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, *key.encode()])
