"""Are losses beyond value at risk as deep as expected shortfall says? The first two tests of Acerbi and Székely.

*Z1* judges the depth given that there was an exceedance, *Z2* depth and frequency at once. Both are 0 where expected
shortfall is right and negative where losses were larger than said (Acerbi & Székely, "Back-testing expected shortfall",
Risk, December 2014). They need the distribution that the forecast states. A historical forecast states four numbers of its
tail, and the draws follow a tail that has just these: a power between the two values at risk with the mean that the two
expected shortfalls leave for it, and a generalised Pareto tail beyond the outer one with the mean that is stated there.
Its shape cannot be seen in five days of five hundred: `SHAPE` is that of daily returns of shares.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glassbox_bt.evaluation._var_draws import arrangements, monte_carlo_p, stream
from glassbox_bt.evaluation._var_panels import TailPanel, rate_of
from glassbox_bt.types import AnyArray, FloatArray, IntArray

__all__ = ["SHAPE", "StatedTail", "depth", "severities", "tail_losses"]

SHAPE = 0.25  # of the tail beyond the outer value at risk: a tail index of four
INNER, OUTER = 0.05, 0.01


@dataclass(frozen=True, slots=True, eq=False)
class StatedTail:
    """The four stated numbers of some cells, each (n_cells,), log returns, negative = loss."""

    var_95: FloatArray
    var_99: FloatArray
    cvar_95: FloatArray
    cvar_99: FloatArray

    @classmethod
    def of(cls, panel: TailPanel, days: IntArray, name: int) -> StatedTail:
        """What was stated of one name on ``days``."""
        return cls(*(panel.stated[column][days, name] for column in ("var_95", "var_99", "cvar_95", "cvar_99")))

    def depth(self, chance: FloatArray, level: int) -> FloatArray:
        """Return by expected shortfall of an exceedance, 1 on average as stated.

        ``chance`` is uniform below 1 − level: the probability that a return is lower still; it broadcasts against the cells.
        """
        beyond = np.maximum(self.var_99 - self.cvar_99, 0.0)
        left = np.maximum(chance, 1e-12) / OUTER  # share of the outer tail that lies lower
        outer = self.var_99 - beyond * (1.0 - SHAPE) / SHAPE * (np.minimum(left, 1.0) ** -SHAPE - 1.0)
        if level == 99:
            return np.asarray(outer / self.cvar_99)
        width = np.maximum(self.var_95 - self.var_99, 0.0)
        middle = (INNER * self.cvar_95 - OUTER * self.cvar_99) / (INNER - OUTER)
        share = np.clip((self.var_95 - middle) / np.where(width > 0.0, width, 1.0), 0.05, 0.95)  # mean depth by width
        power = 1.0 / share - 1.0
        inside = np.clip((INNER - chance) / (INNER - OUTER), 0.0, 1.0)
        inner = self.var_95 - width * inside**power
        mean = ((INNER - OUTER) * (self.var_95 - width * share) + OUTER * self.cvar_99) / INNER
        return np.asarray(np.where(chance < OUTER, outer, inner) / mean)


def depth(panel: TailPanel, level: int) -> FloatArray:
    """Realised return by expected shortfall where it was an exceedance, 0 on other usable days, NaN elsewhere."""
    there = panel.usable(level, with_cvar=True)
    out = np.where(there, 0.0, np.nan)
    hit = there & panel.hits(level)
    out[hit] = panel.realised[hit] / panel.cvar(level)[hit]
    return out


def severities(panel: TailPanel, level: int, draws: int, key: str) -> tuple[FloatArray, FloatArray]:
    """*Z1* by name and the p-value of "losses beyond value at risk are deeper than said", given how many there were."""
    realised = depth(panel, level)
    there = np.isfinite(realised)
    z, p_values = (np.full(len(panel.tickers), np.nan) for _ in range(2))
    for name, ticker in enumerate(panel.tickers):
        days = np.flatnonzero(there[:, name])
        depths = realised[days, name]
        count = int((depths > 0.0).sum())
        if count < 1:
            continue
        rng = stream(f"{key}/severity/{level}/{ticker}")
        chosen = days[arrangements(len(days), count, draws, rng)]
        chance = rate_of(level) * rng.random(chosen.shape)
        drawn = StatedTail.of(panel, chosen, name).depth(chance, level)
        z[name] = 1.0 - depths.sum() / count
        p_values[name] = monte_carlo_p(-z[[name]], drawn.mean(axis=1)[:, None] - 1.0, rng)[0]
    return z, p_values


def tail_losses(panel: TailPanel, level: int, chance: FloatArray, key: str) -> tuple[FloatArray, FloatArray]:
    """*Z2* by name and the p-value of "losses are larger or more frequent than said"; ``chance`` as in `dynamics`."""
    rate = rate_of(level)
    realised = depth(panel, level)
    path, day = np.nonzero(chance < rate)
    drawn_chance = chance[path, day]
    z, p_values = (np.full(len(panel.tickers), np.nan) for _ in range(2))
    for name, ticker in enumerate(panel.tickers):
        there = np.isfinite(realised[:, name])
        expected = rate * float(there.sum())
        if not expected > 0.0:
            continue
        z[name] = 1.0 - float(np.nansum(realised[:, name])) / expected
        kept = there[day]
        tail = StatedTail.of(panel, day[kept], name)
        total = np.bincount(path[kept], weights=tail.depth(drawn_chance[kept], level), minlength=len(chance))
        drawn: AnyArray = total / expected - 1.0
        p_values[name] = monte_carlo_p(-z[[name]], drawn[:, None], stream(f"{key}/tail loss/{level}/{ticker}"))[0]
    return z, p_values
