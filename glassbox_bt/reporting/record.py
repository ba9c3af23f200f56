"""What a finished run recorded: the only thing a report reads.

Every value has a *source*, written like an address, and `RunRecord.resolve` turns a source back into the value:

- ``manifest.json#/market/name``: a JSON pointer into ``manifest.json`` or ``metrics.json``;
- ``portfolio/equity.parquet?chunk=1&split=test#mean(exposure)``: rows of a table by equality, then one of
  ``count()``, ``only(column)``, ``first``, ``last``, ``min``, ``max``, ``mean``, ``sum``, ``nunique``;
- ``derived?chunk=1#name``: a number computed from others by the function of that name in `derived`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import pandas as pd

from glassbox_bt.errors import ContractError, RunFolderError
from glassbox_bt.reporting.report import Claim
from glassbox_bt.reporting.styles import Value

__all__ = ["METRICS", "STACK", "TEST", "MetricRow", "RunRecord", "Where", "table_source"]

METRICS = "metrics.json"
MANIFEST = "manifest.json"
STACK = "glassbox"
TEST = "test"
Where = dict[str, str | int]  # rows of a table, by equality
DAY_COLUMNS = ("date", "decided_on", "filled_on")
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "decisions.parquet": (
        "chunk", "split", "date", "ticker", "final_recommendation", "final_position_fraction",
        "learned_recommendation", "recommended_capital_fraction", "user_rule_cap_fraction",
        "rule_barrier_reasons", "binding_rule_id", "fusion_xai_summary",
    ),
    "portfolio/equity.parquet": (
        "chunk", "split", "date", "strategy", "equity", "cash", "exposure", "traded", "costs",
    ),
    "portfolio/weights.parquet": ("chunk", "split", "date", "strategy", "ticker", "weight"),
    "portfolio/orders.parquet": (
        "chunk", "split", "strategy", "decided_on", "filled_on", "ticker", "side", "filled_shares", "code",
    ),
    "portfolio/approved.parquet": ("chunk", "split", "date", "ticker", "approved_fraction"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One row of ``metrics.json`` and its place in the list."""

    place: int
    content: Mapping[str, Any]

    @property
    def strategy(self) -> str:
        return str(self.content["strategy"])

    @property
    def chunk(self) -> int:
        return int(self.content["chunk"])

    @property
    def is_selection(self) -> bool:
        """Whether the row was spent on selection (validation) and may only be shown as such (R5)."""
        return bool(self.content.get("selection", 0)) or self.content["split"] != TEST

    def source(self, name: str) -> str:
        """Where the value ``name`` of this row stands."""
        return f"{METRICS}#/strategies/{self.place}/{name}"


@dataclass(slots=True)
class RunRecord:
    """A finished run folder, opened for reading.

    Parameters
    ----------
    run : Path
        The run folder.

    Raises
    ------
    RunFolderError
        If ``manifest.json`` or ``metrics.json`` is missing or unreadable.
    """

    run: Path
    manifest: Mapping[str, Any] = field(init=False)
    metrics: Mapping[str, Any] = field(init=False)
    _tables: dict[str, pd.DataFrame] = field(init=False, default_factory=dict, repr=False)
    _parts: dict[str, pd.DataFrame] = field(init=False, default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.manifest = _read_json(self.run / MANIFEST)
        self.metrics = _read_json(self.run / METRICS)
        rows = self.metrics.get("strategies")
        if not rows or any(key not in row for row in rows for key in ("strategy", "chunk", "split")):
            raise RunFolderError(
                f"{self.run / METRICS} lists no strategies with `strategy`, `chunk` and `split`. Run the plan again."
            )

    @property
    def chunks(self) -> tuple[int, ...]:
        """Numbers of the chunks, in order."""
        return tuple(sorted({row.chunk for row in self.rows()}))

    @property
    def strategies(self) -> tuple[str, ...]:
        """Names of the strategies, the stack first, then as recorded."""
        names = dict.fromkeys(row.strategy for row in self.rows())
        return tuple(sorted(names, key=lambda name: name != STACK))

    def rows(self, chunk: int | None = None, *, selection: bool | None = None) -> tuple[MetricRow, ...]:
        """Rows of ``metrics.json``, the stack's first; of one chunk or of one kind if asked."""
        rows = [MetricRow(place, row) for place, row in enumerate(self.metrics["strategies"])]
        kept = [
            row
            for row in rows
            if (chunk is None or row.chunk == chunk) and (selection is None or row.is_selection == selection)
        ]
        return tuple(sorted(kept, key=lambda row: (row.chunk, row.strategy != STACK)))

    def row(self, strategy: str, chunk: int) -> MetricRow | None:
        """The test row of one strategy, None if there is none."""
        rows = (row for row in self.rows(chunk, selection=False) if row.strategy == strategy)
        return next(rows, None)

    def claim(self, source: str, style: str = "text") -> Claim:
        """The value at ``source`` as a claim."""
        return Claim(self.resolve(source), source, style)

    def has(self, source: str) -> bool:
        """Whether there is a value, known or not, at a JSON ``source``."""
        place, pointer = _split(source)
        try:
            self._pointed(place, pointer)
        except RunFolderError:
            return False
        return True

    def resolve(self, source: str) -> Value:
        """The value at ``source``, read again.

        Raises
        ------
        RunFolderError
            If there is nothing at ``source``, or more than one value where one was asked for.
        ContractError
            If ``source`` is not an address as described in this module.
        """
        place, fragment = _split(source)
        if place.startswith("derived"):
            from glassbox_bt.reporting.derived import DERIVED

            if fragment not in DERIVED:
                raise ContractError(f"There is no derived number `{fragment}`. Known: {', '.join(DERIVED)}.")
            return DERIVED[fragment](self, dict(parse_qsl(place.partition("?")[2])))
        is_document = place.endswith(".json")
        value = self._pointed(place, fragment) if is_document else _aggregate(self.part(place), fragment, source)
        if value is not None and not isinstance(value, bool | int | float | str):
            raise ContractError(f"{source} holds {type(value).__name__}, not one value. Point further down.")
        return value

    def entry(self, pointer: str) -> Any:
        """Whatever the manifest holds at a JSON pointer, which may be a list or a mapping."""
        return self._pointed(MANIFEST, pointer)

    def table(self, name: str) -> pd.DataFrame:
        """A table of the run folder; days are ISO texts."""
        if name not in self._tables:
            self._tables[name] = _read_table(self.run / name, COLUMNS.get(name, ()))
        return self._tables[name]

    def part(self, place: str) -> pd.DataFrame:
        """Rows of a table by ``file?column=value&…``; what narrows it down is kept, condition by condition."""
        if place not in self._parts:
            before, mark, condition = place.rpartition("&" if "&" in place else "?")
            if not mark:
                return self.table(place)
            rows = self.part(before)
            ((column, wanted),) = parse_qsl(condition)
            values = _column(rows, column, place)
            is_whole = pd.api.types.is_integer_dtype(values)
            self._parts[place] = rows[values == (int(wanted) if is_whole else wanted)]
        return self._parts[place]

    def _pointed(self, place: str, pointer: str) -> Any:
        documents = {MANIFEST: self.manifest, METRICS: self.metrics}
        if place not in documents:
            raise ContractError(f"`{place}` is no document of a run. Known: {', '.join(documents)}.")
        value: Any = documents[place]
        for step in pointer.removeprefix("/").split("/"):
            key = step.replace("~1", "/").replace("~0", "~")
            try:
                value = value[int(key)] if isinstance(value, list) else value[key]
            except (KeyError, IndexError, TypeError, ValueError) as missing:
                raise RunFolderError(
                    f"{self.run / place} has nothing at {pointer}. It was written by another version; run the plan again."
                ) from missing
        return value


def table_source(name: str, fragment: str, **where: str | int) -> str:
    """The source of an aggregate of a table."""
    return f"{name}?{urlencode(where, quote_via=quote)}#{fragment}"


def _split(source: str) -> tuple[str, str]:
    place, mark, fragment = source.partition("#")
    if not mark:
        raise ContractError(f"The source `{source}` has no `#`. Write file#place.")
    return place, fragment


def _aggregate(rows: pd.DataFrame, call: str, source: str) -> Value:
    name, _, column = call.removesuffix(")").partition("(")
    if name == "count":
        return len(rows)
    values = _column(rows, column, source)
    if name == "nunique":
        return int(values.nunique())
    if values.empty:
        raise RunFolderError(f"No row of the run folder answers to {source}.")
    if name == "only":
        if len(values) != 1:
            raise RunFolderError(f"{len(values)} rows of the run folder answer to {source}, one was expected.")
        name = "first"
    if name in ("first", "last"):
        return _plain(values.iloc[0 if name == "first" else -1])
    if name in ("min", "max", "mean", "sum"):
        return _plain(getattr(values, name)())
    raise ContractError(f"`{name}` in {source} is no known aggregate.")


def _column(rows: pd.DataFrame, column: str, source: str) -> pd.Series[Any]:
    if column not in rows.columns:
        raise ContractError(f"There is no column `{column}` for {source}. It has: {', '.join(rows.columns)}.")
    return rows[column]


def _plain(value: Any) -> Value:
    """A Python value; missing ones are None."""
    if value is None or value != value:  # noqa: PLR0124
        return None
    return value.item() if hasattr(value, "item") else value  # type: ignore[no-any-return]


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        content: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as missing:
        raise RunFolderError(f"There is no {path}: the run is not finished. Run its plan again to resume it.") from missing
    except (OSError, ValueError) as broken:
        raise RunFolderError(f"{path} cannot be read: {broken}. Run the plan again.") from broken
    return content


def _read_table(path: Path, needed: tuple[str, ...]) -> pd.DataFrame:
    try:
        table = pd.read_parquet(path)
    except FileNotFoundError as missing:
        raise RunFolderError(f"There is no {path}: the run is not finished. Run its plan again to resume it.") from missing
    except (OSError, ValueError) as broken:
        raise RunFolderError(f"{path} cannot be read: {broken}. Run the plan again.") from broken
    missing_columns = [column for column in needed if column not in table.columns]
    if missing_columns:
        raise RunFolderError(f"{path} lacks `{'`, `'.join(missing_columns)}`. It was written by another version.")
    for column in DAY_COLUMNS:
        if column in table.columns:
            table[column] = pd.to_datetime(table[column]).dt.strftime("%Y-%m-%d")
    return table
