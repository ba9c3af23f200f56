"""Folders that take long to make, made once for all processes of a test session; nobody writes into them afterwards."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

__all__ = ["shared"]


def shared(base: Path, name: str, make: Callable[[Path], object]) -> Path:
    """The folder ``name`` as ``make`` filled it; ``base`` is the test session's temporary folder.

    Worker processes of one session share it: the first to ask makes it, the others wait.
    """
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    folder.mkdir(exist_ok=True)
    done = folder / "done"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            make(folder)
            done.touch()
    return folder
