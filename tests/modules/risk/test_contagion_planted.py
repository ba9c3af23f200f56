"""On markets where shocks travel, the module finds along which edges and gains by it; where they do not, neither.

The settings were tried on the markets of seeds 101 and 102. Markets 1 to 5 were looked at while the module was made, and the
quick tests on 1 to 3 keep it from getting worse. The proof is the slow one: the first five markets from 6 on in which enough
names are left to learn from (in 7 the module abstains), drawn once the module was as it is. One market holds too few losses
for a verdict, so they are judged together.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest

from glassbox_bt.modules.base import FitContext
from glassbox_bt.modules.risk.contagion import FittedContagion, StemGnnContagion
from glassbox_bt.types import BoolArray, FloatArray
from tests.modules.risk.contagion_cases import linked, planted
from tests.modules.risk.contagion_scores import Told, auroc_of, gain, influence

FEW, ALL = (1, 2, 3), (6, 8, 9, 10, 11)
HORIZON = 5  # a shock is passed on within five sessions
N_NAMES, PASSED_ON = 16, 0.4
TRAIN, TEST, LAST = ("2002-01-01", "2008-12-31"), ("2009-01-01", "2012-12-31"), "2013-06-30"
SETTINGS: dict[str, Any] = {
    **{"hidden": 4, "multi": 1, "blocks": 1, "terms": 3, "dropout": 0.5, "shuffles": 19, "epochs": 10},
    **{"batch_size": 16, "learning_rate": 1e-2, "patience": 8, "rows_share": 0.34},
}


@dataclass(frozen=True, eq=False)
class Trial:
    """A fit, its answers to the test years and what came of them, and its influences beside the planted edges."""

    fitted: FittedContagion
    told: Told
    expected: float  # events before calibration over those that came
    influence: FloatArray
    linked: BoolArray


@cache
def trial(seed: int, passed_on: float) -> Trial:
    store, truth = planted.__wrapped__(N_NAMES, passed_on, seed, LAST)
    module = StemGnnContagion(**SETTINGS)
    assets = np.arange(store.n_assets)
    train, test = store.sessions_between(*TRAIN), store.sessions_between(*TEST)
    view = store.train_view(train, module.reads, module.learns_from, assets)
    fitted = module.fit(view, FitContext(seed=1, module=module.name, chunk=1, fold=5))[0].fitted
    assert isinstance(fitted, FittedContagion)
    answers = fitted.predict_many(store.span(test, module.reads, assets))
    event = store.labels[f"tail_event_{HORIZON}d"].values[test]
    raw = np.where(np.isfinite(event), answers.outputs[f"contagion_{HORIZON}d_raw"], np.nan)
    return Trial(
        fitted,
        Told.of(answers, event, HORIZON),
        float(np.nanmean(raw) / np.nanmean(event)),
        influence(answers, store.tickers),
        linked(truth, store.tickers),
    )


def tell(capsys: pytest.CaptureFixture[str], words: str) -> None:
    """On the terminal; the figures of record 0032 are read there."""
    with capsys.disabled():
        sys.stdout.write(f"\n{words}\n")


@pytest.mark.parametrize("seeds", [FEW, pytest.param(ALL, marks=pytest.mark.slow)], ids=["few", "all"])
def test_it_gains_where_shocks_travel(seeds: tuple[int, ...], capsys: pytest.CaptureFixture[str]) -> None:
    made = [trial(seed, PASSED_ON) for seed in seeds]
    found = gain([one.told for one in made])
    tell(capsys, f"shocks passed on, markets {seeds}: {found}; alone: {[gain([one.told]).beats for one in made]}")
    assert found.beats, found


@pytest.mark.parametrize("seeds", [FEW, pytest.param(ALL, marks=pytest.mark.slow)], ids=["few", "all"])
def test_its_influencers_are_the_planted_neighbours(seeds: tuple[int, ...], capsys: pytest.CaptureFixture[str]) -> None:
    made = [trial(seed, PASSED_ON) for seed in seeds]
    auroc, (low, high) = auroc_of([(one.influence, one.linked) for one in made])
    tell(capsys, f"planted neighbours, markets {seeds}: AUROC {auroc:.3f} [{low:.3f}, {high:.3f}]")
    assert auroc > 0.8
    assert low > 0.7


def test_influence_without_knowledge_of_the_edges_ranks_none() -> None:
    """The measure is a half for influences that are drawn at random."""
    made, rng = trial(FEW[0], PASSED_ON), np.random.default_rng(0)
    _, (low, high) = auroc_of([(rng.random(made.linked.shape), made.linked) for _ in range(5)])
    assert low < 0.5 < high


def test_its_probabilities_are_not_inflated_d_stm_06() -> None:
    """Log loss without class weights: what is expected is near what came, before any calibration."""
    for seed in FEW:
        assert 0.6 < trial(seed, PASSED_ON).expected < 1.6


@pytest.mark.parametrize("seeds", [FEW[:1], pytest.param(ALL, marks=pytest.mark.slow)], ids=["few", "all"])
def test_it_gains_nothing_where_they_stay(seeds: tuple[int, ...], capsys: pytest.CaptureFixture[str]) -> None:
    found = gain([trial(seed, 0.0).told for seed in seeds])
    tell(capsys, f"shocks stay, markets {seeds}: {found}")
    assert not found.beats, found


@pytest.mark.slow
def test_it_says_more_often_that_it_uses_its_neighbours_where_shocks_travel() -> None:
    """The permutation test is a hint, no proof; on markets 1 to 5 it was right on four and wrong on two of the others."""
    middle = {share: np.median([trial(seed, share).fitted.structure_p for seed in ALL]) for share in (PASSED_ON, 0.0)}
    assert middle[PASSED_ON] <= 0.1 < middle[0.0]
