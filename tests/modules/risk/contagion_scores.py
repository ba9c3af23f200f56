"""Scores of contagion answers beside their anchor, with intervals over blocks of days."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import roc_auc_score

from glassbox_bt.modules._contagion_calibration import average_precision
from glassbox_bt.modules._contagion_fitted import NAME_OUTPUTS
from glassbox_bt.modules.names import name_codes
from glassbox_bt.types import Answers, BoolArray, FloatArray, IntArray

__all__ = ["Gain", "gain", "influence_auroc"]

BLOCK = 20  # sessions drawn together, as neighbouring days share their outcomes


@dataclass(frozen=True)
class Gain:
    """How much better the module did than its own-history anchor; positive = better; 95 % intervals."""

    average_precision: float
    average_precision_interval: tuple[float, float]
    brier: float
    brier_interval: tuple[float, float]

    @property
    def beats(self) -> bool:
        """Whether it is better in both, beyond chance."""
        return self.average_precision_interval[0] > 0.0 and self.brier_interval[0] > 0.0


def gain(answers: Answers, event: FloatArray, horizon: int, draws: int = 200) -> Gain:
    """Calibrated chances over ``horizon`` sessions against the anchor's, on outcomes (n_days, n_assets)."""
    said, alone = (answers.outputs[f"{what}_{horizon}d"] for what in ("contagion", "own_history"))

    def precision(days: IntArray) -> float:
        return average_precision(said[days], event[days]) - average_precision(alone[days], event[days])

    def brier(days: IntArray) -> float:
        return float(np.nanmean((alone[days] - event[days]) ** 2 - (said[days] - event[days]) ** 2))

    everything = np.arange(len(event))
    return Gain(
        precision(everything),
        _interval(precision, len(event), draws),
        brier(everything),
        _interval(brier, len(event), draws),
    )


def _interval(measure: Callable[[IntArray], float], n_days: int, draws: int) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(draws):
        starts = rng.integers(0, n_days, -(-n_days // BLOCK))
        found.append(measure(((starts[:, None] + np.arange(BLOCK)).ravel() % n_days)[:n_days]))
    low, high = np.nanquantile(found, [0.025, 0.975])
    return float(low), float(high)


def influence_auroc(answers: Answers, tickers: tuple[str, ...], linked: BoolArray) -> tuple[float, tuple[float, float]]:
    """Chance that a planted neighbour has more of a name's influence than another name; interval over receivers.

    Influence is the mean over the days; names beyond the ten that are shown count as 0.
    """
    codes, influence = name_codes(tickers), np.zeros(linked.shape)
    for rank, name in enumerate(NAME_OUTPUTS, start=1):
        size = np.nan_to_num(answers.outputs[f"influence_{rank}"])
        for source, code in enumerate(codes):
            influence[:, source] += (size * (answers.outputs[name] == code)).sum(axis=0)
    other = ~np.eye(len(tickers), dtype=bool)

    def auroc(receivers: IntArray) -> float:
        return float(roc_auc_score(linked[receivers][other[receivers]], influence[receivers][other[receivers]]))

    rng = np.random.default_rng(0)
    drawn = [auroc(rng.integers(0, len(tickers), len(tickers))) for _ in range(200)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return auroc(np.arange(len(tickers))), (float(low), float(high))
