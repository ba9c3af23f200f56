"""Point-in-time views a day, against one bare copy of the same cells."""

from __future__ import annotations

from time import process_time

import numpy as np

from glassbox_bt.types import Read
from tests.builders import tiny_store

N_SESSIONS, N_ASSETS = 1250, 88
READS = (Read("log_return_1d", 504), Read("vol_21d", 30), Read("rsi_14", 30), Read("macd_hist", 30))


def test_views_per_second() -> None:
    store = tiny_store(n_sessions=N_SESSIONS, n_assets=N_ASSETS)
    assets = np.arange(N_ASSETS, dtype=np.int64)
    days = range(504, N_SESSIONS)

    started = process_time()
    seen = sum(store.view(day, READS, assets).window("log_return_1d", 504).size for day in days)
    viewing = process_time() - started

    started = process_time()
    copied = 0
    for day in days:
        for read in READS:
            block = store.columns[read.column][day - read.sessions + 1 : day + 1].copy()
            copied += block.size if read.sessions == 504 else 0
    copying = process_time() - started

    assert seen == copied
    n_days = len(days)
    print(
        f"\nviews of {N_ASSETS} names, {len(READS)} columns, up to 504 sessions, one thread, CPU time"
        f"\nviews        {viewing:8.3f} s  {n_days / viewing:10,.0f} views/s"
        f"\nbare copies  {copying:8.3f} s  {n_days / copying:10,.0f} /s"
        f"\nratio        {viewing / copying:8.1f}"
    )
