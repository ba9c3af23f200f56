"""Scores of contagion answers beside their anchor, over one market or several, with intervals over blocks of days."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import roc_auc_score

from glassbox_bt.modules._contagion_calibration import average_precision
from glassbox_bt.modules._contagion_fitted import NAME_OUTPUTS
from glassbox_bt.modules.names import name_codes
from glassbox_bt.types import Answers, BoolArray, FloatArray, IntArray

__all__ = ["Gain", "Interval", "Told", "auroc_of", "gain", "influence"]

BLOCK = 20  # sessions drawn together, as neighbouring days share their outcomes
Interval = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Told:
    """Calibrated chances of one market, the anchor's, and what came of them, each (n_days, n_assets)."""

    said: FloatArray
    alone: FloatArray
    event: FloatArray

    @classmethod
    def of(cls, answers: Answers, event: FloatArray, horizon: int) -> Told:
        """Over ``horizon`` sessions."""
        said, alone = (answers.outputs[f"{what}_{horizon}d"] for what in ("contagion", "own_history"))
        return cls(said, alone, event)

    def on(self, days: IntArray) -> Told:
        """Some of the days."""
        return Told(self.said[days], self.alone[days], self.event[days])


@dataclass(frozen=True)
class Gain:
    """How much better the module did than its own-history anchor; positive = better; 95 % intervals."""

    average_precision: float
    average_precision_interval: Interval
    brier: float
    brier_interval: Interval
    log_loss: float
    log_loss_interval: Interval

    @property
    def beats(self) -> bool:
        """Whether it is better in both rank and size of its probabilities, beyond chance."""
        return min(self.average_precision_interval[0], self.brier_interval[0], self.log_loss_interval[0]) > 0.0


def gain(markets: Sequence[Told], draws: int = 200) -> Gain:
    """Mean gain over the markets; days are drawn again in blocks within each."""
    found = [_both(measure, markets, draws) for measure in (_precision, _brier, _log_loss)]
    return Gain(*(one for pair in found for one in pair))  # type: ignore[arg-type]


def _precision(told: Told) -> float:
    return average_precision(told.said, told.event) - average_precision(told.alone, told.event)


def _brier(told: Told) -> float:
    return float(np.nanmean((told.alone - told.event) ** 2 - (told.said - told.event) ** 2))


def _log_loss(told: Told) -> float:
    losses = [told.event * np.log(given) + (1.0 - told.event) * np.log(1.0 - given) for given in (told.said, told.alone)]
    return float(np.nanmean(losses[0] - losses[1]))


def _both(measure: Callable[[Told], float], markets: Sequence[Told], draws: int) -> tuple[float, Interval]:
    rng, found = np.random.default_rng(0), []
    for _ in range(draws):
        found.append(np.mean([measure(one.on(_blocks(len(one.event), rng))) for one in markets]))
    low, high = np.nanquantile(found, [0.025, 0.975])
    return float(np.mean([measure(one) for one in markets])), (float(low), float(high))


def _blocks(n_days: int, rng: np.random.Generator) -> IntArray:
    starts = rng.integers(0, n_days, -(-n_days // BLOCK))
    days: IntArray = ((starts[:, None] + np.arange(BLOCK)).ravel() % n_days)[:n_days]
    return days


def influence(answers: Answers, tickers: tuple[str, ...]) -> FloatArray:
    """Sum over the days of what each name (column) has of each receiver's (row) influence, (n_assets, n_assets).

    Names beyond the ten that are shown count as 0.
    """
    codes, out = name_codes(tickers), np.zeros((len(tickers),) * 2)
    for rank, name in enumerate(NAME_OUTPUTS, start=1):
        size = np.nan_to_num(answers.outputs[f"influence_{rank}"])
        for source, code in enumerate(codes):
            out[:, source] += (size * (answers.outputs[name] == code)).sum(axis=0)
    return out


def auroc_of(markets: Sequence[tuple[FloatArray, BoolArray]]) -> tuple[float, Interval]:
    """Chance that a planted neighbour has more of a name's influence than another name; interval over receivers.

    Parameters
    ----------
    markets : sequence of (influence, linked)
        Each (n_receivers, n_sources); the mean over the markets, receivers drawn again within each.
    """

    def auroc(market: tuple[FloatArray, BoolArray], receivers: IntArray) -> float:
        size, linked = (one[receivers] for one in market)
        other = (~np.eye(len(market[1]), dtype=bool))[receivers]
        return float(roc_auc_score(linked[other], size[other]))

    rng, drawn = np.random.default_rng(0), []
    for _ in range(200):
        drawn.append(np.mean([auroc(one, rng.integers(0, len(one[1]), len(one[1]))) for one in markets]))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(np.mean([auroc(one, np.arange(len(one[1]))) for one in markets])), (float(low), float(high))
