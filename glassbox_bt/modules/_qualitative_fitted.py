"""A fitted qualitative analyst: its answers by day and by event, and what it says of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pandas as pd

from glassbox_bt.errors import ContractError
from glassbox_bt.market.view import Span
from glassbox_bt.modules._attribution import TEXT_DRIVERS, per_row
from glassbox_bt.modules._contagion_explain import stratified_rows
from glassbox_bt.modules._outcomes import standing
from glassbox_bt.modules._qualitative_days import Groups, TextDays, alone, day_inputs, weighed_mean, weighed_rule
from glassbox_bt.modules._qualitative_events import FEATURES, Events
from glassbox_bt.modules._qualitative_explain import DroppedEvents, day_words, event_words
from glassbox_bt.modules._qualitative_model import QualitativeModel
from glassbox_bt.modules._qualitative_outcomes import Yardstick
from glassbox_bt.modules._qualitative_rule import TrainMeans, decided, dominant, event_drivers, event_rule
from glassbox_bt.modules._reading import laid_out
from glassbox_bt.modules.base import ModuleState, answers_of, rounded
from glassbox_bt.types import Action, Answers, AnyArray, BoolArray, FloatArray, IntArray, Reason, StrArray

__all__ = ["OUTPUTS", "FittedQualitative"]

PARTS = ("sentiment", "news", "amount", "base", "network")
COUNTS = ("event_count", "sentiment_event_count", "news_event_count", "chunk_count")
OUTPUTS = (
    *COUNTS,
    "qualitative_score",
    "qualitative_score_raw",
    "qualitative_score_standing",
    "qualitative_score_anchor_raw",
    "qualitative_risk_score",
    "qualitative_risk_score_raw",
    "qualitative_risk_score_anchor_raw",
    "qualitative_confidence",
    "qualitative_recommendation",
    "risk_veto",
    "max_event_risk_score",
    "mean_event_risk_score",
    "mean_sentiment_score",
    "mean_news_impact_score",
    "mean_news_importance",
    "dominant_qualitative_driver",
    *(f"{part}_contribution" for part in PARTS),
    "qualitative_rule_score",
    "qualitative_rule_risk_score",
    "qualitative_rule_confidence",
    "qualitative_rule_recommendation",
)
EVENT_COLUMNS = ("qualitative_score", "qualitative_risk_score", "qualitative_confidence")
WORDS = ("ticker", "doc_id", "source", "qualitative_recommendation", "dominant_qualitative_driver", "xai_summary")
NEUTRAL_SCORE, NEUTRAL_RISK = 0.0, 0.5  # without text (spec 25.2)


@dataclass(frozen=True, slots=True, eq=False)
class FittedQualitative:
    """What answers.

    Parameters
    ----------
    sessions : int
        Sessions whose documents count.
    variant : str
        ``anchored``, ``anchor``, ``network`` or ``rule``.
    model : QualitativeModel or None
        None for the closed formula, and where there was too little text to learn from.
    means, yardstick
        Constants of train; None where there was too little text: such a fit abstains on every day.
    """

    sessions: int
    variant: str
    model: QualitativeModel | None = None
    means: TrainMeans | None = None
    yardstick: Yardstick | None = None
    name: ClassVar[str] = "qualitative"

    def predict_many(self, span: Span) -> Answers:
        """One answer for each member with a document that counts; without one `Reason.NO_TEXT`, never a middling number."""
        text = TextDays.of(span, self.sessions)
        if self.means is None:
            codes = np.where(text.known, np.int8(Reason.NO_FIT_YET), text.reason)
            return answers_of(self.name, span, dict.fromkeys(OUTPUTS, np.full(codes.shape, np.nan)), codes)
        said = self._by_day(text)
        outputs = laid_out({name: said[name] for name in OUTPUTS}, text.known)
        return answers_of(self.name, span, outputs, text.reason)

    def said(self, events: Events, groups: Groups) -> dict[str, FloatArray]:
        """Score, risk, confidence and their raw parts for groups of events, on the grid of 1e-6, (n_groups,) each."""
        day = weighed_rule(event_rule(events.features, _of(self.means)), groups)
        said = _by_rule(day) if self.model is None else _learned(self.model, day_inputs(events, groups))
        rule = {f"rule_{name}": day[name] for name in ("score", "risk", "confidence")}
        return {name: np.asarray(rounded(values), dtype=np.float64) for name, values in (said | rule).items()}

    def _by_day(self, text: TextDays) -> dict[str, FloatArray]:
        events, groups = text.events, text.groups
        said, own = self.said(events, groups), self.said(events, alone(len(events)))
        ones = np.ones(len(events))
        means = {
            "mean_event_risk_score": weighed_mean(
                groups, own["qualitative_risk_score"], own["qualitative_confidence"] + 1e-9
            ),
            "mean_sentiment_score": weighed_mean(groups, events.column("sentiment_score")),
            "mean_news_impact_score": weighed_mean(groups, events.column("news_event_impact")),
            "mean_news_importance": weighed_mean(groups, events.column("news_importance")),
        }
        rule = {f"qualitative_{name}": said[f"rule_{short}"] for name, short in RULE_NAMES.items()}
        ruled = {f"qualitative_{name}": said[f"rule_{name}"] for name in ("score", "confidence")}
        ruled["qualitative_risk_score"] = said["rule_risk"]
        return {
            **said,
            **rule,
            **decided(said),
            "qualitative_rule_recommendation": decided(ruled)["qualitative_recommendation"],
            "event_count": groups.count(ones),
            "sentiment_event_count": groups.count(events.column("sentiment_event_present")),
            "news_event_count": groups.count(events.column("news_event_present")),
            "chunk_count": groups.count(events.n_chunks),
            "max_event_risk_score": groups.largest(own["qualitative_risk_score"]),
            **{name: np.asarray(rounded(np.nan_to_num(values))) for name, values in means.items()},
            "dominant_qualitative_driver": _drivers(events, groups).astype(np.float64),
        }

    def with_reference(self, oof: Answers) -> FittedQualitative:
        """The same fit with its ranks frozen on the out-of-fold answers of train (R14); the formula has none."""
        if self.model is None or not oof.known.any():
            return self
        standings = oof.outputs["qualitative_score_standing"][oof.known]
        risk = oof.outputs["qualitative_risk_score_raw"][oof.known]
        return replace(self, model=self.model.with_scales(standings, risk))

    def explain(self, span: Span, answers: Answers) -> StrArray:  # noqa: ARG002
        """Score, risk, documents, driver and the parts of the score in words."""
        out, learned = answers.outputs, self.model is not None

        def write(day: int, asset: int) -> str:
            return day_words({name: float(values[day, asset]) for name, values in out.items()}, learned=learned)

        return per_row(answers, write)

    def events_of(self, span: Span, day: int, asset: int) -> tuple[str, ...]:
        """Documents behind the answer to one day and name (places in the span), oldest first (spec 0.7, L0)."""
        text = TextDays.of(span, self.sessions)
        groups = text.groups
        mine = groups.cells[groups.group] == day * span.n_assets + asset
        rows = text.events.row[groups.event[mine]]
        return tuple(str(one) for one in span.block("text.doc_id")[rows])

    def events_table(self, span: Span, answers: Answers) -> pd.DataFrame:
        """The documents of the span's own days about names that were answered then, columns of spec 25.1.

        Each is judged as if it were the name's only document. Features are NaN where the source said nothing.
        """
        text = TextDays.of(span, self.sessions)
        events = text.events
        place = np.searchsorted(span.days, events.session).clip(max=len(span) - 1)
        here = (span.days[place] == events.session) & events.spoken & answers.known[place, events.asset]
        picked = np.flatnonzero(here)
        own = self.said(events, alone(len(events))) if len(picked) else dict.fromkeys(EVENT_COLUMNS, np.zeros(0))
        told = {name: own[name][picked] for name in EVENT_COLUMNS}
        drivers, action = event_drivers(events.features)[picked], decided(told)["qualitative_recommendation"]
        rows = events.row[picked]
        table: dict[str, AnyArray] = {
            "date": span.dates[place[picked]],
            "ticker": np.array(span.tickers, dtype=object)[events.asset[picked]],
            **{name: np.asarray(span.block(f"text.{name}")[rows], dtype=object) for name in ("doc_id", "source")},
            **{name: events.column(name)[picked] for name in FEATURES},
            "sentiment_direction_score": events.column("sentiment_score")[picked],
            "news_direction_score": (events.column("news_event_impact") * events.column("news_importance"))[picked],
            **told,
            "qualitative_recommendation": np.array([one.name for one in Action], dtype=object)[action.astype(np.int64)],
            "dominant_qualitative_driver": np.array(TEXT_DRIVERS, dtype=object)[drivers],
        }
        numbers = {**told, "qualitative_recommendation": action, "dominant_qualitative_driver": drivers}
        bodies = span.block("text.body")[rows]
        table["xai_summary"] = np.array(
            [event_words({n: float(v[i]) for n, v in numbers.items()}, str(body)) for i, body in enumerate(bodies)],
            dtype=object,
        )
        return pd.DataFrame(table).astype(dict.fromkeys(WORDS, "str"))  # also where there is no row to tell the type by

    def drop_strongest_event(
        self, span: Span, answers: Answers, rng: np.random.Generator, *, n_rows: int = 200
    ) -> DroppedEvents:
        """What a stratified sample of answers would have been without its strongest document (spec 0.7, L3)."""
        text = TextDays.of(span, self.sessions)
        events, groups = text.events, text.groups
        day, asset = stratified_rows(answers.outputs["qualitative_score"], answers.known, n_rows, rng)
        wanted = np.searchsorted(groups.cells, day * span.n_assets + asset)
        own = self.said(events, alone(len(events)))["qualitative_score"]
        strongest = _first_largest_pair(groups, groups.weight * np.abs(own[groups.event]))[wanted]
        left = groups.without(strongest)
        feasible = left.count(np.ones(len(events)))[wanted] > 0.0
        before, after = self.said(events, groups), self.said(events, left)
        dropped = groups.event[strongest]
        return DroppedEvents(
            day=span.days[day],
            ticker=np.array(span.tickers, dtype=object)[asset],
            doc_id=np.asarray(span.block("text.doc_id")[events.row[dropped]], dtype=object),
            own_score=own[dropped],
            score=before["qualitative_score"][wanted],
            score_without=np.where(feasible, after["qualitative_score"][wanted], NEUTRAL_SCORE),
            risk=before["qualitative_risk_score"][wanted],
            risk_without=np.where(feasible, after["qualitative_risk_score"][wanted], NEUTRAL_RISK),
            feasible=feasible,
        )

    def state(self) -> ModuleState:
        """Constants and the model's arrays; neither where there was too little text."""
        facts: dict[str, object] = {"variant": self.variant, "sessions": self.sessions}
        if self.means is None or self.yardstick is None:
            return ModuleState({"silent": np.zeros(1)}, facts)
        model = {} if self.model is None else self.model.arrays()
        return ModuleState({"means": self.means.values, **self.yardstick.arrays(), **model}, facts)


RULE_NAMES = {"rule_score": "score", "rule_risk_score": "risk", "rule_confidence": "confidence"}


def _learned(model: QualitativeModel, x: FloatArray) -> dict[str, FloatArray]:
    heads = model.heads(x)
    standings = standing(heads.signal, model.typical)
    score = np.asarray(rounded(model.signal_scale.signal(standings)))
    return {
        "qualitative_score": score,
        "qualitative_score_raw": heads.signal,
        "qualitative_score_standing": np.asarray(standings),
        "qualitative_score_anchor_raw": heads.signal_anchor,
        "qualitative_risk_score": model.risk_scale.rank(rounded(heads.risk)),
        "qualitative_risk_score_raw": heads.risk,
        "qualitative_risk_score_anchor_raw": heads.risk_anchor,
        "qualitative_confidence": np.where(score >= 0.0, heads.side, 1.0 - heads.side),
        **{f"{part}_contribution": values for part, values in heads.parts.items()},
    }


def _by_rule(day: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """The closed formula in place of what is learned."""
    nothing = np.zeros_like(day["score"])
    score = dict.fromkeys(("", "_raw", "_standing", "_anchor_raw"), day["score"])
    risk = dict.fromkeys(("", "_raw", "_anchor_raw"), day["risk"])
    return {
        **{f"qualitative_score{ending}": values for ending, values in score.items()},
        **{f"qualitative_risk_score{ending}": values for ending, values in risk.items()},
        "qualitative_confidence": day["confidence"],
        **{f"{part}_contribution": day.get(part, nothing) for part in PARTS},
    }


def _drivers(events: Events, groups: Groups) -> IntArray:
    return dominant(event_drivers(events.features)[groups.event], groups.group, len(groups))


def _first_largest_pair(groups: Groups, strength: FloatArray) -> IntArray:
    """Of each group the pair with the largest strength, the oldest of equals, (n_groups,)."""
    order = np.lexsort((np.arange(len(strength)), -strength, groups.group))
    first: BoolArray = np.diff(groups.group[order], prepend=-1) > 0
    return order[first].astype(np.int64)


def _of(means: TrainMeans | None) -> TrainMeans:
    if means is None:
        raise ContractError("This qualitative fit had too little text to learn from and says nothing of an event.")
    return means
