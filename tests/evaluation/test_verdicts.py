"""The rule of the verdicts at its boundaries."""

from __future__ import annotations

import math

import numpy as np
import pytest

from glassbox_bt.evaluation.verdicts import NOT_TESTED, REFUTED, SUPPORTED, UNDERPOWERED, claim, verdict_of

LEVEL, SMALLEST = 0.95, 0.5
ALPHA = 1.0 - LEVEL


@pytest.mark.parametrize(
    ("estimate", "high", "p_holm", "wanted"),
    [
        (0.8, 1.2, 0.01, SUPPORTED),
        (0.8, 1.2, np.nextafter(ALPHA, 0.0), SUPPORTED),
        (0.8, 1.2, ALPHA, UNDERPOWERED),  # the rule is strict
        (-0.8, -0.1, 0.01, REFUTED),  # significant, and of the wrong sign
        (-0.8, 0.6, 0.01, UNDERPOWERED),
        (0.1, 0.49, 0.6, REFUTED),
        (0.1, np.nextafter(SMALLEST, 0.0), 0.6, REFUTED),
        (0.1, SMALLEST, 0.6, UNDERPOWERED),  # an effect that would matter is not ruled out
        (0.2, 0.4, 0.01, SUPPORTED),  # it is there, however small; the interval says how small
        (0.0, 0.0, 1.0, REFUTED),  # a rival with the same trades
        (0.0, 0.6, 0.0, UNDERPOWERED),
        (0.8, math.nan, 0.01, NOT_TESTED),
        (math.nan, math.nan, math.nan, NOT_TESTED),
    ],
)
def test_boundaries(estimate: float, high: float, p_holm: float, wanted: str) -> None:
    assert verdict_of(estimate, high, p_holm, level=LEVEL, smallest_effect=SMALLEST) == wanted


def test_a_claim_has_every_column() -> None:
    numbers = dict.fromkeys(
        ("estimate", "low", "high", "p_value", "p_holm", "smallest_detectable", "smallest_effect", "verdict"), 1.0
    )
    row = claim("rival", "sizing_only", "rivals", "sharpe", {**numbers, "spare": 2.0})
    assert row["claim"] == "rival/sizing_only"
    assert set(row) == {"claim", "kind", "subject", "family", "measure", *numbers}
