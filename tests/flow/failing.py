"""Tasks for `run_tasks` that end badly; importable by name in a worker."""

from __future__ import annotations

import os
import signal
import time
from multiprocessing import current_process
from pathlib import Path

from glassbox_bt.errors import MarketDataError
from glassbox_bt.runs.engine import Progress, run_tasks

__all__ = ["complain", "die", "interrupted_main", "last_dies", "quiet", "sleep"]


def complain(job: int, _progress: Progress) -> int:
    if job == 1:
        raise MarketDataError("`prices` row 3: close is -1.0, but must be greater than 0.")
    time.sleep(60)
    return job


def die(job: int, _progress: Progress) -> int:
    if job == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)
    return job


def last_dies(folder: Path, _progress: Progress) -> None:
    """Of two workers the one that was started last is killed; the other goes on for a while, and says when it is done."""
    number = int(current_process().name.rpartition("-")[2])
    (folder / f"worker {number}").touch()
    while len(there := [int(path.name.split()[1]) for path in folder.glob("worker *")]) < 2:
        time.sleep(0.01)
    if number == max(there):
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(10)
    (folder / "finished").touch()


def quiet(job: int, progress: Progress) -> int:
    progress(f"job {job}", 1.0)
    return job * job


def sleep(folder: Path, _progress: Progress) -> None:
    (folder / f"{os.getpid()}").touch()
    time.sleep(60)


def interrupted_main(folder: Path) -> None:
    """What a command does: two workers that take long."""
    run_tasks(sleep, [folder, folder], workers=2, progress=lambda _what, _share: None)
