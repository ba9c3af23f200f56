from __future__ import annotations

import numpy as np
import pytest

from glassbox_bt.errors import PlanError
from glassbox_bt.modules.stand_ins import Assumed, Silent
from glassbox_bt.types import Reason
from tests.builders import tiny_store


def test_a_silent_module_says_so_and_nothing_else() -> None:
    store = tiny_store(60, 4)
    span = store.span(np.arange(40, 60), (), np.arange(4))
    answers = Silent("news", ("news_importance",)).predict_many(span)
    assert answers.module == "news"
    assert not answers.known.any()
    assert np.all(answers.reason == Reason.SILENT)
    assert np.isnan(answers.outputs["news_importance"]).all()


def test_an_assumption_holds_for_members_only() -> None:
    store = tiny_store(60, 4)
    days = np.arange(5, 15)  # the last name joins at session 12
    answers = Assumed("liquidity", {"liquidity_score": 0.8, "tradable": 1.0}).predict_many(
        store.span(days, (), np.arange(4))
    )
    np.testing.assert_array_equal(answers.known, store.member[days])
    assert np.all(answers.outputs["liquidity_score"][answers.known] == 0.8)
    assert np.all(answers.reason[~answers.known] == Reason.NOT_A_MEMBER)


@pytest.mark.parametrize("values", [{}, {"liquidity_score": float("nan")}])
def test_an_assumption_states_something_finite(values: dict[str, float]) -> None:
    with pytest.raises(PlanError, match="liquidity"):
        Assumed("liquidity", values)


def test_stand_ins_are_values() -> None:
    assert Silent("news") == Silent("news")
    assert Silent("news") != Silent("sentiment")
    assert Silent("news", ("a",)).outputs == ("a",)
    assert Silent("sentiment").name == "sentiment"
