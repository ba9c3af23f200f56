"""One tiny run of the whole stack for all audits, and copies of it in which faults are planted."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from glassbox_bt.audits.base import AuditResult, AuditSettings, audits_named
from glassbox_bt.audits.case import Case
from glassbox_bt.cli import job
from tests.audits.planted import Planted
from tests.audits.texty import texty_run
from tests.flow.command import Shell
from tests.flow.resuming import finished_run
from tests.flow.risky import risky_run


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny run of the whole stack; tests must not write into it."""
    return finished_run(tmp_path_factory.getbasetemp())[1]


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """The command; reports are not written anew, which is no matter of audits."""
    monkeypatch.setattr(job, "_reported", lambda _manifest, _progress: ())
    return Shell(monkeypatch, capsys)


@pytest.fixture(scope="session")
def risky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with the whole risk engine on; tests must not write into it."""
    return risky_run(tmp_path_factory.getbasetemp())[1]


@pytest.fixture
def planted(run: Path, tmp_path: Path) -> Planted:
    """A copy of the run's tables, to plant faults in."""
    return _copied(run, tmp_path)


@pytest.fixture
def planted_risk(risky: Path, tmp_path: Path) -> Planted:
    """A copy of the tables of the run with the whole risk engine on."""
    return _copied(risky, tmp_path)


@pytest.fixture(scope="session")
def texty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with the branch of text on; tests must not write into it."""
    return texty_run(tmp_path_factory.getbasetemp())[1]


@pytest.fixture
def planted_text(texty: Path, tmp_path: Path) -> Planted:
    """A copy of the tables of the run with the branch of text on."""
    return _copied(texty, tmp_path)


def _copied(run: Path, folder: Path) -> Planted:
    copy = folder / "run"
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("report", "evaluation", "metrics.json", "artefacts", "models"))
    for name in ("artefacts", "models"):
        (copy / name).symlink_to(run / name)
    return Planted(copy)


@dataclass(frozen=True, eq=False)
class Few(Case):
    """A case of some modules only, so that a test takes no longer than it must."""

    names: tuple[str, ...] = ()

    @property
    def modules(self) -> tuple[str, ...]:
        return tuple(one for one in super().modules if one in self.names)


@pytest.fixture
def bare(run: Path, tmp_path: Path) -> Callable[..., Path]:
    """Writes the test decisions as upstream's table, after ``change``, and returns its path."""

    def write(change: Callable[[pd.DataFrame], pd.DataFrame] = lambda table: table, name: str = "decisions.csv") -> Path:
        table = pd.read_parquet(run / "decisions.parquet")
        table = change(table[table["split"] == "test"].reset_index(drop=True))
        path = tmp_path / name
        if path.suffix == ".parquet":
            table.to_parquet(path, index=False)
        else:
            table.to_csv(path, index=False, date_format="%Y-%m-%d")
        return path

    return write


@pytest.fixture
def ask() -> Callable[..., AuditResult]:
    """Asks one audit of a run folder, of some of its modules only, or of a bare table."""

    def asked(name: str, place: Path, *only: str, settings: AuditSettings | None = None) -> AuditResult:
        case = Case(place) if place.is_dir() else Case(None, place)
        if only:
            case = Few(place, names=only)
        return audits_named((name,))[name](case, settings or AuditSettings(), lambda _what, _share: None)

    return asked
