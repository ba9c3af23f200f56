"""Which rules a bare table of decisions can answer for, and where they must or must not have fired.

The columns of spec 25.1 hold scores, signal and sizes, but not which families were known, and only the house's own tables
hold the weight in hand. A rule whose inputs are columns must have fired exactly where its condition holds. Where a condition
may also hold for a reason outside the table (a halt of the market, a crisis probability), only one direction can be told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from glassbox_bt.decision.rules import RULES, Rules
from glassbox_bt.types import Action, AnyArray, BoolArray, FloatArray

__all__ = ["Derived", "derivable"]

ONE_WAY = ("crisis_cap", "not_tradable")  # what the columns say makes them fire; other things may, too
OUTSIDE = {  # what a rule reads that is in no column of a table of decisions
    "profile_cap": "the largest single exposure",
    "data_missing_cap": "which families were known",
    "data_missing_block": "which families were known",
    "hold_keeps_weight": "the barrier's own steps",
    "buy_keeps_weight": "the barrier's own steps",
}


@dataclass(frozen=True, slots=True)
class Derived:
    """One rule on the columns of a table: where it must stand and must not (None: cannot be told); or what is lacking."""

    rule: int
    must: BoolArray | None = None
    must_not: BoolArray | None = None
    lacks: str = ""


@dataclass(frozen=True, slots=True)
class _Seen:
    """The columns of a table as the rules read them, and the two actions."""

    table: pd.DataFrame
    learned: AnyArray
    final: AnyArray

    def __getitem__(self, column: str) -> FloatArray:
        return self.table[column].to_numpy(dtype=np.float64)


def derivable(table: pd.DataFrame, rules: Rules, learned: AnyArray, final: AnyArray) -> Iterator[Derived]:
    """Every rule in table order; rows in which an input is unknown are left open."""
    seen = _Seen(table, learned, final)
    for i, rule in enumerate(RULES):
        if rule.code in OUTSIDE:
            yield Derived(i, lacks=OUTSIDE[rule.code])
            continue
        columns, condition = _CONDITIONS[rule.code]
        lacking = [name for name in columns if name not in table.columns]
        if lacking:
            yield Derived(i, lacks=" and ".join(f"`{name}`" for name in lacking))
            continue
        holds = condition(seen, rules)
        unknown = table[list(columns)].isna().any(axis=1).to_numpy()
        yield Derived(i, holds & ~unknown, None if rule.code in ONE_WAY else ~holds & ~unknown)


def _crisis(seen: _Seen, rules: Rules) -> BoolArray:  # noqa: ARG001
    return (seen.table["regime_label"] == "crisis").to_numpy(dtype=bool)


def _risk(seen: _Seen, rules: Rules) -> BoolArray:
    larger = np.maximum(seen["learned_fusion_risk_score"], seen["quantitative_risk_score"])
    return np.asarray(larger >= rules.quantitative_risk)


def _sized(seen: _Seen, rules: Rules) -> BoolArray:  # noqa: ARG001
    recommended = seen["recommended_capital_fraction"]
    wanted = np.maximum(seen["held_weight"], recommended * seen["learned_position_multiplier"])
    return np.asarray(wanted > recommended)


def _weak(seen: _Seen, rules: Rules) -> BoolArray:
    size = np.minimum(seen["pre_rule_learned_position_fraction"], seen["user_rule_cap_fraction"])
    weak = (seen["learned_fusion_signal"] < rules.min_signal) | (size <= rules.min_size)
    weak |= seen["learned_fusion_confidence"] < rules.min_confidence
    return np.asarray((seen.learned == Action.BUY) & weak)


def _severe(seen: _Seen, rules: Rules) -> BoolArray:
    severe = (seen["learned_fusion_risk_score"] >= rules.severe_risk) & (seen["learned_fusion_signal"] < 0.0)
    return np.asarray(severe & rules.allow_sell_signal)


Condition = Callable[[_Seen, Rules], BoolArray]
_CONDITIONS: Mapping[str, tuple[tuple[str, ...], Condition]] = {
    "crisis_cap": (("regime_label",), _crisis),
    "high_drawdown_cap": (("drawdown_risk_score",), lambda s, r: s["drawdown_risk_score"] >= r.drawdown_risk),
    "high_contagion_cap_or_veto": (
        ("contagion_risk_score",),
        lambda s, r: s["contagion_risk_score"] >= r.contagion_risk,
    ),
    "high_quantitative_risk_cap_or_veto": (("learned_fusion_risk_score", "quantitative_risk_score"), _risk),
    "low_liquidity_block": (("liquidity_score",), lambda s, r: s["liquidity_score"] < r.liquidity_floor),
    "not_tradable": (("tradable",), lambda s, _: s["tradable"] < 0.5),
    "sizing_upper_bound": (("held_weight", "recommended_capital_fraction", "learned_position_multiplier"), _sized),
    "weak_buy_downgrade": (
        (
            *("learned_fusion_signal", "learned_fusion_confidence", "pre_rule_learned_position_fraction"),
            "user_rule_cap_fraction",
        ),
        _weak,
    ),
    "sell_signal": (
        ("learned_fusion_signal",),
        lambda s, r: (s["learned_fusion_signal"] < r.sell_signal) & r.allow_sell_signal,
    ),
    "severe_risk_sell": (("learned_fusion_signal", "learned_fusion_risk_score"), _severe),
    "sell_to_zero": (("final_recommendation",), lambda s, _: np.asarray(s.final == Action.SELL)),
}
