"""VaR and CVaR of every row of a large market, against pandas in the same process.

pandas gives VaR on 100 of the names and CVaR, which it has no kernel for, on one name and a tenth
of the sessions: its times are scaled by the number of rows.
"""

from __future__ import annotations

from time import process_time

import numpy as np
import pandas as pd

from glassbox_bt.modules._rolling import rolling_tails
from glassbox_bt.types import FloatArray

N_SESSIONS, N_ASSETS, N_PANDAS = 6285, 2500, 100
SESSIONS, MINIMUM, SHARES = 504, 100, (0.05, 0.01)


def test_rolling_tails_against_pandas() -> None:
    rng = np.random.default_rng(0)
    returns = 0.02 * rng.standard_normal((N_SESSIONS, N_ASSETS))
    returns[rng.random(returns.shape) < 0.01] = np.nan
    block = np.concatenate([np.full((SESSIONS - 1, N_ASSETS), np.nan), returns])
    at = np.arange(SESSIONS - 1, len(block))
    rolling_tails(block[:600, :2], at[:90], SESSIONS, MINIMUM, SHARES)  # compile

    started = process_time()
    tails = rolling_tails(block, at, SESSIONS, MINIMUM, SHARES)
    ours = process_time() - started

    started = process_time()
    rolling = pd.DataFrame(returns[:, :N_PANDAS]).rolling(SESSIONS, min_periods=MINIMUM)
    var_95, var_99 = (rolling.quantile(share).to_numpy() for share in SHARES)
    pandas = (process_time() - started) * N_ASSETS / N_PANDAS

    one = pd.Series(returns[: SESSIONS + N_SESSIONS // 10, 0])
    started = process_time()
    one.rolling(SESSIONS, min_periods=SESSIONS // 2).apply(mean_of_tail, raw=True)
    cvar = 2 * (process_time() - started) * N_SESSIONS * N_ASSETS / len(one)

    for level, expected in enumerate((var_95, var_99)):
        np.testing.assert_allclose(tails.quantile[level, :, :N_PANDAS], expected, atol=1e-15)
    rows = N_SESSIONS * N_ASSETS
    print(
        f"\n{N_ASSETS} names x {N_SESSIONS} sessions, window {SESSIONS}, one thread, CPU time"
        f"\nVaR + CVaR at two levels, here      {ours:8.1f} s  {rows / ours:12,.0f} rows/s"
        f"\nVaR at two levels, pandas (scaled)  {pandas:8.1f} s  {rows / pandas:12,.0f} rows/s"
        f"\nCVaR at two levels, pandas (scaled) {cvar:8.1f} s  {rows / cvar:12,.0f} rows/s"
        f"\nratio pandas VaR / here             {pandas / ours:8.1f}"
        f"\nratio pandas VaR + CVaR / here      {(pandas + cvar) / ours:8.1f}"
    )


def mean_of_tail(window: FloatArray) -> float:
    seen = window[np.isfinite(window)]
    return float(seen[seen <= np.quantile(seen, SHARES[0])].mean())
