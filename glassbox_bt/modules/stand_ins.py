"""What stands in for a module: `Silent` never knows, `Assumed` says what a plan assumes; `Shuffled`, `Frozen` are controls.

The first two have the shape of a rule: nothing is fitted, any day may be answered, and the state is empty. The last two
change answers that were given (``of``), each name's row as a whole, so that outputs of one row stay together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from glassbox_bt.errors import PlanError
from glassbox_bt.market.view import Span
from glassbox_bt.modules.base import FitContext, RuleModule, answers_of, reasons
from glassbox_bt.types import Answers, AnyArray, BoolArray, IntArray, Kind, Read, Reason, StrArray

__all__ = ["Assumed", "Frozen", "Shuffled", "Silent"]

SILENT_TEXT = "This module is silent in this run, so it gives no score and names no driver."
OUTSIDE_TEXT = "No answer: the name is outside the universe of the day."


@dataclass(frozen=True)
class Silent(RuleModule):
    """Abstains on every day with `Reason.SILENT`; its columns exist and hold NaN (R15).

    Parameters
    ----------
    module : str
        Name of the module it stands in for.
    columns : tuple[str, ...]
        Outputs that other modules may read.
    of_text : bool
        Whether it answers documents; it then answers no row.
    """

    module: str
    columns: tuple[str, ...] = ()
    of_text: bool = False
    name: ClassVar[str]
    outputs: ClassVar[tuple[str, ...]]
    kind: ClassVar[Kind] = "asset"

    def __post_init__(self) -> None:
        # The protocol's class variables, but one value per stand-in.
        object.__setattr__(self, "name", self.module)
        object.__setattr__(self, "outputs", self.columns)
        object.__setattr__(self, "kind", "document" if self.of_text else "asset")

    @property
    def reads(self) -> tuple[Read, ...]:
        return ()

    def predict_many(self, span: Span) -> Answers:
        """NaN and `Reason.SILENT` everywhere."""
        if self.of_text:
            nowhere, empty = np.zeros(0, dtype=np.int64), dict.fromkeys(self.outputs, np.zeros(0))
            never, code = np.zeros(0, dtype=bool), np.zeros(0, dtype=np.int8)
            return Answers(self.name, nowhere, empty, never, code, "document", nowhere)
        reason = np.full(span.member.shape, Reason.SILENT, dtype=np.int8)
        nothing = {name: np.full(span.member.shape, np.nan) for name in self.outputs}
        return answers_of(self.name, span, nothing, reason)

    def of(self, answers: Answers) -> Answers:
        """Silence in the shape of answers that were given."""
        nothing = {name: np.full_like(values, np.nan) for name, values in answers.outputs.items()}
        known = np.zeros_like(answers.known)
        return replace(answers, outputs=nothing, known=known, reason=np.full_like(answers.reason, Reason.SILENT))

    def explain(self, span: Span, answers: Answers) -> StrArray:  # noqa: ARG002
        """The same sentence for every row."""
        return np.full(answers.known.shape, SILENT_TEXT, dtype=object)


@dataclass(frozen=True)
class Assumed(RuleModule):
    """Says the same constants about every member of the day: a plan's assumption, never data.

    Parameters
    ----------
    module : str
        Name of the module it stands in for.
    values : Mapping[str, float]
        Output name to the assumed number, in the output's unit.

    Raises
    ------
    PlanError
        Where an assumed number is not finite or nothing is assumed.
    """

    module: str
    values: Mapping[str, float] = field(default_factory=dict)
    name: ClassVar[str]
    outputs: ClassVar[tuple[str, ...]]
    kind: ClassVar[Kind] = "asset"

    def __post_init__(self) -> None:
        if not self.values:
            raise PlanError(f"The assumption for `{self.module}` is empty. State a value or drop it.")
        for output, value in self.values.items():
            if not np.isfinite(value):
                raise PlanError(f"The assumption `{output}` of `{self.module}` must be finite, got {value}.")
        object.__setattr__(self, "name", self.module)
        object.__setattr__(self, "outputs", tuple(self.values))

    @property
    def reads(self) -> tuple[Read, ...]:
        return ()

    def predict_many(self, span: Span) -> Answers:
        """The constants, for members of each day."""
        said: dict[str, AnyArray] = {name: np.full(span.member.shape, float(value)) for name, value in self.values.items()}
        return answers_of(self.name, span, said, reasons((~span.member, Reason.NOT_A_MEMBER)))

    def explain(self, span: Span, answers: Answers) -> StrArray:  # noqa: ARG002
        """The assumed numbers in words."""
        stated = ", ".join(f"{name.replace('_', ' ')} {v:g}" for name, v in self.values.items())
        text = f"Assumed by the plan, not measured in this market: {stated}. No driver stands behind it."
        return np.where(answers.known, text, OUTSIDE_TEXT).astype(object)


@dataclass(frozen=True, slots=True)
class Shuffled:
    """Deals a module's known answers out at random among the (day, name) rows that were known (R28).

    It keeps what the module says, how often, and where it abstains; it destroys what an answer has to do with its name and
    day. An answer may come from a later day, so this is an evaluation control, never a rival.

    Parameters
    ----------
    module : str
        Name of the module; with seed and chunk it keys the draw, which no other module or edit moves.
    seed : int
        The plan's seed.
    chunk : int
        Number of the chunk.
    """

    module: str
    seed: int
    chunk: int

    def of(self, answers: Answers, runs: Mapping[str, IntArray]) -> Answers:
        """The answers, shuffled within each run of days and never across; ``runs`` are rows of ``answers.days`` by name."""
        source = np.arange(answers.known.size)
        places = np.arange(answers.known.size).reshape(answers.known.shape)
        context = FitContext(self.seed, self.module, self.chunk, fold=0)
        for name, rows in runs.items():
            known = places[rows][answers.known[rows]]
            source[known] = known[context.rng("shuffled", name).permutation(len(known))]
        shape, n_axes = answers.known.shape, answers.known.ndim
        outputs = {
            name: values.reshape(-1, *values.shape[n_axes:])[source].reshape(*shape, *values.shape[n_axes:])
            for name, values in answers.outputs.items()
        }
        return replace(answers, outputs=outputs)


@dataclass(frozen=True, slots=True)
class Frozen:
    """Keeps an answer of each name instead of asking again, point in time.

    On later days a name keeps the module's last known answer on train. Train itself has no such answer yet; there each block
    of days keeps the name's first known answer within the block, from the day on which it was given. A name without an
    answer to keep abstains.

    Parameters
    ----------
    module : str
        Name of the module.
    """

    module: str

    def of(self, answers: Answers, member: BoolArray, blocks: Sequence[IntArray], train: IntArray) -> Answers:
        """The answers, frozen.

        Parameters
        ----------
        answers : Answers
            What the module said.
        member : BoolArray
            Universe of each day, the shape of ``answers.known``.
        blocks : Sequence[IntArray]
            Rows of ``answers.days`` that each keep the first answer among them.
        train : IntArray
            Rows whose last known answer every row after them keeps.
        """
        source = np.full(answers.known.shape, -1, dtype=np.int64)  # row whose answer is kept, -1 for none
        for rows in blocks:
            known = answers.known[rows]
            first = np.where(known.any(axis=0), rows[known.argmax(axis=0)], np.iinfo(np.int64).max)
            source[rows] = np.where(rows[:, None] >= first, first, -1)
        known = answers.known[train]
        last = train[len(train) - 1 - known[::-1].argmax(axis=0)]
        source[int(train[-1]) + 1 :] = np.where(known.any(axis=0), last, -1)
        outside = ~member & ~answers.known  # encoders answer names that are not members yet
        reason = reasons((outside, Reason.NOT_A_MEMBER), (source < 0, Reason.NO_FIT_YET))
        kept = reason == Reason.KNOWN
        columns = np.arange(answers.known.shape[1])
        outputs: dict[str, AnyArray] = {}
        for name, values in answers.outputs.items():
            outputs[name] = values[source, columns]
            outputs[name][~kept] = np.nan
        return replace(answers, outputs=outputs, known=kept, reason=reason)
