from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glassbox_bt.errors import PlanError
from glassbox_bt.market.store import AnswerColumn, MarketStore
from glassbox_bt.modules._fusion_features import CATEGORIES, FEATURES, IS_TEXT, NUMERIC, features, read_rows
from glassbox_bt.modules._fusion_model import MIN_LEAN, MIN_SLOPE, action_scores, branch_line
from glassbox_bt.modules._fusion_targets import GRID, Utility
from glassbox_bt.modules.base import Candidate, FitContext
from glassbox_bt.modules.fusion import FittedFusion, LearnedFusion, decided
from glassbox_bt.types import Action, Answers, Reason
from tests.builders import tiny_store
from tests.contracts.upstream import SILENT, upstream
from tests.modules.planted import planted

SMALL = LearnedFusion(hidden=16, epochs=6, batch_size=256, learning_rate=3e-3)
TRAIN, LATER = np.arange(40, 500), np.arange(500, 600)
CONTEXT = FitContext(seed=3, module="fusion", chunk=1, fold=0)
TALKING = tuple(name for name in SILENT if name != "qualitative")
EVERYONE = np.arange(8)

Columns = Mapping[str, AnswerColumn]


@pytest.fixture(scope="module")
def market() -> MarketStore:
    return tiny_store(620, 8, seed=2)


@pytest.fixture(scope="module")
def below(market: MarketStore) -> Columns:
    """Text is silent."""
    return upstream(market, SMALL.reads, seed=1)


@pytest.fixture(scope="module")
def below_with_text(market: MarketStore) -> Columns:
    return upstream(market, SMALL.reads, seed=1, silent=TALKING)


def fit(module: LearnedFusion, store: MarketStore, below: Columns) -> Candidate:
    train = store.train_view(TRAIN, module.reads, module.learns_from, EVERYONE, below)
    return module.fit(train, CONTEXT)[0]


def answer(candidate: Candidate, store: MarketStore, below: Columns) -> Answers:
    return candidate.fitted.predict_many(store.span(LATER, SMALL.reads, EVERYONE, below))


@pytest.fixture(scope="module")
def learned(market: MarketStore, below: Columns) -> tuple[Candidate, Answers, MarketStore]:
    driver = below["technical.trend_score"]
    store = planted(market, driver, strength=4.0)
    candidate = fit(SMALL, store, below)
    return candidate, answer(candidate, store, below), store


@pytest.fixture(scope="module")
def with_text(market: MarketStore, below_with_text: Columns) -> tuple[Candidate, Answers]:
    store = planted(market, below_with_text["technical.trend_score"], strength=4.0)
    candidate = fit(SMALL, store, below_with_text)
    return candidate, answer(candidate, store, below_with_text)


def test_the_features_are_those_of_the_spec_in_order() -> None:
    assert (len(NUMERIC), len(FEATURES), len(set(FEATURES))) == (68, 93, 93)
    assert FEATURES[0] == "quantitative.risk_adjusted_quantitative_signal"
    assert FEATURES[47] == "qualitative.event_count"
    assert FEATURES[61] == "text_available"
    assert [len(values) for values in CATEGORIES.values()] == [3, 3, 7, 7, 5]


def test_features_of_silent_modules_are_unknown_and_categories_are_whole(market: MarketStore, below: Columns) -> None:
    span = market.span(LATER, SMALL.reads, EVERYONE, below)
    known = span.today("quantitative.known") == 1.0
    matrix = features(read_rows(span, known))
    assert matrix.shape == (known.sum(), 93)
    unknown = np.isnan(matrix[:, : len(NUMERIC)]).all(axis=0)
    named = {name for name, none in zip(NUMERIC, unknown, strict=True) if none}
    assert {name.split(".")[0].removeprefix("log1p ") for name in named} == {
        "regime", "contagion", "drawdown", "qualitative", "crisis_regime_flag",
    }  # fmt: skip
    start = len(NUMERIC)
    for values in CATEGORIES.values():
        assert np.all(matrix[:, start : start + len(values)].sum(axis=1) == 1.0)
        start += len(values)


def test_it_learns_a_planted_signal(learned: tuple[Candidate, Answers, MarketStore]) -> None:
    candidate, answers, store = learned
    outcome = store.labels["forward_log_return_20d"].values[LATER]
    rows = answers.known & np.isfinite(outcome)
    out = {name: values[rows] for name, values in answers.outputs.items()}
    assert "signal" in candidate.summary["network_speaks_on"]  # type: ignore[operator]
    assert np.corrcoef(out["learned_fusion_signal_raw"], outcome[rows])[0, 1] > 0.3
    better = out["learned_recommendation"] == Action.BUY
    worse = out["learned_recommendation"] == Action.SELL
    assert outcome[rows][better].mean() > outcome[rows][worse].mean() + 0.03
    assert np.corrcoef(out["learned_position_multiplier"], outcome[rows])[0, 1] > 0.2


def test_d_syn_01_no_target_is_a_formula_of_the_inputs(market: MarketStore, below: Columns) -> None:
    assert float(fit(SMALL, market, below).summary["target_r2_from_inputs"]) < 0.2


def test_probabilities_and_weights_add_up(
    learned: tuple[Candidate, Answers, MarketStore], with_text: tuple[Candidate, Answers]
) -> None:
    for answers in (learned[1], with_text[1]):
        out = {name: values[answers.known] for name, values in answers.outputs.items()}
        total = out["learned_sell_prob"] + out["learned_hold_prob"] + out["learned_buy_prob"]
        np.testing.assert_allclose(total, 1.0, atol=1e-9)
        both = out["learned_quantitative_weight"] + out["learned_qualitative_weight"]
        np.testing.assert_allclose(both, 1.0, atol=1e-9)
        for name in ("learned_position_multiplier", "learned_fusion_confidence"):
            assert np.all((out[name] >= 0.0) & (out[name] <= 1.0))


def test_the_parts_of_the_signal_add_up_to_it(with_text: tuple[Candidate, Answers]) -> None:
    answers = with_text[1]
    out = {name: values[answers.known] for name, values in answers.outputs.items()}
    parts = ("quantitative_contribution", "qualitative_contribution", "other_contribution")
    total = np.tanh(sum(out[part] for part in parts))
    np.testing.assert_allclose(total, out["learned_fusion_signal_raw"], atol=3e-6)


def test_text_that_is_absent_weighs_nothing_and_changes_nothing(
    market: MarketStore, with_text: tuple[Candidate, Answers], below: Columns
) -> None:
    candidate, answers = with_text
    silent = answer(candidate, market, below)
    there = answers.outputs["text_available"] == 1.0
    mute = answers.known & ~there
    assert mute.any()
    assert (answers.known & there).any()
    for name, values in answers.outputs.items():
        np.testing.assert_array_equal(values[mute], silent.outputs[name][mute], err_msg=name)
    assert np.all(answers.outputs["learned_quantitative_weight"][mute] == 1.0)
    assert np.all(answers.outputs["learned_qualitative_weight"][mute] == 0.0)
    assert answers.outputs["learned_qualitative_weight"][answers.known & there].mean() > 0.02


def test_no_weight_of_a_text_input_reaches_a_row_without_text(
    market: MarketStore, with_text: tuple[Candidate, Answers], below_with_text: Columns
) -> None:
    candidate, answers = with_text
    fitted = candidate.fitted
    assert isinstance(fitted, FittedFusion)
    assert fitted.model is not None
    assert fitted.model.weights
    of_text, rng = np.tile(IS_TEXT, 2), np.random.default_rng(0)
    weights = {name: np.array(values) for name, values in fitted.model.weights.items()}
    weights["body.0.weight"][:, of_text] += rng.normal(size=(weights["body.0.weight"].shape[0], int(of_text.sum())))
    anchors = [np.array(one.coefficients) for one in fitted.model.anchors]
    for coefficients in anchors:
        coefficients[[3, 4, 8, 9]] += rng.normal(size=4)  # text score and risk, and their flags
    moved = dataclasses.replace(
        fitted.model,
        weights=weights,
        speaks=np.ones(9),
        anchors=tuple(
            dataclasses.replace(one, coefficients=new) for one, new in zip(fitted.model.anchors, anchors, strict=True)
        ),
    )
    still = dataclasses.replace(fitted.model, speaks=np.ones(9))
    span = market.span(LATER, SMALL.reads, EVERYONE, below_with_text)
    one, two = (dataclasses.replace(fitted, model=model).predict_many(span) for model in (still, moved))
    there = answers.outputs["text_available"] == 1.0
    mute = answers.known & ~there
    for name, values in one.outputs.items():
        np.testing.assert_array_equal(values[mute], two.outputs[name][mute], err_msg=name)
    spoken = answers.known & there
    assert np.any(one.outputs["learned_fusion_signal"][spoken] != two.outputs["learned_fusion_signal"][spoken])


def test_every_optional_module_may_be_silent(market: MarketStore) -> None:
    mute = (*SILENT, "volatility", "var", "cvar", "liquidity")
    below = upstream(market, SMALL.reads, seed=1, silent=mute)
    answers = answer(fit(SMALL, market, below), market, below)
    assert answers.known.mean() > 0.8


@pytest.mark.parametrize("module", ["quantitative", "position_sizing", "technical"])
def test_it_abstains_without_a_required_module(
    learned: tuple[Candidate, Answers, MarketStore], below: Columns, module: str
) -> None:
    column = below[f"{module}.known"]
    none = column.values.copy()
    none[:, 1] = 0.0
    changed = {**below, f"{module}.known": dataclasses.replace(column, values=none)}
    answers = answer(learned[0], learned[2], changed)
    assert np.all(answers.reason[:, 1] == Reason.UPSTREAM_UNKNOWN)
    assert answers.known[:, 0].any()


@given(
    size=st.floats(0.001, 0.15), gain=st.floats(-0.5, 0.5), sigma=st.floats(0.001, 0.5), cost=st.floats(0, 0.01)
)  # fmt: skip
def test_the_multiplier_has_the_best_realised_utility(size: float, gain: float, sigma: float, cost: float) -> None:
    def value(m: float) -> float:
        return m * size * gain - 2.5 * (m * size) ** 2 * sigma**2 - m * size * cost

    utility = Utility(risk_aversion=5.0, cost=cost)
    best = float(utility.best_multiplier(*(np.array([x]) for x in (size, gain, sigma)))[0])
    assert best in GRID
    assert value(best) >= max(value(float(m)) for m in GRID) - 1e-12


def test_d_fus_01_the_multiplier_is_of_the_allowed_size() -> None:
    utility = Utility(risk_aversion=0.0, cost=0.001)
    gain, sigma = np.array([-0.05, 0.0005, 0.05]), np.full(3, 0.1)
    for size in (0.02, 0.10):
        assert utility.best_multiplier(np.full(3, size), gain, sigma).tolist() == [0.0, 0.0, 1.0]
    assert np.isnan(utility.best_multiplier(np.zeros(3), gain, sigma)).all()


def test_the_action_is_the_likelier_side_unless_the_middle_has_the_majority() -> None:
    said = {
        "learned_sell_prob": np.array([0.4, 0.4, 0.3, 0.24, 0.5]),
        "learned_buy_prob": np.array([0.4, 0.2, 0.31, 0.25, 0.5]),
        "learned_quantitative_weight": np.array([1.0, 0.7, 0.5, 0.2, 0.0]),
    }
    out = decided(said)
    assert out["learned_recommendation"].tolist() == [1, 0, 2, 1, 1]
    np.testing.assert_allclose(out["branch_weight_dominance"], [1.0, 0.4, 0.0, 0.6, 1.0])


@given(seed=st.integers(0, 200), tilt=st.floats(-2.0, 2.0))
@settings(deadline=None, max_examples=30)
def test_a_branch_is_never_turned_upside_down(seed: int, tilt: float) -> None:
    rng = np.random.default_rng(seed)
    mixed = rng.uniform(-1.0, 1.0, 300)
    slope, _ = branch_line(mixed, tilt * mixed + 0.1 * rng.standard_normal(300), 0.0)
    assert slope >= MIN_SLOPE
    if tilt > 0.1:
        assert abs(slope - tilt) < 0.1


@given(seed=st.integers(0, 100), tilt=st.floats(-3.0, 3.0))
@settings(deadline=None, max_examples=20)
def test_an_action_never_turns_its_branches_upside_down(seed: int, tilt: float) -> None:
    rng = np.random.default_rng(seed)
    z = np.concatenate([rng.standard_normal((200, 5)), np.ones((200, 5))], axis=1)
    outcome = tilt * z[:, 0] + rng.standard_normal(200)
    action = np.searchsorted(np.quantile(outcome, [1 / 3, 2 / 3]), outcome).astype(float)
    sell, _, buy = action_scores(z, action, 0.01)
    assert buy.coefficients[0] - sell.coefficients[0] >= MIN_LEAN - 1e-12


def test_branches_that_never_moved_have_the_smallest_slope() -> None:
    slope, intercept = branch_line(np.full(50, 0.3), np.linspace(0.0, 1.0, 50), 0.1)
    assert slope == MIN_SLOPE
    assert intercept == pytest.approx(0.5)


def test_ranks_rest_on_the_out_of_fold_answers(learned: tuple[Candidate, Answers, MarketStore], below: Columns) -> None:
    candidate, answers, store = learned
    assert isinstance(candidate.fitted, FittedFusion)
    again = candidate.fitted.with_reference(answers).predict_many(store.span(LATER, SMALL.reads, EVERYONE, below))
    assert abs(again.outputs["learned_fusion_signal"][again.known].mean()) < 1e-6
    assert abs(again.outputs["learned_fusion_risk_score"][again.known].mean() - 0.5) < 1e-6


def test_the_formula_variant_copies_the_formula(market: MarketStore, below: Columns) -> None:
    module = LearnedFusion(variant="rule")
    assert module.learns_from == ()
    train = market.train_view(TRAIN[:1], module.reads, (), EVERYONE, below)
    answers = answer(module.fit(train, CONTEXT)[0], market, below)
    for learned, rule in (
        ("learned_fusion_signal", "fusion_rule_signal"),
        ("learned_fusion_risk_score", "fusion_rule_risk_score"),
        ("learned_fusion_confidence", "fusion_rule_confidence"),
        ("learned_recommendation", "fusion_rule_recommendation"),
        ("learned_position_multiplier", "fusion_rule_multiplier"),
    ):
        np.testing.assert_array_equal(answers.outputs[learned], answers.outputs[rule])


@pytest.mark.parametrize(
    "change",
    [{"hidden": 4}, {"layers": 1}, {"dropout": 0.5}, {"learning_rate": 1e-2}, {"epochs": 2}, {"batch_size": 64},
     {"weight_decay": 0.5}, {"rows_share": 0.5}, {"event_drawdown": 0.02}, {"ridge_penalty": 5.0},
     {"logit_penalty": 5.0}, {"holdout": 0.3}, {"cost_bps": 200.0}, {"risk_aversion": 500.0}],
    ids=str,
)  # fmt: skip
def test_every_setting_changes_the_fit(
    learned: tuple[Candidate, Answers, MarketStore], below: Columns, change: dict[str, float]
) -> None:
    candidate, _, store = learned
    module = dataclasses.replace(SMALL, **change)  # type: ignore[arg-type]
    before, after = candidate.fitted.state().arrays, fit(module, store, below).fitted.state().arrays
    assert any(name not in after or not np.array_equal(values, after[name]) for name, values in before.items())


@pytest.mark.parametrize(
    "change", [{"variant": "best"}, {"event_drawdown": 1.0}, {"cost_bps": -1.0}, {"hidden": 0}], ids=str
)
def test_settings_out_of_range_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(PlanError, match=next(iter(change))):
        LearnedFusion(**change)  # type: ignore[arg-type]
