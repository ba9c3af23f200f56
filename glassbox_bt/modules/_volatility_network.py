"""The residual network of the learned volatility and its losses."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from glassbox_bt.modules._training import Batch

__all__ = ["COLUMNS", "N_COLUMNS", "VolatilityNetwork", "VolatilitySizes", "loss", "losses"]

COLUMNS = {"vol_10d": (0,), "vol_30d": (1,), "regime": (2, 3, 4)}  # of the network's answer, by head
N_COLUMNS = 5
WEIGHTS = {"vol_10d": 1.0, "vol_30d": 0.5, "regime": 0.25}  # the first two as in spec §11


@dataclass(frozen=True, slots=True)
class VolatilitySizes:
    """What the network is built from."""

    n_inputs: int
    hidden: int
    layers: int
    dropout: float

    def network(self) -> VolatilityNetwork:
        """An untrained network."""
        return VolatilityNetwork(self)


class VolatilityNetwork(nn.Module):
    """(B, n_inputs) scaled inputs and embedding -> (B, 5) residuals, all 0 before training."""

    def __init__(self, sizes: VolatilitySizes) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        width = sizes.n_inputs
        for _ in range(sizes.layers):
            parts += [nn.Linear(width, sizes.hidden), nn.LayerNorm(sizes.hidden), nn.GELU(), nn.Dropout(sizes.dropout)]
            width = sizes.hidden
        self.body = nn.Sequential(*parts)
        self.last = nn.Linear(width, N_COLUMNS)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        out: Tensor = self.last(self.body(inputs))
        return out


def losses(residual: Tensor, batch: Batch) -> dict[str, Tensor]:
    """The loss of each row, (B,), for each head; 0 where its outcome is not known.

    * volatilities: QLIKE of the variance, ``exp(2e) - 2e - 1`` for an error ``e`` of the logs. Its optimum is the expected
      variance, what a GARCH forecast is too, and it is what the module is judged by. The source's smooth-L1 of the logs has
      the median as its optimum, a tenth lower, so a residual would first of all learn to forecast too little.
    * regime: cross-entropy over the three thirds of train.
    """
    said = batch["offset"] + residual
    error = batch["target"] - said[:, :2]
    held = torch.isfinite(error)
    error = torch.where(held, error, 0.0)
    qlike = torch.exp(2.0 * error) - 2.0 * error - 1.0  # 0 where not known
    third = batch["third"]  # (B,), -1 where not known
    crossed = functional.cross_entropy(said[:, 2:], third.clamp(min=0), reduction="none")
    return {"vol_10d": qlike[:, 0], "vol_30d": qlike[:, 1], "regime": torch.where(third >= 0, crossed, 0.0)}


def loss(network: nn.Module, batch: Batch) -> Tensor:
    """Weighted sum of the heads' mean losses."""
    each = losses(network(batch["inputs"]), batch)
    return torch.stack([WEIGHTS[name] * one.mean() for name, one in each.items()]).sum()
