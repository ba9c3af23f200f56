"""Prices of a synthetic market, given its causal record: latent returns first, then raw bars."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from glassbox_bt.market.sources.synthetic_record import Draws
from glassbox_bt.market.sources.synthetic_text import TextEffects
from glassbox_bt.types import AnyArray, BoolArray, FloatArray, IntArray

__all__ = ["TREND_SESSIONS", "Paths", "bars", "latent_paths", "trades_on"]

TREND_SESSIONS = 20
MARKET_VOL = 0.008  # daily deviation of the market factor in a regime of multiplier 1
SECTOR_VOL = 0.005
TYPICAL_VOL = 0.015  # deviation of a session at which a name trades its base volume
SHARES = np.array([0.3, 0.7])  # of a day's variance: between close and open, within the session
GARCH = (0.08, 0.90)  # weight of the last squared shock and of the last variance


@dataclass(frozen=True, slots=True, eq=False)
class Paths:
    """Log returns and what they came from: (n_sessions,), (n_sessions, n_sectors) or (n_sessions, n_names)."""

    market: FloatArray
    sector: FloatArray
    overnight: FloatArray
    intraday: FloatArray
    intraday_sd: FloatArray  # conditional deviation of ``intraday``
    signal: FloatArray  # trend at each close
    effect: FloatArray  # expected log return of the next session that it causes


@dataclass(frozen=True, slots=True, eq=False)
class _Common:
    """Factor shocks, each (n_sessions, 2, ...) for overnight and session."""

    market: FloatArray
    of_names: FloatArray  # market and sector shocks as each name feels them, (n_sessions, 2, n_names)
    sector: FloatArray
    variance: FloatArray  # of the factors, by day and name


def latent_paths(
    draws: Draws,
    names: pd.DataFrame,
    multiplier: FloatArray,
    drift: FloatArray,
    edge: float,
    text: TextEffects,
) -> Paths:
    """Simulate day by day.

    Parameters
    ----------
    multiplier, drift : FloatArray
        Volatility multiplier and expected log return of the market factor, (n_sessions,).
    edge : float
        Strength of the planted trend.
    text : TextEffects
        Planted effects of headlines, in conditional deviations.
    """
    n_sessions, n_names = len(multiplier), len(names)
    common = _common(draws, names, multiplier)
    own = _normals(draws, n_sessions, names["ticker"].tolist())  # (n_sessions, 2, n_names)
    beta, long_run = names["beta"].to_numpy(), names["idio_vol"].to_numpy() ** 2
    parts = np.zeros((n_sessions, 2, n_names))
    deviation, signal, effect = (np.zeros((n_sessions, n_names)) for _ in range(3))
    variance = long_run
    for day in range(n_sessions):
        own_variance = multiplier[day] * variance
        total = common.variance[day] + own_variance
        deviation[day] = np.sqrt(total)
        shocks = common.of_names[day] + np.sqrt(own_variance) * own[day]
        parts[day] = np.sqrt(SHARES)[:, None] * shocks - SHARES[:, None] * total / 2
        parts[day, 0] += text.gap[day] * deviation[day]
        parts[day, 1] += beta * drift[day] + text.drift[day] * deviation[day]
        if day > 0:
            effect[day - 1] = edge * deviation[day] * signal[day - 1]
            parts[day, 1] += effect[day - 1]
        signal[day] = _trend(parts[max(day - TREND_SESSIONS + 1, 0) : day + 1].sum(axis=1))
        shock = variance * (np.sqrt(SHARES) @ own[day]) ** 2
        variance = (1.0 - sum(GARCH)) * long_run + GARCH[0] * shock + GARCH[1] * variance
    return Paths(
        market=common.market @ np.sqrt(SHARES) - (MARKET_VOL * multiplier) ** 2 / 2 + drift,
        sector=np.einsum("p,tps->ts", np.sqrt(SHARES), common.sector),
        overnight=parts[:, 0],
        intraday=parts[:, 1],
        intraday_sd=np.sqrt(SHARES[1]) * deviation,
        signal=signal,
        effect=effect,
    )


def _common(draws: Draws, names: pd.DataFrame, multiplier: FloatArray) -> _Common:
    sectors = sorted(names["sector"].unique())
    of_sector: IntArray = np.array([sectors.index(sector) for sector in names["sector"]], dtype=np.int64)
    beta, loading = names["beta"].to_numpy(), names["sector_loading"].to_numpy()
    market = MARKET_VOL * multiplier[:, None] * _normals(draws, len(multiplier), ["market"])[..., 0]
    sector = SECTOR_VOL * np.sqrt(multiplier)[:, None, None] * _normals(draws, len(multiplier), sectors)
    return _Common(
        market=market,
        of_names=market[..., None] * beta + sector[..., of_sector] * loading,
        sector=sector,
        variance=(beta * MARKET_VOL * multiplier[:, None]) ** 2 + (loading * SECTOR_VOL) ** 2 * multiplier[:, None],
    )


def _normals(draws: Draws, n_sessions: int, owners: list[str]) -> FloatArray:
    """Standard normals (n_sessions, 2, n_owners), one stream per owner."""
    return np.stack([draws.rng("shock", owner).standard_normal((n_sessions, 2)) for owner in owners], axis=-1)


def _trend(returns: FloatArray) -> FloatArray:
    """Sum over root of the sum of squares, within [-2, 2]; 0 until there are 20 returns."""
    if len(returns) < TREND_SESSIONS:
        return np.zeros(returns.shape[1])
    trend: FloatArray = np.clip(returns.sum(axis=0) / np.sqrt((returns**2).sum(axis=0)), -2.0, 2.0)
    return trend


def bars(
    draws: Draws,
    dates: AnyArray,
    name: Mapping[str, Any],
    move: tuple[FloatArray, FloatArray, FloatArray],
    ratio: FloatArray,
) -> pd.DataFrame:
    """Raw daily bars of one name.

    Parameters
    ----------
    name : Mapping
        ``ticker, start_price, base_volume``.
    move : tuple of FloatArray
        Log return overnight, within the session, and the conditional deviation of the latter.
    ratio : FloatArray
        Shares into which one share of the first session has been split by each session.
    """
    overnight, intraday, deviation = move
    log_close = np.log(name["start_price"]) + np.cumsum(overnight + intraday)
    rng = draws.rng("range", name["ticker"])
    high, low = _range(rng, intraday, deviation)
    log_prices = {"open": 0.0, "high": high, "low": low, "close": intraday}
    prices = {key: np.round(np.exp(log_close - intraday + above_open) / ratio, 4) for key, above_open in log_prices.items()}
    activity = 0.35 * rng.standard_normal(len(dates)) + 0.3 * np.abs(intraday) / deviation
    pace = np.sqrt(deviation / TYPICAL_VOL)
    return pd.DataFrame(
        {
            "date": dates.astype("datetime64[ns]"),
            "ticker": name["ticker"],
            **prices,
            "adj_close": prices["close"] * ratio / ratio[-1],
            "volume": np.round(name["base_volume"] * pace * np.exp(activity) * ratio).astype(np.int64),
        }
    )


def _range(rng: np.random.Generator, move: FloatArray, deviation: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Highest and lowest log price over the open of a Brownian path that ends at ``move`` (exact law of each)."""
    spread = -2.0 * deviation**2 * np.log(rng.uniform(1e-12, 1.0, size=(2, len(move))))
    high = (move + np.sqrt(move**2 + spread[0])) / 2
    low = (move - np.sqrt(move**2 + spread[1])) / 2
    return np.maximum(high, np.maximum(move, 0.0)), np.minimum(low, np.minimum(move, 0.0))


def trades_on(dates: AnyArray, halts: list[tuple[AnyArray, AnyArray]], last_day: AnyArray | None) -> BoolArray:
    """Sessions on which a name trades: outside its halts (first, last) and until its last day."""
    trading = np.ones(len(dates), dtype=bool)
    for first, last in halts:
        trading &= (dates < first) | (dates > last)
    return trading if last_day is None else trading & (dates <= last_day)
