"""The rule barrier on one year of a large market, at once and day by day, with the approver behind it.

The ratio is against the same rules read row by row in plain Python: a loop over 2,000 rows, scaled by their number.
"""

from __future__ import annotations

from dataclasses import fields
from time import process_time
from typing import Any

import numpy as np

from glassbox_bt.decision.approver import PortfolioState, Requests, approve, signal_to_risk
from glassbox_bt.decision.barrier import BarrierInputs, BarrierResult, Rules, evaluate, reasons
from glassbox_bt.decision.limits import Limits
from glassbox_bt.types import FloatArray, IntArray
from tests.decision.cases import FAMILIES, FAMILY_OF, GOOD
from tests.decision.test_barrier import reference

N_DAYS, N_ASSETS, N_SLOW = 252, 2500, 2000


def test_barrier_rows_per_second() -> None:
    inputs = random_inputs((N_DAYS, N_ASSETS))
    evaluate(inputs, Rules())
    rows = N_DAYS * N_ASSETS

    started = process_time()
    result = evaluate(inputs, Rules())
    at_once = process_time() - started

    started = process_time()
    texts = reasons(result)
    in_words = process_time() - started

    started = process_time()
    daily = [evaluate(on_day(inputs, t), Rules()) for t in range(N_DAYS)]
    by_day = process_time() - started
    np.testing.assert_array_equal(daily[7].final_position_fraction, result.final_position_fraction[7])

    rng = np.random.default_rng(1)
    sector, correlation = rng.integers(0, 11, N_ASSETS), rng.uniform(-0.2, 0.75, (N_ASSETS, N_ASSETS))
    requests = [requests_of(day, sector, correlation) for day in daily]
    started = process_time()
    for asked in requests:
        approve(asked, PortfolioState.start(1e6), Limits())
    approving = process_time() - started

    first = on_day(inputs, 0)
    started = process_time()
    for i in range(N_SLOW):
        action, size, _ = reference(first, i, Rules())
        assert (result.final_recommendation[0, i], result.final_position_fraction[0, i]) == (action, size)
    loop = (process_time() - started) * rows / N_SLOW

    print(
        f"\n{N_ASSETS} names x {N_DAYS} days, one thread, CPU time"
        f"\nbarrier, all days at once         {at_once:8.3f} s  {rows / at_once:12,.0f} rows/s"
        f"\nbarrier, day by day               {by_day:8.3f} s  {rows / by_day:12,.0f} rows/s"
        f"\nreasons in words                  {in_words:8.3f} s  {rows / in_words:12,.0f} rows/s"
        f"\napprover, day by day              {approving:8.3f} s  {rows / approving:12,.0f} rows/s"
        f"\nplain Python, row by row (scaled) {loop:8.3f} s  {rows / loop:12,.0f} rows/s"
        f"\nratio plain Python / barrier      {loop / at_once:8.1f}"
    )
    assert texts.shape == (N_DAYS, N_ASSETS)


def random_inputs(shape: tuple[int, ...]) -> BarrierInputs:
    """Uniform scores, one answer in fifty of each family missing, one name in fifty held."""
    rng = np.random.default_rng(0)
    known = {family: rng.random(shape) > 0.02 for family in FAMILIES}
    values: dict[str, Any] = {name: np.round(rng.random(shape), 6) for name in GOOD}
    values["learned_recommendation"] = rng.integers(0, 3, shape).astype(np.float64)
    values["learned_fusion_signal"] = np.round(rng.uniform(-1.0, 1.0, shape), 6)
    values["recommended_capital_fraction"] *= 0.1
    values["max_single_stock_exposure"] = np.full(shape, 0.1)
    values["tradable"] = (rng.random(shape) > 0.02).astype(np.float64)
    values["regime_is_crisis"] = (rng.random(shape) > 0.95).astype(np.float64)
    for name, family in FAMILY_OF.items():
        values[name] = np.where(known[family], values[name], np.nan)
    values["held_weight"] = np.where(rng.random(shape) < 0.02, 0.04 * values["held_weight"], 0.0)
    return BarrierInputs(**values, **{f"{family}_known": mask for family, mask in known.items()})


def on_day(inputs: BarrierInputs, t: int) -> BarrierInputs:
    return BarrierInputs(**{field.name: getattr(inputs, field.name)[t] for field in fields(inputs)})


def requests_of(result: BarrierResult, sector: IntArray, correlation: FloatArray) -> Requests:
    inputs = result.inputs
    return Requests(
        requested=result.target_weight,
        held=inputs.held_weight,
        action=result.final_recommendation,
        priority=signal_to_risk(inputs.learned_fusion_signal, inputs.learned_fusion_risk_score),
        tradable=inputs.tradable == 1.0,
        left_universe=np.zeros(N_ASSETS, dtype=bool),
        exit_blocked=result.exit_blocked,
        dollar_volume=np.full(N_ASSETS, 1e8),
        sector=sector,
        correlation=correlation,
    )
