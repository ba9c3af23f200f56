"""How concentrated is attention? Metric M1.

1. Entropy of a row: -sum a ln a over the slots that were there, divided by ln of their number; undefined for fewer than two.
   Its exponential before that division is the effective number of slots.
2. Mean, 5th and 95th percentile for each module, chunk and split; by regime and by thirds of the names' risk in the details.
3. Of a graph, the weights are those of the ten strongest influences on a name, which is all that the record holds.
4. *Collapsed* where the normalised entropy is under 0.10 on more than half of the rows, *uninformative* where it is over
   0.99 on more than nine rows in ten: then the weights say nothing about the row.

Entropy tells how concentrated attention is, not whether it is faithful.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from glassbox_bt.audits.attention_weights import INFLUENCES, Attention, recorded_attention, recorded_influences
from glassbox_bt.audits.base import AuditResult, AuditSettings, Check, Metric, Progress, not_asked
from glassbox_bt.audits.case import SPLITS, Case, keys_of
from glassbox_bt.audits.rows import Where
from glassbox_bt.types import FloatArray

__all__ = ["QUESTION", "audit_entropy", "entropies"]

QUESTION = "Is attention more than one slot and less than all alike?"
COLLAPSED, UNINFORMATIVE = (0.10, 0.50), (0.99, 0.90)  # normalised entropy, share of rows
IN_WORDS = "under 0.10 on at most 50 % of rows, over 0.99 on at most 90 %"


def entropies(attention: Attention) -> tuple[FloatArray, FloatArray]:
    """Normalised entropy in [0, 1] and effective number of slots of each row, (n_rows,) each; NaN where undefined.

    Where the record cannot tell which slots were there, those with a weight count.
    """
    there = attention.weights > 0.0 if attention.available is None else attention.available
    shares = np.where(there, attention.weights, 0.0)
    logs = np.log(np.where(shares > 0.0, shares, 1.0))  # 0 ln 0 = 0
    entropy, slots = -(shares * logs).sum(axis=1), there.sum(axis=1)
    normalised = np.divide(entropy, np.log(np.maximum(slots, 2)), out=np.full(len(slots), np.nan), where=slots >= 2)
    return normalised, np.asarray(np.exp(entropy))


def audit_entropy(case: Case, settings: AuditSettings, progress: Progress) -> AuditResult:  # noqa: ARG001
    """Entropy of every recorded attention; nothing here is a contradiction."""
    checks: list[Check] = []
    metrics: list[Metric] = []
    groups: list[dict[str, Any]] = []
    for attention in (*recorded_attention(case, SPLITS), *(recorded_influences(case, SPLITS) if case.whole else ())):
        progress("entropy", 0.0)
        normalised, effective = entropies(attention)
        column = "influence" if attention.names == INFLUENCES else "attention"
        if not np.isfinite(normalised).any():
            checks.append(not_asked("entropy", attention.module, column, "no row has two slots", attention.chunk))
            continue
        verdict, detail = _verdict(normalised)
        where = Where(attention.module, attention.chunk, attention.split, attention.rows)
        checks.append(where.fault("entropy", column, detail, hard=False))
        metrics += _metrics(attention, normalised, effective, verdict)
        groups += _by_group(case, attention, normalised)
    if not checks:
        checks.append(not_asked("entropy", "quantitative", "risk_attention", "the table has no attention"))
    return AuditResult("entropy", tuple(checks), {}, QUESTION, tuple(metrics), hard=False, details={"groups": groups})


def _verdict(normalised: FloatArray) -> tuple[str, str]:
    seen = normalised[np.isfinite(normalised)]
    low, high = float((seen < COLLAPSED[0]).mean()), float((seen > UNINFORMATIVE[0]).mean())
    if low > COLLAPSED[1]:
        return "collapsed", f"one slot has nearly all attention on {low:.0%} of the rows"
    if high > UNINFORMATIVE[1]:
        return "uninformative", f"attention is the same everywhere on {high:.0%} of the rows"
    return "pass", ""


def _metrics(one: Attention, normalised: FloatArray, effective: FloatArray, verdict: str) -> Iterator[Metric]:
    low, high = np.nanquantile(normalised, [0.05, 0.95])
    what = "influence" if one.names == INFLUENCES else "attention"
    figures = (
        (f"{what} entropy, mean", float(np.nanmean(normalised)), IN_WORDS, verdict),
        (f"{what} entropy, 5th percentile", float(low), None, "reported"),
        (f"{what} entropy, 95th percentile", float(high), None, "reported"),
        ("effective number of slots, mean", float(np.mean(effective)), None, "reported"),
    )
    for name, value, threshold, said in figures:
        yield Metric(name, one.module, one.chunk, one.split, round(value, 6), threshold, said)


def _by_group(case: Case, one: Attention, normalised: FloatArray) -> Iterator[dict[str, Any]]:
    """Mean and percentiles by regime and by thirds of the names, ordered by their mean combined risk."""
    sizing = case.part("position_sizing", one.chunk, one.split)
    if sizing is None:
        return
    told = case.aligned(sizing, keys_of(one.rows), ["regime_label", "combined_risk_score"])
    risk = told["combined_risk_score"].groupby(one.rows["ticker"].to_numpy()).mean()
    risk = risk[risk.notna()]
    third = risk.rank(method="first").to_numpy() * 3 // (len(risk) + 1)  # 0, 1 or 2
    words = dict(zip(risk.index, np.array(["low risk", "middle risk", "high risk"])[third.astype(int)], strict=True))
    bucket = one.rows["ticker"].map(words)
    for kind, labels in (("regime", told["regime_label"]), ("names", bucket)):
        for label in sorted(set(labels.dropna())):
            part = normalised[(labels == label).to_numpy(dtype=bool)]
            if np.isfinite(part).any():
                low, high = np.nanquantile(part, [0.05, 0.95])
                figures = {"mean": float(np.nanmean(part)), "p05": float(low), "p95": float(high)}
                yield {
                    **{"module": one.module, "chunk": one.chunk, "split": one.split, "by": kind, "group": str(label)},
                    **{name: round(value, 6) for name, value in figures.items()},
                    "rows": len(part),
                }
