from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch

from glassbox_bt.errors import PlanError, TrainingError
from glassbox_bt.market.store import AnswerColumn, MarketStore
from glassbox_bt.modules._drawdown_inputs import GROUPS, HORIZONS, THRESHOLDS
from glassbox_bt.modules._drawdown_model import risk_score
from glassbox_bt.modules._drawdown_network import N_COLUMNS, composed
from glassbox_bt.modules.base import Candidate, FitContext
from glassbox_bt.modules.encoders.temporal import TemporalEncoder
from glassbox_bt.modules.risk.drawdown import EFFECTS, Drawdown, FittedDrawdown
from glassbox_bt.types import Answers, FloatArray, Reason
from tests.builders import base_columns, store_of
from tests.modules.risk.risk_market import (
    LATER,
    TRAIN,
    context,
    embedding_of,
    given_below,
    market,
    relabelled,
    span_of,
    train_view_of,
)

MODULE = Drawdown(cell="gru", hidden=8, attention=8, dropout=0.0, epochs=12, batch_size=128, learning_rate=1e-2, patience=6)


@pytest.fixture(scope="module")
def store() -> MarketStore:
    return market()


@pytest.fixture(scope="module")
def below(store: MarketStore) -> dict[str, AnswerColumn]:
    """As made up, but the first number of the embedding changes slowly: five sessions of it tell today's."""
    given = given_below(store, MODULE.reads)
    column = given["temporal_encoder.embedding"]
    values = np.array(column.values)
    slow = np.random.default_rng(8).standard_normal(values.shape[:2])
    for day in range(1, len(slow)):
        slow[day] = 0.9 * slow[day - 1] + np.sqrt(1.0 - 0.9**2) * slow[day]
    values[..., 0] = np.where(np.isfinite(values[..., 0]), slow, np.nan)
    return given | {"temporal_encoder.embedding": replace(column, values=values)}


def planted(store: MarketStore, below: Mapping[str, AnswerColumn], strength: float) -> MarketStore:
    """Drawdowns follow the GARCH forecast, times what the first number of today's embedding says; recovery takes half."""
    rng = np.random.default_rng(1)
    push = strength * np.clip(embedding_of(below)[..., 0], -2.0, 2.0)
    level = np.nan_to_num(below["garch.vol_10d"].values, nan=0.3) * np.exp(push)
    near = 0.12 * level * np.exp(0.2 * rng.standard_normal(push.shape))
    far = near + 0.10 * level * np.exp(0.2 * rng.standard_normal(push.shape))
    half = {f"forward_recovery_days_{h}d": np.full(push.shape, h / 2.0) for h in HORIZONS}
    drawdowns = {"forward_drawdown_10d": np.minimum(near, 0.8), "forward_drawdown_30d": np.minimum(far, 0.8)}
    return relabelled(store, {**drawdowns, **half})


def fits(store: MarketStore, below: Mapping[str, AnswerColumn], module: Drawdown = MODULE) -> tuple[Candidate, ...]:
    return module.fit(train_view_of(store, module, below), context(module))


def fitted(candidates: tuple[Candidate, ...], variant: str = "anchored") -> FittedDrawdown:
    found = next(one.fitted for one in candidates if one.variant == variant)
    assert isinstance(found, FittedDrawdown)
    return found


@pytest.fixture(scope="module")
def world(store: MarketStore, below: dict[str, AnswerColumn]) -> MarketStore:
    return planted(store, below, 0.5)


@pytest.fixture(scope="module")
def candidates(world: MarketStore, below: dict[str, AnswerColumn]) -> tuple[Candidate, ...]:
    return fits(world, below)


@pytest.fixture(scope="module")
def answers(candidates: tuple[Candidate, ...], world: MarketStore, below: dict[str, AnswerColumn]) -> Answers:
    return fitted(candidates).predict_many(span_of(world, MODULE, below))


def pinball(outcome: FloatArray, forecast: FloatArray, level: float) -> float:
    error = outcome - forecast
    return float(np.nanmean(np.maximum(level * error, (level - 1.0) * error)))


def test_a_planted_effect_of_the_embedding_is_found(
    candidates: tuple[Candidate, ...], world: MarketStore, answers: Answers
) -> None:
    chosen = MODULE.select(candidates, None)
    assert chosen.variant == "anchored"
    assert {"expected", "quantiles", "risk_10d"} <= set(chosen.summary["network_speaks_on"])  # type: ignore[call-overload]
    assert chosen.summary["network_beats_anchor_on_holdout"] is True
    late = answers.days >= LATER[0]
    for horizon, threshold in zip(HORIZONS, THRESHOLDS, strict=True):
        y = world.labels[f"forward_drawdown_{horizon}d"].values[LATER]
        for quantile, level in (("q50", 0.5), ("q90", 0.9)):
            learned, anchor, bucket = (
                pinball(y, answers.outputs[f"drawdown_{quantile}_{horizon}d{end}"][late], level)
                for end in ("", "_anchor", "_bucket")
            )
            assert learned < 0.85 * anchor
            assert learned < 0.85 * bucket
        event = np.where(np.isfinite(y), y >= threshold, np.nan)
        briers = [
            np.nanmean((answers.outputs[f"drawdown_risk_{horizon}d{end}"][late] - event) ** 2) for end in ("", "_anchor")
        ]
        assert briers[0] < briers[1]


def test_without_an_effect_the_network_changes_little(
    store: MarketStore, below: dict[str, AnswerColumn], answers: Answers
) -> None:
    noise = planted(store, below, 0.0)
    said = fitted(fits(noise, below)).predict_many(span_of(noise, MODULE, below))
    moved, with_effect = (
        np.nanmean(np.abs(np.log(one.outputs["expected_drawdown_10d"] / one.outputs["expected_drawdown_10d_anchor"])))
        for one in (said, answers)
    )
    assert moved < 0.3 * with_effect


def test_answers_never_contradict_each_other() -> None:
    """For any residual: positive, growing with the horizon, the upper decile above the median."""
    torch.manual_seed(0)
    offset, residual = torch.rand(500, N_COLUMNS) * 0.1 + 1e-4, 6.0 * torch.randn(500, N_COLUMNS)
    parts = composed(offset, residual)
    for pair in (parts.expected, parts.median, parts.upper):
        assert (pair > 0.0).all()
        assert (pair[:, 1] >= pair[:, 0]).all()
    assert (parts.upper >= parts.median).all()
    still = composed(offset, torch.zeros_like(residual))
    torch.testing.assert_close(still.expected[:, 0], offset[:, 0])
    torch.testing.assert_close(still.risk, offset[:, 6:8])


def test_ranges(answers: Answers) -> None:
    known, out = answers.known, answers.outputs
    assert set(out) == set(MODULE.outputs)
    for name, values in out.items():
        assert (values[known] >= 0.0).all() or name.startswith("log_effect"), name
        if "drawdown" in name:
            assert (values[known] <= 1.0).all(), name
    for horizon in HORIZONS:
        assert (out[f"recovery_days_{horizon}d"][known] <= horizon).all()
        assert (out[f"drawdown_q90_{horizon}d"] >= out[f"drawdown_q50_{horizon}d"])[known].all()
    for name in ("expected_drawdown", "drawdown_q50", "drawdown_q90"):
        for end in ("", "_anchor", "_bucket"):
            assert (out[f"{name}_30d{end}"] >= out[f"{name}_10d{end}"] - 1e-6)[known].all(), name + end
    np.testing.assert_allclose(out["attention"][known].sum(axis=-1), 1.0, atol=1e-4)


def test_the_score_is_the_formula_of_its_parts(answers: Answers) -> None:
    out, known = answers.outputs, answers.known
    severity = [
        np.clip(out[f"expected_drawdown_{h}d"] / (2.0 * t), 0.0, 1.0) for h, t in zip(HORIZONS, THRESHOLDS, strict=True)
    ]
    expected = (
        0.20 * severity[0]
        + 0.25 * severity[1]
        + 0.20 * out["drawdown_risk_10d"]
        + 0.25 * out["drawdown_risk_30d"]
        + 0.05 * out["recovery_days_10d"] / 10.0
        + 0.05 * out["recovery_days_30d"] / 30.0
    )
    np.testing.assert_allclose(out["drawdown_risk_score"][known], expected[known], atol=3e-6)
    worst, best = np.ones(2), np.zeros(2)
    assert risk_score(worst, worst, worst) == pytest.approx(1.0)
    assert risk_score(best, best, best) == 0.0


def test_buckets_are_empirical_quantiles_of_train(world: MarketStore, below: dict[str, AnswerColumn]) -> None:
    module = replace(MODULE, variant="anchor")
    view = train_view_of(world, module, below)
    one = fitted(module.fit(view, context(module)), "anchor")
    said = one.predict_many(view)
    lowest = (said.outputs["bucket_key"] if "bucket_key" in said.outputs else said.outputs["drawdown_q90_10d_bucket"])[
        said.known
    ]
    assert 5 <= len(np.unique(lowest)) <= 10
    y = world.labels["forward_drawdown_10d"].values[TRAIN]
    early = (TRAIN[0] + 220 >= TRAIN)[:, None] & said.known & np.isfinite(y)
    for quantile, level in (("q50", 0.5), ("q90", 0.9)):
        assert np.mean(y[early] <= said.outputs[f"drawdown_{quantile}_10d_bucket"][early]) == pytest.approx(level, abs=0.06)
    assert np.mean(y[early] >= 0.05) == pytest.approx(said.outputs["drawdown_risk_10d_bucket"][early].mean(), abs=0.06)


def test_the_ledger_agrees_with_gradients(
    candidates: tuple[Candidate, ...], world: MarketStore, below: dict[str, AnswerColumn]
) -> None:
    days = LATER[::4]
    span, one = span_of(world, MODULE, below, days), fitted(candidates)
    said = one.predict_many(span)
    rows = said.known
    effects = np.stack([said.outputs[f"log_effect_{group}"][rows] for group in EFFECTS], axis=1)
    plain, learned = one.gradients(span, rows)
    for k, columns in enumerate(GROUPS.values()):
        np.testing.assert_allclose(plain[:, columns].sum(axis=1), effects[:, k], atol=2e-6)
    assert np.abs(learned.gap).max() < 0.01 * np.abs(learned.change).max()
    present = np.isfinite(below["temporal_encoder.embedding"].values[..., 0])
    whole = np.array([present[day - 29 : day + 1].all(axis=0) for day in days])[rows]
    assert whole.mean() > 0.2
    np.testing.assert_allclose(learned.change[whole], effects[whole, -1], atol=1e-4)
    by_channel = np.abs(learned.shares[..., :-1].sum(axis=1)).mean(axis=0)
    assert by_channel[0] > 2.0 * by_channel[1:].max()  # the planted one


def test_pushes_move_the_score_their_way(
    candidates: tuple[Candidate, ...], world: MarketStore, below: dict[str, AnswerColumn]
) -> None:
    span = span_of(world, MODULE, below, LATER)
    rows = fitted(candidates).predict_many(span).known
    for found in fitted(candidates).counterfactuals(span, rows):
        assert found.as_expected().mean() >= 0.95, found.name


def test_other_bars_are_encoded_anew_defect_d_xai_02() -> None:
    """A crash of the last session changes the embedding, the volatility, and deepens the expected drawdown."""
    base = base_columns(480, 6, seed=2)
    crashed = {name: np.array(values) for name, values in base.items()}
    for name in ("open", "high", "low", "close"):
        crashed[name][-1] *= 0.85
    encoder = TemporalEncoder(width=8, layers=1, heads=2, feed_forward=16, epochs=2, batch_size=128, learning_rate=2e-3)
    store, other = store_of(base), store_of(crashed)
    names = store.assets_until(0, 479)
    view = store.train_view(TRAIN, encoder.reads, (), names)
    eye = encoder.fit(view, FitContext(seed=7, module=encoder.name, chunk=1, fold=0))[0].fitted

    def encoded(market_: MarketStore) -> dict[str, AnswerColumn]:
        days = np.arange(40, 480, dtype=np.int64)
        said = eye.predict_many(market_.span(days, encoder.reads, names))
        column = AnswerColumn(days, names, said.outputs["embedding"], np.full(len(days), -1), in_sample=True)
        silent = {
            f"garch.vol_{h}d": AnswerColumn(days, names, np.full(said.known.shape, np.nan), column.fitted_through)
            for h in HORIZONS
        }
        return {"temporal_encoder.embedding": column, **silent}

    module = replace(MODULE, epochs=2)
    one = fitted(module.fit(train_view_of(store, module, encoded(store)), context(module)))
    scores = [
        one.predict_many(span_of(each, module, encoded(each), LATER[-2:])).outputs["drawdown_risk_score"]
        for each in (store, other)
    ]
    np.testing.assert_array_equal(scores[0][0], scores[1][0])  # the day before knows nothing of it
    assert (scores[1][1] > scores[0][1]).all()


def test_validation_may_hand_over_to_the_anchor(
    candidates: tuple[Candidate, ...], store: MarketStore, below: dict[str, AnswerColumn]
) -> None:
    for strength, variant in ((0.5, "anchored"), (-0.5, "anchor")):
        view = train_view_of(planted(store, below, strength), MODULE, below, LATER)
        losses = {one.variant: MODULE.validation_loss(one.fitted, view) for one in candidates}
        assert min(losses, key=lambda name: losses[name]) == variant


def test_ranks_take_the_scale_of_the_out_of_fold_answers(
    candidates: tuple[Candidate, ...], world: MarketStore, below: dict[str, AnswerColumn], answers: Answers
) -> None:
    frozen = fitted(candidates).with_reference(answers)
    said = frozen.predict_many(span_of(world, MODULE, below))
    assert said.outputs["drawdown_risk_rank"][said.known].mean() == pytest.approx(0.5, abs=1e-6)
    np.testing.assert_array_equal(said.outputs["drawdown_risk_score"], answers.outputs["drawdown_risk_score"])


def test_reasons(candidates: tuple[Candidate, ...], store: MarketStore, below: dict[str, AnswerColumn]) -> None:
    column = below["temporal_encoder.embedding"]
    values = np.array(column.values)
    values[450, 0] = np.nan
    values[430:440, 1] = np.nan
    month = np.array(store.columns["vol_21d"])
    month[450, 2] = np.nan
    holed = replace(store, columns={**store.columns, "vol_21d": month})
    given = {**below, "temporal_encoder.embedding": replace(column, values=values)}
    said = fitted(candidates).predict_many(span_of(holed, MODULE, given, np.array([92, 450])))
    assert said.reason[0, 5] == Reason.NOT_A_MEMBER
    assert said.reason[1, 0] == Reason.UPSTREAM_UNKNOWN
    assert said.reason[1, 1] == Reason.WARM_UP
    assert said.reason[1, 2] == Reason.INPUT_MISSING
    assert said.known[1, 3:].any()


def test_it_answers_without_a_garch_module(store: MarketStore, below: dict[str, AnswerColumn]) -> None:
    silent = {
        name: replace(column, values=np.full(column.values.shape, np.nan)) if name.startswith("garch") else column
        for name, column in below.items()
    }
    module = replace(MODULE, variant="anchor")
    one = fitted(module.fit(train_view_of(store, module, silent), context(module)), "anchor")
    said = one.predict_many(span_of(store, module, silent, LATER))
    assert said.known.mean() > 0.9
    assert (said.outputs["log_effect_garch"][said.known] == 0.0).all()


def test_nothing_to_learn_from_is_an_error(store: MarketStore, below: dict[str, AnswerColumn]) -> None:
    nothing = {name: np.full(store.member.shape, np.nan) for name in MODULE.learns_from}
    with pytest.raises(TrainingError, match="no train row"):
        fits(relabelled(store, nothing), below)
    with pytest.raises(TrainingError, match="it needs both"):
        MODULE.fit(train_view_of(store, MODULE, below, TRAIN[:45]), context(MODULE))


@pytest.mark.parametrize("variant", ["anchored", "anchor"])
def test_summaries_name_the_rows_own_numbers(
    candidates: tuple[Candidate, ...], world: MarketStore, below: dict[str, AnswerColumn], variant: str
) -> None:
    one, span = fitted(candidates, variant), span_of(world, MODULE, below, LATER)
    said = one.predict_many(span)
    texts = one.explain(span, said)
    row, asset = np.argwhere(said.known)[-1]
    text = texts[row, asset]
    assert f"{said.outputs['expected_drawdown_10d'][row, asset]:.1%} over 10 sessions" in text
    assert f"score {said.outputs['drawdown_risk_score'][row, asset]:.2f}" in text
    assert f"{said.outputs['drawdown_risk_30d'][row, asset]:.0%}" in text
    assert ("Most attention" in text) == (variant == "anchored")


@pytest.mark.parametrize(
    "wrong", [{"cell": "rnn"}, {"variant": "best"}, {"hidden": 0}, {"min_sessions": 31}, {"ridge": 0.0}], ids=str
)
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(PlanError, match=next(iter(wrong))):
        replace(MODULE, **wrong)  # type: ignore[arg-type]
