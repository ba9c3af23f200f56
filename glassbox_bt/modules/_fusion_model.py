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
from glassbox_bt.modules._branch_fusion import BranchFusion, branch_weights
from glassbox_bt.modules._formulas import branch_prior
from glassbox_bt.modules._fusion_features import FEATURES, Row, features
from glassbox_bt.modules._outcomes import Outcomes, sigma_over_horizon
from glassbox_bt.modules._training import (
    ArrayRows,
    Batch,
    Schedule,
    Training,
    network_from,
    predict_in_blocks,
    train_network,
)
from glassbox_bt.modules.base import FitContext
from glassbox_bt.types import AnyArray, BoolArray, FloatArray

__all__ = [
    "FusionModel",
    "Heads",
    "Sizes",
    "TrainRows",
    "Utility",
    "branch_line",
    "quality",
    "train",
]

GRID = np.array([0.0, 0.25, 0.5, 0.75, 1.0])  # multipliers among which the realised utility chooses
SPEC_SLOPE = 0.75  # of the branches, where no anchor is used
MIN_SLOPE = 0.02  # a branch may be distrusted, never turned upside down
RESIDUAL_REACH = 0.25
HEADS = ("action_sell", "action_hold", "action_buy", "risk", "side", "multiplier")
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Utility:
    """What a position is judged by: ``u(m) = m w r - risk_aversion/2 (m w)² σ² - m w cost`` (R14)."""

    risk_aversion: float
    cost: float  # round trip, fraction of traded value

    def best_multiplier(self, size: FloatArray, simple_return: FloatArray, sigma: FloatArray) -> FloatArray:
        """The grid value with the largest realised utility, the smallest of equals; NaN where the size is 0."""
        held = GRID[:, None] * size
        gain = held * (simple_return - self.cost) - 0.5 * self.risk_aversion * held**2 * sigma**2
        return np.where(size > 0.0, GRID[np.argmax(gain, axis=0)], np.nan)


@dataclass(frozen=True, slots=True)
class TrainRows:
    """Rows with a known outcome, and what they teach the two heads that only fusion has.

    ``action`` are train terciles of the net return (0, 1, 2); ``multiplier`` is NaN where nothing may be held.
    """

    rows: Row
    outcomes: Outcomes
    action: FloatArray
    multiplier: FloatArray

    @classmethod
    def of(cls, rows: Row, outcomes: Outcomes, labels: tuple[FloatArray, ...], utility: Utility) -> TrainRows:
        """``labels`` are the values of `LABELS` for all rows that `Outcomes.of` was given."""
        usable = outcomes.usable
        kept = {name: values[usable] for name, values in rows.items()}
        simple, sigma = np.expm1(labels[0][usable]), sigma_over_horizon(labels[1][usable])
        net = (simple - utility.cost) / sigma
        edges = np.quantile(net[outcomes.fitting], [1 / 3, 2 / 3])
        action = np.searchsorted(edges, net, side="left").astype(np.float64)
        size = kept["position_sizing.recommended_capital_fraction"]
        return cls(kept, outcomes, action, utility.best_multiplier(size, simple, sigma))

    def part(self, mask: BoolArray) -> Row:
        """The rows of a mask."""
        return {name: values[mask] for name, values in self.rows.items()}


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
    tilt_scale: RankScale  # of P(BUY) - P(SELL)
    sizes: Sizes
    weights: Mapping[str, AnyArray]
    on_anchors: bool

    @classmethod
    def of_anchors(cls, rows: TrainRows, sizes: Sizes, penalties: tuple[float, float], *, on_anchors: bool) -> FusionModel:
        """Anchors of the fitting rows, (ridge, logit) penalties; ranks are set by `with_scales`."""
        known, (ridge, logit) = rows.outcomes, penalties
        fitting = known.fitting
        fitted = rows.part(fitting)
        inputs = _anchor_inputs(fitted)
        scaler = Standardiser.fit(inputs)
        z = scaler.pairs(inputs)
        slope, intercept = branch_line(inputs[:, 0], known.signal[fitting], ridge)
        heads = (
            *_fit_softmax(z, rows.action[fitting], logit),
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
            unset,
            sizes,
            {},
            on_anchors,
        )

    def with_scales(self, signal: FloatArray, risk: FloatArray, tilt: FloatArray) -> FusionModel:
        """The same model with its ranks frozen on these raw scores (R14)."""
        return replace(self, signal_scale=RankScale.of(signal), risk_scale=RankScale.of(risk), tilt_scale=RankScale.of(tilt))

    def line(self) -> tuple[float, float]:
        """Slope and intercept of the branches."""
        return (self.slope, self.intercept) if self.on_anchors else (SPEC_SLOPE, 0.0)

    def offsets(self, rows: Row) -> FloatArray:
        """What the residuals of ``HEADS`` are added to, (n_rows, 6): anchors, or their base rates alone."""
        z = self.anchor_scaler.pairs(_anchor_inputs(rows))
        if not self.on_anchors:
            return np.tile(np.array([one.intercept for one in self.anchors]), (len(z), 1))
        return np.stack([one.linear(z) for one in self.anchors], axis=1)

    def heads(self, rows: Row) -> Heads:
        """Answers to input rows."""
        residual, offset = self._residuals(rows), self.offsets(rows)
        prior = _prior(rows)
        weights = branch_weights(torch.from_numpy(prior), torch.from_numpy(residual[:, :2])).numpy()
        slope, intercept = self.line()
        branches = _branches(rows)
        rest = intercept + RESIDUAL_REACH * np.tanh(residual[:, 5])
        parts = np.concatenate([slope * weights * branches, rest[:, None]], axis=1)
        anchored = self.slope * (prior * branches).sum(axis=1) + self.intercept
        z = self.anchor_scaler.pairs(_anchor_inputs(rows))
        return Heads(
            weights,
            _softmax(offset[:, :3] + residual[:, 2:5]),
            parts,
            np.tanh(parts[:, 0] + parts[:, 1] + parts[:, 2]),
            np.tanh(anchored),
            _sigmoid(offset[:, 3] + residual[:, 6]),
            self.anchors[HEADS.index("risk")].predict(z),
            _sigmoid(offset[:, 4] + residual[:, 7]),
            _sigmoid(offset[:, 5] + residual[:, 8]),
        )

    def _residuals(self, rows: Row) -> FloatArray:
        """(n_rows, 9); zeros where no network speaks."""
        inputs = features(rows)
        if not self.weights:
            return np.zeros((len(inputs), 9))
        network = network_from(self.sizes.network(), self.weights)
        scaled = self.scaler.pairs(inputs).astype(np.float32)
        return np.asarray(predict_in_blocks(network, scaled)[0], dtype=np.float64)

    def arrays(self) -> dict[str, AnyArray]:
        """For `ModuleState.arrays`."""
        parts = [
            self.scaler.arrays("scaler"),
            self.anchor_scaler.arrays("anchor_scaler"),
            {"line": np.array([self.slope, self.intercept])},
            self.signal_scale.arrays("signal_scale"),
            self.risk_scale.arrays("risk_scale"),
            self.tilt_scale.arrays("tilt_scale"),
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
            RankScale.restore(arrays, "tilt_scale"),
            sizes,
            {name[len(prefix) :]: one for name, one in arrays.items() if name.startswith(prefix)},
            on_anchors,
        )


def train(model: FusionModel, rows: TrainRows, schedule: Schedule, ctx: FitContext) -> tuple[FusionModel, Training]:
    """Train the residuals; where no epoch beats the start on the hold-out, the model stays without a network."""
    slope, intercept = model.line()
    known = rows.outcomes

    def source(mask: BoolArray) -> ArrayRows:
        part = rows.part(mask)
        targets = (rows.action, known.event, known.side, rows.multiplier, known.signal)
        arrays = {
            "inputs": model.scaler.pairs(features(part)),
            "offset": model.offsets(part),
            "prior": _prior(part),
            "branches": _branches(part),
            "target": np.stack([one[mask] for one in targets], axis=1),
        }
        return ArrayRows({name: one.astype(np.float32) for name, one in arrays.items()})

    def loss(network: nn.Module, batch: Batch) -> Tensor:
        return _loss(network(batch["inputs"]), batch, slope, intercept)

    training = train_network(model.sizes.network, loss, source(known.fitting), source(known.held_out), schedule, ctx)
    learned = training.best if training.best_epoch > 0 else {}
    return replace(model, weights=learned), training


def _loss(residual: Tensor, batch: Batch, slope: float, intercept: float) -> Tensor:
    offset, target = batch["offset"], batch["target"]
    weights = branch_weights(batch["prior"], residual[:, :2])
    line = slope * (weights * batch["branches"]).sum(dim=1) + intercept
    signal = (line + RESIDUAL_REACH * residual[:, 5].tanh()).tanh()
    logits = functional.binary_cross_entropy_with_logits
    held = torch.isfinite(target[:, 3])
    multiplier = (offset[:, 5] + residual[:, 8]).sigmoid()
    missed = torch.where(held, multiplier - torch.nan_to_num(target[:, 3]), 0.0)
    outputs = (
        functional.mse_loss(signal, target[:, 4])
        + logits(offset[:, 3] + residual[:, 6], target[:, 1])
        + logits(offset[:, 4] + residual[:, 7], target[:, 2])
        + missed.square().mean()
    )
    actions = functional.cross_entropy(offset[:, :3] + residual[:, 2:5], target[:, 0].long())
    apart = functional.mse_loss(weights, batch["prior"])
    return LOSS_WEIGHTS[0] * actions + LOSS_WEIGHTS[1] * outputs / 4.0 + LOSS_WEIGHTS[2] * apart


def quality(model: FusionModel, rows: TrainRows) -> dict[str, object]:
    """Hold-out figures of model, anchor and base rate; none of them chooses anything."""
    known = rows.outcomes
    held, fitting = known.held_out, known.fitting
    heads = model.heads(rows.part(held))
    event, base, target = known.event[held], known.event[fitting].mean(), known.signal[fitting]
    chosen = heads.actions[np.arange(len(event)), rows.action[held].astype(np.int64)]
    z = model.anchor_scaler.pairs(_anchor_inputs(rows.part(fitting)))
    left = target - fit_ridge(z, target).predict(z)
    return {
        "network_speaks": bool(model.weights),
        "branch_slope": model.line()[0],
        "holdout_ic_signal": information_coefficient(heads.signal, known.signal[held]),
        "holdout_ic_signal_anchor": information_coefficient(heads.signal_anchor, known.signal[held]),
        "holdout_brier_event": float(np.mean((heads.risk - event) ** 2)),
        "holdout_brier_event_anchor": float(np.mean((heads.risk_anchor - event) ** 2)),
        "holdout_brier_event_base_rate": float(np.mean((base - event) ** 2)),
        "holdout_log_loss_action": float(-np.mean(np.log(np.clip(chosen, 1e-12, 1.0)))),
        "target_r2_from_inputs": 1.0 - float(np.var(left) / np.var(target)),  # D-SYN-01
    }


def _prior(rows: Row) -> FloatArray:
    """Weights of the branches before anything is learned, (n_rows, 2)."""
    confidence = rows["quantitative.quantitative_confidence"]
    text = rows["text_confidence"], rows["event_count"], rows["text_available"]
    return branch_prior(confidence, *text)


def _branches(rows: Row) -> FloatArray:
    """Signals of the two branches, (n_rows, 2); text is 0 where there is none."""
    quant = rows["quantitative.risk_adjusted_quantitative_signal"]
    return np.stack([quant, rows["text_score"]], axis=1)


def _anchor_inputs(rows: Row) -> FloatArray:
    """Few and telling, (n_rows, 5): the mixed branches, two log-odds of the quantitative branch, text score and risk."""
    mixed = (_prior(rows) * _branches(rows)).sum(axis=1)
    signal = rows["quantitative.risk_adjusted_quantitative_signal"]
    confidence = rows["quantitative.quantitative_confidence"]
    up = np.where(signal >= 0.0, confidence, 1.0 - confidence)
    text = rows["text_available"] == 1.0
    columns = (
        mixed,
        _log_odds(rows["quantitative.quantitative_risk_prob"]),
        _log_odds(up),
        np.where(text, rows["text_score"], np.nan),
        np.where(text, rows["text_risk"], np.nan),
    )
    return np.stack(columns, axis=1)


def branch_line(mixed: FloatArray, target: FloatArray, penalty: float) -> tuple[float, float]:
    """Ridge line of the outcome on the mixed branches; the slope is at least ``MIN_SLOPE``."""
    scaler = Standardiser.fit(mixed[:, None])
    line = fit_ridge(scaler.scaled(mixed[:, None]), target, penalty=penalty)
    deviation, mean = float(scaler.deviation[0]), float(scaler.mean[0])
    if not np.isfinite(deviation):  # the branches never moved in train
        return MIN_SLOPE, line.intercept
    slope = max(float(line.coefficients[0]) / deviation, MIN_SLOPE)
    return slope, line.intercept - slope * mean


def _fit_softmax(z: FloatArray, action: FloatArray, penalty: float) -> tuple[LinearAnchor, ...]:
    """One linear score per class; the base rates alone where a class is missing in train."""
    counts = np.bincount(action.astype(np.int64), minlength=3)
    if counts.min() == 0:
        base = np.log((counts + 0.5) / (counts.sum() + 1.5))
        return tuple(LinearAnchor(np.zeros(z.shape[1]), float(one), "logistic") for one in base)
    model = LogisticRegression(C=1.0 / (2.0 * penalty * len(z)), max_iter=1000, tol=1e-8)
    model.fit(z, action)
    pairs = zip(model.coef_, model.intercept_, strict=True)
    return tuple(LinearAnchor(np.asarray(w, np.float64), float(b), "logistic") for w, b in pairs)


def _fit_multiplier(z: FloatArray, best: FloatArray, penalty: float) -> LinearAnchor:
    """Log-odds that at least half of the size is best; even odds where sizing never allowed a position."""
    if np.isfinite(best).sum() < 2:
        return LinearAnchor(np.zeros(z.shape[1]), 0.0, "logistic")
    return fit_logit(z, np.where(np.isfinite(best), best >= 0.5, np.nan), penalty=penalty)


def _softmax(scores: FloatArray) -> FloatArray:
    exp = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(exp / (exp[:, :1] + exp[:, 1:2] + exp[:, 2:]))


def _sigmoid(logits: FloatArray) -> FloatArray:
    """Logistic function that does not overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logits)), dtype=np.float64)


def _log_odds(prob: FloatArray) -> FloatArray:
    kept = np.clip(prob, 1e-6, 1.0 - 1e-6)
    return np.asarray(np.log(kept / (1.0 - kept)), dtype=np.float64)
