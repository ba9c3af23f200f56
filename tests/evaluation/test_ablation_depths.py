"""What an edit does to the answers of the stack, at either depth: only downstream, and as if done by hand."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from glassbox_bt.backtest import open_run_store
from glassbox_bt.decision.rules import ALWAYS_ON, RULES
from glassbox_bt.decision.stack import order, upstream
from glassbox_bt.errors import PlanError
from glassbox_bt.evaluation import ablation_chunks
from glassbox_bt.evaluation.ablation import AblationSpec
from glassbox_bt.market.store import AnswerColumn
from glassbox_bt.plan import Plan
from glassbox_bt.runs.artefacts import ArtefactStore
from glassbox_bt.runs.manifest import Manifest
from glassbox_bt.types import Answers, AnyArray
from glassbox_bt.walkforward.answers import ModuleAnswers, Part, silent_column
from glassbox_bt.walkforward.fitting import ChunkFitter
from glassbox_bt.walkforward.oneday import decide_day
from glassbox_bt.walkforward.policies import POLICIES
from glassbox_bt.walkforward.reanswered import answered_again
from glassbox_bt.walkforward.replay import decide_split, stack_scene
from glassbox_bt.walkforward.restored import restored_walk, restored_walks
from glassbox_bt.walkforward.stood_in import stood_in
from tests.evaluation.ablation_runs import ablated, quiet, shared_run, tiny

PLAN = tiny()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shared_run(tmp_path_factory)


@pytest.fixture(scope="module")
def walk(run: Path) -> ChunkFitter:
    manifest = Manifest.open(run)
    assert manifest is not None
    return restored_walk(run, manifest.content, PLAN, open_run_store(run, manifest.content), 1)


def edited(**changes: Any) -> Plan:
    return dataclasses.replace(PLAN, **changes)


def said(fitter: ChunkFitter, module: str, split: str = "test") -> Answers:
    """Answers of a split; of train from the first block that is answered out of fold."""
    days = fitter.days.splits[split]
    return fitter.answers[module].on(days[days >= fitter.answers[module].days[0]])


def assert_same(one: Answers, two: Answers) -> None:
    np.testing.assert_array_equal(one.known, two.known)
    assert set(one.outputs) == set(two.outputs)
    for name, values in one.outputs.items():
        np.testing.assert_array_equal(values, two.outputs[name], err_msg=name)


def by_hand(walk: ChunkFitter, columns: Mapping[str, AnswerColumn], modules: tuple[str, ...]) -> dict[str, Answers]:
    """The frozen fits of ``modules`` on the test days, lowest first, each reading what the ones before it said."""
    days, found, given = walk.days.test, dict[str, Answers](), dict(columns)
    for name in modules:
        span = walk.store.span(days, walk.stack[name].reads, walk.assets, given)
        found[name] = walk.fitted[name].predict_many(span)
        part = Part(found[name], walk.assets, int(walk.days.train[-1]))
        given |= ModuleAnswers.assemble(name, days, walk.assets, [part], in_sample=False).columns()
    return found


def test_a_restored_walk_answers_as_it_did(walk: ChunkFitter) -> None:
    """The pair's other half: with nothing changed the frozen fits say what the run recorded."""
    for name in order(walk.stack, walk.silent):
        assert_same(by_hand(walk, walk.columns, (name,))[name], said(walk, name))
    new, answered = answered_again(walk, PLAN, PLAN)
    assert not answered
    assert all(new.answers[name] is given for name, given in walk.answers.items())


@pytest.mark.parametrize(
    ("module", "downstream"),
    [
        ("volatility", ("position_sizing", "quantitative", "fusion")),
        ("technical", ("position_sizing", "quantitative", "fusion")),
        ("var", ("fusion",)),
    ],
)
def test_silencing_is_predicting_with_silent_columns(walk: ChunkFitter, module: str, downstream: tuple[str, ...]) -> None:
    new, answered = answered_again(walk, PLAN, edited(stand_ins={module: "silent"}))
    assert answered == set(downstream)
    days = np.arange(walk.days.first, walk.days.last + 1)
    silent = {
        f"{module}.{output}": silent_column(output, days, walk.assets)
        for output in (*walk.answers[module].outputs, "known")
        if walk.answers[module].outputs.get(output, np.empty((0, 0))).ndim == 2
    }
    for name, answers in by_hand(walk, {**walk.columns, **silent}, downstream).items():
        assert_same(said(new, name), answers)
    assert not said(new, module).known.any()


def test_a_module_that_looks_back_reads_the_stand_in_on_earlier_days_too(walk: ChunkFitter) -> None:
    new, answered = answered_again(walk, PLAN, edited(stand_ins={"temporal_encoder": "shuffled"}))
    assert "technical" in answered
    columns = stood_in("shuffled", walk.answers["temporal_encoder"], walk.days, walk.store, PLAN.seed).columns()
    assert_same(said(new, "technical"), by_hand(walk, {**walk.columns, **columns}, ("technical",))["technical"])
    assert not np.array_equal(said(new, "technical").outputs["trend_raw"], said(walk, "technical").outputs["trend_raw"])


def test_what_others_look_back_on_is_answered_again_too(walk: ChunkFitter) -> None:
    column, days = "volume_ratio", walk.days.test  # which the encoder can do without
    new, answered = answered_again(walk, PLAN, edited(blank=(column,)))
    assert {"temporal_encoder", "technical"} <= answered
    blind = dataclasses.replace(walk, blank=(column,), columns=dict(walk.columns))
    before = np.arange(int(days[0]) - 29, int(days[-1]) + 1)  # 30 embeddings are read for each day
    encoded = walk.fitted["temporal_encoder"].predict_many(blind.span(walk.stack["temporal_encoder"], before, int(days[-1])))
    part = Part(encoded, walk.assets, int(walk.days.train[-1]))
    columns = ModuleAnswers.assemble("temporal_encoder", before, walk.assets, [part], in_sample=True).columns()
    blind.columns.update(columns)
    technical = walk.fitted["technical"].predict_many(blind.span(walk.stack["technical"], days, int(days[-1])))
    assert_same(said(new, "technical"), technical)
    assert technical.known.any()
    assert not np.array_equal(technical.outputs["trend_raw"], said(walk, "technical").outputs["trend_raw"], equal_nan=True)
    early = new.answers["temporal_encoder"].on(before)
    np.testing.assert_array_equal(early.outputs["embedding"], encoded.outputs["embedding"])


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_shuffled_module_says_the_same_things_within_each_split(walk: ChunkFitter, split: str) -> None:
    new, answered = answered_again(walk, PLAN, edited(stand_ins={"fusion": "shuffled"}))
    assert not answered
    one, two = said(walk, "fusion", split), said(new, "fusion", split)
    np.testing.assert_array_equal(one.known, two.known)
    rows = [Counter(row.tobytes() for row in _matrix(answers)) for answers in (one, two)]
    assert rows[0] == rows[1]
    assert not np.array_equal(_matrix(one), _matrix(two))


def _matrix(answers: Answers) -> AnyArray:
    """Known rows by output."""
    return np.stack([values[answers.known] for values in answers.outputs.values()], axis=1)


def test_a_frozen_module_repeats_its_last_answer_on_train(walk: ChunkFitter) -> None:
    new, _ = answered_again(walk, PLAN, edited(stand_ins={"volatility": "frozen"}))
    before, after = said(walk, "volatility", "train"), said(new, "volatility")
    for asset in range(len(walk.assets)):
        known = np.flatnonzero(before.known[:, asset])
        spoken = after.outputs["vol_10d"][after.known[:, asset], asset]
        assert set(spoken) <= ({before.outputs["vol_10d"][known[-1], asset]} if len(known) else set())
    assert after.known.any()


@pytest.mark.parametrize("column", ["macd_hist", "volatility.vol_10d", "liquidity.known", "month_start"])
def test_blanking_reaches_the_readers_and_nobody_beside_or_above(walk: ChunkFitter, column: str) -> None:
    new, answered = answered_again(walk, PLAN, edited(blank=(column,)))
    readers = {name for name, module in walk.stack.items() if column in {read.column for read in module.reads}}
    downstream = set(readers)
    for name in order(walk.stack, walk.silent):
        if upstream(name, walk.stack, walk.silent) & downstream:
            downstream.add(name)
    assert readers <= answered <= downstream
    assert readers, column
    for name in walk.stack:
        if name not in downstream:
            assert new.answers[name] is walk.answers[name]


def test_blanked_columns_are_missing_in_fits_and_answers_alike(walk: ChunkFitter) -> None:
    blank = dataclasses.replace(walk, blank=("macd_hist",))
    module = walk.stack["technical"]
    view = blank.train_view(module, walk.days.train)
    span = blank.span(module, walk.days.test, walk.days.last)
    for seen in (view, span):
        assert np.isnan(seen.block("macd_hist")).all()
        assert np.isfinite(seen.block("rsi_14")).any()
        assert not seen.block("macd_hist").flags.writeable
    other = blank.train_view(walk.stack["var"], walk.days.train)
    assert other.blocks.keys() == {"log_return_1d"}
    assert np.isfinite(other.block("log_return_1d")).any()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 8}, "seed"),
        ({"modules": {**PLAN.modules, "technical": {**PLAN.modules["technical"], "variant": "anchor"}}}, "technical"),
        ({"chunks": PLAN.chunks[:1]}, "chunks"),
        ({"silent": (*PLAN.silent, "var")}, "silent"),
    ],
)
def test_what_needs_other_fits_is_refused_at_inference(walk: ChunkFitter, change: dict[str, Any], words: str) -> None:
    with pytest.raises(PlanError, match=f"`?{words}.* inference"):
        answered_again(walk, PLAN, edited(**change))


def test_an_ablation_is_no_base(walk: ChunkFitter) -> None:
    base = edited(stand_ins={"var": "silent"})
    with pytest.raises(PlanError, match="ablation itself"):
        answered_again(walk, base, base)


def test_an_unknown_column_is_refused(run: Path, walk: ChunkFitter) -> None:
    for column in ("vol_10d", "technical.tremd_score", "news_count"):
        with pytest.raises(PlanError, match=column):
            ChunkFitter.of(edited(blank=(column,)), 1, walk.store, ArtefactStore(run / "artefacts"), "cpu")


def test_the_profile_moves_sizes_without_a_fit(walk: ChunkFitter) -> None:
    spec = AblationSpec(
        name="p", set="execution", edit="profile", target="aggressive", question="?", parts=("position_sizing",)
    )
    plan = dataclasses.replace(spec, value="aggressive").apply(PLAN)
    new, answered = answered_again(walk, PLAN, plan)
    assert "position_sizing" in answered
    one, two = (said(fitter, "position_sizing").outputs["max_single_stock_exposure"] for fitter in (walk, new))
    known = np.isfinite(one)
    np.testing.assert_allclose(two[known], 1.5 * one[known])


def test_a_rule_that_never_fired_can_be_left_unreplayed(run: Path) -> None:
    base = ablation_chunks._Base.of(run, PLAN, 1)
    left = []
    for rule in dict.fromkeys(rule.id for rule in RULES if rule.id not in ALWAYS_ON):
        plan = edited(rules=dataclasses.replace(PLAN.rules, disabled=(rule,)))
        if not base._on_same_terms(plan):
            continue
        left.append(rule)
        again = decide_split(plan, stack_scene(plan, base.walk, "test"))
        np.testing.assert_array_equal(again.book.equity, base.decided.book.equity)
        for one, two in zip(again.results, base.decided.results, strict=True):
            np.testing.assert_array_equal(one.final_recommendation, two.final_recommendation)
            np.testing.assert_array_equal(one.target_weight, two.target_weight)
    assert "RB-01" not in left
    assert {"RB-02", "RB-03", "RB-04"} <= set(left)


def test_lag_shifts_answers_within_the_split_and_starts_with_nothing(walk: ChunkFitter) -> None:
    now, late = (stack_scene(plan, walk, "test").inputs for plan in (PLAN, edited(lag=2)))
    assert not late.fusion_known[:2].any()
    for name in ("learned_fusion_signal", "recommended_capital_fraction", "quantitative_risk_score"):
        np.testing.assert_array_equal(getattr(late, name)[2:], getattr(now, name)[:-2])
    everything = stack_scene(edited(lag=10_000), walk, "test").inputs
    assert not everything.fusion_known.any()


def test_branches_stand_where_fusion_would(walk: ChunkFitter) -> None:
    answers = {name: given.on(walk.days.test) for name, given in walk.answers.items()}
    inputs = stack_scene(PLAN, walk, "test").inputs
    alone = POLICIES["quantitative_only"](inputs, answers)
    known, quantitative = alone.fusion_known, answers["quantitative"].outputs
    assert known.any()
    np.testing.assert_array_equal(
        alone.learned_fusion_signal[known], quantitative["risk_adjusted_quantitative_signal"][known]
    )
    np.testing.assert_array_equal(alone.learned_recommendation[known], quantitative["quantitative_recommendation"][known])
    assert (alone.learned_position_multiplier[known] == 1.0).all()
    equal = POLICIES["equal_weight"](inputs, answers)  # without text: the same branch by the same thresholds
    for field in dataclasses.fields(inputs):
        np.testing.assert_array_equal(getattr(equal, field.name), getattr(alone, field.name), err_msg=field.name)
    with pytest.raises(PlanError, match="silent in this plan"):
        POLICIES["qualitative_only"](inputs, answers)


def test_text_counts_half_where_there_is_text(walk: ChunkFitter) -> None:
    answers = {name: given.on(walk.days.test) for name, given in walk.answers.items()}
    inputs = stack_scene(PLAN, walk, "test").inputs
    shape = inputs.fusion_known.shape
    there = np.zeros(shape, dtype=bool)
    there[::2] = True
    outputs = {
        "qualitative_score": np.where(there, 1.0, np.nan),
        "qualitative_risk_score": np.where(there, 0.2, np.nan),
        "qualitative_confidence": np.where(there, 0.9, np.nan),
        "qualitative_recommendation": np.where(there, 2.0, np.nan),
    }
    text = Answers("qualitative", walk.days.test, outputs, there, np.where(there, 0, 5).astype(np.int8))
    mixed = POLICIES["equal_weight"](inputs, {**answers, "qualitative": text})
    own = answers["quantitative"].outputs["risk_adjusted_quantitative_signal"]
    known = mixed.fusion_known
    np.testing.assert_allclose(mixed.learned_fusion_signal[known & there], (own[known & there] + 1.0) / 2.0)
    np.testing.assert_array_equal(mixed.learned_fusion_signal[known & ~there], own[known & ~there])
    alone = POLICIES["qualitative_only"](inputs, {**answers, "qualitative": text})
    assert (alone.learned_recommendation[known & there] == 2.0).all()
    assert (alone.learned_recommendation[known & ~there] == 1.0).all()  # no text: hold


def test_no_single_day_is_decided_by_an_ablation(run: Path, walk: ChunkFitter) -> None:
    for change in ({"lag": 1}, {"policy": "formula_only"}, {"blank": ("macd_hist",)}, {"stand_ins": {"var": "silent"}}):
        with pytest.raises(PlanError, match="ablation"):
            decide_day(edited(**change), walk.store, run, 1, int(walk.days.test[0]), {})


def test_who_cannot_be_fitted_without_a_part_abstains_and_says_so(run: Path, tmp_path: Path) -> None:
    """Retrained without embeddings whoever reads them has no row to learn from, and everything above falls silent."""
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    specs = [
        AblationSpec(
            name=name, set="modules", edit="silent", target=name, question="?", depth="retrained", parts=(name, *more)
        )
        for name, more in (("temporal_encoder", ()), ("technical", ("temporal_encoder",)))
    ]
    share = ablated(copy, PLAN, extra=specs)
    table = pd.read_parquet(copy / "ablations" / "equity.parquet")
    assert (table["exposure"] == 0.0).all()
    entries = {one["name"]: one for one in json.loads((copy / "ablations" / "variants.json").read_text())}
    told = [words for words in entries["temporal_encoder"]["notes"] if "cannot be fitted" in words]
    silent = ("technical", "volatility", "quantitative", "fusion")
    assert told == [
        f"chunk {chunk}: {name} cannot be fitted without what was taken away, so it abstains."
        for chunk in (1, 2)
        for name in silent
    ]
    assert not set(silent) & set(share["variants"]["temporal_encoder"]["modules"])


def test_stand_ins_reach_train_days_when_the_rest_is_fitted_again(run: Path, walk: ChunkFitter, tmp_path: Path) -> None:
    artefacts = ArtefactStore(Path(shutil.copytree(run / "artefacts", tmp_path / "artefacts")))
    plan = edited(stand_ins={"technical": "shuffled"})
    fitter = ChunkFitter.of(plan, 1, walk.store, artefacts, "cpu")
    records = {record.module: record for record in fitter.run(quiet)}
    expected = stood_in("shuffled", walk.answers["technical"], walk.days, walk.store, PLAN.seed)
    for split in ("train", "val", "test"):
        days = walk.days.splits[split]
        assert_same(said(fitter, "technical", split), expected.on(days[days >= expected.days[0]]))
    assert all(fit["cached"] for fit in records["technical"].fits)
    assert not any(fit["cached"] for fit in records["fusion"].fits)
    table = fitter.table("technical", "test")
    known = said(fitter, "technical").known
    assert len(table) == int(walk.store.member[np.ix_(walk.days.test, walk.assets)].sum())
    np.testing.assert_array_equal(
        np.sort(table["trend_raw"].dropna()), np.sort(said(fitter, "technical").outputs["trend_raw"][known])
    )
    assert table["xai_summary"].str.startswith("Control:").all()


def test_every_chunk_is_restored(run: Path) -> None:
    manifest = Manifest.open(run)
    assert manifest is not None
    walks = list(restored_walks(run, manifest.content, PLAN, open_run_store(run, manifest.content)))
    assert [one.days.number for one in walks] == [1, 2]


@pytest.mark.slow
def test_every_edit_can_be_retrained(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    edits: dict[str, Any] = {
        "frozen": {"parts": ("volatility",)},
        "shuffled": {"parts": ("cvar",)},
        "blank": {"parts": ("volume_ratio",)},
        "baseline": {"parts": ("fusion",), "value": "anchor"},
        "seed": {"value": 8},
        "lag": {"value": 1},
        "rule": {"parts": ("RB-01",)},
    }
    specs = [
        AblationSpec(name=edit, set="controls", edit=edit, target=edit, question="?", depth="retrained", **how)
        for edit, how in edits.items()
    ]
    share = ablated(copy, PLAN, extra=specs)
    made = {
        edit: {name for name, counts in share["variants"][edit]["modules"].items() if counts["fits_made"]} for edit in edits
    }
    learned = {"technical", "quantitative", "fusion"}
    assert made == {
        "frozen": {"quantitative", "fusion"},
        "shuffled": {"quantitative", "fusion"},
        "blank": {"temporal_encoder", *learned},
        "baseline": {"fusion"},
        "seed": {"temporal_encoder", *learned},
        "lag": set(),
        "rule": set(),
    }
