"""Does every explanation lead back to what it was made from? Audit A8.

1. Every row of a module's table comes from an artefact whose folder is named by the digest of its key; tables in
   ``modules/`` are those artefacts' tables, row for row.
2. The key names the fit that answered; that fit is there, is named by its own key, and is the one that the manifest lists.
3. A fit's knowledge ends before the first day that it answers, but for self-supervised encoders on train (R3).
4. The frozen fit in ``models/`` has the bytes of the artefact that answered the test days.
5. Every place that an approved order names as its evidence is in the run folder.
6. What the table of a module that answers documents says of a document is what the market's own table of text says.
7. Every row of test of the branch of text names the engine, its digest and its knowledge cut-off that the fits name.

That no input was known later than its decision is asked by the look-ahead audit, which makes the inputs again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from glassbox_bt.audits.base import AuditResult, AuditSettings, Check, Progress, not_asked
from glassbox_bt.audits.case import NO_RUN, SPLITS, Case, Part, words_in
from glassbox_bt.audits.rows import Where
from glassbox_bt.audits.subject import FITS
from glassbox_bt.audits.text_rows import COPIED, owed, row_keys
from glassbox_bt.runs.artefacts import digest_json
from glassbox_bt.runs.manifest import file_digest
from glassbox_bt.walkforward.tables import FED_BY, engine_behind

__all__ = ["QUESTION", "audit_provenance"]

QUESTION = "Does every explanation lead back to the artefact and the fit that made it?"
ENGINE = ("engine", "engine_digest", "knowledge_cutoff")


def audit_provenance(case: Case, settings: AuditSettings, progress: Progress) -> AuditResult:  # noqa: ARG001
    """The chain from each table to its artefacts and fits."""
    if not case.whole:
        why = f"{NO_RUN}, which holds artefacts and fits"
        return AuditResult("provenance", (not_asked("answers", "decisions", "all", why),), {}, QUESTION, reason=why)
    checks: list[Check] = [*_evidence(case)]
    records = case.manifest["artefacts"]["modules"]
    for i, record in enumerate(records):
        progress("provenance", i / len(records))
        checks += _record(case, record)
    return AuditResult("provenance", tuple(checks), {}, QUESTION)


def _record(case: Case, record: Mapping[str, Any]) -> Iterator[Check]:
    """One module in one chunk."""
    root = case.folder / "artefacts"
    where = Where(record["module"], int(record["chunk"]), "", pd.DataFrame())
    fits = {one["digest"]: root / _kind(root, one["digest"]) / one["digest"] for one in record["fits"]}
    yield where.fault("fits", "key", next(filter(None, map(_key_fault, fits.values())), ""))
    for split in ("lead", *SPLITS):
        parts = [root / "answers" / one["digest"] for one in record["parts"] if one["split"] == split]
        if not parts:
            continue
        here = Where(where.module, where.chunk, split, where.rows)
        yield here.fault("answers", "key", next(filter(None, map(_key_fault, parts)), ""))
        if any(not (part / "key.json").is_file() for part in parts):
            continue
        yield here.fault("fit of the answers", "fit", next(filter(None, (_fit_fault(part, fits) for part in parts)), ""))
        yield here.fault("known before", "fitted_through", _clock_fault(parts, split))
        if split in SPLITS:
            yield here.fault("table", "rows", _table_fault(case, here, parts))
            yield from _beside(case, here, parts)
        if split == "test" and where.module in ("text_encoder", *FED_BY) and not case.plan.stand_ins:
            yield from _engine(case, here)
    yield where.fault("frozen fit", "bytes", _frozen_fault(case, record))


def _kind(root: Path, digest: str) -> str:
    return next((kind for kind in FITS if (root / kind / digest).is_dir()), FITS[0])


def _key_fault(folder: Path) -> str:
    """What is wrong with an artefact: its folder must be named by the digest of its key."""
    path = folder / "key.json"
    if not path.is_file():
        return f"the artefact {folder.name[:12]} is missing"
    found = digest_json(json.loads(path.read_text(encoding="utf-8")))
    return "" if found == folder.name else f"the key of {folder.name[:12]} has the digest {found[:12]}"


def _fit_fault(part: Path, fits: Mapping[str, Path]) -> str:
    key = json.loads((part / "key.json").read_text(encoding="utf-8"))
    if "stand_in" in key:  # a control, made of answers that are artefacts themselves (R28)
        return next(filter(None, (_key_fault(part.parent / one) for one in key["of"])), "")
    named = str(key.get("fit"))
    return "" if named in fits else f"{part.name[:12]} was answered by {named[:12]}, which the manifest does not list"


def _clock_fault(parts: list[Path], split: str) -> str:
    for part in parts:
        head = json.loads((part / "part.json").read_text(encoding="utf-8"))
        key = json.loads((part / "key.json").read_text(encoding="utf-8"))
        asked = part / "asked.npy"  # of a module that answers documents: its answers may be to none of these days
        first = int(np.load(asked if asked.is_file() else part / "days.npy")[0])
        if "through" in key and int(key["through"]) != int(head["fitted_through"]):
            return f"{part.name[:12]} says it knows session {head['fitted_through']}, its key {key['through']}"
        if split in ("val", "test") and int(head["fitted_through"]) >= first:
            return f"{part.name[:12]} answers session {first} and knows session {head['fitted_through']}"
    return ""


def _beside(case: Case, where: Where, parts: list[Path]) -> Iterator[Check]:
    """The documents of the market, and the table of documents that stands beside a module's own."""
    part = case.part(where.module, where.chunk, where.split)
    if part is not None and part.of_text and part.path.is_file():
        yield from _source(case, part)
    events = [one / "table.events.parquet" for one in parts]
    kept = next((one for one in case.events((where.split,)) if one.chunk == where.chunk), None)
    if where.module == "qualitative" and (kept is not None or any(one.is_file() for one in events)):
        yield where.fault("table", "events", _same_fault(kept, events))


def _engine(case: Case, where: Where) -> Iterator[Check]:
    """The engine in the rows of test, in the table and in that of documents, against what the frozen fits name."""
    named = engine_behind(where.module, {name: _named(case, name, where.chunk) for name in ("text_encoder", *FED_BY)})
    tables = [case.part(where.module, where.chunk, where.split)]
    if where.module == "qualitative":
        tables += [one for one in case.events((where.split,)) if one.chunk == where.chunk]
    for part in tables:
        if part is None or not part.path.is_file():
            continue
        rows = part.read([*part.key, *ENGINE])
        for name in ENGINE:
            wrong = rows[name].notna() if not named else rows[name] != named[name]
            yield Where(part.module, where.chunk, where.split, rows).check("engine", name, wrong.to_numpy())


def _named(case: Case, module: str, chunk: int | None) -> Mapping[str, Any]:
    """What the fit that answered test names as its engine; nothing where it has none."""
    path = case.folder / "models" / module / f"chunk{chunk}" / "frozen.json"
    facts: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8")).get("provenance", {}) if path.is_file() else {}
    return facts


def _source(case: Case, part: Part) -> Iterator[Check]:
    """Every row of a module's table against the row of text that it answers."""
    table = part.read([*part.key, *COPIED])
    where, due = Where(part.module, part.chunk, part.split, table), owed(case, part, table).frame
    place = row_keys(due).drop_duplicates().get_indexer(row_keys(table))
    due = due[~row_keys(due).duplicated()].reset_index(drop=True)
    told = due.iloc[np.where(place >= 0, place, 0)].reset_index(drop=True) if len(due) else due
    for name in COPIED:
        wrong = np.ones(len(table), dtype=bool) if not len(due) else (place < 0) | (table[name] != told[name]).to_numpy()
        yield where.check("source", name, wrong)


def _table_fault(case: Case, where: Where, parts: list[Path]) -> str:
    """The table in the run folder against those of its artefacts."""
    return _same_fault(case.part(where.module, where.chunk, where.split), [one / "table.parquet" for one in parts])


def _same_fault(part: Part | None, artefacts: list[Path]) -> str:
    if part is None or not part.path.is_file():
        return "the table is missing"
    if not all(one.is_file() for one in artefacts):
        return "its artefacts have no such table"
    kept = part.read()
    columns, own = list(kept.columns), set(_columns_of(artefacts[0]))
    if own != set(part.columns):
        strange = sorted(own ^ set(part.columns))
        return f"`{strange[0]}` is in the table or in its artefact, not in both"
    made = pd.concat([pd.read_parquet(one, columns=columns) for one in artefacts], ignore_index=True)
    if len(made) != len(kept):
        return f"{len(kept)} rows, its artefacts have {len(made)}"
    for name in columns:
        same = (made[name] == kept[name]) | (made[name].isna() & kept[name].isna())
        if not same.all():
            row = int(np.flatnonzero(~same.to_numpy(dtype=bool))[0])
            who = f"{kept['ticker'].iloc[row]} {str(kept['date'].iloc[row])[:10]}"
            return f"`{name}` of {who} is not what its artefact holds"
    return ""


def _columns_of(path: Path) -> list[str]:
    return list(pq.read_schema(path).names)


def _frozen_fault(case: Case, record: Mapping[str, Any]) -> str:
    artefact, model = case.folder / record["frozen"], case.folder / "models" / record["module"] / f"chunk{record['chunk']}"
    for name in ("frozen.json", "frozen.safetensors"):
        if not (artefact / name).is_file() or not (model / name).is_file():
            return f"{name} is missing"
        if file_digest(artefact / name) != file_digest(model / name):
            return f"{model / name} has other bytes than its artefact".replace(f"{case.folder}/", "")
    return ""


def _evidence(case: Case) -> Iterator[Check]:
    where = Where("approved", None, "", case.approved)
    links = words_in(case.approved.reindex(columns=["evidence_links"])["evidence_links"])
    lost = {text: [one for one in text.split("|") if not one or not (case.folder / one).exists()] for text in links.unique()}
    wrong = links.map(lambda text: bool(lost[text])).to_numpy(dtype=bool)
    yield where.check("evidence", "evidence_links", wrong, lambda i: f"`{lost[links.iloc[i]][0]}` is not in the run folder")
