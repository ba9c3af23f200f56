"""Fitting and predicting need neither reports nor drawing nor a second bookkeeper (design, section 2)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def bare(device: str, folder: Path) -> dict[str, list[str]]:
    """`tests.gpu.bare` in a process of its own."""
    call = [sys.executable, "-m", "tests.gpu.bare", device, str(folder)]
    done = subprocess.run(
        call, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return said


def test_a_bare_machine_fits_and_answers_on_the_cpu(tmp_path: Path) -> None:
    said = bare("cpu", tmp_path / "work")
    assert said["unwanted"] == []
    assert said["modules"][0] == "temporal_encoder"
    assert said["modules"][-1] == "fusion"
    assert all((tmp_path / "work" / f"{name}.parquet").is_file() for name in said["modules"])
