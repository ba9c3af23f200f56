"""What do risks and technical evidence say together? A risk-adjusted signal, a risk and a confidence (spec §20).

1. Rows: members of the day that position sizing and the technical analyst know. Sizes are no inputs (D-QNT-03).
2. Targets are outcomes (D-SYN-01): the forward 20-session return over its realised volatility, a drawdown of 5 % within
   10 sessions, and whether the name ends above the typical risk-adjusted return.
3. Each head is an anchor (ridge, logit, logit) plus a residual network that starts at zero (R32) and sees risks only
   through its attention (D-QNT-01). Anchors are additive, so their part of an answer is explained exactly.
4. Both drivers are written: the slot with the most attention, and the slot whose removal moves the risk most.
5. Signal and risk that rules test are ranks in the frozen out-of-fold distribution (R14); raw values stay beside them.
   A signal is ranked by its standing among the train signals of its own fit: levels of different fits do not compare.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from glassbox_bt.errors import PlanError
from glassbox_bt.market.view import Span, TrainView
from glassbox_bt.modules._attribution import RISK_WORDS, RISKS, first_largest, normalised, per_row
from glassbox_bt.modules._formulas import (
    RISK_STATES,
    quantitative_rule,
    recommendation,
    risk_state,
)
from glassbox_bt.modules._outcomes import LABELS, Outcomes, standing
from glassbox_bt.modules._quantitative_model import QuantitativeModel, Sizes, quality
from glassbox_bt.modules._reading import is_known, laid_out, today
from glassbox_bt.modules._trained import Trained, candidate_of, check_penalties, check_sizes
from glassbox_bt.modules.base import (
    Candidate,
    FitContext,
    ModuleState,
    answers_of,
    reasons,
    rounded,
)
from glassbox_bt.types import Answers, AnyArray, FloatArray, Kind, Read, Reason, StrArray

__all__ = ["FittedQuantitative", "QuantitativeAnalyst"]

CONTEXT = (
    "technical.trend_score",
    "technical.momentum_score",
    "technical.move_intensity",
    "technical.timing_confidence",
    "regime.regime_confidence",
)
FORMULA = {  # what the closed formula reads, sizes among it; a signal never does
    "trend_score": "technical.trend_score",
    "momentum_score": "technical.momentum_score",
    "timing_confidence": "technical.timing_confidence",
    "regime_confidence": "regime.regime_confidence",
    "combined_risk_score": "position_sizing.combined_risk_score",
    "technical_confidence": "position_sizing.technical_confidence",
    "position_fraction_of_max": "position_sizing.position_fraction_of_max",
    "recommended_capital_fraction": "position_sizing.recommended_capital_fraction",
}
FORMULA_WEIGHTS = np.array([0.20, 0.15, 0.15, 0.25, 0.15, 0.10])  # of the risks, spec §18
ACTIONS = ("SELL", "HOLD", "BUY")


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantitativeAnalyst(Trained):
    """Risk-adjusted signal in [-1, 1], risk and confidence in [0, 1] from six risk scores and technical evidence.

    The confidence is the probability that the name ends on the signal's side of the typical risk-adjusted return.

    Parameters
    ----------
    variant : {"anchored", "anchor", "network", "rule"}
        Anchors plus residual, anchors alone, the network over base rates alone, or the closed formula.
    attention, hidden, layers, dropout
        Widths, hidden layers and dropout of the network.
    event_drawdown : float
        Drawdown within 10 sessions that counts as a downside event, positive fraction.
    holdout : float
        Last share of the labelled train sessions, on which training stops and residuals earn their place.
    ridge_penalty, logit_penalty : float
        L2 penalty of the anchors, per row.
    epochs, batch_size, learning_rate, weight_decay, patience, rows_share
        As in `Schedule`.
    """

    variant: Literal["anchored", "anchor", "network", "rule"] = "anchored"
    attention: int = 32
    hidden: int = 64
    layers: int = 2
    dropout: float = 0.15
    event_drawdown: float = 0.05
    holdout: float = 0.15
    ridge_penalty: float = 0.1
    logit_penalty: float = 0.01
    epochs: int = 40
    batch_size: int = 1024
    patience: int = 6
    name: ClassVar[str] = "quantitative"
    kind: ClassVar[Kind] = "asset"
    self_supervised: ClassVar[bool] = False
    outputs: ClassVar[tuple[str, ...]] = (
        "risk_adjusted_quantitative_signal",
        "risk_adjusted_quantitative_signal_raw",
        "risk_adjusted_quantitative_signal_standing",
        "risk_adjusted_quantitative_signal_anchor_raw",
        "technical_direction_score",
        "quantitative_risk_score",
        "quantitative_risk_prob",
        "quantitative_risk_prob_anchor",
        "quantitative_risk_state",
        "quantitative_confidence",
        "quantitative_action_strength",
        "quantitative_recommendation",
        "attention_pooled_risk_score",
        *(f"risk_attention_{risk}" for risk in RISKS),
        *(f"risk_delta_{risk}" for risk in RISKS),
        "top_attention_risk_driver",
        "top_delta_risk_driver",
        "quantitative_rule_signal",
        "quantitative_rule_risk_score",
        "quantitative_rule_confidence",
        "quantitative_rule_recommendation",
    )
    vocabulary: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "quantitative_recommendation": ACTIONS,
        "quantitative_rule_recommendation": ACTIONS,
        "quantitative_risk_state": RISK_STATES,
        "top_attention_risk_driver": RISKS,
        "top_delta_risk_driver": RISKS,
    }

    def __post_init__(self) -> None:
        if self.variant not in ("anchored", "anchor", "network", "rule"):
            raise PlanError(f"`variant` must be anchored, anchor, network or rule, got {self.variant!r}.")
        if not 0.0 < self.event_drawdown < 1.0:
            raise PlanError(f"`event_drawdown` must lie in (0, 1), got {self.event_drawdown}.")
        check_sizes(self, "attention", "hidden", "layers")
        check_penalties(self, "ridge_penalty", "logit_penalty", holdout="holdout")
        _ = self.schedule

    @property
    def reads(self) -> tuple[Read, ...]:
        risks = [f"position_sizing.{r}_risk_{part}" for r in RISKS for part in ("score", "available")]
        known = ["position_sizing.known", "technical.known"]
        return tuple(Read(column) for column in dict.fromkeys([*risks, *CONTEXT, *FORMULA.values(), *known]))

    @property
    def learns_from(self) -> tuple[str, ...]:
        return () if self.variant == "rule" else LABELS

    @property
    def sizes(self) -> Sizes:
        """The network that these settings ask for."""
        return Sizes(len(CONTEXT), self.attention, self.hidden, self.layers, self.dropout)

    def fit(self, train_view: TrainView, ctx: FitContext) -> tuple[Candidate, ...]:
        """Fit the variant that the settings name; the closed formula needs no fit."""
        if self.variant == "rule":
            return (Candidate("rule", FittedQuantitative(self, None)),)
        x, known = _train_rows(train_view, self)
        penalties = (self.ridge_penalty, self.logit_penalty)
        on_anchors = self.variant != "network"
        model, training = QuantitativeModel.of_anchors(x, known, self.sizes, penalties, on_anchors=on_anchors), None
        if self.variant != "anchor":
            model, training = model.trained(x, known, self.schedule, ctx)
        model = model.ready(x)
        return (candidate_of(self.variant, FittedQuantitative(self, model), training, quality(model, x, known)),)

    def restore(self, state: ModuleState) -> FittedQuantitative:
        """Rebuild a fit; its answers are the same bit for bit."""
        if self.variant == "rule":
            return FittedQuantitative(self, None)
        on_anchors = self.variant != "network"
        model = QuantitativeModel.restore(state.arrays, self.sizes, on_anchors=on_anchors)
        return FittedQuantitative(self, model)


@dataclass(frozen=True, slots=True, eq=False)
class FittedQuantitative:
    """A quantitative analyst that answers; ``model`` is None for the closed formula."""

    settings: QuantitativeAnalyst
    model: QuantitativeModel | None
    name: ClassVar[str] = "quantitative"

    def predict_many(self, span: Span) -> Answers:
        """Answers for members that sizing and the technical analyst know; each row from its own day alone."""
        x, reason = _inputs(span)
        known = reason == Reason.KNOWN
        rule = quantitative_rule({name: today(span, col)[known] for name, col in FORMULA.items()})
        said = _formula(rule, x[known]) if self.model is None else _learned(self.model, x[known])
        said = {name: rounded(values) for name, values in (rule | said).items()}
        size = today(span, FORMULA["recommended_capital_fraction"])[known]
        said |= _decided(said, x[known], size)
        outputs = {name: said[name] for name in QuantitativeAnalyst.outputs}
        return answers_of(self.name, span, laid_out(outputs, known), reason)

    def with_reference(self, oof: Answers) -> FittedQuantitative:
        """The same fit with its ranks frozen on the out-of-fold answers of train (R14)."""
        if self.model is None:
            return self
        signal = oof.outputs["risk_adjusted_quantitative_signal_standing"][oof.known]
        risk = oof.outputs["quantitative_risk_prob"][oof.known]
        return replace(self, model=self.model.with_scales(signal, risk))

    def explain(self, span: Span, answers: Answers) -> StrArray:  # noqa: ARG002
        """Direction, risk and both drivers in words."""
        out = answers.outputs

        def write(day: int, asset: int) -> str:
            return _words({name: float(values[day, asset]) for name, values in out.items()})

        return per_row(answers, write)

    def state(self) -> ModuleState:
        """The model's arrays; none for the closed formula."""
        arrays = {} if self.model is None else self.model.arrays()
        return ModuleState(arrays, {"variant": self.settings.variant})


def _inputs(span: Span) -> tuple[FloatArray, NDArray[np.int8]]:
    """Input rows (n_days, n_assets, 11), NaN where not available, and the reason where there is no answer."""
    risks = []
    for risk in RISKS:
        score = today(span, f"position_sizing.{risk}_risk_score")
        available = today(span, f"position_sizing.{risk}_risk_available") == 1.0
        risks.append(np.where(available, score, np.nan))
    x = np.stack([*risks, *(today(span, column) for column in CONTEXT)], axis=-1)
    upstream = is_known(span, "position_sizing") & is_known(span, "technical")
    upstream &= np.isfinite(x[..., : len(RISKS)]).any(axis=-1)
    reason = reasons((~span.member, Reason.NOT_A_MEMBER), (~upstream, Reason.UPSTREAM_UNKNOWN))
    return x, reason


def _train_rows(train_view: TrainView, settings: QuantitativeAnalyst) -> tuple[FloatArray, Outcomes]:
    x, reason = _inputs(train_view)
    known = reason == Reason.KNOWN
    outcomes = Outcomes.of(
        np.broadcast_to(train_view.days[:, None], known.shape)[known],
        tuple(train_view.label(name)[known] for name in LABELS),
        event_drawdown=settings.event_drawdown,
        holdout=settings.holdout,
        module=settings.name,
    )
    return x[known][outcomes.usable], outcomes


def _learned(model: QuantitativeModel, x: FloatArray) -> dict[str, AnyArray]:
    heads = model.heads(x)
    standings = standing(heads.signal, model.typical)
    signal = model.signal_scale.signal(standings)
    return {
        "risk_adjusted_quantitative_signal": signal,
        "risk_adjusted_quantitative_signal_raw": heads.signal,
        "risk_adjusted_quantitative_signal_standing": standings,
        "risk_adjusted_quantitative_signal_anchor_raw": heads.signal_anchor,
        "quantitative_risk_score": model.risk_scale.rank(rounded(heads.risk)),
        "quantitative_risk_prob": heads.risk,
        "quantitative_risk_prob_anchor": heads.risk_anchor,
        "quantitative_confidence": np.where(signal >= 0.0, heads.side, 1.0 - heads.side),
        **{f"risk_attention_{risk}": heads.attention[:, k] for k, risk in enumerate(RISKS)},
        **{f"risk_delta_{risk}": heads.deltas[:, k] for k, risk in enumerate(RISKS)},
    }


def _formula(rule: Mapping[str, AnyArray], x: FloatArray) -> dict[str, AnyArray]:
    """The closed formula in place of what is learned; its attention are its own weights of the available risks."""
    available = np.isfinite(x[:, : len(RISKS)])
    risks = np.where(available, x[:, : len(RISKS)], 0.0)
    weights = normalised(np.broadcast_to(FORMULA_WEIGHTS, available.shape), available)
    pooled = (weights * risks).sum(axis=1)
    rest = 1.0 - weights
    alone = np.divide(pooled[:, None] - weights * risks, rest, out=np.zeros(rest.shape), where=rest > 1e-9)
    deltas = np.where(available, pooled[:, None] - alone, 0.0)
    signal, risk = rule["quantitative_rule_signal"], rule["quantitative_rule_risk_score"]
    return {
        "risk_adjusted_quantitative_signal": signal,
        "risk_adjusted_quantitative_signal_raw": signal,
        "risk_adjusted_quantitative_signal_standing": signal,
        "risk_adjusted_quantitative_signal_anchor_raw": signal,
        "quantitative_risk_score": risk,
        "quantitative_risk_prob": risk,
        "quantitative_risk_prob_anchor": risk,
        "quantitative_confidence": rule["quantitative_rule_confidence"],
        **{f"risk_attention_{name}": weights[:, k] for k, name in enumerate(RISKS)},
        **{f"risk_delta_{name}": deltas[:, k] for k, name in enumerate(RISKS)},
    }


def _decided(said: Mapping[str, AnyArray], x: FloatArray, size: FloatArray) -> dict[str, FloatArray]:
    """What follows from the rounded scores: strength, state, recommendation, pooled risk and drivers."""
    available = np.isfinite(x[:, : len(RISKS)])
    risks = np.where(available, x[:, : len(RISKS)], 0.0)
    attention = np.stack([said[f"risk_attention_{risk}"] for risk in RISKS], axis=1)
    deltas = np.stack([said[f"risk_delta_{risk}"] for risk in RISKS], axis=1)
    signal, risk = said["risk_adjusted_quantitative_signal"], said["quantitative_risk_score"]
    confidence = said["quantitative_confidence"]
    return {
        "quantitative_action_strength": rounded(np.abs(signal) * confidence),
        "quantitative_risk_state": risk_state(risk),
        "quantitative_recommendation": recommendation(signal, risk, confidence, size),
        "attention_pooled_risk_score": rounded((attention * risks).sum(axis=1)),
        "top_attention_risk_driver": first_largest(attention, available).astype(np.float64),
        "top_delta_risk_driver": first_largest(np.abs(deltas), available).astype(np.float64),
    }


def _words(row: Mapping[str, float]) -> str:
    """One answer in words."""
    signal, risk = row["risk_adjusted_quantitative_signal"], row["quantitative_risk_score"]
    action = ACTIONS[int(row["quantitative_recommendation"])]
    state = RISK_STATES[int(row["quantitative_risk_state"])]
    seen, moved = (int(row[f"top_{kind}_risk_driver"]) for kind in ("attention", "delta"))
    share, change = row[f"risk_attention_{RISKS[seen]}"], row[f"risk_delta_{RISKS[moved]}"]
    verb = "raises" if change > 0.0 else "lowers"
    effect = f"{verb} the risk by {abs(change):.3f}" if change else f"leaves the risk as it is ({change:.3f})"
    article = "an" if state[0] in "aeiou" else "a"
    return (
        f"{action} on a risk-adjusted signal of {signal:+.2f} and {article} {state} risk score of {risk:.2f}; "
        f"chance of ending on that side {row['quantitative_confidence']:.2f}. "
        f"Most attention goes to {RISK_WORDS[seen]} (share {share:.2f}); "
        f"{RISK_WORDS[moved]} {effect}."
    )
