from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from glassbox_bt.errors import PlanError, TrainingError
from glassbox_bt.market.store import AnswerColumn, MarketStore
from glassbox_bt.modules._anchor import sigmoid
from glassbox_bt.modules._attribution import RISKS
from glassbox_bt.modules._outcomes import HORIZON, Outcomes
from glassbox_bt.modules._risk_attention import RiskAttention
from glassbox_bt.modules.analysts.quantitative import FittedQuantitative, QuantitativeAnalyst
from glassbox_bt.modules.base import Candidate, FitContext
from glassbox_bt.types import Answers, Reason
from tests.builders import tiny_store
from tests.contracts.upstream import upstream
from tests.modules.planted import planted

SMALL = QuantitativeAnalyst(hidden=16, attention=8, epochs=8, batch_size=256, learning_rate=3e-3)
TRAIN, LATER = np.arange(40, 500), np.arange(500, 600)
CONTEXT = FitContext(seed=3, module="quantitative", chunk=1, fold=0)
SIGNAL = "risk_adjusted_quantitative_signal"

Columns = Mapping[str, AnswerColumn]


@pytest.fixture(scope="module")
def market() -> MarketStore:
    return tiny_store(620, 8, seed=2)


@pytest.fixture(scope="module")
def below(market: MarketStore) -> Columns:
    return upstream(market, SMALL.reads, seed=1)


def fit(module: QuantitativeAnalyst, store: MarketStore, below: Columns) -> Candidate:
    train = store.train_view(TRAIN, module.reads, module.learns_from, np.arange(8), below)
    return module.fit(train, CONTEXT)[0]


def answer(candidate: Candidate, store: MarketStore, below: Columns) -> Answers:
    return candidate.fitted.predict_many(store.span(LATER, SMALL.reads, np.arange(8), below))


@pytest.fixture(scope="module")
def learned(market: MarketStore, below: Columns) -> tuple[Candidate, Answers, MarketStore]:
    store = planted(market, below["technical.trend_score"], strength=4.0)
    candidate = fit(SMALL, store, below)
    return candidate, answer(candidate, store, below), store


def test_it_learns_a_planted_signal_and_ranks_it(
    learned: tuple[Candidate, Answers, MarketStore],
) -> None:
    candidate, answers, store = learned
    outcome = store.labels["forward_log_return_20d"].values[LATER]
    rows = answers.known & np.isfinite(outcome)
    raw = answers.outputs[f"{SIGNAL}_raw"][rows]
    assert np.corrcoef(raw, outcome[rows])[0, 1] > 0.4
    assert float(candidate.summary["holdout_ic_signal"]) > 0.4
    assert np.corrcoef(raw, answers.outputs["quantitative_risk_prob"][rows])[0, 1] < -0.5
    buys = answers.outputs["quantitative_recommendation"][answers.known] == 2
    assert 0.05 < buys.mean() < 0.7


def test_d_syn_01_no_target_is_a_formula_of_the_inputs(market: MarketStore, below: Columns) -> None:
    summary = fit(SMALL, market, below).summary
    assert float(summary["target_r2_from_inputs"]) < 0.2


def test_the_confidence_is_a_calibrated_hit_probability(
    learned: tuple[Candidate, Answers, MarketStore],
) -> None:
    _, answers, store = learned
    outcome = store.labels["forward_log_return_20d"].values[LATER]
    rows = answers.known & np.isfinite(outcome)
    hit = (answers.outputs[SIGNAL][rows] >= 0.0) == (outcome[rows] > 0.0)
    confidence = answers.outputs["quantitative_confidence"][rows]
    assert abs(confidence.mean() - hit.mean()) < 0.08
    sure = confidence > np.median(confidence)
    assert hit[sure].mean() > hit[~sure].mean()


def test_d_qnt_03_sizes_feed_no_signal(learned: tuple[Candidate, Answers, MarketStore], below: Columns) -> None:
    candidate, answers, store = learned
    changed = dict(below)
    for size in ("position_fraction_of_max", "recommended_capital_fraction", "technical_confidence"):
        column = below[f"position_sizing.{size}"]
        changed[f"position_sizing.{size}"] = dataclasses.replace(column, values=0.3 * column.values)
    other = answer(candidate, store, changed)
    sized = {"quantitative_recommendation"}
    for name, values in answers.outputs.items():
        if "_rule_" not in name and name not in sized:
            np.testing.assert_array_equal(values, other.outputs[name], err_msg=name)


def test_attention_adds_up_over_available_risks(learned: tuple[Candidate, Answers, MarketStore], below: Columns) -> None:
    _, answers, _ = learned
    known = answers.known
    weights = np.stack([answers.outputs[f"risk_attention_{r}"][known] for r in RISKS], axis=1)
    scores, there = (
        np.stack([below[f"position_sizing.{r}_risk_{p}"].values[LATER][known] for r in RISKS], axis=1)
        for p in ("score", "available")
    )
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, atol=1e-5)
    assert np.all(weights[there == 0.0] == 0.0)
    assert (there == 0.0).any()
    pooled = (weights * np.where(there == 1.0, scores, 0.0)).sum(axis=1)
    np.testing.assert_allclose(answers.outputs["attention_pooled_risk_score"][known], pooled, atol=1e-6)
    top = answers.outputs["top_attention_risk_driver"][known].astype(int)
    np.testing.assert_array_equal(weights[np.arange(len(top)), top], weights.max(axis=1))
    assert np.all(there[np.arange(len(top)), top] == 1.0)


def test_the_anchor_alone_is_explained_exactly(market: MarketStore, below: Columns) -> None:
    candidate = fit(QuantitativeAnalyst(variant="anchor"), market, below)
    assert isinstance(candidate.fitted, FittedQuantitative)
    model = candidate.fitted.model
    assert model is not None
    x = np.random.default_rng(0).random((50, 11))
    x[::3, 2] = np.nan
    heads, parts = model.heads(x), model.event.contributions(model.scaler.pairs(x))
    logit = model.event.linear(model.scaler.pairs(x))
    for k in range(len(RISKS)):
        there = np.isfinite(x[:, k])
        expected = sigmoid(logit) - sigmoid(logit - parts[:, k])
        np.testing.assert_allclose(heads.deltas[there, k], expected[there], atol=1e-12)
        assert np.all(heads.deltas[~there, k] == 0.0)


@given(seed=st.integers(0, 1000), slot=st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_d_qnt_01_a_masked_risk_cannot_reach_the_network(seed: int, slot: int) -> None:
    torch.manual_seed(seed)
    network = RiskAttention(6, 4, attention=8, hidden=8, layers=2, dropout=0.0).eval()
    torch.nn.init.normal_(network.head.weight)
    risks, there, context = torch.rand(5, 6), torch.ones(5, 6), torch.randn(5, 4)
    there[:, slot] = 0.0
    changed = risks.clone()
    changed[:, slot] += 10.0
    with torch.no_grad():
        first, weights = network(risks, there, context)
        second, _ = network(changed, there, context)
    assert torch.equal(first, second)
    assert torch.all(weights[:, slot] == 0.0)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(5))


def test_d_qnt_01_risks_enter_the_network_through_the_pool_only() -> None:
    network = RiskAttention(6, 4, attention=8, hidden=16, layers=1, dropout=0.0)
    first = network.body[0]
    assert isinstance(first, torch.nn.Linear)
    assert first.in_features == 4 + 8 + 1  # context, pooled vector, pooled risk: no raw risk
    with torch.no_grad():
        none, weights = network(torch.rand(3, 6), torch.zeros(3, 6), torch.randn(3, 4))
    assert torch.isfinite(none).all()
    assert torch.all(weights == 0.0)


def test_it_abstains_without_risks_or_technical_evidence(
    learned: tuple[Candidate, Answers, MarketStore], below: Columns
) -> None:
    candidate, _, store = learned
    changed = dict(below)
    for risk in RISKS:
        column = below[f"position_sizing.{risk}_risk_available"]
        none = column.values.copy()
        none[:, 1] = 0.0
        changed[f"position_sizing.{risk}_risk_available"] = dataclasses.replace(column, values=none)
    silent = below["technical.known"].values.copy()
    silent[:, 2] = 0.0
    changed["technical.known"] = dataclasses.replace(below["technical.known"], values=silent)
    answers = answer(candidate, store, changed)
    assert np.all(answers.reason[:, 1:3] == Reason.UPSTREAM_UNKNOWN)
    assert answers.known[:, 0].any()


def test_ranks_rest_on_the_out_of_fold_answers(learned: tuple[Candidate, Answers, MarketStore], below: Columns) -> None:
    candidate, answers, store = learned
    assert isinstance(candidate.fitted, FittedQuantitative)
    frozen = candidate.fitted.with_reference(answers)
    again = frozen.predict_many(store.span(LATER, SMALL.reads, np.arange(8), below))
    signal, risk = again.outputs[SIGNAL][again.known], again.outputs["quantitative_risk_score"][again.known]
    assert abs(signal.mean()) < 1e-6
    assert abs(risk.mean() - 0.5) < 1e-6
    np.testing.assert_allclose(np.quantile(signal, [0.25, 0.75]), [-0.5, 0.5], atol=0.02)


def test_the_formula_variant_is_a_rule_and_copies_the_formula(market: MarketStore, below: Columns) -> None:
    module = QuantitativeAnalyst(variant="rule")
    assert module.learns_from == ()
    train = market.train_view(TRAIN[:1], module.reads, (), np.arange(8), below)
    answers = answer(module.fit(train, CONTEXT)[0], market, below)
    for learned, rule in (
        (SIGNAL, "quantitative_rule_signal"),
        ("quantitative_risk_score", "quantitative_rule_risk_score"),
        ("quantitative_confidence", "quantitative_rule_confidence"),
        ("quantitative_recommendation", "quantitative_rule_recommendation"),
    ):
        np.testing.assert_array_equal(answers.outputs[learned], answers.outputs[rule])


@pytest.mark.parametrize(
    "change",
    [{"attention": 4}, {"hidden": 4}, {"layers": 1}, {"dropout": 0.5}, {"learning_rate": 1e-2}, {"epochs": 2},
     {"batch_size": 64}, {"weight_decay": 0.5}, {"rows_share": 0.5}, {"event_drawdown": 0.02},
     {"ridge_penalty": 5.0}, {"logit_penalty": 5.0}, {"holdout": 0.3}],
    ids=str,
)  # fmt: skip
def test_every_setting_changes_the_fit(
    learned: tuple[Candidate, Answers, MarketStore], below: Columns, change: dict[str, float]
) -> None:
    candidate, _, store = learned
    module = dataclasses.replace(SMALL, **change)  # type: ignore[arg-type]
    before, after = candidate.fitted.state().arrays, fit(module, store, below).fitted.state().arrays
    assert any(name not in after or not np.array_equal(values, after[name]) for name, values in before.items())


@pytest.mark.parametrize("change", [{"variant": "best"}, {"event_drawdown": 0.0}, {"layers": 0}, {"dropout": 1.0}], ids=str)
def test_settings_out_of_range_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(PlanError, match=next(iter(change))):
        QuantitativeAnalyst(**change)  # type: ignore[arg-type]


def test_too_short_a_train_part_is_an_error(market: MarketStore, below: Columns) -> None:
    train = market.train_view(np.arange(40, 70), SMALL.reads, SMALL.learns_from, np.arange(8), below)
    with pytest.raises(TrainingError, match="longer train part"):
        SMALL.fit(train, CONTEXT)


@given(n_days=st.integers(40, 300), share=st.floats(0.05, 0.4), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_no_fitting_label_reaches_into_the_hold_out(n_days: int, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    days = np.repeat(np.arange(n_days), 3)
    labels = (rng.standard_normal(len(days)), np.full(len(days), 0.2), rng.random(len(days)) * 0.1)
    forward = np.where(rng.random(len(days)) < 0.1, np.nan, labels[0])
    try:
        out = Outcomes.of(days, (forward, *labels[1:]), event_drawdown=0.05, holdout=share, module="quantitative")
    except TrainingError:
        return
    kept = days[out.usable]
    assert kept[out.fitting].max() + HORIZON + 1 < kept[out.held_out].min()
    assert not np.any(out.fitting & out.held_out)
    side = out.side[out.fitting]
    assert abs(2.0 * side.sum() - len(side)) <= 1.0  # halves, up to the median itself
