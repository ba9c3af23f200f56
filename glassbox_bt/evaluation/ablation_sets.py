"""The sets of ablations: which questions a plan can be asked, and which it cannot, with the reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args, get_type_hints

from glassbox_bt.decision.rules import ALWAYS_ON, PROFILE_CAPS, RULES
from glassbox_bt.decision.stack import MARKET_WIDE
from glassbox_bt.evaluation.ablation_spec import AblationSpec
from glassbox_bt.modules.base import Module
from glassbox_bt.plan import AblationPlan, Plan, load_stack

__all__ = ["Absent", "ablation_specs", "absent_parts"]

NOUNS = {
    "temporal_encoder": "the temporal encoder",
    "text_encoder": "the text encoder",
    "sentiment": "the sentiment analyst",
    "news": "the news analyst",
    "qualitative": "the qualitative analyst",
    "technical": "the technical analyst",
    "volatility": "the volatility model",
    "var": "historical VaR",
    "cvar": "expected shortfall",
    "liquidity": "the liquidity model",
    "position_sizing": "position sizing",
    "quantitative": "the quantitative analyst",
    "fusion": "learned fusion",
}
FAMILIES: Mapping[str, tuple[str, ...]] = {  # of modules that live on one kind of data
    "price path": ("temporal_encoder", "technical"),
    "volatility": ("volatility",),
    "tail risk": ("var", "cvar"),
    "liquidity": ("liquidity",),
    "text": ("text_encoder", "sentiment", "news", "qualitative"),
    "graph": ("contagion",),
}
BASELINES = ("anchor", "untrained")  # variants that a module has to beat (R32)
BRANCH = ("quantitative", "position_sizing")  # without them no branch can be acted on


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """A question that a set asks but this plan cannot answer, and why."""

    set: str
    target: str
    depth: str
    why: str


Listed = Iterator[AblationSpec | Absent]


@dataclass(frozen=True, slots=True)
class _Set:
    """A set in the making: the plan, the modules that answer in it, and how deep the edits go."""

    plan: Plan
    stack: Mapping[str, Module]
    name: str
    depth: str

    def spec(
        self, name: str, edit: str, target: str, question: str, parts: Sequence[str] = (), value: str | int | float = ""
    ) -> AblationSpec:
        """One ablation of this set; its name tells the depth, so that both can stand in one run."""
        return AblationSpec(
            name=name if self.depth == "inference" else f"{name}_{self.depth}",
            set=self.name,
            edit=edit,
            target=target,
            question=question,
            depth=self.depth,
            parts=tuple(parts),
            value=value,
        )

    def absent(self, target: str, why: str) -> Absent:
        return Absent(set=self.name, target=target, depth=self.depth, why=why)


def ablation_specs(plan: Plan, sets: Sequence[str], depth: str) -> tuple[AblationSpec, ...]:
    """Every ablation of these sets that the plan can be asked, set by set.

    Raises
    ------
    PlanError
        If there is no such set or depth.
    """
    return tuple(one for one in _listed(plan, sets, depth) if isinstance(one, AblationSpec))


def absent_parts(plan: Plan, sets: Sequence[str], depth: str) -> tuple[Absent, ...]:
    """What these sets would ask, but the plan has not, or the depth cannot show."""
    return tuple(one for one in _listed(plan, sets, depth) if isinstance(one, Absent))


def _listed(plan: Plan, sets: Sequence[str], depth: str) -> Listed:
    asked = AblationPlan(sets=tuple(sets), depth=depth)  # type: ignore[arg-type]
    stack = load_stack(plan)
    for name in asked.sets:
        yield from SETS[name](_Set(plan, stack, name, asked.depth))


def _modules(of: _Set) -> Listed:
    for name in of.stack:
        yield of.spec(f"without_{name}", "silent", name, f"What does {_noun(name)} add?", (name,))
    for name in of.plan.silent:
        yield of.absent(name, f"{_noun(name)} is silent in this plan")


def _rules(of: _Set) -> Listed:
    for rule, words in _removable().items():
        if rule in of.plan.rules.disabled:
            yield of.absent(rule, f"{rule} is switched off in this plan")
            continue
        name = f"without_{rule.lower().replace('-', '_')}"
        yield of.spec(name, "rule", rule, f"What does rule {rule} ({words}) change?", (rule,))


def _modalities(of: _Set) -> Listed:
    for family, names in FAMILIES.items():
        there = [name for name in names if name in of.stack]
        if not there:
            silent = _joined([_noun(one) for one in names])
            yield of.absent(family, f"{silent} {'are' if len(names) > 1 else 'is'} silent in this plan")
            continue
        name = f"without_{family.replace(' ', '_')}_family"
        question = f"What do {_joined([_noun(one) for one in there])} add together?"
        if len(there) == 1:
            question = f"What does {_noun(there[0])} add, all that this plan has of {family}?"
        yield of.spec(name, "silent", family, question, there)
    series = sorted({read.column for one in of.stack.values() for read in one.reads if _is_macro(read.column)})
    if series:
        yield of.spec("without_macro_family", "blank", "macro", f"What do the macro series {_joined(series)} add?", series)
    else:
        yield of.absent("macro", "no module that answers in this plan reads a macro series")


def _fusion(of: _Set) -> Listed:
    has_text = "qualitative" in of.stack
    if all(name in of.stack for name in BRANCH):
        asked = "What does learned fusion add to the quantitative branch as it stands, at the whole recommended size?"
        yield of.spec("quantitative_only", "policy", "fusion", asked, value="quantitative_only")
    else:
        yield of.absent("quantitative only", f"{_joined([_noun(one) for one in BRANCH])} do not both answer in this plan")
    if has_text:
        asked = "What does learned fusion add to the text branch as it stands, at the whole recommended size?"
        yield of.spec("qualitative_only", "policy", "fusion", asked, value="qualitative_only")
        asked = "What does learned fusion add to the mean of the two branches?"
        yield of.spec("equal_weight", "policy", "fusion", asked, value="equal_weight")
    else:
        yield of.absent("qualitative only", f"{_noun('qualitative')} is silent in this plan")
        yield of.absent("equal weight", "without text there is one branch, so equal weight is the quantitative branch alone")
    yield of.spec("no_barrier", "rule", "all rules", "What does the rule barrier change?", tuple(_removable()))
    if "fusion" not in of.stack:
        yield of.absent("formula", "learned fusion is silent in this plan")
        yield of.absent("shuffled fusion", "learned fusion is silent in this plan")
        return
    asked = "What does learned fusion add to the closed formula in its place?"
    yield of.spec("formula_fusion", "policy", "fusion", asked, value="formula_only")
    asked = "Does it matter which name and day an answer of learned fusion belongs to?"
    yield of.spec("fusion_shuffled", "shuffled", "fusion", asked, ("fusion",))


def _execution(of: _Set) -> Listed:
    yield of.spec("costs_zero", "cost", "costs", "What do costs take?", value=0.0)
    yield of.spec("costs_double", "cost", "costs", "Does the result survive twice the costs?", value=2.0)
    asked = "Does the result survive decisions that are one session late?"
    yield of.spec(f"lag_{of.plan.lag + 1}", "lag", "decisions", asked, value=of.plan.lag + 1)
    sizing = tuple(name for name in ("position_sizing",) if name in of.stack)
    for mode in PROFILE_CAPS:
        if mode != of.plan.rules.exposure_mode:
            asked = f"What would the {mode} exposure profile make of it?"
            yield of.spec(f"profile_{mode}", "profile", mode, asked, sizing, mode)
    if of.depth == "inference":
        yield of.absent("seed", "another seed gives other fits, and depth inference keeps them")
    else:
        yield of.spec("other_seed", "seed", "seed", "Does the result depend on the seed?", value=of.plan.seed + 1)


def _controls(of: _Set) -> Listed:
    for name, module in of.stack.items():
        asked = f"Does it matter which name and day an answer of {_noun(name)} belongs to?"
        yield of.spec(f"shuffled_{name}", "shuffled", name, asked, (name,))
        if module.kind == "document":
            yield of.absent(f"frozen {name}", "an answer to a document has no earlier one to be kept")
        else:
            asked = f"Does it matter that {_noun(name)} answers anew each day?"
            yield of.spec(f"frozen_{name}", "frozen", name, asked, (name,))
        baseline = _baseline_of(module)
        if baseline is None or getattr(module, "variant") == baseline:  # noqa: B009 - settings of a protocol's value
            continue
        if of.depth == "inference":
            yield of.absent(
                f"baseline of {name}", "the baseline of a module is another fit, and depth inference keeps the fits"
            )
        else:
            asked = f"What does {_noun(name)} add to its {baseline} variant?"
            yield of.spec(f"baseline_{name}", "baseline", name, asked, (name,), baseline)


def _text(of: _Set) -> Listed:
    if "qualitative" not in of.stack:
        yield of.absent("text", f"{_noun('qualitative')} is silent in this plan")
        return
    there = tuple(name for name in FAMILIES["text"] if name in of.stack)
    yield of.spec("without_text", "silent", "text", "What does text add?", there)
    asked = "Does it matter which name a text speaks of?"
    yield of.spec("text_moved", "text", "text", asked, value="moved")
    asked = "Does what text adds survive that it is read one session late?"
    yield of.spec("text_delayed", "text", "text", asked, value="delayed")


SETS: Mapping[str, Callable[[_Set], Listed]] = {
    "modules": _modules,
    "rules": _rules,
    "modalities": _modalities,
    "fusion": _fusion,
    "execution": _execution,
    "controls": _controls,
    "text": _text,
}


def _removable() -> dict[str, str]:
    """Rules that can be switched off, in table order, with a few words each."""
    words: dict[str, str] = {}
    for rule in RULES:
        if rule.id not in ALWAYS_ON:
            words[rule.id] = f"{words[rule.id]}, {rule.short}" if rule.id in words else rule.short
    return words


def _baseline_of(module: Module) -> str | None:
    """The variant that the module has to beat, None where its settings name none."""
    there = get_args(get_type_hints(type(module)).get("variant"))
    return next((one for one in BASELINES if one in there), None)


def _is_macro(column: str) -> bool:
    return column.startswith(f"{MARKET_WIDE}.")


def _noun(module: str) -> str:
    return NOUNS.get(module, f"the {module.replace('_', ' ')} module")


def _joined(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
