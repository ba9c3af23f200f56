"""A fusion that knows a stated share of what the next sessions bring: an edge of known size at the top of the real stack."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from glassbox_bt.errors import PlanError
from glassbox_bt.market.features import FEATURES, Feature
from glassbox_bt.market.view import Span, TrainView
from glassbox_bt.modules.base import Candidate, FitContext, ModuleState, answers_of, reasons, rounded
from glassbox_bt.modules.fusion import LearnedFusion
from glassbox_bt.types import Action, Answers, AnyArray, FloatArray, Kind, Read, Reason, StrArray

__all__ = ["PLANTED", "Informed"]

FORESEEN, MIST = "planted_foreseen", "planted_mist"


@dataclass(frozen=True, slots=True, kw_only=True)
class Informed:
    """BUY at full size where the signal is positive, SELL where it is negative.

    The signal is ``strength`` × foreseen + √(1 − strength²) × mist: the return that a position decided today earns from its
    fill to the next fill, and noise that nothing follows, both of unit variance.

    Parameters
    ----------
    strength : float, default=0.0
        Correlation of the signal with that return, in [0, 1]; 0 knows nothing.
    """

    strength: float = 0.0
    name: ClassVar[str] = "fusion"
    kind: ClassVar[Kind] = "asset"
    self_supervised: ClassVar[bool] = False
    outputs: ClassVar[tuple[str, ...]] = LearnedFusion.outputs
    vocabulary: ClassVar[Mapping[str, tuple[str, ...]]] = LearnedFusion.vocabulary

    def __post_init__(self) -> None:
        if not 0.0 <= self.strength <= 1.0:
            raise PlanError(f"`strength` must lie in [0, 1], got {self.strength}.")

    @property
    def reads(self) -> tuple[Read, ...]:
        return (Read(FORESEEN), Read(MIST), Read("position_sizing.known"))

    @property
    def learns_from(self) -> tuple[str, ...]:
        return ()

    def fit(self, train: TrainView, ctx: FitContext) -> tuple[Candidate, ...]:  # noqa: ARG002
        """Nothing to learn."""
        return (Candidate("informed", self),)

    def select(self, candidates: tuple[Candidate, ...], validation: TrainView | None) -> Candidate:  # noqa: ARG002
        """There is one candidate."""
        return candidates[0]

    def predict_many(self, span: Span) -> Answers:
        """Certain of its direction, however little it knows."""
        foreseen, mist = span.today(FORESEEN), span.today(MIST)
        signal = self.strength * foreseen + math.sqrt(1.0 - self.strength**2) * mist
        outputs = {name: np.zeros(signal.shape) for name in self.outputs}
        outputs["learned_recommendation"] = np.where(signal > 0.0, float(Action.BUY), float(Action.SELL))
        outputs["learned_fusion_signal"] = rounded(np.where(signal > 0.0, 0.5, -0.5) + 0.5 * np.tanh(signal))
        for name in ("learned_fusion_confidence", "learned_position_multiplier", "learned_quantitative_weight"):
            outputs[name] = np.ones(signal.shape)
        reason = reasons((~span.member, Reason.NOT_A_MEMBER), (~np.isfinite(signal), Reason.INPUT_MISSING))
        return answers_of(self.name, span, outputs, reason)

    def explain(self, span: Span, answers: Answers) -> StrArray:  # noqa: ARG002
        """The same confession everywhere."""
        return np.full(
            span.member.shape, "It knows a stated share of what the next sessions bring and acts on it.", dtype=object
        )

    def state(self) -> ModuleState:
        return ModuleState()

    def restore(self, state: ModuleState) -> Informed:  # noqa: ARG002
        return self


def _foreseen(columns: Mapping[str, AnyArray]) -> FloatArray:
    """Log return from the next open to the one after it, in deviations of the name; NaN where either is not traded."""
    price = np.log(np.asarray(columns["open"], dtype=np.float64))
    earned = np.full(price.shape, np.nan)
    earned[:-2] = price[2:] - price[1:-1]
    return np.asarray(earned / np.nanstd(earned, axis=0), dtype=np.float64)


def _mist(columns: Mapping[str, AnyArray]) -> FloatArray:
    """Noise of this market, from a stream that its prices name, so that other markets have other noise."""
    price = np.asarray(columns["close"], dtype=np.float64)
    seed = int.from_bytes(np.float64(np.nansum(price)).tobytes())
    return np.random.default_rng(seed).standard_normal(price.shape)


PLANTED: Mapping[str, Feature] = {**FEATURES, FORESEEN: _foreseen, MIST: _mist}
