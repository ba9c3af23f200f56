from __future__ import annotations

import numpy as np
import pytest

from glassbox_bt.market.calendar import sessions
from glassbox_bt.market.ingest import build_store
from glassbox_bt.market.sources import from_name
from glassbox_bt.market.store import MarketStore


@pytest.fixture(scope="module")
def store() -> MarketStore:
    return build_store(from_name("sp500"), features={})


def test_it_has_twenty_names_on_every_session_from_1996_to_2022(store: MarketStore) -> None:
    assert len(store.tickers) == 20
    assert {"AAPL", "XOM"} <= set(store.tickers)
    assert "SP500" not in store.tickers
    np.testing.assert_array_equal(store.dates, sessions("XNYS", "1996-01-02", "2022-12-28").dates)
    assert np.isfinite(store.columns["close"]).all()
    assert store.columns["tradable"].all()


def test_it_says_what_it_lacks(store: MarketStore) -> None:
    assert store.facts["has_opens"] is False
    assert store.facts["has_volume"] is False
    assert store.facts["booked_out"] == {"listings": 0, "assumed": 0}
    card = " ".join(store.facts["card"])  # type: ignore[arg-type]
    for gap in ("survivors only", "no open", "No text", "2022-12-28", "dividends"):
        assert gap in card
    for name in ("open", "high", "low", "volume"):
        assert np.isnan(store.columns[name]).all()


def test_every_name_is_a_member_by_the_time_the_replay_starts(store: MarketStore) -> None:
    assert store.member[store.sessions_between("2000-01-03", "2022-12-28")].all()
    assert not store.member[:252].any()


def test_prices_are_taken_as_they_are(store: MarketStore) -> None:
    day = store.sessions_between("2008-10-13", "2008-10-13")[0]
    np.testing.assert_array_equal(store.columns["close"], store.columns["raw_close"])
    assert store.columns["benchmark_mark"][day] == pytest.approx(1003.35, abs=0.01)  # S&P 500 on that day
    assert np.exp(store.columns["benchmark_log_return_1d"][day]) == pytest.approx(1.1158, abs=1e-4)


def test_the_fear_index_is_known_a_session_later(store: MarketStore) -> None:
    vix = store.columns["macro.VIX_CLOSE"]
    spike = store.sessions_between("2018-02-05", "2018-02-06")  # closed at 37.32 on the 5th
    assert vix[spike[0]] == pytest.approx(17.31)
    assert vix[spike[1]] == pytest.approx(37.32)
    assert np.isnan(vix[store.sessions_between("2019-02-01", "2022-12-28")]).all()


def test_the_price_steps_that_its_card_names_are_there(store: MarketStore) -> None:
    rrc = store.columns["close"][:, store.tickers.index("RRC")]
    year = store.dates.astype("datetime64[Y]").astype(str)
    unchanged = np.append(False, np.diff(rrc) == 0)
    assert unchanged[year == "2000"].mean() == pytest.approx(0.22, abs=0.01)
    assert unchanged[year == "1996"].mean() == pytest.approx(0.18, abs=0.01)
