"""Ablations of one chunk: the base run is replayed once, then each edited plan beside it, and what changed is counted.

1. The base run is taken up from its folder and its test split decided again; the book must be the recorded one, to the bit.
2. An edited plan answers again (inference) or is walked with the base run's artefacts (retrained).
3. Its test split is decided on the same bars, unless inputs are equal and terms as good as equal: then decisions are too.
4. Equity, counts of what changed downstream of the edit, and fits reused or made are one artefact (`variant_key`).
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from glassbox_bt.backtest import open_run_store
from glassbox_bt.decision.rules import RULE_INDEX, RULES
from glassbox_bt.errors import PlanError, RunFolderError
from glassbox_bt.evaluation.ablation_spec import AblationSpec
from glassbox_bt.modules.stand_ins import Silent
from glassbox_bt.plan import Plan
from glassbox_bt.portfolio.book import Book
from glassbox_bt.portfolio.ledger import prove
from glassbox_bt.runs.artefacts import ArtefactStore, code_digest, digest_json, library_versions
from glassbox_bt.runs.manifest import Manifest, file_digest
from glassbox_bt.types import AnyArray, BoolArray
from glassbox_bt.walkforward.fitting import ChunkFitter, FitRecord
from glassbox_bt.walkforward.reanswered import answered_again
from glassbox_bt.walkforward.record import equity_table
from glassbox_bt.walkforward.replay import Decided, Scene, decide_split, stack_scene
from glassbox_bt.walkforward.restored import restored_walk
from glassbox_bt.walkforward.tables import write_table

__all__ = ["ChunkAblations", "ablate_chunk", "base_digest", "recorded", "variant_key"]

SPLIT = "test"
DECIDED = ("decisions.parquet", "portfolio/equity.parquet")  # what the pairs are made with
WALKED = (  # what another walk could come of
    *("seed", "silent", "modules", "selection", "assumptions", "stand_ins", "blank", "text"),
)
TEXT_SCORES = ("qualitative_score", "qualitative_risk_score", "qualitative_confidence")
SHARED = ("market", "chunks", "stack")  # what a pair must have in common
DECISION = ("final_recommendation", "final_position_fraction", "target_weight")
ORDER = ("ordered_shares", "filled_shares", "price", "commission", "spread", "impact")


@dataclass(frozen=True, slots=True)
class ChunkAblations:
    """Ablations of one chunk of a run; small enough to hand to another process."""

    run: Path
    plan: Plan
    base: str  # digest of the base run
    chunk: int  # from 1
    specs: tuple[AblationSpec, ...]
    label: str


def recorded(run: Path) -> Mapping[str, Any]:
    """The manifest of a run whose walk is recorded.

    Raises
    ------
    RunFolderError
        If there is none.
    """
    found = Manifest.open(run)
    if found is None or "modules" not in found.content.get("artefacts", {}):
        raise RunFolderError(f"{run} holds no recorded walk. Run the plan with `glassbox run` first.")
    return found.content


def base_digest(run: Path, plan: Plan, manifest: Mapping[str, Any]) -> str:
    """Digest of all that the base of each pair is: plan, market, decisions and books, and the code that makes pairs."""
    return digest_json(
        {
            "plan": plan.digest,
            "market": manifest["artefacts"]["market"],
            "code": [code_digest(name) for name in (__name__, plan.stack.partition(":")[0])],
            "libraries": library_versions(),
            "device": manifest["device"],
            **{name: file_digest(run / name) for name in DECIDED},
        }
    )


def variant_key(base: str, plan: Plan, spec: AblationSpec, chunk: int) -> dict[str, Any]:
    """What decides one variant's numbers in one chunk; what the variant is called does not."""
    return {
        "base": base,
        "plan": spec.apply(plan).digest,
        "depth": spec.depth,
        "chunk": chunk,
    }


def ablate_chunk(job: ChunkAblations, progress: Callable[[str, float], None]) -> list[tuple[str, float]]:
    """Make each variant of the chunk that is not there yet; its name and the seconds it took.

    Raises
    ------
    RunFolderError
        If this program does not decide as the recorded run did.
    PlanError
        If a variant cannot be had from the base run.
    """
    progress(job.label, 0.0)
    artefacts, base = ArtefactStore(job.run / "artefacts"), _Base.of(job.run, job.plan, job.chunk)
    seconds = []
    for i, spec in enumerate(job.specs):
        started = time.perf_counter()

        def make(folder: Path, spec: AblationSpec = spec) -> None:
            equity, facts, scores = base.without(spec)
            write_table(folder / "equity.parquet", equity)
            if scores is not None:
                write_table(folder / "text_scores.parquet", scores)
            text = json.dumps(facts, indent=1, sort_keys=True, allow_nan=False)
            (folder / "facts.json").write_text(text, encoding="utf-8")

        artefacts.get_or_make("ablations", variant_key(job.base, job.plan, spec, job.chunk), make)
        seconds.append((spec.name, time.perf_counter() - started))
        progress(job.label, (i + 1) / len(job.specs))
    return seconds


@dataclass(frozen=True, slots=True, eq=False)
class _Base:
    """The base run in one chunk: its walk, and its test split decided again."""

    plan: Plan
    walk: ChunkFitter
    records: Sequence[Mapping[str, Any]]  # of the chunk's modules, as in the manifest
    warnings: tuple[str, ...]
    scene: Scene
    decided: Decided

    @classmethod
    def of(cls, run: Path, plan: Plan, chunk: int) -> _Base:
        manifest = recorded(run)
        walk = restored_walk(run, manifest, plan, open_run_store(run, manifest), chunk)
        scene = stack_scene(plan, walk, SPLIT)
        decided = decide_split(plan, scene)
        prove(decided.book, scene.bars)
        _refuse_other_book(run, chunk, equity_table(decided.book, walk.store.dates[scene.days]))
        records = [one for one in manifest["artefacts"]["modules"] if one["chunk"] == chunk]
        return cls(plan, walk, records, tuple(manifest.get("warnings", ())), scene, decided)

    def without(self, spec: AblationSpec) -> tuple[pd.DataFrame, dict[str, Any], pd.DataFrame | None]:
        """Equity of the variant on the test days, what is known about how it came about, and what it said of the text."""
        plan = spec.apply(self.plan)
        if spec.depth == "inference":
            walk, modules = self._answered_again(plan)
        else:
            walk, modules = self._walked_again(plan)
        scene = stack_scene(plan, walk, SPLIT)
        inputs = _inputs_changed(self.scene, scene)
        decided = self.decided
        if inputs or not self._on_same_terms(plan):
            decided = decide_split(plan, scene)
            prove(decided.book, scene.bars)
        changed = {
            "answers": _answers_changed(self.walk, walk, _edited(self.plan, plan)),
            "inputs": inputs,
            "decisions": _decisions_changed(self.decided, decided, scene.member),
            "orders": _orders_changed(self.decided.book, decided.book),
        }
        facts = {"changed": changed, "modules": modules, "notes": self._notes(walk, decided)}
        scores = _text_scores(walk) if spec.edit == "text" else None
        return equity_table(decided.book, walk.store.dates[scene.days]), facts, scores

    def _on_same_terms(self, plan: Plan) -> bool:
        """Whether equal inputs must lead to equal decisions: no term differs but rules that never fired in the base run.

        Such a rule touched neither cap nor action on any day, so day by day the two have the same in hand. RB-01 is the
        exception: switched off, it moves the start from which other caps are taken, fired or not.
        """
        base, rules = self.plan, plan.rules
        if (plan.limits, plan.costs) != (base.limits, base.costs) or replace(
            rules, disabled=base.rules.disabled
        ) != base.rules:
            return False
        off = set(rules.disabled) ^ set(base.rules.disabled)
        places = [place for place, rule in enumerate(RULES) if rule.id in off]
        silent = not any(result.fired[places].any() for result in self.decided.results)
        return set(base.rules.disabled) <= set(rules.disabled) and "RB-01" not in off and silent

    def _answered_again(self, plan: Plan) -> tuple[ChunkFitter, dict[str, Any]]:
        walk, again = answered_again(self.walk, self.plan, plan)
        speaking = [name for name in walk.stack if plan.stand_ins.get(name) != "silent"]
        return walk, {name: _counts(fits=(1, 0), answers=(int(name not in again), int(name in again))) for name in speaking}

    def _walked_again(self, plan: Plan) -> tuple[ChunkFitter, dict[str, Any]]:
        for name in SHARED:
            if getattr(plan, name) != getattr(self.plan, name):
                raise PlanError(
                    f"`{name}` is not an ablation: with another one, days and fills are not the same. Run it apart."
                )
        if all(getattr(plan, name) == getattr(self.plan, name) for name in WALKED):
            return self.walk, {one["module"]: _reused(one, one) for one in self.records}
        walk = ChunkFitter.of(plan, self.walk.days.number, self.walk.store, self.walk.artefacts, self.walk.device)
        walk.like = self.walk.answers
        made = {record.module: record for record in walk.run(lambda _what, _share: None)}
        mine = {one["module"]: one for one in self.records}
        speaking = [name for name in made if not isinstance(walk.fitted[name], Silent)]
        return walk, {name: _reused(mine[name], _plain(made[name])) for name in speaking}

    def _notes(self, walk: ChunkFitter, decided: Decided) -> list[str]:
        """What a reader of the variant's numbers should know, in words."""
        said = [words for words in walk.skipped if words not in self.warnings]
        if _blocked(decided, self.scene.member) and not _blocked(self.decided, self.scene.member):
            said.append(
                f"chunk {walk.days.number}: nothing is bought on any test day, because a critical module is silent "
                "(rule RB-15)."
            )
        return said


def _text_scores(walk: ChunkFitter) -> pd.DataFrame:
    """The qualitative analyst's answers on test: date, ticker and its scores, rows that it knows."""
    days = walk.days.splits[SPLIT]
    said = walk.answers["qualitative"].on(days)
    day, asset = np.nonzero(said.known)
    tickers = np.array(walk.store.tickers, dtype=object)[walk.assets]
    scores = {name: said.outputs[name][day, asset] for name in TEXT_SCORES}
    return pd.DataFrame({"date": walk.store.dates[days][day], "ticker": tickers[asset], **scores})


def _refuse_other_book(run: Path, chunk: int, again: pd.DataFrame) -> None:
    """The base of every pair is the recorded run, to the bit."""
    rows = [("chunk", "==", chunk), ("split", "==", SPLIT), ("strategy", "==", "glassbox")]
    recorded = pd.read_parquet(run / "portfolio" / "equity.parquet", filters=rows)
    for name in again.columns.drop("date"):
        if not np.array_equal(recorded[name].to_numpy(), again[name].to_numpy(), equal_nan=True):
            raise RunFolderError(
                f"This program does not decide as the run in {run} did: `{name}` of chunk {chunk} differs from "
                "portfolio/equity.parquet. Run the plan again, then ablate."
            )


def _edited(base: Plan, plan: Plan) -> frozenset[str]:
    """Modules that an edit is about; what they say is not downstream of it."""
    names = {*plan.stand_ins, *plan.modules, *base.modules}
    before = {name: (base.stand_ins.get(name), base.modules.get(name, {})) for name in names}
    return frozenset(name for name in names if (plan.stand_ins.get(name), plan.modules.get(name, {})) != before[name])


def _answers_changed(base: ChunkFitter, walk: ChunkFitter, edited: frozenset[str]) -> int:
    days, count = base.days.splits[SPLIT], 0
    for name, given in base.answers.items():
        if name in edited or walk.answers[name] is given:
            continue
        one, two = given.on(days), walk.answers[name].on(days)
        for output in {*one.outputs, *two.outputs}:
            count += _n_different(one.outputs.get(output), two.outputs.get(output))
    return count


def _inputs_changed(base: Scene, scene: Scene) -> int:
    names = [field.name for field in dataclasses.fields(base.inputs) if field.name != "held_weight"]
    return sum(_n_different(getattr(base.inputs, name), getattr(scene.inputs, name)) for name in names)


def _decisions_changed(base: Decided, other: Decided, member: BoolArray) -> int:
    """Rows of members whose action, permitted size or target differs."""
    if base is other:
        return 0
    differs = np.zeros(member.shape, dtype=bool)
    for name in DECISION:
        one, two = (np.stack([getattr(result, name) for result in decided.results]) for decided in (base, other))
        differs |= _different(one, two)
    return int((differs & member).sum())


def _orders_changed(base: Book, other: Book) -> int:
    """Orders of either book that the other lacks, or fills in another size, at another price or at other costs."""
    one, two = _orders(base), _orders(other)
    return sum(one.get(key) != two.get(key) for key in {*one, *two})


def _orders(book: Book) -> dict[tuple[int, ...], bytes]:
    fills = book.fills
    values = np.stack([np.asarray(getattr(fills, name), dtype=np.float64) for name in ORDER], axis=1)
    keys = zip(fills.filled_session, fills.asset, fills.side, fills.is_delisting, strict=True)
    return {tuple(int(part) for part in key): row.tobytes() for key, row in zip(keys, values, strict=True)}


def _n_different(one: AnyArray | None, two: AnyArray | None) -> int:
    """Values that differ; an output that one side lacks is unknown there."""
    if one is None or two is None:
        there = two if one is None else one
        return 0 if there is None else int(np.isfinite(there).sum())
    if one.shape != two.shape:  # a vector of another length
        return int(np.isfinite(one).sum() + np.isfinite(two).sum())
    return int(_different(one, two).sum())


def _different(one: AnyArray, two: AnyArray) -> BoolArray:
    """Where values differ; NaN equals NaN."""
    both: BoolArray = (one != one) & (two != two)  # noqa: PLR0124 - only NaN differs from itself
    return np.asarray((one != two) & ~both, dtype=bool)


def _blocked(decided: Decided, member: BoolArray) -> bool:
    """Whether every member of every day met the block for missing critical data."""
    fired = np.stack([result.fired[RULE_INDEX["data_missing_block"]] for result in decided.results])
    return bool(fired[member].all())


def _counts(fits: tuple[int, int], answers: tuple[int, int]) -> dict[str, int]:
    names = ("fits_reused", "fits_made", "answers_reused", "answers_made")
    return dict(zip(names, (*fits, *answers), strict=True))


def _reused(base: Mapping[str, Any], made: Mapping[str, Any]) -> dict[str, int]:
    """Fits and runs of answers that are those of the base run, and those that are not."""
    counts = []
    for kind in ("fits", "parts"):
        there = {one["digest"] for one in base[kind]}
        found = [one["digest"] in there for one in made[kind]]
        counts.append((sum(found), len(found) - sum(found)))
    return _counts(counts[0], counts[1])


def _plain(record: FitRecord) -> Mapping[str, Any]:
    return {"fits": record.fits, "parts": record.parts}
