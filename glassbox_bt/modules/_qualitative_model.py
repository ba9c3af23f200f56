"""The learned part of the qualitative analyst: three anchors on what a day's events amount to, and a residual network.

Rows are those of `day_inputs`. An event by itself is asked the same way, as a day on which it is the only and a fresh one.
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
from glassbox_bt.modules._outcomes import has_earned_its_place, standing, typical_of
from glassbox_bt.modules._qualitative_days import GROUPS, INPUTS
from glassbox_bt.modules._qualitative_outcomes import LOSS_WEIGHTS, TextOutcomes
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
from glassbox_bt.types import AnyArray, BoolArray, FloatArray

__all__ = ["Heads", "QualitativeModel", "QualitativeNetwork", "Sizes", "TrainRows", "quality", "train"]

HEADS = ("score", "trouble", "side")


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
        self.head = nn.Linear(width, len(HEADS))
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
class TrainRows:
    """Input rows (n_rows, 18) and what came of them."""

    x: FloatArray
    outcomes: TextOutcomes


@dataclass(frozen=True, slots=True)
class Heads:
    """Raw answers to rows, (n_rows,) each.

    ``score`` in (-1, 1) is the hyperbolic tangent of the sum of ``parts``: sentiment, news, amount of text, base, network.
    ``risk`` is the probability of trouble, ``side`` that of an excess return above the median of train.
    """

    score: FloatArray
    score_anchor: FloatArray
    risk: FloatArray
    risk_anchor: FloatArray
    side: FloatArray
    parts: Mapping[str, FloatArray]


@dataclass(frozen=True, slots=True, eq=False)
class QualitativeModel:
    """Anchors, scales and weights.

    Parameters
    ----------
    scaler : Standardiser
        Of the 18 inputs.
    score, trouble, side : LinearAnchor
        On ``scaler.pairs``: (n_rows, 36).
    score_scale, risk_scale : RankScale
        Of the standing of raw scores, and of the probability of trouble.
    sizes : Sizes
    weights : Mapping[str, AnyArray]
        Of the network; empty where none speaks.
    speaks : FloatArray
        (3,) 1 where a head's residual beat its anchor on the hold-out, else 0.
    typical : FloatArray
        Median and deviation of its raw scores on train (`standing`).
    on_anchors : bool
        Whether the network starts from the anchors, or from base rates only.
    """

    scaler: Standardiser
    score: LinearAnchor
    trouble: LinearAnchor
    side: LinearAnchor
    score_scale: RankScale
    risk_scale: RankScale
    sizes: Sizes
    weights: Mapping[str, AnyArray]
    speaks: FloatArray
    typical: FloatArray
    on_anchors: bool

    @classmethod
    def of_anchors(
        cls, rows: TrainRows, sizes: Sizes, penalties: tuple[float, float], *, on_anchors: bool
    ) -> QualitativeModel:
        """Anchors of the fitting rows, (ridge, logit) penalties; ranks are set by `with_scales`."""
        known, (ridge, logit) = rows.outcomes, penalties
        fitting = known.fitting
        scaler = Standardiser.fit(rows.x[fitting])
        z = scaler.pairs(rows.x[fitting])
        unset = RankScale(np.zeros(1))
        return cls(
            scaler,
            fit_ridge(z, known.score[fitting], penalty=ridge),
            fit_logit(z, known.trouble[fitting], penalty=logit),
            fit_logit(z, known.side[fitting], penalty=logit),
            unset,
            unset,
            sizes,
            {},
            np.zeros(len(HEADS)),
            np.array([0.0, 1.0]),
            on_anchors,
        )

    def with_scales(self, standings: FloatArray, risk: FloatArray) -> QualitativeModel:
        """The same model with its ranks frozen on these standings and probabilities (R14)."""
        return replace(self, score_scale=RankScale.of(standings), risk_scale=RankScale.of(risk))

    def ready(self, rows: TrainRows) -> QualitativeModel:
        """With its typical score, ranked among all its train rows until out-of-fold answers exist."""
        heads = self.heads(rows.x)
        model = replace(self, typical=typical_of(heads.score))
        return model.with_scales(standing(heads.score, model.typical), rounded(heads.risk))

    def offsets(self, z: FloatArray) -> FloatArray:
        """What the residuals are added to, (n_rows, 3)."""
        heads = (self.score, self.trouble, self.side)
        if not self.on_anchors:
            return np.tile(np.array([head.intercept for head in heads]), (len(z), 1))
        return np.stack([head.linear(z) for head in heads], axis=1)

    def heads(self, x: FloatArray) -> Heads:
        """Answers to input rows."""
        z = self.scaler.pairs(x)
        residual = self._residual(z)
        total = self.offsets(z) + residual
        shares = self.score.contributions(z) if self.on_anchors else np.zeros(z.shape)
        parts = {name: _summed(shares, columns) for name, columns in GROUPS.items()}
        parts |= {"base": np.full(len(x), self.score.intercept), "network": residual[:, 0]}
        return Heads(
            np.tanh(total[:, 0]),
            np.tanh(self.score.linear(z)),
            _sigmoid(total[:, 1]),
            self.trouble.predict(z),
            _sigmoid(total[:, 2]),
            parts,
        )

    def _residual(self, z: FloatArray) -> FloatArray:
        if not self.weights or not len(z):
            return np.zeros((len(z), len(HEADS)))
        network = network_from(self.sizes.network(), self.weights)
        (residual,) = predict_in_blocks(network, z.astype(np.float32))
        return np.asarray(self.speaks * residual.astype(np.float64), dtype=np.float64)

    def arrays(self) -> dict[str, AnyArray]:
        """For `ModuleState.arrays`."""
        parts = (
            self.scaler.arrays("scaler"),
            self.score.arrays("score"),
            self.trouble.arrays("trouble"),
            self.side.arrays("side"),
            self.score_scale.arrays("score_scale"),
            self.risk_scale.arrays("risk_scale"),
            {"speaks": self.speaks, "typical": self.typical},
            {f"network.{name}": values for name, values in self.weights.items()},
        )
        return {name: values for part in parts for name, values in part.items()}

    @classmethod
    def restore(cls, arrays: Mapping[str, AnyArray], sizes: Sizes, *, on_anchors: bool) -> QualitativeModel:
        """What `arrays` wrote."""
        prefix = "network."
        return cls(
            Standardiser.restore(arrays, "scaler"),
            LinearAnchor.restore(arrays, "score"),
            LinearAnchor.restore(arrays, "trouble", "logistic"),
            LinearAnchor.restore(arrays, "side", "logistic"),
            RankScale.restore(arrays, "score_scale"),
            RankScale.restore(arrays, "risk_scale"),
            sizes,
            {name.removeprefix(prefix): one for name, one in arrays.items() if name.startswith(prefix)},
            arrays["speaks"],
            arrays["typical"],
            on_anchors,
        )


def train(
    model: QualitativeModel, rows: TrainRows, schedule: Schedule, ctx: FitContext
) -> tuple[QualitativeModel, Training]:
    """Train the residuals; each that has not earned its place on the hold-out is left out again (R32)."""
    known = rows.outcomes
    holdout, fitting = _source(model, rows, known.held_out), _source(model, rows, known.fitting)
    training = train_network(model.sizes.network, _loss, fitting, holdout, schedule, ctx)
    if training.best_epoch == 0:
        return model, training
    network = network_from(model.sizes.network(), training.best)
    residual = torch.from_numpy(predict_in_blocks(network, holdout.arrays["inputs"])[0])
    offset, target = (torch.from_numpy(holdout.arrays[name]) for name in ("offset", "target"))
    spoken, anchored = (_losses(total, target).numpy() for total in (offset + residual, offset))
    speaks = np.ones(len(HEADS))
    if model.on_anchors:
        days = known.days[known.held_out]
        speaks = np.array([float(has_earned_its_place(days, *pair)) for pair in zip(spoken.T, anchored.T, strict=True)])
    return replace(model, weights=training.best if speaks.any() else {}, speaks=speaks), training


def quality(model: QualitativeModel, rows: TrainRows) -> dict[str, object]:
    """Hold-out figures of model, anchor and base rate; none of them chooses anything."""
    known = rows.outcomes
    held, fitting = known.held_out, known.fitting
    heads, trouble, target = model.heads(rows.x[held]), known.trouble[held], known.score[fitting]
    base = known.trouble[fitting].mean()
    left = target - model.score.linear(model.scaler.pairs(rows.x[fitting]))
    return {
        "n_fitting_rows": int(fitting.sum()),
        "n_held_out_rows": int(held.sum()),
        "network_speaks_on": [name for name, one in zip(HEADS, model.speaks, strict=True) if one > 0.0],
        "holdout_ic_score": information_coefficient(heads.score, known.score[held]),
        "holdout_ic_score_anchor": information_coefficient(heads.score_anchor, known.score[held]),
        "holdout_brier_trouble": float(np.mean((heads.risk - trouble) ** 2)),
        "holdout_brier_trouble_anchor": float(np.mean((heads.risk_anchor - trouble) ** 2)),
        "holdout_brier_trouble_base_rate": float(np.mean((base - trouble) ** 2)),
        "holdout_brier_side": float(np.mean((heads.side - known.side[held]) ** 2)),
        "target_r2_from_inputs": 1.0 - float(np.var(left) / np.var(target)),  # D-SYN-01
    }


def _source(model: QualitativeModel, rows: TrainRows, mask: BoolArray) -> ArrayRows:
    z, known = model.scaler.pairs(rows.x[mask]), rows.outcomes
    targets = np.stack([one[mask] for one in (known.score, known.trouble, known.side)], axis=1)
    arrays = {"inputs": z, "offset": model.offsets(z), "target": targets}
    return ArrayRows({name: one.astype(np.float32) for name, one in arrays.items()})


def _loss(network: nn.Module, batch: Batch) -> Tensor:
    losses = _losses(batch["offset"] + network(batch["inputs"]), batch["target"]).mean(dim=0)
    return (losses * torch.tensor(LOSS_WEIGHTS, device=losses.device)).sum()


def _losses(total: Tensor, target: Tensor) -> Tensor:
    """The loss of each row and head, (n_rows, 3), in the order of ``HEADS``."""
    score = (total[:, :1].tanh() - target[:, :1]).square()
    logits = functional.binary_cross_entropy_with_logits(total[:, 1:], target[:, 1:], reduction="none")
    return torch.cat([score, logits], dim=1)


def _summed(shares: FloatArray, columns: tuple[int, ...]) -> FloatArray:
    """Sum of some inputs' shares, values and flags, column by column."""
    total = np.zeros(len(shares))
    for column in columns:
        total = total + shares[:, column] + shares[:, column + len(INPUTS)]
    return total


def _sigmoid(logits: FloatArray) -> FloatArray:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logits)), dtype=np.float64)
