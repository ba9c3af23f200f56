"""How a contagion fit did on the last part of train: its figures, its first calibration, and whether it uses neighbours."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from glassbox_bt.market.tail_labels import HORIZONS
from glassbox_bt.modules._anchor import RankScale
from glassbox_bt.modules._contagion_calibration import CalibrationKind, average_precision
from glassbox_bt.modules._contagion_explain import permutation_test
from glassbox_bt.modules._contagion_fitted import FittedContagion, risk_of
from glassbox_bt.modules._contagion_inputs import Panel
from glassbox_bt.modules._contagion_rows import DayRows, Graphs
from glassbox_bt.modules._outcomes import has_earned_its_place
from glassbox_bt.modules._training import Training
from glassbox_bt.modules.base import Candidate
from glassbox_bt.types import BoolArray, FloatArray, IntArray

__all__ = ["Holdout", "judged"]

TESTED_DAYS = 256  # of the permutation test, spread evenly: bounds its time on long hold-outs


@dataclass(frozen=True, slots=True, eq=False)
class Holdout:
    """The days that no fit learned from.

    Parameters
    ----------
    panel, graphs : Panel, Graphs
        Of those days alone.
    rows : BoolArray
        Usable names with an outcome, (n_days, n_assets).
    events, passed_on : FloatArray
        Whether the loss came, and whether it came with a stressed neighbour before it, (n_days, n_assets, horizons).
    tickers : tuple[str, ...]
        In the order of the span.
    kind : CalibrationKind
        How answers are put right.
    """

    panel: Panel
    graphs: Graphs
    rows: BoolArray
    events: FloatArray
    passed_on: FloatArray
    tickers: tuple[str, ...]
    kind: CalibrationKind


def judged(
    fitted: FittedContagion, held: Holdout, training: Training | None, shuffles: int, rng: np.random.Generator
) -> Candidate:
    """A candidate with its calibration, its provisional rank scale and its hold-out figures."""
    kept = held.rows[..., None]
    events = np.where(kept, held.events, np.nan)
    said = fitted.said(held.panel, held.graphs, held.tickers)
    if said is not None and fitted.variant == "anchored":
        fitted = replace(fitted, speaks=_speaks(fitted.base(held.panel), said.residual, events, held.panel.days))
    raw = np.where(kept, fitted.raw(held.panel, said), np.nan)
    bare = replace(fitted, variant="anchor", network=None)
    alone = np.where(kept, bare.raw(held.panel, None), np.nan)
    done = replace(fitted.put_right(raw, alone, events, held.kind), scale=RankScale.of(risk_of(raw)))
    figures: dict[str, object] = {}
    for number, horizon in enumerate(HORIZONS):
        for what, given in (("", raw[..., number]), ("_own_history", alone[..., number])):
            event, passed_on = events[..., number], held.passed_on[..., number]
            figures |= {
                f"holdout_{horizon}d_average_precision{what}": average_precision(given, event),
                f"holdout_{horizon}d_brier{what}": _mean((given - event) ** 2),
                f"holdout_{horizon}d_average_precision_passed_on{what}": average_precision(given, passed_on),
            }
    if fitted.network is None or training is None:
        return Candidate(fitted.variant, done, (), figures)
    p_value = _p_value(fitted, held, shuffles, rng) if any(fitted.speaks) else 1.0
    facts = {
        "structure_p_value": p_value,
        "horizons_where_network_beats_anchor_on_holdout": [
            horizon for horizon, one in zip(HORIZONS, fitted.speaks, strict=True) if one and fitted.variant == "anchored"
        ],
    }
    return Candidate(
        fitted.variant, replace(done, structure_p=p_value), training.history, {**training.summary, **figures, **facts}
    )


def _speaks(base: FloatArray, residual: FloatArray, events: FloatArray, days: IntArray) -> tuple[float, ...]:
    """1 for the horizons on which the residual earned its place, else 0."""
    earned = []
    for number in range(len(HORIZONS)):
        known = np.isfinite(events[..., number])
        event, odds = events[known][:, number], base[known][:, number]
        losses = [np.logaddexp(0.0, given) - event * given for given in (odds + residual[known][:, number], odds)]
        session = np.broadcast_to(days[:, None], known.shape)[known]
        earned.append(float(known.any() and has_earned_its_place(session, losses[0], losses[1])))
    return tuple(earned)


def _p_value(fitted: FittedContagion, held: Holdout, shuffles: int, rng: np.random.Generator) -> float:
    """Of the permutation test on some of the days; 1 where they hold no two kinds of outcome."""
    assert fitted.network is not None
    days = np.flatnonzero((held.graphs.of_day >= 0) & held.rows.any(axis=1))
    picked = days[np.unique(np.linspace(0, len(days) - 1, min(TESTED_DAYS, len(days))).round().astype(np.int64))]
    given = {"anchor": fitted.base(held.panel), "event": np.where(held.rows[..., None], held.events, np.nan)}
    rows = DayRows.of(held.panel, held.graphs, picked, given)
    return permutation_test(fitted.network, rows, shuffles, rng, fitted.speaks).p_value


def _mean(values: FloatArray) -> float:
    known = np.isfinite(values)
    return float(values[known].mean()) if known.any() else float("nan")
