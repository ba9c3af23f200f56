"""Answers of one module in one chunk as a stand-in gives them: silent, shuffled or frozen (R28).

A shuffled module's rows change places within train, within validation and within test, never across; the days in between and
before, which only modules that look back see, are runs of their own. A frozen one keeps, on validation and test, its last
known answer on train; on train each of the five blocks keeps its first, as later ones are not known yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from glassbox_bt.errors import PlanError
from glassbox_bt.market.store import MarketStore
from glassbox_bt.modules.base import Module
from glassbox_bt.modules.stand_ins import Frozen, Shuffled, Silent
from glassbox_bt.plan import Plan
from glassbox_bt.types import IntArray
from glassbox_bt.walkforward.answers import ModuleAnswers
from glassbox_bt.walkforward.chunks import ChunkDays
from glassbox_bt.walkforward.text_answers import Said, TextAnswers

__all__ = ["STOOD_IN_TEXT", "refuse_unknown_columns", "stood_in"]

STOOD_IN_TEXT = {
    "shuffled": "Control: an answer of this module to another name or day stands here, so no driver explains it.",
    "frozen": "Control: an earlier answer of this module is kept here, so no driver explains it.",
}


def stood_in(kind: str, given: Said, days: ChunkDays, store: MarketStore, seed: int) -> Said:
    """What the others read in place of ``given``.

    Raises
    ------
    PlanError
        If there is no such stand-in, or it cannot stand for this module.
    """
    answers = given.on(given.days)
    if kind == "silent":
        said = Silent(given.module).of(answers)
    elif kind == "shuffled":
        said = Shuffled(given.module, seed, days.number).of(answers, _runs(given, days))
    elif kind == "frozen" and isinstance(given, ModuleAnswers):
        member = store.member[np.ix_(given.days, given.assets)]
        before = given.days[given.days < days.first]
        blocks = [part - given.days[0] for part in (before, *days.blocks) if len(part)]
        said = Frozen(given.module).of(answers, member, blocks, days.train - given.days[0])
    elif kind == "frozen":
        raise PlanError(
            f"`{given.module}` cannot be frozen: an answer to a document is about that document alone, so there is no "
            "earlier one to keep. Take silent or shuffled."
        )
    else:
        raise PlanError(f"There is no stand-in `{kind}`. There are: silent, {', '.join(STOOD_IN_TEXT)}.")
    return replace(given, outputs=said.outputs, known=said.known, reason=said.reason)


def _runs(given: Said, days: ChunkDays) -> Mapping[str, IntArray]:
    """Rows of the answers by run of days."""
    ends = {
        "before train": days.first,
        "train": int(days.train[-1]) + 1,
        "before validation": int(days.val[0]),
        "validation": int(days.val[-1]) + 1,
        "before test": int(days.test[0]),
        "test": days.last + 1,
    }
    runs: dict[str, IntArray] = {}
    first = int(given.days[0])
    for name, end in ends.items():
        if isinstance(given, TextAnswers):
            runs[name] = np.flatnonzero((given.session >= first) & (given.session < end))
        else:
            runs[name] = np.arange(first, max(end, first), dtype=np.int64) - int(given.days[0])
        first = max(end, first)
    return runs


def refuse_unknown_columns(plan: Plan, stack: Mapping[str, Module], store: MarketStore) -> None:
    """Every blanked column must be one of the market or of a module.

    Raises
    ------
    PlanError
        Naming the first that is not.
    """
    for column in plan.blank:
        owner, _, output = column.partition(".")
        of_module = owner in plan.silent or (owner in stack and output in (*stack[owner].outputs, "known"))
        if not of_module and column not in store.columns:
            raise PlanError(
                f"`blank` names `{column}`, which is neither a column of the market nor an output of a module. Market "
                f"columns: {', '.join(sorted(store.columns))}."
            )
