"""The tiny plan with the text branch on: synthetic names that headlines speak of, and one finished run of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from glassbox_bt.cli.job import JobSettings, main_job
from glassbox_bt.plan import read_plan
from tests.flow.shared import shared
from tests.flow.tiny import NETWORK, tiny_plan

__all__ = ["TEXT", "texty_plan", "texty_run"]

TEXT: dict[str, Any] = {  # what differs from the tiny plan
    "name": "texty",
    "title": "Tiny plan with text",
    "question": "Does the way from words to a view work?",
    "silent": ["drawdown", "contagion", "regime"],
    "strategies": ["strategies:BuyAndHold"],
    "market": {
        "source": "synthetic?seed=5&n_names=12&first=2015-01-02&last=2019-12-31&edge=0.05&text_edge=0.3&halts=2&delistings=1"
    },
    "statistics": {"n_boot": 200},
    "ablations": {"sets": ["text"]},
    "modules": {
        "temporal_encoder": {"rows_share": 0.1},
        "technical": {"variant": "anchor"},
        "garch": {"refit_months": 12},
        "text_encoder": {"engine": "hashed-words", "components": 8},
        "sentiment": {"hidden": 8, "representation": 4, "min_documents": 30, **NETWORK},
        "news": {
            **{"width": 16, "hidden": 16, "narrow": 8, "representation": 8, "min_documents": 30, **NETWORK},
        },
        "qualitative": {"hidden": 8, "min_rows": 50, **NETWORK},
    },
}


def texty_plan(folder: Path, **changes: Any) -> Path:
    """Write ``folder/plan.toml`` with everything of `TEXT` and then ``changes``; its path."""
    return tiny_plan(folder, **{**TEXT, **changes})


def texty_run(base: Path) -> tuple[Path, Path]:
    """A plan and its finished run, to be read only; ``base`` is the test session's temporary folder."""

    def make(folder: Path) -> None:
        settings = JobSettings(out=folder / "run", workers=1, tearsheets=False, audits=False)
        main_job(read_plan(texty_plan(folder)), settings, lambda _what, _share: None)

    folder = shared(base, "texty", make)
    return folder / "plan.toml", folder / "run"
