from __future__ import annotations

import dataclasses
from dataclasses import replace

import numpy as np
import pytest

from glassbox_bt.errors import PlanError
from glassbox_bt.market.documents import empty_text
from glassbox_bt.modules._sentiment_network import objective
from glassbox_bt.modules._sentiment_quality import calibration_error, sign_agreement
from glassbox_bt.modules._text_inputs import Forms, Split, Wording, age_in_days, stratified_sample
from glassbox_bt.modules.analysts.sentiment import CHANCES, FittedSentiment, SentimentAnalyst
from glassbox_bt.modules.base import Candidate
from glassbox_bt.types import Answers, Reason
from tests.contracts.text import text_answer, with_text
from tests.modules.analysts.text_cases import (
    LATER,
    TRAIN,
    below,
    context,
    document_ic,
    fitted,
    market,
    span_of,
    train_view_of,
)

MODULE = SentimentAnalyst(
    hidden=16, representation=8, epochs=6, batch_size=256, learning_rate=3e-3, patience=3, explained=40, counterfactuals=30
)


@pytest.fixture(scope="module")
def candidates() -> tuple[Candidate, ...]:
    return fitted(MODULE, market(strength=1.0))


@pytest.fixture(scope="module")
def answers(candidates: tuple[Candidate, ...]) -> Answers:
    store = market(strength=1.0)
    return candidates[0].fitted.predict_many(span_of(store, MODULE, below(store)))


def test_a_planted_sign_is_found_with_an_interval_above_zero(answers: Answers) -> None:
    ic, low, _ = document_ic(market(strength=1.0), answers, "predicted_sentiment_score")
    assert ic > 0.3
    assert low > 0.0


@pytest.mark.parametrize("variant", ["anchor", "network"])
def test_either_part_alone_finds_it(variant: str) -> None:
    store = market(strength=1.0)
    module = replace(MODULE, variant=variant, epochs=20)
    said = fitted(module, store)[0].fitted.predict_many(span_of(store, module, below(store)))
    assert document_ic(store, said, "predicted_sentiment_score")[1] > 0.0


def test_without_a_planted_effect_nothing_is_found() -> None:
    store = market(strength=0.0)
    said = fitted(MODULE, store)[0].fitted.predict_many(span_of(store, MODULE, below(store)))
    ic, low, high = document_ic(store, said, "predicted_sentiment_score")
    assert low < 0.0 < high
    assert abs(ic) < 0.1


def test_the_checks_of_the_specification(answers: Answers) -> None:
    said = {name: values[answers.known] for name, values in answers.outputs.items()}
    chances = np.stack([said[name] for name in CHANCES], axis=1)
    np.testing.assert_allclose(chances.sum(axis=1), 1.0, atol=1e-4)
    confidence = said["predicted_sentiment_confidence"]
    assert confidence.min() >= 1.0 / 3.0 - 1e-6
    assert confidence.max() <= 1.0
    np.testing.assert_array_equal(confidence, chances.max(axis=1))
    np.testing.assert_allclose(said["predicted_sentiment_uncertainty"], 1.0 - confidence, atol=1e-9)
    assert set(said["predicted_sentiment_class"]) <= {-1.0, 0.0, 1.0}
    np.testing.assert_array_equal(said["predicted_sentiment_class"], said["predicted_sentiment_class_index"] - 1.0)
    for name, low in (("score", -1.0), ("score_raw", -1.0), ("magnitude", 0.0)):
        values = said[f"predicted_sentiment_{name}"]
        assert low <= values.min() <= values.max() <= 1.0


def test_the_score_is_the_sum_of_its_effects(candidates: tuple[Candidate, ...], answers: Answers) -> None:
    model = candidates[0].fitted.model  # type: ignore[attr-defined]
    effects = sum(answers.outputs[f"sentiment_effect_{name}"] for name in ("wording", "polarity", "facts", "network"))
    z = np.arctanh(answers.outputs["predicted_sentiment_score_raw"])
    np.testing.assert_allclose((z - effects)[answers.known], model.anchors[0].intercept, atol=1e-5)


def test_a_score_and_its_class_of_another_sign_are_flagged() -> None:
    score = np.array([0.9, 0.8, -0.9, 0.1])
    assert sign_agreement(score, np.array([1, 1, -1, -1])) == (1.0, 3)
    share, n_rows = sign_agreement(score, np.array([-1, 1, -1, -1]))
    assert n_rows == 3
    assert share == pytest.approx(2.0 / 3.0)


def test_figures_of_the_hold_out_are_told(candidates: tuple[Candidate, ...]) -> None:
    learned, anchor = candidates
    assert [one.variant for one in candidates] == ["anchored", "anchor"]
    for figures in (learned.summary, anchor.summary):
        assert figures["holdout_ic"] > 0.2  # type: ignore[operator]
        assert figures["holdout_log_loss"] < figures["holdout_log_loss_constant"]  # type: ignore[operator]
        assert figures["holdout_magnitude_error"] <= 1.0  # type: ignore[operator]
        assert set(figures["class_share_by_year"]) == {"2010", "2011"}  # type: ignore[call-overload]
    assert learned.history[0]["epoch"] == 0.0


def test_an_untrained_residual_changes_nothing(candidates: tuple[Candidate, ...]) -> None:
    silenced = {name: replace(one.fitted.model, speaks=np.zeros(5)) for name, one in zip("ab", candidates, strict=True)}  # type: ignore[attr-defined]
    store = market(strength=1.0)
    span = span_of(store, MODULE, below(store))
    one, other = (replace(candidates[0].fitted, model=model).predict_many(span) for model in silenced.values())  # type: ignore[type-var]
    for name, values in one.outputs.items():
        np.testing.assert_array_equal(values, other.outputs[name], err_msg=name)


@pytest.mark.parametrize("n_documents", [0, 20])
def test_too_little_text_abstains_and_says_why(n_documents: int) -> None:
    store = market()
    store = with_text(store, n_documents) if n_documents else dataclasses.replace(store, records={"text": empty_text()})
    given = below(store) if n_documents else {r.column: text_answer(store, r.column, silent=True) for r in MODULE.reads[:3]}
    chosen = MODULE.select(MODULE.fit(train_view_of(store, MODULE, given), context(MODULE)), None)
    assert "documents with a known outcome" in str(chosen.summary["silent"])
    span = span_of(store, MODULE, given, np.arange(100, 600))
    said = chosen.fitted.predict_many(span)
    assert len(said.known) == int(span.asked.sum())
    assert not said.known.any()
    if n_documents:
        assert set(said.reason) <= {Reason.NO_FIT_YET}
        assert "no model had been fitted" in chosen.fitted.explain(span, said)[0]
    again = MODULE.restore(chosen.fitted.state())
    assert not again.predict_many(span).known.any()
    assert np.isnan(MODULE.validation_loss(chosen.fitted, train_view_of(store, MODULE, given)))


def test_what_the_encoder_did_not_read_is_not_answered(candidates: tuple[Candidate, ...]) -> None:
    store = market(strength=1.0)
    given = {name: text_answer(store, name, silent=True) for name in below(store)}
    said = candidates[0].fitted.predict_many(span_of(store, MODULE, given))
    assert len(said.known) > 0
    assert set(said.reason) == {Reason.UPSTREAM_UNKNOWN}


def test_scores_are_ranked_among_those_out_of_fold(candidates: tuple[Candidate, ...], answers: Answers) -> None:
    one = candidates[0].fitted
    assert isinstance(one, FittedSentiment)
    assert one.scale is not None
    scores = answers.outputs["predicted_sentiment_score_raw"]
    scale = one.with_reference(answers).scale
    assert scale is not None
    np.testing.assert_array_equal(scale.reference, np.sort(scores[answers.known]))
    assert len(one.scale.reference) < len(scale.reference)  # those of the hold-out
    nothing = {name: np.full_like(values, np.nan) for name, values in answers.outputs.items()}
    codes = np.full_like(answers.reason, Reason.NO_FIT_YET)
    silent = replace(answers, outputs=nothing, known=np.zeros_like(answers.known), reason=codes)
    assert one.with_reference(silent).scale is one.scale


def test_validation_prefers_the_better_variant(candidates: tuple[Candidate, ...]) -> None:
    store = market(strength=1.0)
    view = train_view_of(store, MODULE, below(store), LATER)
    good = MODULE.validation_loss(candidates[0].fitted, view)
    model = candidates[0].fitted.model  # type: ignore[attr-defined]
    first = replace(model.anchors[0], coefficients=-model.anchors[0].coefficients)
    bad = replace(candidates[0].fitted, model=replace(model, anchors=(first, *model.anchors[1:])))  # type: ignore[type-var]
    assert good < 0.8
    assert MODULE.validation_loss(bad, view) > 1.0


def test_the_measure_is_a_rank_correlation_with_macro_f1_as_a_tie_break() -> None:
    rng = np.random.default_rng(0)
    excess = rng.standard_normal(60)
    wanted = np.digitize(excess, [-0.4, 0.4])
    document, weight = np.arange(60), np.ones(60)
    perfect = objective((excess, wanted), (excess, wanted), document, weight)
    assert perfect == pytest.approx(0.0)
    assert objective((excess, np.ones(60, dtype=int)), (excess, wanted), document, weight) > perfect
    worse = objective((excess + rng.standard_normal(60), wanted), (excess, wanted), document, weight)
    assert worse > objective((excess, np.ones(60, dtype=int)), (excess, wanted), document, weight)


def test_gradients_add_up_and_counterfactuals_move(candidates: tuple[Candidate, ...]) -> None:
    store = market(strength=1.0)
    span = span_of(store, MODULE, below(store))
    anchor = candidates[1].fitted
    assert isinstance(anchor, FittedSentiment)
    said = anchor.predict_many(span)
    shares = anchor.gradients(span, said, np.random.default_rng(1))
    assert shares.shares.shape[0] == MODULE.explained
    at = np.searchsorted(said.rows, shares.rows)  # type: ignore[arg-type]
    z = np.arctanh(said.outputs["predicted_sentiment_score_raw"][at]) - anchor.model.anchors[0].intercept  # type: ignore[union-attr]
    np.testing.assert_allclose(shares.shares.sum(axis=1), z, atol=1e-4)
    cases = anchor.pushed(span, said, np.random.default_rng(1))
    assert [one.expected for one in cases] == [1, -1]
    weight = anchor.model.anchors[0].coefficients[anchor.model.wording.width]  # type: ignore[union-attr]
    moved = cases[0].after - cases[1].after
    assert np.all(np.sign(moved) == np.sign(weight))
    before, after = anchor.without_facts(span, said, np.random.default_rng(1))
    assert len(before) == MODULE.counterfactuals
    assert np.any(before != after)


def test_a_sample_comes_from_all_days_and_all_scores() -> None:
    rng = np.random.default_rng(0)
    session, score = np.sort(rng.integers(0, 400, 4000)), rng.standard_normal(4000)
    picked = stratified_sample(session, score, 200, np.random.default_rng(3))
    assert len(set(picked)) == 200
    for part in range(4):  # quarters of the days
        share = np.mean((session[picked] >= 100 * part) & (session[picked] < 100 * (part + 1)))
        assert 0.2 < share < 0.3
    assert 0.15 < np.mean(score[picked] > np.quantile(score, 0.8)) < 0.25
    assert stratified_sample(session[:0], score[:0], 5, rng).size == 0


def test_settings_that_cannot_be_are_refused() -> None:
    for wrong in (
        {"variant": "best"},
        {"variant": "labelled"},
        {"hidden": 0},
        {"dropout": 1.0},
        {"ridge": 0.0},
        {"holdout_share": 1.0},
        {"explained": -1},
        {"epochs": 0},
    ):
        with pytest.raises(PlanError):
            SentimentAnalyst(**wrong)  # type: ignore[arg-type]


def test_kinds_of_document_beyond_the_frequent_ones_share_a_bucket() -> None:
    forms = Forms.fit(np.array(["8-K"] * 30 + ["10-Q"] * 25 + ["DEF 14A"] * 3, dtype=object))
    assert forms.names == ("10-Q", "8-K")
    np.testing.assert_array_equal(forms.one_hot(["8-K", "never seen", "10-Q"]), [[0, 1, 0], [0, 0, 1], [1, 0, 0]])


def test_embeddings_keep_the_proportions_of_their_components() -> None:
    vectors = np.random.default_rng(0).standard_normal((500, 3)) * np.array([3.0, 1.0, 0.1])
    spread = Wording.fit(vectors).scaled(vectors).std(axis=0)
    np.testing.assert_allclose(spread / spread[1], vectors.std(axis=0) / vectors.std(axis=0)[1], rtol=1e-4)
    assert np.sqrt((spread**2).mean()) == pytest.approx(1.0, abs=0.02)


def test_the_age_of_a_text_is_that_at_its_own_decision() -> None:
    store = market()
    view = train_view_of(store, MODULE, below(store))
    frame = store.text.frame.iloc[view.text.rows]
    waited = store.decided_at[frame["session"]] - frame["published_at"].to_numpy()
    np.testing.assert_allclose(age_in_days(view), waited / np.timedelta64(1, "D"))
    assert age_in_days(view).min() >= 0.0


def test_the_hold_out_is_purged_by_the_horizon() -> None:
    session = np.repeat(TRAIN, 2)
    split = Split.of(np.ones(len(session), dtype=bool), session, 0.15, 10)
    assert session[split.held_out].min() - session[split.fitting].max() > 10
    assert split.too_few(np.arange(len(session)), 100, 0.15) == ""
    assert "it needs 5000" in split.too_few(np.arange(len(session)), 5000, 0.15)


def test_a_calibrated_guess_has_no_error_and_a_boast_has_one() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(1.0 / 3.0, 1.0, 20_000)
    right = rng.random(20_000) < confidence
    assert calibration_error(confidence, right, np.ones(20_000)) < 0.02
    assert calibration_error(np.minimum(confidence + 0.2, 1.0), right, np.ones(20_000)) > 0.1
