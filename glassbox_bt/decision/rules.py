"""The rules of the barrier: their settings, their table, their codes in words (spec 25.3).

Each rule is a small frozen value: an id, a code, what it does to the cap, what it does to the
action. `barrier` evaluates them. RB-10, which would turn HOLD into BUY, does not exist here, and
RB-14 is the setting ``allow_sell_signal``. RB-16 and RB-17 are not rules but the meaning of HOLD
and BUY for a name that is already held; they are listed so that every change of size has a name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Literal

from glassbox_bt.errors import PlanError

__all__ = [
    "N_CAPS",
    "N_RULES",
    "PROFILE_CAPS",
    "RULES",
    "RULE_INDEX",
    "SUMMARY",
    "Effect",
    "Rule",
    "Rules",
    "codes",
    "registry",
]

PROFILE_CAPS = MappingProxyType({"conservative": 0.05, "moderate": 0.10, "aggressive": 0.15})


class Effect(IntEnum):
    """What a fired rule does to the action; ``NONE`` for a rule that only caps."""

    NONE = 0
    VETO = 1  # BUY becomes HOLD
    SELL = 2
    FREEZE = 3  # HOLD, and no order is possible
    SIZE = 4  # no effect on the action: it is the action's meaning


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the table."""

    id: str
    code: str
    effect: Effect
    caps: bool  # it lowers the cap when it fires
    short: str  # in a list of rules
    words: str  # one sentence, without numbers


RULES = (
    Rule("RB-01", "profile_cap", Effect.NONE, True, "profile cap", "The exposure profile limits every position."),
    Rule("RB-02", "crisis_cap", Effect.NONE, True, "crisis cap", "The market is in a crisis regime."),
    Rule("RB-03", "high_drawdown_cap", Effect.VETO, True, "high drawdown risk", "The drawdown risk is high."),
    Rule("RB-04", "high_contagion_cap_or_veto", Effect.VETO, True, "high contagion risk", "The contagion risk is high."),
    Rule(
        "RB-05",
        "high_quantitative_risk_cap_or_veto",
        Effect.VETO,
        True,
        "high fused or quantitative risk",
        "The larger of fused and quantitative risk is high.",
    ),
    Rule("RB-06", "low_liquidity_block", Effect.FREEZE, True, "low liquidity", "The name is too illiquid to trade."),
    Rule("RB-07", "not_tradable", Effect.FREEZE, True, "not tradable", "The name cannot be traded."),
    Rule("RB-08", "sizing_upper_bound", Effect.NONE, True, "sizing bound", "No size exceeds position sizing."),
    Rule(
        "RB-15",
        "data_missing_cap",
        Effect.NONE,
        True,
        "supporting data missing",
        "A supporting risk family is silent, so the cap is halved.",
    ),
    Rule(
        "RB-15",
        "data_missing_block",
        Effect.VETO,
        True,
        "critical data missing",
        "A critical input is missing, so nothing new is bought.",
    ),
    Rule("RB-09", "weak_buy_downgrade", Effect.VETO, False, "weak case for buying", "The case for buying is too weak."),
    Rule("RB-11", "sell_signal", Effect.SELL, False, "bearish signal", "The fused signal is bearish."),
    Rule(
        "RB-12",
        "severe_risk_sell",
        Effect.SELL,
        False,
        "severe risk",
        "The fused risk is severe and the signal is negative.",
    ),
    Rule("RB-13", "sell_to_zero", Effect.SIZE, True, "selling means zero", "Selling takes the position to zero."),
    Rule("RB-16", "hold_keeps_weight", Effect.SIZE, True, "holding adds nothing", "Holding never adds to what is in hand."),
    Rule("RB-17", "buy_keeps_weight", Effect.SIZE, False, "buying sells nothing", "Buying never sells what is in hand."),
)
N_RULES = len(RULES)
N_CAPS = 10  # the first ten belong to the pass over caps
RULE_INDEX = MappingProxyType({rule.code: i for i, rule in enumerate(RULES)})
SUMMARY = MappingProxyType(
    {
        "position_reduced_by_rule_barrier": "A cap made the position smaller.",
        "learned_scale_down": "The learned multiplier made the position smaller; no cap bound.",
        "action_changed_by_rule_barrier": "A rule changed the learned action.",
        "exit_blocked": "A position is held that cannot be sold today.",
        "no_rule_override": "No rule fired.",
    }
)
ALWAYS_ON = ("RB-13", "RB-16", "RB-17")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Thresholds of the barrier; all scores in [0, 1], all caps fractions of equity.

    Parameters
    ----------
    exposure_mode : {"conservative", "moderate", "aggressive"}, default="moderate"
        No position above 0.05, 0.10 or 0.15.
    horizon_mode : {"short", "long"}, default="short"
        Which crisis cap applies.
    degrade_factor : float, default=0.5
        Cap multiplier while a supporting risk family is silent; applied once however many are.
    allow_buy_in_crisis : bool, default=True
        False: the crisis rule turns BUY into HOLD as well.
    allow_sell_signal : bool, default=True
        False: RB-11 and RB-12 do nothing (RB-14).
    disabled : tuple[str, ...]
        Ids of rules that never fire, e.g. ``("RB-04",)``; for ablations.

    Raises
    ------
    PlanError
        On an unknown mode or rule, or a number outside its range.
    """

    exposure_mode: Literal["conservative", "moderate", "aggressive"] = "moderate"
    horizon_mode: Literal["short", "long"] = "short"
    crisis_prob: float = 0.50  # RB-02, inclusive
    crisis_cap_short: float = 0.05
    crisis_cap_long: float = 0.03
    drawdown_risk: float = 0.80  # RB-03, inclusive
    drawdown_cap: float = 0.03
    contagion_risk: float = 0.90  # RB-04, inclusive
    contagion_cap: float = 0.02
    quantitative_risk: float = 0.85  # RB-05, inclusive
    quantitative_cap: float = 0.03
    liquidity_floor: float = 0.30  # RB-06, exclusive
    min_signal: float = 0.18  # RB-09, weak below
    min_confidence: float = 0.35  # RB-09, weak below
    min_size: float = 0.0001  # RB-09, weak up to and including
    sell_signal: float = -0.25  # RB-11, sells below
    severe_risk: float = 0.92  # RB-12, inclusive
    degrade_factor: float = 0.5
    allow_buy_in_crisis: bool = True
    allow_sell_signal: bool = True
    disabled: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.exposure_mode not in PROFILE_CAPS or self.horizon_mode not in ("short", "long"):
            raise PlanError(
                f"`exposure_mode` is one of {', '.join(PROFILE_CAPS)} and `horizon_mode` short or "
                f"long; got {self.exposure_mode!r} and {self.horizon_mode!r}."
            )
        fractions = [
            name for name in self.__dataclass_fields__ if isinstance(getattr(self, name), float) and name != "sell_signal"
        ]
        for name in fractions:
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise PlanError(f"`{name}` must lie in [0, 1], got {getattr(self, name)}.")
        if not -1.0 <= self.sell_signal <= 0.0:
            raise PlanError(f"`sell_signal` must lie in [-1, 0], got {self.sell_signal}.")
        legal = {rule.id for rule in RULES} - set(ALWAYS_ON)
        unknown = sorted(set(self.disabled) - legal)
        if unknown:
            raise PlanError(
                f"`disabled` names {', '.join(unknown)}. These rules can be switched off: {', '.join(sorted(legal))}."
            )

    @property
    def profile_cap(self) -> float:
        """Largest position of the exposure profile."""
        return PROFILE_CAPS[self.exposure_mode]

    @property
    def crisis_cap(self) -> float:
        """Largest position in a crisis at this horizon."""
        return self.crisis_cap_short if self.horizon_mode == "short" else self.crisis_cap_long


def codes(rules: Rules) -> tuple[str, ...]:
    """Code of every rule in table order; the crisis code carries its cap: ``crisis_cap_0.05``."""
    crisis = f"crisis_cap_{rules.crisis_cap:g}"
    return tuple(crisis if rule.code == "crisis_cap" else rule.code for rule in RULES)


def registry(rules: Rules) -> Mapping[str, str]:
    """Every code that the barrier can emit, with one sentence."""
    sentences = (rule.words for rule in RULES)
    return MappingProxyType(dict(zip(codes(rules), sentences, strict=True)) | dict(SUMMARY))
