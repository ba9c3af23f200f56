"""What is audited for look-ahead: a finished walk, and how its market came from the raw tables.

`subject_of` rebuilds a walk from a run folder: nothing is fitted again, answers and fits are those that the run recorded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from glassbox_bt.backtest import open_run_store, read_market
from glassbox_bt.errors import InputError, RunFolderError
from glassbox_bt.market.documents import TextColumn
from glassbox_bt.market.ingest import build_store
from glassbox_bt.market.sources.raw import RawMarket
from glassbox_bt.market.store import Column, MarketStore
from glassbox_bt.plan import Plan, load_strategies, plan_from
from glassbox_bt.runs.artefacts import code_digest
from glassbox_bt.runs.manifest import Manifest
from glassbox_bt.types import IntArray
from glassbox_bt.walkforward.fitting import ChunkFitter
from glassbox_bt.walkforward.restored import restored_walks
from glassbox_bt.walkforward.rivals import Strategy
from glassbox_bt.walkforward.text_answers import Said, TextAnswers

__all__ = ["FITS", "Build", "Subject", "Walk", "fit_folder", "on_store", "subject_of"]

Build = Callable[[RawMarket], MarketStore]

FITS = ("fits", "frozen", "decided")  # kinds of artefacts that hold one


@dataclass(frozen=True, slots=True, eq=False)
class Walk:
    """One chunk that was walked: its answers and final fits, and which fits were made (fold, digest, fitted_through)."""

    fitter: ChunkFitter
    fits: Mapping[str, Sequence[Mapping[str, Any]]]

    @property
    def number(self) -> int:
        return self.fitter.days.number


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """Everything a look-ahead audit looks at; each part can be replaced, so that faults can be planted.

    Parameters
    ----------
    raw : RawMarket
        The tables as the source gives them.
    build : Build
        What turns them into a store; with the store's own raw tables it must give the store that was walked.
    walks : tuple[Walk, ...]
        One per chunk, all on the same store.
    strategies : tuple[Strategy, ...]
        The rivals.
    seed : int
        Of the cuts and of the poison.
    plan : Plan or None
        With it, and with ``decisions``, the daily loop is replayed up to each cut.
    orders, decisions : DataFrame or None
        ``portfolio/orders.parquet`` and ``decisions.parquet``.
    """

    raw: RawMarket
    build: Build
    walks: tuple[Walk, ...]
    strategies: tuple[Strategy, ...] = ()
    seed: int = 0
    plan: Plan | None = None
    orders: pd.DataFrame | None = None
    decisions: pd.DataFrame | None = None

    @property
    def store(self) -> MarketStore:
        return self.walks[0].fitter.store


def subject_of(run: Path, *, unfinished: bool = False) -> Subject:
    """The subject that a finished run holds; with ``unfinished``, one whose walk is recorded and whose job still runs.

    Raises
    ------
    RunFolderError
        If the run is not finished, its market cannot be read any more or has changed, or the program has changed since.
    """
    manifest = _manifest(run, unfinished)
    _refuse_other_code(manifest)
    plan = plan_from(manifest["plan"], folder=str((run / manifest["plan_folder"]).resolve()))
    raw = _raw(plan, manifest)
    fits: dict[int, dict[str, Sequence[Mapping[str, Any]]]] = {}
    for record in manifest["artefacts"]["modules"]:
        fits.setdefault(record["chunk"], {})[record["module"]] = record["fits"]
    fitters = restored_walks(run, manifest, plan, open_run_store(run, manifest))
    walks = [Walk(fitter, fits[fitter.days.number]) for fitter in fitters]
    rule, delist_return = plan.market.universe, plan.market.delist_return
    return Subject(
        raw=raw,
        build=lambda tables: build_store(tables, rule, delist_return=delist_return, complete=False),
        walks=tuple(walks),
        strategies=load_strategies(plan),
        seed=plan.seed,
        plan=plan,
        orders=pd.read_parquet(run / "portfolio" / "orders.parquet"),
        decisions=pd.read_parquet(run / "decisions.parquet"),
    )


def fit_folder(fitter: ChunkFitter, digest: str) -> Path:
    """Where a fit lies: as it was made, with its rank scale frozen (R14), or as validation decided (R5)."""
    places = [fitter.artefacts.root / kind / digest for kind in FITS]
    for place in places:
        if place.is_dir():
            return place
    raise RunFolderError(f"The fit {digest[:12]} is missing below {fitter.artefacts.root}. Run again, then audit.")


def on_store(fitter: ChunkFitter, store: MarketStore) -> ChunkFitter:
    """The same walk on another store: the recorded answers stand at the places of their names, and of their documents.

    Names that the other store does not have are left out; sessions keep their numbers, because both stores start on the
    same day.
    """
    place = {ticker: at for at, ticker in enumerate(store.tickers)}

    def moved(assets: IntArray) -> tuple[IntArray, IntArray]:
        """Which of these names are there, and where; tickers are sorted in both stores, so the order stays."""
        there = [i for i, asset in enumerate(assets) if fitter.store.tickers[asset] in place]
        here = [place[fitter.store.tickers[assets[i]]] for i in there]
        return np.array(there, dtype=np.int64), np.array(here, dtype=np.int64)

    text = _text_places(fitter.store, store)
    columns: dict[str, Column] = {}
    for name, column in fitter.columns.items():
        if isinstance(column, TextColumn):
            columns[name] = _moved_text_column(column, text)
            continue
        there, here = moved(column.assets)
        columns[name] = dataclasses.replace(column, assets=here, values=column.values[:, there])
    answers: dict[str, Said] = {}
    for name, given in fitter.answers.items():
        if isinstance(given, TextAnswers):  # nobody asks the walk on another store for them: it has their columns
            continue
        there, here = moved(given.assets)
        outputs = {output: values[:, there] for output, values in given.outputs.items()}
        known, reason = given.known[:, there], given.reason[:, there]
        answers[name] = dataclasses.replace(given, assets=here, outputs=outputs, known=known, reason=reason)
    return dataclasses.replace(fitter, store=store, columns=columns, answers=answers)


def _text_places(clean: MarketStore, other: MarketStore) -> IntArray:
    """Place of each row of text in the other store's table, -1 where it is not there."""
    frames = clean.text.frame, other.text.frame
    keys = [pd.MultiIndex.from_frame(frame[["known_at", "ticker", "chunk_id"]]) for frame in frames]
    return np.asarray(keys[1].get_indexer(keys[0]), dtype=np.int64)


def _moved_text_column(column: TextColumn, places: IntArray) -> TextColumn:
    here = places[column.rows]
    kept = np.flatnonzero(here >= 0)
    kept = kept[np.argsort(here[kept], kind="stable")]
    return dataclasses.replace(
        column,
        rows=here[kept],
        session=column.session[kept],
        values=column.values[kept],
        fitted_through=column.fitted_through[kept],
    )


def _manifest(run: Path, unfinished: bool) -> Mapping[str, Any]:
    manifest = Manifest.open(run)
    if manifest is None:
        raise RunFolderError(f"{run} holds no run. Name the folder that `glassbox run` wrote.")
    status = manifest.content.get("status")
    if status != "complete" and not (unfinished and status == "running"):
        raise RunFolderError(f"The run in {run} is `{status}`, not complete. Finish it with `glassbox run`, then audit it.")
    return manifest.content


def _raw(plan: Plan, manifest: Mapping[str, Any]) -> RawMarket:
    try:
        market = read_market(plan)
    except InputError as wrong:
        raise RunFolderError(
            f"The market of this run, `{plan.market.source}`, cannot be read any more: {wrong} "
            "The audit starts from the raw tables; put them back."
        ) from wrong
    if market.fingerprint != manifest["data_fingerprint"]:
        raise RunFolderError(
            f"The market `{plan.market.source}` has changed since the run: its fingerprint is {market.fingerprint[:12]}, "
            f"the run's is {manifest['data_fingerprint'][:12]}. Put the old tables back, or run again."
        )
    return market.raw


def _refuse_other_code(manifest: Mapping[str, Any]) -> None:
    for name, digest in manifest["code_digest"].items():
        if name != "glassbox_bt.cli.job" and code_digest(name) != digest:
            raise RunFolderError(f"`{name}` has changed since the run, so another stack would be audited. Run again first.")
