"""Intervals cover the truth about as often as they say: some simulations here, all of them in the slow lane."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.coverage.markets import MARKETS, second
from tests.coverage.study import REQUIRED, SAMPLES, Task, covered, main, outcomes, outside, table, truths

REPORT = Path(__file__).resolve().parents[2] / "reports" / "coverage"


@cache
def truth(market: str) -> dict[tuple[str, str, str], float]:
    return {(market, sample, name): value for (name, sample), value in truths(market, 200_000, 20).items()}


@pytest.mark.parametrize("market", ["iid", "garch"])
def test_intervals_of_a_year_mostly_cover_the_truth(market: str) -> None:
    """Of 50 intervals at 95 %, 39 or fewer cover with a probability below 10⁻⁵."""
    rows = [row for batch in (0, 1) for row in outcomes(Task(77, market, "1 year", batch, 25))]
    cells = covered(pd.DataFrame(rows), truth(market))
    wanted = cells[cells["measure"].isin([*REQUIRED, "sharpe difference", "annual_return difference"])]
    assert len(wanted) == 6
    assert (wanted["n"] == 50).all()
    least = 0.78 if market == "iid" else 0.7  # one stormy year says little about volatility; the table has the figure
    assert (wanted["coverage"] >= least).all()


def test_simulations_are_numbered() -> None:
    task = Task(77, "ar", "1 year", 3, 2)
    assert outcomes(task) == outcomes(task)
    assert outcomes(task) != outcomes(Task(77, "ar", "1 year", 4, 2))


@pytest.mark.parametrize("market", MARKETS)
def test_markets_are_what_they_say(market: str) -> None:
    returns = MARKETS[market](np.random.default_rng(1), 200, 2000)
    assert returns.shape == (200, 2000)
    assert returns.mean() == pytest.approx(0.0005, abs=1e-4) or market == "regime"
    assert returns.std() == pytest.approx(0.012, rel=0.04)

    def memory(values: np.ndarray, lag: int) -> float:
        return float(np.corrcoef(values[:, :-lag].ravel(), values[:, lag:].ravel())[0, 1])

    assert memory(returns, 1) == pytest.approx(0.2 if market == "ar" else 0.0, abs=0.02)
    assert (memory(np.abs(returns), 10) > 0.05) == (market in ("garch", "regime", "sv"))
    other = second(np.random.default_rng(2), returns)
    assert float(np.corrcoef(returns.ravel(), other.ravel())[0, 1]) == pytest.approx(0.7, abs=0.02)


def test_coverage_counts_both_sides_and_what_was_withheld() -> None:
    named = {"market": "iid", "sample": "1 year", "measure": "sharpe"}
    ends = [(-1.0, 1.0), (0.5, 1.0), (-1.0, -0.5), (math.nan, math.nan)]
    cells = covered(
        pd.DataFrame([{**named, "low": low, "high": high} for low, high in ends]), {("iid", "1 year", "sharpe"): 0.0}
    )
    cell = cells.iloc[0]
    assert (cell["coverage"], cell["too_low"], cell["too_high"]) == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert (cell["n"], cell["withheld"], cell["mean_width"]) == (3, 1, pytest.approx(1.0))


def test_the_table_of_a_book_has_its_columns() -> None:
    rows = table(np.array([0.01, -0.02]))
    assert rows["equity"].tolist() == pytest.approx([1.01, 1.01 * 0.98])


def test_the_committed_table_is_whole_and_in_the_band() -> None:
    cells = pd.read_csv(REPORT / "coverage.csv")
    complete(cells)
    words = (REPORT / "README.md").read_text(encoding="utf-8")
    for row in cells.itertuples():
        assert f"| {row.market} | {row.measure} | {row.sample} | {row.estimand:.4f} | {row.coverage:.1%} |" in words


def complete(cells: pd.DataFrame) -> None:
    """A thousand simulations of every market, sample and measure, ; nothing required is outside the band."""
    assert len(cells) == len(MARKETS) * len(SAMPLES) * 10
    assert (cells["n"] + cells["withheld"] >= 1000).all()
    assert outside(cells).empty, outside(cells)


@pytest.mark.slow
def test_a_thousand_simulations_lie_in_the_band(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["study", "--simulations", "1000", "--out", str(tmp_path)])
    main()
    complete(pd.read_csv(tmp_path / "coverage.csv"))
