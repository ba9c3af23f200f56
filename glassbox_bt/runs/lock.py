"""One writer at a time: two processes in one run folder would remove each other's drafts."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from glassbox_bt.errors import RunFolderError
from glassbox_bt.runs.artefacts import writing

__all__ = ["is_being_written", "sole_writer"]


@contextmanager
def sole_writer(run: Path) -> Iterator[None]:
    """Hold the folder ``run``, made if need be; removed again if nothing was written into it.

    The lock is the operating system's own and ends with the process, however that ends.

    Raises
    ------
    RunFolderError
        If the folder cannot be made, or another process is writing into it.
    """
    with writing(run):
        run.mkdir(parents=True, exist_ok=True)
        handle = os.open(run, os.O_RDONLY)
    try:
        _lock(handle, run)
        try:
            yield
        finally:
            if not any(run.iterdir()):
                run.rmdir()
    finally:
        os.close(handle)


def is_being_written(run: Path) -> bool:
    """Whether a process holds the folder."""
    handle = os.open(run, os.O_RDONLY)
    try:
        _lock(handle, run)
    except RunFolderError:
        return True
    finally:
        os.close(handle)
    return False


def _lock(handle: int, run: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as taken:
        raise RunFolderError(f"Another process is writing into {run}. Wait for it, or choose another --out.") from taken
