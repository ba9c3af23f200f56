from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glassbox_bt.errors import ContractError
from glassbox_bt.market.store import MarketStore
from glassbox_bt.modules.base import FitContext, Module
from glassbox_bt.modules.risk.liquidity import Liquidity
from glassbox_bt.types import Answers, AnyArray, IntArray, Reason
from tests.builders import tiny_store

STORE = tiny_store(n_sessions=320, n_assets=6, seed=6)
TODAY: IntArray = np.array([0])


def answer(module: Liquidity, days: IntArray, store: MarketStore = STORE) -> Answers:
    return module.predict_many(store.span(days, module.reads, np.arange(store.n_assets)))


def of_day(**columns: list[float]) -> MarketStore:
    """One session on which every input is an ordinary one but for what is given."""
    n_assets = len(next(iter(columns.values())))
    usual = {
        "dollar_volume": 1e6,
        "adv_21d": 1e6,
        "volume_ratio": 1.0,
        "turnover_proxy": 1.0,
        "vol_21d": 0.3,
        "tradable": 1.0,
        "raw_close": 10.0,
    }
    rows = {name: np.full((1, n_assets), value) for name, value in usual.items()}
    rows |= {name: np.array([values]) for name, values in columns.items()}
    rows["member"] = np.ones((1, n_assets), dtype=bool)
    return tiny_store(1, n_assets, **rows)


def outputs_of(store: MarketStore, module: Liquidity | None = None) -> dict[str, AnyArray]:
    answers = answer(module or Liquidity(), TODAY, store)
    return {name: values[0] for name, values in answers.outputs.items()}


def test_it_is_a_rule() -> None:
    module = Liquidity()
    view = STORE.train_view(np.arange(10), module.reads, (), np.arange(2))
    candidates = module.fit(view, FitContext(seed=0, module="liquidity", chunk=1, fold=0))
    assert isinstance(module, Module)
    assert module.select(candidates, None).fitted is module
    assert module.restore(module.state()) == module


def test_components_add_up_to_the_score_within_their_ranges() -> None:
    answers = answer(Liquidity(), np.arange(260, 320))
    known = answers.known
    assert known.mean() > 0.7
    parts = [answers.outputs[name][known] for name in ("dv_score", "vr_score", "to_score")]
    for part in parts:
        assert part.min() >= 0.0
        assert part.max() <= 1.0
    total = 0.4 * parts[0] + 0.3 * parts[1] + 0.3 * parts[2]
    np.testing.assert_allclose(answers.outputs["liquidity_score"][known], total, rtol=1e-15)


@settings(max_examples=60, deadline=None)
@given(
    money=st.lists(st.floats(1.0, 1e11), min_size=2, max_size=8),
    factor=st.floats(1.0, 1e3),
    rank_weight=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_monotone_in_dollar_volume(money: list[float], factor: float, rank_weight: float) -> None:
    module = Liquidity(rank_weight=rank_weight)
    before = outputs_of(of_day(dollar_volume=money, adv_21d=money), module)
    more = [money[0] * factor, *money[1:]]
    after = outputs_of(of_day(dollar_volume=more, adv_21d=more), module)
    assert after["liquidity_score"][0] >= before["liquidity_score"][0]
    assert after["tradable"][0] >= before["tradable"][0]
    assert after["slippage_estimate_frac"][0] <= before["slippage_estimate_frac"][0]
    assert after["days_to_liquidate_1M"][0] <= before["days_to_liquidate_1M"][0]


def test_numbers_of_one_name() -> None:
    """1 million a day at 30 % volatility: the documented 0.4, ten days, 5 bp + 0.1 sigma sqrt."""
    outputs = outputs_of(of_day(dollar_volume=[1e6]))
    assert outputs["dv_score"][0] == pytest.approx(0.4)
    assert outputs["days_to_liquidate_1M"][0] == pytest.approx(10.0)
    expected = 0.0005 + 0.1 * 0.3 / np.sqrt(252) * np.sqrt(0.1)
    assert outputs["slippage_estimate_frac"][0] == pytest.approx(expected)
    assert outputs["liquidity_score"][0] == pytest.approx(0.16 + 0.15 + 0.15)
    fixed = outputs_of(of_day(dollar_volume=[1e6]), Liquidity(impact=0.0, half_spread_bps=8.0))
    assert fixed["slippage_estimate_frac"][0] == pytest.approx(0.0008)


def test_d_liq_01_zero_is_zero_and_missing_is_missing() -> None:
    dead = of_day(
        dollar_volume=[0.0, np.nan, 1e6],
        volume_ratio=[0.0, np.nan, 1.0],
        turnover_proxy=[0.0, np.nan, 1.0],
    )
    answers = answer(Liquidity(), TODAY, dead)
    outputs = {name: values[0] for name, values in answers.outputs.items()}
    assert outputs["tradable"][0] == 0.0
    assert outputs["liquidity_score"][0] == 0.0
    assert answers.reason[0].tolist() == [Reason.KNOWN, Reason.INPUT_MISSING, Reason.KNOWN]
    assert np.isnan(outputs["tradable"][1])
    assert outputs["tradable"][2] == 1.0


def test_zero_volume_today_is_not_tradable_at_any_score() -> None:
    store = of_day(dollar_volume=[0.0], volume_ratio=[2.0], turnover_proxy=[2.0])
    outputs = outputs_of(store)
    assert outputs["liquidity_score"][0] >= 0.30
    assert outputs["tradable"][0] == 0.0


def test_a_name_that_trades_nothing_on_its_median_day_is_not_known() -> None:
    answers = answer(Liquidity(), TODAY, of_day(dollar_volume=[1e5], adv_21d=[0.0]))
    assert answers.reason[0, 0] == Reason.TOO_FEW_OBSERVATIONS


def test_d_liq_02_decades_of_money_spread_the_absolute_scale() -> None:
    module = Liquidity(rank_weight=0.0)
    money = [1e4, 1e5, 1e6, 1e7, 1e8, 1e9]
    outputs = outputs_of(of_day(dollar_volume=money, adv_21d=money), module)
    np.testing.assert_allclose(outputs["dv_score"], [0.0, 0.2, 0.4, 0.6, 0.8, 1.0], atol=1e-12)


def test_d_liq_02_the_percentile_is_among_the_members_of_the_day() -> None:
    module = Liquidity(rank_weight=1.0)
    money = [3e6, 1e6, 1e6, 9e6]
    outputs = outputs_of(of_day(dollar_volume=money, adv_21d=money), module)
    np.testing.assert_allclose(outputs["dv_score"], [2 / 3, 1 / 6, 1 / 6, 1.0])
    store = of_day(dollar_volume=money, adv_21d=money)
    store.columns["member"][0, 1:3] = False
    np.testing.assert_allclose(outputs_of(store, module)["dv_score"], [0.0, np.nan, np.nan, 1.0])


def test_money_of_a_day_is_never_more_than_the_median() -> None:
    outputs = outputs_of(of_day(dollar_volume=[1e9], adv_21d=[1e6]))
    assert outputs["dv_score"][0] == pytest.approx(0.4)


def test_d_liq_03_every_member_is_answered_or_named_as_unknown() -> None:
    answers = answer(Liquidity(), np.arange(320))
    member = STORE.member
    np.testing.assert_array_equal(answers.reason == Reason.NOT_A_MEMBER, ~member)
    unknown = member & ~answers.known
    reasons = {Reason.WARM_UP, Reason.INPUT_MISSING, Reason.TOO_FEW_OBSERVATIONS}
    assert set(answers.reason[unknown].tolist()) <= reasons
    assert (answers.reason[unknown] > 0).all()


def test_d_liq_04_slippage_is_a_fraction_of_price() -> None:
    slippage = outputs_of(of_day(dollar_volume=[1e6]))["slippage_estimate_frac"][0]
    assert 0.0 < slippage < 0.02
    assert "slippage_estimate_pct" not in Liquidity.outputs


def test_a_market_without_volume_is_not_liquid_but_unknown() -> None:
    absent = np.full((320, 6), np.nan)
    store = tiny_store(320, 6, 6, volume=absent, raw_volume=absent)
    answers = answer(Liquidity(), np.arange(300, 320), store)
    assert not answers.known.any()
    assert (answers.reason[store.member[300:]] == Reason.INPUT_MISSING).all()


def test_a_bar_that_cannot_be_traded_and_a_penny_stock_are_not_tradable() -> None:
    store = of_day(tradable=[1.0, 0.0, 1.0], raw_close=[10.0, 10.0, 0.99])
    assert outputs_of(store)["tradable"].tolist() == [1.0, 0.0, 1.0]
    assert outputs_of(store, Liquidity(min_price=1.0))["tradable"].tolist() == [1.0, 0.0, 0.0]
    assert "raw_close" not in {read.column for read in Liquidity().reads}


def test_any_composition_of_days_and_names_answers_alike() -> None:
    module = Liquidity()
    whole = answer(module, np.arange(320))
    for days in ([260], [260, 261], [255, 300, 319]):
        part = answer(module, np.array(days))
        for name in module.outputs:
            np.testing.assert_array_equal(part.outputs[name], whole.outputs[name][days])
    shuffled = np.array([3, 0, 5, 1, 4, 2])
    span = STORE.span(np.array([300]), module.reads, shuffled)
    for name, values in module.predict_many(span).outputs.items():
        np.testing.assert_array_equal(values[0], whole.outputs[name][300][shuffled])


def test_the_money_it_says_it_lacks_makes_it_tradable() -> None:
    store = of_day(dollar_volume=[2e4, 5e4], volume_ratio=[0.4] * 2, turnover_proxy=[0.4] * 2)
    module = Liquidity(rank_weight=0.2)
    span = store.span(TODAY, module.reads, np.arange(2))
    answers = module.predict_many(span)
    assert answers.outputs["tradable"][0].tolist() == [0.0, 0.0]
    text = module.explain(span, answers)[0, 1]
    needed = float(text.split("would need ")[1].split()[0].replace(",", ""))
    for money, tradable in ((needed * 1.001, 1.0), (needed * 0.999, 0.0)):
        enough = of_day(dollar_volume=[2e4, money], volume_ratio=[0.4] * 2, turnover_proxy=[0.4] * 2)
        assert outputs_of(enough, module)["tradable"][1] == tradable


def test_every_row_is_told_in_plain_words() -> None:
    for module in (Liquidity(), Liquidity(min_score=0.6), Liquidity(min_score=0.6, rank_weight=1)):
        span = STORE.span(np.arange(0, 320, 7), module.reads, np.arange(6))
        answers = module.predict_many(span)
        texts = module.explain(span, answers)
        for cell in np.ndindex(texts.shape):
            assert 8 <= len(texts[cell].split()) <= 60
            assert texts[cell].isascii()
            assert "_" not in texts[cell]
            if answers.known[cell]:
                score, tradable = (answers.outputs[name][cell] for name in ("liquidity_score", "tradable"))
                assert f"score {score:.3f}" in texts[cell]
                assert ("not tradable" in texts[cell]) == (tradable == 0.0)
            else:
                assert "unknown" in texts[cell]


@pytest.mark.parametrize(
    "settings",
    [
        {"min_score": 1.1},
        {"rank_weight": -0.1},
        {"participation": 0.0},
        {"order_size": -1.0},
        {"impact": float("nan")},
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    (name,) = settings
    with pytest.raises(ContractError, match=f"`{name}`"):
        Liquidity(**settings)
