"""What README.md shows can be used as it stands."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from glassbox_bt.plan import load_strategies, plan_from

ROOT = Path(__file__).resolve().parents[1]


def test_the_plan_of_the_readme_reads_and_has_ten_lines() -> None:
    (shown,) = re.findall(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len([line for line in shown.splitlines() if line.strip()]) <= 10
    plan = plan_from(tomllib.loads(shown))
    assert len(load_strategies(plan)) == len(plan.strategies) > 0


def test_every_command_of_the_readme_exists() -> None:
    from typer.main import get_command

    from glassbox_bt.cli.app import app

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = {line.split()[1] for line in re.findall(r"^glassbox .*$", text, re.MULTILINE)}
    known = set(get_command(app).commands)  # type: ignore[attr-defined]
    assert shown - {"--help"} <= known
    assert known - {"run"} <= shown | {"quickstart", "run"}, "a command that README.md does not show"
