"""Names of the asset axis as numbers, for answers that name other names.

A position on the asset axis means another name in every view, so an answer cannot hold one. It holds a code that belongs to
the ticker itself: 48 bits of its digest, exact as float64. A module lists such outputs in ``name_outputs``; tables write the
tickers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from glassbox_bt.errors import ContractError
from glassbox_bt.types import AnyArray, FloatArray, StrArray

__all__ = ["NOBODY", "NOBODY_WORD", "name_codes", "names_of"]

NOBODY = 0.0  # there is no such name, e.g. fewer than ten neighbours
NOBODY_WORD = "none"


def name_codes(tickers: Sequence[str]) -> FloatArray:
    """The code of each ticker, (n_tickers,), whole numbers from 1 to 2⁴⁸."""
    digests = (hashlib.sha256(ticker.encode()).digest() for ticker in tickers)
    codes = np.array([1 + int.from_bytes(one[:6], "big") for one in digests], dtype=np.float64)
    if len(np.unique(codes)) < len(set(tickers)):
        raise ContractError(f"Two of the {len(tickers)} tickers share a code. Rename one of them.")
    return codes


def names_of(codes: AnyArray, tickers: Sequence[str]) -> StrArray:
    """The tickers behind the codes, same shape; None where a code is NaN, "none" where it is `NOBODY`."""
    words = np.array([None, NOBODY_WORD, *tickers], dtype=object)
    known = np.array([NOBODY, *name_codes(tickers)])
    order = np.argsort(known, kind="stable")
    place = order[np.searchsorted(known[order], np.nan_to_num(codes)).clip(max=len(known) - 1)]
    missing = np.isnan(codes)
    strange = ~missing & (known[place] != codes)
    if strange.any():
        raise ContractError(
            f"The code {codes[strange][0]:.0f} belongs to none of the {len(tickers)} names of this view. Codes come from "
            "`name_codes`."
        )
    named: StrArray = words[np.where(missing, 0, place + 1)]
    return named
