"""The 23 event features: their windows against a slow reference, at the cutoff to the minute, and never from the future."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glassbox_bt.errors import ContractError, LookAheadError
from glassbox_bt.market.calendar import first_session_after, sessions
from glassbox_bt.market.documents import COLUMNS, empty_text
from glassbox_bt.market.event_features import (
    FEATURES,
    MISSING,
    NEVER,
    PREFIX,
    event_columns,
    event_facts,
    event_records,
)
from glassbox_bt.market.events import EVENT_TYPES
from glassbox_bt.market.ingest import build_store
from glassbox_bt.market.sources.raw import RawMarket
from glassbox_bt.market.sources.synthetic import SyntheticMarket
from glassbox_bt.market.store import MarketStore
from glassbox_bt.types import AnyArray, FloatArray, Read

CLOCK = sessions("XNYS", "2019-06-03", "2020-01-31")  # early closes on 3 July, 29 November, 24 December
CUTOFFS = CLOCK.closes_at
DAY = pd.Timedelta(days=1)
FORMS = ("", "", "", "8-K", "10-K405", "10-Q", "DEF 14A", "SC 13D/A", "424B5")
BASES = {"8-K": 0.5, "10-K405": 0.9, "10-Q": 0.7, "DEF 14A": 0.6, "SC 13D/A": 0.4, "424B5": 0.3}


def made(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Events with the columns of `event_records`, in order of knowledge; what a row leaves out is plain."""
    plain: dict[str, Any] = {
        "asset": 0, "ticker": "A", "form_type": "", "event_type": "earnings", "event_severity": 0.5, "impact_dividend": 0.1,
        "impact_liquidity": 0.2, "impact_credit": 0.3, "impact_growth": 0.4, "sentiment_score": 0.0, "n_characters": 100,
    }  # fmt: skip
    table = pd.DataFrame([plain | row for row in rows]).sort_values("known_at", kind="stable", ignore_index=True)
    known = table["known_at"].astype("datetime64[ns]")
    return table.assign(
        known_at=known,
        document=np.arange(len(table)),
        doc_id=[f"d{at}" for at in range(len(table))],
        session=first_session_after(known.to_numpy(), CUTOFFS),
        is_filing=table["form_type"] != "",
    )


def columns(events: pd.DataFrame, n_assets: int = 1) -> dict[str, FloatArray]:
    return {name.removeprefix(PREFIX): values for name, values in event_columns(events, CUTOFFS, n_assets).items()}


def reference(events: pd.DataFrame, cutoff: pd.Timestamp, asset: int) -> dict[str, float]:
    """The spec read aloud, one name and day at a time."""
    past = events[(events["asset"] == asset) & (events["known_at"] <= cutoff)]

    def window(days: int, rows: pd.DataFrame = past) -> pd.DataFrame:
        return rows[rows["known_at"] > cutoff - days * DAY]

    news, filings = past[~past["is_filing"]], past[past["is_filing"]]
    out: dict[str, float] = {}
    for what in ("refinancing", "dividend", "litigation"):
        mine = past[past["event_type"].str.contains(what)]
        out |= {f"event_count_{what}_{days}d": len(window(days, mine)) for days in (7, 30, 90)}
    bad = news[news["sentiment_score"] < -0.2]
    out |= {f"event_count_negative_news_{days}d": len(window(days, bad)) for days in (7, 30, 90)}
    out["max_event_severity_30d"] = window(30)["event_severity"].max() if len(window(30)) else 0.0
    severe = past.loc[past["event_severity"] >= 0.75, "known_at"]
    out["time_since_last_high_severity_event"] = min((cutoff - severe.max()) / DAY, NEVER) if len(severe) else NEVER
    for side in ("dividend", "liquidity", "credit"):
        out[f"sum_impact_{side}_90d"] = window(90)[f"impact_{side}"].sum()
    tone = window(7, news)["sentiment_score"]
    out["news_sentiment_mean_7d"], out["news_sentiment_min_7d"] = (tone.mean(), tone.min()) if len(tone) else (0.0, 0.0)
    month = len(window(30))
    out["event_intensity_acceleration_ratio"] = (len(window(7)) / 7) / (month / 30) if month else 0.0
    both = set(window(3, news)["event_type"]) & set(window(3, filings)["event_type"]) - {"other"}
    out["cross_source_confirmation_flag"] = float(bool(both))
    told, filed = window(7, news)["known_at"], window(7, filings)["known_at"]
    lead = (told.min() - filed.min()) / pd.Timedelta(hours=48) if len(told) and len(filed) else 0.0
    out["information_asymmetry_proxy_score"] = float(np.clip(lead, 0.0, 1.0))
    recent = window(30, filings)
    index = [
        BASES[form] * (0.5 + 0.5 * min(1.0, n / 10_000))
        for form, n in zip(recent["form_type"], recent["n_characters"], strict=True)
    ]
    out["filing_complexity_index"] = float(np.mean(index)) if index else 0.0
    missing = {"text_missing": not len(past), "news_missing": not len(news), "filing_missing": not len(filings)}
    missing["confirmation_missing"] = missing["news_missing"] or missing["filing_missing"]
    return out | {name: float(flag) for name, flag in missing.items()}


EVENTS = st.lists(
    st.fixed_dictionaries(
        {
            "known_at": st.one_of(
                st.integers(0, 340_000).map(lambda minutes: pd.Timestamp("2019-06-04") + pd.Timedelta(minutes=minutes)),
                # at, and just beside, a cutoff or the far end of a window from one
                st.builds(
                    lambda at, days, beside: pd.DatetimeIndex(CUTOFFS)[at] + days * DAY + pd.Timedelta(minutes=beside),
                    st.integers(10, 60), st.sampled_from([0, 3, 7, 30]), st.sampled_from([-1, 0, 1]),
                ),
            ),
            "asset": st.integers(0, 1),
            "form_type": st.sampled_from(FORMS),
            "event_type": st.sampled_from(EVENT_TYPES),
            "event_severity": st.integers(0, 20).map(lambda value: value / 20),
            "impact_credit": st.integers(0, 1000).map(lambda value: value / 1000),
            "sentiment_score": st.integers(-10, 10).map(lambda value: value / 10),
            "n_characters": st.integers(1, 20_000),
        }
    ),
    min_size=1,
    max_size=10,
)  # fmt: skip


def changes(events: pd.DataFrame) -> list[tuple[int, int]]:
    """Sessions at which an event enters or leaves one of the windows, and those before them, with the event's name."""
    pairs = set()
    for days in (0, 3, 7, 30, 90):
        at = np.searchsorted(CUTOFFS, (events["known_at"] + days * DAY).to_numpy())
        pairs |= {(int(day), int(asset)) for day, asset in zip(at, events["asset"], strict=True)}
        pairs |= {(int(day) - 1, int(asset)) for day, asset in zip(at, events["asset"], strict=True)}
    return sorted((day, asset) for day, asset in pairs if 0 <= day < len(CUTOFFS))


@given(EVENTS)
@settings(max_examples=5, deadline=None)
def test_every_window_is_what_the_slow_reference_says(rows: list[dict[str, Any]]) -> None:
    events = made(rows)
    fast = columns(events, 2)
    for day, asset in changes(events):
        for name, value in reference(events, pd.DatetimeIndex(CUTOFFS)[day], asset).items():
            assert fast[name][day, asset] == pytest.approx(value, rel=1e-6, abs=1e-6), (name, day, asset)


def test_the_columns_are_those_of_the_spec() -> None:
    names = list(columns(made([{"known_at": "2019-07-01"}])))
    assert len(FEATURES) == 23
    assert names[:23] == list(FEATURES)
    assert set(MISSING) == set(FEATURES)
    assert names[23:] == ["text_missing", "news_missing", "filing_missing", "confirmation_missing"]
    assert set(MISSING.values()) == set(names[23:])


EARLY = int(np.flatnonzero(CLOCK.dates == np.datetime64("2019-07-03"))[0])  # closes at 13:00
FRIDAY = int(np.flatnonzero(CLOCK.dates == np.datetime64("2019-08-02"))[0])


@pytest.mark.parametrize("day", [EARLY, FRIDAY, 70])
def test_an_event_at_the_cutoff_counts_and_one_a_minute_later_does_not(day: int) -> None:
    """Planted: the same event at the cutoff, a minute after it, and re-dated to before it."""
    cutoff = pd.Timestamp(CUTOFFS[day])
    for moment, first in ((cutoff, day), (cutoff + pd.Timedelta(minutes=1), day + 1), (cutoff - pd.Timedelta(hours=2), day)):
        fast = columns(made([{"known_at": moment, "event_type": "litigation", "event_severity": 0.9}]))
        for name in ("event_count_litigation_7d", "max_event_severity_30d", "sum_impact_credit_90d"):
            assert np.flatnonzero(fast[name][:, 0])[0] == first
        since = fast["time_since_last_high_severity_event"][:, 0]
        assert (since[:first] == NEVER).all()
        assert since[first] == pytest.approx((pd.Timestamp(CUTOFFS[first]) - moment) / DAY, abs=1e-4)
        assert (fast["text_missing"][:first] == 1.0).all()
        assert (fast["text_missing"][first:] == 0.0).all()


def test_an_event_leaves_a_window_after_its_days_and_leaves_nothing_behind() -> None:
    cutoff = pd.Timestamp(CUTOFFS[40])
    week_on = int(np.flatnonzero(pd.DatetimeIndex(CUTOFFS) == cutoff + 7 * DAY)[0])
    rows: list[dict[str, Any]] = [{"known_at": cutoff, "impact_credit": 0.1, "event_type": "refinancing"}]
    counted = columns(made(rows))["event_count_refinancing_7d"][:, 0]
    assert counted[week_on - 1] == 1.0
    assert counted[week_on] == 0.0  # known exactly seven days before
    beside = columns(made([{**rows[0], "known_at": cutoff + pd.Timedelta(minutes=1)}]))
    assert beside["event_count_refinancing_7d"][week_on, 0] == 1.0
    many = made([{**rows[0], "known_at": cutoff + pd.Timedelta(minutes=at), "impact_credit": 0.1} for at in range(30)])
    assert (columns(many)["sum_impact_credit_90d"][-20:, 0] == 0.0).all()  # exactly: no residue of running sums


def test_confirmation_wants_the_same_type() -> None:
    """Planted: upstream's flag rises on any filing with any news; here their types must agree."""
    moment = pd.Timestamp(CUTOFFS[30])
    filing = {"known_at": moment - pd.Timedelta(hours=30), "form_type": "8-K", "event_type": "earnings"}
    flags = {
        kind: columns(made([filing | {"event_type": of}, {"known_at": moment, "event_type": kind}]))
        for kind, of in (("earnings", "earnings"), ("litigation", "earnings"), ("other", "other"))
    }
    raised = {kind: flag["cross_source_confirmation_flag"][30, 0] for kind, flag in flags.items()}
    assert raised == {"earnings": 1.0, "litigation": 0.0, "other": 0.0}
    assert flags["litigation"]["information_asymmetry_proxy_score"][30, 0] == pytest.approx(30 / 48)
    late = columns(made([filing | {"known_at": moment - pd.Timedelta(days=3)}, {"known_at": moment}]))
    assert late["cross_source_confirmation_flag"][30, 0] == 0.0


def test_text_about_the_market_belongs_to_no_name() -> None:
    fast = columns(made([{"known_at": CUTOFFS[5], "asset": -1, "ticker": ""}]))
    assert all((fast[name] == (NEVER if name.startswith("time_since") else 0.0)).all() for name in FEATURES)
    assert (fast["text_missing"] == 1.0).all()


def test_an_event_in_a_session_before_it_was_known_is_refused() -> None:
    events = made([{"known_at": pd.Timestamp(CUTOFFS[8]) + pd.Timedelta(minutes=1)}])
    with pytest.raises(LookAheadError, match="after the close of session 8"):
        event_columns(events.assign(session=8), CUTOFFS, 1)


@given(EVENTS, st.integers(0, len(CUTOFFS) - 1))
@settings(max_examples=25, deadline=None)
def test_events_of_the_future_change_no_row_of_the_past(rows: list[dict[str, Any]], day: int) -> None:
    events = made(rows)
    known = events[(events["known_at"] <= CUTOFFS[day]).to_numpy()]
    if len(known) == 0:
        return
    whole = columns(events, 2)
    for name, values in columns(known, 2).items():
        np.testing.assert_array_equal(values[: day + 1], whole[name][: day + 1])


def text_of(rows: list[dict[str, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows)
    plain: dict[str, Any] = dict.fromkeys(COLUMNS, 0) | {"source": "wire", "form_type": "", "ticker": "A", "doc_id": "d"}
    whole = frame.assign(**{name: value for name, value in plain.items() if name not in frame.columns})
    return whole[list(COLUMNS)].astype({name: kind for name, kind in COLUMNS.items() if name not in ("published_at",)})


def test_records_have_one_row_for_a_document_whatever_its_chunks() -> None:
    known = pd.Timestamp("2019-07-01 15:00")
    rows: list[dict[str, Any]] = [
        {"document": 0, "chunk_index": at, "known_at": known, "published_at": known, "form_type": "8-K", "body": body}
        for at, body in enumerate(["The company was sued.", "It was sued again.", "Nothing else."])
    ]
    rows.append({**rows[0], "document": 1, "form_type": "", "body": "A raises dividend"})
    events = event_records(text_of(rows))
    assert events["document"].tolist() == [0, 1]
    assert events["n_characters"].tolist() == [sum(len(str(row["body"])) for row in rows[:3]), len("A raises dividend")]
    assert events["event_type"].tolist() == ["litigation", "dividend_change"]
    assert events["is_filing"].tolist() == [True, False]
    facts = event_facts(events)
    assert facts["by_type"]["litigation"] == facts["n_filings"] == 1
    assert sum(facts["by_type"].values()) == facts["n_events"] == 2


def test_no_text_gives_columns_of_nothing() -> None:
    none = event_records(empty_text())
    assert len(none) == 0
    assert (columns(none)["text_missing"] == 1.0).all()
    assert (columns(none)["time_since_last_high_severity_event"] == NEVER).all()


@cache
def raw() -> RawMarket:
    return SyntheticMarket(seed=3, n_names=4, first="2018-01-02", last="2020-12-31", halts=0, delistings=0, splits=0).raw()


def event_columns_of(store: MarketStore) -> dict[str, AnyArray]:
    return {name: values for name, values in store.columns.items() if name.startswith(PREFIX)}


def test_a_store_has_events_wherever_it_has_text() -> None:
    store = build_store(raw(), features={})
    told = event_columns_of(store)
    assert len(told) == 27
    assert all(values.shape == (store.n_sessions, store.n_assets) and values.dtype == np.float32 for values in told.values())
    assert told["event.event_count_litigation_90d"].max() >= 1.0
    assert store.facts["events"]["n_events"] == len(store.records["events"])  # type: ignore[index]
    day, assets = np.array([300], dtype=np.int64), np.arange(store.n_assets, dtype=np.int64)
    read = "event.max_event_severity_30d"
    np.testing.assert_array_equal(store.span(day, [Read(read)], assets).today(read)[0], told[read][300])
    again = event_columns_of(build_store(raw(), features={}))
    assert all(values.tobytes() == again[name].tobytes() for name, values in told.items())


def test_a_market_without_text_has_no_events_and_says_so() -> None:
    store = build_store(replace(raw(), news=None), features={})
    assert not event_columns_of(store)
    assert "events" not in store.records
    with pytest.raises(ContractError, match="no text, so it has no columns of events"):
        store.span(np.array([300]), [Read("event.max_event_severity_30d")], np.arange(2))


CHANGES: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "other words": lambda later: later.assign(text="Acme files for bankruptcy, sued, fined, hacked"),
    "re-dated": lambda later: later.assign(published_at=later["published_at"] + pd.Timedelta(days=2)),
    "gone": lambda later: later.iloc[:0],
    "more of them": lambda later: pd.concat([later, later.assign(doc_id="copy-" + later["doc_id"])]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_later_documents_change_no_earlier_row_of_a_store(change: str) -> None:
    market = raw()
    assert market.news is not None
    clean = build_store(market, features={})
    for day in (150, 420, 600):
        late = (market.news["published_at"].dt.tz_localize(None) > clean.decided_at[day]).to_numpy()
        news = pd.concat([market.news[~late], CHANGES[change](market.news[late])], ignore_index=True)
        other = build_store(replace(market, news=news), features={})
        for name, values in event_columns_of(clean).items():
            np.testing.assert_array_equal(values[: day + 1], other.columns[name][: day + 1], err_msg=name)
        assert any((values != other.columns[name]).any() for name, values in event_columns_of(clean).items())
