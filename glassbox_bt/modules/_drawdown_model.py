"""The learned part of the drawdown module: anchors of its heads, a residual network, ratings, and the ledger of a forecast.

The anchor of a drawdown is a ridge of its logarithm on logs of plain volatilities; mean, median and upper decile are fixed
multiples of that. On the log scale the expected drawdown over ten sessions is a sum that an explanation can quote exactly:
``ln multiple + ridge + ln softplus(residual + ln(e - 1))``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from glassbox_bt.modules._anchor import LinearAnchor, Standardiser, fit_logit, fit_ridge, sigmoid
from glassbox_bt.modules._attribution import Gradients, integrated_gradients
from glassbox_bt.modules._drawdown_inputs import GROUPS, HORIZONS, THRESHOLDS, Buckets
from glassbox_bt.modules._drawdown_network import COLUMNS, N_COLUMNS, STILL, DrawdownSizes, composed, loss, losses
from glassbox_bt.modules._outcomes import has_earned_its_place
from glassbox_bt.modules._training import Schedule, Training, WindowRows, network_from, predict_rows, train_network
from glassbox_bt.modules.base import FitContext
from glassbox_bt.types import AnyArray, BoolArray, FloatArray, IntArray

__all__ = ["DrawdownModel", "Heads", "TrainRows", "rated", "risk_score", "train"]

ANCHORS = tuple(f"{kind}_{horizon}d" for kind in ("size", "risk", "recovery", "rating") for horizon in HORIZONS)
SHALLOW = 0.005  # added to a drawdown before its logarithm; a smaller one counts as none (spec §12)
LEAST_STEP = 0.05  # of a size's smaller neighbour: what a longer horizon or a higher quantile adds at least
LEAST = 1e-3  # of a multiple; where names hardly move, half of the drawdowns are none at all
DEEPEST = 0.8  # the outcome is cut there (spec §12)
SURE = 0.98  # a share of the horizon until recovery is not forecast closer to 0 or 1 than this leaves


@dataclass(frozen=True, slots=True)
class TrainRows:
    """Rows to learn from.

    Parameters
    ----------
    days : IntArray
        Session of each row.
    plain : FloatArray
        `plain_inputs` (n_rows, 4).
    windows : WindowRows
        Scaled embeddings of each row's window.
    y : FloatArray
        `outcomes` (n_rows, 4), NaN where not known.
    fitting, held_out : BoolArray
        No outcome of a fitting row reaches into the hold-out.
    """

    days: IntArray
    plain: FloatArray
    windows: WindowRows
    y: FloatArray
    fitting: BoolArray
    held_out: BoolArray


@dataclass(frozen=True, slots=True)
class Heads:
    """Answers to rows by horizon, (n_rows, 2) each; drawdowns and their quantiles are positive fractions."""

    expected: FloatArray
    median: FloatArray
    upper: FloatArray
    risk: FloatArray  # probability of the event
    recovery: FloatArray  # share of the horizon
    confidence: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class DrawdownModel:
    """Anchors, scales and weights.

    Parameters
    ----------
    scaler, embedding_scaler : Standardiser
        Of `plain_inputs` and of the embeddings.
    anchors : tuple[LinearAnchor, ...]
        By ``ANCHORS``, on scaled plain inputs (the ratings on scaled `doubts`).
    multiples : FloatArray
        Mean, median and upper decile of a drawdown over exp(ridge), by horizon, (2, 3).
    doubt_scalers : tuple[Standardiser, ...]
        Of what the ratings look at, by horizon.
    typical : FloatArray
        Median size of the error of the log, by horizon, (2,).
    buckets : Buckets
        The baseline.
    sizes, sessions, weights, speaks, on_anchors
        The network, the embeddings it looks back on, its weights (empty for the anchors alone), 1 where a residual
        beat its anchor on the hold-out (10,), and whether it starts from the anchors or from base rates only.
    """

    scaler: Standardiser
    embedding_scaler: Standardiser
    anchors: tuple[LinearAnchor, ...]
    multiples: FloatArray
    doubt_scalers: tuple[Standardiser, ...]
    typical: FloatArray
    buckets: Buckets
    sizes: DrawdownSizes
    sessions: int
    weights: Mapping[str, AnyArray]
    speaks: FloatArray
    on_anchors: bool

    @classmethod
    def of_anchors(
        cls,
        rows: TrainRows,
        embedding_scaler: Standardiser,
        sizes: DrawdownSizes,
        penalties: tuple[float, float],
        *,
        on_anchors: bool,
    ) -> DrawdownModel:
        """Anchors of the fitting rows, (ridge, logit) penalties; ratings are set by `rated`."""
        plain, y = rows.plain[rows.fitting], rows.y[rows.fitting]
        scaler = Standardiser.fit(plain)
        z = scaler.scaled(plain)
        ridges = [fit_ridge(z, np.log(y[:, k] + SHALLOW), penalty=penalties[0]) for k in range(2)]
        multiples = np.stack([_multiples(y[:, k], ridge.predict(z)) for k, ridge in enumerate(ridges)])
        events = [np.where(np.isfinite(y[:, k]), y[:, k] >= THRESHOLDS[k], np.nan) for k in range(2)]
        nothing = LinearAnchor(np.zeros(3), 0.0, "logistic")
        anchors = (
            *ridges,
            *(fit_logit(z, event, penalty=penalties[1]) for event in events),
            *(fit_ridge(z, y[:, 2 + k], penalty=penalties[0]) for k in range(2)),
            nothing,
            nothing,
        )
        unset = Standardiser(np.zeros(3), np.ones(3))
        buckets, typical, mute = Buckets.fit(plain, y), np.full(2, np.inf), np.zeros(N_COLUMNS)
        return cls(
            *(scaler, embedding_scaler, anchors, multiples, (unset, unset), typical, buckets),
            *(sizes, rows.windows.sessions, {}, mute, on_anchors),
        )

    def anchored(self, plain: FloatArray) -> Heads:
        """What the anchors alone say."""
        return replace(self, on_anchors=True).put_together(plain, np.zeros((len(plain), N_COLUMNS)))

    def put_together(self, plain: FloatArray, residual: FloatArray) -> Heads:
        """Answers to rows from their plain inputs and `residuals`."""
        parts = composed(torch.from_numpy(self.offsets(plain)), torch.from_numpy(residual))
        expected, median, upper, risk, recovery = (one.numpy() for one in parts)
        doubts = _doubts(plain, median, upper)
        ratings = [
            rating.predict(scaler.scaled(doubts[:, k]))
            for k, (rating, scaler) in enumerate(zip(self.anchors[6:], self.doubt_scalers, strict=True))
        ]
        return Heads(
            np.minimum(expected, DEEPEST),
            np.minimum(median, DEEPEST),
            np.minimum(upper, DEEPEST),
            sigmoid(risk),
            sigmoid(recovery),
            np.stack(ratings, axis=1),
        )

    def offsets(self, plain: FloatArray) -> FloatArray:
        """What the residuals change (`composed`), (n_rows, 10): anchors, or their base rates alone."""
        z = self.scaler.scaled(plain) if self.on_anchors else np.zeros(plain.shape)
        sizes = np.stack([np.exp(one.predict(z)) for one in self.anchors[:2]], axis=1)
        expected, median, upper = (sizes * self.multiples[:, k] for k in range(3))
        near = upper[:, 0]
        columns = [
            *(expected[:, 0], _step(expected[:, 1], expected[:, 0])),
            *(median[:, 0], _step(median[:, 1], median[:, 0])),
            *(_step(near, median[:, 0]), _step(upper[:, 1], np.maximum(near, median[:, 1]))),
            *(one.linear(z) for one in self.anchors[2:4]),
            *(_log_odds(one.predict(z)) for one in self.anchors[4:6]),
        ]
        return np.stack(columns, axis=1)

    def residuals(self, windows: WindowRows) -> tuple[FloatArray, AnyArray | None]:
        """(n_rows, 10), 0 where a head does not speak, and attention, None without a network.

        A network that is silent on every head still looks somewhere; ``speaks`` says whether that matters.
        """
        if not self.weights:
            return np.zeros((len(windows), N_COLUMNS)), None
        network = network_from(self.sizes.network(), self.weights)
        said, attention = predict_rows(lambda batch: network(batch["window"]), windows)
        return np.asarray(self.speaks * said.astype(np.float64), dtype=np.float64), attention

    def effects(self, plain: FloatArray, residual: FloatArray) -> FloatArray:
        """Log expected drawdown over ten sessions less that without GARCH, recent volatility, embeddings: (n_rows, 3).

        "Without" is: at the train mean.
        """
        shares = self.anchors[0].contributions(self.scaler.scaled(plain)) * float(self.on_anchors)
        parts = [shares[:, columns].sum(axis=1) for columns in GROUPS.values()]
        learned = _log_softplus(residual[:, 0]) - _log_softplus(self._at_mean())
        return np.stack([*parts, learned], axis=1)

    def _at_mean(self) -> FloatArray:
        """The residual of the expected drawdown over ten sessions where every embedding is the train mean, (1,)."""
        if not self.speaks[0]:
            return np.zeros(1)
        blank = np.zeros((1, self.sessions, self.sizes.width + 1), dtype=np.float32)
        blank[..., -1] = 1.0
        steps = WindowRows(blank, np.zeros(1, dtype=np.int64), np.array([self.sessions - 1]), self.sessions)
        return self.residuals(steps)[0][:, 0]

    def gradients(self, plain: FloatArray, windows: WindowRows) -> tuple[FloatArray, Gradients]:
        """What adds up to the log expected drawdown over ten sessions, less that at the train mean.

        Returns
        -------
        tuple
            The plain inputs' exact parts, (n_rows, 4), and integrated gradients of the network's factor by step and channel,
            (n_rows, sessions, width + 1).
        """
        shares = self.anchors[0].contributions(self.scaler.scaled(plain)) * float(self.on_anchors)
        inputs = windows.take(np.arange(len(windows)), np.random.default_rng(0))["window"]
        if not (self.weights and self.speaks[0]):
            return shares, Gradients(np.zeros(inputs.shape), np.zeros(len(inputs)))
        network = network_from(self.sizes.network(), self.weights)

        def score(window: Tensor) -> Tensor:
            return torch.log(functional.softplus(network(window)[0][:, 0] + STILL))

        baseline = np.zeros(inputs.shape)
        baseline[..., -1] = inputs[..., -1]  # each step at the train mean; the ones that are not known stay so
        return shares, integrated_gradients(score, inputs, baseline)

    def arrays(self) -> dict[str, AnyArray]:
        """For `ModuleState.arrays`."""
        parts = [
            self.scaler.arrays("scaler"),
            self.embedding_scaler.arrays("embedding_scaler"),
            *(one.arrays(f"doubts_{h}d") for h, one in zip(HORIZONS, self.doubt_scalers, strict=True)),
            {"multiples": self.multiples, "typical": self.typical, "speaks": self.speaks},
            {"buckets.edges": self.buckets.edges, "buckets.table": self.buckets.table},
            {f"network.{name}": values for name, values in self.weights.items()},
            *(one.arrays(name) for name, one in zip(ANCHORS, self.anchors, strict=True)),
        ]
        return {name: values for part in parts for name, values in part.items()}

    @classmethod
    def restore(
        cls, arrays: Mapping[str, AnyArray], sizes: DrawdownSizes, sessions: int, *, on_anchors: bool
    ) -> DrawdownModel:
        """What `arrays` wrote."""
        prefix = "network."
        logistic = ("risk", "rating")
        anchors = tuple(
            LinearAnchor.restore(arrays, name, "logistic" if name.startswith(logistic) else "identity") for name in ANCHORS
        )
        return cls(
            Standardiser.restore(arrays, "scaler"),
            Standardiser.restore(arrays, "embedding_scaler"),
            anchors,
            arrays["multiples"],
            tuple(Standardiser.restore(arrays, f"doubts_{h}d") for h in HORIZONS),
            arrays["typical"],
            Buckets(arrays["buckets.edges"], arrays["buckets.table"]),
            sizes,
            sessions,
            {name[len(prefix) :]: one for name, one in arrays.items() if name.startswith(prefix)},
            arrays["speaks"],
            on_anchors,
        )


def train(
    model: DrawdownModel, rows: TrainRows, schedule: Schedule, ctx: FitContext
) -> tuple[DrawdownModel, FloatArray, Training]:
    """Train the residuals; each that has not earned its place on the hold-out is left out again.

    The second part of the answer are the residuals of all rows, which are dear enough to be computed once.
    """
    holdout = _source(model, rows, rows.held_out)
    training = train_network(model.sizes.network, loss, _source(model, rows, rows.fitting), holdout, schedule, ctx)
    learned = replace(model, weights=training.best, speaks=np.ones(N_COLUMNS))
    residual, _ = learned.residuals(rows.windows)
    if model.on_anchors:
        held = torch.from_numpy(residual[rows.held_out].astype(np.float32))
        learned = replace(learned, speaks=_earned(held, holdout, rows.days[rows.held_out]))
    return learned, learned.speaks * residual, training


def rated(model: DrawdownModel, rows: TrainRows, residual: FloatArray, penalty: float) -> DrawdownModel:
    """The model with its ratings: how probable is an error of its own expected drawdown under the typical one.

    An error is the size of ``ln((drawdown + 0.005) / (expected + 0.005))``: relative, so that it is no second name for the
    risk (D-DRW-03). Fitted last and on all of train, so that what is rated is the forecast that is given.
    """
    heads = model.put_together(rows.plain, residual)
    error = np.abs(np.log((rows.y[:, :2] + SHALLOW) / (heads.expected + SHALLOW)))
    typical = np.nanmedian(error, axis=0)
    doubts = _doubts(rows.plain, heads.median, heads.upper)
    scalers = tuple(Standardiser.fit(doubts[:, k]) for k in range(2))
    small = np.where(np.isfinite(error), error < typical, np.nan)
    ratings = [fit_logit(scalers[k].scaled(doubts[:, k]), small[:, k], penalty=penalty) for k in range(2)]
    return replace(model, anchors=(*model.anchors[:6], *ratings), doubt_scalers=scalers, typical=typical)


def risk_score(expected: FloatArray, risk: FloatArray, recovery: FloatArray) -> FloatArray:
    """``drawdown_risk_score`` of spec §12 in [0, 1], 1 = worst; arguments by horizon, (..., 2)."""
    severity = np.clip(expected / (2.0 * np.array(THRESHOLDS)), 0.0, 1.0)
    near, far = (0.20 * severity[..., 0] + 0.20 * risk[..., 0], 0.25 * severity[..., 1] + 0.25 * risk[..., 1])
    return np.asarray(near + far + 0.05 * recovery[..., 0] + 0.05 * recovery[..., 1], dtype=np.float64)


def _source(model: DrawdownModel, rows: TrainRows, mask: BoolArray) -> WindowRows:
    y = rows.y[mask]
    extras = {
        "offset": model.offsets(rows.plain[mask]).astype(np.float32),
        "target": y.astype(np.float32),
        "event": (np.nan_to_num(y[:, :2]) >= np.array(THRESHOLDS)).astype(np.float32),
    }
    return replace(rows.windows, asset=rows.windows.asset[mask], last=rows.windows.last[mask], extras=extras)


def _earned(residual: Tensor, holdout: WindowRows, days: IntArray) -> FloatArray:
    """1 in the columns of the residuals that beat their anchors on the hold-out, else 0, (10,)."""
    batch = {name: torch.from_numpy(values) for name, values in holdout.extras.items()}
    spoken, anchored = losses(residual, batch), losses(torch.zeros_like(residual), batch)
    speaks = np.zeros(N_COLUMNS)
    for name, columns in COLUMNS.items():
        speaks[list(columns)] = float(has_earned_its_place(days, spoken[name].numpy(), anchored[name].numpy()))
    return speaks


def _multiples(drawdown: FloatArray, ridge: FloatArray) -> FloatArray:
    """Mean, median and upper decile of drawdown over exp(ridge), (3,)."""
    ratio = (drawdown / np.exp(ridge))[np.isfinite(drawdown)]
    median, upper = np.maximum(np.quantile(ratio, [0.5, 0.9]), LEAST)
    return np.array([max(ratio.mean(), LEAST), median, max(upper, (1.0 + LEAST_STEP) * median)])


def _step(larger: FloatArray, smaller: FloatArray) -> FloatArray:
    """What the larger size adds to the smaller one, at least `LEAST_STEP` of it."""
    return np.maximum(larger - smaller, LEAST_STEP * smaller)


def _doubts(plain: FloatArray, median: FloatArray, upper: FloatArray) -> FloatArray:
    """What makes an error likely, (n_rows, 2, 3): the spread of the forecast, a month unlike its quarter, the level."""
    spread = np.log(upper / median)  # (n_rows, 2)
    month, quarter = plain[:, 2:3], plain[:, 3:4]
    return np.stack(np.broadcast_arrays(spread, np.abs(month - quarter), month), axis=-1)


def _log_odds(share: FloatArray) -> FloatArray:
    kept = np.clip(share, 1.0 - SURE, SURE)
    return np.asarray(np.log(kept / (1.0 - kept)), dtype=np.float64)


def _log_softplus(residual: FloatArray) -> FloatArray:
    return np.asarray(np.log(np.logaddexp(0.0, residual + STILL)), dtype=np.float64)
