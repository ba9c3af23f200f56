"""Ctrl-C ends a job even where Python's own exception was lost."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

import pytest

from glassbox_bt.cli.progress import bars


@pytest.fixture(autouse=True)
def heeding() -> Iterator[None]:
    """Tests that a shell runs in the background ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Deaf:
    """Its destructor loses whatever is raised in it, as those of libraries may."""

    def __del__(self) -> None:
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_an_interrupt_that_was_lost_ends_the_job_at_its_next_step() -> None:
    with bars("a job") as tell:
        tell("before", 0.0)
        deaf = Deaf()
        del deaf
        with pytest.raises(KeyboardInterrupt):
            tell("after", 0.5)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_is_raised_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), bars("a job"):
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_another_handler_is_left_alone() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with bars("a job") as tell:
        signal.raise_signal(signal.SIGINT)
        tell("on", 1.0)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
