"""An ablation as a value: a pure function from plan to plan, and the question that the difference answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from glassbox_bt.errors import PlanError
from glassbox_bt.plan import ABLATION_SETS, Plan

__all__ = ["DEPTHS", "AblationSpec"]

DEPTHS = ("inference", "retrained")


@dataclass(frozen=True, slots=True, kw_only=True)
class AblationSpec:
    """One thing taken out of a plan.

    Parameters
    ----------
    name : str
        Of the variant, unique within a run.
    set : str
        One of `plan.ABLATION_SETS`.
    edit : str
        One of ``silent, shuffled, frozen, baseline, rule, blank, seed, cost, lag, profile, policy, text``.
    target : str
        What is edited, as tables name it.
    question : str
        What the difference to the base run answers.
    depth : {"inference", "retrained"}
        Whether the rest of the stack keeps its fits.
    parts : tuple[str, ...]
        Modules of ``silent``, ``shuffled``, ``frozen``, ``baseline`` and ``profile``, rules, or columns of ``blank``.
    value : str, int or float
        Of the edits ``baseline`` (a variant of the module), ``seed``, ``cost`` (factor on all costs), ``lag`` (sessions),
        ``profile`` (an exposure mode), ``policy`` and ``text`` (moved or delayed).

    Raises
    ------
    PlanError
        If set, edit or depth do not exist, or the edit needs other fits and the depth keeps them.
    """

    name: str
    set: str
    edit: str
    target: str
    question: str
    depth: str = "inference"
    parts: tuple[str, ...] = ()
    value: str | int | float = ""

    def __post_init__(self) -> None:
        for field, there in (("set", ABLATION_SETS), ("edit", tuple(EDITS)), ("depth", DEPTHS)):
            if getattr(self, field) not in there:
                raise PlanError(f"There is no {field} `{getattr(self, field)}` of ablations. There are: {', '.join(there)}.")
        if self.depth == "inference" and self.edit in NEED_FITS:
            raise PlanError(
                f"`{self.name}`: {NEED_FITS[self.edit]}, and depth inference keeps the fits. Take depth retrained."
            )
        if self.edit in OF_PARTS and not self.parts:
            raise PlanError(f"`{self.name}` edits nothing: `{self.edit}` needs `parts`.")

    def apply(self, plan: Plan) -> Plan:
        """The plan without the part; ``plan`` itself stays as it is."""
        return EDITS[self.edit](self, plan)


def _stand_in(spec: AblationSpec, plan: Plan) -> Plan:
    stand_ins: dict[str, Any] = {**plan.stand_ins, **dict.fromkeys(spec.parts, spec.edit)}
    return replace(plan, stand_ins=stand_ins)


def _baseline(spec: AblationSpec, plan: Plan) -> Plan:
    return _set_up(plan, spec.parts, "variant", spec.value)


def _rule(spec: AblationSpec, plan: Plan) -> Plan:
    disabled = tuple(dict.fromkeys((*plan.rules.disabled, *spec.parts)))
    return replace(plan, rules=replace(plan.rules, disabled=disabled))


def _blank(spec: AblationSpec, plan: Plan) -> Plan:
    return replace(plan, blank=tuple(dict.fromkeys((*plan.blank, *spec.parts))))


def _seed(spec: AblationSpec, plan: Plan) -> Plan:
    return replace(plan, seed=int(spec.value))


def _cost(spec: AblationSpec, plan: Plan) -> Plan:
    paid = ("commission_bps", "half_spread_bps", "impact")
    scaled = {name: getattr(plan.costs, name) * float(spec.value) for name in paid}
    return replace(plan, costs=replace(plan.costs, **scaled))


def _lag(spec: AblationSpec, plan: Plan) -> Plan:
    return replace(plan, lag=int(spec.value))


def _profile(spec: AblationSpec, plan: Plan) -> Plan:
    """The barrier's cap, and the largest position of the modules that size: the smaller of the two binds."""
    rules: Any = replace(plan.rules, exposure_mode=str(spec.value))  # type: ignore[arg-type]
    return replace(_set_up(plan, spec.parts, "exposure_mode", spec.value), rules=rules)


def _policy(spec: AblationSpec, plan: Plan) -> Plan:
    return replace(plan, policy=str(spec.value))  # type: ignore[arg-type]


def _text(spec: AblationSpec, plan: Plan) -> Plan:
    return replace(plan, text=str(spec.value))  # type: ignore[arg-type]


def _set_up(plan: Plan, modules: tuple[str, ...], setting: str, value: object) -> Plan:
    """The plan with one setting of some modules."""
    changed = {name: {**plan.modules.get(name, {}), setting: value} for name in modules}
    return replace(plan, modules={**plan.modules, **changed})


EDITS: Mapping[str, Callable[[AblationSpec, Plan], Plan]] = {
    "silent": _stand_in,
    "shuffled": _stand_in,
    "frozen": _stand_in,
    "baseline": _baseline,
    "rule": _rule,
    "blank": _blank,
    "seed": _seed,
    "cost": _cost,
    "lag": _lag,
    "profile": _profile,
    "policy": _policy,
    "text": _text,
}
OF_PARTS = ("silent", "shuffled", "frozen", "baseline", "rule", "blank")
NEED_FITS = {
    "baseline": "the baseline of a module is another fit",
    "seed": "another seed gives other fits",
}
