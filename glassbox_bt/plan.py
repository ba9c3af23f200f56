"""What to run: the plan, and the strict reader of ``plan.toml``.

A plan is a value. What is not written in the file is a default of the settings classes; what is written and not known
is an error that names the key, the place and the nearest known key. Reading a plan imports no heavy library: modules and
strategies are named by dotted path (``package.module:Name``) and loaded by `load_stack` and `load_strategies`.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import importlib
import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_type_hints

import numpy as np
from pydantic import TypeAdapter, ValidationError

from glassbox_bt.decision.approver import Limits
from glassbox_bt.decision.barrier import Rules
from glassbox_bt.errors import PlanError
from glassbox_bt.market.universe import UniverseRule
from glassbox_bt.modules.base import Module
from glassbox_bt.modules.stand_ins import Assumed
from glassbox_bt.portfolio.costs import Costs

__all__ = [
    "AblationPlan",
    "Chunk",
    "MarketPlan",
    "Plan",
    "SelectionPlan",
    "StatisticsPlan",
    "least_samples",
    "load_stack",
    "load_strategies",
    "plan_from",
    "read_plan",
    "settings_from",
]

T = TypeVar("T")

RESERVE = 1.05  # of bootstrap samples, for those on which a measure is not defined
ABLATION_SETS = ("modules", "rules", "modalities", "fusion", "execution", "controls", "text")
TextEdit = Literal["as_it_came", "moved", "delayed"]
PolicyName = Literal["learned", "formula_only", "sizing_only", "quantitative_only", "qualitative_only", "equal_weight"]

# What a plan may assume in place of a missing family: key in the plan to the output it stands for, and its factor (R15).
ASSUMABLE: Mapping[str, Mapping[str, tuple[str, float]]] = {
    "liquidity": {
        "score": ("liquidity_score", 1.0),
        "tradable": ("tradable", 1.0),
        "half_spread_bps": ("slippage_estimate_frac", 1e-4),
        "days_to_liquidate": ("days_to_liquidate_1M", 1.0),
    }
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """One chronological world: fitted on ``train``, selected on ``validation``, reported on ``test`` (inclusive dates)."""

    train: tuple[str, str]
    validation: tuple[str, str]
    test: tuple[str, str]

    def __post_init__(self) -> None:
        last = None
        for part in ("train", "validation", "test"):
            first_day, last_day = (_day(text, part) for text in getattr(self, part))
            if first_day > last_day:
                raise PlanError(f"`{part}` of a chunk runs backwards: {first_day} to {last_day}. Swap the two dates.")
            if last is not None and first_day <= last:
                raise PlanError(
                    f"`{part}` starts on {first_day}, before the part before it has ended ({last}): parts overlap."
                )
            last = last_day


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketPlan:
    """Which market, and which of its names may be held.

    ``source`` is ``sp500``, ``synthetic``, ``synthetic?seed=3&noise_only=true`` or a market folder, relative to the plan
    file.
    """

    source: str
    universe: UniverseRule = field(default_factory=UniverseRule)
    delist_return: float = -0.30  # R9, where no listings.csv tells

    def __post_init__(self) -> None:
        if not -1.0 <= self.delist_return <= 1.0:
            raise PlanError(f"`delist_return` must lie in [-1, 1], got {self.delist_return}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class AblationPlan:
    """Which parts the main job takes out, one at a time, to see what they were worth.

    Parameters
    ----------
    sets : tuple[str, ...]
        Any of ``modules``, ``rules``, ``modalities``, ``fusion``, ``execution``, ``controls``, ``text``; none by default.
    depth : {"inference", "retrained"}
        Whether the rest of the stack keeps its fits, or is fitted again without the part.
    """

    sets: tuple[str, ...] = ()
    depth: Literal["inference", "retrained"] = "inference"

    def __post_init__(self) -> None:
        unknown = sorted(set(self.sets) - set(ABLATION_SETS))
        if unknown:
            raise PlanError(f"There is no set of ablations `{unknown[0]}`. There are: {', '.join(ABLATION_SETS)}.")
        if len(set(self.sets)) != len(self.sets):
            raise PlanError(f"`sets` names a set twice: {', '.join(self.sets)}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class StatisticsPlan:
    """How much a difference must amount to, and how sure one must be of it; written before the run.

    Parameters
    ----------
    level : float, default=0.95
        Of every interval, in (0.5, 1); tests use 1 - level.
    primary : {"sharpe", "annual_return"}
        The measure that verdicts and corrections for many comparisons are about.
    smallest_effect : float, default=0.5
        The smallest difference of the primary measure that would matter to the reader; above 0.
    n_boot : int, default=2000
        Bootstrap samples, at least 100 and `least_samples`; a family takes more where Holm's correction of its claims
        needs them.
    """

    level: float = 0.95
    primary: Literal["sharpe", "annual_return"] = "sharpe"
    smallest_effect: float = 0.5
    n_boot: int = 2000

    def __post_init__(self) -> None:
        if not 0.5 < self.level < 1.0:
            raise PlanError(f"`level` must lie in (0.5, 1), got {self.level}.")
        if not self.smallest_effect > 0.0:
            raise PlanError(f"`smallest_effect` must be above 0, got {self.smallest_effect}.")
        if self.n_boot < 100:
            raise PlanError(f"`n_boot` must be at least 100, got {self.n_boot}.")
        if self.n_boot < least_samples(self.level):
            raise PlanError(
                f"{self.n_boot} bootstrap samples have no {self.level:.4g} interval. "
                f"Set `n_boot` to {least_samples(self.level)} or more."
            )


def least_samples(level: float) -> int:
    """The bootstrap samples that an interval of this level needs, and a p-value to fall below ``1 - level``."""
    return math.ceil(RESERVE * 2.0 / (1.0 - level))


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionPlan:
    """What validation decides for modules that leave it a choice; fixed before the run (R5).

    Parameters
    ----------
    variant : {"fixed", "validation"}, default="validation"
        Whether the variant that answers test is the one that train chose, or the one with the smallest loss on validation.
    calibration : {"out_of_fold", "validation"}, default="validation"
        What probabilities are put right on: train answers out of fold, for validation and test; or validation answers, for
        test only.
    """

    variant: Literal["fixed", "validation"] = "validation"
    calibration: Literal["out_of_fold", "validation"] = "validation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that decides the numbers of a run.

    Parameters
    ----------
    stack : str
        Dotted path of a function that returns the modules by name.
    silent : tuple[str, ...]
        Modules that do not answer in this run (R15); they may or may not be part of the stack.
    modules : Mapping[str, Mapping[str, object]]
        Settings that differ from the stack's defaults, by module.
    strategies : tuple[str, ...]
        Rivals by dotted path.
    assumptions : Mapping[str, Mapping[str, float]]
        Constants in place of a module whose family of data this market lacks; printed on the report's first screen.
    reduced : bool
        True where networks are smaller than the spec's; the report says so.
    stand_ins : Mapping[str, str]
        ``silent``, ``shuffled`` or ``frozen`` in place of a module's answers; for ablations (R28). Unlike ``silent`` above
        it leaves the folds of the modules downstream as they are.
    blank : tuple[str, ...]
        Columns that no module may see: they read as missing; for ablations.
    lag : int
        Sessions by which every decision is late; for ablations.
    text : {"as_it_came", "moved", "delayed"}
        Text dealt to random names of its day, or read a session late; see `walkforward.text_edits`; for ablations.
    policy : str
        What the stack's decisions rest on, ``learned`` fusion by default; see `walkforward.policies`; for ablations.
    """

    name: str
    title: str
    question: str
    market: MarketPlan
    chunks: tuple[Chunk, ...]
    seed: int = 7
    stack: str = "strategies.full_stack:stack"
    silent: tuple[str, ...] = ()
    modules: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    strategies: tuple[str, ...] = ()
    assumptions: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    rules: Rules = field(default_factory=Rules)
    limits: Limits = field(default_factory=Limits)
    costs: Costs = field(default_factory=Costs)
    reduced: bool = False
    stand_ins: Mapping[str, Literal["silent", "shuffled", "frozen"]] = field(default_factory=dict)
    blank: tuple[str, ...] = ()
    lag: int = 0
    text: TextEdit = "as_it_came"
    policy: PolicyName = "learned"
    ablations: AblationPlan = field(default_factory=AblationPlan)
    statistics: StatisticsPlan = field(default_factory=StatisticsPlan)
    selection: SelectionPlan = field(default_factory=SelectionPlan)
    folder: str = "."  # where relative paths start; not part of the digest

    def __post_init__(self) -> None:
        if not self.chunks:
            raise PlanError("The plan has no [[chunks]]. Add at least one with `train`, `validation` and `test`.")
        if self.lag < 0:
            raise PlanError(f"`lag` counts sessions and must be at least 0, got {self.lag}.")
        if self.text not in get_args(TextEdit):
            raise PlanError(f"There is no edit `{self.text}` of text. There are: {', '.join(get_args(TextEdit))}.")
        if self.policy not in get_args(PolicyName):
            raise PlanError(f"There is no policy `{self.policy}`. There are: {', '.join(get_args(PolicyName))}.")
        _refuse_overlap(self.chunks)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, JSON-serialisable, without the folder the plan was read from."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self), default=str))
        del plain["folder"]
        return plain

    @property
    def digest(self) -> str:
        """sha256 of the plan's values; comments and layout of the file do not matter."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()

    @property
    def market_source(self) -> str:
        """The source with a relative folder made absolute."""
        path = Path(self.folder) / self.market.source
        return str(path.resolve()) if path.is_dir() else self.market.source


TABLES: Mapping[str, type[Any]] = {
    "rules": Rules,
    "limits": Limits,
    "costs": Costs,
    "ablations": AblationPlan,
    "statistics": StatisticsPlan,
    "selection": SelectionPlan,
}


def read_plan(path: Path) -> Plan:
    """Read a plan file; every fault is a `PlanError` that names its place."""
    if path.is_dir():
        path = path / "plan.toml"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as missing:
        raise PlanError(f"There is no plan at {path}. Name a plan.toml file.") from missing
    except OSError as unreadable:
        raise PlanError(f"{path} cannot be read: {unreadable.strerror}. Name a plan.toml file.") from unreadable
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as broken:
        raise PlanError(f"{path} is not valid TOML: {broken}.") from broken
    return plan_from(table, folder=str(path.parent.resolve()))


def plan_from(table: Mapping[str, Any], folder: str = ".") -> Plan:
    """A plan from the parsed table of a plan file."""
    content = dict(table)
    if "folder" in content:
        raise PlanError("Unknown key `folder` in the plan. Remove it.")
    market = dict(_table(content.pop("market", {}), "market"))
    universe = settings_from(UniverseRule, _table(market.pop("universe", {}), "market.universe"), "market.universe")
    chunks = content.pop("chunks", [])
    if not isinstance(chunks, list):
        raise PlanError("`chunks` must be written as [[chunks]] tables.")
    parts: dict[str, Any] = {
        "market": settings_from(MarketPlan, market, "market", universe=universe),
        "chunks": tuple(settings_from(Chunk, _table(c, "chunks"), f"chunks {i}") for i, c in enumerate(chunks, start=1)),
    }
    for key, cls in TABLES.items():
        parts[key] = settings_from(cls, _table(content.pop(key, {}), key), key)
    return settings_from(Plan, content, "the plan", folder=folder, **parts)


def settings_from(cls: type[T], table: Mapping[str, Any], where: str, **ready: Any) -> T:
    """An instance of the settings class ``cls`` from a TOML table; ``ready`` are fields already built."""
    hints = get_type_hints(cls)
    known = {f.name: hints[f.name] for f in dataclasses.fields(cls) if f.init and f.name not in ready}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for key, raw in table.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f" Did you mean `{near[0]}`?" if near else f" Known keys: {', '.join(sorted(known))}."
            raise PlanError(f"Unknown key `{key}` in {where}.{hint}")
        values[key] = _typed(known[key], raw, f"`{key}` in {where}")
    required = {
        f.name
        for f in dataclasses.fields(cls)  # type: ignore[arg-type]
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    }
    missing = sorted(required - set(values) - set(ready))
    if missing:
        raise PlanError(f"{where} lacks `{'`, `'.join(missing)}`.")
    try:
        return cls(**values, **ready)
    except ValueError as wrong:
        raise PlanError(f"In {where}: {wrong}") from wrong


def load_stack(plan: Plan) -> dict[str, Module]:
    """The modules of the plan, with its settings applied; silent ones left out."""
    stack: dict[str, Module] = dict(_load(plan.stack, "stack")())
    for name in plan.modules:
        if name not in stack:
            raise PlanError(f"[modules.{name}] names no module of the stack. It has: {', '.join(sorted(stack))}.")
    for name in plan.stand_ins:
        if name not in stack or name in plan.silent:
            answering = ", ".join(sorted(set(stack) - set(plan.silent)))
            raise PlanError(f"[stand_ins] names `{name}`, which does not answer in this plan. Those that do: {answering}.")
    built: dict[str, Module] = {}
    for name, module in stack.items():
        if name in plan.silent:
            continue
        if name in plan.assumptions:
            built[name] = _assumed(name, plan.assumptions[name])
            continue
        changes = plan.modules.get(name, {})
        defaults = {f.name: getattr(module, f.name) for f in dataclasses.fields(module) if f.init and f.name not in changes}  # type: ignore[arg-type]
        built[name] = settings_from(type(module), changes, f"modules.{name}", **defaults) if changes else module
    return built


def _assumed(name: str, table: Mapping[str, float]) -> Module:
    """The module that says what the plan assumes; every output that others read must be stated."""
    if name not in ASSUMABLE:
        raise PlanError(f"[assumptions.{name}]: only {', '.join(ASSUMABLE)} can be assumed. Remove the table.")
    wanted = ASSUMABLE[name]
    if set(table) != set(wanted):
        raise PlanError(f"[assumptions.{name}] must state exactly {', '.join(wanted)}; got {', '.join(table) or 'nothing'}.")
    return Assumed(name, {output: scale * table[key] for key, (output, scale) in wanted.items()})


def load_strategies(plan: Plan) -> tuple[Any, ...]:
    """One instance of each rival that the plan names."""
    return tuple(_load(path, "strategies")() for path in plan.strategies)


def _load(path: str, where: str) -> Any:
    module_name, _, attribute = path.partition(":")
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as wrong:
        raise PlanError(f"`{path}` in `{where}` cannot be loaded: {wrong}. Write it as `package.module:Name`.") from wrong


def _typed(hint: Any, raw: Any, where: str) -> Any:
    """Validated strictly, but TOML arrays may fill tuples."""
    try:
        return TypeAdapter(hint).validate_json(json.dumps(raw, default=str), strict=True)
    except ValidationError as wrong:
        raise PlanError(f"{where}: {wrong.errors()[0]['msg']}; got {raw!r}.") from wrong


def _table(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise PlanError(f"`{where}` must be a table, got {value!r}.")
    return value


def _day(text: str, part: str) -> np.datetime64:
    try:
        return np.datetime64(text, "D")
    except ValueError as wrong:
        raise PlanError(f"`{part}` holds {text!r}, which is no date. Write YYYY-MM-DD.") from wrong


def _refuse_overlap(chunks: tuple[Chunk, ...]) -> None:
    """A test day is scored once, and no chunk selects on another's test days."""
    for i, one in enumerate(chunks, start=1):
        for j, other in enumerate(chunks, start=1):
            if i == j:
                continue
            for part in ("validation", "test"):
                first, last = getattr(other, part)
                if one.test[0] <= last and first <= one.test[1]:
                    raise PlanError(
                        f"Chunks overlap: test of chunk {i} ({one.test[0]} to {one.test[1]}) and {part} of chunk {j} "
                        f"({first} to {last}). A test day may be scored once and never be selected on."
                    )
