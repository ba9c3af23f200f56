"""What the validation part decides: which variant answers test, and how its probabilities are put right (R5).

The fit that train alone chose answers validation. Then, by the plan's rule,

1. a module with a ``validation_loss(fitted, view)`` gets the variant with the smallest one; ties go to the one that train
   chose, which also stands where no loss is known because the module abstains;
2. a module with ``with_outcomes(answers, labels)`` is calibrated on its own validation answers and what came of them by the
   end of validation.

What comes out answers test only. Its rank scale is that of the fit that train chose (R14).
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from glassbox_bt.errors import TrainingError
from glassbox_bt.market.view import TrainView
from glassbox_bt.modules.base import FittedModule, Module
from glassbox_bt.plan import SelectionPlan
from glassbox_bt.types import Answers
from glassbox_bt.walkforward.fits import load_fitted, others, save_fitted

__all__ = ["Decided", "chooses", "decided", "decides", "fit_variant", "save_decided"]


@dataclass(frozen=True, slots=True)
class Decided:
    """The fit that answers test, and why.

    Parameters
    ----------
    fitted : FittedModule
        With its rank scale and its calibration.
    variant : str
        Its name.
    losses : Mapping[str, float]
        Of every variant on validation, lower is better, NaN where it never answers; empty where only the calibration was
        decided.
    calibrated_rows : int
        Validation answers that the calibration saw; 0 without one.
    """

    fitted: FittedModule
    variant: str
    losses: Mapping[str, float]
    calibrated_rows: int


def chooses(module: Module, rule: SelectionPlan) -> bool:
    """Whether validation chooses the variant; a plan that names another than ``anchored`` has chosen itself."""
    free = getattr(module, "variant", None) == "anchored" and hasattr(module, "validation_loss")
    return free and rule.variant == "validation"


def decides(module: Module, fitted: FittedModule, rule: SelectionPlan) -> bool:
    """Whether validation has anything to say about this module."""
    calibrates = rule.calibration == "validation" and hasattr(fitted, "with_outcomes")
    return bool(module.learns_from) and (chooses(module, rule) or calibrates)


def decided(module: Module, fit: Path, view: TrainView, rule: SelectionPlan, oof: Answers | None) -> Decided:
    """Let validation decide.

    Parameters
    ----------
    fit : Path
        The fit that train chose, with its rank scale, and its candidates.
    view : TrainView
        Validation: inputs, and the labels known by its end.
    oof : Answers or None
        Out-of-fold answers of train, for the rank scale of another variant whose raw score is of the same kind (attribute
        ``scale_of``); a score of another kind keeps the scale that its fit brought.

    Raises
    ------
    TrainingError
        If one variant has a loss on validation and another has none.
    """
    fitted, variant, losses = load_fitted(module, fit), fit_variant(fit), dict[str, float]()
    if chooses(module, rule):
        candidates = {variant: fitted, **others(module, fit)}
        loss: Callable[[FittedModule, TrainView], float] = module.validation_loss  # type: ignore[attr-defined]
        losses = {name: float(loss(one, view)) for name, one in candidates.items()}
        unknown = [name for name, loss in losses.items() if not math.isfinite(loss)]
        if 0 < len(unknown) < len(losses):
            raise TrainingError(
                f"`{module.name}` has no validation loss for {', '.join(unknown)}, but one for the others, so they cannot "
                "be compared. Lengthen validation, or set [selection] variant to fixed."
            )
        best = variant if unknown else min(losses, key=lambda name: losses[name])
        if best != variant:
            alike = getattr(candidates[best], "scale_of", "") == getattr(fitted, "scale_of", "")
            refer = getattr(candidates[best], "with_reference", None) if alike else None
            fitted = candidates[best] if refer is None or oof is None else refer(oof)
            variant = best
    learn = getattr(fitted, "with_outcomes", None) if rule.calibration == "validation" else None
    if learn is None:
        return Decided(fitted, variant, losses, 0)
    answers = fitted.predict_many(view)
    return Decided(learn(answers, view.labels), variant, losses, int(answers.known.sum()))


def fit_variant(fit: Path) -> str:
    """Which variant a fit is: as validation decided, else as train did."""
    told = fit / "selection.json" if (fit / "selection.json").is_file() else fit / "training_summary.json"
    return str(json.loads(told.read_text(encoding="utf-8"))["variant"])


def save_decided(folder: Path, one: Decided, fit: Path) -> None:
    """What came of a fit, its training beside it, and ``selection.json`` that says why it is this one."""
    for path in fit.iterdir():
        if path.is_file() and path.name != "key.json":
            shutil.copyfile(path, folder / path.name)
    save_fitted(folder, one.fitted.state())
    losses = {name: loss if math.isfinite(loss) else None for name, loss in one.losses.items()}
    told = {"variant": one.variant, "losses": losses, "calibrated_rows": one.calibrated_rows}
    (folder / "selection.json").write_text(json.dumps(told, indent=1, sort_keys=True), encoding="utf-8")
