"""The faults of spec §28, D-VAR-01 to 03, planted and found; the module is the corrected twin."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from glassbox_bt.modules.risk.var import HistoricalVar
from glassbox_bt.types import FloatArray
from tests.builders import tiny_store

Severity = Callable[[FloatArray, int], float]  # returns of one name and a day -> share of its past that was no worse
Tail = Callable[[FloatArray], float]  # returns of one name, NaN without a bar -> value at risk of the last day
MODULE = HistoricalVar(sessions=60, min_observed=20, ranked_sessions=80)


def told(returns: FloatArray, day: int) -> dict[str, float]:
    store = tiny_store(len(returns), 1, log_return_1d=returns[:, None])
    answers = MODULE.predict_many(store.span(np.array([day]), MODULE.reads, np.array([0])))
    return {name: float(values[0, 0]) for name, values in answers.outputs.items()}


def severity(returns: FloatArray, day: int) -> float:
    row = told(returns, day)
    return row["not_worse_sessions"] / row["ranked_sessions"]


def past_values(returns: FloatArray, upto: int) -> FloatArray:
    return np.array([np.quantile(returns[max(day - 59, 0) : day + 1], 0.05) for day in range(59, upto)])


def by_signed_value(returns: FloatArray, day: int) -> float:
    """D-VAR-01: counts the history at or below a *negative* number, so that the worst state ranks lowest."""
    today = np.quantile(returns[day - 59 : day + 1], 0.05)
    return float(np.mean(past_values(returns, day) <= today))


def by_whole_file(returns: FloatArray, day: int) -> float:
    """D-VAR-02: ranks by loss, but among every day of the file, later ones too."""
    today = np.quantile(returns[day - 59 : day + 1], 0.05)
    return float(np.mean(-past_values(returns, len(returns)) <= -today))


def ranks_the_worst_lowest(rank: Severity) -> bool:
    worsening = -np.linspace(0.001, 0.06, 260)
    return rank(worsening, 259) < rank(worsening[::-1], 259)


def knows_what_comes(rank: Severity) -> bool:
    calm = 0.01 * np.random.default_rng(1).standard_normal(240)
    storm = np.concatenate([calm, np.full(80, -0.3)])
    quiet = np.concatenate([calm, np.zeros(80)])
    return rank(storm, 239) != rank(quiet, 239)


def test_d_var_01_a_severity_of_signed_numbers_is_found() -> None:
    assert ranks_the_worst_lowest(by_signed_value)
    assert not ranks_the_worst_lowest(severity)


def test_d_var_02_a_severity_among_later_days_is_found() -> None:
    assert knows_what_comes(by_whole_file)
    assert not knows_what_comes(severity)
    assert not ranks_the_worst_lowest(by_whole_file)  # a fault of its own, not the first one


def of_the_module(returns: FloatArray) -> float:
    return told(returns, len(returns) - 1)["var_95"]


def with_carried_closes(returns: FloatArray) -> float:
    """D-VAR-03: a session without a bar is filled with the last close, so that its return is 0."""
    return of_the_module(np.nan_to_num(returns))


def with_interpolated_closes(returns: FloatArray) -> float:
    """D-VAR-03: the gap is a straight line between the closes beside it."""
    closes = np.cumsum(np.nan_to_num(returns))
    seen = np.isfinite(returns)
    days = np.arange(len(returns))
    return of_the_module(np.diff(np.interp(days, days[seen], closes[seen]), prepend=0.0))


def counts_bars_that_were_not(tail: Tail) -> bool:
    """Whether sessions without a bar move the quantile of those with one."""
    returns = 0.02 * np.random.default_rng(2).standard_normal(60)
    returns[::3] = np.nan
    return tail(returns) != pytest.approx(np.nanquantile(returns, 0.05), rel=1e-12)


@pytest.mark.parametrize("tail", [with_carried_closes, with_interpolated_closes])
def test_d_var_03_synthetic_bars_in_the_quantile_are_found(tail: Tail) -> None:
    assert counts_bars_that_were_not(tail)
    assert not counts_bars_that_were_not(of_the_module)
