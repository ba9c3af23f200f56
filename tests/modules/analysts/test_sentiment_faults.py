"""The faults of spec §28 in labels and sentiment, D-LAB-01, 02, 04 and D-SENT-01 to 05, planted and found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from glassbox_bt.errors import ContractError
from glassbox_bt.market.store import MarketStore
from glassbox_bt.market.view import Span, TrainView
from glassbox_bt.modules import _sentiment_network
from glassbox_bt.modules._sentiment_model import TrainRows
from glassbox_bt.modules._sentiment_network import objective
from glassbox_bt.modules._sentiment_quality import magnitude_error
from glassbox_bt.modules._sentiment_targets import HORIZON, LABEL, SentimentTargets
from glassbox_bt.modules._text_inputs import Split, even_share
from glassbox_bt.modules.analysts.sentiment import FittedSentiment, SentimentAnalyst
from glassbox_bt.modules.base import FittedModule
from glassbox_bt.types import Answers, AnyArray, BoolArray, FloatArray, IntArray
from glassbox_bt.walkforward.tables import answers_table
from tests.modules.analysts.text_cases import LATER, below, context, fitted, larger_outcomes, market, span_of, train_view_of

MODULE = SentimentAnalyst(hidden=8, representation=8, epochs=2, batch_size=256, learning_rate=3e-3, explained=25)
ANCHOR = replace(MODULE, variant="anchor")


@pytest.fixture(scope="module")
def view() -> TrainView:
    store = market()
    return train_view_of(store, MODULE, below(store))


@pytest.fixture(scope="module")
def sentiment() -> FittedModule:
    return fitted(MODULE, market())[0].fitted


def kept(model: Any) -> dict[str, AnyArray]:
    """Thresholds and anchors."""
    return {name: values for name, values in model.arrays().items() if name.startswith(("targets", "anchor"))}


def usable_rows(view: TrainView) -> BoolArray:
    """Rows that the encoder read and whose outcome is known."""
    read = np.isfinite(view.block("text_encoder.embedding")).all(axis=1)
    return np.asarray(read & np.isfinite(view.text_label(LABEL)))


def beyond_the_purge(store: MarketStore) -> dict[str, AnyArray]:
    """The fault: every row with an outcome is fitted on."""
    view = train_view_of(store, ANCHOR, below(store))
    usable = usable_rows(view)
    split = Split.of(usable, view.text.session, ANCHOR.holdout_share, HORIZON)
    return kept(ANCHOR._start(view, view.text_label(LABEL), usable, replace(split, fitting=usable))[1])


def sees_the_hold_out(fit: Callable[[MarketStore], dict[str, AnyArray]], view: TrainView) -> bool:
    """Whether what a fit keeps moves with outcomes that were not known before the first held-out session."""
    held = Split.of(usable_rows(view), view.text.session, ANCHOR.holdout_share, HORIZON).held_out
    first = int(view.text.session[held].min())
    one, other = fit(market()), fit(larger_outcomes(market(), first - HORIZON))
    return any(not np.array_equal(values, other[name]) for name, values in one.items())


def test_d_lab_01_thresholds_from_outcomes_beyond_the_purge_are_found(view: TrainView) -> None:
    assert sees_the_hold_out(beyond_the_purge, view)
    assert not sees_the_hold_out(lambda store: kept(fitted(ANCHOR, store)[0].fitted.model), view)  # type: ignore[attr-defined]


def counts_chunks(weigh: Callable[[IntArray], FloatArray]) -> bool:
    """Whether a document with more chunks weighs more."""
    document = np.repeat(np.arange(4), [1, 2, 7, 30])
    return bool(np.ptp(np.bincount(document, weights=weigh(document))) > 1e-9)


def test_d_lab_02_a_label_copied_to_every_chunk_is_found() -> None:
    assert counts_chunks(lambda document: np.ones(len(document)))
    assert not counts_chunks(even_share)


def test_d_lab_02_splitting_a_document_changes_no_anchor(view: TrainView) -> None:
    """Chunks that say the same are one document said at length: weights of its own make them count twice."""
    excess = view.text_label(LABEL)
    rows = np.isfinite(excess) & np.isfinite(view.block("text_encoder.embedding")).all(axis=1)
    targets = SentimentTargets.fit(excess[rows], view.text.document[rows], view.text.session[rows])
    start = replace(fitted(MODULE, market())[1].fitted.model, targets=targets)  # type: ignore[attr-defined]
    x, one = start.inputs(view, rows), view.text.document[rows]

    def anchored(times: IntArray, *, by_document: bool) -> Any:
        again = np.repeat(np.arange(len(x)), times)
        weight = even_share(one[again]) if by_document else np.ones(len(again))
        every = np.ones(len(again), dtype=bool)
        train = TrainRows(x[again], excess[rows][again], view.text.session[rows][again], one[again], weight, every, ~every)
        return start.with_anchors(train, (1.0, 1.0)).anchors[0].coefficients

    alike = np.ones(len(x), dtype=np.int64)
    long = 1 + 3 * (one % 2)  # every second document four times as long
    assert not np.allclose(anchored(alike, by_document=False), anchored(long, by_document=False), rtol=1e-3)
    np.testing.assert_allclose(anchored(alike, by_document=True), anchored(long, by_document=True), rtol=1e-6, atol=1e-9)


def test_d_lab_02_a_fit_counts_each_document_once(view: TrainView) -> None:
    model = fitted(ANCHOR, market())[0].fitted.model  # type: ignore[attr-defined]
    rows = usable_rows(view) & (view.text.session <= model.targets.last)
    x, excess, document = model.inputs(view, rows), view.text_label(LABEL)[rows], view.text.document[rows]
    every = np.ones(len(x), dtype=bool)

    def is_anchored_by(weight: FloatArray) -> bool:
        train = TrainRows(x, excess, view.text.session[rows], document, weight, every, ~every)
        pairs = zip(model.anchors, model.with_anchors(train, (ANCHOR.ridge, ANCHOR.logit)).anchors, strict=True)
        return all(np.allclose(one.coefficients, other.coefficients, rtol=1e-6, atol=1e-9) for one, other in pairs)

    assert is_anchored_by(1.0 / np.bincount(document)[document])
    assert not is_anchored_by(np.ones(len(x)))


def test_d_lab_04_a_label_in_a_table_of_answers_is_refused(sentiment: FittedModule) -> None:
    store = market()
    span = span_of(store, MODULE, below(store), LATER[:30])
    said = sentiment.predict_many(span)
    texts = sentiment.explain(span, said)
    assert not [name for name in answers_table(MODULE, span, said, texts, store) if name.startswith("target")]
    leaky = replace(said, outputs={**said.outputs, "target_excess": said.outputs["predicted_sentiment_score"]})
    with pytest.raises(ContractError, match="named like a label"):
        answers_table(MODULE, span, leaky, texts, store)


@dataclass(frozen=True)
class KnowsTheYear:
    """The fault: the calendar year, standardised on train, is an input."""

    inner: FittedModule

    def predict_many(self, span: Span) -> Answers:
        said = self.inner.predict_many(span)
        year = span.dates.astype("datetime64[Y]").astype(np.int64)[np.searchsorted(span.days, said.days)]
        score = said.outputs["predicted_sentiment_score_raw"] + 0.01 * (year - 40)
        return replace(said, outputs={**said.outputs, "predicted_sentiment_score_raw": score})


def knows_the_year(one: Any) -> bool:
    """Whether the same texts in the same order get other answers eight years later."""
    store = market()
    span = span_of(store, MODULE, below(store))
    days = np.timedelta64(8 * 365 + 2, "D")
    published = span.blocks["text.published_at"] + days
    later = replace(
        span, dates=span.dates + days, as_of=span.as_of + days, blocks={**span.blocks, "text.published_at": published}
    )
    name = "predicted_sentiment_score_raw"
    return not np.array_equal(one.predict_many(span).outputs[name], one.predict_many(later).outputs[name], equal_nan=True)


def test_d_sent_01_a_calendar_year_among_the_inputs_is_found(sentiment: FittedModule) -> None:
    assert knows_the_year(KnowsTheYear(sentiment))
    assert not knows_the_year(sentiment)


def falls_with_the_weights(measure: Callable[[], float], monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether a search over the weights of the loss could win by shrinking them."""
    before = measure()
    with monkeypatch.context() as patched:
        patched.setattr(_sentiment_network, "LOSS_WEIGHTS", (1.0, 0.05, 0.02))
        return measure() < before - 1e-6


def test_d_sent_02_a_measure_that_holds_the_loss_weights_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    rng = np.random.default_rng(0)
    excess, score, n = rng.standard_normal(50), rng.standard_normal(50), 50
    wanted = np.digitize(excess, [-0.4, 0.4])
    batch = {
        "x": torch.zeros(n, 1),
        "offset": torch.from_numpy(np.column_stack([score, rng.standard_normal((n, 4))]).astype(np.float32)),
        "target": torch.from_numpy(np.tanh(excess).astype(np.float32)),
        "class": torch.from_numpy(wanted),
        "magnitude": torch.from_numpy(np.abs(np.tanh(excess)).astype(np.float32)),
        "weight": torch.ones(n),
    }
    whole = {**batch, "document": torch.arange(n), "excess": torch.from_numpy(excess)}

    class Nothing(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.zeros(len(x), 5)

    assert falls_with_the_weights(lambda: float(_sentiment_network.loss(Nothing(), batch)), monkeypatch)
    assert not falls_with_the_weights(lambda: float(_sentiment_network.loss(Nothing(), whole)), monkeypatch)
    said = (np.tanh(batch["offset"][:, 0].double().numpy()), batch["offset"][:, 1:4].argmax(dim=1).numpy())
    measured = objective(said, (excess, wanted), np.arange(n), np.ones(n))
    assert float(_sentiment_network.loss(Nothing(), whole)) == pytest.approx(measured, abs=1e-12)


def test_d_sent_03_a_magnitude_before_its_link_is_refused() -> None:
    size = np.linspace(0.05, 0.95, 40)
    odds = np.log(size / (1.0 - size))
    with pytest.raises(ContractError, match="Apply the link first"):
        magnitude_error(odds, size, np.ones(40))
    assert magnitude_error(1.0 / (1.0 + np.exp(-odds)), size, np.ones(40)) == pytest.approx(0.0)


def ignores_the_option(build: Callable[[int], FittedModule]) -> bool:
    """Whether a sample of 7 rows and one of 25 come out alike."""
    store = market()
    span = span_of(store, MODULE, below(store))
    sizes = []
    for asked in (7, 25):
        one = build(asked)
        assert isinstance(one, FittedSentiment)
        sizes.append(len(one.gradients(span, one.predict_many(span), np.random.default_rng(0)).rows))
    return sizes != [7, 25]


def test_d_sent_04_options_of_the_explanation_reach_it(sentiment: FittedModule) -> None:
    state = sentiment.state()
    assert ignores_the_option(lambda _asked: MODULE.restore(state))  # the fault: the option stops on its way
    assert not ignores_the_option(lambda asked: replace(MODULE, explained=asked).restore(state))


def luck_depends_on_the_trial(seed_of: Callable[[int], int]) -> bool:
    """Whether two trials with the same settings end with other weights."""
    store = market()
    view = train_view_of(store, MODULE, below(store))
    states = [MODULE.fit(view, context(MODULE, seed=seed_of(trial)))[0].history for trial in (0, 1)]
    return states[0] != states[1]


def test_d_sent_05_a_seed_that_counts_the_trials_is_found() -> None:
    assert luck_depends_on_the_trial(lambda trial: 7 + trial)
    assert not luck_depends_on_the_trial(lambda _trial: 7)
