from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from glassbox_bt.modules._contagion_explain import (
    EdgeListNetwork,
    ExplainedRow,
    _one_day,
    edge_importance,
    explained_rows,
    permutation_test,
    stratified_rows,
)
from glassbox_bt.modules._contagion_inputs import Panel
from glassbox_bt.modules._contagion_network import ContagionNetwork, answered, spread
from glassbox_bt.modules._contagion_rows import DayRows, Graphs
from glassbox_bt.modules.risk.contagion import StemGnnContagion
from glassbox_bt.types import AnyArray, BoolArray, FloatArray, IntArray
from tests.modules.risk.contagion_cases import SMALL, fitted, graph_of, shape, span_of, tiny
from tests.modules.risk.contagion_cases import answered as asked

HORIZON = 1
LAYOUTS = {"table": shape(fewest=4), "lists": shape(fewest=4, dense_up_to=0)}


def network() -> ContagionNetwork:
    found = fitted("network").network
    assert found is not None
    return found


@dataclass(frozen=True)
class NeighbourReader:
    """Answers with its neighbours' latest tail losses and nothing else: what it says is known exactly."""

    weigh: ContagionNetwork
    strength: float = 1.0

    def adjacency(self, window: Tensor, pairs: Tensor, allowed: Tensor, near: Tensor | None) -> Tensor:
        return self.weigh.adjacency(window, pairs, allowed, near)

    def respond(self, window: Tensor, weights: Tensor, near: Tensor | None) -> Tensor:
        felt = spread(weights, window[..., -5:, 2].sum(dim=-1, keepdim=True), near)
        return felt.expand(-1, -1, 3) * self.strength


# Samples


def test_a_sample_is_drawn_from_all_days_names_and_risks_d_xai_01() -> None:
    rng = np.random.default_rng(0)
    score = rng.random((100, 30))
    known = rng.random(score.shape) < 0.9
    day, asset = stratified_rows(score, known, 80, np.random.default_rng(3))
    assert len(day) == 80
    assert known[day, asset].all()
    assert stratified(day, asset, score)
    first, names = np.nonzero(known)
    assert not stratified(first[:80], names[:80], score)  # the fault: the first rows of the table
    again = stratified_rows(score, known, 80, np.random.default_rng(3))
    np.testing.assert_array_equal(np.stack(again), np.stack([day, asset]))


def stratified(day: AnyArray, asset: AnyArray, score: FloatArray) -> bool:
    """Every quarter of the days and every tenth of the scores has its share."""
    quarters = np.bincount(np.asarray(day) * 4 // len(score), minlength=4)
    tenths = np.bincount((score[day, asset] * 10).astype(int), minlength=10)
    return bool(quarters.min() >= len(day) // 5 and tenths.min() >= len(day) // 20)


def test_d_stm_05_a_sample_of_days_is_not_the_earliest() -> None:
    """What is tried out on a part of train must be drawn from all of it; the same sample serves."""
    known = np.ones((400, 5), dtype=bool)
    score = np.random.default_rng(0).random(known.shape)
    day, _ = stratified_rows(score, known, 100, np.random.default_rng(0))
    assert day.max() > 350
    assert np.median(day) == pytest.approx(200, abs=30)


def test_a_sample_of_nothing_is_empty() -> None:
    day, asset = stratified_rows(np.full((4, 3), np.nan), np.zeros((4, 3), dtype=bool), 5, np.random.default_rng(0))
    assert len(day) == len(asset) == 0


# Are the neighbours used?


def p_value_of(model: Any, events: FloatArray, panel_graphs: tuple[Panel, Graphs]) -> float:
    panel, graphs = panel_graphs
    extras = {"anchor": np.full((*panel.usable.shape, 3), -3.0), "event": np.where(panel.usable[..., None], events, np.nan)}
    rows = DayRows.of(panel, graphs, np.arange(len(panel)), extras)
    return permutation_test(model, rows, 19, np.random.default_rng(1)).p_value


@pytest.mark.parametrize("layout", ["table", "lists"])
def test_shuffled_neighbours_hurt_where_they_matter_and_only_there(layout: str) -> None:
    days = np.arange(340, 540)
    panel_graphs = panel, graphs = graph_of(tiny(), LAYOUTS[layout], days)
    reader = NeighbourReader(network())
    felt = np.full((*panel.usable.shape, 3), np.nan)
    rows = DayRows.of(panel, graphs, np.arange(len(panel)), {})
    batch = {name: torch.from_numpy(one) for name, one in rows.take(np.arange(len(panel)), np.random.default_rng(0)).items()}
    with torch.no_grad():
        weights = reader.adjacency(batch["window"], batch["pairs"], batch["allowed"], batch.get("near"))
        said = reader.respond(batch["window"], weights, batch.get("near")).numpy()
    for day, number in enumerate(graphs.of_day):
        nodes = graphs.found[number].nodes
        felt[day, nodes] = said[day, : len(nodes)]
    follows = np.greater(felt, np.nanquantile(felt, 0.9)).astype(float)
    assert p_value_of(reader, follows, panel_graphs) == pytest.approx(0.05)
    unrelated = [np.less(np.random.default_rng(seed).random(felt.shape), 0.1).astype(float) for seed in range(5)]
    assert np.median([p_value_of(reader, events, panel_graphs) for events in unrelated]) > 0.2


def test_a_network_that_says_nothing_uses_nothing() -> None:
    reader = NeighbourReader(network(), strength=0.0)
    panel_graphs = graph_of(tiny(), LAYOUTS["table"])
    events = (np.random.default_rng(0).random((*panel_graphs[0].usable.shape, 3)) < 0.2).astype(float)
    assert p_value_of(reader, events, panel_graphs) == 1.0


# Edges and names


@pytest.mark.parametrize("layout", ["table", "lists"])
def test_gradients_of_edges_and_names_match_differences(layout: str) -> None:
    panel, graphs = graph_of(tiny(), LAYOUTS[layout])
    day, asset = 30, 2
    (found,) = edge_importance(network(), panel, graphs, (np.array([day]), np.array([asset])), HORIZON)
    assert len(found.sources) == len(found.weights) == len(found.edges) == 4
    assert asset not in found.sources
    batch, model = _one_day(panel, graphs, day), network()
    structure = graphs.found[int(graphs.of_day[day])]
    place = int(np.searchsorted(structure.nodes, asset))
    near = batch.get("near")
    with torch.no_grad():
        weights = model.adjacency(batch["window"], batch["pairs"], batch["allowed"], near)
        slot = int(torch.nonzero(batch["allowed"][0, place])[1])
        step = torch.zeros_like(weights)
        step[0, place, slot] = 1e-2
        up, down = (model.respond(batch["window"], weights + sign * step, near)[0, place, HORIZON] for sign in (1, -1))
        slope = float((up - down) / 2e-2)
        assert found.edges[1] == pytest.approx(slope * found.weights[1], rel=0.05, abs=1e-5)
        for name in (asset, int(found.sources[0])):
            louder = torch.ones(1, len(structure.nodes), 1, 1)
            louder[0, int(np.searchsorted(structure.nodes, name))] += 1e-2
            windows = (batch["window"] * louder, batch["window"] * (2.0 - louder))
            up, down = (model.respond(window, weights, near)[0, place, HORIZON] for window in windows)
            assert found.nodes[name] == pytest.approx(float((up - down) / 2e-2), rel=0.05, abs=2e-4)


def test_edges_as_a_list_give_the_same_answers() -> None:
    """What torch_geometric explains is the network, not a copy of it."""
    for layout in LAYOUTS.values():
        panel, graphs = graph_of(tiny(), layout)
        batch, model = _one_day(panel, graphs, 20), network()
        with torch.no_grad():
            expected, _ = answered(model, batch)
            listed = EdgeListNetwork(model, batch, HORIZON)
            got = listed(listed.window.flatten(1), listed.edge_index)
        torch.testing.assert_close(got[:, 0], expected[0, :, HORIZON], atol=1e-5, rtol=1e-4)


@pytest.fixture(scope="module")
def explained() -> list[ExplainedRow]:
    panel, graphs = graph_of(tiny(), LAYOUTS["table"])
    return explained_rows(network(), (panel, graphs), (np.array([10, 40]), np.array([1, 3])), HORIZON, seed=4)


def test_d_stm_07_the_explainer_masks_edges_of_several_rows(explained: list[ExplainedRow]) -> None:
    assert len(explained) == 2
    for one in explained:
        assert one.mask.shape == one.source.shape == one.target.shape
        assert (one.source != one.target).all()
        assert ((one.mask >= 0.0) & (one.mask <= 1.0)).all()
        assert masks_edges(one.mask, one.source, one.target)
    masks_of_names = np.arange(8.0)[explained[0].source]  # the fault: one number per name, spread over its edges
    assert not masks_edges(masks_of_names, explained[0].source, explained[0].target)


def masks_edges(mask: AnyArray, source: IntArray, target: IntArray) -> bool:
    """Edges that share an end differ: no number per name explains the mask."""

    def alike(ends: IntArray) -> bool:
        return all(np.ptp(mask[ends == end]) < 1e-6 for end in np.unique(ends))

    return not alike(source) and not alike(target)


def test_an_explanation_says_what_it_leaves_out(explained: list[ExplainedRow]) -> None:
    panel, graphs = graph_of(tiny(), LAYOUTS["table"])
    for one in explained:
        kept: BoolArray = np.zeros(len(one.mask), dtype=bool)
        kept[np.argsort(-one.mask, kind="stable")[: len(one.mask) // 5]] = True
        listed = EdgeListNetwork(network(), _one_day(panel, graphs, one.day), HORIZON)
        place = int(np.searchsorted(graphs.found[int(graphs.of_day[one.day])].nodes, one.asset))
        assert listed.given(place, kept) == one.kept
        assert one.residual != one.without
        assert 0.0 < one.stability <= 1.0 + 1e-9
    assert not network().training  # an explainer leaves no dropout behind


def test_explainers_are_seeded(explained: list[ExplainedRow]) -> None:
    panel, graphs = graph_of(tiny(), LAYOUTS["table"])
    (again,) = explained_rows(network(), (panel, graphs), (np.array([10]), np.array([1])), HORIZON, seed=4)
    np.testing.assert_array_equal(again.mask, explained[0].mask)


def test_d_stm_07_it_is_opt_in_and_sampled() -> None:
    assert StemGnnContagion().explained == 0
    span = span_of(tiny(), StemGnnContagion(**SMALL))
    one, answers = fitted("network"), asked(fitted("network"))
    assert one.explained_rows(span, answers, np.random.default_rng(0)) == []
    found = replace(one, explained=2).explained_rows(span, answers, np.random.default_rng(0))
    assert len(found) == 2
    assert fitted("anchor").edge_importance(span, asked(fitted("anchor")), 5, np.random.default_rng(0)) == []
    edges = one.edge_importance(span, answers, 32, np.random.default_rng(0))
    assert len(edges) == 32
    assert len({each.day for each in edges}) > 10
