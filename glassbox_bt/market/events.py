"""What kind of event each document tells of (spec 26.1): a rule on its wording, the same whenever it is asked.

1. What happened stands at the head of a document: its first 600 characters are read, lower-cased, and each pattern of
   ``event_patterns.toml`` is looked for there (`_batch`). Further down a long text speaks of everything.
2. A pattern of weight *w* is evidence -ln(1 - w) for its subtype. A filing's form and the items of an 8-K, wherever they
   stand in it, are evidence likewise (`_filed`); where they say something, the patterns are not asked. Evidence for what is
   only the manner of telling is dropped (`_settled`).
3. A type's score is 1 - product of (1 - w). The best type is refused, so ``other``, if its score is under
   ``min_confidence``, or if its share of all evidence is less than ``ambiguity`` above the second's.
4. Severity is the largest of the type's patterns; tone comes from their signs and from word lists (`_sentiment`).

Nothing is learned, so nothing can leak: a document's answer depends on its own text and form alone. The price is
accuracy, see docs/decisions/0038-events.md.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from glassbox_bt.errors import ContractError
from glassbox_bt.types import AnyArray, BoolArray, FloatArray, IntArray

__all__ = ["EVENT_TYPES", "IMPACTS", "OUTPUTS", "EventRule", "classify"]

EVENT_TYPES = (
    "refinancing",
    "dividend_change",
    "earnings",
    "guidance",
    "litigation",
    "credit_facility",
    "covenant_change",
    "management_change",
    "regulatory",
    "macro",
    "m_and_a",
    "stock_buyback",
    "product_recall",
    "cybersecurity_incident",
    "other",
)
"""The label space of spec 26.1, in its order."""

IMPACTS = ("impact_dividend", "impact_liquidity", "impact_credit", "impact_growth")

OUTPUTS = (
    "event_type",
    "event_subtype",
    "event_severity",
    *IMPACTS,
    "is_rare_event",
    "confidence",
    "sentiment_score",
    "temporal_relevance",
    "refusal",
)
"""Columns of `classify`; ``refusal`` says why a type was not given: "", "no_pattern", "low_confidence" or "ambiguous"."""

_OTHER = len(EVENT_TYPES) - 1
_BATCH = 100_000  # rows of text at a time, so that memory does not grow with the market
_HEAD = 600  # characters at the head of a document: a headline and its first sentences, about a hundred words
_SIGN_SHARE = 0.7  # of the tone comes from signed patterns where there are any, the rest from the word lists
_GAP = r"(?: \S+){0,6} "


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRule:
    """Thresholds of the rule.

    Parameters
    ----------
    min_confidence : float, default=0.60
        Least score of a type, in (0, 1).
    ambiguity : float, default=0.20
        Least lead of the best type over the second, in shares of all evidence, in [0, 1).
    high_severity : float, default=0.75
        From here on an event is severe, in (0, 1].
    rare_severity : float, default=0.80
        From here on it is rare and goes to the archive, in (0, 1].
    """

    min_confidence: float = 0.60
    ambiguity: float = 0.20
    high_severity: float = 0.75
    rare_severity: float = 0.80

    def __post_init__(self) -> None:
        if not 0.0 < self.min_confidence < 1.0:
            raise ContractError(f"`min_confidence` must lie in (0, 1), got {self.min_confidence}.")
        for name in ("high_severity", "rare_severity"):
            if not 0.0 < getattr(self, name) <= 1.0:
                raise ContractError(f"`{name}` must lie in (0, 1], got {getattr(self, name)}.")
        if not 0.0 <= self.ambiguity < 1.0:
            raise ContractError(f"`ambiguity` must lie in [0, 1), got {self.ambiguity}.")


@dataclass(frozen=True, slots=True)
class _Pattern:
    subtype: int  # place in `_Table.subtypes`
    evidence: float  # -ln(1 - weight)
    severity: float
    sign: int
    words: str  # RE2


@dataclass(frozen=True, slots=True)
class _Table:
    """The file of patterns, ready for use."""

    subtypes: tuple[str, ...]  # "type.subtype"
    kind: IntArray  # place in EVENT_TYPES of each subtype
    impact: FloatArray  # (n_subtypes, 4)
    patterns: tuple[_Pattern, ...]
    forms: tuple[_Pattern, ...]
    items: tuple[_Pattern, ...]
    precedence: tuple[tuple[IntArray, IntArray], ...]  # subtypes that take, subtypes that yield
    weak: BoolArray  # (n_subtypes,)
    tone: Mapping[str, str]
    relevance: tuple[tuple[float, str], ...]


def classify(text: pd.DataFrame, rule: EventRule | None = None) -> pd.DataFrame:
    """The event that each document tells of.

    Parameters
    ----------
    text : DataFrame
        Rows of the table of text: at least ``document, body, form_type``. The chunks of a document share its number and
        come in their order.
    rule : EventRule, optional
        Thresholds.

    Returns
    -------
    DataFrame
        One row per document, index ``document`` ascending, with `OUTPUTS`: severity, impacts, confidence and relevance in
        [0, 1], sentiment in [-1, 1]. Of an ambiguous document the type is ``other`` and the rest as the best type has it; of
        one without a sure pattern severity and impacts are 0.
    """
    rule = rule or EventRule()
    order = np.argsort(text["document"].to_numpy(), kind="stable")
    document = text["document"].to_numpy()[order]
    starts = np.flatnonzero(np.append(True, document[1:] != document[:-1])) if len(order) else order
    parts = [_batch(text.iloc[order[rows]], rule) for rows in _batches(starts, len(order))]
    return pd.concat(parts) if parts else _empty()


def _batches(starts: IntArray, n_rows: int) -> Iterator[slice]:
    """Whole documents, about `_BATCH` rows at a time."""
    low = 0
    while low < n_rows:
        after = np.searchsorted(starts, low + _BATCH)
        high = int(starts[after]) if after < len(starts) else n_rows
        yield slice(low, high)
        low = high


def _empty() -> pd.DataFrame:
    words, flag = ("event_type", "event_subtype", "refusal"), "is_rare_event"
    kinds = {name: "object" if name in words else "bool" if name == flag else "float64" for name in OUTPUTS}
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in kinds.items()}, index=pd.Index([], name="document"))


@dataclass(frozen=True, slots=True)
class _Hits:
    """What was found in the documents of a batch."""

    evidence: FloatArray  # (n_documents, n_subtypes)
    severity: FloatArray  # largest of the patterns found, (n_documents, n_subtypes)
    signs: FloatArray  # evidence x sign, (n_documents, n_subtypes)


def _batch(rows: pd.DataFrame, rule: EventRule) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.compute as pc

    table, document = _table(), rows["document"].to_numpy()
    starts = np.flatnonzero(np.append(True, document[1:] != document[:-1]))
    bodies = rows["body"].to_numpy(dtype=object)
    codes, heads = pd.factorize(np.array([body[:_HEAD] for body in bodies[starts]], dtype=object))
    texts = pc.utf8_lower(pa.array(heads, type=pa.string()))
    forms = rows["form_type"].astype(str).str.lower().to_numpy(dtype=object)
    found = _filed(table, bodies, starts, forms)
    unfiled = ~found.evidence.any(axis=1)
    for pattern in table.patterns:
        _add(found, pattern, _matches(texts, pattern.words)[codes] & unfiled)
    evidence = _settled(table, found.evidence, rule)
    hits = _Hits(evidence, *(np.where(evidence > 0.0, values, 0.0) for values in (found.severity, found.signs)))
    chosen = _chosen(table, evidence, rule)
    tone = _sentiment(table, texts, codes, hits, chosen)
    near = _relevance(table, texts)[codes]
    return (
        _answers(table, hits.severity, chosen, rule)
        .assign(sentiment_score=np.round(tone, 6), temporal_relevance=near)[list(OUTPUTS)]
        .set_axis(pd.Index(document[starts], name="document"))
    )


def _matches(texts: object, words: str) -> BoolArray:
    import pyarrow.compute as pc

    found: BoolArray = pc.match_substring_regex(texts, pattern=words).to_numpy(zero_copy_only=False)
    return found


def _filed(table: _Table, bodies: AnyArray, starts: IntArray, forms: AnyArray) -> _Hits:
    """What forms, and the items of an 8-K, say by themselves."""
    import pyarrow as pa
    import pyarrow.compute as pc

    shape = (len(starts), len(table.subtypes))
    hits = _Hits(np.zeros(shape), np.zeros(shape), np.zeros(shape))
    kinds, uniques = pd.factorize(forms[starts])
    for pattern in table.forms:
        here = np.array([re.search(pattern.words, form) is not None for form in uniques], dtype=bool)
        _add(hits, pattern, here[kinds])
    current = np.array([form.startswith("8-k") for form in forms], dtype=bool)
    if current.any():
        texts = pc.utf8_lower(pa.array(bodies[current], type=pa.string()))
        for pattern in table.items:
            rows = np.zeros(len(forms), dtype=bool)
            rows[current] = _matches(texts, pattern.words)
            _add(hits, pattern, np.logical_or.reduceat(rows, starts))
    return hits


def _add(hits: _Hits, pattern: _Pattern, here: BoolArray) -> None:
    hits.evidence[here, pattern.subtype] += pattern.evidence
    hits.signs[here, pattern.subtype] += pattern.evidence * pattern.sign
    hits.severity[here, pattern.subtype] = np.maximum(hits.severity[here, pattern.subtype], pattern.severity)


def _settled(table: _Table, evidence: FloatArray, rule: EventRule) -> FloatArray:
    """Evidence without what is only the manner of telling."""
    sure = evidence >= -np.log1p(-rule.min_confidence)
    out = evidence.copy()
    for takes, yields in table.precedence:
        out[np.ix_(sure[:, takes].any(axis=1), yields)] = 0.0
    strong = sure & ~table.weak & (out > 0.0)
    out[np.ix_(strong.any(axis=1), table.weak)] = 0.0
    return out


@dataclass(frozen=True, slots=True)
class _Chosen:
    kind: IntArray  # best type, place in EVENT_TYPES, (n_documents,)
    subtype: IntArray  # best subtype of it, (n_documents,)
    score: FloatArray  # (n_documents,)
    no_pattern: BoolArray
    unsure: BoolArray
    ambiguous: BoolArray


def _chosen(table: _Table, evidence: FloatArray, rule: EventRule) -> _Chosen:
    by_type = np.zeros((len(evidence), len(EVENT_TYPES)))
    np.add.at(by_type.T, table.kind, evidence.T)
    kind = np.argmax(by_type, axis=1)
    ranked = np.sort(by_type, axis=1)
    total = by_type.sum(axis=1)
    lead = (ranked[:, -1] - ranked[:, -2]) / np.where(total > 0.0, total, 1.0)
    score = np.round(-np.expm1(-ranked[:, -1]), 6).astype(np.float64)
    subtype = np.argmax(np.where(table.kind == kind[:, None], evidence, -1.0), axis=1)
    unsure = (total > 0.0) & (score < rule.min_confidence)
    ambiguous = (total > 0.0) & ~unsure & (lead < rule.ambiguity)
    return _Chosen(kind, subtype, score, total == 0.0, unsure, ambiguous)


def _answers(table: _Table, severity: FloatArray, chosen: _Chosen, rule: EventRule) -> pd.DataFrame:
    silent = chosen.no_pattern | chosen.unsure
    refused = silent | chosen.ambiguous
    mine = np.where(table.kind == chosen.kind[:, None], severity, 0.0).max(axis=1)
    grave = np.round(np.where(silent, 0.0, mine), 6)
    impact = np.round(table.impact[chosen.subtype] * grave[:, None], 6)
    subtypes = np.array([name.split(".")[1] for name in table.subtypes], dtype=object)
    reasons = np.select(
        [chosen.no_pattern, chosen.unsure, chosen.ambiguous], ["no_pattern", "low_confidence", "ambiguous"], ""
    )
    return pd.DataFrame(
        {
            "event_type": np.array(EVENT_TYPES, dtype=object)[np.where(refused, _OTHER, chosen.kind)],
            "event_subtype": np.where(silent, "", subtypes[chosen.subtype]).astype(object),
            "event_severity": grave,
            **{name: impact[:, at] for at, name in enumerate(IMPACTS)},
            "is_rare_event": grave >= rule.rare_severity,
            "confidence": chosen.score,
            "refusal": reasons.astype(object),
        }
    )


def _sentiment(table: _Table, texts: object, codes: IntArray, hits: _Hits, chosen: _Chosen) -> FloatArray:
    """Tone of each document, in [-1, 1]: the signs of its type's patterns, and the balance of good and bad words.

    The balance is (good - bad) / (good + bad + 1), spec 26.2; a negated word counts for the other side.
    """
    words = {name: _counts(texts, pattern)[codes] for name, pattern in table.tone.items()}
    good, bad = words["good"] - words["not_good"] + words["not_bad"], words["bad"] - words["not_bad"] + words["not_good"]
    balance = (good - bad) / (good + bad + 1.0)
    mine = table.kind == chosen.kind[:, None]
    net = np.where(mine, hits.signs, 0.0).sum(axis=1)
    weight = np.where(mine, np.abs(hits.signs), 0.0).sum(axis=1)
    sign = np.divide(net, weight, out=np.zeros(len(net)), where=weight > 0.0)
    tone: FloatArray = np.where(weight > 0.0, _SIGN_SHARE * sign + (1.0 - _SIGN_SHARE) * balance, balance)
    return tone


def _counts(texts: object, words: str) -> FloatArray:
    import pyarrow.compute as pc

    counts: FloatArray = pc.count_substring_regex(texts, pattern=words).to_numpy(zero_copy_only=False).astype(np.float64)
    return counts


def _relevance(table: _Table, texts: object) -> FloatArray:
    """How present the event is, by the first wording that applies: 1 = told as news; less for plans and repeats."""
    tests = [_matches(texts, words) for _, words in table.relevance]
    values: FloatArray = np.select(tests, [value for value, _ in table.relevance], 1.0).astype(np.float64)
    return values


@cache
def _table() -> _Table:
    raw = tomllib.loads(Path(__file__).with_name("event_patterns.toml").read_text(encoding="utf-8"))
    found = [(kind, name) for kind in EVENT_TYPES for name in raw[kind]]
    subtypes = tuple(f"{kind}.{name}" for kind, name in found)
    place = {name: at for at, name in enumerate(subtypes)}

    def told(key: str, words: str) -> _Pattern:
        kind, name, weight, severity = raw[key][words]
        edge = rf"\bitem {words}\b" if key == "items" else words
        return _Pattern(place[f"{kind}.{name}"], -float(np.log1p(-weight)), severity, 0, edge)

    def members(name: str) -> IntArray:
        return np.array([at for at, one in enumerate(subtypes) if one == name or one.startswith(f"{name}.")], dtype=np.int64)

    tone = {name: rf"\b{words}" for name, words in raw["tone"].items()}
    return _Table(
        subtypes=subtypes,
        kind=np.array([EVENT_TYPES.index(kind) for kind, _ in found], dtype=np.int64),
        impact=np.array([raw["impact"].get(name, raw["impact"][name.split(".")[0]]) for name in subtypes]),
        patterns=tuple(
            _Pattern(place[f"{kind}.{name}"], -float(np.log1p(-weight)), severity, sign, _regex(words, raw["words"]))
            for kind, name in found
            for weight, severity, sign, words in raw[kind][name]["patterns"]
        ),
        forms=tuple(told("forms", words) for words in raw["forms"]),
        items=tuple(told("items", words) for words in raw["items"]),
        precedence=tuple((members(takes), members(yields)) for takes, yields in raw["precedence"]["pairs"]),
        weak=np.array([name in raw["precedence"]["weak"] for name in subtypes], dtype=bool),
        tone={
            "good": tone["good"],
            "bad": tone["bad"],
            "not_good": rf"{tone['not']} (?:\S+ )?{raw['tone']['good']}",
            "not_bad": rf"{tone['not']} (?:\S+ )?{raw['tone']['bad']}",
        },
        relevance=tuple((one["value"], rf"\b{one['words']}(?:\W|$)") for one in raw["relevance"]),
    )


def _regex(words: str, names: Mapping[str, str]) -> str:
    for name, meaning in names.items():
        words = words.replace("{" + name + "}", meaning)
    return rf"(?:^|[^\w]){words.replace(' ~ ', _GAP)}(?:\W|$)"
