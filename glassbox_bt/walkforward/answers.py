"""The answers of one module in one chunk: where each came from, and how the modules above may read them.

A ``Part`` is what one fit said about one run of days. ``ModuleAnswers`` lays the parts of a module side by side on the
chunk's days and assets; days that no admissible fit may answer stay unknown (``NO_FIT_YET``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from glassbox_bt.errors import ContractError
from glassbox_bt.market.store import AnswerColumn
from glassbox_bt.types import Answers, AnyArray, BoolArray, IntArray, Reason

__all__ = ["ModuleAnswers", "Part", "load_part", "save_part", "silent_column"]


@dataclass(frozen=True, slots=True)
class Part:
    """What one fit said about one run of days; ``fitted_through`` is the last session of its knowledge."""

    answers: Answers
    assets: IntArray  # positions in the store of the names that were asked about
    fitted_through: int
    asked: IntArray | None = None  # the days, where the answers are to documents: not every day has one

    @property
    def days(self) -> IntArray:
        """The run of days."""
        return self.answers.days if self.asked is None else self.asked


@dataclass(frozen=True, slots=True)
class ModuleAnswers:
    """All answers of one module in one chunk, on contiguous ``days`` and the chunk's ``assets``."""

    module: str
    days: IntArray
    assets: IntArray
    outputs: Mapping[str, AnyArray]
    known: BoolArray
    reason: AnyArray
    fitted_through: IntArray
    in_sample: bool
    lacking: Mapping[str, BoolArray] = field(default_factory=dict)  # by output: days answered by a variant without it

    @classmethod
    def assemble(
        cls, module: str, days: IntArray, assets: IntArray, parts: Sequence[Part], in_sample: bool
    ) -> ModuleAnswers:
        """Lay parts out on ``days`` × ``assets``; nothing is filled in between."""
        shape = (len(days), len(assets))
        known = np.zeros(shape, dtype=bool)
        reason = np.full(shape, Reason.NO_FIT_YET, dtype=np.int8)
        through = np.full(len(days), -1, dtype=np.int64)
        return cls(module, days, assets, {}, known, reason, through, in_sample).with_parts(parts)

    def with_parts(self, parts: Sequence[Part]) -> ModuleAnswers:
        """The same answers with these parts in the place of what was said about their days and assets."""
        known, reason, through = self.known.copy(), self.reason.copy(), self.fitted_through.copy()
        outputs = {name: np.array(values) for name, values in self.outputs.items()}
        lacking = {name: days.copy() for name, days in self.lacking.items()}
        every = {*outputs, *(name for part in parts for name in part.answers.outputs)}
        for part in parts:
            rows = part.answers.days - self.days[0]
            for name in every:
                lacking.setdefault(name, np.zeros(len(self.days), dtype=bool))[rows] = name not in part.answers.outputs
            columns = np.searchsorted(self.assets, part.assets)
            place = np.ix_(rows, columns)
            known[place], reason[place] = part.answers.known, part.answers.reason
            through[rows] = part.fitted_through
            for name, values in part.answers.outputs.items():
                if name not in outputs:
                    outputs[name] = np.full((*known.shape, *values.shape[2:]), np.nan, dtype=values.dtype)
                outputs[name][place] = values
        return replace(self, outputs=outputs, known=known, reason=reason, fitted_through=through, lacking=lacking)

    def columns(self) -> dict[str, AnswerColumn]:
        """As the modules above read them: ``module.output`` and ``module.known``."""
        named = {**self.outputs, "known": self.known.astype(np.float64)}
        return {
            f"{self.module}.{name}": AnswerColumn(self.days, self.assets, values, self.fitted_through, self.in_sample)
            for name, values in named.items()
        }

    def on(self, days: IntArray, assets: IntArray | None = None) -> Answers:
        """The answers of some days, for some assets of the store (all of the chunk's if None).

        An output that a variant does not have (an anchor pays no attention) is there where every day has it.

        Raises
        ------
        ContractError
            A day lies before the first answer or after the last.
        """
        if len(days) and not self.days[0] <= days.min() <= days.max() <= self.days[-1]:
            raise ContractError(
                f"`{self.module}` answers sessions {self.days[0]} to {self.days[-1]}, not {days.min()} to {days.max()}. "
                "Ask for days of the chunk that it answers."
            )
        rows = days - self.days[0]
        columns = np.arange(len(self.assets)) if assets is None else np.searchsorted(self.assets, assets)
        place = np.ix_(rows, columns)
        nowhere = np.zeros(len(self.days), dtype=bool)
        outputs = {
            name: values[place] for name, values in self.outputs.items() if not self.lacking.get(name, nowhere)[rows].any()
        }
        return Answers(self.module, days, outputs, self.known[place], self.reason[place])


def silent_column(output: str, days: IntArray, assets: IntArray) -> AnswerColumn:
    """A column of a silent module: never known, no value."""
    fill = 0.0 if output == "known" else np.nan
    values = np.broadcast_to(np.float64(fill), (len(days), len(assets)))
    return AnswerColumn(days, assets, values, np.full(len(days), -1, dtype=np.int64))


def save_part(folder: Path, part: Part) -> None:
    """Write a part as ``.npy`` files."""
    answers = part.answers
    arrays = {"days": answers.days, "known": answers.known, "reason": answers.reason, "assets": part.assets}
    if answers.rows is not None:
        arrays |= {"rows": answers.rows, "asked": part.days}
    for name, values in {**arrays, **{f"output.{n}": v for n, v in answers.outputs.items()}}.items():
        np.save(folder / f"{name}.npy", values, allow_pickle=False)
    head = {
        "module": answers.module,
        "kind": answers.kind,
        "outputs": list(answers.outputs),
        "fitted_through": part.fitted_through,
    }
    (folder / "part.json").write_text(json.dumps(head), encoding="utf-8")


def load_part(folder: Path) -> Part:
    """The part that `save_part` wrote."""
    head = json.loads((folder / "part.json").read_text(encoding="utf-8"))
    outputs = {name: np.load(folder / f"output.{name}.npy", mmap_mode="r") for name in head["outputs"]}
    days, known = np.load(folder / "days.npy"), np.load(folder / "known.npy")
    rows, asked = ((np.load(folder / f"{name}.npy") if head["kind"] == "document" else None) for name in ("rows", "asked"))
    answers = Answers(head["module"], days, outputs, known, np.load(folder / "reason.npy"), head["kind"], rows)
    return Part(answers, np.load(folder / "assets.npy"), int(head["fitted_through"]), asked)
