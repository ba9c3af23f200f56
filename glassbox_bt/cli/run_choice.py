"""Which run a command means: its manifest, and the plan that made it."""

from __future__ import annotations

from pathlib import Path

from glassbox_bt.errors import RunFolderError
from glassbox_bt.plan import Plan, plan_from, read_plan
from glassbox_bt.runs.manifest import Manifest

__all__ = ["finished", "manifest_of", "plan_of", "run_or_plan"]


def manifest_of(run: Path) -> Manifest:
    """The manifest of a run folder; a folder without one is refused."""
    manifest = Manifest.open(run)
    if manifest is None:
        raise RunFolderError(f"{run} holds no run: there is no manifest.json. Name a run folder.")
    return manifest


def finished(run: Path) -> Manifest:
    """The manifest of a run that came to its end."""
    manifest = manifest_of(run)
    if manifest.content.get("status") != "complete":
        raise RunFolderError(f"{run} is {manifest.content.get('status')}, not complete. Run its plan again to resume it.")
    return manifest


def plan_of(manifest: Manifest) -> Plan:
    """The plan that a run recorded; a relative market folder starts where it did."""
    folder = manifest.run / str(manifest.content.get("plan_folder", "."))
    return plan_from(manifest.content["plan"], folder=str(folder.resolve()))


def run_or_plan(place: Path) -> tuple[Path, Plan]:
    """Run folder and plan of what a command was given: a run folder, a plan file or a plan's folder."""
    manifest = Manifest.open(place) if place.is_dir() else None
    if manifest is not None:
        return place, plan_of(manifest)
    plan = read_plan(place)
    return Path("runs") / plan.name, plan
