"""Every module keeps every promise of `glassbox_bt.modules.base`, on a tiny market and made-up answers below it."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from glassbox_bt.market.documents import TextColumn
from glassbox_bt.market.store import Column, MarketStore
from glassbox_bt.modules.base import Candidate, FitContext, FittedModule, Module, ModuleState, predict
from glassbox_bt.modules.stand_ins import Silent
from glassbox_bt.types import Answers, AnyArray, IntArray, Reason
from tests.builders import tiny_store
from tests.contracts.catalogue import MODULES
from tests.contracts.text import TEXT_MODULES, cut_after, poisoned_text, unwritten, with_text
from tests.contracts.upstream import SILENT, upstream

TRAIN = np.arange(150, 330, dtype=np.int64)
LATER = np.arange(335, 400, dtype=np.int64)
LABEL_LIKE = re.compile(r"^(target|true|future|forward|label|excess)_")


def ident(module: Module) -> str:
    variant = getattr(module, "variant", getattr(module, "form", ""))
    learned = "" if module.learns_from or not variant else "-rule"
    return f"{module.name}-{variant}{learned}" if variant else module.name


each_module = pytest.mark.parametrize("module", MODULES, ids=ident)


@cache
def market() -> MarketStore:
    return with_text(tiny_store(n_sessions=400, n_assets=6, seed=3), seed=3)


@cache
def columns(name: str) -> Mapping[str, Column]:
    reads = [read for one in MODULES if one.name == name for read in one.reads]
    return upstream(market(), reads, seed=5, silent=tuple(one for one in SILENT if one not in TEXT_MODULES))


def assets() -> IntArray:
    return market().assets_until(0, market().n_sessions - 1)


class PowerCutError(Exception):
    """In the middle of a fit."""


def trains(module: Module) -> bool:
    """Whether a network is trained, epoch by epoch."""
    variant = getattr(module, "variant", "")
    return variant in ("anchored", "network") or (module.name == "temporal_encoder" and variant != "untrained")


def fit(module: Module, store: MarketStore, answers: Mapping[str, Column], **asked: Any) -> Candidate:
    days = TRAIN if module.learns_from or module.self_supervised else TRAIN[:1]
    train = store.train_view(days, module.reads, module.learns_from, assets(), answers)
    context = FitContext(seed=11, module=module.name, chunk=1, fold=2, **asked)
    return module.select(module.fit(train, context), None)


FITS: dict[str, FittedModule] = {}


def fitted(module: Module) -> FittedModule:
    key = ident(module)
    if key not in FITS:
        FITS[key] = fit(module, market(), columns(module.name)).fitted
    return FITS[key]


def ask(module: Module, days: IntArray, order: IntArray | None = None) -> Answers:
    which = assets() if order is None else order
    span = market().span(days, module.reads, which, columns(module.name))
    return fitted(module).predict_many(span)


def same(one: Answers, other: Answers) -> None:
    np.testing.assert_array_equal(one.known, other.known)
    np.testing.assert_array_equal(one.reason, other.reason)
    np.testing.assert_array_equal(one.days, other.days)
    assert (one.rows is None) == (other.rows is None)
    if one.rows is not None and other.rows is not None:
        np.testing.assert_array_equal(one.rows, other.rows)
    assert one.outputs.keys() == other.outputs.keys()
    for name, values in one.outputs.items():
        np.testing.assert_array_equal(values, other.outputs[name], err_msg=name)


def picked(answers: Answers, rows: Any, order: Any = slice(None)) -> Answers:
    """The answers of some of the days, by their number among `LATER`; to documents, those that belong to them."""
    if answers.rows is not None:
        mine = np.isin(answers.days, LATER[rows])
        outputs = {name: values[mine] for name, values in answers.outputs.items()}
        known, reason = answers.known[mine], answers.reason[mine]
        return Answers(answers.module, answers.days[mine], outputs, known, reason, answers.kind, answers.rows[mine])
    return Answers(
        answers.module,
        answers.days[rows],
        {name: values[rows][:, order] for name, values in answers.outputs.items()},
        answers.known[rows][:, order],
        answers.reason[rows][:, order],
        answers.kind,
    )


@each_module
def test_the_shape_of_a_module(module: Module) -> None:
    assert isinstance(module, Module)
    assert isinstance(fitted(module), FittedModule)
    assert fitted(module).name == module.name
    assert len(set(module.outputs)) == len(module.outputs) > 0
    assert not [name for name in module.outputs if LABEL_LIKE.match(name)]
    assert set(getattr(module, "vocabulary", {})) <= set(module.outputs)


@each_module
def test_answers_hold_the_declared_outputs_and_know_something(module: Module) -> None:
    answers = ask(module, LATER)
    assert set(answers.outputs) <= set(module.outputs)
    if not isinstance(module, Silent):
        assert answers.known.any()
    for name, words in getattr(module, "vocabulary", {}).items():
        codes = answers.outputs[name][answers.known]
        assert set(np.unique(codes)) <= set(range(len(words))), name


@each_module
def test_fitting_again_gives_the_same_bytes_even_if_it_was_interrupted(module: Module, tmp_path: Path) -> None:
    before = dataclasses.asdict(module)  # type: ignore[call-overload]
    cuts: list[float] = []

    def cut(share: float) -> None:
        if not cuts and share < 1.0:
            cuts.append(share)
            raise PowerCutError

    try:
        again = fit(module, market(), columns(module.name), checkpoints=tmp_path, progress=cut)
    except PowerCutError:
        assert (tmp_path / "latest.safetensors").exists()
        again = fit(module, market(), columns(module.name), checkpoints=tmp_path)
    assert bool(cuts) == trains(module)
    state, other = fitted(module).state(), again.fitted.state()
    assert state.facts == other.facts
    assert state.arrays.keys() == other.arrays.keys()
    for name, values in state.arrays.items():
        np.testing.assert_array_equal(values, other.arrays[name], err_msg=name)
    assert dataclasses.asdict(module) == before  # type: ignore[call-overload]


@each_module
def test_settings_are_frozen(module: Module) -> None:
    field = dataclasses.fields(module)[0].name  # type: ignore[arg-type]
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(module, field, None)


@each_module
def test_answers_do_not_see_the_future(module: Module) -> None:
    today = LATER[:20]
    span = poisoned_market(int(today[-1])).span(
        today, module.reads, assets(), poisoned(columns(module.name), int(today[-1]))
    )
    same(fitted(module).predict_many(span), ask(module, today))


@each_module
def test_a_fit_does_not_see_the_future(module: Module) -> None:
    cut = int(TRAIN[-1])
    after = fit(module, poisoned_market(cut), poisoned(columns(module.name), cut)).fitted.state()
    for name, values in fitted(module).state().arrays.items():
        np.testing.assert_array_equal(values, after.arrays[name], err_msg=name)


@each_module
def test_one_day_equals_many_days(module: Module) -> None:
    many = ask(module, LATER)
    for row in (0, 7, len(LATER) - 1):
        view = market().view(int(LATER[row]), module.reads, assets(), columns(module.name))
        one, same_day = predict(fitted(module), view), picked(many, [row])
        np.testing.assert_array_equal(np.atleast_2d(one.known), np.atleast_2d(same_day.known))
        for name, values in one.outputs.items():
            np.testing.assert_array_equal(values.ravel(), same_day.outputs[name].ravel(), err_msg=name)


@each_module
def test_a_subset_of_days_gets_the_same_answers(module: Module) -> None:
    rows = np.r_[2:9, 20:60:3]
    same(ask(module, LATER[rows]), picked(ask(module, LATER), rows))


@each_module
def test_the_order_of_assets_does_not_matter(module: Module) -> None:
    order = np.random.default_rng(1).permutation(len(assets()))
    same(ask(module, LATER, assets()[order]), picked(ask(module, LATER), slice(None), order))


@each_module
def test_it_abstains_outside_the_universe(module: Module) -> None:
    if module.name == "temporal_encoder" or isinstance(module, Silent):
        pytest.skip("the encoder answers every usable row; a silent module says that it is silent")
    member = market().columns["member"].copy()
    member[LATER[0] :, 2] = False
    store = with_columns(market(), {"member": member})
    answers = fitted(module).predict_many(store.span(LATER, module.reads, assets(), columns(module.name)))
    if module.kind == "document":  # what a text says does not depend on who is in the universe
        same(answers, ask(module, LATER))
        return
    assert not answers.known[:, 2].any()
    assert np.all(answers.reason[:, 2] == Reason.NOT_A_MEMBER)


@each_module
def test_it_abstains_where_its_inputs_are_missing(module: Module) -> None:
    if not module.reads:
        pytest.skip("reads nothing")
    store = with_columns(
        market(),
        {
            name: silenced(values)
            for name, values in market().columns.items()
            if name != "member" and values.dtype.kind == "f"
        },
    )
    missing = {name: silenced_answer(column) for name, column in columns(module.name).items()}
    span = unwritten(store, 0).span(LATER, module.reads, assets(), missing)
    answers = fitted(module).predict_many(span)
    mine: Any = (slice(None), 0)
    if module.kind == "document":
        mine = span.text.asset[span.asked] == 0
        assert answers.known[~mine].any()
    assert not answers.known[mine].any()
    for name, values in answers.outputs.items():
        assert np.isnan(values[mine]).all(), name


@each_module
def test_a_state_comes_back_bit_for_bit(module: Module, tmp_path: Path) -> None:
    same(through_files(module, fitted(module), tmp_path).predict_many(later(module)), ask(module, LATER))


@each_module
def test_a_reference_moves_ranks_and_nothing_else(module: Module, tmp_path: Path) -> None:
    refer: Callable[[Answers], FittedModule] | None = getattr(fitted(module), "with_reference", None)
    if refer is None:
        pytest.skip("meets no rule on rank scale")
    before = ask(module, LATER)
    frozen = refer(before)
    after = frozen.predict_many(later(module))
    np.testing.assert_array_equal(before.known, after.known)
    for name in before.outputs:
        if name.endswith(("_raw", "_prob", "_standing")):
            np.testing.assert_array_equal(before.outputs[name], after.outputs[name], err_msg=name)
    same(through_files(module, frozen, tmp_path).predict_many(later(module)), after)


@each_module
def test_every_row_is_explained_in_plain_words(module: Module) -> None:
    answers = ask(module, LATER)
    texts = fitted(module).explain(later(module), answers)
    assert texts.shape == answers.known.shape
    for text in set(texts.ravel()):
        assert text.isascii(), text
        assert 8 <= len(text.split()) <= 60, text
        assert not re.search(r"\b(nan|None)\b|[a-z]_[a-z]", text), text


def later(module: Module) -> Any:
    return market().span(LATER, module.reads, assets(), columns(module.name))


def through_files(module: Module, one: FittedModule, folder: Path) -> FittedModule:
    """Saved as the run folder saves it, and read back."""
    state = one.state()
    arrays = {name: np.ascontiguousarray(values) for name, values in state.arrays.items()}
    save_file(arrays, folder / "state.safetensors")
    facts = json.loads(json.dumps(state.facts))
    return module.restore(ModuleState(load_file(folder / "state.safetensors"), facts))


def silenced(values: AnyArray) -> AnyArray:
    """Asset 0 was never observed."""
    out = values.astype(values.dtype, copy=True)
    if out.ndim > 1:
        out[:, 0] = np.nan
    return out


def silenced_answer(column: Column) -> Column:
    """Nothing was ever answered about asset 0."""
    if not isinstance(column, TextColumn):
        return dataclasses.replace(column, values=silenced(column.values))
    values = np.array(column.values)
    values[market().text.frame["asset"].to_numpy()[column.rows] == 0] = np.nan
    return dataclasses.replace(column, values=values)


@cache
def poisoned_market(last: int) -> MarketStore:
    """Nonsense in every column and text after ``last``, and in every label that is known later than it."""
    store = with_columns(market(), {n: nonsense(v, last) for n, v in market().columns.items()})
    store = cut_after(store, last, body="nobody could have read this by then")
    cut = store.decided_at[last]
    labels = {}
    for name, label in store.labels.items():
        values = label.values.copy()
        values[~(label.known_at <= cut)] = 1e3
        labels[name] = dataclasses.replace(label, values=values)
    return dataclasses.replace(store, labels=labels)


def poisoned(answers: Mapping[str, Column], last: int) -> dict[str, Column]:
    return {
        name: poisoned_text(column, poisoned_market(last), last)
        if isinstance(column, TextColumn)
        else dataclasses.replace(column, values=nonsense(column.values, last))
        for name, column in answers.items()
    }


def nonsense(values: AnyArray, last: int) -> AnyArray:
    out = values.copy()
    out[last + 1 :] = True if out.dtype == np.bool_ else 1e6
    return out


def with_columns(store: MarketStore, changed: Mapping[str, AnyArray]) -> MarketStore:
    return dataclasses.replace(store, columns={**store.columns, **changed})
