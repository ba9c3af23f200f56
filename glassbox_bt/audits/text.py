"""Is text timed, read and passed on as it should be, and nothing said where there is none? Spec 0.2.5, 8, 9, 19, 25.2.

1. The clock of every document, from its moment of publication and the exchange's calendar alone.        text_clock.py
2. Whoever reads single documents answers all that the encoder read; whether an outcome is known plays no part (D-NEWS-01).
3. The news analyst says one thing about a document, on all of its chunks.
4. The qualitative analyst's days and documents, counted again from the readers' tables.                 text_counts.py
5. Decisions without a document stand in the neutral state of spec 25.2; others repeat what the analyst said.
6. Reported, and no contradiction: texts of test that stand word for word in train, and whether names with text fare
   otherwise than names without, whatever the text says.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from glassbox_bt.audits.base import AuditResult, AuditSettings, Check, Metric, Progress, not_asked
from glassbox_bt.audits.case import Case, Group, Part, known_in, words_in
from glassbox_bt.audits.rows import Where
from glassbox_bt.audits.text_clock import clock_checks, cutoff_check
from glassbox_bt.audits.text_counts import qualitative_checks
from glassbox_bt.audits.text_market import copied_text, presence
from glassbox_bt.audits.text_rows import has_text, row_keys
from glassbox_bt.types import AnyArray, BoolArray

__all__ = ["NEUTRAL", "QUESTION", "audit_text"]

QUESTION = "Is text timed and counted as it was published, and neutral where there is none?"
READERS = ("sentiment", "news")
OWN = ("attention_mean", "attention_max_head", *(f"attention_head_{head}" for head in range(1, 5)))  # of a chunk
NEUTRAL: dict[str, float | str] = {  # spec 25.2
    "qualitative_score": 0.0,
    "qualitative_risk_score": 0.5,
    "qualitative_confidence": 0.0,
    "event_count": 0,
    "sentiment_event_count": 0,
    "news_event_count": 0,
    "qualitative_recommendation": "HOLD",
    "dominant_qualitative_driver": "no_text_event",
}
SUMMARY = "qualitative_xai_summary"
EXACT = 1e-9


def audit_text(case: Case, settings: AuditSettings, progress: Progress) -> AuditResult:  # noqa: ARG001
    """Everything about text that tables alone can tell."""
    checks: list[Check] = []
    metrics: list[Metric] = []
    for group in case.groups():
        checks += _neutral(case, group)
    if has_text(case):
        checks.append(cutoff_check(case))
        parts = list(case.parts())
        for at, part in enumerate(parts):
            progress("text", at / len(parts))
            checks += _of_part(case, part)
        for told in (copied_text(case), presence(case)):
            checks += told[0]
            metrics += told[1]
    else:
        why = "no module of this run reads text" if case.whole else "documents are in the run folder"
        checks.append(not_asked("documents", "market", "text", why))
    return AuditResult("text", tuple(checks), {}, QUESTION, tuple(metrics))


def _of_part(case: Case, part: Part) -> Iterator[Check]:
    if part.of_text:
        yield from clock_checks(case, part)
    if part.module in READERS:
        yield from _available(case, part)
    if part.module == "news":
        yield from _alike(part)
    if part.module == "qualitative":
        yield from qualitative_checks(case, part)


def _available(case: Case, part: Part) -> Iterator[Check]:
    """Known wherever the encoder is, but for fits that answer nothing: a whole part, or a whole block of train."""
    what = "answered whatever came of it"
    encoder = case.part("text_encoder", part.chunk, part.split)
    if encoder is None or any(name in case.plan.stand_ins for name in ("text_encoder", part.module)):
        why = "the encoder is silent" if encoder is None else "a stand-in answers (R28)"
        yield not_asked(what, part.module, "known", why, part.chunk)
        return
    table, read = part.read([*part.key, "known", "reason"]), encoder.read([*encoder.key, "known"])
    place = row_keys(read[known_in(read)]).drop_duplicates().get_indexer(row_keys(table))
    known = known_in(table)
    silent = _silent(case, part, table, known) & (words_in(table["reason"]) == "no_fit_yet").to_numpy()
    where = Where(part.module, part.chunk, part.split, table)
    yield where.check(what, "known", known != ((place >= 0) & ~silent), lambda i: str(table["reason"].iloc[i]))


def _silent(case: Case, part: Part, table: pd.DataFrame, known: BoolArray) -> BoolArray:
    """Rows of a block (validation and test are one each) in which nothing is known."""
    starts = np.array([block[0] for block in case.chunks[part.chunk].blocks] if part.split == "train" else [0])
    block = np.searchsorted(starts, case.sessions(table["date"]), side="right")
    return ~pd.Series(known).groupby(block).transform("any").to_numpy(dtype=bool)


def _alike(part: Part) -> Iterator[Check]:
    """Of the chunks of a document all say the same, but for their own share of attention."""
    table = part.read()
    where = Where(part.module, part.chunk, part.split, table)
    key = [table[name] for name in ("date", "ticker", "doc_id")]
    for name in table.columns:
        if str(name).startswith(("predicted_", "news_")) and name not in OWN:
            values = table[name]
            spread = values.groupby(key).transform("max") - values.groupby(key).transform("min")
            yield where.check("one answer for a document", str(name), (spread > 0.0).to_numpy())


def _neutral(case: Case, group: Group) -> Iterator[Check]:
    where = Where("decisions", group.chunk, group.split, group.rows)
    lacking = [name for name in (*NEUTRAL, "text_available") if name not in group.rows.columns]
    if lacking:
        yield where.unasked("neutral without text", lacking[0], f"the table lacks `{lacking[0]}`")
        return
    events, sure, there = (group.numbers(name) for name in ("event_count", "qualitative_confidence", "text_available"))
    none = ~(events > 0.0)
    for name, value in NEUTRAL.items():
        same = words_in(group.words(name)) == value if isinstance(value, str) else _near(group.numbers(name), value)
        wrong = none & ~np.asarray(same, dtype=bool)
        yield where.check("neutral without text", name, wrong, lambda i, name=name: str(group.rows[name].iloc[i]))  # type: ignore[misc]
    said = np.isfinite(there)  # fusion knows
    available = ~none & (sure > 0.0)
    yield where.check("text available", "text_available", said & (there != available), lambda i: f"{there[i]:g}")
    if SUMMARY in group.rows.columns:
        sentences = words_in(group.words(SUMMARY))[none].unique()
        many = f"{len(sentences)} sentences, first {sentences[:2].tolist()}" if len(sentences) > 1 else ""
        yield where.fault("one sentence without text", SUMMARY, many)
    yield from _copies(case, group, where, none)


def _copies(case: Case, group: Group, where: Where, none: BoolArray) -> Iterator[Check]:
    """What the decisions say of text is what the analyst said, where it knew."""
    part = case.part("qualitative", group.chunk, group.split)
    if not case.whole:
        return
    if part is None:
        yield where.check("text that nobody read", "event_count", ~none)
        return
    told = case.aligned(part, case.answered(group), [*NEUTRAL, "xai_summary", "known"])
    known = known_in(told)
    yield where.check("copied from the analyst", "event_count", known == none)
    for name, value in NEUTRAL.items():
        same = (
            words_in(told[name]).to_numpy() == words_in(group.words(name)).to_numpy()
            if isinstance(value, str)
            else _near(group.numbers(name), told[name].to_numpy(dtype=np.float64))
        )
        yield where.check("copied from the analyst", name, known & ~np.asarray(same, dtype=bool))
    own = words_in(told["xai_summary"]).to_numpy()
    yield where.check("copied from the analyst", SUMMARY, known & (own != words_in(group.words(SUMMARY)).to_numpy()))


def _near(one: AnyArray, two: AnyArray | float) -> BoolArray:
    near: BoolArray = np.abs(one - two) <= EXACT
    return near
