"""The directions in which the texts of train differ most: principal components, and the neighbours of a text among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from glassbox_bt.errors import TrainingError
from glassbox_bt.modules._blocks import predict_in_blocks
from glassbox_bt.modules.base import rounded
from glassbox_bt.runs.artefacts import digest_json
from glassbox_bt.types import AnyArray, Float32Array, FloatArray, IntArray

__all__ = ["Projection", "nearest"]

AT_A_TIME = 8_192  # rows of one sum, so that memory stays bounded


@dataclass(frozen=True, slots=True)
class Projection:
    """Principal components of vectors.

    Parameters
    ----------
    mean : FloatArray
        Of the vectors, (width,).
    axes : FloatArray
        Orthonormal rows, the widest spread first; the largest entry of each is positive, (components, width).
    shares : FloatArray
        Part of the total variance along each, in [0, 1], (components,).
    n_rows : int
        Vectors that it was fitted on.
    """

    mean: FloatArray
    axes: FloatArray
    shares: FloatArray
    n_rows: int

    @classmethod
    def fit(cls, vectors: Float32Array, components: int) -> Projection:
        """From *all* rows of ``vectors``, (n_rows, width); as many components as asked for, ranks and rows allowing."""
        n_rows, width = vectors.shape
        mean = vectors.mean(axis=0, dtype=np.float64)
        scatter = np.zeros((width, width))
        for first in range(0, n_rows, AT_A_TIME):  # the last, shorter batch counts like the others (D-FIN-03)
            centred = vectors[first : first + AT_A_TIME] - mean
            scatter += centred.T @ centred
        spread, axes = np.linalg.eigh(scatter)
        kept = min(components, width, n_rows - 1)
        spread, axes = spread[::-1].clip(min=0.0), axes.T[::-1]
        if kept < 1 or not spread[0] > 0.0:
            raise TrainingError(f"{n_rows} vectors of text do not differ from one another: there are no components to find.")
        chosen = axes[:kept]
        largest = np.take_along_axis(chosen, np.abs(chosen).argmax(axis=1)[:, None], axis=1)
        return cls(mean, np.ascontiguousarray(chosen * np.sign(largest)), spread[:kept] / spread.sum(), n_rows)

    def check(self, vectors: Float32Array) -> None:
        """`TrainingError` where it was fitted on other rows than these, for example without the last batch (D-FIN-03)."""
        mean = vectors.mean(axis=0, dtype=np.float64)
        if self.n_rows != len(vectors) or not np.allclose(self.mean, mean, rtol=0.0, atol=1e-9):
            raise TrainingError(
                f"The components of text were fitted on {self.n_rows} rows, which are not the {len(vectors)} distinct train "
                "texts. Fit them on all of those."
            )

    def apply(self, vectors: Float32Array) -> Float32Array:
        """Coordinates along the axes, (n_rows, components), on the grid of 1e-6; no row depends on its neighbours (R13)."""
        if not len(vectors):
            return np.zeros((0, len(self.axes)), dtype=np.float32)
        mean, axes = torch.from_numpy(self.mean), torch.from_numpy(np.ascontiguousarray(self.axes.T))
        (found,) = predict_in_blocks(lambda block: (block.double() - mean) @ axes, vectors)
        return rounded(found).astype(np.float32)

    @property
    def digest(self) -> str:
        """sha256 of what it is made of."""
        return digest_json({name: values.tolist() for name, values in self.arrays().items()})

    def arrays(self) -> dict[str, AnyArray]:
        """For the state of a fit."""
        return {"mean": self.mean, "axes": self.axes, "shares": self.shares, "n_rows": np.array([self.n_rows])}

    @classmethod
    def restore(cls, arrays: Mapping[str, AnyArray]) -> Projection:
        """The inverse of `arrays`."""
        return cls(arrays["mean"], arrays["axes"], arrays["shares"], int(arrays["n_rows"][0]))


def nearest(asked: AnyArray, bank: AnyArray, top: int = 5) -> tuple[IntArray, FloatArray]:
    """The rows of ``bank`` most like each row of ``asked``, best first, and their cosines, both (n_asked, top).

    ``bank`` are embeddings of train chunks; of equals the first comes first. At most as many as the bank has.
    """
    mine, theirs = (_unit(np.asarray(one, dtype=np.float64)) for one in (asked, bank))
    top = min(top, len(theirs))
    places = np.zeros((len(mine), top), dtype=np.int64)
    cosines = np.zeros((len(mine), top))
    for first in range(0, len(mine), 256):
        like = mine[first : first + 256] @ theirs.T
        best = np.argsort(-like, axis=1, kind="stable")[:, :top]
        places[first : first + 256] = best
        cosines[first : first + 256] = np.take_along_axis(like, best, axis=1)
    return places, cosines


def _unit(rows: FloatArray) -> FloatArray:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: FloatArray = rows / np.maximum(lengths, 1e-12)
    return unit
