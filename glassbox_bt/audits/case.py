"""What is audited: a run folder with everything it recorded, or a bare table of decisions without models.

Tables are read when they are asked for, and only the columns that are asked for. Nothing here needs the code that made the
run: `Case.subject`, which rebuilds the walk, is the one exception, and refuses a run of other code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from glassbox_bt.audits.subject import Subject, subject_of
from glassbox_bt.backtest import open_run_store
from glassbox_bt.decision.rules import Rules
from glassbox_bt.errors import InputError, RunFolderError
from glassbox_bt.market.store import MarketStore
from glassbox_bt.plan import Plan, plan_from
from glassbox_bt.runs.manifest import Manifest
from glassbox_bt.types import BoolArray, FloatArray, IntArray
from glassbox_bt.walkforward.chunks import ChunkDays, chunk_days
from glassbox_bt.walkforward.text_answers import TEXT_MODULES

__all__ = [
    "EVENTS",
    "KEY",
    "NO_RUN",
    "SPLITS",
    "Case",
    "Group",
    "Part",
    "keys_of",
    "known_in",
    "on_keys",
    "places",
    "words_in",
]

KEY = ["date", "ticker"]
KEY_OF_TEXT = [*KEY, "doc_id", "chunk_id"]
EVENTS = "qualitative_events"  # the table of documents that stands beside the qualitative analyst's own
KEY_OF_EVENTS = [*KEY, "doc_id"]
SPLITS = ("train", "val", "test")
NO_RUN = "needs a run folder"
NEEDED = ("date", "ticker", "final_recommendation")  # fewer make no table of decisions


@dataclass(frozen=True, slots=True)
class Part:
    """The table of one module in one chunk and split."""

    module: str
    chunk: int
    split: str
    path: Path

    @property
    def of_text(self) -> bool:
        """Whether its rows are chunks of documents about names, several for a day and name."""
        return self.module in TEXT_MODULES

    @property
    def key(self) -> list[str]:
        """The columns that tell its rows apart."""
        return KEY_OF_TEXT if self.of_text else KEY_OF_EVENTS if self.module == EVENTS else KEY

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(_schema_of(self.path).names)

    def vectors(self) -> tuple[str, ...]:
        """Names of the columns that hold one vector per row."""
        schema = _schema_of(self.path)
        return tuple(name for name in schema.names if pa.types.is_list(schema.field(name).type))

    def read(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """These columns, all but the vectors if None; a column that is asked for and not there is empty.

        Raises
        ------
        RunFolderError
            If the table is missing, or its rows cannot be told apart.
        """
        vectors, lacking = self.vectors(), [name for name in self.key if name not in self.columns]
        if lacking:
            raise RunFolderError(f"{self.path} lacks `{lacking[0]}`, so its rows cannot be told apart. Run its plan again.")
        wanted = [name for name in self.columns if name not in vectors and (columns is None or name in columns)]
        table = pd.read_parquet(self.path, columns=wanted)
        return table if columns is None else table.reindex(columns=list(columns))

    def vector(self, column: str) -> FloatArray:
        """A column of vectors, (n_rows, k); a row without one, or of another length than the first, is NaN."""
        values = pq.read_table(self.path, columns=[column])[column].combine_chunks()
        lengths = np.asarray(values.value_lengths().fill_null(0))
        k = int(lengths.max(initial=0))
        out = np.full((len(values), k), np.nan)
        whole = lengths == k
        flat = np.asarray(values.filter(pa.array(whole)).flatten(), dtype=np.float64)
        out[whole] = flat.reshape(-1, k)
        return out


@dataclass(frozen=True, slots=True)
class Group:
    """The decisions of one chunk and split, as recorded, in their order."""

    chunk: int | None  # None where a bare table does not say
    split: str
    rows: pd.DataFrame

    def keys(self) -> pd.MultiIndex:
        """Day and name of each row."""
        return keys_of(self.rows)

    def words(self, column: str) -> pd.Series:
        """A column of words, empty if it is not there."""
        return self.rows[column] if column in self.rows.columns else pd.Series(None, index=self.rows.index, dtype=object)

    def numbers(self, column: str) -> FloatArray:
        """A column of numbers, (n_rows,); NaN if it is not there or holds none."""
        return np.asarray(pd.to_numeric(self.words(column), errors="coerce"), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Case:
    """A run folder, or the path of a bare table; one of the two is None.

    Parameters
    ----------
    unfinished : bool
        Whether a run may still be ``running``: its own job audits it before it calls it complete.
    """

    run: Path | None
    table: Path | None = None
    unfinished: bool = False

    @property
    def whole(self) -> bool:
        """Whether there is a run folder behind the decisions."""
        return self.run is not None

    @property
    def folder(self) -> Path:
        """The run folder; a `RunFolderError` where there is none."""
        if self.run is None:
            raise RunFolderError(f"{self.table} is a bare table, and this is in a run folder only. Name the run folder.")
        return self.run

    @cached_property
    def manifest(self) -> Mapping[str, Any]:
        manifest = Manifest.open(self.folder)
        if manifest is None:
            raise RunFolderError(f"{self.folder} holds no run. Name the folder that `glassbox run` wrote.")
        return manifest.content

    @cached_property
    def plan(self) -> Plan:
        return plan_from(self.manifest["plan"], folder=str((self.folder / self.manifest["plan_folder"]).resolve()))

    @property
    def rules(self) -> Rules:
        """The thresholds of the run; those of the specification for a bare table, which names none."""
        return self.plan.rules if self.whole else Rules()

    @cached_property
    def store(self) -> MarketStore:
        return open_run_store(self.folder, self.manifest)

    @cached_property
    def chunks(self) -> Mapping[int, ChunkDays]:
        return {n: chunk_days(self.store, chunk, n) for n, chunk in enumerate(self.plan.chunks, start=1)}

    @cached_property
    def subject(self) -> Subject:
        """The walk, rebuilt; see `subject_of` for what is refused."""
        return subject_of(self.folder, unfinished=self.unfinished)

    @cached_property
    def decisions(self) -> pd.DataFrame:
        return _read_bare(self.table) if self.table is not None else _recorded(self.folder / "decisions.parquet")

    @cached_property
    def approved(self) -> pd.DataFrame:
        return _recorded(self.folder / "portfolio" / "approved.parquet")

    @cached_property
    def equity(self) -> pd.DataFrame:
        return _recorded(self.folder / "portfolio" / "equity.parquet")

    def groups(self, table: pd.DataFrame | None = None) -> Iterator[Group]:
        """Decisions, or another table with their marks, by chunk and split in order of first appearance."""
        rows = self.decisions if table is None else table
        marks = [name for name in ("chunk", "split") if name in rows.columns]
        if not marks:
            yield Group(None, "", rows.reset_index(drop=True))
            return
        for _, part in rows.groupby(marks, sort=False, dropna=False):
            first: dict[str, Any] = {str(name): part[name].iloc[0] for name in marks}
            chunk = first.get("chunk")
            number = None if chunk is None or pd.isna(chunk) else int(chunk)
            split = str(first.get("split", ""))
            if self.whole and (number not in self.chunks or split not in SPLITS):
                number = None  # rows of no part of this run; the schema says so
            yield Group(number, split, part.reset_index(drop=True))

    @property
    def modules(self) -> tuple[str, ...]:
        """The modules that answered, in the order of their reads."""
        return tuple(dict.fromkeys(record["module"] for record in self.manifest["artefacts"]["modules"]))

    def part(self, module: str, chunk: int | None, split: str) -> Part | None:
        """The module's table of one chunk and split; None where it is silent."""
        if chunk is None or not self.whole or module not in self.modules:
            return None
        return Part(module, chunk, split, self.folder / "modules" / module / f"chunk{chunk}_{split}.parquet")

    def parts(self, splits: Sequence[str] = SPLITS) -> Iterator[Part]:
        """Every module's table of every chunk, in these splits."""
        for module in self.modules if self.whole else ():
            for chunk in sorted({int(one["chunk"]) for one in self.manifest["artefacts"]["modules"]}):
                for split in splits:
                    part = self.part(module, chunk, split)
                    if part is not None:
                        yield part

    def events(self, splits: Sequence[str] = SPLITS) -> Iterator[Part]:
        """The qualitative analyst's tables of documents, where there are any."""
        for part in self.parts(splits):
            path = part.path.with_name(f"{part.path.stem}_events.parquet")
            if part.module == "qualitative" and path.exists():
                yield Part(EVENTS, part.chunk, part.split, path)

    def skipped(self, module: str, chunk: int) -> IntArray:
        """Train sessions of blocks that the run says it could not fit the module for."""
        said = f"chunk {chunk}, {module}: train block "
        blocks = self.chunks[chunk].blocks
        lines = [words for words in self.manifest["warnings"] if words.startswith(said)]
        numbers = [words.removeprefix(said).partition(" ")[0] for words in lines]
        days = [blocks[int(number) - 1] for number in numbers if number.isdigit() and 1 <= int(number) <= len(blocks)]
        return np.concatenate(days) if days else np.zeros(0, dtype=np.int64)

    def sessions(self, dates: pd.Series) -> IntArray:
        """Session numbers of these dates; a day that is no session gets that of the next."""
        found = np.searchsorted(self.store.dates, dates.to_numpy().astype("datetime64[D]"))
        return np.minimum(found, self.store.n_sessions - 1).astype(np.int64)

    def assets(self, tickers: pd.Series) -> IntArray:
        """Places of these names in the store; a name that it does not have gets the place of its follower."""
        last = len(self.store.tickers) - 1
        found = np.searchsorted(np.array(self.store.tickers), tickers.to_numpy().astype(str))
        return np.minimum(found, last).astype(np.int64)

    def answered(self, group: Group) -> pd.MultiIndex:
        """Day and name of the answers that each decision rests on: its own, or earlier ones where the plan is late."""
        lag = self.plan.lag if self.whole else 0
        if not lag or group.chunk is None:
            return group.keys()
        split = self.chunks[group.chunk].splits[group.split]
        place = np.searchsorted(split, self.sessions(group.rows["date"])) - lag
        dates = self.store.dates[split[np.maximum(place, 0)]].astype("datetime64[ns]")
        dates[place < 0] = np.datetime64("NaT")  # the first days have nothing to rest on
        return pd.MultiIndex.from_arrays([pd.DatetimeIndex(dates), group.rows["ticker"].astype(object)], names=KEY)

    def aligned(self, part: Part, keys: pd.MultiIndex, columns: Sequence[str]) -> pd.DataFrame:
        """Columns of a module's table on these keys, empty where it has no such row or no such column."""
        return on_keys(part.read([*KEY, *columns]), keys, columns)

    def decided(self, chunk: int | None, split: str) -> pd.DataFrame:
        """The decisions of one chunk and split; none where there are none."""
        found = [group.rows for group in self.groups() if (group.chunk, group.split) == (chunk, split)]
        return pd.concat(found, ignore_index=True) if found else self.decisions.head(0)


def _schema_of(path: Path) -> pa.Schema:
    try:
        return pq.read_schema(path)
    except (OSError, pa.ArrowException) as broken:
        raise RunFolderError(f"{path} is missing or broken: {broken}. Run its plan again to make it anew.") from broken


def _recorded(path: Path) -> pd.DataFrame:
    """A table that every run writes."""
    _schema_of(path)
    return pd.read_parquet(path)


def keys_of(table: pd.DataFrame) -> pd.MultiIndex:
    """Day and name of each row.

    Raises
    ------
    RunFolderError
        If the table has no such columns.
    """
    lacking = [name for name in KEY if name not in table.columns]
    if lacking:
        raise RunFolderError(f"A table lacks `{lacking[0]}`, so its rows cannot be told apart. Run its plan again.")
    dates = pd.DatetimeIndex(table["date"].to_numpy().astype("datetime64[ns]"))
    return pd.MultiIndex.from_arrays([dates, table["ticker"].astype(object)], names=KEY)


def words_in(values: pd.Series) -> pd.Series:
    """A column as words; empty where there is none."""
    return values.astype(object).where(values.notna(), "").astype(str)


def known_in(table: pd.DataFrame) -> BoolArray:
    """Rows that their module says it knows."""
    known: BoolArray = table["known"].eq(True).to_numpy(dtype=bool)
    return known


def on_keys(table: pd.DataFrame, keys: pd.MultiIndex, columns: Sequence[str]) -> pd.DataFrame:
    """Columns of a table on these keys, empty where it has no such row or no such column."""
    own = keys_of(table)
    if not own.equals(keys):
        table = table.loc[~own.duplicated()].set_axis(own[~own.duplicated()]).reindex(keys).reset_index(drop=True)
    return table.reindex(columns=list(columns))


def places(part: Part, keys: pd.MultiIndex) -> tuple[IntArray, BoolArray]:
    """For each key its row in the module's table, and whether there is one."""
    own = keys_of(part.read(KEY))
    if own.equals(keys):
        return np.arange(len(keys), dtype=np.int64), np.ones(len(keys), dtype=bool)
    first = own.drop_duplicates()
    found = first.get_indexer(keys)
    rows = np.flatnonzero(~own.duplicated())
    there: BoolArray = found >= 0
    return rows[np.where(there, found, 0)].astype(np.int64), there


def _read_bare(path: Path) -> pd.DataFrame:
    """A table of decisions from CSV or Parquet.

    Raises
    ------
    InputError
        If there is no such file, it cannot be read, or it is no table of decisions.
    """
    try:
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
        else:  # a name such as NA or TRUE is a ticker, and only an empty cell is missing
            table = pd.read_csv(path, dtype={"ticker": str}, keep_default_na=False, na_values=[""], low_memory=False)
    except FileNotFoundError as missing:
        raise InputError(f"There is no {path}. Name a run folder, or a table of decisions (.csv, .parquet).") from missing
    except (OSError, ValueError, pa.ArrowException) as broken:
        raise InputError(f"{path} cannot be read as a table: {broken}. Write it again as CSV or Parquet.") from broken
    lacking = [name for name in NEEDED if name not in table.columns]
    if lacking or table.empty:
        why = f"it lacks `{'`, `'.join(lacking)}`" if lacking else "it has no rows"
        raise InputError(f"{path} is no table of decisions: {why}. The columns are those of `fused_decisions`, spec 25.1.")
    return table.assign(date=_days(table["date"], path))


def _days(dates: pd.Series, path: Path) -> pd.Series:
    if pd.api.types.is_datetime64_any_dtype(dates):
        return dates
    try:
        return pd.to_datetime(dates.astype(str), format="%Y-%m-%d")
    except ValueError as wrong:
        raise InputError(f"`date` of {path} holds something that is no day: {wrong}. Write YYYY-MM-DD.") from wrong
