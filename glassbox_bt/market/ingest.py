"""From the raw tables of a market to a `MarketStore`.

1. Check the tables (`checks`), lay out the sessions of the exchange from the first bar to the last (`calendar`).
2. Pivot bars to panels (`panels`). Prices become total-return units: that bar's price x adj_close / close (R6); volume moves
   the other way, so that close x volume stays money. A missing bar is NaN. Only ``mark`` is carried forward, at most 5
   sessions (D-MKT-02).
3. Book out what stopped trading (`delisting`, R9).
4. Decide the universe month by month (`universe`), then the benchmark.
   Names that never enter it get no place on the asset axis.
5. Join macro as of each decision (`side_tables`); clock the text (`text`) and tell its events (`event_features`).
6. Derive features and labels; state everything the report should say in ``facts``.

The result is a pure function of the raw tables and the settings: no clock, no network, no randomness.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from glassbox_bt.errors import MarketDataError
from glassbox_bt.market.benchmark import benchmark_columns
from glassbox_bt.market.calendar import Sessions, sessions
from glassbox_bt.market.checks import check_market
from glassbox_bt.market.delisting import Delistings, book_out
from glassbox_bt.market.event_archive import rare_events
from glassbox_bt.market.event_features import event_columns, event_facts, event_records
from glassbox_bt.market.panels import Panels, build_panels
from glassbox_bt.market.side_tables import KnownAt, macro_columns, with_known_at
from glassbox_bt.market.sources.raw import RawMarket, fingerprint
from glassbox_bt.market.store import Label, MarketStore
from glassbox_bt.market.text import text_records
from glassbox_bt.market.universe import Trading, Universe, UniverseRule, build_universe
from glassbox_bt.types import AnyArray, BoolArray, FloatArray, IntArray

__all__ = ["build_store"]

Features = Mapping[str, Callable[[Mapping[str, AnyArray]], FloatArray]]

_LOOK_BACK = np.timedelta64(120, "D")  # sessions before the first bar, to date macro values and text that precede it


def build_store(
    raw: RawMarket,
    rule: UniverseRule | None = None,
    features: Features | None = None,
    delist_return: float = -0.30,
    *,
    complete: bool = True,
) -> MarketStore:
    """Build the store of one market.

    Parameters
    ----------
    raw : RawMarket
        Tables as the source gives them.
    rule : UniverseRule, optional
        Who may be bought; by default every name with 252 bars in the last 504 sessions.
    features : Mapping, optional
        Name to function of the session columns; by default `glassbox_bt.market.features.FEATURES`.
    delist_return : float, default=-0.30
        Return at which a name without a listing record is booked out, a fraction in [-1, 0] (R9).
    complete : bool, default=True
        False for a market as it once was on record; see `check_market`.

    Raises
    ------
    MarketDataError
        If the tables are refused; see `glassbox_bt.market.checks`.
    """
    if not -1.0 <= delist_return <= 0.0:
        raise MarketDataError(f"`delist_return` must lie in [-1, 0], got {delist_return}.")
    rule = rule or UniverseRule()
    checked = check_market(raw, complete=complete)
    market, flags = checked.raw, dict(checked.flags)
    days = market.prices["date"].to_numpy().astype("datetime64[D]")
    past = sessions(market.meta.calendar, days.min() - _LOOK_BACK, days.max())
    clock = Sessions(*(values[past.dates >= days.min()] for values in past))
    known_at = KnownAt(past, market.meta)
    panels = build_panels(market, clock)
    gone = book_out(panels, clock, _listings(market, known_at), delist_return)
    universe = _universe(market, clock, panels, gone, rule)
    facts = _facts(market, clock, panels, gone, rule)
    ever = _ever_members(universe, rule)
    panels, gone = panels.of(ever), gone.of(ever)
    text, text_facts = text_records(market, clock, known_at, panels.tickers)
    columns = _columns(panels, gone, universe.member[:, ever])
    columns |= {"month_start": _month_start(clock)}
    columns |= macro_columns(market, clock, known_at)
    columns |= benchmark_columns(market, clock, panels, columns, known_at)
    columns |= _features(columns, features)
    columns |= _market_state(market, columns, panels.tickers, clock, known_at)
    events = event_records(text) if market.news is not None else None
    columns |= {} if events is None else event_columns(events, clock.closes_at, len(ever))
    facts |= {} if events is None else {"events": event_facts(events)}
    flags |= {"sessions_without_any_bar": panels.empty_sessions, "bars_after_last_day": gone.bars_after_last_day}
    return MarketStore(
        dates=clock.dates,
        opens_at=clock.opens_at,
        decided_at=clock.closes_at,
        tickers=panels.tickers,
        columns=columns,
        labels=_labels(columns, clock, panels.has_opens),
        records=_records(market, known_at, universe, text) | _event_records(events, columns, clock),
        facts=facts | {"text": text_facts, "n_members": len(ever), "flags": flags, "fingerprint": fingerprint(raw)},
    )


def _listings(market: RawMarket, known_at: KnownAt) -> pd.DataFrame | None:
    if market.listings is None:
        return None
    return with_known_at(market.listings, "listings", "last_day", known_at, default="+1 sessions")


def _universe(market: RawMarket, clock: Sessions, panels: Panels, gone: Delistings, rule: UniverseRule) -> Universe:
    trading = Trading(
        is_observed=panels.is_observed,
        is_delisted=gone.is_delisted,
        dollar_volume=panels.raw_close * panels.raw_volume if panels.has_volume else None,
        raw_mark=panels.raw_mark if market.meta.price_basis == "raw" else None,
        in_index=None if market.membership is None else _in_index(market.membership, clock, panels.tickers),
    )
    return build_universe(clock.dates, clock.closes_at, panels.tickers, trading, rule)


def _in_index(membership: pd.DataFrame, clock: Sessions, tickers: tuple[str, ...]) -> BoolArray:
    """Dated membership on each session, (n_sessions, n_assets)."""
    inside = np.zeros((len(clock.dates), len(tickers)), dtype=bool)
    place = {ticker: at for at, ticker in enumerate(tickers)}
    ends = membership["end_date"] if "end_date" in membership.columns else pd.Series(pd.NaT, index=membership.index)
    spells = zip(membership["ticker"], membership["start_date"].to_numpy(), ends.to_numpy(), strict=True)
    for ticker, start, end in spells:
        if ticker in place:
            last = clock.dates[-1] + 1 if np.isnat(end) else end.astype("datetime64[D]")
            inside[(clock.dates >= start.astype("datetime64[D]")) & (clock.dates < last), place[ticker]] = True
    return inside


def _ever_members(universe: Universe, rule: UniverseRule) -> IntArray:
    """Positions of the names that are members at some time; the others get no place on the asset axis.

    No look-ahead: a view holds the names that were members by its last day, whatever else is on the axis.
    """
    ever = np.flatnonzero(universe.member.any(axis=0)).astype(np.int64)
    if len(ever) == 0:
        raise MarketDataError(
            f"No name ever enters the universe: it takes {rule.min_observed} bars within {rule.window} sessions, at the "
            "start of a month. Give a longer history or lower `min_observed`."
        )
    return ever


def _columns(panels: Panels, gone: Delistings, member: BoolArray) -> dict[str, AnyArray]:
    return {
        **panels.units,
        "raw_close": panels.raw_close,
        "raw_volume": panels.raw_volume,
        "mark": np.where(gone.is_delisted, np.nan, panels.mark),
        "is_observed": panels.is_observed.astype(np.float64),
        "tradable": panels.tradable.astype(np.float64),
        "member": member,
        "delist_price": gone.price,
        "delist_code": gone.code,
        "delisted": gone.is_delisted.astype(np.float64),
    }


def _month_start(clock: Sessions) -> FloatArray:
    months = clock.dates.astype("datetime64[M]")
    return np.append(True, months[1:] != months[:-1]).astype(np.float64)


def _features(columns: Mapping[str, AnyArray], features: Features | None) -> dict[str, AnyArray]:
    if features is None:
        from glassbox_bt.market.features import FEATURES

        features = FEATURES
    return {name: feature(columns) for name, feature in features.items()}


def _market_state(
    market: RawMarket, columns: Mapping[str, AnyArray], tickers: tuple[str, ...], clock: Sessions, known_at: KnownAt
) -> dict[str, AnyArray]:
    """Macro features (spec 3) and what the regimes' rule measures (spec 17)."""
    from glassbox_bt.market.macro import macro_features, refuse_early_rules
    from glassbox_bt.market.regime_labels import market_measures

    if market.macro is not None:
        refuse_early_rules(market.macro, known_at)
    state: dict[str, AnyArray] = dict(macro_features({"month_start": columns["month_start"], **columns}))
    return state | market_measures(columns, tickers, clock.closes_at, market.sectors)


def _labels(columns: Mapping[str, AnyArray], clock: Sessions, has_opens: bool) -> dict[str, Label]:
    from glassbox_bt.market.labels import build_labels
    from glassbox_bt.market.regime_labels import build_regime_labels
    from glassbox_bt.market.tail_labels import build_tail_labels

    outcomes = build_labels(columns, clock.closes_at, has_opens=has_opens)
    outcomes |= build_regime_labels(columns, clock.closes_at)
    return outcomes | build_tail_labels(columns, clock.closes_at, has_opens=has_opens)


def _records(market: RawMarket, known_at: KnownAt, universe: Universe, text: pd.DataFrame) -> dict[str, pd.DataFrame]:
    records = {"universe": universe.table}
    if market.news is not None:
        records["text"] = text
    if market.macro is not None:
        records["macro"] = with_known_at(market.macro, "macro", "date", known_at)
    if market.listings is not None:
        records["listings"] = with_known_at(market.listings, "listings", "last_day", known_at, default="+1 sessions")
    if market.sectors is not None:  # undated (NaT) serves constraints and tables only (R7)
        dated = "known_at" in market.sectors.columns
        records["sectors"] = market.sectors if dated else market.sectors.assign(known_at=np.datetime64("NaT", "ns"))
    return records


def _event_records(events: pd.DataFrame | None, columns: Mapping[str, AnyArray], clock: Sessions) -> dict[str, pd.DataFrame]:
    if events is None:
        return {}
    return {"events": events, "rare_events": rare_events(events, columns, clock.closes_at)}


def _facts(market: RawMarket, clock: Sessions, panels: Panels, gone: Delistings, rule: UniverseRule) -> dict[str, object]:
    meta = market.meta
    ranked = rule.size is not None and panels.has_volume
    listed = np.isfinite(panels.mark) & ~gone.is_delisted
    return {
        "name": meta.name,
        "calendar": meta.calendar,
        "currency": meta.currency,
        "licence": meta.licence,
        "price_basis": meta.price_basis,
        "benchmark": meta.benchmark or "equal weight of the universe",
        "returns": _returns(market),
        "has_opens": panels.has_opens,
        "has_volume": panels.has_volume,
        "fills": "next open" if panels.has_opens else "next close (close_to_close: the market has no opens)",
        "first_session": str(clock.dates[0]),
        "last_session": str(clock.dates[-1]),
        "n_sessions": len(clock.dates),
        "n_names": len(panels.tickers),
        "n_filled_cells": int((listed & ~panels.is_observed).sum()),
        "filled_share": float((listed & ~panels.is_observed).sum() / max(int(listed.sum()), 1)),
        "booked_out": {"listings": int((gone.code == 1).sum()), "assumed": int((gone.code == 2).sum())},
        "survivorship": _survivorship(panels, gone),
        "universe": {
            "rule": f"{rule.min_observed} bars in the last {rule.window} sessions, set monthly",
            "size": rule.size,
            "ranking": "63-session median dollar volume" if ranked else "none",
            "membership_table": market.membership is not None and rule.use_membership,
            "price_floor": 1.0 if meta.price_basis == "raw" else "not applied: prices are not raw (R6)",
        },
        "tables": sorted(market.tables()),
        "card": list(meta.card),
    }


def _returns(market: RawMarket) -> str:
    if market.meta.price_basis == "total_return" or "adj_close" in market.prices.columns:
        return "total return"
    missing = "splits and dividends are" if market.meta.price_basis == "raw" else "dividends are"
    return f"price only: there is no adj_close, so {missing} not in the returns"


def _survivorship(panels: Panels, gone: Delistings) -> str:
    stopped = int((gone.code > 0).any(axis=0).sum())
    if stopped == 0:
        return (
            f"No name of {len(panels.tickers)} stops trading within the data: survivors only, so results are biased upwards."
        )
    return f"{stopped} of {len(panels.tickers)} names stop trading within the data and are booked out."
