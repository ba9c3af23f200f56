"""The classifier of events: its table, its thresholds, and what it gets right on wordings that it was not written from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from glassbox_bt.errors import ContractError
from glassbox_bt.market import events as told
from glassbox_bt.market.events import EVENT_TYPES, IMPACTS, OUTPUTS, EventRule, classify
from glassbox_bt.market.sources.synthetic import SyntheticMarket
from glassbox_bt.market.sources.synthetic_record import SyntheticTruth

PLAIN = (
    ("Acme prices $500 million of senior notes", "refinancing", 0),
    ("Acme files for Chapter 11 bankruptcy", "refinancing", -1),
    ("Acme raises dividend by 10 percent", "dividend_change", 1),
    ("Acme suspends dividend", "dividend_change", -1),
    ("UPDATE 2-Acme third-quarter profit beats estimates", "earnings", 1),
    ("Acme misses Wall Street estimates, shares fall", "earnings", -1),
    ("Acme cuts full-year outlook", "guidance", -1),
    ("Acme raises 2012 forecast", "guidance", 1),
    ("Shareholders sue Acme over merger vote", "litigation", -1),
    ("Judge dismisses lawsuit against Acme", "litigation", 1),
    ("Acme enters into new revolving credit facility", "credit_facility", 1),
    ("Acme in breach of loan covenants", "covenant_change", -1),
    ("Acme names Jane Doe chief financial officer", "management_change", 0),
    ("Acme CEO resigns", "management_change", -1),
    ("FDA approves Acme's heart drug", "regulatory", 1),
    ("Acme fined $20 million by regulator", "regulatory", -1),
    ("Fed leaves interest rates unchanged, inflation subdued", "macro", 0),
    ("Acme to acquire Widget Corp for $2 billion", "m_and_a", 0),
    ("Acme announces $1 billion share buyback", "stock_buyback", 1),
    ("Acme recalls 10,000 vehicles over brakes", "product_recall", -1),
    ("Hackers steal customer data from Acme", "cybersecurity_incident", -1),
    ("Broker upgrades Acme to buy", "other", 1),
    ("Acme opens new visitor centre", "other", 1),
)
DOUBTFUL = ("Acme names Jane Doe chairman, sells its French unit", "Acme in court")


def asked(*texts: str, form: str = "", rule: EventRule | None = None) -> pd.DataFrame:
    return classify(pd.DataFrame({"document": np.arange(len(texts)), "body": list(texts), "form_type": form}), rule)


def test_the_types_are_those_of_the_spec() -> None:
    named = (
        "refinancing dividend_change earnings guidance litigation credit_facility covenant_change management_change "
        "regulatory macro m_and_a stock_buyback product_recall cybersecurity_incident other"
    )
    assert " ".join(EVENT_TYPES) == named
    rule = EventRule()
    assert (rule.min_confidence, rule.high_severity, rule.ambiguity, rule.rare_severity) == (0.60, 0.75, 0.20, 0.80)


@pytest.mark.parametrize(("text", "kind", "sign"), PLAIN)
def test_plain_wordings_are_understood(text: str, kind: str, sign: int) -> None:
    said = asked(text).iloc[0]
    assert said["event_type"] == kind
    assert sign == 0 or sign * said["sentiment_score"] > 0.2


def test_what_matters_more_is_more_severe() -> None:
    texts = ("Acme to report results", "Acme misses estimates", "Acme suspends dividend", "Acme files for bankruptcy")
    said = asked(*texts)
    assert said["event_severity"].is_monotonic_increasing
    assert said["is_rare_event"].tolist() == [False, False, True, True]
    assert said["impact_dividend"].iloc[2] > 0.8
    assert (said["impact_credit"].iloc[3], said["impact_liquidity"].iloc[3]) == pytest.approx((0.92, 0.92), abs=0.05)


def test_the_refused_are_other_and_say_why() -> None:
    said = asked(*DOUBTFUL, "Nothing of note")
    assert said["event_type"].tolist() == ["other"] * 3
    assert said["refusal"].tolist() == ["ambiguous", "low_confidence", "no_pattern"]
    assert said["event_severity"].iloc[0] > 0.3  # the type is in doubt, not the event
    assert said["event_severity"].iloc[1:].tolist() == [0.0, 0.0]
    bold = asked(*DOUBTFUL, rule=EventRule(min_confidence=0.5, ambiguity=0.0))
    assert bold["event_type"].tolist() == ["management_change", "litigation"]


@pytest.mark.parametrize(
    "setting", [{"min_confidence": 0.0}, {"min_confidence": 1.0}, {"ambiguity": 1.0}, {"rare_severity": 1.1}]
)
def test_impossible_thresholds_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(ContractError, match=next(iter(setting))):
        EventRule(**setting)


def test_forms_and_items_speak_for_filings_only() -> None:
    body = "Item 5.02 Departure of certain persons. The board thanked them."
    assert asked(body, form="8-K").iloc[0]["event_type"] == "management_change"
    assert asked("Item 4.02 of the list.", form="8-K/A").iloc[0]["is_rare_event"]
    assert asked("Item 4.02 of the list.").iloc[0]["event_type"] == "other"
    late = pd.DataFrame(
        {"document": [0, 0], "body": ["Cover page. " * 90, "Item 1.03 Bankruptcy or receivership."], "form_type": "8-K"}
    )
    assert classify(late).iloc[0]["event_type"] == "refinancing"
    assert asked("Acme sued over patents", form="8-K").iloc[0]["event_type"] == "litigation"  # no item: its words count
    assert asked("Item 1.01 and Item 2.03.", form="8-K").iloc[0]["event_type"] == "credit_facility"
    assert asked("Plain words.", form="SC 13D").iloc[0]["event_type"] == "m_and_a"
    assert asked("Plain words.", form="424B5").iloc[0]["event_type"] == "refinancing"


def test_a_document_is_what_its_head_says_whatever_its_chunks() -> None:
    """Planted: a long filing speaks of bankruptcy, lawsuits and breaches somewhere; none of that is its event."""
    risks = "We may be sued, hacked, fined, go bankrupt or breach loan covenants. " * 30
    rows = pd.DataFrame({"document": [4, 4, 4], "body": ["Acme sued over patents.", risks, risks], "form_type": ""})
    many = classify(rows)
    assert many.index.tolist() == [4]
    pd.testing.assert_frame_equal(many.reset_index(drop=True), asked("Acme sued over patents.").reset_index(drop=True))
    far = asked("The company is well. " * 40 + risks)
    assert far["refusal"].tolist() == ["no_pattern"]
    annual = asked(risks, form="10-K").iloc[0]
    assert annual["event_type"] == "earnings"
    assert annual["event_severity"] < 0.5


def test_a_negated_word_counts_for_the_other_side() -> None:
    said = asked("Acme reports growth", "Acme reports no growth", "Acme denies fraud", "Acme sees fraud")["sentiment_score"]
    assert said.iloc[0] > 0 > said.iloc[1]
    assert said.iloc[2] > said.iloc[3]


def test_plans_and_repeats_are_less_present_than_news() -> None:
    near = asked("Acme buys Widget", "Acme may buy Widget", "RPT-Acme buys Widget", "TIMELINE-Acme buys Widget")
    assert near["temporal_relevance"].tolist() == [1.0, 0.6, 0.4, 0.3]


def test_the_answer_does_not_depend_on_company_order_or_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [text for text, *_ in PLAIN]
    whole = asked(*texts)
    alone = pd.concat([asked(text) for text in texts]).set_axis(whole.index)
    pd.testing.assert_frame_equal(whole, alone)
    monkeypatch.setattr(told, "_BATCH", 4)
    pd.testing.assert_frame_equal(whole, asked(*texts))
    backwards = pd.DataFrame({"document": np.arange(len(texts))[::-1], "body": texts[::-1], "form_type": ""})
    pd.testing.assert_frame_equal(whole, classify(backwards))


@given(st.lists(st.text(max_size=60) | st.sampled_from([text for text, *_ in PLAIN]), min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_every_answer_is_within_its_bounds(texts: list[str]) -> None:
    said = asked(*texts)
    assert tuple(said.columns) == OUTPUTS
    assert said["event_type"].isin(EVENT_TYPES).all()
    for name in ("event_severity", "confidence", "temporal_relevance", *IMPACTS):
        assert said[name].between(0.0, 1.0).all()
    assert said["sentiment_score"].between(-1.0, 1.0).all()
    refused = said["refusal"] != ""
    assert (said.loc[refused, "event_type"] == "other").all()
    assert (said.loc[~refused, "confidence"] >= 0.60).all()


def test_no_text_no_events() -> None:
    none = asked()
    assert len(none) == 0
    assert tuple(none.columns) == OUTPUTS


def test_the_table_of_patterns_is_whole() -> None:
    """Every pattern is used, none holds a name that nobody explained, each can be found, and numbers are in range."""
    table = told._table()
    assert {name.split(".")[0] for name in table.subtypes} == set(EVENT_TYPES)
    for pattern in (*table.patterns, *table.forms, *table.items):
        assert 0.0 < -np.expm1(-pattern.evidence) < 1.0
        assert 0.0 <= pattern.severity <= 1.0
        assert pattern.sign in (-1, 0, 1)
        assert "~" not in pattern.words
        assert not any(f"{{{name}}}" in pattern.words for name in ("raise", "cut", "outlook", "agency", "boss", "deal"))
        pc.match_substring_regex(pa.array(["x"]), pattern=pattern.words)  # raises where RE2 cannot read it
    assert all(len(takes) and len(yields) for takes, yields in table.precedence)
    assert table.weak.sum() == 21


def accuracy(truth: pd.DataFrame, said: pd.DataFrame) -> tuple[float, float]:
    """Share of headlines with the right type, and the lower end of a 95 % interval from whole wordings drawn anew."""
    right = pd.Series(said["event_type"].to_numpy() == truth["event_type"].to_numpy(), dtype=float)
    groups = truth.groupby(["event_type", "event", "sign", "wording"], sort=True).ngroup().to_numpy()
    sums, sizes = np.bincount(groups, right), np.bincount(groups)
    drawn = np.random.default_rng(0).integers(len(sums), size=(2000, len(sums)))
    return float(right.mean()), float(np.quantile(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1), 0.025))


@pytest.fixture(scope="module")
def headlines() -> tuple[pd.DataFrame, pd.DataFrame]:
    raw = SyntheticMarket(seed=0, n_names=20, macro=False).raw()
    assert isinstance(raw.truth, SyntheticTruth)
    assert raw.news is not None
    return raw.truth.text_effects, asked(*raw.news["text"])


def test_planted_types_are_recovered(headlines: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """The wordings were written after the patterns. The interval is over wordings: headlines of one are right together."""
    truth, said = headlines
    share, low = accuracy(truth, said)
    wilson = stats.binomtest(round(share * len(truth)), len(truth)).proportion_ci(0.95, "wilson")
    print(f"\n{share:.3f} [{wilson.low:.3f}, {wilson.high:.3f}] of {len(truth)} types; over wordings from {low:.3f}")  # noqa: T201
    assert share > 0.80
    assert low > 0.70
    named = said["event_type"].to_numpy() != "other"
    assert (said["event_type"].to_numpy() == truth["event_type"].to_numpy())[named].mean() > 0.90  # refusing beats inventing


def test_types_that_were_not_planted_are_not_recovered(headlines: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    truth, said = headlines
    shuffled = truth.assign(event_type=np.random.default_rng(0).permutation(truth["event_type"].to_numpy()))
    assert accuracy(shuffled, said)[0] < 0.25


def test_both_signs_of_a_type_are_planted_alike(headlines: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    truth: Any = headlines[0]
    signed = truth[(truth["sign"] != 0) & (truth["ticker"] != "")]
    good = signed.groupby("event_type")["sign"].agg(lambda sign: (sign > 0).mean())
    assert set(good.index) == set(EVENT_TYPES) - {"macro"}
    assert good.between(0.35, 0.65).all()
    assert (signed["sign"] > 0).mean() == pytest.approx(0.5, abs=0.03)
