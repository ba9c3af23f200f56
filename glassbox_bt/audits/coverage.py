"""Is every name answered on every day that it should be? Audit A10.

1. Rows over members times trading days, for each module, chunk and split: 1 exactly. On train, a learned module's first
   blocks are its declared warm-up (R4), and its rows count from the first day that it answers. A module that answers
   documents owes a row to each chunk and name of the market's own text (`text_rows`).
2. The last 60 sessions of each test part by themselves: labels that are purged must not take their answers along.
3. The share of rows that a module knows is reported, and where rows are missing, of which names and months.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from glassbox_bt.audits.base import AuditResult, AuditSettings, Check, Metric, Progress, not_asked
from glassbox_bt.audits.case import NO_RUN, SPLITS, Case, Part, keys_of, known_in
from glassbox_bt.audits.rows import Where
from glassbox_bt.audits.text_rows import owed, row_keys
from glassbox_bt.types import IntArray

__all__ = ["QUESTION", "audit_coverage"]

QUESTION = "Is every member answered on every day?"
LAST = 60  # sessions
MARKET = "the market"  # what text without a name is about


def audit_coverage(case: Case, settings: AuditSettings, progress: Progress) -> AuditResult:  # noqa: ARG001
    """Rows of every module's table and of the decisions."""
    if not case.whole:
        why = f"{NO_RUN}, which tells the members of the universe"
        return AuditResult("coverage", (not_asked("rows", "decisions", "ticker", why),), {}, QUESTION, reason=why)
    checks: list[Check] = []
    metrics: list[Metric] = []
    missing: list[dict[str, Any]] = []
    for group in case.groups():
        if group.chunk is not None:
            checks += _covered(case, Where("decisions", group.chunk, group.split, group.rows), missing)
    parts = list(case.parts())
    for i, part in enumerate(parts):
        progress("coverage", i / len(parts))
        table = part.read([*part.key, "known"])
        where = Where(part.module, part.chunk, part.split, table)
        checks += _text_covered(case, part, where, missing) if part.of_text else _covered(case, where, missing)
        metrics.append(_known_share(part, table))
    return AuditResult("coverage", tuple(checks), {}, QUESTION, tuple(metrics), details={"missing": missing})


def _covered(case: Case, where: Where, missing: list[dict[str, Any]]) -> Iterator[Check]:
    chunk = int(where.chunk or 0)
    days = case.chunks[chunk].splits[where.split]
    if where.split == SPLITS[0] and len(where.rows):
        days = days[days >= case.sessions(where.rows["date"]).min()]
        days = days[~np.isin(days, case.skipped(where.module, chunk))]
    yield _share(case, where, "rows", days, missing)
    if where.split == SPLITS[2]:
        yield _share(case, where, f"rows of the last {LAST} sessions", days[-LAST:], [])


def _share(case: Case, where: Where, what: str, days: IntArray, missing: list[dict[str, Any]]) -> Check:
    store = case.store
    day, asset = np.nonzero(store.member[days])
    dates = pd.DatetimeIndex(store.dates[days][day].astype("datetime64[ns]"))
    wanted = pd.MultiIndex.from_arrays([dates, np.array(store.tickers, dtype=object)[asset]], names=["date", "ticker"])
    return _lost(where, what, wanted[~wanted.isin(keys_of(where.rows))], len(wanted), missing)


def _text_covered(case: Case, part: Part, where: Where, missing: list[dict[str, Any]]) -> Iterator[Check]:
    due = owed(case, part, where.rows)
    lost = due.must & ~row_keys(due.frame).isin(row_keys(where.rows))
    last = due.frame["session"].to_numpy() >= case.chunks[part.chunk].splits[part.split][-LAST:][0]
    spans = [("rows", due.must, missing)]
    if part.split == SPLITS[2]:
        spans.append((f"rows of the last {LAST} sessions", due.must & last, []))
    for what, asked, told in spans:
        rows = due.frame[lost & asked]
        keys = pd.MultiIndex.from_arrays([rows["date"], rows["ticker"].replace("", MARKET)], names=["date", "ticker"])
        yield _lost(where, what, keys, int(asked.sum()), told)


def _lost(where: Where, what: str, lost: pd.MultiIndex, n_wanted: int, missing: list[dict[str, Any]]) -> Check:
    """The check of how many rows there are, with the lost ones written down by name and month."""
    share = 1.0 - len(lost) / max(n_wanted, 1)
    months = Counter((str(ticker), f"{date:%Y-%m}") for date, ticker in lost)
    for (ticker, month), n in sorted(months.items()):
        place = {"module": where.module, "chunk": where.chunk, "split": where.split}
        missing.append({**place, "ticker": ticker, "month": month, "rows": n})
    fault = f"{share:.4f} of {n_wanted} rows, first missing {lost[0][1]} {lost[0][0]:%Y-%m-%d}" if len(lost) else ""
    return where.fault(what, "ticker", fault)


def _known_share(part: Part, table: pd.DataFrame) -> Metric:
    share = float(known_in(table).mean()) if len(table) else None
    value = None if share is None else round(share, 6)
    return Metric("share of rows known", part.module, part.chunk, part.split, value, None, "reported")
