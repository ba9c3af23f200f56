"""The manifest: what a run is, what made it, and how far it came.

``manifest.json`` goes from ``running`` to ``complete`` or ``failed``. It is rewritten whole at each step, never edited
in place.
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
COUNTS = ("test_label_reads", "decisions_scored")


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
        except (OSError, ValueError) as broken:
            raise RunFolderError(f"{path} cannot be read: {broken}. Choose another --out or remove the folder.") from broken

    @classmethod
    def claim(cls, run: Path, plan_digest: str) -> Manifest | None:
        """The manifest in ``run``, None if the folder is new or empty; a folder of something else is refused.

        Raises
        ------
        RunFolderError
            If ``run`` holds files but no run, or the run of another plan.
        """
        former = cls.open(run)
        if former is None:
            if run.exists() and any(not path.name.startswith(".") for path in run.iterdir()):
                raise RunFolderError(f"{run} is not empty and holds no run. Choose another --out.")
            return None
        if former.content.get("plan_digest") != plan_digest:
            raise RunFolderError(
                f"{run} holds another run: plan `{former.content.get('name')}`, digest "
                f"{str(former.content.get('plan_digest'))[:12]}, not {plan_digest[:12]}. "
                "Choose another --out, or pass --fresh to replace it."
            )
        return former

    @classmethod
    def start(
        cls, run: Path, identity: Mapping[str, Any], facts: Mapping[str, Any], former: Manifest | None = None
    ) -> Manifest:
        """A run with status ``running``; of the ``former`` one of the same plan it keeps when it began and what was read.

        ``identity`` decides the numbers (plan, data, code, versions).
        """
        made = cls(run, {"status": "running", **identity, **facts, "created_at": _now(), **_machine()})
        if former is not None:
            made.content |= {name: former.content[name] for name in ("created_at", *COUNTS) if name in former.content}
        made.write()
        return made

    def counts_only(self) -> Manifest:
        """Without everything but the counts of test readings, which outlive a run that starts afresh."""
        return Manifest(self.run, {name: self.content[name] for name in COUNTS if name in self.content})

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

    def count_test_reading(self) -> None:
        """Count that test outcomes are opened: once for each set of decisions that they are to score (R26).

        A run that is resumed or rendered again has the same decisions, so it does not count again.
        """
        scored = file_digest(self.run / "decisions.parquet")
        before: list[str] = self.content.get("decisions_scored", [])
        if scored not in before:
            self.update(decisions_scored=[*before, scored], test_label_reads=len(before) + 1)

    def complete(self, files: list[Path]) -> None:
        """Record the digests of the outputs and the end of the run."""
        self.update(status="complete", finished_at=_now())
        self.record_files(files)

    def record_files(self, files: list[Path]) -> None:
        """Record the digests of the outputs."""
        self.update(files={str(path.relative_to(self.run)): file_digest(path) for path in sorted(files)})

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
