"""The kernel against one read of its inputs, bare vectorbt and bt, on the same job in one process.

The job: slow target weights for every name on every day, 1 bp commission and 5 bp half-spread. vectorbt and bt fill at the
close of the decision, so the kernel's opens are the closes before them. `sparse` is the kernel with its smallest trade of
0.25 % of equity, as a strategy runs it; vectorbt and bt trade every name daily, as `dense` does. CPU time, median of n.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import numpy as np
import pytest
from numba import njit

from glassbox_bt.portfolio.simulate import Bars, Costs, simulate
from glassbox_bt.types import AnyArray, FloatArray

DENSE = Costs(min_trade=0.0)
SPARSE = Costs()
VECTORBT_GB_PER_CELL = 6.5 / (2_500 * 6_285)


@dataclass(frozen=True)
class Job:
    bars: Bars
    targets: FloatArray

    @property
    def inputs(self) -> tuple[AnyArray, ...]:
        bars = self.bars
        return (bars.open, bars.mark, bars.tradable, bars.delist_price, bars.sigma, bars.adv_units, self.targets)


@pytest.mark.parametrize(("n_assets", "n_sessions", "n"), [(88, 1_250, 5), (500, 2_520, 3), (2_500, 6_285, 1)])
def test_kernel(n_assets: int, n_sessions: int, n: int) -> None:
    job = make_job(n_sessions, n_assets)
    book = simulate(job.bars, job.targets, DENSE)
    read(job)
    seconds = {
        "one read of the inputs": timed(lambda: read(job), n),
        "kernel, sparse": timed(lambda: simulate(job.bars, job.targets, SPARSE), n),
        "kernel, dense": timed(lambda: simulate(job.bars, job.targets, DENSE), n),
    }
    if available_gb() > 2.0 + VECTORBT_GB_PER_CELL * job.targets.size:
        by_vectorbt(make_job(20, 3))  # compile
        wealth: list[float] = []
        seconds["vectorbt, dense"] = timed(lambda: wealth.append(by_vectorbt(job)), n)
        assert wealth[0] == pytest.approx(book.equity[-1], rel=0.01)
    if n_assets == 88:
        seconds["bt, dense (n = 1)"] = timed(lambda: wealth.append(by_bt(job)), 1)
        assert wealth[-1] == pytest.approx(book.equity[-1], rel=0.01)
    print(f"\n{n_assets} names x {n_sessions} sessions, {len(book.fills):,} orders, one thread, CPU time, n = {n}")
    for name, value in seconds.items():
        print(
            f"{name:24} {value:10.4f} s  {value / seconds['one read of the inputs']:10.1f} x read"
            f"  {value / seconds['kernel, dense']:10.2f} x kernel"
        )
    if "vectorbt, dense" not in seconds:
        print("vectorbt was left out: it needs more memory than this machine has free")


def make_job(n_sessions: int, n_assets: int) -> Job:
    """Random walks; weights that forget 6 % of themselves a day."""
    rng = np.random.default_rng(0)
    shape = (n_sessions, n_assets)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, shape), axis=0))
    opened = np.concatenate([close[:1], close[:-1]])
    weights, state = np.empty(shape), np.zeros(n_assets)
    for t in range(n_sessions):
        state = 0.94 * state + 0.15 * rng.normal(size=n_assets)
        weights[t] = np.exp(state) / np.exp(state).sum()
    bars = Bars(
        open=opened,
        close=close,
        mark=close,
        tradable=np.ones(shape, dtype=bool),
        delist_price=np.full(shape, np.nan),
        sigma=np.zeros(shape),  # impact is computed, and is zero: the other engines have none
        adv_units=np.full(shape, 1e12),
    )
    return Job(bars, weights)


def timed(job: Callable[[], Any], n: int) -> float:
    seconds = []
    for _ in range(n):
        started = process_time()
        job()
        seconds.append(process_time() - started)
    return median(seconds)


def read(job: Job) -> float:
    return sum(_sum(values) for values in job.inputs)


@njit(cache=True)
def _sum(values: AnyArray) -> float:
    total = 0.0
    for t in range(values.shape[0]):
        for j in range(values.shape[1]):
            total += values[t, j]
    return total


def available_gb() -> float:
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) / 2**20


def by_vectorbt(job: Job) -> float:
    import pandas as pd
    import vectorbt as vbt

    portfolio = vbt.Portfolio.from_orders(
        close=pd.DataFrame(job.bars.close),
        size=job.targets,
        size_type="targetpercent",
        fees=1e-4,
        slippage=5e-4,
        init_cash=DENSE.capital,
        cash_sharing=True,
        group_by=True,
        call_seq="auto",
        freq="1D",
    )
    return float(portfolio.value().iloc[-1])


def by_bt(job: Job) -> float:
    import bt
    import pandas as pd

    days = pd.bdate_range("2000-01-03", periods=len(job.targets))
    names = [f"N{j}" for j in range(job.targets.shape[1])]
    weights = pd.DataFrame(job.targets, index=days, columns=names)
    prices = pd.DataFrame(job.bars.close, index=days, columns=names)
    strategy = bt.Strategy("job", [bt.algos.WeighTarget(weights), bt.algos.Rebalance()])
    test = bt.Backtest(
        strategy,
        prices,
        initial_capital=DENSE.capital,
        commissions=lambda units, price: abs(units) * price * 6e-4,
        integer_positions=False,
        progress_bar=False,
    )
    return float(bt.run(test, progress_bar=False).backtests["job"].strategy.values.iloc[-1])
