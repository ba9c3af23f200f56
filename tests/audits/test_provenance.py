"""A chain from table to artefact to fit that is broken anywhere is found and named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.audits.planted import Planted, found


def record_of(run: Path, module: str) -> dict[str, Any]:
    manifest = json.loads((run / "manifest.json").read_text())
    record: dict[str, Any] = next(one for one in manifest["artefacts"]["modules"] if one["module"] == module)
    return record


def answers_of(planted: Planted, module: str, split: str) -> Path:
    part = next(one for one in record_of(planted.run, module)["parts"] if one["split"] == split)
    return planted.run / "artefacts" / "answers" / str(part["digest"])


def test_a_clean_run_leads_back_to_its_fits(run: Path, ask: Any) -> None:
    result = ask("provenance", run)
    assert result.findings == ()
    assert {one.check for one in result.checks} == {
        *("fits", "answers", "fit of the answers", "known before", "table", "frozen fit", "evidence"),
    }


def test_a_key_that_was_changed_is_named(planted: Planted, ask: Any) -> None:
    planted.own("artefacts")
    path = answers_of(planted, "technical", "test") / "key.json"
    path.write_text(path.read_text().replace('"split": "test"', '"split": "tost"'))
    assert ("answers", "technical", "key") in found(ask("provenance", planted.run))


def test_an_artefact_that_is_gone_is_named(planted: Planted, ask: Any) -> None:
    planted.own("artefacts")
    shutil.rmtree(answers_of(planted, "var", "val"))
    assert ("answers", "var", "key") in found(ask("provenance", planted.run))


def test_answers_of_a_fit_that_is_not_the_runs_are_named(planted: Planted, ask: Any) -> None:
    def forget(manifest: dict[str, Any]) -> None:
        for one in manifest["artefacts"]["modules"]:
            if one["module"] == "fusion":
                one["fits"] = one["fits"][:1]

    assert ("fit of the answers", "fusion", "fit") in found(ask("provenance", planted.json("manifest.json", forget)))


def test_a_fit_whose_key_was_changed_is_named(planted: Planted, ask: Any) -> None:
    planted.own("artefacts")
    digest = record_of(planted.run, "temporal_encoder")["fits"][0]["digest"]
    path = planted.run / "artefacts" / "fits" / digest / "key.json"
    path.write_text(path.read_text().replace('"device": "cpu"', '"device": "abacus"'))
    assert ("fits", "temporal_encoder", "key") in found(ask("provenance", planted.run))


def test_answers_that_knew_their_own_day_are_named(planted: Planted, ask: Any) -> None:
    planted.own("artefacts")
    path = answers_of(planted, "quantitative", "test") / "part.json"
    head = json.loads(path.read_text())
    path.write_text(json.dumps({**head, "fitted_through": 10_000}))
    assert ("known before", "quantitative", "fitted_through") in found(ask("provenance", planted.run))


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_table_that_is_not_its_artefacts_is_named(planted: Planted, ask: Any, split: str) -> None:
    planted.set(f"modules/volatility/chunk1_{split}", "vol_10d", 0.123, rows=17)
    result = ask("provenance", planted.run)
    assert found(result) == {("table", "volatility", "rows")}
    assert "`vol_10d` of" in result.findings[0].detail


def test_a_table_without_a_column_of_its_artefact_is_named(planted: Planted, ask: Any) -> None:
    planted.change("modules/technical/chunk1_test", lambda table: table.drop(columns="attention"))
    result = ask("provenance", planted.run)
    assert found(result) == {("table", "technical", "rows")}
    assert "`attention`" in result.findings[0].detail


def test_a_table_that_is_gone_is_named(planted: Planted, ask: Any) -> None:
    (planted.run / "modules" / "volatility" / "chunk1_test.parquet").unlink()
    assert ("table", "volatility", "rows") in found(ask("provenance", planted.run))


def test_a_model_with_other_bytes_is_named(planted: Planted, ask: Any) -> None:
    planted.own("models")
    path = planted.run / "models" / "fusion" / "chunk1" / "frozen.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    assert ("frozen fit", "fusion", "bytes") in found(ask("provenance", planted.run))


@pytest.mark.parametrize("name", ["sentiment", "news", "qualitative", "qualitative_events"])
def test_a_row_of_text_that_names_another_engine_is_named(planted_text: Planted, ask: Any, name: str) -> None:
    module = name.removesuffix("_events")
    table = f"modules/{module}/chunk1_test{name.removeprefix(module)}"
    assert found(ask("provenance", planted_text.run)) == set()
    planted_text.set(table, "engine", "another", rows=3)
    assert ("engine", name, "engine") in found(ask("provenance", planted_text.run))


def test_evidence_that_is_not_there_is_named(planted: Planted, ask: Any) -> None:
    planted.set("portfolio/approved", "evidence_links", "decisions.parquet|modules/tarot")
    result = ask("provenance", planted.run)
    assert found(result) == {("evidence", "approved", "evidence_links")}
    assert "modules/tarot" in result.findings[0].detail


def test_a_bare_table_has_no_artefacts(bare: Any, ask: Any) -> None:
    assert ask("provenance", bare()).status == "not applicable"
