"""module NAME VERB: one module alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from glassbox_bt.cli.module import spread
from glassbox_bt.plan import load_stack, read_plan
from tests.flow.command import Shell
from tests.flow.tiny import tiny_plan

MODULES = (
    "temporal_encoder",
    "technical",
    "garch",
    "volatility",
    "var",
    "cvar",
    "liquidity",
    "position_sizing",
    "quantitative",
    "fusion",
)


def test_several_values_may_follow_one_option() -> None:
    assert spread(["module", "var", "predict", "r", "--chunks", "1", "3", "--splits", "val", "test"]) == [
        *("module", "var", "predict", "r", "--chunks", "1", "--chunks", "3", "--splits", "val", "--splits", "test")
    ]
    assert spread(["--splits", "val", "run", "--chunks"]) == ["--splits", "val", "run", "--chunks"]
    assert spread(["--chunks", "1", "--chunks", "2"]) == ["--chunks", "1", "--chunks", "2"]


@pytest.mark.parametrize("name", MODULES)
def test_inspect_says_what_a_module_is(run: Path, plan: Path, shell: Shell, name: str) -> None:
    said = shell("module", name, "inspect", run)
    assert said.code == 0, said.err
    words = "".join(said.out.split())
    module = load_stack(read_plan(plan))[name]
    assert all(output in words for output in ("parameters;", "frozen.safetensors"))
    assert module.outputs[0][:20] in words
    assert module.reads[0].column[:20] in words


@pytest.mark.parametrize("name", MODULES)
def test_a_finished_run_keeps_every_promise(run: Path, shell: Shell, name: str) -> None:
    said = shell("module", name, "validate", run)
    assert said.code == 0, said.out
    assert said.out == f"{name}: 3 tables keep every promise\n"


def broken(run: Path, shell: Shell, module: str, table: pd.DataFrame) -> str:
    table.to_parquet(run / "modules" / module / "chunk1_test.parquet", index=False)
    said = shell("module", module, "validate", run, "--splits", "test")
    assert said.code == 1
    assert f"`{module}` breaks" in said.complaint
    return said.out


def test_validate_finds_what_is_broken(own_run: Path, shell: Shell) -> None:
    good = pd.read_parquet(own_run / "modules" / "quantitative" / "chunk1_test.parquet")
    known = good.index[good["known"]]

    def put(column: str, value: object) -> pd.DataFrame:
        bad = good.copy()
        bad.loc[known[7], column] = value
        return bad

    for table, says in (
        (put("quantitative_risk_prob", 1.5), "`quantitative_risk_prob` leaves [0, 1] in 1 rows, first 1.5"),
        (put("quantitative_risk_prob", np.nan), "`quantitative_risk_prob` is not finite in known rows: 1"),
        (put("xai_summary", ""), "1 rows have no xai_summary"),
        (put("known", False), "`known` and `reason` disagree"),
        (good.drop(index=known[7]), "1 members have no row"),
        (pd.concat([good, good.iloc[[3]]]), "1 rows stand twice"),
        (good.iloc[::-1], "rows are not sorted"),
        (good.assign(future_return=0.0), "column `future_return` is named like a label"),
    ):
        assert says in broken(own_run, shell, "quantitative", table)


def test_validate_finds_a_fit_that_knew_its_day(own_run: Path, shell: Shell) -> None:
    modules = json.loads((own_run / "manifest.json").read_text())["artefacts"]["modules"]
    part = next(one for one in modules if one["module"] == "technical")["parts"][-1]
    head = own_run / "artefacts" / "answers" / part["digest"] / "part.json"
    content = json.loads(head.read_text())
    days = np.load(head.with_name("days.npy"))
    head.write_text(json.dumps({**content, "fitted_through": int(days[4])}))
    said = shell("module", "technical", "validate", own_run)
    assert said.code == 1
    assert "5 days of test from 2019-05-01 on are answered by a fit that knows 2019-05-07" in said.out


def test_predict_shows_path_and_head(run: Path, shell: Shell) -> None:
    said = shell("module", "var", "predict", run, "--chunks", 1, "--splits", "val", "test")
    assert said.code == 0
    for split in ("val", "test"):
        assert str(run / "modules" / "var" / f"chunk1_{split}.parquet") in said.out
    assert "var_95" in said.out


def test_smoke_tries_a_module_and_keeps_nothing(tmp_path: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = shell("module", "position_sizing", "smoke", tiny_plan(tmp_path))
    assert said.code == 0, said.err
    lines = {line.partition(":")[0]: line for line in said.out.splitlines()}
    assert {"temporal_encoder", "technical", "volatility", "position_sizing"} <= set(lines)
    assert " s, " in lines["position_sizing"]
    assert "of rows known" in lines["position_sizing"]
    assert [path.name for path in tmp_path.iterdir()] == ["plan.toml"]


def test_train_best_makes_what_the_run_will_use(
    tmp_path: Path, run: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = tiny_plan(tmp_path)
    monkeypatch.chdir(tmp_path)
    said = shell("module", "technical", "train-best", plan)
    assert said.code == 0, said.err
    made = tmp_path / "runs" / "tiny"
    assert said.out.splitlines() == [str(made / "models" / "technical" / "chunk1")]
    for kind in ("fits", "answers", "frozen"):
        fresh = {path.name for path in (made / "artefacts" / kind).iterdir()}
        assert fresh
        assert fresh <= {path.name for path in (run / "artefacts" / kind).iterdir()}, f"the run would make other {kind}"
    assert "not finished" in shell("status", made).out
    assert shell("module", "technical", "predict", made, "--splits", "test").code == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("sentimnt", "inspect"), "no module `sentimnt` in this plan's stack"),
        (("var", "inspect", "--chunks", "4"), "no chunk 4 in this plan. It has 1"),
        (("var", "inspect", "--splits", "train2"), "no split `train2`"),
    ],
)
def test_what_is_not_there_is_refused(run: Path, shell: Shell, arguments: tuple[str, ...], says: str) -> None:
    said = shell("module", *arguments[:2], run, *arguments[2:])
    assert said.code == 2
    assert says in said.complaint


def test_an_unknown_verb_is_refused(run: Path, shell: Shell) -> None:
    assert shell("module", "var", "hpo", run).code == 2
