from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from glassbox_bt.errors import PlanError, TrainingError
from glassbox_bt.market.store import AnswerColumn, MarketStore
from glassbox_bt.modules._volatility_inputs import GROUPS, inputs
from glassbox_bt.modules.base import Candidate
from glassbox_bt.modules.risk.volatility import EFFECTS, THIRDS, FittedVolatility, Volatility
from glassbox_bt.types import Answers, FloatArray, Reason
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

MODULE = Volatility(hidden=16, dropout=0.0, epochs=12, batch_size=128, learning_rate=5e-3, patience=6)


@pytest.fixture(scope="module")
def store() -> MarketStore:
    return market()


@pytest.fixture(scope="module")
def below(store: MarketStore) -> dict[str, AnswerColumn]:
    return given_below(store, MODULE.reads)


def planted(store: MarketStore, below: Mapping[str, AnswerColumn], strength: float, noise: float = 0.15) -> MarketStore:
    """Volatility comes half from GARCH, and from the first number of the embedding as far as ``strength`` says.

    The level of the rest is such that the root of the expected variance is the anchor where the embedding has no say.
    """
    rng = np.random.default_rng(1)
    push = strength * embedding_of(below)[..., 0]
    outcomes = {}
    for horizon in (10, 30):
        garch = np.log(np.nan_to_num(below[f"garch.vol_{horizon}d"].values, nan=0.3))
        level = 0.5 * garch[TRAIN].mean() - 2.0 * noise**2
        logs = 0.5 * garch + level + push + noise * rng.standard_normal(push.shape)
        outcomes[f"forward_vol_{horizon}d"] = np.clip(np.exp(logs), 0.01, 5.0)
    return relabelled(store, outcomes)


def fits(store: MarketStore, below: Mapping[str, AnswerColumn], module: Volatility = MODULE) -> tuple[Candidate, ...]:
    return module.fit(train_view_of(store, module, below), context(module))


def fitted(candidates: tuple[Candidate, ...], variant: str = "anchored") -> FittedVolatility:
    found = next(one.fitted for one in candidates if one.variant == variant)
    assert isinstance(found, FittedVolatility)
    return found


@pytest.fixture(scope="module")
def world(store: MarketStore, below: dict[str, AnswerColumn]) -> MarketStore:
    return planted(store, below, 0.3)


@pytest.fixture(scope="module")
def candidates(world: MarketStore, below: dict[str, AnswerColumn]) -> tuple[Candidate, ...]:
    return fits(world, below)


@pytest.fixture(scope="module")
def answers(candidates: tuple[Candidate, ...], world: MarketStore, below: dict[str, AnswerColumn]) -> Answers:
    return fitted(candidates).predict_many(span_of(world, MODULE, below))


def outcome(store: MarketStore, answers: Answers, horizon: int = 10) -> FloatArray:
    return store.labels[f"forward_vol_{horizon}d"].values[answers.days]


def qlike(outcome: FloatArray, forecast: FloatArray) -> float:
    ratio = (outcome / forecast)[np.isfinite(outcome) & np.isfinite(forecast)] ** 2
    return float(np.mean(ratio - np.log(ratio) - 1.0))


def test_a_planted_effect_of_the_embedding_is_found(
    candidates: tuple[Candidate, ...], world: MarketStore, answers: Answers
) -> None:
    chosen = MODULE.select(candidates, None)
    assert chosen.variant == "anchored"
    assert chosen.summary["network_speaks_on"] == ["vol_10d", "vol_30d", "regime"]
    assert chosen.summary["network_beats_anchor_on_holdout"] is True
    late = answers.days >= LATER[0]
    for horizon in (10, 30):
        y = outcome(world, answers, horizon)[late]
        learned, anchor = (answers.outputs[f"vol_{horizon}d{end}"][late] for end in ("", "_anchor"))
        assert qlike(y, learned) < 0.7 * qlike(y, anchor)


def test_without_an_effect_the_network_changes_little_and_does_little_harm(
    store: MarketStore, below: dict[str, AnswerColumn], answers: Answers
) -> None:
    noise = planted(store, below, 0.0)
    said = fitted(fits(noise, below)).predict_many(span_of(noise, MODULE, below))
    late = said.days >= LATER[0]
    y = outcome(noise, said)[late]
    learned, anchor = (said.outputs[name][late] for name in ("vol_10d", "vol_10d_anchor"))
    assert qlike(y, learned) < 1.1 * qlike(y, anchor)
    moved, with_effect = (
        np.nanmean(np.abs(np.log(one.outputs["vol_10d"] / one.outputs["vol_10d_anchor"]))) for one in (said, answers)
    )
    assert moved < 0.25 * with_effect


def test_the_anchor_is_the_geometric_mean_of_garch_and_har(answers: Answers) -> None:
    known = answers.known
    for horizon, garch in (("10d", "garch_vol"), ("30d", "garch_vol_30d")):
        mixed = np.sqrt(answers.outputs[garch] * answers.outputs[f"har_vol_{horizon}"])[known]
        np.testing.assert_allclose(answers.outputs[f"vol_{horizon}_anchor"][known], mixed, atol=2e-6)


def test_realised_volatilities_are_roots_of_mean_squares(store: MarketStore, below: dict[str, AnswerColumn]) -> None:
    returns = store.columns["log_return_1d"]
    read = inputs(span_of(store, MODULE, below, LATER))
    for column, reach in zip(range(GROUPS["recent"].start, GROUPS["recent"].stop), (1, 5, 21, 63), strict=True):
        window = returns[LATER[9] - reach + 1 : LATER[9] + 1, 0]
        expected = np.sqrt(252.0 * np.nanmean(window**2))
        assert np.exp(read[9, 0, column]) == pytest.approx(max(expected, 0.01))


def test_ranges(answers: Answers) -> None:
    known = answers.known
    assert 0.8 < known[answers.days >= 120].mean() <= 1.0
    for name, values in answers.outputs.items():
        if "vol" in name:
            assert (values[known] >= 0.01 - 1e-6).all(), name
            assert (values[known] <= 5.0).all(), name
    probs = np.stack([answers.outputs[f"regime_probs_{third}"] for third in THIRDS], axis=-1)[known]
    np.testing.assert_allclose(probs.sum(axis=-1), 1.0, atol=2e-6)
    np.testing.assert_array_equal(answers.outputs["regime_id"][known], probs.argmax(axis=-1))
    shares = np.stack([answers.outputs[f"share_{group}"] for group in EFFECTS], axis=-1)[known]
    np.testing.assert_allclose(shares.sum(axis=-1), 1.0, atol=2e-6)
    confidence = answers.outputs["confidence"][known]
    assert confidence.min() > 0.0
    assert confidence.max() < 1.0


def test_the_regime_tells_the_thirds_of_train(answers: Answers, world: MarketStore) -> None:
    y = np.log(outcome(world, answers, 30))
    early = (answers.days <= TRAIN[-1] - 31)[:, None] & answers.known & np.isfinite(y)
    late = (answers.days >= LATER[0])[:, None] & answers.known & np.isfinite(y)
    bounds = np.quantile(y[early], [1 / 3, 2 / 3])
    third = np.searchsorted(bounds, y[late])
    hit = np.mean(answers.outputs["regime_id"][late] == third)
    assert hit > 0.6  # 0.33 by chance


def test_confidence_is_calibrated_and_larger_where_errors_are_smaller(
    store: MarketStore, below: dict[str, AnswerColumn]
) -> None:
    """Errors are four times as large where the GARCH forecast is high."""
    garch = np.nan_to_num(below["garch.vol_10d"].values, nan=0.3)
    wild = garch > np.nanmedian(below["garch.vol_10d"].values)
    rng = np.random.default_rng(4)
    logs = 0.5 * np.log(garch) + 0.5 * np.log(0.25) + np.where(wild, 0.4, 0.1) * rng.standard_normal(garch.shape)
    world = relabelled(store, {"forward_vol_10d": np.exp(logs)})
    module = replace(MODULE, variant="anchor")
    one = fitted(fits(world, below, module), "anchor")
    said = one.predict_many(span_of(world, module, below, LATER))
    y = world.labels["forward_vol_10d"].values[LATER]
    rows = said.known & np.isfinite(y)
    small = np.abs(np.log(y / said.outputs["vol_10d"]))[rows] < one.model.typical
    confidence, rough = said.outputs["confidence"][rows], wild[LATER][rows]
    assert confidence[~rough].mean() > confidence[rough].mean() + 0.15
    assert confidence.mean() == pytest.approx(small.mean(), abs=0.06)
    assert np.mean((confidence - small) ** 2) < np.mean((small.mean() - small) ** 2)


def test_the_ledger_adds_up_and_agrees_with_gradients(
    candidates: tuple[Candidate, ...], world: MarketStore, below: dict[str, AnswerColumn]
) -> None:
    span = span_of(world, MODULE, below, LATER)
    bare, whole = fitted(candidates, "anchor"), fitted(candidates)
    said = bare.predict_many(span)
    rows = said.known
    effects = np.stack([said.outputs[f"log_effect_{group}"][rows] for group in EFFECTS], axis=1)
    found = bare.gradients(span, rows)
    for k, columns in enumerate(GROUPS.values()):
        np.testing.assert_allclose(found.shares[:, columns].sum(axis=1), effects[:, k], atol=3e-6)
    assert not found.shares[:, 6:].any()
    learned = whole.gradients(span, rows)
    gap = np.abs(learned.gap) / np.maximum(np.abs(learned.change), 0.05)
    assert np.quantile(gap, 0.95) < 0.01
    assert np.abs(learned.shares[:, 6]).mean() > 3.0 * np.abs(learned.shares[:, 7:]).mean()  # the planted one


def test_pushes_move_the_forecast_their_way(
    candidates: tuple[Candidate, ...], world: MarketStore, below: dict[str, AnswerColumn]
) -> None:
    span = span_of(world, MODULE, below, LATER)
    rows = fitted(candidates).predict_many(span).known
    found = fitted(candidates).counterfactuals(span, rows)
    assert [one.expected for one in found] == [-1, 1, 1]
    # Realised volatility plays no part in this market; GARCH does.
    assert all(one.as_expected().mean() > 0.95 for one in found[:2])


def test_validation_may_hand_over_to_the_anchor_but_to_nothing_else(
    candidates: tuple[Candidate, ...], store: MarketStore, below: dict[str, AnswerColumn]
) -> None:
    later = {name: planted(store, below, strength) for name, strength in (("as in train", 0.3), ("reversed", -0.3))}
    views = {name: train_view_of(one, MODULE, below, LATER) for name, one in later.items()}
    for name, better in (("as in train", "anchored"), ("reversed", "anchor")):
        losses = {one.variant: MODULE.validation_loss(one.fitted, views[name]) for one in candidates}
        assert min(losses, key=lambda variant: losses[variant]) == better
    assert {one.variant for one in candidates} == {"anchored", "anchor"}


def test_reasons(candidates: tuple[Candidate, ...], store: MarketStore, below: dict[str, AnswerColumn]) -> None:
    holed = dict(below)
    for name, asset in (("garch.vol_30d", 0), ("garch.known", 1), ("temporal_encoder.embedding", 2)):
        values = np.array(below[name].values)
        values[450, asset] = 0.0 if name.endswith("known") else np.nan
        holed[name] = replace(below[name], values=values)
    said = fitted(candidates).predict_many(span_of(store, MODULE, holed, np.array([92, 450])))
    assert said.reason[0, 5] == Reason.NOT_A_MEMBER
    assert (said.reason[1, :3] == Reason.UPSTREAM_UNKNOWN).all()
    assert said.known[1, 3:].any()


def test_nothing_to_learn_from_is_an_error(store: MarketStore, below: dict[str, AnswerColumn]) -> None:
    blind = relabelled(store, {f"forward_vol_{h}d": np.full(store.member.shape, np.nan) for h in (10, 30)})
    with pytest.raises(TrainingError, match="no train row"):
        fits(blind, below)
    with pytest.raises(TrainingError, match="it needs both"):
        MODULE.fit(train_view_of(store, MODULE, below, TRAIN[:45]), context(MODULE))


def test_summaries_name_the_rows_own_numbers(
    candidates: tuple[Candidate, ...], world: MarketStore, below: dict[str, AnswerColumn], answers: Answers
) -> None:
    texts = fitted(candidates).explain(span_of(world, MODULE, below), answers)
    row, asset = np.argwhere(answers.known)[-1]
    text = texts[row, asset]
    third = THIRDS[int(answers.outputs["regime_id"][row, asset])]
    assert f"{answers.outputs['vol_10d'][row, asset]:.1%} a year over 10 sessions" in text
    assert f"{third} third" in text
    assert f"{answers.outputs[f'regime_probs_{third}'][row, asset]:.0%}" in text
    assert f"Confidence {answers.outputs['confidence'][row, asset]:.2f}" in text


@pytest.mark.parametrize("wrong", [{"variant": "best"}, {"hidden": 0}, {"ridge": 0.0}, {"epochs": 0}], ids=str)
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(PlanError, match=next(iter(wrong))):
        replace(MODULE, **wrong)  # type: ignore[arg-type]
