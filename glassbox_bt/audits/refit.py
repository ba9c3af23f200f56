"""Fits everything once more on a market without its future, and compares the fits bit for bit."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from glassbox_bt.audits.base import Check
from glassbox_bt.audits.perturb import Cut, Perturber
from glassbox_bt.audits.subject import Subject, Walk, fit_folder
from glassbox_bt.audits.twins import difference
from glassbox_bt.runs.artefacts import ArtefactStore
from glassbox_bt.walkforward.fitting import DECIDED, ChunkFitter

__all__ = ["refit_checks"]


def refit_checks(subject: Subject, walk: Walk, perturber: Perturber) -> Iterator[Check]:
    """Fit every module of a chunk on the market that is poisoned after its train years; the states must be the same.

    All folds are fitted, so that the modules above read the answers of the new fits below them.
    """
    old, store = walk.fitter, subject.store
    end = int(old.days.train[-1])
    cut = Cut(store.dates[end], store.decided_at[end])
    with TemporaryDirectory(prefix="glassbox-audit-") as folder:
        fitter = dataclasses.replace(
            old,
            store=subject.build(perturber.poisoned(cut, subject.seed)),
            artefacts=ArtefactStore(Path(folder)),
            answers={},
            columns={},
            fitted={},
            tables={},
            skipped=[],
        )
        for record in fitter.run(lambda _what, _share: None):
            again = {fit["fold"]: fit["digest"] for fit in record.fits}
            made = {fit["fold"]: fit["digest"] for fit in walk.fits[record.module]}
            for fold in sorted({*made, *again} - {DECIDED}):  # that one knows validation, which lies after this cut
                if fold not in made or fold not in again:
                    fault = "was made only once"
                else:
                    fault = _state_fault(old, fitter, made[fold], again[fold])
                detail = f"fold {fold} {fault}" if fault else ""
                yield Check("fitted again", record.module, f"fold {fold}", walk.number, str(cut.day), not fault, detail)


def _state_fault(old: ChunkFitter, new: ChunkFitter, made: str, again: str) -> str:
    """Where two fits differ, in words."""
    one, two = (_state(fit_folder(fitter, digest)) for fitter, digest in ((old, made), (new, again)))
    for name in sorted({*one, *two}):
        if name not in one or name not in two:
            return f"has `{name}` only once"
        same = difference(one[name], two[name]) if isinstance(one[name], np.ndarray) else one[name] == two[name]
        if same not in ("", True):
            return f"differs in `{name}`" + (f": {same}" if isinstance(same, str) else "")
    return ""


def _state(folder: Path) -> Mapping[str, Any]:
    facts = json.loads((folder / "frozen.json").read_text(encoding="utf-8"))
    return {**facts, **load_file(str(folder / "frozen.safetensors"))}
