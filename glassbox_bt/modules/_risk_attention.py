"""The network of the quantitative analyst: it sees risks only through what its attention pools (D-QNT-01)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["N_HEADS", "RiskAttention"]

N_HEADS = 3  # signal, downside event, side of the outcome


class RiskAttention(nn.Module):
    """Attention over risk slots in the light of the context, then an MLP that starts at zero.

    Parameters
    ----------
    n_risks, n_context : int
        Slots, and columns of the (scaled, with flags) context.
    attention, hidden, layers : int
        Widths of the attention and of the MLP, and the number of its hidden layers.
    dropout : float
        After each hidden layer.
    """

    def __init__(
        self,
        n_risks: int,
        n_context: int,
        *,
        attention: int,
        hidden: int,
        layers: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.randn(n_risks, attention))
        self.identity = nn.Parameter(torch.randn(n_risks, attention) / attention**0.5)
        self.context = nn.Linear(n_context, attention)
        self.score = nn.Linear(attention, 1, bias=False)
        steps: list[nn.Module] = []
        width = n_context + attention + 1
        for _ in range(layers):
            steps += [nn.Linear(width, hidden), nn.Tanh(), nn.Dropout(dropout)]
            width = hidden
        self.body = nn.Sequential(*steps)
        self.head = nn.Linear(width, N_HEADS)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, risks: Tensor, available: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Residuals (n, 3) and attention (n, n_risks), exactly 0 where ``available`` is 0."""
        slots = risks[:, :, None] * self.value + self.identity  # (n, n_risks, attention)
        scores = self.score(torch.tanh(slots + self.context(context)[:, None, :]))[:, :, 0]
        scores = scores.masked_fill(available == 0.0, torch.finfo(scores.dtype).min)
        weights = torch.softmax(scores, dim=1) * available  # all 0 where nothing is available
        pooled = (weights[:, :, None] * slots).sum(dim=1)  # (n, attention)
        risk = (weights * risks).sum(dim=1, keepdim=True)
        out: Tensor = self.head(self.body(torch.cat([context, pooled, risk], dim=1)))
        return out, weights
