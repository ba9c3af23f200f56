"""One noise market through the whole stack, gross of costs, clean or with a planted leak; and many of them, told in a table.

The market: 8 names, no drift at opens nor at closes, 500 sessions in one chunk (320 / 60 / 120), and 120 sessions before
them that serve as look-back only. The leak: an indicator is replaced at ingestion by the return of the next session, and
`Oracle` takes the place of fusion and says BUY where that return is positive. Barrier, approver, kernel and costs are the
house's own in both cases, and so is every module below fusion.

Run as a program it writes the table of reports/null::

    python -m tests.null.controls --seeds 100 --out reports/null
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from glassbox_bt.backtest import ChunkJob, walk_chunk
from glassbox_bt.evaluation.null import LEVEL, matched_excess, one_sided_test
from glassbox_bt.market.archive import save_store
from glassbox_bt.market.features import FEATURES
from glassbox_bt.market.ingest import build_store
from glassbox_bt.market.sources import from_name
from glassbox_bt.modules.base import Module
from glassbox_bt.plan import Plan, plan_from
from glassbox_bt.types import AnyArray, FloatArray
from strategies.full_stack import stack
from tests.flow.tiny import tiny_table
from tests.null.oracle import LEAKED, Oracle

__all__ = ["Outcome", "leaky_stack", "outcomes", "plan_of", "run_seed", "told"]

PARTS = (320, 60, 120)  # sessions of train, validation and test
SOURCE = (
    "synthetic?seed={seed}&n_names=8&first=2016-01-04&last=2018-06-19&noise_only=true&text=false"
    "&halts=2&delistings=0&splits=1"
)
CHUNK = {
    "train": ["2016-06-24", "2017-09-29"],
    "validation": ["2017-10-02", "2017-12-26"],
    "test": ["2017-12-27", "2018-06-19"],
}
NO_COSTS = {"commission_bps": 0.0, "half_spread_bps": 0.0, "impact": 0.0}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one seed said."""

    seed: int
    leak: bool
    n_sessions: int
    buy_rate: float
    exposure: float
    mean_excess_bps: float
    t: float
    p_value: float
    rejects: bool


def leaky_stack() -> dict[str, Module]:
    """The house's stack with `Oracle` on top."""
    return {**stack(), "fusion": Oracle()}


def plan_of(seed: int, leak: bool = False) -> Plan:
    """Tiny networks, no costs, the 1/N book as the only rival."""
    table = tiny_table(
        market={"source": SOURCE.format(seed=seed), "universe": {"min_observed": 100, "window": 120}},
        chunks=[CHUNK],
        costs=NO_COSTS,
        strategies=["strategies:MonthlyEqualWeight"],
        modules={"garch": {"window": 100, "min_observed": 100}},
    )
    if leak:
        del table["modules"]["fusion"]
        table["stack"] = "tests.null.controls:leaky_stack"
    return plan_from(table)


def run_seed(seed: int, leak: bool = False) -> Outcome:
    """Walk one market and test its book against 1/N at the same exposure."""
    plan = plan_of(seed, leak)
    features: Mapping[str, Any] = {**FEATURES, LEAKED: _tomorrow} if leak else FEATURES
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "market"
        folder.mkdir()
        save_store(build_store(from_name(plan.market_source), plan.market.universe, features), folder)
        job = ChunkJob(plan, 1, folder, Path(place) / "artefacts", "cpu")
        record = walk_chunk(job, lambda _what, _share: None)
    equity, decisions = record.tables["portfolio/equity"], record.tables["decisions"]
    own = equity[(equity["split"] == "test") & (equity["strategy"] == "glassbox")]
    tested = decisions[decisions["split"] == "test"]
    test = one_sided_test(matched_excess(equity))
    return Outcome(
        seed=seed,
        leak=leak,
        n_sessions=test.n_sessions,
        buy_rate=float(np.mean(tested["final_recommendation"] == "BUY")),
        exposure=float(own["exposure"].mean()),
        mean_excess_bps=1e4 * test.mean,
        t=test.t,
        p_value=test.p_value,
        rejects=test.rejects,
    )


def outcomes(seeds: range, leak: bool, workers: int) -> pd.DataFrame:
    """One row per seed, in the order of the seeds."""
    task = partial(run_seed, leak=leak)
    if workers == 1:
        return pd.DataFrame([asdict(task(seed)) for seed in seeds])
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        return pd.DataFrame([asdict(one) for one in pool.map(task, seeds)])


def _tomorrow(columns: Mapping[str, AnyArray]) -> FloatArray:
    """The return of the next session in the place of an indicator, 0 to 100; NaN on the last."""
    close = np.asarray(columns["close"], dtype=np.float64)
    seen = np.full(close.shape, np.nan)
    seen[:-1] = np.clip(50.0 + 1000.0 * np.log(close[1:] / close[:-1]), 0.0, 100.0)
    return seen


def told(clean: pd.DataFrame, leaky: pd.DataFrame) -> str:
    """Both controls in two lines."""
    lines = []
    for name, table in (("noise", clean), ("planted leak", leaky)):
        lines.append(
            f"{name}: {int(table['rejects'].sum())} of {len(table)} seeds reject at {LEVEL:.0%}; "
            f"{int((table['exposure'] > 0.0).sum())} traded; mean buy rate {table['buy_rate'].mean():.1%}, "
            f"exposure {table['exposure'].mean():.1%}, excess {table['mean_excess_bps'].mean():+.2f} bp per session"
        )
    return "\n".join(lines)


def main() -> None:
    """Write ``outcomes.csv`` and ``README.md`` of a real run."""
    parser = argparse.ArgumentParser(description="Noise controls of the whole stack.")
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True)
    settings = parser.parse_args()
    clean, leaky = (outcomes(range(settings.seeds), leak, settings.workers) for leak in (False, True))
    settings.out.mkdir(parents=True, exist_ok=True)
    pd.concat([clean, leaky]).to_csv(settings.out / "outcomes.csv", index=False, float_format="%.6g")
    text = README.format(seeds=settings.seeds, told=told(clean, leaky).replace("\n", "\n- "))
    (settings.out / "README.md").write_text(text, encoding="utf-8")


README = """# Noise controls

Made by `OMP_NUM_THREADS=1 python -m tests.null.controls --seeds {seeds} --out reports/null`;
one row per seed in `outcomes.csv`.

- {told}

Wanted: at most 10 rejections in 100 seeds of noise, at least 90 with the leak. The estimand and the test are in
`glassbox_bt/evaluation/null.py`, the market and the leak in `tests/null/controls.py`. Seeds on which the stack never traded
(its signal stayed below its rank scale) cannot reject; they are counted above.
"""

if __name__ == "__main__":
    main()
