"""The archive of rare events: outcomes by hand, readable 60 days later and not a moment before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from glassbox_bt.errors import ContractError
from glassbox_bt.market.calendar import first_session_after, sessions
from glassbox_bt.market.event_archive import OUTCOMES, nearest_events, rare_events
from glassbox_bt.market.ingest import build_store
from glassbox_bt.market.sources.synthetic import SyntheticMarket
from glassbox_bt.types import AnyArray, FloatArray

CLOCK = sessions("XNYS", "2019-01-02", "2019-12-31")
CUTOFFS = CLOCK.closes_at
DAYS = np.timedelta64(60, "D")
EVENT = 100  # session that first knows it
N = len(CUTOFFS)


def rare(known_at: AnyArray | None = None, **values: Any) -> pd.DataFrame:
    known = np.atleast_1d(CUTOFFS[EVENT] - np.timedelta64(3, "h") if known_at is None else known_at)
    table = pd.DataFrame({"known_at": known.astype("datetime64[ns]")})
    plain: dict[str, Any] = {
        "asset": 0, "ticker": "A", "event_type": "refinancing", "event_subtype": "distress", "event_severity": 0.9,
        "impact_dividend": 0.8, "impact_liquidity": 0.9, "impact_credit": 0.9, "impact_growth": 0.7, "sentiment_score": -0.9,
        "is_rare_event": True,
    }  # fmt: skip
    return table.assign(
        **(plain | values),
        document=np.arange(len(known)),
        doc_id=[f"d{at}" for at in range(len(known))],
        session=first_session_after(table["known_at"].to_numpy(), CUTOFFS),
    )


def prices(close: FloatArray) -> dict[str, AnyArray]:
    """Columns of one name; it opens each session at the close before."""
    opens = np.append(close[0], close[:-1])
    gone = np.zeros((len(close), 1))
    return {
        "mark": close[:, None],
        "open": opens[:, None],
        "delist_price": np.full((len(close), 1), np.nan),
        "delisted": gone,
    }


def one(columns: dict[str, AnyArray], events: pd.DataFrame | None = None) -> pd.Series:
    return rare_events(rare() if events is None else events, columns, CUTOFFS).iloc[0]


def test_outcomes_are_those_of_the_path() -> None:
    """100 before, 80 at the event, down to 60, back at 100 on the 20th session, 120 at the end."""
    close = np.full(N, 100.0)
    close[EVENT : EVENT + 10], close[EVENT + 10 : EVENT + 20], close[EVENT + 20 :] = 80.0, 60.0, 120.0
    close[:EVENT] *= np.exp(0.001 * (-1.0) ** np.arange(EVENT))
    close[EVENT - 1] = 100.0
    told = one(prices(close))
    assert told["reaction_log_return"] == pytest.approx(np.log(0.8))
    assert told["post_log_return_60d"] == pytest.approx(np.log(120 / 80))
    assert told["reachable_log_return_60d"] == pytest.approx(np.log(120 / 80))  # the next open is the close before it
    assert told["max_drawdown_60d"] == pytest.approx(-0.4)
    back = (CUTOFFS[EVENT + 20] - told["event_known_at"].to_datetime64()) / np.timedelta64(1, "D")
    assert told["recovery_days"] == pytest.approx(back)
    assert told["is_recovered"] == 1.0
    assert told["volatility_ratio"] > 10.0
    assert told["is_booked_out"] == 0.0
    assert told["known_at"] - told["event_known_at"] == pd.Timedelta(days=60)


def test_what_never_fell_needs_no_recovery_and_what_stays_down_has_none() -> None:
    up, down = np.linspace(50.0, 150.0, N), np.linspace(150.0, 50.0, N)
    assert one(prices(up))[["recovery_days", "is_recovered", "max_drawdown_60d"]].tolist() == [0.0, 1.0, 0.0]
    told = one(prices(down))
    assert np.isnan(told["recovery_days"])
    assert told["is_recovered"] == 0.0


def test_a_name_that_stops_trading_keeps_its_loss() -> None:
    close = np.full(N, 100.0)
    columns = prices(close)
    columns["mark"][EVENT + 5 :] = np.nan
    columns["delist_price"][EVENT + 5] = 10.0
    columns["delisted"][EVENT + 5 :] = 1.0
    told = one(columns)
    assert told["post_log_return_60d"] == pytest.approx(np.log(0.1))
    assert told["is_booked_out"] == 1.0
    late = rare(CUTOFFS[[EVENT + 8]])  # after it had gone: nothing can be said
    assert rare_events(late, columns, CUTOFFS)[list(OUTCOMES)].isna().all(axis=None)


def test_only_rare_events_of_names_are_kept() -> None:
    events = pd.concat([rare(), rare(is_rare_event=False), rare(asset=-1, ticker="")], ignore_index=True)
    assert len(rare_events(events, prices(np.full(N, 100.0)), CUTOFFS)) == 1


def test_an_outcome_is_readable_sixty_days_later_and_not_before() -> None:
    archive = rare_events(rare(), prices(np.linspace(50.0, 150.0, N)), CUTOFFS)
    like = archive.iloc[0].to_dict()
    end = archive["event_known_at"].to_numpy()[0] + DAYS
    assert len(nearest_events(archive, like, end - np.timedelta64(1, "ns"))) == 0
    assert len(nearest_events(archive, like, end)) == 1


def test_an_outcome_that_the_data_do_not_reach_is_not_known() -> None:
    """Planted: an archive that were read at its event would show a return that ends after the data."""
    close = np.linspace(50.0, 150.0, N)
    last = int(np.searchsorted(CUTOFFS, CUTOFFS[EVENT] + DAYS)) - 2
    short = {name: values[: last + 1] for name, values in prices(close).items()}
    told = rare_events(rare(), short, CUTOFFS[: last + 1])
    assert told["known_at"].isna().all()
    assert told[list(OUTCOMES)].isna().all(axis=None)
    assert len(nearest_events(told, told.iloc[0].to_dict(), CUTOFFS[-1])) == 0


def test_prices_after_the_window_change_nothing() -> None:
    close = np.linspace(50.0, 150.0, N)
    beyond = close.copy()
    end = int(np.searchsorted(CUTOFFS, CUTOFFS[EVENT] - np.timedelta64(3, "h") + DAYS, side="right"))
    beyond[end:] = 1.0
    within = beyond.copy()
    within[end - 1] = 1.0
    assert one(prices(close)).equals(one(prices(beyond)))
    assert not one(prices(close)).equals(one(prices(within)))


def test_a_window_before_the_data_begin_is_not_known() -> None:
    early = rare(CUTOFFS[[20]])
    told = rare_events(early, prices(np.linspace(50.0, 150.0, N)), CUTOFFS).iloc[0]
    assert np.isnan(told["pre_log_return_60d"])
    assert np.isfinite(told["post_log_return_60d"])


def test_the_nearest_are_those_most_alike() -> None:
    events = rare(CUTOFFS[[30, 40, 50, 60]], event_severity=[0.9, 0.82, 0.9, 0.9])
    events["event_type"] = ["refinancing", "refinancing", "litigation", "refinancing"]
    archive = rare_events(events, prices(np.linspace(50.0, 150.0, N)), CUTOFFS)
    like = events.iloc[0].to_dict()
    found = nearest_events(archive, like, CUTOFFS[-1], n_events=3)
    assert found["document"].tolist() == [3, 0, 1]  # the newer of two equals first, another type last
    assert found["distance"].tolist() == pytest.approx([0.0, 0.0, 0.08])
    assert nearest_events(archive, like, CUTOFFS[72]).shape[0] == 1  # 60 days after the first, not yet after the second
    for wrong in ({"n_events": 0}, {"as_of": np.datetime64("NaT", "ns")}, {"like": like | {"event_type": "storm"}}):
        with pytest.raises(ContractError):
            nearest_events(**({"archive": archive, "like": like, "as_of": CUTOFFS[-1]} | wrong))


def test_a_store_archives_what_its_headlines_tell() -> None:
    raw = SyntheticMarket(seed=3, n_names=6, first="2012-01-03", last="2019-12-31").raw()
    store = build_store(raw, features={})
    archive = store.records["rare_events"]
    assert len(archive) == store.facts["events"]["n_rare"] > 5  # type: ignore[index]
    done = archive["known_at"].notna()
    assert (archive.loc[done, "known_at"] - archive.loc[done, "event_known_at"] == pd.Timedelta(days=60)).all()
    assert np.isfinite(archive.loc[done, "post_log_return_60d"]).mean() > 0.8
    assert archive.loc[done, "max_drawdown_60d"].dropna().between(-1.0, 0.0).all()
