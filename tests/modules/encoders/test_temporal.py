from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from glassbox_bt.errors import PlanError
from glassbox_bt.market.store import MarketStore
from glassbox_bt.modules._embedding_audit import audit_embeddings, gap_filling, interpolated
from glassbox_bt.modules._temporal_network import masked_loss
from glassbox_bt.modules.base import Candidate, FitContext, predict
from glassbox_bt.modules.encoders.temporal import (
    FEATURE_ORDER,
    FittedTemporalEncoder,
    TemporalEncoder,
)
from glassbox_bt.types import Answers, AnyArray, IntArray, Reason
from tests.builders import tiny_store

MODULE = TemporalEncoder(
    width=16,
    layers=1,
    heads=2,
    feed_forward=32,
    dropout=0.0,
    attention_dropout=0.0,
    epochs=12,
    batch_size=64,
    learning_rate=5e-3,
    patience=12,
)
CONTEXT = FitContext(seed=7, module=MODULE.name, chunk=1, fold=0)
TRAIN = np.arange(60, 320)


@pytest.fixture(scope="module")
def store() -> MarketStore:
    return tiny_store(400, 6, seed=1)


def fitted(store: MarketStore, module: TemporalEncoder = MODULE) -> tuple[Candidate, ...]:
    view = store.train_view(TRAIN, module.reads, (), store.assets_until(0, int(TRAIN[-1])))
    return module.fit(view, CONTEXT)


@pytest.fixture(scope="module")
def candidates(store: MarketStore) -> tuple[Candidate, ...]:
    return fitted(store)


@pytest.fixture(scope="module")
def encoder(candidates: tuple[Candidate, ...]) -> FittedTemporalEncoder:
    chosen = MODULE.select(candidates, None).fitted
    assert isinstance(chosen, FittedTemporalEncoder)
    return chosen


def answered(encoder: FittedTemporalEncoder, store: MarketStore, days: IntArray) -> Answers:
    assets = store.assets_until(0, store.n_sessions - 1)
    return encoder.predict_many(store.span(days, encoder.settings.reads, assets))


def with_column(store: MarketStore, name: str, values: AnyArray) -> MarketStore:
    return replace(store, columns={**store.columns, name: values})


@pytest.fixture(scope="module")
def answers(encoder: FittedTemporalEncoder, store: MarketStore) -> Answers:
    return answered(encoder, store, np.arange(0, 400))


def test_it_learns_to_fill_gaps(candidates: tuple[Candidate, ...]) -> None:
    trained, untrained = (one.summary for one in candidates)
    assert trained["masked_mse"] < 0.8 * trained["masked_mse_train_mean"]  # type: ignore[operator]
    assert trained["masked_mse"] < 0.7 * untrained["masked_mse"]  # type: ignore[operator]
    assert trained["masked_mse_interpolation"] == untrained["masked_mse_interpolation"]
    assert trained["embedding_finite_share"] == 1.0
    assert 0.0 < trained["embedding_mean_cosine"] < 0.99  # type: ignore[operator]


def test_the_frozen_weights_are_the_best_epochs_defect_d_enc_04(
    candidates: tuple[Candidate, ...],
) -> None:
    losses = [row["holdout_loss"] for row in candidates[0].history]
    assert candidates[0].summary["best_epoch"] == int(np.argmin(losses))
    assert candidates[0].summary["holdout_loss"] == min(losses)


def test_the_untrained_control_is_the_same_network_at_birth(store: MarketStore, candidates: tuple[Candidate, ...]) -> None:
    control = replace(MODULE, variant="untrained")
    (born,) = fitted(store, control)
    again = control.select((born,), None).fitted.state()
    twin = candidates[1].fitted.state()
    assert again.arrays.keys() == twin.arrays.keys()
    for name, values in again.arrays.items():
        np.testing.assert_array_equal(values, twin.arrays[name])
    assert not np.array_equal(candidates[0].fitted.state().arrays["weight/query.weight"], twin.arrays["weight/query.weight"])


@pytest.mark.parametrize(
    "change",
    [
        {"width": 32},
        {"layers": 2},
        {"heads": 4},
        {"feed_forward": 48},
        {"dropout": 0.3},
        {"attention_dropout": 0.3},
    ],
    ids=str,
)
def test_every_tuned_setting_alters_the_graph_defect_d_enc_03(change: dict[str, float]) -> None:
    def loss(module: TemporalEncoder) -> float:
        torch.manual_seed(0)
        network = module.network().train()
        rng = np.random.default_rng(0)
        window = torch.from_numpy(rng.normal(size=(8, 30, 20)).astype(np.float32))
        window[..., 10:] = 1.0
        mask = torch.from_numpy(rng.random((8, 30)) < 0.3)
        torch.manual_seed(1)
        return float(masked_loss(network, {"window": window, "mask": mask}).detach())

    assert loss(replace(MODULE, **change)) != loss(MODULE)  # type: ignore[arg-type]


def test_the_pooling_query_is_trained() -> None:
    network = MODULE.network()
    window = torch.randn(8, 30, 20)
    window[..., 10:] = 1.0
    masked_loss(network, {"window": window, "mask": torch.rand(8, 30) < 0.3}).backward()  # type: ignore[no-untyped-call]
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().sum()) > 0.0 or name.endswith("project.bias"), name


def test_the_window_ends_today_and_no_later_defect_d_enc_01(
    encoder: FittedTemporalEncoder, store: MarketStore, answers: Answers
) -> None:
    day = 350
    changed = np.array(store.columns["rsi_14"])
    changed[day, 0] += 10.0
    said = answered(encoder, with_column(store, "rsi_14", changed), np.arange(0, 400))
    differs = (said.outputs["embedding"] != answers.outputs["embedding"]).any(axis=-1)[:, 0]
    differs &= answers.known[:, 0]
    np.testing.assert_array_equal(np.flatnonzero(differs), np.arange(day, day + 30))
    assert answers.known[-1, 0]  # the last session is encoded too


def test_history_from_before_the_split_counts_defect_d_enc_01(encoder: FittedTemporalEncoder, store: MarketStore) -> None:
    usable = np.ones(400, dtype=bool)
    for name in ("log_return_1d", "vol_5d", "vol_21d", "rsi_14", "macd_hist", "bb_pos", "price_pos"):
        usable &= np.isfinite(store.columns[name][:, 0])
    strict = replace(encoder, settings=replace(MODULE, min_sessions=30))
    said = answered(strict, store, np.arange(0, 400))
    assert np.flatnonzero(said.known[:, 0])[0] == np.flatnonzero(usable)[29]
    later = answered(strict, store, np.arange(320, 400))
    assert later.known[0, 0]
    np.testing.assert_array_equal(later.outputs["embedding"], said.outputs["embedding"][320:])


def test_one_day_any_days_and_any_order_of_assets_say_the_same(
    encoder: FittedTemporalEncoder, store: MarketStore, answers: Answers
) -> None:
    assets = store.assets_until(0, 399)
    one = predict(encoder, store.view(377, MODULE.reads, assets))
    some = answered(encoder, store, np.array([205, 301, 377]))
    alone = encoder.predict_many(store.span(np.array([377]), MODULE.reads, assets[2:3]))
    for name in MODULE.outputs:
        np.testing.assert_array_equal(one.outputs[name], answers.outputs[name][377])
        np.testing.assert_array_equal(some.outputs[name], answers.outputs[name][[205, 301, 377]])
        np.testing.assert_array_equal(alone.outputs[name][0, 0], answers.outputs[name][377, 2])


def test_fitting_twice_and_restoring_give_the_same_answers(
    encoder: FittedTemporalEncoder, store: MarketStore, answers: Answers
) -> None:
    again = MODULE.select(fitted(store), None).fitted
    assert again.state().facts == encoder.state().facts
    for name, values in encoder.state().arrays.items():
        np.testing.assert_array_equal(again.state().arrays[name], values)
    restored = answered(MODULE.restore(encoder.state()), store, np.arange(0, 400))
    for name in MODULE.outputs:
        np.testing.assert_array_equal(restored.outputs[name], answers.outputs[name])


def test_attention_is_a_distribution_over_sessions_with_data(encoder: FittedTemporalEncoder, store: MarketStore) -> None:
    holed = dict(store.columns)
    for name in FEATURE_ORDER:
        holed[name] = np.array(holed[name])
        holed[name][345, 0] = np.nan
    said = answered(encoder, replace(store, columns=holed), np.array([350]))
    assert said.known[0, 0]
    weights = said.outputs["attention"][0, 0]
    assert weights.sum() == pytest.approx(1.0, abs=1e-4)
    assert (weights >= 0.0).all()
    np.testing.assert_array_equal(np.flatnonzero(weights == 0.0), [24])


def test_missing_is_not_the_mean_defect_d_enc_07(encoder: FittedTemporalEncoder, store: MarketStore) -> None:
    mean = encoder.scaler.mean[FEATURE_ORDER.index("volume_ratio")]
    average, absent = (np.array(store.columns["volume_ratio"]) for _ in range(2))
    average[350, 0], absent[350, 0] = mean, np.nan
    days = np.array([350])
    one, other = (answered(encoder, with_column(store, "volume_ratio", values), days) for values in (average, absent))
    assert one.known[0, 0]
    assert other.known[0, 0]
    assert (one.outputs["embedding"][0, 0] != other.outputs["embedding"][0, 0]).any()


def test_a_market_without_volume_is_legal() -> None:
    nothing = np.full((400, 6), np.nan)
    bare = tiny_store(400, 6, seed=1, high=nothing, low=nothing, volume=nothing, raw_volume=nothing)
    assert np.isnan(bare.columns["volume_ratio"]).all()
    quick = replace(MODULE, epochs=1)
    said = answered(quick.select(fitted(bare, quick), None).fitted, bare, np.array([390]))  # type: ignore[arg-type]
    assert said.known[0, 0]


def test_reasons(answers: Answers, encoder: FittedTemporalEncoder, store: MarketStore) -> None:
    assert (answers.reason[:10] == Reason.WARM_UP).all()
    nothing = np.array(store.columns["vol_21d"])
    nothing[350, 0] = np.nan
    nothing[340:349, 1] = np.nan
    said = answered(encoder, with_column(store, "vol_21d", nothing), np.array([350]))
    assert said.reason[0, 0] == Reason.INPUT_MISSING
    assert said.reason[0, 1] == Reason.TOO_FEW_OBSERVATIONS
    outside = np.zeros(store.member.shape, dtype=bool)
    outside[399] = True  # others look back on days before a name became a member
    assert answered(encoder, with_column(store, "member", outside), np.array([350])).known[0, 4]


def test_today_unlike_its_past_is_called_unusual(
    encoder: FittedTemporalEncoder, store: MarketStore, answers: Answers
) -> None:
    odd = np.array(store.columns["log_return_1d"])
    odd[350, 0] = -0.30
    said = answered(encoder, with_column(store, "log_return_1d", odd), np.array([350]))
    surprise = said.outputs["reconstruction_error"][0, 0]
    assert surprise > 4.0 * answers.outputs["reconstruction_error"][350, 0]


def test_summaries(encoder: FittedTemporalEncoder, store: MarketStore, answers: Answers) -> None:
    span = store.span(np.arange(0, 400), MODULE.reads, store.assets_until(0, 399))
    texts = encoder.explain(span, answers)
    weights = answers.outputs["attention"][350, 0]
    assert f"{weights.max():.1%}" in texts[350, 0]
    assert f"{answers.outputs['reconstruction_error'][350, 0]:.2f}" in texts[350, 0]
    for text in np.unique(texts[::7].astype(str)):
        assert text.isascii()
        assert "_" not in text
        assert 8 <= len(text.split()) <= 60


def test_audit_of_a_collapsed_and_of_a_full_embedding() -> None:
    collapsed = audit_embeddings(np.ones((50, 8)) + 1e-9 * np.arange(50)[:, None])
    assert collapsed["embedding_mean_cosine"] == pytest.approx(1.0)
    assert collapsed["embedding_effective_rank"] == pytest.approx(1.0, abs=1e-3)
    full = audit_embeddings(np.random.default_rng(0).normal(size=(4000, 8)))
    assert full["embedding_mean_cosine"] == pytest.approx(0.0, abs=0.01)
    assert full["embedding_effective_rank"] == pytest.approx(8.0, abs=0.01)


def test_interpolation_is_numpys() -> None:
    rng = np.random.default_rng(0)
    values, seen = rng.normal(size=(5, 30, 3)), rng.random((5, 30, 3)) < 0.6
    seen[0, :, 0] = False
    filled = interpolated(values, seen)
    assert (filled[0, :, 0] == 0.0).all()
    at = np.arange(30)
    for row, column in [(1, 0), (4, 2)]:
        known = seen[row, :, column]
        expected = np.interp(at, at[known], values[row, known, column])
        np.testing.assert_allclose(filled[row, :, column], expected)
    pairs = np.concatenate([values, seen], axis=-1)
    mask = np.zeros((5, 30), dtype=bool)
    mask[:, 7] = True
    perfect = gap_filling(pairs, mask, values)
    assert perfect["masked_mse"] == 0.0
    assert perfect["masked_mse_train_mean"] > 0.0


@pytest.mark.parametrize(
    "wrong",
    [{"heads": 3}, {"sessions": 91}, {"min_sessions": 31}, {"dropout": 1.0}, {"mask_share": 0.0}],
    ids=str,
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(PlanError):
        replace(MODULE, **wrong)  # type: ignore[arg-type]


def test_training_uses_no_session_after_train_and_no_label(store: MarketStore) -> None:
    assert MODULE.learns_from == ()
    poisoned = {name: np.where(np.arange(400)[:, None] > TRAIN[-1], 0.123, store.columns[name]) for name in FEATURE_ORDER}
    dirty = replace(store, columns={**store.columns, **poisoned})
    quick = replace(MODULE, epochs=1)
    one, other = (fitted(each, quick)[0].fitted.state() for each in (store, dirty))
    for name, values in one.arrays.items():
        np.testing.assert_array_equal(other.arrays[name], values)
