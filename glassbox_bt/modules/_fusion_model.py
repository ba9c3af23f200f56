"""The learned part of fusion: outcomes, anchors of five heads, a residual network, and the sum that makes the signal.

On the scale before tanh the signal is a sum that an explanation can quote exactly:
``slope × (w_quant × quantitative + w_text × text) + intercept + 0.25 tanh(residual)`` (spec §21.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor
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
from glassbox_bt.modules._branch_fusion import BranchFusion, branch_weights
from glassbox_bt.modules._fusion_features import (
    FEATURES,
    Row,
    anchor_inputs,
    branches,
    features,
    network_inputs,
    prior,
)
from glassbox_bt.modules._fusion_targets import TrainRows
from glassbox_bt.modules._outcomes import has_earned_its_place, standing, typical_of
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
from glassbox_bt.types import AnyArray, BoolArray, FloatArray, IntArray

__all__ = [
    "FusionModel",
    "Heads",
    "Sizes",
    "action_scores",
    "branch_line",
    "quality",
    "train",
]

SPEC_SLOPE = 0.75  # of the branches, where no anchor is used
MIN_SLOPE = 0.02  # a branch may be distrusted, never turned upside down
MIN_LEAN = 0.05  # the same for the action: log-odds of BUY against SELL per deviation of the mixed branches
RESIDUAL_REACH = 0.25
HEADS = ("action_sell", "action_hold", "action_buy", "risk", "side", "multiplier")
RESIDUALS = {  # columns of the network's answer by what they correct; each must earn its place on the hold-out
    "signal": (0, 1, 5),
    "action": (2, 3, 4),
    "risk": (6,),
    "side": (7,),
    "multiplier": (8,),
}
LOSS_WEIGHTS = (0.45, 0.45, 0.10)  # actions, four outputs, branch weights (spec §21.1)


@dataclass(frozen=True, slots=True)
class Sizes:
    """Width, hidden layers and dropout of the network."""

    hidden: int
    layers: int
    dropout: float

    def network(self) -> BranchFusion:
        """An untrained network."""
        return BranchFusion(2 * len(FEATURES), hidden=self.hidden, layers=self.layers, dropout=self.dropout)


@dataclass(frozen=True, slots=True)
class Heads:
    """Raw answers to rows; ``parts`` add up to the signal before tanh."""

    weights: FloatArray  # (n_rows, 2): quantitative, text
    actions: FloatArray  # (n_rows, 3): probabilities of SELL, HOLD, BUY
    parts: FloatArray  # (n_rows, 3): quantitative branch, text branch, all other evidence
    signal: FloatArray
    signal_anchor: FloatArray
    risk: FloatArray
    risk_anchor: FloatArray
    side: FloatArray
    multiplier: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class FusionModel:
    """Anchors, scales and weights; ``heads`` are linear in `anchor_inputs`, in the order of ``HEADS``."""

    scaler: Standardiser  # of the 93 features
    anchor_scaler: Standardiser
    slope: float
    intercept: float
    anchors: tuple[LinearAnchor, ...]
    signal_scale: RankScale
    risk_scale: RankScale
    sizes: Sizes
    weights: Mapping[str, AnyArray]  # of the network; empty where none speaks
    speaks: FloatArray  # (9,) 1 where a residual beat its anchor on the hold-out, else 0
    typical: FloatArray  # (2,) median and deviation of its raw signals on train; see `standing`
    on_anchors: bool

    @classmethod
    def of_anchors(cls, rows: TrainRows, sizes: Sizes, penalties: tuple[float, float], *, on_anchors: bool) -> FusionModel:
        """Anchors of the fitting rows, (ridge, logit) penalties; ranks are set by `with_scales`."""
        known, (ridge, logit) = rows.outcomes, penalties
        fitting = known.fitting
        fitted = rows.part(fitting)
        inputs = anchor_inputs(fitted)
        scaler = Standardiser.fit(inputs)
        z = scaler.pairs(inputs)
        slope, intercept = branch_line(inputs[:, 0], known.signal[fitting], ridge)
        heads = (
            *action_scores(z, rows.action[fitting], logit),
            fit_logit(z, known.event[fitting], penalty=logit),
            fit_logit(z, known.side[fitting], penalty=logit),
            _fit_multiplier(z, rows.multiplier[fitting], logit),
        )
        unset = RankScale(np.zeros(1))
        return cls(
            Standardiser.fit(features(fitted)),
            scaler,
            slope,
            intercept,
            heads,
            unset,
            unset,
            sizes,
            {},
            np.zeros(9),
            np.array([0.0, 1.0]),
            on_anchors,
        )

    def with_scales(self, standing: FloatArray, risk: FloatArray) -> FusionModel:
        """The same model with its ranks frozen on these standings and probabilities (R14)."""
        return replace(self, signal_scale=RankScale.of(standing), risk_scale=RankScale.of(risk))

    def ready(self, rows: TrainRows) -> FusionModel:
        """The fitted model with its typical signal, ranked among all its train rows until out-of-fold answers exist."""
        heads = self.heads(rows.rows)
        model = replace(self, typical=typical_of(heads.signal))
        return model.with_scales(standing(heads.signal, model.typical), rounded(heads.risk))

    def line(self) -> tuple[float, float]:
        """Slope and intercept of the branches."""
        return (self.slope, self.intercept) if self.on_anchors else (SPEC_SLOPE, 0.0)

    def offsets(self, rows: Row) -> FloatArray:
        """What the residuals of ``HEADS`` are added to, (n_rows, 6): anchors, or their base rates alone."""
        z = self.anchor_scaler.pairs(anchor_inputs(rows))
        if not self.on_anchors:
            return np.tile(np.array([one.intercept for one in self.anchors]), (len(z), 1))
        return np.stack([one.linear(z) for one in self.anchors], axis=1)

    def heads(self, rows: Row) -> Heads:
        """Answers to input rows."""
        residual, offset = self._residuals(rows), self.offsets(rows)
        weighed = prior(rows)
        weights = branch_weights(torch.from_numpy(weighed), torch.from_numpy(residual[:, :2])).numpy()
        slope, intercept = self.line()
        signals = branches(rows)
        rest = intercept + RESIDUAL_REACH * np.tanh(residual[:, 5])
        parts = np.concatenate([slope * weights * signals, rest[:, None]], axis=1)
        anchored = self.slope * (weighed * signals).sum(axis=1) + self.intercept
        z = self.anchor_scaler.pairs(anchor_inputs(rows))
        return Heads(
            weights,
            _softmax(offset[:, :3] + residual[:, 2:5]),
            parts,
            np.tanh(parts[:, 0] + parts[:, 1] + parts[:, 2]),
            np.tanh(anchored),
            sigmoid(offset[:, 3] + residual[:, 6]),
            self.anchors[HEADS.index("risk")].predict(z),
            sigmoid(offset[:, 4] + residual[:, 7]),
            sigmoid(offset[:, 5] + residual[:, 8]),
        )

    def _residuals(self, rows: Row) -> FloatArray:
        """(n_rows, 9); zeros where no network speaks."""
        scaled = network_inputs(rows, self.scaler).astype(np.float32)
        if not self.weights:
            return np.zeros((len(scaled), 9))
        network = network_from(self.sizes.network(), self.weights)
        return self.speaks * predict_in_blocks(network, scaled)[0].astype(np.float64)

    def arrays(self) -> dict[str, AnyArray]:
        """For `ModuleState.arrays`."""
        parts = [
            self.scaler.arrays("scaler"),
            self.anchor_scaler.arrays("anchor_scaler"),
            {"line": np.array([self.slope, self.intercept]), "speaks": self.speaks},
            {"typical": self.typical},
            self.signal_scale.arrays("signal_scale"),
            self.risk_scale.arrays("risk_scale"),
            {f"network.{name}": values for name, values in self.weights.items()},
        ]
        parts += [one.arrays(head) for head, one in zip(HEADS, self.anchors, strict=True)]
        return {name: values for part in parts for name, values in part.items()}

    @classmethod
    def restore(cls, arrays: Mapping[str, AnyArray], sizes: Sizes, *, on_anchors: bool) -> FusionModel:
        """What `arrays` wrote."""
        prefix = "network."
        return cls(
            Standardiser.restore(arrays, "scaler"),
            Standardiser.restore(arrays, "anchor_scaler"),
            float(arrays["line"][0]),
            float(arrays["line"][1]),
            tuple(LinearAnchor.restore(arrays, head, "logistic") for head in HEADS),
            RankScale.restore(arrays, "signal_scale"),
            RankScale.restore(arrays, "risk_scale"),
            sizes,
            {name[len(prefix) :]: one for name, one in arrays.items() if name.startswith(prefix)},
            arrays["speaks"],
            arrays["typical"],
            on_anchors,
        )


def train(model: FusionModel, rows: TrainRows, schedule: Schedule, ctx: FitContext) -> tuple[FusionModel, Training]:
    """Train the residuals; each that has not earned its place on the hold-out is left out again."""
    known, line = rows.outcomes, model.line()
    holdout = _source(model, rows, known.held_out)
    training = train_network(
        model.sizes.network,
        lambda network, batch: _loss(network(batch["inputs"]), batch, line),
        _source(model, rows, known.fitting),
        holdout,
        schedule,
        ctx,
    )
    if training.best_epoch == 0:
        return model, training
    network = network_from(model.sizes.network(), training.best)
    residual = predict_in_blocks(network, holdout.arrays["inputs"])[0]
    speaks = np.ones(9)
    if model.on_anchors:
        speaks = _earned(torch.from_numpy(residual), holdout, known.days[known.held_out], line)
    learned = training.best if speaks.any() else {}
    return replace(model, weights=learned, speaks=speaks), training


def _source(model: FusionModel, rows: TrainRows, mask: BoolArray) -> ArrayRows:
    part, known = rows.part(mask), rows.outcomes
    targets = (rows.action, known.event, known.side, rows.multiplier, known.signal)
    arrays = {
        "inputs": network_inputs(part, model.scaler),
        "offset": model.offsets(part),
        "prior": prior(part),
        "branches": branches(part),
        "target": np.stack([one[mask] for one in targets], axis=1),
    }
    return ArrayRows({name: one.astype(np.float32) for name, one in arrays.items()})


def _loss(residual: Tensor, batch: Batch, line: tuple[float, float]) -> Tensor:
    losses = {name: one.mean() for name, one in _losses(residual, batch, line).items()}
    outputs = (losses["signal"] + losses["risk"] + losses["side"] + losses["multiplier"]) / 4.0
    apart = functional.mse_loss(branch_weights(batch["prior"], residual[:, :2]), batch["prior"])
    return LOSS_WEIGHTS[0] * losses["action"] + LOSS_WEIGHTS[1] * outputs + LOSS_WEIGHTS[2] * apart


def _losses(residual: Tensor, batch: Batch, line: tuple[float, float]) -> dict[str, Tensor]:
    """The loss of each row, (n_rows,), for each of ``RESIDUALS``."""
    offset, target = batch["offset"], batch["target"]
    mixed = (branch_weights(batch["prior"], residual[:, :2]) * batch["branches"]).sum(dim=1)
    signal = (line[0] * mixed + line[1] + RESIDUAL_REACH * residual[:, 5].tanh()).tanh()
    held = torch.isfinite(target[:, 3])
    multiplier = (offset[:, 5] + residual[:, 8]).sigmoid()
    missed = torch.where(held, multiplier - torch.nan_to_num(target[:, 3]), 0.0)
    scores = offset[:, :3] + residual[:, 2:5]
    return {
        "signal": (signal - target[:, 4]).square(),
        "action": functional.cross_entropy(scores, target[:, 0].long(), reduction="none"),
        "risk": _log_loss(offset[:, 3] + residual[:, 6], target[:, 1]),
        "side": _log_loss(offset[:, 4] + residual[:, 7], target[:, 2]),
        "multiplier": missed.square(),
    }


def _log_loss(logits: Tensor, event: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits, event, reduction="none")


def _earned(residual: Tensor, holdout: ArrayRows, days: IntArray, line: tuple[float, float]) -> FloatArray:
    """1 in the columns of the residuals that beat their anchors on the hold-out, else 0, (9,)."""
    batch = {name: torch.from_numpy(values) for name, values in holdout.arrays.items()}
    spoken, anchored = _losses(residual, batch, line), _losses(torch.zeros_like(residual), batch, line)
    speaks = np.zeros(9)
    for name, columns in RESIDUALS.items():
        earned = has_earned_its_place(days, spoken[name].numpy(), anchored[name].numpy())
        speaks[list(columns)] = float(earned)
    return speaks


def quality(model: FusionModel, rows: TrainRows) -> dict[str, object]:
    """Hold-out figures of model, anchor and base rate; none of them chooses anything."""
    known = rows.outcomes
    held, fitting = known.held_out, known.fitting
    heads = model.heads(rows.part(held))
    event, base, target = known.event[held], known.event[fitting].mean(), known.signal[fitting]
    chosen = heads.actions[np.arange(len(event)), rows.action[held].astype(np.int64)]
    z = model.anchor_scaler.pairs(anchor_inputs(rows.part(fitting)))
    left = target - fit_ridge(z, target).predict(z)
    return {
        "network_speaks_on": [name for name, columns in RESIDUALS.items() if model.speaks[columns[0]] > 0.0],
        "branch_slope": model.line()[0],
        "holdout_ic_signal": information_coefficient(heads.signal, known.signal[held]),
        "holdout_ic_signal_anchor": information_coefficient(heads.signal_anchor, known.signal[held]),
        "holdout_brier_event": float(np.mean((heads.risk - event) ** 2)),
        "holdout_brier_event_anchor": float(np.mean((heads.risk_anchor - event) ** 2)),
        "holdout_brier_event_base_rate": float(np.mean((base - event) ** 2)),
        "holdout_log_loss_action": float(-np.mean(np.log(np.clip(chosen, 1e-12, 1.0)))),
        "target_r2_from_inputs": 1.0 - float(np.var(left) / np.var(target)),  # D-SYN-01
        "typical_adjusted_return": known.typical,  # what the confidence and the classes are about
        "action_edges": [float(edge) for edge in rows.edges],
    }


def branch_line(mixed: FloatArray, target: FloatArray, penalty: float) -> tuple[float, float]:
    """Ridge line of the outcome on the mixed branches; the slope is at least ``MIN_SLOPE``."""
    scaler = Standardiser.fit(mixed[:, None])
    line = fit_ridge(scaler.scaled(mixed[:, None]), target, penalty=penalty)
    deviation, mean = float(scaler.deviation[0]), float(scaler.mean[0])
    if not np.isfinite(deviation):  # the branches never moved in train
        return MIN_SLOPE, line.intercept
    slope = max(float(line.coefficients[0]) / deviation, MIN_SLOPE)
    return slope, line.intercept - slope * mean


def action_scores(z: FloatArray, action: FloatArray, penalty: float) -> tuple[LinearAnchor, ...]:
    """One linear score per class, on the mixed branches and the log-odds of risk; base rates where a class is missing.

    A bullish mix favours BUY over SELL, by ``MIN_LEAN`` at least. Risk says how far outcomes lie apart, not on which side:
    it moves BUY and SELL alike against HOLD. Otherwise a few years' coincidence of risk and drift would time the market.
    """
    counts = np.bincount(action.astype(np.int64), minlength=3)
    weights = np.zeros((3, z.shape[1]))
    base = np.log((counts + 0.5) / (counts.sum() + 1.5))
    if counts.min() > 0:
        model = LogisticRegression(C=1.0 / (2.0 * penalty * len(z)), max_iter=1000, tol=1e-8)
        model.fit(z[:, :2], action)
        weights[:, :2], base = model.coef_, model.intercept_
    lean = max(float(weights[2, 0] - weights[0, 0]), MIN_LEAN)
    weights[:, 0] = [-lean / 2.0, 0.0, lean / 2.0]
    weights[[0, 2], 1] = (weights[0, 1] + weights[2, 1]) / 2.0
    return tuple(LinearAnchor(row, float(one), "logistic") for row, one in zip(weights, base, strict=True))


def _fit_multiplier(z: FloatArray, best: FloatArray, penalty: float) -> LinearAnchor:
    """Log-odds that at least half of the size is best; even odds where sizing never allowed a position."""
    if np.isfinite(best).sum() < 2:
        return LinearAnchor(np.zeros(z.shape[1]), 0.0, "logistic")
    return fit_logit(z, np.where(np.isfinite(best), best >= 0.5, np.nan), penalty=penalty)


def _softmax(scores: FloatArray) -> FloatArray:
    exp = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(exp / (exp[:, :1] + exp[:, 1:2] + exp[:, 2:]))
