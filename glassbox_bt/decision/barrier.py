"""The rule barrier: what the learned layers propose passes fixed rules that may only remove risk.

1. Caps. Every rule that fires sets a cap; the cap of a row is the minimum (`_caps`). A minimum
   commutes, so the order of the table only decides who is named when two caps tie.
2. Action. A pure function of the set of fired rules (`_action`): a frozen name (RB-06, RB-07) is
   HOLD; else a bearish signal or severe risk (RB-11, RB-12) is SELL; else any veto turns BUY into
   HOLD; else the learned action stands. Nothing leads to BUY.
3. Size. BUY = max(held, learned position), HOLD = held, SELL = 0, each under the cap (`_sizes`).

Two sizes leave. ``final_position_fraction`` is the size that the rules permit. ``target_weight`` is
the order's aim and differs in one case: a frozen name that is held (``exit_blocked``) is permitted
nothing but cannot be sold, so its aim is the weight in hand.

Missing input (R15): a silent critical family (liquidity, tail, quantitative, fusion, sizing) caps
at the weight in hand and vetoes buying. A silent supporting family (volatility, drawdown,
contagion, regime) halves the tightest cap of RB-01 to RB-07, once.

All inputs are float64 and compared exactly; learned numbers arrive on the 1e-6 grid (R13, R19).
Everything is elementwise, so one day, many days, and any order of names give the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from glassbox_bt.decision.rules import N_CAPS, N_RULES, RULE_INDEX, RULES, SUMMARY, Effect, Rules, codes, registry
from glassbox_bt.errors import ContractError
from glassbox_bt.types import Action, Answers, AnyArray, BoolArray, FloatArray, Signal, StrArray

__all__ = [
    "BarrierInputs",
    "BarrierResult",
    "Rules",
    "evaluate",
    "inputs_from",
    "reasons",
    "registry",
]

CRITICAL = ("liquidity", "tail", "quantitative", "fusion", "position_sizing")
SUPPORTING = ("volatility", "drawdown", "contagion", "regime")
EPSILON = 1e-9  # below this a size counts as equal (spec 25.3)

# Which values must be finite, given that a family is known.
VALUES_OF = {
    "fusion": (
        "learned_recommendation",
        "learned_fusion_signal",
        "learned_fusion_risk_score",
        "learned_fusion_confidence",
        "learned_position_multiplier",
    ),
    "position_sizing": ("recommended_capital_fraction", "max_single_stock_exposure"),
    "quantitative": ("quantitative_risk_score",),
    "liquidity": ("liquidity_score", "tradable"),
    "drawdown": ("drawdown_risk_score",),
    "regime": ("prob_crisis", "regime_is_crisis"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BarrierInputs:
    """What the barrier may read, arrays of one shape: (n_assets,) or (n_days, n_assets).

    Numbers are float64 and NaN where their family is unknown; ``<family>_known`` are boolean.
    ``tradable`` and ``regime_is_crisis`` are 0 or 1, ``learned_recommendation`` is an `Action`
    code, ``held_weight`` today's fraction of equity.

    Raises
    ------
    ContractError
        If shapes or types differ, a value of a known family is not finite, or a held weight is
        negative.
    """

    learned_recommendation: FloatArray
    learned_fusion_signal: FloatArray
    learned_fusion_risk_score: FloatArray
    learned_fusion_confidence: FloatArray
    learned_position_multiplier: FloatArray
    recommended_capital_fraction: FloatArray
    max_single_stock_exposure: FloatArray
    quantitative_risk_score: FloatArray
    liquidity_score: FloatArray
    tradable: FloatArray
    drawdown_risk_score: FloatArray
    contagion_risk_score: FloatArray
    prob_crisis: FloatArray
    regime_is_crisis: FloatArray
    held_weight: FloatArray
    fusion_known: BoolArray
    quantitative_known: BoolArray
    position_sizing_known: BoolArray
    liquidity_known: BoolArray
    tail_known: BoolArray
    volatility_known: BoolArray
    drawdown_known: BoolArray
    contagion_known: BoolArray
    regime_known: BoolArray

    def __post_init__(self) -> None:
        shape = self.held_weight.shape
        for field in fields(self):
            values = getattr(self, field.name)
            wanted = np.bool_ if field.name.endswith("_known") else np.float64
            if values.shape != shape or values.dtype != wanted:
                raise ContractError(
                    f"Barrier input `{field.name}` is {values.dtype} {values.shape}, expected {np.dtype(wanted)} {shape}. "
                    "Round learned values with `modules.base.rounded`."
                )
        for family, names in VALUES_OF.items():
            known = getattr(self, f"{family}_known")
            for name in names:
                if not np.isfinite(getattr(self, name)[known]).all():
                    raise ContractError(
                        f"Barrier input `{name}` is not finite where `{family}` claims to know. "
                        f"Set `{family}_known` to False."
                    )
        if not bool(np.all(self.held_weight >= 0.0)):
            raise ContractError("`held_weight` must be a number of at least 0 for every name: the portfolio is long-only.")

    def silent(self, families: tuple[str, ...]) -> BoolArray:
        """Where at least one of the families does not know."""
        known: BoolArray = np.logical_and.reduce([getattr(self, f"{name}_known") for name in families])
        return ~known


@dataclass(frozen=True, slots=True, kw_only=True)
class BarrierResult:
    """What the barrier decided, row by row, and everything needed to retrace it.

    ``fired`` and ``cap_after`` are (n_rules, …) in table order; ``cap_after`` is the running
    minimum of the cap. ``binding_rule`` is the index of the rule whose cap bound the size, -1 where
    none did. ``summary`` holds the summary codes as bits in the order of `rules.SUMMARY`.
    """

    inputs: BarrierInputs
    rules: Rules
    learned_action: AnyArray  # int8; HOLD where fusion does not know
    final_recommendation: AnyArray  # int8
    final_position_fraction: FloatArray
    target_weight: FloatArray
    user_rule_cap_fraction: FloatArray
    pre_rule_learned_position_fraction: FloatArray  # NaN where fusion or sizing does not know
    final_effective_signal: FloatArray  # 0 where a rule turned the learned action into HOLD
    fired: BoolArray
    cap_after: FloatArray
    binding_rule: AnyArray  # int8
    rule_changed_action: BoolArray
    exit_blocked: BoolArray
    summary: AnyArray  # uint8 bits

    @property
    def binding_rule_id(self) -> StrArray:
        """Id of the binding rule, ``none`` where no cap bound."""
        names = np.array([*(rule.id for rule in RULES), "none"], dtype=object)
        chosen: StrArray = names[self.binding_rule]
        return chosen


def evaluate(inputs: BarrierInputs, rules: Rules) -> BarrierResult:
    """Apply all rules to every row; the order of names and days does not matter."""
    shape = inputs.held_weight.shape
    learned = np.where(inputs.fusion_known, inputs.learned_recommendation, Action.HOLD).astype(np.int8)
    position = inputs.recommended_capital_fraction * inputs.learned_position_multiplier
    wanted = np.maximum(inputs.held_weight, np.where(np.isnan(position), 0.0, position))
    fired = np.zeros((N_RULES, *shape), dtype=bool)
    cap_after = np.empty((N_RULES, *shape))
    binder = _caps(inputs, rules, wanted, fired, cap_after)
    cap = cap_after[N_CAPS - 1].copy()
    _fire_actions(inputs, rules, np.minimum(position, cap), fired)
    action = _action(learned, rules, fired)
    final = _sizes(inputs, action, wanted, cap, fired)
    _finish_caps(inputs, cap, fired, cap_after)
    frozen = fired[RULE_INDEX["low_liquidity_block"]] | fired[RULE_INDEX["not_tradable"]]
    bound = np.where(action == Action.BUY, wanted, inputs.held_weight) > cap
    selling = action == Action.SELL
    binding = np.where(selling, RULE_INDEX["sell_to_zero"], np.where(bound, binder, -1))
    stopped = (action != learned) & (action == Action.HOLD)
    return BarrierResult(
        inputs=inputs,
        rules=rules,
        learned_action=learned,
        final_recommendation=action,
        final_position_fraction=final,
        target_weight=np.where(frozen, inputs.held_weight, final),
        user_rule_cap_fraction=cap,
        pre_rule_learned_position_fraction=position,
        final_effective_signal=np.where(stopped, 0.0, inputs.learned_fusion_signal),
        fired=fired,
        cap_after=cap_after,
        binding_rule=binding.astype(np.int8),
        rule_changed_action=action != learned,
        exit_blocked=frozen & (inputs.held_weight > 0.0),
        summary=_summary(inputs, action, final, bound & ~selling, fired, action != learned),
    )


def reasons(result: BarrierResult) -> StrArray:
    """Codes of every row joined by ``|``: fired rules in table order, then the summary codes."""
    weights = 1 << np.arange(N_RULES, dtype=np.int64)
    key = np.tensordot(weights, result.fired.astype(np.int64), axes=1)
    key += result.summary.astype(np.int64) << N_RULES
    patterns, place = np.unique(key, return_inverse=True)
    names = (*codes(result.rules), *SUMMARY)
    texts = ["|".join(name for bit, name in enumerate(names) if int(p) >> bit & 1) for p in patterns]
    joined: StrArray = np.array(texts, dtype=object)[place.reshape(key.shape)]
    return joined


def inputs_from(
    answers: Mapping[str, Answers | Signal], held_weight: FloatArray, tradable: FloatArray | None = None
) -> BarrierInputs:
    """Gather the inputs from modules' answers for the same days and names.

    A module that is absent does not know.

    Parameters
    ----------
    answers : Mapping[str, Answers | Signal]
        By module; market-wide answers apply to every name.
    held_weight : FloatArray
        Today's weights; its shape is the shape of everything.
    tradable : FloatArray, optional
        1 where the market says the name can be traded; the liquidity module's own flag must agree
        to count as tradable.
    """
    shape = held_weight.shape

    def column(module: str, output: str) -> FloatArray:
        if module not in answers or output not in answers[module].outputs:
            return np.full(shape, np.nan)
        return _spread(np.asarray(answers[module].outputs[output], dtype=np.float64), shape)

    def known(module: str) -> BoolArray:
        if module not in answers:
            return np.zeros(shape, dtype=bool)
        return _spread(answers[module].known, shape)

    label = column("regime", "regime_label_id")
    liquid = column("liquidity", "tradable")
    numbers: dict[str, Any] = {
        name: column(module, name)
        for module in ("fusion", "position_sizing", "quantitative", "drawdown")
        for name in VALUES_OF[module]
    }
    numbers |= {f"{name}_known": known(name) for name in (*CRITICAL, *SUPPORTING) if name != "tail"}
    return BarrierInputs(
        **numbers,
        liquidity_score=column("liquidity", "liquidity_score"),
        tradable=liquid if tradable is None else np.fmin(liquid, tradable),
        contagion_risk_score=column("position_sizing", "contagion_risk_score"),
        prob_crisis=column("regime", "prob_crisis"),
        regime_is_crisis=np.where(np.isnan(label), np.nan, label == 2.0),
        held_weight=np.asarray(held_weight, dtype=np.float64),
        tail_known=known("var") & known("cvar"),
    )


def _spread(values: AnyArray, shape: tuple[int, ...]) -> AnyArray:
    """A market-wide answer, one axis short, repeated for every name."""
    return values if values.shape == shape else np.broadcast_to(values[..., None], shape)


def _caps(
    inputs: BarrierInputs,
    rules: Rules,
    wanted: FloatArray,
    fired: BoolArray,
    cap_after: FloatArray,
) -> AnyArray:
    """Fill the pass over caps; return the index of the rule that set the minimum."""
    start = np.fmin(inputs.max_single_stock_exposure, rules.profile_cap)  # the profile alone without sizing
    if "RB-01" in rules.disabled:
        start = np.ones_like(start)
    recommended = np.where(inputs.position_sizing_known, inputs.recommended_capital_fraction, np.inf)
    in_view = np.fmax(inputs.held_weight, inputs.recommended_capital_fraction)
    risk = np.fmax(inputs.learned_fusion_risk_score, inputs.quantitative_risk_score)
    conditions: tuple[tuple[BoolArray, float | FloatArray], ...] = (
        (in_view > start, start),
        ((inputs.regime_is_crisis == 1.0) | (inputs.prob_crisis >= rules.crisis_prob), rules.crisis_cap),
        (inputs.drawdown_risk_score >= rules.drawdown_risk, rules.drawdown_cap),
        ((inputs.contagion_risk_score >= rules.contagion_risk) & inputs.contagion_known, rules.contagion_cap),
        (risk >= rules.quantitative_risk, rules.quantitative_cap),
        (inputs.liquidity_score < rules.liquidity_floor, 0.0),
        (inputs.tradable < 0.5, 0.0),
        (wanted > recommended, recommended),
        (inputs.silent(SUPPORTING), np.nan),  # its cap is computed below
        (inputs.silent(CRITICAL), inputs.held_weight),
    )
    running, binder = start, np.zeros(start.shape, dtype=np.int8)
    for i, (condition, fixed) in enumerate(conditions):
        halved = RULES[i].code == "data_missing_cap"
        cap = rules.degrade_factor * cap_after[RULE_INDEX["not_tradable"]] if halved else fixed
        if RULES[i].id not in rules.disabled:
            fired[i] = condition
        lower = fired[i] & (cap < running)
        running = np.where(lower, cap, running)
        binder[lower] = i
        cap_after[i] = running
    return binder


def _fire_actions(inputs: BarrierInputs, rules: Rules, size: FloatArray, fired: BoolArray) -> None:
    """Conditions of RB-09, RB-11 and RB-12; unknown numbers compare False."""
    signal = inputs.learned_fusion_signal
    weak = (signal < rules.min_signal) | (inputs.learned_fusion_confidence < rules.min_confidence)
    conditions = {
        "weak_buy_downgrade": (inputs.learned_recommendation == Action.BUY) & (weak | (size <= rules.min_size)),
        "sell_signal": (signal < rules.sell_signal) & rules.allow_sell_signal,
        "severe_risk_sell": (inputs.learned_fusion_risk_score >= rules.severe_risk)
        & (signal < 0.0)
        & rules.allow_sell_signal,
    }
    for code, condition in conditions.items():
        i = RULE_INDEX[code]
        fired[i] = condition & (RULES[i].id not in rules.disabled)


def _action(learned: AnyArray, rules: Rules, fired: BoolArray) -> AnyArray:
    """R19, a pure function of the set of fired rules and the learned action."""
    by_effect = {
        effect: np.logical_or.reduce([fired[i] for i, rule in enumerate(RULES) if rule.effect == effect])
        for effect in (Effect.VETO, Effect.SELL, Effect.FREEZE)
    }
    veto = by_effect[Effect.VETO]
    if not rules.allow_buy_in_crisis:
        veto = veto | fired[RULE_INDEX["crisis_cap"]]
    allowed = np.where(veto, np.minimum(learned, Action.HOLD), learned)
    action = np.where(by_effect[Effect.SELL], Action.SELL, allowed)
    return np.where(by_effect[Effect.FREEZE], Action.HOLD, action).astype(np.int8)


def _sizes(inputs: BarrierInputs, action: AnyArray, wanted: FloatArray, cap: FloatArray, fired: BoolArray) -> FloatArray:
    """Size under the cap, and the three notes on what an action means for a name in hand."""
    held, buying, holding = inputs.held_weight, action == Action.BUY, action == Action.HOLD
    final = np.minimum(np.where(buying, wanted, held), cap)
    final[action == Action.SELL] = 0.0
    position = inputs.recommended_capital_fraction * inputs.learned_position_multiplier
    proposed = np.minimum(np.where(np.isnan(position), held, position), cap)
    fired[RULE_INDEX["sell_to_zero"]] = action == Action.SELL
    fired[RULE_INDEX["hold_keeps_weight"]] = holding & (
        (final != proposed) | ((held <= cap) & (held < inputs.recommended_capital_fraction))
    )
    fired[RULE_INDEX["buy_keeps_weight"]] = buying & (final > proposed)
    return final


def _finish_caps(inputs: BarrierInputs, cap: FloatArray, fired: BoolArray, cap_after: FloatArray) -> None:
    """The running cap behind the pass over caps; only the meaning of an action lowers it further."""
    sell, hold = RULE_INDEX["sell_to_zero"], RULE_INDEX["hold_keeps_weight"]
    cap_after[N_CAPS:sell] = cap
    cap_after[sell:hold] = np.where(fired[sell], 0.0, cap)
    cap_after[hold:] = np.where(fired[hold], np.minimum(cap, inputs.held_weight), cap_after[sell])


def _summary(
    inputs: BarrierInputs,
    action: AnyArray,
    final: FloatArray,
    bound: BoolArray,
    fired: BoolArray,
    changed: BoolArray,
) -> AnyArray:
    """Summary codes as bits, in the order of `rules.SUMMARY`."""
    smaller = final < inputs.recommended_capital_fraction - EPSILON
    frozen = fired[RULE_INDEX["low_liquidity_block"]] | fired[RULE_INDEX["not_tradable"]]
    notes = {RULE_INDEX["hold_keeps_weight"], RULE_INDEX["buy_keeps_weight"]}
    any_rule = np.logical_or.reduce([fired[i] for i in range(N_RULES) if i not in notes])
    said = (
        smaller & bound,
        smaller & ~bound & (action == Action.BUY),
        changed,
        frozen & (inputs.held_weight > 0.0),
        ~any_rule,
    )
    bits = np.zeros(final.shape, dtype=np.uint8)
    for bit, condition in enumerate(said):
        bits |= condition.astype(np.uint8) << bit
    return bits
