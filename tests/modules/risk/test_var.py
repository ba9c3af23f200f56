from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glassbox_bt.errors import ContractError
from glassbox_bt.market.store import MarketStore
from glassbox_bt.modules._rolling import rolling_tails
from glassbox_bt.modules.base import FitContext, Module, ModuleState
from glassbox_bt.modules.risk.var import HistoricalVar
from glassbox_bt.types import Answers, FloatArray, IntArray, Reason
from tests.builders import tiny_store

SMALL = HistoricalVar(sessions=60, min_observed=20, ranked_sessions=80)
STORE = tiny_store(n_sessions=300, n_assets=6, seed=6)


def answer(module: HistoricalVar, days: IntArray, store: MarketStore = STORE) -> Answers:
    return module.predict_many(store.span(days, module.reads, np.arange(store.n_assets)))


def explained(module: HistoricalVar, day: int, store: MarketStore) -> list[str]:
    span = store.span(np.array([day]), module.reads, np.arange(store.n_assets))
    return list(module.explain(span, module.predict_many(span))[0])


def of_returns(returns: FloatArray) -> MarketStore:
    return tiny_store(len(returns), 1, log_return_1d=returns[:, None])


def test_it_is_a_rule() -> None:
    view = STORE.train_view(np.arange(10), SMALL.reads, (), np.arange(2))
    candidates = SMALL.fit(view, FitContext(seed=0, module="var", chunk=1, fold=0))
    assert isinstance(SMALL, Module)
    assert SMALL.select(candidates, None).fitted is SMALL
    assert SMALL.restore(SMALL.state()) == SMALL
    assert SMALL.state() == ModuleState()
    assert SMALL.learns_from == ()
    assert HistoricalVar() == HistoricalVar(sessions=504, min_observed=100, ranked_sessions=252)


def test_equal_to_numpy_on_the_observed_returns() -> None:
    days = np.arange(20, 300)
    answers = answer(SMALL, days)
    returns = STORE.columns["log_return_1d"]
    for row, day in enumerate(days):
        for asset in np.flatnonzero(answers.known[row]):
            window = returns[max(day - 59, 0) : day + 1, asset]
            window = window[np.isfinite(window)]
            assert answers.outputs["var_95"][row, asset] == np.quantile(window, 0.05)
            assert answers.outputs["var_99"][row, asset] == np.quantile(window, 0.01)
            assert answers.outputs["window_size"][row, asset] == window.size
    assert answers.known.mean() > 0.9


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 9999),
    sessions=st.integers(2, 40),
    share=st.floats(0.001, 0.999),
    days=st.sets(st.integers(40, 159), min_size=1, max_size=20).map(sorted),
)
def test_rolling_quantiles_equal_numpy_for_any_days(seed: int, sessions: int, share: float, days: list[int]) -> None:
    rng = np.random.default_rng(seed)
    values = np.round(rng.standard_normal((160, 2)), 1)  # ties
    values[rng.random(values.shape) < 0.2] = np.nan
    tails = rolling_tails(values, np.array(days), sessions, 1, (share,))
    for row, day in enumerate(days):
        for asset in range(2):
            window = values[day - sessions + 1 : day + 1, asset]
            window = window[np.isfinite(window)]
            assert tails.n_observed[row, asset] == window.size
            if window.size:
                edge = np.quantile(window, share)
                assert tails.quantile[0, row, asset] == edge
                assert tails.count[0, row, asset] == (window <= edge).sum()
                assert tails.mean[0, row, asset] == pytest.approx(window[window <= edge].mean())
                assert tails.lowest[row, asset] == window.min()


def test_any_composition_of_days_and_assets_answers_alike() -> None:
    whole = answer(SMALL, np.arange(300))
    for days in ([25], [25, 26, 27], [30, 31, 95, 200, 299]):
        part = answer(SMALL, np.array(days))
        for name in SMALL.outputs:
            np.testing.assert_array_equal(part.outputs[name], whole.outputs[name][days])
        np.testing.assert_array_equal(part.reason, whole.reason[days])
    some = np.array([4, 1])
    span = STORE.span(np.arange(200, 210), SMALL.reads, some)
    np.testing.assert_array_equal(SMALL.predict_many(span).outputs["var_95"], whole.outputs["var_95"][200:210][:, some])


def test_the_future_is_unseen() -> None:
    returns = STORE.columns["log_return_1d"].copy()
    returns[151:] = -0.9
    poisoned = tiny_store(n_sessions=300, n_assets=6, seed=6, log_return_1d=returns)
    for day in (90, 150):
        clean, other = (answer(SMALL, np.array([day]), store) for store in (STORE, poisoned))
        for name in SMALL.outputs:
            np.testing.assert_array_equal(clean.outputs[name], other.outputs[name])
        assert explained(SMALL, day, STORE) == explained(SMALL, day, poisoned)


def test_var_99_is_never_above_var_95() -> None:
    answers = answer(SMALL, np.arange(300))
    known = answers.known
    assert (answers.outputs["var_99"][known] <= answers.outputs["var_95"][known]).all()


def test_a_constant_market_loses_nothing() -> None:
    answers = answer(SMALL, np.array([99]), of_returns(np.zeros(100)))
    assert answers.outputs["var_95"][0, 0] == answers.outputs["var_99"][0, 0] == 0.0


def test_reasons_of_abstention() -> None:
    returns = np.zeros((200, 4))
    returns[:150, 1] = np.nan  # listed late
    returns[:, 2] = np.where(np.arange(200) % 4 == 0, 0.0, np.nan)  # too many gaps
    member = np.ones((200, 4), dtype=bool)
    member[:, 3] = False
    store = tiny_store(200, 4, log_return_1d=returns, member=member)
    module = HistoricalVar(sessions=60, min_observed=20)
    assert answer(module, np.array([160]), store).reason[0].tolist() == [
        Reason.KNOWN,
        Reason.WARM_UP,
        Reason.TOO_FEW_OBSERVATIONS,
        Reason.NOT_A_MEMBER,
    ]
    assert answer(module, np.array([169]), store).known[0, 1]


def test_r18_one_halt_does_not_silence_a_name() -> None:
    answers = answer(SMALL, np.arange(148, 170))
    halted = ~np.isfinite(STORE.columns["log_return_1d"][148:170, 2])
    assert halted.any()
    assert answers.known[:, 2].all()


def test_d_var_01_the_worst_state_ranks_highest() -> None:
    worse_by_the_day = -np.linspace(0.001, 0.06, 260)
    rising = explained(SMALL, 259, of_returns(worse_by_the_day))
    assert "at least as bad as on 100% of its ranked past sessions" in rising[0]
    assert "severe" in rising[0]
    falling = explained(SMALL, 259, of_returns(worse_by_the_day[::-1]))
    assert "at least as bad as on 0% of its ranked past sessions" in falling[0]
    assert "ordinary" in falling[0]


def test_d_var_02_a_past_day_is_explained_with_its_own_past() -> None:
    rng = np.random.default_rng(1)
    returns = 0.01 * rng.standard_normal(300)
    short, long = of_returns(returns[:200]), of_returns(np.concatenate([returns[:200], [-0.5] * 100]))
    assert explained(SMALL, 199, short) == explained(SMALL, 199, long)
    assert "too little history to rank it" in explained(SMALL, 30, short)[0]


def test_d_var_03_gaps_are_not_counted() -> None:
    rng = np.random.default_rng(2)
    returns = 0.02 * rng.standard_normal(60)
    gapped = np.full(100, np.nan)
    gapped[np.sort(rng.choice(100, 60, replace=False))] = returns
    module = HistoricalVar(sessions=100, min_observed=20)
    assert answer(module, np.array([99]), of_returns(gapped)).outputs["var_95"][0, 0] == (np.quantile(returns, 0.05))


def test_every_row_is_told_in_plain_words() -> None:
    span = STORE.span(np.arange(0, 300, 7), SMALL.reads, np.arange(6))
    answers = SMALL.predict_many(span)
    texts = SMALL.explain(span, answers)
    for cell in np.ndindex(texts.shape):
        words = texts[cell].split()
        assert 8 <= len(words) <= 60
        assert texts[cell].isascii()
        assert "_" not in texts[cell]
        if answers.known[cell]:
            assert f"{answers.outputs['var_95'][cell]:.2%}" in texts[cell]
            assert f"{answers.outputs['var_99'][cell]:.2%}" in texts[cell]
        else:
            assert "unknown" in texts[cell]


@pytest.mark.parametrize("settings", [{"min_observed": 1}, {"min_observed": 505}, {"ranked_sessions": -1}])
def test_settings_out_of_range_are_refused(settings: dict[str, int]) -> None:
    (name,) = settings
    with pytest.raises(ContractError, match=f"`{name}`"):
        HistoricalVar(**settings)
