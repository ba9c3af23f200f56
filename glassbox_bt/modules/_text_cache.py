"""What was read once is not read again: one SQLite file per engine, rows found by the content of the text.

The key of a row is the sha256 of the text; the file is named after the digest of the engine, so vectors of two engines (or
of one engine before and after its weights changed) cannot meet. A batch is written in one transaction: a killed process
leaves whole batches and no half one. Two processes may write to one file at once; the rows of a text are the same bytes
whoever wrote them.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from glassbox_bt.errors import RunFolderError
from glassbox_bt.types import BoolArray, Float32Array, FloatArray, IntArray

__all__ = ["Readings", "TextCache", "cache_home", "text_key"]

PER_QUERY = 500  # keys of one SELECT; SQLite's own limit is far higher, larger queries gain nothing
PATIENCE = 120.0  # seconds that a writer waits for another one
COLUMNS = "key BLOB NOT NULL UNIQUE, vector BLOB NOT NULL, polarity REAL, cut INTEGER NOT NULL"
TABLE = f"CREATE TABLE IF NOT EXISTS readings ({COLUMNS})"


@dataclass(frozen=True, slots=True)
class Readings:
    """What an engine made of some texts.

    Parameters
    ----------
    vectors : Float32Array
        (n_texts, width).
    polarity : FloatArray
        Mood in [-1, 1], (n_texts,); NaN where the engine has no notion of it.
    cut : IntArray
        Word pieces at the end that did not fit into the model and were not read, (n_texts,).
    """

    vectors: Float32Array
    polarity: FloatArray
    cut: IntArray

    @classmethod
    def empty(cls, n_texts: int, width: int) -> Readings:
        """Room for that many."""
        return cls(np.zeros((n_texts, width), dtype=np.float32), np.full(n_texts, np.nan), np.zeros(n_texts, dtype=np.int64))

    def at(self, rows: IntArray) -> Readings:
        """Those of some texts."""
        return Readings(self.vectors[rows], self.polarity[rows], self.cut[rows])

    def put(self, rows: IntArray, some: Readings) -> None:
        """Fill in those of some texts."""
        self.vectors[rows], self.polarity[rows], self.cut[rows] = some.vectors, some.polarity, some.cut


def cache_home() -> Path:
    """Where what was read is kept: ``GLASSBOX_CACHE``, else ``~/.cache/glassbox_bt``."""
    given = os.environ.get("GLASSBOX_CACHE")
    return Path(given).expanduser() if given else Path.home() / ".cache" / "glassbox_bt"


def text_key(text: str) -> bytes:
    """sha256 of a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


@dataclass(frozen=True, slots=True)
class TextCache:
    """The rows of one engine."""

    path: Path
    width: int

    @classmethod
    def of(cls, digest: str, width: int) -> TextCache:
        """The cache of the engine with that digest."""
        return cls(cache_home() / "text" / f"{digest}.sqlite", width)

    def fetch(self, keys: Sequence[bytes], into: Readings) -> BoolArray:
        """Put the rows that are there where their keys stand, part by part; which they are, (n_keys,)."""
        there = np.zeros(len(keys), dtype=np.bool_)
        if not self.path.exists():
            return there
        place = {key: position for position, key in enumerate(keys)}
        with self._open() as base:
            for some in _parts(keys):
                rows = base.execute(_select("key, vector, polarity, cut", len(some)), some).fetchall()
                at = np.array([place[key] for key, *_ in rows], dtype=np.int64)
                vectors = np.frombuffer(b"".join(row[1] for row in rows), dtype="<f4").reshape(len(rows), self.width)
                moods = np.array([row[2] for row in rows], dtype=np.float64)  # NULL becomes NaN
                into.put(at, Readings(vectors, moods, np.array([row[3] for row in rows], dtype=np.int64)))
                there[at] = True
        return there

    def missing(self, keys: Sequence[bytes]) -> IntArray:
        """Positions of the keys that are not there, ascending."""
        there: set[bytes] = set()
        if self.path.exists():
            with self._open() as base:
                for some in _parts(keys):
                    there.update(key for (key,) in base.execute(_select("key", len(some)), some))
        return np.array([position for position, key in enumerate(keys) if key not in there], dtype=np.int64)

    def add(self, keys: Sequence[bytes], readings: Readings) -> None:
        """Write some rows, all or none; rows that are there already stay."""
        self._make_folder()
        rows = [
            (key, vector.astype("<f4").tobytes(), None if np.isnan(mood) else float(mood), int(cut))
            for key, vector, mood, cut in zip(keys, readings.vectors, readings.polarity, readings.cut, strict=True)
        ]
        with self._open() as base, base:
            base.executemany("INSERT OR IGNORE INTO readings VALUES (?, ?, ?, ?)", rows)

    def _make_folder(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as wrong:
            raise self._unusable(str(wrong)) from wrong

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=PATIENCE)) as base:
                base.execute("PRAGMA journal_mode = WAL")
                base.execute("PRAGMA synchronous = NORMAL")
                base.execute(TABLE)  # also for a reader: who made the file may have been killed before it made the table
                yield base
        except sqlite3.Error as wrong:
            raise self._unusable(str(wrong)) from wrong

    def _unusable(self, why: str) -> RunFolderError:
        return RunFolderError(
            f"The cache of text vectors {self.path} cannot be used: {why}. Free space, remove that file, or name another "
            "folder in GLASSBOX_CACHE."
        )


def _parts(keys: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for first in range(0, len(keys), PER_QUERY):
        yield keys[first : first + PER_QUERY]


def _select(columns: str, n_keys: int) -> str:
    return f"SELECT {columns} FROM readings WHERE key IN ({', '.join('?' * n_keys)})"
