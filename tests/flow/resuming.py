"""Runs that are killed at a moment told by the number of files they have written, and their bytes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.flow.command import ROOT, environment
from tests.flow.shared import shared
from tests.flow.tiny import tiny_plan

__all__ = ["bytes_of", "finished_run", "n_files", "run_job", "run_until"]

SCRIPT = """
import sys
from pathlib import Path
from glassbox_bt.cli.job import JobSettings, main_job
from glassbox_bt.plan import read_plan
plan, out, workers = sys.argv[1:]
settings = JobSettings(out=Path(out), workers=int(workers), tearsheets=False, audits=False)
main_job(read_plan(Path(plan)), settings, lambda _what, _share: None)
"""


def finished_run(base: Path) -> tuple[Path, Path]:
    """A plan and its finished run, to be read only; ``base`` is the test session's temporary folder."""
    folder = shared(base, "finished", lambda folder: run_job(tiny_plan(folder), folder / "run"))
    return folder / "plan.toml", folder / "run"


def run_job(plan: Path, run: Path, workers: int = 1) -> None:
    """The main job without tear-sheets and audits, in a process of its own, to its end."""
    with _started(plan, run, workers) as process:
        said = process.communicate()[1]
    assert process.returncode == 0, said


def run_until(plan: Path, run: Path, files: int, pause: float, workers: int = 1) -> bool:
    """The same, killed ``pause`` seconds after it has written ``files`` files; False if it was faster."""
    with _started(plan, run, workers) as process:
        while process.poll() is None and n_files(run) < files:
            time.sleep(0.02)
        time.sleep(pause)
        was_killed = process.poll() is None
        process.kill()  # only the parent: its workers must end on their own
        said = process.communicate()[1]
    assert was_killed or process.returncode == 0, said
    return was_killed


def n_files(run: Path) -> int:
    """Files in the run folder, unfinished ones included."""
    return sum(len(names) for _, _, names in os.walk(run))


def bytes_of(run: Path) -> dict[str, bytes]:
    """What must not depend on how a run came to its end."""
    names = ["decisions.parquet", "metrics.json", "evaluation/outcomes.parquet"]
    found = {name: (run / name).read_bytes() for name in names}
    for pattern in ("portfolio/*.parquet", "modules/*/*.parquet", "models/*/*/frozen.*"):
        found |= {str(path.relative_to(run)): path.read_bytes() for path in run.glob(pattern)}
    return found


def _started(plan: Path, run: Path, workers: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(plan), str(run), str(workers)],
        env=environment(),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
