"""Faults of timing, sampling and mapping of text (specification 28), planted and found; the honest twin is silent."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from glassbox_bt.market.ingest import build_store
from glassbox_bt.market.sources.edgar import FORMS, filing_batches
from glassbox_bt.market.store import MarketStore
from glassbox_bt.market.universe import UniverseRule
from glassbox_bt.types import AnyArray, BoolArray, FloatArray, IntArray, Read
from tests.market.filings import submission, ten_k
from tests.market.markets import DATES, EAGER, market, prices

RULE = UniverseRule(**EAGER)
ISSUERS = pd.DataFrame({"ticker": ["A", "B"], "price_ticker": ["A", "B"], "cik": ["1", "2"]})
LABEL = "forward_log_return_5d"


def imported(folder: Path, *texts: str) -> pd.DataFrame:
    for number, text in enumerate(texts):
        (folder / f"{number}.txt").write_text(text, encoding="utf-8")
    return pd.concat([table for table, _ in filing_batches(folder, FORMS, "utf-8", Counter[str]())], ignore_index=True)


def stored(news: pd.DataFrame, mapping: pd.DataFrame | None = ISSUERS, bars: pd.DataFrame | None = None) -> MarketStore:
    return build_store(market(bars, news=news, ticker_map=mapping), RULE, features={})


def session_of(store: MarketStore, day: str) -> int:
    return int(np.searchsorted(store.dates, np.datetime64(day)))


# Timing


def filed_late(number: int, accepted: str, filed: str, form: str = "8-K") -> str:
    return submission(form=form, accepted=accepted, filed=filed, accession=f"0000000001-20-00000{number}")


def used_too_early(store: MarketStore, sessions: IntArray) -> BoolArray:
    """Documents whose session decides before they were public."""
    early: BoolArray = store.text.frame["known_at"].to_numpy() > store.decided_at[sessions]
    return early


def test_d_txt_01_a_filing_of_half_past_five_is_not_known_on_its_filing_date(tmp_path: Path) -> None:
    news = imported(
        tmp_path,
        filed_late(1, "20200114173000", "20200114"),  # after the close, under the same filing date
        filed_late(2, "20200115153000", "20200115"),
    )
    store = stored(news)
    by_filing_date = np.array([session_of(store, day) for day in ("2020-01-14", "2020-01-15")])
    honest = store.text.session
    assert used_too_early(store, by_filing_date).tolist() == [True, False]
    assert not used_too_early(store, honest).any()
    assert honest.tolist() == [session_of(store, "2020-01-15")] * 2


def test_d_txt_01_acceptance_goes_before_a_filing_date_in_any_table() -> None:
    row = {"published_at": ["2020-01-14"], "ticker": ["A"], "text": ["x"], "accepted_at": ["2020-01-16 21:30:00+00:00"]}
    dated = stored(pd.DataFrame(row).drop(columns="accepted_at"), None)
    accepted = stored(pd.DataFrame(row), None)
    public = np.datetime64("2020-01-16T21:30:00")
    assert (dated.decided_at[dated.text.session] < public).all()
    assert not (accepted.decided_at[accepted.text.session] < public).any()
    assert accepted.text.frame["has_time"].all()


def lost_from_days(days: list[str], store: MarketStore) -> list[str]:
    """Documents that no session reads when their date is joined to the dates of sessions."""
    return [day for day in days if np.datetime64(day) not in store.dates]


def test_d_qua_03_filings_of_a_weekend_are_not_lost_nor_those_of_the_evening_early(tmp_path: Path) -> None:
    saturday, holiday, evening = ("20200118110000", "20200120110000", "20200121180000")
    filed = ["2020-01-18", "2020-01-20", "2020-01-21"]
    stamps = zip((saturday, holiday, evening), filed, strict=True)
    news = imported(
        tmp_path, *(filed_late(at, when, day.replace("-", "")) for at, (when, day) in enumerate(stamps, start=1))
    )
    store = stored(news)
    joined_by_date = lost_from_days(filed, store)
    read = [str(store.dates[session]) for session in store.text.session]
    assert joined_by_date == ["2020-01-18", "2020-01-20"]
    assert read == ["2020-01-21", "2020-01-21", "2020-01-22"]
    assert not lost_from_days(read, store)
    span = store.span(np.arange(store.n_sessions), [Read("text.body", 1)], np.arange(store.n_assets))
    assert span.asked.sum() == len(filed)


def jumped(session: int) -> pd.DataFrame:
    """Name A jumps by a quarter in the night after a session, and is flat otherwise."""
    bars = prices()
    mine = (bars["ticker"] == "A").to_numpy()
    level = np.where(bars["date"].to_numpy() > DATES[session], 50.0, 40.0)
    for column in ("open", "high", "low", "close", "adj_close"):
        bars[column] = np.where(mine, level, bars[column])
    return bars


def entered_before_public(entry_at: AnyArray, known_at: AnyArray) -> BoolArray:
    early: BoolArray = entry_at <= known_at
    return early


def test_d_lab_03_a_label_starts_at_a_price_that_the_reader_could_reach() -> None:
    session = 80
    close = DATES[session].astype("datetime64[ns]") + np.timedelta64(21, "h")
    news = pd.DataFrame(
        {
            "published_at": pd.DatetimeIndex([close + np.timedelta64(90, "m")]).tz_localize("UTC"),
            "ticker": "A",
            "text": "jumps",
        }
    )
    store = build_store(market(jumped(session), news=news), RULE)
    days, assets = np.arange(60, 120), np.arange(store.n_assets)
    train = store.train_view(days, [Read("text.body", 1)], [LABEL], assets)
    honest: FloatArray = train.text_label(LABEL)
    from_the_filing_date = np.log(store.columns["close"][session + 4, 0] / store.columns["close"][session, 0])
    known_at = store.text.frame["known_at"].to_numpy()
    assert entered_before_public(store.decided_at[[session]], known_at).all()
    assert not entered_before_public(store.opens_at[store.text.session + 1], known_at).any()
    assert np.isclose(from_the_filing_date, np.log(50.0 / 40.0))  # the jump that nobody could hold
    assert np.allclose(honest, 0.0)
    assert not np.isclose(honest, from_the_filing_date).any()


# Sampling


def by_weakest_year(news: pd.DataFrame) -> pd.DataFrame:
    """As upstream samples: each year the number of documents of the weakest year of all."""
    year = news["published_at"].dt.year
    return news[news.groupby(year).cumcount() < news.groupby(year).size().min()]


def unscored(news: pd.DataFrame, store: MarketStore) -> set[str]:
    """Documents that exist and have no row, and are not counted as left out."""
    return set(news["doc_id"]) - set(store.text.frame["doc_id"])


def known_by(store: MarketStore, session: int) -> list[str]:
    table = store.text.frame
    told: list[str] = table.loc[table["session"] <= session, "chunk_id"].tolist()
    return told


def test_d_txt_02_no_filing_is_drawn_by_a_quota_of_later_years(tmp_path: Path) -> None:
    early = [ten_k(accepted=f"201912{day:02d}110000", accession=f"0000000001-19-0000{day:02d}") for day in range(2, 7)]
    late = [ten_k(accepted="20200106110000", accession="0000000001-20-000001")]
    news = imported(tmp_path, *early, *late)
    cut = session_of(stored(news), "2019-12-31")

    def knows_the_future(sampled: bool) -> bool:
        """Whether documents of 2019 depend on how many there are in 2020."""
        whole, past = news, news[news["published_at"] < "2020-01-01"]
        if sampled:
            whole, past = by_weakest_year(whole), by_weakest_year(past)
        return known_by(stored(whole), cut) != known_by(stored(past), cut)

    assert knows_the_future(sampled=True)
    assert not knows_the_future(sampled=False)
    assert len(unscored(news, stored(by_weakest_year(news)))) == 4
    assert not unscored(news, stored(news))


def test_d_txt_02_form_and_year_come_from_the_header(tmp_path: Path) -> None:
    folder = tmp_path / "2012" / "10-K"
    folder.mkdir(parents=True)
    news = imported(folder, submission(form="8-K", accepted="20200114110000"))
    by_folder = (folder.parent.name, folder.name)
    by_header = (f"{news['accepted_at'].iloc[0]:%Y}", news["form_type"].iloc[0])
    assert by_header == ("2020", "8-K")
    assert by_folder != by_header
    assert not set(by_folder) & set(by_header)


# Mapping


TWO_ISSUERS = [
    {"ticker": "B", "price_ticker": "A", "start_date": "", "end_date": "2020-01-01", "cik": "1"},  # B was A's old ticker
    {"ticker": "B", "price_ticker": "B", "start_date": "2020-02-01", "end_date": "", "cik": "2"},  # then somebody else's
]
DATED = pd.DataFrame(TWO_ISSUERS)
SNAPSHOT = pd.DataFrame(TWO_ISSUERS).drop(columns=["start_date", "end_date"]).iloc[[1]]  # today's, one ticker an issuer


def joined_to_strangers(store: MarketStore, issuers: dict[str, str]) -> list[str]:
    """Documents that were given to a name of another issuer."""
    table = store.text.frame
    return [doc for doc, ticker in zip(table["doc_id"], table["ticker"], strict=True) if issuers[doc] != ticker]


def test_d_txt_03_a_ticker_that_another_issuer_took_is_not_joined_to_it() -> None:
    stamps = pd.to_datetime(["2019-12-02 15:00", "2020-01-15 15:00", "2020-02-14 15:00"], utc=True)
    news = pd.DataFrame({"published_at": stamps, "ticker": "B", "text": "x", "doc_id": ["old", "nobody", "new"]})
    truth = {"old": "A", "nobody": "", "new": "B"}
    snapshot, dated = stored(news, SNAPSHOT), stored(news, DATED)
    assert joined_to_strangers(snapshot, truth) == ["old", "nobody"]
    assert not joined_to_strangers(dated, truth)
    assert dated.text.frame["doc_id"].tolist() == ["old", "new"]
    assert dated.facts["text"]["unmapped"] == 1  # type: ignore[index]


def test_d_txt_03_an_issuer_of_two_names_stays_unmapped_and_is_counted(tmp_path: Path) -> None:
    news = imported(tmp_path, filed_late(1, "20200114110000", "20200114"))
    classes = pd.DataFrame({"ticker": ["A", "B"], "price_ticker": ["A", "B"], "cik": ["1", "1"]})
    first_of_two, both = stored(news, classes.iloc[:1]), stored(pd.concat([news, news.assign(ticker="B", cik="")]), classes)
    assert first_of_two.text.frame["ticker"].tolist() == ["A"]
    assert not (both.text.frame["ticker"] == "A").any()
    assert both.facts["text"]["ambiguous"] == 1  # type: ignore[index]
