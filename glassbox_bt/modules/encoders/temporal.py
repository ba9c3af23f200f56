"""What do the last thirty sessions of a name look like? A Transformer that learns to fill in gaps.

1. Ten features by session become (value, known) pairs on train scale; missing is 0 with flag 0.
2. Whole sessions are masked; the network restores them twice: from its own steps, and from the one
   pooled vector that is handed on. So the pooling query is trained and its weights mean something.
3. The epoch with the lowest loss on the last part of train is frozen. No label is used anywhere.

The embedding of *t* uses sessions *t* - 29 .. *t*. Every usable row is answered, members or not: the
modules above look back on days before a name became a member.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from glassbox_bt.errors import PlanError
from glassbox_bt.market.view import Span, TrainView
from glassbox_bt.modules._anchor import Standardiser
from glassbox_bt.modules._attribution import per_row
from glassbox_bt.modules._embedding_audit import audit_embeddings, gap_filling
from glassbox_bt.modules._temporal_network import LONGEST, EncoderNetwork, EncoderSizes, answered, filled, masked_loss
from glassbox_bt.modules._trained import FullyTrained
from glassbox_bt.modules._training import (
    WindowRows,
    holdout_split,
    network_from,
    predict_rows,
    train_network,
    weights_of,
)
from glassbox_bt.modules.base import Candidate, FitContext, ModuleState, answers_of, reasons, rounded
from glassbox_bt.types import (
    Answers,
    AnyArray,
    BoolArray,
    Float32Array,
    IntArray,
    Kind,
    Read,
    Reason,
    StrArray,
)

__all__ = ["FEATURE_ORDER", "FittedTemporalEncoder", "TemporalEncoder"]

FEATURE_ORDER = (
    "log_return_1d",
    "vol_5d",
    "vol_21d",
    "rsi_14",
    "macd_hist",
    "bb_pos",
    "volume_ratio",
    "hl_ratio",
    "price_pos",
    "spy_corr_63d",
)
FROM_CLOSES = (0, 1, 2, 3, 4, 5, 8)  # the features that every market has (R7)
AUDITED = 2_000  # hold-out rows of the embedding audit


@dataclass(frozen=True, slots=True, kw_only=True)
class TemporalEncoder(FullyTrained):
    """Self-supervised embedding of a name's last `sessions` sessions (masked reconstruction).

    Parameters
    ----------
    width, layers, heads, feed_forward : int
        Of the pre-norm Transformer; ``heads`` divides ``width``, which is the embedding's size.
    dropout, attention_dropout : float
        On the branches and on the attention weights, in [0, 1).
    sessions : int
        Length of the window, at most 90.
    min_sessions : int
        Sessions of the window with all close-derived features; today is always one of them.
    mask_share : float
        Probability that a session (never the first) is masked in training.
    holdout_share : float
        Last part of train that decides which epoch is frozen; fitting windows do not reach into it.
    epochs, batch_size, learning_rate, weight_decay, clip, patience, warmup_share, rows_share
        See `Schedule`.
    variant : {"trained", "untrained"}
        ``untrained`` is the control: the same network with the weights it was born with.
    """

    width: int = 128
    layers: int = 4
    heads: int = 4
    feed_forward: int = 512
    dropout: float = 0.1
    attention_dropout: float = 0.1
    sessions: int = 30
    min_sessions: int = 25
    mask_share: float = 0.15
    epochs: int = 100
    batch_size: int = 256
    learning_rate: float = 1e-4
    patience: int = 20
    variant: Literal["trained", "untrained"] = "trained"

    name: ClassVar[str] = "temporal_encoder"
    kind: ClassVar[Kind] = "asset"
    self_supervised: ClassVar[bool] = True
    outputs: ClassVar[tuple[str, ...]] = ("embedding", "attention", "reconstruction_error")

    def __post_init__(self) -> None:
        if self.heads < 1 or self.layers < 1 or self.width < 2 or self.width % (2 * self.heads):
            raise PlanError(
                "`width` must be an even multiple of `heads` and `layers` at least 1, got width "
                f"{self.width}, heads {self.heads}, layers {self.layers}."
            )
        if not 2 <= self.min_sessions <= self.sessions <= LONGEST:
            raise PlanError(
                f"`min_sessions` <= `sessions` <= {LONGEST} is needed, got {self.min_sessions} and {self.sessions}."
            )
        for name in ("dropout", "attention_dropout"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise PlanError(f"`{name}` must lie in [0, 1), got {getattr(self, name)}.")
        if not (0.0 < self.mask_share < 1.0 and 0.0 < self.holdout_share < 1.0):
            raise PlanError(
                f"`mask_share` and `holdout_share` must lie in (0, 1), got {self.mask_share} and {self.holdout_share}."
            )
        if self.variant not in ("trained", "untrained"):
            raise PlanError(f"`variant` is `trained` or `untrained`, got {self.variant!r}.")
        _ = self.schedule

    @property
    def reads(self) -> tuple[Read, ...]:
        return tuple(Read(name, self.sessions) for name in FEATURE_ORDER)

    @property
    def learns_from(self) -> tuple[str, ...]:
        return ()

    def fit(self, train: TrainView, ctx: FitContext) -> tuple[Candidate, ...]:
        """The trained network and its untrained twin; both start from the same weights."""
        values, usable = _features(train), _usable(train, self)
        rows = train.member & (usable == Reason.KNOWN)
        scaler = Standardiser.fit(values[train.at(FEATURE_ORDER[0])][rows])
        block = _pairs(values, scaler)
        learning, held = holdout_split(train.days, self.holdout_share, self.sessions)
        source = self._masked(block, rows & learning[:, None], train)
        holdout = self._masked(block, rows & held[:, None], train)
        untrained = network_from(*self._born(ctx))
        twin = FittedTemporalEncoder(self, "untrained", scaler, untrained)
        control = Candidate("untrained", twin, (), self._audit(untrained, holdout, ctx))
        if self.variant == "untrained":
            return (control,)
        training = train_network(self.network, masked_loss, source, holdout, self.schedule, ctx)
        network = network_from(self.network(), training.best)
        summary = {**training.summary, **self._audit(network, holdout, ctx)}
        fitted = FittedTemporalEncoder(self, "trained", scaler, network)
        return Candidate("trained", fitted, training.history, summary), control

    def restore(self, state: ModuleState) -> FittedTemporalEncoder:
        """Rebuild a fit; its answers are bit-equal."""
        weights = {
            name.removeprefix("weight/"): values for name, values in state.arrays.items() if name.startswith("weight/")
        }
        scaler = Standardiser.restore(state.arrays, "scaler")
        network = network_from(self.network(), weights)
        return FittedTemporalEncoder(self, str(state.facts["variant"]), scaler, network)

    def network(self) -> nn.Module:
        """The untrained network; every size and dropout of the settings is wired in (D-ENC-03)."""
        sizes = EncoderSizes(
            n_features=len(FEATURE_ORDER),
            sessions=self.sessions,
            width=self.width,
            layers=self.layers,
            heads=self.heads,
            feed_forward=self.feed_forward,
            dropout=self.dropout,
            attention_dropout=self.attention_dropout,
        )
        return EncoderNetwork(sizes)

    def _born(self, ctx: FitContext) -> tuple[nn.Module, Mapping[str, AnyArray]]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(ctx.stream("init"))
            network = self.network()
        return network, weights_of(network)

    def _masked(self, block: Float32Array, rows: BoolArray, train: TrainView) -> _MaskedRows:
        day, asset = np.nonzero(rows)
        last = train.at(FEATURE_ORDER[0])[day]
        return _MaskedRows(WindowRows(block, asset, last, self.sessions), self.mask_share)

    def _audit(self, network: nn.Module, holdout: _MaskedRows, ctx: FitContext) -> dict[str, float]:
        """Embedding audit and gap filling on hold-out rows drawn evenly over time."""
        if len(holdout) == 0:
            return {}
        picked = np.unique(np.linspace(0, len(holdout) - 1, AUDITED).round().astype(np.int64))
        taken = holdout.take(picked, ctx.rng("audit"))
        restored, embedding = predict_rows(lambda batch: filled(network, batch), _Ready(taken, len(picked)))
        return {
            **audit_embeddings(embedding),
            **gap_filling(taken["window"], taken["mask"], restored),
        }


@dataclass(frozen=True, slots=True)
class FittedTemporalEncoder:
    """A frozen encoder with its train scale."""

    settings: TemporalEncoder
    variant: str
    scaler: Standardiser
    network: nn.Module
    name: ClassVar[str] = "temporal_encoder"

    def predict_many(self, span: Span) -> Answers:
        """``embedding`` (n_days, n_assets, width), ``attention`` (.., sessions) and the surprise.

        ``attention`` are the pooling weights over the window, oldest session first, 0 at sessions
        without data. ``reconstruction_error`` is the mean squared error, in train variances, with
        which the network restores today's bar from the sessions before it.
        """
        codes = _usable(span, self.settings)
        day, asset = np.nonzero(codes == Reason.KNOWN)
        block = _pairs(_features(span), self.scaler)
        rows = WindowRows(block, asset, span.at(FEATURE_ORDER[0])[day], self.settings.sessions)
        said = predict_rows(lambda batch: answered(self.network, batch), rows)
        outputs: dict[str, AnyArray] = {}
        for name, values in zip(TemporalEncoder.outputs, said, strict=True):
            full = np.full(codes.shape + values.shape[1:], np.nan)
            full[day, asset] = rounded(values)
            outputs[name] = full if full.ndim == 2 else full.astype(np.float32)
        return answers_of(self.name, span, outputs, codes)

    def explain(self, span: Span, answers: Answers) -> StrArray:  # noqa: ARG002
        """Where the encoder looks, and how ordinary today's bar is."""
        attention = answers.outputs["attention"]
        surprise = answers.outputs["reconstruction_error"]

        def write(day: int, asset: int) -> str:
            weights = attention[day, asset]
            top = int(weights.argmax())
            return _told(weights.size - 1 - top, float(weights[top]), float(surprise[day, asset]))

        return per_row(answers, write)

    def state(self) -> ModuleState:
        weights = {f"weight/{name}": one for name, one in weights_of(self.network).items()}
        return ModuleState({**weights, **self.scaler.arrays("scaler")}, {"variant": self.variant})


def _told(sessions_ago: int, weight: float, surprise: float) -> str:
    where = "today" if sessions_ago == 0 else f"the session {sessions_ago} days ago"
    kind = "ordinary" if surprise < 0.5 else "unusual" if surprise < 2.0 else "very unusual"
    return (
        f"The price pattern encoder attends most to {where}, with {weight:.1%} of its weight. "
        f"Today's bar looks {kind}: restored from earlier sessions it is off by {surprise:.2f} "
        "train variances."
    )


def _features(span: Span) -> AnyArray:
    """All rows of the ten features, (rows, n_assets, 10)."""
    return np.stack([span.block(name) for name in FEATURE_ORDER], axis=-1)


def _pairs(values: AnyArray, scaler: Standardiser) -> Float32Array:
    """Scaled values and flags, asset-major: (n_assets, rows, 20)."""
    pairs = scaler.pairs(values).astype(np.float32)
    return np.ascontiguousarray(pairs.transpose(1, 0, 2))


def _usable(span: Span, settings: TemporalEncoder) -> NDArray[np.int8]:
    """Reason codes, (n_days, n_assets)."""
    whole: BoolArray = np.ones(span.block(FEATURE_ORDER[0]).shape, dtype=np.bool_)
    for position in FROM_CLOSES:
        whole &= np.isfinite(span.block(FEATURE_ORDER[position]))
    before = np.concatenate([np.zeros((1, whole.shape[1]), dtype=np.int64), whole.cumsum(axis=0)])
    last = span.at(FEATURE_ORDER[0])
    first = last - settings.sessions + 1
    n_whole = before[last + 1] - before[first]
    # Warm-up: the usable sessions of the window are the latest ones, so there were none before.
    run = _run_length(whole)[last]
    return reasons(
        ((n_whole < settings.min_sessions) & (run == n_whole), Reason.WARM_UP),
        (n_whole < settings.min_sessions, Reason.TOO_FEW_OBSERVATIONS),
        (~whole[last], Reason.INPUT_MISSING),
    )


def _run_length(whole: BoolArray) -> IntArray:
    """Number of True values in a row that end at each row."""
    rows = np.arange(len(whole))[:, None]
    last_false = np.maximum.accumulate(np.where(whole, -1, rows), axis=0)
    return (rows - last_false).astype(np.int64)


@dataclass(frozen=True, slots=True)
class _MaskedRows:
    """Windows with sessions masked at random, never the first."""

    windows: WindowRows
    share: float

    def __len__(self) -> int:
        return len(self.windows)

    def take(self, rows: IntArray, rng: np.random.Generator) -> Mapping[str, AnyArray]:
        taken = self.windows.take(rows, rng)
        mask = rng.random((len(rows), self.windows.sessions)) < self.share
        mask[:, 0] = False
        return {**taken, "mask": mask}


@dataclass(frozen=True, slots=True)
class _Ready:
    """Rows that were already taken, with their masks."""

    arrays: Mapping[str, AnyArray]
    n_rows: int

    def __len__(self) -> int:
        return self.n_rows

    def take(
        self,
        rows: IntArray,
        rng: np.random.Generator,  # noqa: ARG002
    ) -> Mapping[str, AnyArray]:
        return {name: values[rows] for name, values in self.arrays.items()}
