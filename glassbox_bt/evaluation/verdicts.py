"""One verdict per claim: supported, refuted or underpowered, with the smallest effect that this sample could have shown.

Each claim says that something is larger: the stack's Sharpe ratio than a rival's, the stack's with a part than without
it, a signal's rank correlation than 0, a probability's Brier score than that of a constant.

* ``supported``: the p-value, corrected by Holm within the claim's family, lies below 1 − level, and the effect is
  positive. The test is two-sided: where no claim of a family has substance, any of them is supported in at most 1 −
  level of samples, a claim that stands alone in half as many.
* ``refuted``: not supported, and the upper end of the interval lies below the smallest effect that would matter. An
  effect of that size would have shown in all but (1 − level) / 2 of samples.
* ``underpowered``: neither. More test days could decide.
* ``not tested``: the measure has no interval here (a book that never moved has no Sharpe ratio), or an ablation changed no
  order, so that both books are the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from glassbox_bt.evaluation.dayblocks import DayMean, detectable
from glassbox_bt.evaluation.families import holm

__all__ = [
    "NOT_TESTED",
    "NO_EFFECT",
    "REFUTED",
    "SMALLEST_RANK_IC",
    "SMALLEST_SKILL",
    "SUPPORTED",
    "UNDERPOWERED",
    "claim",
    "claims_of_means",
    "verdict_of",
]

SUPPORTED, REFUTED, UNDERPOWERED = "supported", "refuted", "underpowered"
NOT_TESTED, NO_EFFECT = "not tested", "no effect on inputs"
SMALLEST_RANK_IC = 0.02  # by Grinold's law an information ratio of 0.3 a year with 20 names and monthly bets
SMALLEST_SKILL = 0.01  # of the Brier score of a constant


def verdict_of(estimate: float, high: float, p_holm: float, *, level: float, smallest_effect: float) -> str:
    """The verdict by the rule of this module; NaN where there is no test or no interval.

    Parameters
    ----------
    estimate, high : float
        The effect and the upper end of its interval, positive as claimed.
    p_holm : float
        Two-sided, corrected for its family.
    level, smallest_effect : float
        Of the interval; the effect that would matter, > 0.
    """
    if math.isnan(p_holm) or math.isnan(high):
        return NOT_TESTED
    if p_holm < 1.0 - level and estimate > 0.0:
        return SUPPORTED
    return REFUTED if high < smallest_effect else UNDERPOWERED


def claim(kind: str, subject: str, family: str, measure: str, numbers: Mapping[str, Any]) -> dict[str, Any]:
    """One row of the verdicts; ``numbers`` holds the rest of its columns."""
    columns = ("estimate", "low", "high", "p_value", "p_holm", "smallest_detectable", "smallest_effect", "verdict")
    row = {"claim": f"{kind}/{subject}", "kind": kind, "subject": subject, "family": family, "measure": measure}
    return row | {name: numbers[name] for name in columns}


def claims_of_means(
    kind: str, family: str, measure: str, found: Mapping[str, DayMean], settings: Mapping[str, float]
) -> list[dict[str, Any]]:
    """A verdict on "it is above 0" for each mean over days, corrected among them.

    Parameters
    ----------
    kind, family, measure : str
        As in `claim`.
    found : Mapping[str, DayMean]
        By subject.
    settings : Mapping[str, float]
        ``level`` and ``smallest_effect``.
    """
    adjusted = holm([one.p_value for one in found.values()])
    tested = sum(math.isfinite(p_holm) for p_holm in adjusted)
    rows = []
    for (subject, one), p_holm in zip(found.items(), adjusted, strict=True):
        numbers = {
            "estimate": one.estimate,
            "low": one.low,
            "high": one.high,
            "p_value": one.p_value,
            "p_holm": p_holm,
            "smallest_detectable": detectable(one, settings["level"], max(1, tested)),
            "smallest_effect": settings["smallest_effect"],
            "verdict": verdict_of(one.estimate, one.high, p_holm, **settings),
        }
        rows.append(claim(kind, subject, family, measure, numbers))
    return rows
