"""Explanations of the contagion network beyond its weights, each on a seeded sample (D-XAI-01, D-STM-07).

* `permutation_test`: are the neighbours used at all? Their weights are handed to other names; if that does not lower average
  precision, whatever the network says does not come from who its neighbours are.
* `edge_importance`: gradient of a row's log-odds by each weight, times the weight.
* `explained_rows`: torch_geometric's GNNExplainer with a mask on edges, not on names: which few carry a row's residual.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from glassbox_bt.modules._anchor import RankScale
from glassbox_bt.modules._blocks import deterministic, to_batch
from glassbox_bt.modules._contagion_calibration import average_precision
from glassbox_bt.modules._contagion_inputs import Panel
from glassbox_bt.modules._contagion_network import ContagionNetwork
from glassbox_bt.modules._contagion_rows import DayRows, Graphs
from glassbox_bt.types import AnyArray, BoolArray, FloatArray, IntArray

__all__ = [
    "MOST_AS_GOOD",
    "EdgeImportance",
    "ExplainedRow",
    "PermutationTest",
    "edge_importance",
    "explained_rows",
    "permutation_test",
    "stratified_rows",
]

KEPT_SHARE = 0.2  # of the edges that an explanation may keep (spec 25.5: sparsity < 20 %)
MOST_AS_GOOD = 0.1  # share of orders of the neighbours that may do as well as the real one
DAYS = 32  # days in one step of the permutation test
PARTS, DECILES = 4, 10  # strata of a sample: quarters of the days, deciles of the score


@dataclass(frozen=True, slots=True)
class PermutationTest:
    """Average precision by horizon with the neighbours as they are, and with shuffled ones.

    ``p_value`` is the share of orders, the real one counted, that do as well as it on the horizon where they stand out most
    (maximum of the standardised precisions); 1 where no horizon has two kinds of outcome.
    """

    actual: FloatArray  # (horizons,)
    shuffled: FloatArray  # (n_shuffles, horizons)
    p_value: float

    @property
    def uses_structure(self) -> bool:
        """Whether shuffling hurts: no more than one order in ten does as well."""
        return self.p_value <= MOST_AS_GOOD


@dataclass(frozen=True, slots=True, eq=False)
class EdgeImportance:
    """What moves one row's log-odds: by edge, and by the name whose window it is (positions in the panel).

    ``edges`` are gradient times weight of each influence on the row's own name; ``nodes`` gradient times input, summed over
    each name's window, so they include what arrives by detours.
    """

    day: int
    asset: int
    sources: IntArray
    weights: FloatArray
    edges: FloatArray
    nodes: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class ExplainedRow:
    """The edges that carry one row's residual (positions in the panel), by GNNExplainer.

    Parameters
    ----------
    source, target : IntArray
        Edges of the day.
    mask : FloatArray
        Importance of each edge in [0, 1].
    residual, kept, without : float
        Log-odds that the network adds with all edges, with the fifth of them that have the largest masks, and with none.
    stability : float
        Cosine between the masks of two runs from different starts.
    """

    day: int
    asset: int
    source: IntArray
    target: IntArray
    mask: FloatArray
    residual: float
    kept: float
    without: float
    stability: float


def stratified_rows(score: FloatArray, known: BoolArray, n_rows: int, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
    """Days and names of a sample, drawn evenly from quarters of the days and deciles of the score.

    Parameters
    ----------
    score, known : FloatArray, BoolArray
        (n_days, n_assets).
    """
    day, asset = np.nonzero(known)
    if len(day) == 0:
        return day, asset
    part = np.searchsorted(np.quantile(day, np.arange(1, PARTS) / PARTS), day, side="left")
    decile = (DECILES * RankScale.of(score[known]).rank(score[known])).astype(np.int64).clip(max=DECILES - 1)
    shuffled = rng.permutation(len(day))
    stratum = (part * DECILES + decile)[shuffled]
    order = np.argsort(stratum, kind="stable")
    turn = np.zeros(len(day), dtype=np.int64)  # the how-manieth of its stratum
    starts = np.flatnonzero(np.append(True, np.diff(stratum[order]) != 0))
    turn[order] = np.arange(len(day)) - np.repeat(starts, np.diff(np.append(starts, len(day))))
    drawn = np.sort(shuffled[np.lexsort((rng.permutation(len(day)), turn))[:n_rows]])
    return day[drawn], asset[drawn]


def permutation_test(
    network: ContagionNetwork,
    rows: DayRows,
    shuffles: int,
    rng: np.random.Generator,
    speaks: tuple[float, ...] = (1.0, 1.0, 1.0),
) -> PermutationTest:
    """Average precision with and without the right neighbours.

    Parameters
    ----------
    rows : DayRows
        Days to test on, with ``anchor`` (log-odds) and ``event`` among their extras.
    shuffles : int
        Orders to compare with.
    speaks : tuple of float
        1 for the horizons whose residual is used; the others cannot tell one order from another.
    """
    scores: list[list[FloatArray]] = [[] for _ in range(shuffles + 1)]
    events = []
    with deterministic("cpu"), torch.inference_mode():
        for start in range(0, len(rows), DAYS):
            given = rows.take(np.arange(start, min(start + DAYS, len(rows))), rng)
            batch = to_batch(given, "cpu")
            near = batch.get("near")
            weights = network.adjacency(batch["window"], batch["pairs"], batch["allowed"], near)
            usable = np.isfinite(given["anchor"][..., 0])
            events.append(given["event"].reshape(-1, given["event"].shape[-1]))
            for number in range(shuffles + 1):
                used = (weights, near) if number == 0 else _shuffled(weights, near, usable, rng)
                said = given["anchor"] + np.array(speaks) * network.respond(batch["window"], *used).numpy()
                scores[number].append(said.reshape(events[-1].shape))
    known = np.concatenate(events)
    precision = np.array([_precisions(np.concatenate(one), known) for one in scores])
    return PermutationTest(precision[0], precision[1:], _share_as_good(precision))


def _precisions(said: FloatArray, events: FloatArray) -> FloatArray:
    return np.array([average_precision(said[:, number], events[:, number]) for number in range(events.shape[1])])


def _share_as_good(precision: FloatArray) -> float:
    """Of the orders (rows, the real one first), those whose best standing is at least that of the first."""
    judged = precision[:, np.isfinite(precision).all(axis=0)]
    spread = judged.std(axis=0)
    standing = (judged - judged.mean(axis=0))[:, spread > 0.0] / spread[spread > 0.0]
    if standing.shape[1] == 0:
        return 1.0
    best = standing.max(axis=1)
    return float((best >= best[0]).mean())


def _shuffled(
    weights: Tensor, near: Tensor | None, usable: BoolArray, rng: np.random.Generator
) -> tuple[Tensor, Tensor | None]:
    """Weights handed to other usable names, the same exchange for everybody on a day; none to oneself."""
    other = np.broadcast_to(np.arange(usable.shape[1]), usable.shape).copy()
    for day, here in enumerate(usable):
        other[day, here] = rng.permutation(np.flatnonzero(here))
    place = torch.from_numpy(other)
    own = torch.arange(usable.shape[1])[None, :, None]
    if near is None:
        moved = weights.gather(-1, place[:, None, :].expand(-1, weights.shape[1], -1))
        kept = moved * (torch.arange(usable.shape[1])[None, None, :] != own)
        return kept / kept.sum(dim=-1, keepdim=True).clamp(min=1e-12), None
    there = place.gather(1, near.reshape(len(place), -1)).reshape(near.shape)
    kept = weights * (there != own)
    return kept / kept.sum(dim=-1, keepdim=True).clamp(min=1e-12), there


def edge_importance(
    network: ContagionNetwork, panel: Panel, graphs: Graphs, rows: tuple[IntArray, IntArray], horizon: int
) -> list[EdgeImportance]:
    """Gradients of some rows (days and names of the panel) for the head number ``horizon``."""
    found = []
    with deterministic("cpu"), torch.enable_grad():
        for day, asset in zip(*rows, strict=True):
            structure = graphs.found[int(graphs.of_day[day])]
            batch = _one_day(panel, graphs, int(day))
            window = batch["window"].requires_grad_()
            near = batch.get("near")
            weights = network.adjacency(batch["window"].detach(), batch["pairs"], batch["allowed"], near).detach()
            weights.requires_grad_()
            place = int(np.searchsorted(structure.nodes, asset))
            said = network.respond(window, weights, near)[0, place, horizon]
            by_weight, by_input = torch.autograd.grad(said, (weights, window))
            sources = np.arange(len(structure.nodes)) if structure.near is None else structure.near[place]
            used = batch["allowed"][0, place].numpy()
            found.append(
                EdgeImportance(
                    day=int(day),
                    asset=int(asset),
                    sources=structure.nodes[sources[used]],
                    weights=_numbers(weights[0, place])[used],
                    edges=_numbers((by_weight * weights)[0, place])[used],
                    nodes=_numbers((by_input * window)[0].sum(dim=(-1, -2))),
                )
            )
    return found


def explained_rows(
    network: ContagionNetwork, graphs: tuple[Panel, Graphs], rows: tuple[IntArray, IntArray], horizon: int, seed: int
) -> list[ExplainedRow]:
    """GNNExplainer on some rows (days and names of the panel); slow, about a second each."""
    panel, found = graphs
    out = []
    with deterministic("cpu"), torch.enable_grad():
        for day, asset in zip(*rows, strict=True):
            structure = found.found[int(found.of_day[day])]
            model = EdgeListNetwork(network, _one_day(panel, found, int(day)), horizon)
            place = int(np.searchsorted(structure.nodes, asset))
            masks = [model.masks(place, seed + run) for run in (0, 1)]
            out.append(_judged(model, masks, place, (int(day), int(asset), structure.nodes)))
    return out


class EdgeListNetwork(nn.Module):
    """One day's graph as a list of edges, which is the shape that torch_geometric explains.

    ``x`` (n, W · 3) and ``edge_index`` (2, n_edges; source, target) -> log-odds of one horizon (n, 1). The weights are those
    of the day; only messages along edges are masked.
    """

    def __init__(self, network: ContagionNetwork, day: dict[str, Tensor], horizon: int) -> None:
        from torch_geometric.nn import MessagePassing, SimpleConv

        super().__init__()
        self.network, self.horizon = network, horizon
        near = day.get("near")
        with torch.no_grad():
            weights = network.adjacency(day["window"], day["pairs"], day["allowed"], near)[0]
        target, slot = torch.nonzero(day["allowed"][0], as_tuple=True)
        self.edge_index = torch.stack([slot if near is None else near[0][target, slot], target])
        self.weight = weights[target, slot]
        self.window = day["window"][0]
        self.conv: MessagePassing = SimpleConv(aggr="add")
        self.eval()  # an explainer puts back the mode that it finds

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        def send(values: Tensor) -> Tensor:
            sent: Tensor = self.conv(values[0], edge_index, self.weight)
            return sent[None]

        window = x.reshape(1, *self.window.shape)
        return self.network.read(window, send)[0, :, self.horizon : self.horizon + 1]

    def masks(self, place: int, seed: int, epochs: int = 50) -> FloatArray:
        """Importance of each edge for the answer of one name, (n_edges,)."""
        from torch_geometric.explain import Explainer, GNNExplainer

        torch.manual_seed(seed)
        explainer = Explainer(
            self,
            algorithm=GNNExplainer(epochs=epochs),
            explanation_type="model",
            edge_mask_type="object",
            model_config={"mode": "regression", "task_level": "node", "return_type": "raw"},
        )
        said = explainer(self.window.flatten(1), self.edge_index, index=place)
        return _numbers(said.edge_mask)

    def given(self, place: int, edges: BoolArray) -> float:
        """The answer of one name when only some edges are there."""
        whole, kept = self.weight, torch.from_numpy(edges)
        try:
            self.weight = whole * kept
            with torch.no_grad():
                return float(self(self.window.flatten(1), self.edge_index)[place, 0])
        finally:
            self.weight = whole


def _judged(model: EdgeListNetwork, masks: list[FloatArray], place: int, row: tuple[int, int, IntArray]) -> ExplainedRow:
    day, asset, nodes = row
    mask = masks[0]
    edges = model.edge_index.numpy()
    n_kept = int(KEPT_SHARE * len(mask))
    kept: BoolArray = np.zeros(len(mask), dtype=bool)
    kept[np.argsort(-mask, kind="stable")[:n_kept]] = True
    length = float(np.linalg.norm(mask) * np.linalg.norm(masks[1]))
    return ExplainedRow(
        day=day,
        asset=asset,
        source=nodes[edges[0]],
        target=nodes[edges[1]],
        mask=mask,
        residual=model.given(place, np.ones(len(mask), dtype=bool)),
        kept=model.given(place, kept),
        without=model.given(place, np.zeros(len(mask), dtype=bool)),
        stability=float(mask @ masks[1]) / length if length > 0.0 else float("nan"),
    )


def _one_day(panel: Panel, graphs: Graphs, day: int) -> dict[str, Tensor]:
    rows = DayRows.of(panel, graphs, np.array([day]), {})
    return dict(to_batch(rows.take(np.array([0]), np.random.default_rng(0)), "cpu"))


def _numbers(values: Tensor) -> AnyArray:
    return values.detach().numpy().astype(np.float64)
