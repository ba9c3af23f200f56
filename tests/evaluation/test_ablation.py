"""Ablations of one tiny run: paired, counted, resumed, kept and refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from glassbox_bt import backtest
from glassbox_bt.errors import PlanError, RunFolderError
from glassbox_bt.evaluation import ablation_chunks
from glassbox_bt.evaluation.ablation import AblationSpec, ablation_specs
from glassbox_bt.plan import AblationPlan, Plan, plan_from
from glassbox_bt.runs.manifest import Manifest
from tests.evaluation.ablation_runs import ablated, quiet, shared_run, tiny
from tests.flow.tiny import tiny_table

SETS = ("modules", "rules", "fusion", "execution")
BOOK = ["equity", "cash", "exposure", "traded", "costs", "return"]
SAME = AblationSpec(name="same", set="execution", edit="cost", target="costs", question="Nothing?", value=1.0)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return tiny()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shared = shared_run(tmp_path_factory)
    return Path(shutil.copytree(shared, tmp_path_factory.mktemp("ablated") / "run"))


@pytest.fixture(scope="module")
def before(run: Path) -> dict[str, int]:
    """Artefacts of the run before anything was taken out."""
    return artefacts_of(run)


@pytest.fixture(scope="module")
def share(run: Path, plan: Plan, before: dict[str, int]) -> dict[str, Any]:
    assert before["fits"] > 0
    return ablated(run, plan, *SETS, extra=[SAME])


@pytest.fixture
def copied(run: Path, share: dict[str, Any], tmp_path: Path) -> Path:  # noqa: ARG001 - the run is copied once ablated
    return Path(shutil.copytree(run, tmp_path / "copy"))


def artefacts_of(run: Path) -> dict[str, int]:
    return {kind: len(list((run / "artefacts" / kind).glob("*"))) for kind in ("fits", "frozen", "answers")}


def variants(run: Path) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in json.loads((run / "ablations" / "variants.json").read_text())}


def equity(run: Path) -> pd.DataFrame:
    return pd.read_parquet(run / "ablations" / "equity.parquet")


def book_of(table: pd.DataFrame, **marks: Any) -> pd.DataFrame:
    for name, value in marks.items():
        table = table[table[name] == value]
    return table[["chunk", "date", *BOOK]].reset_index(drop=True)


def test_files_hold_what_was_asked_in_the_order_of_the_sets(run: Path, share: dict[str, Any], plan: Plan) -> None:
    wanted = [spec.name for spec in ablation_specs(plan, SETS, "inference")]
    assert list(variants(run)) == [*wanted, "same"] == list(share["variants"])
    changed = [name for name, one in variants(run).items() if one["effect"] == "changed"]
    assert list(dict.fromkeys(equity(run)["variant"])) == changed
    for one in variants(run).values():
        assert one["effect"] == ("changed" if any(one["changed"].values()) else "none")
        assert len(one["artefacts"]) == len(plan.chunks)


def test_a_pair_has_the_same_days_and_starts_in_cash(run: Path, share: dict[str, Any], plan: Plan) -> None:  # noqa: ARG001
    recorded = pd.read_parquet(run / "portfolio" / "equity.parquet")
    stack = book_of(recorded, strategy="glassbox", split="test")
    table = equity(run)
    assert list(table.columns) == ["chunk", "split", "variant", "date", *BOOK]
    assert set(table["split"]) == {"test"}
    for _, own in table.groupby("variant", sort=False):
        pd.testing.assert_frame_equal(own[["chunk", "date"]].reset_index(drop=True), stack[["chunk", "date"]])
        first = own.groupby("chunk").first()
        assert (first["equity"] == plan.costs.capital).all()
        assert (first["exposure"] == 0.0).all()


def test_the_formula_in_place_of_fusion_is_the_rival_to_the_bit(run: Path, share: dict[str, Any]) -> None:  # noqa: ARG001
    """Two ways to one policy, one of them recorded by the main job: they differ as soon as days, fills or costs do."""
    recorded = pd.read_parquet(run / "portfolio" / "equity.parquet")
    rival = book_of(recorded, strategy="formula_only", split="test")
    assert rival["traded"].sum() > 0.0
    pd.testing.assert_frame_equal(book_of(equity(run), variant="formula_fusion"), rival, check_exact=True)


def test_an_edit_that_changes_nothing_is_said_to(run: Path, share: dict[str, Any]) -> None:  # noqa: ARG001
    nothing = {"answers": 0, "inputs": 0, "decisions": 0, "orders": 0}
    told = variants(run)
    assert told["same"]["changed"] == nothing
    never = [name for name, one in told.items() if one["set"] == "rules" and one["effect"] == "none"]
    assert {"without_rb_02", "without_rb_03", "without_rb_04"} <= set(never)  # their modules are silent, so they never fire
    assert not set(equity(run)["variant"]) & {*never, "same"}
    fired = set("|".join(pd.read_parquet(run / "decisions.parquet")["rule_barrier_reasons"]).split("|"))
    assert not fired & {"crisis_cap_0.05", "high_drawdown_cap", "high_contagion_cap_or_veto"}


def test_costs_are_all_that_zero_costs_change_at_the_first_order(run: Path, share: dict[str, Any]) -> None:  # noqa: ARG001
    recorded = pd.read_parquet(run / "portfolio" / "equity.parquet")
    stack = book_of(recorded, strategy="glassbox", split="test", chunk=1)
    free = book_of(equity(run), variant="costs_zero", chunk=1)
    at = int(np.flatnonzero(stack["traded"] > 0.0)[0])
    assert (free["costs"] == 0.0).all()
    assert stack["costs"][at] > 0.0
    assert free["traded"][at] == stack["traded"][at]
    np.testing.assert_allclose(free["equity"][at] - stack["equity"][at], stack["costs"][at], rtol=1e-9)


def test_late_decisions_start_late(run: Path, share: dict[str, Any]) -> None:  # noqa: ARG001
    late = book_of(equity(run), variant="lag_1", chunk=1)
    assert (late["traded"][:2] == 0.0).all()  # the first decision has nothing to act on, the second is filled a day later
    assert late["traded"].sum() > 0.0


def test_what_is_taken_out_at_inference_is_never_fitted(
    run: Path,
    share: dict[str, Any],
    before: dict[str, int],
) -> None:
    assert artefacts_of(run) == before
    for one in share["variants"].values():
        assert all(counts["fits_made"] == 0 for counts in one["modules"].values())
    told = share["variants"]["without_volatility"]["modules"]
    assert "volatility" not in told
    for module, counts in told.items():
        again = module in ("position_sizing", "quantitative", "fusion")
        assert (counts["answers_made"] > 0) == again, module


def test_a_critical_module_out_means_cash_and_a_note(run: Path, share: dict[str, Any]) -> None:  # noqa: ARG001
    without = book_of(equity(run), variant="without_cvar")
    assert (without["exposure"] == 0.0).all()
    assert any("RB-15" in words for words in variants(run)["without_cvar"]["notes"])
    assert variants(run)["without_volatility"]["notes"] == []
    assert book_of(equity(run), variant="without_volatility")["exposure"].max() > 0.0


def test_counts_are_zero_upstream_of_the_edit(run: Path, share: dict[str, Any]) -> None:  # noqa: ARG001
    for one in variants(run).values():
        if one["edit"] in ("rule", "cost"):
            assert one["changed"]["answers"] == one["changed"]["inputs"] == 0
        if one["edit"] in ("policy", "lag"):
            assert one["changed"]["answers"] == 0 < one["changed"]["inputs"]
    assert variants(run)["without_fusion"]["changed"]["answers"] == 0  # nobody reads fusion
    assert variants(run)["without_technical"]["changed"]["answers"] > 0


def test_a_second_call_reads(copied: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [copied / "ablations" / name for name in ("variants.json", "equity.parquet")]
    first = [path.read_bytes() for path in files]
    monkeypatch.setattr(ablation_chunks._Base, "of", refused)
    again = ablated(copied, plan, *SETS, extra=[SAME])
    assert [path.read_bytes() for path in files] == first
    assert all(one["cached"] for one in again["variants"].values())


def refused(*_args: object) -> None:
    raise AssertionError("a chunk was taken up again although all its variants are there")


def test_a_killed_job_makes_only_what_is_missing(copied: Path, plan: Plan) -> None:
    files = [copied / "ablations" / name for name in ("variants.json", "equity.parquet")]
    first = [path.read_bytes() for path in files]
    digest = variants(copied)["without_volatility"]["artefacts"][1]
    shutil.rmtree(copied / "artefacts" / "ablations" / digest)
    for path in files:
        path.unlink()
    again = ablated(copied, plan, *SETS, extra=[SAME])
    assert [path.read_bytes() for path in files] == first
    assert [name for name, one in again["variants"].items() if not one["cached"]] == ["without_volatility"]


def test_neither_order_nor_company_nor_processes_matter(copied: Path, plan: Plan) -> None:
    asked = {"fusion", "execution"}
    told = [one for one in variants(copied).values() if one["set"] in asked]
    books = equity(copied)
    books = books[books["variant"].isin([one["name"] for one in told])].reset_index(drop=True)
    shutil.rmtree(copied / "ablations")
    shutil.rmtree(copied / "artefacts" / "ablations")
    ablated(copied, plan, "execution", extra=[SAME])
    manifest = Manifest.open(copied)
    assert manifest is not None
    manifest.complete([])  # a finished run is taken up like one that is still running
    ablated(copied, plan, "fusion", workers=2)
    assert list(variants(copied).values()) == told
    pd.testing.assert_frame_equal(equity(copied), books, check_exact=True)


def test_variants_of_another_base_run_are_dropped(copied: Path, plan: Plan) -> None:
    kept = ablated(copied, plan)
    assert len(kept["variants"]) == len(variants(copied)) > 0
    decisions = pd.read_parquet(copied / "decisions.parquet")
    decisions.to_parquet(copied / "decisions.parquet", index=False, compression=None)
    assert ablated(copied, plan)["variants"] == {}
    assert list((copied / "ablations").iterdir()) == []


def test_a_base_that_is_not_the_recorded_run_is_refused(copied: Path, plan: Plan) -> None:
    path = copied / "portfolio" / "equity.parquet"
    table = pd.read_parquet(path)
    row = table.index[(table["strategy"] == "glassbox") & (table["split"] == "test")][-1]
    table.loc[row, "equity"] += 0.01
    table.to_parquet(path, index=False)
    with pytest.raises(RunFolderError, match="does not decide as the run"):
        ablated(copied, plan, "rules")


def without_manifest(run: Path) -> None:
    (run / "manifest.json").unlink()


def without_walk(run: Path) -> None:
    manifest = Manifest.open(run)
    assert manifest is not None
    del manifest.content["artefacts"]
    manifest.write()


def with_other_code(run: Path) -> None:
    manifest = Manifest.open(run)
    assert manifest is not None
    manifest.update(code_digest={**manifest.content["code_digest"], "strategies.full_stack": "0"})


@pytest.mark.parametrize("spoilt", [without_manifest, without_walk, with_other_code])
def test_what_is_no_base_is_refused(copied: Path, plan: Plan, spoilt: Callable[[Path], None]) -> None:
    spoilt(copied)
    with pytest.raises(RunFolderError, match=r"[Rr]un"):
        run_quietly(copied, plan)


def test_the_run_of_another_plan_is_refused(run: Path) -> None:
    with pytest.raises(RunFolderError, match="another plan"):
        run_quietly(run, plan_from(tiny_table(seed=8)))


def test_two_ablations_of_one_name_are_refused(run: Path, plan: Plan) -> None:
    with pytest.raises(PlanError, match="Two ablations are called `same`"):
        ablated(run, plan, extra=[SAME, SAME])


def run_quietly(run: Path, plan: Plan) -> None:
    from glassbox_bt.evaluation.ablation import run_ablations

    run_ablations(run, plan, AblationPlan(sets=("rules",)), 1, quiet)


@pytest.mark.parametrize("name", ["without_volatility", "lag_1", "quantitative_only"])
def test_the_edited_plan_run_on_its_own_is_the_variant(
    run: Path, share: dict[str, Any], plan: Plan, tmp_path: Path, name: str
) -> None:
    """A spec is a plan: walked as any other plan it trades as the variant does, fitted again where that is the depth."""
    specs = {spec.name: spec for spec in ablation_specs(plan, SETS, "inference")}
    assert name in share["variants"]
    edited = specs[name].apply(plan)
    own = tmp_path / "own"
    shutil.copytree(run / "artefacts", own / "artefacts")
    backtest.walk_forward(edited, backtest.read_market(edited), own, "cpu", 1, quiet)
    table = pd.read_parquet(own / "portfolio" / "equity.parquet")
    alone = book_of(table, strategy="glassbox", split="test")
    if name == "without_volatility":
        depth = "retrained"
        spec = AblationSpec(
            name=name, set="modules", edit="silent", target="volatility", question="?", depth=depth, parts=("volatility",)
        )
        copy = Path(shutil.copytree(run, tmp_path / "copy"))
        told = ablated(copy, plan, extra=[spec])
        assert_refitted_downstream(told["variants"][name]["modules"])
        variant = book_of(equity(copy), variant=name)
    else:
        variant = book_of(equity(run), variant=name)
    pd.testing.assert_frame_equal(alone, variant, check_exact=True)
    decisions = pd.read_parquet(own / "decisions.parquet")
    assert not decisions.duplicated(["chunk", "split", "date", "ticker"]).any()
    rows = decisions.dropna(subset=["learned_fusion_signal"])
    if name == "lag_1":  # tables are as late as the decisions that rest on them
        np.testing.assert_array_equal(rows["final_fusion_signal"], rows["learned_fusion_signal"])


def assert_refitted_downstream(modules: dict[str, dict[str, int]]) -> None:
    upstream = {"temporal_encoder", "technical", "garch", "var", "cvar", "liquidity"}
    assert set(modules) == {*upstream, "position_sizing", "quantitative", "fusion"}
    for name, counts in modules.items():
        if name in upstream:
            assert counts["fits_made"] == counts["answers_made"] == 0 < counts["fits_reused"], name
        else:
            assert counts["answers_reused"] == 0 < counts["answers_made"], name
    assert modules["position_sizing"]["fits_made"] == 0  # a rule learns nothing
    for name in ("quantitative", "fusion"):
        assert modules[name]["fits_reused"] == 0 < modules[name]["fits_made"]
