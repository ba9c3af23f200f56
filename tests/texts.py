"""Tables of text for tests: documents of any session and name, in the columns of the store."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd

from glassbox_bt.market.documents import COLUMNS, MARKET_WIDE
from glassbox_bt.market.store import MarketStore

__all__ = ["text_table", "with_documents"]


def text_table(store: MarketStore, documents: Sequence[tuple[int, int, str]], n_chunks: int = 1) -> pd.DataFrame:
    """The table of text of ``documents``: (session, position of the name or -1, text), ``n_chunks`` rows each.

    Each is published an hour before its session closes.
    """
    rows = []
    for number, (session, asset, body) in enumerate(sorted(documents, key=lambda one: one[0])):
        moment = store.decided_at[session] - np.timedelta64(1, "h")
        name = store.tickers[asset] if asset != MARKET_WIDE else ""
        for index in range(n_chunks):
            rows.append(
                {
                    **{"session": session, "asset": asset, "document": number, "chunk_index": index, "n_chunks": n_chunks},
                    **{"word_count": len(body.split()), "n_copies": 1, "has_time": True, "published_at": moment},
                    **{"known_at": moment, "ticker": name, "doc_id": f"d{number}", "chunk_id": f"d{number}#{index}"},
                    **{"source": "wire", "form_type": "", "body": body},
                }
            )
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.astype({name: kind for name, kind in COLUMNS.items() if kind != "object"})


def with_documents(store: MarketStore, table: pd.DataFrame) -> MarketStore:
    """The store with this text."""
    return dataclasses.replace(store, records={**store.records, "text": table})
