"""What the strategies and the ablated stacks earned on the test days, laid side by side.

Only test rows are read (R5). A strategy whose days differ from the stack's is refused: a paired difference over different
days would compare years, not strategies.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from glassbox_bt.errors import ContractError
from glassbox_bt.evaluation.intervals import estimates
from glassbox_bt.plan import StatisticsPlan, plan_from

__all__ = ["CONFIGURATIONS", "POOLED", "STACK", "Books", "Variant", "read_books", "settings_of"]

STACK = "glassbox"
CONFIGURATIONS = (STACK, "formula_only", "sizing_only")  # the stack and its two versions without what it learned
POOLED = 0  # in the place of a chunk's number: all test years together
TEST = "test"

Parts = Mapping[int, pd.DataFrame]  # daily rows by chunk, in the order of the days


@dataclass(frozen=True, slots=True)
class Variant:
    """One ablated stack, as ``ablations/variants.json`` describes it."""

    name: str
    set: str
    edit: str
    target: str
    depth: str
    effect: str

    @property
    def family(self) -> str:
        """Variants that answer the same kind of question, and are corrected for together."""
        return f"ablations/{self.set}/{self.depth}"

    @property
    def changed(self) -> bool:
        """Whether the edit changed anything downstream."""
        return self.effect != "none"


@dataclass(frozen=True, slots=True)
class Books:
    """Daily rows of every strategy and every variant that changed something, test days only.

    Parameters
    ----------
    settings : StatisticsPlan
        As the plan had them before the run.
    seed : int
        Of the plan; part of the name of every stream of random numbers.
    chunks : tuple[int, ...]
        In ascending order.
    strategies, ablated : Mapping[str, Parts]
        By name; the stack is among the strategies. ``ablated`` holds the variants that changed something.
    variants : tuple[Variant, ...]
        All of them, in the order in which they were run.
    measures : Mapping[tuple[str, int], Mapping[str, float]]
        By name and span: `intervals.estimates`, taken once.
    """

    settings: StatisticsPlan
    seed: int
    chunks: tuple[int, ...]
    strategies: Mapping[str, Parts]
    ablated: Mapping[str, Parts]
    variants: tuple[Variant, ...]
    measures: Mapping[tuple[str, int], Mapping[str, float]]

    @classmethod
    def of(
        cls,
        settings: StatisticsPlan,
        seed: int,
        strategies: Mapping[str, Parts],
        ablated: Mapping[str, Parts] | None = None,
        variants: tuple[Variant, ...] = (),
    ) -> Books:
        """Books of these rows, measured over every span.

        Raises
        ------
        ContractError
            The stack is missing, or a strategy or variant has other days than the stack.
        """
        if STACK not in strategies:
            raise ContractError(f"There is no test equity of `{STACK}`. Walk the run again.")
        chunks = tuple(sorted(strategies[STACK]))
        everyone = {**strategies, **(ablated or {})}
        measures = {}
        for name, parts in everyone.items():
            _same_days(name, parts, strategies[STACK])
            for span in (POOLED, *chunks):
                measures[name, span] = estimates([parts[chunk] for chunk in (chunks if span == POOLED else (span,))])
        return cls(settings, seed, chunks, strategies, ablated or {}, variants, measures)

    @property
    def rivals(self) -> tuple[str, ...]:
        """Every strategy but the stack, in the order of the record."""
        return tuple(name for name in self.strategies if name != STACK)

    @property
    def spans(self) -> tuple[int, ...]:
        """All test years together, then each."""
        return (POOLED, *self.chunks)

    @property
    def configurations(self) -> tuple[str, ...]:
        """The configurations of the stack that were tried on these test days, names as in `parts`."""
        own = [name for name in CONFIGURATIONS if name in self.strategies]
        return (*own, *self.ablated)

    def parts(self, name: str, span: int) -> Sequence[pd.DataFrame]:
        """Daily rows of a strategy or variant: one table per chunk of the span."""
        found = self.strategies[name] if name in self.strategies else self.ablated[name]
        return [found[chunk] for chunk in (self.chunks if span == POOLED else (span,))]

    def returns(self, name: str, span: int) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Simple returns per session, the chunks of the span one after the other, (n_sessions,)."""
        return np.concatenate([part["return"].to_numpy(dtype=np.float64) for part in self.parts(name, span)])


def settings_of(manifest: Mapping[str, Any]) -> tuple[StatisticsPlan, int]:
    """The statistics that the plan of a run asked for, and its seed; defaults where an older manifest says nothing."""
    plan = plan_from(manifest["plan"])
    return plan.statistics, plan.seed


def read_books(run: Path, manifest: Mapping[str, Any]) -> Books:
    """The books of a walked run, with its ablations where it has any.

    Raises
    ------
    ContractError
        The stack has no test days, a strategy or variant has other days than the stack, or the list of variants and
        their equity do not match.
    """
    settings, seed = settings_of(manifest)
    strategies = _by_name(pd.read_parquet(run / "portfolio" / "equity.parquet"), "strategy")
    variants, ablated = _ablations(run)
    if taken := sorted(set(strategies) & set(ablated)):
        raise ContractError(f"`{taken[0]}` names both a strategy and an ablation. Rename the variant.")
    return Books.of(settings, seed, strategies, ablated, variants)


def _ablations(run: Path) -> tuple[tuple[Variant, ...], Mapping[str, Parts]]:
    listed = run / "ablations" / "variants.json"
    if not listed.exists():
        return (), {}
    fields = ("name", "set", "edit", "target", "depth", "effect")
    variants = tuple(
        Variant(**{key: str(one[key]) for key in fields}) for one in json.loads(listed.read_text(encoding="utf-8"))
    )
    names = [one.name for one in variants]
    if len(set(names)) != len(names):
        raise ContractError(f"{listed} names a variant twice. Run the ablations again.")
    equity = run / "ablations" / "equity.parquet"
    ablated = _by_name(pd.read_parquet(equity), "variant") if equity.exists() else {}
    wanted = {one.name for one in variants if one.changed}
    if wanted != set(ablated):
        odd = ", ".join(sorted(wanted ^ set(ablated)))
        raise ContractError(f"`variants.json` and the ablations' equity differ in: {odd}. Run the ablations again.")
    return variants, {name: ablated[name] for name in names if name in ablated}


def _by_name(equity: pd.DataFrame, column: str) -> dict[str, Parts]:
    """Test rows by name and chunk; names in the order of their first appearance."""
    test = equity[equity["split"] == TEST].sort_values(["chunk", "date"], kind="stable")
    found: dict[str, dict[int, pd.DataFrame]] = {name: {} for name in _first_seen(equity[column])}
    key: Any
    for key, days in test.groupby(["chunk", column], sort=False):
        found[str(key[1])][int(key[0])] = days.reset_index(drop=True)
    return {name: parts for name, parts in found.items() if parts}


def _first_seen(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(str(name) for name in names))


def _same_days(name: str, parts: Parts, stack: Parts) -> None:
    if set(parts) != set(stack):
        raise ContractError(f"`{name}` has test days in chunks {sorted(parts)}, the stack in {sorted(stack)}.")
    for chunk, days in parts.items():
        if not np.array_equal(days["date"].to_numpy(), stack[chunk]["date"].to_numpy()):
            raise ContractError(
                f"`{name}` and the stack have different test days in chunk {chunk} ({len(days)} and {len(stack[chunk])} "
                "sessions). A paired difference needs the same days: replay both on the chunk's test days."
            )
