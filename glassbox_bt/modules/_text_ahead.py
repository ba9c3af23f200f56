"""Reading many texts before a walk, shared out among one-thread processes.

``run_tasks(encode_job, text_jobs(name, texts, workers), workers=..., progress=...)`` leaves everything in the engine's
cache, where the walk finds it. What is there already is not read again, so a killed job goes on where it stood; no vector
depends on who read it or how the texts were shared out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

from glassbox_bt.modules._text_engine import text_engine
from glassbox_bt.runs.engine import Progress, run_tasks

__all__ = ["EncodeDone", "EncodeJob", "encode_all", "encode_job", "text_jobs"]


@dataclass(frozen=True, slots=True)
class EncodeJob:
    """One share of the texts that the cache does not have yet."""

    engine: str
    texts: tuple[str, ...]
    number: int  # of the share, from 1
    shares: int


@dataclass(frozen=True, slots=True)
class EncodeDone:
    """How a share went: texts that were read, and the seconds it took, loading included."""

    n_texts: int
    seconds: float

    @property
    def per_second(self) -> float:
        """Texts a second; 0 where there were none."""
        return self.n_texts / self.seconds if self.n_texts else 0.0


def text_jobs(engine: str, texts: Sequence[str], workers: int) -> list[EncodeJob]:
    """What is left to read, dealt out evenly; no job where nothing is (or where the engine needs no cache)."""
    missing = text_engine(engine).missing([text for text in texts if text])
    shares = max(1, min(workers, len(missing)))
    return [EncodeJob(engine, tuple(missing[i::shares]), i + 1, shares) for i in range(shares)] if missing else []


def encode_job(job: EncodeJob, progress: Progress) -> EncodeDone:
    """Read one share into the cache."""
    what = f"reading text with {job.engine}" + (f", share {job.number} of {job.shares}" if job.shares > 1 else "")
    progress(what, 0.0)
    started = perf_counter()
    n_texts = text_engine(job.engine).fill(job.texts, lambda done, of: progress(what, done / of))
    progress(what, 1.0)
    return EncodeDone(n_texts, perf_counter() - started)


def encode_all(engine: str, texts: Sequence[str], *, workers: int, progress: Progress) -> list[EncodeDone]:
    """Read everything that the cache does not have yet, on ``workers`` one-thread processes."""
    return run_tasks(encode_job, text_jobs(engine, texts, workers), workers=workers, progress=progress)
