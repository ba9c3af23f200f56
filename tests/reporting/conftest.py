"""One fake run folder for all tests of the report that only read it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from glassbox_bt.reporting import render_report
from tests.reporting.fake_run import FakeRun, write_fake_run


@pytest.fixture(scope="session")
def fake_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_run(tmp_path_factory.mktemp("fake") / "run", FakeRun(sessions=90))


@pytest.fixture
def own_run(fake_run: Path, tmp_path: Path) -> Path:
    """A copy to change, without the report."""
    return shutil.copytree(fake_run, tmp_path / "run", ignore=shutil.ignore_patterns("report"))


@pytest.fixture(scope="session")
def report(fake_run: Path) -> Path:
    return render_report(fake_run)
