"""The trained stack with something changed: what it would have answered on test, with its fits as they are.

Modules are taken in their order.

1. One whose inputs on the days that matter are what they were keeps its recorded answers.       `_inputs_changed`
2. Any other answers again, by the fits that answered validation and test.                       `_again`
3. A stand-in then takes the module's place in what the others read.                             stood_in.py

Nothing is fitted. Days before test matter as far as modules above look back on them; answers on train days are never made
again, because the fits that gave them are not the ones that answer test.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np

from glassbox_bt.decision.stack import order
from glassbox_bt.errors import PlanError
from glassbox_bt.market.view import Span
from glassbox_bt.modules.base import Module
from glassbox_bt.plan import Plan, load_stack
from glassbox_bt.types import IntArray
from glassbox_bt.walkforward.answers import Part
from glassbox_bt.walkforward.fitting import ChunkFitter, pages
from glassbox_bt.walkforward.stood_in import stood_in
from glassbox_bt.walkforward.text_answers import TextAnswers
from glassbox_bt.walkforward.text_edits import with_text

__all__ = ["answered_again", "refuse_unfitted"]

# What a plan may change without another fit; of `modules` only settings of those that learn nothing.
FREE = (
    *("stand_ins", "blank", "modules"),  # answers of test
    "text",  # what the modules read of it on test
    *("rules", "limits", "costs", "lag", "policy"),  # the daily loop
    *("name", "title", "question", "reduced", "folder", "ablations", "statistics", "strategies"),  # nothing of the stack
)


def answered_again(walk: ChunkFitter, base: Plan, plan: Plan) -> tuple[ChunkFitter, frozenset[str]]:
    """The walk of ``base`` as it answers under ``plan``, and the modules that answered again.

    Parameters
    ----------
    walk : ChunkFitter
        A walk of ``base`` with its answers and final fits; it is not changed.
    base, plan : Plan
        The plan that was walked, and the one that differs from it.

    Raises
    ------
    PlanError
        If ``plan`` asks for other fits.
    """
    stack = load_stack(plan)
    refuse_unfitted(base, plan, stack)
    reset, again = _reset(base, plan, stack), set[str]()
    new = dataclasses.replace(
        walk,
        store=with_text(walk.store, plan.text, plan.seed),
        stack=stack,
        answers=dict(walk.answers),
        columns=dict(walk.columns),
        fitted={**walk.fitted, **{name: stack[name].restore(walk.fitted[name].state()) for name in reset}},
        tables={},
        skipped=[],
        stand_ins=plan.stand_ins,
        blank=plan.blank,
    )
    for name in order(stack, plan.silent):
        kind, given = plan.stand_ins.get(name), walk.answers[name]
        if isinstance(given, TextAnswers) and new.store is not walk.store:
            given = given.on_text_of(new.store, new.assets)
        if kind != "silent" and (name in reset or _inputs_changed(walk, new, name)):
            given = given.with_parts(list(_again(new, name)))
            again.add(name)
        if kind is not None:
            given = stood_in(kind, given, walk.days, walk.store, plan.seed)
        if given is not walk.answers[name]:
            new.answers[name] = given
            new.columns.update(given.columns())
    return new, frozenset(again)


def refuse_unfitted(base: Plan, plan: Plan, stack: Mapping[str, Module]) -> None:
    """Refuse a plan that the fits of ``base`` cannot answer for.

    Raises
    ------
    PlanError
        Naming what differs.
    """
    if base.stand_ins or base.blank or base.text != "as_it_came":
        raise PlanError(
            "The base run is an ablation itself: it has `stand_ins`, `blank` or `text`. Start from a run without them."
        )
    for one in dataclasses.fields(plan):
        if one.name not in FREE and getattr(plan, one.name) != getattr(base, one.name):
            raise PlanError(f"`{one.name}` cannot change at inference depth: other fits are needed. Take depth retrained.")
    for name in _reset(base, plan, stack):
        if stack[name].learns_from or stack[name].self_supervised:
            raise PlanError(
                f"[modules.{name}] cannot change at inference depth: with other settings it is another fit. Take depth "
                "retrained."
            )


def _reset(base: Plan, plan: Plan, stack: Mapping[str, Module]) -> tuple[str, ...]:
    """Modules whose settings differ."""
    return tuple(name for name in stack if plan.modules.get(name, {}) != base.modules.get(name, {}))


def _inputs_changed(walk: ChunkFitter, new: ChunkFitter, name: str) -> bool:
    """Whether anything that the module reads on the days that matter has another value; NaN equals NaN."""
    suspects = [
        read
        for read in new.stack[name].reads
        if read.column in new.blank or new.columns.get(read.column) is not walk.columns.get(read.column)
    ]
    if not suspects and walk.store is new.store:
        return False
    for days, _ in _due(new, name):
        one, two = (fitter.span(walk.stack[name], days, fitter.days.last) for fitter in (walk, new))
        if not _same_text(one, two):
            return True
        for read in suspects:
            before, after = one.blocks[read.column], two.blocks[read.column]
            if not np.array_equal(before, after, equal_nan=before.dtype.kind == "f"):
                return True
    return False


def _same_text(one: Span, two: Span) -> bool:
    """Whether both hold the same rows of text, of the same days and names."""
    if one.documents is None or two.documents is None:
        return True
    pairs = ((getattr(one.documents, part), getattr(two.documents, part)) for part in ("rows", "session", "asset"))
    return all(np.array_equal(before, after) for before, after in pairs)


def _again(new: ChunkFitter, name: str) -> Iterator[Part]:
    for days, known_by in _due(new, name):
        fitted, through = new.answering(name, int(days[0]))
        span = new.span(new.stack[name], days, known_by)
        yield Part(fitted.predict_many(span), new.store.assets_until(new.days.first, known_by), through, days)


def _due(fitter: ChunkFitter, name: str) -> Iterator[tuple[IntArray, int]]:
    """Runs of days to answer, cut as the walk cut them, and for each the session by whose members it is shaped."""
    *_, final = fitter.schedule(name)
    first = max(int(fitter.days.test[0]) - _look_back(fitter.stack, name), int(fitter.days.train[-1]) + 1)
    for _, run in final.runs:
        for page in pages(run):
            due = page[page >= first]
            if len(due):
                yield due, fitter.reach(name, page)


def _look_back(stack: Mapping[str, Module], name: str) -> int:
    """Sessions before a day on which this module's answers are read for it, directly or in turn."""
    looks = [
        _look_back(stack, reader) + read.sessions - 1
        for reader, module in stack.items()
        for read in module.reads
        if read.column.partition(".")[0] == name
    ]
    return max(looks, default=0)
