"""The command as a user calls it: in this process for speed, or in one of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from glassbox_bt.cli.app import run_app

__all__ = ["COMMAND", "ROOT", "Outcome", "Shell", "environment", "glassbox", "launch"]

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-m", "glassbox_bt")


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line that says what is wrong; checked to be the only one, the last one, and no traceback."""
        lines = [line for line in self.err.splitlines() if line.startswith("glassbox: ")]
        assert len(lines) == 1, self.err
        assert self.err.splitlines()[-1] == lines[0], self.err
        assert "Traceback" not in self.err, self.err
        return lines[0]


class Shell:
    """Calls the command in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *arguments: object) -> Outcome:
        self._monkeypatch.setattr(sys, "argv", ["glassbox", *map(str, arguments)])
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            run_app()
        said = self._capsys.readouterr()
        return Outcome(int(end.value.code or 0), said.out, said.err)


def environment() -> dict[str, str]:
    """With the checkout importable."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def heed_interrupts() -> None:
    """A shell that runs the tests in the background lets its children ignore Ctrl-C; the command's own user does not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def launch(*arguments: object, before: Callable[[], None] | None = None) -> subprocess.Popen[str]:
    """The command as a process of its own, in a session of its own."""
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: (heed_interrupts(), before() if before else None),  # noqa: PLW1509 - the tests run one thread
        start_new_session=True,
    )


def glassbox(*arguments: object, before: Callable[[], None] | None = None) -> Outcome:
    """The command as a process of its own, waited for."""
    with launch(*arguments, before=before) as process:
        out, err = process.communicate()
    return Outcome(process.returncode, out, err)
