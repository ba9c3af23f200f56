"""Runs independent tasks, here or in local processes, and relays their progress.

Results come back in the order of the jobs whatever finished first, each worker uses one thread, and workers die with their
parent, so that a killed run leaves nothing writing behind it.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as ended
from multiprocessing.managers import SyncManager
from queue import Empty
from typing import Any, TypeVar

from glassbox_bt.errors import WorkerError
from glassbox_bt.runs.threads import one_thread, pin_threads

__all__ = ["Event", "Progress", "run_tasks"]

Job = TypeVar("Job")
Result = TypeVar("Result")
Event = tuple[str, float]  # what is being done, and the share of it that is done
Progress = Callable[[str, float], None]

_events: Any = None  # the worker's end of the queue


def run_tasks(
    task: Callable[[Job, Progress], Result], jobs: Sequence[Job], *, workers: int, progress: Progress
) -> list[Result]:
    """``[task(job, progress) for job in jobs]``, on ``workers`` processes.

    ``task`` must be importable by name. The first failure is raised once the running tasks have been cancelled.
    """
    pin_threads()
    if workers <= 1 or len(jobs) <= 1:
        with one_thread():
            return [task(job, progress) for job in jobs]
    context = multiprocessing.get_context("spawn")
    manager = SyncManager(ctx=context)
    manager.start(_end_with_parent, (os.getpid(),))
    try:
        events = manager.Queue()
        with ProcessPoolExecutor(min(workers, len(jobs)), context, _start_worker, (events, os.getpid())) as pool:
            return _gather(pool, [pool.submit(_run_one, task, job) for job in jobs], lambda: _relay(events, progress))
    except BrokenProcessPool as broken:
        raise WorkerError(
            "A worker process was killed, most often for want of memory. Run the same command again to resume, with fewer "
            "--workers."
        ) from broken
    finally:
        manager.shutdown()


def _gather(pool: ProcessPoolExecutor, futures: Sequence[Future[Result]], relay: Callable[[], None]) -> list[Result]:
    """Results in the order of the jobs; a failure in a worker or an interrupt here ends every worker at once."""
    workers = list(pool._processes.values())
    waiting = set(futures)
    try:
        while waiting:
            done, waiting = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
            relay()
            for one in done:
                one.result()
            # The pool does not watch the worker that it started last until something else ends.
            if waiting and ended([worker.sentinel for worker in workers], timeout=0):
                raise BrokenProcessPool("A worker ended before its task did.")
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.terminate()
        raise
    return [future.result() for future in futures]


def _relay(events: Any, progress: Progress) -> None:
    while True:
        try:
            what, share = events.get_nowait()
        except Empty:
            return
        progress(what, share)


def _start_worker(events: Any, parent: int) -> None:
    global _events  # noqa: PLW0603 - set once in the life of a worker
    _events = events
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted too, and ends its workers
    _end_with_parent(parent)


def _end_with_parent(parent: int) -> None:
    if sys.platform == "linux":
        death_signal = 1  # PR_SET_PDEATHSIG
        ctypes.CDLL(None).prctl(death_signal, signal.SIGKILL)
        if os.getppid() != parent:  # the parent died before the line above
            os._exit(1)


def _run_one(task: Callable[[Job, Progress], Result], job: Job) -> Result:
    return task(job, lambda what, share: _events.put((what, share)))
