from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glassbox_bt.errors import ContractError
from glassbox_bt.market.features import ENCODER_FEATURES, FEATURES, build_features
from glassbox_bt.types import AnyArray, FloatArray
from tests.builders import base_columns

RECURSIVE = {"rsi_14", "macd_hist"}


def one_name(close: FloatArray, **columns: AnyArray) -> dict[str, AnyArray]:
    """Columns of a market with one name: a flat bar at each close, volume 1,000."""
    price = np.asarray(close, dtype=np.float64)[:, None]
    volume = np.where(np.isfinite(price), 1000.0, np.nan)
    base = dict.fromkeys(("open", "high", "low", "close", "raw_close"), price)
    base |= {"volume": volume, "raw_volume": volume}
    return {**base, "benchmark_log_return_1d": np.zeros(len(price)), **columns}


def cut(columns: Mapping[str, AnyArray], rows: slice) -> dict[str, AnyArray]:
    return {name: values[rows] for name, values in columns.items()}


def walk(n_sessions: int, seed: int = 3) -> FloatArray:
    steps = 0.01 * np.random.default_rng(seed).standard_normal(n_sessions)
    return 50.0 * np.exp(np.cumsum(steps))


def test_prefix_invariance_at_every_row() -> None:
    columns = base_columns(n_sessions=330, n_assets=5, seed=1)
    whole = build_features(columns)
    for n_rows in range(1, 331):
        prefix = build_features(cut(columns, slice(0, n_rows)))
        for name, values in prefix.items():
            np.testing.assert_array_equal(values, whole[name][:n_rows], err_msg=name)


@settings(max_examples=15, deadline=None)
@given(start=st.integers(1, 60), seed=st.integers(0, 99))
def test_a_window_feature_depends_on_nothing_before_its_window(start: int, seed: int) -> None:
    columns = base_columns(n_sessions=340, n_assets=4, seed=seed)
    whole = build_features(columns)
    late = build_features(cut(columns, slice(start, None)))
    for name in set(FEATURES) - RECURSIVE:
        np.testing.assert_array_equal(late[name][260:], whole[name][start + 260 :], err_msg=name)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 999))
def test_ranges(seed: int) -> None:
    features = build_features(base_columns(n_sessions=300, n_assets=4, seed=seed))
    bounds = {
        "rsi_14": (0.0, 100.0),
        "price_pos": (0.0, 1.0),
        "spy_corr_63d": (-1.0, 1.0),
        "vol_5d": (0.0, np.inf),
        "hl_ratio": (0.0, np.inf),
    }
    for name, (low, high) in bounds.items():
        values = features[name][np.isfinite(features[name])]
        assert values.size > 0
        assert values.min() >= low
        assert values.max() <= high


def test_windows_equal_pandas_from_scratch() -> None:
    columns = base_columns(n_sessions=320, n_assets=1, seed=5)
    features = {name: values[:, 0] for name, values in build_features(columns).items()}
    close, volume = pd.Series(columns["close"][:, 0]), pd.Series(columns["volume"][:, 0])
    returns = close.apply(np.log).diff()
    benchmark = pd.Series(columns["benchmark_log_return_1d"])
    fast, slow = (close.ewm(span=n, adjust=False).mean() for n in (12, 26))
    histogram = (fast - slow) - (fast - slow).ewm(span=9, adjust=False).mean()
    gain, loss = ((sign * close.diff()).clip(lower=0.0).ewm(alpha=1 / 14, adjust=False).mean() for sign in (1, -1))
    mean, sd = close.rolling(20).mean(), close.rolling(20).std()
    low, high = close.rolling(21).min(), close.rolling(21).max()
    expected = {
        "log_return_1d": returns,
        "simple_return_1d": close.pct_change(),
        "vol_5d": returns.rolling(5).std() * np.sqrt(252),
        "vol_21d": returns.rolling(21).std() * np.sqrt(252),
        "rsi_14": (100 - 100 / (1 + gain / loss)).where(np.arange(320) >= 14),
        "macd_hist": (histogram / close).where(np.arange(320) >= 33),
        "bb_pos": (close - (mean - 2 * sd)) / (4 * sd),
        "price_pos": (close - low) / (high - low),
        "hl_ratio": pd.Series((columns["high"] - columns["low"])[:, 0]) / close,
        "volume_ratio": volume / volume.rolling(21).mean(),
        "volume_zscore": (volume - volume.rolling(21).mean()) / volume.rolling(21).std(),
        "turnover_proxy": volume / volume.rolling(252).mean(),
        "dollar_volume": close * volume,
        "adv_21d": (close * volume).rolling(21).median(),
        "spy_corr_63d": returns.rolling(63).corr(benchmark),
    }
    assert set(expected) == set(FEATURES)
    for name, series in expected.items():
        np.testing.assert_allclose(features[name], series.to_numpy(), rtol=1e-9, atol=1e-9, err_msg=name)


def test_encoder_order_is_fixed() -> None:
    assert ENCODER_FEATURES == (
        "log_return_1d",
        "vol_5d",
        "vol_21d",
        "rsi_14",
        "macd_hist",
        "bb_pos",
        "volume_ratio",
        "hl_ratio",
        "price_pos",
        "spy_corr_63d",
    )
    assert set(ENCODER_FEATURES) < set(FEATURES)


def test_a_constant_market() -> None:
    features = build_features(one_name(np.full(300, 40.1)))
    last = {name: float(values[-1, 0]) for name, values in features.items()}
    for name in ("log_return_1d", "simple_return_1d", "vol_5d", "vol_21d", "hl_ratio"):
        assert last[name] == 0.0, name
    assert last["macd_hist"] == pytest.approx(0.0, abs=1e-15)
    assert last["volume_ratio"] == last["turnover_proxy"] == 1.0
    for name in ("bb_pos", "price_pos", "volume_zscore", "spy_corr_63d"):
        assert np.isnan(last[name]), f"{name} has no width, range or spread to be measured in"


def test_d_fea_03_rsi_at_its_ends() -> None:
    def last_rsi(close: FloatArray) -> float:
        return float(FEATURES["rsi_14"](one_name(close))[-1, 0])

    assert last_rsi(np.linspace(10.0, 20.0, 40)) == 100.0
    assert last_rsi(np.linspace(20.0, 10.0, 40)) == 0.0
    assert last_rsi(np.full(40, 10.0)) == 50.0


def test_d_fea_01_02_05_a_later_split_changes_no_earlier_feature() -> None:
    columns = base_columns(n_sessions=300, n_assets=2, seed=2)
    restated = dict(columns)
    for name in ("open", "high", "low", "close"):
        restated[name] = columns[name] * 0.25  # a 4:1 split after the data end rescales the past
    restated["volume"] = columns["volume"] * 4.0
    before, after = build_features(columns), build_features(restated)
    for name in FEATURES:
        np.testing.assert_allclose(after[name], before[name], rtol=1e-9, atol=1e-12, err_msg=name)
    np.testing.assert_array_equal(after["dollar_volume"], before["dollar_volume"])


def test_d_fea_04_benchmark_is_joined_by_session_and_a_missing_day_is_missing() -> None:
    close = walk(150)
    returns = np.diff(np.log(close), prepend=np.nan)
    holes = np.isin(np.arange(150), [90, 100])
    benchmark = np.where(holes, np.nan, 2.0 * returns)
    corr = FEATURES["spy_corr_63d"](one_name(close, benchmark_log_return_1d=benchmark))[:, 0]
    assert np.isnan(corr[holes]).all()
    known = corr[63:][~holes[63:]]
    np.testing.assert_allclose(known, 1.0, rtol=1e-12)


def test_d_fea_06_a_missing_return_is_not_a_zero() -> None:
    close = walk(60)
    close[40] = np.nan
    vol = FEATURES["vol_21d"](one_name(close))[:, 0]
    bars = np.log(close[~np.isnan(close)])
    observed = np.diff(bars)[-20:]  # 21 sessions up to row 59 hold one without a bar
    assert vol[59] == pytest.approx(observed.std(ddof=1) * np.sqrt(252), rel=1e-12)
    assert np.isnan(vol[40])


@pytest.mark.parametrize("gap", [1, 3, 5])
def test_returns_over_a_halt_add_up_to_the_holding_return(gap: int) -> None:
    close = walk(40)
    close[20 : 20 + gap] = np.nan
    columns = one_name(close)
    log_returns = FEATURES["log_return_1d"](columns)[:, 0]
    assert np.isnan(log_returns[20 : 20 + gap]).all()
    assert np.nansum(log_returns) == pytest.approx(np.log(close[-1] / close[0]), rel=1e-12)
    held = np.nanprod(1.0 + FEATURES["simple_return_1d"](columns)[:, 0])
    assert held == pytest.approx(close[-1] / close[0], rel=1e-12)


def test_d_mkt_02_no_return_after_the_mark_has_lapsed() -> None:
    close = walk(120)
    close[50:56] = np.nan
    columns = one_name(close)
    assert np.isnan(FEATURES["log_return_1d"](columns)[56, 0])
    rsi = FEATURES["rsi_14"](columns)[:, 0]
    fresh = FEATURES["rsi_14"](one_name(close[56:]))[:, 0]
    np.testing.assert_array_equal(rsi[56:], fresh)  # the recursion starts anew


def test_a_window_needs_seventy_per_cent_of_its_bars() -> None:
    enough, too_few = walk(61), walk(61)
    enough[41:47] = np.nan  # 15 of the last 21 bars
    too_few[41:48] = np.nan  # 14
    assert np.isfinite(FEATURES["volume_ratio"](one_name(enough))[60, 0])
    assert np.isnan(FEATURES["volume_ratio"](one_name(too_few))[60, 0])


def test_adv_stays_known_through_a_halt() -> None:
    close = walk(60)
    close[55:] = np.nan
    adv = FEATURES["adv_21d"](one_name(close))[:, 0]
    assert adv[59] == pytest.approx(np.nanmedian(close[39:60]) * 1000.0)


def test_warm_up_ends_when_the_window_is_complete() -> None:
    columns = base_columns(n_sessions=300, n_assets=1)
    first = {name: int(np.argmax(np.isfinite(values[:, 0]))) for name, values in build_features(columns).items()}
    assert first == {
        "log_return_1d": 1,
        "vol_5d": 5,
        "vol_21d": 21,
        "rsi_14": 14,
        "macd_hist": 33,
        "bb_pos": 19,
        "volume_ratio": 20,
        "hl_ratio": 0,
        "price_pos": 20,
        "spy_corr_63d": 63,
        "dollar_volume": 0,
        "volume_zscore": 20,
        "turnover_proxy": 251,
        "simple_return_1d": 1,
        "adv_21d": 20,
    }


def test_a_market_without_volume_or_range_lacks_those_features_only() -> None:
    columns = base_columns(n_sessions=300, n_assets=2)
    absent = np.full(columns["close"].shape, np.nan)
    bare = {**columns, **dict.fromkeys(("high", "low", "volume", "raw_volume"), absent)}
    features, full = build_features(bare), build_features(columns)
    lacking = {name for name, values in features.items() if np.isnan(values).all()}
    assert lacking == {
        "hl_ratio",
        "volume_ratio",
        "volume_zscore",
        "turnover_proxy",
        "dollar_volume",
        "adv_21d",
    }
    for name in set(FEATURES) - lacking:
        np.testing.assert_array_equal(features[name], full[name])


def test_a_column_that_is_not_there_is_named() -> None:
    columns = base_columns(n_sessions=30, n_assets=1)
    del columns["high"]
    with pytest.raises(ContractError, match=r"`high`.*NaN where the market does not have it"):
        build_features(columns)
