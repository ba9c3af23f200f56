"""Tiny markets with text, made-up answers to their documents, and outcomes that follow the words or do not."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from glassbox_bt.market.documents import COLUMNS, MARKET_WIDE, TextColumn
from glassbox_bt.market.store import Column, Label, MarketStore
from glassbox_bt.market.view import Span, TrainView
from glassbox_bt.modules._qualitative_events import NEWS, SENTIMENT
from glassbox_bt.modules.analysts.qualitative import FittedQualitative, QualitativeAnalyst
from glassbox_bt.modules.base import Candidate, FitContext
from glassbox_bt.types import FloatArray, IntArray
from tests.builders import tiny_store

__all__ = [
    "CONTEXT",
    "LATER",
    "SMALL",
    "TRAIN",
    "Case",
    "Doc",
    "case_of",
    "fitted",
    "frame_of",
    "ic_interval",
    "random_docs",
    "said_of",
    "span_of",
    "train_of",
]

TRAIN, LATER = np.arange(30, 430, dtype=np.int64), np.arange(452, 560, dtype=np.int64)
CONTEXT = FitContext(seed=4, module="qualitative", chunk=1, fold=0)
SMALL = QualitativeAnalyst(hidden=16, epochs=6, batch_size=256, learning_rate=3e-3, min_rows=100)
EXCESS, DRAWDOWN, VOL = "forward_excess_log_return_10d", "forward_drawdown_10d", "forward_vol_20d"


@dataclass(frozen=True, slots=True)
class Doc:
    """One document and what the analysts said of it; a source that is None said nothing."""

    session: int
    asset: int
    chunks: int = 1
    sentiment: float | None = 0.0
    impact: float | None = 0.0
    risk: float = 0.5
    sure: float = 0.7
    importance: float = 0.5
    body: str = "some words about a name"
    words: tuple[int, ...] = ()  # of each chunk


@dataclass(frozen=True, slots=True)
class Case:
    """A market and the answers to its text."""

    store: MarketStore
    answers: Mapping[str, Column]


def frame_of(docs: list[Doc], store: MarketStore) -> pd.DataFrame:
    """The table of text, in order of sessions."""
    rows: list[dict[str, Any]] = []
    for number, doc in enumerate(sorted(docs, key=lambda one: one.session)):
        for chunk in range(doc.chunks):
            at = store.decided_at[doc.session] - np.timedelta64(1, "h")
            rows.append(
                {
                    **{"session": doc.session, "asset": doc.asset, "document": number, "chunk_index": chunk},
                    **{"n_chunks": doc.chunks, "word_count": doc.words[chunk] if doc.words else 20, "n_copies": 1},
                    **{"has_time": True, "published_at": at, "known_at": at, "form_type": "", "source": "made up"},
                    "ticker": "" if doc.asset == MARKET_WIDE else store.tickers[doc.asset],
                    **{"doc_id": f"d{number}", "chunk_id": f"d{number}#{chunk}", "body": doc.body},
                }
            )
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.astype(dict(COLUMNS))


def said_of(docs: list[Doc], **values: Any) -> dict[str, Column]:
    """The answers of sentiment and news to every chunk, known before anything else; ``values`` replace a column."""
    spread = [doc for doc in sorted(docs, key=lambda one: one.session) for _ in range(doc.chunks)]
    session = np.array([doc.session for doc in spread], dtype=np.int64)
    tone, impact = (
        np.array([getattr(doc, name) if getattr(doc, name) is not None else np.nan for doc in spread], dtype=np.float64)
        for name in ("sentiment", "impact")
    )
    risk, sure, importance = (
        np.array([getattr(d, n) for d in spread], dtype=np.float64) for n in ("risk", "sure", "importance")
    )
    given = {
        "sentiment_score": tone,
        "sentiment_confidence": sure,
        "sentiment_uncertainty": 1.0 - sure,
        "sentiment_magnitude": np.abs(tone),
        "news_event_impact": impact,
        "news_importance": importance,
        "risk_relevance": risk,
        "volatility_spike": risk,
        "drawdown_risk": risk,
        "news_uncertainty": 1.0 - sure,
    }
    rows, nothing = np.arange(len(spread), dtype=np.int64), np.full(len(spread), -1, dtype=np.int64)
    columns: dict[str, Column] = {}
    for owner, names, there in (("sentiment", SENTIMENT, np.isfinite(tone)), ("news", NEWS, np.isfinite(impact))):
        for name, column in names.items():
            told = np.asarray(values.get(name, given[name]), dtype=np.float64)
            columns[column] = TextColumn(rows, session, np.where(there, told, np.nan), nothing)
        columns[f"{owner}.known"] = TextColumn(rows, session, there.astype(np.float64), nothing)
    return columns


def random_docs(store: MarketStore, seed: int = 0, rate: float = 0.35) -> list[Doc]:
    """Documents about random names: tone and impact share a sign, one source is silent now and then."""
    rng = np.random.default_rng(seed)
    docs = []
    for session, asset in zip(*np.nonzero(rng.random((store.n_sessions, store.n_assets)) < rate), strict=True):
        truth, chunks = rng.standard_normal(), int(rng.integers(1, 4))
        tone, impact = np.tanh(truth + 0.5 * rng.standard_normal(2))
        silent = rng.random()
        docs.append(
            Doc(
                session=int(session),
                asset=int(asset),
                chunks=chunks,
                risk=float(rng.random()),
                sure=float(rng.uniform(0.34, 0.99)),
                importance=float(rng.random()),
                sentiment=None if silent < 0.15 else float(tone),
                impact=None if silent > 0.85 else float(impact),
                words=tuple(int(one) for one in rng.integers(5, 300, chunks)),
            )
        )
    return [*docs, *(Doc(session, MARKET_WIDE) for session in range(10, store.n_sessions, 7))]


def decayed(docs: list[Doc], store: MarketStore, name: str) -> FloatArray:
    """Decayed mean of a value of the documents by day and name, by the plainest loop; NaN without one."""
    total, weight = np.zeros(store.member.shape), np.zeros(store.member.shape)
    for doc in docs:
        value = getattr(doc, name)
        if doc.asset != MARKET_WIDE and value is not None:
            for age in range(min(6, store.n_sessions - doc.session)):
                total[doc.session + age, doc.asset] += 0.5 ** (age / 2) * value
                weight[doc.session + age, doc.asset] += 0.5 ** (age / 2)
    return np.where(weight > 0.0, total / np.maximum(weight, 1e-12), np.nan)


def case_of(strength: float = 1.0, seed: int = 0, n_assets: int = 8, docs: list[Doc] | None = None) -> Case:
    """A market whose excess returns rise with tone and whose falls come with risk, by ``strength``; 0 plants nothing."""
    store = tiny_store(580, n_assets, seed=2)
    written = random_docs(store, seed) if docs is None else docs
    rng = np.random.default_rng(seed + 100)
    tone, risk = (np.nan_to_num(decayed(written, store, name)) for name in ("sentiment", "risk"))
    noise = rng.standard_normal((2, *store.member.shape))
    known = np.isfinite(store.labels["forward_log_return_20d"].values)
    known_at = store.labels["forward_log_return_20d"].known_at
    values = {
        EXCESS: 0.04 * (strength * tone + noise[0]),
        DRAWDOWN: 0.03 * np.exp(2.0 * strength * (risk - 0.5) + 0.5 * noise[1]),
        VOL: store.columns["vol_21d"] * np.exp(0.2 * rng.standard_normal(store.member.shape)),
    }
    labels = {name: Label(np.where(known, one, np.nan), known_at) for name, one in values.items()}
    records = {**store.records, "text": frame_of(written, store)}
    return Case(dataclasses.replace(store, labels={**store.labels, **labels}, records=records), said_of(written))


def train_of(case: Case, module: QualitativeAnalyst, days: IntArray = TRAIN) -> TrainView:
    names = np.arange(case.store.n_assets)
    return case.store.train_view(days, module.reads, module.learns_from, names, case.answers)


def span_of(case: Case, module: QualitativeAnalyst = SMALL, days: IntArray = LATER) -> Span:
    return case.store.span(days, module.reads, np.arange(case.store.n_assets), case.answers)


def fitted(candidates: tuple[Candidate, ...], variant: str) -> FittedQualitative:
    found = next(one.fitted for one in candidates if one.variant == variant)
    assert isinstance(found, FittedQualitative)
    return found


def ic_interval(score: FloatArray, outcome: FloatArray, draws: int = 400, block: int = 12) -> tuple[float, float]:
    """95 % of rank correlations over blocks of days drawn anew; (n_days, n_assets) each."""
    rng, found = np.random.default_rng(0), []
    n_days = len(score)
    for _ in range(draws):
        starts = rng.integers(0, n_days, -(-n_days // block))
        days = ((starts[:, None] + np.arange(block)).ravel() % n_days)[:n_days]
        both = np.isfinite(score[days]) & np.isfinite(outcome[days])
        one, other = (pd.Series(values[days][both]) for values in (score, outcome))
        found.append(one.rank().corr(other.rank()))
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)
