"""Which words made a number that is read off a text's vector: occlusion, integrated gradients, and hits of a lexicon.

The number is ``vector @ readout``, for example a linear head. Weights are in its unit; positive raised it.

``occlusion``
    The number with the text as it is, less that with one word masked (left out, where the engine knows no mask).
``integrated_gradients``
    From the text with all its words masked to the text, along a straight line of word embeddings (Sundararajan, Taly and Yan
    2017). The weights of all words add up to the difference of the two numbers.
``lexicon``
    What each listed word adds: exact, because the vector is a count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from glassbox_bt.errors import ContractError, InputError
from glassbox_bt.modules._attribution import Gradients, integrated_gradients
from glassbox_bt.modules._text_cache import Readings
from glassbox_bt.modules._text_engine import TextEngine
from glassbox_bt.modules._text_lexicon import LexiconReader
from glassbox_bt.modules._text_transformer import TransformerReader
from glassbox_bt.types import AnyArray, FloatArray, IntArray

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Method", "WordWeight", "gradients_of_pieces", "word_attributions"]

Method = Literal["occlusion", "integrated_gradients", "lexicon"]
WORD = re.compile(r"\S+")
STEPS = 64


@dataclass(frozen=True, slots=True)
class WordWeight:
    """One word, what it adds to the number, and its place ``text[start:end]``."""

    word: str
    weight: float
    start: int
    end: int


def word_attributions(engine: TextEngine, text: str, readout: FloatArray, method: Method) -> list[WordWeight]:
    """Words of the text in order, each with its share of ``vector @ readout``.

    Parameters
    ----------
    engine : TextEngine
        What reads the text.
    text : str
        Words are what white space parts; those beyond what the engine reads are left out.
    readout : FloatArray
        (width,).
    method : {"occlusion", "integrated_gradients", "lexicon"}
        ``integrated_gradients`` needs a transformers model, ``lexicon`` the lexicon, which then names listed words only.
    """
    if readout.shape != (engine.width,):
        raise ContractError(f"A read-out of `{engine.name}` has shape ({engine.width},), got {readout.shape}.")
    if method == "lexicon":
        return _hits(engine, text, readout)
    if method == "integrated_gradients":
        return _gradients(engine, text, readout)
    return _occluded(engine, text, readout)


def _occluded(engine: TextEngine, text: str, readout: FloatArray) -> list[WordWeight]:
    words = _read_words(engine, text)
    numbers = np.zeros(1 + len(words))
    for rows, readings in _versions(engine, text, words):  # past the cache: these texts are nobody's
        numbers[rows] = readings.vectors.astype(np.float64) @ readout
    return [_weighed(one, numbers[0] - number) for one, number in zip(words, numbers[1:], strict=True)]


def _versions(engine: TextEngine, text: str, words: list[re.Match[str]]) -> Iterator[tuple[IntArray, Readings]]:
    """What is made of the text, and of it without each of its words."""
    reader = engine.reader
    if not isinstance(reader, TransformerReader):
        return reader.read([text, *(text[: one.start()] + text[one.end() :] for one in words)])
    tokeniser, _ = reader.loaded
    said = tokeniser(text, truncation=True, max_length=reader.limit, return_offsets_mapping=True)
    whole, mask = said["input_ids"], [] if tokeniser.mask_token_id is None else [tokeniser.mask_token_id]
    versions = [whole]
    for one in words:
        mine = [at for at, (begin, end) in enumerate(said["offset_mapping"]) if begin < one.end() and end > one.start()]
        versions.append([*whole[: mine[0]], *mask, *whole[mine[-1] + 1 :]] if mine else whole)
    return reader.read_pieces(versions, np.zeros(len(versions), dtype=np.int64))


def _gradients(engine: TextEngine, text: str, readout: FloatArray) -> list[WordWeight]:
    shares, starts = gradients_of_pieces(engine, text, readout)
    words = _read_words(engine, text)
    first = np.array([one.start() for one in words], dtype=np.int64)
    weights = np.zeros(len(words))
    mine = starts >= 0  # special pieces stand for no word; they are the same in both texts, so they add nothing
    place = np.searchsorted(first, starts[mine], side="right") - 1
    np.add.at(weights, place, shares.shares[0].sum(axis=1)[mine])
    return [_weighed(one, weight) for one, weight in zip(words, weights, strict=True)]


def gradients_of_pieces(engine: TextEngine, text: str, readout: FloatArray) -> tuple[Gradients, AnyArray]:
    """Integrated gradients of each word piece, (1, n_pieces, width of the embedding), and where each begins; -1: special."""
    import torch

    reader = _transformer(engine)
    tokeniser, model = reader.loaded
    asked = {"truncation": True, "max_length": reader.limit, "return_offsets_mapping": True}
    said = tokeniser(text, return_special_tokens_mask=True, **asked)
    ids = np.array([said["input_ids"]], dtype=np.int64)
    special = np.array(said["special_tokens_mask"], dtype=bool)
    blank = np.where(
        special, ids, tokeniser.mask_token_id if tokeniser.mask_token_id is not None else tokeniser.pad_token_id
    )
    with torch.no_grad():
        embedded, masked = (model.get_input_embeddings()(torch.from_numpy(one)).numpy() for one in (ids, blank))
    weights = torch.from_numpy(readout.astype(np.float32))

    def score(inputs: Tensor) -> Tensor:
        mask = torch.ones(inputs.shape[:2], dtype=torch.int64)
        said = model(inputs_embeds=inputs, attention_mask=mask, output_hidden_states=reader.has_polarity)
        hidden = said.hidden_states[-1] if reader.has_polarity else said.last_hidden_state
        number: Tensor = reader.pooled(hidden, mask) @ weights
        return number

    starts = np.array([begin for begin, _ in said["offset_mapping"]], dtype=np.int64)
    return integrated_gradients(score, embedded, masked, steps=STEPS, block=1), np.where(special, -1, starts)


def _hits(engine: TextEngine, text: str, readout: FloatArray) -> list[WordWeight]:
    if not isinstance(engine.reader, LexiconReader):
        raise InputError(f"`{engine.name}` has no word lists. Choose the method `occlusion`, or the engine `lexicon`.")
    hits, n_words = engine.reader.hits(text)
    return [WordWeight(one.word, float(readout[list(one.lists)].sum()) / n_words, one.start, one.end) for one in hits]


def _read_words(engine: TextEngine, text: str) -> list[re.Match[str]]:
    """The words that the engine reads: all, but for those beyond the limit of a transformers model."""
    words = list(WORD.finditer(text))
    if not isinstance(engine.reader, TransformerReader):
        return words
    tokeniser, _ = engine.reader.loaded
    asked = {"truncation": True, "max_length": engine.reader.limit, "return_offsets_mapping": True}
    end = max((stop for _, stop in tokeniser(text, **asked)["offset_mapping"]), default=0)
    return [one for one in words if one.start() < end]


def _transformer(engine: TextEngine) -> TransformerReader:
    if not isinstance(engine.reader, TransformerReader):
        raise InputError(f"`{engine.name}` has no gradients. Choose the method `occlusion`.")
    return engine.reader


def _weighed(word: re.Match[str], weight: float) -> WordWeight:
    return WordWeight(word.group(), float(weight), word.start(), word.end())
