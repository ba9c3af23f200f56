from __future__ import annotations

import dataclasses
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from glassbox_bt.errors import PlanError
from glassbox_bt.market.documents import empty_text
from glassbox_bt.modules._news_calibration import entropy, fit_map, mapped
from glassbox_bt.modules._news_documents import DocumentRows, Grouped, _evenly
from glassbox_bt.modules._news_explain import WithoutTopChunk
from glassbox_bt.modules._news_network import NewsNetwork, NewsSizes
from glassbox_bt.modules._news_targets import NewsTargets, Outcomes, _volatility
from glassbox_bt.modules.analysts.news import ATTENTION, FittedNews, NewsAnalyst
from glassbox_bt.modules.base import Candidate
from glassbox_bt.types import Answers, Reason
from tests.contracts.text import text_answer, with_text
from tests.modules.analysts.text_cases import LATER, below, context, document_ic, fitted, market, span_of, train_view_of

SMALL: dict[str, Any] = {"width": 16, "hidden": 16, "narrow": 8, "representation": 16, "batch_size": 128}
MODULE = NewsAnalyst(**SMALL, epochs=5, learning_rate=3e-3, patience=3, explained=30, counterfactuals=40)
RISKS = ("predicted_risk_relevance", "predicted_volatility_spike", "predicted_drawdown_risk")


@pytest.fixture(scope="module")
def candidates() -> tuple[Candidate, ...]:
    return fitted(MODULE, market(strength=1.0))


@pytest.fixture(scope="module")
def answers(candidates: tuple[Candidate, ...]) -> Answers:
    store = market(strength=1.0)
    return candidates[0].fitted.predict_many(span_of(store, MODULE, below(store)))


@pytest.fixture(scope="module")
def network() -> Candidate:
    return fitted(replace(MODULE, variant="network", epochs=15), market(strength=1.0))[0]


def test_a_planted_sign_is_found_with_an_interval_above_zero(answers: Answers) -> None:
    ic, low, _ = document_ic(market(strength=1.0), answers, "predicted_news_event_impact")
    assert ic > 0.3
    assert low > 0.0


def test_bad_words_are_followed_by_rough_times(answers: Answers) -> None:
    store = market(strength=1.0)
    for output in RISKS:  # the outcome of `document_ic` is the return, and risks go the other way
        assert document_ic(store, answers, output)[2] < 0.0, output


def test_the_network_alone_finds_it_too(network: Candidate) -> None:
    store = market(strength=1.0)
    said = network.fitted.predict_many(span_of(store, MODULE, below(store)))
    assert document_ic(store, said, "predicted_news_event_impact")[1] > 0.0
    assert said.outputs["network_speaks"][said.known].min() == 1.0


def test_without_a_planted_effect_nothing_is_found() -> None:
    store = market(strength=0.0)
    said = fitted(MODULE, store)[0].fitted.predict_many(span_of(store, MODULE, below(store)))
    ic, low, high = document_ic(store, said, "predicted_news_event_impact")
    assert low < 0.0 < high
    assert abs(ic) < 0.1


def test_every_document_is_answered_once_for_all_its_chunks(answers: Answers) -> None:
    store = market(strength=1.0)
    document = store.text.frame["document"].to_numpy()[answers.rows]
    for name, values in answers.outputs.items():
        if name in ATTENTION:
            continue
        for one in np.unique(document)[:80]:
            said = values[(document == one) & answers.known]
            assert len(set(said)) <= 1, name


def test_answers_lie_where_they_may(answers: Answers) -> None:
    said = {name: values[answers.known] for name, values in answers.outputs.items()}
    for name in ("predicted_news_importance", *RISKS, *(f"{one}_raw" for one in RISKS), "predicted_news_uncertainty"):
        assert 0.0 <= said[name].min() <= said[name].max() <= 1.0, name
    for name in ("predicted_news_event_impact", "predicted_news_event_impact_raw"):
        assert -1.0 <= said[name].min() < 0.0 < said[name].max() <= 1.0, name


@pytest.mark.parametrize("which", ["anchored", "network"])
def test_attention_adds_up_over_a_document(which: str, answers: Answers, network: Candidate) -> None:
    store = market(strength=1.0)
    if which == "network":
        answers = network.fitted.predict_many(span_of(store, MODULE, below(store)))
    document = store.text.frame["document"].to_numpy()[answers.rows][answers.known]
    place = np.unique(document, return_inverse=True)[1]
    for name in (ATTENTION[0], *ATTENTION[2:]):
        weights = answers.outputs[name][answers.known]
        assert weights.min() >= 0.0
        np.testing.assert_allclose(np.bincount(place, weights=weights), 1.0, atol=1e-5, err_msg=name)
    heads = np.stack([answers.outputs[name][answers.known] for name in ATTENTION[2:]])
    np.testing.assert_allclose(answers.outputs["attention_max_head"][answers.known], heads.max(axis=0))
    alone = np.bincount(place)[place] == 1
    assert (answers.outputs["attention_mean"][answers.known][alone] == 1.0).all()
    if which == "network":
        assert np.ptp(answers.outputs["attention_mean"][answers.known][~alone]) > 0.01


def test_of_a_long_document_chunks_from_end_to_end_are_read() -> None:
    for total in (1, 3, 64, 65, 100, 129, 1000):
        kept = _evenly(np.arange(total), np.full(total, total), 64)
        places = np.flatnonzero(kept)
        assert len(places) == min(total, 64)
        assert places[0] == 0
        assert places[-1] == total - 1
        assert np.ptp(np.diff(places)) <= 1 if total > 1 else True
    assert _evenly(np.arange(5), np.full(5, 5), 1).tolist() == [True, False, False, False, False]


def test_an_answer_does_not_depend_on_the_documents_around_it(network: Candidate) -> None:
    store = market(strength=1.0)
    model = network.fitted.model  # type: ignore[attr-defined]
    span = span_of(store, MODULE, below(store))
    whole = Grouped.of(
        span, np.ones(len(span.text), dtype=bool) & np.isfinite(span.block("text_encoder.embedding")[:, 0]), 64
    )
    residual, attention = model.read(model.inputs(span, whole))
    rng = np.random.default_rng(0)
    some = np.sort(rng.choice(len(whole), 37, replace=False))
    rows = np.isin(np.arange(len(span.text)), whole.rows[np.isin(whole.owner, some)])
    part = Grouped.of(span, rows, 64)
    again, looked = model.read(model.inputs(span, part))
    np.testing.assert_array_equal(residual[some], again)
    np.testing.assert_array_equal(attention[np.isin(whole.owner[whole.used], some)], looked)


def test_padding_is_never_looked_at() -> None:
    import torch

    torch.manual_seed(0)
    network = NewsNetwork(NewsSizes(3, 2, 8, 8, 4, 8, 0.0, starts_at_zero=False)).eval()
    tokens, facts = torch.randn(5, 4, 3), torch.randn(5, 2)
    mask = torch.tensor([[1.0, 1.0, 0.0, 0.0]]).repeat(5, 1)
    other = tokens.clone()
    other[:, 2:] = 100.0
    with torch.inference_mode():
        (one, weights), (two, _) = network(tokens, mask, facts), network(other, mask, facts)
        short, _ = network(tokens[:, :2], mask[:, :2], facts)
    assert torch.equal(one, two)
    assert torch.allclose(one, short, atol=1e-6)
    assert torch.all(weights[:, 2:] == 0.0)


def test_targets_are_those_of_the_specification() -> None:
    known = Outcomes(
        excess=np.array([0.05, -0.20, 0.0, np.nan]),
        ratio=np.array([1.0, 3.0, np.nan, 1.0]),
        drawdown=np.array([0.05, 0.30, 0.10, np.nan]),
    )
    targets = NewsTargets(scale=0.1, spike=2.0, drawdown=0.10, deep=0.2, first=0, last=0).of(known)
    np.testing.assert_allclose(targets[:, 0], np.tanh([0.5, -2.0, 0.0, np.nan]))
    np.testing.assert_allclose(targets[:, 1], [0.5, 1.0, 0.0, np.nan])
    np.testing.assert_allclose(targets[:, 2], [0.5, 1.0, 0.5, 0.5])
    np.testing.assert_allclose(targets[:, 3], [0.0, 1.0, np.nan, 0.0])
    np.testing.assert_allclose(targets[:, 4], [0.0, 1.0, 1.0, np.nan])


def test_the_volatility_before_a_document_is_that_of_sixty_sessions() -> None:
    rng = np.random.default_rng(0)
    returns = 0.01 * rng.standard_normal((3, 60))
    returns[1, :10] = np.nan
    returns[2, :30] = np.nan
    expected = [returns[0].std() * np.sqrt(252.0), returns[1, 10:].std() * np.sqrt(252.0), np.nan]
    np.testing.assert_allclose(_volatility(returns), expected)
    store = market()
    view = train_view_of(store, MODULE, below(store))
    grouped = Grouped.of(view, np.isfinite(view.block("text_encoder.embedding")[:, 0]), 64)
    ratio = Outcomes.of(view, grouped).ratio
    at = int(np.flatnonzero(np.isfinite(ratio))[50])
    session, asset = (int(one[grouped.first[at]]) for one in (view.text.session, view.text.asset))
    place = store.tickers.index(view.tickers[asset])
    window = store.columns["log_return_1d"][session - 59 : session + 1, place]
    trailing = np.nanstd(window) * np.sqrt(252.0)
    assert ratio[at] == pytest.approx(store.labels["forward_vol_30d"].values[session, place] / trailing)


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
    assert not MODULE.restore(chosen.fitted.state()).predict_many(span).known.any()
    assert np.isnan(MODULE.validation_loss(chosen.fitted, train_view_of(store, MODULE, given)))


def test_the_rank_scale_counts_a_document_once(candidates: tuple[Candidate, ...], answers: Answers) -> None:
    one = candidates[0].fitted
    assert isinstance(one, FittedNews)
    copies = np.repeat(np.arange(len(answers.known)), np.where(np.arange(len(answers.known)) % 2, 5, 1))
    outputs = {name: values[copies] for name, values in answers.outputs.items()}
    rows = np.arange(len(copies))
    long = Answers("news", answers.days[copies], outputs, answers.known[copies], answers.reason[copies], "document", rows)
    scales = [one.with_reference(oof).scales for oof in (answers, long)]
    document = market(strength=1.0).text.frame["document"].to_numpy()[answers.rows]
    first = np.unique(document[answers.known], return_index=True)[1]
    for name, scale in scales[0].items():
        np.testing.assert_array_equal(scale.reference, scales[1][name].reference)
        np.testing.assert_array_equal(scale.reference, np.sort(answers.outputs[f"{name}_raw"][answers.known][first]))


def test_validation_prefers_the_better_variant(candidates: tuple[Candidate, ...]) -> None:
    store = market(strength=1.0)
    view = train_view_of(store, MODULE, below(store), LATER)
    model = candidates[0].fitted.model  # type: ignore[attr-defined]
    first = replace(model.anchors[0], coefficients=-model.anchors[0].coefficients)
    bad = replace(candidates[0].fitted, model=replace(model, anchors=(first, *model.anchors[1:])))  # type: ignore[type-var]
    assert MODULE.validation_loss(candidates[0].fitted, view) < 0.8
    assert MODULE.validation_loss(bad, view) > 1.0


def test_chunks_and_facts_add_up_to_the_impact(candidates: tuple[Candidate, ...]) -> None:
    store = market(strength=1.0)
    span, anchor = span_of(store, MODULE, below(store)), candidates[1].fitted
    assert isinstance(anchor, FittedNews)
    assert anchor.model is not None
    said = anchor.predict_many(span)
    found = anchor.gradients(span, said, np.random.default_rng(0))
    document = store.text.frame["document"].to_numpy()[found.rows]
    assert len(np.unique(document)) == MODULE.explained
    place = np.unique(document, return_index=True, return_inverse=True)
    total = np.bincount(place[2], weights=found.shares) + found.facts[place[1]]
    at = np.searchsorted(said.rows, found.rows[place[1]])  # type: ignore[arg-type]
    z = np.arctanh(said.outputs["predicted_news_event_impact_raw"][at]) - anchor.model.anchors[0].intercept
    np.testing.assert_allclose(total, z, atol=1e-4)


def test_a_document_without_its_top_chunk_is_asked_again(network: Candidate) -> None:
    store = market(strength=1.0)
    span = span_of(store, MODULE, below(store))
    one = replace(network.fitted, settings=MODULE)  # type: ignore[type-var]
    said = one.predict_many(span)  # type: ignore[attr-defined]
    found = one.without_top_chunk(span, said, np.random.default_rng(0))  # type: ignore[attr-defined]
    assert len(found.rows) == MODULE.counterfactuals
    frame = store.text.frame
    for handle in found.rows[:20]:
        mine = np.flatnonzero(frame["document"].to_numpy()[said.rows] == frame["document"][handle])
        weights = said.outputs["attention_mean"][mine]
        assert np.nanmax(weights) == pytest.approx(said.outputs["attention_mean"][said.rows == handle][0], abs=2e-6)
    assert np.any(found.before != found.after)


def test_attention_that_does_not_carry_the_answer_is_flagged() -> None:
    before = np.array([1.0, -1.0, 0.5, 0.4])
    faithful = WithoutTopChunk(np.arange(4), before, 0.5 * before)
    unfaithful = WithoutTopChunk(np.arange(4), before, np.array([1.1, -1.2, 0.2, 0.1]))
    assert not faithful.is_unfaithful
    assert unfaithful.share_towards_zero == 0.5
    assert unfaithful.is_unfaithful
    assert not WithoutTopChunk(np.arange(0), before[:0], before[:0]).is_unfaithful


def test_shares_are_put_right_as_far_as_the_hold_out_can_tell() -> None:
    rng = np.random.default_rng(0)
    odds, session = rng.standard_normal(4000), np.repeat(np.arange(400), 10)
    honest = 1.0 / (1.0 + np.exp(-odds))
    event = (rng.random(4000) < honest).astype(np.float64)
    boasted = odds * 3.0 + 1.0
    how = fit_map(boasted, event, session)
    before, after = (np.mean((share - event) ** 2) for share in (1.0 / (1.0 + np.exp(-boasted)), mapped(boasted, how)))
    assert after < before
    np.testing.assert_array_equal(fit_map(odds, np.full(4000, np.nan), session), [0.0, 1.0])


def test_a_coin_is_wholly_uncertain_and_a_certainty_is_not() -> None:
    np.testing.assert_allclose(entropy(np.array([[0.5, 0.5], [1.0, 0.0], [0.9, 0.1]])), [1.0, 0.0, 0.468996], atol=1e-5)


def test_documents_are_padded_to_the_longest_of_their_batch() -> None:
    rows = DocumentRows(np.arange(12, dtype=np.float32).reshape(6, 2), np.array([0, 1, 3]), np.array([1, 2, 3]))
    batch = rows.take(np.array([2, 0]), np.random.default_rng(0))
    assert batch["tokens"].shape == (2, 3, 2)
    np.testing.assert_array_equal(batch["mask"], [[1, 1, 1], [1, 0, 0]])
    np.testing.assert_array_equal(batch["tokens"][1], [[0, 1], [0, 0], [0, 0]])


def test_settings_that_cannot_be_are_refused() -> None:
    for wrong in (
        {"variant": "best"},
        {"width": 6},
        {"most_chunks": 0},
        {"dropout": 1.0},
        {"logit": 0.0},
        {"holdout_share": 0.0},
        {"counterfactuals": -1},
        {"batch_size": 0},
    ):
        with pytest.raises(PlanError):
            NewsAnalyst(**wrong)  # type: ignore[arg-type]
