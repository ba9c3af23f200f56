"""The Transformer of the temporal encoder, its masked loss, and what is asked of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from glassbox_bt.modules._training import Batch

__all__ = ["LONGEST", "EncoderNetwork", "EncoderSizes", "answered", "filled", "masked_loss"]

LONGEST = 90  # sessions for which there are positions


@dataclass(frozen=True, slots=True)
class EncoderSizes:
    """What the network is built from; every one of them alters it (D-ENC-03)."""

    n_features: int
    sessions: int
    width: int
    layers: int
    heads: int
    feed_forward: int
    dropout: float
    attention_dropout: float


class EncoderNetwork(nn.Module):
    """(B, T, 20) pairs -> steps (B, T, width), pooled (B, width), weights (B, T), decoded."""

    def __init__(self, sizes: EncoderSizes) -> None:
        super().__init__()
        width, n_features = sizes.width, sizes.n_features
        self.enter = nn.Linear(2 * n_features, width)
        self.blocks = nn.Sequential(*(_Block(sizes) for _ in range(sizes.layers)))
        self.leave = nn.LayerNorm(width)
        self.query = nn.Linear(width, 1, bias=False)
        self.from_steps = nn.Linear(width, n_features)
        self.from_pooled = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, n_features))
        self.dropout = nn.Dropout(sizes.dropout)
        self.register_buffer("positions", _positions(sizes.sessions, width), persistent=False)

    def forward(self, pairs: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        positions = self.get_buffer("positions")
        steps = self.dropout(self.enter(pairs) + positions)  # (B, T, width)
        steps = self.leave(self.blocks(steps))
        blank = pairs.chunk(2, dim=-1)[1].sum(dim=-1) == 0.0  # no data, or masked
        scores = self.query(steps)[..., 0] / math.sqrt(steps.shape[-1])
        weights = torch.softmax(scores.masked_fill(blank, torch.finfo(scores.dtype).min), dim=-1)
        pooled = (weights[..., None] * steps).sum(dim=1)  # (B, width)
        from_pooled = self.from_pooled(pooled[:, None] + positions)
        return pooled, weights, self.from_steps(steps), from_pooled


class _Block(nn.Module):
    """Pre-norm self-attention and feed-forward, written out: twice as fast as torch's layer."""

    def __init__(self, sizes: EncoderSizes) -> None:
        super().__init__()
        width = sizes.width
        self.heads = sizes.heads
        self.before_attention = nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * width)
        self.attention_dropout = nn.Dropout(sizes.attention_dropout)
        self.join = nn.Linear(width, width)
        self.feed = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, sizes.feed_forward),
            nn.GELU(),
            nn.Dropout(sizes.dropout),
            nn.Linear(sizes.feed_forward, width),
        )
        self.dropout = nn.Dropout(sizes.dropout)

    def forward(self, steps: Tensor) -> Tensor:
        n, t, width = steps.size(0), steps.size(1), steps.size(2)
        split = self.project(self.before_attention(steps)).view(n, t, 3, self.heads, -1)
        query, key, value = split.permute(2, 0, 3, 1, 4)  # (B, heads, T, width / heads) each
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        weights = self.attention_dropout(torch.softmax(scores, dim=-1))
        joined = self.join((weights @ value).transpose(1, 2).reshape(n, t, width))
        steps = steps + self.dropout(joined)
        out: Tensor = steps + self.dropout(self.feed(steps))
        return out


def _positions(sessions: int, width: int) -> Tensor:
    """Sinusoids, (sessions, width); a window's last session always has the same one."""
    at = torch.arange(LONGEST - sessions, LONGEST, dtype=torch.float32)[:, None]
    rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    return torch.stack([torch.sin(at * rate), torch.cos(at * rate)], dim=-1).reshape(sessions, width)


def _hidden(window: Tensor, mask: Tensor) -> Tensor:
    """Masked sessions look like missing ones: values and flags 0."""
    return window * ~mask[..., None]


def masked_loss(network: nn.Module, batch: Batch) -> Tensor:
    """Squared error of masked sessions where they are known, from steps plus from the pooled."""
    window, mask = batch["window"], batch["mask"]
    _, _, from_steps, from_pooled = network(_hidden(window, mask))
    values, flags = window.chunk(2, dim=-1)
    counted = flags * mask[..., None]
    total = counted.sum().clamp(min=1.0)
    one: Tensor = (counted * (from_steps - values) ** 2).sum() / total
    other: Tensor = (counted * (from_pooled - values) ** 2).sum() / total
    return one + other


def filled(network: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Restored sessions under the given masks, and the embeddings without any mask."""
    restored = network(_hidden(batch["window"], batch["mask"]))[2]
    return restored, network(batch["window"])[0]


def answered(network: nn.Module, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Embedding, pooling weights, and the error in restoring today from the days before."""
    window = batch["window"]
    pooled, weights, _, _ = network(window)
    mask = torch.zeros_like(window[..., 0], dtype=torch.bool)
    mask[:, -1] = True
    values, flags = window[:, -1].chunk(2, dim=-1)
    error = flags * (network(_hidden(window, mask))[2][:, -1] - values) ** 2
    return pooled, weights, error.sum(dim=-1) / flags.sum(dim=-1).clamp(min=1.0)
