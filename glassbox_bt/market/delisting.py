"""Booking out what stopped trading (R9).

A close is carried for 5 sessions. On the sixth session without a bar the name is booked out at its last close x
(1 + ``delist_return``), whether or not it comes back later: nobody could know. A record in ``listings`` books it out
earlier, on the first session after its last day on which the record was known, at its own return. The end of the data is
no delisting: a name whose last bar is at most 5 sessions before the end is still held.

A name that trades again is a new listing: it returns to the universe by the universe's rule.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from glassbox_bt.market.calendar import Sessions, first_session_after
from glassbox_bt.market.panels import FILL_LIMIT, Panels, sessions_since_bar
from glassbox_bt.types import BoolArray, FloatArray, IntArray

__all__ = ["ASSUMED", "LISTED", "Delistings", "book_out"]

LISTED, ASSUMED = 1, 2  # codes of `delist_code`: by listings.csv, by assumption


@dataclass(frozen=True, slots=True, eq=False)
class Delistings:
    """Each (n_sessions, n_assets); row *t* uses only what was known at the decision of *t*."""

    price: FloatArray  # total-return units, on the session a name is booked out, else NaN
    code: FloatArray  # 0, LISTED or ASSUMED on that session
    is_delisted: BoolArray  # from that session until the name trades again
    bars_after_last_day: int  # listings that were contradicted by a bar, and so ignored

    def of(self, assets: IntArray) -> Delistings:
        """The same for some names only."""
        return replace(
            self,
            price=self.price[:, assets],
            code=self.code[:, assets],
            is_delisted=self.is_delisted[:, assets],
        )


def book_out(panels: Panels, clock: Sessions, listings: pd.DataFrame | None, assumed_return: float) -> Delistings:
    """Find every booking-out.

    Parameters
    ----------
    listings : DataFrame or None
        ``ticker, last_day, delist_return, known_at`` (UTC).
    assumed_return : float
        Return of names without a record, a fraction in [-1, 0].
    """
    since = sessions_since_bar(panels.is_observed)
    price, code = np.full(since.shape, np.nan), np.zeros(since.shape)
    contradicted = 0
    for ticker, after, known, delist_return in _announced(listings, clock):
        if ticker not in panels.tickers:
            continue
        asset, day = panels.tickers.index(ticker), max(after, known)
        if day >= len(clock.dates) or since[day, asset] > FILL_LIMIT:
            continue  # not known within the data, or too late: already booked out by assumption
        if since[day, asset] <= 0:
            contradicted += 1
            continue
        price[day, asset] = panels.mark[day, asset] * (1.0 + delist_return)
        code[day, asset] = LISTED
    _assume(panels, since, price, code, assumed_return)
    return Delistings(price, code, _until_next_bar(code > 0, panels.is_observed), contradicted)


def _announced(listings: pd.DataFrame | None, clock: Sessions) -> list[tuple[str, int, int, float]]:
    """Ticker, first session after its last day, first session that knows of it, return."""
    if listings is None:
        return []
    last_days = listings["last_day"].to_numpy().astype("datetime64[D]")
    after = np.searchsorted(clock.dates, last_days, side="right").tolist()
    known = first_session_after(listings["known_at"].to_numpy(), clock.closes_at).tolist()
    return list(zip(listings["ticker"], after, known, listings["delist_return"].tolist(), strict=True))


def _assume(panels: Panels, since: IntArray, price: FloatArray, code: FloatArray, assumed_return: float) -> None:
    """Write the assumed bookings of gaps that no listing has booked out before."""
    days, assets = np.nonzero(since == FILL_LIMIT + 1)
    for day, asset in zip(days, assets, strict=True):
        if not code[day - FILL_LIMIT : day, asset].any():
            price[day, asset] = panels.mark[day - 1, asset] * (1.0 + assumed_return)
            code[day, asset] = ASSUMED


def _until_next_bar(booked: BoolArray, is_observed: BoolArray) -> BoolArray:
    number = np.arange(len(booked))[:, None]
    last_booked = np.maximum.accumulate(np.where(booked, number, -1), axis=0)
    last_bar = np.maximum.accumulate(np.where(is_observed, number, -1), axis=0)
    return (last_booked >= 0) & (last_booked > last_bar)
