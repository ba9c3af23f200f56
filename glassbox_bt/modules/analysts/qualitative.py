"""What do words say about a name today? A score, a risk and a confidence from its documents (spec §19).

1. An event is a document about a name. It speaks to its own session and the five after it, with a weight that halves every
   two sessions. What its text says comes from the sentiment and news analysts, out of fold (D-SYN-02).
2. The formula of the source judges each event and averages them by confidence: the baseline ``qualitative_rule_*``.
3. What is learned, is learned on days, not on events: an event has no outcome of its own apart from the day's. Targets are
   outcomes (D-SYN-01): the rank of the excess return over 10 sessions, trouble, and the side on which the return ends.
4. Each head is an anchor (ridge, logit, logit) plus a residual network that starts at zero (R32). Asked about one event, the
   same heads see a day on which it is the only and a fresh one.
5. Score and risk that rules test are ranks in the frozen out-of-fold distribution (R14); raw values stay beside them.
6. Validation chooses between what is learned and the formula, by rank correlations that care for no scale (R5).

A name without a document has no answer: fusion then takes the neutral state of spec 25.2, which this module never writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from glassbox_bt.errors import PlanError, TrainingError
from glassbox_bt.market.view import TrainView
from glassbox_bt.modules._attribution import TEXT_DRIVERS
from glassbox_bt.modules._outcomes import HeadOutcomes, parted
from glassbox_bt.modules._qualitative_days import TextDays, day_inputs
from glassbox_bt.modules._qualitative_events import MEMORY, text_reads
from glassbox_bt.modules._qualitative_fitted import OUTPUTS, FittedQualitative
from glassbox_bt.modules._qualitative_model import QualitativeModel, Sizes, quality
from glassbox_bt.modules._qualitative_outcomes import LABELS, TRAILING, Realised, Yardstick, ranked_loss
from glassbox_bt.modules._qualitative_rule import TrainMeans
from glassbox_bt.modules._trained import Trained, candidate_of, check_penalties, check_sizes
from glassbox_bt.modules._training import Training
from glassbox_bt.modules.base import Candidate, FitContext, FittedModule, ModuleState
from glassbox_bt.types import Action, FloatArray, Kind, Read

__all__ = ["FittedQualitative", "QualitativeAnalyst"]

ACTIONS = tuple(action.name for action in Action)


@dataclass(frozen=True, slots=True, kw_only=True)
class QualitativeAnalyst(Trained):
    """Text score in [-1, 1], positive = bullish, text risk and confidence in [0, 1], for names with a recent document.

    The confidence is the probability that the excess return ends on the score's side of the typical one.

    Parameters
    ----------
    variant : {"anchored", "anchor", "network", "rule"}
        Anchors plus residual, anchors alone, the network over base rates alone, or the closed formula.
    same_day_only : bool
        Whether a document speaks to its own session only.
    hidden, layers, dropout
        Width, hidden layers and dropout of the network.
    holdout : float
        Last share of the labelled train sessions, on which training stops and residuals earn their place.
    ridge_penalty, logit_penalty : float
        L2 penalty of the anchors, per row.
    min_rows : int
        Labelled names and days that a fit needs before its hold-out; with fewer it abstains.
    epochs, batch_size, learning_rate, weight_decay, patience, rows_share
        As in `Schedule`.
    """

    variant: Literal["anchored", "anchor", "network", "rule"] = "anchored"
    same_day_only: bool = False
    hidden: int = 64
    layers: int = 2
    dropout: float = 0.15
    holdout: float = 0.15
    ridge_penalty: float = 0.1
    logit_penalty: float = 0.01
    min_rows: int = 300
    epochs: int = 40
    batch_size: int = 512
    patience: int = 6
    name: ClassVar[str] = "qualitative"
    kind: ClassVar[Kind] = "asset"
    self_supervised: ClassVar[bool] = False
    outputs: ClassVar[tuple[str, ...]] = OUTPUTS
    vocabulary: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "qualitative_recommendation": ACTIONS,
        "qualitative_rule_recommendation": ACTIONS,
        "dominant_qualitative_driver": TEXT_DRIVERS,
    }

    def __post_init__(self) -> None:
        if self.variant not in ("anchored", "anchor", "network", "rule"):
            raise PlanError(f"`variant` must be anchored, anchor, network or rule, got {self.variant!r}.")
        check_sizes(self, "hidden", "layers", "min_rows")
        check_penalties(self, "ridge_penalty", "logit_penalty", holdout="holdout")
        _ = self.schedule

    @property
    def sessions(self) -> int:
        """Sessions whose documents count."""
        return 1 if self.same_day_only else MEMORY

    @property
    def reads(self) -> tuple[Read, ...]:
        return (*text_reads(self.sessions), Read(TRAILING))

    @property
    def learns_from(self) -> tuple[str, ...]:
        """For the formula too: its constants are those of train (D-QUA-01)."""
        return LABELS

    @property
    def sizes(self) -> Sizes:
        """The network that these settings ask for."""
        return Sizes(self.hidden, self.layers, self.dropout)

    def fit(self, train_view: TrainView, ctx: FitContext) -> tuple[Candidate, ...]:
        """The variant of the settings and the simpler ones beside it; on too little text, one that abstains."""
        text = TextDays.of(train_view, self.sessions)
        realised = Realised.of(train_view, text.known)
        usable = realised.usable
        days = np.broadcast_to(train_view.days[:, None], text.known.shape)[text.known][usable]
        realised = realised.picked(usable)
        parts = parted(days, self.holdout)
        n_rows = int(parts[0].sum())
        if n_rows < self.min_rows or not parts[1].any() or not np.ptp(realised.excess[parts[0]]) > 0.0:
            why = f"{n_rows} names and days with text and a known outcome before the hold-out, {self.min_rows} are needed"
            silent = FittedQualitative(self.sessions, self.variant)
            return (Candidate(self.variant, silent, (), {"silent": why}),)
        means = TrainMeans.fit(text.events.features[text.events.spoken])
        yardstick = Yardstick.fit(realised.picked(parts[0]))
        formula = FittedQualitative(self.sessions, "rule", None, means, yardstick)
        ruled = Candidate("rule", formula, (), {"n_fitting_rows": n_rows})
        if self.variant == "rule":
            return (ruled,)
        x, known = day_inputs(text.events, text.groups)[usable], yardstick.outcomes(days, realised, parts)
        return (*self._learned(x, known, formula, ctx), ruled)

    def _learned(
        self, x: FloatArray, known: HeadOutcomes, formula: FittedQualitative, ctx: FitContext
    ) -> tuple[Candidate, ...]:
        penalties = (self.ridge_penalty, self.logit_penalty)

        def candidate(variant: str, model: QualitativeModel, training: Training | None = None) -> Candidate:
            model = model.ready(x)
            fitted = FittedQualitative(self.sessions, variant, model, formula.means, formula.yardstick)
            return candidate_of(variant, fitted, training, quality(model, x, known))

        bare = QualitativeModel.of_anchors(x, known, self.sizes, penalties, on_anchors=True)
        if self.variant == "anchor":
            return (candidate("anchor", bare),)
        start = bare if self.variant == "anchored" else replace(bare, on_anchors=False)
        return (candidate(self.variant, *start.trained(x, known, self.schedule, ctx)), candidate("anchor", bare))

    def validation_loss(self, fitted: FittedModule, view: TrainView) -> float:
        """1 less weighed rank correlations with what came (`ranked_loss`); lower is better, NaN without answers."""
        if not isinstance(fitted, FittedQualitative):
            raise TrainingError(f"`{self.name}` cannot judge a {type(fitted).__name__}.")
        if fitted.yardstick is None:
            return float("nan")
        answers = fitted.predict_many(view)
        said = {
            short: answers.outputs[name][answers.known]
            for short, name in (
                ("score", "qualitative_score"),
                ("risk", "qualitative_risk_score"),
                ("confidence", "qualitative_confidence"),
            )
        }
        return ranked_loss(said, Realised.of(view, answers.known), fitted.yardstick)

    def restore(self, state: ModuleState) -> FittedQualitative:
        """Rebuild a fit; its answers are the same bit for bit."""
        variant, arrays = str(state.facts["variant"]), state.arrays
        if "means" not in arrays:
            return FittedQualitative(self.sessions, variant)
        model = None
        if variant != "rule":
            model = QualitativeModel.restore(arrays, self.sizes, on_anchors=variant != "network")
        return FittedQualitative(self.sessions, variant, model, TrainMeans(arrays["means"]), Yardstick.restore(arrays))
