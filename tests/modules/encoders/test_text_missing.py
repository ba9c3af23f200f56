from __future__ import annotations

from pathlib import Path

import pytest

from tests.flow.command import Shell
from tests.flow.tiny import TABLE, tiny_plan


def test_a_run_without_its_text_model_ends_with_2_and_the_command_that_fetches_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GLASSBOX_CACHE", str(tmp_path / "cache"))
    silent = [name for name in TABLE["silent"] if name != "text_encoder"]
    outcome = Shell(monkeypatch, capsys)("run", tiny_plan(tmp_path, silent=silent), "--out", tmp_path / "run")
    assert outcome.code == 2
    assert "`hf download ProsusAI/finbert`" in outcome.complaint
