"""Fit and answer a tiny plan as a bare GPU box would: plotting, reports and second bookkeepers cannot be imported.

    python -m tests.gpu.bare cuda FOLDER

Prints one JSON line: the device, the modules fitted, and which unwanted libraries were loaded.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

__all__ = ["ABSENT", "fit_and_answer"]

ABSENT = (
    *("vectorbt", "quantstats", "matplotlib", "plotly", "seaborn", "jinja2", "typer", "rich", "skfolio", "playwright"),
    *("transformers", "torch_geometric", "ray", "optuna"),
)


class _Missing(MetaPathFinder):
    """Says of every library in ``ABSENT`` that it is not installed."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        if fullname in ABSENT:
            raise ModuleNotFoundError(f"{fullname} is not installed on a bare machine.", name=fullname)
        return None


def fit_and_answer(device: str, folder: Path) -> dict[str, list[str]]:
    """Fit every module of the tiny plan on ``device`` and write its tables; the modules and their tables."""
    from glassbox_bt.market.archive import open_store, save_store
    from glassbox_bt.market.ingest import build_store
    from glassbox_bt.market.sources import from_name
    from glassbox_bt.plan import load_stack, plan_from
    from glassbox_bt.runs.artefacts import ArtefactStore
    from glassbox_bt.walkforward.chunks import chunk_days
    from glassbox_bt.walkforward.fitting import ChunkFitter
    from tests.flow.tiny import tiny_table

    plan = plan_from(tiny_table(modules={"temporal_encoder": {"dropout": 0.0}, "technical": {"dropout": 0.0}}))
    (folder / "market").mkdir(parents=True)
    save_store(build_store(from_name(plan.market_source), plan.market.universe), folder / "market")
    store = open_store(folder / "market")
    fitter = ChunkFitter(
        store=store,
        stack=load_stack(plan),
        days=chunk_days(store, plan.chunks[0], 1),
        artefacts=ArtefactStore(folder / "artefacts"),
        seed=plan.seed,
        silent=plan.silent,
        device=device,
    )
    records = fitter.run(lambda _what, _share: None)
    for record in records:
        fitter.table(record.module, "test").to_parquet(folder / f"{record.module}.parquet")
    return {"modules": [record.module for record in records], "frozen": [record.frozen for record in records]}


def main() -> None:
    sys.meta_path.insert(0, _Missing())
    device, folder = sys.argv[1], Path(sys.argv[2])
    said = fit_and_answer(device, folder)
    loaded = sorted(name for name in ABSENT if name in sys.modules)
    sys.stdout.write(json.dumps({"device": device, **said, "unwanted": loaded}) + "\n")


if __name__ == "__main__":
    main()
