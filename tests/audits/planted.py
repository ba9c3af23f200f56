"""Faults planted in the tables of a run folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from glassbox_bt.audits.base import AuditResult

__all__ = ["Planted", "found"]

Change = Callable[[pd.DataFrame], pd.DataFrame]


@dataclass(frozen=True)
class Planted:
    """A run folder that may be changed."""

    run: Path

    def own(self, *names: str) -> Path:
        """A copy of artefacts or models in place of the link to those of the untouched run."""
        for name in names:
            link = self.run / name
            source = link.resolve()
            link.unlink()
            shutil.copytree(source, link)
        return self.run

    def change(self, table: str, change: Change) -> Path:
        """Rewrite one table, named by its place without ``.parquet``; the run folder is returned."""
        path = self.run / f"{table}.parquet"
        change(pd.read_parquet(path)).to_parquet(path, index=False)
        return self.run

    def set(self, table: str, column: str, value: Any, rows: Callable[[pd.DataFrame], Any] | int = 3) -> Path:
        """Write one value into the rows that a condition picks (or into one row by number) of one column."""

        def change(content: pd.DataFrame) -> pd.DataFrame:
            if isinstance(rows, int):
                chosen = content.index == rows
            else:
                chosen = rows(content).to_numpy(dtype=bool)
                assert chosen.any(), "the fault was planted nowhere"
            values = content[column].astype(object) if isinstance(value, str) or value is None else content[column].copy()
            values[chosen] = value
            content[column] = values
            return content

        return self.change(table, change)

    def json(self, place: str, change: Callable[[dict[str, Any]], None]) -> Path:
        """Change a JSON file in place."""
        path = self.run / place
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))
        return self.run


def found(result: AuditResult) -> set[tuple[str, str, str]]:
    """What failed: check, module, column."""
    return {(one.check, one.module, one.column) for one in result.findings}
