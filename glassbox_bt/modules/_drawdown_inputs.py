"""What the drawdown module reads, what it learns from, and the empirical quantiles that it is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glassbox_bt.market.view import Span, TrainView
from glassbox_bt.modules._anchor import Standardiser
from glassbox_bt.modules._training import WindowRows
from glassbox_bt.modules.base import reasons
from glassbox_bt.types import AnyArray, BoolArray, FloatArray, Read, Reason

__all__ = [
    "EMBEDDING",
    "GROUPS",
    "HORIZONS",
    "LABELS",
    "LARGEST",
    "PLAIN",
    "THRESHOLDS",
    "Buckets",
    "embeddings",
    "outcomes",
    "plain_inputs",
    "unknown",
    "windows",
]

EMBEDDING = "temporal_encoder.embedding"
QUARTER = 63  # sessions
PLAIN = (Read("garch.vol_10d"), Read("garch.vol_30d"), Read("vol_21d"), Read("log_return_1d", QUARTER))
GROUPS = {"garch": slice(0, 2), "recent": slice(2, 4)}  # columns of `plain_inputs`
MIN_SHARE = 0.7  # of the quarter's returns that must be observed
HORIZONS = (10, 30)  # sessions
THRESHOLDS = (0.05, 0.08)  # of a drawdown that is an event, by horizon (spec §12)
LABELS = tuple(f"forward_{kind}_{horizon}d" for kind in ("drawdown", "recovery_days") for horizon in HORIZONS)
SMALLEST, LARGEST = 0.01, 5.0  # annualised volatilities
N_BUCKETS = 10


def plain_inputs(span: Span) -> FloatArray:
    """Logs of annualised volatilities, (n_days, n_assets, 4); NaN where unknown.

    GARCH forecasts over 10 and 30 sessions, the deviation of a month's returns, the root of a quarter's mean square.
    """
    columns = [*(span.today(read.column) for read in PLAIN[:3]), _quarter(span)]
    logs: FloatArray = np.log(np.clip(np.stack(columns, axis=-1), SMALLEST, LARGEST))
    return logs


def outcomes(train: TrainView) -> FloatArray:
    """Drawdown over 10 and 30 sessions, then shares of the horizon until recovery: (n_days, n_assets, 4), NaN = unknown."""
    spans = (1, 1, *HORIZONS)
    return np.stack([train.label(name) / length for name, length in zip(LABELS, spans, strict=True)], axis=-1)


def unknown(span: Span, sessions: int, min_sessions: int) -> NDArray[np.int8]:
    """Reason codes, (n_days, n_assets): members whose embeddings are known, today's included, and whose volatilities are."""
    present = np.isfinite(span.block(EMBEDDING)[..., 0])  # (rows, n_assets)
    before = np.concatenate([np.zeros((1, present.shape[1]), dtype=np.int64), present.cumsum(axis=0)])
    last = span.at(EMBEDDING)
    n_present = before[last + 1] - before[last - sessions + 1]
    return reasons(
        (~span.member, Reason.NOT_A_MEMBER),
        (~present[last], Reason.UPSTREAM_UNKNOWN),
        (n_present < min_sessions, Reason.WARM_UP),
        (~np.isfinite(span.today("vol_21d")) | ~np.isfinite(_quarter(span)), Reason.INPUT_MISSING),
    )


def embeddings(span: Span, rows: BoolArray) -> AnyArray:
    """Today's embeddings on the True cells of ``rows``, (n_rows, width)."""
    return span.today(EMBEDDING)[rows]


def windows(
    span: Span, rows: BoolArray, sessions: int, scaler: Standardiser, extras: Mapping[str, AnyArray] | None = None
) -> WindowRows:
    """Windows of scaled embeddings ending on each True cell of ``rows``; the last channel says which steps are known."""
    values = span.block(EMBEDDING)
    scaled = np.concatenate([scaler.scaled(values), np.isfinite(values[..., :1])], axis=-1).astype(np.float32)
    day, asset = np.nonzero(rows)
    block = np.ascontiguousarray(scaled.transpose(1, 0, 2))  # (n_assets, n_rows, width + 1)
    return WindowRows(block, asset, span.at(EMBEDDING)[day], sessions, extras or {})


@dataclass(frozen=True, slots=True)
class Buckets:
    """What a sceptic would forecast: the outcomes of train days with about the same volatility.

    Parameters
    ----------
    edges : FloatArray
        Bounds of the tenths of the quarter's volatility (logs) among the fitting rows, (9,).
    table : FloatArray
        By tenth and horizon: mean, median and upper decile of the drawdown, and the rate of the event, (10, 2, 4).
    """

    edges: FloatArray
    table: FloatArray

    @classmethod
    def fit(cls, plain: FloatArray, y: FloatArray) -> Buckets:
        """Of rows with known drawdowns; rows without the quarter's volatility are left out."""
        level = plain[:, -1]
        known = np.isfinite(level) & np.isfinite(y[:, :2]).all(axis=1)
        edges = np.quantile(level[known], np.linspace(0.0, 1.0, N_BUCKETS + 1)[1:-1]) if known.any() else np.zeros(9)
        place = np.searchsorted(edges, level[known], side="right")
        table = np.zeros((N_BUCKETS, len(HORIZONS), 4))
        for bucket in range(N_BUCKETS):
            here = place == bucket
            for number, threshold in enumerate(THRESHOLDS):
                # A tenth that equal values left empty says what all of train says.
                drawdown = y[known, number][here] if here.any() else y[np.isfinite(y[:, number]), number]
                table[bucket, number] = _described(drawdown, threshold)
        return cls(edges, table)

    def at(self, plain: FloatArray) -> FloatArray:
        """The table's row for each row, (n_rows, 2, 4); every level must be known."""
        return np.asarray(self.table[np.searchsorted(self.edges, plain[:, -1], side="right")])


def _described(drawdown: FloatArray, threshold: float) -> list[float]:
    median, upper = np.quantile(drawdown, [0.5, 0.9])
    return [float(drawdown.mean()), float(median), float(upper), float((drawdown >= threshold).mean())]


def _quarter(span: Span) -> FloatArray:
    returns = span.windows("log_return_1d", QUARTER)  # (n_days, 63, n_assets)
    seen = np.isfinite(returns)
    total = np.zeros((returns.shape[0], returns.shape[2]))
    for step in range(QUARTER):  # in this order for one day and for many
        total += np.where(seen[:, step], returns[:, step], 0.0) ** 2
    count = seen.sum(axis=1)
    return np.where(count >= MIN_SHARE * QUARTER, np.sqrt(252.0 * total / np.maximum(count, 1)), np.nan)
