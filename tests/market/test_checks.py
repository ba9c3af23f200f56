from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from glassbox_bt.errors import MarketDataError
from glassbox_bt.market.checks import check_market
from glassbox_bt.market.ingest import build_store
from glassbox_bt.market.universe import UniverseRule
from tests.market.markets import DATES, EAGER, drop, market, prices


def put(column: str, value: object, row: int = 130) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def spoil(table: pd.DataFrame) -> pd.DataFrame:
        spoilt = table.astype({column: object}) if isinstance(value, str) else table.copy()
        spoilt.loc[row, column] = value
        return spoilt

    return spoil


SPOILT: list[tuple[str, Callable[[pd.DataFrame], pd.DataFrame], str]] = [
    ("no close", lambda t: t.drop(columns="close"), "no column `close`"),
    ("no ticker", lambda t: t.drop(columns="ticker"), "no column `ticker`"),
    ("empty", lambda t: t.iloc[:0], "empty"),
    ("negative", put("close", -1.5), r"row 130 \(B, 2019-10-07\): close is -1.5"),
    ("zero", put("low", 0.0), r"row 130 .*low is 0.0"),
    ("infinite", put("adj_close", np.inf), r"row 130 .*adj_close is inf"),
    ("text", put("close", "n/a"), "row 130: close 'n/a' is not a number"),
    ("numbers as text", lambda t: t.assign(close=t["close"].astype(str)), "stored as text"),
    ("negative volume", put("volume", -1.0), r"row 130 .*volume is -1.0"),
    ("no name", put("ticker", ""), "a name, not empty"),
    ("high below low", put("high", 1.0), "high 1.0 is below `low`"),
    ("duplicate", lambda t: pd.concat([t, t.iloc[[7]]]), "2019-10-10 stands twice"),
    ("unsorted", lambda t: t.iloc[::-1], "goes back in time"),
    ("zoned", lambda t: t.assign(date=t["date"].dt.tz_localize("UTC")), "time zone UTC"),
    ("time of day", lambda t: t.assign(date=t["date"] + pd.Timedelta("16h")), "time of day"),
    ("no date", lambda t: t.assign(date="yesterday"), "'yesterday' is no date"),
    ("far", lambda t: t.assign(date="9999-12-31"), "row 0: date '9999-12-31' is not between the years 1700 and 2200"),
    ("zoned text", lambda t: t.assign(date=t["date"].astype(str) + "T00:00:00+01:00"), "is no date"),
]


@pytest.mark.parametrize(("spoil", "says"), [pytest.param(s, m, id=n) for n, s, m in SPOILT])
def test_bad_prices_are_refused_with_their_place(spoil: Callable[[pd.DataFrame], pd.DataFrame], says: str) -> None:
    with pytest.raises(MarketDataError, match=says):
        check_market(market(spoil(prices())))


def test_an_end_in_the_year_9999_is_refused_and_told_to_be_left_empty() -> None:
    table = pd.DataFrame({"ticker": ["A"], "start_date": ["2019-01-02"], "end_date": ["9999-12-31"]})
    with pytest.raises(
        MarketDataError, match=r"`membership` row 0: end_date '9999-12-31' is not .*; leave an open end empty"
    ):
        check_market(market(membership=table))


def test_a_date_that_is_no_session_is_refused() -> None:
    table = prices()
    table.loc[5, "date"] = pd.Timestamp("2019-10-12")  # a Saturday, after row 7's date: put it in order
    table = table.sort_values(["ticker", "date"], ignore_index=True)
    with pytest.raises(MarketDataError, match=r"1 dates in `prices` are no sessions of XNYS: 2019-10-12"):
        build_store(market(table), UniverseRule(**EAGER))


@pytest.mark.parametrize(
    ("meta", "says"),
    [
        ({"price_basis": "adjusted"}, "price_basis"),
        ({"calendar": "MARS"}, "MARS"),
        ({"known_at": {"prices": "+1 sessions"}}, "known_at.prices"),
    ],
)
def test_bad_meta_is_refused(meta: dict[str, Any], says: str) -> None:
    with pytest.raises(MarketDataError, match=says):
        check_market(market(meta=meta))


def test_the_benchmark_needs_prices() -> None:
    with pytest.raises(MarketDataError, match="benchmark `SPY` has no prices"):
        build_store(market(meta={"benchmark": "SPY"}), UniverseRule(**EAGER))


def test_faults_that_can_be_lived_with_are_counted() -> None:
    table = prices().assign(colour="red")
    table.loc[3, "close"] = np.nan
    table.loc[4, "open"] = np.nan
    table.loc[5, "volume"] = 0.0
    table.loc[6, "open"] = table.loc[6, "high"] * 1.5
    checked = check_market(market(table))
    assert checked.flags["bars"] == 3 * len(DATES)
    assert checked.flags["bars_without_close"] == 1
    assert checked.flags["bars_without_open"] == 1
    assert checked.flags["bars_with_zero_volume"] == 1
    assert checked.flags["bars_outside_their_range"] == 1
    assert checked.flags["ignored_columns"] == {"prices": ["colour"]}
    assert "colour" not in checked.raw.prices.columns


def test_only_close_is_compulsory() -> None:
    checked = check_market(market(prices()[["date", "ticker", "close"]]))
    assert list(checked.raw.prices.columns) == ["date", "ticker", "close"]


def test_sessions_without_any_bar_are_listed() -> None:
    table = prices()
    for ticker in "ABC":
        table = drop(table, ticker, 50, 50)
    store = build_store(market(table), UniverseRule(**EAGER))
    assert store.facts["flags"]["sessions_without_any_bar"] == [str(DATES[50])]  # type: ignore[index]


def test_side_names_without_prices_are_counted_and_refused_only_if_none_match() -> None:
    sectors = pd.DataFrame({"ticker": ["A", "X", "Y"], "sector": ["s", "s", "t"]})
    checked = check_market(market(sectors=sectors))
    assert checked.flags["names_without_prices"] == {"sectors": {"count": 2, "first": ["X", "Y"]}}
    with pytest.raises(MarketDataError, match="No ticker of `sectors` has prices"):
        check_market(market(sectors=sectors.iloc[1:]))


def test_a_ticker_map_renames_side_tables_by_date() -> None:
    news = pd.DataFrame(
        {
            "published_at": pd.to_datetime(["2019-10-02 15:00", "2020-01-02 15:00"], utc=True),
            "ticker": ["OLD", "OLD"],
            "text": ["first", "second"],
        }
    )
    mapping = pd.DataFrame(
        {
            "ticker": ["OLD", "OLD"],
            "price_ticker": ["A", "B"],
            "start_date": ["", "2020-01-01"],
            "end_date": ["2020-01-01", ""],
        }
    )
    checked = check_market(market(news=news, ticker_map=mapping))
    assert checked.raw.news is not None
    assert checked.raw.news["ticker"].tolist() == ["A", "B"]


@pytest.mark.parametrize(
    ("published_at", "says"),
    [
        (pd.to_datetime(["2020-01-02 10:00"]), "no time zone"),
        (["2020-01-02 10:00"], "no time zone"),
        (["soonZ"], "is no time"),
    ],
)
def test_text_without_a_zone_is_refused(published_at: object, says: str) -> None:
    news = pd.DataFrame({"published_at": published_at, "ticker": ["A"], "text": ["x"]})
    with pytest.raises(MarketDataError, match=says):
        check_market(market(news=news))


def test_text_without_a_time_names_its_row() -> None:
    news = pd.DataFrame({"published_at": ["2019-10-02 15:00+00:00", ""], "ticker": ["A", "B"], "text": ["x", "y"]})
    with pytest.raises(MarketDataError, match=r"`news` row 1 \(B\): published_at is empty; fill it in or remove the row"):
        check_market(market(news=news))


def test_checking_changes_nothing_of_its_input() -> None:
    raw = market(prices().assign(colour="red"))
    before = raw.prices.copy()
    check_market(raw)
    pd.testing.assert_frame_equal(raw.prices, before)
