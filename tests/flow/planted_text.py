"""How well the text branch reads a synthetic market whose headlines have a known sign, and what it makes of one without."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from glassbox_bt.evaluation.dayblocks import DayMean, day_mean
from glassbox_bt.market.ingest import build_store
from glassbox_bt.market.sources.synthetic import SyntheticMarket
from glassbox_bt.market.sources.synthetic_record import SyntheticTruth
from glassbox_bt.plan import plan_from
from glassbox_bt.runs.artefacts import ArtefactStore
from glassbox_bt.walkforward.fitting import ChunkFitter
from tests.flow.tiny import tiny_table

__all__ = ["OUTCOME", "TextFound", "read_market"]

BRANCH = ("text_encoder", "sentiment", "news", "qualitative")
OUTCOME = "forward_excess_log_return_10d"
SETTINGS: dict[str, Any] = {
    "text_encoder": {"components": 32},
    "sentiment": {"hidden": 32, "representation": 16, "epochs": 8, "learning_rate": 2e-3, "min_documents": 100},
    "news": {
        **{"width": 16, "hidden": 16, "narrow": 8, "representation": 8, "epochs": 4, "learning_rate": 2e-3},
        **{"min_documents": 100},
    },
    "qualitative": {"hidden": 16, "epochs": 8, "min_rows": 200},
}
CHUNK = {
    "train": ["2011-01-03", "2016-12-30"],
    "validation": ["2017-01-03", "2017-12-29"],
    "test": ["2018-01-02", "2019-12-31"],
}


@dataclass(frozen=True, slots=True)
class TextFound:
    """What the branch found on test.

    Parameters
    ----------
    n_documents : int
        Documents of test with a sign.
    sign_accuracy, sign_low, sign_high : float
        Share of them whose sentiment is on the right side of the middle of its scale, with a 95 % Wilson interval.
    gain : DayMean
        Mean product of the qualitative score and the excess return in days' deviations, by day: what a unit of score earns.
    """

    n_documents: int
    sign_accuracy: float
    sign_low: float
    sign_high: float
    gain: DayMean


def read_market(folder: Path, engine: str, seed: int, **planted: Any) -> TextFound:
    """Fit the branch on a market of 40 names (``planted``: settings of `SyntheticMarket`) and look at its test years."""
    raw = SyntheticMarket(
        seed=seed, n_names=40, first="2010-01-04", last="2019-12-31", edge=0.0, halts=0, delistings=0, splits=0, **planted
    ).raw()
    settings = {**SETTINGS, "text_encoder": {**SETTINGS["text_encoder"], "engine": engine}}
    table = tiny_table(silent=["drawdown", "contagion", "regime"], chunks=[CHUNK], modules=settings, seed=seed)
    plan = plan_from(table)
    store = build_store(raw, plan.market.universe)
    fitter = ChunkFitter.of(plan, 1, store, ArtefactStore(folder), "cpu")
    for name in BRANCH:
        fitter.take(name, lambda _share: None)
    assert isinstance(raw.truth, SyntheticTruth)
    right = _right_signs(fitter, raw.truth)
    wilson = stats.binomtest(int(right.sum()), max(len(right), 1)).proportion_ci(0.95, "wilson")
    share = float(right.mean()) if len(right) else float("nan")
    return TextFound(len(right), share, float(wilson.low), float(wilson.high), _gain(fitter))


def _right_signs(fitter: ChunkFitter, truth: SyntheticTruth) -> Any:
    said = fitter.table("sentiment", "test")
    said = said[said["known"] & (said["ticker"] != "")].merge(truth.text_effects[["doc_id", "ticker", "sign"]])
    said = said[said["sign"] != 0]
    return np.sign(said["predicted_sentiment_score"].to_numpy()) == said["sign"].to_numpy()


def _gain(fitter: ChunkFitter) -> DayMean:
    days = fitter.days.test
    said = fitter.answers["qualitative"].on(days)
    label = fitter.store.labels[OUTCOME]
    came = label.on(days, fitter.assets)
    came[~(label.known_at[days] <= fitter.store.decided_at[days[-1]])] = np.nan
    came -= np.nanmean(np.where(np.isfinite(came).any(axis=1)[:, None], came, 0.0), axis=1)[:, None]  # among names, not days
    spread = pd.DataFrame(came).std(axis=1).to_numpy()[:, None]
    product = np.where(said.known, said.outputs["qualitative_score"], np.nan) * came / spread
    counted = np.isfinite(product)
    some = counted.any(axis=1)
    daily = np.where(counted, product, 0.0).sum(axis=1)[some] / counted.sum(axis=1)[some]
    return day_mean([daily], 10, 0.95)
