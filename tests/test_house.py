"""The house stands as drawn: layers, exported names, a light command, pinned dependencies."""

from __future__ import annotations

import importlib
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import experiments
import glassbox_bt
import strategies

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted(
    info.name
    for package in (glassbox_bt, strategies, experiments)
    for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if not info.name.endswith("__main__")
)
HEAVY = {
    "matplotlib",
    "numba",
    "pandas",
    "quantstats",
    "scipy",
    "torch",
    "transformers",
    "vectorbt",
}


def test_import_contracts_hold() -> None:
    from importlinter.cli import lint_imports

    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True) == 0


@pytest.mark.parametrize("name", MODULES)
def test_every_exported_name_exists(name: str) -> None:
    module = importlib.import_module(name)
    exported = module.__all__
    assert len(exported) == len(set(exported)), "a name is exported twice"
    missing = [wanted for wanted in exported if not hasattr(module, wanted)]
    assert not missing


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "from glassbox_bt.cli import main\n"
        "sys.argv = ['glassbox', '--help']\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as stop:\n"
        "    assert not stop.code, stop.code\n"
        "print('imported:', *sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    help_page, _, imported = done.stdout.rpartition("imported:")
    assert "quickstart" in help_page
    assert HEAVY.isdisjoint(imported.split())


def test_torch_computes_in_one_thread() -> None:
    import torch

    assert torch.get_num_threads() == 1


def test_every_dependency_is_pinned_exactly() -> None:
    pins = _pins()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    named = {_name(line) for line in [*project["dependencies"], *extras["test"], *extras["bench"]]}
    assert named <= pins.keys()


def test_tox_installs_the_pinned_torch() -> None:
    assert f"torch=={_pins()['torch']}\n" in (ROOT / "tox.ini").read_text(encoding="utf-8")


def _pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {_name(name): version.partition(";")[0].strip() for name, version in pairs}


def _name(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found, requirement
    return re.sub(r"[-_.]+", "-", found.group()).lower()
