"""A fusion that sees tomorrow: what a leak at the top of the stack would look like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from glassbox_bt.market.view import Span, TrainView
from glassbox_bt.modules.base import Candidate, FitContext, ModuleState, answers_of, reasons
from glassbox_bt.modules.fusion import LearnedFusion
from glassbox_bt.types import Action, Answers, Kind, Read, Reason, StrArray

__all__ = ["LEAKED", "Oracle"]

LEAKED = "rsi_14"  # holds the return of the next session in a leaky market, 50 = none


@dataclass(frozen=True, slots=True)
class Oracle:
    """BUY at full size where the leaked column rises, SELL where it falls."""

    name: ClassVar[str] = "fusion"
    kind: ClassVar[Kind] = "asset"
    self_supervised: ClassVar[bool] = False
    outputs: ClassVar[tuple[str, ...]] = LearnedFusion.outputs
    vocabulary: ClassVar[Mapping[str, tuple[str, ...]]] = LearnedFusion.vocabulary

    @property
    def reads(self) -> tuple[Read, ...]:
        return (Read(LEAKED), Read("quantitative.known"))

    @property
    def learns_from(self) -> tuple[str, ...]:
        return ()

    def fit(self, train: TrainView, ctx: FitContext) -> tuple[Candidate, ...]:  # noqa: ARG002
        """Nothing to learn."""
        return (Candidate("oracle", self),)

    def select(self, candidates: tuple[Candidate, ...], validation: TrainView | None) -> Candidate:  # noqa: ARG002
        """There is one candidate."""
        return candidates[0]

    def predict_many(self, span: Span) -> Answers:
        """Certain of everything it has seen."""
        seen = span.today(LEAKED)
        rises = seen > 50.0
        outputs = {name: np.zeros(seen.shape) for name in self.outputs}
        outputs["learned_recommendation"] = np.where(rises, float(Action.BUY), float(Action.SELL))
        outputs["learned_fusion_signal"] = np.where(rises, 1.0, -1.0)
        for name in ("learned_fusion_confidence", "learned_position_multiplier", "learned_quantitative_weight"):
            outputs[name] = np.ones(seen.shape)
        reason = reasons((~span.member, Reason.NOT_A_MEMBER), (~np.isfinite(seen), Reason.INPUT_MISSING))
        return answers_of(self.name, span, outputs, reason)

    def explain(self, span: Span, answers: Answers) -> StrArray:  # noqa: ARG002
        """The same confession everywhere."""
        return np.full(span.member.shape, "It has seen the return of the next session and acts on it.", dtype=object)

    def state(self) -> ModuleState:
        return ModuleState()

    def restore(self, state: ModuleState) -> Oracle:  # noqa: ARG002
        return self
