"""The network of fusion: one trunk, and heads that all start at zero."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["N_HEADS", "BranchFusion", "branch_weights"]

N_HEADS = 9  # branch weights 2, actions 3, signal, risk, side, multiplier


class BranchFusion(nn.Module):
    """Residuals of all heads from the scaled features and their flags.

    Parameters
    ----------
    n_inputs : int
        Features and flags.
    hidden, layers : int
        Width and number of hidden layers.
    dropout : float
        After each hidden layer.
    """

    def __init__(self, n_inputs: int, *, hidden: int, layers: int, dropout: float) -> None:
        super().__init__()
        steps: list[nn.Module] = []
        width = n_inputs
        for _ in range(layers):
            steps += [nn.Linear(width, hidden), nn.Tanh(), nn.Dropout(dropout)]
            width = hidden
        self.body = nn.Sequential(*steps)
        self.head = nn.Linear(width, N_HEADS)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """(n_rows, n_inputs) -> residuals (n_rows, 9)."""
        out: Tensor = self.head(self.body(inputs))
        return out


def branch_weights(prior: Tensor, residual: Tensor) -> Tensor:
    """Weights (n_rows, 2) around a prior; exactly 0 for a branch whose prior weight is 0."""
    there = prior > 0.0
    logits = torch.where(there, prior, 1.0).log() + residual
    logits = logits.masked_fill(~there, torch.finfo(logits.dtype).min)
    return torch.softmax(logits, dim=1) * there
