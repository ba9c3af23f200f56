"""What a module is: declared reads, a fit that returns candidates, a selection, and answers that can abstain.

A module is a frozen value of settings (``Module``). Fitting returns a *second* frozen value that predicts
(``FittedModule``); "not fitted yet" is not a state. A module with ``learns_from == ()`` and ``self_supervised`` False is a
*rule*: its ``fit`` gets no training days and returns itself, and it may answer any day, train days included.

``predict`` below is the one-day path: the same kernel on a span of one day.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from glassbox_bt.errors import ContractError
from glassbox_bt.market.view import MarketView, Span, TrainView
from glassbox_bt.types import Answers, AnyArray, BoolArray, Kind, Read, Reason, Signal, StrArray

__all__ = [
    "Candidate",
    "FitContext",
    "FittedModule",
    "Module",
    "ModuleState",
    "RuleModule",
    "answers_of",
    "predict",
    "reasons",
    "rounded",
    "text_answers_of",
]


@dataclass(frozen=True, slots=True)
class ModuleState:
    """Everything a fitted module needs to be rebuilt: arrays go to safetensors, ``facts`` to JSON (no pickle)."""

    arrays: Mapping[str, AnyArray] = field(default_factory=dict)
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FitContext:
    """What a fit may use besides data.

    Parameters
    ----------
    seed : int
        The plan's seed.
    module, chunk, fold
        Key of the random streams, so that taking one module out leaves the others' draws unchanged (design §3.4).
    device : str
        ``"cpu"`` or ``"cuda"``.
    checkpoints : Path or None
        Folder for per-epoch checkpoints of this very fit; a fit that finds one there resumes exactly.
    progress : Callable[[float], None]
        Told the share of the fit that is done, in [0, 1].
    """

    seed: int
    module: str
    chunk: int
    fold: int
    device: str = "cpu"
    checkpoints: Path | None = None
    progress: Callable[[float], None] = lambda _share: None

    def stream(self, *key: object) -> int:
        """A 63-bit seed for one purpose, e.g. ``ctx.stream("epoch", 3)``; depends on names, never on call order."""
        text = "|".join(str(part) for part in (self.seed, self.module, self.chunk, self.fold, *key))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1

    def rng(self, *key: object) -> np.random.Generator:
        """A generator for one purpose; see `stream`."""
        return np.random.default_rng(self.stream(*key))


@runtime_checkable
class FittedModule(Protocol):
    """A module that can answer."""

    name: ClassVar[str]

    def predict_many(self, span: Span) -> Answers:
        """Answers for every day of the span; row *i* may use only rows up to ``span.days[i]``."""
        ...

    def explain(self, span: Span, answers: Answers) -> StrArray:
        """``xai_summary`` per row, (n_days, n_assets) of str; where unknown, the reason in words."""
        ...

    def state(self) -> ModuleState:
        """What `Module.restore` needs to rebuild this fit."""
        ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """One fitted variant (R32: ``anchored``, ``anchor`` or ``network``) and the history of its training."""

    variant: str
    fitted: FittedModule
    history: Sequence[Mapping[str, float]] = ()  # one row per epoch: epoch, train_loss, holdout_loss, ...
    summary: Mapping[str, object] = field(default_factory=dict)


@runtime_checkable
class Module(Protocol):
    """Settings of a module; equal settings on equal data fit equal modules."""

    name: ClassVar[str]
    kind: ClassVar[Kind]
    outputs: ClassVar[tuple[str, ...]]
    self_supervised: ClassVar[bool]

    @property
    def reads(self) -> tuple[Read, ...]:
        """Inputs of predict (and of fit)."""
        ...

    @property
    def learns_from(self) -> tuple[str, ...]:
        """Labels of fit; empty for rules and self-supervised encoders."""
        ...

    def fit(self, train: TrainView, ctx: FitContext) -> tuple[Candidate, ...]:
        """Fit every selectable variant that the settings ask for."""
        ...

    def select(self, candidates: tuple[Candidate, ...], validation: TrainView | None) -> Candidate:
        """Choose one by the settings' fixed rule; ``validation`` is None for out-of-fold fits."""
        ...

    def restore(self, state: ModuleState) -> FittedModule:
        """Rebuild a fit from its state."""
        ...


class RuleModule(Protocol):
    """The part of a module that has nothing to learn: one candidate, itself, and an empty state."""

    name: ClassVar[str]
    self_supervised: ClassVar[bool] = False

    @property
    def learns_from(self) -> tuple[str, ...]:
        return ()

    def fit(self, train: TrainView, ctx: FitContext) -> tuple[Candidate, ...]:  # noqa: ARG002
        """Nothing to learn."""
        return (Candidate("rule", self),)

    def select(self, candidates: tuple[Candidate, ...], validation: TrainView | None) -> Candidate:  # noqa: ARG002
        """There is one candidate."""
        return candidates[0]

    def predict_many(self, span: Span) -> Answers: ...

    def explain(self, span: Span, answers: Answers) -> StrArray: ...

    def state(self) -> ModuleState:
        """Empty: the settings say it all."""
        return ModuleState()

    def restore(self, state: ModuleState) -> Self:  # noqa: ARG002
        """Itself."""
        return self


def predict(fitted: FittedModule, view: MarketView) -> Signal:
    """The one-day path: the same kernel as `predict_many`, on one day."""
    answers = fitted.predict_many(view.span)
    if answers.kind == "document":
        return Signal(answers.module, view.as_of, answers.outputs, answers.known, answers.reason, answers.kind)
    return answers.at(0, view.as_of)


def reasons(*unknown: tuple[BoolArray, Reason]) -> NDArray[np.int8]:
    """Reason codes where the first condition that holds wins; ``KNOWN`` where none does.

    ``reasons((~member, Reason.NOT_A_MEMBER), (too_few, Reason.TOO_FEW_OBSERVATIONS))``
    """
    if not unknown:
        raise ContractError("`reasons` needs at least one condition.")
    codes = np.zeros(unknown[0][0].shape, dtype=np.int8)
    for condition, reason in reversed(unknown):
        codes[condition] = reason
    return codes


def answers_of(module: str, span: Span, outputs: Mapping[str, AnyArray], reason: NDArray[np.int8]) -> Answers:
    """Answers with NaN written wherever ``reason`` is not ``KNOWN``; asset kind."""
    known = reason == Reason.KNOWN
    masked: dict[str, AnyArray] = {}
    for name, values in outputs.items():
        cut = values.copy()
        cut[~known] = np.nan
        masked[name] = cut
    return Answers(module, span.days, masked, known, reason)


def text_answers_of(module: str, span: Span, outputs: Mapping[str, AnyArray], reason: NDArray[np.int8]) -> Answers:
    """Answers to the rows of text of the span's days, document kind.

    ``outputs`` and ``reason`` have an entry for each of ``span.text``; rows of the look-back are left out, and NaN is
    written wherever the reason is not ``KNOWN``.
    """
    asked = span.asked
    known = reason[asked] == Reason.KNOWN
    cut = {name: np.array(values[asked]) for name, values in outputs.items()}
    for values in cut.values():
        values[~known] = np.nan
    return Answers(module, span.text.session[asked], cut, known, reason[asked], "document", span.text.rows[asked])


def rounded(values: AnyArray) -> AnyArray:
    """Learned outputs on the grid of 1e-6 as float64, so that every path and batch decides alike (R13)."""
    out: AnyArray = np.round(np.asarray(values, dtype=np.float64), 6) + 0.0  # + 0.0 turns -0.0 into 0.0
    return out
