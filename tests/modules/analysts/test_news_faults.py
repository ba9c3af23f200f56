"""The faults of spec §28 in news, D-LAB-01 and D-NEWS-01 to 04, planted and found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from glassbox_bt.market.store import MarketStore
from glassbox_bt.market.view import Span, TrainView
from glassbox_bt.modules import _news_network
from glassbox_bt.modules._anchor import sigmoid
from glassbox_bt.modules._news_calibration import fit_map, log_odds, mapped, reliability
from glassbox_bt.modules._news_documents import Grouped
from glassbox_bt.modules._news_targets import HORIZON, Outcomes
from glassbox_bt.modules._text_inputs import Split
from glassbox_bt.modules.analysts.news import NewsAnalyst
from glassbox_bt.modules.base import FittedModule
from glassbox_bt.types import Answers, AnyArray, FloatArray, Reason
from tests.modules.analysts.text_cases import below, fitted, larger_outcomes, market, outcomes_of, span_of, train_view_of

MODULE = NewsAnalyst(width=8, hidden=8, narrow=4, representation=8, epochs=2, batch_size=128)
ANCHOR = replace(MODULE, variant="anchor")
LAST = np.arange(540, 600, dtype=np.int64)  # up to the last session of the store


def kept(model: Any) -> dict[str, AnyArray]:
    """Thresholds and anchors."""
    return {name: values for name, values in model.arrays().items() if name.startswith(("targets", "anchor"))}


def parts(store: MarketStore) -> tuple[TrainView, Grouped, Outcomes, Split]:
    """What a fit starts from."""
    view = train_view_of(store, ANCHOR, below(store))
    read = np.isfinite(view.block("text_encoder.embedding")).all(axis=1)
    grouped = Grouped.of(view, np.asarray(read), ANCHOR.most_chunks)
    known = Outcomes.of(view, grouped)
    split = Split.of(np.isfinite(known.excess), view.text.session[grouped.first], ANCHOR.holdout_share, HORIZON)
    return view, grouped, known, split


def beyond_the_purge(store: MarketStore) -> dict[str, AnyArray]:
    """The fault: every document with an outcome is fitted on."""
    view, grouped, known, split = parts(store)
    return kept(ANCHOR._start(view, grouped, known, replace(split, fitting=np.isfinite(known.excess)))[1])


def sees_the_hold_out(fit: Callable[[MarketStore], dict[str, AnyArray]]) -> bool:
    """Whether what a fit keeps moves with outcomes that were not known before the first held-out session."""
    view, grouped, _, split = parts(market())
    first = int(view.text.session[grouped.first][split.held_out].min())
    one, other = fit(market()), fit(larger_outcomes(market(), first - HORIZON))
    return any(not np.array_equal(values, other[name]) for name, values in one.items())


def test_d_lab_01_thresholds_from_outcomes_beyond_the_purge_are_found() -> None:
    assert sees_the_hold_out(beyond_the_purge)
    assert not sees_the_hold_out(lambda store: kept(fitted(ANCHOR, store)[0].fitted.model))  # type: ignore[attr-defined]


@dataclass(frozen=True)
class OnlyWhereLabelled:
    """The fault: a document is answered only if its outcome is known, as if it were a training set."""

    inner: FittedModule
    store: MarketStore

    def predict_many(self, span: Span) -> Answers:
        said = self.inner.predict_many(span)
        known = said.known & np.isfinite(outcomes_of(self.store, said))
        reason = np.where(said.known & ~known, np.int8(Reason.INPUT_MISSING), said.reason)
        outputs = {name: np.where(known, values, np.nan) for name, values in said.outputs.items()}
        return replace(said, known=known, reason=reason, outputs=outputs)


@pytest.fixture(scope="module")
def news() -> FittedModule:
    return fitted(MODULE, market())[0].fitted


def tells_the_future(said: Answers, span: Span) -> bool:
    """Whether a document that the encoder read has no answer."""
    read = np.isfinite(span.block("text_encoder.embedding")).all(axis=1)[span.asked]
    return bool((read & ~said.known).any())


def test_d_news_01_a_document_without_an_outcome_is_answered(news: FittedModule) -> None:
    store = market()
    span = span_of(store, MODULE, below(store), LAST)
    faulty, honest = OnlyWhereLabelled(news, store).predict_many(span), news.predict_many(span)
    assert tells_the_future(faulty, span)
    assert not tells_the_future(honest, span)
    assert not faulty.known[faulty.days > LAST[-1] - 10].any()
    assert honest.known[honest.days > LAST[-1] - 10].any()


def is_unimportance(uncertainty: FloatArray, importance: FloatArray, relevance: FloatArray) -> bool:
    """Whether it is one less the larger of the two, by another name."""
    return bool(np.abs(uncertainty - (1.0 - np.maximum(importance, relevance))).max() < 1e-5)


def test_d_news_02_unimportance_is_not_told_as_uncertainty(news: FittedModule) -> None:
    store = market()
    said = news.predict_many(span_of(store, MODULE, below(store), LAST))
    row = {name: values[said.known] for name, values in said.outputs.items()}
    pair = (row["predicted_news_importance"], row["predicted_risk_relevance_raw"])
    assert is_unimportance(row["news_unimportance"], *pair)
    assert not is_unimportance(row["predicted_news_uncertainty"], *pair)
    assert row["predicted_news_uncertainty"].std() > 0.0


def falls_with_the_weights(measure: Callable[[], float], monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether a search over the weights of the loss could win by shrinking them."""
    before = measure()
    with monkeypatch.context() as patched:
        patched.setattr(_news_network, "LOSS_WEIGHTS", (1.0, 0.05, 0.05, 0.0, 0.0))
        return measure() < before - 1e-6


def test_d_news_03_a_measure_that_holds_the_loss_weights_is_found(
    news: FittedModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    store = market()
    view = train_view_of(store, MODULE, below(store))
    batch = {
        "tokens": torch.zeros(30, 1, 1),
        "mask": torch.ones(30, 1),
        "facts": torch.zeros(30, 1),
        "offset": torch.zeros(30, 5),
        "target": torch.rand(30, 5, generator=torch.Generator().manual_seed(0)),
    }

    class Nothing(torch.nn.Module):
        def forward(
            self, tokens: torch.Tensor, mask: torch.Tensor, facts: torch.Tensor
        ) -> tuple[torch.Tensor, torch.Tensor]:
            return torch.zeros(len(tokens), 5), mask + facts

    assert falls_with_the_weights(lambda: float(_news_network.loss(Nothing(), batch)), monkeypatch)
    assert not falls_with_the_weights(lambda: MODULE.validation_loss(news, view), monkeypatch)


def is_unreliable(share: FloatArray, outcome: FloatArray, year: FloatArray) -> bool:
    """Whether in some year what is off is a tenth of the variance of the outcome or more."""
    return any(one.off > 0.1 * one.spread for one in reliability(share, outcome, year.astype(np.int64)).values())


def test_d_news_04_an_importance_that_was_never_put_right_is_found() -> None:
    rng = np.random.default_rng(0)
    odds = 0.8 * rng.standard_normal(6000) - 0.7
    share = sigmoid(odds)
    outcome, told = rng.beta(5.0 * share, 5.0 * (1.0 - share)), sigmoid(2.0 * odds + 1.5)
    year, session = np.repeat([2010.0, 2011.0, 2012.0], 2000), np.repeat(np.arange(600), 10)
    how = fit_map(log_odds(told), outcome, session)
    assert is_unreliable(told, outcome, year)
    assert not is_unreliable(mapped(log_odds(told), how), outcome, year)


def test_d_news_04_the_parts_of_the_score_add_up_and_are_told_by_year() -> None:
    rng = np.random.default_rng(1)
    share, year = rng.random(3000), np.repeat([2014, 2015], 1500)
    outcome = (rng.random(3000) < share).astype(np.float64)
    outcome[:10] = np.nan
    found = reliability(share, outcome, year)
    assert list(found) == ["2014", "2015"]
    assert found["2014"].n_documents == 1490
    for one in found.values():
        assert one.score == pytest.approx(one.off - one.told + one.spread + one.rest)
        assert abs(one.rest) < 0.01
        assert one.off < 0.01 < one.told
    figures = fitted(MODULE, market())[1].summary["holdout_importance_reliability"]
    assert set(figures) == {"2011"}  # type: ignore[call-overload]


def test_d_news_04_no_outcome_judges_the_map_that_it_made() -> None:
    """Outcomes of the later half of the hold-out put the earlier half right, and only that."""
    store, module = market(), replace(MODULE, holdout_share=0.4)
    view = train_view_of(store, module, below(store))
    grouped = Grouped.of(view, np.isfinite(view.block("text_encoder.embedding")).all(axis=1), module.most_chunks)
    known, session = Outcomes.of(view, grouped), view.text.session[grouped.first]
    split = Split.of(np.isfinite(known.excess), session, module.holdout_share, HORIZON)
    documents, model = module._start(view, grouped, known, split)
    before = model.chances_held_out(documents)
    held = np.flatnonzero(documents.held_out)
    late = documents.session[held] > np.median(documents.session[held])
    target = documents.target.copy()
    target[held[late], 1:] = 1.0
    after = model.chances_held_out(replace(documents, target=target))
    np.testing.assert_array_equal(after[late], before[late])
    assert np.abs(after[~late] - before[~late]).max() > 0.01
