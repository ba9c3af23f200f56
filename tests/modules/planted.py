"""A tiny market whose outcomes follow one made-up answer, so that learning can be told from noise."""

from __future__ import annotations

import dataclasses

import numpy as np

from glassbox_bt.market.store import AnswerColumn, MarketStore

__all__ = ["planted"]


def planted(store: MarketStore, driver: AnswerColumn, strength: float, seed: int = 1) -> MarketStore:
    """Labels replaced: the return rises, and drawdowns fall, with the driver (its mean 0.5); noise has deviation 1."""
    shape = store.member.shape
    rng = np.random.default_rng(seed)
    push = strength * (np.nan_to_num(driver.values, nan=0.5) - 0.5)
    outcome = push + rng.standard_normal(shape)
    known = np.isfinite(store.labels["forward_log_return_20d"].values)
    values = {
        "forward_log_return_20d": 0.06 * outcome,
        "forward_vol_20d": np.full(shape, 0.06 * np.sqrt(252.0 / 20.0)),
        "forward_drawdown_10d": np.where(outcome + rng.standard_normal(shape) < -1.0, 0.08, 0.01),
    }
    labels = {
        name: dataclasses.replace(store.labels[name], values=np.where(known, one, np.nan)) for name, one in values.items()
    }
    return dataclasses.replace(store, labels={**store.labels, **labels})
