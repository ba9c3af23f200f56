"""Runs ablations beside a run and collects them: ``ablations/variants.json`` and ``ablations/equity.parquet``.

Every variant and chunk is an artefact of the run, so a job that died goes on where it stopped and a second call reads. Both
files are written from the artefacts. Variants of this base run that were asked for earlier stay; those of another base run
(its plan, code, or decisions were others) are dropped. Order and bytes depend on which variants there are, not on who asked
first.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from glassbox_bt.errors import PlanError, RunFolderError
from glassbox_bt.evaluation.ablation_chunks import ChunkAblations, ablate_chunk, base_digest, recorded, variant_key
from glassbox_bt.evaluation.ablation_sets import ablation_specs, absent_parts
from glassbox_bt.evaluation.ablation_spec import DEPTHS, AblationSpec
from glassbox_bt.plan import ABLATION_SETS, AblationPlan, Plan
from glassbox_bt.runs.artefacts import code_digest, digest_json, write_whole
from glassbox_bt.runs.engine import run_tasks
from glassbox_bt.walkforward.tables import write_table

__all__ = ["run_ablations"]

Entry = Mapping[str, Any]
VARIANTS, EQUITY = Path("ablations") / "variants.json", Path("ablations") / "equity.parquet"
SCORES = Path("ablations") / "text_scores.parquet"


def run_ablations(
    run: Path,
    plan: Plan,
    asked: AblationPlan,
    workers: int,
    progress: Callable[[str, float], None],
    extra: Sequence[AblationSpec] = (),
) -> dict[str, Any]:
    """Carry out the ablations that ``asked`` names beside a walked run, and write ``ablations/``.

    The run may be finished or still be running, as long as its walk is recorded. With no set nothing is carried out, but
    variants of another base run are dropped all the same.

    Parameters
    ----------
    run : Path
        The run folder.
    plan : Plan
        The plan that was walked.
    asked : AblationPlan
        Sets and depth.
    workers : int
        Processes.
    progress : Callable[[str, float], None]
        Told what is done, and the share of it.
    extra : Sequence[AblationSpec]
        Ablations beside those of the sets.

    Returns
    -------
    dict[str, Any]
        The manifest's share: ``base``, the digest of the base run; ``variants``, by name the seconds taken, whether all of
        it was there already, and by module the fits and runs of answers that were reused from the base run or made;
        ``absent``, what the sets could not ask, and why.

    Raises
    ------
    RunFolderError
        If the run has no recorded walk, or was made by another program.
    PlanError
        If the plan is an ablation itself, or two ablations have one name.
    """
    manifest = _walked(run, plan)
    base = base_digest(run, plan, manifest)
    specs = (*ablation_specs(plan, asked.sets, asked.depth), *extra)
    digests = {spec.name: _digests(base, plan, spec) for spec in specs}
    if len(digests) < len(specs):
        names = [spec.name for spec in specs]
        raise PlanError(f"Two ablations are called `{next(n for n in names if names.count(n) > 1)}`. Rename one of them.")
    seconds = run_tasks(ablate_chunk, _jobs(run, plan, base, specs, workers), workers=workers, progress=progress)
    earlier = [one for one in _read(run / VARIANTS) if one["base"] == base and one["name"] not in digests]
    entries = [*(one for one in earlier if _there(run, one["artefacts"])), *_entries(run, plan, base, digests, specs)]
    entries.sort(key=lambda one: (ABLATION_SETS.index(one["set"]), DEPTHS.index(one["depth"])))
    _write(run, entries)
    absent = [dataclasses.asdict(one) for one in absent_parts(plan, asked.sets, asked.depth)]
    return _share(run, manifest, entries, [pair for pairs in seconds for pair in pairs], absent)


def _walked(run: Path, plan: Plan) -> Mapping[str, Any]:
    manifest = recorded(run)
    if manifest.get("plan_digest") != plan.digest:
        raise RunFolderError(f"{run} is the run of another plan, {manifest.get('name')!r}. Name the plan that was run.")
    for name, digest in manifest["code_digest"].items():
        if name != "glassbox_bt.cli.job" and code_digest(name) != digest:
            raise RunFolderError(
                f"`{name}` has changed since the run, so its pair would be another stack. Run it again first."
            )
    return manifest


def _digests(base: str, plan: Plan, spec: AblationSpec) -> list[str]:
    """Artefacts of one variant, by chunk."""
    return [digest_json(variant_key(base, plan, spec, chunk)) for chunk in range(1, len(plan.chunks) + 1)]


def _jobs(run: Path, plan: Plan, base: str, specs: Sequence[AblationSpec], workers: int) -> list[ChunkAblations]:
    """What is left to do, cut so that no worker waits long: a retrained variant alone, the others in shares of a chunk."""
    jobs: list[ChunkAblations] = []
    for chunk in range(1, len(plan.chunks) + 1):
        due = [one for one in specs if not _there(run, [digest_json(variant_key(base, plan, one, chunk))])]
        quick = [one for one in due if one.depth == "inference"]
        n_shares = 1 if workers <= 1 else -(-2 * workers // len(plan.chunks))
        shares = [quick[i::n_shares] for i in range(n_shares)]
        shares += [[one] for one in due if one.depth != "inference"]
        for number, share in enumerate([one for one in shares if one], start=1):
            label = f"ablations of chunk {chunk}, part {number}"
            jobs.append(ChunkAblations(run, plan, base, chunk, tuple(share), label))
    return jobs


def _entries(
    run: Path, plan: Plan, base: str, digests: Mapping[str, list[str]], specs: Iterable[AblationSpec]
) -> list[Entry]:
    """What ``variants.json`` says of each spec, from its artefacts."""
    entries: list[Entry] = []
    for spec in specs:
        facts = [_facts(run, digest) for digest in digests[spec.name]]
        changed = {what: sum(one["changed"][what] for one in facts) for what in facts[0]["changed"]}
        entries.append(
            {
                **{name: getattr(spec, name) for name in ("name", "set", "edit", "target", "question", "depth")},
                "plan_digest": spec.apply(plan).digest,
                "effect": "changed" if any(changed.values()) else "none",
                "changed": changed,
                "notes": [words for one in facts for words in one["notes"]],
                "base": base,
                "artefacts": digests[spec.name],
            }
        )
    return entries


def _write(run: Path, entries: Sequence[Entry]) -> None:
    """Both files from the entries; neither where there is no variant."""
    if not entries:
        for name in (VARIANTS, EQUITY, SCORES):
            (run / name).unlink(missing_ok=True)
        return
    parts = [
        _equity(run, entry, chunk)
        for entry in entries
        for chunk in range(1, len(entry["artefacts"]) + 1)
        if entry["effect"] != "none"
    ]
    table = pd.concat(parts, ignore_index=True) if parts else _equity(run, entries[0], 1).iloc[:0]
    write_table(run / EQUITY, table)
    scores = [
        _marked(run, entry, chunk, SCORES.name)
        for entry in entries
        for chunk in range(1, len(entry["artefacts"]) + 1)
        if entry["edit"] == "text"
    ]
    if scores:
        write_table(run / SCORES, pd.concat(scores, ignore_index=True))
    else:
        (run / SCORES).unlink(missing_ok=True)
    text = json.dumps(list(entries), indent=1, sort_keys=True, allow_nan=False) + "\n"
    write_whole(run / VARIANTS, lambda draft: draft.write_text(text, encoding="utf-8"))


def _equity(run: Path, entry: Entry, chunk: int) -> pd.DataFrame:
    return _marked(run, entry, chunk, EQUITY.name)


def _marked(run: Path, entry: Entry, chunk: int, name: str) -> pd.DataFrame:
    table = pd.read_parquet(_place(run, entry["artefacts"][chunk - 1]) / name)
    marks = {"chunk": chunk, "split": "test", "variant": entry["name"]}
    return pd.concat([pd.DataFrame(marks, index=table.index), table], axis=1)


def _share(
    run: Path,
    manifest: Mapping[str, Any],
    entries: Sequence[Entry],
    seconds: Iterable[tuple[str, float]],
    absent: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """What the manifest says of the ablations; seconds and reuse are facts of a machine and belong nowhere else."""
    former: Mapping[str, Any] = manifest.get("ablations", {})
    taken: dict[str, float] = {}
    for name, one in seconds:
        taken[name] = taken.get(name, 0.0) + one
    told: dict[str, Any] = {}
    for entry in entries:
        name = entry["name"]
        before = former.get("variants", {}).get(name, {}) if former.get("base") == entry["base"] else {}
        told[name] = {
            "seconds": round(taken[name], 3) if name in taken else before.get("seconds", 0.0),
            "cached": name not in taken,
            "modules": _summed([_facts(run, digest)["modules"] for digest in entry["artefacts"]]),
        }
    sets = {(one["set"], one["depth"]) for one in absent}
    kept = [one for one in former.get("absent", ()) if (one["set"], one["depth"]) not in sets]
    return {"base": entries[0]["base"] if entries else None, "variants": told, "absent": [*kept, *absent]}


def _summed(chunks: Sequence[Mapping[str, Mapping[str, int]]]) -> dict[str, dict[str, int]]:
    """Counts by module, over all chunks."""
    total: dict[str, dict[str, int]] = {}
    for chunk in chunks:
        for module, counts in chunk.items():
            mine = total.setdefault(module, dict.fromkeys(counts, 0))
            for what, count in counts.items():
                mine[what] += count
    return total


def _there(run: Path, digests: Iterable[str]) -> bool:
    return all((_place(run, digest) / "key.json").exists() for digest in digests)


def _facts(run: Path, digest: str) -> Mapping[str, Any]:
    facts: Mapping[str, Any] = json.loads((_place(run, digest) / "facts.json").read_text(encoding="utf-8"))
    return facts


def _place(run: Path, digest: str) -> Path:
    return run / "artefacts" / "ablations" / digest


def _read(path: Path) -> list[Entry]:
    """The variants on record; none where there is no record."""
    try:
        entries: list[Entry] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as broken:
        raise RunFolderError(f"{path} cannot be read: {broken}. Remove it and ablate again.") from broken
    return entries
