"""Is it good? Scores of recorded runs; the only room that opens test outcomes.

1. Plain metrics of every strategy, chunk and split.        performance.py
2. Learned parts beside the anchors they were built on.     forecasts.py
3. Test days side by side: strategies and ablated stacks.   books.py
4. Intervals, paired differences, corrections for many.     intervals.py, comparisons.py, families.py
5. Sharpe ratios against luck and the number of trials.     sharpe.py
6. Signals against returns, confidences against events.     signals.py, calibration.py, dayblocks.py
7. The risk engine: tails against what came, learned forecasts
   against their rivals, probabilities and thresholds.      var_backtests.py, risk_contests.py, …
8. A verdict for each claim.                                verdicts.py
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["evaluate", "measured"]


def evaluate(run: Path) -> None:
    """Write ``metrics.json`` of a walked run, and ``ablations/results.parquet`` where it has ablations.

    The opening of test outcomes is counted (R26). Equal files give equal bytes.

    Raises
    ------
    RunFolderError
        ``run`` holds no run.
    ContractError
        Strategies or ablations were recorded on other test days than the stack.
    """
    import json

    from glassbox_bt.runs.artefacts import write_whole
    from glassbox_bt.runs.manifest import Manifest
    from glassbox_bt.walkforward.tables import write_table

    manifest = Manifest.open(run)
    if manifest is None:
        from glassbox_bt.errors import RunFolderError

        raise RunFolderError(f"{run} holds no run. Name a run folder.")
    manifest.count_test_reading()
    metrics, ablations = measured(run, manifest.content)
    text = json.dumps(metrics, indent=1, sort_keys=True, allow_nan=False) + "\n"
    results = run / "ablations" / "results.parquet"
    if ablations is None:
        results.unlink(missing_ok=True)  # of ablations that are gone
    else:
        write_table(results, ablations)
    write_whole(run / "metrics.json", lambda draft: draft.write_text(text, encoding="utf-8"))


def measured(run: Path, manifest: Mapping[str, Any]) -> tuple[dict[str, Any], pd.DataFrame | None]:
    """The content of ``metrics.json``, and the table of ablations or None where there are none; nothing is written.

    Whoever recomputes what a run has published calls this: it opens no outcome that was not opened before.
    """
    import pandas as pd

    from glassbox_bt.evaluation.forecasts import learned_against_anchor
    from glassbox_bt.evaluation.performance import strategy_metrics
    from glassbox_bt.evaluation.statistics import statistics_of

    outcomes = pd.read_parquet(run / "evaluation" / "outcomes.parquet")
    parts: dict[Any, pd.DataFrame] = dict(iter(outcomes.groupby(["chunk", "split"])))
    learned = [
        row for (chunk, split), rows in parts.items() for row in learned_against_anchor(run, int(chunk), str(split), rows)
    ]
    found = statistics_of(run, manifest)
    return {"strategies": strategy_metrics(run), "learned": learned, **found.keys}, found.ablations
