"""What the settings of modules that train a network share: their schedule, their choice, their checks. No modelling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np

from glassbox_bt.errors import PlanError, TrainingError
from glassbox_bt.market.view import TrainView
from glassbox_bt.modules._training import Schedule, Training, holdout_split
from glassbox_bt.modules.base import Candidate, FittedModule
from glassbox_bt.types import BoolArray, IntArray

__all__ = [
    "FullyTrained",
    "Trained",
    "candidate_of",
    "check_not_negative",
    "check_parts",
    "check_penalties",
    "check_recurrent",
    "check_sizes",
    "split_rows",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """Settings of a module that trains a network; a field without a default gets one in each module.

    Parameters
    ----------
    variant : str
        The candidate that is wanted.
    epochs, batch_size, learning_rate, weight_decay, patience, rows_share
        As in `Schedule`.
    """

    variant: str
    epochs: int
    batch_size: int
    learning_rate: float = 1e-3
    weight_decay: float = 1e-5
    patience: int
    rows_share: float = 1.0

    @property
    def schedule(self) -> Schedule:
        """How long and how fast the network learns; what the settings have no field for is as in `Schedule`."""
        own = {one.name for one in fields(self)}
        return Schedule(**{one.name: getattr(self, one.name) for one in fields(Schedule) if one.name in own})

    def select(
        self,
        candidates: tuple[Candidate, ...],
        validation: TrainView | None,  # noqa: ARG002
    ) -> Candidate:
        """The variant that the settings name; validation has no say (a plan can give it one: `validation_loss`)."""
        return next(one for one in candidates if one.variant == self.variant)


@dataclass(frozen=True, slots=True, kw_only=True)
class FullyTrained(Trained):
    """Settings that have every field of `Schedule`, and set how much of train is held out.

    Parameters
    ----------
    holdout_share : float
        Last part of train, which the network does not learn from, in (0, 1).
    clip, warmup_share
        As in `Schedule`.
    """

    holdout_share: float = 0.15
    clip: float = 1.0
    warmup_share: float = 0.1

    name: ClassVar[str]


def check_sizes(settings: object, *sizes: str) -> None:
    """Sizes of the network are at least 1, and ``dropout`` lies in [0, 1)."""
    given = _given(settings, *sizes, "dropout")
    if min(given[:-1]) < 1 or not 0.0 <= given[-1] < 1.0:
        raise PlanError(f"{_names(sizes)} must be at least 1 and `dropout` in [0, 1), got {_listed(given)}.")


def check_penalties(settings: Trained, *penalties: str, holdout: str = "holdout_share") -> None:
    """Penalties are positive, the share that is held out lies in (0, 1)."""
    given = _given(settings, *penalties, holdout)
    if not (min(given[:-1]) > 0.0 and 0.0 < given[-1] < 1.0):
        raise PlanError(f"{_names(penalties)} must be positive and `{holdout}` in (0, 1), got {_listed(given)}.")


def check_not_negative(settings: object, *names: str) -> None:
    """None is negative."""
    given = _given(settings, *names)
    if any(one < 0.0 for one in given):
        raise PlanError(f"{_names(names)} must not be negative, got {_listed(given)}.")


def check_recurrent(settings: Any) -> None:
    """Cell and sizes of a recurrent network, its variant, and how many of the sessions it looks back on must be known."""
    if settings.cell not in ("lstm", "gru") or settings.variant not in ("anchored", "anchor", "network"):
        raise PlanError(
            "`cell` is `lstm` or `gru` and `variant` `anchored`, `anchor` or `network`; got "
            f"{settings.cell!r} and {settings.variant!r}."
        )
    check_sizes(settings, "hidden", "layers", "attention")
    if not 1 <= settings.min_sessions <= settings.sessions:
        raise PlanError(f"`min_sessions` must lie in 1..{settings.sessions}, got {settings.min_sessions}.")


def check_parts(module: str, fitting: BoolArray, held_out: BoolArray, rows: str = "rows") -> None:
    """Neither part of train is empty."""
    if not fitting.any() or not held_out.any():
        raise TrainingError(
            f"`{module}` has {int(fitting.sum())} {rows} to learn from and {int(held_out.sum())} to stop on; it needs both. "
            "Lengthen the train part."
        )


def split_rows(settings: FullyTrained, days: IntArray, known: BoolArray, horizon: int) -> tuple[BoolArray, BoolArray]:
    """Which rows are learned from, and which are held out; shares are of the days with a known outcome.

    Parameters
    ----------
    days : IntArray
        Ascending session numbers of the train view, (n_days,).
    known : BoolArray
        Cells with inputs and an outcome, (n_days, n_assets); each is a row, in the order of `numpy.nonzero`.
    horizon : int
        Sessions until the longest label of a day is known.
    """
    seen = np.flatnonzero(known.any(axis=1))  # the last sessions have no known outcome yet
    if not len(seen):
        raise TrainingError(f"`{settings.name}` has no train row with a known outcome. Lengthen the train part.")
    early, late = holdout_split(days[seen], settings.holdout_share, horizon)
    day = np.nonzero(known)[0]
    fitting, held_out = np.isin(day, seen[early]), np.isin(day, seen[late])
    check_parts(settings.name, fitting, held_out)
    return fitting, held_out


def candidate_of(variant: str, fitted: FittedModule, training: Training | None, figures: Mapping[str, object]) -> Candidate:
    """A candidate with its hold-out figures and, where a network was trained, how that went."""
    if training is None:
        return Candidate(variant, fitted, (), figures)
    return Candidate(variant, fitted, training.history, {**training.summary, **figures})


def _given(settings: object, *names: str) -> list[float]:
    return [getattr(settings, name) for name in names]


def _names(names: Sequence[str]) -> str:
    return _listed([f"`{name}`" for name in names])


def _listed(values: Sequence[object]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *most, last = map(str, values)
    return f"{', '.join(most)} and {last}" if most else last
