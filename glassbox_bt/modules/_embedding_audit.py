"""Whether an embedding is alive, and whether its encoder fills gaps better than a straight line."""

from __future__ import annotations

import numpy as np

from glassbox_bt.types import AnyArray, BoolArray, FloatArray

__all__ = ["audit_embeddings", "gap_filling", "interpolated"]


def audit_embeddings(embeddings: AnyArray) -> dict[str, float]:
    """Collapse tests of a sample of embeddings, (n_rows, width) (spec §6).

    ``embedding_mean_cosine`` is the mean cosine over all pairs of rows: near 1 means every window
    looks alike. ``embedding_effective_rank`` is the exponential of the entropy of the shares of the
    centred sample's singular values: the number of directions in use (Roy and Vetterli, 2007).
    """
    rows = np.asarray(embeddings, dtype=np.float64)
    lengths = np.linalg.norm(rows, axis=1)
    unit = rows / np.maximum(lengths, 1e-12)[:, None]
    n_rows = len(rows)
    pairs = max(n_rows * (n_rows - 1), 1)
    together = float((unit.sum(axis=0) ** 2).sum() - (unit**2).sum())
    spread = np.linalg.svd(rows - rows.mean(axis=0), compute_uv=False)
    shares = spread / max(float(spread.sum()), 1e-12)
    shares = shares[shares > 0.0]
    return {
        "embedding_finite_share": float(np.isfinite(rows).mean()),
        "embedding_mean_norm": float(lengths.mean()),
        "embedding_sd_norm": float(lengths.std()),
        "embedding_mean_cosine": together / pairs,
        "embedding_effective_rank": float(np.exp(-(shares * np.log(shares)).sum())),
    }


def gap_filling(windows: AnyArray, mask: BoolArray, restored: AnyArray) -> dict[str, float]:
    """Masked mean squared error in train variances: the network, a straight line, the train mean.

    Parameters
    ----------
    windows : AnyArray
        (value, known) pairs, (n_rows, sessions, 2k).
    mask : BoolArray
        Sessions that were hidden, (n_rows, sessions).
    restored : AnyArray
        What the network put in their place, (n_rows, sessions, k).
    """
    values, flags = np.split(np.asarray(windows, dtype=np.float64), 2, axis=-1)
    counted = (flags > 0.0) & mask[..., None]
    if not counted.any():
        return {}
    straight = interpolated(values, (flags > 0.0) & ~mask[..., None])
    return {
        "masked_mse": float(((restored - values)[counted] ** 2).mean()),
        "masked_mse_interpolation": float(((straight - values)[counted] ** 2).mean()),
        "masked_mse_train_mean": float((values[counted] ** 2).mean()),
    }


def interpolated(values: FloatArray, seen: BoolArray) -> FloatArray:
    """Straight lines between seen sessions, flat beyond the outer ones, 0 where none was seen.

    ``values`` and ``seen`` are (n_rows, sessions, k).
    """
    at = np.arange(values.shape[1])[None, :, None]
    before = np.maximum.accumulate(np.where(seen, at, -1), axis=1)
    last = values.shape[1]
    after = np.minimum.accumulate(np.where(seen, at, last)[:, ::-1], axis=1)[:, ::-1]
    left = np.where(before < 0, after, before).clip(max=last - 1)
    right = np.where(after == last, before, after).clip(min=0)
    low, high = np.take_along_axis(values, left, 1), np.take_along_axis(values, right, 1)
    share = np.where(right > left, (at - left) / np.maximum(right - left, 1), 0.0)
    return np.where(seen.any(axis=1, keepdims=True), low + share * (high - low), 0.0)
