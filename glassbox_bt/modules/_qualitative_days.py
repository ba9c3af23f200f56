"""What the events of a name and day amount to: inputs of the learned heads, the formula's day, and counts.

Sums run over events in the order of the store, whatever else the span holds, so one day equals many days bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glassbox_bt.market.view import Span
from glassbox_bt.modules._qualitative_events import FEATURES, NEWS, SENTIMENT, Events, Influence, influence_of
from glassbox_bt.modules._qualitative_rule import EventRule
from glassbox_bt.modules.base import reasons
from glassbox_bt.types import BoolArray, FloatArray, IntArray, Reason

__all__ = ["GROUPS", "INPUTS", "Groups", "TextDays", "alone", "day_inputs", "grouped", "weighed_mean", "weighed_rule"]

VALUES = (*SENTIMENT, *NEWS)
INPUTS = (  # of the learned heads; decayed means, then what a mean does not tell
    *VALUES,
    "news_direction",  # impact times importance
    "sentiment_sum",  # decayed, so that many agreeing documents say more than one
    "news_sum",
    "worst_risk",  # of one event: the largest mean of its three risks
    "both_sources",  # share of the weight
    "log_events",
    "log_chunks",
    "freshness",  # weight of the newest event, (0, 1]
)
GROUPS = {  # which part of a score an input belongs to
    "sentiment": tuple(i for i, name in enumerate(INPUTS) if name.startswith("sentiment_")),
    "news": tuple(i for i, name in enumerate(INPUTS) if name in (*NEWS, "news_direction", "news_sum", "worst_risk")),
    "amount": tuple(i for i, name in enumerate(INPUTS) if name in ("both_sources", "log_events", "log_chunks", "freshness")),
}
RISKS = ("risk_relevance", "volatility_spike", "drawdown_risk")
FULL = np.log(5.0)  # of ln(1 + n): four fresh documents give the formula's full confidence


@dataclass(frozen=True, slots=True)
class Groups:
    """Pairs of event and cell, with cells numbered from 0.

    Parameters
    ----------
    cells : IntArray
        The cells that have an event, ascending, (n_groups,).
    event, group, weight
        Of each pair, in the order of the events, (n_pairs,).
    """

    cells: IntArray
    event: IntArray
    group: IntArray
    weight: FloatArray

    def __len__(self) -> int:
        return int(self.cells.shape[0])

    def without(self, pairs: IntArray) -> Groups:
        """The same cells less some pairs; a cell may be left without an event."""
        kept = np.ones(len(self.event), dtype=bool)
        kept[pairs] = False
        return Groups(self.cells, self.event[kept], self.group[kept], self.weight[kept])

    def count(self, of: FloatArray | IntArray) -> FloatArray:
        """Sum over the events of each cell, undecayed, (n_groups,)."""
        sums = np.bincount(self.group, np.asarray(of, dtype=np.float64)[self.event], minlength=len(self))
        return np.asarray(sums, dtype=np.float64)

    def largest(self, of: FloatArray) -> FloatArray:
        """The largest finite value among the events of each cell, NaN without one, (n_groups,)."""
        values = of[self.event]
        there = np.isfinite(values)
        out = np.full(len(self), -np.inf)
        np.maximum.at(out, self.group[there], values[there])
        return np.where(np.isfinite(out), out, np.nan)


def grouped(influence: Influence) -> Groups:
    """The pairs by cell."""
    cells, group = np.unique(influence.cell, return_inverse=True)
    return Groups(cells, influence.event, group.reshape(-1).astype(np.int64), influence.weight)


def alone(n_events: int) -> Groups:
    """Each event on its own day, as if it were the only one."""
    each = np.arange(n_events, dtype=np.int64)
    return Groups(each, each, each, np.ones(n_events))


def weighed_mean(groups: Groups, values: FloatArray, weight: FloatArray | None = None) -> FloatArray:
    """Decayed mean over the events of each cell that have a value, NaN without one, (n_events,) -> (n_groups,)."""
    own = values[groups.event]
    share = groups.weight if weight is None else groups.weight * weight[groups.event]
    there = np.isfinite(own)
    total = np.bincount(groups.group[there], share[there], minlength=len(groups))
    summed = np.bincount(groups.group[there], share[there] * own[there], minlength=len(groups))
    mean: FloatArray = np.divide(summed, total, out=np.full(len(groups), np.nan), where=total > 0.0)
    return mean


def day_inputs(events: Events, groups: Groups) -> FloatArray:
    """By `INPUTS`, (n_groups, 18), NaN where no event tells."""
    by_name = dict(zip(FEATURES, events.features.T, strict=True))
    direction = by_name["news_event_impact"] * by_name["news_importance"]
    risks = np.stack([by_name[name] for name in RISKS], axis=-1).mean(axis=-1)

    def summed(values: FloatArray) -> FloatArray:
        own, n = np.nan_to_num(values)[groups.event], len(groups)
        total = np.bincount(groups.group, groups.weight * own, minlength=n)
        some = np.bincount(groups.group, np.isfinite(values)[groups.event], minlength=n)
        return np.where(some > 0, total, np.nan)

    freshest = np.zeros(len(groups))
    np.maximum.at(freshest, groups.group, groups.weight)
    columns = [
        *(weighed_mean(groups, by_name[name]) for name in VALUES),
        weighed_mean(groups, direction),
        summed(by_name["sentiment_score"]),
        summed(direction),
        groups.largest(risks),
        weighed_mean(groups, by_name["has_both_sources"]),
        np.log1p(groups.count(np.ones(len(events)))),
        np.log1p(groups.count(events.n_chunks)),
        freshest,
    ]
    return np.stack(columns, axis=-1)


def weighed_rule(rule: EventRule, groups: Groups) -> dict[str, FloatArray]:
    """The formula's day: confidence-weighted score and its two parts, 0.60 of the worst and 0.40 of the mean risk.

    The confidence is the mean times min(1, ln(1 + n) / ln 5), with n the decayed number of documents: old news alone is
    held less surely than fresh news.
    """
    certain = np.maximum(rule.confidence, 1e-9)  # so that events without confidence still have a mean
    n = np.bincount(groups.group, groups.weight, minlength=len(groups))
    sentiment, news = (weighed_mean(groups, one, certain) for one in (rule.sentiment, rule.news))
    return {
        "sentiment": sentiment,
        "news": news,
        "score": sentiment + news,
        "risk": 0.60 * groups.largest(rule.risk) + 0.40 * weighed_mean(groups, rule.risk, certain),
        "confidence": weighed_mean(groups, rule.confidence) * np.minimum(1.0, np.log1p(n) / FULL),
    }


@dataclass(frozen=True, slots=True)
class TextDays:
    """The events of a span, laid out on its names and days.

    Parameters
    ----------
    events : Events
    groups : Groups
        Of the events that a source spoke of; its cells are those of ``known`` in the order of ``np.nonzero``.
    known : BoolArray
        Members with such an event, (n_days, n_assets).
    reason : NDArray[np.int8]
        Why not elsewhere: no document at all, or none that was answered.
    """

    events: Events
    groups: Groups
    known: BoolArray
    reason: NDArray[np.int8]

    @classmethod
    def of(cls, span: Span, sessions: int) -> TextDays:
        """Of the documents of the last ``sessions`` sessions of each day."""
        events = Events.of(span)
        influence = influence_of(events, span, sessions)
        groups = grouped(influence.where(events.spoken))
        written, known = (np.zeros(span.member.shape, dtype=bool) for _ in range(2))
        written.flat[influence.cell] = True
        known.flat[groups.cells] = True
        codes = reasons((~span.member, Reason.NOT_A_MEMBER), (~written, Reason.NO_TEXT), (~known, Reason.UPSTREAM_UNKNOWN))
        return cls(events, groups, known, codes)
