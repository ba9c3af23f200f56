"""``glassbox --help`` against a bare typer command: at most half a second more is wanted."""

from __future__ import annotations

import subprocess
import sys
from statistics import median
from time import perf_counter

BARE = "import typer; app = typer.Typer(); app.command()(lambda: None); app(['--help'])"
OURS = "import sys; sys.argv = ['glassbox', '--help']; from glassbox_bt.cli import main; main()"


def test_help_against_bare_typer() -> None:
    times: dict[str, list[float]] = {"bare": [], "ours": []}
    for _ in range(7):
        for name, code in (("bare", BARE), ("ours", OURS)):
            started = perf_counter()
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
            times[name].append(perf_counter() - started)
            assert done.returncode == 0, done.stderr
    bare, ours = median(times["bare"]), median(times["ours"])
    print(f"\nbare typer --help {bare:6.3f} s")
    print(f"glassbox --help   {ours:6.3f} s")
    print(f"more              {ours - bare:6.3f} s, ratio {ours / bare:.1f}")
