"""Rows into a network and answers out of it.

Answers are computed in zero-padded blocks of 64 rows on one thread, which makes them bit-identical
for every batch (R13; measured for linear, recurrent and attention layers of torch 2.13).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from glassbox_bt.types import AnyArray, Float32Array, IntArray

__all__ = [
    "BLOCK",
    "ArrayRows",
    "Batch",
    "RowSource",
    "WindowRows",
    "deterministic",
    "network_from",
    "predict_in_blocks",
    "predict_rows",
    "tensors_of",
    "to_batch",
    "weights_of",
]

BLOCK = 64
Batch = Mapping[str, Tensor]


class RowSource(Protocol):
    """Rows to learn from, gathered when they are needed."""

    def __len__(self) -> int: ...

    def take(self, rows: IntArray, rng: np.random.Generator) -> Mapping[str, AnyArray]:
        """Named arrays of some rows, (len(rows), ...) each; ``rng`` is for masks and noise."""
        ...


@dataclass(frozen=True, slots=True)
class ArrayRows:
    """Rows that lie ready in memory; every array has the rows first."""

    arrays: Mapping[str, AnyArray]

    def __len__(self) -> int:
        return int(next(iter(self.arrays.values())).shape[0])

    def take(
        self,
        rows: IntArray,
        rng: np.random.Generator,  # noqa: ARG002
    ) -> Mapping[str, AnyArray]:
        """Those rows of each array."""
        return {name: values[rows] for name, values in self.arrays.items()}


@dataclass(frozen=True, slots=True)
class WindowRows:
    """Windows gathered from one asset-major block, so that overlapping windows are never stored.

    Parameters
    ----------
    block : Float32Array
        (n_assets, n_rows, k), C-contiguous.
    asset, last : IntArray
        Asset and last block row of each window, (n_windows,).
    sessions : int
        Length of a window.
    extras : Mapping[str, AnyArray]
        More arrays by window (targets, anchors), (n_windows, ...).
    """

    block: Float32Array
    asset: IntArray
    last: IntArray
    sessions: int
    extras: Mapping[str, AnyArray] = field(default_factory=dict)

    def __len__(self) -> int:
        return int(self.asset.shape[0])

    def take(
        self,
        rows: IntArray,
        rng: np.random.Generator,  # noqa: ARG002
    ) -> Mapping[str, AnyArray]:
        """``window`` (len(rows), sessions, k), oldest session first, and the extras."""
        steps = self.last[rows, None] + np.arange(1 - self.sessions, 1)
        given = {name: values[rows] for name, values in self.extras.items()}
        return {"window": self.block[self.asset[rows, None], steps], **given}


def predict_in_blocks(
    network: Callable[..., Tensor | Sequence[Tensor]], *arrays: AnyArray, block: int = BLOCK
) -> tuple[AnyArray, ...]:
    """``network(*arrays)`` in zero-padded blocks: no answer depends on the rows around it.

    Parameters
    ----------
    network : Callable
        A network in evaluation mode (`network_from`), or a function of tensors; returns one tensor
        or several, rows first.
    arrays : AnyArray
        Inputs, each (n_rows, ...).

    Returns
    -------
    tuple of AnyArray
        One array per returned tensor, (n_rows, ...).
    """
    named = ArrayRows({str(number): values for number, values in enumerate(arrays)})
    return predict_rows(lambda batch: network(*batch.values()), named, block=block)


def predict_rows(
    ask: Callable[[Batch], Tensor | Sequence[Tensor]], rows: RowSource, *, block: int = BLOCK
) -> tuple[AnyArray, ...]:
    """Like `predict_in_blocks`, on rows that are gathered block by block (`WindowRows`)."""
    parts: list[tuple[AnyArray, ...]] = []
    nothing = np.random.default_rng(0)
    with deterministic("cpu"), torch.inference_mode():
        for start in range(0, max(len(rows), 1), block):
            picked = np.arange(start, min(start + block, len(rows)))
            padded = {name: _padded(one, block) for name, one in rows.take(picked, nothing).items()}
            said = ask(to_batch(padded, "cpu"))
            tensors = (said,) if isinstance(said, Tensor) else tuple(said)
            parts.append(tuple(one[: len(picked)].numpy() for one in tensors))
    return tuple(np.concatenate(one) for one in zip(*parts, strict=True))


def _padded(values: AnyArray, n_rows: int) -> AnyArray:
    if values.shape[0] == n_rows:
        return values
    full = np.zeros((n_rows, *values.shape[1:]), dtype=values.dtype)
    full[: values.shape[0]] = values
    return full


def weights_of(network: nn.Module) -> dict[str, AnyArray]:
    """A network's weights as arrays, for `ModuleState.arrays`."""
    return {name: one.cpu().numpy() for name, one in tensors_of(network).items()}


def network_from(network: nn.Module, weights: Mapping[str, AnyArray]) -> nn.Module:
    """The given network with those weights, in evaluation mode, on the CPU."""
    network.load_state_dict({name: torch.from_numpy(np.array(one)) for name, one in weights.items()})
    return network.eval()


def tensors_of(network: nn.Module) -> dict[str, Tensor]:
    """A copy of a network's weights."""
    return {name: one.detach().clone() for name, one in network.state_dict().items()}


def to_batch(arrays: Mapping[str, AnyArray], device: str) -> Batch:
    """The arrays as tensors on that device."""
    return {name: torch.from_numpy(np.ascontiguousarray(one)).to(device) for name, one in arrays.items()}


@contextmanager
def deterministic(device: str) -> Iterator[None]:
    """One thread, deterministic kernels and a forked generator; all put back afterwards."""
    if device != "cpu":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS asks for it
    threads, before = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    devices = [] if device == "cpu" else [torch.cuda.current_device()]
    torch.set_num_threads(1)
    torch.set_deterministic_debug_mode("error")  # `use_deterministic_algorithms` loads a compiler first: two seconds
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        torch.set_deterministic_debug_mode(before)
        torch.set_num_threads(threads)
