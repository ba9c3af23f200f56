"""A seeded market whose causes are known.

The causal record comes first (`synthetic_record`, `synthetic_text`), prices follow from it (`synthetic_prices`):

* log return = overnight + session, 30 % and 70 % of the variance;
* each is beta x market factor + loading x sector factor + own shock - variance / 2, so that without planted effects the
  expected simple return is zero at every moment: a fair game;
* the market's deviation is 0.8 % a day x the regime's multiplier (0.8, 1.55, 3.0 with three regimes), a sector's 0.5 % x
  its root; a name's own follows GARCH(1,1) (0.08, 0.90) around 1.0 to 2.2 %.

Planted effects (none with ``noise_only``):

* *trend*: x = sum of the last 20 log returns / root of their sum of squares, within [-2, 2], known at the close. It adds
  ``edge`` x conditional deviation x x to the next session, after the open. With ``edge`` = 0.05 the correlation of x with
  the return of the next session is near 0.05, of the next 20 sessions near 0.13.
* *text*: a headline with a sign moves the first open after it by one deviation, which nobody can trade on, and the five
  sessions from then on by ``text_edge`` deviations each.
* *tail shocks* (none by default): sudden losses, passed on along directed edges (`synthetic_shocks`).
* *market drift*: +10 % a year in the calmest regime down to -40 % in the wildest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from glassbox_bt.errors import MarketDataError
from glassbox_bt.market.calendar import Sessions, sessions
from glassbox_bt.market.sources.raw import MarketMeta, RawMarket
from glassbox_bt.market.sources.synthetic_prices import TREND_SESSIONS, Paths, bars, latent_paths, trades_on
from glassbox_bt.market.sources.synthetic_record import (
    Disturbances,
    Draws,
    SyntheticTruth,
    draw_disturbances,
    draw_names,
    draw_regimes,
)
from glassbox_bt.market.sources.synthetic_shocks import LINKS, Shocks, draw_shocks
from glassbox_bt.market.sources.synthetic_text import draw_text, text_effects
from glassbox_bt.types import AnyArray, FloatArray, IntArray

__all__ = ["SyntheticMarket"]


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
        Dates of the first and last session. By default two years before 2000 serve look-back.
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
        Whether there are headlines; and the series ``VIX_CLOSE``, ``BAA10Y`` (known on the next session) and ``INDEX_CLOSE``
        (known at the close; the benchmark).
    n_regimes, sectors : int
        Volatility regimes and sectors, at least 1.
    tail_shocks : float, default=0.0
        Chance per session that a name suffers a shock of its own, in [0, 0.05]. Ignored with ``noise_only``.
    contagion : float, default=0.0
        Chance that a shock is passed on along each of the two edges that leave a name, in [0, 0.45]: at 0.5 shocks would
        never end. It needs ``tail_shocks``. Ignored with ``noise_only``.
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
    tail_shocks: float = 0.0
    contagion: float = 0.0

    def __post_init__(self) -> None:
        least = {"n_names": 2, "halts": 0, "delistings": 0, "splits": 0, "n_regimes": 1, "sectors": 1}
        for name, value in least.items():
            if getattr(self, name) < value:
                raise MarketDataError(f"`{name}` must be at least {value}, got {getattr(self, name)}.")
        if not 0.0 <= self.edge <= 0.2:
            raise MarketDataError(f"`edge` must lie in [0, 0.2], got {self.edge}.")
        if not 0.0 <= self.text_edge <= 1.0:
            raise MarketDataError(f"`text_edge` must lie in [0, 1], got {self.text_edge}.")
        if not (0.0 <= self.tail_shocks <= 0.05 and 0.0 <= self.contagion <= 0.45):
            raise MarketDataError(
                "`tail_shocks` must lie in [0, 0.05] and `contagion` in [0, 0.45], got "
                f"{self.tail_shocks} and {self.contagion}."
            )
        if self.contagion > 0.0 and self.tail_shocks == 0.0:
            raise MarketDataError(f"`contagion` ({self.contagion}) has no shocks to pass on: set `tail_shocks` above 0.")
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
        regime, multiplier = draw_regimes(draws, len(clock.dates), self.n_regimes)
        headlines = draw_text(draws, clock, names, 0.0 if self.noise_only else self.text_edge)
        if not self.text:
            headlines = headlines.iloc[:0]
        shocks = _shocks(self, draws, clock.dates, names["ticker"].tolist())
        effects = text_effects(headlines, names["ticker"].tolist(), len(clock.dates))
        paths = latent_paths(
            draws,
            names,
            multiplier,
            _drift(self, regime),
            0.0 if self.noise_only else self.edge,
            replace(effects, drift=effects.drift + shocks.moves),
        )
        truth = _truth(self, draws, clock, names, (regime, multiplier, headlines, shocks), paths)
        announced = truth.delistings[truth.delistings["announced"].astype(bool)]
        return RawMarket(
            meta=_meta(self),
            prices=_prices(clock.dates, draws, paths, truth),
            news=_news(headlines) if self.text else None,
            macro=_macro(clock.dates, draws, multiplier, paths.market) if self.macro else None,
            sectors=names[["ticker", "sector"]].assign(known_at=pd.Timestamp(clock.opens_at[0], tz="UTC")),
            listings=announced[["ticker", "last_day", "delist_return"]] if len(announced) else None,
            truth=truth,
        )


def _shocks(market: SyntheticMarket, draws: Draws, dates: AnyArray, tickers: list[str]) -> Shocks:
    own, passed_on = (0.0, 0.0) if market.noise_only else (market.tail_shocks, market.contagion)
    return draw_shocks(draws, dates, tickers, own, passed_on)


def _drift(market: SyntheticMarket, regime: IntArray) -> FloatArray:
    """Expected daily log return of the market factor."""
    if market.noise_only:
        return np.zeros(len(regime))
    drift: FloatArray = (0.10 - 0.50 * regime / max(market.n_regimes - 1, 1)) / 252.0
    return drift


def _truth(
    market: SyntheticMarket,
    draws: Draws,
    clock: Sessions,
    names: pd.DataFrame,
    drawn: tuple[IntArray, FloatArray, pd.DataFrame, Shocks],
    paths: Paths,
) -> SyntheticTruth:
    regime, multiplier, headlines, shocks = drawn
    counts = Disturbances(market.halts, market.delistings, market.splits)
    halts, delistings, splits = draw_disturbances(draws, clock.dates, names["ticker"].to_numpy(), counts, market.noise_only)
    planted = not market.noise_only and market.edge > 0
    drivers = _long(clock.dates, names["ticker"].tolist(), "ticker", signal=paths.signal, effect=paths.effect)
    drivers.insert(2, "driver", f"trend_{TREND_SESSIONS}d")
    return SyntheticTruth(
        regimes=pd.DataFrame(
            {
                "date": clock.dates.astype("datetime64[ns]"),
                "regime": regime,
                "vol_multiplier": multiplier,
                "market_log_return": paths.market,
            }
        ),
        sector_factors=_long(clock.dates, sorted(names["sector"].unique()), "sector", log_return=paths.sector),
        names=names,
        drivers=drivers if planted else drivers.iloc[:0],
        text_effects=headlines.drop(columns="text"),
        halts=halts,
        delistings=delistings,
        splits=splits,
        edges=shocks.edges,
        shocks=shocks.record,
    )


def _long(dates: AnyArray, owners: list[str], owner: str, **values: FloatArray) -> pd.DataFrame:
    keys = {
        "date": np.repeat(dates.astype("datetime64[ns]"), len(owners)),
        owner: np.tile(np.array(owners, dtype=object), len(dates)),
    }
    return pd.DataFrame(keys | {name: panel.ravel() for name, panel in values.items()})


def _prices(dates: AnyArray, draws: Draws, paths: Paths, truth: SyntheticTruth) -> pd.DataFrame:
    """Raw bars, in order of (ticker, date); none on halts and after a delisting."""
    tables = []
    for at, name in enumerate(_records(truth.names)):
        splits, halts, gone = (
            table[table["ticker"] == name["ticker"]] for table in (truth.splits, truth.halts, truth.delistings)
        )
        ratio = np.ones(len(dates))
        for day, times in zip(splits["day"].to_numpy(), splits["ratio"], strict=True):
            ratio[dates >= day.astype("datetime64[D]")] *= times
        move = (paths.overnight[:, at], paths.intraday[:, at], paths.intraday_sd[:, at])
        spans = list(zip(halts["first_day"].to_numpy(), halts["last_day"].to_numpy(), strict=True))
        last_day = gone["last_day"].to_numpy()[0] if len(gone) else None
        tables.append(bars(draws, dates, name, move, ratio)[trades_on(dates, spans, last_day)])
    return pd.concat(tables, ignore_index=True)


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def _news(headlines: pd.DataFrame) -> pd.DataFrame:
    return headlines[["published_at", "ticker", "text", "doc_id"]].assign(source="synthetic")


def _macro(dates: AnyArray, draws: Draws, multiplier: FloatArray, market_return: FloatArray) -> pd.DataFrame:
    """Fear index and credit spread follow the regime with an error that fades by 5 % a day."""
    shocks = draws.rng("macro").standard_normal((2, len(dates)))
    error = np.zeros((2, len(dates)))
    for day in range(1, len(dates)):
        error[:, day] = 0.95 * error[:, day - 1] + 0.05 * shocks[:, day]
    series = {
        "BAA10Y": 1.5 + 0.6 * multiplier * np.exp(error[1]),
        "INDEX_CLOSE": 1000.0 * np.exp(np.cumsum(market_return)),
        "VIX_CLOSE": 12.7 * multiplier * np.exp(error[0]),  # 12.7 % a year = 0.8 % a day
    }
    day_column = dates.astype("datetime64[ns]")
    tables = [
        pd.DataFrame({"date": day_column, "series": name, "value": np.round(values, 4)}) for name, values in series.items()
    ]
    return pd.concat(tables, ignore_index=True)


def _meta(market: SyntheticMarket) -> MarketMeta:
    planted = (
        "Pure noise: the expected simple return of every name is zero; whatever is found is chance."
        if market.noise_only
        else f"Planted: a 20-session trend (edge {market.edge}), headlines (text_edge {market.text_edge}), drift by regime."
    )
    if market.tail_shocks > 0.0 and not market.noise_only:
        planted += (
            f" Tail shocks with probability {market.tail_shocks} a session, passed on along {LINKS} edges a name with "
            f"probability {market.contagion}."
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
