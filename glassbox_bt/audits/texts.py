"""Texts taken apart: numbers and the words around them, so that a few hundred sentences stand for a million texts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from glassbox_bt.types import AnyArray, BoolArray, FloatArray, IntArray

__all__ = ["Sentence", "Spoken", "taken_apart"]

# A sign or digit that no letter, digit or point precedes, then the rest; it starts with a set, which the engine scans fast.
_NUMBER = re.compile(r"([-+0-9](?<![\w.].)(?:(?<=\d)|(?=\d))\d*(?:,\d{3})*(?:\.\d+)?(?:e[-+]?\d+)?(?!\w))")
_HASH = "\N{FULLWIDTH NUMBER SIGN}"  # a "#" of the text itself, kept apart from numbers; it is no plain character


@dataclass(frozen=True, slots=True)
class Spoken:
    """Printed numbers: their values, and half a unit of their last digit; (n_rows, n_numbers) each."""

    values: FloatArray
    half: FloatArray

    def says(self, number: int, truth: FloatArray) -> BoolArray:
        """Where a number is what ``truth`` rounds to at its printed precision."""
        near: BoolArray = np.abs(self.values[:, number] - truth) <= self.half[:, number] * (1.0 + 1e-6) + 1e-9
        return near


@dataclass(frozen=True, slots=True)
class Sentence:
    """One wording with its numbers written ``#``, and the rows of the table that use it."""

    skeleton: str
    rows: IntArray
    numbers: Spoken


def taken_apart(texts: pd.Series) -> Iterator[Sentence]:
    """The wordings of a column of texts, in order of first appearance; an empty text is the empty wording."""
    plain = texts.astype(object).where(texts.notna(), "").astype(str).to_numpy(dtype=object)
    parted = [_NUMBER.split(text.replace("#", _HASH) if "#" in text else text) for text in plain]
    codes, wordings = pd.factorize(np.array(["#".join(parts[::2]) for parts in parted], dtype=object))
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=len(wordings)))
    for skeleton, last, n in zip(wordings, ends, np.diff(ends, prepend=0), strict=True):
        rows = order[last - n : last].astype(np.int64)
        yield Sentence(str(skeleton), rows, _spoken([parted[i][1::2] for i in rows]))


def _spoken(printed: list[list[str]]) -> Spoken:
    tokens = np.array(printed, dtype=str).reshape(len(printed), -1)
    if not tokens.size:
        nothing = np.zeros(tokens.shape)
        return Spoken(nothing, nothing)
    plain = np.char.replace(tokens, ",", "")
    return Spoken(plain.astype(np.float64), 0.5 * 10.0 ** -_decimals(plain))


def _decimals(tokens: AnyArray) -> FloatArray:
    """Digits behind the point, less the power of ten behind an ``e``."""
    mantissa, power = tokens, np.zeros(tokens.shape)
    if (np.char.find(tokens, "e") >= 0).any():
        parted = np.char.partition(tokens, "e")
        mantissa, behind = parted[..., 0], parted[..., 2]
        power = np.where(behind == "", "0", behind).astype(np.float64)
    point = np.char.find(mantissa, ".")
    digits = np.where(point < 0, 0, np.char.str_len(mantissa) - point - 1)
    return np.asarray(digits - power, dtype=np.float64)
