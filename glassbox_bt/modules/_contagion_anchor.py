"""The simple rival inside the contagion module: what own history and the market's volatility say of extreme losses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from glassbox_bt.errors import TrainingError
from glassbox_bt.market.tail_labels import HORIZONS, TAIL_LABELS
from glassbox_bt.market.view import TrainView
from glassbox_bt.modules._anchor import LinearAnchor, Standardiser, fit_logit
from glassbox_bt.types import AnyArray, BoolArray, FloatArray

__all__ = ["OwnHistory", "events_of"]


@dataclass(frozen=True, slots=True)
class OwnHistory:
    """One logit per horizon on the same own-history inputs.

    Parameters
    ----------
    scaler : Standardiser
        Of the inputs; a missing one counts as average.
    logits : tuple of LinearAnchor
        By horizon.
    base : FloatArray
        Share of events among the rows that were fitted, by horizon.
    """

    scaler: Standardiser
    logits: tuple[LinearAnchor, ...]
    base: FloatArray

    @classmethod
    def fit(cls, own: FloatArray, events: FloatArray, rows: BoolArray, penalty: float) -> OwnHistory:
        """On rows (n_days, n_assets) of ``own`` (n_days, n_assets, k) with known ``events`` (.., horizons)."""
        known = rows[..., None] & np.isfinite(events)
        n_known = known.reshape(-1, len(HORIZONS)).sum(axis=0)
        if (n_known == 0).any():
            short = ", ".join(str(horizon) for horizon, n in zip(HORIZONS, n_known, strict=True) if n == 0)
            raise TrainingError(
                f"`contagion` knows no outcome over {short} sessions to learn from. Lengthen the train part or look-back."
            )
        scaler = Standardiser.fit(own[rows])
        inputs = scaler.scaled(own)
        logits, base = [], []
        for number in range(len(HORIZONS)):
            learn = known[..., number]
            logits.append(fit_logit(inputs[learn], events[learn][:, number], penalty=penalty))
            base.append(float(events[learn][:, number].mean()))
        return cls(scaler, tuple(logits), np.array(base))

    def log_odds(self, own: FloatArray) -> FloatArray:
        """By day, name and horizon."""
        inputs = self.scaler.scaled(own)
        return np.stack([one.linear(inputs) for one in self.logits], axis=-1)

    def shares(self, own: FloatArray, number: int) -> FloatArray:
        """What each input adds to the log-odds of one horizon, (..., k)."""
        return self.logits[number].contributions(self.scaler.scaled(own))

    def arrays(self) -> dict[str, AnyArray]:
        """For `ModuleState.arrays`."""
        found = {"base": self.base, **self.scaler.arrays("own")}
        for horizon, one in zip(HORIZONS, self.logits, strict=True):
            found |= one.arrays(f"own.{horizon}")
        return found

    @classmethod
    def restore(cls, arrays: Mapping[str, AnyArray]) -> OwnHistory:
        """What `arrays` wrote."""
        logits = tuple(LinearAnchor.restore(arrays, f"own.{horizon}", "logistic") for horizon in HORIZONS)
        return cls(Standardiser.restore(arrays, "own"), logits, arrays["base"])


def events_of(train: TrainView, names: tuple[str, ...] = TAIL_LABELS) -> FloatArray:
    """Outcomes by day, name (in the order of the view) and horizon, NaN where unknown."""
    return np.stack([train.label(name) for name in names], axis=-1)
