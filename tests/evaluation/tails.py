"""Simulated markets whose value at risk is known, as the backtests see them."""

from __future__ import annotations

import numpy as np
from scipy import stats

from glassbox_bt.evaluation._var_panels import TailPanel
from glassbox_bt.types import FloatArray

DEGREES = 5.0


def stated(scale: FloatArray, degrees: float | None) -> dict[str, FloatArray]:
    """Value at risk and expected shortfall of returns with these deviations, normal or Student's t."""
    out = {}
    for level in (95, 99):
        rate = (100 - level) / 100.0
        if degrees is None:
            quantile = float(stats.norm.ppf(rate))
            mean = -float(stats.norm.pdf(quantile)) / rate
        else:
            unit = np.sqrt((degrees - 2.0) / degrees)
            raw = float(stats.t.ppf(rate, degrees))
            quantile = unit * raw
            mean = -unit * float(stats.t.pdf(raw, degrees)) * (degrees + raw**2) / (degrees - 1.0) / rate
        out |= {f"var_{level}": quantile * scale, f"cvar_{level}": mean * scale}
    return out


def garch_panel(
    rng: np.random.Generator,
    n_days: int,
    n_names: int,
    *,
    common: float = 0.0,
    wrong: bool = False,
    first: str = "2001-01-01",
) -> TailPanel:
    """GARCH(1,1) returns with Student-t shocks, and their true tail; ``wrong``: that of one normal for all days.

    ``common`` is the correlation of the names' shocks; their fat tails then come together as well.
    """
    warm = 200
    shocks = np.sqrt(common) * rng.standard_normal((n_days + warm, 1))
    shocks = shocks + np.sqrt(1.0 - common) * rng.standard_normal((n_days + warm, n_names))
    mixing = rng.chisquare(DEGREES, (n_days + warm, 1 if common else n_names)) / DEGREES
    shocks = shocks / np.sqrt(mixing) * np.sqrt((DEGREES - 2.0) / DEGREES)
    variance, deviation = np.ones(n_names), np.empty(shocks.shape)
    for day in range(len(shocks)):
        deviation[day] = np.sqrt(variance)
        variance = 0.05 + (0.10 * shocks[day] ** 2 + 0.85) * variance
    returns, scale = 0.01 * (deviation * shocks)[warm:], 0.01 * deviation[warm:]
    constant = np.broadcast_to(returns.std(axis=0), returns.shape)
    tail = stated(constant, None) if wrong else stated(scale, DEGREES)
    return panel_of(returns, tail, first)


def panel_of(returns: FloatArray, tail: dict[str, FloatArray], first: str = "2001-01-01") -> TailPanel:
    """A panel of one test year."""
    starts = np.zeros(len(returns), dtype=bool)
    starts[0] = True
    names = tuple(f"N{number:03d}" for number in range(returns.shape[1]))
    days = np.arange(np.datetime64(first, "D"), np.datetime64(first, "D") + len(returns))
    return TailPanel(days, names, returns, {name: np.array(values) for name, values in tail.items()}, starts)
