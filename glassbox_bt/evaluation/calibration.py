"""Do probabilities come true? Brier score, reliability and calibration error of everything that states one.

1. Each confidence has an event in words, decided by recorded outcomes alone (`CONFIDENCES`). Where the event hangs on
   what was typical in train, the fit recorded it; an answer of a fit that did not is left out.
2. The Brier score stands beside that of the best constant, the event's own rate on the same rows. That rate is known
   only afterwards, so a forecast that beats it tells days or names apart.
3. Reliability: up to `N_BINS` bins of equally many rows by confidence, mean confidence against the rate of the event.
   Expected calibration error: the mean distance of the two, weighted by rows.
4. Names share their days and labels overlap, so intervals vary blocks of days, never rows. Chance alone makes the
   calibration error positive: an interval that begins at 0 says that no more than chance was seen (`_error_interval`).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from glassbox_bt.evaluation.answers import said
from glassbox_bt.evaluation.books import POOLED
from glassbox_bt.evaluation.dayblocks import MIN_BLOCK, MIN_BLOCKS, DayMean, day_ratio
from glassbox_bt.evaluation.forecasts import DOWNSIDE
from glassbox_bt.evaluation.verdicts import SMALLEST_SKILL, claims_of_means
from glassbox_bt.plan import StatisticsPlan
from glassbox_bt.types import AnyArray, BoolArray, FloatArray, IntArray

__all__ = ["CONFIDENCES", "Calibration", "Confidence", "Told", "calibration_claims", "calibration_rows", "calibrations"]

N_BINS = 10
RETURN, VOLATILITY = "forward_log_return_20d", "forward_vol_20d"
Facts = Mapping[str, Any]  # what the fit recorded about its train outcomes


@dataclass(frozen=True, slots=True, kw_only=True)
class Confidence:
    """A column in [0, 1] and the event that it speaks of.

    Parameters
    ----------
    event : str
        In words.
    outcomes : tuple[str, ...]
        Labels that decide it.
    happened : Callable
        From the joined rows and the facts of the fit to whether it did, (n_rows,).
    horizon : int
        Sessions that the event looks ahead.
    also : tuple[str, ...]
        Other columns of the module that the event needs.
    facts : tuple[str, ...]
        Keys of the fit's training summary that the event needs.
    is_probability : bool
        False for a rank: its bins say whether more is more, but no verdict is given.
    """

    module: str
    column: str
    event: str
    outcomes: tuple[str, ...]
    happened: Callable[[pd.DataFrame, Facts], BoolArray]
    horizon: int
    also: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    is_probability: bool = True


def _fell(rows: pd.DataFrame, _: Facts) -> BoolArray:
    return np.asarray(rows["forward_drawdown_10d"] >= DOWNSIDE)


def _went_further_up(rows: pd.DataFrame, _: Facts) -> BoolArray:
    return np.asarray(rows["forward_excursion_5d"] > 0.0)


def _on_the_side_of(signal: str) -> Callable[[pd.DataFrame, Facts], BoolArray]:
    def happened(rows: pd.DataFrame, facts: Facts) -> BoolArray:
        adjusted = rows[RETURN] / (rows[VOLATILITY] * math.sqrt(20.0 / 252.0))
        return np.asarray((adjusted > facts["typical_adjusted_return"]) == (rows[signal] >= 0.0))

    return happened


def _in_tercile(number: int) -> Callable[[pd.DataFrame, Facts], BoolArray]:
    def happened(rows: pd.DataFrame, facts: Facts) -> BoolArray:
        simple = np.expm1(rows[RETURN].to_numpy(dtype=np.float64))
        return np.asarray(np.searchsorted(np.asarray(facts["action_edges"]), simple, side="left") == number)

    return happened


def _side(module: str, column: str, signal: str) -> Confidence:
    return Confidence(
        module=module,
        column=column,
        event="the return over twenty sessions, by its own volatility, lands on the signal's side of the usual one in train",
        outcomes=(RETURN, VOLATILITY),
        happened=_on_the_side_of(signal),
        horizon=20,
        also=(signal,),
        facts=("typical_adjusted_return",),
    )


def _fall(module: str, column: str) -> Confidence:
    return Confidence(
        module=module,
        column=column,
        event="the close falls five per cent or more below its running peak within ten sessions",
        outcomes=("forward_drawdown_10d",),
        happened=_fell,
        horizon=10,
    )


def _tercile(column: str, number: int) -> Confidence:
    return Confidence(
        module="fusion",
        column=column,
        event=f"the return over twenty sessions falls into the {('lowest', 'middle', 'highest')[number]} tercile of train",
        outcomes=(RETURN,),
        happened=_in_tercile(number),
        horizon=20,
        facts=("action_edges",),
    )


CONFIDENCES: tuple[Confidence, ...] = (
    Confidence(
        module="technical",
        column="timing_confidence",
        event="within five sessions the price goes further up from the entry than down",
        outcomes=("forward_excursion_5d",),
        happened=_went_further_up,
        horizon=5,
        is_probability=False,
    ),
    _side("quantitative", "quantitative_confidence", "risk_adjusted_quantitative_signal"),
    _fall("quantitative", "quantitative_risk_prob"),
    _side("fusion", "learned_fusion_confidence", "learned_fusion_signal"),
    _tercile("learned_sell_prob", 0),
    _tercile("learned_hold_prob", 1),
    _tercile("learned_buy_prob", 2),
    _fall("fusion", "learned_fusion_risk_prob"),
)


@dataclass(frozen=True, slots=True)
class Told:
    """Confidences and whether their events happened, rows of one chunk sorted by day.

    ``day`` numbers the days from 0; ``event`` is 0 or 1; all (n_rows,).
    """

    day: IntArray
    confidence: FloatArray
    event: FloatArray

    @property
    def n_days(self) -> int:
        """Different days."""
        return int(self.day[-1]) + 1 if len(self.day) else 0

    def daily(self, values: FloatArray) -> FloatArray:
        """Sums of ``values`` by day, (n_days,)."""
        return np.asarray(np.bincount(self.day, weights=values, minlength=self.n_days), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Calibration:
    """One confidence over one span; chunk 0 = all test years.

    ``skill`` is 1 − Brier / base Brier with its interval; ``bins`` holds (mean confidence, rate, n) in rising order.
    """

    of: Confidence
    chunk: int
    n_rows: int
    n_days: int
    brier: float
    base_brier: float
    skill: DayMean
    ece: float
    ece_low: float
    ece_high: float
    bins: tuple[tuple[float, float, int], ...]

    @property
    def name(self) -> str:
        """Module and column."""
        return f"{self.of.module}.{self.of.column}"


def calibrations(run: Path, outcomes: Mapping[int, pd.DataFrame], settings: StatisticsPlan, seed: int) -> list[Calibration]:
    """Every confidence that the run recorded, pooled and by chunk; one without a single decided row is left out."""
    found = []
    for of in CONFIDENCES:
        told = {chunk: _told(run, of, chunk, rows) for chunk, rows in outcomes.items()}
        known = {chunk: one for chunk, one in told.items() if one is not None}
        if len(known) < len(outcomes):
            continue
        for span, parts in _spans(known):
            found.append(calibration_of(of, span, parts, settings, seed))
    return found


def calibration_of(of: Confidence, span: int, parts: Sequence[Told], settings: StatisticsPlan, seed: int) -> Calibration:
    """Scores of one confidence over the chunks of a span, each with at least one row."""
    confidence, event = (np.concatenate([getattr(one, name) for one in parts]) for name in ("confidence", "event"))
    rate = float(event.mean())
    brier, base = float(np.mean((confidence - event) ** 2)), rate * (1.0 - rate)
    gains = [
        (one.daily(((rate - one.event) ** 2 - (one.confidence - one.event) ** 2) / base), one.daily(np.ones(len(one.day))))
        for one in parts
        if base > 0.0
    ]
    edges = bin_edges(confidence)
    at = np.searchsorted(edges, confidence, side="right")
    n = np.bincount(at, minlength=len(edges) + 1)
    means, rates = (np.bincount(at, weights=values, minlength=len(n)) / n for values in (confidence, event))
    low, high = _error_interval(parts, edges, of.horizon, settings, f"{seed}/{of.module}.{of.column}/{span}")
    return Calibration(
        of=of,
        chunk=span,
        n_rows=len(event),
        n_days=sum(one.n_days for one in parts),
        brier=brier,
        base_brier=base,
        skill=day_ratio(gains, of.horizon, settings.level),
        ece=float(np.sum(n * np.abs(means - rates)) / n.sum()),
        ece_low=low,
        ece_high=high,
        bins=tuple((float(m), float(r), int(k)) for m, r, k in zip(means, rates, n, strict=True)),
    )


def bin_edges(confidence: FloatArray) -> FloatArray:
    """Inner edges of the bins: quantiles, so that bins hold equally many rows, but equal confidences share a bin."""
    inner = np.unique(np.quantile(confidence, np.arange(1, N_BINS) / N_BINS, method="inverted_cdf"))
    return np.asarray(inner[inner > confidence.min()], dtype=np.float64)


def calibration_rows(found: Sequence[Calibration]) -> list[dict[str, Any]]:
    """The calibrations as ``metrics.json`` holds them."""
    return [
        {
            "module": one.of.module,
            "confidence": one.of.column,
            "event": one.of.event,
            "scale": "probability" if one.of.is_probability else "rank",
            "chunk": one.chunk,
            "n_rows": one.n_rows,
            "n_days": one.n_days,
            "brier": one.brier,
            "base_brier": one.base_brier,
            "ece": one.ece,
            "ece_low": one.ece_low,
            "ece_high": one.ece_high,
            "bins": [{"mean_confidence": mean, "rate": rate, "n": n} for mean, rate, n in one.bins],
        }
        for one in found
    ]


def calibration_claims(found: Sequence[Calibration], level: float) -> list[dict[str, Any]]:
    """A verdict on "its Brier score beats that of the best constant" for each probability, pooled."""
    claims = {one.name: one.skill for one in found if one.chunk == POOLED and one.of.is_probability}
    settings = {"level": level, "smallest_effect": SMALLEST_SKILL}
    return claims_of_means("calibration", "calibration", "brier_skill", claims, settings)


def _told(run: Path, of: Confidence, chunk: int, outcomes: pd.DataFrame) -> Told | None:
    """Rows whose event is decided; None where column, facts or rows are missing."""
    facts = _facts(run, of, chunk)
    answers = said(run, of.module, [of.column, *of.also], chunk)
    if answers is None or not set(of.facts) <= set(facts):
        return None
    rows = answers.merge(outcomes[["date", "ticker", *of.outcomes]], on=["date", "ticker"], validate="1:1").dropna()
    if rows.empty:
        return None
    rows = rows.sort_values(["date", "ticker"], kind="stable")
    _, day = np.unique(rows["date"].to_numpy(), return_inverse=True)
    return Told(day, rows[of.column].to_numpy(dtype=np.float64), of.happened(rows, facts).astype(np.float64))


def _facts(run: Path, of: Confidence, chunk: int) -> Facts:
    path = run / "models" / of.module / f"chunk{chunk}" / "training_summary.json"
    if not of.facts or not path.exists():
        return {}
    facts: Facts = json.loads(path.read_text(encoding="utf-8"))
    return facts


def _error_interval(
    parts: Sequence[Told], edges: FloatArray, horizon: int, settings: StatisticsPlan, key: str
) -> tuple[float, float]:
    """Interval of the expected calibration error that covers at least as often as its level says; NaN without enough blocks.

    The error is the sum over bins of absolute gaps. By the triangle inequality it is off by at most the sum of the absolute
    errors of the gaps, so the quantile of that sum at the level reaches to both sides. Its draws are consecutive
    blocks of days with replacement within each chunk, widened as in `dayblocks`: labels that reach into the next block, and
    Student's t for few blocks.
    """
    gaps = [_block_gaps(one, edges) for one in parts]  # (n_blocks, n_bins) each, and rows per block
    k = sum(len(gap) for gap, _ in gaps)
    if k < MIN_BLOCKS:
        return math.nan, math.nan
    total = sum(float(rows.sum()) for _, rows in gaps)
    signed = np.sum([gap.sum(axis=0) for gap, _ in gaps], axis=0) / total  # (n_bins,)
    rng = np.random.default_rng(int.from_bytes(hashlib.blake2b(key.encode(), digest_size=16).digest()))
    drawn, weight = np.zeros((settings.n_boot, len(signed))), np.zeros((settings.n_boot, 1))
    for gap, rows in gaps:
        times = rng.multinomial(len(gap), np.full(len(gap), 1.0 / len(gap)), size=settings.n_boot)
        drawn, weight = drawn + times @ gap, weight + (times @ rows)[:, None]
    errors = np.abs(drawn / weight - signed).sum(axis=1)
    shown = 1.0 - horizon / (3.0 * max(MIN_BLOCK, horizon))
    tail = 0.5 + settings.level / 2.0
    wider = math.sqrt(k / (k - 1) / shown) * float(stats.t.ppf(tail, k - 1) / stats.norm.ppf(tail))
    reach = wider * float(np.quantile(errors, settings.level))
    estimate = float(np.abs(signed).sum())
    return max(0.0, estimate - reach), min(1.0, estimate + reach)


def _block_gaps(told: Told, edges: FloatArray) -> tuple[FloatArray, AnyArray]:
    """Sums of confidence less event by block of days and bin, (n_blocks, n_bins), and rows by block, (n_blocks,)."""
    n_blocks = max(1, told.n_days // MIN_BLOCK)
    owner = np.concatenate(
        [np.full(len(days), i) for i, days in enumerate(np.array_split(np.arange(told.n_days), n_blocks))]
    )
    block, n_bins = owner[told.day], len(edges) + 1
    cell = block * n_bins + np.searchsorted(edges, told.confidence, side="right")
    sums = np.bincount(cell, weights=told.confidence - told.event, minlength=n_blocks * n_bins)
    rows = np.bincount(block, minlength=n_blocks)
    return np.asarray(sums.reshape(n_blocks, n_bins), dtype=np.float64), rows


def _spans(parts: Mapping[int, Told]) -> Iterator[tuple[int, list[Told]]]:
    yield POOLED, list(parts.values())
    for chunk, one in parts.items():
        yield chunk, [one]
