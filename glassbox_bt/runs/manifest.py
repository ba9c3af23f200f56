"""The manifest: what a run is, what made it, and how far it came.

``manifest.json`` goes from ``running`` to ``complete`` or ``failed``. It is rewritten whole at each step, never edited in place.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from glassbox_bt.errors import RunFolderError
from glassbox_bt.runs.artefacts import library_versions, write_whole

__all__ = ["Manifest", "file_digest"]

NAME = "manifest.json"


@dataclass(slots=True)
class Manifest:
    """The manifest of one run folder."""

    run: Path
    content: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def open(cls, run: Path) -> Manifest | None:
        """The manifest in ``run``, None if there is none."""
        path = run / NAME
        if not path.exists():
            return None
        try:
            return cls(run, json.loads(path.read_text(encoding="utf-8")))
        except (OSError, json.JSONDecodeError) as broken:
            raise RunFolderError(f"{path} cannot be read: {broken}. Choose another --out or remove the folder.") from broken

    @classmethod
    def start(cls, run: Path, identity: Mapping[str, Any], facts: Mapping[str, Any]) -> Manifest:
        """A new run with status ``running``; a folder of another run is refused.

        ``identity`` decides the numbers (plan, data, code, versions); a folder with another identity is another run.
        """
        former = cls.open(run)
        if former is None and run.exists() and any(run.iterdir()):
            raise RunFolderError(f"{run} is not empty and holds no run. Choose another --out.")
        if former is not None and former.content.get("plan_digest") != identity["plan_digest"]:
            raise RunFolderError(
                f"{run} holds another run: plan `{former.content.get('name')}`, digest "
                f"{str(former.content.get('plan_digest'))[:12]}, not {str(identity['plan_digest'])[:12]}. "
                "Choose another --out, or pass --fresh to replace it."
            )
        made = cls(run, {"status": "running", **identity, **facts, "created_at": _now(), **_machine()})
        if former is not None:
            made.content["created_at"] = former.content.get("created_at", made.content["created_at"])
            made.content["test_label_reads"] = former.content.get("test_label_reads", 0)
        made.write()
        return made

    def is_complete(self, identity: Mapping[str, Any]) -> bool:
        """Whether this very run was finished and every output file still has its recorded bytes."""
        content = self.content
        if content.get("status") != "complete" or any(content.get(k) != v for k, v in identity.items()):
            return False
        files: Mapping[str, str] = content.get("files", {})
        return all((self.run / name).exists() and file_digest(self.run / name) == digest for name, digest in files.items())

    def update(self, **facts: Any) -> None:
        """Add facts and write."""
        self.content.update(facts)
        self.write()

    def complete(self, files: list[Path]) -> None:
        """Record the digests of the outputs and the end of the run."""
        digests = {str(path.relative_to(self.run)): file_digest(path) for path in sorted(files)}
        self.update(status="complete", files=digests, finished_at=_now())

    def fail(self, error: BaseException) -> None:
        """Record that the run ended early, and why."""
        self.update(status="failed", error=f"{type(error).__name__}: {error}", finished_at=_now())

    def write(self) -> None:
        """Write the manifest whole."""
        text = json.dumps(self.content, indent=1, sort_keys=True, default=str, allow_nan=False) + "\n"
        write_whole(self.run / NAME, lambda draft: draft.write_text(text, encoding="utf-8"))


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _machine() -> dict[str, Any]:
    return {
        "versions": {"python": platform.python_version(), **library_versions()},
        "platform": f"{sys.platform}-{platform.machine()}",
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
