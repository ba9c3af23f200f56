"""What every test may rely on: one thread per process, and the large markets where they exist."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Before NumPy, numba or torch are imported: two threads on two busy cores are slower than one, and
# another number of threads gives other weights.
for name in ("OMP", "MKL", "OPENBLAS", "NUMBA"):
    os.environ[f"{name}_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of large markets beside the checkout, or where GLASSBOX_SHARED_DATA points."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("GLASSBOX_SHARED_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no large markets at {folder}; point GLASSBOX_SHARED_DATA at their folder")
    return folder
