"""Modules that stand in for others: `Silent` never knows, `Assumed` says what a plan assumes.

Both have the shape of a rule: nothing is fitted, any day may be answered, and the state is empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from glassbox_bt.errors import PlanError
from glassbox_bt.market.view import Span
from glassbox_bt.modules.base import RuleModule, answers_of, reasons
from glassbox_bt.types import Answers, AnyArray, Kind, Read, Reason, StrArray

__all__ = ["Assumed", "Silent"]

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
    """

    module: str
    columns: tuple[str, ...] = ()
    name: ClassVar[str]
    outputs: ClassVar[tuple[str, ...]]
    kind: ClassVar[Kind] = "asset"

    def __post_init__(self) -> None:
        # The protocol's class variables, but one value per stand-in.
        object.__setattr__(self, "name", self.module)
        object.__setattr__(self, "outputs", self.columns)

    @property
    def reads(self) -> tuple[Read, ...]:
        return ()

    def predict_many(self, span: Span) -> Answers:
        """NaN and `Reason.SILENT` everywhere."""
        reason = np.full(span.member.shape, Reason.SILENT, dtype=np.int8)
        nothing = {name: np.full(span.member.shape, np.nan) for name in self.outputs}
        return answers_of(self.name, span, nothing, reason)

    def explain(self, span: Span, answers: Answers) -> StrArray:  # noqa: ARG002
        """The same sentence for every row."""
        return np.full(span.member.shape, SILENT_TEXT, dtype=object)


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
