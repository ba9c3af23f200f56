"""The faults of the spec's register that concern the regime model: flagged when planted, silent on the corrected twin."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from glassbox_bt.market.regime_labels import REGIMES, RegimeRule
from glassbox_bt.market.store import MarketStore
from glassbox_bt.modules._blocks import to_batch
from glassbox_bt.modules._regime_fitted import per_day
from glassbox_bt.modules._regime_inputs import Panel
from glassbox_bt.modules._regime_network import (
    PROPERTIES,
    RegimeNetwork,
    RegimeSizes,
    answered,
    neighbours,
    properties,
    regime_loss,
    strongest,
)
from glassbox_bt.modules.risk.regime import MtgnnRegime
from glassbox_bt.types import FloatArray, Reason
from tests.modules.risk.regime_cases import CONTEXT, LATER, SMALL, TRAIN, below, candidates, fitted, span_of, tiny, train_of
from tests.modules.risk.regime_cases import answered as answers_of

MODULE = MtgnnRegime(**SMALL)
N_NAMES = 12


def network(share: float = 0.2, fewest: int = 2, seed: int = 0) -> RegimeNetwork:
    torch.manual_seed(seed)
    sizes = RegimeSizes(5, 6, 8, 4, 8, 0.0, share, fewest, starts_at_zero=False)
    made = RegimeNetwork(sizes)
    torch.nn.init.normal_(made.query.weight)
    return made.eval()


def days(n_days: int = 40, seed: int = 0) -> dict[str, Tensor]:
    """Names whose correlation differs from day to day."""
    rng = np.random.default_rng(seed)
    level = rng.uniform(0.0, 0.9, n_days)[:, None, None]
    pairs = np.clip(level + 0.1 * rng.standard_normal((n_days, N_NAMES, N_NAMES)), -1.0, 1.0)
    pairs = (pairs + pairs.transpose(0, 2, 1)) / 2.0
    return to_batch(
        {
            "names": rng.standard_normal((n_days, N_NAMES, 5)).astype(np.float32),
            "pairs": pairs.astype(np.float32),
            "valid": np.ones((n_days, N_NAMES), dtype=bool),
            "state": rng.standard_normal((n_days, 6)).astype(np.float32),
            "anchor": np.log(np.full((n_days, 4), 0.25, dtype=np.float32)),
            "anchor_change": np.zeros(n_days, dtype=np.float32),
            "regime": rng.integers(0, 4, n_days).astype(np.float32),
            "changed": rng.integers(0, 2, n_days).astype(np.float32),
        },
        "cpu",
    )  # type: ignore[return-value]


# D-REG-01


def carries_nothing(values: FloatArray) -> bool:
    """A statistic that is the same on every day."""
    return bool(values.std() < 1e-6)


def test_d_reg_01_graph_statistics_after_a_fixed_cut_are_caught() -> None:
    made, batch = network(), days()
    with torch.no_grad():
        _, weights = made.graph(batch["names"], batch["pairs"], batch["valid"])
        count, most = neighbours(batch["valid"], made.sizes)
        kept = (strongest(weights, most) > 0.0).float()
        faulty = {"density": kept.mean(dim=(1, 2)), "degree": kept.sum(dim=-1).mean(dim=-1) / (N_NAMES - 1)}
        honest = properties(weights, batch["valid"], count, most)
    for name, values in faulty.items():
        assert carries_nothing(values.numpy()), name
    for place, name in enumerate(PROPERTIES):
        assert not carries_nothing(honest[:, place].numpy()), name


def test_d_reg_01_in_the_answers_they_move_too() -> None:
    answers = answers_of(fitted("network"))
    assert not [name for name in PROPERTIES if carries_nothing(per_day(answers, name))]


# D-REG-02


def test_d_reg_02_a_change_head_without_a_loss_is_caught() -> None:
    made, batch = network(), days()

    def is_trained(loss: Tensor) -> bool:
        made.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        gradient = made.change.weight.grad
        return gradient is not None and bool(gradient.abs().sum() > 0.0)

    planted = dict(batch)
    planted["changed"] = torch.full_like(batch["changed"], torch.nan)  # the source: no target, no loss
    assert not is_trained(regime_loss(made, planted))
    assert is_trained(regime_loss(made, batch))


def test_d_reg_02_the_chance_of_a_change_is_learned_from_changes() -> None:
    """Where the rule names a new regime every few sessions, and where it never does."""
    often, never = (changing(period) for period in (5, 10_000))
    chances = []
    for store in (often, never):
        module = MtgnnRegime(**SMALL, variant="anchor")
        view = store.train_view(TRAIN, module.reads, module.learns_from, np.arange(store.n_assets))
        one = module.fit(view, CONTEXT)[0].fitted
        answers = one.predict_many(store.span(LATER, module.reads, np.arange(store.n_assets)))
        chances.append(float(np.nanmean(answers.outputs["transition_probability"])))
    assert chances[0] > 0.8
    assert chances[1] < 0.3


def changing(period: int) -> MarketStore:
    store = tiny()
    wild = (np.arange(store.n_sessions) // period) % 2
    vol = np.where(wild == 1, 0.5, 0.1)
    quiet = {name: np.zeros(store.n_sessions) for name in ("market_drawdown_63d", "graph_density_30d")}
    quiet["graph_density_30d"] = 0.5 + 1e-3 * np.sin(np.arange(store.n_sessions))
    return replace(store, columns={**store.columns, **quiet, "market_vol_21d": vol})


# D-REG-05


def test_d_reg_05_positions_of_a_filtered_table_are_caught() -> None:
    """Names that are left out must not hand their embeddings to those after them."""
    store = tiny()
    member = store.columns["member"].copy()
    member[:, 1] = False
    store = replace(store, columns={**store.columns, "member": member})
    span = span_of(store, MODULE)
    panel = Panel.of(span, MODULE.look)
    given = below(store, MODULE)["temporal_encoder.embedding"].values[LATER]
    nodes = np.flatnonzero(panel.node[10])
    assert 1 not in nodes

    def belongs(picked: FloatArray) -> bool:
        return bool(np.array_equal(picked, given[10, nodes], equal_nan=True))

    assert belongs(panel.embedding[10, nodes])
    assert not belongs(given[10][np.arange(len(nodes))])  # the fault: the n-th name left takes the n-th row


def test_d_reg_05_answers_do_not_depend_on_the_order_of_names() -> None:
    made, batch = network(), days(6)
    order = torch.from_numpy(np.random.default_rng(1).permutation(N_NAMES))
    moved = {**batch, "names": batch["names"][:, order], "pairs": batch["pairs"][:, order][:, :, order]}
    with torch.no_grad():
        for one, other in zip(answered(made, batch)[:3], answered(made, moved)[:3], strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
        weights, shuffled = answered(made, batch)[3], answered(made, moved)[3]
    torch.testing.assert_close(weights[:, order][:, :, order], shuffled, atol=1e-5, rtol=1e-4)


def test_names_that_are_no_nodes_change_nothing() -> None:
    made, batch = network(), days(6)
    padded = dict(batch)
    padded["names"] = torch.cat([batch["names"], 7.0 * torch.ones(6, 4, 5)], dim=1)
    padded["pairs"] = torch.nn.functional.pad(batch["pairs"], (0, 4, 0, 4), value=0.9)
    padded["valid"] = torch.nn.functional.pad(batch["valid"], (0, 4), value=False)
    with torch.no_grad():
        for one, other in zip(answered(made, batch)[:3], answered(made, padded)[:3], strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


# D-REG-06


def test_d_reg_06_too_few_labelled_days_make_it_abstain() -> None:
    module = MtgnnRegime(**{**SMALL, "min_points": 250})
    (only,) = module.fit(train_of(tiny(), module, TRAIN[:81]), CONTEXT)
    assert only.summary["silent"] == "61 labelled train days, 250 are needed"  # as many as the source had
    answers = only.fitted.predict_many(span_of(tiny(), module))
    assert not answers.known.any()
    assert (answers.reason[tiny().member[LATER]] == Reason.TOO_FEW_OBSERVATIONS).all()
    enough = module.fit(train_of(tiny(), module), CONTEXT)[0]
    assert enough.summary["n_labelled_days"] == len(TRAIN) - 20
    assert enough.fitted.predict_many(span_of(tiny(), module)).known.any()


# D-REG-07


def test_d_reg_07_a_target_that_is_a_formula_of_the_inputs_is_caught() -> None:
    """Today's regime can be told from today's measures without an error; the regime that is scored cannot."""
    view = train_of(tiny(), MODULE)
    panel = Panel.of(view, MODULE.look)
    rule = RegimeRule.fit(panel.measures[panel.answerable])
    now = rule.codes(panel.measures)
    ahead = fitted("anchor").outcomes(view.labels)

    def is_a_formula(target: FloatArray) -> bool:
        known = np.isfinite(target)
        return bool((target[known] == rule.codes(panel.measures)[known]).mean() > 0.999)

    assert is_a_formula(now)
    assert not is_a_formula(ahead)
    assert np.isnan(ahead[-20:]).all()  # and it is not known at the cut


# D-REG-08


@pytest.mark.parametrize(("n_names", "expected"), [(768, 21), (2500, 66), (20, 5)])
def test_d_reg_08_neighbours_are_a_share_of_the_names(n_names: int, expected: int) -> None:
    valid = torch.ones(1, n_names, dtype=torch.bool)
    default = MtgnnRegime().network(4).sizes
    assert int(neighbours(valid, default)[1]) == expected


def test_d_reg_08_a_fixed_number_of_neighbours_is_caught() -> None:
    """The share of names that a name hears must not depend on the size of the market it was tuned on."""
    default = MtgnnRegime().network(4).sizes

    def differs(heard: list[int]) -> bool:
        return abs(heard[0] / 768 - heard[1] / 2500) > 0.002

    assert differs([66, 66])
    ours = [int(neighbours(torch.ones(1, n, dtype=torch.bool), default)[1]) for n in (768, 2500)]
    assert not differs(ours)


# D-REG-09


def test_d_reg_09_the_first_days_of_a_split_go_on_with_the_last_snapshot() -> None:
    whole = answers_of(fitted())
    for first in (3, 11, 18):  # somewhere between two snapshots
        part = answers_of(fitted(), LATER[first:])
        assert part.known[0].any()
        for name, values in part.outputs.items():
            np.testing.assert_array_equal(values, whole.outputs[name][first:], err_msg=name)


def test_d_reg_09_snapshots_that_start_with_the_split_are_caught() -> None:
    """The planted fault forgets everything before the split: its first twenty-nine days know nothing."""
    store = tiny()
    forgotten = {
        name: np.where(np.arange(store.n_sessions) < LATER[0] + 29, np.nan, values)
        for name, values in store.columns.items()
        if name.startswith("graph_")
    }
    faulty = answers_of(fitted(), store=replace(store, columns={**store.columns, **forgotten}))
    assert not faulty.known[:29].any()
    assert answers_of(fitted()).known[:29].any(axis=1).all()


def test_every_candidate_names_its_regimes_in_the_same_order() -> None:
    for one in candidates():
        answers = answers_of(one.fitted)  # type: ignore[arg-type]
        likely = np.stack([per_day(answers, f"prob_{name}") for name in REGIMES], axis=-1).argmax(axis=1)
        np.testing.assert_array_equal(likely, per_day(answers, "regime_label"))
