"""The parts of the walk: days of a chunk, fits and answers out of fold, the daily replay, the tables of the run folder."""

from __future__ import annotations

__all__: list[str] = []
