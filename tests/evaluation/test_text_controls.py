"""What the text branch adds, on answers whose worth is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from glassbox_bt.evaluation.text_controls import AS_IT_IS, TEXT_OUTCOMES, WORD_LIST, text_control_rows

NAMES = tuple("ABCDEFGHIJ")


def no_list() -> None:
    """The word list of a market without news about a name."""


def run_with(folder: Path, seed: int = 0) -> tuple[Path, dict[int, pd.DataFrame]]:
    """A score that ranks names as their returns, one chunk with text edited to noise and one without a day of text."""
    rng = np.random.default_rng(seed)
    outcomes: dict[int, pd.DataFrame] = {}
    edited = []
    for chunk, n_days in ((1, 120), (2, 100)):
        days = pd.bdate_range(f"201{chunk}-01-04", periods=n_days).to_numpy()
        table = pd.DataFrame([(day, name) for day in days for name in NAMES], columns=["date", "ticker"])
        came = rng.normal(size=len(table))
        outcomes[chunk] = table.assign(**dict.fromkeys(TEXT_OUTCOMES, came))
        known = np.repeat(chunk == 1, len(table))
        score = np.tanh(came + rng.normal(size=len(table)))
        place = folder / "modules" / "qualitative"
        place.mkdir(parents=True, exist_ok=True)
        table.assign(qualitative_score=score, known=known).to_parquet(place / f"chunk{chunk}_test.parquet")
        if chunk == 1:
            edited.append(table.assign(variant="text_moved", chunk=chunk, qualitative_score=rng.uniform(-1, 1, len(table))))
    (folder / "ablations").mkdir()
    pd.concat(edited).to_parquet(folder / "ablations" / "text_scores.parquet")
    return folder, outcomes


def test_true_text_ranks_names_and_moved_text_does_not(tmp_path: Path) -> None:
    run, outcomes = run_with(tmp_path)
    rows = {
        (row["text"], row["chunk"]): row for row in text_control_rows(run, outcomes, 0.95, no_list) if row["horizon"] == 10
    }
    own, moved = rows[AS_IT_IS, 0], rows["text_moved", 0]
    assert 0.55 < own["rank_ic"] < 0.8
    assert own["low"] > 0.4
    assert own["n_days"] == 120
    assert moved["low"] < 0.0 < moved["high"]
    assert moved["difference_low"] > 0.3
    np.testing.assert_allclose(moved["difference"], own["rank_ic"] - moved["rank_ic"], atol=1e-12)
    assert np.isnan(own["difference"])


def test_a_year_without_text_says_nothing_and_is_there(tmp_path: Path) -> None:
    run, outcomes = run_with(tmp_path)
    row = next(r for r in text_control_rows(run, outcomes, 0.95, no_list) if r["text"] == AS_IT_IS and r["chunk"] == 2)
    assert row["n_days"] == 0
    assert np.isnan(row["rank_ic"])


def test_without_the_branch_there_is_nothing_to_say_and_the_market_stays_closed(tmp_path: Path) -> None:
    outcomes = {1: pd.DataFrame({"date": [], "ticker": []})}
    assert text_control_rows(tmp_path, outcomes, 0.95, lambda: pytest.fail("the word list was read")) == []


def test_a_word_list_is_asked_on_the_rows_of_the_branch_alone(tmp_path: Path) -> None:
    run, outcomes = run_with(tmp_path)
    came = pd.concat(outcomes.values())
    words = came[["date", "ticker"]].assign(qualitative_score=-came["forward_log_return_5d"])
    rows = {
        (row["text"], row["chunk"]): row
        for row in text_control_rows(run, outcomes, 0.95, lambda: words)
        if row["horizon"] == 10
    }
    listed = rows[WORD_LIST, 0]
    assert listed["n_days"] == 120
    assert listed["rank_ic"] == -1.0
    np.testing.assert_allclose(listed["difference"], rows[AS_IT_IS, 0]["rank_ic"] + 1.0)
