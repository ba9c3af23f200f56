"""What became of a decision, as the synthesis layers learn it: never a formula of their inputs (D-SYN-01)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glassbox_bt.errors import TrainingError
from glassbox_bt.modules._training import holdout_split
from glassbox_bt.modules.base import rounded
from glassbox_bt.types import BoolArray, FloatArray, IntArray

__all__ = [
    "HORIZON",
    "LABELS",
    "HeadOutcomes",
    "Outcomes",
    "has_earned_its_place",
    "parted",
    "sigma_over_horizon",
    "standing",
    "typical_of",
]

HORIZON = 20  # sessions; the longest of the labels
LABELS = ("forward_log_return_20d", "forward_vol_20d", "forward_drawdown_10d")
MIN_VOL = 1e-4  # annualised; below it a name stood still and its risk-adjusted return means nothing


@dataclass(frozen=True, slots=True)
class HeadOutcomes:
    """What became of some rows, as three heads learn it, parted into fitting rows and a purged hold-out at the end.

    Parameters
    ----------
    days : IntArray
        Session of each row.
    signal : FloatArray
        In [-1, 1], positive = better than is typical.
    event, side : FloatArray
        1 where the event happened, and where the outcome exceeded the median of the fitting rows, else 0.
    fitting, held_out : BoolArray
        No label of a fitting row reaches into the hold-out.
    """

    days: IntArray
    signal: FloatArray
    event: FloatArray
    side: FloatArray
    fitting: BoolArray
    held_out: BoolArray


@dataclass(frozen=True, slots=True)
class Outcomes(HeadOutcomes):
    """Realised outcomes of the usable rows among those handed in.

    Parameters
    ----------
    signal : FloatArray
        tanh of the forward return over its realised volatility, less its median and over its deviation among the fitting
        rows. Without the median, forecasts of different fits would differ by the drift of their years, and a rank in the
        out-of-fold distribution (R14) would tell the fit rather than the name.
    event : FloatArray
        1 where the drawdown within 10 sessions reached the threshold, else 0.
    side : FloatArray
        1 where the risk-adjusted return exceeded ``typical``, else 0.
    usable : BoolArray
        Which of the rows handed in have a known outcome; all other arrays hold those only.
    typical : float
        Median risk-adjusted return of the fitting rows.
    """

    usable: BoolArray
    typical: float

    @classmethod
    def of(
        cls,
        days: IntArray,
        labels: tuple[FloatArray, ...],
        *,
        event_drawdown: float,
        holdout: float,
        module: str,
    ) -> Outcomes:
        """Outcomes of rows of ``days``; ``labels`` are the values of ``LABELS``, each (n_rows,).

        Raises
        ------
        TrainingError
            No row has a known outcome, or none is left to fit on before the hold-out.
        """
        forward, vol, drawdown = labels
        usable = np.isfinite(forward) & (vol > MIN_VOL) & np.isfinite(drawdown)
        adjusted = forward[usable] / sigma_over_horizon(vol[usable])
        fitting, held_out = parted(days[usable], holdout)
        spread = float(np.std(adjusted[fitting])) if fitting.any() else 0.0
        if not spread > 0.0:
            raise TrainingError(
                f"`{module}` has {int(fitting.sum())} train rows with a known outcome before its hold-out of "
                f"{int(held_out.sum())} rows, with a spread of {spread}. Give the chunk a longer train part."
            )
        typical = float(np.median(adjusted[fitting]))
        return cls(
            days[usable],
            np.tanh((adjusted - typical) / spread),
            (drawdown[usable] >= event_drawdown).astype(np.float64),
            (adjusted > typical).astype(np.float64),
            fitting,
            held_out,
            usable,
            typical,
        )


def has_earned_its_place(days: IntArray, losses: FloatArray, anchor_losses: FloatArray) -> bool:
    """Whether a residual beat its anchor on the hold-out by more than one standard error (R32).

    Outcomes of neighbouring days overlap, and names share their days. So the error is taken over the means of blocks of 20
    sessions; with fewer than two blocks nothing can be told, and the anchor stands alone.

    Parameters
    ----------
    days, losses, anchor_losses
        Session of each held-out row and its loss with and without the residual, each (n_rows,).
    """
    block = (days - days.min()) // HORIZON
    gains = np.array([np.mean((anchor_losses - losses)[block == one]) for one in np.unique(block)])
    if len(gains) < 2:
        return False
    return bool(gains.mean() > gains.std(ddof=1) / np.sqrt(len(gains)))


def typical_of(signal: FloatArray) -> FloatArray:
    """Median and deviation of a fit's raw signals on its train rows, (2,); the deviation is 1 where they do not vary."""
    deviation = float(np.std(signal))
    return np.array([float(np.median(signal)), deviation if deviation > 1e-9 else 1.0])


def standing(signal: FloatArray, typical: FloatArray) -> FloatArray:
    """A raw signal in deviations from what is typical of its fit, on the grid of 1e-6.

    Fits on different years disagree in level and spread of their forecasts far more than names of one day do. Pooled raw,
    their out-of-fold distribution would rank the fits; pooled by standing it ranks days and names.
    """
    return rounded((rounded(signal) - typical[0]) / typical[1])


def sigma_over_horizon(vol: FloatArray) -> FloatArray:
    """Annualised volatility as the deviation over the 20 sessions of the return."""
    return np.asarray(vol * np.sqrt(HORIZON / 252.0), dtype=np.float64)


def parted(days: IntArray, holdout: float) -> tuple[BoolArray, BoolArray]:
    """Rows to fit on and held out; no label of the first, known after ``HORIZON`` sessions, reaches into the second.

    The share is of the days that have a row: the last sessions of a train part have no known label yet.
    """
    seen = np.unique(days)
    if not len(seen):
        nothing = np.zeros(0, dtype=bool)
        return nothing, nothing
    early, late = holdout_split(seen, holdout, HORIZON)
    return np.isin(days, seen[early]), np.isin(days, seen[late])
