"""One epoch and one pass of answers of the contagion module, at the sizes of the shipped markets.

The network is the reduced one of quickstart. 20 and 88 names have tables of all pairs, 500 have lists of neighbours. Bytes
are those of the tensors that a step makes, forwards and backwards.
"""

from __future__ import annotations

from time import process_time

import numpy as np
import pytest
import torch

from glassbox_bt.market.view import Span
from glassbox_bt.modules._blocks import to_batch
from glassbox_bt.modules._contagion_inputs import Panel
from glassbox_bt.modules._contagion_network import answered, tail_loss
from glassbox_bt.modules._contagion_rows import DayRows, Graphs, ask_days
from glassbox_bt.modules.risk.contagion import StemGnnContagion
from tests.benchmarks.made import Made

MODULE = StemGnnContagion(hidden=8, multi=2, blocks=1, terms=3, dropout=0.2)
LOOK_BACK = MODULE.reads[0].sessions
DAYS = 63  # a quarter; larger counts scale


def span(n_names: int) -> Span:
    rng = np.random.default_rng(0)
    common = 0.008 * rng.standard_normal((LOOK_BACK + DAYS - 1, 1))
    returns = common + 0.012 * rng.standard_t(4, size=(len(common), n_names))
    days = np.arange(LOOK_BACK, LOOK_BACK + DAYS)
    return Span(
        days=days,
        dates=np.datetime64("2012-01-02") + days,
        as_of=(np.datetime64("2012-01-02") + days).astype("datetime64[ns]"),
        tickers=tuple(f"N{number:04d}" for number in range(n_names)),
        member=np.ones((DAYS, n_names), dtype=bool),
        reads={read.column: read.sessions for read in MODULE.reads},
        blocks={"log_return_1d": returns, "benchmark_log_return_1d": common[-(252 + DAYS - 1) :, 0]},
    )


@pytest.mark.parametrize("n_names", [20, 88, 500])
def test_an_epoch_and_a_pass(n_names: int) -> None:
    given = span(n_names)
    Graphs.of(Panel.of(span(3), MODULE.look), MODULE.shape)  # compile
    started = process_time()
    panel = Panel.of(given, MODULE.look)
    graphs = Graphs.of(panel, MODULE.shape)
    prepared = process_time() - started

    torch.set_num_threads(1)
    network = MODULE.network()
    extras = {"anchor": np.full((DAYS, n_names, 3), -3.0), "event": np.zeros((DAYS, n_names, 3))}
    rows = DayRows.of(panel, graphs, np.arange(DAYS), extras)
    started = process_time()
    for start in range(0, DAYS, 16):
        batch = to_batch(rows.take(np.arange(start, min(start + 16, DAYS)), np.random.default_rng(0)), "cpu")
        tail_loss(network, batch).backward()  # type: ignore[no-untyped-call]
    epoch = process_time() - started
    with Made() as made:
        tail_loss(network, batch).backward()  # type: ignore[no-untyped-call]
    per_day = made.n_bytes / len(batch["window"])

    network.eval()
    started = process_time()
    n_answers = sum(said[..., 0].size for _, _, said, _ in ask_days(lambda one: answered(network, one), panel, graphs))
    passed = process_time() - started
    assert n_answers == DAYS * n_names
    print(
        f"\n{n_names} names x {DAYS} days, one thread, CPU time"
        f"\ninputs and graphs  {prepared:8.2f} s"
        f"\nan epoch           {epoch:8.2f} s  {DAYS * n_names / epoch:10,.0f} name-days/s"
        f"  {per_day / 1e6:8.1f} MB a day  {per_day * DAYS / epoch / 1e9:6.2f} GB/s"
        f"\na pass of answers  {passed:8.2f} s  {DAYS * n_names / passed:10,.0f} name-days/s"
    )
