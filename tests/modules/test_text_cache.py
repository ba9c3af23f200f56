from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from glassbox_bt.errors import RunFolderError
from glassbox_bt.modules._text_ahead import EncodeJob, encode_all, encode_job, text_jobs
from glassbox_bt.modules._text_cache import Readings, TextCache, cache_home, text_key
from glassbox_bt.modules._text_engine import HASHED, text_engine
from tests.text_models import sentences, tiny_bert

WIDTH = 4
KILLED = """
import os, signal, sys
from glassbox_bt.modules._text_engine import text_engine
from tests.text_models import sentences
def told(done, of):
    if done >= 500:
        os.kill(os.getpid(), signal.SIGKILL)
text_engine(sys.argv[1]).fill(sentences(3000), told)
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GLASSBOX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("bert"))


def made(n_texts: int, seed: int = 0) -> tuple[list[bytes], Readings]:
    rng = np.random.default_rng(seed)
    mood = rng.uniform(-1.0, 1.0, n_texts)
    mood[::3] = np.nan
    vectors = rng.standard_normal((n_texts, WIDTH)).astype(np.float32)
    return [text_key(f"text {i}") for i in range(n_texts)], Readings(vectors, mood, rng.integers(0, 5, n_texts))


def assert_same(one: Readings, other: Readings) -> None:
    np.testing.assert_array_equal(one.vectors, other.vectors)
    np.testing.assert_array_equal(one.polarity, other.polarity)
    np.testing.assert_array_equal(one.cut, other.cut)


def fill(name: str) -> None:
    text_engine(name).fill(sentences(400))


def test_what_was_written_is_read_again_bit_for_bit(home: Path) -> None:
    keys, readings = made(1_300)
    cache = TextCache.of("abc", WIDTH)
    assert not cache.fetch(keys, Readings.empty(1_300, WIDTH)).any()
    assert len(cache.missing(keys)) == 1_300
    cache.add(keys, readings)
    cache.add(keys[:5], made(5, seed=9)[1])  # rows that are there stay
    order = np.random.default_rng(1).permutation(1_300)
    found = Readings.empty(1_301, WIDTH)
    there = cache.fetch([*(keys[i] for i in order), text_key("never written")], found)
    assert there.tolist() == [True] * 1_300 + [False]
    assert_same(found.at(np.arange(1_300)), readings.at(order))
    assert cache.missing([text_key("new"), keys[3], text_key("newer")]).tolist() == [0, 2]
    assert cache.path.parent == home / "text" == cache_home() / "text"


def test_a_text_is_read_once_whatever_the_engine_object(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = sentences(60)
    engine = text_engine(str(folder))
    first, cached = engine.readings([*texts, texts[0], texts[7]])
    assert not cached.any()
    np.testing.assert_array_equal(first.vectors[60:], first.vectors[[0, 7]])

    def refuse(_self: object, some: list[str]) -> None:
        assert not some, f"{some} were read again"
        yield from ()

    monkeypatch.setattr(type(engine.reader), "read", refuse)
    text_engine.cache_clear()
    again, cached = text_engine(str(folder)).readings(texts[::-1])
    assert cached.all()
    np.testing.assert_array_equal(again.vectors, first.vectors[:60][::-1])
    with pytest.raises(AssertionError, match="read again"):
        text_engine(str(folder)).readings(["one character more."])


def test_hits_and_misses_are_told_apart(folder: Path) -> None:
    texts = sentences(40)
    engine = text_engine(str(folder))
    assert engine.fill(texts[:25]) == 25
    assert engine.fill(texts[:25]) == 0
    assert engine.missing([texts[30], texts[3], texts[30]]) == [texts[30]]
    told: list[tuple[int, int]] = []
    _, cached = engine.readings(texts, lambda done, of: told.append((done, of)))
    assert cached.tolist() == [True] * 25 + [False] * 15
    assert told[-1] == (15, 15)
    assert np.isfinite(engine.encode(["", "\ud800 lone"])).all()


def test_engines_do_not_share_a_cache(folder: Path, tmp_path: Path) -> None:
    other = tiny_bert(tmp_path / "other", seed=1)
    one, two = text_engine(str(folder)), text_engine(str(other))
    assert one.cache.path != two.cache.path
    one.fill(sentences(5))
    assert len(two.missing(sentences(5))) == 5


def test_two_processes_write_at_once(folder: Path) -> None:
    text_engine(str(folder))
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=fill, args=(str(folder),)) for _ in range(2)]
    for one in workers:
        one.start()
    for one in workers:
        one.join(120)
    assert [one.exitcode for one in workers] == [0, 0]
    engine, texts = text_engine(str(folder)), sentences(400)
    stored, cached = engine.readings(texts)
    assert cached.all()
    for rows, fresh in engine.reader.read(texts):
        np.testing.assert_array_equal(stored.vectors[rows], fresh.vectors)


def test_a_killed_reading_leaves_whole_batches_and_goes_on_from_there(folder: Path) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder)], cwd=Path(__file__).parents[2], env=dict(os.environ), check=False
    )
    assert killed.returncode == -signal.SIGKILL
    engine, texts = text_engine(str(folder)), sentences(3000)
    n_left = len(engine.missing(texts))
    assert 0 < n_left <= 2_500
    stored, cached = engine.readings(texts)
    assert int((~cached).sum()) == n_left
    for rows, fresh in engine.reader.read(texts):
        np.testing.assert_array_equal(stored.vectors[rows], fresh.vectors)


def test_shares_are_read_by_processes_and_not_again(folder: Path) -> None:
    texts = [*sentences(300), ""]
    jobs = text_jobs(str(folder), texts, workers=2)
    assert sorted(text for job in jobs for text in job.texts) == sorted(texts[:300])
    assert [len(job.texts) for job in jobs] == [150, 150]
    told: list[tuple[str, float]] = []
    done = encode_all(str(folder), texts, workers=2, progress=lambda what, share: told.append((what, share)))
    assert [one.n_texts for one in done] == [150, 150]
    assert all(one.per_second > 0.0 for one in done)
    assert {what for what, share in told if share == 1.0} == {f"reading text with {folder}, share {i} of 2" for i in (1, 2)}
    assert text_jobs(str(folder), texts, workers=2) == []
    assert text_jobs(HASHED, texts, workers=2) == []  # counts words faster than it could look them up
    assert encode_job(EncodeJob(str(folder), tuple(texts[:9]), 1, 1), lambda _what, _share: None).n_texts == 0


def test_a_file_whose_maker_was_killed_before_it_made_the_table_is_no_harm() -> None:
    cache = TextCache.of("abc", WIDTH)
    cache.path.parent.mkdir(parents=True)
    cache.path.touch()
    keys, readings = made(3)
    assert cache.missing(keys).tolist() == [0, 1, 2]
    assert not cache.fetch(keys, Readings.empty(3, WIDTH)).any()
    cache.add(keys, readings)
    assert not len(cache.missing(keys))


def test_a_cache_that_cannot_be_used_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = TextCache.of("abc", WIDTH)
    cache.path.parent.mkdir(parents=True)
    cache.path.write_bytes(b"this is no database, but long enough to be taken for one " * 99)
    with pytest.raises(RunFolderError, match=r"abc\.sqlite cannot be used.*GLASSBOX_CACHE"):
        cache.missing(made(3)[0])
    blocked = home / "blocked"
    blocked.write_text("a file where a folder should be")
    monkeypatch.setenv("GLASSBOX_CACHE", str(blocked))
    with pytest.raises(RunFolderError, match="cannot be used"):
        TextCache.of("abc", WIDTH).add(*made(3))
