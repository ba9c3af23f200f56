"""What `verify` found: faults, each with its place, and how much was compared to find them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd

from glassbox_bt.types import AnyArray

__all__ = ["Check", "Fault", "differences", "shown"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is not what it must be.

    Parameters
    ----------
    file : str
        Relative to the run folder.
    place : str
        Line, row or pointer in the file.
    printed : str
        What the file says.
    recomputed : str
        What it must say.
    source : str
        Of the claim, where the place prints one; otherwise empty.
    """

    file: str
    place: str
    printed: str
    recomputed: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One question put to the run folder: how many things were compared, and what was wrong."""

    question: str
    n_compared: int
    unit: str
    faults: tuple[Fault, ...] = ()
    remark: str = ""


def differences(
    file: str,
    recorded: pd.DataFrame,
    made: pd.DataFrame,
    keys: list[str],
    tolerance: float,
    floors: Mapping[str, float] = MappingProxyType({}),
) -> Iterator[Fault]:
    """Cells of a table that are not what was recomputed, and rows that one of both lacks.

    Parameters
    ----------
    recorded, made : pandas.DataFrame
        The table of the run and the recomputed one; the columns of ``made`` are compared.
    keys : list[str]
        Columns that name a row; no two rows of a table share them.
    tolerance : float
        Of a number, relative to its size, or to the floor of its column if that is larger.
    floors : Mapping[str, float]
        Size below which the numbers of a column are compared as if they had it; 1 if not given.
    """
    doubled = recorded[recorded.duplicated(keys, keep=False)]
    if not doubled.empty:
        yield Fault(file, _row(doubled.iloc[0], keys), f"{len(doubled)} rows", "one row")
        return
    left, right = recorded.set_index(keys), made.set_index(keys)
    for key in left.index.difference(right.index, sort=False):
        yield Fault(file, _place(key, keys), "a row", "no row")
    for key in right.index.difference(left.index, sort=False):
        yield Fault(file, _place(key, keys), "no row", "a row")
    both = right.index.intersection(left.index, sort=False)
    for column in right.columns:
        if column not in left.columns:
            yield Fault(file, f"column {column}", "not there", "a column")
            continue
        said, must = left.loc[both, column].to_numpy(), right.loc[both, column].to_numpy()
        for at in np.flatnonzero(~_equal(said, must, tolerance, floors.get(column, 1.0))).tolist():
            yield Fault(file, f"{_place(both[at], keys)}, column {column}", shown(said[at]), shown(must[at]))


def shown(value: object) -> str:
    """A value as a fault prints it."""
    if isinstance(value, float | np.floating):
        return repr(float(value))
    return "null" if value is None else str(value)


def _equal(said: AnyArray, must: AnyArray, tolerance: float, floor: float) -> AnyArray:
    if must.dtype.kind != "f":
        equal: AnyArray = pd.Series(said).astype(object).eq(pd.Series(must).astype(object)).to_numpy()
        return equal | (pd.isna(said) & pd.isna(must))
    if said.dtype.kind not in "fiub":
        return np.zeros(len(must), dtype=bool)
    numbers = said.astype(np.float64)
    close: AnyArray = np.abs(numbers - must) <= tolerance * np.maximum(np.abs(must), floor)
    return close | (np.isnan(numbers) & np.isnan(must))


def _row(row: pd.Series, keys: list[str]) -> str:
    return ", ".join(f"{name} {_day(row[name])}" for name in keys)


def _place(key: object, keys: list[str]) -> str:
    values = key if isinstance(key, tuple) else (key,)
    return ", ".join(f"{name} {_day(value)}" for name, value in zip(keys, values, strict=True))


def _day(value: object) -> str:
    return f"{value:%Y-%m-%d}" if isinstance(value, pd.Timestamp) else str(value)
