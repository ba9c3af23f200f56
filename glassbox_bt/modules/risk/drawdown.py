"""How deep could a name fall, and how soon is it back? Drawdown, its risk and its recovery over 10 and 30 sessions.

1. Anchors: a ridge of the log drawdown on logs of plain volatilities gives expected drawdown, median and upper decile; a
   logit the probability of a drawdown beyond 5 % (10 sessions) and 8 % (30); a ridge the time until recovery.
2. A recurrent network with attention over 30 embeddings changes them by a residual that starts at zero, head by head, and
   only where it beat the anchor on the last part of train. Answers are put together so that a longer horizon or a higher
   quantile is never the smaller one.
3. Confidence is the probability that the relative error is smaller than the median one of train, from the spread of the
   forecast and the disagreement of its inputs; it is no function of the risk (D-DRW-03).
4. Beside each answer stand its anchor and what a sceptic would say: the outcomes of the train days with about the same
   volatility, by tenths.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from glassbox_bt.market.view import Span, TrainView
from glassbox_bt.modules._anchor import RankScale, Standardiser
from glassbox_bt.modules._attribution import Counterfactual, Gradients, per_row
from glassbox_bt.modules._drawdown_inputs import (
    EMBEDDING,
    GROUPS,
    HORIZONS,
    LABELS,
    PLAIN,
    THRESHOLDS,
    embeddings,
    outcomes,
    plain_inputs,
    unknown,
    windows,
)
from glassbox_bt.modules._drawdown_model import DrawdownModel, Heads, TrainRows, rated, risk_score, train
from glassbox_bt.modules._drawdown_network import COLUMNS, N_COLUMNS, DrawdownSizes
from glassbox_bt.modules._reading import laid_out
from glassbox_bt.modules._trained import FullyTrained, check_penalties, check_recurrent, split_rows
from glassbox_bt.modules.base import Candidate, FitContext, FittedModule, ModuleState, answers_of, rounded
from glassbox_bt.types import Answers, AnyArray, BoolArray, FloatArray, Kind, Read, Reason, StrArray

__all__ = ["Drawdown", "FittedDrawdown"]

FIRST = ("expected_drawdown", "drawdown_risk", "recovery_days", "confidence")
LEARNED = ("expected_drawdown", "drawdown_q50", "drawdown_q90", "drawdown_risk")  # each with its anchor and its bucket
EFFECTS = (*GROUPS, "embedding")
EFFECT_WORDS = ("the GARCH forecast", "recent realised volatility", "the shape of the last sessions")
PUSHES = (("all volatilities half as high again", 1.5), ("all volatilities a third lower", 2.0 / 3.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawdown(FullyTrained):
    """Drawdown, risk and recovery over 10 and 30 sessions from 30 embeddings (59 sessions of bars) and volatilities.

    Parameters
    ----------
    variant : {"anchored", "anchor", "network"}
        Anchors plus residual, anchors alone, or the network over train means alone (R32).
    cell : {"lstm", "gru"}
        Of the bidirectional recurrent network.
    hidden, layers, attention : int
        Its width per direction, its depth, and the width of the additive attention.
    dropout : float
        In [0, 1).
    sessions, min_sessions : int
        Embeddings looked back on, and how many of them must be known; today's always.
    ridge, logit : float
        L2 penalties of the anchors, per row.
    holdout_share : float
        Last part of train, purged by the longer label, on which training stops and residuals earn their place.
    epochs, batch_size, learning_rate, weight_decay, clip, patience, warmup_share, rows_share
        See `Schedule`.
    """

    variant: Literal["anchored", "anchor", "network"] = "anchored"
    cell: Literal["lstm", "gru"] = "lstm"
    hidden: int = 64
    layers: int = 1
    attention: int = 64
    dropout: float = 0.2
    sessions: int = 30
    min_sessions: int = 25
    ridge: float = 0.01
    logit: float = 0.01
    epochs: int = 50
    batch_size: int = 512
    patience: int = 10

    name: ClassVar[str] = "drawdown"
    kind: ClassVar[Kind] = "asset"
    self_supervised: ClassVar[bool] = False
    outputs: ClassVar[tuple[str, ...]] = (
        *(f"{kind}_{h}d" for h in HORIZONS for kind in FIRST),
        "drawdown_risk_score",
        "drawdown_risk_rank",
        *(f"{kind}_{h}d" for h in HORIZONS for kind in ("drawdown_q50", "drawdown_q90")),
        *(f"{kind}_{h}d_anchor" for h in HORIZONS for kind in LEARNED),
        *(f"{kind}_{h}d_bucket" for h in HORIZONS for kind in LEARNED),
        *(f"log_effect_{group}" for group in EFFECTS),
        "network_speaks",
        "attention",
    )

    def __post_init__(self) -> None:
        check_recurrent(self)
        check_penalties(self, "ridge", "logit")
        _ = self.schedule

    @property
    def reads(self) -> tuple[Read, ...]:
        return (Read(EMBEDDING, self.sessions), *PLAIN)

    @property
    def learns_from(self) -> tuple[str, ...]:
        return LABELS

    def fit(self, train_view: TrainView, ctx: FitContext) -> tuple[Candidate, ...]:
        """The variant of the settings and, beside a network, its anchor alone."""
        rows, scaler = self._train_rows(train_view)
        bare = self._anchors(rows, scaler, on_anchors=True)
        settings, still = replace(self, variant="anchor"), np.zeros((len(rows.y), N_COLUMNS))
        anchor = Candidate("anchor", _ranked(settings, bare, rows, still), (), _quality(bare, rows, still))
        if self.variant == "anchor":
            return (anchor,)
        start = bare if self.variant == "anchored" else self._anchors(rows, scaler, on_anchors=False)
        model, residual, training = train(start, rows, self.schedule, ctx)
        model = rated(model, rows, residual, self.logit)
        figures = _quality(model, rows, residual)
        beats = figures["holdout_pinball"] < figures["holdout_pinball_anchor"]  # type: ignore[operator]
        summary = {**training.summary, **figures, "network_beats_anchor_on_holdout": beats}
        return Candidate(self.variant, _ranked(self, model, rows, residual), training.history, summary), anchor

    def validation_loss(self, fitted: FittedModule, view: TrainView) -> float:
        """Mean pinball loss of all quantiles where the outcome is known; lower is better, NaN without an outcome."""
        return _pinball_on(fitted, view)

    def restore(self, state: ModuleState) -> FittedDrawdown:
        """Rebuild a fit; its answers are the same bit for bit."""
        arrays, variant = state.arrays, state.facts["variant"]
        sizes = self._sizes(arrays["embedding_scaler.mean"].shape[0])
        model = DrawdownModel.restore(arrays, sizes, self.sessions, on_anchors=variant != "network")
        return FittedDrawdown(replace(self, variant=variant), model, RankScale.restore(arrays, "score"))  # type: ignore[arg-type]

    def _anchors(self, rows: TrainRows, scaler: Standardiser, *, on_anchors: bool) -> DrawdownModel:
        sizes, penalties = self._sizes(len(scaler.mean)), (self.ridge, self.logit)
        model = DrawdownModel.of_anchors(rows, scaler, sizes, penalties, on_anchors=on_anchors)
        return rated(model, rows, np.zeros((len(rows.y), N_COLUMNS)), self.logit)

    def _sizes(self, width: int) -> DrawdownSizes:
        return DrawdownSizes(width, self.cell, self.hidden, self.layers, self.attention, self.dropout)

    def _train_rows(self, view: TrainView) -> tuple[TrainRows, Standardiser]:
        """Rows with a known outcome and the scale of their embeddings."""
        y = outcomes(view)
        known = (unknown(view, self.sessions, self.min_sessions) == Reason.KNOWN) & np.isfinite(y).any(axis=-1)
        fitting, held_out = split_rows(self, view.days, known, max(HORIZONS))
        scaler = Standardiser.fit(embeddings(view, known)[fitting])
        steps = windows(view, known, self.sessions, scaler)
        day = view.days[np.nonzero(known)[0]]
        return TrainRows(day, plain_inputs(view)[known], steps, y[known], fitting, held_out), scaler


@dataclass(frozen=True, slots=True, eq=False)
class FittedDrawdown:
    """A drawdown module that answers; ``scale`` ranks its score among those of train (R14)."""

    settings: Drawdown
    model: DrawdownModel
    scale: RankScale
    name: ClassVar[str] = "drawdown"

    def predict_many(self, span: Span) -> Answers:
        """Answers for members whose embeddings are known; labels have no part in it, so every such day is answered.

        * ``expected_drawdown_*``: largest fall from the running peak, a positive fraction; ``drawdown_q50_*`` and ``_q90_*``
          its median and upper decile.
        * ``drawdown_risk_*``: probability of a drawdown of at least 5 % within 10 sessions, 8 % within 30.
        * ``recovery_days_*``: expected sessions from the trough back to the peak, the horizon where it is not reached.
        * ``confidence_*``: probability that the relative error is smaller than the median one of train.
        * ``drawdown_risk_score`` in [0, 1], 1 = worst: spec §12; ``drawdown_risk_rank``: its rank among train's.
        * ``*_anchor``: without the network; ``*_bucket``: train outcomes at about the same volatility.
        * ``log_effect_*``: log of the expected drawdown over 10 sessions less that with the group at its train mean.
        * ``attention`` over the embeddings, oldest first; adds up to 1. Absent for the anchor alone. It says something about
          the answers only where ``network_speaks``: the share of the heads whose residual is used.
        """
        codes = unknown(span, self.settings.sessions, self.settings.min_sessions)
        known = codes == Reason.KNOWN
        plain, model = plain_inputs(span)[known], self.model
        residual, attention = model.residuals(windows(span, known, self.settings.sessions, model.embedding_scaler))
        said = _told(model.put_together(plain, residual)) | _by_horizon("anchor", *_learned(model.anchored(plain)))
        said |= _by_horizon("bucket", *np.moveaxis(model.buckets.at(plain), -1, 0))
        effects = model.effects(plain, residual)
        said |= {f"log_effect_{group}": effects[:, k] for k, group in enumerate(EFFECTS)}
        said["network_speaks"] = np.full(len(plain), model.speaks.mean())
        said = {name: rounded(one) for name, one in said.items()}
        said["drawdown_risk_rank"] = rounded(self.scale.rank(said["drawdown_risk_score"]))
        outputs: dict[str, AnyArray] = {**laid_out(said, known)}
        if attention is not None:
            outputs["attention"] = np.full((*known.shape, attention.shape[1]), np.nan, dtype=np.float32)
            outputs["attention"][known] = rounded(attention)
        return answers_of(self.name, span, outputs, codes)

    def with_reference(self, oof: Answers) -> FittedDrawdown:
        """The same fit with its rank scale frozen on the out-of-fold train answers (R14)."""
        return replace(self, scale=RankScale.of(oof.outputs["drawdown_risk_score"]))

    def gradients(self, span: Span, rows: BoolArray) -> tuple[FloatArray, Gradients]:
        """What adds up to the log expected drawdown over ten sessions on the True cells of ``rows``; `DrawdownModel`."""
        steps = windows(span, rows, self.settings.sessions, self.model.embedding_scaler)
        return self.model.gradients(plain_inputs(span)[rows], steps)

    def counterfactuals(self, span: Span, rows: BoolArray) -> tuple[Counterfactual, ...]:
        """``drawdown_risk_score`` on the True cells of ``rows`` with other volatilities; the embeddings stay as they are.

        Other *bars* have to be encoded anew, by whoever holds the encoder (D-XAI-02).
        """
        plain = plain_inputs(span)[rows]
        residual, _ = self.model.residuals(windows(span, rows, self.settings.sessions, self.model.embedding_scaler))

        def score(inputs: FloatArray) -> FloatArray:
            return np.asarray(_told(self.model.put_together(inputs, residual))["drawdown_risk_score"])

        before = score(plain)
        return tuple(
            Counterfactual(words, 1 if factor > 1.0 else -1, before, score(plain + np.log(factor)))
            for words, factor in PUSHES
        )

    def explain(self, span: Span, answers: Answers) -> StrArray:  # noqa: ARG002
        """Depth, risk and recovery, what moved the forecast most, and where the network looked."""
        out = answers.outputs

        def write(day: int, asset: int) -> str:
            row = {name: float(values[day, asset]) for name, values in out.items() if values.ndim == 2}
            return _words(row, out["attention"][day, asset] if "attention" in out else None)

        return per_row(answers, write)

    def state(self) -> ModuleState:
        arrays = self.model.arrays() | self.scale.arrays("score")
        return ModuleState(arrays, {"variant": self.settings.variant})


def _told(heads: Heads) -> dict[str, AnyArray]:
    """Columns of the answers' own outputs."""
    out = _by_horizon("", *_learned(heads))
    for k, horizon in enumerate(HORIZONS):
        out[f"recovery_days_{horizon}d"] = horizon * heads.recovery[:, k]
        out[f"confidence_{horizon}d"] = heads.confidence[:, k]
    return out | {"drawdown_risk_score": risk_score(heads.expected, heads.risk, heads.recovery)}


def _learned(heads: Heads) -> tuple[FloatArray, ...]:
    return heads.expected, heads.median, heads.upper, heads.risk


def _by_horizon(kind: str, *columns: FloatArray) -> dict[str, AnyArray]:
    """The four of ``LEARNED``, each (n_rows, 2), under their names."""
    end = f"_{kind}" if kind else ""
    return {
        f"{name}_{horizon}d{end}": one[:, k]
        for name, one in zip(LEARNED, columns, strict=True)
        for k, horizon in enumerate(HORIZONS)
    }


def _words(row: Mapping[str, float], attention: AnyArray | None) -> str:
    effects = [row[f"log_effect_{group}"] for group in EFFECTS]
    top = int(np.abs(effects).argmax())
    moved = "deepens" if effects[top] > 0.0 else "softens"
    text = (
        f"Expected drawdown {row['expected_drawdown_10d']:.1%} over 10 sessions and {row['expected_drawdown_30d']:.1%} over "
        f"30; risk of {THRESHOLDS[1]:.0%} or more {row['drawdown_risk_30d']:.0%}, score {row['drawdown_risk_score']:.2f}. "
        f"Most of all {EFFECT_WORDS[top]} {moved} it, by {abs(np.expm1(effects[top])):.0%}. "
        f"Recovery {row['recovery_days_30d']:.0f} of 30 sessions, confidence {row['confidence_30d']:.2f}."
    )
    if attention is None or row["network_speaks"] == 0.0:
        return text
    step = int(attention.argmax())
    ago = attention.size - 1 - step
    where = "today" if ago == 0 else f"{ago} sessions ago"
    return f"{text} Most attention: {where}, {float(attention[step]):.0%}."


def _ranked(settings: Drawdown, model: DrawdownModel, rows: TrainRows, residual: FloatArray) -> FittedDrawdown:
    """Ranked among its own train rows until out-of-fold answers exist."""
    said = _told(model.put_together(rows.plain, residual))
    return FittedDrawdown(settings, model, RankScale.of(rounded(said["drawdown_risk_score"])))


def _quality(model: DrawdownModel, rows: TrainRows, residual: FloatArray) -> dict[str, object]:
    """Hold-out figures of the model, its anchor and its baseline; none of them chooses anything."""
    held = rows.held_out
    plain, y = rows.plain[held], rows.y[held]
    heads = model.put_together(plain, residual[held])
    anchor = model.anchored(plain)
    rivals = {
        "": (heads.median, heads.upper, heads.risk),
        "_anchor": (anchor.median, anchor.upper, anchor.risk),
        "_bucket": tuple(np.moveaxis(model.buckets.at(plain), -1, 0)[1:]),
    }
    figures: dict[str, object] = {
        "network_speaks_on": [name for name, columns in COLUMNS.items() if model.speaks[columns[0]] > 0.0]
    }
    for name, (median, upper, risk) in rivals.items():
        figures[f"holdout_pinball{name}"] = _pinball(y[:, :2], median, upper)
        wrong = risk - (y[:, :2] >= np.array(THRESHOLDS))
        figures[f"holdout_brier{name}"] = float(np.mean(wrong[np.isfinite(y[:, :2])] ** 2))
    return figures


def _pinball(outcome: FloatArray, median: FloatArray, upper: FloatArray) -> float:
    """Mean pinball loss of both quantiles and horizons where the outcome is known, fractions of price."""
    known, total = np.isfinite(outcome), 0.0
    for forecast, level in ((median, 0.5), (upper, 0.9)):
        error = (outcome - forecast)[known]
        total += float(np.mean(np.maximum(level * error, (level - 1.0) * error)))
    return total / 2.0


def _pinball_on(fitted: FittedModule, view: TrainView) -> float:
    """Over the rows of a part whose outcomes are known."""
    said = fitted.predict_many(view)
    wanted = np.where(said.known[..., None], outcomes(view)[..., :2], np.nan)
    median, upper = (np.stack([said.outputs[f"drawdown_{q}_{h}d"] for h in HORIZONS], axis=-1) for q in ("q50", "q90"))
    return _pinball(wanted, median, upper)
