"""Does the named driver stay while nothing happens? Metric M2.

1. Pairs: a name's rows on consecutive sessions of validation or test, both known.
2. A pair is eligible where nothing that should move the driver moved: same regime, no text event on either day, the same
   rule codes, and no input of the module changed by more than half a train standard deviation. Inputs are today's values of
   what the module was handed; a word that changed is a change.
3. TDS is the share of eligible pairs with the same driver; TDS_all that of every pair, TDS_m that of eligible pairs in which
   the first two weights are at least 0.02 apart. Attention drift is half the mean absolute change of the weights.
4. Under 1,000 eligible pairs nothing is judged; where one driver holds more than 95 % of the rows, its stability is trivial.

Of a bare table only TDS_all can be told: inputs and their train deviations are in the run folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from glassbox_bt.audits.attention_weights import recorded_attention
from glassbox_bt.audits.base import AuditResult, AuditSettings, Check, Metric, Progress, not_asked
from glassbox_bt.audits.case import NO_RUN, Case, keys_of, known_in, on_keys, words_in
from glassbox_bt.audits.module_inputs import changes
from glassbox_bt.modules._attribution import RISKS
from glassbox_bt.types import AnyArray, BoolArray, FloatArray, IntArray

__all__ = ["QUESTION", "audit_top_driver"]

QUESTION = "Does the named driver stay while nothing that concerns it moves?"
JUDGED = ("val", "test")
LEAST, SHIFT, MARGIN = 1_000, 0.5, 0.02  # eligible pairs, train deviations, weight
STABLE, DRIFT, TRIVIAL = 0.80, 0.15, 0.95
BRANCHES = ("quantitative", "qualitative", "other")
WITH_TEXT = ("fusion", "qualitative")
EFFECTS = ("garch", "recent", "embedding")  # on a forecast of volatility or drawdown


@dataclass(frozen=True, slots=True)
class Drivers:
    """The driver of each row that a module knows: its rows, the shares of the slots (n_rows, k), and the first of them."""

    module: str
    what: str  # over what: "attention", "removal", "contribution" or "effect"
    chunk: int | None
    split: str
    rows: pd.DataFrame
    shares: FloatArray

    @property
    def first(self) -> IntArray:
        return np.asarray(self.shares.argmax(axis=1), dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Consecutive pairs of rows, and what is told of each."""

    same: BoolArray  # the driver stayed
    eligible: BoolArray
    clear: BoolArray  # the first two weights of the earlier day are apart
    drift: FloatArray  # half the absolute change of the weights
    held: IntArray  # rows that each driver holds, (k,)

    @property
    def largest(self) -> float:
        """Share of the rows that the most frequent driver holds."""
        return float(self.held.max() / max(int(self.held.sum()), 1))


def audit_top_driver(case: Case, settings: AuditSettings, progress: Progress) -> AuditResult:  # noqa: ARG001
    """Every driver that a module names, by chunk and split, and over the test years of all chunks together."""
    found: dict[tuple[str, str], list[tuple[int | None, str, Pairs]]] = {}
    for drivers in _drivers(case):
        progress("top driver", 0.0)
        pairs = _pairs(case, drivers)
        found.setdefault((drivers.module, drivers.what), []).append((drivers.chunk, drivers.split, pairs))
    checks: list[Check] = []
    metrics: list[Metric] = []
    for (module, what), parts in found.items():
        tested = [pairs for _, split, pairs in parts if split == "test"]
        pooled = [(None, "test", _pooled(tested))] if len(tested) > 1 else []
        for chunk, split, pairs in (*parts, *pooled):
            check, told = _judged(case, (module, what), chunk, split, pairs)
            checks.append(check)
            metrics += told
    if not checks:
        checks.append(not_asked("TDS", "quantitative", "top_attention_risk_driver", "the table names no driver"))
    reason = "" if case.whole else f"{NO_RUN}, which holds inputs and their train deviations"
    facts = {"pairs": "consecutive sessions of validation and test", "inputs": "today's values of what a module was handed"}
    return AuditResult("top_driver", tuple(checks), facts, QUESTION, tuple(metrics), hard=False, reason=reason)


def _drivers(case: Case) -> Iterator[Drivers]:
    for one in recorded_attention(case, JUDGED):
        if "doc_id" in one.rows.columns:  # the next day's document is another one
            continue
        yield Drivers(one.module, "attention", one.chunk, one.split, one.rows, np.nan_to_num(one.weights))
    for part in case.parts(JUDGED):
        for what, columns in (
            ("removal", tuple(f"risk_delta_{risk}" for risk in RISKS)),
            ("contribution", tuple(f"{branch}_contribution" for branch in BRANCHES)),
            ("effect", tuple(f"log_effect_{group}" for group in EFFECTS)),
        ):
            if set(columns) <= set(part.columns):
                table = part.read(["date", "ticker", "known", *columns])
                table = table[known_in(table)].reset_index(drop=True)
                sizes = np.abs(table[list(columns)].to_numpy(dtype=np.float64))
                total = sizes.sum(axis=1, keepdims=True)
                shares = np.divide(sizes, total, out=np.zeros(sizes.shape), where=total > 0.0)
                yield Drivers(part.module, what, part.chunk, part.split, table[["date", "ticker"]], shares)


def _pairs(case: Case, one: Drivers) -> Pairs:
    before, after = _consecutive(case, one.rows)
    first, ranked = one.first, np.sort(one.shares, axis=1)
    apart = ranked[before, -1] - (ranked[before, -2] if one.shares.shape[1] > 1 else 0.0)
    return Pairs(
        first[before] == first[after],
        _eligible(case, one, before, after),
        apart >= MARGIN,
        0.5 * np.abs(one.shares[after] - one.shares[before]).sum(axis=1),
        np.bincount(first, minlength=one.shares.shape[1]).astype(np.int64),
    )


def _consecutive(case: Case, rows: pd.DataFrame) -> tuple[IntArray, IntArray]:
    """Places of rows whose name has a row on the next session; sessions are those of the market, or of the table."""
    dates = rows["date"]
    days = case.sessions(dates) if case.whole else np.unique(dates.to_numpy(), return_inverse=True)[1].astype(np.int64)
    order = np.lexsort((days, rows["ticker"].to_numpy().astype(str)))
    names = rows["ticker"].to_numpy().astype(str)[order]
    next_day = (names[1:] == names[:-1]) & (np.diff(days[order]) == 1)
    return order[:-1][next_day], order[1:][next_day]


def _eligible(case: Case, one: Drivers, before: IntArray, after: IntArray) -> BoolArray:
    if not case.whole or one.chunk is None:
        return np.zeros(len(before), dtype=bool)
    columns = ["regime_label", "event_count", "rule_barrier_reasons"]
    told = on_keys(case.decided(one.chunk, one.split), keys_of(one.rows), columns)
    quiet = np.ones(len(before), dtype=bool)
    for name in ("regime_label", "rule_barrier_reasons"):
        words: AnyArray = words_in(told[name]).to_numpy(dtype=object)
        quiet &= words[before] == words[after]
    if one.module in WITH_TEXT:
        events = told["event_count"].to_numpy(dtype=np.float64)
        quiet &= (events[before] == 0.0) & (events[after] == 0.0)
    return quiet & (changes(case, one.module, (one.chunk, one.split), one.rows, (before, after)) <= SHIFT)


def _pooled(parts: Sequence[Pairs]) -> Pairs:
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(one, name) for one in parts]) for name in ("same", "eligible", "clear", "drift")
    }
    return Pairs(**joined, held=np.sum([one.held for one in parts], axis=0))


def _judged(case: Case, who: tuple[str, str], chunk: int | None, split: str, pairs: Pairs) -> tuple[Check, list[Metric]]:
    module, what = who
    n, eligible = int(pairs.eligible.sum()), pairs.eligible
    stable, drift = _mean(pairs.same[eligible]), _mean(pairs.drift[eligible])
    verdict, detail = _verdict(case, n, pairs.largest, stable, drift)
    judged = verdict in ("pass", "note")
    figures: tuple[tuple[str, float | None, str | None, str], ...] = (
        (f"TDS ({what})", stable, ">= 0.80", _against(stable is not None and stable >= STABLE) if judged else verdict),
        (f"drift ({what})", drift, "<= 0.15", _against(drift is not None and drift <= DRIFT) if judged else verdict),
        (f"TDS, margin 0.02 ({what})", _mean(pairs.same[eligible & pairs.clear]), None, "reported"),
        (f"TDS, all pairs ({what})", _mean(pairs.same), None, "reported"),
        (f"eligible pairs ({what})", float(n), ">= 1000", "pass" if n >= LEAST else "insufficient"),
        (f"largest driver's share ({what})", pairs.largest, "<= 0.95", "trivial" if pairs.largest > TRIVIAL else "pass"),
    )
    if not case.whole:
        figures = (figures[3], figures[5])
    metrics = [
        Metric(name, module, chunk, split, None if value is None else round(value, 6), threshold, said)
        for name, value, threshold, said in figures
    ]
    passed = None if verdict in ("insufficient", "trivial", "not applicable") else verdict == "pass"
    column = {"removal": "top_delta_risk_driver", "effect": "log_effect"}.get(what, what)
    return Check(f"TDS ({what})", module, column, chunk, "", passed, detail, split, hard=False), metrics


def _verdict(case: Case, n: int, largest: float, stable: float | None, drift: float | None) -> tuple[str, str]:
    if not case.whole:
        return "not applicable", f"{NO_RUN}, which holds inputs and their train deviations"
    if n < LEAST or stable is None or drift is None:
        return "insufficient", f"{n} eligible pairs, {LEAST} are needed"
    if largest > TRIVIAL:
        return "trivial", f"one driver holds {largest:.1%} of the rows"
    if stable < STABLE or drift > DRIFT:
        return "note", f"the driver stays in {stable:.1%} of {n} eligible pairs; attention drifts by {drift:.3f}"
    return "pass", ""


def _against(good: bool) -> str:
    return "pass" if good else "note"


def _mean(values: AnyArray) -> float | None:
    return float(np.mean(values)) if len(values) else None
