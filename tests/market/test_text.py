"""The table of text: when a document may be used, whom it is about, and what becomes of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glassbox_bt.errors import MarketDataError
from glassbox_bt.market.archive import open_store, save_store
from glassbox_bt.market.calendar import sessions
from glassbox_bt.market.checks import check_market
from glassbox_bt.market.documents import COLUMNS, TextTable
from glassbox_bt.market.side_tables import KnownAt
from glassbox_bt.market.sources.raw import RawMarket
from glassbox_bt.market.text import text_records
from glassbox_bt.types import Read
from tests.market.markets import DATES, EAGER, market, prices

NEW_YORK = "America/New_York"
PAST = sessions("XNYS", "2019-06-01", "2020-03-31")
CLOCK = sessions("XNYS", "2019-10-01", "2020-03-31")
TICKERS = ("A", "B", "C")
BARS = prices()


def news(*rows: dict[str, Any], **columns: Any) -> pd.DataFrame:
    """Documents; what a row does not say is plain."""
    plain = {"published_at": "2019-11-05 15:00:00+00:00", "ticker": "A", "text": "words"}
    return pd.DataFrame([plain | row for row in rows]).assign(**columns)


def records(
    table: pd.DataFrame, tickers: tuple[str, ...] = TICKERS, rule: str | None = None, **tables: Any
) -> tuple[pd.DataFrame, dict[str, Any]]:
    raw: RawMarket = market(BARS, {"known_at": {"news": rule} if rule else {}}, news=table, **tables)
    checked = check_market(raw).raw
    return text_records(checked, CLOCK, KnownAt(PAST, checked.meta), tickers)


def days_of(table: pd.DataFrame) -> list[str]:
    return [str(day) for day in CLOCK.dates[table["session"].to_numpy()]]


def at(wall_clock: str) -> str:
    """UTC of a time in New York, as a source writes it."""
    return pd.Timestamp(wall_clock, tz=NEW_YORK).tz_convert("UTC").isoformat()


# The clock


@pytest.mark.parametrize(
    ("wall_clock", "day"),
    [
        ("2019-11-05 15:30", "2019-11-05"),
        ("2019-11-05 16:00", "2019-11-05"),
        ("2019-11-05 16:00:01", "2019-11-06"),
        ("2019-11-05 17:30", "2019-11-06"),
        ("2019-11-06 03:00", "2019-11-06"),
        ("2019-11-29 12:59", "2019-11-29"),  # closes at 13:00
        ("2019-11-29 13:01", "2019-12-02"),
        ("2019-12-24 15:30", "2019-12-26"),  # closes at 13:00, then Christmas
        ("2019-11-30 12:00", "2019-12-02"),  # Saturday
        ("2019-11-28 10:00", "2019-11-29"),  # Thanksgiving
        ("2019-11-01 15:59", "2019-11-01"),  # the last session of summer time, UTC-4
        ("2019-11-04 15:59", "2019-11-04"),  # the first of winter time, UTC-5
        ("2020-03-06 16:30", "2020-03-09"),  # winter time ends on the Sunday between
    ],
)
def test_a_document_belongs_to_the_first_close_that_it_precedes(wall_clock: str, day: str) -> None:
    table, _ = records(news({"published_at": at(wall_clock)}))
    assert days_of(table) == [day]


@settings(max_examples=30, deadline=None)
@given(session=st.integers(0, len(DATES) - 2), minutes=st.integers(1, 6 * 60))
def test_what_is_written_after_a_close_never_acts_on_it_and_what_is_written_before_does(session: int, minutes: int) -> None:
    step = np.timedelta64(minutes, "m")
    moments = [str(pd.Timestamp(CLOCK.closes_at[session] + by, tz="UTC")) for by in (-step, step)]
    table, _ = records(news(*({"published_at": moment} for moment in moments)))
    assert table["session"].tolist() == [session, session + 1]


@settings(max_examples=30, deadline=None)
@given(minutes=st.lists(st.integers(0, 175 * 24 * 60), min_size=1, max_size=8))
def test_no_document_is_used_before_it_is_public_nor_kept_from_the_first_close_after(minutes: list[int]) -> None:
    moments = [pd.Timestamp("2019-10-03", tz="UTC") + pd.Timedelta(minutes=m) for m in minutes]
    told = [True] * len(moments)  # a midnight that is drawn is a moment
    table, _ = records(news(*({"published_at": str(moment)} for moment in moments), has_time=told))
    session, known = table["session"].to_numpy(), table["known_at"].to_numpy()
    assert (known <= CLOCK.closes_at[session]).all()
    assert (known > CLOCK.closes_at[session - 1]).all()
    assert np.isin(table["published_at"].to_numpy(), [moment.to_datetime64() for moment in moments]).all()


@pytest.mark.parametrize(
    ("day", "session"),
    [("2019-11-05", "2019-11-06"), ("2019-11-29", "2019-12-02"), ("2019-11-30", "2019-12-02"), ("2019-11-28", "2019-11-29")],
)
def test_a_day_without_a_time_counts_as_after_its_close(day: str, session: str) -> None:
    table, facts = records(news({"published_at": day}, {"published_at": at(f"{day} 04:00")}))
    assert days_of(table[~table["has_time"]]) == [session]
    (published,) = table.loc[~table["has_time"], "published_at"]
    assert f"{published.tz_localize('UTC').tz_convert(NEW_YORK):%Y-%m-%d %H:%M:%S}" == f"{day} 23:59:59"
    assert facts["without_time_share"] == 0.5


def test_a_flag_says_that_a_moment_is_only_a_day() -> None:
    days = pd.to_datetime(["2019-11-05", "2019-11-05"], utc=True)
    table, _ = records(news({"text": "one"}, {"text": "two"}, published_at=days, has_time=[False, True]))
    assert dict(zip(table["body"], days_of(table), strict=True)) == {"one": "2019-11-06", "two": "2019-11-05"}


@pytest.mark.parametrize(
    ("rule", "day"),
    [("column", "2019-11-05"), ("+1 days", "2019-11-07"), ("+1 sessions", "2019-11-06"), ("09:00 Asia/Tokyo", "2019-11-05")],
)
def test_a_rule_delays_and_never_hastens(rule: str, day: str) -> None:
    table, _ = records(news({"published_at": at("2019-11-05 15:00")}), rule=rule)
    assert days_of(table) == [day]


def test_a_rule_counts_from_the_day_of_the_exchange() -> None:
    evening = news({"published_at": at("2019-11-05 20:30")})  # in UTC it is tomorrow already
    assert days_of(records(evening, rule="+1 sessions")[0]) == ["2019-11-06"]


def test_what_lies_outside_the_sessions_is_counted() -> None:
    table, facts = records(
        news(
            {"published_at": at("2019-09-30 15:59"), "text": "the day before"},
            {"published_at": "2001-01-01 12:00Z", "text": "long ago"},
            {"published_at": at("2019-09-30 16:01"), "text": "the evening before"},
            {"published_at": at("2020-03-31 16:01"), "text": "the evening after"},
        )
    )
    assert table["body"].tolist() == ["the evening before"]
    assert (facts["before_first_session"], facts["after_last_session"]) == (2, 1)


@settings(max_examples=12, deadline=None)
@given(data=st.data(), cut=st.integers(20, 100))
def test_rows_of_the_past_stay_whatever_is_written_later(data: st.DataObject, cut: int) -> None:
    def documents(first: int, last: int, n: int, seed: int) -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        low, high = (CLOCK.closes_at[day].astype("datetime64[m]").astype(int) for day in (first, last))
        stamps = rng.integers(low + 1, high, n).astype("datetime64[m]")
        words = [" ".join([f"w{i}"] * int(length)) for i, length in enumerate(rng.choice([3, 400, 900], n))]
        frame = pd.DataFrame({"published_at": pd.DatetimeIndex(stamps).tz_localize("UTC"), "text": words})
        return frame.assign(ticker=rng.choice(["A", "B", ""], n), source=rng.choice(["x", "y"], n))

    past = documents(1, cut, 8, data.draw(st.integers(0, 99)))
    futures = [
        documents(cut, len(CLOCK.dates) - 1, data.draw(st.integers(1, 8)), data.draw(st.integers(100, 199))) for _ in "ab"
    ]
    tables = [records(past)[0]]
    tables += [
        records(pd.concat([past, future]).sample(frac=1.0, random_state=1, ignore_index=True))[0] for future in futures
    ]
    for table in tables[1:]:
        assert len(table) > len(tables[0])
        pd.testing.assert_frame_equal(tables[0], table.head(len(tables[0])))


# Whom it is about


def test_empty_names_are_the_market_and_strange_ones_are_counted() -> None:
    table, facts = records(
        news({"ticker": "A"}, {"ticker": ""}, {"ticker": "C", "text": "not on the axis"}, {"ticker": "Z"}),
        tickers=("A", "B"),
    )
    assert sorted(zip(table["ticker"], table["asset"], strict=True)) == [("", -1), ("A", 0)]
    assert [facts[name] for name in ("mapped", "market_wide", "outside_universe", "unmapped")] == [1, 1, 1, 1]


def test_a_document_of_several_names_is_one_document_and_a_row_each() -> None:
    table, facts = records(news({"ticker": "A"}, {"ticker": "B"}, {"ticker": "B", "text": "another"}))
    assert facts["n_documents"] == 2
    assert table.loc[table["body"] == "words", "doc_id"].nunique() == 1
    assert table["document"].tolist() == [0, 1, 2]


def test_text_that_names_only_strangers_is_refused_and_market_wide_text_is_not() -> None:
    with pytest.raises(MarketDataError, match="No ticker of `news` has prices"):
        records(news({"ticker": "X"}, {"ticker": ""}))
    table, _ = records(news({"ticker": ""}))
    assert table["asset"].tolist() == [-1]


MAP = pd.DataFrame(
    [
        {"ticker": "OLD", "price_ticker": "A", "start_date": "", "end_date": "2019-12-01", "cik": "11"},
        {"ticker": "OLD", "price_ticker": "B", "start_date": "2020-01-01", "end_date": "", "cik": "22"},
        {"ticker": "", "price_ticker": "C", "start_date": "", "end_date": "", "cik": "33"},
        {"ticker": "TW1", "price_ticker": "A", "start_date": "", "end_date": "", "cik": "44"},
        {"ticker": "TW2", "price_ticker": "B", "start_date": "", "end_date": "", "cik": "44"},
    ]
)


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ({"ticker": "OLD", "published_at": "2019-11-05 15:00Z"}, "A"),
        ({"ticker": "OLD", "published_at": "2019-12-05 15:00Z"}, "unmapped"),  # between its spells
        ({"ticker": "OLD", "published_at": "2020-01-06 15:00Z"}, "B"),
        ({"ticker": "OLD", "published_at": "2019-12-01 02:00Z"}, "A"),  # 30 November in New York
        ({"ticker": "", "cik": "0000000033"}, "C"),
        ({"ticker": "", "cik": "33.0"}, "C"),
        ({"ticker": "B", "cik": "33"}, "C"),  # the issuer decides
        ({"ticker": "", "cik": "44"}, "ambiguous"),  # two classes of shares
        ({"ticker": "TW2", "cik": "44"}, "B"),
        ({"ticker": "TW2", "cik": ""}, "B"),
        ({"ticker": "", "cik": "99"}, "unmapped"),
        ({"ticker": "", "cik": "0000000000"}, "unmapped"),  # an issuer that is nobody is not the market
        ({"ticker": "", "cik": " 0.0"}, "unmapped"),
        ({"ticker": "B", "cik": "0000000000"}, "B"),
        ({"ticker": "B", "cik": "99"}, "B"),  # neither is in the map
        ({"ticker": "OLD", "cik": "99"}, "unmapped"),  # the map says whose OLD is
    ],
)
def test_names_and_issuers_are_found_by_dated_spells(row: dict[str, str], found: str) -> None:
    table, facts = records(news({"cik": ""} | row, {"ticker": "C", "text": "anchor", "cik": ""}), ticker_map=MAP)
    told = table.loc[table["body"] == "words", "ticker"].tolist()
    if found in ("unmapped", "ambiguous"):
        assert (told, facts[found]) == ([], 1)
    else:
        assert told == [found]


def test_a_map_row_without_a_name_is_refused() -> None:
    with pytest.raises(MarketDataError, match="names neither a ticker nor a cik"):
        records(news({}), ticker_map=MAP.assign(cik=""))


# What becomes of it


def test_the_columns_are_those_of_the_store() -> None:
    for table in (records(news({}))[0], records(news({"published_at": "2001-01-01 12:00Z"}))[0]):
        assert {name: str(table[name].dtype) for name in table} == dict(COLUMNS)
        TextTable(table)


def test_copies_are_folded_and_other_documents_of_one_name_are_refused() -> None:
    table, facts = records(
        news({"doc_id": "d"}, {"doc_id": "d"}, {"doc_id": "e", "n_copies": 4}, {"doc_id": "f", "n_copies": 0})
    )
    assert dict(zip(table["doc_id"], table["n_copies"], strict=True)) == {"d": 2, "e": 4, "f": 1}
    assert facts["folded_copies"] == 1
    for change in ({"text": "other words"}, {"published_at": "2019-11-06 15:00Z"}):
        with pytest.raises(MarketDataError, match="document `d` of A twice"):
            records(news({"doc_id": "d"}, {"doc_id": "d"} | change))


def test_the_same_words_later_are_another_document() -> None:
    table, facts = records(news({}, {"published_at": "2019-11-05 15:01Z"}))
    assert table["n_copies"].tolist() == [1, 1]
    assert (facts["n_documents"], facts["n_texts"]) == (2, 1)


def test_long_documents_are_chunks_in_order() -> None:
    words = " ".join(f"w{i}" for i in range(700))
    table, facts = records(news({"text": words, "doc_id": "long"}, {"text": "short", "doc_id": "a", "ticker": ""}))
    assert table["chunk_id"].tolist() == ["a#0", "long#0", "long#1", "long#2"]
    assert table["document"].tolist() == [0, 1, 1, 1]
    assert table["n_chunks"].tolist() == [1, 3, 3, 3]
    assert table["word_count"].tolist() == [1, 350, 350, 100]
    assert (facts["n_documents"], facts["n_rows"]) == (2, 4)


def test_sections_are_chunks_of_one_document_in_the_order_of_the_file() -> None:
    risk, mdna = " ".join(["risk"] * 400), " ".join(["outlook"] * 10)
    filing = {"doc_id": "f", "form_type": "10-K"}
    rows = ({"section": "risk_factors", "text": risk}, {"section": "mdna", "text": mdna})
    table, facts = records(news(*(filing | row for row in rows), {"doc_id": "g", "section": ""}))
    assert table["chunk_id"].tolist() == ["f#0", "f#1", "f#2", "g#0"]
    assert table["n_chunks"].tolist() == [3, 3, 3, 1]
    assert [body.split(" ")[0] for body in table["body"]] == ["risk", "risk", "outlook", "words"]
    assert (facts["n_documents"], facts["folded_copies"]) == (2, 0)
    with pytest.raises(MarketDataError, match="another text or time"):
        records(news(*(filing | row for row in rows)).assign(published_at=["2019-11-05 15:00Z", "2019-11-05 15:01Z"]))


def test_a_long_document_is_not_copied_for_each_of_its_chunks() -> None:
    words = " ".join(["word"] * 60_000)
    columns = pa.default_memory_pool()  # counts what columns of text take
    before = columns.max_memory()
    table, _ = records(news({"text": words, "doc_id": "long"}))
    assert len(table) == 200
    assert columns.max_memory() - before < 10 * len(words)


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("2019-11-05", "2019-11-08"),  # their last second is the next day in UTC
        (at("2019-11-05 09:00"), at("2019-11-08 20:30")),
    ],
)
def test_days_of_publication_are_those_of_the_exchange(first: str, last: str) -> None:
    _, facts = records(news({"published_at": first}, {"published_at": last}))
    assert (facts["first_published"], facts["last_published"]) == ("2019-11-05", "2019-11-08")
    _, facts = records(news({"published_at": "2001-01-01 12:00Z"}))
    assert (facts["first_published"], facts["last_published"]) == (None, None)


@pytest.mark.parametrize(
    ("second", "told"), [("2019-11-06", "2019-11-06"), (at("2019-11-06 20:30"), "2019-11-06 20:30 America/New_York")]
)
def test_a_document_given_twice_is_refused_by_the_day_as_written(second: str, told: str) -> None:
    with pytest.raises(MarketDataError, match=rf"another text or time \({told}\)"):
        records(news({"doc_id": "d"}, {"doc_id": "d", "published_at": second}))


def test_what_is_empty_once_clean_is_counted() -> None:
    table, facts = records(news({}, {"text": " <br>\u200b\x00"}, {"text": ""}))
    assert (len(table), facts["empty"]) == (1, 2)


def test_a_document_beyond_the_limit_is_refused() -> None:
    with pytest.raises(MarketDataError, match="at most 5,000,000 are read"):
        records(news({"text": "a" * 5_000_001}))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_every_row_that_was_given_is_kept_or_counted(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 40
    stamps = pd.Timestamp("2019-09-01", tz="UTC") + pd.to_timedelta(rng.integers(0, 240 * 24 * 60, n), unit="m")
    table = pd.DataFrame(
        {
            "published_at": stamps,
            "ticker": rng.choice(["A", "B", "C", "", "Z", "TW1"], n),
            "text": rng.choice(["one", "two", "", "<br>"], n),
            "cik": rng.choice(["", "", "44", "33", "0"], n),
            "doc_id": [f"d{i // 2}" if i < 12 else "" for i in range(n)],
            "section": ["risk_factors", "mdna"] * (n // 2),
        }
    )
    first = np.arange(12) // 2 * 2  # six documents in two sections each, alike in all but these
    table.loc[:11, ["published_at", "ticker", "cik"]] = table[["published_at", "ticker", "cik"]].to_numpy()[first]
    table = pd.concat([table, table.head(5), news({"cik": ""})]).fillna("")
    found, facts = records(table, tickers=("A", "B"), ticker_map=MAP)
    left_out = ("unmapped", "ambiguous", "outside_universe", "before_first_session", "after_last_session", "empty")
    kept = facts["mapped"] + facts["market_wide"]
    assert facts["n_given"] == kept + facts["folded_copies"] + sum(facts[name] for name in left_out)
    assert kept == len(found)  # short texts: a row of the table for each row that is kept


def test_text_without_an_identifier_is_named_by_its_content_and_time() -> None:
    one, two, three = (records(news({"text": text}))[0]["doc_id"].iloc[0] for text in ("a", "a", "b"))
    assert (one == two, one == three) == (True, False)


@pytest.mark.parametrize("column", ["source", "form_type"])
def test_labels_are_plain_and_short(column: str) -> None:
    table, _ = records(news({column: "<b>x</b>\u202e\n" + "y" * 500}))
    assert table[column].tolist() == ["x " + "y" * 198]


def test_links_as_sources_stay_apart() -> None:
    table, facts = records(news({"source": "https://r.com/a"}, {"source": "https://r.com/b"}))
    assert sorted(table["source"]) == ["https://r.com/a", "https://r.com/b"]
    assert (facts["n_documents"], facts["folded_copies"]) == (2, 0)


@pytest.mark.parametrize(
    "ids",
    [
        ("https://r.com/a", "https://r.com/b"),
        ("x" * 200, "x" * 200 + "a", "x" * 200 + "b"),
        ("d", "d\x00", "d\x01", "d\u200b", " d", "d\n"),
        ("a b", "a  b", "a\tb"),
    ],
)
def test_different_identifiers_stay_different_and_plain(ids: tuple[str, ...]) -> None:
    table, facts = records(news(*({"doc_id": one, "text": f"text {at}"} for at, one in enumerate(ids))))
    told = dict(zip(table["body"], table["doc_id"], strict=True))
    labels = [told[f"text {at}"] for at in range(len(ids))]
    assert len(set(labels)) == facts["n_documents"] == len(ids)
    assert all(label.isprintable() and len(label) <= 200 for label in labels)
    assert labels[0] == ids[0]  # what is plain already is nothing but itself


def test_one_link_is_one_document_and_what_shows_nothing_is_no_identifier() -> None:
    table, facts = records(news({"doc_id": "https://r.com/a"}, {"doc_id": "https://r.com/a"}))
    assert (table["doc_id"].tolist(), facts["folded_copies"]) == (["https://r.com/a"], 1)
    blank, unnamed = (records(news({"doc_id": one}))[0]["doc_id"].tolist() for one in (" \u200b", ""))
    assert blank == unnamed


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"has_time": ["maybe"]}, "has_time 'maybe' is neither True nor False"),
        ({"published_at": [None]}, "published_at"),
        ({"n_copies": [-1.0]}, "n_copies is -1.0, but must be 0 or more"),
        ({"n_copies": [1e30]}, r"n_copies is 1e\+30, but must be 1,000,000,000 at most"),
        ({"n_copies": [np.inf]}, "n_copies is inf, but must be 1,000,000,000 at most"),
        ({"published_at": ["9999-12-31"]}, "published_at '9999-12-31' is not between the years 1700 and 2200"),
        ({"accepted_at": ["9999-12-31 10:00Z"]}, "accepted_at '9999-12-31 10:00:00' is not between the years 1700 and 2200"),
        ({"accepted_at": ["2020-01-02 10:00"]}, "accepted_at '2020-01-02 10:00' has no time zone"),
    ],
)
def test_columns_that_make_no_sense_are_refused(columns: dict[str, Any], says: str) -> None:
    with pytest.raises(MarketDataError, match=says):
        records(news({}, **columns))


STORED = {  # one day twice, as programs store it
    "UTC": pd.to_datetime(["2019-11-05", "2019-11-05"], utc=True),
    "New York": pd.to_datetime(["2019-11-05", "2019-11-05"]).tz_localize(NEW_YORK),
    "words": ["2019-11-05 00:00:00+00:00", "2019-11-05T00:00-05:00"],
}


@pytest.mark.parametrize("stored", STORED.values(), ids=STORED)
@pytest.mark.parametrize("column", ["published_at", "accepted_at"])
def test_days_that_a_program_stored_as_midnights_are_refused(column: str, stored: Any) -> None:
    """They would act at the close of their own day."""
    with pytest.raises(MarketDataError, match=f"`news.{column}` is midnight in all 2 rows"):
        records(news({"text": "one"}, {"text": "two"}, **{column: stored}))
    records(news({"text": "one"}, {"text": "two"}, **{column: stored, "has_time": [True, True]}))
    one, _ = list(stored)
    records(news({"text": "one"}, {"text": "two"}, **{column: [str(one), "2019-11-05 14:30:00+00:00"]}))


# In the store


def test_the_store_holds_its_text_and_its_facts(tmp_path: Any) -> None:
    from glassbox_bt.market.ingest import build_store
    from glassbox_bt.market.universe import UniverseRule

    table = news({"published_at": at("2019-11-05 17:30")}, {"published_at": at("2019-11-06 10:00"), "ticker": ""})
    store = build_store(market(BARS, news=table), UniverseRule(**EAGER), features={})
    save_store(store, tmp_path)
    for one in (store, open_store(tmp_path)):
        day = int(np.searchsorted(one.dates, np.datetime64("2019-11-06")))
        span = one.span(np.array([day]), [Read("text.body", 1)], np.arange(3))
        assert span.block("text.body").tolist() == ["words", "words"]
        assert span.text.asset.tolist() == [0, -1]
        assert not len(one.span(np.array([day - 1]), [Read("text.body", 1)], np.arange(3)).text)
        assert one.facts["text"]["n_documents"] == 2  # type: ignore[index]
    without = build_store(market(BARS), UniverseRule(**EAGER), features={})
    assert ("text" in without.records, without.facts["text"]) == (False, {})
