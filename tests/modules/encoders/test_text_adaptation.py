from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from glassbox_bt.errors import InputError, TrainingError
from glassbox_bt.market.store import MarketStore
from glassbox_bt.modules._text_adaptation import MaskedRows, below_plateau
from glassbox_bt.modules._text_engine import HASHED, text_engine
from glassbox_bt.modules.base import Candidate, FitContext
from glassbox_bt.modules.encoders.text import FittedTextEncoder, TextEncoder
from tests.builders import tiny_store
from tests.text_models import tiny_classifier
from tests.texts import text_table, with_documents

TRAIN = np.arange(60, 360)
CONTEXT = FitContext(seed=3, module="text_encoder", chunk=1, fold=0)
# A language with a rule: the word after a name says what its kind does.
PAIRS = {"profit": "rose", "loss": "fell", "guidance": "raised", "dividend": "cut", "plant": "strike", "shares": "sharply"}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLASSBOX_CACHE", str(tmp_path_factory.getbasetemp() / "text_adaptation_cache"))


@pytest.fixture(scope="module")
def store() -> MarketStore:
    rng, bare = np.random.default_rng(5), tiny_store(400, 6, seed=1)
    names = list(PAIRS)

    def sentence() -> str:
        picked = rng.choice(names, 6)
        return " ".join(f"{name} {PAIRS[name]}" for name in picked)

    documents = [(int(rng.integers(40, 400)), int(rng.integers(0, 5)), sentence()) for _ in range(1_500)]
    return with_documents(bare, text_table(bare, documents))


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> TextEncoder:
    folder = tiny_classifier(tmp_path_factory.mktemp("classifier"))
    return TextEncoder(engine=str(folder), components=8, adapt=True, epochs=6, learning_rate=5e-3, mask_share=0.3)


def fit(store: MarketStore, module: TextEncoder, ctx: FitContext = CONTEXT) -> Candidate:
    view = store.train_view(TRAIN, module.reads, (), store.assets_until(0, int(TRAIN[-1])))
    return module.fit(view, ctx)[0]


@pytest.fixture(scope="module")
def candidate(store: MarketStore, module: TextEncoder, tmp_path_factory: pytest.TempPathFactory) -> Candidate:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLASSBOX_CACHE", str(tmp_path_factory.mktemp("cache")))
        return fit(store, module)


def test_d_fin_04_the_loss_on_later_text_ends_below_where_it_began(candidate: Candidate) -> None:
    """The head is fresh, so the start is recorded and the plateau of a head that cannot read must be left."""
    told = candidate.summary
    assert told["mlm_loss"] < min(told["mlm_loss_initial"], told["mlm_loss_by_frequency"])  # type: ignore[type-var]
    assert told["mlm_n_texts"] > told["mlm_n_holdout_texts"] > 0  # type: ignore[operator]
    assert candidate.history[0]["holdout_loss"] == told["mlm_loss_initial"]
    assert told["adapted"] is True


def test_d_fin_04_a_model_that_did_not_leave_the_plateau_is_refused(store: MarketStore, module: TextEncoder) -> None:
    """The fault: a learning rate at which nothing is learned."""
    with pytest.raises(TrainingError, match="no better than it was"):
        fit(store, dataclasses.replace(module, learning_rate=1e-9, epochs=1))
    good = {"mlm_loss_initial": 9.0, "mlm_loss_by_frequency": 6.0, "mlm_loss": 5.0}
    below_plateau(good)
    for planted in ({"mlm_loss": 6.5}, {"mlm_loss_initial": 4.0}, {"mlm_loss": 9.0}):
        with pytest.raises(TrainingError, match="no better"):
            below_plateau({**good, **planted})


def test_adapted_weights_stay_with_their_fit(candidate: Candidate, store: MarketStore, module: TextEncoder) -> None:
    encoder = candidate.fitted
    assert isinstance(encoder, FittedTextEncoder)
    assert encoder.engine is not None
    base = text_engine(module.engine)
    assert encoder.engine.digest != base.digest
    assert encoder.engine.cache.path != base.cache.path
    assert encoder.provenance["digest"] == encoder.engine.digest
    assert not np.allclose(encoder.engine.encode(["profit rose"]), base.encode(["profit rose"]))
    again = module.restore(encoder.state())
    span = store.span(np.arange(360, 400), module.reads, store.assets_until(0, 399))
    one, two = encoder.predict_many(span), again.predict_many(span)
    for name, values in one.outputs.items():
        np.testing.assert_array_equal(values, two.outputs[name])
    assert not one.outputs["has_polarity"].any()  # the head that told the mood was trained on the encoder as it was


def test_a_resumed_adaptation_has_the_same_weights(
    candidate: Candidate, store: MarketStore, module: TextEncoder, tmp_path: Path
) -> None:
    ctx = dataclasses.replace(CONTEXT, checkpoints=tmp_path)

    def stop(share: float) -> None:
        if 0.4 < share < 1.0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(store, module, dataclasses.replace(ctx, progress=stop))
    resumed = fit(store, module, ctx)
    np.testing.assert_equal(resumed.history, candidate.history)
    for name, values in candidate.fitted.state().arrays.items():
        np.testing.assert_array_equal(resumed.fitted.state().arrays[name], values)


def test_d_fin_02_a_checkpoint_of_another_chunk_is_refused(store: MarketStore, module: TextEncoder, tmp_path: Path) -> None:
    ctx = dataclasses.replace(CONTEXT, checkpoints=tmp_path)
    fit(store, module, ctx)
    with pytest.raises(TrainingError, match="checkpoint of another fit"):
        fit(store, module, dataclasses.replace(ctx, chunk=2))


def test_an_engine_without_weights_cannot_be_adapted(store: MarketStore) -> None:
    with pytest.raises(InputError, match="no weights to adapt"):
        fit(store, TextEncoder(engine=HASHED, adapt=True))


def test_pieces_are_hidden_as_the_source_does() -> None:
    pieces = [[2, *range(10, 40), 3] for _ in range(400)]
    rows = MaskedRows(pieces, special=(0, 2, 3), mask=4, pad=0, n_vocabulary=50, share=0.15)
    taken = rows.take(np.arange(400), np.random.default_rng(0))
    tokens, labels = taken["input_ids"], taken["labels"]
    hidden = labels >= 0
    assert hidden.mean() == pytest.approx(0.15 * 30 / 32, abs=0.01)
    assert not hidden[:, [0, -1]].any()  # special pieces stay
    whole = np.array(pieces)
    np.testing.assert_array_equal(labels[hidden], whole[hidden])
    np.testing.assert_array_equal(tokens[~hidden], whole[~hidden])
    assert (tokens[hidden] == 4).mean() == pytest.approx(0.8, abs=0.03)
    assert (tokens[hidden] == whole[hidden]).mean() == pytest.approx(0.1 + 0.1 / 50, abs=0.02)


def test_a_batch_always_hides_something() -> None:
    rows = MaskedRows([[2, 10, 3], [2, 11, 12, 3]], special=(0, 2, 3), mask=4, pad=0, n_vocabulary=50, share=1e-9)
    taken = rows.take(np.arange(2), np.random.default_rng(0))
    assert (taken["labels"] >= 0).sum() == 1
    assert taken["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
