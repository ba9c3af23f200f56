"""The causal record of a synthetic market, drawn before any price.

Each draw comes from a stream named after what it is for (and after the name it belongs to), so more names, no text or one
halt fewer leave all other draws as they were.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from glassbox_bt.types import AnyArray, FloatArray, IntArray

__all__ = ["Draws", "SyntheticTruth", "draw_disturbances", "draw_names", "draw_regimes"]


@dataclass(frozen=True, slots=True)
class Draws:
    """Random streams of one seed, keyed by words."""

    seed: int

    def rng(self, *key: object) -> np.random.Generator:
        """The stream of one purpose; depends on the seed and the words only."""
        text = "|".join(str(part) for part in (self.seed, *key))
        return np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big"))


@dataclass(frozen=True, slots=True, eq=False)
class SyntheticTruth:
    """What moved a synthetic market; explanations may be examined against it, models never see it.

    Parameters
    ----------
    regimes : DataFrame
        ``date, regime`` (0 = calmest), ``vol_multiplier``, ``market_log_return``.
    sector_factors : DataFrame
        ``date, sector, log_return``.
    names : DataFrame
        ``ticker, company, sector, beta, sector_loading, idio_vol`` (daily), ``start_price, base_volume``.
    drivers : DataFrame
        ``date, ticker, driver, signal, effect``: the planted signal at the close of ``date`` and the expected log return
        of the next session that it causes. Empty without a planted effect.
    text_effects : DataFrame
        ``doc_id, ticker, published_at, event_type, event, sign, wording, first_session, gap_effect, drift_effect,
        drift_sessions``: what was announced (a type of spec 26.1) in which of its wordings, and what was added to the open
        of the first session, and to each of ``drift_sessions`` from it on, in conditional deviations.
    halts, delistings, splits : DataFrame
        ``ticker, first_day, last_day``; ``ticker, last_day, delist_return, announced``; ``ticker, day, ratio``.
    edges, shocks : DataFrame
        ``source, target, passed_on``; ``date, ticker, origin, source, size``: see `synthetic_shocks.Shocks`. Empty without
        contagion and without tail shocks.
    """

    regimes: pd.DataFrame
    sector_factors: pd.DataFrame
    names: pd.DataFrame
    drivers: pd.DataFrame
    text_effects: pd.DataFrame
    halts: pd.DataFrame
    delistings: pd.DataFrame
    splits: pd.DataFrame
    edges: pd.DataFrame
    shocks: pd.DataFrame

    def save(self, folder: Path) -> None:
        """One CSV per part."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in self.__slots__:
            getattr(self, name).to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")


def draw_regimes(draws: Draws, n_sessions: int, n_regimes: int) -> tuple[IntArray, FloatArray]:
    """A sticky Markov chain: regime of each session and its volatility multiplier (0.8 in the calmest, 3 in the wildest)."""
    share = np.linspace(0.0, 1.0, n_regimes) if n_regimes > 1 else np.zeros(1)
    stay = 0.995 - 0.035 * share  # a calm spell lasts 200 sessions, a crisis 25
    rng = draws.rng("regimes")
    uniform, pick = rng.random(n_sessions), rng.random(n_sessions)
    regime = np.zeros(n_sessions, dtype=np.int64)
    for day in range(1, n_sessions):
        now = regime[day - 1]
        if n_regimes > 1 and uniform[day] > stay[now]:
            others = [other for other in range(n_regimes) if other != now]
            regime[day] = others[int(pick[day] * len(others))]
        else:
            regime[day] = now
    multiplier = 0.8 * (3.0 / 0.8) ** share if n_regimes > 1 else np.ones(1)
    return regime, multiplier[regime]


def draw_names(draws: Draws, n_names: int, n_sectors: int) -> pd.DataFrame:
    """Fixed traits of each name."""
    rows = []
    for number in range(n_names):
        ticker = f"S{number:03d}"
        rng = draws.rng("name", ticker)
        rows.append(
            {
                "ticker": ticker,
                "company": f"{_WORDS[number % len(_WORDS)]} {_TRADES[number // len(_WORDS) % len(_TRADES)]}",
                "sector": f"Sector {chr(ord('A') + number % n_sectors)}",
                "beta": rng.uniform(0.6, 1.4),
                "sector_loading": rng.uniform(0.5, 1.0),
                "idio_vol": rng.uniform(0.010, 0.022),
                "start_price": rng.uniform(20.0, 120.0),
                "base_volume": float(np.exp(rng.normal(13.5, 0.8))),
            }
        )
    return pd.DataFrame(rows)


@dataclass(frozen=True, slots=True)
class Disturbances:
    """How many halts, delistings and splits a market has."""

    halts: int
    delistings: int
    splits: int


def draw_disturbances(
    draws: Draws, dates: AnyArray, tickers: AnyArray, counts: Disturbances, noise_only: bool
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Halts, delistings and splits.

    Pure noise must stay a fair game under the portfolio's rules: there, halts last at most 5 sessions and every delisting is
    announced with return 0. Otherwise halts last up to 8 and every second delisting goes unannounced.
    """
    last = len(dates) - 1
    lengths = (1, 2, 3, 5) if noise_only else (1, 2, 3, 5, 8)
    halts, delistings, splits = [], [], []
    for number in range(counts.halts):
        rng = draws.rng("halt", number)
        first, length = int(rng.integers(last // 10, last - 20)), int(rng.choice(lengths))
        halts.append((str(rng.choice(tickers)), dates[first], dates[first + length - 1]))
    order = draws.rng("delistings").permutation(len(tickers))[: counts.delistings]
    for number, place in enumerate(order):
        rng = draws.rng("delisting", tickers[place])
        day = dates[int(rng.integers(last // 3, last - last // 10))]
        loss = 0.0 if noise_only else -round(float(rng.uniform(0.1, 0.9)), 4)
        delistings.append((tickers[place], day, loss, noise_only or number % 2 == 0))
    for number in range(counts.splits):
        rng = draws.rng("split", number)
        splits.append((str(rng.choice(tickers)), dates[int(rng.integers(1, last))], int(rng.choice((2, 3)))))
    return (
        pd.DataFrame(halts, columns=["ticker", "first_day", "last_day"]),
        pd.DataFrame(delistings, columns=["ticker", "last_day", "delist_return", "announced"]),
        pd.DataFrame(splits, columns=["ticker", "day", "ratio"]),
    )


_WORDS = (
    "Alder", "Basalt", "Cedar", "Dunlin", "Ember", "Falcon", "Garnet", "Hazel", "Indigo", "Juniper",
    "Kestrel", "Larch", "Merlin", "Nettle", "Osprey", "Plover", "Quartz", "Rowan", "Sorrel", "Teasel",
)  # fmt: skip
_TRADES = ("Works", "Foods", "Energy", "Systems", "Motors", "Health", "Paper", "Lines")
