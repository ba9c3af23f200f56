"""What became of the names that text spoke of: the outcomes that the qualitative analyst learns (D-SYN-01).

Excess return over 10 sessions, and trouble: a fall within 10 sessions or a volatility over 20 sessions, each among the
highest fifth of the rows that are learned from. Volatility is taken against that of the month before, so that a restless
name is not trouble by itself. Positions are entered at the open after the decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from glassbox_bt.market.view import TrainView
from glassbox_bt.modules._anchor import RankScale, information_coefficient
from glassbox_bt.modules._outcomes import HeadOutcomes
from glassbox_bt.types import AnyArray, BoolArray, FloatArray, IntArray

__all__ = ["LABELS", "LOSS_WEIGHTS", "TRAILING", "Realised", "Yardstick", "ranked_loss"]

LABELS = ("forward_excess_log_return_10d", "forward_vol_20d", "forward_drawdown_10d")
TRAILING = "vol_21d"  # annualised volatility up to the decision
TROUBLE = 0.80  # quantile of the rows that are learned from
LOSS_WEIGHTS = (0.40, 0.35, 0.25)  # of score, risk and confidence (spec 19)


@dataclass(frozen=True, slots=True)
class Realised:
    """Outcomes of some rows, NaN = unknown, (n_rows,) each.

    ``excess`` is a log return less the benchmark's, ``drawdown`` a positive fraction, ``vol_ratio`` volatility after over
    volatility before.
    """

    excess: FloatArray
    drawdown: FloatArray
    vol_ratio: FloatArray

    @classmethod
    def of(cls, view: TrainView, rows: BoolArray) -> Realised:
        """Of the rows of (n_days, n_assets).

        Until the longest label of a day is known of any name, nothing of that day is: its trouble would look like none.
        """
        over = np.isfinite(view.label(LABELS[1])).any(axis=1, keepdims=True)
        excess, after, drawdown = (np.where(over, view.label(name), np.nan)[rows] for name in LABELS)
        before = np.asarray(view.today(TRAILING), dtype=np.float64)[rows]
        ratio = np.divide(after, before, out=np.full(len(after), np.nan), where=before > 1e-4)
        return cls(excess, drawdown, ratio)

    @property
    def usable(self) -> BoolArray:
        """Rows whose return and fall are known; a volatility may be missing, it is then no spike."""
        known: BoolArray = np.isfinite(self.excess) & np.isfinite(self.drawdown)
        return known

    def picked(self, rows: BoolArray) -> Realised:
        """Some rows."""
        return Realised(self.excess[rows], self.drawdown[rows], self.vol_ratio[rows])


@dataclass(frozen=True, slots=True)
class Yardstick:
    """What outcomes are measured by, learned on the purged rows of train alone (D-LAB-01).

    Parameters
    ----------
    scale : RankScale
        Of excess returns.
    bars : FloatArray
        Median excess return, and the falls and volatility ratios from which there is trouble, (3,).
    """

    scale: RankScale
    bars: FloatArray

    @classmethod
    def fit(cls, realised: Realised) -> Yardstick:
        """Of the rows that are learned from."""
        ratio = realised.vol_ratio[np.isfinite(realised.vol_ratio)]
        spike = float(np.quantile(ratio, TROUBLE)) if len(ratio) else np.inf
        bars = [float(np.median(realised.excess)), float(np.quantile(realised.drawdown, TROUBLE)), spike]
        return cls(RankScale.of(realised.excess), np.array(bars))

    def score(self, realised: Realised) -> FloatArray:
        """Rank of the excess return among train, 2F - 1 in [-1, 1]."""
        return self.scale.signal(realised.excess)

    def side(self, realised: Realised) -> FloatArray:
        """1 where the excess return beats the median of train, else 0."""
        return np.asarray(realised.excess > self.bars[0], dtype=np.float64)

    def trouble(self, realised: Realised) -> FloatArray:
        """1 where the fall or the rise in volatility reaches its bar, else 0; NaN ratios are no spike."""
        fell = realised.drawdown >= max(self.bars[1], 1e-9)
        spiked = np.nan_to_num(realised.vol_ratio, nan=-np.inf) >= self.bars[2]
        return np.asarray(fell | spiked, dtype=np.float64)

    def outcomes(self, days: IntArray, realised: Realised, parts: tuple[BoolArray, BoolArray]) -> HeadOutcomes:
        """What the heads learn of rows of ``days``: score, trouble and side; ``parts`` as in `parted`."""
        return HeadOutcomes(days, self.score(realised), self.trouble(realised), self.side(realised), *parts)

    def arrays(self) -> dict[str, AnyArray]:
        """For `ModuleState.arrays`."""
        return {**self.scale.arrays("yardstick"), "yardstick.bars": self.bars}

    @classmethod
    def restore(cls, arrays: Mapping[str, AnyArray]) -> Yardstick:
        """What `arrays` wrote."""
        return cls(RankScale.restore(arrays, "yardstick"), arrays["yardstick.bars"])


def ranked_loss(said: Mapping[str, FloatArray], realised: Realised, yardstick: Yardstick) -> float:
    """1 less the weighed rank correlations of score with excess return, risk with trouble, confidence with a right sign.

    Ranks, so that a formula is not punished for its scale; lower is better, NaN with fewer than 10 known rows.
    """
    known = realised.usable
    if known.sum() < 10:
        return float("nan")
    realised, score = realised.picked(known), said["score"][known]
    right = (score >= 0.0) == (yardstick.side(realised) == 1.0)
    pairs = (
        (score, realised.excess),
        (said["risk"][known], yardstick.trouble(realised)),
        (said["confidence"][known], right.astype(np.float64)),
    )
    return 1.0 - sum(w * information_coefficient(*pair) for w, pair in zip(LOSS_WEIGHTS, pairs, strict=True))
