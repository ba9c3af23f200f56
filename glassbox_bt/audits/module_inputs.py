"""How far today's inputs of a module moved from one row to another, in train standard deviations.

What a module was handed is named in its artefact's key; values come from the tables of the modules below it and from the
store. Nothing is taken from the module's code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from glassbox_bt.audits.attention_weights import declared_inputs
from glassbox_bt.audits.case import Case, Part, keys_of, places, words_in
from glassbox_bt.types import AnyArray, BoolArray, FloatArray, IntArray
from glassbox_bt.walkforward.text_answers import TEXT_MODULES

__all__ = ["changes"]

Pair = tuple[IntArray, IntArray]


def changes(case: Case, module: str, at: tuple[int, str], rows: pd.DataFrame, pair: Pair) -> FloatArray:
    """Largest change of any input from ``rows[pair[0]]`` to ``rows[pair[1]]``, in train deviations, (n_pairs,).

    Infinite where an input came or went, a word changed, or a number moved that stood still in train. ``at`` are the chunk
    and split of the rows.
    """
    largest, by_owner = np.zeros(len(pair[0])), dict[str, list[str]]()
    for name in declared_inputs(case, module, at[0]):
        owner, _, output = name.partition(".")
        if name in case.store.columns:
            largest = np.maximum(largest, _market_change(case, name, at[0], rows, pair))
        elif output:
            by_owner.setdefault(owner, []).append(output)
    for owner in TEXT_MODULES:
        by_owner.pop(owner, None)  # their answers are to documents, and a pair with text on either day is not eligible
    for owner, outputs in by_owner.items():
        part, train = case.part(owner, *at), case.part(owner, at[0], "train")
        if part is not None and train is not None:  # a silent module says nothing on either day
            for change in _owner_changes((part, train), outputs, rows, pair):
                largest = np.maximum(largest, change)
    return largest


def _owner_changes(parts: tuple[Part, Part], outputs: Sequence[str], rows: pd.DataFrame, pair: Pair) -> Iterator[FloatArray]:
    """Changes of some outputs of one module, whose tables of these rows and of train are ``parts``."""
    part, train = parts
    place, there = places(part, keys_of(rows))
    vectors, table, before = part.vectors(), part.read(outputs), train.read(outputs)
    for name in outputs:
        if name in vectors:
            values, seen = part.vector(name), train.vector(name)
        elif name not in table.columns:
            continue
        elif not pd.api.types.is_numeric_dtype(table[name]):
            words = words_in(table[name]).to_numpy(dtype=object)[place]
            yield np.where(words[pair[0]] == words[pair[1]], 0.0, np.inf)
            continue
        else:
            values, seen = (one[name].to_numpy(dtype=np.float64)[:, None] for one in (table, before))
        today = values[place]
        today[~there] = np.nan
        yield _in_deviations(today[pair[0]], today[pair[1]], _spread(seen))


def _market_change(case: Case, name: str, chunk: int, rows: pd.DataFrame, pair: Pair) -> FloatArray:
    column = np.asarray(case.store.columns[name], dtype=np.float64)
    days, assets = case.sessions(rows["date"]), case.assets(rows["ticker"])
    train = case.chunks[chunk].train
    if column.ndim == 1:
        values, seen = column[days][:, None], column[train][:, None]
    else:
        member: BoolArray = case.store.member[train]
        values, seen = column[days, assets].reshape(len(days), -1), column[train][member].reshape(int(member.sum()), -1)
    return _in_deviations(values[pair[0]], values[pair[1]], _spread(seen))


def _spread(values: AnyArray) -> FloatArray:
    """Standard deviation of each column over its known rows, 0 where there is none."""
    known = np.where(np.isfinite(values), values, np.nan)
    there = np.isfinite(values).any(axis=0)
    spread = np.zeros(values.shape[1])
    spread[there] = np.nanstd(known[:, there], axis=0)
    return spread


def _in_deviations(one: FloatArray, two: FloatArray, spread: FloatArray) -> FloatArray:
    """Largest change over the columns, (n_pairs,)."""
    gone, step = np.isnan(one) != np.isnan(two), np.abs(np.nan_to_num(two) - np.nan_to_num(one))
    still = np.where(step > 0.0, np.inf, 0.0)
    moved = np.divide(step, spread, out=still, where=np.broadcast_to(spread > 0.0, step.shape))
    return np.asarray(np.where(gone, np.inf, moved).max(axis=1, initial=0.0))
