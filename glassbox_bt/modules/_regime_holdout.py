"""How a regime fit did on the last part of train: which residuals are used, its first calibration, its figures."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from glassbox_bt.errors import TrainingError
from glassbox_bt.market.view import TrainView
from glassbox_bt.modules._outcomes import has_earned_its_place
from glassbox_bt.modules._regime_fitted import CHANCES, FittedRegime, per_day
from glassbox_bt.modules._regime_inputs import Panel
from glassbox_bt.modules._regime_model import Today, chances_of, log_losses
from glassbox_bt.modules._regime_rows import Said
from glassbox_bt.modules._training import Training
from glassbox_bt.modules.base import Candidate, FittedModule
from glassbox_bt.types import BoolArray, FloatArray

__all__ = ["Parts", "judged", "validation_loss"]


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """A train panel, its outcomes by day (NaN = unknown), and which days are learned from and held out."""

    panel: Panel
    wanted: FloatArray
    changed: FloatArray
    fitting: BoolArray
    held_out: BoolArray


def judged(fitted: FittedRegime, parts: Parts, training: Training | None) -> Candidate:
    """A candidate with its calibration and its hold-out figures."""
    model, held = fitted.model, np.flatnonzero(parts.held_out)
    assert model is not None
    panel, wanted, changed = parts.panel.picked(held), parts.wanted[held], parts.changed[held]
    today, said = model.today(panel), fitted.said(panel)
    if fitted.variant == "anchored":
        fitted = replace(fitted, speaks=_speaks(fitted, panel, (today, said), (wanted, changed)))
    raw, change = fitted.raw(today, said)
    alone, alone_change = replace(fitted, variant="anchor", network=None).raw(today, said)
    done = fitted.put_right((raw, alone), (change, alone_change), (wanted, changed))
    figures: dict[str, object] = {
        "holdout_log_loss": _mean(log_losses(raw, wanted)),
        **{f"holdout_log_loss_{name}": _mean(log_losses(one, wanted)) for name, one in model.rivals(panel, today).items()},
        "holdout_change_brier": _mean((change - changed) ** 2),
        "holdout_change_brier_base_rate": _mean((model.base_change - changed) ** 2),
        "n_labelled_days": int((np.isfinite(parts.wanted) & parts.panel.answerable).sum()),
        "missing_clauses": list(model.rule.missing),
    }
    if training is None:
        return Candidate(fitted.variant, done, (), figures)
    heads = [name for name, one in zip(("regime", "change"), fitted.speaks, strict=True) if one > 0.0]
    figures["network_speaks_on"] = heads
    return Candidate(fitted.variant, done, training.history, {**training.summary, **figures})


def _speaks(
    fitted: FittedRegime, panel: Panel, heard: tuple[Today, Said], outcomes: tuple[FloatArray, FloatArray]
) -> tuple[float, float]:
    """1 for the heads whose residual earned its place on the hold-out, else 0."""
    assert fitted.model is not None
    (today, said), (wanted, changed) = heard, outcomes
    logs, odds = fitted.base(today)
    possible = fitted.model.rule.possible
    regime = [log_losses(chances_of(one, possible), wanted) for one in (logs + said.regime, logs)]
    change = [np.logaddexp(0.0, one) - changed * one for one in (odds + said.change, odds)]
    return _earned(panel, regime), _earned(panel, change)


def _earned(panel: Panel, losses: list[FloatArray]) -> float:
    known = np.isfinite(losses[0]) & np.isfinite(losses[1])
    return float(known.any() and has_earned_its_place(panel.days[known], losses[0][known], losses[1][known]))


def validation_loss(fitted: FittedModule, validation: TrainView) -> float:
    """Mean forward log loss of the chances on days that no fit saw; infinite where nothing is known."""
    if not isinstance(fitted, FittedRegime):
        raise TrainingError(f"`regime` cannot judge a {type(fitted).__name__}.")
    answers = fitted.predict_many(validation)
    if fitted.model is None or not answers.known.any():
        return float("inf")
    chances = np.stack([per_day(answers, name) for name in CHANCES], axis=-1)
    loss = _mean(log_losses(chances, fitted.outcomes(validation.labels)))
    return loss if np.isfinite(loss) else float("inf")


def _mean(values: FloatArray) -> float:
    known = np.isfinite(values)
    return float(values[known].mean()) if known.any() else float("nan")
