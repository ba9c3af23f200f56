"""Value at risk and expected shortfall against the next session's returns: by name, over all names, and day by day.

1. A forecast that was known at the close of a day meets the log return from that close to the next one, the return of which
   it is a quantile. No label starts there (a decision is filled later, R2), and nothing learns from it; it is recorded
   beside the outcomes of the test days for this comparison alone. Sessions without a bar are left out.     `_var_panels`
2. By name: how often (Kupiec), whether independently (Christoffersen), whether foreseeably (Engle & Manganelli), how deep
   (Acerbi & Székely). p-values are those of finite samples: exact for Kupiec, by seeded draws for the others.
   `_var_coverage`, `_var_shortfall`
3. Over names: false discoveries. Names fall together, so the tests of different names depend on one another, and positively
   where one name's loss says something of another's. Benjamini and Hochberg's correction allows that; ``n_flagged_any``
   counts what is left under any dependence at all (Benjamini & Yekutieli). A name is flagged by the first.  `_var_draws`
4. The verdict is not a count of names: twenty names that fall on one day are hardly more than one. It comes from sums over
   the names of each day, with the days in blocks (`dayblocks`).                                             `tail_verdicts`

A verdict says of a stated figure: *supported* where the whole interval lies within the smallest difference that would
matter; else *refuted* where the p-value, corrected by Holm over all of a span's figures, lies below 1 − level; else
*underpowered*.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import stats

from glassbox_bt.evaluation._var_coverage import (
    dynamics,
    independence,
    independence_ratio,
    kupiec_p,
    kupiec_ratio,
    transitions,
)
from glassbox_bt.evaluation._var_draws import draws_for, false_discovery, stream
from glassbox_bt.evaluation._var_panels import LEVELS, TailPanel, joined, rate_of, tail_panels
from glassbox_bt.evaluation._var_shortfall import depth, severities, tail_losses
from glassbox_bt.evaluation.books import POOLED
from glassbox_bt.evaluation.dayblocks import MIN_BLOCK, MIN_BLOCKS, DayMean, day_ratio, detectable
from glassbox_bt.evaluation.families import holm
from glassbox_bt.evaluation.verdicts import NOT_TESTED, REFUTED, SUPPORTED, UNDERPOWERED
from glassbox_bt.types import AnyArray, BoolArray, FloatArray

__all__ = [
    "TESTS",
    "TailBacktest",
    "exceedance_rows",
    "tail_backtests",
    "tail_panels",
    "tail_rows",
    "tail_test_rows",
    "tail_verdicts",
]

TESTS = ("coverage", "independence", "conditional", "dynamic", "severity", "tail_loss")
MIN_DAYS = 60  # fewer usable days of a name give no test
MIN_EXPECTED = 1.0  # exceedances that are expected, at least
SMALLEST: Mapping[str, float] = {"rate": 0.5, "clustering": 0.1, "severity": 0.1, "tail_loss": 0.5}
"""What would matter: half of the stated rate; a correlation of a tenth; a tenth of the stated depth; half of the loss."""


@dataclass(frozen=True, slots=True, eq=False)
class TailBacktest:
    """All tests of one level over one span; arrays by name, NaN where a test has nothing to judge.

    Parameters
    ----------
    chunk : int
        0 = all test years.
    level : int
        95 or 99.
    n_days, n_hits : AnyArray
        Days with forecast and outcome; returns that undercut the value at risk.
    statistics, p_values : Mapping[str, FloatArray]
        By `TESTS`: likelihood ratios of Kupiec and Christoffersen, the dynamic quantile statistic, *Z1* and *Z2*. Those of
        *Z* are one-sided: small where losses were larger than said.
    withheld : tuple[str or None, ...]
        Why a name has no test at all.
    """

    chunk: int
    level: int
    tickers: tuple[str, ...]
    n_days: AnyArray
    n_hits: AnyArray
    statistics: Mapping[str, FloatArray]
    p_values: Mapping[str, FloatArray]
    withheld: tuple[str | None, ...]

    def q_values(self, test: str, *, any_dependence: bool = False) -> FloatArray:
        """False-discovery rates over the names of this span and level."""
        return false_discovery(self.p_values[test], any_dependence=any_dependence)


def tail_backtests(panels: Mapping[int, TailPanel], seed: int) -> list[TailBacktest]:
    """Every level over all test years together and over each."""
    return [_backtest(panel, span, level, seed) for span, panel in _spans(panels) for level in LEVELS]


def tail_rows(found: Sequence[TailBacktest], level: float) -> list[dict[str, Any]]:
    """One row per span, name and level, as ``metrics.json`` holds them.

    ``flagged`` names the tests that stay among the discoveries at a false-discovery rate of 1 − ``level``.
    """
    rows = []
    for one in found:
        q_values = {test: one.q_values(test) for test in TESTS}
        for at, ticker in enumerate(one.tickers):
            n, hits = int(one.n_days[at]), int(one.n_hits[at])
            row: dict[str, Any] = {
                "chunk": one.chunk,
                "ticker": ticker,
                "level": one.level,
                "n_days": n,
                "n_hits": hits,
                "rate": hits / n if n else math.nan,
            }
            for test in TESTS:
                row[f"{test}_statistic"] = float(one.statistics[test][at])
                row[f"{test}_p"] = float(one.p_values[test][at])
                row[f"{test}_q"] = float(q_values[test][at])
            row["flagged"] = " ".join(test for test in TESTS if q_values[test][at] <= 1.0 - level)
            rows.append(row | {"withheld": one.withheld[at]})
    return rows


def tail_test_rows(found: Sequence[TailBacktest], level: float) -> list[dict[str, Any]]:
    """One row per span, level and test: how many names were tested, how many failed, and how many by chance alone."""
    rows = []
    for one in found:
        for test in TESTS:
            p_values = one.p_values[test]
            tested = int(np.isfinite(p_values).sum())
            rows.append(
                {
                    "chunk": one.chunk,
                    "level": one.level,
                    "test": test,
                    "n_names": len(one.tickers),
                    "n_tested": tested,
                    "n_below": int((p_values <= 1.0 - level).sum()),
                    "n_by_chance": (1.0 - level) * tested,
                    "n_flagged": int((one.q_values(test) <= 1.0 - level).sum()),
                    "n_flagged_any": int((one.q_values(test, any_dependence=True) <= 1.0 - level).sum()),
                }
            )
    return rows


def tail_verdicts(panels: Mapping[int, TailPanel], level: float) -> list[dict[str, Any]]:
    """One row per span, level and stated figure, from daily sums over all names.

    * ``rate``: share of returns under the value at risk, beside the stated one; two-sided.
    * ``clustering``: correlation of a day's share of exceedances with that of the day before; stated is 0. This and the
      next two are one-sided: a p-value is small where days of loss cluster, or losses were larger than said.
    * ``severity``: *Z1* over all exceedances; stated is 0, negative where losses were deeper.
    * ``tail_loss``: *Z2* over all days; stated is 0, negative where losses were deeper or more frequent.
    """
    rows = []
    for span, panel in _spans(panels):
        figures = [(one, *key) for key, one in _figures(panel, level).items()]
        adjusted = holm([mean.p_value for mean, _, _ in figures])
        tested = max(1, sum(math.isfinite(p_value) for p_value in adjusted))
        for (mean, name, var_level), p_holm in zip(figures, adjusted, strict=True):
            nominal = rate_of(var_level) if name == "rate" else 0.0
            smallest = SMALLEST[name] * (nominal if name == "rate" else 1.0)
            rows.append(
                {
                    "chunk": span,
                    "level": var_level,
                    "figure": name,
                    "stated": nominal,
                    "estimate": nominal + mean.estimate,
                    "low": nominal + mean.low,
                    "high": nominal + mean.high,
                    "p_value": mean.p_value,
                    "p_holm": p_holm,
                    "smallest_effect": smallest,
                    "smallest_detectable": detectable(mean, level, tested),
                    "n_days": mean.n_days,
                    "n_rows": int(panel.usable(var_level, with_cvar=name in ("severity", "tail_loss")).sum()),
                    "block": mean.block,
                    "verdict": _stands(mean, p_holm, smallest, level),
                }
            )
    return rows


def exceedance_rows(panels: Mapping[int, TailPanel]) -> list[dict[str, Any]]:
    """One row per chunk and decision day: names with a forecast and an outcome, and how many of them undercut it."""
    return [
        {
            "chunk": chunk,
            "date": str(np.datetime_as_string(day, unit="D")),
            "n_names": int(panel.usable(95)[at].sum()),
            **{f"hits_{level}": int(panel.hits(level)[at].sum()) for level in LEVELS},
        }
        for chunk, panel in panels.items()
        for at, day in enumerate(panel.days)
    ]


def _spans(panels: Mapping[int, TailPanel]) -> Iterator[tuple[int, TailPanel]]:
    if panels:
        yield POOLED, joined(list(panels.values()))
    yield from panels.items()


def _backtest(panel: TailPanel, span: int, level: int, seed: int) -> TailBacktest:
    rate, key = rate_of(level), f"{seed}/tail/{span}"
    draws = draws_for(len(panel.days))
    chance = stream(f"{key}/days").random((draws, len(panel.days)))
    n, hits = panel.usable(level).sum(axis=0), panel.hits(level).sum(axis=0)
    joint, joint_p, quantile, quantile_p = dynamics(panel, level, chance, key)
    depth_z, depth_p = severities(panel, level, draws, key)
    loss_z, loss_p = tail_losses(panel, level, chance, key)
    statistics = {
        "coverage": kupiec_ratio(n, hits, rate),
        "independence": independence_ratio(transitions(panel.hits(level), panel.after(panel.usable(level), 1))),
        "conditional": joint,
        "dynamic": quantile,
        "severity": depth_z,
        "tail_loss": loss_z,
    }
    p_values = {
        "coverage": kupiec_p(n, hits, rate),
        "independence": independence(panel, level, draws, key),
        "conditional": joint_p,
        "dynamic": quantile_p,
        "severity": depth_p,
        "tail_loss": loss_p,
    }
    withheld = tuple(_too_little(int(days), rate) for days in n)
    silent = np.array([why is not None for why in withheld])
    return TailBacktest(
        span,
        level,
        panel.tickers,
        n,
        hits,
        {test: np.where(silent | ~np.isfinite(p_values[test]), np.nan, one) for test, one in statistics.items()},
        {test: np.where(silent, np.nan, one) for test, one in p_values.items()},
        withheld,
    )


def _too_little(n_days: int, rate: float) -> str | None:
    if n_days < MIN_DAYS:
        return f"{n_days} days with forecast and outcome; a test needs {MIN_DAYS}"
    if n_days * rate < MIN_EXPECTED:
        return f"{n_days * rate:.1f} exceedances expected in {n_days} days; a test needs {MIN_EXPECTED:.0f}"
    return None


def _figures(panel: TailPanel, level: float) -> dict[tuple[str, int], DayMean]:
    """What was found less what was stated, by figure and level of the value at risk."""
    found: dict[tuple[str, int], DayMean] = {}
    for var_level in LEVELS:
        rate = rate_of(var_level)
        there, hits = panel.usable(var_level), panel.hits(var_level).sum(axis=1)
        n = there.sum(axis=1).astype(np.float64)
        excess = hits - rate * n
        blocks = _blocks_with(panel, hits, n > 0.0)
        found["rate", var_level] = _at_stated(_mean(panel, excess, n, n > 0.0, level), rate, blocks, level)
        clustering = _clustering(panel, hits, n, level)
        least = 1.0 / math.sqrt(max(clustering.n_days, 1))  # of a correlation; rare days may never have met
        clustering = _told_by(clustering, max(clustering.standard_error, least), blocks, level)
        found["clustering", var_level] = _one_sided(clustering, harmful=1.0)
        deep = depth(panel, var_level)
        total, count = np.nansum(deep, axis=1), (deep > 0.0).sum(axis=1).astype(np.float64)
        rows = np.isfinite(deep).sum(axis=1).astype(np.float64)
        severity = _mean(panel, count - total, count, rows > 0.0, level)
        severity = _told_by(severity, severity.standard_error, _blocks_with(panel, count, rows > 0.0), level)
        found["severity", var_level] = _one_sided(severity, harmful=-1.0)
        loss = _mean(panel, rows - total / rate, rows, rows > 0.0, level)
        found["tail_loss", var_level] = _one_sided(loss, harmful=-1.0)
    return found


def _at_stated(mean: DayMean, rate: float, blocks: int, level: float) -> DayMean:
    """The mean with the error that it would have at the stated rate, where fewer exceedances came.

    Exceedances are rare and come together, so a calm year has few and shows little of how many another may have: its own
    error would refute a true 99 % in every tenth sample. The variance of a count grows with its expectation.
    """
    found = rate + mean.estimate
    if not 0.0 < found < rate:
        return mean
    return _told_by(mean, mean.standard_error * math.sqrt(rate / found), blocks, level)


def _told_by(mean: DayMean, error: float, blocks: int, level: float) -> DayMean:
    """The mean with this error, of which only ``blocks`` of days say anything: those that hold an exceedance."""
    if not error > 0.0 or blocks < MIN_BLOCKS:
        nothing = dict.fromkeys(("low", "high", "standard_error", "p_value"), math.nan)
        return replace(mean, **nothing)  # type: ignore[arg-type]
    reach = float(stats.t.ppf(0.5 + level / 2.0, blocks - 1)) * error
    p_value = 2.0 * float(stats.t.sf(abs(mean.estimate) / error, blocks - 1))
    low, high = mean.estimate - reach, mean.estimate + reach
    return replace(mean, low=low, high=high, standard_error=error, p_value=p_value, degrees=blocks - 1)


def _one_sided(mean: DayMean, *, harmful: float) -> DayMean:
    """The mean with the p-value of "it does not go in the harmful direction", +1 or −1.

    Rare large losses make these sums skewed: a sample without one understates its error, and would refute what it had the
    luck not to meet.
    """
    half = mean.p_value / 2.0
    return replace(mean, p_value=half if mean.estimate * harmful > 0.0 else 1.0 - half)


def _mean(panel: TailPanel, sums: FloatArray, counts: FloatArray, days: BoolArray, level: float) -> DayMean:
    parts = [(sums[year][days[year]], counts[year][days[year]]) for year in panel.years()]
    return day_ratio(parts, 1, level)


def _blocks_with(panel: TailPanel, hits: AnyArray, days: BoolArray) -> int:
    """How many of the blocks of `day_ratio` hold an exceedance."""
    count = 0
    for year in panel.years():
        part = hits[year][days[year]]
        count += sum(bool(block.any()) for block in np.array_split(part, max(1, len(part) // MIN_BLOCK)))
    return count


def _clustering(panel: TailPanel, hits: AnyArray, n: FloatArray, level: float) -> DayMean:
    """Lag-one correlation of the daily share of exceedances around its own mean, which is another figure's business.

    Under the claim that nothing known the day before foretells an exceedance, the products have mean 0 however much names
    fall together and however that changes.
    """
    told = n > 0.0
    share = np.divide(hits, n, out=np.zeros(len(n)), where=told)
    share = np.where(told, share - float(share[told].mean()) if told.any() else 0.0, 0.0)
    variance = float(np.mean(share[told] ** 2)) if told.any() else 0.0
    if not variance > 0.0:
        return day_ratio([], 1, level)
    later = panel.after(told[:, None], 1)[:, 0]
    before = np.append(0.0, share[:-1])
    return _mean(panel, share * before / variance, np.ones(len(n)), later, level)


def _stands(mean: DayMean, p_holm: float, smallest: float, level: float) -> str:
    """The verdict on "it is as stated, give or take ``smallest``"."""
    if math.isnan(p_holm):
        return NOT_TESTED
    if -smallest < mean.low and mean.high < smallest:
        return SUPPORTED
    return REFUTED if p_holm < 1.0 - level else UNDERPOWERED
