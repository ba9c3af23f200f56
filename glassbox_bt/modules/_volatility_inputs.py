"""What the learned volatility reads, in logs, and the outcomes that it learns from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glassbox_bt.market.view import Span, TrainView
from glassbox_bt.modules.base import reasons
from glassbox_bt.types import BoolArray, Float32Array, FloatArray, Read, Reason

__all__ = [
    "EMBEDDING",
    "GARCH",
    "GROUPS",
    "LABELS",
    "LARGEST",
    "REACHES",
    "READS",
    "SMALLEST",
    "embeddings",
    "inputs",
    "outcomes",
    "unknown",
]

EMBEDDING = "temporal_encoder.embedding"
GARCH = ("garch.vol_10d", "garch.vol_30d")
BESIDE = (*GARCH, "garch.recent_vol", "garch.ewma_vol")  # handed on beside the forecast
REACHES = (1, 5, 21, 63)  # sessions: day, week, month (Corsi 2009), and the quarter
MIN_SHARE = 0.7  # of a reach that must be observed
READS = (
    Read(EMBEDDING),
    *(Read(column) for column in (*BESIDE, "garch.known")),
    Read("log_return_1d", max(REACHES)),
)
LABELS = ("forward_vol_10d", "forward_vol_30d")
GROUPS = {"garch": slice(0, 2), "recent": slice(2, 2 + len(REACHES))}  # columns of `inputs`
SMALLEST, LARGEST = 0.01, 5.0  # annualised; the range of the outcome (spec §11)


def inputs(span: Span) -> FloatArray:
    """Logs of annualised volatilities, (n_days, n_assets, 6): GARCH over 10 and 30 sessions, then realised ones.

    A realised one is the root of the mean squared return of its reach; NaN where too little of it was observed.
    """
    columns = [span.today(column) for column in GARCH]
    columns += [_realised(span, reach) for reach in REACHES]
    logs: FloatArray = np.log(np.clip(np.stack(columns, axis=-1), SMALLEST, LARGEST))
    return logs


def embeddings(span: Span) -> Float32Array:
    """Today's embeddings, (n_days, n_assets, width); NaN where unknown."""
    return np.asarray(span.today(EMBEDDING), dtype=np.float32)


def outcomes(train: TrainView) -> FloatArray:
    """Logs of the realised volatility of the coming 10 and 30 sessions, (n_days, n_assets, 2); NaN where not known.

    Nothing is made up for a missing outcome and no window is shortened (D-VOL-05).
    """
    return np.log(np.stack([train.label(name) for name in LABELS], axis=-1))


def unknown(span: Span) -> NDArray[np.int8]:
    """Reason codes, (n_days, n_assets): members whose GARCH forecast and embedding are known."""
    answered: BoolArray = np.isfinite(embeddings(span)).all(axis=-1) & (span.today("garch.known") == 1.0)
    for column in BESIDE:
        answered &= np.isfinite(span.today(column))
    return reasons((~span.member, Reason.NOT_A_MEMBER), (~answered, Reason.UPSTREAM_UNKNOWN))


def _realised(span: Span, reach: int) -> FloatArray:
    returns = span.windows("log_return_1d", reach)  # (n_days, reach, n_assets)
    seen = np.isfinite(returns)
    total = np.zeros((returns.shape[0], returns.shape[2]))
    for step in range(reach):  # in this order for one day and for many
        total += np.where(seen[:, step], returns[:, step], 0.0) ** 2
    count = seen.sum(axis=1)
    mean = total / np.maximum(count, 1)
    return np.where(count >= max(1.0, MIN_SHARE * reach), np.sqrt(252.0 * mean), np.nan)
