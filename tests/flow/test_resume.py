"""A second run is a read; a killed run goes on to the bytes of an undisturbed one."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.flow.command import Outcome, launch
from tests.flow.resuming import bytes_of, finished_run, n_files, run_job, run_until
from tests.flow.tiny import TWO_CHUNKS, tiny_plan

DRAFTS = ".*"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A plan and its run."""
    return finished_run(tmp_path_factory.getbasetemp())


def manifest_of(run: Path) -> Mapping[str, Any]:
    content: Mapping[str, Any] = json.loads((run / "manifest.json").read_text())
    return content


def written(run: Path) -> dict[str, tuple[int, int]]:
    """Identity and time of every file: what is written anew has others."""
    paths = [Path(folder) / name for folder, _, names in os.walk(run) for name in names]
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}


def test_a_second_run_only_reads(undisturbed: tuple[Path, Path]) -> None:
    plan, run = undisturbed
    before = written(run)
    run_job(plan, run)
    assert written(run) == before
    assert manifest_of(run)["test_label_reads"] == 1


def test_lost_outputs_are_written_again_from_the_artefacts(undisturbed: tuple[Path, Path], tmp_path: Path) -> None:
    plan, run = undisturbed[0], shutil.copytree(undisturbed[1], tmp_path / "run")
    expected = bytes_of(run)
    artefacts = {name: stamp for name, stamp in written(run).items() if "/artefacts/" in name}
    (run / "decisions.parquet").unlink()
    (run / "metrics.json").write_text("{}")
    run_job(plan, run)
    assert bytes_of(run) == expected
    assert {name: stamp for name, stamp in written(run).items() if "/artefacts/" in name} == artefacts, (
        "something was fitted"
    )
    fitted = [row for row in manifest_of(run)["timings"] if row["chunk"] is not None]
    assert fitted
    assert all(row["cached"] for row in fitted)
    assert manifest_of(run)["test_label_reads"] == 1, "the same decisions were scored before"


def test_a_run_killed_three_times_ends_with_the_same_bytes(undisturbed: tuple[Path, Path], tmp_path: Path) -> None:
    plan, reference = undisturbed
    draw, run, total = random.Random(20), tmp_path / "run", n_files(reference)
    killed = [
        run_until(plan, run, int(share * total), draw.uniform(0.0, 0.03))
        for share in sorted(draw.uniform(0.02, 0.95) for _ in range(3))
    ]
    assert any(killed)
    run_job(plan, run)
    assert bytes_of(run) == bytes_of(reference)
    assert manifest_of(run)["status"] == "complete"
    assert manifest_of(run)["test_label_reads"] == 1
    assert not list(run.rglob(DRAFTS)), "a killed process left drafts behind"


def test_an_interrupt_is_recorded_and_said_in_one_line(tmp_path: Path) -> None:
    plan, run = tiny_plan(tmp_path), tmp_path / "run"
    with launch("run", plan, "--out", run, "--workers", 1) as process:
        while process.poll() is None and not (run / "artefacts" / "fits").exists():
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    outcome = Outcome(process.returncode, out, err)
    assert outcome.code == 130
    assert outcome.complaint == "glassbox: Interrupted. Run the same command again to resume."
    assert manifest_of(run)["status"] == "failed"
    assert manifest_of(run)["error"].startswith("KeyboardInterrupt")
    assert not list(run.rglob(DRAFTS))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_a_run_killed_at_any_moment_ends_with_the_same_bytes(
    undisturbed_two: tuple[Path, Path], tmp_path: Path, seed: int
) -> None:
    """Two chunks on two workers, killed once at a random moment."""
    plan, reference = undisturbed_two
    draw, run = random.Random(seed), tmp_path / "run"
    run_until(plan, run, int(draw.uniform(0.0, 1.0) * n_files(reference)), draw.uniform(0.0, 0.2), workers=2)
    run_job(plan, run, workers=2)
    assert bytes_of(run) == bytes_of(reference)
    assert manifest_of(run)["test_label_reads"] == 1
    assert not list(run.rglob(DRAFTS))


@pytest.fixture(scope="module")
def undisturbed_two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("undisturbed_two")
    plan = tiny_plan(folder, chunks=TWO_CHUNKS)
    run_job(plan, folder / "run")
    return plan, folder / "run"
