"""Does each learned risk forecast earn its place? Each against the rivals that a sceptic would name, on its own loss.

1. The rivals are columns that the module writes beside its answer, fitted on the same train days: nothing is fitted here.
2. On rows where answer, rival and outcome are all known, losses are averaged over the names of each day; the effect is the
   share of the rival's mean loss that the answer saves, or the gain in average precision. Positive = the answer is better.
3. Two tests of every effect, over all test years and over each: Diebold and Mariano's, and blocks of days. Verdicts come
   from the blocks, corrected by Holm within a module's measure and span (over its horizons and rivals).
4. An answer that is its rival's to the last digit is not tested: `withheld` says so. That is what a network does that has
   not earned its place on the hold-out (R32).

Which variant did better on validation, and whether the test agrees, is told apart (`selection_rows`): those rows of
validation are marked ``selection`` = 1, and nothing else here reads validation (R5).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from glassbox_bt.evaluation._risk_rivals import ANCHOR, RISK_CONTESTS, Beside, RiskContest, beside
from glassbox_bt.evaluation.books import POOLED
from glassbox_bt.evaluation.dayblocks import DayMean, day_mean, detectable
from glassbox_bt.evaluation.families import holm
from glassbox_bt.evaluation.forecast_losses import Ranked, average_precision, diebold_mariano, jackknife
from glassbox_bt.evaluation.verdicts import NOT_TESTED, SMALLEST_SKILL, verdict_of
from glassbox_bt.types import FloatArray

__all__ = ["RISK_CONTESTS", "RiskContest", "RiskResult", "contest_rows", "risk_contests", "selection_rows"]

VALIDATION, TEST = "val", "test"
REJECTED = "rejected"  # answers for test of the variant that validation did not choose
EQUAL = "equal"


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskResult:
    """One contest over one span; chunk 0 = all test years.

    Parameters
    ----------
    answer, rival : float
        Mean loss over days (the root of it for RMSE), or average precision.
    gain : DayMean
        Share of the rival's loss that the answer saves; for average precision the difference itself.
    statistic, p_diebold : float
        Of Diebold and Mariano; NaN for average precision, which is no mean.
    p_holm, smallest_detectable : float
        Within the family.
    withheld : str or None
        Why there is no test.
    """

    of: RiskContest
    chunk: int
    n_rows: int
    answer: float
    rival: float
    gain: DayMean
    statistic: float
    p_diebold: float
    withheld: str | None
    p_holm: float = math.nan
    smallest_detectable: float = math.nan
    verdict: str = NOT_TESTED


def risk_contests(run: Path, outcomes: Mapping[int, pd.DataFrame], level: float) -> list[RiskResult]:
    """Every contest whose columns the run recorded, over all test years and over each.

    Parameters
    ----------
    run : Path
        A walked run.
    outcomes : Mapping[int, pd.DataFrame]
        Test outcomes by chunk.
    level : float
        Of the intervals.
    """
    found: list[RiskResult] = []
    for of in RISK_CONTESTS:
        rows = {chunk: beside(run, of, chunk, TEST, table) for chunk, table in outcomes.items()}
        known = {chunk: one for chunk, one in rows.items() if one is not None}
        if known:
            found += [result_of(of, span, parts, level) for span, parts in _spans(known)]
    return _judged(found, level)


def contest_rows(found: Sequence[RiskResult]) -> list[dict[str, Any]]:
    """The contests as ``metrics.json`` holds them."""
    return [
        {
            "module": one.of.module,
            "measure": one.of.measure,
            "horizon": one.of.horizon,
            "rival": one.of.rival,
            "chunk": one.chunk,
            "answer_score": one.answer,
            "rival_score": one.rival,
            "estimate": one.gain.estimate,
            "low": one.gain.low,
            "high": one.gain.high,
            "standard_error": one.gain.standard_error,
            "p_value": one.gain.p_value,
            "p_holm": one.p_holm,
            "dm_statistic": one.statistic,
            "dm_p": one.p_diebold,
            "smallest_effect": SMALLEST_SKILL,
            "smallest_detectable": one.smallest_detectable,
            "verdict": one.verdict,
            "n_days": one.gain.n_days,
            "n_rows": one.n_rows,
            "block": one.gain.block,
            "withheld": one.withheld,
        }
        for one in found
    ]


def result_of(of: RiskContest, span: int, parts: Sequence[Beside], level: float) -> RiskResult:
    """One contest over the test years of a span, before it is corrected for others."""
    if of.loss is None:
        return _ranking(of, span, parts, level)
    answers, rivals = (
        [part.daily(of.loss(getattr(part, side), part.outcome)) for part in parts] for side in ("answer", "rival")
    )
    answer, rival = (float(np.concatenate(one).mean()) for one in (answers, rivals))
    scale = rival if rival > 0.0 else math.nan
    gains = [(other - own) / scale for own, other in zip(answers, rivals, strict=True)]
    same = all(np.array_equal(part.answer, part.rival) for part in parts)
    statistic, p_diebold = (math.nan, math.nan) if same else diebold_mariano(gains, of.horizon)
    gain = day_mean(gains, of.horizon, level)
    return RiskResult(
        of=of,
        chunk=span,
        n_rows=sum(len(part.day) for part in parts),
        answer=_shown(of, answer),
        rival=_shown(of, rival),
        gain=gain,
        statistic=statistic,
        p_diebold=p_diebold,
        withheld=_why(of, gain, same=same),
    )


def _ranking(of: RiskContest, span: int, parts: Sequence[Beside], level: float) -> RiskResult:
    ranked = [Ranked(part.day, part.answer[0], part.rival[0], part.outcome) for part in parts]
    events = np.array([float(part.outcome.sum()) for part in parts])

    def mean(scores: Sequence[FloatArray]) -> float:
        found = np.array([average_precision(score, part.outcome) for score, part in zip(scores, parts, strict=True)])
        told = np.isfinite(found)
        return float(found[told] @ events[told] / events[told].sum()) if told.any() else math.nan

    same = all(np.array_equal(part.answer, part.rival) for part in parts)
    gain = jackknife(ranked, of.horizon, level)
    return RiskResult(
        of=of,
        chunk=span,
        n_rows=sum(len(part.day) for part in parts),
        answer=mean([part.answer[0] for part in parts]),
        rival=mean([part.rival[0] for part in parts]),
        gain=gain,
        statistic=math.nan,
        p_diebold=math.nan,
        withheld=_why(of, gain, same=same),
    )


def _shown(of: RiskContest, mean: float) -> float:
    """A mean loss in the unit in which it is read."""
    return math.sqrt(mean) if of.measure == "RMSE" else mean


def _why(of: RiskContest, gain: DayMean, *, same: bool) -> str | None:
    if same:
        return f"the answer is the {of.rival}'s own: the network adds nothing" if of.rival == ANCHOR else "both are the same"
    if math.isnan(gain.estimate):
        return "the measure is not defined on these rows"
    if math.isnan(gain.p_value):
        return f"{gain.n_days} days are too few blocks of {gain.block} for an interval"
    return None


def selection_rows(run: Path, outcomes: Mapping[str, Mapping[int, pd.DataFrame]]) -> list[dict[str, Any]]:
    """Who had the smaller loss on validation, the answering variant or its anchor, and who on test.

    * ``variant`` answered this split: on validation the one that train chose, on test the one that validation left in use.
    * ``loss`` is that of the variant with a network, ``anchor_loss`` that of its anchor, whichever of them is in use.
    * ``winner`` is ``network``, ``anchor`` or ``equal``. They are equal where no residual has earned its place.
    * ``validation_winner_lost`` stands in rows of test; None where one of the two splits has no winner.
    * Rows of measure ``selection`` hold the losses that the choice was made by, in the module's own unit.

    Parameters
    ----------
    outcomes : Mapping[str, Mapping[int, pd.DataFrame]]
        By split, ``val`` and ``test``, and chunk.
    """
    contests = [of for of in RISK_CONTESTS if of.rival == ANCHOR and of.loss is not None]
    rows: list[dict[str, Any]] = []
    for module in dict.fromkeys(of.module for of in contests):
        for chunk in outcomes[TEST]:
            rows += _choice_rows(run, module, chunk)
            for of in contests:
                if of.module == module:
                    rows += _split_rows(run, of, chunk, outcomes)
    return rows


def _choice_rows(run: Path, module: str, chunk: int) -> list[dict[str, Any]]:
    """The losses by which validation chose; none where it did not."""
    losses: Mapping[str, float] = _recorded(run, module, chunk, "selection.json").get("losses", {})
    if ANCHOR not in losses or len(losses) < 2:
        return []
    rival = min((name for name in losses if name != ANCHOR), key=lambda name: losses[name])
    return [_selection_row((module, "selection", 0, chunk, VALIDATION), rival, losses[rival], losses[ANCHOR], 0)]


def _split_rows(
    run: Path, of: RiskContest, chunk: int, outcomes: Mapping[str, Mapping[int, pd.DataFrame]]
) -> list[dict[str, Any]]:
    assert of.loss is not None
    rows = []
    for split in (VALIDATION, TEST):
        table = outcomes[split].get(chunk)
        part = None if table is None else beside(run, of, chunk, _answered(run, of.module, chunk, split), table)
        if part is None:
            continue
        means = (float(part.daily(of.loss(one, part.outcome)).mean()) for one in (part.answer, part.rival))
        loss, anchor = (_shown(of, mean) for mean in means)
        place = (of.module, of.measure, of.horizon, chunk, split)
        rows.append(_selection_row(place, _variant(run, of.module, chunk, split), loss, anchor, len(part.day)))
    if len(rows) == 2:
        before, after = (one["winner"] for one in rows)
        rows[1]["validation_winner_lost"] = None if EQUAL in (before, after) else before != after
    return rows


def _selection_row(
    place: tuple[str, str, int, int, str], variant: str | None, loss: float, anchor: float, n_rows: int
) -> dict[str, Any]:
    module, measure, horizon, chunk, split = place
    return {
        "module": module,
        "measure": measure,
        "horizon": horizon,
        "chunk": chunk,
        "split": split,
        "selection": int(split == VALIDATION),
        "variant": variant,
        "loss": loss,
        "anchor_loss": anchor,
        "n_rows": n_rows,
        "winner": EQUAL if loss == anchor else "network" if loss < anchor else ANCHOR,
        "validation_winner_lost": None,
    }


def _answered(run: Path, module: str, chunk: int, split: str) -> str:
    """The table with the network's answers: of test, the one that validation rejected, where it did."""
    rejected = run / "modules" / module / f"chunk{chunk}_{REJECTED}.parquet"
    return REJECTED if split == TEST and rejected.exists() else split


def _variant(run: Path, module: str, chunk: int, split: str) -> str | None:
    """Which variant answered a split: validation may have changed the one that answers test."""
    summary, choice = (_recorded(run, module, chunk, name) for name in ("training_summary.json", "selection.json"))
    if not choice:
        return summary.get("variant")
    before = [name for name in choice["losses"] if name != ANCHOR]  # beside its anchor stands what train chose
    return str(before[0] if split == VALIDATION and before else choice["variant"])


def _recorded(run: Path, module: str, chunk: int, name: str) -> Mapping[str, Any]:
    path = run / "models" / module / f"chunk{chunk}" / name
    found: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def _judged(found: Sequence[RiskResult], level: float) -> list[RiskResult]:
    """With Holm's correction and a verdict, family by family and span by span."""
    groups: dict[tuple[object, ...], list[RiskResult]] = {}
    for one in found:
        groups.setdefault((*one.of.family, one.chunk), []).append(one)
    judged: dict[tuple[RiskContest, int], RiskResult] = {}
    for members in groups.values():
        adjusted = holm([one.gain.p_value for one in members])
        tested = max(1, sum(math.isfinite(p_value) for p_value in adjusted))
        for one, p_holm in zip(members, adjusted, strict=True):
            judged[one.of, one.chunk] = replace(
                one,
                p_holm=p_holm,
                smallest_detectable=detectable(one.gain, level, tested),
                verdict=verdict_of(one.gain.estimate, one.gain.high, p_holm, level=level, smallest_effect=SMALLEST_SKILL),
            )
    return [judged[one.of, one.chunk] for one in found]


def _spans(parts: Mapping[int, Beside]) -> Iterator[tuple[int, list[Beside]]]:
    yield POOLED, list(parts.values())
    for chunk, one in parts.items():
        yield chunk, [one]
