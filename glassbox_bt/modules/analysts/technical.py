"""Where is a name heading, and is now the time? Trend, momentum and timing from its embeddings.

1. Four outcomes are standardised by the volatility known at the decision (`targets`): the moves
   over 20 and 5 sessions (signed), the size of the latter, and how far the price went for the
   position less how far against it.
2. Each has an anchor: ridge on eight plain indicators. A recurrent network over 30 embeddings adds
   a residual that starts at zero and stops learning when the last part of train no longer gains.
3. Raw forecasts are close to nothing, as honest ones are. Scores put them on the scale of their own
   frozen train distribution (R14): 0.5 is the median forecast, not "no move".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from torch import nn

from glassbox_bt.errors import TrainingError
from glassbox_bt.market.view import Span, TrainView
from glassbox_bt.modules._anchor import (
    LinearAnchor,
    RankScale,
    Standardiser,
    fit_ridge,
    information_coefficient,
)
from glassbox_bt.modules._attribution import per_row
from glassbox_bt.modules._technical_inputs import (
    EMBEDDING,
    INDICATORS,
    TARGETS,
    TimingRule,
    embedding_width,
    embedding_windows,
    indicators,
    limited,
    squared_error,
    targets,
    told,
    unknown,
)
from glassbox_bt.modules._technical_network import (
    TechnicalNetwork,
    TechnicalSizes,
    answered,
    smooth_l1,
)
from glassbox_bt.modules._trained import FullyTrained, candidate_of, check_parts, check_penalties, check_recurrent
from glassbox_bt.modules._training import (
    Training,
    holdout_split,
    network_from,
    predict_rows,
    train_network,
    weights_of,
)
from glassbox_bt.modules.base import Candidate, FitContext, ModuleState, answers_of, rounded
from glassbox_bt.types import (
    Answers,
    AnyArray,
    BoolArray,
    Float32Array,
    FloatArray,
    Kind,
    Read,
    Reason,
    StrArray,
)

__all__ = ["FittedTechnicalAnalyst", "TechnicalAnalyst"]

HEADS = ("trend", "momentum", "intensity", "timing")
SCALED = ("trend", "momentum", "timing")  # heads that are put on a rank scale
GOOD_IC = 0.10  # rank correlation that counts as full reliability; honest daily forecasts stay below
Variant = Literal["anchored", "anchor", "network"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TechnicalAnalyst(FullyTrained):
    """Direction and timing of one name from 30 embeddings (59 sessions of bars) and indicators.

    Parameters
    ----------
    cell : {"lstm", "gru"}
        Of the bidirectional recurrent network.
    hidden, layers, attention : int
        Its width per direction, its depth, and the width of the additive attention.
    dropout : float
        In [0, 1).
    sessions, min_sessions : int
        Embeddings looked back on, and how many of them must be known; today's always.
    ridge : float
        Penalty of the anchors, per row.
    holdout_share : float
        Last part of train, purged by the longest label, that stops training and rates reliability.
    epochs, batch_size, learning_rate, weight_decay, clip, patience, warmup_share, rows_share
        See `Schedule`.
    variant : {"anchored", "anchor", "network"}
        Anchor plus residual, or either alone (R32).
    """

    cell: Literal["lstm", "gru"] = "lstm"
    hidden: int = 64
    layers: int = 1
    attention: int = 64
    dropout: float = 0.2
    sessions: int = 30
    min_sessions: int = 25
    ridge: float = 0.1
    epochs: int = 50
    batch_size: int = 512
    patience: int = 10
    variant: Variant = "anchored"

    name: ClassVar[str] = "technical"
    kind: ClassVar[Kind] = "asset"
    self_supervised: ClassVar[bool] = False
    outputs: ClassVar[tuple[str, ...]] = (
        "trend_score",
        "momentum_score",
        "move_intensity",
        "timing_confidence",
        "trend_raw",
        "trend_anchor_raw",
        "momentum_raw",
        "timing_raw",
        "timing_rule_score",
        "trend_reliability",
        "attention",
    )

    def __post_init__(self) -> None:
        check_recurrent(self)
        check_penalties(self, "ridge")
        _ = self.schedule

    @property
    def reads(self) -> tuple[Read, ...]:
        return (Read(EMBEDDING, self.sessions), *INDICATORS)

    @property
    def learns_from(self) -> tuple[str, ...]:
        return TARGETS

    def fit(self, train: TrainView, ctx: FitContext) -> tuple[Candidate, ...]:
        """The variant of the settings and, beside a network, its anchor alone."""
        wanted = targets(train)  # (n_days, n_assets, 4)
        known = unknown(train, self.sessions, self.min_sessions) == Reason.KNOWN
        rows = known & np.isfinite(wanted).any(axis=-1)
        learning, held = holdout_split(train.days, self.holdout_share, horizon=20)
        fit_rows, held_rows = rows & learning[:, None], rows & held[:, None]
        check_parts(self.name, fit_rows, held_rows)
        plain = indicators(train)
        scaler = Standardiser.fit(plain[fit_rows])
        inputs = scaler.scaled(plain[fit_rows])
        heads = np.moveaxis(wanted[fit_rows], -1, 0)
        anchors = tuple(fit_ridge(inputs, head, penalty=self.ridge) for head in heads)
        bare = FittedTechnicalAnalyst(
            replace(self, variant="anchor"),
            scaler,
            anchors,
            TimingRule.fit(train.today("macd_hist")[fit_rows]),
            None,
            embedding_width(train),
        )
        if self.variant == "anchor":
            return (_judged(bare, train, held_rows, wanted, None),)
        training = self._train(bare, train, (fit_rows, held_rows), wanted, ctx)
        network = network_from(self.network(embedding_width(train)), training.best)
        whole = replace(bare, settings=self, network=network)
        chosen = _judged(whole, train, held_rows, wanted, training)
        return chosen, _judged(bare, train, held_rows, wanted, None)

    def restore(self, state: ModuleState) -> FittedTechnicalAnalyst:
        """Rebuild a fit; its answers are bit-equal."""
        arrays, facts = state.arrays, state.facts
        width = int(arrays["width"][0])
        weights = {k.removeprefix("weight/"): v for k, v in arrays.items() if k.startswith("weight/")}
        return FittedTechnicalAnalyst(
            replace(self, variant=facts["variant"]),  # type: ignore[arg-type]
            Standardiser.restore(arrays, "scaler"),
            tuple(LinearAnchor.restore(arrays, f"anchor.{number}") for number in range(4)),
            TimingRule(*arrays["timing_rule"].tolist()),
            network_from(self.network(width), weights) if weights else None,
            width,
            {name: RankScale.restore(arrays, name) for name in SCALED},
            float(arrays["reliability"][0]),
        )

    def network(self, width: int) -> nn.Module:
        """The untrained network on embeddings of that width."""
        return TechnicalNetwork(
            TechnicalSizes(
                width=width,
                n_heads=4,
                cell=self.cell,
                hidden=self.hidden,
                layers=self.layers,
                attention=self.attention,
                dropout=self.dropout,
                starts_at_zero=self.variant == "anchored",
            )
        )

    def _train(
        self,
        bare: FittedTechnicalAnalyst,
        train: TrainView,
        parts: tuple[BoolArray, BoolArray],
        wanted: FloatArray,
        ctx: FitContext,
    ) -> Training:
        base = replace(bare, settings=self).base(train)
        sources = []
        for rows in parts:
            extras = {
                "target": wanted[rows].astype(np.float32),
                "anchor": base[rows].astype(np.float32),
            }
            sources.append(embedding_windows(train, rows, self.sessions, extras))
        width = bare.width
        return train_network(lambda: self.network(width), smooth_l1, sources[0], sources[1], self.schedule, ctx)


@dataclass(frozen=True, slots=True)
class FittedTechnicalAnalyst:
    """Anchors, residual network (None for the anchor alone) and the frozen rank scales."""

    settings: TechnicalAnalyst
    scaler: Standardiser
    anchors: tuple[LinearAnchor, ...]  # by target
    rule: TimingRule
    network: nn.Module | None
    width: int
    scales: Mapping[str, RankScale] | None = None  # None only while it is being fitted
    reliability: float = 0.0
    name: ClassVar[str] = "technical"

    def base(self, span: Span) -> FloatArray:
        """What the network's residual is added to, (n_days, n_assets, 4).

        The anchors' forecasts; for the network alone their intercepts, the train means.
        """
        if self.settings.variant == "network":
            means = np.array([one.intercept for one in self.anchors])
            return np.broadcast_to(means, (*span.member.shape, 4))
        return self.anchored(span)

    def anchored(self, span: Span) -> FloatArray:
        """The anchors' forecasts, (n_days, n_assets, 4)."""
        inputs = self.scaler.scaled(indicators(span))
        return np.stack([one.predict(inputs) for one in self.anchors], axis=-1)

    def raw(self, span: Span, rows: BoolArray) -> tuple[FloatArray, Float32Array]:
        """Forecasts on the targets' scale, (n_days, n_assets, 4), and attention; NaN off ``rows``."""
        forecast = np.where(rows[..., None], self.base(span), np.nan)
        attention = np.full((*rows.shape, self.settings.sessions), np.nan, dtype=np.float32)
        if self.network is not None:
            network = self.network
            windows = embedding_windows(span, rows, self.settings.sessions, {})
            residual, weights = predict_rows(lambda batch: answered(network, batch), windows)
            forecast[rows] += residual
            attention[rows] = rounded(weights)
        return limited(forecast), attention

    def predict_many(self, span: Span) -> Answers:
        """Scores, the raw forecasts behind them, and the attention over 30 embeddings.

        ``trend_score`` and ``timing_confidence`` are ranks in [0, 1], ``momentum_score`` a signed
        one in [-1, 1]; positive is bullish. ``move_intensity`` in [0, 1] is the expected size of
        the coming five sessions' move in standard deviations, whatever its sign (D-TEC-02).
        ``timing_rule_score`` is a baseline that was never trained (D-TEC-03).
        ``trend_reliability`` in [0, 1] is a constant of the fit: its rank correlation with the
        outcomes of the hold-out, over 0.10, cut at 0 and 1.
        """
        if self.scales is None:
            raise TrainingError("The technical analyst has no rank scale yet. Use a fitted candidate.")
        codes = unknown(span, self.settings.sessions, self.settings.min_sessions)
        raw, attention = self.raw(span, codes == Reason.KNOWN)
        heads = dict(zip(HEADS, np.moveaxis(raw, -1, 0), strict=True))
        scales = self.scales
        outputs: dict[str, AnyArray] = {
            "trend_score": rounded(scales["trend"].rank(heads["trend"])),
            "momentum_score": rounded(scales["momentum"].signal(heads["momentum"])),
            "move_intensity": heads["intensity"],
            "timing_confidence": rounded(scales["timing"].rank(heads["timing"])),
            "trend_raw": heads["trend"],
            "trend_anchor_raw": limited(self.anchored(span))[..., 0],
            "momentum_raw": heads["momentum"],
            "timing_raw": heads["timing"],
            "timing_rule_score": rounded(self.rule.score(span)),
            "trend_reliability": np.full(codes.shape, self.reliability),
        }
        if self.network is not None:
            outputs["attention"] = attention
        return answers_of(self.name, span, outputs, codes)

    def with_reference(self, oof: Answers) -> FittedTechnicalAnalyst:
        """The same fit, its rank scales frozen on the out-of-fold train answers (R14)."""
        return replace(self, scales={name: RankScale.of(oof.outputs[f"{name}_raw"]) for name in SCALED})

    def explain(self, span: Span, answers: Answers) -> StrArray:
        """The indicator that moves the trend most, and where the network looked."""
        inputs = self.scaler.scaled(indicators(span))
        shares = self.anchors[0].contributions(inputs)
        outputs, alone = answers.outputs, self.settings.variant == "network"

        def write(day: int, asset: int) -> str:
            row = {name: float(one[day, asset]) for name, one in outputs.items() if one.ndim == 2}
            weights = outputs["attention"][day, asset] if "attention" in outputs else None
            return told(row, None if alone else shares[day, asset], weights)

        return per_row(answers, write)

    def state(self) -> ModuleState:
        arrays: dict[str, AnyArray] = {
            "reliability": np.array([self.reliability]),
            "timing_rule": np.array([self.rule.median, self.rule.spread]),
            "width": np.array([self.width], dtype=np.int64),
            **self.scaler.arrays("scaler"),
        }
        for number, anchor in enumerate(self.anchors):
            arrays |= anchor.arrays(f"anchor.{number}")
        for name, scale in (self.scales or {}).items():
            arrays |= scale.arrays(name)
        if self.network is not None:
            arrays |= {f"weight/{name}": one for name, one in weights_of(self.network).items()}
        return ModuleState(arrays, {"variant": self.settings.variant})


def _judged(
    fitted: FittedTechnicalAnalyst,
    train: TrainView,
    held_rows: BoolArray,
    wanted: FloatArray,
    training: Training | None,
) -> Candidate:
    """A candidate with its provisional rank scales, its reliability and its hold-out figures."""
    raw, _ = fitted.raw(train, held_rows)
    forecasts = dict(zip(HEADS, np.moveaxis(raw, -1, 0), strict=True))
    anchored = limited(fitted.anchored(train))
    known = np.where(held_rows[..., None], wanted, np.nan)
    ic, anchor_ic = (information_coefficient(one[..., 0], known[..., 0]) for one in (raw, anchored))
    done = replace(
        fitted,
        scales={name: RankScale.of(forecasts[name]) for name in SCALED},
        reliability=float(np.round(np.clip(ic / GOOD_IC, 0.0, 1.0), 6)),
    )
    figures = {
        "holdout_trend_ic": ic,
        "holdout_trend_ic_anchor": anchor_ic,
        "holdout_error": squared_error(raw, known),
        "holdout_error_anchor": squared_error(anchored, known),
    }
    if training is not None:
        figures["network_beats_anchor_on_holdout"] = figures["holdout_error"] < figures["holdout_error_anchor"]
    return candidate_of(fitted.settings.variant, done, training, figures)
