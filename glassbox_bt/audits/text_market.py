"""Two things about the text of a market that a reader of its results should know: copies, and what its presence means.

1. A text of test that stands word for word in train was read with its outcome known. Counted by document and name; a note
   where more than one in a hundred is such a copy.
2. If names with text fare otherwise than names without, whatever the text says, then a branch that is right on average may
   only have learned that text is there. The difference of the mean excess return over ten sessions, day by day, over blocks
   of 20 sessions; a note where it lies 2.58 of its standard errors from zero (99 %).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from glassbox_bt.audits.base import Check, Metric, not_asked
from glassbox_bt.audits.case import Case
from glassbox_bt.audits.rows import Where
from glassbox_bt.audits.text_rows import text_of, text_store
from glassbox_bt.market.documents import MARKET_WIDE
from glassbox_bt.types import BoolArray, FloatArray, IntArray

__all__ = ["copied_text", "presence"]

COPIES = 0.01
LABEL, BLOCK, FEWEST, CLEAR = "forward_excess_log_return_10d", 20, 8, 2.58
Told = tuple[list[Check], list[Metric]]


def copied_text(case: Case) -> Told:
    """Documents of test with a text that train has, by chunk."""
    checks: list[Check] = []
    metrics: list[Metric] = []
    store = text_store(case)
    for number, days in case.chunks.items():
        train, test = (text_of(store, part) for part in (days.train, days.test))
        again = test["body"].isin(set(train["body"])).groupby(test["document"]).all()
        where, n = Where("market", number, "test", test), int(again.sum())
        share = n / len(again) if len(again) else 0.0
        fault = f"{n} of {len(again)} documents of test stand word for word in train" if share > COPIES else ""
        checks.append(where.fault("copies across parts", "body", fault, hard=False))
        good = "note" if fault else "pass"
        metrics.append(
            Metric("share of test documents in train", "market", number, "test", round(share, 6), "<= 0.01", good)
        )
    return checks, metrics


def presence(case: Case) -> Told:
    """Whether names with a document on a test day fare otherwise than those without."""
    checks: list[Check] = []
    metrics: list[Metric] = []
    for number, days in case.chunks.items():
        daily = _differences(case, days.test, days.first, days.last)
        n_blocks = len(daily) // BLOCK
        where = Where("market", number, "test", pd.DataFrame())
        if n_blocks < FEWEST:
            why = f"{len(daily)} sessions of test have names with and without text, {FEWEST * BLOCK} are needed"
            checks.append(not_asked("presence of text and outcome", "market", LABEL, why, number))
            continue
        means = daily[: n_blocks * BLOCK].reshape(n_blocks, BLOCK).mean(axis=1)
        mean, error = float(means.mean()), float(means.std(ddof=1) / np.sqrt(n_blocks))
        far = abs(mean) >= CLEAR * error
        said = f"names with text return {mean:+.5f} more over ten sessions than those without, error {error:.5f}"
        checks.append(where.fault("presence of text and outcome", LABEL, said if far else "", hard=False))
        verdict = "note" if far else "pass"
        metrics.append(
            Metric("excess return with text less without", "market", number, "test", round(mean, 6), None, "reported")
        )
        within = f"within {CLEAR} errors of 0"
        metrics.append(Metric("its standard error", "market", number, "test", round(error, 6), within, verdict))
    return checks, metrics


def _differences(case: Case, test: IntArray, first: int, last: int) -> FloatArray:
    """Mean outcome of names with a document less that of names without, of each day that has both, (n_days,)."""
    store = text_store(case)
    label = store.labels.get(LABEL)
    if label is None:
        return np.zeros(0)
    assets = store.assets_until(first, last)
    outcome = label.on(test, assets)
    outcome[~(label.known_at[test] <= store.decided_at[test[-1]])] = np.nan
    outcome[~store.member[np.ix_(test, assets)]] = np.nan
    told: BoolArray = np.zeros((store.n_sessions, store.n_assets + 1), dtype=bool)
    frame = store.text.frame
    told[frame["session"].to_numpy(), frame["asset"].to_numpy()] = True  # MARKET_WIDE, -1, is the last place
    assert MARKET_WIDE == -1
    there = told[np.ix_(test, assets)]
    sides = [np.where(here, outcome, np.nan) for here in (there, ~there)]
    both = np.all([np.isfinite(one).any(axis=1) for one in sides], axis=0)
    with_text, without = (np.nanmean(one[both], axis=1) for one in sides)
    return np.asarray(with_text - without, dtype=np.float64)
