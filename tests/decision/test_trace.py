from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings

from glassbox_bt.decision.approver import PortfolioState, Requests, approve
from glassbox_bt.decision.barrier import BarrierInputs, Rules, evaluate
from glassbox_bt.decision.limits import Limits
from glassbox_bt.decision.trace import ledger, nearest_flip, trace_texts
from glassbox_bt.errors import ContractError
from glassbox_bt.types import Action
from tests.decision.cases import INPUTS, case


def test_the_ledger_names_rule_value_threshold_and_effect() -> None:
    result = evaluate(case(drawdown_risk_score=0.83, held_weight=0.05), Rules())
    entry = next(e for e in ledger(result, 0) if e.code == "high_drawdown_cap")
    assert (entry.rule_id, entry.fired, entry.value, entry.threshold) == ("RB-03", True, 0.83, 0.80)
    assert (entry.cap_before, entry.cap_after) == (0.10, 0.03)
    assert (entry.action_before, entry.action_after) == (Action.BUY, Action.HOLD)
    assert result.binding_rule_id[0] == "RB-03"


def test_the_ledger_of_many_days_takes_a_pair() -> None:
    one = case(prob_crisis=0.7)
    square = BarrierInputs(**{name: np.tile(getattr(one, name), (2, 3)) for name in one.__dataclass_fields__})
    assert ledger(evaluate(square, Rules()), (1, 2)) == ledger(evaluate(one, Rules()), 0)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"learned_fusion_signal": 0.20, "learned_fusion_confidence": 0.9}, ("learned_fusion_signal", 0.179999)),
        ({"drawdown_risk_score": 0.81}, ("drawdown_risk_score", 0.799999)),
        ({"learned_fusion_risk_score": 0.86}, ("learned_fusion_risk_score", 0.849999)),
    ],
)
def test_the_nearest_flip_is_found_at_the_rule_and_really_flips(
    changes: dict[str, float], expected: tuple[str, float]
) -> None:
    result = evaluate(case(**changes), Rules())
    flip = nearest_flip(result, 0)
    assert flip is not None
    assert (flip.input, flip.changed_to) == expected
    after = evaluate(case(**changes | {flip.input: flip.changed_to}), Rules()).final_recommendation[0]
    assert after == flip.action != result.final_recommendation[0]


def test_where_everything_is_silent_nothing_flips() -> None:
    silent = ("fusion", "quantitative", "position_sizing", "liquidity", "drawdown", "contagion", "regime")
    assert nearest_flip(evaluate(case(silent), Rules()), 0) is None


@settings(max_examples=100, deadline=None)
@given(INPUTS)
def test_every_story_is_short_plain_and_free_of_column_names(inputs: BarrierInputs) -> None:
    result = evaluate(inputs, Rules())
    drivers = np.full(result.fired[0].shape, "tail loss", dtype=object)
    for text in trace_texts(result, drivers=drivers, assumed=("liquidity",)):
        assert 8 <= len(text.split()) <= 60
        assert text.isascii()
        assert "_" not in text
        assert not re.search(r"\b(nan|None|inf)\b", text)


def test_a_story_tells_opinion_path_rule_and_approval() -> None:
    result = evaluate(case(prob_crisis=0.7, learned_position_multiplier=0.75), Rules())
    requests = Requests(
        requested=result.target_weight,
        held=result.inputs.held_weight,
        action=result.final_recommendation,
        priority=np.array([2.0]),
        tradable=np.array([True]),
        left_universe=np.array([False]),
        exit_blocked=result.exit_blocked,
        dollar_volume=np.array([3e5]),
    )
    approval = approve(requests, PortfolioState.start(1e6), Limits())
    text = trace_texts(result, approval, np.array(["volatility"], dtype=object), ("liquidity",))[0]
    assert text == (
        "Buy: learning agrees with signal 0.60, risk 0.30 and confidence 0.70. "
        "Sizing recommends 8.0 percent, learning 6.0 percent; held 0.0 percent, permitted 5.0 percent. "
        "Rules: crisis cap (binds the size). Leading risk: volatility. "
        "Approved: 3.0 percent (liquidity participation). Assumed, not measured: liquidity."
    )
    assert len(text.split()) <= 60


def test_the_approval_of_another_day_is_refused() -> None:
    result = evaluate(case(), Rules())
    with pytest.raises(ContractError, match="shape"):
        trace_texts(result, drivers=np.array(["volatility", None], dtype=object))
