"""Chances of the readers against outcomes that are known, and figures that can be had by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from glassbox_bt import backtest
from glassbox_bt.evaluation.text_readers import (
    CHANCES,
    DRAWDOWN,
    EXCESS,
    NEWS_CHANCES,
    VOLATILITY,
    brier_parts,
    calibration_error,
    text_reader_rows,
    trailing_volatility,
)
from glassbox_bt.modules._news_targets import RETURN, TRAILING, NewsTargets, Outcomes, _volatility
from glassbox_bt.types import Read
from tests.builders import tiny_store

THRESHOLDS = {"scale": 0.1, "spike": 1.5, "drawdown": 0.2, "deep": 0.4, "first": 0, "last": 1}
DAYS = pd.to_datetime(["2018-12-28", "2018-12-31", "2019-01-02", "2019-01-03"])


def cells() -> pd.DataFrame:
    return pd.DataFrame([(day, name) for day in DAYS for name in "ABC"], columns=["date", "ticker"])


def came(**labels: Any) -> pd.DataFrame:
    given: dict[str, Any] = {EXCESS: [-0.1, 0.0, 0.1] * 4, VOLATILITY: 0.3, DRAWDOWN: [0.3, 0.1, 0.0] * 4}
    return cells().assign(**given | labels)


def write(run: Path, module: str, split: str, table: pd.DataFrame, summary: Mapping[str, Any] | None = None) -> None:
    place, fit = run / "modules" / module, run / "models" / module / "chunk1"
    for folder in (place, fit):
        folder.mkdir(parents=True, exist_ok=True)
    table.assign(known=table.get("known", True)).to_parquet(place / f"chunk1_{split}.parquet")
    if summary is not None:
        (fit / "training_summary.json").write_text(json.dumps(summary))


def sentiment(run: Path, chances: Any, split: str = "test", thresholds: Any = (-0.05, 0.05, 1.0)) -> None:
    table = cells().assign(doc_id="a", **dict(zip(CHANCES, np.asarray(chances, dtype=np.float64).T, strict=True)))
    write(run, "sentiment", split, table, {"thresholds": thresholds} if thresholds else {})


def asked(run: Path, splits: Any = None, words: Any = None, before: Any = 0.1) -> dict[str, list[dict[str, Any]]]:
    return text_reader_rows(run, splits or {"test": {1: came()}}, lambda: words, lambda: cells().assign(trailing=before))


def by_who(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["who"]: row for row in rows}


def test_a_reader_that_is_right_eight_times_in_ten_and_says_so(tmp_path: Path) -> None:
    """Outcomes are negative, neutral, positive for A, B, C: the reader takes two of the twelve for something else."""
    said = np.tile(np.full((3, 3), 0.1) + 0.7 * np.eye(3), (4, 1))
    said[0], said[4] = [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]
    sentiment(tmp_path, said)
    rows = by_who(asked(tmp_path)["sentiment"])
    assert set(rows) == {"sentiment", "constant"}
    own = rows["sentiment"]
    assert (own["chunk"], own["split"], own["n_documents"], own["why"]) == (1, "test", 12, "")
    assert own["accuracy"] == own["own_accuracy"] == pytest.approx(10 / 12)
    assert own["ece"] == pytest.approx(10 / 12 - 0.8)
    assert own["log_loss"] == pytest.approx(-(10 * math.log(0.8) + 2 * math.log(0.1)) / 12)
    constant = rows["constant"]
    assert constant["accuracy"] == pytest.approx(1 / 3)
    assert constant["log_loss"] == pytest.approx(-(2 * math.log(0.33) + math.log(0.34)) / 3)
    assert constant["ece"] == pytest.approx(0.34 - 1 / 3)


def test_the_chunks_of_a_document_are_one_voice(tmp_path: Path) -> None:
    right, wrong = np.tile(np.eye(3) * 0.6 + 0.2 * (1 - np.eye(3)), (4, 1)), np.full((12, 3), [0.9, 0.05, 0.05])
    tables = [
        cells().assign(doc_id=name, **dict(zip(CHANCES, one.T, strict=True))) for name, one in (("a", right), ("b", wrong))
    ]
    doubt = tables[0].assign(**dict(zip(CHANCES, (0.4, 0.3, 0.3), strict=True)))  # one chunk of three, the first
    chunks = pd.concat([doubt, tables[0], tables[0], *[tables[1]] * 9])
    write(tmp_path, "sentiment", "test", chunks, {"thresholds": [-0.05, 0.05, 1.0]})
    own = by_who(asked(tmp_path)["sentiment"])["sentiment"]
    assert own["n_documents"] == 24
    assert own["accuracy"] == pytest.approx((12 + 4) / 24)


def test_rivals_are_scored_where_they_speak_and_beside_the_reader_on_the_same_documents(tmp_path: Path) -> None:
    said = np.tile(np.eye(3), (4, 1))
    said[9] = [0.0, 0.0, 1.0]  # wrong where the engine tells no mood
    sentiment(tmp_path, said)
    moods = pd.DataFrame({"polarity": [-0.5, 0.0, 0.9] * 4, "has_polarity": 1.0})
    write(tmp_path, "text_encoder", "train", cells().assign(doc_id="t", **moods))
    moods.loc[6:, "has_polarity"] = 0.0
    moods.loc[2, "polarity"] = -0.9
    write(tmp_path, "text_encoder", "test", cells().assign(doc_id="a", **moods))
    words = cells().assign(qualitative_score=[-1.0, 0.0, -0.2, np.nan] * 3)
    rows = by_who(asked(tmp_path, words=words)["sentiment"])
    assert rows["engine"]["n_documents"] == 6
    assert rows["engine"]["accuracy"] == pytest.approx(5 / 6)
    assert rows["engine"]["own_accuracy"] == 1.0
    assert rows["engine"]["log_loss"] is None
    assert rows["word list"]["n_documents"] == 9
    assert rows["word list"]["own_accuracy"] == pytest.approx(8 / 9)
    wanted = np.array([0, 1, 2] * 4)
    listed = np.array([0, 1, 0, -1] * 3)
    assert rows["word list"]["accuracy"] == pytest.approx((listed == wanted).sum() / 9)


def test_an_engine_without_a_mood_is_no_rival(tmp_path: Path) -> None:
    sentiment(tmp_path, np.tile(np.eye(3), (4, 1)))
    for split in ("train", "test"):
        write(tmp_path, "text_encoder", split, cells().assign(doc_id="a", polarity=0.0, has_polarity=0.0))
    assert set(by_who(asked(tmp_path)["sentiment"])) == {"sentiment", "constant"}


def test_validation_and_test_stand_apart(tmp_path: Path) -> None:
    sentiment(tmp_path, np.tile(np.eye(3), (4, 1)))
    sentiment(tmp_path, np.tile(np.eye(3)[::-1], (4, 1)), "val")
    rows = asked(tmp_path, {"val": {1: came()}, "test": {1: came()}})["sentiment"]
    own = {row["split"]: row["accuracy"] for row in rows if row["who"] == "sentiment"}
    assert own == {"val": pytest.approx(1 / 3), "test": 1.0}


def test_a_reader_that_cannot_be_asked_says_why(tmp_path: Path) -> None:
    sentiment(tmp_path, np.tile(np.eye(3), (4, 1)), thresholds=None)
    news(tmp_path, {})
    told = asked(tmp_path)
    assert [(row["n_documents"], "thresholds" in row["why"]) for row in told["sentiment"]] == [(0, True)]
    assert {row["head"] for row in told["news"]} == {"importance", "relevance", "spike", "drawdown"}
    assert all("thresholds" in row["why"] and math.isnan(row["brier"]) for row in told["news"])
    sentiment(tmp_path, np.tile(np.eye(3), (4, 1)))
    (row,) = asked(tmp_path, {"test": {1: came(**{EXCESS: np.nan})}})["sentiment"]
    assert "known outcome" in row["why"]


def test_without_answers_nothing_is_read() -> None:
    def never() -> Any:
        raise AssertionError("the market was opened for a run without text")

    assert text_reader_rows(Path("nowhere"), {"test": {1: came()}}, never, never) == {}


def news(run: Path, summary: Mapping[str, Any] | None = None, **chances: Any) -> None:
    stated = {one.column: chances.get(one.head, 0.5) for one in NEWS_CHANCES}
    table = pd.concat([cells().assign(doc_id="a", **stated)] * 2)  # two chunks that say the same
    write(run, "news", "test", table, {"thresholds": THRESHOLDS} if summary is None else summary)


def test_news_is_scored_by_year_on_what_its_own_targets_are(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    stated: dict[str, Any] = {one.head: rng.uniform(size=12) for one in NEWS_CHANCES}
    before = rng.uniform(0.1, 0.3, size=12)
    before[5] = np.nan
    news(tmp_path, **stated)
    rows = {(row["head"], row["year"]): row for row in asked(tmp_path, before=before)["news"]}
    assert set(rows) == {(one.head, year) for one in NEWS_CHANCES for year in (2018, 2019)}
    outcome = came()
    known = Outcomes(
        outcome[EXCESS].to_numpy(), outcome[VOLATILITY].to_numpy() / before, outcome[DRAWDOWN].to_numpy(dtype=np.float64)
    )
    target = NewsTargets(**THRESHOLDS).of(known)  # type: ignore[arg-type]
    for k, one in enumerate(NEWS_CHANCES, start=1):
        for year, mine in ((2018, np.arange(6)), (2019, np.arange(6, 12))):
            there = mine[np.isfinite(target[mine, k])]
            row = rows[one.head, year]
            assert row["n_documents"] == len(there)
            assert row["brier"] == pytest.approx(np.mean((stated[one.head][there] - target[there, k]) ** 2))
    assert rows["spike", 2018]["n_documents"] == 5  # one volatility before is not known


def test_the_volatility_before_is_what_the_analyst_was_taught_with(monkeypatch: pytest.MonkeyPatch) -> None:
    store = tiny_store(200, 6, seed=1)
    monkeypatch.setattr(backtest, "open_run_store", lambda _run, _manifest: store)
    days = np.arange(30, 200)
    span = store.span(days, (Read(RETURN, TRAILING),), np.arange(6))
    windows = span.windows(RETURN, TRAILING)  # (n_days, 60, n_assets)
    must = np.stack([_volatility(windows[:, :, k]) for k in range(6)], axis=1)
    told = trailing_volatility(Path("run"), {}).set_index(["date", "ticker"])["trailing"]
    given = told.unstack()[list(store.tickers)].to_numpy()[days]
    assert np.isnan(must).any() and np.isfinite(must).any()
    np.testing.assert_allclose(given, must, rtol=1e-9)


def test_the_parts_of_the_brier_score_add_up_and_are_what_they_are_called() -> None:
    rng = np.random.default_rng(2)
    stated = rng.uniform(size=4000)
    for event, reliable in (((rng.uniform(size=4000) < stated), True), ((rng.uniform(size=4000) < 1.0 - stated), False)):
        parts = brier_parts(stated, event.astype(np.float64))
        assert parts["brier"] == pytest.approx(
            parts["reliability"] - parts["resolution"] + parts["uncertainty"] + parts["within"]
        )
        assert parts["uncertainty"] == pytest.approx(0.25, abs=0.01)
        assert parts["resolution"] == pytest.approx(1 / 12, abs=0.01)
        assert (parts["reliability"] < 0.005) == reliable
        assert (calibration_error(stated, event.astype(np.float64)) < 0.05) == reliable
    constant = brier_parts(np.full(10, 0.3), np.repeat([0.0, 1.0], 5))
    assert constant == pytest.approx(
        {"brier": 0.29, "reliability": 0.04, "resolution": 0.0, "uncertainty": 0.25, "within": 0.0}, abs=1e-12
    )
