"""What settings of learned modules share: schedule and choice, checks that name what they refuse, parts of train."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np
import pytest

from glassbox_bt.errors import PlanError, TrainingError
from glassbox_bt.modules._trained import (
    FullyTrained,
    Trained,
    candidate_of,
    check_not_negative,
    check_parts,
    check_penalties,
    check_recurrent,
    check_sizes,
    split_rows,
)
from glassbox_bt.modules._training import Schedule, Training
from glassbox_bt.modules.analysts.qualitative import QualitativeAnalyst
from glassbox_bt.modules.analysts.quantitative import QuantitativeAnalyst
from glassbox_bt.modules.base import Candidate
from glassbox_bt.modules.fusion import LearnedFusion
from glassbox_bt.modules.stand_ins import Silent
from tests.contracts.catalogue import MODULES

LEARNED = [module for module in MODULES if isinstance(module, Trained)]
FITTED = Silent("some", ("answer",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Some(FullyTrained):
    """Settings with all that the checks look at."""

    variant: str = "anchored"
    cell: str = "lstm"
    hidden: int = 4
    layers: int = 1
    attention: int = 2
    dropout: float = 0.2
    sessions: int = 30
    min_sessions: int = 25
    ridge: float = 0.1
    logit: float = 0.2
    epochs: int = 3
    batch_size: int = 8
    patience: int = 2
    name: ClassVar[str] = "some"


@pytest.mark.parametrize("settings", LEARNED, ids=repr)
def test_a_schedule_is_that_of_the_settings_and_the_usual_one_where_they_have_no_field(settings: Trained) -> None:
    for field in fields(Schedule):
        assert getattr(settings.schedule, field.name) == getattr(settings, field.name, field.default)


def test_the_variant_that_the_settings_name_is_chosen() -> None:
    candidates = tuple(Candidate(variant, FITTED) for variant in ("anchor", "anchored", "network"))
    assert Some(variant="network").select(candidates, None) is candidates[2]


@pytest.mark.parametrize(
    ("wrong", "check", "message"),
    [
        ({"hidden": 0}, lambda one: check_sizes(one, "hidden"), "`hidden` must be at least 1 and .* got 0 and 0.2"),
        ({"layers": 0}, lambda one: check_sizes(one, "hidden", "layers"), "`hidden` and `layers` must .* got 4, 0 and 0.2"),
        ({"dropout": 1.0}, lambda one: check_sizes(one, "hidden"), r"`dropout` in \[0, 1\), got 4 and 1.0"),
        ({"ridge": 0.0}, lambda one: check_penalties(one, "ridge"), "`ridge` must be positive .* got 0.0 and 0.15"),
        ({"holdout_share": 1.0}, lambda one: check_penalties(one, "ridge", "logit"), "got 0.1, 0.2 and 1.0"),
        ({"logit": -0.1}, lambda one: check_not_negative(one, "ridge", "logit"), "must not be negative, got 0.1 and -0.1"),
        ({"cell": "rnn"}, check_recurrent, "`cell` is `lstm` or `gru` .* got 'rnn' and 'anchored'"),
        ({"variant": "best"}, check_recurrent, "got 'lstm' and 'best'"),
        ({"attention": 0}, check_recurrent, "`hidden`, `layers` and `attention` must .* got 4, 1, 0 and 0.2"),
        ({"min_sessions": 31}, check_recurrent, r"`min_sessions` must lie in 1..30, got 31"),
    ],
)
def test_a_check_names_what_it_refuses(wrong: dict[str, object], check: Callable[[Some], None], message: str) -> None:
    check(Some())
    with pytest.raises(PlanError, match=message):
        check(Some(**wrong))  # type: ignore[arg-type]


@pytest.mark.parametrize("module", [LearnedFusion, QuantitativeAnalyst, QualitativeAnalyst])
@pytest.mark.parametrize(
    "wrong", [{"holdout": 0.0}, {"holdout": 1.0}, {"ridge_penalty": 0.0}, {"logit_penalty": -1.0}, {"epochs": 0}]
)
def test_analysts_and_fusion_refuse_what_cannot_be_learned_with(
    module: Callable[..., object], wrong: dict[str, object]
) -> None:
    module()
    with pytest.raises(PlanError, match=f"`{next(iter(wrong))}`"):
        module(**wrong)


def test_rows_are_split_by_the_days_with_a_known_outcome_and_purged() -> None:
    days, known = np.arange(100, 200), np.ones((100, 2), dtype=bool)
    known[80:] = False  # outcomes that are not known yet
    known[:, 1] = False
    known[50, 1] = True
    fitting, held_out = split_rows(Some(holdout_share=0.25), days, known, horizon=5)
    day = days[np.nonzero(known)[0]]
    np.testing.assert_array_equal(fitting, day < 160 - 6)
    np.testing.assert_array_equal(held_out, day >= 160)


def test_train_without_an_outcome_or_without_a_part_is_refused() -> None:
    days, known = np.arange(20), np.zeros((20, 1), dtype=bool)
    with pytest.raises(TrainingError, match="`some` has no train row with a known outcome"):
        split_rows(Some(), days, known, horizon=5)
    with pytest.raises(TrainingError, match="`some` has 0 rows to learn from and 3 to stop on"):
        split_rows(Some(), days, ~known, horizon=20)
    with pytest.raises(TrainingError, match="`some` has 20 days to learn from and 0 to stop on"):
        check_parts("some", ~known, known, "days")


def test_figures_stand_beside_what_the_training_left() -> None:
    training = Training({}, {}, ({"epoch": 0.0},), 0, 0, {"best_epoch": 0, "ic": 1.0})
    assert candidate_of("anchor", FITTED, None, {"ic": 2.0}).summary == {"ic": 2.0}
    trained = candidate_of("network", FITTED, training, {"ic": 2.0})
    assert trained.history == training.history
    assert trained.summary == {"best_epoch": 0, "ic": 2.0}
