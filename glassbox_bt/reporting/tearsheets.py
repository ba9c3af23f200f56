"""Tear-sheets by quantstats: one page per strategy and chunk, test days only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

__all__ = ["write_tearsheets"]


def write_tearsheets(
    run: Path, *, workers: int = 1, progress: Callable[[str, float], None] | None = None
) -> list[Path]:
    """Placeholder."""
    raise NotImplementedError
