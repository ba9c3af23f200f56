"""Progress on the terminal: one bar per chunk or stage; plain lines where there is no terminal."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from glassbox_bt.cli.terminal import plain, shown

__all__ = ["bars"]

QUIET_SECONDS = 20.0  # between plain lines of one stage


@contextmanager
def bars(title: str) -> Iterator[Callable[[str, float], None]]:
    """A callback ``(what, share)``; what starts with ``chunk N`` shares that chunk's bar. It ends a job after Ctrl-C."""
    with _heeded() as heed, _shown(title) as tell:

        def told(what: str, share: float) -> None:
            heed()
            tell(what, share)

        yield told


@contextmanager
def _heeded() -> Iterator[Callable[[], None]]:
    """A callback that raises `KeyboardInterrupt` once Ctrl-C was pressed.

    Python raises it by itself, but where that happens in a destructor or a callback of a library it is printed and lost.
    """
    pressed = list[int]()

    def press(number: int, frame: FrameType | None) -> None:
        pressed.append(number)
        signal.default_int_handler(number, frame)

    def heed() -> None:
        if pressed:
            raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield heed  # somebody else heeds it
        return
    signal.signal(signal.SIGINT, press)
    try:
        yield heed
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def _shown(title: str) -> Iterator[Callable[[str, float], None]]:
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain_lines(title)
        return
    tasks: dict[str, TaskID] = {}
    what_runs = TextColumn("{task.description}", justify="left", markup=False)
    columns = (SpinnerColumn(), what_runs, BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=False) as progress:
        console.print(shown(title))

        def tell(what: str, share: float) -> None:
            what = plain(what)
            bar = _bar_of(what)
            if bar not in tasks:
                tasks[bar] = progress.add_task(what, total=1.0)
            progress.update(tasks[bar], description=what, completed=share)

        yield tell


def _bar_of(what: str) -> str:
    words = what.split()
    return " ".join(words[:2]) if words[:1] == ["chunk"] else what


def _plain_lines(title: str) -> Callable[[str, float], None]:
    sys.stderr.write(f"{plain(title)}\n")
    last: dict[str, float] = {}

    def tell(what: str, share: float) -> None:
        now = time.monotonic()
        if what not in last or now - last[what] > QUIET_SECONDS:
            last[what] = now
            sys.stderr.write(f"  {plain(what)} ({share:.0%})\n")
            sys.stderr.flush()

    return tell
