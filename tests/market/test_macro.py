from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from glassbox_bt.errors import MarketDataError
from glassbox_bt.market.calendar import sessions
from glassbox_bt.market.ingest import build_store
from glassbox_bt.market.macro import FORBIDDEN, MACRO_FEATURES, RELEASES, covered, macro_features, refuse_early_rules
from glassbox_bt.market.side_tables import KnownAt, macro_columns
from glassbox_bt.market.sources.raw import MarketMeta, RawMarket
from glassbox_bt.market.sources.synthetic import SyntheticMarket
from glassbox_bt.types import AnyArray, FloatArray

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "macro" / "macro.parquet"
NEXT, WEEK = "+1 sessions", "+7 days"


def market_of(macro: pd.DataFrame, rules: Mapping[str, str]) -> tuple[RawMarket, KnownAt]:
    meta = MarketMeta(name="m", price_basis="raw", known_at=dict(rules))
    clock = sessions("XNYS", "2007-06-01", "2009-06-30")
    prices = pd.DataFrame({"date": clock.dates.astype("datetime64[ns]"), "ticker": "A", "close": 1.0})
    return RawMarket(meta=meta, prices=prices, macro=macro), KnownAt(clock, meta)


def daily(series: str, values: AnyArray, first: str = "2008-01-02") -> pd.DataFrame:
    clock = sessions("XNYS", first, "2009-06-30").dates[: len(values)]
    return pd.DataFrame({"date": clock.astype("datetime64[ns]"), "series": series, "value": np.asarray(values, float)})


def joined(macro: pd.DataFrame, rules: Mapping[str, str]) -> tuple[dict[str, AnyArray], AnyArray]:
    market, known_at = market_of(macro, rules)
    return macro_columns(market, known_at.clock, known_at), known_at.clock.dates


def place(dates: AnyArray, day: str) -> int:
    return int(np.searchsorted(dates, np.datetime64(day)))


# D-MAC-01: releases


@pytest.mark.parametrize(
    ("series", "rule"),
    [("DGS10", "close"), ("VIX_CLOSE", "close"), ("DEXUSEU", NEXT), ("DCOILWTICO", "+2 days"), ("USEPUINDXD", "close")],
)
def test_d_mac_01_a_rule_earlier_than_the_release_is_refused(series: str, rule: str) -> None:
    market, known_at = market_of(daily(series, np.arange(1.0, 20.0)), {"macro": rule})
    assert market.macro is not None
    with pytest.raises(MarketDataError, match=f"macro.{series}.* before it was published"):
        refuse_early_rules(market.macro, known_at)
    _, right = market_of(market.macro, {"macro": rule, f"macro.{series}": RELEASES[series]})
    refuse_early_rules(market.macro, right)


def test_the_evening_of_the_day_is_the_next_session_for_vix() -> None:
    market, known_at = market_of(daily("VIX_CLOSE", np.arange(1.0, 20.0)), {"macro": "16:15 America/New_York"})
    assert market.macro is not None
    refuse_early_rules(market.macro, known_at)


def test_a_whole_market_with_an_early_rule_is_not_built() -> None:
    raw = SyntheticMarket(last="2000-06-30", n_names=4, text=False, delistings=0).raw()
    early = replace(raw, meta=replace(raw.meta, known_at={**raw.meta.known_at, "macro.VIX_CLOSE": "close"}))
    with pytest.raises(MarketDataError, match="VIX_CLOSE"):
        build_store(early)
    build_store(raw)


def test_d_mac_01_the_first_release_is_replayed_not_the_revision() -> None:
    """As on 2008-09-15: a value revised on the 20th is the first release until then."""
    rows = pd.DataFrame(
        {
            "date": pd.to_datetime(["2008-09-12", "2008-09-12", "2008-09-15"]),
            "series": "DTWEXBGS",
            "value": [95.0, 96.0, 97.0],
            "known_at": pd.to_datetime(["2008-09-15 19:00", "2008-09-22 19:00", "2008-09-22 20:30"]),
        }
    )
    columns, dates = joined(rows, {"macro": "column"})
    value = columns["macro.DTWEXBGS"]
    assert np.isnan(value[place(dates, "2008-09-12")])
    assert value[place(dates, "2008-09-15")] == 95.0
    assert value[place(dates, "2008-09-19")] == 95.0
    assert value[place(dates, "2008-09-22")] == 96.0  # the newer day is published after that close
    assert value[place(dates, "2008-09-23")] == 97.0


def test_each_series_has_its_own_lag() -> None:
    rows = pd.concat([daily("DGS10", np.arange(100.0, 140.0)), daily("DEXUSEU", np.arange(100.0, 140.0))])
    columns, dates = joined(rows, {"macro": NEXT, "macro.DEXUSEU": WEEK})
    today = place(dates, "2008-02-04")
    own = np.arange(100.0, 140.0)[int(np.busday_count("2008-01-02", "2008-02-04")) - 1 :]  # one holiday in January
    assert columns["macro.DGS10"][today] == own[0] - 1.0
    assert columns["macro.DEXUSEU"][today] == own[0] - 6.0  # seven calendar days, known at the end of the last


# D-MAC-02: recessions


def test_d_mac_02_recession_dates_never_become_a_column() -> None:
    rows = pd.concat([daily(name, np.ones(30)) for name in (*FORBIDDEN, "DGS10")])
    columns, _ = joined(rows, {"macro": NEXT})
    assert set(columns) == {"macro.DGS10"}
    made = macro_features({**columns, "macro.USRECD": np.ones(len(columns["macro.DGS10"]))})
    assert not [name for name in made if "rec" in name.lower()]

    def depends_on_recessions(build: Callable[[Mapping[str, AnyArray]], Mapping[str, AnyArray]]) -> bool:
        n = len(columns["macro.DGS10"])
        one, other = (build({**columns, "macro.USRECD": np.full(n, flag)}) for flag in (0.0, 1.0))
        return any(not np.array_equal(one[name], other[name], equal_nan=True) for name in one)

    def with_recessions(given: Mapping[str, AnyArray]) -> Mapping[str, AnyArray]:
        return {**macro_features(given), "macro.in_recession": given["macro.USRECD"]}

    assert depends_on_recessions(with_recessions)
    assert not depends_on_recessions(macro_features)


def test_they_stay_in_the_records_for_overlays() -> None:
    raw = SyntheticMarket(last="2000-06-30", n_names=4, text=False, delistings=0).raw()
    assert raw.macro is not None
    days = raw.macro["date"].unique()
    with_flag = pd.concat([raw.macro, pd.DataFrame({"date": days, "series": "USRECD", "value": 0.0})], ignore_index=True)
    store = build_store(replace(raw, macro=with_flag))
    assert "macro.USRECD" not in store.columns
    assert "USRECD" in set(store.records["macro"]["series"])


# D-MAC-03 and D-MAC-05: nothing is filled from the future


def is_prefix_invariant(
    build: Callable[[Mapping[str, AnyArray]], Mapping[str, AnyArray]], columns: Mapping[str, AnyArray]
) -> bool:
    whole, n = build(columns), len(next(iter(columns.values())))
    return all(
        np.array_equal(values, whole[name][:upto], equal_nan=True)
        for upto in range(10, n, 3)
        for name, values in build({key: one[:upto] for key, one in columns.items()}).items()
    )


def gappy(n: int = 320) -> dict[str, FloatArray]:
    rng = np.random.default_rng(0)
    made = {}
    for name in (
        "VIXCLS",
        "DGS10",
        "DGS2",
        "DGS3MO",
        "DFF",
        "BAA10Y",
        "AAA10Y",
        "DEXUSEU",
        "DEXJPUS",
        "DCOILWTICO",
        "TEDRATE",
    ):
        made[f"macro.{name}"] = np.exp(np.cumsum(0.02 * rng.standard_normal(n))) + 1.0
        made[f"macro.{name}"][:30] = np.nan
        made[f"macro.{name}"][150:165] = np.nan
    return made


def test_d_mac_03_features_see_no_future_and_a_back_fill_is_caught() -> None:
    columns = gappy()

    def back_filled(given: Mapping[str, AnyArray]) -> Mapping[str, AnyArray]:
        return macro_features({name: pd.Series(one).ffill().bfill().to_numpy() for name, one in given.items()})

    def median_filled(given: Mapping[str, AnyArray]) -> Mapping[str, AnyArray]:
        return macro_features(
            {name: pd.Series(one).fillna(pd.Series(one).median()).to_numpy() for name, one in given.items()}
        )

    assert is_prefix_invariant(macro_features, columns)
    assert not is_prefix_invariant(back_filled, columns)
    assert not is_prefix_invariant(median_filled, columns)


def test_d_mac_03_missing_propagates() -> None:
    made = macro_features(gappy())
    for name in ("macro.yield_spread_10y2y", "macro.vix_level", "macro.regime_yield_inverted", "macro.vix_z_20d"):
        assert np.isnan(made[name][155:165]).all(), name
        assert np.isfinite(made[name][149]), name
    assert np.isnan(made["macro.dollar_chg_20d"][170:185]).all()  # its start is missing


def test_d_mac_03_a_stale_series_is_missing_after_ten_sessions() -> None:
    columns, dates = joined(daily("DGS10", np.arange(1.0, 31.0)), {"macro": NEXT})
    last = int(np.flatnonzero(np.isfinite(columns["macro.DGS10"]))[-1])
    assert last - place(dates, "2008-02-13") == 11  # published on the next session, then ten more
    assert np.isnan(columns["macro.DGS10"][last + 1 :]).all()


def test_d_mac_05_before_its_first_row_a_series_is_missing() -> None:
    columns, dates = joined(daily("DGS10", np.arange(1.0, 31.0)), {"macro": NEXT})
    assert np.isnan(columns["macro.DGS10"][: place(dates, "2008-01-03")]).all()
    assert np.isfinite(columns["macro.DGS10"][place(dates, "2008-01-03")])


def test_d_mac_05_a_date_before_the_first_row_that_gets_the_first_row_is_caught() -> None:
    def first(value: float) -> AnyArray:
        values = np.arange(1.0, 31.0)
        values[0] = value
        return joined(daily("DGS10", values), {"macro": NEXT})[0]["macro.DGS10"]

    def falling_back(series: AnyArray) -> AnyArray:
        seen = np.flatnonzero(np.isfinite(series))
        return np.where(np.arange(len(series)) < seen[0], series[seen[0]], series)

    def knows_the_first_row_early(build: Callable[[AnyArray], AnyArray]) -> bool:
        one, other = (build(first(value)) for value in (1.0, 9.0))
        published = int(np.flatnonzero(np.isfinite(first(1.0)))[0])
        return not np.array_equal(one[:published], other[:published], equal_nan=True)

    assert knows_the_first_row_early(falling_back)
    assert not knows_the_first_row_early(lambda series: series)


# D-MAC-04: selection


def test_d_mac_04_selection_knows_train_only() -> None:
    late = np.full((1000, 2), np.nan)
    late[:, 0] = 1.0
    late[150:, 1] = 1.0  # starts after train, covers 85 % of the full sample
    train = late[:150]

    def keeps_what_train_lacks(kept: AnyArray) -> bool:
        return bool(kept[1])

    assert keeps_what_train_lacks(covered(late))  # the fault: coverage of the full sample
    assert not keeps_what_train_lacks(covered(train))
    assert covered(train)[0]
    ends = np.full((1000, 1), np.nan)
    ends[:300] = 1.0  # stops reporting after train; what comes later has no say
    assert covered(ends[:300]).tolist() == [True]


# D-MAC-06 and formulas


def test_d_mac_06_a_rising_dollar_is_positive() -> None:
    euro = np.linspace(1.5, 1.2, 60)  # fewer dollars per euro: the dollar gains
    made = macro_features({"macro.DEXUSEU": euro})

    def is_inverted(change: FloatArray) -> bool:
        return bool((change < 0.0).all())

    assert is_inverted(100.0 * (euro[20:] / euro[:-20] - 1.0))  # the source's formula
    assert not is_inverted(made["macro.dollar_chg_20d"][20:])
    assert (made["macro.dollar_chg_20d"][20:] > 0.0).all()
    both = macro_features({"macro.DEXUSEU": euro, "macro.DTWEXBGS": np.linspace(100.0, 90.0, 60)})
    assert (both["macro.dollar_chg_20d"][20:] < 0.0).all()  # the broad index goes first


def test_formulas() -> None:
    n = 300
    given = {name: np.full(n, value) for name, value in
             {"DGS10": 4.0, "DGS2": 4.5, "DGS3MO": 3.0, "DFF": 2.0, "BAA10Y": 3.0, "AAA10Y": 1.2}.items()}  # fmt: skip
    vix = np.arange(1.0, n + 1.0)
    made = macro_features({f"macro.{name}": values for name, values in {**given, "VIX_CLOSE": vix}.items()})
    assert made["macro.yield_spread_10y2y"][0] == -0.5
    assert made["macro.yield_spread_10y3m"][0] == 1.0
    assert made["macro.rate_spread_2y_fed"][0] == 2.5
    assert made["macro.credit_spread_baa_aaa"][0] == pytest.approx(1.8)
    assert made["macro.regime_yield_inverted"][0] == 1.0
    assert made["macro.regime_high_vix"][[24, 25]].tolist() == [0.0, 1.0]
    assert made["macro.regime_extreme_vix"][[34, 35]].tolist() == [0.0, 1.0]
    assert made["macro.vix_z_20d"][100] == pytest.approx(9.5 / np.arange(20).std(ddof=1))
    assert np.isnan(made["macro.vix_z_20d"][18])
    assert np.isnan(made["macro.ted_z_60d"]).all()
    assert tuple(made) == MACRO_FEATURES


def test_what_a_market_lacks_is_missing_and_still_a_column() -> None:
    made = macro_features({"month_start": np.zeros(50)})
    assert tuple(made) == MACRO_FEATURES
    assert all(np.isnan(values).all() for values in made.values())


def test_published_spreads_stand_in_for_missing_yields() -> None:
    made = macro_features({"macro.T10Y3M": np.full(30, -0.2), "macro.BAA10Y": np.full(30, 2.5)})
    assert made["macro.yield_spread_10y3m"][0] == -0.2
    assert made["macro.regime_yield_inverted"][0] == 1.0
    assert made["macro.credit_spread"][0] == 2.5
    assert np.isnan(made["macro.credit_spread_baa_aaa"]).all()


@pytest.mark.skipif(not SHARED.exists(), reason="the shared macro data are not on this machine")
def test_real_series_as_of_the_fifteenth_of_september_2008() -> None:
    """The values known that Monday at the close are those of Friday (yields, fear index) and of the week before (dollar)."""
    macro = pd.read_parquet(SHARED)
    macro = macro[(macro["date"] >= "2008-01-01") & (macro["date"] <= "2008-12-31") & ~macro["series"].str.startswith("SPX")]
    rules = {
        "macro": NEXT,
        **{f"macro.{name}": WEEK for name in ("DTWEXBGS", "DEXUSEU", "DEXJPUS", "DCOILWTICO", "DCOILBRENTEU")},
    }
    market, known_at = market_of(macro, rules)
    assert market.macro is not None
    refuse_early_rules(market.macro, known_at)
    columns = macro_columns(market, known_at.clock, known_at)
    today = place(known_at.clock.dates, "2008-09-15")

    def of(series: str, day: str) -> float:
        return float(macro.loc[(macro["series"] == series) & (macro["date"] == day), "value"].iloc[0])

    for series in ("DGS10", "DGS2", "VIX_CLOSE", "BAA10Y"):
        assert columns[f"macro.{series}"][today] == of(series, "2008-09-12"), series
    assert columns["macro.DEXUSEU"][today] == of("DEXUSEU", "2008-09-05")
    made = macro_features(columns)
    assert made["macro.vix_level"][today] == of("VIX_CLOSE", "2008-09-12")
    assert (
        made["macro.credit_spread_baa_aaa"][place(known_at.clock.dates, "2008-12-01")]
        > made["macro.credit_spread_baa_aaa"][today]
    )
