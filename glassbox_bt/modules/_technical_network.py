"""The recurrent network of the technical analyst: a residual on its anchors, and its loss."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from glassbox_bt.modules._training import Batch

__all__ = ["TechnicalNetwork", "TechnicalSizes", "answered", "smooth_l1"]


@dataclass(frozen=True, slots=True)
class TechnicalSizes:
    """What the network is built from."""

    width: int  # of an embedding
    n_heads: int
    cell: str  # "lstm" or "gru"
    hidden: int
    layers: int
    attention: int
    dropout: float
    starts_at_zero: bool  # a residual on an anchor starts by saying nothing


class TechnicalNetwork(nn.Module):
    """(B, T, width) embeddings -> (B, n_heads) and attention over the steps (B, T)."""

    def __init__(self, sizes: TechnicalSizes) -> None:
        super().__init__()
        cell = nn.LSTM if sizes.cell == "lstm" else nn.GRU
        self.recurrent = cell(
            sizes.width,
            sizes.hidden,
            num_layers=sizes.layers,
            batch_first=True,
            bidirectional=True,
            dropout=sizes.dropout if sizes.layers > 1 else 0.0,
        )
        self.score = nn.Sequential(
            nn.Linear(2 * sizes.hidden, sizes.attention),
            nn.Tanh(),
            nn.Linear(sizes.attention, 1, bias=False),
        )
        self.head = nn.Sequential(
            nn.LayerNorm(2 * sizes.hidden),
            nn.Dropout(sizes.dropout),
            nn.Linear(2 * sizes.hidden, sizes.hidden),
            nn.GELU(),
            nn.Dropout(sizes.dropout),
        )
        self.last = nn.Linear(sizes.hidden, sizes.n_heads)
        if sizes.starts_at_zero:
            nn.init.zeros_(self.last.weight)
            nn.init.zeros_(self.last.bias)

    def forward(self, window: Tensor) -> tuple[Tensor, Tensor]:
        """Steps without an embedding are all zeros; they get no attention."""
        states, _ = self.recurrent(window)  # (B, T, 2 hidden)
        blank = (window == 0.0).all(dim=-1)
        scores = self.score(states)[..., 0]
        weights = torch.softmax(scores.masked_fill(blank, torch.finfo(scores.dtype).min), dim=-1)
        pooled = (weights[..., None] * states).sum(dim=1)
        return self.last(self.head(pooled)), weights


def smooth_l1(network: nn.Module, batch: Batch) -> Tensor:
    """Sum over heads of the mean smooth-L1 error; unknown targets do not count."""
    residual, _ = network(batch["window"])
    target = batch["target"]  # (B, n_heads), NaN where unknown
    known = torch.isfinite(target)
    wanted = torch.where(known, target, 0.0)
    errors = functional.smooth_l1_loss(batch["anchor"] + residual, wanted, reduction="none")
    per_head = (errors * known).sum(dim=0) / known.sum(dim=0).clamp(min=1)
    return per_head.sum()


def answered(network: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Residuals and attention."""
    residual, weights = network(batch["window"])
    return residual, weights
