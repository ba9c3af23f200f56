"""The recurrent network of the drawdown module, how its answers are put together, and their losses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from glassbox_bt.modules._training import Batch

__all__ = ["COLUMNS", "N_COLUMNS", "N_SIZES", "DrawdownNetwork", "DrawdownSizes", "Parts", "composed", "loss", "losses"]

# Of the network's answer. The first six scale sizes (see `composed`), the last four are added to log-odds.
COLUMNS = {
    "expected": (0, 1),
    "quantiles": (2, 3, 4, 5),
    "risk_10d": (6,),
    "risk_30d": (7,),
    "recovery": (8, 9),
}
N_SIZES, N_COLUMNS = 6, 10
WEIGHTS = {"expected": 2.0, "quantiles": 1.0, "risk_10d": 1.25, "risk_30d": 1.25, "recovery": 0.75}  # spec §12
LEVELS = (0.5, 0.9)  # of the quantiles
STILL = math.log(math.e - 1.0)  # softplus of it is 1: a residual of 0 leaves a size as it is


@dataclass(frozen=True, slots=True)
class DrawdownSizes:
    """What the network is built from."""

    width: int  # of an embedding
    cell: str  # "lstm" or "gru"
    hidden: int
    layers: int
    attention: int
    dropout: float

    def network(self) -> DrawdownNetwork:
        """An untrained network."""
        return DrawdownNetwork(self)


class DrawdownNetwork(nn.Module):
    """(B, T, width + 1) scaled embeddings and a flag of what is known -> (B, 10) residuals and attention (B, T).

    One recurrent layer and one shared layer, then a head per horizon with five answers each.
    """

    def __init__(self, sizes: DrawdownSizes) -> None:
        super().__init__()
        cell = nn.LSTM if sizes.cell == "lstm" else nn.GRU
        between = sizes.dropout if sizes.layers > 1 else 0.0
        self.recurrent = cell(
            sizes.width + 1, sizes.hidden, sizes.layers, batch_first=True, bidirectional=True, dropout=between
        )
        self.score = nn.Sequential(
            nn.Linear(2 * sizes.hidden, sizes.attention), nn.Tanh(), nn.Linear(sizes.attention, 1, bias=False)
        )
        self.shared = nn.Sequential(
            nn.LayerNorm(2 * sizes.hidden),
            nn.Dropout(sizes.dropout),
            nn.Linear(2 * sizes.hidden, sizes.hidden),
            nn.GELU(),
            nn.Dropout(sizes.dropout),
        )
        self.near, self.far = (nn.Linear(sizes.hidden, N_COLUMNS // 2) for _ in range(2))
        for head in (self.near, self.far):
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)

    def forward(self, window: Tensor) -> tuple[Tensor, Tensor]:
        """Steps without an embedding get no attention."""
        states, _ = self.recurrent(window)  # (B, T, 2 hidden)
        scores = self.score(states)[..., 0].masked_fill(window[..., -1] == 0.0, -1e9)
        weights = torch.softmax(scores, dim=-1)
        shared = self.shared((weights[..., None] * states).sum(dim=1))
        # (B, 5) each: expected, median, upper, risk, recovery. Laid out in pairs, as `COLUMNS` are.
        answers = torch.stack([self.near(shared), self.far(shared)], dim=-1)
        return answers.flatten(start_dim=1), weights


class Parts(NamedTuple):
    """Answers by horizon, (B, 2) each; drawdowns are positive fractions."""

    expected: Tensor
    median: Tensor
    upper: Tensor
    risk: Tensor  # log-odds
    recovery: Tensor  # log-odds of the share of the horizon


def composed(offset: Tensor, residual: Tensor) -> Parts:
    """Anchors, changed by the residuals, put together so that no answer contradicts another.

    A size is its anchor times softplus(residual + ln(e - 1)), so it stays positive and 0 changes nothing. The 30-session
    answer is the 10-session one plus such a size: drawdowns grow with the horizon. The upper decile lies above the median
    and above that of the shorter horizon for the same reason.

    Parameters
    ----------
    offset, residual : Tensor
        (B, 10): six sizes (expected over 10 sessions and what 30 add; the same of the median; the upper decile above the
        median over 10 sessions, and over 30 above the larger of the two it must exceed), four log-odds.
    """
    size = offset[:, :N_SIZES] * functional.softplus(residual[:, :N_SIZES] + STILL)
    odds = offset[:, N_SIZES:] + residual[:, N_SIZES:]
    expected = torch.stack([size[:, 0], size[:, 0] + size[:, 1]], dim=1)
    median = torch.stack([size[:, 2], size[:, 2] + size[:, 3]], dim=1)
    near = median[:, 0] + size[:, 4]
    upper = torch.stack([near, torch.maximum(near, median[:, 1]) + size[:, 5]], dim=1)
    return Parts(expected, median, upper, odds[:, :2], odds[:, 2:])


def losses(residual: Tensor, batch: Batch) -> dict[str, Tensor]:
    """The loss of each row, (B,), for each of `COLUMNS`, summed over horizons; unknown outcomes count 0.

    * expected: ``y / f + ln f``, whose optimum is the mean whatever the scale, so that calm and wild names count alike;
    * quantiles: pinball losses over the anchor's expected drawdown, for the same reason;
    * risk: log loss of the event; recovery: log loss of the share of the horizon.
    """
    said, target = composed(batch["offset"], residual), batch["target"]
    held = torch.isfinite(target)
    filled = torch.where(held, target, 0.0)
    drawdown, recovery, known, timed = filled[:, :2], filled[:, 2:], held[:, :2], held[:, 2:]
    scale = composed(batch["offset"], torch.zeros_like(residual)).expected
    expected = drawdown / said.expected + torch.log(said.expected / scale)
    missed = [_pinball(drawdown - one, level) for one, level in zip((said.median, said.upper), LEVELS, strict=True)]
    risk = functional.binary_cross_entropy_with_logits(said.risk, batch["event"], reduction="none") * known
    shares = functional.binary_cross_entropy_with_logits(said.recovery, recovery, reduction="none")
    return {
        "expected": (expected * known).sum(dim=1),
        "quantiles": ((missed[0] + missed[1]) / scale * known).sum(dim=1),
        "risk_10d": risk[:, 0],
        "risk_30d": risk[:, 1],
        "recovery": (shares * timed).sum(dim=1),
    }


def loss(network: nn.Module, batch: Batch) -> Tensor:
    """Weighted sum of the mean losses."""
    each = losses(network(batch["window"])[0], batch)
    return torch.stack([WEIGHTS[name] * one.mean() for name, one in each.items()]).sum()


def _pinball(error: Tensor, level: float) -> Tensor:
    return torch.maximum(level * error, (level - 1.0) * error)
