"""A perturbed market agrees with the market on everything that was known at the cut, and on nothing else."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glassbox_bt.audits.perturb import Cut, Perturber
from glassbox_bt.audits.twins import Twin, market_checks
from glassbox_bt.market.checks import check_market
from glassbox_bt.market.ingest import build_store
from glassbox_bt.market.sources.raw import RawMarket
from glassbox_bt.market.store import MarketStore
from glassbox_bt.market.universe import UniverseRule
from glassbox_bt.types import AnyArray
from tests.market.markets import DATES, EAGER, drop, market, prices

CLOSE = np.timedelta64(21, "h")  # New York in winter


def cut_at(session: int) -> Cut:
    return Cut(DATES[session], DATES[session].astype("datetime64[ns]") + CLOSE)


def everything() -> RawMarket:
    """A market with every dated table; each has rows on both sides of any cut in the middle."""
    days = pd.Series(DATES.astype("datetime64[ns]"))
    close = (days + pd.Timedelta(hours=21)).dt.tz_localize("UTC")
    spells = pd.DataFrame({"ticker": ["A", "B", "C"], "start_date": DATES[[0, 5, 90]], "end_date": [DATES[100], None, None]})
    return market(
        meta={"known_at": {"macro.LATE": "+2 sessions"}},
        news=pd.DataFrame({"published_at": close + pd.Timedelta(hours=2), "ticker": "A", "text": "something happened"}),
        macro=pd.concat(
            [
                pd.DataFrame({"date": days, "series": "OWN", "value": 1.0 + np.arange(len(days)), "known_at": close}),
                pd.DataFrame({"date": days, "series": "LATE", "value": 2.0 + np.arange(len(days)), "known_at": close}),
            ],
            ignore_index=True,
        ),
        membership=spells.assign(
            start_date=pd.to_datetime(spells["start_date"]), end_date=pd.to_datetime(spells["end_date"])
        ),
        listings=pd.DataFrame({"ticker": ["B", "C"], "last_day": days[[20, 110]].to_numpy(), "delist_return": [-0.5, -0.1]}),
        sectors=pd.DataFrame(
            {"ticker": ["A", "B"], "sector": ["x", "y"], "known_at": close[[0, 100]].reset_index(drop=True)}
        ),
    )


@cache
def perturber() -> Perturber:
    return Perturber.of(everything())


def days_of(table: pd.DataFrame, column: str = "date") -> AnyArray:
    return pd.to_datetime(table[column]).to_numpy().astype("datetime64[D]")


def same_rows(one: pd.DataFrame, other: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(one.reset_index(drop=True), other.reset_index(drop=True), check_dtype=False)


@settings(max_examples=10, deadline=None)
@given(session=st.integers(30, 110), seed=st.integers(0, 1000))
def test_what_was_known_stays_and_the_rest_is_poison(session: int, seed: int) -> None:
    raw, cut = perturber().raw, cut_at(session)
    other = perturber().poisoned(cut, seed)
    check_market(other)
    assert other.macro is not None and raw.macro is not None
    assert other.news is not None and raw.news is not None
    before, after = (days_of(table) <= cut.day for table in (raw.prices, other.prices))
    same_rows(raw.prices[before], other.prices[after])
    kept = raw.prices[~before].merge(other.prices[~after], on=["date", "ticker"], suffixes=("", "_other"))
    assert 0 < len(kept) < (~before).sum()
    for column in ("open", "high", "low", "close", "adj_close"):
        assert not np.isclose(kept[column], kept[f"{column}_other"], rtol=1e-6).any()
    public = raw.news["published_at"].dt.tz_convert(None).to_numpy() <= cut.moment
    early = other.news["published_at"].dt.tz_convert(None).to_numpy() <= cut.moment
    same_rows(raw.news[public], other.news[early])
    assert not other.news.loc[~early, "text"].isin(raw.news["text"]).any()


def test_a_series_is_known_by_its_own_rule() -> None:
    raw, cut = perturber().raw, cut_at(60)
    other = perturber().poisoned(cut, 1)
    assert other.macro is not None and raw.macro is not None
    for series, last in (("OWN", DATES[60]), ("LATE", DATES[58])):
        one, two = (table[table["series"] == series] for table in (raw.macro, other.macro))
        known = one[days_of(one) <= last]
        same_rows(known, two.head(len(known)))
        later = one[days_of(one) > last].merge(two, on=["date"])
        assert not np.isclose(later["value_x"], later["value_y"]).any()


@settings(max_examples=10, deadline=None)
@given(session=st.integers(30, 110))
def test_a_truncated_market_ends_at_its_cut(session: int) -> None:
    cut = cut_at(session)
    other = perturber().truncated(cut)
    check_market(other)
    assert days_of(other.prices).max() == cut.day
    assert other.news is not None and other.macro is not None and other.sectors is not None
    assert (other.news["published_at"].dt.tz_convert(None).to_numpy() <= cut.moment).all()
    own = other.macro[other.macro["series"] == "OWN"]
    assert days_of(own).max() == cut.day
    assert len(other.sectors) == (2 if session >= 100 else 1)


def test_spells_that_end_after_the_cut_do_not_tell_when() -> None:
    truncated, poisoned = perturber().truncated(cut_at(60)), perturber().poisoned(cut_at(60), 3)
    assert truncated.membership is not None and poisoned.membership is not None
    assert list(truncated.membership["ticker"]) == ["A", "B"]
    assert truncated.membership["end_date"].isna().all()
    assert days_of(poisoned.membership, "end_date")[0] > DATES[100]


def test_listings_that_were_not_known_are_gone() -> None:
    other = perturber().truncated(cut_at(60))
    assert other.listings is not None
    assert list(other.listings["ticker"]) == ["B"]


def filings() -> RawMarket:
    """Text with every column: days, moments of acceptance, and documents of several names."""
    days = [str(day) for day in DATES]
    news = pd.DataFrame({"published_at": days, "ticker": "A", "text": "filed", "doc_id": [f"d{day}" for day in days]})
    news["accepted_at"] = [f"{day} 22:30:00+00:00" if at % 3 == 0 else "" for at, day in enumerate(days)]
    news = news.assign(form_type=["8-K", "10-Q"] * 63, cik=["1", "2"] * 63, source="edgar", n_copies=1.0)
    both = pd.concat([news, news.assign(ticker="B")]).sort_values("doc_id", kind="stable", ignore_index=True)
    return market(news=both)


@settings(max_examples=10, deadline=None)
@given(session=st.integers(30, 100), seed=st.integers(0, 1000))
def test_every_column_of_a_later_text_is_another_and_earlier_texts_stay(session: int, seed: int) -> None:
    raw, cut = filings(), cut_at(session)
    perturbed = Perturber.of(raw)
    later = ~(perturbed.known_at["news"] <= cut.moment)
    assert raw.news is not None
    assert (days_of(raw.news.loc[~later, ["published_at"]], "published_at") < cut.day).all()
    other = perturbed.poisoned(cut, seed)
    assert other.news is not None
    same_rows(raw.news[~later], other.news.head(int((~later).sum())))
    poison = other.news.iloc[int((~later).sum()) :]
    assert 0 < len(poison) < later.sum()
    for column in ("text", "doc_id", "published_at"):
        assert not poison[column].isin(set(raw.news[column])).any(), column
    assert poison["n_copies"].gt(1.0).any()
    again = Perturber.of(other).known_at["news"]
    assert (again[: int((~later).sum())] <= cut.moment).all()
    assert (again[int((~later).sum()) :] > cut.moment).all()
    truncated = perturbed.truncated(cut).news
    assert truncated is not None
    same_rows(raw.news[~later], truncated)


def late_comer() -> RawMarket:
    """Name C trades only after session 70; text about it, and about the others, begins before."""
    stamps = pd.Series(DATES[30:80].astype("datetime64[ns]") + CLOSE - np.timedelta64(1, "h")).dt.tz_localize("UTC")
    names = ["A", "B", "C", ""] * 13
    news = pd.DataFrame({"published_at": stamps, "ticker": names[:50], "text": [f"number {i}" for i in range(50)]})
    return market(drop(prices(), "C", 0, 70), news=news)


@pytest.mark.parametrize("hasty", [False, True])
def test_text_about_a_name_that_comes_later_is_no_fault_and_text_that_is_known_too_early_is(hasty: bool) -> None:
    def store(raw: RawMarket) -> MarketStore:
        built = build_store(raw, UniverseRule(**EAGER))
        text = built.records["text"]
        early = text.assign(known_at=text["known_at"] - pd.Timedelta(days=1))
        return replace(built, records={**built.records, "text": early if hasty else text})

    raw = late_comer()
    clean, cut = store(raw), cut_at(60)
    assert "C" in set(clean.records["text"].loc[clean.records["text"]["known_at"] < cut.moment, "ticker"])
    perturbed = Perturber.of(raw)
    futures = (("truncated", perturbed.truncated(cut)), ("poisoned", perturbed.poisoned(cut, 1)))
    failed = {
        check.column
        for how, other in futures
        for check in market_checks(Twin(clean, store(other), 60, how))
        if not check.passed
    }
    assert ("record text" in failed) is hasty
    assert failed <= {"record text"}


@pytest.mark.parametrize("first", ["known later", "nobody who has prices"])
@pytest.mark.parametrize("table", ["news", "listings", "sectors"])
def test_a_table_that_says_nothing_of_use_before_the_cut_is_no_fault(table: str, first: str) -> None:
    def store(tables: RawMarket) -> MarketStore:
        return build_store(tables, UniverseRule(**EAGER), complete=False)

    raw, cut = everything(), cut_at(60)
    rows = raw.tables()[table]
    early = len(rows) - 1 - int((Perturber.of(raw).known_at[table] > cut.moment).sum())
    late = rows.iloc[early + 1 :]
    begins = late if first == "known later" else pd.concat([rows.iloc[[early]].assign(ticker="X"), late])
    raw = replace(raw, **{table: begins.reset_index(drop=True)})  # type: ignore[arg-type]
    clean, perturbed = build_store(raw, UniverseRule(**EAGER)), Perturber.of(raw)
    truncated = perturbed.truncated(cut)
    assert len(truncated.tables()[table]) == (first != "known later")
    for how, other in (("truncated", truncated), ("poisoned", perturbed.poisoned(cut, 1))):
        checks = list(market_checks(Twin(clean, store(other), 60, how)))
        assert [check for check in checks if not check.passed] == []


def test_the_calendar_reaches_a_cut_without_bars() -> None:
    table = prices()
    for ticker in "ABC":
        table = drop(table, ticker, 60, 61)
    other = Perturber.of(market(table)).truncated(cut_at(60))
    assert days_of(other.prices).max() == DATES[62]


def test_a_series_that_was_never_known_keeps_its_name() -> None:
    raw = everything()
    assert raw.macro is not None
    late = replace(raw, macro=raw.macro[days_of(raw.macro) > DATES[80]].reset_index(drop=True))
    other = Perturber.of(late).truncated(cut_at(60))
    assert other.macro is not None
    assert sorted(other.macro["series"]) == ["LATE", "OWN"]
    assert other.macro["value"].isna().all()


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_seed_gives_the_same_poison(seed: int) -> None:
    one, two = (perturber().poisoned(cut_at(60), seed) for _ in range(2))
    same_rows(one.prices, two.prices)
