"""module NAME VERB: each module of the risk engine alone, on a run folder and on a plan."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from glassbox_bt.cli import progress as progress_bars
from glassbox_bt.plan import load_stack, read_plan
from tests.flow.command import Shell
from tests.flow.risky import risky_plan, risky_run

NEW = ("garch", "volatility", "drawdown", "contagion", "regime")
FINAL = 5  # number of the fit that answers validation and test


@pytest.fixture(scope="session")
def risky(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A plan with the whole risk engine and its finished run, to be read only."""
    return risky_run(tmp_path_factory.getbasetemp())


@pytest.mark.parametrize("name", NEW)
def test_inspect_says_what_a_module_is(risky: tuple[Path, Path], shell: Shell, name: str) -> None:
    said = shell("module", name, "inspect", risky[1])
    assert said.code == 0, said.err
    words, module = "".join(said.out.split()), load_stack(read_plan(risky[0]))[name]
    assert "frozen.safetensors" in words
    for told in (module.outputs[0], module.reads[0].column, *module.learns_from[:1]):
        assert told[:16] in words


@pytest.mark.parametrize("name", NEW)
def test_a_plan_that_was_not_run_says_so(tmp_path: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    plan = risky_plan(tmp_path)
    monkeypatch.chdir(tmp_path)
    said = shell("module", name, "inspect", plan)
    assert said.code == 0, said.err
    assert "not fitted in" in said.out
    for verb in ("predict", "validate"):
        said = shell("module", name, verb, plan)
        assert said.code == 2
        assert f"module {name} train-best" in said.complaint


@pytest.mark.parametrize("name", NEW)
def test_a_finished_run_keeps_every_promise(risky: tuple[Path, Path], shell: Shell, name: str) -> None:
    said = shell("module", name, "validate", risky[1])
    assert said.code == 0, said.out
    assert said.out == f"{name}: 3 tables keep every promise\n"


@pytest.mark.parametrize("name", NEW)
def test_predict_shows_path_and_head(risky: tuple[Path, Path], shell: Shell, name: str) -> None:
    said = shell("module", name, "predict", risky[1], "--splits", "test")
    assert said.code == 0
    assert str(risky[1] / "modules" / name / "chunk1_test.parquet") in said.out
    assert load_stack(read_plan(risky[0]))[name].outputs[0] in said.out


@pytest.mark.parametrize("name", ["contagion", "regime"])
def test_smoke_tries_a_module_and_keeps_nothing(
    tmp_path: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    said = shell("module", name, "smoke", risky_plan(tmp_path))
    assert said.code == 0, said.err
    assert " s, " in said.out.splitlines()[-1]
    assert said.out.splitlines()[-1].startswith(f"{name}: ")
    assert [path.name for path in tmp_path.iterdir()] == ["plan.toml"]


def test_train_best_of_a_plan_makes_what_the_run_will_use(
    tmp_path: Path, risky: tuple[Path, Path], shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert shell("module", "garch", "train-best", risky_plan(tmp_path)).code == 0
    made = tmp_path / "runs" / "risky" / "artefacts"
    fresh = {path.name for path in (made / "answers").iterdir()}
    assert fresh
    assert fresh <= {path.name for path in (risky[1] / "artefacts" / "answers").iterdir()}, "the run would make others"


class Cut:
    """Stands for the progress of a job: hears of every epoch, and may end the job at the first that it hears of."""

    def __init__(self, name: str, *, ends: bool) -> None:
        self._label, self._ends, self.heard = f"chunk 1 {name}", ends, list[float]()

    @contextmanager
    def __call__(self, _title: str) -> Iterator[Callable[[str, float], None]]:
        def told(what: str, share: float) -> None:
            if what == self._label:
                self.heard.append(share)
                if self._ends:
                    raise KeyboardInterrupt

        yield told


def keys_of(run: Path, kind: str) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    for path in sorted((run / "artefacts" / kind).glob("*/key.json")):
        yield path.parent, json.loads(path.read_text(encoding="utf-8"))


def without_its_last_fit(run: Path, name: str) -> str:
    """Take the fit that answers validation and test away, and everything made from it; its digest."""
    (fit,) = (at.name for at, key in keys_of(run, "fits") if key.get("stream", ["", ""])[1:] == [name, 1, FINAL])
    gone = {fit}
    for kind in ("frozen", "decided", "answers"):
        for at, key in keys_of(run, kind):
            if key.get("fit") in gone:
                shutil.rmtree(at)
                gone |= {at.name} if kind != "answers" else set()
    shutil.rmtree(run / "artefacts" / "fits" / fit)
    shutil.rmtree(run / "models" / name)
    return fit


def made_by(run: Path, name: str) -> dict[str, bytes]:
    places = [*(run / "models" / name).rglob("*.safetensors"), *(run / "modules" / name).glob("*.parquet")]
    return {str(path.relative_to(run)): path.read_bytes() for path in places}


@pytest.mark.parametrize("name", ["contagion", "regime"])
def test_interrupted_training_goes_on_from_its_last_epoch_to_the_same_weights(
    tmp_path: Path, risky: tuple[Path, Path], shell: Shell, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    run = shutil.copytree(risky[1], tmp_path / "run")
    whole, fit = made_by(run, name), without_its_last_fit(run, name)
    assert f"models/{name}/chunk1/frozen.safetensors" in whole

    cut = Cut(name, ends=True)
    monkeypatch.setattr(progress_bars, "bars", cut)
    said = shell("module", name, "train-best", run)
    assert said.code == 130
    assert len(cut.heard) == 1
    assert list((run / "artefacts" / "partial" / fit).rglob("latest.safetensors"))
    assert not (run / "models" / name).exists()

    went_on = Cut(name, ends=False)
    monkeypatch.setattr(progress_bars, "bars", went_on)
    said = shell("module", name, "train-best", run)
    assert said.code == 0, said.err
    assert went_on.heard[0] > cut.heard[0], "the first epoch was learned again"
    assert made_by(run, name) == whole
    assert not (run / "artefacts" / "partial" / fit).exists()


def test_validate_finds_a_neighbour_that_is_missing(tmp_path: Path, risky: tuple[Path, Path], shell: Shell) -> None:
    run = shutil.copytree(risky[1], tmp_path / "run", ignore=shutil.ignore_patterns("report"))
    path = run / "modules" / "contagion" / "chunk1_test.parquet"
    content = pd.read_parquet(path)
    known = content.index[content["known"]]
    content.loc[known[3], "top_influencer_2"] = None
    content.loc[known[5], "contagion_20d_raw"] = 1.5
    content.to_parquet(path, index=False)
    said = shell("module", "contagion", "validate", run)
    assert said.code == 1
    assert "`top_influencer_2` is missing in 1 known rows" in said.out
    assert "`contagion_20d_raw` leaves [0, 1] in 1 rows, first 1.5" in said.out
