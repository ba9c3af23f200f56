"""The embedded real market: 20 S&P 500 stocks and the index, 1996 to 2022, from what the dependencies carry. No download."""

from __future__ import annotations

import pandas as pd

from glassbox_bt.market.sources.raw import MarketMeta, RawMarket

__all__ = ["FIRST_DAY", "sp500"]

FIRST_DAY = "1996-01-02"
"""Prices before 2000 only serve look-back. Four years cover the universe's 504 sessions and GARCH's 1,000; earlier prices,
rounded to 3 decimals, move in steps of up to 1 % (AAPL at 0.26 in 1990)."""

CARD = (
    "20 large US stocks that were still listed and large at the end of 2022: survivors only, so results are biased upwards.",
    "Adjusted closes only: no open, high, low or volume. Fills are at the next close; nothing can be ranked by turnover.",
    "No text, no sectors, no delisted name, no membership table.",
    "Data end on 2022-12-28. Prices are rounded to 3 decimals, which quantises the small prices of early years.",
    "RRC repeats its last price on 13 % of its days (18 % of 1996, 22 % of 2000), which are not marked as missing.",
    "The benchmark is the S&P 500 price index: it carries no dividends, while the stocks do.",
    "VIX (2014 to 2019) and WTI oil (1986 to 2019) are the only macro series; VIX is known on the next session, oil a week "
    "later.",
)


def sp500() -> RawMarket:
    """Load it; needs skfolio and arch, reads packaged files only."""
    from arch.data import vix, wti
    from skfolio.datasets import load_sp500_dataset, load_sp500_index

    closes = pd.concat([load_sp500_dataset(), load_sp500_index()], axis=1).loc[FIRST_DAY:]
    closes.index.name = "date"
    prices = closes.reset_index().melt("date", var_name="ticker", value_name="close")
    prices = prices.sort_values(["ticker", "date"], kind="stable").reset_index(drop=True)
    macro = pd.concat([_series(vix.load(), "VIX_CLOSE"), _series(wti.load(), "DCOILWTICO")], ignore_index=True)
    meta = MarketMeta(
        name="sp500",
        price_basis="total_return",
        calendar="XNYS",
        currency="USD",
        benchmark="SP500",
        licence="packaged with skfolio (BSD-3-Clause) and arch (NCSA); original vendors not stated",
        known_at={"macro.VIX_CLOSE": "+1 sessions", "macro.DCOILWTICO": "+7 days"},
        card=CARD,
    )
    return RawMarket(meta=meta, prices=prices, macro=macro)


def _series(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """A one-column table of arch as tidy macro rows; its days without a value are left out."""
    values = table.iloc[:, 0].dropna()
    return pd.DataFrame({"date": values.index, "series": name, "value": values.to_numpy()})
