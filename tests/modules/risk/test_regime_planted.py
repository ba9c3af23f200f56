"""On markets with regimes the module foresees more than persistence; on markets without it gains nothing."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from glassbox_bt.market.store import Label, MarketStore
from glassbox_bt.modules._regime_fitted import CHANCES, per_day
from glassbox_bt.modules._regime_model import log_losses
from glassbox_bt.modules.base import FitContext
from glassbox_bt.modules.risk.regime import FittedRegime, MtgnnRegime
from glassbox_bt.types import AnyArray, FloatArray
from tests.modules.risk.regime_cases import CONTEXT, SMALL, below, gains, interval, regime_market, tiny

SEEDS = (0, 1, 2)


@cache
def gain_over(rival: str, n_regimes: int) -> FloatArray:
    """Gains of all markets, one after the other."""
    return np.concatenate([trial(n_regimes, seed)[rival] for seed in SEEDS])


@cache
def trial(n_regimes: int, seed: int) -> dict[str, FloatArray]:
    """Fitted on seven years, asked about the next five."""
    store, module = regime_market(n_regimes, seed), MtgnnRegime(variant="anchor")
    train, test = store.sessions_between("2000-01-01", "2006-12-31"), store.sessions_between("2007-01-01", "2011-12-30")
    assets = np.arange(store.n_assets)
    view = store.train_view(train, module.reads, module.learns_from, assets)
    found = module.fit(view, FitContext(seed=1, module="regime", chunk=1, fold=5))[0].fitted
    assert isinstance(found, FittedRegime)
    later = store.train_view(test, module.reads, module.learns_from, assets)
    answers = found.predict_many(later)
    return {rival: gains(found, answers, later.labels, rival) for rival in ("persistence", "base_rate")}


def test_it_beats_persistence_where_there_are_regimes() -> None:
    gain = gain_over("persistence", 3)
    assert interval(gain)[0] > 0.0, interval(gain)
    assert interval(gain_over("base_rate", 3))[0] > 0.05


def test_it_gains_nothing_where_there_are_none() -> None:
    gain = gain_over("persistence", 1)
    assert gain.mean() < 0.01
    assert interval(gain)[0] < 0.0
    assert interval(gain_over("base_rate", 1))[0] < 0.0


@cache
def told_by_embeddings() -> tuple[MarketStore, AnyArray]:
    """A market whose next regime stands in one number of the embeddings of its names, and nowhere else."""
    store = tiny()
    calm = (np.sin(np.arange(store.n_sessions) / 7.0) > 0.0).astype(np.float64)
    embedding = 0.3 * np.random.default_rng(5).standard_normal((store.n_sessions, store.n_assets, 4))
    embedding[..., 0] += 2.0 * calm[:, None] - 1.0
    vol = store.labels["forward_market_vol_21d"]
    planted = np.where(np.isfinite(vol.values), np.where(calm > 0.5, 0.01, 9.0), np.nan)
    quiet = {name: Label(np.where(np.isfinite(one.values), 0.0, np.nan), one.known_at) for name, one in store.labels.items()}
    labels = {
        **store.labels,
        **{n: quiet[n] for n in quiet if n.startswith("forward_graph") or n == "forward_market_drawdown_63d"},
    }
    labels["forward_market_vol_21d"] = Label(planted, vol.known_at)
    return replace(store, labels=labels), embedding.astype(np.float32)


def test_the_network_finds_what_only_the_names_know() -> None:
    store, embedding = told_by_embeddings()
    module = MtgnnRegime(**{**SMALL, "epochs": 30, "patience": 10})
    columns = {n: replace(one, values=embedding) for n, one in below(store, module).items()}
    days, later = np.arange(130, 430), np.arange(452, 519)
    assets = np.arange(store.n_assets)
    found = module.fit(store.train_view(days, module.reads, module.learns_from, assets, columns), CONTEXT)[0]
    assert isinstance(found.fitted, FittedRegime)
    assert "regime" in found.summary["network_speaks_on"]  # type: ignore[operator]
    view = store.train_view(np.arange(452, 540), module.reads, module.learns_from, assets, columns)
    answers = found.fitted.predict_many(view)
    wanted = found.fitted.outcomes(view.labels)
    ours, alone = (
        np.nanmean(log_losses(np.stack([per_day(answers, f"{n}{end}") for n in CHANCES], -1), wanted)[: len(later)])
        for end in ("_raw", "_anchor_raw")
    )
    assert ours < 0.7 * alone
