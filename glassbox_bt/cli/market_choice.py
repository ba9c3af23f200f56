"""Which plan a command means: a shipped one by name, and another market in its place."""

from __future__ import annotations

import dataclasses
from importlib.resources import files
from pathlib import Path

from glassbox_bt.plan import Plan, read_plan

__all__ = ["shipped_plan", "with_market"]


def shipped_plan(name: str, market: str | None) -> Plan:
    """The plan of ``experiments/<name>``, on ``market`` if given."""
    chosen = f"{name}_{market}" if market not in (None, "sp500") else name
    return read_plan(Path(str(files("experiments"))) / chosen / "plan.toml")


def with_market(plan: Plan, source: str | None) -> Plan:
    """``plan`` on another market; everything else stays."""
    if source is None:
        return plan
    path = Path(source)
    place = str(path.resolve()) if path.is_dir() else source
    return dataclasses.replace(plan, market=dataclasses.replace(plan.market, source=place))
