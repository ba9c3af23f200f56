"""Whom a text is about: names and issuers of the news table to names in ``prices``, by dated spells (D-TXT-03).

A row of ``ticker_map`` says that ``ticker``, or the issuer ``cik``, is ``price_ticker`` from ``start_date`` until before
``end_date``, on the exchange's clock; a side that is left out is open. A text that states its issuer goes by the issuer, any
other by its ticker. What the map speaks of is what the map says: outside its spells, or of another issuer, it is nobody
here, so that a ticker which somebody else uses later is not joined. A ticker that the map does not speak of is its own.

Where several names remain (share classes of one issuer) a stated ticker decides; otherwise the text is ambiguous. Ambiguous
and unmapped texts are counted and given to nobody, and never count as text about the market.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import pandas as pd

from glassbox_bt.errors import MarketDataError
from glassbox_bt.types import AnyArray, BoolArray

__all__ = ["Match", "matched"]

_EVER = (np.datetime64("1000-01-01", "D"), np.datetime64("9999-01-01", "D"))


class Match(IntEnum):
    """What was found for a row of news."""

    NAME = 0  # `ticker` is a name with prices
    MARKET_WIDE = 1  # it names nobody
    UNMAPPED = 2
    AMBIGUOUS = 3


def matched(news: pd.DataFrame, days: AnyArray, mapping: pd.DataFrame | None, priced: frozenset[str]) -> pd.DataFrame:
    """The news with ``ticker`` as in ``prices`` and a column ``match`` (`Match`), rows in place.

    Parameters
    ----------
    news : DataFrame
        Checked table of news.
    days : datetime64[D] array
        Day of publication of each row on the exchange's clock.
    mapping : DataFrame or None
        Checked ``ticker_map``.
    priced : frozenset of str
        Names in ``prices``.
    """
    asked = pd.DataFrame({"ticker": news["ticker"].to_numpy(dtype=object), "cik": _issuers(news), "day": days})
    spells = _spells(mapping)
    known_issuer = asked["cik"].isin(spells["cik"][spells["cik"] != ""])
    spoken_of = known_issuer | ((asked["ticker"] != "") & asked["ticker"].isin(spells["ticker"]))
    by_issuer = _within(asked[known_issuer], spells, "cik")
    by_ticker = _within(asked[spoken_of & ~known_issuer], spells, "ticker")
    another = (by_ticker["cik_of_spell"] != "") & (by_ticker["cik"] != "")  # an issuer that the map does not know
    one, several = _single(pd.concat([by_issuer, by_ticker[~another]]))
    match = np.full(len(news), Match.UNMAPPED, dtype=np.int8)
    match[((asked["ticker"] == "") & ~_states_issuer(news)).to_numpy()] = Match.MARKET_WIDE
    match[(~spoken_of & asked["ticker"].isin(priced)).to_numpy()] = Match.NAME
    match[several] = Match.AMBIGUOUS
    ticker = asked["ticker"].to_numpy(dtype=object).copy()
    here = one[one["price_ticker"].isin(priced)]
    ticker[here["row"]], match[here["row"]] = here["price_ticker"].to_numpy(dtype=object), Match.NAME
    return news.assign(ticker=ticker, match=match)


def _states_issuer(news: pd.DataFrame) -> BoolArray:
    """Rows whose ``cik`` says anything, be it the number 0, which is nobody's and yet no text about the market."""
    if "cik" not in news.columns:
        return np.zeros(len(news), dtype=bool)
    return (news["cik"].str.strip() != "").to_numpy(dtype=bool)


def _issuers(table: pd.DataFrame) -> AnyArray:
    """Issuer numbers without leading zeros, 0 is none; they are text, and some tables store them as numbers."""
    if "cik" not in table.columns:
        return np.full(len(table), "", dtype=object)
    plain: AnyArray = table["cik"].str.strip().str.replace(r"\.0$", "", regex=True).str.lstrip("0").to_numpy(dtype=object)
    return plain


def _spells(mapping: pd.DataFrame | None) -> pd.DataFrame:
    """``ticker, cik, price_ticker, start, end`` of the map, the sides of each spell closed."""
    if mapping is None:
        mapping = pd.DataFrame({name: np.zeros(0, dtype=object) for name in ("ticker", "price_ticker")})
    spells = pd.DataFrame(
        {
            "ticker": mapping["ticker"].to_numpy(dtype=object),
            "cik": _issuers(mapping),
            "price_ticker": mapping["price_ticker"],
        }
    )
    nobody = ((spells["ticker"] == "") & (spells["cik"] == "")).to_numpy()
    if nobody.any():
        raise MarketDataError(f"`ticker_map` row {int(nobody.argmax())} names neither a ticker nor a cik. Give one of them.")
    for side, column, open_end in (("start", "start_date", _EVER[0]), ("end", "end_date", _EVER[1])):
        given = mapping[column] if column in mapping.columns else pd.Series(pd.NaT, index=mapping.index)
        stamps = given.to_numpy().astype("datetime64[D]")
        spells[side] = np.where(np.isnat(stamps), open_end, stamps).astype("datetime64[s]")
    return spells


def _within(asked: pd.DataFrame, spells: pd.DataFrame, key: str) -> pd.DataFrame:
    """Each row with each spell of its ``key`` that holds on its day."""
    other = spells[spells[key] != ""].rename(columns={"ticker": "ticker_of_spell", "cik": "cik_of_spell"})
    pairs = asked.reset_index(names="row").merge(other, left_on=key, right_on=f"{key}_of_spell")
    return pairs[(pairs["start"] <= pairs["day"]) & (pairs["day"] < pairs["end"])]


def _single(pairs: pd.DataFrame) -> tuple[pd.DataFrame, AnyArray]:
    """Pairs of the rows that one name is left for, and the rows for which several are."""
    names = pairs.drop_duplicates(["row", "price_ticker"])
    crowd = names["row"].duplicated(keep=False)
    stated = pairs[pairs["row"].isin(names["row"][crowd]) & (pairs["ticker"] == pairs["ticker_of_spell"])]
    stated = stated.drop_duplicates(["row", "price_ticker"])
    stated = stated[~stated["row"].duplicated(keep=False)]
    one = pd.concat([names[~crowd], stated])
    return one, np.setdiff1d(names["row"].to_numpy(), one["row"].to_numpy())
