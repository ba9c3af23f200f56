"""The network of the regime module: a graph learned among the names of a day, and what it says of the market.

1. A perceptron, the same for every name, gives each name a query and a key. Their product and the pair's correlation in the
   latest snapshot make the weight of an edge, within (0, 1). Queries start at zero, so before training the graph is the
   measured one. Nothing knows a name: exchanging two exchanges their edges and changes no answer.
2. Seven properties describe the weights *before* any cut. With a fixed number of neighbours, density and degree would be
   constants (D-REG-01).
3. Each name hears its strongest neighbours, a share of the names that means the same in any market (D-REG-08), over two
   hops (torch_geometric's dense graph convolution, mixed with the name's own state as MTGNN's mix-hop does).
4. Mean and largest of the names' states, the properties and the market's state go through one hidden layer into residuals on
   the logs of the four chances and on the log-odds of a change. Both heads start at zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from glassbox_bt.market.regime_labels import REGIMES
from glassbox_bt.modules._training import Batch

__all__ = ["PROPERTIES", "RegimeNetwork", "RegimeSizes", "answered", "measured", "measured_weights", "regime_loss"]

PROPERTIES = (
    "graph_density",
    "avg_degree_norm",
    "std_degree_norm",
    "mean_edge_weight",
    "max_edge_weight",
    "graph_entropy",
    "learned_graph_stress",
)
STRONG = 0.5  # a weight above it counts as an edge of the threshold graph
FIRST_BIAS, FIRST_SLOPE = -2.0, 4.0  # before training: weight 0.5 at a correlation of 0.5, 0.17 at 0.1
KEPT = 0.5  # share of a name's own state in each hop


@dataclass(frozen=True, slots=True)
class RegimeSizes:
    """What the network is built from."""

    width: int  # of the embeddings
    state: int  # of the market's inputs, (value, known) pairs
    node: int  # of a name's hidden state
    graph: int  # of queries and keys
    classifier: int
    dropout: float
    share: float  # of the names that are neighbours
    fewest: int
    starts_at_zero: bool  # a residual on an anchor starts by saying nothing


class RegimeNetwork(nn.Module):
    """Names (B, N, width), correlations (B, N, N) and the state (B, k) -> residuals (B, 4), (B, 1), properties (B, 7)."""

    def __init__(self, sizes: RegimeSizes) -> None:
        from torch_geometric.nn import DenseGraphConv

        super().__init__()
        self.sizes = sizes
        self.node = nn.Sequential(nn.Linear(sizes.width, sizes.node), nn.GELU(), nn.Linear(sizes.node, sizes.node))
        self.query = nn.Linear(sizes.node, sizes.graph, bias=False)
        self.key = nn.Linear(sizes.node, sizes.graph, bias=False)
        nn.init.zeros_(self.query.weight)
        self.pair = nn.Parameter(torch.tensor([FIRST_BIAS, FIRST_SLOPE]))
        self.hops = nn.ModuleList(DenseGraphConv(sizes.node, sizes.node, aggr="add") for _ in range(2))
        hidden = 2 * sizes.node + len(PROPERTIES) + sizes.state
        self.trunk = nn.Sequential(
            nn.Linear(hidden, sizes.classifier), nn.LayerNorm(sizes.classifier), nn.GELU(), nn.Dropout(sizes.dropout)
        )
        self.regime = nn.Linear(sizes.classifier, len(REGIMES))
        self.change = nn.Linear(sizes.classifier, 1)
        if sizes.starts_at_zero:
            for head in (self.regime, self.change):
                nn.init.zeros_(head.weight)
                nn.init.zeros_(head.bias)

    def forward(self, names: Tensor, pairs: Tensor, valid: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Residuals of the four logs and of the log-odds of a change, properties, and weights (B, N, N)."""
        hidden, weights = self.graph(names, pairs, valid)
        said = properties(weights, valid, *neighbours(valid, self.sizes))
        regime, change = self.read(hidden, weights, said, valid, state)
        return regime, change, said, weights

    def graph(self, names: Tensor, pairs: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """States of the names, and the weight with which each (row) hears each other (column); 0 outside the day's names."""
        hidden = self.node(names)
        scores = self.query(hidden) @ self.key(hidden).transpose(-1, -2) / self.sizes.graph**0.5
        return hidden, torch.sigmoid(scores + self.pair[0] + self.pair[1] * pairs) * _others(valid)

    def read(self, hidden: Tensor, weights: Tensor, said: Tensor, valid: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """What the hops and the classifier make of a graph."""
        heard = strongest(weights, neighbours(valid, self.sizes)[1])
        start = hidden
        for hop in self.hops:
            hidden = KEPT * start + (1.0 - KEPT) * functional.gelu(hop(hidden, heard, valid))
        there = valid[..., None]
        mean = (hidden * there).sum(dim=1) / there.sum(dim=1).clamp(min=1)
        top = hidden.masked_fill(~there, torch.finfo(hidden.dtype).min).amax(dim=1) * there.any(dim=1)
        trunk = self.trunk(torch.cat([mean, top, said, state], dim=-1))
        return self.regime(trunk), self.change(trunk)


def neighbours(valid: Tensor, sizes: RegimeSizes) -> tuple[Tensor, Tensor]:
    """Names of each day, and how many of them a name hears, (B,) each."""
    count = valid.sum(dim=1)
    wanted = torch.ceil(sizes.share * count).to(count.dtype).clamp(min=sizes.fewest)
    return count, torch.minimum(wanted, (count - 1).clamp(min=1))


def strongest(weights: Tensor, most: Tensor) -> Tensor:
    """The largest weights of each row, shared out to add up to 1; equals of the last one stay too."""
    ordered = weights.detach().sort(dim=-1, descending=True).values
    place = (most - 1).clamp(max=weights.shape[-1] - 1)[:, None, None].expand(-1, weights.shape[1], 1)
    kept = weights * (weights >= ordered.gather(-1, place))
    return kept / kept.sum(dim=-1, keepdim=True).clamp(min=1e-12)


def properties(weights: Tensor, valid: Tensor, count: Tensor, most: Tensor) -> Tensor:
    """In the order of `PROPERTIES`, (B, 7); all within [0, 1] and 0 for an empty day.

    Density is the share of pairs with a weight over 0.5; mean degree the mean weight of each name's strongest neighbours;
    its spread that of the mean weight with which names are heard; entropy that of a name's weights over its largest possible
    value, averaged over names.
    """
    n = count.clamp(min=2).to(weights.dtype)
    pairs = n * (n - 1.0)
    mean = weights.sum(dim=(1, 2)) / pairs
    density = (weights > STRONG).sum(dim=(1, 2)).to(weights.dtype) / pairs
    ordered = weights.sort(dim=-1, descending=True).values
    within = torch.arange(weights.shape[-1], device=weights.device)[None, None, :] < most[:, None, None]
    degree = (ordered * within).sum(dim=(1, 2)) / (n * most.clamp(min=1))
    received = weights.sum(dim=1) / (n - 1.0)[:, None]
    spread = ((received - mean[:, None]) ** 2 * valid).sum(dim=1) / n
    share = weights / weights.sum(dim=-1, keepdim=True).clamp(min=1e-12)
    disorder = -(share * torch.log(share.clamp(min=1e-12))).sum(dim=(1, 2)) / (n * torch.log((n - 1.0).clamp(min=2.0)))
    stress = 0.5 * density + 0.5 * mean
    columns = [density, degree, torch.sqrt(spread + 1e-12), mean, weights.amax(dim=(1, 2)), disorder, stress]
    return torch.stack(columns, dim=-1)


def regime_loss(network: nn.Module, batch: Batch) -> Tensor:
    """Log loss of the regime plus that of a change (D-REG-02); unknown outcomes do not count, no class weights.

    Weights would pull the chances away from what came, and rules compare them with fixed thresholds.
    """
    regime, change, _, _ = answered(network, batch)
    wanted, changed = batch["regime"], batch["changed"]  # codes and 0 or 1, NaN where unknown
    known, seen = torch.isfinite(wanted), torch.isfinite(changed)
    logs = functional.log_softmax(batch["anchor"] + regime, dim=-1)
    picked = logs.gather(1, torch.where(known, wanted, 0.0).long()[:, None])[:, 0]
    odds = batch["anchor_change"] + change[:, 0]
    crossed = functional.binary_cross_entropy_with_logits(odds, torch.where(seen, changed, 0.0), reduction="none")
    loss: Tensor = -(picked * known).sum() / known.sum().clamp(min=1) + (crossed * seen).sum() / seen.sum().clamp(min=1)
    return loss


def measured(batch: Batch) -> Tensor:
    """Properties (B, 7) of the graph as it was measured; the mean degree is over all other names."""
    count = batch["valid"].sum(dim=1)
    return properties(measured_weights(batch), batch["valid"], count, (count - 1).clamp(min=1))


def measured_weights(batch: Batch) -> Tensor:
    """What an untrained network makes of the measured correlations, (B, N, N)."""
    return torch.sigmoid(FIRST_BIAS + FIRST_SLOPE * batch["pairs"]) * _others(batch["valid"])


def _others(valid: Tensor) -> Tensor:
    """Pairs of two different names of the day, (B, N, N)."""
    own = torch.eye(valid.shape[1], dtype=torch.bool, device=valid.device)
    return valid[:, :, None] & valid[:, None, :] & ~own


def answered(network: nn.Module, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Residuals, properties and weights."""
    regime, change, said, weights = network(batch["names"], batch["pairs"], batch["valid"], batch["state"])
    return regime, change, said, weights
