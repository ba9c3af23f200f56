"""Content-addressed artefacts: made once, found by the digest of everything that decides them (design §3.4, R23).

``store.get_or_make("fit", key, make)`` returns the folder of the artefact whose key has that digest; ``make`` writes into a
temporary folder that is renamed when whole, so a killed run leaves no half artefact. ``key`` holds settings, the
code's digest, library versions, the random stream's name and the content digest of the inputs handed over.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from glassbox_bt.errors import RunFolderError
from glassbox_bt.types import AnyArray

__all__ = [
    "ArtefactStore",
    "Made",
    "code_digest",
    "copy_whole",
    "digest_array",
    "digest_json",
    "library_versions",
    "new_folder",
    "remove_drafts",
    "write_whole",
    "writing",
]

FIRST_PARTY = ("glassbox_bt", "strategies", "experiments")
DRAFT = re.compile(r"\..+\.[0-9a-f]{32}")  # names of files and folders that are not whole yet
NUMERIC_LIBRARIES = ("numpy", "pandas", "scipy", "numba", "torch", "arch", "scikit-learn")


@dataclass(frozen=True, slots=True)
class Made:
    """Where an artefact lies and whether it was found rather than made."""

    path: Path
    digest: str
    cached: bool


@dataclass(frozen=True, slots=True)
class ArtefactStore:
    """Artefacts under ``root/<kind>/<digest>/``."""

    root: Path

    def get_or_make(self, kind: str, key: Mapping[str, Any], make: Callable[[Path], None]) -> Made:
        """The artefact of ``key``; ``make(folder)`` fills an empty folder if there is none yet."""
        digest = digest_json(key)
        place = self.root / kind / digest
        if (place / "key.json").exists():
            return Made(place, digest, cached=True)
        draft = _draft_of(self.root / kind / digest[:16])
        try:
            with writing(place):
                draft.mkdir(parents=True)
                make(draft)
                (draft / "key.json").write_text(json.dumps(key, sort_keys=True, indent=1, default=str), encoding="utf-8")
                _rename(draft, place)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return Made(place, digest, cached=False)

    def checkpoints(self, digest: str) -> Path:
        """Folder for the checkpoints of a fit that is under way; removed when its artefact is whole."""
        folder = self.root / "partial" / digest
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def forget_checkpoints(self, digest: str) -> None:
        """Remove the checkpoints of a finished fit."""
        shutil.rmtree(self.root / "partial" / digest, ignore_errors=True)


def _rename(draft: Path, place: Path) -> None:
    """Another process may have made the same artefact meanwhile; its bytes are the same, so either will do."""
    try:
        draft.rename(place)
    except OSError:
        if not (place / "key.json").exists():
            raise


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Turns a failure of the file system into a `RunFolderError` that names ``place``."""
    from safetensors import SafetensorError  # which reports a full disk as an error of its own

    try:
        yield
    except (OSError, SafetensorError) as wrong:
        why = getattr(wrong, "strerror", None) or f"only a part went through ({wrong})"
        raise RunFolderError(f"Cannot write {place}: {why}. Free space or choose another --out.") from wrong


def write_whole(path: Path, write: Callable[[Path], object]) -> Path:
    """Write a file under a temporary name and rename it: it is never seen half-written."""
    draft = _draft_of(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(draft)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    return path


def new_folder(place: Path, fill: Callable[[Path], object]) -> Path:
    """Make a folder that ``fill`` writes into; it appears whole or not at all, and replaces nothing."""
    if place.exists():
        raise RunFolderError(f"{place} exists already. Choose another --out.")
    draft = _draft_of(place)
    with writing(place):
        try:
            draft.mkdir(parents=True)
            fill(draft)
            draft.rename(place)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return place


def copy_whole(source: Path, target: Path) -> None:
    """Put a copy of the folder ``source`` in the place of ``target``; it is never seen half-copied."""
    draft = _draft_of(target)
    with writing(target):
        try:
            shutil.copytree(source, draft)
            shutil.rmtree(target, ignore_errors=True)
            draft.rename(target)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def remove_drafts(run: Path) -> None:
    """Remove what a killed process left unfinished in a run folder; whole files and checkpoints stay."""
    for path in sorted(run.rglob(".*")):
        if DRAFT.fullmatch(path.name):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _draft_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}")


def digest_json(value: Any) -> str:
    """sha256 of canonical JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str, separators=(",", ":")).encode()).hexdigest()


def digest_array(values: AnyArray) -> str:
    """sha256 of dtype, shape and bytes; NaNs of any payload count as equal, and texts go by their UTF-8 bytes."""
    plain = np.ascontiguousarray(values)
    if plain.dtype.kind == "O":
        return digest_json([list(plain.shape), plain.ravel().tolist()])
    if plain.dtype.kind == "f" and np.isnan(plain).any():
        plain = np.where(np.isnan(plain), np.array(np.nan, dtype=plain.dtype), plain)
    if plain.dtype.kind in "mM":
        plain = plain.view(np.int64)
    head = f"{plain.dtype.str}{plain.shape}".encode()
    return hashlib.sha256(head + plain.tobytes()).hexdigest()


@cache
def library_versions() -> dict[str, str]:
    """Versions of the libraries whose numbers enter artefacts."""
    return {name: version(name) for name in NUMERIC_LIBRARIES}


def code_digest(module_name: str) -> str:
    """Digest of a first-party module's syntax tree, docstrings stripped, and of all first-party modules it imports."""
    trees: dict[str, str] = {}
    waiting = [module_name]
    while waiting:
        name = waiting.pop()
        if name in trees:
            continue
        tree, imported = _parsed(name)
        trees[name] = tree
        waiting.extend(imported)
    return digest_json(trees)


@cache
def _parsed(name: str) -> tuple[str, tuple[str, ...]]:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        return "", ()
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    imported: set[str] = set()
    for node in ast.walk(tree):
        _strip_docstring(node)
        if isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported.add(node.module)
            imported.update(f"{node.module}.{alias.name}" for alias in node.names)
    first_party = (one for one in imported if one.split(".")[0] in FIRST_PARTY)
    return ast.dump(tree), tuple(sorted(one for one in first_party if _is_module(one)))


@cache
def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # the parent is a module, not a package: `name` is one of its attributes
        return False


def _strip_docstring(node: ast.AST) -> None:
    if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return
    if node.body and isinstance(node.body[0], ast.Expr) and isinstance(node.body[0].value, ast.Constant):
        node.body = node.body[1:]
