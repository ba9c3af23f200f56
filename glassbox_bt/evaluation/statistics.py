"""Everything that ``metrics.json`` says beyond the plain metrics: one function per key, test days only (R5)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from glassbox_bt.evaluation.answers import outcomes_of
from glassbox_bt.evaluation.books import POOLED, Books, read_books
from glassbox_bt.evaluation.calibration import calibration_claims, calibration_rows, calibrations
from glassbox_bt.evaluation.comparisons import (
    ablation_claims,
    ablation_differences,
    ablation_table,
    family_rows,
    rival_claims,
    rival_differences,
    rival_rows,
)
from glassbox_bt.evaluation.intervals import MEASURES, POWER, intervals
from glassbox_bt.evaluation.risk_calibration import risk_calibration_rows, risk_calibrations
from glassbox_bt.evaluation.risk_contests import contest_rows, risk_contests, selection_rows
from glassbox_bt.evaluation.risk_thresholds import threshold_rows
from glassbox_bt.evaluation.sharpe import n_trials, sharpe_tests
from glassbox_bt.evaluation.signals import rank_ics, signal_claims, signal_rows
from glassbox_bt.evaluation.tail_contests import tail_contest_rows
from glassbox_bt.evaluation.text_contests import text_contest_rows
from glassbox_bt.evaluation.text_controls import text_control_rows, word_list_scores
from glassbox_bt.evaluation.text_coverage import text_coverage
from glassbox_bt.evaluation.text_readers import text_reader_rows, trailing_volatility
from glassbox_bt.evaluation.var_backtests import (
    exceedance_rows,
    tail_backtests,
    tail_panels,
    tail_rows,
    tail_test_rows,
    tail_verdicts,
)
from glassbox_bt.evaluation.verdicts import SMALLEST_RANK_IC, SMALLEST_SKILL
from glassbox_bt.portfolio.metrics import SESSIONS_PER_YEAR

__all__ = ["Statistics", "plain", "statistics_of"]


@dataclass(frozen=True, slots=True)
class Statistics:
    """The keys of ``metrics.json``, JSON-ready, and the table of ablations; None where the run has none."""

    keys: Mapping[str, Any]
    ablations: pd.DataFrame | None


def statistics_of(run: Path, manifest: Mapping[str, Any]) -> Statistics:
    """The statistics of a walked run, from its files alone; equal files give equal numbers.

    Raises
    ------
    ContractError
        Books of different days; see `read_books`.
    """
    books = read_books(run, manifest)
    settings, seed = books.settings, books.seed
    trials = n_trials(books, int(manifest.get("test_label_reads", 1)))
    outcomes = outcomes_of(run)
    signals = rank_ics(run, outcomes, settings.level)
    told = calibrations(run, outcomes, settings, seed)
    rivals, ablations = rival_differences(books), ablation_differences(books)
    keys = {
        "settings": _settings(books, trials, int(manifest.get("test_label_reads", 1))),
        "pooled": _pooled(books),
        "intervals": _intervals(books),
        "comparisons": rival_rows(rivals),
        "families": family_rows(books),
        "sharpe_tests": sharpe_tests(books, trials),
        "signals": signal_rows(signals),
        "calibration": calibration_rows(told),
        "verdicts": [
            *rival_claims(rivals, books),
            *ablation_claims(ablations, books),
            *signal_claims(signals, settings.level),
            *calibration_claims(told, settings.level),
        ],
        **_risk(run, manifest, books, outcomes),
        "text_controls": text_control_rows(run, outcomes, settings.level, lambda: word_list_scores(run, manifest)),
        "text_coverage": text_coverage(run, manifest),
        "text_contests": text_contest_rows(run, outcomes, settings.level),
        "text_readers": text_reader_rows(
            run,
            {"val": outcomes_of(run, "val"), "test": outcomes},
            lambda: word_list_scores(run, manifest),
            lambda: trailing_volatility(run, manifest),
        ),
    }
    ready: dict[str, Any] = plain(keys)
    return Statistics(ready, ablation_table(ablations, books) if books.variants else None)


def plain(value: Any) -> Any:
    """The value as JSON holds it: NaN becomes None, numpy's numbers Python's."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _settings(books: Books, trials: int, readings: int) -> dict[str, Any]:
    settings = books.settings
    return {
        "level": settings.level,
        "n_boot": settings.n_boot,
        "primary": settings.primary,
        "smallest_effect": settings.smallest_effect,
        "smallest_rank_ic": SMALLEST_RANK_IC,
        "smallest_brier_skill": SMALLEST_SKILL,
        "power": POWER,
        "risk_free": 0.0,
        "sessions_per_year": int(SESSIONS_PER_YEAR),
        "seed": books.seed,
        "n_trials": trials,
        "n_configurations": len(books.configurations),
        "test_label_reads": readings,
        "trials": (
            "Configurations of the stack that ran on these test days (the stack, its versions without what it learned, each "
            "ablation that changed something), times the readings of the test labels. Textbook rivals are one trial each."
        ),
        "bootstrap": (
            "Days are resampled in blocks within each test year, after a volatility is taken off and put back; both sides "
            "of a difference get the same days. Intervals are studentised and equal-tailed. A family of so many claims that "
            "its correction needs more samples draws more. In markets with storms, a single year's intervals of volatility "
            "and CVaR cover less often than they say (reports/coverage of the program)."
        ),
        "day_blocks": (
            "Signals and confidences: Student's t over blocks of days at least as long as the label, corrected for labels "
            "that reach into the next block."
        ),
        "holm": "Within rivals, each set and depth of ablations, signals, and confidences; pooled figures only.",
        "family_loss": (
            "Daily return with the sign turned, divided by the deviation of the strategy's own returns, so that exposure "
            "does not decide. The test of superior ability asks whether any other has a larger Sharpe ratio than the stack."
        ),
        "smallest_detectable": (
            "The true effect that this sample would have shown with the stated power, corrected for the size of the family."
        ),
    }


def _risk(
    run: Path, manifest: Mapping[str, Any], books: Books, outcomes: Mapping[int, pd.DataFrame]
) -> dict[str, list[dict[str, Any]]]:
    """The risk engine: stated tails against what came, forecasts against their rivals, probabilities, thresholds."""
    level = books.settings.level
    panels = tail_panels(run, outcomes)
    tails = tail_backtests(panels, books.seed)
    splits = {"val": outcomes_of(run, "val"), "test": outcomes}
    return {
        "risk_backtests": tail_rows(tails, level),
        "risk_backtest_tests": tail_test_rows(tails, level),
        "risk_backtest_verdicts": tail_verdicts(panels, level),
        "risk_exceedances": exceedance_rows(panels),
        "risk_tail_contests": tail_contest_rows(run, panels, level),
        "risk_contests": contest_rows(risk_contests(run, outcomes, level)),
        "risk_selection": selection_rows(run, splits),
        "risk_calibration": risk_calibration_rows(risk_calibrations(run, outcomes, books.settings, books.seed)),
        "risk_thresholds": threshold_rows(run, manifest, list(outcomes)),
    }


def _pooled(books: Books) -> list[dict[str, Any]]:
    rows = []
    for name in books.strategies:
        parts = books.parts(name, POOLED)
        counts = {"strategy": name, "n_sessions": sum(len(part) for part in parts), "n_chunks": len(parts)}
        rows.append(counts | dict(books.measures[name, POOLED]))
    return rows


def _intervals(books: Books) -> list[dict[str, Any]]:
    rows = []
    for name in books.strategies:
        for span in books.spans:
            found = intervals(books.parts(name, span), books.settings, f"{books.seed}/{name}")
            for measure in MEASURES:
                one = found[measure]
                rows.append(
                    {
                        "strategy": name,
                        "chunk": span,
                        "measure": measure,
                        "estimate": one.estimate,
                        "low": one.low,
                        "high": one.high,
                        "standard_error": one.standard_error,
                        "block": one.block,
                        "withheld": one.withheld,
                    }
                )
    return rows
