"""On a market where shocks travel, the module finds along which edges and gains by it; on one where they do not, neither."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest

from glassbox_bt.market.store import MarketStore
from glassbox_bt.modules.base import Candidate, FitContext
from glassbox_bt.modules.risk.contagion import FittedContagion, StemGnnContagion
from glassbox_bt.types import Answers, FloatArray
from tests.modules.risk.contagion_cases import linked, planted
from tests.modules.risk.contagion_scores import gain, influence_auroc

HORIZON = 5  # a shock is passed on within five sessions
SETTINGS: dict[str, Any] = {
    **{"hidden": 8, "multi": 2, "blocks": 1, "terms": 3, "dropout": 0.2, "shuffles": 19},
    **{"batch_size": 16, "learning_rate": 3e-3, "patience": 8, "rows_share": 0.34},
}


@dataclass(frozen=True)
class Size:
    """How large a market is and how long it is learned from."""

    n_names: int
    seed: int
    train: tuple[str, str]
    test: tuple[str, str]
    epochs: int

    @property
    def last(self) -> str:
        """Past the test by the longest outcome."""
        return f"{int(self.test[1][:4]) + 1}-06-30"


@dataclass(frozen=True)
class Trial:
    """A fit, its answers on the test years and what came of them."""

    candidate: Candidate
    answers: Answers
    event: FloatArray
    tickers: tuple[str, ...]
    seconds: float


SMALL = Size(16, 2, ("2003-01-01", "2008-12-31"), ("2009-01-01", "2010-12-31"), 10)
FULL = Size(30, 1, ("2002-01-01", "2009-12-31"), ("2010-01-01", "2012-12-31"), 14)


@cache
def trial(size: Size, contagion: float) -> Trial:
    store, _ = planted(size.n_names, contagion, size.seed, size.last)
    module = StemGnnContagion(**SETTINGS, epochs=size.epochs)
    assets = np.arange(store.n_assets)
    train, test = store.sessions_between(*size.train), store.sessions_between(*size.test)
    view = store.train_view(train, module.reads, module.learns_from, assets)
    started = time.process_time()
    candidate = module.fit(view, FitContext(seed=1, module=module.name, chunk=1, fold=5))[0]
    seconds = time.process_time() - started
    answers = candidate.fitted.predict_many(store.span(test, module.reads, assets))
    return Trial(candidate, answers, outcomes(store, test), store.tickers, seconds)


def outcomes(store: MarketStore, days: Any) -> FloatArray:
    return store.labels[f"tail_event_{HORIZON}d"].values[days]


def fit_of(made: Trial) -> FittedContagion:
    assert isinstance(made.candidate.fitted, FittedContagion)
    return made.candidate.fitted


def test_it_gains_where_shocks_travel() -> None:
    made = trial(SMALL, 0.4)
    found = gain(made.answers, made.event, HORIZON)
    assert found.beats, found
    assert fit_of(made).speaks[0] == 1.0
    assert fit_of(made).structure_p <= 0.1


def test_its_probabilities_are_not_inflated_d_stm_06() -> None:
    """Log loss without class weights: what is expected is near what came, before any calibration."""
    made = trial(SMALL, 0.4)
    raw = made.answers.outputs[f"contagion_{HORIZON}d_raw"]
    assert 0.6 < np.nanmean(raw) / np.nanmean(made.event) < 1.6


def test_its_influencers_are_the_planted_neighbours() -> None:
    made = trial(SMALL, 0.4)
    _, truth = planted(SMALL.n_names, 0.4, SMALL.seed, SMALL.last)
    auroc, (low, _) = influence_auroc(made.answers, made.tickers, linked(truth, made.tickers))
    assert auroc > 0.7
    assert low > 0.5


def test_it_gains_nothing_where_they_stay() -> None:
    made = trial(SMALL, 0.0)
    found = gain(made.answers, made.event, HORIZON)
    assert not found.beats, found
    assert fit_of(made).structure_p > 0.1  # and says that it does not use its neighbours


@pytest.mark.slow
def test_it_gains_where_shocks_travel_at_full_size() -> None:
    made = trial(FULL, 0.4)
    found = gain(made.answers, made.event, HORIZON)
    assert found.beats, found
    assert fit_of(made).structure_p <= 0.1
    assert made.seconds < 60.0
    _, truth = planted(FULL.n_names, 0.4, FULL.seed, FULL.last)
    auroc, (low, _) = influence_auroc(made.answers, made.tickers, linked(truth, made.tickers))
    assert auroc > 0.75
    assert low > 0.6


@pytest.mark.slow
def test_it_gains_nothing_where_they_stay_at_full_size() -> None:
    made = trial(FULL, 0.0)
    found = gain(made.answers, made.event, HORIZON)
    assert not found.beats, found
    assert fit_of(made).structure_p > 0.1  # and says that it does not use its neighbours
