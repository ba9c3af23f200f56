"""The network of the news analyst: what the chunks of a document say together, and which of them it looks at."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from glassbox_bt.modules._news_targets import HEADS
from glassbox_bt.modules._training import Batch

__all__ = ["N_ATTENTION", "NewsNetwork", "NewsSizes", "head_losses", "loss"]

N_ATTENTION = 4  # heads, of the attention among chunks and of the one that pools them
LOSS_WEIGHTS = (1.0, 0.75, 0.75, 0.25, 0.25)  # by HEADS: fixed, never searched (D-NEWS-03)


@dataclass(frozen=True, slots=True)
class NewsSizes:
    """Widths (tokens and facts come from the data), dropout, and whether the residuals start at zero."""

    n_token: int
    n_facts: int
    width: int
    hidden: int
    narrow: int
    representation: int
    dropout: float
    starts_at_zero: bool


class NewsNetwork(nn.Module):
    """Chunks see one another once, are pooled by four heads, and a trunk reads the pool (spec §9).

    Attention is written out: no fast path that depends on the batch, and the weights are what is explained.
    """

    def __init__(self, sizes: NewsSizes) -> None:
        super().__init__()
        wide = sizes.width
        self.token = nn.Sequential(nn.Linear(sizes.n_token, wide), nn.LayerNorm(wide), nn.Tanh())
        self.facts = nn.Linear(sizes.n_facts, wide)
        self.mixed = nn.Linear(wide, 3 * wide)  # queries, keys, values
        self.out = nn.Linear(wide, wide)
        self.first_norm, self.second_norm = nn.LayerNorm(wide), nn.LayerNorm(wide)
        self.feed = nn.Sequential(nn.Linear(wide, 2 * wide), nn.Tanh(), nn.Dropout(sizes.dropout), nn.Linear(2 * wide, wide))
        self.drop = nn.Dropout(sizes.dropout)
        self.pool = nn.Linear(wide, N_ATTENTION)
        steps: list[nn.Module] = []
        before = wide
        for after in (sizes.hidden, sizes.narrow, sizes.representation):
            steps += [nn.Linear(before, after), nn.Tanh(), nn.Dropout(sizes.dropout)]
            before = after
        self.trunk = nn.Sequential(*steps)
        self.head = nn.Linear(before, len(HEADS))
        if sizes.starts_at_zero:
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)

    def forward(self, tokens: Tensor, mask: Tensor, facts: Tensor) -> tuple[Tensor, Tensor]:
        """Residuals (n, 5) and the pooling attention (n, length, 4), 0 where ``mask`` is 0."""
        n, length, _ = tokens.shape
        x = self.token(tokens) + self.facts(facts)[:, None, :]  # (n, length, width)
        wide = x.shape[-1]
        parts = self.mixed(x).reshape(n, length, 3, N_ATTENTION, wide // N_ATTENTION).permute(2, 0, 3, 1, 4)
        query, key, value = parts[0], parts[1], parts[2]  # (n, heads, length, width / heads)
        scores = query @ key.transpose(-1, -2) / float(query.shape[-1]) ** 0.5
        shares = torch.softmax(scores + _closed(mask)[:, None, None, :], dim=-1)
        seen = (shares @ value).transpose(1, 2).reshape(n, length, wide)
        x = self.first_norm(x + self.drop(self.out(seen)))
        x = self.second_norm(x + self.drop(self.feed(x)))
        weights = torch.softmax(self.pool(x) + _closed(mask)[:, :, None], dim=1) * mask[:, :, None]
        slices = x.reshape(n, length, N_ATTENTION, wide // N_ATTENTION)
        pooled = (weights[..., None] * slices).sum(dim=1).reshape(n, wide)
        residual: Tensor = self.head(self.trunk(pooled))
        return residual, weights


def _closed(mask: Tensor) -> Tensor:
    """What is added to a score: 0 for a chunk, next to minus infinity for padding."""
    return (1.0 - mask) * -1e9


def head_losses(z: Tensor, target: Tensor) -> Tensor:
    """Loss of each document and head, (n, 5), NaN where its outcome is not known.

    Squared error of the impact, ``tanh(z)``; cross-entropy of the shares and events, whose log-odds ``z`` are.
    """
    impact = (torch.tanh(z[:, :1]) - target[:, :1]) ** 2
    wanted = target[:, 1:]
    known = torch.isfinite(wanted)
    chance = functional.binary_cross_entropy_with_logits(z[:, 1:], torch.nan_to_num(wanted), reduction="none")
    return torch.cat([impact, chance.masked_fill(~known, torch.nan)], dim=1)


def loss(network: nn.Module, batch: Batch) -> Tensor:
    """Mean over the documents whose outcome is known, head by head, weighted as in spec §9."""
    residual, _ = network(batch["tokens"], batch["mask"], batch["facts"])
    each = head_losses(batch["offset"] + residual, batch["target"])
    known = torch.isfinite(each)
    mean = each.masked_fill(~known, 0.0).sum(dim=0) / known.sum(dim=0).clamp(min=1)
    return (mean * mean.new_tensor(LOSS_WEIGHTS)).sum()
