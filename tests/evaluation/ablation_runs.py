"""Walked tiny runs for the tests of ablations: as the main job leaves them before it evaluates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from glassbox_bt import backtest
from glassbox_bt.evaluation.ablation import AblationSpec, run_ablations
from glassbox_bt.plan import AblationPlan, Plan, plan_from
from glassbox_bt.runs.manifest import Manifest
from tests.flow.tiny import TWO_CHUNKS, tiny_table

__all__ = ["ablated", "quiet", "shared_run", "tiny", "walked"]


def tiny(**changes: Any) -> Plan:
    """Eight names, two chunks that share their train years, one rival."""
    return plan_from(tiny_table(**{"chunks": TWO_CHUNKS, "strategies": ["strategies:BuyAndHold"], **changes}))


def shared_run(factory: pytest.TempPathFactory) -> Path:
    """The walked run of `tiny`, made once per process; tests that write work on a copy."""
    run = factory.getbasetemp() / "ablation" / "run"
    return run if (run / "manifest.json").exists() else walked(tiny(), run)


def walked(plan: Plan, run: Path) -> Path:
    """The run folder of ``plan`` with its walk recorded and its status still ``running``."""
    run.mkdir(parents=True, exist_ok=True)
    market = backtest.read_market(plan)
    identity = backtest.identity_of(plan, market, "cpu")
    manifest = Manifest.start(run, identity, backtest.facts_of(plan, market, run))
    manifest.update(**backtest.walk_forward(plan, market, run, "cpu", 1, quiet))
    return run


def ablated(
    run: Path,
    plan: Plan,
    *sets: str,
    depth: str = "inference",
    extra: Sequence[AblationSpec] = (),
    workers: int = 1,
) -> dict[str, Any]:
    """What `run_ablations` returns; the manifest keeps it, as the main job does."""
    asked = AblationPlan(sets=sets, depth=depth)  # type: ignore[arg-type]
    share = run_ablations(run, plan, asked, workers, quiet, extra)
    manifest = Manifest.open(run)
    assert manifest is not None
    manifest.update(ablations=share)
    return share


def quiet(_what: str, _share: float) -> None:
    """No progress."""
