"""The learned part of volatility: anchors of its heads, a residual network, and the ledger of what moved a forecast.

On the log scale a forecast is a sum that an explanation can quote exactly: ``½ ln GARCH + ½ HAR ridge + residual``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from glassbox_bt.modules._anchor import LinearAnchor, Standardiser, fit_logit, fit_ridge
from glassbox_bt.modules._attribution import Gradients, integrated_gradients
from glassbox_bt.modules._outcomes import has_earned_its_place
from glassbox_bt.modules._training import ArrayRows, Schedule, Training, network_from, predict_in_blocks, train_network
from glassbox_bt.modules._volatility_inputs import GROUPS, LARGEST, SMALLEST
from glassbox_bt.modules._volatility_network import COLUMNS, N_COLUMNS, VolatilitySizes, loss, losses
from glassbox_bt.modules.base import FitContext
from glassbox_bt.types import AnyArray, BoolArray, Float32Array, FloatArray, IntArray

__all__ = ["Heads", "TrainRows", "VolatilityModel", "rated", "third_of", "train"]

HEADS = ("vol_10d", "vol_30d", "regime.0", "regime.1", "regime.2", "rating")


@dataclass(frozen=True, slots=True)
class TrainRows:
    """Rows to learn from, in logs.

    Parameters
    ----------
    days : IntArray
        Session of each row.
    x, embedding : AnyArray
        `inputs` (n_rows, 6) and embeddings (n_rows, width).
    y : FloatArray
        Outcomes (n_rows, 2), NaN where not known.
    fitting, held_out : BoolArray
        No outcome of a fitting row reaches into the hold-out.
    """

    days: IntArray
    x: FloatArray
    embedding: Float32Array
    y: FloatArray
    fitting: BoolArray
    held_out: BoolArray


@dataclass(frozen=True, slots=True)
class Heads:
    """Answers to rows; volatilities are logs of annualised fractions, (n_rows, 2)."""

    logs: FloatArray
    anchor: FloatArray
    har: FloatArray
    regime: FloatArray  # (n_rows, 3): probabilities of the low, medium and high third
    confidence: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class VolatilityModel:
    """Anchors, scales and weights.

    Parameters
    ----------
    scaler, embedding_scaler : Standardiser
        Of `inputs` and of the embedding; their means are what an ablation puts in place of a group.
    anchors : tuple[LinearAnchor, ...]
        HAR ridges of both horizons on the realised volatilities, a score per third, and the rating, by ``HEADS``.
    doubt_scaler : Standardiser
        Of what the rating looks at (`doubts`).
    thirds : FloatArray
        Bounds of the thirds of the fitting rows' 30-session volatility, logs, (2,).
    typical : float
        Median size of the error of the log over ten sessions, on train.
    sizes : VolatilitySizes
    weights : Mapping[str, AnyArray]
        Of the network; empty where none speaks.
    speaks : FloatArray
        (5,) 1 where a residual beat its anchor on the hold-out, else 0.
    on_anchors : bool
        Whether the network starts from the anchors, or from base rates only.
    """

    scaler: Standardiser
    embedding_scaler: Standardiser
    anchors: tuple[LinearAnchor, ...]
    doubt_scaler: Standardiser
    thirds: FloatArray
    typical: float
    sizes: VolatilitySizes
    weights: Mapping[str, AnyArray]
    speaks: FloatArray
    on_anchors: bool

    @classmethod
    def of_anchors(
        cls, rows: TrainRows, sizes: VolatilitySizes, penalties: tuple[float, float], *, on_anchors: bool
    ) -> VolatilityModel:
        """Anchors of the fitting rows, (ridge, logit) penalties; the rating is set by `rated`."""
        x, y = rows.x[rows.fitting], rows.y[rows.fitting]
        scaler = Standardiser.fit(x)
        z = scaler.scaled(x)
        har = tuple(fit_ridge(z[:, GROUPS["recent"]], one, penalty=penalties[0]) for one in y.T)
        thirds = np.quantile(y[np.isfinite(y[:, 1]), 1], [1.0 / 3.0, 2.0 / 3.0])
        return cls(
            scaler,
            Standardiser.fit(rows.embedding[rows.fitting]),
            (
                *har,
                *_fit_thirds(z, third_of(y[:, 1], thirds), penalties[1]),
                LinearAnchor(np.zeros(3), 0.0, "logistic"),
            ),
            Standardiser(np.zeros(3), np.ones(3)),
            thirds,
            np.inf,
            sizes,
            {},
            np.zeros(N_COLUMNS),
            on_anchors,
        )

    def heads(self, x: FloatArray, embedding: AnyArray) -> Heads:
        """Answers to rows."""
        said = self.offsets(x) + self.residuals(x, embedding)
        har = self.har(x)
        rating = self.anchors[-1].predict(self.doubt_scaler.scaled(_doubts(x, har)))
        return Heads(_limited(said[:, :2]), _limited(_mixed(x, har)), _limited(har), _softmax(said[:, 2:]), rating)

    def har(self, x: FloatArray) -> FloatArray:
        """The HAR ridges alone, (n_rows, 2)."""
        recent = self.scaler.scaled(x)[:, GROUPS["recent"]]
        return np.stack([one.predict(recent) for one in self.anchors[:2]], axis=1)

    def offsets(self, x: FloatArray) -> FloatArray:
        """What the residuals are added to, (n_rows, 5): anchors, or their base rates alone."""
        if not self.on_anchors:
            return np.tile(np.array([one.intercept for one in self.anchors[:N_COLUMNS]]), (len(x), 1))
        z = self.scaler.scaled(x)
        scores = np.stack([one.linear(z) for one in self.anchors[2:N_COLUMNS]], axis=1)
        return np.concatenate([_mixed(x, self.har(x)), scores], axis=1)

    def network_inputs(self, x: FloatArray, embedding: AnyArray) -> Float32Array:
        """Scaled inputs and embedding side by side, (n_rows, 6 + width); 0 is the train mean."""
        return np.concatenate([self.scaler.scaled(x), self.embedding_scaler.scaled(embedding)], axis=1).astype(np.float32)

    def residuals(self, x: FloatArray, embedding: AnyArray) -> FloatArray:
        """(n_rows, 5); zeros where no network speaks."""
        if not self.weights:
            return np.zeros((len(x), N_COLUMNS))
        network = network_from(self.sizes.network(), self.weights)
        said = predict_in_blocks(network, self.network_inputs(x, embedding))[0]
        return np.asarray(self.speaks * said.astype(np.float64), dtype=np.float64)

    def effects(self, x: FloatArray, embedding: AnyArray) -> FloatArray:
        """Log forecast over ten sessions less that without GARCH, recent volatility, embedding: (n_rows, 3).

        "Without" is: at the train mean, in anchor and network alike.
        """
        whole = self._log_10d(x, embedding)
        without = []
        for columns in GROUPS.values():
            flat = x.copy()
            flat[:, columns] = self.scaler.mean[columns]
            without.append(self._log_10d(flat, embedding))
        blank = np.broadcast_to(self.embedding_scaler.mean, embedding.shape)
        without.append(self._log_10d(x, blank) if self.weights else whole)
        return whole[:, None] - np.stack(without, axis=1)

    def gradients(self, x: FloatArray, embedding: AnyArray) -> Gradients:
        """Integrated gradients of the log forecast over ten sessions from the train mean, by `network_inputs`.

        The anchor is linear, so its part is exact; that of the network is an integral.
        """
        z = self.network_inputs(x, embedding)
        shares, change = np.zeros(z.shape), np.zeros(len(z))
        if self.on_anchors:
            scaled = self.scaler.scaled(x)
            first = GROUPS["garch"].start
            shares[:, first] = 0.5 * (x[:, first] - self.scaler.mean[first])
            shares[:, GROUPS["recent"]] = 0.5 * self.anchors[0].contributions(scaled[:, GROUPS["recent"]])
            change += shares.sum(axis=1)
        if self.weights and self.speaks[0]:
            network = network_from(self.sizes.network(), self.weights)

            def score(inputs: Tensor) -> Tensor:
                out: Tensor = network(inputs)[:, 0]
                return out

            learned = integrated_gradients(score, z, np.zeros(z.shape[1]))
            shares, change = shares + learned.shares, change + learned.change
        return Gradients(shares, change)

    def _log_10d(self, x: FloatArray, embedding: AnyArray) -> FloatArray:
        return self.offsets(x)[:, 0] + self.residuals(x, embedding)[:, 0]

    def arrays(self) -> dict[str, AnyArray]:
        """For `ModuleState.arrays`."""
        parts = [
            self.scaler.arrays("scaler"),
            self.embedding_scaler.arrays("embedding_scaler"),
            self.doubt_scaler.arrays("doubt_scaler"),
            {"thirds": self.thirds, "typical": np.array([self.typical]), "speaks": self.speaks},
            {f"network.{name}": values for name, values in self.weights.items()},
            *(one.arrays(head) for head, one in zip(HEADS, self.anchors, strict=True)),
        ]
        return {name: values for part in parts for name, values in part.items()}

    @classmethod
    def restore(cls, arrays: Mapping[str, AnyArray], sizes: VolatilitySizes, *, on_anchors: bool) -> VolatilityModel:
        """What `arrays` wrote."""
        prefix = "network."
        links = ("identity", "identity", *(4 * ("logistic",)))
        return cls(
            Standardiser.restore(arrays, "scaler"),
            Standardiser.restore(arrays, "embedding_scaler"),
            tuple(LinearAnchor.restore(arrays, head, link) for head, link in zip(HEADS, links, strict=True)),  # type: ignore[arg-type]
            Standardiser.restore(arrays, "doubt_scaler"),
            arrays["thirds"],
            float(arrays["typical"][0]),
            sizes,
            {name[len(prefix) :]: one for name, one in arrays.items() if name.startswith(prefix)},
            arrays["speaks"],
            on_anchors,
        )


def train(model: VolatilityModel, rows: TrainRows, schedule: Schedule, ctx: FitContext) -> tuple[VolatilityModel, Training]:
    """Train the residuals; each that has not earned its place on the hold-out is left out again."""
    holdout = _source(model, rows, rows.held_out)
    training = train_network(model.sizes.network, loss, _source(model, rows, rows.fitting), holdout, schedule, ctx)
    if training.best_epoch == 0:
        return model, training
    network = network_from(model.sizes.network(), training.best)
    speaks = np.ones(N_COLUMNS)
    if model.on_anchors:
        residual = predict_in_blocks(network, holdout.arrays["inputs"])[0]
        speaks = _earned(torch.from_numpy(residual), holdout, rows.days[rows.held_out])
    return replace(model, weights=training.best if speaks.any() else {}, speaks=speaks), training


def rated(model: VolatilityModel, rows: TrainRows, penalty: float) -> VolatilityModel:
    """The model with its rating: how probable is an error of its own forecast under the typical one.

    Fitted last and on all of train, so that what it rates is the forecast that is given. The errors of the fitting rows are
    those of a ridge with five coefficients, hardly smaller than out of sample.
    """
    heads = model.heads(rows.x, rows.embedding)
    error = np.abs(rows.y[:, 0] - heads.logs[:, 0])
    typical = float(np.nanmedian(error))
    doubts = _doubts(rows.x, model.har(rows.x))
    scaler = Standardiser.fit(doubts)
    small = np.where(np.isfinite(error), error < typical, np.nan)
    rating = fit_logit(scaler.scaled(doubts), small, penalty=penalty)
    return replace(model, anchors=(*model.anchors[:-1], rating), doubt_scaler=scaler, typical=typical)


def third_of(log_vol: FloatArray, thirds: FloatArray) -> FloatArray:
    """0, 1 or 2 for the low, medium or high third; NaN where not known."""
    return np.where(np.isfinite(log_vol), np.searchsorted(thirds, log_vol, side="right"), np.nan)


def _source(model: VolatilityModel, rows: TrainRows, mask: BoolArray) -> ArrayRows:
    x, y = rows.x[mask], rows.y[mask]
    arrays: dict[str, AnyArray] = {
        "inputs": model.network_inputs(x, rows.embedding[mask]),
        "offset": model.offsets(x).astype(np.float32),
        "target": y.astype(np.float32),
        "third": np.nan_to_num(third_of(y[:, 1], model.thirds), nan=-1.0).astype(np.int64),
    }
    return ArrayRows(arrays)


def _earned(residual: Tensor, holdout: ArrayRows, days: IntArray) -> FloatArray:
    """1 in the columns of the residuals that beat their anchors on the hold-out, else 0, (5,)."""
    batch = {name: torch.from_numpy(values) for name, values in holdout.arrays.items()}
    spoken, anchored = losses(residual, batch), losses(torch.zeros_like(residual), batch)
    speaks = np.zeros(N_COLUMNS)
    for name, columns in COLUMNS.items():
        speaks[list(columns)] = float(has_earned_its_place(days, spoken[name].numpy(), anchored[name].numpy()))
    return speaks


def _mixed(x: FloatArray, har: FloatArray) -> FloatArray:
    """Logs of the geometric mean of GARCH forecast and HAR ridge, (n_rows, 2)."""
    return np.asarray(0.5 * x[:, GROUPS["garch"]] + 0.5 * har, dtype=np.float64)


def _doubts(x: FloatArray, har: FloatArray) -> FloatArray:
    """What makes an error likely, (n_rows, 3): two forecasts that disagree, a week unlike its quarter, the level."""
    recent = x[:, GROUPS["recent"]]
    return np.stack([np.abs(x[:, 0] - har[:, 0]), np.abs(recent[:, 1] - recent[:, 3]), x[:, 0]], axis=1)


def _fit_thirds(z: FloatArray, third: FloatArray, penalty: float) -> tuple[LinearAnchor, ...]:
    """One linear score per third (multinomial logit, L2 penalty per row); base rates where a third is empty."""
    known = np.isfinite(third)
    classes = third[known].astype(np.int64)
    counts = np.bincount(classes, minlength=3)
    weights, base = np.zeros((3, z.shape[1])), np.log((counts + 0.5) / (counts.sum() + 1.5))
    if counts.min() > 0:
        model = LogisticRegression(C=1.0 / (2.0 * penalty * len(classes)), max_iter=1000, tol=1e-8)
        model.fit(z[known], classes)
        weights, base = model.coef_, model.intercept_
    return tuple(LinearAnchor(row, float(one), "logistic") for row, one in zip(weights, base, strict=True))


def _limited(logs: FloatArray) -> FloatArray:
    return np.clip(logs, np.log(SMALLEST), np.log(LARGEST))


def _softmax(scores: FloatArray) -> FloatArray:
    exp = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(exp / (exp[:, :1] + exp[:, 1:2] + exp[:, 2:]))
