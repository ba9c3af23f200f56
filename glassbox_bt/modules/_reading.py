"""How the synthesis layers read today's answers of other modules and lay rows back out on days and assets."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from glassbox_bt.market.view import Span
from glassbox_bt.types import AnyArray, BoolArray, FloatArray

__all__ = ["is_known", "laid_out", "today"]


def today(span: Span, column: str) -> FloatArray:
    """Each day's value, (n_days, n_assets), NaN where unknown; a market-wide answer is the same for every asset."""
    values = np.asarray(span.today(column), dtype=np.float64)
    if values.ndim == 1:
        values = np.broadcast_to(values[:, None], span.member.shape)
    return values


def is_known(span: Span, module: str) -> BoolArray:
    """Where a module answered, (n_days, n_assets); reads ``<module>.known``."""
    known: BoolArray = today(span, f"{module}.known") == 1.0
    return known


def laid_out(rows: Mapping[str, AnyArray], known: BoolArray) -> dict[str, FloatArray]:
    """Row vectors, in the order of ``np.nonzero(known)``, as (n_days, n_assets) with NaN elsewhere."""
    out: dict[str, FloatArray] = {}
    for name, values in rows.items():
        grid = np.full(known.shape, np.nan)
        grid[known] = values
        out[name] = grid
    return out
