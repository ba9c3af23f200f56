from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glassbox_bt.errors import MarketDataError
from glassbox_bt.market.calendar import sessions
from glassbox_bt.market.universe import Trading, Universe, UniverseRule, build_universe
from glassbox_bt.types import AnyArray, BoolArray, FloatArray

CLOCK = sessions("XNYS", "2018-01-02", "2019-12-31")
N_SESSIONS = len(CLOCK.dates)
NAMES = tuple("ABCDE")
SHAPE = (N_SESSIONS, len(NAMES))


def trading(
    observed: BoolArray | None = None,
    delisted: BoolArray | None = None,
    dollar_volume: FloatArray | None = None,
    raw_mark: FloatArray | None = None,
    in_index: BoolArray | None = None,
) -> Trading:
    everything = np.ones(SHAPE, dtype=bool)
    nothing = np.zeros(SHAPE, dtype=bool)
    return Trading(
        everything if observed is None else observed,
        nothing if delisted is None else delisted,
        dollar_volume,
        raw_mark,
        in_index,
    )


def universe(inputs: Trading, rule: UniverseRule | None = None) -> Universe:
    return build_universe(CLOCK.dates, CLOCK.closes_at, NAMES, inputs, rule or UniverseRule())


def month_starts() -> AnyArray:
    months = CLOCK.dates.astype("datetime64[M]")
    return np.flatnonzero(np.append(True, months[1:] != months[:-1]))


def test_nobody_is_a_member_before_252_bars_and_then_from_the_next_month() -> None:
    member = universe(trading()).member
    first = int(np.flatnonzero(member.any(axis=1))[0])
    assert first in month_starts()
    assert first >= 252
    assert first - 252 < 23
    assert member[first:].all()


def test_membership_changes_on_month_starts_only() -> None:
    rng = np.random.default_rng(0)
    observed = rng.random(SHAPE) < np.linspace(0.4, 0.9, len(NAMES))
    member = universe(trading(observed), UniverseRule(min_observed=30, window=60)).member
    changes = np.flatnonzero((member[1:] != member[:-1]).any(axis=1)) + 1
    assert len(changes) > 5
    assert set(changes) <= set(month_starts())


def test_the_largest_trailing_turnover_is_kept() -> None:
    dollar_volume = np.tile(np.array([5.0, 4.0, 3.0, 2.0, 1.0]), (N_SESSIONS, 1))
    dollar_volume[400:, 4] = 100.0
    rule = UniverseRule(size=2, min_observed=20, window=40)
    result = universe(trading(dollar_volume=dollar_volume), rule)
    assert result.member[380].tolist() == [True, True, False, False, False]
    assert result.member[-1].tolist() == [True, False, False, False, True]
    assert result.member[45:].sum(axis=1).max() == 2
    last = result.table[result.table["date"] == result.table["date"].max()].set_index("ticker")
    assert last.loc["E", "rank"] == 1
    assert last.loc["B", "reason"] == "ranked_out"


def test_without_volume_nobody_is_ranked() -> None:
    result = universe(trading(), UniverseRule(size=2, min_observed=20, window=40))
    assert result.member[-1].all()
    assert result.table["rank"].isna().all()


def test_a_name_below_one_is_out_on_raw_prices_only() -> None:
    raw_mark = np.full(SHAPE, 10.0)
    raw_mark[:, 0] = 0.99
    result = universe(trading(raw_mark=raw_mark), UniverseRule(min_observed=20, window=40))
    assert result.member[-1].tolist() == [False, True, True, True, True]
    assert set(result.table.loc[result.table["ticker"] == "A", "reason"]) <= {"price_below_floor", "too_few_bars"}


def test_the_index_is_respected_from_the_month_after() -> None:
    in_index = np.zeros(SHAPE, dtype=bool)
    in_index[300:, 0] = True
    rule = UniverseRule(min_observed=20, window=40)
    member = universe(trading(in_index=in_index), rule).member
    joined = int(np.flatnonzero(member[:, 0])[0])
    assert joined == month_starts()[month_starts() > 300][0]
    assert not member[:, 1:].any()
    free = UniverseRule(min_observed=20, window=40, use_membership=False)
    assert universe(trading(in_index=in_index), free).member[-1].all()


def test_a_booked_out_name_leaves_at_once() -> None:
    delisted = np.zeros(SHAPE, dtype=bool)
    delisted[350:, 2] = True
    member = universe(trading(delisted=delisted), UniverseRule(min_observed=20, window=40)).member
    assert member[349, 2]
    assert not member[350:, 2].any()


@settings(max_examples=25, deadline=None)
@given(cut=st.integers(60, N_SESSIONS - 2), seed=st.integers(0, 5))
def test_the_past_does_not_depend_on_the_future(cut: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    clean = [rng.random(SHAPE) < 0.7, np.exp(rng.standard_normal(SHAPE)), rng.random(SHAPE) < 0.9]
    poisoned = [values.copy() for values in clean]
    for values in poisoned:
        values[cut + 1 :] = values[cut + 1 :][:, ::-1]
    poisoned[1][cut + 1 :] *= 100.0
    rule = UniverseRule(size=2, min_observed=20, window=40)
    one, other = (
        universe(trading(observed=o, dollar_volume=d, in_index=i), rule)
        for o, d, i in (clean, poisoned)  # type: ignore[misc]
    )
    np.testing.assert_array_equal(one.member[: cut + 1], other.member[: cut + 1])
    known = one.table["known_at"] <= CLOCK.closes_at[cut]
    pd.testing.assert_frame_equal(one.table[known], other.table[other.table["known_at"] <= CLOCK.closes_at[cut]])


@pytest.mark.parametrize("settings_", [{"size": 0}, {"min_observed": 0}, {"min_observed": 600}])
def test_impossible_rules_are_refused(settings_: dict[str, int]) -> None:
    with pytest.raises(MarketDataError):
        UniverseRule(**settings_)  # type: ignore[arg-type]
