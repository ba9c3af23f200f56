"""Do the qualitative analyst's days and documents follow from what was said of single documents? Spec 19 and 25.1.

An event is a document about a name that the sentiment or the news analyst spoke of. It counts in its own session and, unless
the plan says ``same_day_only``, in the five after it. Counted again from the two analysts' tables are:

1. Days: known exactly where an event counts, and how many there are, with a tone, with news, and of how many chunks
   (distinct documents, D-QUA-02). A name without one has no answer, never a middling one.
2. Documents: one row for each event of a day that was answered, and what its sources said of it: tone is the mean over the
   chunks that were read, weighed by their words; news is that of the document.

The first sessions of a part look back before it, where no table reaches; they are left out of 1.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from glassbox_bt.audits.base import Check, not_asked
from glassbox_bt.audits.case import KEY, Case, Part, known_in, words_in
from glassbox_bt.audits.rows import Where
from glassbox_bt.audits.text_rows import answered_sessions
from glassbox_bt.types import FloatArray

__all__ = ["day_checks", "event_checks", "events_of", "qualitative_checks"]

MEMORY = 6  # sessions, the document's own among them
SAME = 2e-6  # answers are written on a grid of 1e-6
SENTIMENT = {
    "sentiment_score": "predicted_sentiment_score",
    "sentiment_confidence": "predicted_sentiment_confidence",
    "sentiment_uncertainty": "predicted_sentiment_uncertainty",
    "sentiment_magnitude": "predicted_sentiment_magnitude",
}
NEWS = {
    "news_event_impact": "predicted_news_event_impact",
    "news_importance": "predicted_news_importance",
    "risk_relevance": "predicted_risk_relevance",
    "volatility_spike": "predicted_volatility_spike",
    "drawdown_risk": "predicted_drawdown_risk",
    "news_uncertainty": "predicted_news_uncertainty",
}
COUNTS = ("event_count", "sentiment_event_count", "news_event_count", "chunk_count")
PRESENT = {"sentiment_event_present": "tone", "news_event_present": "news"}
EVENT = ["date", "ticker", "doc_id"]


def qualitative_checks(case: Case, part: Part) -> Iterator[Check]:
    """The qualitative analyst's tables of one chunk and split."""
    branch = ("text_encoder", "sentiment", "news", "qualitative")
    table = part.read([*KEY, *COUNTS, "qualitative_confidence", "known", "reason"])
    where = Where(part.module, part.chunk, part.split, table)
    yield from _alone(where)
    if any(name in case.plan.stand_ins for name in branch):
        why = "a stand-in answers for an analyst of text (R28)"
        yield not_asked("counted again", part.module, COUNTS[0], why, part.chunk)
        return
    events = events_of(case, part)
    yield from day_checks(case, part, where, events)
    for told in case.events((part.split,)):
        if told.chunk == part.chunk:
            yield from event_checks(told, where, events)


def _alone(where: Where) -> Iterator[Check]:
    """What a table of days says about itself."""
    known = known_in(where.rows)
    events, tone, news, chunks = where.rows[list(COUNTS)].to_numpy(dtype=np.float64).T
    sure = where.rows["qualitative_confidence"].to_numpy(dtype=np.float64)
    yield where.check(
        "known only with a document", COUNTS[0], known & ~(events >= 1.0), lambda i: f"{events[i]:g} documents"
    )
    wrong = known & ((np.maximum(tone, news) > events) | (tone + news < events) | (chunks < events))
    yield where.check(
        "counts fit together", COUNTS[0], wrong, lambda i: f"{events[i]:g}, {tone[i]:g}, {news[i]:g}, {chunks[i]:g}"
    )
    unsure = known & ((sure <= 0.0) == ((tone + news) > 0.0))
    yield where.check("confidence without a source", "qualitative_confidence", unsure, lambda i: f"{sure[i]:g}")


def events_of(case: Case, part: Part) -> pd.DataFrame:
    """Every document about a name in the tables of the two analysts, with what each said of it; `spoken` where one did.

    Columns: date, ticker, doc_id, chunks, tone, news (flags), session, and the features by the names of spec 19.
    """
    tables = []
    for module, features in (("sentiment", SENTIMENT), ("news", NEWS)):
        said = case.part(module, part.chunk, part.split)
        if said is None:
            continue
        rows = said.read([*said.key, "chunk_index", "word_count", "known", *features.values()])
        rows = rows[words_in(rows["ticker"]) != ""]
        tables.append(_by_document(rows, module, features))
    if not tables:
        return pd.DataFrame(columns=[*EVENT, "chunks", "tone", "news", "session", *SENTIMENT, *NEWS])
    joined = tables[0] if len(tables) == 1 else tables[0].join(tables[1].drop(columns="chunks"), how="outer")
    joined = joined.reindex(columns=["chunks", "tone", "news", *SENTIMENT, *NEWS]).reset_index()
    flags = {name: joined[name].eq(True) for name in ("tone", "news")}
    return joined.assign(**flags, session=case.sessions(joined["date"]))


def _by_document(rows: pd.DataFrame, module: str, features: dict[str, str]) -> pd.DataFrame:
    known = pd.Series(known_in(rows), index=rows.index)
    values = rows[list(features.values())].where(known, axis=0).set_axis(list(features), axis=1)
    key = [rows[name] for name in EVENT]
    flag = known.groupby(key).any().rename("tone" if module == "sentiment" else "news")
    chunks = rows["chunk_index"].groupby(key).size().rename("chunks")
    if module == "news":
        return pd.concat([chunks, flag, values.groupby(key).first()], axis=1)
    words = rows["word_count"].clip(lower=1).astype(np.float64)
    total = words.where(known, 0.0).groupby(key).sum()
    pooled = values.mul(words, axis=0).groupby(key).sum().div(total.where(total > 0.0), axis=0)
    return pd.concat([chunks, flag, pooled], axis=1)


def day_checks(case: Case, part: Part, where: Where, events: pd.DataFrame) -> Iterator[Check]:
    """Counts of each day and name, from the documents that still count on it."""
    memory = 1 if case.plan.modules.get(part.module, {}).get("same_day_only") else MEMORY
    first = [_first(case, part, module) for module in ("sentiment", "news")]
    start = max((one for one in first if one is not None), default=0) + memory - 1
    rows = where.rows[case.sessions(where.rows["date"]) >= start].reset_index(drop=True)
    here = Where(where.module, where.chunk, where.split, rows)
    spoken = events[events["tone"] | events["news"]]
    again = _counted(case, rows, spoken, memory)
    said, known = rows[list(COUNTS)].to_numpy(dtype=np.float64), known_in(rows)
    for at, name in enumerate(COUNTS):
        told = lambda i, at=at: f"{said[i, at]:g} written, {again[i, at]:g} counted"  # noqa: E731
        yield here.check("counted again", name, known & (said[:, at] != again[:, at]), told)
    reason = words_in(rows["reason"]).to_numpy(dtype=object)
    wrong = (known & (again[:, 0] == 0.0)) | (~known & (again[:, 0] > 0.0) & (reason != "no_fit_yet"))
    yield here.check("known where a document counts", "known", wrong, lambda i: f"{again[i, 0]:g} documents, {reason[i]}")
    written = _counted(case, rows, events, memory)[:, 0]
    silent = (reason == "no_text") & (written > 0.0)
    yield here.check("no text without a document", "reason", silent, lambda i: f"{written[i]:g} documents were published")


def _first(case: Case, part: Part, module: str) -> int | None:
    """The first session of the split that an analyst's table reaches; None where it is silent."""
    said = case.part(module, part.chunk, part.split)
    if said is None:
        return None
    sessions = answered_sessions(case, said, said.read(said.key))
    return int(sessions[0]) if len(sessions) else int(case.chunks[part.chunk].splits[part.split][-1]) + 1


def _counted(case: Case, rows: pd.DataFrame, events: pd.DataFrame, memory: int) -> FloatArray:
    """`COUNTS` of each row, (n_rows, 4)."""
    numbers = np.stack([np.ones(len(events)), events["tone"], events["news"], events["chunks"]], axis=1).astype(np.float64)
    days = np.concatenate([events["session"].to_numpy() + age for age in range(memory)]).astype(np.int64)
    names = np.tile(events["ticker"].to_numpy(dtype=object), memory)
    summed = pd.DataFrame(np.tile(numbers, (memory, 1))).groupby([days, names]).sum()
    keys = pd.MultiIndex.from_arrays([case.sessions(rows["date"]), rows["ticker"].astype(object)])
    return np.asarray(summed.reindex(keys).fillna(0.0).to_numpy(dtype=np.float64)).reshape(len(rows), len(COUNTS))


def event_checks(part: Part, days: Where, events: pd.DataFrame) -> Iterator[Check]:
    """The table of documents: its rows, and what it repeats of the two analysts."""
    table = part.read()
    where = Where(part.module, part.chunk, part.split, table)
    answered = pd.MultiIndex.from_frame(days.rows.loc[known_in(days.rows), KEY])
    due = events[events["tone"] | events["news"]]
    due = due[pd.MultiIndex.from_frame(due[KEY]).isin(answered)].reset_index(drop=True)
    keys, wanted = pd.MultiIndex.from_frame(table[EVENT]), pd.MultiIndex.from_frame(due[EVENT])
    place = wanted.get_indexer(keys) if wanted.is_unique else np.full(len(keys), -1)
    yield where.check("a document of that day", "doc_id", place < 0)
    lost = due[~wanted.isin(keys)]
    said = f"{len(lost)} documents have no row, first {Where('', None, '', lost).name(0)}" if len(lost) else ""
    yield where.fault("every document", "doc_id", said)
    there = np.flatnonzero(place >= 0)
    own, source = (
        Where(part.module, part.chunk, part.split, table.iloc[there].reset_index(drop=True)),
        due.iloc[place[there]],
    )
    for name, flag in PRESENT.items():
        yield own.check("as its sources said", name, own.rows[name].eq(1.0).to_numpy() != source[flag].to_numpy(dtype=bool))
    for name in (*SENTIMENT, *NEWS):
        written, told = own.rows[name].to_numpy(dtype=np.float64), source[name].to_numpy(dtype=np.float64)
        near = np.isclose(written, told, rtol=0.0, atol=SAME, equal_nan=True)
        yield own.check("as its sources said", name, ~near, lambda i, w=written, t=told: f"{w[i]:g} written, {t[i]:g} said")  # type: ignore[misc]
