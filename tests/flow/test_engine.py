"""Worker processes: results in order, failures as they were raised, nobody left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from glassbox_bt.errors import MarketDataError, WorkerError
from glassbox_bt.runs.engine import run_tasks
from tests.flow import failing
from tests.flow.command import ROOT, environment, heed_interrupts

SCRIPT = "import sys; from pathlib import Path; from tests.flow.failing import *; interrupted_main(Path(sys.argv[1]))"


def no_progress(_what: str, _share: float) -> None:
    pass


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children_of(pid: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False).stdout
    return [int(line) for line in found.split()]


@contextmanager
def two_workers(folder: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A parent with two workers that are at work, and all processes below it."""
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder)],
        env=environment(),
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,  # noqa: PLW1509 - the tests run one thread
    ) as parent:
        try:
            until(lambda: len(list(folder.iterdir())) == 2, "the workers did not start")
            yield parent, children_of(parent.pid)
        finally:
            parent.kill()


def test_results_come_in_the_order_of_the_jobs() -> None:
    told: list[tuple[str, float]] = []
    assert run_tasks(failing.quiet, [1, 2, 3], workers=2, progress=lambda *event: told.append(event)) == [1, 4, 9]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_worker_is_raised_as_it_was(workers: int) -> None:
    with pytest.raises(MarketDataError, match=r"row 3: close is -1\.0"):
        run_tasks(failing.complain, [1, 2], workers=workers, progress=no_progress)


def test_a_killed_worker_is_named() -> None:
    with pytest.raises(WorkerError, match="Run the same command again to resume"):
        run_tasks(failing.die, [1, 2], workers=2, progress=no_progress)


def test_a_killed_worker_is_noticed_while_the_others_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the one that was started last, which a pool does not watch where the machine was busy while it started."""
    start = ProcessPoolExecutor._adjust_process_count

    def late(pool: ProcessPoolExecutor) -> None:
        time.sleep(0.5)
        start(pool)

    monkeypatch.setattr(ProcessPoolExecutor, "_adjust_process_count", late)
    with pytest.raises(WorkerError, match="was killed"):
        run_tasks(failing.last_dies, [tmp_path, tmp_path], workers=2, progress=no_progress)
    assert not (tmp_path / "finished").exists()


def test_nobody_outlives_a_killed_parent(tmp_path: Path) -> None:
    with two_workers(tmp_path) as (parent, below):
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        until(lambda: not any(is_alive(pid) for pid in below), "a process outlived its parent")


def test_an_interrupt_ends_workers_without_a_word(tmp_path: Path) -> None:
    with two_workers(tmp_path) as (parent, below):
        os.kill(parent.pid, signal.SIGINT)
        for pid in below:
            if is_alive(pid):
                os.kill(pid, signal.SIGINT)  # as a terminal does
        said = parent.communicate()[1]
        assert said.count("Traceback") == 1, said  # the script's own; the command turns it into a line
        assert said.rstrip().endswith("KeyboardInterrupt")
        until(lambda: not any(is_alive(pid) for pid in below), "a process was left behind")
