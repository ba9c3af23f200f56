"""The closed formula of the qualitative analyst (spec 19): the baseline that what is learned has to beat (D-SYN-01).

Directions, confidence and importance of a source that said nothing count 0. Everything else that is missing is the mean of
the train part, a constant of the fit; a mean of the days asked about would make a row depend on the other rows (D-QUA-01).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from glassbox_bt.modules._attribution import TEXT_DRIVERS, first_largest
from glassbox_bt.modules._qualitative_events import FEATURES
from glassbox_bt.types import Action, AnyArray, FloatArray, IntArray

__all__ = ["DRIVER_WORDS", "EventRule", "TrainMeans", "decided", "dominant", "event_drivers", "event_rule"]

DRIVER_WORDS = (
    "sentiment",
    "news impact",
    "relevance for risk",
    "a likely volatility spike",
    "a likely drawdown",
    "uncertain news",
    "no text event",
)
N_DRIVERS = len(TEXT_DRIVERS) - 1  # of an event
SILENT = ("sentiment_score", "sentiment_confidence", "news_event_impact", "news_importance")  # missing says nothing
MEANS = tuple(name for name in FEATURES if name not in SILENT and not name.endswith(("_present", "_sources")))
NEUTRAL = 0.5  # of a source that the train part never saw: unknown, as in spec 25.2

BUY_SCORE, BUY_RISK, BUY_CONFIDENCE = 0.20, 0.70, 0.40
SELL_SCORE, VETO_RISK = -0.20, 0.85


@dataclass(frozen=True, slots=True)
class TrainMeans:
    """What stands for a missing feature of an event: one number for each of ``MEANS``, learned on train."""

    values: FloatArray

    @classmethod
    def fit(cls, features: FloatArray) -> TrainMeans:
        """Means of the events that have them, (n_events, 13) -> (6,)."""
        columns = features[:, [FEATURES.index(name) for name in MEANS]]
        there = np.isfinite(columns)
        count = there.sum(axis=0)
        total = np.where(there, columns, 0.0).sum(axis=0)
        return cls(np.divide(total, count, out=np.full(len(MEANS), NEUTRAL), where=count > 0))

    def filled(self, features: FloatArray) -> dict[str, FloatArray]:
        """Every feature by name, complete, (n_events,) each."""
        constants = dict(zip(MEANS, self.values, strict=True))
        return {
            name: np.where(np.isfinite(column), column, constants.get(name, 0.0))
            for name, column in zip(FEATURES, features.T, strict=True)
        }


@dataclass(frozen=True, slots=True)
class EventRule:
    """What the formula says of each event, (n_events,) each.

    ``sentiment`` and ``news`` are the two parts of ``score``, which lies in [-1, 1]; ``risk`` and ``confidence`` in [0, 1].
    """

    sentiment: FloatArray
    news: FloatArray
    risk: FloatArray
    confidence: FloatArray

    @property
    def score(self) -> FloatArray:
        return self.sentiment + self.news


def event_rule(features: FloatArray, means: TrainMeans) -> EventRule:
    """The formula on events, (n_events, 13); the confidence is 0 exactly where neither source speaks."""
    x = means.filled(features)
    risk = (
        0.35 * x["risk_relevance"] + 0.30 * x["volatility_spike"] + 0.25 * x["drawdown_risk"] + 0.10 * x["news_uncertainty"]
    )
    confidence = 0.40 * x["sentiment_confidence"] + 0.25 * (1.0 - x["sentiment_uncertainty"])
    confidence = confidence + 0.20 * x["news_importance"] + 0.15 * (1.0 - x["news_uncertainty"])
    spoken = (x["sentiment_event_present"] + x["news_event_present"]) > 0.0
    return EventRule(
        0.55 * x["sentiment_score"],
        0.45 * x["news_event_impact"] * x["news_importance"],
        np.clip(risk, 0.0, 1.0),
        np.where(spoken, np.clip(confidence, 0.0, 1.0), 0.0),
    )


def event_drivers(features: FloatArray) -> IntArray:
    """Place in `TEXT_DRIVERS` of what is largest about each event, (n_events,); only what a source said can lead."""
    by_name = dict(zip(FEATURES, features.T, strict=True))
    sizes = np.stack(
        [
            np.abs(by_name["sentiment_score"]),
            np.abs(by_name["news_event_impact"] * by_name["news_importance"]),
            *(by_name[name] for name in TEXT_DRIVERS[2:N_DRIVERS]),
        ],
        axis=-1,
    )
    return first_largest(sizes, np.isfinite(sizes))


def dominant(drivers: IntArray, group: IntArray, n_groups: int) -> IntArray:
    """The driver that most events of each group have, the first of equals, (n_groups,)."""
    counts = np.bincount(group * N_DRIVERS + drivers, minlength=n_groups * N_DRIVERS)
    return np.asarray(counts.reshape(n_groups, N_DRIVERS).argmax(axis=1), dtype=np.int64)


def decided(said: Mapping[str, AnyArray]) -> dict[str, FloatArray]:
    """Recommendation codes and the veto of risk, from ``qualitative_score``, ``_risk_score`` and ``_confidence``.

    An alarming text is no bearish one: risk alone vetoes a purchase and never sells (D-QUA-04).
    """
    score, risk = said["qualitative_score"], said["qualitative_risk_score"]
    buy = (score > BUY_SCORE) & (risk < BUY_RISK) & (said["qualitative_confidence"] >= BUY_CONFIDENCE)
    action = np.where(score < SELL_SCORE, Action.SELL, np.where(buy, Action.BUY, Action.HOLD))
    return {
        "qualitative_recommendation": action.astype(np.float64),
        "risk_veto": (risk > VETO_RISK).astype(np.float64),
    }
