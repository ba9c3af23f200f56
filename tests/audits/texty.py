"""A tiny run with the branch of text on: short and long documents, an engine that needs no download, small networks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from glassbox_bt.cli.job import JobSettings, main_job
from glassbox_bt.market.sources.folder import write_folder
from glassbox_bt.market.sources.synthetic import SyntheticMarket
from glassbox_bt.plan import read_plan
from tests.flow.shared import shared
from tests.flow.tiny import NETWORK, tiny_plan

__all__ = ["TEXT", "texty_plan", "texty_run"]

WORDS = {
    1: ("profit", "record", "wins", "raises", "strong", "upgrade"),
    -1: ("loss", "lawsuit", "cuts", "weak", "misses", "downgrade"),
    0: ("company", "quarter", "shares", "market", "today", "report", "plant", "chief"),
}
TEXT: dict[str, Any] = {  # what differs from the tiny plan
    "name": "texty",
    "title": "Tiny plan with the branch of text",
    "question": "Do words reach the decision, and only where there are words?",
    "stack": "tests.audits.texty_stack:stack",
    "silent": ["drawdown", "contagion", "regime"],
    "strategies": ["strategies:BuyAndHold"],
    "statistics": {"n_boot": 200},
    "modules": {
        "temporal_encoder": {"rows_share": 0.1},
        "technical": {"variant": "anchor"},
        "garch": {"refit_months": 12},
        "text_encoder": {"engine": "hashed-words", "components": 8},
        "sentiment": {"min_documents": 60, "hidden": 8, "representation": 8, **NETWORK},
        "news": {
            **{"min_documents": 60, "width": 8, "hidden": 8, "narrow": 8, "representation": 8, "counterfactuals": 50},
            **NETWORK,
        },
        "qualitative": {"min_rows": 60, "hidden": 8, **NETWORK},
        "fusion": {"hidden": 8, **NETWORK},
    },
}


def texty_plan(folder: Path, **changes: Any) -> Path:
    """Write a market folder and ``folder/plan.toml`` with everything of `TEXT` and then ``changes``; the plan's path."""
    market = SyntheticMarket(
        seed=11, n_names=8, first="2016-01-04", last="2019-12-31", edge=0.15, halts=3, delistings=1, splits=1, text=False
    ).raw()
    write_folder(dataclasses.replace(market, news=_news(market.prices), truth=None), folder / "market")
    source = {"source": str(folder / "market"), "universe": {"min_observed": 60, "window": 120}}
    return tiny_plan(folder, **{**TEXT, "market": source, **changes})


def texty_run(base: Path) -> tuple[Path, Path]:
    """A plan and its finished run, to be read only; ``base`` is the test session's temporary folder."""

    def make(folder: Path) -> None:
        settings = JobSettings(out=folder / "run", workers=1, tearsheets=False, audits=False)
        main_job(read_plan(texty_plan(folder)), settings, lambda _what, _share: None)

    folder = shared(base, "texty_audited", make)
    return folder / "plan.toml", folder / "run"


def _news(prices: pd.DataFrame) -> pd.DataFrame:
    """Documents at any hour of any day, one in eight of several chunks, one in ten about the market, some of a day only."""
    rng = np.random.default_rng(5)
    names, days = sorted(set(prices["ticker"])), np.sort(prices["date"].unique())
    first, n_days = np.datetime64(days[0], "D"), int((days[-1] - days[0]) / np.timedelta64(1, "D"))
    rows: list[dict[str, str]] = []
    for number, day in enumerate(np.sort(rng.integers(0, n_days, 1400))):
        date = first + np.timedelta64(int(day), "D")
        moment = f"{date}T{rng.integers(0, 24):02d}:{rng.integers(0, 60):02d}:00Z" if rng.random() < 0.9 else str(date)
        ticker = str(rng.choice(names)) if rng.random() < 0.9 else ""
        n_words = int(rng.integers(360, 1100)) if rng.random() < 0.125 else int(rng.integers(6, 25))
        text = "company report today again" if rng.random() < 0.02 else " ".join(_words(rng, n_words))
        rows.append({"doc_id": f"d{number}", "ticker": ticker, "published_at": moment, "source": "wire", "text": text})
    return pd.DataFrame(rows)


def _words(rng: np.random.Generator, n: int) -> Iterator[str]:
    sign = int(rng.choice([-1, 1]))
    for _ in range(n):
        yield str(rng.choice(WORDS[sign] if rng.random() < 0.3 else WORDS[0]))
