"""Value at risk and expected shortfall together against what a sceptic would use: a volatility times a fixed tail.

The loss is that of Fissler and Ziegel ("Higher order elicitability and Osband's principle", Annals of Statistics 44, 2016)
in the form of zero degree (Patton, Ziegel & Chen, Journal of Econometrics 211, 2019): the true pair has the smallest mean,
and differences do not depend on the unit of returns. Rivals scale the exponentially weighted volatility that the volatility
module writes, to one session, by the tail of a normal or of Student's t with five degrees of freedom. The mean of returns
counts as 0. Positive = the stated pair is better.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from glassbox_bt.evaluation._var_panels import LEVELS, TailPanel, rate_of
from glassbox_bt.evaluation.answers import said
from glassbox_bt.evaluation.books import POOLED
from glassbox_bt.evaluation.dayblocks import DayMean, day_mean, detectable
from glassbox_bt.evaluation.families import holm
from glassbox_bt.evaluation.forecast_losses import diebold_mariano
from glassbox_bt.evaluation.verdicts import verdict_of
from glassbox_bt.portfolio.metrics import SESSIONS_PER_YEAR
from glassbox_bt.types import FloatArray

__all__ = ["RIVALS", "joint_loss", "tail_contest_rows", "unit_tail"]

DEGREES = 5.0  # of freedom of the fat-tailed rival
RIVALS = ("EWMA normal", "EWMA Student-t")
SMALLEST = 0.01  # of the loss, in logs: about 1 % of the size of expected shortfall


def joint_loss(realised: FloatArray, var: FloatArray, cvar: FloatArray, rate: float) -> FloatArray:
    """Loss of a stated pair, both negative; elementwise, NaN where one of the three is."""
    beyond = np.where(realised <= var, var - realised, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        loss = -beyond / (rate * cvar) + var / cvar + np.log(-cvar) - 1.0
    return np.where(np.isfinite(realised) & (cvar < 0.0), loss, np.nan)


def unit_tail(rival: str, rate: float) -> tuple[float, float]:
    """Value at risk and expected shortfall of a rival at a deviation of 1."""
    if rival == RIVALS[0]:
        quantile = float(stats.norm.ppf(rate))
        return quantile, -float(stats.norm.pdf(quantile)) / rate
    unit, raw = math.sqrt((DEGREES - 2.0) / DEGREES), float(stats.t.ppf(rate, DEGREES))
    mean = -float(stats.t.pdf(raw, DEGREES)) * (DEGREES + raw**2) / (DEGREES - 1.0) / rate
    return unit * raw, unit * mean


def tail_contest_rows(run: Path, panels: Mapping[int, TailPanel], level: float) -> list[dict[str, Any]]:
    """One row per span, level and rival, corrected by Holm within a span; none where no volatility is recorded."""
    days: dict[tuple[int, int, str], tuple[FloatArray, FloatArray, int]] = {}
    for chunk, panel in panels.items():
        deviation = _deviation(run, chunk, panel)
        if deviation is None:
            return []
        for var_level in LEVELS:
            for rival in RIVALS:
                days[chunk, var_level, rival] = _daily(panel, deviation, var_level, rival)
    rows = []
    for span, chunks in _spans(list(panels)):
        group = [_row(span, key, [days[chunk, *key] for chunk in chunks], level) for key in _keys()]
        adjusted = holm([gain.p_value for _, gain in group])
        tested = max(1, sum(math.isfinite(p_value) for p_value in adjusted))
        for (row, gain), p_holm in zip(group, adjusted, strict=True):
            words = verdict_of(gain.estimate, gain.high, p_holm, level=level, smallest_effect=SMALLEST)
            smallest = detectable(gain, level, tested)
            rows.append(row | {"p_holm": p_holm, "smallest_detectable": smallest, "verdict": words})
    return rows


def _row(
    span: int, key: tuple[int, str], parts: Sequence[tuple[FloatArray, FloatArray, int]], level: float
) -> tuple[dict[str, Any], DayMean]:
    gains = [other - own for own, other, _ in parts]
    gain = day_mean(gains, 1, level)
    statistic, p_value = diebold_mariano(gains, 1)
    own, other = (np.concatenate([part[side] for part in parts]) for side in (0, 1))
    row = {
        "chunk": span,
        "level": key[0],
        "rival": key[1],
        "answer_score": float(own.mean()) if len(own) else math.nan,
        "rival_score": float(other.mean()) if len(other) else math.nan,
        "estimate": gain.estimate,
        "low": gain.low,
        "high": gain.high,
        "p_value": gain.p_value,
        "dm_statistic": statistic,
        "dm_p": p_value,
        "smallest_effect": SMALLEST,
        "n_days": gain.n_days,
        "n_rows": sum(part[2] for part in parts),
        "block": gain.block,
    }
    return row, gain


def _daily(panel: TailPanel, deviation: FloatArray, level: int, rival: str) -> tuple[FloatArray, FloatArray, int]:
    """Mean losses of the stated pair and of the rival by day, on the same rows, and how many rows."""
    rate = rate_of(level)
    quantile, mean = unit_tail(rival, rate)
    own = joint_loss(panel.realised, panel.var(level), panel.cvar(level), rate)
    other = joint_loss(panel.realised, quantile * deviation, mean * deviation, rate)
    both = np.isfinite(own) & np.isfinite(other)
    n = both.sum(axis=1)
    kept = n > 0
    sums = (np.where(both, one, 0.0).sum(axis=1)[kept] / n[kept] for one in (own, other))
    first, second = sums
    return first, second, int(n.sum())


def _deviation(run: Path, chunk: int, panel: TailPanel) -> FloatArray | None:
    """Exponentially weighted deviation of one session's return, laid out as the panel."""
    told = said(run, "volatility", ["ewma_vol"], chunk)
    if told is None:
        return None
    wide = told.pivot(index="date", columns="ticker", values="ewma_vol")
    laid = wide.reindex(index=pd.Index(panel.days), columns=list(panel.tickers))
    return np.asarray(laid.to_numpy(dtype=np.float64) / math.sqrt(SESSIONS_PER_YEAR))


def _keys() -> list[tuple[int, str]]:
    return [(level, rival) for level in LEVELS for rival in RIVALS]


def _spans(chunks: Sequence[int]) -> Iterator[tuple[int, list[int]]]:
    if chunks:
        yield POOLED, list(chunks)
    for chunk in chunks:
        yield chunk, [chunk]
