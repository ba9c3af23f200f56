"""Dated headlines of a synthetic market: what was announced, when, and what it does to the price."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from glassbox_bt.market.calendar import Sessions, first_session_after
from glassbox_bt.market.sources.synthetic_record import Draws
from glassbox_bt.types import FloatArray

__all__ = ["DRIFT_SESSIONS", "TextEffects", "draw_text", "text_effects"]

DRIFT_SESSIONS = 5  # sessions over which news is digested after it became public

GAP_SIZE = 1.0  # first reaction, in daily standard deviations of the name

_HEADLINES = {
    ("results", 1): "{company} ({ticker}) beats quarterly estimates and raises its outlook",
    ("results", -1): "{company} ({ticker}) misses quarterly estimates and cuts its outlook",
    ("contract", 1): "{company} ({ticker}) wins a large long-term contract",
    ("contract", -1): "{company} ({ticker}) loses its largest customer",
    ("rating", 1): "Broker upgrades {company} ({ticker}) to buy on strong demand",
    ("rating", -1): "Broker downgrades {company} ({ticker}) to sell on weak demand",
    ("lawsuit", -1): "{company} ({ticker}) sued by regulator over accounting",
    ("lawsuit", 1): "Court dismisses the regulator's lawsuit against {company} ({ticker})",
    ("note", 0): "{company} ({ticker}) to present at an industry conference",
}
_MARKET_NOTES = (
    "Stocks in brief: what investors talk about this week",
    "Central bank officials speak; no change of policy expected",
)

_EVENTS_A_YEAR = 8.0
# Hours of New York time and their shares: before the open, during trading, after the close, at a weekend.
_HOURS = {"before": (6.0, 9.25), "during": (9.75, 15.75), "after": (16.1, 20.0), "weekend": (8.0, 20.0)}
_SHARES = (0.15, 0.15, 0.60, 0.10)


@dataclass(frozen=True, slots=True, eq=False)
class TextEffects:
    """Log returns in units of a name's conditional daily deviation, each (n_sessions, n_names)."""

    gap: FloatArray  # at the open of the first session after publication
    drift: FloatArray  # within each of the following `DRIFT_SESSIONS` sessions, the first included


def draw_text(draws: Draws, clock: Sessions, names: pd.DataFrame, text_edge: float) -> pd.DataFrame:
    """One row per headline: ``doc_id, ticker, published_at`` (UTC), ``event, sign, text`` and its planted effect."""
    years = (clock.dates[-1] - clock.dates[0]).astype(int) / 365.25
    rows: list[dict[str, object]] = []
    for ticker, company in zip(names["ticker"], names["company"], strict=True):
        rng = draws.rng("text", ticker)
        for number in range(int(rng.poisson(_EVENTS_A_YEAR * years))):
            event, sign = list(_HEADLINES)[int(rng.integers(len(_HEADLINES)))]
            text = _HEADLINES[event, sign].format(company=company, ticker=ticker)
            rows.append(_headline(f"{ticker}-{number:04d}", ticker, _moment(rng, clock), (event, sign, text)))
    rng = draws.rng("text", "market")
    for number in range(int(rng.poisson(_EVENTS_A_YEAR * years))):
        note = _MARKET_NOTES[int(rng.integers(len(_MARKET_NOTES)))]
        rows.append(_headline(f"MARKET-{number:04d}", "", _moment(rng, clock), ("note", 0, note)))
    table = pd.DataFrame(rows, columns=["doc_id", "ticker", "published_at", "event", "sign", "text"])
    table["published_at"] = pd.DatetimeIndex(table["published_at"]).as_unit("ns")
    table = table.sort_values(["published_at", "doc_id"], kind="stable").reset_index(drop=True)
    first = first_session_after(table["published_at"].dt.tz_localize(None).to_numpy(), clock.opens_at)
    table["first_session"] = first
    table["gap_effect"] = GAP_SIZE * table["sign"] * (text_edge > 0)
    table["drift_effect"] = text_edge * table["sign"]
    table["drift_sessions"] = DRIFT_SESSIONS
    return table


def text_effects(table: pd.DataFrame, tickers: list[str], n_sessions: int) -> TextEffects:
    """Sum of the planted effects of all headlines."""
    gap, drift = np.zeros((n_sessions, len(tickers))), np.zeros((n_sessions, len(tickers)))
    place = pd.Index(tickers).get_indexer(pd.Index(table["ticker"]))
    first = table["first_session"].to_numpy()
    for later in range(DRIFT_SESSIONS):
        here = (place >= 0) & (first + later < n_sessions)
        if later == 0:
            np.add.at(gap, (first[here], place[here]), table["gap_effect"].to_numpy()[here])
        np.add.at(drift, (first[here] + later, place[here]), table["drift_effect"].to_numpy()[here])
    return TextEffects(gap, drift)


def _headline(doc_id: str, ticker: str, moment: pd.Timestamp, what: tuple[str, int, str]) -> dict[str, object]:
    event, sign, text = what
    return {"doc_id": doc_id, "ticker": ticker, "published_at": moment, "event": event, "sign": sign, "text": text}


def _moment(rng: np.random.Generator, clock: Sessions) -> pd.Timestamp:
    """A time of publication, UTC; sessions close early on some days, the news does not care."""
    day = pd.Timestamp(clock.dates[int(rng.integers(len(clock.dates) - 1))])
    slot = str(rng.choice(list(_HOURS), p=_SHARES))
    if slot == "weekend":
        day += pd.Timedelta(days=5 - day.weekday() + int(rng.integers(2)))
    hour = float(rng.uniform(*_HOURS[slot]))
    wall_clock = day + pd.Timedelta(minutes=int(hour * 60))
    return wall_clock.tz_localize("America/New_York").tz_convert("UTC")
