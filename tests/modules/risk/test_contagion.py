from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from glassbox_bt.errors import PlanError, TrainingError
from glassbox_bt.market.tail_labels import TAIL_LABELS
from glassbox_bt.modules._contagion_answers import SHOWN
from glassbox_bt.modules._contagion_calibration import average_precision, fit_calibration
from glassbox_bt.modules._contagion_fitted import OUTPUTS
from glassbox_bt.modules._contagion_network import answered as answers_of_network
from glassbox_bt.modules._contagion_rows import ask_days
from glassbox_bt.modules.base import predict
from glassbox_bt.modules.names import NOBODY, name_codes, names_of
from glassbox_bt.modules.risk.contagion import StemGnnContagion
from glassbox_bt.types import FloatArray, Reason
from glassbox_bt.walkforward.tables import answers_table
from tests.builders import tiny_store
from tests.modules.risk.contagion_cases import (
    CONTEXT,
    LATER,
    SMALL,
    TRAIN,
    answered,
    candidates,
    fitted,
    graph_of,
    shape,
    span_of,
    tiny,
    train_of,
)

MODULE = StemGnnContagion(**SMALL)
PROBABILITIES = tuple(name for name in OUTPUTS if name.startswith(("contagion", "own_history", "base_rate")))


def test_every_member_day_is_answered_up_to_the_last_defect_d_stm_01() -> None:
    store, answers = tiny(), answered(fitted())
    assert answers.known[-60:][store.member[LATER][-60:]].all()
    assert not answers.known[~store.member[LATER]].any()
    assert np.isnan(store.labels["tail_event_60d"].values[LATER[-60:]]).all()  # answers need no outcome
    assert len(np.unique(answers.outputs["contagion_20d_raw"][:, 0])) > 20  # a score of its own on every day


def test_ranges_and_what_belongs_together() -> None:
    answers = answered(fitted())
    assert set(answers.outputs) == set(OUTPUTS)
    for name in PROBABILITIES:
        values = answers.outputs[name][answers.known]
        assert values.min() >= 0.0, name
        assert values.max() <= 1.0, name
    influence = np.stack([answers.outputs[f"influence_{rank}"] for rank in range(1, SHOWN + 1)], axis=-1)[answers.known]
    assert (np.diff(influence, axis=-1) <= 0.0).all()
    np.testing.assert_allclose(influence.sum(axis=-1), 1.0, atol=1e-5)  # seven neighbours: all of them are shown
    raw = np.sum(
        [part * answers.outputs[f"contagion_{horizon}d_raw"] for part, horizon in ((0.2, 5), (0.4, 20), (0.4, 60))], axis=0
    )
    np.testing.assert_allclose(answers.outputs["contagion_risk_raw"][answers.known], raw[answers.known], atol=1e-6)


def test_influencers_are_other_names_and_the_rest_is_nobody() -> None:
    answers, tickers = answered(fitted()), tiny().tickers
    for rank in range(1, SHOWN + 1):
        named = names_of(answers.outputs[f"top_influencer_{rank}"], tickers)
        for asset, ticker in enumerate(tickers):
            here = named[answers.known[:, asset], asset]
            assert not (here == ticker).any()
            assert (here == "none").all() == (rank > len(tickers) - 1)
    codes = np.stack([answers.outputs[f"top_influencer_{rank}"] for rank in range(1, 8)], axis=-1)[answers.known]
    assert all(len(set(row)) == 7 for row in codes)


def test_the_anchor_names_no_neighbours() -> None:
    answers = answered(fitted("anchor"))
    assert not [name for name in answers.outputs if name.startswith(("top_", "influence", "neighbour"))]
    for horizon in (5, 20, 60):
        np.testing.assert_array_equal(answers.outputs[f"contagion_{horizon}d"], answers.outputs[f"own_history_{horizon}d"])


def test_the_anchor_stands_where_the_network_learned_nothing() -> None:
    """A residual starts at zero: before training the anchored module is its anchor."""
    still = fitted(learning_rate=1e-12, epochs=1)
    raw = answered(still).outputs
    for horizon in (5, 20, 60):
        np.testing.assert_allclose(raw[f"contagion_{horizon}d_raw"], raw[f"own_history_{horizon}d_raw"], atol=1e-6)
    assert still.structure_p == 1.0
    moved = answered(fitted("network")).outputs
    assert np.nanmax(np.abs(moved["contagion_20d_raw"] - moved["own_history_20d_raw"])) > 1e-3


def test_a_candidate_says_how_it_did_beside_its_anchor() -> None:
    chosen, bare = candidates()
    assert (chosen.variant, bare.variant) == ("anchored", "anchor")
    for name in ("holdout_5d_brier", "holdout_5d_average_precision", "holdout_5d_average_precision_passed_on"):
        assert bare.summary[name] == pytest.approx(chosen.summary[f"{name}_own_history"], nan_ok=True)
    assert chosen.summary["structure_p_value"] == fitted().structure_p
    assert set(chosen.summary["horizons_where_network_beats_anchor_on_holdout"]) <= {5, 20, 60}  # type: ignore[call-overload]
    assert [row["epoch"] for row in chosen.history] == [0.0, 1.0, 2.0]


def test_r7_too_few_names_make_it_abstain_and_say_so() -> None:
    module = StemGnnContagion(**{**SMALL, "min_names": 15})
    (only,) = module.fit(train_of(tiny(), module), CONTEXT)
    assert "15 names" in str(only.summary["silent"])
    back = module.restore(only.fitted.state())
    for one in (only.fitted, back):
        answers = one.predict_many(span_of(tiny(), module))
        assert not answers.known.any()
        member = tiny().member[LATER]
        usable = member & (answers.reason == Reason.INPUT_MISSING)
        assert usable.sum() > 0.9 * member.sum()
        assert set(answers.outputs) == set(OUTPUTS)
        texts = one.explain(span_of(tiny(), module), answers)
        assert texts[5, 0] == "No answer and no driver to name: a market input it needs is missing today."


def test_a_market_that_lost_its_names_before_train_ends_makes_it_abstain() -> None:
    store = tiny()
    returns = store.columns["log_return_1d"].copy()
    returns[TRAIN[-len(TRAIN) // 3] :, 2:] = np.nan
    thin = replace(store, columns={**store.columns, "log_return_1d": returns})
    (only,) = StemGnnContagion(**SMALL).fit(train_of(thin, StemGnnContagion(**SMALL)), CONTEXT)
    assert "at the end of train" in str(only.summary["silent"])
    assert not only.fitted.predict_many(span_of(store, StemGnnContagion(**SMALL))).known.any()


def test_a_day_with_too_few_names_is_not_answered() -> None:
    store = tiny()
    returns = store.columns["log_return_1d"].copy()
    returns[500:, 2:] = np.nan
    thin = replace(store, columns={**store.columns, "log_return_1d": returns})
    answers = answered(fitted(), store=thin)
    late = LATER >= 525
    assert not answers.known[late].any()
    assert (answers.reason[late][:, 0] == Reason.INPUT_MISSING).all()
    assert (answers.reason[late][:, 3] == Reason.TOO_FEW_OBSERVATIONS).all()
    assert answers.known[LATER < 500][:, 0].all()


def test_one_halt_does_not_silence_a_name_r18() -> None:
    store = tiny()
    returns = store.columns["log_return_1d"].copy()
    returns[500:504, 2] = np.nan
    answers = answered(fitted(), store=replace(store, columns={**store.columns, "log_return_1d": returns}))
    assert answers.known[LATER == 502][:, 2].all()


def test_without_outcomes_to_learn_from_it_refuses() -> None:
    module = StemGnnContagion(**SMALL)
    with pytest.raises(TrainingError, match="Lengthen the train part"):
        module.fit(train_of(tiny(), module, TRAIN[:20]), CONTEXT)


def test_members_that_are_unusable_influence_nobody() -> None:
    """Nonsense in the windows of a name that is no member changes no answer of the others."""
    store = tiny()
    member = store.columns["member"].copy()
    member[:, 5] = False
    returns = store.columns["log_return_1d"].copy()
    returns[:, 5] = 0.7 * np.random.default_rng(0).standard_normal(len(returns))
    without = replace(store, columns={**store.columns, "member": member})
    nonsense = replace(store, columns={**store.columns, "member": member, "log_return_1d": returns})
    one, other = (answered(fitted("network"), store=made) for made in (without, nonsense))
    for name, values in one.outputs.items():
        np.testing.assert_array_equal(values, other.outputs[name], err_msg=name)


def test_the_table_names_the_influencers() -> None:
    span, answers = span_of(tiny(), MODULE), answered(fitted())
    table = answers_table(MODULE, span, answers, fitted().explain(span, answers), tiny())
    known = table[table["known"]]
    assert set(known["top_influencer_1"]) <= set(tiny().tickers)
    assert (known["top_influencer_8"] == "none").all()
    assert table.loc[~table["known"], "top_influencer_1"].isna().all()
    first = known.iloc[0]
    assert f"{first['top_influencer_1']} {first['influence_1']:.0%}" in first["xai_summary"]
    assert f"{first['contagion_5d']:.1%} within 5" in first["xai_summary"]


def test_the_summary_admits_that_neighbours_are_not_used() -> None:
    span, answers = span_of(tiny(), MODULE), answered(fitted())
    admitted = "showed no use of neighbours"
    for p_value, says in ((1.0, True), (0.3, True), (0.05, False)):
        texts = replace(fitted(), structure_p=p_value).explain(span, answers)
        assert all((admitted in text) == says for text in texts[answers.known])


def test_weights_move_slowly_from_day_to_day() -> None:
    """Spec 16: on average by less than 0.1."""
    panel, graphs = graph_of(tiny(), shape())
    network = fitted("network").network
    assert network is not None
    for _, _, _, weights in ask_days(lambda batch: answers_of_network(network, batch), panel, graphs):
        if len(weights) > 1:
            assert np.abs(np.diff(weights, axis=0)).mean() < 0.1


def test_one_day_equals_many_days_for_a_sparse_graph_too() -> None:
    settings = {**SMALL, "dense_up_to": 0, "fewest_neighbours": 3, "variant": "network"}
    module = StemGnnContagion(**settings)
    one = next(each.fitted for each in candidates(dense_up_to=0, fewest_neighbours=3, variant="network"))
    many = one.predict_many(span_of(tiny(), module))
    for row in (0, 31, len(LATER) - 1):
        view = tiny().view(int(LATER[row]), module.reads, np.arange(tiny().n_assets))
        alone = predict(one, view)
        for name, values in alone.outputs.items():
            np.testing.assert_array_equal(values, many.outputs[name][row], err_msg=name)


# calibration


def drawn(probability: FloatArray, seed: int = 0) -> FloatArray:
    return (np.random.default_rng(seed).random(probability.shape) < probability).astype(np.float64)


def scores(n_days: int = 2000, n_names: int = 20) -> FloatArray:
    spread = np.random.default_rng(1).standard_normal((n_days, n_names))
    return 1.0 / (1.0 + np.exp(3.0 - spread))


@pytest.mark.parametrize("kind", ["platt", "isotonic"])
def test_inflated_probabilities_are_put_right_d_stm_06(kind: Any) -> None:
    """A positive weight of 50 shifts the log-odds by ln 50; calibration takes that back, the order stays."""
    honest = scores()
    inflated = 1.0 / (1.0 + np.exp(-(np.log(honest / (1.0 - honest)) + np.log(50.0))))
    event = drawn(honest)
    assert inflation(inflated, event) > 5.0  # the fault
    put_right = fit_calibration(inflated, event, 5, kind).apply(inflated)
    assert 0.9 < inflation(put_right, event) < 1.25  # prior belief keeps it a little above
    assert ((put_right - event) ** 2).mean() < 1.02 * ((honest - event) ** 2).mean()
    order = np.argsort(inflated.ravel())
    assert (np.diff(put_right.ravel()[order]) >= 0.0).all()


def inflation(probability: FloatArray, event: FloatArray) -> float:
    """How many times the events that came a forecast expects."""
    return float(probability.mean() / event.mean())


def test_probabilities_that_are_right_stay_as_they_are() -> None:
    honest = scores()
    moved = fit_calibration(honest, drawn(honest), 5, "platt").apply(honest)
    assert np.abs(moved - honest).max() < 0.03
    np.testing.assert_array_equal(fit_calibration(honest, drawn(honest), 5, "none").apply(honest), honest)


def test_a_short_sample_hardly_moves_them() -> None:
    """Forty days hold less than one outcome over sixty sessions that does not overlap with another."""
    honest = scores(40)
    none = np.zeros(honest.shape)
    none[0, 0] = 1.0
    few = fit_calibration(honest, none, 60, "platt").apply(honest)
    many = fit_calibration(scores(2000), np.tile(none, (50, 1)), 5, "platt").apply(honest)
    assert few.mean() > 0.8 * honest.mean()
    assert many.mean() < 0.1 * honest.mean()


def test_without_outcomes_calibration_is_the_identity() -> None:
    honest = scores(40)
    for event in (np.full(honest.shape, np.nan), np.zeros(honest.shape), np.ones(honest.shape)):
        np.testing.assert_allclose(fit_calibration(honest, event, 5, "platt").apply(honest), honest, atol=1e-12)


def test_recalibration_leaves_raw_probabilities_and_ranks_alone_r5() -> None:
    """What was learned on validation moves the calibrated probabilities and nothing that is ranked."""
    answers = answered(fitted())
    events = np.stack([drawn(0.5 * np.ones(answers.known.shape), seed) for seed in range(3)], axis=-1)
    after = answered(fitted().recalibrated(answers, events, "platt"))
    for name, values in answers.outputs.items():
        calibrated = name in {f"{what}_{horizon}d" for what in ("contagion", "own_history") for horizon in (5, 20, 60)}
        assert np.array_equal(values, after.outputs[name], equal_nan=True) != calibrated, name
    assert np.nanmean(after.outputs["contagion_5d"]) > np.nanmean(answers.outputs["contagion_5d"])


def test_average_precision_of_a_perfect_and_an_empty_score() -> None:
    event = drawn(scores(100))
    assert average_precision(event + 0.5, event) == 1.0
    assert average_precision(np.ones(event.shape), event) == pytest.approx(event.mean())
    assert np.isnan(average_precision(event, np.zeros(event.shape)))


# what validation decides


def test_validation_takes_the_variant_with_the_smaller_loss_r5() -> None:
    """A residual that says nonsense loses to its anchor; one that says nothing ties with it."""
    view = train_of(tiny(), MODULE, np.arange(420, 540, dtype=np.int64))
    bare, still = fitted("anchor"), replace(fitted(), speaks=(0.0, 0.0, 0.0))
    nonsense = replace(fitted("network"), own=bare.own, variant="anchored", speaks=(40.0, 40.0, 40.0))
    loss = MODULE.validation_loss(bare, view)
    assert loss == pytest.approx(MODULE.validation_loss(still, view))
    assert loss < MODULE.validation_loss(nonsense, view)
    event, said = view.labels["tail_event_5d"], bare.predict_many(view).outputs["contagion_5d_raw"]
    assert loss < np.log(2.0)
    assert np.isfinite(event * said).any()


def test_validation_without_an_outcome_has_no_loss() -> None:
    view = train_of(tiny(), MODULE, np.arange(537, 540, dtype=np.int64))
    assert np.isnan(MODULE.validation_loss(fitted("anchor"), view))


# names as numbers


def test_a_code_belongs_to_the_ticker_wherever_it_stands() -> None:
    one, other = ("AAPL", "MSFT", "BRK.B"), ("MSFT", "XOM", "BRK.B", "AAPL")
    codes = dict(zip(one, name_codes(one), strict=True))
    assert codes == {ticker: code for ticker, code in zip(other, name_codes(other), strict=True) if ticker in codes}
    given = np.array([[codes["BRK.B"], np.nan], [NOBODY, codes["AAPL"]]])
    assert names_of(given, other).tolist() == [["BRK.B", None], ["none", "AAPL"]]


def test_a_code_of_nobody_here_is_refused() -> None:
    from glassbox_bt.errors import ContractError

    with pytest.raises(ContractError, match="belongs to none of the 2 names"):
        names_of(name_codes(("XOM",)), ("AAPL", "MSFT"))


# settings


@pytest.mark.parametrize(
    "settings",
    [
        {"variant": "both"},
        {"calibration": "beta"},
        {"hidden": 0},
        {"terms": 1},
        {"shuffles": 8},
        {"dropout": 1.0},
        {"penalty": 0.0},
        {"window": 5},
        {"memory": 100},
        {"min_names": 1},
        {"neighbour_share": 0.0},
        {"fewest_neighbours": 0},
        {"explained": -1},
        {"epochs": 0},
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(PlanError):
        StemGnnContagion(**settings)


def test_the_defaults_are_the_sources_sizes() -> None:
    default = StemGnnContagion()
    assert (default.window, default.terms, default.blocks, default.multi) == (30, 4, 2, 13)
    assert (default.dropout, default.slope, default.batch_size, default.epochs) == (0.75, 0.2, 8, 100)
    assert default.learns_from[:3] == TAIL_LABELS
    n_parameters = sum(one.numel() for one in default.network().parameters())
    assert 1e5 < n_parameters < 2e6
    with torch.no_grad():
        window = torch.randn(1, 3, 30, 3)
        logits, _ = default.network()(window, torch.zeros(1, 3, 3, 4), torch.ones(1, 3, 3, dtype=torch.bool), None)
    assert (logits == 0.0).all()


def test_a_market_that_starts_late_is_in_warm_up_first() -> None:
    store = tiny_store(260, 6, seed=2)
    answers = fitted().predict_many(span_of(store, MODULE, np.arange(40, 260)))
    assert (answers.reason[:50][store.member[40:90]] == Reason.WARM_UP).all()
    assert answers.known[-1].all()
