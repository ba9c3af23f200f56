from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glassbox_bt.errors import ContractError
from glassbox_bt.market.store import MarketStore
from glassbox_bt.modules.base import FitContext, Module
from glassbox_bt.modules.risk.cvar import HistoricalCvar
from glassbox_bt.modules.risk.var import HistoricalVar
from glassbox_bt.types import Answers, FloatArray, IntArray, Reason
from tests.builders import tiny_store

SMALL = HistoricalCvar(sessions=60, min_observed=20)
STORE = tiny_store(n_sessions=300, n_assets=6, seed=6)


def answer(days: IntArray, store: MarketStore = STORE) -> Answers:
    return SMALL.predict_many(store.span(days, SMALL.reads, np.arange(store.n_assets)))


def of_returns(returns: FloatArray) -> MarketStore:
    return tiny_store(len(returns), 1, log_return_1d=returns[:, None])


def test_it_is_a_rule() -> None:
    view = STORE.train_view(np.arange(10), SMALL.reads, (), np.arange(2))
    candidates = SMALL.fit(view, FitContext(seed=0, module="cvar", chunk=1, fold=0))
    assert isinstance(SMALL, Module)
    assert SMALL.select(candidates, None).fitted is SMALL
    assert SMALL.restore(SMALL.state()) == SMALL


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 9999))
def test_equal_to_numpy_and_ordered(seed: int) -> None:
    returns = 0.02 * np.random.default_rng(seed).standard_t(4, 80)
    answers = answer(np.array([79]), of_returns(returns))
    outputs = {name: float(values[0, 0]) for name, values in answers.outputs.items()}
    window = returns[-60:]
    for level, share in (("95", 0.05), ("99", 0.01)):
        var = np.quantile(window, share)
        tail = window[window <= var]
        assert outputs[f"cvar_{level}"] == pytest.approx(tail.mean(), rel=1e-14)
        assert outputs[f"cvar_{level}"] <= var
        assert outputs[f"tail_ratio_{level}"] == pytest.approx(abs(tail.mean() / var))
        assert outputs[f"tail_count_{level}"] == tail.size
    assert outputs["cvar_99"] <= outputs["cvar_95"]


def test_the_tail_is_counted_from_the_value_at_risk_of_the_same_window() -> None:
    """504 sessions hold 26 days at or under the 5th percentile and 6 at or under the first."""
    returns = np.random.default_rng(0).permutation(np.linspace(-0.1, 0.1, 504))
    store = of_returns(returns)
    module = HistoricalCvar()
    span = store.span(np.array([503]), module.reads, np.arange(1))
    outputs = module.predict_many(span).outputs
    assert outputs["tail_count_95"][0, 0] == 26
    assert outputs["tail_count_99"][0, 0] == 6


def test_it_knows_where_var_knows_and_shares_its_window() -> None:
    days = np.arange(300)
    var = HistoricalVar(sessions=60, min_observed=20)
    var_answers = var.predict_many(STORE.span(days, var.reads, np.arange(6)))
    answers = answer(days)
    np.testing.assert_array_equal(answers.reason, var_answers.reason)
    known = answers.known
    for level in ("95", "99"):
        cvar, quantile = answers.outputs[f"cvar_{level}"], var_answers.outputs[f"var_{level}"]
        assert (cvar[known] <= quantile[known]).all()


def test_any_composition_of_days_answers_alike() -> None:
    whole = answer(np.arange(300))
    for days in ([25], [25, 26, 27], [30, 31, 95, 200, 299]):
        part = answer(np.array(days))
        for name in SMALL.outputs:
            np.testing.assert_array_equal(part.outputs[name], whole.outputs[name][days])


def test_a_price_that_never_falls_has_no_tail_ratio_and_so_is_not_known() -> None:
    answers = answer(np.array([99]), of_returns(np.zeros(100)))
    assert not answers.known[0, 0]
    assert answers.reason[0, 0] == Reason.TOO_FEW_OBSERVATIONS
    assert np.isnan(answers.outputs["cvar_95"][0, 0])


def test_a_fat_tail_and_a_thin_sample_are_named() -> None:
    returns = np.where(np.arange(60) % 10 == 0, -0.01, 0.001)
    returns[5] = -0.4
    store = of_returns(returns)
    span = store.span(np.array([59]), SMALL.reads, np.arange(1))
    text = SMALL.explain(span, SMALL.predict_many(span))[0, 0]
    assert "a fat tail" in text
    assert "no fat tail" not in text
    assert "thin sample" in text
    assert "Without its worst day (-40.00%) the former would be -1.00%" in text


def test_every_row_is_told_in_plain_words() -> None:
    span = STORE.span(np.arange(0, 300, 7), SMALL.reads, np.arange(6))
    answers = SMALL.predict_many(span)
    texts = SMALL.explain(span, answers)
    for cell in np.ndindex(texts.shape):
        assert 8 <= len(texts[cell].split()) <= 60
        assert texts[cell].isascii()
        assert "_" not in texts[cell]
        if answers.known[cell]:
            assert f"{answers.outputs['cvar_95'][cell]:.2%}" in texts[cell]
        else:
            assert "unknown" in texts[cell]


@pytest.mark.parametrize("min_observed", [1, 505])
def test_settings_out_of_range_are_refused(min_observed: int) -> None:
    with pytest.raises(ContractError, match="`min_observed`"):
        HistoricalCvar(min_observed=min_observed)
