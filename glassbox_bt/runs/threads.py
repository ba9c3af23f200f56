"""One thread per process: sums of linear algebra depend on how many threads share them (R13, R24).

`pin_threads` must run before the numerical libraries are imported; worker processes inherit it. `one_thread` holds for code
that was started some other way.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["one_thread", "pin_threads"]

VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def pin_threads() -> None:
    """Tell every numerical library that is imported from now on to use one thread, whatever the environment said."""
    for name in VARIABLES:
        os.environ[name] = "1"


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for the libraries that are loaded already."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        yield
