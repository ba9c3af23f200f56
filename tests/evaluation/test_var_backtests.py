"""Backtests of tails whose truth is known: size, power, planted faults, and what is withheld."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from glassbox_bt.evaluation import _var_draws
from glassbox_bt.evaluation._var_panels import NEXT_RETURN, TailPanel, joined, tail_panels
from glassbox_bt.evaluation.statistics import plain
from glassbox_bt.evaluation.tail_contests import RIVALS, joint_loss, tail_contest_rows, unit_tail
from glassbox_bt.evaluation.var_backtests import (
    TESTS,
    TailBacktest,
    exceedance_rows,
    tail_backtests,
    tail_rows,
    tail_test_rows,
    tail_verdicts,
)
from glassbox_bt.market.labels import next_log_return_1d
from tests.evaluation.tails import garch_panel

LEVEL = 0.95


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As few draws as a long sample has."""
    monkeypatch.setattr(_var_draws, "CELLS", 1)
    yield


def of(panel: TailPanel, seed: int = 7) -> dict[int, TailBacktest]:
    """The backtests of one test year, by level."""
    return {one.level: one for one in tail_backtests({1: panel}, seed) if one.chunk == 1}


def within(count: int, n: int, rate: float) -> bool:
    low, high = stats.binom.ppf([1e-4, 1.0 - 1e-4], n, rate)
    return bool(low <= count <= high)


def test_size_of_every_test_where_the_tail_is_true() -> None:
    """150 independent names with GARCH-t returns and their true tail; counts of rejections within binomial bounds.

    Kupiec's counts are discrete, so its test rejects less often; the tail beyond 99 % has the shape of the draws but for a
    little, so *Z1* may reject a little more.
    """
    found = of(garch_panel(np.random.default_rng(1), 250, 150))
    for one in found.values():
        for test in TESTS:
            p_values = one.p_values[test][np.isfinite(one.p_values[test])]
            assert len(p_values) > 80, (one.level, test)
            for alpha in (0.05, 0.1, 0.5):
                rejected, n = int((p_values <= alpha).sum()), len(p_values)
                if test == "coverage":
                    assert rejected <= stats.binom.ppf(1.0 - 1e-4, n, alpha), (one.level, test)
                elif test == "severity":
                    assert within(rejected, n, alpha) or within(rejected, n, 1.3 * alpha), (one.level, test)
                else:
                    assert within(rejected, n, alpha), (one.level, test, alpha, rejected, n)


def test_power_against_one_normal_for_all_days() -> None:
    """No single normal describes GARCH-t returns: too deep beyond the quantile, and in clusters."""
    rng = np.random.default_rng(2)
    false, true = (garch_panel(rng, 750, 25, wrong=wrong) for wrong in (True, False))
    said = {
        wrong: {(row["level"], row["test"]): row for row in rows_of_tests(one)} for wrong, one in ((1, false), (0, true))
    }
    for test in ("severity", "dynamic", "tail_loss"):
        assert said[1][99, test]["n_flagged"] >= 8, test
        assert said[1][99, test]["n_flagged"] > 3 * said[0][99, test]["n_flagged"]
    assert sum(row["n_flagged_any"] for row in said[0].values()) <= 3
    assert all(row["n_flagged_any"] <= row["n_flagged"] <= row["n_below"] for row in (*said[0].values(), *said[1].values()))


def rows_of_tests(panel: TailPanel) -> list[dict[str, Any]]:
    return [row for row in tail_test_rows(list(of(panel).values()), LEVEL) if row["chunk"] == 1]


def verdicts(panel: TailPanel) -> dict[tuple[str, int], dict[str, Any]]:
    return {(row["figure"], row["level"]): row for row in tail_verdicts({1: panel}, LEVEL) if row["chunk"] == 1}


def test_verdicts_survive_names_that_fall_together() -> None:
    """Twenty names with a common factor: rows would have rejected; days in blocks hardly ever do."""
    rng = np.random.default_rng(3)
    found = [verdicts(garch_panel(rng, 250, 20, common=0.4)) for _ in range(60)]
    for figure in ("rate", "clustering", "severity", "tail_loss"):
        for level in (95, 99):
            rejected = sum(
                one[figure, level]["p_value"] < 0.05 for one in found if one[figure, level]["verdict"] != "not tested"
            )
            assert rejected <= stats.binom.ppf(1.0 - 1e-3, len(found), 0.05), (figure, level, rejected)
    naive = [stats.binomtest(round(one["rate", 95]["estimate"] * 5000), 5000, 0.05).pvalue < 0.05 for one in found]
    assert np.mean(naive) > 0.25


def test_verdicts_tell_a_true_tail_from_a_false_one() -> None:
    rng = np.random.default_rng(5)
    panels = [garch_panel(rng, 1000, 20, common=0.3, wrong=wrong) for wrong in (False, True)]
    true, false = (verdicts(one) for one in panels)
    assert true["rate", 95]["verdict"] == "supported"
    assert true["severity", 95]["verdict"] == "supported"
    assert false["severity", 99]["verdict"] == "refuted"
    assert false["severity", 99]["estimate"] < -0.1
    halved = replace(panels[0], stated={name: 0.6 * values for name, values in panels[0].stated.items()})
    found = verdicts(halved)
    assert found["rate", 95]["verdict"] == "refuted"
    assert found["tail_loss", 95]["verdict"] == "refuted"
    assert found["rate", 95]["low"] > 0.05
    assert all(row["low"] <= row["estimate"] <= row["high"] for row in found.values() if row["verdict"] != "not tested")


def test_too_few_exceedances_are_no_cluster() -> None:
    """Twice the true tail: hardly a day of loss, which says something of the rate and nothing of clusters or depth."""
    panel = garch_panel(np.random.default_rng(15), 250, 20, common=0.3)
    found = verdicts(replace(panel, stated={name: 2.5 * values for name, values in panel.stated.items()}))
    assert found["rate", 95]["estimate"] < 0.01
    for level in (95, 99):
        assert found["clustering", level]["verdict"] in ("underpowered", "not tested")
        assert found["severity", level]["verdict"] in ("underpowered", "not tested")
        assert found["tail_loss", level]["verdict"] != "refuted"


def test_a_value_at_risk_with_the_sign_of_a_loss_is_refuted() -> None:
    """D-VAR-01's cousin: magnitudes where returns are meant. Nearly every day is then an exceedance."""
    panel = garch_panel(np.random.default_rng(5), 150, 10)
    turned = replace(panel, stated={name: -values for name, values in panel.stated.items()})
    assert all(row["rate"] > 0.9 and "coverage" in row["flagged"] for row in rows(turned, 95))
    assert not any(row["flagged"] for row in rows(panel, 95))


def test_filled_bars_would_hide_exceedances() -> None:
    """D-VAR-03: a carried close is a return of 0 and never an exceedance; a session without a bar is no day at all."""
    panel = garch_panel(np.random.default_rng(6), 600, 10)
    hole = np.random.default_rng(7).random(panel.realised.shape) < 0.5
    filled = replace(panel, realised=np.where(hole, 0.0, panel.realised))
    honest = replace(panel, realised=np.where(hole, np.nan, panel.realised))
    assert all(row["n_days"] == 600 and row["rate"] < 0.045 for row in rows(filled, 95))
    assert sum("coverage" in row["flagged"] for row in rows(filled, 95)) >= 7
    assert sum("coverage" in row["flagged"] for row in rows(honest, 95)) == 0
    assert all(row["n_days"] < 400 for row in rows(honest, 95))


def rows(panel: TailPanel, level: int) -> list[dict[str, Any]]:
    return [row for row in tail_rows(list(of(panel).values()), LEVEL) if row["level"] == level]


def test_the_outcome_is_the_session_after_the_forecast() -> None:
    """D-VAR-02's cousin: a value at risk that already holds the return it is compared with."""
    returns = np.arange(1.0, 13.0).reshape(6, 2) / 100.0
    columns = {"log_return_1d": returns, "mark": np.ones((6, 2))}
    found = next_log_return_1d(columns, np.array([1, 2, 3]))
    np.testing.assert_array_equal(found[:2], returns[2:4])
    assert np.isnan(found[2]).all()  # the session after the split is not its own
    poisoned = {**columns, "log_return_1d": np.where(np.arange(6)[:, None] > 3, 9.9, returns)}
    np.testing.assert_array_equal(next_log_return_1d(poisoned, np.array([1, 2, 3])), found)


def test_a_name_that_is_booked_out_keeps_its_loss() -> None:
    nothing = np.full((4, 2), np.nan)
    price = nothing.copy()
    price[2, 0], price[2, 1] = 70.0, 0.0
    columns = {"log_return_1d": nothing, "mark": np.full((4, 2), 100.0), "delist_price": price}
    found = next_log_return_1d(columns, np.arange(4))
    np.testing.assert_allclose(found[1], np.log([0.7, 0.01]))
    assert np.isnan(found[[0, 2, 3]]).all()


def test_too_little_is_not_tested_and_says_why() -> None:
    panel = garch_panel(np.random.default_rng(8), 90, 3)
    thin = panel.realised.copy()
    thin[30:, 0] = np.nan
    found = {(row["level"], row["ticker"]): row for level in (95, 99) for row in rows(replace(panel, realised=thin), level)}
    assert found[95, "N000"]["withheld"] == "30 days with forecast and outcome; a test needs 60"
    assert found[95, "N001"]["withheld"] is None
    assert found[99, "N001"]["withheld"] == "0.9 exceedances expected in 90 days; a test needs 1"
    assert all(math.isnan(found[99, "N001"][f"{test}_p"]) for test in TESTS)
    assert found[99, "N001"]["flagged"] == ""


def test_an_expected_shortfall_that_is_missing_silences_its_tests_alone() -> None:
    panel = garch_panel(np.random.default_rng(9), 250, 2)
    lost = {**panel.stated, "cvar_95": np.full(panel.realised.shape, np.nan)}
    one = of(replace(panel, stated=lost))[95]
    assert np.isnan(one.p_values["severity"]).all()
    assert np.isnan(one.p_values["tail_loss"]).all()
    assert np.isfinite(one.p_values["dynamic"]).all()


def test_other_names_and_seeds_do_not_move_a_p_value() -> None:
    panel = garch_panel(np.random.default_rng(10), 250, 4)
    fewer = replace(
        panel,
        tickers=panel.tickers[1:],
        realised=panel.realised[:, 1:],
        stated={name: values[:, 1:] for name, values in panel.stated.items()},
    )
    for level in (95, 99):
        whole, part, again = of(panel)[level], of(fewer)[level], of(panel)[level]
        for test in TESTS:
            np.testing.assert_array_equal(whole.p_values[test][1:], part.p_values[test])
            np.testing.assert_array_equal(whole.p_values[test], again.p_values[test])
    other = of(panel, seed=8)[95]
    assert not np.array_equal(other.p_values["dynamic"], of(panel)[95].p_values["dynamic"])
    np.testing.assert_array_equal(other.p_values["coverage"], of(panel)[95].p_values["coverage"])


def test_test_years_are_joined_over_all_their_names() -> None:
    rng = np.random.default_rng(11)
    first, second = garch_panel(rng, 80, 3), garch_panel(rng, 70, 2, first="2005-01-01")
    second = replace(second, tickers=("N001", "N009"))
    both = joined([first, second])
    assert both.tickers == ("N000", "N001", "N002", "N009")
    assert [(year.start, year.stop) for year in both.years()] == [(0, 80), (80, 150)]
    assert np.isnan(both.realised[:80, 3]).all()
    np.testing.assert_array_equal(both.realised[80:, 1], second.realised[:, 0])
    assert not both.after(both.usable(95), 4)[80:84].any()
    assert both.after(both.usable(95), 4)[84, 1]


def written(run: Path, panel: TailPanel, *, with_returns: bool = True) -> dict[int, pd.DataFrame]:
    """The files of a run with one chunk, and its outcomes; the names in falling order."""
    day, name = np.nonzero(np.ones(panel.realised.shape, dtype=bool))
    keys = {"date": panel.days[day].astype("datetime64[ms]"), "ticker": np.array(panel.tickers, dtype=object)[name]}
    for module in ("var", "cvar"):
        columns = {f"{module}_{level}": panel.stated[f"{module}_{level}"][day, name] for level in (95, 99)}
        (run / "modules" / module).mkdir(parents=True)
        table = pd.DataFrame({**keys, **columns, "known": np.isfinite(columns[f"{module}_95"])})
        table.iloc[::-1].to_parquet(run / "modules" / module / "chunk1_test.parquet", index=False)
    outcome = {NEXT_RETURN: panel.realised[day, name]} if with_returns else {}
    return {1: pd.DataFrame({**keys, **outcome})}


def test_panels_are_what_the_run_recorded(tmp_path: Path) -> None:
    panel = garch_panel(np.random.default_rng(12), 70, 3)
    panel.stated["var_95"][5, 1] = np.nan
    found = tail_panels(tmp_path, written(tmp_path, panel))[1]
    assert found.tickers == panel.tickers
    np.testing.assert_array_equal(found.days.astype("datetime64[D]"), panel.days)
    np.testing.assert_array_equal(found.realised, panel.realised)
    assert np.isnan(found.stated["var_99"][5, 1])  # the module did not know
    said = exceedance_rows({1: found})
    assert [row["n_names"] for row in said[4:7]] == [3, 2, 3]
    assert sum(row["hits_95"] for row in said) == int(found.hits(95).sum())
    assert said[0]["date"] == "2001-01-01"
    json.dumps(
        plain([said, tail_rows(tail_backtests({1: found}, 7), LEVEL), tail_verdicts({1: found}, LEVEL)]), allow_nan=False
    )


def test_the_joint_loss_is_smallest_at_the_truth() -> None:
    returns = stats.t.rvs(5.0, size=400_000, random_state=1) * math.sqrt(3.0 / 5.0)
    for rate in (0.05, 0.01):
        var, cvar = unit_tail(RIVALS[1], rate)
        mean = {
            (one, other): float(joint_loss(returns, np.full(1, one * var), np.full(1, other * cvar), rate).mean())
            for one, other in ((1.0, 1.0), (0.85, 1.0), (1.15, 1.0), (1.0, 0.85), (1.0, 1.15))
        }
        assert min(mean, key=lambda key: mean[key]) == (1.0, 1.0)
    pair = joint_loss(np.array([-3.0, 0.0]), np.array([-1.0, -1.0]), np.array([-2.0, -2.0]), 0.05)
    np.testing.assert_allclose(pair, [2.0 / 0.1 + 0.5 + math.log(2.0) - 1.0, 0.5 + math.log(2.0) - 1.0])
    assert np.isnan(joint_loss(np.array([np.nan, 0.0]), np.full(2, -1.0), np.array([-1.0, 0.5]), 0.05)).all()


def test_a_true_tail_beats_a_normal_one(tmp_path: Path) -> None:
    panel = garch_panel(np.random.default_rng(14), 500, 20)
    outcomes = written(tmp_path, panel)
    keys = outcomes[1][["date", "ticker"]]
    var, _ = unit_tail(RIVALS[1], 0.05)  # the panel's own shocks
    deviation = panel.stated["var_95"] / var
    (tmp_path / "modules" / "volatility").mkdir()
    exact = keys.assign(ewma_vol=deviation.ravel() * math.sqrt(252.0), known=True)
    exact.to_parquet(tmp_path / "modules" / "volatility" / "chunk1_test.parquet", index=False)
    found = {
        (row["level"], row["rival"]): row for row in tail_contest_rows(tmp_path, tail_panels(tmp_path, outcomes), LEVEL)
    }
    assert found[99, "EWMA normal"]["verdict"] == "supported"
    assert found[99, "EWMA Student-t"]["estimate"] == pytest.approx(0.0, abs=1e-12)
    assert found[95, "EWMA normal"]["n_rows"] == 10_000
    assert tail_contest_rows(tmp_path / "nowhere", {1: panel}, LEVEL) == []


def test_a_run_without_the_next_return_has_no_backtests(tmp_path: Path) -> None:
    outcomes = written(tmp_path, garch_panel(np.random.default_rng(13), 70, 2), with_returns=False)
    assert tail_panels(tmp_path, outcomes) == {}
    assert tail_backtests({}, 7) == []
    assert tail_verdicts({}, LEVEL) == []
    assert exceedance_rows({}) == []
