"""What a finished run recorded: the only thing a report reads.

Every value has a *source*, written like an address, and `RunRecord.resolve` turns a source back into the value:

- ``manifest.json#/market/name``: a JSON pointer into ``manifest.json``, ``metrics.json``, ``ablations/variants.json``,
  ``audits/summary.json``, ``xai/text_examples.json`` or what a fit wrote of itself, ``models/regime/chunk1/frozen.json``;
- ``models/contagion/chunk1/frozen.safetensors#structure_p``: one number of a fit;
- ``portfolio/equity.parquet?chunk=1&split=test#mean(exposure)``: rows of a table by equality, then one of
  ``count()``, ``only(column)``, ``first``, ``last``, ``min``, ``max``, ``mean``, ``sum``, ``nunique``;
- ``derived?chunk=1#name``: a number computed from others by the function of that name in `derived`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import pandas as pd
import pyarrow.parquet as pq

from glassbox_bt.errors import ContractError, RunFolderError
from glassbox_bt.reporting.report import Claim
from glassbox_bt.reporting.styles import Value

__all__ = [
    "AUDITS",
    "EXAMPLES",
    "MANIFEST",
    "METRICS",
    "POOLED",
    "RESULTS",
    "STACK",
    "TEST",
    "VARIANTS",
    "Entry",
    "MetricRow",
    "RunRecord",
    "Where",
    "table_source",
]

METRICS = "metrics.json"
MANIFEST = "manifest.json"
VARIANTS = "ablations/variants.json"
AUDITS = "audits/summary.json"
EXAMPLES = "xai/text_examples.json"
RESULTS = "ablations/results.parquet"
DOCUMENTS = (MANIFEST, METRICS, VARIANTS, AUDITS, EXAMPLES)
NUMBERS = ".safetensors"
OF_FITS = re.compile(r"models/\w+/chunk\d+/(?:frozen|selection|training_summary)\.json")
POOLED = 0  # in the column `chunk`: the test days of all chunks
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
    RESULTS: (
        "variant", "set", "edit", "target", "depth", "effect", "chunk", "measure", "base", "ablated", "difference",
        "low", "high", "p_value", "p_holm", "smallest_detectable", "verdict", "n_sessions",
    ),
}  # fmt: skip
ANSWERS = re.compile(r"modules/(\w+)/chunk\d+_\w+\.parquet")
# Of the answers of a module, which may have a hundred columns and a million rows, only what a report prints is read.
OF_ALL = ("ticker", "date", "known", "reason")
ANSWER_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "regime": ("regime_label", "nowcast_regime", "prob_crisis"),
    "contagion": (
        "contagion_20d", "own_history_20d", "neighbour_stress",
        *(f"{what}_{rank}" for what in ("top_influencer", "influence") for rank in range(1, 4)),
    ),
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


@dataclass(frozen=True, slots=True)
class Entry:
    """One mapping of a recorded document, or the only row of part of a table; `source` addresses a value in it."""

    place: str
    content: Mapping[str, Any]
    is_row: bool = False

    def source(self, name: str) -> str:
        """Where the value ``name`` of this entry stands; in a document ``name`` may point further down."""
        return f"{self.place}#only({name})" if self.is_row else f"{self.place}/{name}"

    def get(self, name: str) -> Any:
        """The value ``name`` as recorded, None where there is none."""
        return self.content.get(name)


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
    _documents: dict[str, Any] = field(init=False, default_factory=dict, repr=False)
    _tables: dict[str, pd.DataFrame] = field(init=False, default_factory=dict, repr=False)
    _parts: dict[str, pd.DataFrame] = field(init=False, default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.manifest = _read_json(self.run / MANIFEST)
        self.metrics = _read_json(self.run / METRICS)
        self._documents = {MANIFEST: self.manifest, METRICS: self.metrics}
        rows = self.metrics.get("strategies")
        if not rows or any(key not in row for row in rows for key in ("strategy", "chunk", "split")):
            raise RunFolderError(
                f"{self.run / METRICS} lists no strategies with `strategy`, `chunk` and `split`. Run the plan again."
            )

    def instead(self, documents: Mapping[str, Any], tables: Mapping[str, pd.DataFrame]) -> RunRecord:
        """A record of the same run that holds these documents and tables in place of those of its folder."""
        other = RunRecord(self.run)
        other._documents |= documents
        other.metrics = other._documents[METRICS]
        other._tables |= {name: _with_days(table) for name, table in tables.items()}
        return other

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

    def entries(self, name: str, /, **where: str | int) -> tuple[Entry, ...]:
        """Rows of a list of ``metrics.json`` that equal ``where``; none where the run has no such list."""
        return self.entries_of(METRICS, f"/{name}", **where)

    def entries_of(self, document: str, pointer: str = "", /, **where: str | int) -> tuple[Entry, ...]:
        """Rows of a list in a JSON document that equal ``where``; none where there is no such document or list."""
        if not self.holds(document):
            return ()
        place = f"{document}#{pointer}"
        if pointer and not self.has(place):
            return ()
        rows = enumerate(self._pointed(document, pointer))
        entries = (Entry(f"{place}/{number}", row) for number, row in rows)
        return tuple(entry for entry in entries if all(entry.content.get(key) == value for key, value in where.items()))

    def line(self, name: str, /, **where: str | int) -> Entry | None:
        """The one row of a table that equals ``where``, None if there is none or no such table."""
        if not self.holds(name):
            return None
        place = table_source(name, "", **where).removesuffix("#")
        rows = self.part(place)
        if rows.empty:
            return None
        if len(rows) > 1:
            raise RunFolderError(f"{len(rows)} rows of the run folder answer to {place}, one was expected.")
        return Entry(place, {str(key): _plain(value) for key, value in rows.iloc[0].items()}, is_row=True)

    def holds(self, name: str) -> bool:
        """Whether the run folder has a file of this name: what an optional stage would have written."""
        return (self.run / name).exists()

    def claim(self, source: str, style: str = "text") -> Claim:
        """The value at ``source`` as a claim."""
        return Claim(self.resolve(source), source, style)

    def has(self, source: str) -> bool:
        """Whether there is a value, known or not, at a ``source`` in JSON or among the numbers of a fit."""
        place, pointer = _split(source)
        try:
            _number_of(self.run / place, pointer) if place.endswith(NUMBERS) else self._pointed(place, pointer)
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
        if place.endswith(NUMBERS):
            return _number_of(self.run / place, fragment)
        is_document = place.endswith(".json")
        value = self._pointed(place, fragment) if is_document else _aggregate(self.part(place), fragment, source)
        if value is not None and not isinstance(value, bool | int | float | str):
            raise ContractError(f"{source} holds {type(value).__name__}, not one value. Point further down.")
        return value

    def document(self, place: str) -> Any:
        """A JSON document of the run folder."""
        if place not in DOCUMENTS and not OF_FITS.fullmatch(place):
            raise ContractError(f"`{place}` is no document of a run. Known: {', '.join(DOCUMENTS)}.")
        if place not in self._documents:
            self._documents[place] = _read_json(self.run / place)
        return self._documents[place]

    def entry(self, pointer: str) -> Any:
        """Whatever the manifest holds at a JSON pointer, which may be a list or a mapping."""
        return self._pointed(MANIFEST, pointer)

    def table(self, name: str) -> pd.DataFrame:
        """A table of the run folder; days are ISO texts."""
        if name not in self._tables:
            answers = ANSWERS.fullmatch(name)
            kept = None if answers is None else (*OF_ALL, *ANSWER_COLUMNS.get(answers.group(1), ()))
            self._tables[name] = _read_table(self.run / name, COLUMNS.get(name, ()), kept)
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
        value = self.document(place)
        for step in pointer.split("/")[1:]:
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
    return f"{name}?{urlencode(where, quote_via=quote)}#{fragment}" if where else f"{name}#{fragment}"


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


def _number_of(path: Path, name: str) -> Value:
    """One number of a fit, by its name."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as numbers:
            return _plain(numbers.get_tensor(name).item())
    except (OSError, ValueError, SafetensorError) as missing:
        raise RunFolderError(f"{path} holds no number `{name}`: {missing}. Run the plan again.") from missing


def _read_json(path: Path) -> Any:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as missing:
        raise RunFolderError(f"There is no {path}: the run is not finished. Run its plan again to resume it.") from missing
    except (OSError, ValueError) as broken:
        raise RunFolderError(f"{path} cannot be read: {broken}. Run the plan again.") from broken
    return content


def _read_table(path: Path, needed: tuple[str, ...], kept: tuple[str, ...] | None = None) -> pd.DataFrame:
    """The table with all of its columns, or those of ``kept`` that it has."""
    try:
        columns = None if kept is None else [name for name in pq.read_schema(path).names if name in kept]
        table = pd.read_parquet(path, columns=columns)
    except FileNotFoundError as missing:
        raise RunFolderError(f"There is no {path}: the run is not finished. Run its plan again to resume it.") from missing
    except (OSError, ValueError) as broken:
        raise RunFolderError(f"{path} cannot be read: {broken}. Run the plan again.") from broken
    missing_columns = [column for column in needed if column not in table.columns]
    if missing_columns:
        raise RunFolderError(f"{path} lacks `{'`, `'.join(missing_columns)}`. It was written by another version.")
    return _with_days(table)


def _with_days(table: pd.DataFrame) -> pd.DataFrame:
    """The table with its days as ISO texts."""
    days = {name: pd.to_datetime(table[name]).dt.strftime("%Y-%m-%d") for name in DAY_COLUMNS if name in table.columns}
    return table.assign(**days)
