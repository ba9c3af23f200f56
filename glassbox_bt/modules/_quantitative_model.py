"""The learned part of the quantitative analyst: a residual network on anchors, and the removal of one risk at a time.

Input rows are (n_rows, 11): six risk scores (NaN = not available), then the context (NaN = not known).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from glassbox_bt.modules import _anchored_heads
from glassbox_bt.modules._anchor import sigmoid
from glassbox_bt.modules._anchored_heads import AnchoredHeads, holdout_figures
from glassbox_bt.modules._attribution import RISKS, first_largest, normalised
from glassbox_bt.modules._outcomes import Outcomes
from glassbox_bt.modules._risk_attention import RiskAttention
from glassbox_bt.modules._training import network_from, predict_in_blocks
from glassbox_bt.modules.base import rounded
from glassbox_bt.types import Float32Array, FloatArray

__all__ = ["Heads", "QuantitativeModel", "Sizes", "quality"]

N_RISKS = len(RISKS)


@dataclass(frozen=True, slots=True)
class Sizes:
    """Widths, hidden layers and dropout of the network."""

    n_context: int
    attention: int
    hidden: int
    layers: int
    dropout: float

    def network(self) -> RiskAttention:
        """An untrained network."""
        return RiskAttention(
            N_RISKS,
            2 * self.n_context,
            attention=self.attention,
            hidden=self.hidden,
            layers=self.layers,
            dropout=self.dropout,
        )


@dataclass(frozen=True, slots=True)
class Heads(_anchored_heads.Heads):
    """Raw answers to rows; `deltas` are probabilities with minus without each risk, 0 where it is not available."""

    attention: FloatArray  # (n_rows, 6)
    deltas: FloatArray  # (n_rows, 6)


@dataclass(frozen=True, slots=True, eq=False)
class QuantitativeModel(AnchoredHeads):
    """Heads on the 11 input columns, with a network that sees risks through its attention."""

    names: ClassVar[tuple[str, str, str]] = ("signal", "event", "side")
    inputs: ClassVar[tuple[str, ...]] = ("risks", "available", "context")
    loss_weights: ClassVar[tuple[float, float, float]] = (0.40, 0.35, 0.25)  # spec §20

    def heads(self, x: FloatArray) -> Heads:
        """Answers to input rows."""
        z = self.scaler.pairs(x)
        offset, available = self.offsets(z), np.isfinite(x[:, :N_RISKS])
        residual, attention = self._network(x)
        signal, signal_anchor, risk, risk_anchor, side = self.answered(offset + residual, z)
        deltas = np.zeros(available.shape)
        for k in range(N_RISKS):
            rows = available[:, k]
            if rows.any():
                deltas[rows, k] = risk[rows] - self._without(x[rows], k, offset[rows, 1])
        return Heads(signal, signal_anchor, risk, risk_anchor, side, attention, deltas)

    def network_inputs(self, x: FloatArray) -> tuple[Float32Array, ...]:
        """Risk scores (0 where masked), their mask, and the scaled context with flags."""
        z, k, available = self.scaler.pairs(x), x.shape[1], np.isfinite(x[:, :N_RISKS])
        context = np.concatenate([z[:, N_RISKS:k], z[:, k + N_RISKS :]], axis=1)
        parts = (np.where(available, x[:, :N_RISKS], 0.0), available, context)
        return tuple(np.asarray(one, dtype=np.float32) for one in parts)

    def _without(self, x: FloatArray, k: int, offset: FloatArray) -> FloatArray:
        """Risk with slot ``k`` removed: at its train mean for the anchor, masked for the network."""
        own = self.event.contributions(self.scaler.pairs(x))[:, k] if self.on_anchors else 0.0
        masked = x.copy()
        masked[:, k] = np.nan
        residual, _ = self._network(masked)
        return sigmoid(offset - own + residual[:, 1])

    def _network(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Residuals (n_rows, 3) and attention (n_rows, 6); the anchor's own shares where no network speaks."""
        if not self.weights:
            z = self.scaler.pairs(x)
            shares = np.abs(self.event.contributions(z)[:, :N_RISKS])
            return np.zeros((len(x), 3)), normalised(shares, np.isfinite(x[:, :N_RISKS]))
        network = network_from(self.sizes.network(), self.weights)
        residual, attention = predict_in_blocks(network, *self.network_inputs(x))
        return self.speaks * residual.astype(np.float64), attention.astype(np.float64)


def quality(model: QuantitativeModel, x: FloatArray, known: Outcomes) -> dict[str, object]:
    """Hold-out figures of the heads, and how often both drivers agree; none of them chooses anything."""
    held = x[known.held_out]
    heads, available = model.heads(held), np.isfinite(held[:, :N_RISKS])
    moved = first_largest(np.abs(rounded(heads.deltas)), available)
    return {
        **holdout_figures(model, heads, x, known),
        "driver_agreement": float(np.mean(first_largest(heads.attention, available) == moved)),
        "typical_adjusted_return": known.typical,  # what the confidence is about
    }
