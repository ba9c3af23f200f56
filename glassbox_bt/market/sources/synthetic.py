"""A seeded market whose causes are known.

The causal record comes first (`synthetic_record`, `synthetic_text`), prices follow from it:

* log return = overnight + intraday, 30 % and 70 % of the variance;
* each is beta x market factor + loading x sector factor + own shock - variance / 2, so that without planted effects the expected
  simple return is zero at every moment: a fair game;
* the market's deviation is 0.8 % a day x the regime's multiplier (0.8, 1.55, 3.0 with three regimes), a sector's 0.5 %, a name's own
  follows GARCH(1,1) (0.08, 0.90) around 1.0-2.2 %.

Planted effects (none with ``noise_only``), all within the session and so tradable after the open:

* *trend*: x = sum of the last 20 log returns / root of their sum of squares, within [-2, 2], known at the close; the next session's
  expected log return is ``edge`` x its conditional deviation x x. ``edge`` = 0.05 gives an information coefficient near 0.05 a day and
  near 0.1 over 20 sessions.
* *text*: a headline with a sign moves the first open by one deviation (nobody can trade on it) and the five sessions from then on by
  ``text_edge`` deviations each.
* *market drift*: +10 % a year in the calmest regime down to -40 % in the wildest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from glassbox_bt.errors import MarketDataError
from glassbox_bt.market.calendar import Sessions, sessions
from glassbox_bt.market.sources.raw import MarketMeta, RawMarket
from glassbox_bt.market.sources.synthetic_record import (
    Disturbances,
    Draws,
    SyntheticTruth,
    draw_disturbances,
    draw_names,
    draw_regimes,
)
from glassbox_bt.market.sources.synthetic_text import TextEffects, draw_text, text_effects
from glassbox_bt.types import BoolArray, FloatArray

__all__ = ["SyntheticMarket"]

TREND_SESSIONS = 20
OVERNIGHT = 0.3  # share of a day's variance between close and open
GARCH = (0.08, 0.90)  # weight of the last squared shock and of the last variance


@dataclass(frozen=True, slots=True)
class SyntheticMarket:
    """Settings of a synthetic market; equal settings give the same bytes.

    Parameters
    ----------
    seed : int, default=0
        Root of every stream.
    n_names : int, default=20
        Names, at least 2.
    first, last : str
        Dates of the first and last session. By default two years before 2000 serve look-back, as in the embedded real market.
    edge : float, default=0.05
        Strength of the planted trend, in [0, 0.2]: above it the feedback would explode. Ignored with ``noise_only``.
    text_edge : float, default=0.1
        Daily drift after a headline, in deviations, in [0, 1]. Ignored with ``noise_only``.
    noise_only : bool, default=False
        No planted effect at all: the expected simple return of every name is zero, at opens and at closes, halts and
        delistings included.
    halts, delistings, splits : int
        How many; see `SyntheticTruth`.
    text, macro : bool, default=True
        Whether there are headlines, and the series ``VIX_CLOSE``, ``BAA10Y`` (known on the next session) and ``INDEX_CLOSE``
        (known at the close; the benchmark).
    n_regimes, sectors : int
        Volatility regimes and sectors, at least 1.
    """

    seed: int = 0
    n_names: int = 20
    first: str = "1998-01-02"
    last: str = "2022-12-30"
    edge: float = 0.05
    text_edge: float = 0.1
    noise_only: bool = False
    halts: int = 12
    delistings: int = 2
    splits: int = 6
    text: bool = True
    macro: bool = True
    n_regimes: int = 3
    sectors: int = 4

    def __post_init__(self) -> None:
        least = {"n_names": 2, "halts": 0, "delistings": 0, "splits": 0, "n_regimes": 1, "sectors": 1}
        for name, value in least.items():
            if getattr(self, name) < value:
                raise MarketDataError(f"`{name}` must be at least {value}, got {getattr(self, name)}.")
        if not 0.0 <= self.edge <= 0.2:
            raise MarketDataError(f"`edge` must lie in [0, 0.2], got {self.edge}.")
        if not 0.0 <= self.text_edge <= 1.0:
            raise MarketDataError(f"`text_edge` must lie in [0, 1], got {self.text_edge}.")
        if self.delistings > self.n_names - 2:
            raise MarketDataError(f"`delistings` must leave two names, got {self.delistings} of {self.n_names}.")

    def raw(self) -> RawMarket:
        """Draw the record, then the market; ``raw.truth`` is the `SyntheticTruth`.

        Raises
        ------
        MarketDataError
            If there are fewer than 60 sessions between ``first`` and ``last``.
        """
        clock = sessions("XNYS", self.first, self.last)
        if len(clock.dates) < 60:
            raise MarketDataError(
                f"A synthetic market needs 60 sessions, got {len(clock.dates)} from {self.first} to {self.last}."
            )
        draws = Draws(self.seed)
        names = draw_names(draws, self.n_names, self.sectors)
        tickers = names["ticker"].tolist()
        regime, multiplier = draw_regimes(draws, len(clock.dates), self.n_regimes)
        counts = Disturbances(self.halts, self.delistings, self.splits)
        halts, delistings, splits = draw_disturbances(
            draws, clock.dates, names["ticker"].to_numpy(), counts, self.noise_only
        )
        text = draw_text(draws, clock, names, 0.0 if self.noise_only else self.text_edge)
        if not self.text:
            text = text.iloc[:0]
        paths = _paths(self, draws, names, regime, multiplier, text_effects(text, tickers, len(clock.dates)))
        truth = SyntheticTruth(
            regimes=pd.DataFrame(
                {
                    "date": clock.dates.astype("datetime64[ns]"),
                    "regime": regime,
                    "vol_multiplier": multiplier,
                    "market_log_return": paths.market,
                }
            ),
            sector_factors=_long(clock, sorted(names["sector"].unique()), "sector", log_return=paths.sector),
            names=names,
            drivers=_drivers(self, clock, tickers, paths),
            text_effects=text.drop(columns="text"),
            halts=halts,
            delistings=delistings,
            splits=splits,
        )
        return RawMarket(
            meta=_meta(self),
            prices=_prices(clock, draws, names, paths, truth),
            news=text[["published_at", "ticker", "text", "doc_id"]].assign(source="synthetic") if self.text else None,
            macro=_macro(clock, draws, multiplier, paths.market) if self.macro else None,
            sectors=names[["ticker", "sector"]],
            listings=delistings.loc[delistings["announced"].astype(bool), ["ticker", "last_day", "delist_return"]]
            if self.delistings
            else None,
            truth=truth,
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Paths:
    """Latent log returns and what they came from; (n_sessions,), (n_sessions, n_sectors) or (n_sessions, n_names)."""

    market: FloatArray
    sector: FloatArray
    overnight: FloatArray
    intraday: FloatArray
    intraday_sd: FloatArray
    signal: FloatArray  # trend at each close
    effect: FloatArray  # expected log return of the next session that it causes


def _paths(
    market: SyntheticMarket, draws: Draws, names: pd.DataFrame, regime: np.ndarray, multiplier: FloatArray, text: TextEffects
) -> _Paths:
    n_sessions, n_names = len(multiplier), len(names)
    edge = 0.0 if market.noise_only else market.edge
    sector_names = sorted(names["sector"].unique())
    of_sector = np.array([sector_names.index(sector) for sector in names["sector"]])
    beta, loading, idio = (names[c].to_numpy() for c in ("beta", "sector_loading", "idio_vol"))
    market_shock = (
        0.008 * multiplier[:, None] * _normals(draws, n_sessions, ["market"])[..., 0]
    )  # (T, 2): overnight, intraday
    sector_shock = 0.005 * np.sqrt(multiplier)[:, None, None] * _normals(draws, n_sessions, sector_names)
    own = _normals(draws, n_sessions, names["ticker"].tolist())  # (T, 2, N)
    share = np.array([OVERNIGHT, 1.0 - OVERNIGHT])
    common_variance = (beta * 0.008 * multiplier[:, None]) ** 2 + (loading * 0.005) ** 2 * multiplier[:, None]
    drift = _drift(market, regime)
    parts = np.zeros((n_sessions, 2, n_names))
    intraday_sd, signal, effect = (np.zeros((n_sessions, n_names)) for _ in range(3))
    variance = idio**2
    for day in range(n_sessions):
        total = common_variance[day] + multiplier[day] * variance
        own_shock = np.sqrt(multiplier[day] * variance) * own[day]  # (2, N)
        common = market_shock[day][:, None] * beta + sector_shock[day][:, of_sector] * loading
        parts[day] = np.sqrt(share)[:, None] * (common + own_shock) - share[:, None] * total / 2
        deviation = np.sqrt(total)
        if day > 0:
            effect[day - 1] = edge * deviation * signal[day - 1]
            parts[day, 1] += effect[day - 1]
        parts[day, 0] += text.gap[day] * deviation
        parts[day, 1] += beta * drift[day] + text.drift[day] * deviation
        intraday_sd[day] = np.sqrt(share[1]) * deviation
        signal[day] = _trend(parts[max(day - TREND_SESSIONS + 1, 0) : day + 1].sum(axis=1))
        shock = (np.sqrt(share)[:, None] * own[day]).sum(axis=0) ** 2 * variance
        variance = (1 - sum(GARCH)) * idio**2 + GARCH[0] * shock + GARCH[1] * variance
    market_parts = np.sqrt(share) * market_shock
    market_return = market_parts.sum(axis=1) - (0.008 * multiplier) ** 2 / 2 + drift
    sector_return = (np.sqrt(share)[:, None] * sector_shock).sum(axis=1)
    return _Paths(market_return, sector_return, parts[:, 0], parts[:, 1], intraday_sd, signal, effect)


def _normals(draws: Draws, n_sessions: int, owners: list[str]) -> FloatArray:
    """Standard normals (n_sessions, 2, n_owners), one stream per owner."""
    return np.stack([draws.rng("shock", owner).standard_normal((n_sessions, 2)) for owner in owners], axis=-1)


def _trend(returns: FloatArray) -> FloatArray:
    """Sum over root of the sum of squares, within [-2, 2]; 0 until there are 20 returns."""
    if len(returns) < TREND_SESSIONS:
        return np.zeros(returns.shape[1])
    trend: FloatArray = np.clip(returns.sum(axis=0) / np.sqrt((returns**2).sum(axis=0)), -2.0, 2.0)
    return trend


def _drift(market: SyntheticMarket, regime: np.ndarray) -> FloatArray:
    """Expected daily log return of the market factor."""
    if market.noise_only:
        return np.zeros(len(regime))
    share = regime / max(market.n_regimes - 1, 1)
    drift: FloatArray = (0.10 - 0.50 * share) / 252.0
    return drift


def _drivers(market: SyntheticMarket, clock: Sessions, tickers: list[str], paths: _Paths) -> pd.DataFrame:
    table = _long(clock, tickers, "ticker", signal=paths.signal, effect=paths.effect)
    table.insert(2, "driver", f"trend_{TREND_SESSIONS}d")
    return table.iloc[:0] if market.noise_only or market.edge == 0.0 else table


def _long(clock: Sessions, owners: list[str], owner: str, **values: FloatArray) -> pd.DataFrame:
    days = np.repeat(clock.dates.astype("datetime64[ns]"), len(owners))
    return pd.DataFrame(
        {"date": days, owner: np.tile(np.array(owners, dtype=object), len(clock.dates))}
        | {k: v.ravel() for k, v in values.items()}
    )


def _prices(clock: Sessions, draws: Draws, names: pd.DataFrame, paths: _Paths, truth: SyntheticTruth) -> pd.DataFrame:
    """Raw bars, in order of (ticker, date); none on halts and after a delisting."""
    n_sessions = len(clock.dates)
    tables = []
    for at, name in enumerate(names.itertuples(index=False)):
        log_close = np.log(name.start_price) + np.cumsum(paths.overnight[:, at] + paths.intraday[:, at])
        log_open = log_close - paths.intraday[:, at]
        rng = draws.rng("range", name.ticker)
        high, low = _range(rng, paths.intraday[:, at], paths.intraday_sd[:, at])
        ratio = np.ones(n_sessions)
        for split in truth.splits[truth.splits["ticker"] == name.ticker].itertuples(index=False):
            ratio[clock.dates >= np.datetime64(split.day, "D")] *= split.ratio
        bars = {
            "open": np.exp(log_open) / ratio,
            "high": np.exp(log_open + high) / ratio,
            "low": np.exp(log_open + low) / ratio,
            "close": np.exp(log_close) / ratio,
        }
        bars = {key: np.round(values, 4) for key, values in bars.items()}
        activity = 0.35 * rng.standard_normal(n_sessions) + 0.3 * np.abs(paths.intraday[:, at]) / paths.intraday_sd[:, at]
        volume = name.base_volume * np.sqrt(truth.regimes["vol_multiplier"].to_numpy()) * np.exp(activity) * ratio
        table = pd.DataFrame({"date": clock.dates.astype("datetime64[ns]"), "ticker": name.ticker, **bars})
        table["adj_close"] = bars["close"] * ratio / ratio[-1]
        table["volume"] = np.round(volume).astype(np.int64)
        tables.append(table[_trades(clock, name.ticker, truth)])
    return pd.concat(tables, ignore_index=True)


def _range(rng: np.random.Generator, move: FloatArray, deviation: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Highest and lowest log price over the open, of a Brownian path that ends at ``move`` (exact law of each)."""
    spread = -2.0 * deviation**2 * np.log(rng.uniform(1e-12, 1.0, size=(2, len(move))))
    high = (move + np.sqrt(move**2 + spread[0])) / 2
    low = (move - np.sqrt(move**2 + spread[1])) / 2
    return np.maximum(high, np.maximum(move, 0.0)), np.minimum(low, np.minimum(move, 0.0))


def _trades(clock: Sessions, ticker: str, truth: SyntheticTruth) -> BoolArray:
    open_for_trade = np.ones(len(clock.dates), dtype=bool)
    for halt in truth.halts[truth.halts["ticker"] == ticker].itertuples(index=False):
        first, last = np.datetime64(halt.first_day, "D"), np.datetime64(halt.last_day, "D")
        open_for_trade &= (clock.dates < first) | (clock.dates > last)
    for gone in truth.delistings[truth.delistings["ticker"] == ticker].itertuples(index=False):
        open_for_trade &= clock.dates <= np.datetime64(gone.last_day, "D")
    return open_for_trade


def _macro(clock: Sessions, draws: Draws, multiplier: FloatArray, market_return: FloatArray) -> pd.DataFrame:
    rng = draws.rng("macro")
    wobble = np.zeros((2, len(clock.dates)))
    shocks = rng.standard_normal((2, len(clock.dates)))
    for day in range(1, len(clock.dates)):
        wobble[:, day] = 0.95 * wobble[:, day - 1] + 0.05 * shocks[:, day]
    series = {
        "BAA10Y": 1.5 + 0.6 * multiplier * np.exp(wobble[1]),
        "INDEX_CLOSE": 1000.0 * np.exp(np.cumsum(market_return)),
        "VIX_CLOSE": 100.0 * 0.008 * np.sqrt(252.0) * multiplier * np.exp(wobble[0]),
    }
    day = clock.dates.astype("datetime64[ns]")
    return pd.concat(
        [pd.DataFrame({"date": day, "series": name, "value": np.round(values, 4)}) for name, values in series.items()],
        ignore_index=True,
    )


def _meta(market: SyntheticMarket) -> MarketMeta:
    planted = (
        "Pure noise: the expected simple return of every name is zero; whatever is found is chance."
        if market.noise_only
        else f"Planted: a 20-session trend (edge {market.edge}), headlines (text_edge {market.text_edge}), drift by regime."
    )
    return MarketMeta(
        name="synthetic",
        price_basis="raw",
        calendar="XNYS",
        currency="USD",
        benchmark="macro.INDEX_CLOSE" if market.macro else None,
        licence="generated by glassbox_bt (Apache-2.0)",
        known_at={"macro": "+1 sessions", "macro.INDEX_CLOSE": "close"},
        card=(
            f"Synthetic market, seed {market.seed}: not real, and proof of nothing about real markets.",
            planted,
            f"{market.halts} halts, {market.delistings} delistings, {market.splits} splits; no dividends.",
        ),
    )
