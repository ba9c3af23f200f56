"""The nouns that cross layers; all are frozen values.

``Read`` says what a module may see, ``Reason`` why it does not know, ``Answers`` what it said on many days and ``Signal`` on
one. ``Attribution`` accounts for one answer in words. ``Decision`` is what Fusion and the barrier propose for one day.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from glassbox_bt.errors import ContractError

__all__ = [
    "Action",
    "Answers",
    "AnyArray",
    "Attribution",
    "BoolArray",
    "Float32Array",
    "FloatArray",
    "IntArray",
    "Kind",
    "Read",
    "Reason",
    "Signal",
    "StrArray",
]

FloatArray = NDArray[np.float64]
Float32Array = NDArray[np.float32]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
StrArray = NDArray[np.object_]
AnyArray = NDArray[Any]
Kind = Literal["asset", "market", "document", "edge"]


class Action(IntEnum):
    """Recommendation, class ids of spec 0.1; long-only, so ``SELL`` means to zero."""

    SELL = 0
    HOLD = 1
    BUY = 2


class Reason(IntEnum):
    """Why a module does not know (spec 0.8); ``KNOWN`` when it does."""

    KNOWN = 0
    SILENT = 1  # the module is switched off or not part of this stack
    WARM_UP = 2  # its window is not complete yet
    TOO_FEW_OBSERVATIONS = 3  # the window is there, but with too many gaps
    INPUT_MISSING = 4  # a market input it needs is missing today
    UPSTREAM_UNKNOWN = 5  # a module it reads does not know
    NOT_A_MEMBER = 6  # outside the universe of the day
    NO_FIT_YET = 7  # no fit ends before this day (first out-of-fold block)
    NOT_CONVERGED = 8  # an estimator did not converge
    NO_TEXT = 9  # no document speaks of this name in the days that count


@dataclass(frozen=True, slots=True)
class Read:
    """One declared input of a module.

    Parameters
    ----------
    column : str
        ``"log_return_1d"`` (a market column), ``"macro.VIX_CLOSE"`` (a market-wide series), or ``"technical.trend_score"``
        (an answer of another module, written ``module.output``). ``"technical.known"`` is that module's known flag.
    sessions : int, default=1
        Length of the window in sessions, the day of the decision included.
    """

    column: str
    sessions: int = 1

    def __post_init__(self) -> None:
        if self.sessions < 1:
            raise ContractError(f"Read of `{self.column}`: `sessions` must be at least 1, got {self.sessions}.")


@dataclass(frozen=True, slots=True)
class Answers:
    """What one module said about many days.

    Parameters
    ----------
    module : str
        Name of the module.
    days : IntArray
        Session numbers, shape (n_days,); need not be contiguous.
    outputs : Mapping[str, AnyArray]
        Each (n_days, n_assets) float64, or (n_days, n_assets, k) for vectors (attention, embeddings: float32).
        For ``kind="market"`` without the asset axis; for ``kind="document"`` (n_rows,) or (n_rows, k), one row per chunk
        of a document and name. Values where ``known`` is False must be NaN.
    known : BoolArray
        Shape (n_days, n_assets); (n_rows,) for documents.
    reason : NDArray[np.int8]
        ``Reason`` codes, same shape; 0 exactly where known.
    rows : IntArray or None
        For documents only: each row's place in the store's table of text, ascending, (n_rows,); ``days`` then holds the
        session of each row, so it may repeat.
    """

    module: str
    days: IntArray
    outputs: Mapping[str, AnyArray]
    known: BoolArray
    reason: NDArray[np.int8]
    kind: Kind = "asset"
    rows: IntArray | None = None

    def __post_init__(self) -> None:
        shape = self.known.shape
        if (self.kind == "document") != (self.rows is not None) or (self.rows is not None and self.rows.shape != shape):
            raise ContractError(f"`{self.module}`: answers to documents, and only those, name the row of each.")
        if self.reason.shape != shape or shape[0] != self.days.shape[0]:
            raise ContractError(
                f"`{self.module}`: `known` {shape}, `reason` {self.reason.shape} and `days` {self.days.shape} must agree."
            )
        if not np.array_equal(self.reason == Reason.KNOWN, self.known):
            raise ContractError(f"`{self.module}`: every unknown row needs a reason code, every known row none.")
        for name, values in self.outputs.items():
            if values.shape[: len(shape)] != shape:
                raise ContractError(f"`{self.module}` output `{name}` has shape {values.shape}, expected {shape}.")
            finite = np.isfinite(values)
            per_row = finite if finite.ndim == len(shape) else finite.all(axis=-1)
            if np.any(self.known & ~per_row):
                raise ContractError(
                    f"`{self.module}` output `{name}` is not finite for an asset it claims to know. "
                    "Set `known` to False to abstain."
                )

    def at(self, row: int, as_of: np.datetime64) -> Signal:
        """The answer of day ``days[row]`` alone."""
        outputs = {name: values[row] for name, values in self.outputs.items()}
        return Signal(self.module, as_of, outputs, self.known[row], self.reason[row], self.kind)


@dataclass(frozen=True, slots=True)
class Signal:
    """What one module said about one day; shapes as in `Answers` without the day axis."""

    module: str
    as_of: np.datetime64
    outputs: Mapping[str, AnyArray]
    known: BoolArray
    reason: NDArray[np.int8]
    kind: Kind = "asset"


@dataclass(frozen=True, slots=True)
class Attribution:
    """Why one answer is what it is (spec 0.7).

    ``drivers`` are (name, value, direction) with direction one of ``risk-increasing, risk-decreasing, bullish, bearish,
    neutral``; ``method`` one of ``attention, gradient, rule_trace, graph_explainer, counterfactual``.
    """

    summary: str
    drivers: tuple[tuple[str, float, str], ...]
    method: str
    limitations: str = ""
