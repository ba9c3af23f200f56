from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glassbox_bt.errors import MarketDataError
from glassbox_bt.market.calendar import sessions
from glassbox_bt.market.ingest import build_store
from glassbox_bt.market.sources.raw import RawMarket, fingerprint
from glassbox_bt.market.sources.synthetic import SyntheticMarket
from glassbox_bt.market.store import MarketStore
from glassbox_bt.market.universe import UniverseRule
from glassbox_bt.types import AnyArray
from tests.market.markets import DATES, EAGER, drop, market, prices

RULE = UniverseRule(**EAGER)


def store(table: pd.DataFrame | None = None, meta: dict[str, Any] | None = None, **tables: Any) -> MarketStore:
    return build_store(market(table, meta, **tables), RULE, features={})


def column(built: MarketStore, name: str, ticker: str = "A") -> AnyArray:
    values: AnyArray = built.columns[name][:, built.tickers.index(ticker)]
    return values


def test_bars_land_on_their_session_in_total_return_units() -> None:
    built = store()
    table = prices()
    assert built.tickers == ("A", "B", "C")
    np.testing.assert_array_equal(built.dates, DATES)
    bars = table[table["ticker"] == "B"]
    for name in ("open", "high", "low", "close"):
        np.testing.assert_allclose(column(built, name, "B"), bars[name] * 0.5, rtol=1e-15)
    np.testing.assert_array_equal(column(built, "raw_close", "B"), bars["close"])
    np.testing.assert_allclose(
        column(built, "close", "B") * column(built, "volume", "B"), bars["close"] * bars["volume"], rtol=1e-14
    )


def test_row_order_between_names_does_not_matter() -> None:
    by_date = prices().sort_values(["date", "ticker"], ignore_index=True)
    one, other = store(), store(by_date)
    for name, values in one.columns.items():
        np.testing.assert_array_equal(values, other.columns[name], err_msg=name)


def test_what_returns_lack_is_said() -> None:
    bare = prices().drop(columns="adj_close")
    assert store().facts["returns"] == "total return"
    assert "so dividends are not" in str(store(bare).facts["returns"])
    assert "splits and dividends are not" in str(store(bare, {"price_basis": "raw"}).facts["returns"])


def test_total_return_prices_are_taken_as_they_are() -> None:
    built = store(meta={"price_basis": "total_return"})
    np.testing.assert_array_equal(column(built, "close"), column(built, "raw_close"))


def test_a_gap_is_carried_five_sessions_in_mark_and_nowhere_else() -> None:
    built = store(drop(prices(), "A", 60, 64))
    gap = slice(60, 65)
    last = column(built, "close")[59]
    np.testing.assert_array_equal(column(built, "mark")[gap], np.full(5, last))
    for name in ("open", "high", "low", "close", "volume", "raw_close", "raw_volume"):
        assert np.isnan(column(built, name)[gap]).all(), name
    assert column(built, "is_observed")[58:66].tolist() == [1, 1, 0, 0, 0, 0, 0, 1]
    assert column(built, "tradable")[58:66].tolist() == [1, 1, 0, 0, 0, 0, 0, 1]
    assert not column(built, "delisted").any()
    assert built.facts["n_filled_cells"] == 5


def test_a_bar_without_volume_or_open_is_not_tradable() -> None:
    table = prices()
    table.loc[40, "volume"] = 0.0
    table.loc[41, "volume"] = np.nan
    table.loc[42, "open"] = np.nan
    table.loc[43, "close"] = np.nan
    built = store(table)
    assert column(built, "tradable")[39:45].tolist() == [1, 0, 0, 0, 0, 1]
    assert column(built, "is_observed")[39:45].tolist() == [1, 1, 1, 1, 0, 1]
    assert np.isnan(column(built, "open")[43])


def test_without_volume_and_opens_an_observed_close_is_tradable() -> None:
    built = store(prices()[["date", "ticker", "close"]])
    assert built.facts["has_opens"] is False
    assert built.facts["has_volume"] is False
    assert column(built, "tradable").all()
    assert "close_to_close" in str(built.facts["fills"])


def test_after_five_empty_sessions_a_name_is_booked_out_even_if_it_comes_back() -> None:
    for last in (None, 70):
        built = store(drop(prices(), "A", 60, last))
        out = np.flatnonzero(np.isfinite(column(built, "delist_price")))
        assert out.tolist() == [65]
        assert column(built, "delist_price")[65] == pytest.approx(column(built, "close")[59] * 0.7, rel=1e-15)
        assert column(built, "delist_code")[65] == 2
        assert np.isnan(column(built, "mark")[65])
        assert not column(built, "member")[65:71].any()
        assert column(built, "delisted")[65:71].all()
        assert column(built, "delisted")[71:].any() == (last is None)


def test_a_name_that_comes_back_is_listed_anew() -> None:
    built = store(drop(prices(), "A", 60, 70))
    returned = column(built, "member")[71:]
    assert returned.any()
    assert not returned[0]


def test_the_end_of_the_data_is_no_delisting() -> None:
    built = store(drop(prices(), "A", len(DATES) - 5))
    assert not np.isfinite(column(built, "delist_price")).any()
    assert np.isfinite(column(built, "mark")[-1])


def listing(day: int, known_at: str | None = None, ticker: str = "A") -> pd.DataFrame:
    table = pd.DataFrame({"ticker": [ticker], "last_day": [DATES[day].astype("datetime64[ns]")], "delist_return": [-0.1]})
    return table if known_at is None else table.assign(known_at=pd.to_datetime([known_at], utc=True))


def test_a_listing_books_out_on_the_next_session_at_its_own_return() -> None:
    built = store(drop(prices(), "A", 60), listings=listing(59))
    assert np.flatnonzero(column(built, "delist_code")).tolist() == [60]
    assert column(built, "delist_code")[60] == 1
    assert column(built, "delist_price")[60] == pytest.approx(column(built, "close")[59] * 0.9, rel=1e-15)


def test_a_listing_acts_when_it_is_known() -> None:
    after_the_close = f"{DATES[62]} 23:00+00:00"
    built = store(drop(prices(), "A", 60), listings=listing(59, after_the_close))
    assert np.flatnonzero(column(built, "delist_code")).tolist() == [63]
    long_before = store(drop(prices(), "A", 60), listings=listing(59, "2019-10-02 12:00+00:00"))
    assert np.flatnonzero(column(long_before, "delist_code")).tolist() == [60]
    too_late = store(drop(prices(), "A", 60), listings=listing(59, f"{DATES[80]} 12:00+00:00"))
    assert column(too_late, "delist_code")[65] == 2


def test_a_listing_that_bars_contradict_is_counted_and_ignored() -> None:
    built = store(listings=listing(59))
    assert not column(built, "delist_code").any()
    assert built.facts["flags"]["bars_after_last_day"] == 1  # type: ignore[index]


def test_names_that_are_never_members_get_no_place() -> None:
    built = store(drop(prices(), "C", 5))
    assert built.tickers == ("A", "B")
    assert built.facts["n_names"] == 3
    assert built.facts["n_members"] == 2
    with pytest.raises(MarketDataError, match="No name ever enters the universe"):
        build_store(market())


def test_a_benchmark_ticker_leaves_the_universe() -> None:
    built = store(meta={"benchmark": "B"})
    bars = prices()
    level = bars.loc[bars["ticker"] == "B", "close"].to_numpy() * 0.5
    assert built.tickers == ("A", "C")
    np.testing.assert_allclose(built.columns["benchmark_mark"], level, rtol=1e-15)
    np.testing.assert_allclose(built.columns["benchmark_log_return_1d"][1:], np.diff(np.log(level)), rtol=1e-10)


def test_a_missing_benchmark_session_gives_no_return() -> None:
    returns = store(drop(prices(), "B", 30, 30), {"benchmark": "B"}).columns["benchmark_log_return_1d"]
    assert np.flatnonzero(np.isnan(returns)).tolist() == [0, 30, 31]


def test_without_a_benchmark_the_universe_is_held_in_equal_weights() -> None:
    built = store()
    member, close = built.member, built.columns["close"]
    simple = close[1:] / close[:-1] - 1.0
    first = int(np.flatnonzero(member.any(axis=1))[0])
    expected = np.log1p(np.where(member[1:], simple, 0.0).sum(axis=1) / np.maximum(member[1:].sum(axis=1), 1))
    np.testing.assert_allclose(built.columns["benchmark_log_return_1d"][first:], expected[first - 1 :], rtol=1e-9)
    assert "equal weight" in str(built.facts["benchmark"])


def test_the_equal_weight_benchmark_takes_the_loss_of_a_delisting() -> None:
    built = store(drop(prices(), "A", 60))
    close = built.columns["close"]
    others = (close[65, 1:] / close[64, 1:] - 1.0).sum()
    assert built.columns["benchmark_log_return_1d"][65] == pytest.approx(np.log1p((others - 0.3) / 3))


def macro(days: list[int], values: list[float], series: str = "X") -> pd.DataFrame:
    return pd.DataFrame({"date": DATES[days].astype("datetime64[ns]"), "series": series, "value": values})


@pytest.mark.parametrize(
    ("rule", "first"),
    [
        ("close", 20),
        ("+1 sessions", 21),
        ("+3 sessions", 23),
        ("16:15 America/New_York", 21),
        ("15:59 America/New_York", 20),
        ("+0 days", 21),
        ("+7 days", 26),  # 2019-10-29 + 7 days ends after the close of 2019-11-05
    ],
)
def test_macro_values_appear_when_their_rule_says(rule: str, first: int) -> None:
    built = store(meta={"known_at": {"macro.X": rule, "macro": "close"}}, macro=macro([20], [7.0]))
    known = np.flatnonzero(np.isfinite(built.columns["macro.X"]))
    assert known[0] == first
    assert known.tolist() == list(range(first, first + 11))  # 10 sessions stale, then missing


def test_revisions_replace_a_value_only_from_when_they_are_known() -> None:
    rows = macro([20, 20, 21], [1.0, 2.0, 3.0])
    stamps = [f"{DATES[20]} 12:00Z", f"{DATES[24]} 12:00Z", f"{DATES[22]} 12:00Z"]
    built = store(macro=rows.assign(known_at=pd.to_datetime(stamps, utc=True, format="ISO8601")))
    np.testing.assert_array_equal(built.columns["macro.X"][19:26], [np.nan, 1.0, 1.0, 3.0, 3.0, 3.0, 3.0])


def test_a_value_before_the_first_row_is_missing_and_older_history_keeps_its_age() -> None:
    table = pd.DataFrame(
        {"date": pd.to_datetime(["2018-01-02", "2019-09-27"]), "series": ["OLD", "NEW"], "value": [1.0, 2.0]}
    )
    built = store(meta={"known_at": {"macro": "+1 sessions"}}, macro=table)
    assert np.isnan(built.columns["macro.OLD"]).all()
    assert np.flatnonzero(np.isfinite(built.columns["macro.NEW"])).tolist() == list(range(10))


@pytest.mark.parametrize(
    ("rules", "table", "says"),
    [
        ({}, macro([1], [1.0]), "Nothing says when `macro.X` was known"),
        ({"macro": "column"}, macro([1], [1.0]), "Nothing says when"),
        ({"macro": "tomorrow"}, macro([1], [1.0]), "Unknown known_at rule `tomorrow`"),
        ({"macro": "16:15 Mars/Olympus"}, macro([1], [1.0]), "unknown time zone"),
        ({"macro": "close"}, macro([1, 1], [1.0, 2.0]), "twice"),
    ],
)
def test_macro_without_a_clock_is_refused(rules: dict[str, str], table: pd.DataFrame, says: str) -> None:
    with pytest.raises(MarketDataError, match=says):
        store(meta={"known_at": rules}, macro=table)


def test_a_macro_benchmark_must_be_known_at_the_close() -> None:
    table = macro(list(range(len(DATES))), [100.0 + day for day in range(len(DATES))])
    built = store(meta={"benchmark": "macro.X", "known_at": {"macro": "close"}}, macro=table)
    np.testing.assert_array_equal(built.columns["benchmark_mark"], table["value"])
    with pytest.raises(MarketDataError, match="known only after the close"):
        store(meta={"benchmark": "macro.X", "known_at": {"macro": "+1 sessions"}}, macro=table)
    with pytest.raises(MarketDataError, match="not in the macro table"):
        store(meta={"benchmark": "macro.Y", "known_at": {"macro": "close"}}, macro=table)


def test_news_belong_to_the_first_session_that_may_use_them() -> None:
    stamps = ["2019-11-29 17:59Z", "2019-11-29 18:01Z", "2019-11-30 12:00Z", "2020-06-01 12:00Z"]
    news = pd.DataFrame(
        {
            "published_at": pd.to_datetime(stamps, utc=True, format="ISO8601"),
            "ticker": ["A", "A", "", "B"],
            "text": list("abcd"),
        }
    )
    built = store(news=news.iloc[::-1])
    records = built.records["text"]
    friday = int(np.searchsorted(DATES, np.datetime64("2019-11-29")))  # closed at 13:00 in New York
    assert records["body"].tolist() == list("abc")
    assert records["session"].tolist() == [friday, friday + 1, friday + 1]
    assert built.facts["text"]["after_last_session"] == 1  # type: ignore[index]
    late = store(meta={"known_at": {"news": "+1 sessions"}}, news=news).records["text"]
    assert late["session"].tolist() == [friday + 1, friday + 1, friday + 1]


def test_dated_membership_is_read_as_of_its_dates() -> None:
    spell = pd.DataFrame({"ticker": ["A", "B"], "start_date": ["2019-01-01", "2019-12-10"], "end_date": ["2020-01-15", ""]})
    built = store(membership=spell)
    months = built.dates.astype("datetime64[M]").astype(str)
    a, b = column(built, "member", "A"), column(built, "member", "B")
    assert sorted(set(months[a])) == ["2019-11", "2019-12", "2020-01"]
    assert sorted(set(months[b])) == ["2020-01", "2020-02", "2020-03"]
    assert built.tickers == ("A", "B")


def test_undated_sectors_say_so() -> None:
    records = store(sectors=pd.DataFrame({"ticker": ["A"], "sector": ["s"]})).records["sectors"]
    assert records["known_at"].isna().all()


def test_features_are_functions_of_the_session_columns() -> None:
    built = build_store(market(), RULE, features={"double": lambda columns: 2.0 * columns["close"]})
    np.testing.assert_array_equal(built.columns["double"], 2.0 * built.columns["close"])


def test_the_same_raw_market_gives_the_same_store() -> None:
    raw = market(drop(prices(), "A", 60), listings=listing(59))
    one, other = build_store(raw, RULE), build_store(raw, RULE)
    for name, values in one.columns.items():
        np.testing.assert_array_equal(values, other.columns[name], err_msg=name)
    assert one.facts == other.facts


def test_the_fingerprint_sees_every_value_and_not_the_storage() -> None:
    raw = market()
    same = market(raw.prices.astype({"volume": np.int64}))
    other = market(raw.prices.assign(close=raw.prices["close"].where(raw.prices.index != 200, 1.0)))
    renamed = replace(raw, meta=replace(raw.meta, benchmark="A"))
    assert fingerprint(raw) == fingerprint(same)
    assert len({fingerprint(market_) for market_ in (raw, other, renamed)}) == 3


@pytest.mark.parametrize("delist_return", [-1.1, 0.1, float("nan")])
def test_an_impossible_delisting_return_is_refused(delist_return: float) -> None:
    with pytest.raises(MarketDataError, match="delist_return"):
        build_store(market(), RULE, delist_return=delist_return)


SYNTHETIC = SyntheticMarket(seed=5, n_names=4, first="2019-01-02", last="2020-06-30", halts=8, delistings=2, splits=2).raw()


def poisoned(raw: RawMarket, cut: np.datetime64) -> RawMarket:
    """Every table with its rows after ``cut`` made into nonsense, dates kept."""
    after = raw.prices["date"] > cut
    bars = raw.prices.copy()
    for name in ("open", "high", "low", "close", "adj_close"):
        bars.loc[after, name] = bars.loc[after, name] * 7.0
    bars.loc[after, "volume"] = bars.loc[after, "volume"] * 3
    assert raw.macro is not None
    values = raw.macro["value"].where(raw.macro["date"] <= cut, 9.0)
    return replace(raw, prices=bars, macro=raw.macro.assign(value=values))


def truncated(raw: RawMarket, cut: np.datetime64) -> RawMarket:
    assert raw.macro is not None
    assert raw.listings is not None
    return replace(
        raw,
        prices=raw.prices[raw.prices["date"] <= cut],
        macro=raw.macro[raw.macro["date"] <= cut],
        listings=raw.listings[raw.listings["last_day"] <= cut],
    )


@settings(max_examples=12, deadline=None)
@given(day=st.integers(260, 350))
def test_no_column_before_a_cut_knows_what_comes_after_it(day: int) -> None:
    clock = sessions("XNYS", "2019-01-02", "2020-06-30")
    cut = clock.dates[day]
    rule = UniverseRule(size=3, min_observed=60, window=120)
    clean = build_store(SYNTHETIC, rule)
    for other in (build_store(poisoned(SYNTHETIC, cut), rule), build_store(truncated(SYNTHETIC, cut), rule)):
        known = clean.assets_until(0, day)
        here = np.array([other.tickers.index(clean.tickers[at]) for at in known])
        for name, values in clean.columns.items():
            theirs = other.columns[name][: day + 1]
            ours = values[: day + 1]
            if values.ndim > 1:
                ours, theirs = ours[:, known], theirs[:, here]
            np.testing.assert_array_equal(ours, theirs, err_msg=f"{name} at {cut}")
