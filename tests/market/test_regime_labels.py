from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from glassbox_bt.errors import MarketDataError
from glassbox_bt.market.graph import GraphRule, snapshot_days, snapshots
from glassbox_bt.market.ingest import build_store
from glassbox_bt.market.regime_labels import (
    AHEAD,
    CLAUSES,
    GRAPH_STALE_SESSIONS,
    MEASURES,
    REGIME_LABELS,
    RegimeRule,
    build_regime_labels,
    changed_within,
    market_measures,
)
from glassbox_bt.market.schemas import validated
from glassbox_bt.market.sources.synthetic import SyntheticMarket
from glassbox_bt.market.store import MarketStore
from glassbox_bt.types import AnyArray, FloatArray
from tests.builders import tiny_store

NAMES = [name for name in MEASURES if not name.startswith("macro.")] + ["market_vol_5d", "market_vol_252d"]


def measured(store: MarketStore, upto: int | None = None, **kwargs: pd.DataFrame) -> dict[str, FloatArray]:
    rows = slice(None, upto)
    columns = {name: values[rows] for name, values in store.columns.items()}
    return market_measures(columns, store.tickers, store.decided_at[rows], **kwargs)


def grid(store: MarketStore) -> FloatArray:
    return np.stack([store.columns[name] for name in MEASURES], axis=-1)


def test_no_measure_sees_the_future() -> None:
    store = tiny_store(330, 6)
    whole = measured(store)
    for upto in range(60, 330, 9):
        for name, values in measured(store, upto).items():
            np.testing.assert_array_equal(values, whole[name][:upto], err_msg=f"{name} {upto}")


def test_d_gra_01_a_graph_dated_by_its_first_day_is_caught() -> None:
    """The planted fault moves each measure to the start of its window: it changes when the future does."""
    store = tiny_store(200, 6)

    def by_end(columns: dict[str, AnyArray]) -> FloatArray:
        return market_measures(columns, store.tickers, store.decided_at[: len(columns["member"])])["graph_density_30d"]

    def by_start(columns: dict[str, AnyArray]) -> FloatArray:
        values, early = by_end(columns), GraphRule().window - 1
        return np.append(values[early:], np.full(early, np.nan))

    def is_prefix_invariant(build: Callable[[dict[str, AnyArray]], FloatArray]) -> bool:
        columns = dict(store.columns)
        return all(
            np.array_equal(build({n: v[:upto] for n, v in columns.items()}), build(columns)[:upto], equal_nan=True)
            for upto in range(60, 200, 7)
        )

    assert is_prefix_invariant(by_end)
    assert not is_prefix_invariant(by_start)


def test_the_graph_is_that_of_the_snapshots() -> None:
    store = tiny_store(300, 6, seed=4)
    values = measured(store)
    days = snapshot_days(300, GraphRule())
    for snapshot in snapshots(store.columns, days):
        assert values["graph_density_30d"][snapshot.as_of] == pytest.approx(snapshot.density)
        assert values["graph_mean_abs_correlation_30d"][snapshot.as_of] == pytest.approx(snapshot.mean_abs_correlation)
        nxt = min(snapshot.as_of + 19, 299)
        assert values["graph_density_30d"][nxt] == values["graph_density_30d"][snapshot.as_of]


def test_an_old_snapshot_is_missing_after_forty_sessions() -> None:
    store = tiny_store(300, 6)
    close = store.columns["close"].copy()
    close[100:] = np.nan
    values = market_measures({**store.columns, "close": close}, store.tickers, store.decided_at)
    last = int(np.flatnonzero(np.isfinite(values["graph_density_30d"]))[-1])
    assert np.isnan(values["graph_density_30d"][last + 1 :]).all()
    assert last <= 100 + 10 + GRAPH_STALE_SESSIONS


def test_measures_of_plain_paths() -> None:
    store = tiny_store(300, 4)
    rising = np.full(300, 0.01)
    columns = {**store.columns, "benchmark_log_return_1d": rising, "benchmark_mark": np.exp(np.cumsum(rising))}
    flat = market_measures(columns, store.tickers, store.decided_at)
    np.testing.assert_allclose(flat["market_vol_21d"][30:], 0.0, atol=1e-12)
    np.testing.assert_allclose(flat["market_return_21d"][30:], 0.21)
    np.testing.assert_allclose(flat["market_drawdown_63d"][30:], 0.0, atol=1e-12)
    level = np.ones(300)
    level[200:] = 0.9
    fell = market_measures({**columns, "benchmark_mark": level}, store.tickers, store.decided_at)["market_drawdown_63d"]
    np.testing.assert_allclose(fell[200:262], 0.1)
    np.testing.assert_allclose(fell[263:], 0.0, atol=1e-12)  # the peak has left the window


def test_outcomes_are_of_the_next_twenty_sessions_alone() -> None:
    store = tiny_store(300, 6)
    labels = build_regime_labels(store.columns, store.decided_at)
    assert tuple(labels) == REGIME_LABELS
    day, returns = 150, store.columns["benchmark_log_return_1d"]
    ahead = returns[day + 1 : day + 1 + AHEAD]
    assert labels["forward_market_vol_21d"].values[day] == pytest.approx(np.sqrt(252) * ahead.std(ddof=1))
    assert labels["forward_market_return_21d"].values[day] == pytest.approx(ahead.sum())
    assert labels["forward_graph_density_30d"].values[day] == store.columns["graph_density_30d"][day + AHEAD]
    for label in labels.values():
        assert np.isnan(label.values[-AHEAD:]).all()
        assert label.known_at[day] == store.decided_at[day + AHEAD]
        assert np.isnat(label.known_at[-AHEAD:]).all()


def test_a_train_view_purges_what_is_known_later() -> None:
    store = tiny_store(300, 6)
    view = store.train_view(np.arange(100, 200), (), REGIME_LABELS, np.arange(6))
    values = view.label("forward_market_vol_21d")
    assert values.shape == (100, 6)
    assert np.isfinite(values[: 100 - AHEAD]).all()
    assert np.isnan(values[100 - AHEAD :]).all()


# the rule


def rule_of(n: int = 1000, seed: int = 0) -> tuple[RegimeRule, FloatArray]:
    rng = np.random.default_rng(seed)
    measures = np.abs(rng.standard_normal((n, len(MEASURES))))
    measures[:, 2] *= 0.02
    measures[:, 4] = rng.random(n) < 0.1
    return RegimeRule.fit(measures), measures


def row(**values: float) -> FloatArray:
    """A quiet day, but for what is named."""
    names = ("vol", "ret", "drawdown", "credit", "inverted", "density", "correlation", "concentration")
    quiet = {name: 0.01 if name == "ret" else 0.0 for name in names}
    return np.array([[({**quiet, **values})[name] for name in names]])


@pytest.mark.parametrize(
    ("clause", "code"),
    [
        (lambda r: {"vol": r.p90[0]}, 2),
        (lambda r: {"credit": r.p90[3]}, 2),
        (lambda _: {"inverted": 1.0, "ret": -0.031}, 2),
        (lambda _: {"drawdown": 0.081}, 2),
        (lambda r: {"density": r.p90[5], "correlation": r.p75[6]}, 2),
        (lambda r: {"vol": r.p75[0]}, 1),
        (lambda r: {"credit": r.p75[3]}, 1),
        (lambda _: {"inverted": 1.0}, 1),
        (lambda r: {"density": r.p75[5]}, 1),
        (lambda _: {"drawdown": 0.041}, 1),
        (lambda r: {"concentration": r.p75[7], "density": r.p50[5]}, 3),
        (lambda r: {"concentration": r.p75[7]}, 0),
        (lambda _: {}, 0),
    ],
    ids=[f"clause-{number}" for number in range(13)],
)
def test_each_clause(clause: Callable[[RegimeRule], dict[str, float]], code: int) -> None:
    rule, _ = rule_of()
    assert rule.missing == ()
    assert rule.codes(row(**clause(rule)), strict=True)[0] == code


def test_percentiles_are_of_train_alone() -> None:
    """A later, wilder year changes no threshold and so no label of train."""
    rule, measures = rule_of()
    assert rule.p90[0] == np.quantile(measures[:, 0], 0.9)
    planted = RegimeRule.fit(np.vstack([measures, 10.0 * measures]))  # the fault: percentiles of the full sample
    assert (planted.codes(measures) != rule.codes(measures)).mean() > 0.1


def test_absent_clauses_are_dropped_and_listed() -> None:
    rule, measures = rule_of()
    measures[:, 3] = np.nan
    measures[50:, 7] = np.nan  # known on 5 % of train
    less = RegimeRule.fit(measures)
    assert less.missing == ("crisis and volatile: credit spread", "rotation: concentration in sectors")
    assert less.possible.tolist() == [True, True, True, False]
    assert not (less.codes(measures) == 3).any()
    assert less.silent_clauses(measures[:2]).tolist() == [2.0, 2.0]
    assert len(CLAUSES) == 8
    assert rule.silent_clauses(measures[-1:]).tolist() == [2.0]  # in use, but missing that day


def test_a_missing_measure_makes_an_outcome_unknown_but_not_the_nowcast() -> None:
    rule, _ = rule_of()
    day = row(credit=np.nan, vol=float(rule.p90[0]))
    assert rule.codes(day)[0] == 2
    assert np.isnan(rule.codes(day, strict=True)[0])
    assert np.isnan(rule.codes(row(vol=np.nan))[0])


def test_stress_scores_keep_to_what_is_there() -> None:
    rule, _ = rule_of()
    half = row(vol=float(rule.p90[0]) / 2, credit=np.nan, inverted=np.nan)
    assert rule.macro_stress(half)[0] == pytest.approx(0.5)
    full = row(vol=float(rule.p90[0]), credit=float(rule.p90[3]), inverted=1.0)
    assert rule.macro_stress(full)[0] == pytest.approx(1.0)
    assert rule.graph_stress(row(density=float(rule.p90[5]), correlation=0.0))[0] == pytest.approx(0.5)
    assert np.isnan(rule.macro_stress(np.full((1, 8), np.nan)))[0]


def test_a_state_comes_back() -> None:
    rule, measures = rule_of()
    back = RegimeRule.restore(rule.arrays("rule"), "rule")
    np.testing.assert_array_equal(back.codes(measures), rule.codes(measures))


def test_changes_within_twenty_sessions() -> None:
    codes = np.zeros(60)
    codes[30] = 1.0
    changed = changed_within(codes, np.arange(60))
    assert changed[9] == 0.0
    assert (changed[10:40] == 1.0).sum() == 21  # 20 days that look forward to it and the day itself
    assert np.isnan(changed[40:]).all()
    codes[5] = np.nan
    assert np.isnan(changed_within(codes, np.arange(60))[:6]).all()
    gap = np.append(np.arange(30), np.arange(31, 61))
    assert np.isnan(changed_within(np.zeros(60), gap)[10:30]).all()


# schemas


def test_d_reg_03_sectors_under_another_name_are_refused() -> None:
    table = pd.DataFrame({"ticker": ["A"], "gics_sector": ["Energy"], "known_at": pd.to_datetime(["2000-01-03"], utc=True)})
    with pytest.raises(MarketDataError, match="no column `sector`"):
        validated("sectors", table)
    validated("sectors", table.rename(columns={"gics_sector": "sector"}))


def test_d_reg_04_an_issuer_map_under_another_name_is_refused() -> None:
    with pytest.raises(MarketDataError, match="no column `ticker`"):
        validated("ticker_map", pd.DataFrame({"primary_ticker": ["A"], "price_ticker": ["A"]}))
    validated("ticker_map", pd.DataFrame({"ticker": ["A"], "price_ticker": ["A"]}))


def test_sectors_serve_rotation_only_where_they_are_dated() -> None:
    raw = SyntheticMarket(last="2000-06-30", n_names=8, text=False, delistings=0, halts=0, splits=0).raw()
    store = build_store(raw)
    days = np.arange(200, store.n_sessions)
    assert "rotation: concentration in sectors" not in RegimeRule.fit(grid(store)[days]).missing
    concentration = store.columns["graph_sector_concentration_30d"][days]
    assert 0.0 < np.nanmean(concentration) < 1.0
    assert raw.sectors is not None
    undated = raw.sectors.assign(known_at=pd.NaT)
    assert np.isnan(measured(store, sectors=undated)["graph_sector_concentration_30d"]).all()
    assert np.isnan(measured(store)["graph_sector_concentration_30d"]).all()
