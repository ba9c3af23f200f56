"""The faults of the spec's register that concern the qualitative analyst: flagged when planted, silent on the twin."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from glassbox_bt.errors import LookAheadError
from glassbox_bt.market.documents import TextColumn
from glassbox_bt.modules._qualitative_days import TextDays, day_inputs
from glassbox_bt.modules._qualitative_events import FEATURES, Events
from glassbox_bt.modules._qualitative_outcomes import Realised
from glassbox_bt.modules._qualitative_rule import TrainMeans, decided, event_rule
from glassbox_bt.modules.analysts.qualitative import FittedQualitative
from glassbox_bt.types import Action, FloatArray
from tests.modules.analysts.qualitative_cases import (
    CONTEXT,
    LATER,
    SMALL,
    TRAIN,
    Case,
    Doc,
    case_of,
    fitted,
    span_of,
    train_of,
)


@pytest.fixture(scope="module")
def case() -> Case:
    return case_of(0.3)


@pytest.fixture(scope="module")
def ruled(case: Case) -> FittedQualitative:
    return fitted(SMALL.fit(train_of(case, SMALL), CONTEXT), "rule")


# D-SYN-01


def test_d_syn_01_a_target_that_is_a_formula_of_the_inputs_is_found(case: Case) -> None:
    view = train_of(case, SMALL)
    text = TextDays.of(view, 6)
    x = np.nan_to_num(day_inputs(text.events, text.groups))
    formula = fitted(SMALL.fit(view, CONTEXT), "rule").said(text.events, text.groups)["rule_score"]
    realised = Realised.of(view, text.known)

    def is_circular(target: FloatArray) -> bool:
        """R2 over 0.95 from the inputs; the formula's day is a confidence-weighted mean, so not a linear one exactly."""
        there = np.isfinite(target)
        design = np.column_stack([np.ones(int(there.sum())), x[there]])
        left = target[there] - design @ np.linalg.lstsq(design, target[there], rcond=None)[0]
        return bool(1.0 - left.var() / target[there].var() > 0.95)

    assert is_circular(formula)
    assert not is_circular(realised.excess)
    assert float(SMALL.fit(view, CONTEXT)[0].summary["target_r2_from_inputs"]) < 0.2  # type: ignore[arg-type]


# D-SYN-02


def test_d_syn_02_answers_that_know_their_own_day_are_refused() -> None:
    rows, session = np.arange(3, dtype=np.int64), np.array([100, 101, 102], dtype=np.int64)
    with pytest.raises(LookAheadError, match="out of fold"):
        TextColumn(rows, session, np.zeros(3), np.full(3, 200))  # a fit on all of train
    honest = TextColumn(rows, session, np.zeros(3), np.full(3, 80))  # of the block before
    assert (honest.fitted_through < honest.session).all()


# D-QUA-01


def test_d_qua_01_a_row_that_depends_on_the_other_rows_is_found(ruled: FittedQualitative) -> None:
    """A missing uncertainty is a constant of train, not the mean of whatever else is asked about."""
    lone = Doc(460, 0, sentiment=0.5, impact=None)
    crowds = [[lone, *(Doc(461, name, sure=sure) for name in range(1, 8))] for sure in (0.35, 0.95)]

    def confidence(docs: list[Doc], *, own_means: bool) -> float:
        span = span_of(case_of(0.0, docs=docs))
        one = dataclasses.replace(ruled, means=TrainMeans.fit(Events.of(span).features)) if own_means else ruled
        return float(one.predict_many(span).outputs["qualitative_rule_confidence"][460 - LATER[0], 0])

    def depends(*, own_means: bool) -> bool:
        one, other = (confidence(docs, own_means=own_means) for docs in crowds)
        return abs(one - other) > 1e-9

    assert depends(own_means=True)
    assert not depends(own_means=False)


# D-QUA-02


def test_d_qua_02_a_count_that_grows_with_length_is_found(ruled: FittedQualitative) -> None:
    """Events are documents: a filing of ninety chunks is one, and no surer than one of a single chunk."""
    given = {n: ruled.predict_many(span_of(case_of(0.0, docs=[Doc(460, 0, chunks=n)]))).outputs for n in (1, 90)}

    def grows(name: str) -> bool:
        short, long = (given[n][name][460 - LATER[0], 0] for n in (1, 90))
        return bool(long > short)

    assert grows("chunk_count")
    for name in ("event_count", "sentiment_event_count", "news_event_count", "qualitative_rule_confidence"):
        assert not grows(name), name


# D-QUA-03


def test_d_qua_03_a_weekend_document_that_an_exact_join_loses_is_found(ruled: FittedQualitative) -> None:
    """A filing of Saturday belongs to Monday's session; joined to trading days by its date it would vanish."""
    probe = case_of(0.0, docs=[])
    monday = next(day for day in LATER.tolist() if probe.store.dates[day].astype(object).weekday() == 0)
    case = case_of(0.0, docs=[Doc(monday, 0)])
    table = case.store.records["text"].assign(published_at=pd.Timestamp(case.store.dates[monday]) - pd.Timedelta("36h"))
    case = Case(dataclasses.replace(case.store, records={"text": table}), case.answers)
    answers = ruled.predict_many(span_of(case))

    def lost(days: list[int]) -> bool:
        """Whether the document speaks to none of the days."""
        return not any(answers.known[day - LATER[0], 0] for day in days)

    by_date = np.flatnonzero(case.store.dates == table["published_at"].to_numpy().astype("datetime64[D]")[0]).tolist()
    assert lost(by_date)
    assert not lost(table["session"].tolist())
    assert answers.known[:, 0].sum() == 6


# D-QUA-04


def test_d_qua_04_a_sale_on_risk_alone_is_found() -> None:
    """An alarming but positive text is a veto, not a bearish opinion; a bearish one sells whatever its risk."""
    said = {
        "qualitative_score": np.array([0.6, 0.6, -0.6, -0.6, 0.0]),
        "qualitative_risk_score": np.array([0.95, 0.30, 0.95, 0.30, 0.95]),
        "qualitative_confidence": np.full(5, 0.8),
    }
    source = np.where(
        (said["qualitative_score"] < -0.20) | (said["qualitative_risk_score"] > 0.85), Action.SELL, Action.HOLD
    )

    def sells_without_an_opinion(action: FloatArray) -> bool:
        return bool(((action == Action.SELL) & (said["qualitative_score"] >= 0.0)).any())

    ours = decided(said)
    assert sells_without_an_opinion(source)
    assert not sells_without_an_opinion(ours["qualitative_recommendation"])
    hold, buy, sell = Action.HOLD, Action.BUY, Action.SELL
    np.testing.assert_array_equal(ours["qualitative_recommendation"], [hold, buy, sell, sell, hold])
    np.testing.assert_array_equal(ours["risk_veto"], [1, 0, 1, 0, 1])


def test_missing_features_have_no_hidden_default(ruled: FittedQualitative) -> None:
    means = ruled.means
    assert means is not None
    x = np.full((1, len(FEATURES)), np.nan)
    x[0, FEATURES.index("sentiment_event_present")] = 1.0
    filled = means.filled(x)
    assert filled["sentiment_score"][0] == filled["news_importance"][0] == 0.0
    assert 0.0 < filled["risk_relevance"][0] < 1.0
    assert filled["risk_relevance"][0] != 0.5  # the mean of train
    assert event_rule(x, means).risk[0] > 0.0  # silence is not low risk


# D-LAB-01


def test_d_lab_01_a_day_whose_volatility_nobody_knows_yet_is_not_a_quiet_one(case: Case) -> None:
    label = case.store.labels["forward_vol_20d"]
    values = label.values.copy()
    values[TRAIN[200:210]] = np.nan  # of no name
    values[TRAIN[100:110], 0] = np.nan  # of one name, which may have been booked out
    labels = case.store.labels | {"forward_vol_20d": dataclasses.replace(label, values=values)}
    view = train_of(Case(dataclasses.replace(case.store, labels=labels), case.answers), SMALL)
    day, name = np.nonzero(np.isfinite(view.label("forward_excess_log_return_10d")))
    usable = Realised.of(view, np.isfinite(view.label("forward_excess_log_return_10d"))).usable
    unknown = (day >= 200) & (day < 210)
    assert unknown.any()
    assert not usable[unknown].any()
    assert usable[(day >= 100) & (day < 110) & (name == 0)].any()
