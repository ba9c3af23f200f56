"""What text there was: by split, day, month and name; how long it waited for a decision; what weight its branch had.

A *name-day* is a row of the decisions: a member of the universe on one day. It *has text* where the qualitative branch had
an answer, so a document of that day or of one of the five sessions before; it *has a document* where one of that session
speaks of the name. Documents are counted once for each name, however many chunks they have. Figures that judge are those of
test; rows of validation only describe and are marked ``selection`` = 1 (R5).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from glassbox_bt.backtest import open_run_store
from glassbox_bt.evaluation.books import POOLED
from glassbox_bt.market.calendar import time_zone
from glassbox_bt.types import AnyArray, FloatArray

__all__ = ["BINS", "MOMENTS", "on_the_exchange", "reads_text", "text_coverage"]

TEST = "test"
SPLITS = ("val", TEST)
AVAILABLE, WEIGHT = "text_available", "learned_qualitative_weight"
KEYS = ["date", "ticker"]
LISTED = 10  # names with the most and the fewest documents
# When a document was published, on the exchange's clock.
MOMENTS = ("before_open", "in_session", "after_close", "no_session", "day_only")
BINS = (0.0, 1.0, 2.0, 4.0, 7.0, 12.0, 18.0, 24.0, 48.0, 72.0, 96.0)  # hours; the last bin is open
QUANTILES = {"p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95, "max": 1.0}


@dataclass(frozen=True, slots=True)
class _Text:
    """Name-days of validation and test, and documents by session."""

    cells: pd.DataFrame  # chunk, split, date, ticker, text_available, learned_qualitative_weight, n_documents
    documents: pd.DataFrame  # date (session), ticker (empty = market-wide), doc_id, published_at, lag in hours, moment

    def of(self, chunk: int, split: str) -> pd.DataFrame:
        """Name-days of a chunk's split, or of all chunks."""
        mine = self.cells["split"] == split
        return self.cells[mine if chunk == POOLED else mine & (self.cells["chunk"] == chunk)]

    @property
    def parts(self) -> tuple[tuple[int, str], ...]:
        """Chunk and split of each part."""
        return tuple((chunk, split) for chunk in self.chunks for split in SPLITS)

    @property
    def chunks(self) -> tuple[int, ...]:
        """Their numbers, in order."""
        return tuple(int(chunk) for chunk in np.unique(self.cells["chunk"].to_numpy()))


def reads_text(manifest: Mapping[str, Any]) -> bool:
    """Whether the market of a run has text and its plan lets the qualitative branch speak."""
    facts = manifest.get("market", {}).get("text") or {}
    return bool(facts.get("n_documents")) and "qualitative" not in manifest.get("silent_modules", ())


def text_coverage(run: Path, manifest: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Lists by name: ``parts, days, months, tickers, lags, lag_bins, weights``; empty where no text was read.

    Chunk 0 stands for the test days of all chunks.
    """
    if not reads_text(manifest):
        return {}
    text = _read(run, open_run_store(run, manifest))
    spans = (POOLED, *text.chunks)
    return {
        "parts": [_part(text, *key) for key in (*text.parts, (POOLED, TEST))],
        "days": [row for chunk in text.chunks for row in _periods(text.of(chunk, TEST), chunk, TEST, "date")],
        "months": [row for key in text.parts for row in _periods(text.of(*key), *key, "month")],
        "tickers": _tickers(text.of(POOLED, TEST)),
        "lags": [_lag(_on_test(text, chunk), chunk) for chunk in spans],
        "lag_bins": _lag_bins(_on_test(text, POOLED)["lag"].to_numpy()),
        "weights": [row for chunk in spans for row in _weights(text.of(chunk, TEST), chunk)],
    }


def _read(run: Path, store: Any) -> _Text:
    frame: pd.DataFrame = store.text.frame
    session = frame["session"].to_numpy()
    documents = pd.DataFrame(
        {
            "date": pd.DatetimeIndex(store.dates[session].astype("datetime64[ns]")),
            "ticker": frame["ticker"].to_numpy(dtype=object),
            "doc_id": frame["doc_id"].to_numpy(dtype=object),
            "lag": (store.decided_at[session] - frame["published_at"].to_numpy()) / np.timedelta64(1, "h"),
            "moment": _moments(store, frame),
        }
    )[frame["chunk_index"].to_numpy() == 0]
    cells = pd.read_parquet(run / "decisions.parquet", columns=["chunk", "split", *KEYS, AVAILABLE, WEIGHT])
    cells = cells[cells["split"].isin(SPLITS)]
    cells = cells.assign(date=pd.to_datetime(cells["date"]).astype("datetime64[ns]"))
    counts = documents[documents["ticker"] != ""].groupby(KEYS).size().rename("n_documents").reset_index()
    cells = cells.merge(counts, on=KEYS, how="left", validate="m:1")
    return _Text(cells.assign(n_documents=cells["n_documents"].fillna(0).astype(np.int64)), documents)


def on_the_exchange(store: Any, published: AnyArray) -> pd.DatetimeIndex:
    """Moments in UTC by the exchange's clock; a text without a time stands at the last second of its day there."""
    zone = time_zone(str(store.facts["calendar"]))
    return pd.DatetimeIndex(published).tz_localize("UTC").tz_convert(zone).tz_localize(None)


def _moments(store: Any, frame: pd.DataFrame) -> AnyArray:
    """Which of `MOMENTS` each row was published in, (n_rows,)."""
    published = frame["published_at"].to_numpy()
    day = on_the_exchange(store, published).to_numpy().astype("datetime64[D]")
    place = np.searchsorted(store.dates, day).clip(max=len(store.dates) - 1)
    is_session = store.dates[place] == day
    choices = [
        ~frame["has_time"].to_numpy(dtype=bool),
        ~is_session,
        published < store.opens_at[place],
        published <= store.decided_at[place],
    ]
    return np.select(choices, ["day_only", "no_session", "before_open", "in_session"], default="after_close")


def _part(text: _Text, chunk: int, split: str) -> dict[str, Any]:
    cells = text.of(chunk, split)
    counts = cells["n_documents"].to_numpy()
    there = counts[counts > 0]
    days = cells["date"].unique()
    wide = text.documents[(text.documents["ticker"] == "") & text.documents["date"].isin(days)]
    written = cells[counts > 0]
    return {
        "chunk": chunk,
        "split": split,
        "selection": int(split != TEST),
        "n_days": len(days),
        **_shares(cells),
        "n_market_wide": int(wide["doc_id"].nunique()),
        "n_names": int(cells["ticker"].nunique()),
        "n_names_with_document": int(written["ticker"].nunique()),
        "median_documents": float(np.median(there)) if len(there) else None,
        "max_documents": int(counts.max(initial=0)),
    }


def _shares(cells: pd.DataFrame) -> dict[str, Any]:
    """Name-days, those with text and with a document, and the documents."""
    n_cells = len(cells)
    with_text = int((cells[AVAILABLE] == 1).sum())
    with_document = int((cells["n_documents"] > 0).sum())
    return {
        "n_name_days": n_cells,
        "n_with_text": with_text,
        "share_with_text": with_text / n_cells if n_cells else None,
        "n_with_document": with_document,
        "share_with_document": with_document / n_cells if n_cells else None,
        "n_documents": int(cells["n_documents"].sum()),
    }


def _periods(cells: pd.DataFrame, chunk: int, split: str, by: str) -> Iterator[dict[str, Any]]:
    """One row for each day or month."""
    name = cells["date"].dt.strftime("%Y-%m-%d" if by == "date" else "%Y-%m")
    for period, rows in cells.groupby(name, sort=True):
        yield {"chunk": chunk, "split": split, "selection": int(split != TEST), by: str(period), **_shares(rows)}


def _tickers(cells: pd.DataFrame) -> list[dict[str, Any]]:
    """The `LISTED` names with the most and the fewest documents; all, as ``most``, where there are not more than both."""
    found = cells.assign(has=cells["n_documents"] > 0).groupby("ticker", sort=True)
    table = found.agg(n_days=("date", "size"), n_days_with_document=("has", "sum"), n_documents=("n_documents", "sum"))
    table = table.reset_index().sort_values(["n_documents", "ticker"], ascending=[False, True], kind="stable")
    few = len(table) <= 2 * LISTED
    parts = (("most", table),) if few else (("most", table.head(LISTED)), ("fewest", table.tail(LISTED)))
    rows: list[tuple[str, dict[Any, Any]]] = [(place, row) for place, part in parts for row in part.to_dict("records")]
    return [
        {
            "place": place,
            "ticker": str(row["ticker"]),
            "n_days": int(row["n_days"]),
            "n_days_with_document": int(row["n_days_with_document"]),
            "share_with_document": int(row["n_days_with_document"]) / int(row["n_days"]),
            "n_documents": int(row["n_documents"]),
        }
        for place, row in rows
    ]


def _on_test(text: _Text, chunk: int) -> pd.DataFrame:
    """Documents that a decision of test may use first, each once, whatever the number of its names on the axis."""
    mine = text.documents[text.documents["date"].isin(text.of(chunk, TEST)["date"].unique())]
    return mine.drop_duplicates(["date", "doc_id"])


def _lag(documents: pd.DataFrame, chunk: int) -> dict[str, Any]:
    lag = documents["lag"].to_numpy()
    shares = documents["moment"].value_counts(normalize=True)
    return {
        "chunk": chunk,
        "n_documents": len(documents),
        **{name: float(np.quantile(lag, share)) if len(lag) else None for name, share in QUANTILES.items()},
        **{name: float(shares.get(name, 0.0)) if len(lag) else None for name in MOMENTS},
    }


def _lag_bins(lag: FloatArray) -> list[dict[str, Any]]:
    """Counts of the bins ``[low, high)`` of `BINS`, hours; the last has no upper end."""
    counts = np.bincount(np.searchsorted(BINS, lag, side="right") - 1, minlength=len(BINS)) if len(lag) else [0] * len(BINS)
    highs = (*BINS[1:], None)
    return [{"low": low, "high": high, "n": int(n)} for low, high, n in zip(BINS, highs, counts, strict=True)]


def _weights(cells: pd.DataFrame, chunk: int) -> Iterator[dict[str, Any]]:
    """Learned weight of the branch on name-days without and with text; rows on which fusion said nothing are left out."""
    for available in (0, 1):
        values = cells.loc[(cells[AVAILABLE] == available) & cells[WEIGHT].notna(), WEIGHT].to_numpy(dtype=np.float64)
        some = len(values) > 0
        yield {
            "chunk": chunk,
            "text_available": available,
            "n_rows": len(values),
            "mean": float(values.mean()) if some else None,
            "p50": float(np.quantile(values, 0.5)) if some else None,
            "p99": float(np.quantile(values, 0.99)) if some else None,
            "max": float(values.max()) if some else None,
        }
