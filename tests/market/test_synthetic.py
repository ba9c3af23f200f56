from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from glassbox_bt.errors import MarketDataError
from glassbox_bt.market.ingest import build_store
from glassbox_bt.market.sources import from_name, synthetic_text
from glassbox_bt.market.sources.raw import RawMarket, fingerprint
from glassbox_bt.market.sources.synthetic import SyntheticMarket
from glassbox_bt.market.sources.synthetic_record import SyntheticTruth
from glassbox_bt.market.sources.synthetic_wordings import MARKET_NOTES, STORIES
from glassbox_bt.market.store import MarketStore
from glassbox_bt.types import AnyArray

SMALL = SyntheticMarket(seed=2, n_names=6, first="2010-01-04", last="2012-12-31", halts=6, splits=3)


@pytest.fixture(scope="module")
def raw() -> RawMarket:
    return SMALL.raw()


@pytest.fixture(scope="module")
def store(raw: RawMarket) -> MarketStore:
    return build_store(raw, features={})


def truth_of(raw: RawMarket) -> SyntheticTruth:
    assert isinstance(raw.truth, SyntheticTruth)
    return raw.truth


def test_the_same_seed_gives_the_same_bytes(raw: RawMarket) -> None:
    again = SMALL.raw()
    assert fingerprint(again) == fingerprint(raw)
    for name, table in again.tables().items():
        pd.testing.assert_frame_equal(table, raw.tables()[name], check_exact=True)
    assert fingerprint(replace(SMALL, seed=3).raw()) != fingerprint(raw)


def test_streams_belong_to_names() -> None:
    """Two names more, no text and no macro leave the shocks of the others as they were."""
    quiet = replace(SMALL, noise_only=True, delistings=0, halts=0, splits=0)
    few = quiet.raw().prices
    more = replace(quiet, n_names=8, text=False, macro=False).raw().prices
    pd.testing.assert_frame_equal(few, more[more["ticker"].isin(few["ticker"].unique())].reset_index(drop=True))


def test_bars_are_consistent(raw: RawMarket) -> None:
    bars = raw.prices
    assert (bars["low"] <= bars[["open", "close"]].min(axis=1)).all()
    assert (bars["high"] >= bars[["open", "close"]].max(axis=1)).all()
    assert (bars["low"] > 0).all()
    assert (bars["volume"] > 0).all()
    gap = np.abs(np.log(bars["open"] / bars["close"].shift()))[bars["ticker"] == bars["ticker"].shift()]
    assert gap.median() > 1e-3


def test_halts_and_delistings_are_as_recorded(raw: RawMarket, store: MarketStore) -> None:
    truth = truth_of(raw)
    for halt in truth.halts.to_dict("records"):
        mine = raw.prices[raw.prices["ticker"] == halt["ticker"]]
        assert not mine["date"].between(halt["first_day"], halt["last_day"]).any()
    for gone in truth.delistings.to_dict("records"):
        assert raw.prices.loc[raw.prices["ticker"] == gone["ticker"], "date"].max() <= gone["last_day"]
        codes = store.columns["delist_code"][:, store.tickers.index(gone["ticker"])]
        assert codes.max() == (1 if gone["announced"] else 2)


def test_splits_move_raw_prices_and_not_returns(raw: RawMarket, store: MarketStore) -> None:
    for split in truth_of(raw).splits.to_dict("records"):
        asset = store.tickers.index(split["ticker"])
        day = store.sessions_between(str(split["day"])[:10], str(split["day"])[:10])[0]
        close, quoted = store.columns["close"][:, asset], store.columns["raw_close"][:, asset]
        if np.isfinite(close[day - 1 : day + 1]).all():
            jump = (quoted[day] / quoted[day - 1]) / (close[day] / close[day - 1])
            assert jump == pytest.approx(1.0 / split["ratio"], rel=1e-3)
    assert np.nanmax(np.abs(np.diff(np.log(store.columns["close"]), axis=0))) < 0.4


def test_headlines_state_their_event_at_all_hours(raw: RawMarket) -> None:
    truth, news = truth_of(raw), raw.news
    assert news is not None
    told = truth.text_effects
    stories = {(one.event_type, one.event, one.sign): one.wordings for one in (*STORIES, *MARKET_NOTES)}
    for text, kind, event, sign, wording in zip(
        news["text"], told["event_type"], told["event"], told["sign"], told["wording"], strict=True
    ):
        pattern = re.sub(r"\\\{\w+\\\}", ".+", re.escape(stories[kind, event, sign][wording]))
        assert re.fullmatch(pattern, text, re.IGNORECASE), text
    assert (news["text"].str.contains("S0", regex=False) == (news["ticker"] != "")).all()
    assert told["sign"].value_counts().to_dict().keys() == {-1, 0, 1}
    wall_clock = news["published_at"].dt.tz_convert("America/New_York")
    assert (wall_clock.dt.day_of_week >= 5).mean() == pytest.approx(0.1, abs=0.06)
    assert ((wall_clock.dt.hour >= 16) & (wall_clock.dt.day_of_week < 5)).mean() == pytest.approx(0.6, abs=0.1)
    assert (news["ticker"] == "").any()


def test_other_words_leave_times_signs_and_prices_as_they_are(raw: RawMarket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic_text, "STORIES", tuple(one for one in STORIES if one.event_type in ("earnings", "other")))
    other = SMALL.raw()
    assert raw.news is not None
    assert other.news is not None
    assert not raw.news["text"].equals(other.news["text"])
    kept = ["doc_id", "published_at", "sign", "gap_effect", "drift_effect"]
    pd.testing.assert_frame_equal(truth_of(raw).text_effects[kept], truth_of(other).text_effects[kept])
    pd.testing.assert_frame_equal(raw.prices, other.prices)


def planted(seed: int = 0, **settings: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Recorded drivers and log returns, both (session, ticker), of a market with one planted effect."""
    quiet: Mapping[str, Any] = {"text_edge": 0.0, "n_regimes": 1, "halts": 0, "delistings": 0, "splits": 0}
    made = SyntheticMarket(seed=seed, n_names=30, first="2000-01-03", **{**quiet, **settings}).raw()
    returns = np.log(made.prices.pivot(index="date", columns="ticker", values="adj_close")).diff()
    return truth_of(made).drivers, returns


def test_the_planted_trend_is_there_and_seen_in_the_past_alone() -> None:
    drivers, returns = planted(edge=0.1)
    signal = drivers.pivot(index="date", columns="ticker", values="signal")
    past = returns.rolling(20).sum() / np.sqrt((returns**2).rolling(20).sum())
    error = (past.clip(-2.0, 2.0) - signal).abs().to_numpy()[25:]
    assert np.nanmax(error) < 1e-2  # prices are rounded to 4 decimals
    mask = signal.iloc[25:-1].to_numpy().ravel()
    after = returns.iloc[26:].to_numpy().ravel()
    assert np.corrcoef(mask, after)[0, 1] == pytest.approx(0.1, abs=0.02)
    effect = drivers.pivot(index="date", columns="ticker", values="effect").iloc[25:-1].to_numpy().ravel()
    slope = (effect * after).sum() / (effect**2).sum()
    assert slope == pytest.approx(1.0, abs=0.15)


def test_headlines_move_the_gap_and_then_the_days_after() -> None:
    made = SyntheticMarket(n_names=20, first="2005-01-03", edge=0.0, text_edge=0.3, halts=0, delistings=0, splits=0).raw()
    effects = truth_of(made).text_effects
    close = np.log(made.prices.pivot(index="date", columns="ticker", values="adj_close"))
    opens = np.log(made.prices.pivot(index="date", columns="ticker", values="open"))  # no splits: raw = adjusted
    gap, later = (opens - close.shift()), (close.shift(-4) - opens)
    rows = effects[(effects["ticker"] != "") & (effects["first_session"] < len(close) - 5) & (effects["first_session"] > 0)]
    at = rows["first_session"].to_numpy(), close.columns.get_indexer(rows["ticker"])
    for moves, enough in ((gap, 0.009), (later, 0.010)):
        by_sign = pd.Series(moves.to_numpy()[at]).groupby(rows["sign"].to_numpy()).mean()
        assert by_sign[1] - by_sign[0] > enough
        assert by_sign[0] - by_sign[-1] > enough


def test_pure_noise_is_a_fair_game_at_closes_and_opens() -> None:
    """Mean simple returns within four standard errors of zero, the errors taken over sessions."""
    quiet = SyntheticMarket(n_names=30, first="2000-01-03", noise_only=True, splits=0, halts=0, text=False, macro=False)
    markets = [replace(quiet, seed=seed).raw().prices for seed in range(3)]
    for price in ("close", "open"):
        panels = [bars.pivot(index="date", columns="ticker", values=price) for bars in markets]
        daily = pd.concat([(panel / panel.shift() - 1.0).mean(axis=1).iloc[1:] for panel in panels])
        assert abs(daily.mean()) < 4.0 * daily.std() / np.sqrt(len(daily))


def test_pure_noise_has_no_planted_effect_and_no_loss_on_delisting() -> None:
    made = SyntheticMarket(first="2015-01-02", noise_only=True, halts=30, delistings=5).raw()
    truth = truth_of(made)
    assert len(truth.drivers) == 0
    assert not truth.text_effects[["gap_effect", "drift_effect"]].to_numpy().any()
    store = build_store(made, features={})
    assert store.facts["booked_out"] == {"listings": 5, "assumed": 0}
    day, asset = (index[0] for index in np.nonzero(store.columns["delist_code"]))
    assert store.columns["delist_price"][day, asset] == store.columns["mark"][day - 1, asset]


def test_volatility_follows_the_regime_and_the_fear_index_is_late() -> None:
    made = SyntheticMarket(first="2000-01-03", halts=0, delistings=0).raw()
    truth = truth_of(made)
    by_regime = truth.regimes.groupby("regime")["market_log_return"].std()
    assert by_regime.is_monotonic_increasing
    assert by_regime.iloc[-1] > 2.5 * by_regime.iloc[0]
    store = build_store(made, features={})
    assert made.macro is not None
    vix = made.macro.loc[made.macro["series"] == "VIX_CLOSE", "value"].to_numpy()
    np.testing.assert_array_equal(store.columns["macro.VIX_CLOSE"][1:], vix[:-1])


@cache
def shocked(**settings: Any) -> RawMarket:
    plain: dict[str, Any] = {"n_names": 20, "first": "2012-01-03", "halts": 0, "delistings": 0, "splits": 0, "text": False}
    return SyntheticMarket(**{**plain, "tail_shocks": 0.003, **settings}).raw()


def days_of(truth: SyntheticTruth) -> AnyArray:
    """Where a shock fell, (n_sessions, n_names) in the order of ``names``."""
    dates, tickers = truth.regimes["date"], list(truth.names["ticker"])
    fell = np.zeros((len(dates), len(tickers)), dtype=bool)
    fell[dates.searchsorted(truth.shocks["date"]), pd.Index(tickers).get_indexer(pd.Index(truth.shocks["ticker"]))] = True
    return fell


def test_shocks_are_what_the_record_says() -> None:
    """Each takes eight conditional deviations off a name after the open; the market is else as it would be without."""
    with_shocks, without = shocked(contagion=0.4), shocked(tail_shocks=0.0)
    shocks, calm = (
        np.log(made.prices["close"].to_numpy() / made.prices["open"].to_numpy()).reshape(20, -1).T
        for made in (with_shocks, without)
    )
    fell = days_of(truth_of(with_shocks))
    change = shocks - calm
    typical = np.median(np.abs(calm), axis=0) * np.ones(fell.shape)
    assert np.median(change[fell] / typical[fell]) < -6.0
    assert np.abs(np.median(change[~fell] / typical[~fell])) < 0.3
    gaps, dear = [], np.ones((len(fell) - 1, 20), dtype=bool)
    for made in (with_shocks, without):
        opens, closes = (made.prices[price].to_numpy().reshape(20, -1).T for price in ("open", "close"))
        gaps.append(np.log(opens[1:] / closes[:-1]))
        dear &= (opens[1:] > 5.0) & (closes[:-1] > 5.0)  # prices are rounded to 4 decimals
    np.testing.assert_allclose(gaps[0][dear], gaps[1][dear], atol=1e-4)  # nothing at the open
    pd.testing.assert_frame_equal(truth_of(with_shocks).regimes, truth_of(without).regimes)
    assert len(truth_of(without).shocks) == len(truth_of(without).edges) == 0


def test_shocks_travel_along_the_edges_and_nowhere_else() -> None:
    truth = truth_of(shocked(contagion=0.4))
    fell, tickers = days_of(truth), list(truth.names["ticker"])
    assert (truth.edges.groupby("source").size() == 2).all()
    assert (truth.edges["source"] != truth.edges["target"]).all()
    later = np.stack([np.roll(fell, -ahead, axis=0) for ahead in range(1, 6)]).any(axis=0)
    linked = np.zeros((20, 20), dtype=bool)  # source, target
    for source, target in zip(truth.edges["source"], truth.edges["target"], strict=True):
        linked[tickers.index(source), tickers.index(target)] = True
    rate = (fell.astype(float).T @ later) / fell.sum(axis=0)[:, None]
    usual = later.mean()
    assert rate[linked].mean() - usual == pytest.approx(0.4, abs=0.07)
    assert rate[~linked & ~np.eye(20, dtype=bool)].mean() < usual + 0.1  # neighbours of neighbours
    passed = truth.shocks[truth.shocks["origin"] == "passed"]
    edges = set(zip(truth.edges["source"], truth.edges["target"], strict=True))
    assert set(zip(passed["source"], passed["ticker"], strict=True)) <= edges
    assert (truth.shocks.loc[truth.shocks["origin"] == "own", "source"] == "").all()


def test_shocks_do_not_lower_the_mean() -> None:
    """What a name loses by shocks it gains on other days, so the drift says nothing of its neighbours."""
    truth = truth_of(shocked(contagion=0.4, edge=0.0))
    closes, calm = (
        made.prices.pivot(index="date", columns="ticker", values="adj_close").to_numpy()
        for made in (shocked(contagion=0.4, edge=0.0), shocked(tail_shocks=0.0, edge=0.0))
    )
    change = np.diff(np.log(closes), axis=0) - np.diff(np.log(calm), axis=0)
    quarters = change[: len(change) // 60 * 60].mean(axis=1).reshape(-1, 60).mean(axis=1)  # shocks come in clusters
    assert abs(quarters.mean()) < 3.0 * quarters.std() / np.sqrt(len(quarters))
    assert 0.005 < days_of(truth).mean() < 0.03


def test_without_contagion_shocks_stay_where_they_are() -> None:
    truth = truth_of(shocked())
    assert len(truth.edges) == 0
    assert set(truth.shocks["origin"]) == {"own"}
    noise = truth_of(shocked(contagion=0.4, noise_only=True))
    assert len(noise.shocks) == len(noise.edges) == 0


def test_a_market_says_what_was_planted_in_it() -> None:
    cards = [" ".join(made.meta.card) for made in (shocked(contagion=0.4), shocked(tail_shocks=0.0))]
    assert "passed on along 2 edges a name with probability 0.4" in cards[0]
    assert "shocks" not in cards[1]


def test_the_record_is_saved_as_csv(raw: RawMarket, tmp_path: Path) -> None:
    truth_of(raw).save(tmp_path)
    regimes = pd.read_csv(tmp_path / "regimes.csv")
    np.testing.assert_array_equal(regimes["regime"], truth_of(raw).regimes["regime"])
    assert len(list(tmp_path.iterdir())) == 10


def test_settings_come_by_name() -> None:
    named = from_name("synthetic?seed=4&noise_only=true&first=2010-01-04&last=2010-12-31&edge=0.1")
    meant = SyntheticMarket(seed=4, noise_only=True, first="2010-01-04", last="2010-12-31", edge=0.1).raw()
    assert fingerprint(named) == fingerprint(meant)


@pytest.mark.parametrize(
    "settings",
    [
        {"n_names": 1},
        {"edge": 0.3},
        {"text_edge": -0.1},
        {"halts": -1},
        {"n_regimes": 0},
        {"n_names": 3, "delistings": 2},
        {"tail_shocks": 0.06},
        {"tail_shocks": 0.01, "contagion": 0.5},
        {"contagion": 0.3},
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(MarketDataError):
        SyntheticMarket(**settings)


def test_too_short_a_market_is_refused() -> None:
    with pytest.raises(MarketDataError, match="60 sessions"):
        SyntheticMarket(first="2020-01-02", last="2020-02-03").raw()
