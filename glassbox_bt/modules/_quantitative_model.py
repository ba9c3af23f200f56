"""The learned part of the quantitative analyst: outcomes, anchors, residual network, removal of one risk at a time.

Input rows are (n_rows, 11): six risk scores (NaN = not available), then the context (NaN = not known).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from glassbox_bt.modules._anchor import (
    LinearAnchor,
    RankScale,
    Standardiser,
    fit_logit,
    fit_ridge,
    information_coefficient,
)
from glassbox_bt.modules._attribution import RISKS, first_largest, normalised
from glassbox_bt.modules._outcomes import Outcomes, has_earned_its_place, standing, typical_of
from glassbox_bt.modules._risk_attention import RiskAttention
from glassbox_bt.modules._training import (
    ArrayRows,
    Batch,
    Schedule,
    Training,
    network_from,
    predict_in_blocks,
    train_network,
)
from glassbox_bt.modules.base import FitContext, rounded
from glassbox_bt.types import AnyArray, BoolArray, Float32Array, FloatArray

__all__ = ["Heads", "QuantitativeModel", "Sizes", "TrainRows", "quality", "train"]

HEADS = ("signal", "event", "side")
LOSS_WEIGHTS = (0.40, 0.35, 0.25)  # of HEADS (spec §20)
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
class TrainRows:
    """Input rows (n_rows, 11) with a known outcome."""

    x: FloatArray
    outcomes: Outcomes


@dataclass(frozen=True, slots=True)
class Heads:
    """Raw answers to rows; `deltas` are probabilities with minus without each risk, 0 where it is not available."""

    signal: FloatArray
    signal_anchor: FloatArray
    risk: FloatArray
    risk_anchor: FloatArray
    side: FloatArray
    attention: FloatArray  # (n_rows, 6)
    deltas: FloatArray  # (n_rows, 6)


@dataclass(frozen=True, slots=True, eq=False)
class QuantitativeModel:
    """Anchors, scales and weights.

    Parameters
    ----------
    scaler : Standardiser
        Of the 11 input columns.
    signal, event, side : LinearAnchor
        On ``scaler.pairs``: (n_rows, 22).
    signal_scale, risk_scale : RankScale
        Of the raw signal and of the event's probability.
    sizes : Sizes
    weights : Mapping[str, AnyArray]
        Of the network; empty where none speaks.
    speaks : FloatArray
        (3,) 1 where a head's residual beat its anchor on the hold-out, else 0.
    typical : FloatArray
        Median and deviation of its raw signals on train; what is ranked is a signal in these units (`standing`).
    on_anchors : bool
        Whether the network starts from the anchors, or from base rates only.
    """

    scaler: Standardiser
    signal: LinearAnchor
    event: LinearAnchor
    side: LinearAnchor
    signal_scale: RankScale
    risk_scale: RankScale
    sizes: Sizes
    weights: Mapping[str, AnyArray]
    speaks: FloatArray
    typical: FloatArray
    on_anchors: bool

    @classmethod
    def of_anchors(
        cls, rows: TrainRows, sizes: Sizes, penalties: tuple[float, float], *, on_anchors: bool
    ) -> QuantitativeModel:
        """Anchors of the fitting rows, (ridge, logit) penalties; ranks are set by `with_scales`."""
        known, (ridge, logit) = rows.outcomes, penalties
        fitting = known.fitting
        scaler = Standardiser.fit(rows.x[fitting])
        z = scaler.pairs(rows.x[fitting])
        unset = RankScale(np.zeros(1))
        return cls(
            scaler,
            fit_ridge(z, known.signal[fitting], penalty=ridge),
            fit_logit(z, known.event[fitting], penalty=logit),
            fit_logit(z, known.side[fitting], penalty=logit),
            unset,
            unset,
            sizes,
            {},
            np.zeros(len(HEADS)),
            np.array([0.0, 1.0]),
            on_anchors,
        )

    def with_scales(self, standing: FloatArray, risk: FloatArray) -> QuantitativeModel:
        """The same model with its ranks frozen on these standings and probabilities (R14)."""
        return replace(self, signal_scale=RankScale.of(standing), risk_scale=RankScale.of(risk))

    def ready(self, rows: TrainRows) -> QuantitativeModel:
        """The fitted model with its typical signal, ranked among all its train rows until out-of-fold answers exist."""
        heads = self.heads(rows.x)
        model = replace(self, typical=typical_of(heads.signal))
        return model.with_scales(standing(heads.signal, model.typical), rounded(heads.risk))

    def offsets(self, x: FloatArray) -> FloatArray:
        """What the residuals are added to, (n_rows, 3)."""
        heads = (self.signal, self.event, self.side)
        if not self.on_anchors:
            return np.tile(np.array([head.intercept for head in heads]), (len(x), 1))
        z = self.scaler.pairs(x)
        return np.stack([head.linear(z) for head in heads], axis=1)

    def heads(self, x: FloatArray) -> Heads:
        """Answers to input rows."""
        z, offset = self.scaler.pairs(x), self.offsets(x)
        available = np.isfinite(x[:, :N_RISKS])
        residual, attention = self._network(x, available)
        total = offset + residual
        risk = sigmoid(total[:, 1])
        deltas = np.zeros(available.shape)
        for k in range(N_RISKS):
            rows = available[:, k]
            if rows.any():
                deltas[rows, k] = risk[rows] - self._without(x[rows], k, offset[rows, 1])
        return Heads(
            np.tanh(total[:, 0]),
            np.tanh(self.signal.linear(z)),
            risk,
            self.event.predict(z),
            sigmoid(total[:, 2]),
            attention,
            deltas,
        )

    def network_inputs(self, x: FloatArray, available: BoolArray) -> tuple[Float32Array, Float32Array, Float32Array]:
        """Risk scores (0 where masked), their mask, and the scaled context with flags."""
        z, k = self.scaler.pairs(x), x.shape[1]
        context = np.concatenate([z[:, N_RISKS:k], z[:, k + N_RISKS :]], axis=1)
        parts = (np.where(available, x[:, :N_RISKS], 0.0), available, context)
        first, second, third = (np.asarray(one, dtype=np.float32) for one in parts)
        return first, second, third

    def _without(self, x: FloatArray, k: int, offset: FloatArray) -> FloatArray:
        """Risk with slot ``k`` removed: at its train mean for the anchor, masked for the network."""
        available = np.isfinite(x[:, :N_RISKS])
        available[:, k] = False
        own = self.event.contributions(self.scaler.pairs(x))[:, k] if self.on_anchors else 0.0
        residual, _ = self._network(x, available)
        return sigmoid(offset - own + residual[:, 1])

    def _network(self, x: FloatArray, available: BoolArray) -> tuple[FloatArray, FloatArray]:
        """Residuals (n_rows, 3) and attention (n_rows, 6); the anchor's own shares where no network speaks."""
        if not self.weights:
            z = self.scaler.pairs(x)
            shares = np.abs(self.event.contributions(z)[:, :N_RISKS])
            return np.zeros((len(x), 3)), normalised(shares, available)
        network = network_from(self.sizes.network(), self.weights)
        residual, attention = predict_in_blocks(network, *self.network_inputs(x, available))
        return self.speaks * residual.astype(np.float64), attention.astype(np.float64)

    def arrays(self) -> dict[str, AnyArray]:
        """For `ModuleState.arrays`."""
        parts = (
            self.scaler.arrays("scaler"),
            self.signal.arrays("signal"),
            self.event.arrays("event"),
            self.side.arrays("side"),
            self.signal_scale.arrays("signal_scale"),
            self.risk_scale.arrays("risk_scale"),
            {"speaks": self.speaks, "typical": self.typical},
            {f"network.{name}": values for name, values in self.weights.items()},
        )
        return {name: values for part in parts for name, values in part.items()}

    @classmethod
    def restore(cls, arrays: Mapping[str, AnyArray], sizes: Sizes, *, on_anchors: bool) -> QuantitativeModel:
        """What `arrays` wrote."""
        prefix = "network."
        return cls(
            Standardiser.restore(arrays, "scaler"),
            LinearAnchor.restore(arrays, "signal"),
            LinearAnchor.restore(arrays, "event", "logistic"),
            LinearAnchor.restore(arrays, "side", "logistic"),
            RankScale.restore(arrays, "signal_scale"),
            RankScale.restore(arrays, "risk_scale"),
            sizes,
            {name[len(prefix) :]: one for name, one in arrays.items() if name.startswith(prefix)},
            arrays["speaks"],
            arrays["typical"],
            on_anchors,
        )


def train(
    model: QuantitativeModel, rows: TrainRows, schedule: Schedule, ctx: FitContext
) -> tuple[QuantitativeModel, Training]:
    """Train the residuals; each that has not earned its place on the hold-out is left out again."""
    known = rows.outcomes
    holdout = _source(model, rows, known.held_out)
    fitting = _source(model, rows, known.fitting)
    training = train_network(model.sizes.network, _loss, fitting, holdout, schedule, ctx)
    if training.best_epoch == 0:
        return model, training
    network = network_from(model.sizes.network(), training.best)
    inputs = [holdout.arrays[name] for name in ("risks", "available", "context")]
    residual = torch.from_numpy(predict_in_blocks(network, *inputs)[0])
    offset, target = (torch.from_numpy(holdout.arrays[name]) for name in ("offset", "target"))
    spoken, anchored = (_losses(total, target).numpy() for total in (offset + residual, offset))
    speaks = np.ones(len(HEADS))
    if model.on_anchors:
        days = known.days[known.held_out]
        pairs = zip(spoken.T, anchored.T, strict=True)
        speaks = np.array([float(has_earned_its_place(days, *pair)) for pair in pairs])
    learned = training.best if speaks.any() else {}
    return replace(model, weights=learned, speaks=speaks), training


def _source(model: QuantitativeModel, rows: TrainRows, mask: BoolArray) -> ArrayRows:
    x, known = rows.x[mask], rows.outcomes
    risks, available, context = model.network_inputs(x, np.isfinite(x[:, :N_RISKS]))
    targets = np.stack([one[mask] for one in (known.signal, known.event, known.side)], axis=1)
    return ArrayRows(
        {
            "risks": risks,
            "available": available,
            "context": context,
            "offset": model.offsets(x).astype(np.float32),
            "target": targets.astype(np.float32),
        }
    )


def _loss(network: nn.Module, batch: Batch) -> Tensor:
    residual, _ = network(batch["risks"], batch["available"], batch["context"])
    losses = _losses(batch["offset"] + residual, batch["target"]).mean(dim=0)
    return (losses * torch.tensor(LOSS_WEIGHTS, device=losses.device)).sum()


def _losses(total: Tensor, target: Tensor) -> Tensor:
    """The loss of each row and head, (n_rows, 3), in the order of ``HEADS``."""
    signal = (total[:, :1].tanh() - target[:, :1]).square()
    logits = functional.binary_cross_entropy_with_logits(total[:, 1:], target[:, 1:], reduction="none")
    return torch.cat([signal, logits], dim=1)


def quality(model: QuantitativeModel, rows: TrainRows) -> dict[str, object]:
    """Hold-out figures of model, anchor and base rate; none of them chooses anything."""
    known = rows.outcomes
    held, fitting = known.held_out, known.fitting
    heads, available = model.heads(rows.x[held]), np.isfinite(rows.x[held][:, :N_RISKS])
    moved = first_largest(np.abs(rounded(heads.deltas)), available)
    event, side = known.event[held], known.side[held]
    base, target = known.event[fitting].mean(), known.signal[fitting]
    left = target - model.signal.linear(model.scaler.pairs(rows.x[fitting]))
    return {
        "network_speaks_on": [name for name, one in zip(HEADS, model.speaks, strict=True) if one > 0.0],
        "holdout_ic_signal": information_coefficient(heads.signal, known.signal[held]),
        "holdout_ic_signal_anchor": information_coefficient(heads.signal_anchor, known.signal[held]),
        "holdout_brier_event": float(np.mean((heads.risk - event) ** 2)),
        "holdout_brier_event_anchor": float(np.mean((heads.risk_anchor - event) ** 2)),
        "holdout_brier_event_base_rate": float(np.mean((base - event) ** 2)),
        "holdout_brier_side": float(np.mean((heads.side - side) ** 2)),
        "driver_agreement": float(np.mean(first_largest(heads.attention, available) == moved)),
        "target_r2_from_inputs": 1.0 - float(np.var(left) / np.var(target)),  # D-SYN-01
        "typical_adjusted_return": known.typical,  # what the confidence is about
    }


def sigmoid(logits: FloatArray) -> FloatArray:
    """Logistic function that does not overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logits)), dtype=np.float64)
