"""The qualitative analyst: what counts as an event, what is learned from it, and when it keeps silent."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from glassbox_bt.errors import PlanError, TrainingError
from glassbox_bt.market.documents import MARKET_WIDE
from glassbox_bt.modules._anchor import information_coefficient
from glassbox_bt.modules._attribution import TEXT_DRIVERS
from glassbox_bt.modules._outcomes import HORIZON, parted
from glassbox_bt.modules._qualitative_events import FEATURES, MEMORY, Events, influence_of
from glassbox_bt.modules._qualitative_outcomes import Realised, Yardstick
from glassbox_bt.modules._qualitative_rule import TrainMeans, event_drivers, event_rule
from glassbox_bt.modules.analysts.qualitative import FittedQualitative, QualitativeAnalyst
from glassbox_bt.modules.base import Candidate, predict
from glassbox_bt.types import Action, Answers, Reason
from tests.modules.analysts.qualitative_cases import (
    CONTEXT,
    EXCESS,
    LATER,
    SMALL,
    TRAIN,
    Case,
    Doc,
    case_of,
    decayed,
    fitted,
    ic_interval,
    random_docs,
    span_of,
    train_of,
)

NAMES = np.arange(8)


@cache
def planted(strength: float = 1.0, seed: int = 0) -> Case:
    return case_of(strength, seed)


@cache
def learned(strength: float = 1.0, seed: int = 0, variant: str = "anchored") -> tuple[Candidate, ...]:
    module = dataclasses.replace(SMALL, variant=variant)  # type: ignore[arg-type]
    return module.fit(train_of(planted(strength, seed), module), CONTEXT)


def answers(variant: str = "anchored", strength: float = 1.0, seed: int = 0) -> Answers:
    asked = variant if variant == "network" else "anchored"
    return fitted(learned(strength, seed, asked), variant).predict_many(span_of(planted(strength, seed)))


def formula(docs: list[Doc]) -> tuple[FittedQualitative, Case]:
    """The closed formula of the planted market, asked about a market with these documents only."""
    return fitted(learned(), "rule"), case_of(0.0, docs=docs)


def same(one: Answers, other: Answers) -> None:
    np.testing.assert_array_equal(one.reason, other.reason)
    for name, values in one.outputs.items():
        np.testing.assert_array_equal(values, other.outputs[name], err_msg=name)


# Events


def test_an_event_speaks_to_six_sessions_with_a_weight_that_halves_every_two() -> None:
    docs = random_docs(planted().store)
    expected = decayed(docs, planted().store, "sentiment")[LATER]
    given_ = answers("rule")
    there = given_.known & np.isfinite(expected)
    assert there.sum() > 500
    # the made-up answers repeat on each chunk, so pooling by words changes nothing
    np.testing.assert_allclose(given_.outputs["mean_sentiment_score"][there], expected[there], atol=2e-6)
    only_news = given_.known & ~np.isfinite(expected)
    assert only_news.any()
    assert (given_.outputs["mean_sentiment_score"][only_news] == 0.0).all()  # neutral (spec 25.2), and counted as none
    assert (given_.outputs["sentiment_event_count"][only_news] == 0.0).all()


def test_no_row_without_an_event_and_the_reason_is_told() -> None:
    one, case = formula([Doc(460, 0), Doc(470, 1, sentiment=None, impact=None), Doc(480, MARKET_WIDE)])
    said = one.predict_many(span_of(case))
    expected = np.full(said.reason.shape, Reason.NO_TEXT)
    expected[460 - LATER[0] : 466 - LATER[0], 0] = Reason.KNOWN
    expected[470 - LATER[0] : 476 - LATER[0], 1] = Reason.UPSTREAM_UNKNOWN  # written, but nobody read it
    np.testing.assert_array_equal(said.reason, expected)
    for name, values in said.outputs.items():
        assert np.isnan(values[~said.known]).all(), name  # never 0.5
    assert (said.outputs["event_count"][said.known] == 1.0).all()


def test_a_document_of_another_name_is_none_of_mine() -> None:
    docs = random_docs(planted().store)
    without = [doc for doc in docs if doc.asset != 2]
    one = fitted(learned(), "anchored")
    before = one.predict_many(span_of(planted()))
    after = one.predict_many(span_of(case_of(1.0, docs=without)))
    assert not after.known[:, 2].any()
    others = np.delete(NAMES, 2)
    for name, values in before.outputs.items():
        np.testing.assert_array_equal(values[:, others], after.outputs[name][:, others], err_msg=name)


@given(st.lists(st.tuples(st.integers(440, 470), st.integers(0, 3)), min_size=1, max_size=12), st.booleans())
@settings(max_examples=30, deadline=None)
def test_influence_is_what_the_plainest_loop_says(places: list[tuple[int, int]], same_day: bool) -> None:
    case = case_of(0.0, docs=[Doc(session, asset) for session, asset in places], n_assets=4)
    sessions = 1 if same_day else MEMORY
    days = np.array([452, 453, 457, 463], dtype=np.int64)
    span = span_of(case, dataclasses.replace(SMALL, same_day_only=same_day), days)
    events = Events.of(span)
    found = influence_of(events, span, sessions)
    pairs = sorted(zip(found.cell.tolist(), found.weight.tolist(), strict=True))
    loop = sorted(
        (int(np.flatnonzero(days == day)[0]) * 4 + asset, 0.5 ** ((day - session) / 2.0))
        for session, asset in places
        for day in days.tolist()
        if 0 <= day - session < sessions and case.store.member[day, asset]
    )
    assert pairs == loop


def test_a_setting_leaves_documents_their_own_day_only() -> None:
    module = dataclasses.replace(SMALL, same_day_only=True)
    assert {read.sessions for read in module.reads} == {1}
    one = dataclasses.replace(fitted(learned(), "rule"), sessions=1)
    said = one.predict_many(span_of(case_of(0.0, docs=[Doc(460, 0)]), module))
    assert said.known.sum() == 1
    assert said.known[460 - LATER[0], 0]


def test_tone_is_pooled_over_chunks_by_their_words() -> None:
    doc = Doc(460, 0, chunks=2, words=(30, 90))
    case = case_of(0.0, docs=[doc])
    column = case.answers["sentiment.predicted_sentiment_score"]
    told = {**case.answers, "sentiment.predicted_sentiment_score": dataclasses.replace(column, values=np.array([1.0, -0.5]))}
    events = Events.of(span_of(Case(case.store, told)))
    assert events.column("sentiment_score")[0] == pytest.approx((30 * 1.0 - 90 * 0.5) / 120)


# The formula


def test_the_formula_on_one_event_is_that_of_the_source() -> None:
    doc = Doc(460, 0, sentiment=0.6, impact=-0.4, risk=0.7, sure=0.8, importance=0.9)
    one, case = formula([doc])
    said = {name: values[460 - LATER[0], 0] for name, values in one.predict_many(span_of(case)).outputs.items()}
    assert said["qualitative_rule_score"] == pytest.approx(0.55 * 0.6 + 0.45 * -0.4 * 0.9, abs=1e-6)
    risk = 0.35 * 0.7 + 0.30 * 0.7 + 0.25 * 0.7 + 0.10 * 0.2
    assert said["qualitative_rule_risk_score"] == pytest.approx(risk, abs=1e-6)
    confidence = 0.40 * 0.8 + 0.25 * 0.8 + 0.20 * 0.9 + 0.15 * 0.8
    assert said["qualitative_rule_confidence"] == pytest.approx(confidence * np.log(2.0) / np.log(5.0), abs=1e-6)
    for name in ("score", "risk_score", "confidence", "recommendation"):
        assert said[f"qualitative_{name}"] == said[f"qualitative_rule_{name}"]
    assert TEXT_DRIVERS[int(said["dominant_qualitative_driver"])] == "risk_relevance"  # 0.7, ahead of its equals


def test_the_formula_of_a_day_weighs_events_by_confidence_and_age() -> None:
    docs = [
        Doc(460, 0, sentiment=1.0, impact=None, sure=0.9, risk=0.1),
        Doc(462, 0, sentiment=-0.5, impact=0.5, sure=0.5, risk=0.9),
    ]
    one, case = formula(docs)
    said = {name: values[462 - LATER[0], 0] for name, values in one.predict_many(span_of(case)).outputs.items()}
    means = one.means
    assert means is not None
    features = np.stack([Events.of(span_of(case)).column(name) for name in FEATURES], axis=-1)
    rule, weight = event_rule(features, means), np.array([0.5, 1.0])
    share = weight * rule.confidence / (weight * rule.confidence).sum()
    assert said["qualitative_rule_score"] == pytest.approx((share * rule.score).sum(), abs=1e-6)
    worst = 0.60 * rule.risk.max() + 0.40 * (share * rule.risk).sum()
    assert said["qualitative_rule_risk_score"] == pytest.approx(worst, abs=1e-6)
    mean = (weight * rule.confidence).sum() / 1.5
    assert said["qualitative_rule_confidence"] == pytest.approx(mean * np.log(2.5) / np.log(5.0), abs=1e-6)
    assert said["event_count"] == 2.0
    assert said["news_event_count"] == 1.0


def test_only_what_a_source_said_can_lead() -> None:
    x = np.full((3, len(FEATURES)), np.nan)
    x[0, FEATURES.index("sentiment_score")] = -0.1
    x[1, [FEATURES.index(name) for name in ("news_event_impact", "news_importance", "volatility_spike")]] = (-0.9, 0.9, 0.8)
    x[2, [FEATURES.index(name) for name in ("sentiment_score", "news_uncertainty")]] = (0.2, 0.6)
    assert [TEXT_DRIVERS[one] for one in event_drivers(x)] == ["sentiment", "news_impact", "news_uncertainty"]


def test_without_any_source_the_formula_has_no_confidence() -> None:
    x = np.full((1, len(FEATURES)), np.nan)
    x[0, [FEATURES.index(name) for name in ("sentiment_event_present", "news_event_present", "has_both_sources")]] = 0.0
    assert event_rule(x, TrainMeans.fit(x)).confidence[0] == 0.0


# What is learned


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_learns_a_planted_sign(seed: int) -> None:
    said, outcome = answers(seed=seed), planted(1.0, seed).store.labels[EXCESS].values[LATER]
    low, _ = ic_interval(said.outputs["qualitative_score"], outcome)
    assert low > 0.25
    buys = said.outputs["qualitative_recommendation"][said.known] == Action.BUY
    assert 0.05 < buys.mean() < 0.7


def test_it_finds_nothing_where_nothing_was_planted() -> None:
    found = []
    for seed in range(8):
        score, case = answers(strength=0.0, seed=seed).outputs["qualitative_score"], planted(0.0, seed)
        found.append(information_coefficient(score, case.store.labels[EXCESS].values[LATER]))
    low, high = stats.t.interval(0.95, len(found) - 1, np.mean(found), stats.sem(found))
    assert low < 0.0 < high
    assert abs(np.mean(found)) < 0.05


def test_risk_tells_trouble_and_confidence_a_right_sign() -> None:
    said, case = answers(), planted()
    yardstick = fitted(learned(), "anchored").yardstick
    assert yardstick is not None
    view = case.store.train_view(LATER, SMALL.reads, SMALL.learns_from, NAMES, case.answers)
    realised = Realised.of(view, said.known)
    rows, realised = realised.usable, realised.picked(realised.usable)
    score, risk, sure = (
        said.outputs[f"qualitative_{name}"][said.known][rows] for name in ("score", "risk_score", "confidence")
    )
    trouble = yardstick.trouble(realised)
    assert information_coefficient(risk, trouble) > 0.15
    assert abs(said.outputs["qualitative_risk_score_raw"][said.known][rows].mean() - trouble.mean()) < 0.08
    hit = (score >= 0.0) == (yardstick.side(realised) == 1.0)
    assert abs(sure.mean() - hit.mean()) < 0.08
    assert hit[sure > np.median(sure)].mean() > hit[sure <= np.median(sure)].mean()


def test_parts_add_up_to_the_raw_score() -> None:
    for variant in ("anchored", "anchor", "network", "rule"):
        out, known = answers(variant).outputs, answers(variant).known
        total = sum(out[f"{part}_contribution"][known] for part in ("sentiment", "news", "amount", "base", "network"))
        raw = total if variant == "rule" else np.tanh(total)
        np.testing.assert_allclose(raw, out["qualitative_score_raw"][known], atol=5e-6, err_msg=variant)


def test_every_output_keeps_its_range() -> None:
    for variant in ("anchored", "anchor", "network", "rule"):
        said = answers(variant)
        for name, values in said.outputs.items():
            own = values[said.known]
            assert np.isfinite(own).all(), name
            if name.endswith(("risk_score", "confidence", "risk_veto", "risk_score_raw", "importance")):
                assert own.min() >= 0.0, name
                assert own.max() <= 1.0, name
            elif name.endswith("score"):
                assert own.min() >= -1.0, name
                assert own.max() <= 1.0, name
        assert (said.outputs["max_event_risk_score"] >= said.outputs["mean_event_risk_score"] - 1e-6)[said.known].all()


def test_validation_prefers_what_is_better() -> None:
    """Learned on a market whose words mislead, the heads lose to the formula where words tell the truth, and else win."""
    case, misled = planted(), case_of(-1.0)
    view = case.store.train_view(LATER, SMALL.reads, SMALL.learns_from, NAMES, case.answers)
    wrong = {one.variant: SMALL.validation_loss(one.fitted, view) for one in SMALL.fit(train_of(misled, SMALL), CONTEXT)}
    assert wrong["rule"] < min(wrong["anchored"], wrong["anchor"])
    right = {one.variant: SMALL.validation_loss(one.fitted, view) for one in learned()}
    assert max(right["anchored"], right["anchor"]) < right["rule"]
    with pytest.raises(TrainingError, match="cannot judge"):
        SMALL.validation_loss(object(), view)  # type: ignore[arg-type]


def test_ranks_rest_on_the_out_of_fold_answers() -> None:
    said = answers()
    frozen = fitted(learned(), "anchored").with_reference(said)
    again = frozen.predict_many(span_of(planted()))
    score, risk = (again.outputs[f"qualitative_{name}"][again.known] for name in ("score", "risk_score"))
    assert abs(score.mean()) < 1e-6
    assert abs(risk.mean() - 0.5) < 1e-6
    assert fitted(learned(), "rule").with_reference(said) is fitted(learned(), "rule")


def test_too_little_text_is_no_fit_and_no_error() -> None:
    case = case_of(0.0, docs=[Doc(session, 0) for session in range(40, 500, 40)])
    for variant in ("anchored", "rule"):
        module = dataclasses.replace(SMALL, variant=variant)
        (only,) = module.fit(train_of(case, module), CONTEXT)
        assert "100 are needed" in str(only.summary["silent"])
        assert module.select((only,), None) is only
        said = only.fitted.predict_many(span_of(case))
        assert not said.known.any()
        assert set(np.unique(said.reason)) == {Reason.NO_TEXT, Reason.NO_FIT_YET}
        view = case.store.train_view(LATER, module.reads, module.learns_from, NAMES, case.answers)
        assert np.isnan(module.validation_loss(only.fitted, view))
        same(module.restore(only.fitted.state()).predict_many(span_of(case)), said)
    nothing = case_of(0.0, docs=[])
    (only,) = SMALL.fit(train_of(nothing, SMALL), CONTEXT)
    assert (only.fitted.predict_many(span_of(nothing)).reason[nothing.store.member[LATER]] == Reason.NO_TEXT).all()


@given(n_days=st.integers(40, 200), share=st.floats(0.05, 0.4), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_no_fitting_label_reaches_into_the_hold_out(n_days: int, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    days = np.sort(rng.integers(0, n_days, 2 * n_days))
    fitting, held_out = parted(days, share)
    assert not np.any(fitting & held_out)
    if fitting.any():
        assert days[fitting].max() + HORIZON + 1 < days[held_out].min()


def test_bars_and_ranks_know_the_purged_rows_only() -> None:
    """D-LAB-01: outcomes of the hold-out and of the gap before it move no yardstick."""
    case = planted()
    text_days = TRAIN[-60:]
    wild = dict(case.store.labels)
    for name in SMALL.learns_from:
        values = wild[name].values.copy()
        values[text_days] *= 7.0
        wild[name] = dataclasses.replace(wild[name], values=values)
    moved = Case(dataclasses.replace(case.store, labels=wild), case.answers)
    before, after = (fitted(SMALL.fit(train_of(one, SMALL), CONTEXT), "rule").yardstick for one in (case, moved))
    assert isinstance(before, Yardstick) and isinstance(after, Yardstick)
    np.testing.assert_array_equal(before.bars, after.bars)
    np.testing.assert_array_equal(before.scale.reference, after.scale.reference)
    early = dict(case.store.labels)
    early[EXCESS] = dataclasses.replace(early[EXCESS], values=7.0 * early[EXCESS].values)
    third = Case(dataclasses.replace(case.store, labels=early), case.answers)
    other = fitted(SMALL.fit(train_of(third, SMALL), CONTEXT), "rule").yardstick
    assert other is not None
    assert not np.array_equal(before.bars, other.bars)


# Promises of every module


@pytest.mark.parametrize("variant", ["anchored", "anchor", "network", "rule"])
def test_one_day_many_days_and_any_order_of_names_agree(variant: str) -> None:
    case, many = planted(), answers(variant)
    one = fitted(learned(variant=variant if variant == "network" else "anchored"), variant)
    for row in (0, 41, len(LATER) - 1):
        alone = predict(one, case.store.view(int(LATER[row]), SMALL.reads, NAMES, case.answers))
        np.testing.assert_array_equal(alone.known, many.known[row])
        for name, values in alone.outputs.items():
            np.testing.assert_array_equal(values, many.outputs[name][row], err_msg=name)
    rows = np.r_[2:9, 20:60:7]
    some = one.predict_many(span_of(case, SMALL, LATER[rows]))
    order = np.array([3, 0, 7, 1, 2, 6, 5, 4])
    turned = one.predict_many(case.store.span(LATER, SMALL.reads, order, case.answers))
    for name, values in many.outputs.items():
        np.testing.assert_array_equal(values[rows], some.outputs[name], err_msg=name)
        np.testing.assert_array_equal(values[:, order], turned.outputs[name], err_msg=name)


@pytest.mark.parametrize("variant", ["anchored", "anchor", "network", "rule"])
def test_a_state_comes_back_and_a_second_fit_is_the_same(variant: str) -> None:
    module = dataclasses.replace(SMALL, variant=variant)  # type: ignore[arg-type]
    chosen = module.select(module.fit(train_of(planted(), module), CONTEXT), None)
    assert chosen.variant == variant
    state, again = chosen.fitted.state(), fitted(learned(variant=variant), variant).state()
    assert state.facts == again.facts
    assert state.arrays.keys() == again.arrays.keys()
    for name, values in state.arrays.items():
        np.testing.assert_array_equal(values, again.arrays[name], err_msg=name)
    same(SMALL.restore(state).predict_many(span_of(planted())), answers(variant))  # validation restores any variant


def test_documents_and_answers_of_later_days_change_nothing() -> None:
    case = planted()
    cut = int(TRAIN[-1])
    later = [dataclasses.replace(doc, sentiment=0.9, risk=0.99) if doc.session > cut else doc for doc in _docs()]
    other = case_of(1.0, docs=later)
    labels = {name: case.store.labels[name] for name in SMALL.learns_from}
    poisoned = Case(dataclasses.replace(other.store, labels={**other.store.labels, **labels}), other.answers)
    before, after = (SMALL.fit(train_of(one, SMALL), CONTEXT) for one in (case, poisoned))
    for one, two in zip(before, after, strict=True):
        for name, values in one.fitted.state().arrays.items():
            np.testing.assert_array_equal(values, two.fitted.state().arrays[name], err_msg=name)


def _docs() -> list[Doc]:
    return random_docs(planted().store)


@pytest.mark.parametrize(
    "change",
    [{"hidden": 8}, {"layers": 1}, {"dropout": 0.5}, {"learning_rate": 1e-2}, {"epochs": 2}, {"batch_size": 64},
     {"weight_decay": 0.5}, {"rows_share": 0.5}, {"ridge_penalty": 5.0}, {"logit_penalty": 5.0}, {"holdout": 0.3},
     {"same_day_only": True}],
    ids=str,
)  # fmt: skip
def test_every_setting_changes_the_fit(change: dict[str, Any]) -> None:
    module = dataclasses.replace(SMALL, variant="network", **change)
    after = module.fit(train_of(planted(), module), CONTEXT)
    before = learned(variant="network")
    for one, two in zip(before, after, strict=True):
        old, new = one.fitted.state().arrays, two.fitted.state().arrays
        if any(name not in new or not np.array_equal(values, new[name]) for name, values in old.items()):
            return
    pytest.fail(f"{change} changes nothing")


@pytest.mark.parametrize(
    "change",
    [{"variant": "best"}, {"hidden": 0}, {"dropout": 1.0}, {"holdout": 1.0}, {"ridge_penalty": 0.0}, {"min_rows": 0},
     {"epochs": 0}],
    ids=str,
)  # fmt: skip
def test_settings_out_of_range_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(PlanError, match=next(iter(change))):
        QualitativeAnalyst(**change)
