"""The ``glassbox`` command. This module stays light: commands import what they need when they are called."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Entry point: exit 0 on success, 2 with one clear line for bad input, 1 for a fault of the program."""
    from glassbox_bt.runs.threads import pin_threads

    pin_threads()
    from glassbox_bt.cli.app import run_app

    run_app()
