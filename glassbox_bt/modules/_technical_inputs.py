"""What the technical analyst's anchors read, what it learns from, and its rule baseline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glassbox_bt.errors import TrainingError
from glassbox_bt.market.view import Span, TrainView
from glassbox_bt.modules._training import WindowRows
from glassbox_bt.modules.base import reasons, rounded
from glassbox_bt.types import AnyArray, BoolArray, FloatArray, Read, Reason

__all__ = [
    "EMBEDDING",
    "INDICATORS",
    "INDICATOR_WORDS",
    "TARGETS",
    "TimingRule",
    "embedding_width",
    "embedding_windows",
    "indicators",
    "limited",
    "squared_error",
    "targets",
    "told",
    "unknown",
]

EMBEDDING = "temporal_encoder.embedding"
INDICATORS = (
    Read("log_return_1d", 20),
    Read("vol_5d"),
    Read("vol_21d"),
    Read("rsi_14"),
    Read("macd_hist"),
    Read("bb_pos"),
    Read("price_pos"),
)
INDICATOR_WORDS = (
    "the return of the last 20 sessions",
    "the return of the last 5 sessions",
    "today's return",
    "the relative strength index",
    "the moving average convergence",
    "the place within the Bollinger band",
    "the place within the 21-session range",
    "the change in volatility",
)
TARGETS = ("forward_log_return_20d", "forward_log_return_5d", "forward_excursion_5d")
LOWEST = (-1.0, -1.0, 0.0, -1.0)  # of each head's target; the highest is 1
MIN_SHARE = 0.9  # of a window of returns that must be observed (D-TEC-04)
DAYS_PER_YEAR = 252.0


def indicators(span: Span) -> FloatArray:
    """Plain inputs of the anchors in the order of `INDICATOR_WORDS`, (n_days, n_assets, 8).

    Past returns are in standard deviations of the last 21 sessions, so that calm and wild names are
    alike. NaN where too little was observed.
    """
    volatility = span.today("vol_21d")
    columns = [
        _past_return(span, 20) / _scale(volatility, 20),
        _past_return(span, 5) / _scale(volatility, 5),
        span.today("log_return_1d") / _scale(volatility, 1),
        span.today("rsi_14"),
        span.today("macd_hist"),
        span.today("bb_pos"),
        span.today("price_pos"),
        span.today("vol_5d") / np.where(volatility > 0.0, volatility, np.nan),
    ]
    return np.stack(columns, axis=-1)


def targets(train: TrainView) -> FloatArray:
    """Outcomes by head: trend, momentum, intensity, timing; (n_days, n_assets, 4), NaN = unknown.

    * trend, momentum: tanh of the return from the entry over 20 and 5 sessions in standard
      deviations expected from the last 21 sessions; signed (D-TEC-02). The source divides by the
      deviation of 5 returns, which is mostly noise.
    * intensity: size of the latter before tanh, cut at 1.
    * timing: tanh of favourable less adverse excursion over 5 sessions, on the same scale (D-TEC-03).
    """
    volatility = train.today("vol_21d")
    far = train.label("forward_log_return_20d") / _scale(volatility, 20)
    near = train.label("forward_log_return_5d") / _scale(volatility, 5)
    excursion = train.label("forward_excursion_5d") / _scale(volatility, 5)
    heads = [np.tanh(far), np.tanh(near), np.minimum(np.abs(near), 1.0), np.tanh(excursion)]
    return np.stack(heads, axis=-1)


def unknown(span: Span, sessions: int, min_sessions: int) -> NDArray[np.int8]:
    """Reason codes, (n_days, n_assets): members whose embeddings are known, today's included."""
    block = span.block(EMBEDDING)  # without its last axis where the encoder is silent
    present = np.isfinite(block if block.ndim == 2 else block[..., 0])  # (rows, n_assets)
    before = np.concatenate([np.zeros((1, present.shape[1]), dtype=np.int64), present.cumsum(axis=0)])
    last = span.at(EMBEDDING)
    n_present = before[last + 1] - before[last - sessions + 1]
    enough = n_present >= min_sessions
    return reasons(
        (~span.member, Reason.NOT_A_MEMBER),
        (~present[last], Reason.UPSTREAM_UNKNOWN),
        (~enough, Reason.WARM_UP),
        (~np.isfinite(span.today("vol_21d")), Reason.INPUT_MISSING),
    )


def embedding_width(span: Span) -> int:
    """Numbers per embedding."""
    return int(span.block(EMBEDDING).shape[-1])


def embedding_windows(span: Span, rows: BoolArray, sessions: int, extras: Mapping[str, AnyArray]) -> WindowRows:
    """Windows of embeddings ending on each True cell of ``rows``; unknown embeddings are zeros."""
    values = span.block(EMBEDDING)
    filled = np.where(np.isfinite(values), values, 0.0).astype(np.float32)
    day, asset = np.nonzero(rows)
    block = np.ascontiguousarray(filled.transpose(1, 0, 2))
    return WindowRows(block, asset, span.at(EMBEDDING)[day], sessions, extras)


def limited(forecast: AnyArray) -> FloatArray:
    """Forecasts cut to the range of their targets, on the grid of 1e-6."""
    return np.asarray(rounded(np.clip(forecast, LOWEST, 1.0)), dtype=np.float64)


def squared_error(forecast: FloatArray, outcome: FloatArray) -> float:
    """Mean squared error over all heads where the outcome is known."""
    return float(np.nanmean((forecast - outcome) ** 2))


@dataclass(frozen=True, slots=True)
class TimingRule:
    """The source's timing target, kept as an untrained baseline: a function of today only."""

    median: float
    spread: float  # scaled median absolute deviation, matches a normal's deviation

    @classmethod
    def fit(cls, macd: AnyArray) -> TimingRule:
        """Median and spread of the train rows between their 1st and 99th percentile."""
        seen = macd[np.isfinite(macd)]
        if seen.size == 0:
            raise TrainingError("The timing rule needs an observed MACD in train, got none.")
        cut = np.clip(seen, *np.quantile(seen, [0.01, 0.99]))
        median = float(np.median(cut))
        return cls(median, max(1.4826 * float(np.median(np.abs(cut - median))), 1e-12))

    def score(self, span: Span) -> FloatArray:
        """In [0, 1]; 1 when oversold but high in its range, 0 when overbought but low in it."""
        rsi, place = span.today("rsi_14"), span.today("price_pos")
        deviations = np.clip((span.today("macd_hist") - self.median) / self.spread, -3.0, 3.0)
        score = 1.0 / (1.0 + np.exp(-deviations))
        score = np.where((rsi < 30.0) & (place > 0.5), 1.0, score)
        return np.where((rsi > 70.0) & (place < 0.5), 0.0, score)


def told(row: Mapping[str, float], shares: FloatArray | None, weights: AnyArray | None) -> str:
    """The summary of one row: indicators' shares of the anchor and attention, where there are any."""
    trend = row["trend_score"]
    level = "bullish" if trend > 0.6 else "bearish" if trend < 0.4 else "neutral"
    parts = [
        f"Trend is {level}: higher than {trend:.0%} of forecasts in train, momentum "
        f"{row['momentum_score']:+.2f}, timing {row['timing_confidence']:.2f}."
    ]
    if shares is not None:
        top = int(np.abs(shares).argmax())
        moved = "raises" if shares[top] > 0.0 else "lowers"
        parts.append(f"Of the plain indicators {INDICATOR_WORDS[top]} counts most and {moved} it.")
    if weights is not None:
        top = int(weights.argmax())
        ago = weights.size - 1 - top
        where = "today" if ago == 0 else f"the session {ago} days ago"
        parts.append(f"The network looked most at {where}, {float(weights[top]):.1%} of its attention.")
    parts.append(f"Reliability {row['trend_reliability']:.2f}.")
    return " ".join(parts)


def _past_return(span: Span, sessions: int) -> FloatArray:
    """Log return of the last sessions, NaN where over a tenth of them is unobserved."""
    returns = span.windows("log_return_1d", sessions)  # (n_days, sessions, n_assets)
    seen = np.isfinite(returns)
    total = np.zeros((returns.shape[0], returns.shape[2]))
    for step in range(sessions):  # in this order for one day and for many
        total += np.where(seen[:, step], returns[:, step], 0.0)
    return np.where(seen.sum(axis=1) >= MIN_SHARE * sessions, total, np.nan)


def _scale(volatility: FloatArray, sessions: int) -> FloatArray:
    """Standard deviation of a move over that many sessions; NaN where volatility is not positive."""
    positive = np.where(volatility > 0.0, volatility, np.nan)
    return np.asarray(positive * np.sqrt(sessions / DAYS_PER_YEAR), dtype=np.float64)
