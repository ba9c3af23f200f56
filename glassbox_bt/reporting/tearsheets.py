"""Tear-sheets by quantstats: one page per strategy and chunk, test days only, and an index page per strategy.

quantstats is given the returns that the run recorded and nothing to look up: the benchmark is a series, never a ticker
(a ticker would be fetched, and without a network printed as a dash). Its pages are not promised to be the same bytes
twice. Its tables round; the numbers of record are those of ``metrics.json``.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from glassbox_bt.reporting.derived import EQUITY, starting_capital
from glassbox_bt.reporting.html import plain_page
from glassbox_bt.reporting.record import TEST, RunRecord
from glassbox_bt.reporting.styles import STYLES
from glassbox_bt.runs.artefacts import write_whole
from glassbox_bt.runs.engine import Progress, run_tasks

__all__ = ["daily_returns", "write_tearsheets"]

BENCHMARK = "benchmark"
FAVICON = re.compile(r'<link rel="shortcut icon"[^>]*>')  # would be fetched from the network

# What quantstats and seaborn stir up in matplotlib and pandas at the pinned versions; none of it touches a number.
NOISE: tuple[tuple[str, type[Warning], str], ...] = (
    # quantstats renames percent labels on an axis whose ticks are already final
    (r"set_ticklabels\(\) should only be used", UserWarning, r"quantstats\._plotting"),
    # pandas 4 will drop `inplace`
    (r"The inplace keyword", DeprecationWarning, r"quantstats"),
    # matplotlib renamed an argument of box plots
    (r"vert: bool was deprecated", DeprecationWarning, r"seaborn"),
    # matplotlib renames a method of colour maps
    (r"The set_bad function will be deprecated", PendingDeprecationWarning, r"seaborn"),
)


@dataclass(frozen=True, slots=True)
class Sheet:
    """One page to write."""

    path: Path
    title: str
    returns: pd.Series[float]
    benchmark: pd.Series[float] | None


def write_tearsheets(
    run: Path, *, workers: int = 1, progress: Callable[[str, float], None] | None = None
) -> tuple[Path, ...]:
    """Write ``report/tearsheet_<strategy>_chunk<n>.html`` and ``report/tearsheet_<strategy>.html``, which links them.

    Parameters
    ----------
    run : Path
        A finished run folder.
    workers : int, default=1
        Processes to draw on; each needs about 1.5 s per page and 3 s to start.
    progress : callable, optional
        Told what is being drawn and the share that is done.

    Returns
    -------
    tuple[Path, ...]
        All pages written, the index pages last.
    """
    record = RunRecord(run)
    sheets = [
        _sheet(record, strategy, chunk)
        for strategy in record.strategies
        for chunk in record.chunks
        if record.row(strategy, chunk) is not None
    ]
    told = _counted(len(sheets), progress)
    paths = run_tasks(_write_sheet, sheets, workers=workers, progress=told)
    return (*paths, *(_write_index(record, strategy) for strategy in record.strategies))


def daily_returns(record: RunRecord, strategy: str, chunk: int) -> pd.Series[float]:
    """Returns on the test days of a chunk; that of the first day is against the starting capital."""
    rows = record.part(f"{EQUITY}?chunk={chunk}&split={TEST}&strategy={strategy}").sort_values("date")
    equity = rows["equity"].to_numpy(dtype=np.float64)
    before = np.concatenate([[starting_capital(record)], equity[:-1]])
    return pd.Series(equity / before - 1.0, pd.DatetimeIndex(rows["date"]), name=strategy)


def _sheet(record: RunRecord, strategy: str, chunk: int) -> Sheet:
    returns = daily_returns(record, strategy, chunk)
    benchmark = None
    if strategy != BENCHMARK and record.row(BENCHMARK, chunk) is not None:
        benchmark = daily_returns(record, BENCHMARK, chunk).reindex(returns.index)
    path = record.run / "report" / f"tearsheet_{strategy}_chunk{chunk}.html"
    return Sheet(path, f"{STYLES['strategy'](strategy)}, chunk {chunk}, test", returns, benchmark)


def _write_sheet(sheet: Sheet, progress: Progress) -> Path:
    progress(sheet.title, 0.0)
    if bool((sheet.returns == 0.0).all()):
        words = "Its value never changed on these days: there is no risk to describe, and no tear-sheet to draw."
        page = plain_page(sheet.title, (words,), (("Back to the report", "index.html"),))
        made = write_whole(sheet.path, lambda draft: draft.write_text(page, encoding="utf-8"))
    else:
        made = write_whole(sheet.path, lambda draft: _draw(sheet, draft))
    progress(sheet.title, 1.0)
    return made


def _draw(sheet: Sheet, draft: Path) -> None:
    with _quiet():
        import matplotlib as mpl

        mpl.use("Agg")
        import quantstats
        from matplotlib import pyplot

        with mpl.rc_context():
            draw: Callable[..., None] = quantstats.reports.html  # quantstats has no annotations
            draw(
                sheet.returns,
                benchmark=sheet.benchmark,
                title=sheet.title,
                output=str(draft),
                match_dates=False,  # the days agree; matching would drop idle days at the start
                strategy_title="Strategy",
                benchmark_title="Benchmark",
            )
        pyplot.close("all")
    page = draft.read_text(encoding="utf-8")
    draft.write_text(FAVICON.sub("", page), encoding="utf-8")


def _write_index(record: RunRecord, strategy: str) -> Path:
    name = STYLES["strategy"](strategy)
    links = [
        (f"Chunk {chunk}, test", f"tearsheet_{strategy}_chunk{chunk}.html")
        for chunk in record.chunks
        if record.row(strategy, chunk) is not None
    ]
    words = "One tear-sheet per chunk, drawn by quantstats from the returns on the test days. Its tables round: "
    page = plain_page(
        f"Tear-sheets: {name}",
        (words + "the numbers of record are those of the report.",),
        (*links, ("Back to the report", "index.html")),
    )
    path = record.run / "report" / f"tearsheet_{strategy}.html"
    return write_whole(path, lambda draft: draft.write_text(page, encoding="utf-8"))


def _counted(n_sheets: int, progress: Callable[[str, float], None] | None) -> Progress:
    """Turns "this page is done" into the share of all pages."""
    done = 0

    def tell(what: str, share: float) -> None:
        nonlocal done
        done += share == 1.0
        if progress is not None:
            progress(f"tear-sheets: {what}", done / n_sheets)

    return tell


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the known noise of quantstats; any other warning comes through."""
    fonts = logging.getLogger("matplotlib.font_manager")
    fonts.addFilter(_is_no_missing_font)
    try:
        with warnings.catch_warnings():
            for message, category, module in NOISE:
                warnings.filterwarnings("ignore", message, category, module)
            yield
    finally:
        fonts.removeFilter(_is_no_missing_font)


def _is_no_missing_font(entry: logging.LogRecord) -> bool:
    """False for "findfont: Font family 'Arial' not found", printed once per label where Arial is missing."""
    return not entry.getMessage().startswith(("findfont: Font family", "findfont: Generic family"))
