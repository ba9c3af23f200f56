"""Numbers of the risk engine that no file holds as such, computed by name from what the run recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from glassbox_bt.errors import RunFolderError
from glassbox_bt.reporting.record import TEST, Entry, RunRecord, Where, table_source
from glassbox_bt.reporting.styles import Value

__all__ = ["OF_RISK", "answers_file", "by_day", "contagion_days", "names_of_day"]

Arguments = Mapping[str, str]
CONTAGION = "contagion_20d"
INFLUENCER = "top_influencer_1"  # only a network has influencers
MOST_NAMES = 30  # of a drawing
PICKS: Mapping[str, int] = {"stressed": 0, "calm": -1}  # places among the days, the highest mean first


def answers_file(module: str, chunk: int) -> str:
    """Where the test answers of a module stand."""
    return f"modules/{module}/chunk{chunk}_{TEST}.parquet"


def by_day(record: RunRecord, module: str, chunk: int) -> pd.DataFrame:
    """Answers that are the same for every name, one row per day: the first known one; unknown days are missing."""
    rows = record.table(answers_file(module, chunk))
    known = rows[rows["known"].to_numpy(dtype=bool)]
    return known.sort_values(["date", "ticker"], kind="stable").drop_duplicates("date").reset_index(drop=True)


def contagion_days(record: RunRecord) -> pd.DataFrame:
    """Test days with influencers, those with the highest mean chance of an extreme loss within 20 sessions first.

    Columns ``chunk``, ``date``, ``mean``; ties go to the earlier day.
    """
    found = []
    for chunk in record.chunks:
        file = answers_file("contagion", chunk)
        if not record.holds(file) or not {CONTAGION, INFLUENCER} <= set(record.table(file).columns):
            continue
        rows = record.table(file)
        rows = rows[rows["known"].to_numpy(dtype=bool) & rows[INFLUENCER].notna()]
        means = rows.groupby("date", sort=True)[CONTAGION].mean().round(12).rename("mean").reset_index()
        found.append(means.assign(chunk=chunk))
    if not found:
        return pd.DataFrame({"chunk": [], "date": [], "mean": []})
    days = pd.concat(found, ignore_index=True)
    return days.sort_values(["mean", "date"], ascending=[False, True], kind="stable").reset_index(drop=True)


def names_of_day(record: RunRecord, chunk: int, day: str) -> pd.DataFrame:
    """Known rows of one day, the `MOST_NAMES` with the highest chance, in the order of the alphabet."""
    rows = record.part(table_source(answers_file("contagion", chunk), "", date=day).removesuffix("#"))
    rows = rows[rows["known"].to_numpy(dtype=bool)]
    top = rows.sort_values([CONTAGION, "ticker"], ascending=[False, True], kind="stable").head(MOST_NAMES)
    return top.sort_values("ticker", kind="stable").reset_index(drop=True)


def _contagion_day(record: RunRecord, of: Arguments) -> Value:
    """Day, or chunk, of the highest (``stressed``) or lowest (``calm``) mean chance of an extreme loss."""
    days = contagion_days(record)
    if days.empty:
        raise RunFolderError("This run recorded no influences of contagion. Run the plan again.")
    value = days.iloc[PICKS[of["which"]]][of["what"]]
    return str(value) if of["what"] == "date" else int(value)


def _n_days(record: RunRecord, _: Arguments) -> Value:
    return len(contagion_days(record))


def _n_rows(record: RunRecord, of: Arguments) -> Value:
    """Rows of a list of ``metrics.json`` that equal the other arguments."""
    return len(_entries(record, of))


def _total(record: RunRecord, of: Arguments) -> Value:
    """Sum of one column of a list, over the rows that equal the other arguments."""
    rest = {key: value for key, value in of.items() if key != "sum"}
    return sum(int(one.content[of["sum"]]) for one in _entries(record, rest))


def _entries(record: RunRecord, of: Arguments) -> Sequence[Entry]:
    where: Where = {key: _typed(value) for key, value in of.items() if key != "of"}
    return record.entries(of["of"], **where)


def _typed(value: str) -> str | int:
    words = {"True": True, "False": False}
    return words[value] if value in words else int(value) if value.isdigit() else value


def _n_stated(record: RunRecord, of: Arguments) -> Value:
    """Losses beyond the value at risk that its level states for a chunk: its share of all rows."""
    rows = record.entries("risk_exceedances", chunk=int(of["chunk"]))
    return (1.0 - int(of["level"]) / 100.0) * sum(int(one.content["n_names"]) for one in rows)


def _worst_day(record: RunRecord, of: Arguments) -> Value:
    """Date, losses or names of the day on which most names lost more than their value at risk; the first of equals."""
    rows = record.entries("risk_exceedances", chunk=int(of["chunk"]))
    worst = max(rows, key=lambda one: int(one.content[f"hits_{of['level']}"]))
    value: Value = worst.content[of["what"]]
    return value


def _n_flagged(record: RunRecord, _: Arguments) -> Value:
    """Names with at least one discovery at any level, over all test years."""
    rows = record.entries("risk_backtests", chunk=0)
    return len({str(one.content["ticker"]) for one in rows if one.content.get("flagged")})


def _peak_day(record: RunRecord, of: Arguments) -> Value:
    """First day of a chunk's test on which a market-wide answer is largest."""
    rows = by_day(record, of["module"], int(of["chunk"]))
    return str(rows["date"].iloc[int(rows[of["column"]].to_numpy().argmax())])


def _n_changes(record: RunRecord, of: Arguments) -> Value:
    """How often a market-wide answer in words changes from one answered day to the next."""
    words = by_day(record, of["module"], int(of["chunk"]))[of["column"]].astype(str)
    return int((words.to_numpy()[1:] != words.to_numpy()[:-1]).sum())


def _agreement(record: RunRecord, of: Arguments) -> Value:
    """Share of answered days on which two market-wide answers in words are the same."""
    rows = by_day(record, of["module"], int(of["chunk"]))
    return float((rows[of["column"]].astype(str) == rows[of["with"]].astype(str)).mean())


OF_RISK: Mapping[str, Callable[[RunRecord, Arguments], Value]] = {
    "n_rows": _n_rows,
    "total": _total,
    "n_stated": _n_stated,
    "worst_day": _worst_day,
    "n_flagged_names": _n_flagged,
    "peak_day": _peak_day,
    "n_changes": _n_changes,
    "agreement": _agreement,
    "contagion_day": _contagion_day,
    "n_contagion_days": _n_days,
}
