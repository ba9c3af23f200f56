"""The learned part of the qualitative analyst: three heads on what a day's events amount to, and a residual network.

Rows are those of `day_inputs`. An event by itself is asked the same way, as a day on which it is the only and a fresh one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor, nn

from glassbox_bt.modules import _anchored_heads
from glassbox_bt.modules._anchored_heads import AnchoredHeads, holdout_figures
from glassbox_bt.modules._outcomes import HeadOutcomes
from glassbox_bt.modules._qualitative_days import GROUPS, INPUTS
from glassbox_bt.modules._qualitative_outcomes import LOSS_WEIGHTS
from glassbox_bt.modules._training import network_from, predict_in_blocks
from glassbox_bt.types import Float32Array, FloatArray

__all__ = ["Heads", "QualitativeModel", "QualitativeNetwork", "Sizes", "quality"]


class QualitativeNetwork(nn.Module):
    """Residuals of the three heads from scaled inputs and their flags; the last layer starts at zero."""

    def __init__(self, n_inputs: int, *, hidden: int, layers: int, dropout: float) -> None:
        super().__init__()
        steps: list[nn.Module] = []
        width = n_inputs
        for _ in range(layers):
            steps += [nn.Linear(width, hidden), nn.Tanh(), nn.Dropout(dropout)]
            width = hidden
        self.body = nn.Sequential(*steps)
        self.head = nn.Linear(width, 3)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """(n_rows, n_inputs) -> (n_rows, 3)."""
        out: Tensor = self.head(self.body(inputs))
        return out


@dataclass(frozen=True, slots=True)
class Sizes:
    """Width, hidden layers and dropout of the network."""

    hidden: int
    layers: int
    dropout: float

    def network(self) -> QualitativeNetwork:
        """An untrained network."""
        return QualitativeNetwork(2 * len(INPUTS), hidden=self.hidden, layers=self.layers, dropout=self.dropout)


@dataclass(frozen=True, slots=True)
class Heads(_anchored_heads.Heads):
    """Raw answers to rows: ``signal`` is the score, ``risk`` that of trouble.

    The score is the hyperbolic tangent of the sum of ``parts``: sentiment, news, amount of text, base, network.
    """

    parts: Mapping[str, FloatArray]


@dataclass(frozen=True, slots=True, eq=False)
class QualitativeModel(AnchoredHeads):
    """Heads on the 18 inputs of a day, with a network that sees them all."""

    names: ClassVar[tuple[str, str, str]] = ("score", "trouble", "side")
    inputs: ClassVar[tuple[str, ...]] = ("inputs",)
    loss_weights: ClassVar[tuple[float, float, float]] = LOSS_WEIGHTS

    def heads(self, x: FloatArray) -> Heads:
        """Answers to input rows."""
        z, residual = self.scaler.pairs(x), self._residual(x)
        shares = self.signal.contributions(z) if self.on_anchors else np.zeros(z.shape)
        parts = {name: _summed(shares, columns) for name, columns in GROUPS.items()}
        parts |= {"base": np.full(len(x), self.signal.intercept), "network": residual[:, 0]}
        signal, signal_anchor, risk, risk_anchor, side = self.answered(self.offsets(z) + residual, z)
        return Heads(signal, signal_anchor, risk, risk_anchor, side, parts)

    def network_inputs(self, x: FloatArray) -> tuple[Float32Array, ...]:
        """Scaled inputs and their flags, (n_rows, 36)."""
        return (self.scaler.pairs(x).astype(np.float32),)

    def _residual(self, x: FloatArray) -> FloatArray:
        """(n_rows, 3); zeros where no network speaks."""
        if not self.weights or not len(x):
            return np.zeros((len(x), 3))
        network = network_from(self.sizes.network(), self.weights)
        (residual,) = predict_in_blocks(network, *self.network_inputs(x))
        return np.asarray(self.speaks * residual.astype(np.float64), dtype=np.float64)


def quality(model: QualitativeModel, x: FloatArray, known: HeadOutcomes) -> dict[str, object]:
    """Sizes of both parts and hold-out figures; none of them chooses anything."""
    figures = holdout_figures(model, model.heads(x[known.held_out]), x, known)
    return {"n_fitting_rows": int(known.fitting.sum()), "n_held_out_rows": int(known.held_out.sum()), **figures}


def _summed(shares: FloatArray, columns: tuple[int, ...]) -> FloatArray:
    """Sum of some inputs' shares, values and flags, column by column."""
    total = np.zeros(len(shares))
    for column in columns:
        total = total + shares[:, column] + shares[:, column + len(INPUTS)]
    return total
