"""Where the fixed thresholds of the rules lie among the scores that meet them.

A threshold is a fixed number of the plan; what it means depends on the scores. Beside each stands its quantile among the
train answers, which are out of fold and so as honest as those of test, and how often it fires on either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from glassbox_bt.evaluation._risk_rivals import REGIME
from glassbox_bt.evaluation.answers import said
from glassbox_bt.types import FloatArray

__all__ = ["THRESHOLDS", "Threshold", "threshold_rows"]


@dataclass(frozen=True, slots=True)
class Threshold:
    """A rule that fires where a score is at least (or, ``below``, under) a number of the plan."""

    rule: str
    module: str
    column: str
    setting: str  # of the plan's rules
    below: bool = False


THRESHOLDS = (
    Threshold("RB-02", REGIME, "prob_crisis", "crisis_prob"),
    Threshold("RB-03", "drawdown", "drawdown_risk_score", "drawdown_risk"),
    Threshold("RB-04", "contagion", "contagion_risk_score", "contagion_risk"),
    Threshold("RB-05", "quantitative", "quantitative_risk_score", "quantitative_risk"),
    Threshold("RB-05", "fusion", "learned_fusion_risk_score", "quantitative_risk"),
    Threshold("RB-06", "liquidity", "liquidity_score", "liquidity_floor", below=True),
    Threshold("RB-09", "fusion", "learned_fusion_signal", "min_signal", below=True),
    Threshold("RB-09", "fusion", "learned_fusion_confidence", "min_confidence", below=True),
    Threshold("RB-11", "fusion", "learned_fusion_signal", "sell_signal", below=True),
    Threshold("RB-12", "fusion", "learned_fusion_risk_score", "severe_risk"),
)
CAPPED = ("volatility", "drawdown", "var_cvar", "contagion")  # families with caps of position sizing
RISK_CAPS = ((0.75, 0.05), (0.85, 0.02))  # its defaults: score, largest position


def threshold_rows(run: Path, manifest: Mapping[str, Any], chunks: Sequence[int]) -> list[dict[str, Any]]:
    """One row per rule, score and chunk: the fixed number, its place among the train answers, and how often it fires.

    ``train_quantile`` is the share of known train answers that lie under the threshold, ``train_share`` and ``test_share``
    the shares on which the rule fires by this score. Scores on rank scale (R14) have a train quantile near their threshold
    by construction. None where a split has no known answer; a score that the run did not record has no row.
    """
    rules: Mapping[str, Any] = manifest["plan"]["rules"]
    sizing = manifest["plan"]["modules"].get("position_sizing", {}).get("risk_caps", RISK_CAPS)
    wanted = [(one.rule, one.module, one.column, float(rules[one.setting]), one.below) for one in THRESHOLDS]
    for family in CAPPED:
        wanted += [
            (f"PS cap {cap:g}", "position_sizing", f"{family}_risk_score", float(score), False) for score, cap in sizing
        ]
    rows = []
    for rule, module, column, threshold, below in wanted:
        for chunk in chunks:
            train, test = (_scores(run, module, column, chunk, split) for split in ("train", "test"))
            if train is None or test is None:
                continue
            rows.append(
                {
                    "rule": rule,
                    "module": module,
                    "score": column,
                    "fires": "below" if below else "at or above",
                    "threshold": threshold,
                    "chunk": chunk,
                    "train_quantile": _share(train, threshold, below=True),
                    "train_share": _share(train, threshold, below=below),
                    "test_share": _share(test, threshold, below=below),
                    "n_train_rows": len(train),
                    "n_test_rows": len(test),
                }
            )
    return rows


def _share(scores: FloatArray, threshold: float, *, below: bool) -> float:
    if not len(scores):
        return float("nan")
    return float(np.mean(scores < threshold if below else scores >= threshold))


def _scores(run: Path, module: str, column: str, chunk: int, split: str) -> FloatArray | None:
    """Known scores; of a risk family only where it is available, as a missing one is written as 0."""
    available = f"{column.removesuffix('_risk_score')}_risk_available"
    columns = [column, available] if module == "position_sizing" else [column]
    table = said(run, module, columns, chunk, split)
    if table is None:
        return None
    if module == "position_sizing":
        table = table[table[available] == 1.0]
    values = table[column].to_numpy(dtype=np.float64)
    return np.asarray(values[np.isfinite(values)])
