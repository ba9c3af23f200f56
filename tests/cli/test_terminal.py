"""In a real terminal: bars that move, and the report's path as the last line."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from pathlib import Path

from tests.flow.command import COMMAND, environment

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def in_terminal(*arguments: object) -> tuple[int, str]:
    """Exit code and everything that a terminal of 120 columns received."""
    inside, outside = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        env={**environment(), "TERM": "xterm-256color", "COLUMNS": "120"},
        stdin=outside,
        stdout=outside,
        stderr=outside,
        start_new_session=True,
    )
    os.close(outside)
    received = bytearray()
    while True:
        try:
            piece = os.read(inside, 65536)
        except OSError:  # the last process has left the terminal
            break
        if not piece:
            break
        received += piece
    os.close(inside)
    return process.wait(), received.decode()


def test_a_run_shows_bars_and_ends_with_its_report(plan: Path, own_run: Path) -> None:
    (own_run / "metrics.json").unlink()  # so that every stage runs, with all fits at hand
    code, screen = in_terminal("run", plan, "--out", own_run, "--workers", 1)
    assert code == 0, screen
    assert "\x1b[" in screen, "the terminal was not recognised"
    plain = CONTROL.sub("", screen)
    assert "━" in plain, "no bar"
    for stage in ("reading the market", "ingesting the market", "chunk 1 replay", "writing the run folder", "tear-sheets"):
        assert stage in plain
    assert plain.rstrip().splitlines()[-1].strip() == str(own_run / "report" / "index.html")


def test_a_refusal_is_the_last_line(tmp_path: Path) -> None:
    code, screen = in_terminal("run", tmp_path / "none.toml")
    assert code == 2
    assert CONTROL.sub("", screen).rstrip().splitlines()[-1].startswith("glassbox: There is no plan at ")
