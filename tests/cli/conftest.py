from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.flow.command import Shell
from tests.flow.resuming import finished_run


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(monkeypatch, capsys)


@pytest.fixture(scope="session")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.getbasetemp())[0]


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, to be read only."""
    return finished_run(tmp_path_factory.getbasetemp())[1]


@pytest.fixture
def own_run(run: Path, tmp_path: Path) -> Path:
    """A copy to write into."""
    return shutil.copytree(run, tmp_path / "run")
