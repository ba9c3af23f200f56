"""What was said of the next session's loss beside what it was: panels of one or more test years."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from glassbox_bt.evaluation.answers import said
from glassbox_bt.types import AnyArray, BoolArray, FloatArray, IntArray

__all__ = ["LEVELS", "NEXT_RETURN", "TailPanel", "joined", "rate_of", "tail_panels"]

LEVELS = (95, 99)  # per cent
NEXT_RETURN = "next_log_return_1d"
STATED = ("var_95", "var_99", "cvar_95", "cvar_99")


def rate_of(level: int) -> float:
    """Share of days on which a return may undercut the value at risk of a level, given in per cent."""
    return (100 - level) / 100.0


@dataclass(frozen=True, slots=True, eq=False)
class TailPanel:
    """Value at risk and expected shortfall as known at the close of a day, and the return of the session after it.

    Parameters
    ----------
    days : AnyArray
        Decision days, ascending, (n_days,).
    tickers : tuple[str, ...]
    realised : FloatArray
        Log return from the close of the day to the close of the next session, (n_days, n_names); NaN where that session has
        no bar, so that a gap in the data is never a day without a loss (D-VAR-03).
    stated : Mapping[str, FloatArray]
        ``var_95, var_99, cvar_95, cvar_99``, log returns, negative = loss; NaN where the module does not know.
    starts : BoolArray
        First day of each test year, (n_days,): no pair of days reaches across it.
    """

    days: AnyArray
    tickers: tuple[str, ...]
    realised: FloatArray
    stated: Mapping[str, FloatArray]
    starts: BoolArray

    def var(self, level: int) -> FloatArray:
        """Value at risk of a level, (n_days, n_names)."""
        return self.stated[f"var_{level}"]

    def cvar(self, level: int) -> FloatArray:
        """Expected shortfall of a level, (n_days, n_names)."""
        return self.stated[f"cvar_{level}"]

    def usable(self, level: int, *, with_cvar: bool = False) -> BoolArray:
        """Where forecast and outcome are both there, (n_days, n_names)."""
        there = np.isfinite(self.realised) & np.isfinite(self.var(level))
        if with_cvar:  # a shortfall that is a gain has no depth to compare with
            there = there & np.all([np.isfinite(self.stated[name]) for name in STATED], axis=0)
            there = there & (self.cvar(95) < 0.0) & (self.cvar(99) < 0.0)
        return np.asarray(there)

    def hits(self, level: int) -> BoolArray:
        """Where the return undercut the value at risk; False where not usable."""
        return self.usable(level) & (self.realised < self.var(level))

    def after(self, there: BoolArray, lags: int) -> BoolArray:
        """Where this day and the ``lags`` sessions before it, of the same test year, are there."""
        whole = there.copy()
        year = np.cumsum(self.starts)
        for lag in range(1, lags + 1):
            whole[:lag] = False
            same = year[lag:] == year[:-lag]
            whole[lag:] &= there[:-lag] & same[:, None]
        return whole

    def years(self) -> Iterator[slice]:
        """Rows of each test year."""
        firsts = [*np.flatnonzero(self.starts), len(self.days)]
        for first, after in itertools.pairwise(firsts):
            yield slice(int(first), int(after))


def tail_panels(run: Path, outcomes: Mapping[int, pd.DataFrame]) -> dict[int, TailPanel]:
    """One panel per chunk; empty where a run recorded no next session's return, or lacks `var` or `cvar` in a chunk."""
    found = {}
    for chunk, table in outcomes.items():
        answers = {name: said(run, name, [f"{name}_{level}" for level in LEVELS], chunk) for name in ("var", "cvar")}
        var, cvar = answers["var"], answers["cvar"]
        if NEXT_RETURN not in table.columns or var is None or cvar is None:
            return {}
        rows = table[["date", "ticker", NEXT_RETURN]]
        for one in (var, cvar):
            rows = rows.merge(one, on=["date", "ticker"], how="left", validate="1:1")
        found[chunk] = _panel(rows)
    return found


def joined(panels: Sequence[TailPanel]) -> TailPanel:
    """The panels one after the other, over all their names."""
    tickers = tuple(sorted({name for one in panels for name in one.tickers}))

    def laid(one: TailPanel, values: FloatArray) -> FloatArray:
        out = np.full((len(one.days), len(tickers)), np.nan)
        out[:, np.searchsorted(np.array(tickers), np.array(one.tickers))] = values
        return out

    return TailPanel(
        np.concatenate([one.days for one in panels]),
        tickers,
        np.concatenate([laid(one, one.realised) for one in panels]),
        {name: np.concatenate([laid(one, one.stated[name]) for one in panels]) for name in STATED},
        np.concatenate([one.starts for one in panels]),
    )


def _panel(rows: pd.DataFrame) -> TailPanel:
    days, day = np.unique(rows["date"].to_numpy(), return_inverse=True)
    names = rows["ticker"].to_numpy(dtype=object).astype(str)
    tickers, asset = np.unique(names, return_inverse=True)
    place: tuple[IntArray, IntArray] = (day.astype(np.int64), asset.astype(np.int64))

    def laid(column: str) -> FloatArray:
        out = np.full((len(days), len(tickers)), np.nan)
        out[place] = rows[column].to_numpy(dtype=np.float64)
        return out

    starts = np.zeros(len(days), dtype=bool)
    starts[:1] = True
    return TailPanel(days, tuple(map(str, tickers)), laid(NEXT_RETURN), {name: laid(name) for name in STATED}, starts)
