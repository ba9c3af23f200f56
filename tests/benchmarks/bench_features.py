"""Every feature of a large market, against pandas rolling windows of some of them in one process.

pandas computes four of the windowed features, and on 100 of the names: its time is scaled by the
number of names.
"""

from __future__ import annotations

from time import process_time

import numpy as np
import pandas as pd

from glassbox_bt.market.features import FEATURES
from glassbox_bt.types import FloatArray
from tests.builders import base_columns

N_SESSIONS, N_ASSETS, N_PANDAS = 6285, 2500, 100
COMPARED = ("vol_21d", "bb_pos", "adv_21d", "spy_corr_63d")


def test_features_of_a_large_market() -> None:
    columns = base_columns(N_SESSIONS, N_ASSETS)
    few = {name: v[:300, :2] if v.ndim > 1 else v[:300] for name, v in columns.items()}
    seconds: dict[str, float] = {}
    for name, feature in FEATURES.items():
        feature(few)  # compile
        started = process_time()
        feature(columns)
        seconds[name] = process_time() - started
    some = {name: v[:, :N_PANDAS] if v.ndim > 1 else v for name, v in columns.items()}
    started = process_time()
    expected = by_pandas(some)
    pandas = (process_time() - started) * N_ASSETS / N_PANDAS
    for name in COMPARED:
        complete = np.arange(N_PANDAS) > 3  # names without gaps; pandas has other minima
        np.testing.assert_allclose(FEATURES[name](some)[:, complete], expected[name][:, complete], atol=1e-9, rtol=1e-7)
    rows, total = N_SESSIONS * N_ASSETS, sum(seconds.values())
    ours = sum(seconds[name] for name in COMPARED)
    print(f"\n{N_ASSETS} names x {N_SESSIONS} sessions, one thread, CPU time")
    for name, value in seconds.items():
        print(f"{name:24} {value:8.1f} s")
    print(
        f"all {len(FEATURES)} features          {total:8.1f} s  {rows / total:12,.0f} rows/s"
        f"\nfour of them, here       {ours:8.1f} s"
        f"\nfour, pandas (scaled)    {pandas:8.1f} s"
        f"\nratio pandas / here      {pandas / ours:8.1f}"
    )


def by_pandas(columns: dict[str, FloatArray]) -> dict[str, FloatArray]:
    close = pd.DataFrame(columns["close"])
    returns = close.apply(np.log).diff()
    benchmark = pd.Series(columns["benchmark_log_return_1d"])
    mean, sd = close.rolling(20).mean(), close.rolling(20).std()
    money = close * columns["volume"]
    return {
        "vol_21d": (returns.rolling(21).std() * np.sqrt(252)).to_numpy(),
        "bb_pos": ((close - (mean - 2 * sd)) / (4 * sd)).to_numpy(),
        "adv_21d": money.rolling(21).median().to_numpy(),
        "spy_corr_63d": returns.rolling(63).corr(benchmark).to_numpy(),
    }
