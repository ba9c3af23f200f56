"""`experiments/full`: the specification's sizes, read and set in motion once; a whole run wants a GPU."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glassbox_bt.market.store import AnswerColumn, MarketStore
from glassbox_bt.modules.base import FitContext, Module
from glassbox_bt.plan import Plan, load_stack, load_strategies, read_plan
from glassbox_bt.types import IntArray
from tests.builders import tiny_store

FULL = Path(__file__).parents[1] / "experiments" / "full" / "plan.toml"
SPEC: dict[str, dict[str, Any]] = {
    "temporal_encoder": {  # section 6
        **{"width": 128, "layers": 4, "heads": 4, "feed_forward": 512, "dropout": 0.1, "attention_dropout": 0.1},
        **{"sessions": 30, "mask_share": 0.15, "learning_rate": 1e-4, "weight_decay": 1e-5, "clip": 1.0},
        **{"batch_size": 256, "epochs": 100, "patience": 20},
    },
    "technical": {  # section 10
        **{"cell": "lstm", "hidden": 64, "layers": 1, "attention": 64, "dropout": 0.2, "sessions": 30},
        **{"learning_rate": 1e-3, "weight_decay": 1e-5, "batch_size": 512, "epochs": 50, "patience": 10, "clip": 1.0},
    },
    "volatility": {  # section 11
        **{"hidden": 64, "dropout": 0.2, "batch_size": 512, "epochs": 50, "learning_rate": 1e-3, "patience": 15},
    },
    "drawdown": {  # section 12
        **{"cell": "lstm", "hidden": 64, "layers": 1, "attention": 64, "dropout": 0.2, "sessions": 30, "batch_size": 512},
        **{"epochs": 50, "learning_rate": 1e-3, "weight_decay": 1e-5, "patience": 10, "clip": 1.0},
    },
    "contagion": {  # section 16
        **{"window": 30, "terms": 4, "blocks": 2, "multi": 13, "dropout": 0.75, "slope": 0.2, "learning_rate": 1e-3},
        **{"batch_size": 8, "epochs": 100, "patience": 20, "clip": 1.0},
    },
    "regime": {  # section 17
        **{"node": 128, "graph": 64, "classifier": 64, "dropout": 0.2, "learning_rate": 1e-3, "weight_decay": 1e-5},
        **{"epochs": 80, "patience": 15, "clip": 1.0},
    },
    "quantitative": {  # section 20
        **{"attention": 32, "hidden": 64, "layers": 2, "dropout": 0.15, "learning_rate": 1e-3},
        **{"batch_size": 1024, "epochs": 40, "patience": 6},
    },
    "fusion": {  # section 21.1
        **{"hidden": 96, "layers": 2, "dropout": 0.15, "learning_rate": 1e-3, "weight_decay": 1e-5},
        **{"batch_size": 2048, "epochs": 40, "patience": 6},
    },
}
LAYERS = ("temporal_encoder", "technical", "volatility", "drawdown", "quantitative", "fusion")
TRAIN = np.arange(100, 280, dtype=np.int64)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return read_plan(FULL)


def test_it_is_not_reduced_and_changes_no_size(plan: Plan) -> None:
    assert not plan.reduced
    assert plan.modules == {}
    assert len(plan.chunks) == 3
    assert [strategy.name for strategy in load_strategies(plan)] == [
        *("cash", "buy_and_hold", "monthly_1n", "momentum_12_1", "inverse_volatility"),
    ]


@pytest.mark.parametrize("name", SPEC)
def test_its_sizes_are_those_of_the_specification(plan: Plan, name: str) -> None:
    module = load_stack(plan)[name]
    assert {key: getattr(module, key) for key in SPEC[name]} == SPEC[name]


def one_epoch(module: Module) -> Any:
    """The module at its full size, for one epoch on few rows."""
    names = {field.name for field in fields(module)}  # type: ignore[arg-type]
    short = {"epochs": 1, "patience": 1, "batch_size": 64, "rows_share": 0.25}
    return replace(module, **{name: value for name, value in short.items() if name in names})  # type: ignore[type-var]


def offered(store: MarketStore, module: Module, seed: int) -> dict[str, AnswerColumn]:
    """What the modules below would have said: noise in [0, 1], known everywhere."""
    rng = np.random.default_rng(seed)
    days: IntArray = np.arange(store.n_sessions, dtype=np.int64)
    assets: IntArray = np.arange(store.n_assets, dtype=np.int64)
    never = np.full(store.n_sessions, -1, dtype=np.int64)
    columns = {}
    for read in module.reads:
        if "." in read.column and not read.column.startswith("macro."):
            shape = (store.n_sessions, store.n_assets)
            values = (
                np.ones(shape) if read.column.endswith(("known", "available")) else np.round(rng.uniform(0.0, 1.0, shape), 6)
            )
            if read.column == "temporal_encoder.embedding":
                values = rng.standard_normal((*shape, 128)).astype(np.float32)
            if read.column in CODES:
                values = np.zeros(shape)
            columns[read.column] = AnswerColumn(days, assets, values, never)
    return columns


CODES = (  # words by number: the first of each list
    *("quantitative.quantitative_recommendation", "quantitative.top_attention_risk_driver"),
    *("quantitative.top_delta_risk_driver", "position_sizing.regime_label", "regime.regime_label_id"),
)


@pytest.mark.parametrize("name", LAYERS)
def test_one_step_at_full_size(plan: Plan, name: str) -> None:
    module = one_epoch(load_stack(plan)[name])
    store = tiny_store(n_sessions=320, n_assets=4, seed=4)
    columns = offered(store, module, seed=5)
    assets: IntArray = np.arange(store.n_assets, dtype=np.int64)
    train = store.train_view(TRAIN, module.reads, module.learns_from, assets, columns)
    candidate = module.select(module.fit(train, FitContext(7, name, 1, 5)), None)
    span = store.span(np.arange(281, 283, dtype=np.int64), module.reads, assets, columns)
    answers = candidate.fitted.predict_many(span)
    assert answers.known.any()
    again = module.restore(candidate.fitted.state()).predict_many(span)
    for output, values in answers.outputs.items():
        np.testing.assert_array_equal(values, again.outputs[output])
    assert int(candidate.summary["n_parameters"]) > PARAMETERS[name]


PARAMETERS = {  # at least
    **{"temporal_encoder": 700_000, "technical": 90_000, "volatility": 8_000, "drawdown": 90_000, "quantitative": 7_000},
    "fusion": 25_000,
}
