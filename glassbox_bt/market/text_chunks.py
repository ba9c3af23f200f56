"""Long documents in pieces that an encoder can read: 350 words, of which 50 are those before (specification 1.2 and 7)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glassbox_bt.types import IntArray

__all__ = ["CHUNK_OVERLAP", "CHUNK_WORDS", "chunk_counts", "chunks_of", "word_counts"]

CHUNK_WORDS = 350
CHUNK_OVERLAP = 50
_STEP = CHUNK_WORDS - CHUNK_OVERLAP


def word_counts(bodies: NDArray[np.object_]) -> IntArray:
    """Words of each clean text: what stands between single blanks, (n,)."""
    return np.fromiter((body.count(" ") + 1 if body else 0 for body in bodies), dtype=np.int64, count=len(bodies))


def chunk_counts(words: IntArray) -> IntArray:
    """Chunks of documents of so many words: the last one ends with the document, and none lies within the one before."""
    more = np.ceil(np.maximum(words - CHUNK_WORDS, 0) / _STEP)
    return (1 + more).astype(np.int64)


def chunks_of(body: str) -> list[str]:
    """The chunks of one clean text, in order; a short text is its own chunk."""
    words = body.split(" ")
    if len(words) <= CHUNK_WORDS:
        return [body]
    n_chunks = int(chunk_counts(np.array([len(words)], dtype=np.int64))[0])
    return [" ".join(words[i * _STEP : i * _STEP + CHUNK_WORDS]) for i in range(n_chunks)]
