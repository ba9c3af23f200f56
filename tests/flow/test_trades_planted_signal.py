"""R22: on a market with a planted signal the stack trades, and earns more than holding everything alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from glassbox_bt.cli.job import JobSettings, main_job
from glassbox_bt.evaluation.null import matched_excess, one_sided_test
from glassbox_bt.plan import Plan, plan_from, read_plan
from tests.flow.tiny import tiny_table

SHIPPED = Path(__file__).parents[2] / "experiments" / "quickstart_synthetic" / "plan.toml"
PLANTED = "synthetic?seed=11&n_names=12&first=2016-01-04&last=2019-12-31&edge=0.2&text=false&halts=3&delistings=1&splits=1"


def test_the_tiny_stack_finds_the_planted_trend(tmp_path: Path) -> None:
    plan = plan_from(tiny_table(strategies=["strategies:MonthlyEqualWeight"], market={"source": PLANTED}))
    run = finished(plan, tmp_path / "run")
    it_trades(run)
    assert one_sided_test(matched_excess(equity_of(run))).rejects


@pytest.mark.slow
def test_the_shipped_plan_beats_monthly_equal_weight(tmp_path: Path) -> None:
    """Pooled over the three test years, after costs: it ends higher, and at its own exposure it earns more."""
    run = finished(read_plan(SHIPPED), tmp_path / "run")
    it_trades(run)
    equity = equity_of(run)
    test = equity[equity["split"] == "test"]
    growth = (1.0 + test.set_index("strategy")["return"]).groupby(level=0).prod()
    assert growth["glassbox"] > growth["monthly_1n"]
    assert one_sided_test(matched_excess(equity)).rejects


def finished(plan: Plan, out: Path) -> Path:
    """The run folder of ``plan``."""
    main_job(plan, JobSettings(out=out, workers=1, tearsheets=False, audits=False), lambda _what, _share: None)
    return out


def equity_of(run: Path) -> pd.DataFrame:
    return pd.read_parquet(run / "portfolio" / "equity.parquet")


def it_trades(run: Path) -> None:
    """It buys in 1 to 60 % of the rows of all test parts, and is invested more than 10 %."""
    decisions, equity = pd.read_parquet(run / "decisions.parquet"), equity_of(run)
    tested = decisions[decisions["split"] == "test"]
    own = equity[(equity["split"] == "test") & (equity["strategy"] == "glassbox")]
    bought = float(np.mean(tested["final_recommendation"] == "BUY"))
    assert 0.01 <= bought <= 0.60
    assert float(own["exposure"].mean()) > 0.10
