"""The network of the contagion module: a residual on three logits of every name, from the names around it.

1. A recurrent network, the same for every name, reads each name's window; queries and keys of its last state, and what is
   known of the pair, give the weights with which others influence a name. They belong to one day (D-STM-02), add up to 1
   over its neighbours, and are directed: symmetric ones could not say who passes a shock on to whom.
2. On these weights stand Chebyshev terms: the windows of the name itself, of its neighbours, of theirs and so on.
3. Blocks of gated linear units see the terms by frequency, forecast, and hand on what they have not explained.
4. One small head per horizon; its last layer starts at zero. Beside it a straight line from the tail losses of the last five
   sessions, of the name and of its neighbours, starts at zero too: what is planted as contagion is that line, and gated
   units alone found it on one planted market of two.

Nothing knows a name: exchanging two exchanges their answers (R16).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from glassbox_bt.market.tails import LATELY
from glassbox_bt.modules._contagion_inputs import CHANNELS, DEPTH
from glassbox_bt.modules._training import Batch

__all__ = ["ContagionNetwork", "ContagionSizes", "Spread", "answered", "spread", "tail_loss"]

Spread = Callable[[Tensor], Tensor]  # values (B, N, features) -> their mean over each name's neighbours
FIRST_WEIGHTS = (1.0, 2.0, 0.0, 0.0)  # of `PAIR_WORDS`: before training, influence is the graph as it was measured


@dataclass(frozen=True, slots=True)
class ContagionSizes:
    """What the network is built from."""

    window: int
    hidden: int  # of the recurrent network, of queries and keys
    terms: int  # Chebyshev terms, T0 first
    multi: int  # channels of the gated units
    blocks: int
    dropout: float
    slope: float  # of the leaky units
    horizons: int
    starts_at_zero: bool  # a residual on an anchor starts by saying nothing


class ContagionNetwork(nn.Module):
    """Windows (B, N, W, 3) and pairs (B, N, M, 4) -> logits (B, N, horizons) and weights (B, N, M).

    M is N where pairs lie in a table; else ``near`` (B, N, M) holds the neighbours' positions.
    """

    def __init__(self, sizes: ContagionSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.recurrent = nn.GRU(CHANNELS, sizes.hidden, batch_first=True)
        self.query = nn.Linear(sizes.hidden, sizes.hidden, bias=False)
        self.key = nn.Linear(sizes.hidden, sizes.hidden, bias=False)
        self.pair = nn.Parameter(torch.tensor(FIRST_WEIGHTS))
        self.blocks = nn.ModuleList(_SpectralBlock(sizes, last=one == sizes.blocks - 1) for one in range(sizes.blocks))
        self.heads = nn.ModuleList(_head(sizes) for _ in range(sizes.horizons))
        self.line = nn.Linear(sizes.terms * LATELY, sizes.horizons, bias=False)
        nn.init.zeros_(self.line.weight)

    def forward(self, window: Tensor, pairs: Tensor, allowed: Tensor, near: Tensor | None) -> tuple[Tensor, Tensor]:
        """Logits and weights."""
        weights = self.adjacency(window, pairs, allowed, near)
        return self.respond(window, weights, near), weights

    def adjacency(self, window: Tensor, pairs: Tensor, allowed: Tensor, near: Tensor | None) -> Tensor:
        """Share of each name's attention that its neighbours have; all 0 where none is allowed."""
        n_days, n_names, sessions, channels = window.shape
        _, state = self.recurrent(window.reshape(-1, sessions, channels))
        state = state[-1].reshape(n_days, n_names, -1)
        scores = _products(self.query(state), self.key(state), near) / self.sizes.hidden**0.5 + pairs @ self.pair
        weights = torch.softmax(scores.masked_fill(~allowed, torch.finfo(scores.dtype).min), dim=-1) * allowed
        return weights / weights.sum(dim=-1, keepdim=True).clamp(min=1e-12)

    def respond(self, window: Tensor, weights: Tensor, near: Tensor | None) -> Tensor:
        """Logits under given weights."""
        return self.read(window, lambda values: spread(weights, values, near))

    def read(self, window: Tensor, send: Spread) -> Tensor:
        """Logits, given how values (B, N, features) are averaged over neighbours."""
        left = window.transpose(-1, -2)  # (B, N, 3, W)
        terms = _chebyshev(left, send, self.sizes.terms)  # (B, N, terms, 3, W)
        straight = self.line(terms[..., DEPTH, -LATELY:].flatten(-2))
        forecast = torch.zeros_like(left[..., 0, :])
        for number, block in enumerate(self.blocks):
            said, left = block(terms if number == 0 else _chebyshev(left, send, self.sizes.terms))
            forecast = forecast + said
        logits: Tensor = torch.cat([head(forecast) for head in self.heads], dim=-1) + straight
        return logits


class _SpectralBlock(nn.Module):
    """Chebyshev terms (B, N, terms, 3, W), their frequencies, gated units; a forecast (B, N, W) and what is left of T0."""

    def __init__(self, sizes: ContagionSizes, *, last: bool) -> None:
        super().__init__()
        self.window, self.multi = sizes.window, sizes.multi
        n_frequencies = sizes.window // 2 + 1
        wide = CHANNELS * sizes.terms * n_frequencies
        width = sizes.multi * n_frequencies
        self.real, self.imaginary = (
            nn.ModuleList(nn.Linear(start, 2 * width) for start in (wide, width, width)) for _ in range(2)
        )
        self.forecast = nn.Linear(sizes.multi * sizes.window, sizes.window)
        self.backcast = None if last else nn.Linear(sizes.multi * sizes.window, CHANNELS * sizes.window)
        self.dropout = nn.Dropout(sizes.dropout)
        self.slope = sizes.slope

    def forward(self, terms: Tensor) -> tuple[Tensor, Tensor]:
        values = terms[:, :, 0]  # (B, N, 3, W)
        signal = torch.fft.rfft(terms.flatten(2, 3), dim=-1, norm="ortho").flatten(-2)
        real, imaginary = signal.real, signal.imag
        for gate, other in zip(self.real, self.imaginary, strict=True):
            real, imaginary = functional.glu(gate(real)), functional.glu(other(imaginary))
        there = torch.complex(real, imaginary).reshape(*values.shape[:2], self.multi, -1)
        back = torch.fft.irfft(there, n=self.window, dim=-1, norm="ortho").flatten(-2)
        back = self.dropout(functional.leaky_relu(back, self.slope))
        explained = 0.0 if self.backcast is None else self.backcast(back).reshape(values.shape)
        return self.forecast(back), values - explained


def _head(sizes: ContagionSizes) -> nn.Module:
    """Linear to half the window, leaky unit, dropout, one logit."""
    last = nn.Linear(sizes.window // 2, 1)
    if sizes.starts_at_zero:
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
    first = nn.Linear(sizes.window, sizes.window // 2)
    return nn.Sequential(first, nn.LeakyReLU(sizes.slope), nn.Dropout(sizes.dropout), last)


def _chebyshev(values: Tensor, send: Spread, terms: int) -> Tensor:
    """T0 .. of the averaging, applied to values (B, N, 3, W): (B, N, terms, 3, W).

    Its eigenvalues lie within the unit circle, because its rows add up to at most 1.
    """
    flat = values.flatten(-2)
    found = [flat, send(flat)]
    while len(found) < terms:
        found.append(2.0 * send(found[-1]) - found[-2])
    return torch.stack(found[:terms], dim=-2).reshape(*values.shape[:2], terms, *values.shape[2:])


def _products(query: Tensor, key: Tensor, near: Tensor | None) -> Tensor:
    """Each name's query with all keys (B, N, N), or with those of its neighbours (B, N, K)."""
    if near is None:
        return query @ key.transpose(-1, -2)
    n_days, n_names, n_near = near.shape
    place = near.reshape(n_days, -1, 1).expand(-1, -1, key.shape[-1])
    theirs = key.gather(1, place).reshape(n_days, n_names, n_near, -1)
    return (query[:, :, None] * theirs).sum(dim=-1)


def spread(weights: Tensor, values: Tensor, near: Tensor | None) -> Tensor:
    """Weighted mean of the neighbours' values, (B, N, features).

    With lists of neighbours the values are summed where they lie, never copied per neighbour.
    """
    if near is None:
        return weights @ values
    n_days, n_names, n_near = near.shape
    first = torch.arange(n_days, device=near.device)[:, None, None] * n_names
    summed = functional.embedding_bag(
        (near + first).reshape(-1, n_near),
        values.reshape(n_days * n_names, -1),
        mode="sum",
        per_sample_weights=weights.reshape(-1, n_near),
    )
    return summed.reshape(n_days, n_names, -1)


def tail_loss(network: nn.Module, batch: Batch) -> Tensor:
    """Sum over horizons of the mean log loss; unknown outcomes do not count (D-STM-04), no class weights (D-STM-06)."""
    residual, _ = answered(network, batch)
    event = batch["event"]  # (B, N, horizons), NaN where unknown
    known = torch.isfinite(event)
    said, wanted = torch.where(known, batch["anchor"] + residual, 0.0), torch.where(known, event, 0.0)
    losses = functional.binary_cross_entropy_with_logits(said, wanted, reduction="none")
    per_horizon = (losses * known).sum(dim=(0, 1)) / known.sum(dim=(0, 1)).clamp(min=1)
    return per_horizon.sum()


def answered(network: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Residual logits and weights."""
    residual, weights = network(batch["window"], batch["pairs"], batch["allowed"], batch.get("near"))
    return residual, weights
