from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from arch import arch_model
from arch.univariate.base import ARCHModelResult

from glassbox_bt.errors import PlanError
from glassbox_bt.market.store import MarketStore
from glassbox_bt.modules._volatility_garch import FORMS, Form, estimate, follow, persistence
from glassbox_bt.modules.base import predict
from glassbox_bt.modules.risk.volatility_garch import Garch, GarchVolatility
from glassbox_bt.types import Answers, FloatArray, Reason
from tests.builders import base_columns, tiny_store

MODULE = Garch(window=300, min_observed=120, refit_months=3)
HORIZONS = np.array([10, 30])


def garch_returns(n: int, seed: int = 0, alpha: float = 0.1, beta: float = 0.85) -> FloatArray:
    """Percent returns with an annual volatility of about 25 %."""
    rng = np.random.default_rng(seed)
    omega = 2.5 * (1.0 - alpha - beta)
    variance, out = 2.5, np.empty(n)
    for day in range(n):
        out[day] = np.sqrt(variance) * rng.standard_normal()
        variance = omega + alpha * out[day] ** 2 + beta * variance
    return out


def leveraged_returns(n: int, seed: int = 0) -> FloatArray:
    """Percent returns of a GJR process: only losses feed the variance."""
    rng = np.random.default_rng(seed)
    variance, out = 2.5, np.empty(n)
    for day in range(n):
        out[day] = np.sqrt(variance) * rng.standard_normal()
        variance = 0.125 + 0.20 * out[day] ** 2 * (out[day] < 0.0) + 0.85 * variance
    return out


@pytest.fixture(scope="module")
def store() -> MarketStore:
    return tiny_store(520, 5, seed=3)


def answered(store: MarketStore, first: int, last: int, module: Garch = MODULE) -> Answers:
    days = np.arange(first, last + 1)
    return module.predict_many(store.span(days, module.reads, store.assets_until(0, last)))


@pytest.fixture(scope="module")
def answers(store: MarketStore) -> Answers:
    return answered(store, 100, 519)


def test_the_estimate_is_archs_maximum_likelihood_defect_d_vol_01() -> None:
    returns = garch_returns(1000)
    expected = arch_model(returns, mean="Constant", vol="GARCH", rescale=False).fit(disp="off")
    found = estimate(returns, "garch")
    assert found is not None
    assert found[3] == 0.0
    np.testing.assert_allclose(found[[0, 1, 2, 4]], expected.params, rtol=2e-3, atol=1e-4)
    assert found[2] == pytest.approx(0.1, abs=0.06)
    assert persistence(found, "garch") == pytest.approx(0.95, abs=0.06)


def arch_fit(returns: FloatArray, form: Form) -> ARCHModelResult:
    vol: Literal["GARCH", "EGARCH"] = "EGARCH" if form == "egarch" else "GARCH"
    model = arch_model(returns, mean="Constant", vol=vol, o=int(form != "garch"), rescale=False)
    return model.fit(disp="off")


def as_model(fit: ARCHModelResult, form: Form) -> FloatArray:
    found = np.asarray(fit.params, dtype=np.float64)
    return np.insert(found, 3, 0.0) if form == "garch" else found


@pytest.mark.parametrize("form", ["egarch", "gjr"])
def test_asymmetric_forms_are_archs_maximum_likelihood(form: Form) -> None:
    returns = leveraged_returns(1000)
    expected = arch_fit(returns, form)
    found = estimate(returns, form)
    assert found is not None
    np.testing.assert_allclose(found, expected.params, rtol=2e-2, atol=2e-3)
    assert found[3] > 0.05 if form == "gjr" else found[3] < -0.05  # losses move the variance more


@pytest.mark.parametrize("form", ["garch", "gjr"])
def test_the_forecast_is_the_mean_variance_over_the_horizon_defect_d_vol_01(form: Form) -> None:
    returns = leveraged_returns(600, seed=1)
    fit = arch_fit(returns, form)
    said = follow(returns, as_model(fit, form), form, 0.94, HORIZONS)
    for number, horizon in enumerate(HORIZONS):
        variances = fit.forecast(horizon=int(horizon)).variance.to_numpy()
        expected = np.sqrt(252.0 * variances.mean()) / 100.0
        assert said[number, -1] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("form", FORMS)
def test_the_filter_is_archs(form: Form) -> None:
    returns = leveraged_returns(600, seed=1)
    fit = arch_fit(returns, form)
    one = follow(returns, as_model(fit, form), form, 0.94, np.array([1]))
    expected = fit.conditional_volatility[1:] * np.sqrt(252.0) / 100.0
    # arch starts from residuals of the sample mean, the filter from those of the estimated one.
    np.testing.assert_allclose(one[0, :-1], expected, rtol=5e-3)
    np.testing.assert_allclose(one[0, 300:-1], expected[300:], rtol=1e-6)


def test_the_egarch_forecast_is_the_mean_of_simulated_variances() -> None:
    returns = leveraged_returns(600, seed=1)
    fit = arch_fit(returns, "egarch")
    said = follow(returns, as_model(fit, "egarch"), "egarch", 0.94, HORIZONS)
    for number, horizon in enumerate(HORIZONS):
        shocks = np.random.default_rng(7)
        paths = fit.forecast(horizon=int(horizon), method="simulation", simulations=20_000, rng=shocks.standard_normal)
        expected = np.sqrt(252.0 * paths.variance.to_numpy().mean()) / 100.0
        assert said[number, -1] == pytest.approx(expected, rel=5e-3)


@pytest.mark.parametrize("form", FORMS)
def test_a_long_horizon_ends_at_the_long_run_level(form: Form) -> None:
    model = {
        "garch": np.array([0.0, 0.10, 0.05, 0.0, 0.90]),
        "gjr": np.array([0.0, 0.10, 0.02, 0.06, 0.90]),
        "egarch": np.array([0.0, 0.05 * np.log(2.0), 0.0, 0.0, 0.95]),
    }[form]
    calm = np.full(100, 0.01)
    said = follow(calm, model, form, 0.94, np.array([1, 4000]))[:2, -1]
    assert said[0] < said[1] == pytest.approx(np.sqrt(252.0 * 2.0) / 100.0, rel=0.02)


@pytest.mark.parametrize("form", FORMS)
def test_an_integrated_series_is_estimated_short_of_persistence_one(form: Form) -> None:
    calm, wild = np.random.default_rng(0).normal(size=(2, 400))
    returns = np.concatenate([0.5 * calm, 3.0 * wild])
    found = estimate(returns, form)
    assert found is not None
    assert persistence(found, form) < 0.9995


@pytest.mark.parametrize("form", ["egarch", "gjr"])
def test_a_loss_lifts_the_forecast_more_than_a_gain(store: MarketStore, form: Form) -> None:
    module = replace(MODULE, form=form, window=400, min_observed=252)
    vols = []
    for move in (-0.06, 0.06):
        returns = np.array(store.columns["log_return_1d"])
        returns[1:, 0] = leveraged_returns(519, seed=5) / 100.0
        returns[500, 0] = move
        moved = replace(store, columns={**store.columns, "log_return_1d": returns})
        said = answered(moved, 500, 500, module)
        assert said.known[0, 0]
        vols.append(said.outputs["vol_10d"][0, 0])
    assert vols[0] > vols[1] + 0.01


def test_the_rule_is_known_by_two_names() -> None:
    assert (Garch.name, GarchVolatility.name) == ("garch", "volatility")
    assert not GarchVolatility().learns_from


def test_a_market_without_movement_has_no_volatility() -> None:
    base = base_columns(400, 4)
    flat = {name: np.full((400, 4), 50.0) for name in ("open", "high", "low", "close")}
    still = tiny_store(400, 4, 0, **(base | flat))
    said = answered(still, 300, 399)
    assert not said.known.any()
    assert set(np.unique(said.reason)) <= {Reason.NOT_CONVERGED, Reason.WARM_UP}


def test_ranges_and_signs(answers: Answers) -> None:
    known = answers.known
    assert 0.4 < known.mean() < 1.0
    for name in ("vol_10d", "vol_30d", "garch_vol", "recent_vol", "ewma_vol"):
        assert (answers.outputs[name][known] > 0.0).all()
        assert (answers.outputs[name][known] <= 5.0).all()
    assert (answers.outputs["persistence"][known] < 1.0).all()
    ratio = answers.outputs["vol_30d"][known] / answers.outputs["vol_10d"][known]
    assert ((ratio > 0.2) & (ratio < 5.0)).all()
    assert np.isnan(answers.outputs["vol_10d"][~known]).all()


def test_estimates_follow_the_calendar_and_end_the_session_before(store: MarketStore, answers: Answers) -> None:
    months = store.dates.astype("datetime64[M]").astype(int)
    quarter = months // 3
    starts = np.flatnonzero(np.r_[False, quarter[1:] != quarter[:-1]])
    for row in np.flatnonzero(answers.known[:, 0]):
        day = int(answers.days[row])
        start = starts[starts <= day].max()
        assert answers.outputs["refit_age"][row, 0] == day - start + 1
    ages = answers.outputs["refit_age"][answers.known]
    assert ages.min() == 1
    persistence = answers.outputs["persistence"][:, 0]
    within = quarter[answers.days][1:] == quarter[answers.days][:-1]
    both = np.isfinite(persistence[1:]) & np.isfinite(persistence[:-1])
    assert (np.diff(persistence)[within & both] == 0.0).all()
    assert (np.diff(persistence)[~within & both] != 0.0).any()


@pytest.mark.parametrize("months", [1, 3, 4])
def test_one_day_says_what_many_days_say(store: MarketStore, months: int) -> None:
    module = replace(MODULE, refit_months=months)
    many = answered(store, 430, 519, module)
    for day in (430, 455, 456, 499, 519):
        one = predict(module, store.view(day, module.reads, store.assets_until(0, 519)))
        np.testing.assert_array_equal(one.reason, many.reason[day - 430])
        for name in module.outputs:
            np.testing.assert_array_equal(one.outputs[name], many.outputs[name][day - 430])


def test_the_future_is_not_seen(store: MarketStore) -> None:
    returns = np.array(store.columns["log_return_1d"])
    returns[461:] = 0.5
    poisoned = replace(store, columns={**store.columns, "log_return_1d": returns})
    clean, dirty = answered(store, 440, 519), answered(poisoned, 440, 519)
    for name in MODULE.outputs:
        np.testing.assert_array_equal(clean.outputs[name][:21], dirty.outputs[name][:21])
    assert not np.array_equal(clean.outputs["vol_10d"][21:], dirty.outputs["vol_10d"][21:])


def test_a_shock_lifts_the_forecast_from_its_own_day(store: MarketStore) -> None:
    module = replace(MODULE, window=400, min_observed=252)
    returns = np.array(store.columns["log_return_1d"])
    returns[1:, 0] = garch_returns(519, seed=5) / 100.0
    calm = replace(store, columns={**store.columns, "log_return_1d": returns})
    shocked = returns.copy()
    shocked[500, 0] = -0.20
    crash = replace(store, columns={**store.columns, "log_return_1d": shocked})
    before, after = answered(calm, 495, 510, module), answered(crash, 495, 510, module)
    change = after.outputs["vol_10d"][:, 0] - before.outputs["vol_10d"][:, 0]
    assert (change[:5] == 0.0).all()
    assert (change[5:] > 0.02).all()


def test_realised_volatility_is_the_sample_deviation_of_21_sessions(store: MarketStore, answers: Answers) -> None:
    returns = store.columns["log_return_1d"][:, :3]
    assert np.isnan(returns[100:, 1]).any()
    for row in np.flatnonzero(answers.known[:, :3].all(axis=1))[::25]:
        day = int(answers.days[row])
        expected = np.nanstd(returns[day - 20 : day + 1], axis=0, ddof=1) * np.sqrt(252.0)
        np.testing.assert_allclose(answers.outputs["recent_vol"][row, :3], expected, atol=1e-6)


def test_a_halted_session_keeps_the_forecast_and_stays_known(store: MarketStore) -> None:
    returns = np.array(store.columns["log_return_1d"])
    returns[502, 0] = np.nan
    halted = replace(store, columns={**store.columns, "log_return_1d": returns})
    said = answered(halted, 501, 503)
    assert said.known[:, 0].all()
    assert said.outputs["vol_10d"][1, 0] == said.outputs["vol_10d"][0, 0]
    assert said.outputs["vol_10d"][2, 0] != said.outputs["vol_10d"][1, 0]


def test_reasons(store: MarketStore, answers: Answers) -> None:
    assert (answers.reason[0, :4] == Reason.WARM_UP).all()
    assert answers.reason[0, 4] == Reason.NOT_A_MEMBER  # the late listing
    assert (answers.reason[5:, 4] != Reason.NOT_A_MEMBER).all()
    returns = np.array(store.columns["log_return_1d"])
    returns[::2, 1] = np.nan
    sparse = replace(store, columns={**store.columns, "log_return_1d": returns})
    module = replace(MODULE, min_observed=200)
    assert answered(sparse, 519, 519, module).reason[0, 1] == Reason.TOO_FEW_OBSERVATIONS


def test_summaries_name_the_rows_own_numbers(store: MarketStore, answers: Answers) -> None:
    span = store.span(answers.days, MODULE.reads, store.assets_until(0, 519))
    texts = MODULE.explain(span, answers)
    for row, asset in [(419, 0), (300, 2)]:
        text = texts[row, asset]
        assert f"{answers.outputs['vol_10d'][row, asset]:.1%}" in text
        assert f"{answers.outputs['persistence'][row, asset]:.3f}" in text
        assert "shock" in text or "realised" in text
    for text in np.unique(texts.astype(str)):
        assert text.isascii()
        assert "_" not in text
        assert 8 <= len(text.split()) <= 60


@pytest.mark.parametrize("wrong", [{"min_observed": 10}, {"refit_months": 0}, {"ewma_decay": 1.0}, {"form": "figarch"}])
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(PlanError, match=next(iter(wrong))):
        Garch(**wrong)  # type: ignore[arg-type]
