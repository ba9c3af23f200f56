"""A plan whose whole job takes seconds: eight synthetic names, small networks, one chunk (or two)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["CHUNKS", "TWO_CHUNKS", "tiny_plan", "tiny_table"]

SOURCE = "synthetic?seed=11&n_names=8&first=2016-01-04&last=2019-12-31&edge=0.15&halts=3&delistings=1&splits=1"

CHUNKS: list[dict[str, Any]] = [
    {
        "train": ["2017-01-01", "2018-12-31"],
        "validation": ["2019-01-01", "2019-04-30"],
        "test": ["2019-05-01", "2019-08-31"],
    },
]
TWO_CHUNKS = [
    *CHUNKS,
    {
        "train": ["2017-01-01", "2018-12-31"],
        "validation": ["2019-01-01", "2019-04-30"],
        "test": ["2019-09-01", "2019-12-31"],
    },
]

NETWORK = {"epochs": 1, "patience": 1}

TABLE: dict[str, Any] = {
    "name": "tiny",
    "title": "Tiny plan of the tests",
    "question": "Does the whole job run?",
    "seed": 7,
    "reduced": True,
    "silent": ["text_encoder", "sentiment", "news", "qualitative", "drawdown", "contagion", "regime"],
    "strategies": ["strategies:BuyAndHold", "strategies:Momentum"],
    "market": {"source": SOURCE, "universe": {"min_observed": 60, "window": 120}},
    "chunks": CHUNKS,
    "modules": {
        "temporal_encoder": {
            **{"width": 8, "layers": 1, "heads": 2, "feed_forward": 16, "dropout": 0.0, "attention_dropout": 0.0},
            **{"batch_size": 256, "learning_rate": 2e-3, "rows_share": 0.3, **NETWORK},
        },
        "technical": {"cell": "gru", "hidden": 4, "attention": 4, "rows_share": 0.3, **NETWORK},
        "volatility": {"variant": "anchor"},
        "garch": {"window": 260, "min_observed": 200, "refit_months": 6},
        "quantitative": {"hidden": 8, "attention": 8, **NETWORK},
        "fusion": {"hidden": 8, **NETWORK},
    },
}


def tiny_plan(folder: Path, **changes: Any) -> Path:
    """Write ``folder/plan.toml`` and return its path.

    A keyword replaces a key of the plan; tables are merged, so ``modules={"fusion": {"epochs": 2}}`` changes one setting.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "plan.toml"
    path.write_text(_toml(tiny_table(**changes)), encoding="utf-8")
    return path


def tiny_table(**changes: Any) -> dict[str, Any]:
    """The plan as `plan_from` takes it."""
    return _merged(TABLE, changes)


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(base)
    for key, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(out.get(key), Mapping)
        out[key] = _merged(out[key], value) if both else value
    return out


def _toml(table: Mapping[str, Any], place: str = "") -> str:
    """Plain values first, then tables: all that a plan needs of TOML."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in table.items() if not _is_table(value)]
    for key, value in table.items():
        name = f"{place}{key}"
        if isinstance(value, Mapping):
            lines += [f"\n[{name}]", _toml(value, f"{name}.")]
        elif _is_table(value):
            lines += [f"\n[[{name}]]\n{_toml(one, f'{name}.')}" for one in value]
    return "\n".join(lines) + "\n"


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, list) and bool(value) and isinstance(value[0], Mapping))
