"""What do all modules say together? Action, signal, risk, confidence and a share of the allowed size (spec §21.1).

1. Rows: members that the quantitative analyst, position sizing and the technical analyst know. All else may be silent:
   each of the 93 features comes with a flag, and absent text is neutral (spec 25.2).
2. Targets are outcomes (D-SYN-01): those of the quantitative analyst, terciles of the net return for the action, and the
   share of the allowed size with the best realised utility for the multiplier (R14). Never a fraction of equity (D-FUS-01).
3. The signal is a sum: weight × signal of each branch, and all other evidence; what is written is what was added.
4. Every head is an anchor plus a residual network that starts at zero (R32).
5. Signal and risk that rules test are ranks in the frozen out-of-fold distribution (R14); raw values stay beside them.
   A signal is ranked by its standing among the train signals of its own fit: levels of different fits do not compare.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from glassbox_bt.errors import PlanError
from glassbox_bt.market.view import Span, TrainView
from glassbox_bt.modules._attribution import RISK_WORDS, per_row
from glassbox_bt.modules._formulas import branch_prior, fusion_rule
from glassbox_bt.modules._fusion_features import COLUMNS, Row, read_rows
from glassbox_bt.modules._fusion_model import FusionModel, Sizes, quality, train
from glassbox_bt.modules._fusion_targets import TrainRows, Utility
from glassbox_bt.modules._outcomes import LABELS, Outcomes, standing
from glassbox_bt.modules._reading import is_known, laid_out, today
from glassbox_bt.modules._trained import Trained, candidate_of, check_not_negative, check_penalties, check_sizes
from glassbox_bt.modules.base import (
    Candidate,
    FitContext,
    ModuleState,
    answers_of,
    reasons,
    rounded,
)
from glassbox_bt.types import (
    Action,
    Answers,
    AnyArray,
    BoolArray,
    FloatArray,
    Kind,
    Read,
    Reason,
    StrArray,
)

__all__ = ["FittedFusion", "LearnedFusion"]

ACTIONS = ("SELL", "HOLD", "BUY")
REQUIRED = ("quantitative", "position_sizing", "technical")
PASSED_ON = (
    "text_available",
    "branch_signal_disagreement",
    "branch_signal_agreement",
    "confidence_product",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedFusion(Trained):
    """Action, signal in [-1, 1], risk, confidence and multiplier in [0, 1] from the branches and all risk modules.

    The confidence is the probability that the name ends on the signal's side of the typical risk-adjusted return. The
    multiplier is of the size that position sizing recommends.

    Parameters
    ----------
    variant : {"anchored", "anchor", "network", "rule"}
        Anchors plus residuals, anchors alone, the network over base rates (with the branches' slope of the spec), or the
        closed formula.
    hidden, layers, dropout
        Width, hidden layers and dropout of the network.
    event_drawdown : float
        Drawdown within 10 sessions that counts as a downside event, positive fraction.
    cost_bps : float
        Round trip, basis points of traded value; taken off returns that actions and multipliers are learned from.
    risk_aversion : float
        γ of the multiplier's utility.
    holdout : float
        Last share of the labelled train sessions, on which training stops and residuals earn their place.
    ridge_penalty, logit_penalty : float
        L2 penalty of the anchors, per row.
    epochs, batch_size, learning_rate, weight_decay, patience, rows_share
        As in `Schedule`.
    """

    variant: Literal["anchored", "anchor", "network", "rule"] = "anchored"
    hidden: int = 96
    layers: int = 2
    dropout: float = 0.15
    event_drawdown: float = 0.05
    cost_bps: float = 12.0
    risk_aversion: float = 5.0
    holdout: float = 0.15
    ridge_penalty: float = 0.1
    logit_penalty: float = 0.01
    epochs: int = 40
    batch_size: int = 2048
    patience: int = 6
    name: ClassVar[str] = "fusion"
    kind: ClassVar[Kind] = "asset"
    self_supervised: ClassVar[bool] = False
    outputs: ClassVar[tuple[str, ...]] = (
        "learned_recommendation",
        "learned_sell_prob",
        "learned_hold_prob",
        "learned_buy_prob",
        "learned_fusion_signal",
        "learned_fusion_signal_raw",
        "learned_fusion_signal_standing",
        "learned_fusion_signal_anchor_raw",
        "learned_fusion_risk_score",
        "learned_fusion_risk_prob",
        "learned_fusion_risk_prob_anchor",
        "learned_fusion_confidence",
        "learned_position_multiplier",
        "learned_quantitative_weight",
        "learned_qualitative_weight",
        "branch_weight_dominance",
        "quantitative_contribution",
        "qualitative_contribution",
        "other_contribution",
        *PASSED_ON,
        "fusion_rule_signal",
        "fusion_rule_risk_score",
        "fusion_rule_confidence",
        "fusion_rule_recommendation",
        "fusion_rule_multiplier",
    )
    vocabulary: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "learned_recommendation": ACTIONS,
        "fusion_rule_recommendation": ACTIONS,
    }

    def __post_init__(self) -> None:
        if self.variant not in ("anchored", "anchor", "network", "rule"):
            raise PlanError(f"`variant` must be anchored, anchor, network or rule, got {self.variant!r}.")
        if not 0.0 < self.event_drawdown < 1.0:
            raise PlanError(f"`event_drawdown` must lie in (0, 1), got {self.event_drawdown}.")
        check_not_negative(self, "cost_bps", "risk_aversion")
        check_sizes(self, "hidden", "layers")
        check_penalties(self, "ridge_penalty", "logit_penalty", holdout="holdout")
        _ = self.schedule

    @property
    def reads(self) -> tuple[Read, ...]:
        return tuple(Read(column) for column in COLUMNS)

    @property
    def learns_from(self) -> tuple[str, ...]:
        return () if self.variant == "rule" else LABELS

    @property
    def sizes(self) -> Sizes:
        """The network that these settings ask for."""
        return Sizes(self.hidden, self.layers, self.dropout)

    def fit(self, train_view: TrainView, ctx: FitContext) -> tuple[Candidate, ...]:
        """Fit the variant that the settings name; the closed formula needs no fit."""
        if self.variant == "rule":
            return (Candidate("rule", FittedFusion(self, None)),)
        rows = _train_rows(train_view, self)
        penalties = (self.ridge_penalty, self.logit_penalty)
        on_anchors = self.variant != "network"
        model, training = FusionModel.of_anchors(rows, self.sizes, penalties, on_anchors=on_anchors), None
        if self.variant != "anchor":
            model, training = train(model, rows, self.schedule, ctx)
        model = model.ready(rows)
        return (candidate_of(self.variant, FittedFusion(self, model), training, quality(model, rows)),)

    def restore(self, state: ModuleState) -> FittedFusion:
        """Rebuild a fit; its answers are the same bit for bit."""
        if self.variant == "rule":
            return FittedFusion(self, None)
        on_anchors = self.variant != "network"
        return FittedFusion(self, FusionModel.restore(state.arrays, self.sizes, on_anchors=on_anchors))


@dataclass(frozen=True, slots=True, eq=False)
class FittedFusion:
    """Fusion that answers; ``model`` is None for the closed formula."""

    settings: LearnedFusion
    model: FusionModel | None
    name: ClassVar[str] = "fusion"

    def predict_many(self, span: Span) -> Answers:
        """Answers for members that the required modules know; each row from its own day alone."""
        known, reason = _knowledge(span)
        rows = read_rows(span, known)
        rule = fusion_rule(_rule_inputs(rows))
        said = _formula(rule, rows) if self.model is None else _learned(self.model, rows)
        said |= rule | {name: rows[name] for name in PASSED_ON}
        said = {name: rounded(values) for name, values in said.items()}
        said |= decided(said)
        outputs = {name: said[name] for name in LearnedFusion.outputs}
        return answers_of(self.name, span, laid_out(outputs, known), reason)

    def with_reference(self, oof: Answers) -> FittedFusion:
        """The same fit with its ranks frozen on the out-of-fold answers of train (R14)."""
        if self.model is None:
            return self
        signal = oof.outputs["learned_fusion_signal_standing"][oof.known]
        risk = oof.outputs["learned_fusion_risk_prob"][oof.known]
        return replace(self, model=self.model.with_scales(signal, risk))

    def explain(self, span: Span, answers: Answers) -> StrArray:
        """Action, branch and driver in words."""
        out = answers.outputs
        drivers = today(span, "quantitative.top_delta_risk_driver")

        def write(day: int, asset: int) -> str:
            row = {name: float(values[day, asset]) for name, values in out.items()}
            return _words(row, RISK_WORDS[int(drivers[day, asset])])

        return per_row(answers, write)

    def state(self) -> ModuleState:
        """The model's arrays; none for the closed formula."""
        arrays = {} if self.model is None else self.model.arrays()
        return ModuleState(arrays, {"variant": self.settings.variant})


def _knowledge(span: Span) -> tuple[BoolArray, AnyArray]:
    """Where there is an answer, and the reason where there is none."""
    upstream = np.all([is_known(span, module) for module in REQUIRED], axis=0)
    reason = reasons((~span.member, Reason.NOT_A_MEMBER), (~upstream, Reason.UPSTREAM_UNKNOWN))
    known: BoolArray = reason == Reason.KNOWN
    return known, reason


def _train_rows(train_view: TrainView, settings: LearnedFusion) -> TrainRows:
    known, _ = _knowledge(train_view)
    labels = tuple(train_view.label(name)[known] for name in LABELS)
    outcomes = Outcomes.of(
        np.broadcast_to(train_view.days[:, None], known.shape)[known],
        labels,
        event_drawdown=settings.event_drawdown,
        holdout=settings.holdout,
        module=settings.name,
    )
    utility = Utility(risk_aversion=settings.risk_aversion, cost=settings.cost_bps / 1e4)
    return TrainRows.of(read_rows(train_view, known), outcomes, labels, utility)


def _rule_inputs(rows: Row) -> dict[str, AnyArray]:
    """What the closed formula reads: the closed formula of the quantitative branch, and text."""
    return {
        "q_signal": rows["quantitative.quantitative_rule_signal"],
        "q_risk": rows["quantitative.quantitative_rule_risk_score"],
        "q_confidence": rows["quantitative.quantitative_rule_confidence"],
        "t_signal": rows["text_score"],
        "t_risk": rows["text_risk"],
        "t_confidence": rows["text_confidence"],
        "event_count": rows["event_count"],
        "text_available": rows["text_available"],
        "recommended_capital_fraction": rows["position_sizing.recommended_capital_fraction"],
    }


def _learned(model: FusionModel, rows: Row) -> dict[str, AnyArray]:
    heads = model.heads(rows)
    standings = standing(heads.signal, model.typical)
    signal = model.signal_scale.signal(standings)
    return {
        "learned_sell_prob": heads.actions[:, 0],
        "learned_buy_prob": heads.actions[:, 2],
        "learned_fusion_signal": signal,
        "learned_fusion_signal_raw": heads.signal,
        "learned_fusion_signal_standing": standings,
        "learned_fusion_signal_anchor_raw": heads.signal_anchor,
        "learned_fusion_risk_score": model.risk_scale.rank(rounded(heads.risk)),
        "learned_fusion_risk_prob": heads.risk,
        "learned_fusion_risk_prob_anchor": heads.risk_anchor,
        "learned_fusion_confidence": np.where(signal >= 0.0, heads.side, 1.0 - heads.side),
        "learned_position_multiplier": heads.multiplier,
        "learned_quantitative_weight": heads.weights[:, 0],
        "quantitative_contribution": heads.parts[:, 0],
        "qualitative_contribution": heads.parts[:, 1],
        "other_contribution": heads.parts[:, 2],
    }


def _formula(rule: Mapping[str, AnyArray], rows: Row) -> dict[str, AnyArray]:
    """The closed formula in place of what is learned; what damps a bullish signal at high risk is its other part."""
    inputs = _rule_inputs(rows)
    text = (inputs[name] for name in ("t_confidence", "event_count", "text_available"))
    weights = branch_prior(inputs["q_confidence"], *text)
    quant, qual = weights[:, 0] * inputs["q_signal"], weights[:, 1] * inputs["t_signal"]
    signal, risk = rule["fusion_rule_signal"], rule["fusion_rule_risk_score"]
    action = rule["fusion_rule_recommendation"]
    return {
        "learned_sell_prob": (action == Action.SELL) * 1.0,
        "learned_buy_prob": (action == Action.BUY) * 1.0,
        "learned_fusion_signal": signal,
        "learned_fusion_signal_raw": signal,
        "learned_fusion_signal_standing": signal,
        "learned_fusion_signal_anchor_raw": signal,
        "learned_fusion_risk_score": risk,
        "learned_fusion_risk_prob": risk,
        "learned_fusion_risk_prob_anchor": risk,
        "learned_fusion_confidence": rule["fusion_rule_confidence"],
        "learned_position_multiplier": rule["fusion_rule_multiplier"],
        "learned_quantitative_weight": weights[:, 0],
        "quantitative_contribution": quant,
        "qualitative_contribution": qual,
        "other_contribution": signal - quant - qual,
    }


def decided(said: Mapping[str, AnyArray]) -> dict[str, FloatArray]:
    """What follows from the rounded scores.

    The classes are terciles of train. HOLD is the action where the middle one is more likely than the other two together,
    or where these two are equally likely; otherwise the likelier of BUY and SELL. (The most probable of the three would not
    do: in a quiet year nearly every outcome falls into the middle tercile of louder years, whatever is forecast.)
    """
    sell, buy = said["learned_sell_prob"], said["learned_buy_prob"]
    hold, weight = rounded(1.0 - sell - buy), said["learned_quantitative_weight"]
    side = np.where(buy > sell, Action.BUY, Action.SELL)
    action = np.where((hold > 0.5) | (buy == sell), Action.HOLD, side)
    return {
        "learned_recommendation": action.astype(np.float64),
        "learned_hold_prob": hold,
        "learned_qualitative_weight": rounded(1.0 - weight),
        "branch_weight_dominance": rounded(np.abs(2.0 * weight - 1.0)),
    }


def _words(row: Mapping[str, float], driver: str) -> str:
    """One answer in words."""
    action = int(row["learned_recommendation"])
    chance = row[("learned_sell_prob", "learned_hold_prob", "learned_buy_prob")[action]]
    text = (
        f"Quantitative weight {row['learned_quantitative_weight']:.2f}, text weight {row['learned_qualitative_weight']:.2f}"
        if row["text_available"] == 1.0
        else "No text event matched, so the text branch stayed neutral with weight 0.00"
    )
    push = row["quantitative_contribution"]
    lean = "bullish" if push > 0.0 else "bearish" if push < 0.0 else "neutral"
    return (
        f"{ACTIONS[action]} (probability {chance:.2f}): signal {row['learned_fusion_signal']:+.2f}, "
        f"risk score {row['learned_fusion_risk_score']:.2f}, confidence {row['learned_fusion_confidence']:.2f}. "
        f"{text}. The quantitative branch is {lean}; its main risk driver is {driver}. "
        f"Suggested share of the allowed size: {row['learned_position_multiplier']:.2f}."
    )
