"""Events of the qualitative analyst: one document about one name, and the days that it still speaks to.

Sentiment is said of each chunk and pooled over the chunks of a document, weighed by their words; news is said of the
document as a whole. Both are matched by document, so an event may have either source or both. A document is one event
however long it is (D-QUA-02).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from glassbox_bt.market.view import Span
from glassbox_bt.types import AnyArray, BoolArray, FloatArray, IntArray, Read

__all__ = ["FEATURES", "MEMORY", "NEWS", "SENTIMENT", "Events", "Influence", "influence_of", "text_reads"]

MEMORY = 6  # sessions: an event of session e speaks to e .. e + 5 (spec 19)
HALF_LIFE = 2.0  # sessions
SENTIMENT = {
    "sentiment_score": "sentiment.predicted_sentiment_score",
    "sentiment_confidence": "sentiment.predicted_sentiment_confidence",
    "sentiment_uncertainty": "sentiment.predicted_sentiment_uncertainty",
    "sentiment_magnitude": "sentiment.predicted_sentiment_magnitude",
}
NEWS = {
    "news_event_impact": "news.predicted_news_event_impact",
    "news_importance": "news.predicted_news_importance",
    "risk_relevance": "news.predicted_risk_relevance",
    "volatility_spike": "news.predicted_volatility_spike",
    "drawdown_risk": "news.predicted_drawdown_risk",
    "news_uncertainty": "news.predicted_news_uncertainty",
}
FEATURES = (*SENTIMENT, "sentiment_event_present", *NEWS, "news_event_present", "has_both_sources")
"""The 13 features of an event (spec 19), in its order."""


def text_reads(sessions: int) -> tuple[Read, ...]:
    """What the analyst reads, each over the sessions whose documents still count."""
    said = (*SENTIMENT.values(), "sentiment.known", *NEWS.values(), "news.known")
    return tuple(Read(column, sessions) for column in (*said, "text.word_count", "text.doc_id", "text.source", "text.body"))


@dataclass(frozen=True)
class Events:
    """Documents about single names, oldest first.

    Parameters
    ----------
    session : IntArray
        First session whose decision may use each, (n_events,).
    asset : IntArray
        Place of its name in the span, (n_events,).
    row : IntArray
        Its first row in ``span.text``, (n_events,).
    n_chunks : IntArray
        Its rows, (n_events,).
    features : FloatArray
        By `FEATURES`, (n_events, 13); NaN where the source said nothing, flags are 0 or 1.
    """

    session: IntArray
    asset: IntArray
    row: IntArray
    n_chunks: IntArray
    features: FloatArray

    @classmethod
    def of(cls, span: Span) -> Events:
        """Every document of a span about one of its names; text about the market as a whole is no event of a name."""
        text = span.text
        first = np.unique(text.document, return_index=True)[1].astype(np.int64)
        n_events = len(first)
        words = np.maximum(np.asarray(span.block("text.word_count"), dtype=np.float64), 1.0)
        told = {}
        for columns, owner in ((SENTIMENT, "sentiment"), (NEWS, "news")):
            known = np.asarray(span.block(f"{owner}.known") == 1.0)
            for name, column in columns.items():
                values = np.where(known, np.asarray(span.block(column), dtype=np.float64), np.nan)
                pooled = _pooled if owner == "sentiment" else _first
                told[name] = pooled(values, text.document, words, n_events)
        read, reported = np.isfinite(told["sentiment_score"]), np.isfinite(told["news_event_impact"])
        flags = {"sentiment_event_present": read, "news_event_present": reported, "has_both_sources": read & reported}
        features = np.stack([np.asarray(flags.get(name, told.get(name)), dtype=np.float64) for name in FEATURES], axis=-1)
        chunks = np.bincount(text.document, minlength=n_events).astype(np.int64)
        named = text.asset[first] >= 0
        return cls(text.session[first][named], text.asset[first][named], first[named], chunks[named], features[named])

    def __len__(self) -> int:
        return int(self.session.shape[0])

    def column(self, name: str) -> FloatArray:
        """One of `FEATURES`, (n_events,)."""
        values: FloatArray = self.features[:, FEATURES.index(name)]
        return values

    @cached_property
    def spoken(self) -> BoolArray:
        """Where at least one source said something, (n_events,)."""
        said: BoolArray = (self.column("sentiment_event_present") + self.column("news_event_present")) > 0.0
        return said


@dataclass(frozen=True, slots=True)
class Influence:
    """Which event speaks to which name and day, in the order of the events.

    Parameters
    ----------
    event : IntArray
        Number of the event, ascending, (n_pairs,).
    cell : IntArray
        Place of the day in the span times its number of names, plus the name, (n_pairs,).
    weight : FloatArray
        ``0.5 ** (age / 2)`` with the age in sessions, in (0, 1], (n_pairs,).
    """

    event: IntArray
    cell: IntArray
    weight: FloatArray

    def where(self, events: BoolArray) -> Influence:
        """The pairs of some events, (n_events,)."""
        kept = events[self.event]
        return Influence(self.event[kept], self.cell[kept], self.weight[kept])


def influence_of(events: Events, span: Span, sessions: int) -> Influence:
    """Every event with the members and days of the span that it speaks to: its own session and those after, ``sessions``."""
    event = np.repeat(np.arange(len(events), dtype=np.int64), sessions)
    age = np.tile(np.arange(sessions, dtype=np.int64), len(events))
    day, asset = events.session[event] + age, events.asset[event]
    place = np.searchsorted(span.days, day).clip(max=len(span) - 1)
    here = (span.days[place] == day) & span.member[place, asset]
    cell = place * span.n_assets + asset
    return Influence(event[here], cell[here].astype(np.int64), 0.5 ** (age[here] / HALF_LIFE))


def _pooled(values: AnyArray, document: IntArray, words: FloatArray, n_events: int) -> FloatArray:
    """Mean over the chunks that were read, weighed by words; added up in the order of the rows, so no batch changes it."""
    there = np.isfinite(values)
    weight = np.bincount(document[there], words[there], minlength=n_events)
    total = np.bincount(document[there], words[there] * values[there], minlength=n_events)
    pooled: FloatArray = np.divide(total, weight, out=np.full(n_events, np.nan), where=weight > 0.0)
    return pooled


def _first(values: AnyArray, document: IntArray, words: FloatArray, n_events: int) -> FloatArray:  # noqa: ARG001
    """The answer about the document, which each of its chunks repeats."""
    there = np.flatnonzero(np.isfinite(values))[::-1]  # of equal places the last one written stays: the first chunk
    out = np.full(n_events, np.nan)
    out[document[there]] = values[there]
    return out
