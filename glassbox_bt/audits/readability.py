"""Can a person read every explanation, and does it say what its row says? Metric M6.

Five questions to each text, each answered yes or no: (1) 8 to 60 words; (2) an action or score, a named driver, and the rule
in words where one fired; (3) every number is, at its printed precision, a value of its row, and its words say which;
(4) no column names, no ``nan`` or ``None``, plain ASCII; (5) Flesch ease of at least 30 or a grade of at most 14.
Readability is the mean of the five. A mean under 0.95 is a note; a number that its row does not bear out is a failure, and
so is a word (action, driver, rule) that contradicts its row.

A row without an answer says that it does not know, and why; that stands for action and driver there. A summary may quote at
most 20 words of a document, in plain characters; what is quoted is nobody's number and nobody's prose.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from glassbox_bt.audits.base import AuditResult, AuditSettings, Check, Metric, Progress
from glassbox_bt.audits.case import EVENTS, Case, Group, words_in
from glassbox_bt.audits.flesch import ease_of
from glassbox_bt.audits.phrases import DRIVERS, WORDS, Slot, slots_of
from glassbox_bt.audits.rows import Where
from glassbox_bt.audits.summaries import COPIES, Summaries, summaries_of
from glassbox_bt.audits.text_summaries import overquoted
from glassbox_bt.audits.texts import Sentence, taken_apart
from glassbox_bt.types import AnyArray, BoolArray, FloatArray, IntArray

__all__ = ["CHECKS", "QUESTION", "audit_readability"]

QUESTION = "Can a person read every explanation, and are its numbers those of its row?"
CHECKS = ("length", "content", "numbers", "plain", "reading ease")
READABLE = 0.95
WORDS_RANGE = (8, 60)
EASE, GRADE = 30.0, 14.0
SCORE = re.compile(
    r"\b(buy|sell|hold|score|signal|trend|forecast|risk|chance|shortfall|allows|off by|permitted)\b", re.IGNORECASE
)
MOOD = re.compile(r"\b(mood|numbers)\b")  # what an encoder has in the place of a score
ANY_DRIVER = re.compile(r"\b(driver|because|most|leading|main|due to)\b", re.IGNORECASE)
UNKNOWN = re.compile(r"\b(unknown|no answer|no size|silent|know nothing|no text event)\b", re.IGNORECASE)
RAW = re.compile(r"_|\b(nan|NaN|None|inf|null)\b")


@dataclass(slots=True)
class _Marks:
    """Answers to the five questions, (5, n_rows); which numbers are wrong or without a source; which words are."""

    good: BoolArray
    wrong: BoolArray
    words: BoolArray
    why: dict[int, str]
    lacking: set[str]


def audit_readability(case: Case, settings: AuditSettings, progress: Progress) -> AuditResult:  # noqa: ARG001
    """Every summary of every module, of the decisions and of the approved orders."""
    checks: list[Check] = []
    metrics: list[Metric] = []
    shares: list[dict[str, Any]] = []
    n_texts = 0
    for one in summaries_of(case):
        progress("readability", 0.0)
        if one.table.empty:  # a chunk without text
            where = Where(one.module, one.chunk, one.split, one.table)
            checks.append(where.unasked("readability", one.text, "there is no text"))
            continue
        marks = _marks(case, one)
        n_texts += len(one.table)
        checks += _checks(one, marks)
        metrics += _metrics(one, marks)
        by_check = {name: round(float(row.mean()), 6) for name, row in zip(CHECKS, marks.good, strict=True)}
        shares.append({"text": one.text, "module": one.module, "chunk": one.chunk, "split": one.split, **by_check})
    for group in case.groups():
        checks += _copies(case, group)
    facts = {"texts": n_texts}
    return AuditResult("readability", tuple(checks), facts, QUESTION, tuple(metrics), details={"shares": shares})


def _copies(case: Case, group: Group) -> Iterator[Check]:
    """Summaries that the decisions carry are those of the modules, letter for letter."""
    where = Where("decisions", group.chunk, group.split, group.rows)
    for text, module in COPIES:
        part = case.part(module, group.chunk, group.split)
        if part is not None and text in group.rows.columns:
            own = words_in(case.aligned(part, case.answered(group), ["xai_summary"])["xai_summary"])
            yield where.check("copied from the module", text, (words_in(group.rows[text]) != own).to_numpy())


def _marks(case: Case, one: Summaries) -> _Marks:
    n = len(one.table)
    marks = _Marks(np.zeros((5, n), dtype=bool), np.zeros(n, dtype=bool), np.zeros(n, dtype=bool), {}, set())
    expected = tuple(_expected(one))
    for sentence in taken_apart(one.told):
        rows, skeleton = sentence.rows, sentence.skeleton
        low, high = WORDS_RANGE
        marks.good[0, rows] = low <= len(skeleton.split()) <= high
        marks.good[1, rows] = _content(one, skeleton, rows)
        marks.good[3, rows] = bool(skeleton) and skeleton.isascii() and RAW.search(skeleton) is None
        marks.good[4, rows] = _easy(skeleton)
        wrong = _numbers(one, sentence, marks, strict=case.whole)
        marks.wrong[rows] = wrong
        marks.good[2, rows] = ~wrong
        marks.words[rows] = _words(expected, skeleton, rows)
    return marks


def _content(one: Summaries, skeleton: str, rows: Any) -> BoolArray:
    """Question 2; the rules of a row are looked for in its own text."""
    known = one.known[rows]
    driver = re.search(DRIVERS[one.kind], skeleton) if one.kind in DRIVERS else ANY_DRIVER.search(skeleton)
    says = bool((MOOD if one.kind == "text_encoder" else SCORE).search(skeleton)) and bool(driver)
    unknown = bool(UNKNOWN.search(skeleton))
    stands_for = np.where(known, says, unknown or says)
    return np.asarray(stands_for & ~_unruly(one, skeleton, rows))


def _unruly(one: Summaries, skeleton: str, rows: Any) -> BoolArray:
    """Rows in which a rule fired and the text names none of those that did, or not the one that bound the size."""
    if one.rules is None:
        return np.zeros(len(rows), dtype=bool)
    named = one.rules.iloc[rows]
    pairs = zip(named["fired"], named["binding"], strict=True)
    return np.array([not _names_rule(skeleton, fired, binding) for fired, binding in pairs], dtype=bool)


@cache
def _names_rule(skeleton: str, fired: tuple[str, ...], binding: tuple[str, ...]) -> bool:
    """Whether a text names a fired rule (where one fired) and the rule that bound (where one of them did)."""
    if not fired:
        return "Rules: " not in skeleton
    bound = re.search(r"([^,:]+) \(binds the size\)", skeleton)
    if bound is not None and bound.group(1).strip() not in binding:
        return False
    if binding and bound is None:
        return False
    said = skeleton.partition("Rules: ")[2].partition(".")[0].replace(" (binds the size)", "")
    listed = [words.strip() for words in said.partition(" and #")[0].split(", ")]
    return bool(said) and set(listed) <= set(fired)


@cache
def _easy(skeleton: str) -> bool:
    ease = ease_of(skeleton)
    return ease is not None and (ease.ease >= EASE or ease.grade <= GRADE)


def _numbers(one: Summaries, sentence: Sentence, marks: _Marks, *, strict: bool) -> BoolArray:
    """Rows with a number that is not what its source says, or that has no source.

    Where the table is bare, a source that it does not hold is noted as lacking instead.
    """
    wrong = np.zeros(len(sentence.rows), dtype=bool)
    for place, slot in enumerate(_slots(one, sentence.skeleton)):
        near = _bears_out(one, sentence, place, slot)
        if near is None and slot.source and not strict:
            marks.lacking.add(slot.source.strip("-|"))
            continue
        bad = np.ones(len(wrong), dtype=bool) if near is None else ~near
        for row in sentence.rows[bad & ~wrong][:1]:
            what = f"from `{slot.source}`" if slot.source else "that no phrase accounts for"
            why = "is not in the row" if near is None else "does not agree"
            marks.why[int(row)] = f"number {place + 1}, {what}, {why}: {one.table[one.text].iloc[int(row)]}"
        wrong |= bad
    return wrong


def _slots(one: Summaries, skeleton: str) -> tuple[Slot, ...]:
    return slots_of(one.kind, skeleton)


def _bears_out(one: Summaries, sentence: Sentence, place: int, slot: Slot) -> BoolArray | None:
    """Where one number agrees with its source; None where there is no source, or the row does not hold it."""
    if not slot.source:
        return _anywhere(one, sentence, place) if one.kind == "any" else None
    if slot.source.startswith("="):
        literals = [slot.scale * float(text) for text in slot.source[1:].split()]
        hits = [sentence.numbers.says(place, np.full(len(sentence.rows), value)) for value in literals]
        return np.asarray(np.any(hits, axis=0))
    name = slot.source.strip("-|")
    if name not in one.table.columns:
        return None
    truth: FloatArray = one.table[name].to_numpy(dtype=np.float64)[sentence.rows]
    truth = -truth if slot.source.startswith("-") else np.abs(truth) if slot.source.startswith("|") else truth
    return sentence.numbers.says(place, slot.scale * truth)


def _anywhere(one: Summaries, sentence: Sentence, place: int) -> BoolArray:
    """For a module whose phrases are not known: some value of the row, as it is or in percent, rounds to the number."""
    numeric = one.table.select_dtypes("number").to_numpy(dtype=np.float64)[sentence.rows]
    hits = [sentence.numbers.says(place, scale * column) for column in numeric.T for scale in (1.0, 100.0, -1.0, -100.0)]
    return np.asarray(np.any(hits, axis=0)) if hits else np.zeros(len(sentence.rows), dtype=bool)


def _expected(one: Summaries) -> Iterator[tuple[str, AnyArray]]:
    """Patterns of words that must agree with their row, and the word that each row asks for."""
    for said in WORDS.get(one.kind, ()):
        if said.column in one.table.columns:
            values = one.table[said.column].astype(object)
            words = values.map(lambda value, of=said.words: of.get(value, value))
            yield said.pattern, words.where(values.notna(), "").to_numpy(dtype=object)


def _words(expected: Sequence[tuple[str, AnyArray]], skeleton: str, rows: IntArray) -> BoolArray:
    """Rows that a word of their text contradicts."""
    wrong = np.zeros(len(rows), dtype=bool)
    for pattern, words in expected:
        match = re.search(pattern, skeleton)
        if match is not None:
            wrong |= words[rows] != match.group(1)
    return wrong


def _checks(one: Summaries, marks: _Marks) -> Iterator[Check]:
    where = Where(one.module, one.chunk, one.split, one.table)
    yield where.check("numbers agree with the row", one.text, marks.wrong, lambda i: marks.why.get(i, ""))
    yield where.check("words agree with the row", one.text, marks.words, lambda i: str(one.table[one.text].iloc[i]))
    if one.kind == EVENTS:
        yield where.check("quotes", one.text, overquoted(one.table[one.text]), lambda i: str(one.table[one.text].iloc[i]))
    mean = float(marks.good.mean())
    failed = ", ".join(f"{name} {row.mean():.1%}" for name, row in zip(CHECKS, marks.good, strict=True) if not row.all())
    yield where.fault("readability", one.text, f"{mean:.3f}: {failed}" if mean < READABLE else "", hard=False)
    for name in sorted(marks.lacking):
        yield where.unasked("numbers agree with the row", one.text, f"`{name}` is not in this table")


def _metrics(one: Summaries, marks: _Marks) -> Iterator[Metric]:
    mean, agree = float(marks.good.mean()), float(1.0 - marks.wrong.mean())
    said = "pass" if mean >= READABLE else "note"
    yield Metric(f"readability of {one.text}", one.module, one.chunk, one.split, round(mean, 6), ">= 0.95", said)
    exact = "pass" if agree == 1.0 else "FAIL"
    yield Metric(f"numbers of {one.text}", one.module, one.chunk, one.split, round(agree, 6), "= 1", exact)
