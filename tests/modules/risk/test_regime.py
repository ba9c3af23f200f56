from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from glassbox_bt.errors import PlanError, TrainingError
from glassbox_bt.market.regime_labels import REGIME_LABELS, REGIMES
from glassbox_bt.modules._regime_anchor import Blend, RegimeLogit, StateTable, base_rates, vix_states
from glassbox_bt.modules._regime_calibration import RegimeMap, fit_map
from glassbox_bt.modules._regime_fitted import CHANCES, OUTPUTS, per_day
from glassbox_bt.modules._regime_inputs import STATE_WORDS
from glassbox_bt.modules._regime_model import RIVALS
from glassbox_bt.modules._regime_network import PROPERTIES
from glassbox_bt.modules._regime_switching import fit_switching
from glassbox_bt.modules._regime_text import TEXT_NOTE
from glassbox_bt.modules.base import predict
from glassbox_bt.modules.risk.regime import MtgnnRegime
from glassbox_bt.types import Answers, FloatArray, Reason
from glassbox_bt.walkforward.tables import answers_table
from tests.modules.risk.regime_cases import (
    CONTEXT,
    LATER,
    SMALL,
    TRAIN,
    answered,
    below,
    candidates,
    fitted,
    span_of,
    tiny,
    train_of,
)

MODULE = MtgnnRegime(**SMALL)


def chances(answers: Answers, ending: str = "") -> FloatArray:
    return np.stack([per_day(answers, f"{name}{ending}") for name in CHANCES], axis=-1)


def test_one_answer_a_day_for_every_member() -> None:
    answers = answered(fitted())
    assert set(answers.outputs) == set(OUTPUTS)
    np.testing.assert_array_equal(answers.known, tiny().member[LATER])
    for name, values in answers.outputs.items():
        spread = np.nanmax(values, axis=1) - np.nanmin(values, axis=1)
        assert (spread == 0.0).all(), name


@pytest.mark.parametrize("variant", ["anchored", "anchor", "network"])
def test_ranges_and_what_belongs_together(variant: str) -> None:
    answers = answered(fitted(variant))
    for ending in ("", "_raw", *(f"_{rival}" for rival in RIVALS)):
        np.testing.assert_allclose(chances(answers, ending).sum(axis=1), 1.0, atol=1e-5)
    for name in (*PROPERTIES, "macro_stress_score", "rule_graph_stress_score", "transition_probability"):
        values = answers.outputs[name][answers.known]
        assert values.min() >= 0.0, name
        assert values.max() <= 1.0, name
    likely = chances(answers).argmax(axis=1)
    np.testing.assert_array_equal(per_day(answers, "regime_label_id"), likely)
    np.testing.assert_array_equal(per_day(answers, "regime_confidence"), chances(answers).max(axis=1))
    stress = 0.5 * per_day(answers, "graph_density") + 0.5 * per_day(answers, "mean_edge_weight")
    np.testing.assert_allclose(per_day(answers, "learned_graph_stress"), stress, atol=2e-6)


def test_a_regime_that_cannot_be_named_has_no_chance() -> None:
    """No dated sectors, no rotation: 0 everywhere, and in the list of clauses."""
    answers = answered(fitted())
    for ending in ("", "_raw", *(f"_{rival}" for rival in RIVALS)):
        assert (per_day(answers, f"prob_rotation{ending}") == 0.0).all()
    told = fitted().state().facts
    assert "rotation: concentration in sectors" in told["missing_clauses"]  # type: ignore[operator]
    assert candidates()[0].summary["missing_clauses"] == told["missing_clauses"]
    assert (per_day(answers, "missing_clauses") == len(told["missing_clauses"])).all()  # type: ignore[arg-type]
    assert "text" in TEXT_NOTE and told["text"] == TEXT_NOTE


def test_the_anchor_stands_where_the_network_learned_nothing() -> None:
    still = fitted(learning_rate=1e-12, epochs=1)
    answers = answered(still)
    np.testing.assert_allclose(chances(answers, "_raw"), chances(answers, "_anchor_raw"), atol=1e-5)
    alone = answered(fitted("anchor"))
    for name in PROPERTIES:  # before training the learned graph is the measured one
        if name != "avg_degree_norm":  # over the strongest neighbours there, over all here
            np.testing.assert_allclose(per_day(answers, name), per_day(alone, name), atol=1e-5, err_msg=name)
    moved = answered(fitted("network"))
    assert np.abs(chances(moved, "_raw") - chances(moved, "_anchor_raw")).max() > 1e-3


def test_a_residual_that_did_not_earn_its_place_is_not_used() -> None:
    whole = candidates()[0].fitted
    silent = replace(whole, speaks=(0.0, 0.0))  # type: ignore[type-var]
    answers = answered(silent)  # type: ignore[arg-type]
    np.testing.assert_array_equal(chances(answers, "_raw"), chances(answers, "_anchor_raw"))
    assert set(candidates()[0].summary["network_speaks_on"]) <= {"regime", "change"}  # type: ignore[call-overload]


def test_answers_do_not_depend_on_their_neighbours_in_a_batch() -> None:
    one = fitted("network")
    many = answered(one)
    for row in (0, 31, len(LATER) - 1):
        view = tiny().view(int(LATER[row]), MODULE.reads, np.arange(tiny().n_assets), below(tiny(), MODULE))
        for name, values in predict(one, view).outputs.items():
            np.testing.assert_array_equal(values, many.outputs[name][row], err_msg=name)
    few = answered(one, LATER[[3, 17, 40]])
    for name, values in few.outputs.items():
        np.testing.assert_array_equal(values, many.outputs[name][[3, 17, 40]], err_msg=name)


def test_r7_too_few_names_make_it_abstain() -> None:
    module = MtgnnRegime(**{**SMALL, "min_names": 15})
    (only,) = module.fit(train_of(tiny(), module), CONTEXT)
    assert "15 names" in str(only.summary["silent"])
    for one in (only.fitted, module.restore(only.fitted.state())):
        answers = one.predict_many(span_of(tiny(), module))
        assert not answers.known.any()
        assert (answers.reason[tiny().member[LATER]] == Reason.INPUT_MISSING).all()
        assert set(one.explain(span_of(tiny(), module), answers).ravel()) == {
            "No answer and no driver to name: a market input it needs is missing today."
        }
    with pytest.raises(TrainingError, match="nothing to explain"):
        only.fitted.explainer(span_of(tiny(), module), answers)  # type: ignore[attr-defined]


def test_a_market_that_cannot_be_measured_at_the_end_of_train_makes_it_abstain() -> None:
    store = tiny()
    vol = store.columns["market_vol_21d"].copy()
    vol[TRAIN[-len(TRAIN) // 5] :] = np.nan
    (only,) = MODULE.fit(train_of(replace(store, columns={**store.columns, "market_vol_21d": vol}), MODULE), CONTEXT)
    assert "at the end of train" in str(only.summary["silent"])


def test_a_day_with_too_few_embeddings_is_the_encoders_fault() -> None:
    columns = dict(below(tiny(), MODULE))
    values = columns["temporal_encoder.embedding"].values.copy()
    values[500:, 2:] = np.nan
    columns["temporal_encoder.embedding"] = replace(columns["temporal_encoder.embedding"], values=values)
    span = tiny().span(LATER, MODULE.reads, np.arange(tiny().n_assets), columns)
    answers = fitted().predict_many(span)
    late = LATER >= 500
    assert not answers.known[late].any()
    assert (answers.reason[late][:, 0] == Reason.UPSTREAM_UNKNOWN).all()
    assert answers.known[~late][:, 0].all()


def test_a_silent_encoder_leaves_the_anchor_alone() -> None:
    """It reads no embeddings, so it does not need them."""
    module = MtgnnRegime(**SMALL, variant="anchor")
    assert "temporal_encoder.embedding" not in {read.column for read in module.reads}
    view = tiny().train_view(TRAIN, module.reads, module.learns_from, np.arange(tiny().n_assets))
    (only,) = module.fit(view, CONTEXT)
    assert only.fitted.predict_many(tiny().span(LATER, module.reads, np.arange(tiny().n_assets))).known.any()


def test_a_missing_market_measure_makes_it_abstain_for_the_day() -> None:
    store = tiny()
    vol = store.columns["market_vol_21d"].copy()
    vol[500] = np.nan
    answers = answered(fitted(), store=replace(store, columns={**store.columns, "market_vol_21d": vol}))
    assert (answers.reason[LATER == 500][store.member[500][None]] == Reason.INPUT_MISSING).all()
    assert answers.known[LATER == 501].any()


def test_a_missing_fear_index_is_said_and_not_filled() -> None:
    """Its rule falls back to base rates, the others go on."""
    store = tiny()
    gone = {name: np.full(store.n_sessions, np.nan) for name in store.columns if name.startswith("macro.")}
    answers = answered(fitted(), store=replace(store, columns={**store.columns, **gone}))
    assert answers.known.any()
    np.testing.assert_array_equal(chances(answers, "_vix_rule"), chances(answers, "_base_rate"))


def test_recalibration_leaves_raw_chances_alone_r5() -> None:
    one, answers = fitted(), answered(fitted())
    always = {name: np.full(answers.known.shape, 9.0 if "vol" in name else 0.0) for name in REGIME_LABELS}
    after = answered(one.recalibrated(answers, always))
    for name, values in answers.outputs.items():
        if name.endswith("_raw") or name.startswith(("graph_", "market_", "nowcast")):
            np.testing.assert_array_equal(values, after.outputs[name], err_msg=name)
    assert per_day(after, "prob_crisis").mean() > per_day(answers, "prob_crisis").mean()
    assert one.recalibrated(answers, {n: v * np.nan for n, v in always.items()}).maps[0].shift.tolist() == [0.0] * 4


def test_the_table_and_its_words() -> None:
    span, answers = span_of(tiny(), MODULE), answered(fitted())
    table = answers_table(MODULE, span, answers, fitted().explain(span, answers), tiny())
    first = table[table["known"]].iloc[0]
    assert first["regime_label"] in REGIMES
    assert first["nowcast_regime"] in REGIMES
    text = first["xai_summary"]
    for number in (
        *(f"{name} {first[f'prob_{name}']:.0%}" for name in REGIMES),
        f"has chance {first['transition_probability']:.0%}",
        f"Market volatility {first['market_vol_21d']:.0%} a year",
        f"graph stress {first['learned_graph_stress']:.2f}",
    ):
        assert number in text, number
    assert 8 <= len(text.split()) <= 60


def test_validation_judges_by_the_forward_target() -> None:
    view = train_of(tiny(), MODULE, np.arange(472, 540))
    loss = MODULE.validation_loss(fitted("anchor"), view)
    assert 0.0 < loss < 5.0
    assert MODULE.select(candidates(), None).variant == "anchored"


# explanations


def test_edges_differences_and_gradients() -> None:
    for variant in ("network", "anchor"):
        one = fitted(variant)
        span = span_of(tiny(), MODULE)
        asked = one.explainer(span, one.predict_many(span))
        days = asked.sample(6, np.random.default_rng(1))
        np.testing.assert_array_equal(days, asked.sample(6, np.random.default_rng(1)))
        assert len(set(days.tolist())) == 6
        edges = asked.edges(int(days[-1]))
        assert len(edges.weight) == 50
        assert (np.diff(edges.weight) <= 0.0).all()
        assert not (edges.source == edges.target).any()
        changed = asked.difference(len(LATER) - 1)
        assert changed is not None
        assert 0.0 < changed.mean_change < 1.0
        assert asked.difference(0) is None
        for told in asked.gradients(days[:2]):
            assert told.shares.shape == (len(STATE_WORDS),)
            assert abs(told.gap) <= max(0.01 * abs(told.change), 2e-3)


def test_what_ifs() -> None:
    span = span_of(tiny(), MODULE)
    one = fitted("network")
    asked = one.explainer(span, one.predict_many(span))
    found = {each.name: each for each in asked.what_ifs(np.arange(0, 60, 10), np.random.default_rng(0))}
    assert len(found) == 3
    assert np.abs(found["names shuffled"].after - found["names shuffled"].before).max() > 0.0
    alone = fitted("anchor")
    for each in alone.explainer(span, alone.predict_many(span)).what_ifs(np.arange(6), np.random.default_rng(0)):
        if each.name == "names shuffled":
            np.testing.assert_array_equal(each.before, each.after)  # it looks at no name


# rivals


def test_two_states_are_told_apart_by_their_deviation() -> None:
    rng = np.random.default_rng(0)
    wild = (np.arange(2000) // 100) % 2
    returns = rng.standard_normal(2000) * np.where(wild == 1, 0.03, 0.007)
    found = fit_switching(returns)
    np.testing.assert_allclose(found.deviation, [0.007, 0.03], rtol=0.1)
    assert (found.stay > 0.97).all()
    windows = np.lib.stride_tricks.sliding_window_view(returns, 252)
    said = found.filtered(windows)
    assert ((said > 0.5) == (wild[251:] == 1)).mean() > 0.95
    ahead = found.ahead(said, 20)
    assert (np.sign(ahead - ahead.mean()) == np.sign(said - said.mean())).mean() > 0.9
    assert np.abs(ahead - 0.5).max() < np.abs(said - 0.5).max()  # it fades towards the long run


def test_a_still_market_has_no_two_states() -> None:
    found = fit_switching(np.zeros(300))
    assert np.isfinite(found.filtered(np.zeros((2, 252)))).all()
    assert np.isnan(found.filtered(np.full((1, 252), np.nan))).all()


def test_tables_count_overlapping_days_once() -> None:
    base = np.array([0.5, 0.25, 0.25, 0.0])
    states, outcomes = np.repeat([0.0, 1.0], 200), np.repeat([0.0, 2.0], 200)
    table = StateTable.fit(states, outcomes, 2, base)
    np.testing.assert_allclose(table.rates[0], [(10 + 0.5) / 11, 0.25 / 11, 0.25 / 11, 0.0])
    np.testing.assert_allclose(table.predict(np.array([np.nan, 1.0]), base)[0], base)
    blend = Blend.fit(states, outcomes, base)
    assert blend.rates[1, 2] > 0.8
    np.testing.assert_allclose(blend.predict(np.array([0.5]), base).sum(), 1.0)


def test_the_vix_rule_is_the_fixed_one() -> None:
    np.testing.assert_array_equal(vix_states(np.array([25.0, 25.1, 35.0, 35.1])), [0.0, 1.0, 1.0, 2.0])
    assert np.isnan(vix_states(np.array([np.nan]))).all()


def test_the_logit_with_a_huge_penalty_is_persistence() -> None:
    rng = np.random.default_rng(0)
    inputs, outcomes = rng.standard_normal((300, 3)), rng.integers(0, 3, 300).astype(float)
    start = np.log(np.broadcast_to([0.6, 0.2, 0.1, 0.1], (300, 4)))
    held = RegimeLogit.fit(inputs, start, outcomes, 1e6)
    np.testing.assert_allclose(held.logs(inputs, start), start, atol=1e-4)
    free = RegimeLogit.fit(inputs, start, outcomes, 1e-4)
    assert np.exp(free.logs(inputs, start))[:, 3].max() < 0.05


def test_calibration_mends_what_is_wrong_and_leaves_what_is_right() -> None:
    rng = np.random.default_rng(0)
    honest = rng.dirichlet([2.0, 1.0, 1.0], 4000)
    honest = np.column_stack([honest, np.zeros(4000)])
    outcomes = np.array([rng.choice(4, p=row) for row in honest], dtype=float)
    left = fit_map(honest, outcomes).apply(honest)
    assert np.abs(left - honest).max() < 0.06
    sharp = honest**2 / (honest**2).sum(axis=1, keepdims=True)
    mended = fit_map(sharp, outcomes)
    assert 0.45 < mended.stretch[0] < 0.75  # 0.5 is right, belief holds it a little above
    assert (mended.apply(sharp)[:, 3] == 0.0).all()
    nothing = fit_map(honest, np.full(4000, np.nan))
    assert nothing.stretch[0] == RegimeMap.identity().stretch[0]


def test_base_rates_keep_impossible_regimes_at_zero() -> None:
    rates = base_rates(np.zeros(40), np.array([True, True, True, False]))
    np.testing.assert_allclose(rates, [2.5 / 3.5, 0.5 / 3.5, 0.5 / 3.5, 0.0])


# settings


@pytest.mark.parametrize(
    "settings",
    [
        {"variant": "both"},
        {"min_names": 1},
        {"most_names": 5},
        {"min_points": 0},
        {"node": 0},
        {"graph": 0},
        {"classifier": 0},
        {"neighbour_share": 0.0},
        {"fewest_neighbours": 0},
        {"dropout": 1.0},
        {"penalty": 0.0},
        {"holdout_share": 1.0},
        {"epochs": 0},
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(PlanError):
        MtgnnRegime(**settings)


def test_the_defaults_are_the_sources_sizes() -> None:
    default = MtgnnRegime()
    assert (default.node, default.graph, default.classifier, default.dropout) == (128, 64, 64, 0.2)
    assert (default.epochs, default.patience, default.learning_rate, default.min_points) == (80, 15, 1e-3, 250)
    assert default.min_names == 15
    assert default.neighbour_share * 2500 == pytest.approx(66)
