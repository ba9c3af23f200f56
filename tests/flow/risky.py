"""The tiny plan with the whole risk engine on: sixteen synthetic names that pass shocks on, and one finished run of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from glassbox_bt.cli.job import JobSettings, main_job
from glassbox_bt.plan import read_plan
from tests.flow.shared import shared
from tests.flow.tiny import NETWORK, tiny_plan

__all__ = ["LEARNED_RISKS", "RISK", "risky_plan", "risky_run"]

LEARNED_RISKS = ("volatility", "drawdown", "contagion", "regime")

RISK: dict[str, Any] = {  # what differs from the tiny plan
    "name": "risky",
    "title": "Tiny plan with the whole risk engine",
    "question": "Do all six risks reach sizing?",
    "silent": ["text_encoder", "sentiment", "news", "qualitative"],
    "strategies": ["strategies:BuyAndHold"],
    "market": {
        "source": (
            "synthetic?seed=5&n_names=16&first=2015-01-02&last=2019-12-31&edge=0.1&halts=3&delistings=1&splits=1"
            "&tail_shocks=0.01&contagion=0.4&text=false"
        )
    },
    "statistics": {"n_boot": 200},
    "modules": {
        "temporal_encoder": {"rows_share": 0.1},
        "technical": {"variant": "anchor"},
        "garch": {"refit_months": 12},
        "volatility": {"variant": "anchored", "hidden": 4, **NETWORK},
        "drawdown": {"cell": "gru", "hidden": 4, "attention": 4, "rows_share": 0.3, **NETWORK},
        "contagion": {
            **{"memory": 252, "min_names": 8, "fewest_neighbours": 5, "hidden": 4, "terms": 3, "multi": 1, "blocks": 1},
            **{"dropout": 0.1, "shuffles": 9, "batch_size": 32, "learning_rate": 1e-2, "rows_share": 0.5},
            **{"epochs": 2, "patience": 2},  # two epochs, so that training can be cut between them
        },
        "regime": {
            **{"min_names": 8, "min_points": 60, "node": 8, "graph": 4, "classifier": 8, "fewest_neighbours": 2},
            **{"batch_size": 32, "learning_rate": 1e-2, "epochs": 2, "patience": 2},
        },
    },
}


def risky_plan(folder: Path, **changes: Any) -> Path:
    """Write ``folder/plan.toml`` with everything of `RISK` and then ``changes``; its path."""
    return tiny_plan(folder, **{**RISK, **changes})


def risky_run(base: Path) -> tuple[Path, Path]:
    """A plan and its finished run, to be read only; ``base`` is the test session's temporary folder."""

    def make(folder: Path) -> None:
        settings = JobSettings(out=folder / "run", workers=1, tearsheets=False, audits=False)
        main_job(read_plan(risky_plan(folder)), settings, lambda _what, _share: None)

    folder = shared(base, "risky", make)
    return folder / "plan.toml", folder / "run"
