"""What a step of training moves, and what this machine can move at most."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["Made", "ceiling"]


class Made(TorchDispatchMode):
    """Counts the bytes of all tensors that are made."""

    def __init__(self) -> None:
        super().__init__()
        self.n_bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for one in out if isinstance(out, (tuple, list)) else (out,):
            self.n_bytes += one.numel() * one.element_size() if isinstance(one, Tensor) else 0
        return out


def ceiling() -> float:
    """Bytes a second that one thread writes when it copies memory, the best of five."""
    source = np.ones(25_000_000)
    target = np.empty_like(source)
    best = np.inf
    for _ in range(5):
        started = perf_counter()
        np.copyto(target, source)
        best = min(best, perf_counter() - started)
    return float(source.nbytes / best)
