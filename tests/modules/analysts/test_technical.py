from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from glassbox_bt.errors import PlanError, TrainingError
from glassbox_bt.market.labels import build_labels
from glassbox_bt.market.store import AnswerColumn, Label, MarketStore
from glassbox_bt.modules._technical_inputs import EMBEDDING, TimingRule, indicators, targets
from glassbox_bt.modules.analysts.technical import FittedTechnicalAnalyst, TechnicalAnalyst
from glassbox_bt.modules.base import Candidate, FitContext, predict
from glassbox_bt.types import Answers, AnyArray, IntArray, Reason
from tests.builders import tiny_store

MODULE = TechnicalAnalyst(cell="gru", hidden=8, attention=8, dropout=0.0, epochs=6, batch_size=128, patience=6)
CONTEXT = FitContext(seed=7, module=MODULE.name, chunk=1, fold=0)
TRAIN = np.arange(60, 400)
ALL = np.arange(60, 480)
WIDTH = 6


@pytest.fixture(scope="module")
def store() -> MarketStore:
    return tiny_store(480, 6, seed=2)


def embeddings(store: MarketStore, values: AnyArray | None = None) -> dict[str, AnswerColumn]:
    shape = (store.n_sessions, store.n_assets, WIDTH)
    noise = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    given = noise if values is None else values
    given = np.where(np.isfinite(store.columns["vol_21d"])[..., None], given, np.nan)
    days = np.arange(store.n_sessions)
    before = np.full(store.n_sessions, -1)
    return {EMBEDDING: AnswerColumn(days, np.arange(store.n_assets), given, before)}


def fitted(
    store: MarketStore,
    module: TechnicalAnalyst = MODULE,
    answers: Mapping[str, AnswerColumn] | None = None,
) -> tuple[Candidate, ...]:
    assets = store.assets_until(0, int(TRAIN[-1]))
    given = embeddings(store) if answers is None else answers
    view = store.train_view(TRAIN, module.reads, module.learns_from, assets, given)
    return module.fit(view, CONTEXT)


def chosen(candidates: tuple[Candidate, ...], variant: str = "anchored") -> FittedTechnicalAnalyst:
    found = next(one.fitted for one in candidates if one.variant == variant)
    assert isinstance(found, FittedTechnicalAnalyst)
    return found


@pytest.fixture(scope="module")
def candidates(store: MarketStore) -> tuple[Candidate, ...]:
    return fitted(store)


@pytest.fixture(scope="module")
def analyst(candidates: tuple[Candidate, ...]) -> FittedTechnicalAnalyst:
    return chosen(candidates)


def answered(
    analyst: FittedTechnicalAnalyst,
    store: MarketStore,
    days: IntArray = ALL,
    answers: Mapping[str, AnswerColumn] | None = None,
) -> Answers:
    assets = store.assets_until(0, store.n_sessions - 1)
    given = embeddings(store) if answers is None else answers
    return analyst.predict_many(store.span(days, MODULE.reads, assets, given))


@pytest.fixture(scope="module")
def answers(analyst: FittedTechnicalAnalyst, store: MarketStore) -> Answers:
    return answered(analyst, store)


def test_every_member_day_is_answered_up_to_the_last_defect_d_tec_01(answers: Answers, store: MarketStore) -> None:
    member = store.member[ALL]
    assert not answers.known[~member].any()
    observed = store.columns["is_observed"][ALL] > 0.0
    assert answers.known[-60:][(member & observed)[-60:]].all()
    assert np.isnan(store.labels["forward_log_return_20d"].values[-20:]).all()


def test_ranges(answers: Answers) -> None:
    ranges = {
        "trend_score": (0.0, 1.0),
        "momentum_score": (-1.0, 1.0),
        "move_intensity": (0.0, 1.0),
        "timing_confidence": (0.0, 1.0),
        "timing_rule_score": (0.0, 1.0),
        "trend_reliability": (0.0, 1.0),
        "trend_raw": (-1.0, 1.0),
    }
    for name, (low, high) in ranges.items():
        values = answers.outputs[name][answers.known]
        assert values.min() >= low
        assert values.max() <= high
    assert (answers.outputs["momentum_score"][answers.known] < 0.0).any()  # it is signed
    assert set(answers.outputs) == set(MODULE.outputs)


def view_of(store: MarketStore) -> AnyArray:
    assets = store.assets_until(0, int(TRAIN[-1]))
    view = store.train_view(TRAIN, MODULE.reads, MODULE.learns_from, assets, embeddings(store))
    return targets(view)


def test_a_coming_crash_is_bearish_and_intense_defect_d_tec_02(store: MarketStore) -> None:
    close = np.array(store.columns["close"])
    close[200:] *= 0.7
    columns = {**store.columns, "close": close, "low": np.minimum(store.columns["low"], close)}
    labels = build_labels(columns, store.decided_at, has_opens=True)
    before, after = view_of(store), view_of(replace(store, labels=labels))
    day = 198 - TRAIN[0]
    assert after[day, 0, 1] < -0.9  # momentum of the day before the crash is negative
    assert after[day, 0, 2] == 1.0  # and the move large
    assert before[day, 0, 1] > after[day, 0, 1]


def test_the_timing_target_is_an_outcome_defect_d_tec_03(store: MarketStore) -> None:
    """A formula of today's indicators would not change when only later bars do."""
    later = {name: Label(-label.values, label.known_at) for name, label in store.labels.items()}
    one, other = view_of(store), view_of(replace(store, labels=later))
    known = np.isfinite(one[..., 3])
    np.testing.assert_allclose(one[known][:, 3], -other[known][:, 3])
    x = indicators(store.span(TRAIN, MODULE.reads, store.assets_until(0, int(TRAIN[-1])), embeddings(store)))
    rows = known & np.isfinite(x).all(axis=-1)
    design = np.c_[x[rows], np.ones(rows.sum())]
    left = one[rows][:, 3] - design @ np.linalg.lstsq(design, one[rows][:, 3], rcond=None)[0]
    assert 1.0 - left.var() / one[rows][:, 3].var() < 0.2


def test_a_gap_in_the_outcome_is_no_outcome_defect_d_tec_04(store: MarketStore) -> None:
    """Asset 3 misses eight sessions from the middle on: over a tenth of any path across them."""
    wanted = view_of(store)
    gap = store.n_sessions // 2
    assert np.isnan(wanted[gap - 5 - TRAIN[0], 3, 0])
    assert np.isfinite(wanted[gap - 5 - TRAIN[0], 0, 0])


def test_the_anchor_stands_where_the_network_learned_nothing(candidates: tuple[Candidate, ...], store: MarketStore) -> None:
    """A residual starts at zero: before training the anchored analyst is its anchor."""
    module = replace(MODULE, learning_rate=1e-12, epochs=1)
    anchored = answered(chosen(fitted(store, module)), store)
    anchor = answered(chosen(candidates, "anchor"), store)
    np.testing.assert_array_equal(anchored.outputs["trend_raw"], anchor.outputs["trend_raw"])
    np.testing.assert_array_equal(anchor.outputs["trend_raw"], anchor.outputs["trend_anchor_raw"])
    assert "attention" not in anchor.outputs


def planted(store: MarketStore) -> tuple[MarketStore, dict[str, AnswerColumn]]:
    """Outcomes that follow one number of the embedding, which no indicator knows."""
    signal = np.random.default_rng(5).normal(size=(store.n_sessions, store.n_assets))
    values = np.random.default_rng(6).normal(size=(*signal.shape, WIDTH)).astype(np.float32)
    values[..., 2] = signal
    scale = np.nan_to_num(store.columns["vol_21d"], nan=0.2)
    labels = {
        name: Label(np.where(np.isfinite(label.values), 0.3 * scale * signal, np.nan), label.known_at)
        for name, label in store.labels.items()
        if label.values.ndim == 2  # not those of the market as a whole
    }
    return replace(store, labels=labels), embeddings(store, values)


@pytest.mark.parametrize("variant", ["anchored", "network"])
def test_a_planted_signal_is_learned_and_rated_reliable(store: MarketStore, variant: str) -> None:
    market, given = planted(store)
    module = replace(MODULE, epochs=15, patience=15, learning_rate=1e-2, variant=variant)  # type: ignore[arg-type]
    candidates = fitted(market, module, given)
    best = module.select(candidates, None)
    assert best.variant == variant
    assert best.summary["network_beats_anchor_on_holdout"] is True
    assert best.summary["holdout_trend_ic"] > 0.5  # type: ignore[operator]
    said = answered(chosen(candidates, variant), market, answers=given)
    assert np.nanmax(said.outputs["trend_reliability"]) == 1.0


def test_the_label_of_the_holdout_and_beyond_never_reaches_the_fit(store: MarketStore) -> None:
    """Outcomes known only after the cut are not handed over; the fit cannot change with them."""
    after = TRAIN[-1] - 25
    labels = {
        name: Label(
            np.where(label.known_at[:, None] > store.decided_at[TRAIN[-1]], 9.0, label.values),
            label.known_at,
        )
        for name, label in store.labels.items()
    }
    assert (labels["forward_log_return_20d"].values[after + 10] == 9.0).all()
    module = replace(MODULE, epochs=1)
    one, other = (chosen(fitted(each, module)).state() for each in (store, replace(store, labels=labels)))
    for name, values in one.arrays.items():
        np.testing.assert_array_equal(other.arrays[name], values)


def test_purged_rows_do_not_teach(store: MarketStore) -> None:
    """The anchor must ignore outcomes of the sessions just before the hold-out, and of it."""
    n_held = round(0.15 * len(TRAIN))
    first = int(TRAIN[-n_held]) - 21
    changed = {}
    for name, label in store.labels.items():
        values = np.array(label.values)
        values[first:] *= -3.0
        changed[name] = Label(values, label.known_at)
    module = replace(MODULE, variant="anchor")
    one, other = (
        chosen(fitted(each, module), "anchor").state().arrays["anchor.0.coefficients"]
        for each in (store, replace(store, labels=changed))
    )
    np.testing.assert_array_equal(one, other)


def test_one_day_any_days_and_fewer_assets_say_the_same(
    analyst: FittedTechnicalAnalyst, store: MarketStore, answers: Answers
) -> None:
    given, assets = embeddings(store), store.assets_until(0, 479)
    days = np.array([130, 240, 241, 455])
    some = answered(analyst, store, days)
    alone = analyst.predict_many(store.span(days, MODULE.reads, assets[1:2], given))
    one = predict(analyst, store.view(455, MODULE.reads, assets, given))
    for name, values in answers.outputs.items():
        np.testing.assert_array_equal(some.outputs[name], values[days - ALL[0]])
        np.testing.assert_array_equal(alone.outputs[name][:, 0], values[days - ALL[0], 1])
        np.testing.assert_array_equal(one.outputs[name], values[455 - ALL[0]])


def test_the_future_is_not_seen(analyst: FittedTechnicalAnalyst, store: MarketStore, answers: Answers) -> None:
    columns = dict(store.columns)
    for read in MODULE.reads[1:]:
        columns[read.column] = np.array(columns[read.column])
        columns[read.column][431:] = 0.9
    given = embeddings(store)[EMBEDDING]
    values = np.array(given.values)
    values[431:] = 5.0
    dirty = {EMBEDDING: replace(given, values=values)}
    said = answered(analyst, replace(store, columns=columns), answers=dirty)
    for name, clean in answers.outputs.items():
        np.testing.assert_array_equal(said.outputs[name][: 431 - ALL[0]], clean[: 431 - ALL[0]])


@pytest.mark.parametrize("variant", ["anchored", "anchor", "network"])
def test_fitting_twice_and_restoring_give_the_same_answers(store: MarketStore, variant: str) -> None:
    module = replace(MODULE, variant=variant, epochs=2)  # type: ignore[arg-type]
    first, again = (chosen(fitted(store, module), variant) for _ in range(2))
    for name, values in first.state().arrays.items():
        np.testing.assert_array_equal(again.state().arrays[name], values)
    restored = module.restore(first.state())
    whole, back = answered(first, store), answered(restored, store)
    for name, values in whole.outputs.items():
        np.testing.assert_array_equal(back.outputs[name], values)


def test_attention_is_a_distribution_over_known_steps(analyst: FittedTechnicalAnalyst, store: MarketStore) -> None:
    given = embeddings(store)[EMBEDDING]
    values = np.array(given.values)
    values[445, 0] = np.nan
    said = answered(analyst, store, np.array([450]), {EMBEDDING: replace(given, values=values)})
    assert said.known[0, 0]
    weights = said.outputs["attention"][0, 0]
    assert weights.sum() == pytest.approx(1.0, abs=1e-4)
    np.testing.assert_array_equal(np.flatnonzero(weights == 0.0), [24])


def test_reasons(analyst: FittedTechnicalAnalyst, store: MarketStore) -> None:
    given = embeddings(store)[EMBEDDING]
    values = np.array(given.values)
    values[450, 0] = np.nan
    values[430:440, 1] = np.nan
    volatility = np.array(store.columns["vol_21d"])
    volatility[450, 2] = np.nan
    holed = replace(store, columns={**store.columns, "vol_21d": volatility})
    said = answered(analyst, holed, np.array([65, 450]), {EMBEDDING: replace(given, values=values)})
    assert said.reason[0, 5] == Reason.NOT_A_MEMBER
    assert said.reason[1, 0] == Reason.UPSTREAM_UNKNOWN
    assert said.reason[1, 1] == Reason.WARM_UP
    assert said.reason[1, 2] == Reason.INPUT_MISSING


def test_scores_take_the_scale_of_the_out_of_fold_answers(
    analyst: FittedTechnicalAnalyst, store: MarketStore, answers: Answers
) -> None:
    frozen = analyst.with_reference(answers)
    said = answered(frozen, store)
    known = said.known
    assert said.outputs["trend_score"][known].mean() == pytest.approx(0.5, abs=1e-6)
    assert said.outputs["momentum_score"][known].mean() == pytest.approx(0.0, abs=1e-6)
    np.testing.assert_array_equal(said.outputs["trend_raw"], answers.outputs["trend_raw"])
    back = answered(MODULE.restore(frozen.state()), store)
    np.testing.assert_array_equal(back.outputs["trend_score"], said.outputs["trend_score"])


def test_the_timing_rule_follows_its_table() -> None:
    store = tiny_store(120, 2)
    columns = dict(store.columns)
    for name, row in {
        "macd_hist": [0.0, 9.0, 0.0, 0.0],
        "rsi_14": [50.0, 50.0, 20.0, 80.0],
        "price_pos": [0.5, 0.5, 0.6, 0.4],
    }.items():
        columns[name] = np.tile(np.array(row)[:, None], (30, 2))
    span = replace(store, columns=columns).span(np.arange(100, 104), MODULE.reads, np.arange(2), embeddings(store))
    rule = TimingRule(median=0.0, spread=1.0)
    np.testing.assert_allclose(rule.score(span)[:, 0], [0.5, 1 / (1 + np.exp(-3)), 1.0, 0.0])
    with pytest.raises(TrainingError, match="observed MACD"):
        TimingRule.fit(np.array([np.nan]))


@pytest.mark.parametrize("variant", ["anchored", "anchor", "network"])
def test_summaries(store: MarketStore, variant: str) -> None:
    module = replace(MODULE, variant=variant, epochs=1)  # type: ignore[arg-type]
    analyst = chosen(fitted(store, module), variant)
    said = answered(analyst, store)
    span = store.span(ALL, MODULE.reads, store.assets_until(0, 479), embeddings(store))
    texts = analyst.explain(span, said)
    assert f"{said.outputs['trend_score'][-1, 0]:.0%}" in texts[-1, 0]
    assert f"{said.outputs['momentum_score'][-1, 0]:+.2f}" in texts[-1, 0]
    assert ("indicators" in texts[-1, 0]) == (variant != "network")
    assert ("looked most" in texts[-1, 0]) == (variant != "anchor")
    for text in np.unique(texts[::5].astype(str)):
        assert text.isascii()
        assert "_" not in text
        assert 8 <= len(text.split()) <= 60


@pytest.mark.parametrize(
    "wrong",
    [{"cell": "rnn"}, {"variant": "best"}, {"hidden": 0}, {"min_sessions": 31}, {"ridge": 0.0}],
    ids=str,
)
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(PlanError):
        replace(MODULE, **wrong)  # type: ignore[arg-type]
