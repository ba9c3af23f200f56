"""Fits on disk, and the digests that find them again: arrays as safetensors, facts as JSON; no pickle."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import load_file, save_file

from glassbox_bt.market.view import Span, TrainView
from glassbox_bt.modules.base import Candidate, FittedModule, Module, ModuleState
from glassbox_bt.modules.stand_ins import Silent
from glassbox_bt.runs.artefacts import code_digest, digest_array, digest_json, library_versions

__all__ = ["digests", "identity", "is_silence", "load_fitted", "others", "save_candidate", "save_fitted", "save_others"]

CANDIDATES = "candidates"  # folder of a fit


def digests(span: Span) -> dict[str, str]:
    """Content digest of everything a fit or a prediction was handed, by column (R25)."""
    found = {"days": digest_array(span.dates), "tickers": digest_json(span.tickers), "member": digest_array(span.member)}
    found.update({name: digest_array(block) for name, block in span.blocks.items()})
    if span.documents is not None:  # places in the table are handles, no inputs
        text = span.documents
        found["text"] = digest_json([digest_array(part) for part in (text.session, text.asset, text.document)])
    if isinstance(span, TrainView):
        found.update({f"label {name}": digest_array(values) for name, values in span.labels.items()})
    return found


def save_candidate(folder: Path, candidate: Candidate, checkpoints: Path) -> None:
    """The chosen candidate: frozen state, checkpoints, history and summary of its training."""
    save_fitted(folder, candidate.fitted.state())
    for path in sorted(checkpoints.rglob("*")):
        if path.is_file():
            shutil.copyfile(path, folder / path.name)
    pd.DataFrame(list(candidate.history)).to_csv(folder / "training_history.csv", index=False)
    summary = {"variant": candidate.variant, **candidate.summary}
    text = json.dumps(summary, indent=1, sort_keys=True, default=str)
    (folder / "training_summary.json").write_text(text, encoding="utf-8")


def save_others(folder: Path, candidates: Sequence[Candidate]) -> None:
    """Fits that validation may still choose, beside the one that train chose."""
    for candidate in candidates:
        place = folder / CANDIDATES / candidate.variant
        place.mkdir(parents=True)
        save_fitted(place, candidate.fitted.state())


def others(module: Module, folder: Path) -> dict[str, FittedModule]:
    """What `save_others` wrote, by variant."""
    places = sorted((folder / CANDIDATES).glob("*")) if (folder / CANDIDATES).is_dir() else []
    return {place.name: load_fitted(module, place) for place in places}


def save_fitted(folder: Path, state: ModuleState) -> None:
    """Arrays as safetensors, facts as JSON; no pickle."""
    arrays = {name: np.ascontiguousarray(values) for name, values in state.arrays.items()}
    save_file(arrays, str(folder / "frozen.safetensors"))
    (folder / "frozen.json").write_text(json.dumps(state.facts, sort_keys=True, default=str), encoding="utf-8")


def load_fitted(module: Module, folder: Path) -> FittedModule:
    """The fit that `save_fitted` wrote."""
    facts = json.loads((folder / "frozen.json").read_text(encoding="utf-8"))
    return module.restore(ModuleState(load_file(str(folder / "frozen.safetensors")), facts))


def is_silence(folder: Path) -> bool:
    """Whether the fit in ``folder`` is that of a `Silent` in a module's place."""
    key = json.loads((folder / "key.json").read_text(encoding="utf-8"))
    return bool(key.get("class") == identity(Silent("any"))["class"])


def identity(module: Module) -> dict[str, Any]:
    """What decides a module's fits and answers besides their inputs: class, settings, code, libraries, files it names."""
    cls = type(module)
    external = getattr(module, "external", None)
    outside = {} if external is None else {"external": dict(external())}
    return {
        **outside,
        "module": module.name,
        "class": f"{cls.__module__}:{cls.__qualname__}",
        "settings": dataclasses.asdict(module),  # type: ignore[call-overload]
        "code": code_digest(cls.__module__),
        "libraries": library_versions(),
    }
