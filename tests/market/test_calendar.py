from __future__ import annotations

import numpy as np
import pytest

from glassbox_bt.errors import MarketDataError
from glassbox_bt.market.calendar import first_session_after, sessions, time_zone


def test_a_year_has_its_sessions_and_holidays_are_none() -> None:
    clock = sessions("XNYS", "2024-01-01", "2024-12-31")
    assert len(clock.dates) == 252
    assert clock.dates[0] == np.datetime64("2024-01-02")
    assert np.datetime64("2024-07-04") not in clock.dates


def test_early_closes_and_summer_time_are_honoured() -> None:
    clock = sessions("XNYS", "2024-01-01", "2024-12-31")
    close_of = dict(zip(clock.dates.astype(str), clock.closes_at.astype("datetime64[m]").astype(str), strict=True))
    assert close_of["2024-01-03"] == "2024-01-03T21:00"
    assert close_of["2024-07-02"] == "2024-07-02T20:00"
    assert close_of["2024-11-29"] == "2024-11-29T18:00"  # 13:00 in New York, the day after Thanksgiving


def test_ends_are_included_and_the_answer_does_not_depend_on_the_rest() -> None:
    long = sessions("XNYS", "1999-06-01", "2003-06-30")
    short = sessions("XNYS", "2001-09-10", "2001-09-17")
    assert short.dates.astype(str).tolist() == ["2001-09-10", "2001-09-17"]
    inside = (long.dates >= short.dates[0]) & (long.dates <= short.dates[-1])
    np.testing.assert_array_equal(long.closes_at[inside], short.closes_at)


def test_opens_lie_before_closes_and_after_the_close_before() -> None:
    clock = sessions("XNYS", "2000-01-01", "2010-12-31")
    assert (clock.opens_at < clock.closes_at).all()
    assert (clock.opens_at[1:] > clock.closes_at[:-1]).all()


def test_what_is_published_at_the_close_may_be_used_and_a_second_later_may_not() -> None:
    cutoffs = sessions("XNYS", "2024-11-25", "2024-12-03").closes_at
    friday = int(np.searchsorted(cutoffs, np.datetime64("2024-11-29T18:00")))
    moments = np.array(
        ["2024-11-29T18:00:00", "2024-11-29T18:00:01", "2024-11-30T12:00:00", "2024-12-24T00:00:00", "NaT"],
        dtype="datetime64[ns]",
    )
    expected = [friday, friday + 1, friday + 1, len(cutoffs), len(cutoffs)]
    assert first_session_after(moments, cutoffs).tolist() == expected


@pytest.mark.parametrize(
    ("name", "first", "last", "says"),
    [
        ("NOPE", "2020-01-01", "2020-12-31", "Unknown calendar `NOPE`"),
        ("XNYS", "2020-01-04", "2020-01-05", "no session"),
        ("XHKG", "1950-01-01", "1950-12-31", "does not cover"),
    ],
)
def test_bad_questions_are_refused(name: str, first: str, last: str, says: str) -> None:
    with pytest.raises(MarketDataError, match=says):
        sessions(name, first, last)


def test_time_zone_of_an_exchange() -> None:
    assert time_zone("XNYS") == "America/New_York"
    assert time_zone("XLON") == "Europe/London"
