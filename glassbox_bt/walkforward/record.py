"""Writes the run folder: one row per decision, fill and day; outcomes for the evaluator, sealed apart."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from glassbox_bt.market.labels import next_log_return_1d
from glassbox_bt.market.store import MarketStore
from glassbox_bt.portfolio.book import Bars, Book, FillCode
from glassbox_bt.portfolio.ledger import book_in_vectorbt, compare, prove
from glassbox_bt.runs.artefacts import copy_whole
from glassbox_bt.types import AnyArray, IntArray
from glassbox_bt.walkforward.chunks import ChunkDays
from glassbox_bt.walkforward.fitting import REJECTED, ChunkFitter, FitRecord
from glassbox_bt.walkforward.tables import EXTRA_TABLES, join_tables, write_table

__all__ = ["ChunkRecord", "Replay", "booked", "equity_table", "record_chunk", "record_module", "record_run"]

REPLAYED = ("val", "test")
ENGINED = ("text_encoder", "sentiment")  # whose fits may name an engine: sentiment where labelled sentences taught it


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """One strategy on one split of one chunk."""

    strategy: str
    split: str
    days: IntArray
    tickers: tuple[str, ...]
    bars: Bars
    book: Book
    tables: Mapping[str, pd.DataFrame]  # "decisions", "approved", "trades", "drawdowns": whatever there is


@dataclass(frozen=True, slots=True)
class ChunkRecord:
    """What one chunk adds to the run folder; travels between processes."""

    chunk: Mapping[str, Any]
    tables: Mapping[str, pd.DataFrame]
    fits: tuple[FitRecord, ...]
    warnings: tuple[str, ...]


def booked(replay: Replay, store: MarketStore) -> Replay:
    """The replay with its book proved twice: by the accounting identity and by vectorbt, which adds trades and drawdowns."""
    prove(replay.book, replay.bars)
    booking = book_in_vectorbt(replay.book, replay.bars)
    compare(replay.book, booking)
    dates, tickers = store.dates[replay.days], np.array(replay.tickers, dtype=object)
    trades = booking.trades.assign(
        ticker=tickers[booking.trades["asset"].to_numpy(dtype=np.int64)],
        entered_on=dates[booking.trades["entry_session"].to_numpy(dtype=np.int64)],
        left_on=dates[booking.trades["exit_session"].to_numpy(dtype=np.int64)],
    ).drop(columns=["asset", "entry_session", "exit_session"])
    falls = booking.drawdowns.assign(
        **{
            f"{what}_on": dates[booking.drawdowns[f"{what}_session"].to_numpy(dtype=np.int64)]
            for what in ("peak", "valley", "end")
        }
    ).drop(columns=["peak_session", "valley_session", "end_session"])
    return replace(replay, tables={**replay.tables, "trades": trades, "drawdowns": falls})


def record_chunk(fitter: ChunkFitter, fits: Sequence[FitRecord], replays: Sequence[Replay]) -> ChunkRecord:
    """Tables of one chunk, every row marked with chunk, split and strategy."""
    days, store = fitter.days, fitter.store
    tables: dict[str, list[pd.DataFrame]] = {}
    for replay in replays:
        made = {
            "portfolio/equity": equity_table(replay.book, store.dates[replay.days]),
            "portfolio/weights": _weights(replay, store),
            "portfolio/orders": _orders(replay, store),
            **{_place(name): table for name, table in replay.tables.items()},
        }
        for name, table in made.items():
            tables.setdefault(name, []).append(_marked(table, days.number, replay, name != "decisions"))
    tables["evaluation/outcomes"] = [_outcomes(fitter)]
    joined = {name: pd.concat(parts, ignore_index=True) for name, parts in tables.items()}
    return ChunkRecord(_chunk_facts(days, store), joined, tuple(fits), tuple(fitter.skipped))


def record_run(run: Path, store: MarketStore, market_digest: str, records: Sequence[ChunkRecord]) -> dict[str, Any]:
    """Write every table of the run and return the manifest's share of it."""
    for name in records[0].tables:
        table = pd.concat([record.tables[name] for record in records], ignore_index=True)
        write_table(run / f"{name}.parquet", table)
    for record in records:
        for fit in record.fits:
            record_module(run, fit)
    engines, stamps = _text_engines(run, records)
    return {
        **({"text_engines": engines} if engines else {}),
        "market": {"n_sessions": store.n_sessions, "n_names": store.n_assets, **store.facts},
        "chunks": [record.chunk for record in records],
        "warnings": [*(words for record in records for words in record.warnings), *stamps],
        "artefacts": {
            "market": market_digest,
            "modules": [_seen_from(run, fit) for record in records for fit in record.fits],
        },
        "timings": [
            {
                "stage": fit.module,
                "chunk": fit.chunk,
                "seconds": fit.seconds,
                "cached": all(one["cached"] for one in (*fit.fits, *fit.parts)),
            }
            for record in records
            for fit in record.fits
        ],
    }


def _text_engines(run: Path, records: Sequence[ChunkRecord]) -> tuple[list[dict[str, Any]], list[str]]:
    """Which engine read the text of each chunk, and a warning where it may know how the test year went on (D-FIN-01)."""
    engines, stamps = [], []
    for record, module in ((record, module) for record in records for module in ENGINED):
        number, (first, last) = record.chunk["chunk"], record.chunk["test"]
        place = run / "models" / module / f"chunk{number}" / "frozen.json"
        facts = json.loads(place.read_text(encoding="utf-8")).get("provenance") if place.exists() else None
        if not facts:
            continue
        cutoff = str(facts["knowledge_cutoff"])
        stamp = "clean" if cutoff == "none" or (cutoff != "unknown" and cutoff < first) else "knowledge_contaminated"
        stamp = "unknown" if cutoff == "unknown" else stamp
        engines.append({"chunk": number, "module": module, "stamp": stamp, **facts})
        if stamp == "knowledge_contaminated":
            stamps.append(
                f"chunk {number}: the text engine {facts['engine']} may have learned from text up to {cutoff}, so it may "
                f"know how things went in its test days, {first} to {last} (knowledge_contaminated)."
            )
        elif stamp == "unknown":
            stamps.append(
                f"chunk {number}: nobody knows up to when the text engine {facts['engine']} learned, so it may know how "
                "things went in its test days."
            )
    return engines, stamps


def _seen_from(run: Path, fit: FitRecord) -> dict[str, Any]:
    """The record with its paths relative to the run folder, so that the folder can be moved."""
    plain = asdict(fit)
    for part in plain["parts"]:
        part["path"] = str(Path(part["path"]).relative_to(run))
    return {**plain, **{which: str(Path(plain[which]).relative_to(run)) for which in ("frozen", "before")}}


def record_module(run: Path, fit: FitRecord) -> None:
    """Write the tables and the frozen fit of one module in one chunk."""
    for split in ("train", "val", "test", REJECTED):
        paths = [Path(part["path"]) / "table.parquet" for part in fit.parts if part["split"] == split]
        if not paths and split == REJECTED:
            continue
        join_tables(paths, run / "modules" / fit.module / f"chunk{fit.chunk}_{split}.parquet")
        for name in EXTRA_TABLES:
            more = [path.with_name(f"table.{name}.parquet") for path in paths]
            if more and all(path.exists() for path in more):
                join_tables(more, run / "modules" / fit.module / f"chunk{fit.chunk}_{split}_{name}.parquet")
    copy_whole(Path(fit.frozen), run / "models" / fit.module / f"chunk{fit.chunk}")


def _place(name: str) -> str:
    return "decisions" if name == "decisions" else f"portfolio/{name}"


def _marked(table: pd.DataFrame, chunk: int, replay: Replay, with_strategy: bool) -> pd.DataFrame:
    marks = {"chunk": chunk, "split": replay.split} | ({"strategy": replay.strategy} if with_strategy else {})
    return pd.concat([pd.DataFrame(marks, index=table.index), table], axis=1)


def equity_table(book: Book, dates: AnyArray) -> pd.DataFrame:
    """One row per session: money, exposure as a fraction of equity, and the simple return."""
    return pd.DataFrame(
        {
            "date": dates,
            "equity": book.equity,
            "cash": book.cash,
            "exposure": book.exposure,
            "traded": book.traded,
            "costs": book.costs,
            "return": book.returns,
        }
    )


def _weights(replay: Replay, store: MarketStore) -> pd.DataFrame:
    day, asset = np.nonzero(replay.book.shares)
    value = replay.book.shares[day, asset] * replay.bars.mark[day, asset]
    return pd.DataFrame(
        {
            "date": store.dates[replay.days][day],
            "ticker": np.array(replay.tickers, dtype=object)[asset],
            "weight": value / replay.book.equity[day],
        }
    )


def _orders(replay: Replay, store: MarketStore) -> pd.DataFrame:
    fills, dates = replay.book.fills, store.dates[replay.days]
    return pd.DataFrame(
        {
            "decided_on": dates[fills.decided_session],
            "filled_on": dates[fills.filled_session],
            "ticker": np.array(replay.tickers, dtype=object)[fills.asset],
            "side": np.where(fills.side > 0, "buy", "sell"),
            "ordered_shares": fills.ordered_shares,
            "filled_shares": fills.filled_shares,
            "price": fills.price,
            "commission": fills.commission,
            "spread": fills.spread,
            "impact": fills.impact,
            "code": np.array([code.label for code in FillCode], dtype=object)[fills.code],
        }
    )


def _outcomes(fitter: ChunkFitter) -> pd.DataFrame:
    """Labels of validation and test members, as they turned out within their own split.

    A label that is known only after the split's last close is missing: no figure leans on days outside the split. The return
    of the next session is that of someone who holds the name at the close: what value at risk speaks of, no label (R2).
    """
    store, days = fitter.store, fitter.days
    assets = store.assets_until(days.first, days.last)
    frames = []
    for split in REPLAYED:
        rows = days.splits[split]
        day, asset = np.nonzero(store.member[np.ix_(rows, assets)])
        frame: dict[str, Any] = {"chunk": days.number, "split": split, "date": store.dates[rows][day]}
        frame["ticker"] = np.array(store.tickers, dtype=object)[assets[asset]]
        for name, label in store.labels.items():
            values = label.on(rows, assets)
            values[~(label.known_at[rows] <= store.decided_at[rows[-1]])] = np.nan
            frame[name] = values[day, asset]
        frame["next_log_return_1d"] = next_log_return_1d(store.columns, rows)[:, assets][day, asset]
        frames.append(pd.DataFrame(frame))
    return pd.concat(frames, ignore_index=True)


def _chunk_facts(days: ChunkDays, store: MarketStore) -> dict[str, Any]:
    def ends(part: IntArray) -> list[str]:
        return [str(store.dates[part[0]]), str(store.dates[part[-1]])]

    def mean_members(part: AnyArray) -> float:
        return round(float(store.member[part].sum(axis=1).mean()), 2)

    return {
        "chunk": days.number,
        "train": ends(days.train),
        "validation": ends(days.val),
        "test": ends(days.test),
        "n_members_mean": mean_members(days.test),
        "n_members_mean_train": mean_members(days.train),
    }
