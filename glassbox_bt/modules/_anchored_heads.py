"""Three heads on anchors with residuals that must earn their place: a signal in (-1, 1), an event and a side (R32).

Each head is a linear anchor (ridge through tanh, logit, logit) plus a residual of one network that starts at zero. A
residual that does not beat its anchor on the hold-out is left out again. What is read, the network and what else is told
are the model's own: see `AnchoredHeads.heads` and `AnchoredHeads.network_inputs`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol, Self

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
    sigmoid,
)
from glassbox_bt.modules._outcomes import HeadOutcomes, has_earned_its_place, standing, typical_of
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

__all__ = ["AnchoredHeads", "Heads", "Sizes", "holdout_figures"]

NETWORK = "network."  # before the names of its weights in `ModuleState.arrays`


class Sizes(Protocol):
    """What a network is built by."""

    def network(self) -> nn.Module:
        """An untrained network, whose first or only answer is the residuals, (n_rows, 3)."""
        ...


@dataclass(frozen=True, slots=True)
class Heads:
    """Raw answers to rows, (n_rows,) each.

    ``signal`` in (-1, 1), ``risk`` the probability of the event, ``side`` that of an outcome above the median of train.
    """

    signal: FloatArray
    signal_anchor: FloatArray
    risk: FloatArray
    risk_anchor: FloatArray
    side: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class AnchoredHeads(ABC):
    """Anchors, scales and weights.

    Parameters
    ----------
    scaler : Standardiser
        Of the k input columns.
    signal, event, side : LinearAnchor
        On ``scaler.pairs``: (n_rows, 2k).
    signal_scale, risk_scale : RankScale
        Of the standing of raw signals, and of the event's probability.
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
    names: ClassVar[tuple[str, str, str]]  # of signal, event and side, in arrays and figures
    inputs: ClassVar[tuple[str, ...]]  # names of `network_inputs`
    loss_weights: ClassVar[tuple[float, float, float]]  # of signal, event and side

    @abstractmethod
    def heads(self, x: FloatArray) -> Heads:
        """Answers to input rows (n_rows, k)."""

    @abstractmethod
    def network_inputs(self, x: FloatArray) -> tuple[Float32Array, ...]:
        """What the network reads of input rows, rows first."""

    @classmethod
    def of_anchors(
        cls, x: FloatArray, known: HeadOutcomes, sizes: Sizes, penalties: tuple[float, float], *, on_anchors: bool
    ) -> Self:
        """Anchors of the fitting rows, (ridge, logit) penalties; ranks are set by `with_scales`."""
        fitting, (ridge, logit) = known.fitting, penalties
        scaler = Standardiser.fit(x[fitting])
        z = scaler.pairs(x[fitting])
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
            np.zeros(3),
            np.array([0.0, 1.0]),
            on_anchors,
        )

    def with_scales(self, standings: FloatArray, risk: FloatArray) -> Self:
        """The same model with its ranks frozen on these standings and probabilities (R14)."""
        return replace(self, signal_scale=RankScale.of(standings), risk_scale=RankScale.of(risk))

    def ready(self, x: FloatArray) -> Self:
        """With its typical signal, ranked among all its train rows until out-of-fold answers exist."""
        heads = self.heads(x)
        model = replace(self, typical=typical_of(heads.signal))
        return model.with_scales(standing(heads.signal, model.typical), rounded(heads.risk))

    @property
    def anchors(self) -> tuple[LinearAnchor, LinearAnchor, LinearAnchor]:
        """In the order of ``names``."""
        return self.signal, self.event, self.side

    def offsets(self, z: FloatArray) -> FloatArray:
        """What the residuals are added to, (n_rows, 3)."""
        if not self.on_anchors:
            return np.tile(np.array([one.intercept for one in self.anchors]), (len(z), 1))
        return np.stack([one.linear(z) for one in self.anchors], axis=1)

    def answered(self, total: FloatArray, z: FloatArray) -> tuple[FloatArray, ...]:
        """The fields of `Heads` from offsets with residuals, (n_rows, 3)."""
        return (
            np.tanh(total[:, 0]),
            np.tanh(self.signal.linear(z)),
            sigmoid(total[:, 1]),
            self.event.predict(z),
            sigmoid(total[:, 2]),
        )

    def trained(self, x: FloatArray, known: HeadOutcomes, schedule: Schedule, ctx: FitContext) -> tuple[Self, Training]:
        """Train the residuals; each that has not earned its place on the hold-out is left out again."""
        holdout, fitting = self._source(x, known, known.held_out), self._source(x, known, known.fitting)
        training = train_network(self.sizes.network, self._loss, fitting, holdout, schedule, ctx)
        if training.best_epoch == 0:
            return self, training
        network = network_from(self.sizes.network(), training.best)
        residual = torch.from_numpy(predict_in_blocks(network, *(holdout.arrays[name] for name in self.inputs))[0])
        offset, target = (torch.from_numpy(holdout.arrays[name]) for name in ("offset", "target"))
        spoken, anchored = (_losses(total, target).numpy() for total in (offset + residual, offset))
        speaks = np.ones(3)
        if self.on_anchors:
            days, pairs = known.days[known.held_out], zip(spoken.T, anchored.T, strict=True)
            speaks = np.array([float(has_earned_its_place(days, *pair)) for pair in pairs])
        return replace(self, weights=training.best if speaks.any() else {}, speaks=speaks), training

    def _source(self, x: FloatArray, known: HeadOutcomes, mask: BoolArray) -> ArrayRows:
        read = dict(zip(self.inputs, self.network_inputs(x[mask]), strict=True))
        offset = self.offsets(self.scaler.pairs(x[mask]))
        target = np.stack([one[mask] for one in (known.signal, known.event, known.side)], axis=1)
        return ArrayRows({**read, "offset": offset.astype(np.float32), "target": target.astype(np.float32)})

    def _loss(self, network: nn.Module, batch: Batch) -> Tensor:
        said = network(*(batch[name] for name in self.inputs))
        residual = said if isinstance(said, Tensor) else said[0]
        losses = _losses(batch["offset"] + residual, batch["target"]).mean(dim=0)
        return (losses * torch.tensor(self.loss_weights, device=losses.device)).sum()

    def arrays(self) -> dict[str, AnyArray]:
        """For `ModuleState.arrays`."""
        parts = (
            self.scaler.arrays("scaler"),
            *(one.arrays(name) for name, one in zip(self.names, self.anchors, strict=True)),
            self.signal_scale.arrays(f"{self.names[0]}_scale"),
            self.risk_scale.arrays("risk_scale"),
            {"speaks": self.speaks, "typical": self.typical},
            {f"{NETWORK}{name}": values for name, values in self.weights.items()},
        )
        return {name: values for part in parts for name, values in part.items()}

    @classmethod
    def restore(cls, arrays: Mapping[str, AnyArray], sizes: Sizes, *, on_anchors: bool) -> Self:
        """What `arrays` wrote."""
        signal, event, side = cls.names
        return cls(
            Standardiser.restore(arrays, "scaler"),
            LinearAnchor.restore(arrays, signal),
            LinearAnchor.restore(arrays, event, "logistic"),
            LinearAnchor.restore(arrays, side, "logistic"),
            RankScale.restore(arrays, f"{signal}_scale"),
            RankScale.restore(arrays, "risk_scale"),
            sizes,
            {name.removeprefix(NETWORK): one for name, one in arrays.items() if name.startswith(NETWORK)},
            arrays["speaks"],
            arrays["typical"],
            on_anchors,
        )


def holdout_figures(model: AnchoredHeads, heads: Heads, x: FloatArray, known: HeadOutcomes) -> dict[str, object]:
    """Figures of model, anchor and base rate; ``heads`` answer the held-out rows of ``x``. None of them chooses anything."""
    held, fitting = known.held_out, known.fitting
    signal, event, side = model.names
    happened, target = known.event[held], known.signal[fitting]
    base = known.event[fitting].mean()
    left = target - model.signal.linear(model.scaler.pairs(x[fitting]))
    return {
        "network_speaks_on": [name for name, one in zip(model.names, model.speaks, strict=True) if one > 0.0],
        f"holdout_ic_{signal}": information_coefficient(heads.signal, known.signal[held]),
        f"holdout_ic_{signal}_anchor": information_coefficient(heads.signal_anchor, known.signal[held]),
        f"holdout_brier_{event}": float(np.mean((heads.risk - happened) ** 2)),
        f"holdout_brier_{event}_anchor": float(np.mean((heads.risk_anchor - happened) ** 2)),
        f"holdout_brier_{event}_base_rate": float(np.mean((base - happened) ** 2)),
        f"holdout_brier_{side}": float(np.mean((heads.side - known.side[held]) ** 2)),
        "target_r2_from_inputs": 1.0 - float(np.var(left) / np.var(target)),  # D-SYN-01
    }


def _losses(total: Tensor, target: Tensor) -> Tensor:
    """The loss of each row and head, (n_rows, 3)."""
    signal = (total[:, :1].tanh() - target[:, :1]).square()
    logits = functional.binary_cross_entropy_with_logits(total[:, 1:], target[:, 1:], reduction="none")
    return torch.cat([signal, logits], dim=1)
