"""Is it good? Scores of recorded runs; the only room that opens test outcomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["evaluate"]


def evaluate(run: Path) -> None:
    """Write ``metrics.json`` of a walked run and count the opening of its test outcomes."""
    import json

    import pandas as pd

    from glassbox_bt.evaluation.forecasts import learned_against_anchor
    from glassbox_bt.evaluation.performance import strategy_metrics
    from glassbox_bt.runs.artefacts import write_whole
    from glassbox_bt.runs.manifest import Manifest

    manifest = Manifest.open(run)
    if manifest is None:
        from glassbox_bt.errors import RunFolderError

        raise RunFolderError(f"{run} holds no run. Name a run folder.")
    manifest.count_test_reading()
    outcomes = pd.read_parquet(run / "evaluation" / "outcomes.parquet")
    parts: dict[Any, pd.DataFrame] = dict(iter(outcomes.groupby(["chunk", "split"])))
    learned = [
        row for (chunk, split), rows in parts.items() for row in learned_against_anchor(run, int(chunk), str(split), rows)
    ]
    metrics = {"strategies": strategy_metrics(run), "learned": learned}
    text = json.dumps(metrics, indent=1, sort_keys=True, allow_nan=False) + "\n"
    write_whole(run / "metrics.json", lambda draft: draft.write_text(text, encoding="utf-8"))
